"""What kind of thing an interface is, by what Linux says of it or by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from icepath.aio.devices import interface_cost, is_internal


def device(devices: Path, name: str, files: dict[str, str]) -> None:
    folder = devices / name.partition(":")[0]
    folder.mkdir()
    for file, text in files.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(text)


@pytest.mark.rfc("8421", "3")
@pytest.mark.parametrize(
    ("name", "files", "cost"),
    [
        ("eth0", {"flags": "0x1003\n", "uevent": "INTERFACE=eth0\n", "type": "1\n"}, 0),
        ("eth0", {"flags": "0x1002\n"}, None),
        ("eth0:1", {"flags": "0x1003\n"}, 0),
        ("enx", {"flags": "0x1003\n", "uevent": "DEVTYPE=wwan\n", "type": "65534\n"}, 50),
        ("uplink", {"type": "512\n"}, 50),
        ("lan", {"uevent": "DEVTYPE=wlan\n"}, 10),
        ("lan", {"wireless/beacon": ""}, 10),
        ("lan", {"phy80211/name": ""}, 10),
        ("office", {"uevent": "DEVTYPE=wireguard\n"}, 60),
        ("office", {"tun_flags": "0x1"}, 60),
        ("office", {"type": "65534\n"}, 60),
        ("v6", {"type": "776\n"}, 60),
        ("wlp3s0", {}, 10),
        ("utun3", {}, 60),
        ("tailscale0", {}, 60),
        ("rmnet_data0", {}, 50),
        ("en0", {}, 0),
        ("Intel(R) Wi-Fi 6 AX201 160MHz", {}, 10),
        ("TAP-Windows Adapter V9", {}, 60),
        ("Realtek PCIe GbE Family Controller", {}, 0),
    ],
)
def test_an_interfaces_cost_is_read_off_the_system_or_its_name(
    tmp_path: Path, name: str, files: dict[str, str], cost: int | None
) -> None:
    device(tmp_path, name, files)
    assert interface_cost(name, tmp_path) == cost


@pytest.mark.parametrize(
    ("name", "internal"),
    [
        ("docker0", True),
        ("br-12ab", True),
        ("veth77", True),
        ("virbr0", True),
        ("vmnet8", True),
        ("bridge100", True),
        ("VirtualBox Host-Only Ethernet Adapter", True),
        ("eth0", False),
        ("bridge0", False),
        ("tun0", False),
        ("wg0", False),
    ],
)
def test_by_name_what_leads_to_containers_is_internal_and_what_leads_to_a_vpn_is_not(
    tmp_path: Path, name: str, internal: bool
) -> None:
    assert is_internal(name, tmp_path) is internal


@pytest.mark.parametrize(
    ("members", "internal"),
    [
        (["veth0a", "veth0b"], True),
        (["vnet3", "tap100i0"], True),
        ([], True),
        (["veth0a", "eth0"], False),
        (["lan1", "wlan0"], False),
    ],
)
@pytest.mark.parametrize("name", ["br0", "br-lan"])
def test_a_bridge_is_what_its_members_are_whatever_its_name(
    tmp_path: Path, name: str, members: list[str], internal: bool
) -> None:
    device(tmp_path, name, {"bridge/stp_state": "0", **{f"brif/{member}": "" for member in members}})
    assert is_internal(name, tmp_path) is internal


def test_a_bridge_whose_members_cannot_be_read_has_none(tmp_path: Path) -> None:
    device(tmp_path, "br0", {"bridge/stp_state": "0"})
    assert is_internal("br0", tmp_path)
