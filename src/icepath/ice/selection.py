"""Changing the nominated pair, where both sides agreed on renomination.

The policy says which pair (nomination.py), failover.py when one is silent; here the component moves: pairs are kept
warm, a lost or silent pair has a substitute at once (either side may send on any valid pair, the controlling side
"can unilaterally select"), and the controlling side nominates again. draft-thatcher-tsvwg-renomination §3.1.
"""

from __future__ import annotations

from typing import Final, final

from icepath.ice.consent import CONSENT_LIFETIME, Consent
from icepath.ice.core import Core, TimerKey, TimerKind
from icepath.ice.events import PolicyFailed
from icepath.ice.failover import spread
from icepath.ice.nomination import Nominate, PathView, SelectionView, Wait, checked, move_when_better
from icepath.ice.pair import CandidatePair
from icepath.ice.stream import Generation, Stream
from icepath.net import Instant

# The controlling side moves no more often than this, whatever its policy says: each move is a check and an event.
MOVE_INTERVAL: Final = 0.05


@final
class Selection:
    """Moves components to other pairs."""

    __slots__ = ("_consent", "_core", "_moved")

    def __init__(self, core: Core, consent: Consent) -> None:
        self._core = core
        self._consent = consent
        # When each component last moved, by stream and component.
        self._moved: dict[tuple[int, int], Instant] = {}

    def on_moved(self, pair: CandidatePair, *, now: Instant) -> None:
        """Notes that another pair than before was nominated."""
        self._moved[pair.stream, pair.component] = now

    def has_other(self, generation: Generation, component: int) -> bool:
        """Says whether a pair with live consent is left to move to."""
        if generation.renomination is None:
            return False
        for pair in generation.checklist.pairs.values():
            if pair.component == component and self._consent.watched(pair.id) is pair:
                return True
        return False

    def keep_warm(self, stream: Stream, *, now: Instant) -> None:
        """Keeps a few valid pairs of each concluded component ready, and the nominated one while it is not in use."""
        if self._core.config.lite:
            return
        generation = stream.current
        for component in generation.concluded:
            used = stream.active.get(component)
            pairs = self._usable(generation, component, now)
            if used is None or generation.failure is not None or self._core.is_idle:
                pairs = []
            else:
                nominated = generation.nominated.get(component)
                alive = [pair for pair in pairs if not self._consent.failover.is_silent(pair)]
                pairs = spread(self._core, used, alive, self._core.config.warm_pairs)
                is_kept = nominated is None or nominated is used or nominated in pairs
                if nominated is not None and not is_kept and nominated.may_send_data(now):
                    pairs.append(nominated)
            self._consent.keep_warm(stream.id, component, pairs, now=now)

    def wake(self) -> None:
        """Checks at once what is in use, and pairs that were warm before the agent was idle (RFC 7675 §5.1)."""
        if self._core.config.lite:
            return
        for stream in self._core.streams.values():
            generation = stream.current
            for used in stream.active.values():
                if used.generation != generation.number:
                    continue
                known = generation.checklist.valid_pairs(used.component) if generation.renomination is not None else []
                for pair in (used, *spread(self._core, used, known, self._core.config.warm_pairs)):
                    generation.checklist.enqueue_triggered(pair)

    def _usable(self, generation: Generation, component: int, now: Instant) -> list[CandidatePair]:
        return [
            pair
            for pair in generation.checklist.pairs.values()
            if pair.component == component and pair.may_send_data(now)
        ]

    def substitute(
        self, stream: Stream, component: int, nominated: CandidatePair | None, *, now: Instant
    ) -> CandidatePair | None:
        """Returns what carries data while the nominated pair is lost or silent; None is nothing."""
        generation = stream.current
        if generation.renomination is None:
            return None
        failover = self._consent.failover
        since = None if nominated is None else failover.alarmed_at(nominated)
        current = stream.active.get(component)
        best: CandidatePair | None = None
        for pair in self._usable(generation, component, now):
            if pair is nominated or failover.is_silent(pair):
                continue
            if since is not None and _answered_at(pair) < since:
                continue
            if pair is current:
                return pair
            if best is None or pair.valid_priority > best.valid_priority:
                best = pair
        if best is None and nominated is not None and nominated.may_send_data(now):
            return nominated
        return best

    def try_out(self, stream: Stream, pair: CandidatePair, *, now: Instant) -> None:
        """Checks a pair at once that stands in for the nominated one: it may have died with it."""
        generation = stream.current
        is_substitute = pair.component in generation.concluded and not pair.is_nominated
        if is_substitute and generation.renomination is not None and pair.generation == generation.number:
            # The others too: it tells the other side that this one is looking for a path.
            for each in (pair, *self._consent.warm_pairs(pair)):
                generation.checklist.enqueue_triggered(each)
            self._consent.failover.on_sent(pair, now=now)

    # -- the controlling side -----------------------------------------------------------------------------------

    def reconsider(self, stream: Stream, generation: Generation, *, now: Instant) -> None:
        """Asks the policy about every component that has had its nomination."""
        for component in generation.concluded:
            self._reconsider_component(stream, generation, component, now=now)

    def _reconsider_component(self, stream: Stream, generation: Generation, component: int, *, now: Instant) -> None:
        assert generation.renomination is not None
        usable = [pair for pair in self._usable(generation, component, now) if self._consent.watched(pair.id) is pair]
        nominated = generation.nominated.get(component)
        if generation.renomination.is_exhausted(component) or not any(pair is not nominated for pair in usable):
            return
        pending = [pair for pair in generation.checklist.pairs.values() if pair.component == component]
        pending = [pair for pair in pending if pair.use_candidate]
        if any(not self._consent.failover.is_silent(pair) for pair in pending):
            return  # one is on its way
        decision = self._decide(self._view(stream, component, nominated, usable, now))
        if isinstance(decision, Wait):
            self._look_again(stream, decision.until, now)
            return
        for pair in usable:
            if pair.id == decision.pair and pair is not nominated and not pair.use_candidate:
                for other in pending:
                    other.use_candidate = False
                pair.use_candidate = True
                if pair.transaction_id is not None:
                    self._core.transactions.stop_retransmitting(pair.transaction_id)
                generation.checklist.enqueue_triggered(pair)

    def _look_again(self, stream: Stream, until: Instant | None, now: Instant) -> None:
        if until is not None and until > now:
            key = TimerKey(TimerKind.NOMINATION, stream.id)
            earlier = self._core.timers.deadline(key)  # of another component, perhaps
            self._core.timers.set(key, until if earlier is None else min(earlier, until))

    def _decide(self, view: SelectionView) -> Nominate | Wait:
        try:
            decision = checked(self._core.config.selection(view))
        except Exception as failure:  # a policy is the application's code: law 1 holds whatever it does
            self._core.outbox.put(PolicyFailed("selection", repr(failure)))
            decision = move_when_better(view)
        earliest = view.now if view.moved_at is None else view.moved_at + MOVE_INTERVAL
        return decision if view.now >= earliest else Wait(earliest)

    def _view(
        self,
        stream: Stream,
        component: int,
        nominated: CandidatePair | None,
        usable: list[CandidatePair],
        now: Instant,
    ) -> SelectionView:
        others = [pair for pair in usable if pair is not nominated]
        others.sort(key=_by_valid_priority, reverse=True)
        return SelectionView(
            now=now,
            selected=self._path(nominated) if nominated is not None and nominated in usable else None,
            others=tuple(self._path(pair) for pair in others),
            silent_since=None if nominated is None else self._consent.failover.alarmed_at(nominated),
            moved_at=self._moved.get((stream.id, component)),
        )

    def _path(self, pair: CandidatePair) -> PathView:
        socket = self._core.sockets.get(pair.local.base)
        sent = pair.counts.requests_sent + pair.counts.retransmissions_sent
        return PathView(
            id=pair.id,
            priority=pair.valid_priority[0],
            local_type=pair.reported_local.candidate.type,
            remote_type=pair.remote.type,
            cost=0 if socket is None else socket.cost,
            rtt=pair.rtt,
            loss=max(0.0, 1.0 - pair.counts.responses_received / sent) if sent else 0.0,
            answers=pair.counts.responses_received,
            valid_since=pair.valid_since,
            answered_at=_answered_at(pair),
            is_silent=self._consent.failover.is_silent(pair),
        )


def _answered_at(pair: CandidatePair) -> Instant:
    """Returns when the last answer came on a pair that may carry data."""
    assert pair.consent_until is not None
    return pair.consent_until - CONSENT_LIFETIME


def _by_valid_priority(pair: CandidatePair) -> tuple[int, int]:
    return pair.valid_priority
