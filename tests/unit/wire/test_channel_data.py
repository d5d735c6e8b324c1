"""ChannelData: layout, padding, what is refused."""

from __future__ import annotations

import pytest

from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.wire.channel_data import MAX_PAYLOAD, ChannelData, decode_channel_data, encode_channel_data


@pytest.mark.rfc("8656", "12.4")
@pytest.mark.parametrize(
    ("data", "channel", "payload"),
    [
        ("4000 0003 616263", 0x4000, b"abc"),
        ("4fff 0000", 0x4FFF, b""),
        ("4001 0003 616263 00", 0x4001, b"abc"),
        ("4001 0001 61 ffffff", 0x4001, b"a"),
    ],
)
def test_a_message_decodes(data: str, channel: int, payload: bytes) -> None:
    assert decode_channel_data(bytes.fromhex(data)) == ChannelData(channel, payload)


@pytest.mark.rfc("8656", "12.6")
@pytest.mark.parametrize(
    ("data", "reason", "says"),
    [
        ("", DecodeReason.TRUNCATED, "0 bytes, expected 4 or more"),
        ("4000 00", DecodeReason.TRUNCATED, "3 bytes, expected 4 or more"),
        ("4000 0004 616263", DecodeReason.TRUNCATED, "length 4, only 3 bytes follow"),
        ("3fff 0000", DecodeReason.BAD_CHANNEL, "channel 0x3FFF"),
        ("5000 0000", DecodeReason.BAD_CHANNEL, "channel 0x5000"),
        ("ffff 0000", DecodeReason.BAD_CHANNEL, "channel 0xFFFF"),
    ],
)
def test_what_is_no_message_is_refused(data: str, reason: DecodeReason, says: str) -> None:
    with pytest.raises(DecodeError, match=says) as caught:
        decode_channel_data(bytes.fromhex(data))
    assert caught.value.reason is reason


@pytest.mark.rfc("8656", "12.5")
@pytest.mark.parametrize(("length", "padding"), [(0, 0), (1, 3), (2, 2), (3, 1), (4, 0)])
def test_padding_is_written_only_for_byte_streams(length: int, padding: int) -> None:
    payload = b"x" * length
    plain = encode_channel_data(0x4000, payload)
    assert plain == b"\x40\x00" + length.to_bytes(2, "big") + payload
    assert encode_channel_data(0x4000, payload, padded=True) == plain + bytes(padding)


@pytest.mark.parametrize("channel", [-1, 0x3FFF, 0x5000, 0x10000])
def test_a_channel_out_of_range_is_not_encoded(channel: int) -> None:
    with pytest.raises(InvalidArgument, match="0x4000 to 0x4FFF"):
        encode_channel_data(channel, b"")


def test_the_longest_payload_comes_back_and_a_longer_one_is_refused() -> None:
    longest = bytes(MAX_PAYLOAD)
    assert decode_channel_data(encode_channel_data(0x4000, longest)).payload == longest
    with pytest.raises(InvalidArgument, match="65536 bytes"):
        encode_channel_data(0x4000, longest + b"x")


def test_messages_compare_by_their_fields() -> None:
    assert ChannelData(0x4000, b"a") == ChannelData(0x4000, b"a")
    assert ChannelData(0x4000, b"a") != ChannelData(0x4001, b"a")
    assert ChannelData(0x4000, b"a") != ChannelData(0x4000, b"b")
    assert ChannelData(0x4000, b"a") != (0x4000, b"a")
    assert len({ChannelData(0x4000, b"a"), ChannelData(0x4000, b"a")}) == 1
    assert repr(ChannelData(0x4000, b"secret")) == "ChannelData(0x4000, 6 bytes)"
