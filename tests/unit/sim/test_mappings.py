"""icepath.sim.mappings: the table, and what datagrams make of it; behaviours one by one are in test_nat.py."""

from __future__ import annotations

import pytest

from icepath.net import Address
from icepath.sim.behaviour import Behaviour
from icepath.sim.clock import Clock
from icepath.sim.link import Link
from icepath.sim.mappings import MappingTable, UdpMappings
from icepath.sim.network import Network
from icepath.sim.packet import Loss, Medium, Packet
from icepath.sim.port_assignment import Mapping, NatConfig, PortAssignment
from sim.nodes import Node

EXTERNAL = "11.1.0.1"
X, Y, Z = Address("192.168.1.1", 5000), Address("11.0.0.1", 100), Address("11.0.0.2", 100)


class Bench:
    """Is the mappings of a NAT for datagrams, without the NAT."""

    def __init__(self, config: NatConfig) -> None:
        medium = Medium(Clock(), 1)
        lan = Network(medium, "lan")
        self.table = MappingTable(config, (EXTERNAL,), medium, "nat")
        self.udp = UdpMappings(config, self.table)
        self.link = Link(medium, Node(medium, lan, "192.168.1.254"), lan)

    def map(self, source: Address, destination: Address, now: float = 0.0) -> Address | Loss:
        mapping = self.udp.map(Packet(source, destination, b""), self.link, now)
        return mapping.external if isinstance(mapping, Mapping) else mapping

    def admit(self, source: Address, destination: Address, now: float = 0.0) -> Address | Loss:
        mapping = self.udp.admit(Packet(source, destination, b""), source, now)
        return mapping.internal if isinstance(mapping, Mapping) else mapping


def test_a_mapping_is_found_until_it_expires() -> None:
    bench = Bench(NatConfig(timeout=10.0, port_assignment=PortAssignment.RANDOM))
    first = bench.map(X, Y)
    assert isinstance(first, Address)
    assert bench.map(X, Y, 9.0) == first
    key = bench.table.key(bench.link, X, Y)
    assert bench.table.find(key, 18.0) is not None
    assert bench.table.active(18.0) == [(X, first)]
    assert bench.table.of(first, Y, 18.0) is not None
    assert bench.table.of(first, Y, 19.0) is None
    assert bench.table.active(19.0) == []
    assert bench.table.find(key, 19.0) is None
    assert bench.table.holders(first) == ()
    assert bench.map(X, Y, 20.0) != first
    bench.table.clear()
    assert bench.table.active(20.0) == []


def test_a_symmetric_mapping_belongs_to_one_remote_end() -> None:
    bench = Bench(NatConfig(mapping=Behaviour.ADDRESS_AND_PORT_DEPENDENT, port_assignment=PortAssignment.RANDOM))
    first = bench.map(X, Y)
    assert isinstance(first, Address)
    assert bench.map(X, Z) != first
    assert bench.table.of(first, Z, 0.0) is None


def test_ports_may_run_out_and_come_back() -> None:
    bench = Bench(NatConfig(ports_per_host=1, timeout=10.0))
    assert bench.map(X, Y) == Address(EXTERNAL, 5000)
    other = Address(X.host, 5001)
    assert bench.map(other, Y, 5.0) is Loss.NO_PORT
    assert bench.map(other, Y, 10.0) == Address(EXTERNAL, 5001)
    full = Bench(NatConfig(port_range=(5000, 5000)))
    full.map(X, Y)
    assert full.map(other, Y) is Loss.NO_PORT


def test_an_overloading_nat_gives_the_port_to_the_newer() -> None:
    bench = Bench(NatConfig(port_assignment=PortAssignment.OVERLOADING))
    external = bench.map(X, Y)
    assert isinstance(external, Address)
    assert bench.map(Address("192.168.1.2", 5000), Y) == external
    assert bench.admit(Y, external) == Address("192.168.1.2", 5000)


@pytest.mark.parametrize("refreshes", [False, True])
@pytest.mark.parametrize(
    ("filtering", "stranger"),
    [(Behaviour.ENDPOINT_INDEPENDENT, X), (Behaviour.ADDRESS_AND_PORT_DEPENDENT, Loss.FILTERED)],
)
def test_who_may_send_in_and_for_how_long(filtering: Behaviour, stranger: Address | Loss, refreshes: bool) -> None:
    bench = Bench(NatConfig(filtering=filtering, timeout=10.0, refreshes_inbound=refreshes))
    external = bench.map(X, Y)
    assert isinstance(external, Address)
    assert bench.admit(Y, external, 8.0) == X
    assert bench.admit(Z, external, 8.0) == stranger
    assert bench.admit(Y, external, 12.0) == (X if refreshes else Loss.NO_MAPPING)
    assert bench.admit(Y, Address(EXTERNAL, 9), 1.0) is Loss.NO_MAPPING
