"""The values of single lines: read, written, refused with what was found, what is allowed, and where."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.machine import Transport
from icepath.net import Address
from icepath.sdp.lines import (
    Destination,
    MediaLine,
    RemoteCandidate,
    format_connection,
    format_remote_candidates,
    format_rtcp,
    parse_connection,
    parse_media,
    parse_remote_candidates,
    parse_rtcp,
)

HOST = "192.0.2.1"


def refusal(parse: Callable[[], object]) -> str:
    with pytest.raises(DecodeError) as caught:
        parse()
    assert caught.value.reason is DecodeReason.BAD_SDP
    assert caught.value.offset == 40
    return str(caught.value)


class TestMedia:
    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("audio 49170 RTP/AVP 0 8", MediaLine("audio", 49170, None, "RTP/AVP", "0 8")),
            ("video 49170/2 RTP/AVP 31", MediaLine("video", 49170, 2, "RTP/AVP", "31")),
            (
                "application 9 UDP/DTLS/SCTP webrtc-datachannel",
                MediaLine("application", 9, None, "UDP/DTLS/SCTP", "webrtc-datachannel"),
            ),
        ],
    )
    def test_is_read_and_written(self, text: str, line: MediaLine) -> None:
        assert parse_media(text, 40) == line
        assert str(line) == text

    @pytest.mark.parametrize(
        ("protocol", "transport", "is_rtp"),
        [
            ("RTP/AVP", Transport.UDP, True),
            ("UDP/TLS/RTP/SAVPF", Transport.UDP, True),
            ("tcp/rtp/avp", Transport.TCP, True),
            ("TCP/DTLS/SCTP", Transport.TCP, False),
            ("DTLS/SCTP", Transport.UDP, False),
        ],
    )
    def test_protocol_says_transport_and_whether_rtcp_goes_beside_it(
        self, protocol: str, transport: Transport, is_rtp: bool
    ) -> None:
        line = MediaLine("audio", 9, None, protocol, "0")
        assert (line.transport, line.is_rtp) == (transport, is_rtp)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("audio 49170 RTP/AVP", "expected media, port, protocol, formats"),
            ("audio  49170 RTP/AVP 0", "expected media, port, protocol, formats"),
            ("audio 65536 RTP/AVP 0", "port of the m= line at character 40: '65536', expected 0 to 65535"),
            ("audio ¹ RTP/AVP 0", "expected 0 to 65535"),
            ("audio 5/0 RTP/AVP 0", "number of ports of the m= line at character 40: '0', expected 1 to 65535"),
            ("audio 5/ RTP/AVP 0", "expected 1 to 65535"),
        ],
    )
    def test_refusals(self, text: str, expected: str) -> None:
        assert expected in refusal(lambda: parse_media(text, 40))


class TestConnection:
    @pytest.mark.parametrize(
        ("text", "host"),
        [
            ("IN IP4 192.0.2.1", "192.0.2.1"),
            ("in ip4 192.0.2.1", "192.0.2.1"),
            ("IN IP4 233.252.0.1/127/3", "233.252.0.1"),
            ("IN IP6 2001:DB8:0::1", "2001:db8::1"),
            ("IN IP6 ::ffff:192.0.2.1", "192.0.2.1"),
            ("IN IP4 Media.Example.ORG", "media.example.org"),
        ],
    )
    def test_is_read_as_canonical_text(self, text: str, host: str) -> None:
        assert parse_connection(text, 40) == host

    def test_is_written_with_its_family(self) -> None:
        assert format_connection("192.0.2.1") == "IN IP4 192.0.2.1"
        assert format_connection("2001:db8::1") == "IN IP6 2001:db8::1"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("IN IP4", "expected IN, IP4 or IP6, an address"),
            ("ATM NSAP 47.0091.8100", "c= line at character 40: 'ATM NSAP', expected IN IP4 or IP6"),
            ("IN IP9 192.0.2.1", "'IN IP9', expected IN IP4 or IP6"),
            ("IN IP4 300.0.2.1", "'300.0.2.1', expected an address"),
            ("IN IP4 a_b!", "'a_b!', expected an address or a name"),
            ("IN IP4 /4", "expected an address or a name"),
            (f"IN IP4 {'a' * 254}", "expected an address or a name"),
        ],
    )
    def test_refusals(self, text: str, expected: str) -> None:
        assert expected in refusal(lambda: parse_connection(text, 40))


class TestRtcp:
    @pytest.mark.parametrize(
        ("text", "destination"),
        [
            ("53020", Destination(HOST, 53020)),
            ("53020 IN IP4 126.16.64.4", Destination("126.16.64.4", 53020)),
            ("53020 IN IP6 2001:2345:6789:ABCD::1", Destination("2001:2345:6789:abcd::1", 53020)),
        ],
    )
    def test_is_read(self, text: str, destination: Destination) -> None:
        assert parse_rtcp(text, HOST, 40) == destination

    @pytest.mark.parametrize("text", ["", "5 IN IP4", "99999", "5 IN IP4 x!y"])
    def test_refusals(self, text: str) -> None:
        assert "a=rtcp at character 40" in refusal(lambda: parse_rtcp(text, HOST, 40))

    @pytest.mark.rfc("8839", "4.2.2")
    def test_is_written_only_where_the_default_says_something_else(self) -> None:
        rtp = Destination(HOST, 5000)
        assert format_rtcp(Destination(HOST, 5001), rtp) is None
        assert format_rtcp(Destination(HOST, 5003), rtp) == "rtcp:5003"
        assert format_rtcp(Destination("2001:db8::1", 5001), rtp) == "rtcp:5001 IN IP6 2001:db8::1"


class TestRemoteCandidates:
    def test_are_read_and_written(self) -> None:
        text = "1 192.0.2.3 45664 2 2001:db8::3 45665"
        found = parse_remote_candidates(text, 40)
        assert found == (
            RemoteCandidate(1, Address("192.0.2.3", 45664)),
            RemoteCandidate(2, Address("2001:db8::3", 45665)),
        )
        assert format_remote_candidates(found) == f"remote-candidates:{text}"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "0 fields, expected component, address and port"),
            ("1 192.0.2.3", "2 fields"),
            (" ".join(["1 192.0.2.3 5"] * 257), "771 fields, expected component, address and port, 1 to 256 times"),
            ("0 192.0.2.3 5", "component of a=remote-candidates at character 40: '0', expected 1 to 256"),
            ("1 host.example 5", "'host.example', expected an IP address"),
            ("1 192.0.2.3 -1", "port of a=remote-candidates"),
        ],
    )
    def test_refusals(self, text: str, expected: str) -> None:
        assert expected in refusal(lambda: parse_remote_candidates(text, 40))


class TestDestination:
    @pytest.mark.parametrize(
        ("destination", "is_unspecified"),
        [
            (Destination("0.0.0.0", 9), True),
            (Destination("0.0.0.0", 5000), True),
            (Destination("::", 5000), True),
            (Destination(HOST, 9), True),
            (Destination(HOST, 0), True),
            (Destination(HOST, 5000), False),
            (Destination("host.example", 5000), False),
        ],
    )
    def test_says_whether_it_is_none(self, destination: Destination, is_unspecified: bool) -> None:
        assert destination.is_unspecified is is_unspecified

    def test_is_shown_as_people_write_it(self) -> None:
        assert str(Destination(HOST, 5000)) == "192.0.2.1:5000"
        assert str(Destination("2001:db8::1", 5000)) == "[2001:db8::1]:5000"

    def test_has_an_address_unless_it_is_a_name(self) -> None:
        assert Destination(HOST, 5000).address == Address(HOST, 5000)
        name = Destination("host.example", 5000)
        assert name.is_name
        with pytest.raises(InvalidArgument):
            _ = name.address
