from __future__ import annotations

import pytest

from icepath.machine import DatagramDropped, DropReason
from icepath.net import Address
from icepath.stun.credentials import derive_key
from icepath.wire.attributes import (
    AdditionalAddressFamily,
    Attribute,
    ChannelNumber,
    ErrorCode,
    EvenPort,
    Lifetime,
    Nonce,
    Realm,
    RequestedAddressFamily,
    RequestedTransport,
    ReservationToken,
    Software,
    UnknownAttribute,
    UnknownAttributes,
    XorPeerAddress,
    XorRelayedAddress,
)
from icepath.wire.message import Method, verify
from unit.turn.serving import ALICE, BOB, CLIENT, LISTEN, PEER, PEER6, REALM, RELAY4, RELEASE, V4, V6, Desk

UDP = RequestedTransport()
OTHER_CLIENT = Address(CLIENT.host, 61001)
ALICES_KEY = derive_key(ALICE.username, REALM, ALICE.password)
METHODS = (Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND)


class TestGate:
    @pytest.mark.rfc("8656", "7.2")
    @pytest.mark.parametrize("method", METHODS)
    def test_nothing_happens_without_credentials(self, method: Method) -> None:
        desk = Desk(authenticates=True)
        message = desk.ask(method, UDP, Lifetime(0))
        assert message is not None
        error = message.get(ErrorCode)
        assert error is not None
        assert error.code == 401
        assert message.get(Realm) == Realm(REALM)
        assert message.get(Nonce) is not None
        assert not message.has_integrity
        assert not desk.commands
        assert desk.server.allocation_count == 0

    def test_with_credentials_answers_are_signed(self) -> None:
        desk = Desk(authenticates=True)
        verify(desk.allocate(credentials=ALICE), ALICES_KEY)
        for method in METHODS:
            message = desk.ask(method, credentials=ALICE)
            assert message is not None
            verify(message, ALICES_KEY)

    @pytest.mark.rfc("8489", "6.3.1")
    @pytest.mark.parametrize("is_authenticated", [False, True])
    def test_unknown_attributes_are_listed(self, is_authenticated: bool) -> None:
        desk = Desk(authenticates=is_authenticated)
        unknown = UnknownAttribute(0x7FFF, b"")
        message = desk.ask(Method.ALLOCATE, UDP, unknown, credentials=ALICE if is_authenticated else None)
        assert message is not None
        assert message.get(UnknownAttributes) == UnknownAttributes((0x7FFF,))
        assert message.has_integrity is is_authenticated

    @pytest.mark.parametrize("attribute", [EvenPort(), ReservationToken(bytes(8))])
    def test_what_is_not_offered_is_unknown(self, attribute: Attribute) -> None:
        desk = Desk(authenticates=True)
        message = desk.ask(Method.ALLOCATE, UDP, attribute, credentials=ALICE)
        assert message is not None
        assert message.get(UnknownAttributes) == UnknownAttributes((attribute.TYPE,))
        verify(message, ALICES_KEY)

    @pytest.mark.rfc("8656", "5")
    @pytest.mark.parametrize("method", METHODS[1:])
    def test_437_without_an_allocation(self, method: Method) -> None:
        assert Desk().code(method, XorPeerAddress(PEER)) == 437

    @pytest.mark.rfc("8656", "5")
    @pytest.mark.parametrize("method", METHODS[1:])
    def test_441_for_another_user(self, method: Method) -> None:
        desk = Desk(authenticates=True)
        desk.allocate(credentials=ALICE)
        assert desk.code(method, Lifetime(0), XorPeerAddress(PEER), credentials=BOB) == 441
        assert desk.server.allocation_count == 1

    @pytest.mark.parametrize("method", [Method.CONNECT, Method.CONNECTION_BIND, Method.SEND, 0x0FF])
    def test_other_methods_are_dropped(self, method: int) -> None:
        desk = Desk()
        assert desk.ask(method) is None
        assert desk.events == [DatagramDropped(DropReason.UNEXPECTED_MESSAGE, 1, CLIENT)]

    @pytest.mark.parametrize("client", [Address(CLIENT.host, 0), Address("224.0.0.1", 5), Address("0.0.0.0", 5)])
    def test_nothing_is_answered_to_nowhere(self, client: Address) -> None:
        desk = Desk()
        assert desk.ask(Method.REFRESH, client=client) is None
        assert desk.events == [DatagramDropped(DropReason.WRONG_ADDRESS, 1, client)]

    def test_software_is_told_when_configured(self) -> None:
        message = Desk(software="icepath").ask(Method.REFRESH)
        assert message is not None
        assert message.get(Software) == Software("icepath")

    def test_a_fingerprint_is_answered_with_one(self) -> None:
        message = Desk().ask(Method.REFRESH, fingerprint=True)
        assert message is not None
        assert message.has_fingerprint


@pytest.mark.rfc("8656", "7.2")
class TestAllocate:
    @pytest.mark.parametrize(
        ("attributes", "code"),
        [
            ((), 400),
            ((RequestedTransport(6),), 442),
            ((UDP, AdditionalAddressFamily(V4)), 400),
            ((UDP, RequestedAddressFamily(V6)), 440),
        ],
    )
    def test_what_cannot_be_had(self, attributes: tuple[Attribute, ...], code: int) -> None:
        desk = Desk(hosts=(RELAY4,))
        assert desk.code(Method.ALLOCATE, *attributes) == code
        assert desk.server.allocation_count == 0

    def test_a_five_tuple_holds_one(self) -> None:
        desk = Desk()
        desk.allocate()
        assert desk.code(Method.ALLOCATE, UDP) == 437
        desk.allocate(client=OTHER_CLIENT)
        assert desk.server.allocation_count == 2

    def test_also_while_it_is_pending(self) -> None:
        desk = Desk()
        payload = desk.encode(Method.ALLOCATE, UDP)
        desk.receive(payload)
        desk.receive(payload)
        assert desk.answer() is None
        assert len(desk.commands) == 1
        assert desk.code(Method.ALLOCATE, UDP) == 437

    def test_a_retransmission_is_answered_again(self) -> None:
        desk = Desk()
        payload = desk.encode(Method.ALLOCATE, UDP)
        desk.receive(payload)
        desk.open_all()
        first = desk.answer()
        desk.receive(payload)
        assert desk.answer() == first
        assert desk.server.allocation_count == 1

    @pytest.mark.rfc("8489", "6.3.1")
    def test_any_other_request_is_done_again_and_answered_alike(self) -> None:
        desk = Desk()
        desk.allocate()
        for payload in (
            desk.encode(Method.CREATE_PERMISSION, XorPeerAddress(PEER)),
            desk.encode(Method.CHANNEL_BIND, ChannelNumber(0x4000), XorPeerAddress(PEER)),
            desk.encode(Method.REFRESH, Lifetime(1200)),
        ):
            desk.receive(payload)
            first = desk.answer()
            assert first is not None
            desk.receive(payload)
            assert desk.answer() == first
        assert desk.server.allocation_count == 1

    def test_quota_counts_the_user_not_the_address(self) -> None:
        desk = Desk(authenticates=True, max_allocations_per_user=1)
        desk.allocate(credentials=ALICE)
        assert desk.code(Method.ALLOCATE, UDP, credentials=ALICE, client=OTHER_CLIENT) == 486
        desk.allocate(credentials=BOB, client=OTHER_CLIENT)
        desk.code(Method.REFRESH, RELEASE, credentials=ALICE)
        desk.commands.clear()
        desk.allocate(credentials=ALICE)

    def test_the_server_holds_so_many(self) -> None:
        desk = Desk(max_allocations=1)
        desk.allocate()
        assert desk.code(Method.ALLOCATE, UDP, client=OTHER_CLIENT) == 508

    @pytest.mark.parametrize(("wanted", "granted"), [(0, 600), (60, 600), (1200, 1200), (10**6, 3600)])
    def test_lifetime(self, wanted: int, granted: int) -> None:
        assert Desk().allocate(Lifetime(wanted)).get(Lifetime) == Lifetime(granted)


@pytest.mark.rfc("8656", "8.2")
class TestRefresh:
    def test_renews(self) -> None:
        desk = Desk()
        desk.allocate()
        message = desk.ask(Method.REFRESH, Lifetime(1200))
        assert message is not None
        assert message.attributes == (Lifetime(1200),)

    def test_deletes(self) -> None:
        desk = Desk()
        desk.allocate()
        message = desk.ask(Method.REFRESH, RELEASE)
        assert message is not None
        assert message.attributes == (RELEASE,)
        assert desk.server.allocation_count == 0
        assert desk.code(Method.REFRESH, RELEASE) == 437

    def test_of_a_family_it_has_not(self) -> None:
        desk = Desk()
        desk.allocate()
        assert desk.code(Method.REFRESH, RequestedAddressFamily(V6)) == 443
        assert desk.code(Method.REFRESH, RequestedAddressFamily(V4)) == 0

    def test_deletes_what_is_still_pending(self) -> None:
        desk = Desk()
        desk.ask(Method.ALLOCATE, UDP)
        assert desk.code(Method.REFRESH, RELEASE) == 0
        assert desk.server.allocation_count == 0


@pytest.mark.rfc("8656", "10.2")
class TestCreatePermission:
    def test_success_says_nothing_more(self) -> None:
        desk = Desk()
        desk.allocate()
        message = desk.ask(Method.CREATE_PERMISSION, XorPeerAddress(PEER))
        assert message is not None
        assert message.attributes == ()

    def test_is_granted_while_the_allocation_is_pending(self) -> None:
        desk = Desk()
        desk.ask(Method.ALLOCATE, UDP)
        assert desk.permit(PEER.host) == 0

    def test_needs_a_peer(self) -> None:
        desk = Desk()
        desk.allocate()
        assert desk.permit() == 400

    @pytest.mark.parametrize(
        ("hosts", "code"),
        [
            ((PEER6.host,), 443),
            ((PEER.host, PEER6.host), 443),
            (("10.0.0.1",), 403),
            (("0.0.0.0",), 403),
            (("255.255.255.255",), 403),
            ((PEER.host, "10.0.0.1"), 403),
            (("192.0.2.1", "192.0.2.2", "192.0.2.3"), 508),
        ],
    )
    def test_is_refused_as_a_whole(self, hosts: tuple[str, ...], code: int) -> None:
        desk = Desk(denied=("10.0.0.0/8",), max_permissions=2)
        message = desk.allocate()
        relayed = message.get(XorRelayedAddress)
        assert relayed is not None
        assert desk.permit(*hosts) == code
        for host in hosts:
            desk.receive(b"data", local=relayed.address, remote=Address(host, 1))
        assert not desk.sent


@pytest.mark.rfc("8656", "12.2")
class TestChannelBind:
    def bind(self, desk: Desk, number: int, peer: Address) -> int:
        return desk.code(Method.CHANNEL_BIND, _number(number), XorPeerAddress(peer))

    def test_success_says_nothing_more_and_permits(self) -> None:
        desk = Desk()
        desk.allocate()
        message = desk.ask(Method.CHANNEL_BIND, _number(0x4000), XorPeerAddress(PEER))
        assert message is not None
        assert message.attributes == ()
        desk.receive(b"data", local=Address(RELAY4, 49152), remote=Address(PEER.host, 9))
        assert len(desk.sent) == 1

    @pytest.mark.parametrize("attributes", [(), (ChannelNumber(0x4000),), (XorPeerAddress(PEER),)])
    def test_needs_both(self, attributes: tuple[Attribute, ...]) -> None:
        desk = Desk()
        desk.allocate()
        assert desk.code(Method.CHANNEL_BIND, *attributes) == 400

    @pytest.mark.parametrize(
        ("number", "code"), [(0x3FFF, 400), (0x4000, 0), (0x4FFF, 0), (0x5000, 400), (0xFFFF, 400)]
    )
    def test_numbers(self, number: int, code: int) -> None:
        desk = Desk()
        desk.allocate()
        assert self.bind(desk, number, PEER) == code

    @pytest.mark.parametrize(
        ("peer", "code"),
        [
            (PEER6, 443),
            (Address("10.0.0.1", 5), 403),
            (Address(PEER.host, 0), 400),
            (Address("224.0.0.1", 5), 403),
        ],
    )
    def test_peers(self, peer: Address, code: int) -> None:
        desk = Desk(denied=("10.0.0.0/8",))
        desk.allocate()
        assert self.bind(desk, 0x4000, peer) == code

    def test_conflicts(self) -> None:
        desk = Desk()
        desk.allocate()
        other = Address(PEER.host, 9)
        assert self.bind(desk, 0x4000, PEER) == 0
        assert self.bind(desk, 0x4000, PEER) == 0
        assert self.bind(desk, 0x4000, other) == 400
        assert self.bind(desk, 0x4001, PEER) == 400
        assert self.bind(desk, 0x4001, other) == 0

    def test_room_for_channels(self) -> None:
        desk = Desk(max_channels=1)
        desk.allocate()
        self.bind(desk, 0x4000, PEER)
        assert self.bind(desk, 0x4001, Address(PEER.host, 9)) == 508

    def test_room_for_their_permissions(self) -> None:
        desk = Desk(max_permissions=1)
        desk.allocate()
        desk.permit("192.0.2.1")
        assert self.bind(desk, 0x4000, PEER) == 508


def _number(number: int) -> Attribute:
    """Returns CHANNEL-NUMBER with any value; the attribute itself holds lawful ones only."""
    return UnknownAttribute(ChannelNumber.TYPE, number.to_bytes(2, "big") + b"\0\0")


def test_the_listening_address_is_part_of_the_five_tuple() -> None:
    desk = Desk()
    desk.allocate()
    desk.receive(desk.encode(Method.REFRESH), local=Address(LISTEN.host, 3479))
    assert not desk.sent
