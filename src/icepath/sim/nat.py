"""Network address translators with every behaviour that RFC 4787 names, for UDP and the ICMP errors about it.

One `Nat` has one outside network, a pool of external addresses there, and any number of inside networks
(isolated from each other unless told otherwise). Nested NATs are a NAT whose outside network is another's
inside. Which port a mapping gets is decided in port_assignment.py. State expires when it is looked at: a
NAT schedules nothing. RFC 4787 (UDP), RFC 5508 (ICMP), RFC 7857 (updates).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from icepath.errors import InvalidArgument
from icepath.net import Address, Instant
from icepath.sim.firewall import Behaviour, RemoteKey, refuse, remote_key
from icepath.sim.link import IDEAL, Link, LinkConfig
from icepath.sim.network import Network
from icepath.sim.packet import IcmpError, Loss, Medium, Packet, Verdict
from icepath.sim.port_assignment import Hairpin, Mapping, MappingKey, NatConfig, Ports

_EXTERNAL_SOURCE: Final = Hairpin.EXTERNAL_SOURCE


class Nat:
    """Translates between inside networks and an outside one."""

    __slots__ = (
        "_config",
        "_external",
        "_filter",
        "_insides",
        "_ipv6",
        "_map_by",
        "_mappings",
        "_medium",
        "_outside",
        "_ports",
        "_timeout",
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
        self._map_by = config.mapping
        self._filter = config.filtering
        self._timeout = config.timeout
        self._external = frozenset(external)
        self._ipv6 = ":" in external[0]
        self._outside = Link(medium, self, outside, up=up, down=down)
        outside.attach(self._outside, external)
        self._insides: list[tuple[Network, Link]] = []
        self._mappings: dict[MappingKey, Mapping] = {}
        self._ports = Ports(config, external, medium, name)

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

    def active_mappings(self) -> list[tuple[Address, Address]]:
        """Returns (internal, external) of every mapping that has not expired, oldest first."""
        now = self._medium.clock.now
        return [(m.internal, m.external) for m in self._mappings.values() if m.expires > now]

    def forget(self) -> None:
        """Loses all state, as a reboot does."""
        self._mappings.clear()
        self._ports.clear()

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

    # -- datagrams -----------------------------------------------------------------------------------------

    def _outbound(self, packet: Packet, link: Link) -> None:
        destination = packet.destination
        if destination.host in self._external:
            self._hairpin(packet, link)
            return
        if len(self._insides) > 1 and self._between(packet, link):
            return
        policy = self._config.policy
        if not policy.allows_udp(destination):
            refuse(self._medium, self.name, packet, Loss.BLOCKED, link, answers=policy.rejects)
            return
        mapping = self._map(packet, link)
        if mapping is not None:
            packet.source = mapping.external
            self._medium.note(self.name, packet, Verdict.FORWARDED)
            self._outside.up.transmit(packet)

    def _inbound(self, packet: Packet) -> None:
        mapping = self._admit(packet, packet.source)
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
        target = self._admit(packet, own.external)
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

    def _map(self, packet: Packet, link: Link) -> Mapping | None:
        """Returns the mapping for an outbound packet, made when there is none; None when it cannot be."""
        now = self._medium.clock.now
        remote = packet.destination
        key = (link, packet.source, remote_key(self._map_by, remote))
        mapping = self._mappings.get(key)
        if mapping is not None and mapping.expires <= now:
            self._drop_mapping(mapping)
            mapping = None
        if mapping is None:
            mapping = self._open(key, link, now)
            if mapping is None:
                # RFC 5508 REQ-8: code 13 when no session can be made for want of resources.
                refuse(self._medium, self.name, packet, Loss.NO_PORT, link, answers=self._config.reports_exhaustion)
                return None
        mapping.expires = now + self._timeout
        if self._filter is not Behaviour.ENDPOINT_INDEPENDENT:
            mapping.sessions[remote_key(self._filter, remote)] = mapping.expires
        return mapping

    def _open(self, key: MappingKey, link: Link, now: Instant) -> Mapping | None:
        internal = key[1]
        if self._ports.is_exhausted_for(internal.host):
            self._sweep(now)
            if self._ports.is_exhausted_for(internal.host):
                return None
        external = self._ports.assign(internal, key[2], now)
        if external is None:
            return None
        for stolen in self._ports.holders_to_evict(external, now):
            self._drop_mapping(stolen)
        mapping = Mapping(key, internal, external, link, now + self._timeout)
        self._mappings[key] = mapping
        self._ports.add(mapping)
        return mapping

    def _admit(self, packet: Packet, remote: Address) -> Mapping | None:
        """Returns the mapping that lets the packet in; drops it and returns None when none does."""
        now = self._medium.clock.now
        loss = Loss.NO_MAPPING
        for mapping in self._ports.holders(packet.destination):
            if mapping.expires <= now:
                continue
            if self._permits(mapping, remote, now):
                if self._config.refreshes_inbound:
                    self._refresh_inbound(mapping, remote, now)
                return mapping
            loss = Loss.FILTERED
        self._medium.drop(self.name, packet, loss)
        return None

    def _permits(self, mapping: Mapping, remote: Address, now: Instant) -> bool:
        if self._filter is Behaviour.ENDPOINT_INDEPENDENT:
            return True
        return mapping.sessions.get(remote_key(self._filter, remote), now) > now

    def _refresh_inbound(self, mapping: Mapping, remote: Address, now: Instant) -> None:
        # RFC 7857 §7: only what passed the filter refreshes.
        mapping.expires = now + self._timeout
        if self._filter is not Behaviour.ENDPOINT_INDEPENDENT:
            mapping.sessions[remote_key(self._filter, remote)] = mapping.expires

    def _sweep(self, now: Instant) -> None:
        for mapping in [m for m in self._mappings.values() if m.expires <= now]:
            self._drop_mapping(mapping)

    def _drop_mapping(self, mapping: Mapping) -> None:
        del self._mappings[mapping.key]
        self._ports.remove(mapping)

    # -- ICMP errors (RFC 5508 §4): translated, never a refresh, never the end of a mapping ------------------

    def _error_inbound(self, packet: Packet, error: IcmpError) -> None:
        """Handles an error from outside about a datagram that left by one of our mappings (REQ-4)."""
        mapping = self._mapping_of(error.source, error.destination)
        if mapping is None or not self._config.translates_icmp:
            self._medium.drop(self.name, packet, Loss.NO_MAPPING)
            return
        packet.error = replace(error, source=mapping.internal)
        packet.destination = mapping.internal
        self._medium.note(self.name, packet, Verdict.FORWARDED)
        mapping.link.up.transmit(packet)

    def _error_outbound(self, packet: Packet, error: IcmpError, link: Link) -> None:
        """Handles an error from inside about a datagram that we let in (REQ-5)."""
        key: RemoteKey = remote_key(self._map_by, error.source)
        mapping = self._mappings.get((link, error.destination, key))
        if mapping is None or mapping.expires <= self._medium.clock.now or not self._config.translates_icmp:
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

    def _mapping_of(self, external: Address, remote: Address) -> Mapping | None:
        now = self._medium.clock.now
        key = remote_key(self._map_by, remote)
        for mapping in self._ports.holders(external):
            if mapping.expires > now and mapping.key[2] == key:
                return mapping
        return None
