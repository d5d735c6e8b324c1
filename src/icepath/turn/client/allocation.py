"""A TURN allocation as its client sees it: a machine with one server, over UDP, TCP, TLS or DTLS (RFC 8656).

Here are the verbs, the time and the end. parts.py has what it is made of, and which part an arrival is for.

Strategy: nothing waits for a round trip that can be saved. CreatePermission follows the Allocate before its
answer; data goes in Send indications until a channel is bound, and again when it no longer is; a refused
ChannelBind costs a header's size, never the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Final, final

from icepath.errors import InvalidArgument, InvalidState
from icepath.machine import Arrival, Bytes, Command, Datagram, Handle, MachineClosed, Transport
from icepath.net import MAX_PORT, Address, Instant, RandomBytes, canonical_host, is_usable_destination
from icepath.outbox import Outbox
from icepath.turn.client.config import AllocationConfig as AllocationConfig
from icepath.turn.client.events import AllocationEvent, ChannelFailed
from icepath.turn.client.grant import family_of
from icepath.turn.client.parts import Parts
from icepath.turn.client.paths import NextHandle
from icepath.turn.client.permissions import FAMILY_MISMATCH
from icepath.turn.client.requests import ReserveSlot
from icepath.turn.client.routes import Route
from icepath.turn.client.token import Credentials

# A UDP datagram holds 65,507 bytes; a Send indication to an IPv6 peer adds 56 and padding.
MAX_PAYLOAD: Final = 65_440

# Beyond this, 34,000 years, a float no longer tells instants of one retransmission apart (law 2).
_LATEST: Final[Instant] = 2.0**40


class _Stage(Enum):
    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()


@final
class Allocation:
    """Is one allocation on one server.

    New transactions go when `reserve_slot` says; a CreatePermission when `reserve_late_slot` does, if one is given:
    more urgent transactions go first, and hosts that become known meanwhile join it.

    `next_handle` gives out handles for byte streams: a child takes its parent's counter; without, it counts from 1.

    Emits: Datagram and Bytes to the server, Connect, Close, the events of events.py, DatagramDropped, MachineClosed.
    """

    __slots__ = ("_close_by", "_config", "_handles", "_now", "_outbox", "_parts", "_stage")

    def __init__(
        self,
        config: AllocationConfig,
        *,
        random_bytes: RandomBytes,
        reserve_slot: ReserveSlot,
        reserve_late_slot: ReserveSlot | None = None,
        next_handle: NextHandle | None = None,
        now: Instant,
    ) -> None:
        self._config = config
        self._outbox: Outbox[AllocationEvent] = Outbox()
        self._handles = 0
        self._parts = Parts(
            config,
            self._outbox,
            random_bytes=random_bytes,
            reserve_slot=reserve_slot,
            reserve_late_slot=reserve_late_slot,
            next_handle=next_handle or self._count_handle,
        )
        self._stage = _Stage.OPEN
        self._close_by: Instant | None = None
        self._now: Instant = -_LATEST
        self._parts.ways.begin(self._advance(now))

    # -- queries -------------------------------------------------------------------------------------------

    @property
    def relayed(self) -> tuple[Address, ...]:
        """Are the relayed addresses; empty when there is no allocation."""
        grant = self._parts.lease.grant
        return () if grant is None else grant.relayed

    @property
    def route(self) -> Route:
        """Is the way to the server that is in use, or tried first."""
        return self._parts.requests.path.route

    @property
    def is_mobile(self) -> bool:
        """Says whether the allocation can be moved to another local address now (RFC 8016)."""
        return self._parts.lease.ticket is not None

    def is_permitted(self, host: str) -> bool:
        """Says whether a permission for the host was asked for on the wire, and not refused."""
        return self._parts.permissions.is_permitted(host)

    @property
    def has_unsent_permissions(self) -> bool:
        """Says whether the CreatePermission that goes right behind the Allocate has not been sent yet."""
        return self._parts.permissions.has_unsent

    def channel_of(self, peer: Address) -> int | None:
        """Returns the channel bound to the peer, or None."""
        return self._parts.channels.channel_of(peer)

    # -- verbs ---------------------------------------------------------------------------------------------

    def permit(self, hosts: Iterable[str], *, now: Instant) -> None:
        """Wants permissions for these hosts, and keeps them; does nothing once the allocation has ended.

        Emits: Datagram, PermissionFailed with 443 for hosts of a family the allocation has not.
        Raises: InvalidArgument when one is no IP address.
        """
        wanted = tuple(dict.fromkeys(canonical_host(host) for host in hosts))
        now = self._advance(now)
        if not self._parts.lease.has_ended:
            self._parts.permissions.permit(wanted, now)

    def release(self, hosts: Iterable[str], *, now: Instant) -> None:
        """Lets permissions and channels of these hosts end: they are not renewed, their data is dropped."""
        unwanted = tuple(dict.fromkeys(canonical_host(host) for host in hosts))
        now = self._advance(now)
        self._parts.permissions.release(unwanted)
        self._parts.channels.release(unwanted, now)

    def bind_channel(self, peer: Address, *, now: Instant) -> None:
        """Wants a channel to the peer, with its permission, and keeps it; does nothing after a refusal.

        Emits: Datagram; ChannelFailed with 443 for a peer of a family the allocation has not.
        Raises: InvalidState before the allocation is there; InvalidArgument when nothing can be sent to the peer.
        """
        if self._parts.lease.is_pending or self._config.relay_transport is Transport.TCP:
            raise InvalidState(f"no channel to {peer} before there is an allocation, nor with one for TCP")
        if not is_usable_destination(peer) or canonical_host(peer.host) != peer.host:
            raise InvalidArgument(f"{peer} is no address that a channel could be bound to")
        now = self._advance(now)
        grant = self._parts.lease.grant
        if grant is None:
            return
        if family_of(peer.host) not in grant.families:
            self._outbox.put(ChannelFailed(peer, FAMILY_MISMATCH))
        elif self._parts.channels.bind(peer, now):
            self._parts.permissions.on_channel_sent(peer.host)

    def send(self, peer: Address, payload: bytes, *, dont_fragment: bool = False, now: Instant) -> None:
        """Sends a payload to the peer, on its channel when it has one.

        Emits: Datagram, or Bytes that may be dropped.
        Raises: InvalidState when there is no allocation, no permission, or the server cannot set DF;
            InvalidArgument when the payload is too long, or the port no port.
        """
        if self._parts.lease.grant is None or self._config.relay_transport is Transport.TCP:
            raise InvalidState(f"no allocation to send datagrams to {peer} from")
        if not self._parts.permissions.is_permitted(peer.host):
            # RFC 8656 §11.1: "the client MUST ensure that there is a permission installed".
            raise InvalidState(f"no permission for {peer.host}: permit it first")
        if dont_fragment and self._parts.lease.lacks_dont_fragment:
            raise InvalidState("the server cannot set DF")
        if len(payload) > MAX_PAYLOAD or not 0 < peer.port <= MAX_PORT:
            raise InvalidArgument(f"{len(payload)} bytes to {peer}, allowed are {MAX_PAYLOAD} to a port above 0")
        self._parts.data.send(self._parts.requests.path, peer, payload, dont_fragment, self._advance(now))

    def set_credentials(self, credentials: Credentials, *, now: Instant) -> None:
        """Gives credentials to use when the server rejects the present ones; at once if it has."""
        now = self._advance(now)
        if not self._parts.lease.has_ended:
            is_rejected = self._parts.lease.is_rejected or self._parts.permissions.is_rejected
            self._parts.requests.set_credentials(credentials, at_once=is_rejected)
            self._parts.lease.retry(now)
            self._parts.permissions.retry(now)

    def migrate(self, local: Address, *, now: Instant) -> None:
        """Moves the allocation to another local address of the same family; until `Migrated` it stays where it is.

        Emits: Datagram or Connect; then Migrated or MigrationFailed.
        Raises: InvalidState without a ticket of the server's, or when it is there already.
        RFC: 8016.
        """
        plan = self._parts.mobility.plan(local)
        self._parts.mobility.migrate(plan, self._advance(now))

    def connect_peer(self, peer: Address, *, now: Instant) -> None:
        """Asks for a TCP connection to a peer of a TCP allocation.

        Emits: Bytes; then PeerConnected or PeerConnectFailed.
        Raises: InvalidState when there is no TCP allocation, a connection to this peer, or no room for one;
            InvalidArgument when there can be none to such an address.
        RFC: 6062 §4.3.
        """
        grant = self._parts.lease.grant
        if grant is None or self._config.relay_transport is not Transport.TCP:
            raise InvalidState(f"no TCP allocation to connect to {peer} from")
        if not is_usable_destination(peer) or family_of(peer.host) not in grant.families:
            raise InvalidArgument(f"{peer} is no address that could be connected to")
        self._parts.connections.check(peer)
        self._parts.connections.connect(peer, self._advance(now))

    def send_to_peer(self, handle: Handle, payload: bytes, *, now: Instant) -> None:
        """Sends bytes along a connection of `PeerConnected`.

        Emits: Bytes.
        Raises: InvalidState when it is no such connection (any more).
        """
        self._parts.connections.send(handle, payload)
        self._advance(now)

    def disconnect_peer(self, handle: Handle, *, now: Instant) -> None:
        """Ends a connection to a peer, if it is one."""
        self._parts.connections.disconnect(handle)
        self._advance(now)

    # -- the machine ---------------------------------------------------------------------------------------

    def receive(self, arrival: Arrival, *, now: Instant) -> None:
        """Takes what came from the server; drops everything else."""
        now = self._advance(now)
        if self._stage is not _Stage.CLOSED:
            self._parts.receive(arrival, now)
            if self._parts.is_over:
                self._finish()

    def handle_timeout(self, *, now: Instant) -> None:
        """Does all that is due."""
        now = self._advance(now)
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            self._parts.handle_timeout(now)
            if self._parts.is_over or (self._close_by is not None and self._close_by <= now):
                self._finish()

    def next_deadline(self) -> Instant | None:
        """Returns when something is due, or None."""
        deadline = self._parts.next_deadline()
        if deadline is None or self._close_by is None:
            return self._close_by if deadline is None else deadline
        return min(deadline, self._close_by)

    def close(self, *, now: Instant) -> None:
        """Gives the allocation back: within `close_timeout`, or at once when there is none."""
        now = self._advance(now)
        if self._stage is not _Stage.OPEN:
            return
        self._stage = _Stage.CLOSING
        self._parts.close(now)
        self._close_by = now + self._config.close_timeout
        if self._parts.is_over:
            self._finish()

    def take_outputs(self) -> Sequence[Datagram | Bytes | Command | AllocationEvent]:
        """Returns what was output since the last call."""
        return self._outbox.take()

    def _finish(self) -> None:
        self._stage = _Stage.CLOSED
        self._close_by = None
        self._parts.reset()
        self._outbox.put(MachineClosed())

    def _count_handle(self) -> Handle:
        self._handles += 1
        return Handle(self._handles)

    def _advance(self, now: Instant) -> Instant:
        if self._now < now <= _LATEST:
            self._now = now
        return self._now
