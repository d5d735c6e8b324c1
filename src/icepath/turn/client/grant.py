"""What an Allocate or Refresh asks for, and what the answer to an Allocate grants (RFC 8656 §§7.1, 7.3, 8.1).

Pure functions between config, attributes and values; when to ask and what follows is allocation.py's.
"""

from __future__ import annotations

from dataclasses import dataclass

from icepath.machine import Transport
from icepath.net import Address, is_usable_destination, same_family
from icepath.turn.client.config import DEFAULT_LIFETIME, AllocationConfig
from icepath.turn.client.events import AddressFamilyRefused
from icepath.turn.client.exchange import Purpose, Request
from icepath.wire.attributes import (
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    AdditionalAddressFamily,
    AddressErrorCode,
    AddressFamily,
    Attribute,
    DontFragment,
    EvenPort,
    Lifetime,
    MobilityTicket,
    RequestedAddressFamily,
    RequestedTransport,
    ReservationToken,
    Software,
    XorMappedAddress,
    XorRelayedAddress,
)
from icepath.wire.message import Message


@dataclass(frozen=True, slots=True)
class Grant:
    """Is what the server allocated."""

    relayed: tuple[Address, ...]
    """One per family, IPv4 first."""
    families: tuple[AddressFamily, ...]
    mapped: Address | None
    lifetime: int
    refused: AddressFamilyRefused | None
    reservation: bytes | None = None
    """The token of the next port, when it was asked for (RFC 8656 §7.2)."""

    def relayed_for(self, peer: Address) -> Address | None:
        """Returns the relayed address that a peer of this family talks to."""
        for address in self.relayed:
            if same_family(address, peer):
                return address
        return None


def family_of(host: str) -> AddressFamily:
    """Returns the family of a canonical host."""
    return AddressFamily.IPV6 if ":" in host else AddressFamily.IPV4


def allocate_request(config: AllocationConfig, *, lacking: frozenset[int] = frozenset()) -> Request:
    """Returns the Allocate that the config describes, without the attributes of the types that the server lacks."""
    protocol = PROTOCOL_TCP if config.relay_transport is Transport.TCP else PROTOCOL_UDP
    attributes: list[Attribute] = [RequestedTransport(protocol)]
    if config.reservation is not None:
        # RFC 8656 §7.1: with it there are neither families nor EVEN-PORT: the port kept has its own.
        attributes.append(ReservationToken(config.reservation))
    elif len(config.families) > 1:
        # RFC 8656 §7.1: it "MUST be set to 0x02 (IPv6 address family)".
        attributes.append(AdditionalAddressFamily(AddressFamily.IPV6))
    elif AddressFamily.IPV6 in config.families:
        attributes.append(RequestedAddressFamily(AddressFamily.IPV6))
    if config.even_port is not None:
        attributes.append(EvenPort(config.even_port))
    if config.lifetime != DEFAULT_LIFETIME:
        attributes.append(Lifetime(config.lifetime))
    if config.mobility and MobilityTicket.TYPE not in lacking:
        # RFC 8016 §3.1.1: "with a length of zero".
        attributes.append(MobilityTicket(b""))
    if config.dont_fragment and DontFragment.TYPE not in lacking:
        attributes.append(DontFragment())
    return Request(Purpose.ALLOCATE, (*attributes, *_software(config)), is_paced=True)


def refresh_request(config: AllocationConfig, purpose: Purpose) -> Request:
    """Returns the Refresh for that purpose: REFRESH and MIGRATE renew, the others delete."""
    lifetime = config.lifetime if purpose in (Purpose.REFRESH, Purpose.MIGRATE) else 0
    return Request(purpose, (Lifetime(lifetime), *_software(config)), is_paced=False)


def read_grant(message: Message, config: AllocationConfig) -> Grant | None:
    """Returns what an Allocate success response grants; None when it is not what was asked for.

    RFC: 8656 §7.3 (such an allocation MUST be deleted, and not be tried again).
    """
    by_family: dict[AddressFamily, Address] = {}
    for attribute in message.get_all(XorRelayedAddress):
        family = family_of(attribute.address.host)
        if family not in config.families or not is_usable_destination(attribute.address):
            return None
        by_family.setdefault(family, attribute.address)
    lifetime = message.get(Lifetime)
    seconds = DEFAULT_LIFETIME if lifetime is None else lifetime.seconds
    if not by_family or not seconds:
        return None
    families = tuple(sorted(by_family))
    mapped = message.get(XorMappedAddress)
    error = message.get(AddressErrorCode)
    reservation = message.get(ReservationToken) if config.even_port else None
    return Grant(
        relayed=tuple(by_family[family] for family in families),
        families=families,
        mapped=None if mapped is None else mapped.address,
        lifetime=seconds,
        refused=None if error is None else AddressFamilyRefused(error.family, error.code, error.reason),
        reservation=None if reservation is None else reservation.token,
    )


def _software(config: AllocationConfig) -> tuple[Attribute, ...]:
    return () if config.software is None else (Software(config.software),)
