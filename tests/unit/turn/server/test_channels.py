from __future__ import annotations

import pytest

from icepath.net import Address
from icepath.turn.server.channels import BindVerdict, ChannelTable

A, B, A6 = Address("192.0.2.1", 1000), Address("192.0.2.1", 1001), Address("2001:db8::a", 1000)
BOUND, CONFLICT, NO_ROOM = BindVerdict.BOUND, BindVerdict.CONFLICT, BindVerdict.NO_ROOM


@pytest.mark.rfc("8656", "12")
def test_a_binding_lives_ten_minutes_from_its_last_request() -> None:
    table = ChannelTable(5)
    assert table.bind(0x4000, A, 0.0) is BOUND
    assert (table.peer_of(0x4000, 599.9), table.channel_to(A, 599.9)) == (A, 0x4000)
    assert (table.peer_of(0x4000, 600.0), table.channel_to(A, 600.0)) == (None, None)
    assert table.bind(0x4000, A, 500.0) is BOUND
    assert table.peer_of(0x4000, 1099.9) == A


def test_what_was_never_bound() -> None:
    table = ChannelTable(5)
    assert (table.peer_of(0x4000, 0.0), table.channel_to(A, 0.0)) == (None, None)


@pytest.mark.rfc("8656", "12.2")
def test_number_and_peer_belong_together() -> None:
    table = ChannelTable(5)
    table.bind(0x4000, A, 0.0)
    assert table.bind(0x4000, B, 1.0) is CONFLICT
    assert table.bind(0x4001, A, 1.0) is CONFLICT
    assert table.bind(0x4001, B, 1.0) is BOUND
    assert (table.peer_of(0x4000, 1.0), table.peer_of(0x4001, 1.0)) == (A, B)


@pytest.mark.rfc("8656", "12")
def test_after_its_end_both_are_free() -> None:
    table = ChannelTable(5)
    table.bind(0x4000, A, 0.0)
    table.bind(0x4002, B, 100.0)
    assert table.bind(0x4001, A, 600.0) is BOUND
    assert table.bind(0x4000, A6, 600.0) is BOUND
    assert table.peer_of(0x4002, 600.0) == B


def test_there_is_room_for_so_many() -> None:
    table = ChannelTable(1)
    table.bind(0x4000, A, 0.0)
    assert table.bind(0x4001, B, 1.0) is NO_ROOM
    assert table.bind(0x4000, A, 1.0) is BOUND
    assert table.bind(0x4001, B, 601.0) is BOUND


@pytest.mark.rfc("8656", "8.1")
def test_a_family_goes_alone() -> None:
    table = ChannelTable(5)
    table.bind(0x4000, A, 0.0)
    table.bind(0x4001, A6, 0.0)
    table.remove_family(is_ipv6=True)
    assert (table.peer_of(0x4000, 1.0), table.peer_of(0x4001, 1.0)) == (A, None)
    assert table.channel_to(A6, 1.0) is None
