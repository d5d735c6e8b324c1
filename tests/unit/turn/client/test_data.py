"""Most of what is here shows in an allocation; test_allocation.py has what its verbs say of it."""

from __future__ import annotations

import pytest

from icepath.machine import Bytes, Datagram, DatagramDropped, DropReason, Handle, Transport
from icepath.net import Address
from icepath.turn.client.events import PeerDataReceived, PeerIcmpReceived
from icepath.turn.client.routes import Route
from icepath.wire.attributes import (
    Attribute,
    Data,
    DontFragment,
    Icmp,
    Lifetime,
    MobilityTicket,
    UnknownAttribute,
    XorPeerAddress,
    XorRelayedAddress,
)
from icepath.wire.channel_data import encode_channel_data
from icepath.wire.message import MessageClass, Method, TransactionId, decode_message, encode_message
from unit.turn.scripted import PEER, PEER6, RELAYED, SERVER, Play, bound, permitted

OTHER = Address("203.0.113.99", 7000)
TCP = Route(SERVER, Transport.TCP)


def on_stream() -> Play:
    """Returns a play on TCP with a permission and a channel, with nothing left to look at."""
    play = Play(routes=(TCP,))
    play.open(1)
    play.grant(play.request())
    play.bind(PEER)
    play.succeed(play.request())
    play.permit(OTHER.host)
    play.succeed(play.request())
    play.events.clear()
    return play


class TestSend:
    def test_by_indication(self) -> None:
        play = permitted(PEER.host)
        play.send(PEER, b"data")
        message = play.request()
        assert (message.method, message.message_class) == (Method.SEND, MessageClass.INDICATION)
        assert message.attributes == (XorPeerAddress(PEER), Data(b"data"))

    @pytest.mark.rfc("8656", "12.5")
    def test_by_channel(self) -> None:
        play = bound(PEER)
        play.send(PEER, b"data")
        (datagram,) = play.sent
        assert datagram.payload == b"\x40\x00\x00\x04data"

    @pytest.mark.rfc("8656", "11.1")
    def test_dont_fragment_needs_an_indication(self) -> None:
        play = bound(PEER)
        play.send(PEER, b"probe", dont_fragment=True)
        (datagram,) = play.sent
        assert isinstance(datagram, Datagram)
        assert datagram.dont_fragment
        assert play.request().attributes == (XorPeerAddress(PEER), DontFragment(), Data(b"probe"))

    @pytest.mark.rfc("8656", "12.5")
    def test_on_a_byte_stream_channel_data_is_padded_and_droppable(self) -> None:
        play = on_stream()
        play.send(PEER, b"12345")
        play.send(OTHER, b"1")
        channel, indication = play.sent_on
        assert channel == Bytes(Handle(1), b"\x40\x00\x00\x0512345\0\0\0", droppable=True)
        assert indication.droppable
        assert decode_message(indication.payload).get(Data) == Data(b"1")

    def test_on_a_connection_that_has_ended_it_is_lost(self) -> None:
        play = Play(routes=(TCP,), mobility=True)
        play.open(1)
        ticket = MobilityTicket(b"ticket")
        play.succeed(play.request(), XorRelayedAddress(RELAYED), Lifetime(600), ticket)
        play.permit(PEER.host)
        play.succeed(play.request())
        play.allocation.migrate(Address("192.168.9.9", 0), now=0.0)
        play.lose(1)
        play.send(PEER, b"lost")
        assert not play.sent_on


class TestReceive:
    @pytest.mark.rfc("8656", "11.4")
    def test_a_data_indication(self) -> None:
        play = permitted(PEER.host)
        play.send_payload(PEER, b"data")
        assert play.events == [PeerDataReceived(RELAYED, PEER, b"data")]

    @pytest.mark.rfc("8656", "12.6")
    def test_channel_data(self) -> None:
        play = bound(PEER)
        play.send_on_channel(0x4000, b"data")
        play.send_on_channel(0x4001, b"data")
        assert play.events == [
            PeerDataReceived(RELAYED, PEER, b"data"),
            DatagramDropped(DropReason.UNKNOWN_CHANNEL, 1, SERVER),
        ]

    @pytest.mark.rfc("8656", "12.6")
    def test_on_a_byte_stream_cut_anywhere(self) -> None:
        play = on_stream()
        attributes = (XorPeerAddress(OTHER), Data(b"by indication"))
        indication = encode_message(Method.DATA, MessageClass.INDICATION, TransactionId(bytes(12)), attributes)
        stream = encode_channel_data(0x4000, b"12345", padded=True) + indication + b"\x40\x00\x00\x00"
        for index in range(len(stream)):
            play.receive_on(1, stream[index : index + 1])
        assert play.events == [
            PeerDataReceived(RELAYED, PEER, b"12345"),
            PeerDataReceived(RELAYED, OTHER, b"by indication"),
            PeerDataReceived(RELAYED, PEER, b""),
        ]

    @pytest.mark.rfc("8656", "11.4")
    def test_data_of_hosts_without_permission_is_dropped(self) -> None:
        play = permitted(PEER.host)
        play.send_payload(OTHER, b"data")
        assert play.events == [DatagramDropped(DropReason.NO_PERMISSION, 1, SERVER)]

    def test_data_of_a_family_without_a_relayed_address_is_dropped(self) -> None:
        play = permitted(PEER.host)
        play.send_payload(PEER6, b"data")
        assert play.events == [DatagramDropped(DropReason.NO_PERMISSION, 1, SERVER)]

    def test_data_before_the_allocation_is_known_is_dropped(self) -> None:
        play = Play()
        play.permit(PEER.host)
        play.send_payload(PEER, b"early")
        assert play.told(DatagramDropped) == [DatagramDropped(DropReason.UNEXPECTED_MESSAGE, 1, SERVER)]

    @pytest.mark.rfc("8656", "11.6")
    def test_an_icmp_error(self) -> None:
        play = permitted(PEER.host)
        play.send_data(PEER, Icmp(3, 4, 1400))
        play.send_data(OTHER, Icmp(3, 3))
        assert play.events == [
            PeerIcmpReceived(PEER, 3, 4, 1400),
            DatagramDropped(DropReason.NO_PERMISSION, 1, SERVER),
        ]

    @pytest.mark.parametrize(
        "attributes",
        [
            (XorPeerAddress(PEER),),
            (Data(b"data"),),
            (XorPeerAddress(PEER), Data(b"data"), UnknownAttribute(0x7FFF, b"")),
        ],
    )
    @pytest.mark.rfc("8656", "11.4")
    def test_an_indication_that_lacks_something_is_dropped(self, attributes: tuple[Attribute, ...]) -> None:
        play = permitted(PEER.host)
        play.receive(encode_message(Method.DATA, MessageClass.INDICATION, TransactionId(bytes(12)), attributes))
        assert play.told(DatagramDropped) == [DatagramDropped(DropReason.MALFORMED, 1, SERVER)]
