"""Settings for experts: one frozen value, checked once, with a default for everything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from icepath.aio.interfaces import InterfaceFilter
from icepath.aio.ip_handling import FAMILIES, IP_HANDLINGS, Family, IpHandling
from icepath.aio.udp import UdpOptions
from icepath.errors import InvalidArgument
from icepath.ice.config import (
    DEFAULT_CONSENT_INTERVAL,
    DEFAULT_PATIENCE,
    RtoPolicy,
    rto_floor,
)
from icepath.ice.nomination import NominationPolicy, SelectionPolicy, move_when_better, nominate_first_good
from icepath.ice.pacer import MIN_PACING
from icepath.ice.rewriting import RewriteRule
from icepath.net import MAX_PORT, Seconds
from icepath.turn.client.routes import RoutePolicy

RECEIVE_QUEUE: Final = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Is how a connection works, where the defaults are not what is wanted.

    Raises: InvalidArgument.
    """

    patience: Seconds = DEFAULT_PATIENCE
    """How long to look for a path before giving up (RFC 8863)."""
    ports: range | None = None
    """Local ports that may be used; the system chooses by default."""
    interfaces: InterfaceFilter | None = None
    """Says whether (interface name, IP address) may be used; by default all but those of containers."""
    families: tuple[Family, ...] = FAMILIES
    """The address families whose local addresses are used: "ipv4", "ipv6"."""
    ip_handling: IpHandling = "all"
    """How much of this computer's addresses is used and told, by RFC 8828's modes: "all", "default-route",
    "default-route-public-only", "proxy-only"."""
    rewrite: tuple[RewriteRule, ...] = ()
    """Under which other addresses ours are reached, where a cloud or a container's host translates one to one."""
    loopback: bool = False
    """Also uses 127.0.0.1 and ::1, for tests on one computer (RFC 8445 forbids it elsewhere)."""
    receive_queue: int = RECEIVE_QUEUE
    """Datagrams kept for `receive`, per component; the newest are dropped when it is full."""
    mdns: bool = False
    """Hides host addresses behind names that only neighbours can resolve (draft-ietf-mmusic-mdns-ice-candidates).

    Names of the other side are always resolved. For peers that do not resolve them, a direct path within the
    network may be found late, by their checks, or not at all.
    """
    tcp: bool = False
    """Also has TCP candidates (RFC 6544), for networks that drop UDP: listens on every address, and connects.

    A message goes as one frame; one that is empty, or finds the connection full, is dropped as a datagram may be.
    """
    pacing: Seconds = MIN_PACING
    """The interval between checks that is proposed to the other side (RFC 8445 §14.2)."""
    consent_interval: Seconds = DEFAULT_CONSENT_INTERVAL
    max_pairs: int = 100
    close_timeout: Seconds = 1.0
    """How long `close` may take to release relays."""
    nomination: NominationPolicy = field(default=nominate_first_good)
    renomination: bool = True
    """Offers to change the path later without a restart: a few more are then kept ready (docs/decisions/0015)."""
    selection: SelectionPolicy = field(default=move_when_better)
    """Says when to change it, and to which."""
    watch_network: bool = True
    """Takes up addresses that this computer gains, and gives up those it loses, while connected."""
    rto: RtoPolicy = field(default=rto_floor)
    transports: RoutePolicy = RoutePolicy.RACE
    """How UDP, TCP and TLS of one TURN server are tried: all at once, or 250 ms apart."""
    verify_certificates: bool = True
    """Accepts TLS and DTLS servers only that prove their name."""
    flows: bool = True
    """False gives every datagram to the agent: slower, and the same result."""
    udp: UdpOptions = field(default_factory=UdpOptions)

    def __post_init__(self) -> None:
        if self.ports is not None and not _is_port_range(self.ports):
            raise InvalidArgument(f"ports is {self.ports!r}, allowed are ranges of step 1 within 1 to {MAX_PORT}")
        if not self.families or not set(self.families) <= set(FAMILIES):
            raise InvalidArgument(f"families is {self.families!r}, allowed are one or both of {', '.join(FAMILIES)}")
        if self.ip_handling not in IP_HANDLINGS:
            raise InvalidArgument(f"ip_handling is {self.ip_handling!r}, allowed are {', '.join(IP_HANDLINGS)}")
        if self.receive_queue < 1:
            raise InvalidArgument(f"receive_queue is {self.receive_queue}, at least 1 is needed")

    @property
    def port_range(self) -> tuple[int, int] | None:
        """Returns the first and last port, or None."""
        return None if self.ports is None else (self.ports[0], self.ports[-1])


DEFAULT_CONFIG: Final = Config()


def _is_port_range(ports: range) -> bool:
    return ports.step == 1 and len(ports) > 0 and ports[0] > 0 and ports[-1] <= MAX_PORT
