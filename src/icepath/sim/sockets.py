"""What a runner and its byte streams need of a host, and a host of who owns its sockets."""

from __future__ import annotations

from typing import Protocol

from icepath.machine import Bind, Datagram, FailReason, Unreachable
from icepath.net import Address
from icepath.sim.names import Names
from icepath.sim.tcp_stack import TcpStack


class Receiver(Protocol):
    """Is what a host needs of a datagram socket's owner."""

    def arrive(self, arrival: Datagram | Unreachable) -> None:
        """Takes what arrived at one of its sockets."""


class Sockets(Protocol):
    """Is what a runner needs of its host."""

    @property
    def names(self) -> Names:
        """Returns the resolver."""
        ...

    @property
    def tcp(self) -> TcpStack:
        """Returns the host's TCP."""
        ...

    def open(self, command: Bind, owner: Receiver) -> Address | FailReason:
        """Opens a datagram socket, or says why not."""
        ...

    def source_for(self, remote: Address) -> Address | None:
        """Returns where to send from when nobody says, with port 0; None when there is no such address."""
        ...

    def free(self, local: Address, owner: Receiver) -> None:
        """Closes a datagram socket."""

    def free_all(self, owner: Receiver) -> None:
        """Closes every datagram socket of an owner."""

    def send(self, datagram: Datagram) -> None:
        """Sends a datagram."""
