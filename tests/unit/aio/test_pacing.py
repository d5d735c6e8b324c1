"""The process-wide slot reserver (RFC 8445 §14.2)."""

from __future__ import annotations

import threading

import pytest

from icepath.aio.pacing import SlotReserver, reserve_slot
from icepath.errors import InvalidArgument
from icepath.ice.pacer import MIN_PACING


@pytest.mark.rfc("8445", "14.2")
def test_a_burst_gets_slots_one_interval_apart_in_order() -> None:
    reserve = SlotReserver()
    slots = [reserve(100.0) for _ in range(4)]
    assert slots == pytest.approx([100.0, 100.005, 100.010, 100.015])


@pytest.mark.rfc("8445", "14.2")
def test_the_first_slot_after_the_gap_has_passed_is_now() -> None:
    reserve = SlotReserver(0.005)
    reserve(100.0)
    assert reserve(100.004) == pytest.approx(100.005)
    assert reserve(100.020) == 100.020


def test_a_slot_reserved_ahead_leaves_those_before_it_to_others() -> None:
    reserve = SlotReserver(0.005)
    assert reserve(100.050) == 100.050
    assert reserve(100.0) == 100.0
    assert reserve(100.046) == pytest.approx(100.055)
    assert reserve(100.041) == 100.041


def test_threads_never_share_a_slot() -> None:
    reserve = SlotReserver(1.0)
    slots: list[float] = []

    def work() -> None:
        slots.extend(reserve(0.0) for _ in range(200))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(slots) == [float(index) for index in range(800)]


def test_the_one_of_the_process_keeps_five_milliseconds() -> None:
    first = reserve_slot(1_000_000_000.0)
    assert reserve_slot(1_000_000_000.0) - first == pytest.approx(MIN_PACING)


def test_a_negative_interval_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="negative"):
        SlotReserver(-1.0)
