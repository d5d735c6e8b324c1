"""An agent's TCP connections: opened for checks, taken from whoever comes, closed with the pairs they carry.

A pair has a connection when there is one of its key: from the base to the remote address. A listener is the base of
two candidates, the passive one that has its address and the active one that has none before it connects. Only active
candidates have pairs of their own; a passive one's pair comes with the first check on a connection it accepted
(RFC 6544 §6.2). Strangers are bounded in number, time and octets. What follows for pairs when a connection opens or
ends is arrivals.py's; a connection itself is connection.py's.
"""

from __future__ import annotations

from typing import Final

from icepath.ice.connection import Connection
from icepath.ice.core import Core, Socket, TimerKey, TimerKind
from icepath.ice.pair import CandidatePair, PairKey
from icepath.machine import Accepted, Close, Connect, DropReason, Handle
from icepath.net import Address, Instant, Seconds, TcpAddress

# RFC 6544 §12: "SHOULD NOT have more than 5 outstanding TCP connection attempts with the same peer to the same IP
# address".
MAX_ATTEMPTS: Final = 5
# A system sends a fifth SYN after 15 s; one second more for its answer. RFC 6544 names no time.
CONNECT_TIMEOUT: Final[Seconds] = 16.0
# Within it a connection that was accepted has brought a check, or is closed.
PROOF_TIMEOUT: Final[Seconds] = 10.0

_CONNECTION: Final = TimerKind.CONNECTION


# -- opening ------------------------------------------------------------------------------------------------------


def is_open(core: Core, pair: CandidatePair) -> bool:
    """Says whether the pair's connection is there."""
    connection = core.connections.get(pair.key)
    return connection is not None and connection.is_open


def can_check(core: Core, pair: CandidatePair) -> bool:
    """Says whether a check can be sent, or a connection for it be opened, now."""
    connection = core.connections.get(pair.key)
    if connection is not None:
        return connection.is_open
    host = pair.remote_address.host
    attempts = [other for other in core.connections.values() if not other.is_open and other.remote.host == host]
    return len(attempts) < MAX_ATTEMPTS


def connect(core: Core, pair: CandidatePair, *, now: Instant) -> None:
    """Opens the pair's connection from a port of its own (RFC 6544 §7.1), unless that is under way."""
    if pair.key in core.connections:
        return
    handle = core.next_handle()
    base, remote = pair.local.base, pair.remote_address
    _add(core, Connection(handle, base, remote, is_accepted=False), now + CONNECT_TIMEOUT)
    core.outbox.put(Connect(handle, Address(base.host, 0), Address(remote.host, remote.port)))


def on_opened(core: Core, connection: Connection) -> None:
    """Notes that a connection is there."""
    connection.is_open = True
    core.timers.cancel(TimerKey(_CONNECTION, connection.handle))


# -- accepting ----------------------------------------------------------------------------------------------------


def accept(core: Core, arrival: Accepted, *, now: Instant) -> None:
    """Takes a connection (RFC 6544 §7.2: "the agent MUST accept it") unless there are too many."""
    handle = arrival.handle
    if handle in core.connections_by_handle or handle in core.relays_by_handle:
        core.outbox.drop(DropReason.UNKNOWN_HANDLE, remote=arrival.remote, now=now)
        return
    local = TcpAddress(*arrival.listener) if isinstance(arrival.listener, Address) else None
    remote = TcpAddress(*arrival.remote)
    if local is None or local not in core.sockets or core.is_closing:
        core.outbox.put(Close(handle, abort=True))
        core.outbox.drop(DropReason.UNKNOWN_LOCAL_ADDRESS, remote=arrival.remote, now=now)
    elif PairKey(local, remote) in core.connections or not _make_room(core):
        core.outbox.put(Close(handle, abort=True))
        core.outbox.drop(DropReason.LIMIT, remote=arrival.remote, now=now)
    else:
        _add(core, Connection(handle, local, remote, is_accepted=True), now + PROOF_TIMEOUT)


def _make_room(core: Core) -> bool:
    """Says whether one more may be accepted; the oldest that has not proved itself goes first."""
    accepted = [connection for connection in core.connections.values() if connection.is_accepted]
    if len(accepted) < core.config.max_connections:
        return True
    for connection in accepted:
        if not connection.is_proven:
            close(core, connection, abort=True)
            return True
    return False


def note_proof(core: Core, socket: Socket, connection: Connection) -> None:
    """Looks whether what came on a connection has proved who is there: from then on its pair keeps it."""
    if core.streams[socket.stream].pair_at(connection.local, connection.remote) is not None:
        connection.is_proven = True
        core.timers.cancel(TimerKey(_CONNECTION, connection.handle))


def is_early(core: Core, connection: Connection) -> bool:
    """Says whether a check came that waits for the other side's description: then the connection does, too."""
    socket = core.sockets[connection.local]
    generation = core.streams[socket.stream].current
    return generation.remote is None and PairKey(connection.local, connection.remote) in generation.proven


def wait_on(core: Core, connection: Connection, *, now: Instant) -> None:
    """Gives a connection more time to prove itself."""
    core.timers.set(TimerKey(_CONNECTION, connection.handle), now + PROOF_TIMEOUT)


# -- the end ------------------------------------------------------------------------------------------------------


def release(core: Core, pair: CandidatePair) -> None:
    """Closes the connection of a pair that has left, unless the pair of another session is on it (RFC 6544 §9.2)."""
    connection = core.connections.get(pair.key)
    if connection is not None and core.streams[pair.stream].pair_at(connection.local, connection.remote) is None:
        close(core, connection)


def close(core: Core, connection: Connection, *, abort: bool = False) -> None:
    """Closes a connection from this side."""
    forget(core, connection)
    core.outbox.put(Close(connection.handle, abort))


def close_all(core: Core, local: Address | None = None) -> None:
    """Closes every connection, or those of one base."""
    for connection in list(core.connections.values()):
        if local is None or connection.local == local:
            close(core, connection)


def forget(core: Core, connection: Connection) -> None:
    """Takes a connection that has ended off the tables."""
    del core.connections[PairKey(connection.local, connection.remote)]
    del core.connections_by_handle[connection.handle]
    core.timers.cancel(TimerKey(_CONNECTION, connection.handle))


def _add(core: Core, connection: Connection, until: Instant) -> None:
    core.connections[PairKey(connection.local, connection.remote)] = connection
    core.connections_by_handle[Handle(connection.handle)] = connection
    core.timers.set(TimerKey(_CONNECTION, connection.handle), until)
