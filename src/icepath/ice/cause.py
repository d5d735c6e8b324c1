"""Which `Cause` holds when no path was found: read off what the agent has seen, the most telling first."""

from __future__ import annotations

from icepath.errors import Cause
from icepath.ice.core import Core
from icepath.ice.pairing import is_passive
from icepath.ice.stream import Generation, Stream


def cause_of_failure(core: Core, stream: Stream, *, heard_server: bool, asked_server: bool) -> Cause:
    """Returns why the stream has no path."""
    generation = stream.current
    if not generation.candidates:
        return Cause.NO_CANDIDATES
    if generation.remote is None or not generation.remote_candidates:
        return Cause.NO_REMOTE_CANDIDATES
    if is_passive(core, generation):
        return Cause.WRONG_PASSWORD if generation.was_refused else Cause.NO_CHECKS
    pairs = generation.checklist.pairs.values()
    if not pairs:
        return Cause.NO_COMMON_FAMILY
    if _was_refused(core, generation):
        return Cause.WRONG_PASSWORD
    if asked_server and not heard_server and not any(pair.counts.responses_received for pair in pairs):
        return Cause.UDP_BLOCKED
    return Cause.NO_ANSWER


def _was_refused(core: Core, generation: Generation) -> bool:
    """Says whether checks arrived that our password does not verify, or answers that theirs does not."""
    if generation.was_refused or any(pair.was_refused for pair in generation.checklist.pairs.values()):
        return True
    return any(transaction.refused_responses for transaction in core.transactions)
