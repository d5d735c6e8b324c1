"""icepath.sim.world: building and running worlds."""

from __future__ import annotations

import pytest

from icepath.errors import InvalidArgument, InvalidState
from icepath.machine import Datagram, Deliver, FlowKey, Handle, Resolve, Resolved, SetFlow
from icepath.net import Address
from icepath.sim.flow_table import DataDelivered
from icepath.sim.link import LinkConfig
from icepath.sim.names import Names
from icepath.sim.packet import PacketRecord
from icepath.sim.port_assignment import NatConfig
from icepath.sim.world import World
from sim.probe import Probe, Said, echo

SLOW = LinkConfig(delay=0.025)


def _home(world: World) -> tuple[Probe, Probe]:
    """Returns a client behind a NAT that has asked an echo server, and the server."""
    internet = world.network("internet")
    home = world.network("home", prefixes=["192.168.1.0/24"])
    nat = world.nat("router", NatConfig(), internet, ["11.1.0.1"], up=SLOW)
    nat.add_inside(home)
    alice, server = world.host("alice"), world.host("server")
    alice.add_interface("eth0", home, ["192.168.1.10"])
    server.add_interface("eth0", internet, ["11.0.0.1"])
    local = alice.bind("eth0", 5000).address
    client = Probe(start=[Datagram(local, Address("11.0.0.1", 3478), b"hello")])
    echoer = Probe(answer=echo)
    server.bind("eth0", 3478)
    server.attach(echoer)
    alice.attach(client)
    return client, echoer


def test_a_home_router_delays_and_translates_both_ways() -> None:
    world = World(seed=7)
    client, server = _home(world)
    world.run(seconds=5.0)
    assert server.sources == [Address("11.1.0.1", 5000)]
    assert [(round(at, 9), arrival) for at, arrival in client.arrivals] == [
        (1000.05, Datagram(Address("192.168.1.10", 5000), Address("11.0.0.1", 3478), b"hello"))
    ]
    assert world.now == 1005.0


def test_down_may_differ_from_up() -> None:
    world = World()
    internet = world.network("internet")
    nat = world.nat("nat", NatConfig(), internet, ["11.1.0.1"], up=SLOW, down=LinkConfig(delay=0.1))
    firewall = world.firewall("firewall", internet, up=SLOW, down=LinkConfig(delay=0.1))
    same = world.firewall("firewall", internet, up=SLOW)
    assert [gateway.outside.down.config.delay for gateway in (nat, firewall, same)] == [0.1, 0.1, 0.025]


def test_two_runs_of_one_world_are_the_same() -> None:
    def run() -> list[PacketRecord]:
        world = World(seed=7)
        records: list[PacketRecord] = []
        world.on_packet(records.append)
        _home(world)
        world.run(seconds=1.0)
        return records

    assert run() == run() != []


def test_a_harness_schedules_what_it_does() -> None:
    world = World(start=50.0)
    ran: list[float] = []
    world.at(51.0, lambda: ran.append(world.now))
    world.after(0.5, lambda: world.after(0.25, lambda: ran.append(world.now)))
    assert world.run_until(lambda: len(ran) == 2, limit=10.0)
    assert ran == [50.75, 51.0]
    with pytest.raises(InvalidArgument):
        world.at(50.0, lambda: None)


def test_two_machines_that_answer_each_other_without_end_are_stopped() -> None:
    world = World(actions_per_instant=1000)
    network = world.network("lan")
    a, b = world.host("a"), world.host("b")
    a.add_interface("eth0", network, ["10.0.0.1"])
    b.add_interface("eth0", network, ["10.0.0.2"])
    to = b.bind("eth0", 7).address
    b.attach(Probe(answer=echo))
    a.attach(Probe(answer=echo, start=[Datagram(a.bind("eth0", 7).address, to, b"x")]))
    a.runners[0].call(lambda now: None)
    with pytest.raises(InvalidState, match="livelock: more than 1000 actions"):
        world.run(seconds=1.0)


def test_names_are_the_world_s_or_the_host_s_own() -> None:
    world = World()
    world.names.add_host("a.example", "11.0.0.9")
    own = Names()
    own.add_host("a.example", "10.0.0.9")
    heard: list[str] = []
    for host in (world.host("a"), world.host("b", names=own)):
        probe = Probe(start=[Resolve(Handle(1), "a.example")])
        host.attach(probe)
        world.run(seconds=0.0)
        ((_, answer),) = probe.arrivals
        assert isinstance(answer, Resolved)
        heard.append(answer.answers[0].address.host)
    assert heard == ["11.0.0.9", "10.0.0.9"]


@pytest.mark.parametrize(
    ("world_honours", "machine_honours"), [(True, None), (False, True), (True, False), (False, None)]
)
def test_flows_are_honoured_as_the_world_or_the_machine_says(world_honours: bool, machine_honours: bool | None) -> None:
    world = World(honours_flows=world_honours)
    network = world.network("lan")
    a, b = world.host("a"), world.host("b")
    a.add_interface("eth0", network, ["10.0.0.1"])
    b.add_interface("eth0", network, ["10.0.0.2"])
    here, there = a.bind("eth0").address, b.bind("eth0").address
    receiver = Probe(start=[SetFlow(FlowKey(there, here), Deliver(1, 1), until=2000.0)])
    runner = b.attach(receiver, honours_flows=machine_honours)
    a.attach(Probe(start=[Said("go"), Datagram(here, there, b"media")]))
    world.run(seconds=0.5)
    honoured = world_honours if machine_honours is None else machine_honours
    assert [event for _, event in runner.events] == ([DataDelivered(1, 1, b"media")] if honoured else [])
    assert receiver.payloads == ([] if honoured else [b"media"])
