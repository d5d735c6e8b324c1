"""The receive queue."""

from __future__ import annotations

import asyncio

import pytest

from icepath.aio.inbox import Inbox


class Ended(Exception):
    """Is the end."""


async def test_datagrams_come_out_in_order_and_the_newest_are_dropped() -> None:
    inbox = Inbox(2)
    for payload in (b"1", b"2", b"3"):
        inbox.put(payload)
    assert inbox.dropped == 1
    assert [await inbox.get(), await inbox.get()] == [b"1", b"2"]


async def test_readers_are_woken_one_by_one_in_order() -> None:
    inbox = Inbox(9)
    readers = [asyncio.ensure_future(inbox.get()) for _ in range(3)]
    await asyncio.sleep(0)
    inbox.put(b"1")
    inbox.put(b"2")
    done, _ = await asyncio.wait(readers[:2])
    assert {task.result() for task in done} == {b"1", b"2"}
    assert not readers[2].done()
    inbox.put(b"3")
    assert await readers[2] == b"3"


async def test_cancelling_a_reader_loses_nothing() -> None:
    inbox = Inbox(9)
    first, second = asyncio.ensure_future(inbox.get()), asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    inbox.put(b"1")
    first.cancel()  # woken and cancelled at once: the other one gets it
    assert await second == b"1"
    third, fourth = asyncio.ensure_future(inbox.get()), asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    third.cancel()
    inbox.put(b"2")
    assert await fourth == b"2"
    assert not inbox._waiters


async def test_a_reader_cancelled_after_another_took_its_datagram_wakes_nobody() -> None:
    inbox = Inbox(9)
    reader = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    inbox.put(b"1")
    assert await inbox.get() == b"1"
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader


async def test_a_cancelled_reader_leaves_no_trace() -> None:
    inbox = Inbox(9)
    reader = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.wait({reader})
    assert not inbox._waiters
    readers = [asyncio.ensure_future(inbox.get()) for _ in range(2)]
    await asyncio.sleep(0)
    for reader in readers:
        reader.cancel()
    inbox.put(b"1")
    assert await inbox.get() == b"1"
    readers = [asyncio.ensure_future(inbox.get()) for _ in range(2)]
    await asyncio.sleep(0)
    readers[0].cancel()
    inbox.end(Ended)
    results = await asyncio.gather(*readers, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError, Ended]


async def test_the_end_comes_after_what_is_left_and_may_be_taken_back() -> None:
    inbox = Inbox(9)
    waiting = [asyncio.ensure_future(inbox.get()) for _ in range(2)]
    await asyncio.sleep(0)
    inbox.put(b"1")
    inbox.end(Ended)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert results[0] == b"1"
    assert isinstance(results[1], Ended)
    inbox.resume()
    inbox.put(b"2")
    assert await inbox.get() == b"2"
