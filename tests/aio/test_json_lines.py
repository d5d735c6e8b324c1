"""Two agents driven by lines, in one process, over loopback: what one says is handed to the other."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from icepath.aio import interfaces
from icepath.compat.json_lines import MAX_WAITING, LineAgent, LineOptions
from icepath.compat.ping_pong import REPEAT_INTERVAL, PingPong
from icepath.errors import Cause
from icepath.ice.config import Role, Server
from icepath.ice.events import DataReceived, PolicyFailed, State, StateChanged
from icepath.wire.uri import parse_server_uri

Line = Mapping[str, object]


class Side:
    """One agent, and every line it said."""

    def __init__(self, role: Role, **changes: object) -> None:
        self.lines: list[Line] = []
        self.other: Side | None = None
        self._changed = asyncio.Event()
        options = LineOptions(role=role, sends=role is Role.CONTROLLING, loopback=True)
        self.agent = LineAgent(replace(options, **changes), self._on_line)  # type: ignore[arg-type]  # one of its fields

    def tell(self, kind: str, **fields: object) -> bool:
        return self.agent.obey(json.dumps({"type": kind, **fields}).encode())

    def _on_line(self, line: Line) -> None:
        self.lines.append(line)
        self._changed.set()
        if self.other is not None and line["type"] in ("local", "candidate", "end"):
            kind = "remote" if line["type"] == "local" else str(line["type"])
            asyncio.get_running_loop().call_soon(
                lambda: self.other and self.other.tell(kind, **{k: v for k, v in line.items() if k != "type"})
            )

    def said(self, kind: str) -> list[Line]:
        return [line for line in self.lines if line["type"] == kind]

    def events(self) -> list[object]:
        return [line["event"] for line in self.said("event")]

    def log(self) -> str:
        return "\n".join(str(line["text"]) for line in self.said("log"))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


async def both(messages: int = 0) -> tuple[Side, Side]:
    """Two that know each other and are connected."""
    left = Side(Role.CONTROLLING, messages=messages)
    right = Side(Role.CONTROLLED, messages=messages)
    left.other, right.other = right, left
    for side in (left, right):
        side.agent.begin()
        side.tell("start")
    for side in (left, right):
        await side.until(lambda side=side: "connected" in side.events())  # type: ignore[misc]  # bound now, not later
    return left, right


async def close(*sides: Side) -> None:
    for side in sides:
        await side.agent.close()
        assert side.lines[-1]["type"] == "done"


async def test_two_connect_and_exchange_the_test_messages() -> None:
    left, right = await both(messages=3)
    await left.until(lambda: bool(left.said("data")))
    assert left.lines[0] == {"type": "ready"}
    assert left.lines[1]["type"] == "local"
    assert left.lines[1]["pacing"] == 5
    for side in (left, right):
        events = side.events()
        assert events.index("gathered") >= 0
        assert events.index("first_valid") < events.index("connected")
        assert side.said("pair")[0]["local"] in ("host", "prflx")
    data = left.said("data")[0]
    assert isinstance(data["rtts"], list)
    assert len(data["rtts"]) == 3
    assert {"first_data", "first_echo"} <= set(left.events())
    assert "first_data" in right.events()
    assert not right.said("received"), "pings are not reported"
    await close(left, right)


async def test_data_of_the_application_goes_both_ways() -> None:
    left, right = await both()
    left.tell("send", data=base64.b64encode(b"hello").decode())
    await right.until(lambda: bool(right.said("received")))
    assert right.said("received") == [{"type": "received", "data": base64.b64encode(b"hello").decode()}]
    # The controlled side echoes everything.
    await left.until(lambda: bool(left.said("received")))
    await close(left, right)


async def test_a_restart_told_to_one_side_restarts_the_other() -> None:
    left, right = await both()
    before = [side.said("local")[0]["ufrag"] for side in (left, right)]
    left.tell("restart")
    await right.until(lambda: right.events().count("connected") == 2)
    await left.until(lambda: left.events().count("connected") == 2)
    after = [side.said("local")[-1]["ufrag"] for side in (left, right)]
    assert set(before).isdisjoint(after)
    assert left.events().count("first_valid") == 1
    await close(left, right)


async def test_a_restart_told_to_both_sides_converges() -> None:
    left, right = await both()
    left.tell("restart")
    right.tell("restart")
    await left.until(lambda: left.events().count("connected") == 2)
    await right.until(lambda: right.events().count("connected") == 2)
    assert len(left.said("local")) == 2
    await close(left, right)


async def test_what_comes_before_start_waits_for_it() -> None:
    left, right = Side(Role.CONTROLLING), Side(Role.CONTROLLED)
    right.tell("start")
    await right.until(lambda: "gathered" in right.events())
    local = right.said("local")[0]
    left.tell("remote", ufrag=local["ufrag"], pwd=local["pwd"], pacing=local["pacing"])
    left.tell("remote", ufrag="x", pwd="y")
    for line in right.said("candidate"):
        left.tell("candidate", candidate=line["candidate"])
    left.other, right.other = right, left
    left.tell("start")
    assert "remote: ufrag has 1 characters" in left.log()
    await left.until(lambda: "connected" in left.events())
    await close(left, right)


async def test_lines_that_make_no_sense_are_logged_and_change_nothing() -> None:
    side = Side(Role.CONTROLLING)
    side.tell("start")
    await side.until(lambda: "gathered" in side.events())
    for line in (b"", b"{", b"[1]", b'{"type": 3}', b"\xff\xfe", b"[" * 100_000):
        assert side.agent.obey(line)
    side.tell("bogus")
    side.tell("start")
    side.tell("remote", ufrag=3)
    side.tell("candidate", candidate="candidate:nonsense")
    side.tell("send", data="!!!")
    side.tell("send", data="aGVsbG8=")
    log = side.log()
    for text in ("not JSON", "not an object", "unknown type: bogus", "started already", "not base64", "no path yet"):
        assert text in log
    assert len(side.said("log")) == 12
    assert not side.tell("quit")
    await close(side)


async def test_a_flood_before_start_is_bounded() -> None:
    side = Side(Role.CONTROLLING)
    for _ in range(MAX_WAITING + 1):
        side.tell("end")
    assert "lines already wait for start" in side.log()
    assert not side.tell("quit")
    await close(side)


async def test_a_failed_server_is_logged() -> None:
    servers = (Server(parse_server_uri("turn:127.0.0.1:9?transport=tcp")),)
    side = Side(Role.CONTROLLING, servers=servers)
    side.agent.begin()
    side.tell("start")
    await side.until(lambda: "gathered" in side.events())
    assert "turn:127.0.0.1:9?transport=tcp: server-unreachable" in side.log()
    await close(side)


async def test_an_address_that_cannot_be_bound_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    found = (interfaces.HostAddress("192.0.2.77", "none0"),)
    monkeypatch.setattr("icepath.compat.json_lines.usable_addresses", lambda **_: found)
    side = Side(Role.CONTROLLED)
    side.tell("start")
    await side.until(lambda: "gathered" in side.events())
    assert "none0 192.0.2.77" in side.log()
    await close(side)


async def test_a_ping_goes_again_until_its_echo_comes() -> None:
    said: list[Line] = []
    sent: list[bytes] = []

    def send(payload: bytes) -> bool:
        sent.append(payload)
        return True

    application = PingPong(True, 1, send=send, say=said.append)
    application.begin()
    application.begin()
    await asyncio.sleep(REPEAT_INTERVAL * 1.5)
    assert sent == [b"ping 0", b"ping 0"]
    application.received(b"ping 7")
    application.received(b"ping 0")
    assert [line["type"] for line in said] == ["event", "event", "data"]
    assert said[-1]["sent"] == 2
    application.stop()
    application.begin()
    assert len(sent) == 2


async def test_bad_states_become_events_with_their_cause() -> None:
    side = Side(Role.CONTROLLING)
    say = side.agent.on_event
    say(StateChanged(State.FAILED, Cause.NO_ANSWER))
    say(StateChanged(State.CONNECTED))
    say(StateChanged(State.DISCONNECTED, Cause.NO_RECENT_ANSWER))
    say(StateChanged(State.CONNECTED))
    say(StateChanged(State.FAILED, Cause.CONSENT_EXPIRED))
    say(PolicyFailed("rto", "oops"))
    assert [(line["event"], line.get("why")) for line in side.said("event")] == [
        ("failed", "no-answer"),
        ("first_valid", None),
        ("disconnected", "no-recent-answer"),
        ("lost", "consent-expired"),
    ]
    assert side.log() == "policy rto: oops"


async def test_an_echo_without_a_path_is_given_up() -> None:
    side = Side(Role.CONTROLLED)
    side.agent.on_event(DataReceived(1, 1, b"ping 0"))
    assert side.events() == ["first_data"]
