"""icepath.sim.dtls: associations over a link that loses what it is told to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.machine import (
    Accepted,
    Bytes,
    Close,
    CloseReason,
    Connect,
    Datagram,
    FailReason,
    Handle,
    Opened,
    Security,
    Transport,
    Unreachable,
)
from icepath.net import Address
from icepath.sim.dtls import BACKLOG
from icepath.sim.link import LinkConfig
from icepath.sim.packet import PacketRecord, Verdict
from icepath.sim.tls import ALERT, CERTIFICATE, FINISHED, HELLO, TlsServer, decode, encode
from sim.wires import FIRST, ONE, PORT, SERVER, TWO, A, B, Wire

TLS = TlsServer(("turn.example.org",), alpn=("stun.turn",))
CONNECT = Connect(ONE, None, SERVER, Transport.UDP, Security.DTLS, "turn.example.org", ("stun.turn",))


def _wire(tls: TlsServer = TLS) -> Wire:
    wire = Wire()
    wire.b.host.listen_dtls(B, PORT, tls=tls, owner=wire.b.runner)
    return wire


def _kinds(wire: Wire, where: str = "a") -> list[str]:
    """Returns what kinds of handshake messages were sent."""
    sent = [record for record in wire.records if record.where == where and record.verdict is Verdict.SENT]
    return [(decode(record.payload) or ["data"])[0] for record in sent]


def _lose(wire: Wire, kind: str, times: int) -> None:
    """Loses the first messages of a kind, by a link that is bad while they are sent."""
    links = [wire.a.host.interface("eth0").link.up, wire.b.host.interface("eth0").link.up]
    good = [link.config for link in links]
    left = [times]

    def watch(record: PacketRecord) -> None:
        is_next = record.verdict is Verdict.SENT and (decode(record.payload) or [""])[0] == kind and left[0] > 0
        left[0] -= is_next
        for link, config in zip(links, good, strict=True):
            link.config = replace(config, loss=1.0) if is_next else config

    wire.world.on_packet(watch)


# -- the handshake -------------------------------------------------------------------------------------------------


def test_opening_costs_a_cookie_and_two_round_trips() -> None:
    wire = _wire()
    wire.a.say(CONNECT)
    wire.run()
    (opened,), (accepted,) = wire.a.heard(Opened), wire.b.heard(Accepted)
    assert opened == Opened(ONE, accepted.remote, SERVER, "stun.turn")
    assert accepted == Accepted(FIRST, SERVER, SERVER, opened.local, Security.DTLS)
    assert (wire.a.when(Opened), wire.b.when(Accepted)) == ([6.0], [5.0])
    assert _kinds(wire) == [HELLO, HELLO, FINISHED]


@pytest.mark.parametrize(("kind", "sent"), [(HELLO, 4), ("verify", 4), (CERTIFICATE, 4), (FINISHED, 4)])
def test_a_lost_flight_is_repeated_after_a_second(kind: str, sent: int) -> None:
    wire = _wire()
    _lose(wire, kind, 1)
    wire.a.say(CONNECT)
    wire.run(0.9)
    assert wire.a.opened == []
    wire.run()
    assert wire.a.opened == [ONE]
    assert wire.b.accepted == [FIRST]
    assert len(_kinds(wire)) == sent


def test_the_server_s_last_flight_is_repeated_when_it_is_asked_for() -> None:
    wire = _wire()
    wire.a.say(CONNECT)
    wire.run(0.24)
    wire.b.host.interface("eth0").link.up.config = LinkConfig(loss=1.0)
    wire.run(0.03)
    wire.b.host.interface("eth0").link.up.config = LinkConfig()
    wire.run(2.0)
    assert (wire.a.opened, wire.b.accepted) == ([ONE], [FIRST])
    assert _kinds(wire, "b").count(FINISHED) == 2


def test_nobody_answers() -> None:
    wire = Wire()
    wire.b.host.bind(B, PORT, owner=wire.b.runner)
    wire.a.say(CONNECT)
    wire.run(29.9)
    assert wire.a.ends == []
    wire.run(0.2)
    assert wire.a.ends == [(ONE, FailReason.TIMED_OUT)]
    assert len(_kinds(wire)) == 5, "at 0, 1, 3, 7 and 15 s"


def test_nobody_listens() -> None:
    wire = Wire()
    wire.a.say(CONNECT)
    wire.run()
    assert wire.a.ends == [(ONE, FailReason.REFUSED)]


@pytest.mark.parametrize("remote", [Address("2b00::9", 1), Address("2b00:1::9", 1)])
def test_there_may_be_no_way_there(remote: Address) -> None:
    wire = Wire()
    wire.a.say(replace(CONNECT, remote=remote, local=Address(A, 0)))
    wire.a.host.remove_interface("eth1")
    wire.a.say(replace(CONNECT, handle=TWO, remote=remote))
    wire.run()
    assert wire.a.ends == [(ONE, FailReason.UNREACHABLE), (TWO, FailReason.UNREACHABLE)]


def test_a_certificate_of_somebody_else() -> None:
    wire = _wire()
    wire.a.say(replace(CONNECT, server_name="other.example.org"))
    wire.a.say(replace(CONNECT, handle=TWO, server_name="other.example.org", verify=False))
    wire.run(100.0)
    assert wire.a.ends == [(ONE, FailReason.TLS_CERTIFICATE)]
    assert wire.a.opened == [TWO]
    assert wire.b.accepted == [FIRST]


def test_without_a_common_protocol_there_is_no_session() -> None:
    wire = _wire()
    wire.a.say(replace(CONNECT, alpn=("h2",)))
    wire.run(3.0)
    assert wire.a.ends == [(ONE, FailReason.TLS_HANDSHAKE)]


def test_an_unfinished_association_is_forgotten_and_they_are_bounded() -> None:
    wire = _wire()
    a = wire.a.host.bind(A, 5000, owner=wire.a.runner).address
    others = [wire.a.host.bind(A, 6000 + index, owner=wire.a.runner).address for index in range(BACKLOG + 1)]
    for local in [a, *others]:
        wire.a.say(Datagram(local, SERVER, encode(HELLO, "x", "", str(local))))
    wire.run()
    assert len(wire.a.heard(Datagram)) == BACKLOG
    wire.a.say(Datagram(a, SERVER, encode(HELLO, "x", "", str(a))), Datagram(a, SERVER, encode(FINISHED)))
    wire.run(100.0)
    assert len(wire.a.heard(Datagram)) == BACKLOG + 2
    wire.a.say(*(Datagram(local, SERVER, encode(HELLO, "x", "", str(local))) for local in others))
    wire.run()
    assert len(wire.a.heard(Datagram)) == 2 * BACKLOG + 2


# -- messages --------------------------------------------------------------------------------------------------------


def test_messages_stay_whole_and_what_is_lost_is_lost() -> None:
    wire = _wire()
    wire.a.say(Bytes(ONE, b"nobody"), CONNECT, Bytes(ONE, b"too early"))
    wire.run()
    wire.a.say(Bytes(ONE, b"one"), Bytes(ONE, b"two"))
    wire.run()
    uplink = wire.a.host.interface("eth0").link.up
    uplink.config = LinkConfig(loss=1.0)
    wire.a.say(Bytes(ONE, b"three"))
    uplink.config = LinkConfig()
    wire.a.say(Bytes(ONE, b"four"))
    wire.b.say(Bytes(FIRST, b"back"))
    wire.run()
    assert [arrival.payload for arrival in wire.b.heard(Bytes)] == [b"one", b"two", b"four"]
    assert wire.a.payload(ONE) == b"back"


@pytest.mark.parametrize("closes", ["a", "b"])
@pytest.mark.parametrize("abort", [False, True])
def test_closing_tells_the_far_side_unless_it_is_an_abort(closes: str, abort: bool) -> None:
    wire = _wire()
    wire.a.say(CONNECT)
    wire.run()
    if closes == "a":
        wire.a.say(Close(ONE, abort))
    else:
        wire.b.say(Close(FIRST, abort))
    wire.run(100.0)
    ends = wire.b.ends if closes == "a" else wire.a.ends
    assert ends == ([] if abort else [(FIRST if closes == "a" else ONE, CloseReason.EOF)])


def test_closing_before_it_is_open_frees_the_port() -> None:
    wire = _wire()
    wire.a.say(
        replace(CONNECT, local=Address(A, 5000)), Close(ONE), replace(CONNECT, handle=TWO, local=Address(A, 5000))
    )
    wire.run()
    assert wire.a.ends == []
    assert wire.a.opened == [TWO]


def test_a_local_port_may_be_taken() -> None:
    wire = _wire()
    wire.a.say(replace(CONNECT, local=Address(A, 5000)), replace(CONNECT, handle=TWO, local=Address(A, 5000)))
    wire.run()
    assert wire.a.ends == [(TWO, FailReason.ADDRESS_IN_USE)]


def test_no_message_comes_before_the_handshake_is_done() -> None:
    wire = _wire()
    wire.a.say(replace(CONNECT, local=Address(A, 5000)))
    wire.b.host.send(Datagram(SERVER, Address(A, 5000), b"\x17\xfe\xfdtoo early"))
    wire.run()
    assert [type(arrival) for _, arrival in wire.a.probe.arrivals] == [Opened]


def test_strangers_are_not_listened_to() -> None:
    wire = _wire()
    wire.a.say(replace(CONNECT, local=Address(A, 5000)))
    wire.run()
    stranger = wire.b.host.bind(B, 9999, owner=wire.b.runner).address
    wire.b.say(Datagram(stranger, Address(A, 5000), b"\x15\xfe\xfd"))
    own = wire.a.host.bind(A, 6000, owner=wire.a.runner).address
    wire.a.say(Datagram(own, SERVER, b"\x17\xfe\xfdhello"), Datagram(own, SERVER, encode(FINISHED)))
    wire.run()
    assert wire.a.ends == []
    assert wire.b.heard(Bytes) == []


def test_what_makes_no_sense_changes_nothing_once_it_is_open() -> None:
    wire = _wire()
    wire.a.say(replace(CONNECT, local=Address(A, 5000)))
    wire.run()
    listener = wire.b.host
    client, server = Address(A, 5000), SERVER
    for host, source, destination in ((wire.a.host, client, server), (listener, server, client)):
        for payload in (encode(ALERT), encode(CERTIFICATE, "x", "", ""), b"\x18???", encode(HELLO, "x", "", "y")):
            host.send(Datagram(source, destination, payload))
    wire.run()
    wire.a.say(Bytes(ONE, b"hello"))
    wire.run()
    assert wire.b.payload(FIRST) == b"hello"
    assert wire.a.ends == wire.b.ends == []


def test_icmp_changes_nothing_once_it_is_open() -> None:
    wire = _wire()
    wire.a.say(replace(CONNECT, local=Address(A, 5000)))
    wire.run()
    wire.b.host.remove_interface("eth0")
    wire.b.host.add_interface("eth0", wire.a.host.interface("eth0").network, [B])
    wire.a.say(Bytes(ONE, b"hello"))
    wire.run()
    assert wire.a.ends == []
    assert wire.a.heard(Unreachable) == []


# -- listeners -------------------------------------------------------------------------------------------------------


def test_a_listener_without_a_machine_says_nothing_until_it_has_one() -> None:
    wire = Wire()
    local = wire.b.host.listen_dtls(B, PORT, tls=TLS)
    wire.a.say(CONNECT)
    wire.run(0.5)
    wire.b.host.attach(wire.b.probe, [local])
    wire.run(2.0)
    assert wire.a.opened == [ONE]


def test_a_listener_does_not_mind_icmp() -> None:
    wire = _wire()
    wire.a.host.answers_closed_ports = True
    own = wire.a.host.bind(A, 6000, owner=wire.a.runner).address
    wire.a.say(Datagram(own, SERVER, encode(HELLO, "x", "", "")))
    wire.a.host.free(own, wire.a.runner)
    wire.run()
    assert wire.b.probe.arrivals == []
    assert Handle(0) not in wire.b.accepted
