"""DTLS associations on loopback with a server of pyOpenSSL's, under every loop and way of reading."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from OpenSSL import SSL

from aio.authority import ALPN, NAME, Authority, made_up
from aio.echo_machine import LOOPS, LoopFactory
from aio.stream_stage import HOST, Stage, run_clean
from icepath.aio import dtls
from icepath.aio.dtls import MAX_MESSAGE, MTU, DtlsAssociation, client_context, datagrams
from icepath.aio.tcp import StreamOptions
from icepath.aio.tls import Contexts, Trust
from icepath.machine import (
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
    Unreachable,
)
from icepath.net import Address

WAYS = [
    pytest.param(LOOPS[0], "auto", id="asyncio"),
    pytest.param(LOOPS[1], "auto", id="uvloop"),
    pytest.param(LOOPS[0], "task", id="task"),
]
every_way = pytest.mark.parametrize(("loop_factory", "reader"), WAYS)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return made_up(tmp_path_factory.mktemp("authority"), HOST)


class Server:
    """Sends every message back; may be deaf to the first datagrams."""

    def __init__(self, certificate: str, *, deaf: int = 0) -> None:
        self.messages: list[bytes] = []
        self.datagrams: list[bytes] = []
        self.ended = asyncio.Event()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind((HOST, 0))
        self.address = Address(*self.sock.getsockname())
        self._deaf = deaf
        self._client: tuple[str, int] | None = None
        context = SSL.Context(SSL.DTLS_SERVER_METHOD)
        context.use_certificate_chain_file(certificate)
        context.use_privatekey_file(certificate)
        context.set_options(SSL.OP_NO_QUERY_MTU)
        context.set_alpn_select_callback(lambda _, offered: b"stun.turn" if b"stun.turn" in offered else offered[0])
        self.connection = SSL.Connection(context, None)
        self.connection.set_accept_state()
        self.connection.set_ciphertext_mtu(1_400)
        self._is_open = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.sock, self._on_readable)

    def _on_readable(self) -> None:
        payload, self._client = self.sock.recvfrom(65_535)
        self.datagrams.append(payload)
        if len(self.datagrams) <= self._deaf:
            return
        self.connection.bio_write(payload)
        try:
            if not self._is_open:
                self.connection.do_handshake()
                self._is_open = True
            while True:
                self.messages.append(self.connection.recv(65_535))
                self.send(self.messages[-1])
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.ended.set()
        except SSL.Error:
            pass  # the client's alert
        self.flush()

    def send(self, payload: bytes) -> None:
        self.connection.send(payload)
        self.flush()

    def flush(self) -> None:
        assert self._client is not None
        try:
            while True:
                self.send_raw(self.connection.bio_read(65_535))
        except SSL.WantReadError:
            pass

    def send_raw(self, flight: bytes) -> None:
        assert self._client is not None
        for payload in datagrams(flight):
            self.sock.sendto(payload, self._client)

    def close(self) -> None:
        self._loop.remove_reader(self.sock)
        self.sock.close()


def open_one(stage: Stage, server: Server, **more: object) -> Handle:
    return stage.connect(server.address, security=Security.DTLS, server_name=NAME, **more)  # type: ignore[arg-type]


# -- handshakes --------------------------------------------------------------------------------------------------


@pytest.mark.rfc("7350", "3")
@every_way
def test_messages_go_both_ways_whole(authority: Authority, loop_factory: LoopFactory, reader: str) -> None:
    async def main() -> None:
        server = Server(authority.certificate)
        async with Stage(replace(authority.options, reader=reader)) as stage:  # type: ignore[arg-type]
            handle = open_one(stage, server, alpn=ALPN)
            opened = await stage.opened(handle)
            assert opened == Opened(handle, Address(HOST, opened.local.port), server.address, "stun.turn")
            messages = [b"a", bytes(1_200), bytes(MAX_MESSAGE), b"z"]
            stage.put(*(Bytes(handle, message) for message in messages), Bytes(handle, b""))
            await stage.until(lambda: len(stage.heard(Bytes)) == len(messages))
            assert server.messages == messages
            assert stage.heard(Bytes) == [Bytes(handle, message) for message in messages]
            stage.close(handle)
            await server.ended.wait()
        server.close()

    run_clean(main, loop_factory)


@pytest.mark.rfc("8489", "6.2.3")
@pytest.mark.parametrize("name", [NAME, "a.wild.example", HOST, None])
def test_a_name_or_an_ip_address_is_found_in_the_certificate(authority: Authority, name: str | None) -> None:
    async def main() -> None:
        server = Server(authority.certificate)
        async with Stage(authority.options) as stage:
            handle = stage.connect(server.address, security=Security.DTLS, server_name=name)
            assert (await stage.opened(handle)).alpn is None
            assert server.connection.get_servername() == (None if name in (None, HOST) else name.encode())
        server.close()

    run_clean(main)


@pytest.mark.rfc("8489", "6.2.3")
@pytest.mark.parametrize("name", ["other.example", "a.b.wild.example", "127.0.0.2", "a..b", "a\0b", "x" * 64])
def test_a_certificate_for_another_name_is_refused(authority: Authority, name: str) -> None:
    async def main() -> None:
        server = Server(authority.certificate)
        async with Stage(authority.options) as stage:
            handle = stage.connect(server.address, security=Security.DTLS, server_name=name)
            stage.put(Bytes(handle, b"secret"))
            failed = await stage.failed(handle)
            assert failed.reason is FailReason.TLS_CERTIFICATE
            assert name in failed.detail or repr(name) in failed.detail
            assert server.messages == []
        server.close()

    run_clean(main)


def test_a_name_that_only_the_subject_has_is_not_looked_at(authority: Authority, tmp_path: Path) -> None:
    async def main() -> None:
        issuer = trustme.CA()
        issuer.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        issued = issuer.issue_cert(common_name=NAME)
        issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
        server = Server(str(tmp_path / "server.pem"))
        async with Stage(StreamOptions(cafile=str(tmp_path / "authority.pem"))) as stage:
            failed = await stage.failed(open_one(stage, server))
            assert failed == Failed(Handle(1), FailReason.TLS_CERTIFICATE, f"the certificate is not for {NAME}")
        server.close()

    run_clean(main)


@every_way
def test_an_unknown_authority_is_refused_unless_nothing_is_verified(
    authority: Authority, loop_factory: LoopFactory, reader: str
) -> None:
    async def main() -> None:
        first, second = Server(authority.certificate), Server(authority.certificate)
        async with Stage(StreamOptions(reader=reader)) as stage:  # type: ignore[arg-type]
            failed = await stage.failed(open_one(stage, first))
            assert failed.reason is FailReason.TLS_CERTIFICATE
            assert failed.detail == "unable to get issuer cert locally"
            await stage.opened(open_one(stage, second, verify=False))
        first.close()
        second.close()

    run_clean(main, loop_factory)


def test_a_self_signed_certificate_is_refused(authority: Authority, tmp_path: Path) -> None:
    async def main() -> None:
        lonely = trustme.CA()
        path = tmp_path / "lonely.pem"
        path.write_bytes(lonely.private_key_pem.bytes() + lonely.cert_pem.bytes())
        server = Server(str(path))
        async with Stage(authority.options) as stage:
            failed = await stage.failed(open_one(stage, server))
            assert (failed.reason, failed.detail) == (FailReason.TLS_CERTIFICATE, "depth zero self signed cert")
        server.close()

    run_clean(main)


def test_a_file_of_authorities_that_cannot_be_read(authority: Authority) -> None:
    async def main() -> None:
        server = Server(authority.certificate)
        async with Stage(StreamOptions(cafile="/nowhere.pem")) as stage:
            failed = await stage.failed(open_one(stage, server))
            assert failed.reason is FailReason.TLS_CERTIFICATE
            assert failed.detail.startswith("/nowhere.pem: ")
        server.close()

    run_clean(main)


def test_without_pyopenssl_the_extra_is_named(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "OpenSSL", None)
    monkeypatch.setattr(dtls, "contexts", Contexts(client_context))

    async def main() -> None:
        async with Stage(authority.options) as stage:
            failed = await stage.failed(stage.connect(Address(HOST, 9), security=Security.DTLS))
            assert failed.reason is FailReason.UNSUPPORTED
            assert "pip install 'icepath[dtls]'" in failed.detail

    run_clean(main)


@every_way
def test_a_server_that_is_not_there_or_never_answers(
    authority: Authority, loop_factory: LoopFactory, reader: str
) -> None:
    async def main() -> None:
        gone, silent = Server(authority.certificate), Server(authority.certificate, deaf=1_000)
        gone.close()
        options = replace(authority.options, reader=reader, connect_timeout=0.05)  # type: ignore[arg-type]
        async with Stage(options) as stage:
            failed = await stage.failed(open_one(stage, gone))
            assert failed == Failed(Handle(1), FailReason.REFUSED, "ICMP type 3, code 3")
            failed = await stage.failed(open_one(stage, silent))
            assert failed.reason is FailReason.TIMED_OUT
            assert failed.detail == "the DTLS handshake took longer than 0.05 s"
        silent.close()

    run_clean(main, loop_factory)


def test_a_lost_flight_is_sent_again(authority: Authority) -> None:
    async def main() -> None:
        server = Server(authority.certificate, deaf=1)
        async with Stage(authority.options) as stage:
            await stage.opened(open_one(stage, server))  # RFC 6347 §4.2.4.1: after a second
        server.close()

    run_clean(main)


def test_the_last_flight_is_sent_again_when_the_server_repeats_its_own(authority: Authority) -> None:
    async def main() -> None:
        server = Server(authority.certificate)
        async with Stage(authority.options) as stage:
            handle = open_one(stage, server)
            await stage.opened(handle)
            count = len(server.datagrams)
            last = [payload for payload in server.datagrams if payload[0] == 0x16][-1]
            server.connection.bio_write(last)  # to the server it looks as if its own were lost
            stage.put(Bytes(handle, b"still well"))
            await stage.got(handle, b"still well")
            assert len(server.datagrams) > count
        server.close()

    run_clean(main)


def test_a_server_that_speaks_something_else(authority: Authority) -> None:
    async def main() -> None:
        server = Server(authority.certificate, deaf=1_000)
        async with Stage(authority.options) as stage:
            handle = open_one(stage, server)
            while not server.datagrams:
                await asyncio.sleep(0)
            server.send_raw(bytes.fromhex("15fefd000000000000000000020228"))  # alert: handshake failure
            failed = await stage.failed(handle)
            assert failed.reason is FailReason.TLS_HANDSHAKE
            assert "handshake failure" in failed.detail
        server.close()

    run_clean(main)


def test_local_addresses(authority: Authority) -> None:
    async def main() -> None:
        server = Server(authority.certificate)
        async with Stage(authority.options) as stage:
            taken = stage.running.open_udp(HOST)
            assert (await stage.failed(open_one(stage, server, local=taken))).reason is FailReason.ADDRESS_IN_USE
            nowhere = Address("192.0.2.99", 0)
            assert (await stage.failed(open_one(stage, server, local=nowhere))).reason is FailReason.UNREACHABLE
            unroutable = Address("0.0.0.1", 9)
            handle = stage.connect(unroutable, security=Security.DTLS)
            assert (await stage.failed(handle)).reason in (FailReason.UNREACHABLE, FailReason.PERMISSION)
            stage.running.close_udp(taken)
            assert (await stage.opened(open_one(stage, server, local=taken))).local == taken
        server.close()

    run_clean(main)


# -- messages and ends -------------------------------------------------------------------------------------------


@every_way
def test_messages_before_it_is_open_and_a_close_right_behind(
    authority: Authority, loop_factory: LoopFactory, reader: str
) -> None:
    async def main() -> None:
        server = Server(authority.certificate)
        async with Stage(replace(authority.options, reader=reader)) as stage:  # type: ignore[arg-type]
            stage.put(
                Connect(Handle(1), None, server.address, Transport.UDP, Security.DTLS, NAME),
                Bytes(Handle(1), b"one"),
                Bytes(Handle(1), b"two"),
                Close(Handle(1)),
                Bytes(Handle(1), b"too late"),
            )
            await server.ended.wait()
            assert server.messages == [b"one", b"two"]
            assert stage.events == []
        server.close()

    run_clean(main, loop_factory)


def test_what_is_kept_before_it_is_open_is_bounded(authority: Authority) -> None:
    async def main() -> None:
        server = Server(authority.certificate)
        async with Stage(replace(authority.options, high_water=1_000, limit=2_000)) as stage:
            handle = open_one(stage, server)
            stage.put(
                Bytes(handle, bytes(900)),
                Bytes(handle, bytes(200), droppable=True),
                Bytes(handle, bytes(1_000)),
            )
            assert stage.running.byte_streams.dropped == 1
            assert stage.events == []
            stage.put(Bytes(handle, bytes(200)))
            assert (await stage.failed(handle)).reason is FailReason.UNSUPPORTED
        server.close()

    run_clean(main)


@every_way
def test_the_servers_end_is_told(authority: Authority, loop_factory: LoopFactory, reader: str) -> None:
    async def main() -> None:
        server = Server(authority.certificate)
        async with Stage(replace(authority.options, reader=reader)) as stage:  # type: ignore[arg-type]
            handle = open_one(stage, server)
            await stage.opened(handle)
            server.connection.shutdown()
            server.flush()
            assert await stage.closed(handle) is CloseReason.EOF
            stage.put(Bytes(handle, b"nobody"), Close(handle), Splice(handle, handle))
            assert len(stage.heard(Closed)) == 1
        server.close()

    run_clean(main, loop_factory)


def test_what_is_not_the_servers_is_ignored(authority: Authority) -> None:
    async def main() -> None:
        server, stranger = Server(authority.certificate), Server(authority.certificate)
        async with Stage(authority.options) as stage:
            handle = open_one(stage, server)
            local = (await stage.opened(handle)).local
            stranger.sock.sendto(b"\x15\xfe\xfd", local)
            for noise in (b"", b"noise", bytes.fromhex("17fefd000100000000000f00041234abcd"), b"\x16" + bytes(60)):
                server.sock.sendto(noise, local)
            (association,) = stage.running.byte_streams._endpoints.values()
            assert isinstance(association, DtlsAssociation)
            # An ICMP error may be forged, and a path may come back.
            association.on_unreachable(Unreachable(local, server.address, 3, 3), 0.0)
            stage.put(Bytes(handle, b"still well"), Bytes(handle, bytes(MAX_MESSAGE + 1)))
            await stage.got(handle, b"still well")
            assert stage.running.byte_streams.dropped == 1
            assert stage.heard(Closed) == []
        server.close()
        stranger.close()

    run_clean(main)


def test_an_icmp_error_in_the_handshake(authority: Authority) -> None:
    async def main() -> None:
        server = Server(authority.certificate, deaf=1_000)
        async with Stage(authority.options) as stage:
            handle = open_one(stage, server)
            (association,) = stage.running.byte_streams._endpoints.values()
            assert isinstance(association, DtlsAssociation)
            local = Address(HOST, 9)
            association.on_unreachable(Unreachable(local, Address(HOST, 10), 3, 3), 0.0)
            association.on_unreachable(Unreachable(local, server.address, 3, 1), 0.0)
            assert await stage.failed(handle) == Failed(handle, FailReason.UNREACHABLE, "ICMP type 3, code 1")
        server.close()

    run_clean(main)


def test_an_abort_says_nothing_to_the_server(authority: Authority) -> None:
    async def main() -> None:
        server = Server(authority.certificate)
        async with Stage(authority.options) as stage:
            first, second = open_one(stage, server), stage.connect(Address(HOST, 9), security=Security.DTLS)
            await stage.opened(first)
            count = len(server.datagrams)
            stage.close(first, abort=True)
            stage.close(second)
            assert len(server.datagrams) == count
        assert not server.ended.is_set()
        server.close()

    run_clean(main)


def test_the_end_while_pyopenssl_is_being_imported(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtls, "contexts", Contexts(client_context))

    async def main() -> None:
        async with Stage(authority.options) as stage:
            handle = stage.connect(Address(HOST, 9), security=Security.DTLS)
            stage.put(Bytes(handle, b"never sent"), Close(handle))

    run_clean(main)


# -- parts -------------------------------------------------------------------------------------------------------


def records(*sizes: int) -> Iterator[bytes]:
    for index, size in enumerate(sizes):
        yield bytes([0x16, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, index]) + size.to_bytes(2, "big") + bytes(size)


def test_a_flight_is_cut_at_records_as_many_to_a_datagram_as_fit() -> None:
    assert list(datagrams(b"")) == []
    a, b, c, d = records(100, 500, 700, 2_000)
    assert list(datagrams(a)) == [a]
    assert list(datagrams(a + b + c)) == [a + b, c]
    assert list(datagrams(d + a + b)) == [d, a + b]
    assert len(a + b + c) > MTU
    assert list(datagrams(a + b[:20])) == [a + b[:20]]


@pytest.mark.rfc("7350", "3")
def test_the_suites_that_must_be_there_are_and_all_have_forward_secrecy() -> None:
    suites = set(SSL.Connection(client_context(Trust(verify=False)), None).get_cipher_list())
    suites = {name for name in suites if not name.startswith("TLS_")}  # TLS 1.3's, which DTLS 1.2 does not offer
    assert {"ECDHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256"} <= suites
    assert {name.partition("-")[0] for name in suites} == {"ECDHE", "DHE"}
