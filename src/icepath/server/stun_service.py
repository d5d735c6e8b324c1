"""A STUN server on this machine's addresses: one socket each, so that answers leave from where they were asked.

The answers are stun.responder's; here is what it listens on: "udp:3478", "udp:198.51.100.7:3478" or
"udp:[2001:db8::7]:3478".
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, final

from icepath.aio.driver import Driver
from icepath.aio.interfaces import usable_addresses
from icepath.aio.running import Running
from icepath.errors import InvalidArgument
from icepath.machine import DatagramDropped
from icepath.net import MAX_PORT, Address, parse_address
from icepath.server.port_owner import port_owner
from icepath.stun.responder import BindingResponder, ResponderConfig, ResponderEvent

DEFAULT_LISTEN: Final = ("udp:3478",)


@dataclass(frozen=True, slots=True)
class Listen:
    """Is what to listen on: one address, or every address when there is no host."""

    host: str | None
    port: int

    def __str__(self) -> str:
        return f"udp:{self.port}" if self.host is None else f"udp:{Address(self.host, self.port)}"


def parse_listen(text: str) -> Listen:
    """Parses "udp:PORT" or "udp:HOST:PORT".

    Raises: InvalidArgument.
    """
    transport, colon, rest = text.partition(":")
    if not colon or transport != "udp":
        raise InvalidArgument(f'"{text}": allowed are udp:PORT and udp:HOST:PORT')
    if rest.isascii() and rest.isdecimal():
        if int(rest) > MAX_PORT:
            raise InvalidArgument(f'"{text}": port {rest} is above {MAX_PORT}')
        return Listen(None, int(rest))
    return Listen(*parse_address(rest))


class PortTaken(OSError):
    """Reports that a port is in use, by whom, and what to do."""


@final
class StunService:
    """Runs one Binding responder on any number of sockets; needs a running event loop."""

    def __init__(self) -> None:
        self.dropped = 0
        """Datagrams that were no Binding request."""
        self._running: Running[ResponderEvent] = Driver.current().run(
            BindingResponder(ResponderConfig()), self._on_event
        )

    def listen(self, wanted: Iterable[Listen]) -> list[Address]:
        """Opens the sockets and returns their addresses.

        Raises: PortTaken, or OSError as the system gives it.
        """
        opened: list[Address] = []
        for listen in wanted:
            hosts = [(listen.host, 0)]
            if listen.host is None:
                hosts = [(found.host, found.scope_id) for found in usable_addresses(loopback=True)]
            opened += [self._open(listen, host or "", scope_id) for host, scope_id in hosts]
        return opened

    async def close(self) -> None:
        """Closes the sockets."""
        self._running.close()
        await self._running.wait_closed()

    def _open(self, listen: Listen, host: str, scope_id: int) -> Address:
        try:
            return self._running.open_udp(host, port=listen.port, scope_id=scope_id)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise OSError(error.errno, f"udp {Address(host, listen.port)}: {error.strerror}") from None
            by = port_owner(listen.port)
            other = f"udp:{listen.port + 1 if listen.port < MAX_PORT else 3478}"
            raise PortTaken(
                f"udp {Address(host, listen.port)} is in use{'' if by is None else f' by {by}'}. "
                f"Stop it, or: icepath serve --listen {other}"
            ) from None

    def _on_event(self, event: ResponderEvent) -> None:
        if isinstance(event, DatagramDropped):
            self.dropped += event.count
