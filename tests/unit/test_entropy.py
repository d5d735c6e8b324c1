"""Secrets that stay hidden, and the texts and numbers that protocols want random."""

from __future__ import annotations

import random

import pytest

from icepath.entropy import (
    ICE_CHARS,
    IceCredentials,
    Secret,
    ice_chars,
    ice_credentials,
    jitter,
    tie_breaker,
)
from icepath.errors import InvalidArgument

PASSWORD = "asd88fgpdd777uzjYhagZg"


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret(PASSWORD)
    assert PASSWORD not in repr(secret)
    assert PASSWORD not in f"{secret}"
    assert secret.reveal() == PASSWORD
    assert secret == Secret(PASSWORD)
    assert hash(secret) == hash(Secret(PASSWORD))
    assert secret != Secret("other")
    assert secret != PASSWORD
    assert not Secret("")
    assert secret


@pytest.mark.rfc("8445", "5.3")
def test_fresh_credentials_have_the_randomness_that_is_asked_for() -> None:
    credentials = ice_credentials(random.Random(1).randbytes)
    # Six bits a character: 24 bits of ufrag, 128 of password at least.
    assert 24 <= len(credentials.ufrag) * 6 <= 32 * 6  # and no longer than RFC 8839 §5.4 lets a sender make it
    assert len(credentials.password.reveal()) * 6 >= 128
    assert set(credentials.ufrag + credentials.password.reveal()) <= set(ICE_CHARS)
    assert ice_credentials(random.Random(2).randbytes) != credentials


def test_every_ice_char_is_as_likely_as_another() -> None:
    assert sorted(ice_chars(256, lambda count: bytes(range(count)))) == sorted(ICE_CHARS * 4)


@pytest.mark.parametrize("ufrag", ["ab-c", "ab_c", "abc=", "a" * 256])
def test_characters_and_lengths_of_deployed_peers_are_admitted(ufrag: str) -> None:
    assert IceCredentials(ufrag, Secret(PASSWORD)).ufrag == ufrag


@pytest.mark.rfc("8839", "5.4")
@pytest.mark.parametrize(
    ("ufrag", "password", "complaint"),
    [
        ("abc", PASSWORD, "ufrag has 3 characters, allowed are 4 to 256"),
        ("a" * 257, PASSWORD, "ufrag has 257"),
        ("abcd", "a" * 21, "password has 21 characters, allowed are 22 to 256"),
        ("ab cd", PASSWORD, "ufrag has characters other than"),
        ("abcd", PASSWORD + "\n", "password has characters other than"),
    ],
)
def test_credentials_out_of_range_are_refused_without_showing_them(ufrag: str, password: str, complaint: str) -> None:
    with pytest.raises(InvalidArgument, match=complaint) as refused:
        IceCredentials(ufrag, Secret(password))
    assert password not in str(refused.value)


def test_tie_breakers_have_64_bits() -> None:
    assert tie_breaker(lambda count: b"\xff" * count) == 2**64 - 1
    assert tie_breaker(lambda count: bytes(count)) == 0


def test_jitter_reaches_from_end_to_end() -> None:
    assert jitter(4.0, 6.0, lambda count: bytes(count)) == 4.0
    assert jitter(4.0, 6.0, lambda count: b"\xff" * count) == 6.0
