"""When a TCP connection sends again what nobody answered: round trips measured, silence timed (RFC 6298)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from icepath.net import Instant, Seconds
from icepath.sim.clock import Clock

# RFC 6298 §2.1: 1 s before a round trip was measured; then doubled, §5.5.
SYN_TIMEOUT: Final[Seconds] = 1.0
# Linux: TCP_RTO_MIN; RFC 6298 §2.5: a maximum of 60 s or more.
MIN_DATA_TIMEOUT: Final[Seconds] = 0.2
MAX_DATA_TIMEOUT: Final[Seconds] = 60.0


class RetransmissionTimer:
    """Measures round trips, and calls back after silence."""

    __slots__ = ("_clock", "_deadline", "_on_silence", "_rtt", "_timed", "_wake_at", "retries")

    def __init__(self, clock: Clock, on_silence: Callable[[], None]) -> None:
        self.retries = 0
        """How often in a row it was silent."""
        self._clock = clock
        self._on_silence = on_silence
        self._rtt: Seconds | None = None
        # (what is acknowledged when it arrived, when it was sent) of the segment whose round trip is measured
        self._timed: tuple[int, Instant] | None = None
        self._deadline: Instant | None = None
        # the earliest wake-up in the clock's heap
        self._wake_at: Instant | None = None

    @property
    def is_armed(self) -> bool:
        """Says whether silence is being timed."""
        return self._deadline is not None

    # -- round trips -----------------------------------------------------------------------------------------

    def begin(self, end: int) -> None:
        """Measures the round trip of what is sent now, until `end` is acknowledged; one at a time."""
        if self._timed is None:
            self._timed = (end, self._clock.now)

    def forget(self) -> None:
        """Measures nothing of what was sent: it was sent twice (RFC 6298 §3, Karn)."""
        self._timed = None

    def acknowledge(self, acknowledgment: int) -> None:
        """Ends the measurement if this is what it waits for."""
        if self._timed is None or acknowledgment < self._timed[0]:
            return
        sample = self._clock.now - self._timed[1]
        self._timed = None
        # RFC 6298 §2.3
        self._rtt = sample if self._rtt is None else 0.875 * self._rtt + 0.125 * sample

    # -- silence ---------------------------------------------------------------------------------------------

    def arm_syn(self) -> None:
        """Times the answer to a SYN."""
        self._arm(SYN_TIMEOUT * (1 << self.retries))

    def arm_data(self, longest: Seconds = MAX_DATA_TIMEOUT) -> None:
        """Times an acknowledgment, no longer than that."""
        rtt = SYN_TIMEOUT / 2 if self._rtt is None else self._rtt
        delay = min(max(MIN_DATA_TIMEOUT, 2 * rtt) * (1 << self.retries), MAX_DATA_TIMEOUT)
        self._arm(min(delay, longest))

    def stop(self) -> None:
        """Times nothing."""
        self._deadline = None

    def _arm(self, delay: Seconds) -> None:
        self._deadline = self._clock.now + delay
        self._schedule(self._deadline)

    def _schedule(self, deadline: Instant) -> None:
        # A later deadline keeps the earlier wake-up, which then arms the later one: a heap forgets nothing cheaply.
        if self._wake_at is None or deadline < self._wake_at:
            self._wake_at = deadline
            self._clock.schedule(deadline, self._wake, deadline)

    def _wake(self, at: Instant) -> None:
        if at != self._wake_at:
            return
        self._wake_at = None
        if self._deadline is None:
            return
        if self._deadline > self._clock.now:
            self._schedule(self._deadline)
            return
        self._deadline = None
        self._on_silence()
