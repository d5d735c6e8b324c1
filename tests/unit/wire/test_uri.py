"""Server URIs: RFC 7064, RFC 7065, and errors that tell a person what to write instead."""

from __future__ import annotations

from typing import Literal

import pytest

from icepath.errors import DecodeError, DecodeReason
from icepath.machine import Transport
from icepath.wire.uri import MAX_URI_LENGTH, ServerUri, parse_server_uri


def refusal(text: str) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        parse_server_uri(text)
    assert caught.value.reason is DecodeReason.BAD_URI
    return caught.value


@pytest.mark.rfc("7064", "3.1")
@pytest.mark.rfc("7065", "3.1")
@pytest.mark.parametrize(
    ("text", "scheme", "secure", "host", "port", "transport"),
    [
        ("stun:example.org", "stun", False, "example.org", None, None),
        ("stuns:example.org", "stun", True, "example.org", None, None),
        ("stun:example.org:8000", "stun", False, "example.org", 8000, None),
        ("turn:192.0.2.1:3478?transport=udp", "turn", False, "192.0.2.1", 3478, Transport.UDP),
        ("turns:example.org?transport=tcp", "turn", True, "example.org", None, Transport.TCP),
        ("turn:[2001:db8::1]", "turn", False, "2001:db8::1", None, None),
        ("turns:[2001:db8::1]:443?transport=tcp", "turn", True, "2001:db8::1", 443, Transport.TCP),
        (
            "stun:global.stun.example.com:3478?transport=udp",
            "stun",
            False,
            "global.stun.example.com",
            3478,
            Transport.UDP,
        ),
        ("stun:Host_1.example.", "stun", False, "Host_1.example.", None, None),
        ("stun:1.2.3.4.example", "stun", False, "1.2.3.4.example", None, None),
        ("stun:example.org:65535", "stun", False, "example.org", 65535, None),
    ],
)
def test_uris_round_trip(
    text: str, scheme: Literal["stun", "turn"], secure: bool, host: str, port: int | None, transport: Transport | None
) -> None:
    uri = parse_server_uri(text)
    assert uri == ServerUri(scheme, secure, host, port, transport)
    assert str(uri) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("STUNS:example.org", "stuns:example.org"),
        ("turn:example.org?TRANSPORT=TCP", "turn:example.org?transport=tcp"),
        ("turn:[2001:DB8:0:0::1]", "turn:[2001:db8::1]"),
        ("turn:[::ffff:192.0.2.1]:5", "turn:192.0.2.1:5"),
        ("stun:example.org:", "stun:example.org"),
        ("stun:[::1]:", "stun:[::1]"),
    ],
)
def test_other_spellings_are_made_canonical(text: str, written: str) -> None:
    assert str(parse_server_uri(text)) == written


@pytest.mark.rfc("7064", "3.2")
@pytest.mark.rfc("7065", "3.2")
@pytest.mark.parametrize(("scheme", "port"), [("stun", 3478), ("turn", 3478), ("stuns", 5349), ("turns", 5349)])
def test_default_ports(scheme: str, port: int) -> None:
    assert parse_server_uri(f"{scheme}:example.org").default_port == port


@pytest.mark.parametrize(
    ("text", "detail", "offset"),
    [
        ("example.org", "no scheme stun:, stuns:, turn: or turns: at character 0; allowed: stun:HOST[:PORT]", 0),
        ("example.org:3478", "no scheme stun:, stuns:, turn: or turns:", 0),
        ("192.0.2.1:3478", "no scheme", 0),
        ("stun", "no scheme", 0),
        ("", "no scheme", 0),
        ("https://example.org", "no scheme", 0),
        ("stun://example.org", '"//" at character 5; allowed: the host right after "stun:"', 5),
        ("turn:", "no host at character 5", 5),
        ("turn::3478", "no host at character 5", 5),
        ("turn:?transport=udp", "no host at character 5", 5),
        ("stun:2001:db8::1", "more than one colon at character 5; allowed: HOST:PORT, an IPv6 address in brackets", 5),
        ("stun:[2001:db8::1", "an unfinished IPv6 literal at character 5", 5),
        ("stun:[::1]3478", "an unfinished IPv6 literal at character 5", 5),
        ("stun:[192.0.2.1]", "'192.0.2.1' at character 6; allowed: an IPv6 address without a zone", 6),
        ("stun:[fe80::1%25eth0]", "'fe80::1%25eth0' at character 6; allowed: an IPv6 address without a zone", 6),
        ("stun:[::g]", "'::g' at character 6", 6),
        ("stun:192.0.2.256", "'192.0.2.256' at character 5; allowed: an IPv4 address or a name", 5),
        ("stun:192.0.2", "'192.0.2' at character 5", 5),
        ("stun:a/b", "'/' in the host at character 6", 6),
        ("stun:exa%6dple.org", "'%' in the host at character 8", 8),
        ("stun:a..b", "a host name out of range at character 5", 5),
        (f"stun:{'a' * 64}.org", "a host name out of range at character 5", 5),
        (f"stun:{'a.' * 127}org", "a host name out of range at character 5", 5),
        ("stun:a:0", "port out of range at character 7; allowed: 1 to 65535", 7),
        ("stun:a:65536", "port out of range at character 7", 7),
        ("stun:a:000001", "port out of range at character 7", 7),
        ("stun:a:+1", "port out of range at character 7", 7),
        ("stun:[::1]:x", "port out of range at character 11", 11),
        ("turn:a?transport=sctp", 'an unknown query at character 6; allowed: "?transport=udp" or "?transport=tcp"', 6),
        ("turn:a?", "an unknown query at character 6", 6),
        ("turn:a b", "' ' at character 6; allowed: printable ASCII", 6),
        ("turn:bücher.example", "'ü' at character 6", 6),
        ("stun:" + "a" * MAX_URI_LENGTH, f"allowed: at most {MAX_URI_LENGTH}", MAX_URI_LENGTH),
    ],
)
def test_refusals_say_what_where_and_what_is_allowed(text: str, detail: str, offset: int) -> None:
    error = refusal(text)
    assert detail in str(error)
    assert error.offset == offset


@pytest.mark.parametrize(
    "text",
    [
        "turn:demo:s3cret@example.org",
        "turn:s3cret@[::1]:3478",
        "s3cret@example.org",
        "turn://demo:s3cret@example.org:3478?transport=udp",
        "turn:example.org?username=demo&password=s3cret",
        "turn:example.org?transport=udp&credential=s3cret",
    ],
)
def test_no_refusal_repeats_a_password(text: str) -> None:
    error = refusal(text)
    assert "s3cret" not in str(error)
    assert "s3cret" not in repr(error)
    assert error.__cause__ is None
    if "@" in text:
        assert "no user or password in the URI: give them beside it" in str(error)
