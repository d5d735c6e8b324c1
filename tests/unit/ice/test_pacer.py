from __future__ import annotations

import itertools

import pytest

from icepath.ice.pacer import DEFAULT_PACING, MAX_ATTEMPTS, MAX_REMEMBERED, MIN_PACING, Pacer, SlotCalendar
from icepath.net import Instant
from unit.ice.builders import at_once


def gaps(instants: list[Instant]) -> list[float]:
    ordered = sorted(instants)
    return [later - earlier for earlier, later in itertools.pairwise(ordered)]


class TestSlotCalendar:
    def test_the_first_slot_is_the_one_wanted(self) -> None:
        assert SlotCalendar()(7.0) == 7.0

    @pytest.mark.rfc("8445", "14.2")
    def test_slots_wanted_at_one_time_lie_5_ms_apart(self) -> None:
        calendar = SlotCalendar()
        assert [calendar(0.0) for _ in range(4)] == pytest.approx([0.0, 0.005, 0.010, 0.015])

    def test_a_later_slot_leaves_the_ones_before_it_free(self) -> None:
        calendar = SlotCalendar()
        assert calendar(1.0) == 1.0
        assert calendar(0.0) == 0.0
        assert calendar(0.0) == pytest.approx(0.005)

    def test_a_gap_that_is_too_narrow_is_passed_over(self) -> None:
        calendar = SlotCalendar()
        for wanted in (0.0, 0.009):
            calendar(wanted)
        assert calendar(0.001) == pytest.approx(0.014)

    def test_a_slot_too_close_behind_another_moves_back(self) -> None:
        calendar = SlotCalendar(0.050)
        calendar(1.0)
        assert calendar(1.010) == pytest.approx(1.050)
        assert calendar(0.960) == pytest.approx(1.100)

    def test_looking_reserves_nothing(self) -> None:
        calendar = SlotCalendar()
        assert calendar.earliest(3.0) == calendar.earliest(3.0) == calendar(3.0) == 3.0
        assert calendar.earliest(3.0) > 3.0

    def test_old_reservations_are_forgotten_and_new_ones_are_not(self) -> None:
        calendar = SlotCalendar(1.0)
        for second in range(MAX_REMEMBERED + 1):
            calendar.take(float(second))
        assert calendar.earliest(0.0) == 0.0
        assert calendar.earliest(float(MAX_REMEMBERED - 1)) == MAX_REMEMBERED + 1


class TestPacer:
    @pytest.mark.rfc("8445", "14.2")
    def test_an_agents_transactions_lie_ta_apart(self) -> None:
        pacer = Pacer(0.020, at_once)
        assert [pacer.reserve(0.0) for _ in range(3)] == pytest.approx([0.0, 0.020, 0.040])
        assert pacer.reserve(5.0) == 5.0

    @pytest.mark.rfc("8445", "14.2")
    def test_all_agents_of_a_process_together_leave_5_ms(self) -> None:
        calendar = SlotCalendar()
        pacers = [Pacer(MIN_PACING, calendar), Pacer(0.020, calendar), Pacer(0.050, calendar)]
        slots = [(index, pacer.reserve(0.0)) for _ in range(20) for index, pacer in enumerate(pacers)]
        assert min(gaps([at for _, at in slots])) >= MIN_PACING - 1e-9
        for index, pacer in enumerate(pacers):
            assert min(gaps([at for owner, at in slots if owner == index])) >= pacer.interval - 1e-9

    @pytest.mark.rfc("8445", "14.2")
    def test_a_crowded_process_is_never_overruled(self) -> None:
        """However often the process's next instant is too close to one of the agent's own."""
        given: list[Instant] = []

        def half_later(wanted: Instant) -> Instant:
            given.append(wanted + 0.5)
            return given[-1]

        pacer = Pacer(1.0, half_later)
        for second in range(0, 4 * MAX_ATTEMPTS, 2):
            pacer.reserve(float(second))
        taken = pacer.reserve(0.5)
        assert taken in given

    def test_what_may_wait_leaves_the_slots_before_it(self) -> None:
        pacer = Pacer(MIN_PACING, SlotCalendar())
        assert pacer.reserve(0.010) == 0.010
        assert pacer.reserve(0.0) == 0.0

    @pytest.mark.rfc("8445", "14.2")
    @pytest.mark.parametrize(
        ("own", "proposed", "agreed"),
        [(0.005, 0.020, 0.020), (0.030, 0.020, 0.030), (0.005, DEFAULT_PACING, 0.050)],
    )
    def test_the_higher_proposal_holds(self, own: float, proposed: float, agreed: float) -> None:
        pacer = Pacer(own, at_once)
        pacer.agree(own, proposed)
        assert pacer.interval == agreed
        assert pacer.reserve(0.0) == 0.0
        assert pacer.reserve(0.0) == pytest.approx(agreed)
