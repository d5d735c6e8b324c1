"""Tokens as people paste them."""

from __future__ import annotations

import pytest

from icepath.entropy import Secret
from icepath.errors import DecodeError
from icepath.p2p.paste import MAX_WAITING, Paste, parse_pasted
from icepath.wire.candidate_line import parse_candidate
from icepath.wire.fragment import Description

LOCAL = Description(
    "ufragufr",
    Secret("passwordpasswordpassword"),
    tuple(parse_candidate(f"candidate:1 1 UDP 2130706431 192.0.2.{n} 5000 typ host") for n in range(1, 9)),
)
TOKEN = LOCAL.token()


@pytest.mark.parametrize(
    "text", [TOKEN, f"  {TOKEN}\r", f"icepath connect {TOKEN}", f"$ icepath connect {TOKEN} --json"]
)
def test_a_line_with_a_token_in_it(text: str) -> None:
    assert Paste().take(text) == LOCAL


def test_a_token_wrapped_into_lines_of_a_letter() -> None:
    paste = Paste()
    first, second, third = TOKEN[:40], TOKEN[40:90], TOKEN[90:]
    for part in (f"> {first}", second):
        with pytest.raises(DecodeError, match="truncated"):
            paste.take(part)
    assert paste.take("") is None
    assert paste.take(third) == LOCAL


def test_a_second_attempt_begins_anew() -> None:
    paste = Paste()
    with pytest.raises(DecodeError, match="truncated"):
        paste.take(TOKEN[:50])
    assert paste.take(TOKEN) == LOCAL


def test_what_is_no_token_is_not_kept() -> None:
    paste = Paste()
    for text in ("hello", "ice2:AAAA", "v=0"):
        with pytest.raises(DecodeError):
            paste.take(text)
    assert paste.take(TOKEN) == LOCAL


def test_what_waits_is_bounded() -> None:
    paste = Paste()
    with pytest.raises(DecodeError):
        paste.take(TOKEN[:50])
    with pytest.raises(DecodeError):
        paste.take("A" * MAX_WAITING)
    with pytest.raises(DecodeError):
        paste.take(TOKEN[50:])


def test_a_whole_text() -> None:
    assert parse_pasted(f"icepath connect {TOKEN}\n") == LOCAL
    assert parse_pasted(str(LOCAL)).ufrag == LOCAL.ufrag
    with pytest.raises(DecodeError):
        parse_pasted("nothing")
