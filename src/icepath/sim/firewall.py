"""What gateways refuse: the policy on what may leave, and the stateful firewall that admits only answers.

A `Firewall` routes without translating: the usual IPv6 home router. Its state is one deadline per UDP
session, made by an outbound packet, and the TCP connections of each inside endpoint (tcp_tracking.py).
Behaviours are named as in RFC 4787 §4.1 and §5; the NAT itself lives in nat.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from icepath.machine import Transport
from icepath.net import Address, Instant, Seconds
from icepath.sim.behaviour import Behaviour, RemoteKey, remote_key
from icepath.sim.link import IDEAL, Link, LinkConfig
from icepath.sim.network import Network
from icepath.sim.packet import Loss, Medium, Packet, Segment, Unreachability, Verdict, icmp_error, reset
from icepath.sim.tcp_tracking import Connections, TcpTimeouts

# RFC 4787 §4.3 REQ-5: never less than two minutes, five or more recommended.
DEFAULT_TIMEOUT: Final[Seconds] = 300.0


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

    def allows(self, packet: Packet) -> bool:
        """Says whether a datagram or segment may leave; of a connection, only what opens it is looked at."""
        if packet.segment is None:
            return self.allows_udp(packet.destination)
        return not packet.segment.opens or self.allows_tcp(packet.destination)


OPEN: Final = Policy()


def tcp_only(*ports: int) -> Policy:
    """Returns the policy of a network where only these TCP ports may be reached."""
    return Policy(udp_ports=frozenset(), tcp_ports=frozenset(ports))


class Unsolicited(Enum):
    """Says what becomes of a SYN from outside that nobody inside asked for (RFC 5382 §4.3)."""

    SILENCE = auto()
    """Dropped, as simultaneous open needs it."""
    RESET = auto()
    """Answered by an RST at once, which RFC 5382 REQ-4 forbids NATs; some do it."""


STANDARD_TIMEOUTS: Final = TcpTimeouts()


@dataclass(frozen=True, slots=True)
class FirewallConfig:
    """Says which inbound packets count as answers, and for how long."""

    filtering: Behaviour = Behaviour.ADDRESS_AND_PORT_DEPENDENT
    timeout: Seconds = DEFAULT_TIMEOUT
    refreshes_inbound: bool = True
    """Connection tracking extends a session in both directions; False: outbound packets only."""
    policy: Policy = OPEN
    tcp_timeouts: TcpTimeouts = STANDARD_TIMEOUTS
    unsolicited: Unsolicited = Unsolicited.SILENCE


class Firewall:
    """Routes between inside networks and an outside one, and admits only answers."""

    __slots__ = (
        "_config",
        "_connections",
        "_insides",
        "_ipv6",
        "_medium",
        "_outside",
        "_outside_network",
        "_sessions",
        "name",
    )

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
        # inside endpoint -> its TCP connections
        self._connections: dict[Address, Connections] = {}

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
        policy = self._config.policy
        if packet.error is None:
            if not policy.allows(packet):
                refuse(self._medium, self.name, packet, Loss.BLOCKED, link, answers=policy.rejects)
                return
            if not self._note_outbound(packet):
                self._medium.drop(self.name, packet, Loss.NO_MAPPING)
                return
        self._medium.note(self.name, packet, Verdict.FORWARDED)
        inside = self._inside(packet.destination.host)
        (self._outside if inside is None else inside).up.transmit(packet)

    def _note_outbound(self, packet: Packet) -> bool:
        """Opens or refreshes what the packet belongs to; says whether it may pass."""
        now = self._medium.clock.now
        segment = packet.segment
        if segment is None:
            self._sessions[self._session(packet.source, packet.destination)] = now + self._config.timeout
            return True
        connections = self._connections.get(packet.source)
        if connections is None or not connections.knows(packet.destination, now):
            if not segment.opens:
                return False
            connections = self._connections.setdefault(packet.source, Connections(self._config.tcp_timeouts))
        connections.track(packet.destination, segment, now, inbound=False)
        return True

    def _inbound(self, packet: Packet) -> None:
        inside = self._inside(packet.destination.host)
        if inside is None or not self._admits(packet):
            self._medium.drop(self.name, packet, Loss.FILTERED)
            if inside is not None:
                answer_unsolicited(self._config.unsolicited, packet, self._outside)
            return
        self._medium.note(self.name, packet, Verdict.FORWARDED)
        inside.up.transmit(packet)

    def _admits(self, packet: Packet) -> bool:
        """Says whether the packet belongs to what was let out, and refreshes that."""
        now = self._medium.clock.now
        error = packet.error
        if error is not None:
            # RFC 5508 REQ-4: an ICMP error passes when the packet it is about belongs to a session.
            if error.transport is Transport.TCP:
                connections = self._connections.get(error.source)
                return connections is not None and connections.knows(error.destination, now)
            return self._has_session(self._session(error.source, error.destination), now)
        if packet.segment is not None:
            return self._admits_segment(packet, packet.segment, now)
        key = self._session(packet.destination, packet.source)
        if not self._has_session(key, now):
            return False
        if self._config.refreshes_inbound:
            self._sessions[key] = now + self._config.timeout
        return True

    def _has_session(self, key: tuple[Address, RemoteKey], now: Instant) -> bool:
        if self._sessions.get(key, now) > now:
            return True
        self._sessions.pop(key, None)
        return False

    def _admits_segment(self, packet: Packet, segment: Segment, now: Instant) -> bool:
        connections = self._connections.get(packet.destination)
        if connections is None or not connections.admits(self._config.filtering, packet.source, segment, now):
            return False
        connections.track(packet.source, segment, now, inbound=True)
        return True

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


def answer_unsolicited(how: Unsolicited, packet: Packet, link: Link) -> None:
    """Answers a segment that was not let in over the link it came by, if it is a SYN and the gateway does so."""
    segment = packet.segment
    if how is Unsolicited.RESET and segment is not None and segment.opens:
        link.up.transmit(reset(packet, segment))
