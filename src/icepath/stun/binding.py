"""Asks one server, from one local address, which address the question seems to come from (RFC 8489 §6, §13).

For use by itself: a tool's "what is my address", a keepalive's check. ICE gathering shares its sockets and
its pacing among many requests and so keeps transactions of its own; several servers are several clients.

The first request goes out at construction. One result follows: `ReflexiveDiscovered` or `BindingFailed`;
then the machine waits to be closed. Authentication is unusual (RFC 8489 §12) and handled when credentials
are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias, final

from icepath.errors import DecodeError, InvalidArgument
from icepath.machine import (
    Arrival,
    Bytes,
    Command,
    Datagram,
    DatagramDropped,
    DropReason,
    Event,
    MachineClosed,
    Unreachable,
)
from icepath.net import Address, Instant, RandomBytes, Seconds, is_usable_destination, same_family
from icepath.outbox import Outbox
from icepath.stun.credentials import (
    UNSIGNED_ERRORS,
    AuthVerdict,
    Challenge,
    LongTermAuthentication,
    LongTermCredentials,
)
from icepath.stun.transaction import (
    Match,
    Retransmission,
    RetransmissionPolicy,
    TransactionTable,
    drop_reason,
)
from icepath.wire.attributes import Attribute, ErrorCode, MappedAddress, Software, XorMappedAddress
from icepath.wire.integrity import Integrity
from icepath.wire.message import MessageClass, Method, TransactionId, decode_message, encode_message

TRANSACTION_ID_BYTES: Final = 12

# RFC 1122 §3.2.2.1, §4.2.3.9: Destination Unreachable with codes 2 (protocol) and 3 (port) is a hard error; so
# is RFC 4443 §3.1's code 4 (port). Type and code.
_HARD_ERRORS_IPV4: Final = frozenset({(3, 2), (3, 3)})
_HARD_ERRORS_IPV6: Final = frozenset({(1, 4)})


@dataclass(frozen=True, slots=True)
class BindingConfig:
    """Is one question: where to, where from, and how patiently.

    Raises: InvalidArgument when the addresses do not fit together.
    """

    server: Address
    local: Address
    policy: RetransmissionPolicy = field(default_factory=RetransmissionPolicy)
    credentials: LongTermCredentials | None = None
    challenge: Challenge | None = None
    """Remembered from an earlier conversation with this server."""
    software: str | None = None
    fingerprint: bool = False
    """Needed only where STUN shares the socket with other protocols (RFC 8489 §7)."""

    def __post_init__(self) -> None:
        if not is_usable_destination(self.server):
            raise InvalidArgument(f"server {self.server} cannot be sent to")
        if not same_family(self.server, self.local):
            raise InvalidArgument(f"server {self.server} and local address {self.local} are of different families")
        if self.software is not None:
            Software(self.software).encode(b"")


class BindingFailure(StrEnum):
    """Says why there is no address."""

    TIMED_OUT = "timed-out"
    INTEGRITY_VIOLATED = "integrity-violated"
    """Answers came, and none was made with the right key."""
    UNREACHABLE = "unreachable"
    """The network said so."""
    REFUSED = "refused"
    """The server answered with an error."""
    WRONG_CREDENTIALS = "wrong-credentials"
    BID_DOWN = "bid-down"
    """Somebody on the path weakened the server's challenge, or it demands unknown algorithms."""
    BAD_RESPONSE = "bad-response"
    """The answer lacks what it must have, or has what cannot be understood."""


@dataclass(frozen=True, slots=True)
class ReflexiveDiscovered(Event):
    """Reports the address the server saw."""

    address: Address
    rtt: Seconds | None
    """The round-trip time; None when the request was sent more than once."""


@dataclass(frozen=True, slots=True)
class BindingFailed(Event):
    """Reports that the server told no address."""

    reason: BindingFailure
    code: int | None = None
    """The server's error code."""
    text: str = ""
    """The server's reason phrase, for people."""


BindingEvent: TypeAlias = ReflexiveDiscovered | BindingFailed | DatagramDropped | MachineClosed


@final
class BindingClient:
    """Finds out its reflexive address once.

    Emits: Datagram, ReflexiveDiscovered or BindingFailed, DatagramDropped, MachineClosed.
    """

    __slots__ = ("_authentication", "_config", "_is_closed", "_latest", "_outbox", "_random_bytes", "_transactions")

    def __init__(self, config: BindingConfig, *, random_bytes: RandomBytes, now: Instant) -> None:
        self._config = config
        self._random_bytes = random_bytes
        self._authentication: LongTermAuthentication | None = None
        if config.credentials is not None:
            self._authentication = LongTermAuthentication(config.credentials, challenge=config.challenge)
        # The context is the generation of the challenge that the request was made with.
        self._transactions: TransactionTable[int] = TransactionTable()
        self._outbox: Outbox[BindingEvent] = Outbox()
        self._is_closed = False
        # Time never goes back (law 2).
        self._latest = now
        self._send_request(now)

    @property
    def challenge(self) -> Challenge | None:
        """Is what the server wants echoed, to be remembered; None when it never asked."""
        return None if self._authentication is None else self._authentication.challenge

    def receive(self, arrival: Arrival, *, now: Instant) -> None:
        """Takes the server's answer; drops everything else."""
        if self._is_closed:
            return
        now = self._advance(now)
        if isinstance(arrival, Datagram):
            dropped = self._take_datagram(arrival, now)
            if dropped is not None:
                self._outbox.drop(dropped, remote=arrival.remote, now=now)
        elif isinstance(arrival, Unreachable):
            self._take_unreachable(arrival)
        else:
            self._outbox.drop(DropReason.UNKNOWN_HANDLE, now=now)

    def handle_timeout(self, *, now: Instant) -> None:
        """Sends the request again, or gives up, when it is time."""
        for entry in self._transactions.due(self._advance(now)):
            if isinstance(entry, Retransmission):
                self._send(entry.transaction.payload)
            elif entry.integrity_violated:
                self._fail(BindingFailure.INTEGRITY_VIOLATED)
            else:
                self._fail(BindingFailure.TIMED_OUT)

    def next_deadline(self) -> Instant | None:
        """Returns when `handle_timeout` is wanted next, or None."""
        return self._transactions.next_deadline()

    def close(self, *, now: Instant) -> None:  # noqa: ARG002 - every machine's close has it
        """Ends at once; a request in flight is forgotten."""
        if not self._is_closed:
            self._is_closed = True
            self._transactions.clear()
            self._outbox.put(MachineClosed())

    def take_outputs(self) -> Sequence[Datagram | Bytes | Command | BindingEvent]:
        """Returns what was output since the last call."""
        return self._outbox.take()

    def _advance(self, now: Instant) -> Instant:
        self._latest = max(self._latest, now)
        return self._latest

    def _send_request(self, now: Instant) -> None:
        config = self._config
        transaction_id = TransactionId(self._random_bytes(TRANSACTION_ID_BYTES))
        attributes: list[Attribute] = [] if config.software is None else [Software(config.software)]
        auth = self._authentication
        if auth is not None:
            attributes += auth.attributes()
        key = None if auth is None else auth.key
        integrity = Integrity.SHA1 if auth is None else auth.integrity
        payload = encode_message(
            Method.BINDING,
            MessageClass.REQUEST,
            transaction_id,
            attributes,
            key=key,
            integrity=integrity,
            fingerprint=config.fingerprint,
        )
        self._transactions.start(
            transaction_id,
            local=config.local,
            remote=config.server,
            payload=payload,
            key=key,
            context=0 if auth is None else auth.generation,
            policy=config.policy,
            now=now,
            integrity=integrity,
            unsigned_errors=UNSIGNED_ERRORS,
        )
        self._send(payload)

    def _send(self, payload: bytes) -> None:
        self._outbox.put(Datagram(self._config.local, self._config.server, payload))

    def _take_datagram(self, datagram: Datagram, now: Instant) -> DropReason | None:
        if datagram.local != self._config.local:
            return DropReason.UNKNOWN_LOCAL_ADDRESS
        try:
            message = decode_message(datagram.payload)
        except DecodeError as failure:
            return drop_reason(failure)
        match = self._transactions.match(message, local=datagram.local, remote=datagram.remote, now=now)
        if not isinstance(match, Match):
            return match
        if message.message_class is MessageClass.SUCCESS:
            self._on_success(match)
        else:
            self._on_error(match, now)
        return None

    def _on_success(self, match: Match[int]) -> None:
        """RFC 8489 §6.3.3; a server of RFC 3489 knows only MAPPED-ADDRESS."""
        message = match.message
        found = message.get(XorMappedAddress) or message.get(MappedAddress)
        if message.unknown_required or found is None or not is_usable_destination(found.address):
            self._fail(BindingFailure.BAD_RESPONSE)
            return
        if self._authentication is not None:
            self._authentication.confirm()
        self._outbox.put(ReflexiveDiscovered(found.address, match.rtt))

    def _on_error(self, match: Match[int], now: Instant) -> None:
        """RFC 8489 §6.3.4, §9.2.5."""
        message = match.message
        error = message.get(ErrorCode)
        if message.unknown_required or error is None:
            self._fail(BindingFailure.BAD_RESPONSE)
            return
        verdict = AuthVerdict.NOT_AUTH
        if self._authentication is not None:
            verdict = self._authentication.on_error(message, generation=match.transaction.context)
        if verdict is AuthVerdict.RETRY:
            self._send_request(now)
        else:
            self._fail(_FAILURES[verdict], error.code, error.reason)

    def _take_unreachable(self, arrival: Unreachable) -> None:
        """RFC 8489 §6.2.1: a transaction is also "considered failed if there has been a hard ICMP error"."""
        config = self._config
        kinds = _HARD_ERRORS_IPV6 if config.server.is_ipv6 else _HARD_ERRORS_IPV4
        is_ours = arrival.local == config.local and arrival.remote == config.server
        if is_ours and len(self._transactions) > 0 and (arrival.icmp_type, arrival.icmp_code) in kinds:
            self._transactions.clear()
            self._fail(BindingFailure.UNREACHABLE)

    def _fail(self, reason: BindingFailure, code: int | None = None, text: str = "") -> None:
        self._outbox.put(BindingFailed(reason, code, text))


_FAILURES: Final = {
    AuthVerdict.WRONG_CREDENTIALS: BindingFailure.WRONG_CREDENTIALS,
    AuthVerdict.BID_DOWN: BindingFailure.BID_DOWN,
    AuthVerdict.NOT_AUTH: BindingFailure.REFUSED,
}
