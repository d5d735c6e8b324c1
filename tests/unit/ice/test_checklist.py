from __future__ import annotations

import pytest

from icepath.ice.checklist import Checklist, ChecklistSet, ChecklistState
from icepath.ice.pair import CandidatePair, PairState
from unit.ice.builders import local_candidate, loose_pair

F, W, P, S, X = PairState.FROZEN, PairState.WAITING, PairState.IN_PROGRESS, PairState.SUCCEEDED, PairState.FAILED


def every(_pair: CandidatePair) -> bool:
    return True


def none(_pair: CandidatePair) -> bool:
    return False


def checklist_set(streams: int = 1, *, max_pairs: int = 100) -> tuple[ChecklistSet, list[Checklist]]:
    checklists = ChecklistSet(max_pairs)
    lists = [Checklist() for _ in range(streams)]
    for number, checklist in enumerate(lists, 1):
        checklists.put(number, checklist)
    return checklists, lists


def states(*pairs: CandidatePair) -> list[PairState]:
    return [pair.state for pair in pairs]


class TestChecklist:
    def test_begins_running_and_empty(self) -> None:
        checklist = Checklist()
        assert checklist.state is ChecklistState.RUNNING
        assert not checklist.pairs
        assert checklist.is_exhausted(every)

    @pytest.mark.rfc("8445", "6.1.4.1")
    def test_the_triggered_check_queue_is_first_in_first_out(self) -> None:
        checklists, (checklist,) = checklist_set()
        first, second = loose_pair(1, priority=1), loose_pair(2, priority=2)
        checklist.enqueue_triggered(first)
        checklist.enqueue_triggered(second)
        assert [checklists.next_triggered(), checklists.next_triggered()] == [first, second]
        assert checklists.next_triggered() is None

    @pytest.mark.rfc("8445", "7.3.1.4")
    @pytest.mark.parametrize("state", list(PairState))
    def test_a_triggered_pair_waits_and_is_queued_once(self, state: PairState) -> None:
        checklists, (checklist,) = checklist_set()
        pair = loose_pair(1)
        pair.state = state
        checklist.enqueue_triggered(pair)
        checklist.enqueue_triggered(pair)
        assert pair.state is W
        assert list(checklist.triggered) == [pair]
        assert checklists.has_triggered()

    def test_remove_takes_a_pair_out_of_list_and_queue(self) -> None:
        checklists, (checklist,) = checklist_set()
        queued, other = loose_pair(1), loose_pair(2)
        for pair in (queued, other):
            checklists.insert(pair)
        checklist.enqueue_triggered(queued)
        checklist.remove(queued)
        checklist.remove(other)
        checklist.remove(other)
        assert not checklist.pairs
        assert not checklists.has_triggered()

    @pytest.mark.rfc("8445", "7.2.5.3.2")
    def test_the_valid_list_is_per_component_and_empty_at_first(self) -> None:
        checklists, (checklist,) = checklist_set()
        one, two = loose_pair(1, component=1), loose_pair(2, component=2)
        for pair in (one, two):
            checklists.insert(pair)
        assert checklist.valid_pairs(1) == []
        one.valid = local_candidate()
        assert checklist.valid_pairs(1) == [one]
        assert checklist.valid_pairs(2) == []

    @pytest.mark.rfc("8445", "7.2.5.4")
    @pytest.mark.parametrize(("state", "is_exhausted"), [(F, False), (W, False), (P, False), (S, True), (X, True)])
    def test_is_exhausted_when_every_pair_succeeded_or_failed(self, state: PairState, is_exhausted: bool) -> None:
        checklists, (checklist,) = checklist_set()
        done, pair = loose_pair(1), loose_pair(2)
        for each in (done, pair):
            checklists.insert(each)
        done.state = X
        pair.state = state
        assert checklist.is_exhausted(every) is is_exhausted

    @pytest.mark.parametrize(("state", "is_exhausted"), [(F, True), (W, True), (P, False), (S, True), (X, True)])
    def test_nothing_waits_for_a_pair_that_cannot_be_sent(self, state: PairState, is_exhausted: bool) -> None:
        checklists, (checklist,) = checklist_set()
        pair = loose_pair(1)
        checklists.insert(pair)
        pair.state = state
        assert checklist.is_exhausted(none) is is_exhausted

    def test_is_not_exhausted_while_a_triggered_check_waits(self) -> None:
        checklists, (checklist,) = checklist_set()
        pair = loose_pair(1)
        checklists.insert(pair)
        checklist.enqueue_triggered(pair)
        pair.state = S
        assert not checklist.is_exhausted(none)


class TestInitialStates:
    @pytest.mark.rfc("8445", "6.1.2.6")
    def test_the_table_of_the_rfc(self) -> None:
        """Three checklists, five foundations: Table 1 of RFC 8445 §6.1.2.6."""
        checklists, _ = checklist_set(3)
        rows = {1: ("f1", "f2", "f3"), 2: ("f1", "f2", "f3", "f4"), 3: ("f1", "f5")}
        table: dict[tuple[int, str], CandidatePair] = {}
        for stream, foundations in rows.items():
            for foundation in foundations:
                pair = table[stream, foundation] = loose_pair(len(table) + 1, foundation=foundation, stream=stream)
                checklists.insert(pair)
        waiting = {place for place, pair in table.items() if pair.state is W}
        assert waiting == {(1, "f1"), (1, "f2"), (1, "f3"), (2, "f4"), (3, "f5")}
        assert all(pair.state in (W, F) for pair in table.values())

    @pytest.mark.rfc("8838", "12")
    def test_rule_1_the_topmost_pair_of_its_foundation_waits(self) -> None:
        checklists, _ = checklist_set()
        low = loose_pair(1, component=2)
        high_priority = loose_pair(2, component=2, priority=200)
        low_component = loose_pair(3, component=1, priority=1)
        for pair in (low, high_priority, low_component):
            checklists.insert(pair)
        assert states(low, high_priority, low_component) == [W, W, W]

    @pytest.mark.rfc("8838", "12")
    def test_rule_2_a_pair_waits_when_its_foundation_has_succeeded(self) -> None:
        checklists, _ = checklist_set(2)
        first = loose_pair(1, foundation="f5")
        checklists.insert(first)
        first.state = S
        second = loose_pair(2, foundation="f5", component=2, stream=2)
        checklists.insert(second)
        assert second.state is W

    @pytest.mark.rfc("8838", "12")
    @pytest.mark.parametrize("state", [F, W, P, X])
    def test_rule_3_any_other_pair_is_frozen(self, state: PairState) -> None:
        checklists, _ = checklist_set(2)
        first = loose_pair(1)
        checklists.insert(first)
        first.state = state
        lower, component, stream = loose_pair(2, priority=99), loose_pair(3, component=2), loose_pair(4, stream=2)
        for pair in (lower, component, stream):
            checklists.insert(pair)
        assert states(lower, component, stream) == [F, F, F]

    @pytest.mark.rfc("8445", "6.1.2.6")
    def test_the_first_checklist_comes_before_the_lowest_component(self) -> None:
        checklists, _ = checklist_set(2)
        checklists.insert(loose_pair(1, stream=1, component=2))
        later = loose_pair(2, stream=2, component=1)
        checklists.insert(later)
        assert later.state is F

    def test_another_foundation_changes_nothing(self) -> None:
        checklists, _ = checklist_set()
        first = loose_pair(1, foundation="a")
        checklists.insert(first)
        first.state = S
        checklists.insert(loose_pair(2, foundation="b"))
        lower = loose_pair(3, foundation="b", priority=1)
        checklists.insert(lower)
        assert lower.state is F

    @pytest.mark.rfc("8445", "7.2.5.3.3")
    def test_a_success_unfreezes_its_foundation_in_all_checklists_and_no_other(self) -> None:
        checklists, _ = checklist_set(2)
        pairs = [
            loose_pair(1, foundation="f1"),
            loose_pair(2, foundation="f1", component=2),
            loose_pair(3, foundation="f1", stream=2),
            loose_pair(4, foundation="f2"),
            loose_pair(5, foundation="f2", component=2),
        ]
        for pair in pairs:
            checklists.insert(pair)
        pairs[0].state = S
        failed = loose_pair(6, foundation="f1", component=3)
        checklists.insert(failed)
        failed.state = X
        checklists.unfreeze(pairs[0].foundation)
        assert states(*pairs, failed) == [S, W, W, W, F, X]


class TestLimit:
    @pytest.mark.rfc("8445", "6.1.2.5")
    def test_the_weakest_pair_of_all_checklists_leaves_when_there_are_too_many(self) -> None:
        checklists, lists = checklist_set(2, max_pairs=3)
        pairs = [loose_pair(number, priority=number, stream=1 + number % 2) for number in (5, 2, 7)]
        assert [checklists.insert(pair) for pair in pairs] == [None, None, None]
        newcomer = loose_pair(9, priority=9, stream=2)
        assert checklists.insert(newcomer) is pairs[1]
        assert set(checklists.pairs()) == {pairs[0], pairs[2], newcomer}
        assert sum(len(each.pairs) for each in lists) == 3

    @pytest.mark.rfc("8445", "6.1.2.5")
    def test_the_newcomer_itself_leaves_when_it_is_the_weakest(self) -> None:
        checklists, _ = checklist_set(max_pairs=1)
        kept, weak = loose_pair(1, priority=2), loose_pair(2, priority=1)
        checklists.insert(kept)
        assert checklists.insert(weak) is weak
        assert list(checklists.pairs()) == [kept]

    @pytest.mark.rfc("8838", "10")
    @pytest.mark.rfc("8838", "11")
    def test_a_failed_pair_leaves_before_any_other(self) -> None:
        checklists, _ = checklist_set(max_pairs=2)
        failed, waiting = loose_pair(1, priority=100), loose_pair(2, priority=5)
        for pair in (failed, waiting):
            checklists.insert(pair)
        failed.state = X
        assert checklists.insert(loose_pair(3, priority=1)) is failed

    @pytest.mark.parametrize("state", [P, S])
    def test_what_is_under_way_or_valid_stays(self, state: PairState) -> None:
        checklists, _ = checklist_set(max_pairs=1)
        busy = loose_pair(1, priority=1)
        checklists.insert(busy)
        busy.state = state
        strong = loose_pair(2, priority=100)
        assert checklists.insert(strong) is strong

    def test_a_valid_pair_stays_even_while_it_is_checked_again(self) -> None:
        checklists, (checklist,) = checklist_set(max_pairs=1)
        valid = loose_pair(1, priority=1)
        checklists.insert(valid)
        valid.valid = local_candidate()
        checklist.enqueue_triggered(valid)
        strong = loose_pair(2, priority=100)
        assert checklists.insert(strong) is strong

    def test_of_equals_the_later_one_leaves(self) -> None:
        checklists, _ = checklist_set(max_pairs=1)
        checklists.insert(loose_pair(1))
        later = loose_pair(2)
        assert checklists.insert(later) is later

    @pytest.mark.rfc("8445", "14.3")
    def test_counts_all_pairs_and_those_waiting_or_in_progress(self) -> None:
        checklists, _ = checklist_set(2)
        assert checklists.counts() == (0, 0)
        for number, state in enumerate(PairState, 1):
            pair = loose_pair(number, stream=1 + number % 2)
            checklists.insert(pair)
            pair.state = state
        assert checklists.counts() == (5, 2)


class TestOrdinaryChecks:
    @pytest.mark.rfc("8445", "6.1.4.2")
    def test_the_waiting_pair_with_the_highest_priority_is_picked(self) -> None:
        checklists, _ = checklist_set()
        pairs = [loose_pair(number, foundation=str(number), priority=number) for number in (3, 9, 6)]
        for pair in pairs:
            checklists.insert(pair)
        assert checklists.next_ordinary(every) is pairs[1]

    @pytest.mark.rfc("8445", "6.1.4.2")
    def test_of_equal_priorities_the_lowest_component_is_picked(self) -> None:
        checklists, _ = checklist_set()
        second, first = loose_pair(1, foundation="a", component=2), loose_pair(2, foundation="b", component=1)
        for pair in (second, first):
            checklists.insert(pair)
        assert checklists.next_ordinary(every) is first

    def test_a_pair_that_cannot_be_sent_yet_is_left_out(self) -> None:
        checklists, _ = checklist_set()
        blocked, ready = loose_pair(1, foundation="a", priority=9), loose_pair(2, foundation="b", priority=1)
        for pair in (blocked, ready):
            checklists.insert(pair)
        assert checklists.next_ordinary(lambda pair: pair is not blocked) is ready
        assert checklists.next_ordinary(none) is None
        assert not checklists.has_ordinary(none)

    @pytest.mark.rfc("8445", "6.1.4.2")
    def test_a_frozen_pair_thaws_when_its_foundation_has_nothing_under_way(self) -> None:
        checklists, _ = checklist_set()
        first, second, third = loose_pair(1), loose_pair(2, component=2), loose_pair(3, component=3)
        for pair in (first, third, second):
            checklists.insert(pair)
        first.state = X
        assert checklists.next_ordinary(every) is second
        assert third.state is F

    @pytest.mark.rfc("8445", "6.1.4.2")
    def test_a_frozen_pair_stays_frozen_while_its_foundation_is_checked_in_another_checklist(self) -> None:
        checklists, _ = checklist_set(2)
        busy, frozen = loose_pair(1), loose_pair(2, stream=2)
        for pair in (busy, frozen):
            checklists.insert(pair)
        busy.state = P
        assert checklists.next_ordinary(every) is None
        assert frozen.state is F

    @pytest.mark.rfc("8445", "6.1.4.2")
    def test_nothing_thaws_while_a_pair_of_the_checklist_waits_to_be_checked(self) -> None:
        checklists, _ = checklist_set()
        failed, frozen = loose_pair(1, foundation="a"), loose_pair(2, foundation="a", component=2)
        waiting = loose_pair(3, foundation="b")
        for pair in (failed, frozen, waiting):
            checklists.insert(pair)
        failed.state = X
        assert checklists.next_ordinary(every) is waiting
        assert frozen.state is F

    def test_a_pair_that_cannot_be_sent_holds_up_its_own_foundation_only(self) -> None:
        checklists, _ = checklist_set()
        failed, frozen = loose_pair(1, foundation="a"), loose_pair(2, foundation="a", component=2)
        unready, kept = loose_pair(3, foundation="b"), loose_pair(4, foundation="b", component=2)
        for pair in (failed, frozen, unready, kept):
            checklists.insert(pair)
        failed.state = X
        assert checklists.next_ordinary(lambda pair: pair is not unready) is frozen
        assert kept.state is F

    @pytest.mark.rfc("8445", "6.1.4.2")
    def test_checklists_take_turns_however_often_one_looks(self) -> None:
        checklists, _ = checklist_set(3)
        for number in range(9):
            checklists.insert(loose_pair(number, foundation=str(number), stream=1 + number // 3))
        picked = []
        while checklists.has_ordinary(every):
            assert checklists.has_ordinary(every)
            pair = checklists.next_ordinary(every)
            assert pair is not None
            pair.state = P
            picked.append(pair.stream)
        assert picked == [1, 2, 3] * 3
        assert checklists.next_ordinary(every) is None

    def test_triggered_checks_take_turns_too(self) -> None:
        checklists, lists = checklist_set(2)
        pairs = [loose_pair(number, stream=1 + number // 2) for number in range(4)]
        for pair in pairs:
            lists[pair.stream - 1].enqueue_triggered(pair)
        assert [checklists.next_triggered() for _ in range(4)] == [pairs[0], pairs[2], pairs[1], pairs[3]]

    @pytest.mark.rfc("8445", "6.1.4.2")
    @pytest.mark.parametrize("state", [ChecklistState.COMPLETED, ChecklistState.FAILED])
    def test_only_running_checklists_are_picked(self, state: ChecklistState) -> None:
        checklists, lists = checklist_set(2)
        done, frozen = loose_pair(1), loose_pair(2, stream=2)
        for pair in (done, frozen):
            checklists.insert(pair)
        lists[0].state = state
        assert states(done, frozen) == [W, F]
        assert checklists.next_ordinary(every) is frozen  # what never gets its turn must not hold others back

    def test_an_empty_set_has_nothing_to_check(self) -> None:
        checklists, _ = checklist_set(0)
        assert checklists.next_ordinary(every) is None
        assert checklists.next_triggered() is None
        assert not checklists.has_triggered()

    @pytest.mark.rfc("8838", "8")
    def test_an_empty_checklist_is_passed_over_at_once(self) -> None:
        checklists, _ = checklist_set(3)
        pair = loose_pair(1, stream=3)
        checklists.insert(pair)
        assert checklists.next_ordinary(every) is pair

    def test_a_replaced_checklist_keeps_its_place(self) -> None:
        checklists, _ = checklist_set(2)
        checklists.insert(loose_pair(1, stream=1))
        checklists.put(1, Checklist())
        assert list(checklists.pairs()) == []
        later = loose_pair(2, stream=2)
        checklists.insert(later)
        assert later.state is W
