"""One ICE agent driven by JSON lines, so that a program in any language can use it as a child process.

`LineAgent` turns lines into verbs of `ice.Agent` and its events into lines; where lines come from and go to is
the caller's (`icepath agent`: standard input and output). What comes is hostile or mistaken: a line that makes
no sense is answered by a `log` line and changes nothing. With `messages`, test data flows as soon as it may:
ping_pong.py. The protocol is described in docs/howto.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, cast, final

from icepath.aio.driver import Driver
from icepath.aio.interfaces import usable_addresses
from icepath.aio.pacing import reserve_slot
from icepath.aio.running import Running
from icepath.compat.ping_pong import PingPong
from icepath.entropy import Secret, ice_credentials
from icepath.errors import Cause, IcepathError, InvalidState
from icepath.ice.agent import Agent
from icepath.ice.config import AgentConfig, Role, Server
from icepath.ice.events import (
    AgentEvent,
    CandidateGathered,
    DataReceived,
    GatheringCompleted,
    PairSelected,
    PairSnapshot,
    PolicyFailed,
    ServerFailed,
    State,
    StateChanged,
)
from icepath.machine import LocalAddress
from icepath.wire.candidate_line import format_candidate, parse_candidate
from icepath.wire.fragment import Description

Line: TypeAlias = Mapping[str, object]

# Lines that come before `start` wait for it; a parent that floods is not waited for.
MAX_WAITING: Final = 256
MAX_SHOWN: Final = 200
MICROSECONDS: Final = 6


@dataclass(frozen=True, slots=True)
class LineOptions:
    """Says how the agent is to behave, besides what the lines tell it."""

    role: Role
    """The ICE role."""
    sends: bool
    """Sends the test messages; the other side echoes them."""
    servers: tuple[Server, ...] = ()
    messages: int = 0
    relay_only: bool = False
    loopback: bool = False
    """Also gathers from loopback, which RFC 8445 §5.1.1.1 forbids: for machines without any other interface."""
    insecure: bool = False
    """Accepts TLS servers that do not prove their name."""


@final
class LineAgent:
    """Obeys lines, one at a time, and says lines through `say`; needs a running event loop."""

    def __init__(self, options: LineOptions, say: Callable[[Line], None]) -> None:
        self._options = options
        self._say = say
        self._running: Running[AgentEvent] | None = None
        self._agent: Agent | None = None
        self._waiting: list[Line] = []
        self._ping_pong = PingPong(options.sends, options.messages, send=self._send, say=say)
        self._remote_ufrag: str | None = None
        self._is_usable = False
        self._is_restarting = False
        self._selected: PairSnapshot | None = None

    def begin(self) -> None:
        """Says that it is ready; nothing else is done before `start`."""
        self._say({"type": "ready"})

    def obey(self, text: bytes) -> bool:
        """Obeys one line; False when it is the last."""
        try:
            line: object = json.loads(text)
        except (ValueError, RecursionError):
            self._log(f"not JSON: {shown(text)}")
            return True
        if not isinstance(line, dict) or not isinstance(cast("Line", line).get("type"), str):
            self._log(f'not an object with a "type": {shown(text)}')
            return True
        known = cast("Line", line)  # JSON's objects have texts as keys
        if known["type"] == "quit":
            return False
        try:
            self._obey(known)
        except IcepathError as error:
            self._log(f"{known['type']}: {error}")
        return True

    async def close(self) -> None:
        """Ends the agent, within its bound, and says `done`."""
        self._ping_pong.stop()
        if self._running is not None:
            self._running.close()
            await self._running.wait_closed()
        self._say({"type": "done", "cpu": round(time.process_time(), MICROSECONDS)})

    # -- what is told ----------------------------------------------------------------------------------------

    def _obey(self, line: Line) -> None:
        kind = line["type"]
        if kind == "start":
            self._start()
        elif kind not in ("remote", "candidate", "end", "send", "restart"):
            self._log(f"unknown type: {shown(str(kind).encode())}")
        elif self._agent is None or self._running is None:
            self._wait(line)
        else:
            self._obey_started(self._agent, line)
            self._running.settle()

    def _wait(self, line: Line) -> None:
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(line)
        else:
            self._log(f"{line['type']}: dropped, {MAX_WAITING} lines already wait for start")

    def _obey_started(self, agent: Agent, line: Line) -> None:
        now = time.monotonic()
        match line["type"]:
            case "remote":
                self._take_remote(agent, line)
            case "candidate":
                agent.add_remote_candidate(parse_candidate(text_of(line, "candidate")), now=now)
            case "end":
                agent.end_of_remote_candidates(now=now)
            case "send":
                self._send_told(text_of(line, "data"))
            case _:
                self._restart(agent)
                self._is_restarting = True

    def _start(self) -> None:
        if self._agent is not None:
            self._log("start: started already")
            return
        options = self._options
        now = time.monotonic()
        config = AgentConfig(
            credentials=ice_credentials(secrets.token_bytes),
            role=options.role,
            servers=options.servers,
            relay_only=options.relay_only,
            verify_certificates=not options.insecure,
        )
        agent = self._agent = Agent(config, random_bytes=secrets.token_bytes, reserve_slot=reserve_slot, now=now)
        self._say_local(agent)
        self._running = Driver.current().run(agent, self.on_event)
        self._open(agent, self._running)
        for line in self._waiting:
            try:
                self._obey(line)
            except IcepathError as error:
                self._log(f"{line['type']}: {error}")
        self._waiting.clear()

    def _open(self, agent: Agent, running: Running[AgentEvent]) -> None:
        for found in usable_addresses(loopback=self._options.loopback):
            try:
                address = running.open_udp(found.host, scope_id=found.scope_id)
            except OSError as error:
                self._log(f"{found.interface} {found.host}: {error}")
                continue
            agent.add_local_address(LocalAddress(address, found.interface, cost=found.cost), now=time.monotonic())
            running.settle()
        agent.end_of_local_addresses(now=time.monotonic())
        running.settle()

    def _take_remote(self, agent: Agent, line: Line) -> None:
        pacing = line.get("pacing")
        description = Description(
            ufrag=text_of(line, "ufrag"),
            password=Secret(text_of(line, "pwd")),
            pacing=pacing if type(pacing) is int else None,
        )
        if self._remote_ufrag not in (None, description.ufrag) and not self._is_restarting:
            # RFC 8445 §9: the other side restarted, so this side must, too.
            self._restart(agent)
        agent.set_remote_description(description, now=time.monotonic())
        self._remote_ufrag = description.ufrag
        self._is_restarting = False

    def _restart(self, agent: Agent) -> None:
        agent.restart(ice_credentials(secrets.token_bytes), now=time.monotonic())
        self._say_local(agent)

    def _send_told(self, data: str) -> None:
        try:
            payload = base64.b64decode(data, validate=True)
        except binascii.Error as error:
            self._log(f"send: data is not base64: {error}")
            return
        if not self._send(payload):
            self._log("send: no path yet")

    def _send(self, payload: bytes) -> bool:
        """Sends one datagram; False when there is no path for it."""
        if self._agent is None or self._running is None:
            return False
        try:
            self._agent.send(payload, now=time.monotonic())
        except InvalidState:
            return False
        self._running.settle()
        return True

    # -- what is said ----------------------------------------------------------------------------------------

    def on_event(self, event: AgentEvent) -> None:
        """Says what the agent reports."""
        match event:
            case DataReceived(payload=payload):
                self._ping_pong.received(payload)
            case CandidateGathered(candidate=candidate):
                self._say({"type": "candidate", "candidate": format_candidate(candidate)})
            case GatheringCompleted():
                self._say({"type": "end"})
                self._say_event("gathered")
            case PairSelected(pair=pair):
                self._selected = pair
            case StateChanged(state=state, cause=cause):
                self._on_state(state, cause)
            case ServerFailed(url=url, code=code, reason=reason, text=text):
                self._log(" ".join(str(part) for part in (f"{url}:", reason, code, text) if part))
            case PolicyFailed(policy=policy, text=text):
                self._log(f"policy {policy}: {text}")
            case _:
                pass

    def _on_state(self, state: State, cause: Cause | None) -> None:
        if state in (State.CONNECTED, State.COMPLETED) and not self._is_usable:
            self._is_usable = True
            self._say_event("first_valid")
            self._ping_pong.begin()
        if state is State.COMPLETED and self._selected is not None:
            self._say_event("connected")
            self._say({"type": "pair", "local": self._selected.local.type, "remote": self._selected.remote.type})
        elif state is State.DISCONNECTED:
            self._say_event("disconnected", cause)
        elif state is State.FAILED:
            self._say_event("lost" if self._is_usable and cause is Cause.CONSENT_EXPIRED else "failed", cause)
            self._is_usable = False

    def _say_local(self, agent: Agent) -> None:
        local = agent.local_description()
        self._say(
            {"type": "local", "ufrag": local.ufrag, "pwd": local.password.reveal(), "pacing": local.pacing},
        )

    def _say_event(self, event: str, why: Cause | None = None) -> None:
        line: dict[str, object] = {"type": "event", "event": event, "t": time.monotonic()}
        if why is not None:
            line["why"] = why
        self._say(line)

    def _log(self, text: str) -> None:
        self._say({"type": "log", "text": text})


def text_of(line: Line, key: str) -> str:
    """Returns a text field of a line; empty when it is absent or no text, which no field allows."""
    value = line.get(key)
    return value if isinstance(value, str) else ""


def shown(text: bytes) -> str:
    """Returns the beginning of what came, fit to be printed."""
    return text[:MAX_SHOWN].decode("utf-8", "replace").strip()
