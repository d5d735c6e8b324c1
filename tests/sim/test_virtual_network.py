"""Whole networks: which pairs of places reach each other directly, how fast, and that runs repeat.

The clients here do what ICE boils down to: learn the reflexive address, send to every address of the other side,
answer whoever asks. So this pins the network that the agents are later tested in: where they need a
relay it is the network's doing. Times are in round trips between two clients (100 ms).
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from icepath.machine import Arrival, Datagram
from icepath.net import Address, parse_address
from icepath.sim import topology
from icepath.sim.host import Host
from icepath.sim.link import LinkConfig
from icepath.sim.packet import Loss, PacketRecord
from sim.probe import Output, Probe

PORT = 3478


def _reflect(arrival: Arrival) -> Sequence[Output]:
    """Answers with the address that the question came from."""
    if not isinstance(arrival, Datagram):
        return []
    return [Datagram(arrival.local, arrival.remote, f"you are {arrival.remote}".encode())]


def _answer(arrival: Arrival) -> Sequence[Output]:
    """Answers a question and asks back, as a triggered check does (RFC 8445 §7.3.1.4)."""
    if not isinstance(arrival, Datagram) or arrival.payload not in (b"ping", b"ping back"):
        return []
    answers = [Datagram(arrival.local, arrival.remote, b"pong")]
    if arrival.payload == b"ping":
        answers.append(Datagram(arrival.local, arrival.remote, b"ping back"))
    return answers


class Client:
    """Asks servers who it is, and pings what it is told."""

    def __init__(self, pair: topology.Pair, host: Host) -> None:
        self._pair = pair
        self._host = host
        self.locals = [local.address for local in host.bind_all(5000)]
        self.probe = Probe(answer=_answer)
        host.attach(self.probe)

    def send(self, payload: bytes, targets: Sequence[Address]) -> None:
        for local in self.locals:
            for target in targets:
                if local.is_ipv6 == target.is_ipv6:
                    datagram = Datagram(local, target, payload)
                    self._host.call(self.probe, lambda now, datagram=datagram: self.probe.say(datagram))  # type: ignore[misc]  # default argument

    @property
    def reflexive(self) -> list[Address]:
        told = [datagram.payload.decode() for datagram in self.probe.datagrams if datagram.payload[:3] == b"you"]
        return [parse_address(text.removeprefix("you are ")) for text in told]

    @property
    def candidates(self) -> list[Address]:
        return list(dict.fromkeys([*self.locals, *self.reflexive]))

    def pong_at(self) -> float | None:
        times = [
            at for at, arrival in self.probe.arrivals if isinstance(arrival, Datagram) and arrival.payload == b"pong"
        ]
        return min(times, default=None)


def _punch(pair: topology.Pair, *, tries: int = 3) -> float | None:
    """Returns how long after the exchange of addresses both sides had an answer, in round trips; None when never."""
    for host in (topology.SERVER_IPV4, topology.SERVER_IPV6):
        pair.server.attach(Probe(answer=_reflect), [pair.server.bind(host, PORT)], name=host)
    a, b = Client(pair, pair.a), Client(pair, pair.b)
    for client in (a, b):
        client.send(b"who am I?", [Address(topology.SERVER_IPV4, PORT), Address(topology.SERVER_IPV6, PORT)])
    pair.world.run(seconds=0.06)
    start = pair.world.now
    for _ in range(tries):
        a.send(b"ping", b.candidates)
        b.send(b"ping", a.candidates)
        pair.world.run(seconds=0.5)
    times = [client.pong_at() for client in (a, b)]
    return None if None in times else round((max(at for at in times if at is not None) - start) / 0.1, 2)


FILTERED = ("eif", "adf", "apdf", "cgn-eif", "cgn-adf", "cgn-apdf")
DIRECT = [
    *[("none", place) for place in ("none", *FILTERED, "sym", "cgn-sym", "ds", "ds-sym")],
    *[(a, b) for a in FILTERED for b in FILTERED],
    ("eif", "sym"),
    ("adf", "ds-sym"),
    ("v6", "v6"),
    ("v6", "ds"),
    ("ds", "ds"),
    ("ds-sym", "ds-sym"),
    ("ds", "apdf"),
]
NEEDS_RELAY = [
    ("sym", "apdf"),
    ("sym", "sym"),
    ("cgn-sym", "apdf"),
    ("cgn-sym", "cgn-sym"),
    ("udpblock", "none"),
    ("tcp443", "apdf"),
    ("udpblock", "udpblock"),
    ("v6", "apdf"),
    ("v6", "none"),
]


# The address that was told is not the one that asks: the question back finds the way, half a round trip later.
LATE = ("sym", "cgn-sym")


@pytest.mark.parametrize(("place_a", "place_b"), DIRECT)
def test_these_reach_each_other_directly(place_a: str, place_b: str) -> None:
    late = any(place.removeprefix("ds-") in LATE for place in (place_a, place_b)) and place_a != "ds-sym"
    for pair in (topology.pair(place_a, place_b), topology.pair(place_b, place_a)):
        assert _punch(pair) == (1.5 if late else 1.0)


def test_a_symmetric_nat_is_found_by_the_question_back() -> None:
    assert _punch(topology.pair("adf", "sym")) == 1.5


@pytest.mark.parametrize(("place_a", "place_b"), NEEDS_RELAY)
def test_these_never_do(place_a: str, place_b: str) -> None:
    assert _punch(topology.pair(place_a, place_b)) is None
    assert _punch(topology.pair(place_b, place_a)) is None


@pytest.mark.parametrize(
    ("place", "round_trips"),
    [("same", 0.0), ("same-iso", None), ("same-hp", 0.0), ("samecgn", None), ("samecgn-hp", 1.5)],
)
def test_shared_places(place: str, round_trips: float | None) -> None:
    assert _punch(topology.pair(place)) == round_trips


def test_private_addresses_vanish_on_the_internet() -> None:
    pair = topology.pair("none", "apdf")
    client = Client(pair, pair.a)
    client.send(b"ping", [Address("192.168.2.10", 5000), Address("10.1.2.3", 1), Address("11.99.0.1", 1)])
    pair.world.run(seconds=1.0)
    assert client.probe.arrivals == []
    assert pair.world.medium.losses == {Loss.NO_ROUTE: 3}


def test_loss_on_the_uplink_is_felt_and_repeats_with_the_seed() -> None:
    def run(seed: int) -> list[PacketRecord]:
        pair = topology.pair("apdf", "apdf", seed=seed, access=LinkConfig(delay=0.025, loss=0.2))
        records: list[PacketRecord] = []
        pair.world.on_packet(records.append)
        _punch(pair, tries=20)
        return records

    first = run(1)
    assert any(record.loss is Loss.LOST for record in first)
    assert first == run(1)
    assert first != run(2)
