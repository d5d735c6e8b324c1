"""TLS 1.3 without cryptography: its round trip, the size of its flights, names, trust and ALPN.

What it says is in the byte stream like any bytes, so loss, rate and MTU apply to it; afterwards bytes travel
as they are. The client asks; the server answers with its certificate; the client judges that, and either
says it is finished (its byte stream is open then, the server's when that arrives) or says why not. DTLS
shares the judgement and the form of the messages: dtls.py. RFC 8446, RFC 7301 (ALPN), RFC 9525 (names).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from icepath.machine import FailReason

# RFC 8446 §5.1: content type, legacy version, length.
_HEADER: Final = 5
_HANDSHAKE: Final = b"\x16\x03\x03"
# Usual sizes in bytes: a hello, a flight with two certificates, what ends it.
HELLO_SIZE: Final = 300
SERVER_FLIGHT_SIZE: Final = 3000
FINISHED_SIZE: Final = 80
MAX_BODY: Final = 16_384

HELLO: Final = "hello"
CERTIFICATE: Final = "certificate"
FINISHED: Final = "finished"
ALERT: Final = "alert"


@dataclass(frozen=True, slots=True)
class TlsServer:
    """Says who a TLS or DTLS server is."""

    names: tuple[str, ...]
    """In its certificate: host names (`*.example.org` too) and addresses."""
    is_trusted: bool = True
    """Whether an authority that clients trust has signed it."""
    alpn: tuple[str, ...] = ()
    """What it speaks, best first; without any it agrees to none and refuses none."""

    def choose(self, offered: tuple[str, ...]) -> str | None:
        """Returns the protocol to speak, or None when there is nothing to agree on."""
        return next((protocol for protocol in self.alpn if protocol in offered), None)

    def refuses(self, offered: tuple[str, ...]) -> bool:
        """Says whether both sides name protocols and have none in common (RFC 7301 §3.2)."""
        return bool(self.alpn and offered) and self.choose(offered) is None


@dataclass(frozen=True, slots=True)
class TlsClient:
    """Says what a client asks for, and how it judges."""

    server_name: str
    """The name or address that the certificate must have."""
    alpn: tuple[str, ...] = ()
    verify: bool = True

    def judges(self, names: tuple[str, ...], *, is_trusted: bool) -> bool:
        """Says whether the certificate will do."""
        return not self.verify or (is_trusted and any(_matches(name, self.server_name) for name in names))


def _matches(name: str, wanted: str) -> bool:
    # RFC 9525 §6.3: a wildcard stands for one label.
    return name == wanted or (name.startswith("*.") and name[2:] == wanted.partition(".")[2])


def encode(kind: str, *fields: str, size: int = FINISHED_SIZE) -> bytes:
    """Returns a handshake message, of at least that size."""
    body = "\n".join((kind, *fields)).encode().ljust(size - _HEADER, b"\0")
    return _HANDSHAKE + len(body).to_bytes(2, "big") + body


def decode(message: bytes) -> list[str] | None:
    """Returns the kind and fields of a whole handshake message, or None when it is none."""
    if message[: len(_HANDSHAKE)] != _HANDSHAKE:
        return None
    return message[_HEADER:].rstrip(b"\0").decode("utf-8", "replace").split("\n")


def client_hello(client: TlsClient) -> bytes:
    """Returns what a client says first."""
    return encode(HELLO, client.server_name, ",".join(client.alpn), size=HELLO_SIZE)


def server_flight(server: TlsServer, alpn: str | None) -> bytes:
    """Returns the server's answer."""
    trust = "trusted" if server.is_trusted else ""
    return encode(CERTIFICATE, ",".join(server.names), trust, alpn or "", size=SERVER_FLIGHT_SIZE)


def split(text: str) -> tuple[str, ...]:
    """Returns the items of a field."""
    return tuple(item for item in text.split(",") if item)


class Handshake:
    """Is one side's handshake over a byte stream, a `TlsClient`'s or a `TlsServer`'s."""

    __slots__ = ("_buffer", "_output", "_side", "alpn", "failure", "is_done")

    def __init__(self, side: TlsClient | TlsServer) -> None:
        self.alpn: str | None = None
        self.is_done = False
        self.failure: FailReason | None = None
        """Once it has failed."""
        self._side = side
        self._buffer = bytearray()
        self._output = client_hello(side) if isinstance(side, TlsClient) else b""

    def take_output(self) -> bytes:
        """Returns what is to be sent now."""
        output, self._output = self._output, b""
        return output

    def take_rest(self) -> bytes:
        """Returns what came after the handshake."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def feed(self, payload: bytes) -> None:
        """Takes bytes of the far side."""
        self._buffer += payload
        while not self.is_done and self.failure is None and len(self._buffer) >= _HEADER:
            length = int.from_bytes(self._buffer[_HEADER - 2 : _HEADER], "big")
            if not self._buffer.startswith(_HANDSHAKE) or length > MAX_BODY:
                self._fail(FailReason.TLS_HANDSHAKE)
                return
            if len(self._buffer) < _HEADER + length:
                return
            message = decode(bytes(self._buffer[: _HEADER + length])) or []
            del self._buffer[: _HEADER + length]
            self._on_message(message)

    def _on_message(self, message: list[str]) -> None:
        side = self._side
        match message:
            case [kind, *_] if kind == ALERT:
                self.failure = FailReason.TLS_HANDSHAKE
            case [kind, _, offered] if kind == HELLO and isinstance(side, TlsServer):
                self.alpn = side.choose(split(offered))
                if side.refuses(split(offered)):
                    self._fail(FailReason.TLS_HANDSHAKE)
                else:
                    self._output = server_flight(side, self.alpn)
            case [kind, names, trust, alpn] if kind == CERTIFICATE and isinstance(side, TlsClient):
                self.alpn = alpn or None
                if side.judges(split(names), is_trusted=bool(trust)):
                    self._output = encode(FINISHED)
                    self.is_done = True
                else:
                    self._fail(FailReason.TLS_CERTIFICATE)
            case [kind] if kind == FINISHED and isinstance(side, TlsServer):
                self.is_done = True
            case _:
                self._fail(FailReason.TLS_HANDSHAKE)

    def _fail(self, reason: FailReason) -> None:
        self.failure = reason
        self._output = encode(ALERT)
