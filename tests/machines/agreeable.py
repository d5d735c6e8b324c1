"""A TURN server that grants whatever is asked, also what `TurnServer` does not do yet: tickets, TCP connections.

It keeps no state and asks nobody who he is: for walks, in which it gives a client's rarer parts something to do.
"""

from __future__ import annotations

from collections.abc import Sequence

from icepath.machine import Arrival, Bytes, Command, Datagram, Event
from icepath.net import Address, Instant, RandomBytes
from icepath.wire.attributes import (
    Attribute,
    ConnectionId,
    Lifetime,
    MobilityTicket,
    XorMappedAddress,
    XorPeerAddress,
    XorRelayedAddress,
)
from icepath.wire.message import (
    MessageClass,
    Method,
    TransactionId,
    decode_message,
    encode_message,
    looks_like_stun,
)


class AgreeableServer:
    """Answers every request with success."""

    def __init__(self, random_bytes: RandomBytes, relayed: Address, peer: Address) -> None:
        self._random_bytes = random_bytes
        self._relayed = relayed
        self._peer = peer
        self._outputs: list[Datagram] = []

    def receive(self, arrival: Arrival, *, now: Instant) -> None:
        """Answers a request, and behind a CreatePermission lets its peer connect."""
        if not isinstance(arrival, Datagram) or not looks_like_stun(arrival.payload):
            return
        message = decode_message(arrival.payload)
        if message.message_class is not MessageClass.REQUEST:
            return
        attributes = self._attributes(message.method, arrival.remote)
        self._say(arrival, encode_message(message.method, MessageClass.SUCCESS, message.transaction_id, attributes))
        if message.method == Method.CREATE_PERMISSION:
            offer = (XorPeerAddress(self._peer), self._name())
            transaction_id = TransactionId(self._random_bytes(12))
            self._say(
                arrival, encode_message(Method.CONNECTION_ATTEMPT, MessageClass.INDICATION, transaction_id, offer)
            )

    def handle_timeout(self, *, now: Instant) -> None:
        """Does nothing."""

    def next_deadline(self) -> Instant | None:
        """Returns None."""
        return None

    def close(self, *, now: Instant) -> None:
        """Does nothing."""

    def take_outputs(self) -> Sequence[Datagram | Bytes | Command | Event]:
        """Returns the answers since the last call."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def _attributes(self, method: int, client: Address) -> tuple[Attribute, ...]:
        ticket = MobilityTicket(self._random_bytes(8))
        if method == Method.ALLOCATE:
            return XorRelayedAddress(self._relayed), XorMappedAddress(client), Lifetime(600), ticket
        if method == Method.REFRESH:
            return Lifetime(600), ticket
        return (self._name(),) if method == Method.CONNECT else ()

    def _name(self) -> ConnectionId:
        return ConnectionId(int.from_bytes(self._random_bytes(4), "big"))

    def _say(self, arrival: Datagram, payload: bytes) -> None:
        self._outputs.append(Datagram(arrival.local, arrival.remote, payload))
