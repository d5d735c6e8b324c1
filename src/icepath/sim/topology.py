"""The usual places of two peers, built in one call.

    pair = topology.pair("apdf", "sym")     # (world, a, b, server)
    pair.a.bind_all()                       # sockets for the machine of side A
    pair.server.bind(topology.SERVER_IPV4, 3478)
    pair.world.run(seconds=5.0)

Every client sits behind an access link of 25 ms one way; LANs and the server's link have no delay, so a
round trip to the server is 50 ms, between two clients 100 ms.

    none                public IPv4 address           eif adf apdf   endpoint-independent mapping, filtering
    sym                 mapping and filtering by               that is endpoint-independent, address- or
                        address and port                       address-and-port-dependent
    cgn-eif cgn-adf cgn-apdf cgn-sym                  an apdf home router behind such a carrier NAT
    udpblock tcp443     only TCP 443 and 3478, or TCP 443 alone, may leave
    v6                  IPv6 only, stateful firewall  ds ds-sym      apdf or sym NAT, and IPv6 as in v6
    two two-apdf        two interfaces, each with a public address or behind an apdf NAT of its own

Both sides in one place, `pair("same")`: same (one LAN), same-iso (one apdf NAT, isolated LANs, no hairpin),
same-hp (the same with hairpin), samecgn, samecgn-hp (two homes behind one carrier NAT without or with it).

Addresses look globally routable, for a server's policy may refuse documentation ranges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from icepath.errors import InvalidArgument
from icepath.sim.behaviour import Behaviour
from icepath.sim.firewall import OPEN, Policy, tcp_only
from icepath.sim.host import Host
from icepath.sim.link import LinkConfig
from icepath.sim.nat import Nat
from icepath.sim.network import Network
from icepath.sim.port_assignment import Hairpin, NatConfig, PortAssignment
from icepath.sim.world import World

SERVER_IPV4: Final = "11.0.0.1"
SERVER_IPV6: Final = "2b00::1"
ACCESS: Final = LinkConfig(delay=0.025)
# A carrier's NAT is not at the exchange point itself: without any way between them, a packet from either side
# would pass it in the same instant, and which one comes first would be nobody's doing.
CARRIER: Final = LinkConfig(delay=0.00001)

NATS: Final = {
    "eif": NatConfig(filtering=Behaviour.ENDPOINT_INDEPENDENT),
    "adf": NatConfig(filtering=Behaviour.ADDRESS_DEPENDENT),
    "apdf": NatConfig(filtering=Behaviour.ADDRESS_AND_PORT_DEPENDENT),
    "sym": NatConfig(
        mapping=Behaviour.ADDRESS_AND_PORT_DEPENDENT,
        filtering=Behaviour.ADDRESS_AND_PORT_DEPENDENT,
        port_assignment=PortAssignment.RANDOM,
    ),
}
_HOME: Final = NATS["apdf"]
# Gives other ports after a reboot.
_MOVING: Final = replace(_HOME, port_assignment=PortAssignment.RANDOM)
_HAIRPIN: Final = replace(_HOME, hairpin=Hairpin.EXTERNAL_SOURCE)


@dataclass(frozen=True, slots=True)
class Pair:
    """Is two clients and a server, and the world they live in."""

    world: World
    a: Host
    b: Host
    server: Host
    internet: Network
    nats: dict[str, Nat] = field(default_factory=dict[str, Nat])
    """Those of places with two interfaces, by the name of the network inside."""


class _Plan:
    """Collects what the builders of one side need."""

    def __init__(self, world: World, access: LinkConfig, access_down: LinkConfig) -> None:
        self.world = world
        self.access = access
        self.access_down = access_down
        self.internet = world.network("internet")
        self.nats: dict[str, Nat] = {}

    def server(self) -> Host:
        host = self.world.host("server")
        host.add_interface("eth0", self.internet, (SERVER_IPV4, SERVER_IPV6))
        return host

    def client(self, index: int) -> Host:
        return self.world.host("ab"[index])

    def lan(self, index: int, *, ipv6: bool = False) -> Network:
        prefixes = [f"192.168.{index + 1}.0/24", *([_prefix(index)] if ipv6 else [])]
        return self.world.network(f"lan-{'ab'[index]}", prefixes=prefixes)

    def nat(self, index: int, config: NatConfig, inside: Network) -> None:
        """Puts a home router between the LAN and the internet."""
        nat = self.world.nat(
            f"nat-{'ab'[index]}", config, self.internet, [_public(index)], up=self.access, down=self.access_down
        )
        nat.add_inside(inside)

    def firewall(self, index: int, inside: Network) -> None:
        """Puts a stateful IPv6 firewall between the LAN and the internet."""
        firewall = self.world.firewall(f"firewall-{'ab'[index]}", self.internet, up=self.access, down=self.access_down)
        firewall.add_inside(inside, [_prefix(index)])

    def carrier(self, index: int, config: NatConfig) -> Network:
        """Returns the inside of a carrier's NAT."""
        network = self.world.network(f"carrier-{'ab'[index]}", prefixes=["100.64.0.0/10"])
        name = f"cgn-{'ab'[index]}"
        self.world.nat(name, config, self.internet, [_public(index)], up=CARRIER).add_inside(network)
        return network

    def home_behind(self, carrier: Network, index: int) -> Host:
        """Returns a client in a home behind a carrier's NAT."""
        lan = self.lan(index)
        external = f"100.64.{index + 1}.2"
        name = f"nat-{'ab'[index]}"
        nat = self.world.nat(name, _HOME, carrier, [external], up=self.access, down=self.access_down)
        nat.add_inside(lan)
        return self.in_lan(lan, index)

    def in_lan(self, lan: Network, index: int, *, ipv4: bool = True, ipv6: bool = False, last: int = 10) -> Host:
        """Returns a client attached to the LAN."""
        host = self.client(index)
        hosts: list[str] = []
        if ipv4:
            hosts.append(f"192.168.{index + 1}.{last}")
        if ipv6:
            hosts.append(f"{_prefix(index).removesuffix('/64')}{last}")
        host.add_interface("eth0", lan, hosts)
        return host


def _public(index: int) -> str:
    return f"11.{index + 1}.0.1"


def _prefix(index: int) -> str:
    return f"2b00:{index + 1}::/64"


# -- one side ------------------------------------------------------------------------------------------------


def _none(plan: _Plan, index: int) -> Host:
    host = plan.client(index)
    host.add_interface("eth0", plan.internet, [_public(index)], up=plan.access, down=plan.access_down)
    return host


def _behind(config: NatConfig, policy: Policy = OPEN) -> Callable[[_Plan, int], Host]:
    def build(plan: _Plan, index: int) -> Host:
        lan = plan.lan(index)
        plan.nat(index, replace(config, policy=policy), lan)
        return plan.in_lan(lan, index)

    return build


def _carrier(config: NatConfig) -> Callable[[_Plan, int], Host]:
    def build(plan: _Plan, index: int) -> Host:
        return plan.home_behind(plan.carrier(index, config), index)

    return build


def _two(plan: _Plan, index: int) -> Host:
    host = plan.client(index)
    for number in range(2):
        hosts = [f"11.{index + 1}.{number}.1"]
        host.add_interface(f"eth{number}", plan.internet, hosts, up=plan.access, down=plan.access_down)
    return host


def _two_behind(plan: _Plan, index: int) -> Host:
    host = plan.client(index)
    for number in range(2):
        side = "ab"[index]
        lan = plan.world.network(f"lan-{side}{number}", prefixes=[f"192.168.{10 * index + number + 1}.0/24"])
        public = [f"11.{index + 1}.{number}.1"]
        nat = plan.world.nat(
            f"nat-{side}{number}", _MOVING, plan.internet, public, up=plan.access, down=plan.access_down
        )
        nat.add_inside(lan)
        plan.nats[lan.name] = nat
        host.add_interface(f"eth{number}", lan, [f"192.168.{10 * index + number + 1}.10"])
    return host


def _ipv6_only(plan: _Plan, index: int) -> Host:
    lan = plan.lan(index, ipv6=True)
    plan.firewall(index, lan)
    return plan.in_lan(lan, index, ipv4=False, ipv6=True)


def _dual_stack(config: NatConfig) -> Callable[[_Plan, int], Host]:
    def build(plan: _Plan, index: int) -> Host:
        lan = plan.lan(index, ipv6=True)
        plan.nat(index, config, lan)
        plan.firewall(index, lan)
        return plan.in_lan(lan, index, ipv6=True)

    return build


PLACES: Final[dict[str, Callable[[_Plan, int], Host]]] = {
    "none": _none,
    **{name: _behind(config) for name, config in NATS.items()},
    **{f"cgn-{name}": _carrier(config) for name, config in NATS.items()},
    "udpblock": _behind(_HOME, tcp_only(443, 3478)),
    "tcp443": _behind(_HOME, tcp_only(443)),
    "two": _two,
    "two-apdf": _two_behind,
    "v6": _ipv6_only,
    "ds": _dual_stack(_HOME),
    "ds-sym": _dual_stack(NATS["sym"]),
}


# -- both sides in one place -----------------------------------------------------------------------------------


def _same(plan: _Plan) -> tuple[Host, Host]:
    lan = plan.lan(0)
    plan.nat(0, _HOME, lan)
    a = plan.in_lan(lan, 0)
    b = plan.client(1)
    b.add_interface("eth0", lan, ["192.168.1.11"])
    return a, b


def _one_nat(config: NatConfig) -> Callable[[_Plan], tuple[Host, Host]]:
    def build(plan: _Plan) -> tuple[Host, Host]:
        nat = plan.world.nat("nat", config, plan.internet, [_public(0)], up=plan.access, down=plan.access_down)
        lans = [plan.lan(index) for index in range(2)]
        for lan in lans:
            nat.add_inside(lan)
        return plan.in_lan(lans[0], 0), plan.in_lan(lans[1], 1)

    return build


def _one_carrier(config: NatConfig) -> Callable[[_Plan], tuple[Host, Host]]:
    def build(plan: _Plan) -> tuple[Host, Host]:
        carrier = plan.carrier(0, config)
        return plan.home_behind(carrier, 0), plan.home_behind(carrier, 1)

    return build


SHARED_PLACES: Final[dict[str, Callable[[_Plan], tuple[Host, Host]]]] = {
    "same": _same,
    "same-iso": _one_nat(_HOME),
    "same-hp": _one_nat(_HAIRPIN),
    "samecgn": _one_carrier(_HOME),
    "samecgn-hp": _one_carrier(_HAIRPIN),
}


def pair(
    place_a: str,
    place_b: str | None = None,
    *,
    seed: int = 0,
    access: LinkConfig = ACCESS,
    access_down: LinkConfig | None = None,
    honours_flows: bool = True,
) -> Pair:
    """Builds two clients and a server; one name for a place that both share, else one for each.

    `access` is the clients' access link towards the network, `access_down` the other way (the same unless given).

    Raises: InvalidArgument when there is no such place.
    """
    plan = _Plan(World(seed=seed, honours_flows=honours_flows), access, access if access_down is None else access_down)
    server = plan.server()
    if place_b is None:
        if place_a not in SHARED_PLACES:
            raise InvalidArgument(f"{place_a!r} is not a shared place: {', '.join(SHARED_PLACES)}")
        a, b = SHARED_PLACES[place_a](plan)
    else:
        for place in (place_a, place_b):
            if place not in PLACES:
                raise InvalidArgument(f"{place!r} is not a place: {', '.join(PLACES)}")
        a, b = PLACES[place_a](plan, 0), PLACES[place_b](plan, 1)
    return Pair(plan.world, a, b, server, plan.internet, plan.nats)
