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
from typing import Final, TypeAlias, final

from icepath.machine import DropReason
from icepath.net import Instant, RandomBytes, Seconds
from icepath.outbox import Outbox
from icepath.stun.credentials import UNSIGNED_ERRORS, AuthVerdict
from icepath.stun.transaction import Match, Retransmission, RetransmissionPolicy, TransactionTable
from icepath.timers import Timers
from icepath.turn.client.config import AllocationConfig
from icepath.turn.client.events import AllocationEvent, AllocationFailure, ChallengeRemembered, failure_of
from icepath.turn.client.exchange import METHODS, Answer, Outcome, Purpose, Request
from icepath.turn.client.routes import Path
from icepath.turn.client.token import (
    Authentication,
    Credentials,
    TokenAuthentication,
    TokenCredentials,
    authentication_of,
)
from icepath.wire.attributes import ErrorCode
from icepath.wire.integrity import Integrity
from icepath.wire.message import Message, MessageClass, Method, TransactionId, encode_message

ReserveSlot: TypeAlias = Callable[[Instant], Instant]
"""Returns when the next new transaction may go: `now` or later."""

TRANSACTION_ID_LENGTH: Final = 12

# RFC 8489 §10: a 300 "MAY be authenticated; however, there are use cases [...] where authentication of the
# response is not possible or practical": servers redirect before they look at credentials.
_UNSIGNED_REDIRECT: Final = UNSIGNED_ERRORS | {300}


_TOKEN_METHODS: Final = frozenset({Method.ALLOCATE, Method.REFRESH})

# What is not about the path in use.
_OF_OTHER_PATHS: Final = frozenset({Purpose.PROBE, Purpose.GIVE_BACK})


@dataclass(frozen=True, slots=True)
class _Flight:
    """Is what a transaction carries: the request, where it went, and what it was signed with."""

    request: Request
    path: Path
    authentication: Authentication | None
    generation: int


@final
class Requests:
    """Sends requests and judges who may answer them."""

    __slots__ = (
        "_authentication",
        "_config",
        "_count",
        "_credentials",
        "_outbox",
        "_random_bytes",
        "_reliable_policy",
        "_remembered",
        "_replacement",
        "_reserve_late_slot",
        "_reserve_slot",
        "_slots",
        "_table",
        "_waiting",
        "path",
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
        self._replacement: Credentials | None = None
        # What was told last by ChallengeRemembered.
        self._remembered = config.challenge
        self._authentication: Authentication | None = None
        # What the authentication was made of.
        self._credentials = config.credentials
        if config.credentials is not None:
            self._authentication = authentication_of(config.credentials, config.challenge)
        self.path = Path(config.ways[0], config.local)
        """The path in use. Nothing is sent before `take`, unless it is plain UDP."""
        self._reliable_policy = _once(config.reliable_timeout)

    @property
    def is_final_try(self) -> bool:
        """Says whether a request sent now is one the server may grant, not one that only fetches a challenge."""
        return self._authentication is None or self._authentication.key is not None

    def set_credentials(self, credentials: Credentials, *, at_once: bool) -> None:
        """Keeps credentials for when the server rejects the present ones; uses them now if `at_once`.

        RFC 8656 §5 binds an allocation to the username that made it, so a good password is never given up. A token is
        (RFC 7635 §9: "The client MUST use the new token to refresh existing allocations").
        """
        if self._authentication is None:
            self._credentials = credentials
            self._authentication = authentication_of(credentials)
        elif at_once or isinstance(credentials, TokenCredentials):
            self._credentials = credentials
            self._authentication = authentication_of(credentials, self._authentication.challenge)
        else:
            self._replacement = credentials

    # -- paths -----------------------------------------------------------------------------------------------

    def take(self, path: Path, *, impatience: Seconds | None = None) -> None:
        """Sends along this path from now on; `impatience` bounds the wait for answers on a reliable one."""
        timeout = self._config.reliable_timeout
        self._reliable_policy = _once(timeout if impatience is None else min(timeout, impatience))
        # An Allocate of an earlier try is forgotten: what it may have got is in the way of the next (437).
        self.drop(path)
        self.path = path

    def drop(self, path: Path) -> None:
        """Forgets what is in flight along a path."""
        for transaction in self._table:
            if transaction.context.path is path:
                self._table.cancel(transaction.transaction_id)

    def leave(self) -> None:
        """Gives up the path in use: forgets all but probes, and Allocates on UDP that may still be granted.

        Those are not sent again, and their answers are told with their path, so that nothing stays allocated there.
        """
        for number, request in list(self._waiting.items()):
            if request.purpose is not Purpose.PROBE:
                del self._waiting[number]
                self._slots.cancel(number)
        for transaction in self._table:
            flight = transaction.context
            if flight.request.purpose is Purpose.ALLOCATE and flight.path.handle is None:
                self._table.stop_retransmitting(transaction.transaction_id)
            elif flight.request.purpose not in _OF_OTHER_PATHS:
                self._table.cancel(transaction.transaction_id)

    def begin_anew(self) -> None:
        """Forgets what a server said that is not asked any more; the credentials stay (RFC 8489 §10)."""
        if self._credentials is not None:
            self._authentication = authentication_of(self._credentials)

    def use_patience(self) -> None:
        """Waits for answers on a reliable path as long as the config says."""
        self._reliable_policy = _once(self._config.reliable_timeout)

    # -- sending ---------------------------------------------------------------------------------------------

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
        """Forgets every request, save those in flight for one purpose, and what is about paths given up."""
        self._waiting.clear()
        self._slots.clear()
        for transaction in self._table:
            flight = transaction.context
            is_stray = flight.request.purpose is Purpose.ALLOCATE and flight.path is not self.path
            if flight.request.purpose not in (keep, Purpose.GIVE_BACK) and not is_stray:
                self._table.cancel(transaction.transaction_id)

    def forget(self, purpose: Purpose) -> None:
        """Forgets every request of a purpose."""
        for number, request in list(self._waiting.items()):
            if request.purpose is purpose:
                del self._waiting[number]
                self._slots.cancel(number)
        for transaction in self._table:
            if transaction.context.request.purpose is purpose:
                self._table.cancel(transaction.transaction_id)

    def reset(self) -> None:
        """Forgets everything."""
        self._waiting.clear()
        self._slots.clear()
        self._table.clear()

    # -- answers ---------------------------------------------------------------------------------------------

    def receive(self, message: Message, path: Path, now: Instant) -> Answer | None:
        """Returns the end of the request that the message, come along a path, answers; or counts it as dropped."""
        match = self._table.match(message, local=path.local, remote=path.remote, now=now)
        if isinstance(match, DropReason):
            self._outbox.drop(match, remote=path.remote, now=now)
            return None
        return self._answer(match, message)

    def _answer(self, match: Match[_Flight], message: Message) -> Answer:
        flight = match.transaction.context
        sent_at = match.transaction.first_sent
        error = message.get(ErrorCode)
        if match.verified is not None and (error is None or error.code not in UNSIGNED_ERRORS):
            self._confirm(flight.authentication)
        if message.unknown_required or (error is None) != (message.message_class is MessageClass.SUCCESS):
            # RFC 8489 §6.3.3, §6.3.4: the transaction "is simply considered to have failed".
            text = "an answer that cannot be understood"
            failure = AllocationFailure.BAD_ANSWER
            return Answer(flight.request, Outcome.REFUSED, sent_at, message, failure, None, text, flight.path)
        if error is None:
            return Answer(flight.request, Outcome.SUCCEEDED, sent_at, message, path=flight.path)
        outcome, failure = self._judge(flight, message, error.code)
        is_verified = match.verified is not None
        return Answer(
            flight.request, outcome, sent_at, message, failure, error.code, error.reason, flight.path, is_verified
        )

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
                self._send(transaction.context.path, transaction.payload)
                continue
            failure = AllocationFailure.NO_ANSWER
            if item.integrity_violated:
                failure = AllocationFailure.INTEGRITY_VIOLATED
            flight = transaction.context
            sent_at = transaction.first_sent
            done.append(Answer(flight.request, Outcome.TIMED_OUT, sent_at, failure=failure, path=flight.path))
        return done

    def next_deadline(self) -> Instant | None:
        """Returns when `take_due` has something to do, or None."""
        slot, transaction = self._slots.next_deadline(), self._table.next_deadline()
        if slot is None or transaction is None:
            return slot if transaction is None else transaction
        return min(slot, transaction)

    def _transmit(self, request: Request, now: Instant) -> None:
        path, method = self.path if request.path is None else request.path, METHODS[request.purpose]
        # A probe of a path asks nothing that credentials are needed for.
        authentication = None if request.purpose is Purpose.PROBE else self._authentication
        attributes, key, integrity, generation = request.attributes, None, Integrity.SHA1, 0
        if authentication is not None:
            attributes += authentication.attributes()
            key, integrity, generation = authentication.key, authentication.integrity, authentication.generation
            # RFC 7635 §9: ACCESS-TOKEN "only in Allocate and Refresh requests".
            if key is not None and isinstance(authentication, TokenAuthentication) and method in _TOKEN_METHODS:
                attributes += (authentication.token,)
        transaction_id = TransactionId(self._random_bytes(TRANSACTION_ID_LENGTH))
        payload = encode_message(method, MessageClass.REQUEST, transaction_id, attributes, key=key, integrity=integrity)
        self._table.start(
            transaction_id,
            local=path.local,
            remote=path.remote,
            payload=payload,
            key=key,
            context=_Flight(request, path, authentication, generation),
            policy=self._reliable_policy if path.is_reliable else self._config.policy,
            now=now,
            integrity=integrity,
            unsigned_errors=_UNSIGNED_REDIRECT if request.purpose is Purpose.ALLOCATE else UNSIGNED_ERRORS,
        )
        self._send(path, payload)

    def _send(self, path: Path, payload: bytes) -> None:
        # While an allocation moves, its old connection may have ended: what goes there goes nowhere, and is repeated.
        if not path.is_closed:
            self._outbox.put(path.wrap(payload))

    def _confirm(self, authentication: Authentication | None) -> None:
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
            self._credentials = self._replacement
            authentication = self._authentication = authentication_of(self._replacement)
            self._replacement = None
            verdict = authentication.on_error(message)
        if verdict is AuthVerdict.RETRY:
            return Outcome.RETRY, failure_of(code)
        if verdict is AuthVerdict.BID_DOWN:
            return Outcome.REFUSED, AllocationFailure.BID_DOWN
        return Outcome.REFUSED, failure_of(code)


def _once(timeout: Seconds) -> RetransmissionPolicy:
    # RFC 8489 §6.2.2: "there are no retransmissions at the STUN protocol level".
    return RetransmissionPolicy(rto=timeout, rc=1, rm=1)
