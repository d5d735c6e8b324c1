"""The way to the server: opened, chosen, lost, redirected; everything of an allocation that is about connections.

A part of `Allocation`. race.py decides which route is taken, redirect.py where a 300 leads; here is done what they
say: connections are opened and closed, the Allocate goes where it should, failures are collected and told.

Strategy: the first UDP route's sign of life is the answer to the Allocate itself, so that plain UDP costs no packet
and no time more than it must. A further UDP route is asked by a Binding request, which allocates nothing. An
Allocate that was sent along a way given up since may still be granted: it is then given back at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, final

from icepath.errors import DecodeError
from icepath.machine import Bytes, Closed, DropReason, Failed, Opened, Unreachable
from icepath.net import Instant, Seconds
from icepath.outbox import Outbox
from icepath.stun.transaction import drop_reason
from icepath.turn.client.config import AllocationConfig
from icepath.turn.client.events import (
    AllocationEvent,
    AllocationFailed,
    AllocationFailure,
    Redirected,
    RouteChosen,
    RouteFailed,
)
from icepath.turn.client.exchange import Answer, Outcome, Purpose, Request
from icepath.turn.client.grant import refresh_request
from icepath.turn.client.lease import Lease, is_hard_error
from icepath.turn.client.paths import Paths
from icepath.turn.client.race import Race, Runner
from icepath.turn.client.redirect import TRY_ALTERNATE, Redirects
from icepath.turn.client.requests import Requests
from icepath.turn.client.routes import Path, local_of
from icepath.wire.message import Message

# How long an Allocate on a byte stream stays unanswered while other routes are left: middleboxes accept connections
# for servers that are not there, and Ti (39.5 s) is longer than anybody waits for a call.
IMPATIENCE: Final[Seconds] = 5.0


@final
class Ways:
    """Keeps an allocation in touch with its server."""

    __slots__ = (
        "_allocating",
        "_config",
        "_failures",
        "_lease",
        "_outbox",
        "_paths",
        "_race",
        "_redirects",
        "_requests",
        "has_ended",
    )

    def __init__(
        self,
        config: AllocationConfig,
        requests: Requests,
        lease: Lease,
        paths: Paths,
        outbox: Outbox[AllocationEvent],
    ) -> None:
        self._config = config
        self._requests = requests
        self._lease = lease
        self._outbox = outbox
        self._paths = paths
        self._race = Race(config.ways, config.transports, config.reliable_timeout)
        self._redirects = Redirects(config.ways, config.max_redirects)
        # Where the Allocate goes, or went.
        self._allocating: Path | None = None
        self._failures: list[RouteFailed] = []
        self.has_ended = False
        """Whether every connection was closed for good."""

    @property
    def is_gone(self) -> bool:
        """Says whether the way in use has ended, so that nothing can be sent."""
        return self._requests.path.is_closed

    # -- the race ----------------------------------------------------------------------------------------------

    def begin(self, now: Instant) -> None:
        """Starts all routes."""
        self._race.start(now)
        self._go_on(now)

    def handle_timeout(self, now: Instant) -> None:
        """Starts routes whose turn it is, fails those that took too long, and chooses."""
        for runner in self._race.take_late(now):
            text = f"no connection within {self._config.reliable_timeout:g} s"
            self._fail_runner(runner, AllocationFailure.NOT_CONNECTED, text, now)
        self._go_on(now)

    def next_deadline(self) -> Instant | None:
        """Returns when `handle_timeout` is wanted, or None."""
        return self._race.next_deadline()

    def on_sent(self, request: Request, now: Instant) -> None:
        """Notes that an Allocate or a probe has left."""
        self._race.on_sent(self._runner(self._allocating if request.path is None else request.path), now)

    def on_alive(self, path: Path, now: Instant) -> None:
        """Notes an answer that came along a path."""
        runner = self._runner(path)
        if runner is not None and self._race.winner is None:
            self._race.on_alive(runner, now)
            self._go_on(now)

    def on_opened(self, arrival: Opened, path: Path, now: Instant) -> None:
        """Takes the word that a connection is open."""
        path.local = arrival.local
        self.on_alive(path, now)

    def on_failed(self, arrival: Failed, path: Path, now: Instant) -> None:
        """Takes the word that a connection could not be opened."""
        word = arrival.reason.name.lower().replace("_", " ")
        text = f"{word} ({arrival.detail})" if arrival.detail else word
        self._lose(path, AllocationFailure.NOT_CONNECTED, text, now)

    def on_closed(self, arrival: Closed, path: Path, now: Instant) -> None:
        """Takes the word that a connection has ended."""
        text = f"the connection ended ({arrival.reason.name.lower().replace('_', ' ')})"
        self._lose(path, AllocationFailure.CONNECTION_LOST, text, now)

    def on_unreachable(self, arrival: Unreachable, now: Instant) -> None:
        """Gives up a way that datagrams cannot go, while there is no lease: one that is held judges by its refreshes.

        RFC: 8489 §6.2.1.
        """
        path = self._paths.of_datagram(arrival.local, arrival.remote)
        if isinstance(path, DropReason) or not (self._lease.is_pending and is_hard_error(arrival)):
            return
        runner = self._runner(path)
        if runner is not None and (path is self._allocating or self._race.winner is None):
            text = f"ICMP type {arrival.icmp_type} code {arrival.icmp_code}"
            self._fail_runner(runner, AllocationFailure.UNREACHABLE, text, now)

    def read(self, path: Path, arrival: Bytes, now: Instant) -> list[bytes] | DropReason:
        """Returns the messages that a connection brings; or, when it brings junk, ends it and says why."""
        try:
            return path.cut(arrival.payload)
        except DecodeError as failure:
            self.reject(path, str(failure), now)
            return drop_reason(failure)

    def reject(self, path: Path, text: str, now: Instant) -> None:
        """Ends a connection on which nothing more can be understood."""
        self._paths.close(path, abort=True)
        self._lose(path, AllocationFailure.NOT_TURN, text, now)

    # -- answers -----------------------------------------------------------------------------------------------

    def takes(self, answer: Answer, now: Instant) -> bool:
        """Takes an answer that is about the way: to a probe, along a way given up, a silence, a redirection.

        Says whether it was one.
        """
        purpose = answer.request.purpose
        if purpose is Purpose.PROBE:
            self._on_probe_answer(answer, now)
        elif purpose is Purpose.GIVE_BACK:
            if answer.outcome is Outcome.RETRY:
                self._requests.submit(answer.request, now)
        elif purpose is not Purpose.ALLOCATE:
            return False
        elif answer.path is not None and answer.path is not self._allocating:
            if answer.outcome is Outcome.SUCCEEDED:
                self._give_back(answer.path, now)
        else:
            return self._lease.is_pending and self._is_about_the_way(answer, now)
        return True

    def _is_about_the_way(self, answer: Answer, now: Instant) -> bool:
        is_redirection = answer.code == TRY_ALTERNATE and answer.is_verified and self._redirects.is_followed
        if is_redirection and answer.message is not None:
            self._redirect(answer, answer.message, now)
            return True
        runner = self._runner(self._allocating)
        if runner is None or answer.outcome is not Outcome.TIMED_OUT:
            return False
        self._fail_runner(runner, answer.failure, answer.text, now)
        return True

    def _on_probe_answer(self, answer: Answer, now: Instant) -> None:
        # Any answer is a sign of life, and was noted as one when it came.
        runner = self._runner(answer.path)
        if runner is not None and answer.outcome is Outcome.TIMED_OUT:
            self._fail_runner(runner, answer.failure, answer.text, now)

    def _give_back(self, path: Path, now: Instant) -> None:
        self._requests.submit(replace(refresh_request(self._config, Purpose.GIVE_BACK), path=path), now)

    def _redirect(self, answer: Answer, message: Message, now: Instant) -> None:
        present = self._requests.path.route
        route = self._redirects.follow(message, present)
        if isinstance(route, str):
            self._lease.fail(AllocationFailed(answer.failure, answer.code, route, routes=tuple(self._failures)))
            return
        self._failures.append(RouteFailed(present, answer.failure, f"redirected to {route.address}"))
        self._outbox.put(Redirected(route))
        self._paths.close_all(keep=None)
        self._lease.suspend()
        self._requests.begin_anew()
        self._allocating = None
        self._race = Race((route,), self._config.transports, self._config.reliable_timeout)
        self.begin(now)

    def move_to(self, path: Path) -> None:
        """Uses another path from now on. What the server still sends along a UDP one before is heard."""
        old = self._requests.path
        self._allocating = self._requests.path = path
        self._paths.keep_datagrams((old, path))
        self._paths.close(old, abort=False)

    # -- the end -----------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Closes every connection: there will be no use for one."""
        self.has_ended = True
        self.give_up_others()
        self._paths.close_all(keep=None)

    def end_if_idle(self) -> None:
        """Does so once what was granted and not wanted has been deleted."""
        if not self._requests.is_in_flight(Purpose.RELEASE):
            self.end()

    def give_up_others(self) -> None:
        """Closes what is not in use: nothing will be chosen any more."""
        self._race.finish()
        self._requests.forget(Purpose.PROBE)
        self._paths.close_all(keep=self._allocating)

    # -- doing what the race says ------------------------------------------------------------------------------

    def _go_on(self, now: Instant) -> None:
        for runner in self._race.take_started(now):
            self._open(runner, now)
        winner = self._race.decide(now)
        if winner is not None and winner.path is not None:
            self._choose(winner, winner.path, now)

    def _open(self, runner: Runner, now: Instant) -> None:
        route = runner.route
        local = local_of(route, self._config.local)
        if not route.is_datagram:
            runner.path = self._paths.connect(route, local, self._config.local)
            return
        path = runner.path
        if path is None:
            path = runner.path = self._paths.add(Path(route, local or self._config.local))
        if self._allocating is None:
            self._allocate(runner, path, now)
        elif self._requests.submit(Request(Purpose.PROBE, (), is_paced=True, path=path), now):
            self._race.on_sent(runner, now)

    def _allocate(self, runner: Runner, path: Path, now: Instant) -> None:
        self._allocating = path
        self._requests.take(path, impatience=IMPATIENCE if self._race.has_others(runner) else None)
        if self._lease.allocate(now):
            self._race.on_sent(runner, now)

    def _choose(self, winner: Runner, path: Path, now: Instant) -> None:
        for other in self._race.finish():
            self._paths.close(other.path, abort=True)
        self._requests.forget(Purpose.PROBE)
        if self._config.routes:
            self._outbox.put(RouteChosen(winner.route))
        if path is not self._allocating:
            self._lease.suspend()
            self._allocate(winner, path, now)

    def _lose(self, path: Path, reason: AllocationFailure, text: str, now: Instant) -> None:
        """Takes the end of a connection, whatever it was good for."""
        self._paths.forget(path)
        runner = self._runner(path)
        if self._lease.is_pending and runner is not None:
            self._fail_runner(runner, reason, text, now)
        elif path is self._requests.path:
            self._lease.abort(reason, text)

    def _fail_runner(self, runner: Runner, reason: AllocationFailure, text: str, now: Instant) -> None:
        self._paths.close(runner.path, abort=True)
        self._race.fail(runner, now)
        failure = RouteFailed(runner.route, reason, text)
        if self._race.is_lost:
            self._give_up(failure)
            return
        self._failures.append(failure)
        self._outbox.put(failure)
        if self._allocating is not None and runner.path is self._allocating:
            self._allocating = None
            self._lease.suspend()
        if self._race.winner is not None:
            self._race.start(now)
        self._go_on(now)

    def _give_up(self, failure: RouteFailed) -> None:
        failures = (*self._failures, failure)
        if len(failures) == 1:
            self._lease.fail(AllocationFailed(failure.reason, None, failure.text))
            return
        text = "; ".join([str(each) for each in failures])
        self._lease.fail(AllocationFailed(failure.reason, None, text, routes=failures))

    def _runner(self, path: Path | None) -> Runner | None:
        return None if path is None else self._race.runner_of(path)
