"""What goes into the agent's next slot: triggered checks first, then servers' asks and ordinary checks in turn.

A slot is reserved when something waits for one and used at once when it has come (DESIGN: nobody polls).
The first two slots go to servers: a relayed candidate is two round trips away, so its first step must not
wait; the host check right behind them loses 10 ms at most. RFC 8445 §6.1.4.2, §14.2.
"""

from __future__ import annotations

from typing import Final, final

from icepath.ice.core import Core, TimerKey, TimerKind
from icepath.ice.gathering import Gatherer
from icepath.ice.outgoing import Outgoing
from icepath.ice.pair import CandidatePair, PairState
from icepath.ice.pairing import can_send
from icepath.ice.tcp import connect, is_open
from icepath.net import Instant

SERVERS_FIRST: Final = 2

_SLOT: Final = TimerKey(TimerKind.SLOT)


@final
class Scheduler:
    """Reserves slots and decides what each is used for."""

    __slots__ = ("_asks_in_a_row", "_core", "_gatherer", "_outgoing")

    def __init__(self, core: Core, gatherer: Gatherer, outgoing: Outgoing) -> None:
        self._core = core
        self._gatherer = gatherer
        self._outgoing = outgoing
        self._asks_in_a_row = 0

    def want_slot(self, *, now: Instant) -> None:
        """Reserves a slot when something waits for one, and uses it at once when it has come."""
        while self._core.timers.deadline(_SLOT) is None and self._has_work():
            at = self._core.pacer.reserve(now)
            if at > now:
                self._core.timers.set(_SLOT, at)
                return
            self.use_slot(now=now)

    def _has_work(self) -> bool:
        if self._core.config.lite:
            return False  # RFC 8445 §6.2: a lite agent sends no checks
        return self._gatherer.has_asks or self._core.checklists.has_triggered() or self._has_ordinary()

    def _has_ordinary(self) -> bool:
        core = self._core
        if core.may_check:
            core.may_check = core.checklists.has_ordinary(self._is_ready)
        return core.may_check

    def use_slot(self, *, now: Instant) -> None:
        """Sends the one transaction that this slot is for, if anything still waits."""
        core = self._core
        pair = core.checklists.next_triggered()
        if pair is None:
            if self._gatherer.has_asks and (self._asks_in_a_row < SERVERS_FIRST or not self._has_ordinary()):
                self._asks_in_a_row += 1
                self._gatherer.ask_next(now=now)
                return
            pair = core.checklists.next_ordinary(self._is_ready) if core.may_check else None
        if pair is None:
            return
        # From here on servers and checks take turns.
        self._asks_in_a_row = SERVERS_FIRST - 1
        generation = core.generation_of(pair)
        if generation is None or pair.local.base not in core.sockets:
            return
        if pair.is_tcp and not is_open(core, pair):
            # RFC 6544 §4.1: "the connection gets opened when the transaction is performed"; the check follows at once.
            pair.state = PairState.IN_PROGRESS
            connect(core, pair, now=now)
        else:
            self._outgoing.send(generation, pair, now=now)

    def _is_ready(self, pair: CandidatePair) -> bool:
        return can_send(self._core, pair)
