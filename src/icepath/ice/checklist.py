"""Checklists and the checklist set: forming, limiting, freezing, and picking the next check.

A `Checklist` holds the pairs of one data stream; the `ChecklistSet` holds all of them and applies the
rules that reach across streams by foundation. Nothing here sends. RFC 8445 §6.1.2 and §6.1.4; RFC 8838
§12 for pairs that come later: they are placed as if they had been there from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Final

from icepath.ice.pair import CandidatePair, PairFoundation, PairKey, PairState

# Bound here: looking a member up in its enum costs a tenth of a microsecond.
_FROZEN: Final = PairState.FROZEN
_WAITING: Final = PairState.WAITING
_IN_PROGRESS: Final = PairState.IN_PROGRESS


class ChecklistState(Enum):
    """Is a checklist's state (RFC 8445 §6.1.2.1)."""

    RUNNING = auto()
    COMPLETED = auto()
    FAILED = auto()


_RUNNING: Final = ChecklistState.RUNNING


class Checklist:
    """Holds the pairs of one data stream."""

    __slots__ = ("pairs", "state", "stays_open", "triggered")

    def __init__(self) -> None:
        self.pairs: dict[PairKey, CandidatePair] = {}
        self.state = _RUNNING
        # With renomination, pairs are checked after a nomination too: one of them may be wanted later.
        self.stays_open = False
        # RFC 8445 §6.1.4.1: first in, first out. A list: it is short, and a deque takes 760 bytes when empty.
        self.triggered: list[CandidatePair] = []

    def enqueue_triggered(self, pair: CandidatePair) -> None:
        """Puts the pair into the triggered-check queue, once, and makes it Waiting (RFC 8445 §7.3.1.4)."""
        pair.state = _WAITING
        if pair not in self.triggered:
            self.triggered.append(pair)

    def remove(self, pair: CandidatePair) -> None:
        """Takes the pair off the checklist and the triggered-check queue."""
        self.pairs.pop(pair.key, None)
        if pair in self.triggered:
            self.triggered.remove(pair)

    def valid_pairs(self, component: int) -> list[CandidatePair]:
        """Returns the component's valid list (RFC 8445 §7.2.5.3.2)."""
        return [pair for pair in self.pairs.values() if pair.valid is not None and pair.component == component]

    def is_exhausted(self, is_ready: Callable[[CandidatePair], bool]) -> bool:
        """Says whether no check is left: every pair Succeeded or Failed (RFC 8445 §7.2.5.4), or not to be sent.

        A relay that refuses a permission makes a pair that is never checked; nothing may wait for it.
        """
        if self.triggered:
            return False
        for pair in self.pairs.values():
            if pair.state is _IN_PROGRESS or (pair.state in (_FROZEN, _WAITING) and is_ready(pair)):
                return False
        return True


class ChecklistSet:
    """Holds the checklists of all streams, in the streams' order."""

    __slots__ = ("_lists", "_max_pairs", "_turns")

    def __init__(self, max_pairs: int) -> None:
        self._lists: dict[int, Checklist] = {}
        self._max_pairs = max_pairs
        # The streams, beginning with the one after the last whose check was picked.
        self._turns: list[int] = []

    def put(self, stream: int, checklist: Checklist) -> None:
        """Adds or replaces a stream's checklist."""
        if stream not in self._lists:
            self._turns.append(stream)
        self._lists[stream] = checklist

    def pairs(self) -> Iterator[CandidatePair]:
        """Iterates over all pairs, stream by stream."""
        for checklist in self._lists.values():
            yield from checklist.pairs.values()

    def counts(self) -> tuple[int, int]:
        """Returns how many pairs there are, and how many are Waiting or In-Progress (RFC 8445 §14.3)."""
        total = active = 0
        for pair in self.pairs():
            total += 1
            if pair.state is _WAITING or pair.state is _IN_PROGRESS:
                active += 1
        return total, active

    def insert(self, pair: CandidatePair) -> CandidatePair | None:
        """Adds a pair with the state that RFC 8838 §12 gives it; returns the pair that had to leave, if any.

        A Failed pair leaves first; it is the newcomer itself when that is the weakest (RFC 8445 §6.1.2.5).
        """
        checklist = self._lists[pair.stream]
        pair.state = self._initial_state(pair)
        checklist.pairs[pair.key] = pair
        total = sum([len(each.pairs) for each in self._lists.values()])
        removed = self._weakest() if total > self._max_pairs else None
        if removed is not None:
            self._lists[removed.stream].remove(removed)
        return removed

    def _weakest(self) -> CandidatePair | None:
        idle = (_FROZEN, _WAITING, PairState.FAILED)
        candidates = [pair for pair in self.pairs() if pair.state in idle and pair.valid is None]
        return min(candidates, key=_worth, default=None)

    def _initial_state(self, new: CandidatePair) -> PairState:
        foundation = new.foundation
        rank = _rank(new)
        topmost = True
        for pair in self.pairs():
            if pair.foundation != foundation or pair is new:
                continue
            if pair.state is PairState.SUCCEEDED:
                return _WAITING
            if _rank(pair) < rank:
                topmost = False
        return _WAITING if topmost else _FROZEN

    def unfreeze(self, foundation: PairFoundation) -> None:
        """Makes every Frozen pair of the foundation Waiting (RFC 8445 §7.2.5.3.3)."""
        for pair in self.pairs():
            if pair.state is _FROZEN and pair.foundation == foundation:
                pair.state = _WAITING

    def has_triggered(self) -> bool:
        """Says whether a triggered check waits."""
        for checklist in self._lists.values():  # noqa: SIM110 - asked after every packet; a generator costs more
            if checklist.triggered:
                return True
        return False

    def next_triggered(self) -> CandidatePair | None:
        """Takes the next pair from the triggered-check queues, checklists in turn."""
        for stream in self._turns:
            triggered = self._lists[stream].triggered
            if triggered:
                self._end_turn(stream)
                return triggered.pop(0)
        return None

    def has_ordinary(self, is_ready: Callable[[CandidatePair], bool]) -> bool:
        """Says whether `next_ordinary` has a pair; it stays the same checklist's turn."""
        for stream in self._turns:  # noqa: SIM110 - asked after every packet; a generator costs more
            if self._ready(self._lists[stream], is_ready):
                return True
        return False

    def next_ordinary(self, is_ready: Callable[[CandidatePair], bool]) -> CandidatePair | None:
        """Returns the pair to check next by RFC 8445 §6.1.4.2 steps 2 to 4, or None.

        `is_ready` leaves out pairs whose check cannot be sent yet (a relay's permission is missing).
        """
        for stream in self._turns:
            ready = self._ready(self._lists[stream], is_ready)
            if ready:
                self._end_turn(stream)
                return min(ready, key=_check_order)
        return None

    def _ready(self, checklist: Checklist, is_ready: Callable[[CandidatePair], bool]) -> list[CandidatePair]:
        """Returns the pairs that an ordinary check may be sent for; only a Running or open checklist has any."""
        if checklist.state is not _RUNNING and not checklist.stays_open:
            return []
        waiting = _waiting(checklist, is_ready)
        return _waiting(checklist, is_ready) if not waiting and self._thaw(checklist) else waiting

    def _thaw(self, checklist: Checklist) -> bool:
        """Makes Frozen pairs Waiting whose foundation has nothing under way (RFC 8445 §6.1.4.2 step 2).

        A Waiting pair that cannot be sent holds up its own foundation only: its relay may never be permitted.
        """
        frozen = [pair for pair in checklist.pairs.values() if pair.state is _FROZEN]
        if not frozen:
            return False
        active = {
            pair.foundation
            for other in self._lists.values()
            if other.state is _RUNNING or other.stays_open  # in another one, a Waiting pair's turn never comes
            for pair in other.pairs.values()
            if pair.state in (_WAITING, _IN_PROGRESS)
        }
        thawed = False
        for pair in sorted(frozen, key=_rank):
            if pair.foundation not in active:
                pair.state = _WAITING
                active.add(pair.foundation)
                thawed = True
        return thawed

    def _end_turn(self, stream: int) -> None:
        place = self._turns.index(stream) + 1
        self._turns = self._turns[place:] + self._turns[:place]


def _waiting(checklist: Checklist, is_ready: Callable[[CandidatePair], bool]) -> list[CandidatePair]:
    return [pair for pair in checklist.pairs.values() if pair.state is _WAITING and is_ready(pair)]


def _worth(pair: CandidatePair) -> tuple[bool, int, int]:
    """Orders the pairs that may have to leave: Failed ones first (RFC 8838 §10), then the lowest priority."""
    return (pair.state is not PairState.FAILED, pair.priority, -pair.id)


def _check_order(pair: CandidatePair) -> tuple[int, int, int]:
    return (-pair.priority, pair.component, pair.id)


def _rank(pair: CandidatePair) -> tuple[int, int, int, int]:
    """Orders a foundation's column: first stream, lowest component, highest priority (RFC 8445 §6.1.2.6)."""
    return (pair.stream, pair.component, -pair.priority, pair.id)
