"""Two hosts with a machine each, for tests of byte streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from icepath.machine import (
    Accepted,
    Arrival,
    Bytes,
    Closed,
    CloseReason,
    Connect,
    Failed,
    FailReason,
    Handle,
    Opened,
)
from icepath.net import Address
from icepath.sim.host import Host
from icepath.sim.link import LinkConfig
from icepath.sim.packet import PacketRecord, Segment, Verdict
from icepath.sim.tls import TlsServer
from icepath.sim.world import World
from sim.probe import Output, Probe

ArrivalT = TypeVar("ArrivalT", bound=Arrival)

A, B = "11.0.0.1", "11.0.0.2"
PORT = 3478
SERVER = Address(B, PORT)
ONE, TWO, THREE = Handle(1), Handle(2), Handle(3)
# The handle of the first byte stream that a machine accepts.
FIRST = Handle(-1)
DELAY = 0.05


class Machine:
    """Is one machine on its host, and what it was told."""

    def __init__(self, world: World, host: Host) -> None:
        self.host = host
        self.answer: Callable[[Arrival], Sequence[Output]] = lambda arrival: ()
        self.probe = Probe(answer=lambda arrival: self.answer(arrival))
        self.runner = host.attach(self.probe)
        self._start = world.now

    def say(self, *outputs: Output) -> None:
        """Lets the machine put outputs."""
        self.runner.call(lambda now: self.probe.say(*outputs))

    def heard(self, kind: type[ArrivalT]) -> list[ArrivalT]:
        """Returns what arrived of that kind."""
        return [arrival for _, arrival in self.probe.arrivals if isinstance(arrival, kind)]

    def when(self, *kinds: type[Arrival]) -> list[float]:
        """Returns after how many one-way delays something of these kinds arrived."""
        return [
            round((at - self._start) / DELAY, 2) for at, arrival in self.probe.arrivals if isinstance(arrival, kinds)
        ]

    def payload(self, handle: Handle) -> bytes:
        """Returns all bytes that came over the handle."""
        return b"".join(arrival.payload for arrival in self.heard(Bytes) if arrival.handle == handle)

    @property
    def ends(self) -> list[tuple[Handle, FailReason | CloseReason]]:
        """Returns what failed or ended, and why."""
        return [
            (arrival.handle, arrival.reason)
            for _, arrival in self.probe.arrivals
            if isinstance(arrival, Failed | Closed)
        ]

    @property
    def accepted(self) -> list[Handle]:
        """Returns the handles of what was accepted."""
        return [arrival.handle for arrival in self.heard(Accepted)]

    @property
    def opened(self) -> list[Handle]:
        """Returns the handles of what was opened."""
        return [arrival.handle for arrival in self.heard(Opened)]


class Wire:
    """Is two hosts half a round trip of 50 ms apart; a asks and b listens."""

    def __init__(self, link: LinkConfig | None = None, *, seed: int = 1) -> None:
        self.world = World(seed=seed)
        internet = self.world.network("internet")
        a, b = self.world.host("a"), self.world.host("b")
        a.add_interface("eth0", internet, [A], up=link or LinkConfig(delay=DELAY))
        a.add_interface("eth1", internet, ["2b00::1"])
        b.add_interface("eth0", internet, [B, "2b00::2"])
        self.a, self.b = Machine(self.world, a), Machine(self.world, b)
        self.records: list[PacketRecord] = []
        self.world.on_packet(self.records.append)

    def listen(self, *, tls: TlsServer | None = None, paused: bool = False) -> None:
        """Lets b's host listen, and b's machine take what comes."""
        self.b.host.listen_tcp(B, PORT, tls=tls, paused=paused, owner=self.b.runner)

    def run(self, seconds: float = 1.0) -> None:
        """Lets time pass."""
        self.world.run(seconds=seconds)

    def open(self, connect: Connect | None = None) -> None:
        """Opens a byte stream from a, handle ONE, to b, handle FIRST."""
        self.a.say(connect or Connect(ONE, None, SERVER))
        self.run()
        assert (self.a.opened, self.b.accepted) == ([ONE], [FIRST])

    def segments(self, host: str) -> list[Segment]:
        """Returns the segments that a host sent."""
        return [
            record.segment
            for record in self.records
            if record.segment is not None and record.where == host and record.verdict is Verdict.SENT
        ]


def echo(arrival: Arrival) -> Sequence[Output]:
    """Sends bytes back as they come."""
    return [Bytes(arrival.handle, arrival.payload)] if isinstance(arrival, Bytes) else []
