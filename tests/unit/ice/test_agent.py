"""The whole agent, its far side played by hand: what each arrival, verb and deadline leads to."""

from __future__ import annotations

import itertools

import pytest

from icepath.entropy import IceCredentials, Secret
from icepath.errors import Cause, InvalidArgument, InvalidState
from icepath.ice.config import AgentConfig, Role
from icepath.ice.events import (
    CandidateGathered,
    GatheringCompleted,
    PairSelected,
    PairValidated,
    ServerFailed,
    State,
    StreamFailed,
)
from icepath.ice.nat64 import WELL_KNOWN_NAME
from icepath.ice.pair import PairState
from icepath.lab.encounter import Encounter, Plan
from icepath.machine import (
    Accepted,
    Bytes,
    Close,
    Datagram,
    DatagramDropped,
    DropReason,
    Failed,
    FailReason,
    FlowKey,
    FlowUsed,
    Handle,
    LocalAddress,
    MachineClosed,
    Resolve,
    Resolved,
    ResolvedAddress,
    Security,
    SetFlow,
    Transport,
    Unreachable,
)
from icepath.net import Address, Instant
from icepath.wire.attributes import DtlsInStun, IceControlled, UseCandidate, XorMappedAddress
from icepath.wire.candidate_line import CandidateType
from icepath.wire.fragment import Description
from icepath.wire.message import MessageClass, decode_message
from unit.ice.agent_table import ELSEWHERE, TA, Table, next_consent_check, run_to, states, stream_relay, two_paths
from unit.ice.builders import (
    HOST,
    MAPPED,
    OWN,
    REMOTE,
    SERVER,
    THEIRS,
    candidate,
    check_from_remote,
    lite_config,
    named_candidate,
    reply,
    server_at,
)
from unit.ice.tcp_table import TcpTable

# -- verbs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("local", "component", "complaint"),
    [
        (LocalAddress(HOST, transport=Transport.TCP), 1, "says no tcp"),
        (LocalAddress(ELSEWHERE), 2, "component 2"),
    ],
)
def test_a_socket_that_cannot_be_used_is_refused(local: LocalAddress, component: int, complaint: str) -> None:
    table = Table()
    with pytest.raises(InvalidArgument, match=complaint):
        table.agent.add_local_address(local, component=component, now=0.0)
    assert table.take() == []


def test_one_socket_per_address() -> None:
    table = Table()
    table.host()
    with pytest.raises(InvalidArgument, match="known already"):
        table.agent.add_local_address(LocalAddress(HOST), now=0.0)


def test_a_stream_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="stream 2: there are 1 to 1"):
        Table().agent.end_of_remote_candidates(stream=2, now=0.0)


def test_the_role_can_be_chosen_until_checks_begin() -> None:
    table = Table()
    table.host()
    table.agent.set_role(Role.CONTROLLED, now=0.0)
    assert table.agent.snapshot().role is Role.CONTROLLED
    table.meet(REMOTE)
    with pytest.raises(InvalidState, match="checks have begun"):
        table.agent.set_role(Role.CONTROLLING, now=0.0)
    assert table.agent.snapshot().role is Role.CONTROLLED
    assert table.last_request().get(IceControlled) is not None


def test_gathering_without_servers_ends_with_the_local_addresses() -> None:
    table = Table()
    table.host()
    assert [type(event) for event in table.take()] == [CandidateGathered, GatheringCompleted]
    assert table.agent.snapshot().local[0].end_of_candidates
    assert table.agent.local_description() == table.agent.snapshot().local[0]


def test_checks_connect_and_nomination_completes() -> None:
    table = Table()
    assert table.agent.selected_pair() is None
    table.connect()
    assert states(table) == [State.CHECKING, State.CONNECTED, State.COMPLETED]
    assert len(table.events(PairValidated)) == 1
    assert len(table.events(PairSelected)) == 1
    table.agent.send(b"\x80data", now=0.0)
    assert table.sent() == [Datagram(HOST, REMOTE, b"\x80data")]
    (pair,) = table.agent.snapshot().pairs
    assert (pair.is_selected, pair.is_nominated, pair.state) == (True, True, PairState.SUCCEEDED)
    assert table.agent.selected_pair() == pair


def test_a_remote_candidate_alone_is_enough_to_be_checked_later() -> None:
    table = Table()
    table.host()
    table.agent.add_remote_candidate(candidate(), now=0.0)
    assert table.sent() == []
    table.meet()
    assert [each.remote for each in table.sent()] == [REMOTE]


def test_an_address_given_up_takes_its_pair_with_it() -> None:
    table = Table()
    table.connect()
    table.agent.remove_local_address(ELSEWHERE, now=1.0)
    assert states(table)[-1] is State.COMPLETED
    table.agent.remove_local_address(HOST, now=1.0)
    assert states(table)[-1] is State.FAILED
    with pytest.raises(InvalidState):
        table.agent.send(b"\x80", now=1.0)
    table.receive(b"\x80late", now=1.0)
    assert table.drops() == [DropReason.UNKNOWN_LOCAL_ADDRESS]


def test_giving_up_an_address_releases_its_relays() -> None:
    encounter = Encounter(Plan("sym", "sym"))
    encounter.run(seconds=5.0, settle=True)
    side = encounter.b
    assert side.runner is not None
    assert side.pair is not None
    assert side.pair.local.type is CandidateType.RELAYED
    base = next(each for each in side.agent.snapshot().local[0].candidates if each.type is CandidateType.HOST).address
    agent = side.agent
    side.runner.call(lambda now: agent.remove_local_address(base, now=now))
    encounter.world.run(seconds=1.0)
    assert side.state is State.FAILED
    assert agent.snapshot().local[0].candidates == ()


def test_giving_up_one_address_leaves_the_relays_of_others() -> None:
    encounter = Encounter(Plan("ds", "ds"))
    encounter.run(seconds=5.0, settle=True)
    encounter.world.run(seconds=1.0)
    agent, runner = encounter.a.agent, encounter.a.runner
    assert runner is not None
    hosts = [each for each in agent.snapshot().local[0].candidates if each.type is CandidateType.HOST]
    ipv4 = next(each.address for each in hosts if not each.address.is_ipv6)
    runner.call(lambda now: agent.remove_local_address(ipv4, now=now))
    encounter.world.run(seconds=1.0)
    left = {(each.type, each.address.is_ipv6) for each in agent.snapshot().local[0].candidates}
    assert left == {(CandidateType.HOST, True), (CandidateType.RELAYED, True)}
    assert encounter.a.state is State.COMPLETED


def test_a_restart_needs_new_credentials_and_checks_anew() -> None:
    table = Table()
    table.connect()
    with pytest.raises(InvalidArgument, match="new"):
        table.agent.restart(OWN, now=1.0)
    table.agent.restart(IceCredentials("freshfrag", Secret("fresh-password-of-24-char")), stream=1, now=1.0)
    assert table.agent.snapshot().local[0].ufrag == "freshfrag"
    table.agent.send(b"\x80still", now=1.0)
    assert Datagram(HOST, REMOTE, b"\x80still") in table.sent()


def test_servers_can_be_added_later() -> None:
    table = Table()
    table.host()
    table.agent.set_servers([server_at(SERVER, "stun")], now=1.0)
    (query,) = table.sent()
    assert query.remote == SERVER
    request = decode_message(query.payload)
    table.receive(reply(request, [XorMappedAddress(MAPPED)], key=None), remote=SERVER, now=1.05)
    kinds = [event.candidate.type for event in table.events(CandidateGathered) if isinstance(event, CandidateGathered)]
    assert kinds == [CandidateType.HOST, CandidateType.SERVER_REFLEXIVE]
    assert len(table.events(GatheringCompleted)) == 2


# -- deadlines -------------------------------------------------------------------------------------------------------


@pytest.mark.rfc("8445", "7.2.5.2.3")
def test_a_check_without_answer_is_repeated_and_fails() -> None:
    table = Table(AgentConfig(OWN, Role.CONTROLLING, patience=39.5))
    table.host()
    table.meet(REMOTE, ended=True)
    run_to(table, 39.4)
    (pair,) = table.agent.snapshot().pairs
    assert (pair.requests_sent, pair.retransmissions_sent, pair.state) == (1, 6, PairState.IN_PROGRESS)
    run_to(table, 40.0)
    assert table.events(StreamFailed) == [StreamFailed(1, Cause.NO_ANSWER)]


def test_failed_pairs_are_tried_again_while_patience_lasts() -> None:
    table = Table(AgentConfig(OWN, Role.CONTROLLING, patience=300.0))
    table.host()
    table.meet(REMOTE, ended=True)
    run_to(table, 100.0)
    (pair,) = table.agent.snapshot().pairs
    assert pair.requests_sent == 3
    table.answer(table.last_request(), now=100.0)
    assert State.CONNECTED in states(table)


@pytest.mark.rfc("8445", "11")
def test_bindings_at_servers_are_kept_alive_while_no_pair_is_selected() -> None:
    table = Table(AgentConfig(OWN, Role.CONTROLLING, servers=(server_at(SERVER, "stun"),)))
    table.host()
    table.receive(reply(table.last_request(), [XorMappedAddress(MAPPED)], key=None), remote=SERVER)
    table.take()
    run_to(table, 46.0)
    assert [each.remote for each in table.sent()] == [SERVER] * 3


@pytest.mark.rfc("8445", "11")
def test_no_longer_once_the_session_has_failed() -> None:
    table = Table(AgentConfig(OWN, Role.CONTROLLING, servers=(server_at(SERVER, "stun"),)))
    table.host()
    table.receive(reply(table.last_request(), [XorMappedAddress(MAPPED)], key=None), remote=SERVER)
    table.meet(ended=True)
    run_to(table, 46.0)
    assert State.FAILED in states(table)
    table.take()
    run_to(table, 600.0)
    assert table.sent() == []


def test_a_silent_server_fails_alone() -> None:
    table = Table(AgentConfig(OWN, Role.CONTROLLING, servers=(server_at(SERVER, "stun"),)))
    table.host()
    run_to(table, 60.0)
    failed = [event for event in table.events(ServerFailed) if isinstance(event, ServerFailed)]
    assert [(event.reason, event.code) for event in failed] == [(Cause.SERVER_UNREACHABLE, None)]


@pytest.mark.rfc("7675", "5.1")
def test_consent_is_asked_for_every_five_seconds_or_so_and_renewed() -> None:
    table = Table()
    table.connect()
    last = TA
    for _ in range(20):
        now, request = next_consent_check(table)
        assert 4.0 - 0.1 <= now - last <= 6.0 + 0.1
        assert request.get(UseCandidate) is None
        table.answer(request, now=now + 0.01)
        last = now
    table.take()
    until = table.agent.snapshot().pairs[0].consent_until
    assert until == pytest.approx(last + 0.01 + 30.0)
    flows = [flow.until for flow in table.said if isinstance(flow, SetFlow)]
    assert flows[-1] == until


def test_an_old_consent_check_that_ends_unanswered_does_no_harm() -> None:
    table = Table()
    table.connect()
    first, _ = next_consent_check(table)
    now = first
    while now < first + 40.0:
        now, request = next_consent_check(table)
        table.answer(request, now=now)
    assert table.agent.snapshot().state is State.COMPLETED


def test_an_unanswered_consent_check_is_not_repeated() -> None:
    table = Table()
    table.connect()
    now, request = next_consent_check(table)
    run_to(table, now + 3.9)
    sent = [each for each in table.said if isinstance(each, Datagram) and each.payload == request.data]
    assert len(sent) == 1


def test_early_and_late_calls_are_harmless() -> None:
    table = Table()
    table.connect()
    table.take()
    table.agent.handle_timeout(now=0.0)
    assert table.take() == []
    table.agent.handle_timeout(now=1e6)
    deadline = table.agent.next_deadline()
    assert deadline is None or deadline > 1e6


# -- the relay's path ------------------------------------------------------------------------------------------------


def test_a_selected_relay_gets_a_channel_and_a_flow() -> None:
    encounter = Encounter(Plan("sym", "sym"))
    encounter.run(seconds=5.0, settle=True)
    encounter.world.run(seconds=1.0)
    assert encounter.b.pair is not None
    assert encounter.b.pair.local.type is CandidateType.RELAYED
    agent, runner = encounter.a.agent, encounter.a.runner
    assert runner is not None
    runner.call(lambda now: agent.send(b"\x80through the channel", now=now))
    encounter.world.run(seconds=0.2)
    assert encounter.b.runner is not None
    # The flow delivered it: the machine never saw it.
    assert type(encounter.b.runner.events[-1][1]).__name__ == "DataDelivered"


def test_a_refused_allocation_is_a_failed_server() -> None:
    encounter = Encounter(Plan("apdf", "apdf", has_stun=False, password=Secret("wrong")))
    encounter.run(seconds=3.0)
    failed = [event for event in encounter.a.others if isinstance(event, ServerFailed)]
    assert {event.reason for event in failed} == {Cause.WRONG_CREDENTIALS}


# -- the end -----------------------------------------------------------------------------------------------------------


def test_closing_without_relays_is_immediate_and_final() -> None:
    table = Table()
    table.connect()
    table.take()
    table.agent.close(now=1.0)
    outputs: list[object] = table.take()
    assert isinstance(outputs[-1], MachineClosed)
    assert table.agent.next_deadline() is None
    table.agent.close(now=2.0)
    table.receive(b"\x80", now=2.0)
    table.agent.handle_timeout(now=3.0)
    assert table.take() == []
    with pytest.raises(InvalidState, match="closed"):
        table.agent.end_of_local_addresses(now=3.0)


def test_closing_forgets_names_under_resolution() -> None:
    table = Table()
    table.host()
    table.meet()
    table.agent.add_remote_candidate(named_candidate("x.local"), now=0.0)
    (asked,) = [each for each in table.take() if isinstance(each, Resolve)]
    table.agent.close(now=0.0)
    assert Close(asked.handle) in table.take()


def test_closing_waits_for_a_silent_relay_only_so_long() -> None:
    encounter = Encounter(Plan("sym", "sym"))
    encounter.run(seconds=5.0, settle=True)
    encounter.server.close()
    encounter.world.run(seconds=2.0)
    begun = encounter.world.now
    for side in (encounter.a, encounter.b):
        assert side.runner is not None
        side.runner.close()
        encounter.world.run(seconds=0.1)
        assert not side.runner.is_closed
    encounter.world.run(seconds=2.0)
    for side in (encounter.a, encounter.b):
        assert side.runner is not None
        assert side.runner.is_closed
        assert side.runner.events[-1][0] - begun <= 1.2


# -- what arrives ------------------------------------------------------------------------------------------------


def test_an_arrival_for_an_unknown_handle_changes_nothing() -> None:
    table = Table()
    table.agent.receive(Bytes(Handle(99), b"x"), now=0.0)
    assert table.drops() == [DropReason.UNKNOWN_HANDLE]
    table.agent.receive(Failed(Handle(99), FailReason.RESOLVER), now=5.0)
    assert table.drops() == [DropReason.UNKNOWN_HANDLE]


def test_what_flows_carried_is_counted() -> None:
    table = Table()
    table.connect()
    table.agent.receive(FlowUsed(FlowKey(HOST, REMOTE), 3, 300, 0.0), now=1.0)
    snapshot = table.agent.snapshot()
    assert (snapshot.datagrams_received, snapshot.octets_received) == (3, 300)


def test_what_arrives_about_a_name_or_a_path_is_taken_in() -> None:
    table = Table()
    table.host()
    table.meet(REMOTE)
    table.agent.add_remote_candidate(named_candidate("x.local"), now=0.0)
    (asked,) = [each for each in table.take() if isinstance(each, Resolve)]
    table.agent.receive(Failed(asked.handle, FailReason.NAME_NOT_FOUND), now=0.0)
    table.agent.receive(Unreachable(HOST, REMOTE, 3, 3), now=0.0)
    (pair,) = table.agent.snapshot().pairs
    assert pair.state is PairState.FAILED
    table.take()
    assert [event.reason for event in table.said if isinstance(event, DatagramDropped)] == [DropReason.BAD_CANDIDATE]


def test_a_check_that_came_before_the_description_is_taken_in_with_it() -> None:
    table = Table(AgentConfig(OWN, Role.CONTROLLED))
    table.host()
    table.receive(check_from_remote(role=Role.CONTROLLING).data)
    assert table.agent.snapshot().pairs == ()
    table.meet()
    (pair,) = table.agent.snapshot().pairs
    assert pair.remote.address == REMOTE


def test_relay_only_pairs_no_host_socket() -> None:
    table = Table(AgentConfig(OWN, Role.CONTROLLED, relay_only=True))
    table.meet(REMOTE)
    table.host()
    assert table.agent.snapshot().pairs == ()


def test_a_lite_agent_takes_no_servers() -> None:
    table = Table(lite_config())
    with pytest.raises(InvalidArgument, match="host candidates only"):
        table.agent.set_servers([server_at(SERVER, "stun")], now=0.0)


def test_what_a_byte_stream_says_is_taken_in() -> None:
    table = Table()
    handle = stream_relay(table)
    table.agent.receive(Failed(handle, FailReason.REFUSED), now=0.1)
    assert len(table.events(ServerFailed)) == 1


def test_without_a_listener_nothing_is_accepted() -> None:
    table = Table()
    table.host()
    table.take()
    table.agent.receive(Accepted(Handle(-1), HOST, HOST, REMOTE), now=0.1)
    assert table.drops() == [DropReason.UNKNOWN_LOCAL_ADDRESS]


def test_an_unreachable_name_is_no_address() -> None:
    table = Table()
    table.host()
    table.meet(REMOTE)
    table.agent.add_remote_candidate(named_candidate("x.local"), now=0.0)
    (asked,) = [each for each in table.take() if isinstance(each, Resolve)]
    found = ResolvedAddress(Transport.UDP, Security.NONE, Address("192.0.2.99", 0))
    table.agent.receive(Resolved(asked.handle, (found,)), now=0.0)
    assert {pair.remote_address.host for pair in table.agent.snapshot().pairs} == {REMOTE.host, "192.0.2.99"}


def test_a_path_that_falls_silent_is_left_for_one_that_answers() -> None:
    table, now = two_paths()
    while not any(pair.is_nominated and pair.remote_address == ELSEWHERE for pair in table.agent.snapshot().pairs):
        deadline = table.agent.next_deadline()
        assert deadline is not None
        now = max(now, deadline)
        assert now < 10.0
        table.agent.handle_timeout(now=now)
        for datagram in table.sent():
            if datagram.remote == ELSEWHERE:
                now += 0.001
                table.answer(decode_message(datagram.payload), remote=ELSEWHERE, now=now)
    selected = table.agent.selected_pair()
    assert selected is not None
    assert selected.remote_address == ELSEWHERE


class TestIdle:
    def consent_checks(self, table: Table, *, until: Instant, now: Instant) -> list[Instant]:
        """Runs with every request answered at once; returns when requests were sent on the first pair."""
        times: list[Instant] = []
        while (deadline := table.agent.next_deadline()) is not None and deadline <= until:
            now = max(now, deadline)
            table.agent.handle_timeout(now=now)
            for datagram in table.sent():
                message = decode_message(datagram.payload)
                if datagram.remote == REMOTE:
                    times.append(now)
                table.answer(message, remote=datagram.remote, now=now)
        return times

    def test_consent_is_asked_for_every_16_seconds_or_so_and_nothing_else(self) -> None:
        table, now = two_paths()
        table.agent.idle(now=now)
        table.agent.idle(now=now)
        times = self.consent_checks(table, until=now + 200.0, now=now)
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert all(12.8 - 0.126 <= gap <= 19.2 + 0.126 for gap in gaps)
        assert 10 <= len(times) <= 16
        (first, second) = table.agent.snapshot().pairs
        assert second.requests_sent <= 2
        assert first.is_selected
        assert table.agent.snapshot().state is State.COMPLETED

    def test_an_answer_that_is_missing_is_asked_for_again_soon_enough(self) -> None:
        table = Table()
        table.connect()
        table.agent.idle(now=1.0)
        at = self.consent_checks(table, until=6.9, now=1.0)[-1]
        sent: list[Instant] = []
        while table.agent.snapshot().state is not State.FAILED:
            deadline = table.agent.next_deadline()
            assert deadline is not None
            table.agent.handle_timeout(now=deadline)
            if table.sent():
                sent.append(deadline)
        assert 12.7 <= sent[0] - at <= 19.4
        assert len(sent) >= 2
        assert all(4.0 <= later - earlier <= 6.2 for earlier, later in itertools.pairwise(sent))

    def test_to_wake_is_to_check_at_once(self) -> None:
        table, now = two_paths()
        table.agent.wake(now=now)
        assert table.sent() == []
        table.agent.idle(now=now)
        table.agent.wake(now=now + 20.0)
        table.agent.handle_timeout(now=now + 20.0 + TA)
        table.agent.handle_timeout(now=now + 20.0 + 2 * TA)
        assert {datagram.remote for datagram in table.sent()} == {REMOTE, ELSEWHERE}

    def test_without_renomination_the_path_in_use_alone(self) -> None:
        table = Table()
        table.connect()
        table.agent.idle(now=1.0)
        table.agent.wake(now=2.0)
        table.agent.handle_timeout(now=2.0 + TA)
        assert [datagram.remote for datagram in table.sent()] == [REMOTE]


class TestEmbedding:
    def table(self) -> Table:
        table = Table(AgentConfig(OWN, Role.CONTROLLED, components=(2,), sped=True))
        table.host()
        table.take()
        return table

    @pytest.mark.rfc("sped", "3.1")
    def test_the_application_has_its_say_before_an_answer_and_the_next_check_leave(self) -> None:
        table = self.table()
        described = Description(THEIRS.ufrag, THEIRS.password, (candidate(),), ("sped",), pacing=5)
        check = check_from_remote(role=Role.CONTROLLING, extra=(DtlsInStun(b"\x16hello"),))
        table.receive(check.data, now=1.0)
        table.agent.set_remote_description(described, now=1.0)
        assert not table.sent()
        assert table.agent.next_deadline() == 1.0
        table.agent.flights.send([b"\x16reply"], now=1.0)
        table.agent.handle_timeout(now=1.0)
        sent = [decode_message(each.payload) for each in table.sent()]
        assert [each.message_class for each in sent] == [MessageClass.SUCCESS, MessageClass.REQUEST]
        assert {each.get(DtlsInStun) for each in sent} == {DtlsInStun(b"\x16reply")}
        deadline = table.agent.next_deadline()
        assert deadline is not None
        assert deadline > 1.0

    @pytest.mark.rfc("sped", "3.3.5")
    def test_a_flight_goes_by_itself_where_there_is_a_path(self) -> None:
        table = Table(AgentConfig(OWN, Role.CONTROLLING, sped=True))
        table.connect()
        table.take()
        table.agent.flights.send([b"\x16one", b"\x16two"], now=1.0)
        assert [each.payload for each in table.sent()] == [b"\x16one", b"\x16two"]
        table.agent.flights.finish(sent_last=False, now=1.0)
        assert table.sent() == []


class TestTranslators:
    """An agent without IPv4 asks for its network's translators when IPv4 is to be reached (RFC 7050 §3)."""

    HOST6 = LocalAddress(Address("2001:db8::1", 4000))

    def questions(self, table: Table) -> list[str]:
        return [output.what for output in table.take() if isinstance(output, Resolve)]

    @pytest.mark.rfc("7050", "3")
    def test_for_a_server(self) -> None:
        table = Table(AgentConfig(OWN, Role.CONTROLLING, servers=(server_at(SERVER),)))
        table.agent.add_local_address(self.HOST6, now=0.0)
        table.agent.end_of_local_addresses(now=0.0)
        assert self.questions(table) == [WELL_KNOWN_NAME]

    @pytest.mark.rfc("7050", "3")
    def test_for_a_server_given_later(self) -> None:
        table = Table()
        table.agent.add_local_address(self.HOST6, now=0.0)
        table.agent.end_of_local_addresses(now=0.0)
        assert self.questions(table) == []
        table.agent.set_servers((server_at(SERVER),), now=0.0)
        assert self.questions(table) == [WELL_KNOWN_NAME]

    @pytest.mark.rfc("7050", "3")
    def test_for_a_remote_candidate_once_and_again_where_the_network_may_be_another(self) -> None:
        table = Table()
        table.agent.add_local_address(self.HOST6, now=0.0)
        for port in (5000, 5001):
            table.agent.add_remote_candidate(candidate(Address("11.2.0.1", port)), now=0.0)
        assert self.questions(table) == [WELL_KNOWN_NAME]
        table.agent.end_of_local_addresses(now=0.0)
        assert self.questions(table) == [WELL_KNOWN_NAME]

    @pytest.mark.rfc("7050", "3")
    def test_not_where_there_is_ipv4_and_not_for_ipv6(self) -> None:
        table = Table()
        table.host()
        table.meet(Address("11.2.0.1", 5000))
        assert self.questions(table) == []
        table = Table()
        table.agent.add_local_address(self.HOST6, now=0.0)
        table.meet(Address("2001:db8:7::1", 5000))
        assert self.questions(table) == []

    def test_closing_closes_the_question(self) -> None:
        table = Table()
        table.agent.add_local_address(self.HOST6, now=0.0)
        table.agent.add_remote_candidate(candidate(Address("11.2.0.1", 5000)), now=0.0)
        (question,) = [output for output in table.take() if isinstance(output, Resolve)]
        table.agent.close(now=0.0)
        assert Close(question.handle) in table.take()


def test_connections_have_deadlines() -> None:
    table = TcpTable()
    table.listen()
    table.accept()
    table.agent.handle_timeout(now=10.0)
    assert table.closes() == [Close(Handle(-1), abort=True)]


def test_a_listener_may_have_the_address_of_a_socket() -> None:
    table = TcpTable()
    table.agent.add_local_address(LocalAddress(HOST), now=0.0)
    table.listen()
    with pytest.raises(InvalidArgument, match="known already"):
        table.listen()
    table.agent.remove_local_address(HOST, transport=Transport.TCP, now=0.0)
    assert [candidate.transport for candidate in table.agent.local_description().candidates] == [Transport.UDP]
