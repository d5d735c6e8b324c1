"""STUN messages: header, attribute walk, integrity, fingerprint."""

from __future__ import annotations

import pytest

from icepath.entropy import Secret
from icepath.errors import DecodeError, DecodeReason
from icepath.net import Address
from icepath.wire.attributes import Priority, Username, XorMappedAddress
from icepath.wire.integrity import Integrity, short_term_key
from icepath.wire.message import MessageClass, Method, TransactionId, decode_message, encode_message, verify

KEY = short_term_key(Secret("VOkJxbRl1RmTxUk/WvJxBt"))
TRANSACTION = TransactionId(bytes(range(12)))


@pytest.mark.parametrize("integrity", list(Integrity))
def test_a_signed_message_comes_back(integrity: Integrity) -> None:
    sent = (Username("evtj:h6vY"), Priority(1), XorMappedAddress(Address("192.0.2.1", 32853)))
    data = encode_message(
        Method.BINDING, MessageClass.REQUEST, TRANSACTION, sent, key=KEY, integrity=integrity, fingerprint=True
    )
    message = decode_message(data)
    assert message.attributes[:3] == sent
    assert verify(message, KEY).integrity is integrity


def test_another_key_is_refused() -> None:
    data = encode_message(Method.BINDING, MessageClass.REQUEST, TRANSACTION, key=KEY)
    with pytest.raises(DecodeError) as caught:
        verify(decode_message(data), short_term_key(Secret("another password")))
    assert caught.value.reason is DecodeReason.INTEGRITY_MISMATCH
