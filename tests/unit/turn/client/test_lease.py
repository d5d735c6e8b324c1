from __future__ import annotations

import pytest

from icepath.errors import InvalidState
from icepath.machine import Closed, CloseReason, Datagram, Handle, Opened, Transport, Unreachable
from icepath.net import Address
from icepath.stun.transaction import RetransmissionPolicy
from icepath.turn.client.events import (
    AddressFamilyRefused,
    Allocated,
    AllocationFailed,
    AllocationFailure,
    AllocationLost,
    CredentialsRejected,
    MobilityRefused,
    PortReserved,
)
from icepath.turn.client.routes import Route
from icepath.turn.client.token import TokenCredentials
from icepath.wire.attributes import (
    AddressErrorCode,
    AddressFamily,
    AlternateDomain,
    AlternateServer,
    Attribute,
    DontFragment,
    Lifetime,
    MobilityTicket,
    Nonce,
    Realm,
    ReservationToken,
    ThirdPartyAuthorization,
    UnknownAttributes,
    XorMappedAddress,
    XorRelayedAddress,
)
from icepath.wire.integrity import Integrity
from icepath.wire.message import Message, Method, verify
from unit.turn.scripted import (
    ALICE_ANEW,
    BOTH,
    LOCAL,
    MAPPED,
    NONCE,
    PEER,
    REALM,
    RELAYED,
    RELAYED6,
    SERVER,
    Play,
    allocated,
    key_of,
    permitted,
)

TOKEN = TokenCredentials("key-1", b"opaque", bytes(range(20)))
ALTERNATE = Address("198.51.100.2", 3478)


def lifetime_of(message: Message) -> int:
    assert message.method == Method.REFRESH
    lifetime = message.get(Lifetime)
    assert lifetime is not None
    return lifetime.seconds


def is_over(play: Play) -> bool:
    """Says whether nothing is left to wait for."""
    return play.allocation.next_deadline() is None


class TestAllocate:
    @pytest.mark.rfc("8656", "7.3")
    def test_success_is_told_once(self) -> None:
        play = Play()
        request = play.request()
        play.grant(request, lifetime=1234)
        assert play.events == [Allocated((RELAYED,), MAPPED, 1234)]
        assert play.allocation.relayed == (RELAYED,)
        play.grant(request)
        assert not play.told(Allocated)[1:]

    def test_takes_a_slot_each_time(self) -> None:
        play = Play(challenge=None, slots=[0.5, 1.5])
        assert not play.requests()
        play.run_to(0.5)
        play.challenge(play.request())
        assert not play.requests()
        play.run_to(1.5)
        assert play.request().has_integrity
        assert play.slots_taken == [0.0, 0.5]

    @pytest.mark.rfc("8656", "7.1")
    def test_both_families_in_one_request(self) -> None:
        play = Play(families=BOTH)
        play.grant(play.request(), RELAYED6, RELAYED)
        assert play.events == [Allocated((RELAYED, RELAYED6), MAPPED, 600)]

    @pytest.mark.parametrize("code", [440, 508])
    @pytest.mark.rfc("8656", "7.3")
    def test_the_missing_family_is_told_and_not_asked_for_again(self, code: int) -> None:
        play = Play(families=BOTH)
        error = AddressErrorCode(AddressFamily.IPV6, code, "no")
        play.succeed(play.request(), XorRelayedAddress(RELAYED), XorMappedAddress(MAPPED), Lifetime(600), error)
        assert play.events == [
            Allocated((RELAYED,), MAPPED, 600),
            AddressFamilyRefused(AddressFamily.IPV6, code, "no"),
        ]
        assert not play.requests()

    @pytest.mark.rfc("8656", "7.3")
    def test_what_was_not_asked_for_is_deleted(self) -> None:
        play = Play()
        play.grant(play.request(), RELAYED6)
        (failed,) = play.told(AllocationFailed)
        assert (failed.reason, failed.code) == (AllocationFailure.BAD_ANSWER, None)
        assert not play.told(Allocated)
        deletion = play.request()
        assert lifetime_of(deletion) == 0
        # Its nonce went stale meanwhile: the deletion is repeated all the same.
        play.challenge(deletion, 438, b"second")
        deletion = play.request()
        play.succeed(deletion, Lifetime(0))
        assert is_over(play)

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            (400, AllocationFailure.BAD_REQUEST),
            (403, AllocationFailure.FORBIDDEN),
            (420, AllocationFailure.REFUSED),
            (440, AllocationFailure.UNSUPPORTED_FAMILY),
            (441, AllocationFailure.WRONG_CREDENTIALS),
            (442, AllocationFailure.UNSUPPORTED_TRANSPORT),
            (486, AllocationFailure.QUOTA),
            (500, AllocationFailure.REFUSED),
            (508, AllocationFailure.CAPACITY),
        ],
    )
    @pytest.mark.rfc("8656", "7.4")
    def test_a_refusal_is_final(self, code: int, reason: AllocationFailure) -> None:
        play = Play()
        play.permit(PEER.host)
        play.refuse(play.requests()[0], code)
        assert play.told(AllocationFailed) == [AllocationFailed(reason, code, f"code {code}")]
        assert not play.requests()
        assert is_over(play)

    @pytest.mark.rfc("8656", "7.4")
    def test_an_alternate_is_reported_not_followed(self) -> None:
        play = Play()
        play.refuse(play.request(), 300, AlternateServer(ALTERNATE), AlternateDomain("turn.example"))
        assert play.events == [
            AllocationFailed(AllocationFailure.TRY_ALTERNATE, 300, "code 300", ALTERNATE, "turn.example")
        ]

    @pytest.mark.rfc("8489", "10")
    def test_a_redirection_need_not_be_signed(self) -> None:
        play = Play()
        play.refuse(play.request(), 300, AlternateServer(ALTERNATE), signed=False)
        assert [event.alternate for event in play.told(AllocationFailed)] == [ALTERNATE]

    def test_silence_is_told(self) -> None:
        play = Play()
        play.run_to(39.4)
        assert not play.events
        play.run_to(39.5)
        assert play.events == [AllocationFailed(AllocationFailure.NO_ANSWER, None, "")]
        assert len(play.sent) == 7
        assert is_over(play)

    def test_wrong_credentials_are_told(self) -> None:
        play = Play(challenge=None)
        play.challenge(play.request())
        play.challenge(play.request())
        assert [(event.reason, event.code) for event in play.told(AllocationFailed)] == [
            (AllocationFailure.WRONG_CREDENTIALS, 401)
        ]

    def test_answers_after_the_end_change_nothing(self) -> None:
        play = Play()
        request = play.request()
        play.refuse(request, 486)
        play.events.clear()
        play.grant(request)
        assert not play.told(Allocated)


class TestUnreachable:
    @pytest.mark.parametrize(("icmp", "is_hard"), [((3, 3), True), ((3, 2), True), ((3, 1), False), ((11, 0), False)])
    @pytest.mark.rfc("8489", "6.2.1")
    def test_a_hard_error_ends_the_waiting(self, icmp: tuple[int, int], is_hard: bool) -> None:
        play = Play()
        play.arrive(Unreachable(LOCAL, SERVER, *icmp))
        failed = [(event.reason, event.text) for event in play.told(AllocationFailed)]
        text = f"ICMP type {icmp[0]} code {icmp[1]}"
        assert failed == ([(AllocationFailure.UNREACHABLE, text)] if is_hard else [])
        assert is_over(play) is is_hard

    @pytest.mark.parametrize(("icmp", "is_hard"), [((1, 4), True), ((1, 0), False), ((3, 3), False)])
    def test_icmpv6_has_its_own_numbers(self, icmp: tuple[int, int], is_hard: bool) -> None:
        play = Play(server=Address("2001:db8::1", 3478), local=Address("2001:db8::2", 5000))
        play.arrive(Unreachable(play.config.local, play.config.server, *icmp))
        assert bool(play.told(AllocationFailed)) is is_hard

    def test_an_allocation_that_is_there_does_not_mind(self) -> None:
        play = allocated()
        play.arrive(Unreachable(LOCAL, SERVER, 3, 3))
        assert not play.events
        assert play.allocation.relayed == (RELAYED,)


@pytest.mark.rfc("8656", "7.4")
class TestMismatch:
    """437: the five-tuple is an allocation's already."""

    @pytest.mark.parametrize("is_gone", [False, True])
    def test_what_an_earlier_run_left_is_deleted_once(self, is_gone: bool) -> None:
        play = Play()
        play.refuse(play.request(), 437)
        eviction = play.request()
        assert lifetime_of(eviction) == 0
        if is_gone:
            play.refuse(eviction, 437)
        else:
            play.succeed(eviction, Lifetime(0))
        play.grant(play.request())
        assert play.told(Allocated)
        assert play.slots_taken == [0.0, 0.0]

    def test_a_second_437_is_final(self) -> None:
        play = Play()
        play.refuse(play.request(), 437)
        play.succeed(play.request(), Lifetime(0))
        play.refuse(play.request(), 437)
        assert play.events == [AllocationFailed(AllocationFailure.MISMATCH, 437, "code 437")]

    @pytest.mark.parametrize("code", [441, 403, None])
    def test_what_cannot_be_deleted_is_somebody_elses(self, code: int | None) -> None:
        play = Play()
        play.refuse(play.request(), 437)
        eviction = play.request()
        if code is None:
            play.run_to(100.0)
        else:
            play.refuse(eviction, code)
        (failed,) = play.told(AllocationFailed)
        assert (failed.reason, failed.code) == (AllocationFailure.MISMATCH, 437)
        assert is_over(play)

    def test_a_server_that_says_it_before_it_authenticates(self) -> None:
        play = Play(challenge=None)
        play.refuse(play.request(), 437, signed=False)
        play.challenge(play.request())
        eviction = play.request()
        assert eviction.has_integrity
        play.succeed(eviction, Lifetime(0))
        play.grant(play.request())
        assert play.told(Allocated)


@pytest.mark.rfc("8656", "7.4")
class TestDontFragment:
    def unknown(self, *attributes: Attribute) -> UnknownAttributes:
        return UnknownAttributes(tuple(attribute.TYPE for attribute in attributes))

    def test_a_server_that_can_keeps_it(self) -> None:
        play = Play(dont_fragment=True)
        request = play.request()
        assert request.get(DontFragment) is not None
        play.grant(request)
        play.permit(PEER.host)
        play.succeed(play.request())
        play.send(PEER, b"probe", dont_fragment=True)
        assert play.request().get(DontFragment) is not None

    def test_a_server_that_cannot_is_asked_without(self) -> None:
        play = Play(dont_fragment=True)
        play.refuse(play.request(), 420, self.unknown(DontFragment()))
        request = play.request()
        assert request.get(DontFragment) is None
        play.grant(request)
        assert play.told(Allocated)

    def test_it_is_asked_once(self) -> None:
        play = Play(dont_fragment=True)
        play.refuse(play.request(), 420, self.unknown(DontFragment()))
        play.refuse(play.request(), 420, self.unknown(DontFragment()))
        assert [event.code for event in play.told(AllocationFailed)] == [420]

    def test_another_unknown_attribute_is_final(self) -> None:
        play = Play(dont_fragment=True)
        play.refuse(play.request(), 420, self.unknown(Lifetime(1)))
        assert [event.code for event in play.told(AllocationFailed)] == [420]


@pytest.mark.rfc("8656", "8")
class TestRefresh:
    @pytest.mark.parametrize(("lifetime", "at"), [(600, 540.0), (3600, 3540.0), (120, 60.0), (60, 30.0), (1, 0.5)])
    def test_a_minute_before_the_end_or_half_way(self, lifetime: int, at: float) -> None:
        play = allocated(lifetime=lifetime)
        play.run_to(at - 0.01)
        assert not play.requests()
        play.run_to(at)
        assert lifetime_of(play.request()) == 600

    def test_goes_on_and_takes_no_slot(self) -> None:
        play = allocated()
        slots = len(play.slots_taken)
        for at in (540.0, 1080.0, 1620.0):
            play.run_to(at)
            play.succeed(play.request(), Lifetime(600))
        assert len(play.slots_taken) == slots
        assert not play.events

    def test_the_servers_lifetime_counts(self) -> None:
        play = allocated()
        play.run_to(540.0)
        play.succeed(play.request(), Lifetime(3600))
        play.run_to(540.0 + 3539.0)
        assert not play.requests()
        play.run_to(540.0 + 3540.0)
        assert play.requests()

    def test_without_one_ours_does(self) -> None:
        play = allocated()
        play.run_to(540.0)
        play.succeed(play.request())
        play.run_to(1080.0)
        assert play.requests()

    def test_is_counted_from_when_the_request_was_sent(self) -> None:
        play = Play()
        request = play.request()
        play.run_to(20.0)
        play.grant(request)
        play.requests()
        play.run_to(540.0)
        assert lifetime_of(play.request()) == 600

    def test_a_stale_nonce_is_replaced(self) -> None:
        play = allocated()
        play.run_to(540.0)
        play.challenge(play.request(), 438, b"second")
        renewed = play.request()
        assert renewed.get(Nonce) == Nonce(b"second")
        play.succeed(renewed, Lifetime(600))
        play.run_to(1079.0)
        assert play.allocation.relayed == (RELAYED,)

    def test_437_is_the_end(self) -> None:
        play = permitted(PEER.host)
        play.run_to(540.0)
        refresh = [message for message in play.requests() if message.method == Method.REFRESH]
        play.events.clear()
        play.refuse(refresh[0], 437)
        assert play.events == [AllocationLost(AllocationFailure.MISMATCH, 437, "code 437")]
        assert not play.allocation.relayed
        assert not play.allocation.is_permitted(PEER.host)
        assert is_over(play)

    @pytest.mark.parametrize("code", [400, 403, 486, 500])
    def test_so_is_a_refusal_that_will_stay(self, code: int) -> None:
        play = allocated()
        play.run_to(540.0)
        play.refuse(play.request(), code)
        assert [event.code for event in play.told(AllocationLost)] == [code]

    def test_silence_is_the_end_when_the_lifetime_is_over(self) -> None:
        play = allocated()
        play.run_to(540.0)
        first = play.request()
        play.run_to(579.5)
        second = play.request()
        assert lifetime_of(second) == 600
        play.run_to(599.9)
        assert not play.events
        play.run_to(600.0)
        assert play.events == [AllocationLost(AllocationFailure.NO_ANSWER, None, "")]
        assert is_over(play)
        play.succeed(first, Lifetime(600))
        assert not play.told(Allocated)

    def test_a_late_answer_saves_it(self) -> None:
        play = allocated()
        play.run_to(590.0)
        play.succeed(play.requests()[-1], Lifetime(600))
        play.run_to(600.0)
        assert not play.events
        assert play.allocation.relayed == (RELAYED,)

    def test_silence_from_one_transaction_that_outlasts_the_lifetime(self) -> None:
        play = Play(policy=RetransmissionPolicy(rto=100.0))
        play.grant(play.request())
        play.told(Allocated)
        play.run_to(600.0)
        assert play.events == [AllocationLost(AllocationFailure.NO_ANSWER, None, "")]


class TestRejectedCredentials:
    def reject(self, play: Play) -> None:
        play.challenge(play.request(), 401, b"second")
        play.challenge(play.request(), 401, b"third")

    def test_leave_the_path_until_its_end(self) -> None:
        play = allocated()
        play.run_to(540.0)
        self.reject(play)
        assert play.events == [CredentialsRejected(401, 600.0)]
        play.events.clear()
        play.run_to(599.0)
        assert play.allocation.relayed == (RELAYED,)
        assert not play.requests()
        play.run_to(600.0)
        assert play.events == [AllocationLost(AllocationFailure.WRONG_CREDENTIALS, 401, "code 401")]

    def test_are_replaced_in_time(self) -> None:
        play = allocated()
        play.run_to(540.0)
        self.reject(play)
        play.run_to(590.0)
        play.allocation.set_credentials(ALICE_ANEW, now=play.now)
        refresh = play.request()
        verify(refresh, key_of(ALICE_ANEW), require=Integrity.SHA1)
        play.key = key_of(ALICE_ANEW)
        play.succeed(refresh, Lifetime(600))
        play.events.clear()
        play.run_to(1129.0)
        assert not play.told(AllocationLost)

    def test_replaced_beforehand_nobody_notices(self) -> None:
        play = allocated()
        play.allocation.set_credentials(ALICE_ANEW, now=1.0)
        play.run_to(540.0)
        self.reject(play)
        refresh = play.request()
        play.key = key_of(ALICE_ANEW)
        play.succeed(refresh, Lifetime(600))
        assert not play.told(CredentialsRejected)
        assert not play.told(AllocationLost)

    def test_of_another_user_are_told_at_the_end(self) -> None:
        play = allocated()
        play.run_to(540.0)
        play.refuse(play.request(), 441)
        assert play.events == [CredentialsRejected(441, 600.0)]
        play.events.clear()
        play.run_to(600.0)
        assert play.events == [AllocationLost(AllocationFailure.WRONG_CREDENTIALS, 441, "code 441")]

    def test_after_the_end_nothing_is_rejected(self) -> None:
        play = Play(policy=RetransmissionPolicy(rto=100.0))
        play.grant(play.request())
        play.run_to(600.0)
        assert not play.requests()[1:]


def test_wrong_credentials_for_an_allocate_can_be_replaced_while_it_is_decided() -> None:
    play = Play(challenge=None)
    play.allocation.set_credentials(ALICE_ANEW, now=0.0)
    play.challenge(play.request())
    play.refuse(play.request(), 401, Realm(REALM), Nonce(NONCE), signed=False)
    request = play.request()
    verify(request, key_of(ALICE_ANEW))
    play.key = key_of(ALICE_ANEW)
    play.grant(request)
    assert play.told(Allocated)


def test_nothing_is_built_on_a_lease_that_is_pending() -> None:
    with pytest.raises(InvalidState):
        Play().bind(PEER)


class TestWays:
    """What becomes of the lease when the way to the server is lost; test_ways.py has the ways themselves."""

    def test_lost_before_the_answer_another_is_tried(self) -> None:
        play = Play(routes=(Route(SERVER), Route(SERVER, Transport.TCP)))
        play.permit(PEER.host)
        play.requests()
        play.arrive(Unreachable(LOCAL, SERVER, 3, 3))
        play.arrive(Opened(Handle(1), LOCAL, SERVER))
        allocate, _permission = play.requests()
        play.grant(allocate)
        assert play.told(Allocated)

    def test_lost_before_the_answer_for_good(self) -> None:
        play = Play(routes=(Route(SERVER, Transport.TCP),))
        play.arrive(Opened(Handle(1), LOCAL, SERVER))
        play.arrive(Closed(Handle(1), CloseReason.RESET))
        (failed,) = play.told(AllocationFailed)
        assert failed.reason is AllocationFailure.CONNECTION_LOST
        assert is_over(play)

    def test_lost_after_it(self) -> None:
        play = Play(routes=(Route(SERVER, Transport.TCP),))
        play.arrive(Opened(Handle(1), LOCAL, SERVER))
        play.grant(play.request())
        play.arrive(Closed(Handle(1), CloseReason.RESET))
        (lost,) = play.told(AllocationLost)
        assert lost.reason is AllocationFailure.CONNECTION_LOST

    def test_lost_once_there_is_none(self) -> None:
        play = Play(routes=(Route(SERVER, Transport.TCP),))
        play.arrive(Opened(Handle(1), LOCAL, SERVER))
        play.grant(play.request())
        play.close()
        play.arrive(Closed(Handle(1), CloseReason.RESET))
        assert not play.told(AllocationLost)


@pytest.mark.rfc("8656", "7.3")
def test_a_reserved_port_is_told() -> None:
    play = Play(even_port=True)
    play.succeed(play.request(), XorRelayedAddress(RELAYED), Lifetime(600), ReservationToken(b"12345678"))
    assert play.told(PortReserved) == [PortReserved(b"12345678")]


@pytest.mark.rfc("7635", "6.1")
class TestThirdParty:
    def test_without_credentials_a_token_is_needed(self) -> None:
        play = Play(credentials=None, challenge=None)
        name = ThirdPartyAuthorization("turn.example.org")
        play.refuse(play.request(), 401, Realm(REALM), Nonce(NONCE), name)
        (failed,) = play.told(AllocationFailed)
        assert (failed.reason, failed.authorization) == (AllocationFailure.TOKEN_NEEDED, "turn.example.org")

    def test_with_ones_that_are_wrong_the_name_is_told_too(self) -> None:
        play = Play(credentials=TOKEN, challenge=None)
        name = ThirdPartyAuthorization("turn.example.org")
        for _ in range(2):
            play.refuse(play.request(), 401, Realm(REALM), Nonce(NONCE), name, signed=False)
        (failed,) = play.told(AllocationFailed)
        assert (failed.reason, failed.authorization) == (AllocationFailure.WRONG_CREDENTIALS, "turn.example.org")

    def test_a_token_makes_the_allocation_and_a_newer_one_keeps_it(self) -> None:
        play = Play(credentials=TOKEN, challenge=None)
        play.challenge(play.request())
        play.grant(play.request())
        assert play.told(Allocated)
        newer = TokenCredentials("key-2", b"newer", bytes(20))
        play.allocation.set_credentials(newer, now=0.0)
        play.run_to(540.0)
        verify(play.request(), key_of(newer))


@pytest.mark.rfc("8016", "3.1.4")
def test_a_server_without_tickets_is_asked_without() -> None:
    play = Play(mobility=True)
    play.refuse(play.request(), 405)
    assert play.told(MobilityRefused) == [MobilityRefused(405, "code 405")]
    play.grant(play.request())
    assert play.told(Allocated)


@pytest.mark.rfc("8016", "3.1.3")
def test_a_ticket_is_kept_and_spent() -> None:
    play = Play(mobility=True)
    play.succeed(play.request(), XorRelayedAddress(RELAYED), Lifetime(600), MobilityTicket(b"one"))
    assert play.allocation.is_mobile
    # A server may answer the move without a new one: the old one must not be used again.
    play.sent.clear()
    moved = Address("192.168.9.9", 5000)
    play.allocation.migrate(moved, now=0.0)
    (datagram,) = [each for each in play.allocation.take_outputs() if isinstance(each, Datagram)]
    assert datagram.local == moved
    play.succeed(play.message(datagram), Lifetime(600))
    assert not play.allocation.is_mobile
