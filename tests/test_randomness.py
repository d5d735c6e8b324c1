"""Machines are given a random generator; outside of tests and simulation it is the operating system's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "icepath"
# What simulates takes a seeded generator, so that it repeats.
SEEDED = ("sim", "lab")
SECURE = frozenset({"secrets.token_bytes", "random_bytes", "self._random_bytes", "core.random_bytes"})
"""The operating system's, or what the caller was given."""


def generators() -> Iterator[tuple[str, str]]:
    """Yields which expression each file hands on as `random_bytes`, or draws ICE credentials from."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if name.startswith(SEEDED):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield from ((name, ast.unparse(word.value)) for word in node.keywords if word.arg == "random_bytes")
                if ast.unparse(node.func) == "ice_credentials":
                    yield name, ast.unparse(node.args[0])


@pytest.mark.rfc("8489", "5")
@pytest.mark.rfc("8445", "5.3")
def test_transaction_ids_and_credentials_come_from_the_operating_system() -> None:
    found = list(generators())
    assert [each for each in found if each[1] not in SECURE] == []
    assert ("aio/session.py", "secrets.token_bytes") in found
