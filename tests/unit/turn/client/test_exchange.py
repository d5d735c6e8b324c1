from __future__ import annotations

from icepath.turn.client.events import AllocationFailure
from icepath.turn.client.exchange import METHODS, Answer, Outcome, Purpose, Request


def test_every_purpose_has_a_method() -> None:
    assert set(METHODS) == set(Purpose)


def test_a_request_goes_along_the_path_in_use_unless_it_says_otherwise() -> None:
    request = Request(Purpose.REFRESH, (), is_paced=False)
    assert request.path is None
    assert (request.hosts, request.peer, request.is_early, request.is_alone) == ((), None, False, False)


def test_silence_is_no_answer() -> None:
    request = Request(Purpose.REFRESH, (), is_paced=False)
    assert Answer(request, Outcome.TIMED_OUT, 0.0).failure is AllocationFailure.NO_ANSWER
