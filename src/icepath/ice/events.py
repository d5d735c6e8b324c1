"""What an agent reports, and the frozen answers to queries.

Events are past participles and carry values, never live objects. The words of `State` are W3C's
RTCIceTransportState, as applications know them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from icepath.errors import Cause
from icepath.ice.config import Role
from icepath.ice.pair import PairState
from icepath.machine import DatagramDropped, Event, MachineClosed, Security, Transport
from icepath.net import Address, Instant, Seconds
from icepath.stun.credentials import Challenge
from icepath.wire.candidate_line import Candidate
from icepath.wire.fragment import Description


class State(StrEnum):
    """Is how far an agent has come; the words of W3C's RTCIceTransportState."""

    NEW = "new"
    CHECKING = "checking"
    CONNECTED = "connected"
    """Every component has a valid pair: data may flow."""
    COMPLETED = "completed"
    """Every component has a nominated pair."""
    DISCONNECTED = "disconnected"
    """Nothing was heard on the selected pair for a while; it may come back."""
    FAILED = "failed"
    """No path was found in time, or consent expired."""
    CLOSED = "closed"


class PairSnapshot(NamedTuple):
    """Is one candidate pair as it stands; counters count messages, times are seconds."""

    stream: int
    component: int
    local: Candidate
    remote: Candidate
    local_base: Address
    remote_address: Address
    state: PairState
    priority: int
    is_valid: bool
    is_nominated: bool
    is_selected: bool
    rtt: Seconds | None
    rtt_total: Seconds
    requests_sent: int
    retransmissions_sent: int
    responses_received: int
    requests_received: int
    responses_sent: int
    consent_until: Instant | None
    id: int = 0
    """Is the pair's own for the agent's lifetime."""
    consent_requests_sent: int = 0
    """How many of the requests asked for consent only."""
    datagrams_sent: int = 0
    octets_sent: int = 0
    datagrams_received: int = 0
    octets_received: int = 0
    last_sent: Instant | None = None
    """When the application's last datagram left."""
    last_received: Instant | None = None
    """When its last one came; None too where the driver delivered it by a flow."""


class ComponentSnapshot(NamedTuple):
    """Is what one component has carried for the application, on all its pairs so far."""

    stream: int
    component: int
    datagrams_sent: int
    octets_sent: int
    datagrams_received: int
    octets_received: int
    changes: int
    """How often the pair in use has changed; the first one counts, and so does losing the last."""


class RelaySnapshot(NamedTuple):
    """Is one relayed address and how its server is reached."""

    relayed: Address
    server: Address
    transport: Transport
    security: Security


@dataclass(frozen=True, slots=True)
class AgentSnapshot:
    """Is everything one may ask of an agent, at one moment."""

    role: Role
    state: State
    cause: Cause | None
    local: tuple[Description, ...]
    """One per stream."""
    remote: tuple[Description | None, ...]
    pairs: tuple[PairSnapshot, ...]
    datagrams_received: int
    octets_received: int
    datagrams_sent: int
    octets_sent: int
    components: tuple[ComponentSnapshot, ...] = ()
    relays: tuple[RelaySnapshot, ...] = ()


@dataclass(frozen=True, slots=True)
class CandidateGathered(Event):
    """Reports a new local candidate, ready to be sent to the other side."""

    stream: int
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class AddressHidden(Event):
    """Reports the name that stands for one of our addresses: neighbours ask for it by mDNS from now on."""

    name: str
    host: str


@dataclass(frozen=True, slots=True)
class GatheringCompleted(Event):
    """Reports that every server has answered or failed and no further candidate will come."""


@dataclass(frozen=True, slots=True)
class ServerFailed(Event):
    """Reports that a server gave no candidate: `code` is its STUN error code, if it sent one."""

    url: str
    local: Address | None
    code: int | None
    reason: Cause
    text: str = ""


@dataclass(frozen=True, slots=True)
class StateChanged(Event):
    """Reports the agent's new state, and why when it is a bad one."""

    state: State
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class StreamFailed(Event):
    """Reports that one data stream has no path, or lost the one it had; others may go on (RFC 8445 §8.1.2)."""

    stream: int
    cause: Cause


@dataclass(frozen=True, slots=True)
class PairValidated(Event):
    """Reports that data may be sent on this pair now."""

    stream: int
    component: int
    pair: PairSnapshot


@dataclass(frozen=True, slots=True)
class PairSelected(Event):
    """Reports the pair that both sides settled on for a component (RFC 8445 §8.1.1)."""

    stream: int
    component: int
    pair: PairSnapshot


@dataclass(frozen=True, slots=True)
class DataReceived(Event):
    """Carries a datagram of the application."""

    stream: int
    component: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class EmbeddedReceived(Event):
    """Carries a packet of the application that came on a check or an answer, once (draft-hancke-webrtc-sped)."""

    stream: int
    component: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class RoleChanged(Event):
    """Reports that a role conflict was repaired by changing our role (RFC 8445 §7.3.1.1)."""

    role: Role


@dataclass(frozen=True, slots=True)
class Restarted(Event):
    """Reports that a stream has begun a new ICE session: its new description wants to be handed out (RFC 8445 §9)."""

    stream: int


@dataclass(frozen=True, slots=True)
class ChallengeRemembered(Event):
    """Carries a TURN server's realm and nonce for the next agent's config: saves it a round trip."""

    url: str
    challenge: Challenge


@dataclass(frozen=True, slots=True)
class PolicyFailed(Event):
    """Reports that a policy raised; the RFC's rule decided instead."""

    policy: str
    text: str


AgentEvent: TypeAlias = (
    CandidateGathered
    | AddressHidden
    | GatheringCompleted
    | ServerFailed
    | StateChanged
    | StreamFailed
    | PairValidated
    | PairSelected
    | DataReceived
    | EmbeddedReceived
    | RoleChanged
    | Restarted
    | ChallengeRemembered
    | PolicyFailed
    | DatagramDropped
    | MachineClosed
)
