"""Addresses and time, as every other room names them.

`Address` is an IP address and a port, never a name, never a zone. Texts from outside pass through
`canonical_host` once, at the edge (wire, driver); inside, equality of texts is equality of addresses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final, NamedTuple, NewType, TypeAlias

from icepath.errors import InvalidArgument

Instant: TypeAlias = float
"""Seconds on a monotonic clock; the epoch means nothing."""

Seconds: TypeAlias = float
"""A duration in seconds."""

RandomBytes: TypeAlias = Callable[[int], bytes]
"""Draws n random bytes: secrets.token_bytes, or random.Random(7).randbytes in tests."""

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_PORT: Final = 0xFFFF


class Address(NamedTuple):
    """Is an IP address and a port; hashable, sortable, usable with sendto() as it is."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_ipv6(self) -> bool:
        """Says whether the host is an IPv6 address."""
        return ":" in self.host


# Kept apart by the type-checker so that a relay never mixes up its two sides (RFC 8656 §2).
PeerAddress = NewType("PeerAddress", Address)
RelayedAddress = NewType("RelayedAddress", Address)
ClientAddress = NewType("ClientAddress", Address)


def canonical_host(text: str) -> str:
    """Returns the canonical text of an IP address: no zone, IPv4-mapped IPv6 as IPv4.

    Raises: InvalidArgument when the text is no IP address.
    """
    bare, _, _zone = text.partition("%")
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        raise InvalidArgument(f"{text!r} is not an IP address") from None
    return str(unmapped(parsed))


def unmapped(address: IPAddress) -> IPAddress:
    """Returns the IPv4 address inside an IPv4-mapped IPv6 one, else the address itself."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_address(text: str) -> Address:
    """Parses `host:port` with an IP address; IPv6 in brackets.

    Raises: InvalidArgument when it is not of that form.
    """
    host, separator, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not separator or (":" in host and not bracketed) or not (port.isascii() and port.isdecimal()):
        raise InvalidArgument(f"{text!r} is not HOST:PORT with an IP address (IPv6 in brackets)")
    if int(port) > MAX_PORT:
        raise InvalidArgument(f"port {port} in {text!r} is above {MAX_PORT}")
    return Address(canonical_host(host[1:-1] if bracketed else host), int(port))


def is_usable_destination(address: Address) -> bool:
    """Says whether a datagram may be sent there: a real port, and neither unspecified nor multicast nor broadcast."""
    if not 0 < address.port <= MAX_PORT:
        return False
    try:
        parsed = ipaddress.ip_address(address.host)
    except ValueError:
        return False
    return not (parsed.is_multicast or parsed.is_unspecified or address.host == "255.255.255.255")


def is_loopback(host: str) -> bool:
    """Says whether the canonical host is a loopback address."""
    return host.startswith("127.") or host == "::1"


def is_link_local(host: str) -> bool:
    """Says whether the canonical host is link-local (169.254/16, fe80::/10)."""
    return ipaddress.ip_address(host).is_link_local


def same_family(a: Address, b: Address) -> bool:
    """Says whether both addresses are IPv4 or both IPv6."""
    return (":" in a.host) == (":" in b.host)
