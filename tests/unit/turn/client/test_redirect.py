from __future__ import annotations

import pytest

from icepath.machine import Security, Transport
from icepath.net import Address
from icepath.turn.client.redirect import Redirects
from icepath.turn.client.routes import Route
from icepath.wire.attributes import AlternateDomain, AlternateServer, Attribute, ErrorCode
from icepath.wire.message import Message, MessageClass, Method, TransactionId, decode_message, encode_message
from unit.turn.scripted import SERVER

SECOND = Address("198.51.100.2", 3478)
THIRD = Address("198.51.100.3", 5349)
SIX = Address("2001:db8::2", 3478)
ROUTE = Route(SERVER, Transport.TCP, Security.TLS, "one.example.org")


def redirection(*attributes: Attribute) -> Message:
    error = ErrorCode(300, "Try Alternate")
    return decode_message(
        encode_message(Method.ALLOCATE, MessageClass.ERROR, TransactionId(bytes(12)), (error, *attributes))
    )


@pytest.mark.rfc("8489", "10")
class TestFollow:
    def test_over_the_same_transport_with_the_same_name(self) -> None:
        followed = Redirects((ROUTE,), 4).follow(redirection(AlternateServer(SECOND)), ROUTE)
        assert followed == Route(SECOND, Transport.TCP, Security.TLS, "one.example.org")

    def test_the_domain_names_the_certificate(self) -> None:
        message = redirection(AlternateServer(SECOND), AlternateDomain("two.example.org"))
        followed = Redirects((ROUTE,), 4).follow(message, ROUTE)
        assert followed == Route(SECOND, Transport.TCP, Security.TLS, "two.example.org")

    def test_the_address_of_our_family(self) -> None:
        message = redirection(AlternateServer(SIX), AlternateServer(SECOND))
        assert Redirects((ROUTE,), 4).follow(message, ROUTE) == Route(
            SECOND, Transport.TCP, Security.TLS, "one.example.org"
        )

    @pytest.mark.parametrize("address", [SIX, Address("224.0.0.1", 3478), Address("198.51.100.2", 0)])
    def test_not_to_where_nothing_can_be_sent(self, address: Address) -> None:
        assert "not to an address" in str(Redirects((ROUTE,), 4).follow(redirection(AlternateServer(address)), ROUTE))

    def test_not_in_circles(self) -> None:
        redirects = Redirects((ROUTE,), 4)
        assert "circle" in str(redirects.follow(redirection(AlternateServer(SERVER)), ROUTE))
        second = redirects.follow(redirection(AlternateServer(SECOND)), ROUTE)
        assert isinstance(second, Route)
        assert "circle" in str(redirects.follow(redirection(AlternateServer(SECOND)), second))

    def test_not_for_ever(self) -> None:
        redirects = Redirects((ROUTE,), 1)
        assert redirects.is_followed
        second = redirects.follow(redirection(AlternateServer(SECOND)), ROUTE)
        assert isinstance(second, Route)
        assert "more than 1 times" in str(redirects.follow(redirection(AlternateServer(THIRD)), second))
        assert not Redirects((ROUTE,), 0).is_followed
