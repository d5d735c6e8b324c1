from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.entropy import Secret
from icepath.errors import Cause
from icepath.ice.candidate import candidate_priority
from icepath.ice.config import RtoView, Server, rto_by_rfc
from icepath.ice.core import Relay, ServerQuery, Socket, TimerKey, TimerKind
from icepath.ice.events import CandidateGathered, GatheringCompleted, ServerFailed
from icepath.ice.gathering import KEEPALIVE_INTERVAL
from icepath.ice.restart import remove_relay, restart_stream
from icepath.machine import (
    Connect,
    Datagram,
    Failed,
    FailReason,
    Handle,
    LocalAddress,
    Resolve,
    Resolved,
    ResolvedAddress,
    Security,
    SocketUse,
    Transport,
)
from icepath.net import Address
from icepath.turn.client.events import (
    Allocated,
    AllocationFailed,
    AllocationFailure,
    AllocationLost,
    CredentialsRejected,
)
from icepath.wire.attributes import (
    Attribute,
    ErrorCode,
    MappedAddress,
    Nonce,
    Realm,
    UnknownAttribute,
    Username,
    XorMappedAddress,
)
from icepath.wire.candidate_line import CandidateType, TcpType
from icepath.wire.message import MessageClass, Method, decode_message
from icepath.wire.uri import parse_server_uri
from unit.ice.asking import (
    ALICE,
    CHALLENGE,
    HOST6,
    NEW,
    SECOND_HOST,
    SECOND_SERVER,
    SERVER6,
    STUN,
    STUN_URL,
    TCP_URL,
    TURN,
    TURN_URL,
    UDP_URL,
    allocate,
    answer,
    ask_all,
    bench,
    failures,
    gathered,
    is_done,
    keepalive_at,
    query_of,
    server,
    turn_server,
)
from unit.ice.builders import (
    HOST,
    MAPPED,
    OWN,
    RELAYED,
    REMOTE,
    SERVER,
    Bench,
    candidate,
    config,
    last_request,
    reply,
    server_at,
)


class TestHostCandidates:
    @pytest.mark.rfc("8445", "5.1.1.1")
    def test_each_socket_is_a_candidate_whose_base_it_is(self) -> None:
        table = bench(hosts=(HOST, HOST6))
        four, six = gathered(table)
        assert (four.address, six.address) == (HOST, HOST6)
        for told in (four, six):
            assert (told.type, told.component, told.related_address) == (CandidateType.HOST, 1, None)
            assert told.ufrag == OWN.ufrag
            local = table.generation().local_at(told.address, 1)
            assert local is not None
            assert (local.candidate, local.base) == (told, told.address)
        assert four.priority != six.priority

    @pytest.mark.rfc("8445", "5.1.1.3")
    def test_components_on_one_host_share_a_foundation_and_hosts_do_not(self) -> None:
        table = Bench(replace(config(), components=(2,)))
        table.add_host()
        table.add_host(Address(HOST.host, 4001), component=2)
        table.add_host(SECOND_HOST)
        one, two, other = gathered(table)
        assert one.foundation == two.foundation != other.foundation
        assert (one.component, two.component) == (1, 2)

    def test_relay_only_tells_none(self) -> None:
        table = bench(settings=replace(config(), relay_only=True))
        assert gathered(table) == []
        assert table.generation().local_at(HOST, 1) is None


class TestAsking:
    @pytest.mark.rfc("8445", "5.1.1.2")
    def test_every_server_is_asked_from_every_socket_of_its_family(self) -> None:
        servers = [server_at(each, "stun") for each in (SERVER, SERVER6, SECOND_SERVER)]
        table = bench(*servers, hosts=(HOST, SECOND_HOST, HOST6))
        assert table.gatherer.asked_any
        asked = {(each.local, each.remote) for each in ask_all(table)}
        assert asked == {
            (HOST, SERVER),
            (SECOND_HOST, SERVER),
            (HOST, SECOND_SERVER),
            (SECOND_HOST, SECOND_SERVER),
            (HOST6, SERVER6),
        }

    def test_a_query_is_a_binding_request_without_credentials(self) -> None:
        table = bench(STUN)
        (asked,) = ask_all(table)
        message = decode_message(asked.payload)
        assert (message.method, message.message_class) == (Method.BINDING, MessageClass.REQUEST)
        assert not message.has_integrity
        assert table.core.transactions.next_deadline() == 0.5

    def test_ipv4_goes_first_and_on_each_socket_the_quick_question(self) -> None:
        table = bench(TURN, STUN, server_at(SERVER6, "stun"), hosts=(HOST6, SECOND_HOST, HOST))
        table.take()
        order: list[tuple[Address, int]] = []
        while table.gatherer.has_asks:
            table.gatherer.ask_next(now=0.0)
            (asked,) = table.sent()
            order.append((asked.local, decode_message(asked.payload).method))
        assert order == [
            (HOST, Method.BINDING),
            (HOST, Method.ALLOCATE),
            (SECOND_HOST, Method.BINDING),
            (SECOND_HOST, Method.ALLOCATE),
            (HOST6, Method.BINDING),
        ]

    def test_a_server_is_asked_once_from_a_socket(self) -> None:
        table = bench(STUN)
        ask_all(table)
        table.gatherer.set_servers((STUN,), now=1.0)
        assert not table.gatherer.has_asks

    def test_a_socket_that_is_gone_asks_nobody(self) -> None:
        table = bench(STUN)
        del table.core.sockets[HOST]
        assert ask_all(table) == []
        table.gatherer.end_of_local_addresses()
        assert is_done(table)

    def test_a_shared_socket_asks_for_no_relay(self) -> None:
        table = bench(STUN, TURN, hosts=())
        table.add_host(use=SocketUse.SHARED)
        assert [decode_message(each.payload).method for each in ask_all(table)] == [Method.BINDING]

    def test_a_socket_for_relays_asks_for_nothing_else_and_tells_nothing_else(self) -> None:
        table = bench(STUN, TURN, hosts=())
        table.add_host(use=SocketUse.RELAYS)
        assert gathered(table) == []
        assert [decode_message(each.payload).method for each in ask_all(table)] == [Method.ALLOCATE]
        table = bench(TURN, hosts=())
        table.add_host(use=SocketUse.RELAYS)
        table.grant(allocate(table), RELAYED)
        assert [told.type for told in gathered(table)] == [CandidateType.RELAYED]

    def test_relay_only_asks_no_stun_server(self) -> None:
        table = bench(STUN, TURN, settings=replace(config(), relay_only=True))
        assert [decode_message(each.payload).method for each in ask_all(table)] == [Method.ALLOCATE]

    @pytest.mark.rfc("8445", "14.3")
    def test_the_rto_may_grow_with_the_number_of_candidates(self) -> None:
        views: list[RtoView] = []

        def watch(view: RtoView) -> float:
            views.append(view)
            return rto_by_rfc(view)

        table = bench(STUN, server_at(SECOND_SERVER, "stun"), settings=replace(config(), rto=watch, pacing=0.4))
        ask_all(table)
        assert views == [RtoView(0.4, 2, 1)] * 2
        assert table.core.transactions.next_deadline() == pytest.approx(0.8)

    @pytest.mark.rfc("8445", "5.1.1.2")
    def test_an_allocation_uses_the_servers_long_term_credentials(self) -> None:
        table = bench(ALICE, settings=replace(config(), challenges=((TURN_URL, CHALLENGE),)))
        (asked,) = ask_all(table)
        message = decode_message(asked.payload)
        assert message.get(Username) == Username("alice")
        assert message.get(Realm) == Realm("example.org")
        assert message.get(Nonce) == Nonce(b"nonce")
        assert message.has_integrity

    def test_an_allocation_permits_the_remote_addresses_known_by_then(self) -> None:
        table = Bench()
        table.add_host()
        table.meet(candidate(), candidate(Address("198.51.100.9", 1)))
        relay = table.add_relay()
        table.run_relay(relay, now=1.0)
        assert relay.allocation.is_permitted(REMOTE.host)
        assert relay.allocation.is_permitted("198.51.100.9")

    def test_two_ways_to_write_one_server_make_one_allocation(self) -> None:
        table = bench(TURN, server(f"turn:{SERVER}?transport=udp"))
        assert len(ask_all(table)) == 1
        assert len(table.core.relays) == 1
        table.gatherer.end_of_local_addresses()
        assert not is_done(table)

    def test_the_first_transaction_of_an_allocation_takes_the_slot_it_was_made_in(self) -> None:
        table = bench(TURN)
        table.core.pacer.reserve(0.0)
        relay = allocate(table)
        (asked,) = table.sent()
        assert decode_message(asked.payload).method == Method.ALLOCATE
        error: list[Attribute] = [ErrorCode(401, ""), Realm("example.org"), Nonce(b"nonce")]
        table.to_relay(relay, reply(decode_message(asked.payload), error, key=None, is_error=True), now=0.0)
        assert table.core.pacer.reserve(0.0) > 0.0


class TestRemovedSocket:
    def removed(self, *servers: Server) -> tuple[Bench, list[Datagram]]:
        table = bench(*servers, hosts=(HOST, SECOND_HOST))
        asked = ask_all(table)
        del table.core.sockets[HOST]
        table.gatherer.remove_socket(HOST)
        return table, asked

    def test_its_answers_are_not_waited_for_those_of_others_are(self) -> None:
        table, asked = self.removed(STUN)
        assert [each.local for each in asked] == [HOST, SECOND_HOST]
        assert query_of(table).local == SECOND_HOST
        table.gatherer.end_of_local_addresses()
        assert not is_done(table)
        answer(table, asked[1], XorMappedAddress(MAPPED))
        assert is_done(table)
        assert failures(table) == []

    def test_what_it_had_to_ask_is_not_asked(self) -> None:
        table = bench(STUN, hosts=(HOST, SECOND_HOST))
        table.gatherer.remove_socket(HOST)
        assert [each.local for each in ask_all(table)] == [SECOND_HOST]

    def test_its_bindings_are_not_kept_alive(self) -> None:
        table = bench(STUN, hosts=(HOST, SECOND_HOST))
        for number, asked in enumerate(ask_all(table)):
            answer(table, asked, XorMappedAddress(Address(MAPPED.host, number + 1)))
        table.gatherer.remove_socket(HOST)
        table.take()
        table.gatherer.keep_alive(is_concluded=False, now=16.0)
        assert [each.local for each in table.sent()] == [SECOND_HOST]

    def test_when_it_comes_back_it_asks_again(self) -> None:
        table, _ = self.removed(STUN)
        table.add_host(HOST)
        assert [(each.local, each.remote) for each in ask_all(table)] == [(HOST, SERVER)]


class TestNames:
    def resolve(self, table: Bench) -> Handle:
        (asked,) = [output for output in table.take() if isinstance(output, Resolve)]
        assert asked.what == "stun:stun.example.org"
        return asked.handle

    def test_a_name_is_resolved_and_its_first_address_of_each_family_asked(self) -> None:
        table = bench(server("stun:stun.example.org"), hosts=(HOST, HOST6))
        handle = self.resolve(table)
        found = [
            ResolvedAddress(Transport.TCP, Security.NONE, Address("203.0.113.9", 1)),
            ResolvedAddress(Transport.UDP, Security.DTLS, Address("203.0.113.9", 2)),
            ResolvedAddress(Transport.UDP, Security.NONE, Address("0.0.0.0", 3)),
            *[ResolvedAddress(Transport.UDP, Security.NONE, each) for each in (SERVER6, SERVER, SECOND_SERVER)],
        ]
        assert table.gatherer.on_resolution(Resolved(handle, tuple(found)))
        assert {(each.local, each.remote) for each in ask_all(table)} == {(HOST, SERVER), (HOST6, SERVER6)}
        assert not table.gatherer.on_resolution(Resolved(handle, tuple(found)))

    def test_sockets_that_come_later_ask_too(self) -> None:
        table = bench(server("stun:stun.example.org"), hosts=())
        handle = self.resolve(table)
        table.gatherer.on_resolution(Resolved(handle, (ResolvedAddress(Transport.UDP, Security.NONE, SERVER),)))
        assert not table.gatherer.has_asks
        table.add_host()
        assert [each.remote for each in ask_all(table)] == [SERVER]

    @pytest.mark.parametrize(
        ("reason", "cause"),
        [
            (FailReason.NAME_NOT_FOUND, Cause.SERVER_NAME_NOT_FOUND),
            (FailReason.RESOLVER, Cause.SERVER_NAME_NOT_FOUND),
            (FailReason.UNREACHABLE, Cause.SERVER_UNREACHABLE),
            (FailReason.UNSUPPORTED, Cause.UNSUPPORTED),
        ],
    )
    def test_a_name_that_fails_is_reported_and_asked_no_more(self, reason: FailReason, cause: Cause) -> None:
        table = bench(server("stun:stun.example.org"))
        assert table.gatherer.on_resolution(Failed(self.resolve(table), reason, "why"))
        assert table.take() == [ServerFailed("stun:stun.example.org", None, None, cause, "why")]
        table.add_host(SECOND_HOST)
        assert not table.gatherer.has_asks
        table.gatherer.end_of_local_addresses()
        assert is_done(table)
        assert table.events(ServerFailed) == []

    def test_a_name_without_a_usable_address_has_failed(self) -> None:
        table = bench(server("stun:stun.example.org"))
        assert table.gatherer.on_resolution(Resolved(self.resolve(table), ()))
        assert failures(table) == [("stun:stun.example.org", None, None, Cause.SERVER_NAME_NOT_FOUND)]

    def test_gathering_is_not_complete_before_a_name_is_resolved_or_forgotten(self) -> None:
        table = bench(server("stun:stun.example.org"), STUN, hosts=())
        handle = self.resolve(table)
        table.gatherer.end_of_local_addresses()
        assert not is_done(table)
        assert table.gatherer.cancel_resolutions() == [handle]
        assert not table.gatherer.on_resolution(Failed(handle, FailReason.RESOLVER))
        assert table.gatherer.cancel_resolutions() == []
        assert is_done(table)

    @pytest.mark.parametrize("text", ["stun:203.0.113.5:3478", "stun:203.0.113.5"])
    def test_an_address_needs_no_resolving(self, text: str) -> None:
        assert [each.remote for each in ask_all(bench(server(text)))] == [SERVER]

    @pytest.mark.parametrize("text", ["stuns:stun.example.org"])
    def test_stun_servers_are_asked_over_udp_only(self, text: str) -> None:
        table = bench(server(text))
        assert failures(table) == [(text, None, None, Cause.UNSUPPORTED)]
        assert not table.gatherer.has_asks
        assert not table.gatherer.asked_any


class TestServerReflexive:
    @pytest.mark.rfc("8445", "5.1.1.2")
    @pytest.mark.rfc("8445", "5.1.2")
    @pytest.mark.rfc("8838", "9")
    def test_the_mapped_address_is_announced_when_it_is_known(self) -> None:
        table = bench(STUN, server_at(SECOND_SERVER, "stun"))
        first, _ = ask_all(table)
        answer(table, first, XorMappedAddress(MAPPED))
        (told,) = gathered(table)
        assert (told.type, told.address, told.related_address) == (CandidateType.SERVER_REFLEXIVE, MAPPED, HOST)
        assert told.url == STUN_URL
        preference = table.core.sockets[HOST].preference
        assert told.priority == candidate_priority(CandidateType.SERVER_REFLEXIVE, preference, 1)
        local = table.generation().local_at(MAPPED, 1)
        assert local is not None
        assert local.base == HOST

    @pytest.mark.rfc("8445", "5.1.3")
    def test_one_that_equals_another_is_redundant(self) -> None:
        table = bench(STUN, server_at(SECOND_SERVER, "stun"))
        first, second = ask_all(table)
        answer(table, first, XorMappedAddress(MAPPED))
        answer(table, second, XorMappedAddress(MAPPED))
        assert len(gathered(table)) == 1

    @pytest.mark.rfc("8445", "5.1.3")
    def test_one_that_equals_the_host_candidate_is_redundant(self) -> None:
        table = bench(STUN)
        (asked,) = ask_all(table)
        answer(table, asked, XorMappedAddress(HOST))
        assert gathered(table) == []

    @pytest.mark.rfc("8445", "5.1.1.3")
    @pytest.mark.rfc("8445", "5.1.2.1")
    def test_servers_make_foundations_and_each_candidate_has_its_own_priority(self) -> None:
        table = bench(STUN, server_at(SECOND_SERVER, "stun"))
        for number, asked in enumerate(ask_all(table)):
            answer(table, asked, XorMappedAddress(Address(MAPPED.host, 61000 + number)))
        one, two = gathered(table)
        assert one.foundation != two.foundation
        assert one.priority != two.priority

    @pytest.mark.rfc("8445", "5.1.1.2")
    def test_a_server_of_rfc_3489_tells_it_in_the_clear(self) -> None:
        table = bench(STUN)
        (asked,) = ask_all(table)
        answer(table, asked, MappedAddress(MAPPED))
        assert [told.address for told in gathered(table)] == [MAPPED]

    def test_an_address_of_the_other_family_is_none(self) -> None:
        table = bench(STUN)
        (asked,) = ask_all(table)
        answer(table, asked, XorMappedAddress(HOST6))
        assert gathered(table) == []

    @pytest.mark.parametrize(
        ("attributes", "is_error", "code"),
        [
            ([ErrorCode(500, "broken")], True, 500),
            ([], True, None),
            ([], False, None),
            ([XorMappedAddress(MAPPED), UnknownAttribute(0x7F00, b"what")], False, None),
        ],
    )
    def test_an_answer_that_tells_none_is_a_failure(
        self, attributes: list[Attribute], is_error: bool, code: int | None
    ) -> None:
        table = bench(STUN)
        (asked,) = ask_all(table)
        answer(table, asked, *attributes, is_error=is_error)
        assert failures(table) == [(STUN_URL, HOST, code, Cause.SERVER_REFUSED)]
        table.gatherer.end_of_local_addresses()
        assert is_done(table)

    def test_an_answer_for_a_socket_that_is_gone_tells_nothing(self) -> None:
        table = bench(STUN)
        (asked,) = ask_all(table)
        del table.core.sockets[HOST]
        answer(table, asked, XorMappedAddress(MAPPED))
        assert table.take() == []

    @pytest.mark.parametrize("is_icmp", [True, False])
    def test_silence_and_icmp_errors_end_one_servers_asking(self, is_icmp: bool) -> None:
        table = bench(STUN, server_at(SECOND_SERVER, "stun"))
        asked, other = ask_all(table)
        query = ServerQuery(STUN_URL, SERVER, asked.local)
        if is_icmp:
            table.gatherer.on_unreachable(query)
        else:
            table.gatherer.on_timeout(query)
        assert failures(table) == [(STUN_URL, HOST, None, Cause.SERVER_UNREACHABLE)]
        table.gatherer.end_of_local_addresses()
        assert not is_done(table)
        answer(table, other, XorMappedAddress(MAPPED))
        assert is_done(table)


class TestChangeOfServers:
    def test_a_new_server_is_asked_from_the_sockets_there_are(self) -> None:
        table = bench()
        table.gatherer.set_servers((STUN,), now=1.0)
        assert [each.remote for each in ask_all(table)] == [SERVER]

    def test_one_that_is_gone_is_not_asked_and_not_waited_for(self) -> None:
        table = bench(STUN, server_at(SECOND_SERVER, "stun"))
        table.gatherer.set_servers((server_at(SECOND_SERVER, "stun"),), now=1.0)
        assert [each.remote for each in ask_all(table)] == [SECOND_SERVER]
        table.gatherer.on_timeout(query_of(table))
        table.gatherer.end_of_local_addresses()
        assert is_done(table)

    def test_one_that_comes_back_is_asked_if_it_was_not(self) -> None:
        table = bench(STUN)
        table.gatherer.set_servers((), now=1.0)
        table.gatherer.set_servers((STUN,), now=2.0)
        assert [each.remote for each in ask_all(table)] == [SERVER]

    def test_one_that_comes_back_after_its_answer_has_not_failed(self) -> None:
        table = bench(STUN)
        (asked,) = ask_all(table)
        answer(table, asked, XorMappedAddress(MAPPED))
        table.gatherer.set_servers((), now=1.0)
        table.gatherer.set_servers((STUN,), now=2.0)
        table.gatherer.end_of_local_addresses()
        table.take()
        assert not table.gatherer.has_asks
        assert is_done(table)
        assert table.take() == [GatheringCompleted()]

    def test_fresh_credentials_reach_the_servers_own_allocations_without_ending_them(self) -> None:
        other = Server(parse_server_uri(f"turn:{SECOND_SERVER}"), "alice", Secret("wonderland"))
        table = bench(ALICE, other)
        requests = ask_all(table)
        relays = list(table.core.relays.values())
        table.gatherer.set_servers((replace(ALICE, username="bob"), other), now=1.0)
        assert list(table.core.relays.values()) == relays
        names = [self.challenge(table, relay, asked) for relay, asked in zip(relays, requests, strict=True)]
        assert names == [{"alice", "bob"}, {"alice"}]

    def test_fresh_credentials_are_tried_where_others_failed(self) -> None:
        table = bench(TURN)
        relay = allocate(table)
        table.gatherer.end_of_local_addresses()
        request = last_request(table.sent(), SERVER)
        table.to_relay(relay, reply(request, [ErrorCode(403, "")], key=None, is_error=True), now=1.0)
        table.relay_events()
        remove_relay(table.core, table.conclusion, relay, now=1.0)
        table.relay_events()
        assert is_done(table)
        table.gatherer.set_servers((ALICE,), now=2.0)
        assert [each.remote for each in ask_all(table, now=2.0)] == [SERVER]
        assert not is_done(table)

    def test_they_ask_nobody_a_second_time(self) -> None:
        table = bench(ALICE, STUN)
        ask_all(table)
        fresh = replace(ALICE, password=Secret("looking-glass"))
        for servers in ((fresh, STUN), (fresh, replace(STUN, username="alice", password=Secret("?")))):
            table.gatherer.set_servers(servers, now=2.0)
            assert not table.gatherer.has_asks

    def test_credentials_taken_away_change_nothing(self) -> None:
        table = bench(ALICE)
        relay = allocate(table)
        table.gatherer.set_servers((TURN,), now=1.0)
        assert list(table.core.relays.values()) == [relay]

    def challenge(self, table: Bench, relay: Relay, asked: Datagram) -> set[str]:
        """Lets the server refuse each request of an allocation; returns the user names it saw."""
        request = decode_message(asked.payload)
        names: set[str] = set()
        for attempt in range(4):
            attributes: list[Attribute] = [ErrorCode(401, ""), Realm("example.org"), Nonce(b"%d" % attempt)]
            table.to_relay(relay, reply(request, attributes, key=None, is_error=True), now=1.0 + attempt)
            table.run_relay(relay, now=1.5 + attempt)
            for each in table.sent():
                request = decode_message(each.payload)
                user = request.get(Username)
                names |= {user.text} if user is not None else set()
        return names


class TestCompletion:
    def test_waits_for_the_end_of_local_addresses_for_asks_and_for_answers(self) -> None:
        table = bench(STUN)
        assert not is_done(table)
        table.gatherer.end_of_local_addresses()
        assert not is_done(table)
        (asked,) = ask_all(table)
        assert not is_done(table)
        answer(table, asked, XorMappedAddress(MAPPED))
        table.take()
        assert table.gatherer.is_reportable
        assert is_done(table)
        assert table.gatherer.is_done
        assert table.take() == [GatheringCompleted()]
        assert not is_done(table)

    def test_is_told_again_when_something_was_added_since(self) -> None:
        table = bench()
        table.gatherer.end_of_local_addresses()
        assert is_done(table)
        table.add_host(SECOND_HOST)
        assert is_done(table)
        table.gatherer.set_servers((STUN,), now=1.0)
        assert not is_done(table)

    def test_a_server_of_a_family_that_no_socket_has_is_reported_once(self) -> None:
        table = bench(server_at(SERVER6, "stun"))
        table.gatherer.end_of_local_addresses()
        assert is_done(table)
        assert failures(table) == [(f"stun:{SERVER6}", None, None, Cause.NO_COMMON_FAMILY)]
        table.add_host(SECOND_HOST)
        assert is_done(table)
        assert failures(table) == []

    def test_a_stun_server_that_relay_only_leaves_aside_has_not_failed(self) -> None:
        table = bench(STUN, settings=replace(config(), relay_only=True))
        table.gatherer.end_of_local_addresses()
        assert is_done(table)
        assert failures(table) == []


class TestKeepalive:
    def answered(self) -> Bench:
        table = bench(STUN)
        (asked,) = ask_all(table)
        answer(table, asked, XorMappedAddress(MAPPED), now=1.0)
        table.take()
        return table

    @pytest.mark.rfc("8445", "5.1.1.4")
    @pytest.mark.rfc("8445", "11")
    def test_a_binding_is_kept_alive_by_requests_every_15_seconds(self) -> None:
        table = self.answered()
        assert keepalive_at(table) == 1.0 + KEEPALIVE_INTERVAL
        for now in (16.0, 31.0):
            table.core.timers.cancel(TimerKey(TimerKind.KEEPALIVE))
            table.gatherer.keep_alive(is_concluded=False, now=now)
            (sent,) = table.sent()
            assert (sent.local, sent.remote) == (HOST, SERVER)
            message = decode_message(sent.payload)
            assert (message.method, message.message_class) == (Method.BINDING, MessageClass.REQUEST)
            assert keepalive_at(table) == now + 15.0

    @pytest.mark.rfc("8445", "5.1.1.4")
    def test_it_ends_with_ice_processing(self) -> None:
        table = self.answered()
        table.core.timers.cancel(TimerKey(TimerKind.KEEPALIVE))
        table.gatherer.keep_alive(is_concluded=True, now=16.0)
        assert table.sent() == []
        assert keepalive_at(table) is None

    @pytest.mark.rfc("8445", "5.1.1.4")
    def test_a_restart_begins_it_anew(self) -> None:
        table = self.answered()
        table.core.timers.cancel(TimerKey(TimerKind.KEEPALIVE))
        restart_stream(table.core, table.consent, table.gatherer, table.core.streams[1], NEW, now=100.0)
        assert keepalive_at(table) == 115.0

    def test_two_bindings_are_kept_by_one_timer(self) -> None:
        table = bench(STUN, server_at(SECOND_SERVER, "stun"))
        for number, asked in enumerate(ask_all(table)):
            answer(table, asked, XorMappedAddress(MAPPED), now=float(number))
        assert keepalive_at(table) == 15.0
        table.take()
        table.gatherer.keep_alive(is_concluded=False, now=15.0)
        assert {each.remote for each in table.sent()} == {SERVER, SECOND_SERVER}

    def test_a_socket_that_is_gone_is_not_kept(self) -> None:
        table = self.answered()
        del table.core.sockets[HOST]
        table.gatherer.keep_alive(is_concluded=False, now=16.0)
        assert table.sent() == []

    def test_its_answer_its_silence_and_its_errors_tell_nothing(self) -> None:
        table = self.answered()
        for now in (16.0, 31.0):
            table.gatherer.keep_alive(is_concluded=False, now=now)
        first, second = table.sent()
        answer(table, first, XorMappedAddress(Address(MAPPED.host, 1)), now=16.1)
        query = query_of(table)
        assert query.is_keepalive
        table.gatherer.on_timeout(query)
        table.gatherer.on_unreachable(query)
        assert table.take() == []
        assert second.remote == SERVER

    @pytest.mark.rfc("8445", "5.1.1.4")
    def test_a_relays_path_is_kept_even_when_ice_has_concluded(self) -> None:
        table = bench(TURN)
        relay = allocate(table)
        table.grant(relay, RELAYED, now=2.0)
        assert keepalive_at(table) == 17.0
        table.take()
        table.core.timers.cancel(TimerKey(TimerKind.KEEPALIVE))
        table.gatherer.keep_alive(is_concluded=True, now=17.0)
        (sent,) = table.sent()
        assert (sent.local, sent.remote) == (HOST, SERVER)
        assert decode_message(sent.payload).message_class is MessageClass.INDICATION
        assert keepalive_at(table) == 32.0


class TestRestart:
    @pytest.mark.rfc("8445", "9")
    def test_candidates_are_announced_again_under_the_new_ufrag(self) -> None:
        table = bench(STUN)
        (asked,) = ask_all(table)
        answer(table, asked, XorMappedAddress(MAPPED))
        pair = table.make_pair(table.core.sockets[HOST])
        table.meet()
        table.outgoing.send(table.generation(), pair, now=1.0)
        check = table.check_of(pair)
        learnt = table.answer_check(pair, mapped=Address("203.0.113.77", 1))
        table.outgoing.on_response(table.generation(), check, learnt, now=1.1)
        table.gatherer.end_of_local_addresses()
        assert is_done(table)
        table.take()
        restart_stream(table.core, table.consent, table.gatherer, table.core.streams[1], NEW, now=2.0)
        told = gathered(table)
        assert [each.type for each in told] == [CandidateType.HOST, CandidateType.SERVER_REFLEXIVE]
        assert {each.ufrag for each in told} == {NEW.ufrag}
        assert {address for address, _ in table.generation().candidates} == {HOST, MAPPED}
        assert is_done(table)

    def test_not_those_whose_base_is_gone(self) -> None:
        table = bench()
        del table.core.sockets[HOST]
        table.take()
        restart_stream(table.core, table.consent, table.gatherer, table.core.streams[1], NEW, now=2.0)
        assert gathered(table) == []


@pytest.mark.rfc("8828", "5.2")
class TestStreamsOnly:
    def test_a_server_is_reached_by_tcp_and_tls_and_not_by_udp(self) -> None:
        table = Bench(replace(config(), relay_only=True, streams_only=True))
        server = Server(parse_server_uri("turn:relay.example"), "user", Secret("secret"))
        table.gatherer.set_servers((server,), now=0.0)
        (question,) = [output for output in table.take() if isinstance(output, Resolve)]
        answers = tuple(
            ResolvedAddress(transport, security, SERVER)
            for transport, security in (
                (Transport.UDP, Security.NONE),
                (Transport.UDP, Security.DTLS),
                (Transport.TCP, Security.NONE),
                (Transport.TCP, Security.TLS),
            )
        )
        table.gatherer.on_resolution(Resolved(question.handle, answers))
        table.add_host()
        table.gatherer.ask_next(now=0.0)
        outputs = table.take()
        opened = [(output.transport, output.security) for output in outputs if isinstance(output, Connect)]
        assert opened == [(Transport.TCP, Security.NONE), (Transport.TCP, Security.TLS)]
        assert not [output for output in outputs if isinstance(output, Datagram)]

    def test_a_url_that_means_udp_has_failed(self) -> None:
        table = Bench(replace(config(), relay_only=True, streams_only=True))
        table.gatherer.set_servers((server_at(SERVER),), now=0.0)
        (failed,) = table.events(ServerFailed)
        assert failed.reason is Cause.UNSUPPORTED


@pytest.mark.rfc("8445", "5.1.1.2")
class TestTranslators:
    """An IPv6-only agent and a server that is told by its IPv4 address."""

    SERVER4 = Address("11.0.0.1", 3478)
    SHOWN = (ResolvedAddress(Transport.UDP, Security.NONE, Address("64:ff9b::c000:aa", 0)),)

    def table(self) -> Bench:
        table = Bench(config())
        table.gatherer.set_servers((Server(parse_server_uri(f"stun:{self.SERVER4}")),), now=0.0)
        table.add_host(HOST6)
        table.gatherer.end_of_local_addresses()
        table.take()
        assert table.gatherer.wants_ipv4
        table.core.nat64.query = Handle(99)
        return table

    def test_gathering_waits_for_the_answer_and_then_asks_through_the_translator(self) -> None:
        table = self.table()
        assert not table.gatherer.is_reportable
        assert table.gatherer.on_resolution(Resolved(Handle(99), self.SHOWN))
        assert not table.gatherer.wants_ipv4
        table.gatherer.ask_next(now=0.0)
        (asked,) = table.sent()
        assert asked.remote == Address("64:ff9b::b00:1", 3478)

    def test_without_a_translator_the_server_has_no_family_in_common(self) -> None:
        table = self.table()
        assert table.gatherer.on_resolution(Failed(Handle(99), FailReason.NAME_NOT_FOUND, "no such name"))
        assert table.gatherer.report_if_done()
        (failed,) = table.events(ServerFailed)
        assert failed.reason is Cause.NO_COMMON_FAMILY


def test_a_listener_is_two_candidates_and_asks_no_server() -> None:
    table = Bench(replace(config(), tcp=True))
    table.gatherer.set_servers((server_at(SERVER),), now=0.0)
    socket = Socket(LocalAddress(HOST, transport=Transport.TCP), stream=1, component=1, preference=8191)
    table.core.sockets[socket.address] = socket
    table.gatherer.add_socket(socket)
    found = [event.candidate.tcp_type for event in table.events(CandidateGathered)]
    assert found == [TcpType.ACTIVE, TcpType.PASSIVE]
    assert not table.gatherer.has_asks


def test_sockets_for_relays_tell_no_host_candidate() -> None:
    table = Bench()
    socket = Socket(LocalAddress(HOST, use=SocketUse.RELAYS), stream=1, component=1, preference=1)
    table.gatherer.add_socket(socket)
    assert table.events(CandidateGathered) == []


class TestRelays:
    """What gathering does when relays report; the relays themselves are test_relays.py's."""

    @pytest.mark.rfc("8445", "5.1.1.2")
    @pytest.mark.parametrize("reason", [AllocationFailure.QUOTA, AllocationFailure.CAPACITY])
    def test_a_server_that_is_full_is_asked_for_the_reflexive_address(self, reason: AllocationFailure) -> None:
        table = bench(TURN)
        relay = allocate(table)
        table.gatherer.on_relay_event(relay, AllocationFailed(reason, 486, ""), now=1.0)
        (asked,) = ask_all(table)
        assert (asked.local, asked.remote) == (HOST, SERVER)
        assert decode_message(asked.payload).method == Method.BINDING
        answer(table, asked, XorMappedAddress(MAPPED))
        (told,) = gathered(table)
        assert (told.type, told.address, told.url) == (CandidateType.SERVER_REFLEXIVE, MAPPED, TURN_URL)

    @pytest.mark.parametrize("case", ["relay-only", "for relays", "server gone", "socket gone", "refused", "lost"])
    def test_but_not_when_that_is_of_no_use(self, case: str) -> None:
        table = bench(TURN, hosts=(), settings=replace(config(), relay_only=case == "relay-only"))
        table.add_host(use=SocketUse.RELAYS if case == "for relays" else SocketUse.ALL)
        relay = allocate(table)
        if case == "server gone":
            table.gatherer.set_servers((), now=1.0)
        if case == "socket gone":
            del table.core.sockets[HOST]
        reason = AllocationFailure.FORBIDDEN if case == "refused" else AllocationFailure.QUOTA
        event = (AllocationLost if case == "lost" else AllocationFailed)(reason, 486, "")
        table.gatherer.on_relay_event(relay, event, now=1.0)
        assert not table.gatherer.has_asks

    def test_two_users_of_one_server_cannot_share_a_socket(self) -> None:
        bob = Server(parse_server_uri(TURN_URL), "bob", Secret("builder"))
        table = bench(turn_server(UDP_URL), bob)
        table.take()
        while table.gatherer.has_asks:
            table.gatherer.ask_next(now=0.0)
        assert failures(table) == [(TURN_URL, HOST, None, Cause.UNSUPPORTED)]
        assert len(table.core.relays) == 1

    def test_its_candidates_are_told_once_and_what_else_it_says_ends_no_waiting(self) -> None:
        table = bench(TURN)
        relay = allocate(table)
        table.gatherer.end_of_local_addresses()
        table.gatherer.on_relay_event(relay, CredentialsRejected(401, 9.0), now=0.5)
        assert not table.gatherer.is_reportable
        assert not table.gatherer.can_announce
        relay.relayed = (RELAYED,)
        table.gatherer.on_relay_event(relay, Allocated((RELAYED,), MAPPED, 600), now=1.0)
        assert table.gatherer.can_announce
        assert not table.gatherer.is_reportable
        assert [socket.address for socket in table.gatherer.announce_relays()] == [RELAYED]
        assert not table.gatherer.can_announce
        assert table.gatherer.is_reportable

    def test_a_relay_by_byte_stream_needs_no_keepalive(self) -> None:
        table = bench(turn_server(TCP_URL))
        allocate(table)
        table.take()
        table.gatherer.keep_alive(is_concluded=True, now=15.0)
        assert table.take() == []
        assert keepalive_at(table) == 30.0
