"""Whose packet is this: ufrag, transaction, five-tuple; who comes second is refused, and nothing is kept for ever."""

from __future__ import annotations

import random

import pytest

from icepath.errors import InvalidArgument
from icepath.ice import router as module
from icepath.ice.router import NOBODY, Member, Recent, Router
from icepath.machine import Datagram, DropReason
from icepath.net import Address
from icepath.wire.attributes import Attribute, Priority, Username
from icepath.wire.channel_data import encode_channel_data
from icepath.wire.message import MessageClass, Method, TransactionId, encode_message

HERE, THERE = Address("192.0.2.1", 4000), Address("198.51.100.7", 5000)
ELSEWHERE = Address("198.51.100.99", 9)
SERVER = Address("203.0.113.5", 3478)
OURS, THEIRS = "AAAA", "BBBB"
OTHERS = "CCCC"
_random = random.Random(7).randbytes


def message(kind: MessageClass, transaction_id: TransactionId | None = None, *attributes: Attribute) -> bytes:
    return encode_message(Method.BINDING, kind, transaction_id or TransactionId(_random(12)), attributes)


def check(username: str, transaction_id: TransactionId | None = None) -> bytes:
    """Is a check with this USERNAME, which does not stand first."""
    return message(MessageClass.REQUEST, transaction_id, Priority(1), Username(username))


def answer(request: bytes, kind: MessageClass = MessageClass.SUCCESS) -> bytes:
    return message(kind, TransactionId(request[8:20]))


class Desk:
    """Is a router with two members, of which one has a peer."""

    def __init__(self, **settings: int) -> None:
        self.router = Router(**settings)
        self.ours = self.router.add(OURS)
        self.others = self.router.add(OTHERS)

    def send(self, member: Member, payload: bytes, remote: Address = THERE, now: float = 0.0) -> bool:
        return self.router.sent(member, Datagram(HERE, remote, payload), now=now)

    def hear(
        self, payload: bytes, remote: Address = THERE, now: float = 0.0, sender: Member = NOBODY
    ) -> Member | DropReason:
        return self.router.route(Datagram(HERE, remote, payload), sender=sender, now=now)

    def win(self, member: Member, username: str = "BBBB:AAAA", now: float = 0.0) -> bytes:
        """Has a check answered; returns the request."""
        request = check(username)
        assert self.send(member, request, now=now)
        assert self.hear(answer(request), now=now) == member
        return request

    def answered(self, member: Member, username: str, now: float = 0.0) -> bool:
        """Hears a check for a member, and says whether it may answer."""
        request = check(username)
        assert self.hear(request, now=now) == member
        return self.send(member, answer(request), now=now)


DATA = b"\x80data"


# -- members ---------------------------------------------------------------------------------------------------


def test_members_have_different_ufrags() -> None:
    router = Router()
    first = router.add(OURS)
    with pytest.raises(InvalidArgument, match='"AAAA" is that of another agent'):
        router.add(OURS)
    second = router.add(OTHERS)
    assert (first, second, len(router)) == (1, 2, 2)
    router.remove(first)
    router.remove(first)
    assert router.add(OURS) not in (first, second)


def test_a_restart_keeps_the_ufrag_of_the_session_in_use() -> None:
    desk = Desk()
    with pytest.raises(InvalidArgument):
        desk.router.restart(desk.ours, OTHERS)
    desk.router.restart(desk.ours, "DDDD")
    desk.router.restart(desk.ours, "DDDD")
    assert desk.hear(check("AAAA:BBBB")) == desk.ours
    assert desk.hear(check("DDDD:BBBB")) == desk.ours
    desk.router.restart(desk.ours, "EEEE")
    assert desk.hear(check("AAAA:BBBB")) is DropReason.UNKNOWN_USERNAME
    assert [desk.hear(check(f"{ufrag}:BBBB")) for ufrag in ("DDDD", "EEEE")] == [desk.ours] * 2
    desk.router.remove(desk.ours)
    assert desk.hear(check("EEEE:BBBB")) is DropReason.UNKNOWN_USERNAME
    assert desk.router.add("DDDD")


# -- requests go by ufrag --------------------------------------------------------------------------------------


@pytest.mark.rfc("8445", "7.3")
@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (check("AAAA:BBBB"), 1),
        (check("CCCC:BBBB"), 2),
        (check("AAAA"), 1),
        (check("BBBB:AAAA"), DropReason.UNKNOWN_USERNAME),
        (check("ZZZZ:BBBB"), DropReason.UNKNOWN_USERNAME),
        (check("A" * 500 + ":B"), DropReason.UNKNOWN_USERNAME),
        (message(MessageClass.REQUEST), DropReason.UNKNOWN_USERNAME),
        (message(MessageClass.REQUEST, None, Priority(1)), DropReason.UNKNOWN_USERNAME),
        (message(MessageClass.INDICATION), DropReason.UNEXPECTED_MESSAGE),
        (message(MessageClass.SUCCESS), DropReason.UNKNOWN_TRANSACTION),
        (message(MessageClass.ERROR), DropReason.UNKNOWN_TRANSACTION),
        (b"", DropReason.UNVALIDATED),
        (DATA, DropReason.UNVALIDATED),
        (b"\x00\x01", DropReason.UNVALIDATED),
        (encode_channel_data(0x4000, b"x"), DropReason.UNVALIDATED),
    ],
)
def test_whose_is_what_nobody_has_a_five_tuple_for(payload: bytes, expected: int | DropReason) -> None:
    assert Desk().hear(payload) == expected


@pytest.mark.parametrize("length", [0, 3, 65_535])
def test_a_username_whose_length_lies_is_no_username(length: int) -> None:
    payload = bytearray(check("AAAA:BBBB"))
    at = payload.index(b"\x00\x06\x00\x09")
    payload[at + 2 : at + 4] = length.to_bytes(2, "big")
    assert Desk().hear(bytes(payload)) is DropReason.UNKNOWN_USERNAME


def test_any_bytes_are_routed_or_dropped() -> None:
    desk, dice = Desk(), random.Random(3)
    seed = check("AAAA:BBBB")
    for _ in range(2_000):
        payload = bytearray(seed[: dice.randrange(len(seed) + 1)])
        for _ in range(dice.randrange(4)):
            if payload:
                payload[dice.randrange(len(payload))] = dice.randrange(256)
        assert isinstance(desk.hear(bytes(payload)), (int, DropReason))


# -- responses go by transaction -------------------------------------------------------------------------------


@pytest.mark.rfc("8489", "6.3.3")
def test_many_ask_one_server_and_each_gets_its_own_answer() -> None:
    desk = Desk()
    asked = {member: message(MessageClass.REQUEST) for member in (desk.ours, desk.others)}
    for member, request in asked.items():
        assert desk.send(member, request, SERVER)
    assert desk.hear(answer(asked[desk.others]), SERVER) == desk.others
    assert desk.hear(answer(asked[desk.ours]), SERVER) == desk.ours
    assert desk.hear(answer(asked[desk.ours]), SERVER) == desk.ours, "a second copy is the agent's to judge"
    assert desk.hear(DATA, SERVER) is DropReason.UNVALIDATED, "a server is nobody's peer"


def test_errors_and_answers_from_elsewhere_go_to_who_asked_and_prove_nothing() -> None:
    desk = Desk()
    first, second = check("BBBB:AAAA"), check("BBBB:AAAA")
    desk.send(desk.ours, first)
    desk.send(desk.ours, second)
    assert desk.hear(answer(first, MessageClass.ERROR)) == desk.ours
    assert desk.hear(answer(second), ELSEWHERE) == desk.ours
    assert desk.hear(DATA) is desk.hear(DATA, ELSEWHERE) is DropReason.UNVALIDATED


def test_answers_to_a_member_that_has_gone_are_nobodys() -> None:
    desk = Desk()
    request = check("BBBB:AAAA")
    desk.send(desk.ours, request)
    desk.router.remove(desk.ours)
    assert desk.hear(answer(request)) is DropReason.UNKNOWN_TRANSACTION


# -- data goes by five-tuple -----------------------------------------------------------------------------------


def test_an_answered_check_holds_the_five_tuple() -> None:
    desk = Desk()
    request = desk.win(desk.ours)
    assert desk.hear(DATA) == desk.ours
    assert desk.hear(DATA, ELSEWHERE) is DropReason.UNVALIDATED
    # What cannot be told by other means is the holder's.
    assert desk.hear(answer(request)) == desk.ours
    assert desk.hear(message(MessageClass.INDICATION)) == desk.ours
    assert desk.hear(check("gone:BBBB")) == desk.ours


@pytest.mark.rfc("7675", "5.1")
def test_it_is_held_for_as_long_as_consent_and_answers_renew_it() -> None:
    desk = Desk()
    desk.win(desk.ours, now=0.0)
    desk.win(desk.ours, now=20.0)
    assert desk.hear(DATA, now=49.9) == desk.ours
    assert desk.hear(DATA, now=50.0) is DropReason.UNVALIDATED
    desk.win(desk.others, "BBBB:CCCC", now=50.0)
    assert desk.hear(DATA, now=50.0) == desk.others


def test_a_member_that_goes_gives_its_five_tuples_back() -> None:
    desk = Desk()
    desk.win(desk.ours)
    desk.router.remove(desk.ours)
    assert desk.hear(DATA) is DropReason.UNVALIDATED
    desk.win(desk.others, "BBBB:CCCC")
    assert desk.hear(DATA) == desk.others


def test_the_second_on_a_five_tuple_is_refused() -> None:
    desk = Desk()
    early = check("BBBB:CCCC")
    assert desk.send(desk.others, early)
    heard = check("CCCC:BBBB")
    assert desk.hear(heard) == desk.others
    desk.win(desk.ours)
    assert desk.hear(answer(early)) is DropReason.FIVE_TUPLE_TAKEN
    assert not desk.send(desk.others, answer(heard))
    assert not desk.send(desk.others, check("BBBB:CCCC"))
    assert desk.hear(check("CCCC:BBBB")) is DropReason.FIVE_TUPLE_TAKEN
    assert not desk.router.confirm(desk.others, HERE, THERE, 99.0, now=0.0)
    assert desk.hear(DATA) == desk.ours
    assert desk.send(desk.others, check("BBBB:CCCC"), ELSEWHERE), "other addresses are free"
    assert desk.send(desk.others, DATA), "data is not asked about: without an answer there is none"


def test_a_check_we_answered_holds_the_five_tuple_for_the_first_data() -> None:
    desk = Desk()
    assert desk.answered(desk.ours, "AAAA:BBBB")
    assert desk.hear(DATA) == desk.ours
    assert desk.answered(desk.ours, "AAAA:BBBB", now=20.0)
    assert desk.hear(DATA, now=49.0) == desk.ours


def test_only_success_answers_hold_a_five_tuple() -> None:
    desk = Desk()
    request = check("AAAA:BBBB")
    desk.hear(request)
    assert desk.send(desk.ours, answer(request, MessageClass.ERROR))
    assert desk.send(desk.ours, answer(request)), "what was answered once tells nothing more"
    request = check("AAAA:BBBB")
    desk.hear(request)
    assert desk.send(desk.others, answer(request)), "it was not this member's"
    assert desk.send(desk.ours, message(MessageClass.INDICATION))
    assert desk.hear(DATA) is DropReason.UNVALIDATED


def test_a_member_that_goes_before_its_answer_holds_nothing() -> None:
    desk = Desk()
    request = check("AAAA:BBBB")
    desk.hear(request)
    desk.router.remove(desk.ours)
    assert not desk.send(desk.ours, answer(request))


def test_of_two_at_once_both_sides_choose_the_same() -> None:
    """Two sessions between the same two addresses, checks and answers crossing: AAAA with BBBB, CCCC with DDDD."""
    for order in ("ours first", "others first"):
        here, there = Desk(), Router()
        theirs, fourth = there.add(THEIRS), there.add("DDDD")
        sessions = [(here.ours, theirs, "AAAA", "BBBB"), (here.others, fourth, "CCCC", "DDDD")]
        if order == "others first":
            sessions.reverse()
        outgoing = {near: check(f"{peer}:{own}") for near, _, own, peer in sessions}
        incoming = {far: check(f"{own}:{peer}") for _, far, own, peer in sessions}
        for near, far, _, _ in sessions:  # every request leaves before any arrives
            assert here.send(near, outgoing[near])
            assert there.sent(far, Datagram(THERE, HERE, incoming[far]), now=0.0)
        allowed_here: list[Member] = []
        allowed_there: list[Member] = []
        for near, far, _, _ in sessions:
            if here.hear(incoming[far]) == near and here.send(near, answer(incoming[far])):
                allowed_here.append(near)
            if there.route(Datagram(THERE, HERE, outgoing[near]), now=0.0) == far and there.sent(
                far, Datagram(THERE, HERE, answer(outgoing[near])), now=0.0
            ):
                allowed_there.append(far)
        for near, far, _, _ in sessions:
            if far in allowed_there:
                here.hear(answer(outgoing[near]))
            if near in allowed_here:
                there.route(Datagram(THERE, HERE, answer(incoming[far])), now=0.0)
        assert here.hear(DATA) == here.ours, order
        assert there.route(Datagram(THERE, HERE, DATA), now=0.0) == theirs, order


def test_a_lower_session_takes_what_is_not_held_firmly_and_a_higher_one_does_not() -> None:
    desk = Desk()
    assert desk.answered(desk.others, "CCCC:BBBB")
    assert desk.answered(desk.ours, "AAAA:BBBB")
    assert desk.hear(DATA) == desk.ours
    assert desk.hear(check("CCCC:BBBB")) is DropReason.FIVE_TUPLE_TAKEN
    desk = Desk()
    desk.win(desk.others, "BBBB:CCCC")
    assert desk.hear(check("AAAA:BBBB")) is DropReason.FIVE_TUPLE_TAKEN
    assert desk.answered(desk.others, "CCCC:BBBB"), "the holder's own checks change nothing"
    assert desk.hear(check("AAAA:BBBB")) is DropReason.FIVE_TUPLE_TAKEN


def test_an_answer_to_an_earlier_check_does_not_loosen_what_is_held_firmly() -> None:
    desk = Desk()
    heard = check("CCCC:BBBB")
    desk.hear(heard)
    desk.win(desk.others, "BBBB:CCCC")
    assert desk.send(desk.others, answer(heard))
    assert desk.hear(check("AAAA:BBBB")) is DropReason.FIVE_TUPLE_TAKEN


def test_what_has_lapsed_is_held_as_its_next_proof_says() -> None:
    desk = Desk()
    desk.win(desk.others, "BBBB:CCCC")
    assert desk.answered(desk.others, "CCCC:BBBB", now=40.0)
    assert desk.answered(desk.ours, "AAAA:BBBB", now=41.0), "answers alone do not hold it against a lower session"
    late = check("BBBB:AAAA")
    assert desk.send(desk.ours, late, now=41.0)
    desk.win(desk.others, "BBBB:CCCC", now=80.0)
    assert desk.hear(answer(late), now=80.0) is DropReason.FIVE_TUPLE_TAKEN


def test_between_members_the_sender_is_part_of_the_five_tuple() -> None:
    desk = Desk()
    third = desk.router.add("DDDD")
    for member, username in ((desk.ours, "AAAA:CCCC"), (third, "DDDD:BBBB")):
        request = check(username)
        sender = desk.others if member == desk.ours else Member(9)
        assert desk.hear(request, HERE, sender=sender) == member
        assert desk.send(member, answer(request), HERE)
    assert desk.hear(DATA, HERE, sender=desk.others) == desk.ours
    assert desk.hear(DATA, HERE, sender=Member(9)) == third
    assert desk.hear(DATA, HERE) is DropReason.UNVALIDATED


# -- flows -----------------------------------------------------------------------------------------------------


def test_a_flow_is_for_who_holds_the_five_tuple() -> None:
    desk = Desk()
    assert desk.router.confirm(desk.ours, HERE, THERE, 50.0, now=0.0)
    assert desk.hear(DATA, now=49.9) == desk.ours
    assert not desk.router.confirm(desk.others, HERE, THERE, 90.0, now=49.9)
    assert desk.router.confirm(desk.others, HERE, THERE, 90.0, now=50.0)
    desk.router.remove(desk.ours)
    assert desk.hear(DATA, now=89.0) == desk.others
    assert not desk.router.confirm(desk.ours, HERE, ELSEWHERE, 90.0, now=0.0)


def test_a_flow_taken_back_leaves_late_data_to_its_member() -> None:
    desk = Desk()
    assert desk.router.confirm(desk.ours, HERE, THERE, float("inf"), now=0.0)
    desk.router.release(desk.others, HERE, THERE, now=100.0)
    desk.router.release(desk.ours, HERE, ELSEWHERE, now=100.0)
    assert desk.hear(DATA, now=1_000.0) == desk.ours
    desk.router.release(desk.ours, HERE, THERE, now=1_000.0)
    assert desk.hear(DATA, now=1_029.0) == desk.ours
    assert desk.hear(DATA, now=1_030.0) is DropReason.UNVALIDATED


# -- errors ----------------------------------------------------------------------------------------------------


def test_who_hears_of_an_icmp_error() -> None:
    desk = Desk()
    assert desk.router.concerned(HERE, THERE, now=0.0) == ()
    for member, ufrag in ((desk.ours, OURS), (desk.others, OTHERS), (desk.ours, OURS)):
        desk.send(member, check(f"BBBB:{ufrag}"))
    assert desk.router.concerned(HERE, THERE, now=0.0) == (desk.ours, desk.others)
    desk.router.remove(desk.others)
    assert desk.router.concerned(HERE, THERE, now=0.0) == (desk.ours,)
    desk = Desk()
    desk.send(desk.others, check("BBBB:CCCC"))
    desk.win(desk.ours)
    assert desk.router.concerned(HERE, THERE, now=0.0) == (desk.ours,), "the holder alone"
    desk.win(desk.ours, now=1.0)
    assert desk.router.concerned(HERE, THERE, now=31.0) == (desk.others, desk.ours)


# -- bounds ----------------------------------------------------------------------------------------------------


def test_a_member_holds_so_many_five_tuples_and_the_one_proved_least_lately_goes() -> None:
    desk = Desk(max_claims=2)
    remotes = [Address("198.51.100.7", port) for port in (1, 2, 3)]
    for remote in (*remotes[:2], remotes[0], remotes[2]):
        request = check("BBBB:AAAA")
        desk.send(desk.ours, request, remote)
        desk.hear(answer(request), remote)
    assert [desk.hear(DATA, remote) for remote in remotes] == [desk.ours, DropReason.UNVALIDATED, desk.ours]
    desk.router.remove(desk.ours)
    assert [desk.hear(DATA, remote) for remote in remotes] == [DropReason.UNVALIDATED] * 3


def test_what_is_recent_is_forgotten_in_time_and_bounded_before() -> None:
    recent: Recent[int, str] = Recent(2)
    recent.put(1, "one", 0.0)
    recent.put(2, "two", 39.9)
    assert (recent.get(1), recent.get(2), recent.get(3)) == ("one", "two", None)
    recent.put(3, "three", 39.9)
    assert (recent.get(1), recent.get(3), len(recent)) == ("one", "three", 3), "full: what there is becomes old"
    recent.put(4, "four", 40.0)
    recent.put(5, "five", 41.0)
    assert (recent.get(1), recent.get(3), recent.get(5)) == (None, "three", "five")
    recent.discard(5)
    recent.discard(3)
    recent.discard(9)
    assert len(recent) == 1
    recent.age(81.0)
    assert (recent.get(4), len(recent)) == (None, 0)
    recent.put(6, "six", 82.0)
    recent.age(122.0)
    assert recent.get(6) == "six"
    recent.age(500.0)
    assert len(recent) == 0


def test_transactions_are_forgotten_when_nobody_waits_for_them() -> None:
    desk = Desk()
    request = check("BBBB:AAAA")
    desk.send(desk.ours, request, now=0.0)
    assert desk.hear(answer(request), now=39.5) == desk.ours
    request = check("BBBB:AAAA")
    desk.send(desk.ours, request, ELSEWHERE, now=40.0)
    assert desk.hear(answer(request), now=200.0) is DropReason.UNKNOWN_TRANSACTION


def test_icmp_errors_are_told_to_so_many() -> None:
    router = Router()
    members = [router.add(f"u{number:03}") for number in range(12)]
    for member in members:
        router.sent(member, Datagram(HERE, SERVER, message(MessageClass.REQUEST)), now=0.0)
    assert router.concerned(HERE, SERVER, now=0.0) == tuple(members[-module.MAX_CONCERNED :])
