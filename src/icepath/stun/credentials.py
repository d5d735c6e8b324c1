"""The client's side of authentication: long-term credentials and the server's challenges to them.

Here live OpaqueString preparation (RFC 8265 §4.2), the keys made of it, the nonce cookie with its security
features, and what a client does with 401 and 438 (RFC 8489 §9.2). The server's side is authenticator.py;
sending and matching is transaction.py. No time, no I/O: a part that its owner asks for attributes and a key,
and tells of refusals.

Strategy: everything that the server said lives in one immutable `Challenge`; a refusal replaces it or ends
the attempt. Requests in flight together may all be refused for one cause, so each refusal is judged by the
generation of the challenge that its request was made with.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from enum import Enum, IntFlag, auto
from typing import Final, final

from icepath.entropy import Secret
from icepath.errors import InvalidArgument
from icepath.wire.attributes import (
    Attribute,
    ErrorCode,
    Nonce,
    PasswordAlgorithm,
    PasswordAlgorithms,
    Realm,
    Userhash,
    Username,
)
from icepath.wire.integrity import (
    Integrity,
    IntegrityKey,
    PasswordAlgorithmId,
    long_term_key,
    userhash,
)
from icepath.wire.message import Message, MessageClass

UNAUTHENTICATED: Final = 401
STALE_NONCE: Final = 438
# RFC 8489 §9.2.4: these are answered before, or although, the credentials could be checked, so they may be unsigned.
UNSIGNED_ERRORS: Final = frozenset({UNAUTHENTICATED, STALE_NONCE})

# RFC 8489 §14.3: USERNAME "MUST contain a UTF-8-encoded sequence of fewer than 509 bytes".
MAX_USERNAME_BYTES: Final = 508

# RFC 8489 §9.2: "prepend the NONCE attribute value with the character string composed of "obMatJos2"
# concatenated with the (4-character) base64 encoding of the 24-bit STUN Security Features".
NONCE_COOKIE_PREFIX: Final = b"obMatJos2"
NONCE_COOKIE_LENGTH: Final = 13

# RFC 8489 §9.2.5 forbids retries that change nothing; this bounds those that always change something.
# §6.3.4 suggests the same number for the only other kind of answer a request may be repeated after.
MAX_REFUSALS_IN_A_ROW: Final = 4


class SecurityFeatures(IntFlag):
    """Is what a server announces in its nonce, where nobody on the path can take it out unnoticed.

    RFC: 8489 §18.1 (bit 0 is the most significant of 24).
    """

    NONE = 0
    PASSWORD_ALGORITHMS = 1 << 23
    USERNAME_ANONYMITY = 1 << 22


@dataclass(frozen=True, slots=True)
class LongTermCredentials:
    """Is a username and its password, as the user typed them.

    Raises: InvalidArgument when OpaqueString (RFC 8265 §4.2) does not allow one, or the username is too long.
    """

    username: str
    password: Secret

    def __post_init__(self) -> None:
        length = len(prepare(self.username, name="username").encode())
        if length > MAX_USERNAME_BYTES:
            raise InvalidArgument(f"username has {length} bytes, allowed are up to {MAX_USERNAME_BYTES}")
        prepare_password(self.password)


@dataclass(frozen=True, slots=True)
class Challenge:
    """Is what a server wants echoed: worth remembering, for it saves the next conversation a round trip.

    Raises: InvalidArgument when it could not be echoed.
    """

    realm: str
    nonce: bytes
    algorithms: tuple[PasswordAlgorithm, ...] = ()
    """PASSWORD-ALGORITHMS as the server sent it, unknown ones included; empty when it sent none (RFC 5389)."""

    def __post_init__(self) -> None:
        # What may be received is longer than what may be sent (RFC 8489 §14.9).
        Realm(self.realm).encode(b"")
        Nonce(self.nonce).encode(b"")

    @property
    def features(self) -> SecurityFeatures:
        """Is what the nonce cookie announces."""
        return security_features(self.nonce)

    def algorithm(self, *, strongest: bool) -> PasswordAlgorithm | None:
        """Returns which algorithm of the list to use; None means MD5 without negotiation.

        The first that is known here (RFC 8489 §9.2.5); or, if `strongest`, SHA-256 wherever in the list it is
        (RFC 8656 §6).
        """
        known = [entry for entry in self.algorithms if entry.algorithm in _KNOWN_ALGORITHMS]
        if strongest:
            known.sort(key=lambda entry: entry.algorithm != PasswordAlgorithmId.SHA256)
        return known[0] if known else None

    @property
    def integrity(self) -> Integrity:
        """Is which integrity attribute goes into requests, and must come back.

        RFC 8489 §9.2.5: after PASSWORD-ALGORITHMS "all the subsequent requests MUST be authenticated using
        MESSAGE-INTEGRITY-SHA256 only". Without it the server answers with MESSAGE-INTEGRITY (§9.2.4).
        """
        return Integrity.SHA256 if self.algorithms else Integrity.SHA1


class AuthVerdict(Enum):
    """Says what to do after an error response."""

    RETRY = auto()
    """Send the request anew: new transaction ID, `attributes()`, `key` and `integrity` as they are now."""
    WRONG_CREDENTIALS = auto()
    """The server knows the realm and the nonce, and refuses username or password."""
    BID_DOWN = auto()
    """Somebody on the path weakened the challenge, or it demands algorithms unknown here: give up."""
    NOT_AUTH = auto()
    """Nothing to retry with: treat it as any other error of its code."""


@final
class LongTermAuthentication:
    """Authenticates requests to one server, and learns from its refusals.

    Its owner puts `attributes()` into each request, makes its integrity with `key` and `integrity`, remembers
    `generation`, gives error responses to `on_error`, and calls `confirm` on the first good answer.
    """

    __slots__ = (
        "_challenge",
        "_credentials",
        "_generation",
        "_has_confirmed",
        "_is_fresh",
        "_key",
        "_refusals",
        "_strongest",
        "_username",
    )

    def __init__(
        self, credentials: LongTermCredentials, *, challenge: Challenge | None = None, strongest: bool = False
    ) -> None:
        """Takes the challenge to begin with, and whether the usage puts SHA-256 above the server's preference."""
        self._strongest = strongest
        self._credentials = credentials
        self._username = prepare(credentials.username)
        self._challenge = challenge
        self._key = None if challenge is None else self._derive(challenge)
        self._generation = 0 if challenge is None else 1
        # True once a request with the present challenge was accepted.
        self._has_confirmed = False
        # True when the present challenge is the server's latest word, so that a 401 is about the credentials.
        self._is_fresh = False
        self._refusals = 0

    @property
    def challenge(self) -> Challenge | None:
        """Is the challenge in use, to be remembered for the next conversation with this server."""
        return self._challenge

    @property
    def key(self) -> IntegrityKey | None:
        """Is the key for requests and their answers; None before the first challenge."""
        return self._key

    @property
    def integrity(self) -> Integrity:
        """Is which integrity attribute requests carry."""
        return Integrity.SHA1 if self._challenge is None else self._challenge.integrity

    @property
    def generation(self) -> int:
        """Counts the challenges; 0 means that requests still go unauthenticated."""
        return self._generation

    def attributes(self) -> tuple[Attribute, ...]:
        """Returns what a request carries besides its own attributes; nothing before the first challenge.

        RFC: 8489 §9.2.3.1, §9.2.3.2, §9.2.5.
        """
        challenge = self._challenge
        if challenge is None:
            return ()
        identity: Attribute = Username(self._username)
        if SecurityFeatures.USERNAME_ANONYMITY in challenge.features:
            identity = Userhash(userhash(self._username, _bare(prepare_leniently(challenge.realm))))
        echoed: tuple[Attribute, ...] = (identity, Realm(challenge.realm), Nonce(challenge.nonce))
        algorithm = self._algorithm_of(challenge)
        if algorithm is None:
            return echoed
        return (*echoed, PasswordAlgorithms(challenge.algorithms), algorithm)

    def confirm(self) -> None:
        """Notes that the server accepted a request: any answer with valid integrity but 401 and 438."""
        self._has_confirmed = True
        self._is_fresh = False
        self._refusals = 0

    def on_error(self, message: Message, *, generation: int | None = None) -> AuthVerdict:
        """Judges an error response and takes over the challenge in it.

        `generation` is what the property was when the refused request was made; None: as it is now.
        RFC: 8489 §9.2.5.
        """
        code = _error_code(message)
        if code not in UNSIGNED_ERRORS:
            return AuthVerdict.NOT_AUTH
        if lacks_announced_algorithms(message):
            return AuthVerdict.BID_DOWN
        challenge = self._read_challenge(message)
        if challenge is None:
            return AuthVerdict.NOT_AUTH
        if message.get(PasswordAlgorithms) is not None and self._algorithm_of(challenge) is None:
            return AuthVerdict.BID_DOWN
        if generation is not None and generation != self._generation:
            # Another refusal came first, and its challenge has not been tried by this request yet.
            return AuthVerdict.RETRY
        return self._judge(code, challenge)

    def _judge(self, code: int, challenge: Challenge) -> AuthVerdict:
        current = self._challenge
        if current is not None:
            if self._is_downgrade(current, challenge):
                return AuthVerdict.BID_DOWN
            if code == UNAUTHENTICATED and self._is_final(current, challenge):
                return AuthVerdict.WRONG_CREDENTIALS
        self._refusals += 1
        if self._refusals > MAX_REFUSALS_IN_A_ROW:
            return AuthVerdict.NOT_AUTH
        self._take_over(challenge)
        return AuthVerdict.RETRY

    def _is_final(self, current: Challenge, challenge: Challenge) -> bool:
        """Says whether a 401 refuses the credentials themselves.

        RFC 8489 §9.2.5: no retry "if it is not changing the USERNAME, USERHASH, REALM, or its associated
        password". A remembered or long-used challenge is the exception: its nonce may simply be too old for a
        server that says 401 where it means 438, or has been restarted; one new nonce tells.
        """
        if challenge == current:
            return True
        return self._is_fresh and self._has_same_key(current, challenge)

    def _is_downgrade(self, current: Challenge, challenge: Challenge) -> bool:
        """Says whether the server takes back a security feature it announced in this conversation.

        RFC 8489 §16.1.3: an attacker may strip the attribute and the bit in the nonce together. A merely
        remembered challenge proves nothing of today's server, which may be another one.
        """
        if not (self._has_confirmed or self._is_fresh):
            return False
        has_lost_algorithms = bool(current.algorithms) and not challenge.algorithms
        return has_lost_algorithms or bool(current.features & ~challenge.features)

    def _take_over(self, challenge: Challenge) -> None:
        current = self._challenge
        if current is None or not self._has_same_key(current, challenge):
            self._key = self._derive(challenge)
        self._challenge = challenge
        self._generation += 1
        self._is_fresh = True

    def _has_same_key(self, one: Challenge, other: Challenge) -> bool:
        return one.realm == other.realm and self._algorithm_of(one) == self._algorithm_of(other)

    def _algorithm_of(self, challenge: Challenge) -> PasswordAlgorithm | None:
        return challenge.algorithm(strongest=self._strongest)

    def _read_challenge(self, message: Message) -> Challenge | None:
        nonce = message.get(Nonce)
        realm = message.get(Realm)
        if nonce is None:
            return None
        if realm is not None:
            text = realm.text
        elif self._challenge is not None:
            text = self._challenge.realm
        else:
            return None
        algorithms = message.get(PasswordAlgorithms)
        try:
            return Challenge(text, nonce.value, () if algorithms is None else algorithms.algorithms)
        except InvalidArgument:
            return None

    def _derive(self, challenge: Challenge) -> IntegrityKey:
        algorithm = self._algorithm_of(challenge)
        number = PasswordAlgorithmId.MD5 if algorithm is None else PasswordAlgorithmId(algorithm.algorithm)
        return derive_key(self._username, challenge.realm, self._credentials.password, number)


_KNOWN_ALGORITHMS: Final = frozenset(int(member) for member in PasswordAlgorithmId)


def derive_key(
    username: str, realm: str, password: Secret, algorithm: PasswordAlgorithmId = PasswordAlgorithmId.MD5
) -> IntegrityKey:
    """Returns the long-term key of a username, realm and password as people write them.

    Raises: InvalidArgument when OpaqueString does not allow username or password.
    RFC: 8489 §9.2.2, §18.5.1.
    """
    name = _bare(prepare(username, name="username"))
    return long_term_key(name, _bare(prepare_leniently(realm)), prepare_password(password), algorithm)


def prepare(text: str, *, name: str = "text") -> str:
    """Returns the text as the OpaqueString profile prepares it; `name` says in errors which text it was.

    Raises: InvalidArgument with the rule and the place, never with the text.
    RFC: 8265 §4.2.
    """
    # Printable ASCII is what the profile leaves as it is, so the library is needed for anything else only.
    if text and text.isascii() and text.isprintable():
        return text
    from precis_i18n import get_profile  # here, because it costs 37 ms that most programs never need

    try:
        return get_profile("OpaqueString").enforce(text)
    except UnicodeEncodeError as refusal:
        reason = refusal.reason.removeprefix("DISALLOWED/").replace("_", " ")
        place = refusal.start
    raise InvalidArgument(f"{name} is not allowed by RFC 8265 OpaqueString: {reason} at character {place}")


def prepare_password(password: Secret) -> Secret:
    """Returns the password prepared for a key.

    RFC 8489 §9.2.2: "with any trailing nulls removed and after processing using OpaqueString".
    Raises: InvalidArgument, without the password, when the profile does not allow it.
    """
    return Secret(prepare(password.reveal().rstrip("\0"), name="password"))


def prepare_leniently(text: str) -> str:
    """Returns the prepared text, or the text itself when the profile refuses it.

    For what a server says: RFC 5389 servers prepare realms otherwise or not at all, and made their keys of them.
    """
    try:
        return prepare(text)
    except InvalidArgument:
        return text


def security_features(nonce: bytes) -> SecurityFeatures:
    """Returns what a nonce announces; nothing when it has no nonce cookie (RFC 8489 §9.2)."""
    cookie = nonce[:NONCE_COOKIE_LENGTH]
    if len(cookie) < NONCE_COOKIE_LENGTH or not cookie.startswith(NONCE_COOKIE_PREFIX):
        return SecurityFeatures.NONE
    try:
        bits = b64decode(cookie[len(NONCE_COOKIE_PREFIX) :], validate=True)
    except Base64Error:
        return SecurityFeatures.NONE
    known = SecurityFeatures.PASSWORD_ALGORITHMS | SecurityFeatures.USERNAME_ANONYMITY
    return SecurityFeatures(int.from_bytes(bits.ljust(3, b"\0"), "big") & known)


def nonce_cookie(features: SecurityFeatures) -> bytes:
    """Returns the 13 bytes that a server's nonces begin with (RFC 8489 §9.2)."""
    return NONCE_COOKIE_PREFIX + b64encode(features.to_bytes(3, "big"))


def lacks_announced_algorithms(message: Message) -> bool:
    """Says whether the nonce announces PASSWORD-ALGORITHMS and the attribute is missing (RFC 8489 §9.2.5)."""
    nonce = message.get(Nonce)
    if nonce is None or message.get(PasswordAlgorithms) is not None:
        return False
    return SecurityFeatures.PASSWORD_ALGORITHMS in security_features(nonce.value)


def _error_code(message: Message) -> int:
    error = message.get(ErrorCode) if message.message_class is MessageClass.ERROR else None
    return 0 if error is None else error.code


def _bare(text: str) -> str:
    """Returns the text without quotes around it and NULs behind it, as RFC 8489 §9.2.2 wants it in keys."""
    text = text.rstrip("\0")
    if len(text) >= 2 and text.startswith('"') and text.endswith('"'):
        return text[1:-1]
    return text
