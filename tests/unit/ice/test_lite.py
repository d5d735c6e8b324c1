"""A lite agent, its full or lite peer played by hand."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from icepath.entropy import Secret
from icepath.errors import Cause, InvalidArgument
from icepath.ice.config import AgentConfig, Role
from icepath.ice.events import PairSelected, RoleChanged, State, StreamFailed
from icepath.machine import Datagram, DropReason, LocalAddress, SetFlow
from icepath.net import Address
from icepath.wire.attributes import ErrorCode
from icepath.wire.fragment import Description
from icepath.wire.integrity import short_term_key
from icepath.wire.message import MessageClass, decode_message
from unit.ice.agent_table import Table, run_to, states
from unit.ice.builders import HOST, OWN, REMOTE, SERVER, THEIRS, candidate, check_from_remote, server_at

LITE = AgentConfig(OWN, Role.CONTROLLED, lite=True)
REMOTE6 = Address("2001:db8::2", 5000)
OTHER = Address("192.0.2.200", 5001)


def nomination(*, nominates: bool = True, role: Role = Role.CONTROLLING) -> bytes:
    return check_from_remote(role=role, use_candidate=nominates).data


def with_full_peer(settings: AgentConfig = LITE) -> Table:
    table = Table(settings)
    table.host()
    table.meet(REMOTE, ended=True)
    table.take()
    return table


def described(*remote: Address, ended: bool, options: tuple[str, ...] = ("ice2", "trickle")) -> Description:
    candidates = tuple(candidate(address) for address in remote)
    return Description(THEIRS.ufrag, THEIRS.password, candidates, options=options, end_of_candidates=ended, lite=True)


def test_servers_added_later_are_refused_likewise() -> None:
    table = Table(LITE)
    table.agent.set_servers([], now=0.0)
    with pytest.raises(InvalidArgument, match="host candidates only"):
        table.agent.set_servers([server_at(SERVER, "stun")], now=0.0)


@pytest.mark.rfc("8839", "4.2.2")
def test_its_description_says_so_and_proposes_no_pacing() -> None:
    told = with_full_peer().agent.snapshot().local[0]
    assert told.lite
    assert told.pacing is None


# -- with a full peer -----------------------------------------------------------------------------------------------


@pytest.mark.rfc("8445", "6.1.1")
def test_with_a_full_peer_it_is_controlled_whatever_it_was_told() -> None:
    table = Table(replace(LITE, role=Role.CONTROLLING))
    table.host()
    table.meet(REMOTE)
    assert table.events(RoleChanged) == [RoleChanged(Role.CONTROLLED)]
    table.take()
    table.receive(nomination(role=Role.CONTROLLED))
    (answer,) = table.sent()
    error = decode_message(answer.payload).get(ErrorCode)
    assert error is not None
    assert error.code == 487


@pytest.mark.rfc("8445", "6.2")
def test_it_never_checks() -> None:
    table = with_full_peer()
    table.receive(nomination(nominates=False))
    (answer,) = table.sent()
    assert decode_message(answer.payload).message_class is MessageClass.SUCCESS
    run_to(table, 30.0)
    assert table.sent() == []
    assert states(table) == [State.CHECKING]


@pytest.mark.rfc("8445", "7.3.2")
@pytest.mark.rfc("8445", "8.2")
def test_what_the_full_peer_nominates_is_selected_and_carries_data() -> None:
    table = with_full_peer()
    table.receive(nomination())
    assert states(table) == [State.CHECKING, State.COMPLETED]
    (selected,) = table.events(PairSelected)
    assert isinstance(selected, PairSelected)
    assert (selected.pair.local.address, selected.pair.remote_address) == (HOST, REMOTE)
    table.take()
    table.agent.send(b"\x80", now=1.0)
    assert table.sent() == [Datagram(HOST, REMOTE, b"\x80")]
    assert [flow.until for flow in table.said if isinstance(flow, SetFlow)] == [inf]


@pytest.mark.rfc("8445", "12.1.1")
def test_it_sends_nothing_before_each_component_has_its_pair() -> None:
    table = Table(replace(LITE, components=(2,)))
    second = Address(HOST.host, 4001)
    table.agent.add_local_address(LocalAddress(HOST), now=0.0)
    table.agent.add_local_address(LocalAddress(second), component=2, now=0.0)
    table.meet(REMOTE, ended=True)
    table.receive(nomination())
    assert states(table) == [State.CHECKING]
    table.receive(nomination(), local=second, remote=OTHER)
    assert states(table)[-1] is State.COMPLETED


def test_a_nomination_that_came_before_the_description_counts() -> None:
    table = Table(LITE)
    table.host()
    table.receive(nomination())
    assert states(table) == []
    table.meet(REMOTE)
    assert states(table)[-1] is State.COMPLETED


@pytest.mark.rfc("8445", "11")
def test_it_keeps_the_path_open_by_indications_every_15_seconds() -> None:
    table = with_full_peer()
    table.receive(nomination(), now=1.0)
    table.take()
    run_to(table, 32.0)
    sent = [decode_message(each.payload) for each in table.sent()]
    assert [message.message_class for message in sent] == [MessageClass.INDICATION] * 2
    assert not any(message.has_integrity for message in sent)


@pytest.mark.rfc("7675", "4")
def test_silence_of_a_peer_that_renews_no_consent_ends_nothing() -> None:
    table = with_full_peer()
    table.receive(nomination())
    run_to(table, 3600.0)
    assert states(table)[-1] is State.COMPLETED


def test_silence_of_one_that_did_is_the_end_of_the_path() -> None:
    table = with_full_peer()
    table.receive(nomination())
    for at in (5.0, 10.0):
        table.receive(nomination(nominates=False), now=at)
    run_to(table, 25.0)
    assert states(table)[-1] is State.DISCONNECTED
    run_to(table, 39.9)
    assert states(table)[-1] is State.DISCONNECTED
    run_to(table, 40.1)
    assert table.events(StreamFailed) == [StreamFailed(1, Cause.CONSENT_EXPIRED)]


def test_one_that_is_never_checked_fails_with_its_own_cause() -> None:
    table = with_full_peer()
    table.receive(nomination(nominates=False), remote=OTHER)
    run_to(table, 41.0)
    assert table.events(StreamFailed) == [StreamFailed(1, Cause.NO_CHECKS)]


def test_checks_with_a_wrong_password_are_another_cause() -> None:
    table = with_full_peer()
    wrong = short_term_key(Secret("another-password-entirely"))
    table.receive(check_from_remote(role=Role.CONTROLLING, use_candidate=True, key=wrong).data)
    assert table.drops() == [DropReason.BAD_INTEGRITY]
    run_to(table, 41.0)
    assert table.events(StreamFailed) == [StreamFailed(1, Cause.WRONG_PASSWORD)]


def test_a_nomination_told_again_changes_nothing() -> None:
    table = with_full_peer()
    table.receive(nomination())
    table.receive(nomination(), now=0.1)
    assert len(table.events(PairSelected)) == 1


# -- with a lite peer ------------------------------------------------------------------------------------------------


@pytest.mark.rfc("8445", "8.2")
@pytest.mark.parametrize("role", list(Role))
def test_two_lite_agents_take_the_pair_both_prefer_without_a_check(role: Role) -> None:
    table = Table(replace(LITE, role=role))
    table.host()
    better = replace(candidate(OTHER), priority=candidate(REMOTE).priority + 1)
    told = described(REMOTE, ended=True)
    table.agent.set_remote_description(replace(told, candidates=(*told.candidates, better)), now=0.0)
    assert states(table)[-1] is State.COMPLETED
    assert table.sent() == []
    assert table.events(RoleChanged) == []
    table.agent.send(b"\x80", now=1.0)
    assert table.sent() == [Datagram(HOST, OTHER, b"\x80")]


def test_two_lite_agents_that_trickle_wait_for_the_last_candidate() -> None:
    table = Table(LITE)
    table.host()
    table.agent.set_remote_description(described(REMOTE, ended=False), now=0.0)
    assert states(table) == [State.CHECKING]
    table.agent.end_of_remote_candidates(now=1.0)
    assert states(table)[-1] is State.COMPLETED


def test_without_trickle_the_description_is_all() -> None:
    table = Table(LITE)
    table.host()
    table.agent.set_remote_description(described(REMOTE, ended=False, options=()), now=0.0)
    assert states(table)[-1] is State.COMPLETED


def test_two_lite_agents_without_a_common_family_have_no_pair() -> None:
    table = Table(LITE)
    table.host()
    table.agent.set_remote_description(described(REMOTE6, ended=True), now=0.0)
    run_to(table, 41.0)
    assert table.events(StreamFailed) == [StreamFailed(1, Cause.NO_COMMON_FAMILY)]
