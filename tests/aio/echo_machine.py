"""Small machines for tests of the driver: one answers what it receives, one does what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import uvloop

from icepath.machine import Arrival, Bytes, Command, Datagram, DatagramDropped, Event, MachineClosed
from icepath.net import Instant

ResultT = TypeVar("ResultT")
LoopFactory: TypeAlias = Callable[[], asyncio.AbstractEventLoop]
LOOPS: tuple[LoopFactory, ...] = (asyncio.new_event_loop, uvloop.new_event_loop)


def run(main: Coroutine[object, object, ResultT], loop_factory: LoopFactory = asyncio.new_event_loop) -> ResultT:
    """Runs to the end on a fresh loop; a test that hangs fails after 20 s."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(_bounded(main))


async def _bounded(main: Coroutine[object, object, ResultT]) -> ResultT:
    async with asyncio.timeout(20):
        return await main


@dataclass(frozen=True, slots=True)
class Heard(Event):
    """Reports what was received, and when."""

    arrival: Arrival
    now: Instant


@dataclass(frozen=True, slots=True)
class TimedOut(Event):
    """Reports a time-out: the deadline and the `now` that was given."""

    deadline: Instant
    now: Instant


EchoEvent: TypeAlias = Heard | TimedOut | MachineClosed | DatagramDropped
Output: TypeAlias = Datagram | Bytes | Command | EchoEvent


class EchoMachine:
    """Reports every arrival as an event and, if `echo`, sends datagrams back."""

    def __init__(self, *, echo: bool = True) -> None:
        self.echo = echo
        self.deadlines: list[Instant] = []
        self.closing_takes = 0.0
        self.closed = False
        self._closing_at: Instant | None = None
        self._outputs: list[Output] = []

    def put(self, *outputs: Output) -> None:
        """Outputs whatever a test wants."""
        self._outputs += outputs

    def receive(self, arrival: Arrival, *, now: Instant) -> None:
        if self.closed:
            return
        self.put(Heard(arrival, now))
        if self.echo and isinstance(arrival, Datagram):
            self.put(Datagram(arrival.local, arrival.remote, arrival.payload))

    def handle_timeout(self, *, now: Instant) -> None:
        while self.deadlines and self.deadlines[0] <= now:
            self.put(TimedOut(self.deadlines.pop(0), now))
        if self._closing_at is not None and now >= self._closing_at:
            self._end()

    def next_deadline(self) -> Instant | None:
        return self._closing_at or min(self.deadlines, default=None)

    def close(self, *, now: Instant) -> None:
        if not self.closed:
            self._closing_at = now + self.closing_takes
            self.handle_timeout(now=now)

    def take_outputs(self) -> Sequence[Output]:
        outputs, self._outputs = self._outputs, []
        return outputs

    def _end(self) -> None:
        self._closing_at = None
        self.deadlines.clear()
        self.closed = True
        self.put(MachineClosed())
