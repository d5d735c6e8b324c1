"""How a NAT maps and filters TCP (RFC 5382): mappings as for UDP, each with the connections over it.

A mapping lives as long as the last of its connections (REQ-5). The first segment of a connection must be
a SYN, from inside or, as far as the filter lets it, from outside (REQ-3); everything later belongs to a
connection or is dropped. Simultaneous open (REQ-2a) falls out of that: a SYN from where ours went is known.
"""

from __future__ import annotations

from icepath.net import Address, Instant
from icepath.sim.link import Link
from icepath.sim.mappings import MappingTable
from icepath.sim.packet import Loss, Packet, Segment
from icepath.sim.port_assignment import Mapping, NatConfig
from icepath.sim.tcp_tracking import Connections


class TcpMappings:
    """Maps and filters segments."""

    __slots__ = ("_filter", "_timeouts", "table")

    def __init__(self, config: NatConfig, table: MappingTable) -> None:
        self.table = table
        self._filter = config.filtering
        self._timeouts = config.tcp_timeouts

    def map(self, packet: Packet, link: Link, now: Instant) -> Mapping | Loss:
        """Returns the mapping for an outbound segment; only a SYN makes one, or a connection."""
        segment, remote = _segment(packet), packet.destination
        key = self.table.key(link, packet.source, remote)
        mapping = self.table.find(key, now)
        if not segment.opens and (mapping is None or not self._of(mapping).knows(remote, now)):
            return Loss.NO_MAPPING
        if mapping is None:
            mapping = self.table.open(key, link, now, now)
            if mapping is None:
                return Loss.NO_PORT
        self._track(mapping, remote, segment, now, inbound=False)
        return mapping

    def admit(self, packet: Packet, remote: Address, now: Instant) -> Mapping | Loss:
        """Returns the mapping that lets a segment of the remote end in, or why none does."""
        segment = _segment(packet)
        loss = Loss.NO_MAPPING
        for mapping in self.table.holders(packet.destination):
            if mapping.expires <= now:
                continue
            if self._of(mapping).admits(self._filter, remote, segment, now):
                self._track(mapping, remote, segment, now, inbound=True)
                return mapping
            loss = Loss.FILTERED
        return loss

    def _track(self, mapping: Mapping, remote: Address, segment: Segment, now: Instant, *, inbound: bool) -> None:
        connections = self._of(mapping)
        connections.track(remote, segment, now, inbound=inbound)
        mapping.expires = connections.expires

    def _of(self, mapping: Mapping) -> Connections:
        if mapping.connections is None:
            mapping.connections = Connections(self._timeouts)
        return mapping.connections


def _segment(packet: Packet) -> Segment:
    segment = packet.segment
    assert segment is not None, "a NAT brings segments only here"
    return segment
