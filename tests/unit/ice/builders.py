"""Small builders for the parts of an agent: a core with everything round it, candidates, pairs, messages.

Everything is the real thing; only the far side (the remote agent, the servers) is played by hand. Time is
a number that each test passes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from icepath.entropy import IceCredentials, Secret
from icepath.ice.candidate import LocalCandidate, candidate_priority
from icepath.ice.conclusion import Conclusion
from icepath.ice.config import AgentConfig, Role, Server
from icepath.ice.consent import Consent
from icepath.ice.core import Check, Core, Purpose, Relay, Socket
from icepath.ice.gathering import Gatherer
from icepath.ice.incoming import Incoming
from icepath.ice.outgoing import Outgoing
from icepath.ice.pair import CandidatePair, PairState
from icepath.ice.pairing import make_pair, pair_socket
from icepath.ice.remote import RemoteSide
from icepath.ice.scheduler import Scheduler
from icepath.ice.stream import Generation, Remote
from icepath.machine import (
    Bytes,
    Command,
    Datagram,
    DatagramDropped,
    DropReason,
    Event,
    LocalAddress,
    SocketUse,
    Transport,
)
from icepath.net import Address, Instant, RandomBytes
from icepath.stun.transaction import Match
from icepath.turn.client.events import AllocationEvent
from icepath.wire.attributes import (
    Attribute,
    ErrorCode,
    IceControlled,
    IceControlling,
    Lifetime,
    Priority,
    UseCandidate,
    Username,
    XorMappedAddress,
    XorRelayedAddress,
)
from icepath.wire.candidate_line import Candidate, CandidateType, Foundation
from icepath.wire.integrity import IntegrityKey, short_term_key
from icepath.wire.message import Message, MessageClass, Method, TransactionId, decode_message, encode_message
from icepath.wire.uri import parse_server_uri

OWN = IceCredentials("ownufrag", Secret("own-password-of-24-chars"))
THEIRS = IceCredentials("theirfrag", Secret("their-password-of-24chars"))
OWN_KEY = short_term_key(OWN.password)
THEIR_KEY = short_term_key(THEIRS.password)

HOST = Address("192.0.2.1", 4000)
REMOTE = Address("198.51.100.7", 5000)
SERVER = Address("203.0.113.5", 3478)
RELAYED = Address("203.0.113.5", 49152)
MAPPED = Address("203.0.113.77", 61000)

EventT = TypeVar("EventT", bound=Event)
Output = Datagram | Bytes | Command | Event


def seeded(seed: int = 7) -> RandomBytes:
    return random.Random(seed).randbytes


def at_once(now: Instant) -> Instant:
    """Is a `reserve_slot` of a process with one agent: every instant is free."""
    return now


def config(role: Role = Role.CONTROLLING) -> AgentConfig:
    return AgentConfig(OWN, role)


def lite_config(role: Role = Role.CONTROLLED) -> AgentConfig:
    return AgentConfig(OWN, role, lite=True)


class Bench:
    """Is the parts of one agent on a table, as the agent wires them, without the agent."""

    def __init__(self, settings: AgentConfig | None = None, *, seed: int = 7) -> None:
        self.core = Core(settings or config(), random_bytes=seeded(seed), reserve_slot=at_once)
        self.gatherer = Gatherer(self.core)
        self.outgoing = Outgoing(self.core)
        self.incoming = Incoming(self.core)
        self.consent = Consent(self.core)
        self.conclusion = Conclusion(self.core, self.consent)
        self.remote_side = RemoteSide(self.core, self.incoming)
        self.scheduler = Scheduler(self.core, self.gatherer, self.outgoing)

    # -- what comes out -----------------------------------------------------------------------------------

    def take(self) -> list[Output]:
        return list(self.core.outbox.take())

    def sent(self) -> list[Datagram]:
        """Takes all outputs, returns the datagrams."""
        return [output for output in self.take() if isinstance(output, Datagram)]

    def events(self, kind: type[EventT]) -> list[EventT]:
        """Takes all outputs, returns the events of one kind."""
        return [output for output in self.take() if isinstance(output, kind)]

    def drops(self) -> list[DropReason]:
        return [event.reason for event in self.events(DatagramDropped)]

    # -- what is there ------------------------------------------------------------------------------------

    def generation(self, stream: int = 1) -> Generation:
        return self.core.streams[stream].current

    def add_host(
        self,
        address: Address = HOST,
        *,
        stream: int = 1,
        component: int = 1,
        cost: int = 0,
        use: SocketUse = SocketUse.ALL,
    ) -> Socket:
        """Adds a host socket as `Agent.add_local_address` does."""
        preference = self.core.preferences.for_address(address, cost, component)
        local = LocalAddress(address, cost=cost, use=use)
        socket = Socket(local, stream=stream, component=component, preference=preference)
        self.core.sockets[address] = socket
        self.gatherer.add_socket(socket)
        pair_socket(self.core, socket)
        return socket

    def add_relay(self, relayed: Address = RELAYED, *, server: Address = SERVER, now: Instant = 0.0) -> Relay:
        """Asks a TURN server from every host socket and lets the last answer with one relayed address."""
        known = [server_at(server)]
        self.gatherer.set_servers(tuple(known), now=now)
        while self.gatherer.has_asks:
            self.gatherer.ask_next(now=now)
        relay = list(self.core.relays.values())[-1]
        self.grant(relay, relayed, now=now)
        if relay.allocation.has_unsent_permissions:
            self.run_relay(relay, now=now + 0.1)
            for socket in self.gatherer.announce_relays():
                pair_socket(self.core, socket)
        return relay

    def grant(
        self,
        relay: Relay,
        *relayed: Address,
        mapped: Address = MAPPED,
        key: IntegrityKey | None = None,
        now: Instant = 0.0,
    ) -> list[Socket]:
        """Plays the server that grants an allocation; returns the new sockets, paired."""
        request = last_request(self.sent(), relay.server)
        attributes: list[Attribute] = [XorRelayedAddress(address) for address in relayed]
        attributes += [XorMappedAddress(mapped), Lifetime(600)]
        self.to_relay(relay, reply(request, attributes, key=key), now=now)
        self.relay_events(now)
        sockets = self.gatherer.announce_relays()
        for socket in sockets:
            pair_socket(self.core, socket)
        return sockets

    def permit(self, relay: Relay, remote: Address = REMOTE, *, now: Instant = 0.0) -> None:
        """Lets the relay ask for a permission, and send it in its own time."""
        relay.allocation.permit((remote.host,), now=now)
        self.run_relay(relay, now=now + 0.1)

    def bind_channel(self, relay: Relay, remote: Address = REMOTE, *, now: Instant = 0.0) -> int:
        """Lets the relay bind a channel, and the server agree; returns the channel's number."""
        relay.allocation.bind_channel(remote, now=now)
        self.run_relay(relay, now=now + 0.1)
        self.to_relay(relay, reply(last_request(self.sent(), relay.server), [], key=None), now=now + 0.1)
        channel = relay.allocation.channel_of(remote)
        assert channel is not None
        return channel

    def run_relay(self, relay: Relay, *, now: Instant) -> None:
        relay.allocation.handle_timeout(now=now)
        self.core.settle(relay, now=now)

    def to_relay(self, relay: Relay, payload: bytes, *, now: Instant) -> None:
        relay.allocation.receive(Datagram(relay.host.address, relay.server, payload), now=now)
        self.core.settle(relay, now=now)

    def relay_events(self, now: Instant = 0.0) -> list[AllocationEvent]:
        """Hands what relays reported to the gatherer, as the agent does; returns the events."""
        handled = []
        while self.core.relay_events:
            relay, event = self.core.relay_events.pop(0)
            self.gatherer.on_relay_event(relay, event, now=now)
            handled.append(event)
        return handled

    def meet(self, *candidates: Candidate, stream: int = 1, lite: bool = False, now: Instant = 0.0) -> Generation:
        """Makes the remote agent known, as its description does."""
        generation = self.generation(stream)
        generation.remote = Remote(THEIRS.ufrag, THEIRS.password, options=("ice2",), pacing=5, is_lite=lite)
        generation.started = now
        for candidate in candidates:
            self.remote_side.add_candidate(self.core.streams[stream], candidate, now=now)
        return generation

    def make_pair(
        self, socket: Socket, remote: Candidate | None = None, *, state: PairState | None = None
    ) -> CandidatePair:
        """Puts a pair of the socket's candidate on its stream's checklist."""
        generation = self.generation(socket.stream)
        local = generation.local_at(socket.address, socket.component)
        assert local is not None
        remote = remote or candidate(REMOTE, component=socket.component)
        generation.remote_candidates.setdefault((remote.address, remote.component), remote)
        pair = make_pair(self.core, generation, socket.stream, local, remote, remote.address)
        assert pair is not None
        if state is not None:
            pair.state = state
        return pair

    def make_valid(self, pair: CandidatePair, *, now: Instant = 0.0) -> CandidatePair:
        """Lets a check of the pair succeed, through the real parts."""
        generation = self.generation(pair.stream)
        self.outgoing.send(generation, pair, now=now)
        judgement = self.outgoing.on_response(
            generation, self.check_of(pair), self.answer_check(pair, now=now), now=now
        )
        self.consent.grant(pair, now=now)
        assert judgement.is_newly_valid
        self.conclusion.on_valid(pair)
        return pair

    def check_of(self, pair: CandidatePair) -> Check:
        transaction = self.core.transactions.get(transaction_of(pair))
        assert transaction is not None
        assert isinstance(transaction.context, Check)
        return transaction.context

    def answer_check(
        self,
        pair: CandidatePair,
        *,
        mapped: Address | None = None,
        code: int | None = None,
        attributes: Sequence[Attribute] | None = None,
        now: Instant = 0.0,
    ) -> Match[Purpose]:
        """Plays the remote agent that answers the pair's running check; returns the match."""
        transaction = self.core.transactions.get(transaction_of(pair))
        assert transaction is not None
        request = decode_message(transaction.payload)
        if attributes is None:
            attributes = [XorMappedAddress(mapped or pair.local.base)] if code is None else [ErrorCode(code, "")]
        answer = decode_message(reply(request, attributes, key=THEIR_KEY, is_error=code is not None))
        match = self.core.transactions.match(answer, local=transaction.local, remote=transaction.remote, now=now)
        assert isinstance(match, Match)
        return match


def transaction_of(pair: CandidatePair) -> TransactionId:
    assert pair.transaction_id is not None
    return pair.transaction_id


def candidate(
    address: Address = REMOTE,
    kind: CandidateType = CandidateType.HOST,
    *,
    component: int = 1,
    priority: int | None = None,
    foundation: str = "1",
    ufrag: str | None = None,
) -> Candidate:
    """Makes a candidate as the remote agent would announce it."""
    return Candidate(
        foundation=Foundation(foundation),
        component=component,
        transport=Transport.UDP,
        priority=candidate_priority(kind, 0xFFFF, component) if priority is None else priority,
        host=address.host,
        port=address.port,
        type=kind,
        ufrag=ufrag,
    )


def named_candidate(name: str, port: int = 5000) -> Candidate:
    return replace(candidate(), host=name, port=port)


def local_candidate(
    address: Address = HOST,
    kind: CandidateType = CandidateType.HOST,
    *,
    base: Address | None = None,
    component: int = 1,
    priority: int | None = None,
    foundation: str = "1",
) -> LocalCandidate:
    made = candidate(address, kind, component=component, priority=priority, foundation=foundation)
    return LocalCandidate(made, base or address)


def loose_pair(
    number: int,
    *,
    foundation: str = "1",
    component: int = 1,
    stream: int = 1,
    priority: int = 100,
    is_controlling: bool = True,
) -> CandidatePair:
    """Makes a pair that belongs to no agent; `number` tells pairs apart, `priority` orders them."""
    local = local_candidate(Address("192.0.2.1", number), component=component, priority=priority, foundation=foundation)
    remote = candidate(Address("198.51.100.7", number), component=component, priority=priority, foundation=foundation)
    return CandidatePair(
        number, local, remote, remote.address, stream=stream, generation=0, is_controlling=is_controlling
    )


def server_at(server: Address, scheme: str = "turn") -> Server:
    return Server(parse_server_uri(f"{scheme}:{server}"))


# -- messages ---------------------------------------------------------------------------------------------------


def last_request(datagrams: Sequence[Datagram], remote: Address) -> Message:
    """Returns the newest request that went to an address."""
    found = [decode_message(each.payload) for each in datagrams if each.remote == remote]
    return [message for message in found if message.message_class is MessageClass.REQUEST][-1]


def reply(
    request: Message, attributes: Sequence[Attribute], *, key: IntegrityKey | None, is_error: bool = False
) -> bytes:
    kind = MessageClass.ERROR if is_error else MessageClass.SUCCESS
    return encode_message(request.method, kind, request.transaction_id, attributes, key=key, fingerprint=True)


def check_from_remote(
    *,
    role: Role = Role.CONTROLLED,
    tie_breaker: int = 1,
    username: str | None = f"{OWN.ufrag}:{THEIRS.ufrag}",
    priority: int | None = 0x6E0001FF,
    use_candidate: bool = False,
    key: IntegrityKey | None = OWN_KEY,
    extra: Sequence[Attribute] = (),
    number: int = 0,
) -> Message:
    """Makes a check of the remote agent, as it arrives."""
    attributes: list[Attribute] = [] if username is None else [Username(username)]
    if priority is not None:
        attributes.append(Priority(priority))
    attributes.append(IceControlling(tie_breaker) if role is Role.CONTROLLING else IceControlled(tie_breaker))
    if use_candidate:
        attributes.append(UseCandidate())
    identifier = TransactionId(number.to_bytes(12, "big"))
    return decode_message(
        encode_message(
            Method.BINDING, MessageClass.REQUEST, identifier, [*attributes, *extra], key=key, fingerprint=True
        )
    )
