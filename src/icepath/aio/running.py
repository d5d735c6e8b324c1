"""One machine at work: its sockets, its queries, its place in the driver's heap.

Feed an arrival, dispatch each output in order, store the deadline: that is all. `Running` owns sockets and
queries and reads the clock; the machine owns every decision. What arrives while outputs are dispatched
(the answer to a `Bind`, a flow's report) waits until all of them are out, so causes stay before effects.
A machine that raises (law 1 forbids it) is ended, not trusted on.

Byte streams and DTLS associations are byte_streams.py's; most machines have none, so it is made when asked for.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Generic, Protocol, TypeAlias, TypeVar, cast, final

from icepath.aio.byte_streams import ByteStreams
from icepath.aio.flows import Sink
from icepath.aio.multicast import open_group_socket
from icepath.aio.resolver import ResolveFailed, Resolver
from icepath.aio.sockets import open_socket
from icepath.aio.tcp import StreamOptions
from icepath.aio.udp import UdpOptions, UdpSocket
from icepath.errors import InvalidState
from icepath.machine import (
    Arrival,
    Bind,
    Bytes,
    Close,
    Command,
    Connect,
    Datagram,
    Deliver,
    DropFlow,
    Event,
    Failed,
    FailReason,
    FlowKey,
    FlowUsed,
    Handle,
    Machine,
    MachineClosed,
    Opened,
    Relay,
    Resolve,
    Resolved,
    SetFlow,
    Splice,
    Transport,
    Unreachable,
)
from icepath.net import Address, Instant

EventT = TypeVar("EventT", bound=Event)
Deliverer: TypeAlias = Callable[[int, int], Sink]
"""Returns where an application's data of (stream, component) goes."""

# Outputs dispatched in one go, before other machines and the loop have their turn.
SLICE: Final = 256

BIND_FAILURES: Final = {
    errno.EADDRINUSE: FailReason.ADDRESS_IN_USE,
    errno.EACCES: FailReason.PERMISSION,
    errno.EPERM: FailReason.PERMISSION,
}


class Scheduler(Protocol):
    """Is what a running machine needs of the driver."""

    resolver: Resolver

    def set_deadline(self, running: Running[EventT], at: Instant | None) -> None:
        """Stores when the machine wants `handle_timeout`."""


class LocalFlows(Protocol):
    """Is a socket's flow table, or one connection's part of it."""

    def set(self, command: SetFlow, sink: Sink) -> FlowUsed | None:
        """Adds or renews a flow; returns what the one it replaces had carried."""

    def drop(self, key: FlowKey) -> FlowUsed | None:
        """Removes a flow; returns what it had carried."""

    def used(self) -> list[FlowUsed]:
        """Returns what was carried since the last report."""
        ...


class LocalSocket(Protocol):
    """Is what a machine sends from: a socket of its own, or a place at one that it shares."""

    dropped_on_send: int

    @property
    def address(self) -> Address:
        """Returns what the machine calls it."""
        ...

    @property
    def flows(self) -> LocalFlows:
        """Returns what may be answered without the machine."""
        ...

    def send(self, datagram: Datagram) -> None:
        """Sends now, or queues."""

    def relay(self, remote: Address, payload: bytes) -> None:
        """Sends what a `Relay` flow carried."""

    def close(self, *, abort: bool = False) -> None:
        """Closes; `on_socket_closed` follows."""


@final
class Running(Generic[EventT]):
    """Is one machine at work: its sockets, its queries, its place in the driver's heap.

    After calling a verb of the machine with `driver.now()`, call `settle`.
    """

    def __init__(
        self,
        driver: Scheduler,
        machine: Machine[EventT],
        on_event: Callable[[EventT], None],
        deliver: Deliverer | None,
        options: UdpOptions,
        stream_options: StreamOptions | None = None,
    ) -> None:
        self.machine: Final = machine
        self.driver: Final = driver
        self.is_closed = False
        """Says that the machine has ended; its sockets may still have something to send."""
        self.is_ended = False
        """Says that the sockets are closed as well."""
        self.dropped_without_socket = 0
        """Datagrams whose local address is no open socket of this machine."""
        self.backlogs = 0
        """How many sockets queue because the kernel's buffer is full: then the application should wait."""
        self._on_event = on_event
        self._deliver = deliver
        self._options = options
        self._loop = asyncio.get_running_loop()
        self.sockets: dict[Address, LocalSocket] = {}
        """What the machine sends from; a place at a socket that others share is put here, and closed with the rest."""
        self._closing: list[LocalSocket] = []
        self._bound: dict[Handle, UdpSocket] = {}
        self._queries: dict[Handle, asyncio.Task[None]] = {}
        self._stream_options = stream_options
        self._byte_streams: ByteStreams | None = None
        self._answers: list[Arrival] = []
        self._outputs: list[Datagram | Bytes | Command | EventT] = []
        # The deadline the machine wants, and the one the driver's heap has.
        self._wanted: Instant | None = None
        self._stored: Instant | None = None
        self._is_dispatching = False
        self._continuation: asyncio.Handle | None = None
        self._drained: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None

    # -- verbs -----------------------------------------------------------------------------------------------

    def open_udp(self, host: str, *, ports: tuple[int, int] | None = None, scope_id: int = 0, port: int = 0) -> Address:
        """Opens a host socket for the machine and returns its address; tell the machine by its own verb.

        Raises: OSError as the system gives it.
        """
        if self.is_closed:
            raise InvalidState("the machine is closed")
        return self._open(Address(host, port), scope_id=scope_id, ports=ports, even_port=False).address

    def close_udp(self, address: Address) -> None:
        """Closes a host socket."""
        sock = self.sockets.pop(address, None)
        if sock is not None:
            self._release(sock, abort=False)

    def open_tcp(
        self,
        host: str,
        *,
        ports: tuple[int, int] | None = None,
        scope_id: int = 0,
        port: int = 0,
        paused: bool = False,
        context: ssl.SSLContext | None = None,
    ) -> Address:
        """Opens a TCP listener for the machine, with a context for TLS, and returns its address, which is its name.

        `byte_streams.close(address)` closes it.
        Raises: OSError as the system gives it.
        """
        if self.is_closed:
            raise InvalidState("the machine is closed")
        local = Address(host, port)
        return self.byte_streams.listen(local, ports=ports, scope_id=scope_id, paused=paused, context=context)

    @property
    def byte_streams(self) -> ByteStreams:
        """Returns the machine's byte streams and associations."""
        if self._byte_streams is None:
            options = self._stream_options or StreamOptions(reader=self._options.reader)
            self._byte_streams = ByteStreams(self._answer, self._finish, options)
        return self._byte_streams

    def settle(self) -> None:
        """Dispatches what the machine has to say and re-arms its deadline."""
        self.settle_at(time.monotonic())

    def settle_at(self, now: Instant) -> None:
        """Is `settle` for a caller that has just read the clock; a call from inside is left to the outer one."""
        if self._is_dispatching or self.is_closed:
            return
        self._is_dispatching = True
        try:
            is_done = self._pump(now)
        finally:
            self._is_dispatching = False
        if self.is_closed:
            return
        if not is_done:
            self._continue_later()
            self._wanted = self.machine.next_deadline()
        if self._wanted != self._stored:
            self._stored = self._wanted
            self.driver.set_deadline(self, self._wanted)

    def close(self) -> None:
        """Begins the end: `wait_closed` returns when the machine has ended and its sockets are closed."""
        if not self.is_closed:
            now = time.monotonic()
            self.machine.close(now=now)
            self.settle_at(now)

    def abort(self) -> None:
        """Ends at once, whatever the machine still wanted."""
        if not self.is_closed:
            self._end(abort=True)

    async def wait_closed(self) -> None:
        """Waits for the end; cancelling it ends nothing."""
        if not self.is_ended:
            if self._ended is None:
                self._ended = self._loop.create_future()
            await asyncio.shield(self._ended)

    def report_flows(self) -> None:
        """Tells the machine what its flows carried, for exact counters."""
        now = time.monotonic()
        for sock in self.sockets.values():
            for used in sock.flows.used():
                self.machine.receive(used, now=now)
        self.settle_at(now)

    async def drain(self) -> None:
        """Waits until no socket queues."""
        while self.backlogs > 0 and not self.is_closed:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    @property
    def dropped_on_send(self) -> int:
        """Returns how many datagrams were given up for want of room, or of a socket."""
        return self.dropped_without_socket + sum(sock.dropped_on_send for sock in self.sockets.values())

    # -- what the sockets say --------------------------------------------------------------------------------

    def on_datagram(self, datagram: Datagram, now: Instant) -> None:
        """Gives the machine one datagram; outputs are dispatched when the wake-up ends."""
        self._receive(datagram, now)

    def on_unreachable(self, unreachable: Unreachable, now: Instant) -> None:
        """Gives the machine one ICMP error, after what is being dispatched."""
        self._answers.append(unreachable)
        if not self._is_dispatching:
            self.settle_at(now)

    def on_drained(self, now: Instant) -> None:
        """Dispatches what the machine answered to a wake-up's datagrams."""
        self.settle_at(now)

    def on_backlog(self, queued: bool) -> None:
        """Counts the sockets that queue."""
        self.backlogs += 1 if queued else -1
        if not self.backlogs:
            self._wake_drained()

    def on_socket_closed(self, closed: LocalSocket) -> None:
        """Forgets a socket; the last one completes the end."""
        self._closing.remove(closed)
        self._finish()

    def on_deadline(self, now: Instant) -> None:
        """Is the machine's time-out."""
        if not self.is_closed:
            self._stored = None
            self._time_out(now)
            self.settle_at(now)

    def _answer(self, arrival: Arrival) -> None:
        """Gives the machine what a byte stream says, after what is being dispatched."""
        if not self.is_closed:
            self._answers.append(arrival)
            self.settle()

    # -- the pump --------------------------------------------------------------------------------------------

    def _receive(self, arrival: Arrival, now: Instant) -> None:
        if not self.is_closed:
            try:
                self.machine.receive(arrival, now=now)
            except Exception as error:
                self._crash(error)

    def _time_out(self, now: Instant) -> None:
        try:
            self.machine.handle_timeout(now=now)
        except Exception as error:
            self._crash(error)

    def _crash(self, error: Exception) -> None:
        """Ends a machine that raised: its state cannot be trusted."""
        self._loop.call_exception_handler(
            {"message": f"icepath: {type(self.machine).__name__} raised; it is ended", "exception": error}
        )
        self._outputs.clear()
        self._emit(cast("EventT", MachineClosed()))  # every machine's union of events has it

    def _pump(self, now: Instant) -> bool:
        """Dispatches one slice; False when more is left, True with the machine's deadline in `_wanted`."""
        room = SLICE
        has_fired = False
        while not self.is_closed:
            self._outputs.extend(self.machine.take_outputs())
            if self._outputs:
                room, is_quiet = self._dispatch(room)
                if self._outputs:
                    return False
                has_fired = False
                if not is_quiet:
                    continue
            if self._answers:
                self._receive(self._answers.pop(0), now)
                continue
            self._wanted = at = self.machine.next_deadline()
            if at is None or at > now or has_fired:
                # Law 3: one call does all due work. A machine that breaks it is left to the timer, not looped on.
                return True
            has_fired = True
            self._time_out(now)
        return True

    def _dispatch(self, room: int) -> tuple[int, bool]:
        """Dispatches so many outputs; returns the room left, and True when nobody was called who may call back."""
        outputs = self._outputs
        is_quiet = True
        done = 0
        for output in outputs:  # an end or a crash meanwhile empties the list, and with it this loop ends
            if done == room:
                break
            done += 1
            if isinstance(output, Datagram):
                sock = self.sockets.get(output.local)
                if sock is not None:
                    sock.send(output)
                else:
                    self.dropped_without_socket += 1
            elif isinstance(output, Event):
                is_quiet = False
                self._emit(output)
            else:
                self._obey(output)
        del outputs[:done]
        return room - done, is_quiet

    def _continue_later(self) -> None:
        if self._continuation is None:
            self._continuation = self._loop.call_soon(self._continue)

    def _continue(self) -> None:
        self._continuation = None
        self.settle()

    def _emit(self, event: EventT) -> None:
        try:
            self._on_event(event)
        except Exception as error:
            self._loop.call_exception_handler({"message": f"icepath: on_event({event!r}) raised", "exception": error})
        if isinstance(event, MachineClosed):
            self._end(abort=False)

    # -- commands --------------------------------------------------------------------------------------------

    def _obey(self, command: Command | Bytes) -> None:
        match command:
            case Bytes():
                self.byte_streams.write(command)
            case SetFlow():
                self._set_flow(command)
            case DropFlow(key=key):
                sock = self.sockets.get(key.local)
                self._report(sock.flows.drop(key) if sock is not None else None)
            case Bind():
                self._bind(command)
            case Close(handle=handle, abort=abort):
                self._close_handle(handle, abort)
            case Resolve():
                self._resolve(command)
            case Connect():
                self.byte_streams.connect(command)
            case Splice():
                self.byte_streams.splice(command)

    def _set_flow(self, command: SetFlow) -> None:
        sock = self.sockets.get(command.key.local)
        sink = self._sink_of(command)
        if sock is not None and sink is not None:
            self._report(sock.flows.set(command, sink))

    def _sink_of(self, command: SetFlow) -> Sink | None:
        """Returns where the flow's payloads go, or None when the driver leaves the flow unused."""
        match command.action:
            case Deliver(stream=stream, component=component):
                return None if self._deliver is None else self._deliver(stream, component)
            case Relay(local=local, remote=remote):
                outgoing = self.sockets.get(local)
                return None if outgoing is None else partial(outgoing.relay, remote)

    def _report(self, used: FlowUsed | None) -> None:
        if used is not None:
            self._answers.append(used)

    def _bind(self, command: Bind) -> None:
        if command.transport is Transport.TCP:
            self.byte_streams.bind(command)
            return
        try:
            if command.group is not None:
                sock = self._join(command.local, command.group)
            else:
                sock = self._open(command.local, scope_id=0, ports=command.port_range, even_port=command.even_port)
        except OSError as error:
            reason = BIND_FAILURES.get(error.errno or 0, FailReason.UNREACHABLE)
            if reason is FailReason.ADDRESS_IN_USE and not command.local.port:
                reason = FailReason.NO_PORT
            self._answers.append(Failed(command.handle, reason, str(error)))
        else:
            self._bound[command.handle] = sock
            self._answers.append(Opened(command.handle, sock.address))

    def _open(self, local: Address, *, scope_id: int, ports: tuple[int, int] | None, even_port: bool) -> UdpSocket:
        options = self._options
        raw = open_socket(
            local, scope_id=scope_id, ports=ports, even_port=even_port, receive_buffer=options.receive_buffer
        )
        sock = UdpSocket(raw, scope_id, self, options)
        self.sockets[sock.address] = sock
        return sock

    def _join(self, local: Address, group: Address) -> UdpSocket:
        raw, scope_id = open_group_socket(local, group)
        sock = UdpSocket(raw, scope_id, self, self._options, host=local.host)
        self.sockets[sock.address] = sock
        return sock

    def _close_handle(self, handle: Handle, abort: bool) -> None:
        query = self._queries.pop(handle, None)
        if query is not None:
            query.cancel()
        sock = self._bound.pop(handle, None)
        if sock is not None:
            self.sockets.pop(sock.address, None)
            self._release(sock, abort=abort)
        if self._byte_streams is not None:
            self._byte_streams.close(handle, abort=abort)
        # Law 8: nothing more is reported about it.
        self._answers = [answer for answer in self._answers if getattr(answer, "handle", None) != handle]

    def _release(self, sock: LocalSocket, *, abort: bool) -> None:
        for used in sock.flows.used():
            self._report(used)
        self._closing.append(sock)
        sock.close(abort=abort)

    def _resolve(self, command: Resolve) -> None:
        handle = command.handle
        try:
            answers = self.driver.resolver.resolve_now(command.what)
        except ResolveFailed as error:
            self._answers.append(Failed(handle, error.reason, str(error)))
            return
        if answers is not None:
            self._answers.append(Resolved(handle, answers))
            return
        query = self._loop.create_task(self._ask(handle, command.what), name=f"icepath resolve {command.what}")
        self._queries[handle] = query

    async def _ask(self, handle: Handle, what: str) -> None:
        answer: Resolved | Failed
        try:
            answer = Resolved(handle, await self.driver.resolver.resolve(what))
        except ResolveFailed as error:
            answer = Failed(handle, error.reason, str(error))
        if self._queries.pop(handle, None) is not None:
            now = time.monotonic()
            self._receive(answer, now)
            self.settle_at(now)

    # -- the end ---------------------------------------------------------------------------------------------

    def _end(self, *, abort: bool) -> None:
        self.is_closed = True
        self.driver.set_deadline(self, None)
        self._answers.clear()
        self._outputs.clear()
        if self._continuation is not None:
            self._continuation.cancel()
            self._continuation = None
        for query in self._queries.values():
            query.cancel()
        self._queries.clear()
        self._bound.clear()
        if self._byte_streams is not None:
            self._byte_streams.end(abort=abort)
        while self.sockets:
            _, sock = self.sockets.popitem()
            self._closing.append(sock)
            sock.close(abort=abort)
        self._wake_drained()
        self._finish()

    def _finish(self) -> None:
        is_over = self.is_closed and not self._closing and not self.sockets
        if is_over and (self._byte_streams is None or self._byte_streams.is_ended):
            self.is_ended = True
            if self._ended is not None and not self._ended.done():
                self._ended.set_result(None)

    def _wake_drained(self) -> None:
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None
