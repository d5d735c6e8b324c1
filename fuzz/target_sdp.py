"""Session descriptions and INFO bodies: any text is read or refused with DecodeError, and survives writing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from icepath.entropy import Secret
from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.sdp.offer_answer import make_answer, make_offer, read_answer, read_offer
from icepath.sdp.session import Session, parse_session
from icepath.sdp.settling import Negotiated
from icepath.sdp.trickle import FragmentStream, parse_fragment, take_fragment
from icepath.wire.candidate_line import parse_candidate
from icepath.wire.fragment import Description

REASONS: Final = frozenset({DecodeReason.BAD_SDP, DecodeReason.TOO_LONG})
HOST: Final = parse_candidate("1 1 UDP 2130706431 192.0.2.1 5000 typ host")
LOCAL: Final = Description("loca", Secret("localpassword45678901234"), (HOST,))
TEMPLATE: Final = parse_session(
    "v=0\r\no=- 7 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
    "m=audio 5000 RTP/AVP 0\r\na=mid:0\r\na=rtcp-mux\r\nm=video 5002 RTP/AVP 31\r\na=mid:1\r\n"
)
OFFER: Final = make_offer(TEMPLATE, [LOCAL, LOCAL])


def one_input(data: bytes) -> None:
    """Checks one text: an offer, an answer, a fragment; a form feed separates what comes first from what follows."""
    first, _, second = data.decode("utf-8", "replace").partition("\f")
    known = check_session(first, None)
    if second:
        check_session(second, known)
        check_fragment(second, known)
    check_fragment(first, read_offer(OFFER))


def check_session(text: str, previous: Negotiated | None) -> Negotiated | None:
    """Reads a text as an offer, answers it, and reads it as an answer."""
    try:
        session = parse_session(text)
    except DecodeError as error:
        check_refusal(error)
        return None
    assert str(session) == text
    try:
        read_answer(OFFER, session, previous=previous)
    except DecodeError as error:
        check_refusal(error)
    try:
        offer = read_offer(session, previous=previous)
    except DecodeError as error:
        check_refusal(error)
        return None
    check_answer(session, offer)
    return offer


def check_answer(session: Session, offer: Negotiated) -> None:
    """Answers an offer with its own text as the template; what we write, we read."""
    try:
        answer = make_answer(offer, session, [LOCAL] * len(offer.streams))
    except InvalidArgument:
        return
    again = parse_session(str(answer))
    assert again == answer
    assert len(answer.media) == len(session.media)


def check_fragment(text: str, known: Negotiated | None) -> None:
    """Reads a text as an INFO body."""
    try:
        fragment = parse_fragment(text)
    except DecodeError as error:
        check_refusal(error)
        return
    if known is not None:
        taken = take_fragment(known, fragment)
        assert take_fragment(taken.negotiated, fragment).streams == ()
    if fragment.streams:
        check_streams(parse_fragment(str(fragment)).streams, fragment.streams)


def check_streams(again: Sequence[FragmentStream], streams: Sequence[FragmentStream]) -> None:
    """Checks that what was written is read again; a related address that was not told is written as none."""
    assert len(again) == len(streams)
    for one, other in zip(again, streams, strict=True):
        assert replace(one, candidates=()) == replace(other, candidates=())
        assert [(each.host, each.port, each.component) for each in one.candidates] == [
            (each.host, each.port, each.component) for each in other.candidates
        ]


def check_refusal(error: DecodeError) -> None:
    """Checks that a refusal is of the right kind."""
    assert error.reason in REASONS


def main() -> None:
    """Fuzzes until stopped: python fuzz/target_sdp.py fuzz/corpus/sdp."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
