"""Renomination: what the two sides agreed on, and which nomination counts.

Both drafts are spoken: `renomination2` (draft-thatcher-tsvwg-renomination, NOMINATION) and the first form
`renomination` (draft-thatcher-ice-renomination-02, GOOG-NOMINATION as deployed); of a peer that announces both, the
newer. A session in which either side announces neither is plain RFC 8445: a component gets one nomination.
Which pair is nominated is nomination.py's and conclusion.py's business.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias, final

from icepath.wire.attributes import GoogNomination, Nomination
from icepath.wire.message import Message

RENOMINATION: Final = "renomination"
RENOMINATION2: Final = "renomination2"
OPTIONS: Final = (RENOMINATION2, RENOMINATION)

MAX_UINT24: Final = 0xFF_FFFF
MAX_UINT32: Final = 0xFFFF_FFFF

NominationAttribute: TypeAlias = Nomination | GoogNomination


@final
class Renomination:
    """Orders the nominations of one ICE session, component by component."""

    __slots__ = ("_highest", "is_first_form")

    def __init__(self, *, is_first_form: bool) -> None:
        self.is_first_form = is_first_form
        # The largest value sent (controlling) or accepted (controlled) of each component.
        self._highest: dict[int, int] = {}

    def next(self, component: int) -> NominationAttribute:
        """Returns what the next nominating request carries: strictly more than any before it (§3.3).

        At the largest value it stays: further requests change nothing, see `is_exhausted`.
        """
        value = min(self._highest.get(component, 0) + 1, MAX_UINT24 if self.is_first_form else MAX_UINT32)
        self._highest[component] = value
        return GoogNomination(value) if self.is_first_form else Nomination(value)

    def is_exhausted(self, component: int) -> bool:
        """Says whether there is no larger value left."""
        return self._highest.get(component, 0) >= (MAX_UINT24 if self.is_first_form else MAX_UINT32)

    def is_latest(self, component: int, value: int) -> bool:
        """Says whether no nomination has been sent since the one with this value."""
        return value == self._highest.get(component, 0)

    def accepts(self, component: int, value: int | None, *, use_candidate: bool, is_early: bool) -> bool:
        """Says whether a check nominates its pair, and remembers it.

        The largest value wins. One without a value counts by the first form ("any value included takes precedence
        over the lack of a value"); by the second only when it came before the description (§3.2). Peers that speak
        the first form leave USE-CANDIDATE out when there is a value.
        """
        highest = self._highest.get(component, 0)
        if value is None:
            return use_candidate and (self.is_first_form or is_early) and highest == 0
        if value <= highest or not (use_candidate or self.is_first_form):
            return False
        self._highest[component] = value
        return True


def agree(options: Iterable[str]) -> Renomination | None:
    """Returns what is in use with a peer that announces these options; None is plain RFC 8445."""
    known = set(options)
    if RENOMINATION2 in known:
        return Renomination(is_first_form=False)
    return Renomination(is_first_form=True) if RENOMINATION in known else None


def nomination_of(message: Message) -> int | None:
    """Returns the value that a check carries, in whichever form."""
    second = message.get(Nomination)
    if second is not None:
        return second.value
    first = message.get(GoogNomination)
    return None if first is None else first.value
