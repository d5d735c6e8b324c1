"""STUN messages: any bytes decode or are refused with DecodeError, and what is decoded encodes to the same."""

from __future__ import annotations

import sys

from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.wire.attributes import TRAILERS, Attribute
from icepath.wire.integrity import IntegrityKey
from icepath.wire.message import Message, decode_message, encode_message, looks_like_stun, verify

# RFC 5769 §2.1: the corpus holds messages signed with it.
KEY = IntegrityKey(b"VOkJxbRl1RmTxUk/WvJxBt")
REFUSALS = {
    DecodeReason.NOT_STUN,
    DecodeReason.TRUNCATED,
    DecodeReason.TRAILING_BYTES,
    DecodeReason.BAD_LENGTH,
    DecodeReason.BAD_ATTRIBUTE,
    DecodeReason.FINGERPRINT_MISMATCH,
}


def one_input(data: bytes) -> None:
    """Checks one message."""
    try:
        message = decode_message(data)
    except DecodeError as error:
        check_refusal(error, len(data))
        return
    assert message.data == data
    assert looks_like_stun(data) is (message.method <= 0xFF and not message.is_rfc3489)
    for attribute in message.attributes:
        assert message.get(type(attribute)) in message.get_all(type(attribute))
        assert isinstance(repr(attribute), str)
    check_integrity(message)
    check_again(message)


def check_refusal(error: DecodeError, size: int) -> None:
    """Checks that a refusal is of the right kind, points into the message, and is short whatever it quotes."""
    assert error.reason in REFUSALS
    assert 0 <= error.offset <= size
    assert len(str(error)) < 300


def check_integrity(message: Message) -> None:
    """Checks that integrity is told, whatever it is."""
    try:
        verified = verify(message, KEY, shortest=16)
    except DecodeError as error:
        check_unverified(error, message)
        return
    assert verified.message is message


def check_unverified(error: DecodeError, message: Message) -> None:
    """Checks that missing and wrong integrity are told apart."""
    if message.has_integrity:
        assert error.reason is DecodeReason.INTEGRITY_MISMATCH
    else:
        assert error.reason is DecodeReason.MISSING_INTEGRITY


def check_again(message: Message) -> None:
    """Checks that what was read, written again, reads the same; some of what is read may not be written."""
    known: list[Attribute] = [attribute for attribute in message.attributes if attribute.TYPE not in TRAILERS]
    try:
        data = encode_message(
            message.method, message.message_class, message.transaction_id, [*known, *message.unknown], key=KEY
        )
    except InvalidArgument:
        return
    again = decode_message(data)
    assert list(again.attributes[:-1]) == known
    assert again.unknown == message.unknown
    verify(again, KEY)


def main() -> None:
    """Fuzzes until stopped: python fuzz/target_message.py fuzz/corpus/message."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
