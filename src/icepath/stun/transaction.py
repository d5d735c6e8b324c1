"""STUN requests in flight: when they are sent again, when they have failed, and which answer belongs to which.

Here live the retransmission schedule (RFC 8489 §6.2.1) and the matching of responses (§6.3, §9.1.4, §9.2.5).
What is in a request, who may send now (pacing), and what an answer means are the caller's business: each
transaction carries a `context` of the caller's own type. Parts, not machines: the caller sends the payload of
`start` and of each `Retransmission`, and keeps `next_deadline()` among its own deadlines.

Strategy: one dict by transaction ID and one heap; nothing is scanned. Every send time comes from the schedule
fixed at `start`, so a late call never sends a burst, and a transaction's end does not move. How many may be
in flight is bounded by the caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Final, Generic, TypeAlias, TypeVar, final

from icepath.errors import DecodeError, DecodeReason, InvalidArgument, InvalidState
from icepath.machine import DropReason
from icepath.net import Address, Instant, Seconds
from icepath.stun.credentials import lacks_announced_algorithms
from icepath.timers import Timers
from icepath.wire.attributes import ErrorCode, TransactionTransmitCounter
from icepath.wire.integrity import Integrity, IntegrityKey
from icepath.wire.message import Message, MessageClass, TransactionId, Verified, verify

C = TypeVar("C")

# RFC 8489 §6.2.1: "the initial value for RTO SHOULD be greater than or equal to 500 ms"; in seconds.
DEFAULT_RTO: Final[Seconds] = 0.5
# RFC 8489 §6.2.1: "until a total of Rc requests have been sent. Rc SHOULD [...] have a default of 7".
DEFAULT_RC: Final = 7
# RFC 8489 §6.2.1: "a duration equal to Rm times the RTO has passed [...] Rm SHOULD [...] have a default of 16".
DEFAULT_RM: Final = 16
# RFC 8489 §6.2.2: over TCP and TLS "Ti SHOULD be configurable and SHOULD have a default of 39.5 s".
DEFAULT_TI: Final[Seconds] = 39.5
# Doubling this often already spans a year from the smallest sensible RTO; more would only overflow.
MAX_RC: Final = 32

_ANSWERS: Final = (MessageClass.SUCCESS, MessageClass.ERROR)
# The class bits of the message type (RFC 8489 §5); what is left names the method.
_METHOD_BITS: Final = 0x3EEF


@dataclass(frozen=True, slots=True)
class RetransmissionPolicy:
    """Says when a request is sent: at 0, RTO, 3 RTO, 7 RTO ... `rc` times, and fails `rm` RTOs after the last.

    Raises: InvalidArgument when a value is out of range.
    RFC: 8489 §6.2.1.
    """

    rto: Seconds = DEFAULT_RTO
    rc: int = DEFAULT_RC
    rm: int = DEFAULT_RM

    def __post_init__(self) -> None:
        if not (isfinite(self.rto) and self.rto > 0):
            raise InvalidArgument(f"rto is {self.rto}, allowed are seconds above 0")
        if not 1 <= self.rc <= MAX_RC:
            raise InvalidArgument(f"rc is {self.rc}, allowed are 1 to {MAX_RC}")
        if self.rm < 1:
            raise InvalidArgument(f"rm is {self.rm}, allowed is 1 or more")

    def offset(self, index: int) -> Seconds:
        """Returns how long after the first send the `index`-th one is due (the first has index 0)."""
        return self.rto * ((1 << index) - 1)

    @property
    def duration(self) -> Seconds:
        """Is the time from the first send to the time-out: 39.5 s by default."""
        return self.offset(self.rc - 1) + self.rm * self.rto


# RFC 8489 §6.2.2: over a reliable transport a request is sent once and waits Ti.
RELIABLE_TRANSPORT: Final = RetransmissionPolicy(rto=DEFAULT_TI, rc=1, rm=1)


@final
class Transaction(Generic[C]):
    """Is one request in flight. Only its table changes it."""

    __slots__ = (
        "context",
        "integrity",
        "is_cancelled",
        "key",
        "local",
        "next_index",
        "payload",
        "policy",
        "refused_responses",
        "remote",
        "sent_at",
        "transaction_id",
        "unsigned_errors",
    )

    def __init__(
        self,
        transaction_id: TransactionId,
        local: Address,
        remote: Address,
        payload: bytes,
        key: IntegrityKey | None,
        integrity: Integrity,
        unsigned_errors: frozenset[int],
        context: C,
        policy: RetransmissionPolicy,
        now: Instant,
    ) -> None:
        self.transaction_id: Final = transaction_id
        self.local: Final = local
        self.remote: Final = remote
        self.payload: Final = payload
        self.key: Final = key
        self.integrity: Final = integrity
        self.unsigned_errors: Final = unsigned_errors
        self.context: Final[C] = context
        self.policy: Final = policy
        self.sent_at: list[Instant] = [now]
        """When each transmission left; the schedule counts from the first."""
        self.next_index = 1
        """The place in the schedule of the next transmission; skipped ones count."""
        self.is_cancelled = False
        self.refused_responses = 0
        """How many responses failed the integrity check."""

    @property
    def first_sent(self) -> Instant:
        """Is when the request was first sent."""
        return self.sent_at[0]

    @property
    def last_sent(self) -> Instant:
        """Is when the request was last sent."""
        return self.sent_at[-1]

    @property
    def transmissions(self) -> int:
        """Is how often the request was sent."""
        return len(self.sent_at)

    @property
    def expiry(self) -> Instant:
        """Is when the transaction times out; it never moves."""
        return self.sent_at[0] + self.policy.duration

    def __repr__(self) -> str:
        return f"Transaction({self.transaction_id.hex()}, {self.local} -> {self.remote}, {self.transmissions} sent)"


@final
class Match(Generic[C]):
    """Is a response and the request it answers; the transaction is over."""

    __slots__ = ("message", "rtt", "transaction", "verified")

    def __init__(
        self, transaction: Transaction[C], message: Message, verified: Verified | None, rtt: Seconds | None
    ) -> None:
        self.transaction: Final = transaction
        self.message: Final = message
        self.verified: Final = verified
        """The message when its integrity was checked; None without a key, and for an admitted unsigned error."""
        self.rtt: Final = rtt
        """The round-trip time; None when it cannot be told which transmission was answered."""

    def __repr__(self) -> str:
        return f"Match({self.transaction!r}, {self.message!r}, rtt={self.rtt})"


@final
class Retransmission(Generic[C]):
    """Asks the caller to send the transaction's payload again; it is already counted."""

    __slots__ = ("transaction",)

    def __init__(self, transaction: Transaction[C]) -> None:
        self.transaction: Final = transaction

    def __repr__(self) -> str:
        return f"Retransmission({self.transaction!r})"


@final
class TimedOut(Generic[C]):
    """Reports that no acceptable response came in time; the transaction is over."""

    __slots__ = ("transaction",)

    def __init__(self, transaction: Transaction[C]) -> None:
        self.transaction: Final = transaction

    @property
    def integrity_violated(self) -> bool:
        """Says whether responses came, but none with the right integrity.

        RFC: 8489 §9.1.4, §9.2.5 (to be told instead of a time-out).
        """
        return self.transaction.refused_responses > 0

    def __repr__(self) -> str:
        return f"TimedOut({self.transaction!r})"


Due: TypeAlias = Retransmission[C] | TimedOut[C]


class TransactionTable(Generic[C]):
    """Keeps the requests in flight of one machine."""

    __slots__ = ("_timers", "_transactions")

    def __init__(self) -> None:
        self._transactions: dict[TransactionId, Transaction[C]] = {}
        self._timers: Timers[TransactionId] = Timers()

    def __len__(self) -> int:
        return len(self._transactions)

    def __iter__(self) -> Iterator[Transaction[C]]:
        return iter(tuple(self._transactions.values()))

    def get(self, transaction_id: TransactionId) -> Transaction[C] | None:
        """Returns the transaction in flight, or None."""
        return self._transactions.get(transaction_id)

    def start(
        self,
        transaction_id: TransactionId,
        *,
        local: Address,
        remote: Address,
        payload: bytes,
        key: IntegrityKey | None,
        context: C,
        policy: RetransmissionPolicy,
        now: Instant,
        integrity: Integrity = Integrity.SHA1,
        unsigned_errors: frozenset[int] = frozenset(),
    ) -> Transaction[C]:
        """Begins a transaction; the caller sends the payload (the STUN message itself, unframed) now.

        With a `key`, a response counts only when it carries `integrity` made with it; the error codes in
        `unsigned_errors` count without (UNSIGNED_ERRORS of icepath.stun.credentials for long-term credentials).

        Raises: InvalidState when a transaction of that ID is in flight.
        """
        if transaction_id in self._transactions:
            raise InvalidState(f"transaction {transaction_id.hex()} is already in flight")
        transaction = Transaction(
            transaction_id, local, remote, payload, key, integrity, unsigned_errors, context, policy, now
        )
        self._transactions[transaction_id] = transaction
        self._schedule(transaction)
        return transaction

    def match(self, message: Message, *, local: Address, remote: Address, now: Instant) -> Match[C] | DropReason:
        """Finds the transaction that a response answers, and ends it; or says why the response is dropped.

        A dropped response changes nothing but a count: the transaction runs on. Integrity is judged first, so
        WRONG_ADDRESS means an authentic answer (where there is a key) that came along another path: `get` still
        returns its transaction, which RFC 8445 §7.2.5.2.1 wants failed.
        """
        if message.message_class not in _ANSWERS:
            return DropReason.UNEXPECTED_MESSAGE
        transaction = self._transactions.get(message.transaction_id)
        if transaction is None:
            return DropReason.UNKNOWN_TRANSACTION
        if message.method != _method_of(transaction.payload) or _must_be_ignored(message):
            return DropReason.UNEXPECTED_MESSAGE
        verified = _judge_integrity(transaction, message)
        if isinstance(verified, DropReason):
            transaction.refused_responses += 1
            return verified
        if local != transaction.local or remote != transaction.remote:
            return DropReason.WRONG_ADDRESS
        self._forget(transaction.transaction_id)
        return Match(transaction, message, verified, _measure(transaction, message, now))

    def due(self, now: Instant) -> list[Due[C]]:
        """Returns what has come due, in order: at most one entry per transaction, however late the call.

        Sends that a late call missed are skipped, not made up for: the path gets one packet, and the next
        one at its scheduled time. Afterwards every deadline is later than `now`.
        """
        found: list[Due[C]] = []
        for transaction_id in self._pop_due(now):
            transaction = self._transactions[transaction_id]
            if transaction.is_cancelled:
                # RFC 8445 §7.3.1.4: the lack of a response to a cancelled transaction is not a failure.
                self._forget(transaction_id)
            elif transaction.next_index >= transaction.policy.rc or now >= transaction.expiry:
                self._forget(transaction_id)
                found.append(TimedOut(transaction))
            else:
                transaction.sent_at.append(now)
                _skip_missed(transaction, now)
                self._schedule(transaction)
                found.append(Retransmission(transaction))
        return found

    def next_deadline(self) -> Instant | None:
        """Returns when `due` has something to return, or None."""
        return self._timers.next_deadline()

    def cancel(self, transaction_id: TransactionId) -> Transaction[C] | None:
        """Forgets a transaction and returns it; a later answer is UNKNOWN_TRANSACTION. None when there is none."""
        transaction = self._transactions.get(transaction_id)
        if transaction is not None:
            self._forget(transaction_id)
        return transaction

    def stop_retransmitting(self, transaction_id: TransactionId) -> None:
        """Sends a request no more, but accepts its answer until its time-out, which is then no failure.

        RFC: 8445 §7.3.1.4.
        """
        transaction = self._transactions.get(transaction_id)
        if transaction is not None:
            transaction.is_cancelled = True
            self._timers.set(transaction_id, transaction.expiry)

    def clear(self) -> None:
        """Forgets every transaction."""
        self._transactions.clear()
        self._timers.clear()

    def _pop_due(self, now: Instant) -> list[TransactionId]:
        popped: list[TransactionId] = []
        while (transaction_id := self._timers.pop_due(now)) is not None:
            popped.append(transaction_id)
        return popped

    def _schedule(self, transaction: Transaction[C]) -> None:
        policy = transaction.policy
        if transaction.next_index < policy.rc:
            at = transaction.sent_at[0] + policy.offset(transaction.next_index)
        else:
            at = transaction.expiry
        self._timers.set(transaction.transaction_id, at)

    def _forget(self, transaction_id: TransactionId) -> None:
        if len(self._transactions) == 1:
            self.clear()  # gives back what the tables grew to: an idle agent has no transactions most of the time
        else:
            del self._transactions[transaction_id]
            self._timers.cancel(transaction_id)


def _skip_missed(transaction: Transaction[C], now: Instant) -> None:
    policy = transaction.policy
    index = transaction.next_index + 1
    while index < policy.rc and transaction.sent_at[0] + policy.offset(index) <= now:
        index += 1
    transaction.next_index = index


def _method_of(payload: bytes) -> int:
    """Returns the method of an encoded message; RFC 8489 §5 interleaves it with the class bits.

     15 14 13 12 11 10  9  8  7  6  5  4  3  2  1  0
    | 0  0 M11 . . .   M7 C1 M6 M5 M4 C0 M3 .  . M0 |
    """
    bits = int.from_bytes(payload[:2], "big") & _METHOD_BITS
    return bits & 0x000F | (bits & 0x00E0) >> 1 | (bits & 0x3E00) >> 2


def _must_be_ignored(message: Message) -> bool:
    """Says whether the response must be treated as if it had never come.

    RFC 8489 §9.2.5: so is any but 401 and 438 whose nonce announces password algorithms that are not there:
    somebody on the path took them out. (401 and 438 end the attempt instead: `LongTermAuthentication.on_error`.)
    """
    error = message.get(ErrorCode)
    if error is not None and error.code in (401, 438):
        return False
    return lacks_announced_algorithms(message)


def _judge_integrity(transaction: Transaction[C], message: Message) -> Verified | DropReason | None:
    if transaction.key is None:
        return None
    try:
        return verify(message, transaction.key, require=transaction.integrity)
    except DecodeError as failure:
        # RFC 8489 §9.2.4: a 401 or 438 is unsigned, or signed with "the previous key", which this request
        # need not have been made with: a wrong signature says no more than none.
        error = message.get(ErrorCode) if message.message_class is MessageClass.ERROR else None
        if error is not None and error.code in transaction.unsigned_errors:
            return None
        return drop_reason(failure)


def _measure(transaction: Transaction[C], message: Message, now: Instant) -> Seconds | None:
    """Returns the round-trip time, or None when retransmissions make it ambiguous.

    RFC 8489 §6.2.1 wants Karn's algorithm: nothing is measured across a retransmission, unless the answer
    echoes which transmission it answers (RFC 7982 §3.3; the caller then counts the attribute up in each one).
    """
    sent_at = transaction.sent_at
    if len(sent_at) == 1:
        return max(0.0, now - sent_at[0])
    counter = message.get(TransactionTransmitCounter)
    if counter is None or not 1 <= counter.request <= len(sent_at):
        return None
    return max(0.0, now - sent_at[counter.request - 1])


_DROP_REASONS: Final = {
    DecodeReason.NOT_STUN: DropReason.NOT_STUN,
    DecodeReason.FINGERPRINT_MISMATCH: DropReason.BAD_FINGERPRINT,
    DecodeReason.MISSING_FINGERPRINT: DropReason.BAD_FINGERPRINT,
    DecodeReason.MISSING_INTEGRITY: DropReason.MISSING_INTEGRITY,
    DecodeReason.INTEGRITY_MISMATCH: DropReason.BAD_INTEGRITY,
}


def drop_reason(failure: DecodeError) -> DropReason:
    """Returns what a machine reports when decoding or verifying a datagram failed."""
    return _DROP_REASONS.get(failure.reason, DropReason.MALFORMED)
