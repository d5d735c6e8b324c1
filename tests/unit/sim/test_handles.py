"""icepath.sim.handles: what commands do to byte streams, associations and ports."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.machine import (
    Accepted,
    Bind,
    Bytes,
    Close,
    CloseReason,
    Connect,
    Failed,
    FailReason,
    Handle,
    MachineClosed,
    Opened,
    Security,
    Splice,
    Transport,
)
from icepath.net import Address
from icepath.sim.tls import TlsServer
from sim.wires import FIRST, ONE, PORT, SERVER, THREE, TWO, A, B, Wire

LISTENS = Bind(THREE, SERVER, Transport.TCP, listen=True)


def test_a_machine_s_own_listener_is_named_by_its_handle() -> None:
    wire = Wire()
    wire.b.say(LISTENS)
    wire.run()
    wire.open()
    assert wire.b.heard(Opened) == [Opened(THREE, SERVER)]
    assert [accepted.listener for accepted in wire.b.heard(Accepted)] == [THREE]


def test_the_host_s_listener_is_named_by_its_address() -> None:
    wire = Wire()
    wire.listen()
    wire.open()
    assert [accepted.listener for accepted in wire.b.heard(Accepted)] == [SERVER]


def test_a_listener_that_is_closed_accepts_no_more_and_what_it_has_accepted_goes_on() -> None:
    wire = Wire()
    wire.b.say(LISTENS)
    wire.open()
    wire.b.say(Close(THREE), Close(THREE))
    wire.a.say(Connect(TWO, None, SERVER), Bytes(ONE, b"hello"))
    wire.run()
    assert wire.a.ends == [(TWO, FailReason.REFUSED)]
    assert wire.b.payload(FIRST) == b"hello"


def test_a_listener_may_be_paused() -> None:
    wire = Wire()
    wire.b.say(replace(LISTENS, paused=True))
    wire.open(Connect(ONE, None, SERVER))
    wire.a.say(Bytes(ONE, b"hello"))
    wire.run()
    assert wire.b.heard(Bytes) == []


def test_handles_of_what_is_accepted_count_down() -> None:
    wire = Wire()
    wire.listen()
    wire.a.say(*(Connect(Handle(handle), None, SERVER) for handle in (1, 2, 3)))
    wire.run()
    assert wire.b.accepted == [-1, -2, -3]
    wire.b.say(Bytes(Handle(-2), b"hello"))
    wire.run()
    assert wire.a.payload(TWO) == b"hello"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (Bind(TWO, Address("11.9.9.9", 0), Transport.TCP), FailReason.UNREACHABLE),
        (Bind(TWO, Address(A, 7000), Transport.TCP), FailReason.ADDRESS_IN_USE),
        (Connect(TWO, Address("11.9.9.9", 0), SERVER), FailReason.UNREACHABLE),
        (Connect(TWO, Address(A, 7000), SERVER, security=Security.DTLS), FailReason.UNSUPPORTED),
        (Connect(TWO, None, SERVER, Transport.UDP), FailReason.UNSUPPORTED),
        (Connect(TWO, None, SERVER, Transport.UDP, Security.TLS), FailReason.UNSUPPORTED),
        (Connect(TWO, Address("11.9.9.9", 0), SERVER, Transport.UDP, Security.DTLS), FailReason.UNREACHABLE),
    ],
)
def test_what_cannot_be_says_why_and_later(command: Bind | Connect, reason: FailReason) -> None:
    wire = Wire()
    wire.a.say(Bind(ONE, Address(A, 7000), Transport.TCP))
    wire.run()
    wire.a.say(command)
    assert wire.a.heard(Failed) == []
    wire.run()
    assert wire.a.ends == [(TWO, reason)]
    wire.a.say(Bytes(TWO, b"x"), Splice(TWO, ONE), Close(TWO))
    wire.run()


def test_associations_have_handles_too_but_no_splices() -> None:
    wire = Wire()
    wire.b.host.listen_dtls(B, PORT, tls=TlsServer((B,)), owner=wire.b.runner)
    wire.a.say(*(Connect(handle, None, SERVER, Transport.UDP, Security.DTLS) for handle in (ONE, TWO)))
    wire.run()
    assert wire.a.opened == [ONE, TWO]
    wire.a.say(Splice(ONE, TWO), Bytes(ONE, b"hello"), Close(TWO))
    wire.run()
    assert wire.b.payload(FIRST) == b"hello"
    assert wire.b.ends == [(Handle(-2), CloseReason.EOF)]


def test_byte_streams_are_spliced() -> None:
    wire = Wire()
    wire.listen()
    wire.a.say(*(Connect(handle, None, SERVER) for handle in (ONE, TWO)), Splice(ONE, ONE), Splice(ONE, TWO))
    wire.run()
    wire.b.say(Bytes(FIRST, b"round"))
    wire.run()
    assert wire.b.payload(Handle(-2)) == b"round"
    assert wire.a.heard(Bytes) == []


def test_all_ends_with_the_machine() -> None:
    wire = Wire()
    wire.listen()
    wire.open()
    wire.a.say(Bind(TWO, Address(A, 7000), Transport.TCP, listen=True))
    wire.a.say(Bytes(ONE, b"bye"), MachineClosed())
    wire.run()
    assert wire.a.host.tcp.ports == ()
    assert wire.b.payload(FIRST) == b"bye"
    assert wire.b.ends == [(FIRST, CloseReason.EOF)]
