"""icepath.sim.tcp_connection: two ends over a wire that loses what it is told to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from icepath.net import Address
from icepath.sim.clock import Clock
from icepath.sim.packet import IcmpError, Packet, Segment
from icepath.sim.tcp_config import End, TcpConfig
from icepath.sim.tcp_connection import LINGER, SYN_RETRIES, TcpConnection

A, B = Address("11.0.0.1", 1000), Address("11.0.0.2", 2000)
DELAY = 0.05
ERROR = IcmpError(3, 3, A, B, mtu=576)


class Owner:
    """Reads everything at once, and remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str | End] = []
        self.read = b""
        self.reads = True
        self.connection: TcpConnection | None = None
        self.then: Callable[[TcpConnection], None] = lambda connection: None

    def on_established(self) -> None:
        self.told.append("open")
        assert self.connection is not None
        self.then(self.connection)

    def on_readable(self) -> None:
        if self.reads:
            self.take()

    def take(self) -> None:
        assert self.connection is not None
        self.read += self.connection.read(65_536)
        if self.connection.is_at_end:
            self.told.append("end")

    def on_writable(self) -> None:
        pass

    def on_ended(self, end: End) -> None:
        self.told.append(end)


class Side:
    """Is one host."""

    def __init__(self, bench: Bench, local: Address, remote: Address, start: int) -> None:
        self.bench = bench
        self.clock = bench.clock
        self.config = TcpConfig()
        self.owner = Owner()
        self.gone = 0
        self.connection = self.owner.connection = TcpConnection(
            self, local, remote, self.owner, start=start, max_segment=1460
        )

    def transmit(self, packet: Packet) -> None:
        self.bench.carry(packet)

    def forget(self, connection: TcpConnection) -> None:
        self.gone += 1


class Bench:
    """Is two sides: a asks, b listens unless told otherwise."""

    def __init__(self) -> None:
        self.clock = Clock(100.0)
        self.sent: list[tuple[float, Packet, Segment]] = []
        self.loses: Callable[[Packet, Segment], bool] = lambda packet, segment: False
        self.listens = True
        self.a, self.b = Side(self, A, B, 1000), Side(self, B, A, 5000)

    def carry(self, packet: Packet) -> None:
        segment = packet.segment
        assert segment is not None
        self.sent.append((round(self.clock.now - 100.0, 6), packet, segment))
        if not self.loses(packet, segment):
            self.clock.schedule(self.clock.now + DELAY, self.deliver, packet)

    def deliver(self, packet: Packet) -> None:
        side = self.a if packet.destination == A else self.b
        segment = packet.segment
        assert segment is not None
        if side.gone:
            return
        if side is self.b and self.listens and segment.opens and not side.connection.is_half_open:
            side.connection.accept(segment)
        else:
            side.connection.receive(packet, segment)

    def run(self, seconds: float) -> None:
        self.clock.run_to(self.clock.now + seconds)

    def open(self) -> None:
        self.a.connection.open()
        self.run(1.0)
        assert (self.a.owner.told, self.b.owner.told) == (["open"], ["open"])
        self.sent.clear()

    def lose_once(self, condition: Callable[[Packet, Segment], bool]) -> None:
        lost: list[Packet] = []

        def loses(packet: Packet, segment: Segment) -> bool:
            if lost or not condition(packet, segment):
                return False
            lost.append(packet)
            return True

        self.loses = loses

    def say(self, side: Side, segment: Segment, payload: bytes = b"") -> None:
        """Lets the side receive a segment that nobody sent."""
        local, remote = side.connection.local, side.connection.remote
        side.connection.receive(Packet(remote, local, payload, segment=segment), segment)


def _flags(segment: Segment) -> str:
    flags = {"S": segment.syn, "F": segment.fin, "R": segment.rst, ".": segment.acknowledgment is not None}
    return "".join(flag for flag, is_set in flags.items() if is_set)


# -- opening -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("greets", [False, True])
def test_opening_takes_one_round_trip(greets: bool) -> None:
    bench = Bench()
    bench.b.owner.then = lambda connection: connection.write(b"hello") if greets else None
    bench.a.connection.open()
    assert not bench.a.connection.is_open
    assert repr(bench.a.connection) == "TcpConnection(11.0.0.1:1000 -> 11.0.0.2:2000, SYN_SENT)"
    bench.run(0.075)
    assert bench.b.connection.is_half_open
    bench.run(0.025)
    assert bench.a.connection.is_open
    bench.run(1.0)
    assert [(at, _flags(segment)) for at, _, segment in bench.sent[:3]] == [(0.0, "S"), (0.05, "S."), (0.1, ".")]
    assert bench.a.owner.read == (b"hello" if greets else b"")


def test_a_syn_is_repeated_after_1_2_and_4_seconds() -> None:
    bench = Bench()
    bench.loses = lambda packet, segment: len(bench.sent) <= 3
    bench.a.connection.open()
    bench.run(10.0)
    assert [at for at, _, segment in bench.sent if segment.opens] == [0.0, 1.0, 3.0, 7.0]
    assert bench.a.owner.told == ["open"]
    assert bench.a.connection.is_open


def test_a_syn_that_is_never_answered_times_out() -> None:
    bench = Bench()
    bench.loses = lambda packet, segment: True
    bench.a.connection.open()
    bench.run(126.0)
    assert bench.a.owner.told == []
    bench.run(2.0)
    assert bench.a.owner.told == [End.TIMED_OUT]
    assert bench.a.gone == 1
    assert len(bench.sent) == SYN_RETRIES + 1


def test_an_answer_that_is_lost_is_repeated_by_whichever_side_wakes_first() -> None:
    bench = Bench()
    bench.lose_once(lambda packet, segment: segment.syn and not segment.opens)
    bench.a.connection.open()
    bench.run(3.0)
    assert [(at, _flags(segment)) for at, _, segment in bench.sent] == [
        (0.0, "S"),
        (0.05, "S."),
        (1.0, "S"),
        (1.05, "S."),  # its own wake-up and the repeated SYN's are the same instant
        (1.05, "S."),
        (1.1, "."),
        (1.1, "."),
    ]
    assert bench.b.connection.is_open


def test_a_lost_last_part_of_the_handshake_is_asked_for_again() -> None:
    bench = Bench()
    bench.lose_once(lambda packet, segment: packet.source == A and not segment.syn)
    bench.a.connection.open()
    bench.run(3.0)
    assert [(at, _flags(segment)) for at, _, segment in bench.sent[2:]] == [(0.1, "."), (1.05, "S."), (1.1, ".")]
    assert bench.b.connection.is_open


def test_one_that_was_asked_for_and_never_confirmed_is_forgotten() -> None:
    bench = Bench()
    bench.loses = lambda packet, segment: packet.source == B
    bench.a.connection.open()
    bench.run(0.1)
    bench.a.connection.abort()
    bench.run(100.0)
    assert bench.b.owner.told == [End.TIMED_OUT]
    assert (bench.a.gone, bench.b.gone) == (1, 1)


@pytest.mark.rfc("9293", "3.5")
@pytest.mark.parametrize("late", [0.0, 0.03, 0.2])
def test_both_may_ask_at_once(late: float) -> None:
    bench = Bench()
    bench.listens = False
    # A SYN that comes before b has asked is lost at b's NAT.
    bench.loses = lambda packet, segment: (
        packet.source == A and segment.opens and bench.clock.now < 100.0 + late - DELAY
    )
    bench.a.connection.open()
    bench.run(late)
    bench.b.connection.open()
    bench.run(3.0)
    assert bench.a.owner.told == bench.b.owner.told == ["open"]
    bench.a.connection.write(b"from a")
    bench.b.connection.write(b"from b")
    bench.run(1.0)
    assert (bench.a.owner.read, bench.b.owner.read) == (b"from b", b"from a")


@pytest.mark.parametrize(
    ("segment", "told", "answers"),
    [
        (Segment(0, 1001, rst=True), [End.REFUSED], 0),
        (Segment(0, 999, rst=True), [], 0),
        (Segment(0, rst=True), [], 0),
        (Segment(7, 900), [], 1),
        (Segment(7, 1001), [], 0),
    ],
)
def test_what_may_answer_a_syn(segment: Segment, told: list[End], answers: int) -> None:
    bench = Bench()
    bench.loses = lambda packet, segment: True
    bench.a.connection.open()
    bench.sent.clear()
    bench.say(bench.a, segment)
    assert bench.a.owner.told == told
    assert [_flags(segment) for _, _, segment in bench.sent] == ["R"] * answers


def test_a_handshake_ends_by_a_reset_or_goes_on_despite_nonsense() -> None:
    bench = Bench()
    bench.loses = lambda packet, segment: True
    bench.b.connection.accept(Segment(1000, syn=True, mss=1460, window=100))
    bench.sent.clear()
    bench.say(bench.b, Segment(1001, 42))
    assert [_flags(segment) for _, _, segment in bench.sent] == ["R"]
    bench.say(bench.b, Segment(1001))
    assert bench.b.owner.told == []
    bench.say(bench.b, Segment(1001, rst=True))
    assert bench.b.owner.told == [End.REFUSED]


def test_an_owner_may_want_none_of_it() -> None:
    bench = Bench()
    bench.b.owner.then = lambda connection: connection.abort()
    bench.a.connection.open()
    bench.run(1.0)
    assert bench.a.owner.told == ["open", End.RESET]
    assert (bench.a.gone, bench.b.gone) == (1, 1)


@pytest.mark.parametrize(("is_port", "end"), [(False, End.UNREACHABLE), (True, End.REFUSED)])
def test_icmp_ends_what_is_not_open_yet(is_port: bool, end: End) -> None:
    bench = Bench()
    bench.loses = lambda packet, segment: True
    bench.a.connection.open()
    bench.a.connection.on_error(ERROR, is_too_big=True, is_port=False)
    assert bench.a.owner.told == []
    bench.a.connection.on_error(ERROR, is_too_big=False, is_port=is_port)
    assert bench.a.owner.told == [end]
    bench.a.connection.vanish()
    assert bench.a.owner.told == [end]


# -- bytes -------------------------------------------------------------------------------------------------------


def test_bytes_travel_both_ways_in_order() -> None:
    bench = Bench()
    bench.open()
    payload = bytes(range(256)) * 400
    bench.a.connection.write(payload)
    bench.b.connection.write(b"hello")
    bench.run(5.0)
    assert bench.b.owner.read == payload
    assert bench.a.owner.read == b"hello"
    assert max(len(packet.payload) for _, packet, _ in bench.sent) == 1460
    assert all(packet.dont_fragment for _, packet, _ in bench.sent)
    assert bench.a.connection.queued == 0


def test_lost_bytes_come_after_two_round_trips_of_silence() -> None:
    bench = Bench()
    bench.open()
    bench.lose_once(lambda packet, segment: bool(packet.payload))
    bench.a.connection.write(b"hello")
    start = bench.clock.now
    while not bench.b.owner.read:
        bench.clock.step()
    assert bench.clock.now - start == pytest.approx(0.2 + DELAY)


def test_three_later_segments_bring_a_lost_one_sooner() -> None:
    bench = Bench()
    bench.open()
    bench.lose_once(lambda packet, segment: bool(packet.payload))
    bench.a.connection.write(bytes(1460 * 5))
    bench.run(0.16)
    assert len(bench.b.owner.read) == 1460 * 5


def test_a_far_side_that_is_gone_times_out() -> None:
    bench = Bench()
    bench.open()
    bench.run(100.0)
    bench.loses = lambda packet, segment: True
    bench.a.connection.write(b"hello")
    bench.run(29.9)
    bench.a.connection.write(b"hello?")
    assert bench.a.owner.told == ["open"]
    bench.run(0.2)
    assert bench.a.owner.told == ["open", End.TIMED_OUT]
    assert [at for at, _, _ in bench.sent] == [101.0, 101.2, 101.6, 102.4, 104.0, 107.2, 113.6, 126.4, 130.9]
    assert bench.b.owner.told == ["open"]


def test_nothing_read_is_held_up_to_the_buffer_and_the_far_side_waits_for_a_while() -> None:
    bench = Bench()
    bench.b.config = TcpConfig(receive_buffer=5000)
    bench.open()
    bench.b.owner.reads = False
    bench.a.connection.write(bytes(20_000))
    bench.run(20.0)
    assert bench.a.connection.queued == 15_000
    bench.b.owner.reads = True
    bench.b.owner.take()
    bench.run(1.0)
    assert len(bench.b.owner.read) == 20_000
    bench.b.owner.reads = False
    bench.a.connection.write(bytes(20_000))
    bench.run(29.0)
    assert bench.a.owner.told == ["open"], "it asks on, and is answered"
    bench.run(2.0)
    assert bench.a.owner.told == ["open", End.SLOW]


def test_a_host_may_dribble() -> None:
    bench = Bench()
    bench.a.config = TcpConfig(max_segment=1)
    dribbler = TcpConnection(bench.a, A, B, bench.a.owner, start=1000, max_segment=1460)
    bench.a.connection = bench.a.owner.connection = dribbler
    bench.open()
    dribbler.write(b"hello")
    bench.run(1.0)
    assert [packet.payload for _, packet, _ in bench.sent if packet.payload] == [b"h", b"e", b"l", b"l", b"o"]
    assert bench.b.owner.read == b"hello"


@pytest.mark.rfc("1191", "3")
def test_segments_get_smaller_when_the_path_says_so() -> None:
    bench = Bench()
    bench.open()
    bench.a.connection.on_error(ERROR, is_too_big=True, is_port=False)
    bench.loses = lambda packet, segment: packet.size > 576
    bench.a.connection.write(bytes(4000))
    bench.run(1.0)
    assert {packet.size for _, packet, _ in bench.sent if packet.source == A} == {576, 576 - 536 + 4000 % 536}
    other = Bench()
    other.open()
    other.loses = lambda packet, segment: packet.size > 576
    other.a.connection.write(bytes(4000))
    for _ in range(2):
        other.a.connection.on_error(ERROR, is_too_big=True, is_port=False)
    other.run(1.0)
    assert len(other.b.owner.read) == 4000
    other.a.connection.on_error(ERROR, is_too_big=False, is_port=True)
    assert other.a.owner.told == ["open"], "what is open ignores the rest"


def test_a_stray_acknowledgment_is_corrected() -> None:
    bench = Bench()
    bench.open()
    for segment in (Segment(5001, 900), Segment(5001, 99_999), Segment(6000, syn=True)):
        bench.say(bench.a, segment)
    assert [_flags(segment) for _, _, segment in bench.sent] == ["."] * 3
    bench.say(bench.a, Segment(5001), b"no acknowledgment")
    assert len(bench.sent) == 3
    assert bench.a.owner.read == b""


# -- the end -----------------------------------------------------------------------------------------------------


def test_the_fin_comes_after_the_bytes_and_both_sides_are_done() -> None:
    bench = Bench()
    bench.open()
    bench.a.connection.write(bytes(50_000))
    bench.a.connection.leave()
    bench.run(0.45)
    assert bench.b.owner.told == ["open", "end"]
    assert len(bench.b.owner.read) == 50_000
    bench.b.connection.write(b"too late")
    bench.b.connection.finish()
    bench.run(1.0)
    assert (bench.a.gone, bench.b.gone) == (1, 1)
    assert bench.a.owner.read == b""


def test_a_lost_fin_is_repeated() -> None:
    bench = Bench()
    bench.open()
    bench.lose_once(lambda packet, segment: segment.fin)
    bench.a.connection.finish()
    bench.run(0.3)
    assert bench.b.owner.told == ["open", "end"]


@pytest.mark.parametrize("is_finished", [False, True])
def test_the_far_side_s_fin_is_waited_for_a_minute(is_finished: bool) -> None:
    bench = Bench()
    bench.open()
    if is_finished:
        bench.a.connection.finish()
        bench.run(2 * LINGER)
        bench.b.connection.write(b"half closed")
        bench.run(1.0)
        assert bench.a.owner.read == b"half closed"
    bench.a.connection.leave()
    bench.run(LINGER)
    bench.b.connection.write(b"too late")
    assert bench.a.gone == is_finished
    bench.run(1.0)
    assert bench.a.gone == 1
    assert bench.a.owner.told == ["open"]
    assert b"late" not in bench.a.owner.read


def test_an_abort_is_a_reset() -> None:
    bench = Bench()
    bench.open()
    bench.a.connection.write(b"last words")
    bench.a.connection.abort()
    bench.a.connection.abort()
    bench.run(1.0)
    assert bench.b.owner.read == b"last words"
    assert bench.b.owner.told == ["open", End.RESET]
    assert (bench.a.gone, bench.b.gone) == (1, 1)


@pytest.mark.parametrize(("offset", "answers"), [(1, 1), (-1, 0), (100_000, 0)])
def test_only_a_reset_that_is_next_is_believed(offset: int, answers: int) -> None:
    bench = Bench()
    bench.open()
    bench.say(bench.a, Segment(5001 + offset, rst=True))
    assert bench.a.owner.told == ["open"]
    assert [_flags(segment) for _, _, segment in bench.sent] == ["."] * answers


def test_an_address_that_is_gone_ends_it_in_silence() -> None:
    bench = Bench()
    bench.open()
    bench.a.connection.vanish()
    assert bench.a.owner.told == ["open", End.RESET]
    assert bench.sent == []


def test_nothing_can_be_read_before_the_far_side_has_answered() -> None:
    bench = Bench()
    assert bench.a.connection.read(10) == b""
    assert not bench.a.connection.is_at_end
    bench.a.connection.write(b"early")
    bench.a.connection.leave()
    assert bench.sent == []
