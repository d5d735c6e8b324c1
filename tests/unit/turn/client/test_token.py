from __future__ import annotations

import pytest

from icepath.errors import InvalidArgument
from icepath.stun.credentials import AuthVerdict, Challenge, LongTermAuthentication, SecurityFeatures, nonce_cookie
from icepath.turn.client.token import (
    MAX_KEY_BYTES,
    MAX_TOKEN_BYTES,
    TokenAuthentication,
    TokenCredentials,
    authentication_of,
)
from icepath.wire.attributes import AccessToken, ErrorCode, Nonce, Realm, Username
from icepath.wire.integrity import Integrity, IntegrityKey
from icepath.wire.message import MessageClass, Method, TransactionId, decode_message, encode_message, verify
from unit.turn.scripted import ALICE, CHALLENGE, NONCE, REALM

KEY = bytes(range(20))
TOKEN = TokenCredentials("key-1", b"opaque", KEY)


def test_secrets_are_not_shown() -> None:
    assert repr(TOKEN) == "TokenCredentials(kid='key-1')"


@pytest.mark.parametrize(
    ("kid", "token", "key"),
    [
        ("k", b"", KEY),
        ("k", bytes(MAX_TOKEN_BYTES + 1), KEY),
        ("k", b"t", b""),
        ("k", b"t", bytes(MAX_KEY_BYTES + 1)),
        ("", b"t", KEY),
        ("k" * 509, b"t", KEY),
    ],
)
def test_lengths_are_bounded(kid: str, token: bytes, key: bytes) -> None:
    with pytest.raises(InvalidArgument):
        TokenCredentials(kid, token, key)


@pytest.mark.rfc("7635", "9")
class TestAuthentication:
    def test_says_nothing_before_the_first_challenge(self) -> None:
        authentication = TokenAuthentication(TOKEN)
        assert authentication.key is None
        assert authentication.challenge is None
        assert authentication.generation == 0
        assert authentication.attributes() == ()
        assert authentication.integrity is Integrity.SHA1

    def test_signs_with_the_key_and_names_it(self) -> None:
        authentication = TokenAuthentication(TOKEN, challenge=CHALLENGE)
        assert authentication.attributes() == (Username("key-1"), Realm(REALM), Nonce(NONCE))
        assert authentication.key is not None
        message = encode_message(
            Method.ALLOCATE, MessageClass.REQUEST, TransactionId(bytes(12)), key=authentication.key
        )
        verify(decode_message(message), IntegrityKey(KEY))
        assert authentication.token == AccessToken(b"opaque")

    def test_the_name_is_never_hidden(self) -> None:
        nonce = nonce_cookie(SecurityFeatures.USERNAME_ANONYMITY) + b"rest"
        authentication = TokenAuthentication(TOKEN, challenge=Challenge(REALM, nonce))
        assert authentication.attributes()[0] == Username("key-1")

    def test_learns_from_refusals(self) -> None:
        authentication = TokenAuthentication(TOKEN)
        error = (ErrorCode(401, "Unauthorized"), Realm(REALM), Nonce(NONCE))
        message = decode_message(encode_message(Method.ALLOCATE, MessageClass.ERROR, TransactionId(bytes(12)), error))
        assert authentication.on_error(message, generation=0) is AuthVerdict.RETRY
        assert authentication.challenge == CHALLENGE
        assert authentication.generation == 1
        assert authentication.on_error(message, generation=1) is AuthVerdict.WRONG_CREDENTIALS
        authentication.confirm()


def test_passwords_are_the_other_way() -> None:
    assert isinstance(authentication_of(ALICE), LongTermAuthentication)
    assert isinstance(authentication_of(TOKEN, CHALLENGE), TokenAuthentication)
