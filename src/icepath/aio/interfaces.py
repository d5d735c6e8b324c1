"""Which local addresses are worth a host candidate (RFC 8445 §5.1.1.1), and how good each interface is.

The list of addresses is ifaddr's; what Linux tells besides of them (flags) comes from /proc, and what kind of thing
their interface is from devices.py. What is left out: loopback unless asked for, interfaces that are down, bridges and
pairs of containers and virtual machines (a caller's own filter decides instead), and IPv6 addresses that must or need
not be told.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Final, TypeAlias, final

import ifaddr

from icepath.aio.devices import COST_METERED, COST_WIRED, interface_cost, is_internal, read
from icepath.net import Instant, Seconds, canonical_host

InterfaceFilter: TypeAlias = Callable[[str, str], bool]
"""Says whether (interface name, IP address) may be used."""

# linux/if_addr.h.
FLAG_TEMPORARY: Final = 0x01
FLAG_DAD_FAILED: Final = 0x08
FLAG_DEPRECATED: Final = 0x20
FLAG_TENTATIVE: Final = 0x40
FLAGS_UNUSABLE: Final = FLAG_DAD_FAILED | FLAG_DEPRECATED | FLAG_TENTATIVE

IPV4_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")

IPV6_ADDRESSES: Final = Path("/proc/net/if_inet6")

# How long it is believed what the system said: asking takes a millisecond, which agents made in a burst share.
BELIEVED: Final[Seconds] = 0.1


@dataclass(frozen=True, slots=True)
class HostAddress:
    """Is one local address to bind."""

    host: str
    interface: str
    scope_id: int = 0
    """The interface's index, which a link-local IPv6 address needs."""
    cost: int = COST_WIRED
    prefix: int = 0
    """The length of its network's prefix, in bits."""


def usable_addresses(admit: InterfaceFilter | None = None, *, loopback: bool = False) -> tuple[HostAddress, ...]:
    """Returns the addresses to gather from, best interface first; `admit` replaces the filter by name."""
    view = system.view(time.monotonic())
    return choose(view.addresses, admit=admit or view.admits, loopback=loopback, flags=view.flags, cost=view.cost)


@final
class View:
    """Is what the system said at one moment; of interfaces, as they are asked for."""

    __slots__ = ("_costs", "_internal", "addresses", "flags")

    def __init__(self) -> None:
        self.addresses: Final = tuple(_system_addresses())
        self.flags: Final = ipv6_flags(read(IPV6_ADDRESSES))
        self._costs: dict[str, int | None] = {}
        self._internal: dict[str, bool] = {}

    def admits(self, name: str, _host: str) -> bool:
        """Is the default filter, asked once of each interface."""
        if name not in self._internal:
            self._internal[name] = is_internal(name)
        return not self._internal[name]

    def cost(self, name: str) -> int | None:
        """Returns the interface's cost; None when it is down."""
        if name not in self._costs:
            self._costs[name] = interface_cost(name)
        return self._costs[name]


@final
class System:
    """Remembers the last view for a moment."""

    __slots__ = ("_believed_until", "_view")

    def __init__(self) -> None:
        self._view: View | None = None
        self._believed_until: Instant = 0.0

    def view(self, now: Instant) -> View:
        """Returns a view that is no older than `BELIEVED`."""
        view = self._view
        if view is None or now >= self._believed_until:
            view = self._view = View()
            self._believed_until = now + BELIEVED
        return view


system: Final = System()
"""The one of this process."""


def choose(
    addresses: Iterable[HostAddress],
    *,
    admit: InterfaceFilter,
    loopback: bool,
    flags: dict[str, int],
    cost: Callable[[str], int | None],
) -> tuple[HostAddress, ...]:
    """Returns the addresses that pass every rule, each with its interface's cost, best first.

    `cost` returns None for an interface that is down.
    """
    chosen: dict[str, HostAddress] = {}
    for address in addresses:
        if not _is_candidate(address, loopback, flags) or address.host in chosen:
            continue
        if not admit(address.interface, address.host):
            continue
        level = cost(address.interface)
        if level is not None:
            # IPv4 link-local: of use between two computers on one cable, and rarely else.
            is_last_resort = address.host.startswith("169.254.")
            worth = max(level, COST_METERED) if is_last_resort else level
            chosen[address.host] = HostAddress(address.host, address.interface, address.scope_id, worth, address.prefix)
    return tuple(sorted(_without_trackable(list(chosen.values()), flags), key=attrgetter("cost")))


def is_external(name: str, _host: str) -> bool:
    """Is the default filter: leaves out interfaces of containers and virtual machines on this computer."""
    return not is_internal(name)


def ipv6_flags(table: str) -> dict[str, int]:
    """Parses /proc/net/if_inet6 into the flags of each address.

    fd000000000000000000000000000002 04 40 00 82     eth0     address, index, prefix, scope, flags, name
    """
    flags: dict[str, int] = {}
    for line in table.splitlines():
        fields = line.split()
        if len(fields) >= 6 and len(fields[0]) == 32:
            flags[str(ipaddress.IPv6Address(int(fields[0], 16)))] = int(fields[4], 16)
    return flags


def _system_addresses() -> Iterable[HostAddress]:
    for adapter in ifaddr.get_adapters():
        for address in adapter.ips:
            if isinstance(address.ip, str):
                text, scope = address.ip, 0
            else:
                text, scope = address.ip[0], address.ip[2]
            # ifaddr's nice_name is the system's own name on Linux and macOS, the friendly one on Windows.
            yield HostAddress(canonical_host(text), adapter.nice_name, scope, prefix=address.network_prefix)


def _is_candidate(address: HostAddress, loopback: bool, flags: dict[str, int]) -> bool:
    use = _use_of(address.host)
    if use is Use.LOOPBACK:
        # RFC 8445 §5.1.1.1: "Addresses from a loopback interface MUST NOT be included".
        return loopback
    return use is Use.ANY and not flags.get(address.host, 0) & FLAGS_UNUSABLE


class Use(Enum):
    """Is what an address may serve for."""

    NONE = auto()
    LOOPBACK = auto()
    ANY = auto()


@lru_cache(maxsize=256)
def _use_of(host: str) -> Use:
    parsed = ipaddress.ip_address(host)
    if parsed.is_loopback:
        return Use.LOOPBACK
    if parsed.is_unspecified or parsed.is_multicast:
        return Use.NONE
    # RFC 8445 §5.1.1.1: no site-local and no IPv4-compatible ones. Link-local ones would need a zone, which
    # candidates have not, and MUST NOT be told beside addresses that prevent tracking.
    if isinstance(parsed, ipaddress.IPv6Address) and (
        parsed.is_site_local or parsed.is_link_local or parsed in IPV4_COMPATIBLE
    ):
        return Use.NONE
    return Use.ANY


def _without_trackable(addresses: Sequence[HostAddress], flags: dict[str, int]) -> list[HostAddress]:
    """Leaves out IPv6 addresses that allow tracking where the same network has one that prevents it.

    RFC 8445 §5.1.1.1: such candidates "MUST NOT be gathered"; RFC 6724 §5 prefers temporary addresses anyhow.
    """
    private = {_network(address) for address in addresses if _is_temporary(address, flags)}
    if not private:
        return list(addresses)
    return [address for address in addresses if _is_temporary(address, flags) or _network(address) not in private]


def _is_temporary(address: HostAddress, flags: dict[str, int]) -> bool:
    return bool(flags.get(address.host, 0) & FLAG_TEMPORARY)


def _network(address: HostAddress) -> tuple[str, str]:
    network = ipaddress.ip_network((address.host, address.prefix), strict=False)
    return (address.interface, str(network))
