"""What one offer or answer settles: usage, carriers, restarts, what a side may change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.errors import DecodeError
from icepath.net import Address
from icepath.sdp.lines import Destination
from icepath.sdp.session import Session, parse_session
from icepath.sdp.settling import (
    Negotiated,
    Stream,
    Usage,
    accepted_groups,
    carriers_of,
    check_change,
    negotiate,
    plain,
    settle,
)
from icepath.sdp.streams import read_streams

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
ICE = "a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\na=ice-options:ice2 trickle\r\n"
NEW = ICE.replace("8hhY", "9uB6").replace("asd88", "xyz99")
AUDIO = "m=audio 5000 RTP/AVP 0\r\n"
RTP = "a=candidate:1 1 UDP 2130706431 192.0.2.1 5000 typ host\r\n"
RTCP = "a=candidate:1 2 UDP 2130706430 192.0.2.1 5001 typ host\r\n"
MUX = "a=rtcp-mux\r\n"


def session(*sections: str, head: str = "") -> Session:
    return parse_session(HEAD + head + "".join(sections))


def settled(*lines: str, rtcp_mux: bool = False, tolerate: bool = False) -> Stream:
    (told,) = read_streams(session(AUDIO + "".join(lines)))
    return settle(told, {}, rtcp_mux=rtcp_mux, tolerate_mismatch=tolerate)


def whole(text: Session, previous: Negotiated | None = None, *, is_offer: bool = True) -> Negotiated:
    told = read_streams(text)
    return negotiate(text, [settle(one, {}, rtcp_mux=False) for one in told], previous, is_offer=is_offer)


class TestUsage:
    @pytest.mark.rfc("8839", "4.2.5")
    @pytest.mark.parametrize(
        ("lines", "usage"),
        [
            ([ICE, RTP], Usage.ICE),
            ([ICE, RTP, RTCP], Usage.ICE),
            ([ICE, RTP.replace("5000", "5002")], Usage.MISMATCH),
            ([ICE, RTP, RTCP.replace("5001", "5002")], Usage.MISMATCH),
            ([ICE, RTP, RTCP.replace("5001", "5002"), MUX], Usage.ICE),
            ([ICE, "c=IN IP4 0.0.0.0\r\n"], Usage.ICE),
            ([ICE, "a=ice-mismatch\r\n"], Usage.MISMATCH),
            ([RTP], Usage.PLAIN),
        ],
    )
    def test_follows_from_what_is_told(self, lines: list[str], usage: Usage) -> None:
        stream = settled(*lines)
        assert stream.usage is usage
        assert (stream.remote is not None) is (usage is Usage.ICE)

    def test_a_mismatch_may_be_tolerated_but_not_one_that_the_other_side_found(self) -> None:
        moved = RTP.replace("5000", "5002")
        assert settled(ICE, moved, tolerate=True).usage is Usage.ICE
        assert settled(ICE, "a=ice-mismatch\r\n", tolerate=True).usage is Usage.MISMATCH

    @pytest.mark.rfc("8839", "4.4.1.1.1")
    def test_hold_of_the_old_kind_is_no_mismatch(self) -> None:
        assert settled("c=IN IP4 0.0.0.0\r\n", ICE, RTP).usage is Usage.ICE

    @pytest.mark.rfc("3264", "6")
    def test_port_0_rejects(self) -> None:
        rejected, alone, bundled = read_streams(
            session(
                "m=audio 0 RTP/AVP 0\r\n",
                "m=audio 0 RTP/AVP 0\r\na=bundle-only\r\na=mid:1\r\n",
                "m=audio 0 RTP/AVP 0\r\na=bundle-only\r\na=mid:2\r\n",
            )
        )
        assert settle(rejected, {}, rtcp_mux=False).usage is Usage.REJECTED
        assert settle(alone, {}, rtcp_mux=False).usage is Usage.REJECTED
        stream = settle(bundled, {2: 0}, rtcp_mux=False)
        assert (stream.usage, stream.carrier, stream.remote) == (Usage.BUNDLED, 0, None)


class TestComponents:
    @pytest.mark.rfc("5761", "5.1.1")
    def test_with_multiplexing_there_is_one_and_only_its_candidates(self) -> None:
        stream = settled(ICE, RTP, RTCP, MUX, rtcp_mux=True)
        assert (stream.components, stream.rtcp_mux, stream.destinations) == (1, True, (Destination("192.0.2.1", 5000),))
        assert stream.remote is not None
        assert [one.component for one in stream.remote.candidates] == [1]

    def test_without_it_there_are_two(self) -> None:
        stream = settled(ICE, RTP, RTCP)
        assert (stream.components, len(stream.destinations)) == (2, 2)


class TestPlain:
    def test_ends_ice_and_leaves_others_alone(self) -> None:
        stream = settled(ICE, RTP, "a=remote-candidates:1 192.0.2.9 9\r\n")
        assert stream.remote_candidates[0].address == Address("192.0.2.9", 9)
        ended = plain(stream)
        assert (ended.usage, ended.remote, ended.remote_candidates) == (Usage.PLAIN, None, ())
        rejected = replace(stream, usage=Usage.REJECTED)
        assert plain(rejected) is rejected


@pytest.mark.rfc("9143", "7.3")
class TestBundles:
    text = session(
        AUDIO + "a=mid:a\r\n",
        "m=video 0 RTP/AVP 31\r\na=mid:b\r\n",
        "m=video 0 RTP/AVP 31\r\na=bundle-only\r\na=mid:c\r\n",
        AUDIO + "a=mid:d\r\n",
        head="a=group:BUNDLE a b c d\r\n",
    )

    @pytest.mark.parametrize(
        ("group", "carriers"),
        [
            (["a", "b", "c"], {0: 0, 2: 0}),
            (["b", "c", "d", "a"], {2: 3, 3: 3, 0: 3}),
            (["c", "b"], {}),
            (["unknown", "d"], {3: 3}),
        ],
    )
    def test_the_first_that_is_not_rejected_carries_the_others(
        self, group: list[str], carriers: dict[int, int]
    ) -> None:
        assert carriers_of(read_streams(self.text), [group]) == carriers

    def test_an_answer_bundles_only_what_was_offered_together(self) -> None:
        offer = session(head="a=group:BUNDLE a b c\r\na=group:BUNDLE d e\r\n")
        answer = session(head="a=group:BUNDLE b a x d\r\na=group:BUNDLE y\r\n")
        assert accepted_groups(offer, answer) == [["b", "a"], []]


class TestNegotiated:
    def test_says_what_the_other_side_can_do(self) -> None:
        assert (whole(session(AUDIO + ICE + RTP)).is_ice2, whole(session(AUDIO + ICE + RTP)).trickles) == (True, True)
        old = whole(session(AUDIO + ICE.replace("ice2 trickle", "x") + RTP, head="a=ice-lite\r\n"))
        assert (old.is_ice2, old.trickles, old.is_lite, old.uses_ice) == (False, False, True, True)
        assert not whole(session(AUDIO + ICE + RTP)).is_lite

    @pytest.mark.rfc("8839", "4.4.2.2")
    def test_an_offer_that_names_remote_candidates_claims_control(self) -> None:
        concluded = session(AUDIO + ICE + RTP + "a=remote-candidates:1 192.0.2.9 9\r\n")
        assert whole(concluded).claims_control
        assert not whole(concluded, is_offer=False).claims_control
        assert not whole(session(AUDIO + ICE + RTP)).claims_control

    @pytest.mark.rfc("8839", "4.4.3.1")
    def test_ice_that_ends_must_be_restarted_by_the_next_offer(self) -> None:
        before = whole(session(AUDIO + ICE + RTP))
        assert whole(session(AUDIO), before, is_offer=False).must_restart
        assert not whole(session(AUDIO + ICE + RTP), before, is_offer=False).must_restart
        assert not whole(session("m=audio 0 RTP/AVP 0\r\n"), before, is_offer=False).must_restart
        assert not whole(session(AUDIO), whole(session(AUDIO))).must_restart
        assert not whole(session(AUDIO)).must_restart


@pytest.mark.rfc("8839", "4.4.1.1.1")
class TestRestart:
    before = whole(session(AUDIO + ICE + RTP))

    def test_both_changed(self) -> None:
        assert whole(session(AUDIO + NEW + RTP), self.before).streams[0].is_restart
        assert not whole(session(AUDIO + ICE + RTP), self.before).streams[0].is_restart

    def test_the_same_at_another_level_is_none(self) -> None:
        assert not whole(session(AUDIO + RTP, head=ICE), self.before).streams[0].is_restart

    def test_neither_is_hold_nor_another_default_destination(self) -> None:
        hold = session(AUDIO + "c=IN IP4 0.0.0.0\r\na=inactive\r\n" + ICE + RTP)
        assert not whole(hold, self.before).streams[0].is_restart

    def test_a_stream_that_is_new_or_had_no_ice_does_not_restart(self) -> None:
        added = whole(session(AUDIO + ICE + RTP, AUDIO + NEW + RTP), self.before)
        assert [stream.is_restart for stream in added.streams] == [False, False]
        begun = whole(session(AUDIO + ICE + RTP), whole(session(AUDIO)))
        assert not begun.streams[0].is_restart
        ended = whole(session(AUDIO), self.before)
        assert not ended.streams[0].is_restart

    @pytest.mark.parametrize(
        ("half", "expected"),
        [
            (ICE.replace("8hhY", "9uB6"), "section 0: a=ice-ufrag changed, a=ice-pwd did not"),
            (ICE.replace("asd88", "xyz99"), "section 0: a=ice-pwd changed, a=ice-ufrag did not"),
        ],
    )
    def test_half_a_change_is_refused(self, half: str, expected: str) -> None:
        with pytest.raises(DecodeError, match=expected):
            whole(session(AUDIO + half + RTP), self.before)


@pytest.mark.rfc("8839", "4.4.2.1")
class TestChanges:
    head = "a=ice-pacing:20\r\n"

    def check(self, before: str, after: str, *, head: str = head) -> None:
        text = session(AUDIO + after + RTP, head=head)
        check_change(whole(session(AUDIO + before + RTP, head=self.head)), text, whole(text).streams)

    @pytest.mark.parametrize(
        ("after", "head", "name"),
        [
            (ICE.replace("trickle", "x"), head, "ice-options"),
            (ICE, "a=ice-pacing:50\r\n", "ice-pacing"),
            (ICE, "", "ice-pacing"),
            (ICE, head + "a=ice-lite\r\n", "ice-lite"),
        ],
    )
    def test_without_a_restart_are_refused(self, after: str, head: str, name: str) -> None:
        with pytest.raises(DecodeError, match=f"section 0: a={name} changed without a restart"):
            self.check(ICE, after, head=head)

    def test_another_order_of_options_is_none(self) -> None:
        self.check(ICE, ICE.replace("ice2 trickle", "trickle ice2"))

    def test_in_a_restart_they_are_allowed(self) -> None:
        self.check(ICE, NEW.replace("trickle", "x"), head="a=ice-lite\r\n")

    def test_a_side_that_knows_rfc_5245_only_never_promised_it(self) -> None:
        old = ICE.replace("ice2 trickle", "x")
        self.check(old, ICE)

    def test_streams_without_ice_are_passed_over(self) -> None:
        before = whole(session(AUDIO + ICE + RTP, AUDIO))
        after = session(AUDIO, AUDIO + NEW + RTP)
        check_change(before, after, whole(after).streams)
