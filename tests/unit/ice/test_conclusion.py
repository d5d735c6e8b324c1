from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.entropy import IceCredentials, Secret
from icepath.errors import Cause
from icepath.ice.checklist import ChecklistState
from icepath.ice.config import AgentConfig, Role
from icepath.ice.core import ConsentCheck, TimerKey, TimerKind
from icepath.ice.events import PairSelected, PairValidated, PolicyFailed, State, StateChanged, StreamFailed
from icepath.ice.nomination import Nominate, NominationView, Wait, nominate_first_valid
from icepath.ice.pair import CandidatePair, PairState
from icepath.ice.renomination import Renomination
from icepath.ice.restart import restart_stream
from icepath.ice.stream import Generation
from icepath.machine import Close, DropFlow, FlowKey
from icepath.net import Address, Instant
from icepath.wire.candidate_line import CandidateType, Foundation
from unit.ice.agent_table import run_to
from unit.ice.builders import HOST, RELAYED, REMOTE, Bench, candidate, config, lite_config
from unit.ice.tcp_table import TcpTable, tcp_candidate

SECOND_HOST = Address("192.0.2.1", 4002)
SECOND_REMOTE = Address("198.51.100.7", 5002)
THIRD_REMOTE = Address("198.51.100.7", 5003)
NEW = IceCredentials("newufrag", Secret("new-password-of-24-charss"))
PATIENCE = 39.5


def settings(role: Role = Role.CONTROLLING, **changes: object) -> AgentConfig:
    return replace(config(role), **changes)  # type: ignore[arg-type]  # names are checked by the dataclass


def bench(role: Role = Role.CONTROLLING, *remotes: Address, **changes: object) -> tuple[Bench, list[CandidatePair]]:
    """Makes an agent with a pair to each remote address (of component 1), checks begun at 0 s."""
    table = Bench(settings(role, **changes))
    table.add_host()
    known = remotes or (REMOTE,)
    table.meet(*[candidate(each, foundation=str(each.port), priority=100_000 - each.port) for each in known])
    table.take()
    return table, list(table.generation().checklist.pairs.values())


def two_components(role: Role = Role.CONTROLLING, **changes: object) -> tuple[Bench, list[CandidatePair]]:
    """Makes an agent whose stream has two components, a pair for each."""
    table = Bench(settings(role, components=(2,), **changes))
    table.add_host()
    table.add_host(SECOND_HOST, component=2)
    table.meet(candidate(), candidate(SECOND_REMOTE, component=2))
    table.take()
    return table, list(table.generation().checklist.pairs.values())


def nominate(table: Bench, pair: CandidatePair, *, now: Instant = 1.0) -> None:
    table.conclusion.on_nominated(table.core.streams[1], table.generation(), pair, now=now)


def lose(table: Bench, pair: CandidatePair) -> None:
    table.conclusion.on_lost(table.core.streams[1], table.generation(), pair)


def deadline(table: Bench, kind: TimerKind, number: int = 1) -> Instant | None:
    return table.core.timers.deadline(TimerKey(kind, number))


def connected(role: Role = Role.CONTROLLING, *remotes: Address) -> tuple[Bench, list[CandidatePair]]:
    """Makes an agent whose pairs are all valid since 0 s and whose first one is nominated and in use."""
    table, pairs = bench(role, *remotes)
    for pair in pairs:
        table.make_valid(pair)
    nominate(table, pairs[0])
    table.conclusion.update(now=1.0)
    table.take()
    return table, pairs


class TestNominated:
    @pytest.mark.rfc("8445", "8.1.2")
    def test_other_pairs_of_the_component_leave_list_and_queue_and_are_not_sent_again(self) -> None:
        table, (pair, running, queued) = bench(Role.CONTROLLING, REMOTE, SECOND_REMOTE, THIRD_REMOTE)
        table.make_valid(pair)
        table.outgoing.send(table.generation(), running, now=0.5)
        transaction_id = running.transaction_id
        assert transaction_id is not None
        table.generation().checklist.enqueue_triggered(queued)
        nominate(table, pair)
        checklist = table.generation().checklist
        assert list(checklist.pairs.values()) == [pair]
        assert not checklist.triggered
        transaction = table.core.transactions.get(transaction_id)
        assert transaction is not None
        assert transaction.is_cancelled

    @pytest.mark.rfc("8445", "8.1.2")
    def test_the_checklist_is_completed_when_every_component_is_nominated(self) -> None:
        table, (one, two) = two_components()
        for pair in (one, two):
            table.make_valid(pair)
        nominate(table, one)
        assert table.generation().checklist.state is ChecklistState.RUNNING
        assert set(table.generation().checklist.pairs.values()) == {one, two}
        nominate(table, two)
        state = table.generation().checklist.state
        assert state is ChecklistState.COMPLETED

    def test_nothing_is_waited_for_any_more(self) -> None:
        table, (pair,) = bench()
        table.make_valid(pair)
        for kind in (TimerKind.PATIENCE, TimerKind.RECHECK):
            table.core.timers.set(TimerKey(kind, 1), 9.0)
        nominate(table, pair)
        assert deadline(table, TimerKind.PATIENCE) is None
        assert deadline(table, TimerKind.RECHECK) is None

    @pytest.mark.rfc("8445", "8.1.1")
    @pytest.mark.parametrize("better_first", [True, False])
    def test_of_several_nominated_pairs_the_highest_priority_counts(self, better_first: bool) -> None:
        table, pairs = bench(Role.CONTROLLED, REMOTE, SECOND_REMOTE)
        for pair in pairs:
            table.make_valid(pair)
        better, worse = sorted(pairs, key=lambda pair: -pair.priority)
        for pair in (better, worse) if better_first else (worse, better):
            nominate(table, pair)
        table.conclusion.update(now=1.0)
        assert table.generation().nominated == {1: better}
        assert (better.is_nominated, worse.is_nominated) == (True, False)
        assert table.core.streams[1].active == {1: better}

    def test_a_pair_nominated_twice_stays_so(self) -> None:
        table, (pair,) = connected()
        pair.use_candidate = True
        nominate(table, pair)
        assert pair.is_nominated
        assert not pair.use_candidate

    @pytest.mark.rfc("8445", "12.1")
    @pytest.mark.rfc("8445", "7.2.1")
    def test_a_relayed_pair_gets_its_channel_once_nominated(self) -> None:
        table = Bench()
        table.add_host()
        relay = table.add_relay()
        table.permit(relay)
        table.meet()
        pair = table.make_pair(table.core.sockets[RELAYED])
        table.make_valid(pair)
        table.take()
        assert relay.allocation.channel_of(REMOTE) is None
        nominate(table, pair)
        channel = table.bind_channel(relay, now=2.0)  # only the answer is still missing
        assert channel == relay.allocation.channel_of(REMOTE)

    def test_a_pair_whose_socket_is_gone_gets_no_channel(self) -> None:
        table, (pair,) = bench()
        table.make_valid(pair)
        del table.core.sockets[HOST]
        nominate(table, pair)
        assert pair.is_nominated

    def test_the_old_session_concludes_without_touching_the_new_ones_patience(self) -> None:
        table, (pair,) = bench()
        table.make_valid(pair)
        old = table.generation()
        restart_stream(table.core, table.consent, table.gatherer, table.core.streams[1], NEW, now=1.5)
        table.core.timers.set(TimerKey(TimerKind.PATIENCE, 1), 50.0)
        table.conclusion.on_nominated(table.core.streams[1], old, pair, now=2.0)
        assert old.checklist.state is ChecklistState.COMPLETED
        assert deadline(table, TimerKind.PATIENCE) == 50.0


class TestNominating:
    def test_a_valid_pair_is_checked_again_to_nominate_it(self) -> None:
        table, (pair,) = bench()
        table.make_valid(pair)
        table.conclusion.nominate(now=1.0)
        assert pair.use_candidate
        assert list(table.generation().checklist.triggered) == [pair]

    @pytest.mark.rfc("8445", "8.1.1")
    def test_one_pair_is_nominated_at_a_time_and_no_other_afterwards(self) -> None:
        table, pairs = bench(Role.CONTROLLING, REMOTE, SECOND_REMOTE)
        for pair in pairs:
            table.make_valid(pair)
        for _ in range(2):
            table.conclusion.nominate(now=1.0)
            assert [pair for pair in pairs if pair.use_candidate] == [pairs[0]]
        nominate(table, pairs[0])
        table.conclusion.nominate(now=2.0)
        assert not any(pair.use_candidate for pair in pairs)

    @pytest.mark.rfc("8445", "8.1.1")
    def test_no_other_pair_is_nominated_when_the_nominated_one_is_lost(self) -> None:
        table, pairs = connected(Role.CONTROLLING, REMOTE, SECOND_REMOTE)
        lose(table, pairs[0])
        table.conclusion.nominate(now=2.0)
        assert not pairs[1].use_candidate

    @pytest.mark.rfc("8445", "8.1.1")
    def test_nor_while_another_component_is_still_open(self) -> None:
        table, (pair, other) = bench(Role.CONTROLLING, REMOTE, SECOND_REMOTE, components=(2,))
        for each in (pair, other):
            table.make_valid(each)
        nominate(table, pair)
        lose(table, pair)
        table.conclusion.nominate(now=2.0)
        assert not other.use_candidate
        table.add_host(SECOND_HOST, component=2)
        second = table.make_pair(table.core.sockets[SECOND_HOST])
        table.make_valid(second)
        nominate(table, second)
        assert table.generation().checklist.state is ChecklistState.FAILED  # and it stays so

    @pytest.mark.rfc("8445", "8.1")
    def test_a_controlled_agent_does_not_nominate(self) -> None:
        table, (pair,) = bench(Role.CONTROLLED)
        table.make_valid(pair)
        table.conclusion.nominate(now=1.0)
        assert not pair.use_candidate

    def test_nothing_is_nominated_before_something_is_valid(self) -> None:
        table, (pair,) = bench()
        table.conclusion.nominate(now=1.0)
        assert not pair.use_candidate

    def test_nothing_is_nominated_before_checks_begin(self) -> None:
        table, (pair,) = bench()
        table.make_valid(pair)
        table.generation().started = None
        table.conclusion.nominate(now=1.0)
        assert not pair.use_candidate

    @pytest.mark.parametrize("state", [ChecklistState.COMPLETED, ChecklistState.FAILED])
    def test_nothing_is_nominated_in_a_checklist_that_is_over(self, state: ChecklistState) -> None:
        table, (pair,) = bench()
        table.make_valid(pair)
        table.generation().checklist.state = state
        table.conclusion.nominate(now=1.0)
        assert not pair.use_candidate

    @pytest.mark.rfc("8445", "8.1.1")
    def test_a_check_under_way_is_cancelled_for_the_nominating_one(self) -> None:
        table, (pair,) = bench()
        table.make_valid(pair)
        table.outgoing.send(table.generation(), pair, now=0.5)
        running = table.core.transactions.get(pair.transaction_id) if pair.transaction_id is not None else None
        assert running is not None
        table.conclusion.nominate(now=1.0)
        assert running.is_cancelled

    def test_the_policy_sees_the_component_as_it_stands(self) -> None:
        views: list[NominationView] = []

        def watch(view: NominationView) -> Nominate | Wait:
            views.append(view)
            return Wait()

        table, pairs = bench(Role.CONTROLLING, THIRD_REMOTE, REMOTE, SECOND_REMOTE, nomination=watch)
        by_port = {pair.remote_address.port: pair for pair in pairs}
        table.make_valid(by_port[5002], now=0.25)
        by_port[5003].state = PairState.FAILED
        by_port[5002].state = PairState.WAITING
        table.conclusion.is_gathered = True
        table.generation().remote_ended = True
        table.conclusion.nominate(now=1.0)
        (view,) = views
        assert [pair.id for pair in view.pairs] == [by_port[port].id for port in (5000, 5002, 5003)]
        assert [pair.is_valid for pair in view.pairs] == [False, True, False]
        assert [pair.is_pending for pair in view.pairs] == [True, False, False]
        assert [pair.valid_since for pair in view.pairs] == [None, 0.25, None]
        assert (view.pairs[1].rtt, view.pairs[1].local_type) == (0.0, CandidateType.HOST)
        assert (view.now, view.started, view.is_final) == (1.0, 0.0, True)

    @pytest.mark.parametrize(("until", "expected"), [(None, None), (0.5, None), (1.0, None), (1.5, 1.5)])
    def test_a_policy_that_waits_is_asked_again_in_time(self, until: float | None, expected: float | None) -> None:
        table, (pair,) = bench(nomination=lambda _view: Wait(until))
        table.make_valid(pair)
        table.conclusion.nominate(now=1.0)
        assert not pair.use_candidate
        assert deadline(table, TimerKind.NOMINATION) == expected

    @pytest.mark.parametrize("waits", [(1.5, 1.2), (1.2, 1.5)])
    def test_of_two_components_that_wait_the_earlier_is_not_forgotten(self, waits: tuple[float, float]) -> None:
        answers = list(waits)
        table, pairs = two_components(nomination=lambda _view: Wait(answers.pop()))
        for pair in pairs:
            table.make_valid(pair)
        table.conclusion.nominate(now=1.0)
        assert deadline(table, TimerKind.NOMINATION) == 1.2

    @pytest.mark.parametrize("choice", [-1, 2])
    def test_a_choice_that_is_not_valid_is_none(self, choice: int) -> None:
        table, pairs = bench(Role.CONTROLLING, REMOTE, SECOND_REMOTE, nomination=lambda _view: Nominate(choice))
        assert pairs[1].id == 2
        table.make_valid(pairs[0])
        table.conclusion.nominate(now=1.0)
        assert not any(pair.use_candidate for pair in pairs)

    def test_a_policy_that_raises_is_reported_and_the_rfc_decides(self) -> None:
        def fail(_view: NominationView) -> Nominate | Wait:
            raise ZeroDivisionError("in the application")

        table, (pair,) = bench(nomination=fail)
        table.make_valid(pair)
        table.conclusion.is_gathered = True
        table.generation().remote_ended = True
        table.take()
        table.conclusion.nominate(now=1.0)
        assert pair.use_candidate
        assert table.events(PolicyFailed) == [PolicyFailed("nomination", "ZeroDivisionError('in the application')")]

    def test_an_answer_that_is_no_decision_is_reported_likewise(self) -> None:
        def forget(_view: NominationView) -> Nominate | Wait:
            return None  # type: ignore[return-value]  # as an application without a type-checker might

        table, (pair,) = bench(nomination=forget)
        table.make_valid(pair)
        table.take()
        table.conclusion.nominate(now=1.0)
        (event,) = table.events(PolicyFailed)
        assert event.policy == "nomination"
        assert "None" in event.text

    def test_components_are_nominated_each_for_itself(self) -> None:
        table, (one, two) = two_components(nomination=nominate_first_valid)
        table.make_valid(two)
        table.conclusion.nominate(now=1.0)
        assert (one.use_candidate, two.use_candidate) == (False, True)
        table.make_valid(one)
        nominate(table, two)
        table.conclusion.nominate(now=2.0)
        assert (one.use_candidate, two.use_candidate) == (True, False)


class TestPairInUse:
    @pytest.mark.rfc("8445", "12.1")
    def test_data_may_go_on_the_best_valid_pair_before_any_is_nominated(self) -> None:
        table, (better, worse) = bench(Role.CONTROLLING, REMOTE, SECOND_REMOTE)
        stream = table.core.streams[1]
        table.make_valid(worse)
        assert [event.pair.remote_address for event in table.events(PairValidated)] == [SECOND_REMOTE]
        table.conclusion.update(now=0.1)
        assert stream.active == {1: worse}
        table.make_valid(better)
        table.conclusion.update(now=0.2)
        assert stream.active == {1: better}
        assert table.consent.watched(worse.id) is None
        assert table.consent.watched(better.id) is better
        assert table.events(PairSelected) == []

    @pytest.mark.rfc("8445", "12.1")
    def test_data_goes_on_the_nominated_pair_only(self) -> None:
        table, (better, worse) = bench(Role.CONTROLLING, REMOTE, SECOND_REMOTE)
        for pair in (better, worse):
            table.make_valid(pair)
        table.conclusion.update(now=0.5)
        table.take()
        nominate(table, worse)
        table.conclusion.update(now=1.0)
        assert table.core.streams[1].active == {1: worse}
        assert [event.pair.remote_address for event in table.events(PairSelected)] == [SECOND_REMOTE]
        table.conclusion.update(now=1.1)
        assert table.events(PairSelected) == []

    @pytest.mark.rfc("7675", "5.1")
    def test_a_pair_without_consent_is_not_used(self) -> None:
        table, (pair,) = bench()
        table.make_valid(pair)
        table.conclusion.update(now=30.0)
        assert table.core.streams[1].active == {}

    @pytest.mark.rfc("7675", "5.1")
    def test_the_pair_in_use_is_the_one_whose_consent_is_renewed(self) -> None:
        table, (pair, other) = connected(Role.CONTROLLING, REMOTE, SECOND_REMOTE)
        assert table.consent.watched(pair.id) is pair
        assert table.consent.watched(other.id) is None


class TestLoss:
    @pytest.mark.rfc("7675", "5.1")
    def test_the_last_pair_lost_fails_the_stream(self) -> None:
        table, (pair,) = connected()
        lose(table, pair)
        assert table.take() == [DropFlow(FlowKey(HOST, REMOTE)), StreamFailed(1, Cause.CONSENT_EXPIRED)]
        assert not table.generation().checklist.pairs
        assert table.generation().nominated == {}
        assert not pair.is_nominated
        assert table.core.streams[1].active == {}
        assert table.consent.watched(pair.id) is None
        table.conclusion.update(now=31.0)
        assert table.take() == [StateChanged(State.FAILED, Cause.CONSENT_EXPIRED)]

    @pytest.mark.rfc("8445", "12.1")
    def test_no_other_pair_takes_the_place_of_the_selected_one(self) -> None:
        table, (pair, other) = connected(Role.CONTROLLING, REMOTE, SECOND_REMOTE)
        assert other.may_send_data(2.0)
        lose(table, pair)
        table.conclusion.update(now=2.0)
        assert table.core.streams[1].active == {}
        assert table.events(StreamFailed) == [StreamFailed(1, Cause.CONSENT_EXPIRED)]

    @pytest.mark.rfc("8445", "12.1")
    def test_nor_while_the_session_before_a_restart_still_carries_the_rest(self) -> None:
        table, (pair, other) = bench(Role.CONTROLLING, REMOTE, SECOND_REMOTE, components=(2,))
        for each in (pair, other):
            table.make_valid(each)
        nominate(table, pair)
        stream = table.core.streams[1]
        stream.previous = Generation(9, NEW)
        lose(table, pair)
        table.conclusion.update(now=2.0)
        assert stream.active == {}

    def test_a_pair_lost_while_checks_go_on_fails_nothing_yet(self) -> None:
        table, (pair, _) = bench(Role.CONTROLLED, REMOTE, SECOND_REMOTE)
        table.make_valid(pair)
        table.conclusion.update(now=1.0)
        lose(table, pair)
        assert table.events(StreamFailed) == []
        table.conclusion.update(now=31.0)
        assert table.conclusion.state is State.CHECKING

    def test_a_pair_that_was_not_in_use_is_lost_in_silence(self) -> None:
        table, (pair, other) = connected(Role.CONTROLLING, REMOTE, SECOND_REMOTE)
        lose(table, other)
        assert table.take() == [DropFlow(FlowKey(HOST, SECOND_REMOTE))]
        assert table.core.streams[1].active == {1: pair}

    @pytest.mark.rfc("7675", "5.1")
    def test_the_path_is_never_checked_again_in_this_session(self) -> None:
        table, (pair,) = connected()
        lose(table, pair)
        socket = table.core.sockets[HOST]
        table.remote_side.add_candidate(table.core.streams[1], candidate(priority=5), now=31.0)
        assert not table.generation().checklist.pairs
        assert (HOST, REMOTE) in table.generation().lost
        assert socket.address == HOST

    @pytest.mark.rfc("7675", "5.1")
    def test_answers_outstanding_when_consent_is_lost_are_no_longer_awaited(self) -> None:
        table, (pair,) = connected()
        table.consent.check(table.generation(), pair, now=29.0)
        lose(table, pair)
        assert not [each for each in table.core.transactions if isinstance(each.context, ConsentCheck)]

    def test_a_path_whose_base_went_away_may_come_back_with_it(self) -> None:
        table, (pair,) = connected()
        del table.core.sockets[HOST]
        lose(table, pair)
        assert table.generation().lost == set()

    @pytest.mark.rfc("8445", "12.1")
    def test_a_stream_that_lost_one_component_sends_on_none(self) -> None:
        table, pairs = two_components()
        for pair in pairs:
            table.make_valid(pair)
            nominate(table, pair)
        table.conclusion.update(now=1.0)
        assert set(table.core.streams[1].active) == {1, 2}
        lose(table, pairs[0])
        table.conclusion.update(now=20.0)
        assert table.core.streams[1].active == {}
        assert table.consent.watched(pairs[1].id) is None

    def test_a_stream_fails_once(self) -> None:
        table, pairs = two_components()
        for pair in pairs:
            table.make_valid(pair)
            nominate(table, pair)
        for pair in pairs:
            lose(table, pair)
        assert table.events(StreamFailed) == [StreamFailed(1, Cause.CONSENT_EXPIRED)]

    def test_a_pair_of_the_session_before_fails_nothing(self) -> None:
        table, (pair,) = connected()
        old = table.generation()
        restart_stream(table.core, table.consent, table.gatherer, table.core.streams[1], NEW, now=1.5)
        table.take()
        table.conclusion.on_lost(table.core.streams[1], old, pair)
        assert table.events(StreamFailed) == []
        assert table.core.streams[1].active == {}


class TestRestart:
    @pytest.mark.rfc("8445", "9")
    @pytest.mark.rfc("8445", "12.1")
    def test_the_old_pair_carries_data_until_the_new_session_has_selected_its_own(self) -> None:
        table, (old,) = connected()
        stream = table.core.streams[1]
        restart_stream(table.core, table.consent, table.gatherer, stream, NEW, now=1.5)
        table.meet(candidate(SECOND_REMOTE), now=2.0)
        (new,) = table.generation().checklist.pairs.values()
        table.make_valid(new, now=2.0)
        table.conclusion.update(now=2.0)
        assert stream.active == {1: old}
        assert table.consent.watched(old.id) is old
        nominate(table, new, now=3.0)
        table.take()
        table.conclusion.update(now=3.0)
        assert stream.active == {1: new}
        assert stream.previous is None
        assert table.consent.watched(old.id) is None
        outputs = table.take()
        assert DropFlow(FlowKey(HOST, REMOTE)) in outputs
        assert [event.pair.remote_address for event in outputs if isinstance(event, PairSelected)] == [SECOND_REMOTE]

    def test_when_the_old_pair_dies_the_new_session_does_not_wait_for_its_nomination(self) -> None:
        table, _ = connected()
        stream = table.core.streams[1]
        restart_stream(table.core, table.consent, table.gatherer, stream, NEW, now=1.5)
        table.meet(candidate(SECOND_REMOTE), now=25.0)
        (new,) = table.generation().checklist.pairs.values()
        table.make_valid(new, now=25.0)
        table.conclusion.update(now=30.5)
        assert stream.active == {1: new}

    def test_a_restart_that_finds_no_path_leaves_the_old_one_in_use(self) -> None:
        table, (old,) = connected()
        restart_stream(table.core, table.consent, table.gatherer, table.core.streams[1], NEW, now=1.5)
        table.meet(now=2.0)
        table.consent.grant(old, now=40.0)
        table.conclusion.update(now=2.0 + PATIENCE)
        assert table.generation().failure is Cause.NO_REMOTE_CANDIDATES
        assert table.core.streams[1].active == {1: old}


class TestPatience:
    @pytest.mark.rfc("8863", "4")
    def test_a_checklist_with_nothing_left_stays_running_while_patience_lasts(self) -> None:
        table, (pair,) = bench()
        pair.state = PairState.FAILED
        table.conclusion.update(now=PATIENCE - 0.001)
        assert table.generation().checklist.state is ChecklistState.RUNNING
        table.conclusion.update(now=PATIENCE)
        state = table.generation().checklist.state
        assert state is ChecklistState.FAILED
        assert table.take() == [
            StateChanged(State.CHECKING),
            StreamFailed(1, Cause.NO_ANSWER),
            StateChanged(State.FAILED, Cause.NO_ANSWER),
        ]

    @pytest.mark.rfc("8863", "4")
    @pytest.mark.rfc("8863", "5")
    def test_patience_holds_without_any_candidate_and_after_the_end_of_candidates(self) -> None:
        table = Bench()
        table.meet()
        table.generation().remote_ended = True
        table.conclusion.is_gathered = True
        table.conclusion.update(now=PATIENCE - 0.001)
        table.conclusion.update(now=PATIENCE - 0.001)
        assert table.take() == [StateChanged(State.CHECKING)]
        table.conclusion.update(now=PATIENCE)
        assert table.conclusion.state is State.FAILED
        assert table.conclusion.cause is Cause.NO_CANDIDATES

    @pytest.mark.rfc("8445", "7.2.5.4")
    @pytest.mark.parametrize("state", [PairState.FROZEN, PairState.WAITING, PairState.IN_PROGRESS])
    def test_a_checklist_that_has_something_left_goes_on(self, state: PairState) -> None:
        table, (pair,) = bench()
        pair.state = state
        table.conclusion.update(now=100.0)
        assert table.conclusion.state is State.CHECKING

    @pytest.mark.rfc("8445", "7.2.5.4")
    def test_a_checklist_with_a_valid_pair_for_each_component_goes_on(self) -> None:
        table, (pair,) = bench(Role.CONTROLLED)
        table.make_valid(pair)
        table.conclusion.update(now=100.0)
        assert table.generation().checklist.state is ChecklistState.RUNNING

    @pytest.mark.rfc("8445", "7.2.5.4")
    def test_a_checklist_that_lacks_one_component_fails(self) -> None:
        table, (one, two) = two_components(Role.CONTROLLED)
        table.make_valid(one)
        two.state = PairState.FAILED
        table.conclusion.update(now=PATIENCE)
        assert table.generation().checklist.state is ChecklistState.FAILED

    def test_a_pair_whose_relay_has_no_permission_does_not_hold_the_end_up(self) -> None:
        table = Bench()
        table.add_host()
        table.add_relay()
        table.meet()
        pair = table.make_pair(table.core.sockets[RELAYED])
        assert pair.state is PairState.WAITING
        table.conclusion.update(now=PATIENCE)
        assert table.conclusion.state is State.FAILED

    def test_failed_pairs_are_tried_again_while_patience_lasts(self) -> None:
        table, (pair,) = bench()
        pair.state = PairState.FAILED
        table.conclusion.update(now=10.0)
        assert deadline(table, TimerKind.RECHECK) == 15.0
        table.conclusion.update(now=11.0)
        assert deadline(table, TimerKind.RECHECK) == 15.0
        table.conclusion.recheck(table.core.streams[1])
        assert pair.state is PairState.WAITING

    def test_a_recheck_touches_only_what_failed(self) -> None:
        table, pairs = bench(Role.CONTROLLING, REMOTE, SECOND_REMOTE, THIRD_REMOTE)
        states = [PairState.FAILED, PairState.SUCCEEDED, PairState.IN_PROGRESS]
        for pair, state in zip(pairs, states, strict=True):
            pair.state = state
        table.conclusion.recheck(table.core.streams[1])
        assert [pair.state for pair in pairs] == [PairState.WAITING, *states[1:]]

    def test_there_is_no_recheck_that_patience_would_not_outlast(self) -> None:
        table, (pair,) = bench()
        pair.state = PairState.FAILED
        table.conclusion.update(now=PATIENCE - 5.0)
        assert deadline(table, TimerKind.RECHECK) is None


class TestOverallState:
    def test_is_new_until_checks_begin(self) -> None:
        table = Bench()
        table.conclusion.update(now=0.0)
        assert table.conclusion.state is State.NEW
        assert table.take() == []

    def test_runs_from_checking_over_connected_to_completed(self) -> None:
        table, (pair,) = bench()
        table.conclusion.update(now=0.1)
        table.make_valid(pair, now=0.2)
        table.conclusion.update(now=0.2)
        nominate(table, pair, now=0.3)
        table.conclusion.update(now=0.3)
        table.conclusion.update(now=0.4)
        assert [event.state for event in table.events(StateChanged)] == [
            State.CHECKING,
            State.CONNECTED,
            State.COMPLETED,
        ]

    @pytest.mark.rfc("8445", "6.1.3")
    def test_is_completed_when_every_checklist_is(self) -> None:
        table, pairs = self.two_streams()
        for index, pair in enumerate(pairs, 1):
            table.make_valid(pair)
            table.conclusion.on_nominated(table.core.streams[index], table.generation(index), pair, now=1.0)
            table.conclusion.update(now=1.0)
            assert table.conclusion.state is (State.CHECKING if index == 1 else State.COMPLETED)

    @pytest.mark.rfc("8445", "6.1.3")
    @pytest.mark.rfc("8445", "8.1.2")
    def test_is_failed_when_every_checklist_is_and_goes_on_without_the_failed_ones(self) -> None:
        table, pairs = self.two_streams()
        for pair in pairs:
            pair.state = PairState.FAILED
        table.make_valid(pairs[1])
        table.conclusion.update(now=PATIENCE)
        assert table.generation(1).failure is not None
        assert table.events(StateChanged) == [StateChanged(State.CHECKING)]
        table.conclusion.on_lost(table.core.streams[2], table.generation(2), pairs[1])
        table.conclusion.update(now=PATIENCE)
        assert table.conclusion.state is State.FAILED

    def test_is_disconnected_while_a_pair_in_use_is_quiet_and_recovers(self) -> None:
        table, (pair,) = connected()
        table.conclusion.update(now=10.0)
        assert table.take() == [StateChanged(State.DISCONNECTED, Cause.NO_RECENT_ANSWER)]
        pair.last_heard = 11.0
        table.conclusion.update(now=11.0)
        assert table.take() == [StateChanged(State.COMPLETED)]

    def two_streams(self) -> tuple[Bench, list[CandidatePair]]:
        table = Bench(settings(components=(1, 1)))
        pairs: list[CandidatePair] = []
        for stream in (1, 2):
            table.add_host(Address("192.0.2.1", 4000 + stream), stream=stream)
            table.meet(candidate(Address("198.51.100.7", 5000 + stream)), stream=stream)
            pairs += table.generation(stream).checklist.pairs.values()
        table.take()
        return table, pairs


class TestLite:
    @pytest.mark.rfc("8445", "8.2")
    def test_two_lite_agents_conclude_without_checks_whatever_their_roles(self) -> None:
        for role in Role:
            table = Bench(lite_config(role))
            table.add_host()
            generation = table.meet(candidate(), lite=True)
            generation.remote_ended = True
            table.conclusion.nominate(now=1.0)
            table.conclusion.update(now=1.0)
            assert table.conclusion.state is State.COMPLETED
            assert table.sent() == []

    def test_it_does_not_wait_for_checks_it_will_never_send(self) -> None:
        table = Bench(lite_config())
        table.add_host()
        table.make_pair(table.core.sockets[HOST])
        table.meet()
        table.conclusion.update(now=40.0)
        assert table.conclusion.state is State.FAILED


class TestRenomination:
    def bench(self) -> tuple[Bench, list[CandidatePair]]:
        table, pairs = bench(Role.CONTROLLED, REMOTE, SECOND_REMOTE, renomination=True)
        table.generation().renomination = Renomination(is_first_form=False)
        table.make_valid(pairs[0])
        return table, pairs

    @pytest.mark.rfc("renomination", "3.1")
    def test_the_last_nomination_wins_whatever_its_priority_and_other_pairs_stay(self) -> None:
        table, (better, other) = self.bench()
        nominate(table, better)
        assert table.generation().checklist.pairs.get(other.key) is other
        table.make_valid(other)
        nominate(table, other, now=2.0)
        table.conclusion.update(now=2.0)
        assert table.generation().nominated[1] is other
        assert table.core.streams[1].active[1] is other
        nominate(table, better, now=3.0)
        assert table.generation().nominated[1] is better

    def test_a_pair_that_fell_silent_rests_while_another_carries_data(self) -> None:
        table, (one, two) = self.bench()
        table.make_valid(two)
        nominate(table, one)
        table.conclusion.update(now=1.0)
        for _ in range(2):
            table.consent.failover.on_missed(one, [two], now=5.0)
        table.consent.grant(two, now=5.1)
        table.conclusion.update(now=5.1)
        assert table.core.streams[1].active[1] is two
        assert table.consent.is_warm(one)

    def test_the_controlling_side_reconsiders(self) -> None:
        table, (one, two) = bench(Role.CONTROLLING, REMOTE, SECOND_REMOTE, renomination=True)
        table.generation().renomination = Renomination(is_first_form=False)
        for pair in (one, two):
            table.make_valid(pair)
        nominate(table, one)
        table.conclusion.update(now=1.0)
        lose(table, one)
        table.conclusion.nominate(now=2.0)
        assert two.use_candidate

    def test_a_nominated_pair_whose_consent_ran_out_stays_in_use_only_while_it_is_asked_once_more(self) -> None:
        table, (pair, *_) = connected()
        table.consent.extend(table.generation(), pair, now=40.0)
        table.conclusion.update(now=40.0)
        assert table.core.streams[1].active[1] is pair
        table.consent.unwatch(pair)
        table.conclusion.update(now=41.0)
        assert table.core.streams[1].active == {}


@pytest.mark.rfc("6544", "8")
def test_a_concluded_stream_closes_the_connections_that_were_not_chosen() -> None:
    table = TcpTable()
    table.listen()
    other = Address(REMOTE.host, 6000)
    table.meet_over_tcp(tcp_candidate(), replace(tcp_candidate(other, priority=1), foundation=Foundation("8")))
    run_to(table, 0.02)
    chosen, left = table.connects()
    for connect in (left, chosen):
        table.open(connect.handle, now=0.02)
    table.answer_on(chosen.handle, now=0.03)
    table.answer_on(left.handle, now=0.03)
    run_to(table, 0.1)
    table.answer_on(chosen.handle, now=0.1)
    assert table.agent.snapshot().state is State.COMPLETED
    assert table.closes() == [Close(left.handle)]
