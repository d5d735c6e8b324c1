"""`icepath serve` as a process: it answers, it ends, it says who has its port."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from icepath.cli import main

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}


@contextmanager
def server(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "icepath", "serve", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def first_line(process: subprocess.Popen[str]) -> dict[str, object]:
    assert process.stdout is not None
    line: dict[str, object] = json.loads(process.stdout.readline())
    return line


def test_it_serves_until_told_to_stop(capsys: pytest.CaptureFixture[str]) -> None:
    with server("--listen", "udp:127.0.0.1:0", "--json") as process:
        listening = first_line(process)
        assert (listening["type"], listening["host"]) == ("listening", "127.0.0.1")
        address = f"127.0.0.1:{listening['port']}"
        assert main(["gather", "--loopback", "--server", f"stun:{address}"]) == 0
        capsys.readouterr()
        assert main(["serve", "--listen", f"udp:{address}"]) == 3
        assert f"udp {address} is in use by " in capsys.readouterr().err
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_ctrl_c_is_exit_130() -> None:
    with server("--listen", "udp:127.0.0.1:0", "--json") as process:
        first_line(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""


async def test_what_a_person_sees(capsys: pytest.CaptureFixture[str]) -> None:
    from icepath.cli.outcome import Exit
    from icepath.cli.report import Report
    from icepath.cli.serve import serve

    task = asyncio.create_task(serve(Report(json=False), ["udp:127.0.0.1:0"]))
    async with asyncio.timeout(5):
        while "ready in" not in (said := capsys.readouterr().out):
            await asyncio.sleep(0.01)
        assert "STUN         udp 127.0.0.1:" in said
        assert "icepath gather --server stun:127.0.0.1:" in said
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task is Exit.YES


def test_wrong_addresses_are_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--listen", "tcp:3478"]) == 2
    assert "allowed are udp:PORT" in capsys.readouterr().err
