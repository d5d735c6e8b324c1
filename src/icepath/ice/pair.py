"""Candidate pairs and their five states.

One `CandidatePair` stands for one way to send: a local base and a remote address. A check's valid pair
(RFC 8445 §7.2.5.3.2) has the same base and remote and differs only in the local candidate it reports,
so it is the same object with `valid` set. RFC 8445 §6.1.2.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple, TypeAlias, final

from icepath.ice.candidate import LocalCandidate, pair_priority
from icepath.machine import FlowKey, Transport
from icepath.net import Address, Instant, Seconds, is_loopback, same_family
from icepath.wire.candidate_line import Candidate, Foundation, TcpType
from icepath.wire.message import TransactionId

_TCP: Final = Transport.TCP

PairFoundation: TypeAlias = tuple[Foundation, Foundation]


class PairState(Enum):
    """Is a pair's state (RFC 8445 §6.1.2.6)."""

    FROZEN = auto()
    WAITING = auto()
    IN_PROGRESS = auto()
    SUCCEEDED = auto()
    FAILED = auto()


class PairKey(NamedTuple):
    """Names one way to send."""

    local: Address
    remote: Address


@final
class PairCounts:
    """Counts what a pair has carried: checks and answers, consent's included, round trips, and data."""

    __slots__ = (
        "consent_requests_sent",
        "datagrams_received",
        "datagrams_sent",
        "last_received",
        "last_sent",
        "octets_received",
        "octets_sent",
        "requests_received",
        "requests_sent",
        "responses_received",
        "responses_sent",
        "retransmissions_sent",
        "rtt_total",
    )

    def __init__(self) -> None:
        self.requests_sent = 0
        self.retransmissions_sent = 0
        self.responses_received = 0
        self.requests_received = 0
        self.responses_sent = 0
        # How many of the requests asked for consent only.
        self.consent_requests_sent = 0
        self.rtt_total: Seconds = 0.0
        self.datagrams_sent = self.octets_sent = 0
        self.datagrams_received = self.octets_received = 0
        self.last_sent: Instant | None = None
        # None also once a flow has delivered: when, it does not tell.
        self.last_received: Instant | None = None

    def hand_over(self, heir: PairCounts) -> None:
        """Moves the count of datagrams to whoever outlives this pair."""
        heir.datagrams_sent += self.datagrams_sent
        heir.octets_sent += self.octets_sent
        heir.datagrams_received += self.datagrams_received
        heir.octets_received += self.octets_received
        self.datagrams_sent = self.octets_sent = self.datagrams_received = self.octets_received = 0


@final
class CandidatePair:
    """Is one way to send, what is known of it, and what it has carried."""

    __slots__ = (
        "component",
        "consent_until",
        "counts",
        "flow",
        "generation",
        "id",
        "is_controlling",
        "is_nominated",
        "is_tcp",
        "key",
        "last_heard",
        "local",
        "nominate_on_success",
        "priority",
        "remote",
        "remote_address",
        "rtt",
        "state",
        "stream",
        "transaction_id",
        "use_candidate",
        "valid",
        "valid_since",
        "was_refused",
    )

    def __init__(
        self,
        pair_id: int,
        local: LocalCandidate,
        remote: Candidate,
        remote_address: Address,
        *,
        stream: int,
        generation: int,
        is_controlling: bool,
    ) -> None:
        self.id = pair_id
        self.local = local
        self.remote = remote
        self.remote_address = remote_address
        self.key = PairKey(local.base, remote_address)
        self.stream, self.generation = stream, generation
        self.component = local.candidate.component
        self.is_tcp = local.candidate.transport is _TCP
        self.state = PairState.FROZEN
        self.priority = 0
        self.transaction_id: TransactionId | None = None
        # The valid pair's local candidate, once a check succeeded.
        self.valid: LocalCandidate | None = None
        self.is_nominated = False
        # Controlling: the next check carries USE-CANDIDATE.
        self.use_candidate = False
        # Controlled: a request with USE-CANDIDATE came before our own check succeeded (RFC 8445 §7.3.1.5).
        self.nominate_on_success = False
        self.valid_since: Instant | None = None
        # Answers came to a check that timed out, but none made with the remote password.
        self.was_refused = False
        # RFC 7675 §5.1: sending is allowed until then.
        self.consent_until: Instant | None = None
        # The flow that the driver was given for this pair.
        self.flow: FlowKey | None = None
        self.last_heard: Instant | None = None
        self.rtt: Seconds | None = None
        self.counts = PairCounts()
        self.reprioritize(is_controlling)

    @property
    def foundation(self) -> PairFoundation:
        """Returns the combined foundation (RFC 8445 §6.1.2.6)."""
        return (self.local.candidate.foundation, self.remote.foundation)

    @property
    def is_valid(self) -> bool:
        """Says whether a check of this pair succeeded and it was not removed since."""
        return self.valid is not None

    @property
    def reported_local(self) -> LocalCandidate:
        """Returns the local candidate as the valid pair has it, or the base's."""
        return self.valid if self.valid is not None else self.local

    def reprioritize(self, is_controlling: bool) -> None:
        """Computes the priority anew; it depends on the role (RFC 8445 §6.1.2.3)."""
        self.is_controlling = is_controlling
        self.priority = self._priority_with(self.local)

    @property
    def valid_priority(self) -> tuple[int, int]:
        """Orders valid pairs: by priority with the reported candidate (RFC 8445 §7.2.5.3.2), then the earlier first."""
        return (self._priority_with(self.reported_local), -self.id)

    def _priority_with(self, local: LocalCandidate) -> int:
        mine, theirs = local.candidate.priority, self.remote.priority
        return pair_priority(mine, theirs) if self.is_controlling else pair_priority(theirs, mine)

    def may_send_data(self, now: Instant) -> bool:
        """Says whether the far side consents to receive data now (RFC 7675 §5.1)."""
        return self.valid is not None and self.consent_until is not None and now < self.consent_until

    def is_known_remote(self) -> bool:
        """Says whether the far side proved itself on this pair, by a request or by an answer."""
        return self.valid is not None or self.counts.requests_received > 0

    def __repr__(self) -> str:
        return f"CandidatePair({self.local.base} -> {self.remote_address}, {self.state.name})"


def may_pair(local: LocalCandidate, remote: Candidate, remote_address: Address, *, is_shared: bool = False) -> bool:
    """Says whether the two form a pair: component, transport and family agree (RFC 8445 §6.1.2.2).

    IPv6 link-local and loopback addresses reach only their own kind, and no address pairs with itself unless another
    agent shares it.
    """
    mine = local.candidate
    if mine.component != remote.component or mine.transport is not remote.transport:
        return False
    if not same_family(local.base, remote_address):
        return False
    if is_loopback(local.base.host) != is_loopback(remote_address.host):
        return False
    if local.base == remote_address and not is_shared:
        return False
    if mine.transport is _TCP and not is_opened_by(mine, remote):
        return False
    return is_ipv6_link_local(local.base) == is_ipv6_link_local(remote_address)


def is_opened_by(mine: Candidate, remote: Candidate) -> bool:
    """Says whether it is ours to open a connection between the two: then the pair is on the checklist (RFC 6544 §6.2).

    Pairs whose local candidate is passive are pruned: they come with the checks on connections that come in.
    """
    return mine.tcp_type is TcpType.ACTIVE and remote.tcp_type is TcpType.PASSIVE


def is_ipv6_link_local(address: Address) -> bool:
    """Says whether the address is in fe80::/10."""
    return address.host[:3] in {"fe8", "fe9", "fea", "feb"} and address.host.find(":") == 4
