"""icepath.sim.tcp_nat: TCP through one NAT, by RFC 5382."""

from __future__ import annotations

import pytest

from icepath.machine import Transport
from icepath.net import Address
from icepath.sim.behaviour import Behaviour
from icepath.sim.clock import Clock
from icepath.sim.firewall import Policy, Unsolicited, tcp_only
from icepath.sim.nat import Nat
from icepath.sim.network import Network
from icepath.sim.packet import Loss, Medium, Packet, Segment
from icepath.sim.port_assignment import Hairpin, NatConfig, PortAssignment
from sim.nodes import Node

EI, AD, APD = Behaviour.ENDPOINT_INDEPENDENT, Behaviour.ADDRESS_DEPENDENT, Behaviour.ADDRESS_AND_PORT_DEPENDENT
EXTERNAL = "11.1.0.1"
SYN, SYN_ACK, ACK = Segment(0, syn=True), Segment(0, 1, syn=True), Segment(1, 1)
FIN, RST = Segment(1, 1, fin=True), Segment(1, 1, rst=True)


class Bench:
    """Is a NAT with two hosts inside and two outside."""

    def __init__(self, config: NatConfig) -> None:
        self.clock = Clock()
        self.medium = Medium(self.clock, 1)
        internet = Network(self.medium, "internet")
        lan = Network(self.medium, "lan", prefixes=["192.168.1.0/24"])
        self.nat = Nat(self.medium, "nat", config, internet, [EXTERNAL])
        self.nat.add_inside(lan)
        self.x1, self.x2 = Node(self.medium, lan, "192.168.1.1"), Node(self.medium, lan, "192.168.1.2")
        self.y1, self.y2 = Node(self.medium, internet, "11.0.0.1"), Node(self.medium, internet, "11.0.0.2")

    def advance(self, seconds: float) -> None:
        self.clock.run_to(self.clock.now + seconds)

    def mapped(self, to: str = "11.0.0.1:100", port: int = 5000) -> Address:
        """Sends a SYN from x1 and returns the source that arrives."""
        self.x1.send(port, to, segment=SYN)
        return (self.y1 if to.startswith("11.0.0.1") else self.y2).take_source()

    def establish(self) -> Address:
        external = self.mapped()
        self.y1.send(100, external, segment=SYN_ACK)
        assert len(self.x1.take()) == 1
        return external


@pytest.mark.rfc("5382", "4.1")
@pytest.mark.parametrize(
    ("mapping", "same_address", "elsewhere"), [(EI, True, True), (AD, True, False), (APD, False, False)]
)
def test_mappings_are_reused_as_for_datagrams(mapping: Behaviour, same_address: bool, elsewhere: bool) -> None:
    bench = Bench(NatConfig(mapping=mapping, port_assignment=PortAssignment.RANDOM))
    first = bench.mapped()
    assert bench.mapped() == first
    assert (bench.mapped("11.0.0.1:101") == first) is same_address
    assert (bench.mapped("11.0.0.2:100") == first) is elsewhere


def test_tcp_and_udp_have_their_own_mappings() -> None:
    bench = Bench(NatConfig())
    bench.x1.send(5000, "11.0.0.1:100")
    bench.x2.send(5000, "11.0.0.1:100", segment=SYN)
    assert [packet.source for packet in bench.y1.take()] == [Address(EXTERNAL, 5000)] * 2
    assert bench.nat.active_mappings() == [(Address("192.168.1.1", 5000), Address(EXTERNAL, 5000))]
    assert bench.nat.active_mappings(Transport.TCP) == [(Address("192.168.1.2", 5000), Address(EXTERNAL, 5000))]
    bench.nat.forget()
    assert bench.nat.active_mappings(Transport.TCP) == []


@pytest.mark.rfc("5382", "4.2")
def test_both_kinds_of_handshake_pass() -> None:
    for answer in (SYN_ACK, SYN):
        bench = Bench(NatConfig(filtering=APD))
        external = bench.mapped()
        bench.y1.send(100, external, segment=answer)
        (packet,) = bench.x1.take()
        assert (packet.destination, packet.segment) == (Address("192.168.1.1", 5000), answer)
        bench.x1.send(5000, "11.0.0.1:100", segment=SYN_ACK)
        bench.y1.send(100, external, segment=ACK)
        assert (len(bench.y1.take()), len(bench.x1.take())) == (1, 1)


@pytest.mark.rfc("5382", "4.3")
@pytest.mark.parametrize(("filtering", "admitted"), [(EI, 3), (AD, 2), (APD, 1)])
def test_the_filter_says_whose_syn_comes_in(filtering: Behaviour, admitted: int) -> None:
    bench = Bench(NatConfig(filtering=filtering))
    external = bench.mapped()
    for node, port in ((bench.y1, 100), (bench.y1, 101), (bench.y2, 100)):
        node.send(port, external, segment=SYN)
    assert len(bench.x1.take()) == admitted
    assert bench.medium.losses[Loss.FILTERED] == 3 - admitted
    bench.y2.send(102, external, segment=ACK)
    assert bench.x1.take() == [], "what is no SYN opens nothing"


def test_an_inbound_connection_is_answered() -> None:
    bench = Bench(NatConfig(filtering=EI, policy=Policy(tcp_ports=frozenset({100}))))
    external = bench.mapped()
    bench.y2.send(4000, external, segment=SYN)
    bench.x1.take()
    bench.x1.send(5000, "11.0.0.2:4000", segment=SYN_ACK)
    assert bench.y2.take_source() == external


@pytest.mark.rfc("5382", "4.3")
@pytest.mark.parametrize("unsolicited", Unsolicited)
def test_an_unsolicited_syn_is_met_by_silence_unless_told_otherwise(unsolicited: Unsolicited) -> None:
    bench = Bench(NatConfig(unsolicited=unsolicited))
    for segment in (SYN, SYN_ACK, RST):
        bench.y1.send(100, Address(EXTERNAL, 5000), size=0, segment=segment)
    bench.y1.send(100, Address(EXTERNAL, 5000))
    assert bench.medium.losses == {Loss.NO_MAPPING: 4}
    answers = [packet.segment for packet in bench.y1.take()]
    assert answers == ([Segment(0, 1, rst=True)] if unsolicited is Unsolicited.RESET else [])


def test_a_segment_without_a_connection_leaves_no_more() -> None:
    bench = Bench(NatConfig())
    bench.x1.send(5000, "11.0.0.1:100", segment=ACK)
    external = bench.establish()
    bench.x1.send(5000, "11.0.0.2:100", segment=ACK)
    assert bench.y1.got == bench.y2.got == []
    bench.nat.forget()
    bench.x1.send(5000, "11.0.0.1:100", segment=ACK)
    bench.y1.send(100, external, segment=ACK)
    assert bench.y1.got == bench.x1.got == []
    assert bench.medium.losses == {Loss.NO_MAPPING: 4}


@pytest.mark.rfc("5382", "5")
def test_idle_connections_are_kept_2_hours_4_minutes() -> None:
    bench = Bench(NatConfig(timeout=60.0))
    external = bench.establish()
    bench.advance(7439.0)
    bench.y1.send(100, external, segment=ACK)
    assert len(bench.x1.take()) == 1
    bench.advance(7440.0)
    bench.y1.send(100, external, segment=ACK)
    assert bench.x1.take() == []


@pytest.mark.rfc("5382", "5")
@pytest.mark.rfc("7857", "2.2")
@pytest.mark.parametrize("ends", [[], ["FIN"], ["RST"]])
def test_what_opens_or_closes_is_kept_4_minutes(ends: list[str]) -> None:
    bench = Bench(NatConfig())
    external = bench.establish() if ends else bench.mapped()
    if "FIN" in ends:
        bench.x1.send(5000, "11.0.0.1:100", segment=FIN)
        bench.y1.send(100, external, segment=FIN)
    if "RST" in ends:
        bench.x1.send(5000, "11.0.0.1:100", segment=RST)
    bench.x1.take()
    bench.advance(239.0)
    assert len(bench.nat.active_mappings(Transport.TCP)) == 1
    bench.advance(1.0)
    assert bench.nat.active_mappings(Transport.TCP) == []


@pytest.mark.rfc("5382", "7.2")
def test_hairpinning_shows_the_external_source() -> None:
    bench = Bench(NatConfig(filtering=EI, hairpin=Hairpin.EXTERNAL_SOURCE))
    external = bench.mapped(port=5000)
    bench.x2.send(6000, external, segment=SYN)
    (packet,) = bench.x1.take()
    assert packet.source == Address(EXTERNAL, 6000)
    bench.x1.send(5000, packet.source, segment=SYN_ACK)
    assert bench.x2.take_source() == external


def test_an_unsolicited_hairpin_is_reset_back_inside() -> None:
    bench = Bench(NatConfig(hairpin=Hairpin.EXTERNAL_SOURCE, unsolicited=Unsolicited.RESET))
    bench.x2.send(6000, Address(EXTERNAL, 5000), size=0, segment=SYN)
    (packet,) = bench.x2.take()
    assert packet.segment == Segment(0, 1, rst=True)


def test_policies_look_at_what_opens() -> None:
    bench = Bench(NatConfig(policy=tcp_only(443)))
    bench.x1.send(5000, "11.0.0.1:443", segment=SYN)
    bench.x1.send(5000, "11.0.0.1:80", segment=SYN)
    bench.x1.send(5000, "11.0.0.1:443")
    assert [packet.destination.port for packet in bench.y1.take()] == [443]
    assert bench.medium.losses == {Loss.BLOCKED: 2}


def test_without_a_port_the_host_is_told() -> None:
    bench = Bench(NatConfig(port_range=(5000, 5000)))
    bench.mapped()
    bench.x2.send(5001, "11.0.0.1:100", segment=SYN)
    (packet,) = bench.x2.take()
    assert packet.error is not None
    assert (packet.error.icmp_code, packet.error.transport) == (13, Transport.TCP)


@pytest.mark.rfc("5382", "7.3")
def test_icmp_errors_about_segments_are_translated_both_ways() -> None:
    bench = Bench(NatConfig(filtering=EI))
    bench.x1.send(5000, "11.0.0.1:100", segment=SYN)
    (out,) = bench.y1.take()
    bench.y1.complain(out)
    (error,) = [packet.error for packet in bench.x1.take()]
    assert error is not None
    assert (error.source, error.transport) == (Address("192.168.1.1", 5000), Transport.TCP)
    bench.y2.send(7, out.source, segment=SYN)
    (inward,) = bench.x1.take()
    bench.x1.complain(inward)
    (error,) = [packet.error for packet in bench.y2.take()]
    assert error is not None
    assert error.destination == out.source
    # RFC 5382 REQ-10: no mapping ends by it.
    assert len(bench.nat.active_mappings(Transport.TCP)) == 1
    bench.y1.complain(Packet(Address(EXTERNAL, 5000), Address("11.0.0.1", 100), b""))
    assert bench.x1.take() == [], "a datagram's mapping is another"
