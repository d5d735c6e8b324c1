"""The sockets of the mDNS machine, two on each link, and the one rate that bounds everything sent.

- One *listens* at the group, port 5353: multicast questions and answers, and nothing else, come in there. Other
  mDNS programs of this host have the same port; what is sent to its unicast address goes to one of them only.
- So another one *asks*, from a port of its own: the answer to a question from there comes back to it alone, at
  once, whatever was multicast a moment ago (RFC 6762 §5.1 and §6.7).

Each may fail alone: without the first nobody hears of us, without the second answers come by multicast only.
"""

from __future__ import annotations

from typing import Final, final

from icepath.machine import Bind, Close, Closed, Datagram, Failed, Handle, Opened
from icepath.mdns.config import PORT, Link, MdnsConfig
from icepath.mdns.events import MdnsEvent
from icepath.mdns.message import MdnsMessage, encode_message
from icepath.net import Address, Instant, Seconds
from icepath.outbox import Outbox

RATE_WINDOW: Final[Seconds] = 1.0


@final
class Rate:
    """Counts to a limit in each window."""

    __slots__ = ("_limit", "_until", "_used")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._until: Instant = float("-inf")

    def allows(self, now: Instant) -> bool:
        """Takes one, if there is one left."""
        if now >= self._until:
            self._until = now + RATE_WINDOW
            self._used = 0
        if self._used >= self._limit:
            return False
        self._used += 1
        return True

    @property
    def again_at(self) -> Instant:
        """Returns when the next window begins."""
        return self._until


@final
class Port:
    """Is one of a link's two sockets."""

    __slots__ = ("address", "handle", "is_listening", "link")

    def __init__(self, link: Link, is_listening: bool) -> None:
        self.link = link
        self.is_listening = is_listening
        self.handle: Handle | None = None
        """None when it failed, or ended."""
        self.address: Address | None = None
        """None unless it is open."""


@final
class Links:
    """Opens and closes the sockets, and sends."""

    __slots__ = ("_by_address", "_by_handle", "_last_handle", "_outbox", "_ports", "_rate")

    def __init__(self, config: MdnsConfig, outbox: Outbox[MdnsEvent]) -> None:
        self._outbox = outbox
        self._rate = Rate(config.max_sent)
        # A link's two sockets: the listening one, the asking one.
        self._ports: dict[Link, tuple[Port, Port]] = {}
        self._by_handle: dict[Handle, Port] = {}
        self._by_address: dict[Address, Port] = {}
        self._last_handle = 0

    # -- sockets --------------------------------------------------------------------------------------------------

    def set(self, links: tuple[Link, ...]) -> None:
        """Opens what is new or has failed before, and closes what is gone."""
        for link in [link for link in self._ports if link not in links]:
            for port in self._ports.pop(link):
                self._close(port)
        for link in links:
            if link not in self._ports:
                self._ports[link] = (Port(link, True), Port(link, False))
            for port in self._ports[link]:
                if port.handle is None:
                    self._open(port)

    def _open(self, port: Port) -> None:
        self._last_handle += 1
        handle = port.handle = Handle(self._last_handle)
        self._by_handle[handle] = port
        # A group with port 0 is not joined: the socket sends there and does not hear it.
        number = PORT if port.is_listening else 0
        group = Address(port.link.group.host, number)
        self._outbox.put(Bind(handle, Address(port.link.host, number), group=group))

    def _close(self, port: Port) -> None:
        if port.handle is not None:
            self._outbox.put(Close(port.handle))
            self._forget(port.handle)

    def on_answer(self, answer: Opened | Failed | Closed) -> Port | None:
        """Takes what became of a socket; returns it when it is open now."""
        port = self._by_handle.get(answer.handle)
        if port is None:
            return None
        if not isinstance(answer, Opened):
            self._forget(answer.handle)
            return None
        if port.address is not None:
            return None
        port.address = answer.local
        self._by_address[answer.local] = port
        return port

    def _forget(self, handle: Handle) -> None:
        port = self._by_handle.pop(handle)
        port.handle = None
        if port.address is not None:
            if self._by_address.get(port.address) is port:
                del self._by_address[port.address]
            port.address = None

    def close(self) -> None:
        """Closes every socket."""
        self.set(())

    # -- questions about them -------------------------------------------------------------------------------------

    def at(self, local: Address) -> Port | None:
        """Returns the open socket with this address."""
        return self._by_address.get(local)

    @property
    def listening(self) -> list[Port]:
        """Returns the open sockets that hear the group."""
        return [listening for listening, _ in self._ports.values() if listening.address is not None]

    def asking(self, *, by_multicast: bool) -> list[Port]:
        """Returns an open socket of each link to ask from: where the answer comes back alone, or by multicast."""
        found: list[Port] = []
        for listening, asking in self._ports.values():
            for port in (listening, asking) if by_multicast else (asking, listening):
                if port.address is not None:
                    found.append(port)
                    break
        return found

    @property
    def is_hopeless(self) -> bool:
        """Says whether no socket is open, nor may yet be."""
        return not self._by_handle

    # -- sending --------------------------------------------------------------------------------------------------

    def send(self, port: Port, message: MdnsMessage, remote: Address | None = None, *, now: Instant) -> bool:
        """Sends to the group, or to somebody; False when the rate is used up."""
        if port.address is None or not self._rate.allows(now):
            return False
        self.send_last(port, message, remote)
        return True

    def send_last(self, port: Port, message: MdnsMessage, remote: Address | None = None) -> None:
        """Sends whatever the rate says: a farewell, which is one message for many names."""
        if port.address is not None:
            self._outbox.put(Datagram(port.address, remote or port.link.group, encode_message(message)))

    @property
    def again_at(self) -> Instant:
        """Returns when the rate allows more."""
        return self._rate.again_at
