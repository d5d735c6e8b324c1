"""The driver: deadlines, dispatch order, commands, closing, and what it does with machines that misbehave."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Callable
from typing import TypeVar

import pytest

from aio.echo_machine import LOOPS, EchoEvent, EchoMachine, Heard, LoopFactory, TimedOut, run
from icepath.aio import running as running_module
from icepath.aio.driver import Driver
from icepath.aio.resolver import Resolver
from icepath.aio.running import Running
from icepath.aio.udp import UdpOptions, UdpSocket
from icepath.errors import InvalidState
from icepath.machine import (
    Arrival,
    Bind,
    Bytes,
    Close,
    Connect,
    Datagram,
    Deliver,
    DropFlow,
    Failed,
    FailReason,
    FlowKey,
    FlowUsed,
    Handle,
    MachineClosed,
    Opened,
    Relay,
    Resolve,
    Resolved,
    Security,
    SetFlow,
    Splice,
    Transport,
    Unreachable,
)
from icepath.net import Address, Instant

ArrivalT = TypeVar("ArrivalT")
STUN = bytes.fromhex("000100002112a442") + bytes(12)
HANDLE = Handle(1)


class Stage:
    """Is a running machine and all it said, with a way to wait for more."""

    def __init__(
        self, machine: EchoMachine | None = None, *, driver: Driver | None = None, deliver: bool = True
    ) -> None:
        self.machine = machine or EchoMachine()
        self.events: list[EchoEvent] = []
        self.delivered: list[tuple[int, int, bytes]] = []
        self._changed = asyncio.Event()
        self.driver = driver or Driver.current()
        self.running: Running[EchoEvent] = self.driver.run(
            self.machine, self.on_event, deliver=self.sink if deliver else None
        )

    def on_event(self, event: EchoEvent) -> None:
        self.events.append(event)
        self._changed.set()

    def sink(self, stream: int, component: int) -> Callable[[bytes], None]:
        def put(payload: bytes) -> None:
            self.delivered.append((stream, component, payload))
            self._changed.set()

        return put

    def heard(self, kind: type[ArrivalT]) -> list[ArrivalT]:
        return [e.arrival for e in self.events if isinstance(e, Heard) and isinstance(e.arrival, kind)]

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def until_event(self) -> None:
        await self.until(lambda: self.events)

    async def end(self) -> None:
        self.running.close()
        await self.running.wait_closed()
        assert isinstance(self.events[-1], MachineClosed)


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_two_machines_talk_over_loopback(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        a, b = Stage(EchoMachine(echo=False)), Stage()
        here, there = a.running.open_udp("127.0.0.1"), b.running.open_udp("127.0.0.1")
        a.machine.put(Datagram(here, there, STUN))
        a.running.settle()
        await a.until(lambda: a.heard(Datagram))
        assert a.heard(Datagram) == [Datagram(here, there, STUN)]
        assert b.heard(Datagram) == [Datagram(there, here, STUN)]
        await a.end()
        await b.end()

    run(main(), loop_factory)


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_deadlines_fire_in_order_and_never_early(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        stages = [Stage() for _ in range(3)]
        start = Driver.now()
        for stage, delay in zip(stages, (0.03, 0.01, 0.02), strict=True):
            stage.machine.deadlines = [start + delay]
            stage.running.settle()
        order: list[float] = []
        for stage in sorted(stages, key=lambda stage: stage.machine.deadlines[0]):
            await stage.until_event()
            order.append(time.monotonic())
        for stage in stages:
            (event,) = stage.events
            assert isinstance(event, TimedOut)
            assert event.deadline <= event.now < event.deadline + 0.5
            assert time.monotonic() >= event.deadline - 0.002
        assert order == sorted(order)
        assert Driver.current()._timer is None
        for stage in stages:
            await stage.end()

    run(main(), loop_factory)


def test_a_later_deadline_does_not_touch_the_timer_and_an_earlier_one_does() -> None:
    async def main() -> None:
        stage = Stage()
        driver = stage.driver
        now = Driver.now()
        stage.machine.deadlines = [now + 50]
        stage.running.settle()
        first = driver._timer
        stage.machine.deadlines = [now + 60]
        stage.running.settle()
        assert driver._timer is first
        stage.machine.deadlines = [now + 0.01]
        stage.running.settle()
        assert driver._timer is not first
        await stage.until(lambda: stage.events)
        stage.machine.deadlines = [Driver.now() + 0.01]
        stage.running.settle()
        stage.machine.deadlines = [Driver.now() + 60]
        stage.running.settle()
        await asyncio.sleep(0.03)  # the timer finds nothing due and re-arms
        assert driver._timer is not None
        assert len(stage.events) == 1
        await stage.end()

    run(main())


def test_work_that_is_due_now_is_done_now() -> None:
    async def main() -> None:
        stage = Stage()
        stage.machine.deadlines = [Driver.now()]
        stage.running.settle()
        assert [type(event) for event in stage.events] == [TimedOut]
        await stage.end()

    run(main())


class Restless(EchoMachine):
    """Breaks law 3: is due again as soon as it was served."""

    def __init__(self) -> None:
        super().__init__()
        self.served = 0

    def handle_timeout(self, *, now: Instant) -> None:
        self.served += 1
        super().handle_timeout(now=now)

    def next_deadline(self) -> Instant | None:
        return None if self.closed else 0.0


def test_a_machine_that_is_always_due_does_not_hang_the_loop() -> None:
    async def main() -> None:
        stage = Stage(Restless())
        await asyncio.sleep(0.01)
        assert isinstance(stage.machine, Restless)
        assert stage.machine.served > 1
        await stage.end()

    run(main())


def test_long_outputs_are_dispatched_in_slices_in_order() -> None:
    async def main() -> None:
        stage = Stage()
        wanted: list[EchoEvent] = [TimedOut(float(index), 0.0) for index in range(600)]
        stage.machine.put(*wanted)
        stage.running.settle()
        assert 0 < len(stage.events) < 600
        stage.machine.put(TimedOut(600.0, 0.0))
        stage.running.settle()  # what comes later waits its turn
        await stage.until(lambda: len(stage.events) == 601)
        assert [event.deadline for event in stage.events if isinstance(event, TimedOut)] == list(map(float, range(601)))
        stage.machine.put(*wanted)
        stage.running.settle()
        stage.running.abort()
        assert len(stage.events) < 1201

    run(main())


def test_bind_is_answered_after_the_outputs_before_it() -> None:
    async def main() -> None:
        stage = Stage()
        stage.machine.put(Bind(HANDLE, Address("127.0.0.1", 0)), TimedOut(1.0, 1.0))
        stage.running.settle()
        assert [type(event) for event in stage.events] == [TimedOut, Heard]
        (opened,) = stage.heard(Opened)
        assert opened.handle == HANDLE
        assert opened.local.host == "127.0.0.1"
        assert opened.local.port
        stage.machine.put(Datagram(opened.local, opened.local, STUN), Close(HANDLE))
        stage.running.settle()
        stage.machine.put(Datagram(opened.local, opened.local, STUN))
        stage.running.settle()
        assert stage.running.dropped_on_send == 1
        await stage.end()

    run(main())


def test_bind_that_fails_says_why() -> None:
    async def main() -> None:
        stage = Stage()
        taken = stage.running.open_udp("127.0.0.1")
        ports = (taken.port, taken.port)
        stage.machine.put(
            Bind(Handle(1), taken),
            Bind(Handle(2), Address("127.0.0.1", 0), port_range=ports),
            Bind(Handle(3), Address("192.0.2.99", 0)),
            Bind(Handle(4), Address("192.0.2.99", 0), Transport.TCP, listen=True),
            Bind(Handle(5), Address("192.0.2.99", 5353), group=Address("224.0.0.251", 5353)),
            Connect(Handle(6), None, Address("127.0.0.1", 9), security=Security.DTLS),
            Bytes(Handle(6), b"x"),
            Splice(Handle(6), Handle(7)),
        )
        stage.running.settle()
        assert [(failed.handle, failed.reason) for failed in stage.heard(Failed)] == [
            (1, FailReason.ADDRESS_IN_USE),
            (2, FailReason.NO_PORT),
            (3, FailReason.UNREACHABLE),
            (4, FailReason.UNREACHABLE),
            (5, FailReason.UNREACHABLE),
            (6, FailReason.UNSUPPORTED),
        ]
        await stage.end()

    run(main())


def test_resolve_is_answered_at_once_for_addresses_and_later_for_names() -> None:
    async def main() -> None:
        driver = Driver(resolver=Resolver(lookup_host=lambda name: ["192.0.2.7"] if name == "known" else []))
        stage = Stage(driver=driver)
        stage.machine.put(
            Resolve(Handle(1), "192.0.2.1"),
            Resolve(Handle(2), "known"),
            Resolve(Handle(3), "unknown"),
            Resolve(Handle(4), "stuns:192.0.2.1"),
            Resolve(Handle(5), "known"),
            Close(Handle(5)),
        )
        stage.running.settle()
        assert [answer.handle for answer in stage.heard(Resolved)] == [1]
        assert [(f.handle, f.reason) for f in stage.heard(Failed)] == [(4, FailReason.UNSUPPORTED)]
        await stage.until(lambda: len(stage.heard(Resolved)) == 2 and len(stage.heard(Failed)) == 2)
        assert stage.heard(Resolved)[1].handle == 2
        assert stage.heard(Resolved)[1].answers[0].address.host == "192.0.2.7"
        assert (stage.heard(Failed)[1].handle, stage.heard(Failed)[1].reason) == (3, FailReason.NAME_NOT_FOUND)
        stage.machine.put(Resolve(Handle(6), "known"))
        stage.running.settle()
        await stage.end()

    run(main())


def test_an_answer_that_comes_after_the_query_was_closed_is_kept_from_the_machine() -> None:
    async def main() -> None:
        stage = Stage()
        task = asyncio.ensure_future(stage.running._ask(Handle(9), "192.0.2.1"))
        await task
        assert not stage.heard(Resolved)
        await stage.end()

    run(main())


def test_a_delivering_flow_bypasses_the_machine_until_it_is_dropped() -> None:
    async def main() -> None:
        a, b = Stage(EchoMachine(echo=False)), Stage(EchoMachine(echo=False))
        here, there = a.running.open_udp("127.0.0.1"), b.running.open_udp("127.0.0.1")
        key = FlowKey(there, here)
        b.machine.put(SetFlow(key, Deliver(1, 2), float("inf")))
        b.running.settle()
        a.machine.put(Datagram(here, there, b"\x80one"))
        a.running.settle()
        await b.until(lambda: b.delivered)
        assert b.delivered == [(1, 2, b"\x80one")]
        b.running.report_flows()
        assert [(used.packets, used.octets) for used in b.heard(FlowUsed)] == [(1, 4)]
        b.machine.put(DropFlow(key), DropFlow(FlowKey(here, there)))
        b.running.settle()
        a.machine.put(Datagram(here, there, b"\x80two"))
        a.running.settle()
        await b.until(lambda: b.heard(Datagram))
        assert len(b.delivered) == 1
        await a.end()
        await b.end()

    run(main())


def test_a_machine_whose_flows_are_not_wanted_sees_every_datagram() -> None:
    async def main() -> None:
        a = Stage(EchoMachine(echo=False), deliver=False)
        here = a.running.open_udp("127.0.0.1")
        a.machine.put(SetFlow(FlowKey(here, here), Deliver(1, 1), float("inf")), Datagram(here, here, b"\x80one"))
        a.running.settle()
        await a.until(lambda: a.heard(Datagram))
        await a.end()

    run(main())


def test_a_relaying_flow_sends_on_without_the_machine() -> None:
    async def main() -> None:
        relay, a = Stage(EchoMachine(echo=False)), Stage(EchoMachine(echo=False))
        front, back = relay.running.open_udp("127.0.0.1"), relay.running.open_udp("127.0.0.1")
        here = a.running.open_udp("127.0.0.1")
        unknown = Address("127.0.0.1", 9)
        relay.machine.put(
            SetFlow(FlowKey(front, here), Relay(back, here, wrap=0x4000), float("inf")),
            SetFlow(FlowKey(front, unknown), Relay(unknown, here), float("inf")),
            SetFlow(FlowKey(unknown, here), Relay(back, here), float("inf")),
        )
        relay.running.settle()
        a.machine.put(Datagram(here, front, b"\x80one"))
        a.running.settle()
        await a.until(lambda: a.heard(Datagram))
        assert a.heard(Datagram) == [Datagram(here, back, b"\x40\x00\x00\x04\x80one")]
        relay.running.close_udp(front)
        relay.running.close_udp(front)
        relay.running.settle()
        assert [(used.packets, used.octets) for used in relay.heard(FlowUsed)] == [(1, 8)]
        await relay.end()
        await a.end()

    run(main())


def test_an_icmp_error_reaches_the_machine_whether_or_not_it_is_dispatching() -> None:
    async def main() -> None:
        stage = Stage(EchoMachine(echo=False))
        here = stage.running.open_udp("127.0.0.1")
        stage.machine.put(Datagram(here, Address("127.0.0.1", 0), STUN), TimedOut(1.0, 1.0))
        stage.running.settle()
        assert [type(event) for event in stage.events] == [TimedOut, Heard]
        stage.running.on_unreachable(Unreachable(here, here, 3, 1), Driver.now())
        assert len(stage.heard(Unreachable)) == 2
        await stage.end()

    run(main())


def test_a_verb_called_from_an_event_is_dispatched_by_the_outer_call() -> None:
    async def main() -> None:
        machine = EchoMachine()
        seen: list[EchoEvent] = []

        def on_event(event: EchoEvent) -> None:
            seen.append(event)
            if len(seen) == 1:
                machine.put(TimedOut(2.0, 2.0))
                running.settle()
                assert len(seen) == 1

        running: Running[EchoEvent] = Driver.current().run(machine, on_event)
        machine.put(TimedOut(1.0, 1.0))
        running.settle()
        assert [event.deadline for event in seen if isinstance(event, TimedOut)] == [1.0, 2.0]
        running.close()
        running.close()
        await running.wait_closed()

    run(main())


class Raising(EchoMachine):
    """Breaks law 1."""

    def receive(self, arrival: Arrival, *, now: Instant) -> None:
        raise ValueError("law 1")

    def handle_timeout(self, *, now: Instant) -> None:
        if not self.closed:
            raise ValueError("law 1")


@pytest.mark.parametrize("how", ["receive", "handle_timeout"])
def test_a_machine_that_raises_is_ended_and_reported(how: str) -> None:
    async def main() -> None:
        reports: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context["message"]))
        stage = Stage(Raising())
        here = stage.running.open_udp("127.0.0.1")
        if how == "receive":
            stage.running.on_datagram(Datagram(here, here, STUN), Driver.now())
        else:
            stage.machine.deadlines = [Driver.now() + 0.001]
            stage.running.settle()
        await stage.running.wait_closed()
        assert [type(event) for event in stage.events] == [MachineClosed]
        assert reports == ["icepath: Raising raised; it is ended"]
        stage.running.on_datagram(Datagram(here, here, STUN), Driver.now())
        stage.running.on_deadline(Driver.now())
        stage.running.close()
        with pytest.raises(InvalidState):
            stage.running.open_udp("127.0.0.1")

    run(main())


def test_a_listener_that_raises_is_reported_and_the_machine_lives_on() -> None:
    async def main() -> None:
        reports: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context["message"]))
        machine = EchoMachine()

        def on_event(event: EchoEvent) -> None:
            raise RuntimeError("listener")

        running: Running[EchoEvent] = Driver.current().run(machine, on_event)
        machine.put(TimedOut(1.0, 1.0))
        running.settle()
        assert not running.is_closed
        assert "TimedOut" in reports[0]
        running.close()
        await running.wait_closed()

    run(main())


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_closing_waits_for_the_machine_and_leaves_nothing(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        stage = Stage()
        stage.machine.closing_takes = 0.02
        here = stage.running.open_udp("127.0.0.1")
        stage.running.close()
        assert not stage.running.is_closed
        waiters = [asyncio.ensure_future(stage.running.wait_closed()) for _ in range(2)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        await waiters[1]
        assert stage.running.is_closed
        other = Stage()
        assert other.running.open_udp("127.0.0.1", port=here.port) == here
        other.running.abort()
        other.running.abort()
        await other.running.wait_closed()
        assert other.driver._timer is None

    run(main(), loop_factory)


def test_waiting_for_room_ends_when_the_queue_is_empty_or_the_machine_has_ended() -> None:
    async def main() -> None:
        stage = Stage()
        assert stage.running.backlogs == 0
        await stage.running.drain()
        stage.running.on_backlog(True)
        stage.running.on_backlog(True)
        waiting = [asyncio.ensure_future(stage.running.drain()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        stage.running.on_backlog(False)
        await asyncio.sleep(0)
        assert stage.running.backlogs == 1
        assert not waiting[0].done()
        stage.running.on_backlog(False)
        await waiting[0]
        stage.running.on_backlog(True)
        waiting = [asyncio.ensure_future(stage.running.drain())]
        await asyncio.sleep(0)
        await stage.end()
        await waiting[0]

    run(main())


def test_a_loop_has_one_driver_and_both_go_together() -> None:
    async def main() -> weakref.ref[Driver]:
        assert Driver.current() is Driver.current()
        stage = Stage()
        await stage.end()
        return weakref.ref(Driver.current())

    first, second = run(main()), run(main())
    gc.collect()
    assert first() is None
    assert second() is None


def test_options_reach_the_sockets() -> None:
    async def main() -> None:
        machine = EchoMachine()
        running = Driver.current().run(machine, lambda _: None, options=UdpOptions(reader="task"))
        here = running.open_udp("127.0.0.1")
        sock = running.sockets[here]
        assert isinstance(sock, UdpSocket)
        assert sock._by_task
        running.close()
        await running.wait_closed()

    run(main())


def test_slices_are_not_so_small_that_a_batch_is_cut() -> None:
    assert 2 * UdpOptions().drain < running_module.SLICE
