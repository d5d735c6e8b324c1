from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.entropy import IceCredentials, Secret
from icepath.errors import Cause, InvalidArgument
from icepath.ice.config import Role
from icepath.ice.core import TimerKey, TimerKind
from icepath.ice.events import CandidateGathered, StreamFailed
from icepath.ice.pair import CandidatePair, PairState
from icepath.ice.restart import check_fresh, remove_base, remove_relay, restart_stream
from icepath.machine import DropFlow, FlowKey
from icepath.net import Address
from icepath.wire.message import Method, decode_message
from unit.ice.builders import HOST, MAPPED, OWN, RELAYED, REMOTE, SERVER, THEIRS, Bench, candidate, config

SECOND_HOST = Address("192.0.2.2", 4000)
SECOND_REMOTE = Address("198.51.100.7", 5002)
FRESH = IceCredentials("freshufrag", Secret("fresh-password-of-24-char"))
FRESHER = IceCredentials("fresher", Secret("fresher-password-24-chars"))


def bench(role: Role = Role.CONTROLLING) -> tuple[Bench, list[CandidatePair]]:
    """Makes an agent with two pairs, the first one valid and in use."""
    table = Bench(config(role))
    table.add_host()
    table.meet(candidate(), candidate(SECOND_REMOTE, foundation="2", priority=5))
    pairs = list(table.generation().checklist.pairs.values())
    table.make_valid(pairs[0])
    table.conclusion.update(now=0.5)
    table.take()
    return table, pairs


def restart(table: Bench, credentials: IceCredentials = FRESH) -> None:
    stream = table.core.streams[1]
    restart_stream(table.core, table.consent, table.gatherer, stream, credentials, now=1.0)


class TestFreshness:
    @pytest.mark.rfc("8445", "9")
    @pytest.mark.parametrize(
        "credentials",
        [OWN, IceCredentials(OWN.ufrag, FRESH.password), IceCredentials(FRESH.ufrag, OWN.password)],
    )
    def test_both_ufrag_and_password_must_be_new(self, credentials: IceCredentials) -> None:
        table, _ = bench()
        with pytest.raises(InvalidArgument, match="new ufrag and password"):
            check_fresh(table.core.streams.values(), credentials)

    def test_those_of_the_session_before_are_not_new_either(self) -> None:
        table, _ = bench()
        restart(table)
        for known in (OWN, FRESH):
            with pytest.raises(InvalidArgument):
                check_fresh(table.core.streams.values(), known)
        check_fresh(table.core.streams.values(), FRESHER)


class TestRestart:
    @pytest.mark.rfc("8445", "9")
    def test_a_new_session_begins_with_nothing_of_the_other_side(self) -> None:
        table, pairs = bench()
        old = table.generation()
        restart(table)
        generation = table.generation()
        assert generation.number == old.number + 1
        assert generation.credentials == FRESH
        assert generation.remote is None
        assert not generation.remote_candidates
        assert not generation.checklist.pairs
        assert table.core.streams[1].previous is old
        assert list(table.core.checklists.pairs()) == []
        assert table.core.generation_of(pairs[0]) is old

    @pytest.mark.rfc("8445", "6.1.1")
    @pytest.mark.rfc("8445", "9")
    @pytest.mark.parametrize("role", list(Role))
    def test_the_role_stays(self, role: Role) -> None:
        table, _ = bench(role)
        tie_breaker = table.core.tie_breaker
        restart(table)
        assert (table.core.role, table.core.tie_breaker) == (role, tie_breaker)

    @pytest.mark.rfc("8445", "9")
    @pytest.mark.rfc("7675", "5.1")
    def test_the_pair_in_use_stays_in_use_under_its_own_consent(self) -> None:
        table, (used, unused) = bench()
        restart(table)
        assert used.valid is not None
        assert unused.state is PairState.FAILED
        assert table.core.streams[1].active == {1: used}
        assert table.consent.watched(used.id) is used
        table.take()
        table.consent.check(table.core.streams[1].generations()[1], used, now=5.0)
        (sent,) = table.sent()
        assert decode_message(sent.payload).method == Method.BINDING

    def test_checks_of_the_old_session_end(self) -> None:
        table, (_, unused) = bench()
        table.outgoing.send(table.generation(), unused, now=0.6)
        transaction = table.core.transactions.get(unused.transaction_id) if unused.transaction_id else None
        assert transaction is not None
        table.generation().checklist.enqueue_triggered(unused)
        restart(table)
        assert transaction.is_cancelled
        assert not table.core.checklists.has_triggered()

    def test_its_deadlines_are_those_of_the_new_session(self) -> None:
        table, _ = bench()
        kinds = (TimerKind.PATIENCE, TimerKind.RECHECK, TimerKind.NOMINATION)
        for kind in kinds:
            table.core.timers.set(TimerKey(kind, 1), 9.0)
        restart(table)
        assert [table.core.timers.deadline(TimerKey(kind, 1)) for kind in kinds] == [None] * 3

    @pytest.mark.rfc("8445", "9")
    def test_the_candidates_are_told_again(self) -> None:
        table, _ = bench()
        restart(table)
        (event,) = table.events(CandidateGathered)
        assert (event.candidate.address, event.candidate.ufrag) == (HOST, FRESH.ufrag)

    def test_a_restart_of_a_restart_keeps_the_pair_that_carries_data(self) -> None:
        table, (used, _) = bench()
        first = table.generation()
        restart(table)
        table.meet(candidate(), candidate(SECOND_REMOTE))
        middle = list(table.generation().checklist.pairs.values())
        table.make_valid(middle[1])
        table.conclusion.update(now=1.5)
        table.take()
        restart(table, FRESHER)
        assert table.core.streams[1].previous is first
        assert table.core.streams[1].active == {1: used}
        assert [pair.valid for pair in middle] == [None, None]
        assert DropFlow(FlowKey(HOST, SECOND_REMOTE)) in table.take()
        assert table.generation().credentials == FRESHER
        assert table.generation().number == first.number + 2

    @pytest.mark.rfc("8445", "7.3")
    def test_checks_of_both_sessions_are_known_by_their_ufrag(self) -> None:
        table, _ = bench()
        old = table.generation()
        restart(table)
        stream = table.core.streams[1]
        assert stream.by_ufrag(OWN.ufrag) is old
        assert stream.by_ufrag(FRESH.ufrag) is table.generation()
        assert stream.by_ufrag(THEIRS.ufrag) is None


class TestRemoveBase:
    @pytest.mark.rfc("8445", "5.1.1.4")
    def test_its_candidates_and_pairs_go_and_others_stay(self) -> None:
        table, _ = bench()
        other = table.add_host(SECOND_HOST)
        table.take()
        socket = table.core.sockets.pop(HOST)
        remove_base(table.core, table.conclusion, socket)
        assert {address for address, _ in table.generation().candidates} == {SECOND_HOST}
        assert {pair.local.base for pair in table.generation().checklist.pairs.values()} == {other.address}
        assert table.core.streams[1].active == {}
        assert table.take() == [DropFlow(FlowKey(HOST, REMOTE))]

    def test_during_a_restart_it_goes_from_both_sessions(self) -> None:
        table, _ = bench()
        old = table.generation()
        restart(table)
        socket = table.core.sockets.pop(HOST)
        remove_base(table.core, table.conclusion, socket)
        assert not old.candidates
        assert not old.checklist.pairs
        assert not table.generation().candidates

    def test_the_base_of_the_selected_pair_takes_the_stream_with_it(self) -> None:
        table, (used, _) = bench()
        table.conclusion.on_nominated(table.core.streams[1], table.generation(), used, now=0.6)
        table.take()
        socket = table.core.sockets.pop(HOST)
        remove_base(table.core, table.conclusion, socket)
        assert table.events(StreamFailed) == [StreamFailed(1, Cause.CONSENT_EXPIRED)]


class TestRemoveRelay:
    def test_its_addresses_go_and_the_allocation_is_given_back(self) -> None:
        table, _ = bench()
        relay = table.add_relay()
        pair = table.make_pair(table.core.sockets[RELAYED], candidate(SECOND_REMOTE))
        relay.is_over = True
        table.take()
        remove_relay(table.core, table.conclusion, relay, now=1.0)
        assert not relay.is_over
        assert RELAYED not in table.core.sockets
        assert HOST in table.core.sockets
        assert table.core.generation_of(pair) is None
        addresses = {address for address, _ in table.generation().candidates}
        assert addresses == {HOST, MAPPED}
        (sent,) = table.sent()
        assert sent.remote == SERVER
        assert decode_message(sent.payload).method == Method.REFRESH

    def test_an_address_that_was_never_used_is_no_matter(self) -> None:
        table = Bench(replace(config(), close_timeout=0.5))
        table.add_host()
        relay = table.add_relay(HOST)  # identical to the host candidate: discarded (RFC 8445 §5.1.1.2)
        relay.relayed = (RELAYED,)
        remove_relay(table.core, table.conclusion, relay, now=1.0)
        assert set(table.core.sockets) == {HOST}
        table.run_relay(relay, now=1.5)
        assert not table.core.relays
