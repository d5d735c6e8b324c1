"""What an allocation reports, and what the server's error codes mean to whoever reads it.

Events are past participles and carry values. `AllocationFailure` is the one list of why an allocation was
refused or lost; `failure_of` is the one place that maps error codes to it (RFC 8656 §7.4, §19).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias, final

from icepath.machine import DatagramDropped, Event, Handle, MachineClosed
from icepath.net import Address, Instant
from icepath.stun.credentials import Challenge
from icepath.turn.client.routes import Route


class AllocationFailure(StrEnum):
    """Says why an allocation was refused, or lost after it was there."""

    NO_ANSWER = "no-answer"
    UNREACHABLE = "unreachable"
    """A hard ICMP error (RFC 8489 §6.2.1)."""
    TRY_ALTERNATE = "try-alternate"
    BAD_REQUEST = "bad-request"
    CREDENTIALS_NEEDED = "credentials-needed"
    TOKEN_NEEDED = "token-needed"
    """The server takes tokens of an authorization server (RFC 7635), and we have neither one nor a password."""
    WRONG_CREDENTIALS = "wrong-credentials"
    FORBIDDEN = "forbidden"
    MISMATCH = "mismatch"
    """The five-tuple is another allocation's; or the server no longer knows this one."""
    UNSUPPORTED_FAMILY = "unsupported-family"
    UNSUPPORTED_TRANSPORT = "unsupported-transport"
    QUOTA = "quota"
    CAPACITY = "capacity"
    BID_DOWN = "bid-down"
    """The answer announces security features and lacks them: somebody on the path (RFC 8489 §9.2.5)."""
    INTEGRITY_VIOLATED = "integrity-violated"
    """Answers came, but none was signed with our key."""
    BAD_ANSWER = "bad-answer"
    NOT_CONNECTED = "not-connected"
    """No byte stream could be opened."""
    CONNECTION_LOST = "connection-lost"
    """The byte stream ended."""
    NOT_TURN = "not-turn"
    """The byte stream holds what is no STUN message and no ChannelData."""
    PEER_CONNECTED = "peer-connected"
    """The server has a connection to this peer already (446)."""
    PEER_UNREACHABLE = "peer-unreachable"
    """The server cannot connect to this peer (447)."""
    REFUSED = "refused"
    """Any other error code."""


_FAILURES: Final[dict[int, AllocationFailure]] = {
    300: AllocationFailure.TRY_ALTERNATE,
    400: AllocationFailure.BAD_REQUEST,
    401: AllocationFailure.WRONG_CREDENTIALS,
    403: AllocationFailure.FORBIDDEN,
    405: AllocationFailure.FORBIDDEN,
    437: AllocationFailure.MISMATCH,
    440: AllocationFailure.UNSUPPORTED_FAMILY,
    441: AllocationFailure.WRONG_CREDENTIALS,
    442: AllocationFailure.UNSUPPORTED_TRANSPORT,
    443: AllocationFailure.UNSUPPORTED_FAMILY,
    486: AllocationFailure.QUOTA,
    446: AllocationFailure.PEER_CONNECTED,
    447: AllocationFailure.PEER_UNREACHABLE,
    508: AllocationFailure.CAPACITY,
}


def failure_of(code: int) -> AllocationFailure:
    """Returns what an error code means for the allocation."""
    return _FAILURES.get(code, AllocationFailure.REFUSED)


@dataclass(frozen=True, slots=True)
class Allocated(Event):
    """Reports that the allocation is there; once."""

    relayed: tuple[Address, ...]
    """One per family granted, IPv4 first."""
    mapped: Address | None
    """Our address as the server sees it: a server-reflexive candidate (RFC 8656 §7.2) if `is_reflexive`."""
    lifetime: int
    is_reflexive: bool = True
    """Whether `mapped` is of the UDP socket; that of a byte stream is good for nothing but to be shown."""


@dataclass(frozen=True, slots=True)
class AddressFamilyRefused(Event):
    """Reports the family that a dual allocation did not get: 440 (never) or 508 (not for a minute)."""

    family: int
    """An `AddressFamily`, if the server kept to the RFC."""
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class PortReserved(Event):
    """Reports that the server keeps the port above the relayed one, for 30 s, for who shows the token."""

    token: bytes


@dataclass(frozen=True, slots=True)
class RouteChosen(Event):
    """Reports which of the config's routes is taken; again when that one failed before `Allocated`."""

    route: Route


@dataclass(frozen=True, slots=True)
class RouteFailed(Event):
    """Reports a route that leads nowhere, while others are left."""

    route: Route
    reason: AllocationFailure
    text: str

    def __str__(self) -> str:
        return f"{self.route}: {self.text or self.reason.value}"


@dataclass(frozen=True, slots=True)
class Redirected(Event):
    """Reports that the server sent us to another one, which is asked now (RFC 8489 §10).

    Datagrams of its address belong to the allocation from now on.
    """

    route: Route


@dataclass(frozen=True, slots=True)
class AllocationFailed(Event):
    """Reports that there will be no allocation. Nothing is retried; RFC 8656 §7.4 says when one may."""

    reason: AllocationFailure
    code: int | None
    text: str
    alternate: Address | None = None
    """Where a 300 points."""
    alternate_domain: str | None = None
    """The name to check the alternate's certificate against (RFC 8489 §10)."""
    authorization: str | None = None
    """The name of this server to tell the authorization server whose token it wants (RFC 7635 §6.1)."""
    routes: tuple[RouteFailed, ...] = ()
    """Every route that failed, in that order, when there were several, or they led somewhere else."""


@dataclass(frozen=True, slots=True)
class AllocationLost(Event):
    """Reports that an allocation is no more; permissions and channels went with it."""

    reason: AllocationFailure
    code: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Migrated(Event):
    """Reports that the allocation has moved to a local address; whatever there was before may go."""

    local: Address


@dataclass(frozen=True, slots=True)
class MigrationFailed(Event):
    """Reports that it has not, and stays where it is."""

    local: Address
    reason: AllocationFailure
    code: int | None
    text: str


@dataclass(frozen=True, slots=True)
class MobilityRefused(Event):
    """Reports that the server gives no tickets (405): the allocation is asked for without (RFC 8016 §3.1.4)."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class CredentialsRejected(Event):
    """Reports that the server no longer takes our credentials; `set_credentials` before `until` saves the path."""

    code: int
    until: Instant


@dataclass(frozen=True, slots=True)
class ChallengeRemembered(Event):
    """Reports realm and nonce that the server accepted, for the next allocation's config."""

    challenge: Challenge


@dataclass(frozen=True, slots=True)
class PermissionsInstalled(Event):
    """Reports hosts whose permission the server confirmed for the first time; renewals are silent."""

    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PermissionFailed(Event):
    """Reports hosts that have no permission: refused with `code`, or unanswered (None)."""

    hosts: tuple[str, ...]
    code: int | None


@dataclass(frozen=True, slots=True)
class ChannelBound(Event):
    """Reports that a channel is bound, and again for each renewal, with its new end."""

    peer: Address
    channel: int
    until: Instant


@dataclass(frozen=True, slots=True)
class ChannelFailed(Event):
    """Reports that a peer has no channel (any more): refused with `code`, or unanswered (None). Data goes on
    in Send indications."""

    peer: Address
    code: int | None


@final
class PeerDataReceived(Event):
    """Reports one payload that a peer sent to a relayed address."""

    __slots__ = ("payload", "peer", "relayed")

    def __init__(self, relayed: Address, peer: Address, payload: bytes) -> None:
        self.relayed: Final = relayed
        self.peer: Final = peer
        self.payload: Final = payload

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, PeerDataReceived)
            and self.payload == other.payload
            and self.peer == other.peer
            and self.relayed == other.relayed
        )

    def __hash__(self) -> int:
        return hash((self.relayed, self.peer, self.payload))

    def __repr__(self) -> str:
        return f"PeerDataReceived({self.peer} -> {self.relayed}, {len(self.payload)} bytes)"


@dataclass(frozen=True, slots=True)
class PeerIcmpReceived(Event):
    """Reports an ICMP error about what the server sent to a peer (RFC 8656 §11.6); a hint, never proof."""

    peer: Address
    """Port 0 when the server does not know it."""
    icmp_type: int
    icmp_code: int
    data: int


@dataclass(frozen=True, slots=True)
class PeerConnected(Event):
    """Reports a byte stream to a peer (RFC 6062): `handle` names it in verbs and events, and may be spliced."""

    handle: Handle
    peer: Address
    is_incoming: bool


@dataclass(frozen=True, slots=True)
class PeerConnectFailed(Event):
    """Reports that there is no byte stream to a peer: refused with `code`, or failed on the way (None)."""

    peer: Address
    reason: AllocationFailure
    code: int | None
    text: str


@dataclass(frozen=True, slots=True)
class PeerBytesReceived(Event):
    """Reports bytes of a peer's byte stream, cut anywhere."""

    handle: Handle
    peer: Address
    payload: bytes


@dataclass(frozen=True, slots=True)
class PeerDisconnected(Event):
    """Reports the end of a byte stream to a peer."""

    handle: Handle
    peer: Address
    text: str


AllocationEvent: TypeAlias = (
    Allocated
    | AddressFamilyRefused
    | AllocationFailed
    | AllocationLost
    | Redirected
    | RouteChosen
    | RouteFailed
    | CredentialsRejected
    | ChallengeRemembered
    | Migrated
    | MigrationFailed
    | MobilityRefused
    | PermissionsInstalled
    | PermissionFailed
    | PortReserved
    | ChannelBound
    | ChannelFailed
    | PeerConnected
    | PeerConnectFailed
    | PeerBytesReceived
    | PeerDisconnected
    | PeerDataReceived
    | PeerIcmpReceived
    | DatagramDropped
    | MachineClosed
)
