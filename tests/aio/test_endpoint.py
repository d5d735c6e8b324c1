"""Many connections on one port, over loopback: whose a packet is, and what is left when one goes."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from aio.echo_machine import LOOPS, LoopFactory, run
from aio.turn_server import PASSWORD, USERNAME, free_address, turn_server
from icepath.aio import endpoint as endpoint_module
from icepath.aio.config import Config
from icepath.aio.connection import Connection
from icepath.aio.driver import Driver
from icepath.aio.endpoint import Endpoint
from icepath.aio.events import Event, GatheringCompleted, ServerFailed, StateChanged
from icepath.aio.interfaces import HostAddress, InterfaceFilter
from icepath.aio.place import Place
from icepath.aio.running import LocalSocket
from icepath.aio.servers import IceServer
from icepath.aio.sockets import open_socket
from icepath.aio.udp import UdpOptions
from icepath.errors import Cause, ConnectFailed, ConnectionFailure, InvalidArgument, InvalidState
from icepath.ice.events import State
from icepath.ice.router import Member
from icepath.machine import Datagram, Deliver, FlowKey, FlowUsed, SetFlow, Unreachable
from icepath.net import Address
from icepath.server.stun_service import Listen, StunService
from icepath.wire.attributes import Username
from icepath.wire.message import MessageClass, Method, TransactionId, encode_message

HOST = "127.0.0.1"


def only_ipv4_loopback(name: str, host: str) -> bool:
    return host == HOST


LOCAL = Config(loopback=True, interfaces=only_ipv4_loopback)
NO_FLOWS = Config(loopback=True, interfaces=only_ipv4_loopback, flows=False)
BY_TASK = Config(loopback=True, interfaces=only_ipv4_loopback, udp=UdpOptions(reader="task"))

WAYS = [
    pytest.param(LOOPS[0], LOCAL, id="asyncio"),
    pytest.param(LOOPS[1], LOCAL, id="uvloop"),
    pytest.param(LOOPS[0], BY_TASK, id="no add_reader"),
    pytest.param(LOOPS[0], NO_FLOWS, id="no flows"),
]


async def connect(alice: Connection, bob: Connection) -> None:
    async with asyncio.timeout(15):
        offer, answer = await asyncio.gather(alice.gather(), bob.gather())
        await asyncio.gather(alice.connect(answer), bob.connect(offer))


async def settled(*links: Connection) -> None:
    for link in links:
        await until(link, State.COMPLETED)


async def until(link: Connection, state: State) -> None:
    async with asyncio.timeout(15):
        async for event in link.events():
            if isinstance(event, StateChanged) and event.state is state and link.state is state:
                return


async def talk(alice: Connection, bob: Connection, text: bytes) -> None:
    """Says something both ways; it must be this and nothing else."""
    async with asyncio.timeout(10):
        for number in range(5):
            await alice.send(b"\x80to bob %d " % number + text)
            await bob.send(b"\x80to alice %d " % number + text)
        for number in range(5):
            assert await bob.receive() == b"\x80to bob %d " % number + text
            assert await alice.receive() == b"\x80to alice %d " % number + text


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def guests(endpoint: Endpoint, count: int, config: Config = LOCAL) -> AsyncIterator[list[Connection]]:
    """Yields started connections at an endpoint."""
    links = [Connection(endpoint=endpoint, config=config) for _ in range(count)]
    try:
        for link in links:
            await link.gather()
        yield links
    finally:
        await asyncio.gather(*(link.close() for link in links))


# -- sharing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loop_factory", "config"), WAYS)
def test_fifty_connections_share_one_port(loop_factory: LoopFactory, config: Config) -> None:
    async def main() -> None:
        async with Endpoint(host=HOST, config=config) as endpoint:
            servers = [Connection(endpoint=endpoint, config=config) for _ in range(50)]
            clients = [Connection(config=config) for _ in range(50)]
            await asyncio.gather(*map(connect, servers, clients))
            await asyncio.gather(*map(talk, servers, clients, (b"%d" % number for number in range(50))))
            assert endpoint.connections == 50
            assert len(endpoint.addresses) == 1
            for link in servers:
                pair = link.selected_pair
                assert pair is not None
                assert pair.local.address == endpoint.addresses[0]
            assert endpoint.dropped == {}
            await asyncio.gather(*(link.close() for link in clients + servers))
            assert endpoint.connections == len(endpoint.router) == 0

    run(main(), loop_factory)


@pytest.mark.parametrize(("loop_factory", "config"), WAYS)
def test_connections_of_one_endpoint_talk_to_each_other(loop_factory: LoopFactory, config: Config) -> None:
    async def main() -> None:
        async with Endpoint(host=HOST, config=config) as endpoint, guests(endpoint, 4, config) as links:
            alice, bob, carol, dave = links
            await asyncio.gather(connect(alice, bob), connect(carol, dave))
            await settled(*links)
            await asyncio.gather(talk(alice, bob, b"one"), talk(carol, dave, b"two"))
            assert endpoint.dropped == {}

    run(main(), loop_factory)


@pytest.mark.parametrize(("loop_factory", "config"), WAYS)
def test_a_restart_leaves_the_others_alone(loop_factory: LoopFactory, config: Config) -> None:
    async def main() -> None:
        async with (
            Endpoint(host=HOST, config=config) as endpoint,
            guests(endpoint, 2, config) as (alice, carol),
            Connection(config=config) as bob,
            Connection(config=config) as dave,
        ):
            await asyncio.gather(connect(alice, bob), connect(carol, dave))
            await settled(alice, bob, carol, dave)
            for _ in range(3):
                bob.set_remote_description(alice.restart())
                assert alice.state is not State.FAILED
                await talk(alice, bob, b"meanwhile")
                await alice.connect(bob.local_description)
                await settled(alice, bob)
            await asyncio.gather(talk(alice, bob, b"after"), talk(carol, dave, b"as before"))
            assert endpoint.dropped == {}

    run(main(), loop_factory)


async def test_two_endpoints_have_one_connection_between_two_addresses() -> None:
    """Data of a second one could not be told from the first one's: it is refused, and nothing is mixed up."""
    impatient = Config(loopback=True, interfaces=only_ipv4_loopback, patience=1.0)
    async with Endpoint(host=HOST) as left, Endpoint(host=HOST) as right:
        async with guests(left, 3, impatient) as ours, guests(right, 3, impatient) as theirs:
            results = await asyncio.gather(*map(connect, ours, theirs), return_exceptions=True)
            assert sum(result is None for result in results) == 1
            assert all(result is None or isinstance(result, ConnectFailed) for result in results)
            (winner,) = [number for number, result in enumerate(results) if result is None]
            await talk(ours[winner], theirs[winner], b"only this")
            assert left.dropped.keys() | right.dropped.keys() == {"five-tuple-taken"}
            await asyncio.gather(ours[winner].close(), theirs[winner].close())
        async with guests(left, 1, impatient) as (alice,), guests(right, 1, impatient) as (bob,):
            await connect(alice, bob)
            await talk(alice, bob, b"free again")


# -- servers ----------------------------------------------------------------------------------------------------


async def test_many_ask_one_stun_server() -> None:
    service = StunService()
    async with Endpoint(host=HOST) as endpoint:
        (address,) = service.listen([Listen(HOST, 0)])
        links = [Connection([f"stun:{address}"], endpoint=endpoint, config=LOCAL) for _ in range(5)]
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(link.gather(timeout=5.0) for link in links))
        assert asyncio.get_running_loop().time() - began < 4.0, "each got its own answer"
        assert endpoint.dropped == {}
        await asyncio.gather(*(link.close() for link in links))
    await service.close()


async def test_a_stun_server_that_is_not_there_is_told_to_who_asked() -> None:
    async with Endpoint(host=HOST) as endpoint:
        nowhere = free_address()
        links = [Connection([f"stun:{nowhere}"], endpoint=endpoint, config=LOCAL) for _ in range(3)]
        for link in links:
            await link.gather(timeout=5.0)
            failures = [event async for event in until_gathered(link) if isinstance(event, ServerFailed)]
            assert [failure.reason for failure in failures] == [Cause.SERVER_UNREACHABLE]
        await asyncio.gather(*(link.close() for link in links))


async def until_gathered(link: Connection) -> AsyncIterator[Event]:
    async for event in link.events():
        yield event
        if isinstance(event, GatheringCompleted):
            return


@pytest.mark.rfc("8656", "5")
async def test_each_has_its_relay_from_a_socket_of_its_own() -> None:
    async with turn_server() as address, Endpoint(host=HOST) as endpoint:
        servers = [IceServer(f"turn:{address}?transport=udp", username=USERNAME, credential=PASSWORD)]
        early = Connection(servers, endpoint=endpoint, config=LOCAL)
        late = Connection(endpoint=endpoint, config=LOCAL)
        peers = [Connection(servers, relay_only=True, config=LOCAL) for _ in range(2)]
        await early.gather()
        await late.gather()
        late.set_servers(servers)
        late.set_servers(servers)
        await eventually(lambda: len(late.local_description.candidates) == 2)
        for link in (early, late):
            host, relay = link.local_description.candidates
            assert (host.address, relay.type) == (endpoint.addresses[0], "relay")
        for link, peer in zip((early, late), peers, strict=True):
            await connect(link, peer)
            await talk(link, peer, b"relayed")
        await asyncio.gather(*(link.close() for link in (early, late, *peers)))
        assert endpoint.connections == 0


async def test_relay_only_uses_nothing_of_the_endpoint() -> None:
    async with Endpoint(host=HOST) as endpoint, Connection(endpoint=endpoint, relay_only=True, config=LOCAL) as link:
        assert (await link.gather()).candidates == ()
        assert endpoint.connections == 0


# -- what is nobody's ---------------------------------------------------------------------------------------------


async def test_what_is_nobodys_is_counted() -> None:
    async with Endpoint(host=HOST) as endpoint, guests(endpoint, 1):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            request = encode_message(Method.BINDING, MessageClass.REQUEST, TransactionId(bytes(12)), [Username("a:b")])
            response = encode_message(Method.BINDING, MessageClass.SUCCESS, TransactionId(bytes(12)))
            for payload in (request, response, b"", b"\x80data", b"\x80more"):
                stranger.sendto(payload, endpoint.addresses[0])
            expected = {"unknown-username": 1, "unknown-transaction": 1, "unvalidated": 3}
            await eventually(lambda: endpoint.dropped == expected)


async def test_a_ufrag_twice_is_refused() -> None:
    async with Endpoint(host=HOST) as endpoint, guests(endpoint, 1) as (alice,):
        ufrag = alice.local_description.ufrag
        with pytest.raises(InvalidArgument, match="is that of another agent"):
            endpoint.admit(Nothing(), ufrag, None)
        assert endpoint.connections == len(endpoint.router) == 1


class Nothing:
    """Is a guest that never hears anything."""

    def __init__(self) -> None:
        self.sockets: dict[Address, LocalSocket] = {}
        self.heard: list[object] = []

    def on_datagram(self, datagram: Datagram, now: float) -> None:
        self.heard.append(datagram)

    def on_unreachable(self, unreachable: Unreachable, now: float) -> None:
        self.heard.append(unreachable)

    def on_drained(self, now: float) -> None:
        self.heard.append("drained")

    def on_backlog(self, queued: bool) -> None:
        self.heard.append(queued)

    def on_socket_closed(self, closed: Place) -> None:
        self.heard.append(closed)


async def test_who_sends_while_the_socket_queues_waits_until_it_is_empty() -> None:
    async with Endpoint(host=HOST) as endpoint:
        first, second = Nothing(), Nothing()
        (place,) = endpoint.admit(first, "AAAA", None)
        (other,) = endpoint.admit(second, "BBBB", None)
        (sock,) = (sock for sock, _ in endpoint._sockets.values())
        sock._data.append(Datagram(place.address, free_address(), b"queued"))
        place.send(Datagram(place.address, free_address(), b"\x80data"))
        place.send(Datagram(place.address, free_address(), b"\x80data"))
        other.send(Datagram(place.address, free_address(), b"\x80data"))
        assert first.heard == second.heard == [True]
        endpoint.on_backlog(True)
        other.close()
        assert second.heard == [True, False, other]
        sock._on_writable()
        assert first.heard == [True, False]
        place.close()


async def test_flows_are_of_who_holds_the_five_tuple() -> None:
    async with Endpoint(host=HOST) as endpoint:
        (place,) = endpoint.admit(Nothing(), "AAAA", None)
        (other,) = endpoint.admit(Nothing(), "BBBB", None)
        (sock,) = (sock for sock, _ in endpoint._sockets.values())
        here, there, elsewhere = place.address, Address(HOST, 9), Address(HOST, 7)
        got: list[bytes] = []

        def flow(remote: Address, seconds: float = 30.0) -> SetFlow:
            return SetFlow(FlowKey(here, remote), Deliver(1, 1), Driver.now() + seconds)

        place.set(flow(there), got.append)
        place.set(flow(there), got.append)
        place.set(flow(elsewhere, 0.02), got.append)
        place.set(flow(here), got.append)
        other.set(flow(there), got.append)
        assert len(sock.flows) == 2
        assert sock.flows.take(there, b"\x80data", Driver.now())
        assert place.used() == [FlowUsed(FlowKey(here, there), 1, 5, 0.0)]
        assert place.used() == other.used() == []
        assert other.drop(FlowKey(here, there)) is None
        await asyncio.sleep(0.03)
        other.set(flow(elsewhere), got.append)
        assert sock.flows.take(elsewhere, b"\x80more", Driver.now())
        place.close()
        assert other.used() == [FlowUsed(FlowKey(here, elsewhere), 1, 5, 0.0)], "a lapsed flow of another goes alone"
        assert len(sock.flows) == 1
        other.close()
        assert len(sock.flows) == 0


async def test_what_is_refused_is_told_as_unreachable() -> None:
    both = Config(loopback=True, interfaces=lambda name, host: host in (HOST, "::1"))
    async with Endpoint(config=both) as endpoint:
        guest = Nothing()
        endpoint.admit(Nothing(), "AAAA", None)
        for place in endpoint.admit(guest, "CCCC", None):
            remote = Address(place.address.host, 9)
            request = encode_message(
                Method.BINDING, MessageClass.REQUEST, TransactionId(bytes(12)), [Username("BBBB:CCCC")]
            )
            assert endpoint.router.confirm(Member(1), place.address, remote, Driver.now() + 30.0, now=Driver.now())
            place.send(Datagram(place.address, remote, request))
            kind = (1, 4) if place.address.is_ipv6 else (3, 3)
            assert guest.heard.pop() == Unreachable(place.address, remote, *kind)


async def test_what_a_flow_relays_leaves_from_the_shared_socket() -> None:
    async with Endpoint(host=HOST) as endpoint:
        (place,) = endpoint.admit(Nothing(), "AAAA", None)
        with open_socket(Address(HOST, 0)) as peer:
            place.relay(Address(*peer.getsockname()), b"relayed")
            await eventually(lambda: select.select([peer], [], [], 0)[0])
            assert peer.recvfrom(100) == (b"relayed", endpoint.addresses[0])
        place.close()


async def test_what_is_between_its_connections_is_bounded() -> None:
    async with Endpoint(host=HOST) as endpoint:
        (place,) = endpoint.admit(Nothing(), "AAAA", None)
        for _ in range(600):
            place.send(Datagram(place.address, place.address, b"\x80data"))
        await eventually(lambda: endpoint.dropped == {"limit": 88, "unvalidated": 512})
        place.close()


# -- start and end -------------------------------------------------------------------------------------------------


async def test_closing_leaves_nothing_behind() -> None:
    async with Endpoint(host=HOST) as endpoint:
        async with guests(endpoint, 4) as links:
            await asyncio.gather(connect(*links[:2]), connect(*links[2:]))
        assert endpoint.connections == len(endpoint.router) == 0
        assert endpoint.addresses
        kept = ("_seats", "_woken", "_waiting", "_inside")
        assert not any(getattr(endpoint, name) for name in kept)
        assert (endpoint.router._claims, endpoint.router._ufrags) == ({}, {})
        assert [len(sock.flows) for sock, _ in endpoint._sockets.values()] == [0]
        async with guests(endpoint, 2) as (alice, bob):
            await connect(alice, bob)
    assert endpoint.addresses == ()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))


@pytest.mark.parametrize(("loop_factory", "config"), WAYS)
def test_closing_the_endpoint_ends_its_connections(loop_factory: LoopFactory, config: Config) -> None:
    async def main() -> None:
        endpoint = Endpoint(host=HOST, config=config)
        async with endpoint:
            port = endpoint.port
            async with Connection(config=config) as bob:
                alice, idle = (Connection(endpoint=endpoint, config=config) for _ in range(2))
                await idle.gather()
                await connect(alice, bob)
                receiving = asyncio.ensure_future(alice.receive())
                waiting = asyncio.ensure_future(idle.connect())
                await asyncio.sleep(0)
                async with asyncio.timeout(5):
                    await asyncio.gather(endpoint.close(), endpoint.close())
                for task in (receiving, waiting):
                    with pytest.raises(ConnectionFailure):
                        await task
                assert alice.state is idle.state is State.CLOSED
                assert endpoint.connections == 0
                with pytest.raises(InvalidState, match="not open"):
                    await Connection(endpoint=endpoint).gather()
                with pytest.raises(InvalidState, match="opened once"):
                    await endpoint.__aenter__()
        async with Endpoint(port, host=HOST):
            pass

    run(main(), loop_factory)


async def test_the_port_is_the_same_everywhere_and_may_be_taken() -> None:
    both = Config(loopback=True, interfaces=lambda name, host: host in (HOST, "::1"))
    async with Endpoint(config=both) as endpoint:
        assert {address.port for address in endpoint.addresses} == {endpoint.port}
        assert HOST in {address.host for address in endpoint.addresses}
        assert str(endpoint.port) in repr(endpoint)
        with pytest.raises(OSError, match="in use"):
            await Endpoint(endpoint.port, host=HOST).__aenter__()
        async with Connection(endpoint=endpoint, config=both) as link:
            assert {candidate.address for candidate in (await link.gather()).candidates} == set(endpoint.addresses)


def pretend(monkeypatch: pytest.MonkeyPatch, *hosts: HostAddress) -> None:
    def usable(admit: InterfaceFilter | None, *, loopback: bool) -> tuple[HostAddress, ...]:
        return hosts

    monkeypatch.setattr(endpoint_module, "usable_addresses", usable)


async def test_a_port_that_is_taken_on_one_address_is_not_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Address] = []

    def often_taken(local: Address, **settings: object) -> socket.socket:
        asked.append(local)
        if local.port and len(asked) < 6:
            raise OSError(errno.EADDRINUSE, "taken")
        return open_socket(local)

    hosts = (HostAddress(HOST, "lo"), HostAddress("127.0.0.2", "lo"))
    pretend(monkeypatch, *hosts)
    monkeypatch.setattr(endpoint_module, "open_socket", often_taken)
    async with Endpoint(config=LOCAL) as endpoint:
        assert len(endpoint.addresses) == 2
        assert [address.port == 0 for address in asked] == [True, False] * 3


async def test_an_address_that_is_gone_is_left_out_unless_it_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = HostAddress("192.0.2.77", "gone0")
    pretend(monkeypatch, gone, HostAddress(HOST, "lo"))
    async with Endpoint() as endpoint:
        assert [address.host for address in endpoint.addresses] == [HOST]
    pretend(monkeypatch, gone)
    with pytest.raises(OSError, match="assign") as caught:
        await Endpoint().__aenter__()
    assert caught.value.errno == errno.EADDRNOTAVAIL
    pretend(monkeypatch)
    with pytest.raises(OSError, match="no usable local address"):
        await Endpoint().__aenter__()
    with pytest.raises(OSError, match="assign"):
        await Endpoint(host="192.0.2.77").__aenter__()


def test_what_is_not_allowed_is_said_at_once() -> None:
    for wrong in (-1, 65_536):
        with pytest.raises(InvalidArgument, match="port is"):
            Endpoint(wrong)
    with pytest.raises(InvalidArgument):
        Endpoint(host="localhost")
    with pytest.raises(InvalidArgument, match="one component"):
        Connection(endpoint=Endpoint(), components=2)
    assert (Endpoint(4000).port, Endpoint().port, Endpoint(tcp=False).tcp) == (4000, 0, False)


def test_an_endpoint_is_of_one_event_loop() -> None:
    endpoint = Endpoint(host=HOST)
    with asyncio.Runner() as first:
        first.run(endpoint.__aenter__())

        async def elsewhere() -> None:
            with pytest.raises(InvalidState, match="another event loop"):
                await Connection(endpoint=endpoint, config=LOCAL).gather()

        with asyncio.Runner() as second:
            # A loop may run in another thread; here the first one merely rests.
            second.run(elsewhere())
        first.run(endpoint.close())
