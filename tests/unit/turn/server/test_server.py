from __future__ import annotations

import math

import pytest

from icepath.machine import (
    Accepted,
    Bind,
    Bytes,
    Close,
    Closed,
    CloseReason,
    Datagram,
    DatagramDropped,
    DropReason,
    Failed,
    FailReason,
    FlowKey,
    FlowUsed,
    Handle,
    MachineClosed,
    Opened,
    Unreachable,
)
from icepath.net import Address
from icepath.wire.attributes import (
    AdditionalAddressFamily,
    Attribute,
    ChannelNumber,
    Data,
    DontFragment,
    Icmp,
    Lifetime,
    RequestedTransport,
    UnknownAttribute,
    XorMappedAddress,
    XorPeerAddress,
)
from icepath.wire.channel_data import encode_channel_data
from icepath.wire.message import Message, MessageClass, Method, TransactionId, decode_message, encode_message
from unit.turn.serving import CLIENT, LISTEN, PEER, PEER6, RELAY4, RELAYED, RELEASE, V6, Desk

CLIENT6 = Address("2001:db8:3::7", 61000)
OTHER = Address("203.0.113.51", 7001)


def permitted(*, channel: bool = False) -> Desk:
    """Returns a server with one allocation that may talk to PEER."""
    desk = Desk()
    desk.allocate()
    assert desk.permit(PEER.host) == 0
    if channel:
        assert desk.code(Method.CHANNEL_BIND, ChannelNumber(0x4000), XorPeerAddress(PEER)) == 0
    desk.events.clear()
    return desk


def send_indication(*attributes: Attribute) -> bytes:
    return encode_message(Method.SEND, MessageClass.INDICATION, TransactionId(bytes(12)), attributes)


def reasons(desk: Desk) -> list[DropReason]:
    found = [event.reason for event in desk.events if isinstance(event, DatagramDropped)]
    desk.events.clear()
    return found


def indication(desk: Desk) -> Message:
    message = desk.answer()
    assert message is not None
    assert (message.method, message.message_class) == (Method.DATA, MessageClass.INDICATION)
    return message


class TestFromClients:
    @pytest.mark.rfc("8656", "11.2")
    @pytest.mark.parametrize("dont_fragment", [False, True])
    def test_a_send_indication(self, dont_fragment: bool) -> None:
        desk = permitted()
        mark: tuple[Attribute, ...] = (DontFragment(),) if dont_fragment else ()
        desk.receive(send_indication(XorPeerAddress(PEER), *mark, Data(b"data")))
        assert desk.sent == [Datagram(RELAYED, PEER, b"data", dont_fragment)]

    @pytest.mark.rfc("8656", "13.1")
    @pytest.mark.rfc("8656", "13.2")
    @pytest.mark.rfc("8656", "13.3")
    @pytest.mark.parametrize(("client", "peer"), [(CLIENT, PEER6), (CLIENT6, PEER6), (CLIENT6, PEER)])
    def test_dont_fragment_is_ignored_where_ipv6_is_on_either_side(self, client: Address, peer: Address) -> None:
        desk = Desk()
        desk.allocate(AdditionalAddressFamily(V6), client=client)
        assert desk.code(Method.CREATE_PERMISSION, XorPeerAddress(peer), client=client) == 0
        desk.receive(send_indication(XorPeerAddress(peer), DontFragment(), Data(b"data")), remote=client)
        assert [(each.remote, each.dont_fragment) for each in desk.sent] == [(peer, False)]

    @pytest.mark.rfc("8656", "12.6")
    @pytest.mark.parametrize("payload", [b"", b"data"])
    def test_channel_data(self, payload: bytes) -> None:
        desk = permitted(channel=True)
        desk.receive(encode_channel_data(0x4000, payload))
        assert desk.sent == [Datagram(RELAYED, PEER, payload)]

    @pytest.mark.rfc("8656", "11.2")
    def test_any_port_of_a_permitted_host(self) -> None:
        desk = permitted()
        desk.receive(send_indication(XorPeerAddress(Address(PEER.host, 9)), Data(b"data")))
        assert desk.sent == [Datagram(RELAYED, Address(PEER.host, 9), b"data")]

    @pytest.mark.rfc("8656", "11.2")
    @pytest.mark.parametrize("peer", [OTHER, PEER6, Address(PEER.host, 0)])
    def test_no_data_without_permission_or_port(self, peer: Address) -> None:
        desk = permitted()
        desk.receive(send_indication(XorPeerAddress(peer), Data(b"data")))
        assert not desk.sent
        assert reasons(desk) == [DropReason.NO_PERMISSION]

    @pytest.mark.rfc("8656", "11.2")
    def test_sending_renews_nothing(self) -> None:
        desk = permitted()
        desk.now = 299.0
        desk.receive(send_indication(XorPeerAddress(PEER), Data(b"in time")))
        desk.now = 300.0
        desk.receive(send_indication(XorPeerAddress(PEER), Data(b"late")))
        assert [datagram.payload for datagram in desk.sent] == [b"in time"]

    @pytest.mark.rfc("8656", "12.6")
    def test_channel_data_renews_neither_channel_nor_permission(self) -> None:
        desk = permitted(channel=True)
        desk.now = 299.0
        desk.receive(encode_channel_data(0x4000, b"client"))
        desk.receive(b"peer", local=RELAYED, remote=PEER)
        desk.sent.clear()
        desk.now = 300.0
        desk.receive(b"late", local=RELAYED, remote=PEER)
        assert not desk.sent
        desk.code(Method.REFRESH, Lifetime(3600))
        desk.now = 599.0
        desk.receive(encode_channel_data(0x4000, b"client"))
        desk.sent.clear()
        desk.now = 600.0
        desk.receive(encode_channel_data(0x4000, b"late"))
        assert not desk.sent

    @pytest.mark.rfc("8656", "11.2")
    @pytest.mark.parametrize(
        "attributes",
        [
            (XorPeerAddress(PEER),),
            (Data(b"data"),),
            (XorPeerAddress(PEER), Data(b"data"), UnknownAttribute(0x7FFF, b"")),
        ],
    )
    def test_an_indication_that_lacks_something(self, attributes: tuple[Attribute, ...]) -> None:
        desk = permitted()
        desk.receive(send_indication(*attributes))
        assert not desk.sent
        assert reasons(desk) == [DropReason.MALFORMED]

    @pytest.mark.rfc("8656", "5")
    def test_data_without_an_allocation_is_ignored(self) -> None:
        desk = permitted(channel=True)
        stranger = Address(CLIENT.host, 9)
        desk.receive(send_indication(XorPeerAddress(PEER), Data(b"data")), remote=stranger)
        desk.receive(encode_channel_data(0x4000, b"data"), remote=stranger)
        assert not desk.sent
        assert reasons(desk) == [DropReason.NO_PERMISSION, DropReason.UNKNOWN_CHANNEL]

    def test_data_before_the_socket_is_open_is_dropped(self) -> None:
        desk = Desk()
        desk.ask(Method.ALLOCATE, RequestedTransport())
        desk.permit(PEER.host)
        desk.receive(send_indication(XorPeerAddress(PEER), Data(b"data")))
        assert not desk.sent
        assert reasons(desk) == [DropReason.NO_PERMISSION]

    def test_an_unbound_channel(self) -> None:
        desk = permitted(channel=True)
        desk.receive(encode_channel_data(0x4001, b"data"))
        assert reasons(desk) == [DropReason.UNKNOWN_CHANNEL]

    @pytest.mark.parametrize(
        ("payload", "reason"),
        [
            (b"", DropReason.MALFORMED),
            (b"\x80rtp", DropReason.NOT_STUN),
            (b"\x40\x00\x00\x09short", DropReason.MALFORMED),
            (
                encode_message(Method.ALLOCATE, MessageClass.SUCCESS, TransactionId(bytes(12))),
                DropReason.UNEXPECTED_MESSAGE,
            ),
            (
                encode_message(Method.DATA, MessageClass.INDICATION, TransactionId(bytes(12))),
                DropReason.UNEXPECTED_MESSAGE,
            ),
            (
                encode_message(Method.ALLOCATE, MessageClass.REQUEST, TransactionId(bytes(16))),
                DropReason.UNEXPECTED_MESSAGE,
            ),
        ],
    )
    def test_what_is_no_request(self, payload: bytes, reason: DropReason) -> None:
        desk = Desk()
        desk.receive(payload)
        assert not desk.sent
        assert reasons(desk) == [reason]

    def test_only_where_it_listens(self) -> None:
        desk = Desk()
        desk.receive(b"anything", local=PEER)
        assert reasons(desk) == [DropReason.UNKNOWN_LOCAL_ADDRESS]

    @pytest.mark.parametrize("remote", [Address(CLIENT.host, 0), Address("224.0.0.1", 5), Address("0.0.0.0", 5)])
    def test_nothing_is_answered_to_nowhere(self, remote: Address) -> None:
        desk = Desk()
        desk.receive(desk.encode(Method.REFRESH), remote=remote)
        assert not desk.sent
        assert reasons(desk) == [DropReason.WRONG_ADDRESS]


@pytest.mark.rfc("8489", "12")
class TestBinding:
    def test_is_answered(self) -> None:
        message = Desk().ask(Method.BINDING)
        assert message is not None
        assert message.get(XorMappedAddress) == XorMappedAddress(CLIENT)

    def test_odd_ones_are_dropped(self) -> None:
        desk = Desk()
        desk.receive(encode_message(Method.BINDING, MessageClass.SUCCESS, TransactionId(bytes(12))))
        assert reasons(desk) == [DropReason.UNEXPECTED_MESSAGE]


class TestFromPeers:
    @pytest.mark.rfc("8656", "11.3")
    @pytest.mark.parametrize("payload", [b"", b"data"])
    def test_by_indication(self, payload: bytes) -> None:
        desk = permitted()
        desk.receive(payload, local=RELAYED, remote=PEER)
        assert indication(desk).attributes == (XorPeerAddress(PEER), Data(payload))

    @pytest.mark.rfc("8656", "12.7")
    def test_by_channel(self) -> None:
        desk = permitted(channel=True)
        desk.receive(b"data", local=RELAYED, remote=PEER)
        desk.receive(b"from another port", local=RELAYED, remote=Address(PEER.host, 9))
        first, second = desk.sent
        assert first == Datagram(LISTEN, CLIENT, encode_channel_data(0x4000, b"data"))
        assert decode_message(second.payload).get(Data) == Data(b"from another port")

    @pytest.mark.rfc("8656", "9")
    def test_without_permission_nothing_passes(self) -> None:
        desk = permitted()
        desk.receive(b"data", local=RELAYED, remote=OTHER)
        desk.now = 300.0
        desk.receive(b"data", local=RELAYED, remote=PEER)
        assert not desk.sent
        assert [event.count for event in desk.events if isinstance(event, DatagramDropped)] == [1, 1]

    def test_what_does_not_fit_is_dropped(self) -> None:
        desk = permitted()
        desk.receive(bytes(65_001), local=RELAYED, remote=PEER)
        assert reasons(desk) == [DropReason.LIMIT]
        desk.receive(bytes(65_000), local=RELAYED, remote=PEER)
        assert len(desk.sent) == 1

    def test_stun_among_peers_is_data(self) -> None:
        desk = permitted()
        check = encode_message(Method.BINDING, MessageClass.REQUEST, TransactionId(bytes(12)))
        desk.receive(check, local=RELAYED, remote=PEER)
        assert indication(desk).get(Data) == Data(check)

    def test_after_the_end_the_address_is_nobodys(self) -> None:
        desk = permitted()
        desk.code(Method.REFRESH, RELEASE)
        desk.events.clear()
        desk.receive(b"data", local=RELAYED, remote=PEER)
        assert reasons(desk) == [DropReason.UNKNOWN_LOCAL_ADDRESS]


@pytest.mark.rfc("8656", "11.5")
class TestIcmp:
    @pytest.mark.parametrize(
        ("icmp", "told"),
        [
            ((3, 3, 0), Icmp(3, 3, 0)),
            ((3, 4, 1400), Icmp(3, 4, 1400)),
            ((3, 1, 1400), Icmp(3, 1, 0)),
            ((11, 0, 0), Icmp(11, 0, 0)),
            ((8, 0, 0), None),
            ((1, 4, 0), None),
        ],
    )
    def test_over_ipv4(self, icmp: tuple[int, int, int], told: Icmp | None) -> None:
        desk = permitted()
        desk.arrive(Unreachable(RELAYED, PEER, *icmp))
        if told is None:
            assert not desk.sent
        else:
            assert indication(desk).attributes == (XorPeerAddress(PEER), told)

    @pytest.mark.parametrize(
        ("icmp", "told"),
        [((2, 0, 1280), Icmp(2, 0, 1280)), ((1, 4, 9), Icmp(1, 4, 0)), ((3, 0, 0), Icmp(3, 0, 0)), ((11, 0, 0), None)],
    )
    def test_over_ipv6(self, icmp: tuple[int, int, int], told: Icmp | None) -> None:
        desk = Desk()
        desk.allocate(AdditionalAddressFamily(V6))
        desk.permit(PEER6.host)
        desk.arrive(Unreachable(Address("2001:db8:1::1", 49153), PEER6, *icmp))
        if told is None:
            assert not desk.sent
        else:
            assert indication(desk).attributes == (XorPeerAddress(PEER6), told)

    def test_only_about_permitted_hosts(self) -> None:
        desk = permitted()
        desk.arrive(Unreachable(RELAYED, OTHER, 3, 3))
        desk.arrive(Unreachable(LISTEN, CLIENT, 3, 3))
        assert not desk.sent

    def test_a_channel_changes_nothing(self) -> None:
        desk = permitted(channel=True)
        desk.arrive(Unreachable(RELAYED, PEER, 3, 3))
        assert indication(desk).get(Icmp) == Icmp(3, 3)


class TestMachine:
    def test_ends_at_once_and_for_good(self) -> None:
        desk = permitted()
        desk.server.close(now=1.0)
        desk.server.close(now=1.0)
        desk.drain()
        assert desk.events[-1] == MachineClosed()
        assert len([event for event in desk.events if isinstance(event, MachineClosed)]) == 1
        desk.events.clear()
        desk.receive(desk.encode(Method.BINDING))
        desk.arrive(Closed(Handle(1), CloseReason.EOF))
        assert not desk.events
        assert not desk.sent
        assert desk.server.next_deadline() is None

    def test_counts_its_allocations(self) -> None:
        desk = Desk(hosts=(RELAY4,))
        assert desk.server.allocation_count == 0
        desk.allocate()
        assert desk.server.allocation_count == 1
        desk.arrive(Failed(Handle(1), FailReason.NO_PORT))
        assert desk.server.allocation_count == 0

    def test_other_arrivals_are_for_nobody(self) -> None:
        desk = Desk()
        desk.arrive(FlowUsed(FlowKey(LISTEN, CLIENT), 1, 1, 0.0))
        assert not desk.events

    @pytest.mark.parametrize("now", [-5.0, math.nan, math.inf, 1e300])
    def test_time_only_goes_forward(self, now: float) -> None:
        desk = permitted()
        desk.run_to(10.0)
        desk.run_to(now)
        assert desk.server.allocation_count == 1
        assert desk.server.next_deadline() == 600.0

    def test_early_and_repeated_timeouts_do_nothing(self) -> None:
        desk = permitted()
        desk.run_to(599.0)
        desk.run_to(599.0)
        assert not desk.events


class TestByteStreams:
    HANDLE = Handle(-1)

    def accepted(self, desk: Desk, *, listener: Address = LISTEN, handle: Handle = HANDLE) -> None:
        desk.arrive(Accepted(handle, listener, LISTEN, CLIENT))

    def tell(self, desk: Desk, payload: bytes) -> None:
        desk.arrive(Bytes(self.HANDLE, payload))

    def allocated(self, *, channel: bool = False) -> Desk:
        """Returns a server with an allocation over TCP that may talk to PEER."""
        desk = Desk(hosts=(RELAY4,))
        self.accepted(desk)
        self.tell(desk, desk.encode(Method.ALLOCATE, RequestedTransport()))
        (bind,) = [each for each in desk.commands if isinstance(each, Bind)]
        desk.arrive(Opened(bind.handle, RELAYED))
        self.tell(desk, desk.encode(Method.CREATE_PERMISSION, XorPeerAddress(PEER)))
        if channel:
            self.tell(desk, desk.encode(Method.CHANNEL_BIND, ChannelNumber(0x4000), XorPeerAddress(PEER)))
        answers = [decode_message(each.payload) for each in desk.streamed]
        assert {answer.message_class for answer in answers} == {MessageClass.SUCCESS}
        desk.streamed.clear()
        desk.commands.clear()
        return desk

    def test_a_binding_request_is_answered_by_the_same_stream(self) -> None:
        desk = Desk()
        self.accepted(desk)
        self.tell(desk, desk.encode(Method.BINDING))
        (answer,) = desk.streamed
        assert answer.handle == self.HANDLE
        assert decode_message(answer.payload).get(XorMappedAddress) == XorMappedAddress(CLIENT)

    def test_the_udp_client_at_the_same_address_is_somebody_else(self) -> None:
        desk = self.allocated()
        desk.receive(send_indication(XorPeerAddress(PEER), Data(b"data")))
        assert reasons(desk) == [DropReason.NO_PERMISSION]
        assert desk.server.allocation_count == 1

    @pytest.mark.rfc("8656", "12.5")
    def test_data_goes_both_ways_and_channel_data_is_padded(self) -> None:
        desk = self.allocated(channel=True)
        self.tell(desk, encode_channel_data(0x4000, b"out", padded=True))
        assert desk.sent == [Datagram(RELAYED, PEER, b"out")]
        desk.receive(b"in", local=RELAYED, remote=PEER)
        assert desk.streamed == [Bytes(self.HANDLE, encode_channel_data(0x4000, b"in", padded=True), droppable=True)]

    def test_data_without_a_channel_and_icmp_errors_come_as_indications(self) -> None:
        desk = self.allocated()
        desk.receive(b"in", local=RELAYED, remote=PEER)
        desk.arrive(Unreachable(RELAYED, PEER, 3, 3))
        assert [decode_message(each.payload).method for each in desk.streamed] == [Method.DATA, Method.DATA]

    def test_what_is_no_message_ends_the_stream_and_its_allocation(self) -> None:
        desk = self.allocated()
        self.tell(desk, b"\x80 no message")
        assert Close(self.HANDLE, abort=True) in desk.commands
        assert desk.server.allocation_count == 0
        self.tell(desk, b"late")
        assert desk.streamed == []

    def test_neither_does_a_stranger_that_speaks_something_else(self) -> None:
        desk = Desk()
        self.accepted(desk)
        self.tell(desk, b"GET / HTTP/1.1\r\n")
        assert desk.commands == [Close(self.HANDLE, abort=True)]

    def test_a_message_that_means_nothing_is_dropped_and_the_stream_goes_on(self) -> None:
        desk = Desk()
        self.accepted(desk)
        self.tell(desk, encode_message(Method.DATA, MessageClass.INDICATION, TransactionId(bytes(12))))
        assert reasons(desk) == [DropReason.UNEXPECTED_MESSAGE]
        assert desk.commands == []

    def test_the_allocation_ends_with_its_connection(self) -> None:
        desk = self.allocated()
        desk.arrive(Closed(self.HANDLE, CloseReason.EOF))
        assert desk.server.allocation_count == 0
        desk.arrive(Closed(self.HANDLE, CloseReason.EOF))

    def test_a_connection_without_an_allocation_just_ends(self) -> None:
        desk = Desk()
        self.accepted(desk)
        desk.arrive(Closed(self.HANDLE, CloseReason.RESET))
        assert desk.commands == []

    def test_strangers_listeners_and_too_many_streams_are_reset(self) -> None:
        desk = Desk(max_streams=1)
        self.accepted(desk, listener=OTHER)
        self.accepted(desk)
        self.accepted(desk, handle=Handle(-2))
        assert desk.commands == [Close(self.HANDLE, abort=True), Close(Handle(-2), abort=True)]

    def test_a_stream_without_an_allocation_is_closed_after_a_while(self) -> None:
        desk = Desk()
        self.accepted(desk)
        desk.now = 30.0
        assert desk.server.next_deadline() == 30.0
        desk.server.handle_timeout(now=30.0)
        desk.drain()
        assert desk.commands == [Close(self.HANDLE)]

    def test_one_with_an_allocation_is_not(self) -> None:
        desk = self.allocated()
        desk.server.handle_timeout(now=35.0)
        desk.drain()
        assert desk.commands == []
        assert desk.server.next_deadline() == 65.0

    def test_closing_closes_them_all(self) -> None:
        desk = self.allocated()
        desk.server.close(now=desk.now)
        desk.drain()
        assert Close(self.HANDLE) in desk.commands
        assert isinstance(desk.events[-1], MachineClosed)
