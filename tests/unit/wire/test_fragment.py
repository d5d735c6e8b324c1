from icepath.entropy import Secret
from icepath.net import Address
from icepath.wire.candidate_line import Candidate, parse_candidate
from icepath.wire.fragment import Description, parse_trickle
from icepath.wire.uri import parse_server_uri

HOST = "candidate:1 1 UDP 2130706431 192.0.2.1 5000 typ host"
SRFLX = "candidate:2 1 UDP 1694498815 203.0.113.7 6000 typ srflx raddr 192.0.2.1 rport 5000"
ACTIVE = "candidate:3 1 TCP 2105458943 2001:db8::1 9 typ host tcptype active"
NAME = "candidate:4 1 UDP 2130706431 0b2a.local 5000 typ host"


def described(*lines: str) -> Description:
    return Description("abcd1234", Secret("p" * 24), tuple(map(parse_candidate, lines)), mid="0", pacing=20)


def test_a_fragment_round_trips() -> None:
    description = described(HOST, SRFLX, ACTIVE, NAME)
    assert Description.parse(str(description)) == description


def test_a_token_round_trips() -> None:
    description = described(HOST, ACTIVE, NAME)
    token = description.token()
    assert token.startswith("ice1:")
    assert Description.parse(token) == description


def test_trickle() -> None:
    trickle = parse_trickle(f"a=ice-ufrag:abcd1234\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na={HOST}\r\n")
    assert trickle.ufrag == trickle.candidates[0].ufrag == "abcd1234"
    assert trickle.candidates[0].address == Address("192.0.2.1", 5000)


def test_uri() -> None:
    assert str(parse_server_uri("turns:[2001:DB8::1]:443?transport=tcp")) == "turns:[2001:db8::1]:443?transport=tcp"
    assert Candidate.parse(HOST).url is None
