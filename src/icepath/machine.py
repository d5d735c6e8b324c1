"""The contract between machines and whatever runs them: a driver on real sockets, or the simulator.

Everything the world says comes in through `Machine.receive`; everything a machine wants is a value in
`Machine.take_outputs()`. Both unions live here and are the same for every machine. Nothing here knows
STUN, ICE or asyncio. ARCHITECTURE.md states the laws that every machine obeys.

`Datagram` and `Bytes` are made once per packet, so they are written out by hand: a third of the cost of
a frozen dataclass, and as immutable to the type-checkers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple, NewType, Protocol, TypeAlias, TypeVar, final

from icepath.net import Address, Instant, Seconds

Handle = NewType("Handle", int)
"""Names one socket, byte stream, association or query from its command to its end.

A machine counts up from 1 (a child takes its parent's counter); the driver counts down from -1.
"""


class Transport(Enum):
    """Is the transport protocol under a socket."""

    UDP = "udp"
    TCP = "tcp"


class Security(Enum):
    """Is what protects a transport."""

    NONE = "none"
    TLS = "tls"
    DTLS = "dtls"


class SocketUse(Enum):
    """Says what an agent may use a host socket for."""

    ALL = "all"
    SHARED = "shared"
    """Other agents use it too: no relays, because a server knows its clients by their five-tuple."""
    RELAYS = "relays"
    """Relays only: beside a shared socket."""


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """Is a host socket that the driver has bound: one per local address, family and component."""

    address: Address
    interface: str = ""
    """The interface's name, for people and filters."""
    transport: Transport = Transport.UDP
    cost: int = 0
    """0 is the best; orders interfaces of one family (wired 0, wireless 10, cellular 50, VPN 60)."""
    use: SocketUse = SocketUse.ALL


@final
class Datagram:
    """Is one UDP datagram, one type both ways; `local` is always our side."""

    __slots__ = ("dont_fragment", "local", "payload", "remote")

    def __init__(self, local: Address, remote: Address, payload: bytes, dont_fragment: bool = False) -> None:
        self.local: Final = local
        self.remote: Final = remote
        self.payload: Final = payload
        self.dont_fragment: Final = dont_fragment

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Datagram)
            and self.payload == other.payload
            and self.local == other.local
            and self.remote == other.remote
            and self.dont_fragment == other.dont_fragment
        )

    def __hash__(self) -> int:
        return hash((self.local, self.remote, self.payload, self.dont_fragment))

    def __repr__(self) -> str:
        return f"Datagram({self.local} -> {self.remote}, {len(self.payload)} bytes, {self.payload[:4].hex()}...)"


@final
class Bytes:
    """Is a byte stream's next bytes, cut anywhere, or one whole message of a DTLS association."""

    __slots__ = ("droppable", "handle", "payload")

    def __init__(self, handle: Handle, payload: bytes, droppable: bool = False) -> None:
        self.handle: Final = handle
        self.payload: Final = payload
        self.droppable: Final = droppable
        """True for framed media and relayed data, False for STUN."""

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Bytes)
            and self.handle == other.handle
            and self.payload == other.payload
            and self.droppable == other.droppable
        )

    def __hash__(self) -> int:
        return hash((self.handle, self.payload, self.droppable))

    def __repr__(self) -> str:
        return f"Bytes({self.handle}, {len(self.payload)} bytes)"


# -- commands: what a machine asks of whoever runs it -------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bind:
    """Asks for a socket; answered by `Opened` or `Failed`."""

    handle: Handle
    local: Address
    """Port 0 means any port of `port_range`, or of the system's."""
    transport: Transport = Transport.UDP
    listen: bool = False
    paused: bool = False
    """What it accepts is not read until `Splice` or a `Bytes` to it."""
    port_range: tuple[int, int] | None = None
    even_port: bool = False
    group: Address | None = None
    """A multicast group on this interface: what is sent to it comes in, and nothing else; with port 0 it is not
    joined, only sent to."""


@dataclass(frozen=True, slots=True)
class Connect:
    """Asks for a byte stream or an association; answered by `Opened` or `Failed`."""

    handle: Handle
    local: Address | None
    remote: Address
    transport: Transport = Transport.TCP
    security: Security = Security.NONE
    server_name: str | None = None
    alpn: tuple[str, ...] = ()
    verify: bool = True
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Close:
    """Ends a handle; lawful in every state, not answered. Bytes output before it are sent first unless `abort`."""

    handle: Handle
    abort: bool = False


@dataclass(frozen=True, slots=True)
class Splice:
    """Lets the driver carry bytes both ways between two byte streams, with flow control (RFC 6062)."""

    a: Handle
    b: Handle


@dataclass(frozen=True, slots=True)
class Resolve:
    """Asks for the addresses of a host name or of a stun:/turn: URI; answered by `Resolved` or `Failed`."""

    handle: Handle
    what: str


class FlowKey(NamedTuple):
    """Names the datagrams a flow may match: five-tuple and, for ChannelData, the channel number."""

    local: Address
    remote: Address
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Deliver:
    """Gives the payload to the application."""

    stream: int
    component: int
    unwrap: bool = False
    """Checks and cuts to ChannelData's Length first."""


@dataclass(frozen=True, slots=True)
class Relay:
    """Sends the payload on from `local` to `remote`."""

    local: Address
    remote: Address
    unwrap: bool = False
    wrap: int | None = None
    """The channel number whose header goes before the payload."""


FlowAction: TypeAlias = Deliver | Relay


@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds what a flow may carry in each fixed window."""

    octets: int
    window: Seconds


@dataclass(frozen=True, slots=True)
class SetFlow:
    """Permits the driver to answer matching datagrams itself until `until`; a driver may ignore it."""

    key: FlowKey
    action: FlowAction
    until: Instant
    budget: Budget | None = None


@dataclass(frozen=True, slots=True)
class DropFlow:
    """Takes a flow's permission back."""

    key: FlowKey


Command: TypeAlias = Bind | Connect | Close | Splice | Resolve | SetFlow | DropFlow


# -- arrivals: what the world says ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opened:
    """Answers `Bind` and `Connect`."""

    handle: Handle
    local: Address
    remote: Address | None = None
    alpn: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """Reports a byte stream that a listener accepted."""

    handle: Handle
    listener: Handle | Address
    local: Address
    remote: Address
    security: Security = Security.NONE


class FailReason(Enum):
    """Says why a command failed."""

    REFUSED = auto()
    UNREACHABLE = auto()
    TIMED_OUT = auto()
    ADDRESS_IN_USE = auto()
    NO_PORT = auto()
    PERMISSION = auto()
    TLS_CERTIFICATE = auto()
    TLS_HANDSHAKE = auto()
    NAME_NOT_FOUND = auto()
    RESOLVER = auto()
    FIVE_TUPLE_TAKEN = auto()
    UNSUPPORTED = auto()


@dataclass(frozen=True, slots=True)
class Failed:
    """Answers a command that failed; `detail` is for people."""

    handle: Handle
    reason: FailReason
    detail: str = ""


class CloseReason(Enum):
    """Says why a handle ended."""

    EOF = auto()
    RESET = auto()
    SLOW = auto()
    TIMED_OUT = auto()
    TLS = auto()


@dataclass(frozen=True, slots=True)
class Closed:
    """Reports that a handle ended by itself."""

    handle: Handle
    reason: CloseReason


@dataclass(frozen=True, slots=True)
class ResolvedAddress:
    """Is one way to reach a server."""

    transport: Transport
    security: Security
    address: Address


@dataclass(frozen=True, slots=True)
class Resolved:
    """Answers `Resolve`, best first."""

    handle: Handle
    answers: tuple[ResolvedAddress, ...]


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Reports an ICMP error about a datagram sent from `local` to `remote`."""

    local: Address
    remote: Address
    icmp_type: int
    icmp_code: int
    mtu: int = 0
    """The next hop's, when the error tells it (RFC 1191), else 0."""


@dataclass(frozen=True, slots=True)
class FlowUsed:
    """Reports what a flow carried since the last report; feeds counters only."""

    key: FlowKey
    packets: int
    octets: int
    last_sent: Instant


Arrival: TypeAlias = Datagram | Bytes | Opened | Accepted | Failed | Closed | Resolved | Unreachable | FlowUsed


# -- events every machine may emit -----------------------------------------------------------------------


class Event:
    """Is the base of every event; names are past participles."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class MachineClosed(Event):
    """Is the last output of every machine."""


class DropReason(Enum):
    """Says why an input was dropped."""

    NOT_STUN = "not-stun"
    MALFORMED = "malformed"
    BAD_FINGERPRINT = "bad-fingerprint"
    MISSING_INTEGRITY = "missing-integrity"
    BAD_INTEGRITY = "bad-integrity"
    UNKNOWN_TRANSACTION = "unknown-transaction"
    WRONG_ADDRESS = "wrong-address"
    UNKNOWN_USERNAME = "unknown-username"
    UNEXPECTED_MESSAGE = "unexpected-message"
    UNKNOWN_LOCAL_ADDRESS = "unknown-local-address"
    UNKNOWN_HANDLE = "unknown-handle"
    UNKNOWN_CHANNEL = "unknown-channel"
    NO_PERMISSION = "no-permission"
    NO_CONSENT = "no-consent"
    UNVALIDATED = "unvalidated"
    LIMIT = "limit"
    BAD_CANDIDATE = "bad-candidate"
    RATE = "rate"
    CLOSED = "closed"
    FIVE_TUPLE_TAKEN = "five-tuple-taken"


@dataclass(frozen=True, slots=True)
class DatagramDropped(Event):
    """Reports dropped input: the first of each reason per second, and how many since the last report."""

    reason: DropReason
    count: int = 1
    remote: Address | None = None


EventT_co = TypeVar("EventT_co", bound=Event, covariant=True)


class Machine(Protocol[EventT_co]):
    """Is a state machine without I/O: bytes and time in, values out."""

    def receive(self, arrival: Arrival, *, now: Instant) -> None:
        """Takes one thing the world said; never raises."""

    def handle_timeout(self, *, now: Instant) -> None:
        """Does all work due by `now`; early or repeated calls do nothing; never raises."""

    def next_deadline(self) -> Instant | None:
        """Returns when `handle_timeout` is wanted next, or None."""

    def close(self, *, now: Instant) -> None:
        """Begins the end; `MachineClosed` follows within the machine's close timeout."""

    def take_outputs(self) -> Sequence[Datagram | Bytes | Command | EventT_co]:
        """Returns what was output since the last call, in causal order."""
        ...


# -- flows ---------------------------------------------------------------------------------------------------

CHANNEL_DATA_HEADER: Final = 4
# RFC 7983 §7: first bytes 0-3 are STUN, 64-79 TURN channels.
LAST_STUN_BYTE: Final = 3
FIRST_CHANNEL_BYTE: Final = 0x40
LAST_CHANNEL_BYTE: Final = 0x4F


def flow_channel(payload: bytes) -> int | None:
    """Returns the channel number when the first byte says ChannelData, else None."""
    if len(payload) >= CHANNEL_DATA_HEADER and FIRST_CHANNEL_BYTE <= payload[0] <= LAST_CHANNEL_BYTE:
        return payload[0] << 8 | payload[1]
    return None


def apply_flow(action: FlowAction, payload: bytes) -> bytes | None:
    """Returns the payload as the action changes it, or None when the machine must see the datagram."""
    if action.unwrap:
        length = payload[2] << 8 | payload[3]
        end = CHANNEL_DATA_HEADER + length
        if end > len(payload):
            return None
        payload = payload[CHANNEL_DATA_HEADER:end]
        if isinstance(action, Deliver) and (not payload or payload[0] <= LAST_STUN_BYTE):
            return None  # a check or an answer of the far side, through the relay; a relay passes it on
    if isinstance(action, Relay) and action.wrap is not None:
        return action.wrap.to_bytes(2, "big") + len(payload).to_bytes(2, "big") + payload
    return payload
