"""icepath.sim.byte_stream: what a machine sees of a byte stream."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from icepath.machine import (
    Accepted,
    Arrival,
    Bytes,
    Close,
    CloseReason,
    Connect,
    FailReason,
    Handle,
    Opened,
    Security,
    Splice,
)
from icepath.net import Address
from icepath.sim.link import LinkConfig
from icepath.sim.packet import Loss
from icepath.sim.tcp_config import TcpConfig
from icepath.sim.tls import TlsServer
from sim.probe import Output
from sim.wires import FIRST, ONE, SERVER, THREE, TWO, Wire, echo

TLS = TlsServer(("turn.example.org",), alpn=("stun.turn",))


def _connect(
    server_name: str = "turn.example.org", *, security: Security = Security.TLS, verify: bool = True
) -> Connect:
    return Connect(
        ONE, None, SERVER, security=security, server_name=server_name, alpn=("stun.turn", "h2"), verify=verify
    )


# -- opening -----------------------------------------------------------------------------------------------------


def test_opening_costs_a_round_trip_and_both_sides_are_told() -> None:
    wire = Wire()
    wire.listen()
    wire.open()
    (opened,), (accepted,) = wire.a.heard(Opened), wire.b.heard(Accepted)
    assert opened == Opened(ONE, accepted.remote, SERVER)
    assert accepted == Accepted(FIRST, SERVER, SERVER, opened.local)
    assert (wire.a.when(Opened), wire.b.when(Accepted)) == ([2.0], [3.0])


def test_what_is_said_early_is_sent_when_it_may() -> None:
    wire = Wire()
    wire.listen()
    wire.a.say(Connect(ONE, None, SERVER), Bytes(ONE, b"hel"), Bytes(ONE, b"lo"))
    wire.run()
    assert wire.b.payload(FIRST) == b"hello"


def test_nobody_listens() -> None:
    wire = Wire()
    wire.a.say(Connect(ONE, None, SERVER))
    wire.run()
    assert wire.a.ends == [(ONE, FailReason.REFUSED)]
    assert wire.a.when(type(wire.a.probe.arrivals[0][1])) == [2.0]


def test_nobody_answers() -> None:
    wire = Wire()
    wire.b.host.answers_closed_ports = False
    wire.a.say(Connect(ONE, None, SERVER))
    wire.run(29.9)
    assert wire.a.ends == []
    wire.run(0.2)
    assert wire.a.ends == [(ONE, FailReason.TIMED_OUT)]
    assert len(wire.segments("a")) == 5, "at 0, 1, 3, 7 and 15 s"


@pytest.mark.parametrize(("early", "abort", "heard"), [(True, False, b"hello"), (True, True, b""), (False, False, b"")])
def test_what_was_output_before_it_was_closed_goes_first(early: bool, abort: bool, heard: bytes) -> None:
    wire = Wire()
    wire.listen()
    wire.a.say(Connect(ONE, None, SERVER), *([Bytes(ONE, b"hello")] if early else []), Close(ONE, abort))
    wire.run()
    assert wire.a.probe.arrivals == []
    assert wire.b.payload(FIRST) == heard
    assert wire.b.ends == ([(FIRST, CloseReason.EOF)] if heard else [])


# -- TLS -----------------------------------------------------------------------------------------------------------


def test_tls_costs_one_more_round_trip_and_agrees_on_a_protocol() -> None:
    wire = Wire()
    wire.listen(tls=TLS)
    wire.b.answer = echo
    wire.a.say(_connect(), Bytes(ONE, b"early"))
    wire.run()
    (opened,), (accepted,) = wire.a.heard(Opened), wire.b.heard(Accepted)
    assert (opened.alpn, accepted.security) == ("stun.turn", Security.TLS)
    assert (wire.a.when(Opened), wire.b.when(Accepted)) == ([4.0], [5.0])
    assert wire.a.payload(ONE) == b"early"


@pytest.mark.parametrize(
    ("name", "verify", "reason"),
    [("other.example.org", True, FailReason.TLS_CERTIFICATE), ("other.example.org", False, None)],
)
def test_a_certificate_of_somebody_else(name: str, verify: bool, reason: FailReason | None) -> None:
    wire = Wire()
    wire.listen(tls=TLS)
    wire.a.say(_connect(name, verify=verify))
    wire.run()
    assert wire.a.ends == ([] if reason is None else [(ONE, reason)])
    assert len(wire.b.accepted) == (reason is None)
    wire.run(100.0)
    assert len(wire.a.probe.arrivals) == 1


def test_a_server_that_speaks_no_tls() -> None:
    wire = Wire()
    wire.listen()
    wire.b.answer = lambda arrival: [Bytes(arrival.handle, b"HTTP/1.1 400 x")] if isinstance(arrival, Bytes) else []
    wire.a.say(_connect())
    wire.run()
    assert wire.a.ends == [(ONE, FailReason.TLS_HANDSHAKE)]
    assert wire.b.ends == [(FIRST, CloseReason.EOF)]


@pytest.mark.parametrize("abort", [False, True])
def test_a_server_that_hangs_up(abort: bool) -> None:
    wire = Wire()
    wire.listen()
    wire.b.answer = lambda arrival: [Close(arrival.handle, abort)] if isinstance(arrival, Accepted) else []
    wire.a.say(_connect())
    wire.run()
    assert wire.a.ends == [(ONE, FailReason.TLS_HANDSHAKE)]


def test_a_handshake_does_not_last_for_ever() -> None:
    wire = Wire()
    wire.listen(paused=True)
    wire.a.say(_connect())
    wire.run(29.9)
    assert wire.a.ends == []
    wire.run(0.2)
    assert wire.a.ends == [(ONE, FailReason.TIMED_OUT)]
    assert wire.b.ends == [(FIRST, CloseReason.RESET)]


def test_a_client_that_says_nothing_is_cut_off() -> None:
    wire = Wire()
    wire.listen(tls=TLS)
    wire.a.say(_connect(security=Security.NONE))
    wire.run(9.9)
    assert wire.a.ends == []
    wire.run(0.3)
    assert wire.a.ends == [(ONE, CloseReason.RESET)]
    assert wire.b.probe.arrivals == []


def test_a_client_that_speaks_no_tls_is_never_accepted() -> None:
    wire = Wire()
    wire.listen(tls=TLS)
    wire.a.say(_connect(security=Security.NONE), Bytes(ONE, b"GET / HTTP/1.1"))
    wire.run()
    assert wire.b.probe.arrivals == []
    assert (ONE, CloseReason.EOF) in wire.a.ends


def test_what_comes_right_behind_the_handshake_is_delivered() -> None:
    wire = Wire()
    wire.listen(tls=TLS)
    uplink = wire.a.host.interface("eth0").link.up
    wire.a.say(_connect())
    wire.run(0.19)
    uplink.config = LinkConfig(delay=0.05, loss=1.0)  # for the client's last flight, which comes again 0.2 s later
    wire.run(0.02)
    uplink.config = LinkConfig(delay=0.05)
    wire.a.say(Bytes(ONE, b"hello"))
    wire.run()
    assert set(wire.world.medium.losses) == {Loss.LOST}
    assert [type(arrival) for _, arrival in wire.b.probe.arrivals] == [Accepted, Bytes]
    assert wire.b.payload(FIRST) == b"hello"


def test_a_failure_is_told_once() -> None:
    wire = Wire()
    wire.listen(tls=TLS)
    wire.a.say(_connect("other.example.org"))
    wire.run(0.21)
    assert wire.a.ends == [(ONE, FailReason.TLS_CERTIFICATE)]
    wire.b.host.remove_interface("eth0")
    wire.run(1000.0)
    assert len(wire.a.probe.arrivals) == 1


# -- bytes -----------------------------------------------------------------------------------------------------------


def test_bytes_travel_in_order_whatever_the_link_does() -> None:
    wire = Wire(LinkConfig(delay=0.02, loss=0.1, jitter=0.01, reorder=0.1, duplicate=0.1, rate=500_000, mtu=600))
    wire.listen()
    wire.b.answer = echo
    wire.a.say(Connect(ONE, None, SERVER))
    wire.run(20.0)
    payload = bytes(range(251)) * 200
    wire.a.say(Bytes(ONE, payload))
    wire.run(60.0)
    assert wire.b.payload(FIRST) == payload
    assert wire.a.payload(ONE) == payload


def test_arrivals_may_be_cut_as_small_as_one_byte() -> None:
    wire = Wire()
    wire.b.host.tcp.config = TcpConfig(read_size=1)
    wire.listen()
    wire.open()
    wire.a.say(Bytes(ONE, b"hello"))
    wire.run()
    assert [arrival.payload for arrival in wire.b.heard(Bytes)] == [b"h", b"e", b"l", b"l", b"o"]


def test_a_machine_that_closes_in_between_hears_nothing_more() -> None:
    wire = Wire()
    wire.b.host.tcp.config = TcpConfig(read_size=1)
    wire.listen()
    wire.open()
    wire.b.answer = lambda arrival: [Close(FIRST)] if isinstance(arrival, Bytes) else []
    wire.a.say(Bytes(ONE, b"hello"))
    wire.run()
    assert wire.b.payload(FIRST) == b"h"
    assert wire.a.ends == [(ONE, CloseReason.EOF)]


def test_paused_bytes_wait_for_the_first_answer_and_are_bounded() -> None:
    wire = Wire()
    wire.b.host.tcp.config = TcpConfig(receive_buffer=3000)
    wire.listen(paused=True)
    wire.open()
    wire.a.say(Bytes(ONE, bytes(10_000)))
    wire.run(5.0)
    assert wire.b.payload(FIRST) == b""
    wire.b.say(Bytes(FIRST, b"go on"))
    assert wire.b.payload(FIRST) == b"", "nothing arrives within the machine's call"
    wire.run()
    assert wire.a.payload(ONE) == b"go on"
    assert wire.b.payload(FIRST) == bytes(10_000)


@pytest.mark.parametrize("paused", [False, True])
def test_the_connecting_side_may_be_paused_too(paused: bool) -> None:
    wire = Wire()
    wire.listen()
    wire.b.answer = lambda arrival: [Bytes(FIRST, b"hello"), Close(FIRST)] if isinstance(arrival, Accepted) else []
    wire.open(Connect(ONE, None, SERVER, paused=paused))
    assert (wire.a.payload(ONE), wire.a.ends) == ((b"", []) if paused else (b"hello", [(ONE, CloseReason.EOF)]))


def test_what_may_be_dropped_is_dropped_whole_and_the_rest_has_a_limit() -> None:
    wire = Wire()
    wire.a.host.tcp.config = TcpConfig(high_water=100_000, limit=150_000)
    wire.listen(paused=True)
    wire.open()
    wire.a.say(Bytes(ONE, bytes(90_000)), Bytes(ONE, b"\1" * 60_001, droppable=True))
    wire.a.say(Bytes(ONE, b"\2" * 20_000, droppable=True), Bytes(ONE, b"\1", droppable=True))
    wire.a.say(Bytes(ONE, b"\3" * 20_000))
    assert wire.world.medium.losses == {Loss.QUEUE_FULL: 2}
    wire.run()
    assert wire.a.ends == []
    wire.b.say(Bytes(FIRST, b"x"))
    wire.run(5.0)
    assert wire.b.payload(FIRST) == bytes(90_000) + b"\2" * 20_000 + b"\3" * 20_000
    wire.a.say(Bytes(ONE, bytes(150_001)), Bytes(ONE, bytes(150_001)), Bytes(ONE, b"x"))
    assert wire.a.ends == []
    wire.run()
    assert wire.a.ends == [(ONE, CloseReason.SLOW)]
    assert wire.b.ends == [(FIRST, CloseReason.RESET)]


def test_too_much_before_it_is_open_is_a_failure() -> None:
    wire = Wire()
    wire.a.host.tcp.config = TcpConfig(high_water=0, limit=10)
    wire.listen()
    wire.a.say(Connect(ONE, None, SERVER), Bytes(ONE, bytes(11)))
    wire.run()
    assert wire.a.ends == [(ONE, FailReason.UNSUPPORTED)]
    assert wire.b.probe.arrivals == []


def test_a_far_side_that_takes_nothing_is_slow() -> None:
    wire = Wire()
    wire.listen(paused=True)
    wire.open()
    wire.a.say(Bytes(ONE, bytes(200_000)))
    wire.run(40.0)
    assert wire.a.ends == [(ONE, CloseReason.SLOW)]


def test_one_that_is_slow_and_closed_at_once_is_not_reported() -> None:
    wire = Wire()
    wire.a.host.tcp.config = TcpConfig(high_water=0, limit=10)
    wire.listen()
    wire.open()
    wire.a.say(Bytes(ONE, bytes(11)), Close(ONE))
    wire.run()
    assert wire.a.ends == []


# -- the end ---------------------------------------------------------------------------------------------------------


def test_closing_sends_what_was_output_before() -> None:
    wire = Wire()
    wire.listen()
    wire.open()
    wire.a.say(Bytes(ONE, bytes(100_000)), Close(ONE), Close(ONE), Bytes(ONE, b"never"))
    wire.run()
    assert len(wire.b.payload(FIRST)) == 100_000
    assert wire.b.ends == [(FIRST, CloseReason.EOF)]
    assert wire.a.ends == []


def test_aborting_is_a_reset() -> None:
    wire = Wire()
    wire.listen()
    wire.open()
    wire.a.say(Close(ONE, abort=True))
    wire.run()
    assert wire.b.ends == [(FIRST, CloseReason.RESET)]


def test_a_far_side_that_vanishes_times_out() -> None:
    wire = Wire()
    wire.listen()
    wire.open()
    wire.b.host.remove_interface("eth0")
    assert wire.b.ends == [(FIRST, CloseReason.RESET)]
    wire.a.say(Bytes(ONE, b"hello?"))
    wire.run(31.0)
    assert wire.a.ends == [(ONE, CloseReason.TIMED_OUT)]


# -- splices ---------------------------------------------------------------------------------------------------------


class Relay:
    """Splices each byte stream that is accepted to one of its own to port 9, at a third host."""

    def __init__(self, wire: Wire, *, slow: bool = False) -> None:
        self.wire = wire
        third = wire.world.host("third")
        link = LinkConfig(delay=0.05, rate=20_000 if slow else None)
        third.add_interface("eth0", wire.a.host.interface("eth0").network, ["11.0.0.3"], up=link)
        # Its machine is driven like the others.
        self.third = type(wire.a)(wire.world, third)
        self.third.host.listen_tcp("11.0.0.3", 9, owner=self.third.runner)
        wire.listen(paused=True)
        wire.b.answer = self._answer

    def _answer(self, arrival: Arrival) -> Sequence[Output]:
        match arrival:
            case Accepted():
                return [Connect(TWO, None, Address("11.0.0.3", 9), paused=True)]
            case Opened(handle=handle) if handle == TWO:
                return [Splice(FIRST, TWO)]
            case _:
                return []


def test_a_splice_carries_bytes_both_ways_past_the_machine() -> None:
    wire = Wire()
    relay = Relay(wire)
    relay.third.answer = echo
    wire.a.say(Connect(ONE, None, SERVER), Bytes(ONE, b"first"))
    wire.run()
    wire.a.say(Bytes(ONE, bytes(200_000)))
    wire.run(10.0)
    assert wire.a.payload(ONE) == b"first" + bytes(200_000)
    assert wire.b.heard(Bytes) == []
    relay.third.answer = lambda arrival: ()
    wire.a.say(Bytes(ONE, b"bye"), Close(ONE))
    wire.run()
    assert relay.third.payload(FIRST).endswith(b"bye")
    assert relay.third.ends == [(FIRST, CloseReason.EOF)]
    assert wire.b.ends == [(TWO, CloseReason.EOF), (FIRST, CloseReason.EOF)], "both have finished"


def test_a_splice_goes_at_the_slower_side_s_pace() -> None:
    wire = Wire()
    relay = Relay(wire, slow=True)
    wire.a.say(Connect(ONE, None, SERVER))
    wire.run()
    third = relay.third.host.interface("eth0").link
    third.down.config = LinkConfig(delay=0.05, rate=20_000)
    wire.a.say(Bytes(ONE, bytes(400_000)))
    wire.run(5.0)
    arrived = len(relay.third.payload(FIRST))
    assert 80_000 < arrived < 105_000
    # Held at the relay are its two buffers; the rest is still where it came from.
    assert wire.a.ends == wire.b.ends == []
    wire.run(25.0)
    assert len(relay.third.payload(FIRST)) == 400_000


@pytest.mark.parametrize(
    ("handle", "abort", "reason"),
    [(FIRST, False, CloseReason.EOF), (TWO, False, CloseReason.EOF), (FIRST, True, CloseReason.RESET)],
)
def test_both_ends_of_a_splice_end_together(handle: Handle, abort: bool, reason: CloseReason) -> None:
    wire = Wire()
    relay = Relay(wire)
    wire.a.say(Connect(ONE, None, SERVER))
    wire.run()
    wire.b.say(Close(handle, abort))
    assert wire.b.ends == []
    wire.run()
    assert wire.b.ends == [(TWO if handle == FIRST else FIRST, reason)]
    assert wire.a.ends == [(ONE, reason)]
    assert relay.third.ends == [(FIRST, reason)]


def test_a_broken_side_breaks_the_other() -> None:
    wire = Wire()
    relay = Relay(wire)
    wire.a.say(Connect(ONE, None, SERVER))
    wire.run()
    wire.a.say(Close(ONE, abort=True))
    wire.run()
    assert wire.b.ends == [(FIRST, CloseReason.RESET), (TWO, CloseReason.RESET)]
    assert relay.third.ends == [(FIRST, CloseReason.RESET)]


def test_a_side_that_was_never_opened_breaks_the_other() -> None:
    wire = Wire()
    wire.listen()
    wire.b.answer = lambda arrival: (
        [Connect(TWO, None, Address("2b00::1", 9)), Splice(FIRST, TWO)] if isinstance(arrival, Accepted) else []
    )
    wire.a.say(Connect(ONE, None, SERVER))
    wire.run()
    assert wire.b.ends == [(TWO, FailReason.REFUSED), (FIRST, CloseReason.RESET)]


def test_byte_streams_that_are_not_open_yet_may_be_spliced() -> None:
    wire = Wire()
    relay = Relay(wire)
    wire.b.answer = lambda arrival: (
        [Connect(TWO, None, Address("11.0.0.3", 9)), Splice(FIRST, TWO), Splice(FIRST, FIRST), Splice(FIRST, THREE)]
        if isinstance(arrival, Accepted)
        else []
    )
    wire.a.say(Connect(ONE, None, SERVER), Bytes(ONE, b"hello"), Close(ONE))
    wire.run()
    assert relay.third.payload(FIRST) == b"hello"
    assert relay.third.ends == [(FIRST, CloseReason.EOF)]
    wire.b.say(Splice(THREE, FIRST))
    assert wire.b.ends == [(TWO, CloseReason.EOF), (FIRST, CloseReason.EOF)]


def test_a_splice_is_for_good() -> None:
    wire = Wire()
    relay = Relay(wire)
    wire.a.say(Connect(ONE, None, SERVER))
    wire.run()
    wire.b.say(Connect(THREE, None, Address("11.0.0.3", 9)), Splice(THREE, TWO), Splice(FIRST, THREE))
    wire.run()
    wire.a.say(Bytes(ONE, b"hello"))
    wire.run()
    assert relay.third.payload(FIRST) == b"hello"
