"""The STUN server on real sockets, asked by a bare socket."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from icepath.errors import DecodeError, InvalidArgument
from icepath.net import Address
from icepath.server import stun_service
from icepath.server.port_owner import Owner
from icepath.server.stun_service import Listen, PortTaken, StunService, parse_listen
from icepath.wire.attributes import XorMappedAddress
from icepath.wire.message import MessageClass, Method, TransactionId, decode_message, encode_message

REQUEST = encode_message(Method.BINDING, MessageClass.REQUEST, TransactionId(b"123456789012"))


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("udp:3478", Listen(None, 3478)),
        ("udp:198.51.100.7:3478", Listen("198.51.100.7", 3478)),
        ("udp:[2001:db8::7]:3478", Listen("2001:db8::7", 3478)),
    ],
)
def test_where_to_listen(text: str, listen: Listen) -> None:
    assert parse_listen(text) == listen
    assert str(listen) == text


@pytest.mark.parametrize("text", ["", "3478", "tcp:3478", "udp:", "udp:65536", "udp:name:3478", "udp:1.2.3.4:70000"])
def test_where_one_cannot_listen(text: str) -> None:
    with pytest.raises((InvalidArgument, DecodeError)):
        parse_listen(text)


async def test_it_answers_on_every_address() -> None:
    service = StunService()
    addresses = service.listen([Listen(None, 0)])
    assert any(address.host == "127.0.0.1" for address in addresses)
    for address in addresses:
        mapped, asked_from = await ask(address, REQUEST)
        assert mapped == asked_from
    await service.close()


async def test_what_is_no_request_is_counted() -> None:
    service = StunService()
    (address,) = service.listen([Listen("127.0.0.1", 0)])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"junk", address)
    async with asyncio.timeout(5):
        while not service.dropped:
            await asyncio.sleep(0.01)
    await service.close()


async def test_a_taken_port_says_by_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        service = StunService()
        for owner, text in ((Owner("turnserver", 812), " by turnserver (pid 812)"), (None, "")):
            monkeypatch.setattr(stun_service, "port_owner", lambda _port, owner=owner: owner)
            with pytest.raises(PortTaken) as failure:
                service.listen([Listen("127.0.0.1", port)])
            expected = f"udp 127.0.0.1:{port} is in use{text}. Stop it, or: icepath serve --listen udp:{port + 1}"
            assert str(failure.value) == expected
        await service.close()


async def test_an_address_of_another_computer_is_an_os_error() -> None:
    service = StunService()
    with pytest.raises(OSError, match=r"udp 192\.0\.2\.77:0: ") as failure:
        service.listen([Listen("192.0.2.77", 0)])
    assert failure.value.errno == errno.EADDRNOTAVAIL
    await service.close()


async def ask(server: Address, request: bytes) -> tuple[Address, Address]:
    """Asks from a socket of the same host; returns what the server saw, and what is true."""
    family = socket.AF_INET6 if server.is_ipv6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((server.host, 0))
        loop = asyncio.get_running_loop()
        await loop.sock_sendto(sock, request, server)
        async with asyncio.timeout(5):
            answer = decode_message(await loop.sock_recv(sock, 2048))
        mapped = answer.get(XorMappedAddress)
        assert mapped is not None
        return mapped.address, Address(*sock.getsockname()[:2])
