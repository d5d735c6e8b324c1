"""What icepath does, as a picture: two encounters on a virtual network, then one over real sockets.

    make demo

Needs no network: the first two happen in virtual time behind simulated NATs, the third over loopback, with
a STUN server that this program starts itself. Run it from a checkout; a file or a pipe gets it without colours.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator

from rich.console import Console
from rich.text import Text

from icepath import CandidateGathered, Config, Connection, State, StateChanged
from icepath.lab.encounter import Plan
from icepath.lab.picture import CheckView, Moment, Picture, Style, draw, watch
from icepath.server.stun_service import Listen, StunService

COLOURS = {
    Style.PLAIN: "",
    Style.TITLE: "bold cyan",
    Style.FAINT: "bright_black",
    Style.GOOD: "bold green",
    Style.BAD: "red",
}

LEGEND = """
host   an address of the computer itself            srflx  the same, as a STUN server sees it from outside
relay  an address lent by a TURN server             prflx  one that the other side's checks came from
A check is a question sent straight to one of the other side's addresses; the first path that answers is used.
"""


def main() -> int:
    """Shows all three; exit status 0 when all connect."""
    console = Console(highlight=False, soft_wrap=True)
    pictures = [two_homes(), a_home_and_a_mobile_network(), asyncio.run(real_sockets())]
    for picture in pictures:
        for line in draw(picture):
            console.print(Text(line.text, COLOURS[line.style]))
    console.print(Text(LEGEND.strip(), COLOURS[Style.FAINT]))
    return 0 if all(picture.connected for picture in pictures) else 1


def two_homes() -> Picture:
    """Two ordinary home routers: the path is direct."""
    network = (
        "alice 192.168.1.10 ── router 11.1.0.1 ──┐            ┌── router 11.2.0.1 ── 192.168.2.10 bob",
        "                                      internet, 25 ms away from each",
        "                                     STUN and TURN server 11.0.0.1",
    )
    return watch("1  Two homes, each behind its router (simulated)", network, Plan("apdf", "apdf"))


def a_home_and_a_mobile_network() -> Picture:
    """A symmetric NAT on one side: nobody can know its public port beforehand, so the relay carries the data."""
    network = (
        "alice 192.168.1.10 ── router 11.1.0.1 ──┐            ┌── mobile network 11.2.0.1 ── 192.168.2.10 bob",
        "                                      internet           (a new public port for every destination)",
        "                                     STUN and TURN server 11.0.0.1",
    )
    return watch("2  A home and a mobile network that lets no stranger in (simulated)", network, Plan("apdf", "sym"))


async def real_sockets() -> Picture:
    """Two connections in this process, over loopback: real sockets, real time."""
    service = StunService()
    (address,) = service.listen([Listen("127.0.0.1", 0)])
    # Loopback only: RFC 8445 forbids such candidates elsewhere, so it must be asked for.
    config = Config(loopback=True, interfaces=lambda _name, host: host == "127.0.0.1")
    server = [f"stun:{address}"]
    to_alice, to_bob = Channel(), Channel()
    started = time.monotonic()
    async with Connection(server, config=config) as alice, Connection(server, config=config) as bob:
        moments: list[Moment] = []
        watchers = [
            asyncio.create_task(note(link, number, moments, started)) for number, link in enumerate((alice, bob))
        ]
        pair, _ = await asyncio.gather(alice.negotiate(to_bob.send, to_alice), bob.negotiate(to_alice.send, to_bob))
        usable = time.monotonic() - started
        await alice.send(b"hello, bob")
        hello = await bob.receive()
        moments.append(Moment(time.monotonic() - started, 1, f"received {hello.decode()!r}"))
        while not all(link.state is State.COMPLETED for link in (alice, bob)):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        checks = tuple(check_views(alice))
    await asyncio.gather(*watchers)
    await service.close()
    return Picture(
        title="3  Two connections in this process (real sockets, on loopback)",
        network=("alice 127.0.0.1 ─────────────── 127.0.0.1 bob", f"        STUN server {address}, started here"),
        names=("alice", "bob"),
        moments=tuple(sorted(moments, key=lambda moment: moment.at)),
        checks=checks,
        result=f"connected after {usable * 1000:.1f} ms, {pair}",
        connected=True,
    )


class Channel:
    """Carries texts to one side: here a queue, in a real program a WebSocket, a message bus, or paper."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str] = asyncio.Queue()

    async def send(self, text: str) -> None:
        """Sends one text."""
        await self._queue.put(text)

    async def __aiter__(self) -> AsyncIterator[str]:
        while True:
            yield await self._queue.get()


async def note(link: Connection, number: int, moments: list[Moment], started: float) -> None:
    """Notes what one side learns and reaches, with the time."""
    texts = {State.CONNECTED: "may send data", State.COMPLETED: "both agreed on the path"}
    async for event in link.events():
        at = time.monotonic() - started
        match event:
            case CandidateGathered(candidate=candidate):
                moments.append(Moment(at, number, f"{candidate.type:<6}{candidate.address}"))
            case StateChanged(state=state) if state in texts:
                moments.append(Moment(at, number, texts[state]))
            case _:
                pass


def check_views(link: Connection) -> list[CheckView]:
    """Returns the checks that were answered, from the statistics."""
    stats = link.stats()
    views: list[CheckView] = []
    for pair in stats.values():
        rtt = pair.get("currentRoundTripTime")
        if pair["type"] == "candidate-pair" and isinstance(rtt, float):
            remote = stats[str(pair["remoteCandidateId"])]
            name = f"host  -> {remote['candidateType']:<5} {remote['address']}:{remote['port']}"
            views.append(CheckView(name, 0.0, rtt, 1, bool(pair["nominated"])))
    return views


if __name__ == "__main__":
    sys.exit(main())
