from __future__ import annotations

import pytest

from icepath.errors import InvalidArgument, InvalidState
from icepath.machine import (
    Bytes,
    Close,
    CloseReason,
    Connect,
    DatagramDropped,
    DropReason,
    FailReason,
    Handle,
    MachineClosed,
    Transport,
)
from icepath.net import Address
from icepath.turn.client.connections import BIND_TIMEOUT, RETRY_DELAY
from icepath.turn.client.events import (
    AllocationFailure,
    AllocationLost,
    PeerBytesReceived,
    PeerConnected,
    PeerConnectFailed,
    PeerDisconnected,
)
from icepath.turn.client.routes import Route
from icepath.wire.attributes import Attribute, ConnectionId, RequestedTransport, UnknownAttribute, XorPeerAddress
from icepath.wire.message import Message, MessageClass, Method, TransactionId, encode_message
from unit.turn.scripted import LOCAL, PEER, PEER6, SERVER, Play

OTHER = Address("203.0.113.51", 7001)
TCP = Route(SERVER, Transport.TCP)
NAME = ConnectionId(0xCAFE)
LOCAL_DATA = Address("192.168.1.2", 40001)


def ready(*permitted: str, limit: int = 16) -> Play:
    """Returns a play with a TCP allocation, with nothing left to look at."""
    play = Play(routes=(TCP,), relay_transport=Transport.TCP, max_peer_connections=limit)
    play.open(1)
    play.grant(play.request())
    if permitted:
        play.permit(*permitted)
        play.succeed(play.request())
    play.connects()
    play.events.clear()
    return play


def ask(play: Play, peer: Address = PEER) -> Message:
    play.allocation.connect_peer(peer, now=play.now)
    request = play.request()
    assert (request.method, play.way_of(request)) == (Method.CONNECT, 1)
    return request


def opening(peer: Address = PEER) -> Play:
    """Returns a play whose server has named a connection, asked for on handle 2."""
    play = ready()
    play.succeed(ask(play, peer), NAME)
    return play


def binding() -> tuple[Play, Message]:
    """Returns a play whose connection is open, and the ConnectionBind on it."""
    play = opening()
    play.connects()
    play.open(2, LOCAL_DATA)
    request = play.request()
    assert (request.method, play.way_of(request)) == (Method.CONNECTION_BIND, 2)
    return play, request


def connected() -> Play:
    """Returns a play with a connection to a peer on handle 2, with nothing left to look at."""
    play, request = binding()
    play.succeed(request)
    assert play.told(PeerConnected) == [PeerConnected(Handle(2), PEER, is_incoming=False)]
    return play


def success(play: Play, request: Message) -> bytes:
    return encode_message(request.method, MessageClass.SUCCESS, request.transaction_id, (), key=play.key)


def attempt(play: Play, *attributes: Attribute) -> None:
    indication = encode_message(
        Method.CONNECTION_ATTEMPT, MessageClass.INDICATION, TransactionId(bytes(12)), attributes
    )
    play.receive_on(1, indication)


def reasons(play: Play) -> list[DropReason]:
    return [event.reason for event in play.told(DatagramDropped)]


def failures(play: Play) -> list[tuple[AllocationFailure, int | None]]:
    return [(event.reason, event.code) for event in play.told(PeerConnectFailed)]


class TestConnect:
    @pytest.mark.rfc("6062", "4.1")
    def test_the_allocation_is_for_tcp(self) -> None:
        play = Play(routes=(TCP,), relay_transport=Transport.TCP)
        play.open(1)
        assert play.request().get(RequestedTransport) == RequestedTransport(6)

    @pytest.mark.rfc("6062", "4.3")
    def test_asks_opens_binds_and_is_there(self) -> None:
        play = ready()
        request = ask(play)
        assert request.get(XorPeerAddress) == XorPeerAddress(PEER)
        play.succeed(request, NAME)
        (connect,) = play.connects()
        assert connect == Connect(Handle(2), Address(LOCAL.host, 0), SERVER, paused=True)
        play.open(2, LOCAL_DATA)
        bind = play.request()
        assert bind.get(ConnectionId) == NAME
        assert bind.has_integrity
        play.succeed(bind)
        assert play.events == [PeerConnected(Handle(2), PEER, is_incoming=False)]

    def test_takes_a_slot(self) -> None:
        play = ready()
        taken = len(play.slots_taken)
        ask(play)
        assert len(play.slots_taken) == taken + 1

    @pytest.mark.rfc("6062", "4.3")
    def test_a_stale_nonce_is_repaired_along_the_same_connection(self) -> None:
        play, request = binding()
        play.challenge(request, 438, b"second")
        again = play.request()
        assert (again.method, play.way_of(again), again.get(ConnectionId)) == (Method.CONNECTION_BIND, 2, NAME)
        play.succeed(again)
        assert play.told(PeerConnected)

    @pytest.mark.parametrize("code", [403, 446, 500])
    def test_a_refusal(self, code: int) -> None:
        play = ready()
        play.refuse(ask(play), code)
        ((_, told),) = failures(play)
        assert told == code
        # Nothing keeps us from asking again.
        ask(play)

    @pytest.mark.rfc("6062", "4.3")
    def test_a_peer_that_cannot_be_reached_is_left_in_peace_for_a_while(self) -> None:
        play = ready()
        play.refuse(ask(play), 447)
        assert failures(play) == [(AllocationFailure.PEER_UNREACHABLE, 447)]
        play.run_to(RETRY_DELAY - 0.1)
        with pytest.raises(InvalidState, match="less than 10 s ago"):
            play.allocation.connect_peer(PEER, now=play.now)
        ask(play, OTHER)
        play.run_to(RETRY_DELAY)
        ask(play)

    @pytest.mark.rfc("6062", "4.3")
    @pytest.mark.parametrize("is_named", [False, True])
    def test_never_two_at_once_to_one_peer(self, is_named: bool) -> None:
        play = ready()
        request = ask(play)
        if is_named:
            play.succeed(request, NAME)
        with pytest.raises(InvalidState, match="already"):
            play.allocation.connect_peer(PEER, now=0.0)
        ask(play, OTHER)

    def test_silence(self) -> None:
        play = ready()
        ask(play)
        play.run_to(39.5)
        assert failures(play) == [(AllocationFailure.NO_ANSWER, None)]

    def test_an_answer_without_a_name(self) -> None:
        play = ready()
        play.succeed(ask(play))
        assert failures(play) == [(AllocationFailure.BAD_ANSWER, None)]
        assert not play.connects()

    def test_437_is_the_end_of_the_allocation(self) -> None:
        play = ready()
        play.refuse(ask(play), 437)
        assert play.told(AllocationLost)
        assert play.closed() == [1]

    def test_not_before_there_is_an_allocation_nor_with_one_for_udp(self) -> None:
        play = Play(routes=(TCP,), relay_transport=Transport.TCP)
        with pytest.raises(InvalidState):
            play.allocation.connect_peer(PEER, now=0.0)
        play = Play(routes=(TCP,))
        play.open(1)
        play.grant(play.request())
        with pytest.raises(InvalidState):
            play.allocation.connect_peer(PEER, now=0.0)

    @pytest.mark.parametrize("peer", [PEER6, Address("203.0.113.50", 0), Address("224.0.0.1", 80)])
    def test_not_to_where_nothing_can_be(self, peer: Address) -> None:
        with pytest.raises(InvalidArgument):
            ready().allocation.connect_peer(peer, now=0.0)

    def test_not_without_bound(self) -> None:
        play = ready(limit=1)
        ask(play)
        with pytest.raises(InvalidState, match="allowed are 1"):
            play.allocation.connect_peer(OTHER, now=0.0)

    def test_datagrams_are_for_other_allocations(self) -> None:
        play = ready(PEER.host)
        with pytest.raises(InvalidState):
            play.send(PEER, b"data")
        with pytest.raises(InvalidState):
            play.bind(PEER)


class TestOpening:
    @pytest.mark.rfc("6062", "5.2")
    def test_has_its_time(self) -> None:
        play = opening()
        play.run_to(BIND_TIMEOUT)
        assert failures(play) == [(AllocationFailure.NO_ANSWER, None)]
        assert play.commands[-1] == Close(Handle(2), abort=True)

    def test_may_fail(self) -> None:
        play = opening()
        play.fail(2, FailReason.UNREACHABLE)
        assert play.told(PeerConnectFailed) == [
            PeerConnectFailed(PEER, AllocationFailure.NOT_CONNECTED, None, "unreachable")
        ]
        assert not play.closed()
        play.run_to(60.0)
        assert not play.events

    def test_ends_with_us_unheard(self) -> None:
        play = opening()
        play.close()
        assert play.closed() == [2]
        assert not play.told(PeerDisconnected)

    def test_one_that_is_silent_leaves_the_others(self) -> None:
        play = Play(routes=(TCP,), relay_transport=Transport.TCP, reliable_timeout=5.0)
        play.open(1)
        play.grant(play.request())
        for handle, peer in ((2, PEER), (3, OTHER)):
            play.succeed(ask(play, peer), NAME)
            play.open(handle, LOCAL_DATA)
            if handle == 2:
                play.succeed(play.request())
        play.run_to(5.0)
        assert play.told(PeerConnectFailed) == [PeerConnectFailed(OTHER, AllocationFailure.NO_ANSWER, None, "")]
        assert play.closed() == [3]

    def test_may_be_given_up(self) -> None:
        play = opening()
        play.allocation.disconnect_peer(Handle(2), now=0.0)
        assert play.closed() == [2]
        ask(play)

    def test_says_nothing_before_it_is_asked(self) -> None:
        play = opening()
        play.receive_on(2, b"\0early")
        assert not play.events


class TestBinding:
    def test_has_its_time(self) -> None:
        play, _ = binding()
        play.run_to(BIND_TIMEOUT)
        assert failures(play) == [(AllocationFailure.NO_ANSWER, None)]

    def test_may_be_answered_too_late_for_its_own_patience(self) -> None:
        play = Play(routes=(TCP,), relay_transport=Transport.TCP, reliable_timeout=5.0)
        play.open(1)
        play.grant(play.request())
        play.succeed(ask(play), NAME)
        play.open(2, LOCAL_DATA)
        play.run_to(5.0)
        assert failures(play) == [(AllocationFailure.NO_ANSWER, None)]

    @pytest.mark.parametrize("code", [400, 401])
    def test_may_be_refused(self, code: int) -> None:
        play, request = binding()
        play.refuse(request, code)
        ((_, told),) = failures(play)
        assert told == code
        assert play.closed() == [2]

    def test_may_be_lost(self) -> None:
        play, _ = binding()
        play.lose(2)
        assert failures(play) == [(AllocationFailure.NOT_CONNECTED, None)]

    @pytest.mark.parametrize("junk", [b"HTTP/1.1 400", b"\1\1\x7f\xfc" + bytes(16)])
    def test_junk_ends_it(self, junk: bytes) -> None:
        play, _ = binding()
        play.receive_on(2, junk)
        assert failures(play) == [(AllocationFailure.NOT_TURN, None)]
        assert reasons(play) == [DropReason.NOT_STUN]
        assert play.commands[-1] == Close(Handle(2), abort=True)

    def test_answers_to_others_are_passed_over(self) -> None:
        play, request = binding()
        other = encode_message(Method.CONNECT, MessageClass.SUCCESS, TransactionId(bytes(12)))
        malformed = b"\1\1\0\4" + other[4:] + b"\0\1\0\x20"
        play.receive_on(2, malformed + other + success(play, request))
        assert play.told(PeerConnected)
        assert reasons(play) == [DropReason.UNKNOWN_TRANSACTION, DropReason.MALFORMED]

    @pytest.mark.rfc("6062", "4.5")
    def test_what_follows_the_answer_is_the_peers(self) -> None:
        play, request = binding()
        play.receive_on(2, success(play, request) + b"\0hello")
        assert play.events == [
            PeerConnected(Handle(2), PEER, is_incoming=False),
            PeerBytesReceived(Handle(2), PEER, b"\0hello"),
        ]

    @pytest.mark.parametrize("size", [1, 7])
    def test_the_answer_may_dribble(self, size: int) -> None:
        play, request = binding()
        stream = success(play, request) + b"\0hello"
        for start in range(0, len(stream), size):
            play.receive_on(2, stream[start : start + size])
        assert play.told(PeerConnected)
        assert b"".join(event.payload for event in play.told(PeerBytesReceived)) == b"\0hello"

    def test_a_refusal_ends_what_follows(self) -> None:
        play, request = binding()
        payload = encode_message(request.method, MessageClass.ERROR, request.transaction_id, (), key=play.key)
        play.receive_on(2, payload + b"\0more")
        assert failures(play) == [(AllocationFailure.BAD_ANSWER, None)]
        assert not play.told(PeerBytesReceived)


class TestConnected:
    @pytest.mark.rfc("6062", "4.5")
    def test_bytes_go_as_they_are(self) -> None:
        play = connected()
        play.allocation.send_to_peer(Handle(2), b"GET / HTTP/1.1", now=0.0)
        play.drain()
        assert play.sent_on == [Bytes(Handle(2), b"GET / HTTP/1.1")]
        play.receive_on(2, b"\x40\0\0\0HTTP")
        assert play.events == [PeerBytesReceived(Handle(2), PEER, b"\x40\0\0\0HTTP")]

    def test_lasts(self) -> None:
        play = connected()
        play.run_to(100.0)
        assert not play.events

    @pytest.mark.rfc("6062", "4.6")
    def test_is_closed_by_us(self) -> None:
        play = connected()
        play.allocation.disconnect_peer(Handle(2), now=0.0)
        play.drain()
        assert play.commands == [Close(Handle(2))]
        with pytest.raises(InvalidState):
            play.allocation.send_to_peer(Handle(2), b"late", now=0.0)
        play.allocation.disconnect_peer(Handle(2), now=0.0)
        assert len(play.closed()) == 1
        ask(play)

    def test_is_closed_by_the_peer(self) -> None:
        play = connected()
        play.lose(2, CloseReason.EOF)
        assert play.told(PeerDisconnected) == [PeerDisconnected(Handle(2), PEER, "eof")]
        ask(play)

    def test_ends_with_the_allocation(self) -> None:
        play = connected()
        play.lose(1)
        assert play.told(PeerDisconnected) == [PeerDisconnected(Handle(2), PEER, "the allocation has ended")]
        assert play.closed() == [2]

    def test_ends_with_us(self) -> None:
        play = connected()
        play.close()
        assert play.closed() == [2]
        play.run_to(1.0)
        assert play.closed() == [1]
        assert play.events[-1] == MachineClosed()

    def test_only_what_is_bound_is_sent_on(self) -> None:
        play, _ = binding()
        for handle in (1, 2, 3):
            with pytest.raises(InvalidState):
                play.allocation.send_to_peer(Handle(handle), b"x", now=0.0)


@pytest.mark.rfc("6062", "4.4")
class TestAccept:
    def test_opens_binds_and_is_there(self) -> None:
        play = ready(PEER.host)
        attempt(play, NAME, XorPeerAddress(PEER))
        (connect,) = play.connects()
        assert (connect.handle, connect.local, connect.paused) == (2, Address(LOCAL.host, 0), True)
        play.open(2, LOCAL_DATA)
        bind = play.request()
        assert bind.get(ConnectionId) == NAME
        play.succeed(bind)
        assert play.events == [PeerConnected(Handle(2), PEER, is_incoming=True)]

    def test_beside_one_of_ours_to_the_same_peer(self) -> None:
        play = ready(PEER.host)
        attempt(play, NAME, XorPeerAddress(PEER))
        play.succeed(ask(play), ConnectionId(2))
        play.fail(2)
        with pytest.raises(InvalidState):
            play.allocation.connect_peer(PEER, now=0.0)

    def test_only_from_hosts_with_a_permission(self) -> None:
        play = ready(PEER.host)
        attempt(play, NAME, XorPeerAddress(OTHER))
        assert reasons(play) == [DropReason.NO_PERMISSION]
        assert not play.connects()

    def test_not_without_bound(self) -> None:
        play = ready(PEER.host, limit=1)
        attempt(play, NAME, XorPeerAddress(PEER))
        attempt(play, ConnectionId(2), XorPeerAddress(PEER))
        assert len(play.connects()) == 1
        assert reasons(play) == [DropReason.LIMIT]

    @pytest.mark.parametrize(
        "attributes",
        [
            (NAME,),
            (XorPeerAddress(PEER),),
            (NAME, XorPeerAddress(PEER), UnknownAttribute(0x7FFF, b"")),
        ],
    )
    def test_not_without_all_that_is_needed(self, attributes: tuple[Attribute, ...]) -> None:
        play = ready(PEER.host)
        attempt(play, *attributes)
        assert reasons(play) == [DropReason.MALFORMED]

    def test_not_with_an_allocation_for_udp(self) -> None:
        play = Play(routes=(TCP,))
        play.open(1)
        play.grant(play.request())
        attempt(play, NAME, XorPeerAddress(PEER))
        assert reasons(play) == [DropReason.UNEXPECTED_MESSAGE]


def test_an_answer_that_comes_when_the_peer_is_not_wanted_any_more_opens_nothing() -> None:
    play = ready()
    request = ask(play)
    play.close()
    play.succeed(request, NAME)
    assert not play.connects()
