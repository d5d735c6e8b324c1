"""Networks: where attached addresses reach each other, and what is asked of gateways.

The public internet is a network without gateways: an address nobody has vanishes there, private ones
among them. A LAN is a network with prefixes of its own and a gateway per family. Multicast reaches
every link of the network and no other network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

from icepath.errors import InvalidState
from icepath.sim.link import Link
from icepath.sim.packet import Loss, Medium, Packet

Prefix: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Network:
    """Forwards packets among the links attached to it."""

    __slots__ = ("_gateways", "_links", "_medium", "_prefixes", "_routed", "_routes", "name")

    def __init__(self, medium: Medium, name: str, *, prefixes: Iterable[str] = ()) -> None:
        self.name = name
        self._medium = medium
        self._prefixes = tuple(ipaddress.ip_network(prefix) for prefix in prefixes)
        self._links: dict[str, Link] = {}
        self._routes: list[tuple[Prefix, Link]] = []
        # is_ipv6 -> where everything else goes
        self._gateways: dict[bool, Link] = {}
        # what `_find` answered for a host that is not attached here
        self._routed: dict[str, Link | None] = {}

    def attach(self, link: Link, hosts: Iterable[str]) -> None:
        """Makes the addresses reachable over the link.

        Raises: InvalidState when one is taken.
        """
        for host in hosts:
            if host in self._links:
                raise InvalidState(f"{host} is taken on {self.name}")
            self._links[host] = link
        self._routed.clear()

    def detach(self, hosts: Iterable[str]) -> None:
        """Forgets the addresses."""
        for host in hosts:
            self._links.pop(host, None)
        self._routed.clear()

    def add_route(self, prefix: str, link: Link) -> None:
        """Sends what is for the prefix over the link; the longest prefix wins."""
        self._routes.append((ipaddress.ip_network(prefix), link))
        self._routes.sort(key=lambda route: -route[0].prefixlen)
        self._routed.clear()

    def set_gateway(self, link: Link, *, ipv6: bool) -> None:
        """Sends what this network does not have, of that family, over the link."""
        self._gateways[ipv6] = link
        self._routed.clear()

    def owns(self, host: str) -> bool:
        """Says whether the address is attached here, or in a prefix of this network."""
        return host in self._links or _in_any(host, self._prefixes)

    def forward(self, packet: Packet, origin: Link | None) -> None:
        """Sends a packet on to where its destination is attached; never back where it came from."""
        host = packet.destination.host
        link = self._links.get(host)
        if link is None:
            if is_multicast(host):
                self._flood(packet, origin)
                return
            link = self._find(host)
        if link is None or link is origin:
            self._medium.drop(self.name, packet, Loss.NO_ROUTE)
        else:
            link.down.transmit(packet)

    def _find(self, host: str) -> Link | None:
        if host in self._routed:
            return self._routed[host]
        link = self._look_up(host)
        self._routed[host] = link
        return link

    def _look_up(self, host: str) -> Link | None:
        parsed = ipaddress.ip_address(host)
        for prefix, link in self._routes:
            if parsed in prefix:
                return link
        if _in_any(host, self._prefixes):
            return None
        return self._gateways.get(":" in host)

    def _flood(self, packet: Packet, origin: Link | None) -> None:
        for link in dict.fromkeys(self._links.values()):
            if link is not origin:
                link.down.transmit(packet.copy())


def is_multicast(host: str) -> bool:
    """Says whether the canonical host is a multicast address."""
    if ":" in host:
        return host.startswith("ff")
    return 224 <= int(host.partition(".")[0]) <= 239


def _in_any(host: str, prefixes: tuple[Prefix, ...]) -> bool:
    parsed = ipaddress.ip_address(host)
    return any(parsed in prefix for prefix in prefixes)
