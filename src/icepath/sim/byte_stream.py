"""One byte stream as a machine sees it: its handle over a TCP connection, with TLS or without.

Here the contract's words are kept: `Opened` and `Accepted` when bytes may travel, `Bytes` as they come (none
while paused), `Splice` carrying bytes both ways no faster than the slower side takes them until both sides
have finished, droppable bytes discarded above the high-water mark, `Closed(SLOW)` past the limit: as the
driver on real sockets does. Segments are tcp_connection.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from icepath.machine import (
    Accepted,
    Arrival,
    Bytes,
    Closed,
    CloseReason,
    Failed,
    FailReason,
    Handle,
    Opened,
    Security,
)
from icepath.net import Seconds
from icepath.sim.clock import Clock
from icepath.sim.tcp_config import End
from icepath.sim.tcp_connection import TcpConnection
from icepath.sim.tcp_stack import TcpPort, TcpStack
from icepath.sim.tls import Handshake

_FAILED: Final = {
    End.REFUSED: FailReason.REFUSED,
    End.UNREACHABLE: FailReason.UNREACHABLE,
    End.TIMED_OUT: FailReason.TIMED_OUT,
    End.SLOW: FailReason.TIMED_OUT,
    End.RESET: FailReason.REFUSED,
}
_CLOSED: Final = {End.TIMED_OUT: CloseReason.TIMED_OUT, End.SLOW: CloseReason.SLOW}


class HandleOwner(Protocol):
    """Is what a table keeps under a handle."""

    @property
    def handle(self) -> Handle:
        """Returns its handle."""
        ...

    def write(self, output: Bytes) -> None:
        """Sends a machine's bytes."""

    def close(self, *, abort: bool) -> None:
        """Ends it; nothing is reported from then on."""


class HandleTable(Protocol):
    """Is what byte streams and associations need of the table that keeps them."""

    @property
    def clock(self) -> Clock:
        """Returns the time."""
        ...

    def report(self, arrival: Arrival) -> None:
        """Tells the machine; never within one of its own calls."""

    def enter(self, owner: HandleOwner) -> Handle:
        """Gives a handle to what was accepted."""
        ...

    def remove(self, owner: HandleOwner) -> None:
        """Forgets one that has ended."""


class ByteStream:
    """Is one byte stream."""

    __slots__ = (
        "_connection",
        "_early",
        "_handshake",
        "_has_finished",
        "_is_attached",
        "_is_open",
        "_is_paused",
        "_peer",
        "_port",
        "_rest",
        "_stack",
        "_table",
        "handle",
    )

    def __init__(
        self,
        table: HandleTable,
        stack: TcpStack,
        *,
        handle: Handle,
        handshake: Handshake | None,
        is_paused: bool,
        port: TcpPort | None = None,
    ) -> None:
        """Makes it for a connection that is told by `adopt`; `port` is where it came in, if it did."""
        self.handle = handle
        self._table = table
        self._stack = stack
        self._port = port
        self._handshake = handshake
        self._connection: TcpConnection | None = None
        self._is_attached = True
        self._is_open = False
        self._is_paused = is_paused
        self._has_finished = False
        self._peer: ByteStream | None = None
        # what the machine sent before it was open
        self._early: list[bytes] = []
        # what came right behind the handshake
        self._rest = b""

    # -- what the table does ---------------------------------------------------------------------------------

    def adopt(self, connection: TcpConnection) -> None:
        """Is told which connection it is."""
        self._connection = connection
        if self._port is None:
            self._give_up_after(self._stack.config.connect_timeout)

    def write(self, output: Bytes) -> None:
        """Sends a machine's bytes, as far as the driver's bounds allow."""
        config = self._stack.config
        queued, total = self._queued, self._queued + len(output.payload)
        if output.droppable and (queued > config.high_water or total > config.limit):
            self._stack.discard(self._tcp, output.payload)
        elif total > config.limit:
            self._tcp.abort()
            self._later(self._on_overflow)
        else:
            self._send(output.payload)
        if self._is_paused:
            self._is_paused = False
            self._later(self._pump)

    def splice(self, other: ByteStream) -> None:
        """Carries bytes both ways between the two from now on; both end together."""
        if self._peer is not None or other._peer is not None:
            return
        for one, two in ((self, other), (other, self)):
            one._peer = two
            one._is_paused = False
            one._later(one._pump)

    def close(self, *, abort: bool) -> None:
        """Ends it; what was written goes first unless it is aborted."""
        peer = self._detach()
        if abort or not (self._is_open or self._early):
            self._tcp.abort()
        elif self._is_open:
            self._tcp.leave()
        # Else it is opened first, within the time for that.
        if peer is not None:
            peer._later(peer._on_peer_reset if abort else peer._on_peer_closed)

    # -- what the connection tells ---------------------------------------------------------------------------

    def on_established(self) -> None:
        """Opens, or begins the handshake."""
        if self._handshake is None:
            self._open(None)
            return
        if self._port is not None:
            self._give_up_after(self._stack.config.handshake_timeout)
        self._tcp.write(self._handshake.take_output())

    def on_readable(self) -> None:
        """Takes what came."""
        if self._is_open:
            self._pump()
        else:
            self._shake()

    def on_writable(self) -> None:
        """Lets the other side of a splice go on."""
        if self._peer is not None:
            self._peer._pump()

    def on_ended(self, end: End) -> None:
        """Reports that it failed or ended."""
        if self._is_open:
            self._lose(_CLOSED.get(end, CloseReason.RESET))
        else:
            is_broken = self._handshake is not None and end is End.RESET
            self._fail(FailReason.TLS_HANDSHAKE if is_broken else _FAILED[end])

    # -- opening ---------------------------------------------------------------------------------------------

    def _shake(self) -> None:
        handshake, connection = self._handshake, self._tcp
        assert handshake is not None, "a byte stream without a handshake is open before it is readable"
        handshake.feed(connection.read(self._stack.config.receive_buffer))
        connection.write(handshake.take_output())
        if handshake.is_done:
            self._rest = handshake.take_rest()
            self._open(handshake.alpn)
            self._pump()
        elif handshake.failure is not None or connection.is_at_end:
            connection.leave()
            self._fail(handshake.failure or FailReason.TLS_HANDSHAKE)

    def _give_up_after(self, delay: Seconds) -> None:
        clock = self._table.clock
        clock.schedule_call(clock.now + delay, self._on_slow_start)

    def _on_slow_start(self) -> None:
        if not self._is_open:
            self._tcp.abort()
            self._fail(FailReason.TIMED_OUT)

    def _open(self, alpn: str | None) -> None:
        self._is_open = True
        for payload in self._early:
            self._tcp.write(payload)
        self._early.clear()
        if not self._is_attached:
            self._tcp.leave()
            return
        if self._has_finished:
            self._tcp.finish()
        local, remote, port = self._tcp.local, self._tcp.remote, self._port
        if port is None:
            self._table.report(Opened(self.handle, local, remote, alpn))
            return
        self.handle = self._table.enter(self)
        security = Security.NONE if self._handshake is None else Security.TLS
        self._table.report(Accepted(self.handle, port.handle or port.local, local, remote, security))

    def _fail(self, reason: FailReason) -> None:
        if not self._is_attached:
            return
        peer = self._detach()
        if self._port is None:
            self._table.report(Failed(self.handle, reason, f"{self._tcp.remote}: {reason.name}"))
        if peer is not None:
            peer._lose(CloseReason.RESET)

    # -- bytes -----------------------------------------------------------------------------------------------

    @property
    def _tcp(self) -> TcpConnection:
        assert self._connection is not None, "adopt comes first"
        return self._connection

    @property
    def _queued(self) -> int:
        return self._tcp.queued + sum(len(payload) for payload in self._early)

    def _send(self, payload: bytes) -> None:
        if self._is_open:
            self._tcp.write(payload)
        else:
            self._early.append(payload)

    def _finish(self) -> None:
        """Says, behind what was sent, that no more will be."""
        self._has_finished = True
        if self._is_open:
            self._tcp.finish()

    def _pump(self) -> None:
        """Passes on what there is: to the machine, or to the other side of a splice."""
        while self._is_attached and self._is_open and not self._is_paused:
            if not self._rest and self._tcp.is_at_end:
                self._on_end_of_input()
                return
            payload = self._read(self._room())
            if not payload:
                return
            if self._peer is None:
                self._table.report(Bytes(self.handle, payload))
            else:
                self._peer._send(payload)

    def _on_end_of_input(self) -> None:
        peer = self._peer
        if peer is None or self._has_finished:
            self._lose(CloseReason.EOF)
        else:
            peer._finish()

    def _room(self) -> int:
        config = self._stack.config
        if self._peer is None:
            return config.read_size
        return max(0, min(config.read_size, config.receive_buffer - self._peer._queued))

    def _read(self, limit: int) -> bytes:
        if not self._rest:
            return self._tcp.read(limit)
        payload, self._rest = self._rest[:limit], self._rest[limit:]
        return payload

    # -- the end ---------------------------------------------------------------------------------------------

    def _on_overflow(self) -> None:
        self._lose(CloseReason.SLOW)

    def _on_peer_closed(self) -> None:
        self._lose(CloseReason.EOF)

    def _on_peer_reset(self) -> None:
        self._lose(CloseReason.RESET)

    def _lose(self, reason: CloseReason) -> None:
        """Ends by itself, and tells the machine; the other side of a splice ends likewise."""
        if not self._is_attached:
            return
        if not self._is_open:
            self._tcp.abort()
            self._fail(FailReason.UNSUPPORTED)
            return
        peer = self._detach()
        if reason is CloseReason.EOF:
            self._tcp.leave()
        else:
            self._tcp.abort()
        self._table.report(Closed(self.handle, reason))
        if peer is not None:
            peer._lose(reason)

    def _detach(self) -> ByteStream | None:
        """Leaves the table and the splice; returns the other side of that."""
        self._is_attached = False
        self._table.remove(self)
        peer, self._peer = self._peer, None
        if peer is not None:
            peer._peer = None
        return peer

    def _later(self, action: Callable[[], None]) -> None:
        # Not within the machine's own call.
        self._table.clock.schedule_call(self._table.clock.now, action)
