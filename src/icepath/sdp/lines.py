"""The values of the SDP lines that ICE cares for: m=, c=, a=rtcp and a=remote-candidates.

Texts to values and back, one line at a time; which line belongs where is session.py's business, what they
mean together offer/answer's. RFC 8866 §5.7 and §5.14, RFC 3605 §2.1, RFC 8839 §5.2.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.machine import Transport
from icepath.net import MAX_PORT, Address, canonical_host
from icepath.wire.candidate_line import MAX_COMPONENT, MAX_NAME_LENGTH, NAME_CHARS, is_name

# RFC 8839 §4.2.5: the port that stands for "not known yet".
DISCARD_PORT: Final = 9
MAX_REMOTE_CANDIDATES: Final = MAX_COMPONENT
_SHOWN: Final = 64


@dataclass(frozen=True, slots=True)
class MediaLine:
    """Is what follows `m=`."""

    media: str
    port: int
    count: int | None
    """Number of ports, where one is written (`49170/2`)."""
    protocol: str
    formats: str

    @property
    def transport(self) -> Transport:
        """Returns what the protocol field runs over: TCP where it says so (RFC 4145), else UDP."""
        return Transport.TCP if "TCP" in self.protocol.upper().split("/") else Transport.UDP

    @property
    def is_rtp(self) -> bool:
        """Says whether it carries RTP, and RTCP beside it."""
        return "RTP" in self.protocol.upper()

    def __str__(self) -> str:
        count = "" if self.count is None else f"/{self.count}"
        return f"{self.media} {self.port}{count} {self.protocol} {self.formats}"


@dataclass(frozen=True, slots=True)
class Destination:
    """Is where a component's data goes without ICE: its default destination (RFC 8839 §3)."""

    host: str
    """Canonical IP text, or a name in lower case."""
    port: int

    @property
    def is_name(self) -> bool:
        """Says whether the host is a name."""
        return is_name(self.host)

    @property
    def is_unspecified(self) -> bool:
        """Says whether nothing can be sent there: 0.0.0.0 or ::, or the port that stands for none."""
        return self.port in (0, DISCARD_PORT) or (not self.is_name and ipaddress.ip_address(self.host).is_unspecified)

    @property
    def address(self) -> Address:
        """Returns the transport address.

        Raises: InvalidArgument when the host is a name.
        """
        return Address(canonical_host(self.host), self.port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RemoteCandidate:
    """Is one of `a=remote-candidates`: what the controlling side selected of the other's candidates."""

    component: int
    address: Address


def parse_media(value: str, offset: int) -> MediaLine:
    """Parses what follows `m=`.

    Raises: DecodeError BAD_SDP.
    RFC: 8866 §5.14.
    """
    fields = value.split(" ", 3)
    if len(fields) < 4 or not all(fields):
        raise bad_sdp(
            f"m= line at character {offset}: {_shown(value)}, expected media, port, protocol, formats", offset
        )
    media, port, protocol, formats = fields
    first, separator, count = port.partition("/")
    return MediaLine(
        media=media,
        port=_number("port of the m= line", first, offset, 0, MAX_PORT),
        count=_number("number of ports of the m= line", count, offset, 1, MAX_PORT) if separator else None,
        protocol=protocol,
        formats=formats,
    )


def parse_connection(value: str, offset: int) -> str:
    """Parses what follows `c=` and returns the host; what says how far multicast goes is dropped.

    Raises: DecodeError BAD_SDP.
    RFC: 8866 §5.7.
    """
    fields = value.split()
    if len(fields) != 3:
        raise bad_sdp(f"c= line at character {offset}: {_shown(value)}, expected IN, IP4 or IP6, an address", offset)
    return _host("c= line", fields, offset)


def format_connection(host: str) -> str:
    """Formats what follows `c=`."""
    return f"IN {'IP6' if ':' in host else 'IP4'} {host}"


def parse_rtcp(value: str, host: str, offset: int) -> Destination:
    """Parses what follows `a=rtcp:`; `host` is what holds when it names none.

    Raises: DecodeError BAD_SDP.
    RFC: 3605 §2.1.
    """
    fields = value.split()
    if len(fields) not in (1, 4):
        raise bad_sdp(f"a=rtcp at character {offset}: {_shown(value)}, expected a port, or it and an address", offset)
    port = _number("port of a=rtcp", fields[0], offset, 0, MAX_PORT)
    return Destination(_host("a=rtcp", fields[1:], offset) if len(fields) == 4 else host, port)


def format_rtcp(destination: Destination, rtp: Destination) -> str | None:
    """Formats `rtcp:...`, or returns None where the default says the same.

    RFC: 8839 §4.2.2.
    """
    if destination.host != rtp.host:
        return f"rtcp:{destination.port} {format_connection(destination.host)}"
    return None if destination.port == rtp.port + 1 else f"rtcp:{destination.port}"


def parse_remote_candidates(value: str, offset: int) -> tuple[RemoteCandidate, ...]:
    """Parses what follows `a=remote-candidates:`.

    Raises: DecodeError BAD_SDP.
    RFC: 8839 §5.2.
    """
    fields = value.split()
    if not fields or len(fields) % 3 or len(fields) > 3 * MAX_REMOTE_CANDIDATES:
        detail = f"{len(fields)} fields, expected component, address and port, 1 to {MAX_REMOTE_CANDIDATES} times"
        raise bad_sdp(f"a=remote-candidates at character {offset}: {detail}", offset)
    return tuple(_remote_candidate(fields[i : i + 3], offset) for i in range(0, len(fields), 3))


def format_remote_candidates(candidates: Iterable[RemoteCandidate]) -> str:
    """Formats `remote-candidates:...`."""
    texts = (f"{one.component} {one.address.host} {one.address.port}" for one in candidates)
    return f"remote-candidates:{' '.join(texts)}"


def bad_sdp(detail: str, offset: int) -> DecodeError:
    """Returns the error for text that is no usable session description."""
    return DecodeError(DecodeReason.BAD_SDP, detail, offset=offset)


def _remote_candidate(fields: Sequence[str], offset: int) -> RemoteCandidate:
    component, host, port = fields
    where = "a=remote-candidates"
    try:
        canonical = canonical_host(host)
    except InvalidArgument:
        raise bad_sdp(f"{where} at character {offset}: {_shown(host)}, expected an IP address", offset) from None
    number = _number(f"component of {where}", component, offset, 1, MAX_COMPONENT)
    return RemoteCandidate(number, Address(canonical, _number(f"port of {where}", port, offset, 0, MAX_PORT)))


def _number(what: str, text: str, offset: int, low: int, high: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and low <= int(text) <= high):
        raise bad_sdp(f"{what} at character {offset}: {_shown(text)}, expected {low} to {high}", offset)
    return int(text)


def _host(where: str, fields: Sequence[str], offset: int) -> str:
    network, family, text = fields
    if network.upper() != "IN" or family.upper() not in ("IP4", "IP6"):
        raise bad_sdp(f"{where} at character {offset}: {_shown(f'{network} {family}')}, expected IN IP4 or IP6", offset)
    bare = text.partition("/")[0].lower()
    if not is_name(bare):
        try:
            return canonical_host(bare)
        except InvalidArgument:
            raise bad_sdp(f"{where} at character {offset}: {_shown(text)}, expected an address", offset) from None
    if not bare or len(bare) > MAX_NAME_LENGTH or not NAME_CHARS.issuperset(bare):
        raise bad_sdp(f"{where} at character {offset}: {_shown(text)}, expected an address or a name", offset)
    return bare


def _shown(text: str) -> str:
    return repr(text[:_SHOWN])
