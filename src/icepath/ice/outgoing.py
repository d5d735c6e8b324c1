"""Sending connectivity checks and judging their answers.

Everything of RFC 8445 §7.2: the request's attributes, what an answer does to the pair, and which local
candidate a success reveals. What follows from a verdict (nomination, consent, states) is the agent's.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple, final

from icepath.entropy import tie_breaker
from icepath.ice.candidate import LocalCandidate, candidate_priority, tcp_priority
from icepath.ice.config import Role, RtoView
from icepath.ice.core import Check, Core, Purpose
from icepath.ice.pair import CandidatePair, PairState
from icepath.ice.pairing import drop_flow
from icepath.ice.stream import Generation
from icepath.net import Address, Instant, TcpAddress
from icepath.stun.transaction import RELIABLE_TRANSPORT, Match, RetransmissionPolicy
from icepath.wire.attributes import (
    Attribute,
    ErrorCode,
    IceControlled,
    IceControlling,
    Priority,
    UseCandidate,
    Username,
    XorMappedAddress,
)
from icepath.wire.candidate_line import Candidate, CandidateType
from icepath.wire.message import MessageClass, Method, encode_message

ROLE_CONFLICT: Final = 487


class Verdict(Enum):
    """Says what an answer, or its absence, did to the pair."""

    SUCCEEDED = auto()
    FAILED = auto()
    ROLE_CONFLICT = auto()
    IGNORED = auto()


class Judgement(NamedTuple):
    """Is the verdict on one check."""

    pair: CandidatePair
    verdict: Verdict
    is_nominated: bool = False
    """The check concluded its component (RFC 8445 §7.2.5.3.4)."""
    is_newly_valid: bool = False


def check_attributes(
    core: Core, generation: Generation, pair: CandidatePair, *, use_candidate: bool
) -> tuple[int, list[Attribute]]:
    """Returns the priority and the attributes of a Binding request on this pair (RFC 8445 §7.1, §7.2.2)."""
    assert generation.remote is not None
    socket = core.sockets[pair.local.base]
    tcp_type = pair.local.candidate.tcp_type
    if tcp_type is None:
        priority = candidate_priority(CandidateType.PEER_REFLEXIVE, socket.preference, pair.component)
    else:
        priority = tcp_priority(CandidateType.PEER_REFLEXIVE, tcp_type, socket.preference, pair.component)
    attributes: list[Attribute] = [
        Username(f"{generation.remote.ufrag}:{generation.credentials.ufrag}"),
        Priority(priority),
        IceControlling(core.tie_breaker) if core.is_controlling else IceControlled(core.tie_breaker),
    ]
    if use_candidate:
        attributes.append(UseCandidate())
    if core.embeddings:
        attributes += core.embeddings[pair.stream, pair.component].attributes()
    return priority, attributes


@final
class Outgoing:
    """Sends checks and judges what comes of them."""

    __slots__ = ("_core",)

    def __init__(self, core: Core) -> None:
        self._core = core

    def send(self, generation: Generation, pair: CandidatePair, *, now: Instant) -> None:
        """Starts a check of the pair (RFC 8445 §7.2.4)."""
        core = self._core
        remote = generation.remote
        if remote is None:
            return
        use_candidate = core.is_controlling and pair.use_candidate
        priority, attributes = check_attributes(core, generation, pair, use_candidate=use_candidate)
        nomination = 0
        if use_candidate and generation.renomination is not None:
            attribute = generation.renomination.next(pair.component)
            nomination = attribute.value
            attributes.append(attribute)
        transaction_id = core.transaction_id()
        payload = encode_message(
            Method.BINDING, MessageClass.REQUEST, transaction_id, attributes, key=remote.key, fingerprint=True
        )
        total, active = core.checklists.counts()
        rto = core.rto(RtoView(core.pacer.interval, total, active))
        if pair.transaction_id is not None:
            core.transactions.stop_retransmitting(pair.transaction_id)
        pair.state = PairState.IN_PROGRESS
        pair.transaction_id = transaction_id
        pair.counts.requests_sent += 1
        core.transactions.start(
            transaction_id,
            local=pair.local.base,
            remote=pair.remote_address,
            payload=payload,
            key=remote.key,
            context=Check(pair, core.role, priority, use_candidate, nomination),
            policy=RELIABLE_TRANSPORT if pair.is_tcp else RetransmissionPolicy(rto=rto),
            now=now,
        )
        core.transmit(pair.local.base, pair.remote_address, payload, now=now)

    def on_response(self, generation: Generation, check: Check, match: Match[Purpose], *, now: Instant) -> Judgement:
        """Judges an authentic answer that came back along the path of the request (RFC 8445 §7.2.5)."""
        pair = check.pair
        pair.counts.responses_received += 1
        pair.last_heard = now
        is_current = pair.transaction_id == match.transaction.transaction_id
        if is_current:
            pair.transaction_id = None
        if match.message.message_class is MessageClass.ERROR:
            error = match.message.get(ErrorCode)
            if error is not None and error.code == ROLE_CONFLICT:
                return self._on_role_conflict(generation, check)
            return self.fail(check) if is_current else Judgement(pair, Verdict.IGNORED)
        mapped = match.message.get(XorMappedAddress)
        if mapped is None or match.message.unknown_required:  # RFC 8489 §6.3.3: such a response is discarded
            return self.fail(check) if is_current else Judgement(pair, Verdict.IGNORED)
        if match.rtt is not None:
            pair.rtt = match.rtt
            pair.counts.rtt_total += match.rtt
        return self._on_success(generation, check, mapped.address, now=now)

    def fail(self, check: Check) -> Judgement:
        """Marks the pair Failed (RFC 8445 §7.2.5.2); a pair that was valid is so no more if nominating failed."""
        pair = check.pair
        pair.transaction_id = None
        if pair.valid is not None and not check.use_candidate:
            pair.state = PairState.SUCCEEDED
            return Judgement(pair, Verdict.IGNORED)
        pair.state = PairState.FAILED
        pair.use_candidate = False
        drop_flow(self._core, pair)
        pair.valid = None
        return Judgement(pair, Verdict.FAILED)

    def _on_role_conflict(self, generation: Generation, check: Check) -> Judgement:
        """Takes the role that the request did not claim, and checks again (RFC 8445 §7.2.5.1)."""
        core = self._core
        role = Role.CONTROLLED if check.role is Role.CONTROLLING else Role.CONTROLLING
        if core.role is not role:
            core.change_role(role, draw_tie_breaker=True)
        else:  # a check of theirs, or another 487, came first: the tie-breaker "MUST change" all the same (§16.1)
            core.tie_breaker = tie_breaker(core.random_bytes)
        check.pair.use_candidate = False
        generation.checklist.enqueue_triggered(check.pair)
        return Judgement(check.pair, Verdict.ROLE_CONFLICT)

    def _on_success(self, generation: Generation, check: Check, mapped: Address, *, now: Instant) -> Judgement:
        pair = check.pair
        is_newly_valid = pair.valid is None
        pair.valid = self._mapped_candidate(generation, check, mapped)
        if is_newly_valid:
            pair.valid_since = now
        if pair.transaction_id is None:
            # A cancelled check's success ends the wait for the triggered one too (RFC 8445 §7.3.1.4).
            pair.state = PairState.SUCCEEDED
        elif not pair.use_candidate or check.use_candidate:
            self._core.transactions.stop_retransmitting(pair.transaction_id)
            pair.transaction_id = None
            pair.state = PairState.SUCCEEDED
        if not pair.use_candidate and pair in generation.checklist.triggered:
            generation.checklist.triggered.remove(pair)
        self._core.checklists.unfreeze(pair.foundation)
        is_nominated = check.use_candidate if self._core.is_controlling else pair.nominate_on_success
        if is_nominated and self._core.is_controlling and generation.renomination is not None:
            is_nominated = generation.renomination.is_latest(pair.component, check.nomination)
        return Judgement(pair, Verdict.SUCCEEDED, is_nominated, is_newly_valid)

    def _mapped_candidate(self, generation: Generation, check: Check, mapped: Address) -> LocalCandidate:
        """Returns the local candidate with the mapped address: a known one, or a peer-reflexive one learnt now."""
        pair = check.pair
        transport = pair.local.candidate.transport
        if pair.is_tcp:
            mapped = TcpAddress(*mapped)
        if pair.local.is_at(mapped):
            return pair.local
        known = generation.local_at(mapped, pair.component)
        if known is not None:
            return known
        # RFC 8445 §7.2.5.3.1: type, base, priority (of the request) and foundation of the new candidate.
        kind = CandidateType.PEER_REFLEXIVE
        base = pair.local.base
        candidate = Candidate(
            foundation=self._core.foundations.of(kind, base.host, "", transport),
            component=pair.component,
            transport=transport,
            priority=check.priority,
            host=mapped.host,
            port=mapped.port,
            type=kind,
            related_address=Address(*base),
            tcp_type=pair.local.candidate.tcp_type,
            ufrag=generation.credentials.ufrag,
        )
        local = LocalCandidate(candidate, base)
        if len(generation.candidates) < self._core.config.max_remote_candidates:
            generation.candidates[mapped, pair.component] = local
        return local
