"""DTLS 1.2 without cryptography: cookie, two more round trips, messages as datagrams (RFC 6347 §4.2).

The client repeats its last flight until it is answered; the server keeps nothing before the cookie came
back. A message that is lost stays lost. The judgement of certificates is tls.py's. Records begin with the
bytes of real ones (RFC 7983 §7), so that whoever looks at the first byte sees DTLS.
"""

from __future__ import annotations

from typing import Final

from icepath.machine import (
    Accepted,
    Bind,
    Bytes,
    Closed,
    CloseReason,
    Datagram,
    Failed,
    FailReason,
    Handle,
    Opened,
    Security,
    Unreachable,
)
from icepath.net import Address, Seconds
from icepath.sim.byte_stream import HandleTable
from icepath.sim.sockets import Sockets
from icepath.sim.tls import (
    ALERT,
    CERTIFICATE,
    FINISHED,
    HELLO,
    HELLO_SIZE,
    TlsClient,
    TlsServer,
    decode,
    encode,
    server_flight,
    split,
)

# RFC 6347 §4.2.4.1: 1 s, doubled.
FLIGHT_TIMEOUT: Final[Seconds] = 1.0
# How many associations of one listener may be unfinished.
BACKLOG: Final = 128
_VERIFY: Final = "verify"
_DATA: Final = b"\x17\xfe\xfd"
_CLOSE_NOTIFY: Final = b"\x15\xfe\xfd"


class Association:
    """Is one side of one association, as a machine sees it."""

    def __init__(self, table: HandleTable, sockets: Sockets, local: Address, remote: Address, handle: Handle) -> None:
        self.handle = handle
        self.local = local
        self.remote = remote
        self.is_open = False
        self._table = table
        self._sockets = sockets
        self._is_attached = True

    def write(self, output: Bytes) -> None:
        """Sends one message; before the handshake is done there is no way to."""
        if self.is_open:
            self._send(_DATA + output.payload)

    def close(self, *, abort: bool) -> None:
        """Ends it; the far side is told unless it is aborted."""
        if self.is_open and not abort:
            self._send(_CLOSE_NOTIFY)
        self._detach()

    def _take_record(self, payload: bytes) -> None:
        """Takes what is no handshake message."""
        if not self.is_open:
            return
        if payload.startswith(_DATA):
            self._table.report(Bytes(self.handle, payload[len(_DATA) :]))
        elif payload.startswith(_CLOSE_NOTIFY):
            self._detach()
            self._table.report(Closed(self.handle, CloseReason.EOF))

    def _send(self, payload: bytes) -> None:
        self._sockets.send(Datagram(self.local, self.remote, payload))

    def _detach(self) -> None:
        self._is_attached = False
        self.is_open = False
        self._table.remove(self)
        self._free()

    def _free(self) -> None:
        """Gives back what it holds."""


class ClientAssociation(Association):
    """Is the side that asks; it has a socket of its own."""

    def __init__(
        self, table: HandleTable, sockets: Sockets, remote: Address, handle: Handle, client: TlsClient
    ) -> None:
        super().__init__(table, sockets, remote, remote, handle)
        self._client = client
        self._flight = b""
        self._retries = 0
        self._alpn: str | None = None

    def open(self, local: Address | None) -> FailReason | None:
        """Begins; or says why not."""
        source = local or self._sockets.source_for(self.remote)
        if source is None or source.is_ipv6 != self.remote.is_ipv6:
            return FailReason.UNREACHABLE
        bound = self._sockets.open(Bind(self.handle, source), self)
        if isinstance(bound, FailReason):
            return bound
        self.local = bound
        clock = self._table.clock
        clock.schedule_call(clock.now + self._sockets.tcp.config.connect_timeout, self._on_slow_start)
        self._say_hello("")
        return None

    def arrive(self, arrival: Datagram | Unreachable) -> None:
        """Takes what came to its socket."""
        if isinstance(arrival, Unreachable):
            if not self.is_open:
                self._fail(FailReason.REFUSED)
        elif arrival.remote == self.remote:
            message = decode(arrival.payload)
            if message is None:
                self._take_record(arrival.payload)
            elif not self.is_open:
                self._on_message(message)

    def _on_message(self, message: list[str]) -> None:
        match message:
            case [kind, cookie] if kind == _VERIFY:
                self._say_hello(cookie)
            case [kind, names, trust, alpn] if kind == CERTIFICATE:
                self._alpn = alpn or None
                if self._client.judges(split(names), is_trusted=bool(trust)):
                    self._fly(encode(FINISHED))
                else:
                    self._send(encode(ALERT))
                    self._fail(FailReason.TLS_CERTIFICATE)
            case [kind] if kind == FINISHED:
                self.is_open = True
                self._table.report(Opened(self.handle, self.local, self.remote, self._alpn))
            case _:
                self._fail(FailReason.TLS_HANDSHAKE)

    def _say_hello(self, cookie: str) -> None:
        client = self._client
        self._fly(encode(HELLO, client.server_name, ",".join(client.alpn), cookie, size=HELLO_SIZE))

    def _fly(self, flight: bytes) -> None:
        if flight != self._flight:
            self._flight = flight
            self._retries = 0
            self._send(flight)
            self._wait()

    def _wait(self) -> None:
        clock = self._table.clock
        clock.schedule(clock.now + FLIGHT_TIMEOUT * 2**self._retries, self._on_silence, self._flight)

    def _on_silence(self, flight: bytes) -> None:
        if not self._is_attached or self.is_open or flight != self._flight:
            return
        self._retries += 1
        self._send(flight)
        self._wait()

    def _on_slow_start(self) -> None:
        if self._is_attached and not self.is_open:
            self._fail(FailReason.TIMED_OUT)

    def _fail(self, reason: FailReason) -> None:
        self._detach()
        self._table.report(Failed(self.handle, reason, f"{self.remote}: {reason.name}"))

    def _free(self) -> None:
        self._sockets.free(self.local, self)


class _ServerAssociation(Association):
    """Is one that came in to a listener."""

    def __init__(self, listener: DtlsListener, table: HandleTable, remote: Address, flight: bytes) -> None:
        super().__init__(table, listener.sockets, listener.local, remote, Handle(0))
        self._listener = listener
        self._flight = flight

    def receive(self, payload: bytes, message: list[str] | None) -> None:
        """Takes a datagram of its far side."""
        if message is None:
            self._take_record(payload)
        elif message[0] == FINISHED:
            self._send(encode(FINISHED))
            if not self.is_open:
                self.is_open = True
                self.handle = self._table.enter(self)
                accepted = Accepted(self.handle, self.local, self.local, self.remote, Security.DTLS)
                self._table.report(accepted)
        elif message[0] == HELLO:
            self._send(self._flight)
        elif not self.is_open:
            self._detach()

    def expire(self) -> None:
        """Forgets it if the client never finished."""
        if not self.is_open and self._is_attached:
            self._detach()

    def _free(self) -> None:
        self._listener.forget(self.remote)


class DtlsListener:
    """Is a host's socket for DTLS; unowned until a machine is attached."""

    def __init__(self, sockets: Sockets, server: TlsServer) -> None:
        self.sockets = sockets
        self.local = Address("", 0)
        self.owner: HandleTable | None = None
        self._server = server
        self._by_remote: dict[Address, _ServerAssociation] = {}

    def arrive(self, arrival: Datagram | Unreachable) -> None:
        """Takes what came to the socket."""
        if isinstance(arrival, Unreachable) or self.owner is None:
            return
        message = decode(arrival.payload)
        known = self._by_remote.get(arrival.remote)
        if known is not None:
            known.receive(arrival.payload, message)
            return
        match message:
            case [kind, _, offered, cookie] if kind == HELLO:
                self._on_hello(self.owner, arrival.remote, split(offered), cookie)
            case _:
                pass  # of an association that is over

    def forget(self, remote: Address) -> None:
        """Forgets an association."""
        del self._by_remote[remote]

    def _on_hello(self, table: HandleTable, remote: Address, offered: tuple[str, ...], cookie: str) -> None:
        if cookie != str(remote):
            answer = encode(_VERIFY, str(remote))
        elif self._server.refuses(offered):
            answer = encode(ALERT)
        elif sum(not association.is_open for association in self._by_remote.values()) >= BACKLOG:
            return
        else:
            answer = server_flight(self._server, self._server.choose(offered))
            association = self._by_remote[remote] = _ServerAssociation(self, table, remote, answer)
            patience = self.sockets.tcp.config.handshake_timeout
            table.clock.schedule_call(table.clock.now + patience, association.expire)
        self.sockets.send(Datagram(self.local, remote, answer))
