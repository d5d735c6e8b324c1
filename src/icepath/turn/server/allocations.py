"""The server's allocations and how they are found: by five-tuple, by relayed address, by relay socket.

State only: what requests do to it is requests.py's, sockets are ports.py's. The
counts behind the quotas live here, so that every way an allocation ends gives its place back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, final

from icepath.machine import Handle
from icepath.net import Address, Instant
from icepath.turn.server.channels import ChannelTable
from icepath.turn.server.config import TurnServerConfig
from icepath.turn.server.exchange import Exchange, FiveTuple
from icepath.turn.server.permissions import PermissionTable
from icepath.wire.attributes import AddressErrorCode, AddressFamily


@final
class Relay:
    """Is one relay socket of an allocation; `address` is None until it is open."""

    __slots__ = ("address", "family", "handle")

    def __init__(self, handle: Handle, family: AddressFamily) -> None:
        self.handle: Final = handle
        self.family: Final = family
        self.address: Address | None = None


@final
class ServerAllocation:
    """Is one allocation, pending until all its sockets are decided."""

    __slots__ = ("channels", "error", "exchange", "expiry", "permissions", "relays")

    def __init__(self, exchange: Exchange, config: TurnServerConfig) -> None:
        self.exchange: Final = exchange
        """The Allocate; its transaction id tells a retransmission from a second request."""
        self.permissions: Final = PermissionTable(config.max_permissions)
        self.channels: Final = ChannelTable(config.max_channels)
        self.relays: list[Relay] = []
        self.error: AddressErrorCode | None = None
        """Why one of two families is missing."""
        self.expiry: Instant = 0.0

    @property
    def is_pending(self) -> bool:
        """Says whether a relay socket is still being opened."""
        return any(relay.address is None for relay in self.relays)

    @property
    def relayed(self) -> tuple[Address, ...]:
        """Are the relayed addresses that are open."""
        return tuple(relay.address for relay in self.relays if relay.address is not None)

    def has_family(self, family: int) -> bool:
        """Says whether the allocation has, or is about to have, an address of the family."""
        return any(relay.family == family for relay in self.relays)

    def relayed_for(self, peer: Address) -> Address | None:
        """Returns the relayed address that talks to a peer, or None."""
        for address in self.relayed:
            if address.is_ipv6 == peer.is_ipv6:
                return address
        return None


@final
class AllocationTable:
    """Keeps a server's allocations and counts them."""

    __slots__ = ("_by_five_tuple", "_by_handle", "_by_relayed", "_per_user")

    def __init__(self) -> None:
        self._by_five_tuple: dict[FiveTuple, ServerAllocation] = {}
        self._by_handle: dict[Handle, tuple[ServerAllocation, Relay]] = {}
        self._by_relayed: dict[Address, ServerAllocation] = {}
        self._per_user: dict[str | None, int] = {}

    def __len__(self) -> int:
        return len(self._by_five_tuple)

    def __iter__(self) -> Iterator[ServerAllocation]:
        return iter(tuple(self._by_five_tuple.values()))

    def count_of(self, username: str | None) -> int:
        """Returns how many allocations a user has."""
        return self._per_user.get(username, 0)

    def get(self, five_tuple: FiveTuple) -> ServerAllocation | None:
        """Returns a client's allocation, or None."""
        return self._by_five_tuple.get(five_tuple)

    def by_relayed(self, relayed: Address) -> ServerAllocation | None:
        """Returns whose relayed address it is, or None."""
        return self._by_relayed.get(relayed)

    def by_handle(self, handle: Handle) -> tuple[ServerAllocation, Relay] | None:
        """Returns whose relay socket it is, or None."""
        return self._by_handle.get(handle)

    def add(self, allocation: ServerAllocation) -> None:
        """Takes in an allocation with its relays, none of them open."""
        self._by_five_tuple[allocation.exchange.five_tuple] = allocation
        username = allocation.exchange.username
        self._per_user[username] = self.count_of(username) + 1
        for relay in allocation.relays:
            self._by_handle[relay.handle] = (allocation, relay)

    def open(self, allocation: ServerAllocation, relay: Relay, address: Address) -> None:
        """Notes a relay's address."""
        relay.address = address
        self._by_relayed[address] = allocation

    def remove_relay(self, allocation: ServerAllocation, relay: Relay) -> None:
        """Takes one relay out of an allocation."""
        allocation.relays.remove(relay)
        del self._by_handle[relay.handle]
        if relay.address is not None:
            self._by_relayed.pop(relay.address, None)
        allocation.permissions.remove_family(is_ipv6=relay.family is AddressFamily.IPV6)
        allocation.channels.remove_family(is_ipv6=relay.family is AddressFamily.IPV6)

    def remove(self, allocation: ServerAllocation) -> None:
        """Takes out an allocation and its relays."""
        for relay in tuple(allocation.relays):
            self.remove_relay(allocation, relay)
        del self._by_five_tuple[allocation.exchange.five_tuple]
        username = allocation.exchange.username
        left = self.count_of(username) - 1
        if left:
            self._per_user[username] = left
        else:
            del self._per_user[username]
