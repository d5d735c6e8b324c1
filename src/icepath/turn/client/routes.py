"""The ways to one server: what a `Route` is, how routes are tried, and the `Path` that one has become.

RFC 8656 §3.1: between client and server go UDP, TCP, TLS over TCP, and DTLS over UDP (RFC 7350). Which of several
wins is race.py's; what travels is the business of whoever holds the path.

Strategy: a path hides the one difference that matters: a datagram, or bytes of a stream that must be cut into
messages. RFC 8656 §12.5: only on streams is ChannelData padded.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, final

from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.machine import LAST_STUN_BYTE, Bytes, Connect, Datagram, Handle, Security, Transport
from icepath.net import Address, same_family
from icepath.wire.channel_data import encode_channel_data
from icepath.wire.framing import StunFramer

# RFC 7443 §2: the ALPN protocol identifier of TURN.
ALPN: Final = ("stun.turn",)


class RoutePolicy(StrEnum):
    """Says when routes start."""

    RACE = "race"
    """All at once: a SYN costs little, a route tried too late costs a second."""
    STAGGER = "stagger"
    """One by one, in their order (RFC 8305 §5)."""


@dataclass(frozen=True, slots=True)
class Route:
    """Is one way to a server.

    Raises: InvalidArgument when transport and security do not go together.
    """

    address: Address
    transport: Transport = Transport.UDP
    security: Security = Security.NONE
    server_name: str | None = None
    """What the server's certificate must name (RFC 8489 §6.2.3)."""
    verify: bool = True
    local: Address | None = None
    """Where to send from, for a route of another address family than the config's `local`."""

    def __post_init__(self) -> None:
        wanted = {Security.TLS: Transport.TCP, Security.DTLS: Transport.UDP}.get(self.security, self.transport)
        if self.transport is not wanted:
            raise InvalidArgument(f"{self.security.value} does not run over {self.transport.value}")

    @property
    def is_datagram(self) -> bool:
        """Says whether it is plain UDP, through a socket that is there already."""
        return self.transport is Transport.UDP and self.security is Security.NONE

    @property
    def is_reliable(self) -> bool:
        """Says whether nothing needs to be sent again, and nothing keeps its bounds."""
        return self.transport is Transport.TCP

    def is_like(self, other: Route) -> bool:
        """Says whether transport and security are the same."""
        return self.transport is other.transport and self.security is other.security

    def __str__(self) -> str:
        word = self.transport if self.security is Security.NONE else self.security
        return f"{word.value} {self.address}"


@final
class Path:
    """Is a route in use: a five-tuple, or a byte stream or association by its handle."""

    __slots__ = ("_framer", "_is_fresh", "handle", "is_closed", "is_reliable", "local", "remote", "route")

    def __init__(self, route: Route, local: Address, handle: Handle | None = None) -> None:
        self.route: Final = route
        self.local = local
        """Of a byte stream, with port 0 until it is open."""
        self.remote: Final = route.address
        self.handle: Final = handle
        self.is_closed = False
        """Whether its connection has ended: nothing may be sent along it."""
        self.is_reliable: Final = route.is_reliable
        self._framer: Final = StunFramer() if route.is_reliable else None
        # Nothing has come yet.
        self._is_fresh = True

    @property
    def is_broken(self) -> bool:
        """Says whether the stream holds what is no message, so that nothing more can be read from it."""
        return self._framer is not None and self._framer.is_broken

    def is_of(self, local: Address, remote: Address) -> bool:
        """Says whether a datagram of this five-tuple came along here."""
        return self.handle is None and local == self.local and remote == self.remote

    def wrap(self, payload: bytes, *, dont_fragment: bool = False, is_data: bool = False) -> Datagram | Bytes:
        """Returns what carries the message to the server; a driver in distress may drop `is_data`."""
        if self.handle is None:
            return Datagram(self.local, self.remote, payload, dont_fragment)
        return Bytes(self.handle, payload, is_data)

    def wrap_channel_data(self, channel: int, payload: bytes) -> Datagram | Bytes:
        """Returns what carries a payload on a channel."""
        return self.wrap(encode_channel_data(channel, payload, padded=self.is_reliable), is_data=True)

    def cut(self, data: bytes) -> list[bytes]:
        """Returns the messages that are whole with these bytes.

        Raises: DecodeError when the stream went wrong before any message of this call.
        """
        if self._framer is None:
            return [data]
        if self._is_fresh and data:
            # A stream begins with an answer. An HTTP server's "HT" would pass for a channel number, and what follows
            # for a length, so that only silence told.
            if data[0] > LAST_STUN_BYTE:
                raise DecodeError(DecodeReason.NOT_STUN, f"first byte 0x{data[0]:02X}, expected 0 to 3")
            self._is_fresh = False
        return self._framer.feed(data)

    def __repr__(self) -> str:
        return f"Path({self.route}, handle {self.handle})"


def local_of(route: Route, local: Address) -> Address | None:
    """Returns where a route sends from: a socket's address, or a host with port 0; None leaves it to the driver."""
    own = local if route.local is None else route.local
    if not same_family(own, route.address):
        return None
    return own if route.is_datagram else Address(own.host, 0)


def connect_command(handle: Handle, route: Route, local: Address | None, *, paused: bool = False) -> Connect:
    """Returns the command that opens a route's byte stream or association."""
    return Connect(
        handle,
        local,
        route.address,
        route.transport,
        route.security,
        route.server_name,
        () if route.security is Security.NONE else ALPN,
        route.verify,
        paused,
    )
