"""The shapes that several STUN attributes share: address, number, octets, text, flag.

A concrete attribute is a final class that names its TYPE and NAME and, at most, its limits; the byte
layout is written once, here. Attributes are made per packet, so these are hand-written slotted classes
(STYLE: a third of a frozen dataclass's cost) and as immutable to the type-checkers.

`decode` takes the value without header and padding; it raises DecodeError without a position, which
`message` adds. `encode` returns the value without header and padding; it raises InvalidArgument.
RFC 8489 §14.1 (address), §14.2 (the same, obfuscated). Nothing here knows a message.
"""

# ruff: noqa: ARG002, ARG003 - one signature for every attribute
from __future__ import annotations

import ipaddress
import struct
from typing import ClassVar, Final, Self, final

from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.net import MAX_PORT, Address, ipv4_octets, unmapped

# RFC 8489 §5: the fixed value that tells STUN from RFC 3489 and from other protocols.
MAGIC_COOKIE: Final = 0x2112A442
MAGIC_COOKIE_BYTES: Final = b"\x21\x12\xa4\x42"

# RFC 8489 §14.1: the address families.
FAMILY_IPV4: Final = 1
FAMILY_IPV6: Final = 2

MAX_UINT32: Final = 0xFFFF_FFFF
MAX_UINT64: Final = 0xFFFF_FFFF_FFFF_FFFF
# RFC 8489 §14: the Length field has 16 bits.
MAX_VALUE_LENGTH: Final = 0xFFFF

_IPV4_VALUE: Final = struct.Struct(">BBH4B")
_IPV6_PREFIX: Final = struct.Struct(">BBH")
# A bound method costs half as much as looking it up on `int` each time.
from_bytes: Final = int.from_bytes
_IPV4_LENGTH: Final = 8
_IPV6_LENGTH: Final = 20
_COOKIE_HIGH: Final = MAGIC_COOKIE >> 16
_COOKIE_0: Final = 0x21
_COOKIE_1: Final = 0x12
_COOKIE_2: Final = 0xA4
_COOKIE_3: Final = 0x42


class AttributeValue:
    """Is the base of every typed attribute: equality, hash and repr by the fields it names."""

    __slots__ = ()
    TYPE: ClassVar[int]
    NAME: ClassVar[str]
    FIELDS: ClassVar[tuple[str, ...]] = ()

    def _values(self) -> tuple[object, ...]:
        return tuple([getattr(self, field) for field in self.FIELDS])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AttributeValue) and type(self) is type(other) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((self.TYPE, self._values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join([repr(value) for value in self._values()])})"


class AddressValue(AttributeValue):
    """Is an attribute that holds a transport address in the clear.

    Bytes: 0 zero, 1 family, 2-3 port, 4-7 or 4-19 the IP address.
    """

    __slots__ = ("address",)
    FIELDS: ClassVar[tuple[str, ...]] = ("address",)

    def __init__(self, address: Address) -> None:
        self.address: Final = address

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value; the transaction id plays no part."""
        if len(value) == _IPV4_LENGTH:
            _zero, family, port, a, b, c, d = _IPV4_VALUE.unpack(value)
            host = f"{a}.{b}.{c}.{d}"
        else:
            family, port = _ipv6_prefix(value)
            host = _ipv6_text(value[4:])
        check_family(family, value)
        return cls(Address(host, port))

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value; the transaction id plays no part."""
        host, port = self.address
        check_range("port", port, 0, MAX_PORT)
        if ":" in host:
            return _IPV6_PREFIX.pack(0, FAMILY_IPV6, port) + pack_ipv6(host)
        a, b, c, d = ipv4_octets(host)
        return _IPV4_VALUE.pack(0, FAMILY_IPV4, port, a, b, c, d)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address})"


class XorAddressValue(AttributeValue):
    """Is an attribute that holds a transport address XORed with cookie and transaction id (RFC 8489 §14.2).

    Bytes: 0 zero, 1 family, 2-3 port, 4-7 or 4-19 the IP address; from 2 on XORed.
    """

    __slots__ = ("address",)
    FIELDS: ClassVar[tuple[str, ...]] = ("address",)

    def __init__(self, address: Address) -> None:
        self.address: Final = address

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value; an IPv6 address needs the message's transaction id."""
        if len(value) == _IPV4_LENGTH:
            _zero, family, port, a, b, c, d = _IPV4_VALUE.unpack(value)
            host = f"{a ^ _COOKIE_0}.{b ^ _COOKIE_1}.{c ^ _COOKIE_2}.{d ^ _COOKIE_3}"
        else:
            family, port = _ipv6_prefix(value)
            host = _ipv6_text(_xor_ipv6(value[4:], transaction_id))
        check_family(family, value)
        return cls(Address(host, port ^ _COOKIE_HIGH))

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value; an IPv6 address needs the message's transaction id."""
        host, port = self.address
        check_range("port", port, 0, MAX_PORT)
        if ":" in host:
            head = _IPV6_PREFIX.pack(0, FAMILY_IPV6, port ^ _COOKIE_HIGH)
            return head + _xor_ipv6(pack_ipv6(host), transaction_id)
        a, b, c, d = ipv4_octets(host)
        return _IPV4_VALUE.pack(
            0, FAMILY_IPV4, port ^ _COOKIE_HIGH, a ^ _COOKIE_0, b ^ _COOKIE_1, c ^ _COOKIE_2, d ^ _COOKIE_3
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address})"


class Uint32Value(AttributeValue):
    """Is an attribute that holds one 32-bit number."""

    __slots__ = ("value",)
    FIELDS: ClassVar[tuple[str, ...]] = ("value",)
    MIN: ClassVar[int] = 0
    MAX: ClassVar[int] = MAX_UINT32
    """What may be sent; any number is accepted."""

    def __init__(self, value: int) -> None:
        self.value: Final = value

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        if len(value) != 4:
            raise wrong_length(value, "4")
        return cls(from_bytes(value, "big"))

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        if not self.MIN <= self.value <= self.MAX:
            raise InvalidArgument(f"{self.NAME} {self.value} is not in {self.MIN} to {self.MAX}")
        return self.value.to_bytes(4, "big")


class OctetsValue(AttributeValue):
    """Is an attribute that holds octets nobody interprets here."""

    __slots__ = ("value",)
    FIELDS: ClassVar[tuple[str, ...]] = ("value",)
    MIN: ClassVar[int] = 0
    MAX: ClassVar[int] = MAX_VALUE_LENGTH

    def __init__(self, value: bytes) -> None:
        self.value: Final = value

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        if not cls.MIN <= len(value) <= cls.MAX:
            raise wrong_length(value, span(cls.MIN, cls.MAX))
        return cls(value)

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        check_octets(self.NAME, self.value, self.MIN, self.MAX)
        return self.value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value.hex()})"


class TextValue(AttributeValue):
    """Is an attribute that holds UTF-8 text."""

    __slots__ = ("text",)
    FIELDS: ClassVar[tuple[str, ...]] = ("text",)
    # RFC 8489 §14.9, §14.14: fewer than 128 characters, which can be as long as 763 bytes when decoding
    # (RFC 5389's authors counted six bytes a character).
    MAX_CHARACTERS: ClassVar[int] = 127
    MAX_SENT: ClassVar[int] = 509
    MAX_ACCEPTED: ClassVar[int] = 763
    """Bytes."""
    IS_DECORATIVE: ClassVar[bool] = False
    """Whether the text is only for people, so that broken UTF-8 is shown rather than refused."""

    def __init__(self, text: str) -> None:
        self.text: Final = text

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        if len(value) > cls.MAX_ACCEPTED:
            raise wrong_length(value, span(0, cls.MAX_ACCEPTED))
        try:
            return cls(value.decode())
        except UnicodeDecodeError:
            if not cls.IS_DECORATIVE:
                raise malformed("the text is not UTF-8") from None
            return cls(value.decode(errors="replace"))

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        return encode_text(self.NAME, self.text, self.MAX_CHARACTERS, self.MAX_SENT)


@final
class UnknownAttribute:
    """Is an attribute kept as it came; also writes what no typed attribute would (tests, other protocols)."""

    __slots__ = ("type", "value")

    def __init__(self, type: int, value: bytes) -> None:  # noqa: A002
        self.type: Final = type
        self.value: Final = value

    @property
    def TYPE(self) -> int:  # noqa: N802 - reads like the class variable of the typed attributes
        """Is the attribute type."""
        return self.type

    @property
    def NAME(self) -> str:  # noqa: N802
        """Is the type as people write it."""
        return f"0x{self.type:04X}"

    @property
    def is_required(self) -> bool:
        """Says whether a receiver must understand it (RFC 8489 §14)."""
        return self.type < 0x8000

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        if not 0 <= self.type <= 0xFFFF:
            raise InvalidArgument(f"attribute type {self.type} is not in 0 to 0xFFFF")
        check_octets(self.NAME, self.value, 0, MAX_VALUE_LENGTH)
        return self.value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnknownAttribute) and self.type == other.type and self.value == other.value

    def __hash__(self) -> int:
        return hash((self.type, self.value))

    def __repr__(self) -> str:
        return f"UnknownAttribute(0x{self.type:04X}, {len(self.value)} bytes)"


def malformed(detail: str) -> DecodeError:
    """Returns the error for a bad value; `message` adds which attribute, and where."""
    return DecodeError(DecodeReason.BAD_ATTRIBUTE, detail)


def wrong_length(value: bytes, allowed: str) -> DecodeError:
    """Returns the error for a value of a length that is not allowed."""
    return malformed(f"length {len(value)}, expected {allowed}")


def span(low: int, high: int) -> str:
    """Formats a range of lengths for an error's text."""
    return str(low) if low == high else f"{low} to {high}"


def check_octets(name: str, value: bytes, low: int, high: int) -> None:
    """Raises InvalidArgument unless the value has `low` to `high` bytes."""
    if not low <= len(value) <= high:
        raise InvalidArgument(f"{name} of {len(value)} bytes, allowed are {span(low, high)}")


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Raises InvalidArgument unless the number is in `low` to `high`."""
    if not low <= value <= high:
        raise InvalidArgument(f"{name} {value} is not in {low} to {high}")


def encode_text(name: str, text: str, max_characters: int, max_octets: int) -> bytes:
    """Returns the text in UTF-8.

    Raises: InvalidArgument when it is too long, or holds lone surrogates.
    """
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"{name} holds characters that UTF-8 cannot carry") from None
    if len(text) > max_characters or len(encoded) > max_octets:
        raise InvalidArgument(
            f"{name} of {len(text)} characters, {len(encoded)} bytes;"
            f" allowed are {max_characters} characters, {max_octets} bytes"
        )
    return encoded


def pack_ipv6(host: str) -> bytes:
    """Returns the 16 bytes of an IPv6 address's text.

    Raises: InvalidArgument when it is none.
    """
    try:
        return ipaddress.IPv6Address(host).packed
    except ValueError:
        raise InvalidArgument(f"{host!r} is not an IP address") from None


def check_family(family: int, value: bytes) -> None:
    """Raises DecodeError unless the family fits the value's length (RFC 8489 §14.1)."""
    expected = FAMILY_IPV4 if len(value) == _IPV4_LENGTH else FAMILY_IPV6
    if family != expected:
        raise malformed(f"family {family} in {len(value)} bytes, expected {expected}")


def _ipv6_prefix(value: bytes) -> tuple[int, int]:
    """Returns family and port of a value that is not as long as an IPv4 one."""
    if len(value) != _IPV6_LENGTH:
        raise wrong_length(value, f"{_IPV4_LENGTH} or {_IPV6_LENGTH}")
    return value[1], value[2] << 8 | value[3]


def _ipv6_text(packed: bytes) -> str:
    return str(unmapped(ipaddress.IPv6Address(packed)))


def _xor_ipv6(packed: bytes, transaction_id: bytes) -> bytes:
    # An RFC 3489 transaction id has 16 bytes, the first four where the cookie would be.
    mask = MAGIC_COOKIE_BYTES + transaction_id[-12:]
    return (from_bytes(packed, "big") ^ from_bytes(mask, "big")).to_bytes(16, "big")
