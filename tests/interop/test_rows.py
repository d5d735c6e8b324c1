"""`icepath agent` over real NATs: with itself in every row, and with other implementations in both roles.

Each agent is a process in its own namespace. A run passes when both sides may send, all test messages are echoed,
and the path is as direct as the row allows. Times are bounded generously (other programs share the machine); the
benchmark measures them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import pytest

from interop.lab import agents, coturn, namespaces
from interop.lab.minima import BOUNDS
from interop.lab.rows import ROUND_TRIP, SERVER_V4, Servers, World, world
from interop.lab.runner import Conversation, PairResult, Plan, conversation, run_pair

pytestmark = [pytest.mark.net, pytest.mark.interop, pytest.mark.usefixtures("laboratory_possible", "agent_exists")]

# Round trips over the minimum that a run may take; the better of two runs counts.
TOLERANCE = 2.0
# A direct path through NATs, a relayed one, TURN over TCP, no NAT at all. The others take too long for every day.
PEER_ROWS = ("apdf:apdf", "sym:sym", "udpblock:apdf", "v6:v6")
MORE_PEER_ROWS = ("none:none", "adf:sym", "sym:adf", "cgn-apdf:apdf", "same", "same-iso", "same-hp", "ds:ds", "v6:apdf")
PEERS = ("aioice", "libnice", "werift", "libjuice", "libwebrtc")
PLAIN = Plan()


@pytest.fixture
def agent_exists() -> None:
    """Skips while the command under test does not exist."""
    require("icepath")


@pytest.mark.parametrize("row", BOUNDS)
def test_two_agents_connect_by_the_best_path(row: str) -> None:
    bound = BOUNDS[row]
    limit = (bound.round_trips + TOLERANCE) * ROUND_TRIP
    with world(row) as place:
        result = connect(place)
        if result.usable is not None and result.usable > limit:
            result = connect(place)
    check(result)
    assert is_relayed(result) is bound.relayed, result.describe()
    assert result.usable is not None
    assert result.usable <= limit, result.describe()


@pytest.fixture(
    scope="module", params=[*PEER_ROWS, *(pytest.param(row, marks=pytest.mark.slow) for row in MORE_PEER_ROWS)]
)
def standing_row(request: pytest.FixtureRequest) -> Iterator[World]:
    """A row that stands for all pairs of implementations."""
    reason = namespaces.missing() or coturn.missing()
    if reason is not None:
        pytest.skip(reason)
    with world(str(request.param)) as place:
        yield place


@pytest.mark.parametrize("controlling", [0, 1], ids=["controls", "is-controlled"])
@pytest.mark.parametrize("peer", PEERS)
def test_agent_connects_with_another_implementation(standing_row: World, peer: str, controlling: int) -> None:
    require(peer)
    result = connect(standing_row, "icepath", peer, Plan(controlling=controlling))
    check(result, data=agents.KINDS[peer].carries_data)


@pytest.mark.parametrize("role", ["controlling", "controlled"])
@pytest.mark.parametrize("peer", ["icepath", "aioice", "libnice"])
def test_role_conflict_is_repaired(peer: str, role: str) -> None:
    require(peer)
    with world("apdf:apdf") as place:
        check(connect(place, "icepath", peer, Plan(ice_roles=(role, role))))


@pytest.mark.parametrize("peer", ["icepath", "aioice", "libnice"])
def test_candidates_may_come_all_at_once(peer: str) -> None:
    require(peer)
    with world("apdf:sym") as place:
        check(connect(place, "icepath", peer, Plan(trickle=False)))


@pytest.mark.parametrize("transport", ["turn", "turn_tcp", "turn_tls"])
def test_relay_only_uses_each_transport(transport: str) -> None:
    port = 5349 if transport == "turn_tls" else 3478
    servers = Servers(**{transport: f"{SERVER_V4}:{port}"})
    with world("none:none") as place:
        result = connect(place, plan=Plan(relay_only=(True, True)), servers=servers)
    check(result)
    for side in result.sides:
        assert side.pair is not None
        assert side.pair[0] == "relay", result.describe()
        assert {line.split()[7] for line in side.candidates} == {"relay"}, result.describe()


@pytest.mark.parametrize("row", ["udpblock:apdf", "tcp443:apdf", "apdf:apdf", "v6:apdf"])
def test_nothing_waits_for_a_server_that_does_not_answer(row: str) -> None:
    """Every transport is configured, as a user would; those that are blocked cost no time."""
    with world(row, everything=True) as place:
        result = connect(place)
    check(result)
    assert result.usable is not None
    assert result.usable <= (BOUNDS[row].round_trips + 1 + TOLERANCE) * ROUND_TRIP, result.describe()


def test_slow_signalling_costs_only_its_own_time() -> None:
    with world("apdf:apdf") as place:
        result = connect(place, plan=Plan(signalling_delay=0.3))
    check(result)
    assert result.usable is not None
    assert result.usable <= 0.3 + (1.0 + TOLERANCE) * ROUND_TRIP, result.describe()


@pytest.mark.parametrize("row", ["apdf:apdf", "sym:sym"])
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_loss_delays_but_does_not_prevent(row: str, seed: int) -> None:
    with world(row, loss=0.2, seed=seed) as place:
        check(connect(place), agreement=False)


@pytest.mark.parametrize("peer", ["icepath", "libnice"])
def test_data_flows_again_after_a_restart(peer: str) -> None:
    require(peer)

    async def restart(talk: Conversation) -> None:
        talk.start()
        assert await talk.until(lambda result: bool(result.sides[0].rtts), 10), talk.result.describe()
        for index in (0, 1):
            talk.tell(index, "restart")
        renewed = await talk.until(lambda result: all(len(side.locals) == 2 for side in result.sides), 5)
        assert renewed, talk.result.describe()
        assert await delivered(talk, b"after the restart"), talk.result.describe()

    with world("apdf:apdf") as place:
        result = converse(place, restart, peer)
    for side in result.sides:
        assert len({ufrag for ufrag, _ in side.locals}) == 2


def test_any_bytes_pass_both_ways() -> None:
    payloads = (b"\x00\x01\x00\x00", bytes(range(256)), b"x" * 1200)

    async def exchange(talk: Conversation) -> None:
        talk.start()
        assert await talk.until(lambda result: bool(result.sides[0].rtts), 10), talk.result.describe()
        for payload in payloads:
            assert await delivered(talk, payload), talk.result.describe()
        # The controlled side echoes everything.
        assert await talk.until(lambda result: set(payloads) <= set(result.sides[0].received), 5)

    with world("sym:sym") as place:
        converse(place, exchange)


@pytest.mark.slow
def test_both_sides_notice_that_the_path_is_gone() -> None:
    """RFC 7675 §5.1: consent lapses 30 s after the last valid answer."""

    async def cut(talk: Conversation) -> None:
        talk.start()
        assert await talk.until(lambda result: bool(result.sides[0].rtts), 10), talk.result.describe()
        place.link_report()
        assert await talk.until(lambda result: all("lost" in side.events for side in result.sides), 45)
        for side in talk.result.sides:
            assert side.events["disconnected"] <= side.events["lost"]
            assert 24 < side.events["lost"] - side.events["connected"] < 42

    with world("apdf:apdf") as place:
        converse(place, cut)


def require(name: str) -> None:
    """Skips when an implementation is not here."""
    reason = agents.missing(name)
    if reason is not None:
        pytest.skip(reason)


def connect(
    place: World, left: str = "icepath", right: str = "icepath", plan: Plan = PLAIN, servers: Servers | None = None
) -> PairResult:
    """One run in a row; `servers` replaces what both hosts are told."""
    kinds = agents.KINDS[left], agents.KINDS[right]
    told = place.servers if servers is None else (servers, servers)
    return asyncio.run(run_pair(place.hosts, kinds, told, plan))


def converse(place: World, script: Callable[[Conversation], object], peer: str = "icepath") -> PairResult:
    """Runs a script against two agents."""

    async def run() -> PairResult:
        kinds = agents.KINDS["icepath"], agents.KINDS[peer]
        async with conversation(place.hosts, kinds, place.servers, PLAIN) as talk:
            work = script(talk)
            assert asyncio.iscoroutine(work)
            await work
        return talk.result

    return asyncio.run(run())


async def delivered(talk: Conversation, payload: bytes) -> bool:
    """Whether the controlling side's payload arrives; sent again every 300 ms, as nothing else repeats it."""
    for _ in range(20):
        with contextlib.suppress(TimeoutError):
            talk.send(0, payload)
            if await talk.until(lambda result: payload in result.sides[1].received, 0.3):
                return True
    return False


def check(result: PairResult, *, data: bool = True, agreement: bool = True) -> None:
    """What every run must have reached."""
    assert result.usable is not None, result.describe()
    assert result.concluded is not None, result.describe()
    for side in result.sides:
        assert side.exit_status == 0, result.describe()
        assert side.errors == [], result.describe()
    if data:
        assert sorted(len(side.rtts) for side in result.sides) == [0, 3], result.describe()
    if agreement and all(side.name == "icepath" for side in result.sides):
        assert result.agrees, result.describe()


def is_relayed(result: PairResult) -> bool:
    """Whether either side says that a relayed candidate carries the data."""
    return any("relay" in side.pair for side in result.sides if side.pair is not None)
