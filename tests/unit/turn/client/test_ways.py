from __future__ import annotations

from itertools import count

import pytest

from icepath.machine import (
    Close,
    CloseReason,
    DatagramDropped,
    DropReason,
    FailReason,
    Handle,
    MachineClosed,
    Security,
    Transport,
    Unreachable,
)
from icepath.net import Address
from icepath.stun.transaction import DEFAULT_TI
from icepath.turn.client.events import (
    Allocated,
    AllocationFailed,
    AllocationFailure,
    AllocationLost,
    Redirected,
    RouteChosen,
    RouteFailed,
)
from icepath.turn.client.race import PREFERENCE_GRACE, STAGGER_DELAY
from icepath.turn.client.routes import Route, RoutePolicy
from icepath.turn.client.ways import IMPATIENCE
from icepath.wire.attributes import (
    AlternateDomain,
    AlternateServer,
    ErrorCode,
    Lifetime,
    MobilityTicket,
    UnknownAttribute,
    XorRelayedAddress,
)
from icepath.wire.message import Message, MessageClass, Method, TransactionId, encode_message
from unit.turn.scripted import ALICE, LOCAL, MAPPED, PEER, RELAYED, RELAYED6, SERVER, Play, key_of

LOCAL6 = Address("2001:db8::2", 50000)
SERVER6 = Address("2001:db8::1", 3478)
SECOND = Address("198.51.100.2", 3478)
LOCAL_TCP = Address("192.168.1.2", 40000)

UDP = Route(SERVER)
UDP6 = Route(SERVER6, local=LOCAL6)
TCP = Route(SERVER, Transport.TCP)
TLS = Route(Address(SERVER.host, 5349), Transport.TCP, Security.TLS, "turn.example.org")
DTLS = Route(Address(SERVER.host, 5349), Transport.UDP, Security.DTLS, "turn.example.org")
ROUND_TRIP = 0.125
CREATE_PERMISSION = Method.CREATE_PERMISSION
BINDING, ALLOCATE, REFRESH = Method.BINDING, Method.ALLOCATE, Method.REFRESH


def on_stream(route: Route = TCP, *, max_redirects: int = 0) -> Play:
    """Returns a play whose one connection is open, its Allocate waiting to be looked at."""
    play = Play(routes=(route,), max_redirects=max_redirects)
    play.open(1)
    return play


def failure(play: Play) -> AllocationFailed:
    (failed,) = play.told(AllocationFailed)
    return failed


def is_over(play: Play) -> bool:
    return play.allocation.next_deadline() is None


def release(play: Play) -> Message:
    request = play.request()
    assert (request.method, request.get(Lifetime)) == (REFRESH, Lifetime(0))
    return request


class TestByteStream:
    @pytest.mark.parametrize("route", [TCP, TLS, DTLS])
    def test_is_opened_then_asked(self, route: Route) -> None:
        play = Play(routes=(route,))
        (connect,) = play.connects()
        assert (connect.local, connect.remote) == (Address(LOCAL.host, 0), route.address)
        assert (connect.transport, connect.security) == (route.transport, route.security)
        assert not play.requests()
        play.now = ROUND_TRIP
        play.open(1)
        request = play.request()
        assert (request.method, play.way_of(request)) == (ALLOCATE, 1)
        play.grant(request)
        assert play.events == [RouteChosen(route), Allocated((RELAYED,), MAPPED, 600, is_reflexive=False)]
        assert play.allocation.route == route

    def test_the_request_on_it_waits_for_its_slot(self) -> None:
        play = Play(routes=(TCP,), slots=[0.5])
        play.open(1)
        assert not play.requests()
        play.run_to(0.5)
        assert play.way_of(play.request()) == 1

    @pytest.mark.rfc("8656", "3.1")
    def test_all_else_goes_along_it_too(self) -> None:
        play = on_stream()
        play.permit(PEER.host)
        allocate, permission = play.requests()
        assert [play.way_of(message) for message in (allocate, permission)] == [1, 1]
        play.grant(allocate)
        play.succeed(permission)
        play.bind(PEER)
        channel = play.request()
        assert play.way_of(channel) == 1
        play.succeed(channel)
        assert play.allocation.channel_of(PEER) == 0x4000

    @pytest.mark.rfc("8489", "6.2.2")
    @pytest.mark.parametrize("route", [TCP, TLS])
    def test_nothing_is_sent_twice_and_silence_lasts_ti(self, route: Route) -> None:
        play = on_stream(route)
        play.run_to(DEFAULT_TI - 0.5)
        assert len(play.sent_on) == 1
        assert not play.told(AllocationFailed)
        play.run_to(DEFAULT_TI)
        assert failure(play).reason is AllocationFailure.NO_ANSWER
        assert play.closed() == [1]
        assert is_over(play)

    @pytest.mark.rfc("7350", "3")
    def test_over_dtls_requests_are_sent_again(self) -> None:
        play = on_stream(DTLS)
        play.run_to(DEFAULT_TI)
        assert len(play.sent_on) == 7
        assert failure(play).reason is AllocationFailure.NO_ANSWER

    def test_ti_can_be_configured(self) -> None:
        play = Play(routes=(TCP,), reliable_timeout=2.0)
        play.open(1)
        play.run_to(2.0)
        assert failure(play).reason is AllocationFailure.NO_ANSWER

    def test_ti_bounds_the_opening(self) -> None:
        play = Play(routes=(TCP,), reliable_timeout=2.0)
        play.run_to(2.0)
        failed = failure(play)
        assert (failed.reason, failed.text) == (AllocationFailure.NOT_CONNECTED, "no connection within 2 s")
        assert play.closed() == [1]

    @pytest.mark.parametrize(
        ("reason", "detail", "text"),
        [
            (FailReason.REFUSED, "", "refused"),
            (FailReason.TLS_CERTIFICATE, "certificate has expired", "tls certificate (certificate has expired)"),
        ],
    )
    def test_that_cannot_be_opened(self, reason: FailReason, detail: str, text: str) -> None:
        play = Play(routes=(TLS,))
        play.fail(1, reason, detail)
        assert failure(play) == AllocationFailed(AllocationFailure.NOT_CONNECTED, None, text)
        assert not play.closed()
        assert is_over(play)

    def test_a_challenge_is_answered_on_it(self) -> None:
        play = Play(routes=(TCP,), challenge=None)
        play.open(1)
        play.challenge(play.request())
        request = play.request()
        assert request.has_integrity
        assert play.way_of(request) == 1

    def test_data_that_dribbles(self) -> None:
        play = on_stream()
        request = play.request()
        answer = encode_message(
            ALLOCATE,
            MessageClass.SUCCESS,
            request.transaction_id,
            (XorRelayedAddress(RELAYED), Lifetime(600)),
            key=play.key,
        )
        for index in range(len(answer)):
            assert not play.told(Allocated)
            play.receive_on(1, answer[index : index + 1])
        assert play.told(Allocated)

    def test_messages_that_cannot_be_used_are_counted(self) -> None:
        play = on_stream()
        stray = encode_message(ALLOCATE, MessageClass.SUCCESS, TransactionId(bytes(12)))
        play.receive_on(1, stray)
        assert play.told(DatagramDropped) == [DatagramDropped(DropReason.UNKNOWN_TRANSACTION, 1, SERVER)]

    def test_malformed_messages_are_counted(self) -> None:
        play = on_stream()
        malformed = bytearray(encode_message(ALLOCATE, MessageClass.SUCCESS, TransactionId(bytes(12))))
        malformed[2:4] = b"\0\4"
        play.receive_on(1, bytes(malformed) + b"\0\1\0\x20")
        assert play.told(DatagramDropped) == [DatagramDropped(DropReason.MALFORMED, 1, SERVER)]


class TestByteStreamEnds:
    def test_junk_ends_it(self) -> None:
        play = on_stream()
        play.receive_on(1, b"HTTP/1.1 400 Bad Request\r\n")
        assert failure(play) == AllocationFailed(AllocationFailure.NOT_TURN, None, "first byte 0x48, expected 0 to 3")
        assert play.commands[-1:] == [Close(Handle(1), abort=True)]
        assert play.told(DatagramDropped)
        assert is_over(play)

    def test_junk_behind_a_message_ends_it_at_once(self) -> None:
        play = on_stream()
        request = play.request()
        attributes = (XorRelayedAddress(RELAYED), Lifetime(600))
        answer = encode_message(ALLOCATE, MessageClass.SUCCESS, request.transaction_id, attributes, key=play.key)
        play.receive_on(1, answer + b"<junk>")
        assert play.told(Allocated)
        (lost,) = play.told(AllocationLost)
        assert lost.reason is AllocationFailure.NOT_TURN
        assert play.closed() == [1]

    def test_nothing_is_read_behind_the_end(self) -> None:
        play = on_stream()
        request = play.request()
        refusal = encode_message(
            ALLOCATE, MessageClass.ERROR, request.transaction_id, (ErrorCode(486, "full"),), key=play.key
        )
        play.close()
        play.receive_on(1, refusal + refusal)
        assert play.closed() == [1]
        assert play.events[-1:] == [MachineClosed()]

    @pytest.mark.rfc("8489", "6.2.2")
    def test_before_the_answer(self) -> None:
        play = on_stream()
        play.lose(1, CloseReason.RESET)
        assert failure(play) == AllocationFailed(
            AllocationFailure.CONNECTION_LOST, None, "the connection ended (reset)"
        )
        assert not play.closed()

    def test_after_it(self) -> None:
        play = on_stream()
        play.permit(PEER.host)
        play.grant(play.requests()[0])
        play.lose(1, CloseReason.EOF)
        assert play.told(AllocationLost) == [
            AllocationLost(AllocationFailure.CONNECTION_LOST, None, "the connection ended (eof)")
        ]
        assert is_over(play)

    def test_is_closed_when_the_server_refuses(self) -> None:
        play = on_stream()
        play.refuse(play.request(), 486)
        assert failure(play).reason is AllocationFailure.QUOTA
        assert play.closed() == [1]

    def test_is_closed_once_what_is_not_wanted_is_deleted(self) -> None:
        play = on_stream()
        play.grant(play.request(), RELAYED6)
        assert failure(play).reason is AllocationFailure.BAD_ANSWER
        deletion = release(play)
        assert not play.closed()
        play.succeed(deletion, Lifetime(0))
        assert play.closed() == [1]

    def test_is_closed_with_the_allocation(self) -> None:
        play = on_stream()
        play.grant(play.request())
        play.close()
        deletion = release(play)
        assert not play.closed()
        play.succeed(deletion, Lifetime(0))
        assert play.closed() == [1]
        assert play.events[-1] == MachineClosed()

    def test_whose_server_never_answers_is_closed_in_time(self) -> None:
        play = on_stream()
        play.grant(play.request())
        play.close()
        play.run_to(1.0)
        assert play.closed() == [1]
        assert play.events[-1] == MachineClosed()

    def test_while_closing_is_the_end(self) -> None:
        play = on_stream()
        play.grant(play.request())
        play.close()
        play.lose(1)
        assert play.events[-1] == MachineClosed()

    def test_that_is_not_open_yet_is_closed_at_once(self) -> None:
        play = Play(routes=(TCP,))
        play.close()
        assert play.closed() == [1]
        assert play.events == [MachineClosed()]

    def test_others_handles_are_for_nobody(self) -> None:
        play = on_stream()
        play.requests()
        play.lose(2)
        play.receive_on(3, b"junk")
        play.fail(-1)
        assert not play.events[1:]


class TestHandles:
    def test_come_from_the_parent(self) -> None:
        numbers = count(40)
        play = Play(routes=(TCP, TLS), next_handle=lambda: Handle(next(numbers)))
        assert [connect.handle for connect in play.connects()] == [40, 41]


class TestRace:
    def test_connections_open_beside_the_request(self) -> None:
        play = Play(routes=(UDP, TCP, TLS))
        (request,) = play.requests()
        assert (request.method, play.way_of(request)) == (ALLOCATE, SERVER)
        assert [connect.remote for connect in play.connects()] == [SERVER, TLS.address]

    @pytest.mark.parametrize("code", [None, 401])
    def test_udp_that_answers_closes_the_rest(self, code: int | None) -> None:
        play = Play(routes=(UDP, TCP, TLS))
        play.open(1)
        request = play.request()
        play.now = PREFERENCE_GRACE / 2
        if code is None:
            play.grant(request)
        else:
            play.challenge(request, code, b"second")
        assert play.told(RouteChosen) == [RouteChosen(UDP)]
        assert play.commands[-2:] == [Close(Handle(1), abort=True), Close(Handle(2), abort=True)]
        play.run_to(1.0)
        assert not play.sent_on

    def test_a_connection_wins_where_udp_is_silent(self) -> None:
        play = Play(routes=(UDP, TCP, TLS))
        early = play.request()
        play.now = ROUND_TRIP
        play.open(2)
        play.run_to(ROUND_TRIP + PREFERENCE_GRACE - 0.001)
        assert not play.requests()
        play.run_to(ROUND_TRIP + PREFERENCE_GRACE)
        request = play.request()
        assert (request.method, play.way_of(request)) == (ALLOCATE, 2)
        assert play.told(RouteChosen) == [RouteChosen(TLS)]
        assert play.closed() == [1]
        play.grant(request)
        assert play.told(Allocated)
        # UDP's request is not sent again, and what it got, if anything, is given back.
        play.run_to(10.0)
        assert not play.sent
        play.grant(early)
        deletion = release(play)
        assert play.way_of(deletion) == SERVER
        play.challenge(deletion, 438, b"second")
        play.succeed(release(play), Lifetime(0))
        assert not play.requests()
        assert play.allocation.relayed == (RELAYED,)

    def test_a_late_refusal_along_a_way_given_up_changes_nothing(self) -> None:
        play = Play(routes=(UDP, TCP))
        early = play.request()
        play.open(1)
        play.run_to(PREFERENCE_GRACE)
        play.grant(play.request())
        play.events.clear()
        play.challenge(early, 401, b"second")
        assert not play.events
        assert not play.requests()

    def test_permissions_follow_the_allocate_to_the_winner(self) -> None:
        play = Play(routes=(UDP, TCP))
        play.permit(PEER.host)
        assert [message.method for message in play.requests()] == [ALLOCATE, CREATE_PERMISSION]
        play.open(1)
        play.run_to(PREFERENCE_GRACE)
        allocate, permission = play.requests()
        assert (permission.method, play.way_of(permission)) == (CREATE_PERMISSION, 1)
        play.grant(allocate)
        play.succeed(permission)
        assert play.allocation.is_permitted(PEER.host)

    def test_permissions_installed_on_the_loser_are_asked_for_again(self) -> None:
        play = Play(routes=(TCP, UDP), transports=RoutePolicy.STAGGER)
        play.permit(PEER.host)
        play.open(1)
        _, permission = play.requests()
        play.succeed(permission)
        play.lose(1)
        play.run_to(STAGGER_DELAY)
        assert [message.method for message in play.requests()] == [ALLOCATE, CREATE_PERMISSION]

    def test_a_failed_route_is_told_and_the_others_go_on(self) -> None:
        play = Play(routes=(UDP, TCP))
        play.fail(1, FailReason.REFUSED)
        assert play.events == [RouteFailed(TCP, AllocationFailure.NOT_CONNECTED, "refused")]
        play.grant(play.request())
        assert play.told(Allocated)

    def test_a_hard_icmp_error_ends_the_wait_for_udp(self) -> None:
        play = Play(routes=(UDP, TCP))
        play.requests()
        play.open(1)
        play.arrive(Unreachable(LOCAL, SERVER, 3, 3))
        assert play.told(RouteFailed) == [RouteFailed(UDP, AllocationFailure.UNREACHABLE, "ICMP type 3 code 3")]
        assert play.way_of(play.request()) == 1
        # Nothing is left for a second one to end.
        play.arrive(Unreachable(LOCAL, SERVER, 3, 3))
        assert not play.told(RouteFailed)

    def test_all_failures_are_told_together(self) -> None:
        play = Play(routes=(UDP, TCP, TLS))
        play.fail(2, FailReason.TLS_CERTIFICATE, "expired")
        play.fail(1, FailReason.REFUSED)
        play.run_to(DEFAULT_TI)
        failed = failure(play)
        assert failed.reason is AllocationFailure.NO_ANSWER
        assert [each.route for each in failed.routes] == [TLS, TCP, UDP]
        assert failed.text == (
            "tls 198.51.100.1:5349: tls certificate (expired); tcp 198.51.100.1:3478: refused; "
            "udp 198.51.100.1:3478: no-answer"
        )
        assert is_over(play)

    @pytest.mark.rfc("8489", "6.2.2")
    def test_a_connection_that_says_nothing_is_soon_given_up_for_another(self) -> None:
        play = Play(routes=(TCP, TLS))
        play.open(1)
        assert play.way_of(play.request()) == 1
        assert play.closed() == [2]
        play.run_to(IMPATIENCE)
        assert play.told(RouteFailed) == [RouteFailed(TCP, AllocationFailure.NO_ANSWER, "")]
        assert play.closed() == [1]
        # Its handle is a new one, and it has Ti for itself.
        assert [connect.handle for connect in play.connects()][2:] == [3]
        play.open(3)
        request = play.request()
        play.run_to(IMPATIENCE + DEFAULT_TI - 1)
        play.grant(request)
        assert play.told(RouteChosen) == [RouteChosen(TCP), RouteChosen(TLS)]
        assert play.told(Allocated)

    def test_a_winner_that_is_lost_leaves_the_others(self) -> None:
        play = Play(routes=(UDP, TCP))
        first = play.request()
        play.open(1)
        play.run_to(PREFERENCE_GRACE)
        play.request()
        play.lose(1)
        again = play.request()
        assert (play.way_of(again), again.method) == (SERVER, ALLOCATE)
        # The first one's answer is no one's any more: a 437 would tell what it had got.
        play.grant(first)
        assert not play.told(Allocated)
        play.grant(again)
        assert play.told(Allocated)

    def test_what_the_server_refuses_is_not_tried_elsewhere(self) -> None:
        play = Play(routes=(UDP, TCP))
        play.refuse(play.request(), 486)
        assert failure(play) == AllocationFailed(AllocationFailure.QUOTA, 486, "code 486")
        assert play.closed() == [1]
        assert is_over(play)

    def test_an_answer_that_means_nothing_is_a_refusal(self) -> None:
        play = Play(routes=(UDP, TCP))
        play.succeed(play.request(), UnknownAttribute(0x7FFF, b""))
        assert failure(play).reason is AllocationFailure.BAD_ANSWER

    def test_closing_in_the_middle(self) -> None:
        play = Play(routes=(UDP, TCP, UDP6))
        allocate, _probe = play.requests()
        play.open(1)
        play.close()
        assert play.closed() == [1]
        play.grant(allocate)
        play.succeed(release(play), Lifetime(0))
        assert play.events == [MachineClosed()]

    def test_a_winner_closed_while_an_allocate_is_out(self) -> None:
        play = Play(routes=(UDP, TCP))
        early = play.request()
        play.open(1)
        play.run_to(PREFERENCE_GRACE)
        play.request()
        play.close()
        play.grant(early)
        assert play.way_of(release(play)) == SERVER
        play.run_to(2.0)
        assert play.events[-1] == MachineClosed()


class TestTwoFamilies:
    def test_the_second_socket_only_asks_for_life(self) -> None:
        play = Play(routes=(UDP6, UDP))
        allocate, probe = play.requests()
        assert (allocate.method, play.way_of(allocate)) == (ALLOCATE, SERVER6)
        assert (probe.method, play.way_of(probe)) == (BINDING, SERVER)
        assert not probe.has_integrity
        assert not probe.attributes

    @pytest.mark.rfc("8305", "4")
    def test_the_first_family_wins_within_a_moment(self) -> None:
        play = Play(routes=(UDP6, UDP))
        allocate, probe = play.requests()
        play.succeed(probe)
        play.now = PREFERENCE_GRACE / 2
        play.grant(allocate)
        play.run_to(1.0)
        assert play.told(RouteChosen) == [RouteChosen(UDP6)]
        assert not play.requests()

    def test_the_second_family_wins_after_it(self) -> None:
        play = Play(routes=(UDP6, UDP))
        _, probe = play.requests()
        play.succeed(probe)
        play.run_to(PREFERENCE_GRACE)
        request = play.request()
        assert (request.method, play.way_of(request)) == (ALLOCATE, SERVER)
        assert play.told(RouteChosen) == [RouteChosen(UDP)]

    def test_an_error_is_a_sign_of_life_too(self) -> None:
        play = Play(routes=(UDP6, UDP))
        _, probe = play.requests()
        play.refuse(probe, 500)
        play.run_to(PREFERENCE_GRACE)
        assert play.way_of(play.request()) == SERVER

    def test_a_probe_waits_for_its_slot(self) -> None:
        play = Play(routes=(UDP6, UDP), slots=[0.0, 0.25])
        play.request()
        play.run_to(0.25)
        probe = play.request()
        assert probe.method == BINDING
        play.succeed(probe)
        play.run_to(0.25 + PREFERENCE_GRACE)
        assert play.way_of(play.request()) == SERVER

    def test_a_probe_that_waits_is_forgotten_with_the_race(self) -> None:
        play = Play(routes=(UDP6, UDP), slots=[0.0, 0.25])
        play.grant(play.request())
        play.run_to(1.0)
        assert not play.requests()

    def test_a_probe_is_not_forgotten_with_the_first_route(self) -> None:
        play = Play(routes=(UDP6, UDP), slots=[0.0, 0.25])
        play.request()
        play.arrive(Unreachable(LOCAL6, SERVER6, 1, 4))
        play.run_to(0.25)
        probe = play.request()
        assert (probe.method, play.way_of(probe)) == (BINDING, SERVER)

    def test_silence_on_both(self) -> None:
        play = Play(routes=(UDP6, UDP))
        play.run_to(DEFAULT_TI)
        assert [each.reason for each in failure(play).routes] == [AllocationFailure.NO_ANSWER] * 2
        assert is_over(play)

    def test_icmp_on_both(self) -> None:
        play = Play(routes=(UDP6, UDP))
        play.requests()
        play.arrive(Unreachable(LOCAL, SERVER, 3, 3))
        play.arrive(Unreachable(LOCAL6, SERVER6, 1, 4))
        assert [each.route for each in failure(play).routes] == [UDP, UDP6]

    def test_a_connection_of_another_family_has_the_drivers_local_address(self) -> None:
        play = Play(routes=(Route(SERVER6, Transport.TCP), TCP))
        assert [connect.local for connect in play.connects()] == [None, Address(LOCAL.host, 0)]


class TestStagger:
    def test_starts_one_after_another(self) -> None:
        play = Play(routes=(UDP, TCP, TLS), transports=RoutePolicy.STAGGER)
        assert play.requests()
        assert not play.connects()
        play.run_to(STAGGER_DELAY)
        assert [connect.remote for connect in play.connects()] == [SERVER]
        play.run_to(2 * STAGGER_DELAY)
        assert [connect.remote for connect in play.connects()] == [TLS.address]

    def test_udp_may_come_last(self) -> None:
        play = Play(routes=(TLS, UDP), transports=RoutePolicy.STAGGER)
        assert not play.requests()
        play.run_to(STAGGER_DELAY)
        assert play.way_of(play.request()) == SERVER
        play.open(1)
        play.run_to(1.0)
        assert play.told(RouteChosen) == [RouteChosen(TLS)]

    def test_an_early_answer_spares_the_rest(self) -> None:
        play = Play(routes=(UDP, TCP), transports=RoutePolicy.STAGGER)
        play.grant(play.request())
        play.run_to(10.0)
        assert not play.connects()


@pytest.mark.rfc("8489", "10")
class TestRedirected:
    def test_to_another_server_over_udp(self) -> None:
        play = Play(routes=(UDP,), max_redirects=2)
        play.permit(PEER.host)
        first = play.requests()[0]
        play.refuse(first, 300, AlternateServer(SECOND))
        request = play.request()
        assert (request.method, play.way_of(request)) == (ALLOCATE, SECOND)
        # What the first server said does not concern the second, but the credentials are the same.
        assert not request.has_integrity
        play.challenge(request)
        again, permission = play.requests()
        assert again.has_integrity
        play.grant(again)
        play.succeed(permission)
        assert play.told(Redirected) == [Redirected(Route(SECOND))]
        assert play.told(Allocated)
        assert play.allocation.route.address == SECOND

    def test_to_another_certificate_over_tls(self) -> None:
        play = on_stream(TLS, max_redirects=2)
        domain = AlternateDomain("two.example.org")
        play.refuse(play.request(), 300, AlternateServer(SECOND), domain)
        assert play.closed() == [1]
        (_, connect) = play.connects()
        assert (connect.remote, connect.server_name, connect.handle) == (SECOND, "two.example.org", 2)
        play.open(2)
        play.challenge(play.request())
        play.grant(play.request())
        assert play.told(Allocated)

    @pytest.mark.rfc("8489", "14.8")
    def test_not_by_who_cannot_sign(self) -> None:
        play = Play(routes=(UDP,), max_redirects=2)
        play.refuse(play.request(), 300, AlternateServer(SECOND), signed=False)
        failed = failure(play)
        assert (failed.reason, failed.alternate) == (AllocationFailure.TRY_ALTERNATE, SECOND)
        assert not play.requests()

    @pytest.mark.rfc("8489", "14.8")
    def test_not_without_credentials(self) -> None:
        play = Play(routes=(UDP,), max_redirects=2, credentials=None, challenge=None)
        play.refuse(play.request(), 300, AlternateServer(SECOND))
        assert failure(play).reason is AllocationFailure.TRY_ALTERNATE

    def test_with_credentials_that_came_later(self) -> None:
        play = Play(routes=(UDP,), max_redirects=2, credentials=None, challenge=None, slots=[1.0])
        play.allocation.set_credentials(ALICE, now=0.0)
        play.key = key_of(ALICE)
        play.run_to(1.0)
        play.challenge(play.request())
        play.refuse(play.request(), 300, AlternateServer(SECOND))
        play.challenge(play.request())
        assert play.request().has_integrity

    def test_in_a_circle(self) -> None:
        play = Play(routes=(UDP,), max_redirects=9)
        play.refuse(play.request(), 300, AlternateServer(SECOND))
        play.challenge(play.request())
        play.refuse(play.request(), 300, AlternateServer(SERVER))
        failed = failure(play)
        assert (failed.reason, failed.code) == (AllocationFailure.TRY_ALTERNATE, 300)
        assert failed.text == "redirected in a circle, to 198.51.100.1:3478"
        assert [str(each) for each in failed.routes] == ["udp 198.51.100.1:3478: redirected to 198.51.100.2:3478"]
        assert is_over(play)

    def test_to_a_server_that_is_silent(self) -> None:
        play = Play(routes=(UDP,), max_redirects=2)
        play.refuse(play.request(), 300, AlternateServer(SECOND))
        play.run_to(DEFAULT_TI)
        failed = failure(play)
        assert failed.reason is AllocationFailure.NO_ANSWER
        assert failed.text == (
            "udp 198.51.100.1:3478: redirected to 198.51.100.2:3478; udp 198.51.100.2:3478: no-answer"
        )

    def test_in_the_race_the_others_are_given_up(self) -> None:
        play = Play(routes=(UDP, TCP), max_redirects=2)
        play.refuse(play.request(), 300, AlternateServer(SECOND))
        assert play.closed() == [1]
        play.challenge(play.request())
        play.grant(play.request())
        assert play.told(Allocated)


class TestDatagrams:
    def test_without_routes_nothing_is_said_of_them(self) -> None:
        play = Play()
        play.grant(play.request())
        assert play.events == [Allocated((RELAYED,), MAPPED, 600)]
        assert play.allocation.route == UDP

    def test_are_known_by_their_five_tuple(self) -> None:
        play = Play(routes=(UDP, UDP6))
        play.receive(b"\x80", remote=SERVER6)
        play.receive(b"\x80", local=Address(LOCAL.host, 1))
        assert play.told(DatagramDropped) == [
            DatagramDropped(DropReason.WRONG_ADDRESS, 1, SERVER6),
            DatagramDropped(DropReason.UNKNOWN_LOCAL_ADDRESS, 1, SERVER),
        ]

    def test_icmp_about_others_changes_nothing(self) -> None:
        play = Play(routes=(UDP, TCP))
        play.arrive(Unreachable(LOCAL, SECOND, 3, 3))
        play.arrive(Unreachable(LOCAL, SERVER, 11, 0))
        assert not play.events


class TestMoved:
    """test_mobility.py has what asks for these paths."""

    def test_a_stream_takes_over_and_one_that_is_given_up_takes_nothing(self) -> None:
        play = Play(routes=(TCP,), mobility=True)
        play.open(1)
        ticket = MobilityTicket(b"ticket")
        play.succeed(play.request(), XorRelayedAddress(RELAYED), Lifetime(600), ticket)
        play.allocation.migrate(Address("192.168.9.9", 0), now=0.0)
        play.allocation.migrate(Address("192.168.9.8", 0), now=0.0)
        assert play.closed() == [2]
        play.open(3)
        play.receive_on(3, b"<junk>")
        assert not play.told(AllocationLost)
        play.allocation.migrate(Address("192.168.9.7", 0), now=0.0)
        play.open(4)
        play.succeed(play.requests()[-1], Lifetime(600), ticket)
        assert play.closed() == [3, 1]

    def test_a_datagram_path_takes_over(self) -> None:
        play = Play(routes=(UDP,), mobility=True)
        ticket = MobilityTicket(b"ticket")
        play.succeed(play.request(), XorRelayedAddress(RELAYED), Lifetime(600), ticket)
        moved = Address("192.168.9.9", 5000)
        play.allocation.migrate(moved, now=0.0)
        play.succeed(play.request(), Lifetime(600), ticket)
        play.close()
        (datagram,) = play.take_sent()
        assert datagram.local == moved
