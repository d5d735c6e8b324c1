"""docs/requirements and DEVIATIONS.md name tests and headings that exist; docs/conformance.md is what they say."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOL = ROOT / "tools" / "conformance.py"
DEVIATIONS = ROOT / "DEVIATIONS.md"
LEVELS = {"MUST", "MUST NOT", "SHALL", "SHALL NOT", "SHOULD", "SHOULD NOT", "RECOMMENDED", "stated"}
KEYS = {"section", "level", "text", "tests", "deviation", "scope"}


def conformance() -> ModuleType:
    spec = importlib.util.spec_from_file_location("conformance", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["conformance"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REQUIREMENTS = conformance().requirements()


@cache
def names_in(file: Path) -> frozenset[str]:
    """Returns the names of a file's tests and test classes, as pytest writes them behind the file's."""
    return frozenset(_names(ast.parse(file.read_text(encoding="utf-8")).body, ""))


def _names(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield prefix + node.name
            yield from _names(node.body, f"{prefix}{node.name}::")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield prefix + node.name


def headings() -> list[str]:
    return re.findall(r"^### (\S+)$", DEVIATIONS.read_text(encoding="utf-8"), re.MULTILINE)


def named_in_deviations() -> Iterator[tuple[str, str]]:
    """Yields (file, test) of each `test_x.py::Class::test`; `::test` goes on with the file, or class, before it."""
    file = ""
    for name, test in re.findall(r"`(test_\w+\.py)?::([\w:]+)`", DEVIATIONS.read_text(encoding="utf-8")):
        file = name or file
        yield file, test


@pytest.mark.parametrize("rfc", sorted(REQUIREMENTS))
def test_each_requirement_is_tested_or_a_deviation_or_out_of_scope(rfc: str) -> None:
    for each in REQUIREMENTS[rfc]:
        assert each.level in LEVELS, each
        assert each.section, each
        assert each.text.endswith("."), each
        assert "|" not in each.text + str(each.scope), each
        assert [bool(each.tests), bool(each.deviation), bool(each.scope)].count(True) == 1, each


@pytest.mark.parametrize("rfc", sorted(REQUIREMENTS))
def test_every_test_named_exists(rfc: str) -> None:
    for each in REQUIREMENTS[rfc]:
        for test in each.tests:
            file, _, name = test.partition("::")
            assert (ROOT / file).is_file(), test
            assert name in names_in(ROOT / file), test


@pytest.mark.parametrize("rfc", sorted(REQUIREMENTS))
def test_every_deviation_named_exists(rfc: str) -> None:
    known = headings()
    assert [each.deviation for each in REQUIREMENTS[rfc] if each.deviation and each.deviation not in known] == []


def test_headings_of_deviations_are_unique() -> None:
    assert [heading for heading, count in Counter(headings()).items() if count > 1] == []


def test_every_deviation_names_tests_that_exist() -> None:
    sections = re.split(r"^### ", DEVIATIONS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert [section.split("\n")[0] for section in sections if "Pinned by" not in " ".join(section.split())] == []
    files = {path: path.name for path in (ROOT / "tests").rglob("test_*.py")}
    for file, test in named_in_deviations():
        names = {f"::{known}" for path, name in files.items() if name == file for known in names_in(path)}
        assert any(name.endswith(f"::{test}") for name in names), f"{file}::{test}"


def test_the_page_is_what_tests_and_requirements_say() -> None:
    done = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
