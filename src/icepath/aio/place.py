"""A connection's place at a shared socket: to its `Running` it is a socket, to the endpoint one of many.

What leaves is shown to the router first, flows are set only for a five-tuple that this connection holds, and closing
gives the place back while the socket stays. What arrives is the endpoint's to hand out. Datagrams between two
connections of one endpoint never reach the system, which could not say who sent them.
"""

from __future__ import annotations

import time
from typing import Final, Protocol, final

from icepath.aio.flows import LAST_STUN_BYTE, Flow, Sink
from icepath.aio.interfaces import HostAddress
from icepath.aio.udp import UdpSocket
from icepath.ice.router import Member, Router
from icepath.machine import Datagram, DropReason, FlowKey, FlowUsed, SetFlow, Unreachable
from icepath.net import Address, Instant

# ICMP's "port unreachable", by type and code.
UNREACHABLE: Final = (3, 3)
UNREACHABLE6: Final = (1, 4)


class Resident(Protocol):
    """Is what an endpoint needs of the `Running` of a connection."""

    def on_datagram(self, datagram: Datagram, now: Instant) -> None:
        """Takes one datagram."""

    def on_unreachable(self, unreachable: Unreachable, now: Instant) -> None:
        """Takes one ICMP error."""

    def on_drained(self, now: Instant) -> None:
        """Is called when a wake-up's datagrams have all been given."""

    def on_backlog(self, queued: bool) -> None:
        """Is called when what it sends begins to queue, and when all is sent."""

    def on_socket_closed(self, closed: Place) -> None:
        """Is called when the place is given back."""


class Host(Protocol):
    """Is what a place needs of its endpoint."""

    @property
    def router(self) -> Router:
        """Returns who knows whose a packet is."""
        ...

    def is_inside(self, remote: Address) -> bool:
        """Says whether that is an address of the endpoint itself."""
        ...

    def carry_inside(self, sender: Member, datagram: Datagram) -> bool:
        """Takes a datagram to an address of the endpoint itself; False when it is to elsewhere."""
        ...

    def drop(self, reason: DropReason) -> None:
        """Counts what was not sent or not given to anybody."""

    def wait_for_room(self, place: Place) -> None:
        """Has the place's resident told when the socket has sent what it queues."""

    def leave(self, place: Place) -> None:
        """Takes a place back."""


@final
class Place:
    """Is one connection's part of a shared socket."""

    __slots__ = (
        "_flows",
        "_host",
        "_socket",
        "address",
        "dropped_on_send",
        "found",
        "is_waiting",
        "member",
        "resident",
    )

    def __init__(self, host: Host, socket: UdpSocket, found: HostAddress, member: Member, resident: Resident) -> None:
        self.address: Final = socket.address
        self.found: Final = found
        """Which of the host's addresses it is."""
        self.member: Final = member
        self.resident: Final = resident
        self.is_waiting = False
        """The socket queues, and the resident was told so."""
        self.dropped_on_send = 0
        self._host = host
        self._socket = socket
        # Rarely more than one, and an empty set takes 216 bytes.
        self._flows: tuple[Flow, ...] = ()

    # -- sending ---------------------------------------------------------------------------------------------------

    def send(self, datagram: Datagram) -> None:
        """Sends now, or queues; what would use another connection's five-tuple is dropped and counted."""
        payload = datagram.payload
        is_control = bool(payload) and payload[0] <= LAST_STUN_BYTE
        if is_control and not self._host.router.sent(self.member, datagram, now=time.monotonic()):
            self._refuse(datagram)
        elif not self._host.carry_inside(self.member, datagram):
            self._socket.send(datagram)
            if self._socket.backlog and not self.is_waiting:
                self._host.wait_for_room(self)

    def _refuse(self, datagram: Datagram) -> None:
        """Says that nothing gets there from here: a check need not wait for an answer that cannot come."""
        self._host.drop(DropReason.FIVE_TUPLE_TAKEN)
        icmp_type, icmp_code = UNREACHABLE6 if self.address.is_ipv6 else UNREACHABLE
        unreachable = Unreachable(self.address, datagram.remote, icmp_type, icmp_code)
        self.resident.on_unreachable(unreachable, time.monotonic())

    def relay(self, remote: Address, payload: bytes) -> None:
        """Sends what a `Relay` flow carried."""
        self._socket.relay(remote, payload)

    # -- flows: the place is its own table, a part of the socket's -------------------------------------------------

    @property
    def flows(self) -> Place:
        """Returns the connection's part of the socket's flows."""
        return self

    def set(self, command: SetFlow, sink: Sink) -> FlowUsed | None:
        """Adds or renews a flow, unless the five-tuple is another connection's; what a flow may do, the agent can."""
        key = command.key
        if self._host.is_inside(key.remote):
            return None  # flows are of the socket, and what is inside passes by it
        if not self._host.router.confirm(self.member, key.local, key.remote, command.until, now=time.monotonic()):
            return None
        used = self._socket.flows.set(command, sink)
        flow = self._socket.flows.find(key)
        assert flow is not None  # it has just been set
        self._flows = (*(other for other in self._flows if other.key != key), flow)
        return used

    def drop(self, key: FlowKey) -> FlowUsed | None:
        """Removes a flow of this connection; returns what it had carried."""
        for flow in self._flows:
            if flow.key == key:
                self._flows = tuple(other for other in self._flows if other is not flow)
                self._host.router.release(self.member, key.local, key.remote, now=time.monotonic())
                if self._socket.flows.find(key) is flow:  # it may have lapsed, and be another connection's now
                    self._socket.flows.drop(key)
                return flow.used()
        return None

    def used(self) -> list[FlowUsed]:
        """Returns what this connection's flows carried since the last report."""
        return [report for report in (flow.used() for flow in self._flows) if report is not None]

    # -- the end ---------------------------------------------------------------------------------------------------

    def close(self, *, abort: bool = False) -> None:  # noqa: ARG002 - what is queued is the socket's
        """Gives the place back; what is queued is still sent."""
        for flow in self._flows:
            self.drop(flow.key)
        if self.is_waiting:
            self.is_waiting = False
            self.resident.on_backlog(False)
        self._host.leave(self)
        self.resident.on_socket_closed(self)
