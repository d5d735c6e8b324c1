from __future__ import annotations

import pytest

from icepath.errors import Cause
from icepath.ice.cause import cause_of_allocation, cause_of_failure, cause_of_name
from icepath.ice.pair import CandidatePair
from icepath.machine import FailReason
from icepath.net import Address
from icepath.turn.client.events import AllocationFailure
from icepath.wire.attributes import XorMappedAddress
from icepath.wire.candidate_line import Candidate, TcpType
from icepath.wire.message import decode_message
from unit.ice.agent_table import run_to
from unit.ice.builders import HOST, OWN_KEY, REMOTE, Bench, candidate, lite_config, reply, transaction_of
from unit.ice.tcp_table import TcpTable, tcp_candidate


def bench() -> tuple[Bench, CandidatePair]:
    table = Bench()
    table.add_host()
    table.meet(candidate())
    (pair,) = table.generation().checklist.pairs.values()
    return table, pair


def cause(table: Bench, *, heard: bool = False, asked: bool = False) -> Cause:
    return cause_of_failure(table.core, table.core.streams[1], heard_server=heard, asked_server=asked)


class TestCauseOfFailure:
    def test_without_an_address_of_our_own_nothing_else_matters(self) -> None:
        table = Bench()
        assert cause(table, asked=True) is Cause.NO_CANDIDATES

    @pytest.mark.parametrize("is_described", [True, False])
    def test_without_any_of_theirs(self, is_described: bool) -> None:
        table = Bench()
        table.add_host()
        if is_described:
            table.meet()
        assert cause(table, asked=True) is Cause.NO_REMOTE_CANDIDATES

    def test_when_none_fits_another(self) -> None:
        table = Bench()
        table.add_host()
        table.meet(candidate(Address("2001:db8::7", 5000)))
        assert cause(table, asked=True) is Cause.NO_COMMON_FAMILY

    def test_when_their_checks_did_not_verify(self) -> None:
        table, _ = bench()
        table.generation().was_refused = True
        assert cause(table, asked=True) is Cause.WRONG_PASSWORD

    def test_when_their_answers_did_not_verify(self) -> None:
        table, pair = bench()
        table.outgoing.send(table.generation(), pair, now=0.0)
        transaction = table.core.transactions.get(transaction_of(pair))
        assert transaction is not None
        forged = reply(decode_message(transaction.payload), [XorMappedAddress(HOST)], key=OWN_KEY)
        table.core.transactions.match(decode_message(forged), local=HOST, remote=REMOTE, now=0.1)
        assert cause(table, asked=True) is Cause.WRONG_PASSWORD

    def test_when_a_check_timed_out_over_answers_that_did_not_verify(self) -> None:
        table, pair = bench()
        pair.was_refused = True
        assert cause(table, asked=True) is Cause.WRONG_PASSWORD

    @pytest.mark.parametrize(
        ("asked", "heard", "answered", "expected"),
        [
            (True, False, False, Cause.UDP_BLOCKED),
            (True, True, False, Cause.NO_ANSWER),
            (True, False, True, Cause.NO_ANSWER),
            (False, False, False, Cause.NO_ANSWER),
        ],
    )
    def test_udp_is_blocked_when_nobody_ever_answered(
        self, asked: bool, heard: bool, answered: bool, expected: Cause
    ) -> None:
        table, pair = bench()
        pair.counts.responses_received = int(answered)
        assert cause(table, heard=heard, asked=asked) is expected


@pytest.mark.parametrize("was_refused", [True, False])
def test_a_lite_agent_that_was_never_checked_is_told_from_one_with_another_password(was_refused: bool) -> None:
    table = Bench(lite_config())
    table.add_host()
    table.meet(candidate()).was_refused = was_refused
    assert cause(table) is (Cause.WRONG_PASSWORD if was_refused else Cause.NO_CHECKS)


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        (tcp_candidate(tcp_type=TcpType.ACTIVE), Cause.NO_CHECKS),
        (tcp_candidate(Address("2001:db8::7", 9), TcpType.ACTIVE), Cause.NO_COMMON_FAMILY),
    ],
)
def test_when_only_they_could_have_connected(theirs: Candidate, expected: Cause) -> None:
    table = TcpTable()
    table.listen()
    table.meet_over_tcp(theirs)
    run_to(table, 60.0)
    assert table.agent.snapshot().cause is expected


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (AllocationFailure.NO_ANSWER, Cause.SERVER_UNREACHABLE),
        (AllocationFailure.NOT_CONNECTED, Cause.SERVER_UNREACHABLE),
        (AllocationFailure.TOKEN_NEEDED, Cause.WRONG_CREDENTIALS),
        (AllocationFailure.QUOTA, Cause.ALLOCATION_QUOTA),
        (AllocationFailure.NOT_TURN, Cause.SERVER_REFUSED),
    ],
)
def test_why_a_server_gave_no_relay(reason: AllocationFailure, cause: Cause) -> None:
    assert cause_of_allocation(reason) is cause


def test_why_a_name_led_nowhere() -> None:
    assert cause_of_name(FailReason.UNREACHABLE) is Cause.SERVER_UNREACHABLE
    assert cause_of_name(FailReason.RESOLVER) is Cause.SERVER_NAME_NOT_FOUND
