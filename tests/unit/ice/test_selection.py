from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.errors import Cause
from icepath.ice.config import Role
from icepath.ice.core import TimerKey, TimerKind
from icepath.ice.events import PairSelected, PolicyFailed, StreamFailed
from icepath.ice.nomination import Nominate, SelectionPolicy, SelectionView, Wait, move_when_better
from icepath.ice.pair import CandidatePair
from icepath.ice.renomination import MAX_UINT32, Renomination
from icepath.ice.selection import MOVE_INTERVAL
from icepath.net import Address, Instant
from unit.ice.builders import HOST, REMOTE, Bench, candidate, config, lite_config

SECOND_HOST = Address("192.0.2.2", 4000)
REMOTES = [REMOTE, *[Address("198.51.100.7", port) for port in (5002, 5003, 5004, 5005)]]


def bench(
    role: Role = Role.CONTROLLING, *, pairs: int = 2, selection: SelectionPolicy = move_when_better, **changes: int
) -> tuple[Bench, list[CandidatePair]]:
    """Makes an agent that agreed on renomination: all pairs are valid since 0 s, the first is nominated, in use."""
    settings = replace(config(role), renomination=True, selection=selection, **changes)  # type: ignore[arg-type]
    table = Bench(settings)
    table.add_host()
    known = [candidate(each, priority=100_000 - number) for number, each in enumerate(REMOTES[:pairs])]
    generation = table.meet(*known)
    generation.renomination = Renomination(is_first_form=False)
    generation.checklist.stays_open = True
    found = list(generation.checklist.pairs.values())
    for pair in found:
        table.make_valid(pair)
        pair.rtt = 0.1
    nominate(table, found[0], now=0.0)
    table.conclusion.update(now=0.0)
    table.take()
    return table, found


def nominate(table: Bench, pair: CandidatePair, *, now: Instant) -> None:
    table.conclusion.on_nominated(table.core.streams[1], table.generation(), pair, now=now)


def silence(table: Bench, pair: CandidatePair, *, now: Instant) -> None:
    for _ in range(2):
        table.consent.failover.on_missed(pair, table.consent.warm_pairs(pair), now=now)


def settle(table: Bench, *, now: Instant) -> None:
    table.conclusion.nominate(now=now)
    table.conclusion.update(now=now)


def active(table: Bench) -> CandidatePair | None:
    return table.core.streams[1].active.get(1)


def lose(table: Bench, pair: CandidatePair) -> None:
    table.conclusion.on_lost(table.core.streams[1], table.generation(), pair)


class TestWarmth:
    def test_a_few_other_valid_pairs_are_asked_for_consent(self) -> None:
        table, pairs = bench(pairs=5)
        assert table.consent.warm_pairs(pairs[0]) == pairs[1:4]
        assert not table.consent.is_warm(pairs[0])
        assert all(table.consent.watched(pair.id) is pair for pair in pairs[:4])
        assert table.consent.watched(pairs[4].id) is None

    def test_none_where_it_is_so_configured(self) -> None:
        table, pairs = bench(warm_pairs=0)
        assert table.consent.warm_pairs(pairs[0]) == []

    def test_none_once_the_stream_has_no_path(self) -> None:
        table, pairs = bench()
        table.generation().failure = Cause.CONSENT_EXPIRED
        table.conclusion.update(now=1.0)
        assert table.consent.warm_pairs(pairs[0]) == []

    def test_a_lite_agent_asks_nobody(self) -> None:
        table = Bench(lite_config())
        table.add_host()
        table.meet(candidate()).renomination = Renomination(is_first_form=False)
        table.take()
        table.conclusion.selection.keep_warm(table.core.streams[1], now=0.0)
        assert table.take() == []

    def test_new_pairs_are_checked_after_the_nomination_too(self) -> None:
        table, _ = bench()
        table.add_host(SECOND_HOST)
        new = [pair for pair in table.generation().checklist.pairs.values() if pair.local.base == SECOND_HOST]
        assert len(new) == 2
        assert table.core.checklists.next_ordinary(lambda _: True) in new


class TestSubstitute:
    @pytest.mark.parametrize("role", list(Role))
    def test_a_silent_pair_has_none_until_another_has_answered_since(self, role: Role) -> None:
        table, (one, two) = bench(role)
        silence(table, one, now=5.0)
        table.conclusion.update(now=5.0)
        assert active(table) is one
        table.consent.grant(two, now=5.1)
        table.conclusion.update(now=5.1)
        assert active(table) is two
        assert table.consent.is_warm(one)
        table.conclusion.update(now=5.2)
        assert active(table) is two
        table.consent.grant(one, now=5.3)
        table.conclusion.update(now=5.3)
        assert active(table) is one
        assert table.consent.is_warm(two)

    def test_the_best_of_several_and_then_that_one(self) -> None:
        table, (one, two, three) = bench(Role.CONTROLLED, pairs=3)
        silence(table, one, now=5.0)
        table.consent.grant(three, now=5.1)
        table.conclusion.update(now=5.1)
        assert active(table) is three
        table.consent.grant(two, now=5.2)
        table.conclusion.update(now=5.2)
        assert active(table) is three
        silence(table, three, now=5.3)
        table.conclusion.update(now=5.3)
        assert active(table) is two

    def test_best_by_priority(self) -> None:
        table, (one, two, three) = bench(Role.CONTROLLED, pairs=3)
        silence(table, one, now=5.0)
        for pair in (three, two):
            table.consent.grant(pair, now=5.1)
        table.conclusion.update(now=5.1)
        assert active(table) is two

    @pytest.mark.parametrize("role", list(Role))
    def test_a_lost_pair_has_one_at_once(self, role: Role) -> None:
        table, (one, two) = bench(role)
        lose(table, one)
        settle(table, now=5.0)
        assert active(table) is two
        assert table.events(StreamFailed) == []
        assert two.use_candidate is (role is Role.CONTROLLING)

    def test_without_another_the_stream_fails(self) -> None:
        table, (one, two) = bench()
        lose(table, two)
        assert table.events(StreamFailed) == []
        lose(table, one)
        assert table.events(StreamFailed) == [StreamFailed(1, Cause.CONSENT_EXPIRED)]
        assert not table.generation().checklist.stays_open

    def test_a_pair_whose_consent_was_not_kept_is_none(self) -> None:
        table, (one, two) = bench()
        table.consent.unwatch(two)
        lose(table, one)
        assert table.events(StreamFailed) == [StreamFailed(1, Cause.CONSENT_EXPIRED)]

    def test_without_renomination_there_is_none(self) -> None:
        table, (one, _) = bench()
        table.generation().renomination = None
        stream = table.core.streams[1]
        assert table.conclusion.selection.substitute(stream, 1, one, now=5.0) is None
        lose(table, one)
        table.conclusion.update(now=5.0)
        assert active(table) is None

    @pytest.mark.parametrize("role", list(Role))
    def test_what_stands_in_is_checked_at_once_and_left_when_it_is_silent_too(self, role: Role) -> None:
        table, (one, two, three) = bench(role, pairs=3)
        lose(table, one)
        settle(table, now=5.0)
        assert active(table) is two
        assert table.generation().checklist.triggered == [two, three]
        assert table.core.timers.deadline(TimerKey(TimerKind.PROBE, two.id)) == 5.125
        silence(table, two, now=5.125)
        table.consent.grant(three, now=5.2)
        settle(table, now=5.2)
        assert active(table) is three

    def test_a_pair_of_the_session_before_is_not(self) -> None:
        table, (one, _) = bench()
        one.is_nominated = False
        one.generation = 7
        table.conclusion.selection.try_out(table.core.streams[1], one, now=5.0)
        assert table.generation().checklist.triggered == []


class TestMoving:
    def test_the_controlling_side_nominates_another_and_both_ends_keep_the_old_warm(self) -> None:
        table, (one, two) = bench()
        silence(table, one, now=5.0)
        table.consent.grant(two, now=5.1)
        settle(table, now=5.1)
        assert two.use_candidate
        assert table.generation().checklist.triggered[-1] is two
        nominate(table, two, now=5.2)
        table.conclusion.update(now=5.2)
        (event,) = table.events(PairSelected)
        assert event.pair.remote_address == two.remote_address
        assert table.generation().nominated[1] is two
        assert not one.is_nominated

    def test_a_nomination_on_its_way_is_waited_for(self) -> None:
        table, (one, two, three) = bench(pairs=3)
        silence(table, one, now=5.0)
        table.consent.grant(two, now=5.1)
        settle(table, now=5.1)
        table.consent.grant(three, now=5.2)
        settle(table, now=5.2)
        assert (two.use_candidate, three.use_candidate) == (True, False)

    def test_unless_it_falls_silent(self) -> None:
        table, (one, two, three) = bench(pairs=3)
        silence(table, one, now=5.0)
        table.consent.grant(two, now=5.1)
        settle(table, now=5.1)
        silence(table, two, now=6.0)
        table.consent.grant(three, now=6.1)
        settle(table, now=6.1)
        assert (two.use_candidate, three.use_candidate) == (False, True)

    def test_a_running_check_of_the_pair_is_replaced(self) -> None:
        table, (one, two) = bench()
        silence(table, one, now=5.0)
        table.outgoing.send(table.generation(), two, now=5.0)
        table.consent.grant(two, now=5.1)
        settle(table, now=5.1)
        assert two in table.generation().checklist.triggered

    def test_the_policy_may_wait(self) -> None:
        table, _ = bench(selection=lambda view: Wait(view.now + 3.0))
        settle(table, now=5.0)
        key = TimerKey(TimerKind.NOMINATION, 1)
        assert table.core.timers.deadline(key) == 8.0
        settle(table, now=5.5)
        assert table.core.timers.deadline(key) == 8.0

    def test_what_it_says_of_pairs_that_there_are_not_is_ignored(self) -> None:
        table, pairs = bench(selection=lambda _: Nominate(999))
        settle(table, now=5.0)
        assert not any(pair.use_candidate for pair in pairs)

    def test_one_that_raises_is_reported_and_the_default_decides(self) -> None:
        def broken(view: SelectionView) -> Nominate | Wait:
            raise ValueError(view.now)

        table, _ = bench(selection=broken)
        settle(table, now=5.0)
        (event,) = table.events(PolicyFailed)
        assert event.policy == "selection"

    def test_it_moves_no_more_often_than_every_50_ms(self) -> None:
        table, (_, two) = bench(selection=lambda view: Nominate(view.others[0].id))
        nominate(table, two, now=5.0)
        table.conclusion.update(now=5.0)
        settle(table, now=5.01)
        assert not any(pair.use_candidate for pair in table.generation().checklist.pairs.values())
        at = table.core.timers.deadline(TimerKey(TimerKind.NOMINATION, 1))
        assert at == pytest.approx(5.0 + MOVE_INTERVAL)
        settle(table, now=5.06)
        assert any(pair.use_candidate for pair in table.generation().checklist.pairs.values())

    def test_there_is_an_end_of_values(self) -> None:
        table, (one, two) = bench()
        renomination = table.generation().renomination
        assert renomination is not None
        renomination.accepts(1, MAX_UINT32, use_candidate=True, is_early=False)
        lose(table, one)
        settle(table, now=5.0)
        assert not two.use_candidate

    def test_the_policy_sees_what_is_known(self) -> None:
        views: list[SelectionView] = []

        def note(view: SelectionView) -> Wait:
            views.append(view)
            return Wait()

        table, (one, two) = bench(selection=note)
        one.counts.requests_sent = 0
        del table.core.sockets[HOST]
        settle(table, now=5.0)
        (view,) = views
        assert view.selected is not None
        assert (view.selected.id, view.selected.loss, view.selected.cost) == (one.id, 0.0, 0)
        assert [path.id for path in view.others] == [two.id]
        assert view.others[0].rtt == 0.1
        assert view.others[0].answered_at == 0.0
        assert (view.silent_since, view.moved_at) == (None, None)


class TestIdle:
    def test_nothing_is_kept_warm_until_it_wakes(self) -> None:
        table, (one, two) = bench()
        table.core.is_idle = True
        table.conclusion.update(now=1.0)
        assert table.consent.warm_pairs(one) == []
        table.core.is_idle = False
        table.conclusion.selection.wake()
        assert table.generation().checklist.triggered == [one, two]

    def test_a_pair_of_the_session_before_is_left_alone(self) -> None:
        table, (one, _) = bench()
        one.generation = 7
        table.conclusion.selection.wake()
        assert table.generation().checklist.triggered == []

    def test_without_renomination_only_the_path_in_use_is_checked(self) -> None:
        table, (one, _) = bench()
        table.generation().renomination = None
        table.conclusion.selection.wake()
        assert table.generation().checklist.triggered == [one]

    def test_a_lite_agent_checks_nothing(self) -> None:
        table = Bench(lite_config())
        table.conclusion.selection.wake()
        assert table.take() == []
