"""The other implementations connect to each other through the laboratory, driven by their adapters.

This keeps the ground firm under test_rows.py: when a row fails there and passes here, the laboratory is not to blame.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import pytest

from interop.lab import agents
from interop.lab.peers.lines import PingPong, parse_endpoint, parse_options
from interop.lab.rows import World, world
from interop.lab.runner import AgentKind, PairResult, Plan, run_pair


@pytest.fixture(params=["sym:sym", pytest.param("apdf:apdf", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest) -> Iterator[World]:
    """A row with no direct path, and one that has it."""
    with world(str(request.param)) as built:
        yield built


@pytest.mark.parametrize(
    "pair",
    [
        "aioice:aioice",
        "libnice:libnice",
        "werift:werift",
        "libjuice:libjuice",
        "libwebrtc:libwebrtc",
        "aioice:libnice",
        "libnice:aioice",
    ],
)
@pytest.mark.net
@pytest.mark.interop
@pytest.mark.usefixtures("laboratory_possible")
def test_peers_connect(place: World, pair: str) -> None:
    result = connect(place, pair, Plan())
    assert result.usable is not None, result.describe()
    assert result.concluded is not None, result.describe()
    if not {"libjuice", "libwebrtc"} & set(pair.split(":")):
        assert len(result.sides[0].rtts) == 3, result.describe()
    assert [side.exit_status for side in result.sides] == [0, 0], result.describe()


@pytest.mark.net
@pytest.mark.interop
@pytest.mark.usefixtures("laboratory_possible")
def test_candidates_can_be_held_until_all_are_known() -> None:
    with world("apdf:none") as place:
        result = connect(place, "libnice:libnice", Plan(trickle=False))
    assert result.usable is not None, result.describe()
    gathered = max(side.events["gathered"] for side in result.sides)
    assert result.usable > gathered


@pytest.mark.net
@pytest.mark.interop
@pytest.mark.usefixtures("laboratory_possible")
def test_controlled_side_sends_no_pings_and_either_may_control() -> None:
    with world("none:none") as place:
        result = connect(place, "aioice:libnice", Plan(controlling=1, messages=2))
    assert [len(side.rtts) for side in result.sides] == [0, 2], result.describe()


@pytest.mark.net
@pytest.mark.interop
@pytest.mark.usefixtures("laboratory_possible")
def test_relay_only_peers_use_their_relays() -> None:
    with world("none:none") as place:
        result = connect(place, "aioice:aioice", Plan(relay_only=(True, True)))
    assert result.usable is not None, result.describe()
    assert all(side.pair is not None and side.pair[0] == "relay" for side in result.sides), result.describe()


@pytest.mark.net
@pytest.mark.usefixtures("laboratory_possible")
def test_silent_agent_does_not_hold_the_run_up() -> None:
    script = 'print(\'{"type": "ready"}\', flush=True); import time; time.sleep(60)'
    silent = AgentKind("silent", (sys.executable, "-c", script))
    with world("none:none", relay=False) as place:
        result = asyncio.run(run_pair(place.hosts, (silent, silent), place.servers, Plan(timeout=0.5)))
    assert result.usable is None
    assert [side.errors for side in result.sides] == [["did not quit and was killed"]] * 2


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [("198.51.100.1:3478", ("198.51.100.1", 3478)), ("[2001:db8::1]:443", ("2001:db8::1", 443))],
)
def test_endpoints_are_read(text: str, endpoint: tuple[str, int]) -> None:
    assert parse_endpoint(text) == endpoint


def test_ice_role_follows_the_role_unless_told_otherwise() -> None:
    assert parse_options(["--role", "controlled"]).ice_controlling is False
    both = parse_options(["--role", "controlled", "--ice-role", "controlling"])
    assert (both.controlling, both.ice_controlling) == (False, True)


def test_ping_pong_goes_on_until_each_is_echoed(capsys: pytest.CaptureFixture[str]) -> None:
    sent: list[bytes] = []
    application = PingPong(True, 2, sent.append)
    application.repeat()
    assert sent == []
    application.begin()
    application.repeat()
    application.received(b"ping 0")
    application.received(b"ping 0")
    application.received(b"ping 1")
    application.repeat()
    assert sent == [b"ping 0", b"ping 0", b"ping 1"]
    output = capsys.readouterr().out
    assert output.count('"first_echo"') == 1
    assert '"sent": 3' in output


def test_controlled_side_echoes_and_reports_other_data(capsys: pytest.CaptureFixture[str]) -> None:
    sent: list[bytes] = []
    application = PingPong(False, 2, sent.append)
    application.begin()
    application.received(b"ping 0")
    application.received(b"\x00other")
    assert sent == [b"ping 0", b"\x00other"]
    assert '"received"' in capsys.readouterr().out


def connect(place: World, pair: str, plan: Plan) -> PairResult:
    """One run, skipped where a peer is not installed."""
    names = pair.split(":")
    for name in names:
        reason = agents.missing(name)
        if reason is not None:
            pytest.skip(reason)
    kinds = agents.KINDS[names[0]], agents.KINDS[names[1]]
    return asyncio.run(run_pair(place.hosts, kinds, place.servers, plan))
