"""Every row of the connect-time benchmark as a real network: two hosts, their routers, a core, a server.

    host --veth-- home router --TUN line-- [carrier router --veth--] core --veth-- server

The line carries the delay and the loss; everything else is immediate. A client is 25 ms from the server, two clients
behind different lines are 50 ms apart. A public host has a router too, which only routes, so that every host looks the
same to its ICE library: one Ethernet device with a default route.

Row names are `A:B` of the kinds in KINDS, or one of SHARED. Addresses are fixed: namespaces keep runs apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import Popen
from types import MappingProxyType

from interop.lab import coturn
from interop.lab.link import LineSpec, encode_specs
from interop.lab.namespaces import Laboratory, LaboratoryError, Namespace, end
from interop.lab.nat import NatKind, RouterRules
from interop.lab.python import module_command

SERVER_V4 = "198.51.100.10"
SECOND_SERVER_V4 = "198.51.100.11"
SERVER_V6 = "2001:db8:100::10"
SECOND_SERVER_V6 = "2001:db8:100::11"
ONE_WAY_DELAY = 0.025
# The benchmark's unit: one round trip between two clients, or through a relay.
ROUND_TRIP = 0.100


@dataclass(frozen=True, slots=True)
class Access:
    """How one host reaches the core."""

    nat: NatKind = NatKind.NONE
    carrier: NatKind | None = None
    ipv4: bool = True
    ipv6: bool = False
    allowed_tcp: tuple[int, ...] | None = None


KINDS: Mapping[str, Access] = MappingProxyType(
    {
        "none": Access(),
        "eif": Access(NatKind.ENDPOINT_INDEPENDENT),
        "adf": Access(NatKind.ADDRESS_DEPENDENT),
        "apdf": Access(NatKind.ADDRESS_AND_PORT_DEPENDENT),
        "sym": Access(NatKind.SYMMETRIC),
        "cgn-eif": Access(NatKind.ADDRESS_AND_PORT_DEPENDENT, NatKind.ENDPOINT_INDEPENDENT),
        "cgn-apdf": Access(NatKind.ADDRESS_AND_PORT_DEPENDENT, NatKind.ADDRESS_AND_PORT_DEPENDENT),
        "cgn-sym": Access(NatKind.ADDRESS_AND_PORT_DEPENDENT, NatKind.SYMMETRIC),
        "udpblock": Access(NatKind.ADDRESS_AND_PORT_DEPENDENT, allowed_tcp=(coturn.WEB_PORT, coturn.PORT)),
        "tcp443": Access(NatKind.ADDRESS_AND_PORT_DEPENDENT, allowed_tcp=(coturn.WEB_PORT,)),
        "v6": Access(ipv4=False, ipv6=True),
        "ds": Access(NatKind.ADDRESS_AND_PORT_DEPENDENT, ipv6=True),
        "ds-sym": Access(NatKind.SYMMETRIC, ipv6=True),
    }
)
SHARED = ("same", "same-iso", "same-hp", "samecgn", "samecgn-hp")


@dataclass(frozen=True, slots=True)
class Servers:
    """What one host is told about servers, as `host:port`."""

    stun: str | None = None
    turn: str | None = None
    turn_tcp: str | None = None
    turn_tls: str | None = None

    def arguments(self) -> list[str]:
        """The agents' command-line options."""
        named = (("stun", self.stun), ("turn", self.turn), ("turn-tcp", self.turn_tcp), ("turn-tls", self.turn_tls))
        options = [part for name, value in named if value is not None for part in (f"--{name}", value)]
        return [*options, "--user", coturn.USER, "--pass", coturn.PASSWORD]


@dataclass(frozen=True, slots=True)
class World:
    """A row that stands."""

    row: str
    hosts: tuple[Namespace, Namespace]
    accesses: tuple[Access, Access]
    servers: tuple[Servers, Servers]
    server: Namespace
    laboratory: Laboratory
    link: Popen[str]

    def link_report(self) -> dict[str, object]:
        """Ends the link program and gives its counts and jitter; the world is of no use afterwards."""
        if self.link.stdin is None or self.link.stdout is None:
            raise LaboratoryError("the link program has no pipes")
        self.link.stdin.close()
        report: dict[str, object] = json.loads(self.link.stdout.readline() or "{}")
        end(self.link)
        return report


def accesses_of(row: str) -> tuple[Access, Access]:
    """The two accesses a row's name means."""
    if row in SHARED:
        nat = NatKind.ADDRESS_AND_PORT_DEPENDENT
        access = Access(nat, nat) if row.startswith("samecgn") else Access(nat)
        return access, access
    left, _, right = row.partition(":")
    if left not in KINDS or right not in KINDS:
        raise ValueError(f"row {row!r}: known are A:B of {', '.join(KINDS)}, or {', '.join(SHARED)}")
    return KINDS[left], KINDS[right]


def servers_for(access: Access, *, everything: bool = False) -> Servers:
    """One STUN server and the first TURN transport that works there; or all that a user would configure."""
    host = SERVER_V4 if access.ipv4 else f"[{SERVER_V6}]"
    plain, web, tls = (f"{host}:{port}" for port in (coturn.PORT, coturn.WEB_PORT, coturn.TLS_PORT))
    if everything:
        return Servers(plain, plain, web, web if access.allowed_tcp else tls)
    if access.allowed_tcp is None:
        return Servers(plain, plain)
    return Servers(plain, turn_tcp=plain if coturn.PORT in access.allowed_tcp else web)


@contextmanager
def world(
    row: str,
    *,
    delay: float = ONE_WAY_DELAY,
    loss: float = 0.0,
    seed: int = 1,
    everything: bool = False,
    relay: bool = True,
) -> Iterator[World]:
    """Builds a row, and takes it away afterwards, whatever happens.

    `loss` is the share of packets lost on each line's way up. With `everything` hosts are told of all TURN transports,
    not only the one that suits. `relay=False` leaves coturn out.
    """
    accesses = accesses_of(row)
    with Laboratory() as laboratory:
        builder = _Builder(laboratory, any(access.ipv6 for access in accesses))
        hosts = builder.hosts(row, accesses)
        link = builder.start_link(delay, loss, seed)
        builder.configure()
        if relay:
            addresses = [SERVER_V4, SERVER_V6] if builder.ipv6 else [SERVER_V4]
            coturn.start_coturn(laboratory, builder.server, addresses)
        told = servers_for(accesses[0], everything=everything), servers_for(accesses[1], everything=everything)
        yield World(row, hosts, accesses, told, builder.server, laboratory, link)


class _Builder:
    """Makes devices first, then the link, then gives addresses: TUN devices exist only once the link runs."""

    def __init__(self, laboratory: Laboratory, ipv6: bool) -> None:
        self._laboratory = laboratory
        self.ipv6 = ipv6
        self._lines: list[LineSpec] = []
        self._later: list[tuple[Namespace, tuple[str, ...]]] = []
        self._rules: list[tuple[Namespace, RouterRules]] = []
        self.core = laboratory.namespace("core", router=True)
        self.server = laboratory.namespace("server")
        laboratory.veth(self.core, "srv", self.server, "eth0")
        self._server_addresses()

    def hosts(self, row: str, accesses: tuple[Access, Access]) -> tuple[Namespace, Namespace]:
        """Makes both hosts and all between them and the core."""
        if row in ("same", "same-iso", "same-hp"):
            return self._shared_home(row)
        if row in ("samecgn", "samecgn-hp"):
            return self._shared_carrier(hairpin=row == "samecgn-hp")
        return self._home(1, accesses[0]), self._home(2, accesses[1])

    def start_link(self, delay: float, loss: float, seed: int) -> Popen[str]:
        """Starts the link program for all lines."""
        specs = [
            LineSpec(
                line.near_namespace, line.near_device, line.far_namespace, line.far_device, delay, loss, 0.0, number
            )
            for number, line in enumerate(self._lines, seed * 16)
        ]
        program = self._laboratory.start(None, [*module_command("interop.lab.link"), encode_specs(specs)])
        if program.stdout is None or "ready" not in program.stdout.readline():
            raise LaboratoryError("the link program did not start")
        return program

    def configure(self) -> None:
        """Gives TUN devices their addresses, lays routes, loads rules."""
        for namespace, lines in self._later:
            namespace.ip(*lines)
        for namespace, rules in self._rules:
            namespace.nft(rules.text())

    def _server_addresses(self) -> None:
        self.server.ip(
            f"addr add {SERVER_V4}/24 dev eth0",
            f"addr add {SECOND_SERVER_V4}/24 dev eth0",
            "route add default via 198.51.100.1",
            f"addr add {SERVER_V6}/64 dev eth0",
            f"addr add {SECOND_SERVER_V6}/64 dev eth0",
            "route add default via 2001:db8:100::1",
        )
        # The core knows public addresses only, and says nothing about others, as the Internet mostly does.
        self.core.ip(
            "addr add 198.51.100.1/24 dev srv",
            "addr add 2001:db8:100::1/64 dev srv",
            "route add blackhole default",
            "route add blackhole ::/0",
        )

    def _home(self, number: int, access: Access, carrier: Namespace | None = None) -> Namespace:
        """One host behind its own router; behind a carrier's too where the access says so."""
        host = self._laboratory.namespace(f"host{number}", ipv6=access.ipv6)
        router = self._laboratory.namespace(f"router{number}", router=True, ipv6=access.ipv6)
        self._laboratory.veth(router, "lan", host, "eth0")
        public = access.nat is NatKind.NONE
        subnet = f"192.0.2.{16 * number}/28" if public else f"192.168.{number}.0/24"
        if access.ipv4:
            _lan(router, "lan", host, subnet)
        if access.ipv6:
            _lan_v6(router, host, number)
        far, outer = self.core, f"203.0.113.{number}"
        if access.carrier is not None:
            far, outer = carrier or self._carrier(number, access.carrier), f"100.64.{number}.1"
        routes = [subnet] if public and access.ipv4 else []
        routes += [f"2001:db8:{number}::/48"] if access.ipv6 else []
        self._line(router, far, number, outer if access.ipv4 and not public else "", routes, access)
        rules = RouterRules(access.nat, ["lan"], "wan", outer, firewall=access.ipv6, allowed_tcp=access.allowed_tcp)
        self._rules.append((router, rules))
        return host

    def _carrier(self, number: int, nat: NatKind, lines: tuple[int, ...] = (), hairpin: bool = False) -> Namespace:
        """A carrier's router, joined to the core by cable: the delay is on the subscribers' lines."""
        carrier = self._laboratory.namespace(f"carrier{number}", router=True, ipv6=False)
        self._laboratory.veth(carrier, "wan", self.core, f"cgn{number}")
        carrier.ip(
            f"addr add 203.0.113.{100 + number}/32 dev wan", f"route add default via 198.18.{number}.1 dev wan onlink"
        )
        self.core.ip(
            f"addr add 198.18.{number}.1/32 dev cgn{number}", f"route add 203.0.113.{100 + number}/32 dev cgn{number}"
        )
        inner = [f"line{line}" for line in lines or (number,)]
        self._rules.append((carrier, RouterRules(nat, inner, "wan", f"203.0.113.{100 + number}", hairpin=hairpin)))
        return carrier

    def _line(
        self, near: Namespace, far: Namespace, number: int, address: str, routes: list[str], access: Access
    ) -> None:
        """An access line from a home router to `far`, which sends `address` and `routes` down it."""
        device = f"line{number}"
        self._lines.append(LineSpec(near.name, "wan", far.name, device))
        up = ["link set wan addrgenmode none", "link set wan up"]
        down = [f"link set {device} addrgenmode none", f"link set {device} up"]
        if address:
            up.append(f"addr add {address}/32 dev wan")
            down.append(f"route add {address}/32 dev {device}")
        if access.ipv4:
            up.append("route add default dev wan")
        if access.ipv6:
            up.append("route add ::/0 dev wan")
        down += [f"route add {route} dev {device}" for route in routes]
        self._later += [(near, tuple(up)), (far, tuple(down))]

    def _shared_home(self, row: str) -> tuple[Namespace, Namespace]:
        """Two hosts behind one home router: on one LAN, or on two that may not meet."""
        router = self._laboratory.namespace("router1", router=True, ipv6=False)
        hosts = self._laboratory.namespace("host1", ipv6=False), self._laboratory.namespace("host2", ipv6=False)
        for number, host in enumerate(hosts, 1):
            self._laboratory.veth(router, f"lan{number}", host, "eth0")
        inner = ["lan1", "lan2"]
        if row == "same":
            router.ip("link add lan type bridge", "link set lan addrgenmode none", "link set lan up")
            router.ip("link set lan1 master lan", "link set lan2 master lan")
            _lan(router, "lan", hosts[0], "192.168.1.0/24")
            _lan(router, None, hosts[1], "192.168.1.0/24", host_number=11)
            inner = ["lan"]
        else:
            for number, host in enumerate(hosts, 1):
                _lan(router, f"lan{number}", host, f"192.168.{number}.0/24")
        nat = NatKind.ADDRESS_AND_PORT_DEPENDENT
        self._line(router, self.core, 1, "203.0.113.1", [], Access(nat))
        rules = RouterRules(nat, inner, "wan", "203.0.113.1", hairpin=row == "same-hp", isolated=row != "same")
        self._rules.append((router, rules))
        return hosts

    def _shared_carrier(self, *, hairpin: bool) -> tuple[Namespace, Namespace]:
        """Two homes behind one carrier's router."""
        nat = NatKind.ADDRESS_AND_PORT_DEPENDENT
        carrier = self._carrier(1, nat, (1, 2), hairpin)
        return self._home(1, Access(nat, nat), carrier), self._home(2, Access(nat, nat), carrier)


def _lan(router: Namespace, device: str | None, host: Namespace, subnet: str, *, host_number: int = 10) -> None:
    """Numbers an IPv4 LAN: the router is .1 (of the subnet), the host .10."""
    base, _, length = subnet.partition("/")
    network, _, first = base.rpartition(".")
    gateway = f"{network}.{int(first) + 1}"
    if device is not None:
        router.ip(f"addr add {gateway}/{length} dev {device}")
    host.ip(f"addr add {network}.{int(first) + host_number}/{length} dev eth0", f"route add default via {gateway}")


def _lan_v6(router: Namespace, host: Namespace, number: int) -> None:
    router.ip(f"addr add 2001:db8:{number}::1/64 dev lan")
    host.ip(f"addr add 2001:db8:{number}::10/64 dev eth0", f"route add default via 2001:db8:{number}::1")
