"""Virtual time: one heap of actions, run in order; equal instants run in the order they were scheduled.

Nothing here knows packets or machines. Time only moves when the heap says so: a run of an hour takes as
long as its actions do. A world that never gets past one instant is stopped with a clear error.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias, TypeVar

from icepath.errors import InvalidArgument, InvalidState
from icepath.net import Instant, Seconds

ArgumentT = TypeVar("ArgumentT")

_Entry: TypeAlias = tuple[Instant, int, Callable[[], object]]

# More actions than this at one instant is a livelock: some machine answers itself without end.
ACTIONS_PER_INSTANT: Final = 100_000


class Clock:
    """Runs actions at their instants."""

    __slots__ = ("_burst", "_heap", "_limit", "_sequence", "now")

    def __init__(self, start: Instant = 0.0, *, limit: int = ACTIONS_PER_INSTANT) -> None:
        self.now = start
        self._heap: list[_Entry] = []
        self._sequence = 0
        self._burst = 0
        self._limit = limit

    def __len__(self) -> int:
        return len(self._heap)

    def schedule(self, at: Instant, action: Callable[[ArgumentT], object], argument: ArgumentT) -> None:
        """Runs `action(argument)` at the instant, or now when that has passed."""
        self._sequence += 1
        entry: _Entry = (at, self._sequence, partial(action, argument))
        heapq.heappush(self._heap, entry)

    def schedule_call(self, at: Instant, action: Callable[[], object]) -> None:
        """Runs `action()` at the instant.

        Raises: InvalidArgument when the instant has passed.
        """
        if at < self.now:
            raise InvalidArgument(f"cannot schedule at {at}: it is {self.now}")
        self._sequence += 1
        heapq.heappush(self._heap, (at, self._sequence, action))

    def next_instant(self) -> Instant | None:
        """Returns the instant of the next action, or None."""
        return self._heap[0][0] if self._heap else None

    def step(self) -> None:
        """Runs the next action.

        Raises: InvalidState when one instant never ends.
        """
        at, _, action = heapq.heappop(self._heap)
        if at > self.now:
            self.now = at
            self._burst = 0
        self._burst += 1
        if self._burst > self._limit:
            raise InvalidState(f"livelock: more than {self._limit} actions at {self.now}, the last is {action}")
        action()

    def run_to(self, until: Instant) -> None:
        """Runs every action up to and including the instant, which is then the time."""
        heap = self._heap
        step = self.step
        while heap and heap[0][0] <= until:
            step()
        self.now = max(self.now, until)

    def run_until(self, condition: Callable[[], bool], *, limit: Seconds) -> bool:
        """Runs until the condition holds, at most `limit` seconds; says whether it holds."""
        heap = self._heap
        deadline = self.now + limit
        while not condition():
            if not heap or heap[0][0] > deadline:
                self.now = deadline
                return False
            self.step()
        return True
