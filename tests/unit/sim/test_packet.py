"""icepath.sim.packet: packets, ICMP errors about them, captures."""

from __future__ import annotations

import pytest

from icepath.machine import Transport
from icepath.net import Address
from icepath.sim.clock import Clock
from icepath.sim.packet import (
    IcmpError,
    Loss,
    Medium,
    Packet,
    PacketRecord,
    Segment,
    Unreachability,
    Verdict,
    icmp_error,
    icmp_numbers,
    reset,
)

A4, B4 = Address("11.0.0.1", 1000), Address("11.0.0.2", 2000)
A6, B6 = Address("2b00::1", 1000), Address("2b00::2", 2000)


@pytest.mark.parametrize(("source", "destination", "size"), [(A4, B4, 128), (A6, B6, 148)])
def test_size_counts_the_headers(source: Address, destination: Address, size: int) -> None:
    assert Packet(source, destination, bytes(100)).size == size


def test_a_copy_is_another_packet() -> None:
    packet = Packet(A4, B4, b"x", dont_fragment=True)
    copy = packet.copy()
    copy.source = B4
    assert packet.source == A4
    assert (copy.destination, copy.payload, copy.dont_fragment) == (B4, b"x", True)


def test_repr_shows_where_it_goes_but_not_the_payload() -> None:
    packet = Packet(A4, B4, b"secret")
    assert repr(packet) == "Packet(11.0.0.1:1000 -> 11.0.0.2:2000, 6 bytes)"
    error = icmp_error(packet, Unreachability.PORT)
    assert "icmp_type=3" in repr(error)


@pytest.mark.rfc("5508", "4")
@pytest.mark.parametrize(
    ("what", "ipv4", "ipv6"),
    [
        (Unreachability.PORT, (3, 3), (1, 4)),
        (Unreachability.PROHIBITED, (3, 13), (1, 1)),
        (Unreachability.TOO_BIG, (3, 4), (2, 0)),
    ],
)
def test_an_error_goes_to_the_source_and_tells_what_it_is_about(
    what: Unreachability, ipv4: tuple[int, int], ipv6: tuple[int, int]
) -> None:
    for source, destination, numbers in ((A4, B4, ipv4), (A6, B6, ipv6)):
        error = icmp_error(Packet(source, destination, b"x"), what, mtu=1280)
        assert error.destination == source
        assert error.error == IcmpError(*numbers, source, destination, 1280)


def test_medium_counts_always_and_reports_to_whoever_listens() -> None:
    medium = Medium(Clock(5.0), seed=1)
    packet = Packet(A4, B4, b"x")
    medium.note("host", packet, Verdict.SENT)
    records: list[PacketRecord] = []
    medium.on_packet(records.append)
    medium.drop("link", packet, Loss.LOST)
    assert records == [PacketRecord(5.0, "link", A4, B4, b"x", Verdict.DROPPED, Loss.LOST)]
    assert medium.counts == {Verdict.SENT: 1, Verdict.DROPPED: 1}
    assert medium.losses == {Loss.LOST: 1}


def test_generators_depend_on_seed_and_name_only() -> None:
    def draw(seed: int, name: str) -> float:
        return Medium(Clock(), seed).rng(name).random()

    assert draw(1, "a") == draw(1, "a")
    assert len({draw(1, "a"), draw(1, "b"), draw(2, "a")}) == 3


# -- TCP ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "destination", "size"), [(A4, B4, 140), (A6, B6, 160)])
def test_a_segment_has_a_longer_header(source: Address, destination: Address, size: int) -> None:
    packet = Packet(source, destination, bytes(100), segment=Segment(5))
    assert packet.size == packet.copy().size == size
    assert "sequence=5" in repr(packet)


@pytest.mark.parametrize(
    ("segment", "opens"), [(Segment(0, syn=True), True), (Segment(0, 1, syn=True), False), (Segment(0, 1), False)]
)
def test_a_bare_syn_opens(segment: Segment, opens: bool) -> None:
    assert segment.opens is opens


def test_an_error_tells_what_kind_of_packet_it_is_about() -> None:
    error = icmp_error(Packet(A4, B4, b"x", segment=Segment(0)), Unreachability.PORT).error
    assert error is not None
    assert error.transport is Transport.TCP
    assert icmp_numbers(Unreachability.PORT, is_ipv6=True) == (1, 4)


@pytest.mark.rfc("9293", "3.10.7.1")
@pytest.mark.parametrize(
    ("segment", "answer"),
    [
        (Segment(7, syn=True), Segment(0, 11, rst=True)),
        (Segment(7, fin=True), Segment(0, 11, rst=True)),
        (Segment(7, 99, syn=True), Segment(99, rst=True)),
    ],
)
def test_a_reset_answers_what_nobody_wants(segment: Segment, answer: Segment) -> None:
    packet = reset(Packet(A4, B4, b"abc", segment=segment), segment)
    assert (packet.source, packet.destination, packet.segment) == (B4, A4, answer)


def test_captures_show_segments() -> None:
    medium = Medium(Clock(5.0), seed=1)
    records: list[PacketRecord] = []
    medium.on_packet(records.append)
    medium.note("host", Packet(A4, B4, b"x", segment=Segment(7)), Verdict.SENT)
    assert records == [PacketRecord(5.0, "host", A4, B4, b"x", Verdict.SENT, segment=Segment(7))]
