"""A TURN server as a machine: the smallest that tests and the simulator need (RFC 8656).

It denies nothing but what its config says, has no bandwidth limits and no reservations: it runs in
simulators and tests, and must not face the Internet as it is. Binding is answered too. Relay sockets are
asked for by `Bind`; clients come in on the addresses in `listen`, by UDP, TCP, TLS or DTLS.

Strategy: here are routing and data. streams.py knows the clients that come by a byte stream, requests.py decides
what a request does and answers it, ports.py has the sockets, policy.py the rules that need no state. Of
retransmissions, an Allocate is known by its transaction id, all else is simply done again (RFC 8656 §5, the
"stateless stack approach").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from icepath.errors import DecodeError
from icepath.machine import (
    Accepted,
    Arrival,
    Bytes,
    Close,
    Closed,
    Command,
    Datagram,
    DropReason,
    Failed,
    Handle,
    MachineClosed,
    Opened,
    Unreachable,
    flow_channel,
)
from icepath.net import Address, Instant, RandomBytes
from icepath.outbox import Outbox
from icepath.stun.responder import BindingResponder, ResponderConfig
from icepath.stun.transaction import drop_reason
from icepath.turn.server.allocations import AllocationTable, ServerAllocation
from icepath.turn.server.config import EndReason, TurnServerConfig, TurnServerEvent
from icepath.turn.server.exchange import FiveTuple
from icepath.turn.server.policy import PeerPolicy
from icepath.turn.server.ports import Ports
from icepath.turn.server.requests import RequestHandler
from icepath.turn.server.streams import ClientStreams
from icepath.wire.attributes import Attribute, Data, DontFragment, Icmp, XorPeerAddress
from icepath.wire.channel_data import decode_channel_data, encode_channel_data
from icepath.wire.message import Message, MessageClass, Method, TransactionId, decode_message, encode_message

# Beyond this, 34,000 years, a float no longer tells near instants apart (law 2).
_LATEST: Final[Instant] = 2.0**40
# What fits into a UDP datagram together with a Data indication's header and attributes.
_MAX_RELAYED: Final = 65_000
# RFC 8656 §11.5: the ICMP types that are reported to clients.
_ICMP_IPV4: Final = frozenset({3, 11})
_ICMP_IPV6: Final = frozenset({1, 2, 3})
# RFC 8656 §18.13: (type, code) whose error data is the next hop's MTU.
_FRAGMENTATION_NEEDED: Final = (3, 4)
_PACKET_TOO_BIG: Final = 2


@final
class TurnServer:
    """Relays between clients and peers.

    Emits: Datagram, Bind, Close, AllocationOpened, AllocationEnded, DatagramDropped, MachineClosed.
    """

    __slots__ = (
        "_handler",
        "_is_closed",
        "_listen",
        "_now",
        "_outbox",
        "_ports",
        "_random_bytes",
        "_responder",
        "_streams",
        "_table",
    )

    def __init__(self, config: TurnServerConfig, *, random_bytes: RandomBytes, now: Instant) -> None:
        self._listen = frozenset(config.listen)
        self._random_bytes = random_bytes
        self._outbox: Outbox[TurnServerEvent] = Outbox()
        self._table = AllocationTable()
        self._ports = Ports(config, self._table, self._outbox)
        self._handler = RequestHandler(config, self._table, self._ports, PeerPolicy(config.denied), self._outbox)
        self._streams = ClientStreams(config.max_streams)
        self._responder = BindingResponder(ResponderConfig(software=config.software))
        self._is_closed = False
        self._now: Instant = -_LATEST
        self._advance(now)

    @property
    def allocation_count(self) -> int:
        """Is how many allocations there are, pending ones included."""
        return len(self._table)

    def receive(self, arrival: Arrival, *, now: Instant) -> None:
        """Takes what came from clients, from peers, and from the driver about relay sockets."""
        now = self._advance(now)
        if self._is_closed:
            return
        if isinstance(arrival, Datagram):
            dropped = self._receive_datagram(arrival, now)
            if dropped is not None:
                self._outbox.drop(dropped, remote=arrival.remote, now=now)
        elif isinstance(arrival, Bytes):
            self._on_bytes(arrival, now)
        elif isinstance(arrival, Accepted):
            self._on_accepted(arrival, now)
        elif isinstance(arrival, Opened):
            self._ports.on_opened(arrival, now)
        elif isinstance(arrival, (Failed, Closed)):
            self._on_gone(arrival.handle, now)
        elif isinstance(arrival, Unreachable):
            self._on_unreachable(arrival, now)

    def handle_timeout(self, *, now: Instant) -> None:
        """Ends the allocations whose time is over, and streams that have none."""
        now = self._advance(now)
        self._ports.handle_timeout(now)
        while (handle := self._streams.pop_idle(now)) is not None:
            five_tuple = self._streams.client_of(handle)
            if five_tuple is not None and self._table.get(five_tuple) is not None:
                self._streams.keep(handle, now)
            else:
                self._close_stream(handle)

    def next_deadline(self) -> Instant | None:
        """Returns when the next allocation expires or stream is looked at, or None."""
        deadlines = (self._ports.next_deadline(), self._streams.next_deadline())
        return min([deadline for deadline in deadlines if deadline is not None], default=None)

    def close(self, *, now: Instant) -> None:
        """Ends every allocation, and the server, at once."""
        self._advance(now)
        if self._is_closed:
            return
        self._is_closed = True
        self._ports.end_all()
        for handle in self._streams.handles():
            self._close_stream(handle)
        self._outbox.put(MachineClosed())

    def take_outputs(self) -> Sequence[Datagram | Bytes | Command | TurnServerEvent]:
        """Returns what was output since the last call."""
        return self._outbox.take()

    # -- datagrams -------------------------------------------------------------------------------------------

    def _receive_datagram(self, datagram: Datagram, now: Instant) -> DropReason | None:
        allocation = self._table.by_relayed(datagram.local)
        if allocation is not None:
            return self._relay_to_client(allocation, datagram, now)
        if datagram.local not in self._listen:
            return DropReason.UNKNOWN_LOCAL_ADDRESS
        return self._on_message(FiveTuple(datagram.local, datagram.remote), datagram.payload, now)

    def _on_message(self, client: FiveTuple, payload: bytes, now: Instant) -> DropReason | None:
        try:
            if flow_channel(payload) is not None:
                return self._on_channel_data(client, payload, now)
            message = decode_message(payload)
        except DecodeError as failure:
            return drop_reason(failure)
        if message.method == Method.BINDING:
            self._respond(client, payload, now)
            return None
        if message.message_class is MessageClass.REQUEST and not message.is_rfc3489:
            return self._handler.handle(message, client, now)
        if message.message_class is MessageClass.INDICATION and message.method == Method.SEND:
            return self._on_send(message, client, now)
        return DropReason.UNEXPECTED_MESSAGE

    def _respond(self, client: FiveTuple, payload: bytes, now: Instant) -> None:
        self._responder.receive(Datagram(client.server, client.client, payload), now=now)
        for output in self._responder.take_outputs():
            self._outbox.put(client.carry(output.payload) if isinstance(output, Datagram) else output)

    def _on_channel_data(self, client: FiveTuple, payload: bytes, now: Instant) -> DropReason | None:
        data = decode_channel_data(payload)
        allocation = self._table.get(client)
        peer = None if allocation is None else allocation.channels.peer_of(data.channel, now)
        if allocation is None or peer is None:
            return DropReason.UNKNOWN_CHANNEL
        return self._relay_to_peer(allocation, peer, data.payload, dont_fragment=False)

    def _on_send(self, message: Message, client: FiveTuple, now: Instant) -> DropReason | None:
        peer, data = message.get(XorPeerAddress), message.get(Data)
        if peer is None or data is None or message.unknown_required:
            return DropReason.MALFORMED
        allocation = self._table.get(client)
        # RFC 8656 §11.2: a permission is needed; sending does not refresh it.
        if (
            allocation is None
            or not peer.address.port
            or not allocation.permissions.is_permitted(peer.address.host, now)
        ):
            return DropReason.NO_PERMISSION
        # RFC 8656 §13.1-13.3: only what is IPv4 on both sides has a DF bit to set; elsewhere it "MUST be ignored".
        is_ipv4 = not (peer.address.is_ipv6 or client.client.is_ipv6)
        dont_fragment = is_ipv4 and message.get(DontFragment) is not None
        return self._relay_to_peer(allocation, peer.address, data.payload, dont_fragment=dont_fragment)

    def _relay_to_peer(
        self, allocation: ServerAllocation, peer: Address, payload: bytes, *, dont_fragment: bool
    ) -> DropReason | None:
        relayed = allocation.relayed_for(peer)
        if relayed is None:
            return DropReason.NO_PERMISSION
        self._outbox.put(Datagram(relayed, peer, payload, dont_fragment))
        return None

    def _relay_to_client(self, allocation: ServerAllocation, datagram: Datagram, now: Instant) -> DropReason | None:
        peer, payload = datagram.remote, datagram.payload
        if not allocation.permissions.is_permitted(peer.host, now):
            return DropReason.NO_PERMISSION
        if len(payload) > _MAX_RELAYED:
            return DropReason.LIMIT
        client = allocation.exchange.five_tuple
        channel = allocation.channels.channel_to(peer, now)
        if channel is not None:
            # RFC 8656 §12.5: over TCP and TLS the padding "MUST" be there, over UDP it is not required.
            message = encode_channel_data(channel, payload, padded=client.handle is not None)
        else:
            message = self._encode_data(peer, Data(payload))
        self._outbox.put(client.carry(message, is_data=True))
        return None

    # -- byte streams ----------------------------------------------------------------------------------------

    def _on_accepted(self, accepted: Accepted, now: Instant) -> None:
        if accepted.listener not in self._listen or not self._streams.accept(accepted, now):
            self._outbox.put(Close(accepted.handle, abort=True))

    def _on_bytes(self, arrival: Bytes, now: Instant) -> None:
        client = self._streams.client_of(arrival.handle)
        if client is None:
            return
        messages = self._streams.read(arrival)
        if isinstance(messages, DropReason):
            self._outbox.drop(messages, remote=client.client, now=now)
            self._close_stream(arrival.handle, abort=True)
            return
        for message in messages:
            dropped = self._on_message(client, message, now)
            if dropped is not None:
                self._outbox.drop(dropped, remote=client.client, now=now)

    def _on_gone(self, handle: Handle, now: Instant) -> None:
        client = self._streams.forget(handle)
        if client is None:
            self._ports.on_gone(handle, now)
            return
        allocation = self._table.get(client)
        if allocation is not None:
            # An allocation is named by its five-tuple (RFC 8656 §6), which ends with the connection.
            self._ports.end(allocation, EndReason.CLOSED, family=None)

    def _close_stream(self, handle: Handle, *, abort: bool = False) -> None:
        client = self._streams.forget(handle)
        allocation = None if client is None else self._table.get(client)
        if allocation is not None:
            self._ports.end(allocation, EndReason.CLOSED, family=None)
        self._outbox.put(Close(handle, abort))

    def _on_unreachable(self, arrival: Unreachable, now: Instant) -> None:
        """Tells the client of an ICMP error about what was relayed for it (RFC 8656 §11.5)."""
        allocation = self._table.by_relayed(arrival.local)
        if allocation is None or not allocation.permissions.is_permitted(arrival.remote.host, now):
            return
        is_ipv6 = arrival.remote.is_ipv6
        if arrival.icmp_type not in (_ICMP_IPV6 if is_ipv6 else _ICMP_IPV4):
            return
        has_mtu = (
            arrival.icmp_type == _PACKET_TOO_BIG
            if is_ipv6
            else (arrival.icmp_type, arrival.icmp_code) == _FRAGMENTATION_NEEDED
        )
        icmp = Icmp(arrival.icmp_type, arrival.icmp_code & 0xFF, max(0, arrival.mtu) & 0xFFFFFFFF if has_mtu else 0)
        message = self._encode_data(arrival.remote, icmp)
        self._outbox.put(allocation.exchange.five_tuple.carry(message, is_data=True))

    def _encode_data(self, peer: Address, content: Attribute) -> bytes:
        transaction_id = TransactionId(self._random_bytes(12))
        return encode_message(Method.DATA, MessageClass.INDICATION, transaction_id, (XorPeerAddress(peer), content))

    def _advance(self, now: Instant) -> Instant:
        if self._now < now <= _LATEST:
            self._now = now
        return self._now
