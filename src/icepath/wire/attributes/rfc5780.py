"""The attributes of RFC 5780 §7 (NAT behaviour discovery), one class each.

CACHE-TIMEOUT is registered by §9.1 without a layout; it is read as drafts and deployed servers have it:
a 32-bit number of seconds.
"""

# ruff: noqa: ARG002, ARG003 - one signature for every attribute
from __future__ import annotations

from typing import ClassVar, Final, Self, final

from icepath.net import MAX_PORT
from icepath.wire.attributes.forms import (
    MAX_UINT32,
    MAX_VALUE_LENGTH,
    AddressValue,
    AttributeValue,
    check_range,
    wrong_length,
)

_CHANGE_IP: Final = 0x04
_CHANGE_PORT: Final = 0x02


@final
class ChangeRequest(AttributeValue):
    """Asks for the response from another address, port, or both (RFC 5780 §7.2)."""

    __slots__ = ("change_ip", "change_port")
    TYPE: ClassVar[int] = 0x0003
    NAME: ClassVar[str] = "CHANGE-REQUEST"
    FIELDS: ClassVar[tuple[str, ...]] = ("change_ip", "change_port")

    def __init__(self, change_ip: bool = False, change_port: bool = False) -> None:
        self.change_ip: Final = change_ip
        self.change_port: Final = change_port

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        if len(value) != 4:
            raise wrong_length(value, "4")
        return cls(bool(value[3] & _CHANGE_IP), bool(value[3] & _CHANGE_PORT))

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        flags = (_CHANGE_IP if self.change_ip else 0) | (_CHANGE_PORT if self.change_port else 0)
        return bytes((0, 0, 0, flags))


@final
class Padding(AttributeValue):
    """Makes a message long, to be cut into IP fragments (RFC 5780 §7.6); its bytes do not matter."""

    __slots__ = ("length",)
    TYPE: ClassVar[int] = 0x0026
    NAME: ClassVar[str] = "PADDING"
    FIELDS: ClassVar[tuple[str, ...]] = ("length",)

    def __init__(self, length: int) -> None:
        self.length: Final = length

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value: only its length is kept."""
        return cls(len(value))

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value: zeros."""
        check_range("PADDING length", self.length, 0, MAX_VALUE_LENGTH)
        return bytes(self.length)


@final
class ResponsePort(AttributeValue):
    """Asks for the response to another port of the same address (RFC 5780 §7.5).

    Bytes: 0-1 port, 2-3 padding. The text does not say whether Length counts the padding: both are read.
    """

    __slots__ = ("port",)
    TYPE: ClassVar[int] = 0x0027
    NAME: ClassVar[str] = "RESPONSE-PORT"
    FIELDS: ClassVar[tuple[str, ...]] = ("port",)

    def __init__(self, port: int) -> None:
        self.port: Final = port

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        if len(value) not in (2, 4):
            raise wrong_length(value, "2 or 4")
        return cls(value[0] << 8 | value[1])

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value, its padding included, as deployed servers expect it."""
        check_range(self.NAME, self.port, 0, MAX_PORT)
        return self.port.to_bytes(2, "big") + b"\0\0"


@final
class ResponseOrigin(AddressValue):
    """Is the address the response was sent from (RFC 5780 §7.3)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x802B
    NAME: ClassVar[str] = "RESPONSE-ORIGIN"


@final
class OtherAddress(AddressValue):
    """Is the address that "change IP" and "change port" would answer from (RFC 5780 §7.4)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x802C
    NAME: ClassVar[str] = "OTHER-ADDRESS"


@final
class CacheTimeout(AttributeValue):
    """Is how long a server keeps a transaction's response (RFC 5780 §9.1)."""

    __slots__ = ("seconds",)
    TYPE: ClassVar[int] = 0x8027
    NAME: ClassVar[str] = "CACHE-TIMEOUT"
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
