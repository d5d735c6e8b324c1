from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.entropy import IceCredentials, Secret
from icepath.errors import InvalidArgument, InvalidState
from icepath.ice.candidate import LEARNT_FOUNDATION
from icepath.ice.config import Role
from icepath.ice.core import TimerKey, TimerKind
from icepath.ice.events import RoleChanged
from icepath.ice.nat64 import WELL_KNOWN_PREFIX, Prefix
from icepath.ice.pacer import MAX_PACING
from icepath.ice.pair import PairKey, PairState
from icepath.ice.pairing import permit_remotes
from icepath.ice.remote import MAX_NAMES
from icepath.ice.restart import restart_stream
from icepath.ice.stream import EarlyCheck
from icepath.machine import (
    DatagramDropped,
    DropReason,
    Failed,
    FailReason,
    Handle,
    Resolve,
    Resolved,
    ResolvedAddress,
    Security,
    Transport,
)
from icepath.net import Address
from icepath.wire.candidate_line import Candidate, CandidateType
from icepath.wire.fragment import Description
from unit.ice.agent_table import Table
from unit.ice.builders import (
    HOST,
    OWN,
    REMOTE,
    THEIRS,
    Bench,
    candidate,
    check_from_remote,
    config,
    named_candidate,
)
from unit.ice.tcp_table import TcpTable, tcp_candidate

OTHER = Address("198.51.100.8", 5001)
SECOND_HOST = Address("192.0.2.1", 4002)
NEW = IceCredentials("newufrag", Secret("new-password-of-24-charss"))


def description(*candidates: Candidate, credentials: IceCredentials = THEIRS, **changes: object) -> Description:
    made = Description(credentials.ufrag, credentials.password, candidates=candidates, pacing=20)
    return replace(made, **changes)  # type: ignore[arg-type]  # names are checked by the dataclass


def bench(role: Role = Role.CONTROLLING, **changes: object) -> Bench:
    table = Bench(replace(config(role), **changes))  # type: ignore[arg-type]  # names are checked by the dataclass
    table.add_host()
    table.take()
    return table


def tell(table: Bench, told: Description, *, now: float = 2.0) -> None:
    table.remote_side.set_description(table.core.streams[1], told, now=now)


def add(table: Bench, told: Candidate, *, now: float = 3.0) -> None:
    table.remote_side.add_candidate(table.core.streams[1], told, now=now)


def paths(table: Bench) -> set[PairKey]:
    return set(table.generation().checklist.pairs)


def dropped(table: Bench) -> list[DropReason]:
    return [event.reason for event in table.events(DatagramDropped)]


def answer(handle: Handle, *hosts: str) -> Resolved:
    found = tuple(ResolvedAddress(Transport.UDP, Security.NONE, Address(host, 0)) for host in hosts)
    return Resolved(handle, found)


class TestDescription:
    def test_is_taken_in_with_its_candidates(self) -> None:
        table = bench()
        told = description(candidate(), candidate(OTHER), options=("ice2", "trickle"))
        tell(table, told)
        generation = table.generation()
        assert generation.remote is not None
        assert (generation.remote.ufrag, generation.remote.password) == (THEIRS.ufrag, THEIRS.password)
        assert (generation.remote.options, generation.remote.pacing) == (("ice2", "trickle"), 20)
        assert set(generation.remote_candidates) == {(REMOTE, 1), (OTHER, 1)}
        assert paths(table) == {PairKey(HOST, REMOTE), PairKey(HOST, OTHER)}
        assert not generation.remote_ended

    @pytest.mark.rfc("8863", "4")
    def test_patience_begins_with_it_whether_or_not_there_are_candidates(self) -> None:
        table = Bench()
        tell(table, description(), now=2.0)
        assert table.generation().started == 2.0
        assert table.core.timers.deadline(TimerKey(TimerKind.PATIENCE, 1)) == 2.0 + 39.5

    @pytest.mark.rfc("8445", "14.2")
    @pytest.mark.parametrize(
        ("own", "told", "agreed"),
        [(0.005, 20, 0.020), (0.040, 20, 0.040), (0.005, None, 0.050), (0.005, 10**9, MAX_PACING)],
    )
    def test_the_higher_pacing_holds(self, own: float, told: int | None, agreed: float) -> None:
        table = bench(pacing=own)
        tell(table, description(pacing=told))
        assert table.core.pacer.interval == agreed

    @pytest.mark.rfc("8445", "14.2")
    @pytest.mark.parametrize(("first", "second"), [(20, 10), (10, 20), (None, 10), (10, None)])
    def test_the_highest_pacing_of_all_streams_holds(self, first: int | None, second: int | None) -> None:
        table = Bench(replace(config(), components=(1, 1)))
        for stream, told in ((1, first), (2, second)):
            table.remote_side.set_description(table.core.streams[stream], description(pacing=told), now=0.0)
        assert table.core.pacer.interval == (0.050 if None in (first, second) else 0.020)

    @pytest.mark.rfc("8445", "6.1.1")
    @pytest.mark.parametrize("role", list(Role))
    def test_with_a_lite_agent_a_full_one_is_controlling(self, role: Role) -> None:
        table = bench(role)
        tell(table, description(lite=True))
        assert table.core.role is Role.CONTROLLING
        assert bool(table.events(RoleChanged)) is (role is Role.CONTROLLED)

    @pytest.mark.rfc("8445", "6.1.1")
    @pytest.mark.parametrize("role", list(Role))
    def test_with_a_full_agent_the_role_stays(self, role: Role) -> None:
        table = bench(role)
        tell(table, description())
        assert table.core.role is role

    @pytest.mark.rfc("8838", "14")
    def test_may_tell_the_end_of_candidates_and_its_own_still_count(self) -> None:
        table = bench()
        tell(table, description(candidate(), end_of_candidates=True))
        assert table.generation().remote_ended
        assert paths(table) == {PairKey(HOST, REMOTE)}

    def test_told_again_it_may_bring_more_candidates(self) -> None:
        table = bench()
        tell(table, description(candidate()))
        tell(table, description(candidate(), candidate(OTHER)), now=9.0)
        assert paths(table) == {PairKey(HOST, REMOTE), PairKey(HOST, OTHER)}
        assert table.generation().started == 2.0

    @pytest.mark.rfc("8445", "9")
    @pytest.mark.parametrize(
        "other", [NEW, IceCredentials(THEIRS.ufrag, NEW.password), IceCredentials(NEW.ufrag, THEIRS.password)]
    )
    def test_of_another_session_it_needs_a_restart_here_too(self, other: IceCredentials) -> None:
        table = bench()
        tell(table, description(candidate()))
        with pytest.raises(InvalidState, match=r"restart\(\)"):
            tell(table, description(candidate(OTHER), credentials=other))
        assert paths(table) == {PairKey(HOST, REMOTE)}

    def test_of_the_session_before_a_restart_it_changes_nothing(self) -> None:
        table = bench()
        tell(table, description(candidate()))
        restart_stream(table.core, table.consent, table.gatherer, table.core.streams[1], NEW, now=1.5)
        tell(table, description(candidate(OTHER)))
        assert table.generation().remote is None
        assert not table.generation().remote_candidates

    @pytest.mark.parametrize(
        ("ufrag", "password"), [("abc", THEIRS.password), ("no spaces", THEIRS.password), ("ufrag", Secret("short"))]
    )
    def test_with_unlawful_credentials_it_is_refused_and_nothing_changed(self, ufrag: str, password: Secret) -> None:
        table = bench(Role.CONTROLLED)
        with pytest.raises(InvalidArgument):
            tell(table, description(candidate(), ufrag=ufrag, password=password, lite=True))
        assert table.generation().remote is None
        assert table.core.role is Role.CONTROLLED
        assert table.core.timers.next_deadline() is None

    @pytest.mark.rfc("8445", "7.3")
    def test_checks_that_came_before_it_are_followed_up(self) -> None:
        table = bench(Role.CONTROLLED)
        socket = table.core.sockets[HOST]
        for number, remote in enumerate((REMOTE, OTHER)):
            message = check_from_remote(role=Role.CONTROLLING, use_candidate=number == 1, number=number)
            table.incoming.on_request(socket, remote, message, now=1.0)
        stranger = check_from_remote(role=Role.CONTROLLING, username=f"{OWN.ufrag}:forked")
        table.incoming.on_request(socket, Address("198.51.100.9", 1), stranger, now=1.0)
        learnt = table.remote_side.set_description(table.core.streams[1], description(candidate()), now=2.0)
        assert [each.pair.remote_address for each in learnt] == [REMOTE, OTHER]
        assert [each.pair.remote.type for each in learnt] == [CandidateType.HOST, CandidateType.PEER_REFLEXIVE]
        assert [each.pair.nominate_on_success for each in learnt] == [False, True]
        assert list(table.generation().checklist.triggered) == [each.pair for each in learnt]
        assert table.generation().early_checks == []

    @pytest.mark.rfc("8445", "7.3.1.3")
    def test_told_again_it_pairs_no_learnt_candidate_with_other_bases(self) -> None:
        table = bench()
        tell(table, description())
        table.incoming.on_request(table.core.sockets[HOST], REMOTE, check_from_remote(), now=2.5)
        table.add_host(SECOND_HOST)
        tell(table, description(candidate(OTHER)))
        assert paths(table) == {PairKey(HOST, REMOTE), PairKey(HOST, OTHER), PairKey(SECOND_HOST, OTHER)}


class TestTrickled:
    @pytest.mark.rfc("8838", "11")
    def test_a_candidate_is_paired_with_every_base_of_its_component(self) -> None:
        table = bench(components=(2,))
        table.add_host(SECOND_HOST)
        table.add_host(Address("192.0.2.1", 4003), component=2)
        tell(table, description())
        add(table, candidate())
        assert paths(table) == {PairKey(HOST, REMOTE), PairKey(SECOND_HOST, REMOTE)}

    @pytest.mark.rfc("8838", "11")
    def test_without_a_local_candidate_it_is_kept(self) -> None:
        table = Bench()
        tell(table, description())
        add(table, candidate())
        assert not paths(table)
        table.add_host()
        assert paths(table) == {PairKey(HOST, REMOTE)}

    @pytest.mark.rfc("8838", "14")
    def test_after_the_end_of_candidates_it_is_ignored(self) -> None:
        table = bench()
        tell(table, description(end_of_candidates=True))
        add(table, candidate())
        assert not table.generation().remote_candidates
        assert dropped(table) == [DropReason.BAD_CANDIDATE]

    def test_before_the_description_it_waits_for_it(self) -> None:
        table = bench()
        add(table, candidate())
        add(table, candidate(OTHER, ufrag=THEIRS.ufrag))
        add(table, candidate(Address("198.51.100.9", 1), ufrag="of-another-session"))
        assert not paths(table)
        tell(table, description())
        assert paths(table) == {PairKey(HOST, REMOTE), PairKey(HOST, OTHER)}
        assert set(table.generation().remote_candidates) == {(REMOTE, 1), (OTHER, 1)}

    def test_of_another_session_it_is_ignored(self) -> None:
        table = bench()
        tell(table, description())
        add(table, candidate(ufrag="of-another-session"))
        add(table, candidate(OTHER, ufrag=THEIRS.ufrag))
        assert paths(table) == {PairKey(HOST, OTHER)}
        assert dropped(table) == [DropReason.BAD_CANDIDATE]

    @pytest.mark.parametrize(
        "useless",
        [
            replace(candidate(), transport=Transport.TCP),
            candidate(component=2),
            candidate(Address("198.51.100.7", 0)),
            candidate(Address("224.0.0.1", 5000)),
            candidate(Address("0.0.0.0", 5000)),
        ],
    )
    def test_what_cannot_be_used_is_counted_and_dropped(self, useless: Candidate) -> None:
        table = bench()
        tell(table, description())
        add(table, useless)
        assert dropped(table) == [DropReason.BAD_CANDIDATE]
        assert not table.generation().remote_candidates
        assert not paths(table)

    @pytest.mark.rfc("8445", "6.1.2.4")
    def test_told_twice_it_counts_once(self) -> None:
        table = bench()
        tell(table, description())
        for priority in (100, 200):
            add(table, candidate(priority=priority))
        assert [each.priority for each in table.generation().remote_candidates.values()] == [100]
        assert len(paths(table)) == 1
        assert dropped(table) == []

    def test_there_is_a_limit(self) -> None:
        table = bench(max_remote_candidates=1)
        tell(table, description(candidate()))
        add(table, candidate(OTHER))
        assert dropped(table) == [DropReason.LIMIT]
        assert paths(table) == {PairKey(HOST, REMOTE)}

    @pytest.mark.rfc("8445", "7.3.1.3")
    def test_a_learnt_candidate_becomes_what_the_remote_says_it_is(self) -> None:
        table = bench(max_remote_candidates=1)
        tell(table, description())
        message = check_from_remote(priority=77)
        learnt = table.incoming.on_request(table.core.sockets[HOST], REMOTE, message, now=2.5)
        assert learnt is not None
        before = learnt.pair.priority
        other = table.make_pair(table.core.sockets[HOST], candidate(OTHER))
        told = candidate(kind=CandidateType.SERVER_REFLEXIVE, foundation="9")
        add(table, told)
        assert table.generation().remote_candidates[REMOTE, 1] == told
        assert learnt.pair.remote == told
        assert learnt.pair.priority > before
        assert learnt.pair.foundation == (learnt.pair.local.candidate.foundation, "9")
        assert other.remote.foundation == "1"
        assert set(table.generation().checklist.pairs.values()) == {learnt.pair, other}

    @pytest.mark.rfc("8445", "7.2.1")
    def test_the_streams_relays_may_hear_it(self) -> None:
        table = bench()
        relay = table.add_relay()
        tell(table, description(candidate()))
        permit_remotes(table.core, now=1.0)
        table.run_relay(relay, now=2.1)
        assert relay.allocation.is_permitted(REMOTE.host)


class TestNames:
    def ask(self, table: Bench, told: Candidate) -> Handle:
        add(table, told)
        (resolve,) = [output for output in table.take() if isinstance(output, Resolve)]
        assert resolve.what == told.host
        return resolve.handle

    def test_a_name_is_resolved_and_then_is_a_candidate_like_others(self) -> None:
        table = bench()
        tell(table, description())
        told = named_candidate("somebody.local")
        handle = self.ask(table, told)
        assert not paths(table)
        assert table.remote_side.on_resolution(answer(handle, REMOTE.host, OTHER.host), now=4.0)
        assert paths(table) == {PairKey(HOST, REMOTE)}
        assert table.generation().remote_candidates == {(REMOTE, 1): told}
        assert not table.remote_side.on_resolution(answer(handle, OTHER.host), now=4.0)

    @pytest.mark.rfc("mdns-ice-candidates", "3.2.1")
    def test_relay_only_asks_for_no_name(self) -> None:
        table = bench(relay_only=True)
        tell(table, description())
        add(table, named_candidate("somebody.local"))
        assert not [output for output in table.take() if isinstance(output, Resolve)]

    @pytest.mark.rfc("mdns-ice-candidates", "3.3.2")
    def test_the_address_behind_a_name_is_told_to_no_server(self) -> None:
        table = bench()
        tell(table, description())
        table.core.unpermitted.clear()
        handle = self.ask(table, named_candidate("somebody.local"))
        table.remote_side.on_resolution(answer(handle, REMOTE.host), now=4.0)
        assert table.core.unpermitted == []
        add(table, candidate(OTHER))
        assert table.core.unpermitted == [(1, OTHER.host)]

    @pytest.mark.parametrize(
        ("hosts", "expected"),
        [
            (("2001:db8::7", REMOTE.host, OTHER.host), REMOTE),
            (("2001:db8::7",), Address("2001:db8::7", 5000)),
        ],
    )
    def test_the_best_address_of_a_family_that_we_have_is_taken(
        self, hosts: tuple[str, ...], expected: Address
    ) -> None:
        table = bench()
        tell(table, description())
        assert table.remote_side.on_resolution(
            answer(self.ask(table, named_candidate("dual.example")), *hosts), now=4.0
        )
        assert set(table.generation().remote_candidates) == {(expected, 1)}

    @pytest.mark.rfc("8838", "14")
    def test_one_that_came_before_the_end_of_candidates_counts_though_its_address_comes_later(self) -> None:
        table = bench()
        tell(table, description(named_candidate("somebody.local"), end_of_candidates=True))
        (resolve,) = [output for output in table.take() if isinstance(output, Resolve)]
        table.remote_side.on_resolution(answer(resolve.handle, REMOTE.host), now=4.0)
        assert paths(table) == {PairKey(HOST, REMOTE)}

    def test_a_name_that_has_no_address_is_dropped(self) -> None:
        table = bench()
        tell(table, description())
        for failure in (
            Failed(self.ask(table, named_candidate("a.local")), FailReason.NAME_NOT_FOUND),
            answer(self.ask(table, named_candidate("b.local"))),
            answer(self.ask(table, named_candidate("c.local")), "224.0.0.251"),
        ):
            assert table.remote_side.on_resolution(failure, now=4.0)
        assert dropped(table) == [DropReason.BAD_CANDIDATE]
        assert not table.generation().remote_candidates

    def test_a_name_of_another_session_is_dropped_once_that_is_known(self) -> None:
        table = bench()
        handle = self.ask(table, replace(named_candidate("old.local"), ufrag="of-another-session"))
        tell(table, description())
        assert table.remote_side.on_resolution(answer(handle, REMOTE.host), now=4.0)
        assert dropped(table) == [DropReason.BAD_CANDIDATE]
        assert not paths(table)

    def test_a_name_of_the_session_before_a_restart_is_dropped(self) -> None:
        table = bench()
        tell(table, description())
        handle = self.ask(table, named_candidate("old.local"))
        restart_stream(table.core, table.consent, table.gatherer, table.core.streams[1], NEW, now=1.5)
        table.take()
        assert table.remote_side.on_resolution(answer(handle, REMOTE.host), now=4.0)
        assert dropped(table) == [DropReason.BAD_CANDIDATE]

    def test_a_limited_number_is_asked_for_at_once(self) -> None:
        table = bench()
        for number in range(MAX_NAMES + 1):
            add(table, named_candidate(f"{number}.local"))
        outputs = table.take()
        assert len([output for output in outputs if isinstance(output, Resolve)]) == MAX_NAMES
        assert [output.reason for output in outputs if isinstance(output, DatagramDropped)] == [DropReason.LIMIT]

    def test_cancelling_forgets_them(self) -> None:
        table = bench()
        handles = [self.ask(table, named_candidate(name)) for name in ("a.local", "b.local")]
        assert table.remote_side.cancel_resolutions() == handles
        assert not table.remote_side.on_resolution(answer(handles[0], REMOTE.host), now=4.0)
        assert table.remote_side.cancel_resolutions() == []

    def test_a_handle_of_somebody_else_is_left_to_them(self) -> None:
        assert not bench().remote_side.on_resolution(answer(Handle(99), REMOTE.host), now=4.0)


@pytest.mark.rfc("8445", "6.1.2.6")
@pytest.mark.parametrize("is_trickled", [True, False])
def test_of_pairs_that_come_together_one_of_each_foundation_waits_in_whatever_order_they_are_told(
    is_trickled: bool,
) -> None:
    table = bench(components=(2,))
    table.add_host(Address(HOST.host, 4003), component=2)
    told = [candidate(Address(REMOTE.host, 5003), component=2), candidate()]
    for each in told if is_trickled else []:
        add(table, each)
    tell(table, description(*([] if is_trickled else told)))
    states = {pair.component: pair.state for pair in table.generation().checklist.pairs.values()}
    assert states == {1: PairState.WAITING, 2: PairState.FROZEN}


def test_a_pair_formed_late_begins_as_if_it_had_been_there_from_the_start() -> None:
    table = bench()
    tell(table, description(candidate()))
    add(table, candidate(OTHER, foundation="2"))
    assert [pair.state for pair in table.generation().checklist.pairs.values()] == [PairState.WAITING] * 2


class TestRenomination:
    @pytest.mark.rfc("renomination", "3.2")
    @pytest.mark.parametrize("options", [("ice2",), ("ice2", "renomination2")])
    @pytest.mark.parametrize("offered", [True, False])
    def test_both_sides_must_say_it(self, options: tuple[str, ...], offered: bool) -> None:
        table = bench(renomination=offered)
        tell(table, description(candidate(), options=options))
        generation = table.generation()
        is_agreed = offered and "renomination2" in options
        assert (generation.renomination is not None) is is_agreed
        assert generation.checklist.stays_open is is_agreed

    def test_candidates_of_another_network_are_taken_after_the_end(self) -> None:
        table = bench(renomination=True)
        tell(table, description(candidate(), options=("ice2", "renomination"), end_of_candidates=True))
        add(table, candidate(OTHER))
        assert paths(table) == {PairKey(HOST, REMOTE), PairKey(HOST, OTHER)}

    @pytest.mark.rfc("renomination", "3.2")
    def test_a_check_that_nominated_before_the_description_came_counts_without_a_value(self) -> None:
        table = bench(Role.CONTROLLED, renomination=True)
        generation = table.generation()
        generation.early_checks.append(EarlyCheck(HOST, REMOTE, THEIRS.ufrag, 1, True))
        tell(table, description(candidate(), options=("renomination2",)))
        (pair,) = generation.checklist.pairs.values()
        assert pair.nominate_on_success


@pytest.mark.rfc("sped", "5.3")
@pytest.mark.parametrize("options", [("ice2",), ("ice2", "sped")])
def test_a_side_that_does_not_offer_it_is_sent_nothing_on_checks(options: tuple[str, ...]) -> None:
    table = bench(components=(2,), sped=True)
    tell(table, description(options=options))
    is_open = "sped" in options
    assert {place: each.is_open for place, each in table.core.embeddings.items()} == {(1, 1): is_open, (1, 2): is_open}


@pytest.mark.rfc("7050", "3")
class TestTranslated:
    """What a network's translators make of the other side's IPv4 addresses: a second way to the same candidate."""

    HOST6 = Address("2001:db8::1", 4000)
    THEIR = Address("11.2.0.1", 5000)
    MADE = Address("64:ff9b::b02:1", 5000)

    def table(self) -> Bench:
        table = Bench(config())
        table.add_host(self.HOST6)
        return table

    def test_candidates_told_later_are_tried_there(self) -> None:
        table = self.table()
        table.core.nat64.prefixes = (Prefix(WELL_KNOWN_PREFIX, 96),)
        table.meet(candidate(self.THEIR))
        assert list(table.generation().checklist.pairs) == [PairKey(self.HOST6, self.MADE)]
        assert table.core.unpermitted == [(1, self.THEIR.host)]

    def test_so_are_those_told_before_and_not_those_that_were_learnt(self) -> None:
        table = self.table()
        table.meet(candidate(self.THEIR))
        assert table.remote_side.wants_ipv4
        table.generation().remote_candidates[OTHER, 1] = candidate(OTHER, foundation=f"{LEARNT_FOUNDATION}1")
        table.core.nat64.prefixes = (Prefix(WELL_KNOWN_PREFIX, 96),)
        table.remote_side.translate(now=0.0)
        assert list(table.generation().checklist.pairs) == [PairKey(self.HOST6, self.MADE)]
        (pair,) = table.generation().checklist.pairs.values()
        assert pair.remote == candidate(self.THEIR)

    def test_ipv6_alone_needs_no_translator(self) -> None:
        table = self.table()
        table.meet(candidate(Address("2001:db8:7::1", 5000)))
        assert not table.remote_side.wants_ipv4

    def test_an_open_question_is_closed_with_the_names(self) -> None:
        table = self.table()
        table.core.nat64.query = Handle(9)
        assert table.remote_side.cancel_resolutions() == [Handle(9)]
        assert table.remote_side.cancel_resolutions() == []


@pytest.mark.rfc("6544", "6")
def test_tcp_candidates_are_taken_when_the_config_says_so() -> None:
    table = TcpTable()
    table.listen()
    table.meet_over_tcp()
    assert len(table.agent.snapshot().pairs) == 1
    assert table.drops() == []
    without = Table()
    without.host()
    without.agent.set_remote_description(Description(THEIRS.ufrag, THEIRS.password, (tcp_candidate(),)), now=0.0)
    assert without.drops() == [DropReason.BAD_CANDIDATE]


def test_a_tcp_candidate_that_tells_no_direction_is_of_no_use() -> None:
    table = TcpTable()
    table.listen()
    table.meet_over_tcp(replace(tcp_candidate(), tcp_type=None))
    assert table.drops() == [DropReason.BAD_CANDIDATE]


def test_a_tcp_candidate_may_have_a_name() -> None:
    table = TcpTable()
    table.listen()
    table.meet_over_tcp(replace(tcp_candidate(), host="friend.local"))
    (resolve,) = [each for each in table.take() if isinstance(each, Resolve)]
    answer = ResolvedAddress(Transport.UDP, Security.NONE, Address(REMOTE.host, 0))
    table.agent.receive(Resolved(resolve.handle, (answer,)), now=0.1)
    assert [connect.remote for connect in table.connects()] == [REMOTE]
