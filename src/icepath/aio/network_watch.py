"""Noticing that this computer's addresses changed: one watch per event loop, shared by all connections.

Linux tells by netlink (rtnetlink(7): links and addresses of both families); what it says is not read, only that it
said something: the addresses are asked for again as at the start. Elsewhere they are compared every 3 s. Changes come
in bursts (an interface, its addresses, their flags), so whoever listens is told once, 0.2 s after the first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
import weakref
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias, final

from icepath.aio.interfaces import system
from icepath.net import Seconds

logger: Final = logging.getLogger("icepath")

DEBOUNCE: Final[Seconds] = 0.2
POLL_INTERVAL: Final[Seconds] = 3.0

# linux/rtnetlink.h: RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR.
GROUPS: Final = 0x1 | 0x10 | 0x100
# One message is some hundred bytes; what does not fit is not missed, as none is looked at.
READ_SIZE: Final = 65_536

OnChange: TypeAlias = Callable[[], object]


class Source(Protocol):
    """Tells that something may have changed."""

    def start(self, on_change: OnChange) -> None:
        """Begins to listen; Raises: OSError when the system has no such thing."""

    def stop(self) -> None:
        """Ends; any number of times."""


@final
class Netlink:
    """Listens to the kernel of Linux."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._on_change: OnChange | None = None

    def start(self, on_change: OnChange) -> None:
        """Joins the groups; Raises: OSError where there is no netlink, or none is allowed."""
        family = getattr(socket, "AF_NETLINK", None)
        if family is None:
            raise OSError("no netlink here")
        sock = socket.socket(family, socket.SOCK_RAW)
        try:
            sock.setblocking(False)
            sock.bind((0, GROUPS))
            asyncio.get_running_loop().add_reader(sock, self._read)
        except BaseException:
            sock.close()
            raise
        self._socket, self._on_change = sock, on_change

    def stop(self) -> None:
        """Leaves them."""
        sock, self._socket = self._socket, None
        if sock is not None:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()

    def _read(self) -> None:
        assert self._socket is not None
        assert self._on_change is not None
        # ENOBUFS says that messages were lost, which is a change too; EAGAIN that there are no more.
        with contextlib.suppress(OSError):
            while self._socket.recv(READ_SIZE):
                pass
        self._on_change()


@final
class Polling:
    """Compares the addresses every few seconds."""

    def __init__(self, interval: Seconds = POLL_INTERVAL) -> None:
        self._interval = interval
        self._timer: asyncio.TimerHandle | None = None
        self._known: object = None

    def start(self, on_change: OnChange) -> None:
        """Begins with what there is now."""
        self._known = _addresses()
        self._arm(on_change)

    def stop(self) -> None:
        """Ends; any number of times."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, on_change: OnChange) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._look, on_change)

    def _look(self, on_change: OnChange) -> None:
        self._arm(on_change)
        found = _addresses()
        if found != self._known:
            self._known = found
            on_change()


def _addresses() -> object:
    return system.view(time.monotonic()).addresses


@final
class NetworkWatch:
    """Tells every listener that the addresses may have changed."""

    def __init__(self, sources: tuple[Callable[[], Source], ...] = (Netlink, Polling)) -> None:
        self._sources = sources
        self._source: Source | None = None
        self._listeners: dict[int, OnChange] = {}
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    @staticmethod
    def current() -> NetworkWatch:
        """Returns the running event loop's, made at the first call."""
        loop = asyncio.get_running_loop()
        watch = _watches.get(loop)
        if watch is None:
            watch = _watches[loop] = NetworkWatch()
        return watch

    @property
    def is_running(self) -> bool:
        """Says whether anybody listens."""
        return self._source is not None

    def subscribe(self, on_change: OnChange) -> int:
        """Tells `on_change` of changes from now on; returns what ends it."""
        self._count += 1
        self._listeners[self._count] = on_change
        if self._source is None:
            self._source = self._begin()
        return self._count

    def unsubscribe(self, subscription: int) -> None:
        """Ends a subscription, and the watch with the last; any number of times."""
        self._listeners.pop(subscription, None)
        if self._listeners:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        source, self._source = self._source, None
        if source is not None:
            source.stop()

    def _begin(self) -> Source | None:
        for make in self._sources:
            source = make()
            try:
                source.start(self._on_change)
            except OSError as error:
                logger.debug("addresses are not watched by %s: %s", type(source).__name__, error)
            else:
                return source
        return None

    def _on_change(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DEBOUNCE, self._tell)

    def _tell(self) -> None:
        self._timer = None
        for on_change in list(self._listeners.values()):
            try:
                on_change()
            except Exception:  # one connection's trouble is not another's
                logger.exception("a change of addresses could not be taken in")


# A loop's watch lives as long as the loop.
_watches: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, NetworkWatch] = weakref.WeakKeyDictionary()
