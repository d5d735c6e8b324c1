"""The paths of one allocation that are open: sockets it sends from, byte streams and associations by their handles.

A part of `Ways` and `Mobility`, which decide what a path is good for. Here is which of them something came along, and
that each connection is closed once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias, final

from icepath.machine import Close, DropReason, Handle
from icepath.net import Address
from icepath.outbox import Outbox
from icepath.turn.client.events import AllocationEvent
from icepath.turn.client.routes import Path, Route, connect_command

NextHandle: TypeAlias = Callable[[], Handle]
"""Gives out the next handle of the machine that commands are dispatched for."""


@final
class Paths:
    """Keeps the open paths."""

    __slots__ = ("_datagrams", "_next_handle", "_outbox", "_streams")

    def __init__(self, outbox: Outbox[AllocationEvent], next_handle: NextHandle) -> None:
        self._outbox: Final = outbox
        self._next_handle: Final = next_handle
        self._datagrams: list[Path] = []
        self._streams: dict[Handle, Path] = {}

    def of_datagram(self, local: Address, remote: Address) -> Path | DropReason:
        """Returns along which path a datagram came, or why it is none of ours."""
        is_local = False
        for path in self._datagrams:
            if path.is_of(local, remote):
                return path
            is_local = is_local or path.local == local
        return DropReason.WRONG_ADDRESS if is_local else DropReason.UNKNOWN_LOCAL_ADDRESS

    def of_stream(self, handle: Handle) -> Path | None:
        """Returns the path of a byte stream or association, or None."""
        return self._streams.get(handle)

    def add(self, path: Path) -> Path:
        """Takes in a socket's path, and returns it."""
        self._datagrams.append(path)
        return path

    def connect(self, route: Route, source: Address | None, local: Address) -> Path:
        """Opens a connection from `source` (None: the driver's choice); its path has `local` until it is open."""
        handle = self._next_handle()
        path = self._streams[handle] = Path(route, source or Address(local.host, 0), handle)
        self._outbox.put(connect_command(handle, route, source))
        return path

    def forget(self, path: Path) -> bool:
        """Notes that a connection is no more; says whether there was one."""
        was_open = path.handle is not None and self._streams.pop(path.handle, None) is not None
        path.is_closed = path.is_closed or was_open
        return was_open

    def close(self, path: Path | None, *, abort: bool) -> None:
        """Closes a path's connection, if it has one."""
        if path is not None and path.handle is not None and self.forget(path):
            self._outbox.put(Close(path.handle, abort))

    def drop(self, path: Path) -> None:
        """Gives a path up: nothing that comes along it is heard any more."""
        self.close(path, abort=True)
        self._datagrams = [each for each in self._datagrams if each is not path]

    def keep_datagrams(self, kept: tuple[Path, ...]) -> None:
        """Hears of the sockets' paths only those."""
        self._datagrams = [each for each in self._datagrams if each in kept]

    def close_all(self, *, keep: Path | None) -> None:
        """Closes all connections but one."""
        for path in list(self._streams.values()):
            if path is not keep:
                self.close(path, abort=False)
