"""TCP sockets: how they are opened, what their errors mean, and listeners.

Each is bound to one concrete address, never a wildcard, never dual-stack. A listener, the sockets that connect
from its port and those that open simultaneously share the port (RFC 6544 §6 and appendix B): all have
SO_REUSEADDR and SO_REUSEPORT. A second listener would then get every other connection, so a listener sets
SO_REUSEPORT only when its bind has shown that no other listens. What is done with a connection is
byte_stream.py's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, final

from icepath.aio.sockets import candidate_ports
from icepath.errors import InvalidArgument
from icepath.machine import CloseReason, FailReason, Handle
from icepath.net import Address, Seconds, canonical_host

OsAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]

# RFC 6062 §5.2: "The timeout value MUST be at least 30 seconds." It bounds connecting and the TLS handshake
# together: a server that takes longer is of no use to a call, and the kernel alone would try for two minutes.
CONNECT_TIMEOUT: Final[Seconds] = 30.0
# A client that connects to us and does not finish its handshake: ten round trips of a very slow path.
HANDSHAKE_TIMEOUT: Final[Seconds] = 10.0
# A peer that accepts not a byte for so long has lost consent (RFC 7675 §5.1) and every transaction's patience.
STALL_TIMEOUT: Final[Seconds] = 30.0
# How long what is queued, and the peer's own end, may delay the end of a socket.
LINGER: Final[Seconds] = 1.0
# While the process has no descriptors left, accepting is tried again at this interval.
ACCEPT_PAUSE: Final[Seconds] = 1.0
# Connections accepted in one wake-up, before other work has its turn.
ACCEPT_BATCH: Final = 64
# SYNs that the kernel keeps for us between two wake-ups; it may keep less (net.core.somaxconn).
BACKLOG: Final = 256
# Bytes that the kernel may hold unsent: what is stale is seen here, and dropped, rather than in megabytes of buffer.
UNSENT: Final = 128 << 10

# linux/tcp.h, for systems whose `socket` has no names for them.
TCP_USER_TIMEOUT: Final = 18
TCP_NOTSENT_LOWAT: Final = 25

NO_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

FAILURES: Final = {
    errno.ECONNREFUSED: FailReason.REFUSED,
    errno.ECONNRESET: FailReason.REFUSED,  # of a simultaneous open
    errno.ETIMEDOUT: FailReason.TIMED_OUT,
    errno.EADDRINUSE: FailReason.ADDRESS_IN_USE,
    errno.EACCES: FailReason.PERMISSION,
    errno.EPERM: FailReason.PERMISSION,
}


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Is how byte streams are read, bounded and secured."""

    reader: Literal["auto", "task"] = "auto"
    """`task` forces the way for event loops that have no `add_reader`."""
    high_water: int = 64 << 10
    """Bytes queued above which droppable ones are discarded, and the source of a splice is not read."""
    limit: int = 1 << 20
    """Bytes queued above which the byte stream is closed."""
    accepted: int = 1_024
    """Accepted byte streams at a time; the one that was never answered for longest makes room."""
    cafile: str | None = None
    """A PEM file of authorities to trust besides the system's."""
    connect_timeout: Seconds = CONNECT_TIMEOUT
    handshake_timeout: Seconds = HANDSHAKE_TIMEOUT
    stall_timeout: Seconds = STALL_TIMEOUT
    linger: Seconds = LINGER

    def __post_init__(self) -> None:
        if self.reader not in ("auto", "task"):
            raise InvalidArgument(f"reader is {self.reader!r}, allowed are 'auto' and 'task'")
        if not 1 <= self.high_water <= self.limit:
            raise InvalidArgument("high_water must be at least 1 and limit at least as much")
        if self.accepted < 1:
            raise InvalidArgument("accepted must be at least 1")


# -- opening -------------------------------------------------------------------------------------------------


def open_listener(local: Address, *, scope_id: int = 0, ports: tuple[int, int] | None = None) -> socket.socket:
    """Opens a listening socket.

    Raises: OSError as the system gives it; EADDRINUSE when the whole range is taken.
    """
    return _first_free(local, ports, lambda address: _listening(address, scope_id))


def reserve_port(local: Address, *, scope_id: int = 0, ports: tuple[int, int] | None = None) -> socket.socket:
    """Opens a socket that keeps a port for simultaneous opens; it neither listens nor connects.

    Raises: OSError as the system gives it.
    """
    return _first_free(local, ports, lambda address: _bound(address, scope_id, shared=True))


def open_connector(local: Address | None, remote: Address, *, scope_id: int = 0) -> socket.socket:
    """Opens a socket to connect with, from `local` and, if it has a port, from that port too.

    Raises: OSError as the system gives it.
    """
    if local is not None:
        return _bound(local, scope_id, shared=bool(local.port))
    sock = socket.socket(_family(remote), socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock


def prepare(sock: socket.socket, stall_timeout: Seconds) -> None:
    """Sets what is good to have on a connection; a system that refuses is no reason to fail."""
    # Nagle would hold a check back until the one before it is acknowledged.
    _try_option(sock, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sys.platform == "linux":
        _try_option(sock, socket.IPPROTO_TCP, TCP_USER_TIMEOUT, int(stall_timeout * 1_000))
        _try_option(sock, socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT)


def reset_on_close(sock: socket.socket) -> None:
    """Makes `close` send RST and drop what the kernel still holds."""
    _try_option(sock, socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def os_address(address: Address, scope_id: int) -> OsAddress:
    """Returns the address as the system wants it."""
    return (address.host, address.port, 0, scope_id) if address.host[:2] == "fe" else address


def canonical(address: OsAddress) -> Address:
    """Returns the system's address as every other room names it."""
    return Address(canonical_host(address[0]), address[1])


def has_readers(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> bool:
    """Says whether the loop has `add_reader`."""
    try:
        loop.remove_reader(sock)
    except NotImplementedError:
        return False
    return True


def _first_free(
    local: Address, ports: tuple[int, int] | None, bind: Callable[[Address], socket.socket]
) -> socket.socket:
    failure = OSError(errno.EADDRINUSE, f"no free port on {local.host}")
    for port in candidate_ports(local.port, ports, even=False):  # RFC 6062 §4.1: no EVEN-PORT over TCP
        try:
            return bind(Address(local.host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            failure = error
    raise failure


def _listening(local: Address, scope_id: int) -> socket.socket:
    sock = _bound(local, scope_id, shared=False)
    try:
        _try_option(sock, socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _bound(local: Address, scope_id: int, *, shared: bool) -> socket.socket:
    sock = socket.socket(_family(local), socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if local.is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if sys.platform != "win32":  # there it would let anybody take the port over
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared and hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(os_address(local, scope_id))
    except BaseException:
        sock.close()
        raise
    return sock


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if address.is_ipv6 else socket.AF_INET


def _try_option(sock: socket.socket, level: int, option: int, value: int | bytes) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(level, option, value)


# -- what errors mean ----------------------------------------------------------------------------------------


def bind_failure(error: OSError, port: int) -> FailReason:
    """Says why a socket could not be bound to the port, 0 being any."""
    reason = FAILURES.get(error.errno or 0, FailReason.UNREACHABLE)
    return FailReason.NO_PORT if reason is FailReason.ADDRESS_IN_USE and not port else reason


def connect_failure(number: int, port: int) -> FailReason:
    """Says why connecting from the port, 0 being any, failed with this errno."""
    if number == errno.EADDRNOTAVAIL:
        return FailReason.FIVE_TUPLE_TAKEN if port else FailReason.NO_PORT
    return FAILURES.get(number, FailReason.UNREACHABLE)


def close_reason(error: OSError) -> CloseReason:
    """Says how a connection ended."""
    return CloseReason.TIMED_OUT if error.errno == errno.ETIMEDOUT else CloseReason.RESET


# -- listeners -----------------------------------------------------------------------------------------------


class Acceptor(Protocol):
    """Takes what listeners accept."""

    def on_accepted(self, listener: Listener, sock: socket.socket, remote: Address) -> None:
        """Takes one connection, whose socket does not block."""

    def on_gone(self, gone: object) -> None:
        """Is called once, when the listener's socket is closed."""


@final
class Listener:
    """Accepts connections to one address."""

    def __init__(
        self, sock: socket.socket, acceptor: Acceptor, *, handle: Handle | None, paused: bool, by_task: bool
    ) -> None:
        self.address: Final = canonical(sock.getsockname())
        self.name: Final[Handle | Address] = self.address if handle is None else handle
        self.paused: Final = paused
        """Whether what it accepts is not read until `Splice` or a `Bytes` to it."""
        self._sock = sock
        self._acceptor = acceptor
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._accepting: asyncio.Task[None] | None = None
        if by_task:
            self._accepting = self._loop.create_task(self._accept_forever(), name=f"icepath accept {self.address}")
        else:
            self._loop.add_reader(sock, self._on_readable)

    def _on_readable(self) -> None:
        for _ in range(ACCEPT_BATCH):
            try:
                sock, source = self._sock.accept()
            except OSError as error:
                if error.errno in NO_DESCRIPTORS:
                    self._loop.remove_reader(self._sock)
                    self._pause = self._loop.call_later(ACCEPT_PAUSE, self._resume)
                    return
                if isinstance(error, BlockingIOError):
                    return
                continue  # the connection ended before it was accepted
            self._take(sock, source)
            if self._sock.fileno() < 0:
                return

    def _take(self, sock: socket.socket, source: OsAddress) -> None:
        sock.setblocking(False)
        self._acceptor.on_accepted(self, sock, canonical(source))

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock, self._on_readable)

    async def _accept_forever(self) -> None:
        accepted = 0
        while True:
            accepted += 1
            if not accepted % ACCEPT_BATCH:  # `sock_accept` does not wait while there is a connection
                await asyncio.sleep(0)
            try:
                sock, source = await self._loop.sock_accept(self._sock)
            except OSError as error:
                await asyncio.sleep(ACCEPT_PAUSE if error.errno in NO_DESCRIPTORS else 0)
                continue
            self._take(sock, source)

    def close(self) -> None:
        """Stops listening; what it accepted goes on."""
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting.add_done_callback(self._end)
        elif self._sock.fileno() >= 0:
            if self._pause is not None:
                self._pause.cancel()
            else:
                self._loop.remove_reader(self._sock)
            self._end()

    def _end(self, _accepting: asyncio.Task[None] | None = None) -> None:
        """Closes the socket once no task of ours waits on it: the loop still names it by its number."""
        self._sock.close()
        self._acceptor.on_gone(self)
