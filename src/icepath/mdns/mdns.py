"""The mDNS machine: one for all agents of a process, which hides their addresses and finds those of others.

    mdns = Mdns(MdnsConfig(), random_bytes=..., now=now)
    mdns.set_links((Link("192.168.1.10", ("192.168.1.0/24",)),), now=now)
    name = local_name(random_bytes)
    mdns.register(name, "192.168.1.10", now=now)       # until unregister
    mdns.resolve(Handle(1), "....local", now=now)      # -> NameResolved or NameNotFound

It routes: sockets are links.py's, asking and remembering resolver.py's, answering responder.py's. What others on
the network talk about, printers and the like, is neither read nor counted.

RFC 6762; draft-ietf-mmusic-mdns-ice-candidates-03.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from icepath.errors import DecodeError, InvalidState
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
    Unreachable,
)
from icepath.mdns.config import PORT, Link, MdnsConfig
from icepath.mdns.events import MdnsEvent
from icepath.mdns.links import Links, Port, Rate
from icepath.mdns.message import decode_message
from icepath.mdns.names import names_a_candidate
from icepath.mdns.resolver import Resolver
from icepath.mdns.responder import Responder
from icepath.net import Address, Instant, RandomBytes
from icepath.outbox import Outbox


@final
class Mdns:
    """Finds the addresses of names in `.local`, and answers for names of its own.

    Emits: Bind, Close, Datagram, NameResolved, NameNotFound, DatagramDropped, MachineClosed.
    """

    __slots__ = ("_is_closed", "_latest", "_links", "_outbox", "_read", "_resolver", "_responder")

    def __init__(self, config: MdnsConfig, *, random_bytes: RandomBytes, now: Instant) -> None:
        self._outbox: Outbox[MdnsEvent] = Outbox()
        self._links = Links(config, self._outbox)
        self._responder = Responder(config, self._links, self._outbox, random_bytes=random_bytes)
        self._resolver = Resolver(
            config, self._links, self._outbox, own=self._responder.address_of, random_bytes=random_bytes
        )
        self._read = Rate(config.max_read)
        self._latest = now
        self._is_closed = False

    # -- verbs ----------------------------------------------------------------------------------------------------

    def set_links(self, links: tuple[Link, ...], *, now: Instant) -> None:
        """Takes the links there are now: new ones are opened, and failed ones once more.

        Raises: InvalidState when it is closed.
        """
        self._advance(self._begin(now))
        self._links.set(links)
        self._responder.forget(links)
        self._resolver.on_failed()

    def resolve(self, query: Handle, name: str, *, now: Instant) -> None:
        """Asks for the address of a name: `NameResolved` or `NameNotFound` follows within the time-out.

        Raises: InvalidArgument when the query's handle is in use; InvalidState when it is closed.
        """
        at = self._begin(now)
        self._resolver.resolve(query, name, now=at)
        self._advance(at)

    def cancel(self, query: Handle, *, now: Instant) -> None:
        """Ends a query without an answer; lawful for one that has ended."""
        self._advance(now)
        self._resolver.cancel(query)

    def register(self, name: str, host: str, *, now: Instant) -> None:
        """Announces a name for one of our addresses and answers for it.

        Raises: InvalidArgument when the name is not of the form that agents make, or has another address;
            InvalidState when it is closed.
        """
        at = self._begin(now)
        self._responder.register(name, host, now=at)
        self._advance(at)

    def unregister(self, name: str, *, now: Instant) -> None:
        """Takes a name back; lawful for one that is not there."""
        self._advance(now)
        self._responder.unregister(name)

    # -- the contract ---------------------------------------------------------------------------------------------

    def receive(self, arrival: Arrival, *, now: Instant) -> None:
        """Takes a message, or what became of a socket."""
        if self._is_closed:
            return
        match arrival:
            case Datagram():
                self._receive(arrival, self._advance(now))
            case Opened() | Failed() | Closed():
                self._on_socket(arrival, self._advance(now))
            case Unreachable():
                self._advance(now)  # a question that did not leave is asked again, and times out
            case _:
                self._outbox.drop(DropReason.UNKNOWN_HANDLE, now=self._advance(now))

    def handle_timeout(self, *, now: Instant) -> None:
        """Asks, announces and gives up what is due."""
        now = self._advance(now)
        self._responder.handle_timeout(now)
        self._resolver.handle_timeout(now)

    def next_deadline(self) -> Instant | None:
        """Returns when `handle_timeout` is wanted next."""
        deadlines = (self._responder.next_deadline(), self._resolver.next_deadline())
        return min((at for at in deadlines if at is not None), default=None)

    def close(self, *, now: Instant) -> None:
        """Takes the names back and ends at once; queries are answered by `NameNotFound`."""
        self._advance(now)
        if not self._is_closed:
            self._is_closed = True
            self._resolver.close()
            self._responder.close()
            self._links.close()
            self._outbox.put(MachineClosed())

    def take_outputs(self) -> Sequence[Datagram | Bytes | Command | MdnsEvent]:
        """Returns what was output since the last call."""
        return self._outbox.take()

    # -- arrivals -------------------------------------------------------------------------------------------------

    def _advance(self, now: Instant) -> Instant:
        self._latest = max(self._latest, now)
        return self._latest

    def _begin(self, now: Instant) -> Instant:
        """Returns the time of a verb's call; a call that raises leaves no trace, so who succeeds calls `_advance`."""
        if self._is_closed:
            raise InvalidState("closed")
        return max(self._latest, now)

    def _on_socket(self, answer: Opened | Failed | Closed, now: Instant) -> None:
        port = self._links.on_answer(answer)
        if port is None:
            self._resolver.on_failed()
        else:
            self._responder.on_opened(port, now)
            self._resolver.on_opened(now)

    def _receive(self, datagram: Datagram, now: Instant) -> None:
        port = self._links.at(datagram.local)
        if port is None:
            self._drop(DropReason.UNKNOWN_LOCAL_ADDRESS, datagram.remote, now)
        elif names_a_candidate(datagram.payload):
            if self._read.allows(now):
                self._read_message(port, datagram.payload, datagram.remote, now)
            else:
                self._drop(DropReason.RATE, datagram.remote, now)

    def _read_message(self, port: Port, payload: bytes, remote: Address, now: Instant) -> None:
        try:
            message = decode_message(payload)
        except DecodeError:
            self._drop(DropReason.MALFORMED, remote, now)
            return
        if not message.is_response:
            if port.is_listening and remote.port:
                self._responder.on_question(port, message, remote, now=now)
            else:
                self._drop(DropReason.UNEXPECTED_MESSAGE, remote, now)
        elif remote.port != PORT or not (port.is_listening or port.link.has(remote.host)):
            # RFC 6762 §6 and §11: answers come from port 5353, by multicast or from this link.
            self._drop(DropReason.WRONG_ADDRESS, remote, now)
        else:
            if port.is_listening:
                self._responder.on_response(port, message, now=now)
            elif not self._resolver.is_awaited(message):
                self._drop(DropReason.UNKNOWN_TRANSACTION, remote, now)
                return
            self._resolver.on_response(port, message, now=now)

    def _drop(self, reason: DropReason, remote: Address, now: Instant) -> None:
        self._outbox.drop(reason, remote=remote, now=now)
