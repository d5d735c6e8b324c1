"""Allocation against TurnServer over a pipe in virtual time: what one says, the other understands.

What the real server never says is said by a scripted one in tests/unit/turn/client.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from icepath.entropy import Secret
from icepath.machine import (
    Bind,
    Bytes,
    Close,
    Command,
    Connect,
    Datagram,
    Event,
    Failed,
    FailReason,
    Handle,
    MachineClosed,
    Opened,
    Security,
    Transport,
    Unreachable,
)
from icepath.net import Address, Instant
from icepath.stun.authenticator import Authenticator, AuthenticatorConfig, User
from icepath.stun.credentials import Challenge, LongTermCredentials
from icepath.turn.client.allocation import Allocation
from icepath.turn.client.config import AllocationConfig
from icepath.turn.client.events import (
    AddressFamilyRefused,
    Allocated,
    AllocationFailed,
    AllocationFailure,
    AllocationLost,
    ChallengeRemembered,
    ChannelBound,
    ChannelFailed,
    CredentialsRejected,
    PeerDataReceived,
    PeerIcmpReceived,
    PermissionFailed,
    PermissionsInstalled,
    RouteChosen,
)
from icepath.turn.client.race import PREFERENCE_GRACE
from icepath.turn.client.routes import Route
from icepath.turn.server.config import AllocationEnded, AllocationOpened, EndReason, TurnServerConfig
from icepath.turn.server.server import TurnServer
from icepath.wire.attributes import AddressFamily
from icepath.wire.integrity import PasswordAlgorithmId
from icepath.wire.message import Message, Method, decode_message, looks_like_stun

SERVER = Address("198.51.100.1", 3478)
RELAY6 = "2001:db8:1::1"
PEER = Address("203.0.113.50", 7000)
OTHER = Address("203.0.113.51", 7001)
PEER6 = Address("2001:db8:2::50", 7000)
V4, V6 = AddressFamily.IPV4, AddressFamily.IPV6
BOTH = (V4, V6)
REALM = "example.org"
ALICE = LongTermCredentials("alice", Secret("wonderland"))
ALICE_ANEW = LongTermCredentials("alice", Secret("looking-glass"))
BOB = LongTermCredentials("bob", Secret("builder"))
DELAY = 0.0625
ROUND_TRIP = 2 * DELAY
UDP = Route(SERVER)
TCP = Route(SERVER, Transport.TCP)
TLS = Route(Address(SERVER.host, 5349), Transport.TCP, Security.TLS, "turn.example.org")
STREAM_HOST = "10.99.0.1"

EventT = TypeVar("EventT", bound=Event)
# What the pipe does to a datagram, or None to lose it.
Treatment = Callable[[Datagram], Datagram | None]


class Users:
    """The server's users; a test may change a password while it runs."""

    def __init__(self) -> None:
        self.passwords = {credentials.username: credentials.password for credentials in (ALICE, BOB)}

    def __call__(self, name: str | bytes) -> User | None:
        password = self.passwords.get(name) if isinstance(name, str) else None
        return None if password is None else User(str(name), password)


@dataclass
class World:
    """One server, its clients and peers, on a wire with a fixed delay."""

    relay_hosts: tuple[str, ...] = (SERVER.host, RELAY6)
    algorithms: tuple[PasswordAlgorithmId, ...] = (PasswordAlgorithmId.SHA256, PasswordAlgorithmId.MD5)
    has_authenticator: bool = True
    nonce_lifetime: int = 3600
    denied: tuple[str, ...] = ()
    max_allocations: int = 10
    max_allocations_per_user: int = 10
    max_permissions: int = 10
    max_channels: int = 10
    bind_delay: float = 0.0
    treat: Treatment = field(default=lambda datagram: datagram)
    now: Instant = 0.0
    users: Users = field(default_factory=Users)
    clients: dict[Address, Client] = field(default_factory=dict)
    peer_inbox: list[Datagram] = field(default_factory=list)
    server_events: list[Event] = field(default_factory=list)
    wire: list[tuple[Instant, Message | bytes]] = field(default_factory=list)
    no_port_for: set[str] = field(default_factory=set)
    no_stream_to: set[Address] = field(default_factory=set)
    streams: dict[Address, Client] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._queue: list[tuple[Instant, int, Callable[[], None]]] = []
        self._count = 0
        self._next_port = 49152
        authenticator = AuthenticatorConfig(
            REALM, Secret("0123456789abcdef"), self.algorithms, nonce_lifetime=self.nonce_lifetime
        )
        config = TurnServerConfig(
            listen=(SERVER,),
            relay_hosts=self.relay_hosts,
            authenticator=Authenticator(authenticator, self.users) if self.has_authenticator else None,
            denied=self.denied,
            max_allocations=self.max_allocations,
            max_allocations_per_user=self.max_allocations_per_user,
            max_permissions=self.max_permissions,
            max_channels=self.max_channels,
        )
        self.server = TurnServer(config, random_bytes=random.Random(2).randbytes, now=self.now)

    # -- running ---------------------------------------------------------------------------------------------

    def later(self, delay: float, what: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.now + delay, self._count, what))

    def run(self, until: Instant) -> None:
        self.settle()
        while (at := self._next()) is not None and at <= until:
            self.now = max(self.now, at)
            while self._queue and self._queue[0][0] <= self.now:
                heapq.heappop(self._queue)[2]()
                self.settle()
            self.server.handle_timeout(now=self.now)
            for client in self.clients.values():
                client.allocation.handle_timeout(now=self.now)
            self.settle()
        self.now = until

    def _next(self) -> Instant | None:
        instants = [self._queue[0][0] if self._queue else None, self.server.next_deadline()]
        instants += [client.allocation.next_deadline() for client in self.clients.values()]
        return min((at for at in instants if at is not None), default=None)

    def settle(self) -> None:
        for output in self.server.take_outputs():
            if isinstance(output, Datagram):
                self.carry(output)
            elif isinstance(output, Bind):
                self._bind(output)
            elif isinstance(output, Event):
                self.server_events.append(output)
            else:
                assert isinstance(output, Close)
        for client in self.clients.values():
            for said in client.allocation.take_outputs():
                if isinstance(said, Datagram):
                    self.carry(said)
                elif isinstance(said, Event):
                    client.events.append(said)
                else:
                    self._dispatch(client, said)

    def _dispatch(self, client: Client, said: Bytes | Command) -> None:
        """Plays the driver of byte streams; the server, which knows datagrams only, sees a client at STREAM_HOST."""
        if isinstance(said, Connect):
            opened = Opened(said.handle, Address(client.local.host, 40_000 + said.handle), said.remote)
            if said.remote not in self.no_stream_to:
                self.streams[Address(STREAM_HOST, said.handle)] = client
                self.later(ROUND_TRIP, lambda: client.allocation.receive(opened, now=self.now))
            else:
                failed = Failed(said.handle, FailReason.REFUSED)
                self.later(ROUND_TRIP, lambda: client.allocation.receive(failed, now=self.now))
        elif isinstance(said, Bytes):
            self.carry(Datagram(Address(STREAM_HOST, said.handle), SERVER, said.payload))
        else:
            assert isinstance(said, Close)
            self.streams.pop(Address(STREAM_HOST, said.handle), None)

    def _bring(self, client: Client, arrival: Datagram) -> None:
        """Brings a byte stream's bytes in pieces of 7: whatever the server sends is a multiple of 4 there."""
        padded = arrival.payload + bytes(-len(arrival.payload) & 3)
        for start in range(0, len(padded), 7):
            piece = Bytes(Handle(arrival.local.port), padded[start : start + 7])
            client.allocation.receive(piece, now=self.now)

    def _bind(self, command: Bind) -> None:
        assert command.port_range == (49152, 65535)
        if command.local.host in self.no_port_for:
            self.later(self.bind_delay, lambda: self.tell_server(Failed(command.handle, FailReason.NO_PORT)))
            return
        self._next_port += 1
        opened = Opened(command.handle, Address(command.local.host, self._next_port))
        self.later(self.bind_delay, lambda: self.tell_server(opened))

    def tell_server(self, arrival: Opened | Failed | Datagram | Unreachable) -> None:
        self.server.receive(arrival, now=self.now)

    def carry(self, datagram: Datagram) -> None:
        if looks_like_stun(datagram.payload):
            self.wire.append((self.now, decode_message(datagram.payload)))
        else:
            self.wire.append((self.now, datagram.payload))
        treated = self.treat(datagram)
        if treated is not None:
            self.later(DELAY, lambda: self._arrive(treated))

    def _arrive(self, datagram: Datagram) -> None:
        arrival = Datagram(datagram.remote, datagram.local, datagram.payload, datagram.dont_fragment)
        client = self.clients.get(arrival.local)
        if arrival.local in self.streams:
            self._bring(self.streams[arrival.local], arrival)
        elif client is not None:
            client.allocation.receive(arrival, now=self.now)
        elif arrival.local in (PEER, OTHER, PEER6):
            self.peer_inbox.append(arrival)
        else:
            self.tell_server(arrival)

    # -- asking ----------------------------------------------------------------------------------------------

    def requests(self, method: Method) -> list[Instant]:
        """Returns when requests of a method were sent; retransmissions count."""
        return [
            at
            for at, message in self.wire
            if isinstance(message, Message) and message.method == method and message.message_class == 0
        ]


class Client:
    """An allocation of the world, on a port of its own."""

    def __init__(
        self,
        world: World,
        *,
        credentials: LongTermCredentials | None = ALICE,
        challenge: Challenge | None = None,
        families: tuple[AddressFamily, ...] = (V4,),
        port: int | None = None,
        permit: tuple[str, ...] = (),
        lifetime: int = 600,
        dont_fragment: bool = False,
        routes: tuple[Route, ...] = (),
    ) -> None:
        self.world = world
        self.local = Address("192.0.2.1", port or 50000 + len(world.clients))
        self.events: list[Event] = []
        config = AllocationConfig(
            SERVER, self.local, credentials, challenge, families, lifetime, dont_fragment=dont_fragment, routes=routes
        )
        self.allocation = Allocation(
            config,
            random_bytes=random.Random(f"{self.local}/{world.now}").randbytes,
            reserve_slot=lambda now: now,
            now=world.now,
        )
        world.clients[self.local] = self
        self.permit(*permit)

    def told(self, kind: type[EventT]) -> list[EventT]:
        self.world.settle()
        return [event for event in self.events if isinstance(event, kind)]

    def the(self, kind: type[EventT]) -> EventT:
        (event,) = self.told(kind)
        return event

    def permit(self, *hosts: str) -> None:
        self.allocation.permit(hosts, now=self.world.now)

    def bind(self, peer: Address) -> None:
        self.allocation.bind_channel(peer, now=self.world.now)

    def send(self, peer: Address, payload: bytes, *, dont_fragment: bool = False) -> None:
        self.allocation.send(peer, payload, dont_fragment=dont_fragment, now=self.world.now)

    def close(self) -> None:
        self.allocation.close(now=self.world.now)

    @property
    def relayed(self) -> Address:
        return self.allocation.relayed[0]


def peer_sends(world: World, peer: Address, relayed: Address, payload: bytes) -> None:
    world.carry(Datagram(peer, relayed, payload))


def ready(world: World, *permit: str, families: tuple[AddressFamily, ...] = (V4,), lifetime: int = 600) -> Client:
    """Returns a client whose allocation and permissions are there."""
    client = Client(world, families=families, permit=permit, lifetime=lifetime)
    world.run(world.now + 1.0)
    assert client.told(Allocated)
    return client


class TestAllocate:
    @pytest.mark.parametrize(
        "algorithms",
        [
            (),
            (PasswordAlgorithmId.MD5,),
            (PasswordAlgorithmId.SHA256,),
            (PasswordAlgorithmId.SHA256, PasswordAlgorithmId.MD5),
        ],
    )
    def test_takes_two_round_trips(self, algorithms: tuple[PasswordAlgorithmId, ...]) -> None:
        world = World(algorithms=algorithms)
        client = Client(world)
        world.run(2 * ROUND_TRIP)
        allocated = client.the(Allocated)
        assert allocated.relayed[0].host == SERVER.host
        assert (allocated.mapped, allocated.lifetime) == (client.local, 600)
        assert world.requests(Method.ALLOCATE) == [0.0, ROUND_TRIP]

    def test_takes_one_with_a_remembered_challenge(self) -> None:
        world = World()
        challenge = ready(world).the(ChallengeRemembered).challenge
        client = Client(world, challenge=challenge)
        world.run(world.now + ROUND_TRIP)
        assert client.told(Allocated)
        assert not client.told(ChallengeRemembered)

    def test_a_challenge_that_has_expired_costs_one(self) -> None:
        world = World(nonce_lifetime=10)
        challenge = ready(world).the(ChallengeRemembered).challenge
        world.run(20.0)
        client = Client(world, challenge=challenge)
        world.run(20.0 + 2 * ROUND_TRIP)
        assert client.told(Allocated)
        assert client.the(ChallengeRemembered).challenge.nonce != challenge.nonce

    def test_from_a_server_that_asks_for_no_credentials(self) -> None:
        world = World(has_authenticator=False)
        client = Client(world, credentials=None, permit=(PEER.host,))
        world.run(ROUND_TRIP)
        assert client.told(Allocated)
        assert client.told(PermissionsInstalled)

    def test_credentials_are_no_harm_there(self) -> None:
        world = World(has_authenticator=False)
        client = Client(world)
        world.run(ROUND_TRIP)
        assert client.told(Allocated)

    def test_both_families(self) -> None:
        client = ready(World(), families=BOTH)
        assert [address.host for address in client.the(Allocated).relayed] == [SERVER.host, RELAY6]

    @pytest.mark.rfc("8656", "7.2")
    @pytest.mark.parametrize(("hosts", "missing"), [((SERVER.host,), V6), ((RELAY6,), V4)])
    def test_one_of_both_is_what_there_is(self, hosts: tuple[str, ...], missing: AddressFamily) -> None:
        client = ready(World(relay_hosts=hosts), families=BOTH)
        assert [address.host for address in client.the(Allocated).relayed] == list(hosts)
        refused = client.the(AddressFamilyRefused)
        assert (refused.family, refused.code) == (missing, 440)

    def test_one_of_both_has_no_port(self) -> None:
        client = ready(World(no_port_for={RELAY6}), families=BOTH)
        assert [address.host for address in client.the(Allocated).relayed] == [SERVER.host]
        refused = client.the(AddressFamilyRefused)
        assert (refused.family, refused.code) == (V6, 508)

    def test_ipv6_alone(self) -> None:
        client = ready(World(), families=(V6,))
        assert [address.host for address in client.the(Allocated).relayed] == [RELAY6]

    def test_permissions_travel_in_the_same_flight(self) -> None:
        world = World(bind_delay=0.05)
        client = Client(world, permit=(PEER.host,))
        world.run(2 * ROUND_TRIP + 0.05)
        assert client.told(PermissionsInstalled)
        assert world.requests(Method.CREATE_PERMISSION) == [ROUND_TRIP]

    def test_a_longer_lifetime(self) -> None:
        world = World()
        client = Client(world, lifetime=3600)
        world.run(1.0)
        assert client.the(Allocated).lifetime == 3600
        world.run(ROUND_TRIP + 3540.0)
        assert world.requests(Method.REFRESH) == [ROUND_TRIP + 3540.0]


class TestRefused:
    def failure(self, world: World, client: Client) -> tuple[AllocationFailure, int | None]:
        world.run(world.now + 60.0)
        failed = client.the(AllocationFailed)
        assert client.allocation.next_deadline() is None
        return failed.reason, failed.code

    @pytest.mark.rfc("8489", "9.2.5")
    @pytest.mark.parametrize("credentials", [ALICE_ANEW, LongTermCredentials("nobody", Secret("x"))])
    def test_wrong_credentials(self, credentials: LongTermCredentials) -> None:
        world = World()
        client = Client(world, credentials=credentials)
        assert self.failure(world, client) == (AllocationFailure.WRONG_CREDENTIALS, 401)
        assert len(world.requests(Method.ALLOCATE)) == 2

    def test_no_credentials(self) -> None:
        world = World()
        client = Client(world, credentials=None)
        assert self.failure(world, client) == (AllocationFailure.CREDENTIALS_NEEDED, 401)

    @pytest.mark.rfc("8656", "7.2")
    @pytest.mark.parametrize(("families", "hosts"), [((V6,), (SERVER.host,)), ((V4,), (RELAY6,))])
    def test_family(self, families: tuple[AddressFamily, ...], hosts: tuple[str, ...]) -> None:
        world = World(relay_hosts=hosts)
        client = Client(world, families=families)
        assert self.failure(world, client) == (AllocationFailure.UNSUPPORTED_FAMILY, 440)

    def test_quota_of_the_user(self) -> None:
        world = World(max_allocations_per_user=1)
        first = ready(world)
        client = Client(world)
        assert self.failure(world, client) == (AllocationFailure.QUOTA, 486)
        first.close()
        world.run(world.now + 1.0)
        ready(world)

    def test_quota_of_one_is_not_anothers(self) -> None:
        world = World(max_allocations_per_user=1)
        ready(world)
        client = Client(world, credentials=BOB)
        world.run(world.now + 1.0)
        assert client.told(Allocated)

    def test_capacity_of_the_server(self) -> None:
        world = World(max_allocations=1)
        ready(world)
        client = Client(world, credentials=BOB)
        assert self.failure(world, client) == (AllocationFailure.CAPACITY, 508)

    def test_no_port(self) -> None:
        world = World(no_port_for={SERVER.host})
        client = Client(world)
        assert self.failure(world, client) == (AllocationFailure.CAPACITY, 508)
        assert world.server.allocation_count == 0

    def test_silence(self) -> None:
        world = World(treat=lambda datagram: None)
        client = Client(world)
        assert self.failure(world, client) == (AllocationFailure.NO_ANSWER, None)
        assert len(world.requests(Method.ALLOCATE)) == 7

    def test_forged_answers_are_not_silence(self) -> None:
        def forge(datagram: Datagram) -> Datagram | None:
            if datagram.local != SERVER or decode_message(datagram.payload).message_class != 2:
                return datagram
            return Datagram(datagram.local, datagram.remote, datagram.payload[:-1] + b"\0")

        world = World(treat=forge)
        client = Client(world)
        assert self.failure(world, client) == (AllocationFailure.INTEGRITY_VIOLATED, None)


class TestMismatch:
    def test_what_an_earlier_run_left_behind_is_replaced(self) -> None:
        world = World()
        first = ready(world)
        old = first.relayed
        second = Client(world, port=first.local.port)
        world.run(world.now + 2.0)
        assert second.the(Allocated).relayed != (old,)
        assert [event.reason for event in world.server_events if isinstance(event, AllocationEnded)] == [
            EndReason.RELEASED
        ]

    def test_another_users_is_left_alone(self) -> None:
        world = World()
        first = ready(world, PEER.host)
        second = Client(world, credentials=BOB, port=first.local.port)
        world.run(world.now + 60.0)
        failed = second.the(AllocationFailed)
        assert (failed.reason, failed.code) == (AllocationFailure.MISMATCH, 437)
        assert world.server.allocation_count == 1


class TestByteStreams:
    @pytest.mark.parametrize("route", [TCP, TLS])
    def test_an_allocation_takes_its_own_two_round_trips(self, route: Route) -> None:
        world = World()
        client = Client(world, routes=(route,), permit=(PEER.host,))
        world.run(3 * ROUND_TRIP)
        assert client.the(RouteChosen).route == route
        assert not client.the(Allocated).is_reflexive
        assert client.told(PermissionsInstalled)

    @pytest.mark.parametrize("has_channel", [False, True])
    def test_data_goes_both_ways(self, has_channel: bool) -> None:
        world = World()
        client = Client(world, routes=(TCP,), permit=(PEER.host,))
        world.run(1.0)
        if has_channel:
            client.bind(PEER)
            world.run(2.0)
        for size in (0, 1, 2, 3, 1201):
            client.send(PEER, b"c" * size)
            peer_sends(world, PEER, client.relayed, b"p" * size)
        world.run(3.0)
        assert [len(datagram.payload) for datagram in world.peer_inbox] == [0, 1, 2, 3, 1201]
        assert [len(event.payload) for event in client.told(PeerDataReceived)] == [0, 1, 2, 3, 1201]

    def test_it_is_kept_and_given_back(self) -> None:
        world = World()
        client = Client(world, routes=(TCP,))
        world.run(1300.0)
        assert len(world.requests(Method.REFRESH)) == 2
        client.close()
        world.run(1301.0)
        assert world.server.allocation_count == 0
        assert client.events[-1] == MachineClosed()
        assert not world.streams

    def test_new_credentials_save_it(self) -> None:
        world = World()
        client = Client(world, routes=(TCP,))
        world.run(1.0)
        world.users.passwords["alice"] = ALICE_ANEW.password
        world.run(550.0)
        assert client.told(CredentialsRejected)
        client.allocation.set_credentials(ALICE_ANEW, now=world.now)
        world.run(700.0)
        assert client.allocation.relayed
        assert not client.told(AllocationLost)


class TestRoutes:
    def test_udp_costs_what_it_did_alone(self) -> None:
        world = World()
        client = Client(world, routes=(UDP, TCP, TLS))
        world.run(2 * ROUND_TRIP)
        assert client.the(RouteChosen).route == UDP
        assert client.told(Allocated)
        assert world.requests(Method.ALLOCATE) == [0.0, ROUND_TRIP]
        assert world.server.allocation_count == 1

    def test_where_udp_is_blocked_tcp_is_there_at_once(self) -> None:
        def block(datagram: Datagram) -> Datagram | None:
            is_udp = STREAM_HOST not in (datagram.local.host, datagram.remote.host)
            return None if is_udp else datagram

        world = World(treat=block)
        client = Client(world, routes=(UDP, TCP, TLS))
        world.run(3 * ROUND_TRIP + PREFERENCE_GRACE)
        assert client.the(RouteChosen).route == TCP
        assert client.told(Allocated)
        world.run(10.0)
        assert world.server.allocation_count == 1

    def test_udp_that_is_late_is_given_back(self) -> None:
        """The server asks for no credentials, so that the first Allocate of each way is granted."""
        held: list[Datagram] = []

        def hold(datagram: Datagram) -> Datagram | None:
            is_late = datagram.remote.host != STREAM_HOST and datagram.local == SERVER and world.now < 5.0
            if is_late:
                held.append(datagram)
            return None if is_late else datagram

        world = World(has_authenticator=False, treat=hold)
        client = Client(world, credentials=None, routes=(UDP, TCP))
        world.run(5.0)
        assert client.the(RouteChosen).route == TCP
        assert world.server.allocation_count == 2
        for datagram in held[:1]:
            world.carry(datagram)
        world.run(6.0)
        assert world.server.allocation_count == 1
        assert client.allocation.relayed

    def test_all_that_fails_is_told(self) -> None:
        world = World(treat=lambda datagram: None, no_stream_to={TCP.address, TLS.address})
        client = Client(world, routes=(UDP, TCP, TLS))
        world.run(60.0)
        failed = client.the(AllocationFailed)
        assert [each.route for each in failed.routes] == [TCP, TLS, UDP]


class TestData:
    @pytest.mark.parametrize("has_channel", [False, True])
    def test_goes_both_ways(self, has_channel: bool) -> None:
        world = World()
        client = ready(world, PEER.host)
        if has_channel:
            client.bind(PEER)
            world.run(world.now + 1.0)
            assert client.the(ChannelBound).peer == PEER
        for size in (0, 1, 1200, 60_000):
            client.send(PEER, b"c" * size)
            peer_sends(world, PEER, client.relayed, b"p" * size)
        world.run(world.now + 1.0)
        assert world.peer_inbox == [Datagram(PEER, client.relayed, b"c" * size) for size in (0, 1, 1200, 60_000)]
        assert client.told(PeerDataReceived) == [
            PeerDataReceived(client.relayed, PEER, b"p" * size) for size in (0, 1, 1200, 60_000)
        ]

    def test_dont_fragment_reaches_the_peers_side(self) -> None:
        world = World()
        client = Client(world, permit=(PEER.host,), dont_fragment=True)
        world.run(1.0)
        client.send(PEER, b"probe", dont_fragment=True)
        world.run(2.0)
        assert world.peer_inbox == [Datagram(PEER, client.relayed, b"probe", True)]

    def test_through_two_allocations(self) -> None:
        world = World()
        a, b = ready(world, SERVER.host), ready(world, SERVER.host)
        # The server hands what it sends to its own relayed addresses to itself.
        a.bind(b.relayed)
        b.bind(a.relayed)
        world.run(world.now + 1.0)
        a.send(b.relayed, b"from a")
        b.send(a.relayed, b"from b")
        world.run(world.now + 1.0)
        assert b.the(PeerDataReceived) == PeerDataReceived(b.relayed, a.relayed, b"from a")
        assert a.the(PeerDataReceived) == PeerDataReceived(a.relayed, b.relayed, b"from b")

    @pytest.mark.rfc("8656", "9")
    def test_hosts_without_permission_are_not_heard(self) -> None:
        world = World()
        client = ready(world, PEER.host)
        peer_sends(world, OTHER, client.relayed, b"psst")
        peer_sends(world, Address(PEER.host, 9), client.relayed, b"any port")
        world.run(world.now + 1.0)
        assert [event.payload for event in client.told(PeerDataReceived)] == [b"any port"]

    def test_both_families_at_once(self) -> None:
        world = World()
        client = ready(world, PEER.host, PEER6.host, families=BOTH)
        four, six = client.allocation.relayed
        client.send(PEER, b"4")
        client.send(PEER6, b"6")
        peer_sends(world, PEER6, six, b"six")
        world.run(world.now + 1.0)
        assert world.peer_inbox == [Datagram(PEER, four, b"4"), Datagram(PEER6, six, b"6")]
        assert client.the(PeerDataReceived) == PeerDataReceived(six, PEER6, b"six")

    @pytest.mark.rfc("8656", "11.5")
    def test_an_icmp_error_comes_back(self) -> None:
        world = World()
        client = ready(world, PEER.host)
        world.tell_server(Unreachable(client.relayed, PEER, 3, 4, 1400))
        world.run(world.now + 1.0)
        assert client.the(PeerIcmpReceived) == PeerIcmpReceived(PEER, 3, 4, 1400)


class TestPermissions:
    @pytest.mark.rfc("8656", "10.2")
    def test_a_forbidden_host_does_not_take_the_others_along(self) -> None:
        world = World(denied=("203.0.113.51/32",))
        client = ready(world, PEER.host, OTHER.host)
        assert client.the(PermissionFailed) == PermissionFailed((OTHER.host,), 403)
        assert client.the(PermissionsInstalled) == PermissionsInstalled((PEER.host,))
        world.run(world.now + 230.0)
        # Together, then each alone; never again.
        assert len(world.requests(Method.CREATE_PERMISSION)) == 3

    def test_the_wrong_family_is_refused(self) -> None:
        client = ready(World(), PEER6.host)
        assert client.the(PermissionFailed) == PermissionFailed((PEER6.host,), 443)

    def test_too_many_fit_as_far_as_they_go(self) -> None:
        client = ready(World(max_permissions=1), PEER.host, OTHER.host)
        assert client.the(PermissionsInstalled).hosts == (PEER.host,)
        assert client.the(PermissionFailed) == PermissionFailed((OTHER.host,), 508)

    @pytest.mark.rfc("8656", "9")
    def test_live_for_hours(self) -> None:
        world = World()
        client = ready(world, PEER.host)
        for hour in (1, 2, 3):
            world.run(hour * 3600.0)
            client.send(PEER, b"%d" % hour)
            peer_sends(world, PEER, client.relayed, b"%d" % hour)
        world.run(world.now + 1.0)
        assert len(world.peer_inbox) == 3
        assert len(client.told(PeerDataReceived)) == 3
        assert not client.told(PermissionFailed)
        assert len(client.told(PermissionsInstalled)) == 1

    def test_released_ones_lapse(self) -> None:
        world = World()
        client = ready(world, PEER.host, OTHER.host)
        client.allocation.release((PEER.host,), now=world.now)
        world.run(world.now + 310.0)
        peer_sends(world, PEER, client.relayed, b"late")
        peer_sends(world, OTHER, client.relayed, b"on time")
        before = len(world.wire)
        world.run(world.now + 1.0)
        assert len(world.wire) == before + 1
        assert client.the(PeerDataReceived).peer == OTHER

    @pytest.mark.parametrize("first", range(3))
    def test_lost_packets_are_made_up_for(self, first: int) -> None:
        count = 0

        def lose(datagram: Datagram) -> Datagram | None:
            nonlocal count
            count += 1
            return None if count % 3 == first else datagram

        world = World(treat=lose)
        client = Client(world, permit=(PEER.host,))
        world.run(30.0)
        assert client.told(Allocated)
        assert client.told(PermissionsInstalled)


class TestChannels:
    @pytest.mark.rfc("8656", "12")
    def test_live_for_hours_and_take_nothing_but_renewals(self) -> None:
        world = World()
        client = ready(world)
        client.bind(PEER)
        world.run(2 * 3600.0)
        assert client.allocation.channel_of(PEER) == 0x4000
        assert not client.told(ChannelFailed)
        peer_sends(world, PEER, client.relayed, b"data")
        world.run(world.now + 1.0)
        assert client.the(PeerDataReceived).peer == PEER
        assert world.wire[-1][1] == b"\x40\x00\x00\x04data"
        bindings = world.requests(Method.CHANNEL_BIND)
        assert len(bindings) == 14

    @pytest.mark.parametrize(
        ("settings", "code"), [({"denied": ("203.0.113.51/32",)}, 403), ({"max_channels": 0}, 508)]
    )
    def test_a_refused_one_leaves_data_flowing(self, settings: dict[str, object], code: int) -> None:
        world = World(**settings)  # type: ignore[arg-type] # settings of different types
        client = ready(world, PEER.host)
        client.bind(OTHER if code == 403 else PEER)
        world.run(world.now + 60.0)
        assert client.the(ChannelFailed).code == code
        client.send(PEER, b"on we go")
        world.run(world.now + 1.0)
        assert [datagram.payload for datagram in world.peer_inbox] == [b"on we go"]
        assert client.allocation.channel_of(PEER) is None

    def test_an_earlier_runs_are_gone_with_its_allocation(self) -> None:
        world = World()
        first = ready(world)
        first.bind(OTHER)
        world.run(world.now + 1.0)
        second = Client(world, port=first.local.port)
        world.run(world.now + 2.0)
        second.bind(PEER)
        world.run(world.now + 1.0)
        assert second.the(ChannelBound).channel == 0x4000


class TestRefresh:
    def test_keeps_the_allocation_for_hours(self) -> None:
        world = World()
        client = ready(world)
        world.run(3 * 3600.0)
        assert client.allocation.relayed
        assert world.server.allocation_count == 1
        assert not client.told(AllocationLost)
        assert 19 <= len(world.requests(Method.REFRESH)) <= 22

    def test_nonces_that_expire_cost_a_round_trip_each(self) -> None:
        world = World(nonce_lifetime=100)
        client = ready(world, PEER.host)
        world.run(3600.0)
        assert client.allocation.relayed
        assert client.allocation.is_permitted(PEER.host)
        assert not client.told(AllocationLost)
        assert not client.told(PermissionFailed)

    def test_a_server_that_has_forgotten(self) -> None:
        world = World()
        client = ready(world)
        world.server = World().server
        world.run(700.0)
        lost = client.the(AllocationLost)
        assert (lost.reason, lost.code) == (AllocationFailure.MISMATCH, 437)

    def test_silence_until_the_end(self) -> None:
        world = World()
        client = ready(world)
        world.treat = lambda datagram: None
        world.run(700.0)
        assert client.the(AllocationLost).reason is AllocationFailure.NO_ANSWER
        assert world.server.allocation_count == 0
        ended = [event for event in world.server_events if isinstance(event, AllocationEnded)]
        assert [event.reason for event in ended] == [EndReason.EXPIRED]

    def test_a_new_password_set_in_time(self) -> None:
        world = World()
        client = ready(world, PEER.host)
        world.users.passwords["alice"] = ALICE_ANEW.password
        client.allocation.set_credentials(ALICE_ANEW, now=world.now)
        world.run(3600.0)
        assert not client.told(AllocationLost)
        assert not client.told(CredentialsRejected)
        assert not client.told(PermissionFailed)
        client.send(PEER, b"still here")
        world.run(3601.0)
        assert world.peer_inbox

    def test_a_new_password_set_when_asked_for(self) -> None:
        world = World()
        client = ready(world, PEER.host)
        world.users.passwords["alice"] = ALICE_ANEW.password
        world.run(250.0)
        assert client.the(CredentialsRejected).code == 401
        client.allocation.set_credentials(ALICE_ANEW, now=world.now)
        world.run(3600.0)
        assert not client.told(AllocationLost)
        assert not client.told(PermissionFailed)

    def test_no_new_password(self) -> None:
        world = World()
        client = ready(world)
        world.users.passwords["alice"] = ALICE_ANEW.password
        world.run(700.0)
        lost = client.the(AllocationLost)
        assert (lost.reason, lost.code) == (AllocationFailure.WRONG_CREDENTIALS, 401)

    @pytest.mark.rfc("8656", "5")
    def test_another_user_cannot_take_over(self) -> None:
        world = World()
        client = ready(world)
        del world.users.passwords["alice"]
        client.allocation.set_credentials(BOB, now=world.now)
        world.run(700.0)
        lost = client.the(AllocationLost)
        assert (lost.reason, lost.code) == (AllocationFailure.WRONG_CREDENTIALS, 441)


class TestClose:
    @pytest.mark.rfc("8656", "8")
    def test_releases_it(self) -> None:
        world = World()
        client = ready(world)
        client.close()
        world.run(world.now + ROUND_TRIP)
        assert client.events[-1] == MachineClosed()
        assert world.server.allocation_count == 0
        opened, ended = (event for event in world.server_events if not isinstance(event, MachineClosed))
        assert isinstance(opened, AllocationOpened)
        assert isinstance(ended, AllocationEnded)
        assert (opened.username, ended.reason) == ("alice", EndReason.RELEASED)

    @pytest.mark.parametrize("at", [0.0, DELAY, ROUND_TRIP, ROUND_TRIP + DELAY])
    def test_at_any_moment_leaves_nothing_behind(self, at: float) -> None:
        world = World(bind_delay=0.01)
        client = Client(world, permit=(PEER.host,))
        world.run(at)
        client.close()
        world.run(at + 1.0)
        assert client.events[-1] == MachineClosed()
        assert world.server.allocation_count == 0
        world.run(at + 100.0)
        assert client.allocation.next_deadline() is None

    def test_is_bounded_when_the_server_is_silent(self) -> None:
        world = World()
        client = ready(world)
        world.treat = lambda datagram: None
        client.close()
        world.run(world.now + 0.99)
        assert not client.told(MachineClosed)
        world.run(world.now + 0.02)
        assert client.told(MachineClosed)

    def test_with_a_stale_nonce(self) -> None:
        world = World(nonce_lifetime=10)
        client = ready(world)
        world.run(30.0)
        client.close()
        world.run(31.0)
        assert client.told(MachineClosed)
        assert world.server.allocation_count == 0


def test_a_lost_success_is_given_again() -> None:
    lost: list[Datagram] = []

    def lose(datagram: Datagram) -> Datagram | None:
        message = decode_message(datagram.payload)
        if not lost and message.method == Method.ALLOCATE and message.message_class == 2:
            lost.append(datagram)
            return None
        return datagram

    world = World(treat=lose)
    client = Client(world)
    world.run(2.0)
    assert client.told(Allocated)
    assert world.server.allocation_count == 1
    assert len(lost) == 1
