"""A machine that does as it is told, for tests of whatever runs machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from icepath.machine import Arrival, Bytes, Command, Datagram, Event, MachineClosed
from icepath.net import Address, Instant

Output: TypeAlias = Datagram | Bytes | Command | Event


@dataclass(frozen=True, slots=True)
class Said(Event):
    """Is an event with a text."""

    text: str


class Probe:
    """Remembers what arrives, and says what it was given to say."""

    def __init__(
        self,
        *,
        answer: Callable[[Arrival], Sequence[Output]] = lambda arrival: (),
        deadlines: Sequence[Instant] = (),
        start: Sequence[Output] = (),
    ) -> None:
        self.arrivals: list[tuple[Instant, Arrival]] = []
        self.timeouts: list[Instant] = []
        self.deadlines = list(deadlines)
        self._answer = answer
        self._outputs: list[Output] = list(start)

    def say(self, *outputs: Output) -> None:
        """Puts outputs, as a verb does."""
        self._outputs.extend(outputs)

    def receive(self, arrival: Arrival, *, now: Instant) -> None:
        """Remembers the arrival, and answers it."""
        self.arrivals.append((now, arrival))
        self._outputs.extend(self._answer(arrival))

    def handle_timeout(self, *, now: Instant) -> None:
        """Remembers the time, and drops the deadlines that have come."""
        self.timeouts.append(now)
        self.deadlines = [deadline for deadline in self.deadlines if deadline > now]

    def next_deadline(self) -> Instant | None:
        """Returns the earliest deadline left."""
        return min(self.deadlines, default=None)

    def close(self, *, now: Instant) -> None:
        """Ends at once."""
        self.deadlines.clear()
        self._outputs.append(MachineClosed())

    def take_outputs(self) -> Sequence[Output]:
        """Returns what there is to say."""
        outputs, self._outputs = self._outputs, []
        return outputs

    @property
    def payloads(self) -> list[bytes]:
        """Returns the payloads of the datagrams that arrived."""
        return [datagram.payload for datagram in self.datagrams]

    @property
    def datagrams(self) -> list[Datagram]:
        """Returns the datagrams that arrived."""
        return [arrival for _, arrival in self.arrivals if isinstance(arrival, Datagram)]

    @property
    def sources(self) -> list[Address]:
        """Returns where the datagrams came from."""
        return [datagram.remote for datagram in self.datagrams]


def echo(arrival: Arrival) -> Sequence[Output]:
    """Answers each datagram by itself."""
    return [Datagram(arrival.local, arrival.remote, arrival.payload)] if isinstance(arrival, Datagram) else []
