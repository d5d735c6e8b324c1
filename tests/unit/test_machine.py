"""The contract's values, and the one function that applies flows."""

from __future__ import annotations

import pytest

from icepath.machine import Bytes, Datagram, Deliver, Handle, Relay, apply_flow, flow_channel
from icepath.net import Address

LOCAL, REMOTE = Address("192.0.2.1", 5000), Address("198.51.100.7", 6000)


def test_datagrams_are_values() -> None:
    datagram = Datagram(LOCAL, REMOTE, b"\x80payload")
    assert datagram == Datagram(LOCAL, REMOTE, b"\x80payload")
    assert hash(datagram) == hash(Datagram(LOCAL, REMOTE, b"\x80payload"))
    for other in (
        Datagram(REMOTE, REMOTE, b"\x80payload"),
        Datagram(LOCAL, LOCAL, b"\x80payload"),
        Datagram(LOCAL, REMOTE, b"other"),
        Datagram(LOCAL, REMOTE, b"\x80payload", True),
        "no datagram",
    ):
        assert datagram != other
    assert "192.0.2.1:5000 -> 198.51.100.7:6000" in repr(datagram)


def test_bytes_are_values() -> None:
    chunk = Bytes(Handle(1), b"abc")
    assert chunk == Bytes(Handle(1), b"abc")
    assert hash(chunk) == hash(Bytes(Handle(1), b"abc"))
    for other in (Bytes(Handle(2), b"abc"), Bytes(Handle(1), b"abd"), Bytes(Handle(1), b"abc", True), 3):
        assert chunk != other
    assert repr(chunk) == "Bytes(1, 3 bytes)"


@pytest.mark.rfc("7983", "7")
@pytest.mark.parametrize(
    ("payload", "channel"),
    [
        (b"\x40\x00\x00\x00", 0x4000),
        (b"\x4f\xff\x00\x01x", 0x4FFF),
        (b"\x3f\x00\x00\x00", None),
        (b"\x50\x00\x00\x00", None),
        (b"\x40\x00\x00", None),
        (b"", None),
    ],
)
def test_the_first_byte_tells_channel_data(payload: bytes, channel: int | None) -> None:
    assert flow_channel(payload) == channel


DATA = b"\x80data"


@pytest.mark.parametrize(
    ("action", "payload", "result"),
    [
        (Deliver(1, 1), DATA, DATA),
        (Deliver(1, 1, unwrap=True), b"\x40\x01\x00\x05" + DATA, DATA),
        (Deliver(1, 1, unwrap=True), b"\x40\x01\x00\x05" + DATA + b"pad", DATA),
        (Deliver(1, 1, unwrap=True), b"\x40\x01\x00\x06" + DATA, None),
        (Deliver(1, 1, unwrap=True), b"\x40\x01\x00\x00", None),
        (Deliver(1, 1, unwrap=True), b"\x40\x01\x00\x04\x01\x01\x00\x00", None),
        (Relay(LOCAL, REMOTE), DATA, DATA),
        (Relay(LOCAL, REMOTE, unwrap=True), b"\x40\x01\x00\x04\x01\x01\x00\x00", b"\x01\x01\x00\x00"),
        (Relay(LOCAL, REMOTE, wrap=0x4001), DATA, b"\x40\x01\x00\x05" + DATA),
        (Relay(LOCAL, REMOTE, unwrap=True), b"\x40\x02\x00\x05" + DATA, DATA),
        (Relay(LOCAL, REMOTE, unwrap=True, wrap=0x4003), b"\x40\x02\x00\x05" + DATA, b"\x40\x03\x00\x05" + DATA),
    ],
)
def test_flows_unwrap_and_wrap_or_leave_it_to_the_machine(
    action: Deliver | Relay, payload: bytes, result: bytes | None
) -> None:
    assert apply_flow(action, payload) == result
