"""TCP connections to peers, through a TCP allocation: asked for, accepted, bound and carried (RFC 6062 §4.3-4.6).

A part of `Allocation`. Each is a byte stream of its own to the server, that is told by a ConnectionBind which peer it
belongs to; from then on it carries the peer's bytes as they are. Who has large streams may `Splice` the handle of
`PeerConnected` with one of its own: then no byte comes here.

Strategy: a connection exists from the moment the server has named it by a CONNECTION-ID; 30 s later at most it is
bound, or gone. What the server sends right behind its answer is the peer's already.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, TypeAlias, final

from icepath.errors import DecodeError, InvalidState
from icepath.machine import LAST_STUN_BYTE, Bytes, Close, Closed, DropReason, Failed, Handle, Opened
from icepath.net import Address, Instant, Seconds
from icepath.outbox import Outbox
from icepath.timers import Timers
from icepath.turn.client.config import AllocationConfig
from icepath.turn.client.events import (
    AllocationEvent,
    AllocationFailure,
    PeerBytesReceived,
    PeerConnected,
    PeerConnectFailed,
    PeerDisconnected,
)
from icepath.turn.client.exchange import Answer, Outcome, Purpose, Request
from icepath.turn.client.paths import NextHandle
from icepath.turn.client.requests import Requests
from icepath.turn.client.routes import Path, connect_command, local_of
from icepath.wire.attributes import ConnectionId, XorPeerAddress
from icepath.wire.message import HEADER_LENGTH, Message, decode_message

# RFC 6062 §5.2, §5.3: "If no ConnectionBind request [...] is received after 30 seconds, the peer data connection
# MUST be closed"; sooner is no use.
BIND_TIMEOUT: Final[Seconds] = 30.0
# RFC 6062 §4.3: after a 447 the client "MUST wait at least 10 seconds".
RETRY_DELAY: Final[Seconds] = 10.0
CONNECTION_TIMEOUT: Final = 447
# An answer to a ConnectionBind has a challenge at most; what is longer is no answer.
_MAX_ANSWER: Final = 4096

StreamArrival: TypeAlias = Bytes | Opened | Failed | Closed


class _State(Enum):
    OPENING = auto()
    BINDING = auto()
    BOUND = auto()


class _Connection:
    __slots__ = ("connection_id", "handle", "head", "is_incoming", "path", "peer", "state")

    def __init__(self, handle: Handle, path: Path, peer: Address, connection_id: int, is_incoming: bool) -> None:
        self.handle: Final = handle
        self.path: Final = path
        self.peer: Final = peer
        self.connection_id: Final = connection_id
        self.is_incoming: Final = is_incoming
        self.state = _State.OPENING
        self.head = bytearray()
        """What has come of the answer to the ConnectionBind."""


@final
class PeerConnections:
    """Keeps the TCP connections to an allocation's peers."""

    __slots__ = ("_by_handle", "_config", "_next_handle", "_outbox", "_outgoing", "_requests", "_timers")

    def __init__(
        self,
        config: AllocationConfig,
        requests: Requests,
        outbox: Outbox[AllocationEvent],
        next_handle: NextHandle,
    ) -> None:
        self._config: Final = config
        self._requests: Final = requests
        self._outbox: Final = outbox
        self._next_handle: Final = next_handle
        self._by_handle: dict[Handle, _Connection] = {}
        # Peers that we have connected to, are connecting to, or must leave in peace for a while.
        self._outgoing: dict[Address, Handle | None] = {}
        # When a connection must be bound, and when a peer may be tried again.
        self._timers: Timers[Handle | Address] = Timers()

    def check(self, peer: Address) -> None:
        """Raises InvalidState when there is, or was just now, a connection to the peer, or there are too many."""
        if peer in self._outgoing:
            # RFC 6062 §4.3: Connect requests to one peer "MUST NOT be sent simultaneously".
            raise InvalidState(f"{peer} is connected to already, or could not be less than {RETRY_DELAY:g} s ago")
        if self._count >= self._config.max_peer_connections:
            raise InvalidState(f"there are {self._count} connections, allowed are {self._config.max_peer_connections}")

    def connect(self, peer: Address, now: Instant) -> None:
        """Asks for a connection to a peer that passed `check`."""
        self._outgoing[peer] = None
        self._requests.submit(Request(Purpose.CONNECT, (XorPeerAddress(peer),), is_paced=True, peer=peer), now)

    def is_one(self, handle: Handle) -> bool:
        """Says whether the handle is that of a connection."""
        return handle in self._by_handle

    def send(self, handle: Handle, payload: bytes) -> None:
        """Sends bytes to a peer.

        Raises: InvalidState when the handle is not of a connection that is bound.
        """
        connection = self._by_handle.get(handle)
        if connection is None or connection.state is not _State.BOUND:
            raise InvalidState(f"handle {handle} is no connection to a peer")
        self._outbox.put(Bytes(handle, payload))

    def disconnect(self, handle: Handle) -> None:
        """Ends a connection, once what was sent has left; does nothing when there is none."""
        connection = self._by_handle.get(handle)
        if connection is not None:
            self._remove(connection)
            self._outbox.put(Close(handle))

    def clear(self) -> None:
        """Ends all connections: the allocation is no more."""
        for connection in list(self._by_handle.values()):
            self.disconnect(connection.handle)
            if connection.state is _State.BOUND:
                self._outbox.put(PeerDisconnected(connection.handle, connection.peer, "the allocation has ended"))
        self._outgoing.clear()
        self._timers.clear()

    def on_indication(self, message: Message, is_permitted: bool, now: Instant) -> DropReason | None:
        """Takes a ConnectionAttempt: accepts it, if its peer has a permission of ours and there is room."""
        peer, name = message.get(XorPeerAddress), message.get(ConnectionId)
        if peer is None or name is None or message.unknown_required:
            return DropReason.MALFORMED
        if not is_permitted:
            return DropReason.NO_PERMISSION
        if self._count >= self._config.max_peer_connections:
            return DropReason.LIMIT
        self._open(peer.address, name.value, True, now)
        return None

    def on_answer(self, answer: Answer, now: Instant) -> None:
        """Takes the end of a Connect or a ConnectionBind."""
        if answer.request.peer is not None:
            self._on_connect_answer(answer, answer.request.peer, now)
            return
        for connection in list(self._by_handle.values()):
            if connection.path is answer.path:
                self._on_bind_answer(connection, answer, now)

    def receive(self, arrival: StreamArrival, now: Instant) -> DropReason | None:
        """Takes what came of a connection."""
        connection = self._by_handle[arrival.handle]
        if isinstance(arrival, Bytes):
            if connection.state is _State.BOUND:
                self._outbox.put(PeerBytesReceived(connection.handle, connection.peer, arrival.payload))
                return None
            return self._on_head(connection, arrival.payload, now)
        if isinstance(arrival, Opened):
            self._bind(connection, arrival, now)
            return None
        self._remove(connection)
        word = arrival.reason.name.lower().replace("_", " ")
        if connection.state is _State.BOUND:
            self._outbox.put(PeerDisconnected(connection.handle, connection.peer, word))
        else:
            self._tell_failure(connection, AllocationFailure.NOT_CONNECTED, None, word)
        return None

    def handle_timeout(self, now: Instant) -> None:
        """Gives up connections that were not bound in time; lets peers be tried again."""
        while (key := self._timers.pop_due(now)) is not None:
            if isinstance(key, Address):
                del self._outgoing[key]
            else:
                text = f"not bound within {BIND_TIMEOUT:g} s"
                self._fail(self._by_handle[key], AllocationFailure.NO_ANSWER, None, text)

    def next_deadline(self) -> Instant | None:
        """Returns when `handle_timeout` has something to do, or None."""
        return self._timers.next_deadline()

    @property
    def _count(self) -> int:
        incoming = [connection for connection in self._by_handle.values() if connection.is_incoming]
        return len(self._outgoing) + len(incoming)

    # -- Connect -----------------------------------------------------------------------------------------------

    def _on_connect_answer(self, answer: Answer, peer: Address, now: Instant) -> None:
        name = None if answer.message is None else answer.message.get(ConnectionId)
        if answer.outcome is Outcome.SUCCEEDED and name is not None:
            self._outgoing[peer] = self._open(peer, name.value, False, now)
            return
        reason = AllocationFailure.BAD_ANSWER if answer.outcome is Outcome.SUCCEEDED else answer.failure
        if answer.code == CONNECTION_TIMEOUT:
            self._timers.set(peer, now + RETRY_DELAY)
        else:
            del self._outgoing[peer]
        self._outbox.put(PeerConnectFailed(peer, reason, answer.code, answer.text))

    def _open(self, peer: Address, connection_id: int, is_incoming: bool, now: Instant) -> Handle:
        # RFC 6062 §4.3: to the address of the control connection, from another one of ours.
        route = self._requests.path.route
        handle = self._next_handle()
        local = local_of(route, self._config.local)
        path = Path(route, local or self._requests.path.local, handle)
        self._by_handle[handle] = _Connection(handle, path, peer, connection_id, is_incoming)
        self._timers.set(handle, now + BIND_TIMEOUT)
        self._outbox.put(connect_command(handle, route, local, paused=True))
        return handle

    # -- ConnectionBind ----------------------------------------------------------------------------------------

    def _bind(self, connection: _Connection, arrival: Opened, now: Instant) -> None:
        connection.path.local = arrival.local
        connection.state = _State.BINDING
        attributes = (ConnectionId(connection.connection_id),)
        self._requests.submit(Request(Purpose.CONNECTION_BIND, attributes, is_paced=False, path=connection.path), now)

    def _on_head(self, connection: _Connection, data: bytes, now: Instant) -> DropReason | None:
        """Takes bytes before the connection is bound: one answer, or two; what is behind the last is the peer's."""
        head = connection.head
        head += data
        dropped: DropReason | None = None
        while connection.state is _State.BINDING and connection.handle in self._by_handle and head:
            end = HEADER_LENGTH + (head[2] << 8 | head[3]) if len(head) >= HEADER_LENGTH else HEADER_LENGTH
            if head[0] > LAST_STUN_BYTE or end > _MAX_ANSWER:
                self._fail(connection, AllocationFailure.NOT_TURN, None, "no answer to the ConnectionBind")
                return DropReason.NOT_STUN
            if len(head) < end:
                return dropped
            message = bytes(head[:end])
            del head[:end]
            dropped = self._on_message(connection, message, now) or dropped
        if connection.state is _State.BOUND and head:
            self._outbox.put(PeerBytesReceived(connection.handle, connection.peer, bytes(head)))
            head.clear()
        return dropped

    def _on_message(self, connection: _Connection, data: bytes, now: Instant) -> DropReason | None:
        try:
            message = decode_message(data)
        except DecodeError:
            return DropReason.MALFORMED
        answer = self._requests.receive(message, connection.path, now)
        if answer is not None:
            self._on_bind_answer(connection, answer, now)
        return None

    def _on_bind_answer(self, connection: _Connection, answer: Answer, now: Instant) -> None:
        if answer.outcome is Outcome.RETRY:
            self._requests.submit(answer.request, now)
        elif answer.outcome is Outcome.SUCCEEDED:
            connection.state = _State.BOUND
            self._timers.cancel(connection.handle)
            self._outbox.put(PeerConnected(connection.handle, connection.peer, connection.is_incoming))
        else:
            self._fail(connection, answer.failure, answer.code, answer.text)

    # -- ends --------------------------------------------------------------------------------------------------

    def _fail(self, connection: _Connection, reason: AllocationFailure, code: int | None, text: str) -> None:
        self._remove(connection)
        self._outbox.put(Close(connection.handle, abort=True))
        self._tell_failure(connection, reason, code, text)

    def _tell_failure(self, connection: _Connection, reason: AllocationFailure, code: int | None, text: str) -> None:
        self._outbox.put(PeerConnectFailed(connection.peer, reason, code, text))

    def _remove(self, connection: _Connection) -> None:
        del self._by_handle[connection.handle]
        self._timers.cancel(connection.handle)
        self._requests.drop(connection.path)
        if self._outgoing.get(connection.peer) == connection.handle:
            del self._outgoing[connection.peer]
