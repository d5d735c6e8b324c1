from __future__ import annotations

import pytest

from icepath.ice.nomination import (
    BEST_PATIENCE,
    DWELL,
    RELAY_GRACE,
    RELAY_GRACE_ROUND_TRIPS,
    Nominate,
    NominationPolicy,
    NominationView,
    PairView,
    PathView,
    SelectionPolicy,
    SelectionView,
    Wait,
    checked,
    move_when_better,
    nominate_best,
    nominate_first_good,
    nominate_first_valid,
    stay,
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


# -- with renomination ------------------------------------------------------------------------------------------------


def path(
    number: int,
    *,
    local: CandidateType = HOST,
    cost: int = 0,
    rtt: float | None = 0.1,
    answers: int = 10,
    at: float = 9.0,
    silent: bool = False,
) -> PathView:
    return PathView(number, 1000 - number, local, HOST, cost, rtt, 0.0, answers, 1.0, at, silent)


def selection(
    selected: PathView | None, *others: PathView, since: float | None = None, moved: float | None = None
) -> SelectionView:
    return SelectionView(10.0, selected, others, since, moved)


SELECTION_POLICIES = [move_when_better, stay]


class TestMoving:
    @pytest.mark.parametrize("policy", SELECTION_POLICIES)
    def test_a_lost_path_is_left_at_once_for_the_best_that_answers(self, policy: SelectionPolicy) -> None:
        assert policy(selection(None, path(1, silent=True), path(2), path(3), moved=9.9)) == Nominate(2)
        assert policy(selection(None, path(1, silent=True))) == Wait()

    @pytest.mark.parametrize("policy", SELECTION_POLICIES)
    def test_a_silent_path_is_left_for_one_that_has_answered_since(self, policy: SelectionPolicy) -> None:
        dead = path(1, silent=True)
        assert policy(selection(dead, path(2, at=9.5), path(3, at=9.8), since=9.7)) == Nominate(3)
        assert policy(selection(dead, path(2, at=9.5), since=9.7)) == Wait()
        assert policy(selection(dead, path(2, at=9.5))) == Wait()

    def test_a_relayed_path_is_left_for_a_direct_one_never_the_other_way(self) -> None:
        relayed = path(1, local=RELAYED, rtt=0.01)
        assert move_when_better(selection(relayed, path(2, rtt=9.0))) == Nominate(2)
        assert move_when_better(selection(path(2, rtt=9.0), relayed)) == Wait()
        assert stay(selection(relayed, path(2))) == Wait()

    def test_a_dear_path_is_left_for_a_cheap_one_never_the_other_way(self) -> None:
        assert move_when_better(selection(path(1, cost=10), path(2, rtt=0.5))) == Nominate(2)
        assert move_when_better(selection(path(1, rtt=0.5), path(2, cost=10))) == Wait()

    @pytest.mark.parametrize(
        ("ours", "theirs", "answers", "moves"),
        [
            (0.1, 0.06, 3, True),
            (0.1, 0.07, 3, False),
            (0.03, 0.015, 3, False),
            (0.1, 0.06, 2, False),
            (None, 0.06, 3, False),
            (0.1, None, 3, False),
        ],
    )
    def test_quicker_must_be_worth_it_and_known(
        self, ours: float | None, theirs: float | None, answers: int, moves: bool
    ) -> None:
        found = move_when_better(selection(path(1, rtt=ours), path(2, rtt=theirs, answers=answers)))
        assert found == (Nominate(2) if moves else Wait())

    def test_nobody_flaps(self) -> None:
        relayed = path(1, local=RELAYED)
        assert move_when_better(selection(relayed, path(2), moved=5.0)) == Wait(5.0 + DWELL)
        assert move_when_better(selection(relayed, path(2), moved=0.0)) == Nominate(2)
        # What has not answered since the last move may be what was moved away from.
        assert move_when_better(selection(relayed, path(2, at=1.0), moved=2.0)) == Wait()


def test_a_decision_is_one_of_two() -> None:
    assert checked(Wait()) == Wait()
    with pytest.raises(TypeError, match="neither"):
        checked(3)
