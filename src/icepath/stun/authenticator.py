"""The server's side of long-term credentials: challenges, and verdicts on requests (RFC 8489 §9.2.4).

Nothing is stored per client. A nonce proves by itself that this server made it, for this client's host, and
until when. Users come from an injected callable. What a server does with a verdict is its own business; the
client's side is credentials.py.

Strategy: `judge` walks the checks in the order the RFC gives them and returns a value: `Authenticated`, or
`Refused` with the attributes of the error response.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from typing import Final, TypeAlias, final

from icepath.entropy import Secret
from icepath.errors import DecodeError, InvalidArgument
from icepath.net import Address, Instant
from icepath.stun.credentials import (
    NONCE_COOKIE_LENGTH,
    STALE_NONCE,
    UNAUTHENTICATED,
    SecurityFeatures,
    derive_key,
    nonce_cookie,
    prepare,
    prepare_password,
    security_features,
)
from icepath.wire.attributes import (
    Attribute,
    ErrorCode,
    Nonce,
    PasswordAlgorithm,
    PasswordAlgorithms,
    Realm,
    UnknownAttributes,
    Userhash,
    Username,
)
from icepath.wire.integrity import Integrity, IntegrityKey, PasswordAlgorithmId
from icepath.wire.message import Message, verify

BAD_REQUEST: Final = 400
UNKNOWN_ATTRIBUTE: Final = 420

# RFC 8656 §5 (for TURN): "the server [...] expire the nonce at least once every hour"; in seconds.
DEFAULT_NONCE_LIFETIME: Final = 3600
# RFC 8489 §14.9: REALM has fewer than 128 characters.
MAX_REALM_LENGTH: Final = 127
# Below this the HMAC that makes nonces is the weakest link; in bytes.
MIN_SECRET_BYTES: Final = 16

# What follows the nonce cookie, 18 bytes that base64 makes 24 characters of qdtext (RFC 8489 §14.10):
#
#     0         4       6                   18
#     +---------+-------+-------------------+
#     | expiry  | port  | MAC (96 bits)     |
#     +---------+-------+-------------------+
#
# Expiry in whole seconds modulo 2^32. RFC 8489 §9.2.4: never "the same NONCE for two requests unless they have
# the same source IP address and port", so the port is in it; but it is not compared: a client that comes back
# from another port of the same host with a remembered nonce saves its round trip.
_EXPIRY_BYTES: Final = 4
_PORT_BYTES: Final = 2
_MAC_BYTES: Final = 12
_HEAD_BYTES: Final = _EXPIRY_BYTES + _PORT_BYTES
_NONCE_LENGTH: Final = NONCE_COOKIE_LENGTH + (_HEAD_BYTES + _MAC_BYTES) * 4 // 3
_EXPIRY_MODULUS: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class User:
    """Is what the server knows of a user: a password, or keys already derived from it, or both.

    Raises: InvalidArgument when OpaqueString does not allow username or password.
    """

    username: str
    password: Secret | None = None
    md5_key: IntegrityKey | None = None
    """H(A1), as password databases store it (RFC 8489 §9.2.2)."""
    sha256_key: IntegrityKey | None = None

    def __post_init__(self) -> None:
        prepare(self.username, name="username")
        if self.password is not None:
            prepare_password(self.password)


FindUser: TypeAlias = Callable[[str | bytes], User | None]
"""Finds a user by username (str) or USERHASH (32 bytes); None when there is none. Must not raise."""


@dataclass(frozen=True, slots=True)
class AuthenticatorConfig:
    """Is how a server authenticates.

    Raises: InvalidArgument when a value is not allowed.
    """

    realm: str
    secret: Secret
    """Makes and checks nonces; servers that share it accept each other's if their clocks agree."""
    algorithms: tuple[PasswordAlgorithmId, ...] = (PasswordAlgorithmId.SHA256, PasswordAlgorithmId.MD5)
    """In preference order; empty does without negotiation (RFC 5389: MD5 and SHA-1)."""
    username_anonymity: bool = False
    """Asks clients for USERHASH; `find_user` must then find users by it."""
    nonce_lifetime: int = DEFAULT_NONCE_LIFETIME
    """In whole seconds."""

    def __post_init__(self) -> None:
        length = len(prepare(self.realm, name="realm")) if self.realm else 0
        if not 1 <= length <= MAX_REALM_LENGTH:
            raise InvalidArgument(f"realm has {length} characters, allowed are 1 to {MAX_REALM_LENGTH}")
        if len(self.secret.reveal().encode()) < MIN_SECRET_BYTES:
            raise InvalidArgument(f"secret is shorter than {MIN_SECRET_BYTES} bytes")
        if not 1 <= self.nonce_lifetime < _EXPIRY_MODULUS // 2:
            raise InvalidArgument(f"nonce_lifetime is {self.nonce_lifetime}, allowed is 1 s or more")


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Is the verdict on a request whose user is known; its response is made with `key` and `integrity`."""

    user: User
    key: IntegrityKey
    integrity: Integrity


@dataclass(frozen=True, slots=True)
class Refused:
    """Is the verdict on any other request: the error response to give.

    `key` and `integrity` sign it when the request was authentic (420); other refusals are unsigned.
    """

    code: int
    attributes: tuple[Attribute, ...]
    key: IntegrityKey | None = field(default=None, repr=False)
    integrity: Integrity = Integrity.SHA1


Verdict: TypeAlias = Authenticated | Refused


@final
class Authenticator:
    """Judges requests by long-term credentials and keeps nothing about clients."""

    __slots__ = ("_algorithms", "_config", "_cookie", "_decoy", "_find_user", "_mac_context", "_realm", "_secret")

    def __init__(self, config: AuthenticatorConfig, find_user: FindUser) -> None:
        self._config = config
        self._find_user = find_user
        # RFC 8489 §14.9: a REALM "MUST have been processed using the OpaqueString profile".
        self._realm = prepare(config.realm, name="realm")
        self._secret = config.secret.reveal().encode()
        self._algorithms = tuple(PasswordAlgorithm(int(number), b"") for number in config.algorithms)
        features = SecurityFeatures.NONE
        if config.algorithms:
            features |= SecurityFeatures.PASSWORD_ALGORITHMS
        if config.username_anonymity:
            features |= SecurityFeatures.USERNAME_ANONYMITY
        self._cookie = nonce_cookie(features)
        # Part of each MAC, so that a nonce made under other settings is stale, not wrong.
        numbers = ",".join(str(int(number)) for number in config.algorithms)
        self._mac_context = self._cookie + numbers.encode() + b"\0" + self._realm.encode() + b"\0"
        # An unknown user costs the same HMAC as a known one, so that answer times do not tell them apart.
        self._decoy = IntegrityKey(self._mac(b"decoy")[:16].ljust(16, b"\0"))

    def judge(self, message: Message, *, remote: Address, now: Instant) -> Verdict:
        """Judges a request that came from `remote`.

        RFC: 8489 §9.2.4, in its order; then §6.3.1 (420), which comes after authentication.
        """
        if not message.has_integrity:
            return self._challenge(UNAUTHENTICATED, remote, now)
        identity = _identity(message)
        realm = message.get(Realm)
        nonce = message.get(Nonce)
        if identity is None or realm is None or nonce is None:
            return _bad_request()
        algorithm = self._negotiated(message, nonce.value)
        if algorithm is None:
            return _bad_request()
        # A realm that is not ours names other users; with ours in the answer the client can do better.
        user = self._find_user(identity) if realm.text == self._realm else None
        key = None if user is None else self._key_of(user, algorithm)
        is_authentic = _is_signed_with(message, self._decoy if key is None else key)
        if user is None or key is None or not is_authentic:
            return self._challenge(UNAUTHENTICATED, remote, now)
        if not self._is_valid_nonce(nonce.value, remote, now):
            return self._challenge(STALE_NONCE, remote, now)
        integrity = Integrity.SHA1 if message.get(PasswordAlgorithm) is None else Integrity.SHA256
        if message.unknown_required:
            return unknown_attributes(message.unknown_required, key=key, integrity=integrity)
        return Authenticated(user, key, integrity)

    def nonce(self, remote: Address, *, now: Instant) -> bytes:
        """Returns a nonce for a client."""
        expiry = (_whole_seconds(now) + self._config.nonce_lifetime) % _EXPIRY_MODULUS
        head = expiry.to_bytes(_EXPIRY_BYTES, "big") + (remote.port & 0xFFFF).to_bytes(_PORT_BYTES, "big")
        return self._cookie + urlsafe_b64encode(head + self._nonce_mac(head, remote))

    def _is_valid_nonce(self, nonce: bytes, remote: Address, now: Instant) -> bool:
        if len(nonce) != _NONCE_LENGTH or not nonce.startswith(self._cookie):
            return False
        try:
            decoded = urlsafe_b64decode(nonce[NONCE_COOKIE_LENGTH:])
        except ValueError:
            return False
        head, mac = decoded[:_HEAD_BYTES], decoded[_HEAD_BYTES:]
        if not hmac.compare_digest(mac, self._nonce_mac(head, remote)):
            return False
        left = (int.from_bytes(head[:_EXPIRY_BYTES], "big") - _whole_seconds(now)) % _EXPIRY_MODULUS
        return 0 < left <= self._config.nonce_lifetime

    def _nonce_mac(self, head: bytes, remote: Address) -> bytes:
        return self._mac(head + remote.host.encode())

    def _mac(self, data: bytes) -> bytes:
        return hmac.digest(self._secret, self._mac_context + data, "sha256")[:_MAC_BYTES]

    def _negotiated(self, message: Message, nonce: bytes) -> PasswordAlgorithmId | None:
        """Returns the algorithm of the request's key, or None when its attributes contradict our challenge."""
        chosen = message.get(PasswordAlgorithm)
        offered = message.get(PasswordAlgorithms)
        if SecurityFeatures.PASSWORD_ALGORITHMS not in security_features(nonce):
            return PasswordAlgorithmId.MD5
        if chosen is None and offered is None:
            return PasswordAlgorithmId.MD5
        if chosen is None or offered is None or offered.algorithms != self._algorithms:
            return None
        if chosen not in self._algorithms:
            return None
        return PasswordAlgorithmId(chosen.algorithm)

    def _key_of(self, user: User, algorithm: PasswordAlgorithmId) -> IntegrityKey | None:
        key = user.md5_key if algorithm is PasswordAlgorithmId.MD5 else user.sha256_key
        if key is None and user.password is not None:
            return derive_key(user.username, self._realm, user.password, algorithm)
        return key

    def _challenge(self, code: int, remote: Address, now: Instant) -> Refused:
        reason = "Unauthenticated" if code == UNAUTHENTICATED else "Stale Nonce"
        attributes: tuple[Attribute, ...] = (
            ErrorCode(code, reason),
            Realm(self._realm),
            Nonce(self.nonce(remote, now=now)),
        )
        if self._algorithms:
            attributes += (PasswordAlgorithms(self._algorithms),)
        return Refused(code, attributes)


def unknown_attributes(
    types: tuple[int, ...], *, key: IntegrityKey | None = None, integrity: Integrity = Integrity.SHA1
) -> Refused:
    """Returns the refusal of a request with comprehension-required attributes that are unknown here.

    RFC: 8489 §6.3.1, §14.13.
    """
    attributes = (ErrorCode(UNKNOWN_ATTRIBUTE, "Unknown Attribute"), UnknownAttributes(types))
    return Refused(UNKNOWN_ATTRIBUTE, attributes, key, integrity)


def _bad_request() -> Refused:
    return Refused(BAD_REQUEST, (ErrorCode(BAD_REQUEST, "Bad Request"),))


def _is_signed_with(message: Message, key: IntegrityKey) -> bool:
    try:
        verify(message, key)
    except DecodeError:
        return False
    return True


def _identity(message: Message) -> str | bytes | None:
    username = message.get(Username)
    if username is not None:
        return username.text
    userhash = message.get(Userhash)
    return None if userhash is None else userhash.value


def _whole_seconds(now: Instant) -> int:
    # A driver's clock is finite; law 1 holds for any other.
    return int(now) if isfinite(now) else 0
