"""What an application does about DTLS in STUN: it sends flights and says when its handshake is complete.

The packets that come are `EmbeddedReceived` events. Whoever answers one in the same turn of the driver (before the
`handle_timeout` that is due then) has its answer ride on the answer to the check. draft-hancke-webrtc-sped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, final

from icepath.errors import InvalidArgument, InvalidState
from icepath.ice.core import Core
from icepath.ice.embedding import Embedding, room
from icepath.net import Instant

# What the other side's ufrag may have, as long as it is not known; the usual ones have 4 to 32.
MAX_EXPECTED_UFRAG: Final = 32


@final
class Flights:
    """Is an agent's verbs for the handshake: each is one of the agent, and takes the time."""

    __slots__ = ("_begin", "_core", "_finish")

    def __init__(self, core: Core, begin: Callable[[Instant], Instant], finish: Callable[[Instant], None]) -> None:
        self._core = core
        self._begin = begin
        self._finish = finish

    def send(self, packets: Sequence[bytes], *, stream: int = 1, component: int = 1, now: Instant) -> None:
        """Sends a flight on checks and answers, again and again until each packet is acknowledged.

        It takes the place of what was pending; the same flight again is a resend. Where there is a path already, each
        packet is sent on it at once besides; where the other side takes no part, as soon as there is one.
        Raises: InvalidState without `AgentConfig.sped`; InvalidArgument when it is no DTLS, or longer than `room`.
        """
        now = self._begin(now)
        self._of(stream, component).begin(packets, self.room(stream))
        self._finish(now)

    def finish(self, *, sent_last: bool, stream: int = 1, component: int = 1, now: Instant) -> None:
        """Tells that the handshake is complete on this side; from then on nothing is reported.

        `sent_last` says whether its very last flight was ours, as a server's is in DTLS 1.2 and a client's in 1.3:
        that one is repeated until it is acknowledged (§3.3.3).
        """
        now = self._begin(now)
        self._of(stream, component).finish(sent_last=sent_last)
        self._finish(now)

    def room(self, stream: int = 1) -> int:
        """Returns how many bytes a packet may have: the MTU that the handshake is to be cut to (§3.4.1)."""
        known = self._core.streams.get(stream)
        if known is None:
            raise InvalidArgument(f"stream {stream}: there are 1 to {len(self._core.streams)}")
        remote = known.current.remote
        theirs = MAX_EXPECTED_UFRAG if remote is None else len(remote.ufrag)
        return room(len(known.current.credentials.ufrag) + 1 + theirs)

    def _of(self, stream: int, component: int) -> Embedding:
        if not self._core.embeddings:
            raise InvalidState("nothing rides on checks without AgentConfig(sped=True)")
        found = self._core.embeddings.get((stream, component))
        if found is None:
            raise InvalidArgument(f"there is no component {component} of stream {stream}")
        return found
