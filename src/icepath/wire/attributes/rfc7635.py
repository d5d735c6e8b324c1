"""The attributes of RFC 7635 §6 (third-party authorization). The token is opaque here."""

from __future__ import annotations

from typing import ClassVar, final

from icepath.wire.attributes.forms import OctetsValue, TextValue


@final
class AccessToken(OctetsValue):
    """Is the authorization server's token (RFC 7635 §6.2); its repr hides it."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x001B
    NAME: ClassVar[str] = "ACCESS-TOKEN"

    def __repr__(self) -> str:
        return f"AccessToken({len(self.value)} bytes)"


@final
class ThirdPartyAuthorization(TextValue):
    """Says that the server takes third-party authorization, and the server's name for it (RFC 7635 §6.1)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x802E
    NAME: ClassVar[str] = "THIRD-PARTY-AUTHORIZATION"
    # RFC 7635 §6.1 sets no limit; a server's name is a DNS name, of 255 characters at most.
    MAX_CHARACTERS: ClassVar[int] = 255
    MAX_SENT: ClassVar[int] = 763
