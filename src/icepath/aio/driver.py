"""The pump between machines and the world: one `Driver` per event loop, one `Running` per machine.

All machines of a loop share one heap with one entry each and one loop timer, armed by `call_later`;
`loop.time()` is never used, because uvloop's counts whole milliseconds and lags. Sockets, queries and the
dispatch of outputs are running.py's.

    running = Driver.current().run(machine, on_event)
    address = running.open_udp("192.0.2.7")
    machine.verb(..., now=Driver.now())
    running.settle()
    running.close()
    await running.wait_closed()
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable
from math import inf
from typing import TypeVar, cast, final

from icepath.aio.resolver import DTLS, TCP, TLS, UDP, Resolver
from icepath.aio.running import Deliverer, Running
from icepath.aio.tcp import StreamOptions
from icepath.aio.udp import UdpOptions
from icepath.machine import Event, Machine
from icepath.net import Instant
from icepath.timers import Timers

EventT = TypeVar("EventT", bound=Event)


@final
class Driver:
    """Runs any number of machines on one event loop."""

    def __init__(self, *, resolver: Resolver | None = None) -> None:
        self.resolver: Resolver = resolver or Resolver(transports=(UDP, TCP, TLS, DTLS))
        self._timers: Timers[Running[Event]] = Timers()
        self._timer: asyncio.TimerHandle | None = None
        # When the timer fires; `inf` while there is none, and 0 while deadlines are seen to: it is armed once, after.
        self._armed: Instant = inf

    @staticmethod
    def current() -> Driver:
        """Returns the driver of the running event loop, made at the first call."""
        loop = asyncio.get_running_loop()
        driver = _drivers.get(loop)
        if driver is None:
            driver = _drivers[loop] = Driver()
        return driver

    @staticmethod
    def now() -> Instant:
        """Returns the time for a machine's `now`."""
        return time.monotonic()

    def run(
        self,
        machine: Machine[EventT],
        on_event: Callable[[EventT], None],
        *,
        deliver: Deliverer | None = None,
        options: UdpOptions | None = None,
        stream_options: StreamOptions | None = None,
    ) -> Running[EventT]:
        """Runs a machine until it is closed; without `deliver` it is given every datagram of application data."""
        running = Running(self, machine, on_event, deliver, options or UdpOptions(), stream_options)
        running.settle()
        return running

    def set_deadline(self, running: Running[EventT], at: Instant | None) -> None:
        """Stores when the machine wants `handle_timeout`, and re-arms the timer if that is sooner.

        A later deadline is left to the timer that is armed: it fires, finds nothing due, and re-arms.
        """
        self._timers.set(cast("Running[Event]", running), at)  # a key only: events never pass through it
        if at is not None and at < self._armed:
            self._arm(at)

    def _arm(self, at: Instant) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = at
        # The loop is not kept: it is the key under which this driver is found, weakly.
        self._timer = asyncio.get_running_loop().call_later(max(0.0, at - time.monotonic()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        # A loop may fire early by its clock's resolution; the machine never sees less than its deadline.
        now = max(self._armed, time.monotonic())
        self._armed = 0.0
        due: list[Running[Event]] = []
        while (running := self._timers.pop_due(now)) is not None:
            due.append(running)
        try:
            for running in due:
                running.on_deadline(now)
        finally:
            self._armed = inf
            at = self._timers.next_deadline()
            if at is not None:
                self._arm(at)


# A loop's driver lives as long as the loop.
_drivers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Driver] = weakref.WeakKeyDictionary()
