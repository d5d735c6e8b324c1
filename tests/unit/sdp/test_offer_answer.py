"""Offers and answers between two sides: what each writes, and what each makes of what the other wrote."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.entropy import IceCredentials, Secret
from icepath.errors import DecodeError, InvalidArgument
from icepath.net import Address
from icepath.sdp.lines import RemoteCandidate
from icepath.sdp.offer_answer import make_answer, make_offer, needs_update, read_answer, read_offer
from icepath.sdp.session import Session, parse_session
from icepath.sdp.settling import Negotiated, Usage
from icepath.sdp.writing import LocalStream, SelectedPair, without_stream
from icepath.wire.candidate_line import Candidate, parse_candidate
from icepath.wire.fragment import Description

ALICE = IceCredentials("alic", Secret("alicepassword4567890123"))
BOB = IceCredentials("bobx", Secret("bobspassword34567890123"))
AGAIN = IceCredentials("anew", Secret("anewpassword34567890123"))
HEAD = "v=0\r\no=- 7 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
AUDIO = "m=audio 4000 RTP/AVP 0\r\n"
VIDEO = "m=video 4002 RTP/AVP 31\r\n"
HOST = parse_candidate("1 1 UDP 2130706431 192.168.1.5 5000 typ host")
RTCP = parse_candidate("1 2 UDP 2130706430 192.168.1.5 5001 typ host")
REFLEXIVE = parse_candidate("3 1 UDP 1694498815 203.0.113.7 6000 typ srflx raddr 192.168.1.5 rport 5000")
FAR = parse_candidate("1 1 UDP 2130706431 198.51.100.2 7000 typ host")
FAR_RTCP = parse_candidate("1 2 UDP 2130706430 198.51.100.2 7001 typ host")
ICE_WORDS = ("ice-", "candidate", "remote-candidates", "end-of-candidates")


def described(
    who: IceCredentials, *candidates: Candidate, options: tuple[str, ...] = ("ice2",), pacing: int | None = 5
) -> Description:
    return Description(who.ufrag, who.password, candidates, options, pacing=pacing)


def template(*sections: str, head: str = HEAD) -> Session:
    return parse_session(head + "".join(sections or (AUDIO,)))


OFFER = make_offer(template(), [described(ALICE, HOST, REFLEXIVE)])


def answered(offer: Session, *streams: Description | None, rtcp_mux: bool = True) -> Session:
    sections = tuple(str(section.without("candidate", "mid")) for section in offer.media)
    plain = tuple("".join(line for line in text.splitlines(keepends=True) if line[:2] == "m=") for text in sections)
    return make_answer(read_offer(offer, rtcp_mux=rtcp_mux), template(*plain), streams)


def usages(negotiated: Negotiated) -> list[Usage]:
    return [stream.usage for stream in negotiated.streams]


def ice_lines(session: Session) -> list[str]:
    lines = (line for section in (session.head, *session.media) for line in section.lines)
    return [line for line in lines if line[2:].startswith(ICE_WORDS)]


def old(session: Session) -> Session:
    """Returns the session as a side that knows RFC 5245 only would have written it."""
    return parse_session(str(session).replace("a=ice-options:ice2\r\n", "").replace("a=ice-pacing:5\r\n", ""))


class TestOneStream:
    @pytest.mark.rfc("8839", "4.3.2")
    @pytest.mark.rfc("8839", "4.3.3")
    def test_both_sides_give_their_agents_what_the_other_has(self) -> None:
        offer = read_offer(OFFER)
        assert usages(offer) == [Usage.ICE]
        assert offer.streams[0].remote == described(ALICE, HOST, REFLEXIVE)
        answer = make_answer(offer, template(), [described(BOB, FAR)])
        settled = read_answer(OFFER, answer)
        assert usages(settled) == [Usage.ICE]
        assert settled.streams[0].remote == described(BOB, FAR)
        assert (settled.is_ice2, settled.is_offer, offer.is_offer) == (True, False, True)

    @pytest.mark.rfc("8839", "4.3.2")
    def test_an_offer_without_ice_is_answered_without(self) -> None:
        offer = read_offer(template())
        assert usages(offer) == [Usage.PLAIN]
        answer = make_answer(offer, template(AUDIO + "a=ice-ufrag:left\r\n"), [described(BOB, FAR)])
        assert str(answer) == str(template())

    @pytest.mark.rfc("8839", "4.3.3")
    def test_an_answer_without_ice_ends_it(self) -> None:
        settled = read_answer(OFFER, template())
        assert (usages(settled), settled.uses_ice) == ([Usage.PLAIN], False)

    @pytest.mark.rfc("8839", "4.2.5")
    @pytest.mark.rfc("8839", "5.3")
    def test_a_mismatch_is_answered_by_saying_so_and_nothing_else_of_ice(self) -> None:
        moved = parse_session(str(OFFER).replace("c=IN IP4 203.0.113.7", "c=IN IP4 203.0.113.99"))
        answer = answered(moved, described(BOB, FAR))
        assert ice_lines(answer) == ["a=ice-mismatch\r\n"]
        assert str(answer.media[0]) == "m=audio 6000 RTP/AVP 0\r\na=ice-mismatch\r\n"
        assert usages(read_answer(OFFER, answer)) == [Usage.MISMATCH]
        tolerant = read_offer(moved, tolerate_mismatch=True)
        assert usages(tolerant) == [Usage.ICE]

    @pytest.mark.rfc("8839", "4.4.2")
    def test_an_answer_never_names_remote_candidates(self) -> None:
        selected = (SelectedPair(1, FAR, Address("203.0.113.7", 6000)),)
        stream = LocalStream(described(BOB, FAR), selected, is_controlling=True)
        answer = make_answer(read_offer(OFFER), template(), [stream])
        assert answer.media[0].attribute("remote-candidates") is None
        assert answer.media[0].attributes("candidate") == (str(FAR).removeprefix("candidate:"),)

    def test_a_side_that_knows_rfc_5245_only_is_told_apart(self) -> None:
        offer = read_offer(old(OFFER))
        assert (offer.uses_ice, offer.is_ice2) == (True, False)
        assert "a=ice-options:ice2\r\n" in str(make_answer(offer, template(), [described(BOB, FAR)]))


class TestSeveralStreams:
    offer = make_offer(template(AUDIO, VIDEO), [described(ALICE, HOST), described(ALICE, REFLEXIVE)])

    @pytest.mark.rfc("8839", "4.3.3")
    def test_one_that_the_answerer_finds_a_mismatch_in_goes_without_and_the_other_with(self) -> None:
        moved = parse_session(str(self.offer).replace("m=video 6000", "m=video 6002"))
        answer = answered(moved, described(BOB, FAR), described(BOB, FAR))
        assert usages(read_answer(self.offer, answer)) == [Usage.ICE, Usage.MISMATCH]

    @pytest.mark.rfc("8839", "4.3.3")
    def test_a_mismatch_that_the_offerer_finds_ends_ice_for_all(self) -> None:
        answer = answered(self.offer, described(BOB, FAR), described(BOB, FAR))
        moved = parse_session(str(answer).replace("m=video 7000", "m=video 7002"))
        assert usages(read_answer(self.offer, moved)) == [Usage.PLAIN, Usage.MISMATCH]

    @pytest.mark.rfc("3264", "6")
    def test_a_stream_is_rejected_by_either_side(self) -> None:
        settled = read_offer(self.offer)
        answer = make_answer(settled, template(AUDIO, VIDEO.replace("4002", "0")), [described(BOB, FAR), None])
        assert str(answer.media[1]) == "m=video 0 RTP/AVP 31\r\n"
        assert usages(read_answer(self.offer, answer)) == [Usage.ICE, Usage.REJECTED]
        removed = read_offer(without_stream(self.offer, 0))
        answer = make_answer(removed, template(AUDIO, VIDEO), [described(BOB, FAR), described(BOB, FAR)])
        assert [section.media.port for section in answer.media] == [0, 7000]
        assert answer.media[0].attribute("candidate") is None

    def test_one_without_a_stream_of_ours_goes_without_ice(self) -> None:
        answer = answered(self.offer, described(BOB, FAR), None)
        assert usages(read_answer(self.offer, answer)) == [Usage.ICE, Usage.PLAIN]
        half = make_offer(template(AUDIO, VIDEO), [described(ALICE, HOST), None])
        assert usages(read_offer(half)) == [Usage.ICE, Usage.PLAIN]
        eager = make_offer(template(AUDIO, VIDEO), [described(BOB, FAR), described(BOB, FAR)])
        assert usages(read_answer(half, eager)) == [Usage.ICE, Usage.PLAIN]


class TestMultiplexing:
    both = described(ALICE, HOST, RTCP)
    mux = AUDIO + "a=rtcp-mux\r\n"

    @pytest.mark.rfc("5761", "5.1.1")
    @pytest.mark.parametrize(("is_accepted", "components"), [(True, 1), (False, 2)])
    def test_what_both_accept_holds(self, is_accepted: bool, components: int) -> None:
        offer = make_offer(template(self.mux), [self.both])
        answer = answered(offer, described(BOB, FAR, FAR_RTCP), rtcp_mux=is_accepted)
        assert (answer.media[0].attribute("rtcp-mux") is not None) is is_accepted
        assert len(answer.media[0].attributes("candidate")) == components
        settled = read_answer(offer, answer)
        assert (settled.streams[0].components, settled.streams[0].rtcp_mux) == (components, is_accepted)

    def test_what_was_not_offered_is_not_accepted(self) -> None:
        offer = make_offer(template(), [self.both])
        answer = make_answer(read_offer(offer), template(self.mux), [described(BOB, FAR, FAR_RTCP)])
        assert answer.media[0].attribute("rtcp-mux") is None
        assert read_answer(offer, make_offer(template(self.mux), [described(BOB, FAR)])).streams[0].rtcp_mux is False

    def test_the_selected_pairs_of_components_that_are_agreed_are_told(self) -> None:
        selected = (SelectedPair(1, FAR, HOST.address), SelectedPair(2, FAR_RTCP, RTCP.address))
        offer = read_offer(make_offer(template(self.mux), [self.both]))
        answer = make_answer(offer, template(), [LocalStream(described(BOB, FAR, FAR_RTCP), selected)])
        assert len(answer.media[0].attributes("candidate")) == 1


@pytest.mark.rfc("9143", "7.3")
class TestBundling:
    offer = make_offer(
        template(AUDIO + "a=mid:a\r\n", VIDEO + "a=mid:v\r\n", head=HEAD + "a=group:BUNDLE a v\r\n"),
        [described(ALICE, HOST), None],
    )

    def test_an_answer_that_bundles_shares_the_first_one_s_transport(self) -> None:
        settled = read_offer(self.offer)
        assert usages(settled) == [Usage.ICE, Usage.BUNDLED]
        answer = make_answer(settled, template(AUDIO, VIDEO), [described(BOB, FAR), None])
        assert answer.head.attributes("group") == ("BUNDLE a v",)
        assert str(answer.media[1]) == "m=video 7000 RTP/AVP 31\r\nc=IN IP4 198.51.100.2\r\na=mid:v\r\n"
        result = read_answer(self.offer, answer)
        assert [(one.usage, one.carrier) for one in result.streams] == [(Usage.ICE, 0), (Usage.BUNDLED, 0)]

    def test_one_that_does_not_rejects_what_is_only_ever_bundled(self) -> None:
        settled = read_offer(self.offer, bundle=False)
        assert usages(settled) == [Usage.ICE, Usage.REJECTED]
        answer = make_answer(settled, template(AUDIO, VIDEO), [described(BOB, FAR), None])
        assert answer.head.attributes("group") == ()
        assert usages(read_answer(self.offer, answer)) == [Usage.ICE, Usage.REJECTED]

    def test_a_bundled_one_may_be_rejected_and_other_groups_stay(self) -> None:
        head = HEAD + "a=group:LS a v\r\na=group:BUNDLE x\r\n"
        answer = make_answer(
            read_offer(self.offer),
            template(AUDIO, VIDEO.replace("4002", "0"), head=head),
            [described(BOB, FAR), None],
        )
        assert answer.head.attributes("group") == ("LS a v", "BUNDLE a")
        assert usages(read_answer(self.offer, answer)) == [Usage.ICE, Usage.REJECTED]

    def test_a_later_offer_shares_the_transport_too(self) -> None:
        again = make_offer(self.offer, [described(ALICE, HOST, REFLEXIVE), None], previous=self.offer)
        assert again.media[1].media.port == again.media[0].media.port == 6000

    def test_names_are_known_though_an_answer_lacks_them(self) -> None:
        offer = make_offer(template(AUDIO + "a=mid:a\r\n"), [described(ALICE, HOST)])
        answer = make_offer(template(), [described(BOB, FAR)])
        assert read_answer(offer, answer).streams[0].mid == "a"


class TestLater:
    @pytest.mark.rfc("3264", "8")
    def test_the_version_goes_up_where_anything_changed(self) -> None:
        same = make_offer(template(), [described(ALICE, HOST, REFLEXIVE)], previous=OFFER)
        assert str(same) == str(OFFER)
        more = make_offer(template(head=HEAD.replace("- 7 1", "x 9 9")), [described(ALICE, HOST)], previous=OFFER)
        assert "o=- 7 2 IN IP4 192.0.2.1\r\n" in str(more)
        bare = parse_session(str(OFFER).replace("o=- 7 1 IN IP4 192.0.2.1\r\n", ""))
        assert "o=- 7 2 " in str(make_offer(template(), [described(ALICE, HOST)], previous=bare))

    @pytest.mark.rfc("8839", "4.4.1.1.1")
    @pytest.mark.parametrize("changed", [{"options": ("ice2", "trickle")}, {"pacing": 50}, {"lite": True}])
    def test_only_a_restart_changes_options_pacing_and_lite(self, changed: dict[str, object]) -> None:
        now = replace(described(ALICE, HOST), **changed)  # type: ignore[arg-type] # the values are of their fields' types
        with pytest.raises(InvalidArgument, match="change only in a restart"):
            make_offer(template(), [now], previous=OFFER)
        anew = replace(described(AGAIN, HOST), **changed)  # type: ignore[arg-type] # as above
        assert len(make_offer(template(), [anew], previous=OFFER).media) == 1
        assert len(make_offer(template(), [None], previous=OFFER).media) == 1

    @pytest.mark.rfc("8839", "4.4.2.1")
    def test_an_offer_that_changes_them_is_rejected(self) -> None:
        before = read_offer(OFFER)
        changed = make_offer(template(), [described(ALICE, HOST, options=("ice2", "x"))])
        with pytest.raises(DecodeError, match="a=ice-options changed without a restart"):
            read_offer(changed, previous=before)

    @pytest.mark.rfc("8839", "4.4.2.1")
    def test_a_restart_is_seen_and_answered_anew(self) -> None:
        before = read_offer(OFFER)
        first = make_answer(before, template(), [described(BOB, FAR)])
        offer = read_offer(make_offer(template(), [described(AGAIN, HOST)], previous=OFFER), previous=before)
        assert offer.streams[0].is_restart
        anew = IceCredentials("bob2", Secret("bobsotherpassword567890"))
        answer = make_answer(offer, template(), [described(anew, FAR)], previous=first)
        settled = read_answer(OFFER, answer, previous=read_answer(OFFER, first))
        assert settled.streams[0].is_restart
        assert "o=- 7 2 " in str(answer)

    @pytest.mark.rfc("8839", "4.4.3.1")
    def test_an_answer_without_ice_where_it_was_used_wants_a_restart(self) -> None:
        before = read_answer(OFFER, answered(OFFER, described(BOB, FAR)))
        after = read_answer(OFFER, template(), previous=before)
        assert (usages(after), after.must_restart) == ([Usage.PLAIN], True)

    @pytest.mark.rfc("8839", "4.4.1.2.2")
    def test_the_offer_after_completion_names_both_candidates(self) -> None:
        stream = LocalStream(
            described(ALICE, HOST, REFLEXIVE), (SelectedPair(1, HOST, FAR.address),), is_controlling=True
        )
        updated = make_offer(template(), [stream], previous=OFFER)
        seen = read_offer(updated, previous=read_offer(OFFER))
        assert seen.streams[0].remote_candidates == (RemoteCandidate(1, FAR.address),)
        assert (seen.streams[0].is_restart, seen.claims_control) == (False, True)
        assert (updated.media[0].media.port, updated.media[0].values("c")) == (5000, ("IN IP4 192.168.1.5",))


@pytest.mark.rfc("8839", "4.3.4")
class TestUpdates:
    both = described(ALICE, HOST, REFLEXIVE)
    settled = read_answer(OFFER, answered(OFFER, described(BOB, FAR)))
    to_old = read_answer(OFFER, old(answered(OFFER, described(BOB, FAR))))
    elsewhere = LocalStream(both, (SelectedPair(1, HOST, FAR.address),), is_controlling=True)
    default = LocalStream(both, (SelectedPair(1, REFLEXIVE, FAR.address),), is_controlling=True)

    def test_is_needed_by_a_side_that_knows_rfc_5245_only_when_the_path_is_another(self) -> None:
        assert needs_update(OFFER, self.to_old, [self.elsewhere])
        assert not needs_update(OFFER, self.to_old, [self.default])
        assert not needs_update(OFFER, self.settled, [self.elsewhere])

    def test_is_the_controlling_side_s_once_it_has_completed(self) -> None:
        assert not needs_update(OFFER, self.to_old, [replace(self.elsewhere, is_controlling=False)])
        assert not needs_update(OFFER, self.to_old, [replace(self.elsewhere, selected=())])
        assert not needs_update(template(), self.to_old, [self.elsewhere])

    def test_is_needed_for_a_component_that_was_not_told_of(self) -> None:
        over = make_offer(template("m=application 1 UDP/BFCP *\r\n"), [described(ALICE, HOST, RTCP)])
        selected = (SelectedPair(1, HOST, FAR.address), SelectedPair(2, RTCP, FAR_RTCP.address))
        assert needs_update(over, self.to_old, [replace(self.default, selected=selected)])


class TestRefusals:
    def test_an_answer_has_as_many_sections_as_the_offer(self) -> None:
        with pytest.raises(DecodeError, match="answer has 2 m= sections, expected 1 as in the offer"):
            read_answer(OFFER, template(AUDIO, VIDEO))

    @pytest.mark.rfc("8839", "4.3.2")
    def test_an_answer_keeps_the_transport(self) -> None:
        over = template(AUDIO.replace("RTP/AVP", "TCP/RTP/AVP"))
        with pytest.raises(DecodeError, match="protocol of section 0 is 'TCP/RTP/AVP', expected 'RTP/AVP'"):
            read_answer(OFFER, over)
        rejected = template(AUDIO.replace("RTP/AVP", "TCP/RTP/AVP").replace("4000", "0"))
        assert usages(read_answer(OFFER, rejected)) == [Usage.REJECTED]

    @pytest.mark.parametrize(
        ("sections", "streams"), [((AUDIO, VIDEO), [None]), ((AUDIO, VIDEO), [None, None]), ((AUDIO,), [])]
    )
    def test_what_is_answered_must_fit_the_offer(self, sections: tuple[str, ...], streams: list[None]) -> None:
        with pytest.raises(InvalidArgument, match="expected 1 as in the offer"):
            make_answer(read_offer(OFFER), template(*sections), streams)
