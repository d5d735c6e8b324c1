"""What travels on the virtual network, and what all its nodes share: clock, seed, capture.

A `Packet` is one UDP datagram or one ICMP error; gateways rewrite its addresses as it passes. Sizes
count the IP and UDP headers. ICMP errors carry the addresses of the datagram they are about, which
gateways translate back (RFC 5508 §4).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias, final

from icepath.net import Address, Instant
from icepath.sim.clock import Clock

# IP and UDP headers in bytes, without options.
IPV4_OVERHEAD: Final = 28
IPV6_OVERHEAD: Final = 48


@dataclass(frozen=True, slots=True)
class IcmpError:
    """Is what an ICMP error says, and which datagram it is about, as the packet's place sees it."""

    icmp_type: int
    icmp_code: int
    source: Address
    destination: Address
    mtu: int = 0


@final
class Packet:
    """Is one datagram, or an ICMP error, under way; gateways rewrite it in place."""

    __slots__ = ("destination", "dont_fragment", "error", "payload", "source")

    def __init__(
        self,
        source: Address,
        destination: Address,
        payload: bytes,
        dont_fragment: bool = False,
        error: IcmpError | None = None,
    ) -> None:
        self.source = source
        self.destination = destination
        self.payload = payload
        self.dont_fragment = dont_fragment
        self.error = error

    def __repr__(self) -> str:
        what = f"{len(self.payload)} bytes" if self.error is None else repr(self.error)
        return f"Packet({self.source} -> {self.destination}, {what})"

    @property
    def size(self) -> int:
        """Returns the bytes on the wire, headers included."""
        return len(self.payload) + (IPV6_OVERHEAD if self.destination.is_ipv6 else IPV4_OVERHEAD)

    def copy(self) -> Packet:
        """Returns another packet like this one."""
        return Packet(self.source, self.destination, self.payload, self.dont_fragment, self.error)


class Unreachability(StrEnum):
    """Says what an ICMP error reports; the numbers depend on the family."""

    PORT = "port"
    PROHIBITED = "prohibited"
    TOO_BIG = "too-big"


# (IPv4 type and code, RFC 792, RFC 1812 §5.2.7.1; IPv6 type and code, RFC 4443 §3.1-3.2)
_NUMBERS: Final = {
    Unreachability.PORT: ((3, 3), (1, 4)),
    Unreachability.PROHIBITED: ((3, 13), (1, 1)),
    Unreachability.TOO_BIG: ((3, 4), (2, 0)),
}


def icmp_error(packet: Packet, what: Unreachability, *, mtu: int = 0) -> Packet:
    """Returns the ICMP error about a datagram, on its way to the datagram's source; never ask for one about another."""
    icmp_type, icmp_code = _NUMBERS[what][packet.source.is_ipv6]
    error = IcmpError(icmp_type, icmp_code, packet.source, packet.destination, mtu)
    return Packet(Address(packet.destination.host, 0), packet.source, b"", error=error)


class Verdict(StrEnum):
    """Says what happened to a packet at a place."""

    SENT = "sent"
    FORWARDED = "forwarded"
    DELIVERED = "delivered"
    DROPPED = "dropped"


class Loss(StrEnum):
    """Says why a packet was dropped."""

    LOST = "lost"
    QUEUE_FULL = "queue-full"
    TOO_BIG = "too-big"
    NO_ROUTE = "no-route"
    NO_SOCKET = "no-socket"
    NO_MAPPING = "no-mapping"
    FILTERED = "filtered"
    BLOCKED = "blocked"
    NO_HAIRPIN = "no-hairpin"
    NO_PORT = "no-port"
    ISOLATED = "isolated"


@dataclass(frozen=True, slots=True)
class PacketRecord:
    """Is one line of a capture: a packet at one place, with the addresses it has there."""

    at: Instant
    where: str
    """The host's or gateway's name, or the link's with its direction."""
    source: Address
    destination: Address
    payload: bytes
    verdict: Verdict
    loss: Loss | None = None
    error: IcmpError | None = None


PacketCallback: TypeAlias = Callable[[PacketRecord], None]


class Medium:
    """Is what all nodes of one world share: the clock, the seed, the capture."""

    __slots__ = ("_callbacks", "clock", "counts", "losses", "seed")

    def __init__(self, clock: Clock, seed: int) -> None:
        self.clock = clock
        self.seed = seed
        self.counts: Counter[Verdict] = Counter()
        self.losses: Counter[Loss] = Counter()
        self._callbacks: list[PacketCallback] = []

    def rng(self, name: str) -> random.Random:
        """Returns a generator of its own for the named thing: its draws do not depend on any other's."""
        return random.Random(f"{self.seed}/{name}")

    def on_packet(self, callback: PacketCallback) -> None:
        """Calls back with every packet that is sent, forwarded by a gateway, delivered or dropped."""
        self._callbacks.append(callback)

    def note(self, where: str, packet: Packet, verdict: Verdict, loss: Loss | None = None) -> None:
        """Counts and reports what happened to a packet."""
        self.counts[verdict] += 1
        if loss is not None:
            self.losses[loss] += 1
        if self._callbacks:
            source, destination = packet.source, packet.destination
            record = PacketRecord(
                self.clock.now, where, source, destination, packet.payload, verdict, loss, packet.error
            )
            for callback in self._callbacks:
                callback(record)

    def drop(self, where: str, packet: Packet, loss: Loss) -> None:
        """Counts and reports a packet that goes no further."""
        self.note(where, packet, Verdict.DROPPED, loss)
