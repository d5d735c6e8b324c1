"""How a NAT is configured, and which external address and port a new mapping gets (RFC 4787 §4.1, §4.2).

`Ports` knows who holds which external endpoint and how many each inside host has; when mappings live and
die is nat.py's business.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias

from icepath.errors import InvalidArgument
from icepath.net import MAX_PORT, Address, Instant, Seconds
from icepath.sim.behaviour import Behaviour, RemoteKey
from icepath.sim.firewall import DEFAULT_TIMEOUT, OPEN, STANDARD_TIMEOUTS, Policy, Unsolicited
from icepath.sim.link import Link
from icepath.sim.packet import Medium
from icepath.sim.tcp_tracking import Connections, TcpTimeouts

# IANA's range of well-known ports ends here; RFC 4787 REQ-3a keeps both sides of it apart.
LAST_WELL_KNOWN_PORT: Final = 1023


class PortAssignment(Enum):
    """Says which external port a mapping asks for (RFC 4787 §4.2.1)."""

    PRESERVATION = auto()
    """The internal one; on a collision another address of the pool, then another port."""
    OVERLOADING = auto()
    """Always the internal one: the newer mapping takes it from the older. REQ-3 forbids it; some do it."""
    OVERLAPPING = auto()
    """The internal one, shared as long as the destinations differ (RFC 7857 §3)."""
    SEQUENTIAL = auto()
    """The next one."""
    RANDOM = auto()


class Pooling(Enum):
    """Says which external address an inside host's mappings get (RFC 4787 §4.1, RFC 7857 §4)."""

    PAIRED = auto()
    """Always the same; no mapping when that one has no port left."""
    SOFT_PAIRED = auto()
    """The same as long as it has ports."""
    ARBITRARY = auto()


class Hairpin(Enum):
    """Says what becomes of a packet from inside to one of our external addresses (RFC 4787 §6)."""

    NONE = auto()
    INTERNAL_SOURCE = auto()
    """Comes back with its internal source: REQ-9a forbids it."""
    EXTERNAL_SOURCE = auto()


@dataclass(frozen=True, slots=True)
class NatConfig:
    """Says how a NAT behaves; the default is what RFC 4787 and RFC 5382 ask for, but for filtering and hairpinning.

    Raises: InvalidArgument when a value is out of range.
    """

    mapping: Behaviour = Behaviour.ENDPOINT_INDEPENDENT
    filtering: Behaviour = Behaviour.ADDRESS_AND_PORT_DEPENDENT
    port_assignment: PortAssignment = PortAssignment.PRESERVATION
    keeps_parity: bool = False
    """An even port maps to an even one (RFC 4787 §4.2.2)."""
    keeps_contiguity: bool = False
    """An odd port maps to the one after its even neighbour's, when that is mapped and free (RFC 4787 §4.2.3)."""
    port_range: tuple[int, int] = (LAST_WELL_KNOWN_PORT + 1, MAX_PORT)
    """For internal ports above 1023; the others map below 1024."""
    ports_per_host: int | None = None
    """Bounds the mappings of one inside host, as carriers do."""
    pooling: Pooling = Pooling.PAIRED
    hairpin: Hairpin = Hairpin.NONE
    timeout: Seconds = DEFAULT_TIMEOUT
    refreshes_inbound: bool = False
    """Outbound packets always refresh (RFC 4787 REQ-6)."""
    joins_insides: bool = False
    """Forwards between its inside networks; False isolates them."""
    translates_icmp: bool = True
    reports_exhaustion: bool = True
    policy: Policy = OPEN
    tcp_timeouts: TcpTimeouts = STANDARD_TIMEOUTS
    unsolicited: Unsolicited = Unsolicited.SILENCE
    """What becomes of a SYN from outside that no mapping or filter lets in."""

    def __post_init__(self) -> None:
        low, high = self.port_range
        if not 0 < low <= high <= MAX_PORT:
            raise InvalidArgument(f"port_range is {self.port_range}, allowed are 1 to {MAX_PORT}, lower first")
        if self.timeout <= 0:
            raise InvalidArgument(f"timeout is {self.timeout}, allowed is more than 0")


# (inside link, internal endpoint, the part of the remote end that the mapping depends on)
MappingKey: TypeAlias = tuple[Link, Address, RemoteKey]


class Mapping:
    """Is one mapping: internal endpoint to external endpoint, and which remote ends it has sent to."""

    __slots__ = ("connections", "expires", "external", "internal", "key", "link", "sessions")

    def __init__(self, key: MappingKey, internal: Address, external: Address, link: Link, expires: Instant) -> None:
        self.key = key
        self.internal = internal
        self.external = external
        self.link = link
        self.expires = expires
        # the part of a remote end that the filter depends on -> until when it may send in
        self.sessions: dict[RemoteKey, Instant] = {}
        self.connections: Connections | None = None
        """Of a TCP mapping."""


class Ports:
    """Keeps who holds which external endpoint, and chooses one for a new mapping."""

    __slots__ = ("_anchors", "_config", "_external", "_held", "_medium", "_name", "_next", "_per_host", "_rng")

    def __init__(self, config: NatConfig, external: Sequence[str], medium: Medium, name: str) -> None:
        self._config = config
        self._external = tuple(external)
        self._medium = medium
        self._name = name
        self._rng: random.Random | None = None
        self._held: dict[Address, list[Mapping]] = {}
        self._per_host: Counter[str] = Counter()
        # inside host -> index of its external address
        self._anchors: dict[str, int] = {}
        # SEQUENTIAL: external address and range -> the next port
        self._next: dict[tuple[str, int], int] = {}

    def clear(self) -> None:
        """Forgets who holds what, and who is paired with which address."""
        self._held.clear()
        self._per_host.clear()
        self._anchors.clear()

    def add(self, mapping: Mapping) -> None:
        """Notes that the mapping holds its external endpoint."""
        self._held.setdefault(mapping.external, []).append(mapping)
        self._per_host[mapping.internal.host] += 1

    def remove(self, mapping: Mapping) -> None:
        """Frees the mapping's external endpoint."""
        holders = self._held[mapping.external]
        holders.remove(mapping)
        if not holders:
            del self._held[mapping.external]
        self._per_host[mapping.internal.host] -= 1

    def holders(self, external: Address) -> Sequence[Mapping]:
        """Returns the mappings on an external endpoint: more than one only with OVERLAPPING."""
        return self._held.get(external, ())

    def holders_to_evict(self, external: Address, now: Instant) -> list[Mapping]:
        """Returns the mappings that a new one on the endpoint ends: expired ones, and with OVERLOADING all."""
        everything = self._config.port_assignment is PortAssignment.OVERLOADING
        return [mapping for mapping in self.holders(external) if everything or mapping.expires <= now]

    def is_exhausted_for(self, host: str) -> bool:
        """Says whether the inside host has as many mappings as it may."""
        limit = self._config.ports_per_host
        return limit is not None and self._per_host[host] >= limit

    def assign(self, internal: Address, remote: RemoteKey, now: Instant) -> Address | None:
        """Returns the external endpoint for a new mapping, or None when there is none left."""
        hosts = self._hosts_for(internal.host)
        for candidate in self._wanted(internal, hosts):
            if self._is_free(candidate, remote, now):
                return candidate
        for host in hosts:
            for port in self._scan(host, internal.port):
                candidate = Address(host, port)
                if self._is_free(candidate, remote, now):
                    self._next[host, internal.port > LAST_WELL_KNOWN_PORT] = port + 1
                    return candidate
        return None

    def _hosts_for(self, inside: str) -> Sequence[str]:
        external = self._external
        if len(external) == 1:
            return external
        if self._config.pooling is Pooling.ARBITRARY:
            return self._random().sample(external, len(external))
        anchor = self._anchors.setdefault(inside, len(self._anchors) % len(external))
        if self._config.pooling is Pooling.PAIRED:
            return external[anchor : anchor + 1]
        return external[anchor:] + external[:anchor]

    def _wanted(self, internal: Address, hosts: Sequence[str]) -> Iterator[Address]:
        if self._config.keeps_contiguity and internal.port % 2:
            neighbour = Address(internal.host, internal.port - 1)
            for holders in self._held.values():
                if holders[0].internal == neighbour:
                    external = holders[0].external
                    yield Address(external.host, external.port + 1)
        if self._config.port_assignment not in (PortAssignment.SEQUENTIAL, PortAssignment.RANDOM):
            low, high = self._range_for(internal.port)
            if low <= internal.port <= high:
                for host in hosts:
                    yield Address(host, internal.port)

    def _is_free(self, external: Address, remote: RemoteKey, now: Instant) -> bool:
        holders = [mapping for mapping in self.holders(external) if mapping.expires > now]
        match self._config.port_assignment:
            case PortAssignment.OVERLOADING:
                return True
            case PortAssignment.OVERLAPPING:
                return all(mapping.key[2] is not None and mapping.key[2] != remote for mapping in holders)
            case _:
                return not holders

    def _scan(self, host: str, internal_port: int) -> Iterator[int]:
        """Yields every port of the range once, from where the assignment starts."""
        low, high = self._range_for(internal_port)
        count = high - low + 1
        if self._config.port_assignment is PortAssignment.SEQUENTIAL:
            start = self._next.get((host, internal_port > LAST_WELL_KNOWN_PORT), low)
        else:
            # RFC 7857 §9: a port that is not the internal one should be hard to guess.
            start = self._random().randint(low, high)
        for offset in range(count):
            port = low + (start - low + offset) % count
            if not self._config.keeps_parity or port % 2 == internal_port % 2:
                yield port

    def _range_for(self, internal_port: int) -> tuple[int, int]:
        return (1, LAST_WELL_KNOWN_PORT) if internal_port <= LAST_WELL_KNOWN_PORT else self._config.port_range

    def _random(self) -> random.Random:
        if self._rng is None:
            self._rng = self._medium.rng(f"{self._name} ports")
        return self._rng
