from __future__ import annotations

import random

import pytest

from icepath.entropy import Secret
from icepath.machine import Bytes, Datagram, DatagramDropped, DropReason, Handle, Transport
from icepath.net import Address, Instant
from icepath.outbox import Outbox
from icepath.stun.credentials import Challenge, LongTermCredentials, SecurityFeatures, nonce_cookie
from icepath.stun.transaction import DEFAULT_TI, RetransmissionPolicy
from icepath.turn.client.config import AllocationConfig
from icepath.turn.client.events import AllocationEvent, AllocationFailure, ChallengeRemembered
from icepath.turn.client.exchange import Answer, Outcome, Purpose, Request
from icepath.turn.client.requests import Requests
from icepath.turn.client.routes import Path, Route
from icepath.turn.client.token import TokenCredentials
from icepath.wire.attributes import (
    AccessToken,
    Attribute,
    ErrorCode,
    Lifetime,
    MessageIntegrity,
    MessageIntegritySha256,
    Nonce,
    PasswordAlgorithm,
    PasswordAlgorithms,
    Realm,
    UnknownAttribute,
    Username,
)
from icepath.wire.integrity import Integrity, IntegrityKey, PasswordAlgorithmId
from icepath.wire.message import Message, MessageClass, Method, decode_message, encode_message, verify
from unit.turn.scripted import ALICE, ALICE_ANEW, CHALLENGE, LOCAL, NONCE, PEER, REALM, SERVER, key_of

TCP = Route(SERVER, Transport.TCP)
TOKEN = TokenCredentials("key-1", b"opaque", bytes(range(20)))
OTHER_SERVER = Address("198.51.100.2", 3478)
ALLOCATE = Request(Purpose.ALLOCATE, (Lifetime(600),), is_paced=True)
REFRESH = Request(Purpose.REFRESH, (Lifetime(600),), is_paced=False)
RELEASE = Request(Purpose.RELEASE, (Lifetime(0),), is_paced=False)
PERMISSION = Request(Purpose.PERMISSION, (), is_paced=True, hosts=("192.0.2.1",))
CHANNEL = Request(Purpose.CHANNEL, (), is_paced=True, peer=PEER)
DEFAULT_POLICY = RetransmissionPolicy()
MALLORY = IntegrityKey(b"0123456789abcdef")


class Desk:
    """Requests and their outbox; `slots` are given out before every wish is granted."""

    def __init__(
        self,
        *slots: Instant,
        credentials: LongTermCredentials | TokenCredentials | None = ALICE,
        challenge: Challenge | None = CHALLENGE,
        policy: RetransmissionPolicy = DEFAULT_POLICY,
    ) -> None:
        self.asked: list[Instant] = []
        self.slots = list(slots)
        self.outbox: Outbox[AllocationEvent] = Outbox()
        self.requests = Requests(
            AllocationConfig(SERVER, LOCAL, credentials, challenge, policy=policy),
            self.outbox,
            random_bytes=random.Random(1).randbytes,
            reserve_slot=self.reserve,
        )

    def reserve(self, now: Instant) -> Instant:
        self.asked.append(now)
        return self.slots.pop(0) if self.slots else now

    def sent(self) -> list[Message]:
        return [decode_message(item.payload) for item in self.outbox.take() if isinstance(item, Datagram)]

    def submit(self, request: Request, now: Instant = 0.0) -> Message:
        assert self.requests.submit(request, now)
        (message,) = self.sent()
        return message

    def answer(
        self,
        message: Message,
        code: int | None = None,
        *attributes: Attribute,
        key: IntegrityKey | None = None,
        now: Instant = 1.0,
        remote: Address = SERVER,
        integrity: Integrity = Integrity.SHA1,
    ) -> Answer | None:
        kind = MessageClass.SUCCESS if code is None else MessageClass.ERROR
        if code is not None:
            attributes = (ErrorCode(code, "reason"), *attributes)
        payload = encode_message(message.method, kind, message.transaction_id, attributes, key=key, integrity=integrity)
        return self.requests.receive(decode_message(payload), Path(Route(remote), LOCAL), now)


def ended(answer: Answer | None) -> tuple[Outcome, AllocationFailure, int | None]:
    assert answer is not None
    return answer.outcome, answer.failure, answer.code


class TestSending:
    @pytest.mark.parametrize(
        ("request_", "method"),
        [
            (ALLOCATE, Method.ALLOCATE),
            (Request(Purpose.EVICT, (), False), Method.REFRESH),
            (REFRESH, Method.REFRESH),
            (RELEASE, Method.REFRESH),
            (PERMISSION, Method.CREATE_PERMISSION),
            (CHANNEL, Method.CHANNEL_BIND),
        ],
    )
    def test_each_purpose_has_its_method(self, request_: Request, method: Method) -> None:
        message = Desk().submit(request_)
        assert (message.method, message.message_class) == (method, MessageClass.REQUEST)

    def test_signs_with_what_is_known(self) -> None:
        message = Desk().submit(ALLOCATE)
        assert message.attributes[:4] == (Lifetime(600), Username("alice"), Realm(REALM), Nonce(NONCE))
        verify(message, key_of(ALICE), require=Integrity.SHA1)

    def test_is_unsigned_before_the_first_challenge(self) -> None:
        desk = Desk(challenge=None)
        assert not desk.requests.is_final_try
        assert desk.submit(ALLOCATE).attributes == (Lifetime(600),)

    def test_is_unsigned_without_credentials(self) -> None:
        desk = Desk(credentials=None, challenge=None)
        assert desk.requests.is_final_try
        assert desk.submit(ALLOCATE).attributes == (Lifetime(600),)

    def test_every_transmission_has_a_transaction_id_of_its_own(self) -> None:
        desk = Desk()
        assert len({desk.submit(REFRESH).transaction_id for _ in range(20)}) == 20

    def test_retransmits_the_same_bytes(self) -> None:
        desk = Desk()
        desk.requests.submit(REFRESH, 0.0)
        (first,) = desk.outbox.take()
        assert desk.requests.next_deadline() == 0.5
        assert desk.requests.take_due(0.5) == []
        assert desk.outbox.take() == [first]

    @pytest.mark.rfc("8489", "6.2.1")
    def test_the_rto_stays_the_configs_whatever_was_measured(self) -> None:
        desk = Desk()
        desk.answer(desk.submit(ALLOCATE), key=key_of(ALICE), now=0.02)
        desk.submit(REFRESH, now=1.0)
        assert desk.requests.next_deadline() == 1.5

    def test_reports_silence(self) -> None:
        desk = Desk(policy=RetransmissionPolicy(rto=1, rc=1, rm=2))
        desk.submit(REFRESH, now=5.0)
        assert desk.requests.take_due(6.9) == []
        (answer,) = desk.requests.take_due(7.0)
        assert answer == Answer(REFRESH, Outcome.TIMED_OUT, 5.0, path=desk.requests.path)
        assert desk.requests.next_deadline() is None


class TestSlots:
    def test_an_unpaced_request_asks_for_no_slot(self) -> None:
        desk = Desk(100.0)
        assert desk.requests.submit(REFRESH, 0.0)
        assert desk.asked == []

    @pytest.mark.parametrize("slot", [5.0, 4.0, float("nan")])
    def test_a_slot_that_has_come_is_used_at_once(self, slot: float) -> None:
        desk = Desk(slot)
        assert desk.requests.submit(ALLOCATE, 5.0)
        assert len(desk.sent()) == 1
        assert desk.asked == [5.0]

    def test_a_slot_to_come_is_waited_for(self) -> None:
        desk = Desk(5.25)
        assert not desk.requests.submit(ALLOCATE, 5.0)
        assert desk.requests.next_deadline() == 5.25
        assert desk.requests.take_due(5.2) == []
        assert not desk.sent()
        assert not desk.requests.is_in_flight(Purpose.ALLOCATE)
        assert desk.requests.take_due(5.25) == [ALLOCATE]
        assert len(desk.sent()) == 1
        assert desk.requests.is_in_flight(Purpose.ALLOCATE)

    def test_the_earlier_of_slot_and_retransmission_is_next(self) -> None:
        desk = Desk(0.25, 0.75)
        desk.requests.submit(REFRESH, 0.0)
        desk.requests.submit(ALLOCATE, 0.0)
        assert desk.requests.next_deadline() == 0.25
        desk.requests.take_due(0.25)
        desk.requests.submit(PERMISSION, 0.25)
        assert desk.requests.next_deadline() == 0.5

    def test_what_waits_can_be_changed(self) -> None:
        desk = Desk(1.0, 2.0, 3.0)
        alone = Request(Purpose.PERMISSION, (), True, ("192.0.2.9",), is_alone=True)
        for request in (alone, CHANNEL, PERMISSION):
            desk.requests.submit(request, 0.0)
        found = desk.requests.waiting(Purpose.PERMISSION)
        assert found is not None
        number, request = found
        assert request == PERMISSION
        changed = Request(Purpose.PERMISSION, (), True, ("192.0.2.1", "192.0.2.2"))
        desk.requests.replace(number, changed)
        assert desk.requests.take_due(3.0) == [alone, CHANNEL, changed]
        assert desk.requests.waiting(Purpose.PERMISSION) is None


class TestClear:
    def test_forgets_what_waits_and_what_flies(self) -> None:
        desk = Desk(0.0, 1.0)
        message = desk.submit(ALLOCATE)
        desk.requests.submit(PERMISSION, 0.0)
        desk.requests.clear()
        assert desk.requests.next_deadline() is None
        assert desk.answer(message, key=key_of(ALICE)) is None

    def test_keeps_one_purpose(self) -> None:
        desk = Desk()
        allocate, refresh = desk.submit(ALLOCATE), desk.submit(REFRESH)
        desk.requests.clear(keep=Purpose.ALLOCATE)
        assert desk.answer(refresh, key=key_of(ALICE)) is None
        assert ended(desk.answer(allocate, key=key_of(ALICE)))[0] is Outcome.SUCCEEDED


class TestAnswers:
    def test_success_counts_when_signed(self) -> None:
        desk = Desk()
        message = desk.submit(REFRESH, now=0.25)
        answer = desk.answer(message, None, Lifetime(700), key=key_of(ALICE))
        assert answer is not None
        assert (answer.request, answer.outcome, answer.sent_at) == (REFRESH, Outcome.SUCCEEDED, 0.25)
        assert answer.message is not None
        assert answer.message.get(Lifetime) == Lifetime(700)

    @pytest.mark.rfc("8489", "9.2.5")
    @pytest.mark.parametrize("code", [None, 300, 400, 403, 437, 441, 486, 508])
    @pytest.mark.parametrize(
        ("key", "reason"), [(None, DropReason.MISSING_INTEGRITY), (MALLORY, DropReason.BAD_INTEGRITY)]
    )
    def test_what_must_be_signed_and_is_not_changes_nothing(
        self, code: int | None, key: IntegrityKey | None, reason: DropReason
    ) -> None:
        desk = Desk()
        message = desk.submit(REFRESH)
        assert desk.answer(message, code, key=key) is None
        assert desk.outbox.take() == [DatagramDropped(reason, 1, SERVER)]
        assert ended(desk.answer(message, key=key_of(ALICE)))[0] is Outcome.SUCCEEDED

    @pytest.mark.rfc("8489", "9.2.5")
    def test_silence_but_for_forgeries_is_called_so(self) -> None:
        desk = Desk()
        message = desk.submit(REFRESH)
        desk.answer(message, 437, key=MALLORY)
        (answer,) = [item for at in range(60) for item in desk.requests.take_due(float(at))]
        assert isinstance(answer, Answer)
        assert ended(answer) == (Outcome.TIMED_OUT, AllocationFailure.INTEGRITY_VIOLATED, None)

    @pytest.mark.rfc("8489", "10")
    def test_only_an_allocate_is_redirected_without_a_signature(self) -> None:
        desk = Desk()
        answer = desk.answer(desk.submit(ALLOCATE), 300)
        assert ended(answer) == (Outcome.REFUSED, AllocationFailure.TRY_ALTERNATE, 300)

    def test_an_answer_from_elsewhere_changes_nothing(self) -> None:
        desk = Desk()
        message = desk.submit(REFRESH)
        other = Address("198.51.100.2", 3478)
        assert desk.answer(message, key=key_of(ALICE), remote=other) is None
        assert desk.outbox.take() == [DatagramDropped(DropReason.WRONG_ADDRESS, 1, other)]
        assert desk.answer(message, key=key_of(ALICE)) is not None

    @pytest.mark.parametrize("code", [403, 508, 599])
    def test_a_refusal_carries_its_code_and_text(self, code: int) -> None:
        desk = Desk()
        answer = desk.answer(desk.submit(REFRESH), code, key=key_of(ALICE))
        assert answer is not None
        assert (answer.outcome, answer.code, answer.text) == (Outcome.REFUSED, code, "reason")

    @pytest.mark.rfc("8489", "6.3.3")
    @pytest.mark.parametrize("code", [None, 400])
    def test_an_unknown_required_attribute_fails_the_request(self, code: int | None) -> None:
        desk = Desk()
        unknown = UnknownAttribute(0x7FFF, b"")
        answer = desk.answer(desk.submit(REFRESH), code, unknown, key=key_of(ALICE))
        assert ended(answer) == (Outcome.REFUSED, AllocationFailure.BAD_ANSWER, None)

    @pytest.mark.rfc("8489", "6.3.4")
    def test_an_error_without_a_code_fails_the_request(self) -> None:
        desk = Desk()
        message = desk.submit(REFRESH)
        payload = encode_message(message.method, MessageClass.ERROR, message.transaction_id, key=key_of(ALICE))
        answer = desk.requests.receive(decode_message(payload), desk.requests.path, 1.0)
        assert ended(answer) == (Outcome.REFUSED, AllocationFailure.BAD_ANSWER, None)


def challenge(nonce: bytes = NONCE, realm: str = REALM) -> tuple[Attribute, ...]:
    return Realm(realm), Nonce(nonce)


@pytest.mark.rfc("8489", "9.2.5")
class TestAuthentication:
    def test_a_first_401_is_answered_with_credentials(self) -> None:
        desk = Desk(challenge=None)
        assert ended(desk.answer(desk.submit(ALLOCATE), 401, *challenge()))[0] is Outcome.RETRY
        assert desk.requests.is_final_try
        verify(desk.submit(ALLOCATE), key_of(ALICE))

    def test_a_stale_nonce_is_replaced(self) -> None:
        desk = Desk()
        assert ended(desk.answer(desk.submit(REFRESH), 438, *challenge(b"second")))[0] is Outcome.RETRY
        assert desk.submit(REFRESH).get(Nonce) == Nonce(b"second")

    def test_requests_that_were_stale_together_are_all_tried_again(self) -> None:
        desk = Desk()
        messages = [desk.submit(request) for request in (REFRESH, PERMISSION, CHANNEL)]
        for number, message in enumerate(messages):
            nonce = b"nonce %d" % number
            assert ended(desk.answer(message, 438, *challenge(nonce)))[0] is Outcome.RETRY

    def test_without_credentials_a_401_is_final(self) -> None:
        desk = Desk(credentials=None, challenge=None)
        answer = desk.answer(desk.submit(ALLOCATE), 401, *challenge())
        assert ended(answer) == (Outcome.REFUSED, AllocationFailure.CREDENTIALS_NEEDED, 401)

    def test_a_second_401_is_about_the_credentials(self) -> None:
        desk = Desk(challenge=None)
        desk.answer(desk.submit(ALLOCATE), 401, *challenge())
        answer = desk.answer(desk.submit(ALLOCATE), 401, *challenge())
        assert ended(answer) == (Outcome.REFUSED, AllocationFailure.WRONG_CREDENTIALS, 401)

    def test_an_endless_row_of_438_ends(self) -> None:
        desk = Desk()
        answer, number = None, 0
        for number in range(20):
            answer = desk.answer(desk.submit(REFRESH), 438, *challenge(b"nonce %d" % number))
            if ended(answer)[0] is not Outcome.RETRY:
                break
        assert ended(answer) == (Outcome.REFUSED, AllocationFailure.REFUSED, 438)
        assert number < 10

    def test_a_weakened_challenge_is_told(self) -> None:
        desk = Desk(challenge=None)
        nonce = nonce_cookie(SecurityFeatures.PASSWORD_ALGORITHMS) + b"rest"
        answer = desk.answer(desk.submit(ALLOCATE), 401, *challenge(nonce))
        assert ended(answer) == (Outcome.REFUSED, AllocationFailure.BID_DOWN, 401)

    def test_sha256_is_demanded_once_it_was_negotiated(self) -> None:
        desk = Desk(challenge=None)
        nonce = nonce_cookie(SecurityFeatures.PASSWORD_ALGORITHMS) + b"rest"
        algorithms = PasswordAlgorithms((PasswordAlgorithm(PasswordAlgorithmId.MD5),))
        assert ended(desk.answer(desk.submit(ALLOCATE), 401, *challenge(nonce), algorithms))[0] is Outcome.RETRY
        message = desk.submit(ALLOCATE)
        assert message.get(MessageIntegritySha256) is not None
        assert message.get(MessageIntegrity) is None
        assert desk.answer(message, key=key_of(ALICE)) is None
        answer = desk.answer(message, key=key_of(ALICE), integrity=Integrity.SHA256)
        assert ended(answer)[0] is Outcome.SUCCEEDED

    @pytest.mark.rfc("8656", "6")
    def test_sha256_is_taken_where_the_server_would_rather_have_md5(self) -> None:
        nonce = nonce_cookie(SecurityFeatures.PASSWORD_ALGORITHMS) + b"rest"
        md5, sha256 = PasswordAlgorithm(PasswordAlgorithmId.MD5), PasswordAlgorithm(PasswordAlgorithmId.SHA256)
        offered = PasswordAlgorithms((md5, sha256))
        desk, late = Desk(challenge=None), Desk(credentials=None, challenge=None)
        desk.answer(desk.submit(ALLOCATE), 401, *challenge(nonce), offered)
        late.requests.set_credentials(ALICE, at_once=True)
        late.answer(late.submit(ALLOCATE), 401, *challenge(nonce), offered)
        for each in (desk, late):
            assert each.submit(ALLOCATE).get(PasswordAlgorithm) == sha256

    def test_a_long_lived_request_survives_a_new_nonce_told_as_401(self) -> None:
        desk = Desk()
        desk.answer(desk.submit(ALLOCATE), key=key_of(ALICE))
        assert ended(desk.answer(desk.submit(REFRESH), 401, *challenge(b"second")))[0] is Outcome.RETRY
        answer = desk.answer(desk.submit(REFRESH), 401, *challenge(b"third"))
        assert ended(answer) == (Outcome.REFUSED, AllocationFailure.WRONG_CREDENTIALS, 401)


class TestReplacedCredentials:
    def reject(self, desk: Desk, request: Request) -> Answer | None:
        """Says 401 until it is about the credentials."""
        desk.answer(desk.submit(request), 401, *challenge(b"second"))
        return desk.answer(desk.submit(request), 401, *challenge(b"third"))

    def test_wait_until_the_old_ones_are_rejected(self) -> None:
        desk = Desk()
        desk.requests.set_credentials(ALICE_ANEW, at_once=False)
        verify(desk.submit(REFRESH), key_of(ALICE))
        assert ended(self.reject(desk, REFRESH))[0] is Outcome.RETRY
        message = desk.submit(REFRESH)
        verify(message, key_of(ALICE_ANEW))
        assert message.get(Nonce) == Nonce(b"third")

    def test_are_used_at_once_when_there_were_none(self) -> None:
        desk = Desk(credentials=None, challenge=None)
        desk.requests.set_credentials(ALICE, at_once=False)
        assert ended(desk.answer(desk.submit(ALLOCATE), 401, *challenge()))[0] is Outcome.RETRY
        verify(desk.submit(ALLOCATE), key_of(ALICE))

    def test_are_used_at_once_when_the_old_ones_were_rejected(self) -> None:
        desk = Desk()
        desk.requests.set_credentials(ALICE_ANEW, at_once=True)
        message = desk.submit(REFRESH)
        assert message.get(Nonce) == Nonce(NONCE)
        verify(message, key_of(ALICE_ANEW))

    def test_may_be_rejected_too(self) -> None:
        desk = Desk()
        desk.requests.set_credentials(ALICE_ANEW, at_once=False)
        self.reject(desk, REFRESH)
        answer = desk.answer(desk.submit(REFRESH), 401, *challenge(b"third"))
        assert ended(answer) == (Outcome.REFUSED, AllocationFailure.WRONG_CREDENTIALS, 401)

    def test_are_not_blamed_for_what_was_signed_with_the_old_ones(self) -> None:
        desk = Desk()
        desk.requests.set_credentials(ALICE_ANEW, at_once=False)
        late = desk.submit(PERMISSION)
        self.reject(desk, REFRESH)
        assert ended(desk.answer(late, 401, *challenge(b"third")))[0] is Outcome.RETRY

    def test_a_late_success_of_the_old_ones_confirms_nothing_of_the_new(self) -> None:
        desk = Desk()
        desk.requests.set_credentials(ALICE_ANEW, at_once=False)
        late = desk.submit(PERMISSION)
        self.reject(desk, REFRESH)
        desk.outbox.take()
        assert ended(desk.answer(late, key=key_of(ALICE)))[0] is Outcome.SUCCEEDED
        assert desk.outbox.take() == []


class TestChallengeRemembered:
    def test_is_told_when_it_was_accepted_and_is_new(self) -> None:
        desk = Desk(challenge=None)
        desk.answer(desk.submit(ALLOCATE), 401, *challenge())
        message = desk.submit(ALLOCATE)
        assert desk.outbox.take() == []
        desk.answer(message, key=key_of(ALICE))
        assert desk.outbox.take() == [ChallengeRemembered(CHALLENGE)]
        desk.answer(desk.submit(REFRESH), key=key_of(ALICE))
        assert desk.outbox.take() == []

    def test_is_not_told_when_it_came_with_the_config(self) -> None:
        desk = Desk()
        desk.answer(desk.submit(ALLOCATE), key=key_of(ALICE))
        assert desk.outbox.take() == []

    def test_a_signed_refusal_accepts_it_too(self) -> None:
        desk = Desk(challenge=None)
        desk.answer(desk.submit(ALLOCATE), 401, *challenge())
        desk.answer(desk.submit(ALLOCATE), 486, key=key_of(ALICE))
        assert desk.outbox.take() == [ChallengeRemembered(CHALLENGE)]

    def test_is_not_told_by_a_signed_438(self) -> None:
        desk = Desk(challenge=None)
        desk.answer(desk.submit(ALLOCATE), 401, *challenge())
        desk.answer(desk.submit(ALLOCATE), 438, *challenge(b"second"), key=key_of(ALICE))
        assert desk.outbox.take() == []

    def test_there_is_none_without_authentication(self) -> None:
        desk = Desk(credentials=None, challenge=None)
        assert ended(desk.answer(desk.submit(ALLOCATE)))[0] is Outcome.SUCCEEDED
        assert desk.outbox.take() == []


@pytest.mark.rfc("7635", "9")
class TestTokens:
    def test_go_with_allocate_and_refresh_only(self) -> None:
        desk = Desk(credentials=TOKEN)
        for request in (ALLOCATE, REFRESH, RELEASE):
            message = desk.submit(request)
            assert message.get(AccessToken) == AccessToken(b"opaque")
            verify(message, IntegrityKey(TOKEN.mac_key))
        for request in (PERMISSION, CHANNEL):
            message = desk.submit(request)
            assert message.get(AccessToken) is None
            verify(message, IntegrityKey(TOKEN.mac_key))

    def test_are_not_shown_before_the_server_asks(self) -> None:
        assert Desk(credentials=TOKEN, challenge=None).submit(ALLOCATE).get(AccessToken) is None

    @pytest.mark.rfc("7635", "8")
    def test_answers_of_who_lacks_the_key_are_discarded(self) -> None:
        desk = Desk(credentials=TOKEN)
        message = desk.submit(ALLOCATE)
        assert desk.answer(message, key=MALLORY) is None
        assert desk.answer(message) is None
        assert desk.answer(message, key=IntegrityKey(TOKEN.mac_key)) is not None

    def test_a_new_one_is_used_at_once(self) -> None:
        desk = Desk(credentials=TOKEN)
        desk.requests.set_credentials(TokenCredentials("key-2", b"newer", bytes(20)), at_once=False)
        message = desk.submit(REFRESH)
        assert message.get(AccessToken) == AccessToken(b"newer")
        assert message.get(Username) == Username("key-2")


class TestPaths:
    def test_reliable_ones_carry_each_request_once(self) -> None:
        desk = Desk()
        desk.requests.take(Path(TCP, LOCAL, Handle(1)))
        assert desk.requests.submit(REFRESH, 0.0)
        (sent,) = desk.outbox.take()
        assert isinstance(sent, Bytes)
        assert desk.requests.take_due(39.0) == []
        assert desk.requests.take_due(DEFAULT_TI)
        assert desk.outbox.take() == []

    def test_patience_may_be_short(self) -> None:
        desk = Desk()
        desk.requests.take(Path(TCP, LOCAL, Handle(1)), impatience=5.0)
        assert desk.requests.submit(REFRESH, 0.0)
        assert desk.requests.next_deadline() == 5.0
        desk.requests.use_patience()
        assert desk.requests.submit(RELEASE, 0.0)
        assert desk.requests.take_due(5.0)
        assert desk.requests.next_deadline() == DEFAULT_TI

    def test_a_probe_is_not_signed_and_goes_where_it_is_told(self) -> None:
        desk = Desk()
        path = Path(Route(OTHER_SERVER), LOCAL)
        assert desk.requests.submit(Request(Purpose.PROBE, (), True, path=path), 0.0)
        (sent,) = desk.outbox.take()
        assert isinstance(sent, Datagram)
        assert sent.remote == OTHER_SERVER
        assert not decode_message(sent.payload).attributes

    def test_leaving_forgets_all_but_probes_and_allocates(self) -> None:
        desk = Desk(0.0, 9.0, 9.0)
        allocate = desk.submit(ALLOCATE)
        refresh = desk.submit(REFRESH)
        probe = Request(Purpose.PROBE, (), True, path=Path(Route(OTHER_SERVER), LOCAL))
        assert not desk.requests.submit(PERMISSION, 0.0)
        assert not desk.requests.submit(probe, 0.0)
        assert desk.requests.submit(probe, 0.0)
        assert len(desk.sent()) == 1
        old = desk.requests.path
        desk.requests.leave()
        desk.requests.take(Path(TCP, LOCAL, Handle(1)))
        assert desk.requests.take_due(9.0) == [probe]
        assert len(desk.sent()) == 2  # both probes: the Allocate is not sent again
        assert desk.requests.is_in_flight(Purpose.PROBE)
        answered = desk.answer(refresh, key=key_of(ALICE))
        assert answered is None
        desk.requests.clear()
        payload = encode_message(allocate.method, MessageClass.SUCCESS, allocate.transaction_id, (), key=key_of(ALICE))
        late = desk.requests.receive(decode_message(payload), old, 9.5)
        assert late is not None
        assert (late.path, late.outcome) == (old, Outcome.SUCCEEDED)

    def test_a_path_taken_again_forgets_what_it_was_asked_before(self) -> None:
        desk = Desk()
        allocate = desk.submit(ALLOCATE)
        desk.requests.leave()
        desk.requests.take(desk.requests.path)
        assert desk.answer(allocate, key=key_of(ALICE)) is None

    def test_an_allocate_on_a_byte_stream_goes_with_it(self) -> None:
        desk = Desk()
        desk.requests.take(Path(TCP, LOCAL, Handle(1)))
        assert desk.requests.submit(ALLOCATE, 0.0)
        desk.requests.leave()
        assert desk.requests.next_deadline() is None

    def test_nothing_is_sent_on_a_connection_that_has_ended(self) -> None:
        desk = Desk()
        path = Path(TCP, LOCAL, Handle(1))
        desk.requests.take(path)
        path.is_closed = True
        assert desk.requests.submit(REFRESH, 0.0)
        assert desk.outbox.take() == []
        assert desk.requests.take_due(DEFAULT_TI)

    def test_one_purpose_is_forgotten(self) -> None:
        desk = Desk(0.0, 5.0, 5.0)
        probe = Request(Purpose.PROBE, (), True, path=Path(Route(OTHER_SERVER), LOCAL))
        assert desk.requests.submit(probe, 0.0)
        assert not desk.requests.submit(probe, 0.0)
        assert not desk.requests.submit(PERMISSION, 0.0)
        assert desk.requests.submit(REFRESH, 0.0)
        desk.requests.forget(Purpose.PROBE)
        assert not desk.requests.is_in_flight(Purpose.PROBE)
        assert desk.requests.is_in_flight(Purpose.REFRESH)
        assert PERMISSION in desk.requests.take_due(5.0)
        desk.requests.reset()
        assert desk.requests.next_deadline() is None

    @pytest.mark.rfc("8489", "10")
    def test_another_server_gets_the_same_credentials_anew(self) -> None:
        desk = Desk()
        desk.requests.begin_anew()
        assert not desk.submit(ALLOCATE).has_integrity
        nobody = Desk(credentials=None, challenge=None)
        nobody.requests.begin_anew()
        assert not nobody.submit(ALLOCATE).has_integrity


def test_passwords_are_not_shown() -> None:
    assert "wonderland" not in repr(LongTermCredentials("alice", Secret("wonderland")))
