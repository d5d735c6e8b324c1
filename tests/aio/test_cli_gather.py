"""`icepath gather` over loopback, beside a STUN server of its own and a port nobody listens on."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from icepath.cli import main
from icepath.net import Address
from icepath.server.stun_service import Listen, StunService


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    monkeypatch.delenv("ICEPATH_SERVERS", raising=False)


@contextmanager
def stun_server() -> Iterator[Address]:
    """A server in a thread of its own: the command runs its own event loop."""
    started = threading.Event()
    found: list[Address] = []
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        service = StunService()
        found.extend(service.listen([Listen("127.0.0.1", 0)]))
        stop.append((asyncio.get_running_loop(), asyncio.Event()))
        started.set()
        await stop[0][1].wait()
        await service.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield found[0]
    finally:
        loop, event = stop[0]
        loop.call_soon_threadsafe(event.set)
        thread.join(10)


def test_candidates_as_rows(capsys: pytest.CaptureFixture[str]) -> None:
    with stun_server() as address:
        assert main(["gather", "--loopback", "--server", f"stun:{address}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("host   127.0.0.1:" in line for line in lines)
    assert " candidates in " in lines[-1] or " candidate in " in lines[-1]
    assert "failed" not in lines[-1]


def test_a_failed_server_is_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gather", "--loopback", "--server", "turn:127.0.0.1:9", "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"candidate", "server-failed", "result"} == {line["type"] for line in lines}
    assert lines[-1]["ok"] is False
    assert lines[-1]["failed"] == ["turn:127.0.0.1:9"]


def test_a_silent_server_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"stun:127.0.0.1:{silent.getsockname()[1]}"
        assert main(["gather", "--loopback", "--server", url, "--timeout", "0.3"]) == 1
    said = capsys.readouterr().out
    assert re.search(r"no candidate in \d\.\d s", said)
    assert said.splitlines()[-1].endswith("1 server failed")


def test_no_candidate_is_exit_3(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("icepath.cli.gather", "icepath.aio.session"):
        monkeypatch.setattr(f"{module}.usable_addresses", lambda *_, **__: ())
    assert main(["gather", "--json"]) == 3
    said = capsys.readouterr()
    assert "no-candidates: Check that a network interface is up" in said.err
    assert json.loads(said.out)["cause"] == "no-candidates"
