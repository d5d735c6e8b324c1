"""Which URLs are one server, and which routes lead to it."""

from __future__ import annotations

import pytest

from icepath.entropy import Secret
from icepath.ice.config import Server
from icepath.ice.nat64 import WELL_KNOWN_PREFIX, Prefix
from icepath.ice.servers import ServerGroup, group_servers
from icepath.machine import Handle, ResolvedAddress, Security, Transport
from icepath.net import Address
from icepath.turn.client.routes import Route
from icepath.wire.uri import parse_server_uri

LOCAL, LOCAL6 = Address("192.0.2.1", 4000), Address("2001:db8::1", 4000)
UDP, TCP = Transport.UDP, Transport.TCP
NONE, TLS, DTLS = Security.NONE, Security.TLS, Security.DTLS


def server(text: str, username: str | None = "alice") -> Server:
    secret = None if username is None else Secret("wonderland")
    return Server(parse_server_uri(text), username, secret)


def groups(*urls: str) -> list[tuple[str, ...]]:
    return [group.identity for group in group_servers(tuple(server(url) for url in urls))]


def one(*urls: str) -> ServerGroup:
    (group,) = group_servers(tuple(server(url) for url in urls))
    return group


def at(host: str, port: int, transport: Transport = UDP, security: Security = NONE) -> ResolvedAddress:
    return ResolvedAddress(transport, security, Address(host, port))


def test_turn_urls_of_one_host_and_user_are_one_server() -> None:
    urls = ("turn:a.example:3478?transport=udp", "turn:A.example:80?transport=tcp", "turns:a.example:443")
    assert groups(*urls) == [urls]
    assert groups("turn:a.example", "turn:b.example", "turn:a.example") == [("turn:a.example",), ("turn:b.example",)]
    others = group_servers((server("turn:a.example"), server("turns:a.example", "bob")))
    assert len(others) == 2


def test_each_stun_url_is_a_server() -> None:
    assert groups("stun:a.example", "stun:a.example:19302", "turn:a.example") == [
        ("stun:a.example",),
        ("stun:a.example:19302",),
        ("turn:a.example",),
    ]
    assert [group.is_turn for group in group_servers((server("stun:a"), server("turn:a")))] == [False, True]


@pytest.mark.rfc("5928", "3")
@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("turn:192.0.2.9", at("192.0.2.9", 3478)),
        ("turn:192.0.2.9:99?transport=tcp", at("192.0.2.9", 99, TCP)),
        ("turns:192.0.2.9", at("192.0.2.9", 5349, TCP, TLS)),
        ("turns:[2001:db8::9]?transport=udp", at("2001:db8::9", 5349, UDP, DTLS)),
        ("stun:192.0.2.9", at("192.0.2.9", 3478)),
        ("turn:turn.example.org", None),
    ],
)
def test_an_address_needs_no_lookup(url: str, found: ResolvedAddress | None) -> None:
    assert one(url).urls[0].literal() == found


def test_routes_are_of_the_local_family_and_datagrams_go_first() -> None:
    group = one("turns:a.example:443", "turn:a.example?transport=tcp", "turn:a.example")
    tls, tcp, plain = group.urls
    tls.found = (at("192.0.2.9", 443, TCP, TLS), at("2001:db8::9", 443, TCP, TLS))
    tcp.found = (at("192.0.2.9", 3478, TCP), at("192.0.2.10", 3478, TCP))
    plain.found = (at("192.0.2.9", 3478), at("192.0.2.9", 3478, TCP), at("224.0.0.1", 3478))
    assert group.routes(LOCAL) == (
        Route(Address("192.0.2.9", 3478)),
        Route(Address("192.0.2.9", 3478), TCP),
        Route(Address("192.0.2.9", 443), TCP, TLS, "a.example"),
    )
    assert group.routes(LOCAL6) == (Route(Address("2001:db8::9", 443), TCP, TLS, "a.example"),)
    assert group.routes(LOCAL6, verify=False)[0].verify is False


def test_a_route_tells_the_url_it_came_from() -> None:
    group = one("turn:a.example", "turns:a.example:443")
    group.urls[0].found = (at("192.0.2.9", 3478),)
    group.urls[1].found = (at("192.0.2.9", 443, TCP, TLS),)
    assert [group.url_of(route) for route in group.routes(LOCAL)] == list(group.identity)
    assert group.url_of(Route(Address("192.0.2.77", 3478))) == "turn:a.example"


def test_it_is_resolving_while_a_name_is_looked_up() -> None:
    group = one("turn:a.example", "turns:a.example")
    assert not group.is_resolving
    group.urls[1].handle = Handle(3)
    assert group.is_resolving


@pytest.mark.rfc("7050", "3")
def test_a_server_of_ipv4_is_reached_at_its_translated_addresses_beside_its_own() -> None:
    prefix = Prefix(WELL_KNOWN_PREFIX, 96)
    group = one("turn:a.example")
    assert not group.is_ipv4_only
    group.urls[0].take((at("11.0.0.1", 3478), at("11.0.0.1", 3478, TCP)))
    assert group.is_ipv4_only
    assert group.routes(LOCAL6) == ()
    assert group.translate((prefix,))
    assert not group.is_ipv4_only
    made = Address("64:ff9b::b00:1", 3478)
    assert [route.address for route in group.routes(LOCAL6)] == [made, made]
    assert [route.address.host for route in group.routes(LOCAL)] == ["11.0.0.1", "11.0.0.1"]
    assert len(group.urls[0].found) == 4
    assert group.translate((prefix,))
    assert len(group.urls[0].found) == 4
    assert not group.translate(())


def test_of_what_is_found_only_streams_where_nothing_may_be_sent_by_udp() -> None:
    (url,) = one("turn:a.example").urls
    url.take((at("11.0.0.1", 3478), at("11.0.0.1", 3478, TCP), at("11.0.0.1", 5349, UDP, DTLS)), streams_only=True)
    assert url.found == (at("11.0.0.1", 3478, TCP),)
