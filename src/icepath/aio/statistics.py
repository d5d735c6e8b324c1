"""Statistics under W3C's names (webrtc-stats): candidate pairs, candidates, and the transport.

Every value is read off one frozen snapshot of the agent; what the agent does not count is left out.
"""

from __future__ import annotations

import time
from typing import TypeAlias

from icepath.ice.events import AgentSnapshot, PairSnapshot
from icepath.ice.pair import PairState
from icepath.wire.candidate_line import Candidate

Report: TypeAlias = dict[str, object]

# W3C RTCStatsIceCandidatePairState.
PAIR_STATES = {
    PairState.FROZEN: "frozen",
    PairState.WAITING: "waiting",
    PairState.IN_PROGRESS: "in-progress",
    PairState.SUCCEEDED: "succeeded",
    PairState.FAILED: "failed",
}


def report(snapshot: AgentSnapshot, *, dropped_on_receive: int, dropped_on_send: int) -> dict[str, Report]:
    """Returns one dictionary per object, by its id."""
    found: dict[str, Report] = {}
    described = (("local", snapshot.local), ("remote", snapshot.remote))
    for side, descriptions in described:
        for description in descriptions:
            for candidate in () if description is None else description.candidates:
                found[candidate_id(side, candidate)] = _candidate(side, candidate)
    transports = {1: _transport(snapshot)}
    transports[1]["packetsDiscardedOnReceive"] = dropped_on_receive
    transports[1]["packetsDiscardedOnSend"] = dropped_on_send
    for pair in snapshot.pairs:
        local, remote = candidate_id("local", pair.local), candidate_id("remote", pair.remote)
        # Peer-reflexive ones are in no description.
        found.setdefault(local, _candidate("local", pair.local))
        found.setdefault(remote, _candidate("remote", pair.remote))
        key = f"CP{local}-{remote}"
        found[key] = _pair(pair, local, remote)
        if pair.is_selected:
            transport = transports.setdefault(pair.component, {"type": "transport"})
            transport["selectedCandidatePairId"] = key
    found.update({transport_id(component): values for component, values in transports.items()})
    timestamp = time.time() * 1000
    return {key: _finished(key, timestamp, values) for key, values in found.items()}


def candidate_id(side: str, candidate: Candidate) -> str:
    """Returns a candidate's id: the same as long as it is the same."""
    parts = (candidate.component, candidate.type, candidate.host, candidate.port)
    return f"{side[0].upper()}-" + "-".join(str(part) for part in parts)


def transport_id(component: int) -> str:
    """Returns the id of a component's transport."""
    return f"T{component}"


def _finished(key: str, timestamp: float, values: Report) -> Report:
    known = {name: value for name, value in values.items() if value is not None}
    return {"id": key, "timestamp": timestamp, **known}


def _candidate(side: str, candidate: Candidate) -> Report:
    related = candidate.related_address
    return {
        "type": f"{side}-candidate",
        "transportId": transport_id(candidate.component),
        "address": candidate.host,
        "port": candidate.port,
        "protocol": candidate.transport.value,
        "candidateType": str(candidate.type),
        "priority": candidate.priority,
        "foundation": candidate.foundation,
        "relatedAddress": None if related is None else related.host,
        "relatedPort": None if related is None else related.port,
        "usernameFragment": candidate.ufrag,
        "tcpType": None if candidate.tcp_type is None else str(candidate.tcp_type),
        "url": candidate.url,
    }


def _pair(pair: PairSnapshot, local: str, remote: str) -> Report:
    return {
        "type": "candidate-pair",
        "transportId": transport_id(pair.component),
        "localCandidateId": local,
        "remoteCandidateId": remote,
        "state": PAIR_STATES[pair.state],
        "nominated": pair.is_nominated,
        "priority": pair.priority,
        "currentRoundTripTime": pair.rtt,
        "totalRoundTripTime": pair.rtt_total,
        "requestsSent": pair.requests_sent,
        "retransmissionsSent": pair.retransmissions_sent,
        "responsesReceived": pair.responses_received,
        "requestsReceived": pair.requests_received,
        "responsesSent": pair.responses_sent,
    }


def _transport(snapshot: AgentSnapshot) -> Report:
    return {
        "type": "transport",
        "iceRole": str(snapshot.role),
        "iceState": str(snapshot.state),
        "iceLocalUsernameFragment": snapshot.local[0].ufrag,
        "packetsSent": snapshot.datagrams_sent,
        "packetsReceived": snapshot.datagrams_received,
        "bytesSent": snapshot.octets_sent,
        "bytesReceived": snapshot.octets_received,
    }
