"""Bytes to operations: a fuzzer's input as one machine's life, judged by the laws step by step.

The walk (walks.py) asks a generator what happens next: an arrival from an honest peer, a hostile one, an answer of
the driver's, a verb, a timeout, time that passes or turns back. Here that generator is the input: each choice takes
as many bytes as it needs, so that a fuzzer that changes a byte changes one decision, and a longer input is a longer
life. When the bytes are used up the machine is closed and must end in time.

What the machine draws itself and what its peers say is the same for every input, so an input replays for ever.
"""

from __future__ import annotations

import random
from typing import Any, Final, final

from machines.laws import Output, Subject
from machines.subjects import SUBJECTS
from machines.walks import Walk

# A longer input says nothing that two shorter ones do not, and slows the fuzzer down.
MAX_STEPS: Final = 200
_SUBJECTS: Final[dict[str, Subject[Any]]] = {subject.name: subject for subject in SUBJECTS}


@final
class Choices(random.Random):
    """Is a generator whose draws are given; past their end it draws zeros."""

    def __new__(cls, data: bytes) -> Choices:
        """Makes the generator; the base class would take the data for a seed."""
        return super().__new__(cls)

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data: Final = data
        self._offset = 0

    @property
    def is_used_up(self) -> bool:
        """Says whether every byte was drawn."""
        return self._offset >= len(self._data)

    def random(self) -> float:
        """Draws one byte as a number from 0 to below 1."""
        return self.getrandbits(8) / 256

    def getrandbits(self, k: int) -> int:
        """Draws as many bytes as hold k bits."""
        count = (k + 7) // 8
        drawn = self._data[self._offset : self._offset + count].ljust(count, b"\0")
        self._offset += count
        return int.from_bytes(drawn, "big") >> (count * 8 - k)


def live(name: str, data: bytes) -> None:
    """Leads the subject of that name through the life that the bytes tell; raises LawBroken."""
    lead(_SUBJECTS[name], data)


def lead(subject: Subject[Any], data: bytes) -> list[Output]:
    """Does so with any subject; returns what it said."""
    choices = Choices(data)
    walk = Walk(subject, 0, choices)
    while not choices.is_used_up and len(walk.steps) < MAX_STEPS:
        walk.wander()
    walk.finish()
    return walk.said
