"""The attribute of RFC 7982 §3.1 (round-trip time and loss): TRANSACTION_TRANSMIT_COUNTER."""

# ruff: noqa: ARG002, ARG003 - one signature for every attribute
from __future__ import annotations

from typing import ClassVar, Final, Self, final

from icepath.wire.attributes.forms import AttributeValue, check_range, wrong_length


@final
class TransactionTransmitCounter(AttributeValue):
    """Counts the transmissions of a request and of its response. Bytes: 0-1 reserved, 2 request, 3 response."""

    __slots__ = ("request", "response")
    TYPE: ClassVar[int] = 0x8025
    NAME: ClassVar[str] = "TRANSACTION_TRANSMIT_COUNTER"
    FIELDS: ClassVar[tuple[str, ...]] = ("request", "response")

    def __init__(self, request: int, response: int = 0) -> None:
        self.request: Final = request
        self.response: Final = response

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        if len(value) != 4:
            raise wrong_length(value, "4")
        return cls(value[2], value[3])

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        check_range("request count", self.request, 0, 0xFF)
        check_range("response count", self.response, 0, 0xFF)
        return bytes((0, 0, self.request, self.response))
