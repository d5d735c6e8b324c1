"""Replays every committed corpus file through its fuzz target, without a fuzzer.

A target is fuzz/target_<name>.py with `one_input(data: bytes) -> None`; its corpus is fuzz/corpus/<name>/.
New targets and files are found by themselves.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

FUZZ = Path(__file__).resolve().parents[2] / "fuzz"
TARGETS = sorted(FUZZ.glob("target_*.py"))
FILES = sorted(path for path in (FUZZ / "corpus").glob("*/*") if path.is_file())


def test_there_is_something_to_replay() -> None:
    assert TARGETS
    assert FILES


@pytest.mark.parametrize("target", TARGETS, ids=lambda path: path.stem)
def test_every_target_has_a_corpus_and_takes_nothing_at_all(target: Path) -> None:
    name = target.stem.removeprefix("target_")
    assert any(path.parent.name == name for path in FILES)
    load(name)(b"")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_corpus_file_passes(path: Path) -> None:
    load(path.parent.name)(path.read_bytes())


def load(name: str) -> Callable[[bytes], None]:
    """Returns a target's `one_input`; a target is imported once."""
    module_name = f"fuzz_target_{name}"
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, FUZZ / f"target_{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        spec.loader.exec_module(module)
    # The targets' form is the contract above; a module's attributes have no static type.
    return cast("Callable[[bytes], None]", module.one_input)
