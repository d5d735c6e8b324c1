from __future__ import annotations

import pytest

from icepath.machine import Transport
from icepath.net import Address
from icepath.turn.client.events import (
    AllocationFailure,
    AllocationLost,
    CredentialsRejected,
    PermissionFailed,
    PermissionsInstalled,
)
from icepath.turn.client.permissions import MAX_HOSTS_PER_REQUEST
from icepath.turn.client.routes import Route, RoutePolicy
from icepath.wire.attributes import AddressFamily, XorPeerAddress
from icepath.wire.message import Message, Method
from unit.turn.scripted import ALICE_ANEW, BOTH, PEER, RELAYED, RELAYED6, SERVER, Play, allocated, key_of, permitted

A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"
A6 = "2001:db8::a"


def hosts_of(message: Message) -> tuple[str, ...]:
    assert message.method == Method.CREATE_PERMISSION
    return tuple(attribute.address.host for attribute in message.get_all(XorPeerAddress))


def hosts(count: int) -> tuple[str, ...]:
    return tuple(f"192.0.2.{number}" for number in range(1, count + 1))


class TestAsking:
    def test_one_request_carries_all(self) -> None:
        play = allocated()
        play.permit(A, B)
        assert hosts_of(play.request()) == (A, B)
        assert play.allocation.is_permitted(A)
        assert not play.allocation.is_permitted(C)

    @pytest.mark.rfc("8656", "10.3")
    def test_success_installs_them(self) -> None:
        play = allocated()
        play.permit(A, B)
        play.succeed(play.request())
        assert play.events == [PermissionsInstalled((A, B))]
        assert play.allocation.is_permitted(B)

    def test_wanting_again_asks_nothing(self) -> None:
        play = permitted(A)
        play.permit(A)
        assert not play.requests()
        play.permit(A, B)
        assert hosts_of(play.request()) == (B,)

    def test_hosts_join_a_request_that_waits_for_its_slot(self) -> None:
        play = Play(slots=[0.0, 0.0, 1.0])
        play.grant(play.request())
        play.permit(A)
        assert hosts_of(play.request()) == (A,)
        play.permit(B)
        play.permit(C, A)
        assert not play.requests()
        assert not play.allocation.is_permitted(B)
        play.run_to(1.0)
        assert hosts_of(play.request()) == (B, C)
        assert play.allocation.is_permitted(C)
        assert len(play.slots_taken) == 3

    def test_a_request_is_of_bounded_size(self) -> None:
        play = allocated()
        play.permit(*hosts(2 * MAX_HOSTS_PER_REQUEST + 1))
        sizes = [len(hosts_of(message)) for message in play.requests()]
        assert sizes == [MAX_HOSTS_PER_REQUEST, MAX_HOSTS_PER_REQUEST, 1]

    def test_so_is_one_that_others_join(self) -> None:
        play = Play(slots=[0.0, 1.0, 2.0])
        play.grant(play.request())
        many = hosts(MAX_HOSTS_PER_REQUEST + 2)
        play.permit(*many[:3])
        play.permit(*many[3:])
        play.run_to(2.0)
        first, second = play.requests()
        assert hosts_of(first) + hosts_of(second) == many
        assert len(hosts_of(first)) == MAX_HOSTS_PER_REQUEST

    def test_a_full_one_that_waits_is_left_alone(self) -> None:
        play = Play(slots=[0.0, 1.0, 2.0])
        play.grant(play.request())
        many = hosts(MAX_HOSTS_PER_REQUEST)
        play.permit(*many)
        play.permit("198.51.100.77")
        play.run_to(2.0)
        first, second = play.requests()
        assert (hosts_of(first), hosts_of(second)) == (many, ("198.51.100.77",))

    def test_others_may_go_first(self) -> None:
        play = Play(permission_delay=0.25)
        play.grant(play.request())
        play.permit(A)
        assert play.slots_taken == [0.0, 0.25]
        play.run_to(0.1)
        play.permit(B)
        assert not play.requests()
        play.run_to(0.25)
        assert hosts_of(play.request()) == (A, B)

    def test_says_whether_the_request_behind_the_allocate_is_on_its_way(self) -> None:
        play = Play(challenge=None, permission_delay=0.25)
        play.permit(A)
        assert not play.allocation.has_unsent_permissions
        play.challenge(play.request())
        assert play.allocation.has_unsent_permissions
        play.run_to(0.25)
        assert not play.allocation.has_unsent_permissions

    def test_with_a_remembered_challenge_what_is_wanted_at_once_is_behind_the_allocate_too(self) -> None:
        play = Play(permission_delay=0.25)
        play.permit(A)
        assert play.allocation.has_unsent_permissions
        play.run_to(0.25)
        assert not play.allocation.has_unsent_permissions
        play.permit(B)
        assert not play.allocation.has_unsent_permissions


class TestFamilies:
    @pytest.mark.rfc("8656", "10.1")
    def test_a_host_of_another_family_is_not_asked_for(self) -> None:
        play = allocated()
        play.permit(A6, A)
        assert hosts_of(play.request()) == (A,)
        assert play.events == [PermissionFailed((A6,), 443)]
        assert not play.allocation.is_permitted(A6)

    def test_a_dual_allocation_takes_both(self) -> None:
        play = allocated(RELAYED, RELAYED6, families=BOTH)
        play.permit(A6, A)
        assert hosts_of(play.request()) == (A6, A)

    def test_what_was_hoped_for_and_not_granted_fails_before_it_is_asked(self) -> None:
        play = Play(families=BOTH, slots=[0.0, 1.0])
        request = play.request()
        play.permit(A6, A)
        play.grant(request, RELAYED)
        # The early request was waiting for its slot with both.
        play.run_to(1.0)
        early = play.request()
        assert hosts_of(early) == (A6, A)
        play.refuse(early, 443)
        assert play.told(PermissionFailed) == [PermissionFailed((A6,), 443)]
        again = play.request()
        assert hosts_of(again) == (A,)
        play.succeed(again)
        assert play.told(PermissionsInstalled) == [PermissionsInstalled((A,))]

    def test_a_wish_before_the_first_challenge_is_judged_when_the_grant_is_there(self) -> None:
        play = Play(families=BOTH, challenge=None, credentials=None)
        request = play.request()
        play.permit(A6)
        early = play.request()
        play.refuse(early, 437)
        play.grant(request, RELAYED)
        assert play.told(PermissionFailed) == [PermissionFailed((A6,), 443)]
        assert not play.requests()


class TestEarly:
    def test_nothing_follows_an_allocate_that_only_fetches_a_challenge(self) -> None:
        play = Play(challenge=None)
        play.permit(A)
        first = play.request()
        assert first.method == Method.ALLOCATE
        play.challenge(first)
        allocate, permission = play.requests()
        assert allocate.method == Method.ALLOCATE
        assert hosts_of(permission) == (A,)
        assert play.allocation.is_permitted(A)

    def test_a_later_wish_goes_at_once(self) -> None:
        play = Play()
        play.requests()
        play.permit(A)
        assert hosts_of(play.request()) == (A,)

    def test_an_answer_before_the_allocates_counts(self) -> None:
        play = Play()
        allocate = play.request()
        play.permit(A)
        play.succeed(play.request())
        assert play.told(PermissionsInstalled) == [PermissionsInstalled((A,))]
        play.grant(allocate)
        assert not play.requests()

    @pytest.mark.parametrize("code", [400, 437])
    def test_what_the_server_saw_first_is_repeated_after_the_success(self, code: int) -> None:
        play = Play()
        allocate = play.request()
        play.permit(A, B)
        play.refuse(play.request(), code)
        assert not play.requests()
        assert not play.allocation.is_permitted(A)
        play.grant(allocate)
        again = play.request()
        assert hosts_of(again) == (A, B)
        play.succeed(again)
        assert play.told(PermissionsInstalled) == [PermissionsInstalled((A, B))]
        assert not play.told(PermissionFailed)

    @pytest.mark.parametrize("code", [400, 437])
    def test_also_when_its_refusal_comes_after_the_success(self, code: int) -> None:
        play = Play()
        allocate = play.request()
        play.permit(A)
        early = play.request()
        play.grant(allocate)
        play.refuse(early, code)
        again = play.request()
        assert hosts_of(again) == (A,)
        # This one was not early.
        play.refuse(again, code)
        assert play.told(PermissionFailed if code == 400 else AllocationLost)

    def test_a_stale_nonce_is_repaired_behind_the_allocate(self) -> None:
        play = Play()
        allocate = play.request()
        play.permit(A)
        early = play.request()
        play.challenge(allocate, 438, b"second")
        play.challenge(early, 438, b"second")
        allocate, early = play.requests()
        assert hosts_of(early) == (A,)
        play.grant(allocate)
        play.succeed(early)
        assert play.told(PermissionsInstalled) == [PermissionsInstalled((A,))]


class TestRefusals:
    @pytest.mark.parametrize("code", [400, 403, 500, 508])
    @pytest.mark.rfc("8656", "10.2")
    def test_one_host_alone_has_failed(self, code: int) -> None:
        play = allocated()
        play.permit(A)
        play.refuse(play.request(), code)
        assert play.events == [PermissionFailed((A,), code)]
        assert not play.allocation.is_permitted(A)
        play.run_to(239.0)
        assert not play.requests()

    def test_several_are_taken_apart_once(self) -> None:
        play = allocated()
        play.permit(A, B, C)
        play.refuse(play.request(), 403)
        assert not play.events
        alone = play.requests()
        assert [hosts_of(message) for message in alone] == [(A,), (B,), (C,)]
        assert len(play.slots_taken) == 1 + 1 + 3
        play.succeed(alone[0])
        play.refuse(alone[1], 403)
        play.succeed(alone[2])
        assert play.events == [
            PermissionsInstalled((A,)),
            PermissionFailed((B,), 403),
            PermissionsInstalled((C,)),
        ]
        assert [play.allocation.is_permitted(host) for host in (A, B, C)] == [True, False, True]

    def test_those_apart_are_not_joined_by_others(self) -> None:
        play = Play(slots=[0.0, 0.0, 1.0, 2.0, 3.0])
        play.grant(play.request())
        play.permit(A, B)
        play.refuse(play.request(), 403)
        assert not play.allocation.is_permitted(A)
        play.permit(C)
        play.run_to(3.0)
        assert [hosts_of(message) for message in play.requests()] == [(A,), (B,), (C,)]

    def test_those_released_meanwhile_are_left_out(self) -> None:
        play = allocated()
        play.permit(A, B)
        request = play.request()
        play.allocation.release((A,), now=0.0)
        play.refuse(request, 403)
        assert hosts_of(play.request()) == (B,)

    def test_all_released_is_no_failure(self) -> None:
        play = allocated()
        play.permit(A)
        request = play.request()
        play.allocation.release((A,), now=0.0)
        play.refuse(request, 403)
        assert not play.events
        assert not play.requests()

    def test_released_ones_are_not_installed(self) -> None:
        play = allocated()
        play.permit(A, B)
        request = play.request()
        play.allocation.release((A,), now=0.0)
        play.succeed(request)
        assert play.events == [PermissionsInstalled((B,))]

    def test_437_is_the_end_of_the_allocation(self) -> None:
        play = allocated()
        play.permit(A)
        play.refuse(play.request(), 437)
        assert play.events == [AllocationLost(AllocationFailure.MISMATCH, 437, "code 437")]

    def test_silence_is_a_failure(self) -> None:
        play = allocated()
        play.permit(A, B)
        play.run_to(39.4)
        assert not play.events
        play.run_to(39.5)
        assert play.events == [PermissionFailed((A, B), None)]

    def test_silence_about_those_released_is_none(self) -> None:
        play = allocated()
        play.permit(A)
        play.allocation.release((A,), now=0.0)
        play.run_to(60.0)
        assert not play.events


@pytest.mark.rfc("8656", "9")
class TestRenewal:
    def test_every_four_minutes_all_together_and_silently(self) -> None:
        play = allocated(lifetime=3600)
        play.permit(A)
        play.succeed(play.request())
        play.run_to(100.0)
        play.permit(B)
        play.succeed(play.request())
        play.events.clear()
        slots = len(play.slots_taken)
        for at in (240.0, 480.0, 720.0):
            play.run_to(at - 0.1)
            assert not play.requests()
            play.run_to(at)
            renewal = play.request()
            assert hosts_of(renewal) == (A, B)
            play.succeed(renewal)
        assert not play.events
        assert len(play.slots_taken) == slots

    def test_many_take_several_requests(self) -> None:
        play = allocated(lifetime=3600)
        many = hosts(MAX_HOSTS_PER_REQUEST + 1)
        play.permit(*many)
        for message in play.requests():
            play.succeed(message)
        play.run_to(240.0)
        assert [len(hosts_of(message)) for message in play.requests()] == [MAX_HOSTS_PER_REQUEST, 1]

    def test_released_ones_are_not_renewed(self) -> None:
        play = permitted(A, B)
        play.allocation.release((A,), now=1.0)
        assert not play.allocation.is_permitted(A)
        play.run_to(240.0)
        assert hosts_of(play.request()) == (B,)

    def test_a_host_being_renewed_is_not_renewed_twice(self) -> None:
        play = allocated(lifetime=3600)
        play.permit(A)
        play.succeed(play.request())
        play.run_to(1.0)
        play.permit(B)
        request = play.request()
        play.run_to(1.25)
        play.succeed(request)
        play.run_to(240.0)
        renewal = play.request()
        assert hosts_of(renewal) == (A, B)
        play.permit(C)
        play.succeed(play.request())
        # A and B are still unanswered when C is due.
        play.run_to(480.0)
        assert all(C not in hosts_of(message) or hosts_of(message) == (C,) for message in play.requests())

    def test_an_unanswered_renewal_is_repeated_while_the_permission_lives(self) -> None:
        play = allocated(lifetime=3600)
        play.permit(A)
        play.succeed(play.request())
        play.events.clear()
        play.run_to(279.4)
        play.requests()
        play.run_to(279.5)
        assert hosts_of(play.request()) == (A,)
        assert play.allocation.is_permitted(A)
        play.run_to(319.0)
        assert play.events == [PermissionFailed((A,), None)]
        assert not play.allocation.is_permitted(A)

    def test_a_refused_renewal_is_a_failure(self) -> None:
        play = permitted(A)
        play.run_to(240.0)
        play.refuse(play.request(), 403)
        assert play.events == [PermissionFailed((A,), 403)]

    def test_several_refused_are_taken_apart_and_stay_permitted_meanwhile(self) -> None:
        play = permitted(A, B)
        play.run_to(240.0)
        play.refuse(play.request(), 403)
        first, second = play.requests()
        assert (hosts_of(first), hosts_of(second)) == ((A,), (B,))
        assert play.allocation.is_permitted(A)
        play.succeed(first)
        play.refuse(second, 403)
        assert play.events == [PermissionFailed((B,), 403)]

    def test_after_a_sleep_what_has_expired_is_asked_for_again(self) -> None:
        play = allocated(lifetime=3600)
        play.permit(A)
        play.succeed(play.request())
        play.now = 1000.0
        play.allocation.handle_timeout(now=play.now)
        renewal = play.request()
        assert hosts_of(renewal) == (A,)
        play.succeed(renewal)
        assert play.allocation.is_permitted(A)
        assert not play.told(PermissionFailed)

    def test_renewals_begin_from_when_the_request_was_sent(self) -> None:
        play = allocated(lifetime=3600)
        play.permit(A)
        request = play.request()
        play.run_to(10.0)
        play.requests()
        play.succeed(request)
        play.run_to(240.0)
        assert hosts_of(play.request()) == (A,)


class TestRejectedCredentials:
    def reject(self, play: Play) -> None:
        play.challenge(play.request(), 401, b"second")
        play.challenge(play.request(), 401, b"third")

    def test_leave_what_is_installed_until_its_end(self) -> None:
        play = permitted(A, B)
        play.run_to(240.0)
        play.allocation.release((B,), now=240.0)
        self.reject(play)
        assert play.events == [CredentialsRejected(401, 300.0)]
        play.events.clear()
        play.run_to(299.0)
        assert not play.requests()
        assert play.allocation.is_permitted(A)
        play.run_to(300.0)
        assert play.events == [PermissionFailed((A,), 401)]
        assert not play.allocation.is_permitted(A)

    def test_are_replaced_in_time(self) -> None:
        play = permitted(A)
        play.run_to(240.0)
        self.reject(play)
        play.run_to(290.0)
        play.allocation.set_credentials(ALICE_ANEW, now=290.0)
        renewal = play.request()
        assert hosts_of(renewal) == (A,)
        play.key = key_of(ALICE_ANEW)
        play.succeed(renewal)
        play.events.clear()
        play.run_to(529.0)
        assert not play.events
        play.run_to(530.0)
        assert hosts_of(play.requests()[0]) == (A,)

    def test_new_ones_alone_renew_nothing(self) -> None:
        play = permitted(A)
        play.allocation.set_credentials(ALICE_ANEW, now=1.0)
        assert not play.requests()

    def test_fail_what_was_not_installed_yet(self) -> None:
        play = allocated()
        play.permit(A)
        self.reject(play)
        assert play.events == [PermissionFailed((A,), 401)]

    def test_of_another_user(self) -> None:
        play = allocated()
        play.permit(A)
        play.refuse(play.request(), 441)
        assert play.events == [PermissionFailed((A,), 441)]


class TestChannels:
    def test_a_channel_brings_its_permission(self) -> None:
        play = allocated()
        play.bind(PEER)
        assert play.allocation.is_permitted(PEER.host)
        play.succeed(play.request())
        play.run_to(240.0)
        assert hosts_of(play.request()) == (PEER.host,)

    def test_a_channel_that_waits_permits_nothing_yet(self) -> None:
        play = Play(slots=[0.0, 1.0])
        play.grant(play.request())
        play.bind(PEER)
        assert not play.allocation.is_permitted(PEER.host)
        play.run_to(1.0)
        assert play.allocation.is_permitted(PEER.host)

    def test_a_refused_channel_leaves_the_permission_to_be_asked_for(self) -> None:
        play = allocated()
        play.bind(PEER)
        play.refuse(play.request(), 400)
        assert hosts_of(play.request()) == (PEER.host,)

    def test_an_installed_permission_is_not_touched_by_a_refused_channel(self) -> None:
        play = permitted(PEER.host)
        play.bind(PEER)
        play.refuse(play.request(), 400)
        assert not play.requests()
        assert play.allocation.is_permitted(PEER.host)

    def test_nor_is_one_released(self) -> None:
        play = allocated()
        play.bind(PEER)
        request = play.request()
        play.allocation.release((PEER.host,), now=0.0)
        play.refuse(request, 400)
        assert not play.requests()

    def test_an_early_refusal_does_not_undo_what_a_channel_installed(self) -> None:
        play = Play()
        allocate = play.request()
        play.permit(PEER.host)
        early = play.request()
        play.grant(allocate)
        play.bind(PEER)
        play.succeed(play.request())
        play.refuse(early, 437)
        assert play.allocation.is_permitted(PEER.host)
        assert not play.requests()


def test_a_wish_repeated_while_it_waits_is_asked_once() -> None:
    play = Play(slots=[0.0, 1.0])
    play.grant(play.request())
    play.permit(A)
    play.permit(A)
    play.run_to(1.0)
    assert hosts_of(play.request()) == (A,)


def test_ports_play_no_part() -> None:
    play = allocated()
    play.permit(A)
    assert play.request().get(XorPeerAddress) == XorPeerAddress(Address(A, 0))


def test_ipv6_alone() -> None:
    play = allocated(RELAYED6, families=(AddressFamily.IPV6,))
    play.permit(A6)
    assert hosts_of(play.request()) == (A6,)


def test_what_went_with_an_allocate_that_is_given_up_is_asked_for_again() -> None:
    play = Play(routes=(Route(SERVER, Transport.TCP), Route(SERVER)), transports=RoutePolicy.STAGGER)
    play.open(1)
    play.permit(A)
    _, installed = play.requests()
    play.succeed(installed)
    play.permit(B)
    assert hosts_of(play.request()) == (B,)
    play.lose(1)
    _, permission = play.requests()
    assert hosts_of(permission) == (A, B)
    play.run_to(300.0)
    assert play.told(PermissionsInstalled) == [PermissionsInstalled((A,))]
