"""Servers asked by hand, for the tests of gathering and of relays."""

from __future__ import annotations

from icepath.entropy import IceCredentials, Secret
from icepath.errors import Cause
from icepath.ice.config import AgentConfig, Server
from icepath.ice.core import Relay, ServerQuery, TimerKey, TimerKind
from icepath.ice.events import CandidateGathered, ServerFailed
from icepath.machine import (
    Datagram,
)
from icepath.net import Address
from icepath.stun.credentials import Challenge
from icepath.stun.transaction import Match
from icepath.wire.attributes import (
    Attribute,
)
from icepath.wire.candidate_line import Candidate
from icepath.wire.integrity import long_term_key
from icepath.wire.message import decode_message
from icepath.wire.uri import parse_server_uri
from unit.ice.builders import (
    HOST,
    SERVER,
    Bench,
    reply,
    server_at,
)

SECOND_HOST = Address("192.0.2.2", 4000)
HOST6 = Address("2001:db8::1", 4000)
SERVER6 = Address("2001:db8:5::5", 3478)
SECOND_SERVER = Address("203.0.113.6", 3478)
RELAYED6 = Address("2001:db8:5::5", 49153)
NEW = IceCredentials("newufrag", Secret("new-password-of-24-charss"))
STUN, TURN = server_at(SERVER, "stun"), server_at(SERVER)
ALICE = Server(parse_server_uri(f"turn:{SERVER}"), "alice", Secret("wonderland"))
CHALLENGE = Challenge("example.org", b"nonce")
KEY = long_term_key("alice", "example.org", Secret("wonderland"))
STUN_URL, TURN_URL = f"stun:{SERVER}", f"turn:{SERVER}"
UDP_URL, TCP_URL, TLS_URL = (f"turn:{SERVER}?transport=udp", f"turn:{SERVER}?transport=tcp", f"turns:{SERVER.host}")
OTHER_SERVER = Address("203.0.113.99", 3478)


def bench(*servers: Server, hosts: tuple[Address, ...] = (HOST,), settings: AgentConfig | None = None) -> Bench:
    table = Bench(settings)
    table.gatherer.set_servers(servers, now=0.0)
    for host in hosts:
        table.add_host(host)
    return table


def server(text: str) -> Server:
    return Server(parse_server_uri(text))


def ask_all(table: Bench, *, now: float = 0.0) -> list[Datagram]:
    """Asks every server that waits to be asked; returns what was sent."""
    table.take()
    while table.gatherer.has_asks:
        table.gatherer.ask_next(now=now)
    return table.sent()


def answer(table: Bench, asked: Datagram, *attributes: Attribute, is_error: bool = False, now: float = 0.1) -> None:
    """Plays the STUN server that answers a query."""
    data = reply(decode_message(asked.payload), attributes, key=None, is_error=is_error)
    found = table.core.transactions.match(decode_message(data), local=asked.local, remote=asked.remote, now=now)
    assert isinstance(found, Match)
    assert isinstance(found.transaction.context, ServerQuery)
    table.gatherer.on_answer(found.transaction.context, found.message, now=now)


def query_of(table: Bench) -> ServerQuery:
    (transaction,) = table.core.transactions
    assert isinstance(transaction.context, ServerQuery)
    return transaction.context


def allocate(table: Bench) -> Relay:
    """Asks the one TURN server; returns the relay, not granted yet."""
    while table.gatherer.has_asks:
        table.gatherer.ask_next(now=0.0)
    (relay,) = table.core.relays.values()
    return relay


def gathered(table: Bench) -> list[Candidate]:
    return [event.candidate for event in table.events(CandidateGathered)]


def failures(table: Bench) -> list[tuple[str, Address | None, int | None, Cause]]:
    return [(each.url, each.local, each.code, each.reason) for each in table.events(ServerFailed)]


def is_done(table: Bench) -> bool:
    return table.gatherer.report_if_done()


def keepalive_at(table: Bench) -> float | None:
    return table.core.timers.deadline(TimerKey(TimerKind.KEEPALIVE))


def turn_server(text: str) -> Server:
    return Server(parse_server_uri(text), "alice", Secret("wonderland"))
