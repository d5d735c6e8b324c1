"""icepath.sim.link: each impairment, and that links do not share luck."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from icepath.errors import InvalidArgument
from icepath.net import Address
from icepath.sim.clock import Clock
from icepath.sim.link import Link, LinkConfig
from icepath.sim.packet import Loss, Medium, Packet

A, B = Address("11.0.0.1", 1000), Address("11.0.0.2", 2000)
A6, B6 = Address("2b00::1", 1000), Address("2b00::2", 2000)


class End:
    """Is a node or a network: remembers what comes."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self.got: list[tuple[float, Packet]] = []

    def receive(self, packet: Packet, link: Link) -> None:
        self.got.append((self._clock.now, packet))

    def forward(self, packet: Packet, origin: Link | None) -> None:
        self.got.append((self._clock.now, packet))

    @property
    def numbers(self) -> list[int]:
        return [packet.payload[0] for _, packet in self.got]

    @property
    def times(self) -> list[float]:
        return [round(at, 6) for at, _ in self.got]


class Bench:
    """Is one link between a node and a network."""

    def __init__(self, up: LinkConfig, *, down: LinkConfig | None = None, seed: int = 1, inline: bool = True) -> None:
        self.clock = Clock()
        self.medium = Medium(self.clock, seed)
        self.node = End("node", self.clock)
        self.network = End("network", self.clock)
        self.link = Link(self.medium, self.node, self.network, up=up, down=down or LinkConfig(), inline=inline)

    def send(self, count: int = 1, *, size: int = 100, dont_fragment: bool = False) -> None:
        for number in range(count):
            self.link.up.transmit(Packet(A, B, bytes([number % 256]) + bytes(size - 29), dont_fragment))

    def run(self, until: float = 1000.0) -> End:
        self.clock.run_to(until)
        return self.network


def test_an_ideal_link_passes_packets_within_the_call() -> None:
    bench = Bench(LinkConfig())
    bench.send()
    assert bench.network.times == [0.0]


def test_a_link_that_is_not_inline_never_calls_its_node_within_the_sender() -> None:
    bench = Bench(LinkConfig(), inline=False)
    bench.link.down.transmit(Packet(B, A, b"x"))
    assert bench.node.got == []
    bench.run(0.0)
    assert bench.node.times == [0.0]


def test_delay_in_each_direction() -> None:
    bench = Bench(LinkConfig(delay=0.025), down=LinkConfig(delay=0.5))
    bench.send(2)
    bench.link.down.transmit(Packet(B, A, b"x"))
    assert bench.run().times == [0.025, 0.025]
    assert bench.network.numbers == [0, 1]
    assert bench.node.times == [0.5]


def test_jitter_spreads_but_keeps_the_order() -> None:
    bench = Bench(LinkConfig(delay=0.01, jitter=0.02))
    bench.send(100)
    network = bench.run()
    assert network.numbers == list(range(100))
    assert network.times == sorted(network.times)
    assert 0.01 <= network.times[0] < network.times[-1] <= 0.03


def test_loss_takes_its_share_and_is_counted() -> None:
    bench = Bench(LinkConfig(loss=0.2))
    bench.send(1000)
    arrived = len(bench.run().got)
    assert 740 < arrived < 860
    assert bench.medium.losses == {Loss.LOST: 1000 - arrived}


def test_all_or_nothing_is_lost_at_the_extremes() -> None:
    bench = Bench(LinkConfig(loss=1.0))
    bench.send(50)
    assert bench.run().got == []


def test_duplicates_are_packets_of_their_own() -> None:
    bench = Bench(LinkConfig(duplicate=0.3))
    bench.send(200)
    got = [packet for _, packet in bench.run().got]
    assert 230 < len(got) < 290
    assert len({id(packet) for packet in got}) == len(got)


def test_reordered_packets_are_overtaken() -> None:
    bench = Bench(LinkConfig(delay=0.01, reorder=0.1, reorder_delay=0.005))
    for number in range(200):
        bench.clock.schedule(number * 0.001, bench.link.up.transmit, Packet(A, B, bytes([number])))
    numbers = bench.run().numbers
    assert sorted(numbers) == list(range(200))
    overtaken = sum(1 for before, after in pairwise(numbers) if after < before)
    assert 10 <= overtaken <= 30
    held = [at for (at, packet) in bench.network.got if round(at - packet.payload[0] * 0.001, 6) == 0.015]
    assert 10 <= len(held) <= 30


def test_rate_spaces_packets_and_the_queue_drops_the_newest() -> None:
    bench = Bench(LinkConfig(delay=0.1, rate=1000.0, queue=300))
    bench.send(5)
    assert bench.run().times == [0.2, 0.3, 0.4]
    assert bench.network.numbers == [0, 1, 2]
    assert bench.medium.losses == {Loss.QUEUE_FULL: 2}
    bench.send(1)
    bench.run(2000.0)
    assert bench.network.times[-1] == 1000.2


@pytest.mark.rfc("4787", "10")
def test_a_packet_above_the_mtu_that_may_not_be_fragmented_comes_back_as_an_error() -> None:
    bench = Bench(LinkConfig(mtu=576))
    bench.send(size=576, dont_fragment=True)
    bench.send(size=577, dont_fragment=True)
    assert bench.node.got == []
    assert len(bench.run().got) == 1
    assert bench.medium.losses == {Loss.TOO_BIG: 1}
    ((_, error),) = bench.node.got
    assert error.error is not None
    assert (error.error.icmp_type, error.error.icmp_code, error.error.mtu) == (3, 4, 576)
    assert (error.error.source, error.error.destination) == (A, B)


def test_an_error_from_the_downward_pipe_goes_into_the_network() -> None:
    bench = Bench(LinkConfig(), down=LinkConfig(mtu=576))
    bench.link.down.transmit(Packet(B, A, bytes(600), dont_fragment=True))
    bench.run()
    ((_, error),) = bench.network.got
    assert error.destination == B
    assert bench.node.got == []


def test_a_black_hole_stays_silent() -> None:
    bench = Bench(LinkConfig(mtu=576, reports_too_big=False))
    bench.send(size=600, dont_fragment=True)
    assert bench.run().got == []
    assert bench.node.got == []
    assert bench.medium.losses == {Loss.TOO_BIG: 1}


@pytest.mark.parametrize(("source", "destination", "header"), [(A, B, 20), (A6, B6, 40)])
def test_fragments_pass_and_any_lost_one_loses_all(source: Address, destination: Address, header: int) -> None:
    # 4 fragments: of (mtu - header), cut at multiples of 8, the UDP header in the first.
    mtu = header + 8 * 40
    payload = bytes(3 * 320 + 10)
    bench = Bench(LinkConfig(mtu=mtu, loss=0.1))
    for _ in range(1000):
        bench.link.up.transmit(Packet(source, destination, payload))
    assert 0.9**4 * 1000 - 50 < len(bench.run().got) < 0.9**4 * 1000 + 50


def test_config_may_change_at_any_time() -> None:
    bench = Bench(LinkConfig())
    assert bench.link.up.config.is_plain
    bench.link.up.config = LinkConfig(loss=1.0)
    bench.send()
    bench.link.up.config = LinkConfig()
    bench.send(2)
    assert bench.run().numbers == [0, 1]


def test_luck_depends_on_the_seed_and_on_nothing_else() -> None:
    def fates(seed: int, *, disturb: bool) -> list[int]:
        bench = Bench(LinkConfig(loss=0.5), down=LinkConfig(loss=0.5), seed=seed)
        for number in range(100):
            bench.link.up.transmit(Packet(A, B, bytes([number])))
            if disturb:
                bench.link.down.transmit(Packet(B, A, b"x"))
        return bench.run().numbers

    assert fates(1, disturb=False) == fates(1, disturb=True)
    assert fates(1, disturb=False) != fates(2, disturb=False)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LinkConfig(loss=1.1), r"loss is 1\.1, allowed are 0 to 1"),
        (lambda: LinkConfig(duplicate=-0.1), "duplicate is"),
        (lambda: LinkConfig(reorder=2), "reorder is 2"),
        (lambda: LinkConfig(delay=-1), "may not be negative"),
        (lambda: LinkConfig(rate=0), "rate is 0"),
        (lambda: LinkConfig(mtu=67), "mtu is 67, allowed is 68 or more"),
    ],
)
def test_impossible_links_are_refused(build: Callable[[], LinkConfig], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        build()
