"""The attributes that only RFC 3489 has."""

from __future__ import annotations

import pytest

from icepath.net import Address
from icepath.wire.attributes import (
    ChangedAddress,
    KnownAttribute,
    Password,
    ReflectedFrom,
    ResponseAddress,
    SourceAddress,
)
from unit.wire.attributes.layouts import check_layout

ADDRESS = Address("192.0.2.1", 32853)


@pytest.mark.rfc("3489", "11.2")
@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (ResponseAddress(ADDRESS), "0001 8055 c0000201"),
        (SourceAddress(ADDRESS), "0001 8055 c0000201"),
        (ChangedAddress(ADDRESS), "0001 8055 c0000201"),
        (ReflectedFrom(ADDRESS), "0001 8055 c0000201"),
        (Password(b"pass"), b"pass".hex()),
    ],
)
def test_layouts(attribute: KnownAttribute, value: str) -> None:
    check_layout(attribute, value)


def test_a_password_is_not_shown() -> None:
    assert repr(Password(b"pass")) == "Password(***)"
