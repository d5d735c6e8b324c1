"""UDP sockets for the driver: bound to one concrete address each, drained in one wake-up.

Here live receiving with a bound per wake-up, flows, ICMP errors, and the send queue for the rare moment
when the kernel's buffer is full. What arrives goes to a `DatagramSink`, the machine's `Running`; nothing
here knows a machine's commands or events. Opening a socket is sockets.py's.

asyncio's own datagram transport reads one datagram per wake-up into 256 KiB: draining is several times
cheaper, and joined bursts (UDP_GRO) once more (benchmarks/receive.py). Loops without `add_reader` are served
by one task per socket.

Addresses from the system become canonical here, once. Sockets are never wildcard, never dual-stack.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, Protocol, final

from icepath.aio import errorqueue
from icepath.aio.errorqueue import OsAddress
from icepath.aio.flows import LAST_STUN_BYTE, FlowTable
from icepath.aio.sockets import RECEIVE_BUFFER, join_datagrams, set_dont_fragment
from icepath.errors import InvalidArgument
from icepath.machine import Datagram, Unreachable
from icepath.net import Address, Instant, Seconds, canonical_host

# The largest UDP payload is 65,507 bytes; reading with room for all of it costs no more than with 2,048.
RECEIVE_SIZE: Final = 65_535
# Room for one control message with a 4-byte size.
CONTROL_SIZE: Final = 64
# How long queued datagrams may delay the end of a socket.
LINGER: Final[Seconds] = 0.5
# A wake-up that found one datagram only is followed by so many that read once and look no further: asking in vain
# costs as much as the datagram. If there was more, the loop wakes us again.
LONE: Final = 7
# Sources seen, kept in canonical form; and those with a scope, of which the table starts afresh when it is full.
SOURCES: Final = 1_024
# RFC 8656 §11.3: in a Send or Data indication travels an application's payload.
DATA_IN_STUN: Final = (b"\x00\x16", b"\x00\x17")

WOULD_BLOCK: Final = frozenset({errno.EAGAIN, errno.EWOULDBLOCK})
NO_ROOM: Final = frozenset({errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class UdpOptions:
    """Is how sockets are opened and read."""

    reader: Literal["auto", "task"] = "auto"
    """`task` forces the way for event loops that have no `add_reader`."""
    receive_buffer: int = RECEIVE_BUFFER
    """Bytes asked of the kernel, which may give less."""
    drain: int = 64
    """Datagrams read in one wake-up, before other work has its turn."""
    join: bool = True
    """Lets the kernel join bursts of equal datagrams, where it can (Linux, UDP_GRO)."""
    queue: int = 512
    """Datagrams kept while the kernel's send buffer is full."""

    def __post_init__(self) -> None:
        if self.reader not in ("auto", "task"):
            raise InvalidArgument(f"reader is {self.reader!r}, allowed are 'auto' and 'task'")
        if self.drain < 1 or self.queue < 1:
            raise InvalidArgument("drain and queue must be at least 1")


class DatagramSink(Protocol):
    """Takes what sockets have to say."""

    def on_datagram(self, datagram: Datagram, now: Instant) -> None:
        """Takes one datagram that no flow carried."""

    def on_unreachable(self, unreachable: Unreachable, now: Instant) -> None:
        """Takes one ICMP error."""

    def on_drained(self, now: Instant) -> None:
        """Is called when a wake-up's datagrams have all been given."""

    def on_backlog(self, queued: bool) -> None:
        """Is called when a socket begins to queue, and when its queue is empty again."""

    def on_socket_closed(self, closed: UdpSocket) -> None:
        """Is called once, when the socket is gone for good."""


@final
class UdpSocket:
    """Is one bound UDP socket on the running event loop."""

    def __init__(
        self,
        sock: socket.socket,
        scope_id: int,
        sink: DatagramSink,
        options: UdpOptions,
        *,
        host: str | None = None,
    ) -> None:
        """Takes a bound socket; with `host`, one that is bound to a multicast group, on that host's interface."""
        bound: OsAddress = sock.getsockname()
        self.address: Final = Address(canonical_host(bound[0]) if host is None else host, bound[1])
        self.flows: Final = FlowTable()
        self.dropped_on_send = 0
        """Datagrams given up because the queue or the kernel had no room."""
        self._sock = sock
        # The loop is told the number: of an object it does not know it makes a text first, by two system calls.
        self._number = sock.fileno()
        self._sink = sink
        self._options = options
        self._is_ipv6 = self.address.is_ipv6
        self._scope_id = scope_id
        self._scopes: dict[str, int] = {}
        self._fragments = True
        # Lists: they are nearly always empty, and an empty deque takes 760 bytes.
        self._control: list[Datagram] = []
        self._data: list[Datagram] = []
        self._loop = asyncio.get_running_loop()
        self._reading: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._has_writer = False
        self._lone = LONE
        self.is_closed = False
        self._by_task = options.reader == "task" or not self._add_reader()
        self._receive = self._receive_one
        if not self._by_task and options.join and join_datagrams(sock):
            self._receive = self._receive_joined
        if self._by_task:
            self._reading = self._loop.create_task(self._read_forever(), name=f"icepath udp {self.address}")

    # -- sending -------------------------------------------------------------------------------------------

    def send(self, datagram: Datagram) -> None:
        """Sends now, or queues while the kernel's buffer is full; never raises for the network's reasons."""
        if self._control or self._data:
            self._enqueue(datagram)
        elif not self.is_closed and not self._transmit(datagram):
            self._enqueue(datagram)
            self._sink.on_backlog(True)
            self._start_writing()

    def relay(self, remote: Address, payload: bytes) -> None:
        """Sends what a `Relay` flow carried; data is dropped rather than queued (RFC 8656 promises nothing)."""
        if not self.is_closed and not self._transmit(Datagram(self.address, remote, payload)):
            self.dropped_on_send += 1

    @property
    def backlog(self) -> int:
        """Returns how many datagrams wait."""
        return len(self._control) + len(self._data)

    def _transmit(self, datagram: Datagram, *, again: bool = True) -> bool:
        """Gives the datagram to the kernel; False when its buffer is full."""
        if datagram.dont_fragment is self._fragments:
            self._set_fragments(not datagram.dont_fragment)
        remote = datagram.remote
        try:
            self._sock.sendto(datagram.payload, self._scoped(remote) if self._is_ipv6 else remote)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in NO_ROOM:
                self.dropped_on_send += 1
                return True
            # The error may be an earlier datagram's, waiting in the queue: then this one was not sent.
            found, is_own = self._report_errors(remote)
            if found and not is_own and again:
                return self._transmit(datagram, again=False)
            if not found:
                self._report_local(remote, error)
        return True

    def _scoped(self, remote: Address) -> OsAddress:
        if remote.host[:2] != "fe":
            return remote
        return (remote.host, remote.port, 0, self._scopes.get(remote.host, self._scope_id))

    def _set_fragments(self, fragments: bool) -> None:
        self._fragments = fragments
        set_dont_fragment(self._sock, not fragments, is_ipv6=self._is_ipv6)

    def _enqueue(self, datagram: Datagram) -> None:
        """Queues control before data; when full, the newest data goes first."""
        is_data = not is_control(datagram.payload)
        if self.backlog >= self._options.queue:
            self.dropped_on_send += 1
            if is_data or not self._data:
                return
            self._data.pop()
        (self._data if is_data else self._control).append(datagram)

    def _start_writing(self) -> None:
        if self._by_task:
            self._writing = self._loop.create_task(self._write_all(), name=f"icepath udp {self.address} writing")
        else:
            self._has_writer = True
            self._loop.add_writer(self._number, self._on_writable)

    def _on_writable(self) -> None:
        for queue in (self._control, self._data):
            while queue:
                if not self._transmit(queue[0]):
                    return
                del queue[0]
        self._remove_writer()
        self._on_emptied()

    async def _write_all(self) -> None:
        while self._control or self._data:
            datagram = (self._control or self._data).pop(0)
            target: OsAddress = self._scoped(datagram.remote) if self._is_ipv6 else datagram.remote
            with contextlib.suppress(OSError):
                await self._loop.sock_sendto(self._sock, datagram.payload, target)
        self._writing = None
        self._on_emptied()

    def _on_emptied(self) -> None:
        self._sink.on_backlog(False)
        if self._linger is not None:
            self.close(abort=True)

    # -- receiving -----------------------------------------------------------------------------------------

    def _add_reader(self) -> bool:
        try:
            self._loop.add_reader(self._number, self._on_readable)
        except NotImplementedError:
            return False
        return True

    def _on_readable(self) -> None:
        """Drains the socket, up to a bound, in one wake-up; or reads once where datagrams come one by one."""
        now = time.monotonic()
        receive = self._receive
        given = read = 0
        room = self._options.drain
        if self._lone:
            self._lone -= 1
            room = 1
        while read < room:
            try:
                payloads, source = receive()
            except BlockingIOError:
                self._lone = LONE if read == 1 else 0
                if not read:
                    # Nothing to read, yet woken: an ICMP error waits.
                    self._report_errors()
                break
            except OSError:
                # The pending ICMP error of an earlier datagram (Linux, with RECVERR), or a closed socket.
                if self.is_closed:
                    break
                read += 1
                self._report_errors()
                continue
            read += len(payloads)
            for payload in payloads:
                given += self._take(payload, source, now)
        if given:
            self._sink.on_drained(now)

    def _receive_one(self) -> tuple[Sequence[bytes], OsAddress]:
        payload, source = self._sock.recvfrom(RECEIVE_SIZE)
        return (payload,), source

    def _receive_joined(self) -> tuple[Sequence[bytes], OsAddress]:
        """Receives datagrams of one source that the kernel has joined: all of one size, the last may be shorter."""
        payload, control, _, source = self._sock.recvmsg(RECEIVE_SIZE, CONTROL_SIZE)
        if not control:
            return (payload,), source
        size = int.from_bytes(control[0][2], sys.byteorder)
        return [payload[start : start + size] for start in range(0, len(payload), size)], source

    def _take(self, payload: bytes, source: OsAddress, now: Instant) -> bool:
        """Gives a datagram to its flow or else to the sink; True for the sink."""
        key = source[:2] if self._is_ipv6 else source
        if payload and payload[0] > LAST_STUN_BYTE and self.flows.take(key, payload, now):
            return False
        self._sink.on_datagram(Datagram(self.address, self._canonical(source), payload), now)
        return True

    async def _read_forever(self) -> None:
        while True:
            try:
                payload, source = await self._loop.sock_recvfrom(self._sock, RECEIVE_SIZE)
            except OSError:
                # Windows: an ICMP error of an earlier datagram. Yield, so that a broken socket is no busy loop.
                self._report_errors()
                await asyncio.sleep(0)
                continue
            now = time.monotonic()
            if self._take(payload, source, now):
                self._sink.on_drained(now)

    def _canonical(self, source: OsAddress) -> Address:
        address = canonical(source)
        if len(source) == 4 and source[3]:
            if len(self._scopes) >= SOURCES:
                self._scopes.clear()
            self._scopes[address.host] = source[3]
        return address

    # -- errors ----------------------------------------------------------------------------------------------

    def _report_errors(self, sending: Address | None = None) -> tuple[bool, bool]:
        """Reports the ICMP errors that the kernel keeps; whether there were some, and one about what is being sent."""
        found = is_own = False
        for error in errorqueue.drain(self._sock):
            found = True
            is_own = is_own or error.is_local
            # The kernel's own refusal may name no port: it is about the datagram being sent.
            remote = sending if error.is_local and sending is not None else self._canonical(error.destination)
            unreachable = Unreachable(self.address, remote, error.icmp_type, error.icmp_code, error.mtu)
            self._sink.on_unreachable(unreachable, time.monotonic())
        if found and not self._by_task:
            # libuv stops a poll that saw an error, after the callback: start it again.
            self._loop.call_soon(self._poll_again)
        return found, is_own

    def _poll_again(self) -> None:
        if self.is_closed:
            return
        if self._linger is None:
            self._loop.remove_reader(self._number)
            self._loop.add_reader(self._number, self._on_readable)
        if self._has_writer:
            self._loop.remove_writer(self._number)
            self._loop.add_writer(self._number, self._on_writable)

    def _report_local(self, remote: Address, error: OSError) -> None:
        icmp_type, icmp_code = errorqueue.icmp_of(error.errno or 0, self._is_ipv6)
        self._sink.on_unreachable(Unreachable(self.address, remote, icmp_type, icmp_code), time.monotonic())

    # -- closing ---------------------------------------------------------------------------------------------

    def close(self, *, abort: bool = False) -> None:
        """Closes; what is queued is sent first, within a bound, unless `abort`."""
        if self.is_closed:
            return
        self._stop_reading()
        if self.backlog and not abort:
            if self._linger is None:
                self._linger = self._loop.call_later(LINGER, lambda: self.close(abort=True))
            return
        self.is_closed = True
        if self._linger is not None:
            self._linger.cancel()
        self._remove_writer()
        self._control.clear()
        self._data.clear()
        self._end()

    def _end(self, ended: asyncio.Task[None] | None = None) -> None:
        """Closes the socket once no task of ours waits on it: the loop still names it by its number."""
        for task in (self._reading, self._writing):
            if task is not None and task is not ended and not task.done():
                task.cancel()
                task.add_done_callback(self._end)
                return
        self._sock.close()
        self._sink.on_socket_closed(self)

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        else:
            self._loop.remove_reader(self._number)

    def _remove_writer(self) -> None:
        if self._has_writer:
            self._has_writer = False
            self._loop.remove_writer(self._number)


@lru_cache(maxsize=SOURCES)
def canonical(source: OsAddress) -> Address:
    """Returns a source as the machines know it."""
    return Address(canonical_host(source[0]), source[1])


def is_control(payload: bytes) -> bool:
    """Says whether the datagram is signalling (STUN that carries no application data)."""
    return bool(payload) and payload[0] <= LAST_STUN_BYTE and payload[:2] not in DATA_IN_STUN
