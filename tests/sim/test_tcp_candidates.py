"""Agents over TCP (RFC 6544) through whole networks: who connects to whom, data both ways, loss, and the end of it.

Where UDP passes it wins; so these are places where it does not: the policy of a network, or a peer that tells TCP
candidates only.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from icepath.entropy import IceCredentials, ice_credentials
from icepath.errors import Cause
from icepath.ice.agent import Agent
from icepath.ice.config import AgentConfig, Role
from icepath.ice.events import DataReceived, PairSelected, PairSnapshot, State, StateChanged
from icepath.ice.pacer import SlotCalendar
from icepath.machine import Bytes, Closed, Connect, Event, Handle, LocalAddress, Transport
from icepath.net import Instant
from icepath.sim import topology
from icepath.sim.firewall import Policy
from icepath.sim.host import Host
from icepath.sim.link import LinkConfig
from icepath.sim.packet import PacketRecord, Verdict
from icepath.sim.runner import Runner
from icepath.sim.world import World
from icepath.wire.candidate_line import Candidate, TcpType
from sim.probe import Probe

# One round trip between the two, in seconds.
R = 0.1
# Two gaps of 5 ms between an agent's own transactions.
SLACK = 0.011
NO_UDP = Policy(udp_ports=frozenset())


def anything(candidate: Candidate) -> bool:
    return True


def over_tcp(candidate: Candidate) -> bool:
    return candidate.transport is Transport.TCP


def passive(candidate: Candidate) -> bool:
    return candidate.tcp_type is TcpType.PASSIVE


@dataclass
class Side:
    """Is one agent, its host, and what became of it."""

    host: Host
    agent: Agent
    runner: Runner | None = None
    states: list[tuple[State, Cause | None]] = field(default_factory=list[tuple[State, Cause | None]])
    pair: PairSnapshot | None = None
    received: list[bytes] = field(default_factory=list[bytes])

    def on_event(self, event: Event) -> None:
        match event:
            case StateChanged(state=state, cause=cause):
                self.states.append((state, cause))
            case PairSelected(pair=pair):
                self.pair = pair
            case DataReceived(payload=payload):
                self.received.append(payload)
            case _:
                pass

    @property
    def is_settled(self) -> bool:
        return bool(self.states) and self.states[-1][0] is State.COMPLETED

    def call(self, verb: Callable[[Instant], object]) -> None:
        self.host.call(self.agent, verb)

    def send(self, payload: bytes) -> None:
        self.call(lambda now: self.agent.send(payload, now=now))

    def open(self, local: Sequence[LocalAddress]) -> None:
        self.runner = self.host.attach(self.agent, local, on_event=self.on_event)
        for each in local:
            self.call(partial(_add, self.agent, each))
        self.call(lambda now: self.agent.end_of_local_addresses(now=now))

    def hear(self, other: Side, tells: Callable[[Candidate], bool]) -> None:
        description = other.agent.local_description()
        candidates = tuple(candidate for candidate in description.candidates if tells(candidate))
        self.call(lambda now: self.agent.set_remote_description(replace(description, candidates=candidates), now=now))


def _add(agent: Agent, local: LocalAddress, now: Instant) -> None:
    agent.add_local_address(local, now=now)


def _restart(agent: Agent, credentials: IceCredentials, now: Instant) -> None:
    agent.restart(credentials, now=now)


def side(world: World, host: Host, role: Role, *, tcp: bool = True) -> Side:
    rng = random.Random(f"{host.name} {role}")
    config = AgentConfig(ice_credentials(rng.randbytes), role, tcp=tcp, patience=20.0)
    return Side(host, Agent(config, random_bytes=rng.randbytes, reserve_slot=SlotCalendar(), now=world.now))


def meet(
    world: World,
    host_a: Host,
    host_b: Host,
    *,
    told_by_a: Callable[[Candidate], bool] = anything,
    told_by_b: Callable[[Candidate], bool] = anything,
    udp: bool = True,
) -> tuple[Side, Side]:
    a, b = side(world, host_a, Role.CONTROLLING), side(world, host_b, Role.CONTROLLED)
    for each in (a, b):
        listeners = [each.host.listen_tcp(host) for face in each.host.interfaces for host in face.hosts]
        each.open([*(each.host.bind_all() if udp else []), *listeners])
    a.hear(b, told_by_b)
    b.hear(a, told_by_a)
    return a, b


def settled(world: World, a: Side, b: Side, *, limit: float = 30.0) -> float:
    """Returns after how many seconds both sides had a selected pair."""
    start = world.now
    assert world.run_until(lambda: a.is_settled and b.is_settled, limit=limit)
    return world.now - start


def exchange(world: World, a: Side, b: Side) -> None:
    a.send(b"\x80 from a")
    b.send(b"\x80 from b")
    world.run(seconds=1.0)
    assert (a.received[-1], b.received[-1]) == (b"\x80 from b", b"\x80 from a")


def types(side: Side) -> tuple[TcpType | None, TcpType | None]:
    assert side.pair is not None
    return side.pair.local.tcp_type, side.pair.remote.tcp_type


def homes(policy: Policy = NO_UDP, *, public_b: bool = True) -> tuple[World, Host, Host]:
    """Returns a client behind a NAT that lets no UDP out, and one that is public, or behind one as well."""
    world = World()
    internet = world.network("internet")
    hosts: list[Host] = []
    for index in (1, 2):
        host = world.host(f"client-{index}")
        if index == 2 and public_b:
            host.add_interface("eth0", internet, ["11.2.0.1"], up=topology.ACCESS)
        else:
            lan = world.network(f"lan-{index}", prefixes=[f"192.168.{index}.0/24"])
            config = replace(topology.NATS["apdf"], policy=policy)
            world.nat(f"nat-{index}", config, internet, [f"11.{index}.0.1"], up=topology.ACCESS).add_inside(lan)
            host.add_interface("eth0", lan, [f"192.168.{index}.10"])
        hosts.append(host)
    return world, hosts[0], hosts[1]


@pytest.mark.rfc("6544", "7.1")
def test_two_public_hosts_settle_in_three_round_trips() -> None:
    network = topology.pair("none", "none")
    a, b = meet(network.world, network.a, network.b, told_by_a=over_tcp, told_by_b=over_tcp)
    # One for the connection, one for the check on it, one for its nomination.
    assert abs(settled(network.world, a, b) - 3 * R) <= SLACK
    assert sorted(filter(None, types(a))) == ["active", "passive"]
    exchange(network.world, a, b)
    network.world.run(seconds=60.0)  # consent is renewed over TCP too
    exchange(network.world, a, b)


@pytest.mark.rfc("6544", "4.2")
@pytest.mark.rfc("6544", "8")
def test_udp_wins_where_it_passes_and_the_connections_are_closed() -> None:
    network = topology.pair("none", "none")
    a, b = meet(network.world, network.a, network.b)
    assert abs(settled(network.world, a, b) - 2 * R) <= SLACK
    network.world.run(seconds=5.0)
    assert types(a) == types(b) == (None, None)
    assert connections(a) == connections(b) == 0


@pytest.mark.rfc("6544", "8")
def test_of_two_connections_one_is_kept() -> None:
    network = topology.pair("none", "none")
    a, b = meet(network.world, network.a, network.b, told_by_a=over_tcp, told_by_b=over_tcp)
    network.world.run(seconds=0.15)
    assert (connections(a), connections(b)) == (2, 2)
    settled(network.world, a, b)
    network.world.run(seconds=1.0)
    assert (connections(a), connections(b)) == (1, 1)
    assert a.pair is not None
    assert b.pair is not None
    exchange(network.world, a, b)


@pytest.mark.rfc("6544", "7.2")
@pytest.mark.parametrize("is_swapped", [False, True])
def test_a_client_whose_network_drops_udp_reaches_a_public_one(is_swapped: bool) -> None:
    world, home, public = homes()
    first, second = (public, home) if is_swapped else (home, public)
    a, b = meet(world, first, second)
    # A controlling side that waits to be connected to hears half a round trip later that its pair is valid.
    assert abs(settled(world, a, b) - (3.5 if is_swapped else 3) * R) <= SLACK
    at_home, at_public = (b, a) if is_swapped else (a, b)
    assert types(at_home) == (TcpType.ACTIVE, TcpType.PASSIVE)
    assert types(at_public) == (TcpType.PASSIVE, TcpType.ACTIVE)
    # What it is seen as, and what the public side learnt of it.
    assert at_home.pair is not None
    assert at_home.pair.local.type is at_home.pair.local.type.PEER_REFLEXIVE
    assert at_home.pair.local.host == "11.1.0.1"
    assert at_public.pair is not None
    assert at_public.pair.remote.address == at_home.pair.local.address
    exchange(world, a, b)


def test_two_clients_behind_nats_do_not_reach_each_other_without_a_relay() -> None:
    world, one, other = homes(public_b=False)
    a, b = meet(world, one, other)
    world.run(seconds=60.0)
    assert a.states[-1] == (State.FAILED, Cause.NO_ANSWER)
    assert b.states[-1] == (State.FAILED, Cause.NO_ANSWER)
    assert connections(a) == connections(b) == 0


@pytest.mark.rfc("8838", "10")
def test_a_side_that_hears_late_is_connected_to_all_the_same() -> None:
    world, home, public = homes()
    a, b = side(world, home, Role.CONTROLLING), side(world, public, Role.CONTROLLED)
    for each in (a, b):
        each.open([each.host.listen_tcp("eth0")])
    a.hear(b, anything)
    world.run(seconds=3.0)  # a has checked, b has answered, and kept what it cannot follow up yet
    b.hear(a, anything)
    settled(world, a, b)
    exchange(world, a, b)


def test_a_passive_side_that_nobody_comes_to_says_so() -> None:
    world, home, public = homes()
    b = side(world, public, Role.CONTROLLED)
    a = side(world, home, Role.CONTROLLING)
    a.open([home.listen_tcp("eth0")])
    b.open([public.listen_tcp("eth0")])
    b.hear(a, lambda candidate: candidate.tcp_type is TcpType.ACTIVE)
    world.run(seconds=60.0)
    assert b.states[-1] == (State.FAILED, Cause.NO_CHECKS)


@pytest.mark.parametrize("loss", [0.05, 0.2])
def test_what_is_lost_is_sent_again_by_tcp(loss: float) -> None:
    network = topology.pair("none", "none", access=LinkConfig(delay=0.025, loss=loss))
    a, b = meet(network.world, network.a, network.b, told_by_a=over_tcp, told_by_b=over_tcp)
    settled(network.world, a, b)
    for number in range(50):
        a.send(b"\x80%d" % number)
        network.world.run(seconds=0.02)
    network.world.run(seconds=20.0)
    assert b.received == [b"\x80%d" % number for number in range(50)]


@pytest.mark.rfc("6544", "11.1")
@pytest.mark.parametrize("closes", ["a", "b"])
def test_a_path_whose_connection_the_other_side_closes_is_lost_at_once(closes: str) -> None:
    world, home, public = homes()
    a, b = meet(world, home, public)
    settled(world, a, b)
    gone, left = (a, b) if closes == "a" else (b, a)
    gone.call(lambda now: gone.agent.close(now=now))
    world.run(seconds=R)
    assert left.states[-1] == (State.FAILED, Cause.CONNECTION_CLOSED)
    world.run(seconds=5.0)
    assert connections(left) == 0


@pytest.mark.rfc("6544", "9.2")
def test_a_restart_checks_on_the_connection_in_use() -> None:
    world, home, public = homes()
    a, b = meet(world, home, public)
    settled(world, a, b)
    opened: list[PacketRecord] = []
    world.on_packet(lambda record: opened.append(record) if _opens(record) else None)
    rng = random.Random("restart")
    for each in (a, b):
        credentials = ice_credentials(rng.randbytes)
        each.states.clear()
        each.call(partial(_restart, each.agent, credentials))
    a.hear(b, anything)
    b.hear(a, anything)
    exchange(world, a, b)
    settled(world, a, b)
    exchange(world, a, b)
    at_public = [record for record in opened if record.destination.host == "11.2.0.1"]
    assert at_public == []
    assert (connections(a), connections(b)) == (1, 1)


def test_strangers_are_closed_whatever_they_do() -> None:
    network = topology.pair("none", "none")
    a, b = meet(network.world, network.a, network.b, told_by_a=over_tcp, told_by_b=over_tcp)
    settled(network.world, a, b)
    listener = next(candidate for candidate in a.agent.local_description().candidates if passive(candidate)).address
    silent, lying, dribbling = Handle(1), Handle(2), Handle(3)
    stranger = Probe(start=[Connect(handle, None, listener) for handle in (silent, lying, dribbling)])
    runner = network.server.attach(stranger)
    network.world.run(seconds=1.0)
    runner.call(lambda now: stranger.say(Bytes(lying, b"\x00\x04GET ")))
    for _ in range(30):
        runner.call(lambda now: stranger.say(Bytes(dribbling, b"\x01")))
        network.world.run(seconds=0.5)
    ends = {arrival.handle: at - network.world.now for at, arrival in stranger.arrivals if isinstance(arrival, Closed)}
    assert sorted(ends) == [silent, lying, dribbling]
    exchange(network.world, a, b)


def connections(side: Side) -> int:
    return side.host.tcp.connections


def _opens(record: PacketRecord) -> bool:
    segment = record.segment
    return record.verdict is Verdict.SENT and segment is not None and segment.opens
