"""Noticing within a round trip that the path in use is silent, and which other pairs are kept ready for it.

Only where renomination is agreed (renomination.py). A consent check that is not answered in time raises an
alarm: the pair and those kept warm are checked at once, by ordinary connectivity checks (RFC 7675's pace binds
consent checks only). No answer to that either, and the pair is silent: data goes on a pair that did answer, and
the controlling side nominates it. What follows is decided in conclusion.py; docs/decisions/0015 tells the choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, final

from icepath.ice.core import Core, TimerKey, TimerKind
from icepath.ice.pair import CandidatePair
from icepath.net import Instant, Seconds

# How long an answer is waited for: a quarter more than the last round trip, 20 ms more at least. Too early costs a few
# checks and no change of path: two in a row have to be missing, and another pair has to answer meanwhile.
PATIENCE_ROUND_TRIPS: Final = 1.25
PATIENCE_MARGIN: Final[Seconds] = 0.02
# For a pair whose round trip is not known: most on earth are shorter.
UNKNOWN_ROUND_TRIP: Final[Seconds] = 0.3
# Consent checks of a pair that the other side keeps warm are 8 s apart at least; one that comes sooner tells that it
# looks for another path, perhaps as an address of its own went away. Ours is checked then, once a second at most.
CUE_WITHIN: Final[Seconds] = 7.5
CUE_INTERVAL: Final[Seconds] = 1.0

_PROBE: Final = TimerKind.PROBE


class Vigil(NamedTuple):
    """Is how far the wait for an answer on one pair has come."""

    alarmed: Instant | None = None
    """When the first answer was missed."""
    is_silent: bool = False
    """The second was missed too."""


_WAITING: Final = Vigil()


@final
class Failover:
    """Waits for the answers of pairs in use."""

    __slots__ = ("_core", "_cued_at", "_requests", "_vigils")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._vigils: dict[int, Vigil] = {}
        # When the last check of the other side came on each pair kept warm, and when one last meant something.
        self._requests: dict[int, Instant] = {}
        self._cued_at: Instant | None = None

    def on_sent(self, pair: CandidatePair, *, now: Instant) -> None:
        """Begins to wait for the answer to a consent check."""
        if pair.id not in self._vigils:
            self._vigils[pair.id] = _WAITING
            self._core.timers.set(TimerKey(_PROBE, pair.id), now + patience(pair))

    def on_answer(self, pair: CandidatePair) -> None:
        """Ends the wait, and the alarm if there was one."""
        vigil = self._vigils.get(pair.id)
        if vigil is not None:
            self.forget(pair)
            if vigil.alarmed is not None:
                self._core.touch()

    def forget(self, pair: CandidatePair) -> None:
        """Stops waiting: the pair was answered on, or is not in use any more."""
        if self._vigils.pop(pair.id, None) is not None:
            self._core.timers.cancel(TimerKey(_PROBE, pair.id))

    def on_missed(self, pair: CandidatePair, others: Sequence[CandidatePair], *, now: Instant) -> None:
        """Takes a missing answer, or a hard ICMP error: the first time all are checked, the second it is silent."""
        generation = self._core.generation_of(pair)
        vigil = self._vigils.get(pair.id, _WAITING)
        if generation is None or vigil.is_silent:
            return
        if vigil.alarmed is not None:
            self._vigils[pair.id] = Vigil(vigil.alarmed, is_silent=True)
            self._core.touch()
            return
        self._vigils[pair.id] = Vigil(now)
        for each in (pair, *others):
            generation.checklist.enqueue_triggered(each)
        self._core.timers.set(TimerKey(_PROBE, pair.id), now + patience(pair) + self._core.pacer.interval)

    def on_request(self, pair: CandidatePair, used: CandidatePair, *, now: Instant) -> None:
        """Takes a check of the other side on a pair kept warm: out of its time, it has the pair in use checked."""
        last = self._requests.get(pair.id)
        self._requests[pair.id] = now
        is_cue = last is not None and now - last < CUE_WITHIN
        if not is_cue or used.id in self._vigils or (self._cued_at is not None and now - self._cued_at < CUE_INTERVAL):
            return
        generation = self._core.generation_of(used)
        if generation is not None:
            self._cued_at = now
            generation.checklist.enqueue_triggered(used)
            self.on_sent(used, now=now)

    def cool(self, pair: CandidatePair) -> None:
        """Forgets what came on a pair that is not kept warm any more."""
        self._requests.pop(pair.id, None)

    def alarmed_at(self, pair: CandidatePair) -> Instant | None:
        """Returns when an answer was first missed, or None when none is missing."""
        vigil = self._vigils.get(pair.id)
        return None if vigil is None else vigil.alarmed

    def is_silent(self, pair: CandidatePair) -> bool:
        """Says whether two answers in a row are missing."""
        vigil = self._vigils.get(pair.id)
        return vigil is not None and vigil.is_silent


def patience(pair: CandidatePair) -> Seconds:
    """Returns how long an answer on the pair is waited for."""
    rtt = UNKNOWN_ROUND_TRIP if pair.rtt is None else pair.rtt
    return max(PATIENCE_ROUND_TRIPS * rtt, rtt + PATIENCE_MARGIN)


def spread(core: Core, used: CandidatePair, pairs: Sequence[CandidatePair], limit: int) -> list[CandidatePair]:
    """Returns the pairs to keep ready beside the one in use: those that share least with it and with each other.

    What kills a path is mostly one interface or one relay of one side: the ends decide, the priority only after them.
    """
    rest = [pair for pair in pairs if pair is not used]
    chosen = [used]
    while rest and len(chosen) <= limit:
        best = min(rest, key=lambda pair: (_shared(core, pair, chosen), -pair.priority, pair.id))
        rest.remove(best)
        chosen.append(best)
    return chosen[1:]


def _shared(core: Core, pair: CandidatePair, chosen: Sequence[CandidatePair]) -> int:
    """Counts the ends that the pair has in common with those chosen."""
    count = 0
    for other in chosen:
        count += _interface(core, other) == _interface(core, pair)
        count += other.remote_address.host == pair.remote_address.host
    return count


def _interface(core: Core, pair: CandidatePair) -> str:
    """Returns the host address that the pair really sends from, a relay's included."""
    socket = core.sockets.get(pair.local.base)
    if socket is None or socket.relay is None:
        return pair.local.base.host
    return socket.relay.host.address.host
