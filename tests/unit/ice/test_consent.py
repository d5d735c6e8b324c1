from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import inf

import pytest

from icepath.ice.consent import CHANCE, CONSENT_LIFETIME, EXTENSION, IDLE_INTERVAL, STEP
from icepath.ice.core import ConsentCheck, TimerKey, TimerKind
from icepath.ice.pair import CandidatePair
from icepath.ice.renomination import Renomination
from icepath.machine import Deliver, DropFlow, FlowKey, SetFlow
from icepath.net import Instant
from icepath.stun.transaction import Match, TimedOut
from icepath.wire.attributes import Priority, UseCandidate, Username
from icepath.wire.message import Message, MessageClass, Method, decode_message, verify
from unit.ice.builders import (
    HOST,
    OWN,
    RELAYED,
    REMOTE,
    SERVER,
    THEIR_KEY,
    THEIRS,
    Bench,
    candidate,
    config,
    lite_config,
    reply,
)


def bench() -> tuple[Bench, CandidatePair]:
    """Makes an agent whose only pair became valid at 0 s and is watched."""
    table = Bench()
    table.add_host()
    table.meet(candidate())
    (pair,) = table.generation().checklist.pairs.values()
    table.make_valid(pair)
    table.consent.watch(pair, now=0.0)
    table.take()
    return table, pair


def deadline(table: Bench, kind: TimerKind, pair: CandidatePair) -> Instant | None:
    return table.core.timers.deadline(TimerKey(kind, pair.id))


def check(table: Bench, pair: CandidatePair, *, now: Instant) -> Message:
    table.consent.check(table.generation(), pair, now=now)
    (datagram,) = table.sent()
    assert (datagram.local, datagram.remote) == (HOST, REMOTE)
    return decode_message(datagram.payload)


class TestGrant:
    @pytest.mark.rfc("7675", "5.1")
    def test_an_answer_allows_sending_for_30_seconds(self) -> None:
        table, pair = bench()
        table.consent.grant(pair, now=7.0)
        assert pair.consent_until == 37.0
        assert pair.may_send_data(36.999)
        assert not pair.may_send_data(37.0)
        assert pair.last_heard == 7.0
        assert deadline(table, TimerKind.EXPIRY, pair) == 37.0

    @pytest.mark.rfc("7675", "5.1")
    def test_the_driver_may_deliver_by_itself_no_longer_than_that(self) -> None:
        table, pair = bench()
        table.consent.grant(pair, now=7.0)
        assert table.take() == [SetFlow(FlowKey(HOST, REMOTE), Deliver(1, 1), 7.0 + CONSENT_LIFETIME)]

    def test_a_pair_that_is_not_watched_expires_in_silence(self) -> None:
        table, pair = bench()
        table.consent.unwatch(pair)
        table.consent.grant(pair, now=7.0)
        assert pair.consent_until == 37.0
        assert deadline(table, TimerKind.EXPIRY, pair) is None

    def test_a_pair_without_consent_has_no_flow(self) -> None:
        table, pair = bench()
        pair.consent_until = None
        table.consent.permit_flow(pair)
        assert table.take() == []

    def test_through_a_relay_the_driver_delivers_what_comes_on_a_channel(self) -> None:
        table = Bench()
        table.add_host()
        relay = table.add_relay()
        table.permit(relay)
        table.meet()
        pair = table.make_pair(table.core.sockets[RELAYED])
        table.make_valid(pair)
        table.take()
        table.consent.grant(pair, now=1.0)
        assert table.take() == []
        channel = table.bind_channel(relay)
        table.consent.grant(pair, now=2.0)
        assert table.take() == [SetFlow(FlowKey(HOST, SERVER, channel), Deliver(1, 1, unwrap=True), 32.0)]

    def test_a_flow_that_was_given_for_another_channel_is_taken_back(self) -> None:
        table, pair = bench()
        table.consent.grant(pair, now=1.0)
        old = pair.flow = FlowKey(HOST, SERVER, 0x4000)
        table.take()
        table.consent.grant(pair, now=2.0)
        flow = FlowKey(HOST, REMOTE)
        assert table.take() == [DropFlow(old), SetFlow(flow, Deliver(1, 1), 32.0)]
        assert pair.flow == flow


class TestChecks:
    @pytest.mark.rfc("7675", "5.1")
    def test_the_next_check_is_4_to_6_seconds_away_at_a_random_distance(self) -> None:
        table, pair = bench()
        delays = []
        now = 0.0
        for _ in range(400):
            at = deadline(table, TimerKind.CONSENT, pair)
            assert at is not None
            delays.append(at - now)
            now = at + 0.0001  # a wake-up is always a little late
            check(table, pair, now=now)
        assert 4.0 <= min(delays) < 4.2
        assert 5.8 < max(delays) <= 6.0
        assert len({round(delay / STEP) for delay in delays}) == 16  # every step there is
        assert max(Counter(round(delay / STEP) for delay in delays).values()) < 60

    def test_checks_of_all_agents_fall_on_the_same_instants(self) -> None:
        table, pair = bench()
        for now in (0.0, 7.3, 1e6 + 0.1):
            check(table, pair, now=now)
            at = deadline(table, TimerKind.CONSENT, pair)
            assert at is not None
            assert at % STEP == 0

    @pytest.mark.rfc("7675", "5.1")
    def test_a_longer_interval_is_spread_likewise(self) -> None:
        table = Bench(replace(config(), consent_interval=10.0))
        table.add_host()
        table.meet(candidate())
        (pair,) = table.generation().checklist.pairs.values()
        table.make_valid(pair)
        delays = []
        for _ in range(100):
            table.consent.watch(pair, now=0.0)
            at = deadline(table, TimerKind.CONSENT, pair)
            assert at is not None
            delays.append(at)
            table.consent.unwatch(pair)
        assert 8.0 <= min(delays) < 8.5
        assert 11.5 < max(delays) <= 12.0

    @pytest.mark.rfc("7675", "5.1")
    def test_each_is_a_check_under_a_new_transaction_that_does_not_nominate(self) -> None:
        table, pair = bench()
        pair.use_candidate = True
        first, second = check(table, pair, now=5.0), check(table, pair, now=10.0)
        assert first.transaction_id != second.transaction_id
        for message in (first, second):
            assert (message.method, message.message_class) == (Method.BINDING, MessageClass.REQUEST)
            assert message.get(Username) == Username(f"{THEIRS.ufrag}:{OWN.ufrag}")
            assert message.get(Priority) is not None
            assert message.get(UseCandidate) is None
            assert message.has_fingerprint
            verify(message, THEIR_KEY)
        assert pair.counts.requests_sent == 3

    @pytest.mark.rfc("7675", "5.1")
    def test_each_is_sent_once_and_its_answer_awaited_while_it_can_matter(self) -> None:
        table, pair = bench()
        check(table, pair, now=5.0)
        assert table.core.transactions.next_deadline() == 35.0
        (due,) = table.core.transactions.due(35.0)
        assert isinstance(due, TimedOut)

    @pytest.mark.rfc("7675", "5.1")
    def test_an_answer_to_an_earlier_check_counts_too(self) -> None:
        table, pair = bench()
        first = check(table, pair, now=5.0)
        check(table, pair, now=10.0)
        answer = decode_message(reply(first, [], key=THEIR_KEY))
        match = table.core.transactions.match(answer, local=HOST, remote=REMOTE, now=10.1)
        assert isinstance(match, Match)
        assert match.transaction.context == ConsentCheck(pair)

    def test_nothing_is_sent_without_a_socket_or_a_remote_description(self) -> None:
        table, pair = bench()
        del table.core.sockets[HOST]
        table.consent.check(table.generation(), pair, now=5.0)
        table.add_host()
        table.take()
        table.generation().remote = None
        table.consent.check(table.generation(), pair, now=10.0)
        assert table.take() == []
        assert len(table.core.transactions) == 0
        at = deadline(table, TimerKind.CONSENT, pair)
        assert at is not None
        assert at >= 14.0


class TestWatching:
    def test_a_pair_is_watched_once(self) -> None:
        table, pair = bench()
        at = deadline(table, TimerKind.CONSENT, pair)
        table.consent.watch(pair, now=3.0)
        assert table.consent.watched(pair.id) is pair
        assert deadline(table, TimerKind.CONSENT, pair) == at
        assert deadline(table, TimerKind.EXPIRY, pair) == 30.0

    @pytest.mark.rfc("7675", "5.1")
    def test_what_is_no_longer_watched_has_no_deadline_and_no_outstanding_check(self) -> None:
        table, pair = bench()
        other = table.make_pair(table.add_host(HOST._replace(port=4001)), candidate(REMOTE._replace(port=5001)))
        table.make_valid(other)
        table.consent.watch(other, now=0.0)
        table.take()
        check(table, pair, now=5.0)
        table.consent.check(table.generation(), other, now=5.0)
        table.outgoing.send(table.generation(), pair, now=5.0)
        table.consent.unwatch(pair)
        table.consent.unwatch(pair)
        assert table.consent.watched(pair.id) is None
        for kind in (TimerKind.CONSENT, TimerKind.EXPIRY, TimerKind.LIVENESS):
            assert deadline(table, kind, pair) is None
            assert deadline(table, kind, other) is not None
        left = {transaction.context for transaction in table.core.transactions}
        assert left == {ConsentCheck(other), table.check_of(pair)}

    def test_a_pair_is_quiet_when_nothing_was_heard_for_two_intervals(self) -> None:
        table, pair = bench()
        table.consent.grant(pair, now=3.0)
        assert not table.consent.is_quiet(pair, 12.999)
        assert deadline(table, TimerKind.LIVENESS, pair) == 13.0
        assert table.consent.is_quiet(pair, 13.0)

    def test_a_pair_never_heard_counts_from_now(self) -> None:
        table, pair = bench()
        pair.last_heard = None
        assert table.consent.quiet_at(pair, 4.0) == 14.0
        assert not table.consent.is_quiet(pair, 4.0)


class TestLite:
    def lite(self) -> tuple[Bench, CandidatePair]:
        table = Bench(lite_config())
        socket = table.add_host()
        table.meet(candidate(), lite=True)
        (pair,) = table.generation().checklist.pairs.values()
        pair.valid = pair.local
        pair.consent_until = inf
        assert pair.local.base == socket.address
        table.take()
        return table, pair

    @pytest.mark.rfc("8445", "11")
    def test_it_sends_indications_every_15_seconds_and_no_checks(self) -> None:
        table, pair = self.lite()
        table.consent.watch(pair, now=1.0)
        assert deadline(table, TimerKind.CONSENT, pair) == 16.0
        table.consent.check(table.generation(), pair, now=16.0)
        (sent,) = table.sent()
        message = decode_message(sent.payload)
        assert (message.message_class, message.has_fingerprint) == (MessageClass.INDICATION, True)
        assert not message.has_integrity
        assert deadline(table, TimerKind.CONSENT, pair) == 31.0

    def test_trust_without_end_arms_no_deadline_and_is_never_quiet(self) -> None:
        table, pair = self.lite()
        table.consent.watch(pair, now=1.0)
        assert deadline(table, TimerKind.EXPIRY, pair) is None
        assert deadline(table, TimerKind.LIVENESS, pair) is None
        assert not table.consent.is_quiet(pair, 1e9)


class TestWarmPairs:
    """Where renomination is agreed, a few more pairs are asked, at half the pace."""

    def warm(self) -> tuple[Bench, CandidatePair]:
        table, pair = bench()
        table.consent.unwatch(pair)
        table.generation().renomination = Renomination(is_first_form=False)
        table.consent.keep_warm(1, 1, [pair], now=0.0)
        table.take()
        return table, pair

    def test_half_the_pace_nobody_waits_for_the_answer_and_consent_expires_as_ever(self) -> None:
        table, pair = self.warm()
        at = deadline(table, TimerKind.CONSENT, pair)
        assert at is not None
        assert 8.0 - STEP <= at <= 12.0 + STEP
        assert deadline(table, TimerKind.EXPIRY, pair) == CONSENT_LIFETIME
        assert deadline(table, TimerKind.LIVENESS, pair) is None
        check(table, pair, now=at)
        assert deadline(table, TimerKind.PROBE, pair) is None
        table.consent.grant(pair, now=at)
        assert deadline(table, TimerKind.EXPIRY, pair) == at + CONSENT_LIFETIME
        assert deadline(table, TimerKind.LIVENESS, pair) is None

    def test_one_that_is_taken_into_use_is_asked_at_the_usual_pace(self) -> None:
        table, pair = self.warm()
        assert table.consent.is_warm(pair)
        table.consent.watch(pair, now=1.0)
        assert not table.consent.is_warm(pair)
        at = deadline(table, TimerKind.CONSENT, pair)
        assert at is not None
        assert at <= 1.0 + 6.0 + STEP
        table.consent.watch(pair, now=2.0)
        assert deadline(table, TimerKind.CONSENT, pair) == at
        check(table, pair, now=at)
        assert deadline(table, TimerKind.PROBE, pair) is not None
        table.consent.rest(pair)
        assert table.consent.is_warm(pair)
        assert table.consent.warm_pairs(pair) == [pair]

    def test_only_those_of_the_component_are_given_up(self) -> None:
        table, pair = self.warm()
        table.consent.keep_warm(1, 2, [], now=1.0)
        table.consent.keep_warm(2, 1, [], now=1.0)
        table.consent.keep_warm(1, 1, [pair], now=1.0)
        assert table.consent.is_warm(pair)
        table.consent.keep_warm(1, 1, [], now=1.0)
        assert not table.consent.is_warm(pair)
        assert deadline(table, TimerKind.CONSENT, pair) is None


class TestIdle:
    def test_an_answer_puts_the_next_check_off_and_silence_does_not(self) -> None:
        table, pair = bench()
        table.core.is_idle = True
        table.consent.grant(pair, now=5.0)
        at = deadline(table, TimerKind.CONSENT, pair)
        assert at is not None
        assert 5.0 + 12.8 <= at <= 5.0 + 19.2 + STEP
        assert deadline(table, TimerKind.LIVENESS, pair) == 5.0 + 2 * IDLE_INTERVAL
        check(table, pair, now=at)
        again = deadline(table, TimerKind.CONSENT, pair)
        assert again is not None
        assert 4.0 <= again - at <= 6.0 + STEP

    def test_the_usual_pace_is_taken_up_again(self) -> None:
        table, pair = bench()
        table.core.is_idle = True
        table.consent.grant(pair, now=5.0)
        table.core.is_idle = False
        table.consent.hasten(now=6.0)
        at = deadline(table, TimerKind.CONSENT, pair)
        assert at is not None
        assert 10.0 <= at <= 12.0 + STEP
        assert deadline(table, TimerKind.LIVENESS, pair) == 15.0
        table.consent.rest(pair)
        table.consent.hasten(now=7.0)
        assert deadline(table, TimerKind.LIVENESS, pair) is None


class TestStandstill:
    """Consent ran out while this machine stood still: no check had its chance."""

    def extend(self, table: Bench, pair: CandidatePair, *, now: Instant) -> bool:
        return table.consent.extend(table.generation(), pair, now=now)

    def test_one_more_check_and_three_seconds(self) -> None:
        table, pair = bench()
        assert self.extend(table, pair, now=40.0)
        assert table.consent.is_late(pair)
        (datagram,) = table.sent()
        assert datagram.remote == REMOTE
        assert deadline(table, TimerKind.EXPIRY, pair) == 40.0 + EXTENSION
        assert not pair.may_send_data(40.0)
        assert not self.extend(table, pair, now=43.0)

    def test_a_check_that_has_just_left_is_not_doubled(self) -> None:
        table, pair = bench()
        check(table, pair, now=40.0)
        assert self.extend(table, pair, now=40.0)
        assert table.sent() == []

    def test_a_check_that_had_its_chance_tells_that_the_path_is_dead(self) -> None:
        table, pair = bench()
        check(table, pair, now=CONSENT_LIFETIME - CHANCE)
        assert not self.extend(table, pair, now=40.0)

    def test_one_that_had_none_does_not(self) -> None:
        table, pair = bench()
        check(table, pair, now=CONSENT_LIFETIME - CHANCE + 0.1)
        assert self.extend(table, pair, now=CONSENT_LIFETIME)

    def test_nor_one_from_before_the_last_answer(self) -> None:
        table, pair = bench()
        check(table, pair, now=5.0)
        table.consent.grant(pair, now=10.0)
        assert self.extend(table, pair, now=50.0)

    def test_an_answer_ends_it(self) -> None:
        table, pair = bench()
        assert self.extend(table, pair, now=40.0)
        table.consent.grant(pair, now=41.0)
        assert not table.consent.is_late(pair)
        assert pair.may_send_data(41.0)

    def test_what_others_wait_for_does_not_count(self) -> None:
        table, pair = bench()
        table.outgoing.send(table.generation(), pair, now=5.0)
        assert self.extend(table, pair, now=40.0)
