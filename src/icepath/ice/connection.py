"""One TCP connection of an agent: how it is cut into frames, and what one that nobody knows may cost.

The frames are RFC 4571's for as long as it is open (RFC 6544 §7.1, §7.2). The first frame of either side is STUN, as
nothing else may be sent before a check; whoever begins otherwise speaks something else (§7.1). Until a check has
proved who is there, little is taken. Which connections there are, and what becomes of them, is tcp.py's.
"""

from __future__ import annotations

from typing import Final, final

from icepath.machine import Bytes, Handle
from icepath.net import Address
from icepath.wire.framing import Rfc4571Framer, frame_rfc4571
from icepath.wire.message import looks_like_stun

# A check is a few hundred octets, and its sender waits for the answer before it says more.
MAX_UNPROVEN_OCTETS: Final = 4096


@final
class Connection:
    """Is one connection, from the attempt, or from when it was accepted, to its end."""

    __slots__ = (
        "_framer",
        "_has_spoken",
        "_octets",
        "handle",
        "is_accepted",
        "is_open",
        "is_proven",
        "local",
        "remote",
    )

    def __init__(self, handle: Handle, local: Address, remote: Address, *, is_accepted: bool) -> None:
        self.handle = handle
        # The base: our listener's address, for connections that we open as well.
        self.local = local
        self.remote = remote
        self.is_accepted = is_accepted
        self.is_open = is_accepted
        # Who is there is known; of those that we open, the other side's description says it.
        self.is_proven = not is_accepted
        self._framer = Rfc4571Framer()
        self._octets = 0
        self._has_spoken = False

    def cut(self, data: bytes) -> list[bytes] | None:
        """Takes the next bytes and returns the payloads that are whole; None when it is to be given up."""
        if not self.is_proven:
            self._octets += len(data)
            if self._octets > MAX_UNPROVEN_OCTETS:
                return None
        payloads = self._framer.feed(data)
        if payloads and not self._has_spoken:
            self._has_spoken = True
            if not looks_like_stun(payloads[0]):
                return None
        return payloads

    def framed(self, payload: bytes, *, is_data: bool) -> Bytes:
        """Returns a payload as it is sent; data may be dropped when the connection is full, STUN may not."""
        return Bytes(self.handle, frame_rfc4571(payload), droppable=is_data)
