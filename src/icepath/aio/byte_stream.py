"""One TCP connection, plain or with TLS, from connecting or accepting to its end.

What arrives, and how it ended, goes to a `StreamOwner` (byte_streams.py); listeners and options are tcp.py's.
The socket is read and written directly, in one wake-up as far as it goes; TLS is a pair of memory buffers in
between (tls.py), so asyncio's transports are not needed. Loops without `add_reader` get tasks instead.

Everything is bounded: connecting and handshaking by one time limit, what is queued by a high-water mark (above
it droppable bytes are discarded, and the other half of a splice is not read) and a limit (above it the byte
stream ends), a peer that accepts nothing by a time limit, and the end itself by another.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from enum import Enum, auto
from typing import Final, Protocol, final

from icepath.aio import tcp
from icepath.aio.tcp import StreamOptions
from icepath.aio.tls import TlsSession, failure_of
from icepath.machine import CloseReason, FailReason, Handle
from icepath.net import Address, Seconds

READ_SIZE: Final = 64 << 10
# Reads in one wake-up, before other work has its turn.
READS: Final = 4
# Bytes offered to the kernel in one go.
WRITE_SIZE: Final = 256 << 10

IN_PROGRESS: Final = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK})
# Only these say that the connection is gone for reading, too: the reader is woken and finds the peer's last words.
GONE: Final = frozenset({errno.ECONNRESET, errno.EPIPE})


class StreamOwner(Protocol):
    """Takes what byte streams and associations have to say."""

    def on_opened(self, handle: Handle, local: Address, remote: Address, alpn: str | None) -> None:
        """Takes the success of connecting, or of accepting, with its handshake."""

    def on_failed(self, handle: Handle, reason: FailReason, detail: str) -> None:
        """Takes the failure of the same."""

    def on_bytes(self, handle: Handle, payload: bytes) -> None:
        """Takes what arrived."""

    def on_closed(self, handle: Handle, reason: CloseReason) -> None:
        """Takes the end; nothing about this handle follows."""

    def on_dropped(self) -> None:
        """Counts droppable bytes that were discarded."""

    def on_gone(self, gone: object) -> None:
        """Is called once, when the socket is closed."""


class _Phase(Enum):
    CONNECTING = auto()
    HANDSHAKING = auto()
    OPEN = auto()
    ENDED = auto()


@final
class ByteStream:
    """Is one TCP connection on the running event loop."""

    def __init__(
        self,
        handle: Handle,
        sock: socket.socket,
        owner: StreamOwner,
        options: StreamOptions,
        *,
        remote: Address,
        secure: bool,
        paused: bool,
    ) -> None:
        self.handle: Final = handle
        self.remote: Final = remote
        self._sock = sock
        self._owner = owner
        self._options = options
        self._is_secure = secure
        self._is_paused = paused
        self._tls: TlsSession | None = None
        self._loop = asyncio.get_running_loop()
        # libuv stops a poll that saw an error, which may wait behind the data: there a short read is not yet the end.
        self._is_level_triggered = isinstance(self._loop, asyncio.SelectorEventLoop)
        self._by_task = options.reader == "task" or not tcp.has_readers(self._loop, sock)
        self._phase = _Phase.CONNECTING
        # Ended for the owner, who hears nothing more; what is queued is still sent.
        self._is_leaving = False
        self._other: ByteStream | None = None
        # What could not be sent yet; and before the handshake is done, what is to be encrypted.
        self._queue = bytearray()
        self._early: list[bytes] = []
        # How sending failed, when reading still has to find the peer's last words.
        self._broken: CloseReason | None = None
        self._wants_end = False
        self._has_sent_end = False
        self._has_ended_in = False
        self._has_progressed = False
        self._timer: asyncio.TimerHandle | None = None
        self._has_reader = self._has_writer = self._will_continue = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._resumed: asyncio.Future[None] | None = None

    # -- beginnings --------------------------------------------------------------------------------------------

    def connect(self, target: tcp.OsAddress) -> None:
        """Begins to connect; `on_opened` or `on_failed` follows, perhaps at once."""
        self._arm(self._options.connect_timeout, self._on_slow_start)
        if self._by_task:
            self._start_task(self._connect_by_task(target), "connect")
            return
        try:
            number = self._sock.connect_ex(target)
        except OSError:  # the only error that is raised: an address of the other family
            number = errno.EAFNOSUPPORT
        if number in IN_PROGRESS:
            self._add_writer(self._on_connected)
        else:
            self._fail_to_connect(number)

    def accepted(self, session: TlsSession | None) -> None:
        """Begins with a connection that a listener accepted."""
        self._arm(self._options.handshake_timeout, self._on_slow_start)
        self._tls = session
        self._begin()

    def secure(self, session: TlsSession) -> None:
        """Gives the TLS session, which may become available later than the connection."""
        self._tls = session
        if self._phase is _Phase.HANDSHAKING:
            self._handshake(session)

    def fail(self, reason: FailReason, detail: str) -> None:
        """Ends what has not been opened."""
        if self._phase is _Phase.ENDED:
            return
        is_silent = self._is_leaving
        self._is_leaving = True
        self._destroy()
        if not is_silent:
            self._owner.on_failed(self.handle, reason, detail)

    def _on_connected(self) -> None:
        self._remove_writer()
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._fail_to_connect(number)
        else:
            self._begin()

    async def _connect_by_task(self, target: tcp.OsAddress) -> None:
        try:
            await self._loop.sock_connect(self._sock, target)
        except OSError as error:
            self._fail_to_connect(error.errno or 0)
        else:
            self._begin()

    def _fail_to_connect(self, number: int) -> None:
        port = 0
        with contextlib.suppress(OSError):
            port = self._sock.getsockname()[1]
        self.fail(tcp.connect_failure(number, port), os.strerror(number))

    def _begin(self) -> None:
        tcp.prepare(self._sock, self._options.stall_timeout)
        if not self._is_secure:
            self._open(None)
            return
        self._phase = _Phase.HANDSHAKING
        if self._tls is not None:
            self._handshake(self._tls)

    def _handshake(self, tls: TlsSession) -> None:
        try:
            is_done = tls.advance()
        except ssl.SSLError as error:
            self._transmit(tls.take_output())  # the alert
            self.fail(*failure_of(error))
            return
        self._transmit(tls.take_output())
        if is_done:
            self._open(tls.alpn)
        else:
            self._update_reading()

    def _open(self, alpn: str | None) -> None:
        self._phase = _Phase.OPEN
        self._disarm()
        early, self._early = self._early, []
        for payload in early:
            self._send(payload)
        if self._is_leaving:
            self._end_gracefully()
            return
        self._update_reading()
        if self._other is not None:
            self._other._update_reading()
        self._owner.on_opened(self.handle, tcp.canonical(self._sock.getsockname()), self.remote, alpn)
        self._read_secured()  # what came along with the handshake's last message

    def _on_slow_start(self) -> None:
        what = "the TLS handshake" if self._phase is _Phase.HANDSHAKING else "connecting"
        self.fail(FailReason.TIMED_OUT, f"{what} took longer than {self._options.connect_timeout:g} s")

    # -- writing -----------------------------------------------------------------------------------------------

    def write(self, payload: bytes, droppable: bool) -> None:
        """Sends now what the kernel takes, and queues the rest."""
        if self._is_leaving or self._broken is not None or self._wants_end:
            return
        options = self._options
        backlog = 0 if self._phase is _Phase.OPEN and not self._queue else self._backlog
        if droppable and (backlog > options.high_water or backlog + len(payload) > options.limit):
            self._owner.on_dropped()
            return
        self._send(payload)
        if backlog + len(payload) > options.limit and self._backlog > options.limit:
            self._lose(CloseReason.SLOW)
        elif self._is_paused:
            self._resume()

    @property
    def _backlog(self) -> int:
        return len(self._queue) + sum(map(len, self._early))

    def _send(self, payload: bytes) -> None:
        if self._phase is not _Phase.OPEN:
            self._early.append(payload)
        else:
            self._transmit(payload if self._tls is None else self._tls.write(payload))

    def _transmit(self, data: bytes) -> None:
        if not data or self._broken is not None:
            return
        if not self._queue:
            sent = self._offer(data)
            if sent == len(data):
                return
            data = data[sent:]
            self._queue += data
            self._start_writing()
        else:
            self._queue += data

    def _offer(self, data: bytes) -> int:
        """Gives bytes to the kernel; returns how many are done with."""
        try:
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._break(error)
            return len(data)

    def _break(self, error: OSError) -> None:
        """Takes note that nothing can be sent any more."""
        self._broken = tcp.close_reason(error)
        if self._phase is not _Phase.OPEN:
            return  # the handshake's reader or its time limit sees to it
        if self._is_leaving or not self._is_reading or error.errno not in GONE:
            self._lose(self._broken)

    def _start_writing(self) -> None:
        if self._phase is _Phase.OPEN and not self._is_leaving:
            self._has_progressed = False
            self._arm(self._options.stall_timeout, self._on_stalled)
        if not self._by_task:
            self._add_writer(self._on_writable)
        elif not self._has_writer:
            self._has_writer = True
            self._start_task(self._write_by_task(), "write")

    def _on_writable(self) -> None:
        self._after_offer(self._offer(bytes(memoryview(self._queue)[:WRITE_SIZE])))

    async def _write_by_task(self) -> None:
        while self._queue:
            chunk = bytes(memoryview(self._queue)[:WRITE_SIZE])
            try:
                await self._loop.sock_sendall(self._sock, chunk)
            except OSError as error:
                self._break(error)
            self._after_offer(len(chunk))
        self._has_writer = False

    def _after_offer(self, sent: int) -> None:
        if self._phase is _Phase.ENDED:
            return
        del self._queue[: len(self._queue) if self._broken else sent]
        self._has_progressed = self._has_progressed or sent > 0
        if not self._queue:
            self._remove_writer()
            if self._phase is _Phase.OPEN and not self._is_leaving:
                self._disarm()
            if self._wants_end:
                self._send_end()
        if self._other is not None:
            self._other._update_reading()

    def _on_stalled(self) -> None:
        if self._has_progressed:
            self._has_progressed = False
            self._arm(self._options.stall_timeout, self._on_stalled)
        else:
            self._lose(CloseReason.SLOW)

    # -- reading -----------------------------------------------------------------------------------------------

    @property
    def _is_reading(self) -> bool:
        """Says whether the socket is to be read now."""
        if self._phase is not _Phase.OPEN:
            return self._phase is _Phase.HANDSHAKING and self._tls is not None
        if self._has_ended_in:
            return False
        return self._is_leaving or not (self._is_paused or (self._other is not None and self._other._is_full))

    @property
    def _is_full(self) -> bool:
        """Says whether the other half of the splice must not be read now."""
        return self._phase is not _Phase.OPEN or len(self._queue) > self._options.high_water

    def _update_reading(self) -> None:
        wanted = self._is_reading
        if self._by_task:
            if wanted and not self._has_reader:
                self._has_reader = True
                self._start_task(self._read_by_task(), "read")
            elif wanted and self._resumed is not None and not self._resumed.done():
                self._resumed.set_result(None)
        elif wanted and not self._has_reader:
            self._has_reader = True
            self._loop.add_reader(self._sock, self._on_readable)
        elif not wanted:
            self._remove_reader()

    def _on_readable(self) -> None:
        """Reads until nothing is left."""
        for _ in range(READS):
            if not self._has_reader:  # whoever was called has ended or paused this
                return
            try:
                data = self._sock.recv(READ_SIZE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._on_read_error(error)
                return
            self._take(data)
            if self._is_level_triggered and len(data) < READ_SIZE:
                return
        if not (self._is_level_triggered or self._will_continue):
            self._will_continue = True
            self._loop.call_soon(self._continue_reading)

    def _continue_reading(self) -> None:
        self._will_continue = False
        self._on_readable()

    async def _read_by_task(self) -> None:
        reads = 0
        while not self._has_ended_in:
            reads += 1
            if not reads % READS:  # `sock_recv` does not wait while there is something
                await asyncio.sleep(0)
            try:
                data = await self._loop.sock_recv(self._sock, READ_SIZE)
            except OSError as error:
                self._on_read_error(error)
                return
            while not self._is_reading:  # keeps what it has read: a read that is under way cannot be taken back
                self._resumed = self._loop.create_future()
                await self._resumed
            self._take(data)

    def _on_read_error(self, error: OSError) -> None:
        if self._phase is _Phase.HANDSHAKING:
            self.fail(FailReason.TLS_HANDSHAKE, f"the connection ended in the handshake: {error.strerror}")
        else:
            self._lose(self._broken or tcp.close_reason(error))

    def _take(self, data: bytes) -> None:
        if self._is_leaving and self._phase is _Phase.OPEN:
            if not data:
                self._on_end_of_input()
        elif self._tls is not None:
            self._tls.feed(data)
            if self._phase is _Phase.HANDSHAKING:
                self._handshake(self._tls)
            else:
                self._read_secured()
        elif data:
            self._deliver(data)
        else:
            self._on_end_of_input()

    def _read_secured(self) -> None:
        tls = self._tls
        if tls is None or self._is_paused or self._is_leaving or self._phase is not _Phase.OPEN:
            return
        plain = tls.read()
        self._transmit(tls.take_output())  # an alert, or an update of keys
        if plain:
            self._deliver(plain)
        if tls.ended is CloseReason.EOF:
            self._on_end_of_input()
        elif tls.ended is not None:
            self._lose(self._broken or tls.ended)

    def _deliver(self, data: bytes) -> None:
        other = self._other
        if other is None:
            self._owner.on_bytes(self.handle, data)
        else:
            other._send(data)
            self._update_reading()

    def _on_end_of_input(self) -> None:
        if self._has_ended_in or self._phase is not _Phase.OPEN:
            return
        self._has_ended_in = True
        self._update_reading()
        other = self._other
        if self._is_leaving:
            if self._has_sent_end:
                self._destroy()  # else it is, when what is queued has been sent
        elif other is None or self._broken is not None:
            self._lose(self._broken or CloseReason.EOF)
        elif other._has_ended_in:
            self._lose(CloseReason.EOF)
        else:
            other._end_output()

    # -- pausing and splicing ----------------------------------------------------------------------------------

    def splice(self, other: ByteStream) -> None:
        """Carries bytes both ways between the two from now on; both end together."""
        if self is other or self._other is not None or other._other is not None:
            return
        self._other, other._other = other, self
        self._resume()
        other._resume()

    def _resume(self) -> None:
        self._is_paused = False
        self._update_reading()
        self._read_secured()

    def _end_output(self) -> None:
        """Says, behind what is queued, that no more will be sent."""
        self._wants_end = True
        if not self._queue and self._phase is _Phase.OPEN:
            self._send_end()

    def _send_end(self) -> None:
        if not self._has_sent_end:
            if self._tls is not None:
                self._transmit(self._tls.finish())
                if self._queue:
                    return  # comes again when it is sent
            self._has_sent_end = True
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
        if self._is_leaving:
            if self._has_ended_in:
                self._destroy()
            else:
                self._arm(self._options.linger, self._destroy)

    # -- ends --------------------------------------------------------------------------------------------------

    def close(self, *, abort: bool) -> None:
        """Ends on the owner's wish, who hears nothing more; what is queued is sent first unless `abort`."""
        if self._is_leaving:
            return
        self._is_leaving = True
        other = self._part()
        if abort:
            self._destroy(reset=True)
        elif self._phase is _Phase.OPEN:
            self._end_gracefully()
        elif not self._early:
            self._destroy()
        # Else it is opened first, within the time limit for that.
        if other is not None:
            other._lose(CloseReason.RESET if abort else CloseReason.EOF)

    def evict(self) -> None:
        """Ends to make room for another."""
        self._lose(CloseReason.SLOW)

    def hasten(self, *, abort: bool) -> None:
        """Ends what is left after `close`: at once, or within the time to linger."""
        if abort:
            self._destroy(reset=True)
        else:
            self._arm(self._options.linger, self._destroy)

    def _lose(self, reason: CloseReason) -> None:
        """Ends by itself, and tells the owner; the other half of a splice ends likewise."""
        if self._phase is _Phase.ENDED:
            return
        if self._is_leaving:
            self._destroy()
            return
        if self._phase is not _Phase.OPEN:
            self.fail(FailReason.UNSUPPORTED, f"more than {self._options.limit} bytes to send before it was open")
            return
        self._is_leaving = True
        other = self._part()
        if reason in (CloseReason.EOF, CloseReason.TLS):
            self._end_gracefully()
        else:
            self._destroy(reset=True)
        self._owner.on_closed(self.handle, reason)
        if other is not None:
            other._lose(reason)

    def _part(self) -> ByteStream | None:
        """Undoes the splice, and returns the other half."""
        other, self._other = self._other, None
        if other is not None:
            other._other = None
        return other

    def _end_gracefully(self) -> None:
        """Sends what is queued, then the end, and waits for the peer's: unread bytes would make the kernel reset."""
        self._arm(self._options.stall_timeout, self._destroy)
        self._end_output()
        self._update_reading()

    def _destroy(self, *, reset: bool = False) -> None:
        if self._phase is _Phase.ENDED:
            return
        self._phase = _Phase.ENDED
        self._disarm()
        self._remove_reader()
        self._remove_writer()
        self._queue.clear()
        self._early.clear()
        if reset:
            tcp.reset_on_close(self._sock)
        for task in self._tasks:
            task.cancel()
        self._end()

    def _end(self) -> None:
        """Closes the socket once no task of ours waits on it: the loop still names it by its number."""
        if self._phase is _Phase.ENDED and not self._tasks:
            self._sock.close()
            self._owner.on_gone(self)

    # -- the loop ----------------------------------------------------------------------------------------------

    def _arm(self, delay: Seconds, callback: Callable[[], None]) -> None:
        self._disarm()
        if self._phase is not _Phase.ENDED:
            self._timer = self._loop.call_later(delay, callback)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _add_writer(self, callback: Callable[[], None]) -> None:
        self._has_writer = True
        self._loop.add_writer(self._sock, callback)

    def _remove_writer(self) -> None:
        if self._has_writer and not self._by_task:
            self._has_writer = False
            self._loop.remove_writer(self._sock)

    def _remove_reader(self) -> None:
        if self._has_reader and not self._by_task:
            self._has_reader = False
            self._loop.remove_reader(self._sock)

    def _start_task(self, work: Coroutine[object, object, None], what: str) -> None:
        task = self._loop.create_task(work, name=f"icepath tcp {what} {self.remote}")
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._end()
