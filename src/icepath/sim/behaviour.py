"""On how much of the remote end a NAT's mapping, or a gateway's filter, depends.

The names are those of RFC 4787 §4.1 and §5, which RFC 5382 §4 takes over for TCP.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TypeAlias

from icepath.net import Address


class Behaviour(Enum):
    """Says on how much of the remote end a mapping or a filter depends (RFC 4787 §4.1, §5)."""

    ENDPOINT_INDEPENDENT = auto()
    ADDRESS_DEPENDENT = auto()
    ADDRESS_AND_PORT_DEPENDENT = auto()


RemoteKey: TypeAlias = Address | str | None


def remote_key(behaviour: Behaviour, remote: Address) -> RemoteKey:
    """Returns the part of the remote end that the behaviour depends on."""
    if behaviour is Behaviour.ADDRESS_AND_PORT_DEPENDENT:
        return remote
    return remote.host if behaviour is Behaviour.ADDRESS_DEPENDENT else None
