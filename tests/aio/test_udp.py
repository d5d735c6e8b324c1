"""UDP sockets on loopback, under every loop and way of reading."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence

import pytest

from aio.echo_machine import LOOPS, LoopFactory, run
from icepath.aio import sockets, udp
from icepath.aio.errorqueue import OsAddress
from icepath.aio.sockets import candidate_ports, join_datagrams, open_socket
from icepath.aio.udp import LONE, UdpOptions, UdpSocket, is_control
from icepath.errors import InvalidArgument
from icepath.machine import Datagram, Deliver, FlowKey, SetFlow, Unreachable
from icepath.net import Address, Instant

STUN = bytes.fromhex("000100002112a442") + bytes(12)
SEND_INDICATION = bytes.fromhex("001600002112a442") + bytes(12)
DATA = b"\x80data"

WAYS = [
    pytest.param(LOOPS[0], UdpOptions(), id="asyncio"),
    pytest.param(LOOPS[1], UdpOptions(), id="uvloop"),
    pytest.param(LOOPS[0], UdpOptions(join=False), id="asyncio, not joined"),
    pytest.param(LOOPS[0], UdpOptions(reader="task"), id="task"),
]


class Recorder:
    """Is a sink that keeps what it is given, and can wait for it."""

    def __init__(self) -> None:
        self.datagrams: list[Datagram] = []
        self.errors: list[Unreachable] = []
        self.backlogs: list[bool] = []
        self.closed: list[UdpSocket] = []
        self.batches: list[int] = []
        self._new = 0
        self._changed = asyncio.Event()

    def on_datagram(self, datagram: Datagram, now: Instant) -> None:
        self.datagrams.append(datagram)
        self._new += 1

    def on_unreachable(self, unreachable: Unreachable, now: Instant) -> None:
        self.errors.append(unreachable)
        self._changed.set()

    def on_drained(self, now: Instant) -> None:
        self.batches.append(self._new)
        self._new = 0
        self._changed.set()

    def on_backlog(self, queued: bool) -> None:
        self.backlogs.append(queued)
        self._changed.set()

    def on_socket_closed(self, closed: UdpSocket) -> None:
        self.closed.append(closed)
        self._changed.set()

    async def until(self, what: str, count: int) -> None:
        """Waits until a list has so many entries."""
        while len(getattr(self, what)) < count:
            self._changed.clear()
            await self._changed.wait()


async def opened(host: str = "127.0.0.1", options: UdpOptions | None = None) -> tuple[UdpSocket, Recorder]:
    sink = Recorder()
    return UdpSocket(open_socket(Address(host, 0)), 0, sink, options or UdpOptions()), sink


def ipv6_loopback() -> bool:
    try:
        open_socket(Address("::1", 0)).close()
    except OSError:
        return False
    return True


HOSTS = ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not ipv6_loopback(), reason="no IPv6 here"))]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(("loop_factory", "options"), WAYS)
def test_a_datagram_arrives_with_canonical_addresses(loop_factory: LoopFactory, options: UdpOptions, host: str) -> None:
    async def main() -> None:
        a, _ = await opened(host, options)
        b, heard = await opened(host, options)
        a.send(Datagram(a.address, b.address, STUN))
        a.send(Datagram(a.address, b.address, b""))
        await heard.until("datagrams", 2)
        assert heard.datagrams == [Datagram(b.address, a.address, STUN), Datagram(b.address, a.address, b"")]
        assert a.address.host == host
        await closed(a, b)

    run(main(), loop_factory)


async def closed(*opened: UdpSocket) -> None:
    """Closes and lets a reading task end."""
    for sock in opened:
        sock.close()
        sock.close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert all(sock._sock.fileno() == -1 for sock in opened)


@pytest.mark.parametrize(("loop_factory", "options"), WAYS)
def test_a_flow_bypasses_the_sink_but_stun_never_does(loop_factory: LoopFactory, options: UdpOptions) -> None:
    async def main() -> None:
        got: list[bytes] = []
        a, _ = await opened("127.0.0.1", options)
        b, heard = await opened("127.0.0.1", options)
        b.flows.set(SetFlow(FlowKey(b.address, a.address), Deliver(1, 1), float("inf")), got.append)
        for payload in (DATA, STUN, DATA):
            a.send(Datagram(a.address, b.address, payload))
        await heard.until("datagrams", 1)
        while len(got) < 2:
            await asyncio.sleep(0)
        assert got == [DATA, DATA]
        assert [datagram.payload for datagram in heard.datagrams] == [STUN]
        await closed(a, b)

    run(main(), loop_factory)


def test_where_datagrams_came_one_by_one_a_wakeup_reads_once() -> None:
    async def main() -> None:
        a, _ = await opened()
        b, heard = await opened()
        reads: list[int] = []
        receive = b._receive

        def counted() -> tuple[Sequence[bytes], OsAddress]:
            reads[-1] += 1
            return receive()

        b._receive = counted
        for count in range(1, 3 * (LONE + 1) + 1):
            reads.append(0)
            a.send(Datagram(a.address, b.address, STUN))
            await heard.until("datagrams", count)
        assert reads == [*[1] * LONE, 2] * 3
        await closed(a, b)

    run(main())


def test_one_wakeup_drains_many_but_not_without_bound() -> None:
    async def main() -> None:
        a, _ = await opened()
        b, heard = await opened(options=UdpOptions(drain=8))
        for _ in range(20):
            a.send(Datagram(a.address, b.address, STUN))
        await heard.until("datagrams", 20)
        assert heard.batches == [*[1] * LONE, 8, 5]
        await closed(a, b)

    run(main())


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("loop_factory", LOOPS)
def test_a_burst_that_the_kernel_joined_is_cut_again(loop_factory: LoopFactory, host: str) -> None:
    async def main() -> None:
        got: list[bytes] = []
        a, _ = await opened(host)
        b, heard = await opened(host)
        b.flows.set(SetFlow(FlowKey(b.address, a.address), Deliver(1, 1), float("inf")), got.append)
        a._sock.setsockopt(socket.IPPROTO_UDP, 103, 20)  # UDP_SEGMENT
        data = [bytes([0x80 + index]) * 20 for index in range(8)] + [b"\x99last"]
        a._sock.sendto(b"".join([*data[:4], STUN, *data[4:]]), b.address)
        await heard.until("datagrams", 1)
        assert got == data
        assert [datagram.payload for datagram in heard.datagrams] == [STUN]
        await closed(a, b)

    run(main(), loop_factory)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("loop_factory", LOOPS)
def test_a_refused_datagram_is_reported_and_reading_goes_on(loop_factory: LoopFactory, host: str) -> None:
    async def main() -> None:
        a, heard = await opened(host)
        gone = open_socket(Address(host, 0))
        nobody = Address(host, gone.getsockname()[1])
        gone.close()
        for _ in range(3):  # libuv stops a poll that saw an error: it must be started again each time
            heard.errors.clear()
            a.send(Datagram(a.address, nobody, STUN))
            await heard.until("errors", 1)
            icmp = (1, 4) if ":" in host else (3, 3)
            assert heard.errors[0] == Unreachable(a.address, nobody, *icmp, 0)
            heard.datagrams.clear()
            a.send(Datagram(a.address, a.address, STUN))
            await heard.until("datagrams", 1)
        await closed(a)

    run(main(), loop_factory)


def test_a_wakeup_with_nothing_to_read_looks_for_errors() -> None:
    async def main() -> None:
        a, heard = await opened()
        gone = open_socket(Address("127.0.0.1", 0))
        nobody = Address("127.0.0.1", gone.getsockname()[1])
        gone.close()
        a._sock.sendto(STUN, nobody)
        with pytest.raises(ConnectionRefusedError):  # takes the error, and leaves its record in the queue
            a._sock.recv(1)
        a._on_readable()
        assert [error.remote for error in heard.errors] == [nobody]
        a._on_readable()
        assert len(heard.errors) == 1
        await closed(a)

    run(main())


def test_an_error_met_while_sending_does_not_lose_the_datagram_that_met_it() -> None:
    async def main() -> None:
        a, heard = await opened()
        gone = open_socket(Address("127.0.0.1", 0))
        nobody = Address("127.0.0.1", gone.getsockname()[1])
        gone.close()
        a.send(Datagram(a.address, nobody, STUN))
        a.send(Datagram(a.address, a.address, DATA))
        assert heard.errors
        await heard.until("datagrams", 1)
        assert [datagram.payload for datagram in heard.datagrams] == [DATA]
        assert [error.remote for error in heard.errors] == [nobody]
        await closed(a)

    run(main())


@pytest.mark.skipif(not ipv6_loopback(), reason="no IPv6 here")
def test_a_datagram_the_kernel_refuses_is_reported() -> None:
    async def main() -> None:
        a, heard = await opened()
        v6, heard6 = await opened("::1")
        a.send(Datagram(a.address, a.address, bytes(65_508), dont_fragment=True))
        v6.send(Datagram(v6.address, v6.address, bytes(65_528)))
        v6.send(Datagram(v6.address, Address("::1", 0), STUN))
        assert [(error.remote, error.icmp_type, error.icmp_code) for error in heard.errors] == [(a.address, 3, 4)]
        assert heard.errors[0].mtu
        assert [(error.remote, error.icmp_type) for error in heard6.errors] == [
            (v6.address, 2),
            (Address("::1", 0), 1),
        ]
        await closed(a, v6)

    run(main())


@pytest.mark.rfc("8656", "14")
def test_df_is_set_for_the_datagrams_that_ask_for_it_only() -> None:
    async def main() -> None:
        a, heard = await opened()

        def mode() -> int:
            return a._sock.getsockopt(socket.IPPROTO_IP, sockets.IP_MTU_DISCOVER)

        assert mode() == sockets.PMTUDISC_DONT
        a.send(Datagram(a.address, a.address, DATA, dont_fragment=True))
        assert mode() == sockets.PMTUDISC_DO
        a.send(Datagram(a.address, a.address, DATA))
        assert mode() == sockets.PMTUDISC_DONT
        await heard.until("datagrams", 2)
        await closed(a)

    run(main())


class Stuffed:
    """Stands for a socket whose kernel buffer is full until it is opened up; the rest is the real one."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.error: OSError | None = BlockingIOError()
        self.sent: list[bytes] = []

    def sendto(self, payload: bytes, target: tuple[str, int]) -> int:
        if self.error is not None:
            raise self.error
        self.sent.append(payload)
        return len(payload)

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)


def stuffed(sock: UdpSocket) -> Stuffed:
    full = Stuffed(sock._sock)
    sock._sock = full  # type: ignore[assignment]  # stands for a socket
    return full


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_a_full_kernel_queues_control_before_data_and_the_newest_data_goes(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        a, heard = await opened(options=UdpOptions(queue=4))
        full = stuffed(a)
        for payload in (b"\x80first", b"\x80second", SEND_INDICATION, STUN):
            a.send(Datagram(a.address, a.address, payload))
        assert a.backlog == 4
        a.send(Datagram(a.address, a.address, b"\x80one too many"))
        a.send(Datagram(a.address, a.address, STUN))  # takes the place of the newest data
        assert a.dropped_on_send == 2
        full.error = None
        await heard.until("backlogs", 2)
        assert full.sent == [STUN, STUN, b"\x80first", b"\x80second"]
        assert heard.backlogs == [True, False]
        await closed(a)

    run(main(), loop_factory)


def test_a_queue_full_of_control_drops_the_newest_control() -> None:
    async def main() -> None:
        a, _ = await opened(options=UdpOptions(queue=2))
        stuffed(a)
        for _ in range(3):
            a.send(Datagram(a.address, a.address, STUN))
        assert (a.backlog, a.dropped_on_send) == (2, 1)
        a.close(abort=True)
        assert a.is_closed

    run(main())


def test_what_is_queued_is_sent_before_the_socket_closes() -> None:
    async def main() -> None:
        a, heard = await opened()
        full = stuffed(a)
        a.send(Datagram(a.address, a.address, STUN))
        a.close()
        a.close()
        assert not heard.closed
        full.error = None
        await heard.until("closed", 1)
        assert full.sent == [STUN]

    run(main())


def test_a_queue_that_never_empties_holds_a_socket_for_a_bound_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "LINGER", 0.01)

    async def main() -> None:
        a, heard = await opened()
        stuffed(a)
        a.send(Datagram(a.address, a.address, STUN))
        a.close()
        await heard.until("closed", 1)
        a.send(Datagram(a.address, a.address, STUN))
        assert a.backlog == 0

    run(main())


def test_no_buffers_in_the_kernel_is_a_counted_loss() -> None:
    async def main() -> None:
        a, heard = await opened()
        full = stuffed(a)
        full.error = OSError(errno.ENOBUFS, "no buffers")
        a.send(Datagram(a.address, a.address, DATA))
        assert (a.dropped_on_send, a.backlog, heard.errors) == (1, 0, [])
        await closed(a)

    run(main())


def test_a_relayed_payload_is_dropped_rather_than_queued() -> None:
    async def main() -> None:
        a, heard = await opened()
        a.relay(a.address, DATA)
        await heard.until("datagrams", 1)
        stuffed(a)
        a.relay(a.address, DATA)
        assert (a.dropped_on_send, a.backlog) == (1, 0)
        await closed(a)
        a.relay(a.address, DATA)
        assert a.dropped_on_send == 1

    run(main())


@pytest.mark.parametrize("host", HOSTS)
def test_a_reading_task_also_sends_what_was_queued(host: str) -> None:
    async def main() -> None:
        a, heard = await opened(host, UdpOptions(reader="task"))
        real = a._sock
        stuffed(a)
        a.send(Datagram(a.address, a.address, STUN))
        a._sock = real
        await heard.until("datagrams", 1)
        assert heard.backlogs == [True, False]
        await closed(a)

    run(main())


def test_a_socket_closed_from_inside_its_wakeup_stops_reading() -> None:
    async def main() -> None:
        a, heard = await opened()
        heard.on_datagram = lambda datagram, now: a.close()  # type: ignore[method-assign]  # the test's own object
        for _ in range(3):
            a.send(Datagram(a.address, a.address, STUN))
        await heard.until("closed", 1)
        assert heard.batches in ([], [0])
        a._poll_again()

    run(main())


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_an_error_while_queueing_does_not_stop_the_writing(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        a, heard = await opened()
        gone = open_socket(Address("127.0.0.1", 0))
        nobody = Address("127.0.0.1", gone.getsockname()[1])
        gone.close()
        full = stuffed(a)
        a.send(Datagram(a.address, a.address, STUN))
        full._sock.sendto(STUN, nobody)
        await heard.until("errors", 1)
        full.error = None
        await heard.until("backlogs", 2)
        assert full.sent == [STUN]
        await closed(a)

    run(main(), loop_factory)


def test_a_task_that_still_writes_is_ended_by_close() -> None:
    async def main() -> None:
        a, heard = await opened(options=UdpOptions(reader="task"))
        stuffed(a)
        a.send(Datagram(a.address, a.address, STUN))
        a.close(abort=True)
        await heard.until("closed", 1)

    run(main())


def test_a_reading_task_survives_an_error() -> None:
    async def main() -> None:
        a, heard = await opened(options=UdpOptions(reader="task"))
        gone = open_socket(Address("127.0.0.1", 0))
        nobody = Address("127.0.0.1", gone.getsockname()[1])
        gone.close()
        a.send(Datagram(a.address, nobody, STUN))
        await heard.until("errors", 1)
        a.send(Datagram(a.address, a.address, STUN))
        await heard.until("datagrams", 1)
        await closed(a)

    run(main())


def test_a_loop_without_add_reader_is_read_by_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        def refuse(*args: object) -> None:
            raise NotImplementedError

        real = loop.add_reader
        monkeypatch.setattr(loop, "add_reader", refuse)
        a, heard = await opened()
        monkeypatch.setattr(loop, "add_reader", real)
        a.send(Datagram(a.address, a.address, STUN))
        await heard.until("datagrams", 1)
        await closed(a)

    run(main())


def test_the_table_of_scopes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "SOURCES", 2)

    async def main() -> None:
        a, _ = await opened()
        assert a._canonical(("192.0.2.1", 5)) == Address("192.0.2.1", 5)
        for index in range(1, 10):
            assert a._canonical((f"fe80::{index}", 5, 0, 2)) == Address(f"fe80::{index}", 5)
        assert len(a._scopes) <= 2
        assert a._canonical(("fe80::7", 5, 0, 3)) == Address("fe80::7", 5)
        assert a._scoped(Address("fe80::7", 9)) == ("fe80::7", 9, 0, 3)
        assert a._scoped(Address("fe80::8", 9)) == ("fe80::8", 9, 0, 0)
        assert a._scoped(Address("2001:db8::8", 9)) == ("2001:db8::8", 9)
        await closed(a)

    run(main())


def test_a_port_in_use_or_a_range_taken_is_an_os_error() -> None:
    first = open_socket(Address("127.0.0.1", 0))
    port = first.getsockname()[1]
    with first:
        for ports, wanted in (((port, port), 0), (None, port)):
            with pytest.raises(OSError, match="in use") as caught:
                open_socket(Address("127.0.0.1", wanted), ports=ports)
            assert caught.value.errno == errno.EADDRINUSE


def test_a_kernel_that_cannot_join_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_socket(Address("127.0.0.1", 0)) as sock:
        assert join_datagrams(sock)
        monkeypatch.setattr(sockets, "UDP_GRO", 9999)
        assert not join_datagrams(sock)
        monkeypatch.setattr("sys.platform", "darwin")
        assert not join_datagrams(sock)


def test_an_address_that_is_not_ours_is_an_os_error() -> None:
    with pytest.raises(OSError, match="assign"):
        open_socket(Address("192.0.2.99", 0))


def test_an_even_port_is_even() -> None:
    for _ in range(4):
        with open_socket(Address("127.0.0.1", 0), even_port=True) as sock:
            assert sock.getsockname()[1] % 2 == 0


def test_ports_of_a_range_come_in_random_order_each_once() -> None:
    assert sorted(candidate_ports(0, (5, 9), even=False)) == [5, 6, 7, 8, 9]
    assert sorted(candidate_ports(0, (5, 9), even=True)) == [6, 8]
    assert list(candidate_ports(0, (5, 5), even=True)) == []
    assert list(candidate_ports(7, (5, 9), even=False)) == [7]
    assert len({tuple(candidate_ports(0, (1, 50), even=False)) for _ in range(20)}) > 1


def test_a_system_that_refuses_options_gives_a_socket_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    with open_socket(Address("127.0.0.1", 0)) as sock:
        assert sock.getsockname()[1]


@pytest.mark.parametrize(
    ("payload", "control"), [(STUN, True), (SEND_INDICATION, False), (DATA, False), (b"", False), (b"\x00", True)]
)
def test_signalling_is_told_from_data(payload: bytes, control: bool) -> None:
    assert is_control(payload) is control


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidArgument):
        UdpOptions(drain=0)
    with pytest.raises(InvalidArgument):
        UdpOptions(queue=0)
    with pytest.raises(InvalidArgument, match="reader"):
        UdpOptions(reader="thread")  # type: ignore[arg-type]  # what a caller without a type-checker may write
