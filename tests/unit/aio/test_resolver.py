"""Names and URIs to addresses, with a DNS of the test's own (RFC 5928, RFC 8489 §8)."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from icepath.aio import records
from icepath.aio import resolver as resolver_module
from icepath.aio.records import NamingPointer, Service
from icepath.aio.resolver import (
    DTLS,
    REMEMBERED,
    TCP,
    TLS,
    UDP,
    ResolveFailed,
    Resolver,
    ServerTransport,
    interleaved,
    reason_of,
)
from icepath.ice.nat64 import WELL_KNOWN_NAME
from icepath.machine import FailReason, ResolvedAddress
from icepath.net import Address

ALL = (UDP, TCP, TLS)


@dataclass
class Zone:
    """Is a DNS: hosts, SRV and NAPTR records; names in `silent` are never answered."""

    hosts: dict[str, Sequence[str]] = field(default_factory=dict)
    srv: dict[str, list[Service]] = field(default_factory=dict)
    naptr: dict[str, list[NamingPointer]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    released: threading.Event = field(default_factory=threading.Event)

    def lookup_host(self, name: str) -> Sequence[str]:
        self._wait(name)
        if name not in self.hosts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self.hosts[name]

    def services(self, name: str, timeout: float) -> list[Service]:
        self._wait(name)
        return self.srv.get(name, [])

    def pointers(self, name: str, timeout: float) -> list[NamingPointer]:
        self._wait(name)
        return self.naptr.get(name, [])

    def resolver(self, *transports: ServerTransport, timeout: float = 5.0, grace: float = 0.02) -> Resolver:
        return Resolver(
            transports=transports or ALL, lookup_host=self.lookup_host, records=self, timeout=timeout, grace=grace
        )

    def _wait(self, name: str) -> None:
        if name in self.silent:
            self.released.wait(10)


def answers(*wanted: tuple[ServerTransport, str, int]) -> tuple[ResolvedAddress, ...]:
    return tuple(ResolvedAddress(*transport, Address(host, port)) for transport, host, port in wanted)


def resolve(resolver: Resolver, what: str) -> tuple[ResolvedAddress, ...]:
    return asyncio.run(resolver.resolve(what))


def failure(resolver: Resolver, what: str) -> ResolveFailed:
    with pytest.raises(ResolveFailed) as caught:
        resolve(resolver, what)
    return caught.value


# -- addresses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["192.0.2.1", "2001:DB8::1", "::ffff:192.0.2.1"])
def test_an_ip_address_is_answered_at_once_in_canonical_form(what: str) -> None:
    (answer,) = Resolver().resolve_now(what) or ()
    assert answer.address in (Address("192.0.2.1", 0), Address("2001:db8::1", 0))
    assert resolve(Resolver(), what) == (answer,)


def test_a_name_is_not_answered_at_once() -> None:
    assert Resolver().resolve_now("example.org") is None
    assert Resolver().resolve_now("turn:example.org") is None


@pytest.mark.rfc("5928", "3")
def test_an_ip_address_in_a_uri_is_tried_over_every_transport_allowed() -> None:
    resolver = Zone().resolver()
    assert resolver.resolve_now("turn:192.0.2.1") == answers((UDP, "192.0.2.1", 3478), (TCP, "192.0.2.1", 3478))
    assert resolver.resolve_now("turn:192.0.2.1:99?transport=tcp") == answers((TCP, "192.0.2.1", 99))
    assert resolver.resolve_now("turns:[2001:db8::1]") == answers((TLS, "2001:db8::1", 5349))
    by_datagrams = Zone().resolver(UDP, DTLS).resolve_now("turns:192.0.2.1?transport=udp")
    assert by_datagrams == answers((DTLS, "192.0.2.1", 5349))


def test_dtls_is_for_those_who_ask_for_it() -> None:
    assert Zone().resolver(TLS, DTLS).resolve_now("turns:192.0.2.1") == answers((TLS, "192.0.2.1", 5349))
    with pytest.raises(ResolveFailed, match="not supported"):
        Zone().resolver(UDP, DTLS).resolve_now("turns:192.0.2.1")


@pytest.mark.rfc("8489", "8.1")
def test_a_stun_uri_means_udp_and_a_stuns_uri_with_an_ip_address_is_rejected() -> None:
    resolver = Zone().resolver(UDP, TCP, DTLS)
    assert resolver.resolve_now("stun:192.0.2.1") == answers((UDP, "192.0.2.1", 3478))
    assert failure(resolver, "stuns:192.0.2.1").reason is FailReason.UNSUPPORTED


@pytest.mark.rfc("5928", "3")
@pytest.mark.parametrize("what", ["turn:192.0.2.1?transport=tcp", "turns:example.org", "turns:h?transport=udp"])
def test_a_transport_that_is_not_supported_ends_the_resolution(what: str) -> None:
    assert failure(Zone().resolver(UDP), what).reason is FailReason.UNSUPPORTED


def test_a_bad_uri_is_a_failure_like_any_other() -> None:
    assert failure(Resolver(), "turn:").reason is FailReason.NAME_NOT_FOUND


# -- names --------------------------------------------------------------------------------------------


@pytest.mark.rfc("8489", "8.1")
def test_a_port_means_plain_addresses_with_families_alternating() -> None:
    zone = Zone(hosts={"h": ["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.1"]})
    assert resolve(zone.resolver(UDP), "stun:h:99") == answers(
        (UDP, "2001:db8::1", 99), (UDP, "192.0.2.1", 99), (UDP, "2001:db8::2", 99)
    )
    assert [answer.address for answer in resolve(zone.resolver(UDP), "h")] == [
        Address("2001:db8::1", 0),
        Address("192.0.2.1", 0),
        Address("2001:db8::2", 0),
    ]


@pytest.mark.rfc("8489", "8.1")
def test_without_srv_records_the_default_port_holds() -> None:
    zone = Zone(hosts={"h": ["192.0.2.1"]})
    assert resolve(zone.resolver(), "stun:h") == answers((UDP, "192.0.2.1", 3478))
    assert resolve(zone.resolver(), "turns:h") == answers((TLS, "192.0.2.1", 5349))
    assert resolve(zone.resolver(), "turn:h") == answers((UDP, "192.0.2.1", 3478), (TCP, "192.0.2.1", 3478))


@pytest.mark.rfc("8489", "8.1")
def test_srv_records_name_hosts_and_ports_in_order_of_priority() -> None:
    zone = Zone(
        hosts={"h": ["192.0.2.9"], "a.h": ["192.0.2.1"], "b.h": ["192.0.2.2", "2001:db8::2"], "literal": []},
        srv={
            "_stun._udp.h": [Service("b.h.", 2000, 20, 0), Service("a.h.", 1000, 10, 0), Service("gone.h.", 1, 5, 0)],
            "_stuns._udp.h": [Service("a.h.", 3000)],
        },
    )
    assert resolve(zone.resolver(), "stun:h") == answers(
        (UDP, "192.0.2.1", 1000), (UDP, "192.0.2.2", 2000), (UDP, "2001:db8::2", 2000)
    )
    assert resolve(zone.resolver(DTLS), "stuns:h") == answers((DTLS, "192.0.2.1", 3000))


@pytest.mark.rfc("5928", "3")
def test_a_transport_in_the_uri_asks_for_its_srv_records_only() -> None:
    zone = Zone(
        hosts={"a": ["192.0.2.1"], "h": ["192.0.2.9"]},
        srv={"_turn._tcp.h": [Service("a", 1)], "_turn._udp.h": [Service("a", 2)], "_turns._tcp.h": [Service("a", 3)]},
        naptr={"h": [NamingPointer(1, 1, "A", "RELAY:turn.tcp", "a")]},
    )
    assert resolve(zone.resolver(), "turn:h?transport=tcp") == answers((TCP, "192.0.2.1", 1))
    assert resolve(zone.resolver(), "turns:h?transport=tcp") == answers((TLS, "192.0.2.1", 3))
    zone.naptr.clear()
    assert resolve(zone.resolver(), "turn:h") == answers((UDP, "192.0.2.1", 2), (TCP, "192.0.2.1", 1))


def test_a_service_that_is_decidedly_not_offered_is_a_failure() -> None:
    zone = Zone(hosts={"h": ["192.0.2.1"], "a": ["192.0.2.2"]}, srv={"_turn._udp.h": [Service(".", 0)]})
    assert failure(zone.resolver(UDP), "turn:h").reason is FailReason.NAME_NOT_FOUND
    zone.srv["_turn._tcp.h"] = [Service("a", 1)]
    assert resolve(zone.resolver(), "turn:h") == answers((TCP, "192.0.2.2", 1))


RFC5928_EXAMPLE = Zone(
    hosts={"a.example.net": ["192.0.2.1"]},
    srv={
        "_turn._udp.example.net": [Service("a.example.net.", 3478)],
        "_turn._tcp.example.net": [Service("a.example.net.", 5000)],
    },
    naptr={
        "example.net": [
            NamingPointer(200, 10, "", "RELAY:turn.tcp:turn.tls", "stream.example.net."),
            NamingPointer(100, 10, "", "RELAY:turn.udp", "datagram.example.net."),
        ],
        "datagram.example.net": [NamingPointer(100, 10, "S", "RELAY:turn.udp", "_turn._udp.example.net.")],
        "stream.example.net": [
            NamingPointer(100, 10, "S", "RELAY:turn.tcp", "_turn._tcp.example.net."),
            NamingPointer(200, 10, "A", "RELAY:turn.tls", "a.example.net."),
        ],
        "example.com": [NamingPointer(100, 10, "", "RELAY:turn.udp:turn.tcp:turn.tls", "example.net.")],
        "loop.org": [NamingPointer(1, 1, "", "RELAY:turn.udp", "loop.org.")],
        "other.org": [
            NamingPointer(1, 1, "U", "RELAY:turn.udp", "."),
            NamingPointer(2, 1, "S", "SIP+D2U:x", "_sip._udp.other.org."),
        ],
    },
)


@pytest.mark.rfc("5928", "4.1")
@pytest.mark.parametrize("host", ["example.net", pytest.param("example.com", id="4.2")])
def test_the_examples_of_rfc_5928(host: str) -> None:
    resolver = RFC5928_EXAMPLE.resolver(TCP, UDP)
    assert resolve(resolver, f"turn:{host}") == answers((UDP, "192.0.2.1", 3478), (TCP, "192.0.2.1", 5000))
    assert resolve(RFC5928_EXAMPLE.resolver(TLS), f"turns:{host}") == answers((TLS, "192.0.2.1", 5349))


@pytest.mark.parametrize("host", ["loop.org", "other.org"])
def test_naptr_records_that_lead_nowhere_are_as_good_as_none(host: str) -> None:
    RFC5928_EXAMPLE.hosts[host] = ["192.0.2.8"]
    assert resolve(RFC5928_EXAMPLE.resolver(UDP), f"turn:{host}") == answers((UDP, "192.0.2.8", 3478))


# -- failures -----------------------------------------------------------------------------------------


def test_an_unknown_name_is_not_found() -> None:
    for what in ("nowhere", "stun:nowhere", "turn:nowhere:99"):
        assert failure(Zone().resolver(), what).reason is FailReason.NAME_NOT_FOUND
    assert failure(Zone(hosts={"empty": []}).resolver(), "empty").reason is FailReason.NAME_NOT_FOUND


@pytest.mark.parametrize("what", ["dead", "stun:dead", "turn:dead", "turn:dead:99"])
def test_a_dead_dns_is_a_failure_within_the_bound(what: str) -> None:
    zone = Zone(silent={"dead", "_stun._udp.dead", "_turn._udp.dead"})
    start = time.monotonic()
    assert failure(zone.resolver(UDP, timeout=0.05), what).reason is FailReason.RESOLVER
    assert time.monotonic() - start < 2
    zone.released.set()


def test_a_resolver_that_swallows_service_questions_costs_the_grace_only() -> None:
    zone = Zone(hosts={"h": ["192.0.2.1"]}, silent={"_stun._udp.h"})
    assert resolve(zone.resolver(UDP, timeout=60, grace=0.01), "stun:h") == answers((UDP, "192.0.2.1", 3478))
    zone.released.set()


def test_service_records_that_come_in_time_are_waited_for() -> None:
    zone = Zone(hosts={"h": ["192.0.2.1"], "a": ["192.0.2.2"]}, srv={"_stun._udp.h": [Service("a", 7)]})
    zone.silent.add("_stun._udp.h")
    threading.Timer(0.05, zone.released.set).start()
    assert resolve(zone.resolver(UDP, timeout=60, grace=30), "stun:h") == answers((UDP, "192.0.2.2", 7))


def test_service_records_do_without_plain_addresses() -> None:
    zone = Zone(hosts={"a": ["192.0.2.2"]}, srv={"_stun._udp.h": [Service("a", 7)]}, silent={"_stun._udp.h"})
    threading.Timer(0.05, zone.released.set).start()
    assert resolve(zone.resolver(UDP, timeout=60, grace=0.0), "stun:h") == answers((UDP, "192.0.2.2", 7))


def test_plain_addresses_are_not_waited_for_when_service_records_are_known() -> None:
    zone = Zone(srv={"_stun._udp.h": [Service("192.0.2.3", 7)]}, silent={"h"})
    assert resolve(zone.resolver(UDP), "stun:h") == answers((UDP, "192.0.2.3", 7))
    zone.released.set()


def test_cancelling_leaves_no_task() -> None:
    zone = Zone(silent={"dead", "_turn._udp.dead"})

    async def main() -> None:
        task = asyncio.ensure_future(zone.resolver(UDP).resolve("turn:dead"))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    zone.released.set()


def test_as_many_lookups_as_may_wait_are_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_threads", threading.BoundedSemaphore(1))
    zone = Zone(hosts={"h": ["192.0.2.1"]}, silent={"slow"})
    resolver = zone.resolver()

    async def main() -> None:
        slow = asyncio.ensure_future(resolver.resolve("slow"))
        await asyncio.sleep(0.01)
        with pytest.raises(ResolveFailed, match="waiting") as caught:
            await resolver.resolve("h")
        assert caught.value.reason is FailReason.RESOLVER
        zone.released.set()
        with pytest.raises(ResolveFailed):
            await slow

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "try again"), FailReason.RESOLVER),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), FailReason.NAME_NOT_FOUND),
        (UnicodeError("label too long"), FailReason.NAME_NOT_FOUND),
        (OSError(5, "input/output"), FailReason.RESOLVER),
    ],
)
def test_why_a_lookup_failed(error: Exception, reason: FailReason) -> None:
    assert reason_of(error) is reason


@pytest.mark.rfc("8305", "4")
def test_families_alternate_from_the_first_on() -> None:
    assert interleaved(["192.0.2.1", "192.0.2.2", "2001:db8::1"]) == ("192.0.2.1", "2001:db8::1", "192.0.2.2")
    assert interleaved(["not an address"]) == ()


# -- translators --------------------------------------------------------------------------------------


@pytest.mark.rfc("7050", "3")
def test_the_name_that_shows_translators_is_asked_for_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    zone = Zone(hosts={WELL_KNOWN_NAME: ["192.0.0.170", "64:ff9b::c000:aa"]})
    now = 100.0
    monkeypatch.setattr(f"{resolver_module.__name__}.time.monotonic", lambda: now)
    asking = zone.resolver()
    first = resolve(asking, WELL_KNOWN_NAME)
    assert first == answers((UDP, "192.0.0.170", 0), (UDP, "64:ff9b::c000:aa", 0))
    zone.hosts.clear()
    now += 0.9 * REMEMBERED
    assert resolve(asking, WELL_KNOWN_NAME) == first
    now += 0.2 * REMEMBERED
    for _ in range(2):
        assert failure(asking, WELL_KNOWN_NAME).reason is FailReason.NAME_NOT_FOUND
        zone.hosts[WELL_KNOWN_NAME] = ["192.0.0.170"]


@pytest.mark.rfc("7050", "3")
def test_a_resolver_that_swallows_that_name_costs_no_more_than_the_time_out() -> None:
    zone = Zone(silent={WELL_KNOWN_NAME})
    assert failure(zone.resolver(timeout=0.02), WELL_KNOWN_NAME).reason is FailReason.RESOLVER
    zone.released.set()
