"""The whole agent, its far side played by hand: what each arrival, verb and deadline leads to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.entropy import IceCredentials, Secret
from icepath.errors import Cause, InvalidArgument, InvalidState
from icepath.ice.agent import Agent
from icepath.ice.config import AgentConfig, Role
from icepath.ice.events import (
    CandidateGathered,
    DataReceived,
    GatheringCompleted,
    PairSelected,
    PairValidated,
    RoleChanged,
    ServerFailed,
    State,
    StateChanged,
    StreamFailed,
)
from icepath.ice.pair import PairState
from icepath.lab.encounter import Encounter, Plan
from icepath.machine import (
    Bytes,
    Close,
    Datagram,
    DatagramDropped,
    DropReason,
    Event,
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
from icepath.wire.attributes import ErrorCode, IceControlled, UseCandidate, XorMappedAddress
from icepath.wire.candidate_line import CandidateType
from icepath.wire.channel_data import encode_channel_data
from icepath.wire.fragment import Description
from icepath.wire.message import Message, MessageClass, Method, TransactionId, decode_message, encode_message
from unit.ice.builders import (
    HOST,
    MAPPED,
    OWN,
    REMOTE,
    SERVER,
    THEIR_KEY,
    THEIRS,
    at_once,
    candidate,
    check_from_remote,
    named_candidate,
    reply,
    seeded,
    server_at,
)

ELSEWHERE = Address("198.51.100.99", 9)
# The gap between an agent's transactions, and a little for rounding.
TA = 0.005001


class Table:
    """Is one agent and what it said; time is what each step says."""

    def __init__(self, settings: AgentConfig | None = None, *, now: Instant = 0.0) -> None:
        self.agent = Agent(
            settings or AgentConfig(OWN, Role.CONTROLLING), random_bytes=seeded(), reserve_slot=at_once, now=now
        )
        self.said: list[object] = []

    def take(self) -> list[object]:
        outputs: list[object] = list(self.agent.take_outputs())
        self.said += outputs
        return outputs

    def sent(self) -> list[Datagram]:
        return [output for output in self.take() if isinstance(output, Datagram)]

    def events(self, kind: type[Event]) -> list[Event]:
        self.take()
        return [output for output in self.said if isinstance(output, kind)]

    def drops(self) -> list[DropReason]:
        return [output.reason for output in self.take() if isinstance(output, DatagramDropped)]

    def host(self, *, now: Instant = 0.0) -> None:
        self.agent.add_local_address(LocalAddress(HOST), now=now)
        self.agent.end_of_local_addresses(now=now)

    def meet(self, *remote: Address, now: Instant = 0.0, ended: bool = False) -> None:
        candidates = tuple(candidate(address) for address in remote)
        described = Description(THEIRS.ufrag, THEIRS.password, candidates, end_of_candidates=ended, pacing=5)
        self.agent.set_remote_description(described, now=now)

    def receive(self, payload: bytes, *, local: Address = HOST, remote: Address = REMOTE, now: Instant = 0.0) -> None:
        self.agent.receive(Datagram(local, remote, payload), now=now)

    def last_request(self, *, after: Instant | None = None) -> Message:
        """Returns the newest request that was sent; with `after`, once the slot after that instant has come."""
        if after is not None:
            self.agent.handle_timeout(now=after + TA)
        self.take()
        found = [decode_message(each.payload) for each in self.said if isinstance(each, Datagram)]
        return [message for message in found if message.message_class is MessageClass.REQUEST][-1]

    def answer(
        self, request: Message, *, code: int | None = None, remote: Address = REMOTE, now: Instant = 0.0
    ) -> None:
        attributes = [XorMappedAddress(HOST)] if code is None else [ErrorCode(code, "")]
        self.receive(reply(request, attributes, key=THEIR_KEY, is_error=code is not None), remote=remote, now=now)

    def connect(self, *, now: Instant = 0.0) -> None:
        """Brings the agent to a nominated pair."""
        self.host(now=now)
        self.meet(REMOTE, now=now, ended=True)
        self.answer(self.last_request(), now=now)
        nomination = self.last_request(after=now)
        assert nomination.get(UseCandidate) is not None
        self.answer(nomination, now=now + TA)
        assert self.agent.snapshot().state is State.COMPLETED


def states(table: Table) -> list[State]:
    return [event.state for event in table.events(StateChanged) if isinstance(event, StateChanged)]


# -- verbs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("local", "component", "complaint"),
    [
        (LocalAddress(HOST, transport=Transport.TCP), 1, "only UDP"),
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


def test_checks_connect_and_nomination_completes() -> None:
    table = Table()
    table.connect()
    assert states(table) == [State.CHECKING, State.CONNECTED, State.COMPLETED]
    assert len(table.events(PairValidated)) == 1
    assert len(table.events(PairSelected)) == 1
    table.agent.send(b"\x80data", now=0.0)
    assert table.sent() == [Datagram(HOST, REMOTE, b"\x80data")]
    (pair,) = table.agent.snapshot().pairs
    assert (pair.is_selected, pair.is_nominated, pair.state) == (True, True, PairState.SUCCEEDED)


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


# -- arrivals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x80 from nobody known", DropReason.UNVALIDATED),
        (b"", DropReason.UNVALIDATED),
        (b"\x00\x01 no STUN", DropReason.UNVALIDATED),
        (
            encode_message(Method.ALLOCATE, MessageClass.REQUEST, TransactionId(bytes(12))),
            DropReason.UNEXPECTED_MESSAGE,
        ),
        (
            encode_message(Method.BINDING, MessageClass.SUCCESS, TransactionId(bytes(12))),
            DropReason.UNKNOWN_TRANSACTION,
        ),
        (b"\x00\x01\x00\x04\x21\x12\xa4\x42" + bytes(12) + b"\x80\x28\x00\x04", DropReason.MALFORMED),
    ],
)
def test_what_is_not_for_this_agent_is_dropped_with_its_reason(payload: bytes, reason: DropReason) -> None:
    table = Table()
    table.host()
    table.take()
    table.receive(payload)
    assert table.drops() == [reason]


@pytest.mark.rfc("8445", "11")
def test_a_keepalive_indication_wants_nothing() -> None:
    table = Table()
    table.host()
    table.take()
    table.receive(encode_message(Method.BINDING, MessageClass.INDICATION, TransactionId(bytes(12))))
    assert table.take() == []


def test_an_arrival_for_an_unknown_handle_changes_nothing() -> None:
    table = Table()
    table.agent.receive(Bytes(Handle(99), b"x"), now=0.0)
    assert table.drops() == [DropReason.UNKNOWN_HANDLE]
    table.agent.receive(Failed(Handle(99), FailReason.RESOLVER), now=5.0)
    assert table.drops() == [DropReason.UNKNOWN_HANDLE]


@pytest.mark.rfc("8445", "12.2")
def test_data_is_taken_from_whoever_has_proved_itself_before_our_own_check_succeeds() -> None:
    table = Table(AgentConfig(OWN, Role.CONTROLLED))
    table.host()
    table.receive(check_from_remote(role=Role.CONTROLLING).data)
    table.receive(b"\x80before the description")
    table.meet(REMOTE)
    table.receive(b"\x80before our check's answer")
    assert table.events(DataReceived) == [
        DataReceived(1, 1, b"\x80before the description"),
        DataReceived(1, 1, b"\x80before our check's answer"),
    ]


def test_what_flows_carried_is_counted() -> None:
    table = Table()
    table.connect()
    table.agent.receive(FlowUsed(FlowKey(HOST, REMOTE), 3, 300, 0.0), now=1.0)
    snapshot = table.agent.snapshot()
    assert (snapshot.datagrams_received, snapshot.octets_received) == (3, 300)


@pytest.mark.rfc("8445", "7.2.5.2.1")
def test_an_authentic_answer_from_another_address_fails_the_pair() -> None:
    table = Table()
    table.host()
    table.meet(REMOTE)
    request = table.last_request()
    table.answer(request, remote=ELSEWHERE)
    assert DropReason.WRONG_ADDRESS in table.drops()
    (pair,) = table.agent.snapshot().pairs
    assert pair.state is PairState.FAILED


def test_an_answer_from_elsewhere_to_a_server_query_only_counts_as_dropped() -> None:
    table = Table(AgentConfig(OWN, Role.CONTROLLING, servers=(server_at(SERVER, "stun"),)))
    table.host()
    request = table.last_request()
    table.receive(reply(request, [XorMappedAddress(MAPPED)], key=None), remote=ELSEWHERE)
    assert table.drops() == [DropReason.WRONG_ADDRESS]
    table.receive(reply(request, [XorMappedAddress(MAPPED)], key=None), remote=SERVER)
    assert len(table.events(CandidateGathered)) == 2


@pytest.mark.rfc("8445", "7.3.1.5")
def test_a_controlled_agent_settles_when_it_is_told() -> None:
    table = Table(AgentConfig(OWN, Role.CONTROLLED))
    table.host()
    table.meet(REMOTE)
    table.answer(table.last_request())
    assert states(table)[-1] is State.CONNECTED
    table.receive(check_from_remote(role=Role.CONTROLLING, use_candidate=True).data)
    assert states(table)[-1] is State.COMPLETED


def test_a_role_conflict_changes_our_role_and_says_so() -> None:
    table = Table()
    table.host()
    table.meet(REMOTE)
    table.receive(check_from_remote(role=Role.CONTROLLING, tie_breaker=2**64 - 1).data)
    assert table.events(RoleChanged) == [RoleChanged(Role.CONTROLLED)]
    assert table.agent.snapshot().role is Role.CONTROLLED


def test_a_check_that_is_told_of_a_conflict_is_repeated_in_the_other_role() -> None:
    table = Table()
    table.host()
    table.meet(REMOTE)
    table.answer(table.last_request(), code=487)
    assert table.events(RoleChanged) == [RoleChanged(Role.CONTROLLED)]
    table.answer(table.last_request(after=0.0), now=TA)
    assert states(table)[-1] is State.CONNECTED


def test_an_answer_to_a_pair_that_is_gone_changes_nothing() -> None:
    table = Table()
    table.host()
    table.meet(REMOTE)
    request = table.last_request()
    table.agent.remove_local_address(HOST, now=0.0)
    table.agent.add_local_address(LocalAddress(HOST), now=0.0)
    table.take()
    before = table.agent.snapshot().pairs
    table.answer(request)
    assert table.agent.snapshot().pairs == before
    assert not any(isinstance(event, PairValidated) for event in table.take())


@pytest.mark.parametrize(("icmp", "fails"), [((3, 3), True), ((3, 13), False), ((1, 4), True), ((11, 0), False)])
@pytest.mark.rfc("8445", "7.2.5.2.2")
def test_hard_icmp_errors_fail_checks_that_have_never_succeeded(icmp: tuple[int, int], fails: bool) -> None:
    table = Table()
    table.host()
    table.meet(REMOTE)
    table.agent.receive(Unreachable(HOST, ELSEWHERE, *icmp), now=0.0)
    assert table.agent.snapshot().pairs[0].state is PairState.IN_PROGRESS
    table.agent.receive(Unreachable(HOST, REMOTE, *icmp), now=0.0)
    assert (table.agent.snapshot().pairs[0].state is PairState.FAILED) is fails


def test_an_icmp_error_does_not_end_a_path_that_works() -> None:
    table = Table()
    table.connect()
    deadline = table.agent.next_deadline()
    assert deadline is not None
    table.agent.handle_timeout(now=deadline)  # a consent check is under way
    table.agent.receive(Unreachable(HOST, REMOTE, 3, 3), now=deadline)
    assert table.agent.snapshot().state is State.COMPLETED


def test_an_icmp_error_about_a_server_ends_its_asking() -> None:
    servers = (server_at(SERVER, "stun"), server_at(Address(SERVER.host, 5349), "turn"))
    table = Table(AgentConfig(OWN, Role.CONTROLLING, servers=servers))
    table.host()
    table.agent.handle_timeout(now=TA)  # the second server's slot
    for port in (SERVER.port, 5349):
        table.agent.receive(Unreachable(HOST, Address(SERVER.host, port), 3, 3), now=TA)
    failed = [event for event in table.events(ServerFailed) if isinstance(event, ServerFailed)]
    assert {event.reason for event in failed} == {Cause.SERVER_UNREACHABLE}
    assert len(failed) == 2
    assert len(table.events(GatheringCompleted)) == 1


def test_names_of_servers_and_candidates_are_asked_for_and_taken() -> None:
    named = replace(server_at(SERVER, "stun").uri, host="stun.example.org")
    table = Table(AgentConfig(OWN, Role.CONTROLLING, servers=(replace(server_at(SERVER, "stun"), uri=named),)))
    table.host()
    table.meet()
    table.agent.add_remote_candidate(named_candidate("x.local"), now=0.0)
    asked = {each.what: each.handle for each in table.take() if isinstance(each, Resolve)}
    assert set(asked) == {"stun:stun.example.org:3478", "x.local"}
    found = ResolvedAddress(Transport.UDP, Security.NONE, SERVER)
    table.agent.receive(Resolved(asked["stun:stun.example.org:3478"], (found,)), now=0.0)
    table.agent.receive(Resolved(asked["x.local"], (replace(found, address=Address(REMOTE.host, 0)),)), now=0.0)
    table.agent.handle_timeout(now=TA)
    assert {each.remote for each in table.sent()} == {SERVER, Address(REMOTE.host, 5000)}


# -- relay-only ------------------------------------------------------------------------------------------------------


def test_relay_only_answers_nothing_on_a_host_socket() -> None:
    table = Table(AgentConfig(OWN, Role.CONTROLLED, relay_only=True))
    table.host()
    table.meet(REMOTE)
    table.take()
    table.receive(check_from_remote(role=Role.CONTROLLING).data)
    assert table.sent() == []
    assert DropReason.UNKNOWN_LOCAL_ADDRESS in [
        event.reason for event in table.said if isinstance(event, DatagramDropped)
    ]


# -- deadlines -------------------------------------------------------------------------------------------------------


def run_to(table: Table, until: Instant) -> None:
    while (deadline := table.agent.next_deadline()) is not None and deadline <= until:
        table.agent.handle_timeout(now=deadline)


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


def test_answers_that_our_password_does_not_verify_are_told_from_silence() -> None:
    table = Table()
    table.host()
    table.meet(REMOTE, ended=True)
    request = table.last_request()
    table.receive(reply(request, [ErrorCode(401, "")], key=None, is_error=True))
    run_to(table, 40.0)
    assert table.agent.snapshot().cause is Cause.WRONG_PASSWORD


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


def next_consent_check(table: Table) -> tuple[Instant, Message]:
    """Runs to the next consent check; returns when it was sent, and the check."""
    count = table.agent.snapshot().pairs[0].requests_sent
    at = 0.0
    while table.agent.snapshot().pairs[0].requests_sent == count:
        deadline = table.agent.next_deadline()
        assert deadline is not None
        at = deadline
        table.agent.handle_timeout(now=at)
    return at, table.last_request()


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


def test_403_about_a_pair_that_is_gone_changes_nothing() -> None:
    table = Table()
    table.connect()
    now, request = next_consent_check(table)
    table.agent.remove_local_address(HOST, now=now)
    table.agent.add_local_address(LocalAddress(HOST), now=now)
    before = table.agent.snapshot().pairs
    table.answer(request, code=403, now=now)
    assert table.agent.snapshot().pairs == before


def test_an_error_to_a_check_that_was_replaced_changes_nothing() -> None:
    table = Table()
    table.host()
    table.meet(REMOTE)
    first = table.last_request()
    table.receive(check_from_remote().data)
    second = table.last_request(after=0.0)
    assert second.transaction_id != first.transaction_id
    table.answer(first, code=500, now=TA)
    assert table.agent.snapshot().pairs[0].state is PairState.IN_PROGRESS


def test_an_unanswered_consent_check_is_not_repeated() -> None:
    table = Table()
    table.connect()
    now, request = next_consent_check(table)
    run_to(table, now + 3.9)
    sent = [each for each in table.said if isinstance(each, Datagram) and each.payload == request.data]
    assert len(sent) == 1


@pytest.mark.rfc("7675", "5.2")
def test_consent_is_revoked_by_403_at_once() -> None:
    table = Table()
    table.connect()
    now = table.agent.next_deadline()
    assert now is not None
    table.agent.handle_timeout(now=now)
    table.answer(table.last_request(), code=403, now=now)
    assert table.agent.snapshot().cause is Cause.CONSENT_EXPIRED


def test_other_errors_to_a_consent_check_change_nothing() -> None:
    table = Table()
    table.connect()
    now = table.agent.next_deadline()
    assert now is not None
    table.agent.handle_timeout(now=now)
    table.answer(table.last_request(), code=500, now=now)
    assert table.agent.snapshot().state is State.COMPLETED


@pytest.mark.rfc("7675", "5.1")
def test_an_answer_after_consent_has_expired_renews_nothing() -> None:
    table = Table()
    table.connect()
    _, request = next_consent_check(table)
    until = table.agent.snapshot().pairs[0].consent_until
    assert until is not None
    table.answer(request, now=until)  # the clock was not looked at in time
    assert table.agent.snapshot().pairs[0].consent_until == until
    run_to(table, 31.0)
    assert table.agent.snapshot().cause is Cause.CONSENT_EXPIRED


def test_a_quiet_pair_that_is_heard_again_is_no_longer_disconnected() -> None:
    table = Table()
    table.connect()
    run_to(table, 12.0)
    assert states(table)[-1] is State.DISCONNECTED
    table.receive(check_from_remote().data, now=12.0)
    assert states(table)[-1] is State.COMPLETED
    run_to(table, 23.0)
    assert states(table)[-1] is State.DISCONNECTED
    table.answer(table.last_request(), now=23.0)
    assert states(table)[-1] is State.COMPLETED


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


def test_channel_data_without_an_allocation_is_data_of_a_stranger() -> None:
    table = Table()
    table.host()
    table.take()
    table.receive(encode_channel_data(0x4000, b"\x80"), remote=SERVER)
    assert table.drops() == [DropReason.UNVALIDATED]


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


def test_what_arrives_while_closing_is_for_nobody() -> None:
    encounter = Encounter(Plan("sym", "sym"))
    encounter.run(seconds=5.0, settle=True)
    agent = encounter.a.agent
    base = next(each for each in agent.snapshot().local[0].candidates if each.type is CandidateType.HOST).address
    now = encounter.world.now
    agent.close(now=now)
    agent.take_outputs()
    agent.receive(Datagram(base, REMOTE, b"\x80late"), now=now)
    agent.receive(Failed(Handle(99), FailReason.RESOLVER), now=now)
    assert list(agent.take_outputs()) == []


def test_data_for_a_relay_that_was_given_up_is_dropped() -> None:
    encounter = Encounter(Plan("sym", "sym", honours_flows=False))
    encounter.run(seconds=5.0, settle=True)
    encounter.world.run(seconds=1.0)
    giver, sender = encounter.b, encounter.a
    assert giver.runner is not None
    assert sender.runner is not None
    hosts = [each for each in giver.agent.snapshot().local[0].candidates if each.type is CandidateType.HOST]
    sender.runner.call(lambda now: sender.agent.send(b"\x80under way", now=now))
    encounter.world.run(seconds=0.045)
    giver.runner.call(lambda now: giver.agent.remove_local_address(hosts[0].address, now=now))
    encounter.world.run(seconds=0.2)
    assert not any(isinstance(event, DataReceived) for _, event in giver.runner.events)
