"""One mDNS machine with its sockets open, and what it said, for the tests of its parts."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from icepath.machine import (
    Bind,
    Close,
    Datagram,
    DatagramDropped,
    DropReason,
    Event,
    Failed,
    FailReason,
    Handle,
    Opened,
)
from icepath.mdns.config import Link, MdnsConfig
from icepath.mdns.mdns import Mdns
from icepath.mdns.message import ANY, MdnsMessage, Question, Record, address_kind, decode_message, encode_message
from icepath.mdns.names import local_name
from icepath.net import Address

LINK = Link("192.168.1.10", ("192.168.1.0/24", "2b00:1::/64"))
LINK_IPV6 = Link("2b00:1::10", ("192.168.1.0/24", "2b00:1::/64"))
LISTENING = Address("192.168.1.10", 5353)
LISTENING_IPV6 = Address("2b00:1::10", 5353)
GROUP = Address("224.0.0.251", 5353)
GROUP_IPV6 = Address("ff02::fb", 5353)
ASKING_PORT = 50_000
ASKING = Address("192.168.1.10", ASKING_PORT)
ASKING_IPV6 = Address("2b00:1::10", ASKING_PORT)

NEIGHBOUR = Address("192.168.1.20", 5353)
SIMPLE_NEIGHBOUR = Address("192.168.1.20", 40_000)
STRANGER = Address("11.0.0.7", 5353)

OURS = "0b7dd1c5-9bc6-4e68-a8f9-86c4e8a3c1b4.local"
OURS_TOO = "17b5dc2d-5d8a-4cdd-9b0d-1ad2b6a6ac0f.local"
OURS_IPV6 = "3d1c7b6e-5e1f-4c55-8d0e-1b1a62cf1d52.local"
THEIRS = "76c82649-02d6-4030-8aef-a2ba3a9019d5.local"
HOST = "192.168.1.10"
HOST_IPV6 = "2b00:1::10"
THEIR_HOST = "192.168.1.20"


@dataclass
class Sent:
    """Is a message that the machine sent."""

    local: Address
    remote: Address
    message: MdnsMessage


@dataclass
class Station:
    """Is a machine on one link or two."""

    links: tuple[Link, ...] = (LINK,)
    config: MdnsConfig = field(default_factory=MdnsConfig)
    now: float = 1000.0
    opens: bool = True
    sent: list[Sent] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    binds: list[Bind] = field(default_factory=list)
    closed: list[Handle] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mdns = Mdns(self.config, random_bytes=random.Random(7).randbytes, now=self.now)
        self.mdns.set_links(self.links, now=self.now)
        if self.opens:
            self.open_all()

    # -- sockets --------------------------------------------------------------------------------------------------

    def open_all(self, *, listening: bool = True, asking: bool = True) -> None:
        """Answers every Bind that waits; what is not to open fails."""
        self.drain()
        binds, self.binds = self.binds, []
        for bind in binds:
            if listening if bind.local.port else asking:
                local = Address(bind.local.host, bind.local.port or ASKING_PORT)
                self.mdns.receive(Opened(bind.handle, local), now=self.now)
            else:
                self.mdns.receive(Failed(bind.handle, FailReason.ADDRESS_IN_USE), now=self.now)
        self.drain()

    def drain(self) -> list[Sent]:
        """Takes what was said; returns the messages among it."""
        sent: list[Sent] = []
        for output in self.mdns.take_outputs():
            if isinstance(output, Datagram):
                sent.append(Sent(output.local, output.remote, decode_message(output.payload)))
            elif isinstance(output, Bind):
                self.binds.append(output)
            elif isinstance(output, Close):
                self.closed.append(output.handle)
            elif isinstance(output, Event):
                self.events.append(output)
        self.sent += sent
        return sent

    # -- time -----------------------------------------------------------------------------------------------------

    def run(self, seconds: float = 0.0) -> list[Sent]:
        """Lets time pass; returns what was sent meanwhile."""
        sent = self.drain()
        end = self.now + seconds
        while (at := self.mdns.next_deadline()) is not None and at <= end:
            self.now = max(self.now, at)
            self.mdns.handle_timeout(now=self.now)
            sent += self.drain()
        self.now = end
        return sent

    # -- what others say ------------------------------------------------------------------------------------------

    def hear(self, message: MdnsMessage | bytes, remote: Address = NEIGHBOUR, local: Address = LISTENING) -> list[Sent]:
        """Brings a message; returns what was said to it at once."""
        payload = message if isinstance(message, bytes) else encode_message(message)
        self.mdns.receive(Datagram(local, remote, payload), now=self.now)
        return self.run()

    def register(self, *names: str, quiet: bool = True) -> None:
        """Registers names of this host; `quiet` until their announcements are long past."""
        for name in names or (OURS,):
            self.mdns.register(name, HOST_IPV6 if name == OURS_IPV6 else HOST, now=self.now)
        if quiet:
            self.run(60.0)
            self.sent.clear()

    def resolve(self, name: str = THEIRS, query: int = 1) -> list[Sent]:
        """Begins to resolve; returns the questions sent at once."""
        self.mdns.resolve(Handle(query), name, now=self.now)
        return self.run()

    def take_events(self) -> list[Event]:
        """Returns the events so far, and forgets them."""
        events, self.events = self.events, []
        return events

    @property
    def dropped(self) -> list[DropReason]:
        """Returns why input was dropped."""
        return [event.reason for event in self.events if isinstance(event, DatagramDropped)]


def address(name: str = THEIRS, host: str = THEIR_HOST, *, ttl: int = 120, is_unique: bool = True) -> Record:
    """Returns an address record."""
    return Record(name, address_kind(host), ttl, host, is_unique=is_unique)


def answer(*records: Record, number: int = 0) -> MdnsMessage:
    """Returns an answer."""
    return MdnsMessage(number, is_response=True, answers=records)


def question(
    name: str = OURS, kind: int = ANY, *, wants_unicast: bool = False, number: int = 0, known: tuple[Record, ...] = ()
) -> MdnsMessage:
    """Returns a question."""
    return MdnsMessage(number, questions=(Question(name, kind, wants_unicast),), answers=known)


def fresh_name(seed: int) -> str:
    """Returns another name."""
    return local_name(random.Random(seed).randbytes)
