"""Answering checks: authentication, role conflicts, peer-reflexive candidates, triggered checks.

Everything of RFC 8445 §7.3. The answer leaves first, then what is learnt from the check is put in place.
A check that comes before the remote description is answered too and kept to be followed up.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from icepath.errors import DecodeError, DecodeReason
from icepath.ice.candidate import LEARNT_FOUNDATION
from icepath.ice.config import Role
from icepath.ice.core import Core, Socket, TimerKey, TimerKind
from icepath.ice.embedding import MAX_HELD, HeldAnswer
from icepath.ice.lite import accept
from icepath.ice.outgoing import ROLE_CONFLICT
from icepath.ice.pair import CandidatePair, PairKey, PairState
from icepath.ice.pairing import base_candidate, make_pair
from icepath.ice.renomination import nomination_of
from icepath.ice.stream import EarlyCheck, Generation, Stream
from icepath.machine import DropReason, Transport
from icepath.net import Address, Instant
from icepath.wire.attributes import (
    Attribute,
    ErrorCode,
    IceControlled,
    IceControlling,
    Priority,
    UnknownAttributes,
    UseCandidate,
    Username,
    XorMappedAddress,
)
from icepath.wire.candidate_line import Candidate, CandidateType, Foundation, TcpType
from icepath.wire.integrity import Integrity, IntegrityKey
from icepath.wire.message import Message, MessageClass, Method, encode_message, verify

BAD_REQUEST: Final = 400
UNAUTHENTICATED: Final = 401
UNKNOWN_ATTRIBUTE: Final = 420
_EMBEDDED: Final = TimerKey(TimerKind.EMBEDDED)


class Learnt(NamedTuple):
    """Is what a check told: its pair, and whether it concludes the pair's component (controlled only)."""

    pair: CandidatePair
    is_nominated: bool = False


class Signature(NamedTuple):
    """Is what signs an answer."""

    key: IntegrityKey
    integrity: Integrity


@final
class Incoming:
    """Answers checks and learns from them."""

    __slots__ = ("_core", "_learnt_count")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._learnt_count = 0

    def on_request(self, socket: Socket, remote: Address, message: Message, *, now: Instant) -> Learnt | None:
        """Answers a Binding request that arrived on the socket; returns what it told, if it counts."""
        core = self._core
        stream = core.streams[socket.stream]
        authenticated = self._authenticate(stream, socket, remote, message, now=now)
        if authenticated is None:
            return None
        generation, signature = authenticated
        priority = message.get(Priority)
        if message.unknown_required or priority is None:
            attribute = UnknownAttributes(message.unknown_required)
            code = UNKNOWN_ATTRIBUTE if message.unknown_required else BAD_REQUEST
            extra: tuple[Attribute, ...] = (attribute,) if message.unknown_required else ()
            self._refuse(socket, remote, message, code, signature, extra, now=now)
            return None
        if not self._repair_roles(message):
            self._refuse(socket, remote, message, ROLE_CONFLICT, signature, now=now)
            return None
        self._answer(socket, remote, message, signature, now=now)
        username = message.get(Username)
        assert username is not None  # _authenticate read it
        check = EarlyCheck(
            socket.address,
            remote,
            username.text.partition(":")[2],
            priority.value,
            message.get(UseCandidate) is not None,
            nomination_of(message) if core.config.renomination else None,
        )
        return self.follow_up(stream, generation, check, now=now)

    def _authenticate(
        self, stream: Stream, socket: Socket, remote: Address, message: Message, *, now: Instant
    ) -> tuple[Generation, Signature] | None:
        """Returns whose credentials the request carries and what signs the answer, or refuses it.

        RFC: 8489 §9.1.3 (the answer carries the one of the two integrities by which the request was judged).
        """
        username = message.get(Username)
        if username is None or not message.has_integrity:
            self._core.outbox.drop(DropReason.MISSING_INTEGRITY, remote=remote, now=now)
            self._refuse(socket, remote, message, BAD_REQUEST, None, now=now)
            return None
        ufrag, colon, _ = username.text.partition(":")
        generation = stream.by_ufrag(ufrag) if colon else None
        if generation is None:
            self._core.outbox.drop(DropReason.UNKNOWN_USERNAME, remote=remote, now=now)
            self._refuse(socket, remote, message, UNAUTHENTICATED, None, now=now)
            return None
        try:
            verified = verify(message, generation.key)
        except DecodeError as failure:
            missing = failure.reason is DecodeReason.MISSING_INTEGRITY
            reason = DropReason.MISSING_INTEGRITY if missing else DropReason.BAD_INTEGRITY
            self._core.outbox.drop(reason, remote=remote, now=now)
            self._refuse(socket, remote, message, UNAUTHENTICATED, None, now=now)
            generation.was_refused = True
            return None
        return generation, Signature(generation.key, verified.integrity)

    def _repair_roles(self, message: Message) -> bool:
        """Settles a role conflict (RFC 8445 §7.3.1.1); False when the answer must be 487."""
        core = self._core
        if core.config.lite:
            return message.get(IceControlled) is None  # RFC 8445 §6.1.1: the full agent is controlling, whoever ties
        if core.is_controlling:
            theirs = message.get(IceControlling)
            if theirs is None:
                return True
            if core.tie_breaker >= theirs.tie_breaker:
                return False
            core.change_role(Role.CONTROLLED, draw_tie_breaker=False)
            return True
        other = message.get(IceControlled)
        if other is None:
            return True
        if core.tie_breaker < other.tie_breaker:
            return False
        core.change_role(Role.CONTROLLING, draw_tie_breaker=False)
        return True

    def _answer(self, socket: Socket, remote: Address, message: Message, signature: Signature, *, now: Instant) -> None:
        core = self._core
        key, integrity = signature
        stream, component = socket.stream, socket.component
        answer = HeldAnswer(socket.address, remote, message.transaction_id, key, integrity, stream, component)
        is_news = bool(core.embeddings) and core.take_embedded(stream, component, message)
        if is_news and len(core.held_answers) < MAX_HELD:
            # The application has its say first: what it answers rides along (draft-hancke-webrtc-sped §3.1).
            core.held_answers += (answer,)
            core.timers.set(_EMBEDDED, now)
        else:
            self._accept(answer, now=now)

    def release(self, *, now: Instant) -> None:
        """Sends the answers that were held for the application."""
        held, self._core.held_answers = self._core.held_answers, ()
        for answer in held:
            self._accept(answer, now=now)

    def _accept(self, answer: HeldAnswer, *, now: Instant) -> None:
        attributes: list[Attribute] = [XorMappedAddress(answer.remote)]
        if self._core.embeddings:
            attributes += self._core.embeddings[answer.stream, answer.component].attributes()
        payload = encode_message(
            Method.BINDING,
            MessageClass.SUCCESS,
            answer.transaction_id,
            attributes,
            key=answer.key,
            integrity=answer.integrity,
            fingerprint=True,
        )
        self._core.transmit(answer.local, answer.remote, payload, now=now)

    def _refuse(
        self,
        socket: Socket,
        remote: Address,
        message: Message,
        code: int,
        signature: Signature | None,
        extra: tuple[Attribute, ...] = (),
        *,
        now: Instant,
    ) -> None:
        attributes = (ErrorCode(code, ""), *extra)
        payload = encode_message(
            Method.BINDING,
            MessageClass.ERROR,
            message.transaction_id,
            attributes,
            key=None if signature is None else signature.key,
            integrity=Integrity.SHA1 if signature is None else signature.integrity,
            fingerprint=True,
        )
        self._core.transmit(socket.address, remote, payload, now=now)

    def follow_up(
        self, stream: Stream, generation: Generation, check: EarlyCheck, *, is_early: bool = False, now: Instant
    ) -> Learnt | None:
        """Learns the remote candidate, finds or makes the pair, and triggers its check (RFC 8445 §7.3.1.3-5)."""
        if generation.remote is None:
            if len(generation.early_checks) < self._core.config.max_early_checks:
                generation.early_checks.append(check)
                generation.prove(check.local, check.remote, self._core.config.max_remote_candidates)
            else:
                self._core.outbox.drop(DropReason.LIMIT, remote=check.remote, now=now)
            return None
        if check.remote_ufrag != generation.remote.ufrag:
            self._core.outbox.drop(DropReason.UNKNOWN_USERNAME, remote=check.remote, now=now)
            return None
        generation.prove(check.local, check.remote, self._core.config.max_remote_candidates)
        pair = self._pair_of(stream, generation, check, now=now)
        if pair is None:
            return None
        pair.counts.requests_received += 1
        pair.counts.responses_sent += 1
        pair.last_heard = now
        is_nominating = not self._core.is_controlling and self._nominates(generation, pair, check, is_early=is_early)
        if self._core.config.lite:
            return self._follow_up_lite(pair, is_nominating=is_nominating, now=now)
        if is_nominating and pair.valid is not None and not pair.may_send_data(now):
            # Consent ran out while another pair was in use: a check has to regain it first (RFC 7675 §5.1).
            generation.checklist.enqueue_triggered(pair)
        else:
            self._trigger(generation, pair)
        if is_nominating:
            if pair.may_send_data(now):
                return Learnt(pair, is_nominated=True)
            pair.nominate_on_success = True
        return Learnt(pair)

    def _nominates(self, generation: Generation, pair: CandidatePair, check: EarlyCheck, *, is_early: bool) -> bool:
        renomination = generation.renomination
        if renomination is None:
            return check.use_candidate
        is_nominating = renomination.accepts(
            pair.component, check.nomination, use_candidate=check.use_candidate, is_early=is_early
        )
        if is_nominating:
            for other in generation.checklist.pairs.values():
                if other.component == pair.component:
                    other.nominate_on_success = False  # the last nomination wins, whichever pair succeeds first
        return is_nominating

    def _follow_up_lite(self, pair: CandidatePair, *, is_nominating: bool, now: Instant) -> Learnt | None:
        """Takes a nomination as the other side's decision; other checks tell that it still consents (§7.3.2)."""
        if is_nominating:
            accept(pair, now=now)
        return Learnt(pair, is_nominated=is_nominating) if pair.is_valid else None

    def _pair_of(
        self, stream: Stream, generation: Generation, check: EarlyCheck, *, now: Instant
    ) -> CandidatePair | None:
        pair = generation.checklist.pairs.get(PairKey(check.local, check.remote))
        socket = self._core.sockets.get(check.local)
        if pair is not None or socket is None:
            return pair
        if self._core.is_controlling and socket.component in generation.concluded and generation.renomination is None:
            return None  # RFC 8445 §8.1.2: answered, but no longer checked once the component is concluded
        local = base_candidate(generation, socket)
        if local is None:
            return None
        candidate = generation.remote_candidates.get((check.remote, socket.component))
        if candidate is None:
            candidate = self._learn(stream, generation, socket, check, now=now)
            if candidate is None:
                return None
        return make_pair(self._core, generation, stream.id, local, candidate, check.remote)

    def _learn(
        self, stream: Stream, generation: Generation, socket: Socket, check: EarlyCheck, *, now: Instant
    ) -> Candidate | None:
        """Adds a peer-reflexive remote candidate; it is paired with nothing else (RFC 8445 §7.3.1.3)."""
        if len(generation.learnt) >= self._core.config.max_remote_candidates:
            self._core.outbox.drop(DropReason.LIMIT, remote=check.remote, now=now)
            return None
        generation.learnt |= {(check.remote, socket.component)}
        self._learnt_count += 1
        candidate = Candidate(
            foundation=Foundation(f"{LEARNT_FOUNDATION}{self._learnt_count}"),
            component=socket.component,
            transport=Transport.TCP if socket.is_tcp else Transport.UDP,
            priority=check.priority,
            host=check.remote.host,
            port=check.remote.port,
            type=CandidateType.PEER_REFLEXIVE,
            tcp_type=TcpType.ACTIVE if socket.is_tcp else None,
        )
        generation.remote_candidates[check.remote, socket.component] = candidate
        if not socket.is_tcp:
            self._core.unpermitted.append((stream.id, check.remote.host))
        return candidate

    def _trigger(self, generation: Generation, pair: CandidatePair) -> None:
        """Enqueues a triggered check unless the pair has already succeeded (RFC 8445 §7.3.1.4)."""
        if pair.state is PairState.SUCCEEDED:
            return
        if pair.component in generation.nominated and generation.nominated[pair.component] is not pair:
            # RFC 8445 §8.1.2: answered, but no longer checked once the component is concluded.
            if pair.valid is None and (generation.renomination is not None or not self._core.is_controlling):
                generation.checklist.enqueue_triggered(pair)
            return
        if pair.state is PairState.IN_PROGRESS and pair.transaction_id is not None:
            self._core.transactions.stop_retransmitting(pair.transaction_id)
        generation.checklist.enqueue_triggered(pair)
