"""Names in .local over real multicast, on loopback: two machines of one computer find each other."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from icepath import Config, Connection
from icepath.aio import mdns
from icepath.aio.driver import Driver
from icepath.aio.interfaces import HostAddress
from icepath.aio.mdns import LocalNames, current_links, links_of
from icepath.aio.multicast import open_group_socket
from icepath.aio.resolver import ResolveFailed, Resolver
from icepath.machine import FailReason
from icepath.mdns.config import Link, MdnsConfig
from icepath.mdns.names import local_name
from icepath.net import Address
from icepath.wire.candidate_line import CandidateType

LOOPBACK = (Link("127.0.0.1", ("127.0.0.0/8",)),)
GROUP = Address("224.0.0.251", 5353)
GROUP_IPV6 = Address("ff02::fb", 5353)
QUICK = MdnsConfig(timeout=0.3)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def fresh_name() -> str:
    return local_name(random.randbytes)


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the tests on loopback, whatever networks there are."""
    monkeypatch.setattr(mdns, "current_links", lambda own=frozenset(): LOOPBACK)


@pytest.fixture
def neighbour() -> Iterator[LocalNames]:
    """Is another machine than the loop's."""
    names = LocalNames()
    yield names
    assert not names.is_running


async def test_one_finds_the_name_of_the_other(neighbour: LocalNames) -> None:
    name = fresh_name()
    neighbour.register(name, "127.0.0.1")
    found = await Driver.current().resolver.resolve(name)
    assert [answer.address for answer in found] == [Address("127.0.0.1", 0)]
    neighbour.unregister([name])


async def test_a_name_announced_before_anybody_asks_needs_no_question(neighbour: LocalNames) -> None:
    waiting = asyncio.create_task(LocalNames.current().resolve(fresh_name()))
    await asyncio.sleep(0.01)
    name = fresh_name()
    neighbour.register(name, "127.0.0.1")
    await asyncio.sleep(0.05)
    assert await asyncio.wait_for(LocalNames.current().resolve(name), 0.01) == "127.0.0.1"
    neighbour.unregister([name])
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_name_that_nobody_has_fails_in_time() -> None:
    names = LocalNames(QUICK)
    with pytest.raises(ResolveFailed, match="nobody on the networks") as caught:
        await names.resolve(fresh_name())
    assert caught.value.reason is FailReason.NAME_NOT_FOUND
    assert not names.is_running


async def test_a_name_that_was_taken_back_is_not_found(neighbour: LocalNames) -> None:
    name = fresh_name()
    neighbour.register(name, "127.0.0.1")
    await LocalNames.current().resolve(name)
    neighbour.unregister([name, fresh_name()])
    with pytest.raises(ResolveFailed):
        await LocalNames(QUICK).resolve(name)


async def test_what_was_found_is_remembered_beyond_the_machine(neighbour: LocalNames) -> None:
    """The other components' candidates have the same name."""
    name = fresh_name()
    neighbour.register(name, "127.0.0.1")
    names = LocalNames(MdnsConfig(timeout=0.3, max_cached=1))
    await names.resolve(name)
    neighbour.unregister([name])
    assert not names.is_running
    assert await names.resolve(name) == "127.0.0.1"
    other = fresh_name()
    neighbour.register(other, "127.0.0.1")
    await names.resolve(other)
    neighbour.unregister([other])
    with pytest.raises(ResolveFailed):
        await names.resolve(name)


async def test_printers_are_not_asked_for() -> None:
    with pytest.raises(ResolveFailed, match="of the form that agents make"):
        await Resolver().resolve("printer.local")


async def test_a_host_without_multicast_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mdns, "current_links", lambda own=frozenset(): (Link("192.0.2.1"),))
    names = LocalNames()
    with pytest.raises(ResolveFailed, match="no network here takes multicast") as caught:
        await names.resolve(fresh_name())
    assert caught.value.reason is FailReason.RESOLVER
    names.register(fresh_name(), "192.0.2.1")
    names.unregister(list(names._own))
    assert not names.is_running


async def test_another_program_with_the_port_for_itself_does_not_stop_asking() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as greedy:
        try:
            greedy.bind(("0.0.0.0", GROUP.port))
        except OSError:
            pytest.skip("an mDNS daemon shares the port here")
        names = LocalNames(QUICK)
        with pytest.raises(ResolveFailed, match="nobody on the networks"):
            await names.resolve(fresh_name())


async def test_the_machine_ends_with_its_last_user() -> None:
    names = LocalNames(QUICK)
    assert not names.is_running
    own = fresh_name()
    names.register(own, "127.0.0.1")
    assert await names.resolve(own) == "127.0.0.1"
    assert names.is_running
    names.unregister([own])
    assert not names.is_running
    names.unregister([own])


async def test_who_waits_no_longer_is_forgotten() -> None:
    names = LocalNames()
    waiting = asyncio.create_task(names.resolve(fresh_name()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not names.is_running


async def test_each_loop_has_one() -> None:
    assert LocalNames.current() is LocalNames.current()


class TestSockets:
    def test_a_group_may_be_heard_by_several(self) -> None:
        first, _ = open_group_socket(Address("127.0.0.1", 5353), GROUP)
        second, _ = open_group_socket(Address("127.0.0.1", 5353), GROUP)
        sender, index = open_group_socket(Address("127.0.0.1", 0), Address(GROUP.host, 0))
        with first, second, sender:
            assert index == 0
            assert sender.getsockname()[0] == "127.0.0.1"
            marker = random.randbytes(16)
            sender.sendto(marker, GROUP)
            for sock in (first, second):
                sock.settimeout(5.0)
                while sock.recv(2048) != marker:
                    pass

    def test_what_is_sent_to_the_host_itself_does_not_come_in(self) -> None:
        hearing, _ = open_group_socket(Address("127.0.0.1", 5353), GROUP)
        with hearing, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            direct, by_group = random.randbytes(16), random.randbytes(16)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            sender.sendto(direct, ("127.0.0.1", 5353))
            sender.sendto(by_group, GROUP)
            hearing.settimeout(5.0)
            while (heard := hearing.recv(2048)) != by_group:
                assert heard != direct

    @pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
    def test_ipv6_sockets_belong_to_an_interface(self) -> None:
        """Loopback has no route for multicast in IPv6: the exchange itself is a test over network namespaces."""
        hearing, index = open_group_socket(Address("::1", 5353), GROUP_IPV6)
        sender, _ = open_group_socket(Address("::1", 0), Address(GROUP_IPV6.host, 0))
        with hearing, sender:
            assert index == socket.if_nametoindex("lo")
            assert sender.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF) == index
            assert hearing.getsockname()[0].startswith("ff02::fb")

    def test_an_address_that_nobody_has_is_an_error_of_the_system(self) -> None:
        for host, group in (("192.0.2.1", GROUP), ("2001:db8::1", GROUP_IPV6)):
            with pytest.raises(OSError):  # noqa: PT011 - the errno differs by system
                open_group_socket(Address(host, 5353), group)


class TestLinks:
    def test_one_for_each_interface_and_family_with_all_its_networks(self) -> None:
        everything = [
            HostAddress("192.168.1.10", "eth0", prefix=24),
            HostAddress("2b00:1::10", "eth0", prefix=64),
            HostAddress("2b00:1::11", "eth0", prefix=64),
            HostAddress("10.0.0.5", "wlan0", prefix=8),
            HostAddress("127.0.0.1", "lo", prefix=8),
        ]
        on_eth0 = ("192.168.1.0/24", "2b00:1::/64")
        assert links_of(everything[:4], everything) == (
            Link("192.168.1.10", on_eth0),
            Link("2b00:1::10", on_eth0),
            Link("10.0.0.5", ("10.0.0.0/8",)),
        )

    def test_loopback_is_there_when_a_name_of_ours_is(self) -> None:
        assert "127.0.0.1" in [link.host for link in current_links(frozenset({"127.0.0.1"}))]


class TestConnections:
    async def test_two_that_hide_their_addresses_find_each_other(self) -> None:
        hiding = Config(loopback=True, interfaces=lambda name, host: host == "127.0.0.1", mdns=True)
        async with asyncio.timeout(10), Connection(config=hiding) as a, Connection(config=hiding) as b:
            offer, answer = await a.gather(), await b.gather()
            for told in (offer, answer):
                assert "127.0.0.1" not in str(told)
                assert [each.is_name for each in told.candidates if each.type is CandidateType.HOST] == [True]
            await asyncio.gather(a.connect(answer), b.connect(offer))
            await a.send(b"hello")
            assert await b.receive() == b"hello"
        assert not LocalNames.current().is_running

    async def test_one_that_hides_finds_one_that_does_not(self) -> None:
        plain = Config(loopback=True, interfaces=lambda name, host: host == "127.0.0.1")
        async with (
            asyncio.timeout(10),
            Connection(config=replace(plain, mdns=True)) as a,
            Connection(config=plain) as b,
        ):
            offer, answer = await a.gather(), await b.gather()
            await asyncio.gather(a.connect(answer), b.connect(offer))
            await b.send(b"hello")
            assert await a.receive() == b"hello"

    async def test_an_agent_that_cannot_be_started_keeps_no_names(self) -> None:
        nowhere = Config(interfaces=lambda name, host: True, ports=range(1, 2), mdns=True, loopback=True)
        with contextlib.suppress(OSError):
            async with Connection(config=nowhere):
                pass
        assert not LocalNames.current().is_running
