"""Asking: at once, once more, and no longer; whose answers count; what is remembered."""

from __future__ import annotations

import pytest

from icepath.errors import InvalidArgument
from icepath.machine import Closed, CloseReason, DropReason, Event, Handle
from icepath.mdns.config import Link, MdnsConfig
from icepath.mdns.events import NameNotFound, NameResolved, NotFound
from icepath.mdns.message import AAAA, NSEC, A, MdnsMessage, Question, Record
from icepath.net import Address
from unit.mdns.station import (
    ASKING,
    ASKING_IPV6,
    GROUP,
    GROUP_IPV6,
    HOST,
    LINK,
    LINK_IPV6,
    LISTENING,
    LISTENING_IPV6,
    NEIGHBOUR,
    OURS,
    SIMPLE_NEIGHBOUR,
    STRANGER,
    THEIR_HOST,
    THEIRS,
    Sent,
    Station,
    address,
    answer,
    fresh_name,
)


def resolved(query: int = 1, name: str = THEIRS, host: str = THEIR_HOST) -> Event:
    return NameResolved(Handle(query), name, (host,))


def not_found(reason: NotFound, query: int = 1, name: str = THEIRS) -> Event:
    return NameNotFound(Handle(query), name, reason)


class TestAsking:
    @pytest.mark.rfc("mdns-ice-candidates", "3.2.1")
    @pytest.mark.rfc("6762", "5.1")
    def test_a_name_is_asked_for_at_once_from_where_the_answer_comes_back_alone(self) -> None:
        """Chromium 156 does not answer questions that have the unicast-response bit."""
        station = Station()
        (sent,) = station.resolve()
        assert (sent.local, sent.remote) == (ASKING, GROUP)
        assert sent.message.questions == (Question(THEIRS, A, wants_unicast=False),)
        assert not sent.message.is_response

    def test_each_family_is_asked_for_on_its_link(self) -> None:
        station = Station((LINK, LINK_IPV6))
        sent = station.resolve()
        assert [(each.local, each.remote, each.message.questions[0].kind) for each in sent] == [
            (ASKING, GROUP, A),
            (ASKING_IPV6, GROUP_IPV6, AAAA),
        ]

    @pytest.mark.rfc("6762", "5.2")
    def test_who_is_silent_is_asked_once_more_by_multicast_a_second_later(self) -> None:
        station = Station((LINK, LINK_IPV6))
        station.resolve()
        assert station.run(0.99) == []
        again = station.run(0.02)
        assert [(each.local, each.message.questions[0].kind) for each in again] == [
            (LISTENING, A),
            (LISTENING, AAAA),
            (LISTENING_IPV6, A),
            (LISTENING_IPV6, AAAA),
        ]
        assert not any(each.message.questions[0].wants_unicast for each in again)
        assert {each.message.id for each in again} == {0}
        assert station.run(10.0) == []

    @pytest.mark.rfc("6762", "5.3")
    def test_each_message_has_one_question(self) -> None:
        station = Station((LINK, LINK_IPV6))
        station.resolve()
        station.run(3.0)
        assert {len(sent.message.questions) for sent in station.sent} == {1}

    def test_after_three_seconds_it_is_given_up(self) -> None:
        station = Station()
        station.resolve()
        station.run(2.99)
        assert station.events == []
        station.run(0.02)
        assert station.events == [not_found(NotFound.NO_ANSWER)]
        assert station.mdns.next_deadline() is None

    def test_a_short_time_out_ends_before_the_second_question(self) -> None:
        station = Station(config=MdnsConfig(timeout=0.5))
        station.resolve()
        assert station.run(5.0) == []
        assert station.events == [not_found(NotFound.NO_ANSWER)]

    def test_what_many_want_is_asked_for_once_and_answered_to_all(self) -> None:
        station = Station()
        assert len(station.resolve()) == 1
        assert station.resolve(THEIRS.upper() + ".", query=2) == []
        station.hear(answer(address()))
        assert station.events == [resolved(1), resolved(2)]

    def test_a_query_in_use_is_refused(self) -> None:
        station = Station()
        station.resolve()
        with pytest.raises(InvalidArgument):
            station.resolve()

    @pytest.mark.parametrize("name", ["printer.local", "a.b.local", "example.org", ""])
    def test_a_name_that_no_agent_makes_is_not_asked_for(self, name: str) -> None:
        station = Station()
        assert station.resolve(name) == []
        assert station.events == [not_found(NotFound.BAD_NAME, name=name)]

    def test_a_name_of_our_own_needs_nobody(self) -> None:
        station = Station()
        station.register(OURS)
        assert station.resolve(OURS) == []
        assert station.events == [resolved(name=OURS, host=HOST)]

    def test_names_beyond_the_limit_are_refused(self) -> None:
        station = Station(config=MdnsConfig(max_queries=2))
        for number in range(3):
            station.resolve(fresh_name(number), query=number)
        assert station.events == [not_found(NotFound.LIMIT, 2, fresh_name(2))]

    def test_so_are_queries_for_one_name(self) -> None:
        station = Station(config=MdnsConfig(max_queries=2))
        for number in range(3):
            station.resolve(query=number)
        assert station.events == [not_found(NotFound.LIMIT, 2)]

    @pytest.mark.rfc("mdns-ice-candidates", "7.1")
    def test_beyond_the_rate_questions_wait(self) -> None:
        station = Station(config=MdnsConfig(max_sent=2))
        sent = [len(station.resolve(fresh_name(number), query=number)) for number in range(4)]
        assert sent == [1, 1, 0, 0]
        assert {each.message.questions[0].name for each in station.run(1.0)} <= {
            fresh_name(0),
            fresh_name(1),
            fresh_name(2),
            fresh_name(3),
        }
        assert len(station.sent) == 4
        station.run(5.0)
        assert len(station.events) == 4


class TestLinks:
    def test_without_any_the_answer_is_at_once_that_there_is_none(self) -> None:
        station = Station(())
        assert station.resolve() == []
        assert station.events == [not_found(NotFound.NO_LINK)]

    def test_a_name_waits_for_sockets_to_open(self) -> None:
        station = Station(opens=False)
        assert station.resolve() == []
        station.run(1.0)
        station.open_all()
        assert [each.local for each in station.run()] == [ASKING]

    def test_but_no_longer_than_the_time_out(self) -> None:
        station = Station(opens=False)
        station.resolve()
        station.run(3.0)
        assert station.events == [not_found(NotFound.NO_ANSWER)]

    def test_a_link_that_opens_later_does_not_repeat_what_was_asked(self) -> None:
        station = Station()
        station.resolve()
        station.mdns.set_links((LINK, LINK_IPV6), now=station.now)
        station.open_all()
        assert station.run(0.9) == []

    def test_when_all_sockets_fail_names_fail(self) -> None:
        station = Station(opens=False)
        station.resolve()
        station.open_all(listening=False, asking=False)
        assert station.events == [not_found(NotFound.NO_LINK)]

    def test_when_the_last_link_goes_names_fail(self) -> None:
        station = Station()
        station.resolve()
        station.mdns.set_links((), now=station.now)
        station.drain()
        assert station.events == [not_found(NotFound.NO_LINK)]

    def test_without_the_group_names_are_asked_for_all_the_same(self) -> None:
        """Another program may have the port for itself."""
        station = Station(opens=False)
        station.open_all(listening=False)
        (sent,) = station.resolve()
        assert sent.local == ASKING
        station.hear(answer(address(is_unique=False, ttl=10), number=sent.message.id), local=ASKING)
        assert station.events == [resolved()]

    def test_without_a_port_of_their_own_they_are_asked_for_by_multicast(self) -> None:
        station = Station(opens=False)
        station.open_all(asking=False)
        (sent,) = station.resolve()
        assert sent.local == LISTENING
        assert sent.message == MdnsMessage(questions=(Question(THEIRS, A),))

    def test_a_socket_lost_meanwhile_leaves_the_other(self) -> None:
        station = Station()
        station.mdns.receive(Closed(Handle(2), CloseReason.RESET), now=station.now)
        (sent,) = station.resolve()
        assert sent.local == LISTENING


class TestAnswers:
    def test_a_unicast_answer_to_the_question(self) -> None:
        station = Station()
        (sent,) = station.resolve()
        station.hear(answer(address(ttl=10, is_unique=False), number=sent.message.id), local=ASKING)
        assert station.events == [resolved()]
        assert station.mdns.next_deadline() is None

    def test_a_multicast_answer_whoever_asked(self) -> None:
        station = Station()
        station.resolve()
        station.hear(answer(address(), number=77))
        assert station.events == [resolved()]

    @pytest.mark.rfc("6762", "18.1")
    def test_an_address_among_the_additional_records(self) -> None:
        station = Station()
        station.resolve()
        station.hear(MdnsMessage(is_response=True, additional=(address(),)))
        assert station.events == [resolved()]

    @pytest.mark.rfc("6762", "6")
    def test_a_unicast_answer_that_nobody_asked_for_is_dropped(self) -> None:
        station = Station()
        (sent,) = station.resolve()
        for wrong in (
            answer(address(), number=sent.message.id ^ 1),
            answer(address(fresh_name(1)), number=sent.message.id),
        ):
            station.hear(wrong, local=ASKING)
        assert station.dropped == [DropReason.UNKNOWN_TRANSACTION]
        assert station.resolve(fresh_name(1), query=2) != []

    def test_what_a_unicast_answer_tells_besides_is_not_believed(self) -> None:
        station = Station()
        (sent,) = station.resolve()
        station.hear(answer(address(), address(fresh_name(1)), number=sent.message.id), local=ASKING)
        assert station.events == [resolved()]
        assert station.resolve(fresh_name(1), query=2) != []

    @pytest.mark.rfc("6762", "11")
    def test_a_unicast_answer_from_elsewhere_is_dropped(self) -> None:
        station = Station()
        (sent,) = station.resolve()
        station.hear(answer(address(), number=sent.message.id), STRANGER, ASKING)
        assert station.events == [] or station.dropped == [DropReason.WRONG_ADDRESS]
        assert station.dropped == [DropReason.WRONG_ADDRESS]

    @pytest.mark.rfc("6762", "11")
    def test_a_multicast_answer_is_from_this_link_whatever_its_source(self) -> None:
        station = Station()
        station.resolve()
        station.hear(answer(address()), STRANGER)
        assert station.events == [resolved()]

    @pytest.mark.rfc("6762", "6")
    @pytest.mark.parametrize("local", [LISTENING, ASKING])
    def test_an_answer_from_another_port_than_5353_is_dropped(self, local: Address) -> None:
        station = Station()
        (sent,) = station.resolve()
        station.hear(answer(address(), number=sent.message.id), SIMPLE_NEIGHBOUR, local)
        assert station.dropped == [DropReason.WRONG_ADDRESS]
        assert len(station.events) == 1

    @pytest.mark.rfc("mdns-ice-candidates", "3.2.2")
    def test_a_name_of_several_addresses_is_not_used(self) -> None:
        station = Station()
        station.resolve()
        station.hear(answer(address(), address(host="192.168.1.21")))
        assert station.events == [not_found(NotFound.SEVERAL_ADDRESSES)]

    def test_one_address_told_twice_is_one(self) -> None:
        station = Station()
        station.resolve()
        station.hear(answer(address(), address(ttl=60)))
        assert station.events == [resolved()]

    @pytest.mark.rfc("6762", "6.1")
    def test_a_name_that_has_no_address_at_all_fails_at_once(self) -> None:
        station = Station()
        station.resolve()
        station.hear(answer(Record(THEIRS, NSEC, 120, kinds=(16,), is_unique=True)))
        assert station.events == [not_found(NotFound.NO_ADDRESS)]

    @pytest.mark.parametrize(
        "record",
        [
            Record(THEIRS, NSEC, 120, kinds=(A,)),
            Record(THEIRS, NSEC, 120, kinds=(AAAA,)),
            Record(THEIRS, NSEC, 0, kinds=(16,)),
            address(ttl=0),
            address(host="224.0.0.1"),
            address(host="0.0.0.0"),
            address(host="127.0.0.1"),
            address(fresh_name(1)),
            address("printer.local"),
        ],
    )
    def test_what_tells_no_address_leaves_the_question_open(self, record: Record) -> None:
        station = Station()
        station.resolve()
        # Some other name of an agent is in the message, so that it is read.
        station.hear(answer(record, address(fresh_name(2))))
        assert station.events == []
        station.hear(answer(address()))
        assert station.events == [resolved()]

    def test_loopback_is_believed_on_loopback(self) -> None:
        station = Station((Link("127.0.0.1", ("127.0.0.0/8",)),))
        station.resolve()
        station.hear(answer(address(host="127.0.0.1")), Address("127.0.0.1", 5353), Address("127.0.0.1", 5353))
        assert station.events == [resolved(host="127.0.0.1")]

    def test_a_stranger_does_not_take_a_name_of_ours(self) -> None:
        station = Station()
        station.register(OURS)
        station.hear(answer(address(OURS)))
        station.resolve(OURS)
        assert station.events == [resolved(name=OURS, host=HOST)]


class TestCancelling:
    def test_nobody_is_told_and_nothing_is_asked(self) -> None:
        station = Station()
        station.resolve()
        station.mdns.cancel(Handle(1), now=station.now)
        assert station.run(5.0) == []
        assert station.events == []

    def test_others_go_on_waiting(self) -> None:
        station = Station()
        station.resolve()
        station.resolve(query=2)
        station.mdns.cancel(Handle(1), now=station.now)
        station.hear(answer(address()))
        assert station.events == [resolved(2)]

    def test_an_unknown_query_is_passed_over(self) -> None:
        station = Station()
        station.resolve()
        station.mdns.cancel(Handle(7), now=station.now)
        station.hear(answer(address()))
        assert station.events == [resolved()]


class TestRemembering:
    def heard(self, *records: Record) -> Station:
        station = Station()
        station.hear(answer(*records))
        return station

    @pytest.mark.rfc("6762", "18.1")
    def test_what_was_announced_before_needs_no_question(self) -> None:
        station = self.heard(address())
        assert station.resolve() == []
        assert station.events == [resolved()]

    @pytest.mark.rfc("6762", "5.2")
    @pytest.mark.parametrize(("ttl", "lasts"), [(10, 10.0), (120, 120.0), (75 * 60, 120.0)])
    def test_as_long_as_its_ttl_and_two_minutes_at_most(self, ttl: int, lasts: float) -> None:
        station = self.heard(address(ttl=ttl))
        station.run(lasts - 0.1)
        assert station.resolve() == []
        station.run(0.1)
        assert station.resolve(query=2) != []

    @pytest.mark.rfc("6762", "10.1")
    def test_what_is_taken_back_is_forgotten_a_second_later(self) -> None:
        station = self.heard(address())
        station.run(5.0)
        station.hear(answer(address(ttl=0)))
        assert station.resolve() == []
        station.run(1.0)
        assert station.resolve(query=2) != []

    def test_taking_back_what_was_never_told_is_nothing(self) -> None:
        station = self.heard(address(ttl=0))
        assert station.resolve() != []

    @pytest.mark.rfc("6762", "10.2")
    def test_a_new_set_replaces_the_old_one_within_a_second(self) -> None:
        station = self.heard(address())
        station.run(5.0)
        station.hear(answer(address(host="192.168.1.21")))
        station.run(1.0)
        station.resolve()
        assert station.events == [resolved(host="192.168.1.21")]

    @pytest.mark.rfc("6762", "10.2")
    def test_what_came_within_the_last_second_is_of_the_same_set(self) -> None:
        station = self.heard(address())
        station.run(0.5)
        station.hear(answer(address(host="192.168.1.21")))
        station.run(2.0)
        station.resolve()
        assert station.events == [not_found(NotFound.SEVERAL_ADDRESSES)]

    def test_what_is_no_whole_set_adds_to_it(self) -> None:
        station = self.heard(address())
        station.run(5.0)
        station.hear(answer(address(host="192.168.1.21", is_unique=False)))
        station.run(2.0)
        station.resolve()
        assert station.events == [not_found(NotFound.SEVERAL_ADDRESSES)]

    @pytest.mark.rfc("6762", "7.1")
    def test_what_others_know_is_not_learnt_from_their_questions(self) -> None:
        station = Station()
        station.hear(MdnsMessage(questions=(Question(THEIRS, A),), answers=(address(),)))
        assert station.resolve() != []

    def test_names_beyond_the_limit_push_the_oldest_out(self) -> None:
        station = Station(config=MdnsConfig(max_cached=2))
        for number in range(3):
            station.hear(answer(address(fresh_name(number))))
        assert station.resolve(fresh_name(0), query=1) != []
        assert station.resolve(fresh_name(1), query=2) == []
        assert station.resolve(fresh_name(2), query=3) == []

    def test_a_name_that_is_heard_of_again_is_not_the_oldest(self) -> None:
        station = Station(config=MdnsConfig(max_cached=2))
        for number in (0, 1, 0, 2):
            station.hear(answer(address(fresh_name(number))))
        assert station.resolve(fresh_name(0)) == []

    def test_of_one_name_few_addresses_are_kept(self) -> None:
        station = self.heard(*(address(host=f"192.168.1.{number}") for number in range(20, 120)))
        station.resolve()
        assert station.events == [not_found(NotFound.SEVERAL_ADDRESSES)]


def test_closing_answers_what_is_open() -> None:
    station = Station()
    station.resolve()
    station.mdns.close(now=station.now)
    station.drain()
    assert station.events[0] == not_found(NotFound.CLOSED)


def test_two_questions_have_numbers_of_their_own() -> None:
    station = Station()
    numbers = {sent.message.id for query in range(8) for sent in station.resolve(fresh_name(query), query=query)}
    assert len(numbers) == 8


def test_the_question_names_nothing_else() -> None:
    station = Station()
    (sent,) = station.resolve()
    assert sent == Sent(ASKING, GROUP, MdnsMessage(sent.message.id, questions=sent.message.questions))
    assert NEIGHBOUR not in (sent.local, sent.remote)
