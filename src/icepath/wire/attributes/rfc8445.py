"""The attributes of RFC 8445 §16.1 (ICE): priority, nomination by USE-CANDIDATE, role and tie-breaker."""

# ruff: noqa: ARG002, ARG003 - one signature for every attribute
from __future__ import annotations

from typing import ClassVar, Final, Self, final

from icepath.wire.attributes.forms import MAX_UINT64, AttributeValue, Uint32Value, check_range, from_bytes, wrong_length


@final
class Priority(Uint32Value):
    """Is the priority a peer-reflexive candidate learned from this check would have (RFC 8445 §7.1.1)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x0024
    NAME: ClassVar[str] = "PRIORITY"
    # RFC 8445 §5.1.2: a positive integer between 1 and 2**31 - 1.
    MIN: ClassVar[int] = 1
    MAX: ClassVar[int] = 0x7FFF_FFFF


@final
class UseCandidate(AttributeValue):
    """Nominates the pair this check runs on (RFC 8445 §7.1.2); has no value."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x0025
    NAME: ClassVar[str] = "USE-CANDIDATE"

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> UseCandidate:
        """Decodes the empty value."""
        if value:
            raise wrong_length(value, "0")
        return _USE_CANDIDATE

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the empty value."""
        return b""


_USE_CANDIDATE: Final = UseCandidate()


class TieBreakerValue(AttributeValue):
    """Is an attribute that states the sender's role with its 64-bit tie-breaker (RFC 8445 §7.1.3)."""

    __slots__ = ("tie_breaker",)
    FIELDS: ClassVar[tuple[str, ...]] = ("tie_breaker",)

    def __init__(self, tie_breaker: int) -> None:
        self.tie_breaker: Final = tie_breaker

    @classmethod
    def decode(cls, value: bytes, transaction_id: bytes) -> Self:
        """Decodes the value."""
        if len(value) != 8:
            raise wrong_length(value, "8")
        return cls(from_bytes(value, "big"))

    def encode(self, transaction_id: bytes) -> bytes:
        """Returns the value."""
        check_range("tie-breaker", self.tie_breaker, 0, MAX_UINT64)
        return self.tie_breaker.to_bytes(8, "big")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(0x{self.tie_breaker:016x})"


@final
class IceControlled(TieBreakerValue):
    """Says that the sender is controlled (RFC 8445 §7.1.3)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x8029
    NAME: ClassVar[str] = "ICE-CONTROLLED"


@final
class IceControlling(TieBreakerValue):
    """Says that the sender is controlling (RFC 8445 §7.1.3)."""

    __slots__ = ()
    TYPE: ClassVar[int] = 0x802A
    NAME: ClassVar[str] = "ICE-CONTROLLING"
