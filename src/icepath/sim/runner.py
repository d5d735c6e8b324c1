"""Runs one machine on a host: the driver of the virtual network.

After every call into the machine the runner takes its outputs, sends and dispatches them in order, and
arms one wake-up. It keeps what the machine said as a list of (instant, event). It holds the machine to
its contract: outputs drained, deadlines after `handle_timeout` in the future, handles used once.
Flows live in flow_table.py, datagram sockets in host.py, byte streams in handles.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar, assert_never

from icepath.errors import InvalidState
from icepath.machine import (
    Arrival,
    Bind,
    Bytes,
    Close,
    Command,
    Connect,
    Datagram,
    DropFlow,
    Event,
    Failed,
    FailReason,
    Handle,
    Machine,
    MachineClosed,
    Opened,
    Resolve,
    Resolved,
    SetFlow,
    Splice,
    Transport,
)
from icepath.net import Address, Instant, Seconds
from icepath.sim.clock import Clock
from icepath.sim.flow_table import DataDelivered, Flows
from icepath.sim.handles import Handles
from icepath.sim.sockets import Sockets

ResultT = TypeVar("ResultT")

_NOT_OPEN: Final = Address("", 0)

# How long a flow's use may go unreported.
FLOW_REPORT_INTERVAL: Final[Seconds] = 1.0


class Runner:
    """Runs one machine."""

    def __init__(
        self,
        machine: Machine[Event],
        *,
        name: str,
        clock: Clock,
        host: Sockets,
        honours_flows: bool,
        on_event: Callable[[Event], None] | None,
    ) -> None:
        self.machine = machine
        self.name = name
        self.events: list[tuple[Instant, Event]] = []
        """What the machine said, and `DataDelivered` for what a flow gave to the application."""
        self.is_closed = False
        self.on_event = on_event
        self.byte_streams = Handles(clock, host, self.arrive)
        """What it has open but for datagram sockets: connections, listeners, associations."""
        self._clock = clock
        self._host = host
        self._flows = Flows(honours_flows)
        # handle -> its socket, or _NOT_OPEN while none is open
        self._handles: dict[Handle, Address] = {}
        self._used: set[Handle] = set()
        # the earliest wake-up in the clock's heap
        self._wake_at: Instant | None = None
        self._is_flow_report_due = False

    def __repr__(self) -> str:
        return f"Runner({self.name})"

    def call(self, verb: Callable[[Instant], ResultT]) -> ResultT:
        """Calls a verb of the machine with the time, then takes its outputs.

        For example `runner.call(lambda now: agent.restart(credentials, now=now))`.
        """
        result = verb(self._clock.now)
        self.settle()
        return result

    def close(self) -> None:
        """Closes the machine."""
        self.call(lambda now: self.machine.close(now=now))

    def arrive(self, arrival: Arrival) -> None:
        """Gives one arrival to the machine, or to the flow that may answer it."""
        if self.is_closed:
            return
        now = self._clock.now
        if isinstance(arrival, Datagram):
            action = self._flows.answer(arrival, now)
            if action is not None:
                self._act(action)
                return
        self.machine.receive(arrival, now=now)
        self.settle()

    # -- flows -----------------------------------------------------------------------------------------------

    def _act(self, action: DataDelivered | Datagram) -> None:
        if isinstance(action, DataDelivered):
            self._report(action)
        else:
            self._host.send(action)
        if not self._is_flow_report_due:
            self._is_flow_report_due = True
            self._clock.schedule_call(self._clock.now + FLOW_REPORT_INTERVAL, self._report_flows)

    def _report_flows(self) -> None:
        self._is_flow_report_due = False
        for used in self._flows.take_used():
            self.arrive(used)

    # -- outputs ---------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Takes the machine's outputs, acts on them in order, and arms its wake-up.

        Raises: InvalidState when the machine breaks its contract.
        """
        machine = self.machine
        outputs = machine.take_outputs()
        if outputs:
            for output in outputs:
                if isinstance(output, Datagram):
                    self._host.send(output)
                elif isinstance(output, Event):
                    self._report(output)
                else:
                    self._dispatch(output)
            if machine.take_outputs():
                raise InvalidState(f"{self.name} has outputs after they were taken")
            if self.is_closed and not isinstance(outputs[-1], MachineClosed):
                raise InvalidState(f"{self.name} said {outputs[-1]} after MachineClosed")
        self._arm(machine.next_deadline())

    def _report(self, event: Event) -> None:
        self.events.append((self._clock.now, event))
        if isinstance(event, MachineClosed):
            self.is_closed = True
            self._handles.clear()
            self._flows.clear()
            self._host.free_all(self)
            self.byte_streams.close_all()
        if self.on_event is not None:
            # Later at this instant: what it does must not come between this event and the next output.
            self._clock.schedule(self._clock.now, self.on_event, event)

    def _dispatch(self, command: Command | Bytes) -> None:
        match command:
            case Bind():
                self._take_handle(command.handle)
                self._bind(command)
            case Connect():
                self._take_handle(command.handle)
                self._connect(command)
            case Resolve():
                self._take_handle(command.handle)
                self._answer(*self._host.names.answer(command))
            case Close():
                local = self._handles.pop(command.handle, _NOT_OPEN)
                if local is not _NOT_OPEN:
                    self._host.free(local, self)
                self.byte_streams.close(command)
            case SetFlow():
                self._flows.set(command)
            case DropFlow():
                used = self._flows.drop(command.key)
                if used is not None:
                    self._clock.schedule(self._clock.now, self.arrive, used)
            case Bytes() | Splice():
                self.byte_streams.carry(command)
            case _:
                assert_never(command)

    def _take_handle(self, handle: Handle) -> None:
        if handle in self._used:
            raise InvalidState(f"{self.name} used handle {handle} twice")
        self._used.add(handle)
        self._handles[handle] = _NOT_OPEN

    def _bind(self, command: Bind) -> None:
        is_datagram = command.transport is Transport.UDP
        local = self._host.open(command, self) if is_datagram else self.byte_streams.bind(command)
        if isinstance(local, FailReason):
            self._answer(0.0, Failed(command.handle, local, f"cannot bind {command.local}"))
            return
        if is_datagram:
            self._handles[command.handle] = local
        self._answer(0.0, Opened(command.handle, local))

    def _connect(self, command: Connect) -> None:
        failure = self.byte_streams.connect(command)
        if failure is None:
            del self._handles[command.handle]  # it is the byte stream's now
        else:
            self._answer(0.0, Failed(command.handle, failure, f"cannot connect to {command.remote}"))

    def _answer(self, delay: Seconds, answer: Opened | Failed | Resolved) -> None:
        self._clock.schedule(self._clock.now + delay, self._deliver_answer, answer)

    def _deliver_answer(self, answer: Opened | Failed | Resolved) -> None:
        local = self._handles.get(answer.handle)
        if local is None:
            return  # closed meanwhile
        if local is _NOT_OPEN:
            del self._handles[answer.handle]
        self.arrive(answer)

    # -- wake-ups --------------------------------------------------------------------------------------------

    def _arm(self, deadline: Instant | None) -> None:
        # A later deadline keeps the earlier wake-up, which then arms the later one: a heap forgets nothing cheaply.
        if deadline is not None and (self._wake_at is None or deadline < self._wake_at):
            self._wake_at = deadline
            self._clock.schedule(deadline, self._wake, deadline)

    def _wake(self, at: Instant) -> None:
        if at != self._wake_at:
            return
        self._wake_at = None
        machine = self.machine
        deadline = machine.next_deadline()
        now = self._clock.now
        if deadline is None or deadline > now:
            self._arm(deadline)
            return
        machine.handle_timeout(now=now)
        deadline = machine.next_deadline()
        if deadline is not None and deadline <= now:
            raise InvalidState(f"{self.name}: livelock: after handle_timeout at {now} the next deadline is {deadline}")
        self.settle()
