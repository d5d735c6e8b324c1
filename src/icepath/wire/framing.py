"""Cuts byte streams into messages: STUN and ChannelData (TURN over TCP or TLS), RFC 4571 frames (ICE over TCP).

RFC 8489 §6.2.2 and RFC 8656 §12.5: both kinds of message tell their own length and end on a multiple of 4.
RFC 4571 §2 and RFC 6544 §3: a 16-bit length before each packet. What a message says is `message`'s business.

A framer keeps less than one message between calls. Bytes that are no message break a stream for good, as
nobody can tell where the next one begins: what came whole before them is still returned, and they are
reported by the next call.
"""

from __future__ import annotations

from typing import Final, final

from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.wire.attributes.forms import MAGIC_COOKIE_BYTES
from icepath.wire.channel_data import HEADER_LENGTH as CHANNEL_HEADER_LENGTH
from icepath.wire.message import HEADER_LENGTH

MAX_FRAME: Final = 0xFFFF
"""The most bytes an RFC 4571 frame holds."""

_FRAME_HEADER_LENGTH: Final = 2
# Enough of a message to know its length and, for STUN, its cookie.
_STUN_PREFIX: Final = 8
_CHANNEL_FIRST: Final = range(0x40, 0x50)


@final
class StunFramer:
    """Cuts a byte stream of STUN and padded ChannelData messages."""

    __slots__ = ("_buffer", "_error")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._error: DecodeError | None = None

    @property
    def is_broken(self) -> bool:
        """Says whether the stream holds something else, which the next call will report."""
        return self._error is not None

    def feed(self, data: bytes) -> list[bytes]:
        """Takes the stream's next bytes and returns the messages that are whole, ChannelData with its padding.

        Raises: DecodeError when the stream went wrong before any message of this call.
        """
        buffer = self._buffer
        messages: list[bytes] = []
        start = 0
        if self._error is None:
            buffer += data
            try:
                end = _message_end(buffer, start)
                while 0 <= end <= len(buffer):
                    messages.append(bytes(buffer[start:end]))
                    start = end
                    end = _message_end(buffer, start)
            except DecodeError as error:
                self._error = error
                buffer.clear()
            del buffer[:start]
        if self._error is not None and not messages:
            raise self._error
        return messages


@final
class Rfc4571Framer:
    """Cuts a byte stream of RFC 4571 frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Takes the stream's next bytes and returns the payloads that are whole; empty frames are left out."""
        buffer = self._buffer
        buffer += data
        payloads: list[bytes] = []
        start = 0
        while len(buffer) - start >= _FRAME_HEADER_LENGTH:
            end = start + _FRAME_HEADER_LENGTH + (buffer[start] << 8 | buffer[start + 1])
            if end > len(buffer):
                break
            if end > start + _FRAME_HEADER_LENGTH:
                payloads.append(bytes(buffer[start + _FRAME_HEADER_LENGTH : end]))
            start = end
        del buffer[:start]
        return payloads


def frame_rfc4571(payload: bytes) -> bytes:
    """Returns the payload as one frame.

    Raises: InvalidArgument when it is longer than a frame holds.
    """
    if len(payload) > MAX_FRAME:
        raise InvalidArgument(f"payload of {len(payload)} bytes, allowed are {MAX_FRAME}")
    return len(payload).to_bytes(_FRAME_HEADER_LENGTH, "big") + payload


def _message_end(buffer: bytearray, start: int) -> int:
    """Returns where the message at start ends, or -1 while too little of it is there to tell.

    Raises: DecodeError as soon as no message can begin like that.
    """
    found = len(buffer) - start
    if not found:
        return -1
    first = buffer[start]
    if first in _CHANNEL_FIRST:
        if found < CHANNEL_HEADER_LENGTH:
            return -1
        length = buffer[start + 2] << 8 | buffer[start + 3]
        return start + CHANNEL_HEADER_LENGTH + (length + 3 & -4)
    if first > 3:
        raise DecodeError(DecodeReason.NOT_STUN, f"first byte 0x{first:02X}, expected 0 to 3 or 0x40 to 0x4F")
    if found < _STUN_PREFIX:
        return -1
    length = buffer[start + 2] << 8 | buffer[start + 3]
    if length & 3:
        raise DecodeError(DecodeReason.BAD_LENGTH, f"length {length} at byte 2, expected a multiple of 4", offset=2)
    if not buffer.startswith(MAGIC_COOKIE_BYTES, start + 4):
        raise DecodeError(DecodeReason.NOT_STUN, "no magic cookie at byte 4", offset=4)
    return start + HEADER_LENGTH + length
