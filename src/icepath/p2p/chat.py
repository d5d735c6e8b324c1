"""Lines of text over a connection, one datagram each; and how the two sides part.

    0x04          "no more lines from here": the other side may go on
    0x04 0x04     "gone"

Datagrams may be lost: so may a line, and so may a farewell, which is why a farewell is repeated; one that
never arrives is made up for by consent, which ends 30 s after the other side is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final, Literal, Protocol

from icepath.errors import ConnectionFailure, InvalidState
from icepath.net import Seconds

END: Final = b"\x04"
GONE: Final = b"\x04\x04"
REPEAT_INTERVAL: Final[Seconds] = 0.5
FAREWELLS: Final = 3
# Fits every path that IPv6 allows (1,280) and a relay's header; a longer line is sent in parts.
MAX_DATAGRAM: Final = 1_200


class Link(Protocol):
    """Is what of a `Connection` is needed."""

    async def send(self, data: bytes, /) -> None:
        """Sends one datagram."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...


async def talk(link: Link, lines: AsyncIterator[bytes], show: Callable[[str], None], *, leaves: bool) -> bool:
    """Sends our lines and shows the other side's until both have ended; with `leaves`, the end of ours is enough.

    Returns whether the other side left first.

    Raises: ConnectionClosed when the path is lost before the other side said that it is gone.
    """
    has_ended = asyncio.Event()
    sending = asyncio.create_task(_send_all(link, lines))
    receiving = asyncio.create_task(_show_all(link, show, has_ended))
    tasks = (sending, receiving)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if receiving.done():
            receiving.result()
            return True
        sending.result()
        if not leaves:
            await _end(link, receiving, has_ended)
        await _part(link)
        return False
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send_all(link: Link, lines: AsyncIterator[bytes]) -> None:
    async for line in lines:
        for start in range(0, len(line) or 1, MAX_DATAGRAM):
            await _send(link, line[start : start + MAX_DATAGRAM])


async def _show_all(link: Link, show: Callable[[str], None], has_ended: asyncio.Event) -> None:
    """Shows lines until the other side is gone."""
    async for payload in link:
        if payload == GONE:
            return
        if payload == END:
            has_ended.set()
        else:
            show(printable(payload))


async def _end(link: Link, receiving: asyncio.Task[None], has_ended: asyncio.Event) -> None:
    """Says that nothing more comes, until the other side has ended too."""
    ended = asyncio.create_task(has_ended.wait())
    waited: set[asyncio.Task[None] | asyncio.Task[Literal[True]]] = {receiving, ended}
    try:
        while not (receiving.done() or ended.done()):
            await _send(link, END)
            await asyncio.wait(waited, timeout=REPEAT_INTERVAL, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended.cancel()
    if receiving.done():
        receiving.result()
        return
    # Ours may have been lost before theirs came.
    await _send(link, END)


async def _part(link: Link) -> None:
    with contextlib.suppress(ConnectionFailure):
        for _ in range(FAREWELLS):
            await _send(link, GONE)


async def _send(link: Link, payload: bytes) -> None:
    """Sends, or loses the datagram while there is no path for it: consent decides when that is final."""
    with contextlib.suppress(InvalidState):
        await link.send(payload)


def printable(payload: bytes) -> str:
    """Returns a line fit for a terminal: no control character of the other side's reaches it."""
    text = payload.decode("utf-8", "replace")
    return "".join(char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in text)
