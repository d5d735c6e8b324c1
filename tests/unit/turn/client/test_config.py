from __future__ import annotations

import pytest

from icepath.errors import InvalidArgument
from icepath.machine import Security, Transport
from icepath.net import Address
from icepath.stun.transaction import RetransmissionPolicy
from icepath.turn.client.config import AllocationConfig
from icepath.turn.client.routes import Route
from icepath.wire.attributes import AddressFamily
from unit.turn.scripted import ALICE, BOTH, LOCAL, SERVER

SERVER6, LOCAL6 = Address("2001:db8::1", 3478), Address("2001:db8::2", 50000)
TCP = (Route(SERVER, Transport.TCP),)
V4, V6 = AddressFamily.IPV4, AddressFamily.IPV6


def test_defaults_are_rfc_8656s() -> None:
    config = AllocationConfig(SERVER, LOCAL, ALICE)
    assert (config.families, config.lifetime, config.challenge) == ((V4,), 600, None)
    assert config.policy == RetransmissionPolicy()


def test_everything_lawful_is_taken() -> None:
    AllocationConfig(SERVER, LOCAL, None, families=BOTH, lifetime=1, close_timeout=0, software="icepath")


def test_server_and_local_are_of_one_family() -> None:
    with pytest.raises(InvalidArgument, match=r"different address families"):
        AllocationConfig(SERVER, Address("2001:db8::2", 5000))


@pytest.mark.parametrize("families", [(), (V4, V4), (V6, V4, V6)])
def test_families_are_one_or_both(families: tuple[AddressFamily, ...]) -> None:
    with pytest.raises(InvalidArgument, match="families"):
        AllocationConfig(SERVER, LOCAL, families=families)


@pytest.mark.parametrize("lifetime", [0, -1, 2**32])
def test_lifetime_fits_its_attribute(lifetime: int) -> None:
    with pytest.raises(InvalidArgument, match="lifetime"):
        AllocationConfig(SERVER, LOCAL, lifetime=lifetime)


def test_a_request_lasts_longer_than_an_instant() -> None:
    with pytest.raises(InvalidArgument, match="rto"):
        AllocationConfig(SERVER, LOCAL, policy=RetransmissionPolicy(rto=1e-9))


@pytest.mark.parametrize("timeout", [-0.1, 61.0, float("nan"), float("inf")])
def test_closing_is_bounded(timeout: float) -> None:
    with pytest.raises(InvalidArgument, match="close_timeout"):
        AllocationConfig(SERVER, LOCAL, close_timeout=timeout)


def test_software_fits_its_attribute() -> None:
    with pytest.raises(InvalidArgument, match="SOFTWARE"):
        AllocationConfig(SERVER, LOCAL, software="x" * 128)


@pytest.mark.parametrize("timeout", [0.0, -1.0, 600.5, float("nan")])
def test_reliable_transports_answer_in_bounded_time(timeout: float) -> None:
    with pytest.raises(InvalidArgument, match="reliable_timeout"):
        AllocationConfig(SERVER, LOCAL, reliable_timeout=timeout)


@pytest.mark.parametrize("count", [-1, 17])
def test_redirections_are_bounded(count: int) -> None:
    with pytest.raises(InvalidArgument, match="max_redirects"):
        AllocationConfig(SERVER, LOCAL, max_redirects=count)


class TestRoutes:
    def test_the_one_meant_is_udp(self) -> None:
        assert AllocationConfig(SERVER, LOCAL).ways == (Route(SERVER),)

    def test_those_given_are_taken(self) -> None:
        routes = (Route(SERVER6, local=LOCAL6), Route(SERVER), Route(SERVER6, Transport.TCP))
        assert AllocationConfig(SERVER6, LOCAL, routes=routes).ways == routes

    def test_a_socket_is_of_its_routes_family(self) -> None:
        with pytest.raises(InvalidArgument, match="family"):
            AllocationConfig(SERVER, LOCAL, routes=(Route(SERVER6),))

    def test_are_bounded_and_different(self) -> None:
        with pytest.raises(InvalidArgument, match="each once"):
            AllocationConfig(SERVER, LOCAL, routes=(Route(SERVER), Route(SERVER)))
        with pytest.raises(InvalidArgument, match="9 routes"):
            AllocationConfig(SERVER, LOCAL, routes=tuple(Route(Address(SERVER.host, port)) for port in range(1, 10)))


@pytest.mark.rfc("8656", "7.1")
def test_ports_are_kept_one_way_and_for_one_family() -> None:
    AllocationConfig(SERVER, LOCAL, families=BOTH, even_port=False)
    for even_port, reservation in ((True, b"12345678"), (False, b"12345678")):
        with pytest.raises(InvalidArgument, match="one of them"):
            AllocationConfig(SERVER, LOCAL, even_port=even_port, reservation=reservation)
    with pytest.raises(InvalidArgument, match="one address family"):
        AllocationConfig(SERVER, LOCAL, families=BOTH, even_port=True)
    with pytest.raises(InvalidArgument, match="one address family"):
        AllocationConfig(SERVER, LOCAL, families=BOTH, reservation=b"12345678")
    with pytest.raises(InvalidArgument, match="RESERVATION-TOKEN"):
        AllocationConfig(SERVER, LOCAL, reservation=b"1234567")


@pytest.mark.rfc("6062", "4.1")
class TestTcp:
    def test_needs_reliable_routes(self) -> None:
        tls = Route(SERVER, Transport.TCP, Security.TLS)
        AllocationConfig(SERVER, LOCAL, relay_transport=Transport.TCP, routes=(Route(SERVER, Transport.TCP), tls))
        dtls = Route(SERVER, Transport.UDP, Security.DTLS)
        for routes in ((), (Route(SERVER),), (tls, dtls)):
            with pytest.raises(InvalidArgument, match="TCP and TLS only"):
                AllocationConfig(SERVER, LOCAL, relay_transport=Transport.TCP, routes=routes)

    def test_has_no_ports_and_no_fragments(self) -> None:
        with pytest.raises(InvalidArgument, match="are for UDP"):
            AllocationConfig(SERVER, LOCAL, relay_transport=Transport.TCP, routes=TCP, dont_fragment=True)
        with pytest.raises(InvalidArgument, match="are for UDP"):
            AllocationConfig(SERVER, LOCAL, relay_transport=Transport.TCP, routes=TCP, even_port=False)
        with pytest.raises(InvalidArgument, match="are for UDP"):
            AllocationConfig(SERVER, LOCAL, relay_transport=Transport.TCP, routes=TCP, reservation=b"12345678")

    @pytest.mark.parametrize("limit", [0, 1025])
    def test_has_bounded_connections(self, limit: int) -> None:
        with pytest.raises(InvalidArgument, match="max_peer_connections"):
            AllocationConfig(SERVER, LOCAL, relay_transport=Transport.TCP, routes=TCP, max_peer_connections=limit)


def test_repr_hides_the_password() -> None:
    assert "wonderland" not in repr(AllocationConfig(SERVER, LOCAL, ALICE))
