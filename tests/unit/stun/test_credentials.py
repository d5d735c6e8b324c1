from __future__ import annotations

import subprocess
import sys
import traceback
from hashlib import md5, sha256

import pytest

from icepath.entropy import Secret
from icepath.errors import DecodeError, InvalidArgument
from icepath.stun.credentials import (
    MAX_REFUSALS_IN_A_ROW,
    AuthVerdict,
    Challenge,
    LongTermAuthentication,
    LongTermCredentials,
    SecurityFeatures,
    derive_key,
    lacks_announced_algorithms,
    nonce_cookie,
    prepare,
    prepare_leniently,
    security_features,
)
from icepath.wire.attributes import (
    Attribute,
    ErrorCode,
    Nonce,
    PasswordAlgorithm,
    PasswordAlgorithms,
    Realm,
    UnknownAttribute,
    Userhash,
    Username,
)
from icepath.wire.integrity import Integrity, IntegrityKey, PasswordAlgorithmId
from icepath.wire.message import (
    Message,
    MessageClass,
    Method,
    TransactionId,
    decode_message,
    encode_message,
    verify,
)

USER = LongTermCredentials("user", Secret("pass"))
ID = TransactionId(bytes(12))
MD5 = PasswordAlgorithm(PasswordAlgorithmId.MD5, b"")
SHA256 = PasswordAlgorithm(PasswordAlgorithmId.SHA256, b"")
ARGON = PasswordAlgorithm(0x7777, b"t=3")
ALGORITHMS = SecurityFeatures.PASSWORD_ALGORITHMS
ANONYMITY = SecurityFeatures.USERNAME_ANONYMITY


class TestPrepare:
    @pytest.mark.parametrize(
        ("text", "prepared"),
        [
            ("The M\u00aatr\u2168 x", "The M\u00aatr\u2168 x"),
            ("e\u0301", "\u00e9"),
            ("a\u3000b\u00a0c", "a b c"),
            ("\u30de\u30c8\u30ea\u30c3\u30af\u30b9", "\u30de\u30c8\u30ea\u30c3\u30af\u30b9"),
            (' !"~', ' !"~'),
        ],
    )
    @pytest.mark.rfc("8265", "4.2")
    def test_follows_opaque_string(self, text: str, prepared: str) -> None:
        assert prepare(text) == prepared

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "empty at character 0"),
            ("top\tsecret", "controls at character 3"),
            ("geheim\u202e", "precis ignorable properties at character 6"),
            ("\ud800", "other at character 0"),
        ],
    )
    @pytest.mark.rfc("8265", "4.2")
    def test_refuses_with_the_reason_and_without_the_text(self, text: str, reason: str) -> None:
        with pytest.raises(InvalidArgument, match=f"^password is not allowed .*: {reason}$") as caught:
            prepare(text, name="password")
        shown = "".join(traceback.format_exception(caught.value))
        assert "secret" not in str(caught.value)
        assert caught.value.__context__ is None
        assert "geheim\u202e" not in shown

    def test_a_server_may_say_what_we_may_not(self) -> None:
        assert prepare_leniently("a\tb") == "a\tb"
        assert prepare_leniently("e\u0301") == "\u00e9"

    def test_printable_ascii_does_not_load_the_library(self) -> None:
        script = (
            "import sys; from icepath.stun.credentials import prepare; prepare('abc xyz');"
            "sys.exit('precis_i18n' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


class TestCredentials:
    def test_the_password_is_not_shown(self) -> None:
        assert "pass" not in repr(USER).replace("password", "")

    @pytest.mark.parametrize(
        ("username", "password", "name"),
        [("a\nb", "pass", "username"), ("user", "pa\nss", "password"), ("", "x", "username")],
    )
    def test_what_opaque_string_refuses_is_refused_at_once(self, username: str, password: str, name: str) -> None:
        with pytest.raises(InvalidArgument, match=f"^{name} is not allowed"):
            LongTermCredentials(username, Secret(password))

    @pytest.mark.rfc("8489", "14.3")
    def test_a_username_has_fewer_than_509_bytes(self) -> None:
        assert LongTermCredentials("é" * 254, Secret("x")).username == "é" * 254
        with pytest.raises(InvalidArgument, match="username has 510 bytes, allowed are up to 508"):
            LongTermCredentials("é" * 255, Secret("x"))


class TestKeys:
    @pytest.mark.rfc("8489", "9.2.2")
    def test_the_example_of_the_rfc(self) -> None:
        expected = IntegrityKey(bytes.fromhex("8493fbc53ba582fb4c044c456bdc40eb"))
        assert same_key(derive_key("user", "realm", Secret("pass")), expected)

    @pytest.mark.rfc("8489", "18.5.1.2")
    def test_sha256(self) -> None:
        expected = IntegrityKey(sha256(b"user:realm:pass").digest())
        assert same_key(derive_key("user", "realm", Secret("pass"), PasswordAlgorithmId.SHA256), expected)

    @pytest.mark.rfc("8489", "9.2.2")
    def test_quotes_and_trailing_nulls_are_removed_and_texts_prepared(self) -> None:
        expected = IntegrityKey(md5("üser:realm:pä ss".encode()).digest())
        assert same_key(derive_key('"üser"', '"realm"\0\0', Secret("pa\u0308\u00a0ss\0")), expected)

    def test_one_quote_is_no_pair(self) -> None:
        expected = IntegrityKey(md5(b'":realm:pass').digest())
        assert same_key(derive_key('"', "realm", Secret("pass")), expected)


class TestNonceCookie:
    @pytest.mark.parametrize(
        ("features", "cookie"),
        [
            (SecurityFeatures.NONE, b"obMatJos2AAAA"),
            (ALGORITHMS, b"obMatJos2gAAA"),
            (ANONYMITY, b"obMatJos2QAAA"),
            (ALGORITHMS | ANONYMITY, b"obMatJos2wAAA"),
        ],
    )
    @pytest.mark.rfc("8489", "9.2")
    def test_is_made_and_read(self, features: SecurityFeatures, cookie: bytes) -> None:
        assert nonce_cookie(features) == cookie
        assert security_features(cookie + b"//499k954d6OL34oL9FSTvy64sA") == features

    @pytest.mark.parametrize(
        "nonce",
        [
            b"",
            b"obMatJos2",
            b"obMatJos2gAA",
            b"f//499k954d6OL34oL9F",
            b"obMatJos2g!AA!",
            b"obMatJos2\xff\xff\xff\xffabc",
        ],
    )
    def test_other_nonces_announce_nothing(self, nonce: bytes) -> None:
        assert security_features(nonce) is SecurityFeatures.NONE

    def test_unassigned_features_are_passed_over(self) -> None:
        assert security_features(b"obMatJos2//// etc.") == ALGORITHMS | ANONYMITY
        assert security_features(b"obMatJos2gA==etc.") == ALGORITHMS

    def test_missing_algorithms_are_noticed_only_where_they_were_announced(self) -> None:
        assert lacks_announced_algorithms(challenge_of(nonce=nonce(ALGORITHMS)))
        assert not lacks_announced_algorithms(challenge_of(nonce=nonce(ALGORITHMS), algorithms=(MD5,)))
        assert not lacks_announced_algorithms(challenge_of(nonce=nonce()))
        assert not lacks_announced_algorithms(error(401))


class TestChallenge:
    @pytest.mark.parametrize(("realm", "value"), [("r" * 128, b"n"), ("realm", b"n" * 764)])
    def test_what_could_not_be_echoed_is_refused(self, realm: str, value: bytes) -> None:
        with pytest.raises(InvalidArgument):
            Challenge(realm, value)

    def test_features_are_those_of_the_nonce(self) -> None:
        assert Challenge("realm", nonce(ANONYMITY)).features == ANONYMITY


class TestFirstRequest:
    @pytest.mark.rfc("8489", "9.2.3.1")
    def test_goes_without_authentication(self) -> None:
        auth = LongTermAuthentication(USER)
        assert auth.attributes() == ()
        assert auth.key is None
        assert auth.challenge is None
        assert auth.integrity is Integrity.SHA1
        assert auth.generation == 0

    @pytest.mark.rfc("8489", "9.2.3.2")
    def test_with_a_remembered_challenge_goes_authenticated(self) -> None:
        auth = LongTermAuthentication(USER, challenge=Challenge("realm", b"old"))
        assert auth.attributes() == (Username("user"), Realm("realm"), Nonce(b"old"))
        assert same_key(auth.key, derive_key("user", "realm", Secret("pass")))
        assert auth.generation == 1


class TestUnauthenticated:
    def test_a_server_of_rfc_5389(self) -> None:
        auth = LongTermAuthentication(USER)
        assert auth.on_error(challenge_of(realm="turn.example", nonce=b"5f2a1b")) is AuthVerdict.RETRY
        assert auth.attributes() == (Username("user"), Realm("turn.example"), Nonce(b"5f2a1b"))
        assert auth.integrity is Integrity.SHA1
        assert same_key(auth.key, derive_key("user", "turn.example", Secret("pass")))
        assert auth.challenge == Challenge("turn.example", b"5f2a1b")

    @pytest.mark.parametrize(
        ("offered", "chosen"),
        [((SHA256, MD5), SHA256), ((MD5, SHA256), MD5), ((ARGON, SHA256), SHA256), ((MD5,), MD5)],
    )
    @pytest.mark.rfc("8489", "9.2.5")
    def test_the_first_known_algorithm_is_chosen_and_the_list_echoed(
        self, offered: tuple[PasswordAlgorithm, ...], chosen: PasswordAlgorithm
    ) -> None:
        auth = LongTermAuthentication(USER)
        value = nonce(ALGORITHMS)
        assert auth.on_error(challenge_of(nonce=value, algorithms=offered)) is AuthVerdict.RETRY
        assert auth.attributes() == (
            Username("user"),
            Realm("realm"),
            Nonce(value),
            PasswordAlgorithms(offered),
            chosen,
        )
        assert auth.integrity is Integrity.SHA256
        assert same_key(auth.key, derive_key("user", "realm", Secret("pass"), PasswordAlgorithmId(chosen.algorithm)))

    @pytest.mark.parametrize(
        ("offered", "chosen"),
        [((MD5, SHA256), SHA256), ((SHA256, MD5), SHA256), ((ARGON, MD5), MD5), ((MD5, ARGON, SHA256), SHA256)],
    )
    @pytest.mark.rfc("8656", "6")
    def test_turn_takes_sha256_whatever_the_order(
        self, offered: tuple[PasswordAlgorithm, ...], chosen: PasswordAlgorithm
    ) -> None:
        auth = LongTermAuthentication(USER, strongest=True)
        assert auth.on_error(challenge_of(nonce=nonce(ALGORITHMS), algorithms=offered)) is AuthVerdict.RETRY
        assert auth.attributes()[3:] == (PasswordAlgorithms(offered), chosen)
        assert same_key(auth.key, derive_key("user", "realm", Secret("pass"), PasswordAlgorithmId(chosen.algorithm)))

    @pytest.mark.rfc("8489", "14.10")
    def test_a_nonce_is_echoed_as_long_as_the_server_made_it(self) -> None:
        auth = LongTermAuthentication(USER)
        assert auth.on_error(challenge_of(nonce=b"n" * 763)) is AuthVerdict.RETRY
        assert Nonce(b"n" * 763) in auth.attributes()

    @pytest.mark.rfc("8489", "14.3")
    def test_a_username_is_sent_as_opaque_string_prepares_it(self) -> None:
        auth = LongTermAuthentication(LongTermCredentials("cafe\N{COMBINING ACUTE ACCENT}", Secret("pass")))
        auth.on_error(challenge_of(nonce=b"nonce"))
        assert auth.attributes()[0] == Username("caf\N{LATIN SMALL LETTER E WITH ACUTE}")

    @pytest.mark.rfc("8489", "14.4")
    def test_a_username_is_hashed_as_opaque_string_prepares_it(self) -> None:
        composed, decomposed = "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"
        auth = LongTermAuthentication(LongTermCredentials(decomposed, Secret("pass")))
        auth.on_error(challenge_of(nonce=nonce(ANONYMITY), realm=decomposed))
        assert auth.attributes()[0] == Userhash(sha256(f"{composed}:{composed}".encode()).digest())

    @pytest.mark.rfc("8489", "9.2.5")
    @pytest.mark.rfc("8489", "14.4")
    def test_an_anonymous_username_is_hashed(self) -> None:
        auth = LongTermAuthentication(USER)
        auth.on_error(challenge_of(nonce=nonce(ANONYMITY)))
        assert auth.attributes()[0] == Userhash(sha256(b"user:realm").digest())

    @pytest.mark.rfc("8489", "9.2.5")
    @pytest.mark.parametrize("code", [401, 438])
    def test_algorithms_announced_and_missing_end_the_attempt(self, code: int) -> None:
        auth = LongTermAuthentication(USER)
        assert auth.on_error(challenge_of(code, nonce=nonce(ALGORITHMS))) is AuthVerdict.BID_DOWN
        assert auth.challenge is None

    @pytest.mark.rfc("8489", "9.2.5")
    @pytest.mark.parametrize("offered", [(ARGON,), ()])
    def test_only_unknown_algorithms_end_the_attempt(self, offered: tuple[PasswordAlgorithm, ...]) -> None:
        auth = LongTermAuthentication(USER)
        refusal = challenge_of(nonce=nonce(ALGORITHMS), algorithms=offered)
        assert auth.on_error(refusal) is AuthVerdict.BID_DOWN
        assert auth.challenge is None

    @pytest.mark.parametrize(
        "message",
        [
            pytest.param(lambda: error(401), id="no challenge"),
            pytest.param(lambda: error(401, Realm("realm")), id="no nonce"),
            pytest.param(lambda: error(401, Nonce(b"n")), id="no realm"),
            pytest.param(lambda: error(401, Nonce(b"n"), raw_realm("r" * 200)), id="a realm too long to echo"),
            pytest.param(lambda: error(403, Realm("realm"), Nonce(b"n")), id="another code"),
            pytest.param(lambda: decoded(MessageClass.ERROR, Realm("realm"), Nonce(b"n")), id="no code"),
            pytest.param(lambda: decoded(MessageClass.SUCCESS, ErrorCode(401, "")), id="no error"),
        ],
    )
    def test_what_gives_nothing_to_retry_with(self, message: object) -> None:
        assert callable(message)
        auth = LongTermAuthentication(USER)
        assert auth.on_error(message()) is AuthVerdict.NOT_AUTH
        assert auth.generation == 0


class TestWrongCredentials:
    @pytest.mark.parametrize("value", [b"n1", b"n2"])
    @pytest.mark.rfc("8489", "9.2.5")
    def test_a_second_401_refuses_the_credentials(self, value: bytes) -> None:
        auth = LongTermAuthentication(USER)
        auth.on_error(challenge_of(nonce=b"n1"))
        assert auth.on_error(challenge_of(nonce=value)) is AuthVerdict.WRONG_CREDENTIALS
        assert auth.generation == 1

    @pytest.mark.rfc("8489", "9.2.5")
    def test_another_realm_is_another_attempt(self) -> None:
        auth = LongTermAuthentication(USER)
        auth.on_error(challenge_of(realm="one", nonce=b"n"))
        assert auth.on_error(challenge_of(realm="two", nonce=b"n")) is AuthVerdict.RETRY
        assert auth.attributes()[1] == Realm("two")
        assert same_key(auth.key, derive_key("user", "two", Secret("pass")))

    def test_another_algorithm_is_another_attempt(self) -> None:
        auth = LongTermAuthentication(USER)
        auth.on_error(challenge_of(nonce=b"n"))
        refusal = challenge_of(nonce=nonce(ALGORITHMS), algorithms=(SHA256,))
        assert auth.on_error(refusal) is AuthVerdict.RETRY
        assert auth.integrity is Integrity.SHA256

    def test_a_remembered_challenge_is_refreshed_once(self) -> None:
        auth = LongTermAuthentication(USER, challenge=Challenge("realm", b"old"))
        assert auth.on_error(challenge_of(nonce=b"new")) is AuthVerdict.RETRY
        assert auth.challenge == Challenge("realm", b"new")
        assert auth.on_error(challenge_of(nonce=b"newer")) is AuthVerdict.WRONG_CREDENTIALS

    def test_a_remembered_challenge_that_still_stands_refuses_the_credentials(self) -> None:
        auth = LongTermAuthentication(USER, challenge=Challenge("realm", b"same"))
        assert auth.on_error(challenge_of(nonce=b"same")) is AuthVerdict.WRONG_CREDENTIALS

    def test_after_a_good_answer_a_401_is_refreshed_once(self) -> None:
        auth = LongTermAuthentication(USER)
        auth.on_error(challenge_of(nonce=b"n1"))
        auth.confirm()
        assert auth.on_error(challenge_of(nonce=b"n2")) is AuthVerdict.RETRY
        assert auth.on_error(challenge_of(nonce=b"n3")) is AuthVerdict.WRONG_CREDENTIALS


class TestStaleNonce:
    @pytest.mark.rfc("8489", "9.2.5")
    def test_the_new_nonce_is_used_and_the_key_kept(self) -> None:
        auth = LongTermAuthentication(USER, challenge=Challenge("realm", b"old"))
        key = auth.key
        assert auth.on_error(challenge_of(438, nonce=b"new")) is AuthVerdict.RETRY
        assert auth.attributes()[2] == Nonce(b"new")
        assert auth.key is key

    def test_a_server_may_leave_the_realm_out(self) -> None:
        auth = LongTermAuthentication(USER, challenge=Challenge("realm", b"old"))
        assert auth.on_error(error(438, Nonce(b"new"))) is AuthVerdict.RETRY
        assert auth.challenge == Challenge("realm", b"new")

    def test_a_401_right_after_it_refuses_the_credentials(self) -> None:
        auth = LongTermAuthentication(USER, challenge=Challenge("realm", b"old"))
        auth.on_error(challenge_of(438, nonce=b"new"))
        assert auth.on_error(challenge_of(401, nonce=b"newer")) is AuthVerdict.WRONG_CREDENTIALS

    def test_a_server_that_never_accepts_its_nonces_is_given_up(self) -> None:
        auth = LongTermAuthentication(USER)
        verdicts = [
            auth.on_error(challenge_of(438, nonce=b"n%d" % index)) for index in range(MAX_REFUSALS_IN_A_ROW + 1)
        ]
        assert verdicts == [AuthVerdict.RETRY] * MAX_REFUSALS_IN_A_ROW + [AuthVerdict.NOT_AUTH]

    def test_good_answers_in_between_let_it_go_on_for_ever(self) -> None:
        auth = LongTermAuthentication(USER)
        for index in range(3 * MAX_REFUSALS_IN_A_ROW):
            assert auth.on_error(challenge_of(438, nonce=b"n%d" % index)) is AuthVerdict.RETRY
            auth.confirm()

    def test_refusals_of_requests_sent_together_count_once(self) -> None:
        auth = LongTermAuthentication(USER, challenge=Challenge("realm", b"old"))
        sent = auth.generation
        verdicts = [auth.on_error(challenge_of(438, nonce=b"n%d" % index), generation=sent) for index in range(20)]
        assert verdicts == [AuthVerdict.RETRY] * 20
        assert auth.challenge == Challenge("realm", b"n0")
        assert auth.generation == sent + 1

    def test_unauthenticated_requests_sent_together_are_all_repeated(self) -> None:
        auth = LongTermAuthentication(USER)
        for _ in range(3):
            assert auth.on_error(challenge_of(nonce=b"same"), generation=0) is AuthVerdict.RETRY
        assert auth.on_error(challenge_of(nonce=b"same"), generation=1) is AuthVerdict.WRONG_CREDENTIALS


class TestDowngrade:
    @pytest.mark.rfc("8489", "9.2.1")
    def test_algorithms_once_negotiated_cannot_be_taken_back(self) -> None:
        auth = negotiated()
        assert auth.on_error(challenge_of(438, nonce=b"plain")) is AuthVerdict.BID_DOWN
        assert auth.integrity is Integrity.SHA256

    @pytest.mark.rfc("8489", "9.2.1")
    def test_nor_after_good_answers(self) -> None:
        auth = negotiated()
        auth.confirm()
        assert auth.on_error(challenge_of(401, nonce=b"plain")) is AuthVerdict.BID_DOWN

    @pytest.mark.rfc("8489", "9.2.1")
    def test_nor_can_anonymity(self) -> None:
        auth = LongTermAuthentication(USER)
        auth.on_error(challenge_of(nonce=nonce(ANONYMITY)))
        assert auth.on_error(challenge_of(438, nonce=nonce())) is AuthVerdict.BID_DOWN

    def test_a_remembered_challenge_does_not_bind_todays_server(self) -> None:
        remembered = Challenge("realm", nonce(ALGORITHMS), (SHA256,))
        auth = LongTermAuthentication(USER, challenge=remembered)
        assert auth.on_error(challenge_of(401, nonce=b"plain")) is AuthVerdict.RETRY
        assert auth.integrity is Integrity.SHA1

    def test_more_features_are_welcome(self) -> None:
        auth = negotiated()
        more = challenge_of(438, nonce=nonce(ALGORITHMS | ANONYMITY), algorithms=(SHA256,))
        assert auth.on_error(more) is AuthVerdict.RETRY
        assert isinstance(auth.attributes()[0], Userhash)


def negotiated() -> LongTermAuthentication:
    auth = LongTermAuthentication(USER)
    assert auth.on_error(challenge_of(nonce=nonce(ALGORITHMS), algorithms=(SHA256,))) is AuthVerdict.RETRY
    return auth


def nonce(features: SecurityFeatures = SecurityFeatures.NONE) -> bytes:
    return nonce_cookie(features) + b"//499k954d6OL34oL9FSTvy64sA"


def challenge_of(
    code: int = 401,
    *,
    realm: str = "realm",
    nonce: bytes,
    algorithms: tuple[PasswordAlgorithm, ...] | None = None,
) -> Message:
    attributes: tuple[Attribute, ...] = (Realm(realm), Nonce(nonce))
    if algorithms is not None:
        attributes += (PasswordAlgorithms(algorithms),)
    return error(code, *attributes)


def raw_realm(text: str) -> UnknownAttribute:
    return UnknownAttribute(Realm.TYPE, text.encode())


def error(code: int, *attributes: Attribute) -> Message:
    return decoded(MessageClass.ERROR, ErrorCode(code, "No"), *attributes)


def decoded(message_class: MessageClass, *attributes: Attribute) -> Message:
    return decode_message(encode_message(Method.ALLOCATE, message_class, ID, attributes))


def same_key(key: IntegrityKey | None, expected: IntegrityKey) -> bool:
    """Compares keys by what they do, for they do not show themselves."""
    assert key is not None
    message = decode_message(encode_message(Method.BINDING, MessageClass.REQUEST, ID, key=expected))
    try:
        verify(message, key)
    except DecodeError:
        return False
    return True
