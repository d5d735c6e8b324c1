"""icepath.sim.host: interfaces, sockets, closed ports, multicast."""

from __future__ import annotations

import pytest

from icepath.errors import InvalidArgument, InvalidState
from icepath.machine import (
    Accepted,
    Bind,
    Close,
    Closed,
    Connect,
    Datagram,
    Failed,
    FailReason,
    Handle,
    LocalAddress,
    Opened,
    Security,
    Transport,
    Unreachable,
)
from icepath.net import Address
from icepath.sim.clock import Clock
from icepath.sim.host import Host
from icepath.sim.link import LinkConfig
from icepath.sim.names import Names
from icepath.sim.network import Network
from icepath.sim.packet import Loss, Medium, Packet, PacketRecord, Segment, Unreachability, Verdict, icmp_error
from icepath.sim.ports import EPHEMERAL_PORTS
from icepath.sim.tls import TlsServer
from sim.probe import Probe, Said, echo

ONE, TWO, THREE = Handle(1), Handle(2), Handle(3)


class Bench:
    """Is two hosts on one network."""

    def __init__(self) -> None:
        self.clock = Clock(100.0)
        self.medium = Medium(self.clock, 1)
        self.network = Network(self.medium, "lan")
        self.other = Network(self.medium, "other")
        self.a = self.host("a")
        self.a.add_interface("eth0", self.network, ["10.0.0.1", "2b00::1"], cost=10)
        self.b = self.host("b")
        self.b.add_interface("eth0", self.network, ["10.0.0.2"])

    def host(self, name: str) -> Host:
        return Host(self.medium, name, Names())

    def run(self, seconds: float = 0.0) -> None:
        self.clock.run_to(self.clock.now + seconds)

    def send(self, host: Host, probe: Probe, datagram: Datagram) -> None:
        host.call(probe, lambda now: probe.say(datagram))


def test_a_datagram_travels_from_machine_to_machine() -> None:
    bench = Bench()
    records: list[PacketRecord] = []
    bench.medium.on_packet(records.append)
    asker, echoer = Probe(), Probe(answer=echo)
    a, b = bench.a.bind("eth0").address, bench.b.bind("eth0", 3478).address
    bench.a.attach(asker)
    bench.b.attach(echoer)
    bench.send(bench.a, asker, Datagram(a, b, b"hello"))
    assert echoer.arrivals == [], "nothing arrives within the sender's call"
    bench.run()
    assert echoer.arrivals == [(100.0, Datagram(b, a, b"hello"))]
    assert asker.arrivals == [(100.0, Datagram(a, b, b"hello"))]
    assert [(record.where, record.verdict) for record in records] == [
        ("a", Verdict.SENT),
        ("b", Verdict.DELIVERED),
        ("b", Verdict.SENT),
        ("a", Verdict.DELIVERED),
    ]


# -- sockets -----------------------------------------------------------------------------------------------------


def test_sockets_are_bound_by_interface_or_address() -> None:
    bench = Bench()
    first = bench.a.bind("eth0", 5000)
    assert (first.address, first.interface, first.cost) == (Address("10.0.0.1", 5000), "eth0", 10)
    assert bench.a.bind("2b00::1", 5000).address == Address("2b00::1", 5000)
    some = bench.a.bind("eth0").address.port
    assert EPHEMERAL_PORTS[0] <= some <= EPHEMERAL_PORTS[1]
    with pytest.raises(InvalidState, match=r"cannot bind port 5000 of 10\.0\.0\.1: ADDRESS_IN_USE"):
        bench.a.bind("eth0", 5000)
    with pytest.raises(InvalidArgument, match="a has no interface or address 'wlan0'"):
        bench.a.bind("wlan0")


def test_bind_all_opens_one_socket_per_address() -> None:
    bench = Bench()
    assert [local.address for local in bench.a.bind_all(5000)] == [Address("10.0.0.1", 5000), Address("2b00::1", 5000)]


def test_machines_get_the_sockets_that_wait_or_those_named() -> None:
    bench = Bench()
    first, second = bench.b.bind("eth0", 1).address, bench.b.bind("eth0", 2)
    named, waiting, sender = Probe(), Probe(), Probe()
    bench.b.attach(named, [second])
    runner = bench.b.attach(waiting)
    third = bench.b.bind("eth0", 3, owner=runner).address
    bench.b.bind("eth0", 4)
    a = bench.a.bind("eth0").address
    bench.a.attach(sender)
    for port in (1, 2, 3, 4):
        bench.send(bench.a, sender, Datagram(a, Address("10.0.0.2", port), bytes([port])))
    bench.run()
    assert [datagram.local for datagram in waiting.datagrams] == [first, third]
    assert named.payloads == [b"\x02"]
    assert bench.medium.losses == {Loss.NO_SOCKET: 1}
    assert sender.arrivals == [], "a socket without a machine swallows"


def test_attaching_takes_what_the_machine_has_to_say_already() -> None:
    bench = Bench()
    heard: list[object] = []
    runner = bench.a.attach(Probe(start=[Said("hello")]), name="probe", on_event=heard.append)
    bench.run()
    assert runner.events == [(100.0, Said("hello"))]
    assert heard == [Said("hello")]
    assert bench.a.attach(Probe()).name == "a/Probe"


def test_only_machines_of_the_host_are_called() -> None:
    bench = Bench()
    stranger, known = Probe(), Probe()
    bench.a.attach(Probe())
    bench.a.attach(known)
    assert bench.a.call(known, lambda now: now) == 100.0
    with pytest.raises(InvalidArgument, match="does not run on a"):
        bench.a.call(stranger, lambda now: now)


def test_a_datagram_needs_a_socket() -> None:
    bench = Bench()
    sender = Probe()
    bench.a.attach(sender)
    bench.send(bench.a, sender, Datagram(Address("10.0.0.1", 5000), Address("10.0.0.2", 1), b"x"))
    bench.run()
    assert bench.medium.losses == {Loss.NO_SOCKET: 1}
    assert Verdict.SENT not in bench.medium.counts


# -- what machines bind --------------------------------------------------------------------------------------------


def _answers(bench: Bench, *binds: Bind) -> list[object]:
    probe = Probe(start=binds)
    bench.b.attach(probe)
    bench.run()
    return [arrival for _, arrival in probe.arrivals]


def test_a_machine_binds_ports_as_it_asks() -> None:
    bench = Bench()
    fixed, ranged, even = _answers(
        bench,
        Bind(ONE, Address("10.0.0.2", 7000)),
        Bind(TWO, Address("10.0.0.2", 0), port_range=(8000, 8000)),
        Bind(THREE, Address("10.0.0.2", 0), port_range=(9001, 9003), even_port=True),
    )
    assert fixed == Opened(ONE, Address("10.0.0.2", 7000))
    assert ranged == Opened(TWO, Address("10.0.0.2", 8000))
    assert even == Opened(THREE, Address("10.0.0.2", 9002))


def test_a_machine_s_bind_fails_with_its_reason() -> None:
    bench = Bench()
    bench.b.bind("eth0", 7000)
    answers = _answers(
        bench,
        Bind(ONE, Address("10.0.0.2", 7000)),
        Bind(TWO, Address("10.0.0.9", 0)),
        Bind(THREE, Address("10.0.0.2", 0), port_range=(7000, 7000)),
    )
    assert [answer.reason for answer in answers if isinstance(answer, Failed)] == [
        FailReason.ADDRESS_IN_USE,
        FailReason.UNREACHABLE,
        FailReason.NO_PORT,
    ]


def test_ports_are_free_again_after_close_and_after_the_machine_s_end() -> None:
    bench = Bench()
    probe = Probe(start=[Bind(ONE, Address("10.0.0.2", 7000)), Bind(TWO, Address("10.0.0.2", 7001))])
    runner = bench.b.attach(probe)
    bench.run()
    bench.b.call(probe, lambda now: probe.say(Close(ONE)))
    assert bench.b.bind("eth0", 7000).address.port == 7000
    runner.close()
    assert bench.b.bind("eth0", 7001).address.port == 7001
    with pytest.raises(InvalidState):
        bench.b.bind("eth0", 7000)


def test_a_machine_cannot_close_what_has_become_another_s() -> None:
    bench = Bench()
    probe = Probe(start=[Bind(ONE, Address("10.0.0.2", 7000))])
    bench.b.attach(probe)
    bench.run()
    bench.b.remove_interface("eth0")
    bench.b.add_interface("eth0", bench.network, ["10.0.0.2"])
    bench.b.bind("eth0", 7000)
    bench.b.call(probe, lambda now: probe.say(Close(ONE)))
    with pytest.raises(InvalidState):
        bench.b.bind("eth0", 7000)


# -- closed ports, interfaces --------------------------------------------------------------------------------------


@pytest.mark.parametrize("answers", [True, False])
def test_a_closed_port_is_reported_to_the_sender_s_machine(answers: bool) -> None:
    bench = Bench()
    bench.b.answers_closed_ports = answers
    sender = Probe()
    a = bench.a.bind("eth0").address
    bench.a.attach(sender)
    bench.send(bench.a, sender, Datagram(a, Address("10.0.0.2", 9), b"x"))
    bench.run()
    expected = [(100.0, Unreachable(a, Address("10.0.0.2", 9), 3, 3))]
    assert sender.arrivals == (expected if answers else [])
    assert bench.medium.losses == {Loss.NO_SOCKET: 1}


def test_an_error_for_a_socket_that_is_gone_is_swallowed() -> None:
    bench = Bench()
    sender = Probe()
    runner = bench.a.attach(sender, [bench.a.bind("eth0", 5000)])
    bench.send(bench.a, sender, Datagram(Address("10.0.0.1", 5000), Address("10.0.0.2", 9), b"x"))
    runner.close()
    bench.run()
    bench.a.bind("eth0", 5001)
    bench.a.attach(other := Probe())
    bench.send(bench.a, other, Datagram(Address("10.0.0.1", 5001), Address("10.0.0.2", 9), b"x"))
    bench.a.remove_interface("eth0")
    bench.run()
    assert sender.arrivals == other.arrivals == []


def test_what_still_comes_for_an_address_that_left_is_dropped_silently() -> None:
    bench = Bench()
    sender = Probe()
    a = bench.a.bind("eth0").address
    bench.a.attach(sender)
    bench.send(bench.a, sender, Datagram(a, Address("10.0.0.2", 9), b"x"))
    bench.b.remove_interface("eth0")
    bench.run()
    assert sender.arrivals == []
    assert bench.medium.losses == {Loss.NO_SOCKET: 1}


def test_too_big_is_reported_by_the_own_link() -> None:
    bench = Bench()
    host = bench.host("c")
    host.add_interface("ppp0", bench.network, ["10.0.0.3"], up=LinkConfig(mtu=576), down=LinkConfig())
    probe = Probe()
    local = host.bind("ppp0").address
    host.attach(probe)
    bench.send(host, probe, Datagram(local, Address("10.0.0.2", 9), bytes(600), dont_fragment=True))
    bench.run()
    assert probe.arrivals == [(100.0, Unreachable(local, Address("10.0.0.2", 9), 3, 4, 576))]


def test_interfaces_come_and_go() -> None:
    bench = Bench()
    with pytest.raises(InvalidState, match="a has an interface eth0 already"):
        bench.a.add_interface("eth0", bench.other, ["10.1.0.1"])
    wlan = bench.a.add_interface("wlan0", bench.other, ["10.1.0.1"], up=LinkConfig(delay=0.2))
    assert wlan.link.down.config.delay == 0.2
    assert [interface.name for interface in bench.a.interfaces] == ["eth0", "wlan0"]
    assert bench.a.interface("wlan0") is wlan
    bench.a.bind("eth0", 5000)
    bench.a.bind("wlan0", 5000)
    bench.a.remove_interface("eth0")
    assert [local.address.host for local in bench.a.bind_all(5001)] == ["10.1.0.1"]
    with pytest.raises(InvalidArgument):
        bench.a.interface("eth0")
    bench.a.add_interface("eth0", bench.network, ["10.0.0.1"])
    assert bench.a.bind("eth0", 5000).address.port == 5000


# -- the host itself, multicast --------------------------------------------------------------------------------------


def test_machines_of_one_host_reach_each_other_without_a_network() -> None:
    bench = Bench()
    first, second = Probe(), Probe(answer=echo)
    one = bench.a.bind("eth0", 1)
    bench.a.attach(first)
    two = bench.a.bind("eth0", 2)
    bench.a.attach(second)
    bench.network.detach(["10.0.0.1"])
    bench.send(bench.a, first, Datagram(one.address, two.address, b"x"))
    bench.run()
    assert first.payloads == [b"x"]


GROUP = Address("224.0.0.251", 5353)


def test_multicast_reaches_the_group_on_that_network_and_the_sender_s_host() -> None:
    bench = Bench()
    bench.b.add_interface("eth1", bench.other, ["10.1.0.2"])
    joined = Probe(start=[Bind(ONE, Address("10.0.0.2", 5353), group=GROUP)])
    elsewhere = Probe(start=[Bind(ONE, Address("10.1.0.2", 5353), group=GROUP)])
    not_joined = Probe(start=[Bind(ONE, Address("10.0.0.2", 5354))])
    sender = Probe(start=[Bind(ONE, Address("10.0.0.1", 5353), group=GROUP)])
    for host, probe in ((bench.b, joined), (bench.b, elsewhere), (bench.b, not_joined), (bench.a, sender)):
        host.attach(probe)
    bench.run()
    bench.send(bench.a, sender, Datagram(Address("10.0.0.1", 5353), GROUP, b"who is a.local?"))
    bench.run()
    assert joined.datagrams == [Datagram(Address("10.0.0.2", 5353), Address("10.0.0.1", 5353), b"who is a.local?")]
    assert sender.payloads == [b"who is a.local?"]
    assert elsewhere.datagrams == not_joined.datagrams == []


# -- byte streams and associations -----------------------------------------------------------------------------------

TLS = TlsServer(("b.example",))


def test_the_host_listens_by_interface_or_address() -> None:
    bench = Bench()
    local = bench.a.listen_tcp("eth0", 443, tls=TLS, paused=True)
    assert local == LocalAddress(Address("10.0.0.1", 443), "eth0", Transport.TCP, 10)
    (port,) = bench.a.tcp.ports
    assert (port.tls, port.paused, port.listens, port.handle, port.owner) == (TLS, True, True, None, None)
    assert bench.a.listen_dtls("2b00::1", 443, tls=TLS) == LocalAddress(Address("2b00::1", 443), "eth0", cost=10)
    for listen in (bench.a.listen_tcp, bench.a.listen_dtls):
        host = "10.0.0.1" if listen == bench.a.listen_tcp else "2b00::1"
        with pytest.raises(InvalidState, match=f"cannot bind port 443 of {host}: ADDRESS_IN_USE"):
            listen(host, 443, tls=TLS)
    with pytest.raises(InvalidArgument, match="a has no interface or address 'wlan0'"):
        bench.a.listen_tcp("wlan0")


def test_machines_get_the_listeners_that_wait_or_those_named() -> None:
    bench = Bench()
    named, waiting, owner = Probe(), Probe(), Probe()
    first = bench.b.listen_tcp("eth0", 1)
    runner = bench.b.attach(owner)
    bench.b.listen_tcp("eth0", 2, owner=runner)
    second = bench.b.listen_dtls("eth0", 3, tls=TLS)
    bench.b.bind("eth0", 1)
    third = bench.b.listen_tcp("eth0", 4)
    bench.b.listen_dtls("eth0", 5, tls=TLS, owner=runner)
    bench.b.attach(named, [second, third])
    bench.b.attach(waiting)
    asker = Probe()
    bench.a.attach(asker)
    remotes = [Address("10.0.0.2", port) for port in (1, 2, 3, 4, 5)]
    for number, remote in enumerate(remotes):
        is_dtls = remote.port in (3, 5)
        transport, security = (Transport.UDP, Security.DTLS) if is_dtls else (Transport.TCP, Security.NONE)
        connect = Connect(Handle(number + 1), None, remote, transport, security, verify=False)
        bench.a.call(asker, lambda now, connect=connect: asker.say(connect))  # type: ignore[misc]  # default argument
    bench.run()
    heard = [
        [arrival.local.port for _, arrival in probe.arrivals if isinstance(arrival, Accepted)]
        for probe in (owner, named, waiting)
    ]
    assert [sorted(ports) for ports in heard] == [[1, 2, 5], [3, 4], []]
    assert first.transport is Transport.TCP


def test_the_way_out_is_the_nearest_address() -> None:
    bench = Bench()
    assert bench.a.source_for(Address("10.0.0.2", 5)) == Address("10.0.0.1", 0)
    assert bench.b.source_for(Address("2b00::1", 5)) is None


def test_segments_and_errors_about_them_are_tcp_s() -> None:
    bench = Bench()
    bench.b.bind("eth0", 7000)
    asker = Probe()
    bench.a.attach(asker)
    bench.a.call(asker, lambda now: asker.say(Connect(ONE, None, Address("10.0.0.2", 7000))))
    bench.run()
    assert [arrival for _, arrival in asker.arrivals] == [
        Failed(ONE, FailReason.REFUSED, "10.0.0.2:7000: REFUSED"),
    ]
    local = Address("10.0.0.1", 5000)
    bench.a.bind("eth0", 5000, owner=bench.a.runners[0])
    bench.a.call(asker, lambda now: asker.say(Connect(TWO, local, Address("10.0.0.9", 1))))
    error = icmp_error(Packet(local, Address("10.0.0.9", 1), b"", segment=Segment(0)), Unreachability.PORT)
    bench.a.receive(error, bench.a.interface("eth0").link)
    assert [arrival for _, arrival in asker.arrivals[1:]] == [
        Failed(TWO, FailReason.REFUSED, "10.0.0.9:1: REFUSED"),
    ]


def test_a_lost_interface_ends_what_was_open_there() -> None:
    bench = Bench()
    asker, listener = Probe(), Probe()
    bench.b.listen_tcp("eth0", 1)
    bench.b.attach(listener)
    bench.a.attach(asker)
    bench.a.call(asker, lambda now: asker.say(Connect(ONE, None, Address("10.0.0.2", 1))))
    bench.run()
    bench.b.remove_interface("eth0")
    assert [type(arrival) for _, arrival in listener.arrivals] == [Accepted, Closed]
    assert bench.b.tcp.ports == ()
