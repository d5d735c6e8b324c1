"""`Endpoint`: one UDP port number on every local address, shared by any number of connections.

A server behind a firewall or in a container opens one port instead of one for each peer. Agents stay separate
machines: here are the sockets, and `ice.router` says whose each packet is. Sockets are never wildcard, never
dual-stack: each address has its own, so an answer leaves from where the check came to.

Relays are asked for from a socket of the connection's own: a TURN server knows its clients by their five-tuple, so
behind one port only one of them could have an allocation (docs/decisions/0014).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Protocol, final

from icepath.aio.config import DEFAULT_CONFIG, Config
from icepath.aio.interfaces import HostAddress, usable_addresses
from icepath.aio.ip_handling import admitted
from icepath.aio.place import Place, Resident
from icepath.aio.running import LocalSocket
from icepath.aio.sockets import open_socket
from icepath.aio.udp import UdpSocket
from icepath.errors import InvalidArgument, InvalidState
from icepath.ice.router import Member, Router
from icepath.machine import Datagram, DropReason, Unreachable
from icepath.net import MAX_PORT, Address, Instant, canonical_host

logger: Final = logging.getLogger("icepath")

# Tries to find a port that is free on every address, when the system may choose.
PORT_TRIES: Final = 16
# Datagrams between connections of one endpoint, kept until the loop's next turn.
INSIDE_QUEUE: Final = 512


class Guest(Resident, Protocol):
    """Is the `Running` of a connection."""

    @property
    def sockets(self) -> dict[Address, LocalSocket]:
        """Returns what its machine sends from."""
        ...


@final
class Seat:
    """Is one connection at an endpoint."""

    __slots__ = ("close", "places", "resident")

    def __init__(self, resident: Resident, places: int, close: Callable[[], Awaitable[object]] | None) -> None:
        self.resident: Final = resident
        self.places = places
        self.close: Final = close


@final
class Endpoint:
    """Shares one UDP port among many connections: `Connection(endpoint=endpoint)`.

    The port number is the same on every usable local address, or is that of `host` alone; 0 lets the system choose.
    `tcp` is for TCP candidates, which there are not yet: today an endpoint is UDP, whatever it says. Of `config`, what
    concerns sockets is taken: interfaces, loopback, udp.
    Raises: InvalidArgument when an argument is not allowed. The constructor does no I/O.
    """

    def __init__(
        self, port: int = 0, *, host: str | None = None, tcp: bool = True, config: Config = DEFAULT_CONFIG
    ) -> None:
        if not 0 <= port <= MAX_PORT:
            raise InvalidArgument(f"port is {port}, allowed are 0 to {MAX_PORT}")
        self.router: Final = Router()
        self.tcp: Final = tcp
        self._wanted: Final = port
        self._host = None if host is None else canonical_host(host)
        self._config = config
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sockets: dict[Address, tuple[UdpSocket, HostAddress]] = {}
        self._seats: dict[Member, Seat] = {}
        self._dropped: dict[DropReason, int] = {}
        # Members that were given something in this wake-up.
        self._woken: dict[Member, None] = {}
        self._waiting: list[Place] = []
        self._inside: list[tuple[Member, Datagram]] = []
        self._open_sockets = 0
        self._ended: asyncio.Future[None] | None = None
        self._is_closed = False

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Returns what it is bound to; one port number on all."""
        return tuple(self._sockets)

    @property
    def port(self) -> int:
        """Returns the port number; 0 before the start when the system chooses."""
        return next((address.port for address in self._sockets), self._wanted)

    @property
    def connections(self) -> int:
        """Returns how many connections share it now."""
        return len(self._seats)

    @property
    def dropped(self) -> dict[str, int]:
        """Returns how many datagrams were nobody's, or were not sent, by reason."""
        return {reason.value: count for reason, count in self._dropped.items()}

    def __repr__(self) -> str:
        return f"<Endpoint port {self.port}, {self.connections} connections>"

    # -- start and end ---------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Endpoint:
        self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all its connections, within their own bound, and then its sockets; any number of times."""
        self._is_closed = True
        try:
            # Each is bounded by its own close; one that fails leaves the others theirs.
            closers = [seat.close for seat in self._seats.values() if seat.close is not None]
            await asyncio.gather(*(close() for close in closers), return_exceptions=True)
        finally:
            self._close_sockets()
        while self._open_sockets:
            if self._ended is None:
                self._ended = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._ended)

    def _start(self) -> None:
        if self._is_closed or self._sockets:
            raise InvalidState("an endpoint is opened once")
        self._loop = asyncio.get_running_loop()
        found = self._found()
        for attempt in range(PORT_TRIES):
            try:
                self._bind(found)
            except OSError as error:
                self._close_sockets()
                may_retry = error.errno == errno.EADDRINUSE and not self._wanted and attempt < PORT_TRIES - 1
                if not may_retry:
                    raise
            else:
                break
        logger.debug("endpoint on port %d of %d addresses: UDP, no TCP yet", self.port, len(self._sockets))

    def _found(self) -> tuple[HostAddress, ...]:
        """Returns the addresses to bind; a host that was named needs no interface that is known."""
        config = self._config
        loopback = config.loopback or self._host is not None
        admit = config.interfaces if self._host is None else _everything
        found = usable_addresses(admit, loopback=loopback)
        if self._host is None:
            return admitted(found, handling=config.ip_handling, families=config.families)
        return tuple(each for each in found if each.host == self._host) or (HostAddress(self._host, ""),)

    def _bind(self, found: tuple[HostAddress, ...]) -> None:
        """Binds one port number everywhere; an address that has just gone is left out, a taken port is not."""
        failure: OSError | None = None
        options = self._config.udp
        for each in found:
            try:
                raw = open_socket(
                    Address(each.host, self.port), scope_id=each.scope_id, receive_buffer=options.receive_buffer
                )
            except OSError as error:
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    raise
                logger.debug("%s on %s: %s", each.host, each.interface, error)
                failure = error
            else:
                sock = UdpSocket(raw, each.scope_id, self, options)
                self._sockets[sock.address] = (sock, each)
                self._open_sockets += 1
        if not self._sockets:
            raise failure or OSError(errno.EADDRNOTAVAIL, "no usable local address")

    def _close_sockets(self) -> None:
        sockets, self._sockets = self._sockets, {}
        for sock, _ in sockets.values():
            sock.close(abort=True)

    # -- connections -----------------------------------------------------------------------------------------------

    def admit(self, guest: Guest, ufrag: str, close: Callable[[], Awaitable[object]] | None) -> tuple[Place, ...]:
        """Gives a connection a place at every socket; `close` ends it when the endpoint ends.

        Raises: InvalidState when the endpoint is not open here, InvalidArgument when another has the same ufrag.
        """
        self.check_open()
        member = self.router.add(ufrag)
        places = tuple(Place(self, sock, found, member, guest) for sock, found in self._sockets.values())
        self._seats[member] = Seat(guest, len(places), close)
        for place in places:
            guest.sockets[place.address] = place
        return places

    def check_open(self) -> None:
        """Raises InvalidState unless connections of the running loop may use it."""
        if self._is_closed or not self._sockets:
            raise InvalidState("the endpoint is not open: use `async with Endpoint(...) as endpoint`")
        if asyncio.get_running_loop() is not self._loop:
            raise InvalidState("the endpoint is another event loop's")

    def leave(self, place: Place) -> None:
        """Takes a place back; with its last one the connection is forgotten."""
        member = place.member
        if place in self._waiting:
            self._waiting.remove(place)
        seat = self._seats[member]
        seat.places -= 1
        if not seat.places:
            self.router.remove(member)
            del self._seats[member]

    # -- what connections send -------------------------------------------------------------------------------------

    def is_inside(self, remote: Address) -> bool:
        """Says whether that is an address of its own."""
        return remote in self._sockets

    def carry_inside(self, sender: Member, datagram: Datagram) -> bool:
        """Takes a datagram to an address of its own, of which the system could not say who sent it."""
        if datagram.remote not in self._sockets:
            return False
        if len(self._inside) >= INSIDE_QUEUE:
            self.drop(DropReason.LIMIT)
        else:
            if not self._inside:
                asyncio.get_running_loop().call_soon(self._deliver_inside)
            self._inside.append((sender, datagram))
        return True

    def _deliver_inside(self) -> None:
        now = time.monotonic()
        inside, self._inside = self._inside, []
        for sender, datagram in inside:
            arrival = Datagram(datagram.remote, datagram.local, datagram.payload, datagram.dont_fragment)
            self._hand_out(arrival, sender, now)
        self.on_drained(now)

    def wait_for_room(self, place: Place) -> None:
        """Has the place's connection wait until its socket has sent what it queues."""
        place.is_waiting = True
        self._waiting.append(place)
        place.resident.on_backlog(True)

    def drop(self, reason: DropReason) -> None:
        """Counts what is nobody's."""
        self._dropped[reason] = self._dropped.get(reason, 0) + 1

    # -- what its sockets say --------------------------------------------------------------------------------------

    def on_datagram(self, datagram: Datagram, now: Instant) -> None:
        """Gives a datagram to the connection it is for."""
        self._hand_out(datagram, Member(0), now)

    def _hand_out(self, datagram: Datagram, sender: Member, now: Instant) -> None:
        owner = self.router.route(datagram, sender=sender, now=now)
        if isinstance(owner, DropReason):
            self.drop(owner)
        else:
            self._woken[owner] = None
            self._seats[owner].resident.on_datagram(datagram, now)

    def on_unreachable(self, unreachable: Unreachable, now: Instant) -> None:
        """Tells whoever sent there."""
        for member in self.router.concerned(unreachable.local, unreachable.remote, now=now):
            self._seats[member].resident.on_unreachable(unreachable, now)

    def on_drained(self, now: Instant) -> None:
        """Lets those answer who were given something."""
        woken, self._woken = self._woken, {}
        for member in woken:
            seat = self._seats.get(member)  # one may have closed another
            if seat is not None:
                seat.resident.on_drained(now)

    def on_backlog(self, queued: bool) -> None:
        """Lets those go on who waited for room; who must wait finds out when it sends."""
        if not queued:
            waiting, self._waiting = self._waiting, []
            for place in waiting:
                place.is_waiting = False
                place.resident.on_backlog(False)

    def on_socket_closed(self, closed: UdpSocket) -> None:  # noqa: ARG002 - it was forgotten when closing began
        """Counts a socket that is gone; the last one completes the end."""
        self._open_sockets -= 1
        if not self._open_sockets and self._ended is not None and not self._ended.done():
            self._ended.set_result(None)


def _everything(_name: str, _host: str) -> bool:
    return True
