from __future__ import annotations

import math

import pytest

from icepath.errors import InvalidArgument, InvalidState
from icepath.machine import (
    Closed,
    CloseReason,
    DatagramDropped,
    DropReason,
    FlowKey,
    FlowUsed,
    Handle,
    MachineClosed,
    Transport,
    Unreachable,
)
from icepath.net import Address
from icepath.stun.credentials import Challenge
from icepath.turn.client.allocation import MAX_PAYLOAD, AllocationConfig
from icepath.turn.client.events import (
    Allocated,
    AllocationFailed,
    AllocationFailure,
    AllocationLost,
    ChallengeRemembered,
    ChannelFailed,
    Migrated,
    MigrationFailed,
    PeerConnected,
    PeerDataReceived,
    PeerIcmpReceived,
    PermissionFailed,
)
from icepath.turn.client.routes import Route
from icepath.wire.attributes import (
    Attribute,
    ConnectionId,
    Data,
    DontFragment,
    ErrorCode,
    Icmp,
    Lifetime,
    MobilityTicket,
    UnknownAttribute,
    UnknownAttributes,
    XorPeerAddress,
    XorRelayedAddress,
)
from icepath.wire.message import Message, MessageClass, Method, TransactionId, encode_message
from unit.turn.scripted import (
    ALICE_ANEW,
    BOTH,
    LOCAL,
    PEER,
    PEER6,
    REALM,
    RELAYED,
    RELAYED6,
    SERVER,
    Play,
    allocated,
    bound,
    permitted,
)

OTHER = Address("203.0.113.99", 7000)
TCP = Route(SERVER, Transport.TCP)


def reasons(play: Play) -> list[DropReason]:
    return [event.reason for event in play.told(DatagramDropped)]


def is_release(message: Message) -> bool:
    return message.method == Method.REFRESH and message.get(Lifetime) == Lifetime(0)


class TestSend:
    @pytest.mark.rfc("8656", "11.1")
    def test_by_indication(self) -> None:
        play = permitted(PEER.host)
        play.send(PEER, b"data")
        (datagram,) = play.sent
        assert not datagram.dont_fragment
        message = play.request()
        assert (message.method, message.message_class) == (Method.SEND, MessageClass.INDICATION)
        assert message.attributes == (XorPeerAddress(PEER), Data(b"data"))

    @pytest.mark.rfc("8656", "12.5")
    @pytest.mark.parametrize("payload", [b"", b"1", b"x" * 1200])
    def test_by_channel(self, payload: bytes) -> None:
        play = bound(PEER)
        play.send(PEER, payload)
        (datagram,) = play.sent
        assert datagram.payload == b"\x40\x00" + len(payload).to_bytes(2, "big") + payload

    @pytest.mark.rfc("8656", "11.1")
    def test_dont_fragment_needs_an_indication(self) -> None:
        play = bound(PEER)
        play.send(PEER, b"probe", dont_fragment=True)
        (datagram,) = play.sent
        assert datagram.dont_fragment
        assert play.request().attributes == (XorPeerAddress(PEER), DontFragment(), Data(b"probe"))

    def test_dont_fragment_is_refused_when_the_server_cannot(self) -> None:
        play = Play(dont_fragment=True)
        play.refuse(play.request(), 420, UnknownAttributes((DontFragment.TYPE,)))
        play.grant(play.request())
        play.permit(PEER.host)
        play.requests()
        with pytest.raises(InvalidState, match="DF"):
            play.send(PEER, b"probe", dont_fragment=True)
        play.send(PEER, b"data")
        assert play.requests()

    @pytest.mark.rfc("8656", "11.1")
    def test_as_soon_as_the_permission_is_on_its_way(self) -> None:
        play = allocated()
        with pytest.raises(InvalidState, match="permit"):
            play.send(PEER, b"data")
        play.permit(PEER.host)
        play.send(PEER, b"data")
        assert [message.method for message in play.requests()] == [Method.CREATE_PERMISSION, Method.SEND]

    def test_not_before_there_is_an_allocation(self) -> None:
        play = Play()
        play.permit(PEER.host)
        with pytest.raises(InvalidState, match="no allocation"):
            play.send(PEER, b"data")

    def test_what_cannot_be_sent_is_refused(self) -> None:
        play = permitted(PEER.host)
        play.send(PEER, bytes(MAX_PAYLOAD))
        for peer, payload in (
            (PEER, bytes(MAX_PAYLOAD + 1)),
            (Address(PEER.host, 0), b""),
            (Address(PEER.host, 65536), b""),
        ):
            with pytest.raises(InvalidArgument):
                play.send(peer, payload)
        assert len(play.sent) == 1


class TestReceive:
    @pytest.mark.rfc("8656", "11.4")
    @pytest.mark.parametrize("payload", [b"", b"data"])
    def test_a_data_indication(self, payload: bytes) -> None:
        play = permitted(PEER.host)
        play.send_payload(PEER, payload)
        assert play.events == [PeerDataReceived(RELAYED, PEER, payload)]

    @pytest.mark.rfc("8656", "12.6")
    def test_channel_data(self) -> None:
        play = bound(PEER)
        play.send_on_channel(0x4000, b"data")
        play.receive(b"\x40\x00\x00\x02okpadding")
        assert play.events == [PeerDataReceived(RELAYED, PEER, b"data"), PeerDataReceived(RELAYED, PEER, b"ok")]

    def test_each_family_has_its_relayed_address(self) -> None:
        play = allocated(RELAYED, RELAYED6, families=BOTH)
        play.permit(PEER.host, PEER6.host)
        play.send_payload(PEER6, b"six")
        play.send_payload(PEER, b"four")
        assert play.told(PeerDataReceived) == [
            PeerDataReceived(RELAYED6, PEER6, b"six"),
            PeerDataReceived(RELAYED, PEER, b"four"),
        ]

    @pytest.mark.rfc("8656", "11.4")
    def test_data_of_hosts_without_permission_is_dropped(self) -> None:
        play = permitted(PEER.host)
        play.send_payload(OTHER, b"data")
        play.send_payload(PEER6, b"data")
        play.run_to(2.0)
        play.send_payload(OTHER, b"data")
        assert play.events == [
            DatagramDropped(DropReason.NO_PERMISSION, 1, SERVER),
            DatagramDropped(DropReason.NO_PERMISSION, 2, SERVER),
        ]

    @pytest.mark.rfc("8656", "12.6")
    def test_channel_data_without_permission_is_dropped(self) -> None:
        play = Play(slots=[0.0, 1.0])
        play.grant(play.request())
        play.bind(PEER)
        play.events.clear()
        # The ChannelBind waits for its slot: nothing was asked for yet.
        play.send_on_channel(0x4000, b"guess")
        assert reasons(play) == [DropReason.NO_PERMISSION]

    @pytest.mark.rfc("8656", "11.6")
    def test_an_icmp_error(self) -> None:
        play = permitted(PEER.host)
        play.send_data(PEER, Icmp(3, 4, 1400))
        play.send_data(Address(PEER.host, 0), Icmp(3, 3))
        assert play.events == [PeerIcmpReceived(PEER, 3, 4, 1400), PeerIcmpReceived(Address(PEER.host, 0), 3, 3, 0)]

    def test_an_icmp_error_about_others_is_dropped(self) -> None:
        play = permitted(PEER.host)
        play.send_data(OTHER, Icmp(3, 3))
        assert reasons(play) == [DropReason.NO_PERMISSION]

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
        assert reasons(play) == [DropReason.MALFORMED]

    def test_data_before_the_allocation_is_known_is_dropped(self) -> None:
        play = Play()
        play.permit(PEER.host)
        play.send_payload(PEER, b"early")
        assert reasons(play) == [DropReason.UNEXPECTED_MESSAGE]

    @pytest.mark.parametrize(
        ("payload", "reason"),
        [
            (b"", DropReason.MALFORMED),
            (b"\x80rtp", DropReason.NOT_STUN),
            (b"\x40\x00\x00\x09short", DropReason.MALFORMED),
            (b"\x4f\xff\x00\x00", DropReason.UNKNOWN_CHANNEL),
            (encode_message(1, MessageClass.REQUEST, TransactionId(bytes(12))), DropReason.UNEXPECTED_MESSAGE),
            (encode_message(1, MessageClass.INDICATION, TransactionId(bytes(12))), DropReason.UNEXPECTED_MESSAGE),
            (encode_message(3, MessageClass.SUCCESS, TransactionId(bytes(12))), DropReason.UNKNOWN_TRANSACTION),
        ],
    )
    def test_everything_else_is_dropped(self, payload: bytes, reason: DropReason) -> None:
        play = bound(PEER)
        play.receive(payload)
        assert reasons(play) == [reason]

    def test_only_the_server_is_heard(self) -> None:
        play = bound(PEER)
        data = b"\x40\x00\x00\x00"
        play.receive(data, remote=OTHER)
        play.receive(data, local=OTHER)
        assert reasons(play) == [DropReason.WRONG_ADDRESS, DropReason.UNKNOWN_LOCAL_ADDRESS]

    def test_other_arrivals_are_for_nobody(self) -> None:
        play = Play()
        play.arrive(Closed(Handle(1), CloseReason.EOF))
        play.arrive(FlowUsed(FlowKey(LOCAL, SERVER), 1, 100, 0.0))
        play.arrive(Unreachable(LOCAL, OTHER, 3, 3))
        play.arrive(Unreachable(OTHER, SERVER, 3, 3))
        assert not play.events
        play.grant(play.request())
        assert play.told(Allocated)


class TestVerbs:
    def test_hosts_are_taken_in_any_form(self) -> None:
        play = allocated()
        play.permit("::ffff:192.0.2.1", "192.0.2.1")
        assert play.request().get_all(XorPeerAddress) == (XorPeerAddress(Address("192.0.2.1", 0)),)
        play.allocation.release(("::ffff:192.0.2.1",), now=0.0)
        assert not play.allocation.is_permitted("192.0.2.1")

    def test_names_are_refused(self) -> None:
        play = allocated()
        with pytest.raises(InvalidArgument):
            play.permit("192.0.2.1", "host.example")
        with pytest.raises(InvalidArgument):
            play.allocation.release(("host.example",), now=0.0)
        assert not play.requests()

    def test_no_channel_before_there_is_an_allocation(self) -> None:
        with pytest.raises(InvalidState):
            Play().bind(PEER)

    @pytest.mark.parametrize(
        "peer", [Address("203.0.113.1", 0), Address("224.0.0.1", 5), Address("name", 5), Address("::ffff:1.2.3.4", 5)]
    )
    def test_no_channel_to_nowhere(self, peer: Address) -> None:
        play = allocated()
        with pytest.raises(InvalidArgument):
            play.bind(peer)

    def test_verbs_do_nothing_once_it_has_ended(self) -> None:
        play = Play()
        play.refuse(play.request(), 486)
        play.permit(PEER.host)
        play.bind(PEER)
        play.allocation.release((PEER.host,), now=0.0)
        play.allocation.set_credentials(ALICE_ANEW, now=0.0)
        play.run_to(1000.0)
        assert not play.requests()
        assert not play.told(ChannelFailed)
        assert not play.told(PermissionFailed)
        with pytest.raises(InvalidState):
            play.send(PEER, b"data")

    def test_channels_of_another_family_fail(self) -> None:
        play = allocated()
        play.bind(PEER6)
        assert play.events == [ChannelFailed(PEER6, 443)]

    def test_stale_channel_binds_are_tried_again(self) -> None:
        play = Play(slots=[0.0, 0.0, 1.0])
        play.grant(play.request())
        play.bind(PEER)
        play.challenge(play.request(), 438, b"second")
        assert not play.requests()
        play.run_to(1.0)
        play.succeed(play.request())
        assert play.allocation.channel_of(PEER) == 0x4000


class TestRouting:
    """Each answer reaches the part that asked."""

    def test_of_a_refresh(self) -> None:
        play = allocated()
        assert play.allocation.relayed == (RELAYED,)
        play.run_to(540.0)
        play.refuse(play.request(), 437)
        assert [event.code for event in play.told(AllocationLost)] == [437]
        assert not play.allocation.relayed

    def test_of_a_permission(self) -> None:
        play = allocated()
        play.permit(PEER.host)
        play.refuse(play.request(), 437)
        assert [event.code for event in play.told(AllocationLost)] == [437]

    def test_of_a_channel(self) -> None:
        play = allocated()
        play.bind(PEER)
        play.refuse(play.request(), 437)
        assert [event.code for event in play.told(AllocationLost)] == [437]

    def test_of_a_refused_channel(self) -> None:
        play = allocated()
        play.bind(PEER)
        play.refuse(play.request(), 403)
        assert play.events == [ChannelFailed(PEER, 403)]
        assert play.request().method == Method.CREATE_PERMISSION

    def test_new_credentials_are_kept_for_when_they_are_needed(self) -> None:
        play = permitted(PEER.host)
        play.allocation.set_credentials(ALICE_ANEW, now=1.0)
        assert not play.requests()
        assert not play.allocation.has_unsent_permissions

    def test_requests_leave_when_their_slots_come(self) -> None:
        play = Play(slots=[1.0, 2.0])
        play.permit(PEER.host)
        play.run_to(1.0)
        assert play.request().method == Method.ALLOCATE
        assert not play.allocation.is_permitted(PEER.host)
        play.run_to(2.0)
        assert play.request().method == Method.CREATE_PERMISSION
        assert play.allocation.is_permitted(PEER.host)

    def test_what_is_tried_again_at_once_has_left(self) -> None:
        play = Play(challenge=None)
        play.permit(PEER.host)
        play.challenge(play.request())
        assert [message.method for message in play.requests()] == [Method.ALLOCATE, Method.CREATE_PERMISSION]

    def test_a_channel_released_before_its_slot_permits_nothing(self) -> None:
        play = Play(slots=[0.0, 1.0])
        play.grant(play.request())
        play.bind(PEER)
        play.allocation.release((PEER.host,), now=0.0)
        play.run_to(1.0)
        assert not play.allocation.is_permitted(PEER.host)

    def test_silence_reaches_them_too(self) -> None:
        play = Play()
        play.run_to(39.5)
        assert [event.reason for event in play.told(AllocationFailed)] == [AllocationFailure.NO_ANSWER]

    def test_so_does_an_icmp_error(self) -> None:
        play = Play()
        play.arrive(Unreachable(LOCAL, SERVER, 3, 3))
        assert [event.reason for event in play.told(AllocationFailed)] == [AllocationFailure.UNREACHABLE]

    def test_so_do_channels(self) -> None:
        play = Play(slots=[0.0, 1.0])
        play.grant(play.request())
        play.bind(PEER)
        play.bind(PEER)
        play.run_to(1.0)
        assert play.request().method == Method.CHANNEL_BIND
        assert play.allocation.is_permitted(PEER.host)


class TestClose:
    @pytest.mark.rfc("8656", "8.1")
    def test_releases_and_ends_with_the_answer(self) -> None:
        play = bound(PEER)
        play.close()
        release = play.request()
        assert is_release(release)
        assert not play.events
        play.succeed(release, Lifetime(0))
        assert play.events == [MachineClosed()]
        assert play.allocation.next_deadline() is None

    @pytest.mark.rfc("8656", "8.3")
    @pytest.mark.parametrize("code", [437, 441, 500])
    def test_a_refusal_ends_it_too(self, code: int) -> None:
        play = allocated()
        play.close()
        play.refuse(play.request(), code)
        assert play.events == [MachineClosed()]

    def test_a_stale_nonce_is_replaced(self) -> None:
        play = allocated()
        play.close()
        play.challenge(play.request(), 438, b"second")
        release = play.request()
        assert is_release(release)
        play.succeed(release)
        assert play.events == [ChallengeRemembered(Challenge(REALM, b"second")), MachineClosed()]

    def test_is_bounded(self) -> None:
        play = allocated()
        play.run_to(10.0)
        play.close()
        play.run_to(10.99)
        assert len(play.sent) == 2
        assert not play.events
        play.run_to(11.0)
        assert play.events == [MachineClosed()]
        assert play.allocation.next_deadline() is None

    def test_may_take_no_time(self) -> None:
        play = Play(close_timeout=0.0)
        play.grant(play.request())
        play.events.clear()
        play.close()
        assert is_release(play.request())
        play.run_to(0.0)
        assert play.events == [MachineClosed()]

    def test_before_the_first_request_is_at_once(self) -> None:
        play = Play(slots=[1.0])
        play.close()
        assert play.events == [MachineClosed()]
        play.run_to(100.0)
        assert not play.requests()

    def test_an_allocate_that_succeeds_meanwhile_is_given_back(self) -> None:
        play = Play()
        play.permit(PEER.host)
        request = play.requests()[0]
        play.close()
        play.grant(request)
        release = play.request()
        assert is_release(release)
        assert not play.events
        play.succeed(release)
        assert play.events == [MachineClosed()]

    @pytest.mark.parametrize("code", [401, 438, 486, 437])
    def test_an_allocate_that_is_refused_meanwhile_is_not_repeated(self, code: int) -> None:
        play = Play()
        request = play.request()
        play.close()
        if code in (401, 438):
            play.challenge(request, code, b"second")
        else:
            play.refuse(request, code)
        assert play.events == [MachineClosed()]
        assert not play.requests()

    def test_an_allocate_that_is_never_answered(self) -> None:
        play = Play()
        play.close()
        play.run_to(1.0)
        assert play.events == [MachineClosed()]

    def test_an_eviction_is_not_waited_for(self) -> None:
        play = Play()
        play.refuse(play.request(), 437)
        play.close()
        assert play.events == [MachineClosed()]

    def test_after_a_failure_is_at_once(self) -> None:
        play = Play()
        play.refuse(play.request(), 486)
        play.events.clear()
        play.close()
        assert play.events == [MachineClosed()]

    def test_data_while_closing_is_dropped(self) -> None:
        play = bound(PEER)
        play.close()
        play.send_on_channel(0x4000, b"late")
        play.send_payload(PEER, b"late")
        assert not play.told(PeerDataReceived)
        assert reasons(play) == [DropReason.UNKNOWN_CHANNEL, DropReason.UNEXPECTED_MESSAGE]

    def test_nothing_after_the_end(self) -> None:
        play = allocated()
        play.close()
        release = play.request()
        play.close()
        assert not play.requests()
        play.succeed(release)
        play.events.clear()
        play.close()
        play.send_payload(PEER, b"late")
        play.succeed(release)
        play.permit(PEER.host)
        play.run_to(1000.0)
        assert not play.events
        assert not play.requests()


class TestByteStream:
    """The routing; test_ways.py has what becomes of connections."""

    def test_comes_up_carries_and_ends(self) -> None:
        play = Play(routes=(TCP,))
        play.open(1)
        play.grant(play.request())
        play.bind(PEER)
        play.succeed(play.request())
        play.receive_on(1, b"\x40\x00\x00\x01x\0\0\0\x40\x01\x00\x00")
        assert play.told(PeerDataReceived) == [PeerDataReceived(RELAYED, PEER, b"x")]
        assert reasons(play) == [DropReason.UNKNOWN_CHANNEL]
        play.lose(1)
        assert play.told(AllocationLost)
        assert play.allocation.route == TCP

    def test_that_fails(self) -> None:
        play = Play(routes=(TCP,))
        play.fail(1)
        assert play.told(AllocationFailed)

    def test_of_others_is_for_nobody(self) -> None:
        play = Play(routes=(TCP,))
        play.lose(2)
        assert not play.events

    def test_with_junk(self) -> None:
        play = Play(routes=(TCP,))
        play.open(1)
        play.receive_on(1, b"junk")
        assert reasons(play) == [DropReason.NOT_STUN]
        assert play.told(AllocationFailed)

    def test_with_junk_behind_a_message(self) -> None:
        play = Play(routes=(TCP,))
        play.open(1)
        play.receive_on(1, encode_message(3, MessageClass.SUCCESS, TransactionId(bytes(12))) + b"junk")
        assert reasons(play) == [DropReason.UNKNOWN_TRANSACTION, DropReason.NOT_STUN]
        assert play.told(AllocationFailed)

    def test_is_not_read_behind_the_end(self) -> None:
        play = Play(routes=(TCP,))
        play.open(1)
        request = play.request()
        refusal = encode_message(
            request.method, MessageClass.ERROR, request.transaction_id, (ErrorCode(486, "full"),), key=play.key
        )
        play.close()
        play.receive_on(1, refusal + refusal)
        assert play.events[-1] == MachineClosed()
        assert not reasons(play)

    def test_that_ends_while_closing(self) -> None:
        play = Play(routes=(TCP,))
        play.open(1)
        play.grant(play.request())
        play.close()
        play.lose(1)
        assert play.events[-1] == MachineClosed()


class TestMobility:
    """The routing; test_mobility.py has the rest."""

    def test_moves_and_does_not(self) -> None:
        play = Play(routes=(TCP,), mobility=True)
        play.open(1)
        ticket = MobilityTicket(b"ticket")
        play.succeed(play.request(), XorRelayedAddress(RELAYED), Lifetime(600), ticket)
        moved = Address("192.168.9.9", 0)
        play.allocation.migrate(moved, now=0.0)
        play.open(2)
        play.receive_on(2, b"junk")
        assert play.told(MigrationFailed)
        play.allocation.migrate(moved, now=0.0)
        play.open(3, moved)
        play.succeed(play.requests()[-1], Lifetime(600), ticket)
        assert play.told(Migrated) == [Migrated(moved)]
        assert play.allocation.is_mobile


class TestPeerConnections:
    """The routing; test_connections.py has the rest."""

    def ready(self) -> Play:
        play = Play(routes=(TCP,), relay_transport=Transport.TCP)
        play.open(1)
        play.grant(play.request())
        return play

    def test_come_and_go(self) -> None:
        play = self.ready()
        play.allocation.connect_peer(PEER, now=0.0)
        play.succeed(play.request(), ConnectionId(1))
        play.open(2)
        play.succeed(play.request())
        assert play.told(PeerConnected) == [PeerConnected(Handle(2), PEER, is_incoming=False)]
        play.allocation.send_to_peer(Handle(2), b"x", now=0.0)
        play.allocation.disconnect_peer(Handle(2), now=0.0)
        assert play.closed() == [2]

    def test_bring_what_is_dropped(self) -> None:
        play = self.ready()
        play.allocation.connect_peer(PEER, now=0.0)
        play.succeed(play.request(), ConnectionId(1))
        play.open(2)
        play.receive_on(2, b"junk")
        assert reasons(play) == [DropReason.NOT_STUN]

    @pytest.mark.rfc("6062", "4.4")
    def test_are_offered(self) -> None:
        attributes = (ConnectionId(1), XorPeerAddress(PEER))
        offer = encode_message(Method.CONNECTION_ATTEMPT, MessageClass.INDICATION, TransactionId(bytes(12)), attributes)
        play = self.ready()
        play.receive_on(1, offer)
        assert reasons(play) == [DropReason.NO_PERMISSION]
        play = bound(PEER)
        play.receive(offer)
        assert reasons(play) == [DropReason.UNEXPECTED_MESSAGE]

    def test_end_with_a_lost_allocation(self) -> None:
        play = self.ready()
        play.allocation.connect_peer(PEER, now=0.0)
        play.refuse(play.request(), 437)
        assert play.told(AllocationLost)

    def test_there_are_none_elsewhere(self) -> None:
        with pytest.raises(InvalidState):
            bound(PEER).allocation.connect_peer(PEER, now=0.0)
        with pytest.raises(InvalidArgument):
            self.ready().allocation.connect_peer(PEER6, now=0.0)


class TestTime:
    def test_backwards_is_no_time(self) -> None:
        play = Play(now=100.0)
        play.allocation.handle_timeout(now=100.5)
        play.drain()
        assert len(play.sent) == 2
        play.allocation.handle_timeout(now=50.0)
        assert play.allocation.next_deadline() == 101.5

    @pytest.mark.parametrize("now", [math.inf, math.nan, -math.inf, 1e300])
    def test_what_is_no_time_is_none(self, now: float) -> None:
        play = Play()
        play.allocation.handle_timeout(now=now)
        play.allocation.receive(Closed(Handle(1), CloseReason.EOF), now=now)
        assert play.allocation.next_deadline() == 0.5

    def test_a_late_call_does_everything(self) -> None:
        play = permitted(PEER.host)
        play.allocation.handle_timeout(now=550.0)
        play.drain()
        assert sorted(message.method for message in play.requests()) == [Method.REFRESH, Method.CREATE_PERMISSION]
        deadline = play.allocation.next_deadline()
        assert deadline is not None
        assert deadline > 550.0


def test_config_is_found_beside_the_machine() -> None:
    assert AllocationConfig(SERVER, LOCAL).server == SERVER


def test_failures_carry_the_servers_words() -> None:
    play = Play()
    play.refuse(play.request(), 508)
    assert play.events == [AllocationFailed(AllocationFailure.CAPACITY, 508, "code 508")]
