"""Which valid pair to nominate, and when: policies as pure functions.

Data flows on any valid pair before nomination (RFC 8445 §12.1), so nomination costs nothing in time to
the first byte; it only settles where both sides stay. A pair once nominated stays until a restart
(RFC 8445 §8.1.1), hence a relayed pair waits a little for a direct one. Where renomination is agreed, a second
policy says when to move to another. docs/decisions tells the choices.
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


def checked(decision: object) -> Nominate | Wait:
    """Returns the decision; Raises: TypeError when it is none, as from a policy that no type-checker saw."""
    if not isinstance(decision, (Nominate, Wait)):
        raise TypeError(f"neither Nominate nor Wait, but {decision!r}")
    return decision


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


# -- with renomination ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PathView:
    """Is what a policy may know of a pair that may carry data."""

    id: int
    priority: int
    local_type: CandidateType
    remote_type: CandidateType
    cost: int
    """The interface's: how dear it is, 0 is the usual."""
    rtt: Seconds | None
    """The last round trip."""
    loss: float
    """The share of checks and consent checks on the pair that were not answered."""
    answers: int
    """How many were."""
    valid_since: Instant | None
    answered_at: Instant
    """When the last was."""
    is_silent: bool
    """Two checks in a row were not."""

    @property
    def is_relayed(self) -> bool:
        """Says whether either end is a relayed candidate."""
        return CandidateType.RELAYED in (self.local_type, self.remote_type)


@dataclass(frozen=True, slots=True)
class SelectionView:
    """Is what a policy may know of a component that has had its nomination."""

    now: Instant
    selected: PathView | None
    """The nominated pair; None when it was lost: its address went away, its consent expired or was revoked."""
    others: tuple[PathView, ...]
    """The other pairs that may carry data, the best priority first."""
    silent_since: Instant | None
    """When an answer on the selected pair was first missed, if any is missing."""
    moved_at: Instant | None
    """When another pair was last nominated instead of one before; None when the first still is."""


SelectionPolicy: TypeAlias = Callable[[SelectionView], Nominate | Wait]

# A path that works is left for a better one this long after the last move at the earliest: nobody flaps.
DWELL: Final[Seconds] = 10.0
# How much quicker another path must be to be worth it: a third less, and 20 ms, which people begin to hear.
QUICKER_SHARE: Final = 2 / 3
QUICKER_MARGIN: Final[Seconds] = 0.02
# One round trip tells little: as many answers must have come on either.
QUICKER_ANSWERS: Final = 3


def move_when_better(view: SelectionView) -> Nominate | Wait:
    """Leaves a dead path at once, and a working one for a direct, cheaper or clearly quicker one.

    Dead is a path that is lost, or silent while another has answered since. Whatever is moved to has answered since the
    last move, so nobody returns to a path that has only fallen silent unnoticed.
    """
    selected = view.selected
    alive = [path for path in view.others if not path.is_silent]
    if selected is None:
        return Nominate(alive[0].id) if alive else Wait()
    if selected.is_silent:
        since = view.now if view.silent_since is None else view.silent_since
        for path in alive:
            if path.answered_at >= since:
                return Nominate(path.id)
        return Wait()
    for path in alive:
        if not _is_better(path, selected):
            continue
        if view.moved_at is None:
            return Nominate(path.id)
        if path.answered_at > view.moved_at:
            until = view.moved_at + DWELL
            return Nominate(path.id) if view.now >= until else Wait(until)
    return Wait()


def stay(view: SelectionView) -> Nominate | Wait:
    """Leaves a path only when it is lost or silent."""
    selected = view.selected
    return Wait() if selected is not None and not selected.is_silent else move_when_better(view)


def _is_better(path: PathView, selected: PathView) -> bool:
    if path.is_relayed is not selected.is_relayed:
        return selected.is_relayed
    if path.cost != selected.cost:
        return path.cost < selected.cost
    if path.rtt is None or selected.rtt is None or min(path.answers, selected.answers) < QUICKER_ANSWERS:
        return False
    return path.rtt <= min(QUICKER_SHARE * selected.rtt, selected.rtt - QUICKER_MARGIN)
