"""What a connection reports, and the log from which any number of readers is served.

A reader gets what happened before it came, then what happens, until the connection is closed. `EventReader`
is an asynchronous iterator but no asynchronous generator: there is nothing to close.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar, final

from icepath.aio.path import CandidatePair
from icepath.errors import Cause
from icepath.ice.events import State
from icepath.net import Address
from icepath.wire.candidate_line import Candidate

EntryT = TypeVar("EntryT")

# States may change for weeks; readers that come late get so many of the last events.
MAX_EVENTS: Final = 4_096


@dataclass(frozen=True, slots=True)
class CandidateGathered:
    """Reports a local candidate, ready to be sent to the other side."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class GatheringCompleted:
    """Reports that every server has answered or failed."""


@dataclass(frozen=True, slots=True)
class ServerFailed:
    """Reports that a server gave no candidate; `code` is its STUN error code, if it sent one."""

    url: str
    local: Address | None
    code: int | None
    reason: Cause


@dataclass(frozen=True, slots=True)
class PairSelected:
    """Reports the path both sides settled on for a component."""

    component: int
    pair: CandidatePair


@dataclass(frozen=True, slots=True)
class StateChanged:
    """Reports the connection's new state, and why when it is a bad one."""

    state: State
    cause: Cause | None = None


Event: TypeAlias = CandidateGathered | GatheringCompleted | ServerFailed | PairSelected | StateChanged


@final
class EventLog(Generic[EntryT]):
    """Keeps what happened and wakes its readers."""

    __slots__ = ("_dropped", "_entries", "_is_closed", "_limit", "_waiting")

    def __init__(self, limit: int = MAX_EVENTS) -> None:
        self._limit = limit
        self._entries: list[EntryT] = []
        self._dropped = 0
        self._is_closed = False
        self._waiting: list[asyncio.Future[None]] = []

    def append(self, entry: EntryT) -> None:
        """Adds what happened."""
        self._entries.append(entry)
        if len(self._entries) > self._limit:
            del self._entries[0]
            self._dropped += 1
        self.wake()

    def close(self) -> None:
        """Ends every reader, after what is already there."""
        self._is_closed = True
        self.wake()

    def reader(self) -> EventReader[EntryT]:
        """Returns a new reader, which begins at the beginning."""
        return EventReader(self)

    async def entry(self, index: int) -> tuple[int, EntryT] | None:
        """Returns the entry after the first `index`, and the next index; None at the end."""
        while True:
            at = max(index - self._dropped, 0)
            if at < len(self._entries):
                return self._dropped + at + 1, self._entries[at]
            if self._is_closed:
                return None
            await self.change()

    async def change(self) -> None:
        """Waits until something is added, the log is closed, or `wake` is called."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def wake(self, _cause: object = None) -> None:
        """Wakes whoever waits, to look again."""
        waiting = self._waiting
        if waiting:
            self._waiting = []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)


@final
class EventReader(Generic[EntryT]):
    """Is one reader of an `EventLog`; cancelling a read loses nothing."""

    __slots__ = ("_index", "_log")

    def __init__(self, log: EventLog[EntryT]) -> None:
        self._log = log
        self._index = 0

    def __aiter__(self) -> EventReader[EntryT]:
        return self

    async def __anext__(self) -> EntryT:
        found = await self._log.entry(self._index)
        if found is None:
            raise StopAsyncIteration
        self._index, entry = found
        return entry
