"""Two agents meet on the virtual network: built, gathered, signalled, checked, until both may send.

An `Encounter` puts an agent on each side of a topology, a STUN and TURN server on the third host, and
carries candidates between them as they come (or all at once, without trickle). It measures what users
feel: when each side may send, when it has settled, and on which pair. Used by the demonstration, the
tests and the benchmarks.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from icepath.entropy import Secret, ice_credentials
from icepath.ice.agent import Agent
from icepath.ice.config import AgentConfig, Role, Server
from icepath.ice.events import (
    CandidateGathered,
    GatheringCompleted,
    PairSelected,
    PairSnapshot,
    State,
    StateChanged,
)
from icepath.ice.pacer import SlotCalendar
from icepath.ice.rewriting import RewriteRule
from icepath.machine import Event, LocalAddress
from icepath.net import Instant, Seconds
from icepath.sim import topology
from icepath.sim.host import Host
from icepath.sim.link import LinkConfig
from icepath.sim.runner import Runner
from icepath.sim.tls import TlsServer
from icepath.stun.authenticator import Authenticator, AuthenticatorConfig, User
from icepath.turn.client.routes import ALPN
from icepath.turn.server.config import TurnServerConfig
from icepath.turn.server.server import TurnServer
from icepath.wire.fragment import Description
from icepath.wire.uri import parse_server_uri

STUN_PORT: Final = 3478
TLS_PORT: Final = 443
USERNAME: Final = "demo"
PASSWORD: Final = Secret("demo-password")
REALM: Final = "icepath"
NONCE_SECRET: Final = Secret("the virtual network keeps no secrets")
USABLE: Final = frozenset({State.CONNECTED, State.COMPLETED})


@dataclass(slots=True)
class Side:
    """Is one of the two: its agent and what became of it."""

    name: str
    host: Host
    agent: Agent
    runner: Runner | None = None
    usable_at: Instant | None = None
    settled_at: Instant | None = None
    pair: PairSnapshot | None = None
    state: State = State.NEW
    others: list[Event] = field(default_factory=list[Event])
    """Every other event."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Says how an encounter goes."""

    place_a: str
    place_b: str | None = None
    seed: int = 0
    has_stun: bool = True
    has_turn: bool = True
    dead_servers: int = 0
    """How many servers that never answer are asked besides, first in the list."""
    trickles: bool = True
    signalling_delay: Seconds = 0.0
    access: LinkConfig = topology.ACCESS
    uplink_loss: float = 0.0
    """The share of packets lost on each client's access link, towards the network only."""
    honours_flows: bool = True
    relay_only: bool = False
    all_transports: bool = False
    """Lists the TURN server's TCP and TLS URLs too, as a user would who does not know the network."""
    lite: tuple[bool, bool] = (False, False)
    password: Secret = PASSWORD
    """What the agents tell the TURN server; it knows `PASSWORD`."""
    roles: tuple[Role, Role] = (Role.CONTROLLING, Role.CONTROLLED)
    rewrite: tuple[RewriteRule, ...] = ()
    """Side A's: under which other addresses its hosts are reached."""
    renomination: tuple[bool, bool] = (False, False)
    """Which sides offer to change the nominated pair later."""


class Encounter:
    """Runs one plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.network = topology.pair(
            plan.place_a,
            plan.place_b,
            seed=plan.seed,
            access=replace(plan.access, loss=plan.uplink_loss),
            access_down=plan.access,
            honours_flows=plan.honours_flows,
        )
        self.world = self.network.world
        self.start = self.world.now
        self._start_server()
        self.a = self._side("a", self.network.a, 0)
        self.b = self._side("b", self.network.b, 1)

    def _start_server(self) -> None:
        hosts = (topology.SERVER_IPV4, topology.SERVER_IPV6)
        authenticator = Authenticator(AuthenticatorConfig(REALM, NONCE_SECRET), _find_user)
        name = TlsServer(hosts, alpn=ALPN)
        sockets = [self.network.server.bind(host, STUN_PORT) for host in hosts]
        sockets += [self.network.server.listen_tcp(host, STUN_PORT) for host in hosts]
        sockets += [self.network.server.listen_tcp(host, TLS_PORT, tls=name) for host in hosts]
        config = TurnServerConfig(
            listen=tuple(dict.fromkeys(each.address for each in sockets)),
            relay_hosts=hosts,
            authenticator=authenticator,
        )
        rng = random.Random(f"server {self.plan.seed}")
        server = TurnServer(config, random_bytes=rng.randbytes, now=self.world.now)
        self.server = self.network.server.attach(server)

    def _servers(self, host: Host) -> tuple[Server, ...]:
        address = f"{topology.SERVER_IPV4}:{STUN_PORT}"
        families = {":" in bound for interface in host.interfaces for bound in interface.hosts}
        hosts = [f"[{topology.SERVER_IPV6}]:{STUN_PORT}"] if True in families else []
        if False in families:
            hosts.insert(0, address)
        servers = [
            Server(parse_server_uri(f"{scheme}:11.0.9.{number + 1}:{STUN_PORT}"), USERNAME, self.plan.password)
            for number in range(self.plan.dead_servers)
            for scheme in ("stun", "turn")
        ]
        for each in hosts:
            if self.plan.has_turn:
                urls = [f"turn:{each}"]
                if self.plan.all_transports:
                    secure = each.removesuffix(str(STUN_PORT)) + str(TLS_PORT)
                    urls += [f"turn:{each}?transport=tcp", f"turns:{secure}?transport=tcp"]
                servers += [Server(parse_server_uri(url), USERNAME, self.plan.password) for url in urls]
            if self.plan.has_stun:
                servers.append(Server(parse_server_uri(f"stun:{each}")))
        return tuple(servers)

    def _side(self, name: str, host: Host, index: int) -> Side:
        lite = self.plan.lite[index]
        rng = random.Random(f"{name} {self.plan.seed}")
        config = AgentConfig(
            credentials=ice_credentials(rng.randbytes),
            role=self.plan.roles[index],
            servers=() if lite else self._servers(host),
            relay_only=self.plan.relay_only,
            rewrite=self.plan.rewrite if name == "a" else (),
            lite=lite,
            renomination=self.plan.renomination[index],
        )
        agent = Agent(config, random_bytes=rng.randbytes, reserve_slot=SlotCalendar(), now=self.world.now)
        return Side(name, host, agent)

    def run(self, *, seconds: Seconds = 60.0, settle: bool = False) -> None:
        """Runs until both sides may send (or, with `settle`, have a selected pair), for `seconds` at most."""
        self.begin()
        end = self.start + seconds
        while self.world.now < end and not self._is_over(settle):
            self.world.run(seconds=min(0.005, end - self.world.now))

    def _is_over(self, settle: bool) -> bool:
        for side in (self.a, self.b):
            if side.state is State.FAILED:
                return True
        return all((side.settled_at if settle else side.usable_at) is not None for side in (self.a, self.b))

    def begin(self) -> None:
        """Starts both agents at the same instant, each with its sockets, and exchanges credentials."""
        for side, other in ((self.a, self.b), (self.b, self.a)):
            local = side.host.bind_all()
            side.runner = side.host.attach(side.agent, on_event=_Listener(self, side, other))
            side.runner.call(_Opening(side.agent, tuple(local)))
        if self.plan.trickles:
            for side, other in ((self.a, self.b), (self.b, self.a)):
                self.tell(other, side.agent.snapshot().local[0])

    def tell(self, other: Side, description: Description) -> None:
        """Carries a description to the other side."""
        self.signal(other, lambda at: other.agent.set_remote_description(description, now=at))

    def signal(self, other: Side, verb: Callable[[Instant], None]) -> None:
        """Calls a verb of the other side's agent once the signalling's delay has passed."""
        self.world.after(self.plan.signalling_delay, lambda: self._call(other, verb))

    def _call(self, other: Side, verb: Callable[[Instant], None]) -> None:
        if other.runner is not None and not other.runner.is_closed:
            other.runner.call(verb)


def _find_user(name: str | bytes) -> User | None:
    return User(USERNAME, PASSWORD) if name == USERNAME else None


@dataclass(frozen=True, slots=True)
class _Opening:
    """Gives an agent its sockets."""

    agent: Agent
    local: tuple[LocalAddress, ...]

    def __call__(self, now: Instant) -> None:
        for address in self.local:
            self.agent.add_local_address(address, now=now)
        self.agent.end_of_local_addresses(now=now)


@dataclass(frozen=True, slots=True)
class _Listener:
    """Notes one side's events and carries candidates to the other."""

    encounter: Encounter
    side: Side
    other: Side

    def __call__(self, event: Event) -> None:
        trickles, agent = self.encounter.plan.trickles, self.other.agent
        match event:
            case CandidateGathered(candidate=candidate) if trickles:
                self.encounter.signal(self.other, lambda at: agent.add_remote_candidate(candidate, now=at))
            case GatheringCompleted() if trickles:
                self.encounter.signal(self.other, lambda at: agent.end_of_remote_candidates(now=at))
            case GatheringCompleted():
                self.encounter.tell(self.other, self.side.agent.snapshot().local[0])
            case _:
                self._note(event)

    def _note(self, event: Event) -> None:
        now = self.encounter.world.now
        match event:
            case StateChanged(state=state):
                self.side.state = state
                if state in USABLE and self.side.usable_at is None:
                    self.side.usable_at = now
            case PairSelected(pair=pair):
                self.side.pair = pair
                if self.side.settled_at is None:
                    self.side.settled_at = now
            case _:
                self.side.others.append(event)
