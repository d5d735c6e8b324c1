from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.ice.core import TimerKey, TimerKind
from icepath.ice.failover import UNKNOWN_ROUND_TRIP, patience, spread
from icepath.ice.pair import CandidatePair
from icepath.net import Address, Instant
from unit.ice.builders import HOST, RELAYED, REMOTE, Bench, candidate, config, loose_pair

SECOND_HOST = Address("192.0.2.2", 4000)
SECOND_REMOTE = Address("198.51.100.8", 5000)


def bench() -> tuple[Bench, CandidatePair, CandidatePair]:
    """Makes an agent with two valid pairs of 100 ms."""
    table = Bench(replace(config(), renomination=True))
    table.add_host()
    table.meet(candidate(), candidate(SECOND_REMOTE))
    one, two = table.generation().checklist.pairs.values()
    for pair in (one, two):
        table.make_valid(pair)
        pair.rtt = 0.1
    return table, one, two


def probe_at(table: Bench, pair: CandidatePair) -> Instant | None:
    return table.core.timers.deadline(TimerKey(TimerKind.PROBE, pair.id))


def state(table: Bench, pair: CandidatePair) -> tuple[Instant | None, bool]:
    failover = table.consent.failover
    return failover.alarmed_at(pair), failover.is_silent(pair)


class TestWaiting:
    @pytest.mark.parametrize(("rtt", "wanted"), [(0.1, 0.125), (0.01, 0.03), (None, 1.25 * UNKNOWN_ROUND_TRIP)])
    def test_a_quarter_more_than_a_round_trip_20_ms_at_least(self, rtt: float | None, wanted: float) -> None:
        pair = loose_pair(1)
        pair.rtt = rtt
        assert patience(pair) == pytest.approx(wanted)

    def test_an_answer_in_time_ends_it(self) -> None:
        table, pair, _ = bench()
        failover = table.consent.failover
        failover.on_sent(pair, now=5.0)
        assert probe_at(table, pair) == pytest.approx(5.125)
        failover.on_sent(pair, now=5.1)  # the first one counts
        assert probe_at(table, pair) == pytest.approx(5.125)
        table.core.has_changed = False
        failover.on_answer(pair)
        assert probe_at(table, pair) is None
        assert not table.core.has_changed
        failover.on_answer(pair)
        failover.forget(pair)

    def test_the_first_missing_answer_has_all_checked_the_second_is_silence(self) -> None:
        table, pair, other = bench()
        failover = table.consent.failover
        failover.on_sent(pair, now=5.0)
        failover.on_missed(pair, [other], now=5.125)
        assert state(table, pair) == (5.125, False)
        assert table.generation().checklist.triggered == [pair, other]
        assert probe_at(table, pair) == pytest.approx(5.25 + table.core.pacer.interval)
        table.core.has_changed = False
        failover.on_missed(pair, [other], now=5.3)
        assert state(table, pair) == (5.125, True)
        assert table.core.has_changed
        table.take()
        failover.on_missed(pair, [other], now=5.4)  # once is enough
        assert state(table, pair) == (5.125, True)
        table.core.has_changed = False
        failover.on_answer(pair)
        assert state(table, pair) == (None, False)
        assert table.core.has_changed

    def test_a_pair_that_is_gone_is_not_checked(self) -> None:
        table, pair, other = bench()
        table.generation().checklist.remove(pair)
        table.consent.failover.on_missed(pair, [other], now=5.0)
        assert table.generation().checklist.triggered == []


class TestCue:
    """A check of the other side on a pair kept warm, out of its time: it looks for another path."""

    def test_two_checks_soon_after_each_other_have_the_pair_in_use_checked(self) -> None:
        table, used, warm = bench()
        failover = table.consent.failover
        failover.on_request(warm, used, now=5.0)
        failover.on_request(warm, used, now=13.0)
        assert table.generation().checklist.triggered == []
        failover.on_request(warm, used, now=15.0)
        assert table.generation().checklist.triggered == [used]
        assert probe_at(table, used) == pytest.approx(15.125)

    def test_once_a_second_and_not_while_an_answer_is_awaited(self) -> None:
        table, used, warm = bench()
        failover = table.consent.failover
        for at in (5.0, 5.1):
            failover.on_request(warm, used, now=at)
        table.generation().checklist.triggered.clear()
        failover.on_request(warm, used, now=7.0)
        assert table.generation().checklist.triggered == []
        failover.on_answer(used)
        failover.on_request(warm, used, now=7.1)
        assert table.generation().checklist.triggered == [used]
        table.generation().checklist.triggered.clear()
        failover.on_answer(used)
        failover.on_request(warm, used, now=7.2)
        assert table.generation().checklist.triggered == []

    def test_what_is_gone_or_not_kept_warm_any_more_tells_nothing(self) -> None:
        table, used, warm = bench()
        failover = table.consent.failover
        failover.on_request(warm, used, now=5.0)
        failover.cool(warm)
        failover.on_request(warm, used, now=5.1)
        table.generation().checklist.remove(used)
        failover.on_request(warm, used, now=5.2)
        assert table.generation().checklist.triggered == []


class TestSpread:
    def test_pairs_that_share_least_come_first_then_the_better(self) -> None:
        table = Bench()
        table.add_host(HOST)
        table.add_host(SECOND_HOST)
        table.meet(candidate(REMOTE, priority=200), candidate(SECOND_REMOTE, priority=100))
        pairs = table.generation().checklist.pairs
        names = {
            (local, remote): pairs[local, remote]  # type: ignore[index]  # a pair's key is a tuple of both
            for local in (HOST, SECOND_HOST)
            for remote in (REMOTE, SECOND_REMOTE)
        }
        used = names[HOST, REMOTE]
        chosen = spread(table.core, used, list(pairs.values()), 2)
        assert chosen == [names[SECOND_HOST, SECOND_REMOTE], names[SECOND_HOST, REMOTE]]
        assert spread(table.core, used, list(pairs.values()), 0) == []
        assert len(spread(table.core, used, list(pairs.values()), 9)) == 3

    def test_a_relay_shares_the_interface_it_works_through(self) -> None:
        table = Bench()
        table.add_host(HOST)
        table.meet(candidate(REMOTE))
        (direct,) = table.generation().checklist.pairs.values()
        table.add_relay(RELAYED)
        relayed = next(pair for pair in table.generation().checklist.pairs.values() if pair is not direct)
        apart, near = loose_pair(98), loose_pair(99)
        apart.remote_address = near.remote_address = Address("198.51.100.9", 1)
        apart.local = replace(apart.local, base=SECOND_HOST)
        assert near.local.base.host == HOST.host
        assert spread(table.core, relayed, [near, apart], 1) == [apart]
