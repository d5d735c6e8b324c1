"""icepath.sim.clock: actions run in order of time, then of scheduling."""

from __future__ import annotations

import pytest

from icepath.errors import InvalidArgument, InvalidState
from icepath.sim.clock import Clock


def test_actions_run_in_order_of_time_then_of_scheduling() -> None:
    clock = Clock(10.0)
    ran: list[tuple[float, str]] = []

    def note(name: str) -> None:
        ran.append((clock.now, name))

    for at, name in ((12.0, "c"), (11.0, "a"), (11.0, "b"), (13.5, "late")):
        clock.schedule(at, note, name)
    assert clock.next_instant() == 11.0
    clock.run_to(13.0)
    assert ran == [(11.0, "a"), (11.0, "b"), (12.0, "c")]
    assert clock.now == 13.0
    assert len(clock) == 1
    clock.run_to(12.0)
    assert clock.now == 13.0


def test_an_action_scheduled_for_the_past_runs_now() -> None:
    clock = Clock(10.0)
    ran: list[float] = []
    clock.schedule(5.0, lambda _: ran.append(clock.now), None)
    clock.run_to(10.0)
    assert ran == [10.0]
    assert clock.next_instant() is None


def test_a_call_cannot_be_scheduled_for_the_past() -> None:
    clock = Clock(10.0)
    with pytest.raises(InvalidArgument, match=r"cannot schedule at 9\.0: it is 10\.0"):
        clock.schedule_call(9.0, lambda: None)
    assert len(clock) == 0


def test_run_until_stops_at_the_condition_or_the_limit() -> None:
    clock = Clock()
    ran: list[int] = []
    for second in (1, 2, 3):
        clock.schedule(float(second), ran.append, second)
    assert clock.run_until(lambda: ran == [1, 2], limit=10.0)
    assert clock.now == 2.0
    assert not clock.run_until(lambda: False, limit=0.5)
    assert (clock.now, ran) == (2.5, [1, 2])
    assert not clock.run_until(lambda: False, limit=5.0)
    assert (clock.now, ran) == (7.5, [1, 2, 3])


def test_an_instant_that_never_ends_is_stopped() -> None:
    clock = Clock(limit=50)

    def again() -> None:
        clock.schedule_call(clock.now, again)

    clock.schedule_call(1.0, again)
    with pytest.raises(InvalidState, match=r"livelock: more than 50 actions at 1\.0.*again"):
        clock.run_to(2.0)


def test_the_limit_counts_one_instant_only() -> None:
    clock = Clock(limit=3)
    ran: list[float] = []
    for tick in range(20):
        clock.schedule_call(1.0 + tick // 3, lambda: ran.append(clock.now))
    clock.run_to(20.0)
    assert len(ran) == 20
