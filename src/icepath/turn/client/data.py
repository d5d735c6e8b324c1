"""Payloads to and from peers: Send and Data indications, ChannelData, and ICMP errors (RFC 8656 §11, §12).

A part of `Allocation`. Here is what a payload travels in, and which of those that arrive are believed; permissions
and channels themselves are kept by the parts of those names.

Strategy: data goes on a channel as soon as there is one, and in Send indications before, after, and whenever a DF bit
is wanted.
"""

from __future__ import annotations

from typing import Final, final

from icepath.machine import DropReason
from icepath.net import Address, Instant, RandomBytes
from icepath.outbox import Outbox
from icepath.turn.client.channels import Channels
from icepath.turn.client.events import AllocationEvent, PeerDataReceived, PeerIcmpReceived
from icepath.turn.client.lease import Lease
from icepath.turn.client.permissions import Permissions
from icepath.turn.client.requests import TRANSACTION_ID_LENGTH
from icepath.turn.client.routes import Path
from icepath.wire.attributes import Attribute, Data, DontFragment, Icmp, XorPeerAddress
from icepath.wire.channel_data import decode_channel_data
from icepath.wire.message import Message, MessageClass, Method, TransactionId, encode_message


@final
class PeerData:
    """Carries payloads between an allocation and its peers."""

    __slots__ = ("_channels", "_lease", "_outbox", "_permissions", "_random_bytes")

    def __init__(
        self,
        lease: Lease,
        permissions: Permissions,
        channels: Channels,
        outbox: Outbox[AllocationEvent],
        random_bytes: RandomBytes,
    ) -> None:
        self._lease: Final = lease
        self._permissions: Final = permissions
        self._channels: Final = channels
        self._outbox: Final = outbox
        self._random_bytes: Final = random_bytes

    def send(self, path: Path, peer: Address, payload: bytes, dont_fragment: bool, now: Instant) -> None:
        """Sends a payload that may be sent; it is lost, as datagrams are, where the connection is."""
        if path.is_closed:
            return
        # ChannelData cannot carry DONT-FRAGMENT (RFC 8656 §3.5).
        channel = None if dont_fragment else self._channels.usable_channel(peer, now)
        if channel is not None:
            self._outbox.put(path.wrap_channel_data(channel, payload))
        else:
            message = self._encode_send(peer, payload, dont_fragment)
            self._outbox.put(path.wrap(message, dont_fragment=dont_fragment, is_data=True))

    def on_channel_data(self, payload: bytes) -> DropReason | None:
        """Takes a ChannelData message.

        Raises: DecodeError.
        """
        data = decode_channel_data(payload)
        peer = self._channels.peer_of(data.channel)
        return DropReason.UNKNOWN_CHANNEL if peer is None else self._deliver(peer, data.payload)

    def on_indication(self, message: Message) -> DropReason | None:
        """Takes a Data indication."""
        peer, data = message.get(XorPeerAddress), message.get(Data)
        # RFC 8489 §6.3.2: an indication with unknown comprehension-required attributes is discarded.
        if peer is None or message.unknown_required:
            return DropReason.MALFORMED
        if data is not None:
            return self._deliver(peer.address, data.payload)
        icmp = message.get(Icmp)
        if icmp is None:
            return DropReason.MALFORMED
        if not self._permissions.is_permitted(peer.address.host):
            return DropReason.NO_PERMISSION
        self._outbox.put(PeerIcmpReceived(peer.address, icmp.icmp_type, icmp.icmp_code, icmp.data))
        return None

    def _deliver(self, peer: Address, payload: bytes) -> DropReason | None:
        grant = self._lease.grant
        if grant is None:
            return DropReason.UNEXPECTED_MESSAGE
        # RFC 8656 §11.4, §12.6: the server might have been tricked into permissions we did not ask for.
        relayed = grant.relayed_for(peer)
        if relayed is None or not self._permissions.is_permitted(peer.host):
            return DropReason.NO_PERMISSION
        self._outbox.put(PeerDataReceived(relayed, peer, payload))
        return None

    def _encode_send(self, peer: Address, payload: bytes, dont_fragment: bool) -> bytes:
        mark: tuple[Attribute, ...] = (DontFragment(),) if dont_fragment else ()
        attributes = (XorPeerAddress(peer), *mark, Data(payload))
        transaction_id = TransactionId(self._random_bytes(TRANSACTION_ID_LENGTH))
        return encode_message(Method.SEND, MessageClass.INDICATION, transaction_id, attributes)
