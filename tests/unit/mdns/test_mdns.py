"""The machine: what it takes from where, what it does not even read, and its end."""

from __future__ import annotations

import pytest

from icepath.errors import InvalidArgument, InvalidState
from icepath.machine import (
    Bytes,
    Close,
    Datagram,
    DatagramDropped,
    DropReason,
    Failed,
    FailReason,
    Handle,
    MachineClosed,
    Unreachable,
)
from icepath.mdns.config import MdnsConfig
from icepath.mdns.events import NameNotFound, NameResolved, NotFound
from icepath.mdns.message import A, MdnsMessage, Question, encode_message
from icepath.net import Address
from unit.mdns.station import (
    ASKING,
    GROUP,
    LINK,
    LINK_IPV6,
    LISTENING,
    NEIGHBOUR,
    OURS,
    THEIR_HOST,
    THEIRS,
    Station,
    address,
    answer,
    fresh_name,
    question,
)


class TestReceiving:
    def test_what_others_talk_about_is_neither_read_nor_counted(self) -> None:
        station = Station()
        printer = MdnsMessage(questions=(Question("printer.local", A),))
        for payload in (b"", b"junk", encode_message(printer), bytes(9_500)):
            assert station.hear(payload) == []
        assert station.events == []

    def test_a_broken_message_about_an_agents_name_is_dropped(self) -> None:
        station = Station()
        payload = encode_message(answer(address()))
        station.hear(payload[:-1])
        assert station.events == [DatagramDropped(DropReason.MALFORMED, 1, NEIGHBOUR)]

    def test_a_datagram_for_no_socket_of_ours_is_dropped(self) -> None:
        station = Station()
        station.hear(answer(address()), local=Address("192.168.1.10", 7))
        assert station.dropped == [DropReason.UNKNOWN_LOCAL_ADDRESS]

    def test_a_question_to_the_socket_that_asks_is_dropped(self) -> None:
        station = Station()
        station.register(OURS)
        assert station.hear(question(), local=ASKING) == []
        assert station.dropped == [DropReason.UNEXPECTED_MESSAGE]

    def test_a_question_from_nowhere_is_dropped(self) -> None:
        station = Station()
        station.register(OURS)
        assert station.hear(question(), Address(NEIGHBOUR.host, 0)) == []
        assert station.dropped == [DropReason.UNEXPECTED_MESSAGE]

    @pytest.mark.parametrize(
        ("remote", "local"),
        [
            (Address("192.168.1.20", 40_000), LISTENING),
            (Address("192.168.1.20", 40_000), ASKING),
            (Address("11.0.0.7", 5353), ASKING),
        ],
    )
    def test_an_answer_from_a_wrong_place_is_dropped(self, remote: Address, local: Address) -> None:
        station = Station()
        (sent,) = station.resolve()
        station.hear(answer(address(), number=sent.message.id), remote, local)
        assert station.events == [DatagramDropped(DropReason.WRONG_ADDRESS, 1, remote)]

    def test_a_unicast_answer_to_nothing_is_dropped(self) -> None:
        station = Station()
        station.hear(answer(address()), local=ASKING)
        assert station.dropped == [DropReason.UNKNOWN_TRANSACTION]

    def test_a_unicast_answer_to_a_question_is_taken(self) -> None:
        station = Station()
        (sent,) = station.resolve()
        station.hear(answer(address(), number=sent.message.id), local=ASKING)
        assert station.events == [NameResolved(Handle(1), THEIRS, (THEIR_HOST,))]

    def test_a_question_about_a_name_of_ours_is_answered(self) -> None:
        station = Station()
        station.register(OURS)
        assert [sent.remote for sent in station.hear(question())] == [GROUP]

    def test_who_takes_our_name_back_is_heard(self) -> None:
        station = Station()
        station.register(OURS)
        assert len(station.hear(answer(address(OURS, "192.168.1.10", ttl=0)))) == 1

    def test_a_flood_is_read_up_to_the_rate(self) -> None:
        station = Station(config=MdnsConfig(max_read=3))
        for number in range(5):
            station.hear(answer(address(fresh_name(number))))
        assert station.dropped == [DropReason.RATE]
        assert station.resolve(fresh_name(2), query=2) == []
        assert station.resolve(fresh_name(3), query=3) != []
        station.run(1.0)
        station.hear(answer(address(fresh_name(3))))
        assert NameResolved(Handle(3), fresh_name(3), (THEIR_HOST,)) in station.events

    def test_what_printers_say_takes_nothing_of_the_rate(self) -> None:
        station = Station(config=MdnsConfig(max_read=1))
        for _ in range(5):
            station.hear(question("printer.local"))
        station.hear(answer(address()))
        station.resolve()
        assert station.events == [NameResolved(Handle(1), THEIRS, (THEIR_HOST,))]

    def test_an_icmp_error_is_no_reason_to_give_up(self) -> None:
        station = Station()
        station.resolve()
        station.mdns.receive(Unreachable(ASKING, GROUP, 3, 0), now=station.now)
        assert station.run(0.5) == []
        station.hear(answer(address()))
        assert station.events == [NameResolved(Handle(1), THEIRS, (THEIR_HOST,))]

    def test_other_arrivals_are_for_nobody(self) -> None:
        station = Station()
        station.mdns.receive(Bytes(Handle(1), b"x"), now=station.now)
        station.drain()
        assert station.dropped == [DropReason.UNKNOWN_HANDLE]

    def test_a_failure_of_an_unknown_socket_changes_nothing(self) -> None:
        station = Station()
        station.resolve()
        station.mdns.receive(Failed(Handle(99), FailReason.PERMISSION), now=station.now)
        assert station.run(0.5) == []
        assert station.events == []


class TestTime:
    def test_going_backwards_is_no_time_passing(self) -> None:
        station = Station()
        station.resolve()
        station.mdns.handle_timeout(now=station.now - 500.0)
        assert station.run(3.0) != []
        assert station.events == [NameNotFound(Handle(1), THEIRS, NotFound.NO_ANSWER)]

    def test_a_call_that_is_refused_is_no_time_passing_either(self) -> None:
        station = Station()
        station.resolve()
        station.run(0.1)
        with pytest.raises(InvalidArgument, match="under way"):
            station.mdns.resolve(Handle(1), THEIRS, now=station.now + 500.0)
        station.mdns.handle_timeout(now=station.now)
        assert list(station.mdns.take_outputs()) == []

    def test_the_nearer_of_two_deadlines_is_the_next(self) -> None:
        station = Station()
        assert station.mdns.next_deadline() is None
        station.resolve()
        assert station.mdns.next_deadline() == station.now + 1.0
        station.run(0.5)
        station.register(OURS, quiet=False)
        assert station.mdns.next_deadline() == station.now
        station.run()
        assert station.mdns.next_deadline() == station.now + 0.5


class TestTheEnd:
    def test_names_are_taken_back_sockets_closed_and_queries_answered(self) -> None:
        station = Station((LINK, LINK_IPV6))
        station.register(OURS)
        station.resolve()
        station.mdns.close(now=station.now)
        outputs = list(station.mdns.take_outputs())
        assert outputs[0] == NameNotFound(Handle(1), THEIRS, NotFound.CLOSED)
        assert [output.local for output in outputs[1:3] if isinstance(output, Datagram)] == [
            LISTENING,
            Address("2b00:1::10", 5353),
        ]
        assert outputs[3:] == [Close(Handle(number)) for number in range(1, 5)] + [MachineClosed()]

    def test_after_it_nothing_is_said(self) -> None:
        station = Station()
        station.mdns.close(now=station.now)
        station.drain()
        station.mdns.close(now=station.now)
        station.mdns.cancel(Handle(1), now=station.now)
        station.mdns.unregister(OURS, now=station.now)
        station.hear(answer(address()))
        station.mdns.handle_timeout(now=station.now + 100.0)
        assert station.drain() == []
        assert station.events == [MachineClosed()]
        assert station.mdns.next_deadline() is None

    def test_verbs_are_refused(self) -> None:
        station = Station()
        station.mdns.close(now=station.now)
        with pytest.raises(InvalidState):
            station.mdns.set_links((LINK,), now=station.now)
        with pytest.raises(InvalidState):
            station.mdns.resolve(Handle(1), THEIRS, now=station.now)
        with pytest.raises(InvalidState):
            station.mdns.register(OURS, "192.168.1.10", now=station.now)
