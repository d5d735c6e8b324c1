"""What kind of thing an interface is: inside this computer or not, and how good (RFC 8421 §3).

Linux says much of it under /sys/class/net; where it does not, and elsewhere, the interface's name has to do. Neither
is proof: a filter of the caller's own decides instead of `is_internal`, and a cost only orders.

Strategy: bridges are judged by their members, for a bridge of containers and one that has the wire look alike in
all else; a tunnel is worse than all that it may run over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

NETWORK_DEVICES: Final = Path("/sys/class/net")

COST_WIRED: Final = 0
COST_WIRELESS: Final = 10
COST_METERED: Final = 50
COST_TUNNEL: Final = 60

# Names, in lower case. Linux and macOS begin them with the kind; what Windows calls an interface is a description, in
# which the word may be anywhere.
# Both ends are on this computer: nothing beyond it is reached that the real interface does not reach. Of Linux'
# container engines and hypervisors, then of macOS.
INTERNAL_NAMES: Final = (
    *(
        "docker",
        "br-",
        "veth",
        "virbr",
        "vnet",
        "lxc",
        "lxdbr",
        "incusbr",
        "podman",
        "cni",
        "flannel",
        "cali",
        "cilium",
    ),
    *("kube-", "weave", "nerdctl", "vmnet", "vboxnet", "vnic", "bridge1", "vmenet"),
)
INTERNAL_WORDS: Final = ("virtualbox host-only", "vmware virtual ethernet")
# What a bridge has of virtual machines.
TAP_NAMES: Final = ("tap", "macvtap")
WIRELESS_NAMES: Final = ("wl", "ath", "awdl", "llw")
WIRELESS_WORDS: Final = ("wi-fi", "wifi", "wireless", "802.11")
METERED_NAMES: Final = ("ww", "rmnet", "ccmni", "pdp_ip", "ppp")
METERED_WORDS: Final = ("cellular", "mobile broadband", "wwan")
TUNNEL_NAMES: Final = ("tun", "tap", "utun", "wg", "ipsec", "zt", "nordlynx", "sit", "gre", "gif", "stf")
TUNNEL_WORDS: Final = ("vpn", "wireguard", "wintun", "tap-windows", "tailscale", "zerotier", "teredo", "isatap")
METERED_KINDS: Final = ("wwan", "ppp")
TUNNEL_KINDS: Final = ("wireguard", "gre", "sit", "ip6tnl")
# linux/if_arp.h: PPP; TUNNEL, TUNNEL6, SIT, IPGRE, IP6GRE, and NONE, of tunnels without a link layer.
METERED_TYPES: Final = ("512",)
TUNNEL_TYPES: Final = ("768", "769", "776", "778", "823", "65534")
IFF_UP: Final = 0x1


def is_internal(name: str, devices: Path = NETWORK_DEVICES) -> bool:
    """Says whether the interface leads to containers and virtual machines of this computer only."""
    device = _device(name, devices)
    if (device / "bridge").exists():
        return not any(_leads_out(member) for member in _members(device))
    return _is_called(name.lower(), INTERNAL_NAMES, INTERNAL_WORDS)


def interface_cost(name: str, devices: Path = NETWORK_DEVICES) -> int | None:
    """Returns 0 for wired, 10 for wireless, 50 for cellular, 60 for tunnels; None when the interface is down."""
    device = _device(name, devices)
    state = read(device / "flags").strip()
    if state.startswith("0x") and not int(state, 16) & IFF_UP:
        return None
    cost = _told_cost(device)
    return _named_cost(name.lower()) if cost is None else cost


def read(path: Path) -> str:
    """Returns a file of the system's as text; empty when it cannot be read."""
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""


def _told_cost(device: Path) -> int | None:
    """Returns the cost by what the system says, or None when it says nothing."""
    kind, link = _kind(read(device / "uevent")), read(device / "type").strip()
    if kind in METERED_KINDS or link in METERED_TYPES:
        return COST_METERED
    if kind in TUNNEL_KINDS or link in TUNNEL_TYPES or (device / "tun_flags").exists():
        return COST_TUNNEL
    is_wireless = kind == "wlan" or (device / "wireless").exists() or (device / "phy80211").exists()
    return COST_WIRELESS if is_wireless else None


def _named_cost(name: str) -> int:
    if _is_called(name, METERED_NAMES, METERED_WORDS):
        return COST_METERED
    if _is_called(name, TUNNEL_NAMES, TUNNEL_WORDS):
        return COST_TUNNEL
    return COST_WIRELESS if _is_called(name, WIRELESS_NAMES, WIRELESS_WORDS) else COST_WIRED


def _is_called(name: str, beginnings: tuple[str, ...], words: tuple[str, ...]) -> bool:
    return name.startswith(beginnings) or any(word in name for word in words)


def _device(name: str, devices: Path) -> Path:
    # An alias ("eth0:1") is an address of its device.
    return devices / name.partition(":")[0]


def _members(bridge: Path) -> list[str]:
    try:
        return [member.name for member in (bridge / "brif").iterdir()]
    except OSError:
        return []


def _leads_out(member: str) -> bool:
    return not member.startswith(INTERNAL_NAMES + TAP_NAMES)


def _kind(uevent: str) -> str:
    for line in uevent.splitlines():
        name, _, value = line.partition("=")
        if name == "DEVTYPE":
            return value
    return ""
