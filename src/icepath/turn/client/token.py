"""Third-party authorization, the client's side (RFC 7635): a token of an authorization server instead of a password.

A part of `Requests`. How the token is got (OAuth 2.0) is the application's business, and what is in it the server's:
here it is opaque bytes with the key that came beside it. `set_credentials` brings a new one before the old expires.

Strategy: everything about realm, nonce, 401 and 438 is as with a password, so it is `LongTermAuthentication`'s; only
the key is not derived but given, and the name is the key's identifier.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias, final

from icepath.entropy import Secret
from icepath.errors import InvalidArgument
from icepath.stun.credentials import AuthVerdict, Challenge, LongTermAuthentication, LongTermCredentials
from icepath.wire.attributes import AccessToken, Attribute, Userhash, Username
from icepath.wire.integrity import Integrity, IntegrityKey
from icepath.wire.message import Message

# RFC 7635 §6.2 leaves the length open but for the path's MTU; more than this fits in no STUN message.
MAX_TOKEN_BYTES: Final = 65_000
# RFC 7635 §6.2: "key length of 160 bits MUST be supported"; 64 bytes are HMAC's whole block.
MAX_KEY_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class TokenCredentials:
    """Is what an authorization server gave: `kid`, the access token, and the key that goes with it.

    Raises: InvalidArgument when a length is not allowed.
    """

    kid: str
    token: bytes = field(repr=False)
    mac_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        LongTermCredentials(self.kid, _NO_PASSWORD)
        if not 0 < len(self.token) <= MAX_TOKEN_BYTES:
            raise InvalidArgument(f"token has {len(self.token)} bytes, allowed are 1 to {MAX_TOKEN_BYTES}")
        if not 0 < len(self.mac_key) <= MAX_KEY_BYTES:
            raise InvalidArgument(f"mac_key has {len(self.mac_key)} bytes, allowed are 1 to {MAX_KEY_BYTES}")


Credentials: TypeAlias = LongTermCredentials | TokenCredentials

_NO_PASSWORD: Final = Secret("none")


@final
class TokenAuthentication:
    """Authenticates requests by a token; has the face of `LongTermAuthentication`."""

    __slots__ = ("_inner", "_key", "_username", "token")

    def __init__(self, credentials: TokenCredentials, *, challenge: Challenge | None = None) -> None:
        self._inner: Final = LongTermAuthentication(
            LongTermCredentials(credentials.kid, _NO_PASSWORD), challenge=challenge, strongest=True
        )
        self._key: Final = IntegrityKey(credentials.mac_key)
        self._username: Final = Username(credentials.kid)
        self.token: Final = AccessToken(credentials.token)

    @property
    def challenge(self) -> Challenge | None:
        """Is the challenge in use."""
        return self._inner.challenge

    @property
    def key(self) -> IntegrityKey | None:
        """Is the key for requests and their answers; None before the first challenge."""
        return None if self._inner.challenge is None else self._key

    @property
    def integrity(self) -> Integrity:
        """Is which integrity attribute requests carry."""
        return self._inner.integrity

    @property
    def generation(self) -> int:
        """Counts the challenges."""
        return self._inner.generation

    def attributes(self) -> tuple[Attribute, ...]:
        """Returns what each request carries besides its own attributes, but for the token.

        The server finds its key by the plain `kid`, so that it is never hidden by USERHASH.
        """
        return tuple([self._username if isinstance(each, Userhash) else each for each in self._inner.attributes()])

    def confirm(self) -> None:
        """Notes that the server accepted a request."""
        self._inner.confirm()

    def on_error(self, message: Message, *, generation: int | None = None) -> AuthVerdict:
        """Judges an error response."""
        return self._inner.on_error(message, generation=generation)


Authentication: TypeAlias = LongTermAuthentication | TokenAuthentication


def authentication_of(credentials: Credentials, challenge: Challenge | None = None) -> Authentication:
    """Returns what authenticates with these credentials."""
    if isinstance(credentials, TokenCredentials):
        return TokenAuthentication(credentials, challenge=challenge)
    # RFC 8656 §6: of MD5 and SHA-256 the client MUST take SHA-256, whatever the server's order.
    return LongTermAuthentication(credentials, challenge=challenge, strongest=True)
