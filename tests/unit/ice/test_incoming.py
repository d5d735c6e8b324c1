from __future__ import annotations

from dataclasses import replace
from zlib import crc32

import pytest

from icepath.entropy import Secret
from icepath.ice.checklist import ChecklistState
from icepath.ice.config import Role
from icepath.ice.core import Socket, TimerKey, TimerKind
from icepath.ice.embedding import MAX_HELD
from icepath.ice.events import EmbeddedReceived, RoleChanged
from icepath.ice.incoming import Learnt
from icepath.ice.pair import CandidatePair, PairKey, PairState
from icepath.ice.pairing import permit_remotes
from icepath.ice.renomination import Renomination
from icepath.ice.stream import EarlyCheck
from icepath.machine import Datagram, DropReason
from icepath.net import Address
from icepath.wire.attributes import (
    TRAILERS,
    DtlsInStun,
    DtlsInStunAcknowledgement,
    ErrorCode,
    MessageIntegrity,
    Nomination,
    UnknownAttribute,
    UnknownAttributes,
    Username,
    XorMappedAddress,
    XorPeerAddress,
)
from icepath.wire.attributes import Data as DataAttribute
from icepath.wire.candidate_line import CandidateType, TcpType
from icepath.wire.integrity import Integrity, short_term_key
from icepath.wire.message import Message, MessageClass, Method, decode_message, encode_message, verify
from unit.ice.builders import (
    HOST,
    OWN,
    OWN_KEY,
    RELAYED,
    REMOTE,
    SERVER,
    THEIRS,
    Bench,
    candidate,
    check_from_remote,
    config,
    lite_config,
)
from unit.ice.tcp_table import THEIR_PORT, TcpTable, tcp_candidate, tcp_config

STRANGER_KEY = short_term_key(Secret("nobody's password 0123456"))
OTHER_REMOTE = Address("198.51.100.8", 5001)
UNKNOWN_REQUIRED = UnknownAttribute(0x7F00, b"what")


def bench(role: Role = Role.CONTROLLING) -> tuple[Bench, Socket]:
    """Makes an agent with one host socket that knows the remote agent, its checks not begun."""
    table = Bench(config(role))
    socket = table.add_host()
    table.meet()
    table.take()
    return table, socket


def ask(table: Bench, socket: Socket, message: Message, remote: Address = REMOTE) -> Learnt | None:
    return table.incoming.on_request(socket, remote, message, now=1.0)


def from_other_role(table: Bench) -> Role:
    return Role.CONTROLLED if table.core.is_controlling else Role.CONTROLLING


def answer(table: Bench) -> Message:
    (datagram,) = table.sent()
    return decode_message(datagram.payload)


def signed_with_sha256(message: Message, *, also_sha1: bool) -> Message:
    attributes = [attribute for attribute in message.attributes if attribute.TYPE not in TRAILERS]
    return decode_message(
        encode_message(
            message.method,
            message.message_class,
            message.transaction_id,
            attributes,
            key=OWN_KEY,
            integrity=Integrity.SHA256,
            also_sha1=also_sha1,
            fingerprint=True,
        )
    )


def code_of(message: Message) -> int:
    assert message.message_class is MessageClass.ERROR
    error = message.get(ErrorCode)
    assert error is not None
    return error.code


class TestAnswer:
    @pytest.mark.rfc("8445", "7.3")
    @pytest.mark.rfc("8445", "7.3.1.2")
    def test_a_check_is_answered_at_once_to_where_it_came_from(self) -> None:
        table, socket = bench()
        request = check_from_remote(number=77)
        ask(table, socket, request)
        (datagram,) = table.sent()
        assert (datagram.local, datagram.remote) == (HOST, REMOTE)
        response = decode_message(datagram.payload)
        assert (response.method, response.message_class) == (Method.BINDING, MessageClass.SUCCESS)
        assert response.transaction_id == request.transaction_id
        assert response.get_all(XorMappedAddress) == (XorMappedAddress(REMOTE),)

    @pytest.mark.rfc("8445", "7.3")
    def test_the_answer_is_signed_with_our_password_and_carries_a_fingerprint(self) -> None:
        table, socket = bench()
        ask(table, socket, check_from_remote())
        response = answer(table)
        verify(response, OWN_KEY)
        assert response.has_fingerprint

    @pytest.mark.rfc("8489", "9.1.3")
    @pytest.mark.parametrize(("priority", "code"), [(0x6E0001FF, None), (None, 400)])
    @pytest.mark.parametrize("also_sha1", [False, True])
    def test_a_check_signed_with_sha256_is_answered_with_sha256_alone(
        self, priority: int | None, code: int | None, also_sha1: bool
    ) -> None:
        table, socket = bench()
        ask(table, socket, signed_with_sha256(check_from_remote(priority=priority), also_sha1=also_sha1))
        response = answer(table)
        assert verify(response, OWN_KEY).integrity is Integrity.SHA256
        assert response.get(MessageIntegrity) is None
        assert response.get(Username) is None
        assert response.message_class is MessageClass.SUCCESS if code is None else code_of(response) == code

    @pytest.mark.rfc("8445", "7.3")
    @pytest.mark.parametrize("theirs", [THEIRS.ufrag, "forked", ""])
    def test_only_the_first_part_of_the_username_must_be_ours(self, theirs: str) -> None:
        table, socket = bench()
        ask(table, socket, check_from_remote(username=f"{OWN.ufrag}:{theirs}"))
        assert answer(table).message_class is MessageClass.SUCCESS

    @pytest.mark.rfc("8445", "7.3.1.2")
    def test_a_check_through_a_relay_is_told_the_address_that_the_server_saw(self) -> None:
        table, _ = bench()
        relay = table.add_relay()
        table.permit(relay)
        table.take()
        learnt = ask(table, table.core.sockets[RELAYED], check_from_remote())
        (datagram,) = table.sent()
        assert (datagram.local, datagram.remote) == (HOST, SERVER)
        envelope = decode_message(datagram.payload)
        assert envelope.method == Method.SEND
        assert envelope.get(XorPeerAddress) == XorPeerAddress(REMOTE)
        data = envelope.get(DataAttribute)
        assert data is not None
        assert decode_message(data.payload).get(XorMappedAddress) == XorMappedAddress(REMOTE)
        assert learnt is not None
        assert learnt.pair.key == PairKey(RELAYED, REMOTE)

    @pytest.mark.rfc("8445", "7.3")
    def test_a_check_before_the_remote_description_is_answered_too(self) -> None:
        table = Bench()
        socket = table.add_host()
        table.take()
        assert ask(table, socket, check_from_remote(use_candidate=True)) is None
        assert answer(table).message_class is MessageClass.SUCCESS
        assert table.generation().early_checks == [EarlyCheck(HOST, REMOTE, THEIRS.ufrag, 0x6E0001FF, True)]
        assert not table.generation().checklist.pairs


class TestRefusal:
    @pytest.mark.rfc("8445", "7.3")
    @pytest.mark.rfc("8489", "9.1.3")
    @pytest.mark.parametrize(
        ("message", "code", "reason"),
        [
            (check_from_remote(key=None), 400, DropReason.MISSING_INTEGRITY),
            (check_from_remote(username=None), 400, DropReason.MISSING_INTEGRITY),
            (check_from_remote(username="somebody:else"), 401, DropReason.UNKNOWN_USERNAME),
            (check_from_remote(username=f"{THEIRS.ufrag}:{OWN.ufrag}"), 401, DropReason.UNKNOWN_USERNAME),
            (check_from_remote(username=OWN.ufrag), 401, DropReason.UNKNOWN_USERNAME),
            (check_from_remote(key=STRANGER_KEY), 401, DropReason.BAD_INTEGRITY),
        ],
    )
    def test_what_is_not_authentic_is_refused_unsigned_and_teaches_nothing(
        self, message: Message, code: int, reason: DropReason
    ) -> None:
        table, socket = bench(Role.CONTROLLED)
        assert ask(table, socket, message) is None
        outputs = table.take()
        (response,) = [decode_message(each.payload) for each in outputs if isinstance(each, Datagram)]
        assert code_of(response) == code
        assert response.has_fingerprint
        assert not response.has_integrity
        assert response.get(Username) is None
        assert not table.generation().checklist.pairs
        assert not table.generation().remote_candidates
        assert [each for each in outputs if getattr(each, "reason", None) is reason]

    def test_a_wrong_password_is_remembered_for_the_cause(self) -> None:
        table, socket = bench()
        ask(table, socket, check_from_remote(key=STRANGER_KEY))
        assert table.generation().was_refused

    def test_a_check_without_priority_is_a_bad_request(self) -> None:
        table, socket = bench()
        assert ask(table, socket, check_from_remote(priority=None)) is None
        response = answer(table)
        assert code_of(response) == 400
        verify(response, OWN_KEY)

    def test_an_attribute_that_must_be_understood_is_named_in_a_420(self) -> None:
        table, socket = bench()
        assert ask(table, socket, check_from_remote(extra=[UNKNOWN_REQUIRED])) is None
        response = answer(table)
        assert code_of(response) == 420
        assert response.get(UnknownAttributes) == UnknownAttributes((0x7F00,))
        verify(response, OWN_KEY)
        assert not table.generation().checklist.pairs


class TestRoleConflict:
    @pytest.mark.rfc("8445", "7.3.1.1")
    @pytest.mark.parametrize(
        ("role", "difference", "code", "after"),
        [
            (Role.CONTROLLING, -1, 487, Role.CONTROLLING),
            (Role.CONTROLLING, 0, 487, Role.CONTROLLING),
            (Role.CONTROLLING, +1, None, Role.CONTROLLED),
            (Role.CONTROLLED, -1, None, Role.CONTROLLING),
            (Role.CONTROLLED, 0, None, Role.CONTROLLING),
            (Role.CONTROLLED, +1, 487, Role.CONTROLLED),
        ],
    )
    def test_the_greater_tie_breaker_is_controlling(
        self, role: Role, difference: int, code: int | None, after: Role
    ) -> None:
        table, socket = bench(role)
        ours = table.core.tie_breaker
        learnt = ask(table, socket, check_from_remote(role=role, tie_breaker=ours + difference))
        outputs = table.take()
        (response,) = [decode_message(each.payload) for each in outputs if isinstance(each, Datagram)]
        assert table.core.role is after
        assert table.core.tie_breaker == ours
        verify(response, OWN_KEY)
        if code is not None:
            assert code_of(response) == code
            assert learnt is None
            assert not table.generation().checklist.pairs
        else:
            assert response.message_class is MessageClass.SUCCESS
            assert learnt is not None  # "even if the agent changed roles"
        assert (RoleChanged(after) in outputs) is (after is not role)

    @pytest.mark.rfc("8445", "7.3.1.1")
    @pytest.mark.parametrize("role", list(Role))
    @pytest.mark.parametrize("tie_breaker", [0, (1 << 64) - 1])
    def test_different_roles_are_no_conflict(self, role: Role, tie_breaker: int) -> None:
        table, socket = bench(role)
        request = check_from_remote(role=from_other_role(table), tie_breaker=tie_breaker)
        assert ask(table, socket, request) is not None
        assert answer(table).message_class is MessageClass.SUCCESS
        assert table.core.role is role

    @pytest.mark.rfc("8445", "7.3.1.1")
    def test_a_change_of_role_computes_pair_priorities_anew(self) -> None:
        table, socket = bench(Role.CONTROLLED)
        pair = table.make_pair(socket, candidate(OTHER_REMOTE, priority=5))
        before = pair.priority
        ask(table, socket, check_from_remote(role=Role.CONTROLLED, tie_breaker=0))
        assert pair.priority == before + 1  # our candidate's priority is the greater one

    @pytest.mark.rfc("8445", "7.3.1.5")
    def test_use_candidate_counts_by_the_role_after_the_repair(self) -> None:
        table, socket = bench(Role.CONTROLLING)
        table.make_valid(table.make_pair(socket))
        request = check_from_remote(role=Role.CONTROLLING, tie_breaker=table.core.tie_breaker + 1, use_candidate=True)
        learnt = ask(table, socket, request)
        assert learnt is not None
        assert learnt.is_nominated


class TestPeerReflexiveCandidate:
    @pytest.mark.rfc("8445", "7.3.1.3")
    def test_an_unknown_source_is_learnt(self) -> None:
        table, _ = bench()
        socket = table.add_host(Address("192.0.2.1", 4002), component=1)
        known = candidate(OTHER_REMOTE)
        table.generation().remote_candidates[OTHER_REMOTE, 1] = known
        ask(table, socket, check_from_remote(priority=12345))
        learnt = table.generation().remote_candidates[REMOTE, 1]
        assert learnt.type is CandidateType.PEER_REFLEXIVE
        assert learnt.priority == 12345
        assert learnt.address == REMOTE
        assert learnt.component == socket.component
        assert learnt.foundation != known.foundation

    @pytest.mark.rfc("8445", "7.3.1.3")
    def test_its_component_is_that_of_the_socket(self) -> None:
        table = Bench(replace(config(), components=(2,)))
        socket = table.add_host(component=2)
        table.meet()
        ask(table, socket, check_from_remote())
        assert set(table.generation().remote_candidates) == {(REMOTE, 2)}

    @pytest.mark.rfc("8445", "7.3.1.3")
    def test_each_has_a_foundation_of_its_own(self) -> None:
        table, socket = bench()
        for number in range(3):
            ask(table, socket, check_from_remote(), Address("198.51.100.9", 7000 + number))
        candidates = table.generation().remote_candidates.values()
        assert len({each.foundation for each in candidates}) == 3

    @pytest.mark.rfc("8445", "7.3.1.3")
    def test_it_is_paired_with_no_other_local_candidate(self) -> None:
        table, socket = bench()
        table.add_host(Address("192.0.2.1", 4002))
        ask(table, socket, check_from_remote())
        assert list(table.generation().checklist.pairs) == [PairKey(HOST, REMOTE)]

    def test_a_known_source_stays_what_it_was(self) -> None:
        table, socket = bench()
        known = table.generation().remote_candidates[REMOTE, 1] = candidate()
        learnt = ask(table, socket, check_from_remote(priority=1))
        assert learnt is not None
        assert learnt.pair.remote is known
        assert list(table.generation().remote_candidates.values()) == [known]

    @pytest.mark.rfc("8445", "7.2.1")
    def test_the_streams_relays_may_hear_it(self) -> None:
        table, socket = bench()
        relay = table.add_relay()
        ask(table, socket, check_from_remote())
        permit_remotes(table.core, now=1.0)
        table.run_relay(relay, now=1.1)
        assert relay.allocation.is_permitted(REMOTE.host)

    def test_there_is_a_limit_of_their_own(self) -> None:
        table = Bench(replace(config(), max_remote_candidates=1))
        socket = table.add_host()
        table.meet(candidate(OTHER_REMOTE))
        assert ask(table, socket, check_from_remote()) is not None
        table.take()
        another = Address("198.51.100.9", 1)
        assert ask(table, socket, check_from_remote(number=1), remote=another) is None
        outputs = table.take()
        assert [each for each in outputs if isinstance(each, Datagram)]  # answered all the same
        assert [each for each in outputs if getattr(each, "reason", None) is DropReason.LIMIT]
        assert len(table.generation().remote_candidates) == 2


class TestTriggeredCheck:
    @pytest.mark.rfc("8445", "7.3.1.4")
    def test_a_new_pair_is_put_on_checklist_and_queue(self) -> None:
        table, socket = bench()
        learnt = ask(table, socket, check_from_remote())
        assert learnt is not None
        pair = learnt.pair
        assert pair.state is PairState.WAITING
        assert table.generation().checklist.pairs == {PairKey(HOST, REMOTE): pair}
        assert list(table.generation().checklist.triggered) == [pair]
        assert pair.local.candidate.type is CandidateType.HOST

    @pytest.mark.rfc("8445", "7.3.1.4")
    @pytest.mark.parametrize("state", [PairState.WAITING, PairState.FROZEN, PairState.FAILED])
    def test_a_pair_not_under_way_is_queued(self, state: PairState) -> None:
        table, socket = bench()
        pair = table.make_pair(socket, state=state)
        assert ask(table, socket, check_from_remote()) == Learnt(pair)
        ask(table, socket, check_from_remote(number=1))
        assert pair.state is PairState.WAITING
        assert list(table.generation().checklist.triggered) == [pair]

    @pytest.mark.rfc("8445", "7.3.1.4")
    def test_a_running_check_is_cancelled_but_its_answer_still_counts(self) -> None:
        table, socket = bench()
        pair = table.make_pair(socket)
        table.outgoing.send(table.generation(), pair, now=1.0)
        running = pair.transaction_id
        assert running is not None
        ask(table, socket, check_from_remote())
        assert pair.state is PairState.WAITING
        assert list(table.generation().checklist.triggered) == [pair]
        transaction = table.core.transactions.get(running)
        assert transaction is not None
        assert transaction.is_cancelled
        assert table.core.transactions.next_deadline() == transaction.expiry
        assert table.core.transactions.due(transaction.expiry) == []  # and no failure

    @pytest.mark.rfc("8445", "7.3.1.4")
    def test_nothing_more_is_done_for_a_pair_that_has_succeeded(self) -> None:
        table, socket = bench()
        pair = table.make_valid(table.make_pair(socket))
        assert ask(table, socket, check_from_remote()) == Learnt(pair)
        assert pair.state is PairState.SUCCEEDED
        assert not table.generation().checklist.triggered

    def test_the_pair_counts_what_it_received_and_sent(self) -> None:
        table, socket = bench()
        pair = table.make_pair(socket)
        for number in range(2):
            ask(table, socket, check_from_remote(number=number))
        assert (pair.counts.requests_received, pair.counts.responses_sent, pair.last_heard) == (2, 2, 1.0)

    def test_a_check_for_another_of_the_remotes_descriptions_triggers_nothing(self) -> None:
        table, socket = bench()
        assert ask(table, socket, check_from_remote(username=f"{OWN.ufrag}:forked")) is None
        assert DropReason.UNKNOWN_USERNAME in table.drops()
        assert not table.generation().checklist.pairs

    def test_a_full_checklist_of_better_pairs_takes_no_new_one(self) -> None:
        table = Bench(replace(config(), max_pairs=1))
        socket = table.add_host()
        table.meet(candidate(OTHER_REMOTE))
        assert ask(table, socket, check_from_remote(priority=1)) is None
        assert list(table.generation().checklist.pairs) == [PairKey(HOST, OTHER_REMOTE)]

    def test_a_socket_that_is_not_announced_has_no_pair(self) -> None:
        table = Bench(replace(config(), relay_only=True))
        socket = table.add_host()
        table.meet()
        assert ask(table, socket, check_from_remote()) is None
        assert not table.generation().checklist.pairs

    def test_a_limited_number_of_early_checks_is_kept(self) -> None:
        table = Bench(replace(config(), max_early_checks=2))
        socket = table.add_host()
        for number in range(3):
            assert ask(table, socket, check_from_remote(number=number)) is None
        assert len(table.generation().early_checks) == 2
        assert DropReason.LIMIT in table.drops()

    def test_an_early_check_of_a_socket_that_is_gone_is_forgotten(self) -> None:
        table, _ = bench()
        early = EarlyCheck(Address("192.0.2.9", 1), REMOTE, THEIRS.ufrag, 1, False)
        stream = table.core.streams[1]
        assert table.incoming.follow_up(stream, table.generation(), early, now=1.0) is None

    @pytest.mark.rfc("8445", "7.3")
    def test_early_checks_are_followed_up_like_others(self) -> None:
        table, _ = bench(Role.CONTROLLED)
        early = EarlyCheck(HOST, REMOTE, THEIRS.ufrag, 55, True)
        learnt = table.incoming.follow_up(table.core.streams[1], table.generation(), early, now=1.0)
        assert learnt is not None
        assert learnt.pair.remote.priority == 55
        assert learnt.pair.nominate_on_success
        assert list(table.generation().checklist.triggered) == [learnt.pair]


class TestNomination:
    @pytest.mark.rfc("8445", "7.3.1.5")
    def test_a_valid_pair_is_nominated_at_once(self) -> None:
        table, socket = bench(Role.CONTROLLED)
        pair = table.make_valid(table.make_pair(socket))
        request = check_from_remote(role=Role.CONTROLLING, use_candidate=True)
        assert ask(table, socket, request) == Learnt(pair, is_nominated=True)

    @pytest.mark.rfc("8445", "7.3.1.5")
    def test_any_other_pair_once_its_own_check_succeeds(self) -> None:
        table, socket = bench(Role.CONTROLLED)
        pair = table.make_pair(socket)
        request = check_from_remote(role=Role.CONTROLLING, use_candidate=True)
        assert ask(table, socket, request) == Learnt(pair)
        assert pair.nominate_on_success

    @pytest.mark.rfc("7675", "5.1")
    @pytest.mark.parametrize("another_is_nominated", [False, True])
    def test_a_valid_pair_whose_consent_ran_out_once_a_check_has_regained_it(self, another_is_nominated: bool) -> None:
        table, socket = bench(Role.CONTROLLED)
        pair = table.make_valid(table.make_pair(socket))
        if another_is_nominated:
            other = table.make_valid(table.make_pair(socket, candidate(OTHER_REMOTE, priority=1)))
            table.conclusion.on_nominated(table.core.streams[1], table.generation(), other, now=1.0)
        pair.consent_until = 0.5
        request = check_from_remote(role=Role.CONTROLLING, use_candidate=True)
        assert ask(table, socket, request) == Learnt(pair)
        assert list(table.generation().checklist.triggered) == [pair]
        assert pair.nominate_on_success

    @pytest.mark.rfc("8445", "7.1.2")
    def test_a_controlling_agent_is_not_told_what_to_nominate(self) -> None:
        table, socket = bench(Role.CONTROLLING)
        pair = table.make_valid(table.make_pair(socket))
        request = check_from_remote(role=Role.CONTROLLED, use_candidate=True)
        assert ask(table, socket, request) == Learnt(pair)
        assert not pair.nominate_on_success


class TestConcludedComponent:
    def concluded(self, role: Role) -> tuple[Bench, Socket, CandidatePair]:
        table, socket = bench(role)
        pair = table.make_valid(table.make_pair(socket))
        table.conclusion.on_nominated(table.core.streams[1], table.generation(), pair, now=1.0)
        table.take()
        assert table.generation().checklist.state is ChecklistState.COMPLETED
        return table, socket, pair

    @pytest.mark.rfc("8445", "8.1.2")
    @pytest.mark.parametrize("role", list(Role))
    def test_checks_of_the_nominated_and_of_other_pairs_are_still_answered(self, role: Role) -> None:
        table, socket, _ = self.concluded(role)
        for remote in (REMOTE, OTHER_REMOTE):
            ask(table, socket, check_from_remote(role=from_other_role(table)), remote)
            assert answer(table).message_class is MessageClass.SUCCESS

    @pytest.mark.rfc("8445", "8.1.1")
    def test_a_controlled_agent_lets_a_peer_that_nominates_several_pairs_have_its_way(self) -> None:
        table, socket, _ = self.concluded(Role.CONTROLLED)
        request = check_from_remote(role=Role.CONTROLLING, use_candidate=True)
        learnt = ask(table, socket, request, OTHER_REMOTE)
        assert learnt is not None
        assert learnt.pair.nominate_on_success
        assert list(table.generation().checklist.triggered) == [learnt.pair]

    @pytest.mark.rfc("8445", "8.1.2")
    def test_a_controlling_agent_checks_no_other_pair_any_more(self) -> None:
        table, socket, _ = self.concluded(Role.CONTROLLING)
        ask(table, socket, check_from_remote(), OTHER_REMOTE)
        assert not table.generation().checklist.triggered
        assert table.core.checklists.next_ordinary(lambda _: True) is None

    @pytest.mark.rfc("8445", "8.1.2")
    def test_a_valid_pair_is_not_checked_again_once_another_is_nominated(self) -> None:
        table, socket, _ = self.concluded(Role.CONTROLLED)
        other = table.make_pair(socket, candidate(OTHER_REMOTE), state=PairState.WAITING)
        other.valid = other.local
        ask(table, socket, check_from_remote(role=Role.CONTROLLING), OTHER_REMOTE)
        assert not table.generation().checklist.triggered

    @pytest.mark.rfc("8445", "8.1.2")
    def test_nor_is_another_pair_of_a_concluded_component_while_the_next_one_is_open(self) -> None:
        table = Bench(replace(config(), components=(2,)))
        socket = table.add_host()
        table.meet()
        pair = table.make_valid(table.make_pair(socket))
        table.conclusion.on_nominated(table.core.streams[1], table.generation(), pair, now=1.0)
        assert table.generation().checklist.state is ChecklistState.RUNNING
        ask(table, socket, check_from_remote(), OTHER_REMOTE)
        assert table.core.checklists.next_triggered() is None
        assert table.core.checklists.next_ordinary(lambda _: True) is None


class TestLite:
    def lite(self) -> tuple[Bench, Socket]:
        table = Bench(lite_config())
        socket = table.add_host()
        table.meet(candidate())
        table.take()
        return table, socket

    @pytest.mark.rfc("8445", "7.3.2")
    def test_a_nomination_makes_a_valid_pair_and_no_check(self) -> None:
        table, socket = self.lite()
        learnt = ask(table, socket, check_from_remote(role=Role.CONTROLLING, use_candidate=True))
        assert learnt is not None
        assert learnt.is_nominated
        assert learnt.pair.is_valid
        assert not table.core.checklists.has_triggered()

    def test_other_checks_count_only_on_a_pair_that_is_valid(self) -> None:
        table, socket = self.lite()
        assert ask(table, socket, check_from_remote(role=Role.CONTROLLING)) is None
        ask(table, socket, check_from_remote(role=Role.CONTROLLING, use_candidate=True))
        learnt = ask(table, socket, check_from_remote(role=Role.CONTROLLING))
        assert learnt is not None
        assert not learnt.is_nominated

    @pytest.mark.rfc("8445", "6.1.1")
    def test_a_controlled_peer_is_told_of_the_conflict_whoever_ties(self) -> None:
        for tie_breaker in (0, 2**64 - 1):
            table, socket = self.lite()
            assert ask(table, socket, check_from_remote(role=Role.CONTROLLED, tie_breaker=tie_breaker)) is None
            assert code_of(answer(table)) == 487
            assert not table.core.is_controlling


class TestRenomination:
    """draft-thatcher-tsvwg-renomination §3: the last valid nomination wins."""

    def bench(self) -> tuple[Bench, Socket]:
        table = Bench(replace(config(Role.CONTROLLED), renomination=True))
        socket = table.add_host()
        table.meet(candidate(), candidate(OTHER_REMOTE)).renomination = Renomination(is_first_form=False)
        table.take()
        return table, socket

    def told(self, table: Bench, socket: Socket, value: int, remote: Address) -> bool:
        message = check_from_remote(role=Role.CONTROLLING, use_candidate=True, extra=[Nomination(value)])
        learnt = ask(table, socket, message, remote)
        assert learnt is not None
        return learnt.is_nominated

    def test_pairs_that_are_valid_are_nominated_in_the_order_of_the_values(self) -> None:
        table, socket = self.bench()
        for pair in list(table.generation().checklist.pairs.values()):
            table.make_valid(pair)
        assert self.told(table, socket, 3, REMOTE)
        assert not self.told(table, socket, 2, OTHER_REMOTE)
        assert self.told(table, socket, 4, OTHER_REMOTE)

    def test_of_pairs_that_are_not_valid_yet_the_last_told_waits_for_its_success(self) -> None:
        table, socket = self.bench()
        one, two = table.generation().checklist.pairs.values()
        assert not self.told(table, socket, 1, REMOTE)
        assert one.nominate_on_success
        assert not self.told(table, socket, 2, OTHER_REMOTE)
        assert (one.nominate_on_success, two.nominate_on_success) == (False, True)

    @pytest.mark.parametrize("role", list(Role))
    def test_a_concluded_component_still_learns_pairs_and_checks_them(self, role: Role) -> None:
        table = Bench(replace(config(role), renomination=True))
        socket = table.add_host()
        generation = table.meet(candidate())
        generation.renomination = Renomination(is_first_form=True)
        (pair,) = generation.checklist.pairs.values()
        generation.nominated[1] = table.make_valid(pair)
        generation.concluded = (1,)
        learnt = ask(table, socket, check_from_remote(role=from_other_role(table)), OTHER_REMOTE)
        assert learnt is not None
        assert generation.checklist.triggered == [learnt.pair]

    def test_components_do_not_compete(self) -> None:
        table, socket = self.bench()
        second = table.add_host(Address("192.0.2.1", 4002), component=2)
        other = table.make_pair(second)
        other.nominate_on_success = True
        self.told(table, socket, 1, REMOTE)
        assert other.nominate_on_success


class TestEmbedded:
    def table(self) -> tuple[Bench, Socket]:
        table = Bench(replace(config(), sped=True))
        socket = table.add_host()
        table.meet()
        table.take()
        return table, socket

    def ask(self, table: Bench, socket: Socket, packet: bytes, number: int = 0) -> None:
        message = check_from_remote(extra=(DtlsInStun(packet),), number=number)
        table.incoming.on_request(socket, REMOTE, message, now=1.0)

    @pytest.mark.rfc("sped", "3.1")
    def test_an_answer_waits_for_what_the_application_says(self) -> None:
        table, socket = self.table()
        self.ask(table, socket, b"\x16hello")
        assert table.events(EmbeddedReceived) == [EmbeddedReceived(1, 1, b"\x16hello")]
        assert table.core.timers.deadline(TimerKey(TimerKind.EMBEDDED)) == 1.0
        table.core.embeddings[1, 1].begin([b"\x16reply"], 100)
        for _ in range(2):
            table.incoming.release(now=1.0)
        (sent,) = table.sent()
        answer = decode_message(sent.payload)
        verify(answer, OWN_KEY)
        assert (answer.message_class, sent.remote) == (MessageClass.SUCCESS, REMOTE)
        assert answer.get(XorMappedAddress) == XorMappedAddress(REMOTE)
        assert answer.get(DtlsInStun) == DtlsInStun(b"\x16reply")
        assert answer.get(DtlsInStunAcknowledgement) == DtlsInStunAcknowledgement.of([crc32(b"\x16hello")])

    def test_nothing_new_waits_for_nothing(self) -> None:
        table, socket = self.table()
        self.ask(table, socket, b"")
        (sent,) = table.sent()
        assert decode_message(sent.payload).get(DtlsInStun) == DtlsInStun(b"")
        assert not table.core.held_answers

    def test_few_answers_wait_at_one_time(self) -> None:
        table, socket = self.table()
        for number in range(MAX_HELD + 3):
            self.ask(table, socket, bytes([22, number]), number)
        assert len(table.core.held_answers) == MAX_HELD
        assert len(table.sent()) == 3
        table.incoming.release(now=1.0)
        assert len(table.sent()) == MAX_HELD


@pytest.mark.rfc("6544", "7.2")
def test_a_check_on_a_connection_teaches_an_active_candidate_and_asks_no_relay_for_permission() -> None:
    table = TcpTable(tcp_config(Role.CONTROLLED))
    table.listen()
    table.meet_over_tcp(tcp_candidate(tcp_type=TcpType.ACTIVE))
    handle = table.accept()
    table.hear(handle, check_from_remote(role=Role.CONTROLLING, priority=77).data)
    (pair,) = table.agent.snapshot().pairs
    assert (pair.remote.type, pair.remote.tcp_type) == (CandidateType.PEER_REFLEXIVE, TcpType.ACTIVE)
    assert (pair.remote.address, pair.remote.priority) == (THEIR_PORT, 77)
