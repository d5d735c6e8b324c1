"""A fuzzer's bytes are a life: each decides something, the same ones always the same, and what breaks a law shows."""

from __future__ import annotations

import random

import pytest

from icepath.net import Instant, RandomBytes
from machines.flawed import Flaw, Innkeeper
from machines.laws import LawBroken, Subject
from machines.operations import MAX_STEPS, Choices, lead, live


def _innkeeper(flaw: Flaw | None) -> Subject[Innkeeper]:
    def make(random_bytes: RandomBytes, now: Instant) -> Innkeeper:
        return Innkeeper(flaw, random_bytes, now)

    return Subject(name="innkeeper", make=make, corpus=(b"\x02hello",))


def _lives() -> list[bytes]:
    return [random.Random(seed).randbytes(400) for seed in range(40)]


def _lead_all(subject: Subject[Innkeeper]) -> None:
    for data in _lives():
        lead(subject, data)


def test_draws_are_the_bytes_and_then_zeros() -> None:
    choices = Choices(b"\x80\x12\x34\xff")
    assert choices.random() == 0.5
    assert choices.getrandbits(12) == 0x123
    assert not choices.is_used_up
    assert choices.getrandbits(16) == 0xFF00
    assert choices.is_used_up
    assert choices.random() == 0.0
    assert choices.randrange(7) == 0
    assert choices.choice("abc") == "a"


def test_the_same_bytes_are_the_same_life_and_others_another() -> None:
    one, other = _lives()[:2]
    assert lead(_innkeeper(None), one) == lead(_innkeeper(None), one)
    assert lead(_innkeeper(None), one) != lead(_innkeeper(None), other)


def test_a_lawful_machine_passes_however_long_its_life() -> None:
    for data in [*_lives(), b"", b"\xff", bytes(MAX_STEPS * 50)]:
        lead(_innkeeper(None), data)


@pytest.mark.parametrize(
    "flaw",
    [
        Flaw.RAISES_ON_AN_EMPTY_PAYLOAD,
        Flaw.RAISES_IN_A_TIMEOUT,
        Flaw.ACTS_EARLY,
        Flaw.STAYS_DUE,
        Flaw.SPEAKS_TWICE,
        Flaw.NEVER_CLOSES,
        Flaw.SPEAKS_AFTER_THE_END,
    ],
)
def test_a_flaw_is_found(flaw: Flaw) -> None:
    with pytest.raises(LawBroken, match=f"law {flaw.law}: "):
        _lead_all(_innkeeper(flaw))


def test_machines_are_known_by_name() -> None:
    live("binding responder", b"any")
    with pytest.raises(KeyError):
        live("nobody", b"any")
