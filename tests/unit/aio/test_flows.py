"""The flow table: what it carries, what it leaves to the machine, what it counts."""

from __future__ import annotations

import pytest

from icepath.aio.flows import FlowTable
from icepath.machine import Budget, Deliver, FlowAction, FlowKey, FlowUsed, Relay, SetFlow
from icepath.net import Address, Instant

LOCAL = Address("192.0.2.1", 1000)
REMOTE = Address("198.51.100.1", 2000)
SOURCE = ("198.51.100.1", 2000)
CHANNEL = 0x4001


def a_flow(
    channel: int | None = None,
    *,
    action: FlowAction | None = None,
    until: Instant = 10.0,
    budget: Budget | None = None,
) -> SetFlow:
    return SetFlow(FlowKey(LOCAL, REMOTE, channel), action or Deliver(1, 1), until, budget)


def channel_data(payload: bytes, *, channel: int = CHANNEL, length: int | None = None) -> bytes:
    return channel.to_bytes(2, "big") + (len(payload) if length is None else length).to_bytes(2, "big") + payload


def test_a_flow_carries_its_datagrams_and_counts_them() -> None:
    table, got = FlowTable(), list[bytes]()
    assert table.set(a_flow(), got.append) is None
    assert table.take(SOURCE, b"\x80data", 1.0)
    assert table.take(SOURCE, b"\x80more", 2.0)
    assert got == [b"\x80data", b"\x80more"]
    assert table.used() == [FlowUsed(FlowKey(LOCAL, REMOTE), 2, 10, 0.0)]
    assert table.used() == []


def test_other_sources_are_the_machines() -> None:
    table, got = FlowTable(), list[bytes]()
    table.set(a_flow(), got.append)
    assert not table.take(("198.51.100.1", 2001), b"\x80data", 1.0)
    assert not table.take(("198.51.100.2", 2000), b"\x80data", 1.0)
    assert got == []


def test_a_flow_never_acts_at_or_after_until() -> None:
    table, got = FlowTable(), list[bytes]()
    table.set(a_flow(until=10.0), got.append)
    assert table.take(SOURCE, b"\x80data", 9.999)
    assert not table.take(SOURCE, b"\x80data", 10.0)
    assert len(got) == 1


def test_a_dropped_flow_reports_its_use_and_carries_no_more() -> None:
    table, got = FlowTable(), list[bytes]()
    command = a_flow()
    table.set(command, got.append)
    table.take(SOURCE, b"\x80data", 1.0)
    assert table.drop(command.key) == FlowUsed(command.key, 1, 5, 0.0)
    assert not table.take(SOURCE, b"\x80data", 1.0)
    assert table.drop(command.key) is None
    assert len(table) == 0


@pytest.mark.parametrize("channel", [None, CHANNEL])
def test_a_flow_is_found_by_its_key_whether_or_not_it_may_act(channel: int | None) -> None:
    table = FlowTable()
    command = a_flow(channel, until=0.0)
    assert table.find(command.key) is None
    table.set(command, print)
    found = table.find(command.key)
    assert found is not None
    assert found.key == command.key
    table.set(command, print)
    assert table.find(command.key) is not found
    table.drop(command.key)
    assert table.find(command.key) is None


def test_renewing_reports_what_the_older_one_carried() -> None:
    table, got = FlowTable(), list[bytes]()
    table.set(a_flow(until=10.0), got.append)
    table.take(SOURCE, b"\x80data", 1.0)
    assert table.set(a_flow(until=20.0), got.append) == FlowUsed(FlowKey(LOCAL, REMOTE), 1, 5, 0.0)
    assert table.take(SOURCE, b"\x80data", 15.0)


def test_channel_data_is_unwrapped_to_its_length() -> None:
    table, got = FlowTable(), list[bytes]()
    command = a_flow(CHANNEL, action=Deliver(1, 1, unwrap=True))
    table.set(command, got.append)
    assert table.take(SOURCE, channel_data(b"abc") + b"\0", 1.0)
    assert got == [b"abc"]
    assert table.used() == [FlowUsed(command.key, 1, 3, 0.0)]
    table.drop(command.key)
    assert len(table) == 0


@pytest.mark.parametrize(
    "payload",
    [channel_data(b"abc", length=4), channel_data(b"abc", channel=0x4002), b"\x40\x01\x00", b"\x40"],
)
def test_bad_or_foreign_channel_data_is_the_machines(payload: bytes) -> None:
    table, got = FlowTable(), list[bytes]()
    table.set(a_flow(CHANNEL, action=Deliver(1, 1, unwrap=True)), got.append)
    assert not table.take(SOURCE, payload, 1.0)
    assert got == []
    assert table.used() == []


@pytest.mark.rfc("9443", "3")
def test_channel_like_first_bytes_of_a_direct_peer_are_data() -> None:
    table, got = FlowTable(), list[bytes]()
    table.set(a_flow(), got.append)
    table.set(a_flow(CHANNEL, action=Deliver(1, 2, unwrap=True)), lambda _: pytest.fail("not that channel"))
    assert table.take(SOURCE, b"\x45short header of QUIC", 1.0)
    assert got == [b"\x45short header of QUIC"]


def test_a_relay_wraps_for_the_client() -> None:
    table, got = FlowTable(), list[bytes]()
    table.set(a_flow(action=Relay(LOCAL, Address("203.0.113.1", 3000), wrap=CHANNEL)), got.append)
    assert table.take(SOURCE, b"\x80abc", 1.0)
    assert got == [channel_data(b"\x80abc")]
    assert table.used() == [FlowUsed(FlowKey(LOCAL, REMOTE), 1, 8, 1.0)]


def test_the_budget_holds_in_each_window_and_survives_renewal() -> None:
    table, got = FlowTable(), list[bytes]()
    budget = Budget(octets=10, window=1.0)
    table.set(a_flow(budget=budget), got.append)
    assert table.take(SOURCE, b"\x80" * 6, 5.0)
    assert not table.take(SOURCE, b"\x80" * 6, 5.5)
    table.set(a_flow(budget=budget), got.append)
    assert not table.take(SOURCE, b"\x80" * 6, 5.9)
    assert table.take(SOURCE, b"\x80" * 4, 5.9)
    assert table.take(SOURCE, b"\x80" * 6, 6.0)
    assert [len(payload) for payload in got] == [6, 4, 6]
