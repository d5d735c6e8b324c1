"""The registry, against IANA's."""

from __future__ import annotations

import pytest

from icepath.wire.attributes import (
    ATTRIBUTES,
    DECODERS,
    RFC3489_DECODERS,
    TRAILERS,
    ErrorCode,
    Fingerprint,
    MessageIntegrity,
    MessageIntegritySha256,
    attribute_name,
)
from icepath.wire.integrity import PasswordAlgorithmId
from vectors import iana


@pytest.mark.rfc("8489", "18.3")
@pytest.mark.parametrize(("kind", "name"), list(iana.ATTRIBUTES.items()))
def test_every_registered_attribute_is_known_under_its_name(kind: int, name: str) -> None:
    assert kind == ATTRIBUTES[kind].TYPE
    assert name == ATTRIBUTES[kind].NAME
    assert attribute_name(kind) == name
    assert (kind in DECODERS) is (kind not in TRAILERS)


def test_nothing_else_is_known() -> None:
    assert set(DECODERS) | TRAILERS == set(iana.ATTRIBUTES)
    assert not set(DECODERS) & set(iana.RESERVED)
    assert attribute_name(0x802D) == "0x802D"


@pytest.mark.rfc("3489", "11.2")
def test_the_attributes_of_rfc3489_are_known_where_the_cookie_is_missing() -> None:
    assert {kind for kind in iana.RFC3489_ATTRIBUTES if kind not in TRAILERS} <= set(RFC3489_DECODERS)
    for kind, name in iana.RFC3489_ATTRIBUTES.items():
        assert name == ATTRIBUTES[kind].NAME


def test_three_attributes_end_a_message() -> None:
    assert {ATTRIBUTES[kind] for kind in TRAILERS} == {MessageIntegrity, MessageIntegritySha256, Fingerprint}


@pytest.mark.rfc("8489", "18.4")
@pytest.mark.parametrize(("code", "phrase"), list(iana.ERROR_CODES.items()))
def test_every_registered_error_comes_back(code: int, phrase: str) -> None:
    value = ErrorCode(code, phrase).encode(b"")
    assert (value[2], value[3]) == divmod(code, 100)
    assert ErrorCode.decode(value, b"") == ErrorCode(code, phrase)


@pytest.mark.rfc("8489", "18.5")
def test_the_password_algorithms_are_the_registered_ones() -> None:
    assert {algorithm.value: algorithm.name for algorithm in PasswordAlgorithmId} == iana.PASSWORD_ALGORITHMS
