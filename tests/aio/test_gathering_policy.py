"""What a connection tells of this computer: address rewriting, ways of handling addresses, families."""

from __future__ import annotations

import asyncio

import pytest

from aio.turn_server import PASSWORD, USERNAME, turn_server
from icepath.aio.config import Config
from icepath.aio.connection import Connection
from icepath.aio.endpoint import Endpoint
from icepath.aio.interfaces import usable_addresses
from icepath.aio.ip_handling import FAMILIES, Family, admitted, default_source
from icepath.aio.servers import IceServer
from icepath.aio.sockets import open_socket
from icepath.ice.rewriting import RewriteMode, RewriteRule
from icepath.net import Address
from icepath.wire.candidate_line import CandidateType
from icepath.wire.message import Method, decode_message


def only_ipv4_loopback(name: str, host: str) -> bool:
    return host == "127.0.0.1"


async def test_a_connection_tells_the_address_that_it_is_reached_at() -> None:
    rule = RewriteRule("127.0.0.0/8", "203.0.113.10", RewriteMode.REPLACE)
    async with Connection(config=Config(loopback=True, interfaces=only_ipv4_loopback, rewrite=(rule,))) as link:
        (told,) = (await link.gather()).candidates
    assert (told.type, told.host) == (CandidateType.HOST, "203.0.113.10")


@pytest.mark.rfc("8828", "5.2")
async def test_mode_2_tells_the_address_of_the_default_route() -> None:
    async with Connection(config=Config(ip_handling="default-route")) as link:
        told = (await link.gather()).candidates
    sources = {default_source(family) for family in FAMILIES}
    assert {candidate.host for candidate in told} <= sources


@pytest.mark.rfc("8828", "5.2")
async def test_mode_3_tells_only_what_servers_see_and_connects() -> None:
    async with turn_server() as server:
        config = Config(loopback=True, interfaces=only_ipv4_loopback, ip_handling="default-route-public-only")
        async with (
            Connection([f"stun:{server}"], config=config) as alice,
            Connection(config=Config(loopback=True, interfaces=only_ipv4_loopback)) as bob,
        ):
            offer, answer = await asyncio.gather(alice.gather(), bob.gather())
            assert [(each.type, each.host) for each in offer.candidates] == [("srflx", "127.0.0.1")]
            assert offer.candidates[0].related_address == ("0.0.0.0", 9)
            await asyncio.gather(alice.connect(answer), bob.connect(offer))


@pytest.mark.rfc("8828", "5.2")
async def test_mode_4_asks_over_tcp_and_sends_nothing_by_udp() -> None:
    asked: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set_result(await reader.read(1000))
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    config = Config(loopback=True, interfaces=only_ipv4_loopback, ip_handling="proxy-only")
    urls = [f"turn:{host}:{port}?transport=udp", f"turn:{host}:{port}?transport=tcp", f"stun:{host}:{port}"]
    with open_socket(Address(host, port)) as silent:
        async with listener, Connection([IceServer(urls, USERNAME, PASSWORD)], config=config) as link:
            request = decode_message(await asyncio.wait_for(asked, 5.0))
            assert (await link.gather()).candidates == ()
        with pytest.raises(BlockingIOError):
            silent.recv(1000)
    assert request.method == Method.ALLOCATE


@pytest.mark.parametrize(("family", "told"), [("ipv4", ["127.0.0.1"]), ("ipv6", [])])
async def test_at_an_endpoint_too_a_family_may_be_left_out(family: Family, told: list[str]) -> None:
    config = Config(families=(family,))
    async with Endpoint(host="127.0.0.1") as endpoint, Connection(config=config, endpoint=endpoint) as link:
        assert [each.host for each in (await link.gather()).candidates] == told
    if admitted(usable_addresses(), families=(family,)):
        async with Endpoint(config=config) as endpoint:
            assert {address.is_ipv6 for address in endpoint.addresses} == {family == "ipv6"}
