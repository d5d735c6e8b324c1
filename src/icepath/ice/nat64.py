"""The addresses that NAT64 translators give to IPv4 hosts: which prefix a network has, and what it makes.

The prefix shows in what a DNS64 server makes of a name that has two IPv4 addresses and no others (RFC 7050 §3); where
the octets stand is RFC 6052 §2.2's. Values and functions only: who asks, and when, is translation.py's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final, NamedTuple, final

from icepath.machine import Handle
from icepath.net import Address, ipv4_octets

# RFC 7050 §8: the name has these addresses, and no others.
WELL_KNOWN_NAME: Final = "ipv4only.arpa"
WELL_KNOWN_HOSTS: Final = (bytes((192, 0, 0, 170)), bytes((192, 0, 0, 171)))
# RFC 7335 §4: what a host with a translator of its own (464XLAT) has inside; the same everywhere, so nobody is told.
CONTINUITY_HOSTS: Final = frozenset(f"192.0.0.{last}" for last in range(8))
# RFC 6052 §2.2: where the four octets are, by the prefix's length in bits; octet 8 is always zero.
PLACES: Final[dict[int, tuple[int, int, int, int]]] = {
    32: (4, 5, 6, 7),
    40: (5, 6, 7, 9),
    48: (6, 7, 9, 10),
    56: (7, 9, 10, 11),
    64: (9, 10, 11, 12),
    96: (12, 13, 14, 15),
}
# RFC 6052 §3.1: "The Well-Known Prefix MUST NOT be used to represent non-global IPv4 addresses".
WELL_KNOWN_PREFIX: Final = bytes((0, 0x64, 0xFF, 0x9B)) + bytes(8)
# More prefixes than a network has; each makes pairs with every remote candidate.
MAX_PREFIXES: Final = 3


class Prefix(NamedTuple):
    """Is what IPv4 addresses are put behind: whole octets, and its length in bits."""

    octets: bytes
    length: int


@final
class Translators:
    """Is what an agent knows of its network's translators."""

    __slots__ = ("has_asked", "prefixes", "query")

    def __init__(self) -> None:
        self.prefixes: tuple[Prefix, ...] = ()
        # The question for them, while it is open.
        self.query: Handle | None = None
        self.has_asked = False


def find_prefixes(hosts: Iterable[str]) -> tuple[Prefix, ...]:
    """Returns the prefixes that the addresses of the well-known name show, in their order (RFC 7050 §3)."""
    found = [_prefix_of(ipaddress.IPv6Address(host).packed) for host in hosts if ":" in host]
    return tuple(dict.fromkeys(prefix for prefix in found if prefix is not None))[:MAX_PREFIXES]


def translated(prefixes: Iterable[Prefix], address: Address) -> tuple[Address, ...]:
    """Returns what an IPv4 address is reached at through the translators; nothing for an IPv6 one."""
    if address.is_ipv6:
        return ()
    made = [synthesize(prefix, address.host) for prefix in prefixes]
    return tuple(Address(host, address.port) for host in made if host is not None)


def synthesize(prefix: Prefix, host: str) -> str | None:
    """Returns the IPv6 address that stands for an IPv4 one (RFC 6052 §2.3); None where the prefix may not be used."""
    if prefix.octets == WELL_KNOWN_PREFIX and not ipaddress.IPv4Address(host).is_global:
        return None
    octets = bytearray(prefix.octets + bytes(16 - len(prefix.octets)))
    for place, octet in zip(PLACES[prefix.length], ipv4_octets(host), strict=True):
        octets[place] = octet
    return str(ipaddress.IPv6Address(bytes(octets)))


def _prefix_of(octets: bytes) -> Prefix | None:
    """Returns the prefix when one of the well-known addresses stands in one place, and nowhere else besides."""
    for wanted in WELL_KNOWN_HOSTS:
        lengths = [length for length, places in PLACES.items() if bytes(octets[place] for place in places) == wanted]
        # RFC 7050 §3: on octet boundaries the value must be there once; else the other address is looked for.
        anywhere = sum(octets[start : start + 4] == wanted for start in range(13))
        standing = sum(_is_contiguous(length) for length in lengths)
        if len(lengths) == 1 and anywhere == standing:
            return Prefix(octets[: lengths[0] // 8], lengths[0])
    return None


def _is_contiguous(length: int) -> bool:
    places = PLACES[length]
    return places[3] - places[0] == 3
