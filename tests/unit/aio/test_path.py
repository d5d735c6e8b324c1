"""A path in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.aio.path import CandidatePair
from icepath.machine import Transport
from icepath.wire.candidate_line import Candidate, CandidateType, Foundation

HOST, SRFLX, PRFLX, RELAY = (CandidateType(kind) for kind in ("host", "srflx", "prflx", "relay"))


def a_candidate(kind: CandidateType, host: str = "192.0.2.1") -> Candidate:
    return Candidate(Foundation("1"), 1, Transport.UDP, 1, host, 7, kind)


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (HOST, HOST, "direct"),
        (SRFLX, HOST, "direct through our NAT"),
        (HOST, PRFLX, "direct through their NAT"),
        (PRFLX, SRFLX, "direct through both NATs"),
        (RELAY, HOST, "through a relay"),
        (SRFLX, RELAY, "through a relay"),
    ],
)
def test_a_path_says_how_direct_it_is(ours: CandidateType, theirs: CandidateType, words: str) -> None:
    pair = CandidatePair(a_candidate(ours), a_candidate(theirs, "2001:db8::1"))
    assert str(pair) == f"{words}  192.0.2.1:7 <-> [2001:db8::1]:7"


def test_a_summary_names_types_and_round_trip_time() -> None:
    pair = CandidatePair(a_candidate(SRFLX), a_candidate(HOST, "192.0.2.2"), 0.0412)
    assert pair.summary() == "srflx 192.0.2.1:7 <-> host 192.0.2.2:7, rtt 41.2 ms"
    assert CandidatePair(pair.local, pair.remote).summary() == "srflx 192.0.2.1:7 <-> host 192.0.2.2:7"


def test_a_path_says_when_it_is_over_tcp() -> None:
    ours, theirs = a_candidate(HOST), a_candidate(HOST, "192.0.2.2")
    over_tcp = CandidatePair(replace(ours, transport=Transport.TCP), replace(theirs, transport=Transport.TCP))
    assert over_tcp.kind == "direct, over TCP"
