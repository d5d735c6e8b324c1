"""Names of host candidates: a version-4 UUID and ".local", which tells nothing about whoever made it.

Only such names are ever asked for or answered here: others in ".local" are those of printers and neighbours,
and a candidate that names one would send checks there (draft-ietf-mmusic-mdns-ice-candidates §3.1.1 and §3.2.2).
"""

from __future__ import annotations

import re
from typing import Final

from icepath.net import RandomBytes

# RFC 4122 §4.1: version 4, variant 10x.
_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_NAME: Final = re.compile(rf"{_UUID}\.local", re.IGNORECASE)
# The label as it is on the wire, with its length.
_LABEL: Final = re.compile(b"\\x24" + _UUID.encode(), re.IGNORECASE)

UUID_LENGTH: Final = 16


def local_name(random_bytes: RandomBytes) -> str:
    """Returns a fresh name (draft §3.1.1 step 3)."""
    drawn = bytearray(random_bytes(UUID_LENGTH))
    drawn[6] = drawn[6] & 0x0F | 0x40
    drawn[8] = drawn[8] & 0x3F | 0x80
    digits = drawn.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}.local"


def is_multicast_name(name: str) -> bool:
    """Says whether mDNS is to be asked: one label before ".local" (draft §3.2.1 step 1)."""
    label, _, rest = name.lower().rstrip(".").partition(".")
    return bool(label) and rest == "local"


def is_candidate_name(name: str) -> bool:
    """Says whether the name is of the form that agents make."""
    return _NAME.fullmatch(name) is not None


def names_a_candidate(payload: bytes) -> bool:
    """Says whether a message has such a name anywhere: a cheap look that spares reading everybody else's."""
    return _LABEL.search(payload) is not None
