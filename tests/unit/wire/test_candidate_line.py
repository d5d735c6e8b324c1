"""Candidate lines: every field of RFC 8839 §5.1 and RFC 6544 §4.5, and lines as deployed peers write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from icepath.errors import DecodeError, DecodeReason, InvalidState
from icepath.machine import Transport
from icepath.net import Address
from icepath.wire.candidate_line import (
    MAX_LINE_LENGTH,
    Candidate,
    CandidateType,
    Foundation,
    TcpType,
    format_candidate,
    parse_candidate,
)

VECTORS = Path(__file__).parents[2] / "vectors" / "candidate_lines.txt"

HOST = "candidate:1 1 UDP 2130706431 192.0.2.1 5000 typ host"
FIELDS = HOST.removeprefix("candidate:").split(" ")


def vector_lines() -> list[str]:
    lines: list[str] = []
    is_wanted = False
    for line in VECTORS.read_text().splitlines():
        if line.startswith("== "):
            is_wanted = line.startswith("== lines ")
        elif is_wanted:
            lines.append(line)
    return lines


def with_field(index: int, text: str) -> str:
    return " ".join([*FIELDS[:index], text, *FIELDS[index + 1 :]])


def refusal(line: str) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        parse_candidate(line)
    assert caught.value.reason is DecodeReason.BAD_CANDIDATE_LINE
    return caught.value


# -- what is read -------------------------------------------------------------------------------------


@pytest.mark.rfc("8839", "5.1")
def test_every_field_is_read() -> None:
    line = "a=candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998"
    assert parse_candidate(line) == Candidate(
        foundation=Foundation("2"),
        component=1,
        transport=Transport.UDP,
        priority=1694498815,
        host="192.0.2.3",
        port=45664,
        type=CandidateType.SERVER_REFLEXIVE,
        related_address=Address("203.0.113.141", 8998),
    )


@pytest.mark.rfc("6544", "4.5")
@pytest.mark.parametrize("tcp_type", TcpType)
def test_tcp_candidates_say_who_connects(tcp_type: TcpType) -> None:
    candidate = parse_candidate(f"candidate:1 1 TCP 2128609279 10.0.1.1 9 typ host tcptype {tcp_type.value}")
    assert (candidate.transport, candidate.tcp_type) == (Transport.TCP, tcp_type)


@pytest.mark.rfc("8839", "5.1")
def test_unknown_extensions_are_kept_in_order_and_ufrag_is_typed() -> None:
    candidate = parse_candidate(f"{HOST} generation 0 ufrag riE1 network-id 1 network-cost 999")
    assert candidate.ufrag == "riE1"
    assert candidate.extensions == (("generation", "0"), ("network-id", "1"), ("network-cost", "999"))
    assert str(candidate) == f"{HOST} ufrag riE1 generation 0 network-id 1 network-cost 999"


@pytest.mark.rfc("8839", "5.1")
def test_an_extension_value_may_be_empty() -> None:
    assert parse_candidate(f"{HOST} first  second 2").extensions == (("first", ""), ("second", "2"))
    assert parse_candidate(f"{HOST} last").extensions == (("last", ""),)


def test_the_first_of_a_repeated_typed_extension_counts() -> None:
    assert parse_candidate(f"{HOST} ufrag aaaa ufrag bbbb").ufrag == "aaaa"


def test_tcptype_on_udp_is_an_extension_without_meaning() -> None:
    candidate = parse_candidate(f"{HOST} tcptype active")
    assert candidate.tcp_type is None
    assert candidate.extensions == (("tcptype", "active"),)


@pytest.mark.parametrize("line", vector_lines())
def test_lines_of_deployed_peers(line: str) -> None:
    candidate = parse_candidate(line)
    assert parse_candidate(str(candidate)) == candidate or candidate.related_address is None
    bare = line.removeprefix("a=").removeprefix("candidate:").lower()
    if "%" not in bare and "ffff:" not in bare:
        assert set(bare.split(" ")) <= set(str(candidate).removeprefix("candidate:").lower().split(" "))


@pytest.mark.parametrize(
    "line",
    [
        f"a={HOST}",
        f"A={HOST}\r\n",
        HOST.removeprefix("candidate:"),
        f"  {HOST}  ",
        HOST.replace(" ", "  "),
        HOST.lower(),
        HOST.upper(),
    ],
)
def test_prefixes_case_and_spare_spaces(line: str) -> None:
    assert parse_candidate(line) == parse_candidate(HOST)


@pytest.mark.parametrize(
    ("text", "host", "is_name"),
    [
        ("192.0.2.1", "192.0.2.1", False),
        ("2001:DB8:0::1", "2001:db8::1", False),
        ("fe80::1%eth0", "fe80::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", False),
        ("0B2A.local", "0b2a.local", True),
        ("host.example.org.", "host.example.org.", True),
    ],
)
def test_hosts(text: str, host: str, is_name: bool) -> None:
    candidate = parse_candidate(with_field(4, text))
    assert (candidate.host, candidate.is_name) == (host, is_name)
    if is_name:
        with pytest.raises(InvalidState, match="resolve it first"):
            _ = candidate.address
    else:
        assert candidate.address == Address(host, 5000)


@pytest.mark.parametrize(
    ("tail", "related"),
    [
        ("raddr 0.0.0.0 rport 0", Address("0.0.0.0", 0)),
        ("raddr :: rport 9", Address("::", 9)),
        ("rport 9 generation 0 raddr fe80::1%2", Address("fe80::1", 9)),
        ("raddr 0b2a.local rport 9", None),
        ("raddr 192.0.2.1", None),
        ("rport 9", None),
    ],
)
def test_related_addresses(tail: str, related: Address | None) -> None:
    assert parse_candidate(f"{with_field(7, 'srflx')} {tail}").related_address == related


def test_the_smallest_and_the_greatest_numbers() -> None:
    low = parse_candidate("a 1 udp 1 192.0.2.1 0 typ host")
    high = parse_candidate(f"{'a' * 32} 256 udp 2147483647 192.0.2.1 65535 typ host")
    assert (low.component, low.priority, low.port) == (1, 1, 0)
    assert (high.component, high.priority, high.port, len(high.foundation)) == (256, 2147483647, 65535, 32)


# -- what is refused ----------------------------------------------------------------------------------


@pytest.mark.rfc("8839", "5.1")
@pytest.mark.parametrize(
    ("line", "detail", "offset"),
    [
        ("", "candidate line at character 0: ends after 0 fields, expected foundation component", 0),
        ("candidate:1 1 UDP 5", "ends after 4 fields", 19),
        (with_field(0, "a" * 33), "foundation at character 0", 0),
        (with_field(0, "a.b"), "foundation at character 0: 'a.b', expected 1 to 32 of A-Z a-z 0-9 + /", 0),
        (with_field(1, "0"), "component at character 2: '0', expected 1 to 256", 2),
        (with_field(1, "257"), "component at character 2: '257', expected 1 to 256", 2),
        (with_field(1, "-1"), "component at character 2: '-1', expected 1 to 256", 2),
        (f"a=candidate:{with_field(2, 'SCTP')}", "transport at character 16: 'SCTP', expected UDP or TCP", 16),
        (with_field(3, "0"), "priority at character 8: '0', expected 1 to 2147483647", 8),
        (with_field(3, "2147483648"), "priority at character 8: '2147483648'", 8),
        (with_field(3, "00000000001"), "priority at character 8: '00000000001'", 8),
        (with_field(4, "192.0.2.256"), "address at character 19: '192.0.2.256', expected an IP address or a name", 19),
        (with_field(4, "192.0.2"), "address at character 19", 19),
        (with_field(4, "::g"), "address at character 19", 19),
        (with_field(4, "a..local"), "address at character 19", 19),
        (with_field(4, "a_b!.local"), "address at character 19", 19),
        (with_field(4, "a" * 254), "address at character 19", 19),
        (with_field(4, "%eth0"), "address at character 19", 19),
        (with_field(5, "65536"), "port at character 29: '65536', expected 0 to 65535", 29),
        (with_field(6, "type"), "keyword at character 34: 'type', expected \"typ\"", 34),
        (with_field(7, "token"), "candidate type at character 38: 'token', expected host, srflx, prflx, relay", 38),
        (with_field(2, "TCP"), "tcptype at character 42: none, expected active, passive, so", 42),
        (f"{with_field(2, 'TCP')} tcptype any", "tcptype at character 43: 'any'", 43),
        (f"{with_field(7, 'srflx')} raddr 300.1.1.1 rport 9", "raddr at character 44: '300.1.1.1'", 44),
        (f"{with_field(7, 'srflx')} raddr 192.0.2.1 rport x", "rport at character 60: 'x', expected 0 to 65535", 60),
        (f"{HOST} ufrag abc", "ufrag at character 53: 'abc', expected ufrag has 3 characters, allowed are 4", 53),
        (HOST.replace(" ", "\t"), "candidate line at character 11: '\\t', expected printable ASCII", 11),
        (HOST.replace("1", "１", 1), "candidate line at character 10", 10),
        (HOST + " " * MAX_LINE_LENGTH, f"expected at most {MAX_LINE_LENGTH}", MAX_LINE_LENGTH),
    ],
)
def test_refusals_say_what_where_and_what_is_allowed(line: str, detail: str, offset: int) -> None:
    error = refusal(line)
    assert detail in str(error)
    assert error.offset == offset


def test_refusals_stay_short_whatever_they_quote() -> None:
    for index in range(8):
        assert len(str(refusal(with_field(index, "!" * 800)))) < 200


# -- what is written ----------------------------------------------------------------------------------


@pytest.mark.rfc("8839", "5.1")
@pytest.mark.parametrize(
    ("host", "withheld"), [("192.0.2.1", "0.0.0.0"), ("2001:db8::1", "::"), ("a.local", "0.0.0.0")]
)
def test_a_related_address_that_is_not_told_is_written_as_unspecified(host: str, withheld: str) -> None:
    candidate = Candidate(Foundation("1"), 1, Transport.UDP, 5, host, 5000, CandidateType.RELAYED)
    assert format_candidate(candidate) == f"candidate:1 1 UDP 5 {host} 5000 typ relay raddr {withheld} rport 9"


def test_everything_is_written() -> None:
    candidate = Candidate(
        Foundation("f"),
        2,
        Transport.TCP,
        7,
        "2001:db8::1",
        9,
        CandidateType.PEER_REFLEXIVE,
        Address("2001:db8::2", 9),
        TcpType.ACTIVE,
        "abcd",
        (("generation", "0"),),
        "stun:example.org",
    )
    line = (
        "candidate:f 2 TCP 7 2001:db8::1 9 typ prflx raddr 2001:db8::2 rport 9 tcptype active ufrag abcd generation 0"
    )
    assert str(candidate) == line
    assert Candidate.parse(line) == candidate
    assert Candidate.parse(line).url is None
