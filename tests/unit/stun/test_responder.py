from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from icepath.entropy import Secret
from icepath.errors import InvalidArgument
from icepath.machine import (
    Bytes,
    Closed,
    CloseReason,
    Datagram,
    DatagramDropped,
    DropReason,
    Handle,
    MachineClosed,
)
from icepath.net import Address
from icepath.stun.authenticator import Authenticator, AuthenticatorConfig, User
from icepath.stun.credentials import derive_key
from icepath.stun.responder import BindingResponder, ResponderConfig
from icepath.wire.attributes import (
    Attribute,
    ChangeRequest,
    ErrorCode,
    MappedAddress,
    Nonce,
    Padding,
    PasswordAlgorithms,
    Realm,
    ResponseAddress,
    ResponsePort,
    Software,
    TransactionTransmitCounter,
    UnknownAttribute,
    UnknownAttributes,
    Username,
    XorMappedAddress,
)
from icepath.wire.integrity import Integrity, IntegrityKey, PasswordAlgorithmId
from icepath.wire.message import (
    Message,
    MessageClass,
    Method,
    TransactionId,
    decode_message,
    encode_message,
    verify,
)

SERVER = Address("198.51.100.1", 3478)
CLIENT = Address("203.0.113.7", 40000)
CLIENT6 = Address("2001:db8::7", 40000)
ID = TransactionId(bytes(range(12)))
CLASSIC_ID = TransactionId(bytes(range(16)))


class TestAnswer:
    @pytest.mark.parametrize("client", [CLIENT, CLIENT6])
    @pytest.mark.rfc("8489", "6.3.1.1")
    def test_tells_where_the_request_came_from(self, client: Address) -> None:
        (answer,) = ask(responder(), request(), client=client)
        assert (answer.local, answer.remote) == (SERVER, client)
        message = decode_message(answer.payload)
        assert (message.method, message.message_class) == (Method.BINDING, MessageClass.SUCCESS)
        assert message.transaction_id == ID
        assert message.attributes == (XorMappedAddress(client),)

    @pytest.mark.rfc("8489", "6.3.1")
    def test_answers_each_time_the_same(self) -> None:
        machine = responder()
        assert ask(machine, request()) == ask(machine, request())

    def test_answers_from_the_address_that_was_asked(self) -> None:
        machine = responder()
        other = Address("198.51.100.2", 3479)
        machine.receive(Datagram(other, CLIENT, request()), now=0.0)
        (answer,) = machine.take_outputs()
        assert isinstance(answer, Datagram)
        assert answer.local == other

    def test_names_its_software_only_when_told_to(self) -> None:
        message = answer_to(responder(software="icepath"), request())
        assert message.get(Software) == Software("icepath")
        with pytest.raises(InvalidArgument, match="SOFTWARE"):
            ResponderConfig(software="x" * 128)

    @pytest.mark.rfc("8489", "12")
    @pytest.mark.parametrize("fingerprint", [True, False])
    def test_has_a_fingerprint_when_the_request_has(self, fingerprint: bool) -> None:
        assert answer_to(responder(), request(fingerprint=fingerprint)).has_fingerprint is fingerprint

    @pytest.mark.rfc("7982", "3.3")
    def test_echoes_the_transmit_counter(self) -> None:
        message = answer_to(responder(), request(TransactionTransmitCounter(3, 0)))
        assert message.get(TransactionTransmitCounter) == TransactionTransmitCounter(3, 0)

    @pytest.mark.parametrize(
        "attributes",
        [
            (),
            (Software("x"),),
            (UnknownAttribute(0x9999, b"optional"),),
            tuple(UnknownAttribute(0x7000 + index, b"") for index in range(100)),
            (Padding(1000),),
            (TransactionTransmitCounter(1, 0),),
        ],
    )
    def test_is_never_much_larger_than_the_request(self, attributes: tuple[Attribute, ...]) -> None:
        asked = request(*attributes)
        for client in (CLIENT, CLIENT6):
            (answer,) = ask(responder(), asked, client=client)
            assert len(answer.payload) <= len(asked) + 32


class TestUnknownAttributes:
    @pytest.mark.rfc("8489", "6.3.1")
    def test_are_refused_with_420(self) -> None:
        message = answer_to(responder(), request(UnknownAttribute(0x7002, b"ab"), UnknownAttribute(0x7001, b"")))
        assert message.message_class is MessageClass.ERROR
        assert message.attributes == (ErrorCode(420, "Unknown Attribute"), UnknownAttributes((0x7002, 0x7001)))

    def test_are_ignored_when_optional(self) -> None:
        assert answer_to(responder(), request(UnknownAttribute(0x9000, b""))).message_class is MessageClass.SUCCESS

    @pytest.mark.parametrize("attribute", [ChangeRequest(False, True), ChangeRequest(), ResponsePort(5), Padding(4)])
    @pytest.mark.rfc("5780", "6.1")
    def test_what_takes_two_addresses_is_refused_too(self, attribute: Attribute) -> None:
        message = answer_to(responder(), request(attribute))
        assert message.get(UnknownAttributes) == UnknownAttributes((attribute.TYPE,))


class TestClassicClients:
    @pytest.mark.parametrize("client", [CLIENT, CLIENT6])
    @pytest.mark.rfc("5389", "12.2")
    def test_get_mapped_address_and_their_own_id(self, client: Address) -> None:
        (answer,) = ask(responder(software="icepath"), request(transaction_id=CLASSIC_ID), client=client)
        message = decode_message(answer.payload)
        assert message.is_rfc3489
        assert message.transaction_id == CLASSIC_ID
        assert message.attributes == (MappedAddress(client),)

    def test_are_not_sent_420(self) -> None:
        asked = request(UnknownAttribute(0x7001, b""), transaction_id=CLASSIC_ID)
        assert answer_to(responder(), asked).message_class is MessageClass.SUCCESS

    def test_are_never_answered_elsewhere(self) -> None:
        victim = Address("192.0.2.66", 53)
        asked = request(ResponseAddress(victim), transaction_id=CLASSIC_ID)
        (answer,) = ask(responder(), asked)
        assert answer.remote == CLIENT

    @pytest.mark.parametrize(
        ("change", "is_answered"),
        [(ChangeRequest(), True), (ChangeRequest(True, False), False), (ChangeRequest(False, True), False)],
    )
    @pytest.mark.rfc("3489", "10.1")
    def test_are_not_misled_about_their_nat(self, change: ChangeRequest, is_answered: bool) -> None:
        machine = responder()
        machine.receive(Datagram(SERVER, CLIENT, request(change, transaction_id=CLASSIC_ID)), now=0.0)
        (output,) = machine.take_outputs()
        assert isinstance(output, Datagram) == is_answered

    def test_cannot_authenticate(self) -> None:
        assert dropped(authenticating(), request(transaction_id=CLASSIC_ID)) is DropReason.UNEXPECTED_MESSAGE


class TestDropped:
    @pytest.mark.parametrize(
        ("payload", "reason"),
        [
            (b"", DropReason.MALFORMED),
            (b"\x80\x00" + bytes(30), DropReason.NOT_STUN),
            (encode_message(Method.BINDING, MessageClass.REQUEST, ID)[:-1], DropReason.MALFORMED),
            (encode_message(Method.ALLOCATE, MessageClass.REQUEST, ID), DropReason.UNEXPECTED_MESSAGE),
            (encode_message(Method.SHARED_SECRET, MessageClass.REQUEST, CLASSIC_ID), DropReason.UNEXPECTED_MESSAGE),
            (encode_message(Method.BINDING, MessageClass.SUCCESS, ID), DropReason.UNEXPECTED_MESSAGE),
            (encode_message(Method.BINDING, MessageClass.ERROR, ID), DropReason.UNEXPECTED_MESSAGE),
        ],
    )
    def test_what_is_no_binding_request(self, payload: bytes, reason: DropReason) -> None:
        assert dropped(responder(), payload) is reason

    def test_a_broken_fingerprint(self) -> None:
        payload = bytearray(request(fingerprint=True))
        payload[-1] ^= 1
        assert dropped(responder(), bytes(payload)) is DropReason.BAD_FINGERPRINT

    @pytest.mark.rfc("8489", "6.3.2")
    def test_indications_are_welcome_and_not_answered(self) -> None:
        assert not ask(responder(), encode_message(Method.BINDING, MessageClass.INDICATION, ID))

    @pytest.mark.parametrize(
        "client",
        [Address("203.0.113.7", 0), Address("224.0.0.1", 5000), Address("255.255.255.255", 7), Address("what", 7)],
    )
    def test_senders_that_cannot_be_answered(self, client: Address) -> None:
        machine = responder()
        machine.receive(Datagram(SERVER, client, request()), now=0.0)
        assert machine.take_outputs() == [DatagramDropped(DropReason.WRONG_ADDRESS, 1, client)]

    @pytest.mark.rfc("8489", "12")
    def test_what_is_no_datagram(self) -> None:
        machine = responder()
        machine.receive(Closed(Handle(-1), CloseReason.EOF), now=0.0)
        machine.receive(Bytes(Handle(-1), request()), now=0.0)
        assert machine.take_outputs() == [DatagramDropped(DropReason.UNKNOWN_HANDLE, 1, None)]


class TestAuthentication:
    @pytest.mark.rfc("8489", "9.2.4")
    def test_challenges_and_then_signs(self) -> None:
        machine = authenticating()
        challenge = answer_to(machine, request())
        assert challenge.message_class is MessageClass.ERROR
        nonce = challenge.get(Nonce)
        algorithms = challenge.get(PasswordAlgorithms)
        assert nonce is not None
        assert algorithms is not None
        number = PasswordAlgorithmId.SHA256
        key = derive_key("alice", "example.org", Secret("wonderland"), number)
        asked = request(
            Username("alice"),
            Realm("example.org"),
            nonce,
            algorithms,
            algorithms.algorithms[0],
            key=key,
            integrity=Integrity.SHA256,
        )
        answer = answer_to(machine, asked)
        assert answer.get(XorMappedAddress) == XorMappedAddress(CLIENT)
        assert verify(answer, key, require=Integrity.SHA256).integrity is Integrity.SHA256

    def test_refusals_after_it_are_signed(self) -> None:
        machine = authenticating()
        nonce = answer_to(machine, request()).get(Nonce)
        assert nonce is not None
        key = derive_key("alice", "example.org", Secret("wonderland"))
        for attribute in (UnknownAttribute(0x7001, b""), Padding(4)):
            asked = request(Username("alice"), Realm("example.org"), nonce, attribute, key=key)
            answer = answer_to(machine, asked)
            assert answer.get(UnknownAttributes) == UnknownAttributes((attribute.TYPE,))
            assert verify(answer, key).integrity is Integrity.SHA1


class TestLife:
    def test_waits_for_nothing(self) -> None:
        machine = responder()
        machine.handle_timeout(now=math.inf)
        assert machine.next_deadline() is None
        assert not machine.take_outputs()

    def test_closes_once_and_then_is_silent(self) -> None:
        machine = responder()
        machine.receive(Datagram(SERVER, CLIENT, request()), now=0.0)
        machine.close(now=0.0)
        machine.close(now=1.0)
        machine.receive(Datagram(SERVER, CLIENT, request()), now=2.0)
        answer, closed = machine.take_outputs()
        assert isinstance(answer, Datagram)
        assert closed == MachineClosed()
        assert not machine.take_outputs()


def responder(*, software: str | None = None) -> BindingResponder:
    return BindingResponder(ResponderConfig(software=software))


def authenticating() -> BindingResponder:
    config = AuthenticatorConfig("example.org", Secret("0123456789abcdef"))
    return BindingResponder(ResponderConfig(authenticator=Authenticator(config, find_alice)))


def find_alice(identity: str | bytes) -> User | None:
    return User("alice", Secret("wonderland")) if identity == "alice" else None


def request(
    *attributes: Attribute,
    transaction_id: TransactionId = ID,
    key: IntegrityKey | None = None,
    integrity: Integrity = Integrity.SHA1,
    fingerprint: bool = False,
) -> bytes:
    return encode_message(
        Method.BINDING,
        MessageClass.REQUEST,
        transaction_id,
        attributes,
        key=key,
        integrity=integrity,
        fingerprint=fingerprint,
    )


def ask(machine: BindingResponder, payload: bytes, *, client: Address = CLIENT) -> Sequence[Datagram]:
    machine.receive(Datagram(SERVER, client, payload), now=0.0)
    outputs = machine.take_outputs()
    datagrams = [output for output in outputs if isinstance(output, Datagram)]
    assert len(datagrams) == len(outputs)
    return datagrams


def answer_to(machine: BindingResponder, payload: bytes) -> Message:
    (answer,) = ask(machine, payload)
    return decode_message(answer.payload)


def dropped(machine: BindingResponder, payload: bytes) -> DropReason:
    machine.receive(Datagram(SERVER, CLIENT, payload), now=0.0)
    (output,) = machine.take_outputs()
    assert isinstance(output, DatagramDropped)
    return output.reason
