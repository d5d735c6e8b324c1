"""Many connections on one port, over loopback: whose a packet is, and what is left when one goes."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from aio.echo_machine import LOOPS, LoopFactory, run
from icepath.aio.config import Config
from icepath.aio.connection import Connection
from icepath.aio.endpoint import Endpoint
from icepath.aio.events import StateChanged
from icepath.aio.udp import UdpOptions
from icepath.errors import ConnectionClosed, InvalidArgument, InvalidState
from icepath.ice.events import State
from icepath.machine import DropReason

HOST = "127.0.0.1"


def only_ipv4_loopback(name: str, host: str) -> bool:
    return host == HOST


LOCAL = Config(loopback=True, interfaces=only_ipv4_loopback)
NO_FLOWS = Config(loopback=True, interfaces=only_ipv4_loopback, flows=False)
BY_TASK = Config(loopback=True, interfaces=only_ipv4_loopback, udp=UdpOptions(reader="task"))

WAYS = [
    pytest.param(LOOPS[0], LOCAL, id="asyncio"),
    pytest.param(LOOPS[1], LOCAL, id="uvloop"),
    pytest.param(LOOPS[0], BY_TASK, id="no add_reader"),
    pytest.param(LOOPS[0], NO_FLOWS, id="no flows"),
]


async def connect(alice: Connection, bob: Connection) -> None:
    async with asyncio.timeout(15):
        offer, answer = await asyncio.gather(alice.gather(), bob.gather())
        await asyncio.gather(alice.connect(answer), bob.connect(offer))


async def settled(*links: Connection) -> None:
    for link in links:
        await until(link, State.COMPLETED)


async def until(link: Connection, state: State) -> None:
    async with asyncio.timeout(15):
        async for event in link.events():
            if isinstance(event, StateChanged) and event.state is state and link.state is state:
                return


async def talk(alice: Connection, bob: Connection, text: bytes) -> None:
    """Says something both ways; it must be this and nothing else."""
    async with asyncio.timeout(10):
        for number in range(5):
            await alice.send(b"\x80to bob %d " % number + text)
            await bob.send(b"\x80to alice %d " % number + text)
        for number in range(5):
            assert await bob.receive() == b"\x80to bob %d " % number + text
            assert await alice.receive() == b"\x80to alice %d " % number + text


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def guests(endpoint: Endpoint, count: int, config: Config = LOCAL) -> AsyncIterator[list[Connection]]:
    """Yields started connections at an endpoint."""
    links = [Connection(endpoint=endpoint, config=config) for _ in range(count)]
    try:
        for link in links:
            await link.gather()
        yield links
    finally:
        await asyncio.gather(*(link.close() for link in links))


# -- sharing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loop_factory", "config"), WAYS)
def test_fifty_connections_share_one_port(loop_factory: LoopFactory, config: Config) -> None:
    async def main() -> None:
        async with Endpoint(host=HOST, config=config) as endpoint:
            servers = [Connection(endpoint=endpoint, config=config) for _ in range(50)]
            clients = [Connection(config=config) for _ in range(50)]
            await asyncio.gather(*map(connect, servers, clients))
            await asyncio.gather(*map(talk, servers, clients, (b"%d" % number for number in range(50))))
            assert endpoint.connections == 50
            assert len(endpoint.addresses) == 1
            for link in servers:
                pair = link.selected_pair
                assert pair is not None
                assert pair.local.address == endpoint.addresses[0]
            assert endpoint.dropped == {}
            await asyncio.gather(*(link.close() for link in clients + servers))
            assert endpoint.connections == len(endpoint.router) == 0

    run(main(), loop_factory)


@pytest.mark.parametrize(("loop_factory", "config"), WAYS)
def test_connections_of_one_endpoint_talk_to_each_other(loop_factory: LoopFactory, config: Config) -> None:
    async def main() -> None:
        async with Endpoint(host=HOST, config=config) as endpoint, guests(endpoint, 4, config) as links:
            alice, bob, carol, dave = links
            await asyncio.gather(connect(alice, bob), connect(carol, dave))
            await settled(*links)
            await asyncio.gather(talk(alice, bob, b"one"), talk(carol, dave, b"two"))
            assert endpoint.dropped == {}

    run(main(), loop_factory)
