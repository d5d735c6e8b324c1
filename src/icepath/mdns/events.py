"""What the mDNS machine reports."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from icepath.machine import DatagramDropped, Event, Handle, MachineClosed


class NotFound(StrEnum):
    """Says why a name has no address."""

    BAD_NAME = "bad-name"
    """It is not of the form that agents make, and is not asked for (draft §3.2.2)."""
    NO_LINK = "no-link"
    """No network here takes multicast."""
    NO_ANSWER = "no-answer"
    NO_ADDRESS = "no-address"
    """Its owner says that it has none."""
    SEVERAL_ADDRESSES = "several-addresses"
    """Draft §3.2.2: such a candidate is ignored."""
    LIMIT = "limit"
    """Too many names are being asked for."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class NameResolved(Event):
    """Answers `resolve`."""

    query: Handle
    name: str
    addresses: tuple[str, ...]
    """One: a name that has more counts as not found."""


@dataclass(frozen=True, slots=True)
class NameNotFound(Event):
    """Answers `resolve`."""

    query: Handle
    name: str
    reason: NotFound


MdnsEvent: TypeAlias = NameResolved | NameNotFound | DatagramDropped | MachineClosed
