"""What the ICE RFCs demand of whole agents, and what is knowingly done otherwise (DEVIATIONS.md).

What a part answers for alone is pinned in tests/unit/ice; docs/requirements has every MUST and its test.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from icepath.entropy import IceCredentials, Secret, ice_credentials
from icepath.errors import Cause, InvalidState
from icepath.ice.config import AgentConfig, Role, Server
from icepath.ice.events import (
    CandidateGathered,
    DataReceived,
    PairSelected,
    RoleChanged,
    ServerFailed,
    State,
    StreamFailed,
)
from icepath.ice.nomination import nominate_best
from icepath.ice.pair import PairState
from icepath.machine import Close, Datagram, DropReason, LocalAddress, Resolve, Unreachable
from icepath.net import Address
from icepath.wire.attributes import (
    AlternateServer,
    ErrorCode,
    IceControlled,
    IceControlling,
    Priority,
    UseCandidate,
    Username,
    XorMappedAddress,
)
from icepath.wire.candidate_line import Foundation
from icepath.wire.integrity import short_term_key
from icepath.wire.message import MessageClass, Method, encode_message
from icepath.wire.uri import parse_server_uri
from machines.agents import (
    HALF,
    PLAIN,
    Sent,
    Side,
    Table,
    drops,
    gathered,
    is_gathered,
    pair_up,
    response,
    selected,
    transaction,
)

STUN = Address("203.0.113.5", 3478)
ELSEWHERE = Address("203.0.113.9", 3478)
STUN_SERVER = Server(parse_server_uri(f"stun:{STUN}"))
STRANGER = Address("203.0.113.66", 6666)
PATIENCE = PLAIN.patience


def fresh(seed: int = 1) -> IceCredentials:
    return ice_credentials(random.Random(f"fresh {seed}").randbytes)


def connected(settings: AgentConfig = PLAIN) -> tuple[Table, Side, Side]:
    table, a, b = pair_up(settings)
    table.run(2.0)
    assert a.state is b.state is State.COMPLETED
    return table, a, b


def two_hosts_against_one() -> tuple[Table, Side, Side]:
    """Seats an agent with two addresses, controlling, against one with one; introduced, nothing sent yet."""
    table = Table()
    a = table.sit("a", ["192.0.2.1", "192.0.2.2"], Role.CONTROLLING)
    b = table.sit("b", ["198.51.100.7"], Role.CONTROLLED)
    table.meet(a, b)
    return table, a, b


def is_nominating(sent: Sent) -> bool:
    return sent.message.get(UseCandidate) is not None


def tie_breakers(sent: list[Sent]) -> set[int]:
    found = [each.message.get(IceControlling) or each.message.get(IceControlled) for each in sent]
    return {each.tie_breaker for each in found if each is not None}


def check(
    remote: IceCredentials,
    own: IceCredentials,
    *,
    role: Role = Role.CONTROLLING,
    nominates: bool = False,
    fingerprint: bool = True,
    password: Secret | None = None,
) -> bytes:
    """Makes a check as the other agent would send it, from anywhere."""
    attributes = [
        Username(f"{remote.ufrag}:{own.ufrag}"),
        Priority(0x6E0001FF),
        IceControlling(1 << 63) if role is Role.CONTROLLING else IceControlled(1),
        *([UseCandidate()] if nominates else []),
    ]
    key = short_term_key(password or remote.password)
    return encode_message(
        Method.BINDING, MessageClass.REQUEST, transaction(7), attributes, key=key, fingerprint=fingerprint
    )


def code_of(sent: Sent) -> int | None:
    error = sent.message.get(ErrorCode)
    return None if error is None else error.code


class TestComponentsAndStreams:
    @pytest.mark.rfc("8445", "8.1.2")
    @pytest.mark.rfc("8445", "6.1.3")
    @pytest.mark.parametrize("components", [(1,), (2,), (1, 1), (2, 1), (3, 2, 1)])
    def test_each_component_of_each_stream_is_selected_once_and_carries_its_data(
        self, components: tuple[int, ...]
    ) -> None:
        table, a, b = connected(replace(PLAIN, components=components))
        places = [(stream, c) for stream, count in enumerate(components, 1) for c in range(1, count + 1)]
        assert sorted(selected(a)) == sorted(selected(b)) == places
        for stream, component in places:
            payload = b"%d %d" % (stream, component)
            a.agent.send(payload, stream=stream, component=component, now=table.now)
        table.settle(a)
        table.run(1.0)
        received = [(each.stream, each.component, each.payload) for each in b.of(DataReceived)]
        assert sorted(received) == [(stream, c, b"%d %d" % (stream, c)) for stream, c in places]

    @pytest.mark.rfc("8445", "6.1.2.6")
    @pytest.mark.rfc("8445", "7.2.5.3.3")
    def test_a_foundation_is_checked_once_until_that_check_succeeds(self) -> None:
        table, a, _ = pair_up(replace(PLAIN, components=(2, 1)))
        table.loses = lambda datagram: datagram.local.host == "198.51.100.7"
        table.run(0.4)
        assert {each.datagram.remote.port for each in a.requests()} == {4101}
        table.loses = lambda _: False
        table.run(2.0)
        assert {each.datagram.remote.port for each in a.requests()} == {4101, 4102, 4201}
        assert a.state is State.COMPLETED

    def test_a_component_that_only_one_side_has_fails_its_stream_when_patience_ends(self) -> None:
        table = Table()
        a = table.sit("a", ["192.0.2.1"], Role.CONTROLLING, replace(PLAIN, components=(2,)))
        b = table.sit("b", ["198.51.100.7"], Role.CONTROLLED)
        table.meet(a, b)
        table.run(2.0)
        assert selected(a) == selected(b) == [(1, 1)]
        table.run(60.0)
        assert a.of(StreamFailed) == [StreamFailed(1, Cause.NO_ANSWER)]

    def test_a_selected_component_that_is_lost_fails_its_stream_though_another_is_still_tried(self) -> None:
        table, a, _ = pair_up(replace(PLAIN, components=(2,)))
        table.loses = lambda datagram: 4102 in (datagram.local.port, datagram.remote.port)
        table.run(2.0)
        assert selected(a) == [(1, 1)]
        gone = a.local[0].address
        table.call(a, lambda agent, now: agent.remove_local_address(gone, now=now))
        assert table.now < 100.0 + PATIENCE
        assert a.state is State.FAILED


class TestRoles:
    @pytest.mark.rfc("8445", "7.3.1.1")
    @pytest.mark.parametrize("roles", [(Role.CONTROLLING,) * 2, (Role.CONTROLLED,) * 2])
    @pytest.mark.parametrize("components", [(1,), (2, 1)])
    def test_a_conflict_is_repaired_once_for_all_streams(
        self, roles: tuple[Role, Role], components: tuple[int, ...]
    ) -> None:
        table, a, b = pair_up(replace(PLAIN, components=components), roles=roles)
        table.run(3.0)
        assert a.state is b.state is State.COMPLETED
        assert {a.agent.snapshot().role, b.agent.snapshot().role} == set(Role)
        assert len(a.of(RoleChanged)) + len(b.of(RoleChanged)) == 1
        assert len(selected(a)) == len(selected(b)) == sum(components)

    @pytest.mark.rfc("8445", "6.1.1")
    @pytest.mark.rfc("8445", "9")
    def test_a_peer_that_takes_our_role_in_a_restart_has_its_way_or_gets_487(self) -> None:
        table, a, _ = connected()
        again = table.sit("b again", ["198.51.100.8"], Role.CONTROLLING)
        table.call(a, lambda agent, now: agent.restart(fresh(), now=now))
        assert a.agent.snapshot().role is Role.CONTROLLING
        table.meet(a, again)
        table.run(2.0)
        assert a.state is again.state is State.COMPLETED
        assert {a.agent.snapshot().role, again.agent.snapshot().role} == set(Role)

    @pytest.mark.rfc("8445", "16.1")
    def test_the_tie_breaker_is_one_for_all_streams_and_requests(self) -> None:
        table, a, b = connected(replace(PLAIN, components=(2, 1)))
        table.run(30.0)
        for side in (a, b):
            assert len(side.requests()) > 10
            assert len(tie_breakers(side.requests())) == 1

    @pytest.mark.rfc("8445", "16.1")
    @pytest.mark.rfc("8445", "7.2.5.1")
    def test_until_a_487_comes_and_then_it_is_another(self) -> None:
        table, a, b = pair_up(roles=(Role.CONTROLLING, Role.CONTROLLING))
        table.run(3.0)
        told = [side for side, other in ((a, b), (b, a)) if any(code_of(each) == 487 for each in other.sent)]
        assert len(told) == 1
        for side in (a, b):
            first, *_ = side.requests()
            assert (tie_breakers(side.requests()) != tie_breakers([first])) is (side in told)


class TestNomination:
    def test_a_nomination_that_fails_is_followed_by_that_of_another_valid_pair(self) -> None:
        table = Table()
        a = table.sit("a", ["192.0.2.1", "192.0.2.2"], Role.CONTROLLING, replace(PLAIN, nomination=nominate_best))
        b = table.sit("b", ["198.51.100.7"], Role.CONTROLLED)
        refused: list[Address] = []

        def refuses_the_first_nominated(datagram: Datagram) -> bool:
            sent = Sent(0.0, datagram)
            if (
                datagram.remote != b.local[0].address
                or not is_nominating(sent)
                or refused not in ([], [datagram.local])
            ):
                return False
            refused[:] = [datagram.local]
            answer = response(sent.message, [ErrorCode(500, "")], b.key, is_error=True)
            table.later(a, Datagram(datagram.local, datagram.remote, answer))
            return True

        table.loses = refuses_the_first_nominated
        table.meet(a, b)
        table.run(5.0)
        (pair,) = [event.pair for event in a.of(PairSelected)]
        assert [pair.local_base] != refused
        assert {each.datagram.local for each in a.requests() if is_nominating(each)} == {*refused, pair.local_base}
        assert a.of(StreamFailed) == []
        assert a.state is b.state is State.COMPLETED

    @pytest.mark.rfc("8445", "7.3.1.5")
    @pytest.mark.parametrize(("ufrag", "password", "code"), [("nobody", None, 401), (None, "x" * 24, 401)])
    def test_one_that_is_not_accepted_is_rejected_with_an_error(
        self, ufrag: str | None, password: str | None, code: int
    ) -> None:
        table, a, b = pair_up()
        ours = IceCredentials(ufrag or b.credentials.ufrag, Secret(password) if password else b.credentials.password)
        table.put(b, b.local[0].address, STRANGER, check(ours, a.credentials, nominates=True))
        assert code_of(b.sent[-1]) == code
        assert selected(b) == []

    @pytest.mark.rfc("8445", "12.1")
    @pytest.mark.rfc("8445", "8.1.1")
    def test_when_the_selected_pair_is_lost_no_other_is_used(self) -> None:
        table, a, _ = two_hosts_against_one()
        table.run(2.0)
        (pair,) = [event.pair for event in a.of(PairSelected)]
        assert any(each.is_valid and not each.is_selected for each in a.agent.snapshot().pairs)
        since = table.now
        table.call(a, lambda agent, now: agent.remove_local_address(pair.local_base, now=now))
        assert a.state is State.FAILED
        with pytest.raises(InvalidState):
            a.agent.send(b"x", now=table.now)
        table.run(60.0)
        assert a.requests(since=since) == []
        assert selected(a, since) == []


class TestData:
    @pytest.mark.rfc("8445", "12.2")
    @pytest.mark.rfc("8445", "5.3")
    def test_is_taken_from_a_pair_that_gave_way_to_the_nominated_one(self) -> None:
        table = Table()
        a = table.sit("a", ["192.0.2.1"], Role.CONTROLLING)
        b = table.sit("b", ["198.51.100.7", "198.51.100.8"], Role.CONTROLLED)
        second = b.local[1].address
        # b's checks from its second address are answered, ours to it are not: b may use what we have not validated.
        table.loses = lambda datagram: datagram.remote == second and Sent(0.0, datagram).is_of(MessageClass.REQUEST)
        table.meet(a, b)
        table.run(1.0)
        assert selected(a) == [(1, 1)]
        assert second not in {pair.remote_address for pair in a.agent.snapshot().pairs}
        table.put(a, a.local[0].address, second, b"on its way")
        assert [event.payload for event in a.of(DataReceived)] == [b"on its way"]

    @pytest.mark.rfc("8445", "5.3")
    @pytest.mark.rfc("8445", "7.3")
    def test_is_taken_before_the_remote_description_from_who_has_the_password(self) -> None:
        table = Table()
        a = table.sit("a", ["192.0.2.1"], Role.CONTROLLING)
        b = table.sit("b", ["198.51.100.7"], Role.CONTROLLED)
        table.introduce(a, b)
        table.run(1.0)
        assert (a.state, b.state) == (State.NEW, State.CONNECTED)
        table.call(b, lambda agent, now: agent.send(b"early", now=now))
        table.run(HALF)
        assert [event.payload for event in a.of(DataReceived)] == [b"early"]

    def test_of_an_address_that_has_not_proved_itself_is_dropped(self) -> None:
        table, a, b = pair_up()
        for remote in (STRANGER, b.local[0].address):
            table.put(a, a.local[0].address, remote, b"data")
            table.now += 1.0
        assert a.of(DataReceived) == []
        assert drops(a) == [DropReason.UNVALIDATED] * 2


class TestStun:
    @pytest.mark.rfc("8445", "7.3")
    @pytest.mark.rfc("8445", "5.1.1.2")
    def test_nobody_is_sent_to_an_alternate_server(self) -> None:
        table = Table()
        a = table.sit("a", ["192.0.2.1"], Role.CONTROLLING, replace(PLAIN, servers=(STUN_SERVER,)))
        (asked,) = a.requests(STUN)
        answer = response(asked.message, [ErrorCode(300, ""), AlternateServer(ELSEWHERE)], None, is_error=True)
        table.put(a, asked.datagram.local, STUN, answer)
        assert [event.code for event in a.of(ServerFailed)] == [300]
        b = table.sit("b", ["198.51.100.7"], Role.CONTROLLED)
        table.loses = lambda _: True
        table.meet(a, b)
        table.run(0.1)
        (asked,) = a.requests(b.local[0].address)
        answer = response(asked.message, [ErrorCode(300, ""), AlternateServer(ELSEWHERE)], b.key, is_error=True)
        table.put(a, asked.datagram.local, b.local[0].address, answer)
        assert [pair.state for pair in a.agent.snapshot().pairs] == [PairState.FAILED]
        table.run(2.0)
        assert a.requests(ELSEWHERE) == []

    @pytest.mark.rfc("8445", "7.3")
    @pytest.mark.rfc("8445", "7.2.4")
    def test_a_check_of_rfc_3489_is_not_answered(self) -> None:
        table, a, b = pair_up()
        old = bytearray(check(b.credentials, a.credentials))
        old[4:8] = b"\x00\x00\x00\x01"
        before = len(b.sent)
        table.put(b, b.local[0].address, STRANGER, bytes(old))
        assert len(b.sent) == before

    def test_a_check_without_fingerprint_is_answered_like_others(self) -> None:
        table, a, b = pair_up()
        table.put(b, b.local[0].address, STRANGER, check(b.credentials, a.credentials, fingerprint=False))
        assert b.sent[-1].datagram.remote == STRANGER
        assert b.sent[-1].is_of(MessageClass.SUCCESS)

    def test_keepalives_to_servers_consent_checks_and_refreshes_take_no_slot(self) -> None:
        table = Table()
        a = table.sit("a", ["192.0.2.1", "192.0.2.2"], Role.CONTROLLING, replace(PLAIN, servers=(STUN_SERVER,)))
        for number, asked in enumerate(wait_for_asks(table, a, 2)):
            mapped = XorMappedAddress(Address("203.0.113.77", 50000 + number))
            table.put(a, asked.datagram.local, STUN, response(asked.message, [mapped], None))
        since = table.now
        table.run(20.0)
        first, second = a.requests(STUN, since)
        assert first.at == second.at


def wait_for_asks(table: Table, side: Side, count: int) -> list[Sent]:
    table.run(0.1)
    asks = side.requests(STUN)
    assert len(asks) == count
    return asks


class TestTrickle:
    @pytest.mark.rfc("8838", "3")
    @pytest.mark.rfc("8445", "10")
    def test_every_stream_announces_trickle_and_ice2(self) -> None:
        _, a, _ = pair_up(replace(PLAIN, components=(1, 2, 1)))
        assert [set(told.options) for told in a.agent.snapshot().local] == [{"trickle", "ice2"}] * 3

    @pytest.mark.rfc("8838", "5")
    def test_a_side_that_does_not_announce_it_may_tell_all_at_once(self) -> None:
        table = Table()
        a = table.sit("a", ["192.0.2.1"], Role.CONTROLLING)
        b = table.sit("b", ["198.51.100.7"], Role.CONTROLLED)
        told = replace(b.agent.snapshot().local[0], options=(), end_of_candidates=False)
        table.call(a, lambda agent, now: agent.set_remote_description(told, now=now))
        table.introduce(a, b)
        table.run(1.0)
        assert a.state is b.state is State.COMPLETED

    def test_candidates_of_a_side_that_does_not_announce_it_are_taken_all_the_same(self) -> None:
        table = Table()
        a = table.sit("a", ["192.0.2.1"], Role.CONTROLLING)
        b = table.sit("b", ["198.51.100.7"], Role.CONTROLLED)
        told = replace(b.agent.snapshot().local[0], options=(), candidates=(), end_of_candidates=False)
        table.call(a, lambda agent, now: agent.set_remote_description(told, now=now))
        table.call(a, lambda agent, now: agent.add_remote_candidate(gathered(b)[0], now=now))
        assert [pair.remote_address for pair in a.agent.snapshot().pairs] == [b.local[0].address]

    @pytest.mark.rfc("8838", "8")
    @pytest.mark.rfc("8863", "5")
    def test_a_side_that_never_ends_its_candidates_is_waited_for_as_long_as_patience_lasts(self) -> None:
        table = Table()
        a = table.sit("a", ["192.0.2.1"], Role.CONTROLLING)
        b = table.sit("b", ["198.51.100.7"], Role.CONTROLLED)
        told = replace(b.agent.snapshot().local[0], candidates=(), end_of_candidates=False)
        table.call(a, lambda agent, now: agent.set_remote_description(told, now=now))
        table.run(PATIENCE - 0.1)
        assert a.of(StreamFailed) == []
        table.run(0.2)
        assert a.of(StreamFailed) == [StreamFailed(1, Cause.NO_REMOTE_CANDIDATES)]

    def test_candidates_found_after_the_end_or_after_completion_are_reported_and_the_end_again(self) -> None:
        table, a, _ = connected()
        since, late = table.now, LocalAddress(Address("192.0.2.3", 4000))
        assert is_gathered(a)
        table.call(a, lambda agent, now: agent.add_local_address(late, now=now))
        assert [event.candidate.address for event in a.of(CandidateGathered, since)] == [late.address]
        assert is_gathered(a, since)
        assert not [pair for pair in a.agent.snapshot().pairs if pair.local_base == late.address]

    @pytest.mark.rfc("8445", "8.1.2")
    def test_a_remote_candidate_after_completion_is_kept_and_not_checked(self) -> None:
        table, a, b = pair_up()
        table = Table()
        a = table.sit("a", ["192.0.2.1"], Role.CONTROLLING)
        b = table.sit("b", ["198.51.100.7"], Role.CONTROLLED)
        told = replace(b.agent.snapshot().local[0], end_of_candidates=False)
        table.call(a, lambda agent, now: agent.set_remote_description(told, now=now))
        table.introduce(a, b)
        table.run(1.0)
        assert a.state is State.COMPLETED
        late = replace(gathered(b)[0], host="198.51.100.99", foundation=Foundation("99"))
        table.call(a, lambda agent, now: agent.add_remote_candidate(late, now=now))
        table.run(10.0)
        remote = a.agent.snapshot().remote[0]
        assert remote is not None
        assert late in remote.candidates
        assert a.requests(late.address) == []

    def test_an_ipv4_address_alone_has_the_second_highest_preference(self) -> None:
        _, a, _ = pair_up()
        assert gathered(a)[0].priority >> 8 & 0xFFFF == 65534


class TestRestarts:
    @pytest.mark.rfc("8445", "9")
    @pytest.mark.rfc("7675", "5.1")
    def test_of_one_side_only_changes_nothing_for_the_pair_in_use(self) -> None:
        table, a, b = connected()
        table.call(a, lambda agent, now: agent.restart(fresh(), now=now))
        table.run(100.0)
        assert (a.state, b.state) == (State.CONNECTED, State.COMPLETED)
        table.call(a, lambda agent, now: agent.send(b"from a", now=now))
        table.call(b, lambda agent, now: agent.send(b"from b", now=now))
        table.run(1.0)
        assert [event.payload for side in (a, b) for event in side.of(DataReceived)] == [b"from b", b"from a"]

    @pytest.mark.rfc("8445", "9")
    def test_of_one_stream_leaves_the_others_alone(self) -> None:
        table, a, b = connected(replace(PLAIN, components=(1, 2)))
        since = table.now
        table.call(a, lambda agent, now: agent.restart(fresh(1), stream=2, now=now))
        table.call(b, lambda agent, now: agent.restart(fresh(2), stream=2, now=now))
        table.introduce(a, b, streams=[2])
        table.introduce(b, a, streams=[2])
        table.run(3.0)
        assert a.state is b.state is State.COMPLETED
        assert sorted(selected(a, since)) == sorted(selected(b, since)) == [(2, 1), (2, 2)]
        assert {event.stream for event in a.of(CandidateGathered, since)} == {2}

    @pytest.mark.rfc("8445", "9")
    def test_a_new_description_without_a_restart_here_is_refused(self) -> None:
        table, a, b = connected()
        table.call(b, lambda agent, now: agent.restart(fresh(), now=now))
        with pytest.raises(InvalidState, match="restart"):
            table.introduce(b, a)
        table.run(10.0)
        assert a.state is State.COMPLETED


class TestHostileSignalling:
    def test_candidates_before_the_description_and_everything_twice(self) -> None:
        table = Table()
        a = table.sit("a", ["192.0.2.1"], Role.CONTROLLING)
        b = table.sit("b", ["198.51.100.7"], Role.CONTROLLED)
        for _ in range(2):
            table.call(a, lambda agent, now: agent.add_remote_candidate(gathered(b)[0], now=now))
        table.introduce(a, b)
        table.run(5.0)
        for _ in range(2):
            table.introduce(b, a)
        assert len(a.agent.snapshot().pairs) == 1
        table.run(0.3)
        assert a.state is b.state is State.COMPLETED

    def test_ten_thousand_candidates_are_no_more_than_the_limit(self) -> None:
        table = Table()
        a = table.sit("a", ["192.0.2.1"], Role.CONTROLLING)
        b = table.sit("b", ["198.51.100.7"], Role.CONTROLLED)
        told = b.agent.snapshot().local[0]
        first = told.candidates[0]
        many = [replace(first, host=f"10.{n >> 8}.{n & 255}.1", foundation=Foundation(str(n))) for n in range(10_000)]
        description = replace(told, candidates=(first, *many))
        table.call(a, lambda agent, now: agent.set_remote_description(description, now=now))
        assert len(a.agent.snapshot().pairs) == PLAIN.max_remote_candidates
        assert DropReason.LIMIT in drops(a)
        table.introduce(a, b)
        table.run(2.0)
        assert a.state is b.state is State.COMPLETED

    @pytest.mark.parametrize("answers", [None, (), ("198.51.100.7",)])
    def test_a_name_costs_its_own_candidate_at_most(self, answers: tuple[str, ...] | None) -> None:
        table = Table()
        if answers is not None:
            table.names["b.local"] = answers
        a = table.sit("a", ["192.0.2.1"], Role.CONTROLLING)
        b = table.sit("b", ["198.51.100.7"], Role.CONTROLLED)
        told = b.agent.snapshot().local[0]
        named = replace(told, candidates=(replace(told.candidates[0], host="b.local"),))
        table.call(a, lambda agent, now: agent.set_remote_description(named, now=now))
        table.introduce(a, b)
        table.run(2.0)  # b's own checks are enough
        assert a.state is b.state is State.COMPLETED

    def test_a_name_of_a_server_under_resolution_delays_the_end_of_gathering_alone(self) -> None:
        servers = (Server(parse_server_uri("stun:stun.example.org")),)
        table, a, b = pair_up(replace(PLAIN, servers=servers))
        table.run(2.0)
        assert a.state is b.state is State.COMPLETED
        assert not is_gathered(a)
        asked = [command for command in a.commands if isinstance(command, Resolve)]
        table.call(a, lambda agent, now: agent.close(now=now))
        assert [command for command in a.commands if isinstance(command, Close)] == [Close(asked[0].handle)]

    @pytest.mark.rfc("8445", "7.2.5.2.2")
    @pytest.mark.rfc("7675", "5.2")
    def test_icmp_errors_fail_what_never_worked_and_nothing_else(self) -> None:
        table, a, b = pair_up()
        table.loses = lambda _: True
        table.run(0.2)
        local, remote = a.local[0].address, b.local[0].address
        table.later(a, Unreachable(local, remote, 3, 3))
        table.run(0.1)
        assert [pair.state for pair in a.agent.snapshot().pairs] == [PairState.FAILED]
        table.loses = lambda _: False
        table.run(10.0)
        assert a.state is b.state is State.COMPLETED
        table.later(a, Unreachable(local, remote, 3, 3))
        table.run(60.0)
        assert a.state is b.state is State.COMPLETED

    def test_a_request_of_ours_that_comes_back_teaches_nothing(self) -> None:
        table, a, b = pair_up()
        table.run(0.01)
        (request, *_) = a.requests(b.local[0].address)
        table.put(a, a.local[0].address, STRANGER, request.datagram.payload)
        assert STRANGER not in {pair.remote_address for pair in a.agent.snapshot().pairs}
        assert code_of(a.sent[-1]) == 401

    def test_a_recorded_check_from_elsewhere_makes_no_path_of_its_own(self) -> None:
        table, a, b = pair_up()
        table.run(0.1)
        (request, *_) = a.requests(b.local[0].address)
        table.put(b, b.local[0].address, STRANGER, request.datagram.payload)
        table.run(60.0)
        assert [event.pair.remote_address for event in b.of(PairSelected)] == [a.local[0].address]
        assert STRANGER not in {pair.remote_address for pair in b.agent.snapshot().pairs if pair.is_valid}
