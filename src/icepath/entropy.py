"""Random texts and numbers that protocols need, made from injected `RandomBytes`; and `Secret`.

Nothing here draws randomness by itself: the caller passes `secrets.token_bytes`, or a seeded generator
in tests and replays.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final, final

from icepath.errors import InvalidArgument
from icepath.net import RandomBytes, Seconds

# RFC 8839 §5.1: ice-char = ALPHA / DIGIT / "+" / "/": 64 of them, so six bits of randomness each.
ICE_CHARS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
# "-", "_" and "=" are admitted besides: deployed peers put them into ufrags, and accepting them harms nothing.
ADMITTED_CHARS: Final = frozenset(ICE_CHARS + "-_=")
# Of each byte six bits count.
_CHAR_OF_BYTE: Final = ICE_CHARS.encode() * 4
# RFC 8445 §5.3: at least 24 bits of randomness in the ufrag, 128 in the password; 8 x 6 and 24 x 6 bits
# leave room (a ufrag also demultiplexes agents on a shared port).
UFRAG_LENGTH: Final = 8
PASSWORD_LENGTH: Final = 24
# RFC 8839 §5.4: 4*256ice-char and 22*256ice-char.
MIN_UFRAG_LENGTH: Final = 4
MIN_PASSWORD_LENGTH: Final = 22
MAX_CREDENTIAL_LENGTH: Final = 256

TIE_BREAKER_LENGTH: Final = 8


@final
class Secret:
    """Is a text that must not be shown: its repr hides it, comparison takes constant time."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Returns the text; call it only where the bytes are needed."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """Is one side's ufrag and password of one ICE generation (RFC 8445 §5.3).

    Raises: InvalidArgument when one is out of RFC 8839 §5.4's range or alphabet.
    """

    ufrag: str
    password: Secret

    def __post_init__(self) -> None:
        check_ice_text("ufrag", self.ufrag, MIN_UFRAG_LENGTH)
        check_ice_text("password", self.password.reveal(), MIN_PASSWORD_LENGTH)


def check_ice_text(name: str, text: str, minimum: int) -> None:
    """Raises InvalidArgument unless the text is `minimum` to 256 admitted characters; never shows the text."""
    if not minimum <= len(text) <= MAX_CREDENTIAL_LENGTH:
        raise InvalidArgument(f"{name} has {len(text)} characters, allowed are {minimum} to {MAX_CREDENTIAL_LENGTH}")
    if not ADMITTED_CHARS.issuperset(text):
        raise InvalidArgument(f"{name} has characters other than A-Z a-z 0-9 + /")


def ice_chars(length: int, random_bytes: RandomBytes) -> str:
    """Returns `length` random ice-chars, six bits each."""
    return random_bytes(length).translate(_CHAR_OF_BYTE).decode()


def ice_credentials(random_bytes: RandomBytes) -> IceCredentials:
    """Returns a fresh ufrag and password."""
    ufrag = ice_chars(UFRAG_LENGTH, random_bytes)
    return IceCredentials(ufrag, Secret(ice_chars(PASSWORD_LENGTH, random_bytes)))


def tie_breaker(random_bytes: RandomBytes) -> int:
    """Returns a random 64-bit tie-breaker (RFC 8445 §6.1.1)."""
    return int.from_bytes(random_bytes(TIE_BREAKER_LENGTH), "big")


def jitter(low: Seconds, high: Seconds, random_bytes: RandomBytes) -> Seconds:
    """Returns a duration drawn evenly from low to high."""
    return low + (high - low) * int.from_bytes(random_bytes(4), "big") / 0xFFFFFFFF
