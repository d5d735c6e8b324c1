"""icepath.sim.flow_table: what flows match, do and report."""

from __future__ import annotations

import pytest

from icepath.machine import Budget, Datagram, Deliver, FlowKey, FlowUsed, Relay, SetFlow
from icepath.net import Address
from icepath.sim.flow_table import DataDelivered, Flows

LOCAL, REMOTE, PEER = Address("11.0.0.1", 1000), Address("11.0.0.2", 2000), Address("11.0.0.3", 3000)
RELAYED = Address("11.0.0.1", 50_000)
DIRECT = FlowKey(LOCAL, REMOTE)
CHANNEL = FlowKey(LOCAL, REMOTE, 0x4001)


def _flows(*commands: SetFlow, honours: bool = True) -> Flows:
    flows = Flows(honours)
    for command in commands:
        flows.set(command)
    return flows


def _datagram(payload: bytes, remote: Address = REMOTE) -> Datagram:
    return Datagram(LOCAL, remote, payload)


def test_a_flow_delivers_to_the_application() -> None:
    flows = _flows(SetFlow(DIRECT, Deliver(1, 2), until=10.0))
    assert flows.answer(_datagram(b"\x80media"), 1.0) == DataDelivered(1, 2, b"\x80media")
    assert flows.answer(_datagram(b"\x80media", PEER), 1.0) is None


@pytest.mark.rfc("7983", "7")
@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x01\x01", b"\x03\xff"])
def test_the_machine_sees_stun_and_nothing_at_all(payload: bytes) -> None:
    flows = _flows(SetFlow(DIRECT, Deliver(1, 1), until=10.0))
    assert flows.answer(_datagram(payload), 1.0) is None
    assert flows.answer(_datagram(b"\x04"), 1.0) is not None


def test_a_flow_never_acts_at_its_end_or_after() -> None:
    flows = _flows(SetFlow(DIRECT, Deliver(1, 1), until=10.0))
    assert flows.answer(_datagram(b"media"), 9.999) is not None
    assert flows.answer(_datagram(b"media"), 10.0) is None
    flows.set(SetFlow(DIRECT, Deliver(1, 1), until=20.0))
    assert flows.answer(_datagram(b"media"), 10.0) is not None


def test_a_channel_s_flow_unwraps() -> None:
    flows = _flows(SetFlow(CHANNEL, Deliver(1, 1, unwrap=True), until=10.0))
    assert flows.answer(_datagram(b"\x40\x01\x00\x03abcPAD"), 1.0) == DataDelivered(1, 1, b"abc")
    assert flows.answer(_datagram(b"\x40\x01\x00\x09abc"), 1.0) is None
    assert flows.answer(_datagram(b"\x40\x02\x00\x03abc"), 1.0) is None
    assert flows.take_used() == [FlowUsed(CHANNEL, 1, 3, 0.0)]


@pytest.mark.parametrize("inner", [b"", b"\x00\x01", b"\x01\x01", b"\x03"])
def test_the_machine_sees_stun_inside_channel_data(inner: bytes) -> None:
    wrapped = b"\x40\x01\x00" + bytes([len(inner)]) + inner
    flows = _flows(SetFlow(CHANNEL, Deliver(1, 1, unwrap=True), until=10.0))
    assert flows.answer(_datagram(wrapped), 1.0) is None
    relay = _flows(SetFlow(CHANNEL, Relay(RELAYED, PEER, unwrap=True), until=10.0))
    assert relay.answer(_datagram(wrapped), 1.0) == Datagram(RELAYED, PEER, inner)


def test_the_channel_s_flow_comes_before_the_five_tuple_s() -> None:
    flows = _flows(SetFlow(DIRECT, Deliver(2, 1), until=10.0), SetFlow(CHANNEL, Deliver(1, 1, unwrap=True), until=10.0))
    assert flows.answer(_datagram(b"\x40\x01\x00\x03abc"), 1.0) == DataDelivered(1, 1, b"abc")
    assert flows.answer(_datagram(b"\x40\x02\x00\x03abc"), 1.0) == DataDelivered(2, 1, b"\x40\x02\x00\x03abc")


def test_a_relay_s_flow_sends_on_and_says_when() -> None:
    flows = _flows(
        SetFlow(CHANNEL, Relay(RELAYED, PEER, unwrap=True), until=10.0),
        SetFlow(FlowKey(LOCAL, PEER), Relay(LOCAL, REMOTE, wrap=0x4001), until=10.0),
    )
    assert flows.answer(_datagram(b"\x40\x01\x00\x03abc"), 1.0) == Datagram(RELAYED, PEER, b"abc")
    assert flows.answer(_datagram(b"abc", PEER), 2.0) == Datagram(LOCAL, REMOTE, b"\x40\x01\x00\x03abc")
    assert flows.take_used() == [FlowUsed(CHANNEL, 1, 3, 1.0), FlowUsed(FlowKey(LOCAL, PEER), 1, 7, 2.0)]
    assert flows.take_used() == []


def test_a_budget_bounds_each_window() -> None:
    flows = _flows(SetFlow(DIRECT, Deliver(1, 1), until=10.0, budget=Budget(10, 1.0)))
    answered = [flows.answer(_datagram(b"media"), now) is not None for now in (1.0, 1.5, 1.9, 2.0, 2.9, 2.95, 3.0)]
    assert answered == [True, True, False, True, True, False, True]


def test_changing_a_flow_keeps_its_counts_and_dropping_it_reports_them() -> None:
    flows = _flows(SetFlow(DIRECT, Deliver(1, 1), until=10.0))
    flows.answer(_datagram(b"media"), 1.0)
    flows.set(SetFlow(DIRECT, Deliver(1, 2), until=10.0))
    assert flows.answer(_datagram(b"media"), 1.0) == DataDelivered(1, 2, b"media")
    assert flows.drop(DIRECT) == FlowUsed(DIRECT, 2, 10, 0.0)
    assert flows.answer(_datagram(b"media"), 1.0) is None
    assert flows.drop(DIRECT) is None
    flows.set(SetFlow(DIRECT, Deliver(1, 2), until=10.0))
    assert flows.drop(DIRECT) is None


def test_flows_may_be_ignored_or_cleared() -> None:
    command = SetFlow(DIRECT, Deliver(1, 1), until=10.0)
    assert _flows(command, honours=False).answer(_datagram(b"media"), 1.0) is None
    flows = _flows(command)
    flows.clear()
    assert flows.answer(_datagram(b"media"), 1.0) is None
