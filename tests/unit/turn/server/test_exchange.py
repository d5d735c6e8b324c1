from __future__ import annotations

from icepath.machine import Bytes, Datagram, Handle
from icepath.turn.server.exchange import Exchange, FiveTuple
from icepath.wire.attributes import ErrorCode, Lifetime, Nonce, Software
from icepath.wire.integrity import Integrity, IntegrityKey
from icepath.wire.message import (
    MessageClass,
    Method,
    TransactionId,
    decode_message,
    encode_message,
    verify,
)
from unit.turn.serving import CLIENT, LISTEN

KEY = IntegrityKey(b"0123456789abcdef")
FIVE_TUPLE = FiveTuple(LISTEN, CLIENT)


def exchange(
    *,
    fingerprint: bool = False,
    software: str | None = None,
    key: IntegrityKey | None = None,
    integrity: Integrity = Integrity.SHA1,
) -> Exchange:
    payload = encode_message(
        Method.REFRESH, MessageClass.REQUEST, TransactionId(bytes(range(12))), fingerprint=fingerprint
    )
    return Exchange(decode_message(payload), FIVE_TUPLE, software, None, key, integrity)


def test_success_goes_back_where_the_request_came_from() -> None:
    datagram = exchange().success((Lifetime(5),))
    assert isinstance(datagram, Datagram)
    assert (datagram.local, datagram.remote) == (LISTEN, CLIENT)
    message = decode_message(datagram.payload)
    assert (message.method, message.message_class) == (Method.REFRESH, MessageClass.SUCCESS)
    assert message.transaction_id == bytes(range(12))
    assert message.attributes == (Lifetime(5),)
    assert not message.has_fingerprint


def test_error_has_its_reason() -> None:
    message = decode_message(exchange().error(437).payload)
    assert message.message_class is MessageClass.ERROR
    assert message.attributes == (ErrorCode(437, "Allocation Mismatch"),)


def test_refusal_has_what_it_is_given() -> None:
    message = decode_message(exchange().refusal((ErrorCode(438, "Stale Nonce"), Nonce(b"n"))).payload)
    assert message.message_class is MessageClass.ERROR
    assert message.attributes == (ErrorCode(438, "Stale Nonce"), Nonce(b"n"))


def test_is_signed_and_marked_like_the_request() -> None:
    for integrity in Integrity:
        message = decode_message(exchange(fingerprint=True, key=KEY, integrity=integrity).success(()).payload)
        verify(message, KEY, require=integrity)
        assert message.has_fingerprint


def test_software_is_added_when_configured() -> None:
    message = decode_message(exchange(software="icepath").success(()).payload)
    assert message.attributes == (Software("icepath"),)


def test_repr_hides_the_key() -> None:
    assert "0123" not in repr(exchange(key=KEY))


def test_a_client_on_a_byte_stream_is_answered_there() -> None:
    client = FiveTuple(LISTEN, CLIENT, Handle(-1))
    assert client != FIVE_TUPLE
    assert client.carry(b"answer") == Bytes(Handle(-1), b"answer")
    assert client.carry(b"data", is_data=True) == Bytes(Handle(-1), b"data", droppable=True)
    assert FIVE_TUPLE.carry(b"data", is_data=True) == Datagram(LISTEN, CLIENT, b"data")
