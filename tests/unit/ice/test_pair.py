from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.ice.candidate import LocalCandidate, pair_priority
from icepath.ice.pair import CandidatePair, PairCounts, PairKey, PairState, is_ipv6_link_local, may_pair
from icepath.machine import Transport
from icepath.net import Address, TcpAddress
from icepath.wire.candidate_line import CandidateType, TcpType
from unit.ice.builders import HOST, MAPPED, REMOTE, candidate, local_candidate, loose_pair
from unit.ice.tcp_table import tcp_candidate


class TestCandidatePair:
    @pytest.mark.rfc("8445", "6.1.2.6")
    def test_begins_frozen_and_neither_valid_nor_nominated(self) -> None:
        pair = loose_pair(1)
        assert pair.state is PairState.FROZEN
        assert not pair.is_valid
        assert not pair.is_nominated
        assert not pair.is_known_remote()
        assert not pair.may_send_data(0.0)

    @pytest.mark.rfc("8445", "6.1.2.4")
    def test_sends_from_the_base_of_its_local_candidate(self) -> None:
        local = local_candidate(MAPPED, CandidateType.SERVER_REFLEXIVE, base=HOST)
        pair = CandidatePair(1, local, candidate(), REMOTE, stream=1, generation=0, is_controlling=True)
        assert pair.key == PairKey(HOST, REMOTE)

    @pytest.mark.rfc("8445", "6.1.2.6")
    def test_its_foundation_is_that_of_both_candidates(self) -> None:
        local, remote = local_candidate(foundation="a"), candidate(foundation="b")
        pair = CandidatePair(1, local, remote, REMOTE, stream=1, generation=0, is_controlling=True)
        assert pair.foundation == ("a", "b")

    @pytest.mark.rfc("8445", "6.1.2.3")
    def test_its_priority_depends_on_the_role(self) -> None:
        local, remote = local_candidate(priority=9), candidate(priority=4)
        pair = CandidatePair(1, local, remote, REMOTE, stream=1, generation=0, is_controlling=True)
        assert pair.priority == pair_priority(9, 4)
        pair.reprioritize(False)
        assert pair.priority == pair_priority(4, 9)
        assert pair.priority != pair_priority(9, 4)

    @pytest.mark.rfc("8445", "7.2.5.3.2")
    def test_a_valid_pair_reports_and_is_ranked_by_the_candidate_that_the_answer_showed(self) -> None:
        pair, other = loose_pair(1, priority=50), loose_pair(2, priority=40)
        assert pair.reported_local is pair.local
        assert pair.valid_priority > other.valid_priority
        pair.valid = local_candidate(MAPPED, CandidateType.PEER_REFLEXIVE, base=pair.local.base, priority=30)
        assert pair.is_valid
        assert pair.reported_local is pair.valid
        assert pair.valid_priority < other.valid_priority

    @pytest.mark.rfc("8445", "6.1.2.3")
    @pytest.mark.parametrize("is_controlling", [True, False])
    def test_of_two_crossed_pairs_both_sides_rank_the_same_one_first(self, is_controlling: bool) -> None:
        """The last bit of the formula decides: the controlling agent's better candidate counts."""
        pairs = [
            CandidatePair(
                number,
                local_candidate(priority=local),
                candidate(priority=remote),
                REMOTE,
                stream=1,
                generation=0,
                is_controlling=is_controlling,
            )
            for number, (local, remote) in enumerate([(9, 4), (4, 9)], 1)
        ]
        best = max(pairs, key=lambda pair: pair.valid_priority)
        assert (best.local.candidate.priority, best.remote.priority) == ((9, 4) if is_controlling else (4, 9))

    def test_of_equally_good_valid_pairs_the_earlier_one_comes_first(self) -> None:
        assert loose_pair(1).valid_priority > loose_pair(2).valid_priority

    @pytest.mark.rfc("7675", "5.1")
    def test_may_send_data_only_when_valid_and_while_consent_lasts(self) -> None:
        pair = loose_pair(1)
        pair.consent_until = 30.0
        assert not pair.may_send_data(0.0)
        pair.valid = pair.local
        assert pair.may_send_data(29.999)
        assert not pair.may_send_data(30.0)
        pair.consent_until = None
        assert not pair.may_send_data(0.0)

    def test_the_remote_is_known_by_a_request_or_an_answer(self) -> None:
        asked, answered = loose_pair(1), loose_pair(2)
        asked.counts.requests_received = 1
        answered.valid = answered.local
        assert asked.is_known_remote()
        assert answered.is_known_remote()

    def test_its_repr_says_from_where_to_where_and_how_far(self) -> None:
        assert repr(loose_pair(7)) == "CandidatePair(192.0.2.1:7 -> 198.51.100.7:7, FROZEN)"


class TestMayPair:
    @pytest.mark.rfc("8445", "6.1.2.2")
    @pytest.mark.parametrize(
        ("local", "remote", "expected"),
        [
            ("192.0.2.1", "198.51.100.7", True),
            ("2001:db8::1", "2001:db8::2", True),
            ("192.0.2.1", "2001:db8::2", False),
            ("2001:db8::1", "198.51.100.7", False),
            ("fe80::1", "fe80::2", True),
            ("fe80::1", "2001:db8::2", False),
            ("2001:db8::1", "febf::2", False),
            ("127.0.0.1", "127.0.0.1", True),
            ("127.0.0.1", "198.51.100.7", False),
            ("192.0.2.1", "127.0.0.1", False),
            ("::1", "2001:db8::2", False),
        ],
    )
    def test_families_and_scopes_must_agree(self, local: str, remote: str, expected: bool) -> None:
        mine, theirs = local_candidate(Address(local, 1)), candidate(Address(remote, 2))
        assert may_pair(mine, theirs, theirs.address) is expected

    @pytest.mark.rfc("8445", "6.1.2.2")
    def test_components_must_agree(self) -> None:
        assert not may_pair(local_candidate(component=1), candidate(component=2), REMOTE)

    @pytest.mark.rfc("8445", "6.1.2.2")
    def test_transports_must_agree(self) -> None:
        assert not may_pair(local_candidate(), replace(candidate(), transport=Transport.TCP), REMOTE)

    def test_an_address_does_not_pair_with_itself(self) -> None:
        assert not may_pair(local_candidate(HOST), candidate(HOST), HOST)
        assert may_pair(local_candidate(HOST), candidate(HOST), HOST, is_shared=True), "another agent is there as well"

    def test_it_is_the_base_that_counts(self) -> None:
        reflexive = local_candidate(MAPPED, CandidateType.SERVER_REFLEXIVE, base=Address("2001:db8::1", 1))
        assert not may_pair(reflexive, candidate(), REMOTE)

    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("fe80::1", True),
            ("febf::1", True),
            ("fec0::1", False),
            ("fe7f::1", False),
            ("fe8::1", False),
            ("fe:80::", False),
        ],
    )
    def test_link_local_is_fe80_to_febf(self, host: str, expected: bool) -> None:
        assert is_ipv6_link_local(Address(host, 1)) is expected


def test_its_count_of_datagrams_goes_to_its_heir_once() -> None:
    counts, heir = PairCounts(), PairCounts()
    counts.datagrams_received, counts.octets_received, counts.datagrams_sent, counts.octets_sent = 1, 20, 3, 40
    counts.hand_over(heir)
    counts.hand_over(heir)
    sums = (heir.datagrams_received, heir.octets_received, heir.datagrams_sent, heir.octets_sent)
    assert sums == (1, 20, 3, 40)


@pytest.mark.rfc("6544", "6.2")
@pytest.mark.parametrize("ours", TcpType)
@pytest.mark.parametrize("theirs", TcpType)
def test_what_we_would_connect_is_paired(ours: TcpType, theirs: TcpType) -> None:
    local = LocalCandidate(tcp_candidate(HOST, ours), TcpAddress(*HOST))
    is_paired = (ours, theirs) == (TcpType.ACTIVE, TcpType.PASSIVE)
    assert may_pair(local, tcp_candidate(REMOTE, theirs), TcpAddress(*REMOTE)) is is_paired
    assert not may_pair(local, candidate(REMOTE), REMOTE)
