"""The byte streams and associations of one machine, by handle: what its commands do to them.

A runner has one table. Handles of what is accepted count down from -1. After `Close` nothing is reported.
"""

from __future__ import annotations

from collections.abc import Callable

from icepath.machine import (
    Arrival,
    Bind,
    Bytes,
    Close,
    Connect,
    FailReason,
    Handle,
    Security,
    Splice,
    Transport,
)
from icepath.net import Address
from icepath.sim.byte_stream import ByteStream, HandleOwner
from icepath.sim.clock import Clock
from icepath.sim.dtls import ClientAssociation
from icepath.sim.sockets import Sockets
from icepath.sim.tcp_stack import TcpPort
from icepath.sim.tls import Handshake, TlsClient

_UNNAMED = Handle(0)


class Handles:
    """Keeps what one machine has open, but for datagram sockets."""

    __slots__ = ("_last", "_open", "_ports", "_report", "_sockets", "clock")

    def __init__(self, clock: Clock, sockets: Sockets, report: Callable[[Arrival], None]) -> None:
        self.clock = clock
        self._report = report
        self._sockets = sockets
        self._open: dict[Handle, HandleOwner] = {}
        self._ports: dict[Handle, Address] = {}
        self._last = 0

    # -- commands --------------------------------------------------------------------------------------------

    def bind(self, command: Bind) -> Address | FailReason:
        """Binds a TCP port, to listen or to connect from."""
        port = self._sockets.tcp.bind(command, self)
        if isinstance(port, FailReason):
            return port
        port.handle = command.handle
        self._ports[command.handle] = port.local
        return port.local

    def connect(self, command: Connect) -> FailReason | None:
        """Begins a byte stream or an association, or says why not."""
        client = TlsClient(command.server_name or command.remote.host, command.alpn, command.verify)
        match (command.transport, command.security):
            case (Transport.UDP, Security.DTLS):
                association = ClientAssociation(self, self._sockets, command.remote, command.handle, client)
                self._open[command.handle] = association
                failure = association.open(command.local)
            case (Transport.TCP, Security.NONE | Security.TLS):
                failure = self._connect_tcp(command, client if command.security is Security.TLS else None)
            case _:
                failure = FailReason.UNSUPPORTED
        if failure is not None:
            self._open.pop(command.handle, None)
        return failure

    def carry(self, command: Bytes | Splice) -> None:
        """Sends bytes if the handle is open, or joins two byte streams if both are."""
        if isinstance(command, Bytes):
            owner = self._open.get(command.handle)
            if owner is not None:
                owner.write(command)
            return
        a, b = self._open.get(command.a), self._open.get(command.b)
        if isinstance(a, ByteStream) and isinstance(b, ByteStream) and a is not b:
            a.splice(b)

    def close(self, command: Close) -> None:
        """Ends a byte stream, an association or a port."""
        owner = self._open.get(command.handle)
        if owner is not None:
            owner.close(abort=command.abort)
        local = self._ports.pop(command.handle, None)
        if local is not None:
            self._sockets.tcp.free(local, self)

    def close_all(self) -> None:
        """Ends everything, for the machine is over."""
        for owner in list(self._open.values()):
            owner.close(abort=False)
        self._ports.clear()
        self._sockets.tcp.free_all(self)

    # -- what byte streams ask -------------------------------------------------------------------------------

    def incoming(self, port: TcpPort) -> ByteStream:
        """Returns the byte stream for a connection that comes in."""
        handshake = None if port.tls is None else Handshake(port.tls)
        return ByteStream(
            self, self._sockets.tcp, handle=_UNNAMED, handshake=handshake, is_paused=port.paused, port=port
        )

    def report(self, arrival: Arrival) -> None:
        """Tells the machine; never within one of its own calls."""
        self._report(arrival)

    def enter(self, owner: HandleOwner) -> Handle:
        """Gives a handle to what was accepted."""
        self._last -= 1
        handle = Handle(self._last)
        self._open[handle] = owner
        return handle

    def remove(self, owner: HandleOwner) -> None:
        """Forgets one that has ended."""
        self._open.pop(owner.handle, None)

    def _connect_tcp(self, command: Connect, client: TlsClient | None) -> FailReason | None:
        stream = ByteStream(
            self,
            self._sockets.tcp,
            handle=command.handle,
            handshake=None if client is None else Handshake(client),
            is_paused=command.paused,
        )
        connection = self._sockets.tcp.connect(command.local, command.remote, stream, self)
        if isinstance(connection, FailReason):
            return connection
        stream.adopt(connection)
        self._open[command.handle] = stream
        return None
