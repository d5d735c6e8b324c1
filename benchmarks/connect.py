"""Time to connect over kernel NATs, beside the derived minimum and other implementations in the same run.

    python benchmarks/connect.py [--rows apdf:apdf,same] [--runs 3] [--agents icepath,aioice] [--loss 20] [--json FILE]

Needs root (namespaces). Each client is 25 ms from the server, so the unit R, a round trip between two clients or
through a relay, is 100 ms. The time is from the start of gathering to both sides being able to send data;
signalling is immediate. Every figure is a median. An agent given as `a:b` is a mixed pair: a controls. How rows are
built and minima derived: tests/interop/lab, rows.py and minima.py. Where two of ours need notably more than the
minimum, a line below the row says what the time went into, as the same row tells in virtual time (virtual.py).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from interop.lab import agents, coturn, namespaces
from interop.lab.minima import BOUNDS
from interop.lab.rows import ROUND_TRIP, World, world
from interop.lab.runner import AgentKind, PairResult, Plan, run_pair
from virtual import NOTABLE, why

LOSS_ROWS = ("none:none", "apdf:apdf", "sym:apdf", "sym:sym")
TIMEOUT = 20.0


@dataclass(slots=True)
class Samples:
    """All runs of one pair of agents in one row."""

    usable: list[float] = field(default_factory=list)
    concluded: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, result: PairResult) -> None:
        """Takes one run."""
        self.cpu += [side.cpu for side in result.sides if side.cpu is not None]
        if result.usable is None:
            self.failures.append(result.describe())
            return
        self.usable.append(result.usable / ROUND_TRIP)
        if result.concluded is not None:
            self.concluded.append(result.concluded / ROUND_TRIP)
        left, right = result.sides
        self.paths.append(f"{_path(left.pair)} | {_path(right.pair)}")

    @property
    def median(self) -> float | None:
        """The median time in R, over the runs that connected."""
        return statistics.median(self.usable) if self.usable else None

    def cell(self) -> str:
        """The figure as the table shows it."""
        if self.median is None:
            return "fails"
        late = statistics.median(self.concluded) - self.median if self.concluded else 0.0
        failed = f" ({len(self.failures)} failed)" if self.failures else ""
        return f"{self.median:.2f}{f' [+{late:.1f}]' if late >= 0.5 else ''}{failed}"

    def loss_cell(self) -> str:
        """Median, worst in seconds, successes: what matters under loss."""
        total = len(self.usable) + len(self.failures)
        if self.median is None:
            return f"fails, 0/{total}"
        return f"{self.median:.1f}, {max(self.usable) * ROUND_TRIP:.1f} s, {len(self.usable)}/{total}"

    def as_json(self) -> dict[str, object]:
        """Everything, for another program."""
        return {
            "median": self.median,
            "usable": self.usable,
            "concluded": self.concluded,
            "cpu": self.cpu,
            "paths": self.paths,
            "failures": self.failures,
        }


def main() -> int:
    options = parse()
    reason = namespaces.missing() or coturn.missing()
    if reason is not None:
        print(f"cannot measure: {reason}", file=sys.stderr)
        return 1
    pairs = [pair for pair in options.agents.split(",") if _is_available(pair)]
    if not pairs:
        return 1
    rows = options.rows.split(",") if options.rows else list(LOSS_ROWS if options.loss else BOUNDS)
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} processors, {options.runs} runs each, R = 100 ms")
    print(heading(pairs, loss=bool(options.loss)))
    results: dict[str, dict[str, Samples]] = {}
    for row in rows:
        results[row] = measure(row, pairs, options)
        print(line(row, results[row], loss=bool(options.loss)), flush=True)
        if not options.loss and (reason := excess(row, results[row])):
            print(f"    {reason}", flush=True)
    print(f"load average {os.getloadavg()[0]:.2f}")
    print(cpu_line(results, pairs))
    if options.json:
        data = {row: {pair: samples.as_json() for pair, samples in result.items()} for row, result in results.items()}
        Path(options.json).write_text(json.dumps(data, indent=1))
    if options.explain:
        for row, result in results.items():
            explain(row, result)
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time to connect over kernel NATs")
    parser.add_argument("--rows", help="comma-separated; all rows of the table by default")
    parser.add_argument("--runs", type=int, default=0, help="runs per cell (3; 8 under loss)")
    parser.add_argument("--agents", default="icepath,aioice", help="comma-separated names, or controlling:controlled")
    parser.add_argument("--loss", type=float, default=0.0, help="percent lost on each client's way up")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--everything", action="store_true", help="tell agents of every TURN transport, not only one")
    parser.add_argument("--json", help="write all samples to this file")
    parser.add_argument("--explain", action="store_true", help="print the paths taken and the reasons of failures")
    options = parser.parse_args()
    options.runs = options.runs or (8 if options.loss else 3)
    return options


def measure(row: str, pairs: list[str], options: argparse.Namespace) -> dict[str, Samples]:
    """All runs of one row. Under loss each run has its own seed, the same for every pair of agents."""
    samples = {pair: Samples() for pair in pairs}
    if options.loss:
        for run in range(options.runs):
            for pair in pairs:
                with _world(row, options, options.seed + run) as place:
                    connect(place, pair, samples[pair])
        return samples
    with _world(row, options, options.seed) as place:
        for _ in range(options.runs):
            for pair in pairs:
                connect(place, pair, samples[pair])
    return samples


def connect(place: World, pair: str, samples: Samples) -> None:
    """One run; an agent that does not even start is a failure like others."""
    try:
        samples.add(asyncio.run(run_pair(place.hosts, _kinds(pair), place.servers, Plan(timeout=TIMEOUT))))
    except RuntimeError as error:
        samples.failures.append(str(error))


def heading(pairs: list[str], *, loss: bool) -> str:
    names = "".join(f"{pair:>24}" for pair in pairs)
    if loss:
        return f"{'row':<20}{names}    (median R, worst, connected)"
    return f"{'row':<20}{'minimum':>8}{names}    differs from the minimum"


def line(row: str, result: Mapping[str, Samples], *, loss: bool) -> str:
    """One row of the table."""
    if loss:
        return f"{row:<20}" + "".join(f"{samples.loss_cell():>24}" for samples in result.values())
    bound = BOUNDS.get(row)
    minimum = None if bound is None else bound.round_trips
    cells = "".join(f"{samples.cell():>24}" for samples in result.values())
    shown = "" if minimum is None else f"{minimum:.1f}"
    differences = [
        f"{pair} {samples.median - minimum:+.1f}"
        for pair, samples in result.items()
        if minimum is not None and samples.median is not None
    ]
    return f"{row:<20}{shown:>8}{cells}    {', '.join(differences)}"


def excess(row: str, result: Mapping[str, Samples]) -> str | None:
    """What costs our own agents the difference, when there is one to speak of."""
    ours, least = result.get("icepath"), BOUNDS.get(row)
    if ours is None or ours.median is None or least is None or ours.median - least.round_trips <= NOTABLE:
        return None
    return why(row, least.round_trips)


def cpu_line(results: Mapping[str, Mapping[str, Samples]], pairs: list[str]) -> str:
    """Processor time per agent and connection, the interpreter's start included."""
    parts = []
    for pair in pairs:
        times = [moment for result in results.values() for moment in result[pair].cpu]
        if times:
            parts.append(f"{pair} {1000 * statistics.median(times):.0f} ms")
    return "processor time per agent, start of the program included: " + ", ".join(parts)


def explain(row: str, result: Mapping[str, Samples]) -> None:
    """The paths taken and why runs failed."""
    for pair, samples in result.items():
        print(f"{row} {pair}: {sorted(set(samples.paths))}")
        for failure in samples.failures:
            print("  " + failure.replace("\n", "\n  "))


@contextlib.contextmanager
def _world(row: str, options: argparse.Namespace, seed: int) -> Iterator[World]:
    """The row, with a warning when its link was late enough to blur the figures."""
    with world(row, loss=options.loss / 100, seed=seed, everything=options.everything) as place:
        yield place
        report = place.link_report()
        late = report.get("late_p99_ms", 0.0)
        if isinstance(late, float) and late > 2.0:
            print(f"  {row}: the link sent 1 % of its packets {late} ms late or later", file=sys.stderr)


def _kinds(pair: str) -> tuple[AgentKind, AgentKind]:
    left, _, right = pair.partition(":")
    return agents.KINDS[left], agents.KINDS[right or left]


def _is_available(pair: str) -> bool:
    for kind in _kinds(pair):
        reason = agents.missing(kind.name)
        if reason is not None:
            print(f"{pair} is left out: {reason}", file=sys.stderr)
            return False
    return True


def _path(pair: tuple[str, str] | None) -> str:
    return "?" if pair is None else f"{pair[0]}-{pair[1]}"


if __name__ == "__main__":
    sys.exit(main())
