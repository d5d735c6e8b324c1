"""Keyed deadlines: order, replacement, cancelling, compaction."""

from __future__ import annotations

import pytest

from icepath.timers import COMPACTION_FLOOR, Timers


def drained(timers: Timers[str], now: float) -> list[str]:
    found: list[str] = []
    while (key := timers.pop_due(now)) is not None:
        found.append(key)
    return found


def test_deadlines_come_earliest_first_and_only_when_due() -> None:
    timers: Timers[str] = Timers()
    timers.set("b", 2.0)
    timers.set("a", 1.0)
    timers.set("c", 3.0)
    assert timers.next_deadline() == 1.0
    assert drained(timers, 2.5) == ["a", "b"]
    assert timers.next_deadline() == 3.0
    assert len(timers) == 1


def test_equal_deadlines_fire_in_the_order_they_were_set() -> None:
    timers: Timers[str] = Timers()
    for key in ("z", "m", "a"):
        timers.set(key, 5.0)
    timers.set("z", 5.0)  # set again to the same: keeps its place
    assert drained(timers, 5.0) == ["z", "m", "a"]


def test_a_new_deadline_replaces_the_old_one() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 1.0)
    timers.set("a", 4.0)
    timers.set("b", 2.0)
    assert timers.deadline("a") == 4.0
    assert drained(timers, 3.0) == ["b"]
    timers.set("a", 0.5)
    assert drained(timers, 3.0) == ["a"]


@pytest.mark.parametrize("cancel", [lambda timers: timers.cancel("a"), lambda timers: timers.set("a", None)])
def test_a_cancelled_deadline_never_fires(cancel: object) -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 1.0)
    assert callable(cancel)
    cancel(timers)
    cancel(timers)
    assert timers.deadline("a") is None
    assert timers.next_deadline() is None
    assert drained(timers, 9.0) == []


def test_clearing_forgets_all() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 1.0)
    timers.clear()
    assert timers.next_deadline() is None
    assert len(timers) == 0


def test_a_deadline_that_moves_ten_thousand_times_takes_no_room() -> None:
    timers: Timers[str] = Timers()
    timers.set("still", 1e9)
    for count in range(10_000):
        timers.set("moving", 10.0 + count)
        if count % 1000 == 0:
            assert timers.next_deadline() == 10.0 + count
    assert len(timers._heap) <= 2 * len(timers) + COMPACTION_FLOOR + 1
    assert drained(timers, 1e10) == ["moving", "still"]


def test_deadlines_given_up_ten_thousand_times_take_no_room() -> None:
    timers: Timers[str] = Timers()
    timers.set("still", 1e9)
    timers.set("later", 1.0)
    timers.set("later", 2e9)  # its entry in the heap is older than its deadline
    for count in range(10_000):
        timers.set("nearer", 1e6 - count)
        timers.set("asked", 1e3 + count)
        timers.cancel("asked")
        assert len(timers._heap) <= 2 * len(timers) + COMPACTION_FLOOR + 3
    assert drained(timers, 1e10) == ["nearer", "still", "later"]


def test_a_deadline_that_moved_later_takes_its_place_among_equals() -> None:
    timers: Timers[str] = Timers()
    timers.set("moved", 1.0)
    timers.set("first", 5.0)
    timers.set("moved", 5.0)
    timers.set("last", 5.0)
    timers.set("first", 5.0)  # the same again: keeps its place
    assert timers.next_deadline() == 5.0
    assert drained(timers, 5.0) == ["first", "moved", "last"]
