"""icepath.sim.topology: every place is where it says it is."""

from __future__ import annotations

import re

import pytest

from icepath.errors import InvalidArgument
from icepath.machine import Datagram
from icepath.net import Address
from icepath.sim import topology
from icepath.sim.host import Host
from icepath.sim.link import LinkConfig
from sim.probe import Probe, echo

SERVERS = (topology.SERVER_IPV4, topology.SERVER_IPV6)


def _ask(pair: topology.Pair, client: Host, *, port: int = 3478) -> dict[str, tuple[float, list[Address]]]:
    """Asks the server from each address; returns per family the round trip and the sources the server saw."""
    servers = {host: Probe(answer=echo) for host in SERVERS}
    for host, probe in servers.items():
        pair.server.attach(probe, [pair.server.bind(host, port)], name=host)
    probe = Probe()
    locals_ = client.bind_all(5000)
    client.attach(probe)
    for local in locals_:
        host = SERVERS[local.address.is_ipv6]
        for target in (Address(host, port), Address(host, port)):
            datagram = Datagram(local.address, target, b"x")
            client.call(probe, lambda now, datagram=datagram: probe.say(datagram))  # type: ignore[misc]  # default argument
    start = pair.world.now
    pair.world.run(seconds=1.0)
    answers: dict[str, tuple[float, list[Address]]] = {}
    for at, arrival in probe.arrivals:
        if isinstance(arrival, Datagram):
            answers[arrival.remote.host] = (round(at - start, 4), servers[arrival.remote.host].sources)
    return answers


@pytest.mark.parametrize("place", [place for place in topology.PLACES if place not in ("v6", "udpblock", "tcp443")])
def test_a_round_trip_to_the_server_takes_50_ms(place: str) -> None:
    pair = topology.pair(place, "none")
    round_trip, sources = _ask(pair, pair.a)[topology.SERVER_IPV4]
    assert round_trip == 0.05
    # Two networks, where there are two, are two ways out.
    assert {source.host for source in sources} == ({"11.1.0.1", "11.1.1.1"} if "two" in place else {"11.1.0.1"})
    keeps_port = "sym" not in place and place != "two-apdf"
    assert {source.port == 5000 for source in sources} == {keeps_port}


@pytest.mark.parametrize("place", ["udpblock", "tcp443"])
def test_where_udp_is_blocked_nothing_comes_back(place: str) -> None:
    pair = topology.pair("none", place)
    assert _ask(pair, pair.b) == {}


@pytest.mark.parametrize(
    ("place", "families"), [("v6", {True}), ("ds", {False, True}), ("ds-sym", {False, True}), ("apdf", {False})]
)
def test_families(place: str, families: set[bool]) -> None:
    pair = topology.pair(place, "none")
    answers = _ask(pair, pair.a)
    assert {":" in host for host in answers} == families
    for host, (round_trip, sources) in answers.items():
        assert round_trip == 0.05
        if ":" in host:
            assert sources == [Address("2b00:1::10", 5000)] * 2


@pytest.mark.parametrize("place", list(topology.SHARED_PLACES))
def test_shared_places_show_one_public_address(place: str) -> None:
    pair = topology.pair(place)
    for client, port in ((pair.a, 3478), (pair.b, 3479)):
        round_trip, sources = _ask(pair, client, port=port)[topology.SERVER_IPV4]
        assert round_trip == 0.05
        assert {source.host for source in sources} == {"11.1.0.1"}
    assert {pair.a.name, pair.b.name, pair.server.name} == {"a", "b", "server"}


@pytest.mark.parametrize("place", ["none", "apdf", "cgn-apdf", "v6"])
def test_the_access_link_may_be_another(place: str) -> None:
    slow, slower = LinkConfig(delay=0.1), LinkConfig(delay=0.3)
    for down, expected in ((None, 0.2), (slower, 0.4)):
        pair = topology.pair(place, "none", access=slow, access_down=down)
        ((round_trip, _),) = _ask(pair, pair.a).values()
        assert round_trip == expected


def test_a_shared_place_has_one_access_link() -> None:
    pair = topology.pair("same-iso", access=LinkConfig(delay=0.1), access_down=LinkConfig(delay=0.3))
    assert _ask(pair, pair.a)[topology.SERVER_IPV4][0] == 0.4


def test_the_seed_decides_what_is_random() -> None:
    def port(seed: int) -> int:
        pair = topology.pair("sym", "none", seed=seed)
        return _ask(pair, pair.a)[topology.SERVER_IPV4][1][0].port

    assert port(1) == port(1) != port(2)


def test_unknown_places_are_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidArgument, match=re.escape("'apdf' is not a shared place: same, same-iso")):
        topology.pair("apdf")
    with pytest.raises(InvalidArgument, match=re.escape("'nat' is not a place: none, eif")):
        topology.pair("apdf", "nat")
