from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.ice.candidate import candidate_priority, tcp_priority
from icepath.ice.config import AgentConfig, Role, RtoView, rto_by_rfc
from icepath.ice.core import Check, Socket
from icepath.ice.events import RoleChanged
from icepath.ice.outgoing import Judgement, Verdict
from icepath.ice.pair import CandidatePair, PairState
from icepath.ice.pairing import flow_key
from icepath.ice.renomination import Renomination
from icepath.machine import DropFlow
from icepath.net import Address
from icepath.stun.transaction import Match, Retransmission, TimedOut
from icepath.wire.attributes import (
    DtlsInStun,
    DtlsInStunAcknowledgement,
    ErrorCode,
    IceControlled,
    IceControlling,
    MappedAddress,
    Nomination,
    Priority,
    UnknownAttribute,
    UseCandidate,
    Username,
    XorMappedAddress,
)
from icepath.wire.candidate_line import CandidateType, TcpType
from icepath.wire.message import Message, MessageClass, Method, decode_message, verify
from unit.ice.builders import (
    HOST,
    MAPPED,
    OWN,
    REMOTE,
    THEIR_KEY,
    THEIRS,
    Bench,
    candidate,
    config,
    local_candidate,
    reply,
    transaction_of,
)
from unit.ice.tcp_table import OUR_PORT, TcpTable

OTHER_HOST = Address("192.0.2.2", 4000)


def bench(settings: AgentConfig | None = None) -> tuple[Bench, Socket, CandidatePair]:
    """Makes an agent with one pair, not checked yet."""
    table = Bench(settings)
    socket = table.add_host()
    table.meet(candidate())
    (pair,) = table.generation().checklist.pairs.values()
    table.take()
    return table, socket, pair


def send(table: Bench, pair: CandidatePair, *, now: float = 0.0) -> Message:
    """Sends a check; returns it as the remote agent decodes it."""
    table.outgoing.send(table.generation(), pair, now=now)
    (datagram,) = table.sent()
    return decode_message(datagram.payload)


def judge(table: Bench, pair: CandidatePair, *, mapped: Address | None = None, now: float = 0.0) -> Judgement:
    """Lets the pair's running check succeed."""
    check = table.check_of(pair)
    return table.outgoing.on_response(
        table.generation(), check, table.answer_check(pair, mapped=mapped, now=now), now=now
    )


class TestRequest:
    @pytest.mark.rfc("8445", "7.2.4")
    def test_goes_from_the_base_to_the_remote_candidate(self) -> None:
        table, _, pair = bench()
        table.outgoing.send(table.generation(), pair, now=1.0)
        (datagram,) = table.sent()
        assert (datagram.local, datagram.remote) == (HOST, REMOTE)
        message = decode_message(datagram.payload)
        assert (message.method, message.message_class) == (Method.BINDING, MessageClass.REQUEST)
        assert pair.state is PairState.IN_PROGRESS
        assert pair.counts.requests_sent == 1

    @pytest.mark.rfc("8445", "7.2.2")
    def test_carries_both_ufrags_and_is_signed_with_the_remotes_password(self) -> None:
        table, _, pair = bench()
        message = send(table, pair)
        assert message.get(Username) == Username(f"{THEIRS.ufrag}:{OWN.ufrag}")
        verify(message, THEIR_KEY)

    @pytest.mark.rfc("8445", "7.2.4")
    def test_carries_a_fingerprint_and_is_no_message_of_rfc_3489(self) -> None:
        table, _, pair = bench()
        message = send(table, pair)
        assert message.has_fingerprint
        assert not message.is_rfc3489

    @pytest.mark.rfc("8445", "7.1.1")
    def test_its_priority_is_that_of_a_peer_reflexive_candidate_of_the_same_base(self) -> None:
        table = Bench(replace(config(), components=(2,)))
        table.add_host(OTHER_HOST, component=2)
        socket = table.add_host(component=2)
        pair = table.make_pair(socket, candidate(component=2))
        table.meet()
        expected = candidate_priority(CandidateType.PEER_REFLEXIVE, socket.preference, 2)
        table.take()
        assert send(table, pair).get(Priority) == Priority(expected)
        assert pair.local.candidate.priority == candidate_priority(CandidateType.HOST, socket.preference, 2)

    @pytest.mark.rfc("8445", "7.1.3")
    @pytest.mark.parametrize("role", list(Role))
    def test_tells_the_role_and_the_tie_breaker(self, role: Role) -> None:
        table, _, pair = bench(config(role))
        message = send(table, pair)
        tie_breaker = table.core.tie_breaker
        is_controlling = role is Role.CONTROLLING
        assert message.get(IceControlling) == (IceControlling(tie_breaker) if is_controlling else None)
        assert message.get(IceControlled) == (None if is_controlling else IceControlled(tie_breaker))

    @pytest.mark.rfc("8445", "7.1.2")
    @pytest.mark.parametrize(
        ("role", "is_nominating", "expected"),
        [
            (Role.CONTROLLING, True, True),
            (Role.CONTROLLING, False, False),
            (Role.CONTROLLED, True, False),
        ],
    )
    def test_only_a_controlling_agent_nominates(self, role: Role, is_nominating: bool, expected: bool) -> None:
        table, _, pair = bench(config(role))
        pair.use_candidate = is_nominating
        assert (send(table, pair).get(UseCandidate) is not None) is expected
        assert table.check_of(pair).use_candidate is expected

    @pytest.mark.rfc("8445", "14.3")
    @pytest.mark.rfc("8489", "6.2.1")
    def test_is_sent_again_by_the_schedule_of_an_rto_of_half_a_second(self) -> None:
        table, _, pair = bench()
        send(table, pair)
        times = []
        while (at := table.core.transactions.next_deadline()) is not None:
            (due,) = table.core.transactions.due(at)
            times.append(at)
            assert isinstance(due, TimedOut if at == 39.5 else Retransmission)
        assert times == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 39.5]

    @pytest.mark.rfc("8445", "14.3")
    def test_the_rto_may_grow_with_the_number_of_checks(self) -> None:
        views: list[RtoView] = []

        def watch(view: RtoView) -> float:
            views.append(view)
            return rto_by_rfc(view)

        table = Bench(replace(config(), rto=watch, pacing=0.100))
        socket = table.add_host()
        table.meet(*[candidate(Address("198.51.100.7", port), foundation=str(port)) for port in range(1, 11)])
        pairs = list(table.generation().checklist.pairs.values())
        pairs[0].state = PairState.FAILED
        table.take()
        table.core.transactions.clear()
        send(table, pairs[1])
        assert socket.address == HOST
        assert views == [RtoView(0.100, 10, 9)]
        assert table.core.transactions.next_deadline() == pytest.approx(9.0)

    def test_waits_for_the_remote_description(self) -> None:
        table = Bench()
        pair = table.make_pair(table.add_host())
        table.take()
        table.outgoing.send(table.generation(), pair, now=0.0)
        assert table.take() == []
        assert pair.state is not PairState.IN_PROGRESS

    @pytest.mark.rfc("8445", "7.3.1.4")
    def test_a_new_check_of_the_pair_cancels_the_one_under_way(self) -> None:
        table, _, pair = bench()
        first = send(table, pair)
        second = send(table, pair, now=0.1)
        assert first.transaction_id != second.transaction_id
        transaction = table.core.transactions.get(first.transaction_id)
        assert transaction is not None
        assert transaction.is_cancelled
        assert transaction_of(pair) == second.transaction_id


class TestSuccess:
    @pytest.mark.rfc("8445", "7.2.5.3.2")
    @pytest.mark.rfc("8445", "7.2.5.3.3")
    def test_makes_the_pair_valid_and_succeeded(self) -> None:
        table, _, pair = bench()
        send(table, pair)
        judgement = judge(table, pair, now=0.08)
        assert judgement == Judgement(pair, Verdict.SUCCEEDED, is_nominated=False, is_newly_valid=True)
        assert pair.state is PairState.SUCCEEDED
        assert pair.valid is pair.local
        assert (pair.valid_since, pair.counts.responses_received, pair.last_heard) == (0.08, 1, 0.08)
        assert pair.rtt == pair.counts.rtt_total == pytest.approx(0.08)
        assert not pair.is_nominated

    @pytest.mark.rfc("8445", "7.2.5.3.2")
    def test_a_known_mapped_address_gives_a_valid_pair_with_that_candidate(self) -> None:
        table, _, pair = bench()
        reflexive = local_candidate(MAPPED, CandidateType.SERVER_REFLEXIVE, base=HOST)
        table.generation().candidates[MAPPED, 1] = reflexive
        send(table, pair)
        judge(table, pair, mapped=MAPPED)
        assert pair.valid is reflexive
        assert len(table.generation().candidates) == 2

    @pytest.mark.rfc("8445", "7.2.5.3.1")
    def test_an_unknown_mapped_address_is_a_new_peer_reflexive_candidate(self) -> None:
        table, _, pair = bench()
        message = send(table, pair)
        judge(table, pair, mapped=MAPPED)
        learnt = table.generation().candidates[MAPPED, 1]
        assert pair.valid is learnt
        assert learnt.base == HOST
        assert learnt.candidate.type is CandidateType.PEER_REFLEXIVE
        assert message.get(Priority) == Priority(learnt.candidate.priority)
        assert learnt.candidate.related_address == HOST
        assert learnt.candidate.ufrag == OWN.ufrag
        assert learnt.candidate.foundation != pair.local.candidate.foundation

    @pytest.mark.rfc("8445", "5.1.1.3")
    def test_peer_reflexive_candidates_of_one_base_address_have_one_foundation(self) -> None:
        table, _, pair = bench()
        foundations = set()
        for port in (1, 2):
            send(table, pair)
            judge(table, pair, mapped=Address("203.0.113.77", port))
            assert pair.valid is not None
            foundations.add(pair.valid.candidate.foundation)
        assert len(foundations) == 1

    def test_the_number_of_learnt_candidates_is_limited(self) -> None:
        table, _, pair = bench(replace(config(), max_remote_candidates=2))
        for port in range(1, 5):
            send(table, pair)
            judge(table, pair, mapped=Address("203.0.113.77", port))
        assert len(table.generation().candidates) == 2
        assert pair.valid is not None
        assert pair.valid.address.port == 4

    @pytest.mark.rfc("8445", "7.2.5.3.3")
    def test_unfreezes_the_pairs_of_its_foundation(self) -> None:
        table = Bench(replace(config(), components=(2,)))
        sockets = [table.add_host(), table.add_host(Address("192.0.2.1", 4001), component=2)]
        table.meet(candidate(), candidate(component=2))
        first, second = table.generation().checklist.pairs.values()
        assert (first.local.base, second.local.base) == tuple(socket.address for socket in sockets)
        before = second.state
        table.take()
        send(table, first)
        judge(table, first)
        assert (before, second.state) == (PairState.FROZEN, PairState.WAITING)

    def test_the_round_trip_is_not_told_when_the_check_was_sent_twice(self) -> None:
        table, _, pair = bench()
        send(table, pair)
        table.core.transactions.due(0.5)
        judge(table, pair, now=0.6)
        assert pair.rtt is None

    @pytest.mark.rfc("8445", "7.2.5.3.4")
    def test_a_nominating_check_nominates(self) -> None:
        table, _, pair = bench()
        pair.use_candidate = True
        send(table, pair)
        assert judge(table, pair).is_nominated

    @pytest.mark.rfc("8445", "7.2.5.3.4")
    @pytest.mark.rfc("8445", "7.3.1.5")
    def test_a_controlled_agents_check_nominates_when_the_remote_asked_for_it(self) -> None:
        table, _, pair = bench(config(Role.CONTROLLED))
        pair.nominate_on_success = True
        send(table, pair)
        assert judge(table, pair).is_nominated

    def test_a_nominating_check_counts_no_more_once_the_role_is_lost(self) -> None:
        table, _, pair = bench()
        pair.use_candidate = True
        send(table, pair)
        table.core.change_role(Role.CONTROLLED, draw_tie_breaker=False)
        assert not judge(table, pair).is_nominated

    def test_a_second_success_is_no_new_validity(self) -> None:
        table, _, pair = bench()
        for now in (1.0, 2.0):
            send(table, pair, now=now)
            judgement = judge(table, pair, now=now)
        assert not judgement.is_newly_valid
        assert pair.valid_since == 1.0


class TestCancelledCheck:
    """The answer to a check that a triggered one replaced (RFC 8445 §7.3.1.4)."""

    def late_answer(self, table: Bench, first: Message) -> Judgement:
        data = reply(first, [XorMappedAddress(HOST)], key=THEIR_KEY)
        match = table.core.transactions.match(decode_message(data), local=HOST, remote=REMOTE, now=1.0)
        assert isinstance(match, Match)
        check = match.transaction.context
        assert isinstance(check, Check)
        return table.outgoing.on_response(table.generation(), check, match, now=1.0)

    @pytest.mark.rfc("8445", "7.3.1.4")
    def test_ends_the_wait_for_the_triggered_one(self) -> None:
        table, _, pair = bench()
        first = send(table, pair)
        second = send(table, pair)
        assert self.late_answer(table, first).verdict is Verdict.SUCCEEDED
        assert pair.state is PairState.SUCCEEDED
        assert pair.transaction_id is None
        replaced = table.core.transactions.get(second.transaction_id)
        assert replaced is not None
        assert replaced.is_cancelled

    @pytest.mark.rfc("8445", "7.3.1.4")
    def test_takes_a_waiting_triggered_check_out_of_the_queue(self) -> None:
        table, _, pair = bench()
        first = send(table, pair)
        table.generation().checklist.enqueue_triggered(pair)
        assert self.late_answer(table, first).verdict is Verdict.SUCCEEDED
        assert pair.state is PairState.SUCCEEDED
        assert not table.generation().checklist.triggered

    def test_lets_a_nominating_check_go_on(self) -> None:
        table, _, pair = bench()
        first = send(table, pair)
        pair.use_candidate = True
        second = send(table, pair)
        judgement = self.late_answer(table, first)
        assert judgement.verdict is Verdict.SUCCEEDED
        assert not judgement.is_nominated
        assert pair.state is PairState.IN_PROGRESS
        assert transaction_of(pair) == second.transaction_id

    def test_leaves_a_nominating_check_in_the_queue(self) -> None:
        table, _, pair = bench()
        first = send(table, pair)
        pair.use_candidate = True
        table.generation().checklist.enqueue_triggered(pair)
        self.late_answer(table, first)
        assert list(table.generation().checklist.triggered) == [pair]


class TestFailure:
    @pytest.mark.rfc("8445", "7.2.5.2.4")
    @pytest.mark.rfc("8445", "7.3")
    @pytest.mark.parametrize("code", [300, 400, 401, 420, 500])
    def test_an_error_response_fails_the_pair(self, code: int) -> None:
        table, _, pair = bench()
        send(table, pair)
        check = table.check_of(pair)
        match = table.answer_check(pair, code=code)
        assert table.outgoing.on_response(table.generation(), check, match, now=0.0) == Judgement(pair, Verdict.FAILED)
        assert pair.state is PairState.FAILED
        assert pair.valid is None
        assert pair.transaction_id is None

    @pytest.mark.rfc("8445", "7.2.5.2")
    def test_a_failure_leaves_others_of_the_foundation_alone(self) -> None:
        table = Bench(replace(config(), components=(2,)))
        table.add_host()
        table.add_host(Address("192.0.2.1", 4001), component=2)
        table.meet(candidate(), candidate(component=2))
        first, second = table.generation().checklist.pairs.values()
        table.take()
        send(table, first)
        table.outgoing.fail(table.check_of(first))
        assert second.state is PairState.FROZEN

    @pytest.mark.rfc("8445", "7.2.5.3.1")
    def test_a_success_without_the_mapped_address_is_none(self) -> None:
        table, _, pair = bench()
        send(table, pair)
        check = table.check_of(pair)
        match = table.answer_check(pair, attributes=[MappedAddress(HOST)])
        assert table.outgoing.on_response(table.generation(), check, match, now=0.0).verdict is Verdict.FAILED

    @pytest.mark.rfc("8489", "6.3.3")
    def test_a_success_with_an_attribute_that_must_be_understood_is_none(self) -> None:
        table, _, pair = bench()
        send(table, pair)
        check = table.check_of(pair)
        match = table.answer_check(pair, attributes=[XorMappedAddress(HOST), UnknownAttribute(0x7F00, b"what")])
        assert table.outgoing.on_response(table.generation(), check, match, now=0.0).verdict is Verdict.FAILED
        assert pair.valid is None

    @pytest.mark.rfc("8445", "7.3.1.4")
    @pytest.mark.parametrize("answer", [ErrorCode(500, ""), MappedAddress(HOST)])
    def test_a_bad_answer_to_a_cancelled_check_fails_nothing(self, answer: ErrorCode | MappedAddress) -> None:
        table, _, pair = bench()
        first = send(table, pair)
        check = table.check_of(pair)
        second = send(table, pair)
        data = reply(first, [answer], key=THEIR_KEY, is_error=isinstance(answer, ErrorCode))
        match = table.core.transactions.match(decode_message(data), local=HOST, remote=REMOTE, now=0.1)
        assert isinstance(match, Match)
        judgement = table.outgoing.on_response(table.generation(), check, match, now=0.1)
        assert judgement.verdict is Verdict.IGNORED
        assert pair.state is PairState.IN_PROGRESS
        assert transaction_of(pair) == second.transaction_id

    def test_a_valid_pair_survives_a_plain_check_that_fails(self) -> None:
        table, _, pair = bench()
        table.make_valid(pair)
        table.take()
        send(table, pair)
        assert table.outgoing.fail(table.check_of(pair)).verdict is Verdict.IGNORED
        assert pair.state is PairState.SUCCEEDED
        assert pair.is_valid

    @pytest.mark.rfc("8445", "7.2.5.3.4")
    def test_a_failed_nomination_takes_the_pair_off_the_valid_list(self) -> None:
        table, _, pair = bench()
        table.make_valid(pair)
        key = flow_key(table.core, pair)
        assert key is not None
        pair.use_candidate = True
        table.take()
        send(table, pair)
        assert table.outgoing.fail(table.check_of(pair)).verdict is Verdict.FAILED
        assert pair.state is PairState.FAILED
        assert table.generation().checklist.valid_pairs(1) == []
        assert not pair.use_candidate
        assert table.take() == [DropFlow(key)]


class TestRoleConflict:
    def conflict(self, role: Role) -> tuple[Bench, CandidatePair, Judgement]:
        table, _, pair = bench(config(role))
        pair.use_candidate = True
        send(table, pair)
        check = table.check_of(pair)
        match = table.answer_check(pair, code=487)
        return table, pair, table.outgoing.on_response(table.generation(), check, match, now=0.0)

    @pytest.mark.rfc("8445", "7.2.5.1")
    @pytest.mark.parametrize(
        ("role", "after"), [(Role.CONTROLLING, Role.CONTROLLED), (Role.CONTROLLED, Role.CONTROLLING)]
    )
    def test_a_487_takes_the_other_role_and_a_new_tie_breaker(self, role: Role, after: Role) -> None:
        before = Bench(config(role)).core.tie_breaker
        table, _, judgement = self.conflict(role)
        assert judgement.verdict is Verdict.ROLE_CONFLICT
        assert table.core.role is after
        assert table.core.tie_breaker != before
        assert table.events(RoleChanged) == [RoleChanged(after)]

    @pytest.mark.rfc("8445", "7.2.5.1")
    def test_the_pair_is_checked_again_in_the_new_role_without_nominating(self) -> None:
        table, pair, _ = self.conflict(Role.CONTROLLING)
        assert pair.state is PairState.WAITING
        assert list(table.generation().checklist.triggered) == [pair]
        table.take()
        message = send(table, pair)
        assert message.get(IceControlled) == IceControlled(table.core.tie_breaker)
        assert message.get(UseCandidate) is None

    @pytest.mark.rfc("8445", "7.2.5.1")
    def test_pair_priorities_are_computed_anew(self) -> None:
        table = Bench()
        table.add_host()
        table.meet(candidate(priority=5))
        (pair,) = table.generation().checklist.pairs.values()
        before = pair.priority
        table.take()
        send(table, pair)
        check = table.check_of(pair)
        table.outgoing.on_response(table.generation(), check, table.answer_check(pair, code=487), now=0.0)
        assert pair.priority == before - 1

    @pytest.mark.rfc("8445", "7.2.5.1")
    def test_several_487s_about_one_role_change_it_once(self) -> None:
        table = Bench()
        table.add_host()
        remotes = [Address("198.51.100.7", port) for port in (1, 2)]
        table.meet(*[candidate(remote, foundation=str(remote.port)) for remote in remotes])
        pairs = list(table.generation().checklist.pairs.values())
        table.take()
        for pair in pairs:
            send(table, pair)
        for pair in pairs:
            check = table.check_of(pair)
            table.outgoing.on_response(table.generation(), check, table.answer_check(pair, code=487), now=0.0)
        assert table.core.role is Role.CONTROLLED
        assert table.events(RoleChanged) == [RoleChanged(Role.CONTROLLED)]
        assert list(table.generation().checklist.triggered) == pairs

    @pytest.mark.rfc("8445", "16.1")
    def test_each_487_changes_the_tie_breaker_whoever_changed_the_role(self) -> None:
        table = Bench()
        socket = table.add_host()
        table.meet()
        pair = table.make_pair(socket)
        send(table, pair)
        check = table.check_of(pair)
        table.core.change_role(Role.CONTROLLED, draw_tie_breaker=False)
        before = table.core.tie_breaker
        table.outgoing.on_response(table.generation(), check, table.answer_check(pair, code=487), now=0.0)
        assert table.core.role is Role.CONTROLLED
        assert table.core.tie_breaker != before


class TestRenomination:
    def bench(self) -> tuple[Bench, CandidatePair]:
        table, _, pair = bench(replace(config(), renomination=True))
        table.generation().renomination = Renomination(is_first_form=False)
        pair.use_candidate = True
        return table, pair

    @pytest.mark.rfc("renomination", "3.1")
    def test_each_nominating_check_carries_a_larger_value(self) -> None:
        table, pair = self.bench()
        assert [send(table, pair).get(Nomination) for _ in range(2)] == [Nomination(1), Nomination(2)]
        pair.use_candidate = False
        assert send(table, pair).get(Nomination) is None

    @pytest.mark.parametrize("is_overtaken", [False, True])
    def test_an_answer_counts_unless_another_nomination_was_sent_since(self, is_overtaken: bool) -> None:
        table, pair = self.bench()
        send(table, pair)
        renomination = table.generation().renomination
        assert renomination is not None
        if is_overtaken:
            renomination.next(1)
        assert judge(table, pair).is_nominated is not is_overtaken


@pytest.mark.rfc("sped", "3.3.4")
def test_a_check_carries_an_applications_packet() -> None:
    table, _, pair = bench(replace(config(), sped=True))
    table.core.embeddings[1, 1].begin([b"\x16hello"], 100)
    message = send(table, pair)
    assert message.get(DtlsInStun) == DtlsInStun(b"\x16hello")
    assert message.get(DtlsInStunAcknowledgement) == DtlsInStunAcknowledgement(b"")


@pytest.mark.rfc("6544", "7.1")
def test_a_check_on_a_connection_tells_a_tcp_priority_and_reveals_where_we_connected_from() -> None:
    table = TcpTable()
    handle = table.connect_over_tcp()
    request = table.last_request_on(handle)
    priority = request.get(Priority)
    assert priority == Priority(tcp_priority(CandidateType.PEER_REFLEXIVE, TcpType.ACTIVE, 8190, 1))
    (pair,) = table.agent.snapshot().pairs
    assert (pair.local.type, pair.local.tcp_type) == (CandidateType.PEER_REFLEXIVE, TcpType.ACTIVE)
    assert pair.local.address == OUR_PORT
