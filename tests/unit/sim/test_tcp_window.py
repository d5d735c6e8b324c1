"""icepath.sim.tcp_window: what may be sent, and what has arrived."""

from __future__ import annotations

import pytest

from icepath.sim.tcp_window import Incoming, Outgoing, Piece

START, MSS = 1000, 100


def _outgoing(payload: bytes = b"", *, window: int = 65_536) -> Outgoing:
    outgoing = Outgoing(START, MSS)
    outgoing.window = window
    outgoing.append(payload)
    return outgoing


def _drain(outgoing: Outgoing) -> list[Piece]:
    return list(iter(outgoing.take, None))


# -- sending -----------------------------------------------------------------------------------------------------


def test_bytes_are_cut_into_segments() -> None:
    outgoing = _outgoing(bytes(250))
    assert [(piece.sequence, len(piece.payload), piece.fin) for piece in _drain(outgoing)] == [
        (1000, 100, False),
        (1100, 100, False),
        (1200, 50, False),
    ]
    assert (outgoing.queued, outgoing.in_flight, outgoing.is_waiting) == (250, 250, True)
    assert not outgoing.acknowledge(1250, 65_536, is_bare=True)
    assert (outgoing.queued, outgoing.in_flight, outgoing.is_waiting) == (0, 0, False)


def test_smaller_segments_may_be_asked_for_never_larger_ones() -> None:
    outgoing = _outgoing(bytes(100))
    outgoing.limit_segment(60)
    outgoing.limit_segment(80)
    assert [len(piece.payload) for piece in _drain(outgoing)] == [60, 40]


def test_the_fin_goes_with_the_last_bytes_or_alone_and_once() -> None:
    outgoing = _outgoing(b"abc")
    outgoing.finish()
    outgoing.finish()
    assert _drain(outgoing) == [Piece(1000, b"abc", True)]
    assert not outgoing.is_finished
    outgoing.acknowledge(1003, 65_536, is_bare=True)
    assert not outgoing.is_finished
    assert outgoing.is_waiting
    assert outgoing.oldest() == Piece(1003, b"", True)
    outgoing.acknowledge(1004, 65_536, is_bare=True)
    assert outgoing.is_finished
    alone = _outgoing(window=0)
    alone.finish()
    assert _drain(alone) == [Piece(1000, b"", True)], "a FIN needs no window"


def test_the_receiver_s_window_bounds_what_goes() -> None:
    outgoing = _outgoing(bytes(250), window=120)
    assert [len(piece.payload) for piece in _drain(outgoing)] == [100], "no crumbs while something is under way"
    outgoing.acknowledge(1100, 20, is_bare=True)
    assert [len(piece.payload) for piece in _drain(outgoing)] == [20]
    outgoing.acknowledge(1120, 0, is_bare=True)
    assert _drain(outgoing) == []
    assert outgoing.is_waiting
    assert outgoing.oldest() == Piece(1120, b"\0", False), "a closed window is probed by one byte"
    assert not outgoing.acknowledge(1120, 0, is_bare=True)
    assert outgoing.acknowledge(1120, 500, is_bare=True), "the byte goes again as soon as there is room"
    assert outgoing.oldest() == Piece(1120, b"\0", False)
    assert [len(piece.payload) for piece in _drain(outgoing)] == [100, 29]


def test_the_congestion_window_grows_and_is_cut_by_silence() -> None:
    outgoing = _outgoing(bytes(10_000))
    assert len(_drain(outgoing)) == 10
    outgoing.acknowledge(1100, 65_536, is_bare=True)
    assert len(_drain(outgoing)) == 2, "slow start: one for the one that left, and one more"
    outgoing.lose()
    assert _drain(outgoing) == []
    assert outgoing.oldest().sequence == 1100
    assert outgoing.acknowledge(2200, 65_536, is_bare=True) is False, "everything that was lost has come"
    assert len(_drain(outgoing)) == 2


def test_growth_is_slow_past_the_threshold() -> None:
    outgoing = _outgoing(bytes(100_000))
    _drain(outgoing)
    outgoing.lose()
    outgoing.acknowledge(2000, 65_536, is_bare=True)
    counts: list[int] = []
    for _ in range(12):
        counts.append(len(_drain(outgoing)))
        outgoing.acknowledge(outgoing.next, 65_536, is_bare=True)
    # One acknowledgment for each window full: slow start to 500 bytes, then a fifth of a segment each time.
    assert counts == [2, 3, 4, 5, 5, 5, 5, 5, 5, 6, 6, 6]


def test_three_duplicates_are_a_loss_and_partial_answers_show_the_next() -> None:
    outgoing = _outgoing(bytes(1000))
    _drain(outgoing)
    assert [outgoing.acknowledge(1000, 65_536, is_bare=True) for _ in range(4)] == [False, False, True, False]
    assert outgoing.oldest().sequence == 1000
    assert outgoing.acknowledge(1300, 65_536, is_bare=True), "a hole further on"
    assert outgoing.oldest().sequence == 1300
    assert [outgoing.acknowledge(1300, 65_536, is_bare=True) for _ in range(3)] == [False] * 3, "one cut per loss"
    assert not outgoing.acknowledge(2000, 65_536, is_bare=True)


def test_what_is_no_duplicate_counts_for_none() -> None:
    outgoing = _outgoing(bytes(200))
    assert not outgoing.acknowledge(1000, 65_536, is_bare=True), "nothing is in flight"
    _drain(outgoing)
    for window, is_bare in ((65_536, False), (1000, True), (900, True), (800, True)):
        assert not outgoing.acknowledge(1000, window, is_bare=is_bare)
    assert not outgoing.acknowledge(999, 800, is_bare=True), "an old one"


# -- receiving -----------------------------------------------------------------------------------------------------


def test_segments_are_put_in_order() -> None:
    incoming = Incoming(START, 1000)
    incoming.add(1006, b"ghi", True)
    incoming.add(1003, b"def", False)
    assert (incoming.held, incoming.next, incoming.has_fin) == (0, 1000, False)
    incoming.add(1000, b"abc", False)
    assert (incoming.held, incoming.next, incoming.has_fin) == (9, 1010, True)
    assert incoming.window == 991
    assert incoming.read(4) == b"abcd"
    assert incoming.read(100) == b"efghi"


def test_repeated_and_overlapping_segments_add_what_is_new() -> None:
    incoming = Incoming(START, 1000)
    incoming.add(1002, b"c", False)
    incoming.add(1002, b"cde", False)
    incoming.add(1002, b"cd", False)
    incoming.add(1000, b"abcd", False)
    incoming.add(1000, b"abc", False)
    incoming.add(1004, b"ef", False)
    assert incoming.read(100) == b"abcdef"


def test_what_is_beyond_the_window_is_cut_off() -> None:
    incoming = Incoming(START, 4)
    incoming.add(1000, b"abcdef", True)
    assert (incoming.held, incoming.window, incoming.next, incoming.has_fin) == (4, 0, 1004, False)
    incoming.add(1004, b"e", False)
    incoming.add(1010, b"x", False)
    assert incoming.next == 1004
    incoming.read(3)
    incoming.add(1004, b"ef", True)
    assert incoming.read(9) == b"def"
    assert incoming.has_fin


@pytest.mark.parametrize("late", [False, True])
def test_what_is_discarded_is_still_acknowledged(late: bool) -> None:
    incoming = Incoming(START, 4)
    if not late:
        incoming.add(1000, b"abc", False)
    incoming.discard()
    if late:
        incoming.add(1000, b"abc", False)
    assert (incoming.held, incoming.window, incoming.next) == (0, 4, 1003)
