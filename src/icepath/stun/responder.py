"""A Binding server: tells whoever asks which address the question came from (RFC 8489 §6.3.1, §12).

Nothing is remembered between requests, so retransmissions are simply answered again. An answer never goes
anywhere but where the request came from and, unless credentials are asked for, is never much larger than it.
The relay, and Binding over byte streams, are turn.server's; checks between ICE agents are ice's.

Clients of RFC 3489, who send no magic cookie, get MAPPED-ADDRESS. What only a server with two addresses can do
(RFC 5780) is refused, so that nobody draws wrong conclusions from an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from icepath.errors import DecodeError
from icepath.machine import Arrival, Bytes, Command, Datagram, DatagramDropped, DropReason, MachineClosed
from icepath.net import Instant, is_usable_destination
from icepath.outbox import Outbox
from icepath.stun.authenticator import Authenticator, Refused, unknown_attributes
from icepath.stun.transaction import drop_reason
from icepath.wire.attributes import (
    Attribute,
    ChangeRequest,
    MappedAddress,
    Padding,
    ResponsePort,
    Software,
    TransactionTransmitCounter,
    XorMappedAddress,
)
from icepath.wire.integrity import Integrity, IntegrityKey
from icepath.wire.message import Message, MessageClass, Method, decode_message, encode_message

ResponderEvent: TypeAlias = DatagramDropped | MachineClosed

# RFC 5780 §6.1: a server without an alternate address refuses CHANGE-REQUEST with 420; the other two go with it.
_UNSUPPORTED: Final = (ChangeRequest, ResponsePort, Padding)


@dataclass(frozen=True, slots=True)
class ResponderConfig:
    """Is what a Binding server adds to the bare protocol.

    Raises: InvalidArgument when `software` is too long.
    """

    authenticator: Authenticator | None = None
    """RFC 8489 §12: a public server SHOULD NOT authenticate."""
    software: str | None = None
    """Sent in every answer; None sends none, which keeps answers small and says nothing to attackers (§16.1.2)."""

    def __post_init__(self) -> None:
        if self.software is not None:
            Software(self.software).encode(b"")


@final
class BindingResponder:
    """Answers Binding requests on whatever local addresses it is given datagrams from.

    Emits: Datagram, DatagramDropped, MachineClosed.
    """

    __slots__ = ("_authenticator", "_is_closed", "_latest", "_outbox", "_software")

    def __init__(self, config: ResponderConfig) -> None:
        self._authenticator = config.authenticator
        self._software: tuple[Attribute, ...] = () if config.software is None else (Software(config.software),)
        self._outbox: Outbox[ResponderEvent] = Outbox()
        self._is_closed = False
        # Time never goes back (law 2).
        self._latest: Instant = float("-inf")

    def receive(self, arrival: Arrival, *, now: Instant) -> None:
        """Answers a request; drops everything else."""
        if self._is_closed:
            return
        now = self._advance(now)
        if not isinstance(arrival, Datagram):
            self._outbox.drop(DropReason.UNKNOWN_HANDLE, now=now)
            return
        dropped = self._answer(arrival, now)
        if dropped is not None:
            self._outbox.drop(dropped, remote=arrival.remote, now=now)

    def handle_timeout(self, *, now: Instant) -> None:
        """Takes the time and does nothing else: a responder waits for nothing."""
        self._advance(now)

    def next_deadline(self) -> Instant | None:
        """Returns None."""
        return None

    def close(self, *, now: Instant) -> None:  # noqa: ARG002 - every machine's close has it
        """Ends at once."""
        if not self._is_closed:
            self._is_closed = True
            self._outbox.put(MachineClosed())

    def take_outputs(self) -> Sequence[Datagram | Bytes | Command | ResponderEvent]:
        """Returns what was output since the last call."""
        return self._outbox.take()

    def _advance(self, now: Instant) -> Instant:
        self._latest = max(self._latest, now)
        return self._latest

    def _answer(self, datagram: Datagram, now: Instant) -> DropReason | None:
        try:
            message = decode_message(datagram.payload)
        except DecodeError as failure:
            return drop_reason(failure)
        if message.message_class is MessageClass.INDICATION:
            # RFC 8489 §6.3.2: receiving it has done all it was sent for.
            return None
        if message.message_class is not MessageClass.REQUEST or message.method != Method.BINDING:
            return DropReason.UNEXPECTED_MESSAGE
        if not is_usable_destination(datagram.remote):
            return DropReason.WRONG_ADDRESS
        if message.is_rfc3489:
            payload = self._answer_classic(message, datagram)
        else:
            payload = self._answer_modern(message, datagram, now)
        if payload is None:
            return DropReason.UNEXPECTED_MESSAGE
        self._outbox.put(Datagram(datagram.local, datagram.remote, payload))
        return None

    def _answer_modern(self, message: Message, datagram: Datagram, now: Instant) -> bytes:
        key: IntegrityKey | None = None
        integrity = Integrity.SHA1
        if self._authenticator is not None:
            verdict = self._authenticator.judge(message, remote=datagram.remote, now=now)
            if isinstance(verdict, Refused):
                return self._refuse(message, verdict)
            key, integrity = verdict.key, verdict.integrity
        unknown = message.unknown_required + tuple(kind.TYPE for kind in _UNSUPPORTED if message.get(kind) is not None)
        if unknown:
            return self._refuse(message, unknown_attributes(unknown, key=key, integrity=integrity))
        attributes: tuple[Attribute, ...] = (XorMappedAddress(datagram.remote),)
        return self._encode(message, MessageClass.SUCCESS, attributes, key, integrity)

    def _answer_classic(self, message: Message, datagram: Datagram) -> bytes | None:
        """Answers as RFC 3489 §8.1 has it, as far as RFC 8489 §11 still wants it; None answers nothing.

        RFC 3489 §10.1 clients take an answer to CHANGE-REQUEST for one from the other address: silence is the
        truth. RESPONSE-ADDRESS would send answers at third parties, and is passed over.
        """
        change = message.get(ChangeRequest)
        if self._authenticator is not None or (change is not None and (change.change_ip or change.change_port)):
            return None
        attributes = (MappedAddress(datagram.remote),)
        return encode_message(Method.BINDING, MessageClass.SUCCESS, message.transaction_id, attributes)

    def _refuse(self, message: Message, refused: Refused) -> bytes:
        return self._encode(message, MessageClass.ERROR, refused.attributes, refused.key, refused.integrity)

    def _encode(
        self,
        message: Message,
        message_class: MessageClass,
        attributes: tuple[Attribute, ...],
        key: IntegrityKey | None,
        integrity: Integrity,
    ) -> bytes:
        counter = message.get(TransactionTransmitCounter)
        if counter is not None:
            # RFC 7982 §3.3: "MUST echo back the Req field"; a stateless server "populates value 0 for the Resp field".
            attributes = (*attributes, TransactionTransmitCounter(counter.request, 0))
        return encode_message(
            message.method,
            message_class,
            message.transaction_id,
            (*attributes, *self._software),
            key=key,
            integrity=integrity,
            fingerprint=message.has_fingerprint,
        )
