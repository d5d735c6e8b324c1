"""Messages: what is read of others', what ours look like, and that nothing hostile costs more than its length."""

from __future__ import annotations

import random

import dns.message
import dns.rdatatype
import pytest

from icepath.errors import DecodeError, DecodeReason
from icepath.mdns.message import (
    AAAA,
    ANY,
    NSEC,
    A,
    MdnsMessage,
    Question,
    Record,
    address_kind,
    decode_message,
    encode_message,
)
from vectors import mdns_chromium

NAME = "76c82649-02d6-4030-8aef-a2ba3a9019d5.local"
OTHER = "0b7dd1c5-9bc6-4e68-a8f9-86c4e8a3c1b4.local"
WIRE_NAME = b"\x2476c82649-02d6-4030-8aef-a2ba3a9019d5\x05local\x00"


def wire(*records: bytes, flags: int = 0x8400, counts: tuple[int, int, int, int] | None = None) -> bytes:
    sections = (0, len(records), 0, 0) if counts is None else counts
    numbers = b"".join(number.to_bytes(2, "big") for number in (0, flags, *sections))
    return numbers + b"".join(records)


def rr(value: bytes, kind: int = A, *, name: bytes = WIRE_NAME, class_: int = 1, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    return name + kind.to_bytes(2, "big") + class_.to_bytes(2, "big") + b"\0\0\0\x78" + size.to_bytes(2, "big") + value


class TestRoundTrip:
    @pytest.mark.parametrize(
        "message",
        [
            MdnsMessage(),
            MdnsMessage(7, questions=(Question(NAME, A), Question(OTHER, AAAA, wants_unicast=True))),
            MdnsMessage(
                is_truncated=True, questions=(Question(NAME, ANY),), answers=(Record(NAME, A, 60, "10.0.0.1"),)
            ),
            MdnsMessage(questions=(Question(NAME, ANY),), proposed=(Record(NAME, A, 120, "10.0.0.1"),)),
            MdnsMessage(
                0xFFFF,
                is_response=True,
                answers=(
                    Record(NAME, A, 120, "192.168.1.10", is_unique=True),
                    Record(OTHER, AAAA, 0, "2b00::1", is_unique=True),
                ),
                additional=(
                    Record(NAME, NSEC, 120, kinds=(A,), is_unique=True),
                    Record(OTHER, NSEC, 120, kinds=(AAAA, 33, 255)),
                ),
            ),
        ],
    )
    def test_what_is_written_reads_the_same(self, message: MdnsMessage) -> None:
        assert decode_message(encode_message(message)) == message

    def test_an_independent_reader_reads_the_same(self) -> None:
        message = MdnsMessage(
            is_response=True,
            answers=(Record(NAME, A, 120, "192.168.1.10"), Record(OTHER, AAAA, 120, "2b00::1")),
            additional=(Record(NAME, NSEC, 120, kinds=(A,)),),
        )
        read = dns.message.from_wire(encode_message(message))
        assert read.id == 0
        assert [rrset.to_text() for rrset in read.answer] == [
            f"{NAME}. 120 IN A 192.168.1.10",
            f"{OTHER}. 120 IN AAAA 2b00::1",
        ]
        assert [rrset.to_text() for rrset in read.additional] == [f"{NAME}. 120 IN NSEC {NAME}. A"]

    def test_an_independent_writer_is_read(self) -> None:
        query = dns.message.make_query(NAME, dns.rdatatype.AAAA, id=0, flags=0)
        assert decode_message(query.to_wire()) == MdnsMessage(questions=(Question(NAME, AAAA),))

    @pytest.mark.rfc("6762", "18.14")
    def test_a_name_is_written_once(self) -> None:
        one = encode_message(MdnsMessage(questions=(Question(NAME, A),)))
        both = encode_message(MdnsMessage(questions=(Question(NAME, A), Question(NAME, AAAA))))
        assert len(both) - len(one) == 2 + 4
        another = encode_message(MdnsMessage(questions=(Question(NAME, A), Question(OTHER, AAAA))))
        assert len(another) - len(one) == 37 + 2 + 4

    def test_the_name_within_nsec_is_written_out(self) -> None:
        """Some readers refuse a pointer there, with the whole message."""
        message = MdnsMessage(is_response=True, answers=(Record(NAME, NSEC, 120, kinds=(A,)),))
        assert encode_message(message).count(WIRE_NAME) == 2

    @pytest.mark.rfc("6762", "6.1")
    def test_nsec_has_one_block_without_its_own_type(self) -> None:
        message = MdnsMessage(is_response=True, answers=(Record(NAME, NSEC, 120, kinds=(AAAA,)),))
        assert encode_message(message).endswith(b"\x00\x04\x00\x00\x00\x08")

    @pytest.mark.rfc("6762", "18.4")
    def test_an_answer_is_authoritative_and_has_no_other_flag(self) -> None:
        assert encode_message(MdnsMessage(is_response=True))[2:4] == b"\x84\x00"
        assert encode_message(MdnsMessage())[2:4] == b"\x00\x00"

    def test_each_family_has_its_type(self) -> None:
        assert address_kind("10.0.0.1") == A
        assert address_kind("2b00::1") == AAAA


class TestReading:
    @pytest.mark.parametrize("data", [mdns_chromium.ANSWER_TO_A, mdns_chromium.ANSWER_TO_AAAA])
    def test_what_chromium_answers(self, data: bytes) -> None:
        message = decode_message(data)
        address = Record(mdns_chromium.NAME, A, 120, mdns_chromium.HOST, is_unique=True)
        only = Record(mdns_chromium.NAME, NSEC, 120, kinds=(A,), is_unique=True)
        assert {*message.answers, *message.additional} == {address, only}

    def test_a_compressed_name_in_nsec(self) -> None:
        value = bytes.fromhex("c00c000140")
        message = decode_message(wire(rr(b"\x0a\x00\x00\x01", class_=0x8001), rr(value, NSEC, name=b"\xc0\x0c")))
        assert message.answers == (
            Record(NAME, A, 120, "10.0.0.1", is_unique=True),
            Record(NAME, NSEC, 120, kinds=(A,)),
        )

    @pytest.mark.rfc("6762", "16")
    def test_names_are_read_in_lower_case(self) -> None:
        (record,) = decode_message(wire(rr(b"\x0a\x00\x00\x01", name=WIRE_NAME.upper()))).answers
        assert record.name == NAME

    def test_names_of_another_form_are_stepped_over(self) -> None:
        names = [
            b"\x00",
            b"\x05local\x00",
            b"\x01a\x01b\x05local\x00",
            b"\x01a" * 60 + b"\x00",
            b"\x01a\x01b\xc0\x0c",
        ]
        for name in names:
            data = wire(rr(b"\x0a\x00\x00\x01"), rr(b"\x0a\x00\x00\x02", name=name), rr(b"\x0a\x00\x00\x03"))
            assert [record.host for record in decode_message(data).answers] == ["10.0.0.1", "10.0.0.3"]

    @pytest.mark.rfc("6762", "6.1")
    @pytest.mark.parametrize(
        "record",
        [
            rr(b"text", 16),
            rr(b"\x0a\x00\x00", A),
            rr(b"\x0a\x00\x00\x01\x00", A),
            rr(b"\x0a\x00\x00\x01", AAAA),
            rr(b"\x0a\x00\x00\x01", class_=3),
            rr(b"\x00" + bytes.fromhex("010140"), NSEC),
            rr(b"\x00" + bytes.fromhex("000240"), NSEC),
            rr(b"\x00" + bytes.fromhex("0000"), NSEC),
            rr(b"\x00" + bytes.fromhex("0021") + bytes(33), NSEC),
            rr(b"\x00" + bytes.fromhex("0001400101ff"), NSEC),
            rr(b"\x40", NSEC),
            rr(b"", NSEC),
        ],
    )
    def test_a_record_of_no_use_costs_only_itself(self, record: bytes) -> None:
        data = wire(rr(b"\x0a\x00\x00\x01"), record, rr(b"\x0a\x00\x00\x03"))
        assert [each.host for each in decode_message(data).answers] == ["10.0.0.1", "10.0.0.3"]

    @pytest.mark.rfc("6762", "6.1")
    def test_nsec_tells_all_types_below_256_whatever_its_next_name(self) -> None:
        (record,) = decode_message(wire(rr(b"\x01x\x00" + b"\x00\x20" + b"\xff" * 32, NSEC))).answers
        assert record.kinds == tuple(range(256))

    @pytest.mark.parametrize(("class_", "name"), [(1, NAME), (255, NAME), (3, "")])
    def test_questions_of_other_classes_are_about_nothing_here(self, class_: int, name: str) -> None:
        data = wire(WIRE_NAME + b"\x00\x01" + class_.to_bytes(2, "big"), flags=0, counts=(1, 0, 0, 0))
        assert decode_message(data).questions == (Question(name, A),)


class TestRefusing:
    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", DecodeReason.TRUNCATED),
            (bytes(11), DecodeReason.TRUNCATED),
            (bytes(9001), DecodeReason.TOO_LONG),
            (wire(counts=(1, 0, 0, 0)), DecodeReason.TRUNCATED),
            (wire(counts=(0, 1, 0, 0)), DecodeReason.TRUNCATED),
            (wire(WIRE_NAME, counts=(1, 0, 0, 0)), DecodeReason.TRUNCATED),
            (wire(b"\x05loc", counts=(1, 0, 0, 0)), DecodeReason.TRUNCATED),
            (wire(b"\xc0", counts=(1, 0, 0, 0)), DecodeReason.TRUNCATED),
            (wire(b"\xff\xff\x00\x01\x00\x01", counts=(1, 0, 0, 0)), DecodeReason.TRUNCATED),
            (wire(b"\x40a\x00\x00\x01\x00\x01", counts=(1, 0, 0, 0)), DecodeReason.BAD_LENGTH),
            (wire(rr(b"\x0a\x00\x00\x01", length=5)), DecodeReason.TRUNCATED),
        ],
    )
    def test_a_broken_structure(self, data: bytes, reason: DecodeReason) -> None:
        with pytest.raises(DecodeError) as caught:
            decode_message(data)
        assert caught.value.reason is reason

    @pytest.mark.rfc("6762", "18.3")
    @pytest.mark.rfc("6762", "18.11")
    @pytest.mark.parametrize("flags", [0x8803, 0x8401, 0x0800, 0x2800])
    def test_other_operations_and_errors(self, flags: int) -> None:
        with pytest.raises(DecodeError):
            decode_message(wire(flags=flags))

    @pytest.mark.rfc("6762", "18.5")
    @pytest.mark.parametrize("flags", [0x8000, 0x8400, 0x85F0])
    def test_flags_without_a_meaning_here_are_passed_over(self, flags: int) -> None:
        assert decode_message(wire(flags=flags)).is_response

    @pytest.mark.parametrize("pointer", [b"\xc0\x0c", b"\xc0\x0e\xc0\x0c"])
    def test_pointers_in_a_circle_end(self, pointer: bytes) -> None:
        data = wire(pointer + b"\x00\x01\x00\x01", flags=0, counts=(1, 0, 0, 0))
        assert [question.name for question in decode_message(data).questions] == [""]

    def test_a_long_name_behind_a_pointer_is_not_followed_to_its_end(self) -> None:
        """So no message costs more than its length, however many pointers go to one long name."""
        chain = b"\x01a\x01b\x01c" + b"\x40broken"
        data = wire(rr(chain, 16), rr(b"\x0a\x00\x00\x01", name=b"\xc0\x42"))
        assert data[0x42:].startswith(chain)
        assert decode_message(data).answers == ()

    def test_random_mutations_are_read_or_refused(self) -> None:
        rng = random.Random(1)
        good = bytearray(wire(rr(b"\x0a\x00\x00\x01"), rr(bytes.fromhex("c00c000140"), NSEC, name=b"\xc0\x0c")))
        for _ in range(2000):
            data = bytearray(good)
            for _ in range(rng.randrange(1, 4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            try:
                decode_message(bytes(data[: rng.randrange(12, len(data) + 1)]))
            except DecodeError:
                continue
