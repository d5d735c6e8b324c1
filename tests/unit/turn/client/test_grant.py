from __future__ import annotations

import pytest

from icepath.machine import Transport
from icepath.net import Address
from icepath.turn.client.config import AllocationConfig
from icepath.turn.client.events import AddressFamilyRefused
from icepath.turn.client.exchange import Purpose
from icepath.turn.client.grant import Grant, allocate_request, family_of, read_grant, refresh_request
from icepath.turn.client.routes import Route
from icepath.wire.attributes import (
    AdditionalAddressFamily,
    AddressErrorCode,
    AddressFamily,
    Attribute,
    DontFragment,
    EvenPort,
    Lifetime,
    MobilityTicket,
    RequestedAddressFamily,
    RequestedTransport,
    ReservationToken,
    Software,
    XorMappedAddress,
    XorRelayedAddress,
)
from icepath.wire.message import Message, MessageClass, Method, TransactionId, decode_message, encode_message
from unit.turn.scripted import BOTH, LOCAL, MAPPED, PEER, PEER6, RELAYED, RELAYED6, SERVER

V4, V6 = AddressFamily.IPV4, AddressFamily.IPV6


def config(
    *families: AddressFamily,
    lifetime: int = 600,
    software: str | None = None,
    dont_fragment: bool = False,
    even_port: bool | None = None,
    reservation: bytes | None = None,
    mobility: bool = False,
) -> AllocationConfig:
    return AllocationConfig(
        SERVER,
        LOCAL,
        families=families or (V4,),
        lifetime=lifetime,
        software=software,
        dont_fragment=dont_fragment,
        even_port=even_port,
        reservation=reservation,
        mobility=mobility,
    )


def answer(*attributes: Attribute) -> Message:
    return decode_message(encode_message(Method.ALLOCATE, MessageClass.SUCCESS, TransactionId(bytes(12)), attributes))


@pytest.mark.rfc("8656", "7.1")
class TestAllocateRequest:
    def test_asks_for_udp_and_nothing_else(self) -> None:
        request = allocate_request(config())
        assert request.attributes == (RequestedTransport(17),)
        assert (request.purpose, request.is_paced) == (Purpose.ALLOCATE, True)

    def test_asks_for_ipv6(self) -> None:
        assert RequestedAddressFamily(V6) in allocate_request(config(V6)).attributes

    @pytest.mark.parametrize("families", [(V4, V6), (V6, V4)])
    def test_asks_for_both_with_the_one_value_that_is_valid(self, families: tuple[AddressFamily, ...]) -> None:
        attributes = allocate_request(config(*families)).attributes
        assert attributes == (RequestedTransport(), AdditionalAddressFamily(V6))

    def test_adds_what_was_configured(self) -> None:
        request = allocate_request(config(lifetime=1200, software="icepath", dont_fragment=True))
        assert request.attributes == (RequestedTransport(), Lifetime(1200), DontFragment(), Software("icepath"))

    @pytest.mark.rfc("6062", "4.1")
    def test_asks_for_tcp(self) -> None:
        routes = (Route(SERVER, Transport.TCP),)
        request = allocate_request(AllocationConfig(SERVER, LOCAL, routes=routes, relay_transport=Transport.TCP))
        assert request.attributes == (RequestedTransport(6),)

    @pytest.mark.rfc("8016", "3.1.1")
    def test_asks_for_a_ticket(self) -> None:
        request = allocate_request(config(mobility=True))
        assert request.attributes == (RequestedTransport(), MobilityTicket(b""))

    def test_leaves_out_what_the_server_lacks(self) -> None:
        lacking = frozenset({DontFragment.TYPE, MobilityTicket.TYPE})
        request = allocate_request(config(dont_fragment=True, mobility=True), lacking=lacking)
        assert request.attributes == (RequestedTransport(),)

    @pytest.mark.parametrize("reserves_next", [False, True])
    def test_asks_for_an_even_port(self, reserves_next: bool) -> None:
        request = allocate_request(config(V6, even_port=reserves_next))
        assert request.attributes == (RequestedTransport(), RequestedAddressFamily(V6), EvenPort(reserves_next))

    def test_a_reserved_port_has_its_own_family(self) -> None:
        request = allocate_request(config(V6, reservation=b"12345678"))
        assert request.attributes == (RequestedTransport(), ReservationToken(b"12345678"))


@pytest.mark.rfc("8656", "8.1")
def test_a_refresh_renews_or_deletes_without_a_slot() -> None:
    for purpose in (Purpose.REFRESH, Purpose.MIGRATE):
        renewal = refresh_request(config(lifetime=1200), purpose)
        assert (renewal.attributes, renewal.is_paced) == ((Lifetime(1200),), False)
    for purpose in (Purpose.RELEASE, Purpose.EVICT):
        assert refresh_request(config(software="x"), purpose).attributes == (Lifetime(0), Software("x"))


@pytest.mark.rfc("8656", "7.3")
class TestReadGrant:
    def test_reads_what_was_granted(self) -> None:
        message = answer(XorRelayedAddress(RELAYED), XorMappedAddress(MAPPED), Lifetime(1234))
        assert read_grant(message, config()) == Grant((RELAYED,), (V4,), MAPPED, 1234, None)

    @pytest.mark.parametrize(("even_port", "token"), [(None, None), (False, None), (True, b"12345678")])
    def test_a_reservation_is_read_when_it_was_asked_for(self, even_port: bool | None, token: bytes | None) -> None:
        message = answer(XorRelayedAddress(RELAYED), Lifetime(600), ReservationToken(b"12345678"))
        grant = read_grant(message, config(even_port=even_port))
        assert grant is not None
        assert grant.reservation == token

    def test_orders_families(self) -> None:
        message = answer(XorRelayedAddress(RELAYED6), XorRelayedAddress(RELAYED), Lifetime(600))
        grant = read_grant(message, config(*BOTH))
        assert grant is not None
        assert grant.relayed == (RELAYED, RELAYED6)
        assert grant.families == (V4, V6)
        assert grant.mapped is None

    def test_takes_the_first_of_a_family(self) -> None:
        message = answer(XorRelayedAddress(RELAYED), XorRelayedAddress(PEER), Lifetime(600))
        grant = read_grant(message, config())
        assert grant is not None
        assert grant.relayed == (RELAYED,)

    def test_assumes_the_default_lifetime(self) -> None:
        grant = read_grant(answer(XorRelayedAddress(RELAYED)), config())
        assert grant is not None
        assert grant.lifetime == 600

    def test_reports_the_family_it_did_not_get(self) -> None:
        message = answer(XorRelayedAddress(RELAYED), AddressErrorCode(V6, 508, "full"))
        grant = read_grant(message, config(*BOTH))
        assert grant is not None
        assert grant.refused == AddressFamilyRefused(V6, 508, "full")

    @pytest.mark.parametrize(
        "attributes",
        [
            (),
            (XorMappedAddress(MAPPED), Lifetime(600)),
            (XorRelayedAddress(RELAYED6), Lifetime(600)),
            (XorRelayedAddress(RELAYED), XorRelayedAddress(RELAYED6), Lifetime(600)),
            (XorRelayedAddress(RELAYED), Lifetime(0)),
            (XorRelayedAddress(Address("0.0.0.0", 49200)), Lifetime(600)),
            (XorRelayedAddress(Address("198.51.100.1", 0)), Lifetime(600)),
        ],
    )
    def test_refuses_what_was_not_asked_for(self, attributes: tuple[Attribute, ...]) -> None:
        assert read_grant(answer(*attributes), config()) is None


def test_a_peer_talks_to_the_address_of_its_family() -> None:
    grant = Grant((RELAYED, RELAYED6), BOTH, None, 600, None)
    assert grant.relayed_for(PEER) == RELAYED
    assert grant.relayed_for(PEER6) == RELAYED6
    assert Grant((RELAYED6,), (V6,), None, 600, None).relayed_for(PEER) is None


def test_family_of_a_host() -> None:
    assert (family_of("192.0.2.1"), family_of("2001:db8::1")) == (V4, V6)
