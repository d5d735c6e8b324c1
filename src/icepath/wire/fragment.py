"""What two agents exchange: a `Description`, as an RFC 8840 fragment, in a whole SDP, or as an `ice1:` token.

The values and what must be in them live here, as does a token's content; ice_lines.py reads the lines of
fragments and SDPs, ice_token.py guards a token against damage. Offer/answer is sdp's business (RFC 8839,
RFC 8840 §§4, 9). A description's text holds its password, its repr and the errors never do.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from typing import Final, final

from icepath.entropy import MIN_PASSWORD_LENGTH, MIN_UFRAG_LENGTH, Secret, check_ice_text
from icepath.errors import DecodeError, DecodeReason, InvalidArgument, InvalidState
from icepath.wire.candidate_line import Candidate, CandidateType, TcpType, format_candidate, parse_candidate
from icepath.wire.ice_lines import MAX_OPTIONS, MAX_TAG_LENGTH, Section, is_tag, read_lines, streams
from icepath.wire.ice_token import MAX_PAYLOAD_LENGTH, format_token, looks_like_token, parse_token

# RFC 8839 §5.5: pacing-value = 1*10DIGIT.
MAX_PACING: Final = 9_999_999_999

# RFC 8838 §4.1.1 and RFC 8445 §10: what this implementation does.
DEFAULT_OPTIONS: Final = ("trickle", "ice2")
# RFC 8840 §4.4: the content of a pseudo m= line that stands for an unknown one.
PSEUDO_MEDIA_LINE: Final = "m=audio 9 RTP/AVP 0"


@dataclass(frozen=True, slots=True)
class Description:
    """Is one side of one data stream: username fragment, password, candidates, options.

    Raises: InvalidArgument when a value cannot be written as RFC 8839 §5 says.
    """

    ufrag: str
    password: Secret
    candidates: tuple[Candidate, ...] = ()
    options: tuple[str, ...] = DEFAULT_OPTIONS
    end_of_candidates: bool = False
    pacing: int | None = None
    """The wanted interval between checks (RFC 8839 §5.5), in milliseconds; None means not told."""
    lite: bool = False
    mid: str | None = None
    """Names the m= section (RFC 5888) that the stream belongs to."""
    ignored_candidates: int = field(default=0, compare=False)
    """How many candidate lines of the text could not be used."""

    def __post_init__(self) -> None:
        check_ice_text("ufrag", self.ufrag, MIN_UFRAG_LENGTH)
        check_ice_text("password", self.password.reveal(), MIN_PASSWORD_LENGTH)
        if self.pacing is not None and not 0 <= self.pacing <= MAX_PACING:
            raise InvalidArgument(f"pacing is {self.pacing} ms, allowed are 0 to {MAX_PACING}")
        if len(self.options) > MAX_OPTIONS:
            raise InvalidArgument(f"{len(self.options)} options, allowed are {MAX_OPTIONS}")
        for tag in self.options if self.mid is None else (*self.options, self.mid):
            if not is_tag(tag):
                raise InvalidArgument(f"tag {tag[:40]!r}: allowed are 1 to {MAX_TAG_LENGTH} printable ASCII characters")

    @classmethod
    def parse(cls, text: str) -> Description:
        """Parses a fragment, a whole SDP or a token; of several data streams, the first.

        Raises: DecodeError.
        """
        if looks_like_token(text.lstrip()):
            return _unpack(parse_token(text))
        return parse_descriptions(text)[0]

    def token(self) -> str:
        """Returns all of it in one line of less than 4,095 characters.

        Related addresses and extensions are left out; so are the last host candidates when there are too many.
        """
        return format_token(_pack(self))

    def __str__(self) -> str:
        return _format_fragment(self)


@dataclass(frozen=True, slots=True)
class Trickle:
    """Is what a fragment adds to a description that was sent before."""

    ufrag: str | None
    """The generation it belongs to, also put into each candidate that does not say it itself."""
    candidates: tuple[Candidate, ...] = ()
    end_of_candidates: bool = False
    mid: str | None = None
    ignored_candidates: int = field(default=0, compare=False)
    """How many candidate lines of the text could not be used."""


def parse_descriptions(text: str) -> tuple[Description, ...]:
    """Parses a fragment or a whole SDP: one description per data stream that uses ICE, at least one.

    Raises: DecodeError BAD_FRAGMENT or TOO_LONG.
    RFC: 8839 §5, 8840 §9.2.
    """
    body = read_lines(text)
    descriptions = tuple([_description(section) for section in streams(body) if _uses_ice(section)])
    if not descriptions:
        found = "no section that uses ICE" if body.sections else "no a=ice-ufrag and a=ice-pwd"
        raise _error(f'{found}; expected an RFC 8840 fragment, an SDP or a token ("ice1:...")', 0)
    return descriptions


def parse_trickle(text: str) -> Trickle:
    """Parses a fragment that may lack the password, or bare candidate lines; of several sections, the first.

    Raises: DecodeError BAD_FRAGMENT when it holds nothing of the kind, or TOO_LONG.
    RFC: 8840 §4.4.
    """
    section = next(iter(streams(read_lines(text))), Section(0))
    if not (section.candidates or section.ignored or section.end_of_candidates or section.ufrag):
        raise _error("no candidate and no end of candidates; expected an RFC 8840 fragment or candidate lines", 0)
    return Trickle(
        ufrag=section.ufrag,
        candidates=tuple(replace(one, ufrag=one.ufrag or section.ufrag) for one in section.candidates),
        end_of_candidates=section.end_of_candidates,
        mid=section.mid,
        ignored_candidates=section.ignored,
    )


def _uses_ice(section: Section) -> bool:
    """Says whether ICE is used; RFC 8839 §5.3: not after a mismatch."""
    return not section.has_mismatch and (section.ufrag is not None or section.password is not None)


def _description(section: Section) -> Description:
    if section.ufrag is None or section.password is None:
        missing = "a=ice-ufrag" if section.ufrag is None else "a=ice-pwd"
        where = "" if section.mid is None else f" of mid {section.mid!r}"
        raise _error(f"section{where} at character {section.offset}: {missing} is missing", section.offset)
    return Description(
        ufrag=section.ufrag,
        password=section.password,
        candidates=tuple(section.candidates),
        options=tuple(section.options),
        end_of_candidates=section.end_of_candidates,
        pacing=section.pacing,
        lite=section.lite,
        mid=section.mid,
        ignored_candidates=section.ignored,
    )


# -- writing ------------------------------------------------------------------------------------------


def _format_fragment(description: Description) -> str:
    """Formats an RFC 8840 §9.2 fragment: the credentials at session level, one pseudo m= line."""
    lines = ["a=ice-lite"] if description.lite else []
    if description.options:
        lines.append(f"a=ice-options:{' '.join(description.options)}")
    if description.pacing is not None:
        lines.append(f"a=ice-pacing:{description.pacing}")
    lines += [f"a=ice-pwd:{description.password.reveal()}", f"a=ice-ufrag:{description.ufrag}", PSEUDO_MEDIA_LINE]
    if description.mid is not None:
        lines.append(f"a=mid:{description.mid}")
    lines += [f"a={format_candidate(candidate)}" for candidate in description.candidates]
    if description.end_of_candidates:
        lines.append("a=end-of-candidates")
    return "\r\n".join([*lines, ""])


# -- tokens -------------------------------------------------------------------------------------------
#
# description  flags 1, ufrag text, password text, [options: count 1, texts], [pacing 5], [mid text], candidates
# candidate    shape 1, foundation text, component - 1: 1, priority 4, host 4 or 16 or text, port 2
# text         length 2 if above 254 (after a byte 255), else 1; ASCII
#
# flags 0x01 end of candidates, 0x02 lite, 0x04 options other than the default, 0x08 pacing, 0x10 mid
# shape 0x03 type, 0x0c transport (UDP, active, passive, simultaneous open), 0x30 host (IPv4, IPv6, name), 0x40 ufrag

_END: Final = 0x01
_LITE: Final = 0x02
_OPTIONS: Final = 0x04
_PACING: Final = 0x08
_MID: Final = 0x10
_KNOWN_FLAGS: Final = 0x1F
_HAS_UFRAG: Final = 0x40
_KNOWN_SHAPE: Final = 0x7F
_LONG: Final = 0xFF

_TYPES: Final = tuple(CandidateType)
_TCP_TYPES: Final = (None, *TcpType)


def _pack(description: Description) -> bytes:
    """Packs a description; candidates of another generation are of no use to a reader and left out."""
    flags = _END * description.end_of_candidates | _LITE * description.lite
    tail = b""
    if description.options != DEFAULT_OPTIONS:
        flags |= _OPTIONS
        tail += bytes([len(description.options)]) + b"".join(map(_pack_text, description.options))
    if description.pacing is not None:
        flags |= _PACING
        tail += description.pacing.to_bytes(5, "big")
    if description.mid is not None:
        flags |= _MID
        tail += _pack_text(description.mid)
    head = bytes([flags]) + _pack_text(description.ufrag) + _pack_text(description.password.reveal()) + tail
    room = MAX_PAYLOAD_LENGTH - len(head)
    if room < 0:
        raise InvalidState(f"options and mid are {-room} bytes too long for a token")
    packed = [(one, _pack_candidate(one)) for one in description.candidates if one.ufrag in (None, description.ufrag)]
    return head + b"".join(_fitting(packed, room))


def _fitting(packed: list[tuple[Candidate, bytes]], room: int) -> list[bytes]:
    """Returns those that fit, in order: what a server gave goes before host candidates, then by priority."""
    kept: set[int] = set()
    order = sorted(range(len(packed)), key=lambda i: (packed[i][0].type is CandidateType.HOST, -packed[i][0].priority))
    for index in order:
        room -= len(packed[index][1])
        if room < 0:
            break
        kept.add(index)
    return [packed[index][1] for index in sorted(kept)]


def _pack_text(text: str) -> bytes:
    data = text.encode("ascii")
    if len(data) < _LONG:
        return bytes([len(data)]) + data
    return bytes([_LONG]) + len(data).to_bytes(2, "big") + data


def _pack_candidate(candidate: Candidate) -> bytes:
    shape = _TYPES.index(candidate.type) | _TCP_TYPES.index(candidate.tcp_type) << 2
    if candidate.ufrag is not None:
        shape |= _HAS_UFRAG
    if candidate.is_name:
        shape |= 0x20
        host = _pack_text(candidate.host)
    else:
        address = ipaddress.ip_address(candidate.host)
        shape |= 0x10 if address.version == 6 else 0
        host = address.packed
    return (
        bytes([shape])
        + _pack_text(candidate.foundation)
        + bytes([candidate.component - 1])
        + candidate.priority.to_bytes(4, "big")
        + host
        + candidate.port.to_bytes(2, "big")
    )


@final
class _Reader:
    """Reads a token's payload; its checksum held, so an error means another program's token."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, size: int) -> bytes:
        chunk = self.data[self.position : self.position + size]
        if len(chunk) < size:
            raise _bad_token(f"its content ends at byte {len(self.data)}")
        self.position += size
        return chunk

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def text(self) -> str:
        length = self.number(1)
        data = self.take(self.number(2) if length == _LONG else length)
        if not (data.isascii()):
            raise _bad_token(f"text before byte {self.position} is not ASCII")
        return data.decode("ascii")


def _unpack(data: bytes) -> Description:
    """Unpacks a token's payload, checked like any text."""
    reader = _Reader(data)
    flags = reader.number(1)
    if flags & ~_KNOWN_FLAGS:
        raise _bad_token(f"flags {flags:#04x}, known are {_KNOWN_FLAGS:#04x}")
    ufrag = reader.text()
    password = Secret(reader.text())
    options: tuple[str, ...] = DEFAULT_OPTIONS
    if flags & _OPTIONS:
        options = tuple(reader.text() for _ in range(reader.number(1)))
    pacing = reader.number(5) if flags & _PACING else None
    mid = reader.text() if flags & _MID else None
    candidates: list[Candidate] = []
    while reader.position < len(data):
        candidates.append(_unpack_candidate(reader, ufrag))
    try:
        return Description(
            ufrag, password, tuple(candidates), options, bool(flags & _END), pacing, bool(flags & _LITE), mid
        )
    except InvalidArgument as error:
        raise _bad_token(str(error)) from None


def _unpack_candidate(reader: _Reader, ufrag: str) -> Candidate:
    """Unpacks one candidate; it is written as a line, so that one parser judges all candidates."""
    shape = reader.number(1)
    host_kind = shape >> 4 & 0x03
    if shape & ~_KNOWN_SHAPE or host_kind == 3:
        raise _bad_token(f"candidate shape {shape:#04x} is not known")
    foundation = reader.text()
    component = reader.number(1) + 1
    priority = reader.number(4)
    host = reader.text() if host_kind == 2 else str(ipaddress.ip_address(reader.take(16 if host_kind else 4)))
    port = reader.number(2)
    tcp_type = _TCP_TYPES[shape >> 2 & 0x03]
    transport, tail = ("UDP", "") if tcp_type is None else ("TCP", f" tcptype {tcp_type.value}")
    line = f"{foundation} {component} {transport} {priority} {host} {port} typ {_TYPES[shape & 0x03].value}{tail}"
    try:
        candidate = parse_candidate(line)
    except DecodeError as error:
        raise _bad_token(str(error)) from None
    return replace(candidate, ufrag=ufrag) if shape & _HAS_UFRAG else candidate


def _bad_token(detail: str) -> DecodeError:
    return DecodeError(DecodeReason.BAD_TOKEN, f"token of another program: {detail}")


def _error(detail: str, offset: int) -> DecodeError:
    return DecodeError(DecodeReason.BAD_FRAGMENT, detail, offset=offset)
