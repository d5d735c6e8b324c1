"""icepath.sim.nat: each behaviour of RFC 4787, and ICMP as in RFC 5508."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from icepath.errors import InvalidArgument
from icepath.net import Address, parse_address
from icepath.sim.behaviour import Behaviour
from icepath.sim.clock import Clock
from icepath.sim.firewall import Policy, tcp_only
from icepath.sim.link import LinkConfig
from icepath.sim.nat import Nat
from icepath.sim.network import Network
from icepath.sim.packet import Loss, Medium, PacketRecord, Verdict
from icepath.sim.port_assignment import Hairpin, NatConfig, PortAssignment
from sim.nodes import Node

EI, AD, APD = Behaviour.ENDPOINT_INDEPENDENT, Behaviour.ADDRESS_DEPENDENT, Behaviour.ADDRESS_AND_PORT_DEPENDENT
EXTERNAL = "11.1.0.1"


class Bench:
    """Is a NAT with two inside hosts and three nodes outside."""

    def __init__(self, config: NatConfig, pool: Sequence[str] = (EXTERNAL,), up: LinkConfig | None = None) -> None:
        self.clock = Clock()
        self.medium = Medium(self.clock, 1)
        self.internet = Network(self.medium, "internet")
        self.lan = Network(self.medium, "lan", prefixes=["192.168.1.0/24"])
        self.nat = Nat(self.medium, "nat", config, self.internet, pool, up=up or LinkConfig())
        self.nat.add_inside(self.lan)
        self.x1 = Node(self.medium, self.lan, "192.168.1.1")
        self.x2 = Node(self.medium, self.lan, "192.168.1.2")
        self.y1 = Node(self.medium, self.internet, "11.0.0.1")
        self.y2 = Node(self.medium, self.internet, "11.0.0.2")

    def advance(self, seconds: float) -> None:
        self.clock.run_to(self.clock.now + seconds)

    def mapped(self, port: int = 5000, to: str = "11.0.0.1:100") -> Address:
        """Sends from x1 and returns the source that arrives at y1 or y2."""
        self.x1.send(port, to)
        node = self.y1 if to.startswith("11.0.0.1:") else self.y2
        return node.take_source()

    def take_losses(self) -> list[Loss]:
        losses = list(self.medium.losses.elements())
        self.medium.losses.clear()
        return losses


# -- mapping ---------------------------------------------------------------------------------------------------


@pytest.mark.rfc("4787", "4.1")
@pytest.mark.parametrize(
    ("mapping", "same_address", "elsewhere"), [(EI, True, True), (AD, True, False), (APD, False, False)]
)
def test_mappings_are_reused_as_far_as_the_behaviour_says(
    mapping: Behaviour, same_address: bool, elsewhere: bool
) -> None:
    bench = Bench(NatConfig(mapping=mapping, filtering=EI, port_assignment=PortAssignment.RANDOM))
    first = bench.mapped(to="11.0.0.1:100")
    assert first.host == EXTERNAL
    assert bench.mapped(to="11.0.0.1:100") == first
    assert (bench.mapped(to="11.0.0.1:101") == first) is same_address
    assert (bench.mapped(to="11.0.0.2:100") == first) is elsewhere
    assert bench.mapped(port=5001) != first


def test_the_same_port_of_two_hosts_is_two_mappings() -> None:
    bench = Bench(NatConfig())
    bench.x1.send(5000, "11.0.0.1:100")
    bench.x2.send(5000, "11.0.0.1:100")
    sources = [packet.source for packet in bench.y1.take()]
    assert sources[0] == Address(EXTERNAL, 5000)
    assert len(set(sources)) == 2
    assert bench.nat.active_mappings() == [
        (Address("192.168.1.1", 5000), sources[0]),
        (Address("192.168.1.2", 5000), sources[1]),
    ]


@pytest.mark.parametrize("pool", [[], ["11.1.0.1", "2b00::1"]])
def test_a_pool_is_of_one_family(pool: list[str]) -> None:
    with pytest.raises(InvalidArgument, match="addresses of one family"):
        Bench(NatConfig(), pool)


# -- filtering -------------------------------------------------------------------------------------------------


@pytest.mark.rfc("4787", "5")
@pytest.mark.parametrize("mapping", list(Behaviour))
@pytest.mark.parametrize(
    ("filtering", "admitted"),
    [
        (EI, ["11.0.0.1:100", "11.0.0.1:101", "11.0.0.2:100"]),
        (AD, ["11.0.0.1:100", "11.0.0.1:101"]),
        (APD, ["11.0.0.1:100"]),
    ],
)
def test_filters_admit_as_far_as_the_behaviour_says(
    mapping: Behaviour, filtering: Behaviour, admitted: list[str]
) -> None:
    bench = Bench(NatConfig(mapping=mapping, filtering=filtering))
    external = bench.mapped(to="11.0.0.1:100")
    bench.y1.send(100, external)
    bench.y1.send(101, external)
    bench.y2.send(100, external)
    got = bench.x1.take()
    assert [packet.source for packet in got] == [parse_address(source) for source in admitted]
    assert {packet.destination for packet in got} == {Address("192.168.1.1", 5000)}
    assert bench.take_losses() == [Loss.FILTERED] * (3 - len(admitted))


def test_what_no_mapping_has_is_dropped() -> None:
    bench = Bench(NatConfig(filtering=EI))
    bench.y1.send(100, f"{EXTERNAL}:4999")
    assert bench.x1.got == bench.x2.got == []
    assert bench.take_losses() == [Loss.NO_MAPPING]


# -- time ------------------------------------------------------------------------------------------------------


@pytest.mark.rfc("4787", "4.3")
@pytest.mark.parametrize("filtering", list(Behaviour))
@pytest.mark.parametrize("refreshes_inbound", [False, True])
def test_outbound_refreshes_and_inbound_only_when_told(filtering: Behaviour, refreshes_inbound: bool) -> None:
    bench = Bench(NatConfig(filtering=filtering, timeout=120.0, refreshes_inbound=refreshes_inbound))
    external = bench.mapped()
    bench.advance(100.0)
    assert bench.mapped() == external
    bench.advance(100.0)
    bench.y1.send(100, external)
    bench.advance(100.0)
    bench.y1.send(100, external)
    assert len(bench.x1.take()) == (2 if refreshes_inbound else 1)
    assert bench.take_losses() == ([] if refreshes_inbound else [Loss.NO_MAPPING])
    assert len(bench.nat.active_mappings()) == (1 if refreshes_inbound else 0)


@pytest.mark.rfc("7857", "7")
def test_what_is_filtered_refreshes_nothing() -> None:
    bench = Bench(NatConfig(timeout=120.0, refreshes_inbound=True))
    external = bench.mapped()
    bench.advance(119.0)
    bench.y2.send(100, external)
    bench.advance(1.0)
    bench.y1.send(100, external)
    assert bench.x1.got == []


def test_filters_of_one_mapping_expire_one_by_one() -> None:
    bench = Bench(NatConfig(timeout=120.0))
    external = bench.mapped(to="11.0.0.1:100")
    bench.advance(100.0)
    bench.mapped(to="11.0.0.2:100")
    bench.advance(100.0)
    bench.y1.send(100, external)
    bench.y2.send(100, external)
    assert [packet.source.host for packet in bench.x1.take()] == ["11.0.0.2"]


def test_an_expired_mapping_makes_way_for_a_new_one() -> None:
    bench = Bench(NatConfig(port_assignment=PortAssignment.RANDOM, timeout=120.0))
    first = bench.mapped()
    bench.advance(120.0)
    second = bench.mapped()
    assert second != first
    assert len(bench.nat.active_mappings()) == 1


def test_a_reboot_forgets_everything() -> None:
    bench = Bench(NatConfig(filtering=EI))
    external = bench.mapped()
    bench.nat.forget()
    bench.y1.send(100, external)
    assert bench.x1.got == []
    assert bench.nat.active_mappings() == []
    assert bench.mapped() == external


# -- hairpin ---------------------------------------------------------------------------------------------------


def _hairpin(
    hairpin: Hairpin, filtering: Behaviour = EI, ports_per_host: int | None = None
) -> tuple[Bench, Address, Address]:
    bench = Bench(NatConfig(filtering=filtering, hairpin=hairpin, ports_per_host=ports_per_host))
    first = bench.mapped(port=5000)
    bench.x2.send(6000, "11.0.0.1:100")
    second = bench.y1.take_source()
    return bench, first, second


@pytest.mark.rfc("4787", "6")
def test_a_hairpin_shows_the_external_source() -> None:
    bench, first, second = _hairpin(Hairpin.EXTERNAL_SOURCE)
    bench.x1.send(5000, second)
    (packet,) = bench.x2.take()
    assert (packet.source, packet.destination) == (first, Address("192.168.1.2", 6000))
    bench.x2.send(6000, packet.source)
    assert bench.x1.take_source() == second


def test_a_bad_hairpin_shows_the_internal_source() -> None:
    bench, _, second = _hairpin(Hairpin.INTERNAL_SOURCE)
    bench.x1.send(5000, second)
    assert bench.x2.take_source() == Address("192.168.1.1", 5000)


def test_without_hairpin_the_packet_is_dropped() -> None:
    bench, _, second = _hairpin(Hairpin.NONE)
    bench.x1.send(5000, second)
    assert bench.x2.got == []
    assert bench.take_losses() == [Loss.NO_HAIRPIN]


def test_a_hairpin_passes_the_filter_like_anything_else() -> None:
    bench, first, second = _hairpin(Hairpin.EXTERNAL_SOURCE, APD)
    bench.x1.send(5000, second)
    assert bench.x2.got == []
    assert bench.take_losses() == [Loss.FILTERED]
    bench.x2.send(6000, first)
    assert bench.x1.take_source() == second
    bench.x1.send(5000, second)
    assert bench.x2.take_source() == first


def test_a_hairpin_needs_a_port_too() -> None:
    bench, _, second = _hairpin(Hairpin.EXTERNAL_SOURCE, ports_per_host=1)
    bench.x1.send(5001, second)
    assert bench.x2.got == []
    assert bench.take_losses() == [Loss.NO_PORT]


# -- inside networks, policy, resources ------------------------------------------------------------------------


@pytest.mark.parametrize("joins_insides", [False, True])
def test_inside_networks_are_isolated_unless_joined(joins_insides: bool) -> None:
    bench = Bench(NatConfig(joins_insides=joins_insides))
    other = Network(bench.medium, "other", prefixes=["192.168.2.0/24"])
    bench.nat.add_inside(other)
    z = Node(bench.medium, other, "192.168.2.1")
    bench.x1.send(5000, "192.168.2.1:100")
    assert [packet.source for packet in z.take()] == ([Address("192.168.1.1", 5000)] if joins_insides else [])
    assert bench.take_losses() == ([] if joins_insides else [Loss.ISOLATED])
    z.send(5000, "11.0.0.1:100")
    assert bench.y1.take_source() == Address(EXTERNAL, 5000)
    bench.y1.send(100, f"{EXTERNAL}:5000")
    assert z.take_source() == Address("11.0.0.1", 100)


def test_inside_networks_may_use_the_same_addresses() -> None:
    bench = Bench(NatConfig())
    other = Network(bench.medium, "other")
    bench.nat.add_inside(other)
    twin = Node(bench.medium, other, "192.168.1.1")
    external = bench.mapped()
    twin.send(5000, "11.0.0.1:100")
    twin_external = bench.y1.take_source()
    assert twin_external != external
    bench.y1.send(100, twin_external)
    assert (len(twin.got), len(bench.x1.got)) == (1, 0)


@pytest.mark.parametrize("rejects", [False, True])
def test_a_policy_blocks_udp_silently_or_with_an_answer(rejects: bool) -> None:
    policy = Policy(udp_ports=frozenset({53}), rejects=rejects)
    bench = Bench(NatConfig(policy=policy))
    bench.x1.send(5000, "11.0.0.1:53")
    bench.x1.send(5000, "11.0.0.1:100")
    assert [packet.destination.port for packet in bench.y1.take()] == [53]
    assert bench.take_losses() == [Loss.BLOCKED]
    errors = [packet.error for packet in bench.x1.take()]
    assert [(error.icmp_type, error.icmp_code) for error in errors if error] == ([(3, 13)] if rejects else [])


def test_tcp_only_lets_no_datagram_out() -> None:
    bench = Bench(NatConfig(policy=tcp_only(443)))
    bench.x1.send(5000, "11.0.0.1:443")
    assert bench.y1.got == []


@pytest.mark.rfc("5508", "6")
@pytest.mark.parametrize("reports", [False, True])
def test_a_host_that_has_all_its_ports_gets_no_more_until_some_expire(reports: bool) -> None:
    bench = Bench(NatConfig(ports_per_host=2, timeout=120.0, reports_exhaustion=reports))
    bench.mapped(port=5000)
    bench.mapped(port=5001)
    bench.x1.send(5002, "11.0.0.1:100")
    assert bench.y1.got == []
    errors = [packet.error for packet in bench.x1.take()]
    assert [(error.icmp_type, error.icmp_code) for error in errors if error] == ([(3, 13)] if reports else [])
    bench.x2.send(5002, "11.0.0.1:100")
    assert len(bench.y1.take()) == 1
    bench.advance(120.0)
    assert bench.mapped(port=5002).port == 5002


def test_a_full_port_range_drops_until_some_expire() -> None:
    bench = Bench(NatConfig(port_assignment=PortAssignment.RANDOM, port_range=(2000, 2001), timeout=120.0))
    ports = {bench.mapped(port=5000).port, bench.mapped(port=5001).port}
    assert ports == {2000, 2001}
    bench.x1.send(5002, "11.0.0.1:100")
    assert bench.take_losses() == [Loss.NO_PORT]
    bench.advance(119.0)
    bench.mapped(port=5000)
    bench.advance(1.0)
    bench.mapped(port=5002)
    assert len(bench.nat.active_mappings()) == 2


@pytest.mark.rfc("4787", "4.2.1")
def test_overloading_takes_the_port_from_the_older_mapping() -> None:
    bench = Bench(NatConfig(filtering=EI, port_assignment=PortAssignment.OVERLOADING))
    external = bench.mapped()
    bench.x2.send(5000, "11.0.0.1:100")
    assert bench.y1.take_source() == external
    bench.y1.send(100, external)
    assert (len(bench.x1.got), len(bench.x2.got)) == (0, 1)
    assert len(bench.nat.active_mappings()) == 1


@pytest.mark.rfc("7857", "3")
def test_overlapping_ports_are_told_apart_by_the_remote_end() -> None:
    bench = Bench(NatConfig(mapping=APD, port_assignment=PortAssignment.OVERLAPPING))
    external = bench.mapped(to="11.0.0.1:100")
    bench.x2.send(5000, "11.0.0.2:100")
    assert bench.y2.take_source() == external
    bench.y2.send(100, external)
    bench.y1.send(100, external)
    assert [packet.source.host for packet in bench.x1.take()] == ["11.0.0.1"]
    assert [packet.source.host for packet in bench.x2.take()] == ["11.0.0.2"]
    bench.x2.send(5000, "11.0.0.1:100")
    assert bench.y1.take_source() != external


# -- ICMP ------------------------------------------------------------------------------------------------------


@pytest.mark.rfc("5508", "4.2")
@pytest.mark.parametrize("mapping", list(Behaviour))
def test_an_error_from_outside_is_translated_back(mapping: Behaviour) -> None:
    bench = Bench(NatConfig(mapping=mapping))
    bench.x1.send(5000, "11.0.0.1:100")
    bench.y1.complain(bench.y1.take()[0])
    (packet,) = bench.x1.take()
    assert packet.error is not None
    assert packet.destination == packet.error.source == Address("192.168.1.1", 5000)
    assert packet.error.destination == Address("11.0.0.1", 100)


@pytest.mark.rfc("4787", "9")
def test_an_error_ends_no_mapping_and_refreshes_none() -> None:
    bench = Bench(NatConfig(timeout=120.0))
    bench.x1.send(5000, "11.0.0.1:100")
    (sent,) = bench.y1.take()
    external = sent.source
    bench.y1.complain(sent)
    bench.x1.take()
    bench.y1.send(100, external)
    (received,) = bench.x1.take()
    bench.advance(119.0)
    bench.y1.complain(sent)
    bench.x1.complain(received)
    assert (len(bench.x1.take()), len(bench.y1.take())) == (1, 1)
    bench.advance(1.0)
    bench.y1.complain(sent)
    bench.x1.complain(received)
    assert bench.x1.got == bench.y1.got == []
    assert bench.take_losses() == [Loss.NO_MAPPING] * 2


@pytest.mark.rfc("5508", "4.3")
def test_an_error_from_inside_is_translated_out() -> None:
    bench = Bench(NatConfig())
    external = bench.mapped()
    bench.y1.send(100, external)
    (received,) = bench.x1.take()
    bench.x1.complain(received)
    (packet,) = bench.y1.take()
    assert packet.error is not None
    assert packet.source.host == EXTERNAL
    assert (packet.error.source, packet.error.destination) == (Address("11.0.0.1", 100), external)
    received.destination = Address("192.168.1.1", 5999)
    bench.x1.complain(received)
    assert bench.y1.got == []


@pytest.mark.rfc("5508", "7.2")
def test_an_error_about_a_hairpinned_datagram_comes_back_in() -> None:
    bench, first, second = _hairpin(Hairpin.EXTERNAL_SOURCE)
    bench.x1.send(5000, second)
    bench.x2.complain(bench.x2.take()[0])
    (packet,) = bench.x1.take()
    assert packet.error is not None
    assert packet.error.source == Address("192.168.1.1", 5000)
    assert packet.error.destination == second
    assert first.host == EXTERNAL


def test_a_nat_may_swallow_errors() -> None:
    bench = Bench(NatConfig(translates_icmp=False))
    bench.x1.send(5000, "11.0.0.1:100")
    (sent,) = bench.y1.take()
    bench.y1.complain(sent)
    bench.y1.send(100, sent.source)
    bench.x1.complain(bench.x1.take()[0])
    assert bench.x1.got == bench.y1.got == []
    assert bench.take_losses() == [Loss.NO_MAPPING] * 2


def test_an_error_about_another_remote_end_s_mapping_is_dropped() -> None:
    bench = Bench(NatConfig(mapping=APD))
    bench.x1.send(5000, "11.0.0.1:100")
    (sent,) = bench.y1.take()
    sent.destination = Address("11.0.0.2", 100)
    bench.y1.complain(sent)
    assert bench.x1.got == []


@pytest.mark.rfc("4787", "10")
def test_a_link_beyond_the_nat_reports_what_is_too_big() -> None:
    bench = Bench(NatConfig(), up=LinkConfig(mtu=1000))
    bench.x1.send(5000, "11.0.0.1:100", size=1200, dont_fragment=True)
    bench.advance(0.0)
    (packet,) = bench.x1.take()
    assert packet.error is not None
    assert (packet.error.icmp_code, packet.error.mtu) == (4, 1000)
    assert packet.error.source == Address("192.168.1.1", 5000)


# -- nesting, capture ------------------------------------------------------------------------------------------


@pytest.mark.rfc("4787", "4.4")
def test_nats_nest_even_with_the_same_addresses_inside() -> None:
    bench = Bench(NatConfig(), pool=["11.1.0.1"])
    home = Network(bench.medium, "home", prefixes=["192.168.1.0/24"])
    nested = Nat(bench.medium, "nested", NatConfig(), bench.lan, ["192.168.1.100"])
    nested.add_inside(home)
    z = Node(bench.medium, home, "192.168.1.1")
    z.send(7000, "11.0.0.1:100")
    assert bench.y1.take_source() == Address(EXTERNAL, 7000)
    bench.y1.send(100, f"{EXTERNAL}:7000")
    assert z.take_source() == Address("11.0.0.1", 100)
    assert bench.x1.got == []


def test_what_is_forwarded_is_captured_with_its_new_addresses() -> None:
    bench = Bench(NatConfig())
    records: list[PacketRecord] = []
    bench.medium.on_packet(records.append)
    external = bench.mapped()
    bench.y1.send(100, external)
    assert [(record.where, record.source, record.destination, record.verdict) for record in records] == [
        ("nat", external, Address("11.0.0.1", 100), Verdict.FORWARDED),
        ("nat", Address("11.0.0.1", 100), Address("192.168.1.1", 5000), Verdict.FORWARDED),
    ]
    assert bench.nat.outside.up.name == "nat--internet up"
