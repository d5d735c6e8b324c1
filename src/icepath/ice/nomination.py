"""Which valid pair to nominate, and when: policies as pure functions.

Data flows on any valid pair before nomination (RFC 8445 §12.1), so nomination costs nothing in time to
the first byte; it only settles where both sides stay. A pair once nominated stays until a restart
(RFC 8445 §8.1.1), hence a relayed pair waits a little for a direct one. docs/decisions tells the choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from icepath.net import Instant, Seconds
from icepath.wire.candidate_line import CandidateType

# How long the best valid pair waits for a better kind: a relayed pair for a direct one. A direct check that can
# succeed at all is sent no later than the relay's and takes no longer: one round trip and a half covers jitter. A
# peer that sends nothing before nomination waits with us, so there is no more.
RELAY_GRACE: Final[Seconds] = 0.1
RELAY_GRACE_ROUND_TRIPS: Final = 1.5


@dataclass(frozen=True, slots=True)
class PairView:
    """Is what a policy may know of one pair."""

    id: int
    priority: int
    local_type: CandidateType
    remote_type: CandidateType
    is_valid: bool
    is_pending: bool
    """Frozen, Waiting or In-Progress: it may yet become valid."""
    rtt: Seconds | None
    valid_since: Instant | None

    @property
    def is_relayed(self) -> bool:
        """Says whether either end is a relayed candidate."""
        return CandidateType.RELAYED in (self.local_type, self.remote_type)


@dataclass(frozen=True, slots=True)
class NominationView:
    """Is what a policy may know of one component; `pairs` holds the best priority first."""

    now: Instant
    pairs: tuple[PairView, ...]
    started: Instant
    """When checks began."""
    is_final: bool
    """No further candidate of either side will come."""


@dataclass(frozen=True, slots=True)
class Nominate:
    """Decides for a pair."""

    pair: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Decides to look again when something changes, or at `until`."""

    until: Instant | None = None


NominationPolicy: TypeAlias = Callable[[NominationView], Nominate | Wait]


def nominate_first_good(view: NominationView) -> Nominate | Wait:
    """Nominates the best direct pair as soon as one is valid; a relayed one after a short grace.

    This is the fastest lawful choice that does not settle for a relay while a direct path is still open.
    """
    valid = [pair for pair in view.pairs if pair.is_valid]
    if not valid:
        return Wait()
    best = valid[0]
    for pair in valid:
        if not pair.is_relayed:
            return Nominate(pair.id)
    better_open = any(pair.is_pending and not pair.is_relayed for pair in view.pairs) or not view.is_final
    if not better_open:
        return Nominate(best.id)
    since = min(pair.valid_since for pair in valid if pair.valid_since is not None)
    rtt = min((pair.rtt for pair in valid if pair.rtt is not None), default=0.0)
    until = since + max(RELAY_GRACE, RELAY_GRACE_ROUND_TRIPS * rtt)
    return Nominate(best.id) if view.now >= until else Wait(until)


def nominate_first_valid(view: NominationView) -> Nominate | Wait:
    """Nominates the best valid pair at once, relayed or not."""
    for pair in view.pairs:
        if pair.is_valid:
            return Nominate(pair.id)
    return Wait()


# How long `nominate_best` lets checks run at most: RFC 8445 §8.1.1 leaves the criterion to the agent.
BEST_PATIENCE: Final[Seconds] = 3.0


def nominate_best(view: NominationView) -> Nominate | Wait:
    """Lets checks run until no better pair is pending, three seconds at most, then takes the best (RFC 8445 §8.1.1)."""
    for pair in view.pairs:
        if pair.is_valid:
            until = view.started + BEST_PATIENCE
            better_open = not view.is_final or any(
                other.is_pending for other in view.pairs if other.priority > pair.priority
            )
            return Nominate(pair.id) if not better_open or view.now >= until else Wait(until)
    return Wait()
