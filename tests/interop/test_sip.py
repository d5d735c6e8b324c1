"""Calls over SIP: the example phone with baresip through kamailio, and icepath.sdp with rtpengine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from interop.lab import coturn, sip
from interop.lab.namespaces import end
from interop.lab.python import TESTS
from interop.lab.rows import SECOND_SERVER_V4, SERVER_V4, World, world
from interop.lab.sip import Program

PROXY = f"{SERVER_V4}:{sip.PORT}"
PLAIN = (SECOND_SERVER_V4, 40000)
# A frame every 20 ms; what is still on its way when a call ends is not counted.
ENOUGH = 30


class Place:
    """A row with a registrar, and baresip as `bob` on its second host."""

    def __init__(self, built: World, *, mux: bool = True) -> None:
        self.world = built
        self.kamailio = sip.start_kamailio(built.laboratory, built.server, SERVER_V4)
        stun = f"{SERVER_V4}:{coturn.PORT}"
        self.baresip = sip.start_baresip(built.laboratory, built.hosts[1], "bob", PROXY, stun=stun, mux=mux)

    def phone(self, *options: str) -> Program:
        """Starts the example phone as `alice` on the first host."""
        turn = ("--turn-user", coturn.USER, "--turn-password", coturn.PASSWORD)
        servers = ("--server", f"stun:{SERVER_V4}", "--server", f"turn:{SERVER_V4}")
        return sip.start_phone(self.world.laboratory, self.world.hosts[0], "alice", PROXY, *servers, *turn, *options)

    def calls(self, *options: str) -> str:
        """The phone calls and talks; returns its path. RTP must flow both ways over it."""
        phone = self.phone("--call", "bob", "--seconds", "1", *options)
        received = int(phone.wait_for(r"received (\d+) RTP packets", 25)[1])
        return self.check(phone, received)

    def is_called(self, *options: str) -> str:
        """Baresip calls, and hangs up after a while; returns the path."""
        phone = self.phone("--once", *options)
        self.baresip.write("/dial alice@" + PROXY + "\n")
        phone.wait_for("connected: ", 20)
        # Its own checks of what cannot work must fail first: then it sends.
        self.baresip.wait_for("(?s)connectivity check is complete.*incoming rtp for", 20)
        time.sleep(1.0)
        self.baresip.write("/hangup\n")
        received = int(phone.wait_for(r"received (\d+) RTP packets")[1])
        return self.check(phone, received)

    def check(self, phone: Program, received: int) -> str:
        """Checks that RTP went both ways over the pair that was selected."""
        assert received >= ENOUGH, phone.text
        path = phone.wait_for(r"connected: (.*)  (\S+) <-> \S+")
        heard = self.baresip.wait_for(r"incoming rtp for 'audio' established, receiving from (\S+)")
        assert heard[1] == path[2], f"{phone.text}\n{self.baresip.text}"
        self.baresip.lines.clear()
        return path[1]


@pytest.fixture
def sip_possible(laboratory_possible: None) -> None:
    """Skips unless kamailio and baresip are here."""
    reason = sip.missing()
    if reason is not None:
        pytest.skip(reason)


@pytest.mark.net
@pytest.mark.interop
@pytest.mark.usefixtures("sip_possible")
def test_the_phone_calls_baresip_and_is_called_by_it_behind_nats() -> None:
    with world("apdf:apdf") as built:
        place = Place(built)
        assert place.calls() == "direct through both NATs"
        assert place.is_called() == "direct through both NATs"


@pytest.mark.slow
@pytest.mark.net
@pytest.mark.interop
@pytest.mark.usefixtures("sip_possible")
@pytest.mark.parametrize(
    ("row", "path"),
    [
        ("none:none", "direct"),
        ("none:apdf", "direct through their NAT"),
        ("apdf:none", "direct through our NAT"),
        ("sym:sym", "through a relay"),
    ],
)
def test_calls_in_other_networks(row: str, path: str) -> None:
    with world(row) as built:
        place = Place(built)
        assert place.calls() == path
        assert place.is_called() == path


@pytest.mark.slow
@pytest.mark.net
@pytest.mark.interop
@pytest.mark.usefixtures("sip_possible")
def test_a_phone_that_does_not_multiplex_rtcp() -> None:
    with world("apdf:none") as built:
        place = Place(built, mux=False)
        assert place.calls("--no-rtcp-mux") == "direct through our NAT"
        assert place.is_called() == "direct through our NAT"


@pytest.mark.net
@pytest.mark.interop
@pytest.mark.usefixtures("sip_possible")
def test_a_side_that_knows_rfc_5245_only_is_offered_the_path_anew() -> None:
    with world("none:none") as built:
        place = Place(built)
        phone = place.phone("--call", "bob", "--seconds", "0.5")
        phone.wait_for("updated: SIP/2.0 200", 20)
        offer = place.baresip.text
        told = re.findall(r"a=remote-candidates:1 (\S+) (\d+)", offer)
        (ours,) = set(re.findall(r"connected: direct  \S+ <-> (\S+)", phone.text))
        assert [f"{host}:{port}" for host, port in told] == [ours], "none in the first offer, one in the second"
        phone.wait_for(r"received \d+ RTP packets")


@pytest.fixture
def engine_place(laboratory_possible: None) -> Iterator[World]:
    """A host behind a NAT, rtpengine, and a plain RTP side that echoes."""
    reason = sip.missing_rtpengine()
    if reason is not None:
        pytest.skip(reason)
    with world("apdf:none", relay=False) as built:
        sip.start_rtpengine(built.laboratory, built.server, SERVER_V4)
        sip.start_echo(built.laboratory, built.server, *PLAIN)
        yield built


@pytest.mark.net
@pytest.mark.interop
def test_rtpengine_full_and_lite_as_answerer_and_as_offerer(engine_place: World) -> None:
    cases = {
        ("offer", "full"): (False, "controlling"),
        ("answer", "full"): (False, "controlled"),
        ("offer", "ICE-lite=backward"): (True, "controlling"),
        # RFC 8445 §6.1.1: with a lite side the full one controls, whoever offered.
        ("answer", "ICE-lite=forward"): (True, "controlling"),
    }
    programs = {
        case: sip.start_media(
            engine_place.laboratory,
            engine_place.hosts[0],
            f"{SERVER_V4}:{sip.NG_PORT}",
            case[0],
            f"{PLAIN[0]}:{PLAIN[1]}",
            *(option for option in case[1:] if option != "full"),
        )
        for case in cases
    }
    for case, (is_lite, role) in cases.items():
        report = json.loads(programs[case].wait_for(r"(?m)^\{.*\}$", 20)[0])
        expected = {
            "usage": "ICE",
            "lite": is_lite,
            "components": 1,
            "rtcp_mux": True,
            "role": role,
            "state": "completed",
        }
        assert {name: report[name] for name in expected} == expected, case
        assert report["path"].startswith("direct through our NAT"), case
        assert report["echoed"] >= ENOUGH, case


def test_two_example_phones_call_each_other() -> None:
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent / "src"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(sip.PHONE), "--loopback"]
    waiting = phone_process([*command, "--proxy", "127.0.0.1:9", "--user", "bob", "--once"], environment)
    try:
        port = waiting.wait_for(r"listening on port (\d+)")[1]
        calling = [*command, "--proxy", f"127.0.0.1:{port}", "--user", "alice", "--call", "bob", "--seconds", "0.4"]
        done = subprocess.run(calling, env=environment, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        echoed = waiting.wait_for(r"received (\d+) RTP packets")
        assert int(echoed[1]) >= 15
        assert f"received {echoed[1]} RTP packets" in done.stdout
        assert waiting.process.wait(10) == 0, waiting.text
    finally:
        end(waiting.process)


def phone_process(command: list[str], environment: dict[str, str]) -> Program:
    pipe, merged = subprocess.PIPE, subprocess.STDOUT
    return Program(subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=merged, text=True))
