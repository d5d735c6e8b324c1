"""What the commands for people share: servers, credentials, addresses, as asked for on the command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import final

from icepath.aio.config import Config
from icepath.aio.servers import IceServer
from icepath.cli.servers import chosen_servers
from icepath.ice.config import Server
from icepath.net import Seconds


def _can_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()  # pyright: ignore[reportUnnecessaryComparison] - None when closed


@final
class Asked:
    """Is what a command was told on its line about servers and addresses."""

    def __init__(self, flags: Sequence[str] | None, username: str | None, *, relay_only: bool, loopback: bool) -> None:
        self.relay_only = relay_only
        self.loopback = loopback
        self._flags = flags or ()
        self._username = username

    def servers(self) -> tuple[Server, ...]:
        """Returns the servers to ask; may prompt for a password.

        Raises: InvalidArgument, DecodeError.
        """
        import getpass

        return chosen_servers(self._flags, self._username, prompt=getpass.getpass if _can_ask() else None)

    @staticmethod
    def ice_servers(servers: Sequence[Server]) -> list[IceServer]:
        """Returns them as a connection takes them."""
        return [
            IceServer(str(server.uri), server.username, None if server.password is None else server.password.reveal())
            for server in servers
        ]

    def config(self, patience: Seconds | None = None) -> Config:
        """Returns a connection's settings."""
        config = Config(loopback=self.loopback)
        return config if patience is None else replace(config, patience=patience)
