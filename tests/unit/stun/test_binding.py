from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from icepath.entropy import Secret
from icepath.errors import InvalidArgument
from icepath.machine import (
    Bytes,
    Closed,
    CloseReason,
    Command,
    Datagram,
    DatagramDropped,
    DropReason,
    Handle,
    MachineClosed,
    Unreachable,
)
from icepath.net import Address
from icepath.stun.binding import (
    BindingClient,
    BindingConfig,
    BindingEvent,
    BindingFailed,
    BindingFailure,
    ReflexiveDiscovered,
)
from icepath.stun.credentials import (
    MAX_REFUSALS_IN_A_ROW,
    Challenge,
    LongTermCredentials,
    SecurityFeatures,
    derive_key,
    nonce_cookie,
)
from icepath.wire.attributes import (
    Attribute,
    ErrorCode,
    MappedAddress,
    Nonce,
    Realm,
    Software,
    UnknownAttribute,
    Username,
    XorMappedAddress,
)
from icepath.wire.integrity import IntegrityKey
from icepath.wire.message import Message, MessageClass, Method, decode_message, encode_message, verify

LOCAL = Address("192.0.2.1", 40000)
SERVER = Address("198.51.100.1", 3478)
LOCAL6 = Address("2001:db8::1", 40000)
SERVER6 = Address("2001:db8::2", 3478)
MAPPED = Address("203.0.113.7", 61000)
ALICE = LongTermCredentials("alice", Secret("wonderland"))
KEY = derive_key("alice", "example.org", Secret("wonderland"))

Output = Datagram | Bytes | Command | BindingEvent


class TestConfig:
    @pytest.mark.parametrize(
        ("server", "local"),
        [(Address("198.51.100.1", 0), LOCAL), (Address("224.0.0.1", 3478), LOCAL), (SERVER, LOCAL6), (SERVER6, LOCAL)],
    )
    def test_refuses_addresses_that_do_not_fit(self, server: Address, local: Address) -> None:
        with pytest.raises(InvalidArgument, match="server"):
            BindingConfig(server, local)

    def test_refuses_software_that_is_too_long(self) -> None:
        with pytest.raises(InvalidArgument, match="SOFTWARE"):
            BindingConfig(SERVER, LOCAL, software="x" * 128)


class TestRequest:
    @pytest.mark.rfc("8489", "6.1")
    def test_goes_out_at_once_and_says_no_more_than_it_must(self) -> None:
        (datagram,) = client().take_outputs()
        assert isinstance(datagram, Datagram)
        assert (datagram.local, datagram.remote) == (LOCAL, SERVER)
        message = decode_message(datagram.payload)
        assert (message.method, message.message_class) == (Method.BINDING, MessageClass.REQUEST)
        assert message.attributes == ()
        assert len(datagram.payload) == 20

    def test_says_what_the_config_adds(self) -> None:
        machine = client(BindingConfig(SERVER, LOCAL, software="icepath", fingerprint=True))
        message = sent(machine)
        assert message.get(Software) == Software("icepath")
        assert message.has_fingerprint

    @pytest.mark.rfc("8489", "6.2.1")
    def test_is_sent_again_unchanged_until_it_times_out(self) -> None:
        machine = client(now=10.0)
        (first,) = machine.take_outputs()
        times = []
        while (at := machine.next_deadline()) is not None:
            machine.handle_timeout(now=at)
            (output,) = machine.take_outputs()
            times.append(at - 10.0)
            if output != first:
                break
        assert times == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 39.5]
        assert output == BindingFailed(BindingFailure.TIMED_OUT)
        assert machine.next_deadline() is None


class TestSuccess:
    @pytest.mark.parametrize("kind", [XorMappedAddress, MappedAddress])
    @pytest.mark.rfc("8489", "6.3.3")
    def test_tells_the_address_and_the_time_it_took(self, kind: type[XorMappedAddress | MappedAddress]) -> None:
        machine = client(now=1.0)
        answer(machine, MessageClass.SUCCESS, kind(MAPPED), now=1.25)
        assert machine.take_outputs() == [ReflexiveDiscovered(MAPPED, 0.25)]
        assert machine.next_deadline() is None

    def test_prefers_what_no_gateway_has_rewritten(self) -> None:
        machine = client()
        answer(machine, MessageClass.SUCCESS, MappedAddress(LOCAL), XorMappedAddress(MAPPED))
        assert machine.take_outputs() == [ReflexiveDiscovered(MAPPED, 0.0)]

    def test_after_a_retransmission_the_time_is_not_known(self) -> None:
        machine = client()
        message = sent(machine)
        machine.handle_timeout(now=0.5)
        answer(machine, MessageClass.SUCCESS, XorMappedAddress(MAPPED), to=message, now=0.6)
        assert ReflexiveDiscovered(MAPPED, None) in machine.take_outputs()

    @pytest.mark.parametrize(
        "attributes",
        [
            (),
            (XorMappedAddress(MAPPED), UnknownAttribute(0x7001, b"")),
            (XorMappedAddress(Address("0.0.0.0", 7)),),
            (XorMappedAddress(Address("203.0.113.7", 0)),),
        ],
    )
    @pytest.mark.rfc("8489", "6.3.3")
    def test_an_answer_that_cannot_be_used_is_a_failure(self, attributes: tuple[Attribute, ...]) -> None:
        machine = client()
        answer(machine, MessageClass.SUCCESS, *attributes)
        assert machine.take_outputs() == [BindingFailed(BindingFailure.BAD_RESPONSE)]

    @pytest.mark.rfc("8489", "6.3.3")
    def test_an_address_of_an_unknown_family_makes_the_answer_malformed(self) -> None:
        machine = client()
        message = sent(machine)
        unknown_family = UnknownAttribute(XorMappedAddress.TYPE, bytes.fromhex("0003 1234 00000000"))
        answer(machine, MessageClass.SUCCESS, unknown_family, MappedAddress(MAPPED), to=message)
        assert machine.take_outputs() == [DatagramDropped(DropReason.MALFORMED, 1, SERVER)]
        answer(machine, MessageClass.SUCCESS, XorMappedAddress(MAPPED), to=message)
        assert ReflexiveDiscovered(MAPPED, 0.0) in machine.take_outputs()

    def test_a_second_answer_is_unknown(self) -> None:
        machine = client()
        message = sent(machine)
        answer(machine, MessageClass.SUCCESS, XorMappedAddress(MAPPED), to=message)
        answer(machine, MessageClass.SUCCESS, XorMappedAddress(LOCAL), to=message)
        assert machine.take_outputs() == [
            ReflexiveDiscovered(MAPPED, 0.0),
            DatagramDropped(DropReason.UNKNOWN_TRANSACTION, 1, SERVER),
        ]


class TestError:
    @pytest.mark.parametrize("code", [300, 400, 401, 420, 438, 500, 699])
    @pytest.mark.rfc("8489", "6.3.4")
    def test_is_told_with_its_code(self, code: int) -> None:
        machine = client()
        answer(machine, MessageClass.ERROR, ErrorCode(code, "No"))
        assert machine.take_outputs() == [BindingFailed(BindingFailure.REFUSED, code, "No")]

    @pytest.mark.parametrize("attributes", [(), (ErrorCode(400, "No"), UnknownAttribute(0x7001, b""))])
    @pytest.mark.rfc("8489", "6.3.4")
    def test_that_cannot_be_understood_is_a_failure(self, attributes: tuple[Attribute, ...]) -> None:
        machine = client()
        answer(machine, MessageClass.ERROR, *attributes)
        assert machine.take_outputs() == [BindingFailed(BindingFailure.BAD_RESPONSE)]


class TestAuthentication:
    @pytest.mark.rfc("8489", "9.2.5")
    def test_answers_a_challenge_with_a_new_transaction(self) -> None:
        machine = client(BindingConfig(SERVER, LOCAL, credentials=ALICE))
        first = sent(machine)
        assert first.attributes == ()
        challenge(machine, to=first)
        second = sent(machine)
        assert second.transaction_id != first.transaction_id
        assert second.get(Username) == Username("alice")
        verify(second, KEY)
        answer(machine, MessageClass.SUCCESS, XorMappedAddress(MAPPED), to=second, key=KEY)
        assert machine.take_outputs() == [ReflexiveDiscovered(MAPPED, 0.0)]
        assert machine.challenge == Challenge("example.org", b"nonce")

    def test_a_remembered_challenge_saves_the_round_trip(self) -> None:
        machine = client(
            BindingConfig(SERVER, LOCAL, credentials=ALICE, challenge=Challenge("example.org", b"remembered"))
        )
        verify(sent(machine), KEY)

    def test_without_credentials_nothing_is_remembered(self) -> None:
        assert client().challenge is None

    def test_wrong_credentials_are_told(self) -> None:
        machine = client(BindingConfig(SERVER, LOCAL, credentials=ALICE))
        challenge(machine, to=sent(machine))
        challenge(machine, to=sent(machine))
        assert machine.take_outputs() == [BindingFailed(BindingFailure.WRONG_CREDENTIALS, 401, "No")]

    def test_a_weakened_challenge_is_told(self) -> None:
        machine = client(BindingConfig(SERVER, LOCAL, credentials=ALICE))
        challenge(machine, to=sent(machine), nonce=nonce_cookie(SecurityFeatures.PASSWORD_ALGORITHMS))
        assert machine.take_outputs() == [BindingFailed(BindingFailure.BID_DOWN, 401, "No")]

    def test_a_server_that_is_never_content_is_given_up(self) -> None:
        machine = client(BindingConfig(SERVER, LOCAL, credentials=ALICE))
        for index in range(MAX_REFUSALS_IN_A_ROW + 1):
            challenge(machine, to=sent(machine), nonce=b"n%d" % index, code=438)
        assert machine.take_outputs() == [BindingFailed(BindingFailure.REFUSED, 438, "No")]

    @pytest.mark.rfc("8489", "9.2.5")
    def test_forged_answers_are_no_time_out(self) -> None:
        machine = client(BindingConfig(SERVER, LOCAL, credentials=ALICE))
        challenge(machine, to=sent(machine))
        second = sent(machine)
        answer(machine, MessageClass.SUCCESS, XorMappedAddress(LOCAL), to=second)
        assert machine.take_outputs() == [DatagramDropped(DropReason.MISSING_INTEGRITY, 1, SERVER)]
        machine.handle_timeout(now=39.5)
        assert machine.take_outputs() == [BindingFailed(BindingFailure.INTEGRITY_VIOLATED)]


class TestDropped:
    def test_what_comes_to_another_address(self) -> None:
        machine = client()
        message = sent(machine)
        machine.receive(Datagram(Address("192.0.2.1", 40001), SERVER, success(message)), now=0.0)
        assert machine.take_outputs() == [DatagramDropped(DropReason.UNKNOWN_LOCAL_ADDRESS, 1, SERVER)]

    def test_what_comes_from_another_address(self) -> None:
        machine = client()
        elsewhere = Address("198.51.100.1", 3479)
        message = sent(machine)
        machine.receive(Datagram(LOCAL, elsewhere, success(message)), now=0.0)
        assert machine.take_outputs() == [DatagramDropped(DropReason.WRONG_ADDRESS, 1, elsewhere)]

    def test_what_is_not_stun(self) -> None:
        machine = client()
        machine.take_outputs()
        machine.receive(Datagram(LOCAL, SERVER, b"\x80 hello"), now=0.0)
        assert machine.take_outputs() == [DatagramDropped(DropReason.NOT_STUN, 1, SERVER)]

    def test_what_is_no_datagram(self) -> None:
        machine = client()
        machine.take_outputs()
        machine.receive(Closed(Handle(-1), CloseReason.EOF), now=0.0)
        assert machine.take_outputs() == [DatagramDropped(DropReason.UNKNOWN_HANDLE, 1, None)]


class TestUnreachable:
    @pytest.mark.parametrize(
        ("icmp_type", "icmp_code", "is_hard"),
        [(3, 0, False), (3, 1, False), (3, 2, True), (3, 3, True), (3, 4, False), (1, 4, False), (11, 3, False)],
    )
    @pytest.mark.rfc("8489", "6.2.1")
    def test_a_hard_error_ends_it(self, icmp_type: int, icmp_code: int, is_hard: bool) -> None:
        machine = client()
        machine.take_outputs()
        machine.receive(Unreachable(LOCAL, SERVER, icmp_type, icmp_code), now=0.1)
        expected = [BindingFailed(BindingFailure.UNREACHABLE)] if is_hard else []
        assert machine.take_outputs() == expected
        assert (machine.next_deadline() is None) == is_hard

    @pytest.mark.parametrize(("icmp_type", "icmp_code", "is_hard"), [(1, 4, True), (1, 3, False), (3, 3, False)])
    def test_ipv6_has_its_own_numbers(self, icmp_type: int, icmp_code: int, is_hard: bool) -> None:
        machine = client(BindingConfig(SERVER6, LOCAL6))
        machine.receive(Unreachable(LOCAL6, SERVER6, icmp_type, icmp_code), now=0.1)
        assert (machine.next_deadline() is None) == is_hard

    @pytest.mark.parametrize(("local", "remote"), [(LOCAL, MAPPED), (MAPPED, SERVER)])
    def test_an_error_about_another_path_is_not_ours(self, local: Address, remote: Address) -> None:
        machine = client()
        machine.receive(Unreachable(local, remote, 3, 3), now=0.1)
        assert machine.next_deadline() == 0.5

    def test_an_error_after_the_answer_changes_nothing(self) -> None:
        machine = client()
        answer(machine, MessageClass.SUCCESS, XorMappedAddress(MAPPED))
        machine.receive(Unreachable(LOCAL, SERVER, 3, 3), now=0.1)
        assert machine.take_outputs() == [ReflexiveDiscovered(MAPPED, 0.0)]


class TestLife:
    def test_closes_once_and_then_is_silent(self) -> None:
        machine = client()
        message = sent(machine)
        machine.close(now=0.1)
        machine.close(now=0.2)
        assert machine.take_outputs() == [MachineClosed()]
        assert machine.next_deadline() is None
        machine.receive(Datagram(LOCAL, SERVER, success(message)), now=0.3)
        machine.handle_timeout(now=math.inf)
        assert not machine.take_outputs()

    def test_a_second_drain_is_empty(self) -> None:
        machine = client()
        assert len(machine.take_outputs()) == 1
        assert not machine.take_outputs()


def client(config: BindingConfig | None = None, *, now: float = 0.0) -> BindingClient:
    config = BindingConfig(SERVER, LOCAL) if config is None else config
    return BindingClient(config, random_bytes=random.Random(7).randbytes, now=now)


def sent(machine: BindingClient) -> Message:
    """Returns the last request of those not yet taken."""
    outputs: Sequence[Output] = machine.take_outputs()
    datagrams = [output for output in outputs if isinstance(output, Datagram)]
    return decode_message(datagrams[-1].payload)


def answer(
    machine: BindingClient,
    message_class: MessageClass,
    *attributes: Attribute,
    to: Message | None = None,
    key: IntegrityKey | None = None,
    now: float | None = None,
) -> None:
    request = sent(machine) if to is None else to
    payload = encode_message(Method.BINDING, message_class, request.transaction_id, attributes, key=key)
    machine.receive(Datagram(LOCAL, SERVER, payload), now=0.0 if now is None else now)


def challenge(machine: BindingClient, *, to: Message, nonce: bytes = b"nonce", code: int = 401) -> None:
    answer(machine, MessageClass.ERROR, ErrorCode(code, "No"), Realm("example.org"), Nonce(nonce), to=to)


def success(request: Message) -> bytes:
    return encode_message(Method.BINDING, MessageClass.SUCCESS, request.transaction_id, (XorMappedAddress(MAPPED),))
