"""What gateways know of TCP connections: which remote ends one inside endpoint has to do with, and how far.

NATs and firewalls share it. The states are those of RFC 7857 §2, kept as who has sent SYN and FIN; the two
timeouts are RFC 5382 REQ-5's. Simultaneous open needs no rule of its own: a SYN from where ours went is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from icepath.net import Address, Instant, Seconds
from icepath.sim.behaviour import Behaviour, remote_key
from icepath.sim.packet import Segment

_OUT: Final = 1
_IN: Final = 2
_BOTH: Final = 3


@dataclass(frozen=True, slots=True)
class TcpTimeouts:
    """Says how long idle connections are kept."""

    # RFC 5382 REQ-5: not less than 2 hours 4 minutes, and not less than 4 minutes.
    established: Seconds = 7440.0
    transitory: Seconds = 240.0
    """While it opens, closes, or after an RST (RFC 7857 §2.2)."""


class _Tracked:
    __slots__ = ("expires", "fin", "is_reset", "syn")

    def __init__(self) -> None:
        self.expires: Instant = 0.0
        self.syn = 0
        self.fin = 0
        self.is_reset = False


class Connections:
    """Keeps the connections of one inside endpoint."""

    __slots__ = ("_by_remote", "_timeouts")

    def __init__(self, timeouts: TcpTimeouts) -> None:
        self._timeouts = timeouts
        self._by_remote: dict[Address, _Tracked] = {}

    @property
    def expires(self) -> Instant:
        """Returns when the last of them is forgotten."""
        return max((tracked.expires for tracked in self._by_remote.values()), default=0.0)

    def knows(self, remote: Address, now: Instant) -> bool:
        """Says whether there is a connection with the remote end."""
        tracked = self._by_remote.get(remote)
        return tracked is not None and tracked.expires > now

    def may_open(self, filtering: Behaviour, remote: Address, now: Instant) -> bool:
        """Says whether the filter lets the remote end ask for a connection (RFC 5382 §4.3)."""
        if filtering is Behaviour.ENDPOINT_INDEPENDENT:
            return self.expires > now
        wanted = remote_key(filtering, remote)
        return any(
            tracked.expires > now and remote_key(filtering, known) == wanted
            for known, tracked in self._by_remote.items()
        )

    def admits(self, filtering: Behaviour, remote: Address, segment: Segment, now: Instant) -> bool:
        """Says whether a segment from outside may come in: of a connection, or to open one."""
        return self.knows(remote, now) or (segment.opens and self.may_open(filtering, remote, now))

    def track(self, remote: Address, segment: Segment, now: Instant, *, inbound: bool) -> None:
        """Notes a segment that passes."""
        tracked = self._by_remote.get(remote)
        if tracked is None or tracked.expires <= now or (segment.opens and _is_over(tracked)):
            self._sweep(now)
            tracked = self._by_remote[remote] = _Tracked()
        side = _IN if inbound else _OUT
        if segment.syn:
            tracked.syn |= side
        if segment.fin:
            tracked.fin |= side
        # A packet after an RST shows that the RST was not the end.
        tracked.is_reset = segment.rst
        is_established = tracked.syn == _BOTH and not _is_over(tracked)
        tracked.expires = now + (self._timeouts.established if is_established else self._timeouts.transitory)

    def _sweep(self, now: Instant) -> None:
        for remote in [remote for remote, tracked in self._by_remote.items() if tracked.expires <= now]:
            del self._by_remote[remote]


def _is_over(tracked: _Tracked) -> bool:
    return tracked.is_reset or tracked.fin == _BOTH
