"""What the server makes of a request, before it touches any state: families, lifetimes, peers.

Pure functions from attributes and config to values or an error code (RFC 8656 §7.2, §8.2, §10.2, §12.2).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final, final

from icepath.net import Address, is_usable_destination
from icepath.turn.server.config import DEFAULT_LIFETIME, TurnServerConfig
from icepath.wire.attributes import (
    PROTOCOL_UDP,
    AdditionalAddressFamily,
    AddressErrorCode,
    AddressFamily,
    EvenPort,
    Lifetime,
    RequestedAddressFamily,
    RequestedTransport,
    ReservationToken,
)
from icepath.wire.message import Message

# RFC 8656 §19 and RFC 8489 §14.8: code -> reason phrase.
REASONS: Final[dict[int, str]] = {
    400: "Bad Request",
    403: "Forbidden",
    437: "Allocation Mismatch",
    440: "Address Family not Supported",
    441: "Wrong Credentials",
    442: "Unsupported Transport Protocol",
    443: "Peer Address Family Mismatch",
    486: "Allocation Quota Reached",
    508: "Insufficient Capacity",
}

# Not offered yet, so to this server they are attributes it does not know (420).
UNSUPPORTED: Final = (EvenPort, ReservationToken)


@dataclass(frozen=True, slots=True)
class Plan:
    """Is what an Allocate will get: addresses on these hosts, and why not of the other family."""

    hosts: tuple[str, ...]
    error: AddressErrorCode | None = None


def plan_allocation(message: Message, config: TurnServerConfig) -> Plan | int:
    """Returns what to allocate, or the error code to answer with (RFC 8656 §7.2, checks 3 to 9)."""
    transport = message.get(RequestedTransport)
    if transport is None:
        return 400
    if transport.protocol != PROTOCOL_UDP:
        return 442
    requested, additional = message.get(RequestedAddressFamily), message.get(AdditionalAddressFamily)
    if additional is not None:
        if requested is not None or additional.family != AddressFamily.IPV6:
            return 400
        return _plan_dual(config)
    host = config.relay_host(AddressFamily.IPV4 if requested is None else requested.family)
    return 440 if host is None else Plan((host,))


def _plan_dual(config: TurnServerConfig) -> Plan:
    hosts: list[str] = []
    error: AddressErrorCode | None = None
    for family in AddressFamily:
        host = config.relay_host(family)
        if host is None:
            error = AddressErrorCode(family, 440, REASONS[440])
        else:
            hosts.append(host)
    return Plan(tuple(hosts), error)


def granted_lifetime(wanted: Lifetime | None, config: TurnServerConfig) -> int:
    """Returns how long an allocation will live: the wish, within the default and the maximum (RFC 8656 §7.2)."""
    if wanted is None:
        return DEFAULT_LIFETIME
    return max(DEFAULT_LIFETIME, min(wanted.seconds, config.max_lifetime))


@final
class PeerPolicy:
    """Decides which hosts may be permitted: all that can be one host, but for the networks in the config."""

    __slots__ = ("_denied",)

    def __init__(self, denied: tuple[str, ...]) -> None:
        self._denied = tuple(ipaddress.ip_network(network) for network in denied)

    def is_denied(self, host: str) -> bool:
        """Says whether nothing may be relayed to the host: multicast, broadcast, unspecified, or denied."""
        if not is_usable_destination(Address(host, 1)):
            return True
        address = ipaddress.ip_address(host)
        return any(address.version == network.version and address in network for network in self._denied)
