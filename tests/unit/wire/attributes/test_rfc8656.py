"""The attributes of RFC 8656: layouts drawn in its section 18, and what is refused."""

from __future__ import annotations

import pytest

from icepath.net import Address
from icepath.wire.attributes import (
    PROTOCOL_TCP,
    AdditionalAddressFamily,
    AddressErrorCode,
    AddressFamily,
    ChannelNumber,
    Data,
    DontFragment,
    EvenPort,
    Icmp,
    KnownAttribute,
    Lifetime,
    RequestedAddressFamily,
    RequestedTransport,
    ReservationToken,
    XorPeerAddress,
    XorRelayedAddress,
)
from unit.wire.attributes.layouts import check_layout, check_malformed, check_refused

ADDRESS = Address("192.0.2.1", 32853)


@pytest.mark.rfc("8656", "18")
@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (ChannelNumber(0x4000), "4000 0000"),
        (ChannelNumber(0x4FFF), "4fff 0000"),
        (Lifetime(600), "00000258"),
        (Lifetime(0), "00000000"),
        (XorPeerAddress(ADDRESS), "0001 a147 e112a643"),
        (Data(b""), ""),
        (Data(b"\0\1\2"), "000102"),
        (XorRelayedAddress(ADDRESS), "0001 a147 e112a643"),
        (RequestedAddressFamily(AddressFamily.IPV4), "01000000"),
        (AdditionalAddressFamily(AddressFamily.IPV6), "02000000"),
        (EvenPort(), "00"),
        (EvenPort(reserve_next=True), "80"),
        (RequestedTransport(), "11000000"),
        (RequestedTransport(PROTOCOL_TCP), "06000000"),
        (DontFragment(), ""),
        (ReservationToken(bytes(range(8))), "0001020304050607"),
        (AddressErrorCode(AddressFamily.IPV6, 440, "no"), "0200 0428 6e6f"),
        (Icmp(3, 4, 1400), "0000 03 04 00000578"),
        (Icmp(1, 0), "0000 01 00 00000000"),
    ],
)
def test_layouts(attribute: KnownAttribute, value: str) -> None:
    check_layout(attribute, value)


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (ChannelNumber, "4000", "length 2, expected 4"),
        (Lifetime, "0000000258", "length 5, expected 4"),
        (XorPeerAddress, "00", "length 1, expected 8 or 20"),
        (RequestedAddressFamily, "01", "length 1, expected 4"),
        (AdditionalAddressFamily, "", "length 0, expected 4"),
        (EvenPort, "80000000", "length 4, expected 1"),
        (RequestedTransport, "11", "length 1, expected 4"),
        (DontFragment, "00", "length 1, expected 0"),
        (ReservationToken, "00" * 9, "length 9, expected 8"),
        (AddressErrorCode, "0100", "length 2, expected 4 to 767"),
        (AddressErrorCode, "01000200", "class 2"),
        (Icmp, "00000304", "length 4, expected 8"),
    ],
)
def test_malformed_values_are_refused(kind: type[KnownAttribute], value: str, says: str) -> None:
    check_malformed(kind, value, says)


@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        (ChannelNumber(0x3FFF), "CHANNEL-NUMBER 16383"),
        (ChannelNumber(0x5000), "CHANNEL-NUMBER 20480"),
        (Lifetime(-1), "LIFETIME -1"),
        (Lifetime(1 << 32), "LIFETIME 4294967296"),
        (Data(bytes(65536)), "DATA of 65536 bytes"),
        (RequestedAddressFamily(0), "address family 0"),
        (AdditionalAddressFamily(3), "address family 3"),
        (RequestedTransport(256), "REQUESTED-TRANSPORT 256"),
        (ReservationToken(bytes(7)), "RESERVATION-TOKEN of 7 bytes"),
        (AddressErrorCode(3, 440), "address family 3"),
        (AddressErrorCode(1, 200), "ADDRESS-ERROR-CODE 200"),
        (Icmp(256, 0), "ICMP type 256"),
        (Icmp(0, 256), "ICMP code 256"),
        (Icmp(0, 0, 1 << 32), "ICMP data 4294967296"),
    ],
)
def test_what_may_not_be_sent_is_not_encoded(attribute: KnownAttribute, says: str) -> None:
    check_refused(attribute, says)


@pytest.mark.rfc("8656", "18")
@pytest.mark.parametrize(
    ("kind", "value", "attribute"),
    [
        (ChannelNumber, "4001ffff", ChannelNumber(0x4001)),
        (RequestedAddressFamily, "02ffffff", RequestedAddressFamily(AddressFamily.IPV6)),
        (RequestedTransport, "11ffffff", RequestedTransport()),
        (EvenPort, "ff", EvenPort(reserve_next=True)),
        (EvenPort, "7f", EvenPort(reserve_next=False)),
        (AddressErrorCode, "01fffd08", AddressErrorCode(AddressFamily.IPV4, 508)),
        (Icmp, "ffff030400000000", Icmp(3, 4)),
    ],
)
def test_reserved_bits_are_ignored(kind: type[KnownAttribute], value: str, attribute: KnownAttribute) -> None:
    assert kind.decode(bytes.fromhex(value), b"") == attribute


@pytest.mark.rfc("8656", "7.2")
def test_what_a_server_must_judge_decodes() -> None:
    assert ChannelNumber.decode(bytes.fromhex("7fff0000"), b"").number == 0x7FFF
    assert RequestedAddressFamily.decode(bytes.fromhex("03000000"), b"").family == 3
    assert RequestedTransport.decode(bytes.fromhex("ff000000"), b"").protocol == 255


def test_data_is_not_shown() -> None:
    assert repr(Data(b"secret")) == "Data(6 bytes)"
