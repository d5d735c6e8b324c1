"""Network namespaces, veth pairs, bridges and packet-filter rules, made by one process and always taken away again.

A `Laboratory` is a context manager. Every namespace it makes carries this process's id and start time in its name,
so two runs never meet, and a run that was killed leaves names behind that the next one recognises and sweeps. Every
program started in it is ended with it, and dies with this process.

Kinds of NAT, rows and addresses are not here: see nat.py and rows.py.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PREFIX = "icelab"
_NAME = re.compile(rf"{PREFIX}-(\d+)-(\d+)-")
_PR_SET_PDEATHSIG = 1
_counter = itertools.count(1)
_libc = ctypes.CDLL(None, use_errno=True)

# Quiet, deterministic hosts: no address is tried out first, no redirects, no reverse-path check.
_SYSCTLS = (
    "net.ipv6.conf.all.accept_dad=0",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.default.accept_ra=0",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
)
_ROUTER_SYSCTLS = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")


class LaboratoryError(RuntimeError):
    """A command that builds the network failed."""


def missing() -> str | None:
    """Why this machine cannot build a laboratory, or None when it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "nft", "sysctl"):
        if shutil.which(program) is None:
            return f"the program {program} is not installed"
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is missing"
    return None


def run(arguments: Sequence[str], text: str | None = None) -> str:
    """Runs a command to its end and gives its output; a failure carries what it said."""
    result = subprocess.run(arguments, input=text, capture_output=True, text=True, timeout=30, check=False)
    if result.returncode != 0:
        raise LaboratoryError(f"{' '.join(arguments)}: {result.stderr.strip()}\n{text or ''}")
    return result.stdout


def die_with_parent() -> None:
    """For `preexec_fn`: the child is killed when the thread that started it ends, however that happens."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Namespace:
    """One host or router."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Namespace({self.name!r})"

    def command(self, arguments: Iterable[str]) -> list[str]:
        """The command line that runs a program here."""
        return ["ip", "netns", "exec", self.name, *arguments]

    def run(self, arguments: Iterable[str], text: str | None = None) -> str:
        """Runs a short command here."""
        return run(self.command(arguments), text)

    def ip(self, *lines: str) -> None:
        """Runs lines of `ip` here, all in one process."""
        run(["ip", "-n", self.name, "-batch", "-"], "".join(line + "\n" for line in lines))

    def nft(self, rules: str) -> None:
        """Loads packet-filter rules here."""
        self.run(["nft", "-f", "-"], rules)

    def sysctl(self, *settings: str) -> None:
        """Sets kernel variables here."""
        self.run(["sysctl", "-qw", *settings])


class Laboratory:
    """The namespaces and programs of one run."""

    def __init__(self) -> None:
        self._tag = f"{PREFIX}-{os.getpid()}-{_start_time(os.getpid())}-{next(_counter)}"
        self._namespaces: list[Namespace] = []
        self._programs: list[subprocess.Popen[str]] = []
        self.folder = Path(tempfile.mkdtemp(prefix=self._tag + "-"))

    def __enter__(self) -> Self:
        sweep()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def namespace(self, name: str, *, router: bool = False, ipv6: bool = True) -> Namespace:
        """Makes a namespace with its loopback up; a router forwards, a host without IPv6 has none at all."""
        namespace = Namespace(f"{self._tag}-{name}")
        run(["ip", "netns", "add", namespace.name])
        self._namespaces.append(namespace)
        switch = "0" if ipv6 else "1"
        namespace.sysctl(
            *_SYSCTLS,
            *(_ROUTER_SYSCTLS if router else ()),
            f"net.ipv6.conf.all.disable_ipv6={switch}",
            f"net.ipv6.conf.default.disable_ipv6={switch}",
        )
        namespace.ip("link set lo up")
        return namespace

    def veth(self, left: Namespace, left_device: str, right: Namespace, right_device: str) -> None:
        """Joins two namespaces by a cable; both ends are up."""
        left.ip(f"link add {left_device} type veth peer name {right_device} netns {right.name}")
        for namespace, device in ((left, left_device), (right, right_device)):
            namespace.ip(f"link set {device} up")

    def start(
        self, namespace: Namespace | None, arguments: Sequence[str], *, stderr: int = subprocess.DEVNULL
    ) -> subprocess.Popen[str]:
        """Starts a program (in a namespace) that is ended with the laboratory; its input and output are pipes."""
        command = namespace.command(arguments) if namespace else list(arguments)
        program = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            preexec_fn=die_with_parent,
        )
        self._programs.append(program)
        return program

    def close(self) -> None:
        """Ends every program and removes every namespace; safe to call twice."""
        while self._programs:
            end(self._programs.pop())
        while self._namespaces:
            name = self._namespaces.pop().name
            _kill_inhabitants(name)
            with contextlib.suppress(LaboratoryError):
                run(["ip", "netns", "del", name])
        shutil.rmtree(self.folder, ignore_errors=True)


def end(program: subprocess.Popen[str], patience: float = 2.0) -> None:
    """Ends one program: asks, waits a little, then kills."""
    if program.poll() is None:
        program.terminate()
        try:
            program.wait(patience)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
    for pipe in (program.stdin, program.stdout, program.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def sweep() -> list[str]:
    """Removes what runs that no longer exist have left: programs, namespaces, folders; gives the names swept."""
    swept = []
    for path in Path("/run/netns").glob(f"{PREFIX}-*") if Path("/run/netns").exists() else ():
        if _is_abandoned(path.name):
            _kill_inhabitants(path.name)
            with contextlib.suppress(LaboratoryError):
                run(["ip", "netns", "del", path.name])
                swept.append(path.name)
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}-*"):
        if _is_abandoned(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
    return swept


def _is_abandoned(name: str) -> bool:
    match = _NAME.match(name)
    return match is not None and _start_time(int(match[1])) != int(match[2])


def _start_time(pid: int) -> int:
    """The process's start in clock ticks since boot, which tells it from a later one of the same id; -1 when gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return -1
    return int(fields.rpartition(")")[2].split()[19])


def _kill_inhabitants(name: str) -> None:
    """Only the laboratory puts programs into its namespaces, so whatever is still there is its own."""
    with contextlib.suppress(LaboratoryError):
        for pid in run(["ip", "netns", "pids", name]).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
