from __future__ import annotations

import pytest

from icepath.ice.nomination import (
    BEST_PATIENCE,
    RELAY_GRACE,
    RELAY_GRACE_ROUND_TRIPS,
    Nominate,
    NominationPolicy,
    NominationView,
    PairView,
    Wait,
    nominate_best,
    nominate_first_good,
    nominate_first_valid,
)
from icepath.wire.candidate_line import CandidateType

HOST, RELAYED = CandidateType.HOST, CandidateType.RELAYED
POLICIES = [nominate_first_good, nominate_first_valid, nominate_best]


def pair(
    number: int,
    *,
    valid: bool = False,
    pending: bool = False,
    local: CandidateType = HOST,
    remote: CandidateType = HOST,
    rtt: float | None = None,
    since: float | None = None,
) -> PairView:
    """Makes a pair whose priority is the higher, the lower its number."""
    when = (10.0 if since is None else since) if valid else None
    return PairView(number, 1000 - number, local, remote, valid, pending, rtt, when)


def view(*pairs: PairView, now: float = 10.0, is_final: bool = False, started: float = 9.0) -> NominationView:
    return NominationView(now, pairs, started, is_final)


class TestEveryPolicy:
    @pytest.mark.parametrize("policy", POLICIES)
    def test_waits_while_nothing_is_valid(self, policy: NominationPolicy) -> None:
        assert policy(view()) == Wait()
        assert policy(view(pair(1, pending=True), is_final=True)) == Wait()

    @pytest.mark.rfc("8445", "8.1.1")
    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize("local", [HOST, RELAYED])
    def test_picks_one_in_the_end_whatever_is_still_open(self, policy: NominationPolicy, local: CandidateType) -> None:
        pairs = (pair(1, pending=True), pair(2, valid=True, local=local), pair(3, valid=True, local=local))
        assert policy(view(*pairs, now=10.0 + BEST_PATIENCE)) == Nominate(2)

    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize("local", [HOST, RELAYED])
    def test_picks_at_once_when_nothing_better_can_come(self, policy: NominationPolicy, local: CandidateType) -> None:
        pairs = (pair(1), pair(2, valid=True, local=local), pair(3, pending=True, local=RELAYED))
        assert policy(view(*pairs, is_final=True)) == Nominate(2)


class TestFirstGood:
    def test_a_direct_pair_is_taken_at_once(self) -> None:
        pairs = (pair(1, pending=True), pair(2, valid=True), pair(3, valid=True))
        assert nominate_first_good(view(*pairs)) == Nominate(2)

    def test_a_direct_pair_is_taken_before_a_relayed_one_of_higher_priority(self) -> None:
        pairs = (pair(1, valid=True, remote=RELAYED), pair(2, valid=True))
        assert nominate_first_good(view(*pairs)) == Nominate(2)

    @pytest.mark.parametrize(("local", "remote"), [(RELAYED, HOST), (HOST, RELAYED), (RELAYED, RELAYED)])
    def test_a_relayed_pair_waits_for_a_direct_one_that_is_pending(
        self, local: CandidateType, remote: CandidateType
    ) -> None:
        pairs = (pair(1, pending=True), pair(2, valid=True, local=local, remote=remote))
        assert nominate_first_good(view(*pairs, is_final=True)) == Wait(10.0 + RELAY_GRACE)

    def test_a_relayed_pair_waits_for_candidates_that_may_come(self) -> None:
        relayed = pair(1, valid=True, local=RELAYED)
        assert nominate_first_good(view(relayed)) == Wait(10.0 + RELAY_GRACE)
        assert nominate_first_good(view(relayed, is_final=True)) == Nominate(1)

    def test_the_grace_counts_from_the_first_valid_pair_and_grows_with_the_round_trip(self) -> None:
        slow = pair(1, valid=True, local=RELAYED, rtt=0.5, since=3.0)
        later = pair(2, valid=True, local=RELAYED, rtt=0.8, since=5.0)
        until = 3.0 + RELAY_GRACE_ROUND_TRIPS * 0.5
        assert nominate_first_good(view(slow, later, now=3.1)) == Wait(until)
        assert nominate_first_good(view(slow, later, now=until)) == Nominate(1)


class TestFirstValid:
    def test_takes_a_relayed_pair_at_once(self) -> None:
        pairs = (pair(1, pending=True), pair(2, valid=True, local=RELAYED))
        assert nominate_first_valid(view(*pairs)) == Nominate(2)


class TestBest:
    def test_waits_for_a_better_pair_that_is_pending(self) -> None:
        pairs = (pair(1, pending=True), pair(2, valid=True))
        assert nominate_best(view(*pairs, is_final=True)) == Wait(9.0 + BEST_PATIENCE)

    def test_waits_for_candidates_that_may_come(self) -> None:
        assert nominate_best(view(pair(1, valid=True))) == Wait(9.0 + BEST_PATIENCE)

    def test_does_not_wait_for_a_worse_pair(self) -> None:
        pairs = (pair(1, valid=True), pair(2, pending=True))
        assert nominate_best(view(*pairs, is_final=True)) == Nominate(1)

    def test_its_patience_counts_from_the_beginning_of_checks(self) -> None:
        assert nominate_best(view(pair(1, valid=True), now=12.0, started=9.0)) == Nominate(1)
