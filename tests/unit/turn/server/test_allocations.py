from __future__ import annotations

from icepath.machine import Handle
from icepath.net import Address
from icepath.turn.server.allocations import AllocationTable, Relay, ServerAllocation
from icepath.turn.server.config import TurnServerConfig
from icepath.turn.server.exchange import Exchange, FiveTuple
from icepath.wire.message import MessageClass, Method, TransactionId, decode_message, encode_message
from unit.turn.serving import CLIENT, LISTEN, PEER, PEER6, RELAY4, RELAYED, RELAYED6, V4, V6

CONFIG = TurnServerConfig((LISTEN,), (RELAY4,))
REQUEST = decode_message(encode_message(Method.ALLOCATE, MessageClass.REQUEST, TransactionId(bytes(12))))


def allocation(*relays: Relay, port: int = 1, username: str | None = None) -> ServerAllocation:
    five_tuple = FiveTuple(LISTEN, Address(CLIENT.host, port))
    made = ServerAllocation(Exchange(REQUEST, five_tuple, None, username), CONFIG)
    made.relays.extend(relays)
    return made


def test_is_pending_until_every_socket_is_open() -> None:
    four, six = Relay(Handle(1), V4), Relay(Handle(2), V6)
    made, table = allocation(four, six), AllocationTable()
    table.add(made)
    assert made.is_pending
    table.open(made, four, RELAYED)
    assert made.is_pending
    assert made.relayed == (RELAYED,)
    table.open(made, six, RELAYED6)
    assert not made.is_pending
    assert made.relayed == (RELAYED, RELAYED6)
    assert (made.relayed_for(PEER), made.relayed_for(PEER6)) == (RELAYED, RELAYED6)


def test_a_family_is_there_before_its_address() -> None:
    made = allocation(Relay(Handle(1), V4))
    assert made.has_family(V4)
    assert not made.has_family(V6)
    assert made.relayed_for(PEER) is None


def test_is_found_by_all_its_names() -> None:
    relay = Relay(Handle(1), V4)
    made, table = allocation(relay), AllocationTable()
    table.add(made)
    table.open(made, relay, RELAYED)
    assert table.get(made.exchange.five_tuple) is made
    assert table.by_relayed(RELAYED) is made
    assert table.by_handle(Handle(1)) == (made, relay)
    assert list(table) == [made]
    table.remove(made)
    assert table.get(made.exchange.five_tuple) is None
    assert table.by_relayed(RELAYED) is None
    assert table.by_handle(Handle(1)) is None
    assert len(table) == 0


def test_one_relay_goes_with_what_is_its() -> None:
    four, six = Relay(Handle(1), V4), Relay(Handle(2), V6)
    made, table = allocation(four, six), AllocationTable()
    table.add(made)
    made.permissions.install((PEER.host, PEER6.host), 0.0)
    made.channels.bind(0x4000, PEER, 0.0)
    made.channels.bind(0x4001, PEER6, 0.0)
    table.remove_relay(made, six)
    assert not made.permissions.is_permitted(PEER6.host, 1.0)
    assert made.permissions.is_permitted(PEER.host, 1.0)
    assert (made.channels.peer_of(0x4000, 1.0), made.channels.peer_of(0x4001, 1.0)) == (PEER, None)
    assert len(table) == 1


def test_users_are_counted_on_every_way_out() -> None:
    table = AllocationTable()
    first, second = allocation(port=1, username="alice"), allocation(port=2, username="alice")
    table.add(first)
    table.add(second)
    table.add(allocation(port=3))
    assert (table.count_of("alice"), table.count_of(None), table.count_of("bob")) == (2, 1, 0)
    table.remove(first)
    assert table.count_of("alice") == 1
    table.remove(second)
    assert table.count_of("alice") == 0


def test_a_driver_that_gives_an_address_twice_breaks_nothing() -> None:
    table = AllocationTable()
    for port in (1, 2):
        relay = Relay(Handle(port), V4)
        made = allocation(relay, port=port)
        table.add(made)
        table.open(made, relay, RELAYED)
    for made in table:
        table.remove(made)
    assert table.by_relayed(RELAYED) is None
