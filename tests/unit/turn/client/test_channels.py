from __future__ import annotations

import random

import pytest

from icepath.machine import DatagramDropped, DropReason
from icepath.net import Address
from icepath.outbox import Outbox
from icepath.turn.client.channels import Channels
from icepath.turn.client.config import AllocationConfig
from icepath.turn.client.events import (
    AllocationEvent,
    AllocationFailure,
    AllocationLost,
    ChannelBound,
    ChannelFailed,
    PeerDataReceived,
)
from icepath.turn.client.exchange import Answer, Outcome, Purpose, Request
from icepath.turn.client.requests import Requests
from icepath.wire.attributes import ChannelNumber, XorPeerAddress
from icepath.wire.message import Message, Method
from unit.turn.scripted import BOTH, LOCAL, PEER, PEER6, RELAYED, RELAYED6, SERVER, Play, allocated, bound

OTHER = Address("203.0.113.51", 7001)
FIRST = 0x4000


def binding_of(message: Message) -> tuple[int, Address]:
    assert message.method == Method.CHANNEL_BIND
    number, peer = message.get(ChannelNumber), message.get(XorPeerAddress)
    assert number is not None
    assert peer is not None
    return number.number, peer.address


def renew_permissions(play: Play, until: float) -> list[Message]:
    """Lets time pass, grants CreatePermission and Refresh, and returns the ChannelBinds."""
    found: list[Message] = []
    at = play.now
    while at < until:
        at = min(at + 5.0, until)
        play.run_to(at)
        for message in play.requests():
            if message.method == Method.CHANNEL_BIND:
                found.append(message)
            else:
                play.succeed(message)
    return found


class TestBinding:
    def test_asks_and_is_usable_after_the_answer(self) -> None:
        play = allocated()
        play.bind(PEER)
        request = play.request()
        assert binding_of(request) == (FIRST, PEER)
        assert play.allocation.channel_of(PEER) is None
        play.succeed(request)
        assert play.events == [ChannelBound(PEER, FIRST, 600.0)]
        assert play.allocation.channel_of(PEER) == FIRST

    def test_takes_a_slot(self) -> None:
        play = Play(slots=[0.0, 0.5])
        play.grant(play.request())
        play.bind(PEER)
        assert not play.requests()
        play.run_to(0.5)
        assert binding_of(play.request()) == (FIRST, PEER)

    def test_asking_again_changes_nothing(self) -> None:
        play = allocated()
        play.bind(PEER)
        request = play.request()
        play.bind(PEER)
        play.succeed(request)
        play.bind(PEER)
        assert not play.requests()

    def test_each_peer_has_a_number_of_its_own(self) -> None:
        play = bound(PEER, OTHER)
        assert (play.allocation.channel_of(PEER), play.allocation.channel_of(OTHER)) == (FIRST, FIRST + 1)

    def test_a_late_answer_leaves_less_time(self) -> None:
        play = allocated()
        play.bind(PEER)
        request = play.request()
        play.run_to(7.0)
        play.succeed(request)
        assert play.told(ChannelBound) == [ChannelBound(PEER, FIRST, 600.0)]

    @pytest.mark.rfc("8656", "12.1")
    def test_a_peer_of_another_family_is_not_asked_for(self) -> None:
        play = allocated()
        play.bind(PEER6)
        assert not play.requests()
        assert play.events == [ChannelFailed(PEER6, 443)]

    def test_an_ipv6_peer_of_a_dual_allocation(self) -> None:
        play = allocated(RELAYED, RELAYED6, families=BOTH)
        play.bind(PEER6)
        assert binding_of(play.request()) == (FIRST, PEER6)

    def test_437_is_the_end_of_the_allocation(self) -> None:
        play = allocated()
        play.bind(PEER)
        play.refuse(play.request(), 437)
        assert play.events == [AllocationLost(AllocationFailure.MISMATCH, 437, "code 437")]
        assert play.allocation.channel_of(PEER) is None


@pytest.mark.rfc("8656", "12")
class TestData:
    def test_channel_data_is_taken_before_the_answer(self) -> None:
        play = allocated()
        play.bind(PEER)
        play.send_on_channel(FIRST, b"early")
        assert play.told(PeerDataReceived) == [PeerDataReceived(RELAYED, PEER, b"early")]

    def test_channel_data_without_a_channel_is_dropped(self) -> None:
        play = bound(PEER)
        play.send_on_channel(FIRST + 1, b"whose")
        assert [event.reason for event in play.told(DatagramDropped)] == [DropReason.UNKNOWN_CHANNEL]

    def test_an_ended_channel_has_no_data(self) -> None:
        play = bound(PEER)
        play.allocation.release((PEER.host,), now=play.now)
        play.permit(PEER.host)
        play.send_on_channel(FIRST, b"late")
        assert [event.reason for event in play.told(DatagramDropped)] == [DropReason.UNKNOWN_CHANNEL]

    def test_a_channel_past_its_end_is_not_used_even_before_the_timer(self) -> None:
        play = bound(PEER)
        play.now = 600.0
        play.send(PEER, b"late")
        assert play.request().method == Method.SEND

    def test_a_channel_in_time_is_used(self) -> None:
        play = bound(PEER)
        play.send(PEER, b"data")
        (datagram,) = play.sent
        assert datagram.payload == b"\x40\x00\x00\x04data"


class TestRefusals:
    @pytest.mark.parametrize("code", [400, 403, 508])
    def test_is_told_once_and_data_goes_on(self, code: int) -> None:
        play = allocated()
        play.permit(PEER.host)
        play.succeed(play.request())
        play.events.clear()
        play.bind(PEER)
        play.refuse(play.request(), code)
        assert play.events == [ChannelFailed(PEER, code)]
        for number in range(3):
            play.send(PEER, b"on we go %d" % number)
            assert play.request().method == Method.SEND
        play.bind(PEER)
        assert not play.requests()

    def test_silence_is_told(self) -> None:
        play = allocated()
        play.bind(PEER)
        play.requests()
        play.run_to(39.5)
        assert play.told(ChannelFailed) == [ChannelFailed(PEER, None)]
        assert play.allocation.channel_of(PEER) is None

    def test_an_answer_after_release_changes_nothing(self) -> None:
        play = allocated()
        play.bind(PEER)
        request = play.request()
        play.allocation.release((PEER.host,), now=play.now)
        play.succeed(request)
        assert not play.events
        assert play.allocation.channel_of(PEER) is None


@pytest.mark.rfc("8656", "12")
class TestRenewal:
    def test_one_minute_before_the_end(self) -> None:
        play = bound(PEER)
        slots = len(play.slots_taken)
        assert not renew_permissions(play, 539.0)
        (renewal,) = renew_permissions(play, 540.0)
        assert binding_of(renewal) == (FIRST, PEER)
        play.succeed(renewal)
        assert play.told(ChannelBound) == [ChannelBound(PEER, FIRST, 1140.0)]
        assert len(play.slots_taken) == slots

    def test_a_refused_renewal_ends_the_channel(self) -> None:
        play = bound(PEER)
        (renewal,) = renew_permissions(play, 540.0)
        play.refuse(renewal, 403)
        assert play.told(ChannelFailed) == [ChannelFailed(PEER, 403)]
        play.send(PEER, b"data")
        assert play.request().method == Method.SEND

    def test_an_unanswered_one_is_repeated_until_the_end(self) -> None:
        play = bound(PEER)
        renewals = renew_permissions(play, 599.0)
        assert [binding_of(renewal) for renewal in renewals] == [(FIRST, PEER)] * 2
        assert play.allocation.channel_of(PEER) == FIRST
        renew_permissions(play, 600.0)
        assert play.told(ChannelFailed) == [ChannelFailed(PEER, None)]
        assert play.allocation.channel_of(PEER) is None
        # What is still in flight about it changes nothing.
        renew_permissions(play, 640.0)
        assert not play.told(ChannelFailed)

    def test_a_released_one_is_not_renewed(self) -> None:
        play = bound(PEER, OTHER)
        play.allocation.release((PEER.host,), now=play.now)
        play.allocation.release((PEER.host,), now=play.now)
        assert [binding_of(renewal)[1] for renewal in renew_permissions(play, 540.0)] == [OTHER]


@pytest.mark.rfc("8656", "12")
class TestQuarantine:
    def refuse_one(self) -> Play:
        """Returns a play whose channel 0x4000 was refused at 0."""
        play = allocated()
        play.bind(PEER)
        play.refuse(play.request(), 508)
        play.succeed(play.request())
        play.events.clear()
        return play

    def test_a_peer_is_not_bound_again_before_the_server_has_forgotten(self) -> None:
        play = self.refuse_one()
        renew_permissions(play, 899.0)
        play.bind(PEER)
        assert not play.requests()
        renew_permissions(play, 900.0)
        play.bind(PEER)
        assert binding_of(play.request()) == (FIRST + 1, PEER)

    def test_numbers_come_round_and_skip_what_is_used_or_in_quarantine(self) -> None:
        """On the part alone: 4096 channels through the machine take long."""
        outbox: Outbox[AllocationEvent] = Outbox()
        config = AllocationConfig(SERVER, LOCAL)
        requests = Requests(
            config, outbox, random_bytes=random.Random(1).randbytes, reserve_slot=lambda now: now + 10_000.0
        )
        channels = Channels(requests, outbox)
        peers = [Address(f"203.0.{number >> 8}.{number & 255}", 7000) for number in range(4096)]
        for peer in peers:
            assert not channels.bind(peer, 0.0)
        last = Address("203.0.113.1", 9)
        channels.bind(last, 0.0)
        assert outbox.take() == [ChannelFailed(last, None)]
        gone = peers[2:4]
        for peer in gone:
            channels.on_answer(_refusal(peer), 100.0)
        outbox.take()
        channels.bind(last, 999.0)
        assert outbox.take() == [ChannelFailed(last, None)]
        channels.bind(last, 1000.0)
        assert not outbox.take()
        assert channels.peer_of(FIRST + 2) == last
        # The number's former peer is free as well.
        channels.bind(gone[0], 1000.0)
        assert channels.peer_of(FIRST + 3) == gone[0]
        channels.bind(gone[1], 1000.0)
        assert outbox.take() == [ChannelFailed(gone[1], None)]


def _refusal(peer: Address) -> Answer:
    request = Request(Purpose.CHANNEL, (), is_paced=True, hosts=(peer.host,), peer=peer)
    return Answer(request, Outcome.REFUSED, 0.0, code=508)
