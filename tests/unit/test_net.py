"""Addresses: one text per address, and what may be sent to."""

from __future__ import annotations

import pytest

from icepath.errors import InvalidArgument
from icepath.net import (
    Address,
    TcpAddress,
    canonical_host,
    is_loopback,
    is_usable_destination,
    parse_address,
    same_family,
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
    ],
)
def test_one_text_per_address(text: str, canonical: str) -> None:
    assert canonical_host(text) == canonical


@pytest.mark.parametrize(
    "text", ["", "example.org", "192.0.2", "1.2.3.4.5", "1.2.3.04", "1.2.3.+4", "1.2.3.٤", "fe80::g"]
)
def test_names_and_junk_are_no_addresses(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is not an IP address"):
        canonical_host(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [("192.0.2.1:5000", Address("192.0.2.1", 5000)), ("[2001:db8::1]:0", Address("2001:db8::1", 0))],
)
def test_host_and_port_are_parsed_and_printed(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text
    assert address.is_ipv6 is text.startswith("[")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("192.0.2.1", "HOST:PORT"),
        ("2001:db8::1:5000", "brackets"),
        ("192.0.2.1:", "HOST:PORT"),
        ("192.0.2.1:-1", "HOST:PORT"),
        ("192.0.2.1:५", "HOST:PORT"),
        ("192.0.2.1:65536", "above 65535"),
        ("example.org:80", "not an IP address"),
    ],
)
def test_what_is_no_host_and_port_is_refused_with_what_is_allowed(text: str, complaint: str) -> None:
    with pytest.raises(InvalidArgument, match=complaint):
        parse_address(text)


@pytest.mark.parametrize(
    ("host", "port", "usable"),
    [
        ("192.0.2.1", 1, True),
        ("2001:db8::1", 65535, True),
        ("192.0.2.1", 0, False),
        ("192.0.2.1", 65536, False),
        ("0.0.0.0", 5000, False),
        ("::", 5000, False),
        ("224.0.0.251", 5353, False),
        ("ff02::fb", 5353, False),
        ("255.255.255.255", 5000, False),
        ("239.255.255.255", 5000, False),
        ("223.255.255.255", 5000, True),
        ("240.0.0.1", 5000, True),
        ("fe80::g", 5000, False),
        ("example.org", 5000, False),
    ],
)
def test_what_may_be_sent_to(host: str, port: int, usable: bool) -> None:
    assert is_usable_destination(Address(host, port)) is usable


def test_kinds_of_addresses() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("127.8.8.8")
    assert is_loopback("::1")
    assert not is_loopback("10.0.0.1")
    assert same_family(Address("1.2.3.4", 1), Address("4.3.2.1", 2))
    assert not same_family(Address("1.2.3.4", 1), Address("::1", 1))


def test_a_tcp_port_is_another_place_than_the_udp_port_of_its_number() -> None:
    plain, tcp = Address("192.0.2.1", 7), TcpAddress("192.0.2.1", 7)
    assert tcp == TcpAddress("192.0.2.1", 7)
    assert hash(tcp) == hash(TcpAddress("192.0.2.1", 7))
    assert tcp != TcpAddress("192.0.2.1", 8)
    assert tcp != TcpAddress("192.0.2.2", 7)
    assert plain != tcp
    assert tcp != plain
    assert {plain: "udp", tcp: "tcp"}[tcp] == "tcp"
    assert (plain, plain) != (tcp, plain)
    assert Address(*tcp) == plain
