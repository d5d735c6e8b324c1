"""The byte streams, associations and TCP listeners of one machine, by handle.

Carries out `Connect`, TCP `Bind`s, `Bytes`, `Splice` and `Close`, and turns what happens into arrivals. One
connection is byte_stream.py's, one DTLS association dtls.py's. Contexts of TLS are made in a thread while the
connection is made: reading the system's authorities takes 50 ms, which would hold up every machine.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias, final

from icepath.aio import dtls, tcp, tls
from icepath.aio.byte_stream import ByteStream
from icepath.aio.dtls import DtlsAssociation, DtlsUnavailable
from icepath.aio.records import TooManyLookups, in_thread
from icepath.aio.tcp import Listener, StreamOptions
from icepath.aio.tls import Contexts, ContextT, TlsSession, Trust
from icepath.machine import (
    Accepted,
    Arrival,
    Bind,
    Bytes,
    Closed,
    CloseReason,
    Connect,
    Failed,
    FailReason,
    Handle,
    Opened,
    Security,
    Splice,
    Transport,
)
from icepath.net import Address

logger: Final = logging.getLogger("icepath")

Endpoint: TypeAlias = ByteStream | DtlsAssociation


@final
class ByteStreams:
    """Is every byte stream, association and TCP listener of one machine."""

    def __init__(
        self, on_arrival: Callable[[Arrival], None], on_ended: Callable[[], None], options: StreamOptions
    ) -> None:
        """Takes what is told each arrival, and what is called after `end` when the last socket is closed."""
        self.dropped = 0
        """Droppable `Bytes` that were discarded because a byte stream was behind."""
        self.refused = 0
        """Connections refused because as many were accepted as are allowed."""
        self._on_arrival = on_arrival
        self._on_ended = on_ended
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._endpoints: dict[Handle, Endpoint] = {}
        self._listeners: dict[Handle | Address, Listener] = {}
        self._reserved: dict[Handle, socket.socket] = {}
        # Server contexts of listeners that have one.
        self._secured: dict[Address, ssl.SSLContext] = {}
        # Everything with a socket, until the socket is closed.
        self._live: set[object] = set()
        # Accepted ones: what the owner must be told when they open, and those never written to, oldest first.
        self._origins: dict[Handle, Listener] = {}
        self._accepted: set[object] = set()
        self._silent: dict[Handle, ByteStream] = {}
        self._scopes: dict[str, int] = {}
        self._loading: set[asyncio.Task[None]] = set()
        self._last_handle = 0
        self._has_ended = False

    # -- commands ----------------------------------------------------------------------------------------------

    def connect(self, command: Connect) -> None:
        """Carries out `Connect`."""
        match command.transport, command.security:
            case Transport.TCP, Security.NONE | Security.TLS:
                self._connect_tcp(command)
            case Transport.UDP, Security.DTLS:
                self._associate(command)
            case transport, security:
                detail = f"no {security.name} over {transport.name}"
                self.on_failed(command.handle, FailReason.UNSUPPORTED, detail)

    def bind(self, command: Bind) -> None:
        """Carries out a TCP `Bind`: a listener, or a port kept for simultaneous opens."""
        handle, local = command.handle, command.local
        try:
            open_it = tcp.open_listener if command.listen else tcp.reserve_port
            sock = open_it(local, scope_id=self._scopes.get(local.host, 0), ports=command.port_range)
        except OSError as error:
            self.on_failed(handle, tcp.bind_failure(error, local.port), str(error))
            return
        if command.listen:
            address = self._listen(sock, handle=handle, paused=command.paused).address
        else:
            self._reserved[handle] = sock
            address = tcp.canonical(sock.getsockname())
        self._on_arrival(Opened(handle, address))

    def listen(
        self,
        local: Address,
        *,
        ports: tuple[int, int] | None,
        scope_id: int,
        paused: bool,
        context: ssl.SSLContext | None,
    ) -> Address:
        """Opens a listener that is named by its address; with a context, for TLS.

        Raises: OSError as the system gives it.
        """
        listener = self._listen(tcp.open_listener(local, scope_id=scope_id, ports=ports), handle=None, paused=paused)
        self._scopes[local.host] = scope_id
        if context is not None:
            self._secured[listener.address] = context
        return listener.address

    def write(self, output: Bytes) -> None:
        """Sends; for an unknown handle it does nothing."""
        endpoint = self._endpoints.get(output.handle)
        if endpoint is not None:
            self._silent.pop(output.handle, None)
            endpoint.write(output.payload, output.droppable)

    def splice(self, command: Splice) -> None:
        """Lets bytes flow both ways between two byte streams; both are known, or it does nothing."""
        a, b = self._endpoints.get(command.a), self._endpoints.get(command.b)
        if isinstance(a, ByteStream) and isinstance(b, ByteStream):
            self._silent.pop(a.handle, None)
            self._silent.pop(b.handle, None)
            a.splice(b)
        else:
            logger.debug("%r: not two byte streams", command)

    def close(self, name: Handle | Address, *, abort: bool = False) -> None:
        """Ends what the handle names, or the listener of an address."""
        listener = self._listeners.pop(name, None)
        if listener is not None:
            listener.close()
        if isinstance(name, Address):
            return
        reserved = self._reserved.pop(name, None)
        if reserved is not None:
            reserved.close()
        endpoint = self._endpoints.get(name)
        if endpoint is not None:
            self._forget(name)
            endpoint.close(abort=abort)

    def end(self, *, abort: bool) -> None:
        """Ends everything; `on_ended` follows, perhaps at once."""
        self._has_ended = True
        for task in self._loading:
            task.cancel()
        for name in [*self._listeners, *self._reserved, *self._endpoints]:
            self.close(name, abort=abort)
        for endpoint in list(self._live):
            if isinstance(endpoint, ByteStream | DtlsAssociation):
                endpoint.hasten(abort=abort)
        self._finish()

    @property
    def is_ended(self) -> bool:
        """Says whether every socket is closed."""
        return self._has_ended and not self._live and not self._loading

    # -- connecting --------------------------------------------------------------------------------------------

    def _connect_tcp(self, command: Connect) -> None:
        handle, remote, local = command.handle, command.remote, command.local
        scope_id = self._scopes.get(local.host, 0) if local is not None else 0
        try:
            sock = tcp.open_connector(local, remote, scope_id=scope_id)
        except OSError as error:
            port = 0 if local is None else local.port
            self.on_failed(handle, tcp.bind_failure(error, port), str(error))
            return
        secure = command.security is Security.TLS
        stream = ByteStream(handle, sock, self, self._options, remote=remote, secure=secure, paused=command.paused)
        self._endpoints[handle] = stream
        self._live.add(stream)
        stream.connect(tcp.os_address(remote, scope_id))
        if secure and handle in self._endpoints:
            self._with_context(tls.contexts, command, stream, partial(self._secure, stream, command))

    def _secure(self, stream: ByteStream, command: Connect, context: ssl.SSLContext) -> None:
        try:
            session = TlsSession(context, server_name=command.server_name or command.remote.host)
        except ValueError as error:
            stream.fail(*tls.failure_of(error))
        else:
            stream.secure(session)

    def _associate(self, command: Connect) -> None:
        association = DtlsAssociation(command, self, self._options)
        self._endpoints[command.handle] = association
        self._live.add(association)
        self._with_context(dtls.contexts, command, association, association.start)

    def _with_context(
        self, contexts: Contexts[ContextT], command: Connect, endpoint: Endpoint, then: Callable[[ContextT], None]
    ) -> None:
        """Calls back with the context: now if it has been made before, else when a thread has made it."""
        trust = Trust(command.verify, self._options.cafile if command.verify else None, command.alpn)
        context = contexts.known(trust)
        if context is not None:
            then(context)
            return
        task = self._loop.create_task(_load(contexts, trust, endpoint, then), name="icepath TLS context")
        self._loading.add(task)
        task.add_done_callback(self._on_loaded)

    def _on_loaded(self, task: asyncio.Task[None]) -> None:
        self._loading.discard(task)
        self._finish()

    # -- listening ---------------------------------------------------------------------------------------------

    def _listen(self, sock: socket.socket, *, handle: Handle | None, paused: bool) -> Listener:
        by_task = self._options.reader == "task" or not tcp.has_readers(self._loop, sock)
        listener = Listener(sock, self, handle=handle, paused=paused, by_task=by_task)
        self._listeners[listener.name] = listener
        self._live.add(listener)
        return listener

    def on_accepted(self, listener: Listener, sock: socket.socket, remote: Address) -> None:
        """Takes one connection; when there are too many, the one that was never answered for longest goes."""
        if len(self._accepted) >= self._options.accepted:
            oldest = next(iter(self._silent.values()), None)
            if oldest is None:
                self.refused += 1
                tcp.reset_on_close(sock)
                sock.close()
                return
            oldest.evict()
        self._last_handle -= 1
        handle = Handle(self._last_handle)
        context = self._secured.get(listener.address)
        stream = ByteStream(
            handle, sock, self, self._options, remote=remote, secure=context is not None, paused=listener.paused
        )
        self._endpoints[handle] = self._silent[handle] = stream
        self._origins[handle] = listener
        self._live.add(stream)
        self._accepted.add(stream)
        stream.accepted(None if context is None else TlsSession(context, server_name=None))

    # -- what byte streams and associations say ----------------------------------------------------------------

    def on_opened(self, handle: Handle, local: Address, remote: Address, alpn: str | None) -> None:
        """Answers `Connect`, or reports what was accepted."""
        listener = self._origins.pop(handle, None)
        if listener is None:
            self._on_arrival(Opened(handle, local, remote, alpn))
        else:
            security = Security.TLS if listener.address in self._secured else Security.NONE
            self._on_arrival(Accepted(handle, listener.name, local, remote, security))

    def on_failed(self, handle: Handle, reason: FailReason, detail: str) -> None:
        """Answers `Connect` or `Bind`; nobody has heard of what was accepted and failed in its handshake."""
        is_known = handle not in self._origins
        self._forget(handle)
        if is_known:
            self._on_arrival(Failed(handle, reason, detail))

    def on_bytes(self, handle: Handle, payload: bytes) -> None:
        """Passes on what arrived."""
        self._on_arrival(Bytes(handle, payload))

    def on_closed(self, handle: Handle, reason: CloseReason) -> None:
        """Reports an end."""
        self._forget(handle)
        self._on_arrival(Closed(handle, reason))

    def on_dropped(self) -> None:
        """Counts what was discarded."""
        self.dropped += 1

    def on_gone(self, gone: object) -> None:
        """Forgets a socket; the last one completes the end."""
        self._live.discard(gone)
        self._accepted.discard(gone)
        self._finish()

    def _forget(self, handle: Handle) -> None:
        self._endpoints.pop(handle, None)
        self._origins.pop(handle, None)
        self._silent.pop(handle, None)

    def _finish(self) -> None:
        if self.is_ended:
            self._on_ended()


async def _load(
    contexts: Contexts[ContextT], trust: Trust, endpoint: Endpoint, then: Callable[[ContextT], None]
) -> None:
    try:
        try:
            context = await in_thread(contexts.load, trust)
        except TooManyLookups:
            context = contexts.load(trust)  # better a moment's delay for all than none for this one, ever
    except DtlsUnavailable as error:
        endpoint.fail(FailReason.UNSUPPORTED, str(error))
    except OSError as error:
        endpoint.fail(FailReason.TLS_CERTIFICATE, f"{trust.cafile}: {error}")
    else:
        then(context)
