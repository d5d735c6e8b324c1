"""Two or more real agents on wires without NATs, in virtual time; servers and strangers are played by hand.

Each wire takes half a round trip. A test may look at everything sent, lose what it likes, and put datagrams
of its own in. Names are looked up in a table. Flows are ignored: every datagram goes through the machine.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from icepath.entropy import IceCredentials, ice_credentials
from icepath.ice.agent import Agent
from icepath.ice.config import AgentConfig, Role
from icepath.ice.events import CandidateGathered, GatheringCompleted, PairSelected, State, StateChanged
from icepath.ice.pacer import SlotCalendar
from icepath.machine import (
    Arrival,
    Datagram,
    DatagramDropped,
    DropReason,
    Event,
    Failed,
    FailReason,
    LocalAddress,
    Resolve,
    Resolved,
    ResolvedAddress,
    Security,
    Transport,
)
from icepath.net import Address, Instant, Seconds
from icepath.wire.attributes import Attribute
from icepath.wire.candidate_line import Candidate
from icepath.wire.integrity import IntegrityKey, short_term_key
from icepath.wire.message import Message, MessageClass, TransactionId, decode_message, encode_message, looks_like_stun

HALF: Seconds = 0.05
# What tests derive their settings from; credentials and role are each agent's own.
PLAIN = AgentConfig(ice_credentials(random.Random(1).randbytes), Role.CONTROLLING)

EventT = TypeVar("EventT", bound=Event)


@dataclass(frozen=True, slots=True)
class Sent:
    """Is one datagram and when it was sent."""

    at: Instant
    datagram: Datagram

    @property
    def message(self) -> Message:
        return decode_message(self.datagram.payload)

    @property
    def is_stun(self) -> bool:
        return looks_like_stun(self.datagram.payload)

    def is_of(self, kind: MessageClass) -> bool:
        return self.is_stun and self.message.message_class is kind


@dataclass(slots=True, eq=False)
class Side:
    """Is one agent and what it did."""

    name: str
    agent: Agent
    local: tuple[LocalAddress, ...]
    """In order: the components of stream 1, those of stream 2, ..."""
    sent: list[Sent] = field(default_factory=list)
    events: list[tuple[Instant, Event]] = field(default_factory=list)
    commands: list[object] = field(default_factory=list)
    state: State = State.NEW

    def of(self, kind: type[EventT], since: Instant = 0.0) -> list[EventT]:
        return [event for at, event in self.events if isinstance(event, kind) and at >= since]

    def requests(self, remote: Address | None = None, since: Instant = 0.0) -> list[Sent]:
        """Returns the requests sent, first transmissions and others."""
        return [
            each
            for each in self.sent
            if each.at >= since
            and each.is_of(MessageClass.REQUEST)
            and (remote is None or each.datagram.remote == remote)
        ]

    @property
    def credentials(self) -> IceCredentials:
        description = self.agent.snapshot().local[0]
        return IceCredentials(description.ufrag, description.password)

    @property
    def key(self) -> IntegrityKey:
        return short_term_key(self.credentials.password)


class Table:
    """Is the two agents, the wires, and the clock."""

    def __init__(self) -> None:
        self.now: Instant = 100.0
        self.sides: dict[str, Side] = {}
        self.homes: dict[Address, Side] = {}
        self.loses: Callable[[Datagram], bool] = lambda _: False
        self.names: dict[str, tuple[str, ...]] = {}
        self.calendar = SlotCalendar()
        self._queue: list[tuple[Instant, int, Side, Arrival]] = []
        self._count = 0

    def sit(self, name: str, hosts: Sequence[str], role: Role, settings: AgentConfig = PLAIN) -> Side:
        """Seats an agent with a socket on each host for each component of each stream."""
        rng = random.Random(name)
        config = replace(settings, credentials=ice_credentials(rng.randbytes), role=role)
        agent = Agent(config, random_bytes=rng.randbytes, reserve_slot=self.calendar, now=self.now)
        places = [(stream, c) for stream, n in enumerate(config.components, 1) for c in range(1, n + 1)]
        local = [
            (LocalAddress(Address(host, 4000 + 100 * stream + component)), stream, component)
            for stream, component in places
            for host in hosts
        ]
        side = Side(name, agent, tuple(each for each, _, _ in local))
        self.sides[name] = side
        for address, _, _ in local:
            self.homes[address.address] = side
        for address, stream, component in local:
            agent.add_local_address(address, stream=stream, component=component, now=self.now)
        agent.end_of_local_addresses(now=self.now)
        self.settle(side)
        return side

    def call(self, side: Side, verb: Callable[[Agent, Instant], object]) -> None:
        verb(side.agent, self.now)
        self.settle(side)

    def settle(self, side: Side) -> None:
        for output in side.agent.take_outputs():
            if isinstance(output, Datagram):
                side.sent.append(Sent(self.now, output))
                self.carry(output)
            elif isinstance(output, Event):
                side.events.append((self.now, output))
                if isinstance(output, StateChanged):
                    side.state = output.state
            else:
                side.commands.append(output)
                if isinstance(output, Resolve):
                    self._look_up(side, output)

    def carry(self, datagram: Datagram) -> None:
        """Carries a datagram to whoever has its destination."""
        home = self.homes.get(datagram.remote)
        if home is not None and not self.loses(datagram):
            self.later(home, Datagram(datagram.remote, datagram.local, datagram.payload))

    def later(self, side: Side, arrival: Arrival, after: Seconds = HALF) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.now + after, self._count, side, arrival))

    def _look_up(self, side: Side, query: Resolve) -> None:
        if query.what not in self.names:
            return  # a resolver that is dead
        hosts = self.names[query.what]
        if not hosts:
            self.later(side, Failed(query.handle, FailReason.NAME_NOT_FOUND, "no such name"))
            return
        answers = tuple(ResolvedAddress(Transport.UDP, Security.NONE, Address(host, 3478)) for host in hosts)
        self.later(side, Resolved(query.handle, answers))

    def put(self, side: Side, local: Address, remote: Address, payload: bytes) -> None:
        """Lets a datagram arrive now, from anywhere."""
        side.agent.receive(Datagram(local, remote, payload), now=self.now)
        self.settle(side)

    def run(self, seconds: Seconds, *, until: Callable[[], bool] = lambda: False) -> None:
        end = self.now + seconds
        while not until():
            times = [at for at in (side.agent.next_deadline() for side in self.sides.values()) if at is not None]
            if self._queue:
                times.append(self._queue[0][0])
            if not times or min(times) > end:
                break
            at = min(times)
            self.now = max(self.now, at)
            while self._queue and self._queue[0][0] <= self.now:
                _, _, side, arrival = heapq.heappop(self._queue)
                side.agent.receive(arrival, now=self.now)
                self.settle(side)
            for side in self.sides.values():
                deadline = side.agent.next_deadline()
                if deadline is not None and deadline <= self.now:
                    side.agent.handle_timeout(now=self.now)
                    self.settle(side)
        self.now = max(self.now, end) if not until() else self.now

    # -- signalling -------------------------------------------------------------------------------------------

    def introduce(self, teller: Side, hearer: Side, *, streams: Iterable[int] | None = None) -> None:
        """Tells one side's descriptions, as they stand, to the other."""
        for number, description in enumerate(teller.agent.snapshot().local, 1):
            if streams is None or number in streams:
                hearer.agent.set_remote_description(description, stream=number, now=self.now)
        self.settle(hearer)

    def meet(self, a: Side, b: Side) -> None:
        self.introduce(a, b)
        self.introduce(b, a)


def gathered(side: Side, stream: int = 1, since: Instant = 0.0) -> list[Candidate]:
    return [event.candidate for event in side.of(CandidateGathered, since) if event.stream == stream]


def selected(side: Side, since: Instant = 0.0) -> list[tuple[int, int]]:
    """Returns (stream, component) of every selection, in order."""
    return [(event.stream, event.component) for event in side.of(PairSelected, since)]


def is_gathered(side: Side, since: Instant = 0.0) -> bool:
    return bool(side.of(GatheringCompleted, since))


def pair_up(
    settings: AgentConfig = PLAIN, *, roles: tuple[Role, Role] = (Role.CONTROLLING, Role.CONTROLLED)
) -> tuple[Table, Side, Side]:
    """Seats two agents with one host each and introduces them."""
    table = Table()
    a = table.sit("a", ["192.0.2.1"], roles[0], settings)
    b = table.sit("b", ["198.51.100.7"], roles[1], settings)
    table.meet(a, b)
    return table, a, b


def response(
    request: Message, attributes: Sequence[Attribute], key: IntegrityKey | None, *, is_error: bool = False
) -> bytes:
    kind = MessageClass.ERROR if is_error else MessageClass.SUCCESS
    return encode_message(request.method, kind, request.transaction_id, attributes, key=key, fingerprint=True)


def transaction(number: int) -> TransactionId:
    return TransactionId(number.to_bytes(12, "big"))


def drops(side: Side) -> list[DropReason]:
    return [event.reason for event in side.of(DatagramDropped)]
