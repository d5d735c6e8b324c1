"""STUN messages: header, attribute walk, integrity and fingerprint, both ways.

RFC 8489 §5 (header), §14 (attributes), §9 and §14.5-14.7 (what ends a message), §11 (RFC 3489 peers).
Attributes are written in `attributes`, keys in `integrity`. Nothing here knows transactions, time or a role.

One pass: attributes are decoded as they are met until the first of MESSAGE-INTEGRITY,
MESSAGE-INTEGRITY-SHA256 and FINGERPRINT; from there on only those three count. A `Message` remembers where
they begin, so that `verify` needs no second walk. Unknown attributes are kept apart and reported.

    0-1 type (method and class)   2-3 length of what follows the header   4-7 magic cookie
    8-19 transaction id   20- attributes: 2 type, 2 length, value, padding to a multiple of 4
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from hmac import compare_digest
from typing import Final, NewType, TypeVar, final
from zlib import crc32

from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.wire.attributes import (
    DECODERS,
    MAGIC_COOKIE,
    MAGIC_COOKIE_BYTES,
    RFC3489_DECODERS,
    TRAILERS,
    Attribute,
    Decoder,
    Fingerprint,
    MessageIntegrity,
    MessageIntegritySha256,
    UnknownAttribute,
    attribute_name,
)
from icepath.wire.attributes.forms import from_bytes
from icepath.wire.attributes.rfc8489 import SHA256_LENGTHS
from icepath.wire.integrity import FINGERPRINT_XOR, Integrity, IntegrityKey

HEADER_LENGTH: Final = 20
TRANSACTION_ID_LENGTH: Final = 12
RFC3489_TRANSACTION_ID_LENGTH: Final = 16
# RFC 8489 §14.6: the value must be the full 32 bytes unless the usage allows truncation.
FULL_SHA256_LENGTH: Final = 32

TransactionId = NewType("TransactionId", bytes)
"""Is 12 random bytes; 16 in a message of RFC 3489."""


class MessageClass(IntEnum):
    """Is the class of a message; the value is its two bits in the header (RFC 8489 §5)."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


class Method(IntEnum):
    """Is the method of a message (IANA's STUN Methods)."""

    BINDING = 1
    SHARED_SECRET = 2
    ALLOCATE = 3
    REFRESH = 4
    SEND = 6
    DATA = 7
    CREATE_PERMISSION = 8
    CHANNEL_BIND = 9
    CONNECT = 10
    CONNECTION_BIND = 11
    CONNECTION_ATTEMPT = 12


A = TypeVar("A", bound=Attribute)

# RFC 8489 §5: twelve bits of method, two of class, and two zeros before them. The methods assigned and to be
# assigned end at 0x0FF (§18.2), which keeps the first byte in 0 to 3 where protocols share a port.
_MAX_METHOD: Final = 0xFFF
_MAX_TYPE: Final = 0x3FFF
_SHA1_TYPE: Final = MessageIntegrity.TYPE
_SHA256_TYPE: Final = MessageIntegritySha256.TYPE
_FINGERPRINT_TYPE: Final = Fingerprint.TYPE
_SHA1_SIZE: Final = 24
_SHA256_SIZE: Final = 36
_FINGERPRINT_SIZE: Final = 8
# The header's length field holds 0xFFFC at most; what ends a message needs its room.
_MAX_ATTRIBUTES: Final = 0xFFFC - _SHA1_SIZE - _SHA256_SIZE - _FINGERPRINT_SIZE
# What of the header follows the length: cookie and transaction id.
_REST: Final = 16
_SHA1: Final = Integrity.SHA1
_NO_TRAILERS: Final = (-1, -1, False)
# RFC 3489 §11.2.8: the text under its HMAC is padded to a multiple of 64 bytes.
_RFC3489_BLOCK: Final = 64

_HEADER: Final = struct.Struct(">HHI12s")
_PAIR: Final = struct.Struct(">HH")
_FINGERPRINT: Final = struct.Struct(">HHI")
_ICE_END: Final = struct.Struct(">I20sII")
_SHA1_START: Final = _SHA1_TYPE << 16 | 20
_FINGERPRINT_START: Final = _FINGERPRINT_TYPE << 16 | 4
_SHA1_HEADER: Final = _PAIR.pack(_SHA1_TYPE, 20)
_SHA256_HEADER: Final = _PAIR.pack(_SHA256_TYPE, 32)
_CLASS_BITS: Final = (0x000, 0x010, 0x100, 0x110)
_CLASSES: Final[tuple[MessageClass, ...]] = tuple(MessageClass)
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")


@final
class Message:
    """Is one decoded STUN message. `decode_message` makes it; nothing about its sender is verified."""

    __slots__ = (
        "attributes",
        "data",
        "has_fingerprint",
        "is_rfc3489",
        "message_class",
        "method",
        "sha1_offset",
        "sha256_offset",
        "transaction_id",
        "unknown",
    )

    def __init__(
        self,
        method: int,
        message_class: MessageClass,
        transaction_id: TransactionId,
        attributes: tuple[Attribute, ...],
        unknown: tuple[UnknownAttribute, ...],
        data: bytes,
        sha1_offset: int,
        sha256_offset: int,
        has_fingerprint: bool,
    ) -> None:
        self.method: Final = method
        """Compare it with `Method`."""
        self.message_class: Final = message_class
        self.transaction_id: Final = transaction_id
        self.attributes: Final = attributes
        """The known ones, in order. Those after integrity are left out, but for what RFC 8489 §9 allows there."""
        self.unknown: Final = unknown
        self.data: Final = data
        """The message as it came."""
        self.sha1_offset: Final = sha1_offset
        """Where MESSAGE-INTEGRITY begins, or -1."""
        self.sha256_offset: Final = sha256_offset
        """Where MESSAGE-INTEGRITY-SHA256 begins, or -1."""
        self.has_fingerprint: Final = has_fingerprint
        """Whether it has a FINGERPRINT, which then is right."""
        self.is_rfc3489: Final = len(transaction_id) != TRANSACTION_ID_LENGTH
        """Whether the magic cookie is missing."""

    def get(self, kind: type[A]) -> A | None:
        """Returns the first attribute of that kind: of duplicates, the first counts (RFC 8489 §14)."""
        for attribute in self.attributes:
            if isinstance(attribute, kind):
                return attribute
        return None

    def get_all(self, kind: type[A]) -> tuple[A, ...]:
        """Returns all attributes of that kind, for the few that may appear more than once."""
        return tuple([attribute for attribute in self.attributes if isinstance(attribute, kind)])

    @property
    def unknown_required(self) -> tuple[int, ...]:
        """Are the types that must be understood and are not, each once (RFC 8489 §6.3.1: 420)."""
        if not self.unknown:
            return ()
        return tuple(dict.fromkeys([attribute.type for attribute in self.unknown if attribute.is_required]))

    @property
    def has_integrity(self) -> bool:
        """Says whether there is integrity to verify, of either kind."""
        return self.sha1_offset >= 0 or self.sha256_offset >= 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)

    def __repr__(self) -> str:
        try:
            name = Method(self.method).name
        except ValueError:
            name = f"0x{self.method:03X}"
        return f"Message({name} {self.message_class.name} {self.transaction_id.hex()}, {list(self.attributes)})"


@final
class Verified:
    """Is a message whose integrity was checked; only `verify` makes one."""

    __slots__ = ("integrity", "message")

    def __init__(self, message: Message, integrity: Integrity) -> None:
        self.message: Final = message
        self.integrity: Final = integrity

    def __repr__(self) -> str:
        return f"Verified({self.message!r}, {self.integrity.name})"


def looks_like_stun(data: bytes) -> bool:
    """Says whether these bytes have the shape of a STUN message with the magic cookie; cheap.

    The first byte must be 0 to 3, as where protocols share a port (RFC 7983 §7); `decode_message` takes more.
    """
    size = len(data)
    return (
        size >= HEADER_LENGTH
        and data[0] < 4
        and data[4:8] == MAGIC_COOKIE_BYTES
        and (data[2] << 8 | data[3]) == size - HEADER_LENGTH
        and not size & 3
    )


def decode_message(data: bytes) -> Message:
    """Decodes one whole message; a FINGERPRINT is checked, integrity is not.

    Raises: DecodeError NOT_STUN, TRUNCATED, TRAILING_BYTES, BAD_LENGTH, BAD_ATTRIBUTE, FINGERPRINT_MISMATCH.
    """
    size = len(data)
    if size < HEADER_LENGTH:
        raise _not_a_message(data)
    kind: int
    transaction_id: TransactionId
    kind, length, cookie, transaction_id = _HEADER.unpack_from(data)
    if kind > _MAX_TYPE or length + HEADER_LENGTH != size or size & 3:
        raise _not_a_message(data)
    decoders = DECODERS
    if cookie != MAGIC_COOKIE:
        transaction_id = TransactionId(data[4:HEADER_LENGTH])
        decoders = RFC3489_DECODERS
    attributes: list[Attribute] = []
    unknown: list[UnknownAttribute] = []
    offset = _decode_attributes(data, transaction_id, decoders, attributes, unknown)
    sha1, sha256, has_fingerprint = _NO_TRAILERS if offset == size else _decode_end(data, offset, attributes)
    method = kind & 0xF | kind >> 1 & 0x70 | kind >> 2 & 0xF80
    message_class = _CLASSES[kind >> 7 & 2 | kind >> 4 & 1]
    found, kept = tuple(attributes), tuple(unknown)
    return Message(method, message_class, transaction_id, found, kept, data, sha1, sha256, has_fingerprint)


def verify(
    message: Message, key: IntegrityKey, *, require: Integrity | None = None, shortest: int = FULL_SHA256_LENGTH
) -> Verified:
    """Checks the message's integrity: SHA256 when present, else SHA1 (RFC 8489 §9.1.3).

    `require` demands that one. `shortest` is the least length of MESSAGE-INTEGRITY-SHA256 the usage allows.
    Raises: DecodeError MISSING_INTEGRITY or INTEGRITY_MISMATCH.
    """
    data = message.data
    offset = message.sha256_offset
    if offset >= 0 and require is not _SHA1:
        integrity = Integrity.SHA256
        end = offset + 4 + (data[offset + 2] << 8 | data[offset + 3])
        if end - offset - 4 < shortest:
            raise DecodeError(
                DecodeReason.INTEGRITY_MISMATCH,
                f"MESSAGE-INTEGRITY-SHA256 at byte {offset}: {end - offset - 4} bytes, expected {shortest} or more",
                offset=offset,
            )
        expected = key.sha256(_covered(message, offset, end))[: end - offset - 4]
    else:
        integrity = _SHA1
        offset = message.sha1_offset
        if offset < 0 or require is Integrity.SHA256:
            raise DecodeError(DecodeReason.MISSING_INTEGRITY, "the message lacks the integrity that is required")
        end = offset + _SHA1_SIZE
        expected = key.sha1(_covered(message, offset, end))
    if not compare_digest(expected, data[offset + 4 : end]):
        raise DecodeError(
            DecodeReason.INTEGRITY_MISMATCH, f"integrity at byte {offset} is wrong for this key", offset=offset
        )
    return Verified(message, integrity)


def encode_message(
    method: int,
    message_class: MessageClass,
    transaction_id: TransactionId,
    attributes: Sequence[Attribute] = (),
    *,
    key: IntegrityKey | None = None,
    integrity: Integrity = Integrity.SHA1,
    also_sha1: bool = False,
    fingerprint: bool = False,
) -> bytes:
    """Returns the message's bytes; a `key` signs it, `fingerprint` ends it with one.

    `also_sha1` writes MESSAGE-INTEGRITY before MESSAGE-INTEGRITY-SHA256, for a receiver that may know only the
    former (RFC 8489 §9.1.2). Raises: InvalidArgument when a value may not be sent.
    """
    parts: list[bytes] = []
    for attribute in attributes:
        type_ = attribute.TYPE
        if type_ in TRAILERS:
            raise InvalidArgument(f"{attribute_name(type_)} is written by encode_message itself")
        value = attribute.encode(transaction_id)
        length = len(value)
        parts.append(_PAIR.pack(type_, length) + value + _PADDING[length & 3])
    body = b"".join(parts)
    if len(body) > _MAX_ATTRIBUTES:
        raise InvalidArgument(f"attributes of {len(body)} bytes, allowed are {_MAX_ATTRIBUTES}")
    kind = _message_type(method, message_class)
    tail = _cookie_and_id(transaction_id) + body
    if key is not None:
        is_rfc3489 = len(transaction_id) != TRANSACTION_ID_LENGTH
        if integrity is _SHA1 or also_sha1:
            tail += _SHA1_HEADER + key.sha1(_text(kind, tail, _SHA1_SIZE, is_rfc3489))
        if integrity is not _SHA1:
            tail += _SHA256_HEADER + key.sha256(_text(kind, tail, _SHA256_SIZE, is_rfc3489))
    if not fingerprint:
        return _PAIR.pack(kind, len(tail) - _REST) + tail
    message = _PAIR.pack(kind, len(tail) - _REST + _FINGERPRINT_SIZE) + tail
    return message + _FINGERPRINT.pack(_FINGERPRINT_TYPE, 4, crc32(message) ^ FINGERPRINT_XOR)


def _text(kind: int, tail: bytes, size: int, is_rfc3489: bool) -> bytes:
    """Returns what an integrity of `size` bytes covers; the header's length counts it (RFC 8489 §14.5)."""
    text = _PAIR.pack(kind, len(tail) - _REST + size) + tail
    return text + bytes(-len(text) % _RFC3489_BLOCK) if is_rfc3489 else text


def _message_type(method: int, message_class: MessageClass) -> int:
    """Returns the header's type: the class's bits are 4 and 8, the method's fill the rest (RFC 8489 §5)."""
    if 0 <= method <= 0xF:
        return method | _CLASS_BITS[message_class]
    if not 0 <= method <= _MAX_METHOD:
        raise InvalidArgument(f"method {method} is not in 0 to {_MAX_METHOD}")
    return method & 0xF | (method & 0x70) << 1 | (method & 0xF80) << 2 | _CLASS_BITS[message_class]


def _cookie_and_id(transaction_id: bytes) -> bytes:
    """Returns the 16 bytes that follow the length."""
    length = len(transaction_id)
    if length == TRANSACTION_ID_LENGTH:
        return MAGIC_COOKIE_BYTES + transaction_id
    if length == RFC3489_TRANSACTION_ID_LENGTH and transaction_id[:4] != MAGIC_COOKIE_BYTES:
        return transaction_id
    raise InvalidArgument(f"transaction id of {length} bytes, allowed are 12, or 16 without the cookie")


def _covered(message: Message, offset: int, end: int) -> bytes:
    """Returns what the integrity at offset..end covers, the header's length ending there (RFC 8489 §14.5)."""
    data = message.data
    covered = data[:2] + (end - HEADER_LENGTH).to_bytes(2, "big") + data[4:offset]
    return covered + bytes(-offset % _RFC3489_BLOCK) if message.is_rfc3489 else covered


def _decode_attributes(
    data: bytes,
    transaction_id: bytes,
    decoders: dict[int, Decoder],
    attributes: list[Attribute],
    unknown: list[UnknownAttribute],
) -> int:
    """Fills both lists; returns where the first of the three that end a message begins, or the message's size."""
    size = len(data)
    offset = HEADER_LENGTH
    while offset < size:
        type_, length = _PAIR.unpack_from(data, offset)
        start = offset + 4
        end = start + length
        if end > size:
            raise _overrun(type_, length, offset, size)
        decoder = decoders.get(type_)
        if decoder is not None:
            try:
                attributes.append(decoder(data[start:end], transaction_id))
            except DecodeError as error:
                raise _bad_attribute(type_, offset, str(error)) from None
        elif type_ in TRAILERS:
            return offset
        else:
            unknown.append(UnknownAttribute(type_, data[start:end]))
        # Never beyond the size: both are multiples of 4.
        offset = end + 3 & -4
    return size


def _decode_end(data: bytes, offset: int, attributes: list[Attribute]) -> tuple[int, int, bool]:
    """Does the same as `_decode_trailers`, in one go for the way every ICE check and answer ends."""
    if len(data) - offset == _ICE_END.size:
        first, mac, second, crc = _ICE_END.unpack_from(data, offset)
        if first == _SHA1_START and second == _FINGERPRINT_START:
            if crc != crc32(data[:-_FINGERPRINT_SIZE]) ^ FINGERPRINT_XOR:
                raise _wrong_fingerprint(len(data) - _FINGERPRINT_SIZE)
            attributes += (MessageIntegrity(mac), Fingerprint(crc))
            return offset, -1, True
    return _decode_trailers(data, offset, attributes)


def _decode_trailers(data: bytes, offset: int, attributes: list[Attribute]) -> tuple[int, int, bool]:
    """Walks from the first of the three that end a message; returns where the integrities are, and FINGERPRINT.

    RFC 8489 §9: what follows MESSAGE-INTEGRITY is ignored save MESSAGE-INTEGRITY-SHA256 and FINGERPRINT; what
    follows MESSAGE-INTEGRITY-SHA256, save FINGERPRINT. Whoever forges attributes there gains nothing.
    """
    size = len(data)
    sha1 = sha256 = -1
    while offset < size:
        type_, length = _PAIR.unpack_from(data, offset)
        start = offset + 4
        end = start + length
        if end > size:
            raise _overrun(type_, length, offset, size)
        if type_ == _FINGERPRINT_TYPE:
            if length != 4 or end != size:
                raise _misplaced_fingerprint(length, offset, size - end)
            value = from_bytes(data[start:end], "big")
            if value != crc32(data[:offset]) ^ FINGERPRINT_XOR:
                raise _wrong_fingerprint(offset)
            attributes.append(Fingerprint(value))
            return sha1, sha256, True
        if type_ == _SHA1_TYPE and sha1 < 0 and sha256 < 0:
            if length != 20:
                raise _bad_attribute(type_, offset, f"length {length}, expected 20")
            attributes.append(MessageIntegrity(data[start:end]))
            sha1 = offset
        elif type_ == _SHA256_TYPE and sha256 < 0:
            if length not in SHA256_LENGTHS:
                raise _bad_attribute(type_, offset, f"length {length}, expected a multiple of 4 from 16 to 32")
            attributes.append(MessageIntegritySha256(data[start:end]))
            sha256 = offset
        offset = end + 3 & -4
    return sha1, sha256, False


def _wrong_fingerprint(offset: int) -> DecodeError:
    return DecodeError(DecodeReason.FINGERPRINT_MISMATCH, f"FINGERPRINT at byte {offset} is wrong", offset=offset)


def _not_a_message(data: bytes) -> DecodeError:
    """Returns what is wrong with a header or its length."""
    size = len(data)
    if size and data[0] > _MAX_TYPE >> 8:
        return DecodeError(DecodeReason.NOT_STUN, f"first byte 0x{data[0]:02X}, expected 0x3F or less")
    if size < HEADER_LENGTH:
        return DecodeError(
            DecodeReason.TRUNCATED, f"{size} bytes, expected a header of {HEADER_LENGTH} or more", offset=size
        )
    length = data[2] << 8 | data[3]
    if length & 3:
        return DecodeError(DecodeReason.BAD_LENGTH, f"length {length} at byte 2, expected a multiple of 4", offset=2)
    found = size - HEADER_LENGTH
    reason = DecodeReason.TRUNCATED if found < length else DecodeReason.TRAILING_BYTES
    return DecodeError(reason, f"length {length} at byte 2, but {found} bytes follow the header", offset=2)


def _overrun(type_: int, length: int, offset: int, size: int) -> DecodeError:
    return DecodeError(
        DecodeReason.TRUNCATED,
        f"{attribute_name(type_)} at byte {offset}: length {length}, only {size - offset - 4} bytes are left",
        offset=offset,
    )


def _misplaced_fingerprint(length: int, offset: int, after: int) -> DecodeError:
    if length != 4:
        return _bad_attribute(_FINGERPRINT_TYPE, offset, f"length {length}, expected 4")
    return _bad_attribute(_FINGERPRINT_TYPE, offset, f"{after} bytes follow, expected it last")


def _bad_attribute(type_: int, offset: int, detail: str) -> DecodeError:
    return DecodeError(DecodeReason.BAD_ATTRIBUTE, f"{attribute_name(type_)} at byte {offset}: {detail}", offset=offset)
