"""TCP of one host: ports, listeners, five-tuples, and RSTs for what nobody wants.

A port may be bound to listen, or (RFC 6544 "so" candidates) to be connected from. Connections from one
port to several far ends are fine, the same five-tuple twice is not. What a connection does is in
tcp_connection.py, what a machine sees of it in byte_stream.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from icepath.machine import Bind, FailReason, Handle
from icepath.net import Address
from icepath.sim.clock import Clock
from icepath.sim.interfaces import Interfaces
from icepath.sim.packet import IcmpError, Loss, Medium, Packet, Segment, Unreachability, Verdict, icmp_numbers, reset
from icepath.sim.ports import FreePorts
from icepath.sim.tcp_config import ConnectionOwner, TcpConfig
from icepath.sim.tcp_connection import TcpConnection
from icepath.sim.tls import TlsServer

DEFAULT_CONFIG: Final = TcpConfig()


class Acceptor(Protocol):
    """Owns ports, and is asked to take the connections that come in."""

    def incoming(self, port: TcpPort) -> IncomingOwner:
        """Returns the owner of a connection that was asked for at the port."""
        ...


class IncomingOwner(ConnectionOwner, Protocol):
    """Owns a connection that came in."""

    def adopt(self, connection: TcpConnection) -> None:
        """Is told which one it is."""


class TcpPort:
    """Is one bound port; unowned until a machine is attached."""

    __slots__ = ("handle", "listens", "local", "owner", "paused", "tls")

    def __init__(self, local: Address, owner: Acceptor | None, *, listens: bool) -> None:
        self.local = local
        self.owner = owner
        self.listens = listens
        self.handle: Handle | None = None
        """Of the machine that bound it; None: the host's own, named by its address."""
        self.paused = False
        self.tls: TlsServer | None = None


class TcpStack:
    """Keeps the ports and connections of one host."""

    def __init__(self, medium: Medium, name: str, interfaces: Interfaces, answers: Callable[[], bool]) -> None:
        """Builds it; `answers` says whether closed ports are."""
        self.clock: Clock = medium.clock
        self.config = DEFAULT_CONFIG
        """May be set at any time, for connections from then on."""
        self._medium = medium
        self._name = name
        self._interfaces = interfaces
        self._answers = answers
        self._ports: dict[Address, TcpPort] = {}
        # (local, remote) -> connection
        self._connections: dict[tuple[Address, Address], TcpConnection] = {}
        self._free = FreePorts(medium, f"{name} tcp ports")
        self._numbers = medium.rng(f"{name} tcp sequence")

    # -- ports -----------------------------------------------------------------------------------------------

    @property
    def ports(self) -> tuple[TcpPort, ...]:
        """Returns the bound ports, oldest first."""
        return tuple(self._ports.values())

    @property
    def connections(self) -> int:
        """Returns how many connections there are, from the first SYN to the last answer."""
        return len(self._connections)

    def port(self, local: Address) -> TcpPort | None:
        """Returns the port that is bound there."""
        return self._ports.get(local)

    def bind(self, command: Bind, owner: Acceptor | None) -> TcpPort | FailReason:
        """Binds a port, or says why not."""
        if self._interfaces.of(command.local.host) is None:
            return FailReason.UNREACHABLE
        local = command.local
        if local.port:
            if local in self._ports:
                return FailReason.ADDRESS_IN_USE
        else:
            free = self._free.choose(local.host, self._is_taken, command.port_range, even=command.even_port)
            if free is None:
                return FailReason.NO_PORT
            local = free
        port = self._ports[local] = TcpPort(local, owner, listens=command.listen)
        port.paused = command.paused
        return port

    def free(self, local: Address, owner: Acceptor) -> None:
        """Unbinds a port of the owner; its connections go on."""
        port = self._ports.get(local)
        if port is not None and port.owner is owner:
            del self._ports[local]

    def free_all(self, owner: Acceptor) -> None:
        """Unbinds all ports of the owner."""
        for local in [local for local, port in self._ports.items() if port.owner is owner]:
            del self._ports[local]

    def leave(self, hosts: tuple[str, ...]) -> None:
        """Ends all there is at addresses that are gone, as phones do; the far side hears nothing."""
        for local in [local for local in self._ports if local.host in hosts]:
            del self._ports[local]
        for connection in [c for c in self._connections.values() if c.local.host in hosts]:
            connection.vanish()

    # -- connections -----------------------------------------------------------------------------------------

    def connect(
        self, local: Address | None, remote: Address, owner: ConnectionOwner, acceptor: Acceptor
    ) -> TcpConnection | FailReason:
        """Returns a connection that has asked the far side for itself, or says why not.

        A local port may be one that the acceptor has bound.
        """
        source = self._source(local, remote, acceptor)
        if isinstance(source, FailReason):
            return source
        if (source, remote) in self._connections:
            return FailReason.FIVE_TUPLE_TAKEN
        connection = self._make(source, remote, owner)
        connection.open()
        return connection

    def transmit(self, packet: Packet) -> None:
        """Sends a packet."""
        self._medium.note(self._name, packet, Verdict.SENT)
        self._interfaces.transmit(packet)

    def forget(self, connection: TcpConnection) -> None:
        """Frees a five-tuple."""
        del self._connections[connection.local, connection.remote]

    def discard(self, connection: TcpConnection, payload: bytes) -> None:
        """Notes that bytes were not sent, for too many wait already."""
        self._medium.drop(self._name, Packet(connection.local, connection.remote, payload), Loss.QUEUE_FULL)

    # -- what links bring --------------------------------------------------------------------------------------

    def receive(self, packet: Packet, segment: Segment) -> None:
        """Takes a segment that is for this host."""
        connection = self._connections.get((packet.destination, packet.source))
        if connection is None and segment.opens:
            connection = self._accept(packet)
            if connection is not None:
                self._medium.note(self._name, packet, Verdict.DELIVERED)
                connection.accept(segment)
                return
        if connection is None:
            self._refuse(packet, segment)
            return
        self._medium.note(self._name, packet, Verdict.DELIVERED)
        connection.receive(packet, segment)

    def on_error(self, error: IcmpError) -> None:
        """Takes an ICMP error about a segment of this host."""
        connection = self._connections.get((error.source, error.destination))
        if connection is not None:
            numbers = (error.icmp_type, error.icmp_code)
            is_ipv6 = error.source.is_ipv6
            connection.on_error(
                error,
                is_too_big=numbers == icmp_numbers(Unreachability.TOO_BIG, is_ipv6=is_ipv6),
                is_port=numbers == icmp_numbers(Unreachability.PORT, is_ipv6=is_ipv6),
            )

    def _accept(self, packet: Packet) -> TcpConnection | None:
        port = self._ports.get(packet.destination)
        if port is None or not port.listens or port.owner is None:
            return None
        half_open = sum(c.is_half_open for c in self._connections.values() if c.local == port.local)
        if half_open >= self.config.backlog:
            return None
        owner = port.owner.incoming(port)
        connection = self._make(packet.destination, packet.source, owner)
        owner.adopt(connection)
        return connection

    def _refuse(self, packet: Packet, segment: Segment) -> None:
        self._medium.drop(self._name, packet, Loss.NO_SOCKET)
        port = self._ports.get(packet.destination)
        # A listener that has no machine yet, or too much to do, says nothing.
        is_busy = port is not None and port.listens and segment.opens
        if not segment.rst and not is_busy and self._answers() and self._interfaces.of(packet.destination.host):
            self.transmit(reset(packet, segment))

    # -- helpers -----------------------------------------------------------------------------------------------

    def _source(self, local: Address | None, remote: Address, acceptor: Acceptor) -> Address | FailReason:
        host = self._interfaces.source_for(remote.host) if local is None else local.host
        if host is None or self._interfaces.of(host) is None or (":" in host) != remote.is_ipv6:
            return FailReason.UNREACHABLE
        if local is None or not local.port:
            return self._free.choose(host, self._is_taken, None) or FailReason.NO_PORT
        port = self._ports.get(local)
        return local if port is None or port.owner is acceptor else FailReason.ADDRESS_IN_USE

    def _make(self, local: Address, remote: Address, owner: ConnectionOwner) -> TcpConnection:
        connection = TcpConnection(
            self,
            local,
            remote,
            owner,
            start=self._numbers.randrange(1 << 32),
            max_segment=self._interfaces.max_segment(local.host),
        )
        self._connections[local, remote] = connection
        return connection

    def _is_taken(self, local: Address) -> bool:
        return local in self._ports or any(connection.local == local for connection in self._connections.values())
