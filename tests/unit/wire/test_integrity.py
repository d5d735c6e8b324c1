"""Keys and checksums, against the standard library's own HMAC and the RFCs' printed values."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from icepath.entropy import Secret
from icepath.wire.integrity import (
    IntegrityKey,
    PasswordAlgorithmId,
    fingerprint,
    long_term_key,
    short_term_key,
    userhash,
)
from vectors import rfc5769


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 200])
def test_hmacs_are_those_of_the_standard_library(length: int) -> None:
    raw = bytes(range(length))
    key = IntegrityKey(raw)
    for _ in range(2):  # the kept states must not wear out
        assert key.sha1(b"one", b"two") == hmac.digest(raw, b"onetwo", "sha1")
        assert key.sha256(b"one", b"two") == hmac.digest(raw, b"onetwo", "sha256")
    assert key.sha1() == hmac.digest(raw, b"", "sha1")


def test_a_key_is_not_shown() -> None:
    assert repr(short_term_key(Secret("swordfish"))) == "IntegrityKey(***)"


@pytest.mark.rfc("8489", "9.1.1")
def test_a_short_term_key_is_the_password_in_utf8() -> None:
    assert short_term_key(Secret("p\u00e4ss")).sha1(b"text") == hmac.digest("p\u00e4ss".encode(), b"text", "sha1")


@pytest.mark.rfc("8489", "18.5.1")
def test_long_term_keys_follow_the_algorithm() -> None:
    text = b"user:realm:password"
    md5 = long_term_key("user", "realm", Secret("password"))
    sha256 = long_term_key("user", "realm", Secret("password"), PasswordAlgorithmId.SHA256)
    assert md5.sha1(b"text") == hmac.digest(hashlib.md5(text).digest(), b"text", "sha1")
    assert sha256.sha1(b"text") == hmac.digest(hashlib.sha256(text).digest(), b"text", "sha1")


@pytest.mark.rfc("8489", "14.4")
def test_userhash_is_the_printed_one() -> None:
    printed = rfc5769.SHA256_REQUEST_AS_PRINTED[24:56]
    assert userhash(rfc5769.LONG_TERM_USERNAME, rfc5769.LONG_TERM_REALM) == printed


@pytest.mark.rfc("8489", "14.6")
def test_sha256_is_the_printed_one_with_the_length_as_printed() -> None:
    key = long_term_key(
        rfc5769.LONG_TERM_USERNAME,
        rfc5769.LONG_TERM_REALM,
        Secret(rfc5769.LONG_TERM_PASSWORD),
        PasswordAlgorithmId.SHA256,
    )
    printed = rfc5769.SHA256_REQUEST_AS_PRINTED
    assert key.sha256(printed[:-36]) == printed[-32:]


@pytest.mark.rfc("8489", "14.7")
@pytest.mark.parametrize("message", [rfc5769.REQUEST, rfc5769.RESPONSE_IPV4, rfc5769.RESPONSE_IPV6])
def test_fingerprint_is_the_printed_one(message: bytes) -> None:
    assert fingerprint(message[:-8]) == int.from_bytes(message[-4:], "big")
