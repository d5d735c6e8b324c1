"""A host's interfaces and addresses: where packets leave by, and where they come back to the host itself.

Sockets are host.py's and tcp_stack.py's; this is what lies below them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from icepath.errors import InvalidArgument, InvalidState
from icepath.sim.link import Link, LinkConfig, Node
from icepath.sim.network import Network, is_multicast
from icepath.sim.packet import IPV4_OVERHEAD, IPV6_OVERHEAD, TCP_EXTRA, Medium, Packet

# Ethernet's, for links that say nothing of theirs (RFC 894).
DEFAULT_MTU: Final = 1500


@dataclass(frozen=True, slots=True)
class Interface:
    """Is one network interface of a host."""

    name: str
    hosts: tuple[str, ...]
    cost: int
    network: Network
    link: Link


class Interfaces:
    """Keeps the interfaces of one host, and sends its packets."""

    __slots__ = ("_by_host", "_by_name", "_medium", "_node", "_receive")

    def __init__(self, medium: Medium, node: Node, receive: Callable[[Packet, Link], None]) -> None:
        self._medium = medium
        self._node = node
        self._receive = receive
        self._by_name: dict[str, Interface] = {}
        self._by_host: dict[str, Interface] = {}

    def __iter__(self) -> Iterator[Interface]:
        return iter(self._by_name.values())

    @property
    def hosts(self) -> tuple[str, ...]:
        """Returns all addresses, oldest first."""
        return tuple(self._by_host)

    def add(
        self, name: str, network: Network, hosts: Sequence[str], cost: int, up: LinkConfig, down: LinkConfig
    ) -> Interface:
        """Joins a network with addresses there.

        Raises: InvalidState when the name or an address is taken.
        """
        if name in self._by_name:
            raise InvalidState(f"{self._node.name} has an interface {name} already")
        link = Link(self._medium, self._node, network, up=up, down=down, inline=False)
        network.attach(link, hosts)
        interface = Interface(name, tuple(hosts), cost, network, link)
        self._by_name[name] = interface
        for host in hosts:
            self._by_host[host] = interface
        return interface

    def remove(self, name: str) -> Interface:
        """Leaves a network.

        Raises: InvalidArgument when there is no such interface.
        """
        interface = self.named(name)
        interface.network.detach(interface.hosts)
        del self._by_name[name]
        for host in interface.hosts:
            del self._by_host[host]
        return interface

    def named(self, name: str) -> Interface:
        """Returns the interface of that name.

        Raises: InvalidArgument when there is no such interface.
        """
        interface = self._by_name.get(name)
        if interface is None:
            raise InvalidArgument(f"{self._node.name} has no interface or address {name!r}")
        return interface

    def of(self, host: str) -> Interface | None:
        """Returns the interface that has the address."""
        return self._by_host.get(host)

    def source_for(self, host: str) -> str | None:
        """Returns the address to send to the host from: itself, one of its network, or the first of its family."""
        if host in self._by_host:
            return host
        family = [own for own in self._by_host if (":" in own) == (":" in host)]
        near = [own for own in family if self._by_host[own].network.owns(host)]
        return next(iter(near or family), None)

    def max_segment(self, host: str) -> int:
        """Returns how much a TCP segment from the address may carry on its link (RFC 9293 §3.7.1)."""
        link = self._by_host[host].link
        mtu = min(config.mtu or DEFAULT_MTU for config in (link.up.config, link.down.config))
        return mtu - TCP_EXTRA - (IPV6_OVERHEAD if ":" in host else IPV4_OVERHEAD)

    def transmit(self, packet: Packet) -> None:
        """Sends a packet by the interface that has its source address."""
        interface = self._by_host[packet.source.host]
        if packet.destination.host in self._by_host:
            self._loop_back(packet, interface.link)
            return
        if packet.error is None and is_multicast(packet.destination.host):
            self._loop_back(packet.copy(), interface.link)
        interface.link.up.transmit(packet)

    def _loop_back(self, packet: Packet, link: Link) -> None:
        clock = self._medium.clock
        clock.schedule(clock.now, self._arrive, (packet, link))

    def _arrive(self, arrival: tuple[Packet, Link]) -> None:
        self._receive(*arrival)
