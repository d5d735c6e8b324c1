"""Byte streams through whole networks: NATs, firewalls, loss, TLS; and that runs repeat.

Two small machines: one says who asks, as a STUN server over TCP does; the other learns its address that way
and connects to the other side from the same port, as RFC 6544 simultaneous-open candidates do. So this pins
which places reach each other over TCP without a relay, before any agent tries. A third relays by `Splice`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icepath.machine import (
    Accepted,
    Arrival,
    Bind,
    Bytes,
    Close,
    Closed,
    CloseReason,
    Connect,
    Failed,
    FailReason,
    Handle,
    Opened,
    Security,
    Splice,
    Transport,
)
from icepath.net import Address, parse_address
from icepath.sim import topology
from icepath.sim.firewall import Unsolicited
from icepath.sim.host import Host
from icepath.sim.link import LinkConfig
from icepath.sim.packet import PacketRecord
from icepath.sim.port_assignment import NatConfig
from icepath.sim.tcp_config import TcpConfig
from icepath.sim.tls import TlsServer
from icepath.sim.world import World
from sim.probe import Output, Probe

PORT = 3478
SERVER = Address(topology.SERVER_IPV4, PORT)
SERVER_IPV6 = Address(topology.SERVER_IPV6, PORT)
BOUND, ASKS, PUNCHES = Handle(1), Handle(2), Handle(3)


def _reflect(arrival: Arrival) -> Sequence[Output]:
    """Says who asks, and hangs up."""
    if not isinstance(arrival, Accepted):
        return []
    return [Bytes(arrival.handle, f"you are {arrival.remote}".encode()), Close(arrival.handle)]


class Client:
    """Binds a port, asks the server from there who it is, and connects to the other side from there."""

    def __init__(self, host: Host, server: Address) -> None:
        self.local = Address(host.interface("eth0").hosts[0], 5000)
        self.probe = Probe(answer=self._answer, start=[Bind(BOUND, self.local, Transport.TCP)])
        self.runner = host.attach(self.probe)
        self._server = server
        self._told = b""

    def _answer(self, arrival: Arrival) -> Sequence[Output]:
        match arrival:
            case Opened(handle=handle) if handle == BOUND:
                return [Connect(ASKS, self.local, self._server)]
            case Bytes(handle=handle, payload=payload) if handle == ASKS:
                self._told += payload
            case Opened(handle=handle):
                return [Bytes(handle, b"ping")] if handle == PUNCHES else []
            case _:
                pass
        return []

    @property
    def reflexive(self) -> Address:
        return parse_address(self._told.decode().removeprefix("you are "))

    def punch(self, other: Address) -> None:
        self.runner.call(lambda now: self.probe.say(Connect(PUNCHES, self.local, other)))

    @property
    def pinged_at(self) -> float | None:
        times = [
            at
            for at, arrival in self.probe.arrivals
            if isinstance(arrival, Bytes) and arrival.handle == PUNCHES and arrival.payload == b"ping"
        ]
        return min(times, default=None)

    @property
    def failures(self) -> list[FailReason]:
        return [arrival.reason for _, arrival in self.probe.arrivals if isinstance(arrival, Failed)]


def _punch(pair: topology.Pair, *, head_start: float = 0.0) -> tuple[float | None, Client, Client]:
    """Returns in how many round trips both sides had the other's bytes, None when never; and both sides."""
    server = SERVER_IPV6 if pair.a.interface("eth0").hosts[0].startswith("2b00") else SERVER
    pair.server.listen_tcp(server.host, PORT)
    pair.server.attach(Probe(answer=_reflect))
    a, b = Client(pair.a, server), Client(pair.b, server)
    pair.world.run(seconds=1.0)
    addresses = a.reflexive, b.reflexive
    start = pair.world.now
    a.punch(addresses[1])
    pair.world.run(seconds=head_start)
    b.punch(addresses[0])
    pair.world.run(seconds=10.0)
    times = [client.pinged_at for client in (a, b)]
    took = None if None in times else round((max(at for at in times if at is not None) - start) / 0.1, 2)
    return took, a, b


FILTERED = ("eif", "adf", "apdf", "cgn-apdf")


# -- simultaneous open through NATs ------------------------------------------------------------------------------


@pytest.mark.rfc("5382", "4.2")
@pytest.mark.parametrize(
    ("place_a", "place_b"), [*[(a, b) for a in FILTERED for b in FILTERED], ("none", "none"), ("v6", "v6")]
)
def test_these_reach_each_other_by_simultaneous_open(place_a: str, place_b: str) -> None:
    took, _, _ = _punch(topology.pair(place_a, place_b))
    assert took == 1.5


@pytest.mark.parametrize(("place_a", "place_b"), [("sym", "apdf"), ("sym", "sym"), ("cgn-sym", "adf"), ("apdf", "sym")])
def test_these_need_a_relay(place_a: str, place_b: str) -> None:
    took, _, _ = _punch(topology.pair(place_a, place_b))
    assert took is None


@pytest.mark.parametrize(("place", "reach"), [("same-hp", True), ("same-iso", False), ("samecgn-hp", True)])
def test_a_shared_nat_must_hairpin(place: str, reach: bool) -> None:
    took, _, _ = _punch(topology.pair(place))
    assert (took is not None) is reach


@pytest.mark.rfc("5382", "4.3")
@pytest.mark.parametrize("unsolicited", Unsolicited)
def test_a_side_that_is_late_is_let_in_unless_its_nat_has_answered_for_it(unsolicited: Unsolicited) -> None:
    took, a, _ = _punch(_two_homes(replace(topology.NATS["apdf"], unsolicited=unsolicited)), head_start=0.2)
    if unsolicited is Unsolicited.SILENCE:
        # Two round trips late, half for its SYN, one for the answer and what confirms that, half for a's ping.
        assert (took, a.failures) == (4.0, [])
    else:
        assert (took, a.failures) == (None, [FailReason.REFUSED])


def _two_homes(config: NatConfig) -> topology.Pair:
    """Returns two clients behind NATs like this, and a server."""
    world = World()
    internet = world.network("internet")
    server = world.host("server")
    server.add_interface("eth0", internet, [topology.SERVER_IPV4])
    clients: list[Host] = []
    for index in (1, 2):
        lan = world.network(f"lan-{index}", prefixes=[f"192.168.{index}.0/24"])
        world.nat(f"nat-{index}", config, internet, [f"11.{index}.0.1"], up=topology.ACCESS).add_inside(lan)
        clients.append(world.host(f"client-{index}"))
        clients[-1].add_interface("eth0", lan, [f"192.168.{index}.10"])
    return topology.Pair(world, clients[0], clients[1], server, internet)


# -- servers behind policies -------------------------------------------------------------------------------------

TLS = TlsServer(("turn.example.org",), alpn=("stun.turn",))


def _ask(place: str, connect: Connect, *, tls: TlsServer | None = None, link: LinkConfig | None = None) -> Probe:
    """Returns a client after it asked a server on ports 80 and 443 to say who it is."""
    pair = topology.pair(place, "none") if link is None else topology.pair(place, "none", access=link)
    for port in (80, 443):
        pair.server.listen_tcp(topology.SERVER_IPV4, port, tls=tls)
    pair.server.listen_dtls(topology.SERVER_IPV4, 443, tls=TLS)
    pair.server.attach(Probe(answer=_reflect))
    client = Probe(start=[connect])
    pair.a.attach(client)
    pair.world.run(seconds=150.0)
    return client


def test_a_network_may_let_out_nothing_but_https() -> None:
    connect = Connect(
        ASKS, None, Address(topology.SERVER_IPV4, 443), Transport.TCP, Security.TLS, "turn.example.org", ("stun.turn",)
    )
    allowed = _ask("tcp443", connect, tls=TLS)
    kinds = [type(arrival) for _, arrival in allowed.arrivals]
    assert (kinds, round(allowed.arrivals[0][0] - 1000.0, 6)) == ([Opened, Bytes, Closed], 0.1)
    (blocked,) = _ask("tcp443", replace(connect, remote=Address(topology.SERVER_IPV4, 80)), tls=TLS).arrivals
    assert isinstance(blocked[1], Failed)
    assert (blocked[1].reason, blocked[0]) == (FailReason.TIMED_OUT, 1030.0)
    (dtls,) = _ask("tcp443", replace(connect, transport=Transport.UDP, security=Security.DTLS)).arrivals
    assert isinstance(dtls[1], Failed)
    assert dtls[1].reason is FailReason.TIMED_OUT


def test_dtls_crosses_a_nat() -> None:
    connect = Connect(ASKS, None, Address(topology.SERVER_IPV4, 443), Transport.UDP, Security.DTLS, "turn.example.org")
    client = _ask("sym", connect)
    assert [type(arrival) for _, arrival in client.arrivals] == [Opened, Bytes, Closed]
    assert round(client.arrivals[0][0] - 1000.0, 6) == 0.15


def test_a_lost_syn_costs_a_second() -> None:
    pair = topology.pair("apdf", "none")
    pair.server.listen_tcp(topology.SERVER_IPV4, PORT)
    pair.server.attach(Probe(answer=_reflect))
    client = Probe(start=[Connect(ASKS, None, SERVER)])
    lan = pair.a.interface("eth0").link.up
    lan.config = LinkConfig(loss=1.0)
    pair.a.attach(client)
    lan.config = LinkConfig()
    pair.world.run(seconds=2.0)
    assert [round(at - 1000.0, 6) for at, _ in client.arrivals] == [1.05, 1.1, 1.1]


# -- a relay that splices ----------------------------------------------------------------------------------------


class Forwarder:
    """Lets two clients meet: joins each byte stream that comes in with the one before, as RFC 6062 does."""

    def __init__(self) -> None:
        self.waiting: Handle | None = None

    def __call__(self, arrival: Arrival) -> Sequence[Output]:
        match arrival:
            case Accepted(handle=handle) if self.waiting is None:
                self.waiting = handle
            case Accepted(handle=handle) if self.waiting is not None:
                return [Splice(self.waiting, handle)]
            case _:
                pass
        return []


class Talker:
    """Sends all it has, then hangs up."""

    def __init__(self, payload: bytes) -> None:
        self.probe = Probe(answer=self._answer, start=[Connect(ASKS, None, SERVER)])
        self.heard = b""
        self.end: CloseReason | None = None
        self._payload = payload

    def _answer(self, arrival: Arrival) -> Sequence[Output]:
        match arrival:
            case Opened() if self._payload:
                return [Bytes(ASKS, self._payload), Close(ASKS)]
            case Bytes(payload=payload):
                self.heard += payload
            case Closed(reason=reason):
                self.end = reason
            case _:
                pass
        return []


LOSSY = LinkConfig(delay=0.025, jitter=0.005, loss=0.05, duplicate=0.02, reorder=0.05, rate=250_000, mtu=1400)


def _relay(
    seed: int,
    payload: bytes,
    *,
    access: LinkConfig = LOSSY,
    honours_flows: bool = True,
    config: TcpConfig | None = None,
) -> tuple[Talker, list[PacketRecord]]:
    """Returns what hears the payload through a relay, both behind symmetric NATs, and the capture."""
    pair = topology.pair("sym", "cgn-sym", seed=seed, access=access, honours_flows=honours_flows)
    records: list[PacketRecord] = []
    pair.world.on_packet(records.append)
    pair.server.listen_tcp(topology.SERVER_IPV4, PORT, paused=True)
    pair.server.attach(Probe(answer=Forwarder()))
    talker, listener = Talker(payload), Talker(b"")
    for host, side in ((pair.a, talker), (pair.b, listener)):
        if config is not None:
            host.tcp.config = config
        host.attach(side.probe)
    pair.world.run_until(lambda: listener.end is not None, limit=300.0)
    return listener, records


@pytest.mark.parametrize("seed", range(4))
def test_bytes_arrive_whole_through_nats_a_relay_and_a_bad_link(seed: int) -> None:
    payload = bytes(range(256)) * 300
    listener, records = _relay(seed, payload)
    assert listener.heard == payload
    assert listener.end is CloseReason.EOF
    assert any(record.loss is not None for record in records)


def test_a_rate_is_kept_to() -> None:
    payload = bytes(250_000)
    listener, records = _relay(1, payload, access=LinkConfig(delay=0.025, rate=250_000))
    assert listener.heard == payload
    # One second at the rate, headers, handshakes and the slow start.
    assert 1.0 < records[-1].at - records[0].at < 1.6


def test_hosts_may_dribble() -> None:
    listener, records = _relay(1, b"dribble", config=TcpConfig(max_segment=1, read_size=1))
    assert listener.heard == b"dribble"
    assert {len(record.payload) for record in records if record.where == "a"} == {0, 1}


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1 << 32),
    size=st.integers(1, 20_000),
    loss=st.floats(0.0, 0.3),
    mtu=st.sampled_from([None, 300, 1280]),
    read_size=st.sampled_from([1_000, 65_536]),
)
def test_same_seed_same_trace_and_the_bytes_come_whole(
    seed: int, size: int, loss: float, mtu: int | None, read_size: int
) -> None:
    payload = bytes(index % 251 for index in range(size))
    link, config = replace(LOSSY, loss=loss, mtu=mtu), TcpConfig(read_size=read_size)
    first, records = _relay(seed, payload, access=link, config=config)
    second, again = _relay(seed, payload, access=link, honours_flows=False, config=config)
    assert records == again
    assert first.heard == second.heard == payload
