"""Two hosts on one cable that tell each other names only: real multicast, of either family, between namespaces."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import IO, TypedDict

import pytest

from interop.lab import namespaces
from interop.lab.namespaces import Laboratory, Namespace
from interop.lab.python import module_command

pytestmark = pytest.mark.net

IPV4 = ("10.77.0.1/24", "10.77.0.2/24")
IPV6 = ("2001:db8:77::1/64", "2001:db8:77::2/64")


class Outcome(TypedDict):
    """Is what a hidden agent reports."""

    seconds: float
    heard: str
    remote: str


@pytest.fixture
def laboratory() -> Iterator[Laboratory]:
    reason = namespaces.missing()
    if reason is not None:
        pytest.skip(reason)
    with Laboratory() as made:
        yield made


def hosts(laboratory: Laboratory, *families: tuple[str, str]) -> list[Namespace]:
    both = [laboratory.namespace(name, ipv6=IPV6 in families) for name in ("left", "right")]
    laboratory.veth(both[0], "eth0", both[1], "eth0")
    for family in families:
        for host, address in zip(both, family, strict=True):
            host.ip(f"address add {address} dev eth0{' nodad' if ':' in address else ''}")
    return both


def line(program: subprocess.Popen[str]) -> str:
    return pipe(program.stdout).readline()


def tell(program: subprocess.Popen[str], text: str) -> None:
    stream = pipe(program.stdin)
    stream.write(text)
    stream.flush()


def pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


@pytest.mark.rfc("6762", "3")
@pytest.mark.rfc("mdns-ice-candidates", "3.2.1")
@pytest.mark.parametrize("families", [(IPV4,), (IPV6,), (IPV4, IPV6)], ids=["ipv4", "ipv6", "both"])
def test_two_that_hide_their_addresses_connect(laboratory: Laboratory, families: tuple[tuple[str, str], ...]) -> None:
    agents = [
        laboratory.start(host, module_command("interop.lab.hidden_agent")) for host in hosts(laboratory, *families)
    ]
    tokens = [line(agent) for agent in agents]
    for agent in agents:
        candidates: list[str] = json.loads(line(agent))
        assert len(candidates) == len(families)
        assert all(".local " in candidate for candidate in candidates)
    for agent, token in zip(agents, reversed(tokens), strict=True):
        tell(agent, token)
    for agent in agents:
        outcome: Outcome = json.loads(line(agent))
        assert outcome["heard"] == "hello"
        # Neither waits for a second multicast; a machine under load needs its time.
        assert outcome["seconds"] < 0.9


def test_one_that_hides_is_found_by_its_name(laboratory: Laboratory) -> None:
    left, right = hosts(laboratory, IPV4)
    hidden = laboratory.start(left, module_command("interop.lab.hidden_agent"))
    plain = laboratory.start(right, [*module_command("interop.lab.hidden_agent"), "--plain"])
    tokens = [line(hidden), line(plain)]
    for agent in (hidden, plain):
        line(agent)
    tell(plain, tokens[0])
    tell(hidden, tokens[1])
    outcomes: list[Outcome] = [json.loads(line(agent)) for agent in (hidden, plain)]
    assert [outcome["heard"] for outcome in outcomes] == ["hello", "hello"]
