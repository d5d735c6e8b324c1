"""Hosts: interfaces, addresses, UDP sockets; and the machines that run on them.

A host sends from the interface that has the source address, answers datagrams for closed ports by ICMP,
and hands everything else to the socket's machine. How a machine is run is runner.py's business.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from icepath.errors import InvalidArgument, InvalidState
from icepath.machine import Bind, Datagram, Event, FailReason, LocalAddress, Machine, Transport, Unreachable
from icepath.net import MAX_PORT, Address, Instant
from icepath.sim.link import IDEAL, Link, LinkConfig
from icepath.sim.names import Names
from icepath.sim.network import Network, is_multicast
from icepath.sim.packet import Loss, Medium, Packet, Unreachability, Verdict, icmp_error
from icepath.sim.runner import Receiver, Runner

ResultT = TypeVar("ResultT")

# RFC 6335 §6: the ports a system draws from when asked for any.
EPHEMERAL_PORTS: Final = (49_152, MAX_PORT)


@dataclass(frozen=True, slots=True)
class Interface:
    """Is one network interface of a host."""

    name: str
    hosts: tuple[str, ...]
    cost: int
    network: Network
    link: Link


class Socket:
    """Is one UDP socket; unowned until a machine is attached."""

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
        """Sends ICMP "port unreachable" for datagrams to ports without a socket."""
        self.runners: list[Runner] = []
        self._medium = medium
        self._clock = medium.clock
        self._honours_flows = honours_flows
        self._interfaces: dict[str, Interface] = {}
        self._by_host: dict[str, Interface] = {}
        self._sockets: dict[Address, Socket] = {}
        self._rng: random.Random | None = None

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
        if name in self._interfaces:
            raise InvalidState(f"{self.name} has an interface {name} already")
        link = Link(self._medium, self, network, up=up, down=up if down is None else down, inline=False)
        network.attach(link, hosts)
        interface = Interface(name, tuple(hosts), cost, network, link)
        self._interfaces[name] = interface
        for host in hosts:
            self._by_host[host] = interface
        return interface

    def remove_interface(self, name: str) -> None:
        """Leaves a network: its addresses and sockets are gone.

        Raises: InvalidArgument when there is no such interface.
        """
        interface = self._interface(name)
        interface.network.detach(interface.hosts)
        del self._interfaces[name]
        for host in interface.hosts:
            del self._by_host[host]
        for local in [local for local in self._sockets if local.host in interface.hosts]:
            del self._sockets[local]

    def interface(self, name: str) -> Interface:
        """Returns the interface of that name.

        Raises: InvalidArgument when there is no such interface.
        """
        return self._interface(name)

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """Returns the interfaces, oldest first."""
        return tuple(self._interfaces.values())

    # -- sockets and machines ------------------------------------------------------------------------------------

    def bind(self, where: str, port: int = 0, *, owner: Runner | None = None) -> LocalAddress:
        """Opens a socket on an address, or on the first address of an interface; port 0 is any.

        Without an owner it waits for the next machine that is attached.

        Raises: InvalidArgument when there is no such address or interface; InvalidState when the port is taken.
        """
        interface = self._by_host.get(where) or self._interface(where)
        host = where if where in interface.hosts else interface.hosts[0]
        local = self._open(Address(host, port), owner)
        if isinstance(local, FailReason):
            raise InvalidState(f"cannot bind port {port} of {host}: {local.name}")
        return LocalAddress(local, interface.name, Transport.UDP, interface.cost)

    def bind_all(self, port: int = 0) -> list[LocalAddress]:
        """Opens a socket on every address, as a driver does for an agent."""
        return [self.bind(host, port) for host in self._by_host]

    def attach(
        self,
        machine: Machine[Event],
        sockets: Iterable[LocalAddress] | None = None,
        *,
        name: str | None = None,
        honours_flows: bool | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> Runner:
        """Runs a machine from now on, with these sockets: without any, with all that have no machine yet."""
        runner = Runner(
            machine,
            name=name or f"{self.name}/{type(machine).__name__}",
            clock=self._clock,
            host=self,
            honours_flows=self._honours_flows if honours_flows is None else honours_flows,
            on_event=on_event,
        )
        if sockets is None:
            waiting = [socket for socket in self._sockets.values() if socket.owner is None]
        else:
            waiting = [self._sockets[local.address] for local in sockets]
        for socket in waiting:
            socket.owner = runner
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
        if command.transport is not Transport.UDP:
            return FailReason.UNSUPPORTED
        local = self._open(
            command.local,
            owner,
            port_range=command.port_range or EPHEMERAL_PORTS,
            even=command.even_port,
        )
        if isinstance(local, Address) and command.group is not None:
            self._sockets[local].groups.add(command.group)
        return local

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
        self._transmit(packet)

    # -- what links bring --------------------------------------------------------------------------------------------

    def receive(self, packet: Packet, link: Link) -> None:
        """Takes a packet that arrived over a link, or from this host itself."""
        destination = packet.destination
        error = packet.error
        if error is not None:
            socket = self._sockets.get(error.source)
            if socket is not None and socket.owner is not None:
                socket.owner.arrive(
                    Unreachable(error.source, error.destination, error.icmp_type, error.icmp_code, error.mtu)
                )
            return
        socket = self._sockets.get(destination)
        if socket is not None:
            self._deliver(packet, socket)
        elif is_multicast(destination.host):
            self._receive_multicast(packet, link)
        else:
            self._refuse(packet)

    def _deliver(self, packet: Packet, socket: Socket) -> None:
        if socket.owner is None:
            self._medium.drop(self.name, packet, Loss.NO_SOCKET)
            return
        self._medium.note(self.name, packet, Verdict.DELIVERED)
        socket.owner.arrive(Datagram(socket.local, packet.source, packet.payload))

    def _receive_multicast(self, packet: Packet, link: Link) -> None:
        for socket in list(self._sockets.values()):
            if packet.destination in socket.groups and self._by_host[socket.local.host].link is link:
                self._deliver(packet, socket)

    def _refuse(self, packet: Packet) -> None:
        self._medium.drop(self.name, packet, Loss.NO_SOCKET)
        if self.answers_closed_ports and packet.destination.host in self._by_host:
            self._transmit(icmp_error(packet, Unreachability.PORT))

    def _transmit(self, packet: Packet) -> None:
        interface = self._by_host[packet.source.host]
        if packet.destination.host in self._by_host:
            self._clock.schedule(self._clock.now, self._loop_back, (packet, interface.link))
            return
        if packet.error is None and is_multicast(packet.destination.host):
            self._clock.schedule(self._clock.now, self._loop_back, (packet.copy(), interface.link))
        interface.link.up.transmit(packet)

    def _loop_back(self, arrival: tuple[Packet, Link]) -> None:
        self.receive(*arrival)

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _interface(self, name: str) -> Interface:
        interface = self._interfaces.get(name)
        if interface is None:
            raise InvalidArgument(f"{self.name} has no interface or address {name!r}")
        return interface

    def _open(
        self,
        wanted: Address,
        owner: Receiver | None,
        *,
        port_range: tuple[int, int] = EPHEMERAL_PORTS,
        even: bool = False,
    ) -> Address | FailReason:
        if wanted.host not in self._by_host:
            return FailReason.UNREACHABLE
        if wanted.port:
            local = wanted
            if local in self._sockets:
                return FailReason.ADDRESS_IN_USE
        else:
            free = next(self._free_ports(wanted.host, port_range, even), None)
            if free is None:
                return FailReason.NO_PORT
            local = Address(wanted.host, free)
        self._sockets[local] = Socket(local, owner)
        return local

    def _free_ports(self, host: str, port_range: tuple[int, int], even: bool) -> Iterator[int]:
        if self._rng is None:
            self._rng = self._medium.rng(f"{self.name} ports")
        low, high = port_range
        count = high - low + 1
        start = self._rng.randrange(count)
        for offset in range(count):
            port = low + (start + offset) % count
            if not (even and port % 2) and Address(host, port) not in self._sockets:
                yield port
