"""icepath.sim.network: who reaches whom."""

from __future__ import annotations

import pytest

from icepath.errors import InvalidState
from icepath.net import Address
from icepath.sim.clock import Clock
from icepath.sim.link import Link
from icepath.sim.network import Network, is_multicast
from icepath.sim.packet import Loss, Medium, Packet


class Node:
    """Remembers what comes, by the destination."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.got: list[str] = []

    def receive(self, packet: Packet, link: Link) -> None:
        self.got.append(packet.destination.host)


class Bench:
    """Is a network of nodes."""

    def __init__(self, *prefixes: str) -> None:
        self.medium = Medium(Clock(), 0)
        self.network = Network(self.medium, "lan", prefixes=prefixes)

    def node(self, name: str, *hosts: str) -> tuple[Node, Link]:
        node = Node(name)
        link = Link(self.medium, node, self.network)
        self.network.attach(link, hosts)
        return node, link

    def send(self, host: str, origin: Link | None = None) -> None:
        self.network.forward(Packet(Address("10.0.0.99", 1), Address(host, 2), b"x"), origin)


def test_attached_addresses_reach_each_other_and_others_vanish() -> None:
    bench = Bench()
    a, _ = bench.node("a", "10.0.0.1", "2b00::1")
    b, _ = bench.node("b", "10.0.0.2")
    for host in ("10.0.0.1", "2b00::1", "10.0.0.2", "10.0.0.3", "192.168.1.1"):
        bench.send(host)
    assert (a.got, b.got) == (["10.0.0.1", "2b00::1"], ["10.0.0.2"])
    assert bench.medium.losses == {Loss.NO_ROUTE: 2}


def test_an_address_is_attached_once_and_may_be_detached() -> None:
    bench = Bench()
    a, link = bench.node("a", "10.0.0.1")
    with pytest.raises(InvalidState, match=r"10\.0\.0\.1 is taken on lan"):
        bench.network.attach(link, ["10.0.0.1"])
    bench.network.detach(["10.0.0.1", "10.0.0.7"])
    bench.send("10.0.0.1")
    assert a.got == []


def test_gateways_take_what_is_elsewhere_by_family() -> None:
    bench = Bench("10.0.0.0/24", "2b00:1::/64")
    gateway4, link4 = bench.node("gateway4")
    gateway6, link6 = bench.node("gateway6")
    bench.send("11.0.0.1")
    bench.network.set_gateway(link4, ipv6=False)
    bench.network.set_gateway(link6, ipv6=True)
    for host in ("11.0.0.1", "11.0.0.1", "10.0.0.77", "2b00:2::1", "2b00:1::77"):
        bench.send(host)
    assert (gateway4.got, gateway6.got) == (["11.0.0.1", "11.0.0.1"], ["2b00:2::1"])
    assert bench.medium.losses == {Loss.NO_ROUTE: 3}


def test_nothing_goes_back_where_it_came_from() -> None:
    bench = Bench()
    gateway, link = bench.node("gateway")
    bench.network.set_gateway(link, ipv6=False)
    bench.send("11.0.0.1", link)
    assert gateway.got == []
    assert bench.medium.losses == {Loss.NO_ROUTE: 1}


def test_the_longest_prefix_wins() -> None:
    bench = Bench()
    wide, wide_link = bench.node("wide")
    narrow, narrow_link = bench.node("narrow")
    bench.network.add_route("10.0.0.0/8", wide_link)
    bench.network.add_route("10.1.0.0/16", narrow_link)
    for host in ("10.1.2.3", "10.2.2.3", "2b00::1"):
        bench.send(host)
    assert (wide.got, narrow.got) == (["10.2.2.3"], ["10.1.2.3"])


def test_multicast_floods_all_links_but_the_sender_s() -> None:
    bench = Bench()
    a, link_a = bench.node("a", "10.0.0.1", "2b00::1")
    b, _ = bench.node("b", "10.0.0.2", "10.0.0.3")
    gateway, link = bench.node("gateway")
    bench.network.set_gateway(link, ipv6=False)
    bench.send("224.0.0.251", link_a)
    bench.send("ff02::fb", link_a)
    assert b.got == ["224.0.0.251", "ff02::fb"]
    assert a.got == gateway.got == []


def test_owns_what_is_attached_or_in_its_prefixes() -> None:
    bench = Bench("10.0.0.0/24")
    bench.node("a", "11.0.0.1")
    assert bench.network.owns("10.0.0.200")
    assert bench.network.owns("11.0.0.1")
    assert not bench.network.owns("11.0.0.2")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("224.0.0.1", True),
        ("239.1.1.1", True),
        ("223.0.0.1", False),
        ("240.0.0.1", False),
        ("ff02::1", True),
        ("fe80::1", False),
    ],
)
def test_is_multicast(host: str, expected: bool) -> None:
    assert is_multicast(host) is expected
