"""The machines that the laws are checked on: one entry each, with somebody to talk to."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, Final

from icepath.entropy import IceCredentials, Secret
from icepath.errors import InvalidState
from icepath.ice.agent import Agent
from icepath.ice.config import AgentConfig, Role, Server
from icepath.machine import Handle, LocalAddress, Security, Transport
from icepath.net import Address, Instant, RandomBytes
from icepath.stun.authenticator import Authenticator, AuthenticatorConfig, User
from icepath.stun.binding import BindingClient, BindingConfig
from icepath.stun.credentials import LongTermCredentials
from icepath.stun.responder import BindingResponder, ResponderConfig
from icepath.turn.client.allocation import Allocation
from icepath.turn.client.config import AllocationConfig
from icepath.turn.client.routes import Route, RoutePolicy
from icepath.turn.server.config import TurnServerConfig
from icepath.turn.server.server import TurnServer
from icepath.wire.attributes import Attribute, IceControlled, IceControlling, Priority, UseCandidate, Username
from icepath.wire.candidate_line import Candidate, CandidateType, Foundation, TcpType
from icepath.wire.channel_data import encode_channel_data
from icepath.wire.fragment import Description
from icepath.wire.integrity import short_term_key
from icepath.wire.message import MessageClass, Method, TransactionId, encode_message
from icepath.wire.uri import parse_server_uri
from machines.agreeable import AgreeableServer
from machines.laws import Peer, Subject
from machines.mdns_subject import MDNS

CLIENT: Final = Address("192.168.1.10", 5000)
OTHER_CLIENT: Final = Address("192.168.1.11", 5001)
CLIENT_IPV6: Final = Address("2b00:1::10", 5000)
SERVER: Final = Address("11.0.0.1", 3478)
SERVER_IPV6: Final = Address("2b00::1", 3478)
FRIEND: Final = Address("11.2.0.1", 6000)
FRIEND_ELSEWHERE: Final = Address("11.2.0.3", 6000)

ALICE: Final = LongTermCredentials("alice", Secret("wonderland"))
MALLORY: Final = LongTermCredentials("alice", Secret("looking-glass"))
REALM: Final = "example.org"
NONCE_SECRET: Final = Secret("0123456789abcdef")


class Slots:
    """Keeps 5 ms between transactions, as a process does."""

    def __init__(self) -> None:
        self._next: Instant = 0.0

    def __call__(self, wanted: Instant) -> Instant:
        slot = max(wanted, self._next)
        self._next = slot + 0.005
        return slot


# -- STUN ------------------------------------------------------------------------------------------------------


def _binding_client(random_bytes: RandomBytes, now: Instant) -> BindingClient:
    config = BindingConfig(SERVER, CLIENT, credentials=ALICE)
    return BindingClient(config, random_bytes=random_bytes, now=now)


def _responder(random_bytes: RandomBytes, now: Instant) -> BindingResponder:
    responder = BindingResponder(ResponderConfig(authenticator=_authenticator()))
    responder.handle_timeout(now=now)  # the one machine that is made without a clock: it learns the time by calls
    return responder


def _authenticator() -> Authenticator:
    return Authenticator(AuthenticatorConfig(REALM, NONCE_SECRET), _find_user)


def _find_user(name: str | bytes) -> User | None:
    return User(ALICE.username, ALICE.password) if name == ALICE.username else None


# -- TURN ------------------------------------------------------------------------------------------------------


def _allocation(random_bytes: RandomBytes, now: Instant) -> Allocation:
    config = AllocationConfig(SERVER, CLIENT, credentials=ALICE)
    return Allocation(config, random_bytes=random_bytes, reserve_slot=Slots(), now=now)


def _streamed_allocation(random_bytes: RandomBytes, now: Instant) -> Allocation:
    routes = (Route(SERVER, Transport.TCP), Route(SERVER, Transport.TCP, Security.TLS, "turn.example.org"))
    config = AllocationConfig(SERVER, CLIENT, ALICE, routes=routes, max_redirects=2)
    return Allocation(config, random_bytes=random_bytes, reserve_slot=Slots(), now=now)


def _racing_allocation(random_bytes: RandomBytes, now: Instant) -> Allocation:
    routes = (
        Route(SERVER),
        Route(SERVER_IPV6, local=CLIENT_IPV6),
        Route(SERVER, Transport.UDP, Security.DTLS, "turn.example.org"),
        Route(SERVER, Transport.TCP),
    )
    config = AllocationConfig(SERVER, CLIENT, ALICE, routes=routes, transports=RoutePolicy.STAGGER, max_redirects=2)
    return Allocation(config, random_bytes=random_bytes, reserve_slot=Slots(), now=now)


def _mobile_allocation(random_bytes: RandomBytes, now: Instant) -> Allocation:
    config = AllocationConfig(SERVER, CLIENT, mobility=True)
    return Allocation(config, random_bytes=random_bytes, reserve_slot=Slots(), now=now)


def _tcp_allocation(random_bytes: RandomBytes, now: Instant) -> Allocation:
    config = AllocationConfig(
        SERVER,
        CLIENT,
        routes=(Route(SERVER, Transport.TCP),),
        mobility=True,
        relay_transport=Transport.TCP,
        max_peer_connections=4,
    )
    return Allocation(config, random_bytes=random_bytes, reserve_slot=Slots(), now=now)


def _agreeable_server(random_bytes: RandomBytes, now: Instant) -> AgreeableServer:
    return AgreeableServer(random_bytes, Address(SERVER.host, 50_000), FRIEND)


def _busy_allocation(random_bytes: RandomBytes, now: Instant) -> Allocation:
    allocation = _allocation(random_bytes, now)
    allocation.permit([FRIEND.host], now=now)
    return allocation


def _turn_server(random_bytes: RandomBytes, now: Instant) -> TurnServer:
    config = TurnServerConfig(
        listen=(SERVER,),
        relay_hosts=(SERVER.host, "2b00::1"),
        authenticator=_authenticator(),
        max_allocations=8,
        max_allocations_per_user=4,
        max_permissions=4,
        max_channels=4,
    )
    return TurnServer(config, random_bytes=random_bytes, now=now)


def _any_peer(rng: random.Random) -> Address:
    return rng.choice((FRIEND, FRIEND, Address("11.2.0.2", 7), Address("2b00::9", 7), Address("224.0.0.1", 0)))


def _permit(machine: Allocation, rng: random.Random, now: Instant) -> None:
    machine.permit([_any_peer(rng).host for _ in range(rng.randrange(3))], now=now)


def _release(machine: Allocation, rng: random.Random, now: Instant) -> None:
    machine.release([_any_peer(rng).host], now=now)


def _bind_channel(machine: Allocation, rng: random.Random, now: Instant) -> None:
    machine.bind_channel(_any_peer(rng), now=now)


def _relay(machine: Allocation, rng: random.Random, now: Instant) -> None:
    machine.send(_any_peer(rng), rng.randbytes(rng.randrange(100)), dont_fragment=rng.random() < 0.2, now=now)


def _change_credentials(machine: Allocation, rng: random.Random, now: Instant) -> None:
    machine.set_credentials(rng.choice((ALICE, ALICE, MALLORY)), now=now)


def _migrate(machine: Allocation, rng: random.Random, now: Instant) -> None:
    machine.migrate(rng.choice((CLIENT, OTHER_CLIENT, CLIENT_IPV6)), now=now)


def _connect_peer(machine: Allocation, rng: random.Random, now: Instant) -> None:
    machine.connect_peer(_any_peer(rng), now=now)


def _send_to_peer(machine: Allocation, rng: random.Random, now: Instant) -> None:
    machine.send_to_peer(Handle(rng.randrange(1, 6)), rng.randbytes(20), now=now)


def _disconnect_peer(machine: Allocation, rng: random.Random, now: Instant) -> None:
    machine.disconnect_peer(Handle(rng.randrange(1, 6)), now=now)


# -- ICE -------------------------------------------------------------------------------------------------------

OURS: Final = IceCredentials("ouruser1", Secret("our-password-of-22-chars".replace("-", "+")))
THEIRS: Final = IceCredentials("theirusr", Secret("their-password-of-22-chars".replace("-", "+")))


def _host_candidate(address: Address, priority: int = 2_130_706_431) -> Candidate:
    return Candidate(Foundation("1"), 1, Transport.UDP, priority, address.host, address.port, CandidateType.HOST)


def _description(credentials: IceCredentials, *addresses: Address) -> Description:
    candidates = tuple(_host_candidate(address) for address in addresses)
    return Description(credentials.ufrag, credentials.password, candidates, pacing=5)


def _agent_config(credentials: IceCredentials, role: Role, *servers: Server) -> AgentConfig:
    return AgentConfig(
        credentials, role, servers=servers, patience=5.0, max_pairs=20, max_remote_candidates=8, max_early_checks=4
    )


def _agent(random_bytes: RandomBytes, now: Instant) -> Agent:
    """Returns an agent with two addresses and two servers that knows its friend already."""
    config = _agent_config(
        OURS,
        Role.CONTROLLING,
        Server(parse_server_uri(f"turn:{SERVER}"), ALICE.username, ALICE.password),
        Server(parse_server_uri("stun:stun.example.org")),
    )
    agent = Agent(config, random_bytes=random_bytes, reserve_slot=Slots(), now=now)
    agent.add_local_address(LocalAddress(CLIENT, "eth0"), now=now)
    agent.add_local_address(LocalAddress(CLIENT_IPV6, "eth0"), now=now)
    agent.set_remote_description(_description(THEIRS, FRIEND), now=now)
    return agent


def _lite_agent(random_bytes: RandomBytes, now: Instant) -> Agent:
    """Returns a lite agent whose friend is full."""
    config = replace(_agent_config(OURS, Role.CONTROLLED), lite=True)
    agent = Agent(config, random_bytes=random_bytes, reserve_slot=Slots(), now=now)
    agent.add_local_address(LocalAddress(CLIENT, "eth0"), now=now)
    agent.set_remote_description(_description(THEIRS, FRIEND), now=now)
    return agent


def _tcp_agent(random_bytes: RandomBytes, now: Instant) -> Agent:
    """Returns an agent with a socket and two TCP listeners, one at the socket's port, that knows its friend already."""
    config = replace(_agent_config(OURS, Role.CONTROLLING), tcp=True, max_connections=4)
    agent = Agent(config, random_bytes=random_bytes, reserve_slot=Slots(), now=now)
    for local in (CLIENT, CLIENT_IPV6):
        agent.add_local_address(LocalAddress(local, "eth0", Transport.TCP), now=now)
    agent.add_local_address(LocalAddress(CLIENT, "eth0"), now=now)
    description = _description(THEIRS, Address("11.2.0.9", 1))
    passive = tuple(_tcp_candidate(FRIEND.host, port) for port in (FRIEND.port, 6001))
    agent.set_remote_description(replace(description, candidates=description.candidates + passive), now=now)
    return agent


def _tcp_candidate(host: str, port: int, tcp_type: TcpType = TcpType.PASSIVE) -> Candidate:
    return Candidate(
        Foundation("2"), 1, Transport.TCP, 1_509_949_439, host, port, CandidateType.HOST, tcp_type=tcp_type
    )


def _add_tcp_candidate(machine: Agent, rng: random.Random, now: Instant) -> None:
    host, port = rng.choice(("11.2.0.1", "11.2.0.3", "2b00::7", "mallory.local")), rng.choice((6000, 9, 6001))
    machine.add_remote_candidate(_tcp_candidate(host, port, rng.choice(list(TcpType))), now=now)


def _move_listener(machine: Agent, rng: random.Random, now: Instant) -> None:
    if rng.random() < 0.5:
        machine.remove_local_address(CLIENT_IPV6, transport=Transport.TCP, now=now)
    else:
        machine.add_local_address(LocalAddress(CLIENT_IPV6, "eth0", Transport.TCP), now=now)


def _check_of_theirs(*, use_candidate: bool) -> bytes:
    """Returns a check that proves itself, with a transaction of its own."""
    attributes: list[Attribute] = [Username(f"{OURS.ufrag}:{THEIRS.ufrag}"), Priority(1_000_000)]
    attributes.append(IceControlled(7) if not use_candidate else IceControlling(2**64 - 1))
    if use_candidate:
        attributes.append(UseCandidate())
    transaction_id = TransactionId(bytes([use_candidate]) * 12)
    key = short_term_key(OURS.password)
    return encode_message(Method.BINDING, MessageClass.REQUEST, transaction_id, attributes, key=key, fingerprint=True)


def _full_friend(random_bytes: RandomBytes, now: Instant) -> Agent:
    """Returns the agent that checks and nominates."""
    agent = Agent(_agent_config(THEIRS, Role.CONTROLLING), random_bytes=random_bytes, reserve_slot=Slots(), now=now)
    agent.add_local_address(LocalAddress(FRIEND, "eth0"), now=now)
    agent.end_of_local_addresses(now=now)
    agent.set_remote_description(replace(_description(OURS, CLIENT), lite=True, end_of_candidates=True), now=now)
    return agent


def _friend(random_bytes: RandomBytes, now: Instant) -> Agent:
    agent = Agent(_agent_config(THEIRS, Role.CONTROLLED), random_bytes=random_bytes, reserve_slot=Slots(), now=now)
    agent.add_local_address(LocalAddress(FRIEND, "eth0"), now=now)
    agent.end_of_local_addresses(now=now)
    agent.set_remote_description(_description(OURS, CLIENT), now=now)
    return agent


def _moving_agent(random_bytes: RandomBytes, now: Instant) -> Agent:
    """Returns an agent with two addresses that may nominate again."""
    config = replace(_agent_config(OURS, Role.CONTROLLING), renomination=True)
    return _moving(config, random_bytes, now, (CLIENT, OTHER_CLIENT), _description(THEIRS, FRIEND, FRIEND_ELSEWHERE))


def _moving_friend(random_bytes: RandomBytes, now: Instant) -> Agent:
    config = replace(_agent_config(THEIRS, Role.CONTROLLED), renomination=True)
    return _moving(config, random_bytes, now, (FRIEND, FRIEND_ELSEWHERE), _description(OURS, CLIENT, OTHER_CLIENT))


def _moving(
    config: AgentConfig, random_bytes: RandomBytes, now: Instant, hosts: tuple[Address, ...], other: Description
) -> Agent:
    agent = Agent(config, random_bytes=random_bytes, reserve_slot=Slots(), now=now)
    for host in hosts:
        agent.add_local_address(LocalAddress(host, "eth0"), now=now)
    agent.set_remote_description(replace(other, options=("ice2", "trickle", "renomination2")), now=now)
    return agent


def _lose_address(machine: Agent, rng: random.Random, now: Instant) -> None:
    machine.remove_local_address(rng.choice((CLIENT, OTHER_CLIENT)), now=now)


def _idle(machine: Agent, rng: random.Random, now: Instant) -> None:
    machine.idle(now=now)


def _wake(machine: Agent, rng: random.Random, now: Instant) -> None:
    machine.wake(now=now)


def _embedding_agent(random_bytes: RandomBytes, now: Instant) -> Agent:
    """Returns an agent of two components whose handshake has begun to ride on its checks."""
    config = replace(_agent_config(OURS, Role.CONTROLLED), sped=True, components=(2,))
    agent = Agent(config, random_bytes=random_bytes, reserve_slot=Slots(), now=now)
    agent.add_local_address(LocalAddress(CLIENT, "eth0"), now=now)
    agent.set_remote_description(replace(_description(THEIRS, FRIEND), options=("sped",)), now=now)
    agent.flights.send([bytes([22]) * 40, bytes([22]) * 50], now=now)
    return agent


def _embedding_friend(random_bytes: RandomBytes, now: Instant) -> Agent:
    config = replace(_agent_config(THEIRS, Role.CONTROLLING), sped=True, components=(2,))
    agent = Agent(config, random_bytes=random_bytes, reserve_slot=Slots(), now=now)
    agent.add_local_address(LocalAddress(FRIEND, "eth0"), now=now)
    agent.set_remote_description(replace(_description(OURS, CLIENT), options=("sped",)), now=now)
    agent.flights.send([bytes([22]) * 60, bytes([23]) * 70], now=now)
    return agent


def _send_flight(machine: Agent, rng: random.Random, now: Instant) -> None:
    packets = [bytes([rng.choice((22, 25, 63)), rng.randrange(256)]) for _ in range(rng.randrange(4))]
    machine.flights.send(packets, component=rng.choice((1, 2)), now=now)


def _finish_flights(machine: Agent, rng: random.Random, now: Instant) -> None:
    if rng.random() > 0.2:
        raise InvalidState("not complete yet: the machine never saw the call, nor its time")
    machine.flights.finish(sent_last=rng.random() < 0.5, now=now)


def _add_address(machine: Agent, rng: random.Random, now: Instant) -> None:
    machine.add_local_address(LocalAddress(OTHER_CLIENT, "wlan0", cost=10), now=now)


def _remove_address(machine: Agent, rng: random.Random, now: Instant) -> None:
    machine.remove_local_address(rng.choice((CLIENT_IPV6, OTHER_CLIENT)), now=now)


def _end_addresses(machine: Agent, rng: random.Random, now: Instant) -> None:
    machine.end_of_local_addresses(now=now)


def _add_candidate(machine: Agent, rng: random.Random, now: Instant) -> None:
    host = rng.choice(("11.2.0.1", "11.2.0.3", "2b00::7", "mallory.local", "10.0.0.1"))
    address = Address(host, rng.choice((6000, 9, 5353)))
    machine.add_remote_candidate(_host_candidate(address, rng.randrange(1, 2**31)), now=now)


def _end_candidates(machine: Agent, rng: random.Random, now: Instant) -> None:
    machine.end_of_remote_candidates(now=now)


def _describe(machine: Agent, rng: random.Random, now: Instant) -> None:
    credentials = rng.choice((THEIRS, THEIRS, IceCredentials("anotheru", Secret("another+password+of+22+c"))))
    machine.set_remote_description(_description(credentials, FRIEND), now=now)


def _send(machine: Agent, rng: random.Random, now: Instant) -> None:
    machine.send(bytes([rng.choice((0x16, 0x80, 0x40))]) + rng.randbytes(20), now=now)


def _restart(machine: Agent, rng: random.Random, now: Instant) -> None:
    if rng.random() > 0.2:
        raise InvalidState("no restart this time: the machine never saw the call, nor its time")
    machine.restart(IceCredentials(f"restart{rng.randrange(10)}", OURS.password), now=now)


def _set_servers(machine: Agent, rng: random.Random, now: Instant) -> None:
    servers = [
        Server(parse_server_uri(f"turn:{SERVER}"), ALICE.username, rng.choice((ALICE, MALLORY)).password),
        Server(parse_server_uri("stun:11.0.0.1:3478")),
    ]
    machine.set_servers(servers[: rng.randrange(3)], now=now)


CHANNEL_DATA: Final = tuple(encode_channel_data(channel, bytes([0x80]) * 30) for channel in (0x4000, 0x4001, 0x4FFF))
RTP: Final = bytes([0x80]) + bytes(40)
TURN_SERVER: Final = Peer(_turn_server, (SERVER,))

SUBJECTS: Final[tuple[Subject[Any], ...]] = (
    # Law 2: neither reads the clock of what arrives between its timeouts as later than what comes after.
    Subject(
        "binding client",
        _binding_client,
        peers=(Peer(_responder, (SERVER,)),),
        locals=(CLIENT,),
        remotes=(SERVER,),
    ),
    Subject(
        "binding responder",
        _responder,
        peers=(Peer(_binding_client, (CLIENT,)),),
        locals=(SERVER,),
        remotes=(CLIENT,),
    ),
    Subject(
        "allocation",
        _allocation,
        verbs=(_permit, _release, _bind_channel, _relay, _change_credentials),
        peers=(TURN_SERVER,),
        corpus=CHANNEL_DATA,
        locals=(CLIENT,),
        remotes=(SERVER, FRIEND),
    ),
    Subject(
        "allocation on byte streams",
        _streamed_allocation,
        verbs=(_permit, _release, _bind_channel, _relay, _change_credentials),
        peers=(TURN_SERVER,),
        corpus=CHANNEL_DATA,
        locals=(CLIENT,),
        remotes=(SERVER, FRIEND),
    ),
    Subject(
        "allocation in a race",
        _racing_allocation,
        verbs=(_permit, _release, _bind_channel, _relay, _change_credentials),
        peers=(TURN_SERVER,),
        corpus=CHANNEL_DATA,
        locals=(CLIENT, CLIENT_IPV6),
        remotes=(SERVER, SERVER_IPV6, FRIEND),
    ),
    Subject(
        "allocation that moves",
        _mobile_allocation,
        verbs=(_permit, _bind_channel, _relay, _migrate, _migrate),
        peers=(Peer(_agreeable_server, (SERVER,)),),
        corpus=CHANNEL_DATA,
        locals=(CLIENT, OTHER_CLIENT),
        remotes=(SERVER, FRIEND),
    ),
    Subject(
        "allocation for TCP",
        _tcp_allocation,
        verbs=(_permit, _connect_peer, _connect_peer, _send_to_peer, _disconnect_peer, _migrate),
        peers=(Peer(_agreeable_server, (SERVER,)),),
        locals=(CLIENT, OTHER_CLIENT),
        remotes=(SERVER, FRIEND),
    ),
    Subject(
        "turn server",
        _turn_server,
        peers=(Peer(_busy_allocation, (CLIENT,)), Peer(_responder, (FRIEND,))),
        corpus=(*CHANNEL_DATA, RTP),
        locals=(SERVER, Address(SERVER.host, 50_001), Address("2b00::1", 50_002)),
        remotes=(CLIENT, FRIEND, Address("2b00::9", 7)),
    ),
    Subject(
        "agent",
        _agent,
        verbs=(
            _add_address,
            _remove_address,
            _end_addresses,
            _add_candidate,
            _end_candidates,
            _describe,
            _send,
            _restart,
            _set_servers,
        ),
        peers=(Peer(_friend, (FRIEND,)), TURN_SERVER),
        corpus=(*CHANNEL_DATA, RTP),
        locals=(CLIENT, CLIENT_IPV6, OTHER_CLIENT),
        remotes=(FRIEND, SERVER, Address("2b00::7", 9)),
    ),
    Subject(
        "agent with tcp",
        _tcp_agent,
        verbs=(
            _add_address,
            _move_listener,
            _end_addresses,
            _add_tcp_candidate,
            _end_candidates,
            _describe,
            _send,
            _restart,
        ),
        peers=(Peer(_friend, (FRIEND, Address(FRIEND.host, 6001))),),
        corpus=(RTP, _check_of_theirs(use_candidate=False), _check_of_theirs(use_candidate=True)),
        locals=(CLIENT, CLIENT_IPV6, OTHER_CLIENT),
        remotes=(FRIEND, Address("2b00::7", 9)),
        listeners=(CLIENT, CLIENT_IPV6),
        is_framed=True,
    ),
    Subject(
        "lite agent",
        _lite_agent,
        verbs=(_add_address, _remove_address, _end_addresses, _add_candidate, _end_candidates, _send, _restart),
        peers=(Peer(_full_friend, (FRIEND,)),),
        corpus=(RTP,),
        locals=(CLIENT, CLIENT_IPV6, OTHER_CLIENT),
        remotes=(FRIEND, Address("2b00::7", 9)),
    ),
    Subject(
        "moving agent",
        _moving_agent,
        verbs=(_add_address, _lose_address, _add_candidate, _end_candidates, _send, _restart, _idle, _wake),
        peers=(Peer(_moving_friend, (FRIEND, FRIEND_ELSEWHERE)),),
        corpus=(RTP,),
        locals=(CLIENT, OTHER_CLIENT),
        remotes=(FRIEND, FRIEND_ELSEWHERE),
    ),
    Subject(
        "agent with a handshake",
        _embedding_agent,
        verbs=(_send_flight, _finish_flights, _add_candidate, _describe, _send, _restart),
        peers=(Peer(_embedding_friend, (FRIEND,)),),
        corpus=(RTP,),
        locals=(CLIENT, CLIENT_IPV6, OTHER_CLIENT),
        remotes=(FRIEND, Address("2b00::7", 9)),
    ),
    MDNS,
)
