"""Channels, the client's side: which number stands for which peer, bound, kept and retired.

A part of `Allocation` (RFC 8656 §12). A binding lives 10 minutes on the server and is renewed one minute
before its end. A refused or unanswered ChannelBind is told once and not repeated: data goes on in Send
indications.

A number and its peer stay married: after a binding's end neither is bound otherwise until RFC 8656 §12's
5 minutes are over, counted from the latest moment at which the server may still believe in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import Final, final

from icepath.net import Address, Instant, Seconds
from icepath.outbox import Outbox
from icepath.timers import Timers
from icepath.turn.client.events import AllocationEvent, ChannelBound, ChannelFailed
from icepath.turn.client.exchange import Answer, Outcome, Purpose, Request
from icepath.turn.client.requests import Requests
from icepath.wire.attributes import MAX_CHANNEL, MIN_CHANNEL, ChannelNumber, XorPeerAddress

# RFC 8656 §12: "A channel binding lasts for 10 minutes unless refreshed".
CHANNEL_LIFETIME: Final[Seconds] = 600.0
# One minute is left for the answer: more than one whole transaction (39.5 s) fits in.
CHANNEL_RENEWAL: Final[Seconds] = 540.0
# RFC 8656 §12: "the client MUST wait 5 minutes after the channel binding expires".
CHANNEL_QUARANTINE: Final[Seconds] = 300.0


class _Status(Enum):
    ASKED = auto()
    BOUND = auto()
    ENDED = auto()
    """Refused, expired or given up; kept for its quarantine."""


class _Channel:
    __slots__ = ("number", "peer", "reusable_at", "status", "until")

    def __init__(self, number: int, peer: Address) -> None:
        self.number: Final = number
        self.peer: Final = peer
        self.status = _Status.ASKED
        self.until: Instant = 0.0
        """When a bound channel ends, no later than the server thinks."""
        self.reusable_at: Instant = 0.0
        """When an ended channel is out of quarantine."""


@final
class Channels:
    """Keeps the channels of one allocation."""

    __slots__ = ("_by_number", "_by_peer", "_next_number", "_outbox", "_requests", "_timers")

    def __init__(self, requests: Requests, outbox: Outbox[AllocationEvent]) -> None:
        self._requests = requests
        self._outbox = outbox
        self._by_peer: dict[Address, _Channel] = {}
        self._by_number: dict[int, _Channel] = {}
        self._next_number = MIN_CHANNEL
        # A bound channel's renewal, or its end when the renewal is out.
        self._timers: Timers[Address] = Timers()

    def is_wanted(self, peer: Address) -> bool:
        """Says whether a channel to the peer is asked for or bound."""
        channel = self._by_peer.get(peer)
        return channel is not None and channel.status is not _Status.ENDED

    def channel_of(self, peer: Address) -> int | None:
        """Returns the peer's channel when it is bound, else None."""
        channel = self._by_peer.get(peer)
        return channel.number if channel is not None and channel.status is _Status.BOUND else None

    def usable_channel(self, peer: Address, now: Instant) -> int | None:
        """Returns the peer's channel when data may be sent on it now, else None."""
        channel = self._by_peer.get(peer)
        if channel is None or channel.status is not _Status.BOUND or channel.until <= now:
            return None
        return channel.number

    def peer_of(self, number: int) -> Address | None:
        """Returns whose data comes on a channel, else None.

        RFC 8656 §12: "be prepared to receive ChannelData messages [...] as soon as it has sent the
        ChannelBind request".
        """
        channel = self._by_number.get(number)
        return channel.peer if channel is not None and channel.status is not _Status.ENDED else None

    def bind(self, peer: Address, now: Instant) -> bool:
        """Asks for a channel, unless there is one or the peer's last one is in quarantine.

        Says whether a request left now.
        """
        known = self._by_peer.get(peer)
        if known is not None:
            if known.status is not _Status.ENDED or known.reusable_at > now:
                return False
            self._forget(known)
        number = self._free_number(now)
        if number is None:
            self._outbox.put(ChannelFailed(peer, None))
            return False
        channel = _Channel(number, peer)
        self._by_peer[peer] = self._by_number[number] = channel
        return self._requests.submit(_request(channel, is_paced=True), now)

    def release(self, hosts: Iterable[str], now: Instant) -> None:
        """Ends the channels of these hosts: no renewal, no data."""
        released = frozenset(hosts)
        for channel in self._by_peer.values():
            if channel.peer.host in released and channel.status is not _Status.ENDED:
                self._end(channel, now)

    def clear(self) -> None:
        """Forgets everything: the allocation is gone, and its channels with it."""
        self._by_peer.clear()
        self._by_number.clear()
        self._timers.clear()

    def on_answer(self, answer: Answer, now: Instant) -> None:
        """Takes the end of a ChannelBind."""
        peer = answer.request.peer
        channel = None if peer is None else self._by_peer.get(peer)
        if channel is None or channel.status is _Status.ENDED:
            return
        if answer.outcome is Outcome.SUCCEEDED:
            channel.status = _Status.BOUND
            channel.until = answer.sent_at + CHANNEL_LIFETIME
            self._timers.set(channel.peer, max(now, answer.sent_at + CHANNEL_RENEWAL))
            self._outbox.put(ChannelBound(channel.peer, channel.number, channel.until))
        elif answer.outcome is Outcome.TIMED_OUT and channel.status is _Status.BOUND and channel.until > now:
            self._renew(channel, now)
        else:
            self._end(channel, now)
            self._outbox.put(ChannelFailed(channel.peer, answer.code))

    def handle_timeout(self, now: Instant) -> None:
        """Renews what is due, and ends what was not renewed in time."""
        while (peer := self._timers.pop_due(now)) is not None:
            channel = self._by_peer[peer]
            if channel.until <= now:
                self._end(channel, now)
                self._outbox.put(ChannelFailed(peer, None))
            else:
                self._renew(channel, now)

    def next_deadline(self) -> Instant | None:
        """Returns when a renewal is due, or an end, or None."""
        return self._timers.next_deadline()

    def _renew(self, channel: _Channel, now: Instant) -> None:
        self._requests.submit(_request(channel, is_paced=False), now)
        self._timers.set(channel.peer, channel.until)

    def _end(self, channel: _Channel, now: Instant) -> None:
        channel.status = _Status.ENDED
        # A request may have reached the server just now, and its answer been lost.
        channel.reusable_at = now + CHANNEL_LIFETIME + CHANNEL_QUARANTINE
        self._timers.cancel(channel.peer)

    def _free_number(self, now: Instant) -> int | None:
        """Returns the next number; numbers come round again only when all have been used."""
        number = self._next_number
        for _ in range(MIN_CHANNEL, MAX_CHANNEL + 1):
            used = self._by_number.get(number)
            following = MIN_CHANNEL if number == MAX_CHANNEL else number + 1
            if used is None or (used.status is _Status.ENDED and used.reusable_at <= now):
                if used is not None:
                    self._forget(used)
                self._next_number = following
                return number
            number = following
        return None

    def _forget(self, channel: _Channel) -> None:
        del self._by_peer[channel.peer]
        del self._by_number[channel.number]


def _request(channel: _Channel, *, is_paced: bool) -> Request:
    attributes = (ChannelNumber(channel.number), XorPeerAddress(channel.peer))
    return Request(Purpose.CHANNEL, attributes, is_paced, (channel.peer.host,), channel.peer)
