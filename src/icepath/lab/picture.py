"""An encounter as a picture of plain lines: who learnt what when, every check as a bar, the path and its times.

A `Picture` is values only: encounters on the virtual network make one by `watch`, programs on real sockets
fill one in themselves. Lines carry the name of a style, so that a terminal can colour them and a file need not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from icepath.ice.events import CandidateGathered, PairSnapshot, State, StateChanged
from icepath.lab.encounter import Encounter, Plan, Side
from icepath.net import Address, Seconds
from icepath.wire.candidate_line import CandidateType

STEP: Final[Seconds] = 0.005
LONGEST: Final[Seconds] = 10.0
BAR: Final = 30
COLUMN: Final = 33
MILLISECONDS: Final = 1000


class Style(StrEnum):
    """Says what a line is, for colours."""

    PLAIN = "plain"
    TITLE = "title"
    FAINT = "faint"
    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Line:
    """Is one line of a drawing."""

    text: str
    style: Style = Style.PLAIN


@dataclass(frozen=True, slots=True)
class Moment:
    """Is something that one side (0 or 1) learnt or reached."""

    at: Seconds
    side: int
    text: str


@dataclass(frozen=True, slots=True)
class CheckView:
    """Is what became of the checks on one pair of addresses."""

    name: str
    sent_at: Seconds
    answered_at: Seconds | None
    sent: int
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """Is everything that is drawn."""

    title: str
    network: tuple[str, ...]
    names: tuple[str, str]
    moments: tuple[Moment, ...]
    checks: tuple[CheckView, ...]
    result: str
    connected: bool


def watch(title: str, network: Sequence[str], plan: Plan, names: tuple[str, str] = ("alice", "bob")) -> Picture:
    """Runs an encounter until both sides have settled, and returns what happened."""
    encounter = Encounter(plan)
    encounter.begin()
    checks = _Checks(encounter)
    while encounter.world.now < encounter.start + LONGEST and not _is_settled(encounter):
        encounter.world.run(seconds=STEP)
        checks.look()
    moments = [
        moment for number, side in enumerate((encounter.a, encounter.b)) for moment in _moments(encounter, number, side)
    ]
    return Picture(
        title=title,
        network=tuple(network),
        names=names,
        moments=tuple(sorted(moments, key=lambda moment: moment.at)),
        checks=checks.views(),
        result=_result(encounter, names),
        connected=_is_settled(encounter),
    )


def draw(picture: Picture) -> list[Line]:
    """Returns the lines of the drawing."""
    lines = [Line(picture.title, Style.TITLE), Line("")]
    lines += [Line(f"    {text}", Style.FAINT) for text in picture.network]
    lines += [Line(""), Line(f"     time     {picture.names[0]:<{COLUMN}}{picture.names[1]}", Style.FAINT)]
    lines += [Line(text) for text in _table(picture.moments)]
    if picture.checks:
        lines += [Line(""), *_bars(picture)]
    lines += [Line(""), Line(f"    => {picture.result}", Style.GOOD if picture.connected else Style.BAD), Line("")]
    return lines


# -- the table -------------------------------------------------------------------------------------------------


def _table(moments: Sequence[Moment]) -> list[str]:
    """Puts what happened in the same millisecond side by side."""
    rows: list[tuple[int, list[str]]] = []
    for moment in moments:
        at = round(moment.at * MILLISECONDS)
        row = next((cells for when, cells in rows if when == at and not cells[moment.side]), None)
        if row is None:
            row = ["", ""]
            rows.append((at, row))
        row[moment.side] = moment.text
    return [f"{at:6d} ms     {left:<{COLUMN}}{right}".rstrip() for at, (left, right) in rows]


# -- the checks ------------------------------------------------------------------------------------------------


def _bars(picture: Picture) -> list[Line]:
    """Draws a bar from each first check to its answer."""
    end = max([check.answered_at or check.sent_at for check in picture.checks])
    wide = max(len(check.name) for check in picture.checks)
    head = f"checks by {picture.names[0]}"
    label = f"{end * MILLISECONDS:.0f} ms"
    lines = [Line(f"    {head:<{wide}}   0 ms{label:>{BAR - 4}}", Style.FAINT)]
    for check in picture.checks:
        style = Style.GOOD if check.is_chosen else Style.PLAIN if check.answered_at is not None else Style.FAINT
        lines.append(Line(f"    {check.name:<{wide}}   {_bar(check, end):<{BAR}}  {_outcome(check)}", style))
    return lines


def _bar(check: CheckView, end: Seconds) -> str:
    scale = (BAR - 1) / end if end else 0.0
    start = round(check.sent_at * scale)
    if check.answered_at is None:
        return " " * start + "├" + "╌" * (BAR - 1 - start)
    stop = round(check.answered_at * scale)
    return " " * start + ("├" + "─" * (stop - start - 1) + "┤" if stop > start else "│")


def _outcome(check: CheckView) -> str:
    if check.answered_at is None:
        return "no answer"
    took = f"answered in {(check.answered_at - check.sent_at) * MILLISECONDS:.0f} ms"
    return f"{took}, chosen" if check.is_chosen else took


class _Checks:
    """Looks at one side's pairs again and again: those not chosen are forgotten by the agent."""

    def __init__(self, encounter: Encounter) -> None:
        self._encounter = encounter
        self._seen: dict[tuple[Address, Address], PairSnapshot] = {}
        self._sent_at: dict[tuple[Address, Address], Seconds] = {}
        self._answered_at: dict[tuple[Address, Address], Seconds] = {}

    def look(self) -> None:
        """Notes what has changed."""
        now = self._encounter.world.now - self._encounter.start
        for pair in self._encounter.a.agent.snapshot().pairs:
            if not pair.requests_sent:
                continue
            key = (pair.local_base, pair.remote_address)
            self._seen[key] = pair
            self._sent_at.setdefault(key, now - STEP)
            if pair.responses_received and key not in self._answered_at:
                self._answered_at[key] = now if pair.rtt is None else self._sent_at[key] + pair.rtt

    def views(self) -> tuple[CheckView, ...]:
        """Returns what became of each pair, in the order of their first checks."""
        return tuple(self._view(key) for key in sorted(self._seen, key=lambda key: self._sent_at[key]))

    def _view(self, key: tuple[Address, Address]) -> CheckView:
        pair = self._seen[key]
        chosen = self._encounter.a.pair
        local = "relay" if pair.local.type is CandidateType.RELAYED else "host"
        return CheckView(
            name=f"{local:<5} -> {pair.remote.type:<5} {pair.remote_address}",
            sent_at=self._sent_at[key],
            answered_at=self._answered_at.get(key),
            sent=pair.requests_sent,
            is_chosen=chosen is not None and (chosen.local_base, chosen.remote_address) == key,
        )


# -- what happened ----------------------------------------------------------------------------------------------


def _moments(encounter: Encounter, number: int, side: Side) -> list[Moment]:
    found: list[Moment] = []
    events = [] if side.runner is None else side.runner.events
    for at, event in events:
        match event:
            case CandidateGathered(candidate=candidate):
                text = f"{candidate.type:<6}{candidate.address}"
            case StateChanged(state=State.CONNECTED):
                text = "may send data"
            case StateChanged(state=State.COMPLETED):
                text = "both agreed on the path"
            case _:
                continue
        found.append(Moment(at - encounter.start, number, text))
    return found


def _is_settled(encounter: Encounter) -> bool:
    return encounter.a.settled_at is not None and encounter.b.settled_at is not None


def _result(encounter: Encounter, names: tuple[str, str]) -> str:
    a, b = encounter.a, encounter.b
    if a.pair is None or a.usable_at is None or b.usable_at is None:
        return "no path was found"
    usable = max(a.usable_at, b.usable_at) - encounter.start
    types = (a.pair.local.type, a.pair.remote.type)
    if CandidateType.RELAYED in types:
        how = "through the relay"
    else:
        how = "directly" if types == (CandidateType.HOST, CandidateType.HOST) else "directly, through the NATs"
    local, remote = a.pair.local.address, a.pair.remote_address
    rtt = "" if a.pair.rtt is None else f", round trip {a.pair.rtt * MILLISECONDS:.0f} ms"
    path = f"{names[0]} {local} <-> {names[1]} {remote}"
    return f"connected {how} after {usable * MILLISECONDS:.0f} ms: {path}{rtt}"
