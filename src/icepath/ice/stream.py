"""One data stream of an agent: its generations, candidates and the pair in use per component.

A `Generation` is what one pair of descriptions belongs to: credentials of both sides, candidates and a
checklist. A restart (RFC 8445 §9) begins a new one; the old one keeps carrying data and consent until
the new one has selected its pairs.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Never, final

from icepath.entropy import IceCredentials, Secret
from icepath.errors import Cause
from icepath.ice.candidate import LocalCandidate
from icepath.ice.checklist import Checklist, ChecklistState
from icepath.ice.pair import CandidatePair, PairKey
from icepath.ice.renomination import Renomination
from icepath.net import Address, Instant
from icepath.wire.candidate_line import Candidate
from icepath.wire.integrity import IntegrityKey, short_term_key

_COMPLETED: Final = ChecklistState.COMPLETED
# Stands in every generation for what is rarely anything: a set of its own takes 216 bytes when empty.
_EMPTY: Final[frozenset[Never]] = frozenset()


class EarlyCheck(NamedTuple):
    """Is a check answered before the remote description came (RFC 8445 §7.3): kept to be followed up."""

    local: Address
    remote: Address
    remote_ufrag: str
    priority: int
    use_candidate: bool
    nomination: int | None = None
    """The value of NOMINATION, in either form."""


@final
class Remote:
    """Is the other side of one generation, as its description tells it."""

    __slots__ = ("is_lite", "key", "options", "pacing", "password", "ufrag")

    def __init__(
        self, ufrag: str, password: Secret, *, options: tuple[str, ...], pacing: int | None, is_lite: bool
    ) -> None:
        self.ufrag = ufrag
        self.password = password
        self.key = short_term_key(password)
        self.options = options
        self.pacing = pacing
        self.is_lite = is_lite


@final
class Generation:
    """Is one ICE session of a stream, from its descriptions to its selected pairs."""

    __slots__ = (
        "candidates",
        "checklist",
        "concluded",
        "credentials",
        "early_checks",
        "failure",
        "key",
        "learnt",
        "lost",
        "nominated",
        "number",
        "proven",
        "remote",
        "remote_candidates",
        "remote_ended",
        "renomination",
        "started",
        "was_refused",
    )

    def __init__(self, number: int, credentials: IceCredentials) -> None:
        self.number = number
        self.credentials = credentials
        self.key: IntegrityKey = short_term_key(credentials.password)
        self.remote: Remote | None = None
        # Announced local candidates, by address and component.
        self.candidates: dict[tuple[Address, int], LocalCandidate] = {}
        # Every candidate of the other side, by address and component.
        self.remote_candidates: dict[tuple[Address, int], Candidate] = {}
        # Those of them that no description told: learnt from checks (RFC 8445 §7.3.1.3).
        self.learnt: frozenset[tuple[Address, int]] = _EMPTY
        self.remote_ended = False
        self.checklist = Checklist()
        self.early_checks: list[EarlyCheck] = []
        self.nominated: dict[int, CandidatePair] = {}
        # Components that have, or had, a nominated pair: they get no other (RFC 8445 §8.1.1).
        self.concluded: tuple[int, ...] = ()
        # Where consent was lost: never to be checked again in this session (RFC 7675 §5.1).
        self.lost: frozenset[PairKey] = _EMPTY
        # Where authentic checks came from: data is taken from there, whatever became of the pair (RFC 8445 §12.2).
        self.proven: set[PairKey] = set()
        # When checks could begin: both descriptions are known (RFC 8863 §4).
        self.started: Instant | None = None
        # Is what both sides agreed on; None is plain RFC 8445.
        self.renomination: Renomination | None = None
        # The other side answered a check with 401: the descriptions do not belong together.
        self.was_refused = False
        # Why the stream has no path, once that is certain.
        self.failure: Cause | None = None

    def local_at(self, address: Address, component: int) -> LocalCandidate | None:
        """Returns the local candidate with this transport address."""
        return self.candidates.get((address, component))

    def count_announced(self) -> int:
        """Returns how many remote candidates were told; those learnt from checks have a limit of their own."""
        return len(self.remote_candidates) - len(self.learnt)

    def prove(self, local: Address, remote: Address, limit: int) -> None:
        """Notes that an authentic check came along this path."""
        if len(self.proven) < limit:
            self.proven.add(PairKey(local, remote))


@final
class Stream:
    """Is one data stream: components, generations, and the pair in use per component."""

    __slots__ = ("active", "changes", "components", "current", "id", "previous", "selected")

    def __init__(self, stream_id: int, components: int, credentials: IceCredentials) -> None:
        self.id = stream_id
        self.components = range(1, components + 1)
        self.current = Generation(0, credentials)
        self.previous: Generation | None = None
        # The pair that data is sent on now: the nominated one, or the best valid one before that.
        self.active: dict[int, CandidatePair] = {}
        # The pair last reported as selected.
        self.selected: dict[int, CandidatePair] = {}
        # Per component, the id of the pair in use when it was last looked at, and how often it has changed.
        self.changes: dict[int, tuple[int, int]] = {}

    def count_change(self, component: int, pair_id: int) -> None:
        """Counts a change of the pair in use, if it is one; the id 0 stands for none."""
        known, changes = self.changes.get(component, (0, 0))
        if pair_id != known:
            self.changes[component] = (pair_id, changes + 1)

    def generations(self) -> tuple[Generation, ...]:
        """Returns the current generation and, during a restart, the one before it."""
        return (self.current,) if self.previous is None else (self.current, self.previous)

    def by_ufrag(self, ufrag: str) -> Generation | None:
        """Returns the generation with this local ufrag."""
        for generation in self.generations():
            if generation.credentials.ufrag == ufrag:
                return generation
        return None

    def pair_at(self, local: Address, remote: Address) -> CandidatePair | None:
        """Returns the pair that sends from `local` to `remote`, of the newest generation that has it."""
        key = PairKey(local, remote)
        for generation in self.generations():
            pair = generation.checklist.pairs.get(key)
            if pair is not None:
                return pair
        return None

    def has_proven(self, local: Address, remote: Address) -> bool:
        """Says whether an authentic check came along this path, in this session or the one before."""
        return any(PairKey(local, remote) in generation.proven for generation in self.generations())

    @property
    def is_selected(self) -> bool:
        """Says whether every component has a nominated pair in the current generation."""
        return self.current.checklist.state is _COMPLETED

    @property
    def is_usable(self) -> bool:
        """Says whether every component has a pair to send on."""
        return len(self.active) == len(self.components)
