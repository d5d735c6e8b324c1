"""Keys and checksums of STUN: HMACs with kept hash states, key derivation, USERHASH, FINGERPRINT.

RFC 8489 §9.1.1 and §9.2.2 (keys), §14.4 (USERHASH), §14.5-14.7, §18.5.1 (password algorithms). Where in a
message these go is `message`'s business; preparing texts (OpaqueString) is `stun.credentials`'.

HMAC(key, text) hashes the key's two pads anew each time; an IntegrityKey hashes them once and copies the
states, which halves the cost of a check. Callers keep the key for as long as the credential lives.
"""

from __future__ import annotations

import hashlib
import zlib
from enum import Enum, IntEnum, auto
from typing import Final, Protocol, Self, final

from icepath.entropy import Secret

# RFC 2104 §2: both hashes work on blocks of 64 bytes; longer keys are hashed first.
_BLOCK: Final = 64
_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))
# RFC 8489 §14.7: keeps the fingerprint apart from a CRC-32 the application may use.
FINGERPRINT_XOR: Final = 0x5354554E


class Integrity(Enum):
    """Is the attribute that protects a message."""

    SHA1 = auto()
    """MESSAGE-INTEGRITY."""
    SHA256 = auto()
    """MESSAGE-INTEGRITY-SHA256."""


class PasswordAlgorithmId(IntEnum):
    """Is how a long-term key is made of a password (RFC 8489 §18.5)."""

    MD5 = 1
    SHA256 = 2


class _Hash(Protocol):
    """Is what a hashlib object offers."""

    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...
    def copy(self) -> Self: ...


@final
class IntegrityKey:
    """Is an HMAC key with its hash states kept; its repr hides it."""

    __slots__ = ("_key", "_sha1_inner", "_sha1_outer", "_sha256_inner", "_sha256_outer")

    def __init__(self, key: bytes) -> None:
        self._key: Final = key
        padded = (hashlib.sha1(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        self._sha1_inner: Final[_Hash] = hashlib.sha1(padded.translate(_INNER_PAD))
        self._sha1_outer: Final[_Hash] = hashlib.sha1(padded.translate(_OUTER_PAD))
        # Most keys never see the second hash: its states are made when first asked for.
        self._sha256_inner: _Hash | None = None
        self._sha256_outer: _Hash | None = None

    def sha1(self, *parts: bytes) -> bytes:
        """Returns the HMAC-SHA1 of the parts put together."""
        inner = self._sha1_inner.copy()
        for part in parts:
            inner.update(part)
        outer = self._sha1_outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def sha256(self, *parts: bytes) -> bytes:
        """Returns the HMAC-SHA256 of the parts put together."""
        if self._sha256_inner is None or self._sha256_outer is None:
            key = self._key
            padded = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
            self._sha256_inner = hashlib.sha256(padded.translate(_INNER_PAD))
            self._sha256_outer = hashlib.sha256(padded.translate(_OUTER_PAD))
        inner = self._sha256_inner.copy()
        for part in parts:
            inner.update(part)
        outer = self._sha256_outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def __repr__(self) -> str:
        return "IntegrityKey(***)"


def short_term_key(password: Secret) -> IntegrityKey:
    """Returns the key of a short-term credential; the password is already prepared (RFC 8489 §9.1.1)."""
    return IntegrityKey(password.reveal().encode())


def long_term_key(
    username: str, realm: str, password: Secret, algorithm: PasswordAlgorithmId = PasswordAlgorithmId.MD5
) -> IntegrityKey:
    """Returns the key of a long-term credential; the texts are already prepared (RFC 8489 §9.2.2, §18.5.1)."""
    text = f"{username}:{realm}:{password.reveal()}".encode()
    if algorithm == PasswordAlgorithmId.SHA256:
        return IntegrityKey(hashlib.sha256(text).digest())
    return IntegrityKey(hashlib.md5(text, usedforsecurity=False).digest())


def userhash(username: str, realm: str) -> bytes:
    """Returns the 32 bytes that stand for a username (RFC 8489 §14.4); the texts are already prepared."""
    return hashlib.sha256(f"{username}:{realm}".encode()).digest()


def fingerprint(data: bytes) -> int:
    """Returns the FINGERPRINT of what precedes it, the header's length counting it (RFC 8489 §14.7)."""
    return zlib.crc32(data) ^ FINGERPRINT_XOR
