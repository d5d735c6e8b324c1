"""Prefixes as networks show them, and the addresses they make (RFC 6052 §2.4 has the examples)."""

from __future__ import annotations

import ipaddress

import pytest

from icepath.ice.nat64 import (
    CONTINUITY_HOSTS,
    MAX_PREFIXES,
    PLACES,
    WELL_KNOWN_PREFIX,
    Prefix,
    Translators,
    find_prefixes,
    synthesize,
    translated,
)
from icepath.net import Address

# RFC 6052 §2.4, Table 2: the prefix, its length, and what it makes of 192.0.2.33.
EXAMPLES = [
    ("2001:db8::", 32, "2001:db8:c000:221::"),
    ("2001:db8:100::", 40, "2001:db8:1c0:2:21::"),
    ("2001:db8:122::", 48, "2001:db8:122:c000:2:2100::"),
    ("2001:db8:122:300::", 56, "2001:db8:122:3c0:0:221::"),
    ("2001:db8:122:344::", 64, "2001:db8:122:344:c0:2:2100:0"),
    ("2001:db8:122:344::", 96, "2001:db8:122:344::c000:221"),
]
WELL_KNOWN = Prefix(WELL_KNOWN_PREFIX, 96)
OWN = Prefix(ipaddress.IPv6Address("2001:db8:64::").packed[:12], 96)


def prefix(host: str, length: int) -> Prefix:
    return Prefix(ipaddress.IPv6Address(host).packed[: length // 8], length)


@pytest.mark.parametrize(("host", "length", "made"), EXAMPLES)
def test_addresses_are_made_as_the_rfcs_examples(host: str, length: int, made: str) -> None:
    assert synthesize(prefix(host, length), "192.0.2.33") == str(ipaddress.IPv6Address(made))


@pytest.mark.rfc("7050", "3")
@pytest.mark.parametrize(("host", "length", "made"), EXAMPLES)
@pytest.mark.parametrize("well_known", ["192.0.0.170", "192.0.0.171"])
def test_a_prefix_of_any_length_is_found_by_either_address(host: str, length: int, made: str, well_known: str) -> None:
    shown = synthesize(prefix(host, length), well_known)
    assert shown is not None
    assert find_prefixes([well_known, shown]) == (prefix(host, length),)


@pytest.mark.rfc("7050", "3")
def test_all_prefixes_are_found_once_in_their_order() -> None:
    shown = ["2001:db8:64::c000:aa", "64:ff9b::c000:aa", "64:ff9b::c000:ab"]
    assert find_prefixes(shown) == (OWN, WELL_KNOWN)
    many = [f"2001:db8:{number}::c000:aa" for number in range(1, 9)]
    assert len(find_prefixes(many)) == MAX_PREFIXES


@pytest.mark.rfc("7050", "3")
@pytest.mark.parametrize(
    "host",
    [
        "2001:db8::1",  # a captive portal's
        "192.0.0.170",  # no translation at all
        "2001:db8:0:c000:aa::",  # at a place that no prefix has
    ],
)
def test_what_shows_no_well_known_address_is_no_prefix(host: str) -> None:
    assert find_prefixes([host]) == ()


@pytest.mark.rfc("7050", "3")
def test_an_address_that_stands_there_twice_does_not_count_and_the_other_one_does() -> None:
    once = prefix("2001:db8:c000:aa::", 96)  # with 192.0.0.170 in the prefix itself
    assert find_prefixes([synthesize(once, "192.0.0.170") or ""]) == ()
    twice = prefix("2001:db8:c000:aa:c000:aa::", 96)
    assert find_prefixes([synthesize(twice, "192.0.0.171") or ""]) == (twice,)


def test_what_one_computer_has_inside_is_known() -> None:
    assert "192.0.0.4" in CONTINUITY_HOSTS
    assert not {"192.0.0.8", "192.0.0.170"} & CONTINUITY_HOSTS


def test_every_place_leaves_octet_8_alone() -> None:
    assert all(8 not in places for places in PLACES.values())


def test_an_address_has_one_translation_for_each_prefix_and_ipv6_none() -> None:
    made = translated((OWN, WELL_KNOWN), Address("11.1.0.1", 5000))
    assert made == (Address("2001:db8:64::b01:1", 5000), Address("64:ff9b::b01:1", 5000))
    assert translated((OWN,), Address("2001:db8::1", 5000)) == ()
    assert translated((), Address("11.1.0.1", 5000)) == ()


def test_the_well_known_prefix_is_for_global_addresses_only() -> None:
    assert translated((WELL_KNOWN,), Address("192.168.1.10", 5000)) == ()
    assert len(translated((OWN,), Address("192.168.1.10", 5000))) == 1


def test_nothing_is_known_of_translators_at_first() -> None:
    known = Translators()
    assert (known.prefixes, known.query, known.has_asked) == ((), None, False)
