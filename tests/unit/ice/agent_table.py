"""One agent whose far side is played by hand, for the tests of the agent and of what arrives at it."""

from __future__ import annotations

from icepath.entropy import Secret
from icepath.ice.agent import Agent
from icepath.ice.config import AgentConfig, Role, Server
from icepath.ice.events import (
    State,
    StateChanged,
)
from icepath.machine import (
    Connect,
    Datagram,
    DatagramDropped,
    DropReason,
    Event,
    Handle,
    LocalAddress,
)
from icepath.net import Address, Instant
from icepath.wire.attributes import ErrorCode, UseCandidate, XorMappedAddress
from icepath.wire.fragment import Description
from icepath.wire.message import Message, MessageClass, decode_message
from icepath.wire.uri import parse_server_uri
from unit.ice.builders import (
    HOST,
    OWN,
    REMOTE,
    SERVER,
    THEIR_KEY,
    THEIRS,
    at_once,
    candidate,
    reply,
    seeded,
)

ELSEWHERE = Address("198.51.100.99", 9)
# The gap between an agent's transactions, and a little for rounding.
TA = 0.005001


class Table:
    """Is one agent and what it said; time is what each step says."""

    def __init__(self, settings: AgentConfig | None = None, *, now: Instant = 0.0) -> None:
        self.agent = Agent(
            settings or AgentConfig(OWN, Role.CONTROLLING), random_bytes=seeded(), reserve_slot=at_once, now=now
        )
        self.said: list[object] = []

    def take(self) -> list[object]:
        outputs: list[object] = list(self.agent.take_outputs())
        self.said += outputs
        return outputs

    def sent(self) -> list[Datagram]:
        return [output for output in self.take() if isinstance(output, Datagram)]

    def events(self, kind: type[Event]) -> list[Event]:
        self.take()
        return [output for output in self.said if isinstance(output, kind)]

    def drops(self) -> list[DropReason]:
        return [output.reason for output in self.take() if isinstance(output, DatagramDropped)]

    def host(self, *, now: Instant = 0.0) -> None:
        self.agent.add_local_address(LocalAddress(HOST), now=now)
        self.agent.end_of_local_addresses(now=now)

    def meet(self, *remote: Address, now: Instant = 0.0, ended: bool = False) -> None:
        candidates = tuple(candidate(address) for address in remote)
        described = Description(THEIRS.ufrag, THEIRS.password, candidates, end_of_candidates=ended, pacing=5)
        self.agent.set_remote_description(described, now=now)

    def receive(self, payload: bytes, *, local: Address = HOST, remote: Address = REMOTE, now: Instant = 0.0) -> None:
        self.agent.receive(Datagram(local, remote, payload), now=now)

    def last_request(self, *, after: Instant | None = None) -> Message:
        """Returns the newest request that was sent; with `after`, once the slot after that instant has come."""
        if after is not None:
            self.agent.handle_timeout(now=after + TA)
        self.take()
        found = [decode_message(each.payload) for each in self.said if isinstance(each, Datagram)]
        return [message for message in found if message.message_class is MessageClass.REQUEST][-1]

    def answer(
        self, request: Message, *, code: int | None = None, remote: Address = REMOTE, now: Instant = 0.0
    ) -> None:
        attributes = [XorMappedAddress(HOST)] if code is None else [ErrorCode(code, "")]
        self.receive(reply(request, attributes, key=THEIR_KEY, is_error=code is not None), remote=remote, now=now)

    def connect(self, *, now: Instant = 0.0) -> None:
        """Brings the agent to a nominated pair."""
        self.host(now=now)
        self.meet(REMOTE, now=now, ended=True)
        self.answer(self.last_request(), now=now)
        nomination = self.last_request(after=now)
        assert nomination.get(UseCandidate) is not None
        self.answer(nomination, now=now + TA)
        assert self.agent.snapshot().state is State.COMPLETED


def states(table: Table) -> list[State]:
    return [event.state for event in table.events(StateChanged) if isinstance(event, StateChanged)]


def run_to(table: Table, until: Instant) -> None:
    while (deadline := table.agent.next_deadline()) is not None and deadline <= until:
        table.agent.handle_timeout(now=deadline)


def next_consent_check(table: Table) -> tuple[Instant, Message]:
    """Runs to the next consent check; returns when it was sent, and the check."""
    count = table.agent.snapshot().pairs[0].requests_sent
    at = 0.0
    while table.agent.snapshot().pairs[0].requests_sent == count:
        deadline = table.agent.next_deadline()
        assert deadline is not None
        at = deadline
        table.agent.handle_timeout(now=at)
    return at, table.last_request()


def stream_relay(table: Table) -> Handle:
    """Gives the agent a TURN server over TCP; returns the handle of the connection that it asks for."""
    url = parse_server_uri(f"turn:{SERVER}?transport=tcp")
    table.agent.set_servers([Server(url, "alice", Secret("wonderland"))], now=0.0)
    table.host()
    (connect,) = [each for each in table.take() if isinstance(each, Connect)]
    return connect.handle


def two_paths() -> tuple[Table, Instant]:
    """Makes an agent that agreed on renomination, with a nominated pair and one kept warm; returns the time."""
    table = Table(AgentConfig(OWN, Role.CONTROLLING, renomination=True))
    table.host()
    candidates = (candidate(REMOTE), candidate(ELSEWHERE, priority=1))
    options = ("ice2", "renomination2")
    described = Description(THEIRS.ufrag, THEIRS.password, candidates, options, True, pacing=5)
    table.agent.set_remote_description(described, now=0.0)
    now = 0.0
    for _ in range(20):
        now += TA
        table.agent.handle_timeout(now=now)
        for datagram in table.sent():
            request = decode_message(datagram.payload)
            table.answer(request, remote=datagram.remote, now=now)
    first, second = table.agent.snapshot().pairs
    assert first.is_nominated
    assert second.is_valid
    return table, now
