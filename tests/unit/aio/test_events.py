"""The event log and its readers."""

from __future__ import annotations

import asyncio

import pytest

from icepath.aio.events import (
    CandidateGathered,
    Event,
    EventLog,
    GatheringCompleted,
    PairSelected,
    PairValidated,
    PolicyFailed,
    RoleChanged,
    ServerFailed,
    event_of,
)
from icepath.aio.path import CandidatePair
from icepath.errors import Cause
from icepath.ice import events as ice
from icepath.ice.config import Role
from icepath.ice.events import AgentEvent, PairSnapshot
from icepath.ice.pair import PairState
from icepath.wire.candidate_line import parse_candidate


async def read(log: EventLog[int]) -> list[int]:
    return [entry async for entry in log.reader()]


async def test_a_reader_gets_what_happened_then_what_happens_until_the_end() -> None:
    log: EventLog[int] = EventLog()
    log.append(1)
    early = asyncio.ensure_future(read(log))
    await asyncio.sleep(0)
    log.append(2)
    late = asyncio.ensure_future(read(log))
    await asyncio.sleep(0)
    log.append(3)
    log.close()
    assert await early == [1, 2, 3]
    assert await late == [1, 2, 3]
    assert await read(log) == [1, 2, 3]


async def test_a_cancelled_read_loses_nothing() -> None:
    log: EventLog[int] = EventLog()
    reader = log.reader()
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    log.append(1)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert await anext(reader) == 1
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert log._waiting == []
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    waiting.cancel()
    log.append(2)
    assert await anext(reader) == 2
    log.close()
    with pytest.raises(StopAsyncIteration):
        await anext(reader)


async def test_a_reader_that_fell_behind_goes_on_with_the_oldest_kept() -> None:
    log: EventLog[int] = EventLog(limit=2)
    reader = log.reader()
    log.append(1)
    assert await anext(reader) == 1
    for entry in (2, 3, 4):
        log.append(entry)
    assert await anext(reader) == 3
    log.close()
    assert [entry async for entry in reader] == [4]


CANDIDATE = parse_candidate("candidate:1 1 UDP 5 192.0.2.1 5000 typ host")
PAIR = PairSnapshot(
    1, 2, CANDIDATE, CANDIDATE, CANDIDATE.address, CANDIDATE.address, PairState.SUCCEEDED, 1,
    True, True, True, 0.5, 0.5, 1, 0, 1, 1, 1, None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("reported", "told"),
    [
        (ice.CandidateGathered(1, CANDIDATE), CandidateGathered(CANDIDATE)),
        (ice.GatheringCompleted(), GatheringCompleted()),
        (
            ice.ServerFailed("stun:a", CANDIDATE.address, 401, Cause.WRONG_CREDENTIALS, "text"),
            ServerFailed("stun:a", CANDIDATE.address, 401, Cause.WRONG_CREDENTIALS),
        ),
        (ice.PairValidated(1, 2, PAIR), PairValidated(2, CandidatePair(CANDIDATE, CANDIDATE, 0.5))),
        (ice.PairSelected(1, 2, PAIR), PairSelected(2, CandidatePair(CANDIDATE, CANDIDATE, 0.5))),
        (ice.RoleChanged(Role.CONTROLLING), RoleChanged("controlling")),
        (ice.RoleChanged(Role.CONTROLLED), RoleChanged("controlled")),
        (ice.PolicyFailed("rto", "ValueError()"), PolicyFailed("rto", "ValueError()")),
        (ice.AddressHidden("x.local", "192.0.2.1"), None),
        (ice.StreamFailed(1, Cause.NO_ANSWER), None),
    ],
)
def test_an_application_is_told_what_it_can_act_on(reported: AgentEvent, told: Event | None) -> None:
    assert event_of(reported) == told
