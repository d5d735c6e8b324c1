"""Lite agents: host candidates only, no checks of their own, the other side decides.

A full agent checks and nominates; what it nominates is in use at once (RFC 8445 §7.3.2, §8.2). Two lite agents
check nothing: each takes the pair of the highest priority of every component, which both compute alike, so no
updated candidates are needed to agree. Consent is the full agent's to ask for (RFC 7675 §4): a lite one trusts
what was nominated, and once it has seen the other side renew, takes its silence as the end.
"""

from __future__ import annotations

from math import inf
from typing import Final

from icepath.ice.consent import Consent
from icepath.ice.pair import CandidatePair, PairState
from icepath.ice.stream import Generation, Stream
from icepath.net import Instant, Seconds

# RFC 7675 §5.1: consent checks are at least this far apart, so a check this long after nomination renews consent.
RENEWAL: Final[Seconds] = 4.0


def accept(pair: CandidatePair, *, now: Instant) -> None:
    """Puts a pair that the full agent nominated on the valid list (RFC 8445 §7.3.2)."""
    pair.state = PairState.SUCCEEDED
    if pair.valid is None:
        pair.valid = pair.local
        pair.valid_since = now


def trust(consent: Consent, pair: CandidatePair, *, now: Instant) -> None:
    """Lets data be sent on a nominated pair: for good, or for 30 s at a time once the other side renews consent."""
    assert pair.valid_since is not None  # only nominated pairs are trusted
    if pair.consent_until not in (None, inf) or now - pair.valid_since >= RENEWAL:
        consent.grant(pair, now=now)
        return
    pair.consent_until = inf
    pair.last_heard = now
    consent.permit_flow(pair)


def select(stream: Stream, generation: Generation, *, now: Instant) -> list[CandidatePair]:
    """Returns, of two lite agents, the pair of each component to use, once all candidates are known (RFC 8445 §8.2)."""
    remote = generation.remote
    if remote is None or not remote.is_lite:
        return []
    if not generation.remote_ended and "trickle" in remote.options:
        return []
    chosen: list[CandidatePair] = []
    for component in stream.components:
        fitting = [pair for pair in generation.checklist.pairs.values() if pair.component == component]
        if fitting and component not in generation.concluded:
            best = max(fitting, key=_by_priority)
            accept(best, now=now)
            chosen.append(best)
    return chosen


def _by_priority(pair: CandidatePair) -> int:
    return pair.priority
