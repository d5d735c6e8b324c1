"""The attributes of RFC 8445: layouts of its section 16.1, and what is refused."""

from __future__ import annotations

import pytest

from icepath.wire.attributes import IceControlled, IceControlling, KnownAttribute, Priority, UseCandidate
from unit.wire.attributes.layouts import check_layout, check_malformed, check_refused


@pytest.mark.rfc("8445", "16.1")
@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (Priority(0x6E0001FF), "6e0001ff"),
        (UseCandidate(), ""),
        (IceControlled(0x932FF9B151263B36), "932ff9b151263b36"),
        (IceControlling(1), "0000000000000001"),
    ],
)
def test_layouts(attribute: KnownAttribute, value: str) -> None:
    check_layout(attribute, value)


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (Priority, "00" * 8, "length 8, expected 4"),
        (UseCandidate, "00", "length 1, expected 0"),
        (IceControlled, "00" * 4, "length 4, expected 8"),
        (IceControlling, "00" * 9, "length 9, expected 8"),
    ],
)
def test_malformed_values_are_refused(kind: type[KnownAttribute], value: str, says: str) -> None:
    check_malformed(kind, value, says)


@pytest.mark.rfc("8445", "5.1.2")
@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        (Priority(0), "PRIORITY 0 is not in 1 to 2147483647"),
        (Priority(1 << 31), "PRIORITY 2147483648"),
        (IceControlled(-1), "tie-breaker -1"),
        (IceControlling(1 << 64), "tie-breaker 18446744073709551616"),
    ],
)
def test_what_may_not_be_sent_is_not_encoded(attribute: KnownAttribute, says: str) -> None:
    check_refused(attribute, says)


def test_the_roles_are_told_apart() -> None:
    assert IceControlled(1) != IceControlling(1)
    assert repr(IceControlled(1)) == "IceControlled(0x0000000000000001)"
    assert repr(UseCandidate()) == "UseCandidate()"
