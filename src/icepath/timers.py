"""Many keyed deadlines in one heap.

The next deadline is the heap's top: nothing is ever scanned. A deadline that moves later leaves its entry in
the heap where it is; when that surfaces, it is put back to where it belongs. Cancelled entries, and those of
deadlines that came nearer, stay until they surface or outnumber the live ones, when the heap is rebuilt. Equal
deadlines fire in the order they were set, so a run never depends on the heap's own order (law 4).
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from icepath.net import Instant

KeyT = TypeVar("KeyT", bound=Hashable)

# Below this many stale entries a rebuild costs more than it saves; they cost memory in each idle agent.
COMPACTION_FLOOR: Final = 8


class Timers(Generic[KeyT]):
    """Keeps one deadline per key."""

    __slots__ = ("_entries", "_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[Instant, int, KeyT]] = []
        # What is wanted: deadline, place among equals, and the place (unique) of the heap's entry that stands for it.
        self._entries: dict[KeyT, tuple[Instant, int, int]] = {}
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._entries)

    def set(self, key: KeyT, at: Instant | None) -> None:
        """Sets the key's deadline, replacing an earlier one; None cancels."""
        if at is None:
            self.cancel(key)
            return
        entry = self._entries.get(key)
        sequence = self._sequence = self._sequence + 1
        if entry is not None and at >= entry[0]:
            if at > entry[0]:
                self._entries[key] = (at, sequence, entry[2])
            return
        self._entries[key] = (at, sequence, sequence)
        heapq.heappush(self._heap, (at, sequence, key))
        if len(self._heap) > 2 * len(self._entries) + COMPACTION_FLOOR:
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
            _, standing, key = heap[0]
            entry = self._entries.get(key)
            if entry is None or entry[2] != standing:
                heapq.heappop(heap)
                continue
            at, sequence, _ = entry
            if sequence == standing:
                return at
            heapq.heapreplace(heap, (at, sequence, key))
            self._entries[key] = (at, sequence, sequence)
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
        self._entries = {key: (at, sequence, sequence) for key, (at, sequence, _) in self._entries.items()}
        self._heap = [(at, sequence, key) for key, (at, sequence, _) in self._entries.items()]
        heapq.heapify(self._heap)
