"""Any session description survives: the same text back, and what is written is read as it was meant."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from icepath.entropy import Secret
from icepath.errors import DecodeError
from icepath.machine import Transport
from icepath.sdp.offer_answer import make_answer, make_offer, read_answer, read_offer
from icepath.sdp.session import Session, parse_session
from icepath.sdp.settling import Usage
from icepath.sdp.trickle import make_fragment, parse_fragment, take_fragment
from icepath.wire.candidate_line import Candidate, CandidateType, Foundation
from icepath.wire.fragment import Description

TEXT = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20)
LINE = st.builds("{}={}".format, st.sampled_from("abcikorstz"), TEXT)
MEDIA = st.builds(
    "m={} {} {} {}".format,
    st.sampled_from(["audio", "video", "application"]),
    st.integers(0, 65535),
    st.sampled_from(["RTP/AVP", "UDP/DTLS/SCTP", "TCP/RTP/AVP"]),
    st.sampled_from(["0", "8 0", "*"]),
)
END = st.sampled_from(["\r\n", "\n"])
HEAD = "v=0\r\no=- 7 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"


@st.composite
def texts(draw: st.DrawFn) -> str:
    lines = ["v=0", *draw(st.lists(LINE | MEDIA, max_size=20))]
    text = "".join(line + draw(END) for line in lines)
    return text if draw(st.booleans()) else text.removesuffix("\n")


@st.composite
def candidates(draw: st.DrawFn) -> Candidate:
    host = draw(st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "198.51.100.7", "0b2a.local"]))
    return Candidate(
        foundation=Foundation(draw(st.sampled_from(["1", "2", "ab"]))),
        component=draw(st.sampled_from([1, 1, 2])),
        transport=Transport.UDP,
        priority=draw(st.integers(1, 0x7FFFFFFF)),
        host=host,
        port=draw(st.integers(1, 65535)),
        type=CandidateType.HOST,
    )


@st.composite
def descriptions(draw: st.DrawFn, name: str = "user") -> Description:
    return Description(
        ufrag=f"{name}{draw(st.integers(0, 99))}",
        password=Secret("password12345678901234"),
        candidates=tuple(draw(st.lists(candidates(), max_size=6))),
        options=draw(st.sampled_from([("ice2",), ("ice2", "trickle")])),
        end_of_candidates=draw(st.booleans()),
        pacing=draw(st.none() | st.integers(5, 500)),
    )


@given(texts())
@settings(max_examples=100, deadline=None)
def test_what_is_parsed_is_written_as_it_was(text: str) -> None:
    try:
        session = parse_session(text)
    except DecodeError:
        return
    assert str(session) == text
    assert parse_session(str(session)) == session


@given(descriptions("alice"), descriptions("bob"), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_both_sides_agree(ours: Description, theirs: Description, mux: bool, level: bool, ipv6: bool) -> None:
    template = parse_session(HEAD + "m=audio 4000 RTP/AVP 0\r\n" + ("a=rtcp-mux\r\n" if mux else ""))
    offer = make_offer(template, [ours], session_level=level, prefer_ipv6=ipv6)
    received = read_offer(parse_session(str(offer)))
    answer = make_answer(received, template, [theirs], session_level=level)
    settled = read_answer(offer, parse_session(str(answer)))
    for stream, told in ((received.streams[0], ours), (settled.streams[0], theirs)):
        assert stream.usage is Usage.ICE, "what was written here is never a mismatch"
        assert stream.remote is not None
        assert (stream.remote.ufrag, stream.remote.password) == (told.ufrag, told.password)
        kept = [one for one in told.candidates if one.component <= received.streams[0].components]
        assert list(stream.remote.candidates) == [one for one in kept if one.component <= stream.components]
    assert settled.streams[0].rtcp_mux is received.streams[0].rtcp_mux is mux


@given(descriptions(), st.lists(candidates(), max_size=6))
@settings(max_examples=60, deadline=None)
def test_however_often_candidates_are_repeated_each_is_told_once(first: Description, later: list[Candidate]) -> None:
    first = replace(first, end_of_candidates=False, options=("ice2", "trickle"))
    template: Session = parse_session(HEAD + "m=audio 4000 RTP/AVP 0\r\n")
    local = make_offer(template, [first])
    negotiated = read_offer(local)
    told: list[Candidate] = list(first.candidates)
    for size in range(len(later) + 1):
        whole = replace(first, candidates=(*first.candidates, *later[:size]))
        for _ in range(2):
            taken = take_fragment(negotiated, parse_fragment(str(make_fragment(local, [whole]))))
            negotiated = taken.negotiated
            told += [one for stream in taken.streams for one in stream.candidates]
    new = told[len(first.candidates) :]
    keys = [(one.host, one.port, one.component) for one in new]
    known = {(one.host, one.port, one.component) for one in first.candidates}
    assert len(keys) == len(set(keys))
    assert known.isdisjoint(keys)
    assert set(keys) | known == known | {(one.host, one.port, one.component) for one in later}
