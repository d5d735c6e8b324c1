"""Checks that each module of ranks 0 to 5 has every line and branch run by its own test file, and by that alone.

    python tools/own_coverage.py                     all of them, in one process
    python tools/own_coverage.py ice.agent wire.uri  these, with their own test files only

src/icepath/ice/agent.py is tested by tests/unit/ice/test_agent.py, the package wire/attributes by test_attributes.py in
its folder. All test files run once; what is measured is kept apart by test file (contexts of coverage.py), so what
another module's tests happen to run does not count. What importing the package runs counts for all. The exit status is
1 when a test fails or something was not run. Ranks are those of tests/architecture.py.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import coverage
import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "icepath"
TESTS = ROOT / "tests" / "unit"
HIGHEST_RANK = 5
IMPORT = "import"


class Own(NamedTuple):
    """Is a module and the test file that is its own."""

    name: str
    source: Path
    tests: Path


class ContextPerFile:
    """Tells coverage.py whose tests run, and pytest's failures, without pytest's closing line, to the terminal."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured = measured
        self._context = IMPORT
        self.passed = 0

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """A test file's tables are made when it is imported, so this belongs to it."""
        if isinstance(collector, pytest.Module):
            self._switch(collector.path)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Fixtures and the test itself belong to its file."""
        self._switch(item.path)
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Counts, and prints what failed."""
        self.passed += report.when == "call" and report.passed
        if report.failed:
            print(f"{report.nodeid} failed:\n{report.longreprtext}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Prints what could not even be imported."""
        if report.failed:
            print(f"{report.nodeid} failed:\n{report.longreprtext}")

    def _switch(self, path: Path) -> None:
        """Only a change costs: the data so far is written away."""
        context = path.relative_to(ROOT).as_posix()
        if context != self._context:
            self._context = context
            self._measured.switch_context(context)


def modules() -> list[Own]:
    """Returns every module of the ranks that has code, in order."""
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
    ranks = importlib.import_module("architecture").RANKS
    found = []
    for source in sorted(SOURCE.rglob("*.py")):
        parts = source.relative_to(SOURCE).with_suffix("").parts
        names = parts[:-1] if parts[-1] == "__init__" else parts
        if ranks.get(".".join(names[:1]), HIGHEST_RANK + 1) <= HIGHEST_RANK and source.stat().st_size:
            tests = TESTS.joinpath(*parts[:-1], f"test_{names[-1]}.py")
            found.append(Own(".".join(names), source, tests))
    return found


def run(chosen: list[Own]) -> tuple[coverage.Coverage, int, int]:
    """Runs the test files of the modules; returns what was measured, pytest's exit status, how many tests passed."""
    measured = coverage.Coverage(data_file=None, config_file=str(ROOT / "pyproject.toml"))
    measured.start()
    try:
        measured.switch_context(IMPORT)
        for module in chosen:
            importlib.import_module(f"icepath.{module.name}")
        plugin = ContextPerFile(measured)
        files = [str(module.tests) for module in chosen if module.tests.is_file()]
        status = pytest.main(["-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:cov", *files], plugins=[plugin])
    finally:
        measured.stop()
    return measured, int(status), plugin.passed


def missing(measured: coverage.Coverage, module: Own) -> list[str]:
    """Returns the lines, and the branches as "12->15", that the module's own tests do not run."""
    contexts = [f"^{re.escape(context)}$" for context in (IMPORT, module.tests.relative_to(ROOT).as_posix())]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        measured.json_report(morfs=[str(module.source)], contexts=contexts, outfile=str(report))
        (found,) = json.loads(report.read_text(encoding="utf-8"))["files"].values()
    lines = set(found["missing_lines"])
    # A branch to or from a line that was not run says the same once more.
    branches = [(start, end) for start, end in found["missing_branches"] if start not in lines and end not in lines]
    ends = [f"{start}->{'exit' if end < 0 else end}" for start, end in branches]
    return [str(line) for line in sorted(lines)] + ends


def main() -> int:
    """Prints each module that its own tests do not run whole."""
    asked, begun = sys.argv[1:], time.perf_counter()
    chosen = [module for module in modules() if not asked or module.name in asked]
    if unknown := set(asked) - {module.name for module in chosen}:
        print(f"no module of ranks 0 to {HIGHEST_RANK}: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    measured, status, passed = run(chosen)
    short = 0
    for module in chosen:
        where = module.tests.relative_to(ROOT).as_posix()
        if not module.tests.is_file():
            short += 1
            print(f"{module.name}: no {where}")
        elif lost := missing(measured, module):
            short += 1
            print(f"{module.name}: {where} does not run {', '.join(lost)}")
    print(
        f"own coverage: {len(chosen) - short} of {len(chosen)} modules at 100 % of lines and branches, "
        f"{passed} tests, {time.perf_counter() - begun:.1f} s"
    )
    return 1 if status or short else 0


if __name__ == "__main__":
    sys.exit(main())
