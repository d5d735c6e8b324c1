"""What an address of ours becomes as a candidate, what is hidden, and what is redundant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.ice.core import Relay, Socket
from icepath.ice.events import AddressHidden, CandidateGathered
from icepath.ice.local import LocalSide
from icepath.ice.nat64 import WELL_KNOWN_PREFIX, Prefix
from icepath.ice.rewriting import RewriteMode, RewriteRule
from icepath.machine import LocalAddress
from icepath.mdns.names import is_candidate_name
from icepath.net import Address
from icepath.wire.candidate_line import Candidate, CandidateType, TcpType
from unit.ice.builders import HOST, MAPPED, SERVER, Bench, config, server_at
from unit.ice.tcp_table import TcpTable, tcp_config

URL = f"turn:{SERVER}"
RELAYED, RELAYED6 = Address("203.0.113.5", 49152), Address("2001:db8:5::5", 49153)


class Desk:
    """Is one agent's own side with a host socket, and what it announced."""

    def __init__(
        self,
        *,
        relay_only: bool = False,
        hides: bool = False,
        told: bool = True,
        rewrite: tuple[RewriteRule, ...] = (),
    ) -> None:
        settings = replace(config(), relay_only=relay_only, hide_host_addresses=hides, tell_hosts=told, rewrite=rewrite)
        self.table = Bench(settings)
        self.local = LocalSide(self.table.core)
        self.socket = Socket(LocalAddress(HOST), stream=1, component=1, preference=65535)
        self.table.core.sockets[HOST] = self.socket

    def announced(self) -> list[Candidate]:
        return [event.candidate for event in self.table.events(CandidateGathered)]

    def relay(self, *relayed: Address) -> Relay:
        self.table.gatherer.set_servers((server_at(SERVER),), now=0.0)
        self.table.gatherer.add_socket(self.socket)
        self.table.gatherer.ask_next(now=0.0)
        (relay,) = self.table.core.relays.values()
        relay.relayed = relayed
        self.table.take()
        return relay


@pytest.mark.rfc("8445", "5.1.1.1")
def test_a_host_socket_is_a_candidate_with_our_ufrag_and_no_related_address() -> None:
    desk = Desk()
    desk.local.add_host(desk.socket)
    (host,) = desk.announced()
    assert (host.type, host.address, host.related_address) == (CandidateType.HOST, HOST, None)
    assert host.ufrag == desk.table.generation().credentials.ufrag


@pytest.mark.rfc("8445", "5.1.1.2")
def test_what_a_server_saw_is_a_candidate_whose_base_is_the_socket() -> None:
    desk = Desk()
    desk.local.add_reflexive(desk.socket, MAPPED, SERVER, URL)
    (found,) = desk.announced()
    assert (found.type, found.address, found.related_address) == (CandidateType.SERVER_REFLEXIVE, MAPPED, HOST)
    assert found.url == URL
    made = desk.table.generation().local_at(MAPPED, 1)
    assert made is not None
    assert made.base == HOST


@pytest.mark.rfc("8445", "5.1.3")
@pytest.mark.parametrize("seen", [HOST, MAPPED])
def test_the_same_address_again_is_redundant(seen: Address) -> None:
    desk = Desk()
    desk.local.add_host(desk.socket)
    desk.local.add_reflexive(desk.socket, MAPPED, SERVER, URL)
    desk.announced()
    desk.local.add_reflexive(desk.socket, seen, SERVER, URL)
    assert desk.announced() == []


@pytest.mark.rfc("mdns-ice-candidates", "3.1.1", "3.1.2.4")
def test_a_hidden_host_address_is_told_as_a_name_of_its_own_that_neighbours_may_ask_for() -> None:
    desk = Desk(hides=True)
    desk.local.add_host(desk.socket)
    second = Socket(LocalAddress(Address(HOST.host, 4001)), stream=1, component=2, preference=65535)
    other = Socket(LocalAddress(Address("192.0.2.9", 4000)), stream=1, component=1, preference=65534)
    for socket in (second, other):
        desk.local.add_host(socket)
    said = desk.table.take()
    hidden = [event for event in said if isinstance(event, AddressHidden)]
    told = [event.candidate for event in said if isinstance(event, CandidateGathered)]
    assert [event.host for event in hidden] == [HOST.host, "192.0.2.9"]
    assert [candidate.host for candidate in told] == [hidden[0].name, hidden[0].name, hidden[1].name]
    assert all(is_candidate_name(event.name) for event in hidden)
    assert said.index(hidden[0]) < said.index(CandidateGathered(1, told[0]))
    made = desk.table.generation().local_at(HOST, 1)
    assert made is not None
    assert (made.address, made.base, made.candidate.port) == (HOST, HOST, HOST.port)


@pytest.mark.rfc("mdns-ice-candidates", "3.1.2.2")
def test_a_reflexive_candidate_does_not_tell_the_hidden_address_it_came_from() -> None:
    desk = Desk(hides=True)
    desk.local.add_host(desk.socket)
    desk.announced()
    desk.local.add_reflexive(desk.socket, MAPPED, SERVER, URL)
    (found,) = desk.announced()
    assert (found.address, found.related_address) == (MAPPED, Address("0.0.0.0", 9))


@pytest.mark.rfc("mdns-ice-candidates", "3.1.2.2")
def test_beside_a_name_the_same_address_as_reflexive_is_not_redundant_and_told_once() -> None:
    desk = Desk(hides=True)
    desk.local.add_host(desk.socket)
    (host,) = desk.announced()
    for _ in range(2):
        desk.local.add_reflexive(desk.socket, HOST, SERVER, URL)
    (found,) = desk.announced()
    assert (found.type, found.address) == (CandidateType.SERVER_REFLEXIVE, HOST)
    made = desk.table.generation().local_at(HOST, 1)
    assert made is not None
    assert made.candidate == host


def test_relay_only_has_nothing_to_hide() -> None:
    desk = Desk(relay_only=True, hides=True)
    desk.local.add_host(desk.socket)
    assert desk.table.take() == []


def test_a_reflexive_address_of_the_other_family_is_none() -> None:
    desk = Desk()
    desk.local.add_reflexive(desk.socket, RELAYED6, SERVER, URL)
    assert desk.announced() == []


@pytest.mark.rfc("8445", "5.1.1.2")
def test_relayed_addresses_are_candidates_and_sockets_to_send_from() -> None:
    desk = Desk()
    relay = desk.relay(RELAYED, RELAYED6)
    sockets = desk.local.add_relayed(relay, MAPPED, URL)
    assert [socket.address for socket in sockets] == [RELAYED, RELAYED6]
    assert all(desk.table.core.sockets[socket.address] is socket and socket.relay is relay for socket in sockets)
    made = desk.announced()
    assert [(each.address, each.related_address) for each in made] == [(RELAYED, MAPPED), (RELAYED6, MAPPED)]
    assert made[0].priority != made[1].priority


def test_a_relayed_address_that_is_ours_already_is_discarded() -> None:
    desk = Desk()
    assert desk.local.add_relayed(desk.relay(HOST), MAPPED, URL) == []


@pytest.mark.rfc("8839", "5.1")
@pytest.mark.parametrize(("relayed", "hidden"), [(RELAYED, "0.0.0.0"), (RELAYED6, "::")])
def test_relay_only_tells_neither_host_nor_mapped_address(relayed: Address, hidden: str) -> None:
    desk = Desk(relay_only=True)
    desk.local.add_host(desk.socket)
    desk.local.add_reflexive(desk.socket, MAPPED, SERVER, URL)
    desk.local.add_relayed(desk.relay(relayed), MAPPED, URL)
    (made,) = desk.announced()
    assert (made.address, made.related_address) == (relayed, Address(hidden, 0))


def test_without_a_mapped_address_the_related_one_is_unspecified() -> None:
    desk = Desk()
    desk.local.add_relayed(desk.relay(RELAYED), None, URL)
    made = desk.announced()[-1]
    assert made.related_address == Address("0.0.0.0", 0)


@pytest.mark.rfc("8445", "9")
def test_a_new_session_announces_what_still_has_its_base_and_nothing_learnt() -> None:
    desk = Desk()
    table = desk.table
    desk.local.add_host(desk.socket)
    desk.local.add_reflexive(desk.socket, MAPPED, SERVER, URL)
    gone = Socket(LocalAddress(Address("192.0.2.9", 9)), stream=1, component=1, preference=1)
    desk.local.add_host(gone)
    old = table.generation()
    learnt = replace(old.candidates[HOST, 1].candidate, type=CandidateType.PEER_REFLEXIVE)
    old.candidates[Address("203.0.113.77", 7), 1] = replace(old.candidates[HOST, 1], candidate=learnt)
    table.take()
    desk.local.announce_again(1, old)
    again = desk.announced()
    assert [each.address for each in again] == [HOST, MAPPED]


EXTERNAL = Address("203.0.113.10", HOST.port)
ADD = RewriteRule("192.0.2.0/24", EXTERNAL.host)
REPLACE = RewriteRule("192.0.2.0/24", EXTERNAL.host, RewriteMode.REPLACE)


class TestRewriting:
    def test_an_address_is_added_as_a_reflexive_candidate_of_the_host(self) -> None:
        desk = Desk(rewrite=(ADD,))
        desk.local.add_host(desk.socket)
        host, external = desk.announced()
        assert (host.type, host.address) == (CandidateType.HOST, HOST)
        assert (external.type, external.address) == (CandidateType.SERVER_REFLEXIVE, EXTERNAL)
        assert (external.related_address, external.url) == (HOST, None)
        made = desk.table.generation().local_at(EXTERNAL, 1)
        assert made is not None
        assert made.base == HOST

    def test_an_address_is_told_instead_of_the_hosts_own_and_sends_from_there(self) -> None:
        desk = Desk(rewrite=(REPLACE,))
        desk.local.add_host(desk.socket)
        (told,) = desk.announced()
        assert (told.type, told.address, told.related_address) == (CandidateType.HOST, EXTERNAL, None)
        made = desk.table.generation().local_at(HOST, 1)
        assert made is not None
        assert (made.base, made.address, made.candidate) == (HOST, HOST, told)
        assert made.is_at(EXTERNAL)
        assert made.is_at(HOST)
        assert not made.is_at(MAPPED)

    @pytest.mark.rfc("8445", "5.1.3")
    @pytest.mark.parametrize("rule", [ADD, REPLACE])
    def test_what_a_server_confirms_is_redundant_and_what_it_sees_else_is_not(self, rule: RewriteRule) -> None:
        desk = Desk(rewrite=(rule,))
        desk.local.add_host(desk.socket)
        desk.announced()
        desk.local.add_reflexive(desk.socket, EXTERNAL, SERVER, URL)
        assert desk.announced() == []
        desk.local.add_reflexive(desk.socket, MAPPED, SERVER, URL)
        assert [candidate.address for candidate in desk.announced()] == [MAPPED]

    def test_of_two_hosts_behind_one_address_and_port_one_is_told(self) -> None:
        desk = Desk(rewrite=(REPLACE,))
        desk.local.add_host(desk.socket)
        other = Socket(LocalAddress(Address("192.0.2.9", HOST.port)), stream=1, component=1, preference=65534)
        second = Socket(LocalAddress(Address("192.0.2.9", HOST.port)), stream=1, component=2, preference=65534)
        desk.local.add_host(other)
        desk.local.add_host(second)
        assert [(told.address, told.component) for told in desk.announced()] == [(EXTERNAL, 1), (EXTERNAL, 2)]

    def test_other_hosts_are_told_as_they_are(self) -> None:
        desk = Desk(rewrite=(RewriteRule("10.0.0.0/8", "203.0.113.10", RewriteMode.REPLACE),))
        desk.local.add_host(desk.socket)
        assert [told.address for told in desk.announced()] == [HOST]

    @pytest.mark.parametrize("rule", [ADD, REPLACE])
    def test_relay_only_tells_neither(self, rule: RewriteRule) -> None:
        desk = Desk(relay_only=True, rewrite=(rule,))
        desk.local.add_host(desk.socket)
        assert desk.table.take() == []

    def test_a_hidden_host_is_told_as_a_name_beside_the_external_address(self) -> None:
        desk = Desk(hides=True, rewrite=(ADD,))
        desk.local.add_host(desk.socket)
        host, external = desk.announced()
        assert host.is_name
        assert (external.address, external.related_address) == (EXTERNAL, Address("0.0.0.0", 9))

    def test_a_restart_tells_it_again(self) -> None:
        desk = Desk(rewrite=(REPLACE,))
        desk.local.add_host(desk.socket)
        desk.announced()
        desk.local.announce_again(1, desk.table.generation())
        assert [told.address for told in desk.announced()] == [EXTERNAL]


class TestUntoldHosts:
    @pytest.mark.rfc("8828", "5.2")
    @pytest.mark.parametrize("hides", [False, True])
    def test_a_host_is_to_send_from_and_told_neither_as_address_nor_as_name(self, hides: bool) -> None:
        desk = Desk(told=False, hides=hides)
        desk.local.add_host(desk.socket)
        assert desk.table.take() == []
        made = desk.table.generation().local_at(HOST, 1)
        assert made is not None
        assert made.base == HOST

    @pytest.mark.rfc("8828", "5.2")
    def test_what_a_server_saw_does_not_say_which_host_it_is_of(self) -> None:
        desk = Desk(told=False)
        desk.local.add_host(desk.socket)
        desk.local.add_reflexive(desk.socket, MAPPED, SERVER, URL)
        (found,) = desk.announced()
        assert (found.address, found.related_address) == (MAPPED, Address("0.0.0.0", 9))

    @pytest.mark.rfc("8828", "5.2")
    def test_a_public_host_is_told_once_a_server_has_seen_it(self) -> None:
        desk = Desk(told=False)
        desk.local.add_host(desk.socket)
        for _ in range(2):
            desk.local.add_reflexive(desk.socket, HOST, SERVER, URL)
        (found,) = desk.announced()
        assert (found.type, found.address) == (CandidateType.SERVER_REFLEXIVE, HOST)

    def test_an_address_that_was_given_for_it_is_told(self) -> None:
        desk = Desk(told=False, rewrite=(REPLACE,))
        desk.local.add_host(desk.socket)
        assert [told.address for told in desk.announced()] == [EXTERNAL]

    def test_a_restart_tells_no_more_of_it(self) -> None:
        desk = Desk(told=False)
        desk.local.add_host(desk.socket)
        desk.local.add_reflexive(desk.socket, MAPPED, SERVER, URL)
        desk.announced()
        generation = desk.table.generation()
        desk.local.announce_again(1, generation)
        assert [told.address for told in desk.announced()] == [MAPPED]
        assert generation.local_at(HOST, 1) is not None


@pytest.mark.rfc("8445", "5.1.1.2")
def test_through_a_translator_a_server_sees_an_ipv4_address_of_an_ipv6_host() -> None:
    desk = Desk()
    host6 = Address("2001:db8::1", 4000)
    socket = Socket(LocalAddress(host6), stream=1, component=1, preference=65535)
    desk.local.add_reflexive(socket, MAPPED, SERVER, URL)
    assert desk.announced() == []
    desk.table.core.nat64.prefixes = (Prefix(WELL_KNOWN_PREFIX, 96),)
    desk.local.add_reflexive(socket, MAPPED, SERVER, URL)
    (found,) = desk.announced()
    assert (found.type, found.address, found.related_address) == (CandidateType.SERVER_REFLEXIVE, MAPPED, host6)
    desk.local.add_reflexive(desk.socket, host6, SERVER, URL)
    assert desk.announced() == []


def test_the_address_of_a_translator_inside_this_computer_is_to_send_from_and_not_told() -> None:
    desk = Desk()
    inside = Address("192.0.0.4", 4000)
    socket = Socket(LocalAddress(inside), stream=1, component=1, preference=65535)
    desk.local.add_host(socket)
    assert desk.announced() == []
    assert desk.table.generation().local_at(inside, 1) is not None
    desk.local.add_reflexive(socket, MAPPED, SERVER, URL)
    assert [found.address for found in desk.announced()] == [MAPPED]


class TestListeners:
    @pytest.mark.rfc("6544", "4.1")
    @pytest.mark.rfc("6544", "4.5")
    def test_one_is_a_passive_candidate_and_makes_its_host_an_active_one(self) -> None:
        table = TcpTable()
        table.listen()
        table.listen(Address(HOST.host, 4001))
        told = table.agent.local_description().candidates
        ports = [(candidate.port, candidate.tcp_type) for candidate in told]
        assert ports == [(9, TcpType.ACTIVE), (4000, TcpType.PASSIVE), (4001, TcpType.PASSIVE)]
        assert {candidate.host for candidate in told} == {HOST.host}
        assert len({candidate.foundation for candidate in told}) == 1

    def test_addresses_are_hidden_or_rewritten_as_those_of_sockets(self) -> None:
        hidden = TcpTable(replace(tcp_config(), hide_host_addresses=True))
        hidden.listen()
        assert all(candidate.is_name for candidate in hidden.agent.local_description().candidates)
        rule = RewriteRule(HOST.host, "203.0.113.9", RewriteMode.REPLACE)
        rewritten = TcpTable(replace(tcp_config(), rewrite=(rule,)))
        rewritten.listen()
        assert {candidate.host for candidate in rewritten.agent.local_description().candidates} == {"203.0.113.9"}
