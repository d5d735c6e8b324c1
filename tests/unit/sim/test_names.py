"""icepath.sim.names: the resolver."""

from __future__ import annotations

from icepath.machine import Failed, FailReason, Handle, Resolve, Resolved, ResolvedAddress, Security, Transport
from icepath.net import Address
from icepath.sim.names import DEAD_AFTER, Names

QUERY = Resolve(Handle(7), "turns:turn.example.org")


def test_answers_come_in_their_order_after_the_delay() -> None:
    names = Names()
    names.delay = 0.03
    answers = [
        ResolvedAddress(Transport.TCP, Security.TLS, Address("11.0.0.2", 5349)),
        ResolvedAddress(Transport.UDP, Security.DTLS, Address("11.0.0.1", 5349)),
    ]
    names.add(QUERY.what, answers)
    assert names.answer(QUERY) == (0.03, Resolved(Handle(7), tuple(answers)))


def test_a_host_has_addresses_without_ports() -> None:
    names = Names()
    names.add_host("a.local", "192.168.1.1", "2b00::1")
    delay, answer = names.answer(Resolve(Handle(1), "a.local"))
    assert delay == 0.0
    assert isinstance(answer, Resolved)
    assert [found.address for found in answer.answers] == [Address("192.168.1.1", 0), Address("2b00::1", 0)]


def test_an_unknown_name_fails() -> None:
    _, answer = Names().answer(QUERY)
    assert answer == Failed(Handle(7), FailReason.NAME_NOT_FOUND, "turns:turn.example.org does not exist")


def test_a_dead_resolver_fails_late() -> None:
    names = Names()
    names.add_host(QUERY.what, "11.0.0.1")
    names.is_alive = False
    delay, answer = names.answer(QUERY)
    assert delay == DEAD_AFTER
    assert isinstance(answer, Failed)
    assert answer.reason is FailReason.RESOLVER
