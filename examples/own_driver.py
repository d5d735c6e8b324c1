"""A driver in sixty lines: two ICE agents on `select`, without asyncio.

    python examples/own_driver.py

The machines have no sockets and no clock; this loop lends them both. docs/howto/write-a-driver.md explains it.
"""

from __future__ import annotations

import secrets
import select
import socket
import time
from collections.abc import Callable

from icepath.entropy import ice_credentials
from icepath.ice.agent import Agent
from icepath.ice.config import AgentConfig, Role
from icepath.ice.events import CandidateGathered, DataReceived, State, StateChanged
from icepath.ice.pacer import SlotCalendar
from icepath.machine import Datagram, Event, LocalAddress, MachineClosed
from icepath.net import Address

# One for the whole process: RFC 8445 §14.2 wants 5 ms between the transactions of all its agents.
reserve_slot = SlotCalendar()


class Driven:
    """One agent with its socket."""

    def __init__(self, role: Role, on_event: Callable[[Event], None]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))  # a real program binds each of its addresses, and no loopback
        self.local = Address(*self.socket.getsockname())
        self.on_event = on_event
        self.is_closed = False
        config = AgentConfig(credentials=ice_credentials(secrets.token_bytes), role=role)
        now = time.monotonic()
        self.agent = Agent(config, random_bytes=secrets.token_bytes, reserve_slot=reserve_slot, now=now)
        self.agent.add_local_address(LocalAddress(self.local), now=now)
        self.agent.end_of_local_addresses(now=now)

    def settle(self) -> None:
        """Sends and reports what the agent has to say; call it after every call into the agent."""
        for output in self.agent.take_outputs():
            if isinstance(output, Datagram):
                self.socket.sendto(output.payload, output.remote)
            elif isinstance(output, Event):
                self.is_closed = self.is_closed or isinstance(output, MachineClosed)
                self.on_event(output)
            # Commands: SetFlow and DropFlow may be ignored; Resolve comes only for names and servers.

    def readable(self) -> None:
        """Gives the agent one datagram."""
        payload, remote = self.socket.recvfrom(65536)
        self.agent.receive(Datagram(self.local, Address(*remote), payload), now=time.monotonic())
        self.settle()


def run(driven: list[Driven], until: Callable[[], bool]) -> None:
    """Turns the loop until something holds."""
    while not until():
        deadlines = [(at, each) for each in driven if (at := each.agent.next_deadline()) is not None]
        wait = max(0.0, min((at for at, _ in deadlines), default=0.1) - time.monotonic())
        readable, _, _ = select.select(driven_sockets(driven), [], [], min(wait, 0.1))
        for each in driven:
            if each.socket in readable:
                each.readable()
        for at, each in deadlines:
            if at <= time.monotonic():
                each.agent.handle_timeout(now=time.monotonic())
                each.settle()


def driven_sockets(driven: list[Driven]) -> list[socket.socket]:
    """Returns what to wait for."""
    return [each.socket for each in driven]


def main() -> None:
    """Connects two agents, sends one datagram, closes both."""
    received: list[bytes] = []
    states: dict[str, State] = {}

    def listener(name: str) -> Callable[[Event], None]:
        def on_event(event: Event) -> None:
            match event:
                case CandidateGathered(candidate=candidate):
                    print(f"{name} knows {candidate}")
                case StateChanged(state=state):
                    states[name] = state
                    print(f"{name} is {state}")
                case DataReceived(payload=payload):
                    received.append(payload)
                case _:
                    pass

        return on_event

    alice, bob = Driven(Role.CONTROLLING, listener("alice")), Driven(Role.CONTROLLED, listener("bob"))
    both = [alice, bob]
    for each, other in ((alice, bob), (bob, alice)):
        each.settle()
        # Signalling: here a function call, in a real program a text over some channel.
        other.agent.set_remote_description(each.agent.snapshot().local[0], now=time.monotonic())
        other.settle()
    run(both, lambda: all(states.get(name) is State.COMPLETED for name in ("alice", "bob")))
    alice.agent.send(b"hello", now=time.monotonic())
    alice.settle()
    run(both, lambda: bool(received))
    print("bob received", received[0])
    for each in both:
        each.agent.close(now=time.monotonic())
        each.settle()
    run(both, lambda: all(each.is_closed for each in both))
    for each in both:
        each.socket.close()


if __name__ == "__main__":
    main()
