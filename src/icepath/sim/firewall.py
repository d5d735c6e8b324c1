"""What gateways refuse: the policy on what may leave, and the stateful firewall that admits only answers.

A `Firewall` routes without translating: the usual IPv6 home router. Its state is one deadline per
session, made by an outbound packet. Behaviours are named as in RFC 4787 §4.1 and §5; the NAT itself
lives in nat.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias

from icepath.net import Address, Instant, Seconds
from icepath.sim.link import IDEAL, Link, LinkConfig
from icepath.sim.network import Network
from icepath.sim.packet import Loss, Medium, Packet, Unreachability, Verdict, icmp_error

# RFC 4787 §4.3 REQ-5: never less than two minutes, five or more recommended.
DEFAULT_TIMEOUT: Final[Seconds] = 300.0


class Behaviour(Enum):
    """Says on how much of the remote end a mapping or a filter depends (RFC 4787 §4.1, §5)."""

    ENDPOINT_INDEPENDENT = auto()
    ADDRESS_DEPENDENT = auto()
    ADDRESS_AND_PORT_DEPENDENT = auto()


RemoteKey: TypeAlias = Address | str | None


def remote_key(behaviour: Behaviour, remote: Address) -> RemoteKey:
    """Returns the part of the remote end that the behaviour depends on."""
    if behaviour is Behaviour.ADDRESS_AND_PORT_DEPENDENT:
        return remote
    return remote.host if behaviour is Behaviour.ADDRESS_DEPENDENT else None


@dataclass(frozen=True, slots=True)
class Policy:
    """Says to which ports packets may leave; None means all."""

    udp_ports: frozenset[int] | None = None
    tcp_ports: frozenset[int] | None = None
    rejects: bool = False
    """Answers what is refused by ICMP "administratively prohibited" instead of silence."""

    def allows_udp(self, destination: Address) -> bool:
        """Says whether a datagram may leave to there."""
        return self.udp_ports is None or destination.port in self.udp_ports

    def allows_tcp(self, destination: Address) -> bool:
        """Says whether a connection may be opened to there."""
        return self.tcp_ports is None or destination.port in self.tcp_ports


OPEN: Final = Policy()


def tcp_only(*ports: int) -> Policy:
    """Returns the policy of a network where only these TCP ports may be reached."""
    return Policy(udp_ports=frozenset(), tcp_ports=frozenset(ports))


@dataclass(frozen=True, slots=True)
class FirewallConfig:
    """Says which inbound packets count as answers, and for how long."""

    filtering: Behaviour = Behaviour.ADDRESS_AND_PORT_DEPENDENT
    timeout: Seconds = DEFAULT_TIMEOUT
    refreshes_inbound: bool = True
    """Connection tracking extends a session in both directions; False: outbound packets only."""
    policy: Policy = OPEN


class Firewall:
    """Routes between inside networks and an outside one, and admits only answers."""

    __slots__ = ("_config", "_insides", "_ipv6", "_medium", "_outside", "_outside_network", "_sessions", "name")

    def __init__(
        self,
        medium: Medium,
        name: str,
        config: FirewallConfig,
        outside: Network,
        *,
        up: LinkConfig = IDEAL,
        down: LinkConfig = IDEAL,
        ipv6: bool = True,
    ) -> None:
        self.name = name
        self._medium = medium
        self._config = config
        self._ipv6 = ipv6
        self._outside_network = outside
        self._outside = Link(medium, self, outside, up=up, down=down)
        self._insides: list[tuple[Network, Link]] = []
        self._sessions: dict[tuple[Address, RemoteKey], Instant] = {}

    @property
    def outside(self) -> Link:
        """Returns the link to the outside network."""
        return self._outside

    def add_inside(self, network: Network, prefixes: Iterable[str]) -> Link:
        """Becomes the network's gateway, and routes the prefixes to it from outside."""
        link = Link(self._medium, self, network)
        network.set_gateway(link, ipv6=self._ipv6)
        for prefix in prefixes:
            self._outside_network.add_route(prefix, self._outside)
        self._insides.append((network, link))
        return link

    def receive(self, packet: Packet, link: Link) -> None:
        """Takes a packet from either side."""
        if link is self._outside:
            self._inbound(packet)
        else:
            self._outbound(packet, link)

    def _outbound(self, packet: Packet, link: Link) -> None:
        config = self._config
        if packet.error is None:
            if not config.policy.allows_udp(packet.destination):
                refuse(self._medium, self.name, packet, Loss.BLOCKED, link, answers=config.policy.rejects)
                return
            self._sessions[self._session(packet.source, packet.destination)] = self._medium.clock.now + config.timeout
        self._medium.note(self.name, packet, Verdict.FORWARDED)
        inside = self._inside(packet.destination.host)
        (self._outside if inside is None else inside).up.transmit(packet)

    def _inbound(self, packet: Packet) -> None:
        error = packet.error
        # RFC 5508 REQ-4: an ICMP error passes when the datagram it is about belongs to a session.
        key = (
            self._session(packet.destination, packet.source)
            if error is None
            else self._session(error.source, error.destination)
        )
        now = self._medium.clock.now
        inside = self._inside(packet.destination.host)
        if inside is None or self._sessions.get(key, now) <= now:
            self._sessions.pop(key, None)
            self._medium.drop(self.name, packet, Loss.FILTERED)
            return
        if error is None and self._config.refreshes_inbound:
            self._sessions[key] = now + self._config.timeout
        self._medium.note(self.name, packet, Verdict.FORWARDED)
        inside.up.transmit(packet)

    def _session(self, inside: Address, remote: Address) -> tuple[Address, RemoteKey]:
        return inside, remote_key(self._config.filtering, remote)

    def _inside(self, host: str) -> Link | None:
        for network, link in self._insides:
            if network.owns(host):
                return link
        return None


def refuse(medium: Medium, name: str, packet: Packet, loss: Loss, link: Link, *, answers: bool) -> None:
    """Drops a packet that came over the link and, with `answers`, says so by an ICMP error over it."""
    medium.drop(name, packet, loss)
    if answers:
        link.up.transmit(icmp_error(packet, Unreachability.PROHIBITED))
