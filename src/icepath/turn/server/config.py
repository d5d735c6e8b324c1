"""What a TURN server is given, and what it reports.

The bounds are what keeps the server's state finite (law 7); 486 and 508 say that one was reached.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from icepath.errors import InvalidArgument
from icepath.machine import DatagramDropped, Event, MachineClosed
from icepath.net import MAX_PORT, Address, canonical_host
from icepath.stun.authenticator import Authenticator
from icepath.wire.attributes import AddressFamily, Software

# RFC 8656 §6: "the default lifetime value of 600 seconds (10 minutes)".
DEFAULT_LIFETIME: Final = 600
# RFC 8656 §7.2: "a maximum allowed lifetime value of no more than 3600 seconds (1 hour)".
DEFAULT_MAX_LIFETIME: Final = 3600
# RFC 8656 §7.2: "SHOULD only allocate ports from the range 49152 - 65535".
DEFAULT_PORT_RANGE: Final = (49152, MAX_PORT)


@dataclass(frozen=True, slots=True)
class TurnServerConfig:
    """Says where a server listens, where it relays from, for whom, and how much.

    Raises: InvalidArgument when a value is not allowed.
    """

    listen: tuple[Address, ...]
    """The driver's sockets and listeners that clients talk to."""
    relay_hosts: tuple[str, ...]
    """One host per family that relayed addresses are taken from; a family without one is refused (440)."""
    authenticator: Authenticator | None = None
    """None asks nobody for credentials: RFC 8656 §7.2 allows that on a local network only."""
    port_range: tuple[int, int] = DEFAULT_PORT_RANGE
    denied: tuple[str, ...] = ()
    """Networks ("10.0.0.0/8") that are not relayed to (403)."""
    max_lifetime: int = DEFAULT_MAX_LIFETIME
    max_allocations: int = 1000
    max_allocations_per_user: int = 100
    max_permissions: int = 100
    """Per allocation, as are channels."""
    max_channels: int = 100
    max_streams: int = 1000
    """Byte streams and DTLS associations of clients."""
    software: str | None = None

    def __post_init__(self) -> None:
        families = [":" in host for host in self.relay_hosts]
        if not families or len(set(families)) != len(families):
            raise InvalidArgument(f"relay_hosts are {self.relay_hosts}, allowed is one per address family")
        for host in self.relay_hosts:
            canonical_host(host)
        low, high = self.port_range
        if not 0 < low <= high <= MAX_PORT:
            raise InvalidArgument(f"port_range is {low} to {high}, allowed is within 1 to {MAX_PORT}")
        if self.max_lifetime < DEFAULT_LIFETIME:
            raise InvalidArgument(f"max_lifetime is {self.max_lifetime}, allowed is {DEFAULT_LIFETIME} s or more")
        for network in self.denied:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise InvalidArgument(f"denied network {network!r} is not of the form ADDRESS/LENGTH") from None
        if self.software is not None:
            Software(self.software).encode(b"")

    def relay_host(self, family: int) -> str | None:
        """Returns the host that relayed addresses of a family are taken from, or None."""
        for host in self.relay_hosts:
            if family_of(host) == family:
                return host
        return None


def family_of(host: str) -> AddressFamily:
    """Returns the family of a canonical host."""
    return AddressFamily.IPV6 if ":" in host else AddressFamily.IPV4


class EndReason(StrEnum):
    """Says why an allocation ended."""

    RELEASED = "released"
    EXPIRED = "expired"
    NO_PORT = "no-port"
    """Its relay sockets could not be opened, or ended by themselves."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class AllocationOpened(Event):
    """Reports a new allocation."""

    client: Address
    relayed: tuple[Address, ...]
    username: str | None
    lifetime: int


@dataclass(frozen=True, slots=True)
class AllocationEnded(Event):
    """Reports that an allocation is no more."""

    client: Address
    relayed: tuple[Address, ...]
    username: str | None
    reason: EndReason


TurnServerEvent: TypeAlias = AllocationOpened | AllocationEnded | DatagramDropped | MachineClosed
