"""icepath.sim.firewall: policies, and the stateful firewall."""

from __future__ import annotations

import pytest

from icepath.net import Address
from icepath.sim.behaviour import Behaviour
from icepath.sim.clock import Clock
from icepath.sim.firewall import OPEN, Firewall, FirewallConfig, Policy, Unsolicited, tcp_only
from icepath.sim.link import LinkConfig
from icepath.sim.network import Network
from icepath.sim.packet import Loss, Medium, Segment
from sim.nodes import Node

INSIDE, OUTSIDE = "2b00:1::10", "2b00::1"


class Bench:
    """Is a firewall with two inside networks and two nodes outside."""

    def __init__(self, config: FirewallConfig, *, up: LinkConfig | None = None) -> None:
        self.clock = Clock()
        self.medium = Medium(self.clock, 1)
        self.internet = Network(self.medium, "internet")
        self.lan = Network(self.medium, "lan", prefixes=["2b00:1::/64"])
        self.other = Network(self.medium, "other", prefixes=["2b00:2::/64"])
        self.firewall = Firewall(self.medium, "firewall", config, self.internet, up=up or LinkConfig())
        self.firewall.add_inside(self.lan, ["2b00:1::/64"])
        self.firewall.add_inside(self.other, ["2b00:2::/64"])
        self.x = Node(self.medium, self.lan, INSIDE)
        self.z = Node(self.medium, self.other, "2b00:2::10")
        self.y1 = Node(self.medium, self.internet, OUTSIDE)
        self.y2 = Node(self.medium, self.internet, "2b00::2")

    def advance(self, seconds: float) -> None:
        self.clock.run_to(self.clock.now + seconds)


@pytest.mark.parametrize(
    ("filtering", "admitted"),
    [
        (Behaviour.ENDPOINT_INDEPENDENT, [(OUTSIDE, 100), (OUTSIDE, 101), ("2b00::2", 100)]),
        (Behaviour.ADDRESS_DEPENDENT, [(OUTSIDE, 100), (OUTSIDE, 101)]),
        (Behaviour.ADDRESS_AND_PORT_DEPENDENT, [(OUTSIDE, 100)]),
    ],
)
def test_only_answers_come_in(filtering: Behaviour, admitted: list[tuple[str, int]]) -> None:
    bench = Bench(FirewallConfig(filtering=filtering))
    inside = Address(INSIDE, 5000)
    bench.y1.send(100, inside)
    assert bench.x.got == []
    bench.x.send(5000, f"[{OUTSIDE}]:100")
    assert bench.y1.take_source() == inside
    bench.y1.send(100, inside)
    bench.y1.send(101, inside)
    bench.y2.send(100, inside)
    assert [tuple(packet.source) for packet in bench.x.take()] == admitted
    assert bench.medium.losses == {Loss.FILTERED: 4 - len(admitted)}
    bench.y1.send(100, Address(INSIDE, 5001))
    assert bench.x.got == []


@pytest.mark.parametrize("refreshes_inbound", [False, True])
def test_a_session_lasts_as_long_as_it_is_used(refreshes_inbound: bool) -> None:
    bench = Bench(FirewallConfig(timeout=60.0, refreshes_inbound=refreshes_inbound))
    bench.x.send(5000, f"[{OUTSIDE}]:100")
    bench.advance(40.0)
    bench.y1.send(100, Address(INSIDE, 5000))
    bench.advance(40.0)
    bench.y1.send(100, Address(INSIDE, 5000))
    assert len(bench.x.take()) == (2 if refreshes_inbound else 1)


def test_inside_networks_reach_each_other() -> None:
    bench = Bench(FirewallConfig())
    bench.x.send(5000, "[2b00:2::10]:100")
    assert bench.z.take_source() == Address(INSIDE, 5000)


def test_what_is_for_nobody_inside_is_dropped() -> None:
    bench = Bench(FirewallConfig())
    bench.internet.add_route("2b00:9::/64", bench.firewall.outside)
    bench.y1.send(100, "[2b00:9::1]:1")
    bench.x.send(5000, "[2b00:1::77]:100")
    assert bench.medium.losses == {Loss.FILTERED: 1, Loss.NO_ROUTE: 1}


@pytest.mark.rfc("5508", "4.2")
def test_errors_pass_when_they_are_about_a_session() -> None:
    bench = Bench(FirewallConfig())
    bench.x.send(5000, f"[{OUTSIDE}]:100")
    (sent,) = bench.y1.take()
    bench.y1.complain(sent)
    (packet,) = bench.x.take()
    assert packet.error is not None
    assert (packet.error.icmp_type, packet.error.icmp_code) == (1, 4)
    sent.source = Address(INSIDE, 5001)
    bench.y1.complain(sent)
    assert bench.x.got == []


def test_errors_leave_and_open_nothing() -> None:
    bench = Bench(FirewallConfig())
    bench.x.send(5000, f"[{OUTSIDE}]:100")
    bench.y1.send(100, Address(INSIDE, 5000))
    (received,) = bench.x.take()
    received.source = Address("2b00::2", 100)
    bench.x.complain(received)
    assert len(bench.y2.take()) == 1
    bench.y2.send(100, Address(INSIDE, 5000))
    assert bench.x.got == []


def test_a_link_beyond_the_firewall_reports_what_is_too_big() -> None:
    bench = Bench(FirewallConfig(), up=LinkConfig(mtu=1280))
    bench.x.send(5000, f"[{OUTSIDE}]:100", size=1300, dont_fragment=True)
    bench.advance(0.0)
    (packet,) = bench.x.take()
    assert packet.error is not None
    assert (packet.error.icmp_type, packet.error.mtu) == (2, 1280)


@pytest.mark.parametrize("rejects", [False, True])
def test_a_policy_refuses_with_or_without_an_answer(rejects: bool) -> None:
    bench = Bench(FirewallConfig(policy=Policy(udp_ports=frozenset({53}), rejects=rejects)))
    bench.x.send(5000, f"[{OUTSIDE}]:53")
    bench.x.send(5000, f"[{OUTSIDE}]:100")
    assert [packet.destination.port for packet in bench.y1.take()] == [53]
    assert len(bench.x.take()) == rejects


def test_a_gateway_for_ipv4_routes_public_addresses() -> None:
    medium = Medium(Clock(), 1)
    internet, lan = Network(medium, "internet"), Network(medium, "lan", prefixes=["11.5.0.0/24"])
    firewall = Firewall(medium, "firewall", FirewallConfig(), internet, ipv6=False)
    firewall.add_inside(lan, ["11.5.0.0/24"])
    x, y = Node(medium, lan, "11.5.0.10"), Node(medium, internet, "11.0.0.1")
    x.send(5000, "11.0.0.1:100")
    y.send(100, y.take_source())
    assert x.take_source() == Address("11.0.0.1", 100)


def test_policies_tell_udp_from_tcp() -> None:
    policy = tcp_only(443, 3478)
    assert not policy.allows_udp(Address("11.0.0.1", 443))
    assert policy.allows_tcp(Address("11.0.0.1", 443))
    assert not policy.allows_tcp(Address("11.0.0.1", 80))
    assert OPEN.allows_udp(Address("11.0.0.1", 80))
    assert OPEN.allows_tcp(Address("11.0.0.1", 80))


# -- TCP ---------------------------------------------------------------------------------------------------------

SYN, SYN_ACK, ACK = Segment(0, syn=True), Segment(0, 1, syn=True), Segment(1, 1)


@pytest.mark.parametrize("answer", [SYN_ACK, SYN])
def test_a_connection_is_followed_from_its_syn(answer: Segment) -> None:
    bench = Bench(FirewallConfig())
    inside = Address(INSIDE, 5000)
    bench.x.send(5000, f"[{OUTSIDE}]:100", segment=ACK)
    bench.y1.send(100, inside, segment=SYN)
    assert bench.medium.losses == {Loss.NO_MAPPING: 1, Loss.FILTERED: 1}
    bench.x.send(5000, f"[{OUTSIDE}]:100", segment=SYN)
    bench.x.send(5000, "[2b00::2]:100", segment=ACK)
    for node in (bench.y1, bench.y2):
        node.send(100, inside, segment=answer)
        node.send(100, inside)
    assert [packet.segment for packet in bench.x.take()] == [answer]
    bench.x.send(5000, f"[{OUTSIDE}]:100", segment=ACK)
    assert [packet.segment for packet in bench.y1.take()] == [SYN, ACK]
    bench.advance(7439.0)
    bench.y1.send(100, inside, segment=ACK)
    assert len(bench.x.take()) == 1
    bench.advance(7440.0)
    bench.y1.send(100, inside, segment=ACK)
    bench.x.send(5000, f"[{OUTSIDE}]:100", segment=ACK)
    assert bench.x.got == bench.y1.got == []


def test_a_lenient_filter_lets_others_open() -> None:
    bench = Bench(FirewallConfig(filtering=Behaviour.ENDPOINT_INDEPENDENT))
    bench.x.send(5000, f"[{OUTSIDE}]:100", segment=SYN)
    bench.y2.send(7, Address(INSIDE, 5000), segment=SYN)
    assert len(bench.x.take()) == 1


@pytest.mark.parametrize("unsolicited", Unsolicited)
def test_a_firewall_may_reset_what_nobody_asked_for(unsolicited: Unsolicited) -> None:
    bench = Bench(FirewallConfig(unsolicited=unsolicited))
    bench.internet.add_route("2b00:9::/64", bench.firewall.outside)
    for host in (INSIDE, "2b00:9::1"):
        bench.y1.send(100, Address(host, 5000), size=0, segment=SYN)
    answers = [packet.segment for packet in bench.y1.take()]
    assert answers == ([Segment(0, 1, rst=True)] if unsolicited is Unsolicited.RESET else [])


def test_errors_about_connections_pass_too() -> None:
    bench = Bench(FirewallConfig())
    bench.x.send(5000, f"[{OUTSIDE}]:100", segment=SYN)
    (sent,) = bench.y1.take()
    bench.y1.complain(sent)
    assert [packet.error is not None for packet in bench.x.take()] == [True]
    sent.source = Address(INSIDE, 5001)
    bench.y1.complain(sent)
    assert bench.x.got == []


def test_a_policy_looks_only_at_what_opens() -> None:
    bench = Bench(FirewallConfig(filtering=Behaviour.ENDPOINT_INDEPENDENT, policy=tcp_only(443)))
    bench.x.send(5000, f"[{OUTSIDE}]:80", segment=SYN)
    bench.x.send(5000, f"[{OUTSIDE}]:443")
    bench.x.send(5000, f"[{OUTSIDE}]:443", segment=SYN)
    bench.y2.send(7, Address(INSIDE, 5000), segment=SYN)
    bench.x.send(5000, "[2b00::2]:7", segment=SYN_ACK)
    assert (len(bench.y1.take()), len(bench.y2.take())) == (1, 1)
    assert bench.medium.losses == {Loss.BLOCKED: 2}
