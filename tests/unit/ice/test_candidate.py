from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from icepath.ice.candidate import (
    ACTIVE_PORT,
    MAX_LOCAL_PREFERENCE,
    TYPE_PREFERENCE,
    Foundations,
    LocalCandidate,
    LocalPreferences,
    candidate_priority,
    is_learnt,
    pair_priority,
    tcp_priority,
    transport_address,
)
from icepath.machine import Transport
from icepath.net import Address, TcpAddress
from icepath.wire.candidate_line import (
    MAX_FOUNDATION_LENGTH,
    MAX_PRIORITY,
    Candidate,
    CandidateType,
    Foundation,
    TcpType,
)
from unit.ice.builders import HOST, candidate, local_candidate
from unit.ice.tcp_table import tcp_candidate

HOST_KIND, REFLEXIVE, LEARNT, RELAY = (
    CandidateType.HOST,
    CandidateType.SERVER_REFLEXIVE,
    CandidateType.PEER_REFLEXIVE,
    CandidateType.RELAYED,
)


def four(number: int) -> Address:
    return Address(f"192.0.2.{number}", 4000)


def six(number: int) -> Address:
    return Address(f"2001:db8::{number}", 4000)


class TestPriority:
    @pytest.mark.rfc("8445", "5.1.2.1")
    @pytest.mark.parametrize(
        ("kind", "preference", "component", "priority"),
        [
            (HOST_KIND, 65535, 1, 2130706431),  # the host candidate of RFC 8839's examples
            (REFLEXIVE, 65535, 1, 1694498815),  # and its server-reflexive one
            (LEARNT, 65535, 2, 1862270974),
            (RELAY, 0, 1, 255),
            (RELAY, 1, 256, 256),
        ],
    )
    def test_is_the_formula_of_the_rfc(
        self, kind: CandidateType, preference: int, component: int, priority: int
    ) -> None:
        assert candidate_priority(kind, preference, component) == priority

    @pytest.mark.rfc("8445", "5.1.2")
    @pytest.mark.parametrize("kind", list(CandidateType))
    @pytest.mark.parametrize(("preference", "component"), list(itertools.product((1, 65535), (1, 256))))
    def test_is_between_1_and_the_greatest_that_a_candidate_line_may_carry(
        self, kind: CandidateType, preference: int, component: int
    ) -> None:
        assert 1 <= candidate_priority(kind, preference, component) <= MAX_PRIORITY

    @pytest.mark.rfc("8445", "5.1.2.1")
    def test_type_preferences_differ_lie_in_range_and_put_peer_reflexive_above_server_reflexive(self) -> None:
        assert set(TYPE_PREFERENCE) == set(CandidateType)
        assert len(set(TYPE_PREFERENCE.values())) == len(CandidateType)
        assert all(0 <= preference <= 126 for preference in TYPE_PREFERENCE.values())
        assert TYPE_PREFERENCE[LEARNT] > TYPE_PREFERENCE[REFLEXIVE]

    @pytest.mark.rfc("8445", "5.1.2.2")
    def test_the_kinds_are_ordered_as_the_rfc_recommends(self) -> None:
        by_priority = sorted(CandidateType, key=lambda kind: candidate_priority(kind, 0, 1), reverse=True)
        assert by_priority == [HOST_KIND, LEARNT, REFLEXIVE, RELAY]

    @pytest.mark.rfc("8445", "6.1.2.3")
    @pytest.mark.parametrize(
        ("controlling", "controlled", "priority"),
        [(2, 3, (2 << 32) + 6), (3, 2, (2 << 32) + 6 + 1), (5, 5, (5 << 32) + 10)],
    )
    def test_a_pairs_priority_is_the_formula_of_the_rfc(self, controlling: int, controlled: int, priority: int) -> None:
        assert pair_priority(controlling, controlled) == priority

    @pytest.mark.rfc("8445", "6.1.2.3")
    def test_a_pair_is_worth_what_its_weaker_candidate_is_worth(self) -> None:
        assert pair_priority(1, MAX_PRIORITY) < pair_priority(2, 3)
        assert pair_priority(MAX_PRIORITY, MAX_PRIORITY) < 1 << 64

    def test_a_learnt_candidate_is_known_by_its_foundation(self) -> None:
        assert is_learnt(candidate(foundation="/learnt/1"))
        assert not is_learnt(candidate(foundation="1"))

    def test_a_local_candidate_has_its_own_address_besides_its_base(self) -> None:
        reflexive = local_candidate(four(9), REFLEXIVE, base=HOST)
        assert (reflexive.address, reflexive.base) == (four(9), HOST)


class TestLocalPreferences:
    @pytest.mark.rfc("8445", "5.1.2.1")
    def test_a_single_ipv6_address_has_the_highest_preference(self) -> None:
        assert LocalPreferences().for_address(six(1), 0, 1) == MAX_LOCAL_PREFERENCE

    @pytest.mark.rfc("8421", "4")
    @pytest.mark.parametrize("ipv4_first", [True, False])
    def test_families_alternate_and_ipv6_begins_whichever_comes_first(self, ipv4_first: bool) -> None:
        preferences = LocalPreferences()
        addresses = [four(1), four(2), six(1), six(2)]
        if not ipv4_first:
            addresses.reverse()
        given = {address: preferences.for_address(address, 0, 1) for address in addresses}
        ranked = sorted(given, key=lambda address: -given[address])
        assert [address.is_ipv6 for address in ranked] == [True, False, True, False]

    @pytest.mark.rfc("8421", "4")
    def test_a_costly_interface_comes_after_every_address_of_a_cheaper_one(self) -> None:
        preferences = LocalPreferences()
        cellular = preferences.for_address(six(9), 50, 1)
        wired = [preferences.for_address(four(number), 0, 1) for number in range(1, 9)]
        wireless = preferences.for_address(six(8), 10, 1)
        assert min(wired) > wireless > cellular

    @pytest.mark.parametrize("cost", [-5, 0, 100, 10**9])
    def test_any_cost_gives_a_lawful_preference(self, cost: int) -> None:
        assert 0 < LocalPreferences().for_address(six(1), cost, 1) <= MAX_LOCAL_PREFERENCE

    def test_components_count_for_themselves(self) -> None:
        preferences = LocalPreferences()
        assert preferences.for_address(four(1), 0, 1) == preferences.for_address(four(1), 0, 2)

    @pytest.mark.rfc("8445", "5.1.2.1")
    def test_a_preference_is_given_once_per_kind_and_component(self) -> None:
        preferences = LocalPreferences()
        assert preferences.unique(RELAY, 100, 1) == 100
        assert preferences.unique(RELAY, 100, 1) == 99
        assert preferences.unique(RELAY, 100, 2) == 100
        assert preferences.unique(REFLEXIVE, 100, 1) == 100

    @pytest.mark.rfc("8445", "5.1.2.1")
    def test_a_preference_is_never_negative(self) -> None:
        preferences = LocalPreferences()
        assert preferences.unique(RELAY, -3, 1) == 0
        assert preferences.unique(RELAY, 0, 1) == 0


class TestFoundations:
    @pytest.mark.rfc("8445", "5.1.1.3")
    def test_equal_type_base_server_and_transport_have_one_foundation(self) -> None:
        foundations = Foundations()
        first = foundations.of(REFLEXIVE, "192.0.2.1", "203.0.113.5", Transport.UDP)
        foundations.of(REFLEXIVE, "192.0.2.2", "203.0.113.5", Transport.UDP)
        assert foundations.of(REFLEXIVE, "192.0.2.1", "203.0.113.5", Transport.UDP) == first

    @pytest.mark.rfc("8445", "5.1.1.3")
    def test_a_difference_in_any_of_them_makes_another(self) -> None:
        foundations = Foundations()
        names = {
            foundations.of(REFLEXIVE, "192.0.2.1", "203.0.113.5", Transport.UDP),
            foundations.of(RELAY, "192.0.2.1", "203.0.113.5", Transport.UDP),
            foundations.of(REFLEXIVE, "192.0.2.2", "203.0.113.5", Transport.UDP),
            foundations.of(REFLEXIVE, "192.0.2.1", "203.0.113.6", Transport.UDP),
            foundations.of(REFLEXIVE, "192.0.2.1", "203.0.113.5", Transport.TCP),
        }
        assert len(names) == 5
        assert all(name.isalnum() and len(name) <= MAX_FOUNDATION_LENGTH for name in names)


class TestLocalCandidate:
    def test_its_address_is_its_own_whatever_name_hides_it(self) -> None:
        told = Candidate(Foundation("1"), 1, Transport.UDP, 1, "a.local", 4000, CandidateType.HOST)
        assert LocalCandidate(told, four(1)).address == four(1)
        shown = replace(told, host="203.0.113.1", type=REFLEXIVE)
        assert LocalCandidate(shown, four(1)).address == Address("203.0.113.1", 4000)

    def test_it_is_at_its_base_and_where_it_is_told_to_be(self) -> None:
        host = LocalCandidate(candidate(HOST), HOST)
        assert (host.address, host.is_rewritten) == (HOST, False)
        assert host.is_at(HOST)
        external = Address("203.0.113.10", HOST.port)
        told = LocalCandidate(candidate(external), HOST)
        assert (told.address, told.is_rewritten) == (HOST, True)
        assert told.is_at(HOST)
        assert told.is_at(external)
        assert not told.is_at(Address("203.0.113.11", HOST.port))


class TestTcp:
    @pytest.mark.rfc("6544", "4.2")
    def test_any_udp_but_a_relay_comes_before_tcp_and_that_before_a_relay(self) -> None:
        best = tcp_priority(CandidateType.HOST, TcpType.ACTIVE, 8191, 1)
        worst = tcp_priority(CandidateType.SERVER_REFLEXIVE, TcpType.SIMULTANEOUS_OPEN, 0, 256)
        assert candidate_priority(CandidateType.SERVER_REFLEXIVE, 0, 256) > best
        assert candidate_priority(CandidateType.RELAYED, 65535, 1) < worst

    @pytest.mark.rfc("6544", "4.2")
    def test_the_direction_is_in_the_priority(self) -> None:
        assert tcp_priority(CandidateType.HOST, TcpType.ACTIVE, 8191, 1) == (90 << 24) + ((6 << 13) + 8191 << 8) + 255
        assert tcp_priority(CandidateType.HOST, TcpType.PASSIVE, 0, 2) == (90 << 24) + (4 << 13 << 8) + 254

    @pytest.mark.rfc("6544", "4.2")
    def test_listeners_are_ordered_as_sockets_are(self) -> None:
        preferences = LocalPreferences()
        ipv4, ipv6 = Address("192.0.2.1", 1), Address("2001:db8::1", 1)
        assert preferences.for_listener(ipv6, 0, 1) == 8191
        assert preferences.for_listener(ipv4, 0, 1) == 8190
        assert preferences.for_listener(ipv4, 10, 1) == 8191 - 640 - 3
        assert preferences.for_listener(ipv4, 1000, 2) == 8191 - 6400 - 1
        assert preferences.for_listener(ipv6, 0, 3) == 8191
        distinct = [preferences.for_listener(ipv6, cost, 3) for cost in (1, *[0] * 40)]
        assert len(set(distinct)) == len(distinct)

    @pytest.mark.rfc("6544", "4.5")
    def test_an_active_candidate_has_a_place_of_its_own(self) -> None:
        base = TcpAddress("192.0.2.1", 4000)
        active = tcp_candidate(Address(base.host, ACTIVE_PORT), TcpType.ACTIVE)
        assert LocalCandidate(active, base).address == TcpAddress(base.host, 9)
        assert LocalCandidate(replace(active, host="x.local"), base).address == TcpAddress(base.host, 9)
        learnt = replace(active, host="203.0.113.7", port=7, type=CandidateType.PEER_REFLEXIVE)
        assert LocalCandidate(learnt, base).address == TcpAddress("203.0.113.7", 7)

    def test_where_a_candidate_is_tells_its_transport(self) -> None:
        assert transport_address(tcp_candidate(), "192.0.2.9") == TcpAddress("192.0.2.9", 5000)
        assert transport_address(candidate(), "192.0.2.9") == Address("192.0.2.9", 5000)
