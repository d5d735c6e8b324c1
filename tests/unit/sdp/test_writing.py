"""Descriptions in session descriptions: where each line goes, which destination is the default, what is refused."""

from __future__ import annotations

import pytest

from icepath.entropy import IceCredentials, Secret
from icepath.errors import InvalidArgument
from icepath.ice.config import Role
from icepath.ice.events import AgentSnapshot, PairSnapshot, State
from icepath.ice.pair import PairState
from icepath.machine import Transport
from icepath.net import Address
from icepath.sdp.session import Session, parse_session
from icepath.sdp.writing import LocalStream, SelectedPair, default_candidates, local_streams, with_ice, without_stream
from icepath.wire.candidate_line import Candidate, parse_candidate
from icepath.wire.fragment import Description

CREDENTIALS = IceCredentials("8hhY", Secret("asd88fgpdd777uzjYhagZg"))
HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
AUDIO = "m=audio 1 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
VIDEO = "m=video 2 RTP/AVP 31\r\n"
HOST = parse_candidate("1 1 UDP 2130706431 192.168.1.5 5000 typ host ufrag 8hhY")
HOST_RTCP = parse_candidate("1 2 UDP 2130706430 192.168.1.5 5001 typ host")
HOST_V6 = parse_candidate("2 1 UDP 2130706175 2001:db8::5 5000 typ host")
REFLEXIVE = parse_candidate("3 1 UDP 1694498815 203.0.113.7 6000 typ srflx raddr 192.168.1.5 rport 5000")
REFLEXIVE_RTCP = parse_candidate("3 2 UDP 1694498814 203.0.113.7 6100 typ srflx raddr 192.168.1.5 rport 5001")
RELAYED = parse_candidate("4 1 UDP 16777215 198.51.100.9 7000 typ relay raddr 203.0.113.7 rport 6000")
NAME = parse_candidate("5 1 UDP 2130706431 0b2a.local 5000 typ host")
NAME_RTCP = parse_candidate("5 2 UDP 2130706430 0b2a.local 5001 typ host")
TCP = parse_candidate("6 1 TCP 2105458943 192.168.1.5 5005 typ host tcptype passive")


def described(
    *candidates: Candidate,
    credentials: IceCredentials = CREDENTIALS,
    options: tuple[str, ...] = ("ice2",),
    end: bool = False,
    pacing: int | None = 5,
    lite: bool = False,
    mid: str | None = None,
) -> Description:
    return Description(credentials.ufrag, credentials.password, candidates, options, end, pacing, lite, mid)


def written(*streams: LocalStream | Description | None, text: str = HEAD + AUDIO, **how: bool) -> Session:
    return with_ice(parse_session(text), streams, **how)


def only(stream: LocalStream | Description, text: str = AUDIO, **how: bool) -> str:
    return str(written(stream, text=HEAD + text, **how).media[0])


class TestLines:
    @pytest.mark.rfc("8839", "4.2.1.3")
    @pytest.mark.rfc("8839", "4.3.1")
    def test_credentials_and_candidates_go_into_the_section_and_the_rest_before(self) -> None:
        session = written(described(HOST, HOST_RTCP))
        assert str(session.head) == HEAD + "a=ice-options:ice2\r\na=ice-pacing:5\r\n"
        assert str(session.media[0]) == (
            "m=audio 5000 RTP/AVP 0\r\nc=IN IP4 192.168.1.5\r\na=rtpmap:0 PCMU/8000\r\n"
            "a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\n"
            "a=candidate:1 1 UDP 2130706431 192.168.1.5 5000 typ host\r\n"
            "a=candidate:1 2 UDP 2130706430 192.168.1.5 5001 typ host\r\n"
        )

    @pytest.mark.rfc("8839", "5.4")
    def test_one_agent_s_credentials_may_stand_before_the_first_section(self) -> None:
        session = written(described(HOST), described(HOST_V6), text=HEAD + AUDIO + VIDEO, session_level=True)
        assert session.head.attribute("ice-ufrag") == "8hhY"
        assert session.head.attribute("ice-pwd") == "asd88fgpdd777uzjYhagZg"
        assert [section.attribute("ice-pwd") for section in session.media] == [None, None]

    def test_those_of_several_agents_may_not(self) -> None:
        other = described(HOST_V6, credentials=IceCredentials("othr", Secret("x" * 22)))
        session = written(described(HOST), other, text=HEAD + AUDIO + VIDEO, session_level=True)
        assert session.head.attribute("ice-ufrag") is None
        assert [section.attribute("ice-ufrag") for section in session.media] == ["8hhY", "othr"]

    @pytest.mark.rfc("8839", "4.2.1.4")
    @pytest.mark.rfc("8839", "4.3.1")
    def test_a_lite_agent_says_so_and_proposes_no_pacing(self) -> None:
        head = written(described(HOST, lite=True)).head
        assert (head.attribute("ice-lite"), head.attribute("ice-pacing")) == ("", None)
        assert written(described(HOST)).head.attribute("ice-lite") is None

    @pytest.mark.rfc("8839", "4.2.1.5")
    @pytest.mark.parametrize(
        ("options", "line"),
        [(("trickle", "ice2"), "trickle ice2"), (("trickle",), "ice2 trickle"), ((), "ice2")],
    )
    def test_ice2_is_always_among_the_options(self, options: tuple[str, ...], line: str) -> None:
        assert written(described(HOST, options=options)).head.attribute("ice-options") == line

    def test_options_that_differ_stand_in_the_sections(self) -> None:
        text = HEAD + AUDIO + VIDEO + "m=text 3 RTP/AVP 98\r\n"
        session = written(described(HOST), described(options=("ice2", "x")), None, text=text)
        assert session.head.attribute("ice-options") is None
        assert [section.attribute("ice-options") for section in session.media] == ["ice2", "ice2 x", None]

    def test_the_highest_pacing_is_proposed_and_none_where_none_is_told(self) -> None:
        session = written(described(pacing=5), described(pacing=20), text=HEAD + AUDIO + VIDEO)
        assert session.head.attribute("ice-pacing") == "20"
        assert written(described(pacing=None)).head.attribute("ice-pacing") is None

    @pytest.mark.rfc("8840", "8.2")
    def test_the_end_of_candidates_stands_behind_them(self) -> None:
        assert only(described(HOST, end=True)).endswith("typ host\r\na=end-of-candidates\r\n")

    def test_lines_of_an_earlier_round_are_replaced(self) -> None:
        once = written(described(HOST, HOST_RTCP, REFLEXIVE, end=True, lite=True))
        assert with_ice(once, [described(HOST)]) == written(described(HOST))

    def test_without_a_stream_no_line_of_ice_is_left_and_all_others_are(self) -> None:
        text = HEAD + AUDIO + "a=rtcp:7\r\n"
        noisy = text.replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n") + "a=ice-ufrag:abcd\r\na=candidate:x\r\n"
        assert str(written(None, text=noisy)) == text

    @pytest.mark.rfc("8840", "4.1.1")
    def test_with_trickling_each_section_has_a_mid(self) -> None:
        trickling = described(HOST, options=("trickle", "ice2"))
        session = written(trickling, trickling, text=HEAD + AUDIO + VIDEO + "a=mid:1\r\n")
        assert [section.attribute("mid") for section in session.media] == ["2", "1"]
        assert "a=mid" not in only(described(HOST))
        assert "a=mid:audio\r\n" in only(described(HOST, mid="audio"))


class TestDefaultDestination:
    @pytest.mark.rfc("8839", "4.2.1.2")
    @pytest.mark.parametrize(
        ("candidates", "port", "connection", "rtcp"),
        [
            ((HOST, REFLEXIVE, RELAYED), 7000, "IN IP4 198.51.100.9", None),
            ((HOST, REFLEXIVE), 6000, "IN IP4 203.0.113.7", None),
            ((HOST_V6, HOST), 5000, "IN IP4 192.168.1.5", None),
            ((HOST_V6, NAME), 5000, "IN IP6 2001:db8::5", None),
            ((HOST, HOST_RTCP), 5000, "IN IP4 192.168.1.5", None),
            ((HOST, HOST_RTCP, REFLEXIVE, REFLEXIVE_RTCP), 6000, "IN IP4 203.0.113.7", "6100"),
            ((RELAYED, HOST_RTCP), 7000, "IN IP4 198.51.100.9", "5001 IN IP4 192.168.1.5"),
            ((HOST, NAME_RTCP), 5000, "IN IP4 192.168.1.5", "9 IN IP4 0.0.0.0"),
            ((RELAYED, HOST_RTCP, REFLEXIVE_RTCP), 7000, "IN IP4 198.51.100.9", "6100 IN IP4 203.0.113.7"),
        ],
    )
    def test_is_the_most_reachable_candidate(
        self, candidates: tuple[Candidate, ...], port: int, connection: str, rtcp: str | None
    ) -> None:
        section = written(described(*candidates)).media[0]
        assert section.media.port == port
        assert section.values("c") == (connection,)
        assert section.attribute("rtcp") == rtcp

    def test_the_family_is_the_callers_choice(self) -> None:
        section = written(described(HOST, HOST_V6), prefer_ipv6=True).media[0]
        assert section.values("c") == ("IN IP6 2001:db8::5",)
        assert default_candidates([HOST, HOST_V6], Transport.UDP) == {1: HOST}

    @pytest.mark.rfc("8840", "4.1.1")
    @pytest.mark.rfc("8839", "4.3.1")
    def test_with_no_candidate_yet_it_is_none_and_rtcp_is_not_told(self) -> None:
        section = written(described(), text=HEAD + AUDIO + "a=rtcp:5001\r\n").media[0]
        assert (section.media.port, section.values("c"), section.attribute("rtcp")) == (9, ("IN IP4 0.0.0.0",), None)
        section = written(described(), prefer_ipv6=True).media[0]
        assert section.values("c") == ("IN IP6 ::",)

    @pytest.mark.rfc("8839", "4.3.2")
    def test_a_candidate_of_another_transport_is_none(self) -> None:
        over_tcp = AUDIO.replace("RTP/AVP", "TCP/RTP/AVP")
        assert "m=audio 9 TCP/RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n" in only(described(HOST), over_tcp)
        assert "m=audio 5005 TCP/RTP/AVP 0\r\n" in only(described(HOST, TCP), over_tcp)
        assert "m=audio 9 RTP/AVP 0\r\n" in only(described(TCP))

    def test_what_is_not_rtp_has_no_rtcp(self) -> None:
        text = "m=application 1 UDP/BFCP *\r\n"
        assert "a=rtcp" not in only(described(HOST, HOST_RTCP, REFLEXIVE, REFLEXIVE_RTCP), text)


@pytest.mark.rfc("8839", "4.4.1.2.2")
class TestAfterNomination:
    selected = (
        SelectedPair(1, HOST, Address("198.51.100.3", 9000)),
        SelectedPair(2, REFLEXIVE_RTCP, Address("::1", 1)),
    )

    def test_only_the_selected_pairs_candidates_are_told_and_are_the_default(self) -> None:
        stream = LocalStream(described(HOST, HOST_RTCP, REFLEXIVE, REFLEXIVE_RTCP, RELAYED), self.selected)
        section = written(stream).media[0]
        assert section.media.port == 5000
        assert section.values("c") == ("IN IP4 192.168.1.5",)
        assert section.attribute("rtcp") == "6100 IN IP4 203.0.113.7"
        assert [line[:3] for line in section.attributes("candidate")] == ["1 1", "3 2"]
        assert section.attribute("remote-candidates") is None

    @pytest.mark.rfc("8839", "5.2")
    def test_a_controlling_side_names_the_others_candidates_too(self) -> None:
        stream = LocalStream(described(HOST), self.selected, is_controlling=True)
        assert written(stream).media[0].attribute("remote-candidates") == "1 198.51.100.3 9000 2 ::1 1"
        stream = LocalStream(described(HOST), is_controlling=True)
        assert written(stream).media[0].attribute("remote-candidates") is None


class TestBundles:
    text = HEAD + "a=group:BUNDLE 0 1 9\r\n" + AUDIO + "a=mid:0\r\n" + VIDEO + "a=mid:1\r\na=rtcp:3\r\n"

    @pytest.mark.rfc("9143", "7.2")
    def test_a_section_without_a_stream_is_bundle_only_in_a_first_offer(self) -> None:
        session = written(described(HOST), None, text=self.text)
        assert str(session.media[1]) == "m=video 0 RTP/AVP 31\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=bundle-only\r\n"

    @pytest.mark.rfc("9143", "7.3")
    def test_later_it_tells_where_its_data_goes(self) -> None:
        once = written(described(HOST), None, text=self.text)
        session = with_ice(once, [described(HOST), None], shares_bundle=True)
        assert str(session.media[1]) == "m=video 5000 RTP/AVP 31\r\nc=IN IP4 192.168.1.5\r\na=mid:1\r\n"

    def test_with_a_stream_of_its_own_it_is_like_others(self) -> None:
        session = written(described(HOST), described(HOST_V6), text=self.text)
        assert session.media[1].media.port == 5000

    def test_a_rejected_one_stays_rejected_and_a_group_without_streams_is_left_alone(self) -> None:
        text = self.text.replace("m=video 2", "m=video 0")
        session = written(described(HOST), None, text=text)
        assert str(session.media[1]) == "m=video 0 RTP/AVP 31\r\na=mid:1\r\na=rtcp:3\r\n"
        assert str(written(None, None, text=text)) == text


class TestRemoving:
    @pytest.mark.rfc("8839", "4.4.1.1.2")
    @pytest.mark.rfc("8839", "4.2.1.6")
    def test_port_0_and_nothing_of_ice(self) -> None:
        session = without_stream(written(described(HOST, HOST_RTCP)), 0)
        assert str(session.media[0]) == "m=audio 0 RTP/AVP 0\r\nc=IN IP4 192.168.1.5\r\na=rtpmap:0 PCMU/8000\r\n"

    @pytest.mark.rfc("8839", "4.2.1.6")
    def test_an_inactive_one_keeps_its_ice_lines(self) -> None:
        section = only(described(HOST), AUDIO.replace("a=rtpmap", "b=AS:0\r\na=inactive\r\na=rtpmap"))
        assert "a=inactive\r\n" in section
        assert "a=candidate:1" in section


class TestRefusals:
    @pytest.mark.parametrize(
        ("streams", "expected"),
        [
            ([], "0 streams for 2 m= sections"),
            (
                [described(credentials=IceCredentials("x" * 33, Secret("x" * 22))), None],
                "ufrag has 33 characters, allowed are 32",
            ),
            (
                [described(), described(credentials=IceCredentials("8hhY", Secret("x" * 22)))],
                "stream 1 has the ufrag of another and another password",
            ),
            ([described(), described(lite=True)], "some streams are of a lite agent"),
            (
                [LocalStream(described(), (SelectedPair(2, HOST_RTCP, Address("::1", 1)),)), None],
                r"selected pairs are of components \[2\]",
            ),
        ],
    )
    @pytest.mark.rfc("8839", "5.4")
    def test_what_does_not_fit(self, streams: list[LocalStream | Description | None], expected: str) -> None:
        with pytest.raises(InvalidArgument, match=expected):
            written(*streams, text=HEAD + AUDIO + VIDEO)


class TestFromAnAgent:
    @pytest.mark.parametrize(("state", "is_told"), [(State.COMPLETED, True), (State.CONNECTED, False)])
    def test_selected_pairs_are_told_once_it_has_completed(self, state: State, is_told: bool) -> None:
        pairs = (
            pair(1, 2, HOST_RTCP),
            pair(1, 1, HOST),
            pair(1, 1, RELAYED, is_selected=False),
            pair(1, 1, RELAYED, is_nominated=False),
            pair(2, 1, HOST_V6),
        )
        snapshot = AgentSnapshot(Role.CONTROLLING, state, None, (described(), described()), (None,), pairs, 0, 0, 0, 0)
        first, second = local_streams(snapshot)
        assert first.is_controlling
        remote = Address("198.51.100.3", 9000)
        expected = (
            (SelectedPair(1, HOST, remote), SelectedPair(2, HOST_RTCP, remote)),
            (SelectedPair(1, HOST_V6, remote),),
        )
        assert (first.selected, second.selected) == (expected if is_told else ((), ()))


def pair(
    stream: int, component: int, local: Candidate, *, is_selected: bool = True, is_nominated: bool = True
) -> PairSnapshot:
    remote = Address("198.51.100.3", 9000)
    return PairSnapshot(
        stream, component, local, RELAYED, Address(local.host, local.port), remote, PairState.SUCCEEDED, 1,
        True, is_nominated, is_selected, None, 0.0, 0, 0, 0, 0, 0, None,
    )  # fmt: skip
