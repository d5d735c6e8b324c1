"""Many keyed deadlines in one heap.

The next deadline is the heap's top: nothing is ever scanned. Cancelled and replaced entries stay in the
heap until they surface or outnumber the live ones, when the heap is rebuilt. Equal deadlines fire in the
order they were set, so a run never depends on the heap's own order (law 4).
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from icepath.net import Instant

KeyT = TypeVar("KeyT", bound=Hashable)

# Below this many stale entries a rebuild costs more than it saves.
COMPACTION_FLOOR: Final = 64


class Timers(Generic[KeyT]):
    """Keeps one deadline per key."""

    __slots__ = ("_entries", "_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[Instant, int, KeyT]] = []
        self._entries: dict[KeyT, tuple[Instant, int]] = {}
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._entries)

    def set(self, key: KeyT, at: Instant | None) -> None:
        """Sets the key's deadline, replacing an earlier one; None cancels."""
        if at is None:
            self.cancel(key)
            return
        entry = self._entries.get(key)
        if entry is not None and entry[0] == at:
            return
        self._sequence += 1
        self._entries[key] = (at, self._sequence)
        heapq.heappush(self._heap, (at, self._sequence, key))
        self._compact()

    def cancel(self, key: KeyT) -> None:
        """Forgets the key's deadline, if it has one."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Forgets every deadline."""
        self._entries.clear()
        self._heap.clear()

    def deadline(self, key: KeyT) -> Instant | None:
        """Returns the key's deadline, or None."""
        entry = self._entries.get(key)
        return None if entry is None else entry[0]

    def next_deadline(self) -> Instant | None:
        """Returns the earliest deadline, or None."""
        heap = self._heap
        while heap:
            at, sequence, key = heap[0]
            entry = self._entries.get(key)
            if entry is not None and entry[1] == sequence:
                return at
            heapq.heappop(heap)
        return None

    def pop_due(self, now: Instant) -> KeyT | None:
        """Removes and returns the key whose deadline is earliest and has come, or None."""
        at = self.next_deadline()
        if at is None or at > now:
            return None
        _, _, key = heapq.heappop(self._heap)
        del self._entries[key]
        return key

    def _compact(self) -> None:
        if len(self._heap) > 2 * len(self._entries) + COMPACTION_FLOOR:
            self._heap = [(at, sequence, key) for key, (at, sequence) in self._entries.items()]
            heapq.heapify(self._heap)
