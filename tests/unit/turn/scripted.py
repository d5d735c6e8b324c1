"""An allocation and a server that says exactly what a test wants, in virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from icepath.entropy import Secret
from icepath.machine import (
    Arrival,
    Bytes,
    Close,
    Closed,
    CloseReason,
    Connect,
    Datagram,
    Event,
    Failed,
    FailReason,
    Handle,
    Opened,
    Transport,
)
from icepath.net import Address, Instant
from icepath.stun.credentials import Challenge, LongTermCredentials, derive_key
from icepath.stun.transaction import RetransmissionPolicy
from icepath.turn.client.allocation import Allocation
from icepath.turn.client.config import AllocationConfig
from icepath.turn.client.routes import Route, RoutePolicy
from icepath.turn.client.token import TokenCredentials
from icepath.wire.attributes import (
    AddressFamily,
    Attribute,
    Data,
    ErrorCode,
    Lifetime,
    Nonce,
    Realm,
    XorMappedAddress,
    XorPeerAddress,
    XorRelayedAddress,
)
from icepath.wire.channel_data import encode_channel_data
from icepath.wire.integrity import IntegrityKey
from icepath.wire.message import Message, MessageClass, Method, TransactionId, decode_message, encode_message

SERVER = Address("198.51.100.1", 3478)
LOCAL = Address("192.168.1.2", 50000)
LOCAL_TCP = Address("192.168.1.2", 40000)
MAPPED = Address("203.0.113.7", 61000)
RELAYED = Address("198.51.100.1", 49200)
RELAYED6 = Address("2001:db8::1", 49201)
PEER = Address("203.0.113.50", 7000)
PEER6 = Address("2001:db8::50", 7000)
REALM = "example.org"
NONCE = b"first nonce"
ALICE = LongTermCredentials("alice", Secret("wonderland"))
ALICE_ANEW = LongTermCredentials("alice", Secret("looking-glass"))
CHALLENGE = Challenge(REALM, NONCE)
BOTH = (AddressFamily.IPV4, AddressFamily.IPV6)

EventT = TypeVar("EventT", bound=Event)
CommandT = TypeVar("CommandT", Connect, Close)


def key_of(credentials: LongTermCredentials | TokenCredentials) -> IntegrityKey:
    if isinstance(credentials, TokenCredentials):
        return IntegrityKey(credentials.mac_key)
    return derive_key(credentials.username, REALM, credentials.password)


class Play:
    """Drives an allocation; what it sent waits in `sent`, what it told in `events`."""

    def __init__(
        self,
        *,
        credentials: LongTermCredentials | TokenCredentials | None = ALICE,
        challenge: Challenge | None = CHALLENGE,
        families: tuple[AddressFamily, ...] = (AddressFamily.IPV4,),
        lifetime: int = 600,
        slots: list[Instant] | None = None,
        software: str | None = None,
        dont_fragment: bool = False,
        close_timeout: float = 1.0,
        permission_delay: float = 0.0,
        policy: RetransmissionPolicy | None = None,
        now: Instant = 0.0,
        server: Address = SERVER,
        local: Address = LOCAL,
        routes: tuple[Route, ...] = (),
        transports: RoutePolicy = RoutePolicy.RACE,
        reliable_timeout: float = 39.5,
        max_redirects: int = 0,
        next_handle: Callable[[], Handle] | None = None,
        even_port: bool | None = None,
        mobility: bool = False,
        relay_transport: Transport = Transport.UDP,
        max_peer_connections: int = 16,
    ) -> None:
        self.now = now
        self.key: IntegrityKey | None = None if credentials is None else key_of(credentials)
        self.slots_taken: list[Instant] = []
        self._slots = slots
        self.sent: list[Datagram] = []
        self.sent_on: list[Bytes] = []
        self.commands: list[Connect | Close] = []
        self.events: list[Event] = []
        self._seen: set[bytes] = set()
        self._ways: dict[bytes, Datagram | Bytes] = {}
        self.config = AllocationConfig(
            server,
            local,
            credentials,
            challenge,
            families,
            lifetime,
            policy=policy or RetransmissionPolicy(),
            close_timeout=close_timeout,
            software=software,
            dont_fragment=dont_fragment,
            routes=routes,
            transports=transports,
            reliable_timeout=reliable_timeout,
            max_redirects=max_redirects,
            even_port=even_port,
            mobility=mobility,
            relay_transport=relay_transport,
            max_peer_connections=max_peer_connections,
        )
        self.allocation = Allocation(
            self.config,
            random_bytes=random.Random(7).randbytes,
            reserve_slot=self._reserve,
            reserve_late_slot=lambda at: self._reserve(at + permission_delay),
            next_handle=next_handle,
            now=now,
        )
        self.drain()

    def _reserve(self, now: Instant) -> Instant:
        """Gives the listed slots, then every wish."""
        self.slots_taken.append(now)
        return self._slots.pop(0) if self._slots else now

    # -- looking ---------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Sorts what the machine said; with routes of the config's own, datagrams may go anywhere."""
        for output in self.allocation.take_outputs():
            if isinstance(output, Datagram):
                if not self.config.routes:
                    assert (output.local, output.remote) == (self.config.local, self.config.server)
                self.sent.append(output)
            elif isinstance(output, Bytes):
                self.sent_on.append(output)
            elif isinstance(output, Connect | Close):
                self.commands.append(output)
            else:
                assert isinstance(output, Event)
                self.events.append(output)

    def requests(self) -> list[Message]:
        """Returns what was sent since the last look, without retransmissions: datagrams first."""
        self.drain()
        fresh: list[Message] = []
        ways: list[Datagram | Bytes] = [*self.sent, *self.sent_on]
        for way in ways:
            message = decode_message(way.payload)
            if message.transaction_id not in self._seen:
                self._seen.add(message.transaction_id)
                self._ways[message.transaction_id] = way
                fresh.append(message)
        self.sent.clear()
        self.sent_on.clear()
        return fresh

    def take_sent(self) -> list[Datagram]:
        """Takes the datagrams sent since the last look, whatever is in them."""
        self.drain()
        sent, self.sent = self.sent, []
        return sent

    def message(self, datagram: Datagram) -> Message:
        """Returns the request in a datagram, to be answered along its way."""
        message = decode_message(datagram.payload)
        self._seen.add(message.transaction_id)
        self._ways[message.transaction_id] = datagram
        return message

    def way_of(self, request: Message) -> Handle | Address:
        """Returns where a request went: along a byte stream, or to an address."""
        way = self._ways[request.transaction_id]
        return way.handle if isinstance(way, Bytes) else way.remote

    def connects(self) -> list[Connect]:
        """Takes the connections asked for."""
        return self._take(Connect)

    def closed(self) -> list[Handle]:
        """Takes the handles that were closed."""
        return [close.handle for close in self._take(Close)]

    def _take(self, kind: type[CommandT]) -> list[CommandT]:
        self.drain()
        found = [command for command in self.commands if isinstance(command, kind)]
        self.commands = [command for command in self.commands if not isinstance(command, kind)]
        return found

    def request(self) -> Message:
        """Returns the one request sent since the last look."""
        (message,) = self.requests()
        return message

    def told(self, kind: type[EventT]) -> list[EventT]:
        """Takes the events of a kind."""
        self.drain()
        found = [event for event in self.events if isinstance(event, kind)]
        self.events = [event for event in self.events if not isinstance(event, kind)]
        return found

    # -- the server's part ---------------------------------------------------------------------------------------

    def receive(self, payload: bytes, *, remote: Address = SERVER, local: Address = LOCAL) -> None:
        self.arrive(Datagram(local, remote, payload))

    def arrive(self, arrival: Arrival) -> None:
        self.allocation.receive(arrival, now=self.now)
        self.drain()

    def open(self, handle: int, local: Address = LOCAL_TCP) -> None:
        self.arrive(Opened(Handle(handle), local, SERVER))

    def fail(self, handle: int, reason: FailReason = FailReason.REFUSED, detail: str = "") -> None:
        self.arrive(Failed(Handle(handle), reason, detail))

    def lose(self, handle: int, reason: CloseReason = CloseReason.RESET) -> None:
        self.arrive(Closed(Handle(handle), reason))

    def receive_on(self, handle: int, payload: bytes) -> None:
        self.arrive(Bytes(Handle(handle), payload))

    def succeed(self, request: Message, *attributes: Attribute) -> None:
        self._answer(request, MessageClass.SUCCESS, attributes, signed=True)

    def refuse(self, request: Message, code: int, *attributes: Attribute, signed: bool = True) -> None:
        self._answer(request, MessageClass.ERROR, (ErrorCode(code, f"code {code}"), *attributes), signed=signed)

    def challenge(self, request: Message, code: int = 401, nonce: bytes = NONCE) -> None:
        self.refuse(request, code, Realm(REALM), Nonce(nonce), signed=False)

    def _answer(self, request: Message, kind: MessageClass, attributes: tuple[Attribute, ...], *, signed: bool) -> None:
        key = self.key if signed and request.has_integrity else None
        payload = encode_message(request.method, kind, request.transaction_id, attributes, key=key)
        way = self._ways.get(request.transaction_id)
        if isinstance(way, Bytes):
            self.arrive(Bytes(way.handle, payload))
        elif way is not None:
            self.receive(payload, remote=way.remote, local=way.local)
        else:
            self.receive(payload)

    def grant(self, request: Message, *relayed: Address, lifetime: int = 600) -> None:
        assert request.method == Method.ALLOCATE
        addresses = [XorRelayedAddress(address) for address in relayed or (RELAYED,)]
        self.succeed(request, *addresses, XorMappedAddress(MAPPED), Lifetime(lifetime))

    def send_data(self, peer: Address, *contents: Attribute) -> None:
        attributes = (XorPeerAddress(peer), *contents)
        self.receive(encode_message(Method.DATA, MessageClass.INDICATION, TransactionId(bytes(12)), attributes))

    def send_payload(self, peer: Address, payload: bytes) -> None:
        self.send_data(peer, Data(payload))

    def send_on_channel(self, channel: int, payload: bytes) -> None:
        self.receive(encode_channel_data(channel, payload))

    # -- time and verbs ----------------------------------------------------------------------------------------------

    def run_to(self, at: Instant) -> None:
        """Lets time pass, calling handle_timeout at each deadline."""
        while (deadline := self.allocation.next_deadline()) is not None and deadline <= at:
            self.now = max(self.now, deadline)
            self.allocation.handle_timeout(now=self.now)
            self.drain()
        self.now = at

    def permit(self, *hosts: str) -> None:
        self.allocation.permit(hosts, now=self.now)
        self.drain()

    def bind(self, peer: Address) -> None:
        self.allocation.bind_channel(peer, now=self.now)
        self.drain()

    def send(self, peer: Address, payload: bytes, *, dont_fragment: bool = False) -> None:
        self.allocation.send(peer, payload, dont_fragment=dont_fragment, now=self.now)
        self.drain()

    def close(self) -> None:
        self.allocation.close(now=self.now)
        self.drain()


def allocated(
    *relayed: Address, families: tuple[AddressFamily, ...] = (AddressFamily.IPV4,), lifetime: int = 600
) -> Play:
    """Returns a play whose allocation is there, with nothing left to look at."""
    play = Play(families=families)
    play.grant(play.request(), *relayed, lifetime=lifetime)
    assert not play.requests()
    play.events.clear()
    return play


def permitted(*hosts: str) -> Play:
    """Returns a play whose allocation has permissions, with nothing left to look at."""
    play = allocated()
    play.permit(*hosts)
    play.succeed(play.request())
    play.events.clear()
    return play


def bound(*peers: Address) -> Play:
    """Returns a play whose allocation has channels, with nothing left to look at."""
    play = allocated()
    for peer in peers:
        play.bind(peer)
        play.succeed(play.request())
    play.events.clear()
    return play
