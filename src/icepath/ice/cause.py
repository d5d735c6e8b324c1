"""Which `Cause` holds when no path was found, or a server was of no use: the most telling first."""

from __future__ import annotations

from typing import Final

from icepath.errors import Cause
from icepath.ice.core import Core
from icepath.ice.pairing import is_passive
from icepath.ice.stream import Generation, Stream
from icepath.machine import FailReason
from icepath.turn.client.events import AllocationFailure
from icepath.wire.candidate_line import TcpType

_ALLOCATION_CAUSES: Final[dict[AllocationFailure, Cause]] = {
    AllocationFailure.NO_ANSWER: Cause.SERVER_UNREACHABLE,
    AllocationFailure.UNREACHABLE: Cause.SERVER_UNREACHABLE,
    AllocationFailure.NOT_CONNECTED: Cause.SERVER_UNREACHABLE,
    AllocationFailure.CONNECTION_LOST: Cause.SERVER_UNREACHABLE,
    AllocationFailure.TOKEN_NEEDED: Cause.WRONG_CREDENTIALS,
    AllocationFailure.CREDENTIALS_NEEDED: Cause.WRONG_CREDENTIALS,
    AllocationFailure.WRONG_CREDENTIALS: Cause.WRONG_CREDENTIALS,
    AllocationFailure.QUOTA: Cause.ALLOCATION_QUOTA,
    AllocationFailure.UNSUPPORTED_FAMILY: Cause.UNSUPPORTED,
    AllocationFailure.UNSUPPORTED_TRANSPORT: Cause.UNSUPPORTED,
}
_NAME_CAUSES: Final[dict[FailReason, Cause]] = {
    FailReason.UNSUPPORTED: Cause.UNSUPPORTED,
    FailReason.UNREACHABLE: Cause.SERVER_UNREACHABLE,
}


def cause_of_allocation(reason: AllocationFailure) -> Cause:
    """Returns why a TURN server gave no relay, or took it back."""
    return _ALLOCATION_CAUSES.get(reason, Cause.SERVER_REFUSED)


def cause_of_name(reason: FailReason) -> Cause:
    """Returns why a server's name led nowhere."""
    return _NAME_CAUSES.get(reason, Cause.SERVER_NAME_NOT_FOUND)


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
