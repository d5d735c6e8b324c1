"""Answering: what is announced, to whom an answer goes and when, and how a name is taken back."""

from __future__ import annotations

import pytest

from icepath.errors import InvalidArgument
from icepath.machine import Closed, CloseReason, DropReason, Handle
from icepath.mdns.config import Link, MdnsConfig
from icepath.mdns.message import AAAA, ANY, NSEC, A, MdnsMessage, Question, Record
from icepath.net import Address
from unit.mdns.station import (
    GROUP,
    GROUP_IPV6,
    HOST,
    HOST_IPV6,
    LINK,
    LINK_IPV6,
    LISTENING,
    LISTENING_IPV6,
    NEIGHBOUR,
    OURS,
    OURS_IPV6,
    OURS_TOO,
    SIMPLE_NEIGHBOUR,
    STRANGER,
    Sent,
    Station,
    address,
    answer,
    fresh_name,
    question,
)

OTHER_NEIGHBOUR = Address("192.168.1.21", 5353)
TEXT = 16


def ours(name: str = OURS, host: str = HOST) -> MdnsMessage:
    kind = AAAA if ":" in host else A
    return MdnsMessage(
        is_response=True,
        answers=(Record(name, kind, 120, host, is_unique=True),),
        additional=(Record(name, NSEC, 120, kinds=(kind,), is_unique=True),),
    )


def goodbye(name: str = OURS, host: str = HOST) -> MdnsMessage:
    return MdnsMessage(is_response=True, answers=(address(name, host, ttl=0),))


def multicast(message: MdnsMessage) -> list[Sent]:
    return [Sent(LISTENING, GROUP, message)]


def ready(*names: str, config: MdnsConfig | None = None) -> Station:
    """Returns a station whose names were announced a minute ago."""
    station = Station(config=config or MdnsConfig())
    station.register(*names)
    return station


class TestRegistering:
    @pytest.mark.rfc("6762", "8.3")
    def test_a_name_is_announced_at_once_and_once_more_a_second_later(self) -> None:
        station = Station()
        station.register(quiet=False)
        assert station.run() == multicast(ours())
        assert station.run(0.99) == []
        assert station.run(0.02) == multicast(ours())
        assert station.run(3600.0) == []

    @pytest.mark.rfc("mdns-ice-candidates", "3.1.1")
    def test_it_is_not_probed_for(self) -> None:
        station = Station()
        station.register(quiet=False)
        station.run(10.0)
        assert all(sent.message.is_response for sent in station.sent)

    @pytest.mark.rfc("6762", "6.4")
    def test_names_registered_together_are_announced_together(self) -> None:
        station = Station()
        names = [fresh_name(number) for number in range(10)]
        station.register(*names, quiet=False)
        sent = station.run()
        assert [len(each.message.answers) for each in sent] == [8, 2]
        assert [record.name for each in sent for record in each.message.answers] == names

    def test_on_the_links_of_its_interface_and_no_other(self) -> None:
        elsewhere = Link("10.0.0.5", ("10.0.0.0/24",))
        station = Station((LINK, LINK_IPV6, elsewhere))
        station.register(OURS, OURS_IPV6, quiet=False)
        both = MdnsMessage(
            is_response=True,
            answers=(*ours().answers, *ours(OURS_IPV6, HOST_IPV6).answers),
            additional=(*ours().additional, *ours(OURS_IPV6, HOST_IPV6).additional),
        )
        assert station.run() == [Sent(LISTENING, GROUP, both), Sent(LISTENING_IPV6, GROUP_IPV6, both)]
        station.run(10.0)
        assert station.hear(question(), Address("10.0.0.6", 5353), Address("10.0.0.5", 5353)) == []

    def test_a_link_that_opens_later_hears_of_it_too(self) -> None:
        station = Station(opens=False)
        station.register(quiet=False)
        assert station.run(5.0) == []
        station.open_all()
        assert station.run() == multicast(ours())

    def test_a_name_may_be_registered_again(self) -> None:
        station = ready()
        station.register(quiet=False)
        assert station.run(5.0) == []

    @pytest.mark.parametrize(
        ("name", "host"),
        [
            ("printer.local", HOST),
            (OURS.upper(), HOST),
            (OURS + ".", HOST),
            (OURS_TOO, "here"),
            (OURS_TOO, "2B00::1"),
            (OURS, "192.168.1.11"),
        ],
    )
    def test_a_wrong_name_or_address_and_a_second_address_are_refused(self, name: str, host: str) -> None:
        station = ready()
        with pytest.raises(InvalidArgument):
            station.mdns.register(name, host, now=station.now)
        assert station.run(5.0) == []

    def test_names_beyond_the_limit_are_not_answered_for(self) -> None:
        station = ready(OURS, OURS_TOO, config=MdnsConfig(max_names=1))
        assert station.dropped == [DropReason.LIMIT]
        assert station.hear(question(OURS_TOO)) == []
        assert station.hear(question(OURS)) == multicast(ours())

    @pytest.mark.rfc("mdns-ice-candidates", "7.1")
    def test_beyond_the_rate_announcements_wait(self) -> None:
        station = Station(config=MdnsConfig(max_sent=1))
        station.register(*(fresh_name(number) for number in range(20)), quiet=False)
        assert [len(station.run(0.999 if tick else 0.0)) for tick in range(2)] == [1, 0]
        station.run(60.0)
        announced = [record.name for sent in station.sent for record in sent.message.answers]
        assert [announced.count(fresh_name(number)) for number in range(20)] == [2] * 20


class TestTakingBack:
    @pytest.mark.rfc("6762", "10.1")
    def test_a_farewell_and_then_silence(self) -> None:
        station = ready(OURS, OURS_TOO)
        station.mdns.unregister(OURS, now=station.now)
        assert station.run(10.0) == multicast(goodbye())
        assert station.hear(question(OURS)) == []
        assert station.hear(question(OURS_TOO)) == multicast(ours(OURS_TOO))

    def test_a_name_that_was_never_announced_needs_none(self) -> None:
        station = Station()
        station.register(quiet=False)
        station.mdns.unregister(OURS, now=station.now)
        assert station.run(10.0) == []

    def test_nor_is_it_announced_once_more(self) -> None:
        station = Station()
        station.register(quiet=False)
        station.run()
        station.mdns.unregister(OURS, now=station.now)
        assert station.run(10.0) == multicast(goodbye())

    def test_an_unknown_name_is_passed_over(self) -> None:
        station = ready()
        station.mdns.unregister(OURS_TOO, now=station.now)
        assert station.run(10.0) == []

    def test_closing_takes_all_of_them_back_whatever_the_rate(self) -> None:
        names = [fresh_name(number) for number in range(10)]
        station = ready(*names, config=MdnsConfig(max_sent=1))
        station.hear(question(fresh_name(0)))
        station.mdns.close(now=station.now)
        sent = station.drain()
        assert [record.name for each in sent for record in each.message.answers] == names
        assert {record.ttl for each in sent for record in each.message.answers} == {0}

    def test_on_a_link_that_is_gone_nobody_is_told(self) -> None:
        station = ready()
        station.mdns.set_links((), now=station.now)
        station.mdns.unregister(OURS, now=station.now)
        assert station.run(5.0) == []

    def test_what_was_to_be_said_on_a_link_that_goes_is_forgotten(self) -> None:
        station = Station((LINK, LINK_IPV6))
        station.register(quiet=False)
        station.run()
        station.mdns.set_links((LINK,), now=station.now)
        assert station.run(5.0) == multicast(ours())

    def test_what_is_due_on_a_socket_that_was_lost_is_passed_over(self) -> None:
        station = Station()
        station.register(quiet=False)
        station.run()
        station.mdns.receive(Closed(Handle(1), CloseReason.RESET), now=station.now)
        assert station.run(5.0) == []


class TestAnswering:
    @pytest.mark.rfc("6762", "6")
    @pytest.mark.parametrize("kind", [A, ANY])
    def test_a_question_is_answered_at_once_by_multicast(self, kind: int) -> None:
        assert ready().hear(question(kind=kind)) == multicast(ours())

    @pytest.mark.rfc("6762", "6.1")
    @pytest.mark.parametrize("kind", [AAAA, TEXT])
    def test_a_question_about_another_type_is_answered_by_what_there_is(self, kind: int) -> None:
        (sent,) = ready().hear(question(kind=kind))
        assert sent.message.additional == (Record(OURS, NSEC, 120, kinds=(A,), is_unique=True),)

    def test_names_of_others_are_not_ours_to_answer(self) -> None:
        station = ready()
        assert station.hear(question(fresh_name(1))) == []
        assert station.hear(question("printer.local")) == []

    @pytest.mark.rfc("6762", "6")
    def test_not_again_within_a_second(self) -> None:
        station = ready()
        station.hear(question())
        station.run(0.3)
        assert station.hear(question()) == []
        assert station.run(0.69) == []
        assert station.run(0.02) == multicast(ours())
        assert station.run(10.0) == []

    def test_questions_meanwhile_get_one_answer(self) -> None:
        station = ready()
        station.hear(question())
        for remote in (NEIGHBOUR, OTHER_NEIGHBOUR, NEIGHBOUR):
            station.hear(question(), remote)
        assert station.run(10.0) == multicast(ours())

    @pytest.mark.rfc("6762", "5.4")
    def test_who_wants_it_alone_gets_it_alone_if_it_was_multicast_lately(self) -> None:
        station = ready()
        station.hear(question())
        station.run(0.2)
        assert station.hear(question(wants_unicast=True)) == [Sent(LISTENING, NEIGHBOUR, ours())]
        assert station.run(10.0) == []

    @pytest.mark.rfc("6762", "5.4")
    def test_else_everybody_gets_it(self) -> None:
        assert ready().hear(question(wants_unicast=True)) == multicast(ours())

    @pytest.mark.rfc("6762", "11")
    def test_who_is_not_of_this_link_gets_it_by_multicast(self) -> None:
        station = ready()
        station.hear(question())
        station.run(5.0)
        assert station.hear(question(wants_unicast=True), STRANGER) == multicast(ours())

    @pytest.mark.rfc("6762", "6.3")
    def test_a_message_with_questions_for_others_is_answered_a_little_later(self) -> None:
        station = ready()
        assert station.hear(MdnsMessage(questions=(Question(OURS, A), Question("printer.local", A)))) == []
        assert station.run(0.019) == []
        assert station.run(0.102) == multicast(ours())

    def test_a_message_with_questions_for_us_alone_is_answered_at_once(self) -> None:
        station = ready(OURS, OURS_TOO)
        questions = (Question(OURS, A), Question(OURS, AAAA), Question(OURS_TOO, A))
        (sent,) = station.hear(MdnsMessage(questions=questions))
        assert [record.name for record in sent.message.answers] == [OURS, OURS_TOO]

    @pytest.mark.rfc("6762", "7.1")
    def test_who_knows_is_not_told(self) -> None:
        station = ready()
        assert station.hear(question(known=(address(OURS, HOST, ttl=60),))) == []
        assert station.run(5.0) == []

    @pytest.mark.rfc("6762", "7.1")
    @pytest.mark.parametrize("known", [address(OURS, HOST, ttl=59), address(OURS, "192.168.1.11")])
    def test_who_knows_something_old_or_else_is(self, known: Record) -> None:
        assert ready().hear(question(known=(known,))) == multicast(ours())

    @pytest.mark.rfc("6762", "7.2")
    def test_who_has_more_to_say_is_waited_for(self) -> None:
        station = ready()
        truncated = MdnsMessage(is_truncated=True, questions=(Question(OURS, A),))
        assert station.hear(truncated) == []
        assert station.run(0.399) == []
        assert station.run(0.102) == multicast(ours())

    @pytest.mark.rfc("6762", "7.2")
    def test_and_not_told_what_it_turns_out_to_know(self) -> None:
        station = ready()
        station.hear(MdnsMessage(is_truncated=True, questions=(Question(OURS, A),)))
        station.run(0.1)
        station.hear(MdnsMessage(answers=(address(OURS, HOST),)))
        assert station.run(5.0) == []

    @pytest.mark.rfc("6762", "7.2")
    def test_unless_somebody_else_asks_as_well(self) -> None:
        station = ready()
        truncated = MdnsMessage(is_truncated=True, questions=(Question(OURS, A),))
        station.hear(truncated)
        station.hear(truncated, OTHER_NEIGHBOUR)
        station.hear(MdnsMessage(answers=(address(OURS, HOST),)))
        assert station.run(5.0) == multicast(ours())

    def test_who_asks_twice_is_still_one(self) -> None:
        station = ready()
        truncated = MdnsMessage(is_truncated=True, questions=(Question(OURS, A),))
        station.hear(truncated)
        station.hear(truncated)
        station.hear(MdnsMessage(answers=(address(OURS, HOST),)))
        assert station.run(5.0) == []

    def test_an_announcement_is_not_silenced_so(self) -> None:
        station = Station()
        station.register(quiet=False)
        station.run()
        station.hear(question())
        station.hear(MdnsMessage(answers=(address(OURS, HOST),)))
        assert station.run(5.0) == multicast(ours())

    @pytest.mark.rfc("6762", "8.1")
    def test_a_probe_is_answered_at_once_and_again_after_a_quarter_of_a_second(self) -> None:
        station = ready()
        probe = MdnsMessage(
            questions=(Question(OURS, ANY), Question("printer.local", ANY)), proposed=(address(OURS, "192.168.1.20"),)
        )
        assert station.hear(probe) == multicast(ours())
        station.run(0.1)
        assert station.hear(probe) == []
        assert station.run(0.151) == multicast(ours())

    @pytest.mark.rfc("6762", "5.4")
    def test_a_probe_that_wants_it_alone_gets_it_alone(self) -> None:
        station = ready()
        probe = MdnsMessage(questions=(Question(OURS, ANY, True),), proposed=(address(OURS, "192.168.1.20"),))
        assert station.hear(probe) == [Sent(LISTENING, NEIGHBOUR, ours())]

    def test_beyond_the_rate_answers_to_one_are_dropped(self) -> None:
        station = ready(config=MdnsConfig(max_sent=1))
        station.hear(question())
        assert station.hear(question(wants_unicast=True)) == []
        assert station.dropped == [DropReason.RATE]


class TestSimpleResolvers:
    @pytest.mark.rfc("6762", "6.7")
    @pytest.mark.parametrize("kind", [A, ANY])
    def test_are_answered_as_by_a_plain_server(self, kind: int) -> None:
        sent = ready().hear(question(kind=kind, number=4711, wants_unicast=True), SIMPLE_NEIGHBOUR)
        expected = MdnsMessage(
            4711,
            is_response=True,
            questions=(Question(OURS, kind),),
            answers=(Record(OURS, A, 10, HOST),),
        )
        assert sent == [Sent(LISTENING, SIMPLE_NEIGHBOUR, expected)]

    def test_are_told_of_the_address_of_the_other_family_besides(self) -> None:
        (sent,) = ready().hear(question(kind=AAAA), SIMPLE_NEIGHBOUR)
        expected = MdnsMessage(
            is_response=True, questions=(Question(OURS, AAAA),), additional=(Record(OURS, A, 10, HOST),)
        )
        assert sent.message == expected

    def test_are_answered_however_lately_it_was_multicast(self) -> None:
        station = ready()
        station.hear(question())
        assert len(station.hear(question(), SIMPLE_NEIGHBOUR)) == 1

    def test_are_not_answered_for_others(self) -> None:
        station = ready()
        assert station.hear(question(fresh_name(1)), SIMPLE_NEIGHBOUR) == []
        assert station.dropped == []

    def test_are_not_answered_elsewhere(self) -> None:
        station = ready()
        assert station.hear(question(), Address(STRANGER.host, 40_000)) == []
        assert station.dropped == [DropReason.WRONG_ADDRESS]

    def test_are_not_answered_beyond_the_rate(self) -> None:
        station = ready(config=MdnsConfig(max_sent=1))
        station.hear(question(), SIMPLE_NEIGHBOUR)
        assert station.hear(question(), SIMPLE_NEIGHBOUR) == []
        assert station.dropped == [DropReason.RATE]


class TestWhatOthersSay:
    @pytest.mark.rfc("6762", "6.6")
    @pytest.mark.parametrize("ttl", [0, 59])
    def test_who_takes_a_name_of_ours_back_is_contradicted(self, ttl: int) -> None:
        station = ready()
        assert station.hear(answer(address(OURS, HOST, ttl=ttl))) == multicast(ours())
        assert station.hear(answer(address(OURS, HOST, ttl=ttl))) == []
        assert station.hear(answer(address(OURS, HOST, ttl=ttl))) == []
        assert station.run(10.0) == multicast(ours())

    @pytest.mark.rfc("6762", "6.6")
    def test_who_says_the_same_is_not(self) -> None:
        station = ready()
        assert station.hear(answer(address(OURS, HOST, ttl=60))) == []
        assert station.run(10.0) == []

    def test_another_address_under_our_name_changes_nothing(self) -> None:
        station = ready()
        assert station.hear(answer(address(OURS, "192.168.1.66"))) == []
        assert station.run(10.0) == []
        assert station.hear(question()) == multicast(ours())
