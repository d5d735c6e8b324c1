"""One candidate as one line of text: `candidate:...` with RFC 8839 §5.1 and RFC 6544 §4.5.

The fixed fields come first, then name/value pairs: `raddr`, `rport`, `tcptype` and `ufrag` are typed, every
other pair is kept in order and printed again. Host names stay names (an mDNS one is resolved by others).
The parser accepts what deployed peers write: any case of the keywords, spare spaces, zone ids; what RFC 8839
says to ignore (an unknown type or transport) is a DecodeError as well, which the caller counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NewType, TypeAlias, final

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


# Looking a value up in its enum costs ten times as much.
_TRANSPORTS: Final[dict[str, Transport]] = {transport.value: transport for transport in Transport}
_CANDIDATE_TYPES: Final[dict[str, CandidateType]] = {kind.value: kind for kind in CandidateType}
_TCP_TYPES: Final[dict[str, TcpType]] = {tcp_type.value: tcp_type for tcp_type in TcpType}


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
    cut = _cut(line)
    fields = [(piece, index) for index, piece in enumerate(cut.pieces) if piece][: len(FIXED_FIELDS)]
    if len(fields) < len(FIXED_FIELDS):
        raise _error("candidate line", len(line), f"ends after {len(fields)} fields", " ".join(FIXED_FIELDS))
    foundation, component, transport_field, priority, host, port, typ, type_field = fields
    if typ[0].lower() != "typ":
        raise cut.error("keyword", typ, '"typ"')
    transport = _transport(cut, transport_field)
    known, extensions = _extensions(cut.pieces, type_field[1] + 1, transport)
    return Candidate(
        foundation=_foundation(cut, foundation),
        component=_number(cut, "component", component, 1, MAX_COMPONENT),
        transport=transport,
        priority=_number(cut, "priority", priority, 1, MAX_PRIORITY),
        host=_host(cut, "address", host),
        port=_number(cut, "port", port, 0, MAX_PORT),
        type=_candidate_type(cut, type_field),
        related_address=_related_address(cut, known),
        tcp_type=_tcp_type(cut, known, len(line)) if transport is Transport.TCP else None,
        ufrag=_ufrag(cut, known),
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


Field: TypeAlias = tuple[str, int]
"""A text, and the index of the piece where it begins."""


@final
class _Cut:
    """Is a line cut at every space; an extension's value may be empty, so nothing is joined."""

    __slots__ = ("pieces", "start")

    def __init__(self, pieces: list[str], start: int) -> None:
        self.pieces: Final = pieces
        self.start: Final = start

    def error(self, what: str, field: Field, allowed: str, *, shown: int = 32) -> DecodeError:
        """Returns the error about a field: at which character it begins is worked out for errors only."""
        text, index = field
        offset = self.start + sum([len(piece) + 1 for piece in self.pieces[:index]])
        return _error(what, offset, repr(text[:shown]), allowed)


def _cut(line: str) -> _Cut:
    if len(line) > MAX_LINE_LENGTH:
        raise _error("candidate line", MAX_LINE_LENGTH, f"{len(line)} characters", f"at most {MAX_LINE_LENGTH}")
    text = line.rstrip("\r\n")
    if not (text.isascii() and text.isprintable()):
        offset = next(offset for offset, char in enumerate(text) if not " " <= char <= "~")
        raise _error("candidate line", offset, repr(text[offset]), "printable ASCII")
    start = len(text) - len(text.lstrip())
    for prefix in ("a=", "candidate:"):
        if text[start : start + len(prefix)].lower() == prefix:
            start += len(prefix)
    return _Cut(text[start:].split(" "), start)


def _extensions(
    pieces: list[str], index: int, transport: Transport
) -> tuple[dict[str, Field], tuple[tuple[str, str], ...]]:
    """Sorts the name/value pairs from `index` on into typed ones (the first of each name) and the others, in order."""
    known: dict[str, Field] = {}
    others: list[tuple[str, str]] = []
    end = len(pieces)
    while index < end:
        name, at = pieces[index], index
        index += 1
        if not name:
            continue
        value = pieces[index] if index < end else ""
        index += 1
        key = name.lower()
        if key not in TYPED_EXTENSIONS or (key == "tcptype" and transport is not Transport.TCP):
            others.append((name, value))
        else:
            known.setdefault(key, (value, at))
    return known, tuple(others)


def _foundation(cut: _Cut, field: Field) -> Foundation:
    text, _ = field
    if len(text) > MAX_FOUNDATION_LENGTH or not FOUNDATION_CHARS.issuperset(text):
        raise cut.error("foundation", field, "1 to 32 of A-Z a-z 0-9 + /", shown=40)
    return Foundation(text)


def _number(cut: _Cut, what: str, field: Field, low: int, high: int) -> int:
    text, _ = field
    if text.isdecimal() and len(text) <= 10:
        number = int(text)
        if low <= number <= high:
            return number
    raise cut.error(what, field, f"{low} to {high}")


def _transport(cut: _Cut, field: Field) -> Transport:
    transport = _TRANSPORTS.get(field[0].lower())
    if transport is None:
        raise cut.error("transport", field, "UDP or TCP")
    return transport


def _candidate_type(cut: _Cut, field: Field) -> CandidateType:
    candidate_type = _CANDIDATE_TYPES.get(field[0].lower())
    if candidate_type is None:
        raise cut.error("candidate type", field, ", ".join(CandidateType))
    return candidate_type


def _host(cut: _Cut, what: str, field: Field) -> str:
    """Returns canonical IP text (a zone is dropped), or the name in lower case."""
    bare = field[0].partition("%")[0].lower()
    if not is_name(bare):
        try:
            return canonical_host(bare)
        except InvalidArgument:
            raise cut.error(what, field, "an IP address or a name", shown=64) from None
    if len(bare) > MAX_NAME_LENGTH or not NAME_CHARS.issuperset(bare) or not all(bare.removesuffix(".").split(".")):
        raise cut.error(what, field, "an IP address or a name", shown=64)
    return bare


def _related_address(cut: _Cut, known: dict[str, Field]) -> Address | None:
    """Returns raddr and rport; nothing depends on them, so a name or half of them counts as not told."""
    if "raddr" not in known or "rport" not in known:
        return None
    host = _host(cut, "raddr", known["raddr"])
    port = _number(cut, "rport", known["rport"], 0, MAX_PORT)
    return None if is_name(host) else Address(host, port)


def _tcp_type(cut: _Cut, known: dict[str, Field], end: int) -> TcpType:
    field = known.get("tcptype")
    if field is None:
        raise _error("tcptype", end, "none", ", ".join(TcpType))
    tcp_type = _TCP_TYPES.get(field[0].lower())
    if tcp_type is None:
        raise cut.error("tcptype", field, ", ".join(TcpType))
    return tcp_type


def _ufrag(cut: _Cut, known: dict[str, Field]) -> str | None:
    field = known.get("ufrag")
    if field is None:
        return None
    try:
        check_ice_text("ufrag", field[0], MIN_UFRAG_LENGTH)
    except InvalidArgument as error:
        raise cut.error("ufrag", field, str(error)) from None
    return field[0]


def _error(what: str, offset: int, found: str, allowed: str) -> DecodeError:
    detail = f"{what} at character {offset}: {found}, expected {allowed}"
    return DecodeError(DecodeReason.BAD_CANDIDATE_LINE, detail, offset=offset)
