"""TCP candidates (RFC 6544) against libnice, between two addresses of this computer."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest

from icepath.aio.config import Config
from icepath.aio.connection import Connection
from icepath.aio.interfaces import usable_addresses
from icepath.entropy import Secret
from icepath.ice.events import State
from icepath.machine import Transport
from icepath.wire.candidate_line import Candidate, TcpType
from icepath.wire.fragment import Description

TESTS = Path(__file__).resolve().parent.parent
PYTHON = "/usr/bin/python3"


def _address() -> str:
    """Returns an IPv4 address of this computer that is not loopback, which libnice leaves out."""
    hosts = [found.host for found in usable_addresses(None, loopback=False) if ":" not in found.host]
    if not hosts:
        pytest.skip("this computer has no IPv4 address but loopback")
    return hosts[0]


async def _lines(process: Process) -> AsyncIterator[dict[str, str]]:
    assert process.stdout is not None
    async for line in process.stdout:
        yield json.loads(line)


def _tell(process: Process, **fields: object) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(fields).encode() + b"\n")


@asynccontextmanager
async def _libnice(role: str) -> AsyncGenerator[Process, None]:
    if shutil.which(PYTHON) is None or not list(Path("/usr/lib").rglob("Nice-0.1.typelib")):
        pytest.skip("needs the distribution's libnice: gir1.2-nice-0.1")
    process = await asyncio.create_subprocess_exec(
        PYTHON,
        "-m",
        "interop.lab.peers.nice_agent",
        *("--role", role, "--tcp-only"),
        stdin=PIPE,
        stdout=PIPE,
        env=dict(os.environ, PYTHONPATH=str(TESTS)),
    )
    try:
        yield process
    finally:
        _tell(process, type="quit")
        await process.wait()


async def _signal(peer: Process, link: Connection, host: str, mine: TcpType, his: TcpType) -> None:
    """Carries credentials, and candidates of these directions on this address, until libnice is connected."""
    offer = await link.gather()
    async for line in _lines(peer):
        kind = line["type"]
        if kind == "ready":
            _tell(peer, type="start")
            _tell(peer, type="remote", ufrag=offer.ufrag, pwd=offer.password.reveal())
            for told in offer.candidates:
                if told.tcp_type is mine:
                    _tell(peer, type="candidate", candidate=str(told))
            _tell(peer, type="end")
        elif kind == "local":
            link.set_remote_description(Description(line["ufrag"], Secret(line["pwd"])))
        elif kind == "candidate":
            heard = Candidate.parse(line["candidate"])
            if heard.tcp_type is his and heard.host == host:
                link.add_remote_candidate(heard)
        elif line.get("event") == "connected":
            return


@pytest.mark.interop
@pytest.mark.rfc("6544", "7.1")
@pytest.mark.parametrize("we_connect", [True, False])
@pytest.mark.parametrize("role", ["controlling", "controlled"])
async def test_libnice_and_icepath_connect_over_tcp(
    role: Literal["controlling", "controlled"], we_connect: bool
) -> None:
    host = _address()
    config = Config(tcp=True, interfaces=lambda name, found: found == host)
    theirs = "controlled" if role == "controlling" else "controlling"
    mine, his = (TcpType.ACTIVE, TcpType.PASSIVE) if we_connect else (TcpType.PASSIVE, TcpType.ACTIVE)
    async with asyncio.timeout(20), _libnice(theirs) as peer, Connection(role=role, config=config) as link:
        await _signal(peer, link, host, mine, his)
        await link.connect()
        while link.state is not State.COMPLETED:
            await asyncio.sleep(0.01)
        pair = link.selected_pair
        assert pair is not None
        assert (pair.local.transport, pair.local.tcp_type) == (Transport.TCP, mine)
        await link.send(b"over tcp")
        async for line in _lines(peer):
            if line["type"] == "received":
                break
