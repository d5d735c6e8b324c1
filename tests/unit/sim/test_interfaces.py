"""icepath.sim.interfaces: addresses, and where packets leave."""

from __future__ import annotations

import pytest

from icepath.errors import InvalidArgument, InvalidState
from icepath.net import Address
from icepath.sim.clock import Clock
from icepath.sim.interfaces import Interfaces
from icepath.sim.link import IDEAL, Link, LinkConfig
from icepath.sim.network import Network
from icepath.sim.packet import Medium, Packet, Unreachability, icmp_error


class Bench:
    """Is a node with interfaces on two networks."""

    def __init__(self) -> None:
        self.name = "node"
        self.clock = Clock()
        self.medium = Medium(self.clock, 1)
        self.got: list[Packet] = []
        self.lan = Network(self.medium, "lan", prefixes=["192.168.1.0/24"])
        self.internet = Network(self.medium, "internet")
        self.interfaces = Interfaces(self.medium, self, self.receive)
        self.interfaces.add("wlan0", self.internet, ["11.0.0.1", "2b00::1"], 10, LinkConfig(mtu=1280), IDEAL)
        self.interfaces.add("eth0", self.lan, ["192.168.1.1"], 0, IDEAL, IDEAL)

    def receive(self, packet: Packet, link: Link) -> None:
        self.got.append(packet)


def test_interfaces_are_found_by_name_and_address() -> None:
    interfaces = Bench().interfaces
    assert [interface.name for interface in interfaces] == ["wlan0", "eth0"]
    assert interfaces.hosts == ("11.0.0.1", "2b00::1", "192.168.1.1")
    assert interfaces.of("2b00::1") is interfaces.named("wlan0")
    assert interfaces.of("11.0.0.2") is None
    with pytest.raises(InvalidArgument, match="node has no interface or address 'eth9'"):
        interfaces.named("eth9")


def test_a_name_is_taken_once_and_free_again() -> None:
    bench = Bench()
    with pytest.raises(InvalidState, match="node has an interface eth0 already"):
        bench.interfaces.add("eth0", bench.lan, ["192.168.1.2"], 0, IDEAL, IDEAL)
    assert bench.interfaces.remove("eth0").hosts == ("192.168.1.1",)
    assert bench.interfaces.hosts == ("11.0.0.1", "2b00::1")
    assert bench.interfaces.add("eth0", bench.lan, ["192.168.1.1"], 5, IDEAL, IDEAL).cost == 5


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.168.1.7", "192.168.1.1"),
        ("11.9.9.9", "11.0.0.1"),
        ("2b00:9::9", "2b00::1"),
        ("192.168.1.1", "192.168.1.1"),
        ("2b00::1", "2b00::1"),
    ],
)
def test_packets_leave_by_the_nearest_address(host: str, source: str) -> None:
    assert Bench().interfaces.source_for(host) == source


def test_without_an_address_of_the_family_there_is_no_way() -> None:
    bench = Bench()
    bench.interfaces.remove("wlan0")
    assert bench.interfaces.source_for("2b00::9") is None


def test_segments_fit_the_link() -> None:
    interfaces = Bench().interfaces
    assert [interfaces.max_segment(host) for host in interfaces.hosts] == [1240, 1220, 1460]


def test_what_is_for_the_node_itself_comes_back_later() -> None:
    bench = Bench()
    packet = Packet(Address("11.0.0.1", 1), Address("192.168.1.1", 2), b"x")
    bench.interfaces.transmit(packet)
    assert bench.got == []
    bench.clock.run_to(bench.clock.now)
    assert bench.got == [packet]


def test_multicast_is_heard_by_the_node_too_but_not_errors_about_it() -> None:
    bench = Bench()
    group = Address("224.0.0.251", 5353)
    packet = Packet(Address("192.168.1.1", 5353), group, b"x")
    bench.interfaces.transmit(packet)
    error = icmp_error(Packet(group, Address("192.168.1.1", 5353), b""), Unreachability.PORT)
    bench.interfaces.transmit(error)
    bench.clock.run_to(bench.clock.now)
    assert [got.payload for got in bench.got] == [b"x"]
