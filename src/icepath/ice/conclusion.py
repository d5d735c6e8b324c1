"""What follows from checks: nomination, the pair in use per component, and the states.

The parts that send and answer checks report here what became of a pair; here it is decided which pair is
nominated (by the policy), which one carries data, when a checklist is Completed or Failed, and what the
agent's state is. RFC 8445 §8.1; RFC 8863 (no failure before patience has run out). Where renomination is agreed,
the nominated pair may change: selection.py.
"""

from __future__ import annotations

from typing import Final, final

from icepath.errors import Cause
from icepath.ice.cause import cause_of_failure
from icepath.ice.checklist import ChecklistState
from icepath.ice.consent import Consent
from icepath.ice.core import Core, TimerKey, TimerKind
from icepath.ice.events import PairSelected, PairValidated, PolicyFailed, State, StateChanged, StreamFailed
from icepath.ice.lite import select, trust
from icepath.ice.nomination import Nominate, NominationView, PairView, Wait, checked, nominate_best
from icepath.ice.pair import CandidatePair, PairState
from icepath.ice.pairing import can_send, discard_pair
from icepath.ice.selection import Selection
from icepath.ice.snapshot import pair_snapshot
from icepath.ice.stream import Generation, Stream
from icepath.net import Instant

_RUNNING: Final = ChecklistState.RUNNING
_COMPLETED: Final = ChecklistState.COMPLETED
_PENDING: Final = (PairState.FROZEN, PairState.WAITING, PairState.IN_PROGRESS)


@final
class Conclusion:
    """Decides what becomes of valid pairs and what state the agent is in."""

    __slots__ = ("_consent", "_core", "asked_server", "cause", "heard_server", "is_gathered", "selection", "state")

    def __init__(self, core: Core, consent: Consent) -> None:
        self._core = core
        self._consent = consent
        self.selection = Selection(core, consent)
        self.state = State.NEW
        self.cause: Cause | None = None
        # What the gatherer knows, for the policy and for the cause of a failure.
        self.is_gathered = False
        self.asked_server = False
        self.heard_server = False

    # -- pairs ------------------------------------------------------------------------------------------------

    def on_valid(self, pair: CandidatePair) -> None:
        """Takes a newly valid pair."""
        self._core.outbox.put(PairValidated(pair.stream, pair.component, pair_snapshot(self._core, pair)))

    def on_nominated(self, stream: Stream, generation: Generation, pair: CandidatePair, *, now: Instant) -> None:
        """Concludes the pair's component (RFC 8445 §8.1.2).

        A peer that nominates aggressively (RFC 5245) names several: the highest priority counts (RFC 8445 §8.1.1).
        """
        pair.use_candidate = False
        pair.nominate_on_success = False
        known = generation.nominated.get(pair.component)
        is_plain = generation.renomination is None
        if known is not None and (known is pair or (is_plain and known.priority > pair.priority)):
            return
        pair.is_nominated = True
        if known is not None:
            known.is_nominated = False
        generation.nominated[pair.component] = pair
        if is_plain:
            for other in list(generation.checklist.pairs.values()):
                if other.component == pair.component and other is not pair and other.valid is None:
                    discard_pair(self._core, generation, other)
        elif pair.component in generation.concluded:
            self.selection.on_moved(pair, now=now)
        if pair.component not in generation.concluded:
            generation.concluded += (pair.component,)
        self._bind_channel(pair, now=now)
        is_running = generation.checklist.state is _RUNNING
        if is_running and len(generation.concluded) == len(stream.components):
            generation.checklist.state = _COMPLETED
            self._close_connections(generation)
        if generation is stream.current and stream.is_selected:
            self._core.timers.cancel(TimerKey(TimerKind.PATIENCE, stream.id))
            self._core.timers.cancel(TimerKey(TimerKind.RECHECK, stream.id))

    def _bind_channel(self, pair: CandidatePair, *, now: Instant) -> None:
        """Binds a channel once ICE has settled on a relay (RFC 8445 §7.2.1)."""
        socket = self._core.sockets.get(pair.local.base)
        if socket is not None and socket.relay is not None:
            socket.relay.allocation.bind_channel(pair.remote_address, now=now)
            self._core.settle(socket.relay, now=now)

    def _close_connections(self, generation: Generation) -> None:
        """Closes the TCP connections that were not chosen (RFC 6544 §8), unless one of them may be wanted later."""
        if generation.renomination is not None:
            return
        for other in list(generation.checklist.pairs.values()):
            if other.is_tcp and not other.is_nominated:
                self._consent.unwatch(other)
                discard_pair(self._core, generation, other)

    def on_lost(
        self,
        stream: Stream,
        generation: Generation,
        pair: CandidatePair,
        cause: Cause = Cause.CONSENT_EXPIRED,
    ) -> None:
        """Takes the end of a pair's consent: it MUST NOT be used again under these credentials (RFC 7675 §5.1)."""
        self._consent.unwatch(pair)
        discard_pair(self._core, generation, pair)
        if pair.local.base in self._core.sockets:  # else it is the base that went away: it may come back
            generation.lost |= {pair.key}
        if stream.active.get(pair.component) is pair:
            del stream.active[pair.component]
        if generation.nominated.get(pair.component) is pair:
            del generation.nominated[pair.component]
            pair.is_nominated = False
        is_concluded = pair.component in generation.concluded and pair.component not in generation.nominated
        if is_concluded and generation is stream.current and not self.selection.has_other(generation, pair.component):
            # RFC 8445 §8.1.1, §12.1: no other pair may be nominated, and data goes on a selected pair only.
            self._fail(stream, cause)

    # -- nomination ---------------------------------------------------------------------------------------------

    def nominate(self, *, now: Instant) -> None:
        """Asks the policy about every component that has no nominated pair (RFC 8445 §8.1.1)."""
        if self._core.config.lite:
            self._settle_lite(now=now)
            return
        if not self._core.is_controlling:
            return
        for stream in self._core.streams.values():
            generation = stream.current
            if generation.renomination is not None and generation.failure is None:
                self.selection.reconsider(stream, generation, now=now)
            if generation.checklist.state is not _RUNNING or generation.started is None:
                continue
            for component in stream.components:
                if component not in generation.concluded:
                    self._nominate_component(stream, generation, component, now=now)

    def _settle_lite(self, *, now: Instant) -> None:
        """Concludes components between two lite agents, without checks (RFC 8445 §8.2)."""
        for stream in self._core.streams.values():
            for pair in select(stream, stream.current, now=now):
                trust(self._consent, pair, now=now)
                self.on_nominated(stream, stream.current, pair, now=now)

    def _nominate_component(self, stream: Stream, generation: Generation, component: int, *, now: Instant) -> None:
        pairs: list[CandidatePair] = []
        has_valid = False
        for pair in generation.checklist.pairs.values():
            if pair.component == component:
                if pair.use_candidate:
                    return
                has_valid = has_valid or pair.valid is not None
                pairs.append(pair)
        if not has_valid:
            return
        is_final = self.is_gathered and generation.remote_ended
        assert generation.started is not None
        pairs.sort(key=_by_valid_priority, reverse=True)
        view = NominationView(now, tuple(_view(pair) for pair in pairs), generation.started, is_final)
        decision = self._decide(view)
        if isinstance(decision, Wait):
            if decision.until is not None and decision.until > now:
                key = TimerKey(TimerKind.NOMINATION, stream.id)
                earlier = self._core.timers.deadline(key)  # of another component, perhaps
                self._core.timers.set(key, decision.until if earlier is None else min(earlier, decision.until))
            return
        for pair in pairs:
            if pair.id == decision.pair and pair.valid is not None:
                pair.use_candidate = True
                if pair.transaction_id is not None:
                    self._core.transactions.stop_retransmitting(pair.transaction_id)
                generation.checklist.enqueue_triggered(pair)

    def _decide(self, view: NominationView) -> Nominate | Wait:
        try:
            return checked(self._core.config.nomination(view))
        except Exception as failure:  # a policy is the application's code: law 1 holds whatever it does
            self._core.outbox.put(PolicyFailed("nomination", repr(failure)))
            return nominate_best(view)

    # -- states ---------------------------------------------------------------------------------------------------

    def update(self, *, now: Instant) -> None:
        """Settles the states of checklists, the pair in use per component, and the state of the agent."""
        for stream in self._core.streams.values():
            self._judge(stream, now=now)
            for component in stream.components:
                self._choose(stream, component, now=now)
            if stream.current.renomination is not None:
                self.selection.keep_warm(stream, now=now)
            if stream.is_selected and stream.previous is not None:
                self._retire(stream)
        self._set_state(*self._overall(now))

    def _choose(self, stream: Stream, component: int, *, now: Instant) -> None:
        current = stream.active.get(component)
        chosen = self._best(stream, component, now)
        if chosen is not current:
            if current is not None:
                if self._consent.failover.is_silent(current):
                    self._consent.rest(current)
                else:
                    self._consent.unwatch(current)
                del stream.active[component]
            if chosen is not None:
                stream.active[component] = chosen
                self._consent.watch(chosen, now=now)
                self.selection.try_out(stream, chosen, now=now)
        stream.count_change(component, 0 if chosen is None else chosen.id)
        if chosen is not None and chosen.is_nominated and stream.selected.get(component) is not chosen:
            stream.selected[component] = chosen
            self._core.outbox.put(PairSelected(stream.id, component, pair_snapshot(self._core, chosen)))

    def _best(self, stream: Stream, component: int, now: Instant) -> CandidatePair | None:
        if stream.current.failure is not None and stream.previous is None:
            return None  # RFC 8445 §12.1: a stream that lacks a component sends nothing for any
        nominated = stream.current.nominated.get(component)
        if nominated is not None and not self._consent.failover.is_silent(nominated) and self._is_held(nominated, now):
            return nominated
        if stream.previous is not None:
            # RFC 8445 §9: during a restart data goes on over the old pair until the new one is selected.
            old = stream.active.get(component)
            if old is not None and old.generation == stream.previous.number and old.may_send_data(now):
                return old
        if component in stream.current.concluded:
            # RFC 8445 §12.1: once a pair was selected, data goes on that one only.
            return self.selection.substitute(stream, component, nominated, now=now)
        best: CandidatePair | None = None
        for pair in stream.current.checklist.pairs.values():
            if pair.component == component and pair.may_send_data(now):
                best = pair if best is None or pair.valid_priority > best.valid_priority else best
        return best

    def _is_held(self, pair: CandidatePair, now: Instant) -> bool:
        return pair.may_send_data(now) or self._consent.is_late(pair)

    def _retire(self, stream: Stream) -> None:
        """Forgets the generation before the one that has just selected its pairs."""
        assert stream.previous is not None
        for pair in list(stream.previous.checklist.pairs.values()):
            self._consent.unwatch(pair)
            discard_pair(self._core, stream.previous, pair)
        stream.previous = None

    def _judge(self, stream: Stream, *, now: Instant) -> None:
        """Fails a checklist that has nothing left to try once patience is over (RFC 8445 §7.2.5.4, RFC 8863 §4)."""
        generation = stream.current
        checklist = generation.checklist
        if generation.started is None or generation.failure is not None:
            return
        if checklist.state is _COMPLETED or not checklist.is_exhausted(self._can_send):
            return
        if all(checklist.valid_pairs(component) for component in stream.components):
            return
        patience_ends = generation.started + self._core.config.patience
        if now < patience_ends:
            again = TimerKey(TimerKind.RECHECK, stream.id)
            at = now + self._core.config.recheck_interval
            if checklist.pairs and self._core.timers.deadline(again) is None and at < patience_ends:
                self._core.timers.set(again, at)
            return
        cause = cause_of_failure(self._core, stream, heard_server=self.heard_server, asked_server=self.asked_server)
        self._fail(stream, cause)

    def _can_send(self, pair: CandidatePair) -> bool:
        return not self._core.config.lite and can_send(self._core, pair)

    def recheck(self, stream: Stream) -> None:
        """Tries failed pairs again while patience lasts: the other side may have come late."""
        for pair in stream.current.checklist.pairs.values():
            if pair.state is PairState.FAILED:
                pair.state = PairState.WAITING

    def _fail(self, stream: Stream, cause: Cause) -> None:
        if stream.current.failure is not None:
            return
        stream.current.checklist.state = ChecklistState.FAILED
        stream.current.checklist.stays_open = False
        stream.current.failure = cause
        self._core.outbox.put(StreamFailed(stream.id, cause))

    def _overall(self, now: Instant) -> tuple[State, Cause | None]:
        streams = self._core.streams
        living = [stream for stream in streams.values() if stream.current.failure is None]
        if not living:
            return State.FAILED, next(iter(streams.values())).current.failure
        for stream in living:
            if not stream.is_usable:
                is_started = any(stream.current.started is not None for stream in living)
                return (State.CHECKING if is_started else State.NEW), None
        # Each look at a pair arms a deadline: all are looked at.
        quiet = [pair for stream in living for pair in stream.active.values() if self._consent.is_quiet(pair, now)]
        if quiet:
            return State.DISCONNECTED, Cause.NO_RECENT_ANSWER
        for stream in living:
            if not stream.is_selected or stream.previous is not None:
                return State.CONNECTED, None
        return State.COMPLETED, None

    def _set_state(self, state: State, cause: Cause | None) -> None:
        if state is not self.state:
            self.state = state
            self.cause = cause
            self._core.outbox.put(StateChanged(state, cause))


def _by_valid_priority(pair: CandidatePair) -> tuple[int, int]:
    return pair.valid_priority


def _view(pair: CandidatePair) -> PairView:
    return PairView(
        id=pair.id,
        priority=pair.valid_priority[0],
        local_type=pair.reported_local.candidate.type,
        remote_type=pair.remote.type,
        is_valid=pair.is_valid,
        is_pending=pair.valid is None and pair.state in _PENDING,
        rtt=pair.rtt,
        valid_since=pair.valid_since,
    )
