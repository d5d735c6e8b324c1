"""`icepath connect` as two processes: through files, through pipes, and at two terminals."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from icepath.cli import main

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
    "ICEPATH_SERVERS": "",
    "XDG_CONFIG_HOME": "/nonexistent",
    "TERM": "dumb",
}
COMMAND = (sys.executable, "-m", "icepath", "connect", "--loopback")
LIMIT = 20.0


def start(*arguments: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([*COMMAND, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT)


def test_scripts_exchange_files(tmp_path: Path) -> None:
    a, b = str(tmp_path / "a.ice"), str(tmp_path / "b.ice")
    processes = [start("--out", a, "--in", b), start("--out", b, "--in", a)]
    for name, process in zip("ab", processes, strict=True):
        assert process.stdin is not None
        process.stdin.write(f"hello from {name}\n")
        process.stdin.close()
    for other, process in zip("ba", processes, strict=True):
        with process:
            assert process.wait(LIMIT) == 0
            assert process.stdout is not None
            assert process.stdout.read() == f"hello from {other}\n"


def test_scripts_exchange_lines() -> None:
    with start() as first:
        assert first.stdout is not None
        assert first.stdin is not None
        token = first.stdout.readline().split()[-1]
        assert len(token) < 4095
        with start(token) as second:
            assert second.stdout is not None
            answer = second.stdout.readline()
            first.stdin.write(answer + "a line\n")
            first.stdin.close()
            assert second.communicate(timeout=LIMIT)[0] == "a line\n"
            assert second.returncode == 0
        assert first.wait(LIMIT) == 0


class Terminal:
    """A person at a terminal in line mode."""

    def __init__(self, *arguments: str) -> None:
        self.pid, self._descriptor = pty.fork()
        if not self.pid:
            os.execve(sys.executable, [*COMMAND, *arguments], ENVIRONMENT)
        self._seen = ""

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def until(self, pattern: str) -> str:
        """What matched; what came before is done with."""
        deadline = time.monotonic() + LIMIT
        while not (found := re.search(pattern, self._seen)):
            assert time.monotonic() < deadline, self._seen
            if select.select([self._descriptor], [], [], 0.1)[0]:
                self._seen += self._read()
        self._seen = self._seen[found.end() :]
        return found.group(found.lastindex or 0)

    def _read(self) -> str:
        try:
            return os.read(self._descriptor, 65536).decode("utf-8", "replace")
        except OSError:
            raise AssertionError(f"it ended: {self._seen}") from None

    def wait(self) -> int:
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            if select.select([self._descriptor], [], [], 0.05)[0]:
                try:
                    os.read(self._descriptor, 65536)  # a terminal keeps its program waiting until it is read
                except OSError:
                    break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def end(self) -> None:
        """Leaves nothing behind, whatever the test did."""
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self._descriptor)


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    person = Terminal(*arguments)
    try:
        yield person
    finally:
        person.end()


def test_two_people_paste_talk_and_part() -> None:
    with terminal() as alice:
        token = alice.until(r"icepath connect (ice1:[\w-]+)\r\n")
        alice.until("Their answer:")
        with terminal(token) as bob:
            answer = bob.until(r"(ice1:[\w-]+)\r\n")
            alice.type("what?\n")
            alice.until("again:")
            alice.type(answer[:50] + "\n")
            alice.until("truncated")
            alice.type(answer[50:] + "\n")
            for person in (alice, bob):
                person.until(r"connected in \d+ ms, direct")
            alice.type("grüße\n")
            bob.until("grüße\r\n")
            bob.type("thank you\n")
            alice.until("thank you\r\n")
            alice.type("\x04")
            assert alice.wait() == 0
            bob.until("the other side has left")
            assert bob.wait() == 0


def test_ctrl_c_is_exit_130() -> None:
    with terminal() as alice:
        alice.until("Their answer:")
        alice.type("\x03")
        assert alice.wait() == 130


def test_what_cannot_connect_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "never.ice")
    assert main(["connect", "--loopback", "--in", missing, "--timeout", "1"]) == 1
    assert "signalling-ended: the other side's token did not come in 1 s" in capsys.readouterr().err
    (tmp_path / "bad.ice").write_text("ice1:AAAA\n")
    assert main(["connect", "--in", str(tmp_path / "bad.ice")]) == 2
    assert main(["connect", "nonsense"]) == 2
    assert main(["connect", "x", "--in", missing]) == 2


def test_no_answer_is_exit_1() -> None:
    with start() as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(LIMIT) == 1
        assert process.stderr is not None
        assert "standard input ended before" in process.stderr.read()
