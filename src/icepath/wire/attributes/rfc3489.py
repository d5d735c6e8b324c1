"""The attributes of RFC 3489 §11.2 that later versions of STUN dropped.

They are read only in messages without the magic cookie: elsewhere these types are reserved, and a request
that has one is answered with 420 like any unknown one. CHANGED-ADDRESS became OTHER-ADDRESS with another
number; CHANGE-REQUEST lives on in `rfc5780`.
"""

from __future__ import annotations

from typing import ClassVar, final

from icepath.wire.attributes.forms import AddressValue, OctetsValue


@final
class ResponseAddress(AddressValue):
    """Asks for the response at another address (RFC 3489 §11.2.2); a server here never follows it."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x0002
    NAME: ClassVar[str] = "RESPONSE-ADDRESS"


@final
class SourceAddress(AddressValue):
    """Is the address the response was sent from (RFC 3489 §11.2.5)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x0004
    NAME: ClassVar[str] = "SOURCE-ADDRESS"


@final
class ChangedAddress(AddressValue):
    """Is the address that CHANGE-REQUEST would answer from (RFC 3489 §11.2.3)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x0005
    NAME: ClassVar[str] = "CHANGED-ADDRESS"


@final
class Password(OctetsValue):
    """Is the password of a Shared Secret Response (RFC 3489 §11.2.7); its repr hides it."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x0007
    NAME: ClassVar[str] = "PASSWORD"

    def __repr__(self) -> str:
        return "Password(***)"


@final
class ReflectedFrom(AddressValue):
    """Is where a request with RESPONSE-ADDRESS came from (RFC 3489 §11.2.11)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x000B
    NAME: ClassVar[str] = "REFLECTED-FROM"
