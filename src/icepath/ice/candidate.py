"""Local candidates: priorities, foundations, and the address each one sends from.

The value that travels (`Candidate`) lives in wire/candidate_line; here is what only its owner knows: the
base it sends from, and the rules that give it its numbers. RFC 8445 §5.1.1.3 (foundations), §5.1.2
(priorities); RFC 8421 §4 (families interleaved, unreliable interfaces last).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from icepath.machine import Transport
from icepath.net import Address, TcpAddress
from icepath.wire.candidate_line import Candidate, CandidateType, Foundation, TcpType

# RFC 8445 §5.1.2.2: recommended type preferences.
TYPE_PREFERENCE: Final[dict[CandidateType, int]] = {
    CandidateType.HOST: 126,
    CandidateType.PEER_REFLEXIVE: 110,
    CandidateType.SERVER_REFLEXIVE: 100,
    CandidateType.RELAYED: 0,
}
# RFC 6544 §4.2: any UDP path but a relayed one is better than any over TCP, where what is lost holds up the rest.
TCP_TYPE_PREFERENCE: Final[dict[CandidateType, int]] = {
    CandidateType.HOST: 90,
    CandidateType.PEER_REFLEXIVE: 80,
    CandidateType.SERVER_REFLEXIVE: 70,
    CandidateType.RELAYED: 0,
}
# RFC 6544 §4.2: "6 for active, 4 for passive, and 2 for S-O", of host candidates.
DIRECTION_PREFERENCE: Final[dict[TcpType, int]] = {
    TcpType.ACTIVE: 6,
    TcpType.PASSIVE: 4,
    TcpType.SIMULTANEOUS_OPEN: 2,
}
# RFC 6544 §4.2: "The other-pref MUST be between 0 and 8191".
MAX_OTHER_PREFERENCE: Final = 0x1FFF
# RFC 6544 §4.5: the port of an active candidate "MUST be set to 9 (i.e., Discard)".
ACTIVE_PORT: Final = 9
# RFC 8445 §5.1.2.1: the local preference is 0 to 65535.
MAX_LOCAL_PREFERENCE: Final = 0xFFFF
# How far one step of interface cost pushes an address back: more than the addresses of a usual host
# take up, so that cost orders first and the interleaving second.
COST_STEP: Final = 512
TCP_COST_STEP: Final = 64
MAX_COST: Final = 100
# What the foundation of a remote candidate learnt from a check begins with: "/" sets it apart from the
# foundations that agents give, which are short numbers.
LEARNT_FOUNDATION: Final = "/learnt/"


@dataclass(frozen=True, slots=True)
class LocalCandidate:
    """Is a candidate of this agent and the base it sends from (RFC 8445 §4)."""

    candidate: Candidate
    base: Address
    """A host socket's address, or the relayed address itself."""

    @property
    def address(self) -> Address:
        """Returns the candidate's own transport address, whatever the other side is told."""
        candidate = self.candidate
        if candidate.transport is Transport.TCP:
            host = self.base.host if candidate.type is CandidateType.HOST else candidate.host
            return TcpAddress(host, candidate.port)
        return self.base if candidate.type is CandidateType.HOST else candidate.address

    @property
    def is_rewritten(self) -> bool:
        """Says whether a host candidate is told with an address that is translated to its own."""
        candidate = self.candidate
        return candidate.type is CandidateType.HOST and not candidate.is_name and candidate.host != self.base.host

    def is_at(self, address: Address) -> bool:
        """Says whether it is this address that it sends from, or is told with."""
        told = self.candidate
        return address == self.base or (self.is_rewritten and address == transport_address(told, told.host))


def is_learnt(candidate: Candidate) -> bool:
    """Says whether the remote candidate was learnt from a check and not told yet (RFC 8445 §7.3.1.3)."""
    return candidate.foundation.startswith(LEARNT_FOUNDATION)


def candidate_priority(kind: CandidateType, local_preference: int, component: int) -> int:
    """Returns a candidate's priority (RFC 8445 §5.1.2.1)."""
    return (TYPE_PREFERENCE[kind] << 24) + (local_preference << 8) + (256 - component)


def tcp_priority(kind: CandidateType, tcp_type: TcpType, other_preference: int, component: int) -> int:
    """Returns a TCP candidate's priority (RFC 6544 §4.2)."""
    local_preference = (DIRECTION_PREFERENCE[tcp_type] << 13) + other_preference
    return (TCP_TYPE_PREFERENCE[kind] << 24) + (local_preference << 8) + (256 - component)


def transport_address(candidate: Candidate, host: str) -> Address:
    """Returns where a candidate is, its name resolved to `host`."""
    if candidate.transport is Transport.TCP:
        return TcpAddress(host, candidate.port)
    return Address(host, candidate.port)


def pair_priority(controlling: int, controlled: int) -> int:
    """Returns a pair's priority from its candidates' priorities (RFC 8445 §6.1.2.3)."""
    low, high = (controlling, controlled) if controlling < controlled else (controlled, controlling)
    return (low << 32) + 2 * high + (1 if controlling > controlled else 0)


class LocalPreferences:
    """Hands out distinct local preferences, IPv6 and IPv4 alternating, costly interfaces last (RFC 8421 §4)."""

    __slots__ = ("_seen", "_seen_tcp", "_used", "_used_tcp")

    def __init__(self) -> None:
        self._seen: dict[tuple[int, bool], int] = {}
        self._seen_tcp: dict[tuple[int, bool], int] = {}
        self._used_tcp: set[tuple[int, int]] = set()
        self._used: set[tuple[CandidateType, int, int]] = set()

    def for_address(self, address: Address, cost: int, component: int) -> int:
        """Returns the preference of a new host address; the first IPv6 comes before the first IPv4."""
        family = (component, address.is_ipv6)
        count = self._seen.get(family, 0)
        self._seen[family] = count + 1
        step = 2 * count + (0 if address.is_ipv6 else 1)
        wanted = MAX_LOCAL_PREFERENCE - min(max(cost, 0), MAX_COST) * COST_STEP - step
        return self.unique(CandidateType.HOST, wanted, component)

    def for_listener(self, address: Address, cost: int, component: int) -> int:
        """Returns what RFC 6544 §4.2 calls other-pref of a new TCP listener, ordered as datagram sockets are."""
        family = (component, address.is_ipv6)
        count = self._seen_tcp.get(family, 0)
        self._seen_tcp[family] = count + 1
        step = 2 * count + (0 if address.is_ipv6 else 1)
        wanted = max(MAX_OTHER_PREFERENCE - min(max(cost, 0), MAX_COST) * TCP_COST_STEP - step, 0)
        while (component, wanted) in self._used_tcp and wanted > 0:  # "they MUST have a unique other-pref"
            wanted -= 1
        self._used_tcp.add((component, wanted))
        return wanted

    def unique(self, kind: CandidateType, wanted: int, component: int) -> int:
        """Returns `wanted`, or the next lower one not used yet for this type and component (RFC 8445 §5.1.2.1)."""
        preference = max(wanted, 0)
        while (kind, component, preference) in self._used and preference > 0:
            preference -= 1
        self._used.add((kind, component, preference))
        return preference


class Foundations:
    """Names candidates that likely share their fate (RFC 8445 §5.1.1.3)."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: dict[tuple[CandidateType, str, str, Transport], Foundation] = {}

    def of(self, kind: CandidateType, base_host: str, server_host: str, transport: Transport) -> Foundation:
        """Returns one name for equal type, base address, server address and transport."""
        key = (kind, base_host, server_host, transport)
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = Foundation(str(len(self._names) + 1))
        return name
