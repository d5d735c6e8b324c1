from __future__ import annotations

import pytest

from icepath.aio.statistics import PAIR_STATES, Moment, candidate_id, pair_id, report, transport_id
from icepath.entropy import Secret
from icepath.ice.config import Role
from icepath.ice.events import AgentSnapshot, ComponentSnapshot, PairSnapshot, RelaySnapshot, State
from icepath.ice.pair import PairState
from icepath.machine import Security, Transport
from icepath.net import Address
from icepath.wire.candidate_line import Candidate, CandidateType, Foundation, TcpType
from icepath.wire.fragment import Description

MOMENT = Moment(1000.0, 1_700_000_000_000.0)
HOST = Address("192.0.2.1", 4000)
THEIRS = Address("198.51.100.7", 5000)
RELAYED = Address("203.0.113.5", 49152)
SERVER = Address("203.0.113.5", 3478)
PASSWORD = Secret("a-password-of-24-charss")


def candidate(
    address: Address = HOST,
    kind: CandidateType = CandidateType.HOST,
    *,
    component: int = 1,
    related: Address | None = None,
    tcp_type: TcpType | None = None,
    ufrag: str | None = None,
    url: str | None = None,
) -> Candidate:
    return Candidate(
        foundation=Foundation("7"),
        component=component,
        transport=Transport.UDP if tcp_type is None else Transport.TCP,
        priority=99,
        host=address.host,
        port=address.port,
        type=kind,
        related_address=related,
        tcp_type=tcp_type,
        ufrag=ufrag,
        url=url,
    )


def pair(
    local: Candidate,
    remote: Candidate,
    *,
    state: PairState = PairState.SUCCEEDED,
    is_selected: bool = False,
    rtt: float | None = 0.02,
    last_sent: float | None = None,
    last_received: float | None = None,
    number: int = 5,
) -> PairSnapshot:
    return PairSnapshot(
        stream=1,
        component=local.component,
        local=local,
        remote=remote,
        local_base=HOST,
        remote_address=THEIRS,
        state=state,
        priority=12345,
        is_valid=True,
        is_nominated=is_selected,
        is_selected=is_selected,
        rtt=rtt,
        rtt_total=0.5,
        requests_sent=10,
        retransmissions_sent=2,
        responses_received=9,
        requests_received=8,
        responses_sent=7,
        consent_until=None,
        id=number,
        consent_requests_sent=4,
        datagrams_sent=20,
        octets_sent=2000,
        datagrams_received=30,
        octets_received=3000,
        last_sent=last_sent,
        last_received=last_received,
    )


def agent(
    *,
    local: tuple[Candidate, ...] = (),
    remote: tuple[Candidate, ...] | None = None,
    pairs: tuple[PairSnapshot, ...] = (),
    components: int = 1,
    relays: tuple[RelaySnapshot, ...] = (),
) -> AgentSnapshot:
    return AgentSnapshot(
        Role.CONTROLLED,
        State.COMPLETED,
        None,
        (Description("ours", PASSWORD, local),),
        (None if remote is None else Description("theirs", PASSWORD, remote),),
        pairs,
        0,
        0,
        0,
        0,
        tuple(ComponentSnapshot(1, number, 20 + number, 21, 22, 23, 3) for number in range(1, components + 1)),
        relays,
    )


def told(snapshot: AgentSnapshot, *, has_role: bool = True, discarded: tuple[int, ...] = (0,)) -> dict[str, object]:
    """Returns the report, each object checked to carry its id and the moment."""
    found = report(snapshot, MOMENT, has_role=has_role, discarded_on_receive=discarded, discarded_on_send=6)
    assert all((each["id"], each["timestamp"]) == (key, MOMENT.timestamp) for key, each in found.items())
    return {key: {name: each[name] for name in each if name not in ("id", "timestamp")} for key, each in found.items()}


class TestTransport:
    def test_tells_what_its_component_carried_in_w3cs_words(self) -> None:
        assert told(agent()) == {
            "T1": {
                "type": "transport",
                "iceRole": "controlled",
                "iceState": "completed",
                "iceLocalUsernameFragment": "ours",
                "packetsSent": 21,
                "packetsReceived": 22,
                "bytesSent": 21,
                "bytesReceived": 23,
                "selectedCandidatePairChanges": 3,
                "packetsDiscardedOnReceive": 0,
                "packetsDiscardedOnSend": 6,
            }
        }

    def test_each_component_has_its_own(self) -> None:
        chosen = pair(candidate(component=2), candidate(THEIRS, component=2), is_selected=True)
        found = told(agent(components=2, pairs=(chosen,)), discarded=(4, 5))
        first, second = found["T1"], found["T2"]
        assert isinstance(first, dict)
        assert isinstance(second, dict)
        assert (first["packetsSent"], second["packetsSent"]) == (21, 22)
        assert (first["packetsDiscardedOnReceive"], second["packetsDiscardedOnReceive"]) == (4, 5)
        assert (first.get("selectedCandidatePairId"), second["selectedCandidatePairId"]) == (None, "CP5")
        assert "packetsDiscardedOnSend" not in second

    def test_a_role_that_nobody_chose_is_unknown(self) -> None:
        found = told(agent(), has_role=False)["T1"]
        assert isinstance(found, dict)
        assert found["iceRole"] == "unknown"


class TestCandidate:
    def test_tells_what_is_known_and_nothing_else(self) -> None:
        ours = candidate(ufrag="ours")
        found = told(agent(local=(ours,)))
        assert found[candidate_id("local", ours)] == {
            "type": "local-candidate",
            "transportId": "T1",
            "address": "192.0.2.1",
            "port": 4000,
            "protocol": "udp",
            "candidateType": "host",
            "priority": 99,
            "foundation": "7",
            "usernameFragment": "ours",
        }

    def test_tells_how_a_reflexive_and_a_tcp_candidate_came_about(self) -> None:
        theirs = candidate(
            THEIRS, CandidateType.SERVER_REFLEXIVE, related=HOST, tcp_type=TcpType.PASSIVE, url="stun:example.org"
        )
        found = told(agent(remote=(theirs,)))[candidate_id("remote", theirs)]
        assert isinstance(found, dict)
        assert (found["type"], found["candidateType"]) == ("remote-candidate", "srflx")
        assert (found["protocol"], found["tcpType"]) == ("tcp", "passive")
        assert (found["relatedAddress"], found["relatedPort"]) == HOST
        assert (found["url"], found["usernameFragment"]) == ("stun:example.org", "theirs")

    @pytest.mark.parametrize(
        ("transport", "security", "word"),
        [
            (Transport.UDP, Security.NONE, "udp"),
            (Transport.TCP, Security.NONE, "tcp"),
            (Transport.TCP, Security.TLS, "tls"),
            (Transport.UDP, Security.DTLS, "dtls"),
        ],
    )
    def test_tells_how_its_turn_server_is_reached(self, transport: Transport, security: Security, word: str) -> None:
        ours = candidate(RELAYED, CandidateType.RELAYED, url="turn:example.org")
        elsewhere = RelaySnapshot(Address(RELAYED.host, 1), SERVER, Transport.UDP, Security.NONE)
        relays = (elsewhere, RelaySnapshot(RELAYED, SERVER, transport, security))
        found = told(agent(local=(ours,), relays=relays))[candidate_id("local", ours)]
        assert isinstance(found, dict)
        assert (found["relayProtocol"], found["url"]) == (word, "turn:example.org")

    def test_of_other_relays_and_of_lost_ones_that_is_not_known(self) -> None:
        kept = candidate(RELAYED, CandidateType.RELAYED)
        found = told(agent(local=(kept,), remote=(kept,)))
        for side in ("local", "remote"):
            each = found[candidate_id(side, kept)]
            assert isinstance(each, dict)
            assert "relayProtocol" not in each

    def test_those_that_no_description_told_are_there_too(self) -> None:
        ours, theirs = candidate(kind=CandidateType.PEER_REFLEXIVE), candidate(THEIRS, CandidateType.PEER_REFLEXIVE)
        found = told(agent(pairs=(pair(ours, theirs),)))
        assert {candidate_id("local", ours), candidate_id("remote", theirs)} < set(found)

    def test_ids_tell_candidates_apart_that_differ_in_transport_alone(self) -> None:
        assert candidate_id("local", candidate()) != candidate_id("local", candidate(tcp_type=TcpType.ACTIVE))
        assert candidate_id("local", candidate()) != candidate_id("remote", candidate())


class TestPair:
    def test_tells_its_candidates_state_and_counts(self) -> None:
        ours, theirs = candidate(), candidate(THEIRS)
        one = pair(ours, theirs, is_selected=True, last_sent=999.5, last_received=998.0)
        found = told(agent(local=(ours,), remote=(theirs,), pairs=(one,)))
        assert found[pair_id(one)] == {
            "type": "candidate-pair",
            "transportId": transport_id(1),
            "localCandidateId": candidate_id("local", ours),
            "remoteCandidateId": candidate_id("remote", theirs),
            "state": "succeeded",
            "nominated": True,
            "priority": 12345,
            "packetsSent": 20,
            "packetsReceived": 30,
            "bytesSent": 2000,
            "bytesReceived": 3000,
            "lastPacketSentTimestamp": MOMENT.timestamp - 500,
            "lastPacketReceivedTimestamp": MOMENT.timestamp - 2000,
            "currentRoundTripTime": 0.02,
            "totalRoundTripTime": 0.5,
            "requestsSent": 6,
            "consentRequestsSent": 4,
            "retransmissionsSent": 2,
            "responsesReceived": 9,
            "requestsReceived": 8,
            "responsesSent": 7,
        }

    def test_what_never_happened_has_no_time(self) -> None:
        found = told(agent(pairs=(pair(candidate(), candidate(THEIRS), rtt=None),)))["CP5"]
        assert isinstance(found, dict)
        absent = {"lastPacketSentTimestamp", "lastPacketReceivedTimestamp", "currentRoundTripTime"}
        assert not absent & set(found)

    def test_two_sessions_on_the_same_addresses_are_two_pairs(self) -> None:
        ours, theirs = candidate(), candidate(THEIRS)
        found = told(agent(pairs=(pair(ours, theirs, number=1), pair(ours, theirs, number=2))))
        assert {"CP1", "CP2"} < set(found)

    def test_every_state_has_a_word_of_w3c(self) -> None:
        assert set(PAIR_STATES) == set(PairState)
        assert set(PAIR_STATES.values()) == {"frozen", "waiting", "in-progress", "failed", "succeeded"}
