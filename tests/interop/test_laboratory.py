"""The laboratory checks itself: each NAT is what its name says, the link delays and loses as told, nothing is left.

The verdicts come from plain sockets (lab/classify.py), not from any ICE library.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from interop.lab import namespaces
from interop.lab.coturn import PASSWORD, USER, start_coturn
from interop.lab.link import LineSpec
from interop.lab.namespaces import Laboratory, LaboratoryError, Namespace
from interop.lab.python import module_command
from interop.lab.rows import (
    SECOND_SERVER_V4,
    SECOND_SERVER_V6,
    SERVER_V4,
    SERVER_V6,
    Servers,
    World,
    accesses_of,
    servers_for,
    world,
)

pytestmark = [pytest.mark.net, pytest.mark.usefixtures("laboratory_possible")]

V4 = (SERVER_V4, SECOND_SERVER_V4)
V6 = (SERVER_V6, SECOND_SERVER_V6)


@pytest.mark.parametrize(
    ("kind", "mapping", "filtering"),
    [
        ("none", "none", "eif"),
        ("eif", "eim", "eif"),
        ("adf", "eim", "adf"),
        ("apdf", "eim", "apdf"),
        ("sym", "apdm", "apdf"),
        # The home router filters by address and port, whatever the carrier lets in.
        ("cgn-eif", "eim", "apdf"),
        ("cgn-apdf", "eim", "apdf"),
        ("cgn-sym", "apdm", "apdf"),
        ("udpblock", "blocked", "blocked"),
        ("tcp443", "blocked", "blocked"),
        ("ds", "eim", "apdf"),
        ("ds-sym", "apdm", "apdf"),
    ],
)
def test_nat_is_of_its_kind(kind: str, mapping: str, filtering: str) -> None:
    with world(f"{kind}:{kind}", relay=False) as place:
        seen = classify(place, place.hosts[1], V4)
        assert (seen["mapping"], seen["filtering"]) == (mapping, filtering)
        if mapping != "none":
            assert seen["hairpin"] is False


@pytest.mark.parametrize("kind", ["v6", "ds", "ds-sym"])
def test_ipv6_has_no_nat_but_a_stateful_firewall(kind: str) -> None:
    with world(f"{kind}:{kind}", relay=False) as place:
        seen = classify(place, place.hosts[0], V6)
        assert (seen["mapping"], seen["filtering"]) == ("none", "apdf")


@pytest.mark.parametrize(
    ("row", "hairpin"),
    [("same", False), ("same-iso", False), ("same-hp", True), ("samecgn", False), ("samecgn-hp", True)],
)
def test_shared_rows_hairpin_only_where_they_should(row: str, hairpin: bool) -> None:
    with world(row, relay=False) as place:
        for host in place.hosts:
            seen = classify(place, host, V4)
            assert (seen["mapping"], seen["filtering"], seen["hairpin"]) == ("eim", "apdf", hairpin)


@pytest.mark.parametrize(("row", "reachable"), [("same", True), ("same-iso", False), ("samecgn-hp", False)])
def test_private_addresses_reach_only_their_own_lan(row: str, reachable: bool) -> None:
    with world(row, relay=False) as place:
        target = place.hosts[1].run(["hostname", "-I"]).split()[0]
        script = "import socket,sys; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], 5000))"
        receiver = place.laboratory.start(
            place.hosts[1],
            [sys.executable, "-c", f"{script}; print('up', flush=True); s.settimeout(1); print(s.recv(9))", target],
        )
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "up\n"
        place.hosts[0].run(
            [sys.executable, "-c", "import socket,sys; socket.socket(2, 2).sendto(b'x', (sys.argv[1], 5000))", target]
        )
        assert (receiver.stdout.readline() != "") is reachable


def test_link_delays_by_what_it_was_told() -> None:
    with world("none:none", relay=False, delay=0.1) as place:
        assert 200 <= classify(place, place.hosts[0], V4)["round_trip_ms"] < 215  # type: ignore[operator]
        report = place.link_report()
        assert report["lost"] == 0
        assert isinstance(late := report["late_median_ms"], float)
        assert late < 2


def test_link_loses_the_same_packets_for_the_same_seed() -> None:
    def arrivals(seed: int) -> list[int]:
        with world("none:none", relay=False, loss=0.5, seed=seed, delay=0.005) as place:
            return flood(place)

    first = arrivals(3)
    assert 20 < len(first) < 80
    assert arrivals(3) == first
    assert arrivals(4) != first


def test_line_specification_survives_its_encoding() -> None:
    from interop.lab.link import encode_specs

    spec = LineSpec("a", "wan", "b", "line1", 0.025, 0.2, 0.0, 7)
    assert [LineSpec(**line) for line in json.loads(encode_specs([spec]))] == [spec]


def test_coturn_relays_and_leaves_nothing_behind() -> None:
    with Laboratory() as laboratory:
        host = laboratory.namespace("turn")
        host.ip("addr add 198.51.100.1/32 dev lo")
        server = start_coturn(laboratory, host, ["198.51.100.1"], extra=["--allow-loopback-peers"])
        peer = laboratory.start(host, ["turnutils_peer", "-L", "198.51.100.1", "-p", "3480"])
        output = host.run(
            [
                *("turnutils_uclient", "-u", USER, "-w", PASSWORD, "-e", "198.51.100.1", "-r", "3480"),
                *("-n", "2", "-m", "1", "-c", "198.51.100.1"),
            ]
        )
        assert "tot_send_msgs=2, tot_recv_msgs=2" in output
        assert peer.poll() is None
        folder = laboratory.folder
    assert server.program.returncode in (0, -signal.SIGTERM)
    assert peer.returncode is not None
    assert not folder.exists()


def test_everything_is_removed_when_the_body_fails() -> None:
    seen: list[World] = []

    def fail() -> None:
        with world("apdf:apdf") as place:
            seen.append(place)
            assert place.server.name in existing()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    names = {host.name for host in seen[0].hosts} | {seen[0].server.name}
    assert not names & set(existing())
    assert seen[0].link.returncode is not None


def test_leftovers_of_a_killed_run_are_swept() -> None:
    script = (
        "import time; from interop.lab.rows import world\n"
        "with world('none:none') as place: print(place.server.name, flush=True); time.sleep(60)"
    )
    run = subprocess.Popen(
        [*module_command("interop.lab.python")[:-2], "-c", script], stdout=subprocess.PIPE, text=True
    )
    with run:
        assert run.stdout is not None
        name = run.stdout.readline().strip()
        assert name in existing()
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert name in existing()
    assert name in namespaces.sweep()
    assert name not in existing()


def test_another_live_runs_namespaces_are_left_alone() -> None:
    with Laboratory() as first:
        kept = first.namespace("kept")
        with Laboratory():
            assert kept.name in existing()
        assert kept.name in existing()


def test_failing_command_says_what_it_said() -> None:
    with Laboratory() as laboratory, pytest.raises(LaboratoryError, match="nonsense"):
        laboratory.namespace("x").ip("nonsense on")


def test_row_names_are_checked() -> None:
    with pytest.raises(ValueError, match="apdf:moon"):
        accesses_of("apdf:moon")


def test_servers_are_the_first_transport_that_works() -> None:
    free, tcp, web, six = (accesses_of(f"{kind}:none")[0] for kind in ("apdf", "udpblock", "tcp443", "v6"))
    assert servers_for(free) == Servers("198.51.100.10:3478", turn="198.51.100.10:3478")
    assert servers_for(tcp) == Servers("198.51.100.10:3478", turn_tcp="198.51.100.10:3478")
    assert servers_for(web).turn_tcp == "198.51.100.10:443"
    assert servers_for(six).turn == "[2001:db8:100::10]:3478"
    assert servers_for(free, everything=True).turn_tls == "198.51.100.10:5349"


def classify(place: World, host: Namespace, servers: tuple[str, str]) -> dict[str, object]:
    """What the classification program sees from a host."""
    responder = place.laboratory.start(place.server, [*module_command("interop.lab.classify"), "serve", *servers])
    try:
        assert responder.stdout is not None
        assert responder.stdout.readline() == "ready\n"
        verdict: dict[str, object] = json.loads(host.run([*module_command("interop.lab.classify"), "probe", *servers]))
        return verdict
    finally:
        namespaces.end(responder)


def flood(place: World) -> list[int]:
    """Which of a hundred numbered packets from one host arrive at the server."""
    receive = (
        "import socket; s=socket.socket(2, 2); s.bind(('198.51.100.10', 5000)); print('up', flush=True); seen=[]\n"
        "s.settimeout(0.5)\n"
        "try:\n    while True: seen.append(int(s.recv(9)))\n"
        "except TimeoutError: print(seen)"
    )
    receiver = place.laboratory.start(place.server, [sys.executable, "-c", receive])
    assert receiver.stdout is not None
    assert receiver.stdout.readline() == "up\n"
    send = (
        "import socket,time; s=socket.socket(2, 2)\nfor i in range(100): s.sendto(b'%d' % i, ('198.51.100.10', 5000))"
    )
    place.hosts[0].run([sys.executable, "-c", send])
    arrived: list[int] = json.loads(receiver.stdout.readline())
    return arrived


def existing() -> list[str]:
    """The namespaces of this machine that laboratories made."""
    return [path.name for path in Path("/run/netns").glob(f"{namespaces.PREFIX}-*")]
