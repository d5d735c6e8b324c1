from __future__ import annotations

import pytest

from icepath.net import Address
from icepath.turn.client.events import AllocationFailure, PeerDataReceived, RouteFailed, failure_of
from icepath.turn.client.routes import Route
from unit.turn.scripted import PEER, RELAYED


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (300, AllocationFailure.TRY_ALTERNATE),
        (400, AllocationFailure.BAD_REQUEST),
        (401, AllocationFailure.WRONG_CREDENTIALS),
        (403, AllocationFailure.FORBIDDEN),
        (437, AllocationFailure.MISMATCH),
        (440, AllocationFailure.UNSUPPORTED_FAMILY),
        (441, AllocationFailure.WRONG_CREDENTIALS),
        (442, AllocationFailure.UNSUPPORTED_TRANSPORT),
        (443, AllocationFailure.UNSUPPORTED_FAMILY),
        (405, AllocationFailure.FORBIDDEN),
        (446, AllocationFailure.PEER_CONNECTED),
        (447, AllocationFailure.PEER_UNREACHABLE),
        (486, AllocationFailure.QUOTA),
        (508, AllocationFailure.CAPACITY),
        (500, AllocationFailure.REFUSED),
        (699, AllocationFailure.REFUSED),
    ],
)
@pytest.mark.rfc("8656", "7.4")
def test_each_code_has_its_meaning(code: int, failure: AllocationFailure) -> None:
    assert failure_of(code) is failure


def test_peer_data_is_a_value() -> None:
    one = PeerDataReceived(RELAYED, PEER, b"data")
    assert one == PeerDataReceived(RELAYED, PEER, b"data")
    assert hash(one) == hash(PeerDataReceived(RELAYED, PEER, b"data"))
    other = Address("203.0.113.51", 1)
    for different in (
        PeerDataReceived(other, PEER, b"data"),
        PeerDataReceived(RELAYED, other, b"data"),
        PeerDataReceived(RELAYED, PEER, b"date"),
        "data",
    ):
        assert one != different


def test_repr_shows_no_payload() -> None:
    assert repr(PeerDataReceived(RELAYED, PEER, b"data")) == (
        "PeerDataReceived(203.0.113.50:7000 -> 198.51.100.1:49200, 4 bytes)"
    )


def test_a_failed_route_reads_as_people_say_it() -> None:
    route = Route(Address("198.51.100.1", 3478))
    assert str(RouteFailed(route, AllocationFailure.NO_ANSWER, "")) == "udp 198.51.100.1:3478: no-answer"
    assert str(RouteFailed(route, AllocationFailure.UNREACHABLE, "ICMP")) == "udp 198.51.100.1:3478: ICMP"
