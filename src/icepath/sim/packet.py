"""What travels on the virtual network, and what all its nodes share: clock, seed, capture.

A `Packet` is one UDP datagram, one TCP segment or one ICMP error; gateways rewrite its addresses as it
passes. Sizes count the IP and UDP or TCP headers. ICMP errors carry the addresses of the datagram or
segment they are about, which gateways translate back (RFC 5508 §4). What segments mean is tcp_connection.py's.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias, final

from icepath.machine import Transport
from icepath.net import Address, Instant
from icepath.sim.clock import Clock

# IP and UDP headers in bytes, without options.
IPV4_OVERHEAD: Final = 28
IPV6_OVERHEAD: Final = 48
# What a TCP header has more than UDP's (RFC 9293 §3.1, without options).
TCP_EXTRA: Final = 12


@dataclass(frozen=True, slots=True)
class IcmpError:
    """Is what an ICMP error says, and which datagram it is about, as the packet's place sees it."""

    icmp_type: int
    icmp_code: int
    source: Address
    destination: Address
    mtu: int = 0
    transport: Transport = Transport.UDP


@dataclass(frozen=True, slots=True)
class Segment:
    """Is a TCP header without its ports; the packet's payload is the segment's (RFC 9293 §3.1)."""

    sequence: int
    """Counts on without end: nothing here wraps at 32 bits."""
    acknowledgment: int | None = None
    """None is no ACK flag."""
    syn: bool = False
    fin: bool = False
    rst: bool = False
    window: int = 0
    mss: int = 0
    """The MSS option of a SYN."""

    @property
    def opens(self) -> bool:
        """Says whether it asks for a connection: a SYN that answers none."""
        return self.syn and self.acknowledgment is None


@final
class Packet:
    """Is one datagram, segment or ICMP error under way; gateways rewrite it in place."""

    __slots__ = ("destination", "dont_fragment", "error", "payload", "segment", "source")

    def __init__(
        self,
        source: Address,
        destination: Address,
        payload: bytes,
        dont_fragment: bool = False,
        error: IcmpError | None = None,
        segment: Segment | None = None,
    ) -> None:
        self.source = source
        self.destination = destination
        self.payload = payload
        self.dont_fragment = dont_fragment
        self.error = error
        self.segment = segment

    def __repr__(self) -> str:
        what = f"{len(self.payload)} bytes" if self.error is None else repr(self.error)
        if self.segment is not None:
            what = f"{self.segment}, {what}"
        return f"Packet({self.source} -> {self.destination}, {what})"

    @property
    def size(self) -> int:
        """Returns the bytes on the wire, headers included."""
        size = len(self.payload) + (IPV6_OVERHEAD if self.destination.is_ipv6 else IPV4_OVERHEAD)
        return size if self.segment is None else size + TCP_EXTRA

    def copy(self) -> Packet:
        """Returns another packet like this one."""
        return Packet(self.source, self.destination, self.payload, self.dont_fragment, self.error, self.segment)


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


def icmp_numbers(what: Unreachability, *, is_ipv6: bool) -> tuple[int, int]:
    """Returns the type and code that say so."""
    return _NUMBERS[what][is_ipv6]


def icmp_error(packet: Packet, what: Unreachability, *, mtu: int = 0) -> Packet:
    """Returns the ICMP error about a packet, on its way to the packet's source; never ask for one about another."""
    icmp_type, icmp_code = icmp_numbers(what, is_ipv6=packet.source.is_ipv6)
    transport = Transport.UDP if packet.segment is None else Transport.TCP
    error = IcmpError(icmp_type, icmp_code, packet.source, packet.destination, mtu, transport)
    return Packet(Address(packet.destination.host, 0), packet.source, b"", error=error)


def reset(packet: Packet, segment: Segment) -> Packet:
    """Returns the RST that answers a segment nobody wants (RFC 9293 §3.10.7.1); never ask for one about an RST."""
    if segment.acknowledgment is not None:
        answer = Segment(segment.acknowledgment, rst=True)
    else:
        end = segment.sequence + len(packet.payload) + segment.syn + segment.fin
        answer = Segment(0, end, rst=True)
    return Packet(packet.destination, packet.source, b"", True, segment=answer)


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
    segment: Segment | None = None


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
                self.clock.now,
                where,
                source,
                destination,
                packet.payload,
                verdict,
                loss,
                packet.error,
                packet.segment,
            )
            for callback in self._callbacks:
                callback(record)

    def drop(self, where: str, packet: Packet, loss: Loss) -> None:
        """Counts and reports a packet that goes no further."""
        self.note(where, packet, Verdict.DROPPED, loss)
