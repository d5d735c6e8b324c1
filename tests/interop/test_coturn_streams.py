"""STUN Bindings to a real coturn over TCP, TLS and DTLS: a tiny machine at work on sockets of this computer.

Skips without `turnserver`; `make test-interop` runs it.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from aio.echo_machine import LOOPS, LoopFactory, run
from icepath.aio.driver import Driver
from icepath.aio.running import Running
from icepath.aio.tcp import StreamOptions
from icepath.machine import (
    Arrival,
    Bytes,
    Close,
    Command,
    Connect,
    Event,
    Failed,
    FailReason,
    Handle,
    MachineClosed,
    Opened,
    Security,
    Transport,
)
from icepath.net import Address, Instant
from icepath.wire.attributes import XorMappedAddress
from icepath.wire.framing import StunFramer
from icepath.wire.message import MessageClass, Method, TransactionId, decode_message, encode_message

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("turnserver") is None, reason="coturn is not installed"),
]

HOST = "127.0.0.1"
NAME = "turn.example"
PATIENCE = 10.0
HANDLE = Handle(1)


@dataclass(frozen=True, slots=True)
class Told(Event):
    """Reports what the server said our address is, and what it is, or why there was no answer."""

    mapped: Address | None
    local: Address | None = None
    reason: FailReason | None = None


class Asker:
    """Is a machine that asks one server once, and then closes what it asked over."""

    def __init__(self, connect: Connect) -> None:
        self._outputs: list[Bytes | Command | Told | MachineClosed] = [connect]
        self._framer = StunFramer()
        self._local: Address | None = None

    def receive(self, arrival: Arrival, *, now: Instant) -> None:
        match arrival:
            case Opened(local=local):
                self._local = local
                request = encode_message(
                    Method.BINDING, MessageClass.REQUEST, TransactionId(secrets.token_bytes(12)), fingerprint=True
                )
                self._outputs.append(Bytes(HANDLE, request))
            case Bytes(payload=payload):
                for message in self._framer.feed(payload):
                    found = decode_message(message).get(XorMappedAddress)
                    mapped = None if found is None else found.address
                    self._outputs += [Told(mapped, self._local), Close(HANDLE), MachineClosed()]
            case Failed(reason=reason):
                self._outputs += [Told(None, reason=reason), MachineClosed()]
            case _:
                raise AssertionError(arrival)

    def handle_timeout(self, *, now: Instant) -> None: ...

    def next_deadline(self) -> Instant | None:
        return None

    def close(self, *, now: Instant) -> None:
        self._outputs.append(MachineClosed())

    def take_outputs(self) -> Sequence[Bytes | Command | Told | MachineClosed]:
        outputs, self._outputs = self._outputs, []
        return outputs


async def ask(server: Address, transport: Transport, security: Security, name: str, options: StreamOptions) -> Told:
    """Runs the machine to its end."""
    told: list[Told] = []

    def on_event(event: Told | MachineClosed) -> None:
        if isinstance(event, Told):
            told.append(event)

    alpn = () if security is Security.NONE else ("stun.nat-discovery",)
    machine = Asker(Connect(HANDLE, None, server, transport, security, name, alpn))
    running: Running[Told | MachineClosed] = Driver.current().run(machine, on_event, stream_options=options)
    await running.wait_closed()
    (only,) = told
    return only


@dataclass(frozen=True)
class Server:
    """Is a running coturn."""

    plain: Address
    secure: Address
    cafile: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("coturn")
    issuer = trustme.CA()
    issuer.cert_pem.write_to_path(str(folder / "authority.pem"))
    issued = issuer.issue_cert(NAME, HOST)
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    (folder / "certificate.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    plain, secure = free_port(), free_port()
    command = [
        *("turnserver", "-n", "--no-cli", "--simple-log", "-v", "-L", HOST, "-E", HOST, "-z", "--log-file=stdout"),
        *("-p", str(plain), f"--tls-listening-port={secure}"),
        *(f"--cert={folder / 'certificate.pem'}", f"--pkey={folder / 'key.pem'}"),
        *(f"--pidfile={folder / 'pid'}", f"--db={folder / 'db'}"),
    ]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    try:
        # Each listener takes everything: coturn tells protocols apart by the first byte.
        for port in (plain, secure):
            await_text(process, log, f"DTLS/UDP listener opened on: {HOST}:{port}")
            await_text(process, log, f"TLS/TCP listener opened on : {HOST}:{port}")
        yield Server(Address(HOST, plain), Address(HOST, secure), str(folder / "authority.pem"))
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def await_text(process: subprocess.Popen[bytes], log: Path, text: str) -> None:
    end = time.monotonic() + PATIENCE
    while text not in log.read_text(errors="replace"):
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < end, log.read_text(errors="replace")
        time.sleep(0.05)


WAYS = [
    pytest.param(Transport.TCP, Security.NONE, id="TCP"),
    pytest.param(Transport.TCP, Security.TLS, id="TLS"),
    pytest.param(Transport.UDP, Security.DTLS, id="DTLS"),
]


@pytest.mark.rfc("8489", "6.2.3")
@pytest.mark.rfc("7350", "3")
@pytest.mark.parametrize("loop_factory", LOOPS)
@pytest.mark.parametrize(("transport", "security"), WAYS)
def test_a_binding(server: Server, transport: Transport, security: Security, loop_factory: LoopFactory) -> None:
    async def main() -> None:
        address = server.plain if security is Security.NONE else server.secure
        options = StreamOptions(cafile=server.cafile)
        told = await asyncio.gather(*(ask(address, transport, security, NAME, options) for _ in range(5)))
        assert len({answer.local for answer in told}) == 5
        for answer in told:
            assert answer.mapped is not None
            assert answer.mapped == answer.local

    run(main(), loop_factory)


@pytest.mark.rfc("8489", "6.2.3")
@pytest.mark.parametrize(("transport", "security"), WAYS[1:])
def test_a_server_of_another_name_is_not_asked(server: Server, transport: Transport, security: Security) -> None:
    async def main() -> None:
        options = StreamOptions(cafile=server.cafile)
        told = await ask(server.secure, transport, security, "other.example", options)
        assert told == Told(None, reason=FailReason.TLS_CERTIFICATE)

    run(main())
