"""What other implementations put on the wire decodes, verifies, and is encoded again byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from icepath.entropy import Secret
from icepath.errors import DecodeError, DecodeReason
from icepath.wire.attributes import MessageIntegrity, MessageIntegritySha256
from icepath.wire.integrity import IntegrityKey, long_term_key, short_term_key
from icepath.wire.message import TransactionId, decode_message, encode_message, looks_like_stun, verify

VECTORS = Path(__file__).parents[2] / "vectors" / "packets.txt"
# 0xC057 is libwebrtc's NETWORK-INFO: comprehension-optional, and nobody's standard.
NETWORK_INFO = 0xC057


def packets() -> list[tuple[str, str, bytes]]:
    """Returns origin, key and bytes of each."""
    found: list[tuple[str, str, bytes]] = []
    origin = ""
    for line in VECTORS.read_text(encoding="ascii").splitlines():
        if line.startswith("== "):
            origin = line[3:]
        elif not line.startswith("#"):
            key, _, data = line.partition("\t")
            found.append((origin, key, bytes.fromhex(data)))
    return found


def key_of(text: str) -> IntegrityKey | None:
    kind, _, rest = text.partition(" ")
    if kind == "short":
        return short_term_key(Secret(rest))
    if kind == "long":
        user, realm, password = rest.split(":")
        return long_term_key(user, realm, Secret(password))
    return None


def test_there_are_some_of_each_implementation() -> None:
    origins = {origin for origin, _, _ in packets()}
    assert len(origins) >= 8
    assert any("Chromium" in origin for origin in origins)
    assert any("Firefox" in origin for origin in origins)


@pytest.mark.parametrize(("origin", "text", "data"), packets())
def test_it_is_understood_and_authentic(origin: str, text: str, data: bytes) -> None:
    assert looks_like_stun(data)
    message = decode_message(data)
    assert message.unknown_required == ()
    assert {attribute.type for attribute in message.unknown} <= (
        {NETWORK_INFO} if "webrtc" in origin or "Chromium" in origin else set()
    )
    key = key_of(text)
    assert message.has_integrity is (key is not None)
    if key is None:
        return
    assert verify(message, key).message is message
    with pytest.raises(DecodeError) as refused:
        verify(message, short_term_key(Secret("another+password+of+22+c")))
    assert refused.value.reason is DecodeReason.INTEGRITY_MISMATCH


@pytest.mark.parametrize(("origin", "text", "data"), packets())
def test_it_is_encoded_again_byte_for_byte(origin: str, text: str, data: bytes) -> None:
    message = decode_message(data)
    if message.unknown:
        assert origin.startswith(("libwebrtc", "Chromium"))
        return
    kept = [each for each in message.attributes if not isinstance(each, (MessageIntegrity, MessageIntegritySha256))]
    again = encode_message(
        message.method,
        message.message_class,
        TransactionId(message.transaction_id),
        [each for each in kept if type(each).__name__ != "Fingerprint"],
        key=key_of(text),
        fingerprint=message.has_fingerprint,
    )
    # libnice fills what is left of a word with spaces; what is signed differs with them.
    if not origin.startswith("libnice"):
        assert again == data
    assert len(again) == len(data)
    assert decode_message(again).attributes[: len(kept) - 1] == message.attributes[: len(kept) - 1]
