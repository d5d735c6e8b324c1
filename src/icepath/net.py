"""Addresses and time, as every other room names them.

`Address` is an IP address and a port, never a name, never a zone. Texts from outside pass through
`canonical_host` once, at the edge (wire, driver); inside, equality of texts is equality of addresses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final, NamedTuple, NewType, TypeAlias, final

from icepath.errors import InvalidArgument

Instant: TypeAlias = float
"""Seconds on a monotonic clock; the epoch means nothing."""

Seconds: TypeAlias = float
"""A duration in seconds."""

RandomBytes: TypeAlias = Callable[[int], bytes]
"""Draws n random bytes: secrets.token_bytes, or random.Random(7).randbytes in tests."""

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_PORT: Final = 0xFFFF

# By table: half the time of int(), and strict (no "+1", no "01").
_OCTETS: Final[dict[str, int]] = {str(octet): octet for octet in range(256)}
_MULTICAST: Final = range(224, 240)
_NO_IPV4_DESTINATIONS: Final = ("0.0.0.0", "255.255.255.255")


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


@final
class TcpAddress(Address):
    """Is an IP address and a TCP port: another place than the UDP port of that number, and never equal to it.

    A machine that has sockets of both keeps them in one table by it; commands and what is told to others have plain
    addresses.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TcpAddress) and self.port == other.port and self.host == other.host

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self.host, ~self.port))


# Kept apart by the type-checker so that a relay never mixes up its two sides (RFC 8656 §2).
PeerAddress = NewType("PeerAddress", Address)
RelayedAddress = NewType("RelayedAddress", Address)
ClientAddress = NewType("ClientAddress", Address)


def canonical_host(text: str) -> str:
    """Returns the canonical text of an IP address: no zone, IPv4-mapped IPv6 as IPv4.

    Raises: InvalidArgument when the text is no IP address.
    """
    bare, _, _zone = text.partition("%")
    if ":" not in bare:
        ipv4_octets(bare)
        return bare
    try:
        return str(unmapped(ipaddress.IPv6Address(bare)))
    except ValueError:
        raise InvalidArgument(f"{text!r} is not an IP address") from None


def ipv4_octets(host: str) -> tuple[int, int, int, int]:
    """Returns the octets of an IPv4 address's canonical text.

    Raises: InvalidArgument when it is none.
    """
    try:
        a, b, c, d = host.split(".")
        return _OCTETS[a], _OCTETS[b], _OCTETS[c], _OCTETS[d]
    except (ValueError, KeyError):
        raise InvalidArgument(f"{host!r} is not an IP address") from None


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
    host, port = address
    if not 0 < port <= MAX_PORT:
        return False
    try:
        if ":" in host:
            parsed = ipaddress.IPv6Address(host)
            return not (parsed.is_multicast or parsed.is_unspecified)
        return ipv4_octets(host)[0] not in _MULTICAST and host not in _NO_IPV4_DESTINATIONS
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Says whether the canonical host is a loopback address."""
    return host.startswith("127.") or host == "::1"


def same_family(a: Address, b: Address) -> bool:
    """Says whether both addresses are IPv4 or both IPv6."""
    return (":" in a.host) == (":" in b.host)
