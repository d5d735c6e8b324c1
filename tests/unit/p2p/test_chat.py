"""How two sides talk and part, over a link in memory that can lose and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from icepath.errors import Cause, ConnectionClosed, InvalidState
from icepath.p2p import chat
from icepath.p2p.chat import END, GONE, MAX_DATAGRAM, printable, talk


class Wire:
    """One end of a link."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.other: Wire | None = None
        self.sent: list[bytes] = []
        self.lose = 0
        self.failure: Exception | None = None

    async def send(self, data: bytes, /) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent.append(data)
        if self.lose > 0:
            self.lose -= 1
        elif self.other is not None:
            self.other.inbox.put_nowait(data)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            item = await self.inbox.get()
            if isinstance(item, Exception):
                raise item
            yield item


def wires() -> tuple[Wire, Wire]:
    left, right = Wire(), Wire()
    left.other, right.other = right, left
    return left, right


async def typed(*lines: bytes, then: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    for line in lines:
        yield line
    if then is not None:
        await then.wait()


async def test_both_end_once_both_have_ended() -> None:
    left, right = wires()
    heard: tuple[list[str], list[str]] = ([], [])
    async with asyncio.timeout(5):
        await asyncio.gather(
            talk(left, typed(b"hello", "grüße".encode()), heard[0].append, leaves=False),
            talk(right, typed(), heard[1].append, leaves=False),
        )
    assert heard == ([], ["hello", "grüße"])
    assert left.sent[-1] == right.sent[-1] == GONE


async def test_a_person_who_leaves_ends_both() -> None:
    left, right = wires()
    heard: list[str] = []
    async with asyncio.timeout(5):
        await asyncio.gather(
            talk(left, typed(b"bye"), heard.append, leaves=True),
            talk(right, typed(then=asyncio.Event()), heard.append, leaves=True),
        )
    assert heard == ["bye"]
    assert GONE not in right.sent


async def test_who_has_ended_still_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "REPEAT_INTERVAL", 0.01)
    left, right = wires()
    may_end = asyncio.Event()
    heard: list[str] = []
    async with asyncio.timeout(5):
        first = asyncio.create_task(talk(left, typed(), heard.append, leaves=False))
        second = asyncio.create_task(talk(right, typed(b"late", then=may_end), heard.append, leaves=False))
        while left.sent.count(END) < 3:
            await asyncio.sleep(0.01)
        assert not first.done()
        may_end.set()
        await asyncio.gather(first, second)
    assert heard == ["late"]


async def test_a_lost_farewell_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "REPEAT_INTERVAL", 0.01)
    left, right = wires()
    left.lose = 2
    async with asyncio.timeout(5):
        await asyncio.gather(
            talk(left, typed(), print, leaves=False),
            talk(right, typed(), print, leaves=False),
        )


async def test_a_lost_path_is_an_error() -> None:
    left, _ = wires()
    left.inbox.put_nowait(ConnectionClosed(Cause.CONSENT_EXPIRED))
    with pytest.raises(ConnectionClosed):
        await talk(left, typed(then=asyncio.Event()), print, leaves=False)


async def test_a_path_lost_while_parting_is_an_error() -> None:
    left, _ = wires()
    asyncio.get_running_loop().call_later(0.05, left.inbox.put_nowait, ConnectionClosed(Cause.CONSENT_EXPIRED))
    with pytest.raises(ConnectionClosed):
        await talk(left, typed(), print, leaves=False)


async def test_the_other_side_may_go_while_we_wait_for_its_end() -> None:
    left, _ = wires()
    asyncio.get_running_loop().call_later(0.05, left.inbox.put_nowait, GONE)
    async with asyncio.timeout(5):
        await talk(left, typed(), print, leaves=False)


async def test_a_link_closed_here_ends_the_talk() -> None:
    class Closed(Wire):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for payload in (b"last",):
                yield payload

    heard: list[str] = []
    await talk(Closed(), typed(then=asyncio.Event()), heard.append, leaves=False)
    assert heard == ["last"]


async def test_a_line_without_a_path_is_lost_not_fatal() -> None:
    left, _ = wires()
    left.failure = InvalidState("disconnected")
    async with asyncio.timeout(5):
        await talk(left, typed(b"x"), print, leaves=True)


async def test_long_lines_go_in_parts_and_empty_ones_too() -> None:
    left, _ = wires()
    await talk(left, typed(b"a" * (MAX_DATAGRAM + 1), b""), print, leaves=True)
    assert [len(payload) for payload in left.sent[:3]] == [MAX_DATAGRAM, 1, 0]


def test_no_control_character_reaches_the_terminal() -> None:
    assert printable("a\tb\x1b[31m\x07\u202eü".encode()) == "a\tb\ufffd[31m\ufffd\ufffdü"
    assert printable(b"\xff") == "\ufffd"
