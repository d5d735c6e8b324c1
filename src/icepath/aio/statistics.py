"""Statistics under W3C's names (webrtc-stats): candidate pairs, candidates, and a transport per component.

Every value is read off one frozen snapshot of the agent; what the agent does not know is left out, never guessed.
docs/howto/statistics.md tells what each member means. Nothing is counted here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from icepath.ice.events import AgentSnapshot, ComponentSnapshot, PairSnapshot, RelaySnapshot
from icepath.ice.pair import PairState
from icepath.machine import Security
from icepath.net import Instant
from icepath.wire.candidate_line import Candidate, CandidateType

Report: TypeAlias = dict[str, object]

# W3C RTCStatsIceCandidatePairState.
PAIR_STATES: Final = {
    PairState.FROZEN: "frozen",
    PairState.WAITING: "waiting",
    PairState.IN_PROGRESS: "in-progress",
    PairState.SUCCEEDED: "succeeded",
    PairState.FAILED: "failed",
}
MILLISECONDS: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Moment:
    """Is one instant on both clocks: the machine's, and the wall's in milliseconds since 1970."""

    instant: Instant
    timestamp: float

    def timestamp_of(self, instant: Instant | None) -> float | None:
        """Returns an earlier instant by the wall clock of now."""
        return None if instant is None else self.timestamp - (self.instant - instant) * MILLISECONDS


def report(
    snapshot: AgentSnapshot,
    moment: Moment,
    *,
    has_role: bool,
    discarded_on_receive: Sequence[int],
    discarded_on_send: int,
) -> dict[str, Report]:
    """Returns one dictionary per object, by its id; datagrams discarded on receipt are told per component."""
    found: dict[str, Report] = {}
    described = (("local", snapshot.local), ("remote", snapshot.remote))
    for side, descriptions in described:
        for description in descriptions:
            for candidate in () if description is None else description.candidates:
                ufrag = None if description is None else description.ufrag
                found[candidate_id(side, candidate)] = _candidate(side, candidate, ufrag, snapshot.relays)
    transports = {each.component: _transport(snapshot, each, has_role=has_role) for each in snapshot.components}
    for component, discarded in enumerate(discarded_on_receive, 1):
        transports[component]["packetsDiscardedOnReceive"] = discarded
    transports[1]["packetsDiscardedOnSend"] = discarded_on_send
    for pair in snapshot.pairs:
        local, remote = candidate_id("local", pair.local), candidate_id("remote", pair.remote)
        # Peer-reflexive ones are in no description, and those of an earlier session no more.
        found.setdefault(local, _candidate("local", pair.local, None, snapshot.relays))
        found.setdefault(remote, _candidate("remote", pair.remote, None, snapshot.relays))
        found[pair_id(pair)] = _pair(pair, local, remote, moment)
        if pair.is_selected:
            transports[pair.component]["selectedCandidatePairId"] = pair_id(pair)
    found.update({transport_id(component): values for component, values in transports.items()})
    return {key: _finished(key, moment.timestamp, values) for key, values in found.items()}


def candidate_id(side: str, candidate: Candidate) -> str:
    """Returns a candidate's id: the same as long as it is the same."""
    parts = (candidate.component, candidate.transport.value, candidate.type, candidate.host, candidate.port)
    return f"{side[0].upper()}-" + "-".join(str(part) for part in parts)


def pair_id(pair: PairSnapshot) -> str:
    """Returns a pair's id, which stays when its candidates turn out to be others than they seemed."""
    return f"CP{pair.id}"


def transport_id(component: int) -> str:
    """Returns the id of a component's transport."""
    return f"T{component}"


def _finished(key: str, timestamp: float, values: Report) -> Report:
    known = {name: value for name, value in values.items() if value is not None}
    return {"id": key, "timestamp": timestamp, **known}


def _candidate(side: str, candidate: Candidate, ufrag: str | None, relays: Sequence[RelaySnapshot]) -> Report:
    related = candidate.related_address
    is_own_relay = side == "local" and candidate.type is CandidateType.RELAYED
    return {
        "type": f"{side}-candidate",
        "transportId": transport_id(candidate.component),
        "address": candidate.host,
        "port": candidate.port,
        "protocol": candidate.transport.value,
        "relayProtocol": _relay_protocol(candidate, relays) if is_own_relay else None,
        "candidateType": candidate.type.value,
        "priority": candidate.priority,
        "foundation": candidate.foundation,
        "relatedAddress": None if related is None else related.host,
        "relatedPort": None if related is None else related.port,
        "usernameFragment": candidate.ufrag if candidate.ufrag is not None else ufrag,
        "tcpType": None if candidate.tcp_type is None else candidate.tcp_type.value,
        "url": candidate.url,
    }


def _relay_protocol(candidate: Candidate, relays: Sequence[RelaySnapshot]) -> str | None:
    """Returns what goes between us and the TURN server, while the allocation lives."""
    for relay in relays:
        if relay.relayed == candidate.address:
            return relay.transport.value if relay.security is Security.NONE else relay.security.value
    return None


def _pair(pair: PairSnapshot, local: str, remote: str, moment: Moment) -> Report:
    return {
        "type": "candidate-pair",
        "transportId": transport_id(pair.component),
        "localCandidateId": local,
        "remoteCandidateId": remote,
        "state": PAIR_STATES[pair.state],
        "nominated": pair.is_nominated,
        "priority": pair.priority,
        "packetsSent": pair.datagrams_sent,
        "packetsReceived": pair.datagrams_received,
        "bytesSent": pair.octets_sent,
        "bytesReceived": pair.octets_received,
        "lastPacketSentTimestamp": moment.timestamp_of(pair.last_sent),
        "lastPacketReceivedTimestamp": moment.timestamp_of(pair.last_received),
        "currentRoundTripTime": pair.rtt,
        "totalRoundTripTime": pair.rtt_total,
        "requestsSent": pair.requests_sent - pair.consent_requests_sent,
        "consentRequestsSent": pair.consent_requests_sent,
        "retransmissionsSent": pair.retransmissions_sent,
        "responsesReceived": pair.responses_received,
        "requestsReceived": pair.requests_received,
        "responsesSent": pair.responses_sent,
    }


def _transport(snapshot: AgentSnapshot, component: ComponentSnapshot, *, has_role: bool) -> Report:
    return {
        "type": "transport",
        "iceRole": snapshot.role.value if has_role else "unknown",
        "iceState": snapshot.state.value,
        "iceLocalUsernameFragment": snapshot.local[0].ufrag,
        "packetsSent": component.datagrams_sent,
        "packetsReceived": component.datagrams_received,
        "bytesSent": component.octets_sent,
        "bytesReceived": component.octets_received,
        "selectedCandidatePairChanges": component.changes,
    }
