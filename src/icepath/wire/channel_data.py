"""TURN ChannelData messages (RFC 8656 §12.4-12.6): four bytes, then the application's data.

    0-1 channel number   2-3 length of the data   4- data (padded to a multiple of 4 on byte streams)

Which peer a channel stands for is `turn`'s business; cutting a byte stream is `framing`'s.
"""

from __future__ import annotations

import struct
from typing import Final, final

from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.wire.attributes.rfc8656 import MAX_CHANNEL, MIN_CHANNEL

HEADER_LENGTH: Final = 4
MAX_PAYLOAD: Final = 0xFFFF

_HEADER: Final = struct.Struct(">HH")


@final
class ChannelData:
    """Is one ChannelData message."""

    __slots__ = ("channel", "payload")

    def __init__(self, channel: int, payload: bytes) -> None:
        self.channel: Final = channel
        self.payload: Final = payload

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChannelData) and self.channel == other.channel and self.payload == other.payload

    def __hash__(self) -> int:
        return hash((self.channel, self.payload))

    def __repr__(self) -> str:
        return f"ChannelData(0x{self.channel:04X}, {len(self.payload)} bytes)"


def decode_channel_data(data: bytes) -> ChannelData:
    """Decodes one whole message; whatever follows the data it announces is padding, and ignored.

    Raises: DecodeError TRUNCATED or BAD_CHANNEL.
    RFC: 8656 §12.6: a channel in the reserved range and a datagram too short are silently discarded.
    """
    size = len(data)
    if size < HEADER_LENGTH:
        raise DecodeError(DecodeReason.TRUNCATED, f"ChannelData of {size} bytes, expected 4 or more", offset=size)
    channel, length = _HEADER.unpack_from(data)
    if not MIN_CHANNEL <= channel <= MAX_CHANNEL:
        raise DecodeError(DecodeReason.BAD_CHANNEL, f"channel 0x{channel:04X}, expected 0x4000 to 0x4FFF")
    end = HEADER_LENGTH + length
    if end > size:
        raise DecodeError(
            DecodeReason.TRUNCATED,
            f"ChannelData length {length}, only {size - HEADER_LENGTH} bytes follow",
            offset=size,
        )
    return ChannelData(channel, data[HEADER_LENGTH:end])


def encode_channel_data(channel: int, payload: bytes, *, padded: bool = False) -> bytes:
    """Returns the message; `padded` to a multiple of 4 for byte streams (RFC 8656 §12.5).

    Raises: InvalidArgument when the channel or the payload's length is out of range.
    """
    if not MIN_CHANNEL <= channel <= MAX_CHANNEL:
        raise InvalidArgument(f"channel 0x{channel:04X} is not in 0x4000 to 0x4FFF")
    length = len(payload)
    if length > MAX_PAYLOAD:
        raise InvalidArgument(f"payload of {length} bytes, allowed are {MAX_PAYLOAD}")
    message = _HEADER.pack(channel, length) + payload
    return message + bytes(-length & 3) if padded else message
