"""What goes to which part; what each does with it is in the tests of that part."""

from __future__ import annotations

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
from icepath.turn.client.events import (
    Allocated,
    AllocationFailed,
    AllocationFailure,
    AllocationLost,
    ChannelFailed,
    Migrated,
    MigrationFailed,
    PeerConnected,
    PeerDataReceived,
)
from icepath.turn.client.routes import Route
from icepath.wire.attributes import (
    ConnectionId,
    Data,
    ErrorCode,
    Lifetime,
    MobilityTicket,
    XorPeerAddress,
    XorRelayedAddress,
)
from icepath.wire.message import Message, MessageClass, Method, TransactionId, encode_message
from unit.turn.scripted import (
    ALICE_ANEW,
    LOCAL,
    PEER,
    PEER6,
    RELAYED,
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


class TestReceive:
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


class TestEnd:
    """test_allocation.py has the whole of it."""

    def test_of_an_allocate_in_flight(self) -> None:
        play = Play()
        request = play.request()
        play.close()
        play.grant(request)
        deletion = play.request()
        play.challenge(deletion, 438, b"second")
        play.succeed(play.request(), Lifetime(0))
        assert play.events[-1] == MachineClosed()

    def test_of_nothing(self) -> None:
        play = Play(slots=[1.0])
        play.close()
        assert play.events == [MachineClosed()]


class TestRouting:
    def test_of_a_data_indication(self) -> None:
        play = bound(PEER)
        attributes = (XorPeerAddress(PEER), Data(b"data"))
        play.receive(encode_message(Method.DATA, MessageClass.INDICATION, TransactionId(bytes(12)), attributes))
        assert play.told(PeerDataReceived) == [PeerDataReceived(RELAYED, PEER, b"data")]

    def test_of_what_waits_for_its_slot_again(self) -> None:
        play = Play(slots=[0.0, 0.0, 1.0])
        play.grant(play.request())
        play.permit(PEER.host)
        play.challenge(play.request(), 438, b"second")
        assert not play.requests()
        play.run_to(1.0)
        assert play.request().method == Method.CREATE_PERMISSION

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
        play.lose(1)
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
