"""The implementations this suite can pair, how each is started, and whether it is here."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from interop.lab.python import SYSTEM_PYTHON, TESTS, module_command
from interop.lab.runner import AgentKind

PEERS = Path(__file__).parent / "peers"


def node_folder() -> Path:
    """Where tools/install-test-peers.sh puts the packages of the peers that run under Node."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("ICEPATH_NODE_PEERS") or Path(cache_home) / "icepath" / "peers")


def _node_command(script: str) -> tuple[str, ...]:
    return ("env", f"NODE_PATH={node_folder() / 'node_modules'}", "node", str(PEERS / script))


ICEPATH = AgentKind(
    "icepath",
    ("env", f"PYTHONPATH={TESTS.parent / 'src'}", sys.executable, "-m", "icepath", "agent"),
    restarts=True,
)
AIOICE = AgentKind("aioice", tuple(module_command("interop.lab.peers.aioice_agent")))
LIBNICE = AgentKind("libnice", tuple(module_command("interop.lab.peers.nice_agent", SYSTEM_PYTHON)), restarts=True)
WERIFT = AgentKind("werift", _node_command("werift_agent.js"))
LIBJUICE = AgentKind("libjuice", _node_command("libjuice_agent.js"), carries_data=False)
LIBWEBRTC = AgentKind("libwebrtc", _node_command("libwebrtc_agent.js"), carries_data=False)

KINDS: Mapping[str, AgentKind] = MappingProxyType(
    {kind.name: kind for kind in (ICEPATH, AIOICE, LIBNICE, WERIFT, LIBJUICE, LIBWEBRTC)}
)


@cache
def missing(name: str) -> str | None:
    """Why an implementation cannot run here, or None when it can."""
    match name:
        case "icepath":
            return _missing_command()
        case "aioice":
            return None if importlib.util.find_spec("aioice") else "aioice is not installed (extra: interop)"
        case "libnice":
            return _missing_introspection()
        case "werift":
            return _missing_package("werift")
        case "libwebrtc":
            return _missing_package("@roamhq/wrtc")
        case _:
            return _missing_package("node-datachannel")


@cache
def _help() -> tuple[int, str]:
    command = [*ICEPATH.command, "--help"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL)
    return result.returncode, result.stdout


def _missing_command() -> str | None:
    return "`python -m icepath agent` does not exist" if _help()[0] else None


def _missing_introspection() -> str | None:
    check = "import gi; gi.require_version('Nice', '0.1'); from gi.repository import Nice"
    if not Path(SYSTEM_PYTHON).exists():
        return f"{SYSTEM_PYTHON} is missing"
    found = subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True, timeout=30, check=False)
    return None if found.returncode == 0 else "libnice is not installed (gir1.2-nice-0.1, python3-gi)"


def _missing_package(package: str) -> str | None:
    folder = node_folder() / "node_modules" / package
    return None if folder.is_dir() else f"the npm package {package} is not in {node_folder()}"
