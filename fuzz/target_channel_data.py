"""ChannelData: any bytes decode or are refused with DecodeError, and what is decoded encodes to the same."""

from __future__ import annotations

import sys

from icepath.errors import DecodeError, DecodeReason
from icepath.wire.channel_data import decode_channel_data, encode_channel_data


def one_input(data: bytes) -> None:
    """Checks one message."""
    try:
        message = decode_channel_data(data)
    except DecodeError as error:
        check_refusal(error, len(data))
        return
    encoded = encode_channel_data(message.channel, message.payload)
    assert data.startswith(encoded)
    padded = encode_channel_data(message.channel, message.payload, padded=True)
    assert len(padded) % 4 == 0
    assert decode_channel_data(padded) == message


def check_refusal(error: DecodeError, size: int) -> None:
    """Checks that a refusal is of the right kind and points into the message."""
    assert error.reason in (DecodeReason.TRUNCATED, DecodeReason.BAD_CHANNEL)
    assert 0 <= error.offset <= size


def main() -> None:
    """Fuzzes until stopped: python fuzz/target_channel_data.py fuzz/corpus/channel_data."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
