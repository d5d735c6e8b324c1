from __future__ import annotations

import math

import pytest

from icepath.entropy import Secret
from icepath.errors import DecodeError, DecodeReason, InvalidArgument, InvalidState
from icepath.machine import DropReason
from icepath.net import Address
from icepath.stun.credentials import SecurityFeatures, nonce_cookie
from icepath.stun.transaction import (
    RELIABLE_TRANSPORT,
    Match,
    Retransmission,
    RetransmissionPolicy,
    TimedOut,
    Transaction,
    TransactionTable,
    drop_reason,
)
from icepath.wire.attributes import (
    Attribute,
    ErrorCode,
    Nonce,
    PasswordAlgorithm,
    PasswordAlgorithms,
    TransactionTransmitCounter,
    XorMappedAddress,
)
from icepath.wire.integrity import Integrity, IntegrityKey, short_term_key
from icepath.wire.message import (
    Message,
    MessageClass,
    Method,
    TransactionId,
    decode_message,
    encode_message,
)

LOCAL = Address("192.0.2.1", 40000)
SERVER = Address("198.51.100.1", 3478)
ID = TransactionId(bytes(range(12)))
KEY = short_term_key(Secret("VOkJxbRl1RmTxUk/WvJxBt"))
OTHER_KEY = short_term_key(Secret("somebody else's password"))
DEFAULT = RetransmissionPolicy()


class TestRetransmissionPolicy:
    @pytest.mark.rfc("8489", "6.2.1")
    def test_the_defaults_give_the_times_of_the_rfc(self) -> None:
        assert [DEFAULT.offset(index) for index in range(7)] == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
        assert DEFAULT.duration == 39.5

    @pytest.mark.rfc("8489", "6.2.2")
    def test_a_reliable_transport_waits_as_long_and_sends_once(self) -> None:
        assert RELIABLE_TRANSPORT.rc == 1
        assert RELIABLE_TRANSPORT.duration == 39.5

    @pytest.mark.parametrize(
        ("rto", "rc", "rm", "name"),
        [
            (0.0, 7, 16, "rto"),
            (-1.0, 7, 16, "rto"),
            (math.nan, 7, 16, "rto"),
            (math.inf, 7, 16, "rto"),
            (0.5, 0, 16, "rc"),
            (0.5, 33, 16, "rc"),
            (0.5, 7, 0, "rm"),
        ],
    )
    def test_refuses_values_out_of_range(self, rto: float, rc: int, rm: int, name: str) -> None:
        with pytest.raises(InvalidArgument, match=f"^{name} is "):
            RetransmissionPolicy(rto, rc, rm)


class TestSchedule:
    @pytest.mark.rfc("8489", "6.2.1")
    def test_sends_at_the_times_of_the_rfc_and_then_times_out(self) -> None:
        table, transaction = started(now=100.0)
        sends = []
        while True:
            at = table.next_deadline()
            assert at is not None
            assert table.due(math.nextafter(at, 0)) == []
            (entry,) = table.due(at)
            if isinstance(entry, TimedOut):
                break
            sends.append(at - 100.0)
        assert sends == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
        assert at == 139.5
        assert entry.transaction is transaction
        assert not entry.integrity_violated
        assert transaction.transmissions == 7
        assert (transaction.first_sent, transaction.last_sent) == (100.0, 131.5)
        assert len(table) == 0
        assert table.next_deadline() is None

    def test_a_retransmission_carries_the_transaction_and_is_already_counted(self) -> None:
        table, transaction = started(now=0.0)
        (entry,) = table.due(0.5)
        assert isinstance(entry, Retransmission)
        assert entry.transaction is transaction
        assert transaction.sent_at == [0.0, 0.5]
        assert table.due(0.5) == []

    def test_other_parameters(self) -> None:
        table, _ = started(policy=RetransmissionPolicy(rto=2.0, rc=2, rm=3), now=0.0)
        assert isinstance(table.due(2.0)[0], Retransmission)
        assert table.next_deadline() == 8.0
        assert isinstance(table.due(8.0)[0], TimedOut)

    def test_a_reliable_transport_is_never_sent_on_twice(self) -> None:
        table, _ = started(policy=RELIABLE_TRANSPORT, now=0.0)
        assert table.next_deadline() == 39.5
        assert isinstance(table.due(39.5)[0], TimedOut)

    @pytest.mark.parametrize(
        ("late", "following"), [(1.49, 1.5), (1.5, 3.5), (2.0, 3.5), (7.6, 15.5), (31.5, 39.5), (39.4, 39.5)]
    )
    def test_a_late_call_sends_once_and_returns_to_the_schedule(self, late: float, following: float) -> None:
        table, transaction = started(now=0.0)
        (entry,) = table.due(late)
        assert isinstance(entry, Retransmission)
        assert table.next_deadline() == following
        assert transaction.transmissions == 2

    def test_skipped_sends_do_not_move_the_time_out(self) -> None:
        table, _ = started(now=0.0)
        table.due(20.0)
        table.due(31.5)
        assert table.next_deadline() == 39.5

    @pytest.mark.parametrize("late", [39.5, 1e9, math.inf])
    def test_a_call_after_the_end_only_times_out(self, late: float) -> None:
        table, _ = started(now=0.0)
        (entry,) = table.due(late)
        assert isinstance(entry, TimedOut)
        assert table.next_deadline() is None

    def test_a_clock_that_is_not_a_number_ends(self) -> None:
        table, _ = started(now=0.0)
        assert len(table.due(math.nan)) <= 1

    def test_time_going_backwards_does_nothing(self) -> None:
        table, _ = started(now=10.0)
        table.due(10.5)
        assert table.due(-1.0) == []
        assert table.next_deadline() == 11.5

    def test_many_transactions_come_due_in_order(self) -> None:
        table: TransactionTable[int] = TransactionTable()
        for index in (3, 1, 2):
            start(table, transaction_id=numbered(index), context=index, now=index / 10)
        assert [entry.transaction.context for entry in table.due(1.0)] == [1, 2, 3]

    def test_after_a_stall_each_transaction_sends_at_most_once(self) -> None:
        table: TransactionTable[int] = TransactionTable()
        for index in range(50):
            start(table, transaction_id=numbered(index), context=index, now=0.0)
        entries = table.due(35.0)
        assert sorted(entry.transaction.context for entry in entries) == list(range(50))
        assert table.next_deadline() == 39.5


class TestEndings:
    def test_cancel_forgets(self) -> None:
        table, transaction = started(now=0.0)
        assert table.cancel(ID) is transaction
        assert table.cancel(ID) is None
        assert table.get(ID) is None
        assert table.due(100.0) == []
        assert answer(table, success()) is DropReason.UNKNOWN_TRANSACTION

    def test_what_is_forgotten_leaves_the_others_their_deadlines(self) -> None:
        table, _ = started(now=0.0)
        other = start(table, transaction_id=TransactionId(b"another one!"), now=0.25)
        assert table.next_deadline() == 0.5
        table.cancel(ID)
        assert table.next_deadline() == 0.75
        assert list(table) == [other]

    def test_clear_forgets_all(self) -> None:
        table, _ = started(now=0.0)
        table.clear()
        assert len(table) == 0
        assert table.next_deadline() is None

    @pytest.mark.rfc("8445", "7.3.1.4")
    def test_stopped_retransmitting_still_accepts_the_answer(self) -> None:
        table, transaction = started(now=0.0)
        table.stop_retransmitting(ID)
        assert table.next_deadline() == 39.5
        assert table.due(39.4) == []
        found = answer(table, success(), now=39.4)
        assert isinstance(found, Match)
        assert found.transaction is transaction
        assert found.transaction.is_cancelled

    @pytest.mark.rfc("8445", "7.3.1.4")
    def test_stopped_retransmitting_is_no_failure(self) -> None:
        table, _ = started(now=0.0)
        table.stop_retransmitting(ID)
        assert table.due(39.5) == []
        assert len(table) == 0
        assert table.next_deadline() is None

    def test_stopping_what_is_not_there_does_nothing(self) -> None:
        table: TransactionTable[int] = TransactionTable()
        table.stop_retransmitting(ID)
        assert table.next_deadline() is None

    def test_an_id_in_flight_cannot_be_started_again(self) -> None:
        table, transaction = started(now=0.0)
        with pytest.raises(InvalidState, match="already in flight"):
            start(table)
        assert list(table) == [transaction]


class TestMatch:
    def test_an_answer_ends_the_transaction(self) -> None:
        table, transaction = started(now=1.0)
        message = success()
        found = answer(table, message, now=1.25)
        assert isinstance(found, Match)
        assert found.transaction is transaction
        assert found.message is message
        assert found.verified is None
        assert found.rtt == 0.25
        assert len(table) == 0
        assert table.next_deadline() is None
        assert answer(table, message) is DropReason.UNKNOWN_TRANSACTION

    @pytest.mark.parametrize("message_class", [MessageClass.REQUEST, MessageClass.INDICATION])
    def test_what_is_no_response_is_unexpected(self, message_class: MessageClass) -> None:
        table, _ = started()
        assert answer(table, decoded(message_class)) is DropReason.UNEXPECTED_MESSAGE
        assert len(table) == 1

    @pytest.mark.parametrize("method", list(Method))
    @pytest.mark.rfc("8489", "6.3.1.1")
    def test_the_response_has_the_method_of_the_request(self, method: Method) -> None:
        for other in Method:
            table: TransactionTable[int] = TransactionTable()
            start(table, payload=encode_message(method, MessageClass.REQUEST, ID))
            found = answer(table, decoded(MessageClass.SUCCESS, method=other))
            assert isinstance(found, Match) == (method is other)

    def test_a_method_with_high_bits_is_told_apart(self) -> None:
        table: TransactionTable[int] = TransactionTable()
        start(table, payload=encode_message(0x0FED, MessageClass.REQUEST, ID))
        assert answer(table, decoded(MessageClass.SUCCESS, method=0x0FEC)) is DropReason.UNEXPECTED_MESSAGE
        assert isinstance(answer(table, decoded(MessageClass.SUCCESS, method=0x0FED)), Match)

    @pytest.mark.parametrize(
        ("local", "remote"),
        [
            (LOCAL, Address("198.51.100.2", 3478)),
            (LOCAL, Address("198.51.100.1", 3479)),
            (Address("192.0.2.2", 40000), SERVER),
            (Address("192.0.2.1", 40001), SERVER),
        ],
    )
    @pytest.mark.rfc("8445", "7.2.5.2.1")
    def test_an_answer_along_another_path_does_not_count(self, local: Address, remote: Address) -> None:
        table, transaction = started()
        assert table.match(success(), local=local, remote=remote, now=0.0) is DropReason.WRONG_ADDRESS
        assert table.get(ID) is transaction
        assert transaction.refused_responses == 0
        assert isinstance(answer(table, success()), Match)

    def test_a_forged_answer_along_another_path_is_called_forged(self) -> None:
        table, _ = started(key=KEY)
        forged = success(key=OTHER_KEY)
        elsewhere = Address("203.0.113.9", 9)
        assert table.match(forged, local=LOCAL, remote=elsewhere, now=0.0) is DropReason.BAD_INTEGRITY


class TestIntegrity:
    def test_an_answer_made_with_the_key_is_verified(self) -> None:
        table, _ = started(key=KEY)
        found = answer(table, success(key=KEY))
        assert isinstance(found, Match)
        assert found.verified is not None
        assert found.verified.message is found.message

    @pytest.mark.parametrize(
        ("key", "reason"), [(None, DropReason.MISSING_INTEGRITY), (OTHER_KEY, DropReason.BAD_INTEGRITY)]
    )
    @pytest.mark.rfc("8489", "9.1.4")
    def test_any_other_is_dropped_and_the_transaction_runs_on(
        self, key: IntegrityKey | None, reason: DropReason
    ) -> None:
        table, _ = started(key=KEY, now=0.0)
        assert answer(table, success(key=key), now=0.1) is reason
        assert isinstance(table.due(0.5)[0], Retransmission)
        assert isinstance(answer(table, success(key=KEY), now=0.6), Match)

    @pytest.mark.rfc("8489", "9.1.4")
    def test_when_all_answers_were_refused_the_end_says_so(self) -> None:
        table, _ = started(key=KEY, now=0.0)
        answer(table, success())
        (entry,) = table.due(39.5)
        assert isinstance(entry, TimedOut)
        assert entry.integrity_violated

    @pytest.mark.parametrize(
        ("asked", "given"), [(Integrity.SHA1, Integrity.SHA256), (Integrity.SHA256, Integrity.SHA1)]
    )
    @pytest.mark.rfc("8489", "9.1.4")
    def test_the_algorithm_of_the_answer_has_to_match(self, asked: Integrity, given: Integrity) -> None:
        table, _ = started(key=KEY, integrity=asked)
        assert isinstance(answer(table, success(key=KEY, integrity=given)), DropReason)
        assert isinstance(answer(table, success(key=KEY, integrity=asked)), Match)

    @pytest.mark.parametrize("key", [None, OTHER_KEY])
    @pytest.mark.rfc("8489", "9.2.4")
    def test_errors_admitted_unsigned_count_as_not_verified(self, key: IntegrityKey | None) -> None:
        table, _ = started(key=KEY, unsigned_errors=frozenset({401, 438}))
        found = answer(table, error(438, key=key))
        assert isinstance(found, Match)
        assert found.verified is None

    def test_an_admitted_error_that_is_signed_is_verified(self) -> None:
        table, _ = started(key=KEY, unsigned_errors=frozenset({401, 438}))
        found = answer(table, error(438, key=KEY))
        assert isinstance(found, Match)
        assert found.verified is not None

    @pytest.mark.parametrize("message_class", [MessageClass.ERROR, MessageClass.SUCCESS])
    @pytest.mark.rfc("8489", "9.2.5")
    def test_an_unsigned_400_never_arrived(self, message_class: MessageClass) -> None:
        table, _ = started(key=KEY, unsigned_errors=frozenset({401, 438}))
        code = 400 if message_class is MessageClass.ERROR else 401
        unsigned = decoded(message_class, ErrorCode(code, "Bad Request"))
        assert answer(table, unsigned) is DropReason.MISSING_INTEGRITY
        assert len(table) == 1

    def test_an_unsigned_error_without_a_code_is_dropped(self) -> None:
        table, _ = started(key=KEY, unsigned_errors=frozenset({401, 438}))
        assert answer(table, decoded(MessageClass.ERROR)) is DropReason.MISSING_INTEGRITY


class TestAnnouncedAlgorithms:
    NONCE = Nonce(nonce_cookie(SecurityFeatures.PASSWORD_ALGORITHMS) + b"abcd")

    @pytest.mark.rfc("8489", "9.2.5")
    def test_an_answer_robbed_of_its_algorithms_is_ignored(self) -> None:
        table, _ = started()
        assert answer(table, success(self.NONCE)) is DropReason.UNEXPECTED_MESSAGE
        assert answer(table, error(403, self.NONCE)) is DropReason.UNEXPECTED_MESSAGE
        assert len(table) == 1

    @pytest.mark.rfc("8489", "9.2.5")
    @pytest.mark.parametrize("code", [401, 438])
    def test_a_challenge_robbed_of_its_algorithms_ends_the_transaction(self, code: int) -> None:
        table, _ = started()
        assert isinstance(answer(table, error(code, self.NONCE)), Match)

    def test_with_its_algorithms_an_answer_counts(self) -> None:
        table, _ = started()
        algorithms = PasswordAlgorithms((PasswordAlgorithm(2, b""),))
        assert isinstance(answer(table, success(self.NONCE, algorithms)), Match)


class TestRoundTripTime:
    @pytest.mark.rfc("8489", "6.2.1")
    def test_is_not_told_after_a_retransmission(self) -> None:
        table, _ = started(now=0.0)
        table.due(0.5)
        assert rtt_of(answer(table, success(), now=0.6)) is None

    @pytest.mark.parametrize(("counted", "rtt"), [(1, 1.75), (2, 1.25), (3, 0.25)])
    @pytest.mark.rfc("7982", "3.3")
    def test_is_told_when_the_answer_says_which_transmission_it_answers(self, counted: int, rtt: float) -> None:
        table, _ = started(now=0.0)
        table.due(0.5)
        table.due(1.5)
        message = success(TransactionTransmitCounter(counted, 0))
        assert rtt_of(answer(table, message, now=1.75)) == rtt

    @pytest.mark.parametrize("counted", [0, 3, 255])
    def test_is_not_told_when_the_answer_counts_what_was_not_sent(self, counted: int) -> None:
        table, _ = started(now=0.0)
        table.due(0.5)
        assert rtt_of(answer(table, success(TransactionTransmitCounter(counted, 0)), now=1.0)) is None

    def test_is_never_negative(self) -> None:
        table, _ = started(now=5.0)
        assert rtt_of(answer(table, success(), now=4.0)) == 0.0


def test_reprs_show_the_path_and_no_payload() -> None:
    table, transaction = started(key=KEY)
    shown = "Transaction(000102030405060708090a0b, 192.0.2.1:40000 -> 198.51.100.1:3478, 1 sent)"
    assert repr(transaction) == shown
    assert repr(TimedOut(transaction)) == f"TimedOut({shown})"
    assert repr(Retransmission(transaction)) == f"Retransmission({shown})"
    found = answer(table, success(key=KEY), now=0.5)
    assert repr(found).startswith(f"Match({shown}, Message(BINDING SUCCESS ")
    assert repr(found).endswith(", rtt=0.5)")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (DecodeReason.NOT_STUN, DropReason.NOT_STUN),
        (DecodeReason.FINGERPRINT_MISMATCH, DropReason.BAD_FINGERPRINT),
        (DecodeReason.MISSING_INTEGRITY, DropReason.MISSING_INTEGRITY),
        (DecodeReason.INTEGRITY_MISMATCH, DropReason.BAD_INTEGRITY),
        (DecodeReason.TRUNCATED, DropReason.MALFORMED),
        (DecodeReason.BAD_ATTRIBUTE, DropReason.MALFORMED),
    ],
)
def test_drop_reason_names_what_was_wrong(reason: DecodeReason, expected: DropReason) -> None:
    assert drop_reason(DecodeError(reason, "")) is expected


def started(
    *,
    key: IntegrityKey | None = None,
    integrity: Integrity = Integrity.SHA1,
    unsigned_errors: frozenset[int] = frozenset(),
    policy: RetransmissionPolicy = DEFAULT,
    now: float = 0.0,
) -> tuple[TransactionTable[int], Transaction[int]]:
    table: TransactionTable[int] = TransactionTable()
    transaction = start(table, key=key, integrity=integrity, unsigned_errors=unsigned_errors, policy=policy, now=now)
    return table, transaction


def start(
    table: TransactionTable[int],
    *,
    transaction_id: TransactionId = ID,
    payload: bytes | None = None,
    key: IntegrityKey | None = None,
    integrity: Integrity = Integrity.SHA1,
    unsigned_errors: frozenset[int] = frozenset(),
    context: int = 7,
    policy: RetransmissionPolicy = DEFAULT,
    now: float = 0.0,
) -> Transaction[int]:
    return table.start(
        transaction_id,
        local=LOCAL,
        remote=SERVER,
        payload=encode_message(Method.BINDING, MessageClass.REQUEST, transaction_id) if payload is None else payload,
        key=key,
        context=context,
        policy=policy,
        now=now,
        integrity=integrity,
        unsigned_errors=unsigned_errors,
    )


def answer(table: TransactionTable[int], message: Message, *, now: float = 0.0) -> Match[int] | DropReason:
    return table.match(message, local=LOCAL, remote=SERVER, now=now)


def rtt_of(found: Match[int] | DropReason) -> float | None:
    assert isinstance(found, Match)
    return found.rtt


def success(*attributes: Attribute, key: IntegrityKey | None = None, integrity: Integrity = Integrity.SHA1) -> Message:
    return decoded(MessageClass.SUCCESS, XorMappedAddress(LOCAL), *attributes, key=key, integrity=integrity)


def error(code: int, *attributes: Attribute, key: IntegrityKey | None = None) -> Message:
    return decoded(MessageClass.ERROR, ErrorCode(code, "No"), *attributes, key=key)


def decoded(
    message_class: MessageClass,
    *attributes: Attribute,
    method: int = Method.BINDING,
    key: IntegrityKey | None = None,
    integrity: Integrity = Integrity.SHA1,
) -> Message:
    return decode_message(encode_message(method, message_class, ID, attributes, key=key, integrity=integrity))


def numbered(index: int) -> TransactionId:
    return TransactionId(index.to_bytes(12, "big"))
