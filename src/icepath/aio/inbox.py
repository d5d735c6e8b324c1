"""The queue between the socket and an application's `receive`: bounded, and cancelling loses nothing.

When it is full the newest datagram is dropped and counted: the kernel cannot be asked to wait, and what
came first is the older news the application is already working on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import final


@final
class Inbox:
    """Keeps one component's datagrams until the application takes them."""

    __slots__ = ("_end", "_limit", "_waiters", "dropped", "items")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Made for the first datagram: an empty deque takes 760 bytes in each idle agent.
        self.items: deque[bytes] | None = None
        self.dropped = 0
        """Datagrams that found the queue full."""
        self._waiters: list[asyncio.Future[None]] = []
        self._end: Callable[[], Exception] | None = None

    def put(self, payload: bytes) -> None:
        """Takes a datagram from the network."""
        items = self.items
        if items is None:
            items = self.items = deque()
        if len(items) >= self._limit:
            self.dropped += 1
            return
        items.append(payload)
        if self._waiters:
            self._wake_one()

    async def get(self) -> bytes:
        """Returns the oldest datagram; waits for one.

        Raises: what the end is, when nothing is left and nothing will come.
        """
        while not self.items:
            if self._end is not None:
                raise self._end()
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                elif self.items:
                    # Woken and cancelled at once: the next one in line takes what this one was woken for.
                    self._wake_one()
                raise
        return self.items.popleft()

    def end(self, reason: Callable[[], Exception]) -> None:
        """Says that nothing more will come; readers get what is left, then the reason."""
        self._end = reason
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def resume(self) -> None:
        """Takes `end` back: after a restart datagrams may come again."""
        self._end = None

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.pop(0)
            if not waiter.done():
                waiter.set_result(None)
                return
