"""The parts of an allocation put together: what arrives goes to the one it is for, and ends are told to all.

Between `Allocation`, which has the verbs, the time and the end, and the parts: `ways` finds and keeps the way to the
server, `lease` is the allocation's own life, `permissions`, `channels`, `data` and `connections` are built on it,
`mobility` moves it, `requests` signs, paces and matches for all of them.
"""

from __future__ import annotations

from typing import Final, final

from icepath.errors import DecodeError
from icepath.machine import (
    Arrival,
    Bytes,
    Closed,
    Datagram,
    DropReason,
    Failed,
    Opened,
    Transport,
    Unreachable,
    flow_channel,
)
from icepath.net import Instant, RandomBytes
from icepath.outbox import Outbox
from icepath.stun.transaction import drop_reason
from icepath.turn.client.channels import Channels
from icepath.turn.client.config import AllocationConfig
from icepath.turn.client.connections import PeerConnections
from icepath.turn.client.data import PeerData
from icepath.turn.client.events import AllocationEvent
from icepath.turn.client.exchange import Answer, Outcome, Purpose, Request
from icepath.turn.client.grant import refresh_request
from icepath.turn.client.lease import Lease
from icepath.turn.client.mobility import Mobility
from icepath.turn.client.paths import NextHandle, Paths
from icepath.turn.client.permissions import ALLOCATION_MISMATCH, Permissions
from icepath.turn.client.requests import Requests, ReserveSlot
from icepath.turn.client.routes import Path
from icepath.turn.client.ways import Ways
from icepath.wire.attributes import XorPeerAddress
from icepath.wire.message import Message, MessageClass, Method, decode_message


@final
class Parts:
    """Is all that an allocation consists of."""

    __slots__ = (
        "_config",
        "_is_closing",
        "_outbox",
        "channels",
        "connections",
        "data",
        "is_over",
        "lease",
        "mobility",
        "paths",
        "permissions",
        "requests",
        "ways",
    )

    def __init__(
        self,
        config: AllocationConfig,
        outbox: Outbox[AllocationEvent],
        *,
        random_bytes: RandomBytes,
        reserve_slot: ReserveSlot,
        reserve_late_slot: ReserveSlot | None,
        next_handle: NextHandle,
    ) -> None:
        self._config = config
        self._outbox = outbox
        self.requests: Final = Requests(
            config,
            outbox,
            random_bytes=random_bytes,
            reserve_slot=reserve_slot,
            reserve_late_slot=reserve_late_slot,
        )
        self.permissions: Final = Permissions(self.requests, outbox, config.families)
        self.channels: Final = Channels(self.requests, outbox)
        self.lease: Final = Lease(config, self.requests, self.permissions, self.channels, outbox)
        self.data: Final = PeerData(self.lease, self.permissions, self.channels, outbox, random_bytes)
        self.paths: Final = Paths(outbox, next_handle)
        self.ways: Final = Ways(config, self.requests, self.lease, self.paths, outbox)
        self.connections: Final = PeerConnections(config, self.requests, outbox, next_handle)
        self.mobility: Final = Mobility(config, self.requests, self.lease, self.ways, self.paths, outbox)
        self._is_closing = False
        self.is_over = False
        """Whether there is nothing left to wait for before the end."""

    def receive(self, arrival: Arrival, now: Instant) -> None:
        """Takes what came from the server, and what became of connections; drops everything else."""
        if isinstance(arrival, Datagram):
            path = self.paths.of_datagram(arrival.local, arrival.remote)
            dropped = path if isinstance(path, DropReason) else self._on_message(arrival.payload, path, now)
            if dropped is not None:
                self._outbox.drop(dropped, remote=arrival.remote, now=now)
        elif isinstance(arrival, Unreachable):
            self.ways.on_unreachable(arrival, now)
        elif isinstance(arrival, (Bytes, Opened, Failed, Closed)):
            self._receive_about_stream(arrival, now)
        self._settle()

    def handle_timeout(self, now: Instant) -> None:
        """Does what is due."""
        for item in self.requests.take_due(now):
            if isinstance(item, Request):
                self._on_sent(item, now)
            else:
                self._on_answer(item, now)
        self.ways.handle_timeout(now)
        self.mobility.handle_timeout(now)
        self.connections.handle_timeout(now)
        self.permissions.handle_timeout(now)
        self.channels.handle_timeout(now)
        self.lease.handle_timeout(now)
        self._settle()

    def next_deadline(self) -> Instant | None:
        """Returns when something is due, or None."""
        deadlines = (
            self.requests.next_deadline(),
            self.permissions.next_deadline(),
            self.channels.next_deadline(),
            self.lease.next_deadline(),
            self.ways.next_deadline(),
            self.mobility.next_deadline(),
            self.connections.next_deadline(),
        )
        return min([deadline for deadline in deadlines if deadline is not None], default=None)

    def close(self, now: Instant) -> None:
        """Gives back what there is; `is_over` when there is nothing, or once it is answered."""
        self._is_closing = True
        is_pending, is_held = self.lease.is_pending, self.lease.grant is not None
        self.lease.end(keep=Purpose.ALLOCATE if is_pending else None)
        self.mobility.end()
        self.connections.clear()
        self.ways.give_up_others()
        if is_held:
            self.requests.submit(refresh_request(self._config, Purpose.RELEASE), now)
        else:
            # An Allocate in flight may still succeed, and is given back then.
            self.is_over = not self.requests.is_in_flight(Purpose.ALLOCATE)

    def reset(self) -> None:
        """Forgets everything, and closes every connection."""
        self.requests.reset()
        self.ways.end()

    # -- what arrives --------------------------------------------------------------------------------------

    def _receive_about_stream(self, arrival: Bytes | Opened | Failed | Closed, now: Instant) -> None:
        path = self.paths.of_stream(arrival.handle)
        if path is None:
            if self.connections.is_one(arrival.handle):
                dropped = self.connections.receive(arrival, now)
                if dropped is not None:
                    self._outbox.drop(dropped, now=now)
            return
        if isinstance(arrival, Bytes):
            self._on_bytes(arrival, path, now)
        elif self.mobility.is_moving_to(path):
            self.mobility.on_stream(arrival, path, now)
        elif isinstance(arrival, Opened):
            self.ways.on_opened(arrival, path, now)
        elif isinstance(arrival, Failed):
            self.ways.on_failed(arrival, path, now)
        elif self.mobility.outlives(path):
            self.mobility.on_old_lost(path)
        else:
            self.ways.on_closed(arrival, path, now)

    def _on_bytes(self, arrival: Bytes, path: Path, now: Instant) -> None:
        messages = self.ways.read(path, arrival, now)
        if isinstance(messages, DropReason):
            self._outbox.drop(messages, remote=path.remote, now=now)
            if self.mobility.is_moving_to(path):
                self.mobility.on_junk(path)
            return
        for message in messages:
            dropped = self._on_message(message, path, now)
            if dropped is not None:
                self._outbox.drop(dropped, remote=path.remote, now=now)
            if self.is_over or self.paths.of_stream(arrival.handle) is None:
                return
        if path.is_broken:
            self._on_bytes(Bytes(arrival.handle, b""), path, now)

    def _on_message(self, payload: bytes, path: Path, now: Instant) -> DropReason | None:
        try:
            if flow_channel(payload) is not None:
                return self.data.on_channel_data(payload)
            message = decode_message(payload)
        except DecodeError as failure:
            return drop_reason(failure)
        if message.message_class is MessageClass.INDICATION and message.method == Method.DATA:
            return self.data.on_indication(message)
        if message.message_class is MessageClass.INDICATION and message.method == Method.CONNECTION_ATTEMPT:
            return self._on_connection_attempt(message, now)
        answer = self.requests.receive(message, path, now)
        if answer is not None:
            self.ways.on_alive(path, now)
            self._on_answer(answer, now)
        return None

    def _on_connection_attempt(self, message: Message, now: Instant) -> DropReason | None:
        peer = message.get(XorPeerAddress)
        if self.lease.grant is None or self._config.relay_transport is not Transport.TCP:
            return DropReason.UNEXPECTED_MESSAGE
        is_permitted = peer is not None and self.permissions.is_permitted(peer.address.host)
        return self.connections.on_indication(message, is_permitted, now)

    # -- requests and their ends ---------------------------------------------------------------------------

    def _on_sent(self, request: Request, now: Instant) -> None:
        if request.purpose is Purpose.PERMISSION:
            self.permissions.on_sent(request)
        elif request.purpose is Purpose.CHANNEL and request.peer is not None:
            if self.channels.is_wanted(request.peer):
                self.permissions.on_channel_sent(request.peer.host)
        else:
            self.ways.on_sent(request, now)
            self.lease.on_sent(request, now)

    def _on_answer(self, answer: Answer, now: Instant) -> None:
        if self.ways.takes(answer, now):
            return
        if self._is_closing:
            self._on_last_answer(answer, now)
        elif answer.outcome is Outcome.RETRY:
            if self.requests.submit(answer.request, now):
                self._on_sent(answer.request, now)
        elif answer.request.purpose is Purpose.PERMISSION:
            if not self.permissions.on_answer(answer, now):
                self.lease.lose(answer)
        elif answer.request.purpose is Purpose.MIGRATE and answer.path is not None:
            self.mobility.on_answer(answer, answer.path, now)
        elif answer.request.purpose in (Purpose.CONNECT, Purpose.CONNECTION_BIND):
            self._on_connection_answer(answer, now)
        elif answer.request.purpose is Purpose.CHANNEL:
            self._on_channel_answer(answer, now)
        else:
            self.lease.on_answer(answer, now)

    def _on_channel_answer(self, answer: Answer, now: Instant) -> None:
        if answer.code == ALLOCATION_MISMATCH:
            # RFC 8656 §5: after a 437 the client "MUST assume the allocation no longer exists".
            self.lease.lose(answer)
            return
        self.channels.on_answer(answer, now)
        for host in answer.request.hosts:
            if answer.outcome is Outcome.SUCCEEDED:
                self.permissions.on_channel_bound(host, answer.sent_at)
            else:
                self.permissions.on_channel_failed(host, now)

    def _on_connection_answer(self, answer: Answer, now: Instant) -> None:
        if answer.code == ALLOCATION_MISMATCH and answer.request.purpose is Purpose.CONNECT:
            self.lease.lose(answer)
        else:
            self.connections.on_answer(answer, now)

    def _on_last_answer(self, answer: Answer, now: Instant) -> None:
        is_allocate = answer.request.purpose is Purpose.ALLOCATE
        if is_allocate and answer.outcome is Outcome.SUCCEEDED:
            self.requests.submit(refresh_request(self._config, Purpose.RELEASE), now)
        elif not is_allocate and answer.outcome is Outcome.RETRY:
            self.requests.submit(answer.request, now)
        else:
            # RFC 8656 §8.3: for a deletion, 437 is as good as success.
            self.is_over = True

    def _settle(self) -> None:
        """Lets go of what has no use any more, once what was to be said is said."""
        if self._is_closing:
            self.is_over = self.is_over or self.ways.is_gone
        elif self.lease.has_ended and not self.ways.has_ended:
            self.mobility.end()
            self.connections.clear()
            self.ways.end_if_idle()
