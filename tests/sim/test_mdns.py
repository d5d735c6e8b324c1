"""mDNS on the virtual network: neighbours find each other, others do not, and what is lost costs a second."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from icepath.machine import Handle
from icepath.mdns.config import Link, MdnsConfig
from icepath.mdns.events import NameNotFound, NameResolved, NotFound
from icepath.mdns.mdns import Mdns
from icepath.mdns.names import local_name
from icepath.net import Seconds
from icepath.sim.host import Host
from icepath.sim.link import IDEAL
from icepath.sim.network import Network
from icepath.sim.packet import PacketRecord, Verdict
from icepath.sim.port_assignment import NatConfig
from icepath.sim.runner import Runner
from icepath.sim.world import World

NAME = local_name(random.Random(1).randbytes)
NETWORKS = ("192.168.1.0/24", "2b00:1::/64")


class Place:
    """Is two homes behind NATs of their own."""

    def __init__(self) -> None:
        self.world = World(seed=7)
        internet = self.world.network("internet")
        self.homes: list[Network] = []
        for number in (1, 2):
            home = self.world.network(f"home {number}", prefixes=NETWORKS)
            self.world.nat(f"nat {number}", NatConfig(), internet, [f"11.{number}.0.1"]).add_inside(home)
            self.homes.append(home)
        self.records: list[PacketRecord] = []
        self.world.on_packet(self._note)

    def _note(self, record: PacketRecord) -> None:
        if record.verdict is Verdict.SENT:
            self.records.append(record)

    def node(self, name: str, last: int, *, home: int = 0, ipv6: bool = False) -> Node:
        host = self.world.host(name)
        hosts = [f"192.168.1.{last}", *([f"2b00:1::{last}"] if ipv6 else [])]
        host.add_interface("eth0", self.homes[home], hosts)
        return Node(host, hosts, self.world, last)


class Node:
    """Is a host with an mDNS machine."""

    def __init__(self, host: Host, hosts: list[str], world: World, seed: int) -> None:
        self.host = host
        self.world = world
        self.hosts = hosts
        self.mdns = Mdns(MdnsConfig(), random_bytes=random.Random(seed).randbytes, now=world.now)
        self.runner: Runner = host.attach(self.mdns, name=host.name)
        links = tuple(Link(each, NETWORKS) for each in hosts)
        self.runner.call(lambda now: self.mdns.set_links(links, now=now))
        world.run(seconds=0.001)

    def register(self, name: str = NAME, host: str | None = None) -> None:
        self.runner.call(lambda now: self.mdns.register(name, host or self.hosts[0], now=now))

    def resolve(self, name: str = NAME) -> tuple[NameResolved | NameNotFound, Seconds]:
        """Returns the answer and how long it took."""
        asked_at = self.world.now
        said = len(self.runner.events)
        self.runner.call(lambda now: self.mdns.resolve(Handle(said + 1), name, now=now))
        assert self.world.run_until(lambda: bool(self.answers(said)), limit=5.0)
        at, answer = self.answers(said)[0]
        return answer, at - asked_at

    def answers(self, said: int) -> list[tuple[float, NameResolved | NameNotFound]]:
        events = self.runner.events[said:]
        return [(at, event) for at, event in events if isinstance(event, NameResolved | NameNotFound)]


def host_of(answer: NameResolved | NameNotFound) -> str:
    assert isinstance(answer, NameResolved), answer
    return answer.addresses[0]


def test_neighbours_find_each_other_in_a_round_trip() -> None:
    place = Place()
    a, b = place.node("a", 10), place.node("b", 11)
    a.register()
    answer, duration = b.resolve()
    assert host_of(answer) == "192.168.1.10"
    assert duration == 0.0


@pytest.mark.rfc("mdns-ice-candidates", "3.2.1")
def test_who_comes_after_the_announcement_does_not_wait_for_the_next_multicast() -> None:
    """RFC 6762 §6 keeps a name from being multicast again for a second; the answer to one who asks is no multicast."""
    place = Place()
    a = place.node("a", 10)
    a.register()
    place.world.run(seconds=0.3)
    b = place.node("b", 11)
    answer, duration = b.resolve()
    assert host_of(answer) == "192.168.1.10"
    assert duration == 0.0


def test_who_heard_the_announcement_asks_nothing() -> None:
    place = Place()
    a, b = place.node("a", 10), place.node("b", 11)
    a.register()
    place.world.run(seconds=5.0)
    place.records.clear()
    answer, duration = b.resolve()
    assert (host_of(answer), duration) == ("192.168.1.10", 0.0)
    assert place.records == []


def test_another_home_hears_nothing() -> None:
    place = Place()
    a, b = place.node("a", 10), place.node("b", 11, home=1)
    a.register()
    answer, duration = b.resolve()
    assert answer == NameNotFound(answer.query, NAME, NotFound.NO_ANSWER)
    assert duration == pytest.approx(3.0)


def test_what_is_lost_costs_a_second() -> None:
    place = Place()
    a = place.node("a", 10)
    a.register()
    place.world.run(seconds=60.0)
    b = place.node("b", 11)
    up = b.host.interface("eth0").link.up
    up.config = replace(IDEAL, loss=1.0)
    place.world.after(0.5, lambda: setattr(up, "config", IDEAL))
    answer, duration = b.resolve()
    assert host_of(answer) == "192.168.1.10"
    assert duration == pytest.approx(1.0)


def test_each_family_has_names_of_its_own() -> None:
    place = Place()
    a, b = place.node("a", 10, ipv6=True), place.node("b", 11, ipv6=True)
    a.register()
    name = local_name(random.Random(2).randbytes)
    a.register(name, "2b00:1::10")
    assert [host_of(b.resolve(each)[0]) for each in (NAME, name)] == ["192.168.1.10", "2b00:1::10"]


def test_a_name_of_one_family_is_found_over_the_other() -> None:
    """A neighbour that has lost IPv4 multicast still hears of the name by IPv6."""
    place = Place()
    a = place.node("a", 10, ipv6=True)
    a.register()
    place.world.run(seconds=60.0)
    b = place.node("b", 11, ipv6=True)
    b.runner.call(lambda now: b.mdns.set_links((Link(b.hosts[1], NETWORKS),), now=now))
    answer, duration = b.resolve()
    assert host_of(answer) == "192.168.1.10"
    assert duration == 0.0


def test_what_the_wire_carries_for_one_name_is_little() -> None:
    place = Place()
    a, b = place.node("a", 10), place.node("b", 11)
    a.register()
    b.resolve()
    place.world.run(seconds=60.0)
    a.runner.close()
    place.world.run(seconds=60.0)
    # The announcement twice, the question with its answer, the farewell.
    assert len(place.records) <= 5
    assert sum(len(record.payload) for record in place.records) <= 500


def test_a_farewell_makes_neighbours_forget() -> None:
    place = Place()
    a, b = place.node("a", 10), place.node("b", 11)
    a.register()
    b.resolve()
    a.runner.close()
    place.world.run(seconds=1.5)
    answer, _ = b.resolve()
    assert isinstance(answer, NameNotFound)


def test_forty_neighbours_at_once() -> None:
    place = Place()
    nodes = [place.node(f"node {number}", number) for number in range(10, 50)]
    names = [local_name(random.Random(number).randbytes) for number in range(len(nodes))]
    for node, name in zip(nodes, names, strict=True):
        node.register(name)
    for node, name in zip(nodes, [*names[1:], names[0]], strict=True):
        answer, _ = node.resolve(name)
        assert isinstance(answer, NameResolved)
