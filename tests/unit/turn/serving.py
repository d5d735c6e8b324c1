"""A TURN server and whoever talks to it, message by message."""

from __future__ import annotations

from icepath.entropy import Secret
from icepath.machine import Arrival, Bind, Bytes, Close, Datagram, Event, Failed, FailReason, Handle, Opened
from icepath.net import Address, Instant
from icepath.stun.authenticator import Authenticator, AuthenticatorConfig, User
from icepath.stun.credentials import LongTermCredentials, derive_key
from icepath.turn.server.config import TurnServerConfig
from icepath.turn.server.server import TurnServer
from icepath.wire.attributes import (
    AddressFamily,
    Attribute,
    ErrorCode,
    Lifetime,
    Nonce,
    Realm,
    RequestedTransport,
    Username,
    XorPeerAddress,
)
from icepath.wire.message import Message, MessageClass, Method, TransactionId, decode_message, encode_message

LISTEN = Address("198.51.100.1", 3478)
CLIENT = Address("203.0.113.7", 61000)
RELAY4, RELAY6 = "198.51.100.1", "2001:db8:1::1"
RELAYED = Address(RELAY4, 49152)
RELAYED6 = Address(RELAY6, 49152)
PEER = Address("203.0.113.50", 7000)
PEER6 = Address("2001:db8:2::50", 7000)
REALM = "example.org"
ALICE = LongTermCredentials("alice", Secret("wonderland"))
BOB = LongTermCredentials("bob", Secret("builder"))
V4, V6 = AddressFamily.IPV4, AddressFamily.IPV6


def _find_user(name: str | bytes) -> User | None:
    for credentials in (ALICE, BOB):
        if credentials.username == name:
            return User(credentials.username, credentials.password)
    return None


class Desk:
    """A server; it asks nobody for credentials unless told to."""

    def __init__(
        self,
        *,
        hosts: tuple[str, ...] = (RELAY4, RELAY6),
        authenticates: bool = False,
        denied: tuple[str, ...] = (),
        max_allocations: int = 10,
        max_allocations_per_user: int = 10,
        max_permissions: int = 10,
        max_channels: int = 10,
        max_streams: int = 3,
        software: str | None = None,
    ) -> None:
        self.authenticator = Authenticator(AuthenticatorConfig(REALM, Secret("0123456789abcdef"), ()), _find_user)
        self.now: Instant = 0.0
        config = TurnServerConfig(
            (LISTEN,),
            hosts,
            self.authenticator if authenticates else None,
            denied=denied,
            max_allocations=max_allocations,
            max_allocations_per_user=max_allocations_per_user,
            max_permissions=max_permissions,
            max_channels=max_channels,
            max_streams=max_streams,
            software=software,
        )
        self.server = TurnServer(config, random_bytes=bytes, now=self.now)
        self._count = 0
        self.commands: list[Bind | Close] = []
        self.sent: list[Datagram] = []
        self.streamed: list[Bytes] = []
        self.events: list[Event] = []

    def drain(self) -> None:
        for output in self.server.take_outputs():
            if isinstance(output, Datagram):
                self.sent.append(output)
            elif isinstance(output, Bytes):
                self.streamed.append(output)
            elif isinstance(output, Bind | Close):
                self.commands.append(output)
            else:
                assert isinstance(output, Event)
                self.events.append(output)

    def arrive(self, arrival: Arrival) -> None:
        self.server.receive(arrival, now=self.now)
        self.drain()

    def receive(self, payload: bytes, *, local: Address = LISTEN, remote: Address = CLIENT) -> None:
        self.arrive(Datagram(local, remote, payload))

    # -- asking ----------------------------------------------------------------------------------------------

    def encode(
        self,
        method: int,
        *attributes: Attribute,
        credentials: LongTermCredentials | None = None,
        client: Address = CLIENT,
        fingerprint: bool = False,
    ) -> bytes:
        """Returns a request with a transaction id of its own, signed by whom it says."""
        self._count += 1
        key = None
        if credentials is not None:
            nonce = Nonce(self.authenticator.nonce(client, now=self.now))
            attributes += (Username(credentials.username), Realm(REALM), nonce)
            key = derive_key(credentials.username, REALM, credentials.password)
        transaction_id = TransactionId(self._count.to_bytes(12, "big"))
        return encode_message(
            method, MessageClass.REQUEST, transaction_id, attributes, key=key, fingerprint=fingerprint
        )

    def ask(
        self,
        method: int,
        *attributes: Attribute,
        credentials: LongTermCredentials | None = None,
        client: Address = CLIENT,
        fingerprint: bool = False,
    ) -> Message | None:
        """Sends a request and returns the answer to it, if one came at once."""
        payload = self.encode(method, *attributes, credentials=credentials, client=client, fingerprint=fingerprint)
        self.receive(payload, remote=client)
        return self.answer(client)

    def answer(self, client: Address = CLIENT) -> Message | None:
        """Takes the one message sent to the client since the last look."""
        sent, self.sent = self.sent, []
        if not sent:
            return None
        (datagram,) = sent
        assert (datagram.local, datagram.remote) == (LISTEN, client)
        return decode_message(datagram.payload)

    def code(
        self,
        method: int,
        *attributes: Attribute,
        credentials: LongTermCredentials | None = None,
        client: Address = CLIENT,
    ) -> int:
        """Sends a request and returns the answer's error code, 0 for success."""
        message = self.ask(method, *attributes, credentials=credentials, client=client)
        assert message is not None
        error = message.get(ErrorCode)
        return 0 if error is None else error.code

    # -- short cuts ------------------------------------------------------------------------------------------

    def open_all(self, *, but: str = "") -> None:
        """Answers every Bind, on port 49152 and up; `but` names a host without ports."""
        commands, self.commands = self.commands, []
        for command in commands:
            assert isinstance(command, Bind)
            if command.local.host == but:
                self.arrive(Failed(command.handle, FailReason.NO_PORT))
            else:
                address = Address(command.local.host, 49151 + int(command.handle))
                self.arrive(Opened(command.handle, address))

    def allocate(
        self,
        *attributes: Attribute,
        credentials: LongTermCredentials | None = None,
        client: Address = CLIENT,
        but: str = "",
    ) -> Message:
        """Makes an allocation and returns the answer."""
        early = self.ask(Method.ALLOCATE, RequestedTransport(), *attributes, credentials=credentials, client=client)
        assert early is None
        self.open_all(but=but)
        message = self.answer(client)
        assert message is not None
        return message

    def permit(self, *hosts: str) -> int:
        attributes = [XorPeerAddress(Address(host, 0)) for host in hosts]
        return self.code(Method.CREATE_PERMISSION, *attributes)

    def run_to(self, at: Instant) -> None:
        self.now = at
        self.server.handle_timeout(now=at)
        self.drain()


RELEASE = Lifetime(0)
HANDLE = Handle(1)
