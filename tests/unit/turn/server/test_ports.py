from __future__ import annotations

import pytest

from icepath.machine import Bind, Close, Closed, CloseReason, Failed, FailReason, Handle, MachineClosed, Opened
from icepath.net import Address
from icepath.turn.server.config import AllocationEnded, AllocationOpened, EndReason
from icepath.wire.attributes import (
    AdditionalAddressFamily,
    AddressErrorCode,
    ErrorCode,
    Lifetime,
    RequestedAddressFamily,
    RequestedTransport,
    XorMappedAddress,
    XorRelayedAddress,
)
from icepath.wire.message import Method
from unit.turn.serving import CLIENT, PEER, RELAY4, RELAY6, RELAYED, RELAYED6, RELEASE, V6, Desk

DUAL = AdditionalAddressFamily(V6)
RELAYED6_SECOND = Address(RELAY6, 49153)


def test_asks_for_a_socket_and_answers_when_it_is_there() -> None:
    desk = Desk()
    assert desk.ask(Method.ALLOCATE, RequestedTransport()) is None
    assert desk.commands == [Bind(Handle(1), Address(RELAY4, 0), port_range=(49152, 65535))]
    assert not desk.events
    desk.open_all()
    message = desk.answer()
    assert message is not None
    assert message.attributes == (XorRelayedAddress(RELAYED), XorMappedAddress(CLIENT), Lifetime(600))
    assert desk.events == [AllocationOpened(CLIENT, (RELAYED,), None, 600)]


@pytest.mark.rfc("8656", "7.2")
def test_waits_for_both_sockets() -> None:
    desk = Desk()
    desk.ask(Method.ALLOCATE, RequestedTransport(), DUAL)
    four, six = desk.commands
    assert isinstance(four, Bind)
    assert isinstance(six, Bind)
    assert (four.local, six.local) == (Address(RELAY4, 0), Address(RELAY6, 0))
    desk.arrive(Opened(six.handle, RELAYED6))
    assert desk.answer() is None
    desk.arrive(Opened(four.handle, RELAYED))
    message = desk.answer()
    assert message is not None
    assert message.get_all(XorRelayedAddress) == (XorRelayedAddress(RELAYED), XorRelayedAddress(RELAYED6))


@pytest.mark.rfc("8656", "7.2")
@pytest.mark.parametrize("missing", [RELAY4, RELAY6])
def test_one_of_two_is_better_than_none(missing: str) -> None:
    message = Desk().allocate(DUAL, but=missing)
    (relayed,) = message.get_all(XorRelayedAddress)
    assert relayed.address.host != missing
    error = message.get(AddressErrorCode)
    assert error is not None
    assert (error.family == V6, error.code) == (missing == RELAY6, 508)


def test_none_is_an_error() -> None:
    desk = Desk(hosts=(RELAY4,))
    message = desk.allocate(but=RELAY4)
    assert message.get(ErrorCode) == ErrorCode(508, "Insufficient Capacity")
    assert desk.events == [AllocationEnded(CLIENT, (), None, EndReason.NO_PORT)]
    assert desk.server.allocation_count == 0
    # The five-tuple is free again.
    desk.allocate(RequestedAddressFamily(1))


def test_a_socket_that_ends_takes_its_family_along() -> None:
    desk = Desk()
    desk.allocate(DUAL)
    desk.arrive(Closed(Handle(1), CloseReason.RESET))
    assert desk.permit(PEER.host) == 443
    assert desk.server.allocation_count == 1
    desk.arrive(Closed(Handle(2), CloseReason.RESET))
    assert desk.events[1:] == [AllocationEnded(CLIENT, (), None, EndReason.NO_PORT)]
    assert desk.server.next_deadline() is None


def test_news_of_unknown_sockets_are_for_nobody() -> None:
    desk = Desk()
    desk.allocate()
    desk.events.clear()
    for arrival in (Opened(Handle(9), PEER), Failed(Handle(9), FailReason.NO_PORT), Opened(Handle(1), PEER)):
        desk.arrive(arrival)
    assert not desk.events
    assert not desk.sent
    assert desk.permit(PEER.host) == 0


@pytest.mark.rfc("8656", "6")
def test_an_allocation_ends_with_its_lifetime() -> None:
    desk = Desk()
    desk.allocate()
    assert desk.server.next_deadline() == 600.0
    desk.run_to(599.9)
    assert desk.server.allocation_count == 1
    desk.run_to(600.0)
    assert desk.commands == [Close(Handle(1))]
    assert desk.events[1:] == [AllocationEnded(CLIENT, (RELAYED,), None, EndReason.EXPIRED)]
    assert desk.server.next_deadline() is None


def test_a_refresh_moves_the_end() -> None:
    desk = Desk()
    desk.allocate()
    desk.now = 500.0
    assert desk.code(Method.REFRESH) == 0
    assert desk.server.next_deadline() == 1100.0


@pytest.mark.rfc("8656", "7.2")
def test_a_retransmission_is_answered_with_the_time_that_is_left() -> None:
    desk = Desk()
    payload = desk.encode(Method.ALLOCATE, RequestedTransport())
    desk.receive(payload)
    desk.open_all()
    first = desk.answer()
    desk.now = 2.0
    desk.receive(payload)
    again = desk.answer()
    assert first is not None
    assert again is not None
    assert again.get(XorRelayedAddress) == first.get(XorRelayedAddress)
    assert again.get(Lifetime) == Lifetime(598)
    assert desk.server.allocation_count == 1


@pytest.mark.rfc("8656", "8.1")
def test_one_family_can_be_given_back() -> None:
    desk = Desk()
    desk.allocate(DUAL)
    assert desk.code(Method.REFRESH, RELEASE, RequestedAddressFamily(V6)) == 0
    assert desk.commands == [Close(Handle(2))]
    assert desk.server.allocation_count == 1
    assert desk.code(Method.REFRESH, RELEASE) == 0
    assert desk.commands == [Close(Handle(2)), Close(Handle(1))]
    assert desk.events[1:] == [AllocationEnded(CLIENT, (RELAYED,), None, EndReason.RELEASED)]


def test_closing_ends_all() -> None:
    desk = Desk()
    desk.allocate(DUAL)
    other = Address(CLIENT.host, 61001)
    desk.allocate(client=other)
    desk.events.clear()
    desk.server.close(now=desk.now)
    desk.drain()
    assert desk.commands == [Close(Handle(1)), Close(Handle(2)), Close(Handle(3))]
    assert desk.events == [
        AllocationEnded(CLIENT, (RELAYED, RELAYED6_SECOND), None, EndReason.CLOSED),
        AllocationEnded(other, (Address(RELAY4, 49154),), None, EndReason.CLOSED),
        MachineClosed(),
    ]
