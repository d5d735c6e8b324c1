"""Multicast DNS messages, as far as names of candidates need them: address questions, addresses, and NSEC.

Everything else in a message is stepped over, a broken record too, so that what others put beside an answer
never costs the answer (RFC 6762 §6.1). Reading takes time in proportion to the message, whatever its
compression pointers say: a name longer than any of ours is not followed to its end.

Not dnspython's: it takes 0.1 s to import, in the middle of connecting, 3 ms for a message of 30 addresses, and
keeps a class for ever for each record type that anybody sends (docs/decisions/0011-mdns-messages.md).

RFC 1035 §4.1 (format), RFC 6762 §18 (what mDNS makes of it), RFC 4034 §4.1 (NSEC).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from icepath.errors import DecodeError, DecodeReason

A: Final = 1
AAAA: Final = 28
NSEC: Final = 47
ANY: Final = 255
CLASS_IN: Final = 1
CLASS_ANY: Final = 255
# RFC 6762 §18.12 and §18.13: in a question, unicast answers are welcome; in a record, it is the whole set.
TOP_BIT: Final = 0x8000

HEADER: Final = 12
FLAG_RESPONSE: Final = 0x8000
FLAG_AUTHORITATIVE: Final = 0x0400
FLAG_TRUNCATED: Final = 0x0200
OPCODE_OR_RCODE: Final = 0x780F
# RFC 6762 §17: "even when fragmentation is used, a Multicast DNS packet ... MUST NOT exceed 9000 bytes".
MAX_MESSAGE: Final = 9_000
MAX_LABEL: Final = 63
# A name of ours has two labels; further ones are of no interest, nor is a chain of pointers.
LABELS: Final = 2
MAX_JUMPS: Final = 4


@dataclass(frozen=True, slots=True)
class Question:
    """Is one question of the Internet's class; `name` is empty when it cannot be a candidate's."""

    name: str
    kind: int
    wants_unicast: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """Is an address of a name, or what a name has (NSEC)."""

    name: str
    kind: int
    ttl: int
    """Seconds; 0 takes the record back (RFC 6762 §10.1)."""
    host: str = ""
    """The address, canonical; empty in NSEC."""
    kinds: tuple[int, ...] = ()
    """NSEC: the record types below 256 that there are."""
    is_unique: bool = False
    """The cache-flush bit: these are all the records of the set (RFC 6762 §10.2)."""


@dataclass(frozen=True, slots=True)
class MdnsMessage:
    """Is a message without what nobody here asks for."""

    id: int = 0
    is_response: bool = False
    is_truncated: bool = False
    """More known answers follow in another message (RFC 6762 §7.2)."""
    questions: tuple[Question, ...] = ()
    answers: tuple[Record, ...] = ()
    """In a question: what the asker knows already (RFC 6762 §7.1)."""
    proposed: tuple[Record, ...] = ()
    """The authority section: what a probe would like to call its own (RFC 6762 §8.2)."""
    additional: tuple[Record, ...] = ()


def decode_message(data: bytes) -> MdnsMessage:
    """Reads a message.

    Raises: DecodeError when its structure is broken, or it is no plain question or answer (RFC 6762 §18.3, §18.11).
    """
    if len(data) < HEADER:
        raise DecodeError(DecodeReason.TRUNCATED, f"{len(data)} bytes, expected {HEADER} at least")
    if len(data) > MAX_MESSAGE:
        raise DecodeError(DecodeReason.TOO_LONG, f"{len(data)} bytes, allowed are {MAX_MESSAGE}")
    flags = _number(data, 2, 2)
    if flags & OPCODE_OR_RCODE:
        raise DecodeError(DecodeReason.BAD_TEXT, f"flags {flags:#06x}, expected opcode and rcode 0", offset=2)
    questions, offset = _questions(data, _number(data, 4, 2))
    answers, offset = _records(data, offset, _number(data, 6, 2))
    proposed, offset = _records(data, offset, _number(data, 8, 2))
    additional, _ = _records(data, offset, _number(data, 10, 2))
    return MdnsMessage(
        _number(data, 0, 2),
        bool(flags & FLAG_RESPONSE),
        bool(flags & FLAG_TRUNCATED),
        questions,
        answers,
        proposed,
        additional,
    )


def encode_message(message: MdnsMessage) -> bytes:
    """Writes a message; names are compressed but in NSEC, which deployed readers refuse then (DEVIATIONS.md)."""
    flags = FLAG_RESPONSE | FLAG_AUTHORITATIVE if message.is_response else 0
    flags |= FLAG_TRUNCATED if message.is_truncated else 0
    sections = (message.questions, message.answers, message.proposed, message.additional)
    data = bytearray(_bytes(message.id, 2) + _bytes(flags, 2) + b"".join(_bytes(len(each), 2) for each in sections))
    places: dict[str, int] = {}
    for question in message.questions:
        _put_name(data, places, question.name)
        data += _bytes(question.kind, 2) + _bytes(CLASS_IN | (TOP_BIT if question.wants_unicast else 0), 2)
    for record in (*message.answers, *message.proposed, *message.additional):
        _put_name(data, places, record.name)
        value = _value(record)
        data += _bytes(record.kind, 2) + _bytes(CLASS_IN | (TOP_BIT if record.is_unique else 0), 2)
        data += _bytes(record.ttl, 4) + _bytes(len(value), 2) + value
    return bytes(data)


def address_kind(host: str) -> int:
    """Returns the type of a host's address record."""
    return AAAA if ":" in host else A


# -- reading ------------------------------------------------------------------------------------------------------


def _questions(data: bytes, count: int) -> tuple[tuple[Question, ...], int]:
    questions: list[Question] = []
    offset = HEADER
    for _ in range(count):
        name, offset = _name(data, offset)
        kind, class_ = _number(data, offset, 2), _number(data, offset + 2, 2)
        offset += 4
        is_ours = class_ & ~TOP_BIT in (CLASS_IN, CLASS_ANY)
        questions.append(Question(name if is_ours else "", kind, bool(class_ & TOP_BIT)))
    return tuple(questions), offset


def _records(data: bytes, offset: int, count: int) -> tuple[tuple[Record, ...], int]:
    records: list[Record] = []
    for _ in range(count):
        name, offset = _name(data, offset)
        kind, class_, ttl = _number(data, offset, 2), _number(data, offset + 2, 2), _number(data, offset + 4, 4)
        start = offset + 10
        offset = start + _number(data, offset + 8, 2)
        if offset > len(data):
            raise DecodeError(DecodeReason.TRUNCATED, f"a record ends at byte {offset} of {len(data)}", offset=start)
        if name and class_ & ~TOP_BIT == CLASS_IN:
            record = _record(data[start:offset], data, start, name, kind, ttl, bool(class_ & TOP_BIT))
            if record is not None:
                records.append(record)
    return tuple(records), offset


def _record(value: bytes, data: bytes, start: int, name: str, kind: int, ttl: int, is_unique: bool) -> Record | None:
    """Returns the record, or None when it is of another type, or broken."""
    if kind == A and len(value) == 4:
        return Record(name, kind, ttl, ".".join(map(str, value)), is_unique=is_unique)
    if kind == AAAA and len(value) == 16:
        return Record(name, kind, ttl, str(ipaddress.IPv6Address(value)), is_unique=is_unique)
    if kind == NSEC:
        kinds = _nsec(data, start, start + len(value))
        return None if kinds is None else Record(name, kind, ttl, kinds=kinds, is_unique=is_unique)
    return None


def _nsec(data: bytes, start: int, end: int) -> tuple[int, ...] | None:
    """Returns the types of an NSEC's one block (RFC 6762 §6.1), or None when it has another form.

    RFC 6762 §6.1: the next name is not looked at; RFC 4034 §4.1.2 draws the bitmap.
    """
    try:
        _, offset = _name(data, start)
    except DecodeError:
        return None
    block = data[offset:end] if offset < end else b""
    if len(block) < 3 or block[0] or not 1 <= block[1] <= 32 or len(block) != 2 + block[1]:
        return None
    return tuple(8 * index + bit for index, byte in enumerate(block[2:]) for bit in range(8) if byte & (0x80 >> bit))


def _name(data: bytes, offset: int) -> tuple[str, int]:
    """Returns a name of two labels in lower case, any other as an empty text, and where it ends."""
    labels: list[bytes] = []
    end = 0
    jumps = 0
    while True:
        length = _number(data, offset, 1)
        if not length:
            return _text(labels), end or offset + 1
        if length >= 0xC0:
            end = end or offset + 2
            jumps += 1
            offset = _number(data, offset, 2) & 0x3FFF
        elif length > MAX_LABEL:
            raise DecodeError(DecodeReason.BAD_LENGTH, f"a label of type {length:#04x}", offset=offset)
        else:
            labels.append(data[offset + 1 : offset + 1 + length])
            offset += 1 + length
        if end and (jumps > MAX_JUMPS or len(labels) > LABELS):
            return "", end


def _text(labels: list[bytes]) -> str:
    if len(labels) != LABELS:
        return ""
    label, domain = labels
    return f"{label.decode('ascii', 'replace')}.{domain.decode('ascii', 'replace')}".lower()


def _number(data: bytes, offset: int, size: int) -> int:
    if offset + size > len(data):
        raise DecodeError(DecodeReason.TRUNCATED, f"ends at byte {len(data)} in the middle", offset=offset)
    return int.from_bytes(data[offset : offset + size], "big")


# -- writing ------------------------------------------------------------------------------------------------------


def _put_name(data: bytearray, places: dict[str, int], name: str) -> None:
    """Appends a name, the part of it that the message has already by a pointer (RFC 1035 §4.1.4)."""
    rest = name
    while rest:
        place = places.get(rest)
        if place is not None:
            data += _bytes(0xC000 | place, 2)
            return
        places[rest] = len(data)
        label, _, rest = rest.partition(".")
        data += _bytes(len(label), 1) + label.encode()
    data += b"\x00"


def _value(record: Record) -> bytes:
    if record.kind != NSEC:
        return ipaddress.ip_address(record.host).packed
    data = bytearray()
    _put_name(data, {}, record.name)
    bitmap = bytearray(max(record.kinds) // 8 + 1)
    for kind in record.kinds:
        bitmap[kind // 8] |= 0x80 >> kind % 8
    return bytes(data) + _bytes(0, 1) + _bytes(len(bitmap), 1) + bytes(bitmap)


def _bytes(number: int, size: int) -> bytes:
    return number.to_bytes(size, "big")
