"""TLS over byte streams: handshakes, certificates, names, ends, under every loop and way of reading."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from aio.authority import ALPN, NAME, Authority, made_up
from aio.echo_machine import LOOPS, LoopFactory
from aio.stream_stage import HOST, Raw, Stage, run_clean
from icepath.aio import byte_streams, tls
from icepath.aio.records import TooManyLookups
from icepath.aio.tcp import StreamOptions
from icepath.aio.tls import CONTEXTS, Contexts, TlsSession, Trust, client_context, server_context
from icepath.machine import (
    Accepted,
    Bind,
    Bytes,
    Close,
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

WAYS = [
    pytest.param(LOOPS[0], "auto", id="asyncio"),
    pytest.param(LOOPS[1], "auto", id="uvloop"),
    pytest.param(LOOPS[0], "task", id="task"),
    pytest.param(LOOPS[1], "task", id="uvloop, task"),
]
every_way = pytest.mark.parametrize(("loop_factory", "reader"), WAYS)
BULK = bytes(range(256)) * (2 << 10)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return made_up(tmp_path_factory.mktemp("authority"), HOST)


@contextlib.asynccontextmanager
async def stages(authority: Authority, reader: str = "auto", **more: float) -> AsyncIterator[tuple[Stage, Stage]]:
    options = replace(authority.options, reader=reader, **more)  # type: ignore[arg-type]
    async with Stage(options) as client, Stage(options) as server:
        yield client, server


# -- handshakes --------------------------------------------------------------------------------------------------


@pytest.mark.rfc("7443", "1")
@every_way
def test_bytes_go_both_ways_and_the_protocol_is_agreed_on(
    authority: Authority, loop_factory: LoopFactory, reader: str
) -> None:
    async def main() -> None:
        async with stages(authority, reader) as (client, server):
            there = server.running.open_tcp(HOST, context=authority.server())
            handle = client.connect(there, security=Security.TLS, server_name=NAME, alpn=ALPN[1:])
            opened, accepted = await client.opened(handle), await server.accepted()
            assert opened == Opened(handle, accepted.remote, there, ALPN[1])
            assert accepted == Accepted(Handle(-1), there, there, opened.local, Security.TLS)
            client.put(Bytes(handle, b""), Bytes(handle, BULK))
            await server.got(accepted.handle, BULK)
            server.put(Bytes(accepted.handle, BULK), Close(accepted.handle))
            await client.got(handle, BULK)
            assert await client.closed(handle) is CloseReason.EOF

    run_clean(main, loop_factory)


@pytest.mark.rfc("8489", "6.2.3")
@pytest.mark.parametrize("name", [NAME, "a.wild.example", HOST, None])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_name_or_an_ip_address_is_found_in_the_certificate(
    authority: Authority, name: str | None, version: ssl.TLSVersion
) -> None:
    async def main() -> None:
        async with stages(authority) as (client, server):
            context = authority.server(alpn=())
            context.minimum_version = context.maximum_version = version
            there = server.running.open_tcp(HOST, context=context)
            handle = client.connect(there, security=Security.TLS, server_name=name, alpn=ALPN)
            assert (await client.opened(handle)).alpn is None
            client.put(Bytes(handle, b"hello"))
            await server.got(Handle(-1), b"hello")
            client.close(handle)
            assert await server.closed(Handle(-1)) is CloseReason.EOF

    run_clean(main)


@pytest.mark.rfc("8489", "6.2.3")
@pytest.mark.parametrize("name", ["other.example", "a.b.wild.example", "wild.example", "127.0.0.2", ".example", "a\0b"])
def test_a_certificate_for_another_name_is_refused(authority: Authority, name: str) -> None:
    async def main() -> None:
        async with stages(authority) as (client, server):
            there = server.running.open_tcp(HOST, context=authority.server())
            client.put(
                Connect(Handle(1), None, there, security=Security.TLS, server_name=name), Bytes(Handle(1), b"secret")
            )
            failed = await client.failed(Handle(1))
            assert failed.reason is FailReason.TLS_CERTIFICATE
            assert failed.detail
            assert server.events == []  # neither the failed handshake nor a byte

    run_clean(main)


@every_way
def test_an_unknown_authority_is_refused_unless_nothing_is_verified(
    authority: Authority, loop_factory: LoopFactory, reader: str
) -> None:
    async def main() -> None:
        stranger = replace(authority, options=StreamOptions())
        async with stages(stranger, reader) as (client, server):
            there = server.running.open_tcp(HOST, context=authority.server())
            failed = await client.failed(client.connect(there, security=Security.TLS, server_name=NAME))
            assert failed.reason is FailReason.TLS_CERTIFICATE
            assert failed.detail == "unable to get local issuer certificate"
            handle = client.connect(there, security=Security.TLS, server_name="any.example", verify=False)
            await client.opened(handle)

    run_clean(main, loop_factory)


def test_a_self_signed_certificate_is_refused(authority: Authority, tmp_path: Path) -> None:
    async def main() -> None:
        lonely = trustme.CA()
        path = tmp_path / "lonely.pem"
        path.write_bytes(lonely.private_key_pem.bytes() + lonely.cert_pem.bytes())
        async with stages(authority) as (client, server):
            there = server.running.open_tcp(HOST, context=server_context(str(path)))
            failed = await client.failed(client.connect(there, security=Security.TLS, server_name=NAME))
            assert (failed.reason, failed.detail) == (FailReason.TLS_CERTIFICATE, "self-signed certificate")

    run_clean(main)


def test_a_file_of_authorities_that_cannot_be_read(authority: Authority) -> None:
    async def main() -> None:
        for cafile in ("/nowhere.pem", __file__):
            async with stages(replace(authority, options=StreamOptions(cafile=cafile))) as (client, server):
                there = server.running.open_tcp(HOST, context=authority.server())
                failed = await client.failed(client.connect(there, security=Security.TLS, server_name=NAME))
                assert failed.reason is FailReason.TLS_CERTIFICATE
                assert failed.detail.startswith(f"{cafile}: ")

    run_clean(main)


@every_way
def test_a_server_that_speaks_no_tls(authority: Authority, loop_factory: LoopFactory, reader: str) -> None:
    async def speak(peer: Raw) -> None:
        await peer.send(b"220 mail.example\r\n")

    async def end(peer: Raw) -> None:
        peer.end()

    async def reset(peer: Raw) -> None:
        await peer.read(1)  # the handshake has begun
        peer.reset()

    async def main() -> None:
        server = Raw.listen()
        async with Stage(replace(authority.options, reader=reader)) as client:  # type: ignore[arg-type]
            for behave in (speak, end, reset):
                handle = client.connect(server.address, security=Security.TLS, server_name=NAME)
                peer = await server.accept()
                await behave(peer)
                assert (await client.failed(handle)).reason is FailReason.TLS_HANDSHAKE
                peer.close()
        server.close()

    run_clean(main, loop_factory)


@every_way
def test_a_server_that_never_answers(authority: Authority, loop_factory: LoopFactory, reader: str) -> None:
    async def main() -> None:
        server = Raw.listen()
        async with Stage(replace(authority.options, reader=reader, connect_timeout=0.1)) as client:  # type: ignore[arg-type]
            handle = client.connect(server.address, security=Security.TLS, server_name=NAME)
            peer = await server.accept()
            failed = await client.failed(handle)
            assert failed == Failed(handle, FailReason.TIMED_OUT, "the TLS handshake took longer than 0.1 s")
            assert (await peer.read_all())[:1] == b"\x16"
            peer.close()
        server.close()

    run_clean(main, loop_factory)


@every_way
def test_a_client_that_does_not_finish_is_nobodys_business(
    authority: Authority, loop_factory: LoopFactory, reader: str
) -> None:
    async def main() -> None:
        async with stages(authority, reader, handshake_timeout=0.03) as (_, server):
            address = server.running.open_tcp(HOST, context=authority.server())
            slow, wrong = await Raw.connect(address), await Raw.connect(address)
            await slow.send(b"\x16")
            await wrong.send(b"GET / HTTP/1.0\r\n\r\n")
            await wrong.read_all()
            await slow.read_all()
            assert server.events == []
            assert not server.running.byte_streams._origins
            slow.close()
            wrong.close()

    run_clean(main, loop_factory)


@every_way
def test_bytes_before_the_handshake_is_done_and_a_close_right_behind(
    authority: Authority, loop_factory: LoopFactory, reader: str
) -> None:
    async def main() -> None:
        async with stages(authority, reader) as (client, server):
            there = server.running.open_tcp(HOST, context=authority.server())
            client.put(
                Connect(Handle(1), None, there, Transport.TCP, Security.TLS, NAME),
                Bytes(Handle(1), BULK),
                Close(Handle(1)),
            )
            await server.accepted()
            assert await server.closed(Handle(-1)) is CloseReason.EOF
            assert server.received(Handle(-1)) == BULK
            assert client.events == []

    run_clean(main, loop_factory)


# -- after the handshake -----------------------------------------------------------------------------------------


class Secured:
    """Is a server over a raw socket, that may break the protocol."""

    def __init__(self, raw: Raw, context: ssl.SSLContext) -> None:
        self.raw = raw
        self.session = TlsSession(context, server_name=None)

    async def handshake(self) -> None:
        while not self.session.advance():
            await self._exchange()
        await self.flush()

    async def flush(self) -> None:
        await self.raw.send(self.session.take_output())

    async def _exchange(self) -> None:
        await self.flush()
        self.session.feed(await asyncio.get_running_loop().sock_recv(self.raw.sock, 65_536))


@every_way
def test_an_end_without_notice_and_garbage_are_the_protocols_failures(
    authority: Authority, loop_factory: LoopFactory, reader: str
) -> None:
    async def main() -> None:
        listener = Raw.listen()
        async with Stage(replace(authority.options, reader=reader)) as client:  # type: ignore[arg-type]
            for garbage in (b"", b"\x17\x03\x03\x00\x20" + bytes(32)):
                handle = client.connect(listener.address, security=Security.TLS, server_name=NAME)
                peer = Secured(await listener.accept(), authority.server())
                await peer.handshake()
                await client.opened(handle)
                await peer.raw.send(peer.session.write(b"good") + garbage)
                peer.raw.end()
                assert await client.closed(handle) is CloseReason.TLS
                assert client.received(handle) == b"good"
                assert await peer.raw.read_all()  # an alert
                peer.raw.close()
        listener.close()

    run_clean(main, loop_factory)


@every_way
def test_a_paused_one_is_read_when_bytes_go_to_it(authority: Authority, loop_factory: LoopFactory, reader: str) -> None:
    async def main() -> None:
        listener = Raw.listen()
        async with Stage(replace(authority.options, reader=reader)) as client:  # type: ignore[arg-type]
            handle = client.connect(listener.address, security=Security.TLS, server_name=NAME, paused=True)
            peer = Secured(await listener.accept(), authority.server())
            await peer.handshake()
            await peer.raw.send(peer.session.write(b"with the last flight"))
            await client.opened(handle)
            assert client.received(handle) == b""
            client.put(Bytes(handle, b"go on"))
            await client.got(handle, b"with the last flight")
            client.close(handle, abort=True)
            peer.raw.close()
        listener.close()

    run_clean(main, loop_factory)


@every_way
def test_a_splice_of_tls_with_plain_passes_half_closes_on(
    authority: Authority, loop_factory: LoopFactory, reader: str
) -> None:
    async def main() -> None:
        async with stages(authority, reader) as (client, relay):
            inside = relay.running.open_tcp(HOST, context=authority.server())
            relay.put(Bind(Handle(9), Address(HOST, 0), Transport.TCP, listen=True, paused=True))
            outside = (await relay.opened(Handle(9))).local
            handle = client.connect(inside, security=Security.TLS, server_name=NAME)
            await client.opened(handle)
            first = (await relay.accepted(1)).handle
            far = await Raw.connect(outside)
            second = (await relay.accepted(2)).handle
            relay.put(Splice(first, second))
            client.put(Bytes(handle, BULK))
            assert await far.read(len(BULK)) == BULK
            await far.send(BULK)
            far.end()
            await client.got(handle, BULK)
            assert await client.closed(handle) is CloseReason.EOF
            assert await far.read_all() == b""
            assert {await relay.closed(first), await relay.closed(second)} == {CloseReason.EOF}
            far.close()

    run_clean(main, loop_factory)


def test_a_peer_that_never_reads_is_bounded_under_tls_too(authority: Authority) -> None:
    async def main() -> None:
        listener = Raw.listen()
        async with Stage(authority.options) as client:
            handle = client.connect(listener.address, security=Security.TLS, server_name=NAME)
            peer = Secured(await listener.accept(), authority.server())
            await peer.handshake()
            await client.opened(handle)
            client.put(*(Bytes(handle, BULK) for _ in range(100)))
            await client.until(lambda: client.heard(Closed))
            assert client.heard(Closed) == [Closed(handle, CloseReason.SLOW)]
            peer.raw.close()
        listener.close()

    run_clean(main)


def test_a_notice_that_does_not_fit_is_sent_when_there_is_room(authority: Authority) -> None:
    async def main() -> None:
        listener = Raw.listen()
        async with Stage(authority.options) as client:
            handle = client.connect(listener.address, security=Security.TLS, server_name=NAME)
            peer = Secured(await listener.accept(), authority.server())
            await peer.handshake()
            await client.opened(handle)
            client.put(Bytes(handle, BULK + BULK[:400_000]), Close(handle))
            peer.session.feed(await peer.raw.read_all())
            assert peer.session.read() == BULK + BULK[:400_000]
            assert peer.session.ended is CloseReason.EOF
            peer.raw.close()
        listener.close()

    run_clean(main)


# -- contexts ----------------------------------------------------------------------------------------------------


@pytest.mark.rfc("8489", "6.2.3")
def test_the_suites_that_must_be_there_are_and_all_have_forward_secrecy() -> None:
    suites = {suite["name"] for suite in client_context(Trust(verify=False)).get_ciphers()}
    assert {"ECDHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256"} <= suites
    assert {name.partition("_")[0].partition("-")[0] for name in suites} == {"ECDHE", "DHE", "TLS"}
    assert client_context(Trust(verify=False)).options & ssl.OP_NO_COMPRESSION


@pytest.mark.rfc("8489", "6.2.3")
def test_what_bcp_195_asks_of_a_client() -> None:
    """RFC 9325 §3.1 to §3.5: TLS 1.2 and later, no renegotiation, no compression, names verified."""
    context = client_context(Trust())
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_whether_a_certificate_was_revoked_is_not_asked() -> None:
    assert not client_context(Trust()).verify_flags & (ssl.VERIFY_CRL_CHECK_LEAF | ssl.VERIFY_CRL_CHECK_CHAIN)


def test_contexts_are_made_once_and_not_kept_without_bound() -> None:
    made: list[Trust] = []

    def make(trust: Trust) -> int:
        made.append(trust)
        return len(made)

    contexts = Contexts(make)
    assert contexts.known(Trust()) is None
    assert contexts.load(Trust()) == contexts.known(Trust()) == 1
    for index in range(CONTEXTS):
        contexts.load(Trust(cafile=str(index)))
    assert contexts.known(Trust()) is None
    assert contexts.known(Trust(cafile=str(CONTEXTS - 1))) == CONTEXTS + 1


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes contexts anew, as in a process that has made none."""
    monkeypatch.setattr(tls, "contexts", Contexts(client_context))


@pytest.mark.usefixtures("forgotten")
def test_contexts_are_made_in_a_thread_or_here_when_there_are_too_many(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def overrun(call: Callable[..., object], *args: object) -> object:
        raise TooManyLookups

    async def main() -> None:
        async with stages(authority) as (client, server):
            there = server.running.open_tcp(HOST, context=authority.server())
            monkeypatch.setattr(byte_streams, "in_thread", overrun)
            await client.opened(client.connect(there, security=Security.TLS, server_name=NAME))

    run_clean(main)


@pytest.mark.usefixtures("forgotten")
def test_the_end_does_not_wait_for_a_context(authority: Authority) -> None:
    async def main() -> None:
        server = Raw.listen()
        async with Stage(replace(authority.options, linger=0.02)) as client:
            handle = client.connect(server.address, security=Security.TLS, server_name=NAME)
            client.put(Bytes(handle, b"never sent"))
        server.close()

    run_clean(main)


def test_a_session_that_is_not_open_has_nothing_to_finish() -> None:
    session = TlsSession(client_context(Trust(verify=False)), server_name=NAME)
    assert session.finish() == b""
    assert session.alpn is None
