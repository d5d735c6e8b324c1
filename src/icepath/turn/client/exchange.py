"""What an allocation asks of its server, and what became of it: values that its parts hand each other.

How a request is signed, paced, sent again and matched is requests.py's; what each means is its asker's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from icepath.net import Address, Instant
from icepath.turn.client.events import AllocationFailure
from icepath.turn.client.routes import Path
from icepath.wire.attributes import Attribute
from icepath.wire.message import Message, Method


class Purpose(Enum):
    """Is what a request is for."""

    ALLOCATE = auto()
    EVICT = auto()
    """Deletes what stands in the way of our Allocate (437)."""
    REFRESH = auto()
    RELEASE = auto()
    """Deletes our allocation."""
    PERMISSION = auto()
    CHANNEL = auto()
    MIGRATE = auto()
    """Moves our allocation to another path."""
    CONNECT = auto()
    """Asks for a TCP connection to a peer (RFC 6062)."""
    CONNECTION_BIND = auto()
    """Says whose connection the one is that it goes along."""
    PROBE = auto()
    """Asks whether the server can be reached along another path; allocates nothing."""
    GIVE_BACK = auto()
    """Deletes what was granted along a path that was given up."""


METHODS: Final[dict[Purpose, Method]] = {
    Purpose.ALLOCATE: Method.ALLOCATE,
    Purpose.EVICT: Method.REFRESH,
    Purpose.REFRESH: Method.REFRESH,
    Purpose.RELEASE: Method.REFRESH,
    Purpose.PERMISSION: Method.CREATE_PERMISSION,
    Purpose.CHANNEL: Method.CHANNEL_BIND,
    Purpose.MIGRATE: Method.REFRESH,
    Purpose.CONNECT: Method.CONNECT,
    Purpose.CONNECTION_BIND: Method.CONNECTION_BIND,
    Purpose.PROBE: Method.BINDING,
    Purpose.GIVE_BACK: Method.REFRESH,
}


@dataclass(frozen=True, slots=True)
class Request:
    """Is what to ask of the server."""

    purpose: Purpose
    attributes: tuple[Attribute, ...]
    is_paced: bool
    """Takes a slot; refreshes of what is there already do not."""
    hosts: tuple[str, ...] = ()
    peer: Address | None = None
    is_early: bool = False
    """Was made before the Allocate was answered, so a 437 may be a matter of order."""
    is_alone: bool = False
    """Carries one host that must not share a request again."""
    path: Path | None = None
    """Where it goes; None means along the path in use."""


class Outcome(Enum):
    """Is what became of a request."""

    SUCCEEDED = auto()
    REFUSED = auto()
    TIMED_OUT = auto()
    RETRY = auto()
    """Submit it again: realm, nonce or credentials have changed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Is a request's end. With SUCCEEDED there is a `message`, otherwise a `failure`."""

    request: Request
    outcome: Outcome
    sent_at: Instant
    """When it was first sent: what the server granted ends no earlier than counted from here."""
    message: Message | None = None
    failure: AllocationFailure = AllocationFailure.NO_ANSWER
    code: int | None = None
    text: str = ""
    path: Path | None = None
    """Where the request went."""
    is_verified: bool = False
    """Whether the message carries integrity made with our key."""
