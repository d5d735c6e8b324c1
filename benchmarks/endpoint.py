"""Many agents on one shared socket beside one socket each: python benchmarks/endpoint.py [--quick].

    python benchmarks/endpoint.py [--agents 1000] [--seconds 30]

A child process holds the agents that are measured, behind one `Endpoint` or with a socket each; their peers, one
socket each in both cases, are in this process, so that only what is asked for is counted. Descriptions cross over
the child's standard input and output. *Memory* is what the child's resident memory grew by, per agent, from one
connected agent to all of them; *idle* is its processor time, user and system, while the agents only renew consent;
*data* is the child's processor time for datagrams of 172 bytes that its agents receive, one each in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal, TypeAlias

from icepath.aio.config import Config
from icepath.aio.connection import Connection
from icepath.aio.endpoint import Endpoint

HOST = "127.0.0.1"
CONFIG = Config(loopback=True, interfaces=lambda name, host: host == HOST, receive_queue=1_000_000)
PAYLOAD = b"\x80" + bytes(171)
# How many are on their way to a path at a time.
BATCH = 50
# Consent checks are spread over this many seconds; what idle agents cost is counted after the first round.
SETTLING = 6.0
ROUNDS = 10
PAGE = os.sysconf("SC_PAGE_SIZE")

Way: TypeAlias = Literal["shared", "own"]
WAYS: tuple[Way, ...] = ("shared", "own")


# -- the child: the agents that are measured ------------------------------------------------------------------------


async def measured(way: Way, agents: int, seconds: float) -> None:
    """Connects so many agents to the peers, leaves them alone, then receives; writes what it cost."""
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with AsyncExitStack() as stack:
        endpoint = await stack.enter_async_context(Endpoint(host=HOST)) if way == "shared" else None
        links = [await connected(1, endpoint, reader)]  # what is loaded late is not the agents'
        before = resident()
        while (missing := agents + 1 - sum(map(len, links))) > 0:
            links.append(await connected(min(BATCH, missing), endpoint, reader))
        memory = (resident() - before) / agents / 1024
        await asyncio.sleep(SETTLING)
        start, began = time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        idle = (time.process_time() - start) / (time.monotonic() - began) / agents * 1e6
        start = time.process_time()
        print("data", flush=True)
        everybody = [link for batch in links for link in batch]
        received = 0
        for link in everybody:
            for _ in range(ROUNDS):
                try:
                    async with asyncio.timeout(2.0):
                        await link.receive()
                        received += 1
                except TimeoutError:
                    break  # lost: the kernel's buffer was full
        data = (time.process_time() - start) / max(1, received) * 1e6
        dropped = {} if endpoint is None else endpoint.dropped
        print(
            json.dumps(
                {
                    "an agent's memory, KiB": memory,
                    "an idle agent, us of CPU per s": idle,
                    "a datagram received, us": data,
                    "datagrams lost": len(everybody) * ROUNDS - received,
                    "packets that were nobody's": sum(dropped.values()),
                }
            ),
            flush=True,
        )
        await asyncio.gather(*(link.close() for link in everybody))


async def connected(count: int, endpoint: Endpoint | None, reader: asyncio.StreamReader) -> list[Connection]:
    """Connects so many agents at once, by descriptions over the pipes."""
    links = [Connection(role="controlling", endpoint=endpoint, config=CONFIG) for _ in range(count)]
    offers = [str(await link.gather()) for link in links]
    print(json.dumps(offers), flush=True)
    answers = json.loads(await reader.readline())
    await asyncio.gather(*(link.connect(answer) for link, answer in zip(links, answers, strict=True)))
    return links


def resident() -> int:
    """Returns this process's resident memory in bytes, garbage not counted."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


# -- the parent: their peers ------------------------------------------------------------------------------------------


async def measure(way: Way, options: argparse.Namespace) -> dict[str, float]:
    """Runs one child and plays its peers; returns its figures."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        *("--child", way, "--agents", str(options.agents), "--seconds", str(options.seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    peers: list[Connection] = []
    connecting: list[asyncio.Future[object]] = []
    figures: dict[str, float] = {}
    while line := await child.stdout.readline():
        told = line.decode().strip()
        if told == "data":
            await asyncio.gather(*connecting)
            await say(peers)
        elif told.startswith("["):
            met = [Connection(role="controlled", config=CONFIG) for _ in json.loads(told)]
            answers = [str(await peer.gather()) for peer in met]
            connecting += [
                asyncio.ensure_future(peer.connect(offer)) for peer, offer in zip(met, json.loads(told), strict=True)
            ]
            peers += met
            child.stdin.write(json.dumps(answers).encode() + b"\n")
        else:
            figures = json.loads(told)
    if await child.wait():
        raise SystemExit(f"the child with sockets {way} failed")
    await asyncio.gather(*(peer.close() for peer in peers))
    return figures


async def say(peers: list[Connection]) -> None:
    """Has each peer send its datagrams, slowly enough for any receive buffer."""
    for _ in range(ROUNDS):
        for index, peer in enumerate(peers):
            await peer.send(PAYLOAD)
            if index % 32 == 31:
                await asyncio.sleep(0.002)


def main() -> int:
    """Measures both and prints a table of ratios."""
    options = parse()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.child:
        asyncio.run(measured(options.child, options.agents, options.seconds))
        return 0
    if options.agents + 100 > most:
        print(f"{options.agents} peers need a file each, and ulimit -n allows {most}", file=sys.stderr)
        return 1
    print(f"{options.agents} agents; load average {os.getloadavg()[0]:.2f}, Python {sys.version.split()[0]}")
    found = {way: asyncio.run(measure(way, options)) for way in WAYS}
    print(f"{'':32} {'shared':>9} {'own':>9} {'own / shared':>13}")
    for name, value in found["shared"].items():
        own = found["own"][name]
        print(f"{name:32} {value:9.2f} {own:9.2f} {own / value if value else float('nan'):13.2f}")
    return 0


def parse(given: Iterable[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Many agents on one shared socket beside one socket each")
    parser.add_argument("--quick", action="store_true", help="small and imprecise: shows that it runs")
    parser.add_argument("--agents", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long they are left alone")
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args(None if given is None else list(given))
    if options.quick:
        options.agents, options.seconds = 20, 3.0
    return options


if __name__ == "__main__":
    sys.exit(main())
