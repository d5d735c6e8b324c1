"""icepath.sim.tcp_stack: ports, listeners, five-tuples."""

from __future__ import annotations

import pytest

from icepath.machine import Accepted, Bind, Bytes, CloseReason, Connect, FailReason, Handle, Opened, Transport
from icepath.net import Address
from icepath.sim.network import Network
from icepath.sim.packet import IcmpError, Loss, Medium, Packet, Segment, Verdict
from icepath.sim.ports import EPHEMERAL_PORTS
from icepath.sim.tcp_config import TcpConfig
from sim.nodes import Node
from sim.wires import FIRST, ONE, PORT, SERVER, THREE, TWO, A, B, Wire, echo

OWN = Address(A, 5000)
SYN = Segment(7, syn=True, mss=1460, window=65_536)


def _bind(handle: Handle = TWO, local: Address = OWN, *, listen: bool = False) -> Bind:
    return Bind(handle, local, Transport.TCP, listen=listen)


# -- ports -----------------------------------------------------------------------------------------------------------


def test_ports_are_chosen_or_taken() -> None:
    wire = Wire()
    wire.a.say(
        Bind(ONE, Address(A, 0), Transport.TCP, port_range=(7000, 7001), even_port=True),
        Bind(TWO, Address(A, 0), Transport.TCP, port_range=(7000, 7001), even_port=True),
        Bind(THREE, Address(A, 0), Transport.TCP),
        Bind(Handle(4), Address(A, 7000), Transport.TCP),
        Bind(Handle(5), Address("11.9.9.9", 0), Transport.TCP),
        Bind(Handle(6), Address(A, 7000)),
    )
    wire.run()
    opened = {opened.handle: opened.local for opened in wire.a.heard(Opened)}
    assert opened[ONE] == opened[Handle(6)] == Address(A, 7000), "UDP has ports of its own"
    assert EPHEMERAL_PORTS[0] <= opened[THREE].port <= EPHEMERAL_PORTS[1]
    assert wire.a.ends == [
        (TWO, FailReason.NO_PORT),
        (Handle(4), FailReason.ADDRESS_IN_USE),
        (Handle(5), FailReason.UNREACHABLE),
    ]


def test_a_port_is_freed_by_its_owner_only() -> None:
    wire = Wire()
    wire.listen()
    tcp = wire.b.host.tcp
    port = tcp.port(SERVER)
    assert port is not None
    assert len(tcp.ports) == 1
    tcp.free(SERVER, wire.a.runner.byte_streams)
    tcp.free_all(wire.a.runner.byte_streams)
    tcp.free(Address(B, 1), wire.b.runner.byte_streams)
    assert tcp.port(SERVER) is port
    tcp.free(SERVER, wire.b.runner.byte_streams)
    assert tcp.port(SERVER) is None
    wire.listen()
    tcp.free_all(wire.b.runner.byte_streams)
    assert len(tcp.ports) == 0


# -- connecting ------------------------------------------------------------------------------------------------------


def test_a_machine_connects_from_the_port_it_has_bound_to_several_far_ends() -> None:
    wire = Wire()
    wire.listen()
    wire.b.host.listen_tcp(B, PORT + 1, owner=wire.b.runner)
    wire.a.say(_bind(), Connect(ONE, OWN, SERVER), Connect(THREE, OWN, Address(B, PORT + 1)))
    wire.run()
    assert [accepted.remote for accepted in wire.b.heard(Accepted)] == [OWN, OWN]


def test_a_port_of_another_machine_is_taken() -> None:
    wire = Wire()
    wire.a.host.listen_tcp(A, 5000)
    wire.a.say(Connect(ONE, OWN, SERVER))
    wire.run()
    assert wire.a.ends == [(ONE, FailReason.ADDRESS_IN_USE)]


def test_the_same_five_tuple_twice_is_refused_until_the_first_is_over() -> None:
    wire = Wire()
    wire.listen()
    wire.open(Connect(ONE, OWN, SERVER))
    wire.a.say(Connect(TWO, OWN, SERVER))
    wire.run()
    assert wire.a.ends == [(TWO, FailReason.FIVE_TUPLE_TAKEN)]
    wire.b.host.tcp.leave((B,))
    wire.a.say(Bytes(ONE, b"x"))
    wire.run()
    assert wire.a.ends[1:] == [(ONE, CloseReason.RESET)]
    wire.listen()
    wire.a.say(Connect(THREE, OWN, SERVER))
    wire.run()
    assert wire.a.opened == [ONE, THREE]


@pytest.mark.parametrize(
    ("local", "remote", "reason"),
    [
        (Address("11.9.9.9", 0), SERVER, FailReason.UNREACHABLE),
        (Address(A, 0), Address("2b00::2", 1), FailReason.UNREACHABLE),
        (None, Address("2b00::2", 1), FailReason.UNREACHABLE),
    ],
)
def test_there_may_be_no_way_there(local: Address | None, remote: Address, reason: FailReason) -> None:
    wire = Wire()
    wire.a.host.remove_interface("eth1")
    wire.a.say(Connect(ONE, local, remote))
    wire.run()
    assert wire.a.ends == [(ONE, reason)]


def test_ipv6_is_like_ipv4() -> None:
    wire = Wire()
    wire.b.host.listen_tcp("2b00::2", PORT, owner=wire.b.runner)
    wire.b.answer = echo
    wire.open(Connect(ONE, None, Address("2b00::2", PORT)))
    wire.a.say(Bytes(ONE, b"hello"))
    wire.run()
    assert wire.a.payload(ONE) == b"hello"


@pytest.mark.rfc("6544", "4.1")
def test_both_sides_may_connect_to_each_other_from_bound_ports() -> None:
    wire = Wire()
    wire.b.host.answers_closed_ports = False  # whoever is late would be refused
    wire.a.say(_bind(), Connect(ONE, OWN, SERVER))
    wire.b.say(_bind(TWO, SERVER), Connect(ONE, SERVER, OWN))
    wire.run()
    assert wire.a.opened == wire.b.opened == [TWO, ONE]
    wire.a.say(Bytes(ONE, b"from a"))
    wire.b.say(Bytes(ONE, b"from b"))
    wire.run()
    assert (wire.a.payload(ONE), wire.b.payload(ONE)) == (b"from b", b"from a")


def test_a_host_reaches_itself() -> None:
    wire = Wire()
    wire.listen()
    wire.b.say(Connect(ONE, None, SERVER), Bytes(ONE, b"hello"))
    wire.run()
    assert wire.b.payload(FIRST) == b"hello"


# -- what comes in ---------------------------------------------------------------------------------------------------


class Knocker:
    """Is a node without TCP that sends segments to b, and sees what comes back."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        network: Network = wire.b.host.interface("eth0").network
        medium: Medium = wire.world.medium
        self.node = Node(medium, network, "11.0.0.9")

    def send(self, segment: Segment, *, port: int = PORT, source: int = 1) -> list[Segment]:
        """Returns what comes back."""
        self.node.send(source, Address(B, port), size=0, segment=segment)
        self.wire.run(0.01)
        return [packet.segment for packet in self.node.take() if packet.segment is not None]


@pytest.mark.parametrize("answers", [False, True])
def test_closed_ports_are_reset(answers: bool) -> None:
    wire = Wire()
    wire.b.host.answers_closed_ports = answers
    knocker = Knocker(wire)
    assert knocker.send(SYN) == ([Segment(0, 8, rst=True)] if answers else [])
    assert knocker.send(Segment(7, 99)) == ([Segment(99, rst=True)] if answers else [])
    assert knocker.send(Segment(7, 99, rst=True)) == []
    assert wire.world.medium.losses == {Loss.NO_SOCKET: 3}


def test_a_port_that_does_not_listen_is_closed_to_others() -> None:
    wire = Wire()
    wire.b.say(_bind(ONE, SERVER))
    assert [segment.rst for segment in Knocker(wire).send(SYN)] == [True]


def test_a_listener_without_a_machine_lets_them_try_again() -> None:
    wire = Wire()
    wire.b.host.listen_tcp(B, PORT)
    knocker = Knocker(wire)
    assert knocker.send(SYN) == []
    assert [segment.rst for segment in knocker.send(Segment(7, 99))] == [True]


def test_half_open_connections_of_a_listener_are_bounded() -> None:
    wire = Wire()
    wire.b.host.tcp.config = TcpConfig(backlog=2)
    wire.listen()
    wire.b.host.listen_tcp(B, PORT + 1, owner=wire.b.runner)
    knocker = Knocker(wire)
    answers = [knocker.send(SYN, source=source) for source in range(1, 5)]
    assert [len(answer) for answer in answers] == [1, 1, 0, 0]
    assert len(knocker.send(SYN, port=PORT + 1, source=5)) == 1
    (answer,) = answers[0]
    knocker.send(Segment(8, answer.sequence + 1, window=100), source=1)
    assert wire.b.accepted == [FIRST]
    assert len(knocker.send(SYN, source=3)) == 1


def test_what_is_not_for_this_host_is_not_answered() -> None:
    wire = Wire()
    packet = Packet(Address(A, 1), Address("11.0.0.77", 1), b"", segment=SYN)
    wire.b.host.tcp.receive(packet, SYN)
    assert wire.world.medium.losses == {Loss.NO_SOCKET: 1}
    assert Verdict.SENT not in wire.world.medium.counts


@pytest.mark.parametrize(
    ("numbers", "reason"), [((3, 3), FailReason.REFUSED), ((3, 13), FailReason.UNREACHABLE), ((3, 4), None)]
)
def test_icmp_errors_reach_their_connection(numbers: tuple[int, int], reason: FailReason | None) -> None:
    wire = Wire()
    wire.a.say(Connect(ONE, OWN, Address("11.0.0.99", 1)))
    for remote in (Address("11.0.0.99", 2), Address("11.0.0.99", 1)):
        wire.a.host.tcp.on_error(IcmpError(*numbers, OWN, remote, 1280, Transport.TCP))
    assert wire.a.ends == ([] if reason is None else [(ONE, reason)])


# -- the end ---------------------------------------------------------------------------------------------------------


def test_an_address_that_goes_takes_its_ports_and_connections() -> None:
    wire = Wire()
    wire.listen()
    wire.open()
    wire.b.host.listen_tcp("2b00::2", PORT, owner=wire.b.runner)
    wire.b.host.tcp.leave((B,))
    assert [port.local for port in wire.b.host.tcp.ports] == [Address("2b00::2", PORT)]
    assert wire.b.ends == [(FIRST, CloseReason.RESET)]


def test_what_is_not_sent_is_seen_in_the_capture() -> None:
    wire = Wire()
    wire.listen()
    wire.a.host.tcp.config = TcpConfig(high_water=0)
    wire.open(Connect(ONE, OWN, SERVER))
    wire.a.say(Bytes(ONE, b"sent", droppable=True), Bytes(ONE, b"lost", droppable=True))
    record = wire.records[-1]
    assert (record.source, record.destination, record.payload, record.loss) == (OWN, SERVER, b"lost", Loss.QUEUE_FULL)


def test_no_port_is_left_to_connect_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icepath.sim.ports.EPHEMERAL_PORTS", (50_000, 50_000))
    wire = Wire()
    wire.listen()
    wire.a.say(Connect(ONE, None, SERVER), Connect(TWO, None, SERVER))
    wire.run()
    assert wire.a.ends == [(TWO, FailReason.NO_PORT)]
