"""Relay sockets: asked for, opened, closed; and with them an allocation's beginning and end.

A part of `TurnServer`. An Allocate is answered when the driver has decided every socket of it; until then
the allocation is pending, and takes permissions and channels already (clients send them right behind).
"""

from __future__ import annotations

from typing import Final, final

from icepath.machine import Bind, Close, Handle, Opened
from icepath.net import Address, Instant
from icepath.outbox import Outbox
from icepath.timers import Timers
from icepath.turn.server.allocations import AllocationTable, Relay, ServerAllocation
from icepath.turn.server.config import (
    AllocationEnded,
    AllocationOpened,
    EndReason,
    TurnServerConfig,
    TurnServerEvent,
    family_of,
)
from icepath.turn.server.policy import REASONS, Plan
from icepath.wire.attributes import AddressErrorCode, Attribute, Lifetime, XorMappedAddress, XorRelayedAddress

NO_CAPACITY: Final = 508


@final
class Ports:
    """Opens and closes allocations."""

    __slots__ = ("_config", "_expiries", "_handle", "_outbox", "_table")

    def __init__(self, config: TurnServerConfig, table: AllocationTable, outbox: Outbox[TurnServerEvent]) -> None:
        self._config = config
        self._table = table
        self._outbox = outbox
        self._expiries: Timers[ServerAllocation] = Timers()
        self._handle = 0

    def open(self, allocation: ServerAllocation, plan: Plan, lifetime: int, now: Instant) -> None:
        """Takes in an allocation and asks for its sockets."""
        allocation.error = plan.error
        for host in plan.hosts:
            self._handle += 1
            handle = Handle(self._handle)
            allocation.relays.append(Relay(handle, family_of(host)))
            self._outbox.put(Bind(handle, Address(host, 0), port_range=self._config.port_range))
        self._table.add(allocation)
        self.refresh(allocation, lifetime, now)

    def refresh(self, allocation: ServerAllocation, lifetime: int, now: Instant) -> None:
        """Sets when an allocation ends by itself."""
        allocation.expiry = now + lifetime
        self._expiries.set(allocation, allocation.expiry)

    def on_opened(self, arrival: Opened, now: Instant) -> None:
        """Takes a socket; with the last one the Allocate is answered."""
        found = self._table.by_handle(arrival.handle)
        if found is None or found[1].address is not None:
            return
        allocation, relay = found
        self._table.open(allocation, relay, arrival.local)
        self._decide(allocation, now)

    def on_gone(self, handle: Handle, now: Instant) -> None:
        """Takes the news that a socket could not be opened, or ended by itself."""
        found = self._table.by_handle(handle)
        if found is None:
            return
        allocation, relay = found
        was_pending = allocation.is_pending
        self._table.remove_relay(allocation, relay)
        allocation.error = AddressErrorCode(relay.family, NO_CAPACITY, REASONS[NO_CAPACITY])
        if was_pending:
            self._decide(allocation, now)
        elif not allocation.relays:
            self.end(allocation, EndReason.NO_PORT)

    def answer(self, allocation: ServerAllocation, now: Instant) -> None:
        """Answers the Allocate; again, when it was retransmitted."""
        attributes: list[Attribute] = [XorRelayedAddress(address) for address in allocation.relayed]
        attributes.append(XorMappedAddress(allocation.exchange.five_tuple.client))
        attributes.append(Lifetime(max(1, round(allocation.expiry - now))))
        if allocation.error is not None:
            attributes.append(allocation.error)
        self._outbox.put(allocation.exchange.success(tuple(attributes)))

    def end(self, allocation: ServerAllocation, reason: EndReason, *, family: int | None = None) -> None:
        """Closes an allocation's sockets, or one family's; without any left it is no more."""
        relayed = allocation.relayed
        for relay in tuple(allocation.relays):
            if family is None or relay.family == family:
                self._outbox.put(Close(relay.handle))
                self._table.remove_relay(allocation, relay)
        if not allocation.relays:
            self._table.remove(allocation)
            self._expiries.cancel(allocation)
            username = allocation.exchange.username
            self._outbox.put(AllocationEnded(allocation.exchange.five_tuple.client, relayed, username, reason))

    def end_all(self) -> None:
        """Ends every allocation: the server closes."""
        for allocation in self._table:
            self.end(allocation, EndReason.CLOSED)

    def handle_timeout(self, now: Instant) -> None:
        """Ends the allocations whose time is over."""
        while (allocation := self._expiries.pop_due(now)) is not None:
            self.end(allocation, EndReason.EXPIRED)

    def next_deadline(self) -> Instant | None:
        """Returns when the next allocation expires, or None."""
        return self._expiries.next_deadline()

    def _decide(self, allocation: ServerAllocation, now: Instant) -> None:
        if allocation.is_pending:
            return
        exchange = allocation.exchange
        if not allocation.relays:
            self._outbox.put(exchange.error(NO_CAPACITY))
            self.end(allocation, EndReason.NO_PORT)
            return
        client, lifetime = exchange.five_tuple.client, round(allocation.expiry - now)
        self._outbox.put(AllocationOpened(client, allocation.relayed, exchange.username, lifetime))
        self.answer(allocation, now)
