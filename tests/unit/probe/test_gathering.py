"""What gathering found, row by row."""

from __future__ import annotations

from dataclasses import replace

from icepath.aio.events import CandidateGathered, GatheringCompleted, ServerFailed, StateChanged
from icepath.entropy import Secret
from icepath.errors import Cause
from icepath.ice.config import Server
from icepath.ice.events import State
from icepath.net import Address
from icepath.probe.gathering import Gathered
from icepath.wire.candidate_line import parse_candidate
from icepath.wire.uri import parse_server_uri

STUN, TURN = "stun:192.0.2.1", "turn:192.0.2.2"
SERVERS = (Server(parse_server_uri(STUN)), Server(parse_server_uri(TURN)))
WITH_USER = (Server(parse_server_uri(TURN), "demo", Secret("secret")),)
LOCAL = Address("192.168.1.10", 5000)
HOST = parse_candidate("candidate:1 1 UDP 2130706431 2001:db8::1 5000 typ host")
REFLEXIVE = replace(parse_candidate("candidate:2 1 UDP 1694498815 203.0.113.7 5000 typ srflx"), url=STUN)


def test_candidates_say_where_they_come_from() -> None:
    gathered = Gathered(SERVERS, {"2001:db8::1": "wlan0"})
    host = gathered.take(CandidateGathered(HOST), 0.001)
    reflexive = gathered.take(CandidateGathered(REFLEXIVE), 0.05)
    assert host is not None
    assert reflexive is not None
    assert (host.kind, host.what, host.where) == ("host", "[2001:db8::1]:5000", "wlan0")
    assert (reflexive.kind, reflexive.what, reflexive.where) == ("srflx", "203.0.113.7:5000", STUN)
    assert gathered.candidates == 2
    assert gathered.take(GatheringCompleted(), 1.0) is None
    assert gathered.take(StateChanged(State.CHECKING), 1.0) is None
    assert gathered.give_up(2.0) == [], "all have answered or failed, the others' candidates were redundant"


def test_a_silent_server_is_given_up_in_time() -> None:
    gathered = Gathered(SERVERS, {})
    gathered.take(CandidateGathered(REFLEXIVE), 0.05)
    (row,) = gathered.give_up(10.0)
    assert (row.kind, row.what, row.where) == ("-", TURN, "no candidate in 10.0 s")
    assert gathered.failed == [TURN]
    assert gathered.give_up(11.0) == []


def test_a_server_that_failed_from_one_address_only_has_not_failed() -> None:
    gathered = Gathered(SERVERS, {})
    gathered.take(ServerFailed(STUN, LOCAL, None, Cause.SERVER_UNREACHABLE), 0.1)
    assert gathered.failed == [STUN]
    gathered.take(CandidateGathered(REFLEXIVE), 0.2)
    assert gathered.failed == []


def test_reasons_in_words() -> None:
    gathered = Gathered(SERVERS, {})
    texts = []
    for event in (
        ServerFailed(TURN, LOCAL, 401, Cause.WRONG_CREDENTIALS),
        ServerFailed(TURN, LOCAL, 486, Cause.ALLOCATION_QUOTA),
        ServerFailed(TURN, LOCAL, 499, Cause.SERVER_REFUSED),
        ServerFailed(STUN, LOCAL, None, Cause.SERVER_UNREACHABLE),
        ServerFailed(STUN, None, None, Cause.SERVER_NAME_NOT_FOUND),
    ):
        row = gathered.take(event, 0.1)
        assert row is not None
        assert row.cause is event.reason
        texts.append(row.where)
    assert texts == [
        "401 Unauthorized: needs --username",
        "486 Allocation Quota Reached (from 192.168.1.10)",
        "499 server-refused (from 192.168.1.10)",
        "server-unreachable (from 192.168.1.10)",
        "server-name-not-found",
    ]
    assert gathered.failed == [TURN, STUN]


def test_a_user_whose_password_is_wrong() -> None:
    row = Gathered(WITH_USER, {}).take(ServerFailed(TURN, LOCAL, 401, Cause.WRONG_CREDENTIALS), 0.1)
    assert row is not None
    assert row.where == "401 Unauthorized (from 192.168.1.10)"
