"""Which addresses are left aside for privacy's sake, and what the system says of its default route."""

from __future__ import annotations

import pytest

from icepath.aio import ip_handling
from icepath.aio.interfaces import HostAddress
from icepath.aio.ip_handling import FAMILIES, IP_HANDLINGS, Family, IpHandling, admitted, default_source

WIRED = HostAddress("192.0.2.7", "eth0", prefix=24)
WIRED6 = HostAddress("2001:db8::7", "eth0", prefix=64)
OTHER = HostAddress("198.51.100.7", "eth1", prefix=24)
TUNNEL = HostAddress("10.8.0.2", "tun0", prefix=24)
LOOPBACK = HostAddress("127.0.0.1", "lo", prefix=8)
ALL = (WIRED, WIRED6, OTHER, TUNNEL, LOOPBACK)


@pytest.fixture(autouse=True)
def routes(monkeypatch: pytest.MonkeyPatch) -> dict[Family, str | None]:
    """Plays the system's routing: the VPN has IPv4's default route, the wire IPv6's."""
    table: dict[Family, str | None] = {"ipv4": TUNNEL.host, "ipv6": WIRED6.host}
    monkeypatch.setattr(ip_handling, "default_source", table.get)
    return table


@pytest.mark.rfc("8828", "5.2")
def test_mode_1_uses_every_interface_and_asks_for_no_route(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ip_handling, "default_source")
    assert admitted(ALL) == ALL


@pytest.mark.rfc("8828", "5.2", "6.2")
@pytest.mark.parametrize("handling", [handling for handling in IP_HANDLINGS if handling != "all"])
def test_the_other_modes_use_what_the_system_sends_from_by_default(handling: IpHandling) -> None:
    # Loopback is there only when it was asked for, and has no route to anywhere.
    assert admitted(ALL, handling=handling) == (WIRED6, TUNNEL, LOOPBACK)


@pytest.mark.rfc("8828", "5.2")
def test_without_a_default_route_there_is_nothing(routes: dict[Family, str | None]) -> None:
    routes["ipv4"] = routes["ipv6"] = None
    assert admitted((WIRED, WIRED6), handling="default-route") == ()


def test_a_family_may_be_left_out() -> None:
    assert admitted(ALL, families=("ipv6",)) == (WIRED6,)
    assert admitted(ALL, families=("ipv4",)) == (WIRED, OTHER, TUNNEL, LOOPBACK)
    assert admitted(ALL, families=("ipv4",), handling="default-route") == (TUNNEL, LOOPBACK)


@pytest.mark.rfc("8828", "6.2")
def test_the_system_says_what_it_sends_from() -> None:
    assert default_source("ipv4", "127.0.0.1") == "127.0.0.1"
    # Whatever the network here is like, an answer is an address of the family.
    for family in FAMILIES:
        source = default_source(family)
        assert source is None or (":" in source) == (family == "ipv6")


def test_no_way_there_is_no_answer() -> None:
    # The system refuses a broadcast address to a socket that did not ask for it.
    assert default_source("ipv4", "255.255.255.255") is None
