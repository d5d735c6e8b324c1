"""Hosts: datagram sockets, what the host itself listens on, and the machines that run on it.

A host answers datagrams for closed ports by ICMP, segments by RST, and hands everything else to the
socket's machine. Interfaces are interfaces.py's, TCP is tcp_stack.py's; how a machine is run, runner.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from icepath.errors import InvalidArgument, InvalidState
from icepath.machine import Bind, Datagram, Event, FailReason, Handle, LocalAddress, Machine, Transport, Unreachable
from icepath.net import Address, Instant
from icepath.sim.dtls import DtlsListener
from icepath.sim.interfaces import Interface, Interfaces
from icepath.sim.link import IDEAL, Link, LinkConfig
from icepath.sim.names import Names
from icepath.sim.network import Network, is_multicast
from icepath.sim.packet import IcmpError, Loss, Medium, Packet, Unreachability, Verdict, icmp_error
from icepath.sim.ports import FreePorts
from icepath.sim.runner import Runner
from icepath.sim.sockets import Receiver
from icepath.sim.tcp_stack import TcpStack
from icepath.sim.tls import TlsServer

ResultT = TypeVar("ResultT")

# What the host's own listeners are bound by: no machine's handle.
_NO_HANDLE = Handle(0)


class Socket:
    """Is one datagram socket; unowned until a machine is attached."""

    __slots__ = ("groups", "local", "owner")

    def __init__(self, local: Address, owner: Receiver | None) -> None:
        self.local = local
        self.owner = owner
        self.groups: set[Address] = set()


class Host:
    """Is one computer on the virtual network."""

    def __init__(self, medium: Medium, name: str, names: Names, *, honours_flows: bool = True) -> None:
        self.name = name
        self.names = names
        self.answers_closed_ports = True
        """Sends ICMP "port unreachable" for datagrams to ports without a socket, RST for segments."""
        self.runners: list[Runner] = []
        self._medium = medium
        self._clock = medium.clock
        self._honours_flows = honours_flows
        self._interfaces = Interfaces(medium, self, self.receive)
        self._sockets: dict[Address, Socket] = {}
        self._free = FreePorts(medium, f"{name} ports")
        self.tcp = TcpStack(medium, name, self._interfaces, lambda: self.answers_closed_ports)
        """Its TCP; `tcp.config` says how it treats bytes."""

    # -- interfaces --------------------------------------------------------------------------------------------

    def add_interface(
        self,
        name: str,
        network: Network,
        hosts: Sequence[str],
        *,
        cost: int = 0,
        up: LinkConfig = IDEAL,
        down: LinkConfig | None = None,
    ) -> Interface:
        """Joins a network with addresses there; `down` is like `up` unless given.

        Raises: InvalidState when the name or an address is taken.
        """
        return self._interfaces.add(name, network, hosts, cost, up, up if down is None else down)

    def remove_interface(self, name: str) -> None:
        """Leaves a network: its addresses and sockets are gone, and byte streams from there end.

        Raises: InvalidArgument when there is no such interface.
        """
        interface = self._interfaces.remove(name)
        for local in [local for local in self._sockets if local.host in interface.hosts]:
            del self._sockets[local]
        self.tcp.leave(interface.hosts)

    def interface(self, name: str) -> Interface:
        """Returns the interface of that name.

        Raises: InvalidArgument when there is no such interface.
        """
        return self._interfaces.named(name)

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """Returns the interfaces, oldest first."""
        return tuple(self._interfaces)

    # -- sockets and machines ------------------------------------------------------------------------------------

    def bind(self, where: str, port: int = 0, *, owner: Runner | None = None) -> LocalAddress:
        """Opens a socket on an address, or on the first address of an interface; port 0 is any.

        Without an owner it waits for the next machine that is attached.

        Raises: InvalidArgument when there is no such address or interface; InvalidState when the port is taken.
        """
        interface, local = self._where(where, port)
        bound = self._open(local, owner)
        return LocalAddress(_bound(bound, local), interface.name, Transport.UDP, interface.cost)

    def bind_all(self, port: int = 0) -> list[LocalAddress]:
        """Opens a socket on every address, as a driver does for an agent."""
        return [self.bind(host, port) for host in self._interfaces.hosts]

    def listen_tcp(
        self,
        where: str,
        port: int = 0,
        *,
        tls: TlsServer | None = None,
        paused: bool = False,
        owner: Runner | None = None,
    ) -> LocalAddress:
        """Listens for byte streams on an address, or on the first address of an interface; port 0 is any.

        With `tls`, they are handed over when its handshake is done. Machines know the listener by its address.
        Without an owner it waits for the next machine that is attached, and lets the far side try again until then.

        Raises: InvalidArgument when there is no such address or interface; InvalidState when the port is taken.
        """
        interface, local = self._where(where, port)
        command = Bind(_NO_HANDLE, local, Transport.TCP, listen=True, paused=paused)
        bound = self.tcp.bind(command, None if owner is None else owner.byte_streams)
        if isinstance(bound, FailReason):
            return LocalAddress(_bound(bound, local))
        bound.tls = tls
        return LocalAddress(bound.local, interface.name, Transport.TCP, interface.cost)

    def listen_dtls(self, where: str, port: int = 0, *, tls: TlsServer, owner: Runner | None = None) -> LocalAddress:
        """Listens for DTLS associations, else as `listen_tcp`."""
        listener = DtlsListener(self, tls)
        interface, local = self._where(where, port)
        bound = self._open(local, listener)
        listener.local = _bound(bound, local)
        listener.owner = None if owner is None else owner.byte_streams
        return LocalAddress(listener.local, interface.name, Transport.UDP, interface.cost)

    def attach(
        self,
        machine: Machine[Event],
        sockets: Iterable[LocalAddress] | None = None,
        *,
        name: str | None = None,
        honours_flows: bool | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> Runner:
        """Runs a machine from now on, with these sockets and listeners; without any, with all that have none yet."""
        runner = Runner(
            machine,
            name=name or f"{self.name}/{type(machine).__name__}",
            clock=self._clock,
            host=self,
            honours_flows=self._honours_flows if honours_flows is None else honours_flows,
            on_event=on_event,
        )
        self._own(runner, None if sockets is None else {(local.transport, local.address) for local in sockets})
        self.runners.append(runner)
        runner.settle()
        return runner

    def call(self, machine: Machine[Event], verb: Callable[[Instant], ResultT]) -> ResultT:
        """Calls a verb of a machine that runs here: `host.call(agent, lambda now: agent.restart(..., now=now))`.

        Raises: InvalidArgument when the machine does not run here.
        """
        for runner in self.runners:
            if runner.machine is machine:
                return runner.call(verb)
        raise InvalidArgument(f"{machine} does not run on {self.name}")

    # -- what runners ask ------------------------------------------------------------------------------------------

    def open(self, command: Bind, owner: Receiver) -> Address | FailReason:
        """Opens a socket for a machine, or says why not."""
        local = self._open(command.local, owner, port_range=command.port_range, even=command.even_port)
        if isinstance(local, Address) and command.group is not None and command.group.port:
            self._sockets[local].groups.add(command.group)
        return local

    def source_for(self, remote: Address) -> Address | None:
        """Returns where to send from when nobody says, with port 0; None when there is no such address."""
        host = self._interfaces.source_for(remote.host)
        return None if host is None else Address(host, 0)

    def free(self, local: Address, owner: Receiver) -> None:
        """Closes a machine's socket."""
        socket = self._sockets.get(local)
        if socket is not None and socket.owner is owner:
            del self._sockets[local]

    def free_all(self, owner: Receiver) -> None:
        """Closes every socket of a machine."""
        for local in [local for local, socket in self._sockets.items() if socket.owner is owner]:
            del self._sockets[local]

    def send(self, datagram: Datagram) -> None:
        """Sends a datagram from one of this host's sockets."""
        packet = Packet(datagram.local, datagram.remote, datagram.payload, datagram.dont_fragment)
        if datagram.local not in self._sockets:
            self._medium.drop(self.name, packet, Loss.NO_SOCKET)
            return
        self._medium.note(self.name, packet, Verdict.SENT)
        self._interfaces.transmit(packet)

    # -- what links bring --------------------------------------------------------------------------------------------

    def receive(self, packet: Packet, link: Link) -> None:
        """Takes a packet that arrived over a link, or from this host itself."""
        destination = packet.destination
        error = packet.error
        if error is not None:
            self._receive_error(error)
            return
        if packet.segment is not None:
            self.tcp.receive(packet, packet.segment)
            return
        socket = self._sockets.get(destination)
        if socket is not None and not socket.groups:
            self._deliver(packet, socket)
        elif is_multicast(destination.host):
            self._receive_multicast(packet, link)
        else:
            self._refuse(packet)

    def _receive_error(self, error: IcmpError) -> None:
        if error.transport is Transport.TCP:
            self.tcp.on_error(error)
            return
        socket = self._sockets.get(error.source)
        if socket is not None and socket.owner is not None:
            socket.owner.arrive(
                Unreachable(error.source, error.destination, error.icmp_type, error.icmp_code, error.mtu)
            )

    def _deliver(self, packet: Packet, socket: Socket) -> None:
        if socket.owner is None:
            self._medium.drop(self.name, packet, Loss.NO_SOCKET)
            return
        self._medium.note(self.name, packet, Verdict.DELIVERED)
        socket.owner.arrive(Datagram(socket.local, packet.source, packet.payload))

    def _receive_multicast(self, packet: Packet, link: Link) -> None:
        for socket in list(self._sockets.values()):
            interface = self._interfaces.of(socket.local.host)
            if packet.destination in socket.groups and interface is not None and interface.link is link:
                self._deliver(packet, socket)

    def _refuse(self, packet: Packet) -> None:
        self._medium.drop(self.name, packet, Loss.NO_SOCKET)
        if self.answers_closed_ports and self._interfaces.of(packet.destination.host):
            self._interfaces.transmit(icmp_error(packet, Unreachability.PORT))

    # -- sockets -------------------------------------------------------------------------------------------------------

    def _own(self, runner: Runner, wanted: set[tuple[Transport, Address]] | None) -> None:
        """Gives sockets and listeners to a machine: those wanted, or those that have none."""
        for socket in self._sockets.values():
            listener = socket.owner if isinstance(socket.owner, DtlsListener) else None
            is_free = socket.owner is None or (listener is not None and listener.owner is None)
            if is_free if wanted is None else (Transport.UDP, socket.local) in wanted:
                if listener is None:
                    socket.owner = runner
                else:
                    listener.owner = runner.byte_streams
        for port in self.tcp.ports:
            if port.owner is None if wanted is None else (Transport.TCP, port.local) in wanted:
                port.owner = runner.byte_streams

    def _where(self, where: str, port: int) -> tuple[Interface, Address]:
        interface = self._interfaces.of(where) or self._interfaces.named(where)
        host = where if where in interface.hosts else interface.hosts[0]
        return interface, Address(host, port)

    def _open(
        self,
        wanted: Address,
        owner: Receiver | None,
        *,
        port_range: tuple[int, int] | None = None,
        even: bool = False,
    ) -> Address | FailReason:
        if self._interfaces.of(wanted.host) is None:
            return FailReason.UNREACHABLE
        if wanted.port:
            local = wanted
            if local in self._sockets:
                return FailReason.ADDRESS_IN_USE
        else:
            free = self._free.choose(wanted.host, self._sockets.__contains__, port_range, even=even)
            if free is None:
                return FailReason.NO_PORT
            local = free
        self._sockets[local] = Socket(local, owner)
        return local


def _bound(bound: Address | FailReason, wanted: Address) -> Address:
    if isinstance(bound, FailReason):
        raise InvalidState(f"cannot bind port {wanted.port} of {wanted.host}: {bound.name}")
    return bound
