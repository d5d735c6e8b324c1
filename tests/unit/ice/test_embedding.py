"""One component's exchange of an application's packets on checks."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import pytest

from icepath.errors import InvalidArgument
from icepath.ice.embedding import MAX_MESSAGE, MAX_PACKETS, MAX_REMEMBERED, Embedding, exchanges, room
from icepath.wire.attributes import (
    Attribute,
    DtlsInStun,
    DtlsInStunAcknowledgement,
    IceControlling,
    Priority,
    UseCandidate,
    Username,
    XorMappedAddress,
)
from icepath.wire.message import Message, MessageClass, Method, TransactionId, decode_message, encode_message
from unit.ice.builders import REMOTE, THEIR_KEY

HELLO, REPLY, MORE, LAST = (bytes([22, number]) * 10 for number in range(4))
LONGEST = 500


def message(*attributes: Attribute) -> Message:
    """Returns a check that carries these."""
    data = encode_message(Method.BINDING, MessageClass.REQUEST, TransactionId(bytes(12)), [Priority(1), *attributes])
    return decode_message(data)


def carrying(packet: bytes | None, acknowledged: Sequence[bytes] | None = ()) -> Message:
    found: list[Attribute] = []
    if acknowledged is not None:
        found.append(DtlsInStunAcknowledgement.of([crc32(each) for each in acknowledged]))
    if packet is not None:
        found.append(DtlsInStun(packet))
    return message(*found)


def sending(*packets: bytes) -> Embedding:
    embedding = Embedding()
    embedding.begin(packets, LONGEST)
    return embedding


def next_of(embedding: Embedding) -> tuple[bytes | None, tuple[int, ...] | None]:
    """Returns what the next check would carry: packet and acknowledgements; None where the attribute is missing."""
    carried = message(*embedding.attributes())
    packet, acknowledgement = carried.get(DtlsInStun), carried.get(DtlsInStunAcknowledgement)
    return (None if packet is None else packet.value, None if acknowledgement is None else acknowledgement.hashes)


class TestSending:
    @pytest.mark.rfc("sped", "3.3.4")
    def test_pending_packets_take_turns_and_none_is_an_empty_one(self) -> None:
        embedding = Embedding()
        assert next_of(embedding) == (b"", ())
        embedding.begin([HELLO, MORE], LONGEST)
        assert [next_of(embedding)[0] for _ in range(3)] == [HELLO, MORE, HELLO]

    @pytest.mark.rfc("sped", "4.3")
    def test_acknowledgements_come_first(self) -> None:
        assert [type(each) for each in sending(HELLO).attributes()] == [DtlsInStunAcknowledgement, DtlsInStun]

    @pytest.mark.rfc("sped", "3.3.2")
    def test_what_is_acknowledged_is_pending_no_more(self) -> None:
        embedding = sending(HELLO, MORE)
        assert embedding.take(carrying(None, [HELLO])) is None
        assert [next_of(embedding)[0] for _ in range(2)] == [MORE, MORE]
        assert embedding.is_unsent
        embedding.take(carrying(None, [MORE]))
        assert next_of(embedding)[0] == b""
        assert not embedding.is_unsent

    @pytest.mark.rfc("sped", "3.3.2")
    def test_an_answer_acknowledges_what_its_request_carried(self) -> None:
        embedding = sending(HELLO, MORE)
        embedding.take_answered(message())
        embedding.take_answered(carrying(HELLO))
        assert [next_of(embedding)[0] for _ in range(2)] == [MORE, MORE]

    @pytest.mark.rfc("sped", "3.3.2")
    def test_a_new_flight_takes_the_place_of_the_old_one(self) -> None:
        embedding = sending(HELLO, MORE)
        next_of(embedding)
        embedding.begin([LAST], LONGEST)
        assert [next_of(embedding)[0] for _ in range(2)] == [LAST, LAST]
        embedding.begin([], LONGEST)
        assert next_of(embedding)[0] == b""
        assert not embedding.is_unsent

    @pytest.mark.parametrize(
        ("packets", "says"),
        [
            ([HELLO] * (MAX_PACKETS + 1), "at most 32"),
            ([b"\x16" * (LONGEST + 1)], "at most 500 fit"),
            ([b"\x80rtp"], "20 to 63"),
            ([b""], "20 to 63"),
        ],
    )
    def test_what_cannot_be_carried_is_refused_and_changes_nothing(self, packets: list[bytes], says: str) -> None:
        embedding = sending(HELLO)
        with pytest.raises(InvalidArgument, match=says):
            embedding.begin(packets, LONGEST)
        assert next_of(embedding)[0] == HELLO

    def test_packets_go_by_themselves_once(self) -> None:
        embedding = sending(HELLO, MORE)
        assert embedding.is_unsent
        assert embedding.take_unsent() == [HELLO, MORE]
        assert not embedding.is_unsent
        assert next_of(embedding)[0] == HELLO


class TestReceiving:
    @pytest.mark.rfc("sped", "3.3.2")
    def test_a_packet_is_reported_once_and_acknowledged(self) -> None:
        embedding = Embedding()
        assert embedding.take(carrying(HELLO)) == HELLO
        assert embedding.take(carrying(HELLO)) is None
        assert embedding.take(carrying(MORE, None)) == MORE
        assert next_of(embedding) == (b"", (crc32(HELLO), crc32(MORE)))

    @pytest.mark.rfc("sped", "4.3")
    def test_the_last_four_are_acknowledged(self) -> None:
        embedding = Embedding()
        packets = [bytes([20, number]) for number in range(MAX_REMEMBERED + 2)]
        for packet in packets:
            assert embedding.take(carrying(packet)) == packet
        assert next_of(embedding)[1] == tuple(crc32(packet) for packet in packets[-4:])
        assert embedding.take(carrying(packets[0])) == packets[0]  # forgotten: what is remembered is bounded

    @pytest.mark.rfc("sped", "4.2")
    @pytest.mark.parametrize("packet", [b"", b"\x13x", b"\x40x"])
    def test_what_is_no_dtls_is_discarded(self, packet: bytes) -> None:
        embedding = Embedding()
        assert embedding.take(carrying(packet)) is None
        assert next_of(embedding) == (b"", ())

    @pytest.mark.rfc("sped", "4.3")
    def test_a_malformed_acknowledgement_acknowledges_nothing(self) -> None:
        embedding = sending(HELLO)
        embedding.take(message(DtlsInStunAcknowledgement(crc32(HELLO).to_bytes(4, "big") + b"x")))
        assert next_of(embedding)[0] == HELLO


class TestEnd:
    @pytest.mark.rfc("sped", "3.3.1")
    def test_a_message_with_neither_says_that_the_other_side_takes_no_part(self) -> None:
        embedding = sending(HELLO)
        assert embedding.take(message()) is None
        assert embedding.attributes() == []
        assert not embedding.is_open
        assert embedding.take(carrying(REPLY)) is None
        embedding.take_answered(carrying(HELLO))
        assert embedding.is_unsent
        assert embedding.take_unsent() == [HELLO]
        assert embedding.take_unsent() == []

    @pytest.mark.rfc("sped", "3.3.1")
    def test_nothing_to_send_yet_is_no_end(self) -> None:
        embedding = sending(HELLO)
        for silent in (carrying(b""), carrying(None)):
            embedding.take(silent)
            assert next_of(embedding) == (HELLO, ())

    @pytest.mark.rfc("sped", "3.3.1")
    def test_two_that_have_finished_leave_one_attribute_after_the_other(self) -> None:
        ours, theirs = Embedding(), Embedding()
        ours.finish(sent_last=False)
        theirs.finish(sent_last=False)
        carried: list[tuple[bytes | None, tuple[int, ...] | None]] = []
        for sender, taker in ((ours, theirs), (theirs, ours), (ours, theirs)):
            attributes = sender.attributes()
            told = message(*attributes)
            packet, acknowledgement = told.get(DtlsInStun), told.get(DtlsInStunAcknowledgement)
            carried.append(
                (None if packet is None else packet.value, None if acknowledgement is None else acknowledgement.hashes)
            )
            taker.take(told)
        assert carried == [(b"", ()), (None, ()), (None, None)]
        assert (ours.is_open, theirs.is_open) == (False, False)

    @pytest.mark.rfc("sped", "3.3.3")
    def test_the_very_last_flight_stays_until_it_is_acknowledged(self) -> None:
        embedding = sending(LAST)
        embedding.finish(sent_last=True)
        for silent in (carrying(b""), carrying(None)):
            embedding.take(silent)
            assert next_of(embedding)[0] == LAST
        embedding.take(carrying(None, [LAST]))
        assert not embedding.is_open

    @pytest.mark.rfc("sped", "3.3.3")
    def test_another_last_flight_has_come_when_the_handshake_is_complete(self) -> None:
        embedding = sending(HELLO)
        embedding.finish(sent_last=False)
        assert next_of(embedding)[0] == b""
        assert not embedding.is_unsent

    @pytest.mark.rfc("sped", "4.2")
    def test_a_packet_that_comes_after_the_handshake_is_discarded(self) -> None:
        embedding = Embedding()
        embedding.finish(sent_last=False)
        assert embedding.take(carrying(MORE)) is None
        assert embedding.take(carrying(MORE, None)) is None
        assert next_of(embedding) == (b"", ())


@pytest.mark.rfc("sped", "3.4.1")
@pytest.mark.parametrize("ufrags", ["abcd:efgh", "a" * 7 + ":" + "b" * 32])
def test_the_room_is_what_the_largest_check_leaves(ufrags: str) -> None:
    """Through a relay a Send indication's peer address comes on top: 24 bytes with IPv6."""
    packet = b"\x16" * room(len(ufrags))
    attributes: list[Attribute] = [
        Username(ufrags), Priority(1), IceControlling(1), UseCandidate(), DtlsInStunAcknowledgement(bytes(16)),
        DtlsInStun(packet),
    ]  # fmt: skip
    check = encode_message(
        Method.BINDING, MessageClass.REQUEST, TransactionId(bytes(12)), attributes, key=THEIR_KEY, fingerprint=True
    )
    nomination, peer_address = 8, 24
    assert MAX_MESSAGE - 4 < len(check) + nomination + peer_address <= MAX_MESSAGE
    answer = encode_message(
        Method.BINDING,
        MessageClass.SUCCESS,
        TransactionId(bytes(12)),
        [XorMappedAddress(REMOTE), *attributes[-2:]],
        key=THEIR_KEY,
        fingerprint=True,
    )
    assert len(answer) <= len(check)


def test_every_component_has_an_exchange_of_its_own() -> None:
    found = exchanges((2, 1))
    assert set(found) == {(1, 1), (1, 2), (2, 1)}
    assert len(set(map(id, found.values()))) == 3
