"""One end of a TCP connection: handshake, simultaneous open, retransmission, FIN and RST (RFC 9293, small).

Bytes travel in segments over the same links, NATs and firewalls as datagrams; loss is repaired by
retransmission. Sequence numbers and windows are tcp_window.py's, times tcp_timer.py's, ports and listeners
tcp_stack.py's. Left out: TIME-WAIT, delayed acknowledgments, urgent data, SACK, Nagle (drivers turn it off).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, Protocol

from icepath.net import Address, Instant, Seconds
from icepath.sim.clock import Clock
from icepath.sim.packet import IcmpError, Packet, Segment, reset
from icepath.sim.tcp_config import ConnectionOwner, End, TcpConfig
from icepath.sim.tcp_timer import RetransmissionTimer
from icepath.sim.tcp_window import Incoming, Outgoing, Piece

# Linux: tcp_syn_retries, tcp_synack_retries.
SYN_RETRIES: Final = 6
SYN_ACK_RETRIES: Final = 5
# Linux: tcp_fin_timeout, how long the far side's FIN is waited for.
LINGER: Final[Seconds] = 60.0
# Whatever an MSS option or an ICMP error says (RFC 791 §3.2 leaves 28 bytes at least).
_LEAST_SEGMENT: Final = 8
# Sums of floats may miss an instant by a little.
_INSTANT: Final[Seconds] = 1e-6


class Carrier(Protocol):
    """Is what a connection needs of its host's stack."""

    @property
    def clock(self) -> Clock:
        """Returns the time."""
        ...

    @property
    def config(self) -> TcpConfig:
        """Returns the settings."""
        ...

    def transmit(self, packet: Packet) -> None:
        """Sends a packet."""

    def forget(self, connection: TcpConnection) -> None:
        """Frees the five-tuple."""


class _State(Enum):
    SYN_SENT = auto()
    SYN_RECEIVED = auto()
    OPEN = auto()
    CLOSED = auto()


class TcpConnection:
    """Is one end of one connection."""

    __slots__ = (
        "_carrier",
        "_heard_at",
        "_incoming",
        "_is_active",
        "_is_left",
        "_must_acknowledge",
        "_outgoing",
        "_start",
        "_state",
        "_timer",
        "_waits_since",
        "local",
        "max_segment",
        "owner",
        "remote",
    )

    def __init__(
        self, carrier: Carrier, local: Address, remote: Address, owner: ConnectionOwner, *, start: int, max_segment: int
    ) -> None:
        """Makes it without sending anything; `start` is the initial sequence number."""
        self.local = local
        self.remote = remote
        self.owner = owner
        self.max_segment = max_segment
        self._carrier = carrier
        self._start = start
        self._state = _State.SYN_SENT
        self._is_active = True
        self._is_left = False
        limit = carrier.config.max_segment
        self._outgoing = Outgoing(start + 1, max_segment if limit is None else min(limit, max_segment))
        self._incoming: Incoming | None = None
        self._must_acknowledge = False
        self._timer = RetransmissionTimer(carrier.clock, self._on_silence)
        # when something came from the far side, and since when it has taken nothing of what there is to send
        self._heard_at: Instant = carrier.clock.now
        self._waits_since: Instant = carrier.clock.now

    def __repr__(self) -> str:
        return f"TcpConnection({self.local} -> {self.remote}, {self._state.name})"

    @property
    def is_open(self) -> bool:
        """Says whether bytes may travel."""
        return self._state is _State.OPEN

    @property
    def is_half_open(self) -> bool:
        """Says whether it was asked for by the far side and is not open yet."""
        return self._state is _State.SYN_RECEIVED and not self._is_active

    @property
    def queued(self) -> int:
        """Returns how many bytes wait to be sent or acknowledged."""
        return self._outgoing.queued

    @property
    def is_at_end(self) -> bool:
        """Says whether the far side has finished and everything was read."""
        return self._incoming is not None and self._incoming.has_fin and not self._incoming.held

    # -- what the owner does ---------------------------------------------------------------------------------

    def open(self) -> None:
        """Asks the far side for the connection."""
        self._send_syn()

    def write(self, payload: bytes) -> None:
        """Sends bytes after those before."""
        if not self._outgoing.is_waiting:
            self._waits_since = self._carrier.clock.now
        self._outgoing.append(payload)
        self._push()

    def read(self, limit: int) -> bytes:
        """Returns at most `limit` bytes; room for more is told to the far side."""
        incoming = self._incoming
        if incoming is None:
            return b""
        was_closed = incoming.window < self._outgoing.mss
        payload = incoming.read(limit)
        # RFC 9293 §3.8.6.2.2: tell when the window has opened by a segment or half of itself.
        if was_closed and incoming.window >= min(incoming.capacity // 2, self._outgoing.mss):
            self._must_acknowledge = True
            self._carrier.clock.schedule(self._carrier.clock.now, TcpConnection._rest, self)
        return payload

    def finish(self) -> None:
        """Sends a FIN after all bytes; what arrives may still be read."""
        if not self._outgoing.is_waiting:
            self._waits_since = self._carrier.clock.now
        self._outgoing.finish()
        self._rest()

    def leave(self) -> None:
        """Sends a FIN after all bytes, and forgets what arrives."""
        self._is_left = True
        if self._incoming is not None:
            self._incoming.discard()
        if self._outgoing.is_finished:
            self._linger()
        self.finish()

    def abort(self) -> None:
        """Ends it at once, by an RST if the far side knows of it."""
        if self._state in (_State.SYN_RECEIVED, _State.OPEN):
            self._emit(Piece(self._outgoing.next, b"", False), rst=True)
        self._close()

    def vanish(self) -> None:
        """Ends without a word to the far side, for our address is gone."""
        self._end(End.RESET)

    # -- what the stack brings -------------------------------------------------------------------------------

    def accept(self, segment: Segment) -> None:
        """Answers the SYN that asks for this connection."""
        self._is_active = False
        self._take_syn(segment)
        self._send_syn()

    def receive(self, packet: Packet, segment: Segment) -> None:
        """Takes a segment of this connection."""
        self._heard_at = self._carrier.clock.now
        if self._state is _State.SYN_SENT:
            self._on_answer(packet, segment)
        elif segment.rst:
            self._on_reset(segment)
        elif segment.syn:
            self._on_syn_again(packet, segment)
        elif self._takes_acknowledgment(packet, segment):
            self._on_bytes(packet, segment)
        self._rest()

    def on_error(self, error: IcmpError, *, is_too_big: bool, is_port: bool) -> None:
        """Takes an ICMP error about a segment of this connection."""
        if is_too_big:
            self._shrink(error.mtu)
        elif self._state is not _State.OPEN:
            # An open connection ignores it (RFC 5461, RFC 1122 §4.2.3.9).
            self._end(End.REFUSED if is_port else End.UNREACHABLE)

    # -- opening ---------------------------------------------------------------------------------------------

    def _send_syn(self) -> None:
        if not self._timer.retries:
            self._timer.begin(self._start + 1)
        self._emit(Piece(self._start, b"", False), syn=True)
        self._timer.arm_syn()

    def _take_syn(self, segment: Segment) -> None:
        self._incoming = Incoming(segment.sequence + 1, self._carrier.config.receive_buffer)
        self._outgoing.limit_segment(max(segment.mss, _LEAST_SEGMENT))
        self._outgoing.window = segment.window
        self._state = _State.SYN_RECEIVED

    def _on_answer(self, packet: Packet, segment: Segment) -> None:
        answers = segment.acknowledgment == self._start + 1
        if segment.acknowledgment is not None and not answers:
            self._refuse(packet, segment)
        elif segment.rst:
            if answers:
                self._end(End.REFUSED)
        elif segment.syn:
            self._take_syn(segment)
            if answers:
                self._must_acknowledge = True
                self._establish()
            else:
                # RFC 9293 §3.5, figure 7: both sides asked; each answers the other's SYN.
                self._timer.retries = 0
                self._send_syn()

    def _on_syn_again(self, packet: Packet, segment: Segment) -> None:
        self._must_acknowledge = True
        if self._state is not _State.SYN_RECEIVED:
            return
        if segment.opens:
            self._send_syn()  # our answer was lost
        else:
            self._takes_acknowledgment(packet, segment)

    def _establish(self) -> None:
        self._state = _State.OPEN
        self._timer.acknowledge(self._start + 1)
        self._timer.retries = 0
        self._timer.stop()
        self.owner.on_established()

    # -- open ------------------------------------------------------------------------------------------------

    def _takes_acknowledgment(self, packet: Packet, segment: Segment) -> bool:
        """Handles the acknowledgment; says whether the segment is to be looked at further."""
        acknowledgment, outgoing = segment.acknowledgment, self._outgoing
        if acknowledgment is None:
            return False
        if not self._start < acknowledgment <= outgoing.next:
            if self._state is _State.SYN_RECEIVED:
                self._refuse(packet, segment)
            else:
                self._must_acknowledge = True
            return False
        if self._state is _State.SYN_RECEIVED:
            self._establish()
            if not self.is_open:
                return False  # the owner wants none
        is_progress = acknowledgment > outgoing.una
        self._timer.acknowledge(acknowledgment)
        is_bare = not packet.payload and not segment.fin and not segment.syn
        if outgoing.acknowledge(acknowledgment, segment.window, is_bare=is_bare):
            self._retransmit()
        if is_progress:
            self._waits_since = self._carrier.clock.now
            self._timer.retries = 0
            self._timer.stop()
            if outgoing.is_finished and self._is_left:
                self._linger()
            self.owner.on_writable()
        return self.is_open

    def _on_bytes(self, packet: Packet, segment: Segment) -> None:
        incoming = self._incoming
        assert incoming is not None, "an open connection receives"
        if packet.payload or segment.fin:
            had_fin = incoming.has_fin
            incoming.add(segment.sequence, packet.payload, segment.fin)
            self._must_acknowledge = True
            if incoming.held or incoming.has_fin != had_fin:
                self.owner.on_readable()

    def _on_reset(self, segment: Segment) -> None:
        incoming = self._incoming
        assert incoming is not None, "the far side's SYN has come"
        if segment.sequence == incoming.next:
            self._end(End.RESET if self._state is _State.OPEN else End.REFUSED)
        else:
            # RFC 5961 §3.2: only an RST that is exactly next is believed; whoever means it will say it again.
            self._must_acknowledge = incoming.next < segment.sequence <= incoming.next + incoming.window

    def _rest(self) -> None:
        """Sends what may go and what is owed, and is done when both sides are."""
        self._push()
        if self._must_acknowledge and self._state in (_State.SYN_RECEIVED, _State.OPEN):
            self._emit(Piece(self._outgoing.next, b"", False))
        if self._outgoing.is_finished and self._incoming is not None and self._incoming.has_fin:
            self._close()

    # -- sending ---------------------------------------------------------------------------------------------

    def _push(self) -> None:
        if self._state is not _State.OPEN:
            return
        while (piece := self._outgoing.take()) is not None:
            self._timer.begin(self._outgoing.next)
            self._emit(piece)
        if not self._timer.is_armed and self._outgoing.is_waiting:
            self._arm_data()

    def _arm_data(self) -> None:
        self._timer.arm_data(self._patience)

    @property
    def _patience(self) -> Seconds:
        """Returns how long the far side may still take nothing."""
        return self._waits_since + self._carrier.config.stall_timeout - self._carrier.clock.now

    def _retransmit(self) -> None:
        self._timer.forget()
        self._emit(self._outgoing.oldest())

    def _emit(self, piece: Piece, *, syn: bool = False, rst: bool = False) -> None:
        incoming = self._incoming
        self._must_acknowledge = False
        segment = Segment(
            piece.sequence,
            None if incoming is None else incoming.next,
            syn,
            piece.fin,
            rst,
            self._carrier.config.receive_buffer if incoming is None else incoming.window,
            self.max_segment if syn else 0,
        )
        self._carrier.transmit(Packet(self.local, self.remote, piece.payload, True, segment=segment))

    def _refuse(self, packet: Packet, segment: Segment) -> None:
        if not segment.rst:
            self._carrier.transmit(reset(packet, segment))

    def _shrink(self, mtu: int) -> None:
        """Sends smaller segments from now on (RFC 1191)."""
        largest = max(_LEAST_SEGMENT, mtu - Packet(self.local, self.remote, b"", segment=Segment(0)).size)
        if self._state is _State.OPEN and largest < self._outgoing.mss:
            self._outgoing.limit_segment(largest)
            self._outgoing.lose()
            if self._outgoing.in_flight:
                self._retransmit()

    # -- the end ---------------------------------------------------------------------------------------------

    def _on_silence(self) -> None:
        """Sends again what nobody answered, or gives up."""
        if self._state is _State.OPEN:
            self._on_data_silence()
        elif self._timer.retries >= (SYN_RETRIES if self._is_active else SYN_ACK_RETRIES):
            self._end(End.TIMED_OUT)
        else:
            self._timer.retries += 1
            self._timer.forget()
            self._send_syn()

    def _on_data_silence(self) -> None:
        if self._patience <= _INSTANT:
            self._end(End.SLOW if self._heard_at > self._waits_since else End.TIMED_OUT)
            return
        self._timer.retries += 1
        self._outgoing.lose()
        self._retransmit()
        self._arm_data()

    def _linger(self) -> None:
        self._carrier.clock.schedule(self._carrier.clock.now + LINGER, TcpConnection._close, self)

    def _end(self, end: End) -> None:
        if self._state is not _State.CLOSED:
            self._close()
            self.owner.on_ended(end)

    def _close(self) -> None:
        if self._state is not _State.CLOSED:
            self._state = _State.CLOSED
            self._timer.stop()
            self._carrier.forget(self)
