from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.entropy import IceCredentials, Secret
from icepath.ice.candidate import LocalCandidate
from icepath.ice.config import Server
from icepath.ice.pair import PairKey, PairState
from icepath.ice.pairing import (
    base_candidate,
    can_send,
    discard_pair,
    flow_key,
    make_pair,
    pair_remote,
    pair_socket,
    permit_remotes,
)
from icepath.ice.restart import restart_stream
from icepath.machine import Close, DropFlow, Failed, FailReason, FlowKey, LocalAddress, Opened, SetFlow, Transport
from icepath.net import Address
from icepath.wire.attributes import ErrorCode
from icepath.wire.candidate_line import CandidateType, TcpType
from icepath.wire.uri import parse_server_uri
from unit.ice.agent_table import run_to
from unit.ice.builders import (
    HOST,
    MAPPED,
    RELAYED,
    REMOTE,
    SERVER,
    THEIR_KEY,
    Bench,
    candidate,
    check_from_remote,
    config,
    lite_config,
    local_candidate,
    named_candidate,
    reply,
)
from unit.ice.tcp_table import TcpTable, tcp_candidate, tcp_config

HOST6 = Address("2001:db8::1", 4000)
REMOTE6 = Address("2001:db8::7", 5000)
SECOND_HOST = Address("192.0.2.2", 4000)
SECOND_REMOTE = Address("198.51.100.7", 5002)
NEW = IceCredentials("newufrag", Secret("new-password-of-24-charss"))


def paths(table: Bench, stream: int = 1) -> set[tuple[Address, Address]]:
    return {(key.local, key.remote) for key in table.generation(stream).checklist.pairs}


class TestForming:
    @pytest.mark.rfc("8445", "6.1.2.2")
    def test_every_base_with_every_remote_candidate_of_its_component_and_family(self) -> None:
        table = Bench(replace(config(), components=(2,)))
        table.add_host()
        table.add_host(HOST6)
        table.add_host(SECOND_HOST, component=2)
        table.meet(candidate(), candidate(REMOTE6), candidate(SECOND_REMOTE, component=2))
        assert paths(table) == {(HOST, REMOTE), (HOST6, REMOTE6), (SECOND_HOST, SECOND_REMOTE)}

    @pytest.mark.rfc("8445", "6.1.2.4")
    @pytest.mark.rfc("8838", "10")
    @pytest.mark.rfc("8838", "11")
    def test_a_reflexive_candidate_is_replaced_by_its_base_and_so_pruned(self) -> None:
        table = Bench()
        table.add_host()
        reflexive = local_candidate(MAPPED, CandidateType.SERVER_REFLEXIVE, base=HOST)
        table.generation().candidates[MAPPED, 1] = reflexive
        table.meet(candidate())
        assert paths(table) == {(HOST, REMOTE)}
        (pair,) = table.generation().checklist.pairs.values()
        assert pair.local.candidate.type is CandidateType.HOST

    @pytest.mark.rfc("8838", "10")
    def test_a_base_that_comes_later_is_paired_with_the_remote_candidates_known(self) -> None:
        table = Bench()
        table.meet(candidate(), candidate(SECOND_REMOTE))
        assert paths(table) == set()
        table.add_host()
        assert paths(table) == {(HOST, REMOTE), (HOST, SECOND_REMOTE)}

    @pytest.mark.rfc("8838", "10")
    def test_a_candidate_is_told_before_it_is_paired(self) -> None:
        table = Bench()
        table.meet(candidate())
        socket = table.add_host()
        del table.generation().candidates[HOST, 1]
        table.generation().checklist.pairs.clear()
        assert base_candidate(table.generation(), socket) is None
        pair_socket(table.core, socket)
        assert paths(table) == set()

    def test_nothing_is_paired_before_the_remote_description(self) -> None:
        table = Bench()
        table.generation().remote_candidates[REMOTE, 1] = candidate()
        table.add_host()
        assert paths(table) == set()

    @pytest.mark.rfc("8445", "6.1.2.2")
    def test_streams_have_pairs_of_their_own(self) -> None:
        table = Bench(replace(config(), components=(1, 1)))
        table.add_host()
        table.add_host(SECOND_HOST, stream=2)
        table.meet(candidate())
        table.meet(candidate(SECOND_REMOTE), stream=2)
        assert paths(table, 1) == {(HOST, REMOTE)}
        assert paths(table, 2) == {(SECOND_HOST, SECOND_REMOTE)}

    @pytest.mark.rfc("8445", "7.3.1.3")
    def test_a_base_that_comes_later_is_not_paired_with_what_was_learnt(self) -> None:
        table = Bench()
        socket = table.add_host()
        table.meet(candidate(SECOND_REMOTE))
        table.incoming.on_request(socket, REMOTE, check_from_remote(), now=1.0)
        table.add_host(SECOND_HOST)
        assert paths(table) == {(HOST, SECOND_REMOTE), (HOST, REMOTE), (SECOND_HOST, SECOND_REMOTE)}

    @pytest.mark.rfc("mdns-ice-candidates", "3.3.2")
    def test_a_relay_is_not_paired_with_what_is_behind_a_name(self) -> None:
        table = Bench()
        table.add_host()
        table.add_relay()
        table.meet()
        pair_remote(table.core, table.core.streams[1], named_candidate("somebody.local"), REMOTE)
        assert paths(table) == {(HOST, REMOTE)}
        pair_remote(table.core, table.core.streams[1], candidate(SECOND_REMOTE), SECOND_REMOTE)
        assert paths(table) == {(HOST, REMOTE), (HOST, SECOND_REMOTE), (RELAYED, SECOND_REMOTE)}

    def test_what_is_paired_already_stays_as_it_is(self) -> None:
        table = Bench()
        socket = table.add_host()
        table.meet(candidate())
        (before,) = table.generation().checklist.pairs.values()
        pair_socket(table.core, socket)
        pair_remote(table.core, table.core.streams[1], candidate(), REMOTE)
        assert list(table.generation().checklist.pairs.values()) == [before]

    @pytest.mark.rfc("8445", "8.1.2")
    def test_a_concluded_component_gets_no_further_pair(self) -> None:
        table = Bench()
        table.add_host()
        table.meet(candidate())
        (pair,) = table.generation().checklist.pairs.values()
        table.make_valid(pair)
        table.conclusion.on_nominated(table.core.streams[1], table.generation(), pair, now=1.0)
        table.add_host(SECOND_HOST)
        table.remote_side.add_candidate(table.core.streams[1], candidate(SECOND_REMOTE), now=1.0)
        assert paths(table) == {(HOST, REMOTE)}

    @pytest.mark.rfc("7675", "5.1")
    def test_a_path_whose_consent_was_lost_is_never_paired_again(self) -> None:
        table = Bench()
        table.add_host()
        generation = table.meet()
        generation.lost |= {PairKey(HOST, REMOTE)}
        local = generation.local_at(HOST, 1)
        assert isinstance(local, LocalCandidate)
        assert make_pair(table.core, generation, 1, local, candidate(), REMOTE) is None
        assert make_pair(table.core, generation, 1, local, candidate(SECOND_REMOTE), SECOND_REMOTE) is not None

    @pytest.mark.rfc("8445", "6.1.2.5")
    def test_a_pair_that_had_to_make_room_is_checked_no_more(self) -> None:
        table = Bench(replace(config(), max_pairs=1))
        socket = table.add_host()
        table.meet(candidate(priority=1, foundation="1"))
        (weak,) = table.generation().checklist.pairs.values()
        table.outgoing.send(table.generation(), weak, now=1.0)
        transaction = table.core.transactions.get(weak.transaction_id) if weak.transaction_id is not None else None
        assert transaction is not None
        table.generation().checklist.enqueue_triggered(weak)
        strong = table.make_pair(socket, candidate(SECOND_REMOTE, foundation="2"))
        assert list(table.generation().checklist.pairs.values()) == [strong]
        assert transaction.is_cancelled
        assert not table.generation().checklist.triggered


class TestPermissions:
    @pytest.mark.rfc("8445", "7.2.1")
    def test_every_relay_of_the_stream_permits_the_remotes_address(self) -> None:
        table = Bench(replace(config(), components=(1, 1)))
        table.add_host()
        first = table.add_relay()
        table.add_host(SECOND_HOST, stream=2)
        table.gatherer.ask_next(now=0.0)
        _, second = table.core.relays.values()
        table.grant(second, Address("203.0.113.5", 49153))
        table.core.unpermitted.append((1, REMOTE.host))
        permit_remotes(table.core, now=1.0)
        assert table.core.unpermitted == []
        for relay in (first, second):
            table.run_relay(relay, now=2.0)
        assert [relay.allocation.is_permitted(REMOTE.host) for relay in (first, second)] == [True, False]

    @pytest.mark.rfc("8445", "7.2.1")
    def test_a_relayed_pair_can_be_sent_once_permitted_a_host_pair_always(self) -> None:
        table = Bench()
        host = table.add_host()
        relay = table.add_relay()
        table.meet()
        direct = table.make_pair(host)
        relayed = table.make_pair(table.core.sockets[RELAYED])
        assert (can_send(table.core, direct), can_send(table.core, relayed)) == (True, False)
        table.permit(relay)
        after = can_send(table.core, relayed)
        assert after
        del table.core.sockets[HOST]
        assert not can_send(table.core, direct)


class TestDiscarding:
    def test_a_running_check_is_sent_no_more_and_its_answer_changes_nothing(self) -> None:
        table = Bench()
        pair = table.make_pair(table.add_host())
        table.meet()
        table.outgoing.send(table.generation(), pair, now=0.0)
        transaction_id = pair.transaction_id
        assert transaction_id is not None
        discard_pair(table.core, table.generation(), pair)
        transaction = table.core.transactions.get(transaction_id)
        assert transaction is not None
        assert transaction.is_cancelled
        assert table.core.generation_of(pair) is None
        assert (pair.state, pair.transaction_id, pair.valid) == (PairState.FAILED, None, None)

    def test_a_valid_pair_gives_its_flow_back_once(self) -> None:
        table = Bench()
        pair = table.make_pair(table.add_host())
        table.meet()
        table.make_valid(pair)
        table.take()
        for _ in range(2):
            discard_pair(table.core, table.generation(), pair)
        assert table.take() == [DropFlow(FlowKey(HOST, REMOTE))]

    def test_it_does_so_even_when_its_socket_is_gone(self) -> None:
        table = Bench()
        pair = table.make_pair(table.add_host())
        table.meet()
        table.make_valid(pair)
        del table.core.sockets[HOST]
        assert flow_key(table.core, pair) is None
        table.take()
        discard_pair(table.core, table.generation(), pair)
        assert table.take() == [DropFlow(FlowKey(HOST, REMOTE))]

    @pytest.mark.rfc("8445", "9")
    def test_but_not_the_one_that_the_next_session_has_on_the_same_path(self) -> None:
        table = Bench()
        table.add_host()
        table.meet(candidate())
        (old,) = table.generation().checklist.pairs.values()
        table.make_valid(old)
        generation = table.generation()
        restart_stream(table.core, table.consent, table.gatherer, table.core.streams[1], NEW, now=1.0)
        table.meet(candidate())
        (new,) = table.generation().checklist.pairs.values()
        table.make_valid(new)
        table.take()
        discard_pair(table.core, generation, old)
        assert table.take() == []
        discard_pair(table.core, table.generation(), new)
        assert table.take() == [DropFlow(FlowKey(HOST, REMOTE))]


class TestFlowKey:
    def test_on_a_host_socket_it_is_the_path(self) -> None:
        table = Bench()
        pair = table.make_pair(table.add_host())
        assert flow_key(table.core, pair) == FlowKey(HOST, REMOTE)

    def test_on_a_relay_it_is_the_path_to_the_server_and_the_channel(self) -> None:
        table = Bench()
        table.add_host()
        relay = table.add_relay()
        table.permit(relay)
        pair = table.make_pair(table.core.sockets[RELAYED])
        assert flow_key(table.core, pair) is None
        channel = table.bind_channel(relay)
        assert flow_key(table.core, pair) == FlowKey(HOST, SERVER, channel)


class TestLite:
    @pytest.mark.rfc("8445", "6.2")
    @pytest.mark.parametrize("is_host_first", [True, False])
    def test_pairs_nothing_with_a_full_agent_all_with_a_lite_one(self, is_host_first: bool) -> None:
        for peer_is_lite in (False, True):
            table = Bench(lite_config())
            if is_host_first:
                table.add_host()
            table.meet(candidate(), lite=peer_is_lite)
            if not is_host_first:
                table.add_host()
            assert paths(table) == ({(HOST, REMOTE)} if peer_is_lite else set())


def test_a_relay_by_byte_stream_has_no_flow() -> None:
    table = Bench()
    socket = table.add_host()
    url = parse_server_uri(f"turn:{SERVER}?transport=tcp")
    table.gatherer.set_servers((Server(url, "alice", Secret("wonderland")),), now=0.0)
    table.gatherer.ask_next(now=0.0)
    (relay,) = table.core.relays.values()
    pair = table.make_pair(socket)
    assert flow_key(table.core, pair) == FlowKey(HOST, REMOTE)
    socket.relay = relay
    assert flow_key(table.core, pair) is None


class TestTcp:
    @pytest.mark.rfc("6544", "6.2")
    def test_the_active_candidate_of_a_listeners_host_is_paired_with_passive_ones(self) -> None:
        table = TcpTable()
        table.agent.add_local_address(LocalAddress(HOST), now=0.0)
        table.listen()
        table.meet_over_tcp(tcp_candidate(), candidate(), tcp_candidate(Address(REMOTE.host, 9), TcpType.ACTIVE))
        pairs = table.agent.snapshot().pairs
        assert {(pair.local.tcp_type, pair.remote.tcp_type) for pair in pairs} == {
            (None, None),
            (TcpType.ACTIVE, TcpType.PASSIVE),
        }
        assert {(pair.local_base, pair.remote_address) for pair in pairs} == {(HOST, REMOTE)}

    def test_there_is_no_flow_on_a_connection_and_its_end_comes_with_the_pairs(self) -> None:
        table = TcpTable(replace(tcp_config(), max_pairs=1))
        handle = table.connect_over_tcp()
        assert not [each for each in table.said if isinstance(each, SetFlow)]
        table.agent.remove_local_address(HOST, transport=Transport.TCP, now=1.0)
        assert table.closes() == [Close(handle)]

    def test_a_pair_that_has_to_leave_closes_its_connection(self) -> None:
        table = TcpTable(replace(tcp_config(), max_pairs=1))
        table.listen()
        table.meet_over_tcp()
        (connect,) = table.connects()
        table.agent.receive(Failed(connect.handle, FailReason.REFUSED), now=0.1)
        run_to(table, 6.0)
        table.agent.receive(Opened(table.connects()[1].handle, HOST, REMOTE), now=6.0)
        request = table.last_request_on(table.connects()[1].handle)
        refusal = reply(request, [ErrorCode(400, "")], key=THEIR_KEY, is_error=True)
        table.hear(table.connects()[1].handle, refusal, now=6.0)
        table.agent.add_remote_candidate(tcp_candidate(Address(REMOTE.host, 6000), priority=2**31 - 1), now=6.1)
        assert table.closes() == [Close(table.connects()[1].handle)]
