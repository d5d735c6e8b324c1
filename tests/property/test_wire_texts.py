"""Texts of `wire`: what is written is read back, whatever it says; any text is read or refused with DecodeError."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from icepath.entropy import ICE_CHARS, Secret
from icepath.errors import DecodeError, InvalidState
from icepath.machine import Transport
from icepath.net import Address, canonical_host
from icepath.wire.candidate_line import Candidate, CandidateType, Foundation, TcpType, parse_candidate
from icepath.wire.fragment import Description, parse_descriptions, parse_trickle
from icepath.wire.uri import ServerUri, parse_server_uri

VISIBLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
PORTS = st.integers(0, 0xFFFF)
LABELS = st.from_regex(r"[a-z0-9_-]{0,20}[a-z]", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
IP_TEXTS = st.ip_addresses().map(str).map(canonical_host)
UFRAGS = st.text(ICE_CHARS, min_size=4, max_size=256)
ANY_UFRAG: st.SearchStrategy[str | None] = st.none() | UFRAGS
PASSWORDS = st.text(ICE_CHARS, min_size=22, max_size=256).map(Secret)
TAGS = st.text(VISIBLE.filter(lambda char: char != ","), min_size=1, max_size=20)
TYPED = ("raddr", "rport", "tcptype", "ufrag")
EXTENSIONS = st.lists(
    st.tuples(
        st.text(VISIBLE, min_size=1, max_size=12).filter(lambda name: name.lower() not in TYPED),
        st.text(VISIBLE, max_size=12),
    ),
    max_size=3,
).map(tuple)


@st.composite
def candidates(draw: st.DrawFn, ufrags: st.SearchStrategy[str | None] = ANY_UFRAG) -> Candidate:
    """Draws a candidate that can be written without loss."""
    transport = draw(st.sampled_from(Transport))
    candidate_type = draw(st.sampled_from(CandidateType))
    related = st.builds(Address, IP_TEXTS, PORTS)
    return Candidate(
        foundation=Foundation(draw(st.text(ICE_CHARS, min_size=1, max_size=32))),
        component=draw(st.integers(1, 256)),
        transport=transport,
        priority=draw(st.integers(1, 0x7FFF_FFFF)),
        host=draw(NAMES | IP_TEXTS),
        port=draw(PORTS),
        type=candidate_type,
        related_address=draw(st.none() | related if candidate_type is CandidateType.HOST else related),
        tcp_type=draw(st.sampled_from(TcpType)) if transport is Transport.TCP else None,
        ufrag=draw(ufrags),
        extensions=draw(EXTENSIONS),
    )


@st.composite
def descriptions(draw: st.DrawFn) -> Description:
    """Draws a description whose candidates are of its own generation."""
    ufrag = draw(UFRAGS)
    return Description(
        ufrag=ufrag,
        password=draw(PASSWORDS),
        candidates=tuple(draw(st.lists(candidates(st.sampled_from([None, ufrag])), max_size=5))),
        options=tuple(draw(st.lists(TAGS, max_size=4, unique=True))),
        end_of_candidates=draw(st.booleans()),
        pacing=draw(st.none() | st.integers(0, 9_999_999_999)),
        lite=draw(st.booleans()),
        mid=draw(st.none() | st.text(VISIBLE, min_size=1, max_size=20)),
    )


@given(candidates())
def test_candidates_are_read_as_written(candidate: Candidate) -> None:
    assert parse_candidate(str(candidate)) == candidate


@given(descriptions())
def test_fragments_are_read_as_written(description: Description) -> None:
    assert Description.parse(str(description)) == description
    assert parse_descriptions(str(description)) == (description,)


@given(descriptions())
def test_tokens_are_read_as_written_but_for_details(description: Description) -> None:
    bare = tuple(replace(one, related_address=None, extensions=()) for one in description.candidates)
    token = description.token()
    assert len(token) < 4095
    read = Description.parse(token)
    assert replace(read, candidates=tuple(replace(one, related_address=None) for one in read.candidates)) == replace(
        description, candidates=bare
    )


@given(descriptions(), st.data())
def test_a_token_with_one_wrong_character_is_never_taken_for_another(
    description: Description, data: st.DataObject
) -> None:
    token = description.token()
    # The last character may hold bits that mean nothing.
    index = data.draw(st.integers(len("ice1:"), len(token) - 2))
    wrong = data.draw(st.characters(exclude_characters=token[index] + " \t\n\r\f\v\x1c\x1d\x1e\x1f\x85\xa0"))
    try:
        read = Description.parse(token[:index] + wrong + token[index + 1 :])
    except DecodeError:
        return
    # Other kinds of white space are skipped like a terminal's line ends, and then a character is missing.
    raise AssertionError(f"{wrong!r} at {index} was read as {read!r}")


@given(
    st.sampled_from(["stun", "turn"]),
    st.booleans(),
    NAMES | IP_TEXTS,
    st.none() | st.integers(1, 0xFFFF),
    st.none() | st.sampled_from(Transport),
)
def test_uris_are_read_as_written(
    scheme: str, secure: bool, host: str, port: int | None, transport: Transport | None
) -> None:
    uri = ServerUri("stun" if scheme == "stun" else "turn", secure, host, port, transport)
    assert parse_server_uri(str(uri)) == uri


@given(st.text())
@example("stun:[")
@example("turn:@")
@example("ice1:")
@example("m=\nm=\na=candidate")
@example("a=group:BUNDLE\nm=a 0")
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_candidate, Description.parse, parse_descriptions, parse_trickle, parse_server_uri):
        try:
            parse(text)
        except DecodeError as error:
            check_offset(error, text)


@given(candidates())
def test_only_names_have_no_address(candidate: Candidate) -> None:
    try:
        host = candidate.address.host
    except InvalidState:
        assert candidate.is_name
    else:
        assert str(ipaddress.ip_address(host)) == candidate.host


def check_offset(error: DecodeError, text: str) -> None:
    """Checks that a refusal points into the text."""
    assert 0 <= error.offset <= len(text)
