"""Links: delay, jitter, loss, duplication, reordering, rate and MTU, each direction on its own.

A `Link` joins a node (host or gateway) to a network and has two `Pipe`s: `up` to the network, `down` to
the node. A pipe without impairments costs one heap entry, without delay none. Each pipe has its own
seeded generator, so what one link draws never depends on another's traffic.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from icepath.errors import InvalidArgument
from icepath.net import Instant, Seconds
from icepath.sim.packet import IPV4_OVERHEAD, IPV6_OVERHEAD, Loss, Medium, Packet, Unreachability, icmp_error

# UDP's header, which only the first fragment carries.
_UDP_HEADER: Final = 8


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """Says how one direction of a link treats packets.

    Raises: InvalidArgument when a value is out of range.
    """

    delay: Seconds = 0.0
    jitter: Seconds = 0.0
    """Added to the delay, drawn evenly from 0 to this; order is kept."""
    loss: float = 0.0
    """The share of packets (of fragments, when larger than the MTU) that vanish."""
    duplicate: float = 0.0
    reorder: float = 0.0
    """The share of packets held back by `reorder_delay`, which others may overtake."""
    reorder_delay: Seconds = 0.01
    rate: float | None = None
    """Bytes per second, headers included; None is unlimited."""
    queue: int = 65_536
    """Bytes that may wait for a limited rate; the newest is dropped."""
    mtu: int | None = None
    """The largest packet in bytes, headers included; larger ones are fragmented, or refused when they may not be."""
    reports_too_big: bool = True
    """Answers a refused packet by an ICMP error; False makes a path-MTU black hole."""

    def __post_init__(self) -> None:
        for name, share in (("loss", self.loss), ("duplicate", self.duplicate), ("reorder", self.reorder)):
            if not 0.0 <= share <= 1.0:
                raise InvalidArgument(f"{name} is {share}, allowed are 0 to 1")
        if min(self.delay, self.jitter, self.reorder_delay, self.queue) < 0:
            raise InvalidArgument("delay, jitter, reorder_delay and queue may not be negative")
        if self.rate is not None and self.rate <= 0:
            raise InvalidArgument(f"rate is {self.rate}, allowed is more than 0")
        # RFC 791 §3.2: every link carries 68 bytes: 60 of header and one unit of 8.
        if self.mtu is not None and self.mtu < 68:
            raise InvalidArgument(f"mtu is {self.mtu}, allowed is 68 or more")

    @property
    def is_plain(self) -> bool:
        """Says whether only the delay matters."""
        return not (self.jitter or self.loss or self.duplicate or self.reorder or self.rate or self.mtu)


IDEAL: Final = LinkConfig()


class Pipe:
    """Carries packets one way."""

    __slots__ = (
        "_bounce",
        "_clock",
        "_config",
        "_delay",
        "_free_at",
        "_inline",
        "_last_arrival",
        "_medium",
        "_plain",
        "_rng",
        "_sink",
        "name",
    )

    def __init__(
        self,
        medium: Medium,
        name: str,
        config: LinkConfig,
        *,
        sink: Callable[[Packet], None],
        bounce: Callable[[Packet], None],
        inline: bool,
    ) -> None:
        self.name = name
        self._medium = medium
        self._clock = medium.clock
        self._sink = sink
        self._bounce = bounce
        self._inline = inline
        self._rng: random.Random | None = None
        self._free_at: Instant = medium.clock.now
        self._last_arrival: Instant = medium.clock.now
        self.config = config

    @property
    def config(self) -> LinkConfig:
        """Returns how packets are treated; may be set at any time, for packets from then on."""
        return self._config

    @config.setter
    def config(self, config: LinkConfig) -> None:
        self._config = config
        self._delay = config.delay
        self._plain = config.is_plain

    def transmit(self, packet: Packet) -> None:
        """Takes a packet at the pipe's entry, now."""
        if not self._plain:
            self._transmit_impaired(packet)
        elif self._inline and not self._delay:
            self._sink(packet)
        else:
            self._clock.schedule(self._clock.now + self._delay, self._sink, packet)

    def _transmit_impaired(self, packet: Packet) -> None:
        config = self._config
        rng = self._random()
        fragments = self._fragments(packet)
        if fragments > 1 and packet.dont_fragment:
            self._refuse(packet)
            return
        # Every fragment draws, so that a packet's fate does not shift the next one's.
        if config.loss and min(rng.random() for _ in range(fragments)) < config.loss:
            self._medium.drop(self.name, packet, Loss.LOST)
            return
        departure = self._departure(packet.size)
        if departure is None:
            self._medium.drop(self.name, packet, Loss.QUEUE_FULL)
            return
        self._launch(packet, departure, rng)
        if config.duplicate and rng.random() < config.duplicate:
            self._launch(packet.copy(), departure, rng)

    def _random(self) -> random.Random:
        if self._rng is None:
            self._rng = self._medium.rng(self.name)
        return self._rng

    def _fragments(self, packet: Packet) -> int:
        mtu = self._config.mtu
        if mtu is None or packet.size <= mtu:
            return 1
        header = (IPV6_OVERHEAD if packet.destination.is_ipv6 else IPV4_OVERHEAD) - _UDP_HEADER
        # RFC 791 §3.2: fragments are cut at multiples of 8 bytes.
        unit = (mtu - header) // 8 * 8
        return -(-(packet.size - header) // unit)

    def _refuse(self, packet: Packet) -> None:
        self._medium.drop(self.name, packet, Loss.TOO_BIG)
        if self._config.reports_too_big:
            self._bounce(icmp_error(packet, Unreachability.TOO_BIG, mtu=self._config.mtu or 0))

    def _departure(self, size: int) -> Instant | None:
        """Returns when the last byte has left, or None when the queue is full."""
        rate = self._config.rate
        now = self._clock.now
        if rate is None:
            return now
        start = max(now, self._free_at)
        if (start - now) * rate + size > self._config.queue:
            return None
        self._free_at = start + size / rate
        return self._free_at

    def _launch(self, packet: Packet, departure: Instant, rng: random.Random) -> None:
        config = self._config
        arrival = departure + config.delay
        if config.jitter:
            arrival += config.jitter * rng.random()
        if config.reorder and rng.random() < config.reorder:
            arrival += config.reorder_delay
        else:
            arrival = self._last_arrival = max(arrival, self._last_arrival)
        self._clock.schedule(arrival, self._sink, packet)


class Segment(Protocol):
    """Is the network end of a link."""

    @property
    def name(self) -> str:
        """Names it, for people."""
        ...

    def forward(self, packet: Packet, origin: Link | None) -> None:
        """Sends a packet on to where its destination is attached."""


class Node(Protocol):
    """Is the host or gateway end of a link."""

    @property
    def name(self) -> str:
        """Names it, for people."""
        ...

    def receive(self, packet: Packet, link: Link) -> None:
        """Takes a packet that arrived over the link."""


class Link:
    """Joins a node to a network."""

    __slots__ = ("_clock", "_network", "_node", "down", "up")

    def __init__(
        self,
        medium: Medium,
        node: Node,
        network: Segment,
        *,
        up: LinkConfig = IDEAL,
        down: LinkConfig = IDEAL,
        inline: bool = True,
    ) -> None:
        """Builds it; with `inline` false even a link without delay delivers later, never inside the sender's call."""
        self._clock = medium.clock
        self._node = node
        self._network = network
        name = f"{node.name}--{network.name}"
        self.up = Pipe(medium, f"{name} up", up, sink=self._to_network, bounce=self._bounce_up, inline=True)
        self.down = Pipe(medium, f"{name} down", down, sink=self._to_node, bounce=self._to_network, inline=inline)

    def _to_network(self, packet: Packet) -> None:
        self._network.forward(packet, self)

    def _to_node(self, packet: Packet) -> None:
        self._node.receive(packet, self)

    def _bounce_up(self, error: Packet) -> None:
        # As if the first router beyond had answered; later, since the node is in the middle of sending.
        self._clock.schedule(self._clock.now, self._to_node, error)
