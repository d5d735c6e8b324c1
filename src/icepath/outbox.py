"""What a machine has to say: one ordered list, and the one place where dropped input is counted.

Every machine owns one `Outbox`. `drop` keeps law 7: the first drop of each reason in a second is an
event, the rest are a count in the next one.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from icepath.machine import Bytes, Command, Datagram, DatagramDropped, DropReason, Event
from icepath.net import Address, Instant, Seconds

EventT = TypeVar("EventT", bound=Event)

DROP_REPORT_INTERVAL: Final[Seconds] = 1.0


class Outbox(Generic[EventT]):
    """Collects a machine's outputs in causal order."""

    __slots__ = ("_drops", "_items")

    def __init__(self) -> None:
        self._items: list[Datagram | Bytes | Command | EventT | DatagramDropped] = []
        # reason -> (when an event was last emitted, drops since)
        self._drops: dict[DropReason, tuple[Instant, int]] = {}

    def put(self, item: Datagram | Bytes | Command | EventT | DatagramDropped) -> None:
        """Appends one output."""
        self._items.append(item)

    def drop(self, reason: DropReason, *, remote: Address | None = None, count: int = 1, now: Instant) -> None:
        """Counts dropped input and emits `DatagramDropped` at most once per reason and second.

        `count` is above one for what a child machine reports; its parent passes that on in its own name.
        """
        last, earlier = self._drops.get(reason, (None, 0))
        count += earlier
        if last is not None and now < last + DROP_REPORT_INTERVAL:
            self._drops[reason] = (last, count)
            return
        self._drops[reason] = (now, 0)
        self._items.append(DatagramDropped(reason, count, remote))

    def take(self) -> list[Datagram | Bytes | Command | EventT | DatagramDropped]:
        """Returns what was put since the last call."""
        items = self._items
        if items:
            self._items = []
        return items
