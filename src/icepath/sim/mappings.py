"""A NAT's mappings for one transport: made, found, forgotten; what UDP ones let in.

How long a mapping lives and who may send to it differs: `UdpMappings` here by RFC 4787, `TcpMappings` in
tcp_nat.py by RFC 5382. Both keep them in a `MappingTable`. Which port one gets is port_assignment.py's.
State expires when it is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from icepath.net import Address, Instant
from icepath.sim.behaviour import Behaviour, remote_key
from icepath.sim.link import Link
from icepath.sim.packet import Loss, Medium, Packet
from icepath.sim.port_assignment import Mapping, MappingKey, NatConfig, Ports


class Mappings(Protocol):
    """Is what a NAT needs for one transport."""

    @property
    def table(self) -> MappingTable:
        """Returns where they are kept."""
        ...

    def map(self, packet: Packet, link: Link, now: Instant) -> Mapping | Loss:
        """Returns the mapping for an outbound packet, made when there is none; or why there is none."""
        ...

    def admit(self, packet: Packet, remote: Address, now: Instant) -> Mapping | Loss:
        """Returns the mapping that lets a packet of the remote end in, or why none does."""
        ...


class MappingTable:
    """Keeps the mappings of one transport."""

    __slots__ = ("_map_by", "_mappings", "_ports")

    def __init__(self, config: NatConfig, external: Sequence[str], medium: Medium, name: str) -> None:
        self._map_by = config.mapping
        self._mappings: dict[MappingKey, Mapping] = {}
        self._ports = Ports(config, external, medium, name)

    def key(self, link: Link, internal: Address, remote: Address) -> MappingKey:
        """Returns what a mapping is found by."""
        return link, internal, remote_key(self._map_by, remote)

    def find(self, key: MappingKey, now: Instant) -> Mapping | None:
        """Returns the mapping if there is one that has not expired."""
        mapping = self._mappings.get(key)
        if mapping is not None and mapping.expires <= now:
            self._drop(mapping)
            return None
        return mapping

    def open(self, key: MappingKey, link: Link, now: Instant, expires: Instant) -> Mapping | None:
        """Makes a mapping; None when there is no port for it."""
        internal = key[1]
        if self._ports.is_exhausted_for(internal.host):
            self._sweep(now)
            if self._ports.is_exhausted_for(internal.host):
                return None
        external = self._ports.assign(internal, key[2], now)
        if external is None:
            return None
        for stolen in self._ports.holders_to_evict(external, now):
            self._drop(stolen)
        mapping = Mapping(key, internal, external, link, expires)
        self._mappings[key] = mapping
        self._ports.add(mapping)
        return mapping

    def holders(self, external: Address) -> Sequence[Mapping]:
        """Returns the mappings on an external endpoint, expired ones too."""
        return self._ports.holders(external)

    def of(self, external: Address, remote: Address, now: Instant) -> Mapping | None:
        """Returns the mapping by which a packet from the external endpoint to the remote end left."""
        key = remote_key(self._map_by, remote)
        for mapping in self._ports.holders(external):
            if mapping.expires > now and mapping.key[2] == key:
                return mapping
        return None

    def active(self, now: Instant) -> list[tuple[Address, Address]]:
        """Returns (internal, external) of every mapping that has not expired, oldest first."""
        return [(m.internal, m.external) for m in self._mappings.values() if m.expires > now]

    def clear(self) -> None:
        """Forgets everything."""
        self._mappings.clear()
        self._ports.clear()

    def _sweep(self, now: Instant) -> None:
        for mapping in [m for m in self._mappings.values() if m.expires <= now]:
            self._drop(mapping)

    def _drop(self, mapping: Mapping) -> None:
        del self._mappings[mapping.key]
        self._ports.remove(mapping)


class UdpMappings:
    """Maps and filters datagrams (RFC 4787)."""

    __slots__ = ("_filter", "_refreshes_inbound", "_timeout", "table")

    def __init__(self, config: NatConfig, table: MappingTable) -> None:
        self.table = table
        self._filter = config.filtering
        self._timeout = config.timeout
        self._refreshes_inbound = config.refreshes_inbound

    def map(self, packet: Packet, link: Link, now: Instant) -> Mapping | Loss:
        """Returns the mapping for an outbound datagram, made or refreshed."""
        remote = packet.destination
        key = self.table.key(link, packet.source, remote)
        mapping = self.table.find(key, now) or self.table.open(key, link, now, now)
        if mapping is None:
            return Loss.NO_PORT
        self._refresh(mapping, remote, now)
        return mapping

    def admit(self, packet: Packet, remote: Address, now: Instant) -> Mapping | Loss:
        """Returns the mapping that lets a datagram of the remote end in, or why none does."""
        loss = Loss.NO_MAPPING
        for mapping in self.table.holders(packet.destination):
            if mapping.expires <= now:
                continue
            if self._permits(mapping, remote, now):
                if self._refreshes_inbound:
                    # RFC 7857 §7: only what passed the filter refreshes.
                    self._refresh(mapping, remote, now)
                return mapping
            loss = Loss.FILTERED
        return loss

    def _permits(self, mapping: Mapping, remote: Address, now: Instant) -> bool:
        if self._filter is Behaviour.ENDPOINT_INDEPENDENT:
            return True
        return mapping.sessions.get(remote_key(self._filter, remote), now) > now

    def _refresh(self, mapping: Mapping, remote: Address, now: Instant) -> None:
        mapping.expires = now + self._timeout
        if self._filter is not Behaviour.ENDPOINT_INDEPENDENT:
            mapping.sessions[remote_key(self._filter, remote)] = mapping.expires
