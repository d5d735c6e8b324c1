"""Which of this computer's addresses a connection uses and tells: RFC 8828's four modes, and families.

interfaces.py finds the addresses that could serve; here some of them are left aside for privacy's sake. The
default route is not read from tables: the system is asked which address it would send from, by a UDP socket that
connects and sends nothing (RFC 8828 §6.2). Sockets are bound to that address and not to the wildcard one, which
routes alike and hears nothing else.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, get_args

from icepath.aio.interfaces import HostAddress
from icepath.net import canonical_host, is_loopback

IpHandling: TypeAlias = Literal["all", "default-route", "default-route-public-only", "proxy-only"]
"""Names RFC 8828 §5.2's modes.

all: every interface (mode 1). default-route: the addresses that the system sends from by default, and what servers see
them as (mode 2). default-route-public-only: of those only what servers see (mode 3). proxy-only: TURN over TCP and TLS,
and nothing else (mode 4).
"""
Family: TypeAlias = Literal["ipv4", "ipv6"]

IP_HANDLINGS: Final = get_args(IpHandling)
FAMILIES: Final[tuple[Family, ...]] = get_args(Family)

# RFC 8828 §6.2 allows a well-known address where there is no web application: that of a root name server, in no
# network of anybody's own. No packet goes there.
WELL_KNOWN: Final[dict[Family, str]] = {"ipv4": "198.41.0.4", "ipv6": "2001:503:ba3e::2:30"}
_SOCKET_FAMILIES: Final[dict[Family, socket.AddressFamily]] = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}


def admitted(
    found: Iterable[HostAddress], *, handling: IpHandling = "all", families: tuple[Family, ...] = FAMILIES
) -> tuple[HostAddress, ...]:
    """Returns those of the addresses that may be used, in their order; loopback, where asked for, has no route."""
    kept = [each for each in found if family_of(each.host) in families]
    if handling != "all":
        sources = {default_source(family) for family in families}
        kept = [each for each in kept if each.host in sources or is_loopback(each.host)]
    return tuple(kept)


def family_of(host: str) -> Family:
    """Returns the canonical host's family."""
    return "ipv6" if ":" in host else "ipv4"


def default_source(family: Family, towards: str | None = None) -> str | None:
    """Returns the address that the system would send from, or None when it has no way there."""
    try:
        with socket.socket(_SOCKET_FAMILIES[family], socket.SOCK_DGRAM) as asking:
            asking.connect((towards or WELL_KNOWN[family], 9))
            name: tuple[str, int] = asking.getsockname()[:2]
    except OSError:
        return None
    return canonical_host(name[0])
