"""The binary codec: decode(encode(x)) == x for every attribute and message; hostile bytes raise DecodeError only."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from icepath.errors import DecodeError
from icepath.net import Address, unmapped
from icepath.wire import attributes as a
from icepath.wire.attributes.forms import AttributeValue
from icepath.wire.channel_data import ChannelData, decode_channel_data, encode_channel_data
from icepath.wire.framing import Rfc4571Framer, StunFramer, frame_rfc4571
from icepath.wire.integrity import Integrity, IntegrityKey
from icepath.wire.message import (
    MessageClass,
    TransactionId,
    decode_message,
    encode_message,
    looks_like_stun,
    verify,
)

UNTIMED = settings(deadline=None)  # a shared machine's clock proves nothing


def address(packed: bytes, port: int) -> Address:
    return Address(str(unmapped(ipaddress.ip_address(packed))), port)


def uint(bits: int) -> SearchStrategy[int]:
    return st.integers(0, (1 << bits) - 1)


def text(characters: int) -> SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=characters)


ADDRESSES = st.builds(
    address, st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)), uint(16)
)
FAMILIES = st.sampled_from(a.AddressFamily)
ERRORS = st.integers(300, 699)
LABELS = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?", fullmatch=True)
ALGORITHMS = st.builds(a.PasswordAlgorithm, uint(16), st.binary(max_size=9))

VALUES: dict[type[AttributeValue], SearchStrategy[a.KnownAttribute]] = {
    a.MappedAddress: st.builds(a.MappedAddress, ADDRESSES),
    a.XorMappedAddress: st.builds(a.XorMappedAddress, ADDRESSES),
    a.Username: st.builds(a.Username, text(127)),
    a.Userhash: st.builds(a.Userhash, st.binary(min_size=32, max_size=32)),
    a.MessageIntegrity: st.builds(a.MessageIntegrity, st.binary(min_size=20, max_size=20)),
    a.MessageIntegritySha256: st.sampled_from((16, 20, 24, 28, 32)).map(bytes).map(a.MessageIntegritySha256),
    a.Fingerprint: st.builds(a.Fingerprint, uint(32)),
    a.ErrorCode: st.builds(a.ErrorCode, ERRORS, text(127)),
    a.UnknownAttributes: st.builds(a.UnknownAttributes, st.lists(uint(16)).map(tuple)),
    a.Realm: st.builds(a.Realm, text(127)),
    a.Nonce: st.builds(a.Nonce, st.binary(max_size=763)),
    a.PasswordAlgorithm: ALGORITHMS,
    a.PasswordAlgorithms: st.builds(a.PasswordAlgorithms, st.lists(ALGORITHMS).map(tuple)),
    a.Software: st.builds(a.Software, text(127)),
    a.AlternateServer: st.builds(a.AlternateServer, ADDRESSES),
    a.AlternateDomain: st.builds(a.AlternateDomain, st.lists(LABELS, min_size=1, max_size=8).map(".".join)),
    a.ChannelNumber: st.builds(a.ChannelNumber, st.integers(0x4000, 0x4FFF)),
    a.Lifetime: st.builds(a.Lifetime, uint(32)),
    a.XorPeerAddress: st.builds(a.XorPeerAddress, ADDRESSES),
    a.Data: st.builds(a.Data, st.binary()),
    a.XorRelayedAddress: st.builds(a.XorRelayedAddress, ADDRESSES),
    a.RequestedAddressFamily: st.builds(a.RequestedAddressFamily, FAMILIES),
    a.AdditionalAddressFamily: st.builds(a.AdditionalAddressFamily, FAMILIES),
    a.EvenPort: st.builds(a.EvenPort, st.booleans()),
    a.RequestedTransport: st.builds(a.RequestedTransport, uint(8)),
    a.DontFragment: st.builds(a.DontFragment),
    a.ReservationToken: st.builds(a.ReservationToken, st.binary(min_size=8, max_size=8)),
    a.AddressErrorCode: st.builds(a.AddressErrorCode, FAMILIES, ERRORS, text(127)),
    a.Icmp: st.builds(a.Icmp, uint(8), uint(8), uint(32)),
    a.Priority: st.builds(a.Priority, st.integers(1, 0x7FFFFFFF)),
    a.UseCandidate: st.builds(a.UseCandidate),
    a.IceControlled: st.builds(a.IceControlled, uint(64)),
    a.IceControlling: st.builds(a.IceControlling, uint(64)),
    a.ChangeRequest: st.builds(a.ChangeRequest, st.booleans(), st.booleans()),
    a.Padding: st.builds(a.Padding, st.integers(0, 2000)),
    a.ResponsePort: st.builds(a.ResponsePort, uint(16)),
    a.ResponseOrigin: st.builds(a.ResponseOrigin, ADDRESSES),
    a.OtherAddress: st.builds(a.OtherAddress, ADDRESSES),
    a.CacheTimeout: st.builds(a.CacheTimeout, uint(32)),
    a.ConnectionId: st.builds(a.ConnectionId, uint(32)),
    a.AccessToken: st.builds(a.AccessToken, st.binary()),
    a.ThirdPartyAuthorization: st.builds(a.ThirdPartyAuthorization, text(190)),
    a.TransactionTransmitCounter: st.builds(a.TransactionTransmitCounter, uint(8), uint(8)),
    a.MobilityTicket: st.builds(a.MobilityTicket, st.binary()),
    a.Nomination: st.builds(a.Nomination, uint(32)),
    a.GoogNomination: st.builds(a.GoogNomination, uint(24)),
    a.DtlsInStun: st.builds(a.DtlsInStun, st.binary(max_size=900)),
    a.DtlsInStunAcknowledgement: st.builds(a.DtlsInStunAcknowledgement, st.binary(max_size=20)),
    a.ResponseAddress: st.builds(a.ResponseAddress, ADDRESSES),
    a.SourceAddress: st.builds(a.SourceAddress, ADDRESSES),
    a.ChangedAddress: st.builds(a.ChangedAddress, ADDRESSES),
    a.Password: st.builds(a.Password, st.binary()),
    a.ReflectedFrom: st.builds(a.ReflectedFrom, ADDRESSES),
}
OLD_ONLY = (a.ResponseAddress, a.SourceAddress, a.ChangedAddress, a.Password, a.ReflectedFrom)
NEW_IDS = st.binary(min_size=12, max_size=12)
OLD_IDS = st.binary(min_size=16, max_size=16).filter(lambda value: value[:4] != a.MAGIC_COOKIE_BYTES)
IN_MESSAGES = [kind for kind in VALUES if kind.TYPE not in a.TRAILERS and kind not in OLD_ONLY]
ATTRIBUTES = st.lists(st.sampled_from(IN_MESSAGES).flatmap(lambda kind: VALUES[kind]), max_size=8)
UNKNOWN = st.lists(st.builds(a.UnknownAttribute, st.integers(0x7F00, 0x7FFF), st.binary(max_size=20)), max_size=3)
KEYS = st.none() | st.builds(IntegrityKey, st.binary(max_size=80))


def test_every_attribute_is_tried() -> None:
    assert set(VALUES) == set(a.ATTRIBUTES.values())


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
@UNTIMED
@given(data=st.data())
def test_an_attribute_comes_back(kind: type[AttributeValue], data: st.DataObject) -> None:
    attribute = data.draw(VALUES[kind])
    transaction_id = data.draw(NEW_IDS | OLD_IDS)
    value = attribute.encode(transaction_id)
    assert type(attribute).decode(value, transaction_id) == attribute
    assert type(attribute).TYPE == kind.TYPE


@UNTIMED
@given(
    method=uint(12),
    message_class=st.sampled_from(MessageClass),
    transaction_id=(NEW_IDS | OLD_IDS).map(TransactionId),
    known=ATTRIBUTES,
    unknown=UNKNOWN,
    key=KEYS,
    integrity=st.sampled_from(Integrity),
    also_sha1=st.booleans(),
    fingerprint=st.booleans(),
)
def test_a_message_comes_back(
    method: int,
    message_class: MessageClass,
    transaction_id: TransactionId,
    known: list[a.KnownAttribute],
    unknown: list[a.UnknownAttribute],
    key: IntegrityKey | None,
    integrity: Integrity,
    also_sha1: bool,
    fingerprint: bool,
) -> None:
    data = encode_message(
        method,
        message_class,
        transaction_id,
        [*known, *unknown],
        key=key,
        integrity=integrity,
        also_sha1=also_sha1,
        fingerprint=fingerprint,
    )
    message = decode_message(data)
    assert (message.method, message.message_class, message.transaction_id) == (method, message_class, transaction_id)
    assert message.attributes[: len(known)] == tuple(known)
    assert message.unknown == tuple(unknown)
    assert message.has_fingerprint is fingerprint
    assert looks_like_stun(data) is (method <= 0xFF and not message.is_rfc3489)
    assert message.has_integrity is (key is not None)
    if key is not None:
        assert verify(message, key).integrity is integrity


@UNTIMED
@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        message = decode_message(data)
    except DecodeError:
        return
    assert message.data == data


@UNTIMED
@given(known=ATTRIBUTES, unknown=UNKNOWN, key=KEYS, fingerprint=st.booleans(), data=st.data())
def test_a_broken_message_decodes_or_is_refused(
    known: list[a.KnownAttribute],
    unknown: list[a.UnknownAttribute],
    key: IntegrityKey | None,
    fingerprint: bool,
    data: st.DataObject,
) -> None:
    whole = encode_message(
        1, MessageClass.REQUEST, TransactionId(bytes(12)), [*unknown, *known], key=key, fingerprint=fingerprint
    )
    broken = bytearray(whole)
    for position in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        broken[position] = data.draw(uint(8))
    del broken[data.draw(st.integers(len(broken) // 2, len(broken))) :]
    broken[2:4] = (max(len(broken) - 20, 0) & 0xFFFF).to_bytes(2, "big")
    try:
        message = decode_message(bytes(broken))
        verify(message, key or IntegrityKey(b""))
    except DecodeError:
        return
    assert key is None or message.data[4 : message.sha1_offset] == whole[4 : message.sha1_offset]


@UNTIMED
@given(channel=st.integers(0x4000, 0x4FFF), payload=st.binary(), padded=st.booleans())
def test_channel_data_comes_back(channel: int, payload: bytes, padded: bool) -> None:
    data = encode_channel_data(channel, payload, padded=padded)
    assert decode_channel_data(data) == ChannelData(channel, payload)


MESSAGES = st.one_of(
    st.builds(lambda known: encode_message(1, MessageClass.REQUEST, TransactionId(bytes(12)), known), ATTRIBUTES),
    st.builds(
        lambda channel, payload: encode_channel_data(channel, payload, padded=True),
        st.integers(0x4000, 0x4FFF),
        st.binary(max_size=40),
    ),
)


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    points = sorted(point % (len(stream) + 1) for point in cuts)
    return [stream[start:end] for start, end in zip([0, *points], [*points, len(stream)], strict=True)]


@UNTIMED
@given(messages=st.lists(MESSAGES, max_size=6), cuts=st.lists(uint(16), max_size=8))
def test_a_stream_of_messages_comes_apart_as_it_was_put_together(messages: list[bytes], cuts: list[int]) -> None:
    framer = StunFramer()
    assert [message for part in cut(b"".join(messages), cuts) for message in framer.feed(part)] == messages


@UNTIMED
@given(payloads=st.lists(st.binary(min_size=1), max_size=6), cuts=st.lists(uint(16), max_size=8))
def test_a_stream_of_frames_comes_apart_as_it_was_put_together(payloads: list[bytes], cuts: list[int]) -> None:
    framer = Rfc4571Framer()
    stream = b"".join(map(frame_rfc4571, payloads))
    assert [payload for part in cut(stream, cuts) for payload in framer.feed(part)] == payloads
