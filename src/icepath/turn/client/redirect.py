"""Where a 300 (Try Alternate) leads, and when it leads nowhere (RFC 8489 §10, RFC 8656 §7.4).

A part of `Ways`. The alternate is asked over the same transport, with the same credentials, and never twice; how
many may follow each other is the config's `max_redirects`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, final

from icepath.net import Address, is_usable_destination, same_family
from icepath.turn.client.routes import Route
from icepath.wire.attributes import AlternateDomain, AlternateServer
from icepath.wire.message import Message

TRY_ALTERNATE: Final = 300


@final
class Redirects:
    """Follows redirections, each address once."""

    __slots__ = ("_hops", "_limit", "_visited")

    def __init__(self, routes: tuple[Route, ...], limit: int) -> None:
        self._limit = limit
        self._hops = 0
        # RFC 8489 §10 lets a server be asked again after five minutes; no allocation takes that long.
        self._visited = {route.address for route in routes}

    @property
    def is_followed(self) -> bool:
        """Says whether redirections are followed at all."""
        return self._limit > 0

    def follow(self, message: Message, route: Route) -> Route | str:
        """Returns the route to the alternate, or why it is not followed."""
        address = _alternate(message, route.address)
        if address is None:
            return "redirected, but not to an address that can be reached"
        if address in self._visited:
            return f"redirected in a circle, to {address}"
        if self._hops >= self._limit:
            return f"redirected more than {self._limit} times"
        self._hops += 1
        self._visited.add(address)
        domain = message.get(AlternateDomain)
        return replace(route, address=address, server_name=route.server_name if domain is None else domain.name)


def _alternate(message: Message, server: Address) -> Address | None:
    """Returns the first alternate of the family that is in use: the other one is for who has a socket of it."""
    for attribute in message.get_all(AlternateServer):
        if same_family(attribute.address, server) and is_usable_destination(attribute.address):
            return attribute.address
    return None
