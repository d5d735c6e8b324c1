"""Every machine obeys the laws; and the test of the laws sees every flaw.

A machine joins by one row in `SUBJECTS` (subjects.py). `ICEPATH_LAW_SCHEDULES=5000 pytest
tests/machines/test_laws.py` walks more schedules, `-m slow` walks 2,000. A failure names the seed:
`check_schedule(subject, seed)` repeats it; `python -m machines.survey NAME 500` lists all that a machine breaks.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from icepath.machine import Datagram, Deliver, Event, FlowKey, Relay, SetFlow
from icepath.net import Address, Instant, RandomBytes
from icepath.sim.world import World
from machines.flawed import Flaw, Innkeeper
from machines.laws import LawBroken, Output, Scenario, Subject, check_flows, digest, live_size
from machines.subjects import SUBJECTS
from machines.walks import check_bounds, check_schedule, mutated
from sim.probe import Probe

SCHEDULES: Final = int(os.environ.get("ICEPATH_LAW_SCHEDULES", "60"))
MANY_SCHEDULES: Final = 2000
ROOT: Final = Path(__file__).parents[2]


every_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=[subject.name for subject in SUBJECTS])


@every_subject
def test_laws_hold(subject: Subject[Any]) -> None:  # each subject has a machine of its own type
    for seed in range(SCHEDULES):
        check_schedule(subject, seed)


@every_subject
def test_state_is_bounded(subject: Subject[Any]) -> None:
    check_bounds(subject, seed=1)


@pytest.mark.slow
@every_subject
def test_laws_hold_on_many_schedules(subject: Subject[Any]) -> None:
    for seed in range(SCHEDULES, MANY_SCHEDULES):
        check_schedule(subject, seed)


def digests() -> str:
    """Returns a line per subject that must be the same in every process."""
    return "\n".join(
        f"{subject.name} {digest(check_schedule(subject, seed))}" for subject in SUBJECTS for seed in range(3)
    )


def test_outputs_do_not_depend_on_hashes() -> None:
    assert _run_with_hash_seed("1", "digests()") == _run_with_hash_seed("2", "digests()") != ""


def _run_with_hash_seed(seed: str, expression: str) -> str:
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("src", "tests"))
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from machines.test_laws import *; print({expression})",
        ],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return run.stdout


# -- the harness itself ------------------------------------------------------------------------------------------


def _innkeeper(flaw: Flaw | None, **changes: int) -> Subject[Innkeeper]:
    def make(random_bytes: RandomBytes, now: Instant) -> Innkeeper:
        return Innkeeper(flaw, random_bytes, now)

    def open_socket(machine: Innkeeper, rng: random.Random, now: Instant) -> None:
        machine.open(Address("192.168.1.10", rng.randrange(1, 65536)), now=now)

    return Subject(
        name=f"innkeeper {flaw and flaw.name}",
        make=make,
        verbs=(open_socket,),
        corpus=(b"\x02hello", b"\x80a longer hello" * 10),
        flood=changes.get("flood", 300),
    )


def test_a_lawful_machine_passes() -> None:
    subject = _innkeeper(None)
    for seed in range(200):
        check_schedule(subject, seed)
    check_bounds(subject, seed=1)


@pytest.mark.parametrize("flaw", [flaw for flaw in Flaw if flaw not in (Flaw.GROWS, Flaw.HOARDS_BYTES)])
def test_each_flaw_is_seen(flaw: Flaw) -> None:
    with pytest.raises(LawBroken, match=f"law {flaw.law}: .*innkeeper {flaw.name}, seed"):
        _check_schedules(_innkeeper(flaw))


def _check_schedules(subject: Subject[Innkeeper]) -> None:
    for seed in range(60):
        check_schedule(subject, seed)


@pytest.mark.parametrize("flaw", [Flaw.GROWS, Flaw.HOARDS_BYTES])
def test_growth_is_seen(flaw: Flaw) -> None:
    with pytest.raises(LawBroken, match=f"law 7: innkeeper {flaw.name} grows"):
        check_bounds(_innkeeper(flaw), seed=1)


def test_a_schedule_repeats() -> None:
    subject = _innkeeper(None)
    assert check_schedule(subject, 7) == check_schedule(subject, 7) != check_schedule(subject, 8)


def test_dependence_on_hashes_shows_in_the_digest() -> None:
    assert _run_with_hash_seed("1", "hashed_digest()") != _run_with_hash_seed("2", "hashed_digest()")
    assert _run_with_hash_seed("1", "hashed_digest()") == _run_with_hash_seed("1", "hashed_digest()")


def hashed_digest() -> str:
    """Returns the digest of outputs in the order of a set of texts."""
    hosts = {f"11.0.0.{number}" for number in range(50)}
    return digest([Datagram(Address("10.0.0.1", 1), Address(host, 1), b"") for host in hosts])


def test_live_size_counts_objects_and_bytes() -> None:
    small, large = [b"x"], [bytes(6400)]
    assert live_size(large) - live_size(small) == 100
    assert live_size([object() for _ in range(10)]) == 11
    shared = object()
    assert live_size([shared] * 10) == 2


def test_mutations_differ_and_never_fail() -> None:
    rng = random.Random(1)
    payloads = [mutated(payload, rng) for payload in (b"", b"\x00", bytes(20), bytes(100)) for _ in range(100)]
    assert len(set(payloads)) > 200


# -- law 9 ---------------------------------------------------------------------------------------------------------


class Received(Event):
    """Stands for data that a machine gave to its application; renamed below to what machines call it."""

    def __init__(self, payload: bytes) -> None:
        self.stream, self.component, self.payload = 1, 1, payload


Received.__name__ = "DataReceived"


def _flow_scenario(honours_flows: bool, *, ignored_says: bytes | None, relays_to: int) -> Scenario:
    """Returns a sender, a relay and a receiver; the last two say what the flows do when these are ignored."""
    world = World(honours_flows=honours_flows)
    network = world.network("lan")
    hosts = [world.host(name) for name in ("sender", "relay", "receiver")]
    for number, host in enumerate(hosts):
        host.add_interface("eth0", network, [f"10.0.0.{number + 1}"])
    sender, relay, receiver = (host.bind("eth0", 1000).address for host in hosts)

    def relayed(arrival: object) -> Sequence[Output]:
        return (
            [Datagram(relay, Address(receiver.host, relays_to), arrival.payload)]
            if isinstance(arrival, Datagram)
            else []
        )

    def received(arrival: object) -> Sequence[Output]:
        return [Received(ignored_says or arrival.payload)] if isinstance(arrival, Datagram) else []

    media = Probe()
    runners = (
        hosts[0].attach(media),
        hosts[1].attach(
            Probe(answer=relayed, start=[SetFlow(FlowKey(relay, sender), Relay(relay, receiver), until=2000.0)])
        ),
        hosts[2].attach(Probe(answer=received, start=[SetFlow(FlowKey(receiver, relay), Deliver(1, 1), until=2000.0)])),
    )
    for number in range(5):
        datagram = Datagram(sender, relay, b"media" + bytes([number]))
        world.after(0.1 * number, partial(hosts[0].call, media, partial(_say, media, datagram)))
    return Scenario(world, runners, seconds=2.0)


def _say(probe: Probe, datagram: Datagram, now: Instant) -> None:
    probe.say(datagram)


def test_flows_that_do_what_the_machine_does_pass() -> None:
    assert check_flows(lambda honours: _flow_scenario(honours, ignored_says=None, relays_to=1000)) == 5


def test_flows_that_deliver_something_else_are_seen() -> None:
    with pytest.raises(LawBroken, match=r"law 9: receiver/Probe: line 0 is .*payload=b'media.*payload=b'other'"):
        check_flows(lambda honours: _flow_scenario(honours, ignored_says=b"other", relays_to=1000))


def test_flows_that_send_elsewhere_are_seen() -> None:
    with pytest.raises(LawBroken, match=r"law 9: wire: line 1 is .*10\.0\.0\.3:1000.*10\.0\.0\.3:1001"):
        check_flows(lambda honours: _flow_scenario(honours, ignored_says=None, relays_to=1001))


def test_flows_that_deliver_more_or_less_are_seen() -> None:
    def build(honours: bool) -> Scenario:
        scenario = _flow_scenario(honours, ignored_says=None, relays_to=1000)
        return scenario if honours else Scenario(scenario.world, scenario.runners, seconds=0.15)

    with pytest.raises(LawBroken, match="law 9: wire: 10 lines with flows, 4 without"):
        check_flows(build)
