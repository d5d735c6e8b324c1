"""The attributes of RFC 8656 §18 (TURN), one class each.

What a server must judge (an unknown family, a channel number out of range, a transport it has not) decodes
to a value, so that the server can answer with the code RFC 8656 asks for; it cannot be encoded by mistake.
"""

# ruff: noqa: ARG002, ARG003 - one signature for every attribute
from __future__ import annotations

import struct
from enum import IntEnum
from typing import ClassVar, Final, Self, final

from icepath.wire.attributes.forms import (
    MAX_UINT32,
    MAX_VALUE_LENGTH,
    AttributeValue,
    XorAddressValue,
    check_octets,
    check_range,
    wrong_length,
)
from icepath.wire.attributes.rfc8489 import decode_error, encode_error

# RFC 8656 §12: the channel numbers a client may bind.
MIN_CHANNEL: Final = 0x4000
MAX_CHANNEL: Final = 0x4FFF
# RFC 8656 §14.7 and RFC 6062 §4.1: protocol numbers as in the IP header.
PROTOCOL_UDP: Final = 17
PROTOCOL_TCP: Final = 6

_CHANNEL: Final = struct.Struct(">HH")
_ICMP: Final = struct.Struct(">HBBI")


class AddressFamily(IntEnum):
    """Is the family of a relayed address (RFC 8656 §18.6)."""

    IPV4 = 1
    IPV6 = 2


_FAMILIES: Final = {1: AddressFamily.IPV4, 2: AddressFamily.IPV6}


@final
class ChannelNumber(AttributeValue):
    """Is a channel's number (RFC 8656 §18.1). Bytes: 0-1 number, 2-3 reserved."""

    __slots__ = ("number",)
    TYPE: ClassVar[int] = 0x000C
    NAME: ClassVar[str] = "CHANNEL-NUMBER"
    FIELDS: ClassVar[tuple[str, ...]] = ("number",)

    def __init__(self, number: int) -> None:
        self.number: Final = number

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value, in range or not."""
        if len(value) != 4:
            raise wrong_length(value, "4")
        return cls(value[0] << 8 | value[1])

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        check_range(self.NAME, self.number, MIN_CHANNEL, MAX_CHANNEL)
        return _CHANNEL.pack(self.number, 0)


@final
class Lifetime(AttributeValue):
    """Is how long an allocation lives (RFC 8656 §18.2)."""

    __slots__ = ("seconds",)
    TYPE: ClassVar[int] = 0x000D
    NAME: ClassVar[str] = "LIFETIME"
    FIELDS: ClassVar[tuple[str, ...]] = ("seconds",)

    def __init__(self, seconds: int) -> None:
        self.seconds: Final = seconds

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        if len(value) != 4:
            raise wrong_length(value, "4")
        return cls(int.from_bytes(value, "big"))

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        check_range(self.NAME, self.seconds, 0, MAX_UINT32)
        return self.seconds.to_bytes(4, "big")


@final
class XorPeerAddress(XorAddressValue):
    """Is the peer's address as the server sees it (RFC 8656 §18.3)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x0012
    NAME: ClassVar[str] = "XOR-PEER-ADDRESS"


@final
class Data(AttributeValue):
    """Is the application's data (RFC 8656 §18.4)."""

    __slots__ = ("payload",)
    TYPE: ClassVar[int] = 0x0013
    NAME: ClassVar[str] = "DATA"
    FIELDS: ClassVar[tuple[str, ...]] = ("payload",)

    def __init__(self, payload: bytes) -> None:
        self.payload: Final = payload

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Data:
        """Decodes the value."""
        return cls(value)

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        check_octets(self.NAME, self.payload, 0, MAX_VALUE_LENGTH)
        return self.payload

    def __repr__(self) -> str:
        return f"Data({len(self.payload)} bytes)"


@final
class XorRelayedAddress(XorAddressValue):
    """Is the relayed address the server allocated (RFC 8656 §18.5)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x0016
    NAME: ClassVar[str] = "XOR-RELAYED-ADDRESS"


@final
class RequestedAddressFamily(AttributeValue):
    """Asks for a relayed address of this family (RFC 8656 §18.6). Bytes: 0 family, 1-3 reserved."""

    __slots__ = ("family",)
    TYPE: ClassVar[int] = 0x0017
    NAME: ClassVar[str] = "REQUESTED-ADDRESS-FAMILY"
    FIELDS: ClassVar[tuple[str, ...]] = ("family",)

    def __init__(self, family: int) -> None:
        self.family: Final = family
        """An `AddressFamily`, or a number that a server answers with 440."""

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        return cls(_decode_family(value))

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        return _encode_family(self.family)


@final
class AdditionalAddressFamily(AttributeValue):
    """Asks for a second relayed address, of this family (RFC 8656 §18.11). Bytes: 0 family, 1-3 reserved."""

    __slots__ = ("family",)
    TYPE: ClassVar[int] = 0x8000
    NAME: ClassVar[str] = "ADDITIONAL-ADDRESS-FAMILY"
    FIELDS: ClassVar[tuple[str, ...]] = ("family",)

    def __init__(self, family: int) -> None:
        self.family: Final = family
        """An `AddressFamily`, or a number that a server refuses."""

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        return cls(_decode_family(value))

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        return _encode_family(self.family)


@final
class EvenPort(AttributeValue):
    """Asks for an even port, and perhaps for keeping the next one free (RFC 8656 §18.7)."""

    __slots__ = ("reserve_next",)
    TYPE: ClassVar[int] = 0x0018
    NAME: ClassVar[str] = "EVEN-PORT"
    FIELDS: ClassVar[tuple[str, ...]] = ("reserve_next",)

    def __init__(self, reserve_next: bool = False) -> None:
        self.reserve_next: Final = reserve_next

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        if len(value) != 1:
            raise wrong_length(value, "1")
        return cls(value[0] >= 0x80)

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        return b"\x80" if self.reserve_next else b"\0"


@final
class RequestedTransport(AttributeValue):
    """Asks for a relay of this IP protocol (RFC 8656 §18.8). Bytes: 0 protocol, 1-3 reserved."""

    __slots__ = ("protocol",)
    TYPE: ClassVar[int] = 0x0019
    NAME: ClassVar[str] = "REQUESTED-TRANSPORT"
    FIELDS: ClassVar[tuple[str, ...]] = ("protocol",)

    def __init__(self, protocol: int = PROTOCOL_UDP) -> None:
        self.protocol: Final = protocol

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        if len(value) != 4:
            raise wrong_length(value, "4")
        return cls(value[0])

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        check_range(self.NAME, self.protocol, 0, 0xFF)
        return bytes((self.protocol, 0, 0, 0))


@final
class DontFragment(AttributeValue):
    """Asks for the DF bit on what is relayed (RFC 8656 §18.9); has no value."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x001A
    NAME: ClassVar[str] = "DONT-FRAGMENT"

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the empty value."""
        if value:
            raise wrong_length(value, "0")
        return cls()

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the empty value."""
        return b""


@final
class ReservationToken(AttributeValue):
    """Names a relayed address held in reserve (RFC 8656 §18.10)."""

    __slots__ = ("token",)
    TYPE: ClassVar[int] = 0x0022
    NAME: ClassVar[str] = "RESERVATION-TOKEN"
    FIELDS: ClassVar[tuple[str, ...]] = ("token",)

    def __init__(self, token: bytes) -> None:
        self.token: Final = token

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        if len(value) != 8:
            raise wrong_length(value, "8")
        return cls(value)

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        check_octets(self.NAME, self.token, 8, 8)
        return self.token


@final
class AddressErrorCode(AttributeValue):
    """Says why the server did not allocate one of two families (RFC 8656 §18.12).

    Bytes: 0 family, 1 and the high 5 bits of 2 reserved, 2 class, 3 number, 4- reason phrase.
    """

    __slots__ = ("code", "family", "reason")
    TYPE: ClassVar[int] = 0x8001
    NAME: ClassVar[str] = "ADDRESS-ERROR-CODE"
    FIELDS: ClassVar[tuple[str, ...]] = ("family", "code", "reason")

    def __init__(self, family: int, code: int, reason: str = "") -> None:
        self.family: Final = family
        """An `AddressFamily`, or a number that is not known here."""
        self.code: Final = code
        self.reason: Final = reason

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value; a phrase that is not UTF-8 is shown with replacement characters."""
        code, reason = decode_error(value)
        return cls(_FAMILIES.get(value[0], value[0]), code, reason)

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        check_range("address family", self.family, 1, 2)
        return bytes((self.family, 0)) + encode_error(self.NAME, self.code, self.reason)


@final
class Icmp(AttributeValue):
    """Reports an ICMP error about relayed data (RFC 8656 §18.13).

    Bytes: 0-1 reserved, 2 ICMP type, 3 ICMP code, 4-7 error data (the next hop's MTU, or 0). The RFC's
    drawing gives 7 bits to the type and 9 to the code; ICMP itself has 8 and 8, and so do we.
    """

    __slots__ = ("data", "icmp_code", "icmp_type")
    TYPE: ClassVar[int] = 0x8004
    NAME: ClassVar[str] = "ICMP"
    FIELDS: ClassVar[tuple[str, ...]] = ("icmp_type", "icmp_code", "data")

    def __init__(self, icmp_type: int, icmp_code: int, data: int = 0) -> None:
        self.icmp_type: Final = icmp_type
        self.icmp_code: Final = icmp_code
        self.data: Final = data

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        if len(value) != 8:
            raise wrong_length(value, "8")
        _reserved, icmp_type, icmp_code, data = _ICMP.unpack(value)
        return cls(icmp_type, icmp_code, data)

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        check_range("ICMP type", self.icmp_type, 0, 0xFF)
        check_range("ICMP code", self.icmp_code, 0, 0xFF)
        check_range("ICMP data", self.data, 0, MAX_UINT32)
        return _ICMP.pack(0, self.icmp_type, self.icmp_code, self.data)


def _decode_family(value: bytes) -> int:
    if len(value) != 4:
        raise wrong_length(value, "4")
    return _FAMILIES.get(value[0], value[0])


def _encode_family(family: int) -> bytes:
    check_range("address family", family, 1, 2)
    return bytes((family, 0, 0, 0))
