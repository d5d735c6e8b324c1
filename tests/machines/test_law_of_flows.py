"""Law 9 on whole connections: with flows honoured or ignored, data, wire and events are the same."""

from __future__ import annotations

from functools import partial

import pytest

from icepath.ice.agent import Agent
from icepath.lab.encounter import Encounter, Plan, Side
from icepath.net import Instant, Seconds
from icepath.sim.runner import Runner
from machines.laws import Scenario, check_flows

SENDING: tuple[Seconds, Seconds, Seconds] = (3.0, 12.0, 0.25)
# One of each kind of first byte that may be data (RFC 7983 §7), STUN's own among them.
FIRST_BYTES = (0x80, 0x16, 0x40, 0x4F, 0x50, 0x03, 0xFF)


def _build(place_a: str, place_b: str | None, *, relay_only: bool, honours_flows: bool) -> Scenario:
    encounter = Encounter(Plan(place_a, place_b, relay_only=relay_only, honours_flows=honours_flows))
    encounter.begin()
    first, last, interval = SENDING
    number = 0
    while (at := first + interval * number) < last:
        for side in (encounter.a, encounter.b):
            payload = bytes([FIRST_BYTES[number % len(FIRST_BYTES)], number]) + side.name.encode()
            encounter.world.at(encounter.start + at, partial(_send, side, payload))
        number += 1
    return Scenario(encounter.world, (_runner(encounter.a), _runner(encounter.b), encounter.server), seconds=15.0)


def _send(side: Side, payload: bytes) -> None:
    _runner(side).call(partial(_say, side.agent, payload))


def _say(agent: Agent, payload: bytes, now: Instant) -> None:
    agent.send(payload, now=now)


def _runner(side: Side) -> Runner:
    assert side.runner is not None
    return side.runner


@pytest.mark.parametrize(
    ("place_a", "place_b", "relay_only"),
    [
        ("none", "none", False),
        ("apdf", "apdf", False),
        ("same", None, False),
        ("sym", "sym", False),
        ("v6", "ds", True),
    ],
)
def test_nobody_can_tell_whether_flows_are_honoured(place_a: str, place_b: str | None, relay_only: bool) -> None:
    delivered = check_flows(lambda honours: _build(place_a, place_b, relay_only=relay_only, honours_flows=honours))
    assert delivered > 40, "flows must have carried the data, else nothing was compared"
