"""A toy handshake of three flights rides on the checks of two agents: what it saves, and what happens without."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.errors import InvalidArgument, InvalidState
from icepath.ice.agent import Agent
from icepath.ice.config import AgentConfig, Role
from icepath.ice.events import DataReceived, EmbeddedReceived, State
from icepath.machine import Datagram
from icepath.net import Instant
from icepath.wire.attributes import DtlsInStun, DtlsInStunAcknowledgement
from icepath.wire.message import MessageClass, decode_message, looks_like_stun
from machines.agents import HALF, PLAIN, Sent, Side, Table

EMBEDDING = replace(PLAIN, sped=True)
ROUND_TRIP = 2 * HALF

# The flights of DTLS 1.3: ClientHello, ServerHello to Finished in two packets, Finished.
HELLO = (b"\x16client hello",)
REPLY = (b"\x16server hello", b"\x16server finished")
LAST = (b"\x16client finished",)


class Stage(Table):
    """Is two agents whose applications shake hands: `b` is the client."""

    def __init__(self) -> None:
        super().__init__()
        self.embedders: list[str] = []
        self.begun = self.now
        self.heard: dict[str, list[bytes]] = {"a": [], "b": []}
        self.done: dict[str, Instant] = {}
        self._is_greeted = False

    def seat(self, a: AgentConfig = EMBEDDING, b: AgentConfig = EMBEDDING) -> tuple[Side, Side]:
        server = self.sit("a", ["192.0.2.1"], Role.CONTROLLING, a)
        client = self.sit("b", ["198.51.100.7"], Role.CONTROLLED, b)
        self.embedders = [name for name, settings in (("a", a), ("b", b)) if settings.sped]
        if b.sped:
            self.greet(client)
        return server, client

    def greet(self, client: Side) -> None:
        self._is_greeted = True
        self.fly(client, HELLO)

    def fly(self, side: Side, flight: tuple[bytes, ...]) -> None:
        """Sends a flight: embedded, or as everybody does."""
        if side.name in self.embedders:
            side.agent.flights.send(flight, now=self.now)
        else:
            for packet in flight:
                side.agent.send(packet, now=self.now)

    def settle(self, side: Side) -> None:
        seen = len(side.events)
        super().settle(side)
        for _, event in side.events[seen:]:
            if isinstance(event, EmbeddedReceived | DataReceived):
                self.hear(side, event.payload)
        if side.name == "b" and side.state is State.CONNECTED and not self._is_greeted:
            self.greet(side)
        super().settle(side)

    def hear(self, side: Side, packet: bytes) -> None:
        """Is what a handshake does with a packet; one that it has had already is a repetition."""
        heard = self.heard[side.name]
        if packet in heard:
            return
        heard.append(packet)
        if packet in HELLO:
            self.fly(side, REPLY)
        elif all(each in heard for each in REPLY):
            self.fly(side, LAST)
            self.finish(side, sent_last=True)
        elif packet in LAST:
            self.finish(side, sent_last=False)

    def finish(self, side: Side, *, sent_last: bool) -> None:
        self.done[side.name] = self.now
        if side.name in self.embedders:
            side.agent.flights.finish(sent_last=sent_last, now=self.now)

    def round_trips(self, name: str) -> float:
        """Returns how many round trips after the descriptions a side had finished."""
        return round((self.done[name] - self.begun) / ROUND_TRIP, 2)


def carried(sent: Sent) -> tuple[bytes | None, bool]:
    """Returns the packet that a message carried, and whether it acknowledged."""
    packet = sent.message.get(DtlsInStun)
    return (None if packet is None else packet.value, sent.message.get(DtlsInStunAcknowledgement) is not None)


def stun(side: Side, since: Instant = 0.0) -> list[Sent]:
    return [each for each in side.sent if each.is_stun and each.at >= since]


@pytest.mark.rfc("sped", "3.1")
def test_a_handshake_on_the_checks_ends_a_round_trip_earlier() -> None:
    outcome: dict[bool, tuple[float, float]] = {}
    for embeds in (True, False):
        stage = Stage()
        settings = EMBEDDING if embeds else PLAIN
        a, b = stage.seat(settings, settings)
        stage.meet(a, b)
        stage.run(5.0)
        assert (a.state, b.state) == (State.COMPLETED, State.COMPLETED)
        assert [sorted(stage.heard[name]) for name in ("a", "b")] == [sorted(HELLO + LAST), sorted(REPLY)]
        outcome[embeds] = (stage.round_trips("b"), stage.round_trips("a"))
    # The answer carries one packet of the reply, the triggered check the other.
    assert outcome == {True: (1.0, 1.5), False: (2.0, 2.5)}


@pytest.mark.rfc("sped", "3.3.6")
@pytest.mark.parametrize("lost", range(8))
def test_whatever_one_datagram_is_lost_it_ends(lost: int) -> None:
    stage = Stage()
    carriers: list[Datagram] = []

    def loses(datagram: Datagram) -> bool:
        carriers.append(datagram)
        return len(carriers) == lost + 1

    stage.loses = loses
    a, b = stage.seat()
    stage.meet(a, b)
    stage.run(40.0)
    assert set(stage.done) == {"a", "b"}
    assert (a.state, b.state) == (State.COMPLETED, State.COMPLETED)


@pytest.mark.rfc("sped", "3.3.5")
def test_what_got_lost_rides_on_the_checks_that_go_anyway() -> None:
    stage = Stage()
    stage.loses = lambda datagram: not looks_like_stun(datagram.payload)
    a, b = stage.seat()
    stage.meet(a, b)
    stage.run(10.0)
    assert stage.round_trips("b") == 1.0
    assert LAST[0] not in [event.payload for event in a.of(DataReceived)]
    assert LAST[0] in [event.payload for event in a.of(EmbeddedReceived)]


@pytest.mark.rfc("sped", "3.3.1")
def test_afterwards_checks_are_what_they_always_are() -> None:
    stage = Stage()
    a, b = stage.seat()
    stage.meet(a, b)
    stage.run(60.0)
    for side in (a, b):
        assert any(each.message.get(DtlsInStunAcknowledgement) for each in stun(side))
        late = stun(side, since=stage.now - 20)
        assert late
        assert {carried(each) for each in late} == {(None, False)}


@pytest.mark.rfc("sped", "3.3.8")
def test_a_lite_agent_answers_with_its_flight() -> None:
    stage = Stage()
    a = stage.sit("a", ["192.0.2.1"], Role.CONTROLLED, replace(EMBEDDING, lite=True))
    b = stage.sit("b", ["198.51.100.7"], Role.CONTROLLING, EMBEDDING)
    stage.embedders = ["a", "b"]
    stage.greet(b)
    stage.meet(a, b)
    stage.run(5.0)
    assert not a.requests()
    answers = [carried(each)[0] for each in stun(a) if each.is_of(MessageClass.SUCCESS)]
    assert answers[0] in REPLY
    assert stage.round_trips("b") <= 2.0


@pytest.mark.rfc("sped", "3.3.1")
def test_checks_that_come_before_the_description_carry_it_too() -> None:
    stage = Stage()
    a, b = stage.seat()
    stage.introduce(a, b)
    stage.run(ROUND_TRIP)
    assert stage.heard["a"] == list(HELLO)
    assert stage.heard["b"] == list(REPLY[:1])
    stage.introduce(b, a)
    stage.run(5.0)
    assert set(stage.done) == {"a", "b"}


class TestWithout:
    @pytest.mark.rfc("sped", "5.3")
    def test_a_description_that_does_not_offer_it_gets_plain_checks(self) -> None:
        stage = Stage()
        a, b = stage.seat(a=PLAIN)
        stage.meet(a, b)
        stage.run(5.0)
        assert {carried(each) for side in (a, b) for each in stun(side)} == {(None, False)}
        # The hello goes with the first path, when it would have gone without.
        (hello,) = [each for each in b.sent if each.datagram.payload in HELLO]
        assert hello.at - stage.begun == pytest.approx(ROUND_TRIP)
        assert (stage.round_trips("b"), stage.round_trips("a")) == (2.0, 2.5)

    @pytest.mark.rfc("sped", "3.3.1")
    def test_a_side_that_says_nothing_of_it_is_found_out_by_its_first_message(self) -> None:
        stage = Stage()
        a, b = stage.seat(a=PLAIN)
        told = a.agent.local_description()
        b.agent.set_remote_description(replace(told, options=(*told.options, "sped")), now=stage.now)
        stage.settle(b)
        stage.introduce(b, a)
        stage.run(10.0)
        embedded = [each for each in stun(b) if carried(each) != (None, False)]
        assert {carried(each) for each in embedded} == {(HELLO[0], True)}
        assert {each.at for each in embedded} == {stage.begun}
        (hello,) = [each for each in b.sent if each.datagram.payload in HELLO]
        assert hello.at - stage.begun == pytest.approx(ROUND_TRIP)
        assert (stage.round_trips("b"), stage.round_trips("a")) == (2.0, 2.5)

    def test_agents_that_do_not_ask_for_it_have_none_of_it(self) -> None:
        stage = Stage()
        a, b = stage.seat(PLAIN, PLAIN)
        assert "sped" not in a.agent.local_description().options
        stage.meet(a, b)
        stage.run(10.0)
        assert {carried(each) for side in (a, b) for each in stun(side)} == {(None, False)}
        with pytest.raises(InvalidState, match="sped=True"):
            a.agent.flights.send(HELLO, now=stage.now)

    def test_what_it_adds_is_the_only_difference(self) -> None:
        """Two runs that differ in the setting alone send the same checks at the same times but for the attributes."""
        runs: list[list[tuple[Instant, object]]] = []
        for settings in (PLAIN, EMBEDDING):
            stage = Table()
            a = stage.sit("a", ["192.0.2.1"], Role.CONTROLLING, settings)
            b = stage.sit("b", ["198.51.100.7"], Role.CONTROLLED, settings)
            stage.meet(a, b)
            stage.run(3.0)
            runs.append([(each.at, kinds(each)) for side in (a, b) for each in side.sent])
        assert runs[0] == runs[1]


def kinds(sent: Sent) -> object:
    """Returns what a datagram is, without the two attributes."""
    payload = sent.datagram.payload
    if not looks_like_stun(payload):
        return payload
    message = decode_message(payload)
    left = [each for each in message.attributes if each.TYPE not in (DtlsInStun.TYPE, DtlsInStunAcknowledgement.TYPE)]
    return (sent.datagram.remote, message.message_class, message.transaction_id, [each.TYPE for each in left])


def test_what_does_not_fit_is_refused() -> None:
    stage = Stage()
    a, _ = stage.seat()
    room = a.agent.flights.room()
    a.agent.flights.send([b"\x16" * room], now=stage.now)
    with pytest.raises(InvalidArgument, match=f"at most {room}"):
        a.agent.flights.send([b"\x16" * (room + 1)], now=stage.now)
    with pytest.raises(InvalidArgument, match="component 2 of stream 1"):
        a.agent.flights.send(HELLO, component=2, now=stage.now)


def test_closing_forgets_answers_that_were_held() -> None:
    stage = Stage()
    a, b = stage.seat()
    stage.meet(a, b)
    stage.run(HALF / 2)
    check = b.requests()[0].datagram
    a.agent.receive(Datagram(check.remote, check.local, check.payload), now=stage.now)
    held: Agent = a.agent
    assert held.next_deadline() == stage.now
    held.close(now=stage.now)
    assert [type(each).__name__ for each in held.take_outputs()][-1] == "MachineClosed"
    assert held.next_deadline() is None
