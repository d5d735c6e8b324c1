"""One candidate as one line of text: `candidate:...` with RFC 8839 §5.1 and RFC 6544 §4.5.

The fixed fields come first, then name/value pairs: `raddr`, `rport`, `tcptype` and `ufrag` are typed, every
other pair is kept in order and printed again. Host names stay names (an mDNS one is resolved by others).
The parser accepts what deployed peers write: any case of the keywords, spare spaces, zone ids; what RFC 8839
says to ignore (an unknown type or transport) is a DecodeError as well, which the caller counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NewType

from icepath.entropy import ICE_CHARS, MIN_UFRAG_LENGTH, check_ice_text
from icepath.errors import DecodeError, DecodeReason, InvalidArgument, InvalidState
from icepath.machine import Transport
from icepath.net import MAX_PORT, Address, canonical_host

Foundation = NewType("Foundation", str)
"""Groups candidates of one type, base and server (RFC 8445 §5.1.1.3)."""

# Two host names of 253 characters, a ufrag of 256 and the numbers leave 200 characters for extensions.
MAX_LINE_LENGTH: Final = 1024
# RFC 8839 §5.1: foundation = 1*32ice-char.
MAX_FOUNDATION_LENGTH: Final = 32
# RFC 8839 §5.1: component-id is between 1 and 256, inclusive.
MAX_COMPONENT: Final = 256
# RFC 8839 §5.1: priority is between 1 and 2**31 - 1, inclusive.
MAX_PRIORITY: Final = 0x7FFF_FFFF
# RFC 1035 §2.3.4, as text without the final dot.
MAX_NAME_LENGTH: Final = 253
# RFC 8839 §5.1: the port of a related address that is not told is 9, its host the unspecified address.
WITHHELD_PORT: Final = 9

FIXED_FIELDS: Final = ("foundation", "component", "transport", "priority", "address", "port", "typ", "type")
TYPED_EXTENSIONS: Final = frozenset({"raddr", "rport", "tcptype", "ufrag"})
# "-", "_" and "=" are no ice-chars, but deployed peers use them; nothing depends on their absence.
FOUNDATION_CHARS: Final = frozenset(ICE_CHARS + "-_=")
NAME_CHARS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


class CandidateType(StrEnum):
    """Is how a candidate was found (RFC 8445 §4), as the wire spells it."""

    HOST = "host"
    SERVER_REFLEXIVE = "srflx"
    PEER_REFLEXIVE = "prflx"
    RELAYED = "relay"


class TcpType(StrEnum):
    """Is who opens the connection of a TCP candidate (RFC 6544 §4.5)."""

    ACTIVE = "active"
    PASSIVE = "passive"
    SIMULTANEOUS_OPEN = "so"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Is a transport address that connectivity checks may use, as agents tell each other."""

    foundation: Foundation
    component: int
    transport: Transport
    priority: int
    host: str
    """Canonical IP text, or a name such as `x.local`."""
    port: int
    type: CandidateType
    related_address: Address | None = None
    """For people only: the base, or for a relayed candidate the mapped address."""
    tcp_type: TcpType | None = None
    ufrag: str | None = None
    """The generation it belongs to, so that late ones of an old generation can be told."""
    extensions: tuple[tuple[str, str], ...] = ()
    """Name/value pairs not known here, in order."""
    url: str | None = field(default=None, compare=False)
    """The server it was learnt from; never printed."""

    @classmethod
    def parse(cls, line: str) -> Candidate:
        """Parses a candidate line; see `parse_candidate`."""
        return parse_candidate(line)

    @property
    def is_name(self) -> bool:
        """Says whether the host is a name that has to be resolved first."""
        return is_name(self.host)

    @property
    def address(self) -> Address:
        """Returns the transport address.

        Raises: InvalidState when the host is a name.
        """
        if is_name(self.host):
            raise InvalidState(f"candidate {self.host}:{self.port} has a name, not an IP address: resolve it first")
        return Address(self.host, self.port)

    def __str__(self) -> str:
        return format_candidate(self)


def is_name(host: str) -> bool:
    """Says whether a host as `Candidate` holds it is a name; a name's last label is never a number."""
    return ":" not in host and not host.rpartition(".")[2].isdecimal()


def parse_candidate(line: str) -> Candidate:
    """Parses `a=candidate:...`, `candidate:...` or what follows the colon.

    Raises: DecodeError BAD_CANDIDATE_LINE, also for what RFC 8839 says to ignore.
    RFC: 8839 §5.1, 6544 §4.5.
    """
    tokens = _split(line)
    fixed = [token for token in tokens if token[0]][: len(FIXED_FIELDS)]
    if len(fixed) < len(FIXED_FIELDS):
        raise _error("candidate line", len(line), f"ends after {len(fixed)} fields", " ".join(FIXED_FIELDS))
    foundation, component, transport_text, priority, host, port, typ, type_text = fixed
    if typ[0].lower() != "typ":
        raise _error("keyword", typ[1], repr(typ[0][:32]), '"typ"')
    transport = _transport(*transport_text)
    known, extensions = _extensions(tokens[tokens.index(type_text) + 1 :], transport)
    return Candidate(
        foundation=_foundation(*foundation),
        component=_number("component", *component, 1, MAX_COMPONENT),
        transport=transport,
        priority=_number("priority", *priority, 1, MAX_PRIORITY),
        host=_host("address", *host),
        port=_number("port", *port, 0, MAX_PORT),
        type=_candidate_type(*type_text),
        related_address=_related_address(known),
        tcp_type=_tcp_type(known, len(line)) if transport is Transport.TCP else None,
        ufrag=_ufrag(known),
        extensions=extensions,
    )


def format_candidate(candidate: Candidate) -> str:
    """Formats a candidate as `candidate:...`, without `a=` and line end.

    RFC: 8839 §5.1, 6544 §4.5.
    """
    related = candidate.related_address
    if related is None and candidate.type is not CandidateType.HOST:
        # RFC 8839 §5.1: MUST be present for these types; this is how to say that it is not told.
        related = Address("::" if ":" in candidate.host else "0.0.0.0", WITHHELD_PORT)
    parts = [
        f"candidate:{candidate.foundation} {candidate.component} {candidate.transport.value.upper()}",
        f"{candidate.priority} {candidate.host} {candidate.port} typ {candidate.type.value}",
    ]
    if related is not None:
        parts.append(f"raddr {related.host} rport {related.port}")
    if candidate.tcp_type is not None:
        parts.append(f"tcptype {candidate.tcp_type.value}")
    if candidate.ufrag is not None:
        parts.append(f"ufrag {candidate.ufrag}")
    parts.extend(f"{name} {value}" for name, value in candidate.extensions)
    return " ".join(parts)


def _split(line: str) -> list[tuple[str, int]]:
    """Cuts at every space: (text, offset) each; an extension's value may be empty, so nothing is joined."""
    if len(line) > MAX_LINE_LENGTH:
        raise _error("candidate line", MAX_LINE_LENGTH, f"{len(line)} characters", f"at most {MAX_LINE_LENGTH}")
    text = line.rstrip("\r\n")
    for offset, char in enumerate(text):
        if not " " <= char <= "~":
            raise _error("candidate line", offset, repr(char), "printable ASCII")
    start = len(text) - len(text.lstrip())
    for prefix in ("a=", "candidate:"):
        if text[start : start + len(prefix)].lower() == prefix:
            start += len(prefix)
    tokens: list[tuple[str, int]] = []
    for piece in text[start:].split(" "):
        tokens.append((piece, start))
        start += len(piece) + 1
    return tokens


def _extensions(
    tokens: list[tuple[str, int]], transport: Transport
) -> tuple[dict[str, tuple[str, int]], tuple[tuple[str, str], ...]]:
    """Sorts the name/value pairs into typed ones (the first of each name) and the others, in order."""
    known: dict[str, tuple[str, int]] = {}
    others: list[tuple[str, str]] = []
    index = 0
    while index < len(tokens):
        name, offset = tokens[index]
        index += 1
        if not name:
            continue
        value = tokens[index][0] if index < len(tokens) else ""
        index += 1
        key = name.lower()
        if key not in TYPED_EXTENSIONS or (key == "tcptype" and transport is not Transport.TCP):
            others.append((name, value))
        else:
            known.setdefault(key, (value, offset))
    return known, tuple(others)


def _foundation(text: str, offset: int) -> Foundation:
    if len(text) > MAX_FOUNDATION_LENGTH or not FOUNDATION_CHARS.issuperset(text):
        raise _error("foundation", offset, repr(text[:40]), "1 to 32 of A-Z a-z 0-9 + /")
    return Foundation(text)


def _number(what: str, text: str, offset: int, low: int, high: int) -> int:
    if not (text.isdecimal() and len(text) <= 10 and low <= int(text) <= high):
        raise _error(what, offset, repr(text[:32]), f"{low} to {high}")
    return int(text)


def _transport(text: str, offset: int) -> Transport:
    for transport in Transport:
        if text.lower() == transport.value:
            return transport
    raise _error("transport", offset, repr(text[:32]), "UDP or TCP")


def _candidate_type(text: str, offset: int) -> CandidateType:
    for candidate_type in CandidateType:
        if text.lower() == candidate_type.value:
            return candidate_type
    raise _error("candidate type", offset, repr(text[:32]), ", ".join(CandidateType))


def _host(what: str, text: str, offset: int) -> str:
    """Returns canonical IP text (a zone is dropped), or the name in lower case."""
    bare = text.partition("%")[0].lower()
    if not is_name(bare):
        try:
            return canonical_host(bare)
        except InvalidArgument:
            raise _error(what, offset, repr(text[:64]), "an IP address or a name") from None
    if len(bare) > MAX_NAME_LENGTH or not NAME_CHARS.issuperset(bare) or not all(bare.removesuffix(".").split(".")):
        raise _error(what, offset, repr(text[:64]), "an IP address or a name")
    return bare


def _related_address(known: dict[str, tuple[str, int]]) -> Address | None:
    """Returns raddr and rport; nothing depends on them, so a name or half of them counts as not told."""
    if "raddr" not in known or "rport" not in known:
        return None
    host = _host("raddr", *known["raddr"])
    port = _number("rport", *known["rport"], 0, MAX_PORT)
    return None if is_name(host) else Address(host, port)


def _tcp_type(known: dict[str, tuple[str, int]], end: int) -> TcpType:
    text, offset = known.get("tcptype", ("", end))
    for tcp_type in TcpType:
        if text.lower() == tcp_type.value:
            return tcp_type
    raise _error("tcptype", offset, repr(text[:32]) if text else "none", ", ".join(TcpType))


def _ufrag(known: dict[str, tuple[str, int]]) -> str | None:
    if "ufrag" not in known:
        return None
    text, offset = known["ufrag"]
    try:
        check_ice_text("ufrag", text, MIN_UFRAG_LENGTH)
    except InvalidArgument as error:
        raise _error("ufrag", offset, repr(text[:32]), str(error)) from None
    return text


def _error(what: str, offset: int, found: str, allowed: str) -> DecodeError:
    detail = f"{what} at character {offset}: {found}, expected {allowed}"
    return DecodeError(DecodeReason.BAD_CANDIDATE_LINE, detail, offset=offset)
