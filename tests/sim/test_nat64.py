"""IPv6-only agents in a network that translates to IPv4, against agents that have IPv4 only."""

from __future__ import annotations

import ipaddress

import pytest

from icepath.errors import Cause
from icepath.ice.config import Server
from icepath.ice.events import GatheringCompleted, ServerFailed, State
from icepath.ice.nat64 import WELL_KNOWN_NAME
from icepath.lab.encounter import PASSWORD, STUN_PORT, USERNAME, Encounter, Plan
from icepath.net import Address
from icepath.sim.link import Link, LinkConfig
from icepath.sim.network import Network
from icepath.sim.packet import Medium, Packet
from icepath.sim.topology import SERVER_IPV4
from icepath.wire.candidate_line import CandidateType
from icepath.wire.uri import parse_server_uri

PREFIX = ipaddress.IPv6Network("64:ff9b::/96")
OUTSIDE = "11.9.0.1"
SHOWN = "64:ff9b::c000:aa"
DELAY = 0.025


class Translator:
    """Is a stateful NAT64 (RFC 6146): a port outside for each endpoint inside, answers from where it has sent to."""

    def __init__(self, medium: Medium, inside: Network, outside: Network) -> None:
        self.name = "nat64"
        self._inside = Link(medium, self, inside)
        inside.add_route(str(PREFIX), self._inside)
        away = LinkConfig(delay=DELAY)
        self._outside = Link(medium, self, outside, up=away, down=away)
        outside.attach(self._outside, [OUTSIDE])
        self._ports: dict[Address, int] = {}
        self._sessions: set[tuple[Address, Address]] = set()

    def receive(self, packet: Packet, link: Link) -> None:
        """Takes a datagram from either side."""
        if link is self._inside:
            port = self._ports.setdefault(packet.source, 40_000 + len(self._ports))
            embedded = int(ipaddress.IPv6Address(packet.destination.host)) & 0xFFFF_FFFF
            packet.source, packet.destination = (
                Address(OUTSIDE, port),
                Address(str(ipaddress.IPv4Address(embedded)), packet.destination.port),
            )
            self._sessions.add((packet.source, packet.destination))
            self._outside.up.transmit(packet)
        elif (packet.destination, packet.source) in self._sessions:
            inside = {port: address for address, port in self._ports.items()}[packet.destination.port]
            embedded = int(ipaddress.IPv4Address(packet.source.host))
            made = str(ipaddress.IPv6Address(int(PREFIX.network_address) | embedded))
            packet.source, packet.destination = Address(made, packet.source.port), inside
            self._inside.up.transmit(packet)


def encounter(place_b: str, *servers: str, translates: bool = True, has_stun: bool = True) -> Encounter:
    """Returns an IPv6-only agent with these servers, that has not begun, and another one with IPv4 only."""
    made = Encounter(Plan("v6", place_b, has_turn=False, has_stun=has_stun))
    given = tuple(Server(parse_server_uri(url), USERNAME, PASSWORD) for url in servers)
    made.a.agent.set_servers(given, now=made.world.now)
    if translates:
        (interface,) = made.a.host.interfaces
        Translator(made.world.medium, interface.network, made.network.internet)
        made.world.names.add_host(WELL_KNOWN_NAME, "192.0.0.170", SHOWN)
    return made


@pytest.mark.rfc("7050", "3")
def test_a_public_ipv4_address_is_reached_through_the_translator() -> None:
    made = encounter("none", has_stun=False)
    made.run(seconds=3.0, settle=True)
    assert made.a.state is made.b.state is State.COMPLETED
    assert made.a.pair is not None
    assert made.b.pair is not None
    assert made.a.pair.remote_address.host == "64:ff9b::b02:1"
    assert made.a.pair.remote.host == "11.2.0.1"
    assert made.b.pair.remote_address.host == OUTSIDE


def test_without_a_translator_it_is_not() -> None:
    made = encounter("none", translates=False, has_stun=False)
    made.run(seconds=3.0, settle=True)
    assert made.a.state is not State.COMPLETED


@pytest.mark.rfc("8445", "5.1.1.2")
def test_what_an_ipv4_server_sees_meets_a_nat_that_filters() -> None:
    made = encounter("apdf", f"stun:{SERVER_IPV4}:{STUN_PORT}")
    made.run(seconds=3.0, settle=True)
    assert made.a.state is made.b.state is State.COMPLETED
    (found,) = [each for each in made.a.agent.snapshot().local[0].candidates if each.type is not CandidateType.HOST]
    assert (found.type, found.host) == (CandidateType.SERVER_REFLEXIVE, OUTSIDE)
    assert made.b.pair is not None
    assert (made.b.pair.remote, made.b.pair.remote_address) == (found, found.address)


@pytest.mark.rfc("8445", "5.1.1.2")
def test_a_relay_of_an_ipv4_server_meets_what_nothing_else_does() -> None:
    made = encounter("sym", f"turn:{SERVER_IPV4}:{STUN_PORT}")
    made.run(seconds=3.0, settle=True)
    assert made.a.state is made.b.state is State.COMPLETED
    assert CandidateType.RELAYED in {each.type for each in made.a.agent.snapshot().local[0].candidates}


def test_a_server_is_reported_at_once_where_nothing_translates() -> None:
    made = encounter("none", f"stun:{SERVER_IPV4}:{STUN_PORT}", translates=False)
    made.begin()
    made.world.run(seconds=0.1)
    assert made.a.runner is not None
    events = [event for _, event in made.a.runner.events]
    (failed,) = [event for event in events if isinstance(event, ServerFailed)]
    assert failed.reason is Cause.NO_COMMON_FAMILY
    assert GatheringCompleted() in events
