"""Byte streams: messages whole, cut anywhere, and streams that go wrong."""

from __future__ import annotations

import pytest

from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.wire.channel_data import encode_channel_data
from icepath.wire.framing import MAX_FRAME, Rfc4571Framer, StunFramer, frame_rfc4571
from icepath.wire.message import MessageClass, Method, TransactionId, encode_message

STUN = encode_message(Method.BINDING, MessageClass.REQUEST, TransactionId(bytes(range(12))))
CHANNEL = encode_channel_data(0x4000, b"abcde", padded=True)
EMPTY_CHANNEL = encode_channel_data(0x4001, b"", padded=True)
MESSAGES = [STUN, CHANNEL, EMPTY_CHANNEL, STUN]


@pytest.mark.rfc("8489", "6.2.2")
@pytest.mark.rfc("8656", "12.5")
@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 7, 8, 20, 21, 1000])
def test_messages_come_whole_however_the_stream_is_cut(chunk: int) -> None:
    stream = b"".join(MESSAGES)
    framer = StunFramer()
    found: list[bytes] = []
    for start in range(0, len(stream), chunk):
        found += framer.feed(stream[start : start + chunk])
    assert found == MESSAGES
    assert not framer.is_broken


@pytest.mark.parametrize(
    ("junk", "reason", "offset"),
    [
        (b"\x16\x03\x01", DecodeReason.NOT_STUN, 0),
        (b"\x50\x00\x00\x00", DecodeReason.NOT_STUN, 0),
        (b"\x04", DecodeReason.NOT_STUN, 0),
        (b"\x00\x01\x00\x03\x21\x12\xa4\x42", DecodeReason.BAD_LENGTH, 2),
        (b"\x00\x01\x00\x04\x21\x12\xa4\x43", DecodeReason.NOT_STUN, 4),
    ],
)
def test_junk_breaks_the_stream_for_good(junk: bytes, reason: DecodeReason, offset: int) -> None:
    framer = StunFramer()
    for data in (junk, STUN, b""):
        with pytest.raises(DecodeError) as caught:
            framer.feed(data)
        assert caught.value.reason is reason
        assert caught.value.offset == offset
        assert framer.is_broken


def test_messages_before_junk_are_returned_and_the_junk_is_reported_by_the_next_call() -> None:
    framer = StunFramer()
    assert framer.feed(STUN + CHANNEL + b"SSH-2.0-") == [STUN, CHANNEL]
    assert framer.is_broken
    with pytest.raises(DecodeError, match="first byte 0x53"):
        framer.feed(STUN)


@pytest.mark.parametrize(
    "message", [b"\x00\x01\xff\xfc" + STUN[4:20] + bytes(0xFFFC), b"\x40\x00\xff\xff" + bytes(0x10000)]
)
def test_the_longest_messages_pass(message: bytes) -> None:
    framer = StunFramer()
    assert framer.feed(message[:-1]) == []
    assert framer.feed(message[-1:]) == [message]


@pytest.mark.rfc("4571", "2")
@pytest.mark.parametrize("chunk", [1, 2, 3, 1000])
def test_frames_come_whole_however_the_stream_is_cut(chunk: int) -> None:
    payloads = [b"a", b"bc" * 100, b"d"]
    stream = frame_rfc4571(payloads[0]) + frame_rfc4571(b"") + b"".join(map(frame_rfc4571, payloads[1:]))
    framer = Rfc4571Framer()
    found: list[bytes] = []
    for start in range(0, len(stream), chunk):
        found += framer.feed(stream[start : start + chunk])
    assert found == payloads


def test_a_frame_holds_16_bits_of_length() -> None:
    longest = bytes(MAX_FRAME)
    assert Rfc4571Framer().feed(frame_rfc4571(longest)) == [longest]
    with pytest.raises(InvalidArgument, match="65536 bytes"):
        frame_rfc4571(longest + b"x")
