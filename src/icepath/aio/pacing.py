"""The process-wide gap between transactions: the `reserve_slot` that every agent of a process is given.

RFC 8445 §14.2 bounds the rate of new STUN and TURN transactions of all agents together: one every 5 ms.
An agent whose own gap has passed asks once for the next free slot and is woken only then; nobody polls.
The state is one number, shared by all event loops and threads of the process, under one lock.
"""

from __future__ import annotations

import threading
from typing import Final, final

from icepath.errors import InvalidArgument
from icepath.net import Instant, Seconds

# RFC 8445 §14.2: "agents SHOULD NOT use values smaller than 5 ms" for Ta, and Appendix B.1: all agents of
# a host behave as one sender.
SLOT_INTERVAL: Final[Seconds] = 0.005


@final
class SlotReserver:
    """Hands out instants at least `interval` apart, in the order it is asked."""

    __slots__ = ("_interval", "_lock", "_next")

    def __init__(self, interval: Seconds = SLOT_INTERVAL) -> None:
        if interval < 0:
            raise InvalidArgument(f"interval {interval} s is negative")
        self._interval = interval
        self._lock = threading.Lock()
        self._next: Instant = float("-inf")

    def __call__(self, now: Instant) -> Instant:
        """Reserves the next free slot and returns when it is: now, if the gap has passed."""
        with self._lock:
            slot = max(now, self._next)
            self._next = slot + self._interval
        return slot


reserve_slot: Final = SlotReserver()
"""The one of this process; time is time.monotonic(), which all threads share."""
