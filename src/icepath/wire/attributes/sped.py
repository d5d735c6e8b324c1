"""The attributes of draft-hancke-webrtc-sped §4 (DTLS in STUN): a packet of the handshake, and which packets came.

Both are comprehension-optional, and both SHOULD be silently discarded when they make no sense: so any value decodes,
and what it is worth is a property. The types are those in use; the registry has provisional names only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, Self, final

from icepath.wire.attributes.forms import OctetsValue

# Draft §4.3: "up to four CRC-32 values".
MAX_HASHES: Final = 4
HASH_LENGTH: Final = 4
# RFC 9443 §3: a first byte of 20 to 63 is DTLS.
FIRST_DTLS_BYTE: Final = 20
LAST_DTLS_BYTE: Final = 63


@final
class DtlsInStun(OctetsValue):
    """Carries one packet of a DTLS handshake; empty when there is none to send (§4.2)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0xC070
    NAME: ClassVar[str] = "META-DTLS-IN-STUN"

    @property
    def is_dtls(self) -> bool:
        """Says whether it carries what may be DTLS."""
        return is_dtls(self.value)


@final
class DtlsInStunAcknowledgement(OctetsValue):
    """Tells the CRC-32 of packets that have come; empty when none has (§4.3)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0xC071
    NAME: ClassVar[str] = "META-DTLS-IN-STUN-ACKNOWLEDGEMENT"

    @classmethod
    def of(cls, hashes: Sequence[int]) -> Self:
        """Returns the attribute that acknowledges these, at most four."""
        return cls(b"".join(each.to_bytes(HASH_LENGTH, "big") for each in hashes))

    @property
    def hashes(self) -> tuple[int, ...]:
        """Returns the CRC-32 values; none when the length is not allowed."""
        length = len(self.value)
        if length % HASH_LENGTH or length > MAX_HASHES * HASH_LENGTH:
            return ()
        starts = range(0, length, HASH_LENGTH)
        return tuple(int.from_bytes(self.value[start : start + HASH_LENGTH], "big") for start in starts)


def is_dtls(packet: bytes) -> bool:
    """Says whether the first byte is one of DTLS."""
    return len(packet) > 0 and FIRST_DTLS_BYTE <= packet[0] <= LAST_DTLS_BYTE
