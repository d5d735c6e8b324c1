"""Address rewriting: a table that says under which other address a host of ours is reached.

For clouds and containers, whose one public address is translated one to one by something that every server's
answer would only confirm: the candidate is known without asking. The port stays, as one-to-one translation and
published ports keep it. Here are the rules and which one holds; what becomes of the candidate is local.py's.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from icepath.errors import InvalidArgument
from icepath.net import Address, canonical_host, is_usable_destination

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class RewriteMode(StrEnum):
    """Is what becomes of the host candidate."""

    ADD = "add"
    """It is told as it is; the external address is a server-reflexive candidate beside it."""
    REPLACE = "replace"
    """It is told with the external address, and its own not at all."""


@dataclass(frozen=True, slots=True)
class RewriteRule:
    """Says that local addresses are reached from outside at another one, with the same port.

    Raises: InvalidArgument.
    """

    local: str
    """One of our addresses, or a network that they are of: "172.17.0.2", "10.0.0.0/8"."""
    external: str
    """The address of the same family that others reach them at."""
    mode: str = RewriteMode.ADD
    """A `RewriteMode`, or its word, as a settings file has it."""

    def __post_init__(self) -> None:
        external = canonical_host(self.external)
        if external != self.external:
            raise InvalidArgument(f"external {self.external!r}: its canonical text is {external!r}")
        if not is_usable_destination(Address(external, 1)):
            raise InvalidArgument(f"external {external}: nobody can send to it")
        if self.network.version != (6 if ":" in external else 4):
            raise InvalidArgument(f"local {self.local}, external {external}: allowed is one family")
        if self.mode not in tuple(RewriteMode):
            raise InvalidArgument(f"mode {self.mode!r}, allowed are {', '.join(RewriteMode)}")

    @property
    def network(self) -> Network:
        """Returns the local addresses it holds for."""
        try:
            return ipaddress.ip_network(self.local)
        except ValueError as error:
            raise InvalidArgument(
                f"local {self.local!r}: an address, or a network without host bits ({error})"
            ) from None


def find_rule(rules: tuple[RewriteRule, ...], host: str) -> RewriteRule | None:
    """Returns the first rule that holds for a host, or None."""
    if not rules:
        return None
    address = ipaddress.ip_address(host)
    return next((rule for rule in rules if address in rule.network), None)
