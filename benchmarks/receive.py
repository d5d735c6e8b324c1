"""Receiving into an application: a flood through `Connection` against a bare asyncio datagram endpoint.

    python benchmarks/receive.py [--loop uvloop] [--packets 200000] [--rounds 5] [--size 172] [--burst 1]

The sender is a child process that keeps the receiver saturated; the receiver's own CPU seconds (user and
system) per datagram are what counts, so the sender's pace does not. Ways alternate within each round, the
medians and the ratio to the bare endpoint are printed. A loss of datagrams is expected: it is a flood.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TypeAlias

import uvloop

from icepath.aio.config import Config
from icepath.aio.connection import Connection
from icepath.aio.driver import Driver
from icepath.aio.running import Running
from icepath.machine import Arrival, Bytes, Command, Datagram, Deliver, Event, FlowKey, MachineClosed, SetFlow
from icepath.net import Address, Instant, parse_address

# linux/udp.h: the kernel cuts one send into datagrams of this size.
UDP_SEGMENT = 103
MAX_SEND = 65_000


@dataclass(frozen=True, slots=True)
class Load:
    """Is what a way has to carry: so many datagrams of a size, sent in bursts."""

    packets: int
    size: int
    burst: int


Way: TypeAlias = Callable[[Load], Coroutine[object, object, float]]


def main() -> None:
    """Runs every way in turn and prints a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    parser.add_argument("--packets", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=172)
    parser.add_argument("--burst", type=int, default=64, help="datagrams per send (UDP_SEGMENT); 1 sends one by one")
    parser.add_argument("--flood", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flood:
        flood(*options.flood)
    elif options.way:
        factory = uvloop.new_event_loop if options.loop == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            print(runner.run(WAYS[options.way](Load(options.packets, options.size, options.burst))))
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Runs the ways in turn, each in a process of its own, as malloc's state after one changes another's cost."""
    figures: dict[str, list[float]] = {name: [] for name in WAYS}
    given = ["--loop", options.loop, "--packets", str(options.packets), "--size", str(options.size)]
    given += ["--burst", str(options.burst)]
    for _ in range(options.rounds):
        for name, values in figures.items():
            child = subprocess.run(
                [sys.executable, __file__, *given, "--way", name], stdout=subprocess.PIPE, check=True
            )
            values.append(float(child.stdout))
    base = statistics.median(figures["bare endpoint"])
    print(
        f"{options.loop}, {options.size} bytes in bursts of {options.burst}: median of {options.rounds} (least, most)"
    )
    for name, values in figures.items():
        median, least, most = (each * 1e6 for each in (statistics.median(values), min(values), max(values)))
        print(f"{name:14} {median:6.2f} us CPU each ({least:.2f}, {most:.2f}), {base * 1e6 / median:5.2f}x")


# -- the ways -----------------------------------------------------------------------------------------


async def bare(load: Load) -> float:
    """Receives with asyncio's own datagram endpoint and a queue."""
    queue: asyncio.Queue[bytes] = asyncio.Queue(1_024)

    class Protocol(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            if not queue.full():
                queue.put_nowait(data)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Protocol, local_addr=("127.0.0.1", 0))
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    address = transport.get_extra_info("sockname")
    with Flood(Address("127.0.0.1", 0), Address(*address), load):
        spent = await measured(queue.get, load.packets)
    transport.close()
    return spent


async def floor(load: Load) -> float:
    """Receives with a reader, a list and a future: what any layer on this event loop costs at least."""
    loop = asyncio.get_running_loop()
    queue: deque[bytes] = deque()
    waiting: list[asyncio.Future[None]] = []

    def readable() -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(64):
                queue.append(sock.recv(65_535))
        if waiting:
            waiting.pop().set_result(None)

    async def receive() -> bytes:
        while not queue:
            waiting.append(loop.create_future())
            await waiting[-1]
        return queue.popleft()

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        loop.add_reader(sock, readable)
        with Flood(Address("127.0.0.1", 0), Address(*sock.getsockname()), load):
            spent = await measured(receive, load.packets)
        loop.remove_reader(sock)
    return spent


class FlowMachine:
    """Permits one flow and does nothing else."""

    def __init__(self) -> None:
        self.outputs: list[Datagram | Bytes | Command | Event] = []

    def receive(self, arrival: Arrival, *, now: Instant) -> None:
        """Sees nothing of the flood."""

    def handle_timeout(self, *, now: Instant) -> None:
        """Has nothing to do."""

    def next_deadline(self) -> Instant | None:
        """Wants nothing."""
        return None

    def close(self, *, now: Instant) -> None:
        """Ends at once."""
        self.outputs.append(MachineClosed())

    def take_outputs(self) -> list[Datagram | Bytes | Command | Event]:
        """Hands over what there is."""
        outputs, self.outputs = self.outputs, []
        return outputs


async def driver(load: Load) -> float:
    """Receives through the driver's flow table into an asyncio queue."""
    queue: asyncio.Queue[bytes] = asyncio.Queue(1_024)

    def put(payload: bytes) -> None:
        if not queue.full():
            queue.put_nowait(payload)

    machine = FlowMachine()
    running: Running[Event] = Driver.current().run(machine, lambda event: None, deliver=lambda stream, component: put)
    here = running.open_udp("127.0.0.1")
    source = free_address()
    machine.outputs.append(SetFlow(FlowKey(here, source), Deliver(1, 1), float("inf")))
    running.settle()
    with Flood(source, here, load):
        spent = await measured(queue.get, load.packets)
    running.close()
    await running.wait_closed()
    return spent


async def connection(load: Load) -> float:
    """Receives through a connected `Connection`; the flood comes from where the other end's socket was."""
    config = Config(loopback=True, interfaces=lambda name, host: host == "127.0.0.1")
    async with Connection(config=config) as here, Connection(config=config) as there:
        offer, answer = await here.gather(), await there.gather()
        await asyncio.gather(here.connect(answer), there.connect(offer))
        while here.state != "completed" or there.state != "completed":
            await asyncio.sleep(0.01)
        # The other end goes without a word; its address floods, until consent would expire.
        local, remote = ends(here)
        there._session.running.abort()  # type: ignore[union-attr]  # a benchmark's liberty
        with Flood(remote, local, load):
            return await measured(here.receive, load.packets)


def ends(link: Connection) -> tuple[Address, Address]:
    """Returns the addresses of the selected pair."""
    pair = link.selected_pair
    assert pair is not None
    return pair.local.address, pair.remote.address


async def measured(receive: Callable[[], Awaitable[bytes]], packets: int) -> float:
    """Returns the CPU seconds of this process for each datagram received."""
    for _ in range(1_000):
        await receive()
    start = cpu()
    for _ in range(packets):
        await receive()
    return (cpu() - start) / packets


def cpu() -> float:
    """Returns this process's CPU seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


WAYS: dict[str, Way] = {"bare endpoint": bare, "bare reader": floor, "driver, flow": driver, "Connection": connection}


# -- the sender ---------------------------------------------------------------------------------------


class Flood:
    """Is a child process that sends as fast as it can."""

    def __init__(self, source: Address, target: Address, load: Load) -> None:
        self._arguments = [str(source), target.host, str(target.port), str(load.size), str(load.burst)]

    def __enter__(self) -> None:
        self._child = subprocess.Popen([sys.executable, __file__, "--flood", *self._arguments])

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.wait()


def flood(local: str, host: str, port: str, size: str, burst: str) -> None:
    """Sends until it is killed."""
    source = parse_address(local)
    count = max(1, min(int(burst), MAX_SEND // int(size)))
    payload = b"\x80" * int(size) * count
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(source)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        if count > 1:
            sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, int(size))
        end = time.monotonic() + 120
        while time.monotonic() < end:
            sock.sendto(payload, (host, int(port)))


def free_address() -> Address:
    """Returns a loopback address that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return Address(*sock.getsockname())


if __name__ == "__main__":
    main()
