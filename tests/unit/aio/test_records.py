"""SRV and NAPTR records from a name server of the test's own, and look-ups in threads."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import dns.message
import dns.rcode
import dns.rrset
import pytest

from icepath.aio.records import DnsRecords, NamingPointer, Service, by_weight, in_thread, system_lookup
from icepath.net import Address

ANSWERS = {
    ("_stun._udp.example.org.", "SRV"): ["10 5 3478 a.example.org.", "20 5 3479 b.example.org."],
    ("example.org.", "NAPTR"): ['100 10 "s" "RELAY:turn.udp" "" _turn._udp.example.org.'],
    ("_turn._udp.example.org.", "SRV"): [],
}


@contextmanager
def name_server() -> Iterator[Address]:
    """Answers questions from `ANSWERS` on a loopback socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_serve, args=(sock,))
        thread.start()
        yield Address(*sock.getsockname())
        sock.sendto(b"", sock.getsockname())
        thread.join()


def _serve(sock: socket.socket) -> None:
    while True:
        wire, source = sock.recvfrom(4096)
        if not wire:
            return
        query = dns.message.from_wire(wire)
        question = query.question[0]
        reply = dns.message.make_response(query)
        kind = question.rdtype.name
        found = ANSWERS.get((question.name.to_text(), kind))
        if found is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif found:
            reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *found))
        sock.sendto(reply.to_wire(), source)


def test_srv_records_are_asked_of_the_name_server() -> None:
    with name_server() as server:
        records = DnsRecords([server])
        found = records.services("_stun._udp.example.org", 2.0)
        assert sorted(found, key=lambda record: record.priority) == [
            Service("a.example.org.", 3478, 10, 5),
            Service("b.example.org.", 3479, 20, 5),
        ]
        assert records.services("_turn._udp.example.org", 2.0) == []
        assert records.services("_none._udp.example.org", 2.0) == []


def test_naptr_records_are_asked_of_the_name_server() -> None:
    with name_server() as server:
        assert DnsRecords([server]).pointers("example.org", 2.0) == [
            NamingPointer(100, 10, "s", "RELAY:turn.udp", "_turn._udp.example.org.")
        ]


def test_a_name_server_that_is_not_there_has_no_records() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        assert DnsRecords([Address(*silent.getsockname())]).services("_stun._udp.example.org", 0.05) == []


def test_a_system_without_a_resolver_has_no_records() -> None:
    with patch("dns.resolver.Resolver", side_effect=OSError("no resolv.conf")):
        assert DnsRecords().pointers("example.org", 0.05) == []


def test_the_systems_own_name_servers_are_asked_when_none_are_given() -> None:
    with patch("dns.resolver.Resolver.resolve", side_effect=OSError("not on this network")) as asked:
        assert DnsRecords().services("_stun._udp.example.org", 0.05) == []
    assert asked.call_count <= 1


def test_the_systems_resolver_knows_this_computer() -> None:
    assert {"127.0.0.1", "::1"} & set(system_lookup("localhost"))


def test_a_lookup_that_ends_after_its_loop_harms_nobody() -> None:
    release, done = threading.Event(), threading.Event()

    def slow() -> None:
        release.wait(5)

    async def main() -> None:
        task = asyncio.ensure_future(in_thread(slow))
        await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(main())
    thread = next(thread for thread in threading.enumerate() if thread.name == "icepath resolver")
    release.set()
    thread.join(5)
    assert not thread.is_alive()
    assert not done.is_set()


@pytest.mark.parametrize("fails", [False, True])
def test_a_lookup_that_was_cancelled_may_still_end(fails: bool) -> None:
    release = threading.Event()

    def slow() -> None:
        release.wait(5)
        if fails:
            raise OSError("late")

    async def main() -> None:
        task = asyncio.ensure_future(in_thread(slow))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task})
        threads = [thread for thread in threading.enumerate() if thread.name == "icepath resolver"]
        release.set()
        for thread in threads:
            thread.join(5)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert task.cancelled()

    asyncio.run(main())


@pytest.mark.rfc("2782", "usage rules")
def test_priority_orders_and_weight_draws() -> None:
    first, heavy, light, never = (
        Service("first", 1, 0, 0),
        Service("heavy", 1, 1, 90),
        Service("light", 1, 1, 10),
        Service("never", 1, 1, 0),
    )
    orders = [tuple(record.host for record in by_weight([never, light, heavy, first])) for _ in range(300)]
    assert all(order[0] == "first" and len(set(order)) == 4 for order in orders)
    second = [order[1] for order in orders]
    assert second.count("heavy") > second.count("light") > second.count("never")
