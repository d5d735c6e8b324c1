"""The attributes that order nominations."""

from __future__ import annotations

from icepath.wire.attributes import GoogNomination, Nomination
from unit.wire.attributes.layouts import check_layout, check_malformed, check_refused


def test_layouts() -> None:
    check_layout(Nomination(0xFFFFFFFF), "ffffffff")
    check_layout(GoogNomination(0xFFFFFF), "00ffffff")
    check_malformed(Nomination, "01", "length 1, expected 4")
    check_malformed(GoogNomination, "000001", "length 3, expected 4")
    check_refused(Nomination(1 << 32), "NOMINATION 4294967296")
    check_refused(GoogNomination(1 << 24), "GOOG-NOMINATION 16777216")


def test_the_first_byte_of_the_old_form_is_ignored() -> None:
    assert GoogNomination.decode(bytes.fromhex("ff000005"), b"") == GoogNomination(5)
