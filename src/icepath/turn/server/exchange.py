"""A request, who sent it and from where; and the answers to it.

Answers are signed as the request was, and have a fingerprint when it had one. What to answer is decided in
requests.py and ports.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from icepath.machine import Bytes, Datagram, Handle
from icepath.net import Address
from icepath.turn.server.policy import REASONS
from icepath.wire.attributes import Attribute, ErrorCode, Software
from icepath.wire.integrity import Integrity, IntegrityKey
from icepath.wire.message import Message, MessageClass, encode_message


class FiveTuple(NamedTuple):
    """Names an allocation (RFC 8656 §6): the handle tells a byte stream's client from the UDP one at its address."""

    server: Address
    client: Address
    handle: Handle | None = None

    def carry(self, payload: bytes, *, is_data: bool = False) -> Datagram | Bytes:
        """Returns what takes a message to the client; a driver in distress may drop `is_data`."""
        if self.handle is None:
            return Datagram(self.server, self.client, payload)
        return Bytes(self.handle, payload, is_data)


@dataclass(frozen=True, slots=True)
class Exchange:
    """Is a request and what is needed to answer it."""

    request: Message
    five_tuple: FiveTuple
    software: str | None = None
    username: str | None = None
    key: IntegrityKey | None = field(default=None, repr=False)
    integrity: Integrity = Integrity.SHA1

    def success(self, attributes: tuple[Attribute, ...]) -> Datagram | Bytes:
        """Returns a success response."""
        return self._reply(MessageClass.SUCCESS, attributes)

    def error(self, code: int) -> Datagram | Bytes:
        """Returns an error response with the code's usual reason phrase."""
        return self.refusal((ErrorCode(code, REASONS[code]),))

    def refusal(self, attributes: tuple[Attribute, ...]) -> Datagram | Bytes:
        """Returns an error response whose attributes were decided elsewhere."""
        return self._reply(MessageClass.ERROR, attributes)

    def _reply(self, message_class: MessageClass, attributes: tuple[Attribute, ...]) -> Datagram | Bytes:
        if self.software is not None:
            attributes = (*attributes, Software(self.software))
        payload = encode_message(
            self.request.method,
            message_class,
            self.request.transaction_id,
            attributes,
            key=self.key,
            integrity=self.integrity,
            fingerprint=self.request.has_fingerprint,
        )
        return self.five_tuple.carry(payload)
