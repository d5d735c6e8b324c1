"""The race between a controlling side's updated offer and the checks that it tells the outcome of.

The offer names the pairs it selected, from its view: our candidates in a=remote-candidates, its own as default
destinations. Whether the answer can confirm them at once depends on what our own checks have found by then.
RFC 8839 §4.4.2, Appendix B.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from icepath.ice.events import PairSnapshot
from icepath.ice.pair import PairState
from icepath.net import Address
from icepath.sdp.lines import Destination, RemoteCandidate
from icepath.sdp.settling import Stream
from icepath.sdp.writing import SelectedPair


class Race(Enum):
    """Is who won."""

    WON = auto()
    """Every pair is valid here too: answer with `selected`."""
    WAIT = auto()
    """Some are still being checked: judge again when a check has ended, then answer."""
    LOST = auto()
    """The network failed in between: answer as if a=remote-candidates were not there, then restart."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Is the outcome for one stream."""

    race: Race
    selected: tuple[SelectedPair, ...] = ()
    """For `LocalStream`: empty unless won, and where the offer named none."""


def judge_race(stream: Stream, pairs: Sequence[PairSnapshot]) -> Judgement:
    """Returns how to answer an offer's stream, by the agent's pairs of that stream as they stand.

    RFC: 8839 §4.4.2.
    """
    selected: list[SelectedPair] = []
    is_lost = False
    for named in stream.remote_candidates:
        destination = _destination(stream, named)
        if destination is None:
            return Judgement(Race.LOST)
        of_remote = [pair for pair in pairs if _is_to(pair, named.component, destination)]
        winner = next((pair for pair in of_remote if pair.is_valid and _is_from(pair, named)), None)
        if winner is not None:
            selected.append(SelectedPair(named.component, winner.local, winner.remote_address))
            continue
        states = {pair.state for pair in of_remote}
        if PairState.IN_PROGRESS in states or PairState.FAILED not in states:
            return Judgement(Race.WAIT)
        is_lost = True
    return Judgement(Race.LOST) if is_lost else Judgement(Race.WON, tuple(selected))


def _destination(stream: Stream, named: RemoteCandidate) -> Address | None:
    """Returns the offerer's default destination of the component, where it is one."""
    at = named.component - 1
    told: Destination | None = stream.destinations[at] if at < len(stream.destinations) else None
    return None if told is None or told.is_name or told.is_unspecified else told.address


def _is_to(pair: PairSnapshot, component: int, remote: Address) -> bool:
    return pair.component == component and pair.remote_address == remote


def _is_from(pair: PairSnapshot, named: RemoteCandidate) -> bool:
    return (pair.local.host, pair.local.port) == named.address
