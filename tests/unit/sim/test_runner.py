"""icepath.sim.runner: how a machine is run, and how a broken one is caught."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from icepath.errors import InvalidState
from icepath.machine import (
    Arrival,
    Bind,
    Bytes,
    Close,
    Connect,
    Datagram,
    Deliver,
    DropFlow,
    Event,
    Failed,
    FailReason,
    FlowKey,
    FlowUsed,
    Handle,
    MachineClosed,
    Opened,
    Relay,
    Resolve,
    Resolved,
    ResolvedAddress,
    Security,
    SetFlow,
    Splice,
    Transport,
    Unreachable,
)
from icepath.net import Address, Instant
from icepath.sim.clock import Clock
from icepath.sim.flow_table import DataDelivered
from icepath.sim.interfaces import Interfaces
from icepath.sim.link import Link, LinkConfig
from icepath.sim.names import Names
from icepath.sim.network import Network
from icepath.sim.packet import Medium, Packet
from icepath.sim.runner import Runner
from icepath.sim.sockets import Receiver
from icepath.sim.tcp_stack import TcpStack
from sim.probe import Output, Probe, Said, echo

LOCAL, REMOTE = Address("11.0.0.1", 1000), Address("11.0.0.2", 2000)
RELAYED = Address("11.0.0.1", 50_000)
ONE, TWO = Handle(1), Handle(2)


class Desk:
    """Stands for a host: remembers what the runner asks."""

    def __init__(self, clock: Clock) -> None:
        self.name = "desk"
        medium = Medium(clock, 1)
        interfaces = Interfaces(medium, self, lambda packet, link: None)
        interfaces.add("eth0", Network(medium, "lan"), [LOCAL.host], 0, LinkConfig(), LinkConfig())
        self.names = Names()
        self.tcp = TcpStack(medium, "desk", interfaces, lambda: True)
        self.sent: list[Datagram] = []
        self.freed: list[Address] = []
        self.freed_all = 0
        self.opens: Address | FailReason = RELAYED

    def open(self, command: Bind, owner: Receiver) -> Address | FailReason:
        return self.opens

    def source_for(self, remote: Address) -> Address | None:
        return None

    def receive(self, packet: Packet, link: Link) -> None:
        raise AssertionError("nothing is attached to the network")

    def free(self, local: Address, owner: Receiver) -> None:
        self.freed.append(local)

    def free_all(self, owner: Receiver) -> None:
        self.freed_all += 1

    def send(self, datagram: Datagram) -> None:
        self.sent.append(datagram)


class Bench:
    """Is a runner with its clock and desk."""

    def __init__(self, probe: Probe, *, honours_flows: bool = True, on_event: list[Event] | None = None) -> None:
        self.probe = probe
        self.clock = Clock(100.0)
        self.desk = Desk(self.clock)
        self.runner = Runner(
            probe,
            name="probe",
            clock=self.clock,
            host=self.desk,
            honours_flows=honours_flows,
            on_event=None if on_event is None else on_event.append,
        )
        self.runner.settle()

    def say(self, *outputs: Output) -> None:
        self.runner.call(lambda now: self.probe.say(*outputs))

    def run(self, seconds: float = 0.0) -> None:
        self.clock.run_to(self.clock.now + seconds)

    @property
    def arrivals(self) -> list[Arrival]:
        return [arrival for _, arrival in self.probe.arrivals]


def test_outputs_are_acted_on_in_their_order() -> None:
    heard: list[Event] = []
    bench = Bench(Probe(start=[Said("start")]), on_event=heard)
    datagram = Datagram(LOCAL, REMOTE, b"x")
    bench.run(5.0)
    bench.say(datagram, Said("a"), datagram, Said("b"))
    assert bench.desk.sent == [datagram, datagram]
    assert bench.runner.events == [(100.0, Said("start")), (105.0, Said("a")), (105.0, Said("b"))]
    assert heard == [Said("start")], "the callback comes later, between no two outputs"
    bench.run()
    assert heard == [Said("start"), Said("a"), Said("b")]
    assert repr(bench.runner) == "Runner(probe)"


def test_a_verb_s_result_is_returned() -> None:
    bench = Bench(Probe())
    assert bench.runner.call(lambda now: now + 1) == 101.0


def test_arrivals_are_given_with_their_time_and_answers_taken() -> None:
    bench = Bench(Probe(answer=echo))
    bench.run(1.5)
    bench.runner.arrive(Datagram(LOCAL, REMOTE, b"hello"))
    bench.runner.arrive(Unreachable(LOCAL, REMOTE, 3, 3))
    assert bench.probe.arrivals == [
        (101.5, Datagram(LOCAL, REMOTE, b"hello")),
        (101.5, Unreachable(LOCAL, REMOTE, 3, 3)),
    ]
    assert bench.desk.sent == [Datagram(LOCAL, REMOTE, b"hello")]


# -- time ------------------------------------------------------------------------------------------------------


def test_deadlines_are_met_exactly() -> None:
    bench = Bench(Probe(deadlines=[102.5, 101.25, 107.0]))
    bench.run(6.0)
    assert bench.probe.timeouts == [101.25, 102.5]
    bench.run(6.0)
    assert bench.probe.timeouts == [101.25, 102.5, 107.0]


def test_an_earlier_deadline_comes_first_and_a_later_one_waits() -> None:
    bench = Bench(Probe(deadlines=[110.0]))
    bench.runner.call(lambda now: bench.probe.deadlines.append(105.0))
    bench.runner.call(lambda now: bench.probe.deadlines.append(107.0))
    bench.run(20.0)
    assert bench.probe.timeouts == [105.0, 107.0, 110.0]


def test_a_deadline_that_went_away_or_moved_is_not_met() -> None:
    probe = Probe(deadlines=[105.0])
    bench = Bench(probe)

    def replace(*deadlines: Instant) -> None:
        probe.deadlines = list(deadlines)

    bench.runner.call(lambda now: replace())
    bench.run(10.0)
    assert probe.timeouts == []
    bench.runner.call(lambda now: replace(115.0))
    bench.runner.call(lambda now: replace(120.0))
    bench.run(20.0)
    assert probe.timeouts == [120.0]


def test_a_deadline_that_has_passed_is_met_now() -> None:
    bench = Bench(Probe())
    bench.runner.call(lambda now: bench.probe.deadlines.append(50.0))
    bench.run()
    assert bench.probe.timeouts == [100.0]


# -- commands --------------------------------------------------------------------------------------------------


def test_bind_is_answered_later_and_close_frees_the_socket() -> None:
    bench = Bench(Probe())
    bench.say(Bind(ONE, Address("11.0.0.1", 0)))
    assert bench.arrivals == []
    bench.run()
    assert bench.arrivals == [Opened(ONE, RELAYED)]
    bench.say(Close(ONE), Close(ONE), Close(TWO))
    assert bench.desk.freed == [RELAYED]


def test_a_bind_that_fails_says_why() -> None:
    bench = Bench(Probe())
    bench.desk.opens = FailReason.NO_PORT
    bench.say(Bind(ONE, Address("11.0.0.1", 0)))
    bench.run()
    assert bench.arrivals == [Failed(ONE, FailReason.NO_PORT, "cannot bind 11.0.0.1:0")]
    bench.say(Close(ONE))
    assert bench.desk.freed == []


def test_byte_streams_have_their_handles_too() -> None:
    bench = Bench(Probe())
    taken = Connect(TWO, Address(LOCAL.host, 5000), REMOTE)
    bench.say(Bind(ONE, Address(LOCAL.host, 5000), Transport.TCP, listen=True), taken, replace(taken, handle=Handle(3)))
    bench.run()
    assert bench.arrivals == [
        Opened(ONE, Address(LOCAL.host, 5000)),
        Failed(Handle(3), FailReason.FIVE_TUPLE_TAKEN, "cannot connect to 11.0.0.2:2000"),
    ]
    bench.say(Bytes(TWO, b"x"), Splice(TWO, ONE), Close(ONE), Close(TWO))
    assert bench.desk.tcp.ports == ()
    assert bench.desk.freed == []
    with pytest.raises(InvalidState, match="used handle 2 twice"):
        bench.say(taken)


def test_a_port_is_not_told_of_when_it_was_closed_meanwhile() -> None:
    bench = Bench(Probe())
    bench.say(Bind(ONE, Address(LOCAL.host, 0), Transport.TCP, listen=True), Close(ONE))
    bench.run()
    assert bench.arrivals == []
    assert bench.desk.tcp.ports == ()


def test_names_are_resolved_after_their_delay() -> None:
    bench = Bench(Probe())
    bench.desk.names.delay = 0.5
    bench.desk.names.add_host("a.example", "11.0.0.9")
    bench.say(Resolve(ONE, "a.example"), Resolve(TWO, "b.example"))
    bench.run(0.4)
    assert bench.arrivals == []
    bench.run(0.2)
    answer = ResolvedAddress(Transport.UDP, Security.NONE, Address("11.0.0.9", 0))
    assert bench.probe.arrivals == [
        (100.5, Resolved(ONE, (answer,))),
        (100.5, Failed(TWO, FailReason.NAME_NOT_FOUND, "b.example does not exist")),
    ]


def test_nothing_is_answered_for_a_closed_handle() -> None:
    bench = Bench(Probe())
    bench.say(Resolve(ONE, "a.example"), Bind(TWO, LOCAL), Close(ONE), Close(TWO))
    bench.run()
    assert bench.arrivals == []
    assert bench.desk.freed == [RELAYED]


# -- flows -----------------------------------------------------------------------------------------------------

DELIVERS = SetFlow(FlowKey(LOCAL, REMOTE), Deliver(1, 1), until=200.0)
RELAYS = SetFlow(FlowKey(LOCAL, REMOTE), Relay(RELAYED, REMOTE), until=200.0)
MEDIA = Datagram(LOCAL, REMOTE, b"media")


def test_a_flow_delivers_in_the_machine_s_place_and_reports_its_use() -> None:
    heard: list[Event] = []
    bench = Bench(Probe(), on_event=heard)
    bench.say(DELIVERS)
    bench.runner.arrive(MEDIA)
    bench.runner.arrive(MEDIA)
    assert bench.runner.events == [(100.0, DataDelivered(1, 1, b"media"))] * 2
    assert bench.arrivals == []
    bench.run(1.0)
    assert heard == [DataDelivered(1, 1, b"media")] * 2
    assert bench.probe.arrivals == [(101.0, FlowUsed(DELIVERS.key, 2, 10, 0.0))]
    bench.run(5.0)
    assert len(bench.arrivals) == 1


def test_a_flow_relays() -> None:
    bench = Bench(Probe())
    bench.say(RELAYS)
    bench.runner.arrive(MEDIA)
    assert bench.desk.sent == [Datagram(RELAYED, REMOTE, b"media")]
    assert bench.runner.events == []


def test_a_dropped_flow_reports_and_acts_no_more() -> None:
    bench = Bench(Probe())
    bench.say(DELIVERS)
    bench.runner.arrive(MEDIA)
    bench.say(DropFlow(DELIVERS.key), DropFlow(DELIVERS.key))
    bench.runner.arrive(MEDIA)
    bench.run(2.0)
    assert bench.arrivals == [MEDIA, FlowUsed(DELIVERS.key, 1, 5, 0.0)]


def test_flows_may_be_ignored() -> None:
    bench = Bench(Probe(), honours_flows=False)
    bench.say(DELIVERS)
    bench.runner.arrive(MEDIA)
    assert bench.arrivals == [MEDIA]


# -- the end, and broken machines --------------------------------------------------------------------------------


def test_a_closed_machine_hears_nothing_more() -> None:
    bench = Bench(Probe(deadlines=[105.0]))
    bench.say(Bind(ONE, LOCAL), DELIVERS, Bind(TWO, Address(LOCAL.host, 5000), Transport.TCP, listen=True))
    bench.runner.close()
    bench.run(10.0)
    bench.runner.arrive(MEDIA)
    assert bench.runner.events == [(100.0, MachineClosed())]
    assert bench.runner.is_closed
    assert bench.desk.freed_all == 1
    assert bench.desk.tcp.ports == ()
    assert bench.arrivals == []
    assert bench.probe.timeouts == []


@pytest.mark.parametrize("extra", [Said("more"), Datagram(LOCAL, REMOTE, b"x"), Close(ONE)])
def test_nothing_may_follow_the_end(extra: Output) -> None:
    bench = Bench(Probe())
    with pytest.raises(InvalidState, match="after MachineClosed"):
        bench.say(MachineClosed(), extra)


def test_nothing_may_follow_the_end_later_either() -> None:
    bench = Bench(Probe())
    bench.say(MachineClosed())
    with pytest.raises(InvalidState, match="after MachineClosed"):
        bench.say(Said("more"))


class Refilling(Probe):
    """Has something to say again as soon as it was asked."""

    def take_outputs(self) -> Sequence[Output]:
        outputs = super().take_outputs()
        self.say(Said("again"))
        return outputs


def test_a_machine_that_never_drains_is_caught() -> None:
    with pytest.raises(InvalidState, match="probe has outputs after they were taken"):
        Bench(Refilling(start=[Said("x")]))


class Sleepless(Probe):
    """Never gets past its deadline."""

    def handle_timeout(self, *, now: Instant) -> None:
        self.timeouts.append(now)


def test_a_deadline_that_stays_is_caught() -> None:
    bench = Bench(Sleepless(deadlines=[101.0]))
    with pytest.raises(InvalidState, match=r"livelock: after handle_timeout at 101\.0 the next deadline is 101\.0"):
        bench.run(2.0)
    assert bench.probe.timeouts == [101.0]


def test_a_handle_is_used_once() -> None:
    bench = Bench(Probe())
    bench.say(Bind(ONE, LOCAL), Close(ONE))
    with pytest.raises(InvalidState, match="used handle 1 twice"):
        bench.say(Resolve(ONE, "a.example"))
