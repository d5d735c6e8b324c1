"""What the mDNS machine is told: its links, and the bounds of what it keeps, sends and reads."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from icepath.errors import InvalidArgument
from icepath.net import Address, IPAddress, Seconds, canonical_host

# RFC 6762 §3.
PORT: Final = 5353
GROUP_IPV4: Final = "224.0.0.251"
GROUP_IPV6: Final = "ff02::fb"
# RFC 4291 §2.5.6: on every link.
LINK_LOCAL_IPV6: Final = ipaddress.IPv6Network("fe80::/10")

# RFC 6762 §5.1: "the timeout would also be shortened to two or three seconds".
DEFAULT_TIMEOUT: Final[Seconds] = 3.0

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Link:
    """Is one interface with one family of addresses: where a question is asked and heard.

    Raises: InvalidArgument when an address or network is none.
    """

    host: str
    """The address that is sent from."""
    networks: tuple[str, ...] = ()
    """What is on the link, of both families: `192.168.1.0/24`. A neighbour's unicast answer must come from there."""

    def __post_init__(self) -> None:
        if canonical_host(self.host) != self.host:
            raise InvalidArgument(f"{self.host} is not in canonical form")
        try:
            _parsed(self.networks)
        except ValueError as error:
            raise InvalidArgument(str(error)) from None

    @property
    def is_ipv6(self) -> bool:
        """Says whether the link is of IPv6."""
        return ":" in self.host

    @property
    def group(self) -> Address:
        """Returns where everybody on the link listens."""
        return Address(GROUP_IPV6 if self.is_ipv6 else GROUP_IPV4, PORT)

    def has(self, host: str) -> bool:
        """Says whether the canonical address is on the link (RFC 6762 §11)."""
        parsed: IPAddress = ipaddress.ip_address(host)
        return (self.is_ipv6 and parsed in LINK_LOCAL_IPV6) or any(parsed in each for each in _parsed(self.networks))


@dataclass(frozen=True, slots=True)
class MdnsConfig:
    """Is how much one machine keeps, sends and reads.

    Raises: InvalidArgument when a bound is below 1, or the time-out not above 0.
    """

    timeout: Seconds = DEFAULT_TIMEOUT
    """How long a name is asked for."""
    max_queries: int = 256
    """Names asked for at a time."""
    max_names: int = 1_024
    """Names of our own; others are given out all the same, and not answered for."""
    max_cached: int = 256
    """Names of others that are remembered."""
    max_sent: int = 100
    """Messages per second, of all kinds (draft §7.1: "a ... message rate limit MUST be provided")."""
    max_read: int = 200
    """Messages per second that are read; only those that have a candidate's name count."""

    def __post_init__(self) -> None:
        bounds = (self.max_queries, self.max_names, self.max_cached, self.max_sent, self.max_read)
        if min(bounds) < 1 or not 0 < self.timeout < float("inf"):
            raise InvalidArgument("bounds must be at least 1, the time-out above 0 and finite")


@lru_cache(maxsize=64)
def _parsed(networks: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(network, strict=False) for network in networks)
