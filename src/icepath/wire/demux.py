"""Which protocol a packet belongs to, by its first byte (RFC 7983 §7 as updated by RFC 9443 §3).

One table lookup, for packets that share a socket. 64 to 79 means TURN ChannelData only when the packet comes
from the TURN server; from anyone else it is QUIC (RFC 9443 §3): the caller knows its servers, this does not.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class Protocol(Enum):
    """Is a protocol that shares a socket with STUN."""

    STUN = auto()
    ZRTP = auto()
    DTLS = auto()
    CHANNEL_DATA = auto()
    QUIC = auto()
    RTP = auto()
    """RTP or RTCP."""
    UNKNOWN = auto()
    """To be dropped."""


_RANGES: Final = (
    (Protocol.STUN, 4),
    (Protocol.UNKNOWN, 16),
    (Protocol.ZRTP, 20),
    (Protocol.DTLS, 64),
    (Protocol.CHANNEL_DATA, 80),
    (Protocol.QUIC, 128),
    (Protocol.RTP, 192),
    (Protocol.QUIC, 256),
)


def _table() -> tuple[Protocol, ...]:
    table: list[Protocol] = []
    for protocol, end in _RANGES:
        table += [protocol] * (end - len(table))
    return tuple(table)


_TABLE: Final = _table()


def classify(first_byte: int) -> Protocol:
    """Returns the protocol a packet with this first byte (0 to 255) belongs to."""
    return _TABLE[first_byte]
