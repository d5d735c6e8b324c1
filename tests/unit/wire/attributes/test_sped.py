"""The attributes that carry a DTLS handshake."""

from __future__ import annotations

import pytest

from icepath.wire.attributes import DtlsInStun, DtlsInStunAcknowledgement, attribute_name
from unit.wire.attributes.layouts import check_layout


@pytest.mark.rfc("sped", "4.1")
def test_layouts() -> None:
    check_layout(DtlsInStun(b"\x16\xfe\xfd"), "16fefd")
    check_layout(DtlsInStun(b""), "")
    check_layout(DtlsInStunAcknowledgement.of([1, 0xFFFFFFFF]), "00000001ffffffff")
    check_layout(DtlsInStunAcknowledgement.of([]), "")
    assert (attribute_name(0xC070), attribute_name(0xC071)) == (DtlsInStun.NAME, DtlsInStunAcknowledgement.NAME)


@pytest.mark.rfc("sped", "4.2")
@pytest.mark.parametrize(
    ("value", "is_dtls"), [("", False), ("13", False), ("14", True), ("3f00", True), ("40", False)]
)
def test_only_first_bytes_of_20_to_63_are_dtls(value: str, is_dtls: bool) -> None:
    assert DtlsInStun(bytes.fromhex(value)).is_dtls is is_dtls


@pytest.mark.rfc("sped", "4.3")
@pytest.mark.parametrize(("length", "hashes"), [(0, 0), (4, 1), (16, 4), (3, 0), (5, 0), (17, 0), (20, 0)])
def test_a_list_of_a_wrong_length_acknowledges_nothing(length: int, hashes: int) -> None:
    told = DtlsInStunAcknowledgement.decode(bytes(length), b"")
    assert told.hashes == (0,) * hashes


def test_hashes_come_back_as_they_went() -> None:
    hashes = (1, 2, 0xDEADBEEF, 0)
    assert DtlsInStunAcknowledgement.of(hashes).hashes == hashes
