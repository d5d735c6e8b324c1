"""An allocation that moves: from one local address to another, keeping its relayed address (RFC 8016).

A part of `Allocation`. The server's ticket is kept here, and shown along a new path in a Refresh; what the paths are
is ways.py's.

Strategy: make before break. Nothing changes until the server has answered along the new path: data goes on along the
old one (RFC 8016 §3.2.2 RECOMMENDS it), and a move that fails costs nothing. Which permissions and channels there are
does not change: they are the allocation's, not the path's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, final

from icepath.errors import InvalidState
from icepath.machine import Closed, Failed, Opened
from icepath.net import Address, Instant
from icepath.outbox import Outbox
from icepath.turn.client.config import AllocationConfig
from icepath.turn.client.events import AllocationEvent, AllocationFailure, Migrated, MigrationFailed
from icepath.turn.client.exchange import Answer, Outcome, Purpose
from icepath.turn.client.grant import refresh_request
from icepath.turn.client.lease import Lease
from icepath.turn.client.paths import Paths
from icepath.turn.client.requests import Requests
from icepath.turn.client.routes import Path, local_of
from icepath.turn.client.ways import Ways
from icepath.wire.attributes import MobilityTicket


@final
class Mobility:
    """Moves an allocation from path to path."""

    __slots__ = ("_config", "_connect_by", "_lease", "_moving", "_outbox", "_paths", "_requests", "_ways")

    def __init__(
        self,
        config: AllocationConfig,
        requests: Requests,
        lease: Lease,
        ways: Ways,
        paths: Paths,
        outbox: Outbox[AllocationEvent],
    ) -> None:
        self._config: Final = config
        self._requests: Final = requests
        self._lease: Final = lease
        self._ways: Final = ways
        self._paths: Final = paths
        self._outbox: Final = outbox
        # The path that is being moved to.
        self._moving: Path | None = None
        # When its connection must have opened.
        self._connect_by: Instant | None = None

    def plan(self, local: Address) -> Path:
        """Returns the path that a move to a local address would take; nothing is sent or changed.

        Raises: InvalidState without a ticket, or when the allocation is there already or cannot be.
        """
        if self._lease.ticket is None:
            raise InvalidState("there is no ticket to move the allocation with")
        route = replace(self._requests.path.route, local=local)
        source = local_of(route, local)
        if source is None or source == self._requests.path.local:
            raise InvalidState(f"the allocation cannot be moved to {local}")
        return Path(route, source)

    def migrate(self, plan: Path, now: Instant) -> None:
        """Begins a move that was planned; one that is under way is given up for it."""
        if self._moving is not None:
            self._give_up(self._moving)
        if plan.route.is_datagram:
            self._moving = self._paths.add(plan)
            self._ask(self._moving, now)
        else:
            self._moving = self._paths.connect(plan.route, plan.local, plan.local)
            self._connect_by = now + self._config.reliable_timeout

    def is_moving_to(self, path: Path) -> bool:
        """Says whether that is the path being moved to."""
        return path is self._moving

    def on_stream(self, arrival: Opened | Failed | Closed, path: Path, now: Instant) -> None:
        """Shows the ticket on a connection that has opened; gives up a move whose connection has failed or ended."""
        if isinstance(arrival, Opened):
            self._connect_by = None
            path.local = arrival.local
            self._ask(path, now)
            return
        word = arrival.reason.name.lower().replace("_", " ")
        self._paths.forget(path)
        self._fail(path, AllocationFailure.NOT_CONNECTED, None, word)

    def outlives(self, path: Path) -> bool:
        """Says whether the end of this path, the one in use, is not that of the allocation: it is moving."""
        return self._moving is not None and path is self._requests.path

    def on_old_lost(self, path: Path) -> None:
        """Notes the end of the connection moved from: coturn resets it before we have its answer along the new one."""
        self._paths.forget(path)

    def on_junk(self, path: Path) -> None:
        """Gives up a move whose connection, closed by now, brought what is no message."""
        self._fail(path, AllocationFailure.NOT_TURN, None, "")

    def handle_timeout(self, now: Instant) -> None:
        """Gives up a move whose connection takes too long to open."""
        if self._moving is not None and self._connect_by is not None and self._connect_by <= now:
            text = f"no connection within {self._config.reliable_timeout:g} s"
            self._fail(self._moving, AllocationFailure.NOT_CONNECTED, None, text)

    def next_deadline(self) -> Instant | None:
        """Returns when a move is given up, or None."""
        return self._connect_by

    def end(self) -> None:
        """Forgets a move that is under way: there is nothing to move any more."""
        if self._moving is not None:
            self._give_up(self._moving)

    def on_answer(self, answer: Answer, path: Path, now: Instant) -> None:
        """Takes what the server says to the ticket, along the path being moved to."""
        if answer.outcome is Outcome.SUCCEEDED:
            self._moving = None
            self._ways.move_to(path)
            self._lease.on_answer(answer, now)
            self._outbox.put(Migrated(path.local))
        else:
            self._fail(path, answer.failure, answer.code, answer.text)

    def _give_up(self, path: Path) -> None:
        self._moving = self._connect_by = None
        self._requests.forget(Purpose.MIGRATE)
        self._paths.drop(path)

    def _ask(self, path: Path, now: Instant) -> None:
        request = refresh_request(self._config, Purpose.MIGRATE)
        # RFC 8016 §3.2.1: the ticket goes with a changed address only, never with other Refreshes.
        attributes = (*request.attributes, MobilityTicket(self._lease.ticket or b""))
        self._requests.submit(replace(request, attributes=attributes, path=path), now)

    def _fail(self, path: Path, reason: AllocationFailure, code: int | None, text: str) -> None:
        self._give_up(path)
        self._outbox.put(MigrationFailed(path.local, reason, code, text))
        if self._requests.path.is_closed:
            self._lease.abort(AllocationFailure.CONNECTION_LOST, "the connection ended while another was made")
