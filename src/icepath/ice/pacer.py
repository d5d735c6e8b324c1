"""When the next transaction of this agent may go (RFC 8445 §14.2).

Each agent leaves Ta between its transactions; all agents of a process together leave 5 ms, which the
injected `reserve_slot` sees to. A slot is reserved only when something waits for it, so nobody polls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from icepath.net import Instant, Seconds

# RFC 8445 §14.2: transactions of all agents together MUST NOT be sent more often than once every 5 ms.
MIN_PACING: Final[Seconds] = 0.005
# RFC 8445 §14.2: "use a default Ta value, 50 ms"; it stands for an agent that proposes none.
DEFAULT_PACING: Final[Seconds] = 0.050

ReserveSlot = Callable[[Instant], Instant]


class Pacer:
    """Hands out the instants at which this agent may start a transaction."""

    __slots__ = ("_last", "_reserve_slot", "interval")

    def __init__(self, interval: Seconds, reserve_slot: ReserveSlot) -> None:
        self.interval = interval
        self._reserve_slot = reserve_slot
        self._last: Instant | None = None

    def reserve(self, now: Instant) -> Instant:
        """Reserves the next slot at or after `now` and returns its instant."""
        own = now if self._last is None else max(now, self._last + self.interval)
        at = max(own, self._reserve_slot(own))
        self._last = at
        return at

    def agree(self, own: Seconds, proposed: Seconds | None) -> None:
        """Applies the higher of the two proposals; None stands for an agent that proposed nothing."""
        self.interval = max(own, DEFAULT_PACING if proposed is None else proposed)
