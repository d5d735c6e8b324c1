"""What one TCP connection has to send, and what it has received: bookkeeping without time or packets.

`Outgoing` keeps bytes until they are acknowledged, and says which may go now: as far as the receiver's
window and the congestion window allow (RFC 5681, slow start and one cut per loss; RFC 6582 for several).
`Incoming` puts segments in order and says how much room is left. Sequence numbers count on without end.
"""

from __future__ import annotations

from typing import Final, NamedTuple

# RFC 5681 §3.2: the third duplicate acknowledgment is a loss.
_DUPLICATES: Final = 3
# RFC 6928 §2: what may go before anything was acknowledged.
_INITIAL_SEGMENTS: Final = 10
_UNLIMITED: Final = 1 << 62


class Piece(NamedTuple):
    """Is what one segment carries."""

    sequence: int
    payload: bytes
    fin: bool


class Outgoing:
    """Keeps what is not acknowledged yet."""

    __slots__ = (
        "_buffer",
        "_congestion",
        "_duplicates",
        "_fin_at",
        "_recover",
        "_threshold",
        "mss",
        "next",
        "una",
        "window",
    )

    def __init__(self, start: int, mss: int) -> None:
        self.una = start
        """The first byte that is not acknowledged."""
        self.next = start
        """The first that was never sent."""
        self.mss = mss
        self.window = 0
        """What the receiver has room for, from `una`."""
        self._buffer = bytearray()
        self._fin_at: int | None = None
        self._congestion = _INITIAL_SEGMENTS * mss
        self._threshold = _UNLIMITED
        self._duplicates = 0
        self._recover = start

    @property
    def queued(self) -> int:
        """Returns how many bytes are not acknowledged."""
        return len(self._buffer)

    @property
    def in_flight(self) -> int:
        """Returns how much was sent and is not acknowledged, FIN included."""
        return self.next - self.una

    @property
    def is_waiting(self) -> bool:
        """Says whether something is neither acknowledged nor given up, sent or not."""
        return bool(self._buffer) or self.in_flight > 0

    @property
    def is_finished(self) -> bool:
        """Says whether everything and the FIN are acknowledged."""
        return self._fin_at is not None and self.una > self._fin_at

    def append(self, payload: bytes) -> None:
        """Adds bytes."""
        self._buffer += payload

    def finish(self) -> None:
        """Says that nothing follows."""
        if self._fin_at is None:
            self._fin_at = self.una + len(self._buffer)

    def limit_segment(self, count: int) -> None:
        """Sends at most this much in one segment from now on."""
        self.mss = min(self.mss, count)

    def take(self) -> Piece | None:
        """Returns what may be sent now for the first time, or None."""
        end = self.una + len(self._buffer)
        allowed = self.una + min(self.window, self._congestion)
        count = min(self.mss, end - self.next, allowed - self.next)
        if self.in_flight and count < min(self.mss, end - self.next):
            count = 0  # RFC 9293 §3.8.6.2.1: a whole segment, when the windows allow
        fin_fits = self._fin_at is not None and self.next + max(count, 0) == self._fin_at
        if count <= 0 and not fin_fits:
            return None
        piece = self._piece(self.next, max(count, 0))
        self.next += len(piece.payload) + piece.fin
        return piece

    def oldest(self) -> Piece:
        """Returns the first piece that is not acknowledged, to send it again; in a closed window, one byte of it."""
        if not self.in_flight:
            self.next += 1  # a probe of a window that is closed (RFC 9293 §3.8.6.1)
        piece = self._piece(self.una, min(self.mss, self.in_flight, len(self._buffer)))
        self.next = max(self.next, self.una + len(piece.payload) + piece.fin)
        return piece

    def acknowledge(self, acknowledgment: int, window: int, *, is_bare: bool) -> bool:
        """Takes an acknowledgment, of a segment without payload when bare; says whether to send the oldest again."""
        before, self.window = self.window, window
        if acknowledgment > self.una:
            self._advance(acknowledgment)
            # RFC 6582 §3.2: a partial acknowledgment shows the next loss.
            return self.una < self._recover and self.in_flight > 0
        if acknowledgment < self.una or not self.in_flight:
            return False
        if before == 0:
            return window > 0
        self._duplicates += is_bare and window == before
        if self._duplicates == _DUPLICATES and self.una >= self._recover:
            self._cut()
            self._congestion = self._threshold
            return True
        return False

    def lose(self) -> None:
        """Notes that nothing was heard for too long."""
        self._cut()
        self._congestion = self.mss

    def _advance(self, acknowledgment: int) -> None:
        del self._buffer[: acknowledgment - self.una]
        self.una = acknowledgment
        self._duplicates = 0
        if self._congestion < self._threshold:
            self._congestion += self.mss
        else:
            self._congestion += max(1, self.mss * self.mss // self._congestion)

    def _cut(self) -> None:
        self._threshold = max(self.in_flight // 2, 2 * self.mss)
        self._recover = self.next
        self._duplicates = 0

    def _piece(self, sequence: int, count: int) -> Piece:
        start = sequence - self.una
        return Piece(sequence, bytes(self._buffer[start : start + count]), sequence + count == self._fin_at)


class Incoming:
    """Puts what arrives in order."""

    __slots__ = ("_discards", "_fin_at", "_later", "_ready", "capacity", "next")

    def __init__(self, start: int, capacity: int) -> None:
        self.next = start
        """The first byte that has not arrived."""
        self.capacity = capacity
        self._ready = bytearray()
        # sequence -> payload that arrived before its turn
        self._later: dict[int, bytes] = {}
        self._fin_at: int | None = None
        self._discards = False

    @property
    def held(self) -> int:
        """Returns how many bytes can be read."""
        return len(self._ready)

    @property
    def window(self) -> int:
        """Returns how many more bytes there is room for."""
        return max(0, self.capacity - len(self._ready))

    @property
    def has_fin(self) -> bool:
        """Says whether the far side's FIN has had its turn."""
        return self._fin_at is not None and self.next > self._fin_at

    def add(self, sequence: int, payload: bytes, fin: bool) -> None:
        """Takes a segment; what is beyond the window is cut off."""
        room = self.next + self.window - sequence
        if fin and len(payload) <= room:
            self._fin_at = sequence + len(payload)
        payload = payload[: max(0, room)]
        if payload and sequence + len(payload) > self.next:
            kept = self._later.get(sequence, b"")
            self._later[sequence] = max(kept, payload, key=len)
            self._order()
        if self.next == self._fin_at:
            self.next += 1

    def read(self, limit: int) -> bytes:
        """Returns and forgets at most `limit` bytes."""
        payload = bytes(self._ready[:limit])
        del self._ready[:limit]
        return payload

    def discard(self) -> None:
        """Forgets what can be read, from now on too."""
        self._discards = True
        self._ready.clear()

    def _order(self) -> None:
        for sequence in sorted(self._later):
            if sequence > self.next:
                return
            fresh = self._later.pop(sequence)[self.next - sequence :]
            if not self._discards:
                self._ready += fresh
            self.next += len(fresh)
