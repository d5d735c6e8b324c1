"""Runs two JSON-lines agents in two namespaces, carries the signalling between them, and collects what they say.

Signalling is immediate: what one says is handed to the other as soon as it is read, or, without trickling, all at once
when the last candidate is known. The clock starts when both are told to start; every time in a result is counted from
there, in seconds. Every wait is bounded, and both processes are gone when `run_pair` returns.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from interop.lab.namespaces import Namespace, die_with_parent
from interop.lab.rows import Servers

START_TIMEOUT = 20.0
QUIT_TIMEOUT = 4.0
# After its last line an agent has nothing left to do but exit.
EXIT_TIMEOUT = 0.5
# How long after both are usable we wait for both to say they are connected: libnice says it two seconds late.
CONCLUDE_TIMEOUT = 5.0
_LINE_LIMIT = 1 << 20
_FORWARDED = frozenset({"local", "candidate", "end"})


@dataclass(frozen=True, slots=True)
class AgentKind:
    """An implementation that can be run, and what its API lets it do."""

    name: str
    command: tuple[str, ...]
    carries_data: bool = True
    """Its raw datagrams can be sent and read; otherwise only the connection itself is observed."""
    restarts: bool = False
    relay_only: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """How one run is to go."""

    controlling: int = 0
    """Which of the two controls: 0 or 1."""
    ice_roles: tuple[str | None, str | None] = (None, None)
    messages: int = 3
    trickle: bool = True
    relay_only: tuple[bool, bool] = (False, False)
    timeout: float = 20.0
    signalling_delay: float = 0.0


@dataclass(slots=True)
class SideResult:
    """What one agent said; times in seconds since the start, the first of each event."""

    name: str
    events: dict[str, float] = field(default_factory=dict)
    whys: dict[str, str] = field(default_factory=dict)
    candidates: list[str] = field(default_factory=list)
    locals: list[tuple[str, str]] = field(default_factory=list)
    pair: tuple[str, str] | None = None
    rtts: list[float] = field(default_factory=list)
    sent: int = 0
    received: list[bytes] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    cpu: float | None = None
    exit_status: int | None = None
    stderr: str = ""

    @property
    def usable(self) -> float | None:
        """When this side could send."""
        return self.events.get("first_valid", self.events.get("connected"))


@dataclass(frozen=True, slots=True)
class PairResult:
    """Both sides of one run."""

    sides: tuple[SideResult, SideResult]

    @property
    def usable(self) -> float | None:
        """When both sides could send."""
        return _latest(side.usable for side in self.sides)

    @property
    def concluded(self) -> float | None:
        """When both sides had a nominated pair."""
        return _latest(side.events.get("connected") for side in self.sides)

    @property
    def agrees(self) -> bool:
        """Whether both sides name the same pair, as far as types tell."""
        left, right = (side.pair for side in self.sides)
        return (
            left is not None and right is not None and _same_kind(left[0], right[1]) and _same_kind(left[1], right[0])
        )

    def describe(self) -> str:
        """Both sides in a few lines, for the message of a failed assertion."""
        return "\n".join(
            f"{side.name}: {side.events} {side.whys} pair={side.pair} candidates={side.candidates} "
            f"errors={side.errors} exit={side.exit_status} stderr={side.stderr[-1500:]}"
            for side in self.sides
        )


class Conversation:
    """Two running agents. Tests that need more than a connection drive it by hand."""

    def __init__(self, plan: Plan, agents: tuple[_Agent, _Agent]) -> None:
        self._plan = plan
        self._agents = agents
        self._changed = asyncio.Event()
        self._started = 0.0
        self._held: tuple[list[dict[str, object]], list[dict[str, object]]] = ([], [])
        self.sides = agents[0].result, agents[1].result

    @property
    def result(self) -> PairResult:
        """What is known so far."""
        return PairResult(self.sides)

    def start(self) -> None:
        """Starts the clock and both agents."""
        self._started = time.monotonic()
        for agent in self._agents:
            agent.write({"type": "start"})

    def tell(self, index: int, kind: str, **fields: object) -> None:
        """Writes one line to an agent."""
        self._agents[index].write({"type": kind, **fields})

    def send(self, index: int, payload: bytes) -> None:
        """Has one agent send a payload."""
        self.tell(index, "send", data=base64.b64encode(payload).decode())

    async def until(self, condition: Callable[[PairResult], bool], timeout: float) -> bool:
        """Waits until a condition holds, an agent dies or the time is over; tells whether it holds."""
        deadline = time.monotonic() + timeout
        while not condition(self.result):
            left = deadline - time.monotonic()
            if left <= 0 or any(agent.ended for agent in self._agents):
                return condition(self.result)
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)
        return True

    async def read(self, index: int) -> None:
        """Reads one agent to its end and hands its signalling over."""
        agent = self._agents[index]
        while (message := await agent.read()) is not None:
            self._note(agent.result, message)
            if message["type"] in _FORWARDED:
                self._forward(index, message)
            self._changed.set()
        agent.ended = True
        self._changed.set()

    def _forward(self, index: int, message: dict[str, object]) -> None:
        if message["type"] == "local":
            message = {**message, "type": "remote"}
        held = self._held[index]
        held.append(message)
        if self._plan.trickle or message["type"] == "end":
            lines = [dict(line) for line in held]
            held.clear()
            deliver = self._agents[1 - index].write_all
            if self._plan.signalling_delay:
                asyncio.get_running_loop().call_later(self._plan.signalling_delay, deliver, lines)
            else:
                deliver(lines)

    def _note(self, side: SideResult, message: dict[str, object]) -> None:
        match message:
            case {"type": "event", "event": str(event), "t": float(moment)}:
                side.events.setdefault(event, moment - self._started)
                if "why" in message:
                    side.whys.setdefault(event, str(message["why"]))
            case {"type": "candidate", "candidate": str(line)}:
                side.candidates.append(line)
            case {"type": "local", "ufrag": str(ufrag), "pwd": str(password)}:
                side.locals.append((ufrag, password))
            case {"type": "pair", "local": str(local), "remote": str(remote)}:
                side.pair = (local, remote)
            case {"type": "data", "rtts": list(rtts), "sent": int(sent)}:
                side.rtts, side.sent = [float(rtt) for rtt in rtts], sent
            case {"type": "received", "data": str(data)}:
                side.received.append(base64.b64decode(data))
            case {"type": "done", "cpu": int(cpu) | float(cpu)}:
                side.cpu = float(cpu)
            case {"type": "error"}:
                side.errors.append(str(message.get("why")))


class _Agent:
    """One child process."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.result = SideResult(name)
        self.ended = False
        self._process = process
        self._stderr = asyncio.create_task(_read_tail(process.stderr))

    def write(self, message: Mapping[str, object]) -> None:
        self.write_all([message])

    def write_all(self, messages: Sequence[Mapping[str, object]]) -> None:
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write("".join(json.dumps(message) + "\n" for message in messages).encode())

    async def read(self) -> dict[str, object] | None:
        """The next line that is an object; None at the end."""
        if self._process.stdout is None:
            return None
        while line := await self._process.stdout.readline():
            with contextlib.suppress(json.JSONDecodeError):
                message = json.loads(line)
                if isinstance(message, dict) and "type" in message:
                    return message
        return None

    async def finish(self) -> None:
        """Makes sure the process is gone."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), EXIT_TIMEOUT)
        if self._process.returncode is None:
            self.result.errors.append("did not quit and was killed")
            os.kill(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        self.result.exit_status = self._process.returncode
        self.result.stderr = await self._stderr


async def run_pair(
    hosts: tuple[Namespace, Namespace],
    kinds: tuple[AgentKind, AgentKind],
    servers: tuple[Servers, Servers],
    plan: Plan = Plan(),
) -> PairResult:
    """Connects two agents once, exchanges the messages, and gives what both said."""
    async with conversation(hosts, kinds, servers, plan) as talk:
        talk.start()
        await talk.until(lambda result: _is_over(result, kinds, plan), plan.timeout)
        if talk.result.usable is not None:
            await talk.until(lambda result: result.concluded is not None, CONCLUDE_TIMEOUT)
    return talk.result


@contextlib.asynccontextmanager
async def conversation(
    hosts: tuple[Namespace, Namespace],
    kinds: tuple[AgentKind, AgentKind],
    servers: tuple[Servers, Servers],
    plan: Plan = Plan(),
) -> AsyncIterator[Conversation]:
    """Two agents that are ready to start, and gone afterwards."""
    agents = []
    try:
        for index in (0, 1):
            agent = await _spawn(hosts[index], kinds[index], servers[index], plan, index)
            agents.append(agent)  # one at a time: what was started is ended even when the next one fails
        talk = Conversation(plan, (agents[0], agents[1]))
        async with asyncio.timeout(START_TIMEOUT):
            for agent in agents:
                await _await_ready(agent)
        readers = [asyncio.create_task(talk.read(index)) for index in (0, 1)]
        try:
            yield talk
        finally:
            for agent in agents:
                agent.write({"type": "quit"})
            await asyncio.wait(readers, timeout=QUIT_TIMEOUT)
            for reader in readers:
                reader.cancel()
    finally:
        for agent in agents:
            await agent.finish()


async def _spawn(host: Namespace, kind: AgentKind, servers: Servers, plan: Plan, index: int) -> _Agent:
    role = "controlling" if plan.controlling == index else "controlled"
    arguments = [*kind.command, "--role", role, *servers.arguments(), "--messages", str(plan.messages), "--insecure"]
    ice_role = plan.ice_roles[index]
    if ice_role is not None:
        arguments += ["--ice-role", ice_role]
    if plan.relay_only[index]:
        arguments.append("--relay-only")
    process = await asyncio.create_subprocess_exec(
        *host.command(arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE_LIMIT,
        preexec_fn=die_with_parent,
    )
    return _Agent(kind.name, process)


async def _await_ready(agent: _Agent) -> None:
    while (message := await agent.read()) is not None:
        if message["type"] == "ready":
            return
    await agent.finish()
    raise RuntimeError(f"{agent.result.name} ended before it was ready: {agent.result.stderr[-2000:]}")


def _is_over(result: PairResult, kinds: tuple[AgentKind, AgentKind], plan: Plan) -> bool:
    if any("failed" in side.events or side.errors for side in result.sides):
        return True
    if plan.messages and all(kind.carries_data for kind in kinds):
        return bool(result.sides[plan.controlling].rtts)
    return result.concluded is not None


async def _read_tail(stream: asyncio.StreamReader | None) -> str:
    """Reads a stream to its end and keeps its last few kilobytes."""
    tail = b""
    while stream is not None and (chunk := await stream.read(4096)):
        tail = (tail + chunk)[-8192:]
    return tail.decode(errors="replace")


def _latest(moments: Iterable[float | None]) -> float | None:
    known = list(moments)
    return None if None in known else max(moment for moment in known if moment is not None)


def _same_kind(own: str, seen: str) -> bool:
    """What one side calls its candidate, the other may have met as peer-reflexive."""
    return own == seen or seen == "prflx" or own == "prflx"
