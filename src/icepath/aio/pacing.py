"""The process-wide gap between transactions: the `reserve_slot` that every agent of a process is given.

RFC 8445 §14.2 bounds the rate of new STUN and TURN transactions of all agents together: one every 5 ms.
An agent whose own gap has passed asks once for the next free slot and is woken only then; nobody polls.
The calendar of slots is shared by all event loops and threads of the process, under one lock.
"""

from __future__ import annotations

import threading
from typing import Final, final

from icepath.errors import InvalidArgument
from icepath.ice.pacer import MIN_PACING, SlotCalendar
from icepath.net import Instant, Seconds


@final
class SlotReserver:
    """Hands out instants at least `interval` apart; one reserved ahead leaves those before it to others."""

    __slots__ = ("_calendar", "_lock")

    def __init__(self, interval: Seconds = MIN_PACING) -> None:
        if interval < 0:
            raise InvalidArgument(f"interval {interval} s is negative")
        self._calendar = SlotCalendar(interval)
        self._lock = threading.Lock()

    def __call__(self, wanted: Instant) -> Instant:
        """Reserves the earliest free slot at or after `wanted` and returns when it is."""
        with self._lock:
            return self._calendar(wanted)


reserve_slot: Final = SlotReserver()
"""The one of this process; time is time.monotonic(), which all threads share."""
