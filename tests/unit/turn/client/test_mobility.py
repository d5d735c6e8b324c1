from __future__ import annotations

import pytest

from icepath.errors import InvalidState
from icepath.machine import Bytes, Close, DatagramDropped, FailReason, Handle, MachineClosed, Transport
from icepath.net import Address
from icepath.stun.transaction import DEFAULT_TI
from icepath.turn.client.events import (
    Allocated,
    AllocationFailed,
    AllocationFailure,
    AllocationLost,
    Migrated,
    MigrationFailed,
    MobilityRefused,
    PeerDataReceived,
)
from icepath.turn.client.routes import Route
from icepath.wire.attributes import Attribute, Lifetime, MobilityTicket, XorMappedAddress, XorRelayedAddress
from icepath.wire.channel_data import encode_channel_data
from icepath.wire.message import Message, Method
from unit.turn.scripted import LOCAL, MAPPED, PEER, RELAYED, SERVER, Play

WIFI = Address("192.168.7.7", 51000)
MOBILE = Address("10.20.30.40", 52000)
TCP = Route(SERVER, Transport.TCP)
UDP = Route(SERVER)
FIRST, SECOND = MobilityTicket(b"first ticket"), MobilityTicket(b"second ticket")


def mobile(route: Route = UDP, *, ticket: MobilityTicket | None = FIRST) -> Play:
    """Returns a play whose allocation has a channel and, unless the server gave none, a ticket."""
    play = Play(routes=(route,), mobility=True)
    if route is TCP:
        play.open(1)
    given: tuple[Attribute, ...] = () if ticket is None else (ticket,)
    play.succeed(play.request(), XorRelayedAddress(RELAYED), XorMappedAddress(MAPPED), Lifetime(600), *given)
    play.bind(PEER)
    play.succeed(play.request())
    play.events.clear()
    return play


def migrate(play: Play, local: Address) -> Message:
    """Begins a move by UDP and returns what is asked."""
    play.allocation.migrate(local, now=play.now)
    (datagram,) = play.take_sent()
    assert (datagram.local, datagram.remote) == (local, SERVER)
    return play.message(datagram)


def senders(play: Play) -> list[Address]:
    """Sends data and returns where it left from."""
    play.send(PEER, b"data")
    return [datagram.local for datagram in play.take_sent()]


@pytest.mark.rfc("8016", "3.1.1")
class TestTicket:
    def test_is_asked_for_with_nothing_in_it(self) -> None:
        assert Play(mobility=True).request().get(MobilityTicket) == MobilityTicket(b"")
        assert Play().request().get(MobilityTicket) is None

    @pytest.mark.rfc("8016", "3.1.3")
    def test_is_kept(self) -> None:
        play = mobile()
        assert play.allocation.is_mobile

    @pytest.mark.parametrize("ticket", [None, MobilityTicket(b"")])
    def test_may_not_come(self, ticket: MobilityTicket | None) -> None:
        play = mobile(ticket=ticket)
        assert not play.allocation.is_mobile
        with pytest.raises(InvalidState, match="no ticket"):
            play.allocation.migrate(WIFI, now=0.0)

    def test_that_nobody_asked_for_is_not_kept(self) -> None:
        play = Play()
        play.succeed(play.request(), XorRelayedAddress(RELAYED), Lifetime(600), FIRST)
        assert not play.allocation.is_mobile

    @pytest.mark.rfc("8016", "3.1.4")
    def test_is_not_asked_for_again_where_it_is_forbidden(self) -> None:
        play = Play(mobility=True)
        play.refuse(play.request(), 405)
        assert play.told(MobilityRefused) == [MobilityRefused(405, "code 405")]
        request = play.request()
        assert (request.method, request.get(MobilityTicket)) == (Method.ALLOCATE, None)
        play.refuse(request, 405)
        (failed,) = play.told(AllocationFailed)
        assert (failed.reason, failed.code) == (AllocationFailure.FORBIDDEN, 405)

    @pytest.mark.rfc("8016", "3.2.1")
    def test_does_not_go_with_refreshes_in_place(self) -> None:
        play = mobile()
        play.run_to(540.0)
        refresh = next(message for message in play.requests() if message.method == Method.REFRESH)
        assert refresh.get(MobilityTicket) is None
        play.succeed(refresh, Lifetime(600), SECOND)
        request = migrate(play, WIFI)
        assert request.get(MobilityTicket) == SECOND


class TestOverUdp:
    @pytest.mark.rfc("8016", "3.2.2")
    def test_make_before_break(self) -> None:
        play = mobile()
        request = migrate(play, WIFI)
        assert (request.method, request.get(MobilityTicket), request.get(Lifetime)) == (
            Method.REFRESH,
            FIRST,
            Lifetime(600),
        )
        assert senders(play) == [LOCAL]
        play.receive(encode_channel_data(0x4000, b"old way"))
        play.succeed(request, Lifetime(600), SECOND)
        assert play.told(Migrated) == [Migrated(WIFI)]
        assert senders(play) == [WIFI]
        play.receive(encode_channel_data(0x4000, b"still the old way"))
        play.receive(encode_channel_data(0x4000, b"new way"), local=WIFI)
        assert [event.payload for event in play.told(PeerDataReceived)] == [
            b"old way",
            b"still the old way",
            b"new way",
        ]

    def test_all_requests_follow(self) -> None:
        play = mobile()
        play.succeed(migrate(play, WIFI), Lifetime(600), SECOND)
        play.run_to(540.0)
        assert {datagram.local for datagram in play.take_sent()} == {WIFI}

    @pytest.mark.rfc("8016", "3.2.2")
    def test_the_new_ticket_is_used_next(self) -> None:
        play = mobile()
        play.succeed(migrate(play, WIFI), Lifetime(600), SECOND)
        assert migrate(play, MOBILE).get(MobilityTicket) == SECOND

    @pytest.mark.rfc("8016", "3.2.2")
    def test_without_a_new_one_it_moves_no_more(self) -> None:
        play = mobile()
        play.succeed(migrate(play, WIFI), Lifetime(600))
        assert not play.allocation.is_mobile

    def test_back_again(self) -> None:
        play = mobile()
        play.succeed(migrate(play, WIFI), Lifetime(600), SECOND)
        play.succeed(migrate(play, LOCAL), Lifetime(600), FIRST)
        assert play.told(Migrated) == [Migrated(WIFI), Migrated(LOCAL)]
        assert senders(play) == [LOCAL]

    def test_a_stale_nonce_costs_a_round_trip(self) -> None:
        play = mobile()
        play.challenge(migrate(play, WIFI), 438, b"second")
        (datagram,) = play.take_sent()
        assert datagram.local == WIFI
        request = play.message(datagram)
        assert request.get(MobilityTicket) == FIRST
        play.succeed(request, Lifetime(600), SECOND)
        assert play.told(Migrated)

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            (400, AllocationFailure.BAD_REQUEST),
            (405, AllocationFailure.FORBIDDEN),
            (437, AllocationFailure.MISMATCH),
            (441, AllocationFailure.WRONG_CREDENTIALS),
        ],
    )
    @pytest.mark.rfc("8016", "3.2.2")
    def test_a_refusal_leaves_it_where_it_is(self, code: int, reason: AllocationFailure) -> None:
        play = mobile()
        play.refuse(migrate(play, WIFI), code)
        assert play.events == [MigrationFailed(WIFI, reason, code, f"code {code}")]
        assert play.allocation.relayed == (RELAYED,)
        assert senders(play) == [LOCAL]
        play.receive(b"\x40\x00\x00\x00", local=WIFI)
        assert play.told(DatagramDropped)

    def test_so_does_silence(self) -> None:
        play = mobile()
        play.allocation.migrate(WIFI, now=0.0)
        play.run_to(DEFAULT_TI)
        assert play.told(MigrationFailed) == [MigrationFailed(WIFI, AllocationFailure.NO_ANSWER, None, "")]
        assert senders(play)[-1] == LOCAL

    def test_the_latest_wish_counts(self) -> None:
        play = mobile()
        first = migrate(play, WIFI)
        second = migrate(play, MOBILE)
        play.succeed(first, Lifetime(600), SECOND)
        assert not play.told(Migrated)
        play.succeed(second, Lifetime(600), SECOND)
        assert play.told(Migrated) == [Migrated(MOBILE)]

    @pytest.mark.parametrize("local", [LOCAL, Address("2001:db8::77", 5000)])
    def test_not_to_where_it_is_nor_to_another_family(self, local: Address) -> None:
        play = mobile()
        with pytest.raises(InvalidState, match="cannot be moved"):
            play.allocation.migrate(local, now=9.0)
        assert not play.requests()

    def test_an_end_ends_the_move(self) -> None:
        play = mobile()
        request = migrate(play, WIFI)
        play.permit("203.0.113.99")
        play.refuse(play.request(), 437)
        assert play.told(AllocationLost)
        play.succeed(request, Lifetime(600), SECOND)
        assert not play.told(Migrated)
        assert play.allocation.next_deadline() is None

    def test_so_does_closing(self) -> None:
        play = mobile()
        migrate(play, WIFI)
        play.close()
        (datagram,) = play.take_sent()
        assert datagram.local == LOCAL
        play.succeed(play.message(datagram), Lifetime(0))
        assert play.events[-1] == MachineClosed()


class TestOverTcp:
    def test_make_before_break(self) -> None:
        play = mobile(TCP)
        play.connects()
        play.allocation.migrate(WIFI, now=0.0)
        (connect,) = play.connects()
        assert (connect.local, connect.remote) == (Address(WIFI.host, 0), SERVER)
        play.send(PEER, b"old")
        assert [sent.handle for sent in play.sent_on] == [1]
        play.sent_on.clear()
        play.open(2, Address(WIFI.host, 40001))
        request = play.request()
        assert play.way_of(request) == 2
        play.succeed(request, Lifetime(600), SECOND)
        assert play.told(Migrated) == [Migrated(Address(WIFI.host, 40001))]
        assert play.commands == [Close(Handle(1))]
        play.send(PEER, b"new")
        assert play.sent_on == [Bytes(Handle(2), b"\x40\x00\x00\x03new\0", droppable=True)]
        play.receive_on(2, b"\x40\x00\x00\x00")
        assert play.told(PeerDataReceived)

    def test_to_another_connection_from_the_same_host(self) -> None:
        play = mobile(TCP)
        play.connects()
        play.allocation.migrate(LOCAL, now=0.0)
        assert play.connects()[0].local == Address(LOCAL.host, 0)

    @pytest.mark.parametrize("is_open", [False, True])
    def test_a_connection_that_fails_leaves_it_where_it_is(self, is_open: bool) -> None:
        play = mobile(TCP)
        play.allocation.migrate(WIFI, now=0.0)
        if is_open:
            play.open(2, Address(WIFI.host, 40001))
            play.lose(2)
        else:
            play.fail(2, FailReason.REFUSED)
        (failed,) = play.told(MigrationFailed)
        assert (failed.reason, failed.text) == (
            AllocationFailure.NOT_CONNECTED,
            "reset" if is_open else "refused",
        )
        assert not play.closed()
        assert play.allocation.relayed == (RELAYED,)
        assert play.allocation.is_mobile

    def test_one_that_does_not_open_in_time(self) -> None:
        play = mobile(TCP)
        play.allocation.migrate(WIFI, now=0.0)
        play.run_to(DEFAULT_TI)
        (failed,) = play.told(MigrationFailed)
        assert failed.text == "no connection within 39.5 s"
        assert play.closed() == [2]

    def test_one_with_junk(self) -> None:
        play = mobile(TCP)
        play.allocation.migrate(WIFI, now=0.0)
        play.open(2)
        play.receive_on(2, b"HTTP/1.1")
        (failed,) = play.told(MigrationFailed)
        assert failed.reason is AllocationFailure.NOT_TURN
        assert play.commands[-1] == Close(Handle(2), abort=True)
        assert play.allocation.relayed == (RELAYED,)

    def test_the_old_one_may_end_meanwhile(self) -> None:
        """coturn resets it before we have the answer along the new one."""
        play = mobile(TCP)
        play.allocation.migrate(WIFI, now=0.0)
        play.open(2)
        request = play.request()
        play.lose(1)
        play.send(PEER, b"lost")
        play.permit("203.0.113.99")
        assert not play.sent_on
        play.succeed(request, Lifetime(600), SECOND)
        assert play.told(Migrated)
        assert not play.told(AllocationLost)
        assert not play.closed()
        play.send(PEER, b"new")
        assert [sent.handle for sent in play.sent_on] == [2]

    def test_the_old_one_ends_and_the_new_one_fails(self) -> None:
        play = mobile(TCP)
        play.allocation.migrate(WIFI, now=0.0)
        play.lose(1)
        assert not play.told(AllocationLost)
        play.fail(2)
        assert play.told(MigrationFailed)
        (lost,) = play.told(AllocationLost)
        assert lost.reason is AllocationFailure.CONNECTION_LOST
        assert play.allocation.next_deadline() is None

    def test_nothing_is_sent_along_the_old_one_while_closing(self) -> None:
        play = mobile(TCP)
        play.allocation.migrate(WIFI, now=0.0)
        play.lose(1)
        play.close()
        assert play.closed() == [2]
        play.run_to(1.0)
        assert play.events[-1] == MachineClosed()

    def test_closing_closes_both(self) -> None:
        play = mobile(TCP)
        play.allocation.migrate(WIFI, now=0.0)
        play.close()
        assert play.closed() == [2]
        play.run_to(1.0)
        assert play.closed() == [1]
        assert not play.told(Allocated)
