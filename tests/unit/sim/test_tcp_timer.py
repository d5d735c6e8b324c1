"""icepath.sim.tcp_timer: round trips and silence."""

from __future__ import annotations

import pytest

from icepath.sim.clock import Clock
from icepath.sim.tcp_timer import MAX_DATA_TIMEOUT, RetransmissionTimer


class Bench:
    """Is a timer, and when it called back."""

    def __init__(self) -> None:
        self.clock = Clock(100.0)
        self.silences: list[float] = []
        self.timer = RetransmissionTimer(self.clock, lambda: self.silences.append(self.clock.now - 100.0))

    def run(self, seconds: float) -> None:
        self.clock.run_to(self.clock.now + seconds)

    def data_timeout(self) -> float:
        start = self.clock.now - 100.0
        self.timer.arm_data()
        self.run(100.0)
        return round(self.silences.pop() - start, 6)


@pytest.mark.parametrize(("retries", "timeout"), [(0, 1.0), (1, 2.0), (5, 32.0)])
def test_a_syn_is_waited_for_longer_each_time(retries: int, timeout: float) -> None:
    bench = Bench()
    bench.timer.retries = retries
    bench.timer.arm_syn()
    assert bench.timer.is_armed
    bench.run(100.0)
    assert bench.silences == [timeout]
    assert not bench.timer.is_armed


@pytest.mark.parametrize(
    ("rtt", "retries", "timeout"),
    [(None, 0, 1.0), (0.01, 0, 0.2), (0.3, 0, 0.6), (0.3, 2, 2.4), (0.3, 12, MAX_DATA_TIMEOUT)],
)
def test_data_waits_two_round_trips_at_least_200_ms(rtt: float | None, retries: int, timeout: float) -> None:
    bench = Bench()
    if rtt is not None:
        bench.timer.begin(5)
        bench.run(rtt)
        bench.timer.acknowledge(5)
    bench.timer.retries = retries
    assert bench.data_timeout() == timeout


def test_a_wait_may_be_cut_short() -> None:
    bench = Bench()
    bench.timer.arm_data(0.3)
    bench.run(100.0)
    assert bench.silences == [pytest.approx(0.3)]


def test_round_trips_are_smoothed_and_one_is_measured_at_a_time() -> None:
    bench = Bench()
    bench.timer.begin(5)
    bench.run(0.4)
    bench.timer.begin(9)
    bench.timer.acknowledge(4)
    bench.timer.acknowledge(5)
    bench.timer.acknowledge(9)
    bench.timer.begin(20)
    bench.run(1.2)
    bench.timer.acknowledge(25)
    assert bench.data_timeout() == 1.0


def test_what_was_sent_twice_is_not_measured() -> None:
    bench = Bench()
    bench.timer.begin(5)
    bench.run(20.0)
    bench.timer.forget()
    bench.timer.acknowledge(5)
    assert bench.data_timeout() == 1.0


def test_a_deadline_may_move_either_way_or_go() -> None:
    bench = Bench()
    bench.timer.arm_syn()  # at 1
    bench.timer.retries = 1
    bench.timer.arm_syn()  # later: at 2
    bench.run(1.5)
    assert bench.silences == []
    bench.timer.retries = 0
    bench.timer.begin(1)
    bench.timer.acknowledge(1)
    bench.timer.arm_data()  # earlier: at 1.7
    bench.run(10.0)
    assert bench.silences == [pytest.approx(1.7)]
    bench.timer.arm_syn()
    bench.timer.stop()
    bench.run(10.0)
    assert len(bench.silences) == 1
