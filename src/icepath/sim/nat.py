"""Network address translators with every behaviour that RFC 4787 names, for UDP, TCP and ICMP errors about them.

One `Nat` has one outside network, a pool of external addresses there, and any number of inside networks
(isolated from each other unless told otherwise). Nested NATs are a NAT whose outside network is another's
inside. Here packets are sent on; which mapping they have is decided in mappings.py (UDP) and tcp_nat.py
(TCP). A NAT schedules nothing. RFC 4787 (UDP), RFC 5382 (TCP), RFC 5508 (ICMP), RFC 7857 (updates).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from icepath.errors import InvalidArgument
from icepath.machine import Transport
from icepath.net import Address
from icepath.sim.firewall import answer_unsolicited, refuse
from icepath.sim.link import IDEAL, Link, LinkConfig
from icepath.sim.mappings import Mappings, MappingTable, UdpMappings
from icepath.sim.network import Network
from icepath.sim.packet import IcmpError, Loss, Medium, Packet, Verdict
from icepath.sim.port_assignment import Hairpin, Mapping, NatConfig
from icepath.sim.tcp_nat import TcpMappings

_EXTERNAL_SOURCE: Final = Hairpin.EXTERNAL_SOURCE


class Nat:
    """Translates between inside networks and an outside one."""

    __slots__ = (
        "_config",
        "_external",
        "_insides",
        "_ipv6",
        "_medium",
        "_outside",
        "_tcp",
        "_udp",
        "name",
    )

    def __init__(
        self,
        medium: Medium,
        name: str,
        config: NatConfig,
        outside: Network,
        external: Sequence[str],
        *,
        up: LinkConfig = IDEAL,
        down: LinkConfig = IDEAL,
    ) -> None:
        """Attaches to the outside network with the pool of external addresses.

        Raises: InvalidArgument when the pool is empty or of both families.
        """
        if len({":" in host for host in external}) != 1:
            raise InvalidArgument(f"a NAT's pool is one or more addresses of one family, not {list(external)}")
        self.name = name
        self._medium = medium
        self._config = config
        self._external = frozenset(external)
        self._ipv6 = ":" in external[0]
        self._outside = Link(medium, self, outside, up=up, down=down)
        outside.attach(self._outside, external)
        self._insides: list[tuple[Network, Link]] = []
        self._udp: Mappings = UdpMappings(config, MappingTable(config, external, medium, name))
        self._tcp: Mappings = TcpMappings(config, MappingTable(config, external, medium, f"{name} tcp"))

    @property
    def outside(self) -> Link:
        """Returns the link to the outside network."""
        return self._outside

    def add_inside(self, network: Network) -> Link:
        """Becomes the network's gateway."""
        link = Link(self._medium, self, network)
        network.set_gateway(link, ipv6=self._ipv6)
        self._insides.append((network, link))
        return link

    def active_mappings(self, transport: Transport = Transport.UDP) -> list[tuple[Address, Address]]:
        """Returns (internal, external) of every mapping that has not expired, oldest first."""
        return self._mappings(transport).table.active(self._medium.clock.now)

    def forget(self) -> None:
        """Loses all state, as a reboot does."""
        self._udp.table.clear()
        self._tcp.table.clear()

    def receive(self, packet: Packet, link: Link) -> None:
        """Takes a packet from either side."""
        if link is self._outside:
            if packet.error is None:
                self._inbound(packet)
            else:
                self._error_inbound(packet, packet.error)
        elif packet.error is None:
            self._outbound(packet, link)
        else:
            self._error_outbound(packet, packet.error, link)

    # -- datagrams and segments ----------------------------------------------------------------------------

    def _outbound(self, packet: Packet, link: Link) -> None:
        destination = packet.destination
        if destination.host in self._external:
            self._hairpin(packet, link)
            return
        if len(self._insides) > 1 and self._between(packet, link):
            return
        policy = self._config.policy
        if not policy.allows(packet):
            refuse(self._medium, self.name, packet, Loss.BLOCKED, link, answers=policy.rejects)
            return
        mapping = self._map(packet, link)
        if mapping is not None:
            packet.source = mapping.external
            self._medium.note(self.name, packet, Verdict.FORWARDED)
            self._outside.up.transmit(packet)

    def _inbound(self, packet: Packet) -> None:
        mapping = self._admit(packet, packet.source, self._outside)
        if mapping is not None:
            packet.destination = mapping.internal
            self._medium.note(self.name, packet, Verdict.FORWARDED)
            mapping.link.up.transmit(packet)

    def _hairpin(self, packet: Packet, link: Link) -> None:
        """Sends a packet for our own outside back in (RFC 4787 §6)."""
        hairpin = self._config.hairpin
        if hairpin is Hairpin.NONE:
            self._medium.drop(self.name, packet, Loss.NO_HAIRPIN)
            return
        own = self._map(packet, link)
        if own is None:
            return
        target = self._admit(packet, own.external, link)
        if target is None:
            return
        if hairpin is _EXTERNAL_SOURCE:
            packet.source = own.external
        packet.destination = target.internal
        self._medium.note(self.name, packet, Verdict.FORWARDED)
        target.link.up.transmit(packet)

    def _between(self, packet: Packet, link: Link) -> bool:
        """Handles a packet for another inside network; says whether it was one."""
        for network, other in self._insides:
            if other is not link and network.owns(packet.destination.host):
                if self._config.joins_insides:
                    self._medium.note(self.name, packet, Verdict.FORWARDED)
                    other.up.transmit(packet)
                else:
                    self._medium.drop(self.name, packet, Loss.ISOLATED)
                return True
        return False

    # -- mappings ------------------------------------------------------------------------------------------

    def _mappings(self, transport: Transport) -> Mappings:
        return self._udp if transport is Transport.UDP else self._tcp

    def _map(self, packet: Packet, link: Link) -> Mapping | None:
        """Returns the mapping for an outbound packet, made when there is none; drops it when it cannot be."""
        mappings = self._udp if packet.segment is None else self._tcp
        mapping = mappings.map(packet, link, self._medium.clock.now)
        if isinstance(mapping, Mapping):
            return mapping
        # RFC 5508 REQ-8: code 13 when no session can be made for want of resources.
        answers = mapping is Loss.NO_PORT and self._config.reports_exhaustion
        refuse(self._medium, self.name, packet, mapping, link, answers=answers)
        return None

    def _admit(self, packet: Packet, remote: Address, link: Link) -> Mapping | None:
        """Returns the mapping that lets the packet in; drops it and returns None when none does."""
        mappings = self._udp if packet.segment is None else self._tcp
        mapping = mappings.admit(packet, remote, self._medium.clock.now)
        if isinstance(mapping, Mapping):
            return mapping
        self._medium.drop(self.name, packet, mapping)
        answer_unsolicited(self._config.unsolicited, packet, link)
        return None

    # -- ICMP errors (RFC 5508 §4): translated, never a refresh, never the end of a mapping ------------------

    def _error_inbound(self, packet: Packet, error: IcmpError) -> None:
        """Handles an error from outside about a datagram that left by one of our mappings (REQ-4)."""
        mapping = self._mappings(error.transport).table.of(error.source, error.destination, self._medium.clock.now)
        if mapping is None or not self._config.translates_icmp:
            self._medium.drop(self.name, packet, Loss.NO_MAPPING)
            return
        packet.error = replace(error, source=mapping.internal)
        packet.destination = mapping.internal
        self._medium.note(self.name, packet, Verdict.FORWARDED)
        mapping.link.up.transmit(packet)

    def _error_outbound(self, packet: Packet, error: IcmpError, link: Link) -> None:
        """Handles an error from inside about a datagram that we let in (REQ-5)."""
        table = self._mappings(error.transport).table
        mapping = table.find(table.key(link, error.destination, error.source), self._medium.clock.now)
        if mapping is None or not self._config.translates_icmp:
            self._medium.drop(self.name, packet, Loss.NO_MAPPING)
            return
        packet.error = outer = replace(error, destination=mapping.external)
        packet.source = Address(mapping.external.host, 0)
        if packet.destination.host in self._external:
            # REQ-7: the error about a hairpinned datagram comes back in.
            self._error_inbound(packet, outer)
            return
        self._medium.note(self.name, packet, Verdict.FORWARDED)
        self._outside.up.transmit(packet)
