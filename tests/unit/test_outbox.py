"""Ordered outputs, and drops reported once a second per reason."""

from __future__ import annotations

from icepath.machine import DatagramDropped, DropReason, MachineClosed
from icepath.net import Address
from icepath.outbox import Outbox

REMOTE = Address("192.0.2.1", 5000)


def test_outputs_come_in_order_and_once() -> None:
    outbox: Outbox[MachineClosed] = Outbox()
    outbox.drop(DropReason.RATE, now=1.0)
    outbox.put(MachineClosed())
    assert outbox.take() == [DatagramDropped(DropReason.RATE), MachineClosed()]
    assert outbox.take() == []


def test_the_first_drop_of_a_reason_is_an_event_the_rest_of_the_second_a_count() -> None:
    outbox: Outbox[MachineClosed] = Outbox()
    for tenth in range(10):
        outbox.drop(DropReason.NOT_STUN, remote=REMOTE, now=100.0 + tenth / 10)
    assert outbox.take() == [DatagramDropped(DropReason.NOT_STUN, 1, REMOTE)]
    outbox.drop(DropReason.NOT_STUN, now=101.0)
    assert outbox.take() == [DatagramDropped(DropReason.NOT_STUN, 10)]


def test_reasons_are_counted_apart() -> None:
    outbox: Outbox[MachineClosed] = Outbox()
    outbox.drop(DropReason.NOT_STUN, now=1.0)
    outbox.drop(DropReason.MALFORMED, now=1.0)
    assert outbox.take() == [DatagramDropped(DropReason.NOT_STUN), DatagramDropped(DropReason.MALFORMED)]


def test_what_a_child_counted_counts_as_often() -> None:
    outbox: Outbox[MachineClosed] = Outbox()
    outbox.drop(DropReason.RATE, now=1.0)
    outbox.drop(DropReason.RATE, count=7, now=1.5)
    outbox.drop(DropReason.RATE, now=2.5)
    assert outbox.take() == [DatagramDropped(DropReason.RATE), DatagramDropped(DropReason.RATE, 8)]
