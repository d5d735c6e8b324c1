"""Own signalling, word by word: candidates as they come, the end of candidates, a restart.

    python examples/signalling_by_hand.py

`negotiate` does all this over a channel; a program whose protocol has messages of its own does it by hand.
Both ends live in this process, so "sending" a message is putting it into the other's queue.
"""

from __future__ import annotations

import asyncio
from typing import TypeAlias

import icepath

Message: TypeAlias = tuple[str, str]


async def signal_out(link: icepath.Connection, outgoing: asyncio.Queue[Message]) -> None:
    """Tells the other side what becomes known here, as soon as it does."""
    async for event in link.events():
        match event:
            case icepath.CandidateGathered(candidate=candidate):
                await outgoing.put(("candidate", str(candidate)))
            case icepath.GatheringCompleted():
                await outgoing.put(("end-of-candidates", ""))
            case icepath.StateChanged(state=icepath.State.DISCONNECTED) if link.role == "controlling":
                await outgoing.put(("description", str(link.restart())))  # one side only, so that none crosses
            case _:
                pass


async def signal_in(link: icepath.Connection, incoming: asyncio.Queue[Message]) -> None:
    """Takes what the other side tells."""
    while True:
        match await incoming.get():
            case ("description", text):
                link.set_remote_description(text)
            case ("candidate", line):
                link.add_remote_candidate(line)
            case _:
                link.add_remote_candidate(None)


async def main() -> None:
    """Connects two ends and sends one datagram."""
    to_alice: asyncio.Queue[Message] = asyncio.Queue()
    to_bob: asyncio.Queue[Message] = asyncio.Queue()
    async with icepath.Connection(role="controlling") as alice, icepath.Connection(role="controlled") as bob:
        await to_bob.put(("description", str(alice.local_description)))
        await to_alice.put(("description", str(bob.local_description)))
        async with asyncio.TaskGroup() as tasks:
            signalling = [
                tasks.create_task(signal_out(alice, to_bob)),
                tasks.create_task(signal_out(bob, to_alice)),
                tasks.create_task(signal_in(alice, to_alice)),
                tasks.create_task(signal_in(bob, to_bob)),
            ]
            pair, _ = await asyncio.gather(alice.connect(), bob.connect())
            print("connected:", pair)
            await alice.send(b"hello")
            print("received:", await bob.receive())
            for task in signalling:
                task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
