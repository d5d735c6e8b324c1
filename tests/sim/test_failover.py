"""Two agents with two interfaces each, live data, and the path in use dies: how long it takes to move."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.ice.config import Role
from icepath.ice.events import PairSelected
from icepath.ice.nomination import DWELL
from icepath.lab import failover
from icepath.lab.encounter import Encounter, Plan
from icepath.sim.packet import Verdict

R = 0.1
# RFC 7675 §5.1: a period of 5 s, a fifth more at most, on the next step of an eighth.
INTERVAL = 6.0 + 0.125
BOTH = Plan("two", "two", renomination=(True, True))
ROLES = [(Role.CONTROLLING, Role.CONTROLLED), (Role.CONTROLLED, Role.CONTROLLING)]


@pytest.mark.parametrize("roles", ROLES)
@pytest.mark.parametrize("place", ["two", "two-apdf"])
@pytest.mark.parametrize("what", [failover.cut, failover.cut_remote])
@pytest.mark.parametrize("delay", [0.0, 1.7])
def test_a_path_cut_silently_is_left_within_one_check_interval_and_three_round_trips(
    place: str, what: failover.Break, roles: tuple[Role, Role], delay: float
) -> None:
    plan = replace(BOTH, place_a=place, place_b=place, roles=roles)
    outage = failover.measure(plan, what, delay=delay, seconds=12.0)
    assert 0.0 < outage.a_to_b <= INTERVAL + 3 * R
    assert 0.0 < outage.b_to_a <= INTERVAL + 3 * R
    assert outage.after is not None
    assert outage.after.local_base.host != outage.before.local_base.host or what is failover.cut_remote
    assert outage.selections == 2
    assert not outage.disconnected


@pytest.mark.parametrize("roles", ROLES)
def test_an_address_that_goes_away_stops_nothing_that_leaves_and_a_round_trip_of_what_comes(
    roles: tuple[Role, Role],
) -> None:
    outage = failover.measure(replace(BOTH, roles=roles), failover.remove_address, seconds=12.0)
    assert outage.a_to_b == 0.0
    if roles[0] is Role.CONTROLLING:
        assert outage.b_to_a <= 1.5 * R
    else:
        assert outage.b_to_a <= INTERVAL + 3 * R


@pytest.mark.parametrize("roles", ROLES)
def test_a_nat_that_gives_other_ports_is_followed(roles: tuple[Role, Role]) -> None:
    outage = failover.measure(replace(BOTH, place_a="two-apdf", roles=roles), failover.rebind, seconds=12.0)
    assert outage.a_to_b <= INTERVAL + 3 * R
    assert outage.b_to_a <= INTERVAL + 3 * R


def test_a_relay_that_dies_is_left_for_another() -> None:
    outage = failover.measure(replace(BOTH, relay_only=True), failover.kill_relay, seconds=12.0)
    assert 0.0 < max(outage.a_to_b, outage.b_to_a) <= INTERVAL + 4 * R
    assert outage.selections == 2


@pytest.mark.rfc("renomination", "3.2")
@pytest.mark.parametrize("renomination", [(True, False), (False, True)])
def test_where_one_side_does_not_know_it_a_component_gets_no_other_pair(renomination: tuple[bool, bool]) -> None:
    outage = failover.measure(replace(BOTH, renomination=renomination), failover.cut)
    assert outage.a_to_b == outage.b_to_a == float("inf")
    assert outage.selections == 0
    assert outage.disconnected


@pytest.mark.parametrize("renomination", [(True, False), (False, True)])
def test_where_one_side_does_not_know_it_nothing_changes_on_the_wire(renomination: tuple[bool, bool]) -> None:
    sent = []
    for offered in (renomination, (False, False)):
        encounter = Encounter(replace(BOTH, renomination=offered))
        encounter.run(settle=True)
        encounter.world.run(seconds=60.0)
        sent.append(encounter.world.medium.counts[Verdict.SENT])
    assert sent[0] == sent[1]


def test_three_pairs_are_kept_warm_at_half_the_pace() -> None:
    encounter = Encounter(BOTH)
    encounter.run(settle=True)
    encounter.world.run(seconds=60.0)
    before = [pair.requests_sent for pair in encounter.a.agent.snapshot().pairs]
    encounter.world.run(seconds=600.0)
    pairs = encounter.a.agent.snapshot().pairs
    grown = sorted(pair.requests_sent - old for pair, old in zip(pairs, before, strict=True))
    assert grown[:-4] == [0] * (len(grown) - 4)
    for count, expected in zip(grown[-4:], (60, 60, 60, 120), strict=True):
        assert count == pytest.approx(expected, rel=0.1)


def test_a_quicker_path_found_late_is_taken_without_a_gap() -> None:
    encounter = Encounter(replace(BOTH, place_a="two-apdf", place_b="two-apdf"))
    encounter.run(settle=True)
    encounter.world.run(seconds=failover.SETTLING)
    # One interface goes, what is left becomes slow, and after a while a third comes.
    failover.remove_address(encounter)
    (left,) = encounter.a.host.interfaces
    left.link.up.config = replace(left.link.up.config, delay=0.2)
    encounter.world.run(seconds=DWELL)
    assert encounter.a.runner is not None
    access = encounter.plan.access
    encounter.a.host.add_interface("eth9", encounter.network.internet, ["11.1.9.1"], up=access)
    local = encounter.a.host.bind("eth9", owner=encounter.a.runner)
    agent = encounter.a.agent
    encounter.a.runner.call(lambda now: agent.add_local_address(local, now=now))
    since = encounter.world.now
    failover.talk(encounter, until=since + 90.0)
    encounter.world.run(seconds=90.0)
    pair = agent.selected_pair()
    assert pair is not None
    assert pair.local_base == local.address
    moved = [event for event in failover.events_of(encounter.a, since=since) if isinstance(event, PairSelected)]
    assert len(moved) == 1
    assert failover.pauses(encounter.b, since=since + 0.5, until=since + 89.0) == []
