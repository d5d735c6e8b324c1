"""icepath.sim.tls: two sides that talk, names, trust, protocols."""

from __future__ import annotations

import pytest

from icepath.machine import FailReason
from icepath.sim.tls import (
    FINISHED,
    HELLO_SIZE,
    SERVER_FLIGHT_SIZE,
    Handshake,
    TlsClient,
    TlsServer,
    client_hello,
    decode,
    encode,
)

SERVER = TlsServer(("turn.example.org", "*.example.net", "11.0.0.1"), alpn=("stun.turn", "h2"))
CLIENT = TlsClient("turn.example.org")


def _talk(client: TlsClient, server: TlsServer = SERVER, *, step: int = 100_000) -> tuple[Handshake, Handshake, int]:
    """Returns both sides after their talk, and how many flights there were; bytes come `step` at a time."""
    sides = (Handshake(client), Handshake(server))
    flights = 0
    while payload := sides[flights % 2].take_output():
        flights += 1
        for start in range(0, len(payload), step):
            sides[flights % 2].feed(payload[start : start + step])
    return *sides, flights


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_the_client_is_done_after_one_round_trip(step: int) -> None:
    client, server, flights = _talk(CLIENT, step=step)
    assert flights == 3
    assert client.is_done
    assert server.is_done
    assert (client.failure, server.failure, client.alpn, server.alpn) == (None, None, None, None)


def test_what_follows_the_handshake_is_kept() -> None:
    client, server = Handshake(CLIENT), Handshake(SERVER)
    server.feed(client.take_output())
    client.feed(server.take_output() + b"early")
    server.feed(client.take_output() + b"hello")
    assert (client.take_rest(), server.take_rest(), server.take_rest()) == (b"early", b"hello", b"")


def test_flights_have_their_usual_sizes() -> None:
    client, server = Handshake(CLIENT), Handshake(SERVER)
    hello = client.take_output()
    server.feed(hello)
    assert (len(hello), len(server.take_output())) == (HELLO_SIZE, SERVER_FLIGHT_SIZE)


@pytest.mark.parametrize(
    ("client", "fails"),
    [
        (TlsClient("turn.example.org"), False),
        (TlsClient("a.example.net"), False),
        (TlsClient("a.b.example.net"), True),
        (TlsClient("example.net"), True),
        (TlsClient("11.0.0.1"), False),
        (TlsClient("11.0.0.2"), True),
        (TlsClient("11.0.0.2", verify=False), False),
    ],
)
def test_the_certificate_must_have_the_name(client: TlsClient, fails: bool) -> None:
    asking, answering, flights = _talk(client)
    assert asking.failure is (FailReason.TLS_CERTIFICATE if fails else None)
    assert answering.failure is (FailReason.TLS_HANDSHAKE if fails else None)
    assert flights == 3


@pytest.mark.parametrize("verify", [False, True])
def test_the_certificate_must_be_trusted(verify: bool) -> None:
    untrusted = TlsServer(("turn.example.org",), is_trusted=False)
    client, _, _ = _talk(TlsClient("turn.example.org", verify=verify), untrusted)
    assert client.failure is (FailReason.TLS_CERTIFICATE if verify else None)


@pytest.mark.parametrize(
    ("offered", "spoken", "chosen"),
    [
        (("h2", "stun.turn"), ("stun.turn", "h2"), "stun.turn"),
        (("h2",), ("stun.turn", "h2"), "h2"),
        (("h2",), (), None),
        ((), ("h2",), None),
    ],
)
def test_a_protocol_is_agreed_on(offered: tuple[str, ...], spoken: tuple[str, ...], chosen: str | None) -> None:
    client, server, _ = _talk(TlsClient("a", offered), TlsServer(("a",), alpn=spoken))
    assert (client.alpn, server.alpn) == (chosen, chosen)
    assert client.is_done


def test_without_a_common_protocol_there_is_no_session() -> None:
    client, server, flights = _talk(TlsClient("a", ("h2",)), TlsServer(("a",), alpn=("stun.turn",)))
    assert (client.failure, server.failure) == (FailReason.TLS_HANDSHAKE, FailReason.TLS_HANDSHAKE)
    assert flights == 2


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request", b"\x16\x03\x03\xff\xff", client_hello(CLIENT), encode(FINISHED, "too much")]
)
def test_a_client_ends_what_makes_no_sense(said: bytes) -> None:
    client = Handshake(CLIENT)
    client.feed(said)
    assert client.failure is FailReason.TLS_HANDSHAKE
    client.feed(said)
    assert not client.is_done


def test_a_server_takes_no_certificate() -> None:
    server, other = Handshake(SERVER), Handshake(SERVER)
    other.feed(client_hello(CLIENT))
    server.feed(other.take_output())
    assert server.failure is FailReason.TLS_HANDSHAKE


def test_what_is_no_handshake_is_not_decoded() -> None:
    assert decode(b"\x17\x03\x03\x00\x01x") is None
    assert decode(encode("kind", "a", "")) == ["kind", "a", ""]
