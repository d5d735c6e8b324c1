"""`Connection` over TCP (RFC 6544), with real sockets on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from aio.echo_machine import LOOPS, LoopFactory, run
from icepath.aio.config import Config
from icepath.aio.connection import Connection
from icepath.aio.running import Running
from icepath.errors import Cause, ConnectionClosed
from icepath.ice.events import State
from icepath.machine import Transport
from icepath.net import Address
from icepath.wire.candidate_line import TcpType
from icepath.wire.fragment import Description


def only_ipv4_loopback(name: str, host: str) -> bool:
    return host == "127.0.0.1"


OVER_TCP = Config(loopback=True, interfaces=only_ipv4_loopback, tcp=True)


def without_udp(description: Description) -> Description:
    """Returns what a network that drops UDP leaves of it."""
    left = tuple(candidate for candidate in description.candidates if candidate.transport is Transport.TCP)
    return replace(description, candidates=left)


@asynccontextmanager
async def connected(config: Config = OVER_TCP, components: int = 1) -> AsyncIterator[tuple[Connection, Connection]]:
    async with (
        Connection(config=config, components=components) as alice,
        Connection(config=config, components=components) as bob,
        asyncio.timeout(10),
    ):
        offer, answer = await asyncio.gather(alice.gather(), bob.gather())
        alice.set_remote_description(without_udp(answer))
        bob.set_remote_description(without_udp(offer))
        await asyncio.gather(alice.connect(), bob.connect())
        while not alice.state is bob.state is State.COMPLETED:
            await asyncio.sleep(0.005)
        yield alice, bob


@pytest.mark.parametrize("loop_factory", LOOPS)
@pytest.mark.parametrize("config", [OVER_TCP, replace(OVER_TCP, mdns=True), replace(OVER_TCP, flows=False)])
def test_data_goes_both_ways_where_udp_does_not_pass(loop_factory: LoopFactory, config: Config) -> None:
    async def main() -> None:
        async with connected(config) as (alice, bob):
            for number in range(50):
                await alice.send(b"to bob %d" % number)
                await bob.send(b"to alice" * 100)
                assert await bob.receive() == b"to bob %d" % number
                assert await alice.receive() == b"to alice" * 100
            for link in (alice, bob):
                pair = link.selected_pair
                assert pair is not None
                assert str(pair).startswith("direct")
                assert "over TCP" in str(pair)
                assert {pair.local.tcp_type, pair.remote.tcp_type} == {TcpType.ACTIVE, TcpType.PASSIVE}

    run(main(), loop_factory)


async def test_each_component_has_a_connection() -> None:
    async with connected(components=2) as (alice, bob):
        for component in (1, 2):
            await alice.send(b"%d" % component, component=component)
            assert await bob.receive(component=component) == b"%d" % component


async def test_udp_is_preferred() -> None:
    async with Connection(config=OVER_TCP) as alice, Connection(config=OVER_TCP) as bob, asyncio.timeout(10):
        offer, answer = await asyncio.gather(alice.gather(), bob.gather())
        pairs = await asyncio.gather(alice.connect(answer), bob.connect(offer))
        assert {str(pair).split("  ")[0] for pair in pairs} == {"direct"}


async def test_the_other_sides_end_is_noticed_at_once() -> None:
    async with connected() as (alice, bob):
        await alice.close()
        with pytest.raises(ConnectionClosed) as raised:
            await bob.receive()
        assert raised.value.cause is Cause.CONNECTION_CLOSED


async def test_without_tcp_nothing_listens_and_relay_only_is_without() -> None:
    for link in (Connection(config=replace(OVER_TCP, tcp=False)), Connection(config=OVER_TCP, relay_only=True)):
        async with link:
            described = await link.gather()
            assert all(candidate.transport is Transport.UDP for candidate in described.candidates)


async def test_an_address_that_cannot_be_listened_on_has_udp(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, host: str, **options: object) -> Address:
        raise OSError("no TCP here")

    monkeypatch.setattr(Running, "open_tcp", refuse)
    async with Connection(config=OVER_TCP) as link:
        described = await link.gather()
        assert [candidate.transport for candidate in described.candidates] == [Transport.UDP]
