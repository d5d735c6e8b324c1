"""icepath.sim.tcp_tracking: how long gateways remember connections, and whom they let in."""

from __future__ import annotations

import pytest

from icepath.net import Address
from icepath.sim.behaviour import Behaviour
from icepath.sim.packet import Segment
from icepath.sim.tcp_tracking import Connections, TcpTimeouts

REMOTE, NEIGHBOUR, OTHER = Address("11.0.0.1", 100), Address("11.0.0.1", 101), Address("11.0.0.2", 100)
SYN, SYN_ACK, DATA = Segment(0, syn=True), Segment(0, 1, syn=True), Segment(1, 1)
FIN, RST = Segment(1, 1, fin=True), Segment(1, 1, rst=True)
TIMEOUTS = TcpTimeouts(established=1000.0, transitory=10.0)


def _connections(*segments: tuple[Segment, bool]) -> Connections:
    connections = Connections(TIMEOUTS)
    for segment, inbound in segments:
        connections.track(REMOTE, segment, 0.0, inbound=inbound)
    return connections


@pytest.mark.rfc("5382", "5")
@pytest.mark.rfc("7857", "2")
@pytest.mark.parametrize(
    ("segments", "is_long"),
    [
        ([(SYN, False)], False),
        ([(SYN, False), (SYN_ACK, True)], True),
        ([(SYN, False), (SYN, True)], True),
        ([(SYN, True), (SYN_ACK, False)], True),
        ([(SYN, False), (SYN_ACK, True), (FIN, False)], True),
        ([(SYN, False), (SYN_ACK, True), (FIN, False), (DATA, True)], True),
        ([(SYN, False), (SYN_ACK, True), (FIN, False), (FIN, True)], False),
        ([(SYN, False), (SYN_ACK, True), (FIN, False), (FIN, True), (DATA, False)], False),
        ([(SYN, False), (SYN_ACK, True), (RST, True)], False),
        ([(SYN, False), (SYN_ACK, True), (RST, True), (DATA, False)], True),
        ([(SYN, False), (SYN_ACK, True), (RST, True), (SYN, False)], False),
        ([(SYN, False), (SYN_ACK, True), (RST, True), (SYN, False), (SYN_ACK, True)], True),
    ],
)
def test_only_what_is_established_is_kept_for_long(segments: list[tuple[Segment, bool]], is_long: bool) -> None:
    connections = _connections(*segments)
    assert connections.expires == (1000.0 if is_long else 10.0)
    assert connections.knows(REMOTE, 9.0)
    assert connections.knows(REMOTE, 11.0) is is_long


def test_the_standard_timeouts_are_the_rfc_s() -> None:
    assert TcpTimeouts() == TcpTimeouts(established=2 * 3600 + 4 * 60, transitory=4 * 60)


@pytest.mark.rfc("5382", "4.3")
@pytest.mark.parametrize(
    ("filtering", "admitted"),
    [
        (Behaviour.ENDPOINT_INDEPENDENT, [REMOTE, NEIGHBOUR, OTHER]),
        (Behaviour.ADDRESS_DEPENDENT, [REMOTE, NEIGHBOUR]),
        (Behaviour.ADDRESS_AND_PORT_DEPENDENT, [REMOTE]),
    ],
)
def test_the_filter_says_who_may_open(filtering: Behaviour, admitted: list[Address]) -> None:
    connections = _connections((SYN, False))
    remotes = [REMOTE, NEIGHBOUR, OTHER]
    assert [remote for remote in remotes if connections.admits(filtering, remote, SYN, 5.0)] == admitted
    assert [remote for remote in remotes if connections.admits(filtering, remote, DATA, 5.0)] == [REMOTE]
    assert not any(connections.admits(filtering, remote, SYN, 10.0) for remote in remotes)


def test_connections_are_forgotten_each_for_itself() -> None:
    connections = _connections((SYN, False))
    connections.track(OTHER, SYN, 6.0, inbound=False)
    assert connections.expires == 16.0
    assert not connections.knows(REMOTE, 12.0)
    connections.track(NEIGHBOUR, SYN, 12.0, inbound=False)
    assert not connections.may_open(Behaviour.ADDRESS_AND_PORT_DEPENDENT, REMOTE, 13.0)
    assert connections.may_open(Behaviour.ADDRESS_AND_PORT_DEPENDENT, OTHER, 13.0)
    assert Connections(TIMEOUTS).expires == 0.0
