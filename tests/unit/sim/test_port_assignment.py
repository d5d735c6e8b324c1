"""icepath.sim.port_assignment: which external address and port a mapping gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from icepath.errors import InvalidArgument
from icepath.net import Address
from icepath.sim.clock import Clock
from icepath.sim.link import Link
from icepath.sim.network import Network
from icepath.sim.packet import Medium
from icepath.sim.port_assignment import Mapping, NatConfig, Pooling, PortAssignment, Ports
from sim.nodes import Node

INSIDE = "192.168.1.1"


class Bench:
    """Assigns and holds external endpoints."""

    def __init__(self, config: NatConfig, pool: Sequence[str] = ("11.1.0.1",), seed: int = 1) -> None:
        self.medium = Medium(Clock(), seed)
        self.ports = Ports(config, pool, self.medium, "nat")
        network = Network(self.medium, "lan")
        self._link = Link(self.medium, Node(self.medium, network, "192.168.1.254"), network)

    def take(self, port: int, inside: str = INSIDE, *, remote: Address | None = None, expires: float = 1e9) -> Mapping:
        internal = Address(inside, port)
        external = self.ports.assign(internal, remote, 0.0)
        assert external is not None
        mapping = Mapping((self._link, internal, remote), internal, external, self._link, expires)
        self.ports.add(mapping)
        return mapping

    def external(self, port: int, inside: str = INSIDE, *, remote: Address | None = None) -> Address:
        return self.take(port, inside, remote=remote).external

    def port(self, port: int, inside: str = INSIDE) -> int:
        return self.external(port, inside).port


@pytest.mark.rfc("4787", "4.2.1")
def test_preservation_keeps_the_port_until_it_is_taken() -> None:
    bench = Bench(NatConfig())
    assert bench.port(5000) == 5000
    other = bench.port(5000, "192.168.1.2")
    assert other != 5000
    assert other > 1023


def test_preservation_takes_another_address_of_the_pool_before_another_port() -> None:
    bench = Bench(NatConfig(pooling=Pooling.SOFT_PAIRED), ["11.1.0.1", "11.1.0.2"])
    assert bench.external(5000) == Address("11.1.0.1", 5000)
    assert bench.external(6000, "192.168.1.2") == Address("11.1.0.2", 6000)
    assert bench.external(5000, "192.168.1.3") == Address("11.1.0.2", 5000)
    assert bench.external(5000, "192.168.1.4").port != 5000


def test_an_expired_holder_is_no_obstacle() -> None:
    bench = Bench(NatConfig())
    old = bench.take(5000, expires=0.0)
    assert bench.port(5000, "192.168.1.2") == 5000
    assert bench.ports.holders_to_evict(Address("11.1.0.1", 5000), 0.0) == [old]
    bench.ports.remove(old)
    assert [mapping.internal.host for mapping in bench.ports.holders(Address("11.1.0.1", 5000))] == ["192.168.1.2"]


def test_sequential_ports_follow_each_other_and_wrap() -> None:
    bench = Bench(NatConfig(port_assignment=PortAssignment.SEQUENTIAL, port_range=(2000, 2003)))
    mappings = [bench.take(5000 + number) for number in range(4)]
    assert [mapping.external.port for mapping in mappings] == [2000, 2001, 2002, 2003]
    assert bench.ports.assign(Address(INSIDE, 5004), None, 0.0) is None
    bench.ports.remove(mappings[1])
    assert bench.port(5004) == 2001


@pytest.mark.rfc("4787", "4.2.1")
def test_well_known_ports_stay_well_known() -> None:
    bench = Bench(NatConfig(port_assignment=PortAssignment.SEQUENTIAL))
    assert [bench.port(port) for port in (500, 5000, 501, 5001)] == [1, 1024, 2, 1025]
    random = Bench(NatConfig(port_assignment=PortAssignment.RANDOM))
    assert all(random.port(port) <= 1023 for port in range(1, 20))
    assert all(random.port(port) > 1023 for port in range(1024, 1044))


def test_random_ports_depend_on_the_seed() -> None:
    def ports(seed: int) -> list[int]:
        bench = Bench(NatConfig(port_assignment=PortAssignment.RANDOM), seed=seed)
        return [bench.port(5000 + number) for number in range(5)]

    assert ports(1) == ports(1) != ports(2)
    assert len(set(ports(1))) == 5


@pytest.mark.rfc("4787", "4.2.2")
@pytest.mark.parametrize("assignment", [PortAssignment.RANDOM, PortAssignment.SEQUENTIAL, PortAssignment.PRESERVATION])
def test_parity_is_kept(assignment: PortAssignment) -> None:
    bench = Bench(NatConfig(port_assignment=assignment, keeps_parity=True))
    for inside in ("192.168.1.1", "192.168.1.2", "192.168.1.3"):
        for port in range(5000, 5010):
            assert bench.port(port, inside) % 2 == port % 2


@pytest.mark.rfc("4787", "4.2.3")
def test_contiguity_puts_the_odd_port_after_its_neighbour_s() -> None:
    bench = Bench(NatConfig(port_assignment=PortAssignment.RANDOM, keeps_contiguity=True, keeps_parity=True))
    bench.take(4998)
    even = bench.port(5000)
    assert bench.port(5001) == even + 1
    assert bench.port(6001) != even + 1


def test_contiguity_gives_way_when_the_port_is_taken() -> None:
    bench = Bench(NatConfig(port_assignment=PortAssignment.SEQUENTIAL, keeps_contiguity=True))
    assert [bench.port(5000), bench.port(6000), bench.port(5001)] == [1024, 1025, 1026]


@pytest.mark.rfc("4787", "4.1")
def test_paired_hosts_keep_their_address() -> None:
    bench = Bench(NatConfig(), ["11.1.0.1", "11.1.0.2", "11.1.0.3"])
    for number in range(8):
        inside = f"192.168.1.{number + 1}"
        hosts = {bench.external(5000 + port, inside).host for port in range(5)}
        assert hosts == {f"11.1.0.{number % 3 + 1}"}


@pytest.mark.rfc("7857", "4")
@pytest.mark.parametrize(("pooling", "second"), [(Pooling.PAIRED, None), (Pooling.SOFT_PAIRED, "11.1.0.2")])
def test_a_paired_address_without_ports(pooling: Pooling, second: str | None) -> None:
    bench = Bench(NatConfig(pooling=pooling, port_range=(2000, 2000)), ["11.1.0.1", "11.1.0.2"])
    assert bench.port(5000) == 2000
    external = bench.ports.assign(Address(INSIDE, 5001), None, 0.0)
    assert external == (None if second is None else Address(second, 2000))


def test_arbitrary_pooling_uses_the_whole_pool() -> None:
    bench = Bench(NatConfig(pooling=Pooling.ARBITRARY), ["11.1.0.1", "11.1.0.2", "11.1.0.3"])
    assert len({bench.external(5000 + number).host for number in range(20)}) == 3


def test_overloading_always_keeps_the_port() -> None:
    bench = Bench(NatConfig(port_assignment=PortAssignment.OVERLOADING))
    first = bench.take(5000)
    assert bench.ports.assign(Address("192.168.1.2", 5000), None, 0.0) == first.external
    assert bench.ports.holders_to_evict(first.external, 0.0) == [first]


@pytest.mark.rfc("7857", "3")
def test_overlapping_shares_a_port_for_different_destinations_only() -> None:
    bench = Bench(NatConfig(port_assignment=PortAssignment.OVERLAPPING))
    y1, y2 = Address("11.0.0.1", 1), Address("11.0.0.2", 1)
    assert bench.external(5000, remote=y1).port == 5000
    assert bench.external(5000, "192.168.1.2", remote=y2).port == 5000
    assert bench.external(5000, "192.168.1.3", remote=y1).port != 5000
    assert bench.external(6000).port == 6000
    assert bench.external(6000, "192.168.1.2", remote=y1).port != 6000


def test_ports_per_host_are_counted() -> None:
    bench = Bench(NatConfig(ports_per_host=2))
    first = bench.take(5000)
    assert not bench.ports.is_exhausted_for(INSIDE)
    bench.take(5001)
    assert bench.ports.is_exhausted_for(INSIDE)
    assert not bench.ports.is_exhausted_for("192.168.1.2")
    bench.ports.remove(first)
    assert not bench.ports.is_exhausted_for(INSIDE)
    bench.take(5002)
    bench.ports.clear()
    assert not bench.ports.is_exhausted_for(INSIDE)
    assert bench.ports.holders(Address("11.1.0.1", 5001)) == ()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: NatConfig(port_range=(0, 10)), r"port_range is \(0, 10\)"),
        (lambda: NatConfig(port_range=(20, 10)), "lower first"),
        (lambda: NatConfig(port_range=(1, 65536)), "allowed are 1 to 65535"),
        (lambda: NatConfig(timeout=0.0), r"timeout is 0\.0"),
    ],
)
def test_impossible_nats_are_refused(build: Callable[[], NatConfig], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        build()
