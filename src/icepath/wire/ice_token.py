"""A description's bytes as one line for terminals: `ice1:` and base64url that tells how it was damaged.

    byte 0  payload length      byte 3          ...        last four bytes
    +---------------+---------+---------------------------+---------------+
    | 16 bits       | check 8 | payload                   | CRC-32        |
    +---------------+---------+---------------------------+---------------+

The first four characters are exactly the first three bytes, so a token that a terminal cut is told from
one that was mistyped. Nothing is compressed: the payload is packed and its random parts do not shrink.
What the payload means is fragment.py's business.
"""

from __future__ import annotations

import base64
import re
import zlib
from typing import Final

from icepath.errors import DecodeError, DecodeReason

TOKEN_PREFIX: Final = "ice1:"
# A terminal in line mode cuts input at 4,095 bytes, the line end included.
MAX_TOKEN_LENGTH: Final = 4094
HEADER_LENGTH: Final = 3
CRC_LENGTH: Final = 4
# Whole base64 groups of what the prefix leaves, less header and CRC.
MAX_PAYLOAD_LENGTH: Final = (MAX_TOKEN_LENGTH - len(TOKEN_PREFIX)) * 3 // 4 - HEADER_LENGTH - CRC_LENGTH

_VERSIONED: Final = re.compile(r"ice([0-9]{1,3}):", re.IGNORECASE)
_FOREIGN: Final = re.compile(r"[^A-Za-z0-9_-]")
# Much more than any token, wrapped lines included.
_MAX_TEXT_LENGTH: Final = 2 * MAX_TOKEN_LENGTH


def looks_like_token(text: str) -> bool:
    """Says whether the text claims to be a token, of whatever version."""
    return _VERSIONED.match(text) is not None


def format_token(payload: bytes) -> str:
    """Formats a payload of at most MAX_PAYLOAD_LENGTH bytes as a token."""
    body = _header(len(payload)) + payload
    body += zlib.crc32(body).to_bytes(CRC_LENGTH, "big")
    return TOKEN_PREFIX + base64.urlsafe_b64encode(body).decode().rstrip("=")


def parse_token(text: str) -> bytes:
    """Returns a token's payload; white space is skipped, since terminals wrap and people paste.

    Raises: DecodeError BAD_TOKEN: not a token, of another version, truncated or mistyped.
    """
    if len(text) > _MAX_TEXT_LENGTH:
        raise _error(f"not a token: {len(text)} characters, a token has at most {MAX_TOKEN_LENGTH}", _MAX_TEXT_LENGTH)
    text = "".join(text.split())
    version = _VERSIONED.match(text)
    if version is None:
        raise _error(f'not a token: it does not start with "{TOKEN_PREFIX}"', 0)
    if version.group(1) != "1":
        raise _error(f"token of version {version.group(1)}, this program reads version 1", 0)
    start = version.end()
    foreign = _FOREIGN.search(text, start)
    if foreign is not None:
        raise _error(
            f"mistyped token: {foreign.group()!r} at character {foreign.start()} is not of its alphabet",
            foreign.start(),
        )
    _check_length(text, start)
    body = base64.urlsafe_b64decode(text[start:] + "=" * (-(len(text) - start) % 4))
    if zlib.crc32(body[:-CRC_LENGTH]).to_bytes(CRC_LENGTH, "big") != body[-CRC_LENGTH:]:
        raise _error("mistyped token: its checksum does not fit, so a character was changed: copy it again", start)
    return body[HEADER_LENGTH:-CRC_LENGTH]


def _check_length(text: str, start: int) -> None:
    """Raises DecodeError unless the token has as many characters as its first four say."""
    head = text[start : start + 4]
    if len(head) < 4:
        raise _error(f"truncated token: it ends after {len(text)} characters: copy it again", len(text))
    header = base64.urlsafe_b64decode(head)
    length = int.from_bytes(header[:2], "big")
    if _header(length) != header:
        raise _error(f"mistyped token: one of characters {start} to {start + 3} was changed: copy it again", start)
    expected = start + -(-(HEADER_LENGTH + length + CRC_LENGTH) * 8 // 6)
    if len(text) < expected:
        detail = f"truncated token: {len(text)} of {expected} characters: copy it again"
        raise _error(detail, len(text))
    if len(text) > expected:
        raise _error(f"mistyped token: {len(text)} characters, expected {expected}: copy it again", expected)


def _header(length: int) -> bytes:
    size = length.to_bytes(2, "big")
    return size + bytes([zlib.crc32(size) & 0xFF])


def _error(detail: str, offset: int) -> DecodeError:
    return DecodeError(DecodeReason.BAD_TOKEN, detail, offset=offset)
