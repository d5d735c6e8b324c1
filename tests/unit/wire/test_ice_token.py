"""The armour of tokens: what was damaged is told, and how."""

from __future__ import annotations

import pytest

from icepath.errors import DecodeError, DecodeReason
from icepath.wire.ice_token import (
    MAX_PAYLOAD_LENGTH,
    MAX_TOKEN_LENGTH,
    format_token,
    looks_like_token,
    parse_token,
)

PAYLOAD = bytes(range(100))


def refusal(text: str) -> str:
    with pytest.raises(DecodeError) as caught:
        parse_token(text)
    assert caught.value.reason is DecodeReason.BAD_TOKEN
    return str(caught.value)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 100, MAX_PAYLOAD_LENGTH])
def test_payloads_round_trip(size: int) -> None:
    payload = bytes(i & 0xFF for i in range(size))
    token = format_token(payload)
    assert len(token) <= MAX_TOKEN_LENGTH
    assert parse_token(token) == payload


def test_the_longest_payload_is_the_longest_that_fits() -> None:
    assert len(format_token(bytes(MAX_PAYLOAD_LENGTH + 1))) > MAX_TOKEN_LENGTH


def test_a_token_is_one_word_of_harmless_characters() -> None:
    assert format_token(PAYLOAD).removeprefix("ice1:").replace("-", "").replace("_", "").isalnum()


def test_wrapped_and_quoted_with_spaces_it_is_still_read() -> None:
    token = format_token(PAYLOAD)
    assert parse_token(f"  {token[:40]}\r\n{token[40:80]}\n  {token[80:]}\n") == PAYLOAD


@pytest.mark.parametrize(
    ("text", "is_one"), [("ice1:", True), ("ICE2:x", True), ("ice:", False), ("", False), ("v=0", False)]
)
def test_what_looks_like_a_token(text: str, is_one: bool) -> None:
    assert looks_like_token(text) is is_one


def test_every_cut_is_told_as_truncated() -> None:
    token = format_token(PAYLOAD)
    for length in range(len("ice1:"), len(token)):
        assert refusal(token[:length]).startswith("truncated token: "), length


def test_every_changed_character_is_told_as_mistyped() -> None:
    token = format_token(PAYLOAD)
    for index in range(len("ice1:"), len(token) - 1):
        changed = token[:index] + ("A" if token[index] != "A" else "B") + token[index + 1 :]
        assert refusal(changed).startswith("mistyped token: "), index


def test_what_else_can_be_wrong() -> None:
    token = format_token(PAYLOAD)
    assert refusal("hello").startswith('not a token: it does not start with "ice1:"')
    assert refusal("ice2:abcd") == "token of version 2, this program reads version 1"
    assert refusal("x" * 10_000) == "not a token: 10000 characters, a token has at most 4094"
    assert refusal(f"{token}A") == f"mistyped token: {len(token) + 1} characters, expected {len(token)}: copy it again"
    assert refusal(token[:9] + "…" + token[9:]) == "mistyped token: '…' at character 9 is not of its alphabet"
    assert refusal(f"{token}=").startswith("mistyped token: '=' at character")
