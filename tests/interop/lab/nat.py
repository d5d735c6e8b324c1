"""Packet-filter rules that make a router behave as one of the NATs of RFC 4787, or as a stateful firewall.

How the kernel is bent to each kind:

- `masquerade` keeps the port, so the mapping is endpoint-independent; connection tracking admits only answers, so the
  filtering is address- and port-dependent (apdf). `masquerade fully-random` draws a port per destination (sym).
- eif and adf are apdf plus a map of who sent from which port (to whom), filled as packets leave; what arrives from
  outside for a known port is sent on by `dnat`. It holds because the port is kept.
- Hairpinning is the same `dnat` for packets from inside to the outer address, with the outer address as their source;
  each side must have tried the other before, unless filtering is endpoint-independent.

A packet that a router does not want must be dropped before it is tracked for good. Otherwise its entry occupies the
five-tuple, and the next packet out of the same port to that remote gets another port: a NAT nobody asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class NatKind(StrEnum):
    """Mapping and filtering of a router."""

    NONE = "none"
    ENDPOINT_INDEPENDENT = "eif"
    ADDRESS_DEPENDENT = "adf"
    ADDRESS_AND_PORT_DEPENDENT = "apdf"
    SYMMETRIC = "sym"


@dataclass(frozen=True, slots=True)
class RouterRules:
    """What a router does with packets between its inner devices and its outer one."""

    nat: NatKind
    inner: Sequence[str]
    outer: str
    outer_address: str = ""
    hairpin: bool = False
    isolated: bool = False
    """Inner devices may not reach each other."""
    firewall: bool = False
    """Without NAT: only answers come in (IPv6 at home)."""
    allowed_tcp: tuple[int, ...] | None = None
    """When set: nothing may leave but TCP to these ports."""

    def text(self) -> str:
        """The rules, one statement a line."""
        tables = [_filter_table(self)]
        if self.nat is not NatKind.NONE:
            tables.append(_nat_table(self))
        return "\n".join(tables)


def _filter_table(rules: RouterRules) -> str:
    inner = _names(rules.inner)
    forward = ["ct state { established, related } accept"]
    if rules.allowed_tcp is not None:
        ports = ", ".join(str(port) for port in rules.allowed_tcp)
        forward += [f"iifname {inner} tcp dport != {{ {ports} }} drop", f"iifname {inner} meta l4proto != tcp drop"]
    if rules.isolated:
        forward.append(f"iifname {inner} oifname {inner} ct status & dnat == 0 drop")
    if rules.nat is not NatKind.NONE:
        forward.append(f'iifname "{rules.outer}" meta nfproto ipv4 ct status & dnat == 0 drop')
    if rules.firewall:
        forward.append(f'iifname "{rules.outer}" meta nfproto ipv6 drop')
    lines = [
        "table inet guard {",
        "chain input {",
        "type filter hook input priority filter; policy accept;",
        "meta l4proto { tcp, udp } ct state { new, invalid } drop",
        "}",
        "chain forward {",
        "type filter hook forward priority filter; policy accept;",
        *forward,
        "}",
        "}",
    ]
    return "\n".join(lines)


def _nat_table(rules: RouterRules) -> str:
    inner, outer = _names(rules.inner), f'"{rules.outer}"'
    learn, arrive = _arrivals(rules, outer)
    notice, back = _hairpin(rules, inner)
    arrive += back
    random = " fully-random" if rules.nat is NatKind.SYMMETRIC else ""
    turned = f"ip saddr @inside oifname {inner} ct status & dnat != 0 snat to {rules.outer_address}"
    lines = [
        "table ip nat {",
        "set inside {",
        "type ipv4_addr; flags interval;",
        "elements = { 10.0.0.0/8, 100.64.0.0/10, 192.168.0.0/16 }",
        "}",
        "map by_port {",
        "type inet_service : ipv4_addr; flags dynamic,timeout; timeout 300s;",
        "}",
        "set tried {",
        "type inet_service . inet_service; flags dynamic,timeout; timeout 300s;",
        "}",
        "map by_remote {",
        "type ipv4_addr . inet_service : ipv4_addr; flags dynamic,timeout; timeout 300s;",
        "}",
        "chain learn {",
        "type filter hook forward priority filter + 1; policy accept;",
        *learn,
        "}",
        "chain notice {",
        "type filter hook prerouting priority mangle; policy accept;",
        *notice,
        "}",
        "chain arrive {",
        "type nat hook prerouting priority dstnat; policy accept;",
        *arrive,
        "}",
        "chain leave {",
        "type nat hook postrouting priority srcnat; policy accept;",
        *([turned] if rules.hairpin else []),
        f"oifname {outer} masquerade{random}",
        "}",
        "}",
    ]
    return "\n".join(lines)


def _arrivals(rules: RouterRules, outer: str) -> tuple[list[str], list[str]]:
    """The rules that remember who sent, and those that let in what comes for it."""
    learn: list[str] = []
    arrive: list[str] = []
    if rules.nat is NatKind.ENDPOINT_INDEPENDENT or rules.hairpin:
        learn.append(f"oifname {outer} meta l4proto udp update @by_port {{ udp sport : ip saddr }}")
    if rules.nat is NatKind.ENDPOINT_INDEPENDENT:
        arrive.append(f"iifname {outer} meta l4proto udp dnat to udp dport map @by_port")
    if rules.nat is NatKind.ADDRESS_DEPENDENT:
        learn.append(f"oifname {outer} meta l4proto udp update @by_remote {{ ip daddr . udp sport : ip saddr }}")
        arrive.append(f"iifname {outer} meta l4proto udp dnat to ip saddr . udp dport map @by_remote")
    return learn, arrive


def _hairpin(rules: RouterRules, inner: str) -> tuple[list[str], list[str]]:
    """The rules that note who tries whom by its outer port, and those that turn packets back."""
    if not rules.hairpin:
        return [], []
    inward = f"iifname {inner} ip daddr {rules.outer_address} meta l4proto udp"
    notice = [f"{inward} update @tried {{ udp sport . udp dport }}"]
    # Address- and port-dependent filtering holds inside too: the other must have sent to this outer port before.
    filtering = "" if rules.nat is NatKind.ENDPOINT_INDEPENDENT else " udp dport . udp sport @tried"
    return notice, [f"{inward}{filtering} dnat to udp dport map @by_port"]


def _names(devices: Sequence[str]) -> str:
    return "{ " + ", ".join(f'"{device}"' for device in devices) + " }"
