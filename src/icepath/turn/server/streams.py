"""Clients that come by byte streams or DTLS associations (RFC 8656 §3.1): who they are, and their messages.

A part of `TurnServer`. A stream is one five-tuple, and its handle is part of it, so that a UDP client at the same
address and port is somebody else. One that has no allocation is closed after half a minute, one that sends what
is no message at once; their number is bounded.
"""

from __future__ import annotations

from typing import Final, final

from icepath.errors import DecodeError
from icepath.machine import LAST_STUN_BYTE, Accepted, Bytes, DropReason, Handle, Security
from icepath.net import Instant, Seconds
from icepath.stun.transaction import drop_reason
from icepath.timers import Timers
from icepath.turn.server.exchange import FiveTuple
from icepath.wire.framing import StunFramer

# A client allocates with its second request; one that has not by then is not going to.
IDLE_TIME: Final[Seconds] = 30.0


@final
class ClientStreams:
    """Keeps the streams of clients."""

    __slots__ = ("_clients", "_fresh", "_limit", "_timers")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._clients: dict[Handle, tuple[FiveTuple, StunFramer | None]] = {}
        # Those that have said nothing yet.
        self._fresh: set[Handle] = set()
        self._timers: Timers[Handle] = Timers()

    def accept(self, accepted: Accepted, now: Instant) -> bool:
        """Takes in a stream; False when there are too many."""
        if len(self._clients) >= self._limit:
            return False
        five_tuple = FiveTuple(accepted.local, accepted.remote, accepted.handle)
        framer = None if accepted.security is Security.DTLS else StunFramer()
        self._clients[accepted.handle] = (five_tuple, framer)
        if framer is not None:
            self._fresh.add(accepted.handle)
        self._timers.set(accepted.handle, now + IDLE_TIME)
        return True

    def client_of(self, handle: Handle) -> FiveTuple | None:
        """Returns whose stream it is, or None."""
        found = self._clients.get(handle)
        return None if found is None else found[0]

    def read(self, arrival: Bytes) -> list[bytes] | DropReason:
        """Returns the messages that are whole now, or why the stream is to be closed."""
        _, framer = self._clients[arrival.handle]
        if framer is None:
            return [arrival.payload]
        if arrival.handle in self._fresh and arrival.payload:
            # Nobody has a channel yet: "GE" of an HTTP client would pass for the number of one.
            if arrival.payload[0] > LAST_STUN_BYTE:
                return DropReason.NOT_STUN
            self._fresh.discard(arrival.handle)
        try:
            return framer.feed(arrival.payload)
        except DecodeError as failure:
            return drop_reason(failure)

    def forget(self, handle: Handle) -> FiveTuple | None:
        """Forgets a stream; returns whose it was."""
        found = self._clients.pop(handle, None)
        self._timers.cancel(handle)
        self._fresh.discard(handle)
        return None if found is None else found[0]

    def keep(self, handle: Handle, now: Instant) -> None:
        """Lets a stream that has an allocation live on; it is looked at again."""
        self._timers.set(handle, now + IDLE_TIME)

    def pop_idle(self, now: Instant) -> Handle | None:
        """Returns a stream to look at: without an allocation its time is over."""
        return self._timers.pop_due(now)

    def next_deadline(self) -> Instant | None:
        """Returns when a stream is to be looked at, or None."""
        return self._timers.next_deadline()

    def handles(self) -> list[Handle]:
        """Returns every stream's handle."""
        return list(self._clients)
