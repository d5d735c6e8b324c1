"""What an allocation is given: one frozen value, checked when it is made.

Times are seconds. The defaults are RFC 8656's; the server has the last word on the lifetime. What is not asked for
leaves no trace on the wire: a config of server, local address and credentials is plain TURN over UDP.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from icepath.errors import InvalidArgument
from icepath.machine import Transport
from icepath.net import Address, Seconds, same_family
from icepath.stun.credentials import Challenge
from icepath.stun.transaction import DEFAULT_TI, RetransmissionPolicy
from icepath.turn.client.routes import Route, RoutePolicy, local_of
from icepath.turn.client.token import Credentials
from icepath.wire.attributes import AddressFamily, ReservationToken, Software

# RFC 8656 §6: "resets this timer to the default lifetime value of 600 seconds (10 minutes)".
DEFAULT_LIFETIME: Final = 600
# LIFETIME is a 32-bit number of seconds (RFC 8656 §18.2).
MAX_LIFETIME: Final = 0xFFFFFFFF
# Below this a request could end in the instant it was sent, as clocks count.
MIN_RTO: Final[Seconds] = 0.001
# A close that takes longer is none; one whole transaction (39.5 s) fits in.
MAX_CLOSE_TIMEOUT: Final[Seconds] = 60.0
# Transports times address families: more ways to one server there are not.
MAX_ROUTES: Final = 8
MAX_PEER_CONNECTIONS: Final = 1024
MAX_REDIRECTS: Final = 16
MAX_RELIABLE_TIMEOUT: Final[Seconds] = 600.0


@dataclass(frozen=True, slots=True)
class AllocationConfig:
    """Says which allocation is wanted, from whom, and as whom.

    Raises: InvalidArgument when a value is not allowed.
    """

    server: Address
    local: Address
    """The host address of the socket; five-tuples belong to one allocation only (RFC 8656 §6)."""
    credentials: Credentials | None = None
    challenge: Challenge | None = None
    """Remembered from an earlier allocation of this server: saves the round trip of a 401."""
    families: tuple[AddressFamily, ...] = (AddressFamily.IPV4,)
    """Both ask for a dual allocation in one request (RFC 8656 §7.1)."""
    lifetime: int = DEFAULT_LIFETIME
    policy: RetransmissionPolicy = field(default_factory=RetransmissionPolicy)
    close_timeout: Seconds = 1.0
    software: str | None = None
    dont_fragment: bool = False
    """Asks in the Allocate whether the server can set DF (RFC 8656 §7.1); goes on without when it cannot."""
    routes: tuple[Route, ...] = ()
    """The ways to the server, the preferred one first; none means UDP to `server`."""
    transports: RoutePolicy = RoutePolicy.RACE
    reliable_timeout: Seconds = DEFAULT_TI
    """Ti of RFC 8489 §6.2.2: how long a connection may take to open, and an answer over TCP or TLS to come."""

    max_redirects: int = 0
    """How many redirections (300) in a row are followed; 0 reports the first as a failure."""

    even_port: bool | None = None
    """Asks for an even port (False), and to have the next one kept (True): `PortReserved` (RFC 8656 §7.1)."""
    reservation: bytes | None = None
    """A token of `PortReserved`: asks for the port that was kept (RFC 8656 §7.1)."""

    mobility: bool = False
    """Asks for a ticket, by which the allocation can move to another local address (RFC 8016)."""

    relay_transport: Transport = Transport.UDP
    """TCP asks for connections to peers (RFC 6062), which needs TCP or TLS to the server as well."""
    max_peer_connections: int = 16

    def __post_init__(self) -> None:
        if not self.routes and not same_family(self.server, self.local):
            raise InvalidArgument(f"server {self.server} and local {self.local} are of different address families")
        self._check_routes()
        if not self.families or len(set(self.families)) != len(self.families):
            raise InvalidArgument(f"families are {self.families}, allowed are one or both, each once")
        if not 0 < self.lifetime <= MAX_LIFETIME:
            raise InvalidArgument(f"lifetime is {self.lifetime}, allowed are 1 to {MAX_LIFETIME} s")
        if self.policy.rto < MIN_RTO:
            raise InvalidArgument(f"rto is {self.policy.rto}, allowed are {MIN_RTO} s or more")
        if not 0 <= self.close_timeout <= MAX_CLOSE_TIMEOUT:
            raise InvalidArgument(f"close_timeout is {self.close_timeout}, allowed are 0 to {MAX_CLOSE_TIMEOUT} s")
        if not MIN_RTO <= self.reliable_timeout <= MAX_RELIABLE_TIMEOUT:
            raise InvalidArgument(
                f"reliable_timeout is {self.reliable_timeout}, allowed are {MIN_RTO} to {MAX_RELIABLE_TIMEOUT} s"
            )
        if not 0 <= self.max_redirects <= MAX_REDIRECTS:
            raise InvalidArgument(f"max_redirects is {self.max_redirects}, allowed are 0 to {MAX_REDIRECTS}")
        if self.software is not None:
            Software(self.software).encode(b"")

        self._check_ports()
        if self.relay_transport is Transport.TCP:
            self._check_tcp()

    def _check_tcp(self) -> None:
        # RFC 6062 §4.1: "TCP allocations cannot be obtained using a UDP association", nor DTLS (RFC 7350 §4.1), and
        # the request "MUST NOT include a DONT-FRAGMENT, RESERVATION-TOKEN, or EVEN-PORT attribute".
        if not all(route.is_reliable for route in self.ways):
            raise InvalidArgument("relay_transport is TCP, allowed are routes by TCP and TLS only")
        if self.dont_fragment or self.even_port is not None or self.reservation is not None:
            raise InvalidArgument("relay_transport is TCP: dont_fragment, even_port and reservation are for UDP")
        if not 0 < self.max_peer_connections <= MAX_PEER_CONNECTIONS:
            raise InvalidArgument(
                f"max_peer_connections is {self.max_peer_connections}, allowed are 1 to {MAX_PEER_CONNECTIONS}"
            )

    def _check_ports(self) -> None:
        if self.even_port is not None and self.reservation is not None:
            raise InvalidArgument("even_port and reservation are given, allowed is one of them")
        if len(self.families) > 1 and (self.even_port or self.reservation is not None):
            raise InvalidArgument("a port reserved is of one address family, families are two")
        if self.reservation is not None:
            ReservationToken(self.reservation).encode(b"")

    def _check_routes(self) -> None:
        if len(self.routes) > MAX_ROUTES or len(set(self.routes)) != len(self.routes):
            raise InvalidArgument(f"{len(self.routes)} routes, allowed are up to {MAX_ROUTES}, each once")
        for route in self.routes:
            if route.is_datagram and local_of(route, self.local) is None:
                raise InvalidArgument(f"{route} is of another address family than its local address")

    @property
    def ways(self) -> tuple[Route, ...]:
        """Are the routes, or the one that is meant when none is given."""
        return self.routes or (Route(self.server),)
