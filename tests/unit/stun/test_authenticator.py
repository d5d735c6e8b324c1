from __future__ import annotations

import math

import pytest

from icepath.entropy import Secret
from icepath.errors import InvalidArgument
from icepath.net import Address
from icepath.stun.authenticator import (
    Authenticated,
    Authenticator,
    AuthenticatorConfig,
    Refused,
    User,
    Verdict,
    unknown_attributes,
)
from icepath.stun.credentials import SecurityFeatures, derive_key, security_features
from icepath.wire.attributes import (
    Attribute,
    ErrorCode,
    Nonce,
    PasswordAlgorithm,
    PasswordAlgorithms,
    Realm,
    UnknownAttribute,
    UnknownAttributes,
    Userhash,
    Username,
)
from icepath.wire.integrity import Integrity, IntegrityKey, PasswordAlgorithmId, userhash
from icepath.wire.message import Message, MessageClass, Method, TransactionId, decode_message, encode_message

CLIENT = Address("203.0.113.7", 40000)
SECRET = Secret("0123456789abcdef")
REALM = "example.org"
ID = TransactionId(bytes(12))
MD5 = PasswordAlgorithm(PasswordAlgorithmId.MD5)
SHA256 = PasswordAlgorithm(PasswordAlgorithmId.SHA256)
ALICE = User("alice", Secret("wonderland"))


class TestConfig:
    @pytest.mark.parametrize(
        ("realm", "secret", "lifetime", "text"),
        [
            ("", "0123456789abcdef", 60, "realm has 0 characters"),
            ("r" * 128, "0123456789abcdef", 60, "realm has 128 characters"),
            ("realm", "0123456789abcde", 60, "secret is shorter than 16 bytes"),
            ("realm", "0123456789abcdef", 0, "nonce_lifetime is 0"),
            ("realm", "0123456789abcdef", 1 << 31, "nonce_lifetime is 2147483648"),
        ],
    )
    def test_refuses_values_out_of_range(self, realm: str, secret: str, lifetime: int, text: str) -> None:
        with pytest.raises(InvalidArgument, match=text) as caught:
            AuthenticatorConfig(realm, Secret(secret), nonce_lifetime=lifetime)
        assert "0123456789" not in str(caught.value)

    def test_a_realm_that_opaque_string_refuses_is_refused(self) -> None:
        with pytest.raises(InvalidArgument, match="realm is not allowed"):
            AuthenticatorConfig("a\nb", SECRET)

    def test_a_user_that_opaque_string_refuses_is_refused(self) -> None:
        with pytest.raises(InvalidArgument, match="username"):
            User("a\nb")
        with pytest.raises(InvalidArgument, match="password"):
            User("a", Secret("a\nb"))
        assert User("a").password is None


class TestFirstRequest:
    @pytest.mark.rfc("8489", "9.2.4")
    def test_is_challenged(self) -> None:
        verdict = judge(authenticator(), request())
        assert isinstance(verdict, Refused)
        assert verdict.code == 401
        assert verdict.key is None
        error, realm, nonce, algorithms = verdict.attributes
        assert error == ErrorCode(401, "Unauthenticated")
        assert realm == Realm(REALM)
        assert algorithms == PasswordAlgorithms((SHA256, MD5))
        assert isinstance(nonce, Nonce)
        assert security_features(nonce.value) == SecurityFeatures.PASSWORD_ALGORITHMS

    @pytest.mark.rfc("8489", "14.9")
    def test_the_realm_is_prepared(self) -> None:
        composed, decomposed = "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"
        server = Authenticator(AuthenticatorConfig(decomposed, SECRET), lambda name: ALICE)
        refused = judge(server, request())
        assert isinstance(refused, Refused)
        _, realm, nonce, _ = refused.attributes
        assert realm == Realm(composed)
        key = derive_key("alice", composed, Secret("wonderland"))
        signed = request(Username("alice"), realm, nonce, key=key)
        assert isinstance(judge(server, signed), Authenticated)

    @pytest.mark.rfc("8489", "14.10")
    def test_the_nonce_is_short_quotable_text(self) -> None:
        for second in range(64):
            nonce = authenticator().nonce(CLIENT, now=float(second))
            assert len(nonce) == 37
            assert nonce.isascii()
            assert b'"' not in nonce
            assert b"\\" not in nonce

    @pytest.mark.rfc("8489", "9.2")
    def test_without_algorithms_the_nonce_says_so(self) -> None:
        verdict = judge(authenticator(algorithms=()), request())
        assert isinstance(verdict, Refused)
        assert [type(attribute) for attribute in verdict.attributes] == [ErrorCode, Realm, Nonce]
        assert nonce_of(verdict).startswith(b"obMatJos2AAAA")

    @pytest.mark.rfc("8489", "9.2.4")
    def test_anonymity_is_announced(self) -> None:
        verdict = judge(authenticator(username_anonymity=True), request())
        assert SecurityFeatures.USERNAME_ANONYMITY in security_features(nonce_of(verdict))

    @pytest.mark.parametrize(
        ("client", "now"),
        [(Address("203.0.113.7", 40001), 0.0), (Address("203.0.113.8", 40000), 0.0), (CLIENT, 1.0)],
    )
    @pytest.mark.rfc("8489", "9.2.4")
    def test_each_client_has_its_own_nonce(self, client: Address, now: float) -> None:
        server = authenticator()
        assert server.nonce(client, now=now) != server.nonce(CLIENT, now=0.0)
        assert server.nonce(CLIENT, now=0.0) == server.nonce(CLIENT, now=0.5)


class TestIncomplete:
    @pytest.mark.parametrize("missing", [Username, Realm, Nonce])
    @pytest.mark.rfc("8489", "9.2.4")
    def test_integrity_without_the_rest_is_a_bad_request(self, missing: type[Attribute]) -> None:
        server = authenticator()
        kept = [attribute for attribute in signing_attributes(server) if not isinstance(attribute, missing)]
        verdict = judge(server, request(*kept, key=key()))
        assert verdict == Refused(400, (ErrorCode(400, "Bad Request"),))


class TestAuthentic:
    @pytest.mark.parametrize("number", list(PasswordAlgorithmId))
    @pytest.mark.rfc("8489", "9.2.4")
    def test_with_a_negotiated_algorithm_answers_carry_sha256(self, number: PasswordAlgorithmId) -> None:
        server = authenticator()
        message = request(
            *signing_attributes(server),
            *negotiation(PasswordAlgorithm(number)),
            key=key(number),
            integrity=Integrity.SHA256,
        )
        verdict = judge(server, message)
        assert isinstance(verdict, Authenticated)
        assert verdict.user is ALICE
        assert verdict.integrity is Integrity.SHA256
        assert verdict.key.sha1(b"text") == key(number).sha1(b"text")

    @pytest.mark.parametrize("algorithms", [(), (PasswordAlgorithmId.SHA256, PasswordAlgorithmId.MD5)])
    @pytest.mark.rfc("8489", "9.2.4")
    def test_a_client_of_rfc_5389_is_answered_with_sha1(self, algorithms: tuple[PasswordAlgorithmId, ...]) -> None:
        server = authenticator(algorithms=algorithms)
        verdict = judge(server, request(*signing_attributes(server), key=key()))
        assert isinstance(verdict, Authenticated)
        assert verdict.integrity is Integrity.SHA1

    def test_stored_keys_do_without_the_password(self) -> None:
        user = User("alice", md5_key=key(), sha256_key=key(PasswordAlgorithmId.SHA256))
        server = authenticator(user=user)
        plain = request(*signing_attributes(server), key=key())
        assert isinstance(judge(server, plain), Authenticated)
        number = PasswordAlgorithmId.SHA256
        signed = request(*signing_attributes(server), *negotiation(SHA256), key=key(number), integrity=Integrity.SHA256)
        assert isinstance(judge(server, signed), Authenticated)

    def test_a_key_that_is_not_stored_lets_nobody_in(self) -> None:
        server = authenticator(user=User("alice", md5_key=key()))
        number = PasswordAlgorithmId.SHA256
        message = request(
            *signing_attributes(server), *negotiation(SHA256), key=key(number), integrity=Integrity.SHA256
        )
        assert code_of(judge(server, message)) == 401

    @pytest.mark.rfc("8489", "9.2.4")
    def test_a_userhash_finds_its_user(self) -> None:
        server = authenticator(username_anonymity=True)
        hashed = userhash("alice", REALM)
        message = request(Userhash(hashed), *signing_attributes(server)[1:], key=key())
        verdict = judge(server, message)
        assert isinstance(verdict, Authenticated)
        assert verdict.user is ALICE

    @pytest.mark.rfc("8489", "6.3.1")
    def test_unknown_attributes_are_refused_after_authentication_and_signed(self) -> None:
        server = authenticator()
        message = request(*signing_attributes(server), UnknownAttribute(0x7001, b""), key=key())
        verdict = judge(server, message)
        assert isinstance(verdict, Refused)
        assert verdict.attributes == (ErrorCode(420, "Unknown Attribute"), UnknownAttributes((0x7001,)))
        assert verdict.key is not None
        assert verdict.key.sha1(b"text") == key().sha1(b"text")
        assert verdict.integrity is Integrity.SHA1
        unsigned = request(UnknownAttribute(0x7001, b""))
        assert code_of(judge(server, unsigned)) == 401


class TestNegotiation:
    @pytest.mark.parametrize(
        "attributes",
        [
            pytest.param((PasswordAlgorithms((SHA256, MD5)),), id="none chosen"),
            pytest.param((SHA256,), id="list not echoed"),
            pytest.param((PasswordAlgorithms((MD5, SHA256)), SHA256), id="another order"),
            pytest.param((PasswordAlgorithms((MD5,)), MD5), id="list shortened"),
            pytest.param((PasswordAlgorithms((SHA256, MD5)), PasswordAlgorithm(9)), id="chosen out of nothing"),
        ],
    )
    @pytest.mark.rfc("8489", "9.2.4")
    def test_what_contradicts_the_challenge_is_a_bad_request(self, attributes: tuple[Attribute, ...]) -> None:
        server = authenticator()
        message = request(*signing_attributes(server), *attributes, key=key(), integrity=Integrity.SHA256)
        assert code_of(judge(server, message)) == 400

    def test_what_was_never_offered_is_passed_over(self) -> None:
        server = authenticator(algorithms=())
        message = request(*signing_attributes(server), PasswordAlgorithms((MD5,)), MD5, key=key())
        assert isinstance(judge(server, message), Authenticated)


class TestWrongCredentials:
    @pytest.mark.rfc("8489", "9.2.4")
    def test_a_wrong_password_an_unknown_user_and_another_realm_look_the_same(self) -> None:
        server = authenticator()
        _, realm, nonce = signing_attributes(server)
        wrong = IntegrityKey(b"sixteen bytes...")
        verdicts = [
            judge(server, request(Username("alice"), realm, nonce, key=wrong)),
            judge(server, request(Username("mallory"), realm, nonce, key=wrong)),
            judge(server, request(Userhash(bytes(32)), realm, nonce, key=wrong)),
            judge(server, request(Username("alice"), Realm("elsewhere"), nonce, key=key())),
        ]
        assert code_of(verdicts[0]) == 401
        assert verdicts == [verdicts[0]] * 4
        assert verdicts[0] == judge(server, request())


class TestStaleNonce:
    @pytest.mark.parametrize(
        ("age", "is_valid"), [(0.0, True), (59.9, True), (60.0, False), (61.0, False), (-1.0, False)]
    )
    @pytest.mark.rfc("8489", "9.2.4")
    def test_a_nonce_has_its_time(self, age: float, is_valid: bool) -> None:
        server = authenticator(nonce_lifetime=60)
        message = request(*signing_attributes(server, now=1000.0), key=key())
        verdict = judge(server, message, now=1000.0 + age)
        if is_valid:
            assert isinstance(verdict, Authenticated)
        else:
            assert code_of(verdict) == 438
            again = request(Username("alice"), Realm(REALM), Nonce(nonce_of(verdict)), key=key())
            assert isinstance(judge(server, again, now=1000.0 + age), Authenticated)

    def test_lives_across_the_wrap_of_its_seconds(self) -> None:
        server = authenticator(nonce_lifetime=60)
        wrap = float(1 << 32)
        message = request(*signing_attributes(server, now=wrap - 10), key=key())
        assert isinstance(judge(server, message, now=wrap + 20), Authenticated)
        assert code_of(judge(server, message, now=wrap + 50)) == 438

    @pytest.mark.parametrize("now", [math.nan, math.inf, -math.inf, -5.5, 1e300])
    def test_any_clock_will_do(self, now: float) -> None:
        server = authenticator()
        message = request(*signing_attributes(server, now=now), key=key())
        assert isinstance(judge(server, message, now=now), Authenticated)

    def test_another_port_of_the_same_host_may_use_it(self) -> None:
        server = authenticator()
        message = request(*signing_attributes(server), key=key())
        verdict = server.judge(message, remote=Address(CLIENT.host, 50000), now=0.0)
        assert isinstance(verdict, Authenticated)

    def test_another_host_may_not(self) -> None:
        server = authenticator()
        message = request(*signing_attributes(server), key=key())
        assert code_of(server.judge(message, remote=Address("203.0.113.8", 40000), now=0.0)) == 438

    @pytest.mark.rfc("8489", "16.1.3")
    def test_whatever_is_changed_in_it_makes_it_stale(self) -> None:
        server = authenticator(algorithms=())
        nonce = server.nonce(CLIENT, now=0.0)
        changed = [nonce[:index] + bytes((nonce[index] ^ 1,)) + nonce[index + 1 :] for index in range(len(nonce))]
        for value in (*changed, b"", nonce[:-1], nonce + b"A", nonce[:13] + b"=" * 24, nonce[:13] + b"\xff" * 24):
            assert code_of(judge(server, request(Username("alice"), Realm(REALM), Nonce(value), key=key()))) == 438

    @pytest.mark.parametrize(
        "other",
        [
            AuthenticatorConfig(REALM, Secret("another secret of 16")),
            AuthenticatorConfig(REALM, SECRET, algorithms=(PasswordAlgorithmId.MD5,)),
            AuthenticatorConfig(REALM, SECRET, username_anonymity=True),
        ],
    )
    def test_a_nonce_of_other_settings_is_stale(self, other: AuthenticatorConfig) -> None:
        foreign = Authenticator(other, find_user_among(ALICE))
        message = request(*signing_attributes(foreign), key=key())
        assert code_of(judge(authenticator(), message)) == 438

    def test_servers_that_share_a_secret_accept_each_others(self) -> None:
        message = request(*signing_attributes(authenticator()), key=key())
        assert isinstance(judge(authenticator(), message), Authenticated)


@pytest.mark.rfc("8489", "9.2.4")
class TestRefusals:
    def test_a_challenge_holds_what_the_next_request_needs_and_nothing_of_the_user(self) -> None:
        server, late = authenticator(), 10_000.0
        refusals = [
            judge(server, request(), now=late),
            judge(server, request(*signing_attributes(server, now=late), key=IntegrityKey(b"wrong")), now=late),
            judge(server, request(Username("bob"), Realm(REALM), Nonce(b"old"), key=key()), now=late),
            judge(server, request(*signing_attributes(server, now=0.0), key=key()), now=late),
        ]
        assert [code_of(refusal) for refusal in refusals] == [401, 401, 401, 438]
        for refusal in refusals:
            assert isinstance(refusal, Refused)
            assert [type(each) for each in refusal.attributes] == [ErrorCode, Realm, Nonce, PasswordAlgorithms]
            assert refusal.key is None
            again = request(Username("alice"), Realm(REALM), Nonce(nonce_of(refusal)), key=key())
            assert isinstance(judge(server, again, now=late), Authenticated)

    def test_a_bad_request_is_told_nothing_more(self) -> None:
        refusal = judge(authenticator(), request(Username("alice"), key=key()))
        assert isinstance(refusal, Refused)
        assert [type(each) for each in refusal.attributes] == [ErrorCode]
        assert refusal.key is None


def test_a_refusal_does_not_show_its_key() -> None:
    assert "key" not in repr(unknown_attributes((1,), key=key()))


def authenticator(
    *,
    user: User = ALICE,
    algorithms: tuple[PasswordAlgorithmId, ...] = (PasswordAlgorithmId.SHA256, PasswordAlgorithmId.MD5),
    username_anonymity: bool = False,
    nonce_lifetime: int = 3600,
) -> Authenticator:
    config = AuthenticatorConfig(
        REALM, SECRET, algorithms=algorithms, username_anonymity=username_anonymity, nonce_lifetime=nonce_lifetime
    )
    return Authenticator(config, find_user_among(user))


class find_user_among:  # noqa: N801 - a function with a table
    def __init__(self, *users: User) -> None:
        self._users: dict[str | bytes, User] = {user.username: user for user in users}
        self._users |= {userhash(user.username, REALM): user for user in users}

    def __call__(self, identity: str | bytes) -> User | None:
        return self._users.get(identity)


def judge(server: Authenticator, message: Message, *, now: float = 0.0) -> Verdict:
    return server.judge(message, remote=CLIENT, now=now)


def request(*attributes: Attribute, key: IntegrityKey | None = None, integrity: Integrity = Integrity.SHA1) -> Message:
    data = encode_message(Method.ALLOCATE, MessageClass.REQUEST, ID, attributes, key=key, integrity=integrity)
    return decode_message(data)


def signing_attributes(server: Authenticator, *, now: float = 0.0) -> tuple[Attribute, ...]:
    return Username("alice"), Realm(REALM), Nonce(server.nonce(CLIENT, now=now))


def negotiation(chosen: PasswordAlgorithm) -> tuple[Attribute, ...]:
    return PasswordAlgorithms((SHA256, MD5)), chosen


def key(number: PasswordAlgorithmId = PasswordAlgorithmId.MD5) -> IntegrityKey:
    return derive_key("alice", REALM, Secret("wonderland"), number)


def code_of(verdict: Verdict) -> int:
    assert isinstance(verdict, Refused)
    error = verdict.attributes[0]
    assert isinstance(error, ErrorCode)
    assert error.code == verdict.code
    return verdict.code


def nonce_of(verdict: Verdict) -> bytes:
    assert isinstance(verdict, Refused)
    (nonce,) = [attribute for attribute in verdict.attributes if isinstance(attribute, Nonce)]
    return nonce.value
