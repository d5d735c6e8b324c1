"""How a host's TCP, and the driver on it, is set; and what both tell whoever owns a connection."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from icepath.errors import InvalidArgument
from icepath.net import Seconds


@dataclass(frozen=True, slots=True)
class TcpConfig:
    """Says how a host's TCP, and the driver on it, treats bytes.

    Raises: InvalidArgument when a value is out of range.
    """

    max_segment: int | None = None
    """At most this much in one segment; 1 makes a host that dribbles. None: what the link's MTU allows."""
    read_size: int = 65_536
    """At most this much in one `Bytes` arrival; 1 cuts everything into bytes at no cost in packets."""
    receive_buffer: int = 65_536
    """What a byte stream holds that is not read; the far side then has to wait."""
    high_water: int = 262_144
    """With more waiting to be sent, droppable `Bytes` are discarded whole. What the kernel holds counts too."""
    limit: int = 1_048_576
    """With more waiting to be sent, the byte stream is `Closed(SLOW)`."""
    backlog: int = 128
    """How many connections of one listener may be half open."""
    connect_timeout: Seconds = 30.0
    """How long connecting may take, handshake and all (RFC 6062 §5.2: at least 30 s)."""
    handshake_timeout: Seconds = 10.0
    """How long a client that was let in may take for its TLS handshake."""
    stall_timeout: Seconds = 30.0
    """How long nothing of what is sent may be taken: `Closed(TIMED_OUT)` when nothing is heard, else `Closed(SLOW)`."""

    def __post_init__(self) -> None:
        least = 1 if self.max_segment is None else self.max_segment
        if min(least, self.read_size, self.receive_buffer, self.backlog) < 1:
            raise InvalidArgument("max_segment, read_size, receive_buffer and backlog must be 1 or more")
        if min(self.connect_timeout, self.handshake_timeout, self.stall_timeout) <= 0:
            raise InvalidArgument("connect_timeout, handshake_timeout and stall_timeout must be more than 0")
        if not 0 <= self.high_water <= self.limit:
            raise InvalidArgument(f"high_water is {self.high_water}, allowed are 0 to limit, {self.limit}")


class End(Enum):
    """Says how a connection ended by itself."""

    REFUSED = auto()
    UNREACHABLE = auto()
    TIMED_OUT = auto()
    SLOW = auto()
    RESET = auto()


class ConnectionOwner(Protocol):
    """Is told what happens to a connection."""

    def on_established(self) -> None:
        """The handshake is done."""

    def on_readable(self) -> None:
        """There are bytes to read, or the far side has finished."""

    def on_writable(self) -> None:
        """Some bytes were acknowledged."""

    def on_ended(self, end: End) -> None:
        """It is over; nothing else is told from then on."""
