from __future__ import annotations

from itertools import count

from icepath.machine import Bytes, Close, Command, Connect, Datagram, DropReason, Event, Handle, Transport
from icepath.net import Address
from icepath.outbox import Outbox
from icepath.turn.client.events import AllocationEvent
from icepath.turn.client.paths import Paths
from icepath.turn.client.routes import Path, Route
from unit.turn.scripted import LOCAL, SERVER

SERVER6 = Address("2001:db8::1", 3478)
OTHER = Address("192.168.9.9", 5000)
TCP = Route(SERVER, Transport.TCP)


class Desk:
    """Paths and their outbox."""

    def __init__(self) -> None:
        self.outbox: Outbox[AllocationEvent] = Outbox()
        numbers = count(1)
        self.paths = Paths(self.outbox, lambda: Handle(next(numbers)))

    def said(self) -> list[Datagram | Bytes | Command | Event]:
        return list(self.outbox.take())


class TestDatagrams:
    def test_are_known_by_their_five_tuple(self) -> None:
        desk = Desk()
        one = desk.paths.add(Path(Route(SERVER), LOCAL))
        other = desk.paths.add(Path(Route(SERVER), OTHER))
        assert desk.paths.of_datagram(LOCAL, SERVER) is one
        assert desk.paths.of_datagram(OTHER, SERVER) is other
        assert desk.paths.of_datagram(LOCAL, SERVER6) is DropReason.WRONG_ADDRESS
        assert desk.paths.of_datagram(SERVER6, SERVER) is DropReason.UNKNOWN_LOCAL_ADDRESS
        assert not one.is_closed

    def test_are_given_up(self) -> None:
        desk = Desk()
        one, two, three = [desk.paths.add(Path(Route(SERVER), Address("192.168.1.2", port))) for port in (1, 2, 3)]
        desk.paths.drop(one)
        assert desk.paths.of_datagram(one.local, SERVER) is DropReason.UNKNOWN_LOCAL_ADDRESS
        desk.paths.keep_datagrams((three,))
        assert desk.paths.of_datagram(two.local, SERVER) is DropReason.UNKNOWN_LOCAL_ADDRESS
        assert desk.paths.of_datagram(three.local, SERVER) is three
        assert desk.said() == []


class TestConnections:
    def test_are_opened_and_known_by_their_handle(self) -> None:
        desk = Desk()
        source = Address(LOCAL.host, 0)
        path = desk.paths.connect(TCP, source, LOCAL)
        assert desk.said() == [Connect(Handle(1), source, SERVER)]
        assert desk.paths.of_stream(Handle(1)) is path
        assert desk.paths.of_stream(Handle(2)) is None
        assert not path.is_closed

    def test_without_a_source_the_driver_has_its_choice(self) -> None:
        desk = Desk()
        path = desk.paths.connect(Route(SERVER6, Transport.TCP), None, LOCAL)
        assert desk.said() == [Connect(Handle(1), None, SERVER6)]
        assert path.local == Address(LOCAL.host, 0)

    def test_are_closed_once(self) -> None:
        desk = Desk()
        path = desk.paths.connect(TCP, None, LOCAL)
        desk.said()
        desk.paths.close(None, abort=True)
        desk.paths.close(path, abort=True)
        desk.paths.close(path, abort=True)
        desk.paths.drop(path)
        assert desk.said() == [Close(Handle(1), abort=True)]
        assert path.is_closed

    def test_that_ended_by_themselves_are_not_closed(self) -> None:
        desk = Desk()
        path = desk.paths.connect(TCP, None, LOCAL)
        desk.said()
        assert desk.paths.forget(path)
        assert not desk.paths.forget(path)
        desk.paths.close_all(keep=None)
        assert desk.said() == []

    def test_are_closed_all_but_one(self) -> None:
        desk = Desk()
        paths = [desk.paths.connect(TCP, None, LOCAL) for _ in range(3)]
        desk.said()
        desk.paths.close_all(keep=paths[1])
        assert desk.said() == [Close(Handle(1)), Close(Handle(3))]
        desk.paths.close_all(keep=None)
        assert desk.said() == [Close(Handle(2))]
