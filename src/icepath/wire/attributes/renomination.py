"""The attributes that order nominations (ICE renomination), in both forms that are in use.

NOMINATION of draft-thatcher-tsvwg-renomination §3.3 (ICE option `renomination2`), and the first form of
draft-thatcher-ice-renomination §4 (option `renomination`), which names no type; deployed as GOOG-NOMINATION.
"""

# ruff: noqa: ARG003 - one signature for every attribute
from __future__ import annotations

from typing import ClassVar, Final, final

from icepath.wire.attributes.forms import Uint32Value, wrong_length

_MAX_UINT24: Final = 0xFF_FFFF


@final
class Nomination(Uint32Value):
    """Orders nominations: the largest value wins, per component and generation."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x0030
    NAME: ClassVar[str] = "NOMINATION"


@final
class GoogNomination(Uint32Value):
    """Orders nominations in the first draft's form: 24 bits, in the three least significant bytes."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0xC001
    NAME: ClassVar[str] = "GOOG-NOMINATION"
    MAX: ClassVar[int] = _MAX_UINT24

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> GoogNomination:
        """Decodes the value; its first byte is ignored."""
        if len(value) != 4:
            raise wrong_length(value, "4")
        return cls(int.from_bytes(value[1:], "big"))
