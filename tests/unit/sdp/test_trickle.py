"""INFO bodies: written, read, and joined with what is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.entropy import IceCredentials, Secret
from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.sdp.offer_answer import make_offer, read_offer
from icepath.sdp.session import Session, parse_session
from icepath.sdp.settling import Negotiated
from icepath.sdp.trickle import TrickledStream, make_fragment, parse_fragment, take_fragment
from icepath.sdp.writing import LocalStream
from icepath.wire.candidate_line import Candidate, parse_candidate
from icepath.wire.fragment import Description
from icepath.wire.ice_lines import MAX_CANDIDATES

pytestmark = pytest.mark.rfc("8840", "4.4")

WHO = IceCredentials("8hhY", Secret("asd88fgpdd777uzjYhagZg"))
HEAD = "v=0\r\no=- 7 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
SECTIONS = "m=audio 4000 RTP/AVP 0\r\na=mid:1\r\na=rtcp-mux\r\nm=video 4002 RTP/AVP 31\r\na=mid:2\r\n"
FIRST = parse_candidate("1 1 UDP 2130706432 2001:db8:a0b:12f0::1 5000 typ host ufrag 8hhY")
SECOND = parse_candidate("1 1 UDP 2130706431 192.0.2.1 5010 typ host")
THIRD = parse_candidate("2 1 UDP 1694498815 192.0.2.3 5010 typ srflx raddr 192.0.2.1 rport 8998")
RTCP = parse_candidate("2 2 UDP 1694498814 192.0.2.3 5011 typ srflx raddr 192.0.2.1 rport 8999")
CREDENTIALS = "a=ice-pwd:asd88fgpdd777uzjYhagZg\r\na=ice-ufrag:8hhY\r\n"


def described(*candidates: Candidate, end: bool = False, who: IceCredentials = WHO) -> Description:
    return Description(who.ufrag, who.password, candidates, end_of_candidates=end)


def offer(*streams: Description | None, text: str = HEAD + SECTIONS, session_level: bool = False) -> Session:
    return make_offer(parse_session(text), streams, session_level=session_level)


def known(*streams: Description | None, text: str = HEAD + SECTIONS) -> Negotiated:
    return read_offer(offer(*streams, text=text))


def lines(*candidates: Candidate) -> str:
    return "".join(f"a={replace(one, ufrag=None)}\r\n" for one in candidates)


class TestWriting:
    def test_repeats_all_candidates_behind_the_section_s_line_and_mid(self) -> None:
        streams: list[Description | LocalStream] = [described(FIRST, SECOND, end=True), LocalStream(described(THIRD))]
        body = str(make_fragment(offer(described(FIRST), described()), streams))
        assert body == (
            f"m=audio 5000 RTP/AVP 0\r\n{CREDENTIALS}a=rtcp-mux\r\na=mid:1\r\n"
            f"{lines(FIRST, SECOND)}a=end-of-candidates\r\n"
            f"m=video 9 RTP/AVP 31\r\n{CREDENTIALS}a=mid:2\r\n{lines(THIRD)}"
        )

    @pytest.mark.rfc("8840", "9.2")
    def test_credentials_stand_where_the_offer_has_them(self) -> None:
        local = offer(described(FIRST), described(), session_level=True)
        fragment = make_fragment(local, [described(FIRST), None])
        assert str(fragment) == f"{CREDENTIALS}m=audio 5000 RTP/AVP 0\r\na=rtcp-mux\r\na=mid:1\r\n{lines(FIRST)}"
        other = described(THIRD, who=IceCredentials("othr", Secret("x" * 22)))
        overriding = str(make_fragment(local, [described(FIRST), other]))
        assert f"m=video 9 RTP/AVP 31\r\na=ice-pwd:{'x' * 22}\r\na=ice-ufrag:othr\r\n" in overriding

    @pytest.mark.rfc("8840", "7")
    def test_an_answer_s_bundle_groups_are_told(self) -> None:
        text = HEAD + "a=group:BUNDLE 1 2\r\n" + SECTIONS
        fragment = make_fragment(offer(described(FIRST), None, text=text), [described(FIRST), None])
        assert str(fragment).startswith("a=group:BUNDLE 1 2\r\nm=audio")

    def test_the_end_of_all_is_told_before_the_first_stream(self) -> None:
        fragment = make_fragment(offer(described(FIRST), None, session_level=True), [described(), None])
        assert str(replace(fragment, streams=(), end_of_candidates=True)) == f"{CREDENTIALS}a=end-of-candidates\r\n"

    def test_streams_must_fit_the_session(self) -> None:
        with pytest.raises(InvalidArgument, match="1 streams for 2 m= sections"):
            make_fragment(offer(described(), None), [None])
        assert str(make_fragment(offer(described(), None), [None, None])) == ""

    @pytest.mark.parametrize("session_level", [False, True])
    def test_what_is_written_is_read_again(self, session_level: bool) -> None:
        local = offer(described(FIRST), described(), session_level=session_level)
        fragment = make_fragment(local, [described(SECOND, end=True), described(THIRD)])
        again = parse_fragment(str(fragment))
        assert again.streams == fragment.streams
        assert again.session_level is session_level


class TestReading:
    def test_each_stream_has_its_own(self) -> None:
        fragment = parse_fragment(
            f"{CREDENTIALS}a=group:BUNDLE 1 2\r\nm=audio 9 RTP/AVP 0\r\na=mid:1\r\na=rtcp-mux\r\n{lines(SECOND)}"
            f"a=x-new:thing\r\na=candidate:broken\r\nm=audio 9 RTP/AVP 0\r\na=mid:2\r\na=End-Of-Candidates\r\n"
        )
        first, second = fragment.streams
        assert (first.mid, first.candidates, first.rtcp_mux, first.end_of_candidates) == ("1", (SECOND,), True, False)
        assert (second.mid, second.candidates, second.rtcp_mux, second.end_of_candidates) == ("2", (), False, True)
        assert (fragment.bundles, fragment.ignored_candidates) == ((("1", "2"),), 1)
        assert "asd88" not in repr(fragment)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "a=ice-ufrag or a=ice-pwd is missing"),
            ("a=ice-ufrag:8hhY\r\n", "a=ice-ufrag or a=ice-pwd is missing"),
            (f"m=audio 9 RTP/AVP 0\r\n{lines(SECOND)}", "section at character 0: a=ice-ufrag is missing"),
            ("m=audio 9 RTP/AVP 0\r\na=ice-ufrag:8hhY\r\n", "section at character 0: a=ice-pwd is missing"),
            ("m=audio 9 RTP/AVP 0\r\na=ice-ufrag:x\r\n", "1 characters, allowed are 4 to 256"),
            ("hello\r\n", "line at character 0: 'hello', expected x=value"),
        ],
    )
    def test_refusals(self, text: str, expected: str) -> None:
        with pytest.raises(DecodeError, match=expected) as caught:
            parse_fragment(text)
        assert caught.value.reason is DecodeReason.BAD_SDP

    def test_bounds(self) -> None:
        with pytest.raises(DecodeError) as caught:
            parse_fragment(f"{CREDENTIALS}m=audio 9 RTP/AVP 0\r\n" + lines(SECOND) * (MAX_CANDIDATES + 1))
        assert caught.value.reason is DecodeReason.TOO_LONG


class TestTaking:
    def test_only_what_is_new_is_handed_on_in_order(self) -> None:
        before = known(described(FIRST), described())
        local = offer(described(FIRST), described())
        body = make_fragment(local, [described(FIRST, SECOND, THIRD), described(SECOND, end=True)])
        taken = take_fragment(before, body)
        assert taken.streams == (
            TrickledStream(0, (SECOND, THIRD), end_of_candidates=False),
            TrickledStream(1, (SECOND,), end_of_candidates=True),
        )
        again = take_fragment(taken.negotiated, body)
        assert (again.streams, again.discarded) == ((), 0)
        assert again.negotiated == taken.negotiated
        remote = taken.negotiated.streams[0].remote
        assert remote is not None
        assert len(remote.candidates) == 3

    def test_what_a_body_repeats_within_itself_is_one(self) -> None:
        body = parse_fragment(f"{CREDENTIALS}m=audio 9 RTP/AVP 0\r\na=mid:2\r\n{lines(SECOND, SECOND)}")
        assert take_fragment(known(None, described()), body).streams[0].candidates == (SECOND,)

    @pytest.mark.rfc("8840", "6")
    def test_candidates_of_a_component_that_is_not_used_are_not(self) -> None:
        body = parse_fragment(f"{CREDENTIALS}m=audio 9 RTP/AVP 0\r\na=mid:1\r\n{lines(THIRD, RTCP)}")
        assert take_fragment(known(described(), None), body).streams[0].candidates == (THIRD,)

    @pytest.mark.parametrize(
        "credentials",
        [CREDENTIALS.replace("8hhY", "othr"), CREDENTIALS.replace("asd88", "xyz99")],
    )
    def test_another_generation_is_discarded(self, credentials: str) -> None:
        before = known(described(), described())
        body = parse_fragment(f"{credentials}a=end-of-candidates\r\nm=audio 9 RTP/AVP 0\r\na=mid:1\r\n{lines(SECOND)}")
        taken = take_fragment(before, body)
        assert (taken.streams, taken.discarded, taken.negotiated) == ((), 1, before)

    def test_a_stream_that_is_not_known_is_discarded(self) -> None:
        body = parse_fragment(f"{CREDENTIALS}m=audio 9 RTP/AVP 0\r\na=mid:7\r\n{lines(SECOND)}m=audio 9 RTP/AVP 0\r\n")
        assert take_fragment(known(described(), described()), body).discarded == 2

    def test_the_only_stream_needs_no_name(self) -> None:
        text = HEAD + "m=audio 4000 RTP/AVP 0\r\n"
        nameless = parse_fragment(f"{CREDENTIALS}m=audio 9 RTP/AVP 0\r\n{lines(SECOND)}")
        named = parse_fragment(f"{CREDENTIALS}m=audio 9 RTP/AVP 0\r\na=mid:x\r\n{lines(SECOND)}")
        plain = replace(described(FIRST), options=("ice2",))
        for body, before in (
            (nameless, known(described(FIRST), text=text)),
            (nameless, known(plain, text=text)),
            (named, known(plain, text=text)),
        ):
            assert take_fragment(before, body).streams == (TrickledStream(0, (SECOND,), end_of_candidates=False),)

    def test_the_end_of_all_ends_each(self) -> None:
        before = known(described(FIRST), described())
        body = parse_fragment(f"{CREDENTIALS}a=end-of-candidates\r\nm=audio 9 RTP/AVP 0\r\na=mid:1\r\n{lines(SECOND)}")
        taken = take_fragment(before, body)
        assert taken.streams == (
            TrickledStream(0, (SECOND,), end_of_candidates=True),
            TrickledStream(1, (), end_of_candidates=True),
        )
        assert take_fragment(taken.negotiated, body).streams == ()
        media_level = parse_fragment(f"a=end-of-candidates\r\nm=audio 9 RTP/AVP 0\r\na=mid:1\r\n{CREDENTIALS}")
        assert [one.index for one in take_fragment(before, media_level).streams] == [0, 1]
