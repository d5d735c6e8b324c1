"""The agent and its parts against tiny reference models, written from the RFCs' text and nothing else."""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from icepath.entropy import ice_credentials
from icepath.errors import Cause
from icepath.ice.agent import Agent
from icepath.ice.candidate import LocalPreferences, candidate_priority
from icepath.ice.checklist import Checklist, ChecklistSet
from icepath.ice.config import AgentConfig, Role
from icepath.ice.events import DataReceived, PairSnapshot, State, StateChanged
from icepath.ice.nomination import nominate_best
from icepath.ice.pair import CandidatePair, PairState
from icepath.machine import Datagram, LocalAddress
from icepath.net import Address, Instant
from icepath.wire.candidate_line import MAX_PRIORITY, CandidateType
from icepath.wire.fragment import Description
from unit.ice.builders import at_once, candidate, local_candidate, loose_pair

F, W, P, S, X = PairState.FROZEN, PairState.WAITING, PairState.IN_PROGRESS, PairState.SUCCEEDED, PairState.FAILED

# -- checklists ----------------------------------------------------------------------------------------------------


@dataclass
class Cell:
    """Is one candidate pair in the tables of RFC 8445 §6.1.2.6 and RFC 8838 §12."""

    stream: int
    component: int
    foundation: str
    priority: int
    state: PairState = F

    @property
    def row(self) -> tuple[int, int, int]:
        """Orders a column from its top: checklist, component, then the highest priority."""
        return (self.stream, self.component, -self.priority)


class Table:
    """Is the checklist set as the RFCs' tables draw it: cells in columns by foundation."""

    def __init__(self, streams: int) -> None:
        self.cells: list[Cell] = []
        self.streams = streams
        self.last = 0

    def column(self, foundation: str) -> list[Cell]:
        return [cell for cell in self.cells if cell.foundation == foundation]

    def freeze_and_thaw_topmost(self) -> None:
        """Does RFC 8445 §6.1.2.6: all Frozen, then the topmost cell of every column Waiting."""
        for cell in self.cells:
            cell.state = F
        for foundation in {cell.foundation for cell in self.cells}:
            min(self.column(foundation), key=lambda cell: cell.row).state = W

    def insert(self, new: Cell) -> None:
        """Does RFC 8838 §12, rules 1 to 3."""
        column = self.column(new.foundation)
        if all(new.row < cell.row for cell in column) or any(cell.state is S for cell in column):
            new.state = W
        self.cells.append(new)

    def succeed(self, cell: Cell) -> None:
        """Does RFC 8445 §7.2.5.3.3."""
        cell.state = S
        for other in self.column(cell.foundation):
            if other.state is F:
                other.state = W

    def pick(self) -> Cell | None:
        """Does RFC 8445 §6.1.4.2 without triggered checks; the picked cell is In-Progress."""
        for step in range(1, self.streams + 1):
            stream = (self.last + step - 1) % self.streams + 1
            mine = [cell for cell in self.cells if cell.stream == stream]
            if not any(cell.state is W for cell in mine):
                for cell in sorted((cell for cell in mine if cell.state is F), key=lambda cell: cell.row):
                    if not any(other.state in (W, P) for other in self.column(cell.foundation)):
                        cell.state = W
            waiting = [cell for cell in mine if cell.state is W]
            if waiting:
                best = min(waiting, key=lambda cell: (-cell.priority, cell.component))
                best.state = P
                self.last = stream
                return best
        return None


STREAMS = 3
# A priority of its own for each pair, so that no order depends on ties.
cells = st.lists(
    st.tuples(st.integers(1, STREAMS), st.integers(1, 2), st.sampled_from(["f1", "f2", "f3"]), st.integers(1, 10**6)),
    max_size=10,
    unique_by=lambda cell: cell[3],
)


def real(number: int, cell: Cell) -> CandidatePair:
    return loose_pair(
        number,
        foundation=cell.foundation,
        component=cell.component,
        stream=cell.stream,
        priority=cell.priority,
    )


def empty_set() -> ChecklistSet:
    checklists = ChecklistSet(1000)
    for stream in range(1, STREAMS + 1):
        checklists.put(stream, Checklist())
    return checklists


@pytest.mark.rfc("8445", "6.1.2.6")
@pytest.mark.rfc("8838", "12")
@given(cells)
def test_pairs_inserted_in_order_begin_as_if_all_had_been_there_at_once(
    drawn: list[tuple[int, int, str, int]],
) -> None:
    table, checklists = Table(STREAMS), empty_set()
    table.cells = sorted((Cell(*each) for each in drawn), key=lambda cell: cell.row)
    table.freeze_and_thaw_topmost()
    pairs = [real(number, cell) for number, cell in enumerate(table.cells, 1)]
    for pair in pairs:
        checklists.insert(pair)
    assert [pair.state for pair in pairs] == [cell.state for cell in table.cells]


@pytest.mark.rfc("8445", "6.1.4.2")
@pytest.mark.rfc("8445", "7.2.5.3.3")
@pytest.mark.rfc("8838", "12")
@given(cells, st.randoms(use_true_random=False))
def test_states_and_the_order_of_checks_are_those_of_the_tables(
    drawn: list[tuple[int, int, str, int]], chance: random.Random
) -> None:
    """Pairs come in any order, in between checks are begun, succeed and fail."""
    table, checklists = Table(STREAMS), empty_set()
    known: list[tuple[Cell, CandidatePair]] = []
    to_come = [Cell(*each) for each in drawn]
    for _ in range(6 * len(drawn)):
        running = [(cell, pair) for cell, pair in known if cell.state is P]
        action = chance.choice(["insert", "pick", "end"])
        if action == "insert" and to_come:
            cell = to_come.pop()
            pair = real(len(known) + 1, cell)
            table.insert(cell)
            checklists.insert(pair)
            known.append((cell, pair))
        elif action == "pick":
            picked, chosen = table.pick(), checklists.next_ordinary(lambda _: True)
            assert (chosen is None) is (picked is None)
            assert chosen is next((pair for cell, pair in known if cell is picked), None)
            if chosen is not None:
                chosen.state = P
        elif action == "end" and running:
            cell, pair = chance.choice(running)
            if chance.random() < 0.5:
                cell.state = pair.state = X
            else:
                table.succeed(cell)
                pair.state = S
                checklists.unfreeze(pair.foundation)
        assert [pair.state for _, pair in known] == [cell.state for cell, _ in known]


@pytest.mark.rfc("8445", "6.1.4.2")
@given(cells, st.booleans())
def test_every_pair_is_checked_once_whatever_comes_of_the_checks(
    drawn: list[tuple[int, int, str, int]], succeeds: bool
) -> None:
    checklists = empty_set()
    pairs = [real(number, Cell(*each)) for number, each in enumerate(drawn, 1)]
    for pair in pairs:
        checklists.insert(pair)
    checked = []
    while (pair_ := checklists.next_ordinary(lambda _: True)) is not None:
        checked.append(pair_.id)
        pair_.state = S if succeeds else X
        if succeeds:
            checklists.unfreeze(pair_.foundation)
    assert sorted(checked) == [pair.id for pair in pairs]


# -- priorities ------------------------------------------------------------------------------------------------------

addresses = st.lists(
    st.tuples(st.booleans(), st.integers(-5, 200), st.integers(1, 3), st.sampled_from(list(CandidateType))),
    max_size=40,
)


@pytest.mark.rfc("8445", "5.1.2")
@pytest.mark.rfc("8445", "5.1.2.1")
@given(addresses)
def test_priorities_of_a_stream_are_unique_and_lawful(drawn: list[tuple[bool, int, int, CandidateType]]) -> None:
    preferences = LocalPreferences()
    priorities = []
    for number, (is_ipv6, cost, component, kind) in enumerate(drawn):
        address = Address(f"2001:db8::{number:x}" if is_ipv6 else f"192.0.2.{number}", 4000)
        host = preferences.for_address(address, cost, component)
        priorities.append(candidate_priority(CandidateType.HOST, host, component))
        for _server in range(number % 3 if kind is not CandidateType.HOST else 0):
            preference = preferences.unique(kind, host, component)
            priorities.append(candidate_priority(kind, preference, component))
    assert len(set(priorities)) == len(priorities)
    assert all(1 <= priority <= MAX_PRIORITY for priority in priorities)


priority = st.integers(1, MAX_PRIORITY)


@pytest.mark.rfc("8445", "6.1.2.3")
@given(priority, priority)
def test_both_sides_give_a_pair_the_same_priority_in_whatever_role(mine: int, theirs: int) -> None:
    here, there = Address("192.0.2.1", 1), Address("198.51.100.7", 2)
    for role in (True, False):
        ours = CandidatePair(
            1,
            local_candidate(here, priority=mine),
            candidate(there, priority=theirs),
            there,
            stream=1,
            generation=0,
            is_controlling=role,
        )
        other = CandidatePair(
            9,
            local_candidate(there, priority=theirs),
            candidate(here, priority=mine),
            here,
            stream=1,
            generation=0,
            is_controlling=not role,
        )
        controlling, controlled = (mine, theirs) if role else (theirs, mine)
        formula = 2**32 * min(controlling, controlled) + 2 * max(controlling, controlled) + (controlling > controlled)
        assert ours.priority == other.priority == formula
        assert ours.valid_priority[0] == other.valid_priority[0]


# -- two agents ------------------------------------------------------------------------------------------------------

LATENCY = 0.01
LEFT = [Address("192.0.2.1", 1), Address("192.0.2.2", 1), Address("2001:db8:1::1", 1)]
RIGHT = [Address("198.51.100.1", 2), Address("198.51.100.2", 2), Address("2001:db8:2::1", 2)]
PATHS = [(a, b) for a, b in itertools.product(LEFT, RIGHT) if (":" in a.host) == (":" in b.host)]


@dataclass
class Meeting:
    """Is two agents and the paths between them; each path may be open one way only, or closed."""

    open_ways: frozenset[tuple[Address, Address]]
    roles: tuple[Role, Role]
    seed: int
    now: Instant = 100.0
    in_flight: list[tuple[Instant, int, Datagram]] = field(default_factory=list)
    sequence: int = 0
    states: list[StateChanged] = field(default_factory=list)
    received: list[list[bytes]] = field(default_factory=lambda: [[], []])

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        self.agents = []
        for role, addresses in zip(self.roles, (LEFT, RIGHT), strict=True):
            settings_ = AgentConfig(ice_credentials(chance.randbytes), role, nomination=nominate_best)
            agent = Agent(settings_, random_bytes=chance.randbytes, reserve_slot=at_once, now=self.now)
            for address in addresses:
                agent.add_local_address(LocalAddress(address), now=self.now)
            agent.end_of_local_addresses(now=self.now)
            self.agents.append(agent)
        left, right = self.agents
        left.set_remote_description(self.description(right), now=self.now)
        right.set_remote_description(self.description(left), now=self.now)

    def description(self, agent: Agent) -> Description:
        return Description.parse(agent.snapshot().local[0].token())

    def run(self, seconds: float) -> None:
        """Lets time pass, from event to event."""
        end = self.now + seconds
        while True:
            for index, agent in enumerate(self.agents):
                for output in agent.take_outputs():
                    if isinstance(output, Datagram):
                        self.carry(output)
                    elif isinstance(output, StateChanged):
                        self.states.append(output)
                    elif isinstance(output, DataReceived):
                        self.received[index].append(output.payload)
            deadlines = [at for agent in self.agents if (at := agent.next_deadline()) is not None]
            upcoming = min([*deadlines, *[each[0] for each in self.in_flight[:1]], end])
            if upcoming >= end:
                self.now = end
                return
            self.now = max(self.now, upcoming)
            while self.in_flight and self.in_flight[0][0] <= self.now:
                _, _, datagram = heapq.heappop(self.in_flight)
                receiver = self.agents[0] if datagram.remote in LEFT else self.agents[1]
                arrived = Datagram(datagram.remote, datagram.local, datagram.payload)
                receiver.receive(arrived, now=self.now)
            for agent in self.agents:
                agent.handle_timeout(now=self.now)

    def carry(self, datagram: Datagram) -> None:
        if (datagram.local, datagram.remote) in self.open_ways:
            self.sequence += 1
            heapq.heappush(self.in_flight, (self.now + LATENCY, self.sequence, datagram))

    def selected(self, index: int) -> list[PairSnapshot]:
        return [pair for pair in self.agents[index].snapshot().pairs if pair.is_selected]

    def best_path(self) -> tuple[Address, Address] | None:
        """Returns the path that RFC 8445 §6.1.2.3 ranks first among those open both ways."""
        told = [{each.address: each.priority for each in self.description(agent).candidates} for agent in self.agents]
        is_left_controlling = self.agents[0].snapshot().role is Role.CONTROLLING

        def rank(path: tuple[Address, Address]) -> int:
            left, right = told[0][path[0]], told[1][path[1]]
            controlling, controlled = (left, right) if is_left_controlling else (right, left)
            return 2**32 * min(left, right) + 2 * max(left, right) + (controlling > controlled)

        both = [path for path in PATHS if path in self.open_ways and path[::-1] in self.open_ways]
        return max(both, key=rank, default=None)


ways = st.frozensets(st.sampled_from([*PATHS, *[(b, a) for a, b in PATHS]]))
roles = st.tuples(st.sampled_from(list(Role)), st.sampled_from(list(Role)))
EVERY_WAY = frozenset([*PATHS, *[(b, a) for a, b in PATHS]])


@pytest.mark.rfc("8445", "7.3.1.1")
@pytest.mark.rfc("8445", "8.1.1")
@pytest.mark.rfc("8445", "8.1.2")
@pytest.mark.rfc("8863", "4")
@given(ways, roles, st.integers(0, 1000))
@example(EVERY_WAY, (Role.CONTROLLING, Role.CONTROLLED), 1)
@example(EVERY_WAY, (Role.CONTROLLING, Role.CONTROLLING), 2)
@example(EVERY_WAY, (Role.CONTROLLED, Role.CONTROLLED), 3)
@example(frozenset(), (Role.CONTROLLING, Role.CONTROLLED), 4)
@settings(max_examples=40, deadline=None)
def test_two_agents_settle_on_one_path_that_is_open_both_ways_or_on_none(
    open_ways: frozenset[tuple[Address, Address]], both: tuple[Role, Role], seed: int
) -> None:
    meeting = Meeting(open_ways, both, seed)
    expected = meeting.best_path() is not None
    meeting.run(85.0 if not expected else 8.0)
    pictures = [agent.snapshot() for agent in meeting.agents]
    if not expected:
        assert [picture.state for picture in pictures] == [State.FAILED] * 2
        assert {picture.cause for picture in pictures} == {Cause.NO_ANSWER}
        return
    assert [picture.state for picture in pictures] == [State.COMPLETED] * 2
    assert {picture.role for picture in pictures} == set(Role)
    (left,), (right,) = meeting.selected(0), meeting.selected(1)
    assert (left.local_base, left.remote_address) == (right.remote_address, right.local_base)
    path = (left.local_base, left.remote_address)
    assert path in meeting.open_ways
    assert path[::-1] in meeting.open_ways
    if both[0] is not both[1] and all(way[::-1] in open_ways for way in open_ways):
        # A role conflict, or a check that comes through one way only, lets triggered checks of a lesser pair go first.
        assert path == meeting.best_path()
    assert left.is_nominated
    assert right.is_nominated
    for index, agent in enumerate(meeting.agents):
        agent.send(b"%d" % index, now=meeting.now)
    meeting.run(1.0)
    assert meeting.received == [[b"1"], [b"0"]]
