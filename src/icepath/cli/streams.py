"""Standard input as an asynchronous iterator of lines, whatever it is: a pipe, a terminal, a file, or closed;
and standard output whose reader has gone away.

A thread reads with `os.read`: a terminal shared with standard output must not be made non-blocking, and files
and /dev/null cannot be polled. The thread is a daemon; one that waits for input for ever does not hold the
process up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator
from typing import Final

CHUNK: Final = 65536
MAX_CHUNKS_WAITING: Final = 16
# A line longer than this is cut: no token, candidate or chat line comes near it.
MAX_LINE: Final = 1 << 20


async def lines() -> AsyncIterator[bytes]:
    """Yields every line without its end; the last one too if it has none."""
    rest = b""
    async for chunk in chunks():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r")
        if len(rest) > MAX_LINE:
            yield rest
            rest = b""
    if rest:
        yield rest


async def chunks() -> AsyncIterator[bytes]:
    """Yields what comes, as it comes, until the end."""
    descriptor = _descriptor()
    if descriptor is None:
        return
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    room = threading.Semaphore(MAX_CHUNKS_WAITING)

    def read() -> None:
        # The loop may be closed already: nobody reads any more.
        with contextlib.suppress(RuntimeError):
            while True:
                room.acquire()
                chunk = _read(descriptor)
                loop.call_soon_threadsafe(queue.put_nowait, chunk)
                if not chunk:
                    return

    threading.Thread(target=read, name="icepath standard input", daemon=True).start()
    while chunk := await queue.get():
        room.release()
        yield chunk


def _descriptor() -> int | None:
    """Returns standard input's descriptor; None when it is closed."""
    try:
        return None if sys.stdin is None else sys.stdin.fileno()  # pyright: ignore[reportUnnecessaryComparison] - None when closed at start
    except (OSError, ValueError):
        return None


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, CHUNK)
    except OSError:
        # A terminal that went away, or a directory as standard input: nothing will come.
        return b""


def discard_stdout() -> None:
    """Sends standard output nowhere: its reader is gone, and Python's own flush at exit must not fail over it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
