"""Fragments, SDPs and tokens: any text is read or refused with DecodeError, and what is read survives writing."""

from __future__ import annotations

import sys

from icepath.errors import DecodeError, DecodeReason, InvalidState
from icepath.wire.fragment import Description, parse_descriptions, parse_trickle
from icepath.wire.ice_token import MAX_TOKEN_LENGTH, format_token

REASONS = frozenset({DecodeReason.BAD_FRAGMENT, DecodeReason.BAD_TOKEN, DecodeReason.TOO_LONG})
# A first byte that no text starts with: the rest is a token's payload, armoured here so that its checksum holds.
PAYLOAD_MARK = b"\0"


def one_input(data: bytes) -> None:
    """Checks one text, as a description and as what trickles."""
    if data.startswith(PAYLOAD_MARK):
        text = format_token(data[1:3000])
    else:
        text = data.decode("utf-8", "replace")
    check_trickle(text)
    try:
        description = Description.parse(text)
    except DecodeError as error:
        check_refusal(error)
        return
    check_description(description)


def check_trickle(text: str) -> None:
    """Reads the text as trickled lines and as several streams."""
    for parse in (parse_trickle, parse_descriptions):
        try:
            parse(text)
        except DecodeError as error:
            check_refusal(error)


def check_description(description: Description) -> None:
    """Writes and reads a description in both forms."""
    assert "Secret(***)" in repr(description)
    fragment = Description.parse(str(description))
    assert (fragment.ufrag, fragment.password, fragment.mid) == (
        description.ufrag,
        description.password,
        description.mid,
    )
    assert len(fragment.candidates) + fragment.ignored_candidates == len(description.candidates)
    try:
        token = description.token()
    except InvalidState:
        return
    assert len(token) <= MAX_TOKEN_LENGTH
    assert Description.parse(token).options == description.options


def check_refusal(error: DecodeError) -> None:
    """Checks that a refusal is of the right kind."""
    assert error.reason in REASONS


def main() -> None:
    """Fuzzes until stopped: python fuzz/target_fragment.py fuzz/corpus/fragment."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
