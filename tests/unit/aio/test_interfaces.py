"""Which addresses become host candidates, and how interfaces are ranked."""

from __future__ import annotations

import pytest

from icepath.aio import interfaces
from icepath.aio.devices import interface_cost
from icepath.aio.interfaces import (
    BELIEVED,
    HostAddress,
    InterfaceFilter,
    System,
    choose,
    ipv6_flags,
    is_external,
    usable_addresses,
)

WIRED = HostAddress("192.0.2.7", "eth0", prefix=24)


def chosen(
    *addresses: HostAddress,
    admit: InterfaceFilter = is_external,
    loopback: bool = False,
    flags: dict[str, int] | None = None,
    costs: dict[str, int | None] | None = None,
) -> list[str]:
    known = costs or {}
    found = choose(addresses, admit=admit, loopback=loopback, flags=flags or {}, cost=lambda name: known.get(name, 0))
    return [address.host for address in found]


@pytest.mark.rfc("8445", "5.1.1.1")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_loopback_is_left_out_unless_asked_for(host: str) -> None:
    assert chosen(HostAddress(host, "lo"), WIRED) == ["192.0.2.7"]
    assert chosen(HostAddress(host, "lo"), loopback=True) == [host]
    assert chosen(HostAddress(host, "lo"), admit=lambda name, ip: True) == []


@pytest.mark.rfc("8445", "5.1.1.1")
@pytest.mark.parametrize("host", ["fec0::1", "::192.0.2.1", "fe80::1", "0.0.0.0", "::", "ff02::1"])
def test_addresses_of_no_use_to_others_are_left_out(host: str) -> None:
    assert chosen(HostAddress(host, "eth0", prefix=64 if ":" in host else 24)) == []


@pytest.mark.rfc("8445", "5.1.1.1")
def test_an_address_that_allows_tracking_gives_way_to_a_temporary_one_of_its_network() -> None:
    stable = HostAddress("2001:db8::1", "eth0", prefix=64)
    temporary = HostAddress("2001:db8::f00d", "eth0", prefix=64)
    elsewhere = HostAddress("2001:db8:1::1", "eth0", prefix=64)
    other_interface = HostAddress("2001:db8::2", "eth1", prefix=64)
    flags = {"2001:db8::f00d": interfaces.FLAG_TEMPORARY}
    assert chosen(stable, temporary, elsewhere, other_interface, WIRED, flags=flags) == [
        "2001:db8::f00d",
        "2001:db8:1::1",
        "2001:db8::2",
        "192.0.2.7",
    ]
    assert chosen(stable) == ["2001:db8::1"]


@pytest.mark.parametrize("flag", [interfaces.FLAG_DEPRECATED, interfaces.FLAG_TENTATIVE, interfaces.FLAG_DAD_FAILED])
def test_addresses_that_may_not_be_used_now_are_left_out(flag: int) -> None:
    assert chosen(HostAddress("2001:db8::1", "eth0", prefix=64), flags={"2001:db8::1": flag | 0x80}) == []


@pytest.mark.parametrize("name", ["docker0", "br-12ab", "veth77", "virbr0"])
def test_interfaces_inside_this_computer_are_left_out_by_default(name: str) -> None:
    assert chosen(HostAddress("172.17.0.1", name, prefix=16)) == []
    assert chosen(HostAddress("172.17.0.1", name, prefix=16), admit=lambda name, ip: True) == ["172.17.0.1"]


def test_a_filter_sees_name_and_address_and_decides() -> None:
    asked: list[tuple[str, str]] = []

    def admit(name: str, host: str) -> bool:
        asked.append((name, host))
        return name == "tun0"

    assert chosen(WIRED, HostAddress("10.8.0.2", "tun0", prefix=24), admit=admit) == ["10.8.0.2"]
    assert asked == [("eth0", "192.0.2.7"), ("tun0", "10.8.0.2")]


def test_better_interfaces_come_first_and_those_that_are_down_not_at_all() -> None:
    tunnel, wireless = HostAddress("10.8.0.2", "tun0", prefix=24), HostAddress("192.0.2.9", "wlan0", prefix=24)
    down = HostAddress("192.0.2.10", "eth1", prefix=24)
    costs: dict[str, int | None] = {"tun0": 50, "wlan0": 10, "eth0": 0, "eth1": None}
    assert chosen(tunnel, wireless, down, WIRED, costs=costs) == ["192.0.2.7", "192.0.2.9", "10.8.0.2"]


def test_an_ipv4_link_local_address_is_the_last_resort() -> None:
    assert chosen(HostAddress("169.254.7.7", "eth0", prefix=16), WIRED) == ["192.0.2.7", "169.254.7.7"]


def test_an_address_on_two_interfaces_is_used_once() -> None:
    assert chosen(WIRED, HostAddress("192.0.2.7", "eth1", prefix=24)) == ["192.0.2.7"]


def test_flags_come_from_the_kernels_table() -> None:
    table = (
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "20010db8000000000000000000000002 04 40 00 c1     eth0\n"
        "a line of something else\n"
    )
    assert ipv6_flags(table) == {"::1": 0x80, "2001:db8::2": 0xC1}


def test_this_computers_own_addresses_are_found() -> None:
    found = usable_addresses(loopback=True)
    assert "127.0.0.1" in {address.host for address in found}
    assert not {address.host for address in usable_addresses()} & {"127.0.0.1", "::1"}


def test_the_system_is_asked_once_for_agents_made_in_a_burst() -> None:
    system = System()
    view = system.view(5.0)
    assert system.view(5.0 + 0.9 * BELIEVED) is view
    assert system.view(5.0 + BELIEVED) is not view


def test_a_view_says_the_same_of_an_interface_each_time() -> None:
    view = System().view(0.0)
    assert {view.cost(address.interface) for address in view.addresses if address.host == "127.0.0.1"} == {0}
    assert view.cost("lo") == interface_cost("lo") == view.cost("lo")
    for _ in range(2):
        assert view.admits("lo", "127.0.0.1")
        assert not view.admits("docker-of-nobody", "172.17.0.1")
