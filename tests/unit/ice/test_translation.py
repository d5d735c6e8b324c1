"""An agent without IPv4 asks what its network makes of IPv4 addresses, once, and when it needs to know."""

from __future__ import annotations

import pytest

from icepath.ice.core import Socket
from icepath.ice.nat64 import WELL_KNOWN_NAME
from icepath.ice.translation import ask_for_prefixes, lacks_ipv4, take_prefixes
from icepath.machine import (
    Failed,
    FailReason,
    Handle,
    LocalAddress,
    Resolve,
    Resolved,
    ResolvedAddress,
    Security,
    Transport,
)
from icepath.net import Address
from unit.ice.builders import Bench

IPV4, IPV6 = Address("192.0.2.1", 4000), Address("2001:db8::1", 4000)


def bench(*hosts: Address) -> Bench:
    table = Bench()
    for host in hosts:
        table.core.sockets[host] = Socket(LocalAddress(host), stream=1, component=1, preference=1)
    return table


@pytest.mark.rfc("7050", "3")
@pytest.mark.parametrize(
    ("hosts", "lacks"),
    [
        ([IPV6], True),
        ([IPV6, Address("::1", 4000)], True),
        ([IPV6, IPV4], False),
        ([IPV4], False),
        # Nothing is translated inside this computer, nor before there is a socket.
        ([Address("::1", 4000)], False),
        ([], False),
    ],
)
def test_ipv4_is_lacked_where_ipv6_is_all_there_is(hosts: list[Address], lacks: bool) -> None:
    assert lacks_ipv4(bench(*hosts).core) is lacks


@pytest.mark.rfc("7050", "3")
def test_the_well_known_name_is_asked_for_once() -> None:
    table = bench(IPV6)
    ask_for_prefixes(table.core)
    (question,) = table.take()
    assert isinstance(question, Resolve)
    assert question.what == WELL_KNOWN_NAME
    assert not lacks_ipv4(table.core)


@pytest.mark.rfc("7050", "3")
def test_the_answer_shows_the_prefixes_or_that_there_are_none() -> None:
    table = bench(IPV6)
    core = table.core
    ask_for_prefixes(core)
    assert core.nat64.query is not None
    question = core.nat64.query
    shown = ResolvedAddress(Transport.UDP, Security.NONE, Address("64:ff9b::c000:aa", 0))
    assert not take_prefixes(core, Resolved(Handle(question + 1), (shown,)))
    assert take_prefixes(core, Resolved(question, (shown,)))
    assert [prefix.length for prefix in core.nat64.prefixes] == [96]
    assert not take_prefixes(core, Resolved(question, (shown,)))
    ask_for_prefixes(core)
    assert take_prefixes(core, Failed(core.nat64.query, FailReason.NAME_NOT_FOUND, "no such name"))
    assert core.nat64.query is None
