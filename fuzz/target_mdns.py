"""mDNS: any message is read or refused with DecodeError, and what is read is written so that it reads the same; and
the machine, whatever comes and when, keeps the laws.

The first byte says which of the two; lives are operations, as tests/machines/operations.py tells.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from icepath.errors import DecodeError
from icepath.mdns.message import NSEC, MdnsMessage, Question, Record, decode_message, encode_message
from machines.operations import live


def one_input(data: bytes) -> None:
    """Checks one message or one life."""
    if data[:1] >= b"\x80":
        live("mdns", data[1:])
        return
    try:
        message = decode_message(data[1:])
    except DecodeError:
        return
    message = _printable(message)
    assert decode_message(encode_message(message)) == message


def _printable(message: MdnsMessage) -> MdnsMessage:
    """Returns the message without what cannot be written: names that were stepped over, and empty NSECs."""
    return replace(
        message,
        questions=tuple(each for each in message.questions if _is_name(each)),
        answers=tuple(each for each in message.answers if _is_whole(each)),
        proposed=tuple(each for each in message.proposed if _is_whole(each)),
        additional=tuple(each for each in message.additional if _is_whole(each)),
    )


def _is_name(each: Question | Record) -> bool:
    labels = each.name.split(".")
    return len(labels) == 2 and all(labels) and each.name.isascii()


def _is_whole(record: Record) -> bool:
    return _is_name(record) and (record.kind != NSEC or bool(record.kinds))


def main() -> None:
    """Fuzzes until stopped: PYTHONPATH=tests python fuzz/target_mdns.py fuzz/corpus/mdns."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
