"""`negotiate`: both sides' descriptions and candidates over any channel that carries texts.

Sent are RFC 8840 fragments: each the whole of what is known so far, in an order that never changes, so that
losing or repeating one does no harm (RFC 8840 §4.4). Accepted are fragments, whole SDPs, tokens, and bare
candidate lines. The other side may come late: when its first text arrives, ours is sent once more. Two
tasks run, one that sends and one that reads; they go on after the connection stands, until it is closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Final, Protocol, final

from icepath.aio.session import Session
from icepath.errors import Cause, ConnectFailed, DecodeError, IcepathError
from icepath.ice.config import Role
from icepath.wire.fragment import Description, Trickle, parse_trickle

logger: Final = logging.getLogger("icepath")


class Send(Protocol):
    """Sends one text to the other side."""

    def __call__(self, text: str, /) -> Awaitable[object]: ...


@final
class Negotiation:
    """Is one exchange over one channel."""

    def __init__(self, session: Session, send: Send, receive: AsyncIterable[str | bytes]) -> None:
        self.ignored = 0
        """Texts that were not understood, or were echoes or repetitions."""
        self._session = session
        self._send = send
        self._receive = receive
        self._changed = asyncio.Event()
        self._changed.set()
        self._sent: str | None = None
        self._heard = False
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        # Is done when the channel has failed before both descriptions were exchanged.
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Begins to send and to read."""
        self._tasks = (
            asyncio.create_task(self._guarded(self._send_all), name="icepath negotiate: send"),
            asyncio.create_task(self._guarded(self._read_all), name="icepath negotiate: receive"),
        )

    @property
    def is_open(self) -> bool:
        """Says whether the channel still carries texts both ways, as far as one can know."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    def changed(self) -> None:
        """Tells that the local description may have changed."""
        self._changed.set()

    async def stop(self) -> None:
        """Ends both tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self.failed.done():
            self.failed.cancel()
        elif not self.failed.cancelled():
            self.failed.exception()  # seen: nobody may be waiting for it any more

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Runs one direction; the channel's end matters only while the other side is not known."""
        try:
            await work()
        except Exception as error:
            logger.debug("the signalling channel failed: %r", error)
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self._session.remote_ufrag is None and not self.failed.done():
            self.failed.set_exception(error)

    async def _send_all(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            text = str(self._session.local_description())
            if text != self._sent:
                self._sent = text
                await self._send(text)

    async def _read_all(self) -> None:
        async for text in self._receive:
            self._take(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)
        if self._session.remote_ufrag is None:
            self._fail(ConnectFailed(Cause.SIGNALLING_ENDED))
        else:
            self._session.end_of_candidates()

    def _take(self, text: str) -> None:
        try:
            understood = self._take_parsed(_parsed(text))
        except IcepathError as error:
            logger.debug("a text from the signalling channel was ignored: %s", error)
            understood = False
        self.ignored += not understood
        if understood and not self._heard:
            # The room may have been empty when ours was sent.
            self._heard = True
            self._sent = None
        if understood:
            self._changed.set()

    def _take_parsed(self, found: Description | Trickle) -> bool:
        session = self._session
        if isinstance(found, Trickle):
            for candidate in found.candidates:
                session.add_candidate(candidate)
            if found.end_of_candidates:
                session.end_of_candidates()
            return True
        ours = session.local_description().ufrag
        if session.chosen_role is None and found.ufrag != ours:
            # Both sides hand out at once: the lexically greater ufrag decides, the same way on both.
            session.choose_role(Role.CONTROLLING if ours > found.ufrag else Role.CONTROLLED)
        return session.take_description(found)


def _parsed(text: str) -> Description | Trickle:
    try:
        return Description.parse(text)
    except DecodeError:
        return parse_trickle(text)
