from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.ice.config import AgentConfig
from icepath.ice.core import TimerKey, TimerKind
from icepath.ice.pair import CandidatePair, PairState
from icepath.machine import Datagram
from icepath.net import Address, Instant
from icepath.wire.candidate_line import Foundation
from icepath.wire.message import MessageClass, Method, decode_message
from unit.ice.builders import HOST, RELAYED, REMOTE, SERVER, Bench, candidate, config, lite_config, server_at
from unit.ice.tcp_table import TcpTable, tcp_candidate

PACING = 0.005
REMOTES = [Address("198.51.100.7", 5000 + number) for number in range(8)]


def bench(count: int = 3, settings: AgentConfig | None = None) -> tuple[Bench, list[CandidatePair]]:
    """Makes an agent with `count` pairs that wait for their checks, the first one the best."""
    table = Bench(settings)
    table.add_host()
    known = [
        candidate(remote, foundation=str(index), priority=1000 - index) for index, remote in enumerate(REMOTES[:count])
    ]
    table.meet(*known)
    table.take()
    table.core.may_check = True
    return table, list(table.generation().checklist.pairs.values())


def slot(table: Bench) -> Instant | None:
    return table.core.timers.deadline(TimerKey(TimerKind.SLOT))


def run(table: Bench, *, now: Instant) -> list[tuple[float, Datagram]]:
    """Uses slots as their time comes, until none is wanted; returns when what was sent."""
    sent: list[tuple[float, Datagram]] = []
    start = now
    while True:
        table.scheduler.want_slot(now=now)
        sent += [(round(now - start, 6), each) for each in table.sent()]
        at = slot(table)
        if at is None:
            return sent
        now = at
        table.core.timers.cancel(TimerKey(TimerKind.SLOT))
        table.scheduler.use_slot(now=now)
        sent += [(round(now - start, 6), each) for each in table.sent()]


def remotes(sent: list[tuple[float, Datagram]]) -> list[Address]:
    return [each.remote for _, each in sent]


class TestSlots:
    @pytest.mark.rfc("8445", "6.1.4.2")
    @pytest.mark.rfc("8445", "14.2")
    def test_the_first_check_goes_at_once_and_the_next_ones_ta_apart(self) -> None:
        table, _ = bench()
        sent = run(table, now=10.0)
        assert [at for at, _ in sent] == [0.0, PACING, 2 * PACING]
        assert remotes(sent) == REMOTES[:3]

    def test_nothing_to_send_reserves_nothing(self) -> None:
        table, _ = bench(0)
        table.scheduler.want_slot(now=10.0)
        assert slot(table) is None
        assert table.core.pacer.reserve(10.0) == 10.0

    def test_one_slot_is_reserved_at_a_time(self) -> None:
        table, _ = bench()
        table.scheduler.want_slot(now=10.0)
        table.scheduler.want_slot(now=10.0)
        assert slot(table) == pytest.approx(10.0 + PACING)
        assert len(table.sent()) == 1

    def test_pairs_are_looked_at_only_when_something_changed(self) -> None:
        table, pairs = bench(1)
        pairs[0].state = PairState.FAILED
        table.scheduler.want_slot(now=10.0)
        pairs[0].state = PairState.WAITING
        table.scheduler.want_slot(now=10.0)
        assert table.sent() == []
        table.core.may_check = True
        table.scheduler.want_slot(now=10.0)
        assert len(table.sent()) == 1

    def test_a_slot_whose_work_has_gone_is_left_empty(self) -> None:
        table, pairs = bench(1)
        pairs[0].state = PairState.FAILED
        table.scheduler.use_slot(now=10.0)
        table.scheduler.want_slot(now=10.0)
        table.scheduler.use_slot(now=10.1)
        assert table.sent() == []

    @pytest.mark.rfc("8445", "6.1.4.2")
    def test_a_triggered_check_goes_before_ordinary_ones(self) -> None:
        table, pairs = bench()
        table.generation().checklist.enqueue_triggered(pairs[2])
        assert remotes(run(table, now=10.0)) == [REMOTES[2], REMOTES[0], REMOTES[1]]

    @pytest.mark.rfc("8445", "6.1.4.2")
    def test_streams_take_turns(self) -> None:
        table = Bench(replace(config(), components=(1, 1)))
        for stream in (1, 2):
            host = Address("192.0.2.1", 4000 + stream)
            table.add_host(host, stream=stream)
            table.meet(*[candidate(each, foundation=f"{stream}{each.port}") for each in REMOTES[:3]], stream=stream)
        table.take()
        table.core.may_check = True
        assert [each.local.port for _, each in run(table, now=10.0)] == [4001, 4002, 4001, 4002, 4001, 4002]

    def test_a_triggered_pair_that_was_given_up_is_not_checked(self) -> None:
        table, pairs = bench(2)
        for pair in pairs:
            table.generation().checklist.enqueue_triggered(pair)
        del table.generation().checklist.pairs[pairs[0].key]
        assert remotes(run(table, now=10.0)) == [REMOTES[1]]

    def test_a_triggered_pair_whose_socket_is_gone_is_not_checked(self) -> None:
        table, pairs = bench(1)
        table.generation().checklist.enqueue_triggered(pairs[0])
        del table.core.sockets[HOST]
        assert run(table, now=10.0) == []


class TestServers:
    def sequence(self, servers: int, checks: int) -> list[str]:
        """Returns who was sent to, slot by slot: "s" a server, "c" a check."""
        table, _ = bench(checks)
        known = [Address("203.0.113.5", 3478 + number) for number in range(servers)]
        table.gatherer.set_servers(tuple(server_at(each, "stun") for each in known), now=10.0)
        return ["s" if remote in known else "c" for remote in remotes(run(table, now=10.0))]

    @pytest.mark.rfc("8445", "5.1.1.2")
    def test_asks_are_paced_like_checks(self) -> None:
        table = Bench()
        table.add_host()
        known = [Address("203.0.113.5", 3478 + number) for number in range(3)]
        table.gatherer.set_servers(tuple(server_at(each, "stun") for each in known), now=0.0)
        table.take()
        assert [at for at, _ in run(table, now=10.0)] == [0.0, PACING, 2 * PACING]

    def test_two_servers_come_first_then_they_take_turns_with_checks(self) -> None:
        assert self.sequence(5, 3) == ["s", "s", "c", "s", "c", "s", "c", "s"]

    def test_what_is_left_of_either_goes_on_alone(self) -> None:
        assert self.sequence(1, 3) == ["s", "c", "c", "c"]
        assert self.sequence(4, 1) == ["s", "s", "c", "s", "s"]

    def test_a_triggered_check_does_not_wait_for_servers(self) -> None:
        table, pairs = bench(1)
        table.gatherer.set_servers((server_at(SERVER, "stun"),), now=10.0)
        table.generation().checklist.enqueue_triggered(pairs[0])
        assert remotes(run(table, now=10.0)) == [REMOTES[0], SERVER]


class TestRelays:
    @pytest.mark.rfc("8445", "7.2.1")
    def test_a_check_through_a_relay_waits_for_its_permission(self) -> None:
        table = Bench()
        table.add_host()
        relay = table.add_relay()
        table.meet()
        pair = table.make_pair(table.core.sockets[RELAYED])
        table.take()
        table.core.may_check = True
        assert run(table, now=1.0) == []
        assert pair.state is PairState.WAITING
        table.permit(relay, now=2.0)
        permission, *_ = [decode_message(each.payload) for each in table.sent()]
        assert permission.method == Method.CREATE_PERMISSION
        table.core.may_check = True
        ((_, sent),) = run(table, now=3.0)
        assert (sent.local, sent.remote) == (HOST, SERVER)
        envelope = decode_message(sent.payload)
        assert (envelope.method, envelope.message_class) == (Method.SEND, MessageClass.INDICATION)
        assert pair.remote_address == REMOTE


@pytest.mark.rfc("8445", "6.2")
def test_a_lite_agent_wants_no_slot() -> None:
    table = Bench(lite_config())
    table.add_host()
    table.meet(candidate(), lite=True)
    table.core.touch()
    table.scheduler.want_slot(now=1.0)
    assert slot(table) is None
    assert table.sent() == []


@pytest.mark.rfc("6544", "4.1")
def test_connections_are_paced_as_checks_are() -> None:
    table = TcpTable()
    table.listen()
    remotes = [tcp_candidate(remote, foundation=Foundation(f"{remote.port}")) for remote in REMOTES[:3]]
    table.meet_over_tcp(*remotes)
    counts = []
    for _ in range(3):
        counts.append(len(table.connects()))
        deadline = table.agent.next_deadline()
        assert deadline is not None
        table.agent.handle_timeout(now=deadline)
    assert counts == [1, 2, 3]
