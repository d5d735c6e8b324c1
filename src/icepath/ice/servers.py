"""The STUN and TURN servers an agent was given, and where each was found.

URLs that differ only in how the same TURN server is reached (`turn:`, `turn:...?transport=tcp`, `turns:`) are one
server with several routes: they share one allocation, which goes to the first route that shows life, so that
nothing is allocated twice and a firewall that drops UDP costs no time-out. Whom to ask from where, and when, is
`gathering.py`'s. RFC 8445 §5.1.1.2; RFC 5928 §3 for a URL that has no name to be looked up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, final

from icepath.errors import InvalidArgument
from icepath.ice.config import Server
from icepath.ice.nat64 import Prefix, translated
from icepath.machine import Handle, ResolvedAddress, Security, Transport
from icepath.net import Address, canonical_host, is_usable_destination, same_family
from icepath.turn.client.config import MAX_ROUTES
from icepath.turn.client.routes import Route
from icepath.wire.uri import ServerUri

# The order in which routes are preferred: what carries datagrams as they are, then what costs fewer round trips.
_PREFERENCE: Final = {
    (Transport.UDP, Security.NONE): 0,
    (Transport.TCP, Security.NONE): 1,
    (Transport.TCP, Security.TLS): 2,
    (Transport.UDP, Security.DTLS): 3,
}


@final
class ServerUrl:
    """Is one URL of a server, and what it was resolved to."""

    __slots__ = ("found", "handle", "has_failed", "text", "uri")

    def __init__(self, uri: ServerUri) -> None:
        self.uri: Final = uri
        self.text: Final = str(uri)
        self.handle: Handle | None = None
        """The name's, while it is looked up."""
        self.found: tuple[ResolvedAddress, ...] = ()
        self.has_failed = False

    def take(
        self, answers: tuple[ResolvedAddress, ...], *, streams_only: bool = False, nat64: tuple[Prefix, ...] = ()
    ) -> None:
        """Takes where it is: of what was found, TCP and TLS only where nothing may be sent by UDP."""
        self.found = tuple(found for found in answers if found.transport is Transport.TCP or not streams_only)
        self.translate(nat64)

    def translate(self, nat64: tuple[Prefix, ...]) -> bool:
        """Adds the addresses that translators give to those of IPv4, last; says whether there is any (RFC 7050)."""
        made = [replace(found, address=each) for found in self.found for each in translated(nat64, found.address)]
        self.found = tuple(dict.fromkeys((*self.found, *made)))
        return bool(made)

    def literal(self) -> ResolvedAddress | None:
        """Returns where the server is when the URL says so, without a name (RFC 5928 §3 step 1)."""
        try:
            host = canonical_host(self.uri.host)
        except InvalidArgument:
            return None
        uri = self.uri
        transport = uri.transport or (Transport.TCP if uri.secure else Transport.UDP)
        security = Security.NONE
        if uri.secure:
            security = Security.TLS if transport is Transport.TCP else Security.DTLS
        address = Address(host, uri.port if uri.port is not None else uri.default_port)
        return ResolvedAddress(transport, security, address)


@final
class ServerGroup:
    """Is one server: a STUN server's URL, or all URLs of one TURN server."""

    __slots__ = ("has_failed", "key", "server", "urls", "was_asked")

    def __init__(self, servers: tuple[Server, ...]) -> None:
        self.server = servers[0]
        """Whose credentials hold for all URLs."""
        self.urls: Final = tuple(ServerUrl(server.uri) for server in servers)
        self.key: Final = self.urls[0].text
        """Names the server in reports that are about no single URL."""
        self.has_failed = False
        self.was_asked = False

    @property
    def is_turn(self) -> bool:
        """Says whether it relays."""
        return self.server.uri.scheme == "turn"

    @property
    def identity(self) -> tuple[str, ...]:
        """Are its URLs: with the same ones it is the same server, whatever its credentials."""
        return tuple(url.text for url in self.urls)

    @property
    def is_resolving(self) -> bool:
        """Says whether a name is still looked up."""
        return any(url.handle is not None for url in self.urls)

    @property
    def is_ipv4_only(self) -> bool:
        """Says whether it has addresses, and none of IPv6."""
        found = [each.address for url in self.urls for each in url.found]
        return bool(found) and not any(address.is_ipv6 for address in found)

    def translate(self, nat64: tuple[Prefix, ...]) -> bool:
        """Adds what translators make of its IPv4 addresses; says whether there is anything."""
        made = [url.translate(nat64) for url in self.urls]
        return any(made)

    def routes(self, local: Address, *, verify: bool = True) -> tuple[Route, ...]:
        """Returns the ways there from this address, preferred first: of each URL one address per transport."""
        routes: list[Route] = []
        for url in self.urls:
            seen: set[tuple[Transport, Security]] = set()
            for found in url.found:
                kind = (found.transport, found.security)
                if kind in seen or not same_family(found.address, local) or not is_usable_destination(found.address):
                    continue
                seen.add(kind)
                name = None if found.security is Security.NONE else url.uri.host
                route = Route(found.address, found.transport, found.security, name, verify)
                if route not in routes:
                    routes.append(route)
        return tuple(sorted(routes, key=_preference)[:MAX_ROUTES])

    def url_of(self, route: Route) -> str:
        """Returns the URL that a route came from; the first one for a route that a redirection made."""
        for url in self.urls:
            kinds = ((found.transport, found.security, found.address) for found in url.found)
            if (route.transport, route.security, route.address) in kinds:
                return url.text
        return self.key


def group_servers(servers: tuple[Server, ...]) -> list[ServerGroup]:
    """Returns the servers that these URLs are of: TURN URLs of one host and user are one server's."""
    groups: dict[tuple[str, ...], list[Server]] = {}
    for server in servers:
        uri = server.uri
        key = ("turn", uri.host.lower(), server.username or "") if uri.scheme == "turn" else ("stun", str(uri))
        members = groups.setdefault(key, [])
        if all(member.uri != uri for member in members):
            members.append(server)
    return [ServerGroup(tuple(members)) for members in groups.values()]


def _preference(route: Route) -> int:
    return _PREFERENCE[route.transport, route.security]
