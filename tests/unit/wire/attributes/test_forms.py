"""The shapes attributes share: layouts, limits, and the texts of their errors."""

from __future__ import annotations

import pytest

from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.net import Address
from icepath.wire.attributes import (
    AlternateServer,
    ConnectionId,
    MappedAddress,
    MobilityTicket,
    Priority,
    Realm,
    Software,
    UnknownAttribute,
    Userhash,
    XorMappedAddress,
    XorPeerAddress,
)
from icepath.wire.attributes.forms import AttributeValue, encode_text, span

# RFC 5769 §2: this transaction id turns the address into the printed bytes.
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
IPV4 = Address("192.0.2.1", 32853)
IPV6 = Address("2001:db8:1234:5678:11:2233:4455:6677", 32853)


def refusal(kind: type[MappedAddress | XorMappedAddress | Priority | Userhash | Realm | Software], value: str) -> str:
    with pytest.raises(DecodeError) as caught:
        kind.decode(bytes.fromhex(value), TRANSACTION)
    assert caught.value.reason is DecodeReason.BAD_ATTRIBUTE
    return str(caught.value)


@pytest.mark.rfc("8489", "14.1")
@pytest.mark.rfc("8489", "14.2")
@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (MappedAddress(IPV4), "0001 8055 c0000201"),
        (MappedAddress(IPV6), "0002 8055 20010db8123456780011223344556677"),
        (XorMappedAddress(IPV4), "0001 a147 e112a643"),
        (XorMappedAddress(IPV6), "0002 a147 0113a9faa5d3f179bc25f4b5bed2b9d9"),
        (MappedAddress(Address("255.255.255.255", 65535)), "0001 ffff ffffffff"),
        (XorMappedAddress(Address("0.0.0.0", 0)), "0001 2112 2112a442"),
    ],
)
def test_addresses_have_their_layout(attribute: MappedAddress | XorMappedAddress, value: str) -> None:
    assert attribute.encode(TRANSACTION) == bytes.fromhex(value)
    assert type(attribute).decode(bytes.fromhex(value), TRANSACTION) == attribute


@pytest.mark.rfc("8489", "14.1")
def test_the_first_byte_of_an_address_is_ignored() -> None:
    assert MappedAddress.decode(bytes.fromhex("ff01 8055 c0000201"), b"") == MappedAddress(IPV4)


def test_an_ipv4_mapped_address_decodes_to_ipv4() -> None:
    value = bytes.fromhex("0002 0001 00000000000000000000ffffc0000201")
    assert MappedAddress.decode(value, b"").address == Address("192.0.2.1", 1)


def test_an_rfc3489_transaction_id_masks_by_its_last_twelve_bytes() -> None:
    long = bytes(4) + TRANSACTION
    assert XorMappedAddress(IPV6).encode(long) == XorMappedAddress(IPV6).encode(TRANSACTION)


@pytest.mark.parametrize("kind", [MappedAddress, XorMappedAddress])
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "length 0, expected 8 or 20"),
        ("0001 8055 c00002", "length 7, expected 8 or 20"),
        ("0001 8055 c000020100", "length 9, expected 8 or 20"),
        ("0002 8055 c0000201", "family 2 in 8 bytes, expected 1"),
        ("0003 8055 c0000201", "family 3 in 8 bytes, expected 1"),
        ("0001 8055 20010db8123456780011223344556677", "family 1 in 20 bytes, expected 2"),
    ],
)
def test_bad_addresses_are_refused(kind: type[MappedAddress | XorMappedAddress], value: str, says: str) -> None:
    assert refusal(kind, value) == says


@pytest.mark.parametrize("kind", [MappedAddress, XorMappedAddress])
@pytest.mark.parametrize(
    "address",
    [
        Address("example.org", 1),
        Address("1.2.3", 1),
        Address("1.2.3.256", 1),
        Address("1.2.3.04", 1),
        Address("1.2.3.+4", 1),
        Address("1.2.3.4.5", 1),
        Address("::12345", 1),
        Address("1.2.3.4", -1),
        Address("1.2.3.4", 65536),
        Address("::1", 65536),
    ],
)
def test_what_is_no_address_is_not_encoded(kind: type[MappedAddress | XorMappedAddress], address: Address) -> None:
    with pytest.raises(InvalidArgument):
        kind(address).encode(TRANSACTION)


def test_numbers_of_32_bits() -> None:
    assert ConnectionId(0xDEADBEEF).encode(b"") == bytes.fromhex("deadbeef")
    assert ConnectionId.decode(bytes.fromhex("deadbeef"), b"") == ConnectionId(0xDEADBEEF)
    assert refusal(Priority, "000001") == "length 3, expected 4"
    for number in (-1, 1 << 32):
        with pytest.raises(InvalidArgument, match="CONNECTION-ID"):
            ConnectionId(number).encode(b"")


def test_octets_keep_to_their_limits() -> None:
    assert MobilityTicket.decode(b"", b"") == MobilityTicket(b"")
    assert MobilityTicket(b"abc").encode(b"") == b"abc"
    assert refusal(Userhash, "00" * 31) == "length 31, expected 32"
    with pytest.raises(InvalidArgument, match="USERHASH of 33 bytes, allowed are 32"):
        Userhash(bytes(33)).encode(b"")
    with pytest.raises(InvalidArgument, match="allowed are 0 to 65535"):
        MobilityTicket(bytes(65536)).encode(b"")


@pytest.mark.rfc("8489", "14.9")
@pytest.mark.rfc("8489", "14.14")
def test_texts_keep_to_their_limits() -> None:
    assert Realm("\u00fc.example").encode(b"") == b"\xc3\xbc.example"
    assert Realm.decode(b"x" * 763, b"").text == "x" * 763
    assert refusal(Realm, "78" * 764) == "length 764, expected 0 to 763"
    assert len(Realm("\U0001f9ca" * 127).encode(b"")) == 508
    for text in ("x" * 128, "\U0001f9ca" * 128):
        with pytest.raises(InvalidArgument, match="REALM of 128 characters"):
            Realm(text).encode(b"")
    with pytest.raises(InvalidArgument, match="allowed are 10 characters, 3 bytes"):
        encode_text("TEXT", "\u00fc\u00fc", 10, 3)


def test_broken_utf8_is_refused_unless_the_text_only_decorates() -> None:
    assert refusal(Realm, "61ff62") == "the text is not UTF-8"
    assert Software.decode(b"a\xffb", b"") == Software("a\ufffdb")
    with pytest.raises(InvalidArgument, match="UTF-8 cannot carry"):
        Software("\ud800").encode(b"")


def test_attributes_are_equal_only_within_their_kind() -> None:
    assert MappedAddress(IPV4) != AlternateServer(IPV4)
    assert XorMappedAddress(IPV4) != XorPeerAddress(IPV4)
    assert MappedAddress(IPV4) != IPV4
    assert len({Priority(1), Priority(1), Priority(2), ConnectionId(1)}) == 3


@pytest.mark.parametrize(
    ("attribute", "shown"),
    [
        (MappedAddress(IPV4), "MappedAddress(192.0.2.1:32853)"),
        (XorMappedAddress(Address("::1", 5)), "XorMappedAddress([::1]:5)"),
        (Priority(7), "Priority(7)"),
        (Realm("a"), "Realm('a')"),
        (MobilityTicket(b"\xab"), "MobilityTicket(ab)"),
    ],
)
def test_attributes_show_their_fields(attribute: AttributeValue, shown: str) -> None:
    assert repr(attribute) == shown


def test_an_unknown_attribute_is_kept_as_it_came() -> None:
    attribute = UnknownAttribute(0x7FFF, b"abc")
    assert attribute.encode(b"") == b"abc"
    assert (attribute.TYPE, attribute.NAME, attribute.is_required) == (0x7FFF, "0x7FFF", True)
    assert not UnknownAttribute(0x8000, b"").is_required
    assert repr(attribute) == "UnknownAttribute(0x7FFF, 3 bytes)"
    assert attribute == UnknownAttribute(0x7FFF, b"abc")
    assert attribute != UnknownAttribute(0x7FFE, b"abc")
    assert attribute != UnknownAttribute(0x7FFF, b"abd")
    assert attribute != b"abc"
    assert len({attribute, UnknownAttribute(0x7FFF, b"abc")}) == 1


@pytest.mark.parametrize("attribute", [UnknownAttribute(0x10000, b""), UnknownAttribute(-1, b"")])
def test_a_type_has_16_bits(attribute: UnknownAttribute) -> None:
    with pytest.raises(InvalidArgument, match="not in 0 to 0xFFFF"):
        attribute.encode(b"")


def test_a_value_has_a_length_of_16_bits() -> None:
    with pytest.raises(InvalidArgument, match="65536 bytes"):
        UnknownAttribute(1, bytes(65536)).encode(b"")


def test_spans_of_one_length_read_as_one() -> None:
    assert span(4, 4) == "4"
    assert span(0, 4) == "0 to 4"
