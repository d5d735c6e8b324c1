"""Encounters as pictures: what is drawn is what happened."""

from __future__ import annotations

from icepath.lab.encounter import Plan
from icepath.lab.picture import BAR, CheckView, Line, Moment, Picture, Style, draw, watch


def drawn(picture: Picture) -> str:
    return "\n".join(line.text for line in draw(picture))


def test_two_homes_connect_directly() -> None:
    picture = watch("two homes", ["a -- b"], Plan("apdf", "apdf"))
    assert picture.connected
    text = drawn(picture)
    assert "connected directly, through the NATs after 150 ms" in text
    assert text.count("may send data") == 2
    assert text.count("both agreed on the path") == 2
    (chosen,) = [check for check in picture.checks if check.is_chosen]
    assert chosen.name.startswith("host  -> srflx 11.2.0.1:")
    assert chosen.answered_at is not None
    assert abs(chosen.answered_at - chosen.sent_at - 0.1) < 0.002
    assert any(check.answered_at is None for check in picture.checks), "the other home's private address"


def test_a_symmetric_nat_needs_the_relay_and_one_lan_nothing() -> None:
    assert "through the relay" in watch("relay", [], Plan("apdf", "sym")).result
    assert watch("lan", [], Plan("same")).result.startswith("connected directly after ")


def test_no_path_is_said() -> None:
    picture = watch("nothing", [], Plan("sym", "sym", has_turn=False))
    assert not picture.connected
    assert Line("    => no path was found", Style.BAD) in draw(picture)


def test_moments_of_one_millisecond_stand_side_by_side() -> None:
    moments = (Moment(0.0, 0, "left"), Moment(0.0002, 1, "right"), Moment(0.0, 0, "again"), Moment(0.05, 1, "later"))
    picture = Picture("t", (), ("x", "y"), moments, (), "done", True)
    assert [line.text.split() for line in draw(picture)[3:-3]] == [
        ["time", "x", "y"],
        ["0", "ms", "left", "right"],
        ["0", "ms", "again"],
        ["50", "ms", "later"],
    ]


def test_bars_are_to_scale() -> None:
    checks = (
        CheckView("one", 0.0, 0.1, 1, True),
        CheckView("two", 0.05, None, 2, False),
        CheckView("three", 0.1, 0.1, 1, False),
    )
    lines = draw(Picture("t", (), ("x", "y"), (), checks, "done", True))
    bars = {line.text.split()[0]: line for line in lines if line.text.strip().startswith(("one", "two", "three"))}
    assert bars["one"].style is Style.GOOD
    assert "├" + "─" * (BAR - 2) + "┤" in bars["one"].text
    assert bars["one"].text.endswith("answered in 100 ms, chosen")
    assert bars["two"].text.endswith("╌  no answer")
    assert "│" in bars["three"].text


def test_checks_that_took_no_time_at_all() -> None:
    picture = Picture("t", (), ("x", "y"), (), (CheckView("one", 0.0, 0.0, 1, True),), "done", True)
    assert "answered in 0 ms" in drawn(picture)
