"""TCP byte streams on loopback, under every loop and way of reading."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import socket
import struct
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest

from aio.echo_machine import LOOPS, Heard, LoopFactory
from aio.stream_stage import HOST, Raw, Stage, run_clean
from icepath.aio import tcp
from icepath.aio.byte_stream import READ_SIZE, READS, ByteStream
from icepath.aio.tcp import StreamOptions
from icepath.errors import InvalidArgument, InvalidState
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

BY_TASK = StreamOptions(reader="task")
WAYS = [
    pytest.param(LOOPS[0], StreamOptions(), id="asyncio"),
    pytest.param(LOOPS[1], StreamOptions(), id="uvloop"),
    pytest.param(LOOPS[0], BY_TASK, id="task"),
    pytest.param(LOOPS[1], BY_TASK, id="uvloop, task"),
]
every_way = pytest.mark.parametrize(("loop_factory", "options"), WAYS)
# More than the kernel takes unsent, so that something is queued here.
BULK = bytes(range(256)) * (4 << 10)


def ipv6_loopback() -> bool:
    try:
        tcp.open_listener(Address("::1", 0)).close()
    except OSError:
        return False
    return True


HOSTS = [HOST, pytest.param("::1", marks=pytest.mark.skipif(not ipv6_loopback(), reason="no IPv6 here"))]


# -- connecting and accepting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", HOSTS)
@every_way
def test_bytes_go_both_ways_and_the_end_is_told(loop_factory: LoopFactory, options: StreamOptions, host: str) -> None:
    async def main() -> None:
        async with Stage(options) as a, Stage(options) as b:
            there = b.running.open_tcp(host)
            handle = a.connect(there)
            opened, accepted = await a.opened(handle), await b.accepted()
            assert opened == Opened(handle, accepted.remote, there)
            assert accepted == Accepted(Handle(-1), there, there, opened.local)
            assert opened.local.host == host
            a.put(Bytes(handle, b"to b"))
            await b.got(accepted.handle, b"to b")
            b.put(Bytes(accepted.handle, b"to a"))
            await a.got(handle, b"to a")
            a.close(handle)
            assert await b.closed(accepted.handle) is CloseReason.EOF
            assert a.heard(Closed) == []

    run_clean(main, loop_factory)


@every_way
def test_a_listener_of_the_machine_is_named_by_its_handle(loop_factory: LoopFactory, options: StreamOptions) -> None:
    async def main() -> None:
        async with Stage(options) as stage:
            listener = Handle(9)
            stage.put(Bind(listener, Address(HOST, 0), Transport.TCP, listen=True))
            address = (await stage.opened(listener)).local
            peers = [await Raw.connect(address) for _ in range(3)]
            await stage.accepted(3)
            assert [accepted.handle for accepted in stage.heard(Accepted)] == [-1, -2, -3]
            assert {accepted.listener for accepted in stage.heard(Accepted)} == {listener}
            stage.close(listener)
            await peers[0].send(b"still here")
            await stage.got(Handle(-1), b"still here")
            for peer in peers:
                peer.close()

    run_clean(main, loop_factory)


@every_way
def test_a_connection_that_is_refused(loop_factory: LoopFactory, options: StreamOptions) -> None:
    async def main() -> None:
        gone = Raw.listen()
        nobody = gone.address
        gone.close()
        async with Stage(options) as stage:
            failed = await stage.failed(stage.connect(nobody))
            assert failed == Failed(Handle(1), FailReason.REFUSED, "Connection refused")

    run_clean(main, loop_factory)


@pytest.mark.skipif(sys.platform != "linux", reason="how a full backlog is treated differs")
@every_way
def test_a_server_that_does_not_answer_is_given_up(loop_factory: LoopFactory, options: StreamOptions) -> None:
    async def main() -> None:
        full = Raw.listen(backlog=0)
        first = await Raw.connect(full.address)  # more SYNs are dropped from now on
        async with Stage(StreamOptions(reader=options.reader, connect_timeout=0.05)) as stage:
            failed = await stage.failed(stage.connect(full.address))
            assert failed.reason is FailReason.TIMED_OUT
            assert failed.detail == "connecting took longer than 0.05 s"
        first.close()
        full.close()

    run_clean(main, loop_factory)


def test_the_time_to_connect_is_what_turn_servers_owe() -> None:
    assert StreamOptions().connect_timeout >= 30  # RFC 6062 §5.2


def test_bind_and_connect_that_fail_say_why() -> None:
    async def main() -> None:
        async with Stage() as stage:
            taken = stage.running.open_tcp(HOST)
            ports, nowhere, any_port = (taken.port, taken.port), Address("192.0.2.99", 0), Address(HOST, 0)
            tcp_listen = (Transport.TCP, True)
            stage.put(
                Bind(Handle(1), taken, *tcp_listen),
                Bind(Handle(2), any_port, *tcp_listen, port_range=ports),
                Bind(Handle(3), nowhere, *tcp_listen),
                Connect(Handle(4), nowhere, taken),
                Connect(Handle(5), None, Address("255.255.255.255", 9)),
                Connect(Handle(6), None, taken, Transport.UDP),
                Connect(Handle(7), None, taken, Transport.TCP, Security.DTLS),
                Connect(Handle(8), Address("::1", 0), taken),
            )
            assert [(failed.handle, failed.reason) for failed in stage.heard(Failed)] == [
                (1, FailReason.ADDRESS_IN_USE),
                (2, FailReason.NO_PORT),
                (3, FailReason.UNREACHABLE),
                (4, FailReason.UNREACHABLE),
                (5, FailReason.UNREACHABLE),
                (6, FailReason.UNSUPPORTED),
                (7, FailReason.UNSUPPORTED),
                (8, FailReason.UNREACHABLE),
            ]
            with pytest.raises(OSError, match="in use"):
                stage.running.open_tcp(HOST, port=taken.port)
        with pytest.raises(InvalidState):
            stage.running.open_tcp(HOST)

    run_clean(main)


@pytest.mark.rfc("6544", "6")
def test_a_listener_and_connections_from_its_port_share_the_port() -> None:
    async def main() -> None:
        async with Stage() as stage, Stage() as other:
            here, there = stage.running.open_tcp(HOST), other.running.open_tcp(HOST)
            elsewhere = other.running.open_tcp(HOST)
            first, second = stage.connect(there, local=here), stage.connect(elsewhere, local=here)
            assert (await stage.opened(first)).local == (await stage.opened(second)).local == here
            assert (await other.accepted()).remote == here
            again = await stage.failed(stage.connect(there, local=here))
            assert again.reason is FailReason.FIVE_TUPLE_TAKEN
            peer = await Raw.connect(here)  # the listener still listens
            await stage.accepted()
            peer.close()

    run_clean(main)


DROP_ALL = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: return 0
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27


@contextlib.contextmanager
def deaf_connectors(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """Yields the sockets opened meanwhile to connect with, which hear nothing: neither SYN nor RST."""
    opened: list[socket.socket] = []
    original = tcp.open_connector

    def open_deaf(local: Address | None, remote: Address, *, scope_id: int = 0) -> socket.socket:
        sock = original(local, remote, scope_id=scope_id)
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(DROP_ALL)))
        opened.append(sock)
        return sock

    with monkeypatch.context() as patch:
        patch.setattr(tcp, "open_connector", open_deaf)
        yield opened


@pytest.mark.rfc("6544", "7.1")
@pytest.mark.skipif(sys.platform != "linux", reason="needs packet filters on sockets")
@pytest.mark.parametrize("loop_factory", LOOPS)
def test_a_simultaneous_open(loop_factory: LoopFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with Stage() as a, Stage() as b:
            for stage in (a, b):
                stage.put(Bind(Handle(100), Address(HOST, 0), Transport.TCP))
            here, there = (await a.opened(Handle(100))).local, (await b.opened(Handle(100))).local
            with deaf_connectors(monkeypatch) as deaf:
                first = a.connect(there, local=here)  # its SYN is answered by a RST, which it does not hear
            deaf[0].setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
            second = b.connect(here, local=there)
            assert await a.opened(first) == Opened(first, here, there)
            assert await b.opened(second) == Opened(second, there, here)
            a.put(Bytes(first, b"crossed"))
            await b.got(second, b"crossed")
            a.close(Handle(100))
            b.close(Handle(100))
            assert [len(stage.heard(Accepted)) for stage in (a, b)] == [0, 0]

    run_clean(main, loop_factory)


def test_nothing_is_told_about_a_handle_after_its_close() -> None:
    async def main() -> None:
        async with Stage() as stage:
            listener = stage.running.open_tcp(HOST)
            stage.put(
                Connect(Handle(1), None, Address(HOST, 9), Transport.UDP),  # fails at once
                Close(Handle(1)),
                Connect(Handle(2), None, listener),
                Close(Handle(2)),
                Close(Handle(3)),
                Bind(Handle(4), Address(HOST, 0), Transport.TCP, listen=True),
                Close(Handle(4)),
                Bytes(Handle(5), b"nobody"),
                Splice(Handle(5), Handle(6)),
            )
            handle = stage.connect(listener)
            await stage.opened(handle)
            assert stage.heard(Failed) == []
            assert [opened.handle for opened in stage.heard(Opened)] == [handle]

    run_clean(main)


# -- sending -----------------------------------------------------------------------------------------------------


@every_way
def test_what_is_sent_before_it_is_open_and_before_its_close_arrives(
    loop_factory: LoopFactory, options: StreamOptions
) -> None:
    async def main() -> None:
        server = Raw.listen()
        async with Stage(options) as stage:
            stage.put(
                Connect(Handle(1), None, server.address),
                Bytes(Handle(1), b"first, "),
                Bytes(Handle(1), b"second"),
                Close(Handle(1)),
                Bytes(Handle(1), b"too late"),
            )
            peer = await server.accept()
            assert await peer.read_all() == b"first, second"
            peer.close()
            assert stage.events == []
        server.close()

    run_clean(main, loop_factory)


@every_way
def test_what_is_queued_is_sent_before_the_end(loop_factory: LoopFactory, options: StreamOptions) -> None:
    async def main() -> None:
        server = Raw.listen()
        async with Stage(options) as stage:
            handle = stage.connect(server.address)
            peer = await server.accept()
            await stage.opened(handle)
            bulk = BULK[: options.limit - 1] * 2
            stage.put(Bytes(handle, bulk[: len(bulk) // 2]))
            stage.put(Bytes(handle, b"", droppable=True), Close(handle))
            assert await peer.read_all() == bulk[: len(bulk) // 2]
            peer.close()
        server.close()

    run_clean(main, loop_factory)


@every_way
def test_abort_resets_and_drops_what_is_queued(loop_factory: LoopFactory, options: StreamOptions) -> None:
    async def main() -> None:
        server = Raw.listen()
        async with Stage(options) as stage:
            handle = stage.connect(server.address)
            peer = await server.accept()
            await stage.opened(handle)
            stage.put(Bytes(handle, BULK[:500_000]), Close(handle, abort=True))
            with pytest.raises(ConnectionResetError):
                await peer.read_all()
            peer.close()
        server.close()

    run_clean(main, loop_factory)


@every_way
def test_droppable_bytes_are_discarded_whole_when_the_peer_is_behind(
    loop_factory: LoopFactory, options: StreamOptions
) -> None:
    async def main() -> None:
        server = Raw.listen()
        async with Stage(options) as stage:
            handle = stage.connect(server.address)
            peer = await server.accept()
            await stage.opened(handle)
            messages = [bytes([index]) * 4_000 for index in range(250)]
            # As much as the two kernels hold, and the queue up to its mark; then the rest must fall.
            sent = 0
            while stage.running.byte_streams.dropped < 20:
                stage.put(Bytes(handle, messages[sent % 250], droppable=True))
                sent += 1
            stage.put(Bytes(handle, b"control"), Close(handle))
            data = await peer.read_all()
            assert data.endswith(b"control")
            assert len(data) == (sent - 20) * 4_000 + len(b"control")
            whole = [data[start : start + 4_000] for start in range(0, len(data) - 7, 4_000)]
            assert all(message in messages for message in whole)
            peer.close()
        server.close()

    run_clean(main, loop_factory)


@every_way
def test_a_peer_that_never_reads_is_given_up_at_the_limit(loop_factory: LoopFactory, options: StreamOptions) -> None:
    async def main() -> None:
        server = Raw.listen()
        async with Stage(options) as stage:
            handle = stage.connect(server.address)
            peer = await server.accept()
            await stage.opened(handle)
            for _ in range(1_000):
                stage.put(Bytes(handle, BULK[:100_000]))
                if stage.heard(Closed):
                    break
            assert stage.heard(Closed) == [Closed(handle, CloseReason.SLOW)]
            stage.put(Bytes(handle, b"nobody"))
            peer.close()
        server.close()

    run_clean(main, loop_factory)


@every_way
def test_a_peer_that_never_reads_is_given_up_in_time(loop_factory: LoopFactory, options: StreamOptions) -> None:
    async def main() -> None:
        server = Raw.listen()
        small = StreamOptions(reader=options.reader, stall_timeout=0.05, limit=64 << 20)
        async with Stage(small) as stage:
            handle = stage.connect(server.address)
            peer = await server.accept()
            await stage.opened(handle)
            stage.put(Bytes(handle, BULK * 16))
            await peer.read(1 << 20)  # progress prolongs it
            assert await stage.closed(handle) is CloseReason.SLOW
            peer.close()
        server.close()

    run_clean(main, loop_factory)


@every_way
def test_more_than_the_limit_before_it_is_open(loop_factory: LoopFactory, options: StreamOptions) -> None:
    async def main() -> None:
        server = Raw.listen()
        async with Stage(options) as stage:
            stage.put(
                Connect(Handle(1), None, server.address),
                Bytes(Handle(1), BULK[:70_000]),
                Bytes(Handle(1), b"dropped", droppable=True),
                Bytes(Handle(1), bytes(1 << 20)),
            )
            assert stage.running.byte_streams.dropped == 1
            (failed,) = stage.heard(Failed)
            assert failed.reason is FailReason.UNSUPPORTED
        server.close()

    run_clean(main, loop_factory)


# -- receiving ---------------------------------------------------------------------------------------------------


@every_way
def test_a_peer_that_half_closes_still_gets_its_answer(loop_factory: LoopFactory, options: StreamOptions) -> None:
    async def main() -> None:
        async with Stage(options) as stage:
            stage.replies = True
            peer = await Raw.connect(stage.running.open_tcp(HOST))
            await peer.send(b"question")
            peer.end()
            assert await peer.read_all() == b"question"
            assert await stage.closed(Handle(-1)) is CloseReason.EOF
            peer.close()

    run_clean(main, loop_factory)


@every_way
def test_a_dribbling_peer_ends_in_the_middle_of_a_message(loop_factory: LoopFactory, options: StreamOptions) -> None:
    async def main() -> None:
        async with Stage(options) as stage:
            peer = await Raw.connect(stage.running.open_tcp(HOST))
            message = bytes.fromhex("000100002112a442")
            for index in range(len(message)):
                await peer.send(message[index : index + 1])
                await stage.got(Handle(-1), message[: index + 1])
            peer.close()
            assert await stage.closed(Handle(-1)) is CloseReason.EOF
            assert stage.received(Handle(-1)) == message

    run_clean(main, loop_factory)


@every_way
def test_what_came_before_a_reset_is_told_before_the_reset(loop_factory: LoopFactory, options: StreamOptions) -> None:
    async def main() -> None:
        async with Stage(options) as stage:
            peer = await Raw.connect(stage.running.open_tcp(HOST))
            await stage.accepted()
            await peer.send(b"last words")
            peer.reset()  # both are there before anything is read
            assert await stage.closed(Handle(-1)) is CloseReason.RESET
            last = stage.events[-1]
            assert isinstance(last, Heard)
            assert last.arrival == Closed(Handle(-1), CloseReason.RESET)
            assert stage.received(Handle(-1)) == b"last words"

    run_clean(main, loop_factory)


@every_way
def test_bulk_arrives_whole(loop_factory: LoopFactory, options: StreamOptions) -> None:
    async def main() -> None:
        async with Stage(options) as stage:
            peer = await Raw.connect(stage.running.open_tcp(HOST))
            await stage.accepted()
            await peer.send(BULK)
            await stage.got(Handle(-1), BULK)
            peer.close()

    run_clean(main, loop_factory)


@every_way
def test_a_peer_with_always_more_does_not_keep_the_loop_to_itself(
    loop_factory: LoopFactory, options: StreamOptions
) -> None:
    async def main() -> None:
        async with Stage(options) as stage:
            peer = await Raw.connect(stage.running.open_tcp(HOST, paused=True))
            await stage.accepted()
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    sent += peer.sock.send(BULK)
            assert sent > 16 * READ_SIZE
            stage.put(Bytes(Handle(-1), b"go on"))
            turns = [0]
            while len(stage.received(Handle(-1))) < 8 * READ_SIZE:
                await asyncio.sleep(0)
                turns.append(len(stage.heard(Bytes)))
            assert max(after - before for before, after in pairwise(turns)) <= 2 * READS
            peer.reset()

    run_clean(main, loop_factory)


@every_way
def test_a_paused_byte_stream_is_not_read_until_bytes_go_to_it(
    loop_factory: LoopFactory, options: StreamOptions
) -> None:
    async def main() -> None:
        server = Raw.listen()
        async with Stage(options) as stage:
            handle = stage.connect(server.address, paused=True)
            peer = await server.accept()
            await stage.opened(handle)
            await peer.send(b"early")
            other = stage.connect(server.address)  # a round trip through the loop and the kernel
            await stage.opened(other)
            stage.close(other, abort=True)
            assert stage.received(handle) == b""
            stage.put(Bytes(handle, b"go on"))
            await stage.got(handle, b"early")
            assert await peer.read(5) == b"go on"
            peer.close()
        server.close()

    run_clean(main, loop_factory)


def test_a_send_that_fails_while_nothing_is_read_is_an_end() -> None:
    async def main() -> None:
        server = Raw.listen()
        async with Stage() as stage:
            handle = stage.connect(server.address, paused=True)
            peer = await server.accept()
            await stage.opened(handle)
            peer.reset()
            while not stage.heard(Closed):  # the reset may need a moment to be seen
                stage.machine.put(Bytes(handle, b"x"))
                stage.running.settle()
                await asyncio.sleep(0)
            assert await stage.closed(handle) is CloseReason.RESET
        server.close()

    run_clean(main)


# -- splicing ----------------------------------------------------------------------------------------------------


class Relay:
    """Is a stage whose listener's two connections are spliced: `left` and `right` are the raw far ends."""

    def __init__(self, stage: Stage, left: Raw, right: Raw) -> None:
        self.stage, self.left, self.right = stage, left, right

    @classmethod
    async def begin(cls, stage: Stage) -> Relay:
        stage.put(Bind(Handle(50), Address(HOST, 0), Transport.TCP, listen=True, paused=True))
        address = (await stage.opened(Handle(50))).local
        left = await Raw.connect(address)
        await left.send(b"before ")
        await stage.accepted(1)
        right = await Raw.connect(address)
        await stage.accepted(2)
        assert stage.heard(Bytes) == []
        stage.put(Splice(Handle(-1), Handle(-2)), Splice(Handle(-1), Handle(-2)), Splice(Handle(-1), Handle(-1)))
        return cls(stage, left, right)

    def close(self) -> None:
        self.left.close()
        self.right.close()


@pytest.mark.rfc("6062", "5.4")
@every_way
def test_a_splice_carries_both_ways_and_passes_half_closes_on(
    loop_factory: LoopFactory, options: StreamOptions
) -> None:
    async def main() -> None:
        async with Stage(options) as stage:
            relay = await Relay.begin(stage)
            await relay.left.send(b"and after")
            relay.left.end()
            assert await relay.right.read_all() == b"before and after"
            await relay.right.send(BULK)
            relay.right.end()
            assert await relay.left.read_all() == BULK
            assert {await stage.closed(Handle(-1)), await stage.closed(Handle(-2))} == {CloseReason.EOF}
            assert stage.heard(Bytes) == []
            relay.close()

    run_clean(main, loop_factory)


@every_way
def test_a_splice_does_not_read_what_the_other_side_does_not_take(
    loop_factory: LoopFactory, options: StreamOptions
) -> None:
    async def main() -> None:
        async with Stage(options) as stage:
            relay = await Relay.begin(stage)
            sent = 7
            while True:  # until all buffers on the way are full
                try:
                    sent += relay.left.sock.send(BULK[sent % 256 :][: 1 << 18])
                except BlockingIOError:
                    for _ in range(20):
                        await asyncio.sleep(0)
                    try:
                        sent += relay.left.sock.send(BULK[sent % 256 :][:1])
                    except BlockingIOError:
                        break
            queues = [len(stream._queue) for stream in spliced(stage)]
            assert 0 < max(queues) <= options.high_water + 4 * 65_536
            relay.left.end()
            data = await relay.right.read_all()
            assert len(data) == sent
            relay.right.end()
            assert await relay.left.read_all() == b""
            assert await stage.closed(Handle(-2)) is CloseReason.EOF
            relay.close()

    run_clean(main, loop_factory)


def spliced(stage: Stage) -> list[ByteStream]:
    return [e for e in stage.running.byte_streams._endpoints.values() if isinstance(e, ByteStream)]


@every_way
def test_a_reset_of_one_half_of_a_splice_resets_the_other(loop_factory: LoopFactory, options: StreamOptions) -> None:
    async def main() -> None:
        async with Stage(options) as stage:
            relay = await Relay.begin(stage)
            assert await relay.right.read(7) == b"before "
            relay.left.reset()
            with pytest.raises(ConnectionResetError):
                await relay.right.read_all()
            assert {await stage.closed(Handle(-1)), await stage.closed(Handle(-2))} == {CloseReason.RESET}
            relay.close()

    run_clean(main, loop_factory)


@pytest.mark.parametrize("abort", [False, True])
@every_way
def test_closing_one_half_of_a_splice_ends_the_other(
    loop_factory: LoopFactory, options: StreamOptions, abort: bool
) -> None:
    async def main() -> None:
        async with Stage(options) as stage:
            relay = await Relay.begin(stage)
            assert await relay.right.read(7) == b"before "
            stage.close(Handle(-1), abort=abort)
            assert await stage.closed(Handle(-2)) is (CloseReason.RESET if abort else CloseReason.EOF)
            if not abort:
                assert await relay.left.read_all() == b""
                assert await relay.right.read_all() == b""
            relay.close()

    run_clean(main, loop_factory)


def test_a_splice_with_one_that_is_still_connecting_waits_for_it() -> None:
    async def main() -> None:
        server = Raw.listen()
        async with Stage() as stage:
            left = await Raw.connect(stage.running.open_tcp(HOST, paused=True))
            accepted = await stage.accepted()
            await left.send(BULK)
            stage.put(Connect(Handle(1), None, server.address), Splice(Handle(1), accepted.handle))
            right = await server.accept()
            left.end()
            assert await right.read_all() == BULK
            left.close()
            right.close()
        server.close()

    run_clean(main)


# -- bounds ------------------------------------------------------------------------------------------------------


@every_way
def test_silent_peers_make_room_for_new_ones_and_answered_ones_do_not(
    loop_factory: LoopFactory, options: StreamOptions
) -> None:
    async def main() -> None:
        async with Stage(StreamOptions(reader=options.reader, accepted=2)) as stage:
            address = stage.running.open_tcp(HOST)
            silent, answered = await Raw.connect(address), await Raw.connect(address)
            await stage.accepted(2)
            first, second = (
                next(a.handle for a in stage.heard(Accepted) if a.remote == peer.address) for peer in (silent, answered)
            )
            stage.put(Bytes(second, b"hello"))
            third = await Raw.connect(address)
            handle = (await stage.accepted(3)).handle
            assert await stage.closed(first) is CloseReason.SLOW
            stage.put(Bytes(handle, b"hello"))
            with pytest.raises(ConnectionResetError):
                await connect_and_read(address)
            assert stage.running.byte_streams.refused == 1
            assert len(stage.heard(Accepted)) == 3
            for peer in (silent, answered, third):
                peer.close()

    run_clean(main, loop_factory)


async def connect_and_read(address: Address) -> bytes:
    with contextlib.closing(await Raw.connect(address)) as peer:
        return await peer.read_all()


class OutOfDescriptors:
    """Stands for a listening socket whose accepts fail until they are allowed; the rest is the real one."""

    def __init__(self, sock: socket.socket, *failures: int) -> None:
        self._sock = sock
        self.failures = list(failures)

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            number = self.failures.pop(0)
            raise OSError(number, "no")
        return self._sock.accept()

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)


def test_accepting_pauses_while_no_descriptors_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "ACCEPT_PAUSE", 0.01)

    async def main() -> None:
        async with Stage() as stage:
            address = stage.running.open_tcp(HOST)
            listener = stage.running.byte_streams._listeners[address]
            listener._sock = OutOfDescriptors(listener._sock, errno.ECONNABORTED, errno.EMFILE)  # type: ignore[assignment]
            peer = await Raw.connect(address)
            await stage.accepted()
            peer.close()
            listener._sock.failures.append(errno.EMFILE)  # type: ignore[attr-defined]
            peer = await Raw.connect(address)
            while listener._pause is None:
                await asyncio.sleep(0)
            stage.running.byte_streams.close(address)
            peer.close()

    run_clean(main)


def test_the_end_of_the_machine_waits_for_a_peer_within_a_bound_only() -> None:
    async def main() -> None:
        server = Raw.listen()
        async with Stage(StreamOptions(linger=0.02)) as stage:
            handle = stage.connect(server.address)
            peer = await server.accept()  # neither reads nor closes
            await stage.opened(handle)
            stage.put(Bytes(handle, BULK[:900_000]))
        peer.close()
        server.close()

    run_clean(main)


@every_way
def test_the_machine_may_be_aborted_at_any_moment(loop_factory: LoopFactory, options: StreamOptions) -> None:
    async def main() -> None:
        server = Raw.listen()
        stage = Stage(options)
        stage.running.open_tcp(HOST)
        stage.put(Bind(Handle(20), Address(HOST, 0), Transport.TCP))
        handle = stage.connect(server.address)
        stage.connect(server.address)
        peer = await server.accept()
        await stage.opened(handle)
        stage.put(Bytes(handle, BULK[:900_000]))
        stage.connect(server.address)
        stage.running.abort()
        await stage.running.wait_closed()
        peer.close()
        server.close()

    run_clean(main, loop_factory)


@pytest.mark.parametrize(
    "wrong", [{"reader": "other"}, {"high_water": 0}, {"high_water": 10, "limit": 5}, {"accepted": 0}]
)
def test_options_that_are_not_allowed(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument):
        StreamOptions(**wrong)  # type: ignore[arg-type]


def test_what_errors_mean() -> None:
    assert tcp.close_reason(OSError(errno.ETIMEDOUT, "")) is CloseReason.TIMED_OUT
    assert tcp.connect_failure(errno.EADDRNOTAVAIL, 0) is FailReason.NO_PORT
    assert tcp.connect_failure(errno.EACCES, 0) is FailReason.PERMISSION
    assert tcp.connect_failure(errno.EHOSTUNREACH, 5) is FailReason.UNREACHABLE
    assert tcp.os_address(Address("fe80::1", 5), 3) == ("fe80::1", 5, 0, 3)
