"""The attributes of RFC 8489 §14 (STUN), one class each.

MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT are only values here: `message` computes,
writes and checks them. Texts are taken as they are: OpaqueString preparation (RFC 8265) is `stun`'s work.
"""

# ruff: noqa: ARG002, ARG003 - one signature for every attribute
from __future__ import annotations

import struct
from typing import ClassVar, Final, Self, final

from icepath.errors import InvalidArgument
from icepath.wire.attributes.forms import (
    MAX_VALUE_LENGTH,
    AddressValue,
    AttributeValue,
    OctetsValue,
    TextValue,
    Uint32Value,
    XorAddressValue,
    check_octets,
    check_range,
    encode_text,
    malformed,
    span,
    wrong_length,
)

_PAIR: Final = struct.Struct(">HH")
# RFC 8489 §14.6: at least 16 bytes, at most 32, a multiple of 4.
SHA256_LENGTHS: Final = frozenset((16, 20, 24, 28, 32))
# RFC 8489 §14.8: the class is between 3 and 6, the number between 0 and 99.
_MIN_ERROR_CODE: Final = 300
_MAX_ERROR_CODE: Final = 699
# RFC 8489 §14.8: fewer than 128 characters, as long as 509 bytes when encoding, 763 when decoding.
MAX_REASON_CHARACTERS: Final = 127
MAX_REASON_SENT: Final = 509
MAX_REASON_ACCEPTED: Final = 763
# RFC 8489 §14.16: 255 or fewer ASCII characters; RFC 1123 §2.1: labels of letters, digits and hyphens.
_MAX_DOMAIN: Final = 255
_MAX_LABEL: Final = 63
_LABEL_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")


@final
class MappedAddress(AddressValue):
    """Is the client's reflexive address in the clear, for RFC 3489 clients (RFC 8489 §14.1)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x0001
    NAME: ClassVar[str] = "MAPPED-ADDRESS"


@final
class XorMappedAddress(XorAddressValue):
    """Is the client's reflexive address (RFC 8489 §14.2)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x0020
    NAME: ClassVar[str] = "XOR-MAPPED-ADDRESS"


@final
class Username(TextValue):
    """Names the credential in use (RFC 8489 §14.3)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x0006
    NAME: ClassVar[str] = "USERNAME"
    # RFC 8489 §14.3: fewer than 509 bytes; 763 must be parsed.
    MAX_CHARACTERS: ClassVar[int] = 508
    MAX_SENT: ClassVar[int] = 508


@final
class Userhash(OctetsValue):
    """Stands for USERNAME when usernames are anonymous: SHA-256 of username and realm (RFC 8489 §14.4)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x001E
    NAME: ClassVar[str] = "USERHASH"
    MIN: ClassVar[int] = 32
    MAX: ClassVar[int] = 32


@final
class MessageIntegrity(OctetsValue):
    """Is the HMAC-SHA1 of what precedes it (RFC 8489 §14.5)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x0008
    NAME: ClassVar[str] = "MESSAGE-INTEGRITY"
    MIN: ClassVar[int] = 20
    MAX: ClassVar[int] = 20


@final
class MessageIntegritySha256(OctetsValue):
    """Is the HMAC-SHA256 of what precedes it, perhaps truncated to a multiple of 4 bytes (RFC 8489 §14.6)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x001C
    NAME: ClassVar[str] = "MESSAGE-INTEGRITY-SHA256"

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> MessageIntegritySha256:
        """Decodes the value."""
        if len(value) not in SHA256_LENGTHS:
            raise wrong_length(value, "a multiple of 4 from 16 to 32")
        return cls(value)

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        if len(self.value) not in SHA256_LENGTHS:
            raise InvalidArgument(f"{self.NAME} of {len(self.value)} bytes, allowed are multiples of 4 from 16 to 32")
        return self.value


@final
class Fingerprint(Uint32Value):
    """Is the CRC-32 of what precedes it, XORed with 0x5354554E (RFC 8489 §14.7)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x8028
    NAME: ClassVar[str] = "FINGERPRINT"


@final
class ErrorCode(AttributeValue):
    """Says why a request failed: 300 to 699, and a phrase for people (RFC 8489 §14.8).

    Bytes: 0-1 and the high 5 bits of 2 reserved, 2 class (3 to 6), 3 number (0 to 99), 4- reason phrase.
    """

    __slots__ = ("code", "reason")
    TYPE: ClassVar[int] = 0x0009
    NAME: ClassVar[str] = "ERROR-CODE"
    FIELDS: ClassVar[tuple[str, ...]] = ("code", "reason")

    def __init__(self, code: int, reason: str = "") -> None:
        self.code: Final = code
        self.reason: Final = reason

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value; a phrase that is not UTF-8 is shown with replacement characters."""
        code, reason = decode_error(value)
        return cls(code, reason)

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        return b"\0\0" + encode_error(self.NAME, self.code, self.reason)


@final
class UnknownAttributes(AttributeValue):
    """Lists the comprehension-required types a server did not understand (RFC 8489 §14.13)."""

    __slots__ = ("types",)
    TYPE: ClassVar[int] = 0x000A
    NAME: ClassVar[str] = "UNKNOWN-ATTRIBUTES"
    FIELDS: ClassVar[tuple[str, ...]] = ("types",)

    def __init__(self, types: tuple[int, ...]) -> None:
        self.types: Final = types

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        if len(value) & 1:
            raise wrong_length(value, "a multiple of 2")
        return cls(struct.unpack(f">{len(value) // 2}H", value))

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        if len(self.types) > MAX_VALUE_LENGTH // 2:
            raise InvalidArgument(f"{len(self.types)} attribute types, allowed are {MAX_VALUE_LENGTH // 2}")
        for kind in self.types:
            check_range("attribute type", kind, 0, 0xFFFF)
        return struct.pack(f">{len(self.types)}H", *self.types)


@final
class Realm(TextValue):
    """Names the realm of the long-term credential (RFC 8489 §14.9)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x0014
    NAME: ClassVar[str] = "REALM"


@final
class Nonce(OctetsValue):
    """Is the server's nonce, to be sent back byte for byte (RFC 8489 §14.10).

    The limit of 763 bytes holds both ways: a client must be able to return what it was given.
    """

    __slots__ = ()
    TYPE: ClassVar[int] = 0x0015
    NAME: ClassVar[str] = "NONCE"
    MAX: ClassVar[int] = 763

    @property
    def text(self) -> str:
        """Is the nonce for people and for its cookie; bytes that are not ASCII are replaced."""
        return self.value.decode("ascii", "replace")


@final
class PasswordAlgorithm(AttributeValue):
    """Is the algorithm a client derives its key with (RFC 8489 §14.12).

    Bytes: 0-1 algorithm, 2-3 length of the parameters, 4- parameters, padded to a multiple of 4.
    """

    __slots__ = ("algorithm", "parameters")
    TYPE: ClassVar[int] = 0x001D
    NAME: ClassVar[str] = "PASSWORD-ALGORITHM"
    FIELDS: ClassVar[tuple[str, ...]] = ("algorithm", "parameters")

    def __init__(self, algorithm: int, parameters: bytes = b"") -> None:
        self.algorithm: Final = algorithm
        """A `PasswordAlgorithmId`, or one that is not known here."""
        self.parameters: Final = parameters

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        found = _decode_algorithms(value)
        if len(found) != 1:
            raise malformed(f"{len(found)} algorithms, expected 1")
        return cls(*found[0])

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value, its padding included."""
        check_range("password algorithm", self.algorithm, 0, 0xFFFF)
        check_octets("password algorithm parameters", self.parameters, 0, 0xFFFF)
        length = len(self.parameters)
        value = _PAIR.pack(self.algorithm, length) + self.parameters + bytes(-length & 3)
        check_octets(self.NAME, value, 0, MAX_VALUE_LENGTH)
        return value


@final
class PasswordAlgorithms(AttributeValue):
    """Lists the algorithms a server offers, best first (RFC 8489 §14.11)."""

    __slots__ = ("algorithms",)
    TYPE: ClassVar[int] = 0x8002
    NAME: ClassVar[str] = "PASSWORD-ALGORITHMS"
    FIELDS: ClassVar[tuple[str, ...]] = ("algorithms",)

    def __init__(self, algorithms: tuple[PasswordAlgorithm, ...]) -> None:
        self.algorithms: Final = algorithms

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        return cls(tuple([PasswordAlgorithm(*found) for found in _decode_algorithms(value)]))

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        value = b"".join([algorithm.encode(transaction_id) for algorithm in self.algorithms])
        check_octets(self.NAME, value, 0, MAX_VALUE_LENGTH)
        return value


@final
class Software(TextValue):
    """Names the sender's software, for people (RFC 8489 §14.14)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x8022
    NAME: ClassVar[str] = "SOFTWARE"
    IS_DECORATIVE: ClassVar[bool] = True


@final
class AlternateServer(AddressValue):
    """Is another server that the client should try (RFC 8489 §14.15)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x8023
    NAME: ClassVar[str] = "ALTERNATE-SERVER"


@final
class AlternateDomain(AttributeValue):
    """Is the name to verify the alternate server's certificate with (RFC 8489 §14.16)."""

    __slots__ = ("name",)
    TYPE: ClassVar[int] = 0x8003
    NAME: ClassVar[str] = "ALTERNATE-DOMAIN"
    FIELDS: ClassVar[tuple[str, ...]] = ("name",)

    def __init__(self, name: str) -> None:
        self.name: Final = name

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        name = value.decode("ascii", "replace")
        if not _is_domain(name):
            raise malformed(f"{name[:64]!r} is not a DNS name")
        return cls(name)

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        if not _is_domain(self.name):
            raise InvalidArgument(f"{self.name[:64]!r} is not a DNS name")
        return self.name.encode("ascii")


def decode_error(value: bytes) -> tuple[int, str]:
    """Decodes an error code and its reason phrase from where ERROR-CODE and ADDRESS-ERROR-CODE have them."""
    if not 4 <= len(value) <= 4 + MAX_REASON_ACCEPTED:
        raise wrong_length(value, span(4, 4 + MAX_REASON_ACCEPTED))
    # RFC 8489 §14.8: receivers ignore the reserved bits.
    hundreds, number = value[2] & 7, value[3]
    if not 3 <= hundreds <= 6 or number > 99:
        raise malformed(f"class {hundreds} number {number}, expected class 3 to 6 number 0 to 99")
    return hundreds * 100 + number, value[4:].decode(errors="replace")


def encode_error(name: str, code: int, reason: str) -> bytes:
    """Returns class, number and reason phrase: bytes 2 and on of either attribute."""
    check_range(name, code, _MIN_ERROR_CODE, _MAX_ERROR_CODE)
    return bytes(divmod(code, 100)) + encode_text("reason phrase", reason, MAX_REASON_CHARACTERS, MAX_REASON_SENT)


def _decode_algorithms(value: bytes) -> list[tuple[int, bytes]]:
    """Cuts a list of algorithms; the last one's padding may be missing, as an attribute's own padding is."""
    found: list[tuple[int, bytes]] = []
    offset, size = 0, len(value)
    while offset < size:
        if size - offset < 4:
            raise malformed(f"{size - offset} bytes at {offset}, expected an algorithm of 4 or more")
        algorithm, length = _PAIR.unpack_from(value, offset)
        end = offset + 4 + length
        if end > size:
            raise malformed(f"parameters of {length} bytes at {offset}, only {size - offset - 4} are left")
        found.append((algorithm, value[offset + 4 : end]))
        offset = end + (-length & 3)
    return found


def _is_domain(name: str) -> bool:
    if not 0 < len(name) <= _MAX_DOMAIN:
        return False
    for label in name.removesuffix(".").split("."):
        if not 0 < len(label) <= _MAX_LABEL or label[0] == "-" or label[-1] == "-":
            return False
        if not _LABEL_CHARACTERS.issuperset(label):
            return False
    return True
