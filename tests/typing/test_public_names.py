"""The public surface: exactly these names, the same for programs, for people at a prompt and for type-checkers."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import icepath

# API.md's names, of those that work, and what docs/decisions/0013 adds.
PUBLIC = (
    "Address",
    "AgentSnapshot",
    "Candidate",
    "CandidateGathered",
    "CandidatePair",
    "Cause",
    "Config",
    "ConnectFailed",
    "Connection",
    "ConnectionClosed",
    "ConnectionFailure",
    "DecodeError",
    "Description",
    "Endpoint",
    "Event",
    "GatheringCompleted",
    "IceServer",
    "IcepathError",
    "InvalidArgument",
    "InvalidState",
    "PairSelected",
    "PairValidated",
    "PolicyFailed",
    "Restarted",
    "Role",
    "RoleChanged",
    "ServerFailed",
    "State",
    "StateChanged",
)

SOURCE = Path(icepath.__file__).read_text()


def table() -> dict[str, str]:
    """Reads the table of names and modules from the source."""
    for node in ast.parse(SOURCE).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_MODULES":
            value: dict[str, str] = ast.literal_eval(node.value)
            return value
    raise AssertionError("no table")


def checked_imports() -> dict[str, str]:
    """Reads what type-checkers import; `X as X` says that a name is handed on."""
    block = next(node for node in ast.parse(SOURCE).body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    names: dict[str, str] = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        (alias,) = node.names
        assert alias.name == alias.asname
        names[alias.name] = node.module or ""
    return names


def test_dir_says_exactly_the_public_names() -> None:
    assert tuple(dir(icepath)) == PUBLIC


def test_the_table_and_what_type_checkers_see_are_the_same() -> None:
    assert table() == checked_imports()
    assert tuple(sorted(table())) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_each_name_is_its_rooms_own(name: str) -> None:
    value = getattr(icepath, name)
    assert value is getattr(importlib.import_module(table()[name]), name)
    assert value is getattr(icepath, name)
    # An alias of literals has nowhere to keep a docstring.
    assert value.__doc__ or name == "Role"


@pytest.mark.parametrize("name", ["Nothing", "_MODULE", "address", "InvalidStates"])
def test_other_names_are_refused_as_usual(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'icepath' has no attribute '{name}'"):
        getattr(icepath, name)


def test_importing_loads_no_room() -> None:
    code = "import sys, icepath; print(sorted(name for name in sys.modules if name.startswith('icepath')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['icepath']"


def test_a_users_program_type_checks() -> None:
    """What mypy says of this very function is the test; its run is a bonus."""
    description: icepath.Description = icepath.Description.parse("a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuv\n")
    candidate: icepath.Candidate = icepath.Candidate.parse("candidate:1 1 UDP 5 192.0.2.1 5000 typ host")
    address: icepath.Address = candidate.address
    host: str = address.host
    cause: icepath.Cause = icepath.Cause.NO_ANSWER
    failure: icepath.ConnectionFailure = icepath.ConnectFailed(cause)
    assert (description.ufrag, host, failure.cause) == ("abcd", "192.0.2.1", cause)


async def test_what_a_connection_tells_type_checks() -> None:
    """What mypy says of this very function is the test; its run is a bonus."""
    link = icepath.Connection()
    with pytest.raises(icepath.InvalidState, match="not started"):
        link.snapshot()
    await link.close()
    words: list[str] = [word_of(event) async for event in link.events()]
    assert words == ["closed"]


def word_of(event: icepath.Event) -> str:
    """Has a case for every event: a checker finds the one that is missing."""
    match event:
        case icepath.CandidateGathered(candidate=candidate):
            return str(candidate)
        case icepath.GatheringCompleted():
            return "gathered"
        case icepath.ServerFailed(url=url):
            return url
        case icepath.PairValidated(pair=pair) | icepath.PairSelected(pair=pair):
            return pair.kind
        case icepath.RoleChanged(role=role):
            return role
        case icepath.Restarted(description=description):
            return description.ufrag
        case icepath.PolicyFailed(policy=policy):
            return policy
        case icepath.StateChanged(state=state):
            return state.value


def remote_addresses(link: icepath.Connection) -> dict[int, icepath.Address]:
    """Is what a program asks a snapshot: where each component's data goes."""
    snapshot: icepath.AgentSnapshot = link.snapshot()
    return {pair.component: pair.remote_address for pair in snapshot.pairs if pair.is_selected}
