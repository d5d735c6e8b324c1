"""The exception tree, and that every cause has advice."""

from __future__ import annotations

import pytest

from icepath.errors import (
    ADVICE,
    Cause,
    ConnectFailed,
    ConnectionClosed,
    ConnectionFailure,
    DecodeError,
    DecodeReason,
    IcepathError,
    InvalidArgument,
    InvalidState,
)


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (InvalidArgument, ValueError),
        (InvalidState, RuntimeError),
        (DecodeError, ValueError),
        (ConnectionFailure, ConnectionError),
        (ConnectFailed, ConnectionFailure),
        (ConnectionClosed, ConnectionFailure),
    ],
)
def test_each_exception_is_ours_and_what_python_calls_it(kind: type[Exception], base: type[Exception]) -> None:
    assert issubclass(kind, IcepathError)
    assert issubclass(kind, base)


def test_every_cause_has_advice_in_one_sentence() -> None:
    assert set(ADVICE) == set(Cause)
    assert all(text.endswith(".") for text in ADVICE.values())


def test_a_failure_says_cause_evidence_and_what_to_do() -> None:
    failure = ConnectFailed(Cause.NO_ANSWER, "12 checks on 6 pairs in 39.5 s, none answered.")
    assert str(failure) == ("no-answer: 12 checks on 6 pairs in 39.5 s, none answered. " + ADVICE[Cause.NO_ANSWER])
    assert failure.cause is Cause.NO_ANSWER
    assert failure.evidence == "12 checks on 6 pairs in 39.5 s, none answered"


def test_a_failure_without_evidence_is_a_sentence_too() -> None:
    assert str(ConnectionClosed(Cause.CLOSED)) == "closed. It was closed here."


def test_a_decode_error_tells_programs_the_reason_and_the_place() -> None:
    error = DecodeError(DecodeReason.TRUNCATED, "6 bytes, expected 20", offset=6)
    assert (error.reason, error.offset, str(error)) == (DecodeReason.TRUNCATED, 6, "6 bytes, expected 20")
