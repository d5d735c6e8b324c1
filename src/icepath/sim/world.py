"""A virtual world: hosts, networks, NATs and firewalls on one virtual clock; any machine runs in it unchanged.

    world = World(seed=7)
    internet = world.network("internet")
    home = world.network("home", prefixes=["192.168.1.0/24"])
    world.nat("router", NatConfig(), internet, ["11.1.0.1"], up=LinkConfig(delay=0.025)).add_inside(home)
    alice = world.host("alice")
    alice.add_interface("eth0", home, ["192.168.1.10"])

    agent = Agent(config, random_bytes=random.Random(1).randbytes, reserve_slot=lambda now: now, now=world.now)
    for local in alice.bind_all():                  # one socket per address, as a driver opens them
        agent.add_local_address(local, now=world.now)
    runner = alice.attach(agent)                    # with the sockets that have no machine yet
    runner.call(lambda now: agent.end_of_local_addresses(now=now))
    world.run(seconds=5.0)
    print(runner.events)                            # [(instant, event), ...]

Verbs are called through `runner.call` (or `host.call(machine, ...)`), which takes the outputs afterwards.
Signalling is the harness's: `attach(..., on_event=...)` calls back with each event, `world.after(0.05, ...)`
runs something later. topology.py builds the usual pairs of NATs in one call. RNGs are seeded by the world's
seed and the thing's name, so two runs are the same and one link's luck never depends on another's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from icepath.net import Instant, Seconds
from icepath.sim.clock import ACTIONS_PER_INSTANT, Clock
from icepath.sim.firewall import Firewall, FirewallConfig
from icepath.sim.host import Host
from icepath.sim.link import IDEAL, LinkConfig
from icepath.sim.names import Names
from icepath.sim.nat import Nat
from icepath.sim.network import Network
from icepath.sim.packet import Medium, PacketCallback
from icepath.sim.port_assignment import NatConfig

# What admits answers only.
STATEFUL: Final = FirewallConfig()

# Not zero, so that no machine takes the epoch for "never".
DEFAULT_START: Final[Instant] = 1000.0


class World:
    """Is one virtual network with its own time."""

    def __init__(
        self,
        *,
        seed: int = 0,
        start: Instant = DEFAULT_START,
        honours_flows: bool = True,
        actions_per_instant: int = ACTIONS_PER_INSTANT,
    ) -> None:
        self.clock = Clock(start, limit=actions_per_instant)
        self.medium = Medium(self.clock, seed)
        self.names = Names()
        """What hosts resolve by, unless they are given a resolver of their own."""
        self._honours_flows = honours_flows

    # -- building ------------------------------------------------------------------------------------------------

    def network(self, name: str, *, prefixes: Iterable[str] = ()) -> Network:
        """Builds a network; `prefixes` are the addresses that are never looked for beyond its gateways."""
        return Network(self.medium, name, prefixes=prefixes)

    def host(self, name: str, *, names: Names | None = None) -> Host:
        """Builds a host without interfaces."""
        return Host(self.medium, name, names or self.names, honours_flows=self._honours_flows)

    def nat(
        self,
        name: str,
        config: NatConfig,
        outside: Network,
        external: Sequence[str],
        *,
        up: LinkConfig = IDEAL,
        down: LinkConfig | None = None,
    ) -> Nat:
        """Builds a NAT with its pool of addresses on the outside network; `down` is like `up` unless given."""
        return Nat(self.medium, name, config, outside, external, up=up, down=up if down is None else down)

    def firewall(
        self,
        name: str,
        outside: Network,
        config: FirewallConfig = STATEFUL,
        *,
        up: LinkConfig = IDEAL,
        down: LinkConfig | None = None,
        ipv6: bool = True,
    ) -> Firewall:
        """Builds a stateful firewall; `down` is like `up` unless given."""
        return Firewall(self.medium, name, config, outside, up=up, down=up if down is None else down, ipv6=ipv6)

    def on_packet(self, callback: PacketCallback) -> None:
        """Calls back with every packet that is sent, forwarded by a gateway, delivered or dropped."""
        self.medium.on_packet(callback)

    # -- running -------------------------------------------------------------------------------------------------

    @property
    def now(self) -> Instant:
        """Returns the time."""
        return self.clock.now

    def at(self, instant: Instant, action: Callable[[], object]) -> None:
        """Runs the action at the instant.

        Raises: InvalidArgument when the instant has passed.
        """
        self.clock.schedule_call(instant, action)

    def after(self, delay: Seconds, action: Callable[[], object]) -> None:
        """Runs the action after a delay."""
        self.clock.schedule_call(self.clock.now + delay, action)

    def run(self, *, seconds: Seconds) -> None:
        """Runs everything that happens in the next seconds.

        Raises: InvalidState when a machine breaks its contract, or an instant never ends.
        """
        self.clock.run_to(self.clock.now + seconds)

    def run_until(self, condition: Callable[[], bool], *, limit: Seconds) -> bool:
        """Runs until the condition holds, at most `limit` seconds; says whether it holds."""
        return self.clock.run_until(condition, limit=limit)
