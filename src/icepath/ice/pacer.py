"""When the next transaction of this agent may go (RFC 8445 §14.2).

Each agent leaves Ta between its transactions; all agents of a process together leave 5 ms, which the
injected `reserve_slot` sees to. A slot is reserved only when something waits for it, so nobody polls.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable
from typing import Final

from icepath.net import Instant, Seconds

# RFC 8445 §14.2: transactions of all agents together MUST NOT be sent more often than once every 5 ms.
MIN_PACING: Final[Seconds] = 0.005
# RFC 8445 §14.2: "use a default Ta value, 50 ms"; it stands for an agent that proposes none.
DEFAULT_PACING: Final[Seconds] = 0.050
# The other side's proposal is obeyed up to here (RFC 8445 §14.2 wants the higher of both); beyond it the other
# side would stop this one by a number.
MAX_PACING: Final[Seconds] = 1.0

ReserveSlot = Callable[[Instant], Instant]


# Reservations remembered: at 200 a second, those of the last ten seconds and more.
MAX_REMEMBERED: Final = 4096
# Less than any clock's step, more than what adding up intervals rounds away.
TOLERANCE: Final[Seconds] = 1e-9


class SlotCalendar:
    """Is a `reserve_slot`: gives the earliest instant that is `interval` away from all others given.

    An agent whose own Ta is longer, or a request that may wait, reserves ahead of the clock; a calendar
    lets others have the slots between.
    """

    __slots__ = ("_taken", "interval")

    def __init__(self, interval: Seconds = MIN_PACING) -> None:
        self.interval = interval
        self._taken: list[Instant] = []

    def __call__(self, wanted: Instant) -> Instant:
        """Reserves and returns the earliest free instant at or after `wanted`."""
        at = self.earliest(wanted)
        self.take(at)
        return at

    def earliest(self, wanted: Instant) -> Instant:
        """Returns the earliest free instant at or after `wanted` without reserving it."""
        taken = self._taken
        index = bisect_right(taken, wanted - self.interval + TOLERANCE)
        at = wanted
        while index < len(taken) and taken[index] < at + self.interval - TOLERANCE:
            at = max(at, taken[index] + self.interval)
            index += 1
        return at

    def take(self, at: Instant) -> None:
        """Reserves an instant."""
        insort(self._taken, at)
        if len(self._taken) > MAX_REMEMBERED:
            del self._taken[: MAX_REMEMBERED // 2]


# How often the process may answer with an instant too close to one of the agent's own before it is taken anyway.
MAX_ATTEMPTS: Final = 8


class Pacer:
    """Hands out the instants at which this agent may start a transaction."""

    __slots__ = ("_own", "_reserve_slot")

    def __init__(self, interval: Seconds, reserve_slot: ReserveSlot) -> None:
        self._own = SlotCalendar(interval)
        self._reserve_slot = reserve_slot

    @property
    def interval(self) -> Seconds:
        """Returns Ta."""
        return self._own.interval

    def reserve(self, wanted: Instant) -> Instant:
        """Reserves the next slot at or after `wanted` that suits this agent and the process; returns its instant."""
        at = self._own.earliest(wanted)
        for _ in range(MAX_ATTEMPTS):
            at = max(at, self._reserve_slot(at))
            own = self._own.earliest(at)
            if own <= at:
                break
            at = own
        else:
            at = max(at, self._reserve_slot(at))
        self._own.take(at)
        return at

    def agree(self, own: Seconds, proposed: Seconds) -> None:
        """Applies the higher of the two proposals."""
        self._own.interval = max(own, proposed)
