"""The attributes of RFC 5780: layouts of its section 7, and what is refused."""

from __future__ import annotations

import pytest

from icepath.net import Address
from icepath.wire.attributes import (
    CacheTimeout,
    ChangeRequest,
    KnownAttribute,
    OtherAddress,
    Padding,
    ResponseOrigin,
    ResponsePort,
)
from unit.wire.attributes.layouts import check_layout, check_malformed, check_refused

ADDRESS = Address("192.0.2.1", 32853)


@pytest.mark.rfc("5780", "7")
@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (ChangeRequest(), "00000000"),
        (ChangeRequest(change_ip=True), "00000004"),
        (ChangeRequest(change_port=True), "00000002"),
        (ChangeRequest(change_ip=True, change_port=True), "00000006"),
        (ResponseOrigin(ADDRESS), "0001 8055 c0000201"),
        (OtherAddress(ADDRESS), "0001 8055 c0000201"),
        (ResponsePort(3478), "0d96 0000"),
        (Padding(3), "000000"),
        (CacheTimeout(60), "0000003c"),
    ],
)
def test_layouts(attribute: KnownAttribute, value: str) -> None:
    check_layout(attribute, value)


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (ChangeRequest, "06", "length 1, expected 4"),
        (ResponsePort, "0d9600", "length 3, expected 2 or 4"),
        (CacheTimeout, "3c", "length 1, expected 4"),
        (OtherAddress, "3c", "length 1, expected 8 or 20"),
    ],
)
def test_malformed_values_are_refused(kind: type[KnownAttribute], value: str, says: str) -> None:
    check_malformed(kind, value, says)


@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        (ResponsePort(65536), "RESPONSE-PORT 65536"),
        (Padding(65536), "PADDING length 65536"),
        (CacheTimeout(-1), "CACHE-TIMEOUT -1"),
    ],
)
def test_what_may_not_be_sent_is_not_encoded(attribute: KnownAttribute, says: str) -> None:
    check_refused(attribute, says)


def test_what_does_not_matter_is_ignored() -> None:
    assert Padding.decode(b"abc", b"") == Padding(3)
    assert ResponsePort.decode(bytes.fromhex("0d96"), b"") == ResponsePort(3478)
    assert ChangeRequest.decode(bytes.fromhex("fffffff9"), b"") == ChangeRequest()
