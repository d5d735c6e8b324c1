"""First bytes: the whole of RFC 9443's figure."""

from __future__ import annotations

import pytest

from icepath.wire.demux import Protocol, classify

# RFC 9443 §3, figure 3: first, last, protocol.
FIGURE = [
    (0, 3, Protocol.STUN),
    (4, 15, Protocol.UNKNOWN),
    (16, 19, Protocol.ZRTP),
    (20, 63, Protocol.DTLS),
    (64, 79, Protocol.CHANNEL_DATA),
    (80, 127, Protocol.QUIC),
    (128, 191, Protocol.RTP),
    (192, 255, Protocol.QUIC),
]


@pytest.mark.rfc("9443", "3")
@pytest.mark.rfc("7983", "7")
@pytest.mark.parametrize(("first", "last", "protocol"), FIGURE)
def test_each_range_is_its_protocol(first: int, last: int, protocol: Protocol) -> None:
    assert {classify(byte) for byte in range(first, last + 1)} == {protocol}


def test_the_figure_covers_every_byte() -> None:
    assert sum(last - first + 1 for first, last, _ in FIGURE) == 256
