"""A handshake on the checks of two agents over real sockets: the driver lets the application answer first."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from icepath.aio.driver import Driver
from icepath.aio.pacing import reserve_slot
from icepath.aio.running import Running
from icepath.entropy import ice_credentials
from icepath.ice.agent import Agent
from icepath.ice.config import AgentConfig, Role
from icepath.ice.events import AgentEvent, EmbeddedReceived, PairValidated
from icepath.machine import LocalAddress

HELLO, REPLY = b"\x16hello", b"\x16reply"


class Place:
    """Is one agent and its application, which does with each event what it is told."""

    def __init__(self, role: Role, react: Callable[[Place, AgentEvent], None]) -> None:
        now = Driver.now()
        config = AgentConfig(ice_credentials(secrets.token_bytes), role, sped=True)
        self.agent = Agent(config, random_bytes=secrets.token_bytes, reserve_slot=reserve_slot, now=now)
        self.events: list[AgentEvent] = []
        self._react = react
        self.running: Running[AgentEvent] = Driver.current().run(self.agent, self.on_event)
        self.agent.add_local_address(LocalAddress(self.running.open_udp("127.0.0.1"), "lo"), now=now)
        self.agent.end_of_local_addresses(now=now)
        self.running.settle()

    def on_event(self, event: AgentEvent) -> None:
        self.events.append(event)
        self._react(self, event)

    def hear_of(self, other: Place) -> None:
        self.agent.set_remote_description(other.agent.local_description(), now=Driver.now())
        self.running.settle()


async def test_the_reply_comes_with_the_answer_to_the_first_check() -> None:
    done = asyncio.Event()

    def serve(place: Place, event: AgentEvent) -> None:
        if isinstance(event, EmbeddedReceived):
            place.agent.flights.send([REPLY], now=Driver.now())

    def ask(place: Place, event: AgentEvent) -> None:
        if isinstance(event, PairValidated):
            done.set()

    client, server = Place(Role.CONTROLLING, ask), Place(Role.CONTROLLED, serve)
    client.agent.flights.send([HELLO], now=Driver.now())
    # The server has no description yet, so it can send no check: what comes, comes with the answer.
    client.hear_of(server)
    async with asyncio.timeout(10):
        await done.wait()
    known = [event for event in client.events if isinstance(event, EmbeddedReceived | PairValidated)]
    assert known[0] == EmbeddedReceived(1, 1, REPLY)
    assert [event for event in server.events if isinstance(event, EmbeddedReceived)] == [EmbeddedReceived(1, 1, HELLO)]
    for place in (client, server):
        place.running.close()
        await place.running.wait_closed()
