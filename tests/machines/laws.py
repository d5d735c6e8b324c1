"""The laws every machine obeys (ARCHITECTURE.md), as checks that run against any machine.

A `Subject` says how to make the machine, which verbs it has, and who it talks to. `check_schedule` walks it
through one seeded random schedule of arrivals, verbs, timeouts and the end (walks.py), judging each step;
then it plays the recorded schedule to fresh machines with other drain points, without time going
backwards, with needless timeouts, and without what was for nobody, and compares. `check_bounds` floods
it. `check_flows` plays a world with flows honoured and ignored. `digest` is for comparing runs under
different hash seeds. A failure names law, subject, seed and step.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import random
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, Generic, TypeAlias, TypeVar

from icepath.errors import InvalidArgument, InvalidState
from icepath.machine import (
    Arrival,
    Bytes,
    Command,
    Datagram,
    DatagramDropped,
    Event,
    Machine,
    MachineClosed,
)
from icepath.net import Address, Instant, RandomBytes, Seconds
from icepath.outbox import DROP_REPORT_INTERVAL
from icepath.sim.flow_table import DataDelivered
from icepath.sim.packet import PacketRecord, Verdict
from icepath.sim.runner import Runner
from icepath.sim.world import World

Output: TypeAlias = Datagram | Bytes | Command | Event
MachineT = TypeVar("MachineT", bound=Machine[Event])
Verb: TypeAlias = Callable[[MachineT, random.Random, Instant], object]

START: Final[Instant] = 1000.0


class LawBroken(AssertionError):
    """Reports a machine that breaks a law."""

    def __init__(self, law: int, detail: str) -> None:
        super().__init__(f"law {law}: {detail}")
        self.law = law
        self.detail = detail


@dataclass(frozen=True)
class Peer:
    """Is somebody the machine talks to, and where he is found."""

    make: Callable[[RandomBytes, Instant], Machine[Event]]
    addresses: tuple[Address, ...]


@dataclass(frozen=True)
class Subject(Generic[MachineT]):
    """Says how to make a machine and whom it talks to."""

    name: str
    make: Callable[[RandomBytes, Instant], MachineT]
    """Makes the machine, with its injected callables; must give equal machines for equal random bytes."""
    verbs: tuple[Verb[MachineT], ...] = ()
    """May raise InvalidArgument and InvalidState, and then change nothing."""
    corpus: tuple[bytes, ...] = ()
    """Payloads it might receive; mutations of them and of what it says itself are tried as well."""
    locals: tuple[Address, ...] = (Address("192.168.1.10", 5000),)
    remotes: tuple[Address, ...] = (Address("11.0.0.1", 3478), Address("11.0.0.2", 5001), Address("2b00::2", 5002))
    listeners: tuple[Address, ...] = ()
    """The TCP listeners that the machine was given: it knows them by their addresses."""
    is_framed: bool = False
    """What it says on byte streams is in RFC 4571 frames."""
    peers: tuple[Peer, ...] = ()
    """Who answers; they reach each other, too."""
    close_timeout: Seconds = 1.0
    max_outputs: int = 100
    """The most outputs of one call; more is a burst that an arrival should not cause."""
    flood: int = 1500
    """Arrivals after which state must not grow any more; above the subject's limits."""
    steps: int = 60
    size: Callable[[MachineT], int] = field(default=lambda machine: live_size(machine))


# -- schedules: what was done to a machine ----------------------------------------------------------------------


@dataclass(frozen=True)
class Receive:
    """Is an arrival; `for_nobody` when its handle was never given out, or is closed."""

    arrival: Arrival
    now: Instant
    for_nobody: bool = False


@dataclass(frozen=True)
class Timeout:
    """Is a call of handle_timeout."""

    now: Instant


@dataclass(frozen=True)
class Call:
    """Is a call of a verb with a generator of its own."""

    verb: int
    seed: int
    now: Instant
    rejected: bool = False
    """The verb raised: the call never happened, so neither did its time."""


@dataclass(frozen=True)
class Close:
    """Is a call of close."""

    now: Instant


Step: TypeAlias = Receive | Timeout | Call | Close


def apply(subject: Subject[MachineT], machine: MachineT, step: Step) -> None:
    """Does one step to a machine."""
    now = step.now
    match step:
        case Receive():
            machine.receive(step.arrival, now=now)
        case Timeout():
            machine.handle_timeout(now=now)
        case Call():
            subject.verbs[step.verb](machine, random.Random(step.seed), now)
        case Close():
            machine.close(now=now)


def make(subject: Subject[MachineT], seed: int) -> MachineT:
    """Makes the subject's machine for a seed."""
    return subject.make(random.Random(f"{seed}/machine").randbytes, START)


# -- law 4 and what else shows in a replay ----------------------------------------------------------------------


def replay(
    subject: Subject[MachineT],
    seed: int,
    steps: Sequence[Step],
    *,
    drains: Callable[[int], bool] = lambda index: True,
    idle_timeouts: bool = False,
) -> list[Output]:
    """Plays a schedule to a fresh machine and returns everything it said."""
    machine = make(subject, seed)
    outputs: list[Output] = []
    latest = START
    for index, step in enumerate(steps):
        if isinstance(step, Call) and step.rejected:
            with contextlib.suppress(InvalidArgument, InvalidState):
                apply(subject, machine, step)
        else:
            latest = max(latest, step.now)
            apply(subject, machine, step)
        if idle_timeouts:
            deadline = machine.next_deadline()
            if deadline is None or deadline > latest:
                machine.handle_timeout(now=latest)
        if drains(index):
            outputs.extend(machine.take_outputs())
    outputs.extend(machine.take_outputs())
    return outputs


def check_replays(subject: Subject[MachineT], seed: int, steps: Sequence[Step], said: Sequence[Output]) -> None:
    """Compares what the machine said with what fresh ones say to the same, differently put."""
    name = f"{subject.name}, seed {seed}"
    ballast = [bytearray(random.Random(seed).randrange(4096)) for _ in range(16)]  # other addresses, other id()s
    _compare(4, f"{name}: played again", said, replay(subject, seed, steps))
    del ballast
    rng = random.Random(f"{seed}/drains")
    _compare(4, f"{name}: drained at the end", said, replay(subject, seed, steps, drains=lambda index: False))
    _compare(
        4, f"{name}: drained here and there", said, replay(subject, seed, steps, drains=lambda i: rng.random() < 0.3)
    )
    _compare(2, f"{name}: without time going backwards", said, replay(subject, seed, _forward(steps)))
    _compare(2, f"{name}: with needless timeouts", said, replay(subject, seed, steps, idle_timeouts=True))
    # With the clock as it was: what was for nobody may have shown the machine a later time.
    meant = [step for step in _forward(steps) if not (isinstance(step, Receive) and step.for_nobody)]
    if len(meant) < len(steps):
        without = _without_drops(replay(subject, seed, meant))
        _compare(8, f"{name}: without what was for nobody", _without_drops(said), without)


def _forward(steps: Sequence[Step]) -> list[Step]:
    latest = START
    forward: list[Step] = []
    for step in steps:
        if not (isinstance(step, Call) and step.rejected):
            latest = max(latest, step.now)
        # A call that was rejected stays at its own time: the time may be why.
        forward.append(replace(step, now=max(latest, step.now)))
    return forward


def _compare(law: int, what: str, expected: Sequence[Output], got: Sequence[Output]) -> None:
    for index, (one, other) in enumerate(zip(expected, got, strict=False)):
        if one != other:
            raise LawBroken(law, f"{what}: output {index} is {canonical(other)}, was {canonical(one)}")
    if len(expected) != len(got):
        raise LawBroken(law, f"{what}: {len(got)} outputs, were {len(expected)}")


def _without_drops(outputs: Sequence[Output]) -> list[Output]:
    return [output for output in outputs if not isinstance(output, DatagramDropped)]


def canonical(output: Output) -> str:
    """Returns a text that tells all of an output."""
    if isinstance(output, Datagram):
        return f"Datagram({output.local}, {output.remote}, {output.payload.hex()}, {output.dont_fragment})"
    if isinstance(output, Bytes):
        return f"Bytes({output.handle}, {output.payload.hex()}, {output.droppable})"
    return repr(output)


def digest(outputs: Sequence[Output]) -> str:
    """Returns a short text that differs when outputs do."""
    return hashlib.sha256("\n".join(map(canonical, outputs)).encode()).hexdigest()[:16]


# -- law 7: drop reports ------------------------------------------------------------------------------------------


class DropReports:
    """Checks that drops of one reason are reported once a second at most."""

    def __init__(self) -> None:
        self._last: dict[object, Instant] = {}

    def check(self, outputs: Sequence[Output], now: Instant) -> None:
        """Raises LawBroken when a report comes too soon after another."""
        for output in outputs:
            if isinstance(output, DatagramDropped):
                last = self._last.get(output.reason)
                if last is not None and now < last + DROP_REPORT_INTERVAL:
                    raise LawBroken(7, f"{output} at {now} so soon after the one at {last}")
                self._last[output.reason] = now


# -- law 7: size ----------------------------------------------------------------------------------------------------

_SHARED: Final = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType, Enum)
# Growth that counters and caches may show between two floods.
SLACK: Final = 60


def live_size(root: object) -> int:
    """Returns how many objects hang on one, a byte string counting for its length too."""
    seen = {id(root)}
    queue: list[Any] = [root]  # whatever hangs on it
    size = 0
    while queue:
        found = queue.pop()
        size += 1 + (len(found) // 64 if isinstance(found, bytes | bytearray | str) else 0)
        for referent in gc.get_referents(found):
            if id(referent) not in seen and not isinstance(referent, _SHARED):
                seen.add(id(referent))
                queue.append(referent)
    return size


def check_size(subject: Subject[MachineT], machine: MachineT, feed: Callable[[int], None]) -> None:
    """Floods a machine three times and raises LawBroken when the last flood still makes it grow.

    `feed(n)` gives it n arrivals.
    """
    sizes: list[int] = []
    for _ in range(3):
        feed(subject.flood)
        sizes.append(subject.size(machine))
    if sizes[2] > sizes[1] * 1.02 + SLACK:
        raise LawBroken(7, f"{subject.name} grows: {' -> '.join(map(str, sizes))} after floods of {subject.flood}")


# -- law 6 ----------------------------------------------------------------------------------------------------------


def check_end(outputs: Sequence[Output]) -> bool:
    """Says whether these outputs end with MachineClosed; raises LawBroken when it is not the last."""
    for index, output in enumerate(outputs):
        if isinstance(output, MachineClosed):
            if index != len(outputs) - 1:
                raise LawBroken(6, f"{canonical(outputs[index + 1])} after MachineClosed")
            return True
    return False


# -- law 9 ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """Is a world about to run: its machines attached, what happens later scheduled."""

    world: World
    runners: tuple[Runner, ...]
    seconds: Seconds


def check_flows(build: Callable[[bool], Scenario]) -> int:
    """Plays a world with flows honoured and ignored and raises LawBroken when anybody can tell.

    Returns how many payloads flows delivered or relayed, so that a test may see that there were any.
    """
    honoured, ignored = build(True), build(False)
    wires = [_wire(scenario) for scenario in (honoured, ignored)]
    _compare_lists("wire", *wires)
    for one, other in zip(honoured.runners, ignored.runners, strict=True):
        _compare_lists(one.name, _heard(one), _heard(other))
    return sum(isinstance(event, DataDelivered) for runner in honoured.runners for _, event in runner.events)


def _wire(scenario: Scenario) -> list[str]:
    lines: list[str] = []

    def note(record: PacketRecord) -> None:
        if record.verdict is Verdict.SENT:
            lines.append(f"{record.at} {record.source} -> {record.destination} {record.payload.hex()}")

    scenario.world.on_packet(note)
    scenario.world.run(seconds=scenario.seconds)
    return lines


def _heard(runner: Runner) -> list[str]:
    return [f"{at} {_as_data(event)}" for at, event in runner.events]


def _as_data(event: Event) -> str:
    """Returns the event's text, the same for data that a flow delivered and data that the machine did."""
    if isinstance(event, DataDelivered) or type(event).__name__ == "DataReceived":
        return " ".join(f"{name}={getattr(event, name)!r}" for name in ("stream", "component", "payload"))
    return repr(event)


def _compare_lists(what: str, one: Sequence[str], other: Sequence[str]) -> None:
    for index, (honoured, ignored) in enumerate(zip(one, other, strict=False)):
        if honoured != ignored:
            raise LawBroken(9, f"{what}: line {index} is {honoured!r} with flows, {ignored!r} without")
    if len(one) != len(other):
        raise LawBroken(9, f"{what}: {len(one)} lines with flows, {len(other)} without")
