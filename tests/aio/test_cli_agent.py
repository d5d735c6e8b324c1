"""`icepath agent` as what it is: a child process driven over its standard input and output."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
COMMAND = (sys.executable, "-m", "icepath", "agent")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE), "ICEPATH_SERVERS": "", "XDG_CONFIG_HOME": "/nonexistent"}


@asynccontextmanager
async def agent(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        "--loopback",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
    )
    try:
        async with asyncio.timeout(20):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def tell(process: asyncio.subprocess.Process, line: dict[str, object]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(line).encode() + b"\n")


async def read(process: asyncio.subprocess.Process) -> dict[str, object] | None:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        return None
    message: dict[str, object] = json.loads(line)
    return message


async def carry(
    source: asyncio.subprocess.Process, target: asyncio.subprocess.Process, wanted: set[str], end: asyncio.Event
) -> list[str]:
    """Hands one's signalling to the other; tells when all wanted lines came; returns the kinds of all lines."""
    kinds: list[str] = []
    while (message := await read(source)) is not None:
        kind = str(message["type"])
        kinds.append(str(message.get("event", kind)))
        if kind == "ready":
            tell(source, {"type": "start"})
        elif kind in ("local", "candidate", "end"):
            tell(target, message | {"type": "remote" if kind == "local" else kind})
        if wanted <= set(kinds):
            end.set()
    return kinds


async def test_two_processes_connect() -> None:
    async with agent("--role", "controlling", "--messages", "2") as left, agent("--role", "controlled") as right:
        ends = asyncio.Event(), asyncio.Event()
        carriers = [
            asyncio.create_task(carry(left, right, {"pair", "data"}, ends[0])),
            asyncio.create_task(carry(right, left, {"pair", "first_data"}, ends[1])),
        ]
        for end in ends:
            await end.wait()
        tell(left, {"type": "quit"})
        assert right.stdin is not None
        right.stdin.close()
        for kinds in await asyncio.gather(*carriers):
            assert {"gathered", "first_valid", "connected", "pair", "first_data"} <= set(kinds)
            assert (kinds[0], kinds[-1]) == ("ready", "done")
        assert [await process.wait() for process in (left, right)] == [0, 0]


def run(*arguments: str, stdin: int | None = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], stdin=stdin, capture_output=True, text=True, env=ENVIRONMENT, timeout=20, check=False
    )


def test_help_says_how() -> None:
    result = run("--help")
    assert result.returncode == 0
    assert "--ice-role" in result.stdout


def test_no_standard_input_is_the_end() -> None:
    result = run("--role", "controlled", "--turn-tls", "[::1]:5349", "--turn-tcp", "127.0.0.1:3478", "--insecure")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["type"] for line in lines] == ["ready", "done"]
    assert result.stderr == ""
    assert result.returncode == 0


def test_wrong_usage_is_exit_2() -> None:
    for arguments in ((), ("--role", "boss"), ("--role", "controlling", "--server", "http://example.org")):
        result = run(*arguments)
        assert result.returncode == 2
        assert "Traceback" not in result.stderr


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    process = subprocess.Popen(
        [*COMMAND, "--role", "controlled"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdout.close()
        process.stdin.close()
        assert process.wait(20) == 0
        assert process.stderr.read() == b""
