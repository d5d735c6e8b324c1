"""What one session description says of each stream, and the contradictions it is refused for."""

from __future__ import annotations

import pytest

from icepath.entropy import Secret
from icepath.errors import DecodeError, DecodeReason
from icepath.net import Address
from icepath.sdp.lines import Destination, RemoteCandidate
from icepath.sdp.session import parse_session
from icepath.sdp.streams import Told, bundle_groups, read_streams
from icepath.wire.ice_lines import MAX_CANDIDATES

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
UFRAG = "a=ice-ufrag:8hhY\r\n"
PASSWORD = "a=ice-pwd:asd88fgpdd777uzjYhagZg\r\n"
AUDIO = "m=audio 5000 RTP/AVP 0\r\n"
RTP = "a=candidate:1 1 UDP 2130706431 192.0.2.1 5000 typ host\r\n"
RTCP = "a=candidate:1 2 UDP 2130706430 192.0.2.1 5001 typ host\r\n"
ICE = UFRAG + PASSWORD
TRICKLE = "a=ice-options:trickle\r\n"
NO_RTCP = "b=RS:0\r\nb=RR:0\r\n"


def told(text: str) -> tuple[Told, ...]:
    return read_streams(parse_session(text))


def only(*lines: str, head: str = HEAD, media: str = AUDIO) -> Told:
    (stream,) = told(head + media + "".join(lines))
    return stream


def refusal(text: str) -> str:
    with pytest.raises(DecodeError) as caught:
        told(text)
    assert caught.value.reason is DecodeReason.BAD_SDP
    assert "asd88" not in str(caught.value)
    return str(caught.value)


class TestDescriptions:
    @pytest.mark.rfc("8839", "5.4")
    def test_session_level_values_hold_unless_the_section_has_its_own(self) -> None:
        head = HEAD + ICE + "a=ice-options:ice2\r\na=ice-pacing:50\r\na=ice-lite\r\n"
        mine = (
            "a=ice-ufrag:mine\r\na=ice-pwd:minexfgpdd777uzjYhagZg\r\na=ice-options:trickle ice2\r\na=ice-pacing:20\r\n"
        )
        first, second = told(head + AUDIO + RTP + "a=end-of-candidates\r\n" + AUDIO + mine)
        assert first.description is not None
        assert second.description is not None
        assert (first.description.ufrag, second.description.ufrag) == ("8hhY", "mine")
        assert second.description.password == Secret("minexfgpdd777uzjYhagZg")
        assert (first.description.options, second.description.options) == (("ice2",), ("ice2", "trickle"))
        assert (first.description.pacing, second.description.pacing) == (50, 20)
        assert (first.description.lite, second.description.lite) == (True, True)
        assert (first.description.end_of_candidates, second.description.end_of_candidates) == (True, False)
        assert [len(one.description.candidates) for one in (first, second) if one.description] == [1, 0]

    def test_a_section_without_ice_has_none(self) -> None:
        first, second = told(HEAD + AUDIO + ICE + AUDIO)
        assert first.description is not None
        assert second.description is None

    @pytest.mark.rfc("8839", "5.3")
    def test_neither_has_one_with_a_mismatch(self) -> None:
        stream = only(ICE, "a=ice-mismatch\r\n")
        assert (stream.description, stream.has_mismatch) == (None, True)

    @pytest.mark.rfc("8839", "5.1")
    def test_candidates_that_cannot_be_used_are_ignored_and_counted(self) -> None:
        stream = only(ICE, RTP, "a=candidate:1 1 SCTP 1 192.0.2.1 5000 typ host\r\n", f"a=candidate:{'x' * 2000}\r\n")
        assert stream.description is not None
        assert (len(stream.description.candidates), stream.description.ignored_candidates) == (1, 2)


class TestDestinations:
    @pytest.mark.parametrize(
        ("lines", "destinations"),
        [
            ("", (("192.0.2.1", 5000), ("192.0.2.1", 5001))),
            ("c=IN IP6 2001:db8::5\r\n", (("2001:db8::5", 5000), ("2001:db8::5", 5001))),
            ("a=rtcp:7\r\n", (("192.0.2.1", 5000), ("192.0.2.1", 7))),
            ("a=rtcp:7 IN IP6 ::1\r\n", (("192.0.2.1", 5000), ("::1", 7))),
            ("c=IN IP4 0.0.0.0\r\n", (("0.0.0.0", 5000), ("0.0.0.0", 5000))),
        ],
    )
    @pytest.mark.rfc("8839", "3")
    def test_are_what_a_side_without_ice_would_use(self, lines: str, destinations: tuple[tuple[str, int], ...]) -> None:
        assert only(lines).destinations == tuple(Destination(*one) for one in destinations)

    def test_what_is_not_rtp_has_one(self) -> None:
        stream = only(media="m=application 5000 UDP/DTLS/SCTP webrtc-datachannel\r\n")
        assert stream.destinations == (Destination("192.0.2.1", 5000),)

    def test_a_rejected_section_has_none_and_needs_no_connection_line(self) -> None:
        stream = only(head=HEAD.replace("c=IN IP4 192.0.2.1\r\n", ""), media="m=audio 0 RTP/AVP 0\r\n")
        assert (stream.destinations, stream.is_rejected) == ((), True)

    def test_a_bundle_only_section_is_not_rejected(self) -> None:
        stream = only("a=bundle-only\r\n", media="m=audio 0 RTP/AVP 0\r\n")
        assert (stream.is_rejected, stream.is_bundle_only) == (False, True)
        assert not only("a=bundle-only\r\n").is_bundle_only


class TestComponents:
    @pytest.mark.parametrize(
        ("lines", "components"),
        [
            ([ICE, RTP], 1),
            ([ICE, RTP, RTCP], 2),
            ([ICE, RTP, "a=rtcp:5001\r\n"], 2),
            ([], 2),
            ([ICE], 1),
            ([ICE, RTP, TRICKLE], 2),
            ([ICE, RTP, TRICKLE, "a=end-of-candidates\r\n"], 1),
            ([NO_RTCP, ICE, RTP, TRICKLE], 1),
            ([NO_RTCP], 1),
            (["b=RS:0\r\n"], 2),
        ],
    )
    def test_are_counted(self, lines: list[str], components: int) -> None:
        assert only(*lines).components == components

    def test_what_is_not_rtp_has_as_many_as_its_candidates(self) -> None:
        media = "m=application 5000 UDP/BFCP *\r\n"
        assert only(media=media).components == 1
        assert only(ICE, RTP, RTCP, media=media).components == 2

    @pytest.mark.parametrize("line", ["a=rtcp-mux\r\n", "a=rtcp-mux-only\r\n"])
    def test_multiplexing_is_noted(self, line: str) -> None:
        assert only(line).rtcp_mux
        assert not only().rtcp_mux


@pytest.mark.rfc("8839", "4.2.5")
class TestDefaults:
    @pytest.mark.parametrize(
        ("lines", "components", "is_found"),
        [
            ([RTP], 1, True),
            ([RTP], 2, True),
            ([RTP, "a=rtcp:5001\r\n"], 2, False),
            ([RTP, RTCP], 2, True),
            ([RTP, RTCP, "a=rtcp:5002\r\n"], 2, False),
            ([RTCP], 1, False),
            ([], 1, False),
            ([RTP.replace("5000", "5004")], 1, False),
            ([RTP.replace("192.0.2.1", "192.0.2.2")], 1, False),
            ([RTP.replace("UDP", "TCP").replace("host", "host tcptype passive")], 1, False),
            (["c=IN IP4 0.0.0.0\r\n"], 2, True),
            (["c=IN IP4 media.example.org\r\n"], 2, True),
            (["c=IN IP4 192.0.2.1\r\n", RTP, "a=rtcp:9 IN IP4 0.0.0.0\r\n"], 2, True),
        ],
    )
    def test_are_looked_for_among_the_candidates(self, lines: list[str], components: int, is_found: bool) -> None:
        assert only(ICE, *lines).finds_defaults(components) is is_found

    def test_port_9_is_none(self) -> None:
        assert only(ICE, media="m=audio 9 RTP/AVP 0\r\n").finds_defaults(2)

    def test_without_ice_none_is_found(self) -> None:
        assert not only().finds_defaults(1)


class TestRemoteCandidates:
    def test_of_several_lines_add_up(self) -> None:
        lines = "a=remote-candidates:2 192.0.2.3 45665\r\na=remote-candidates:1 192.0.2.3 45664\r\n"
        assert only(lines).remote_candidates == (
            RemoteCandidate(1, Address("192.0.2.3", 45664)),
            RemoteCandidate(2, Address("192.0.2.3", 45665)),
        )

    def test_two_of_one_component_are_refused(self) -> None:
        lines = "a=remote-candidates:1 192.0.2.3 1 1 192.0.2.3 2\r\n"
        assert "component 1 is 192.0.2.3:2 and 192.0.2.3:1, expected one" in refusal(HEAD + AUDIO + lines)


class TestContradictions:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (HEAD + AUDIO + UFRAG, f"section 0 at character {len(HEAD)}: a=ice-pwd is missing"),
            (HEAD + AUDIO + PASSWORD, "a=ice-ufrag is missing"),
            (HEAD + AUDIO + ICE + "a=ice-ufrag:othr\r\n", "a=ice-ufrag at character"),
            (HEAD + ICE + "a=ice-pwd:another0000000000000000\r\n" + AUDIO, "told before with another value"),
            (HEAD + AUDIO + "a=mid:0\r\na=mid:1\r\n", "a=mid at character"),
            (HEAD + AUDIO + "a=mid:0\r\n" + AUDIO + "a=mid:0\r\n", "a=mid is '0' in sections 0 and 1"),
            (
                HEAD + AUDIO + ICE + AUDIO + UFRAG + "a=ice-pwd:another0000000000000000\r\n",
                "sections 0 and 1 have one a=ice-ufrag and two a=ice-pwd, expected one",
            ),
            (HEAD + AUDIO + f"a=ice-ufrag:{'x' * 257}\r\n", "257 characters, allowed are 4 to 256"),
            (HEAD + AUDIO + "a=ice-pwd:short\r\n", "5 characters, allowed are 22 to 256"),
            (HEAD + AUDIO + "a=ice-pacing:fast\r\n", "'fast', expected 1 to 10 digits"),
            (HEAD.replace("c=", "b=") + AUDIO, "no c= line, here or before the first m= line"),
        ],
    )
    def test_are_refused(self, text: str, expected: str) -> None:
        assert expected in refusal(text)

    def test_a_mere_repetition_is_none(self) -> None:
        assert only(ICE, ICE, "a=mid:0\r\na=mid:0\r\n", RTP, RTP).description is not None

    def test_sections_may_share_credentials(self) -> None:
        assert [one.description is not None for one in told(HEAD + AUDIO + ICE + AUDIO + ICE)] == [True, True]

    def test_too_many_candidates_are_too_long(self) -> None:
        with pytest.raises(DecodeError, match=f"allowed are {MAX_CANDIDATES} candidates") as caught:
            told(HEAD + AUDIO + ICE + RTP * (MAX_CANDIDATES + 1))
        assert caught.value.reason is DecodeReason.TOO_LONG


def test_bundle_groups_are_read_and_other_groups_are_not() -> None:
    lines = "a=group:BUNDLE a b\r\na=group:LS a c\r\na=group:\r\na=group:BUNDLE c\r\n"
    assert bundle_groups(parse_session(HEAD + lines).head) == (("a", "b"), ("c",))
