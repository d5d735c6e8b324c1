"""Consent and liveness of the pairs in use.

A valid answer allows sending for 30 s (RFC 7675 §5.1); each check is sent once, every 4 to 6 s, under a new
transaction. The checks keep NAT bindings alive as well (RFC 8445 §11). Liveness is softer: nothing heard
for two intervals makes the pair quiet, which is reported as *disconnected* and may pass. Where renomination is agreed,
pairs kept ready for it are asked at half the pace, and failover.py waits for the answers on the pair in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, inf
from typing import Final, final

from icepath.entropy import jitter
from icepath.ice.config import MAX_CONSENT_INTERVAL
from icepath.ice.core import ConsentCheck, Core, TimerKey, TimerKind
from icepath.ice.failover import Failover
from icepath.ice.outgoing import check_attributes
from icepath.ice.pair import CandidatePair
from icepath.ice.pairing import drop_flow, flow_key
from icepath.ice.stream import Generation
from icepath.machine import Deliver, SetFlow
from icepath.net import Instant, Seconds
from icepath.stun.transaction import RetransmissionPolicy
from icepath.wire.message import MessageClass, Method, encode_message

# RFC 7675 §5.1: "Consent expires after 30 seconds", whatever is still in flight.
CONSENT_LIFETIME: Final[Seconds] = 30.0
# RFC 7675 §5.1: "each interval MUST be randomized from between 0.8 and 1.2 times the basic period".
JITTER_LOW: Final = 0.8
JITTER_HIGH: Final = 1.2
# Checks fall on whole eighths of a second of the clock, which all agents of a process share: what is due together is
# done in one wake-up, half as dear. The interval stays random, in steps of this; docs/decisions/0008 tells the choice.
STEP: Final[Seconds] = 0.125
# RFC 7675 §5.1: "transmitted once only"; an answer is awaited as long as it could still renew consent.
CONSENT_POLICY: Final = RetransmissionPolicy(rto=CONSENT_LIFETIME, rc=1, rm=1)
# RFC 8445 §11: "Agents SHOULD use a Tr value of 15 seconds", for lite agents, which check no consent.
KEEPALIVE_INTERVAL: Final[Seconds] = 15.0
# Quiet for this many consent intervals is *disconnected*: one lost check or answer is not enough.
QUIET_INTERVALS: Final = 2.0
# Pairs kept warm are asked this many times less often: consent outlives one lost check, NAT bindings any.
WARM_INTERVALS: Final = 2.0
# An idle agent's period, after an answer: 12.8 to 19.2 s (RFC 8445 §11 has 15 s in mind), so that bindings of 20 s live
# and two more checks at the usual pace fit in before consent expires.
IDLE_INTERVAL: Final[Seconds] = 16.0
# A check has had its chance of an answer this long after it was sent: a round trip round the earth, thrice.
CHANCE: Final[Seconds] = 1.0
# A path whose consent ran out while this machine stood still (or slept) is asked once more, this long.
EXTENSION: Final[Seconds] = 3.0

_NONE: Final[frozenset[int]] = frozenset()
_CONSENT: Final = TimerKind.CONSENT
_EXPIRY: Final = TimerKind.EXPIRY
_LIVENESS: Final = TimerKind.LIVENESS
_BINDING: Final = Method.BINDING
_REQUEST: Final = MessageClass.REQUEST


@final
class Consent:
    """Renews consent of the watched pairs and tells when they are quiet or lost."""

    __slots__ = ("_core", "_late", "_warm", "_watched", "failover")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._watched: dict[int, CandidatePair] = {}
        # Those of them that data is not sent on.
        self._warm: frozenset[int] = _NONE
        # Those whose consent ran out before any check had its chance.
        self._late: frozenset[int] = _NONE
        self.failover = Failover(core)

    def watched(self, pair_id: int) -> CandidatePair | None:
        """Returns the watched pair of that id."""
        return self._watched.get(pair_id)

    def grant(self, pair: CandidatePair, *, now: Instant) -> None:
        """Takes an authentic answer on the pair as consent for the next 30 s."""
        pair.consent_until = now + CONSENT_LIFETIME
        pair.last_heard = now
        self.permit_flow(pair)
        if pair.id in self._watched:
            self._late -= {pair.id}
            self._core.timers.set(TimerKey(_EXPIRY, pair.id), pair.consent_until)
            self.failover.on_answer(pair)
            if self._core.is_idle:
                self._schedule(pair, now=now)
            if pair.id not in self._warm:
                self.is_quiet(pair, now)  # puts the next look off: nobody wakes while answers come

    def permit_flow(self, pair: CandidatePair) -> None:
        """Lets the driver deliver the pair's datagrams itself while consent lasts; through relays, channels only."""
        key = flow_key(self._core, pair)
        if key is not None and pair.consent_until is not None:
            if key != pair.flow:
                drop_flow(self._core, pair)
            pair.flow = key
            is_relayed = key.channel is not None
            action = Deliver(pair.stream, pair.component, unwrap=is_relayed)
            self._core.outbox.put(SetFlow(key, action, pair.consent_until))

    def watch(self, pair: CandidatePair, *, now: Instant) -> None:
        """Begins to renew consent of a pair that data is sent on."""
        if pair.id in self._watched:
            if pair.id not in self._warm:
                return
            self._warm -= {pair.id}
        self._watched[pair.id] = pair
        self._schedule(pair, now=now)
        self._core.timers.set(TimerKey(_EXPIRY, pair.id), None if pair.consent_until == inf else pair.consent_until)
        self.is_quiet(pair, now)

    def keep_warm(self, stream: int, component: int, pairs: Sequence[CandidatePair], *, now: Instant) -> None:
        """Renews consent of these pairs of a component, besides the one in use, and of no others."""
        wanted = {pair.id for pair in pairs}
        for pair_id in sorted(self._warm - wanted):
            pair = self._watched[pair_id]
            if (pair.stream, pair.component) == (stream, component):
                self.unwatch(pair)
        for pair in pairs:
            if pair.id not in self._watched:
                self._watched[pair.id] = pair
                self._warm |= {pair.id}
                self._schedule(pair, now=now)
                self._core.timers.set(TimerKey(_EXPIRY, pair.id), pair.consent_until)

    def rest(self, pair: CandidatePair) -> None:
        """Keeps a pair that was in use until it fell silent among those kept warm: it may come back."""
        self._warm |= {pair.id}
        self._core.timers.cancel(TimerKey(_LIVENESS, pair.id))

    def extend(self, generation: Generation, pair: CandidatePair, *, now: Instant) -> bool:
        """Asks once more when consent ran out because this machine stood still; False when the path is to blame.

        Nothing but checks is sent meanwhile: RFC 7675 §5.1 forbids data, whatever the reason.
        """
        if pair.id in self._late or pair.consent_until is None or self._core.config.lite:
            return False
        answered, latest = pair.consent_until - CONSENT_LIFETIME, pair.consent_until - CHANCE
        is_waiting = False
        for transaction in self._core.transactions:
            if isinstance(transaction.context, ConsentCheck) and transaction.context.pair is pair:
                if answered <= transaction.sent_at[0] <= latest:
                    return False
                is_waiting = is_waiting or transaction.sent_at[0] == now
        self._late |= {pair.id}
        if not is_waiting:
            self.check(generation, pair, now=now)
        self._core.timers.set(TimerKey(_EXPIRY, pair.id), now + EXTENSION)
        return True

    def is_late(self, pair: CandidatePair) -> bool:
        """Says whether the pair is asked once more after its consent ran out."""
        return pair.id in self._late

    def hasten(self, *, now: Instant) -> None:
        """Asks on every pair watched at the usual pace again, after the agent was idle."""
        for pair in self._watched.values():
            self._schedule(pair, now=now)
            if pair.id not in self._warm:
                self.is_quiet(pair, now)

    def warm_pairs(self, pair: CandidatePair) -> list[CandidatePair]:
        """Returns what is kept ready for the pair's component."""
        return [
            other
            for other in self._watched.values()
            if other.id in self._warm and (other.stream, other.component) == (pair.stream, pair.component)
        ]

    def is_warm(self, pair: CandidatePair) -> bool:
        """Says whether the pair is kept ready."""
        return pair.id in self._warm

    def unwatch(self, pair: CandidatePair) -> None:
        """Stops renewing consent of the pair, and waits for no answer any more (RFC 7675 §5.1)."""
        if self._watched.pop(pair.id, None) is None:
            return
        self._warm -= {pair.id}
        self._late -= {pair.id}
        self.failover.forget(pair)
        self.failover.cool(pair)
        for kind in (_CONSENT, _EXPIRY, _LIVENESS):
            self._core.timers.cancel(TimerKey(kind, pair.id))
        for transaction in self._core.transactions:
            if isinstance(transaction.context, ConsentCheck) and transaction.context.pair is pair:
                self._core.transactions.cancel(transaction.transaction_id)

    def quiet_at(self, pair: CandidatePair, now: Instant) -> Instant:
        """Returns when the pair counts as quiet if nothing more is heard."""
        if pair.consent_until == inf:
            return inf  # a lite agent's, whose peer has not renewed consent so far: silence tells nothing
        heard = pair.last_heard if pair.last_heard is not None else now
        interval = self._core.config.consent_interval
        return heard + QUIET_INTERVALS * (max(interval, IDLE_INTERVAL) if self._core.is_idle else interval)

    def is_quiet(self, pair: CandidatePair, now: Instant) -> bool:
        """Says whether nothing authentic was heard on the pair for two intervals; arms the next look otherwise."""
        at = self.quiet_at(pair, now)
        if now >= at:
            return True
        self._core.timers.set(TimerKey(_LIVENESS, pair.id), None if at == inf else at)
        return False

    def check(self, generation: Generation, pair: CandidatePair, *, now: Instant) -> None:
        """Sends one consent check and schedules the next."""
        self._schedule(pair, now=now)
        if generation.remote is None or pair.local.base not in self._core.sockets:
            return
        if self._core.config.lite:
            self._keep_alive(pair, now=now)
            return
        _, attributes = check_attributes(self._core, generation, pair, use_candidate=False)
        transaction_id = self._core.transaction_id()
        key = generation.remote.key
        payload = encode_message(_BINDING, _REQUEST, transaction_id, attributes, key=key, fingerprint=True)
        self._core.transactions.start(
            transaction_id,
            local=pair.local.base,
            remote=pair.remote_address,
            payload=payload,
            key=key,
            context=ConsentCheck(pair),
            policy=CONSENT_POLICY,
            now=now,
        )
        pair.counts.requests_sent += 1
        pair.counts.consent_requests_sent += 1
        self._core.transmit(pair.local.base, pair.remote_address, payload, now=now)
        if generation.renomination is not None and pair.id not in self._warm:
            self.failover.on_sent(pair, now=now)

    def _keep_alive(self, pair: CandidatePair, *, now: Instant) -> None:
        """Sends what a lite agent sends instead: a Binding indication, which wants no answer (RFC 8445 §11)."""
        payload = encode_message(_BINDING, MessageClass.INDICATION, self._core.transaction_id(), fingerprint=True)
        self._core.transmit(pair.local.base, pair.remote_address, payload, now=now)

    def _schedule(self, pair: CandidatePair, *, now: Instant) -> None:
        if self._core.config.lite:
            self._core.timers.set(TimerKey(_CONSENT, pair.id), now + KEEPALIVE_INTERVAL)
            return
        interval = self._core.config.consent_interval
        if self._core.is_idle and _was_answered(pair, now):
            interval = max(interval, IDLE_INTERVAL)
        elif pair.id in self._warm:
            interval = min(WARM_INTERVALS * interval, MAX_CONSENT_INTERVAL)
        delay = jitter(JITTER_LOW * interval, JITTER_HIGH * interval - STEP, self._core.random_bytes)
        self._core.timers.set(TimerKey(_CONSENT, pair.id), ceil((now + delay) / STEP) * STEP)


def _was_answered(pair: CandidatePair, now: Instant) -> bool:
    """Says whether the last answer has come just now."""
    return pair.consent_until == now + CONSENT_LIFETIME
