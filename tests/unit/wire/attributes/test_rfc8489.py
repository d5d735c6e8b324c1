"""The attributes of RFC 8489: layouts drawn in its section 14, and what is refused."""

from __future__ import annotations

import pytest

from icepath.net import Address
from icepath.wire.attributes import (
    AlternateDomain,
    AlternateServer,
    ErrorCode,
    Fingerprint,
    KnownAttribute,
    MappedAddress,
    MessageIntegrity,
    MessageIntegritySha256,
    Nonce,
    PasswordAlgorithm,
    PasswordAlgorithms,
    Realm,
    Software,
    UnknownAttributes,
    Userhash,
    Username,
    XorMappedAddress,
)
from icepath.wire.integrity import PasswordAlgorithmId
from unit.wire.attributes.layouts import check_layout, check_malformed, check_refused

ADDRESS = Address("192.0.2.1", 32853)


@pytest.mark.rfc("8489", "14")
@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (MappedAddress(ADDRESS), "0001 8055 c0000201"),
        (XorMappedAddress(ADDRESS), "0001 a147 e112a643"),
        (AlternateServer(ADDRESS), "0001 8055 c0000201"),
        (Username("evtj:h6vY"), "6576746a3a68367659"),
        (Username(""), ""),
        (Userhash(bytes(range(32))), bytes(range(32)).hex()),
        (MessageIntegrity(bytes(range(20))), bytes(range(20)).hex()),
        (MessageIntegritySha256(bytes(range(16))), bytes(range(16)).hex()),
        (MessageIntegritySha256(bytes(range(32))), bytes(range(32)).hex()),
        (Fingerprint(0xE57A3BCF), "e57a3bcf"),
        (ErrorCode(420, "Unknown Attribute"), "0000 0414" + b"Unknown Attribute".hex()),
        (ErrorCode(300), "0000 0300"),
        (ErrorCode(699), "0000 0663"),
        (UnknownAttributes(()), ""),
        (UnknownAttributes((0x7FFF, 3)), "7fff0003"),
        (Realm("example.org"), b"example.org".hex()),
        (Nonce(b"obMatJos2\xff"), b"obMatJos2\xff".hex()),
        (PasswordAlgorithm(PasswordAlgorithmId.SHA256), "0002 0000"),
        (PasswordAlgorithm(0xFFFF, b"abcd"), "ffff 0004 61626364"),
        (PasswordAlgorithm(7, b"abc"), "0007 0003 61626300"),
        (PasswordAlgorithms(()), ""),
        (
            PasswordAlgorithms((PasswordAlgorithm(2), PasswordAlgorithm(7, b"a"), PasswordAlgorithm(1))),
            "0002 0000 0007 0001 61000000 0001 0000",
        ),
        (Software("icepath"), b"icepath".hex()),
        (AlternateDomain("turn-2.example.org"), b"turn-2.example.org".hex()),
        (AlternateDomain("xn--eis-xka.example."), b"xn--eis-xka.example.".hex()),
    ],
)
def test_layouts(attribute: KnownAttribute, value: str) -> None:
    check_layout(attribute, value)


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (Username, "ff", "not UTF-8"),
        (Username, "61" * 764, "length 764"),
        (Userhash, "00" * 33, "length 33, expected 32"),
        (MessageIntegrity, "00" * 19, "length 19, expected 20"),
        (MessageIntegritySha256, "00" * 12, "length 12, expected a multiple of 4 from 16 to 32"),
        (MessageIntegritySha256, "00" * 18, "length 18"),
        (MessageIntegritySha256, "00" * 36, "length 36"),
        (Fingerprint, "00" * 5, "length 5, expected 4"),
        (ErrorCode, "000004", "length 3, expected 4 to 767"),
        (ErrorCode, "00000400" + "61" * 764, "length 768"),
        (ErrorCode, "00000200", "class 2 number 0"),
        (ErrorCode, "00000700", "class 7 number 0"),
        (ErrorCode, "00000464", "class 4 number 100"),
        (UnknownAttributes, "000100", "length 3, expected a multiple of 2"),
        (Realm, "ff", "not UTF-8"),
        (Nonce, "61" * 764, "length 764, expected 0 to 763"),
        (PasswordAlgorithm, "", "0 algorithms, expected 1"),
        (PasswordAlgorithm, "0001 0000 0002 0000", "2 algorithms, expected 1"),
        (PasswordAlgorithm, "0001 0001", "parameters of 1 bytes at 0, only 0 are left"),
        (PasswordAlgorithms, "0001 0000 0002", "2 bytes at 4"),
        (PasswordAlgorithms, "0001 0000 0002 ffff 00", "parameters of 65535 bytes at 4, only 1 are left"),
        (AlternateDomain, "", "not a DNS name"),
        (AlternateDomain, "612e2e62", "not a DNS name"),
        (AlternateDomain, "c3bc2e6465", "not a DNS name"),
        (AlternateDomain, "61" * 256, "not a DNS name"),
        (AlternateDomain, "61" * 64, "not a DNS name"),
        (AlternateDomain, "2d61", "not a DNS name"),
        (AlternateDomain, "612d", "not a DNS name"),
    ],
)
def test_malformed_values_are_refused(kind: type[KnownAttribute], value: str, says: str) -> None:
    check_malformed(kind, value, says)


@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        (Username("x" * 509), "509 bytes; allowed are 508 characters, 508 bytes"),
        (Username("\u00fc" * 255), "510 bytes"),
        (MessageIntegrity(bytes(21)), "MESSAGE-INTEGRITY of 21 bytes"),
        (MessageIntegritySha256(bytes(17)), "MESSAGE-INTEGRITY-SHA256 of 17 bytes"),
        (ErrorCode(299), "ERROR-CODE 299 is not in 300 to 699"),
        (ErrorCode(700), "ERROR-CODE 700"),
        (ErrorCode(400, "x" * 128), "reason phrase of 128 characters"),
        (UnknownAttributes((0x10000,)), "attribute type 65536"),
        (UnknownAttributes((1,) * 32768), "32768 attribute types"),
        (Nonce(bytes(764)), "NONCE of 764 bytes"),
        (PasswordAlgorithm(0x10000), "password algorithm 65536"),
        (PasswordAlgorithm(1, bytes(65536)), "parameters of 65536 bytes"),
        (PasswordAlgorithm(1, bytes(65535)), "PASSWORD-ALGORITHM of 65540 bytes"),
        (PasswordAlgorithms((PasswordAlgorithm(1, bytes(40000)),) * 2), "PASSWORD-ALGORITHMS of 80008 bytes"),
        (Software("x" * 128), "SOFTWARE of 128 characters"),
        (AlternateDomain("under_score.example"), "not a DNS name"),
    ],
)
def test_what_may_not_be_sent_is_not_encoded(attribute: KnownAttribute, says: str) -> None:
    check_refused(attribute, says)


@pytest.mark.rfc("8489", "14.3")
def test_a_username_of_508_bytes_is_sent_and_one_of_763_is_read() -> None:
    assert len(Username("x" * 508).encode(b"")) == 508
    assert Username.decode(b"x" * 763, b"") == Username("x" * 763)


@pytest.mark.rfc("8489", "14.8")
def test_reserved_bits_and_broken_phrases_of_an_error_are_tolerated() -> None:
    assert ErrorCode.decode(bytes.fromhex("ffff fc57 61ff"), b"") == ErrorCode(487, "a\ufffd")


@pytest.mark.rfc("8489", "14.11")
@pytest.mark.parametrize("value", ["0007 0003 616263ff", "0007 0003 616263"])
def test_padding_of_parameters_is_ignored_or_missing(value: str) -> None:
    assert PasswordAlgorithm.decode(bytes.fromhex(value), b"") == PasswordAlgorithm(7, b"abc")
    assert PasswordAlgorithms.decode(bytes.fromhex(value), b"").algorithms == (PasswordAlgorithm(7, b"abc"),)


def test_a_nonce_reads_as_text() -> None:
    assert Nonce(b"f//499k\xff").text == "f//499k\ufffd"
