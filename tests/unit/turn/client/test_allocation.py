from __future__ import annotations

import math

import pytest

from icepath.errors import InvalidArgument, InvalidState
from icepath.machine import (
    Bytes,
    Closed,
    CloseReason,
    DatagramDropped,
    DropReason,
    Handle,
    MachineClosed,
    Transport,
)
from icepath.net import Address
from icepath.stun.credentials import Challenge
from icepath.turn.client.allocation import MAX_PAYLOAD, AllocationConfig
from icepath.turn.client.events import (
    AllocationFailed,
    AllocationFailure,
    ChallengeRemembered,
    ChannelFailed,
    PeerDataReceived,
    PermissionFailed,
)
from icepath.turn.client.routes import Route
from icepath.wire.attributes import (
    ConnectionId,
    Data,
    DontFragment,
    Lifetime,
    MobilityTicket,
    UnknownAttributes,
    XorPeerAddress,
    XorRelayedAddress,
)
from icepath.wire.message import Message, MessageClass, Method
from unit.turn.scripted import (
    ALICE_ANEW,
    LOCAL,
    PEER,
    PEER6,
    REALM,
    RELAYED,
    SERVER,
    Play,
    allocated,
    bound,
    key_of,
    permitted,
)

OTHER = Address("203.0.113.99", 7000)
OTHER_LOCAL = Address("192.168.9.9", 5000)
TCP = Route(SERVER, Transport.TCP)


def reasons(play: Play) -> list[DropReason]:
    return [event.reason for event in play.told(DatagramDropped)]


def is_refresh(message: Message) -> bool:
    return message.method == Method.REFRESH and message.get(Lifetime) != Lifetime(0)


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


class TestQueries:
    def test_say_what_there_is(self) -> None:
        play = bound(PEER)
        assert play.allocation.relayed == (RELAYED,)
        assert play.allocation.route == Route(SERVER)
        assert play.allocation.channel_of(PEER) == 0x4000
        assert play.allocation.is_permitted(PEER.host)
        assert not play.allocation.has_unsent_permissions
        assert not play.allocation.is_mobile

    def test_say_what_there_is_not(self) -> None:
        play = Play()
        assert play.allocation.relayed == ()
        assert play.allocation.channel_of(PEER) is None


class TestVerbsOfPaths:
    """What they bring about is in test_mobility.py and test_connections.py."""

    def test_a_move(self) -> None:
        play = Play(routes=(Route(SERVER),), mobility=True)
        ticket = MobilityTicket(b"ticket")
        play.succeed(play.request(), XorRelayedAddress(RELAYED), Lifetime(600), ticket)
        play.allocation.migrate(OTHER_LOCAL, now=0.0)
        assert play.request().get(MobilityTicket) == ticket

    def test_a_move_that_cannot_be_leaves_no_trace(self) -> None:
        play = allocated()
        with pytest.raises(InvalidState):
            play.allocation.migrate(OTHER_LOCAL, now=1000.0)
        assert play.allocation.next_deadline() == 540.0
        play.run_to(540.0)
        assert is_refresh(play.request())

    def test_a_connection_to_a_peer(self) -> None:
        play = Play(routes=(TCP,), relay_transport=Transport.TCP)
        play.open(1)
        with pytest.raises(InvalidState):
            play.allocation.connect_peer(PEER, now=0.0)
        play.grant(play.request())
        with pytest.raises(InvalidArgument):
            play.allocation.connect_peer(PEER6, now=0.0)
        play.allocation.connect_peer(PEER, now=0.0)
        assert play.request().method == Method.CONNECT
        with pytest.raises(InvalidState):
            play.allocation.send_to_peer(Handle(2), b"early", now=0.0)
        play.allocation.disconnect_peer(Handle(2), now=0.0)
        assert not play.requests()

    def test_bytes_to_a_peer(self) -> None:
        play = Play(routes=(TCP,), relay_transport=Transport.TCP)
        play.open(1)
        play.grant(play.request())
        play.allocation.connect_peer(PEER, now=0.0)
        play.succeed(play.request(), ConnectionId(1))
        play.open(2)
        play.succeed(play.request())
        play.allocation.send_to_peer(Handle(2), b"x", now=0.0)
        play.drain()
        assert play.sent_on == [Bytes(Handle(2), b"x")]

    def test_a_channel(self) -> None:
        play = allocated()
        play.bind(PEER)
        assert play.allocation.is_permitted(PEER.host)
        play.bind(PEER)
        assert len(play.requests()) == 1

    def test_new_credentials(self) -> None:
        play = Play()
        play.allocation.set_credentials(ALICE_ANEW, now=0.0)
        play.challenge(play.request(), 401, b"second")
        play.challenge(play.request(), 401, b"third")
        play.key = key_of(ALICE_ANEW)
        play.grant(play.request())
        assert play.allocation.relayed


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
