"""Channels, the server's side: which number stands for which peer of an allocation (RFC 8656 §12).

Expiry is looked at when a channel is used, so nothing wakes up for it; expired ones make room when room is
needed, or their number or peer is.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, final

from icepath.net import Address, Instant, Seconds

# RFC 8656 §12: "A channel binding lasts for 10 minutes unless refreshed".
CHANNEL_LIFETIME: Final[Seconds] = 600.0


class BindVerdict(Enum):
    """Is what became of a ChannelBind."""

    BOUND = auto()
    CONFLICT = auto()
    """The number is another peer's, or the peer has another number."""
    NO_ROOM = auto()


@final
class ChannelTable:
    """Keeps the channels of one allocation."""

    __slots__ = ("_by_number", "_by_peer", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._by_number: dict[int, tuple[Address, Instant]] = {}
        self._by_peer: dict[Address, int] = {}

    def bind(self, number: int, peer: Address, now: Instant) -> BindVerdict:
        """Binds the channel to the peer, or refreshes the binding."""
        held_by, held = self.peer_of(number, now), self.channel_to(peer, now)
        if (held_by is not None and held_by != peer) or (held is not None and held != number):
            return BindVerdict.CONFLICT
        if held is None:
            self._purge(now)
            if len(self._by_number) >= self._limit:
                return BindVerdict.NO_ROOM
        self._by_number[number] = (peer, now + CHANNEL_LIFETIME)
        self._by_peer[peer] = number
        return BindVerdict.BOUND

    def peer_of(self, number: int, now: Instant) -> Address | None:
        """Returns the peer a channel is bound to, or None."""
        entry = self._by_number.get(number)
        return entry[0] if entry is not None and entry[1] > now else None

    def channel_to(self, peer: Address, now: Instant) -> int | None:
        """Returns the channel bound to a peer, or None."""
        number = self._by_peer.get(peer)
        return number if number is not None and self.peer_of(number, now) is not None else None

    def remove_family(self, *, is_ipv6: bool) -> None:
        """Forgets the channels of one family (RFC 8656 §8.1)."""
        for peer in [peer for peer in self._by_peer if peer.is_ipv6 == is_ipv6]:
            del self._by_number[self._by_peer.pop(peer)]

    def _purge(self, now: Instant) -> None:
        for number, (peer, until) in list(self._by_number.items()):
            if until <= now:
                del self._by_number[number]
                del self._by_peer[peer]
