"""Beginning a new ICE session on a stream, and giving up local addresses (RFC 8445 §9).

The old generation stays until the new one has selected its pairs: data and consent go on over it.
"""

from __future__ import annotations

from collections.abc import Iterable

from icepath.entropy import IceCredentials
from icepath.errors import InvalidArgument
from icepath.ice.conclusion import Conclusion
from icepath.ice.consent import Consent
from icepath.ice.core import Core, Relay, Socket, TimerKey, TimerKind
from icepath.ice.gathering import Gatherer
from icepath.ice.pairing import discard_pair
from icepath.ice.stream import Generation, Stream
from icepath.net import Instant


def check_fresh(streams: Iterable[Stream], credentials: IceCredentials) -> None:
    """Raises InvalidArgument unless both ufrag and password are new to the streams.

    RFC: 8445 §9 ("an agent MUST change both the password and the username fragment").
    """
    for stream in streams:
        for known in [generation.credentials for generation in stream.generations()]:
            if credentials.ufrag == known.ufrag or credentials.password == known.password:
                raise InvalidArgument("a restart needs a new ufrag and password (RFC 8445 §9)")


def restart_stream(
    core: Core, consent: Consent, gatherer: Gatherer, stream: Stream, credentials: IceCredentials, *, now: Instant
) -> None:
    """Puts a new generation in the current one's place and announces the local candidates under it."""
    old = stream.current
    if stream.previous is None:
        stream.previous = old
    else:
        # A restart of a restart: the session in use stays, the one that never got there goes.
        for pair in list(old.checklist.pairs.values()):
            consent.unwatch(pair)
            discard_pair(core, old, pair)
    stream.current = Generation(old.number + 1, credentials)
    core.checklists.put(stream.id, stream.current.checklist)
    for pair in list(old.checklist.pairs.values()):
        if pair.valid is None:
            discard_pair(core, old, pair)
    for kind in (TimerKind.PATIENCE, TimerKind.RECHECK, TimerKind.NOMINATION):
        core.timers.cancel(TimerKey(kind, stream.id))
    gatherer.announce_again(stream.id, old, now=now)


def remove_base(core: Core, conclusion: Conclusion, socket: Socket) -> None:
    """Takes everything that sends from a base out of use."""
    stream = core.streams[socket.stream]
    for generation in stream.generations():
        for key, local in list(generation.candidates.items()):
            if local.base == socket.address:
                del generation.candidates[key]
        for pair in list(generation.checklist.pairs.values()):
            if pair.local.base == socket.address:
                conclusion.on_lost(stream, generation, pair)


def remove_relay(core: Core, conclusion: Conclusion, relay: Relay, *, now: Instant) -> None:
    """Releases an allocation and takes its relayed addresses out of use."""
    relay.is_over = False
    for address in relay.relayed:
        socket = core.sockets.pop(address, None)
        if socket is not None:
            remove_base(core, conclusion, socket)
    relay.allocation.close(now=now)
    core.settle(relay, now=now)
