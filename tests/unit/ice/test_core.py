from __future__ import annotations

import math
from dataclasses import replace

import pytest

from icepath.entropy import IceCredentials, Secret
from icepath.ice.config import AgentConfig, Role, RtoView, Server, rto_by_rfc
from icepath.ice.core import Core, Socket, TimerKey, TimerKind
from icepath.ice.embedding import Embedding
from icepath.ice.events import EmbeddedReceived, PolicyFailed, RoleChanged
from icepath.ice.pairing import discard_pair
from icepath.ice.restart import restart_stream
from icepath.machine import Datagram, DatagramDropped, DropReason, FlowKey, LocalAddress, Opened, Transport
from icepath.net import Address, TcpAddress
from icepath.turn.client.events import Allocated, AllocationFailure, AllocationLost
from icepath.wire.attributes import DtlsInStun, ErrorCode
from icepath.wire.message import Method, decode_message
from icepath.wire.uri import parse_server_uri
from unit.ice.builders import (
    HOST,
    OWN,
    RELAYED,
    REMOTE,
    SERVER,
    Bench,
    at_once,
    candidate,
    check_from_remote,
    config,
    last_request,
    reply,
    seeded,
    server_at,
)
from unit.ice.tcp_table import TcpTable, tcp_config

NEW = IceCredentials("newufrag", Secret("new-password-of-24-charss"))
VIEW = RtoView(0.05, 40, 10)


def core(settings: AgentConfig | None = None, *, seed: int = 7) -> Core:
    return Core(settings or config(), random_bytes=seeded(seed), reserve_slot=at_once)


class TestBeginning:
    def test_has_a_stream_with_a_checklist_for_each_in_the_config(self) -> None:
        made = core(replace(config(), components=(2, 1)))
        assert {number: list(stream.components) for number, stream in made.streams.items()} == {1: [1, 2], 2: [1]}
        assert all(stream.current.credentials == OWN for stream in made.streams.values())

    @pytest.mark.rfc("8445", "6.1.1")
    def test_draws_a_64_bit_tie_breaker(self) -> None:
        drawn = {core(seed=seed).tie_breaker for seed in range(50)}
        assert len(drawn) == 50
        assert all(0 <= value < 1 << 64 for value in drawn)
        assert max(drawn) >= 1 << 60

    def test_the_role_is_the_configs(self) -> None:
        assert [core(config(role)).is_controlling for role in (Role.CONTROLLING, Role.CONTROLLED)] == [True, False]

    def test_numbers_and_handles_are_given_once(self) -> None:
        made = core()
        assert [made.next_id(), made.next_handle(), made.next_id()] == [1, 2, 3]

    @pytest.mark.rfc("8489", "5")
    def test_transaction_ids_are_96_random_bits(self) -> None:
        made = core()
        drawn = {made.transaction_id() for _ in range(100)}
        assert len(drawn) == 100
        assert {len(each) for each in drawn} == {12}


class TestGenerationOf:
    def test_is_that_of_the_pair_while_it_is_on_its_checklist(self) -> None:
        table = Bench()
        pair = table.make_pair(table.add_host())
        generation = table.generation()
        assert table.core.generation_of(pair) is generation
        discard_pair(table.core, generation, pair)
        assert table.core.generation_of(pair) is None

    def test_is_not_that_of_another_pair_on_the_same_path(self) -> None:
        table = Bench()
        table.add_host()
        table.meet(candidate())
        (old,) = table.generation().checklist.pairs.values()
        table.make_valid(old)
        before = table.generation()
        restart_stream(table.core, table.consent, table.gatherer, table.core.streams[1], NEW, now=1.0)
        table.meet(candidate())
        (new,) = table.generation().checklist.pairs.values()
        assert table.core.generation_of(old) is before
        assert table.core.generation_of(new) is table.generation()
        replacement = table.make_pair(table.core.sockets[HOST])
        assert table.core.generation_of(new) is None
        assert table.core.generation_of(replacement) is table.generation()

    def test_is_none_once_its_session_is_over(self) -> None:
        table = Bench()
        pair = table.make_pair(table.add_host())
        stream = table.core.streams[1]
        restart_stream(table.core, table.consent, table.gatherer, stream, NEW, now=1.0)
        stream.previous = None
        assert table.core.generation_of(pair) is None


class TestTransmit:
    def test_from_a_host_socket_it_is_a_datagram(self) -> None:
        table = Bench()
        table.add_host()
        table.take()
        table.core.transmit(HOST, REMOTE, b"payload", now=0.0)
        assert table.take() == [Datagram(HOST, REMOTE, b"payload")]

    def test_from_an_address_that_is_gone_nothing_leaves(self) -> None:
        table = Bench()
        table.core.transmit(HOST, REMOTE, b"payload", now=0.0)
        assert table.take() == []

    def test_from_a_relayed_address_it_goes_through_the_server(self) -> None:
        table = Bench()
        table.add_host()
        relay = table.add_relay()
        table.permit(relay)
        table.take()
        table.core.transmit(RELAYED, REMOTE, b"payload", now=1.0)
        (sent,) = table.sent()
        assert (sent.local, sent.remote) == (HOST, SERVER)
        assert decode_message(sent.payload).method == Method.SEND

    @pytest.mark.rfc("8656", "11.1")
    def test_without_a_permission_nothing_leaves(self) -> None:
        table = Bench()
        table.add_host()
        table.add_relay()
        table.take()
        table.core.transmit(RELAYED, REMOTE, b"payload", now=1.0)
        assert table.take() == []

    def test_nor_when_the_allocation_has_just_been_lost(self) -> None:
        """As when one `handle_timeout` ends the allocation and then has a check to send again."""
        table = Bench()
        table.add_host()
        relay = table.add_relay()
        relay.allocation.permit((REMOTE.host,), now=0.0)
        table.run_relay(relay, now=0.1)
        request = last_request(table.sent(), SERVER)
        table.to_relay(relay, reply(request, [ErrorCode(437, "")], key=None, is_error=True), now=0.2)
        assert [type(event) for _, event in table.core.relay_events] == [AllocationLost]
        table.take()
        table.core.transmit(RELAYED, REMOTE, b"payload", now=0.2)
        assert table.take() == []


class TestSettle:
    def test_what_an_allocation_sends_leaves_and_what_it_reports_waits_for_the_agent(self) -> None:
        table = Bench()
        table.gatherer.set_servers((server_at(SERVER),), now=0.0)
        table.add_host()
        table.take()
        table.gatherer.ask_next(now=0.0)
        (relay,) = table.core.relays.values()
        (asked,) = table.sent()
        assert asked.remote == SERVER
        key = TimerKey(TimerKind.ALLOCATION, relay.id)
        assert table.core.timers.deadline(key) == relay.allocation.next_deadline() == 0.5
        refusal = reply(decode_message(asked.payload), [ErrorCode(486, "full")], key=None, is_error=True)
        table.to_relay(relay, refusal, now=0.1)
        (reporter, event), *_ = table.core.relay_events
        assert reporter is relay
        assert getattr(event, "reason", None) is AllocationFailure.QUOTA
        assert table.take() == []

    def test_its_drops_are_counted_with_the_agents_own(self) -> None:
        table = Bench()
        table.add_host()
        relay = table.add_relay()
        table.take()
        for now in (1.0, 1.1):
            table.to_relay(relay, b"\xff" * 20, now=now)
        table.core.outbox.drop(DropReason.NOT_STUN, remote=REMOTE, now=1.2)
        (event,) = table.events(DatagramDropped)
        assert (event.reason, event.count, event.remote) == (DropReason.NOT_STUN, 1, SERVER)

    def test_an_allocation_that_has_ended_is_forgotten(self) -> None:
        table = Bench()
        table.add_host()
        relay = table.add_relay()
        relay.allocation.close(now=1.0)
        table.core.settle(relay, now=1.0)
        assert table.core.relays == {relay.id: relay}
        table.run_relay(relay, now=2.0)
        assert table.core.relays == {}
        assert table.core.timers.deadline(TimerKey(TimerKind.ALLOCATION, relay.id)) is None

    def test_reports_keep_their_order(self) -> None:
        table = Bench()
        table.gatherer.set_servers((server_at(SERVER),), now=0.0)
        table.add_host()
        table.add_host(Address("192.0.2.2", 4000))
        table.take()
        while table.gatherer.has_asks:
            table.gatherer.ask_next(now=0.0)
        first, second = table.core.relays.values()
        requests = [decode_message(each.payload) for each in table.sent()]
        for relay, request in ((second, requests[1]), (first, requests[0])):
            table.to_relay(relay, reply(request, [ErrorCode(486, "")], key=None, is_error=True), now=0.1)
        reporters = [relay.id for relay, _ in table.core.relay_events]
        assert reporters == sorted(reporters, reverse=True)
        assert not any(isinstance(event, Allocated) for _, event in table.core.relay_events)


class TestRto:
    @pytest.mark.rfc("8445", "14.3")
    @pytest.mark.parametrize("answer", [0.0, 0.1, -1.0, math.nan])
    def test_is_never_below_half_a_second_whatever_the_policy_says(self, answer: float) -> None:
        assert core(replace(config(), rto=lambda _view: answer)).rto(VIEW) == 0.5

    def test_is_the_policys_otherwise(self) -> None:
        made = core(replace(config(), rto=rto_by_rfc))
        assert made.rto(VIEW) == pytest.approx(20.0)
        assert made.outbox.take() == []

    @pytest.mark.parametrize("answer", [math.inf, None, "soon"])
    def test_is_the_rfcs_when_the_policy_says_nonsense(self, answer: object) -> None:
        made = core(replace(config(), rto=lambda _view: answer))  # type: ignore[arg-type,return-value]  # nonsense
        assert made.rto(VIEW) == pytest.approx(20.0)
        (event,) = made.outbox.take()
        assert isinstance(event, PolicyFailed)
        assert event.policy == "rto"

    def test_is_the_rfcs_when_the_policy_raises(self) -> None:
        def fail(_view: RtoView) -> float:
            raise KeyError("mine")

        made = core(replace(config(), rto=fail))
        assert made.rto(VIEW) == rto_by_rfc(VIEW)
        assert made.outbox.take() == [PolicyFailed("rto", "KeyError('mine')")]


class TestTransactions:
    def test_their_deadline_is_stored_and_taken_back(self) -> None:
        table = Bench()
        pair = table.make_pair(table.add_host())
        table.meet()
        table.outgoing.send(table.generation(), pair, now=3.0)
        key = TimerKey(TimerKind.TRANSACTIONS)
        table.core.arm_transactions()
        armed = table.core.timers.deadline(key)
        table.core.arm_transactions()
        assert table.core.timers.deadline(key) == armed
        table.core.transactions.clear()
        table.core.arm_transactions()
        assert (armed, table.core.timers.deadline(key)) == (3.5, None)


class TestChangeOfRole:
    @pytest.mark.rfc("8445", "7.2.5.1")
    @pytest.mark.rfc("8445", "7.3.1.1")
    def test_every_pairs_priority_is_computed_anew(self) -> None:
        table = Bench(replace(config(), components=(1, 1)))
        pairs = []
        for stream in (1, 2):
            socket = table.add_host(Address("192.0.2.1", 4000 + stream), stream=stream)
            pairs.append(table.make_pair(socket, candidate(priority=5)))
        before = [pair.priority for pair in pairs]
        table.take()
        table.core.change_role(Role.CONTROLLED, draw_tie_breaker=False)
        assert [pair.priority for pair in pairs] == [priority - 1 for priority in before]
        assert table.take() == [RoleChanged(Role.CONTROLLED)]
        assert not table.core.is_controlling

    @pytest.mark.rfc("8445", "7.2.5.1")
    @pytest.mark.parametrize("draws", [True, False])
    def test_the_tie_breaker_changes_when_it_must(self, draws: bool) -> None:
        made = core()
        before = made.tie_breaker
        made.change_role(Role.CONTROLLED, draw_tie_breaker=draws)
        assert (made.tie_breaker != before) is draws

    @pytest.mark.rfc("8445", "8.1.1")
    def test_a_choice_made_in_the_other_role_counts_no_more(self) -> None:
        table = Bench()
        socket = table.add_host()
        table.meet()
        pair = table.make_valid(table.make_pair(socket))
        table.generation().remote_ended = table.conclusion.is_gathered = True
        table.conclusion.nominate(now=1.0)
        assert pair.use_candidate
        table.core.change_role(Role.CONTROLLED, draw_tie_breaker=False)
        assert not pair.use_candidate
        table.core.change_role(Role.CONTROLLING, draw_tie_breaker=False)
        table.conclusion.nominate(now=2.0)
        assert pair.use_candidate


def test_a_change_asks_for_states_and_the_next_check_to_be_looked_at() -> None:
    made = core()
    assert not made.has_changed
    assert not made.may_check
    made.touch()
    assert made.has_changed
    assert made.may_check


def test_byte_streams_that_relays_open_are_known_by_their_handles() -> None:
    table = Bench()
    table.add_host()
    url = parse_server_uri(f"turn:{SERVER}?transport=tcp")
    table.gatherer.set_servers((Server(url, "alice", Secret("wonderland")),), now=0.0)
    table.gatherer.ask_next(now=0.0)
    (relay,) = table.core.relays.values()
    ((handle, owner),) = table.core.relays_by_handle.items()
    assert owner is relay
    relay.allocation.receive(Opened(handle, HOST, SERVER), now=0.1)
    relay.allocation.close(now=0.2)
    table.core.settle(relay, now=0.2)
    table.run_relay(relay, now=5.0)
    assert table.core.relays_by_handle == {}


class TestCounts:
    def test_a_flow_is_counted_on_its_pair(self) -> None:
        table = Bench()
        table.meet()
        pair = table.make_valid(table.make_pair(table.add_host()))
        assert pair.flow is not None
        assert table.core.counts_of_flow(pair.flow) is pair.counts

    def test_a_flow_that_is_no_more_on_its_sockets_component(self) -> None:
        table = Bench(replace(config(), components=(1, 2)))
        table.make_pair(table.add_host())
        table.add_host(Address("192.0.2.1", 4002), stream=2, component=2)
        late = FlowKey(Address("192.0.2.1", 4002), REMOTE)
        assert table.core.counts_of_flow(late) is table.core.counts_besides(2, 2)
        relay = table.add_relay()
        through = FlowKey(relay.host.address, SERVER, 0x4000)
        assert table.core.counts_of_flow(through) is table.core.counts_besides(relay.host.stream, relay.host.component)
        assert table.core.counts_of_flow(FlowKey(REMOTE, HOST)) is table.core.counts_besides(1, 1)

    def test_what_a_pair_carried_outlives_it(self) -> None:
        table = Bench()
        pair = table.make_pair(table.add_host())
        counts = pair.counts
        counts.datagrams_received, counts.octets_received, counts.datagrams_sent, counts.octets_sent = 1, 20, 3, 40
        for _ in range(2):  # a second time adds nothing
            counts.hand_over(table.core.counts_besides(1, 1))
        kept = table.core.counts_besides(1, 1)
        sums = (kept.datagrams_received, kept.octets_received, kept.datagrams_sent, kept.octets_sent)
        assert sums == (1, 20, 3, 40)


HELLO = b"\x16hello"


class TestEmbedded:
    def embedding(self, table: Bench) -> Embedding:
        embedding = table.core.embeddings[1, 1]
        embedding.begin([HELLO], 100)
        return embedding

    def test_every_component_has_an_exchange_where_it_is_asked_for(self) -> None:
        made = core(replace(config(), components=(2, 1), sped=True))
        assert set(made.embeddings) == {(1, 1), (1, 2), (2, 1)}
        assert not core().embeddings

    def test_a_new_packet_is_reported(self) -> None:
        table = Bench(replace(config(), sped=True))
        message = check_from_remote(extra=(DtlsInStun(HELLO),))
        assert [table.core.take_embedded(1, 1, message) for _ in range(2)] == [True, False]
        assert table.events(EmbeddedReceived) == [EmbeddedReceived(1, 1, HELLO)]
        assert not Bench().core.take_embedded(1, 1, message)

    @pytest.mark.rfc("sped", "3.3.5")
    def test_what_is_pending_goes_by_itself_once_data_may_flow(self) -> None:
        table = Bench(replace(config(), sped=True))
        socket = table.add_host()
        table.meet()
        pair = table.make_pair(socket)
        table.core.send_unsent(now=0.0)
        self.embedding(table)
        table.core.send_unsent(now=0.0)
        table.core.streams[1].active[1] = table.make_valid(pair)
        table.take()
        table.core.send_unsent(now=100.0)  # consent has run out
        assert table.sent() == []
        for _ in range(2):
            table.core.send_unsent(now=1.0)
        assert table.sent() == [Datagram(HOST, REMOTE, HELLO)]
        assert (pair.counts.datagrams_sent, pair.counts.octets_sent, pair.counts.last_sent) == (1, len(HELLO), 1.0)


class TestConnections:
    def test_what_a_connection_cannot_carry_is_dropped(self) -> None:
        table = TcpTable()
        handle = table.connect_over_tcp()
        table.agent.send(bytes([0x80]) * 0xFFFF, now=1.0)
        assert len(table.frames(handle)[-1]) == 0xFFFF
        table.agent.send(bytes([0x80]) * 0x10000, now=1.0)
        assert table.drops() == [DropReason.LIMIT]

    def test_nothing_is_sent_where_there_is_none(self) -> None:
        table = Bench(tcp_config())
        socket = Socket(LocalAddress(HOST, transport=Transport.TCP), stream=1, component=1, preference=1)
        table.core.sockets[socket.address] = socket
        table.core.transmit(TcpAddress(*HOST), TcpAddress(*REMOTE), b"\0", now=0.0)
        assert table.take() == []
