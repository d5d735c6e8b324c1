"""An application's verbs for a handshake that rides on checks; what follows from them is in test_embedding."""

from __future__ import annotations

import pytest

from icepath.errors import InvalidArgument, InvalidState
from icepath.ice.config import AgentConfig, Role
from icepath.ice.embedding import room
from icepath.ice.flights import MAX_EXPECTED_UFRAG
from icepath.net import Address
from unit.ice.agent_table import Table
from unit.ice.builders import OWN, REMOTE, THEIRS

HELLO = b"\x16hello"


def sent(table: Table) -> list[tuple[Address, bytes]]:
    return [(each.remote, each.payload) for each in table.sent()]


def test_a_flight_goes_by_itself_where_there_is_a_path() -> None:
    table = Table(AgentConfig(OWN, Role.CONTROLLING, sped=True))
    table.connect()
    table.take()
    table.agent.flights.send([HELLO, HELLO + b"2"], now=1.0)
    assert sent(table) == [(REMOTE, HELLO), (REMOTE, HELLO + b"2")]
    table.agent.flights.finish(sent_last=False, now=1.0)
    assert sent(table) == []


def test_is_refused_where_it_was_not_asked_for() -> None:
    table = Table()
    with pytest.raises(InvalidState, match="sped=True"):
        table.agent.flights.send([HELLO], now=0.0)
    with pytest.raises(InvalidState, match="sped=True"):
        table.agent.flights.finish(sent_last=True, now=0.0)


def test_streams_and_components_are_those_there_are() -> None:
    flights = Table(AgentConfig(OWN, Role.CONTROLLING, components=(1, 2), sped=True)).agent.flights
    flights.send([HELLO], stream=2, component=2, now=0.0)
    with pytest.raises(InvalidArgument, match="component 2 of stream 1"):
        flights.send([HELLO], component=2, now=0.0)
    with pytest.raises(InvalidArgument, match="stream 3"):
        flights.room(3)


def test_nothing_is_sent_once_the_agent_is_closed() -> None:
    table = Table(AgentConfig(OWN, Role.CONTROLLING, sped=True))
    table.agent.close(now=0.0)
    with pytest.raises(InvalidState, match="closed"):
        table.agent.flights.send([HELLO], now=0.0)


@pytest.mark.rfc("sped", "3.4.1")
def test_the_room_depends_on_both_ufrags() -> None:
    table = Table(AgentConfig(OWN, Role.CONTROLLING, sped=True))
    flights = table.agent.flights
    assert flights.room() == room(len(OWN.ufrag) + 1 + MAX_EXPECTED_UFRAG)
    table.meet()
    assert flights.room() == room(len(OWN.ufrag) + 1 + len(THEIRS.ufrag))
    flights.send([b"\x16" * flights.room()], now=0.0)
    with pytest.raises(InvalidArgument, match=f"at most {flights.room()}"):
        flights.send([b"\x16" * (flights.room() + 1)], now=0.0)
