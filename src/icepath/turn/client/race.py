"""Which of several routes to one server is taken: the first that shows life, and UDP if it does so soon after.

A part of `Ways`, which does what is decided here. RFC 8656 §2.1 leaves to the client how it finds a transport that
works; a client that tries them one after another waits seconds behind each firewall. So all start together (or
250 ms apart): connections open without a request on them, and only the winner is ever asked for an allocation.

Strategy: life is an answer to a datagram, or an open connection. What shows it first waits a moment for a route that
is preferred: UDP before all else, and of routes that differ in nothing but the address the one that comes first, as
whoever resolved the name has sorted them (RFC 6724; RFC 8305 §4: that, and no opinion of ours, prefers IPv6).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, final

from icepath.net import Instant, Seconds
from icepath.turn.client.routes import Path, Route, RoutePolicy

# How long a route that lives waits for one that is preferred, once that has had as long as it took itself: for UDP,
# an answer that left with the server's SYN-ACK and met a queue. Short against what TCP costs the media afterwards.
PREFERENCE_GRACE: Final[Seconds] = 0.05
# RFC 8305 §5: "Connection Attempt Delay [...] recommended value for a default delay is 250 milliseconds".
STAGGER_DELAY: Final[Seconds] = 0.25


class _State(Enum):
    IDLE = auto()
    RUNNING = auto()
    ALIVE = auto()
    FAILED = auto()


class Runner:
    """Is one route in the race. Only its race changes it, but for `path`."""

    __slots__ = ("alive_at", "order", "path", "route", "sent_at", "start_at", "state")

    def __init__(self, route: Route, order: int) -> None:
        self.route: Final = route
        self.order: Final = order
        self.path: Path | None = None
        """What it runs on; set by who starts it."""
        self.state = _State.IDLE
        self.start_at: Instant | None = None
        """When an idle one starts."""
        self.sent_at: Instant | None = None
        """When its first packet left; that of a datagram waits for a slot."""
        self.alive_at: Instant = 0.0

    def is_preferred_to(self, other: Runner) -> bool:
        """Says whether the other one, alive, waits a moment for this one."""
        if self.route.is_datagram and not other.route.is_datagram:
            return True
        return self.route.is_like(other.route) and self.order < other.order


@final
class Race:
    """Says which route starts when, and which has won."""

    __slots__ = ("_policy", "_runners", "_timeout", "winner")

    def __init__(self, routes: tuple[Route, ...], policy: RoutePolicy, timeout: Seconds) -> None:
        self._runners = [Runner(route, order) for order, route in enumerate(routes)]
        self._policy = policy
        self._timeout = timeout
        self.winner: Runner | None = None
        """The route taken; None while that is open."""

    @property
    def has_several(self) -> bool:
        """Says whether there was more than one route to choose from."""
        return len(self._runners) > 1

    @property
    def is_lost(self) -> bool:
        """Says whether every route has failed."""
        return all(runner.state is _State.FAILED for runner in self._runners)

    def has_others(self, than: Runner) -> bool:
        """Says whether some other route has not failed."""
        return any(runner is not than and runner.state is not _State.FAILED for runner in self._runners)

    def runner_of(self, path: Path) -> Runner | None:
        """Returns who runs on a path, or None."""
        for runner in self._runners:
            if runner.path is path:
                return runner
        return None

    def start(self, now: Instant) -> None:
        """Lines up all routes that have not failed."""
        self.winner = None
        delay = STAGGER_DELAY if self._policy is RoutePolicy.STAGGER else 0.0
        at = now
        for runner in self._runners:
            if runner.state is not _State.FAILED:
                runner.state = _State.IDLE
                runner.start_at = at
                at += delay

    def take_started(self, now: Instant) -> list[Runner]:
        """Returns the routes whose turn has come; the caller opens each, and gives it a path."""
        started = [r for r in self._runners if r.start_at is not None and r.start_at <= now]
        for runner in started:
            runner.start_at = None
            runner.state = _State.RUNNING
            runner.sent_at = None if runner.route.is_datagram else now
        return started

    def on_sent(self, runner: Runner | None, now: Instant) -> None:
        """Notes that a datagram route's first packet has left; None is no route of this race."""
        if runner is not None and runner.sent_at is None:
            runner.sent_at = now

    def on_alive(self, runner: Runner, now: Instant) -> None:
        """Notes a sign of life."""
        if runner.state is _State.RUNNING:
            runner.state = _State.ALIVE
            runner.alive_at = now

    def fail(self, runner: Runner, now: Instant) -> None:
        """Takes a route out; with `STAGGER` the next one need not wait any longer."""
        runner.state = _State.FAILED
        runner.start_at = None
        waiting = [r for r in self._runners if r.start_at is not None]
        if waiting and not any(r.state in (_State.RUNNING, _State.ALIVE) for r in self._runners):
            gap = waiting[0].start_at or now
            for r in waiting:
                r.start_at = now + (r.start_at or now) - gap

    def take_late(self, now: Instant) -> list[Runner]:
        """Returns the connections that should have opened by now."""
        return [r for r in self._runners if (at := self._late_at(r)) is not None and at <= now]

    def decide(self, now: Instant) -> Runner | None:
        """Returns the winner as soon as there is one: once."""
        best = self._best()
        if self.winner is not None or best is None or self._decided_at(best) > now:
            return None
        self.winner = best
        return best

    def finish(self) -> list[Runner]:
        """Returns the other routes that had started; they may start again."""
        others: list[Runner] = []
        for runner in self._runners:
            runner.start_at = None
            if runner is not self.winner and runner.state in (_State.RUNNING, _State.ALIVE):
                runner.state = _State.IDLE
                others.append(runner)
        return others

    def next_deadline(self) -> Instant | None:
        """Returns when a route starts, has failed, or has won, or None."""
        if self.winner is not None:
            return None
        deadlines = [at for r in self._runners for at in (r.start_at, self._late_at(r)) if at is not None]
        best = self._best()
        if best is not None and (decided_at := self._decided_at(best)) != float("inf"):
            deadlines.append(decided_at)
        return min(deadlines, default=None)

    def _late_at(self, runner: Runner) -> Instant | None:
        if runner.state is not _State.RUNNING or runner.route.is_datagram or runner.sent_at is None:
            return None
        return runner.sent_at + self._timeout

    def _best(self) -> Runner | None:
        alive = [runner for runner in self._runners if runner.state is _State.ALIVE]
        return min(alive, key=lambda runner: (not runner.route.is_datagram, runner.order), default=None)

    def _decided_at(self, best: Runner) -> Instant:
        """Returns when the best one alive need not wait for those preferred to it any longer."""
        took = best.alive_at - (best.alive_at if best.sent_at is None else best.sent_at)
        at = best.alive_at
        for runner in self._runners:
            if runner.state is _State.RUNNING and runner.is_preferred_to(best):
                if runner.sent_at is None:
                    return float("inf")  # it has its slot, and will have its chance
                at = max(at, best.alive_at + PREFERENCE_GRACE, runner.sent_at + took + PREFERENCE_GRACE)
        return at
