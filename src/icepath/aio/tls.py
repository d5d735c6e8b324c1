"""TLS between two memory buffers: bytes of the wire in, bytes of the wire out, whatever carries them.

Here live contexts and one `TlsSession` per byte stream; sockets, timers and queues are byte_stream.py's, which
therefore works the same under every event loop. RFC 8489 §6.2.3: the server's certificate is verified, and the
name or IP address in it; RFC 7443: ALPN. Contexts are kept: reading the system's authorities takes 50 ms.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar, final

from icepath.machine import CloseReason, FailReason

Alpn: TypeAlias = tuple[str, ...]
ContextT = TypeVar("ContextT")

# What one call asks OpenSSL for: the largest record is 16 KiB, more than one may wait.
READ_SIZE: Final = 64 << 10
# Contexts kept: kinds of (verify, cafile, ALPN), of which a process has a few.
CONTEXTS: Final = 16


class Trust(NamedTuple):
    """Is what decides which context a client needs."""

    verify: bool = True
    cafile: str | None = None
    """Authorities besides the system's, as a PEM file."""
    alpn: Alpn = ()


@final
class Contexts(Generic[ContextT]):
    """Keeps the contexts that were made; `load` reads files, so it is for a thread."""

    def __init__(self, make: Callable[[Trust], ContextT]) -> None:
        self._make = make
        self._known: dict[Trust, ContextT] = {}

    def known(self, trust: Trust) -> ContextT | None:
        """Returns the context if it has been made."""
        return self._known.get(trust)

    def load(self, trust: Trust) -> ContextT:
        """Makes and keeps the context."""
        context = self._make(trust)
        if len(self._known) >= CONTEXTS:
            self._known.clear()
        self._known[trust] = context
        return context


def client_context(trust: Trust) -> ssl.SSLContext:
    """Makes the context for connections to servers.

    Raises: OSError, ssl.SSLError when the file of authorities cannot be used.
    """
    # Python's defaults: TLS 1.2 and later, no compression, (EC)DHE only, AES-128-GCM with both.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trust.verify:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if trust.cafile is not None:
            context.load_verify_locations(trust.cafile)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return _prepared(context, trust.alpn)


contexts: Final = Contexts(client_context)
"""Those of this process."""


def server_context(certificate: str, key: str | None = None, *, alpn: Alpn = ()) -> ssl.SSLContext:
    """Returns the context for a listener, from PEM files.

    Raises: OSError, ssl.SSLError when they cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return _prepared(context, alpn)


def _prepared(context: ssl.SSLContext, alpn: Alpn) -> ssl.SSLContext:
    # A renegotiation would stop writing until bytes arrive; nobody needs one.
    context.options |= ssl.OP_NO_RENEGOTIATION
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def failure_of(error: Exception) -> tuple[FailReason, str]:
    """Says why a handshake failed, and in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return FailReason.TLS_CERTIFICATE, error.verify_message
    if isinstance(error, ssl.SSLEOFError):
        return FailReason.TLS_HANDSHAKE, "the connection ended in the handshake"
    if isinstance(error, ssl.SSLError):
        return FailReason.TLS_HANDSHAKE, error.reason or str(error)
    # A name that is none (an empty label, a NUL), or a file that cannot be read.
    return FailReason.TLS_CERTIFICATE, str(error)


@final
class TlsSession:
    """Is one side of a TLS connection."""

    def __init__(self, context: ssl.SSLContext, *, server_name: str | None) -> None:
        """Takes the name or IP address the server's certificate must have; None on the server's side.

        Raises: ValueError when it is no name.
        """
        self.ended: CloseReason | None = None
        """EOF when the other side has said that it sends no more, TLS when it broke the protocol or off."""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        try:
            self._tls = context.wrap_bio(
                self._incoming, self._outgoing, server_side=server_name is None, server_hostname=server_name
            )
        except TypeError as error:  # a NUL in it
            raise ValueError(str(error)) from None

    @property
    def alpn(self) -> str | None:
        """Returns the protocol agreed on."""
        return self._tls.selected_alpn_protocol()

    def feed(self, data: bytes) -> None:
        """Takes what arrived; nothing means that no more will."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def take_output(self) -> bytes:
        """Returns what is to be sent."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def advance(self) -> bool:
        """Goes on with the handshake; True when it is done.

        Raises: ssl.SSLError when it failed.
        """
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def read(self) -> bytes:
        """Returns what has arrived, decrypted; look at `ended` afterwards."""
        parts: list[bytes] = []
        try:
            while part := self._tls.read(READ_SIZE):
                parts.append(part)
            self.ended = CloseReason.EOF
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = CloseReason.EOF
        except ssl.SSLError:
            # RFC 8446 §6.1: an end without close_notify may be an attacker's.
            self.ended = CloseReason.TLS
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, payload: bytes) -> bytes:
        """Returns the payload encrypted, behind whatever else is to be sent; the handshake must be done."""
        written = self._tls.write(payload) if payload else 0
        while written < len(payload):  # one record at a time
            written += self._tls.write(memoryview(payload)[written:])
        return self._outgoing.read()

    def finish(self) -> bytes:
        """Returns the message that no more will be sent (close_notify)."""
        with contextlib.suppress(ssl.SSLError, OSError):  # it would wait for the other side's own
            self._tls.unwrap()
        return self._outgoing.read()
