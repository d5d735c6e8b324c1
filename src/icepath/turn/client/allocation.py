"""A TURN allocation as its client sees it: a machine with one server, over UDP, TCP, TLS or DTLS (RFC 8656).

Here are the verbs, the routing of what arrives, and the end. The parts: `ways` finds and keeps the way to the
server, `lease` is the allocation's own life, `permissions`, `channels` and `data` are built on it, `requests`
signs, paces and matches for all of them.

Strategy: nothing waits for a round trip that can be saved. CreatePermission follows the Allocate before its
answer; data goes in Send indications until a channel is bound, and again when it no longer is; a refused
ChannelBind costs a header's size, never the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Final, final

from icepath.errors import DecodeError, InvalidArgument, InvalidState
from icepath.machine import (
    Arrival,
    Bytes,
    Closed,
    Command,
    Datagram,
    DropReason,
    Failed,
    Handle,
    MachineClosed,
    Opened,
    Transport,
    Unreachable,
    flow_channel,
)
from icepath.net import MAX_PORT, Address, Instant, RandomBytes, canonical_host, is_usable_destination
from icepath.outbox import Outbox
from icepath.stun.transaction import drop_reason
from icepath.turn.client.channels import Channels
from icepath.turn.client.config import AllocationConfig as AllocationConfig
from icepath.turn.client.connections import PeerConnections
from icepath.turn.client.data import PeerData
from icepath.turn.client.events import AllocationEvent, ChannelFailed
from icepath.turn.client.grant import family_of, refresh_request
from icepath.turn.client.lease import Lease
from icepath.turn.client.mobility import Mobility
from icepath.turn.client.permissions import ALLOCATION_MISMATCH, FAMILY_MISMATCH, Permissions
from icepath.turn.client.requests import Answer, Outcome, Purpose, Request, Requests, ReserveSlot
from icepath.turn.client.routes import Path, Route
from icepath.turn.client.token import Credentials
from icepath.turn.client.ways import NextHandle, Ways
from icepath.wire.attributes import XorPeerAddress
from icepath.wire.message import Message, MessageClass, Method, decode_message

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

    __slots__ = (
        "_channels",
        "_close_by",
        "_config",
        "_connections",
        "_data",
        "_handles",
        "_lease",
        "_mobility",
        "_now",
        "_outbox",
        "_permissions",
        "_requests",
        "_stage",
        "_ways",
    )

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
        self._requests = Requests(
            config,
            self._outbox,
            random_bytes=random_bytes,
            reserve_slot=reserve_slot,
            reserve_late_slot=reserve_late_slot,
        )
        self._permissions = Permissions(self._requests, self._outbox, config.families)
        self._channels = Channels(self._requests, self._outbox)
        self._lease = Lease(config, self._requests, self._permissions, self._channels, self._outbox)
        self._data = PeerData(self._lease, self._permissions, self._channels, self._outbox, random_bytes)
        self._handles = 0
        next_handle = next_handle or self._count_handle
        self._ways = Ways(config, self._requests, self._lease, self._outbox, next_handle)
        self._connections = PeerConnections(config, self._requests, self._outbox, next_handle)
        self._mobility = Mobility(config, self._requests, self._lease, self._ways, self._outbox)
        self._stage = _Stage.OPEN
        self._close_by: Instant | None = None
        self._now: Instant = -_LATEST
        self._ways.begin(self._advance(now))

    # -- queries -------------------------------------------------------------------------------------------

    @property
    def relayed(self) -> tuple[Address, ...]:
        """Are the relayed addresses; empty when there is no allocation."""
        grant = self._lease.grant
        return () if grant is None else grant.relayed

    @property
    def route(self) -> Route:
        """Is the way to the server that is in use, or tried first."""
        return self._requests.path.route

    @property
    def is_mobile(self) -> bool:
        """Says whether the allocation can be moved to another local address now (RFC 8016)."""
        return self._lease.ticket is not None

    def is_permitted(self, host: str) -> bool:
        """Says whether a permission for the host was asked for on the wire, and not refused."""
        return self._permissions.is_permitted(host)

    @property
    def has_unsent_permissions(self) -> bool:
        """Says whether the CreatePermission that goes right behind the Allocate has not been sent yet."""
        return self._permissions.has_unsent

    def channel_of(self, peer: Address) -> int | None:
        """Returns the channel bound to the peer, or None."""
        return self._channels.channel_of(peer)

    # -- verbs ---------------------------------------------------------------------------------------------

    def permit(self, hosts: Iterable[str], *, now: Instant) -> None:
        """Wants permissions for these hosts, and keeps them; does nothing once the allocation has ended.

        Emits: Datagram, PermissionFailed with 443 for hosts of a family the allocation has not.
        Raises: InvalidArgument when one is no IP address.
        """
        wanted = tuple(dict.fromkeys(canonical_host(host) for host in hosts))
        now = self._advance(now)
        if not self._lease.has_ended:
            self._permissions.permit(wanted, now)

    def release(self, hosts: Iterable[str], *, now: Instant) -> None:
        """Lets permissions and channels of these hosts end: they are not renewed, their data is dropped."""
        unwanted = tuple(dict.fromkeys(canonical_host(host) for host in hosts))
        now = self._advance(now)
        self._permissions.release(unwanted)
        self._channels.release(unwanted, now)

    def bind_channel(self, peer: Address, *, now: Instant) -> None:
        """Wants a channel to the peer, with its permission, and keeps it; does nothing after a refusal.

        Emits: Datagram; ChannelFailed with 443 for a peer of a family the allocation has not.
        Raises: InvalidState before the allocation is there; InvalidArgument when nothing can be sent to the peer.
        """
        if self._lease.is_pending or self._config.relay_transport is Transport.TCP:
            raise InvalidState(f"no channel to {peer} before there is an allocation, nor with one for TCP")
        if not is_usable_destination(peer) or canonical_host(peer.host) != peer.host:
            raise InvalidArgument(f"{peer} is no address that a channel could be bound to")
        now = self._advance(now)
        grant = self._lease.grant
        if grant is None:
            return
        if family_of(peer.host) not in grant.families:
            self._outbox.put(ChannelFailed(peer, FAMILY_MISMATCH))
        elif self._channels.bind(peer, now):
            self._permissions.on_channel_sent(peer.host)

    def send(self, peer: Address, payload: bytes, *, dont_fragment: bool = False, now: Instant) -> None:
        """Sends a payload to the peer, on its channel when it has one.

        Emits: Datagram, or Bytes that may be dropped.
        Raises: InvalidState when there is no allocation, no permission, or the server cannot set DF;
            InvalidArgument when the payload is too long, or the port no port.
        """
        if self._lease.grant is None or self._config.relay_transport is Transport.TCP:
            raise InvalidState(f"no allocation to send datagrams to {peer} from")
        if not self._permissions.is_permitted(peer.host):
            # RFC 8656 §11.1: "the client MUST ensure that there is a permission installed".
            raise InvalidState(f"no permission for {peer.host}: permit it first")
        if dont_fragment and self._lease.lacks_dont_fragment:
            raise InvalidState("the server cannot set DF")
        if len(payload) > MAX_PAYLOAD or not 0 < peer.port <= MAX_PORT:
            raise InvalidArgument(f"{len(payload)} bytes to {peer}, allowed are {MAX_PAYLOAD} to a port above 0")
        self._data.send(self._requests.path, peer, payload, dont_fragment, self._advance(now))

    def set_credentials(self, credentials: Credentials, *, now: Instant) -> None:
        """Gives credentials to use when the server rejects the present ones; at once if it has."""
        now = self._advance(now)
        if not self._lease.has_ended:
            is_rejected = self._lease.is_rejected or self._permissions.is_rejected
            self._requests.set_credentials(credentials, at_once=is_rejected)
            self._lease.retry(now)
            self._permissions.retry(now)

    def migrate(self, local: Address, *, now: Instant) -> None:
        """Moves the allocation to another local address of the same family; until `Migrated` it stays where it is.

        Emits: Datagram or Connect; then Migrated or MigrationFailed.
        Raises: InvalidState without a ticket of the server's, or when it is there already.
        RFC: 8016.
        """
        plan = self._mobility.plan(local)
        self._mobility.migrate(plan, self._advance(now))

    def connect_peer(self, peer: Address, *, now: Instant) -> None:
        """Asks for a TCP connection to a peer of a TCP allocation.

        Emits: Bytes; then PeerConnected or PeerConnectFailed.
        Raises: InvalidState when there is no TCP allocation, a connection to this peer, or no room for one;
            InvalidArgument when there can be none to such an address.
        RFC: 6062 §4.3.
        """
        grant = self._lease.grant
        if grant is None or self._config.relay_transport is not Transport.TCP:
            raise InvalidState(f"no TCP allocation to connect to {peer} from")
        if not is_usable_destination(peer) or family_of(peer.host) not in grant.families:
            raise InvalidArgument(f"{peer} is no address that could be connected to")
        self._connections.check(peer)
        self._connections.connect(peer, self._advance(now))

    def send_to_peer(self, handle: Handle, payload: bytes, *, now: Instant) -> None:
        """Sends bytes along a connection of `PeerConnected`.

        Emits: Bytes.
        Raises: InvalidState when it is no such connection (any more).
        """
        self._connections.send(handle, payload)
        self._advance(now)

    def disconnect_peer(self, handle: Handle, *, now: Instant) -> None:
        """Ends a connection to a peer, if it is one."""
        self._connections.disconnect(handle)
        self._advance(now)

    # -- the machine ---------------------------------------------------------------------------------------

    def receive(self, arrival: Arrival, *, now: Instant) -> None:
        """Takes what came from the server; drops everything else."""
        now = self._advance(now)
        if self._stage is _Stage.CLOSED:
            return
        if isinstance(arrival, Datagram):
            path = self._ways.datagram_path(arrival.local, arrival.remote)
            dropped = path if isinstance(path, DropReason) else self._on_message(arrival.payload, path, now)
            if dropped is not None:
                self._outbox.drop(dropped, remote=arrival.remote, now=now)
        elif isinstance(arrival, Unreachable):
            self._ways.on_unreachable(arrival, now)
        elif isinstance(arrival, Bytes | Opened | Failed | Closed):
            self._receive_about_stream(arrival, now)
        self._settle()

    def handle_timeout(self, *, now: Instant) -> None:
        """Does all that is due."""
        now = self._advance(now)
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            for item in self._requests.take_due(now):
                if isinstance(item, Request):
                    self._on_sent(item, now)
                else:
                    self._on_answer(item, now)
            self._ways.handle_timeout(now)
            self._mobility.handle_timeout(now)
            self._connections.handle_timeout(now)
            self._permissions.handle_timeout(now)
            self._channels.handle_timeout(now)
            self._lease.handle_timeout(now)
            self._settle()
            if self._close_by is not None and self._close_by <= now:
                self._finish()

    def next_deadline(self) -> Instant | None:
        """Returns when something is due, or None."""
        deadlines = (
            self._requests.next_deadline(),
            self._permissions.next_deadline(),
            self._channels.next_deadline(),
            self._lease.next_deadline(),
            self._ways.next_deadline(),
            self._mobility.next_deadline(),
            self._connections.next_deadline(),
            self._close_by,
        )
        return min([deadline for deadline in deadlines if deadline is not None], default=None)

    def close(self, *, now: Instant) -> None:
        """Gives the allocation back: within `close_timeout`, or at once when there is none."""
        now = self._advance(now)
        if self._stage is not _Stage.OPEN:
            return
        self._stage = _Stage.CLOSING
        is_pending, is_held = self._lease.is_pending, self._lease.grant is not None
        self._lease.end(keep=Purpose.ALLOCATE if is_pending else None)
        self._mobility.end()
        self._connections.clear()
        self._ways.give_up_others()
        if is_held:
            self._requests.submit(refresh_request(self._config, Purpose.RELEASE), now)
        elif not self._requests.is_in_flight(Purpose.ALLOCATE):
            self._finish()
            return
        # An Allocate in flight may still succeed, and is given back then.
        self._close_by = now + self._config.close_timeout

    def take_outputs(self) -> Sequence[Datagram | Bytes | Command | AllocationEvent]:
        """Returns what was output since the last call."""
        return self._outbox.take()

    # -- what arrives --------------------------------------------------------------------------------------

    def _receive_about_stream(self, arrival: Bytes | Opened | Failed | Closed, now: Instant) -> None:
        path = self._ways.stream_path(arrival.handle)
        if path is None:
            if self._connections.is_one(arrival.handle):
                dropped = self._connections.receive(arrival, now)
                if dropped is not None:
                    self._outbox.drop(dropped, now=now)
            return
        if isinstance(arrival, Bytes):
            self._on_bytes(arrival, path, now)
        elif self._mobility.is_moving_to(path):
            self._mobility.on_stream(arrival, path, now)
        elif isinstance(arrival, Opened):
            self._ways.on_opened(arrival, path, now)
        elif isinstance(arrival, Failed):
            self._ways.on_failed(arrival, path, now)
        else:
            self._ways.on_closed(arrival, path, now)

    def _on_bytes(self, arrival: Bytes, path: Path, now: Instant) -> None:
        messages = self._ways.read(path, arrival, now)
        if isinstance(messages, DropReason):
            self._outbox.drop(messages, remote=path.remote, now=now)
            if self._mobility.is_moving_to(path):
                self._mobility.on_junk(path)
            return
        for message in messages:
            dropped = self._on_message(message, path, now)
            if dropped is not None:
                self._outbox.drop(dropped, remote=path.remote, now=now)
            if self._stage is _Stage.CLOSED or self._ways.stream_path(arrival.handle) is None:
                return
        if path.is_broken:
            self._on_bytes(Bytes(arrival.handle, b""), path, now)

    def _on_message(self, payload: bytes, path: Path, now: Instant) -> DropReason | None:
        try:
            if flow_channel(payload) is not None:
                return self._data.on_channel_data(payload)
            message = decode_message(payload)
        except DecodeError as failure:
            return drop_reason(failure)
        if message.message_class is MessageClass.INDICATION and message.method == Method.DATA:
            return self._data.on_indication(message)
        if message.message_class is MessageClass.INDICATION and message.method == Method.CONNECTION_ATTEMPT:
            return self._on_connection_attempt(message, now)
        answer = self._requests.receive(message, path, now)
        if answer is not None:
            self._ways.on_alive(path, now)
            self._on_answer(answer, now)
        return None

    def _on_connection_attempt(self, message: Message, now: Instant) -> DropReason | None:
        peer = message.get(XorPeerAddress)
        if self._lease.grant is None or self._config.relay_transport is not Transport.TCP:
            return DropReason.UNEXPECTED_MESSAGE
        is_permitted = peer is not None and self._permissions.is_permitted(peer.address.host)
        return self._connections.on_indication(message, is_permitted, now)

    # -- requests and their ends ---------------------------------------------------------------------------

    def _on_sent(self, request: Request, now: Instant) -> None:
        if request.purpose is Purpose.PERMISSION:
            self._permissions.on_sent(request)
        elif request.purpose is Purpose.CHANNEL and request.peer is not None:
            if self._channels.is_wanted(request.peer):
                self._permissions.on_channel_sent(request.peer.host)
        else:
            self._ways.on_sent(request, now)
            self._lease.on_sent(request, now)

    def _on_answer(self, answer: Answer, now: Instant) -> None:
        if self._ways.takes(answer, now):
            return
        if self._stage is _Stage.CLOSING:
            self._on_last_answer(answer, now)
        elif answer.outcome is Outcome.RETRY:
            if self._requests.submit(answer.request, now):
                self._on_sent(answer.request, now)
        elif answer.request.purpose is Purpose.PERMISSION:
            if not self._permissions.on_answer(answer, now):
                self._lease.lose(answer)
        elif answer.request.purpose is Purpose.MIGRATE and answer.path is not None:
            self._mobility.on_answer(answer, answer.path, now)
        elif answer.request.purpose in (Purpose.CONNECT, Purpose.CONNECTION_BIND):
            self._on_connection_answer(answer, now)
        elif answer.request.purpose is Purpose.CHANNEL:
            self._on_channel_answer(answer, now)
        else:
            self._lease.on_answer(answer, now)

    def _on_channel_answer(self, answer: Answer, now: Instant) -> None:
        if answer.code == ALLOCATION_MISMATCH:
            # RFC 8656 §5: after a 437 the client "MUST assume the allocation no longer exists".
            self._lease.lose(answer)
            return
        self._channels.on_answer(answer, now)
        for host in answer.request.hosts:
            if answer.outcome is Outcome.SUCCEEDED:
                self._permissions.on_channel_bound(host, answer.sent_at)
            else:
                self._permissions.on_channel_failed(host, now)

    def _on_connection_answer(self, answer: Answer, now: Instant) -> None:
        if answer.code == ALLOCATION_MISMATCH and answer.request.purpose is Purpose.CONNECT:
            self._lease.lose(answer)
        else:
            self._connections.on_answer(answer, now)

    def _on_last_answer(self, answer: Answer, now: Instant) -> None:
        is_allocate = answer.request.purpose is Purpose.ALLOCATE
        if is_allocate and answer.outcome is Outcome.SUCCEEDED:
            self._requests.submit(refresh_request(self._config, Purpose.RELEASE), now)
        elif not is_allocate and answer.outcome is Outcome.RETRY:
            self._requests.submit(answer.request, now)
        else:
            # RFC 8656 §8.3: for a deletion, 437 is as good as success.
            self._finish()

    def _finish(self) -> None:
        self._stage = _Stage.CLOSED
        self._close_by = None
        self._requests.reset()
        self._ways.end()
        self._outbox.put(MachineClosed())

    def _settle(self) -> None:
        """Lets go of what has no use any more, once what was to be said is said."""
        if self._stage is _Stage.CLOSING and self._ways.is_gone:
            self._finish()
        elif self._lease.has_ended and self._stage is _Stage.OPEN and not self._ways.has_ended:
            self._mobility.end()
            self._connections.clear()
            self._ways.end_if_idle()

    def _count_handle(self) -> Handle:
        self._handles += 1
        return Handle(self._handles)

    def _advance(self, now: Instant) -> Instant:
        if self._now < now <= _LATEST:
            self._now = now
        return self._now
