"""icepath.sim.ports: the port that a system chooses."""

from __future__ import annotations

from icepath.net import Address
from icepath.sim.clock import Clock
from icepath.sim.packet import Medium
from icepath.sim.ports import EPHEMERAL_PORTS, FreePorts

HOST = "11.0.0.1"


def _free(seed: int = 1) -> FreePorts:
    return FreePorts(Medium(Clock(), seed), "ports")


def test_ports_are_drawn_from_the_system_s_range_by_the_seed() -> None:
    first = _free().choose(HOST, lambda address: False, None)
    assert first is not None
    assert EPHEMERAL_PORTS[0] <= first.port <= EPHEMERAL_PORTS[1]
    assert _free().choose(HOST, lambda address: False, None) == first
    assert _free(2).choose(HOST, lambda address: False, None) != first


def test_taken_ports_are_passed_over_until_there_are_none() -> None:
    taken: set[Address] = set()
    free = _free()
    while (local := free.choose(HOST, taken.__contains__, (10, 13))) is not None:
        taken.add(local)
    assert taken == {Address(HOST, port) for port in range(10, 14)}


def test_even_ports_may_be_asked_for() -> None:
    taken: set[Address] = set()
    free = _free()
    while (local := free.choose(HOST, taken.__contains__, (10, 13), even=True)) is not None:
        taken.add(local)
    assert taken == {Address(HOST, 10), Address(HOST, 12)}
