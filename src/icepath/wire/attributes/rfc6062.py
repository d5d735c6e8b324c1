"""The attribute of RFC 6062 §6.2 (TURN over TCP relays): CONNECTION-ID."""

from __future__ import annotations

from typing import ClassVar, final

from icepath.wire.attributes.forms import Uint32Value


@final
class ConnectionId(Uint32Value):
    """Names one peer data connection of an allocation (RFC 6062 §6.2.1)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x002A
    NAME: ClassVar[str] = "CONNECTION-ID"
