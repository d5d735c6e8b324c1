"""The event log and its readers."""

from __future__ import annotations

import asyncio

import pytest

from icepath.aio.events import EventLog


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
