"""STUN messages: header, attribute walk, what ends a message, integrity, fingerprint, RFC 3489."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from icepath.entropy import Secret
from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.net import Address
from icepath.wire.attributes import (
    Attribute,
    ChangedAddress,
    Data,
    Fingerprint,
    IceControlled,
    MappedAddress,
    MessageIntegrity,
    MessageIntegritySha256,
    Nonce,
    Priority,
    Realm,
    Software,
    SourceAddress,
    UnknownAttribute,
    UseCandidate,
    Userhash,
    Username,
    XorMappedAddress,
    XorPeerAddress,
)
from icepath.wire.integrity import (
    Integrity,
    IntegrityKey,
    PasswordAlgorithmId,
    fingerprint,
    long_term_key,
    short_term_key,
)
from icepath.wire.message import (
    MessageClass,
    Method,
    TransactionId,
    decode_message,
    encode_message,
    looks_like_stun,
    verify,
)
from vectors import iana, rfc5769

KEY = short_term_key(Secret(rfc5769.SHORT_TERM_PASSWORD))
LONG_TERM = (rfc5769.LONG_TERM_USERNAME, rfc5769.LONG_TERM_REALM, Secret(rfc5769.LONG_TERM_PASSWORD))
TRANSACTION = TransactionId(bytes(range(12)))
OLD_TRANSACTION = TransactionId(bytes(range(16)))
ADDRESS = Address("192.0.2.1", 32853)


def raw(kind: int, *attributes: tuple[int, bytes], transaction_id: bytes = TRANSACTION) -> bytes:
    """Returns a message of these attributes, whatever they are, by none of the code under test."""
    body = b"".join(
        type_.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)
        for type_, value in attributes
    )
    cookie = b"\x21\x12\xa4\x42" if len(transaction_id) == 12 else b""
    return kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + cookie + transaction_id + body


def refusal(data: bytes) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode_message(data)
    return caught.value


def zero_padding(data: bytes) -> bytes:
    """Returns a message with the padding of its attributes zeroed."""
    found = bytearray(data)
    offset = 20
    while offset < len(data):
        end = offset + 4 + int.from_bytes(data[offset + 2 : offset + 4], "big")
        offset = end + -end % 4
        found[end:offset] = bytes(offset - end)
    return bytes(found)


def request(*attributes: Attribute, key: IntegrityKey | None = KEY, integrity: Integrity = Integrity.SHA1) -> bytes:
    return encode_message(
        Method.BINDING, MessageClass.REQUEST, TRANSACTION, attributes, key=key, integrity=integrity, fingerprint=True
    )


# -- RFC 5769 and RFC 8489 Appendix B ------------------------------------------------------------------


@pytest.mark.rfc("5769", "2.1")
def test_the_sample_request_decodes_and_verifies() -> None:
    message = decode_message(rfc5769.REQUEST)
    assert (message.method, message.message_class) == (Method.BINDING, MessageClass.REQUEST)
    assert message.transaction_id == rfc5769.TRANSACTION_ID
    assert message.attributes[:4] == (
        Software("STUN test client"),
        Priority(0x6E0001FF),
        IceControlled(0x932FF9B151263B36),
        Username("evtj:h6vY"),
    )
    assert [type(attribute) for attribute in message.attributes[4:]] == [MessageIntegrity, Fingerprint]
    assert (message.has_fingerprint, message.has_integrity, message.is_rfc3489) == (True, True, False)
    verified = verify(message, KEY)
    assert verified.message is message
    assert verified.integrity is Integrity.SHA1


@pytest.mark.rfc("5769", "2.2")
@pytest.mark.rfc("5769", "2.3")
@pytest.mark.parametrize(
    ("data", "host"),
    [(rfc5769.RESPONSE_IPV4, "192.0.2.1"), (rfc5769.RESPONSE_IPV6, "2001:db8:1234:5678:11:2233:4455:6677")],
)
def test_the_sample_responses_decode_and_verify(data: bytes, host: str) -> None:
    message = decode_message(data)
    assert (message.method, message.message_class) == (Method.BINDING, MessageClass.SUCCESS)
    assert message.attributes[:2] == (Software("test vector"), XorMappedAddress(Address(host, 32853)))
    assert verify(message, KEY, require=Integrity.SHA1).integrity is Integrity.SHA1


@pytest.mark.rfc("5769", "2")
@pytest.mark.parametrize("data", [rfc5769.REQUEST, rfc5769.RESPONSE_IPV4, rfc5769.RESPONSE_IPV6])
def test_the_samples_encode_alike_but_for_their_padding(data: bytes) -> None:
    # Their padding is 0x20, which the HMAC covers; ours is zero. So integrity is compared by the printed key's
    # HMAC over the zeroed text, and everything else byte for byte.
    message = decode_message(data)
    encoded = encode_message(
        message.method,
        message.message_class,
        message.transaction_id,
        message.attributes[:-2],
        key=KEY,
        fingerprint=True,
    )
    assert len(encoded) == len(data)
    end = message.sha1_offset
    assert encoded[: end + 4] == zero_padding(data)[: end + 4]
    text = encoded[:2] + (end + 4).to_bytes(2, "big") + encoded[4:end]
    assert encoded[end + 4 : end + 24] == hmac.digest(rfc5769.SHORT_TERM_PASSWORD.encode(), text, "sha1")


@pytest.mark.rfc("5769", "2.4")
def test_the_long_term_sample_decodes_verifies_and_encodes_identically() -> None:
    message = decode_message(rfc5769.LONG_TERM_REQUEST)
    sent = (Username(LONG_TERM[0]), Nonce(rfc5769.LONG_TERM_NONCE), Realm(LONG_TERM[1]))
    assert message.attributes[:3] == sent
    assert not message.has_fingerprint
    key = long_term_key(*LONG_TERM)
    assert verify(message, key).integrity is Integrity.SHA1
    again = encode_message(Method.BINDING, MessageClass.REQUEST, message.transaction_id, sent, key=key)
    assert again == rfc5769.LONG_TERM_REQUEST


@pytest.mark.rfc("8489", "B.1")
def test_the_sha256_sample_needs_its_length_corrected() -> None:
    printed = rfc5769.SHA256_REQUEST_AS_PRINTED
    assert refusal(printed).reason is DecodeReason.TRUNCATED
    corrected = printed[:2] + (len(printed) - 20).to_bytes(2, "big") + printed[4:]
    message = decode_message(corrected)
    sent = (Userhash(printed[24:56]), Nonce(rfc5769.SHA256_NONCE), Realm(LONG_TERM[1]))
    assert message.attributes[:3] == sent
    key = long_term_key(*LONG_TERM, PasswordAlgorithmId.SHA256)
    encoded = encode_message(
        Method.BINDING, MessageClass.REQUEST, message.transaction_id, sent, key=key, integrity=Integrity.SHA256
    )
    assert encoded[:-32] == corrected[:-32]
    assert verify(decode_message(encoded), key, require=Integrity.SHA256).integrity is Integrity.SHA256


# -- header --------------------------------------------------------------------------------------------


@pytest.mark.rfc("8489", "5")
@pytest.mark.parametrize(
    ("method", "message_class", "kind"),
    [
        (Method.BINDING, MessageClass.REQUEST, 0x0001),
        (Method.BINDING, MessageClass.INDICATION, 0x0011),
        (Method.BINDING, MessageClass.SUCCESS, 0x0101),
        (Method.BINDING, MessageClass.ERROR, 0x0111),
        (Method.ALLOCATE, MessageClass.ERROR, 0x0113),
        (Method.CONNECTION_ATTEMPT, MessageClass.INDICATION, 0x001C),
        (0xFF, MessageClass.ERROR, 0x03FF),
        (0xFFF, MessageClass.ERROR, 0x3FFF),
        (0xFFF, MessageClass.REQUEST, 0x3EEF),
        (0x010, MessageClass.REQUEST, 0x0020),
        (0x080, MessageClass.REQUEST, 0x0200),
        (0, MessageClass.REQUEST, 0x0000),
    ],
)
def test_method_and_class_share_the_type(method: int, message_class: MessageClass, kind: int) -> None:
    data = encode_message(method, message_class, TRANSACTION)
    assert data == raw(kind)
    message = decode_message(data)
    assert (message.method, message.message_class) == (method, message_class)
    assert (message.transaction_id, message.attributes, message.unknown) == (TRANSACTION, (), ())


@pytest.mark.rfc("8489", "18.2")
def test_the_methods_are_the_registered_ones() -> None:
    assert {method.value: method.name for method in Method} == iana.METHODS


@pytest.mark.rfc("8489", "6.3")
@pytest.mark.parametrize(
    ("data", "reason", "says"),
    [
        (b"", DecodeReason.TRUNCATED, "0 bytes, expected a header of 20"),
        (raw(1)[:19], DecodeReason.TRUNCATED, "19 bytes"),
        (b"\x40\x00\x00\x00", DecodeReason.NOT_STUN, "first byte 0x40, expected 0x3F or less"),
        (b"\x80" + bytes(19), DecodeReason.NOT_STUN, "first byte 0x80"),
        (raw(1) + b"\0\0\0\0", DecodeReason.TRAILING_BYTES, "length 0 at byte 2, but 4 bytes follow"),
        (raw(1, (0x8022, b"abcd"))[:-4], DecodeReason.TRUNCATED, "length 8 at byte 2, but 4 bytes follow"),
        (raw(1)[:2] + b"\0\3" + raw(1)[4:] + b"abc", DecodeReason.BAD_LENGTH, "length 3 at byte 2"),
        (raw(1)[:2] + b"\0\2" + raw(1)[4:], DecodeReason.BAD_LENGTH, "length 2 at byte 2"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(data: bytes, reason: DecodeReason, says: str) -> None:
    error = refusal(data)
    assert error.reason is reason
    assert says in str(error)


@pytest.mark.parametrize("method", [-1, 0x1000])
def test_a_method_has_twelve_bits(method: int) -> None:
    with pytest.raises(InvalidArgument, match="not in 0 to 4095"):
        encode_message(method, MessageClass.REQUEST, TRANSACTION)


@pytest.mark.parametrize("transaction_id", [b"", bytes(11), bytes(13), b"\x21\x12\xa4\x42" + bytes(12)])
def test_a_transaction_id_of_another_length_is_not_encoded(transaction_id: bytes) -> None:
    with pytest.raises(InvalidArgument, match="transaction id of"):
        encode_message(Method.BINDING, MessageClass.REQUEST, TransactionId(transaction_id))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (rfc5769.REQUEST, True),
        (raw(1), True),
        (raw(1)[:19], False),
        (raw(0x0400), False),
        (b"\x40" + rfc5769.REQUEST[1:], False),
        (raw(1, transaction_id=OLD_TRANSACTION), False),
        (raw(1) + b"abcd", False),
        (raw(1)[:2] + b"\0\3" + raw(1)[4:] + b"abc", False),
    ],
)
def test_the_shape_of_stun_is_told_cheaply(data: bytes, expected: bool) -> None:
    assert looks_like_stun(data) is expected


# -- attributes ----------------------------------------------------------------------------------------


@pytest.mark.rfc("8489", "14")
def test_the_first_of_duplicates_counts_and_all_can_be_had() -> None:
    peers = (XorPeerAddress(ADDRESS), XorPeerAddress(Address("192.0.2.2", 1)))
    message = decode_message(request(Username("first"), *peers, Username("second")))
    assert message.get(Username) == Username("first")
    assert message.get_all(XorPeerAddress) == peers
    assert message.get(Data) is None
    assert message.get_all(Data) == ()


@pytest.mark.rfc("8489", "6.3.1")
def test_unknown_attributes_are_kept_and_the_required_ones_named_once() -> None:
    data = raw(1, (0x7FFF, b"abc"), (0x8099, b""), (0x0024, bytes(4)), (0x7FFF, b""), (0x0002, b"x"))
    message = decode_message(data)
    assert message.attributes == (Priority(0),)
    assert message.unknown == (
        UnknownAttribute(0x7FFF, b"abc"),
        UnknownAttribute(0x8099, b""),
        UnknownAttribute(0x7FFF, b""),
        UnknownAttribute(0x0002, b"x"),
    )
    assert message.unknown_required == (0x7FFF, 0x0002)


@pytest.mark.parametrize("attributes", [(), ((0x8099, b""),)])
def test_a_message_whose_required_attributes_are_all_known_names_none(
    attributes: tuple[tuple[int, bytes], ...],
) -> None:
    assert decode_message(raw(1, (0x0006, b"user"), *attributes)).unknown_required == ()


@pytest.mark.rfc("8489", "14")
def test_padding_is_ignored_and_written_as_zero() -> None:
    assert request(Username("a"), key=None)[20:28] == bytes.fromhex("0006 0001 61 000000")
    data = raw(1, (0x0006, b"a"))
    assert decode_message(data[:-3] + b"xyz").attributes == (Username("a"),)


@pytest.mark.parametrize(
    ("data", "reason", "offset", "says"),
    [
        (
            raw(1, (0x0020, bytes(6))),
            DecodeReason.BAD_ATTRIBUTE,
            20,
            "XOR-MAPPED-ADDRESS at byte 20: length 6, expected 8 or 20",
        ),
        (
            raw(1, (0x0024, bytes(4)), (0x0006, b"\xff")),
            DecodeReason.BAD_ATTRIBUTE,
            28,
            "USERNAME at byte 28: the text",
        ),
        (raw(1)[:2] + b"\0\4" + raw(1)[4:] + b"\0\6\0\1", DecodeReason.TRUNCATED, 20, "USERNAME at byte 20: length 1"),
        (raw(1, (0x7FFF, b""), (0, b""))[:-2] + b"\0\1", DecodeReason.TRUNCATED, 24, "0x0000 at byte 24: length 1"),
        (raw(1, (0x0008, bytes(16))), DecodeReason.BAD_ATTRIBUTE, 20, "length 16, expected 20"),
        (raw(1, (0x001C, bytes(12))), DecodeReason.BAD_ATTRIBUTE, 20, "length 12, expected a multiple of 4"),
        (raw(1, (0x001C, bytes(30))), DecodeReason.BAD_ATTRIBUTE, 20, "length 30, expected a multiple of 4"),
        (raw(1, (0x8028, bytes(8))), DecodeReason.BAD_ATTRIBUTE, 20, "FINGERPRINT at byte 20: length 8, expected 4"),
        (raw(1, (0x8028, bytes(4))), DecodeReason.FINGERPRINT_MISMATCH, 20, "FINGERPRINT at byte 20 is wrong"),
        (
            raw(1, (0x0008, bytes(20)), (0x8028, bytes(4))),
            DecodeReason.FINGERPRINT_MISMATCH,
            44,
            "FINGERPRINT at byte 44 is wrong",
        ),
        (raw(1, (0x0008, bytes(20)), (9, b""))[:-2] + b"\0\4", DecodeReason.TRUNCATED, 44, "ERROR-CODE at byte 44"),
    ],
)
def test_malformed_attributes_are_named_with_their_place(
    data: bytes, reason: DecodeReason, offset: int, says: str
) -> None:
    error = refusal(data)
    assert error.reason is reason
    assert error.offset == offset
    assert says in str(error)


@pytest.mark.rfc("8489", "14.7")
def test_nothing_follows_a_fingerprint() -> None:
    start = raw(1, (0x8022, b"abcd"))
    whole = raw(1, (0x8022, b"abcd"), (0x8028, bytes(4)), (0x8022, b""))
    assert len(whole) == len(start) + 12
    error = refusal(whole)
    assert error.reason is DecodeReason.BAD_ATTRIBUTE
    assert "4 bytes follow, expected it last" in str(error)


def test_a_value_that_may_not_be_sent_stops_the_message() -> None:
    with pytest.raises(InvalidArgument, match="PRIORITY 0"):
        request(Priority(0))


@pytest.mark.parametrize("attribute", [MessageIntegrity(bytes(20)), MessageIntegritySha256(bytes(32)), Fingerprint(0)])
def test_what_ends_a_message_is_not_taken_as_an_attribute(attribute: Attribute) -> None:
    with pytest.raises(InvalidArgument, match=f"{attribute.NAME} is written by encode_message itself"):
        request(attribute)
    with pytest.raises(InvalidArgument, match=f"{attribute.NAME} is written by encode_message itself"):
        request(UnknownAttribute(attribute.TYPE, b""))


def test_a_message_has_a_length_of_16_bits() -> None:
    room = 0xFFFC - 24 - 36 - 8
    longest = encode_message(
        Method.SEND,
        MessageClass.INDICATION,
        TRANSACTION,
        (Data(bytes(room - 4)),),
        key=KEY,
        integrity=Integrity.SHA256,
        also_sha1=True,
        fingerprint=True,
    )
    assert len(longest) == 20 + 0xFFFC
    assert verify(decode_message(longest), KEY).integrity is Integrity.SHA256
    with pytest.raises(InvalidArgument, match=f"allowed are {room}"):
        request(Data(bytes(room - 3)))


# -- integrity -----------------------------------------------------------------------------------------


@pytest.mark.rfc("8489", "14.5")
@pytest.mark.rfc("8489", "14.6")
@pytest.mark.parametrize("integrity", list(Integrity))
@pytest.mark.parametrize("has_fingerprint", [False, True])
def test_a_signed_message_verifies_with_its_key_only(integrity: Integrity, has_fingerprint: bool) -> None:
    sent = (Username("evtj:h6vY"), UseCandidate())
    data = encode_message(
        Method.BINDING,
        MessageClass.REQUEST,
        TRANSACTION,
        sent,
        key=KEY,
        integrity=integrity,
        fingerprint=has_fingerprint,
    )
    message = decode_message(data)
    assert message.attributes[:2] == sent
    assert message.has_fingerprint is has_fingerprint
    assert verify(message, KEY).integrity is integrity
    with pytest.raises(DecodeError, match="wrong for this key") as caught:
        verify(message, IntegrityKey(b"another key"))
    assert caught.value.reason is DecodeReason.INTEGRITY_MISMATCH


def test_a_message_without_integrity_does_not_verify() -> None:
    message = decode_message(request(Username("a"), key=None))
    assert not message.has_integrity
    with pytest.raises(DecodeError) as caught:
        verify(message, KEY)
    assert caught.value.reason is DecodeReason.MISSING_INTEGRITY


@pytest.mark.parametrize("integrity", list(Integrity))
def test_the_other_integrity_can_be_demanded(integrity: Integrity) -> None:
    message = decode_message(request(integrity=integrity))
    other = Integrity.SHA256 if integrity is Integrity.SHA1 else Integrity.SHA1
    with pytest.raises(DecodeError) as caught:
        verify(message, KEY, require=other)
    assert caught.value.reason is DecodeReason.MISSING_INTEGRITY
    assert verify(message, KEY, require=integrity).integrity is integrity


def test_a_changed_bit_anywhere_under_the_integrity_is_noticed() -> None:
    data = request(Username("evtj:h6vY"), Priority(5))
    message = decode_message(data)
    for position in range(message.sha1_offset):
        if position in (2, 3):
            continue  # the length is not taken from here: it is computed, and checked by the decoder
        changed = bytearray(data[:-8])
        changed[3] -= 8  # no FINGERPRINT, which would notice first
        changed[position] ^= 1
        try:
            forged = decode_message(bytes(changed))
        except DecodeError:
            continue
        with pytest.raises(DecodeError):
            verify(forged, KEY)


def both(sha1_key: bytes, sha256_key: bytes, length: int = 32) -> bytes:
    """Returns a request with both integrities, signed by none of the code under test."""
    text = raw(1, (0x0006, b"user"))
    sha1 = hmac.digest(sha1_key, text[:2] + (8 + 24).to_bytes(2, "big") + text[4:], "sha1")
    text += bytes.fromhex("00080014") + sha1
    text = text[:2] + (8 + 24 + 4 + length).to_bytes(2, "big") + text[4:]
    sha256 = hmac.digest(sha256_key, text, "sha256")[:length]
    return text + b"\x00\x1c" + length.to_bytes(2, "big") + sha256


@pytest.mark.rfc("8489", "9.1.3")
def test_of_two_integrities_sha256_is_checked_unless_the_other_is_demanded() -> None:
    good = decode_message(both(b"key", b"key"))
    assert [type(attribute) for attribute in good.attributes] == [Username, MessageIntegrity, MessageIntegritySha256]
    key = IntegrityKey(b"key")
    assert verify(good, key).integrity is Integrity.SHA256
    assert verify(good, key, require=Integrity.SHA1).integrity is Integrity.SHA1
    with pytest.raises(DecodeError):
        verify(decode_message(both(b"key", b"other")), key)
    assert verify(decode_message(both(b"other", b"key")), key).integrity is Integrity.SHA256


@pytest.mark.rfc("8489", "14.6")
@pytest.mark.parametrize("length", [16, 20, 24, 28])
def test_a_truncated_sha256_verifies_only_where_the_usage_allows_it(length: int) -> None:
    message = decode_message(both(b"key", b"key", length))
    key = IntegrityKey(b"key")
    with pytest.raises(DecodeError, match=f"{length} bytes, expected 32 or more") as caught:
        verify(message, key)
    assert caught.value.reason is DecodeReason.INTEGRITY_MISMATCH
    assert verify(message, key, shortest=length).integrity is Integrity.SHA256
    with pytest.raises(DecodeError):
        verify(decode_message(both(b"key", b"other", length)), key, shortest=16)


@pytest.mark.rfc("8489", "9.1.2")
def test_a_request_can_carry_both_integrities() -> None:
    data = encode_message(
        Method.BINDING,
        MessageClass.REQUEST,
        TRANSACTION,
        (Username("user"),),
        key=IntegrityKey(b"key"),
        integrity=Integrity.SHA256,
        also_sha1=True,
    )
    assert data == both(b"key", b"key")


@pytest.mark.rfc("8489", "9")
@pytest.mark.parametrize("integrity", [(0x0008, bytes(20)), (0x001C, bytes(32))])
def test_what_follows_integrity_is_ignored(integrity: tuple[int, bytes]) -> None:
    text = raw(
        1,
        (0x0006, b"user"),
        integrity,
        (0x0024, b"bad"),  # malformed, unknown and repeated: all of no account
        (0x7FFF, b""),
        (0x0008, bytes(20)),
        (0x0006, b"other"),
    )
    message = decode_message(text)
    assert [type(attribute) for attribute in message.attributes][:1] == [Username]
    assert len(message.attributes) == 2
    assert message.unknown == ()
    assert message.has_integrity


def test_an_end_as_long_as_the_usual_one_is_read_for_what_it_is() -> None:
    end = (raw(1, (0x0008, bytes(20)), (0x7FFF, bytes(4))), raw(1, (0x001C, bytes(28))))
    first, second = (decode_message(data) for data in end)
    assert [type(attribute) for attribute in first.attributes] == [MessageIntegrity]
    assert (first.sha1_offset, first.has_fingerprint) == (20, False)
    assert [type(attribute) for attribute in second.attributes] == [MessageIntegritySha256]


@pytest.mark.rfc("8489", "9")
def test_after_sha256_only_a_fingerprint_counts() -> None:
    end = raw(1, (0x001C, bytes(32)), (0x0008, bytes(20)), (0x001C, bytes(16)), (0x8028, bytes(4)))
    end = end[:-4] + fingerprint(end[:-8]).to_bytes(4, "big")
    message = decode_message(end)
    assert [type(attribute) for attribute in message.attributes] == [MessageIntegritySha256, Fingerprint]
    assert (message.sha1_offset, message.sha256_offset, message.has_fingerprint) == (-1, 20, True)


# -- RFC 3489 ------------------------------------------------------------------------------------------


@pytest.mark.rfc("8489", "11")
@pytest.mark.rfc("3489", "11.1")
def test_a_message_without_the_cookie_is_one_of_rfc3489() -> None:
    sent = (MappedAddress(ADDRESS), SourceAddress(ADDRESS), ChangedAddress(Address("192.0.2.2", 3479)))
    data = encode_message(Method.BINDING, MessageClass.SUCCESS, OLD_TRANSACTION, sent)
    assert data[:20] == bytes.fromhex("0101 0024") + OLD_TRANSACTION
    message = decode_message(data)
    assert message.is_rfc3489
    assert message.transaction_id == OLD_TRANSACTION
    assert message.attributes == sent


@pytest.mark.rfc("8489", "18.3.1")
def test_attributes_that_only_rfc3489_has_are_unknown_beside_the_cookie() -> None:
    message = decode_message(request(SourceAddress(ADDRESS), key=None))
    assert message.unknown_required == (SourceAddress.TYPE,)
    assert decode_message(request(Username("a"), key=None)).unknown_required == ()


@pytest.mark.rfc("3489", "11.2.8")
@pytest.mark.parametrize("username", ["", "four", "x" * 40])
def test_the_text_under_an_rfc3489_hmac_is_padded_to_64_bytes(username: str) -> None:
    data = encode_message(
        Method.BINDING, MessageClass.REQUEST, OLD_TRANSACTION, (Username(username),), key=IntegrityKey(b"key")
    )
    text = data[:-24]
    assert data[-20:] == hmac.new(b"key", text + bytes(-len(text) % 64), hashlib.sha1).digest()
    assert verify(decode_message(data), IntegrityKey(b"key")).integrity is Integrity.SHA1


# -- for people ----------------------------------------------------------------------------------------


def test_messages_compare_by_their_bytes_and_show_what_they_hold() -> None:
    first, same = decode_message(rfc5769.REQUEST), decode_message(rfc5769.REQUEST)
    other = decode_message(rfc5769.RESPONSE_IPV4)
    assert first == same
    assert first != other
    assert first != rfc5769.REQUEST
    assert len({first, same, other}) == 2
    assert repr(decode_message(request(Priority(1), key=None))).startswith(
        "Message(BINDING REQUEST 000102030405060708090a0b, [Priority(1), Fingerprint("
    )
    assert repr(decode_message(raw(0x3FFF))).startswith("Message(0xFFF ERROR")
    assert repr(verify(first, KEY)).startswith("Verified(Message(BINDING REQUEST")
    assert repr(verify(first, KEY)).endswith(", SHA1)")
