"""Byte streams: framers give the same however a stream is cut, lose nothing, and keep less than one message.

The first byte says how the rest is cut into pieces.
"""

from __future__ import annotations

import sys

from icepath.errors import DecodeError
from icepath.wire.framing import MAX_FRAME, Rfc4571Framer, StunFramer, frame_rfc4571

# The longest message (RFC 8656 §12.4 over a byte stream), and the most that two length bytes add.
MAX_MESSAGE = 4 + 0x10000


def one_input(data: bytes) -> None:
    """Checks one stream in both framings."""
    if not data:
        return
    size, stream = data[0] + 1, data[1:]
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert messages_of(pieces) == messages_of([stream])
    whole, broken = messages_of(pieces)
    taken = b"".join(whole)
    assert stream.startswith(taken)
    assert all(len(message) % 4 == 0 for message in whole)
    assert broken or len(stream) - len(taken) < MAX_MESSAGE
    payloads = payloads_of(pieces)
    assert payloads == payloads_of([stream])
    assert len(stream) - sum(map(len, payloads)) - 2 * len(payloads) >= 0
    assert payloads_of([frame_rfc4571(payload) for payload in payloads]) == payloads
    assert all(0 < len(payload) <= MAX_FRAME for payload in payloads)


def messages_of(pieces: list[bytes]) -> tuple[list[bytes], bool]:
    """Returns what a StunFramer finds, and whether the stream broke."""
    framer = StunFramer()
    found: list[bytes] = []
    for piece in pieces:
        try:
            found += framer.feed(piece)
        except DecodeError:
            assert framer.is_broken
    return found, framer.is_broken


def payloads_of(pieces: list[bytes]) -> list[bytes]:
    """Returns what an Rfc4571Framer finds."""
    framer = Rfc4571Framer()
    return [payload for piece in pieces for payload in framer.feed(piece)]


def main() -> None:
    """Fuzzes until stopped: python fuzz/target_framing.py fuzz/corpus/framing."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
