from __future__ import annotations

import pytest

from icepath.errors import DecodeError, InvalidArgument
from icepath.machine import Bytes, Connect, Datagram, Handle, Security, Transport
from icepath.net import Address
from icepath.turn.client.routes import Path, Route, connect_command, local_of
from unit.turn.scripted import LOCAL, SERVER

SERVER6 = Address("2001:db8::1", 3478)
LOCAL6 = Address("2001:db8::2", 50000)
UDP = Route(SERVER)
TCP = Route(SERVER, Transport.TCP)
TLS = Route(SERVER, Transport.TCP, Security.TLS, "turn.example.org")
DTLS = Route(SERVER, Transport.UDP, Security.DTLS, "turn.example.org", verify=False)
BINDING = b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12)


class TestRoute:
    def test_what_each_is(self) -> None:
        assert [(route.is_datagram, route.is_reliable) for route in (UDP, TCP, TLS, DTLS)] == [
            (True, False),
            (False, True),
            (False, True),
            (False, False),
        ]

    def test_reads_as_people_say_it(self) -> None:
        assert [str(route) for route in (UDP, TCP, TLS, Route(SERVER6, Transport.UDP, Security.DTLS))] == [
            "udp 198.51.100.1:3478",
            "tcp 198.51.100.1:3478",
            "tls 198.51.100.1:3478",
            "dtls [2001:db8::1]:3478",
        ]

    @pytest.mark.parametrize(("transport", "security"), [(Transport.UDP, Security.TLS), (Transport.TCP, Security.DTLS)])
    def test_security_has_its_transport(self, transport: Transport, security: Security) -> None:
        with pytest.raises(InvalidArgument, match="does not run over"):
            Route(SERVER, transport, security)

    def test_likeness_is_of_the_protocol_alone(self) -> None:
        assert TCP.is_like(Route(SERVER6, Transport.TCP))
        assert not TCP.is_like(TLS)
        assert not UDP.is_like(DTLS)
        assert not UDP.is_like(TCP)

    def test_local_addresses(self) -> None:
        assert local_of(UDP, LOCAL) == LOCAL
        assert local_of(TCP, LOCAL) == Address(LOCAL.host, 0)
        assert local_of(Route(SERVER6, Transport.TCP), LOCAL) is None
        assert local_of(Route(SERVER6), LOCAL) is None
        assert local_of(Route(SERVER6, local=LOCAL6), LOCAL) == LOCAL6

    @pytest.mark.rfc("8489", "6.2.3")
    def test_connections_are_verified_and_named(self) -> None:
        local = Address(LOCAL.host, 0)
        assert connect_command(Handle(3), TLS, local) == Connect(
            Handle(3), local, SERVER, Transport.TCP, Security.TLS, "turn.example.org", ("stun.turn",), True
        )
        assert connect_command(Handle(4), TCP, None, paused=True) == Connect(Handle(4), None, SERVER, paused=True)
        assert not connect_command(Handle(4), DTLS, None).verify


class TestPath:
    def test_a_five_tuple(self) -> None:
        path = Path(UDP, LOCAL)
        assert path.wrap(b"x", dont_fragment=True) == Datagram(LOCAL, SERVER, b"x", True)
        assert path.is_of(LOCAL, SERVER)
        assert not path.is_of(LOCAL, SERVER6)
        assert not path.is_of(LOCAL6, SERVER)
        assert path.cut(b"anything") == [b"anything"]
        assert not path.is_broken

    def test_a_byte_stream(self) -> None:
        path = Path(TCP, LOCAL, Handle(7))
        assert path.wrap(b"x") == Bytes(Handle(7), b"x", False)
        assert path.wrap(b"x", is_data=True) == Bytes(Handle(7), b"x", True)
        assert not path.is_of(LOCAL, SERVER)
        assert "handle 7" in repr(path)

    @pytest.mark.rfc("8656", "12.5")
    def test_channel_data_is_padded_on_byte_streams_only(self) -> None:
        message = b"\x40\x00\x00\x05hello"
        for route, padding in ((UDP, b""), (DTLS, b""), (TCP, bytes(3)), (TLS, bytes(3))):
            handle = None if route.is_datagram else Handle(1)
            assert Path(route, LOCAL, handle).wrap_channel_data(0x4000, b"hello").payload == message + padding

    def test_a_byte_stream_is_cut(self) -> None:
        path = Path(TLS, LOCAL, Handle(1))
        assert path.cut(BINDING[:3]) == []
        assert path.cut(BINDING[3:] + BINDING + b"\x40\x00\x00\x01x") == [BINDING, BINDING]
        assert path.cut(bytes(3)) == [b"\x40\x00\x00\x01x" + bytes(3)]

    def test_junk_breaks_it(self) -> None:
        path = Path(TCP, LOCAL, Handle(1))
        assert path.cut(BINDING + b"<html>") == [BINDING]
        assert path.is_broken
        with pytest.raises(DecodeError):
            path.cut(b"")

    def test_it_begins_with_an_answer(self) -> None:
        path = Path(TCP, LOCAL, Handle(1))
        assert path.cut(b"") == []
        with pytest.raises(DecodeError, match="first byte 0x48"):
            path.cut(b"HTTP/1.1 400 Bad Request")

    @pytest.mark.rfc("7350", "3")
    def test_an_association_keeps_bounds(self) -> None:
        assert Path(DTLS, LOCAL, Handle(1)).cut(b"HTTP") == [b"HTTP"]
