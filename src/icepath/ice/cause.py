"""Which `Cause` holds when no path was found: read off what the agent has seen, the most telling first."""

from __future__ import annotations

from icepath.errors import Cause
from icepath.ice.core import Core
from icepath.ice.pairing import is_passive
from icepath.ice.stream import Generation, Stream
from icepath.wire.candidate_line import TcpType


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
        return Cause.NO_CHECKS if _is_awaited(core, stream) else Cause.NO_COMMON_FAMILY
    if _was_refused(core, generation):
        return Cause.WRONG_PASSWORD
    if asked_server and not heard_server and not any(pair.counts.responses_received for pair in pairs):
        return Cause.UDP_BLOCKED
    return Cause.NO_ANSWER


def _is_awaited(core: Core, stream: Stream) -> bool:
    """Says whether the other side alone could have opened a TCP connection: no pair is on our checklist for that."""
    families = {
        socket.address.is_ipv6 for socket in core.sockets.values() if socket.is_tcp and socket.stream == stream.id
    }
    return any(
        candidate.tcp_type is TcpType.ACTIVE and address.is_ipv6 in families
        for (address, _), candidate in stream.current.remote_candidates.items()
    )


def _was_refused(core: Core, generation: Generation) -> bool:
    """Says whether checks arrived that our password does not verify, or answers that theirs does not."""
    if generation.was_refused or any(pair.was_refused for pair in generation.checklist.pairs.values()):
        return True
    return any(transaction.refused_responses for transaction in core.transactions)
