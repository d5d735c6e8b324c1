"""What a connection reports, and the log from which any number of readers is served.

A reader gets what happened before it came, then what happens, until the connection is closed. `EventReader`
is an asynchronous iterator but no asynchronous generator: there is nothing to close.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeAlias, TypeVar, final

from icepath.aio.path import CandidatePair, pair_of
from icepath.errors import Cause
from icepath.ice import events as ice
from icepath.ice.config import Role as AgentRole
from icepath.ice.events import AgentEvent, State
from icepath.net import Address
from icepath.wire.candidate_line import Candidate
from icepath.wire.fragment import Description

Role: TypeAlias = Literal["controlling", "controlled"]

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


@dataclass(frozen=True, slots=True)
class PairValidated:
    """Reports a path that a check has proved: data may be sent on it; better ones may follow until one is selected."""

    component: int
    pair: CandidatePair


@dataclass(frozen=True, slots=True)
class RoleChanged:
    """Reports that both sides claimed one role, and that ours gave way (RFC 8445 §7.3.1.1)."""

    role: Role


@dataclass(frozen=True, slots=True)
class Restarted:
    """Reports a new ICE session, ours or in answer to theirs: hand out this description (RFC 8445 §9)."""

    description: Description


@dataclass(frozen=True, slots=True)
class PolicyFailed:
    """Reports that a policy of `Config` raised, or answered nonsense; the RFC's rule decided instead."""

    policy: str
    text: str


# What else an agent reports is no business of an application's: names and challenges are kept for it, data is received,
# one stream's failure is the connection's, and what was dropped is counted.
Event: TypeAlias = (
    CandidateGathered
    | GatheringCompleted
    | ServerFailed
    | PairValidated
    | PairSelected
    | RoleChanged
    | Restarted
    | PolicyFailed
    | StateChanged
)


def event_of(event: AgentEvent) -> Event | None:
    """Returns what an application is told of an agent's event; None when it is none of its business."""
    match event:
        case ice.CandidateGathered(candidate=candidate):
            return CandidateGathered(candidate)
        case ice.GatheringCompleted():
            return GatheringCompleted()
        case ice.ServerFailed(url=url, local=local, code=code, reason=reason):
            return ServerFailed(url, local, code, reason)
        case ice.PairValidated(component=component, pair=pair):
            return PairValidated(component, pair_of(pair))
        case ice.PairSelected(component=component, pair=pair):
            return PairSelected(component, pair_of(pair))
        case ice.RoleChanged(role=role):
            return RoleChanged("controlling" if role is AgentRole.CONTROLLING else "controlled")
        case ice.PolicyFailed(policy=policy, text=text):
            return PolicyFailed(policy, text)
        case _:
            return None


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
