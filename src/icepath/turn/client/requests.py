"""The requests of one allocation: signed, paced, sent again, and matched to their answers.

A part of `Allocation`. What a request asks for and what its answer means is the caller's business; here
live the long-term credentials (RFC 8489 §9.2: 401, 438, their replacement), the slots that new transactions
take, and the transaction table.

Strategy: a `Request` is a frozen value without transaction ID or credentials. Those are added each time it
is transmitted, so "again" (after 401, 438, a wait for a slot) is just submitting the same value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias, final

from icepath.machine import Datagram, DropReason
from icepath.net import Address, Instant, RandomBytes
from icepath.outbox import Outbox
from icepath.stun.credentials import (
    UNSIGNED_ERRORS,
    AuthVerdict,
    Challenge,
    LongTermAuthentication,
    LongTermCredentials,
)
from icepath.stun.transaction import Retransmission, TransactionTable
from icepath.timers import Timers
from icepath.turn.client.config import AllocationConfig
from icepath.turn.client.events import AllocationEvent, AllocationFailure, ChallengeRemembered, failure_of
from icepath.wire.attributes import Attribute, ErrorCode
from icepath.wire.integrity import Integrity
from icepath.wire.message import Message, MessageClass, Method, TransactionId, encode_message

ReserveSlot: TypeAlias = Callable[[Instant], Instant]
"""Returns when the next new transaction may go: `now` or later."""

TRANSACTION_ID_LENGTH: Final = 12

# RFC 8489 §10: a 300 "MAY be authenticated; however, there are use cases [...] where authentication of the
# response is not possible or practical": servers redirect before they look at credentials.
_UNSIGNED_REDIRECT: Final = UNSIGNED_ERRORS | {300}


class Purpose(Enum):
    """Is what a request is for."""

    ALLOCATE = auto()
    EVICT = auto()
    """Deletes what stands in the way of our Allocate (437)."""
    REFRESH = auto()
    RELEASE = auto()
    """Deletes our allocation."""
    PERMISSION = auto()
    CHANNEL = auto()


_METHODS: Final[dict[Purpose, Method]] = {
    Purpose.ALLOCATE: Method.ALLOCATE,
    Purpose.EVICT: Method.REFRESH,
    Purpose.REFRESH: Method.REFRESH,
    Purpose.RELEASE: Method.REFRESH,
    Purpose.PERMISSION: Method.CREATE_PERMISSION,
    Purpose.CHANNEL: Method.CHANNEL_BIND,
}


@dataclass(frozen=True, slots=True)
class Request:
    """Is what to ask of the server."""

    purpose: Purpose
    attributes: tuple[Attribute, ...]
    is_paced: bool
    """Takes a slot; refreshes of what is there already do not."""
    hosts: tuple[str, ...] = ()
    peer: Address | None = None
    is_early: bool = False
    """Was made before the Allocate was answered, so a 437 may be a matter of order."""
    is_alone: bool = False
    """Carries one host that must not share a request again."""


class Outcome(Enum):
    """Is what became of a request."""

    SUCCEEDED = auto()
    REFUSED = auto()
    TIMED_OUT = auto()
    RETRY = auto()
    """Submit it again: realm, nonce or credentials have changed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Is a request's end. With SUCCEEDED there is a `message`, otherwise a `failure`."""

    request: Request
    outcome: Outcome
    sent_at: Instant
    """When it was first sent: what the server granted ends no earlier than counted from here."""
    message: Message | None = None
    failure: AllocationFailure = AllocationFailure.NO_ANSWER
    code: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class _Flight:
    """Is what a transaction carries: the request and what it was signed with."""

    request: Request
    authentication: LongTermAuthentication | None
    generation: int


@final
class Requests:
    """Sends requests and judges who may answer them."""

    __slots__ = (
        "_authentication",
        "_config",
        "_count",
        "_outbox",
        "_random_bytes",
        "_remembered",
        "_replacement",
        "_reserve_late_slot",
        "_reserve_slot",
        "_slots",
        "_table",
        "_waiting",
    )

    def __init__(
        self,
        config: AllocationConfig,
        outbox: Outbox[AllocationEvent],
        *,
        random_bytes: RandomBytes,
        reserve_slot: ReserveSlot,
        reserve_late_slot: ReserveSlot | None = None,
    ) -> None:
        self._config = config
        self._outbox = outbox
        self._random_bytes = random_bytes
        self._reserve_slot = reserve_slot
        self._reserve_late_slot = reserve_slot if reserve_late_slot is None else reserve_late_slot
        self._table: TransactionTable[_Flight] = TransactionTable()
        self._waiting: dict[int, Request] = {}
        self._slots: Timers[int] = Timers()
        self._count = 0
        self._replacement: LongTermCredentials | None = None
        # What was told last by ChallengeRemembered.
        self._remembered = config.challenge
        self._authentication: LongTermAuthentication | None = None
        if config.credentials is not None:
            self._authentication = _authentication(config.credentials, config.challenge)

    @property
    def is_final_try(self) -> bool:
        """Says whether a request sent now is one the server may grant, not one that only fetches a challenge."""
        return self._authentication is None or self._authentication.key is not None

    def set_credentials(self, credentials: LongTermCredentials, *, at_once: bool) -> None:
        """Keeps credentials for when the server rejects the present ones; uses them now if `at_once`.

        RFC 8656 §5 binds an allocation to the username that made it, so a good one is never given up.
        """
        if self._authentication is None:
            self._authentication = _authentication(credentials)
        elif at_once:
            self._authentication = _authentication(credentials, self._authentication.challenge)
        else:
            self._replacement = credentials

    def submit(self, request: Request, now: Instant) -> bool:
        """Sends the request now (True), or keeps it until its slot comes."""
        at = self._slot_of(request, now) if request.is_paced else now
        if at > now:
            self._count += 1
            self._waiting[self._count] = request
            self._slots.set(self._count, at)
            return False
        self._transmit(request, now)
        return True

    def _slot_of(self, request: Request, now: Instant) -> Instant:
        reserve = self._reserve_late_slot if request.purpose is Purpose.PERMISSION else self._reserve_slot
        return reserve(now)

    def waiting(self, purpose: Purpose) -> tuple[int, Request] | None:
        """Returns the first request of that purpose that waits for its slot and may be changed, with its number."""
        for number, request in self._waiting.items():
            if request.purpose is purpose and not request.is_alone:
                return number, request
        return None

    def replace(self, number: int, request: Request) -> None:
        """Changes a waiting request; its slot stays."""
        self._waiting[number] = request

    def is_in_flight(self, purpose: Purpose) -> bool:
        """Says whether a request of that purpose was sent and not answered yet."""
        return any(transaction.context.request.purpose is purpose for transaction in self._table)

    def clear(self, *, keep: Purpose | None = None) -> None:
        """Forgets every request, save those in flight for one purpose."""
        self._waiting.clear()
        self._slots.clear()
        for transaction in self._table:
            if transaction.context.request.purpose is not keep:
                self._table.cancel(transaction.transaction_id)

    def receive(self, message: Message, datagram: Datagram, now: Instant) -> Answer | None:
        """Returns the end of the request that the message answers, or counts it as dropped."""
        match = self._table.match(message, local=datagram.local, remote=datagram.remote, now=now)
        if isinstance(match, DropReason):
            self._outbox.drop(match, remote=datagram.remote, now=now)
            return None
        flight = match.transaction.context
        sent_at = match.transaction.first_sent
        error = message.get(ErrorCode)
        if match.verified is not None and (error is None or error.code not in UNSIGNED_ERRORS):
            self._confirm(flight.authentication)
        if message.unknown_required or (error is None) != (message.message_class is MessageClass.SUCCESS):
            # RFC 8489 §6.3.3, §6.3.4: the transaction "is simply considered to have failed".
            text = "an answer that cannot be understood"
            return Answer(flight.request, Outcome.REFUSED, sent_at, message, AllocationFailure.BAD_ANSWER, None, text)
        if error is None:
            return Answer(flight.request, Outcome.SUCCEEDED, sent_at, message)
        outcome, failure = self._judge(flight, message, error.code)
        return Answer(flight.request, outcome, sent_at, message, failure, error.code, error.reason)

    def take_due(self, now: Instant) -> list[Request | Answer]:
        """Sends what is due; returns the requests whose slot came, now sent, and those that timed out."""
        done: list[Request | Answer] = []
        while (number := self._slots.pop_due(now)) is not None:
            request = self._waiting.pop(number)
            self._transmit(request, now)
            done.append(request)
        for item in self._table.due(now):
            transaction = item.transaction
            if isinstance(item, Retransmission):
                self._outbox.put(Datagram(transaction.local, transaction.remote, transaction.payload))
                continue
            failure = AllocationFailure.NO_ANSWER
            if item.integrity_violated:
                failure = AllocationFailure.INTEGRITY_VIOLATED
            flight = transaction.context
            done.append(Answer(flight.request, Outcome.TIMED_OUT, transaction.first_sent, failure=failure))
        return done

    def next_deadline(self) -> Instant | None:
        """Returns when `take_due` has something to do, or None."""
        slot, transaction = self._slots.next_deadline(), self._table.next_deadline()
        if slot is None or transaction is None:
            return slot if transaction is None else transaction
        return min(slot, transaction)

    def _transmit(self, request: Request, now: Instant) -> None:
        authentication = self._authentication
        attributes, key, integrity, generation = request.attributes, None, Integrity.SHA1, 0
        if authentication is not None:
            attributes += authentication.attributes()
            key, integrity, generation = authentication.key, authentication.integrity, authentication.generation
        transaction_id = TransactionId(self._random_bytes(TRANSACTION_ID_LENGTH))
        payload = encode_message(
            _METHODS[request.purpose], MessageClass.REQUEST, transaction_id, attributes, key=key, integrity=integrity
        )
        self._table.start(
            transaction_id,
            local=self._config.local,
            remote=self._config.server,
            payload=payload,
            key=key,
            context=_Flight(request, authentication, generation),
            policy=self._config.policy,
            now=now,
            integrity=integrity,
            unsigned_errors=_UNSIGNED_REDIRECT if request.purpose is Purpose.ALLOCATE else UNSIGNED_ERRORS,
        )
        self._outbox.put(Datagram(self._config.local, self._config.server, payload))

    def _confirm(self, authentication: LongTermAuthentication | None) -> None:
        if authentication is None or authentication is not self._authentication:
            return
        authentication.confirm()
        challenge = authentication.challenge
        if challenge is not None and challenge != self._remembered:
            self._remembered = challenge
            self._outbox.put(ChallengeRemembered(challenge))

    def _judge(self, flight: _Flight, message: Message, code: int) -> tuple[Outcome, AllocationFailure]:
        authentication = self._authentication
        if code not in UNSIGNED_ERRORS:
            return Outcome.REFUSED, failure_of(code)
        if authentication is None:
            return Outcome.REFUSED, AllocationFailure.CREDENTIALS_NEEDED
        if flight.authentication is not authentication:
            # Another request's answer has already brought other credentials; they are not what was judged.
            return Outcome.RETRY, failure_of(code)
        verdict = authentication.on_error(message, generation=flight.generation)
        if verdict is AuthVerdict.WRONG_CREDENTIALS and self._replacement is not None:
            authentication = self._authentication = _authentication(self._replacement)
            self._replacement = None
            verdict = authentication.on_error(message)
        if verdict is AuthVerdict.RETRY:
            return Outcome.RETRY, failure_of(code)
        if verdict is AuthVerdict.BID_DOWN:
            return Outcome.REFUSED, AllocationFailure.BID_DOWN
        return Outcome.REFUSED, failure_of(code)


def _authentication(credentials: LongTermCredentials, challenge: Challenge | None = None) -> LongTermAuthentication:
    # RFC 8656 §6: of MD5 and SHA-256 the client MUST take SHA-256, whatever the server's order.
    return LongTermAuthentication(credentials, challenge=challenge, strongest=True)
