"""A TURN and STUN server on loopback, for tests of connections."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from icepath.aio.driver import Driver
from icepath.aio.running import Running
from icepath.aio.sockets import open_socket
from icepath.entropy import Secret
from icepath.net import Address
from icepath.stun.authenticator import Authenticator, AuthenticatorConfig, User
from icepath.turn.server.config import TurnServerConfig, TurnServerEvent
from icepath.turn.server.server import TurnServer

REALM = "example.org"
USERNAME = "demo"
PASSWORD = "swordfish"


@asynccontextmanager
async def turn_server() -> AsyncIterator[Address]:
    """Runs a server until the end of the block; yields where it listens."""
    address = free_address()
    authenticator = Authenticator(AuthenticatorConfig(REALM, Secret("makes nonces in tests")), find_user)
    config = TurnServerConfig(listen=(address,), relay_hosts=(address.host,), authenticator=authenticator)
    server = TurnServer(config, random_bytes=secrets.token_bytes, now=Driver.now())
    running: Running[TurnServerEvent] = Driver.current().run(server, lambda event: None)
    running.open_udp(address.host, port=address.port)
    try:
        yield address
    finally:
        running.close()
        await running.wait_closed()


def free_address() -> Address:
    """Returns a loopback address that nobody uses now."""
    with open_socket(Address("127.0.0.1", 0)) as sock:
        return Address(*sock.getsockname())


def find_user(name: str | bytes) -> User | None:
    """Knows one user."""
    return User(USERNAME, Secret(PASSWORD)) if name == USERNAME else None
