"""The processor time of whole agents, icepath beside aioice: python benchmarks/agents.py [--quick].

    python benchmarks/agents.py [--part setup|idle|data] [--rounds 15] [--pairs 10] [--agents 200] [--seconds 40]

*Set-up* is a pair of agents from construction until both have settled on a path, and its end. *Idle* is connected
agents that only renew consent, every 5 s in both libraries, in one process for each library, both at the same
time. *Data* is one datagram of 172 bytes: sent, received in bursts, and sent and received one by one.

Equal work on both sides: both have the one host address 127.0.0.1 (icepath by its interface filter, aioice by a
`get_host_addresses` that asks the system as before and then returns this one), descriptions cross as text, no
servers. What counts is the CPU time of this process, user and system, never the clock on the wall; both libraries
take turns in short blocks, and each figure is the median of its blocks. Needs aioice (pip install icepath[interop]).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from icepath.aio.config import Config
from icepath.aio.connection import Connection
from icepath.aio.events import StateChanged
from icepath.ice.events import State

HOST = "127.0.0.1"
CONFIG = Config(loopback=True, interfaces=lambda name, host: host == HOST)
PAYLOAD = b"\x80" + bytes(171)
BURST = 32
BURSTS = 30
PAGE = os.sysconf("SC_PAGE_SIZE")
# Consent checks are spread over this many seconds; what idle agents cost is counted after the first round.
SETTLING = 6.0


@dataclass(slots=True)
class Link:
    """Is two connected agents; `send` is the first one's, `receive` the other's."""

    send: Callable[[bytes], Awaitable[None]]
    receive: Callable[[], Awaitable[bytes]]
    close: Callable[[], Awaitable[object]]
    messages_sent: Callable[[], int]
    """How many STUN messages both have sent so far."""


Library: TypeAlias = Callable[[], Awaitable[Link]]


# -- the libraries ---------------------------------------------------------------------------------------------


async def icepath_link() -> Link:
    """Connects two icepath agents; both have nominated when it returns."""
    here = Connection(role="controlling", config=CONFIG)
    there = Connection(role="controlled", config=CONFIG)
    offer, answer = str(await here.gather()), str(await there.gather())
    await asyncio.gather(here.connect(answer), there.connect(offer))
    await asyncio.gather(completed(here), completed(there))

    def messages_sent() -> int:
        reports = [report for end in (here, there) for report in end.stats().values()]
        counts = [report.get(name, 0) for report in reports for name in ("requestsSent", "responsesSent")]
        return sum(count for count in counts if isinstance(count, int))

    return Link(here.send, there.receive, lambda: asyncio.gather(here.close(), there.close()), messages_sent)


async def completed(connection: Connection) -> None:
    """Waits until the agent has settled on a pair."""
    async for event in connection.events():
        if isinstance(event, StateChanged) and event.state is State.COMPLETED:
            return


def load_aioice() -> Library:
    """Returns the same of aioice; raises ImportError where it is not installed."""
    from aioice import Candidate, ice, stun

    ask_system = ice.get_host_addresses
    send_stun = ice.StunProtocol.send_stun
    sent: dict[ice.Connection, int] = {}

    def get_host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        ask_system(use_ipv4, use_ipv6)
        return [HOST]

    def counted(self: ice.StunProtocol, message: stun.Message, address: tuple[str, int]) -> None:
        # Its own counting costs aioice a tenth of a microsecond per message.
        sent[self.receiver] += 1
        send_stun(self, message, address)

    ice.get_host_addresses = get_host_addresses
    ice.StunProtocol.send_stun = counted  # type: ignore[assignment,method-assign]  # a counter, put in between

    async def tell(source: ice.Connection, target: ice.Connection) -> None:
        target.remote_username, target.remote_password = source.local_username, source.local_password
        for line in [candidate.to_sdp() for candidate in source.local_candidates]:
            await target.add_remote_candidate(Candidate.from_sdp(line))
        await target.add_remote_candidate(None)

    async def link() -> Link:
        here, there = ice.Connection(ice_controlling=True), ice.Connection(ice_controlling=False)
        sent[here] = sent[there] = 0
        await here.gather_candidates()
        await there.gather_candidates()
        await tell(here, there)
        await tell(there, here)
        await asyncio.gather(here.connect(), there.connect())

        async def close() -> None:
            await asyncio.gather(here.close(), there.close())
            del sent[here], sent[there]

        return Link(here.send, there.recv, close, lambda: sent[here] + sent[there])

    return link


@cache
def libraries() -> dict[str, Library]:
    """Returns both, by name; aioice is patched once."""
    return {"icepath": icepath_link, "aioice": load_aioice()}


# -- set-up and data: blocks that take turns in one process --------------------------------------------------------


@dataclass(slots=True)
class Figures:
    """Is what was measured of one library: the values of every block, by the name of what they measure."""

    blocks: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Takes one block's value."""
        self.blocks.setdefault(name, []).append(value)

    def medians(self) -> dict[str, float]:
        """Returns the median of each."""
        return {name: statistics.median(values) for name, values in self.blocks.items()}


async def setup_block(library: Library, pairs: int, figures: Figures) -> None:
    """Connects so many pairs one after the other, then closes them."""
    gc.collect()
    start = time.process_time()
    links = [await library() for _ in range(pairs)]
    connected = time.process_time()
    for link in links:
        await link.close()
    closed = time.process_time()
    figures.add("a pair connects, ms", (connected - start) / pairs * 1e3)
    figures.add("a pair closes, ms", (closed - connected) / pairs * 1e3)


async def data_block(link: Link, figures: Figures) -> None:
    """Sends and receives in bursts, then one by one."""
    sending = receiving = 0.0
    for _ in range(BURSTS):
        start = time.process_time()
        for _ in range(BURST):
            await link.send(PAYLOAD)
        sent = time.process_time()
        for _ in range(BURST):
            await link.receive()
        received = time.process_time()
        sending += sent - start
        receiving += received - sent
    start = time.process_time()
    for _ in range(BURST * BURSTS):
        await link.send(PAYLOAD)
        await link.receive()
    single = time.process_time() - start
    each = 1e6 / (BURST * BURSTS)
    figures.add("a datagram sent, us", sending * each)
    figures.add(f"received, {BURST} at a time, us", receiving * each)
    figures.add("sent and received singly, us", single * each)


async def measure_setup(options: argparse.Namespace) -> dict[str, Figures]:
    """Returns what a pair costs; the first block of each only warms up."""
    found: dict[str, Figures] = {}
    both = libraries()
    for library in both.values():
        await setup_block(library, 2, Figures())
    for _ in range(options.rounds):
        for name, library in both.items():
            await setup_block(library, options.pairs, found.setdefault(name, Figures()))
    return found


async def measure_data(options: argparse.Namespace) -> dict[str, Figures]:
    """Returns what a datagram costs, over one connected pair of each."""
    found = {name: Figures() for name in libraries()}
    links = {name: await library() for name, library in libraries().items()}
    for link in links.values():
        await data_block(link, Figures())
    for _ in range(options.rounds):
        for name, link in links.items():
            await data_block(link, found[name])
    for link in links.values():
        await link.close()
    return found


# -- idle: a process for each library -------------------------------------------------------------------------------


def measure_idle(options: argparse.Namespace) -> dict[str, Figures]:
    """Runs one child for each library, both at the same time so that they meet the same noise."""
    given = ["--agents", str(options.agents), "--seconds", str(options.seconds)]
    children = {
        name: subprocess.Popen([sys.executable, __file__, "--idle", name, *given], stdout=subprocess.PIPE, text=True)
        for name in libraries()
    }
    found: dict[str, Figures] = {}
    for name, child in children.items():
        output, _ = child.communicate()
        if child.returncode:
            raise SystemExit(f"the idle agents of {name} failed")
        figures = found[name] = Figures()
        for what, value in json.loads(output).items():
            figures.add(what, value)
    return found


async def idle(name: Literal["icepath", "aioice"], agents: int, seconds: float) -> dict[str, float]:
    """Connects so many agents and leaves them alone."""
    library = libraries()[name]
    warm = await library()  # what is loaded late, and the allocator's first arenas, are not the agents'
    before = resident()
    links = [await library() for _ in range(agents // 2)]
    each = (resident() - before) / agents
    await asyncio.sleep(SETTLING)
    sent = sum(link.messages_sent() for link in links)
    start, began = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    spent, lasted = time.process_time() - start, time.monotonic() - began
    sent = sum(link.messages_sent() for link in links) - sent
    for link in [*links, warm]:
        await link.close()
    return {
        "an idle agent, us of CPU per s": spent / lasted / agents * 1e6,
        "its messages per s": sent / lasted / agents,
        "us of CPU per message": spent / sent * 1e6,
        "its memory, KiB": each / 1024,
        "memory before, MiB": before / 1024**2,
    }


def resident() -> int:
    """Returns this process's resident memory in bytes, garbage not counted."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


# -- the table ------------------------------------------------------------------------------------------------------


def main() -> int:
    """Measures and prints a table of ratios."""
    options = parse()
    try:
        libraries()
    except ImportError:
        print("this benchmark needs aioice: pip install 'icepath[interop]'", file=sys.stderr)
        return 1
    if options.idle:
        print(json.dumps(asyncio.run(idle(options.idle, options.agents, options.seconds))))
        return 0
    parts = [options.part] if options.part else ["setup", "data", "idle"]
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} processors; Python {sys.version.split()[0]}")
    print(f"{'':32} {'icepath':>9} {'aioice':>9} {'aioice / icepath':>17}")
    for part in parts:
        if part == "idle":
            rows(measure_idle(options))
        else:
            rows(asyncio.run((measure_setup if part == "setup" else measure_data)(options)))
    return 0


def rows(found: dict[str, Figures]) -> None:
    """Prints one row for each thing measured."""
    ours, theirs = found["icepath"].medians(), found["aioice"].medians()
    for name, value in ours.items():
        ratio = theirs[name] / value if value else float("nan")
        print(f"{name:32} {value:9.2f} {theirs[name]:9.2f} {ratio:17.2f}", flush=True)


def parse(given: Iterable[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="The processor time of whole agents")
    parser.add_argument("--quick", action="store_true", help="small and imprecise: shows that it runs")
    parser.add_argument("--part", choices=["setup", "data", "idle"])
    parser.add_argument("--rounds", type=int, default=15, help="blocks of each library")
    parser.add_argument("--pairs", type=int, default=10, help="pairs connected in one block")
    parser.add_argument("--agents", type=int, default=200, help="idle agents in one process")
    parser.add_argument("--seconds", type=float, default=40.0, help="how long they are left alone")
    parser.add_argument("--idle", choices=["icepath", "aioice"], help=argparse.SUPPRESS)
    options = parser.parse_args(None if given is None else list(given))
    if options.quick:
        options.rounds, options.pairs, options.agents, options.seconds = 2, 2, 10, 6.0
    return options


if __name__ == "__main__":
    sys.exit(main())
