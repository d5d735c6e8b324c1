"""TCP connections of an agent: when one is opened, taken, given more time, closed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.errors import Cause
from icepath.ice.candidate import LocalCandidate
from icepath.ice.config import Role
from icepath.ice.events import State, StateChanged
from icepath.ice.pair import CandidatePair, PairState
from icepath.ice.tcp import CONNECT_TIMEOUT, MAX_ATTEMPTS, PROOF_TIMEOUT, can_check, connect
from icepath.machine import (
    Accepted,
    Bytes,
    Close,
    Connect,
    DropReason,
    Failed,
    FailReason,
    Handle,
    LocalAddress,
    MachineClosed,
    Transport,
)
from icepath.net import Address, TcpAddress
from icepath.wire.attributes import ErrorCode
from icepath.wire.candidate_line import Foundation, TcpType
from unit.ice.agent_table import run_to, states
from unit.ice.builders import HOST, REMOTE, THEIR_KEY, Bench, check_from_remote, reply
from unit.ice.tcp_table import THEIR_PORT, TcpTable, tcp_candidate, tcp_config

HOST6 = Address("2001:db8::1", 4000)


class TestOpening:
    @pytest.mark.rfc("6544", "7.1")
    def test_from_a_port_of_its_own_when_the_check_is_due(self) -> None:
        table = TcpTable()
        table.listen()
        table.meet_over_tcp()
        assert table.connects() == [Connect(Handle(2), Address(HOST.host, 0), REMOTE)]
        assert table.frames(Handle(2)) == []
        table.open(Handle(2), now=0.2)
        assert len(table.frames(Handle(2))) == 1
        table.open(Handle(2), now=0.2)
        assert len(table.frames(Handle(2))) == 1

    @pytest.mark.rfc("6544", "7.1")
    def test_the_check_is_sent_once_and_waited_for(self) -> None:
        table = TcpTable()
        table.listen()
        table.meet_over_tcp()
        (connect,) = table.connects()
        table.open(connect.handle)
        run_to(table, 30.0)
        assert len(table.frames(connect.handle)) == 1
        (pair,) = table.agent.snapshot().pairs
        assert pair.state is PairState.IN_PROGRESS

    @pytest.mark.rfc("6544", "7.1")
    def test_a_connection_that_is_refused_fails_the_check_and_is_tried_again(self) -> None:
        table = TcpTable()
        table.listen()
        table.meet_over_tcp()
        (connect,) = table.connects()
        table.agent.receive(Failed(connect.handle, FailReason.REFUSED), now=0.1)
        (pair,) = table.agent.snapshot().pairs
        assert pair.state is PairState.FAILED
        run_to(table, 6.0)
        assert len(table.connects()) == 2

    def test_one_that_says_nothing_is_given_up(self) -> None:
        table = TcpTable()
        table.listen()
        table.meet_over_tcp()
        table.agent.handle_timeout(now=CONNECT_TIMEOUT)
        assert table.closes() == [Close(Handle(2), abort=True)]

    @pytest.mark.rfc("6544", "12")
    def test_no_more_than_five_attempts_at_a_time_to_one_address(self) -> None:
        table = TcpTable()
        table.listen()
        other = Address("198.51.100.8", 5000)
        crowd = [tcp_candidate(Address(REMOTE.host, 6000 + n), foundation=Foundation(f"{n}")) for n in range(8)]
        table.meet_over_tcp(*crowd, tcp_candidate(other))
        run_to(table, 1.0)
        begun = table.connects()
        assert [connect.remote.host for connect in begun].count(REMOTE.host) == MAX_ATTEMPTS
        assert other in [connect.remote for connect in begun]
        table.agent.receive(Failed(begun[0].handle, FailReason.REFUSED), now=1.1)
        run_to(table, 1.2)
        assert len(table.connects()) == len(begun) + 1

    @pytest.mark.rfc("6544", "7.1")
    def test_who_answers_with_something_else_is_left(self) -> None:
        table = TcpTable()
        table.listen()
        table.meet_over_tcp()
        (connect,) = table.connects()
        table.open(connect.handle)
        table.hear(connect.handle, b"220 mail.example.org")
        assert table.closes() == [Close(connect.handle, abort=True)]
        (pair,) = table.agent.snapshot().pairs
        assert pair.state is PairState.FAILED

    def test_one_that_is_there_is_checked_on_again(self) -> None:
        table = TcpTable()
        table.listen()
        table.meet_over_tcp()
        (connect,) = table.connects()
        table.open(connect.handle)
        refusal = reply(table.last_request_on(connect.handle), [ErrorCode(400, "")], key=THEIR_KEY, is_error=True)
        table.hear(connect.handle, refusal)
        run_to(table, 6.0)
        assert len(table.frames(connect.handle)) == 2
        assert len(table.connects()) == 1

    def test_one_that_is_under_way_is_not_asked_for_again(self) -> None:
        table = Bench(tcp_config())
        local = LocalCandidate(tcp_candidate(HOST, TcpType.ACTIVE), TcpAddress(*HOST))
        remote = TcpAddress(*REMOTE)
        pair = CandidatePair(1, local, tcp_candidate(), remote, stream=1, generation=0, is_controlling=True)
        connect(table.core, pair, now=0.0)
        connect(table.core, pair, now=0.0)
        assert len(table.take()) == 1
        assert not can_check(table.core, pair)

    def test_bytes_before_it_is_open_break_it(self) -> None:
        table = TcpTable()
        table.listen()
        table.meet_over_tcp()
        table.hear(Handle(2), check_from_remote().data)
        assert table.closes() == [Close(Handle(2), abort=True)]


class TestAccepting:
    @pytest.mark.rfc("6544", "7.2")
    def test_a_check_on_it_makes_the_pair_and_is_answered_there(self) -> None:
        table = TcpTable(tcp_config(Role.CONTROLLED))
        handle = table.connected_by_them()
        assert states(table)[-1] is State.COMPLETED
        (pair,) = table.agent.snapshot().pairs
        assert (pair.local_base, pair.remote_address) == (HOST, THEIR_PORT)
        assert (pair.local.tcp_type, pair.remote.tcp_type) == (TcpType.PASSIVE, TcpType.ACTIVE)
        table.agent.send(b"\x80to them", now=1.0)
        assert table.frames(handle)[-1] == b"\x80to them"
        assert table.said[-1] == Bytes(handle, b"\0\x08\x80to them", droppable=True)
        run_to(table, PROOF_TIMEOUT + 1)
        assert table.closes() == []

    def test_whoever_proves_nothing_in_time_is_closed(self) -> None:
        table = TcpTable()
        table.listen()
        table.meet_over_tcp()
        table.accept()
        table.hear(Handle(-1), check_from_remote(key=None).data, now=1.0)
        run_to(table, PROOF_TIMEOUT)
        assert table.closes()[0] == Close(Handle(-1), abort=True)

    def test_whoever_comes_before_the_description_is_waited_with(self) -> None:
        table = TcpTable(tcp_config(Role.CONTROLLED))
        table.listen()
        handle, other = table.accept(), table.accept(-2, remote=Address(REMOTE.host, 51_001))
        table.hear(handle, check_from_remote(role=Role.CONTROLLING).data)
        run_to(table, 3 * PROOF_TIMEOUT)
        assert table.closes() == [Close(other, abort=True)]
        table.meet_over_tcp(tcp_candidate(tcp_type=TcpType.ACTIVE), now=31.0)
        table.answer_on(handle, mapped=HOST, now=31.0)
        assert State.CONNECTED in states(table)

    def test_there_may_be_so_many_and_strangers_go_first(self) -> None:
        table = TcpTable(replace(tcp_config(Role.CONTROLLED), max_connections=2))
        table.listen()
        table.meet_over_tcp(tcp_candidate(tcp_type=TcpType.ACTIVE))
        known = table.accept()
        table.hear(known, check_from_remote(role=Role.CONTROLLING).data)
        table.accept(-2, remote=Address(REMOTE.host, 51_001))
        last = table.accept(-3, remote=Address(REMOTE.host, 51_002))
        assert table.closes() == [Close(Handle(-2), abort=True)]
        table.hear(last, check_from_remote(role=Role.CONTROLLING, number=2).data)
        table.accept(-4, remote=Address(REMOTE.host, 51_003))
        assert table.closes()[1:] == [Close(Handle(-4), abort=True)]
        assert table.drops() == []

    def test_a_handle_or_a_path_that_is_known_is_no_new_connection(self) -> None:
        table = TcpTable()
        table.listen()
        table.accept()
        table.accept(remote=Address(REMOTE.host, 51_001))
        assert table.drops() == [DropReason.UNKNOWN_HANDLE]
        table.accept(-2)
        assert table.closes() == [Close(Handle(-2), abort=True)]

    @pytest.mark.parametrize("listener", [Address(HOST.host, 1), Handle(77)])
    def test_what_nobody_listens_for_is_closed(self, listener: Address | Handle) -> None:
        table = TcpTable()
        table.listen()
        table.take()
        table.agent.receive(Accepted(Handle(-1), listener, HOST, THEIR_PORT), now=0.1)
        assert table.closes() == [Close(Handle(-1), abort=True)]


class TestTheEnd:
    @pytest.mark.rfc("6544", "11.1")
    def test_of_the_connection_in_use_is_the_end_of_the_path(self) -> None:
        table = TcpTable()
        handle = table.connect_over_tcp()
        assert states(table)[-1] is State.COMPLETED
        table.hang_up(handle, now=1.0)
        assert table.events(StateChanged)[-1] == StateChanged(State.FAILED, Cause.CONNECTION_CLOSED)
        run_to(table, 60.0)
        assert len(table.connects()) == 1

    def test_of_one_that_was_accepted_takes_its_pair_along(self) -> None:
        table = TcpTable(tcp_config(Role.CONTROLLED))
        table.listen()
        table.meet_over_tcp(tcp_candidate(tcp_type=TcpType.ACTIVE))
        handle = table.accept()
        table.hear(handle, check_from_remote(role=Role.CONTROLLING).data)
        assert len(table.agent.snapshot().pairs) == 1
        table.hang_up(handle)
        assert table.agent.snapshot().pairs == ()

    def test_during_a_check_fails_it(self) -> None:
        table = TcpTable()
        table.listen()
        table.meet_over_tcp()
        (connect,) = table.connects()
        table.open(connect.handle)
        table.hang_up(connect.handle)
        (pair,) = table.agent.snapshot().pairs
        assert pair.state is PairState.FAILED

    def test_before_the_description_ends_what_was_kept_of_it(self) -> None:
        table = TcpTable(tcp_config(Role.CONTROLLED))
        table.listen()
        handle = table.accept()
        table.hear(handle, check_from_remote(role=Role.CONTROLLING).data)
        table.hang_up(handle)
        table.meet_over_tcp(tcp_candidate(tcp_type=TcpType.ACTIVE))
        assert table.agent.snapshot().pairs == ()

    def test_of_one_without_a_pair_is_nothing(self) -> None:
        table = TcpTable()
        table.listen()
        handle = table.accept()
        table.hang_up(handle)
        table.take()
        table.hang_up(handle)
        assert table.drops() == [DropReason.UNKNOWN_HANDLE]

    def test_a_listener_that_goes_takes_its_connections_along(self) -> None:
        table = TcpTable()
        table.agent.add_local_address(LocalAddress(HOST), now=0.0)
        table.listen()
        handle = table.accept()
        table.agent.remove_local_address(HOST, now=0.0)
        assert table.closes() == []
        table.agent.remove_local_address(HOST, transport=Transport.TCP, now=0.0)
        assert table.closes() == [Close(handle)]
        assert table.agent.local_description().candidates == ()

    def test_closing_the_agent_closes_them_all(self) -> None:
        table = TcpTable()
        handle = table.connect_over_tcp()
        stranger = table.accept()
        table.agent.close(now=1.0)
        outputs = table.take()
        assert [each for each in outputs if isinstance(each, Close)] == [Close(handle), Close(stranger)]
        assert isinstance(outputs[-1], MachineClosed)
