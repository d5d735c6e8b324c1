"""A node that sends and remembers packets, for tests of gateways without hosts."""

from __future__ import annotations

from icepath.net import Address, parse_address
from icepath.sim.link import Link
from icepath.sim.network import Network
from icepath.sim.packet import Medium, Packet, Segment, Unreachability, icmp_error


class Node:
    """Has one address on a network."""

    def __init__(self, medium: Medium, network: Network, host: str) -> None:
        self.name = f"node-{host}"
        self.host = host
        self.got: list[Packet] = []
        self._link = Link(medium, self, network)
        network.attach(self._link, [host])

    def receive(self, packet: Packet, link: Link) -> None:
        """Remembers the packet."""
        self.got.append(packet)

    def send(
        self,
        port: int,
        to: str | Address,
        *,
        size: int = 10,
        dont_fragment: bool = False,
        segment: Segment | None = None,
    ) -> None:
        """Sends a datagram, or a segment."""
        destination = parse_address(to) if isinstance(to, str) else to
        source = Address(self.host, port)
        self._link.up.transmit(Packet(source, destination, bytes(size), dont_fragment, segment=segment))

    def complain(self, packet: Packet) -> None:
        """Answers a datagram that arrived by "port unreachable"."""
        self._link.up.transmit(icmp_error(packet, Unreachability.PORT))

    def take(self) -> list[Packet]:
        """Returns and forgets what arrived."""
        got, self.got = self.got, []
        return got

    def take_source(self) -> Address:
        """Returns where the one packet that arrived came from."""
        (packet,) = self.take()
        return packet.source
