"""A machine on real byte streams, for tests: what it heard, a way to wait for more, and raw peers beside it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Self, TypeVar

from aio.echo_machine import EchoEvent, EchoMachine, Heard, LoopFactory, Output, run
from icepath.aio.driver import Driver
from icepath.aio.running import Running
from icepath.aio.tcp import StreamOptions
from icepath.machine import (
    Accepted,
    Bytes,
    Close,
    Closed,
    CloseReason,
    Connect,
    Failed,
    Handle,
    MachineClosed,
    Opened,
    Security,
    Transport,
)
from icepath.net import Address

ArrivalT = TypeVar("ArrivalT")

HOST = "127.0.0.1"


class Stage:
    """Is a running machine that does what a test tells it to; left by `async with`, it must leave nothing behind."""

    def __init__(self, options: StreamOptions | None = None) -> None:
        self.machine = EchoMachine(echo=False)
        self.replies = False
        """Whether bytes are sent back as they come."""
        self.events: list[EchoEvent] = []
        self._changed = asyncio.Event()
        self._last = 0
        self.running: Running[EchoEvent] = Driver.current().run(self.machine, self._on_event, stream_options=options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.running.abort()
        self.running.close()
        await self.running.wait_closed()
        assert kind is not None or isinstance(self.events[-1], MachineClosed)
        assert self.running._byte_streams is None or self.running._byte_streams.is_ended

    def _on_event(self, event: EchoEvent) -> None:
        self.events.append(event)
        if self.replies and isinstance(event, Heard) and isinstance(event.arrival, Bytes):
            self.machine.put(Bytes(event.arrival.handle, event.arrival.payload))
        self._changed.set()

    def put(self, *outputs: Output) -> None:
        """Outputs whatever a test wants."""
        self.machine.put(*outputs)
        self.running.settle()

    def connect(
        self,
        remote: Address,
        *,
        local: Address | None = None,
        security: Security = Security.NONE,
        server_name: str | None = None,
        alpn: tuple[str, ...] = (),
        verify: bool = True,
        paused: bool = False,
    ) -> Handle:
        """Asks for a byte stream, or with DTLS for an association."""
        self._last += 1
        handle = Handle(self._last)
        transport = Transport.UDP if security is Security.DTLS else Transport.TCP
        self.put(Connect(handle, local, remote, transport, security, server_name, alpn, verify, paused))
        return handle

    def close(self, handle: Handle, *, abort: bool = False) -> None:
        """Ends a handle."""
        self.put(Close(handle, abort))

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits until something was heard that makes it true."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def heard(self, kind: type[ArrivalT]) -> list[ArrivalT]:
        """Returns what was heard of a kind."""
        return [e.arrival for e in self.events if isinstance(e, Heard) and isinstance(e.arrival, kind)]

    def received(self, handle: Handle) -> bytes:
        """Returns the bytes that came on a handle."""
        return b"".join(arrival.payload for arrival in self.heard(Bytes) if arrival.handle == handle)

    async def opened(self, handle: Handle) -> Opened:
        """Waits for the success of a command."""
        await self.until(lambda: handle in self._answered())
        failures = [failed for failed in self.heard(Failed) if failed.handle == handle]
        assert failures == []
        return next(opened for opened in self.heard(Opened) if opened.handle == handle)

    async def failed(self, handle: Handle) -> Failed:
        """Waits for the failure of a command."""
        await self.until(lambda: handle in self._answered())
        assert [opened for opened in self.heard(Opened) if opened.handle == handle] == []
        return next(failed for failed in self.heard(Failed) if failed.handle == handle)

    def _answered(self) -> set[Handle]:
        answers: list[Opened | Failed] = [*self.heard(Opened), *self.heard(Failed)]
        return {answer.handle for answer in answers}

    async def accepted(self, count: int = 1) -> Accepted:
        """Waits for so many byte streams; returns the last."""
        await self.until(lambda: len(self.heard(Accepted)) >= count)
        return self.heard(Accepted)[count - 1]

    async def closed(self, handle: Handle) -> CloseReason:
        """Waits for the end of a handle."""
        await self.until(lambda: any(closed.handle == handle for closed in self.heard(Closed)))
        return next(closed.reason for closed in self.heard(Closed) if closed.handle == handle)

    async def got(self, handle: Handle, data: bytes) -> None:
        """Waits for exactly these bytes."""
        await self.until(lambda: len(self.received(handle)) >= len(data))
        assert self.received(handle) == data


def run_clean(
    main: Callable[[], Coroutine[object, object, None]], loop_factory: LoopFactory = asyncio.new_event_loop
) -> None:
    """Runs a test on a fresh loop, and checks that no task and no timer is left behind."""

    async def guarded() -> None:
        await main()
        for _ in range(3):  # transports of asyncio's own, in tests, close a turn later
            await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        outer = [task for task in asyncio.all_tasks(loop) if not task.get_name().startswith("icepath")]
        assert asyncio.all_tasks(loop) == set(outer)
        scheduled = [timer for timer in getattr(loop, "_scheduled", []) if not timer.cancelled()]
        assert len(scheduled) <= 1, scheduled  # the one that bounds the test

    run(guarded(), loop_factory)


class Raw:
    """Is a plain socket, used through the loop: a peer that does exactly what a test wants."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def connect(cls, address: Address) -> Raw:
        raw = cls(socket.socket(socket.AF_INET6 if address.is_ipv6 else socket.AF_INET))
        try:
            await raw._loop.sock_connect(raw.sock, address)
        except OSError:
            raw.close()
            raise
        return raw

    @classmethod
    def listen(cls, host: str = HOST, backlog: int = 16) -> Raw:
        raw = cls(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET))
        raw.sock.bind((host, 0))
        raw.sock.listen(backlog)
        return raw

    @property
    def address(self) -> Address:
        return Address(*self.sock.getsockname()[:2])

    async def accept(self) -> Raw:
        sock, _ = await self._loop.sock_accept(self.sock)
        return Raw(sock)

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.sock, data)

    async def read(self, count: int) -> bytes:
        """Reads so many bytes, or up to the end."""
        data = bytearray()
        while len(data) < count:
            chunk = await self._loop.sock_recv(self.sock, min(count - len(data), 1 << 16))
            if not chunk:
                break
            data += chunk
        return bytes(data)

    async def read_all(self) -> bytes:
        return await self.read(1 << 40)

    def end(self) -> None:
        """Sends no more."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()
