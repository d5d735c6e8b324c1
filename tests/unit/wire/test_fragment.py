"""Descriptions: fragments, whole SDPs, tokens, and what trickles later."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from icepath.entropy import Secret
from icepath.errors import DecodeError, DecodeReason, InvalidArgument, InvalidState
from icepath.net import Address
from icepath.wire.candidate_line import Candidate, CandidateType, parse_candidate
from icepath.wire.fragment import Description, parse_descriptions, parse_trickle
from icepath.wire.ice_token import format_token

VECTORS = Path(__file__).parents[2] / "vectors" / "candidate_lines.txt"

PASSWORD = "thispasswordissecret1234"
HOST = "candidate:1 1 UDP 2130706431 192.0.2.1 5000 typ host"
SRFLX = "candidate:2 1 UDP 1694498815 203.0.113.7 6000 typ srflx raddr 192.0.2.1 rport 5000"
RELAY = "candidate:3 2 UDP 16777215 2001:db8::9 3478 typ relay raddr 203.0.113.7 rport 6000 ufrag abcd1234 generation 0"
ACTIVE = "candidate:4 1 TCP 2105458943 2001:db8::1 9 typ host tcptype active"
OPEN = "candidate:4 1 TCP 2105458943 2001:db8::1 9 typ prflx raddr :: rport 9 tcptype so"
NAME = "candidate:5 256 UDP 2130706431 0b2a.local 5000 typ host"
EVERY_KIND = (HOST, SRFLX, RELAY, ACTIVE, OPEN, NAME)


def described(
    *lines: str,
    options: tuple[str, ...] = ("trickle", "ice2"),
    end: bool = False,
    pacing: int | None = None,
    lite: bool = False,
    mid: str | None = None,
) -> Description:
    candidates = tuple(map(parse_candidate, lines))
    return Description("abcd1234", Secret(PASSWORD), candidates, options, end, pacing, lite, mid)


def vector_texts() -> list[tuple[int, str, str]]:
    texts: list[tuple[int, str, str]] = []
    for part in VECTORS.read_text().split("\n== ")[1:]:
        head, _, body = part.partition("\n")
        kind, _, origin = head.partition(" | ")
        if kind.startswith("sdp "):
            texts.append((int(kind[4:]), origin, body))
    return texts


def refusal(text: str) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        Description.parse(text)
    assert PASSWORD not in str(caught.value)
    return caught.value


# -- fragments ----------------------------------------------------------------------------------------


@pytest.mark.rfc("8840", "9.2")
def test_a_description_is_written_as_a_fragment() -> None:
    text = str(described(HOST, SRFLX, end=True, pacing=20, lite=True, mid="0"))
    assert text == (
        "a=ice-lite\r\n"
        "a=ice-options:trickle ice2\r\n"
        "a=ice-pacing:20\r\n"
        f"a=ice-pwd:{PASSWORD}\r\n"
        "a=ice-ufrag:abcd1234\r\n"
        "m=audio 9 RTP/AVP 0\r\n"
        "a=mid:0\r\n"
        f"a={HOST}\r\n"
        f"a={SRFLX}\r\n"
        "a=end-of-candidates\r\n"
    )


@pytest.mark.parametrize(
    "description",
    [
        described(),
        described(*EVERY_KIND),
        described(HOST, options=()),
        described(HOST, options=("rtp+ecn",), end=True),
        described(HOST, pacing=0, lite=True, mid="audio"),
    ],
)
def test_fragments_round_trip(description: Description) -> None:
    assert Description.parse(str(description)) == description
    assert Description.parse(str(description).replace("\r\n", "\n")) == description


@pytest.mark.parametrize(("count", "origin", "text"), vector_texts())
def test_texts_of_deployed_peers(count: int, origin: str, text: str) -> None:
    descriptions = parse_descriptions(text)
    assert len(descriptions) == count, origin
    assert all(one.candidates and one.ignored_candidates == 0 for one in descriptions)
    assert Description.parse(text) == descriptions[0]
    for one in descriptions:
        assert Description.parse(str(one)) == one


def test_a_chromium_offer_of_one_bundle_is_one_stream() -> None:
    text = next(body for _, origin, body in vector_texts() if "one bundle (codec" in origin)
    (only,) = parse_descriptions(text)
    assert (only.mid, only.ufrag, only.options, len(only.candidates)) == ("0", "Iqh4", ("trickle",), 4)


@pytest.mark.rfc("8840", "4.4")
def test_a_fragment_of_two_streams() -> None:
    text = next(body for _, origin, body in vector_texts() if "RFC 8840" in origin)
    first, second = parse_descriptions(text)
    assert (first.mid, first.end_of_candidates, len(first.candidates)) == ("1", True, 6)
    assert (second.mid, second.end_of_candidates, len(second.candidates)) == ("2", False, 1)
    assert first.password == second.password


def test_unusable_candidates_are_counted_but_make_no_difference() -> None:
    text = f"{described(HOST)}a=candidate:1 1 SCTP 1 192.0.2.1 9 typ host\r\n"
    description = Description.parse(text)
    assert description == described(HOST)
    assert description.ignored_candidates == 1


@pytest.mark.rfc("8839", "5.3")
def test_sections_without_ice_are_left_out() -> None:
    credentials = f"a=ice-ufrag:abcd\na=ice-pwd:{PASSWORD}\n"
    plain = "m=audio 5 RTP/AVP 0\na=mid:0\n"
    mismatch = f"m=audio 5 RTP/AVP 0\na=mid:1\na=ice-mismatch\n{credentials}"
    wanted = f"m=audio 5 RTP/AVP 0\na=mid:2\n{credentials}"
    assert [one.mid for one in parse_descriptions(plain + mismatch + wanted)] == ["2"]
    assert "no section that uses ICE" in str(refusal(plain + mismatch))


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "no a=ice-ufrag and a=ice-pwd; expected an RFC 8840 fragment, an SDP or a token"),
        (PASSWORD, "no a=ice-ufrag and a=ice-pwd"),
        (HOST, "no a=ice-ufrag and a=ice-pwd"),
        (f"a=ice-pwd:{PASSWORD}\n", "section at character 0: a=ice-ufrag is missing"),
        ("v=0\nm=audio 9 x 0\na=mid:x\na=ice-ufrag:abcd\n", "section of mid 'x' at character 4: a=ice-pwd is missing"),
        (f"a=ice-ufrag:abcd\na=ice-pwd:{PASSWORD}!\n", "ice-pwd has characters other than"),
    ],
)
def test_refusals(text: str, detail: str) -> None:
    error = refusal(text)
    assert error.reason is DecodeReason.BAD_FRAGMENT
    assert detail in str(error)


# -- values -------------------------------------------------------------------------------------------


def test_the_repr_hides_the_password() -> None:
    assert PASSWORD not in repr(described(HOST))
    assert "abcd1234" in repr(described(HOST))


@pytest.mark.rfc("8839", "5.4")
@pytest.mark.parametrize(
    ("ufrag", "password", "options", "pacing", "mid"),
    [
        ("abc", PASSWORD, (), None, None),
        ("abcd", PASSWORD[:21], (), None, None),
        ("abcd", PASSWORD, ("a b",), None, None),
        ("abcd", PASSWORD, ("",), None, None),
        ("abcd", PASSWORD, ("x",) * 33, None, None),
        ("abcd", PASSWORD, (), -1, None),
        ("abcd", PASSWORD, (), 10_000_000_000, None),
        ("abcd", PASSWORD, (), None, "0\r\na=ice-lite"),
    ],
)
def test_what_cannot_be_written_is_refused(
    ufrag: str, password: str, options: tuple[str, ...], pacing: int | None, mid: str | None
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Description(ufrag, Secret(password), (), options, pacing=pacing, mid=mid)
    assert PASSWORD[:21] not in str(caught.value)


# -- trickle ------------------------------------------------------------------------------------------


@pytest.mark.rfc("8840", "4.4")
def test_trickled_candidates_know_their_generation() -> None:
    text = f"a=ice-ufrag:wxyz\r\na=ice-pwd:{PASSWORD}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na={HOST}\r\na={RELAY}\r\n"
    trickle = parse_trickle(text)
    assert (trickle.ufrag, trickle.mid, trickle.end_of_candidates) == ("wxyz", "0", False)
    assert [one.ufrag for one in trickle.candidates] == ["wxyz", "abcd1234"]
    assert trickle.candidates[0].address == Address("192.0.2.1", 5000)


def test_bare_lines_trickle_too() -> None:
    trickle = parse_trickle(f"{HOST}\n")
    assert (trickle.ufrag, trickle.candidates) == (None, (parse_candidate(HOST),))
    assert parse_trickle("end-of-candidates").end_of_candidates
    assert parse_trickle("a=end-of-candidates\r\n").end_of_candidates
    assert parse_trickle("candidate:1 1 SCTP 1 192.0.2.1 9 typ host").ignored_candidates == 1
    assert parse_trickle("a=ice-ufrag:abcd").ufrag == "abcd"


@pytest.mark.parametrize("text", ["", "hello", "m=audio 9 RTP/AVP 0\na=mid:0\n", "v=0\nm=audio 0 RTP/AVP 0\n"])
def test_what_trickles_nothing_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="no candidate and no end of candidates") as caught:
        parse_trickle(text)
    assert caught.value.reason is DecodeReason.BAD_FRAGMENT


# -- tokens -------------------------------------------------------------------------------------------


def without_details(candidate: Candidate) -> Candidate:
    """What a token leaves out: related address and extensions."""
    return Candidate(
        candidate.foundation,
        candidate.component,
        candidate.transport,
        candidate.priority,
        candidate.host,
        candidate.port,
        candidate.type,
        None,
        candidate.tcp_type,
        candidate.ufrag,
    )


@pytest.mark.parametrize(
    "description",
    [
        described(),
        described(*EVERY_KIND),
        described(HOST, options=()),
        described(HOST, options=("rtp+ecn", "x" * 256), end=True),
        described(HOST, pacing=0, lite=True, mid="audio"),
        described(pacing=9_999_999_999, mid="m" * 255),
        Description("u" * 256, Secret("p" * 256), (parse_candidate(HOST),)),
        Description("u" * 254, Secret("p" * 22)),
    ],
)
def test_tokens_round_trip(description: Description) -> None:
    read = Description.parse(f"\n {description.token()} \n")
    assert read.candidates == tuple(map(without_details, description.candidates))
    assert (read.ufrag, read.password, read.options) == (description.ufrag, description.password, description.options)
    assert (read.end_of_candidates, read.pacing, read.lite, read.mid) == (
        description.end_of_candidates,
        description.pacing,
        description.lite,
        description.mid,
    )


def test_a_usual_token_is_short() -> None:
    assert len(described(HOST, SRFLX, RELAY).token()) < 160


def test_twenty_long_candidates_fit_whole() -> None:
    lines = [f"candidate:{'f' * 31}{i % 10} 1 UDP {i + 1} {'n' * 60}.local 5000 typ host" for i in range(20)]
    token = described(*lines, end=True, pacing=20, lite=True, mid="m" * 100).token()
    assert len(token) < 4095
    assert len(Description.parse(token).candidates) == 20


def test_too_many_candidates_leave_out_the_last_host_candidates() -> None:
    hosts = [f"candidate:{i} 1 UDP {2000 - i} {'n' * 60}{i}.local 5000 typ host" for i in range(200)]
    token = described(*hosts[:100], RELAY, *hosts[100:], SRFLX).token()
    read = Description.parse(token).candidates
    assert len(token) < 4095
    assert [one.type for one in read if one.type is not CandidateType.HOST] == [
        CandidateType.RELAYED,
        CandidateType.SERVER_REFLEXIVE,
    ]
    kept = [one.priority for one in read if one.type is CandidateType.HOST]
    assert kept == list(range(2000, 2000 - len(kept), -1))
    assert len(kept) > 30


def test_candidates_of_another_generation_are_left_out() -> None:
    token = described(HOST, f"{HOST} ufrag other", f"{SRFLX} ufrag abcd1234").token()
    assert [one.ufrag for one in Description.parse(token).candidates] == [None, "abcd1234"]


def test_options_without_end_do_not_fit() -> None:
    with pytest.raises(InvalidState, match="too long for a token"):
        described(options=("x" * 256,) * 20).token()


def test_damage_is_told() -> None:
    token = described(*EVERY_KIND).token()
    assert str(refusal(token[:-5])).startswith("truncated token")
    assert str(refusal(token[:20] + ("A" if token[20] != "A" else "B") + token[21:])).startswith("mistyped token")
    assert refusal("ice9:abc").reason is DecodeReason.BAD_TOKEN


HEAD = b"\0\4abcd\x16" + b"p" * 22
ONE = b"\0\1f\0" + struct.pack(">I", 5) + bytes([192, 0, 2, 1]) + struct.pack(">H", 5000)


@pytest.mark.parametrize(
    ("payload", "detail"),
    [
        (b"", "its content ends at byte 0"),
        (b"\x20" + HEAD[1:], "flags 0x20, known are 0x1f"),
        (HEAD[:-1], "its content ends at byte 28"),
        (b"\0\3abc" + HEAD[6:], "ufrag has 3 characters"),
        (b"\0\4abc\xe9" + HEAD[6:], "text before byte 6 is not ASCII"),
        (b"\4" + HEAD[1:] + b"\1\0", "tag ''"),
        (HEAD + ONE[:-1], "its content ends at byte"),
        (HEAD + b"\x80" + ONE[1:], "candidate shape 0x80 is not known"),
        (HEAD + b"\x30" + ONE[1:], "candidate shape 0x30 is not known"),
        (HEAD + b"\0\1 \0" + ONE[4:], "ends after 7 fields"),
        (HEAD + ONE[:4] + bytes(4) + ONE[8:], "priority at character 8: '0'"),
    ],
)
def test_tokens_of_other_programs_are_checked_like_any_text(payload: bytes, detail: str) -> None:
    error = refusal(format_token(payload))
    assert error.reason is DecodeReason.BAD_TOKEN
    assert detail in str(error)


def test_a_token_made_by_hand_is_read() -> None:
    (only,) = Description.parse(format_token(HEAD + ONE)).candidates
    assert str(only) == "candidate:f 1 UDP 5 192.0.2.1 5000 typ host"
