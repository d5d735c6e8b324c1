"""BindingClient against BindingResponder over a pipe in virtual time: what one says, the other understands."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from icepath.entropy import Secret
from icepath.machine import Datagram, DatagramDropped, DropReason, MachineClosed
from icepath.net import Address
from icepath.stun.authenticator import Authenticator, AuthenticatorConfig, User
from icepath.stun.binding import (
    BindingClient,
    BindingConfig,
    BindingEvent,
    BindingFailed,
    BindingFailure,
    ReflexiveDiscovered,
)
from icepath.stun.credentials import Challenge, LongTermCredentials
from icepath.stun.responder import BindingResponder, ResponderConfig
from icepath.wire.attributes import PasswordAlgorithms
from icepath.wire.integrity import PasswordAlgorithmId, userhash
from icepath.wire.message import Message, MessageClass, decode_message, encode_message

CLIENT = Address("192.168.1.2", 40000)
MAPPED = Address("203.0.113.7", 61000)
SERVER = Address("198.51.100.1", 3478)
REALM = "example.org"
MD5 = PasswordAlgorithmId.MD5
SHA256 = PasswordAlgorithmId.SHA256
DELAY = 0.0625
ROUND_TRIP = 2 * DELAY
ALICE = LongTermCredentials("alice", Secret("wonderland"))
MALLORY = LongTermCredentials("alice", Secret("looking-glass"))

# What the pipe does to a message, or None to lose it.
Treatment = Callable[[bytes], bytes | None]


@dataclass
class Pipe:
    """Carries datagrams through a NAT with a fixed delay, and remembers them."""

    client: BindingClient
    server: BindingResponder
    to_server: Treatment = bytes
    to_client: Treatment = bytes
    now: float = 0.0
    requests: list[Message] = field(default_factory=list)
    responses: list[Message] = field(default_factory=list)
    events: list[tuple[float, BindingEvent]] = field(default_factory=list)
    _in_flight: list[tuple[float, int, Datagram]] = field(default_factory=list)
    _count: int = 0

    def run(self) -> list[BindingEvent]:
        """Runs until nothing is left to happen; returns the client's events."""
        self._drain()
        while (at := self._next()) is not None:
            self.now = at
            while self._in_flight and self._in_flight[0][0] <= self.now:
                self._deliver(heapq.heappop(self._in_flight)[2])
            deadline = self.client.next_deadline()
            if deadline is not None and deadline <= self.now:
                self.client.handle_timeout(now=self.now)
            self._drain()
        return [event for _, event in self.events]

    def _next(self) -> float | None:
        arrival = self._in_flight[0][0] if self._in_flight else None
        instants = [at for at in (arrival, self.client.next_deadline()) if at is not None]
        return min(instants, default=None)

    def _deliver(self, datagram: Datagram) -> None:
        machine = self.server if datagram.local == SERVER else self.client
        machine.receive(datagram, now=self.now)

    def _drain(self) -> None:
        for output in self.client.take_outputs():
            if isinstance(output, Datagram):
                self.requests.append(decode_message(output.payload))
                self._send(Datagram(SERVER, MAPPED, b""), self.to_server(output.payload))
            elif isinstance(output, ReflexiveDiscovered | BindingFailed | DatagramDropped | MachineClosed):
                self.events.append((self.now, output))
        for answer in self.server.take_outputs():
            if isinstance(answer, Datagram):
                assert answer.remote == MAPPED
                self.responses.append(decode_message(answer.payload))
                self._send(Datagram(CLIENT, SERVER, b""), self.to_client(answer.payload))

    def _send(self, path: Datagram, payload: bytes | None) -> None:
        if payload is not None:
            self._count += 1
            datagram = Datagram(path.local, path.remote, payload)
            heapq.heappush(self._in_flight, (self.now + DELAY, self._count, datagram))


class TestPlain:
    def test_one_round_trip(self) -> None:
        pipe = paired()
        assert pipe.run() == [ReflexiveDiscovered(MAPPED, ROUND_TRIP)]
        assert pipe.now == ROUND_TRIP

    @pytest.mark.parametrize(("lost", "at"), [(1, 0.5), (2, 1.5), (6, 31.5)])
    @pytest.mark.parametrize("direction", ["to_server", "to_client"])
    @pytest.mark.rfc("8489", "6.2.1")
    def test_loss_costs_until_the_next_transmission(self, lost: int, at: float, direction: str) -> None:
        pipe = paired()
        setattr(pipe, direction, lose_first(lost))
        assert pipe.run() == [ReflexiveDiscovered(MAPPED, None)]
        assert pipe.now == at + ROUND_TRIP
        assert len(pipe.requests) == lost + 1

    @pytest.mark.rfc("8489", "6.2.1")
    def test_a_dead_path_times_out(self) -> None:
        pipe = paired()
        pipe.to_server = lose_first(99)
        assert pipe.run() == [BindingFailed(BindingFailure.TIMED_OUT)]
        assert (pipe.now, len(pipe.requests)) == (39.5, 7)

    def test_doubled_datagrams_change_nothing(self) -> None:
        pipe = paired()
        pipe.client.handle_timeout(now=0.5)
        assert pipe.run() == [
            ReflexiveDiscovered(MAPPED, None),
            DatagramDropped(DropReason.UNKNOWN_TRANSACTION, 1, SERVER),
        ]

    def test_two_runs_are_alike(self) -> None:
        first, second = paired(), paired()
        first.run()
        second.run()
        assert first.requests == second.requests
        assert first.events == second.events


class TestAuthenticated:
    @pytest.mark.parametrize("algorithms", [(SHA256, MD5), (MD5, SHA256), (MD5,), (SHA256,), ()])
    @pytest.mark.parametrize("anonymity", [False, True])
    @pytest.mark.rfc("8489", "9.2.4")
    @pytest.mark.rfc("8489", "9.2.5")
    def test_takes_two_round_trips(self, algorithms: tuple[PasswordAlgorithmId, ...], anonymity: bool) -> None:
        pipe = paired(credentials=ALICE, server=server(algorithms=algorithms, anonymity=anonymity))
        assert pipe.run() == [ReflexiveDiscovered(MAPPED, ROUND_TRIP)]
        assert pipe.now == 2 * ROUND_TRIP
        names = [type(attribute).__name__ for attribute in pipe.requests[1].attributes]
        assert ("Userhash" in names, "Username" in names) == (anonymity, not anonymity)
        assert ("MessageIntegritySha256" in names, "MessageIntegrity" in names) == (bool(algorithms), not algorithms)

    def test_a_remembered_challenge_takes_one(self) -> None:
        known = learned_challenge()
        pipe = paired(credentials=ALICE, challenge=known, server=server())
        assert pipe.run() == [ReflexiveDiscovered(MAPPED, ROUND_TRIP)]
        assert pipe.now == ROUND_TRIP

    @pytest.mark.rfc("8489", "9.2.5")
    def test_an_expired_one_is_renewed_on_the_way(self) -> None:
        known = learned_challenge()
        pipe = paired(credentials=ALICE, challenge=known, server=server(), now=7200.0)
        assert pipe.run() == [ReflexiveDiscovered(MAPPED, ROUND_TRIP)]
        assert pipe.now == 7200.0 + 2 * ROUND_TRIP
        assert pipe.client.challenge != known

    def test_one_of_another_realm_is_replaced_on_the_way(self) -> None:
        pipe = paired(credentials=ALICE, challenge=Challenge("elsewhere", b"old"), server=server())
        assert pipe.run() == [ReflexiveDiscovered(MAPPED, ROUND_TRIP)]

    def test_a_wrong_password_is_known_after_two_round_trips(self) -> None:
        pipe = paired(credentials=MALLORY, server=server())
        assert pipe.run() == [BindingFailed(BindingFailure.WRONG_CREDENTIALS, 401, "Unauthenticated")]
        assert pipe.now == 2 * ROUND_TRIP

    def test_without_credentials_the_server_refuses(self) -> None:
        pipe = paired(server=server())
        assert pipe.run() == [BindingFailed(BindingFailure.REFUSED, 401, "Unauthenticated")]


class TestAttackers:
    @pytest.mark.rfc("8489", "16.1.3")
    def test_stripping_the_algorithms_ends_the_attempt(self) -> None:
        pipe = paired(credentials=ALICE, server=server())
        pipe.to_client = strip_algorithms
        assert pipe.run() == [BindingFailed(BindingFailure.BID_DOWN, 401, "Unauthenticated")]
        assert len(pipe.requests) == 1

    @pytest.mark.rfc("8489", "16.1.3")
    def test_stripping_the_bit_as_well_is_seen_by_the_server(self) -> None:
        pipe = paired(credentials=ALICE, server=server())
        pipe.to_client = lambda data: strip_algorithms(data).replace(b"obMatJos2gAAA", b"obMatJos2AAAA")
        events = pipe.run()
        assert not any(isinstance(event, ReflexiveDiscovered) for event in events)
        assert all(response.message_class is MessageClass.ERROR for response in pipe.responses)

    def test_a_changed_answer_is_dropped_and_the_truth_comes_later(self) -> None:
        pipe = paired(credentials=ALICE, server=server())
        seen: list[bytes] = []

        def change_second(data: bytes) -> bytes:
            seen.append(data)
            return data[:-1] + bytes((data[-1] ^ 1,)) if len(seen) == 2 else data

        pipe.to_client = change_second
        assert pipe.run() == [
            DatagramDropped(DropReason.BAD_INTEGRITY, 1, SERVER),
            ReflexiveDiscovered(MAPPED, None),
        ]
        assert pipe.now == ROUND_TRIP + 0.5 + ROUND_TRIP


def paired(
    *,
    credentials: LongTermCredentials | None = None,
    challenge: Challenge | None = None,
    server: BindingResponder | None = None,
    now: float = 0.0,
) -> Pipe:
    config = BindingConfig(SERVER, CLIENT, credentials=credentials, challenge=challenge)
    client = BindingClient(config, random_bytes=random.Random(7).randbytes, now=now)
    return Pipe(client, BindingResponder(ResponderConfig()) if server is None else server, now=now)


def server(*, algorithms: tuple[PasswordAlgorithmId, ...] = (SHA256, MD5), anonymity: bool = False) -> BindingResponder:
    config = AuthenticatorConfig(REALM, Secret("0123456789abcdef"), algorithms=algorithms, username_anonymity=anonymity)
    return BindingResponder(ResponderConfig(authenticator=Authenticator(config, find_alice)))


def find_alice(identity: str | bytes) -> User | None:
    is_alice = identity in ("alice", userhash("alice", REALM))
    return User("alice", Secret("wonderland")) if is_alice else None


def learned_challenge() -> Challenge:
    pipe = paired(credentials=ALICE, server=server())
    pipe.run()
    assert pipe.client.challenge is not None
    return pipe.client.challenge


def lose_first(count: int) -> Treatment:
    seen: list[bytes] = []

    def treat(data: bytes) -> bytes | None:
        seen.append(data)
        return None if len(seen) <= count else data

    return treat


def strip_algorithms(data: bytes) -> bytes:
    message = decode_message(data)
    kept = [attribute for attribute in message.attributes if not isinstance(attribute, PasswordAlgorithms)]
    return encode_message(message.method, message.message_class, message.transaction_id, kept)
