from __future__ import annotations

from icepath.machine import Accepted, Bytes, DropReason, Handle, Security
from icepath.turn.server.exchange import FiveTuple
from icepath.turn.server.streams import IDLE_TIME, ClientStreams
from icepath.wire.message import MessageClass, Method, TransactionId, encode_message
from unit.turn.serving import CLIENT, LISTEN

ONE, TWO = Handle(-1), Handle(-2)
REQUEST = encode_message(Method.BINDING, MessageClass.REQUEST, TransactionId(bytes(12)))


def accepted(handle: Handle, security: Security = Security.NONE) -> Accepted:
    return Accepted(handle, LISTEN, LISTEN, CLIENT, security)


def test_a_stream_is_a_client_until_it_is_forgotten() -> None:
    streams = ClientStreams(2)
    assert streams.accept(accepted(ONE), 0.0)
    assert streams.client_of(ONE) == FiveTuple(LISTEN, CLIENT, ONE)
    assert streams.handles() == [ONE]
    assert streams.forget(ONE) == FiveTuple(LISTEN, CLIENT, ONE)
    assert streams.forget(ONE) is None
    assert streams.client_of(ONE) is None
    assert streams.next_deadline() is None


def test_there_are_only_so_many() -> None:
    streams = ClientStreams(1)
    assert streams.accept(accepted(ONE), 0.0)
    assert not streams.accept(accepted(TWO), 0.0)


def test_messages_come_whole_however_the_bytes_are_cut() -> None:
    streams = ClientStreams(1)
    streams.accept(accepted(ONE), 0.0)
    found = [streams.read(Bytes(ONE, bytes([byte]))) for byte in REQUEST]
    assert found == [[]] * (len(REQUEST) - 1) + [[REQUEST]]


def test_what_is_no_message_says_why_the_stream_is_to_end() -> None:
    streams = ClientStreams(1)
    streams.accept(accepted(ONE), 0.0)
    assert streams.read(Bytes(ONE, b"")) == []
    assert streams.read(Bytes(ONE, b"GET / HTTP/1.1\r\n\r\n")) is DropReason.NOT_STUN
    assert streams.forget(ONE) is not None
    streams.accept(accepted(ONE), 0.0)
    assert streams.read(Bytes(ONE, REQUEST)) == [REQUEST]
    assert isinstance(streams.read(Bytes(ONE, b"\xff" * 8)), DropReason)


def test_an_association_gives_messages_as_they_are() -> None:
    streams = ClientStreams(1)
    streams.accept(accepted(ONE, Security.DTLS), 0.0)
    assert streams.read(Bytes(ONE, REQUEST)) == [REQUEST]


def test_each_is_looked_at_after_a_while_and_again_if_kept() -> None:
    streams = ClientStreams(2)
    streams.accept(accepted(ONE), 0.0)
    streams.accept(accepted(TWO), 1.0)
    assert streams.next_deadline() == IDLE_TIME
    assert streams.pop_idle(IDLE_TIME - 0.1) is None
    assert streams.pop_idle(IDLE_TIME) == ONE
    streams.keep(ONE, IDLE_TIME)
    assert streams.pop_idle(IDLE_TIME + 1.0) == TWO
    assert streams.next_deadline() == 2 * IDLE_TIME
