"""How long data stops when the path in use dies: two agents under live data, and something that goes wrong.

Both sides send a datagram every 10 ms. A `Plan` says where they are, a `Break` what goes wrong once they have settled;
`measure` tells for each direction how long nothing arrived. Used by the tests and by benchmarks/failover.py.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Final, TypeAlias

from icepath.errors import InvalidState
from icepath.ice.events import DataReceived, PairSelected, PairSnapshot, State, StateChanged
from icepath.lab.encounter import Encounter, Plan, Side
from icepath.net import Instant, Seconds
from icepath.sim.flow_table import DataDelivered
from icepath.sim.interfaces import Interface

TICK: Final[Seconds] = 0.01
# By then the pairs are checked and those to keep warm are chosen.
SETTLING: Final[Seconds] = 4.0
# A path without successor is given up 30 s after its last answer.
WATCHED: Final[Seconds] = 40.0

_DATA: Final = (DataReceived, DataDelivered)

Break: TypeAlias = Callable[[Encounter], object]


@dataclass(frozen=True, slots=True)
class Outage:
    """Is what one break did."""

    a_to_b: Seconds
    """From the break until data came again at B; 0 without a pause, infinite when none came any more."""
    b_to_a: Seconds
    before: PairSnapshot
    """What A had selected."""
    after: PairSnapshot | None
    selections: int
    """How often A and B selected another pair."""
    disconnected: bool
    """A was told that nothing is heard."""


def measure(plan: Plan, what: Break, *, delay: Seconds = 0.0, seconds: Seconds = WATCHED) -> Outage:
    """Lets two agents settle, sends data both ways, breaks something `delay` later, and looks for what arrives.

    Raises: InvalidState when the two do not settle.
    """
    encounter = Encounter(plan)
    encounter.run(settle=True)
    world = encounter.world
    world.run(seconds=SETTLING + delay)
    if encounter.a.pair is None or encounter.b.pair is None:
        raise InvalidState("the two did not settle")
    before = encounter.a.pair
    end = world.now + seconds
    talk(encounter, until=end)
    world.run(seconds=5 * TICK + plan.access.delay * 4)
    broken = world.now
    what(encounter)
    world.run(seconds=end - broken)
    events = [events_of(side, since=broken) for side in (encounter.a, encounter.b)]
    return Outage(
        a_to_b=_pause(encounter.b, broken, end),
        b_to_a=_pause(encounter.a, broken, end),
        before=before,
        after=encounter.a.agent.selected_pair(),
        selections=sum(isinstance(event, PairSelected) for side in events for event in side),
        disconnected=any(isinstance(event, StateChanged) and event.state is State.DISCONNECTED for event in events[0]),
    )


def talk(encounter: Encounter, *, until: Instant) -> None:
    """Lets both sides send a datagram every 10 ms, as long as they have a path."""
    for side in (encounter.a, encounter.b):
        _Talker(encounter, side, until)()


def events_of(side: Side, *, since: Instant) -> list[object]:
    """Returns what a side's agent has reported since then."""
    return [] if side.runner is None else [event for at, event in side.runner.events if at >= since]


@dataclass(frozen=True, slots=True)
class _Talker:
    encounter: Encounter
    side: Side
    until: Instant

    def __call__(self) -> None:
        world, runner, agent = self.encounter.world, self.side.runner, self.side.agent
        if runner is None or runner.is_closed or world.now >= self.until:
            return
        if agent.selected_pair() is not None:
            runner.call(self._send)
        world.after(TICK, self)

    def _send(self, now: Instant) -> None:
        with contextlib.suppress(InvalidState):  # consent has just ended
            self.side.agent.send(b"\x80data", now=now)


def pauses(side: Side, *, since: Instant, until: Instant) -> list[tuple[Instant, Instant]]:
    """Returns when nothing arrived at the side for more than five ticks."""
    times = [] if side.runner is None else [at for at, event in side.runner.events if isinstance(event, _DATA)]
    times = [since, *[at for at in times if since < at <= until], until]
    return [(last, at) for last, at in itertools.pairwise(times) if at - last > 5 * TICK]


def _pause(side: Side, broken: Instant, end: Instant) -> Seconds:
    """Returns when after the break data came again; 0 when it never stopped."""
    found = pauses(side, since=broken, until=end)
    if not found:
        return 0.0
    return inf if found[0][1] >= end else found[0][1] - broken


# -- what goes wrong -----------------------------------------------------------------------------------------------


def interface_in_use(side: Side) -> Interface:
    """Returns the interface that the side's selected pair sends from."""
    pair = side.agent.selected_pair()
    assert pair is not None
    base = pair.local_base.host
    for interface in side.host.interfaces:
        if base in interface.hosts:
            return interface
    raise InvalidState(f"{base} is no interface's")


def cut(encounter: Encounter) -> None:
    """Loses everything on the link that A uses, both ways, silently."""
    link = interface_in_use(encounter.a).link
    for pipe in (link.up, link.down):
        pipe.config = replace(pipe.config, loss=1.0)


def cut_remote(encounter: Encounter) -> None:
    """Loses everything on the link that B uses."""
    link = interface_in_use(encounter.b).link
    for pipe in (link.up, link.down):
        pipe.config = replace(pipe.config, loss=1.0)


def remove_address(encounter: Encounter) -> None:
    """Takes the interface that A uses away, and tells A."""
    _remove(encounter.a)


def remove_remote_address(encounter: Encounter) -> None:
    """Takes the interface that B uses away, and tells B."""
    _remove(encounter.b)


def _remove(side: Side) -> None:
    pair = side.agent.selected_pair()
    interface = interface_in_use(side)
    side.host.remove_interface(interface.name)
    assert pair is not None
    assert side.runner is not None
    base, agent = pair.local_base, side.agent
    side.runner.call(lambda now: agent.remove_local_address(base, now=now))


def kill_relay(encounter: Encounter) -> None:
    """Makes the relayed address that A sends from deaf and dumb, as a server does that lost it."""
    pair = encounter.a.agent.selected_pair()
    assert pair is not None
    encounter.network.server.free(pair.local_base, encounter.server)


def rebind(encounter: Encounter) -> None:
    """Lets the NAT that A uses forget everything, as a reboot does: A comes from another port from now on."""
    encounter.network.nats[interface_in_use(encounter.a).network.name].forget()
