"""The project keeps the rules of its map, and the check of the rules finds what breaks them."""

from __future__ import annotations

from pathlib import Path

import pytest

from architecture import MAX_FUNCTION_LINES, MAX_MODULE_LINES, MAX_VERBS, RANKS, ROOT, broken_rules

SOURCE = Path(__file__).parents[1] / "src" / ROOT

DOC = '"""Says what it is."""\n'


def project() -> dict[str, str]:
    sources: dict[str, str] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = list(path.relative_to(SOURCE).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        sources[".".join(parts)] = path.read_text()
    return sources


def found(name: str, code: str, **others: str) -> list[str]:
    """Checks one module, with others (dots written as __) around it."""
    sources = {other.replace("__", "."): text for other, text in others.items()}
    return broken_rules(sources | {name: DOC + code})


# -- the project --------------------------------------------------------------------------------------


def test_the_project_keeps_its_rules() -> None:
    assert broken_rules(project()) == []


def test_the_project_is_really_read() -> None:
    sources = project()
    assert {"errors", "wire.uri", "wire", "turn.client"} <= set(sources)
    assert {name.partition(".")[0] for name in sources} <= set(RANKS)


# -- bad examples: who may import whom -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("errors", "from icepath.net import Address"),
        ("wire.uri", "from icepath.wire.fragment import Description"),
        ("wire.uri", "import icepath.errors"),
        ("stun.x", "from icepath.wire import uri"),
        ("ice.agent", "from icepath.turn.client.allocation import Allocation"),
        ("timers", "from icepath.machine import Handle"),
        ("outbox", "from icepath.timers import Timers"),
        ("sim.world", "from icepath.sim.nat import Nat\nfrom icepath.timers import Timers"),
        ("trace.replay", "from icepath.ice.agent import Agent\nfrom icepath.turn.client import x"),
        ("trace.redaction", "from icepath.wire.message import Message\nfrom icepath.stun import x"),
        ("trace.recorder", "from icepath.trace.redaction import redact"),
        ("cli.connect", "from icepath.aio.connection import Connection"),
        ("", "from icepath.aio.connection import Connection"),
        ("wire", "from . import uri"),
        ("wire.uri", "from .fragment import Description"),
        ("wire.attributes.rfc8489", "from ..integrity import Integrity"),
        ("wire.uri", "import icepathology, os_like\nfrom ipaddress import ip_address"),
    ],
)
def test_allowed_imports(name: str, code: str) -> None:
    assert found(name, code, wire__uri=DOC, wire=DOC, wire__attributes=DOC) == []


@pytest.mark.parametrize(
    ("name", "code", "problem"),
    [
        ("wire.uri", "from icepath.stun import x", "rank 3 is not below rank 2"),
        ("wire.uri", "import icepath.ice.agent as a", "must not import icepath.ice.agent: rank 5 is not below rank 2"),
        ("wire.uri", "def f() -> None:\n    from icepath.aio import driver", "rank 7 is not below rank 2"),
        ("wire.uri", "from icepath import Connection", "rank 11 is not below rank 2"),
        ("wire.uri", "from icepath import stun", "must not import icepath.stun"),
        ("wire.uri", "from .. import stun", "must not import icepath.stun"),
        ("wire.uri", "from ..stun import x", "must not import icepath.stun"),
        ("errors", "from icepath.machine import Handle", "rank 1 is not below rank 0"),
        ("machine", "from icepath.timers import Timers", "machine never reaches timers, outbox, entropy"),
        ("machine", "import icepath.entropy", "machine never reaches"),
        ("turn.client.x", "from icepath.turn.server.ports import y", "turn.client never reaches turn.server"),
        ("turn.server.x", "import icepath.turn.client", "turn.server never reaches turn.client"),
        ("ice.x", "from icepath.turn import server", "ice never reaches turn.server"),
        ("mdns.x", "from icepath.turn.client import y", "rank 4 is not below rank 4"),
        ("sdp.x", "from icepath.trace import y", "rank 6 is not below rank 6"),
        ("sim.x", "from icepath.wire.message import Message", "sim never reaches wire"),
        ("sim.x", "from icepath.ice.agent import Agent", "sim never reaches"),
        ("trace.recorder", "from icepath.stun import x", "trace.recorder never reaches"),
        ("trace.redaction", "from icepath.ice import x", "trace.redaction never reaches"),
        ("trace.explain", "from icepath.ice import x", "of trace, only trace.replay does"),
        ("lab.x", "from icepath.aio.driver import Driver", "lab never reaches aio"),
        ("compat.x", "from icepath.server import y", "rank 8 is not below rank 8"),
        ("utils", "", "room 'utils' is not on the map"),
        ("wire.uri", "from icepath.helpers import x", "room 'helpers' is not on the map"),
    ],
)
def test_refused_imports(name: str, code: str, problem: str) -> None:
    (only,) = found(name, code, stun=DOC, turn__server=DOC, turn=DOC, wire=DOC)
    assert only.startswith(f"icepath.{name}: ")
    assert problem in only


# -- bad examples: private names and banned modules ------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "from icepath.errors import _secret",
        "from icepath.errors import _secret as secret",
        "from ._hidden import x",
        "import icepath.net as net\nnet._secret()",
        "from icepath import net\nprint(net._secret)",
        "from icepath.net import Address\nAddress._hidden",
    ],
)
def test_private_names_of_other_files(code: str) -> None:
    assert any("private name" in problem for problem in found("wire.uri", code, net=DOC))


def test_private_names_that_are_fine() -> None:
    code = (
        "from __future__ import annotations\nfrom icepath.net import Address\nself._x = Address.__name__\n_y = self._x"
    )
    assert found("wire.uri", code) == []


@pytest.mark.parametrize(
    "code",
    [
        "import time",
        "import asyncio.events",
        "from os import path",
        "import os.path as p",
        "from time import monotonic",
        "def f() -> None:\n    import socket",
        "import select, threading",
        "from secrets import token_bytes",
        "import random",
    ],
)
def test_banned_modules(code: str) -> None:
    assert any("imports " in problem for problem in found("ice.agent", code))
    for room in ("aio", "compat", "p2p", "server", "probe", "lab", "cli"):
        assert found(f"{room}.x", code) == []


@pytest.mark.parametrize(
    "code",
    [
        "import random\nr = random.Random(7)",
        "import random\ndef f(r: random.Random) -> float:\n    return r.random()",
        "from random import Random\nr = Random(x=7)",
    ],
)
def test_a_simulation_may_have_a_seeded_generator(code: str) -> None:
    assert found("sim.world", code) == []


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import random\nrandom.random()", "takes random.random"),
        ("import random\nr = random.Random()", "without a seed"),
        ("from random import Random\nr = Random()", "without a seed"),
        ("from random import randbytes", "takes random.randbytes"),
        ("import random as r\nr.random()", "renames random"),
        ("import time", "imports time"),
    ],
)
def test_a_simulation_may_have_no_other_chance(code: str, problem: str) -> None:
    (only,) = found("sim.world", code)
    assert problem in only


# -- bad examples: sizes ----------------------------------------------------------------------------------


def function(lines: int, *, docstring: int = 0, decorators: str = "") -> str:
    """Writes a function of so many lines from its def on, the docstring's not counted."""
    text = '    """' + "\n    " * (docstring - 1) + '"""\n' if docstring else ""
    return f"{decorators}def f() -> None:\n{text}" + "    pass\n" * (lines - 1)


def test_functions_have_a_bound_that_docstrings_do_not_count_to() -> None:
    assert found("net", function(MAX_FUNCTION_LINES)) == []
    assert found("net", function(MAX_FUNCTION_LINES, docstring=9, decorators="@final\n")) == []
    (only,) = found("net", function(MAX_FUNCTION_LINES + 1))
    assert only == "icepath.net: line 2: f has 41 lines, allowed are 40"
    assert len(found("net", function(MAX_FUNCTION_LINES + 1, docstring=9).replace("def", "async def"))) == 1


def test_a_function_that_is_only_a_match_may_be_long() -> None:
    cases = "".join(f"        case {i}:\n            pass\n" for i in range(40))
    assert found("net", f'def f(x: int) -> None:\n    """Sorts."""\n    match x:\n{cases}') == []
    assert found("net", f"def f(x: int) -> None:\n    match x:\n{cases}") == []
    assert len(found("net", f"def f(x: int) -> None:\n    x += 1\n    match x:\n{cases}")) == 1


def test_modules_have_a_bound() -> None:
    assert found("net", "\n" * (MAX_MODULE_LINES - 1)) == []
    assert found("net", "\n" * MAX_MODULE_LINES) == ["icepath.net: 601 lines, allowed are 600"]


def test_modules_have_a_docstring_unless_they_are_empty() -> None:
    assert broken_rules({"net": "X = 1\n"}) == ["icepath.net: has no docstring"]
    assert broken_rules({"net": ""}) == []


def test_classes_have_a_bound_of_verbs() -> None:
    verbs = "".join(f"    def do_{i}(self) -> None: ...\n" for i in range(MAX_VERBS))
    nouns = (
        "    @property\n    def noun(self) -> None: ...\n    @noun.setter\n    def noun(self, x: int) -> None: ...\n"
    )
    hidden = "    def _hidden(self) -> None: ...\n"
    assert found("net", f"class C:\n{verbs}{nouns}{hidden}") == []
    (only,) = found("net", f"class C:\n{verbs}    async def one_more(self) -> None: ...\n")
    assert only == "icepath.net: line 2: C has 16 public methods, allowed are 15"
