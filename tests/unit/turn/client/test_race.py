"""Times are in units of 1/16 s, so that sums are exact."""

from __future__ import annotations

from typing import Final

import pytest

from icepath.machine import Security, Transport
from icepath.net import Address
from icepath.turn.client.race import PREFERENCE_GRACE, STAGGER_DELAY, Race, Runner
from icepath.turn.client.routes import Path, Route, RoutePolicy
from unit.turn.scripted import LOCAL, SERVER

SERVER6 = Address("2001:db8::1", 3478)
UDP = Route(SERVER)
TCP = Route(SERVER, Transport.TCP)
TCP6 = Route(SERVER6, Transport.TCP)
TLS = Route(SERVER, Transport.TCP, Security.TLS)
ROUND_TRIP: Final = 0.125


def race(*routes: Route, policy: RoutePolicy = RoutePolicy.RACE) -> tuple[Race, list[Runner]]:
    """Returns a race that has begun, its datagrams sent, and who runs."""
    made = Race(routes, policy, 39.5)
    made.start(0.0)
    runners = made.take_started(0.0)
    for runner in runners:
        made.on_sent(runner, 0.0)
    return made, runners


class TestStart:
    def test_all_at_once(self) -> None:
        made, runners = race(TLS, UDP, TCP)
        assert [runner.route for runner in runners] == [TLS, UDP, TCP]
        assert made.take_started(100.0) == []

    @pytest.mark.rfc("8305", "5")
    def test_one_by_one(self) -> None:
        made, (first,) = race(UDP, TCP, TLS, policy=RoutePolicy.STAGGER)
        assert made.next_deadline() == STAGGER_DELAY
        assert [runner.route for runner in made.take_started(STAGGER_DELAY)] == [TCP]
        assert made.next_deadline() == 2 * STAGGER_DELAY
        # A failure while another is running hastens nothing.
        made.fail(first, 0.3125)
        assert made.next_deadline() == 2 * STAGGER_DELAY

    def test_a_failure_brings_the_next_forward(self) -> None:
        made, (first,) = race(UDP, TCP, TLS, policy=RoutePolicy.STAGGER)
        made.fail(first, 0.0625)
        assert [runner.route for runner in made.take_started(0.0625)] == [TCP]
        assert made.next_deadline() == 0.0625 + STAGGER_DELAY

    def test_a_connection_has_its_time(self) -> None:
        made, (_, tcp) = race(UDP, TCP)
        assert made.next_deadline() == 39.5
        assert made.take_late(39.4375) == []
        assert made.take_late(39.5) == [tcp]
        made.fail(tcp, 39.5)
        assert made.next_deadline() is None
        assert made.take_late(99.0) == []

    def test_runners_are_known_by_their_path(self) -> None:
        made, (udp, tcp) = race(UDP, TCP)
        tcp.path = Path(TCP, LOCAL)
        assert made.runner_of(tcp.path) is tcp
        assert made.runner_of(Path(UDP, LOCAL)) is None
        assert made.has_several
        assert not race(UDP)[0].has_several
        assert made.has_others(udp)
        made.fail(tcp, 0.0)
        assert not made.has_others(udp)
        assert not made.is_lost
        made.fail(udp, 0.0)
        assert made.is_lost


class TestDecision:
    def test_nobody_wins_without_a_sign_of_life(self) -> None:
        made, _ = race(UDP, TCP)
        assert made.decide(1.0) is None

    def test_udp_wins_at_once(self) -> None:
        made, (udp, tcp) = race(UDP, TCP)
        made.on_alive(udp, ROUND_TRIP)
        assert made.decide(ROUND_TRIP) is udp
        assert made.decide(ROUND_TRIP) is None
        assert made.winner is udp
        assert made.finish() == [tcp]
        assert made.next_deadline() is None

    def test_a_connection_waits_a_moment_for_udp(self) -> None:
        made, (_, tcp) = race(UDP, TCP)
        made.on_alive(tcp, ROUND_TRIP)
        assert made.decide(ROUND_TRIP) is None
        decided_at = made.next_deadline()
        assert decided_at is not None
        assert decided_at == ROUND_TRIP + PREFERENCE_GRACE
        assert made.decide(decided_at) is tcp

    def test_udp_within_the_moment_wins(self) -> None:
        made, (udp, tcp) = race(UDP, TCP)
        made.on_alive(tcp, ROUND_TRIP)
        made.on_alive(udp, ROUND_TRIP + PREFERENCE_GRACE / 2)
        assert made.decide(ROUND_TRIP + PREFERENCE_GRACE / 2) is udp

    def test_udp_that_waited_for_a_slot_has_as_long_as_the_connection_took(self) -> None:
        made = Race((UDP, TCP), RoutePolicy.RACE, 39.5)
        made.start(0.0)
        udp, tcp = made.take_started(0.0)
        made.on_alive(tcp, ROUND_TRIP)
        assert made.decide(100.0) is None
        assert made.next_deadline() is None
        made.on_sent(udp, 0.5)
        made.on_sent(udp, 0.75)
        made.on_sent(None, 1.0)
        assert made.next_deadline() == 0.5 + ROUND_TRIP + PREFERENCE_GRACE

    def test_a_udp_that_failed_is_not_waited_for(self) -> None:
        made, (udp, tcp) = race(UDP, TCP)
        made.fail(udp, 0.0625)
        made.on_alive(tcp, ROUND_TRIP)
        assert made.decide(ROUND_TRIP) is tcp

    @pytest.mark.rfc("8305", "4")
    def test_the_address_that_comes_first_is_waited_for(self) -> None:
        made, (six, four) = race(TCP6, TCP)
        made.on_alive(four, ROUND_TRIP)
        assert made.decide(ROUND_TRIP) is None
        made.on_alive(six, ROUND_TRIP + PREFERENCE_GRACE / 2)
        assert made.decide(ROUND_TRIP + PREFERENCE_GRACE / 2) is six

    def test_the_address_that_comes_second_is_not(self) -> None:
        made, (six, _) = race(TCP6, TCP)
        made.on_alive(six, ROUND_TRIP)
        assert made.decide(ROUND_TRIP) is six

    def test_another_protocol_is_not_waited_for(self) -> None:
        made, (_, tcp) = race(TLS, TCP)
        made.on_alive(tcp, ROUND_TRIP)
        assert made.decide(ROUND_TRIP) is tcp

    def test_a_datagram_that_was_never_sent_can_be_alive(self) -> None:
        made = Race((UDP,), RoutePolicy.RACE, 39.5)
        made.start(0.0)
        (udp,) = made.take_started(0.0)
        made.on_alive(udp, 1.0)
        assert made.decide(1.0) is udp

    def test_life_is_noted_once(self) -> None:
        made, (_, tcp) = race(UDP, TCP)
        made.on_alive(tcp, ROUND_TRIP)
        made.on_alive(tcp, 9.0)
        assert made.next_deadline() == ROUND_TRIP + PREFERENCE_GRACE


class TestAgain:
    def test_the_others_run_again(self) -> None:
        made, (udp, tcp, tls) = race(UDP, TCP, TLS)
        made.fail(tls, 0.0)
        made.on_alive(udp, ROUND_TRIP)
        made.decide(ROUND_TRIP)
        assert made.finish() == [tcp]
        made.fail(udp, 1.0)
        made.start(1.0)
        assert made.winner is None
        assert made.take_started(1.0) == [tcp]
