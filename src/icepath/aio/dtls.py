"""DTLS associations with servers (RFC 7350, RFC 8489 §6.2.3): one `Bytes` is one message, each way.

pyOpenSSL, the extra `dtls`, is imported when the first association is made, in a thread: it takes 150 ms. It works
between memory buffers over a UDP socket of our own (udp.py). A memory buffer joins what OpenSSL would send as
datagrams, so it is cut again at records; OpenSSL's retransmission timer runs on the loop's. The certificate is
verified as for TLS, and the name in it by `service_identity` (RFC 6125), which pyOpenSSL recommends for that.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, cast, final

from icepath.aio import tcp
from icepath.aio.byte_stream import StreamOwner
from icepath.aio.sockets import open_socket
from icepath.aio.tcp import StreamOptions
from icepath.aio.tls import Contexts, Trust
from icepath.aio.udp import UdpOptions, UdpSocket
from icepath.machine import CloseReason, Connect, Datagram, FailReason, Handle, Unreachable
from icepath.net import Address, Instant

if TYPE_CHECKING:
    from OpenSSL import SSL, crypto

# Bytes of UDP payload in a flight of the handshake: passes every path that IPv6's 1,280 bytes pass (RFC 8489 §6.1).
MTU: Final = 1_200
# Bytes: the largest record's payload. RFC 6347 §4.1.1: a record is one datagram, and larger ones are refused.
MAX_MESSAGE: Final = 16_384
# type (1 byte), version (2), epoch (2), sequence number (6), length (2)
RECORD_HEADER: Final = 13
READ_SIZE: Final = 64 << 10

# RFC 792, RFC 4443: port unreachable.
PORT_UNREACHABLE: Final = frozenset({(3, 3), (1, 4)})

# RFC 8489 §6.2.3: forward secrecy only, and nothing with known weaknesses; both suites that MUST be there are.
CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM"
DTLS_1_2: Final = 0xFEFD


class DtlsUnavailable(Exception):
    """Reports that pyOpenSSL is not installed."""


def client_context(trust: Trust) -> SSL.Context:
    """Makes the context for associations with servers.

    Raises: DtlsUnavailable; OSError when the file of authorities cannot be used.
    """
    try:
        from OpenSSL import SSL

        importlib.import_module("service_identity.cryptography")  # here, in the thread, for `_mismatch`
    except ImportError as error:
        raise DtlsUnavailable(f"DTLS needs the extra dtls: pip install 'icepath[dtls]' ({error})") from None
    context = SSL.Context(SSL.DTLS_CLIENT_METHOD)
    # DTLS 1.3 has other record headers than those that are cut here.
    context.set_min_proto_version(DTLS_1_2)
    context.set_max_proto_version(DTLS_1_2)
    context.set_cipher_list(CIPHERS)
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_COMPRESSION)
    if trust.verify:
        context.set_default_verify_paths()
        if trust.cafile is not None:
            try:
                context.load_verify_locations(trust.cafile)
            except SSL.Error:
                raise OSError("no certificates could be read") from None
    if trust.alpn:
        context.set_alpn_protos([name.encode() for name in trust.alpn])
    return context


contexts: Final = Contexts(client_context)
"""Those of this process."""


@final
class DtlsAssociation:
    """Is one association with a server, over a UDP socket of its own."""

    def __init__(self, command: Connect, owner: StreamOwner, options: StreamOptions) -> None:
        self.handle: Final[Handle] = command.handle
        self.remote: Final = command.remote
        self._local = command.local
        self._name: Final = command.server_name or command.remote.host
        self._verify: Final = command.verify
        self._owner = owner
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._socket: UdpSocket | None = None
        self._connection: SSL.Connection | None = None
        self._untrusted = ""
        """Why the certificate was refused."""
        self._early: list[bytes] = []
        self._is_open = False
        self._is_ended = False
        # Ended for the owner, and still to be opened: what was to be sent goes first.
        self._is_leaving = False
        self._timer: asyncio.TimerHandle | None = None
        self._patience = self._loop.call_later(options.connect_timeout, self._on_slow_start)

    # -- beginnings --------------------------------------------------------------------------------------------

    def start(self, context: SSL.Context) -> None:
        """Opens the socket and begins the handshake; `on_opened` or `on_failed` follows, perhaps at once."""
        if self._is_ended:
            return
        try:
            local = self._local or Address(local_host(self.remote), 0)
            self._socket = UdpSocket(open_socket(local), 0, self, UdpOptions(reader=self._options.reader, join=False))
        except OSError as error:
            self.fail(tcp.bind_failure(error, self._local.port if self._local else 0), str(error))
            return
        try:
            self._connection = connection = self._new_connection(context)
        except (ValueError, TypeError) as error:  # no name at all, or a NUL in it
            self.fail(FailReason.TLS_CERTIFICATE, f"{self._name!r} is no name of a server: {error}")
            return
        self._advance(connection)

    def _new_connection(self, context: SSL.Context) -> SSL.Connection:
        from OpenSSL import SSL

        connection = SSL.Connection(context, None)
        connection.set_connect_state()
        connection.set_ciphertext_mtu(MTU)
        if self._verify:
            connection.set_verify(SSL.VERIFY_PEER, self._is_trusted)
        if not _is_ip_address(self._name):
            connection.set_tlsext_host_name(self._name.encode("idna"))
        return connection

    def _is_trusted(
        self, _connection: SSL.Connection, certificate: crypto.X509, number: int, depth: int, verdict: int
    ) -> bool:
        """Judges each certificate after OpenSSL has; the server's own must have the name, too."""
        if not verdict:
            self._untrusted = _describe(number)
        elif depth == 0:
            self._untrusted = _mismatch(certificate, self._name)
        return not self._untrusted

    def _advance(self, connection: SSL.Connection) -> None:
        """Goes on with the handshake."""
        from OpenSSL import SSL

        try:
            connection.do_handshake()
        except SSL.WantReadError:
            self._flush(connection)
            self._rearm(connection)
            return
        except SSL.Error as error:
            self._flush(connection)  # the alert
            if self._untrusted:
                self.fail(FailReason.TLS_CERTIFICATE, self._untrusted)
            else:
                self.fail(FailReason.TLS_HANDSHAKE, _words(error))
            return
        self._flush(connection)
        self._open(connection)

    def _open(self, connection: SSL.Connection) -> None:
        self._is_open = True
        self._patience.cancel()
        self._disarm()
        early, self._early = self._early, []
        for payload in early:
            self._send(connection, payload)
        sock = self._socket
        if self._is_leaving or sock is None:
            self._end(abort=False)
            return
        alpn = connection.get_alpn_proto_negotiated().decode("ascii", "replace")
        self._owner.on_opened(self.handle, sock.address, self.remote, alpn or None)

    def fail(self, reason: FailReason, detail: str) -> None:
        """Ends what has not been opened."""
        if self._is_ended:
            return
        self._end(abort=False)
        if not self._is_leaving:
            self._owner.on_failed(self.handle, reason, detail)

    def _on_slow_start(self) -> None:
        self.fail(FailReason.TIMED_OUT, f"the DTLS handshake took longer than {self._options.connect_timeout:g} s")

    # -- OpenSSL's timer ---------------------------------------------------------------------------------------

    def _rearm(self, connection: SSL.Connection) -> None:
        self._disarm()
        delay = connection.DTLSv1_get_timeout()
        if delay is not None:
            self._timer = self._loop.call_later(delay, self._on_timer, connection)

    def _on_timer(self, connection: SSL.Connection) -> None:
        from OpenSSL import SSL

        self._timer = None
        try:
            connection.DTLSv1_handle_timeout()
        except SSL.Error as error:
            self.fail(FailReason.TIMED_OUT, _words(error))
            return
        self._flush(connection)
        self._rearm(connection)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- messages ----------------------------------------------------------------------------------------------

    def write(self, payload: bytes, droppable: bool) -> None:
        """Sends one message; until the handshake is done it is kept, within the same bounds as a byte stream's."""
        connection = self._connection
        if self._is_leaving or not payload:
            return
        if self._is_open and connection is not None:
            self._send(connection, payload)
            return
        backlog = sum(map(len, self._early)) + len(payload)
        if backlog <= (self._options.high_water if droppable else self._options.limit):
            self._early.append(payload)
        elif droppable:
            self._owner.on_dropped()
        else:
            self.fail(FailReason.UNSUPPORTED, f"more than {self._options.limit} bytes to send before it was open")

    def _send(self, connection: SSL.Connection, payload: bytes) -> None:
        if len(payload) > MAX_MESSAGE:
            self._owner.on_dropped()
            return
        connection.send(payload)
        self._flush(connection)

    def _flush(self, connection: SSL.Connection) -> None:
        """Sends what OpenSSL has to send."""
        from OpenSSL import SSL

        parts: list[bytes] = []
        try:
            while True:
                parts.append(connection.bio_read(READ_SIZE))
        except SSL.WantReadError:
            pass
        sock = self._socket
        if sock is not None:
            for payload in datagrams(b"".join(parts)):
                sock.send(Datagram(sock.address, self.remote, payload))

    # -- what the socket says ----------------------------------------------------------------------------------

    def on_datagram(self, datagram: Datagram, now: Instant) -> None:  # noqa: ARG002 - OpenSSL reads the clock itself
        """Takes what the server sent."""
        connection = self._connection
        if datagram.remote != self.remote or not datagram.payload or connection is None:
            return
        connection.bio_write(datagram.payload)
        if not self._is_open:
            self._advance(connection)
        if self._is_open:
            self._read(connection)

    def _read(self, connection: SSL.Connection) -> None:
        from OpenSSL import SSL

        while not self._is_ended:
            try:
                payload = connection.recv(READ_SIZE)
            except SSL.WantReadError:
                self._flush(connection)  # the server has not had the handshake's last flight: it goes once more
                return
            except SSL.ZeroReturnError:
                self._lose(CloseReason.EOF)
                return
            except SSL.Error:
                self._lose(CloseReason.TLS)
                return
            self._owner.on_bytes(self.handle, payload)

    def on_unreachable(self, unreachable: Unreachable, now: Instant) -> None:  # noqa: ARG002 - DatagramSink's
        """Takes an ICMP error: anybody may forge one, so it ends only what has not been opened."""
        if not self._is_open and unreachable.remote == self.remote:
            kind = (unreachable.icmp_type, unreachable.icmp_code)
            reason = FailReason.REFUSED if kind in PORT_UNREACHABLE else FailReason.UNREACHABLE
            self.fail(reason, f"ICMP type {kind[0]}, code {kind[1]}")

    def on_drained(self, now: Instant) -> None:
        """Has nothing to do: each datagram was seen to as it came."""

    def on_backlog(self, queued: bool) -> None:
        """Has nothing to do: the socket drops what it has no room for."""

    def on_socket_closed(self, closed: UdpSocket) -> None:
        """Completes the end."""
        del closed
        self._owner.on_gone(self)

    # -- ends --------------------------------------------------------------------------------------------------

    def close(self, *, abort: bool) -> None:
        """Ends on the owner's wish, who hears nothing more; with a notice to the server unless `abort`."""
        self._is_leaving = True
        if abort or not self._early:
            self._end(abort=abort)

    def hasten(self, *, abort: bool) -> None:
        """Ends what is left after `close`."""
        self._end(abort=abort)

    def _lose(self, reason: CloseReason) -> None:
        self._is_leaving = True
        self._end(abort=False)
        self._owner.on_closed(self.handle, reason)

    def _end(self, *, abort: bool) -> None:
        if self._is_ended:
            return
        self._is_ended = True
        self._patience.cancel()
        self._disarm()
        self._early.clear()
        connection, self._connection = self._connection, None
        if connection is not None and self._is_open and not abort:
            connection.shutdown()
            self._flush(connection)
        if self._socket is None:
            self._owner.on_gone(self)
        else:
            self._socket.close(abort=abort)


def datagrams(flight: bytes) -> Iterator[bytes]:
    """Cuts what OpenSSL has written at records, as many to a datagram as the MTU allows."""
    begin = end = 0
    while end < len(flight):
        following = end + RECORD_HEADER + int.from_bytes(flight[end + 11 : end + RECORD_HEADER], "big")
        if following - begin > MTU and end > begin:
            yield flight[begin:end]
            begin = end
        end = following
    if begin < len(flight):
        yield flight[begin:]


def local_host(remote: Address) -> str:
    """Returns the address from which the system would reach another.

    Raises: OSError when there is no way.
    """
    with socket.socket(socket.AF_INET6 if remote.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(remote)
        return tcp.canonical(probe.getsockname()).host


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _mismatch(certificate: crypto.X509, name: str) -> str:
    """Returns why the certificate is not that of the name or IP address; nothing when it is."""
    from service_identity import CertificateError, VerificationError
    from service_identity.cryptography import extract_patterns
    from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity

    wanted = IPAddress_ID(name) if _is_ip_address(name) else DNS_ID(name)
    try:
        verify_service_identity(extract_patterns(certificate.to_cryptography()), [wanted], [])
    except (CertificateError, VerificationError, ValueError):
        return f"the certificate is not for {name}"
    return ""


def _describe(number: int) -> str:
    """Returns OpenSSL's name of a verification error, in words."""
    from OpenSSL import SSL

    for name, value in vars(SSL.X509VerificationCodes).items():
        if value == number and name.startswith("ERR_"):
            return name.removeprefix("ERR_").replace("_", " ").lower()
    return f"verification error {number}"


def _words(error: SSL.Error) -> str:
    """Returns what OpenSSL says about a failure."""
    # [(library, function, reason), ...]
    entries = cast("list[tuple[str, str, str]]", error.args[0]) if error.args else []
    return ", ".join(reason for _, _, reason in entries) or "the handshake failed"
