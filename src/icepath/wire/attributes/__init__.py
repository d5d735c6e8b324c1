"""Every STUN attribute icepath knows: a module per RFC, and here the names and the registry tables.

An attribute is an immutable value with `TYPE`, `NAME`, `encode(transaction_id)` and, on the class,
`decode(value, transaction_id)`. `DECODERS` is what a message with the magic cookie may hold before its
integrity; the three attributes that end a message (`TRAILERS`) are `message`'s own business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from icepath.wire.attributes.forms import MAGIC_COOKIE, MAGIC_COOKIE_BYTES, UnknownAttribute
from icepath.wire.attributes.renomination import GoogNomination, Nomination
from icepath.wire.attributes.rfc3489 import ChangedAddress, Password, ReflectedFrom, ResponseAddress, SourceAddress
from icepath.wire.attributes.rfc5780 import (
    CacheTimeout,
    ChangeRequest,
    OtherAddress,
    Padding,
    ResponseOrigin,
    ResponsePort,
)
from icepath.wire.attributes.rfc6062 import ConnectionId
from icepath.wire.attributes.rfc7635 import AccessToken, ThirdPartyAuthorization
from icepath.wire.attributes.rfc7982 import TransactionTransmitCounter
from icepath.wire.attributes.rfc8016 import MobilityTicket
from icepath.wire.attributes.rfc8445 import IceControlled, IceControlling, Priority, UseCandidate
from icepath.wire.attributes.rfc8489 import (
    AlternateDomain,
    AlternateServer,
    ErrorCode,
    Fingerprint,
    MappedAddress,
    MessageIntegrity,
    MessageIntegritySha256,
    Nonce,
    PasswordAlgorithm,
    PasswordAlgorithms,
    Realm,
    Software,
    UnknownAttributes,
    Userhash,
    Username,
    XorMappedAddress,
)
from icepath.wire.attributes.rfc8656 import (
    MAX_CHANNEL,
    MIN_CHANNEL,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    AdditionalAddressFamily,
    AddressErrorCode,
    AddressFamily,
    ChannelNumber,
    Data,
    DontFragment,
    EvenPort,
    Icmp,
    Lifetime,
    RequestedAddressFamily,
    RequestedTransport,
    ReservationToken,
    XorPeerAddress,
    XorRelayedAddress,
)
from icepath.wire.attributes.sped import DtlsInStun, DtlsInStunAcknowledgement

__all__ = [
    "Attribute", "KnownAttribute", "Decoder", "ATTRIBUTES", "DECODERS", "RFC3489_DECODERS", "TRAILERS",
    "attribute_name", "MAGIC_COOKIE", "MAGIC_COOKIE_BYTES", "UnknownAttribute",
    # RFC 3489
    "ChangedAddress", "Password", "ReflectedFrom", "ResponseAddress", "SourceAddress",
    # RFC 5780
    "CacheTimeout", "ChangeRequest", "OtherAddress", "Padding", "ResponseOrigin", "ResponsePort",
    # RFC 6062, RFC 7635, RFC 7982, RFC 8016
    "ConnectionId", "AccessToken", "ThirdPartyAuthorization", "TransactionTransmitCounter", "MobilityTicket",
    # RFC 8445 and renomination
    "IceControlled", "IceControlling", "Priority", "UseCandidate", "GoogNomination", "Nomination",
    # RFC 8489
    "AlternateDomain", "AlternateServer", "ErrorCode", "Fingerprint", "MappedAddress", "MessageIntegrity",
    "MessageIntegritySha256", "Nonce", "PasswordAlgorithm", "PasswordAlgorithms", "Realm", "Software",
    "UnknownAttributes", "Userhash", "Username", "XorMappedAddress",
    # RFC 8656
    "MAX_CHANNEL", "MIN_CHANNEL", "PROTOCOL_TCP", "PROTOCOL_UDP", "AdditionalAddressFamily", "AddressErrorCode",
    "AddressFamily", "ChannelNumber", "Data", "DontFragment", "EvenPort", "Icmp", "Lifetime",
    "RequestedAddressFamily", "RequestedTransport", "ReservationToken", "XorPeerAddress", "XorRelayedAddress",
    # DTLS in STUN
    "DtlsInStun", "DtlsInStunAcknowledgement",
]  # fmt: skip

KnownAttribute: TypeAlias = (
    MappedAddress
    | XorMappedAddress
    | Username
    | Userhash
    | MessageIntegrity
    | MessageIntegritySha256
    | Fingerprint
    | ErrorCode
    | UnknownAttributes
    | Realm
    | Nonce
    | PasswordAlgorithm
    | PasswordAlgorithms
    | Software
    | AlternateServer
    | AlternateDomain
    | ChannelNumber
    | Lifetime
    | XorPeerAddress
    | Data
    | XorRelayedAddress
    | RequestedAddressFamily
    | AdditionalAddressFamily
    | EvenPort
    | RequestedTransport
    | DontFragment
    | ReservationToken
    | AddressErrorCode
    | Icmp
    | Priority
    | UseCandidate
    | IceControlled
    | IceControlling
    | ChangeRequest
    | Padding
    | ResponsePort
    | ResponseOrigin
    | OtherAddress
    | CacheTimeout
    | ConnectionId
    | AccessToken
    | ThirdPartyAuthorization
    | TransactionTransmitCounter
    | MobilityTicket
    | Nomination
    | GoogNomination
    | DtlsInStun
    | DtlsInStunAcknowledgement
    | ResponseAddress
    | SourceAddress
    | ChangedAddress
    | Password
    | ReflectedFrom
)
"""Is any attribute with a type of its own."""

Attribute: TypeAlias = KnownAttribute | UnknownAttribute
"""Is any attribute a message may hold."""

Decoder: TypeAlias = Callable[[bytes, bytes], Attribute]
"""Decodes a value, given the transaction id."""

_CURRENT: Final[tuple[type[KnownAttribute], ...]] = (
    MappedAddress,
    XorMappedAddress,
    Username,
    Userhash,
    MessageIntegrity,
    MessageIntegritySha256,
    Fingerprint,
    ErrorCode,
    UnknownAttributes,
    Realm,
    Nonce,
    PasswordAlgorithm,
    PasswordAlgorithms,
    Software,
    AlternateServer,
    AlternateDomain,
    ChannelNumber,
    Lifetime,
    XorPeerAddress,
    Data,
    XorRelayedAddress,
    RequestedAddressFamily,
    AdditionalAddressFamily,
    EvenPort,
    RequestedTransport,
    DontFragment,
    ReservationToken,
    AddressErrorCode,
    Icmp,
    Priority,
    UseCandidate,
    IceControlled,
    IceControlling,
    ChangeRequest,
    Padding,
    ResponsePort,
    ResponseOrigin,
    OtherAddress,
    CacheTimeout,
    ConnectionId,
    AccessToken,
    ThirdPartyAuthorization,
    TransactionTransmitCounter,
    MobilityTicket,
    Nomination,
    GoogNomination,
    DtlsInStun,
    DtlsInStunAcknowledgement,
)
_RFC3489_ONLY: Final[tuple[type[KnownAttribute], ...]] = (
    ResponseAddress,
    SourceAddress,
    ChangedAddress,
    Password,
    ReflectedFrom,
)

TRAILERS: Final[frozenset[int]] = frozenset((MessageIntegrity.TYPE, MessageIntegritySha256.TYPE, Fingerprint.TYPE))
"""Are the types that end the attributes a receiver may use (RFC 8489 §9, §14.7)."""

ATTRIBUTES: Final[dict[int, type[KnownAttribute]]] = {kind.TYPE: kind for kind in (*_CURRENT, *_RFC3489_ONLY)}
"""Is every known attribute by its type."""

DECODERS: Final[dict[int, Decoder]] = {kind.TYPE: kind.decode for kind in _CURRENT if kind.TYPE not in TRAILERS}

RFC3489_DECODERS: Final[dict[int, Decoder]] = {**DECODERS, **{kind.TYPE: kind.decode for kind in _RFC3489_ONLY}}


def attribute_name(kind: int) -> str:
    """Returns the name of an attribute type as the RFCs write it, or its number."""
    known = ATTRIBUTES.get(kind)
    return f"0x{kind:04X}" if known is None else known.NAME
