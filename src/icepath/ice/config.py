"""What an agent is told at construction: one frozen value, checked once.

Policies are pure callables from a frozen view to a frozen decision; ice/nomination.py has the ones that
come with icepath, `rto_by_rfc` below is the retransmission timeout's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Final, TypeAlias

from icepath.entropy import IceCredentials, Secret
from icepath.errors import InvalidArgument
from icepath.ice.nomination import NominationPolicy, SelectionPolicy, move_when_better, nominate_first_good
from icepath.ice.pacer import MAX_PACING, MIN_PACING
from icepath.ice.rewriting import RewriteMode, RewriteRule
from icepath.net import Seconds
from icepath.stun.credentials import Challenge, LongTermCredentials
from icepath.turn.client.config import MAX_CLOSE_TIMEOUT
from icepath.turn.client.routes import RoutePolicy
from icepath.wire.uri import ServerUri

# RFC 8445 §14.3: "Agents MUST NOT use an RTO value smaller than 500 ms."
MIN_RTO: Final[Seconds] = 0.5
# RFC 8863 §4: recommended is the time a check takes to fail with the default RTO and Rc.
DEFAULT_PATIENCE: Final[Seconds] = 39.5
# RFC 7675 §5.1: "SHOULD set a default interval of 5 seconds", "MUST NOT ... less than 4" after jitter.
DEFAULT_CONSENT_INTERVAL: Final[Seconds] = 5.0
# With an interval beyond this, jitter included, the first check would come when consent has lapsed.
MAX_CONSENT_INTERVAL: Final[Seconds] = 24.0
MAX_COMPONENT: Final = 256


class Role(StrEnum):
    """Is the agent's role (RFC 8445 §4)."""

    CONTROLLING = "controlling"
    CONTROLLED = "controlled"


@dataclass(frozen=True, slots=True)
class Server:
    """Is one STUN or TURN server to ask, with the credentials it wants.

    Raises: InvalidArgument when username and password are no long-term credentials (RFC 8489 §9.2).
    """

    uri: ServerUri
    username: str | None = None
    password: Secret | None = None

    def __post_init__(self) -> None:
        self.credentials()

    def credentials(self) -> LongTermCredentials | None:
        """Returns the long-term credentials, or None when there is no username."""
        if self.username is None:
            return None
        return LongTermCredentials(self.username, self.password if self.password is not None else Secret(""))


@dataclass(frozen=True, slots=True)
class RtoView:
    """Is what a retransmission-timeout policy may look at (RFC 8445 §14.3)."""

    pacing: Seconds
    total: int
    """Checks in the checklist set, or reflexive and relayed candidates while gathering."""
    active: int
    """Pairs Waiting or In-Progress; 1 while gathering."""


RtoPolicy: TypeAlias = Callable[[RtoView], Seconds]


def rto_by_rfc(view: RtoView) -> Seconds:
    """Returns MAX(500 ms, Ta * N * (Num-Waiting + Num-In-Progress)) (RFC 8445 §14.3)."""
    return max(MIN_RTO, view.pacing * view.total * view.active)


def rto_floor(view: RtoView) -> Seconds:  # noqa: ARG001 - the floor looks at nothing
    """Returns the shortest lawful RTO whatever the number of checks (RFC 8445 §14.3: "MAY ... other mechanisms")."""
    return MIN_RTO


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """Says how one agent is to behave.

    Raises: InvalidArgument when a value is out of range.
    """

    credentials: IceCredentials
    role: Role
    components: tuple[int, ...] = (1,)
    """Number of components of stream 1, stream 2, ..."""
    servers: tuple[Server, ...] = ()
    relay_only: bool = False
    """Announces relayed candidates only, and sends to the remote from nothing else."""
    lite: bool = False
    """Host candidates only, no checks: for machines with public addresses (RFC 8445 §2.5)."""
    hide_host_addresses: bool = False
    """Tells names in .local instead of host addresses (draft-ietf-mmusic-mdns-ice-candidates)."""
    tell_hosts: bool = True
    """False keeps host candidates to this agent: it sends from them, the other side learns what servers see."""
    streams_only: bool = False
    """Reaches TURN servers by TCP and TLS only, and the other side by those: nothing is sent by UDP (RFC 8828 §5.2)."""
    rewrite: tuple[RewriteRule, ...] = ()
    """Under which other addresses our hosts are reached; of the rules that hold for a host, the first counts."""
    tcp: bool = False
    """Has TCP candidates too, and takes those of the other side (RFC 6544)."""
    pacing: Seconds = MIN_PACING
    """Ta as proposed to the other side."""
    patience: Seconds = DEFAULT_PATIENCE
    """How long to look for a path at least (RFC 8863)."""
    recheck_interval: Seconds = 5.0
    """Pause before failed pairs are tried again while patience lasts and nothing else is left to try."""
    consent_interval: Seconds = DEFAULT_CONSENT_INTERVAL
    max_pairs: int = 100
    """RFC 8445 §6.1.2.5: "a default limit of 100"."""
    max_remote_candidates: int = 100
    """Per stream; as many again may be learnt from checks, so that no flood of useless ones shuts the real one out."""
    max_early_checks: int = 32
    """Checks kept until the remote description comes, per stream."""
    max_connections: int = 32
    """TCP connections taken from the other side, or from whoever comes; strangers are closed first."""
    challenges: tuple[tuple[str, Challenge], ...] = ()
    """Realm and nonce that servers gave earlier, by URI: saves a round trip."""
    close_timeout: Seconds = 1.0
    transports: RoutePolicy = RoutePolicy.RACE
    """How the transports of one TURN server are tried: all at once, or 250 ms apart."""
    verify_certificates: bool = True
    """Ends a TLS or DTLS connection whose certificate does not prove the server's name."""
    nomination: NominationPolicy = field(default=nominate_first_good)
    renomination: bool = False
    """Offers to change the nominated pair later without a restart (both drafts of renomination)."""
    selection: SelectionPolicy = field(default=move_when_better)
    """Says when to, and to which pair, where the other side agrees."""
    sped: bool = False
    """Takes part in carrying the packets of an application's DTLS handshake on checks (draft-hancke-webrtc-sped)."""
    warm_pairs: int = 3
    """How many pairs of a component are kept ready for it, by consent checks at half the pace."""
    rto: RtoPolicy = field(default=rto_floor)

    def __post_init__(self) -> None:
        if not self.components or not all(1 <= count <= MAX_COMPONENT for count in self.components):
            raise InvalidArgument(f"components {self.components}: one to {MAX_COMPONENT} for each stream")
        if not MIN_PACING <= self.pacing <= MAX_PACING:
            raise InvalidArgument(f"pacing {self.pacing} s: {MIN_PACING} (RFC 8445 §14.2) to {MAX_PACING} s")
        if not DEFAULT_CONSENT_INTERVAL <= self.consent_interval <= MAX_CONSENT_INTERVAL:
            raise InvalidArgument(
                f"consent interval {self.consent_interval} s: "
                f"{DEFAULT_CONSENT_INTERVAL} (RFC 7675 §5.1) to {MAX_CONSENT_INTERVAL} s"
            )
        if not 0 <= self.close_timeout <= MAX_CLOSE_TIMEOUT:
            raise InvalidArgument(f"close timeout {self.close_timeout} s: 0 to {MAX_CLOSE_TIMEOUT} s")
        if not (0 <= self.patience < inf and 0 < self.recheck_interval < inf):
            raise InvalidArgument(
                f"patience {self.patience} s, recheck interval {self.recheck_interval} s: finite, not below 0"
            )
        if self.tcp and (self.lite or self.relay_only):
            raise InvalidArgument("tcp: neither for a lite agent yet nor with relay_only, as relays carry UDP only")
        if self.lite:
            self._check_lite()
        if self.streams_only and not self.relay_only:
            raise InvalidArgument("streams only: with relay_only, for all else is sent by UDP")
        limits = (self.max_pairs, self.max_remote_candidates, self.max_early_checks, self.max_connections)
        if min(*limits, self.warm_pairs + 1) < 1:
            raise InvalidArgument("limits must be at least 1, warm pairs at least 0")

    def _check_lite(self) -> None:
        if self.servers or self.relay_only:
            raise InvalidArgument("a lite agent has host candidates only: no servers, no relay_only (RFC 8445 §5.2)")
        if not self.tell_hosts:
            raise InvalidArgument("a lite agent has host candidates only: they are told (RFC 8445 §5.2)")
        if any(rule.mode == RewriteMode.ADD for rule in self.rewrite):
            raise InvalidArgument("a lite agent has host candidates only: rewriting replaces them (RFC 8445 §5.2)")
