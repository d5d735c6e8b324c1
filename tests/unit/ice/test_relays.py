"""Relays: which allocation is asked for by which routes, what it reports, and when its candidates are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.errors import Cause
from icepath.ice.candidate import candidate_priority
from icepath.ice.config import AgentConfig
from icepath.ice.core import Relay, Socket
from icepath.ice.events import ChallengeRemembered, ServerFailed
from icepath.ice.local import LocalSide
from icepath.ice.relays import Relays
from icepath.ice.servers import group_servers
from icepath.machine import (
    Bytes,
    Closed,
    CloseReason,
    Connect,
    Datagram,
    Failed,
    FailReason,
    MachineClosed,
    Opened,
    Resolve,
    Resolved,
    ResolvedAddress,
    Security,
    Transport,
)
from icepath.net import Address
from icepath.stun.credentials import Challenge
from icepath.stun.transaction import RetransmissionPolicy
from icepath.turn.client.events import (
    AddressFamilyRefused,
    AllocationEvent,
    AllocationFailed,
    AllocationFailure,
    AllocationLost,
    CredentialsRejected,
    PermissionsInstalled,
    Redirected,
)
from icepath.turn.client.events import ChallengeRemembered as AllocationChallengeRemembered
from icepath.turn.client.routes import Route
from icepath.wire.attributes import (
    AdditionalAddressFamily,
    Attribute,
    ErrorCode,
    Lifetime,
    Nonce,
    Realm,
    XorMappedAddress,
    XorRelayedAddress,
)
from icepath.wire.candidate_line import CandidateType
from icepath.wire.message import decode_message
from unit.ice.asking import (
    ALICE,
    HOST6,
    KEY,
    OTHER_SERVER,
    RELAYED6,
    TCP_URL,
    TLS_URL,
    TURN,
    TURN_URL,
    UDP_URL,
    allocate,
    ask_all,
    bench,
    failures,
    gathered,
    is_done,
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
)


class TestRelayed:
    def granted(self, *relayed: Address, settings: AgentConfig | None = None) -> tuple[Bench, Relay, list[Socket]]:
        table = bench(TURN, settings=settings)
        relay = allocate(table)
        sockets = table.grant(relay, *relayed)
        return table, relay, sockets

    @pytest.mark.rfc("8445", "5.1.1.2")
    def test_an_allocation_gives_a_relayed_and_a_server_reflexive_candidate(self) -> None:
        table, relay, (socket,) = self.granted(RELAYED)
        reflexive, relayed = gathered(table)
        assert (reflexive.type, reflexive.address, reflexive.related_address) == (
            CandidateType.SERVER_REFLEXIVE,
            MAPPED,
            HOST,
        )
        assert (relayed.type, relayed.address, relayed.related_address) == (CandidateType.RELAYED, RELAYED, MAPPED)
        assert relayed.priority == candidate_priority(CandidateType.RELAYED, socket.preference, 1)
        assert (relayed.url, relayed.ufrag) == (TURN_URL, OWN.ufrag)
        assert table.core.sockets[RELAYED] is socket
        assert socket.relay is relay
        local = table.generation().local_at(RELAYED, 1)
        assert local is not None
        assert local.base == RELAYED

    def test_both_families_may_be_granted(self) -> None:
        table, _, sockets = self.granted(RELAYED, RELAYED6)
        assert [socket.address for socket in sockets] == [RELAYED, RELAYED6]
        priorities = [told.priority for told in gathered(table)]
        assert len(set(priorities)) == 3

    @pytest.mark.rfc("8445", "5.1.1.2")
    def test_one_that_equals_a_host_candidate_is_discarded(self) -> None:
        table, _, sockets = self.granted(HOST)
        assert sockets == []
        assert [told.type for told in gathered(table)] == [CandidateType.SERVER_REFLEXIVE]

    def test_relay_only_hides_the_host(self) -> None:
        table, _, _ = self.granted(RELAYED, RELAYED6, settings=replace(config(), relay_only=True))
        four, six = gathered(table)
        assert (four.related_address, six.related_address) == (Address("0.0.0.0", 0), Address("::", 0))
        assert {told.type for told in (four, six)} == {CandidateType.RELAYED}

    def test_one_that_ends_before_that_is_not_announced(self) -> None:
        table, relay = self.asked_with_a_remote_candidate()
        assert table.grant(relay, RELAYED, key=KEY) == []
        table.gatherer.on_relay_event(relay, MachineClosed(), now=1.0)
        table.run_relay(relay, now=1.0)
        assert table.gatherer.announce_relays() == []
        assert table.core.relays_by_path == {}

    def asked_with_a_remote_candidate(self) -> tuple[Bench, Relay]:
        """Answers a 401 to the first Allocate: the permission goes right behind the second."""
        table = bench(ALICE, hosts=())
        table.meet(candidate())
        table.add_host()
        relay = allocate(table)
        error: list[Attribute] = [ErrorCode(401, ""), Realm("example.org"), Nonce(b"nonce")]
        request = last_request(table.sent(), SERVER)
        table.to_relay(relay, reply(request, error, key=None, is_error=True), now=0.0)
        table.run_relay(relay, now=0.006)
        assert relay.allocation.has_unsent_permissions
        return table, relay

    @pytest.mark.rfc("8445", "5.1.1.2")
    @pytest.mark.parametrize(
        ("reason", "code", "cause"),
        [
            (AllocationFailure.NO_ANSWER, None, Cause.SERVER_UNREACHABLE),
            (AllocationFailure.WRONG_CREDENTIALS, 401, Cause.WRONG_CREDENTIALS),
            (AllocationFailure.CREDENTIALS_NEEDED, 401, Cause.WRONG_CREDENTIALS),
            (AllocationFailure.QUOTA, 486, Cause.ALLOCATION_QUOTA),
            (AllocationFailure.UNSUPPORTED_TRANSPORT, 442, Cause.UNSUPPORTED),
            (AllocationFailure.CAPACITY, 508, Cause.SERVER_REFUSED),
        ],
    )
    def test_a_refusal_is_reported_with_its_cause(
        self, reason: AllocationFailure, code: int | None, cause: Cause
    ) -> None:
        table = bench(TURN)
        relay = allocate(table)
        table.take()
        table.gatherer.on_relay_event(relay, AllocationFailed(reason, code, ""), now=1.0)
        (event,) = table.events(ServerFailed)
        assert (event.url, event.local, event.code, event.reason) == (TURN_URL, HOST, code, cause)
        assert event.text == reason.value
        assert relay.is_over
        table.gatherer.end_of_local_addresses()
        assert is_done(table) is not table.gatherer.has_asks

    def test_a_loss_is_reported_likewise(self) -> None:
        table, relay, _ = self.granted(RELAYED)
        table.take()
        table.gatherer.on_relay_event(relay, AllocationLost(AllocationFailure.MISMATCH, 437, "gone"), now=1.0)
        assert table.take() == [ServerFailed(TURN_URL, HOST, 437, Cause.SERVER_REFUSED, "gone")]
        assert relay.is_over

    @pytest.mark.parametrize(
        ("event", "expected"),
        [
            (AddressFamilyRefused(2, 440, "no"), ServerFailed(TURN_URL, HOST, 440, Cause.UNSUPPORTED, "no")),
            (
                CredentialsRejected(401, 9.0),
                ServerFailed(TURN_URL, HOST, 401, Cause.WRONG_CREDENTIALS, "refresh refused"),
            ),
            (
                AllocationChallengeRemembered(Challenge("example.org", b"nonce")),
                ChallengeRemembered(TURN_URL, Challenge("example.org", b"nonce")),
            ),
        ],
    )
    def test_what_else_an_allocation_tells_is_passed_on(
        self, event: AllocationEvent, expected: ServerFailed | ChallengeRemembered
    ) -> None:
        table, relay, _ = self.granted(RELAYED)
        table.take()
        table.gatherer.on_relay_event(relay, event, now=1.0)
        assert table.take() == [expected]
        assert not relay.is_over

    def test_what_is_the_allocations_own_business_is_not(self) -> None:
        table, relay, _ = self.granted(RELAYED)
        table.take()
        table.gatherer.on_relay_event(relay, PermissionsInstalled((REMOTE.host,)), now=1.0)
        assert table.take() == []

    @pytest.mark.parametrize(("hosts", "asks_for_both"), [((HOST,), True), ((HOST, HOST6), False)])
    def test_a_host_of_one_family_wants_relayed_addresses_of_both(
        self, hosts: tuple[Address, ...], asks_for_both: bool
    ) -> None:
        table = bench(TURN, hosts=hosts)
        (asked,) = ask_all(table)
        assert (decode_message(asked.payload).get(AdditionalAddressFamily) is not None) is asks_for_both

    def test_it_is_announced_when_its_permissions_are_on_their_way(self) -> None:
        table, relay = self.asked_with_a_remote_candidate()
        assert table.grant(relay, RELAYED, key=KEY) == []
        assert not table.gatherer.can_announce
        table.gatherer.end_of_local_addresses()
        assert not is_done(table)
        table.take()
        table.run_relay(relay, now=0.1)
        assert table.gatherer.can_announce
        table.gatherer.announce_relays()
        assert [told.address for told in gathered(table)] == [RELAYED]
        assert not table.gatherer.can_announce
        assert is_done(table)


class TestRoutes:
    """One TURN server that several URLs lead to; byte streams are played by hand."""

    def race(self, *urls: str, settings: AgentConfig | None = None) -> tuple[Bench, Relay]:
        table = bench(*(turn_server(url) for url in urls), settings=settings)
        table.take()
        relay = allocate(table)
        return table, relay

    def to_stream(self, table: Bench, relay: Relay, arrival: Opened | Failed | Bytes | Closed, now: float) -> None:
        relay.allocation.receive(arrival, now=now)
        table.core.settle(relay, now=now)

    def test_all_are_tried_at_once_with_one_allocation(self) -> None:
        table, relay = self.race(UDP_URL, TCP_URL, TLS_URL)
        outputs = table.take()
        assert [(each.local, each.remote) for each in outputs if isinstance(each, Datagram)] == [(HOST, SERVER)]
        opened = [each for each in outputs if isinstance(each, Connect)]
        assert [(each.remote, each.security) for each in opened] == [
            (SERVER, Security.NONE),
            (Address(SERVER.host, 5349), Security.TLS),
        ]
        assert opened[1].server_name == SERVER.host
        assert [each.local for each in opened] == [Address(HOST.host, 0)] * 2
        assert table.core.relays_by_handle == {each.handle: relay for each in opened}
        assert all(each.verify for each in opened)

    def test_certificates_are_not_verified_when_the_config_says_so(self) -> None:
        table, _ = self.race(TLS_URL, settings=replace(config(), verify_certificates=False))
        assert [each.verify for each in table.take() if isinstance(each, Connect)] == [False]

    @pytest.mark.rfc("8656", "7.2")
    def test_over_a_byte_stream_there_is_a_relayed_candidate_and_no_reflexive_one(self) -> None:
        table, relay = self.race(UDP_URL, TCP_URL)
        (connect,) = [each for each in table.take() if isinstance(each, Connect)]
        self.to_stream(table, relay, Opened(connect.handle, Address(HOST.host, 9), SERVER), 0.1)
        table.run_relay(relay, now=0.3)
        (asked,) = [each for each in table.take() if isinstance(each, Bytes)]
        request = decode_message(asked.payload)
        granted: list[Attribute] = [XorRelayedAddress(RELAYED), XorMappedAddress(MAPPED), Lifetime(600)]
        self.to_stream(table, relay, Bytes(connect.handle, reply(request, granted, key=None)), 0.4)
        table.relay_events(0.4)
        assert [socket.address for socket in table.gatherer.announce_relays()] == [RELAYED]
        (made,) = gathered(table)
        assert (made.type, made.url) == (CandidateType.RELAYED, TCP_URL)
        table.gatherer.keep_alive(is_concluded=False, now=20.0)
        assert table.take() == []
        self.to_stream(table, relay, Closed(connect.handle, CloseReason.EOF), 21.0)
        table.relay_events(21.0)
        ((url, local, _, cause),) = failures(table)
        assert (url, local, cause) == (TCP_URL, HOST, Cause.SERVER_UNREACHABLE)
        assert relay.is_over

    def test_a_url_is_reported_when_none_of_its_routes_is_left(self) -> None:
        table, relay = self.race(UDP_URL, TCP_URL)
        (connect,) = [each for each in table.take() if isinstance(each, Connect)]
        self.to_stream(table, relay, Failed(connect.handle, FailReason.REFUSED, "refused"), 0.1)
        table.relay_events(0.1)
        assert [(url, cause) for url, _, _, cause in failures(table)] == [(TCP_URL, Cause.SERVER_UNREACHABLE)]
        assert not relay.is_over

    def test_one_route_of_a_url_that_leads_nowhere_is_not_reported(self) -> None:
        table = bench(turn_server("turn:turn.example.org"))
        (asked,) = [each for each in table.take() if isinstance(each, Resolve)]
        found = [ResolvedAddress(kind, Security.NONE, SERVER) for kind in (Transport.UDP, Transport.TCP)]
        assert table.gatherer.on_resolution(Resolved(asked.handle, tuple(found)))
        relay = allocate(table)
        (connect,) = [each for each in table.take() if isinstance(each, Connect)]
        self.to_stream(table, relay, Failed(connect.handle, FailReason.REFUSED, "refused"), 0.1)
        table.relay_events(0.1)
        assert failures(table) == []

    def test_names_of_one_server_are_waited_for_together(self) -> None:
        table = bench(turn_server("turn:turn.example.org?transport=udp"), turn_server("turns:turn.example.org"))
        first, second = [each for each in table.take() if isinstance(each, Resolve)]
        table.gatherer.on_resolution(Resolved(first.handle, (ResolvedAddress(Transport.UDP, Security.NONE, SERVER),)))
        assert not table.gatherer.has_asks
        table.gatherer.on_resolution(Failed(second.handle, FailReason.NAME_NOT_FOUND, "no such name"))
        assert table.gatherer.has_asks
        assert [(url, cause) for url, _, _, cause in failures(table)] == [
            ("turns:turn.example.org", Cause.SERVER_NAME_NOT_FOUND)
        ]

    @pytest.mark.rfc("8489", "10")
    def test_datagrams_of_the_server_it_was_sent_to_are_the_relays(self) -> None:
        table, relay = self.race(UDP_URL)
        table.gatherer.on_relay_event(relay, Redirected(Route(OTHER_SERVER)), now=1.0)
        table.gatherer.on_relay_event(
            relay, Redirected(Route(OTHER_SERVER, Transport.TCP)), now=1.0
        )  # streams are known by their handles
        assert set(table.core.relays_by_path) == {(HOST, SERVER), (HOST, OTHER_SERVER)}
        table.gatherer.on_relay_event(relay, MachineClosed(), now=2.0)
        assert table.core.relays_by_path == {}

    def test_a_full_server_behind_a_byte_stream_is_not_asked_over_udp(self) -> None:
        table, relay = self.race(TCP_URL)
        table.take()
        failed = AllocationFailed(AllocationFailure.QUOTA, 486, "quota")
        table.gatherer.on_relay_event(relay, failed, now=1.0)
        assert not table.gatherer.has_asks

    def test_what_a_relay_of_a_server_given_up_reports_goes_under_its_first_url(self) -> None:
        table, relay = self.race(UDP_URL, TCP_URL)
        table.gatherer.set_servers((), now=1.0)
        table.gatherer.on_relay_event(relay, AllocationLost(AllocationFailure.REFUSED, 403, "gone"), now=2.0)
        assert [url for url, *_ in failures(table)] == [UDP_URL]

    def test_a_second_allocation_on_one_five_tuple_is_not_opened(self) -> None:
        table = bench(turn_server(UDP_URL))
        allocate(table)
        relays = Relays(table.core, LocalSide(table.core))
        (group,) = group_servers((turn_server(UDP_URL),))
        found = group.urls[0].literal()
        assert found is not None
        group.urls[0].found = (found,)
        assert not relays.open(group, table.core.sockets[HOST], RetransmissionPolicy(), now=1.0)
        assert len(table.core.relays) == 1
