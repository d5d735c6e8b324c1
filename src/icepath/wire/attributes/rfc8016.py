"""The attribute of RFC 8016 §3.2 (mobility with TURN): MOBILITY-TICKET."""

from __future__ import annotations

from typing import ClassVar, final

from icepath.wire.attributes.forms import OctetsValue


@final
class MobilityTicket(OctetsValue):
    """Carries the server's ticket; empty in a client's first request (RFC 8016 §3.1.1)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x8030
    NAME: ClassVar[str] = "MOBILITY-TICKET"
