"""What arrives at an agent: which part each datagram, answer and error goes to, and what becomes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.entropy import IceCredentials, Secret
from icepath.errors import Cause, InvalidState
from icepath.ice.config import AgentConfig, Role
from icepath.ice.events import (
    CandidateGathered,
    DataReceived,
    EmbeddedReceived,
    GatheringCompleted,
    PairValidated,
    RoleChanged,
    ServerFailed,
    State,
)
from icepath.ice.pair import PairState
from icepath.lab.encounter import Encounter, Plan
from icepath.machine import (
    Bytes,
    Close,
    Closed,
    CloseReason,
    Datagram,
    DatagramDropped,
    DropReason,
    Failed,
    FailReason,
    Handle,
    LocalAddress,
    Opened,
    Resolve,
    Resolved,
    ResolvedAddress,
    Security,
    SocketUse,
    Transport,
    Unreachable,
)
from icepath.net import Address
from icepath.wire.attributes import (
    Attribute,
    DtlsInStun,
    DtlsInStunAcknowledgement,
    ErrorCode,
    Username,
    XorMappedAddress,
)
from icepath.wire.candidate_line import CandidateType, Foundation
from icepath.wire.channel_data import encode_channel_data
from icepath.wire.fragment import Description
from icepath.wire.message import MessageClass, Method, TransactionId, decode_message, encode_message
from unit.ice.agent_table import ELSEWHERE, TA, Table, next_consent_check, run_to, states, stream_relay, two_paths
from unit.ice.builders import (
    HOST,
    MAPPED,
    OWN,
    REMOTE,
    SERVER,
    THEIR_KEY,
    THEIRS,
    candidate,
    check_from_remote,
    lite_config,
    named_candidate,
    reply,
    server_at,
)
from unit.ice.tcp_table import TcpTable, tcp_candidate, tcp_config


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


def test_a_socket_for_relays_answers_no_check() -> None:
    table = Table(AgentConfig(OWN, Role.CONTROLLED))
    table.agent.add_local_address(LocalAddress(HOST, use=SocketUse.RELAYS), now=0.0)
    table.meet(REMOTE)
    table.take()
    table.receive(check_from_remote(role=Role.CONTROLLING).data)
    assert table.sent() == []


def test_answers_that_our_password_does_not_verify_are_told_from_silence() -> None:
    table = Table()
    table.host()
    table.meet(REMOTE, ended=True)
    request = table.last_request()
    table.receive(reply(request, [ErrorCode(401, "")], key=None, is_error=True))
    run_to(table, 40.0)
    assert table.agent.snapshot().cause is Cause.WRONG_PASSWORD


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
    run_to(table, 31.0)  # nobody answers the one more check of a machine that stood still
    assert not table.agent.snapshot().pairs[0].is_nominated or table.agent.snapshot().state is State.DISCONNECTED
    run_to(table, 34.0)
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


def test_channel_data_without_an_allocation_is_data_of_a_stranger() -> None:
    table = Table()
    table.host()
    table.take()
    table.receive(encode_channel_data(0x4000, b"\x80"), remote=SERVER)
    assert table.drops() == [DropReason.UNVALIDATED]


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


def test_a_datagram_to_an_address_that_is_not_ours_is_dropped() -> None:
    table = Table()
    table.host()
    table.take()
    table.receive(b"\x80", local=ELSEWHERE)
    assert table.drops() == [DropReason.UNKNOWN_LOCAL_ADDRESS]


def test_an_answer_about_a_name_that_nobody_asked_for_is_dropped() -> None:
    table = Table()
    table.host()
    table.take()
    table.agent.receive(Failed(Handle(99), FailReason.RESOLVER), now=0.0)
    assert table.drops() == [DropReason.UNKNOWN_HANDLE]


def test_what_a_full_peer_nominates_a_lite_agent_trusts() -> None:
    table = Table(lite_config())
    table.host()
    table.meet(REMOTE, ended=True)
    table.receive(check_from_remote(role=Role.CONTROLLING, use_candidate=True).data)
    assert states(table)[-1] is State.COMPLETED


def test_what_a_byte_stream_says_goes_to_its_relay() -> None:
    table = Table()
    handle = stream_relay(table)
    table.agent.receive(Opened(handle, HOST, SERVER), now=0.05)
    run_to(table, 0.1)
    asked = [each for each in table.take() if isinstance(each, Bytes)]
    assert [each.handle for each in asked] == [handle]
    table.agent.receive(Closed(handle, CloseReason.EOF), now=0.2)
    failed = [event for event in table.events(ServerFailed) if isinstance(event, ServerFailed)]
    assert [event.reason for event in failed] == [Cause.SERVER_UNREACHABLE]
    table.take()
    table.agent.receive(Closed(handle, CloseReason.EOF), now=0.3)
    assert table.drops() == [DropReason.UNKNOWN_HANDLE]
    table.agent.close(now=0.4)
    table.agent.receive(Bytes(handle, b"late"), now=0.5)


def test_what_comes_by_nobodys_stream_while_closing_is_for_nobody() -> None:
    encounter = Encounter(Plan("sym", "sym"))
    encounter.run(seconds=5.0, settle=True)
    agent, now = encounter.a.agent, encounter.world.now
    agent.close(now=now)
    agent.take_outputs()
    agent.receive(Bytes(Handle(99), b"late"), now=now)
    assert list(agent.take_outputs()) == []


def test_an_icmp_error_raises_the_alarm_where_another_pair_may_take_over() -> None:
    table, now = two_paths()
    for _ in range(2):
        table.agent.receive(Unreachable(HOST, REMOTE, 3, 3), now=now)
    table.agent.receive(Unreachable(HOST, Address("192.0.2.99", 9), 3, 3), now=now)
    table.agent.handle_timeout(now=now + 2 * TA)
    requests = [datagram.remote for datagram in table.sent()]
    assert requests == [REMOTE, ELSEWHERE]


def test_a_machine_that_stood_still_asks_once_more_and_resumes_on_the_answer() -> None:
    table = Table()
    table.connect()
    until = table.agent.snapshot().pairs[0].consent_until
    assert until is not None
    table.take()
    table.agent.handle_timeout(now=until + 20.0)
    assert states(table)[-1] is State.DISCONNECTED
    with pytest.raises(InvalidState):
        table.agent.send(b"data", now=until + 20.0)
    table.answer(table.last_request(), now=until + 20.1)
    assert states(table)[-1] is State.COMPLETED
    assert table.agent.snapshot().pairs[0].consent_until == until + 20.1 + 30.0


@pytest.mark.rfc("sped", "3.3.2")
def test_an_answer_brings_a_packet_and_acknowledges_ours() -> None:
    table = Table(AgentConfig(OWN, Role.CONTROLLING, sped=True))
    table.agent.flights.send([b"\x16hello"], now=0.0)
    table.host()
    described = Description(THEIRS.ufrag, THEIRS.password, (candidate(),), ("sped",), pacing=5)
    table.agent.set_remote_description(described, now=0.0)
    check = table.last_request()
    assert check.get(DtlsInStun) == DtlsInStun(b"\x16hello")
    attributes: list[Attribute] = [XorMappedAddress(HOST), DtlsInStunAcknowledgement(b""), DtlsInStun(b"\x16reply")]
    table.receive(reply(check, attributes, key=THEIR_KEY), now=0.1)
    assert table.events(EmbeddedReceived) == [EmbeddedReceived(1, 1, b"\x16reply")]
    assert table.last_request(after=0.1).get(DtlsInStun) == DtlsInStun(b"")


def test_an_error_says_nothing_of_what_rides_on_checks() -> None:
    table = Table(AgentConfig(OWN, Role.CONTROLLING, sped=True))
    table.host()
    described = Description(THEIRS.ufrag, THEIRS.password, (candidate(),), ("sped",), pacing=5)
    table.agent.set_remote_description(described, now=0.0)
    table.answer(table.last_request(), code=487, now=0.1)
    assert table.last_request(after=0.1).get(DtlsInStun) == DtlsInStun(b"")


@pytest.mark.rfc("7050", "3")
def test_what_shows_translators_gives_remote_candidates_another_address() -> None:
    table = Table()
    host6 = Address("2001:db8::1", 4000)
    table.agent.add_local_address(LocalAddress(host6), now=0.0)
    table.meet(Address("11.2.0.1", 5000))
    (question,) = [output for output in table.take() if isinstance(output, Resolve)]
    shown = ResolvedAddress(Transport.UDP, Security.NONE, Address("64:ff9b::c000:aa", 0))
    table.agent.receive(Resolved(question.handle, (shown,)), now=0.0)
    assert [pair.remote_address for pair in table.agent.snapshot().pairs] == [Address("64:ff9b::b02:1", 5000)]


class TestConnections:
    @pytest.mark.rfc("6544", "7.1")
    def test_a_connection_that_opens_sends_the_check_it_is_for(self) -> None:
        table = TcpTable()
        handle = table.connect_over_tcp()
        assert states(table)[-1] is State.COMPLETED
        table.hear(handle, b"\x80data", now=1.0)
        assert table.events(DataReceived) == [DataReceived(1, 1, b"\x80data")]
        table.hang_up(handle, now=1.0)
        assert states(table)[-1] is State.FAILED

    def test_one_that_opens_after_its_pair_has_begun_anew_waits_for_the_check_that_is_due(self) -> None:
        table = TcpTable()
        table.listen()
        table.meet_over_tcp()
        (connect,) = table.connects()
        table.agent.restart(IceCredentials("newufrag", Secret("new-password-of-24-charss")), now=0.1)
        assert table.closes() == [Close(connect.handle)]
        table.open(connect.handle, now=0.2)
        assert table.drops() == [DropReason.UNKNOWN_HANDLE]

    def test_one_may_be_there_before_a_new_sessions_check(self) -> None:
        table = TcpTable()
        handle = table.connect_over_tcp()
        table.agent.restart(IceCredentials("newufrag", Secret("new-password-of-24-charss")), now=1.0)
        again = Description("theirnew", Secret("their-new-password-24char"), (tcp_candidate(),), pacing=5)
        table.agent.set_remote_description(again, now=1.0)
        run_to(table, 1.1)
        assert len(table.connects()) == 1
        assert table.last_request_on(handle).get(Username) == Username("theirnew:newufrag")
        other = tcp_candidate(Address(REMOTE.host, 6000), foundation=Foundation("8"))
        table.agent.add_remote_candidate(other, now=1.2)
        run_to(table, 1.3)
        table.open(table.connects()[1].handle, now=1.3)
        assert len(table.frames(table.connects()[1].handle)) == 1
        table.hang_up(handle, now=2.0)
        assert states(table)[-1] is State.CHECKING

    def test_of_one_that_is_accepted_the_check_counts_and_what_comes_with_its_end_does_not(self) -> None:
        table = TcpTable(tcp_config(Role.CONTROLLED))
        handle = table.connected_by_them()
        table.hear(handle, b"\x80data", now=1.0)
        assert table.events(DataReceived) == [DataReceived(1, 1, b"\x80data")]
        table.agent.receive(Opened(handle, HOST, REMOTE), now=1.0)
        forbidding = [ErrorCode(403, "")]
        run_to(table, 6.0)  # the first consent check is out
        refusal = reply(table.last_request_on(handle), forbidding, key=THEIR_KEY, is_error=True)
        table.hear(handle, refusal, b"\x80too late", now=6.0)
        assert table.closes() == [Close(handle)]
        assert len(table.events(DataReceived)) == 1

    def test_strangers_and_attempts_have_their_time(self) -> None:
        table = TcpTable(tcp_config(Role.CONTROLLED))
        table.listen()
        stranger, early = table.accept(), table.accept(-2, remote=ELSEWHERE)
        table.hear(early, check_from_remote(role=Role.CONTROLLING).data)
        run_to(table, 25.0)
        assert table.closes() == [Close(stranger, abort=True)]
        table.meet_over_tcp(now=25.0)
        run_to(table, 26.0)
        table.hear(table.connects()[0].handle, b"?", now=26.0)
        assert table.closes()[1:] == [Close(table.connects()[0].handle, abort=True)]
        table.hang_up(early, now=26.0)
        assert len(table.agent.snapshot().pairs) == 1

    def test_an_end_during_a_check_fails_it(self) -> None:
        table = TcpTable()
        table.listen()
        table.meet_over_tcp()
        (connect,) = table.connects()
        table.open(connect.handle)
        table.agent.receive(Closed(connect.handle, CloseReason.RESET), now=0.1)
        (pair,) = table.agent.snapshot().pairs
        assert pair.state is PairState.FAILED


def test_a_check_on_a_warm_pair_out_of_its_time_has_the_pair_in_use_checked() -> None:
    table, now = two_paths()
    table.take()
    for number in (1, 2):
        check = check_from_remote(number=number)
        table.receive(check.data, remote=ELSEWHERE, now=now + number)
    table.agent.handle_timeout(now=now + 2 + TA)
    requests = [
        datagram.remote
        for datagram in table.sent()
        if decode_message(datagram.payload).message_class is MessageClass.REQUEST
    ]
    assert requests == [REMOTE]
