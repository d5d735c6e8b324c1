"""What the test of each attribute module checks: bytes to value and back, and what is refused."""

from __future__ import annotations

import pytest

from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.wire.attributes import KnownAttribute

TRANSACTION = bytes(range(12))


def check_layout(attribute: KnownAttribute, value: str) -> None:
    assert attribute.encode(TRANSACTION) == bytes.fromhex(value)
    decoded = type(attribute).decode(bytes.fromhex(value), TRANSACTION)
    assert decoded == attribute
    assert hash(decoded) == hash(attribute)


def check_malformed(kind: type[KnownAttribute], value: str, says: str) -> None:
    with pytest.raises(DecodeError) as caught:
        kind.decode(bytes.fromhex(value), TRANSACTION)
    assert caught.value.reason is DecodeReason.BAD_ATTRIBUTE
    assert says in str(caught.value)


def check_refused(attribute: KnownAttribute, says: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        attribute.encode(TRANSACTION)
    assert says in str(caught.value)
