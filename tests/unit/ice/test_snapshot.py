from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.entropy import IceCredentials, Secret
from icepath.errors import Cause
from icepath.ice.candidate import LocalCandidate
from icepath.ice.config import AgentConfig, Role
from icepath.ice.events import AgentSnapshot, ComponentSnapshot, RelaySnapshot, State
from icepath.ice.pair import PairState
from icepath.ice.restart import restart_stream
from icepath.ice.snapshot import agent_snapshot, local_description, pair_snapshot, remote_description
from icepath.machine import Security, Transport
from icepath.net import Address
from icepath.wire.candidate_line import CandidateType
from icepath.wire.fragment import Description
from unit.ice.builders import HOST, MAPPED, OWN, RELAYED, REMOTE, SERVER, THEIRS, Bench, candidate, config
from unit.ice.tcp_table import TcpTable

NEW = IceCredentials("newufrag", Secret("new-password-of-24-charss"))


def bench(settings: AgentConfig | None = None) -> Bench:
    table = Bench(settings)
    table.add_host()
    return table


def picture(table: Bench) -> AgentSnapshot:
    return agent_snapshot(table.core, state=State.CHECKING, cause=Cause.NO_ANSWER, is_done=True)


class TestPair:
    def test_shows_what_became_of_it(self) -> None:
        table = bench()
        table.meet(candidate())
        (pair,) = table.generation().checklist.pairs.values()
        before = pair_snapshot(table.core, pair)
        assert (before.is_valid, before.is_nominated, before.is_selected) == (False, False, False)
        assert (before.state, before.consent_until, before.rtt) == (PairState.WAITING, None, None)
        table.outgoing.send(table.generation(), pair, now=0.0)
        check = table.check_of(pair)
        match = table.answer_check(pair, mapped=MAPPED, now=0.25)
        table.outgoing.on_response(table.generation(), check, match, now=0.25)
        table.consent.grant(pair, now=0.25)
        counts = pair.counts
        counts.retransmissions_sent, counts.requests_received, counts.responses_sent = 4, 5, 6
        counts.consent_requests_sent, counts.last_sent, counts.last_received = 1, 0.5, 0.6
        counts.datagrams_received, counts.octets_received, counts.datagrams_sent, counts.octets_sent = 1, 20, 3, 40
        table.conclusion.on_nominated(table.core.streams[1], table.generation(), pair, now=0.3)
        table.conclusion.update(now=0.3)
        after = pair_snapshot(table.core, pair)
        assert (after.is_valid, after.is_nominated, after.is_selected) == (True, True, True)
        assert (after.local.type, after.local.address) == (CandidateType.PEER_REFLEXIVE, MAPPED)
        assert (after.local_base, after.remote_address, after.remote) == (HOST, REMOTE, candidate())
        assert (after.rtt, after.rtt_total, after.consent_until) == (0.25, 0.25, 30.25)
        assert (after.requests_sent, after.responses_received) == (1, 1)
        assert (after.retransmissions_sent, after.requests_received, after.responses_sent) == (4, 5, 6)
        assert (after.stream, after.component, after.priority, after.id) == (1, 1, pair.priority, pair.id)
        assert (after.consent_requests_sent, after.last_sent, after.last_received) == (1, 0.5, 0.6)
        assert (after.datagrams_received, after.octets_received) == (1, 20)
        assert (after.datagrams_sent, after.octets_sent) == (3, 40)


class TestLocalDescription:
    @pytest.mark.rfc("8445", "5.3")
    @pytest.mark.rfc("8445", "10")
    def test_tells_credentials_candidates_and_options(self) -> None:
        table = bench()
        told = local_description(table.core, table.core.streams[1], is_done=False)
        assert (told.ufrag, told.password) == (OWN.ufrag, OWN.password)
        assert [each.address for each in told.candidates] == [HOST]
        assert set(told.options) == {"ice2", "trickle"}
        assert not told.end_of_candidates

    @pytest.mark.rfc("renomination", "3.2")
    def test_tells_both_forms_of_renomination_where_it_is_offered(self) -> None:
        table = bench(replace(config(), renomination=True))
        told = local_description(table.core, table.core.streams[1], is_done=False)
        assert set(told.options) == {"ice2", "trickle", "renomination2", "renomination"}

    @pytest.mark.rfc("8445", "14.2")
    @pytest.mark.parametrize(("pacing", "told"), [(0.005, 5), (0.050, 50), (0.0204, 20)])
    def test_tells_the_pacing_proposed(self, pacing: float, told: int) -> None:
        table = bench(replace(config(), pacing=pacing))
        assert local_description(table.core, table.core.streams[1], is_done=False).pacing == told

    @pytest.mark.rfc("8838", "13")
    def test_tells_the_end_of_candidates_when_gathering_is_done(self) -> None:
        table = bench()
        assert local_description(table.core, table.core.streams[1], is_done=True).end_of_candidates

    def test_keeps_what_was_learnt_to_itself(self) -> None:
        table = bench()
        learnt = candidate(MAPPED, CandidateType.PEER_REFLEXIVE)
        table.generation().candidates[MAPPED, 1] = LocalCandidate(learnt, HOST)
        told = local_description(table.core, table.core.streams[1], is_done=True)
        assert [each.type for each in told.candidates] == [CandidateType.HOST]


class TestRemoteDescription:
    def test_is_none_before_it_was_told(self) -> None:
        assert remote_description(bench().core.streams[1]) is None

    def test_is_what_was_told(self) -> None:
        table = bench()
        told = Description(THEIRS.ufrag, THEIRS.password, (candidate(),), ("ice2",), True, pacing=30, lite=True)
        table.remote_side.set_description(table.core.streams[1], told, now=0.0)
        assert remote_description(table.core.streams[1]) == told


class TestAgent:
    def test_shows_every_stream_and_what_was_carried(self) -> None:
        table = Bench(replace(config(Role.CONTROLLED), components=(1, 1)))
        table.add_host()
        table.add_host(Address("192.0.2.1", 4002), stream=2)
        table.meet(candidate(), stream=2)
        core = table.core
        (pair,) = table.generation(2).checklist.pairs.values()
        counts, besides = pair.counts, core.counts_besides(1, 1)
        counts.datagrams_received, counts.octets_received, counts.datagrams_sent, counts.octets_sent = 1, 20, 3, 40
        besides.datagrams_received, besides.octets_received, besides.datagrams_sent, besides.octets_sent = 5, 6, 7, 8
        core.streams[2].count_change(1, pair.id)
        seen = picture(table)
        assert (seen.role, seen.state, seen.cause) == (Role.CONTROLLED, State.CHECKING, Cause.NO_ANSWER)
        assert [each.candidates[0].port for each in seen.local] == [4000, 4002]
        assert [each.end_of_candidates for each in seen.local] == [True, True]
        assert [each is None for each in seen.remote] == [True, False]
        assert [(pair.stream, pair.remote_address) for pair in seen.pairs] == [(2, REMOTE)]
        traffic = (seen.datagrams_received, seen.octets_received, seen.datagrams_sent, seen.octets_sent)
        assert traffic == (6, 26, 10, 48)
        assert seen.components == (ComponentSnapshot(1, 1, 7, 8, 5, 6, 0), ComponentSnapshot(2, 1, 3, 40, 1, 20, 1))
        assert seen.relays == ()

    def test_shows_how_each_relayed_address_is_reached(self) -> None:
        table = bench()
        table.add_relay()
        assert picture(table).relays == (RelaySnapshot(RELAYED, SERVER, Transport.UDP, Security.NONE),)

    def test_during_a_restart_it_shows_the_pairs_of_both_sessions(self) -> None:
        table = bench()
        table.meet(candidate())
        (old,) = table.generation().checklist.pairs.values()
        table.make_valid(old)
        restart_stream(table.core, table.consent, table.gatherer, table.core.streams[1], NEW, now=1.0)
        table.meet(candidate())
        seen = picture(table)
        assert [pair.is_valid for pair in seen.pairs] == [False, True]
        assert [each.ufrag for each in seen.local] == [NEW.ufrag]

    def test_is_a_picture_that_does_not_change(self) -> None:
        table = bench()
        table.meet(candidate())
        (pair,) = table.generation().checklist.pairs.values()
        seen = picture(table)
        table.make_valid(pair)
        assert not seen.pairs[0].is_valid
        assert picture(table).pairs[0].is_valid


@pytest.mark.rfc("8828", "5.2")
def test_a_description_leaves_out_hosts_that_are_not_told() -> None:
    table = bench(replace(config(), tell_hosts=False))
    assert local_description(table.core, table.core.streams[1], is_done=True).candidates == ()


@pytest.mark.rfc("sped", "5.1")
def test_a_description_tells_that_packets_may_ride_on_checks() -> None:
    table = bench(replace(config(), sped=True))
    assert "sped" in local_description(table.core, table.core.streams[1], is_done=True).options


def test_a_pair_over_tcp_is_shown_with_plain_addresses() -> None:
    table = TcpTable()
    table.connect_over_tcp()
    (pair,) = table.agent.snapshot().pairs
    assert (pair.local_base, pair.remote_address) == (HOST, REMOTE)
