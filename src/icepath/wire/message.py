"""STUN messages: header, attribute walk, integrity and fingerprint, both ways.

RFC 8489 §5 (header), §14 (attributes), §9 and §14.5-14.7 (what ends a message), §11 (RFC 3489 peers).
Attributes are written in `attributes`, keys in `integrity`. Nothing here knows transactions, time or a role.

One pass: attributes are decoded as they are met until the first of MESSAGE-INTEGRITY,
MESSAGE-INTEGRITY-SHA256 and FINGERPRINT; from there on only those three count. A `Message` remembers where
they begin, so that `verify` needs no second walk. Unknown attributes are kept apart and reported.

    0-1 type (14 bits: method and class)   2-3 length of what follows the header   4-7 magic cookie
    8-19 transaction id   20- attributes: 2 type, 2 length, value, padding to a multiple of 4
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NewType, TypeVar, final

from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.wire.attributes import (
    DECODERS,
    MAGIC_COOKIE,
    MAGIC_COOKIE_BYTES,
    RFC3489_DECODERS,
    TRAILERS,
    Attribute,
    Fingerprint,
    MessageIntegrity,
    MessageIntegritySha256,
    UnknownAttribute,
    attribute_name,
)
from icepath.wire.integrity import Integrity, IntegrityKey
from icepath.wire.integrity import fingerprint as fingerprint_of

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

_MAX_METHOD: Final = 0xFFF
_MAX_LENGTH: Final = 0xFFFC
_SHA1_TYPE: Final = MessageIntegrity.TYPE
_SHA256_TYPE: Final = MessageIntegritySha256.TYPE
_FINGERPRINT_TYPE: Final = Fingerprint.TYPE
_SHA1_SIZE: Final = 24
_SHA256_SIZE: Final = 36
_FINGERPRINT_SIZE: Final = 8
# RFC 3489 §11.2.8: the text under its HMAC is padded to a multiple of 64 bytes.
_RFC3489_BLOCK: Final = 64

_HEADER: Final = struct.Struct(">HHI")
_PAIR: Final = struct.Struct(">HH")
_FINGERPRINT: Final = struct.Struct(">HHI")
_SHA1_HEADER: Final = _PAIR.pack(_SHA1_TYPE, 20)
_SHA256_HEADER: Final = _PAIR.pack(_SHA256_TYPE, 32)
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
    """Says whether these bytes have the shape of a STUN message with the magic cookie; cheap."""
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
    kind, length, cookie = _HEADER.unpack_from(data)
    if kind > 0x3FFF or length + HEADER_LENGTH != size or size & 3:
        raise _not_a_message(data)
    if cookie == MAGIC_COOKIE:
        transaction_id, decoders = data[8:HEADER_LENGTH], DECODERS
    else:
        transaction_id, decoders = data[4:HEADER_LENGTH], RFC3489_DECODERS
    attributes: list[Attribute] = []
    unknown: list[UnknownAttribute] = []
    sha1 = sha256 = -1
    has_fingerprint = False
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
                raise _located(type_, offset, error) from None
        elif type_ in TRAILERS:
            sha1, sha256, has_fingerprint = _decode_trailers(data, offset, attributes)
            break
        else:
            unknown.append(UnknownAttribute(type_, data[start:end]))
        offset = end + 3 & -4
    return Message(
        kind & 0xF | kind >> 1 & 0x70 | kind >> 2 & 0xF80,
        _CLASSES[kind >> 7 & 2 | kind >> 4 & 1],
        TransactionId(transaction_id),
        tuple(attributes),
        tuple(unknown),
        data,
        sha1,
        sha256,
        has_fingerprint,
    )


def verify(
    message: Message, key: IntegrityKey, *, require: Integrity | None = None, shortest: int = FULL_SHA256_LENGTH
) -> Verified:
    """Checks the message's integrity: SHA256 when present, else SHA1 (RFC 8489 §9.1.3).

    `require` demands that one. `shortest` is the least length of MESSAGE-INTEGRITY-SHA256 the usage allows.
    Raises: DecodeError MISSING_INTEGRITY or INTEGRITY_MISMATCH.
    """
    data = message.data
    if message.sha256_offset >= 0 and require is not Integrity.SHA1:
        offset = message.sha256_offset
        start = offset + 4
        end = start + (data[offset + 2] << 8 | data[offset + 3])
        expected = key.sha256(*_covered(message, offset, end))[: end - start]
        integrity = Integrity.SHA256
        if end - start < shortest:
            raise DecodeError(
                DecodeReason.INTEGRITY_MISMATCH,
                f"MESSAGE-INTEGRITY-SHA256 at byte {offset}: truncated to {end - start} bytes, allowed are {shortest}",
                offset=offset,
            )
    elif message.sha1_offset >= 0 and require is not Integrity.SHA256:
        offset = message.sha1_offset
        start, end = offset + 4, offset + _SHA1_SIZE
        expected = key.sha1(*_covered(message, offset, end))
        integrity = Integrity.SHA1
    else:
        raise DecodeError(DecodeReason.MISSING_INTEGRITY, "the message has no integrity of the kind that is required")
    if not hmac.compare_digest(expected, data[start:end]):
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
    fingerprint: bool = False,
) -> bytes:
    """Returns the message's bytes; a `key` signs it, `fingerprint` ends it with one.

    Raises: InvalidArgument when a value may not be sent.
    """
    parts: list[bytes] = []
    for attribute in attributes:
        type_ = attribute.TYPE
        if type_ in TRAILERS:
            raise InvalidArgument(f"{attribute_name(type_)} is written by encode_message itself")
        value = attribute.encode(transaction_id)
        length = len(value)
        parts.append(_PAIR.pack(type_, length))
        parts.append(value)
        if length & 3:
            parts.append(_PADDING[length & 3])
    body = b"".join(parts)
    kind, tail = _header_parts(method, message_class, transaction_id)
    length = len(body)
    if length > _MAX_LENGTH - _SHA256_SIZE - _FINGERPRINT_SIZE:
        raise InvalidArgument(f"attributes of {length} bytes do not fit into one message")
    if key is not None:
        if integrity is Integrity.SHA1:
            length += _SHA1_SIZE
            body += _SHA1_HEADER + key.sha1(_PAIR.pack(kind, length), tail, body)
        else:
            length += _SHA256_SIZE
            body += _SHA256_HEADER + key.sha256(_PAIR.pack(kind, length), tail, body)
    if not fingerprint:
        return _PAIR.pack(kind, length) + tail + body
    message = _PAIR.pack(kind, length + _FINGERPRINT_SIZE) + tail + body
    return message + _FINGERPRINT.pack(_FINGERPRINT_TYPE, 4, fingerprint_of(message))


def _header_parts(method: int, message_class: MessageClass, transaction_id: bytes) -> tuple[int, bytes]:
    """Returns the type, and what follows the length."""
    if not 0 <= method <= _MAX_METHOD:
        raise InvalidArgument(f"method {method} is not in 0 to {_MAX_METHOD}")
    kind = method & 0xF | (method & 0x70) << 1 | (method & 0xF80) << 2 | (message_class & 1) << 4
    kind |= (message_class & 2) << 7
    if len(transaction_id) == TRANSACTION_ID_LENGTH:
        return kind, MAGIC_COOKIE_BYTES + transaction_id
    if len(transaction_id) != RFC3489_TRANSACTION_ID_LENGTH or transaction_id[:4] == MAGIC_COOKIE_BYTES:
        raise InvalidArgument(f"transaction id of {len(transaction_id)} bytes, allowed are 12, or 16 for RFC 3489")
    return kind, transaction_id


def _covered(message: Message, offset: int, end: int) -> tuple[bytes, bytes]:
    """Returns what an integrity at offset..end covers: a header that ends there, and the rest (RFC 8489 §14.5)."""
    data = message.data
    header = data[:2] + (end - HEADER_LENGTH).to_bytes(2, "big")
    if message.is_rfc3489:
        return header, data[4:offset] + bytes(-offset % _RFC3489_BLOCK)
    return header, data[4:offset]


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
            attributes.append(_decode_fingerprint(data, offset, data[start:end]))
            return sha1, sha256, True
        try:
            if type_ == _SHA1_TYPE and sha1 < 0 and sha256 < 0:
                attributes.append(MessageIntegrity.decode(data[start:end], b""))
                sha1 = offset
            elif type_ == _SHA256_TYPE and sha256 < 0:
                attributes.append(MessageIntegritySha256.decode(data[start:end], b""))
                sha256 = offset
        except DecodeError as error:
            raise _located(type_, offset, error) from None
        offset = end + 3 & -4
    return sha1, sha256, False


def _decode_fingerprint(data: bytes, offset: int, value: bytes) -> Fingerprint:
    """Checks a FINGERPRINT: 4 bytes, last, right (RFC 8489 §14.7)."""
    try:
        found = Fingerprint.decode(value, b"")
    except DecodeError as error:
        raise _located(_FINGERPRINT_TYPE, offset, error) from None
    after = len(data) - offset - _FINGERPRINT_SIZE
    if after:
        raise DecodeError(
            DecodeReason.BAD_ATTRIBUTE,
            f"FINGERPRINT at byte {offset}: {after} bytes follow, expected it last",
            offset=offset,
        )
    if found.value != fingerprint_of(data[:offset]):
        raise DecodeError(
            DecodeReason.FINGERPRINT_MISMATCH, f"FINGERPRINT at byte {offset} does not fit the message", offset=offset
        )
    return found


def _not_a_message(data: bytes) -> DecodeError:
    """Returns what is wrong with a header or its length."""
    size = len(data)
    if size and data[0] > 3:
        return DecodeError(DecodeReason.NOT_STUN, f"first byte 0x{data[0]:02X}, expected 0 to 3")
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


def _located(type_: int, offset: int, error: DecodeError) -> DecodeError:
    """Returns a value's error with the attribute's name and place."""
    return DecodeError(error.reason, f"{attribute_name(type_)} at byte {offset}: {error}", offset=offset)
