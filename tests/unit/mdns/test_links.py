"""Sockets: two on each link, each may fail alone, and one rate for everything."""

from __future__ import annotations

from icepath.machine import Bind, Close, Closed, CloseReason, Command, Datagram, Failed, FailReason, Handle, Opened
from icepath.mdns.config import Link, MdnsConfig
from icepath.mdns.events import MdnsEvent
from icepath.mdns.links import Links, Rate
from icepath.mdns.message import MdnsMessage
from icepath.net import Address
from icepath.outbox import Outbox

LINK = Link("192.168.1.10", ("192.168.1.0/24",))
LINK_IPV6 = Link("2b00:1::10", ("2b00:1::/64",))
LISTENING = Address("192.168.1.10", 5353)
ASKING = Address("192.168.1.10", 50_000)


def made(**config: int) -> tuple[Links, Outbox[MdnsEvent]]:
    outbox: Outbox[MdnsEvent] = Outbox()
    return Links(MdnsConfig(**config), outbox), outbox


def opened() -> tuple[Links, Outbox[MdnsEvent]]:
    links, outbox = made()
    links.set((LINK,))
    links.on_answer(Opened(Handle(1), LISTENING))
    links.on_answer(Opened(Handle(2), ASKING))
    outbox.take()
    return links, outbox


class TestSockets:
    def test_each_link_has_one_that_hears_the_group_and_one_of_its_own_port(self) -> None:
        links, outbox = made()
        links.set((LINK, LINK_IPV6))
        assert outbox.take() == [
            Bind(Handle(1), LISTENING, group=Address("224.0.0.251", 5353)),
            Bind(Handle(2), Address("192.168.1.10", 0), group=Address("224.0.0.251", 0)),
            Bind(Handle(3), Address("2b00:1::10", 5353), group=Address("ff02::fb", 5353)),
            Bind(Handle(4), Address("2b00:1::10", 0), group=Address("ff02::fb", 0)),
        ]

    def test_links_that_stay_are_left_alone(self) -> None:
        links, outbox = opened()
        links.set((LINK, LINK))
        assert outbox.take() == []

    def test_links_that_go_are_closed(self) -> None:
        links, outbox = opened()
        links.set((LINK_IPV6,))
        said: list[object] = list(outbox.take())
        assert said[:2] == [Close(Handle(1)), Close(Handle(2))]
        assert [each for each in said if isinstance(each, Bind)] == said[2:]
        assert links.at(LISTENING) is None
        assert links.listening == []

    def test_a_socket_under_way_is_closed_too(self) -> None:
        links, outbox = made()
        links.set((LINK,))
        outbox.take()
        links.close()
        assert outbox.take() == [Close(Handle(1)), Close(Handle(2))]
        assert links.on_answer(Opened(Handle(1), LISTENING)) is None
        assert links.is_hopeless

    def test_a_socket_that_failed_is_tried_again_when_links_are_told_again(self) -> None:
        links, outbox = made()
        links.set((LINK,))
        outbox.take()
        assert links.on_answer(Failed(Handle(1), FailReason.ADDRESS_IN_USE)) is None
        links.set((LINK,))
        assert outbox.take() == [Bind(Handle(3), LISTENING, group=Address("224.0.0.251", 5353))]

    def test_a_failed_one_of_a_link_that_goes_needs_no_close(self) -> None:
        links, outbox = made()
        links.set((LINK,))
        links.on_answer(Failed(Handle(1), FailReason.ADDRESS_IN_USE))
        links.on_answer(Closed(Handle(2), CloseReason.RESET))
        outbox.take()
        links.close()
        assert outbox.take() == []

    def test_answers_for_nobody_and_twice_are_passed_over(self) -> None:
        links, _ = opened()
        assert links.on_answer(Opened(Handle(9), LISTENING)) is None
        assert links.on_answer(Opened(Handle(1), Address("192.168.1.10", 7))) is None
        assert links.at(Address("192.168.1.10", 7)) is None

    def test_two_sockets_of_one_address_do_not_take_each_other_away(self) -> None:
        links, _ = made()
        links.set((LINK,))
        links.on_answer(Opened(Handle(1), LISTENING))
        second = links.on_answer(Opened(Handle(2), LISTENING))
        links.on_answer(Closed(Handle(1), CloseReason.RESET))
        assert links.at(LISTENING) is second

    def test_there_is_hope_while_one_is_open_or_may_be(self) -> None:
        links, _ = made()
        assert links.is_hopeless
        links.set((LINK,))
        assert not links.is_hopeless
        links.on_answer(Failed(Handle(1), FailReason.ADDRESS_IN_USE))
        assert not links.is_hopeless
        links.on_answer(Opened(Handle(2), ASKING))
        assert not links.is_hopeless
        links.on_answer(Closed(Handle(2), CloseReason.RESET))
        assert links.is_hopeless


class TestAsking:
    def test_first_from_where_the_answer_comes_back_alone(self) -> None:
        links, _ = opened()
        assert [port.address for port in links.asking(by_multicast=False)] == [ASKING]
        assert [port.address for port in links.asking(by_multicast=True)] == [LISTENING]

    def test_from_the_other_when_one_has_failed(self) -> None:
        for number, left in ((1, ASKING), (2, LISTENING)):
            links, _ = opened()
            links.on_answer(Closed(Handle(number), CloseReason.RESET))
            for by_multicast in (False, True):
                assert [port.address for port in links.asking(by_multicast=by_multicast)] == [left]

    def test_from_nowhere_when_both_have(self) -> None:
        links, _ = opened()
        for number in (1, 2):
            links.on_answer(Closed(Handle(number), CloseReason.RESET))
        assert links.asking(by_multicast=True) == []


class TestSending:
    def test_to_the_group_or_to_somebody(self) -> None:
        links, outbox = opened()
        (port,) = links.listening
        assert links.send(port, MdnsMessage(7), now=1.0)
        assert links.send(port, MdnsMessage(8), Address("192.168.1.20", 5353), now=1.0)
        said: list[object] = list(outbox.take())
        assert said == [
            Datagram(LISTENING, Address("224.0.0.251", 5353), b"\0\7" + bytes(10)),
            Datagram(LISTENING, Address("192.168.1.20", 5353), b"\0\x08" + bytes(10)),
        ]

    def test_not_from_a_socket_that_is_gone(self) -> None:
        links, outbox = opened()
        (port,) = links.listening
        links.on_answer(Closed(Handle(1), CloseReason.RESET))
        assert not links.send(port, MdnsMessage(), now=1.0)
        links.send_last(port, MdnsMessage())
        said: list[Datagram | Command] = [each for each in outbox.take() if isinstance(each, Datagram)]
        assert said == []

    def test_no_more_than_the_rate(self) -> None:
        links, _ = made(max_sent=2)
        links.set((LINK,))
        links.on_answer(Opened(Handle(1), LISTENING))
        (port,) = links.listening
        assert [links.send(port, MdnsMessage(), now=5.0 + 0.1 * tick) for tick in range(4)] == [
            True,
            True,
            False,
            False,
        ]
        assert links.again_at == 6.0
        assert links.send(port, MdnsMessage(), now=6.0)


def test_a_rate_begins_anew_each_second() -> None:
    rate = Rate(2)
    assert [rate.allows(1.0), rate.allows(1.9), rate.allows(1.99), rate.allows(2.0)] == [True, True, False, True]
    assert rate.again_at == 3.0
