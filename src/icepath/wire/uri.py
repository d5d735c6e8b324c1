"""stun:, stuns:, turn: and turns: URIs (RFC 7064, RFC 7065), and why a text is not one.

    stun:HOST[:PORT]      turn:HOST[:PORT][?transport=udp|tcp]

They look like, but are not, hierarchical URIs: no `//`, no path, and no user or password, which are
given beside them. No error repeats a text that may hold a password. Names are not resolved here
(RFC 5928 is the driver's).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.machine import Transport
from icepath.net import MAX_PORT, canonical_host

# RFC 7064 §3.2, RFC 7065 §3.2.
DEFAULT_PORT: Final = 3478
DEFAULT_SECURE_PORT: Final = 5349

MAX_URI_LENGTH: Final = 512
# RFC 1035 §2.3.4, as text without the final dot.
MAX_NAME_LENGTH: Final = 253
NAME_CHARS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
FORMS: Final = "stun:HOST[:PORT], stuns:..., turn:HOST[:PORT][?transport=udp|tcp] or turns:..."

SCHEMES: Final[dict[str, tuple[Literal["stun", "turn"], bool]]] = {
    "stun": ("stun", False),
    "stuns": ("stun", True),
    "turn": ("turn", False),
    "turns": ("turn", True),
}


@dataclass(frozen=True, slots=True)
class ServerUri:
    """Is where a STUN or TURN server is, as its user wrote it."""

    scheme: Literal["stun", "turn"]
    secure: bool
    host: str
    """A name as written, or canonical IP text."""
    port: int | None = None
    transport: Transport | None = None

    @property
    def default_port(self) -> int:
        """Returns the port that holds when none is written and the DNS names none."""
        return DEFAULT_SECURE_PORT if self.secure else DEFAULT_PORT

    def __str__(self) -> str:
        scheme = self.scheme + ("s" if self.secure else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        transport = "" if self.transport is None else f"?transport={self.transport.value}"
        return f"{scheme}:{host}{port}{transport}"


def parse_server_uri(text: str) -> ServerUri:
    """Parses a server's URI.

    Raises: DecodeError BAD_URI, with what was found, what is allowed, and where.
    RFC: 7064 §3.1, 7065 §3.1.
    """
    if len(text) > MAX_URI_LENGTH:
        raise _error(MAX_URI_LENGTH, f"URI of {len(text)} characters", f"at most {MAX_URI_LENGTH}")
    if "@" in text:
        raise _error(text.index("@"), '"@"', "no user or password in the URI: give them beside it")
    for offset, char in enumerate(text):
        if not "!" <= char <= "~":
            raise _error(offset, repr(char), 'printable ASCII without spaces (write other names as "xn--...")')
    scheme_text, colon, _ = text.partition(":")
    known = SCHEMES.get(scheme_text.lower()) if colon else None
    if known is None:
        raise _error(0, "no scheme stun:, stuns:, turn: or turns:", FORMS)
    start = len(scheme_text) + 1
    if text.startswith("//", start):
        raise _error(start, '"//"', f'the host right after "{scheme_text}:"')
    authority, question, query = text[start:].partition("?")
    host, port_text, port_offset = _cut_host(authority, start)
    return ServerUri(
        scheme=known[0],
        secure=known[1],
        host=host,
        port=_port(port_text, port_offset),
        transport=_transport(query, start + len(authority)) if question else None,
    )


def _cut_host(authority: str, start: int) -> tuple[str, str, int]:
    """Returns the checked host, the port's text and the port's offset."""
    if authority.startswith("["):
        inner, bracket, rest = authority[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise _error(start, "an unfinished IPv6 literal", "[IPv6] or [IPv6]:PORT")
        return _ip(inner, start + 1, need_ipv6=True), rest[1:], start + len(inner) + 3
    host, _, port = authority.partition(":")
    if ":" in port:
        raise _error(start, "more than one colon", "HOST:PORT, an IPv6 address in brackets")
    if not host:
        raise _error(start, "no host", FORMS)
    return _name_or_ipv4(host, start), port, start + len(host) + 1


def _name_or_ipv4(host: str, offset: int) -> str:
    """Returns the host; one whose last label is a number must be an IPv4 address."""
    for index, char in enumerate(host):
        if char not in NAME_CHARS:
            raise _error(offset + index, f"{char!r} in the host", "letters, digits, dots and hyphens")
    labels = host.removesuffix(".").split(".")
    if labels[-1].isdecimal():
        return _ip(host, offset, need_ipv6=False)
    if len(host) > MAX_NAME_LENGTH or not all(0 < len(label) <= 63 for label in labels):
        raise _error(offset, "a host name out of range", f"at most {MAX_NAME_LENGTH} characters, 1 to 63 between dots")
    return host


def _ip(text: str, offset: int, *, need_ipv6: bool) -> str:
    try:
        if "%" in text or (":" in text) is not need_ipv6:
            raise InvalidArgument(text)
        return canonical_host(text)
    except InvalidArgument:
        family = "an IPv6 address without a zone" if need_ipv6 else "an IPv4 address or a name"
        raise _error(offset, repr(text[:64]), family) from None


def _port(text: str, offset: int) -> int | None:
    """Returns the port; RFC 3986 §3.2.3 allows an empty one."""
    if not text:
        return None
    if not (text.isdecimal() and len(text) <= 5 and 0 < int(text) <= MAX_PORT):
        raise _error(offset, "port out of range", f"1 to {MAX_PORT}")
    return int(text)


def _transport(query: str, offset: int) -> Transport:
    """Returns the transport. RFC 7064 has none for stun:, but providers' lists have it, so it is accepted."""
    for transport in Transport:
        if query.lower() == f"transport={transport.value}":
            return transport
    raise _error(offset, "an unknown query", '"?transport=udp" or "?transport=tcp"')


def _error(offset: int, found: str, allowed: str) -> DecodeError:
    return DecodeError(DecodeReason.BAD_URI, f"{found} at character {offset}; allowed: {allowed}", offset=offset)
