"""Candidate lines: any text is read or refused with DecodeError; what is read prints to a text that reads the same."""

from __future__ import annotations

import sys
from dataclasses import replace

from icepath.errors import DecodeError, DecodeReason
from icepath.wire.candidate_line import MAX_LINE_LENGTH, parse_candidate


def one_input(data: bytes) -> None:
    """Checks one line."""
    try:
        candidate = parse_candidate(data.decode("utf-8", "replace"))
    except DecodeError as error:
        check_refusal(error)
        return
    text = str(candidate)
    if len(text) <= MAX_LINE_LENGTH:
        again = parse_candidate(text)
        # What is not told is printed as the unspecified address.
        assert replace(again, related_address=candidate.related_address) == candidate
    assert candidate.is_name or candidate.address.host == candidate.host


def check_refusal(error: DecodeError) -> None:
    """Checks that a refusal is of the right kind, and short whatever it quotes."""
    assert error.reason is DecodeReason.BAD_CANDIDATE_LINE
    assert len(str(error)) < 600


def main() -> None:
    """Fuzzes until stopped: python fuzz/target_candidate_line.py fuzz/corpus/candidate_line."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
