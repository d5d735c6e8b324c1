"""DTLS in STUN: an application's first packets travel on checks and their answers (draft-hancke-webrtc-sped).

One `Embedding` is one component's exchange: what is to be sent until it is acknowledged, and what has come. Checks
and answers take their attributes from it, and give it what they carried. The bytes are the application's: nothing is
read of them but the first. As nothing else has to wait for it, the other side's support is found out on the way: a
message without either attribute ends the exchange, and what is unsent goes on the first path there is.

An answer that could carry the application's own next packet is held until the application has had its say: it goes
with the next `handle_timeout`, which is due at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, final
from zlib import crc32

from icepath.errors import InvalidArgument
from icepath.net import Address
from icepath.wire.attributes import Attribute, DtlsInStun, DtlsInStunAcknowledgement
from icepath.wire.attributes.sped import MAX_HASHES, is_dtls
from icepath.wire.integrity import Integrity, IntegrityKey
from icepath.wire.message import Message, TransactionId

# Draft §5.1: what a description says of it.
OPTION: Final = "sped"
# Draft §3.4.1: "a predefined maximum size" of a check that carries a packet; it has to pass wherever IPv6 does.
MAX_MESSAGE: Final = 1200
# Draft §3.4.1, table 1, with all that may be in a check but USERNAME's text and the packet.
OVERHEAD: Final = 128
# Besides the draft's, a nomination may be in it (draft-thatcher-tsvwg-renomination).
NOMINATION_LENGTH: Final = 8
# More than the largest flight of a post-quantum handshake needs.
MAX_PACKETS: Final = 32
# Packets of the other side that would be recognised when they come again.
MAX_REMEMBERED: Final = 64


class HeldAnswer(NamedTuple):
    """Is an answer to a check that waits for what the application says to the packet the check carried."""

    local: Address
    remote: Address
    transaction_id: TransactionId
    key: IntegrityKey
    integrity: Integrity
    stream: int
    component: int


# Answers held at one time; what comes beyond is answered at once.
MAX_HELD: Final = 16


def room(username_length: int) -> int:
    """Returns how long a packet may be in a check with a USERNAME of so many bytes."""
    padded = (username_length + 3) // 4 * 4
    return MAX_MESSAGE - OVERHEAD - NOMINATION_LENGTH - padded


@final
class Embedding:
    """Is the exchange of one component."""

    __slots__ = ("_is_acknowledging", "_is_finished", "_is_sending", "_pending", "_received", "_turn", "is_unsent")

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self._received: list[int] = []
        self._turn = 0
        self._is_finished = False
        # Which of the two attributes go with checks and answers.
        self._is_sending = True
        self._is_acknowledging = True
        # The pending packets have not been sent on a path by themselves.
        self.is_unsent = False

    @property
    def is_open(self) -> bool:
        """Says whether checks and answers carry anything."""
        return self._is_acknowledging

    def begin(self, packets: Sequence[bytes], longest: int) -> None:
        """Takes a flight, or the same one again; what was pending is forgotten (§3.3.2).

        Raises: InvalidArgument when a packet is too long, or no DTLS, or there are too many.
        """
        if len(packets) > MAX_PACKETS:
            raise InvalidArgument(f"{len(packets)} packets: at most {MAX_PACKETS} in a flight")
        for packet in packets:
            if not is_dtls(packet):
                raise InvalidArgument("a packet of DTLS begins with a byte of 20 to 63 (RFC 9443 §3)")
            if len(packet) > longest:
                raise InvalidArgument(f"a packet of {len(packet)} bytes: at most {longest} fit into a check")
        self._pending = list(packets)
        self._turn = 0
        self.is_unsent = bool(packets)

    def finish(self, *, sent_last: bool) -> None:
        """Notes that the handshake is complete here; our last flight is pending on only when it was the very last."""
        self._is_finished = True
        if not sent_last:
            self._pending = []
            self.is_unsent = False

    def give_up(self) -> None:
        """Notes that the other side does not take part (§3.3.1)."""
        self._is_sending = self._is_acknowledging = False

    def attributes(self) -> list[Attribute]:
        """Returns what the next check or answer carries: acknowledgements, and the next pending packet in turn."""
        if not self._is_acknowledging:
            return []
        found: list[Attribute] = [DtlsInStunAcknowledgement.of(self._received[-MAX_HASHES:])]
        if self._is_sending:
            found.append(DtlsInStun(self._next()))
        return found

    def _next(self) -> bytes:
        if not self._pending:
            return b""
        packet = self._pending[self._turn % len(self._pending)]
        self._turn += 1
        return packet

    def take(self, message: Message) -> bytes | None:
        """Takes in what an authentic check or answer carried; returns a packet that is new."""
        if not self._is_acknowledging:
            return None
        packet, acknowledgement = message.get(DtlsInStun), message.get(DtlsInStunAcknowledgement)
        if packet is None and acknowledgement is None:
            self.give_up()
            return None
        if acknowledgement is not None and acknowledgement.hashes:
            self._forget(acknowledgement.hashes)
        if self._is_finished:
            self._wind_up(packet, acknowledgement)
            return None
        return None if packet is None or not packet.is_dtls else self._note(packet.value)

    def take_answered(self, request: Message) -> None:
        """Takes an answer to our request as the receipt of what that carried (§3.3.2)."""
        packet = request.get(DtlsInStun)
        if packet is not None and self._is_acknowledging:
            self._forget((crc32(packet.value),))

    def take_unsent(self) -> list[bytes]:
        """Returns what is to be sent by itself, now that there is a path; for good if the other side takes no part."""
        self.is_unsent = False
        packets = self._pending
        if not self._is_acknowledging:
            self._pending = []
        return list(packets)

    def _forget(self, hashes: Sequence[int]) -> None:
        self._pending = [each for each in self._pending if crc32(each) not in hashes]
        self.is_unsent = self.is_unsent and bool(self._pending)

    def _note(self, packet: bytes) -> bytes | None:
        known = crc32(packet)
        if known in self._received:
            return None
        self._received.append(known)
        del self._received[:-MAX_REMEMBERED]
        return packet

    def _wind_up(self, packet: DtlsInStun | None, acknowledgement: DtlsInStunAcknowledgement | None) -> None:
        """Ends it with the other side, one attribute after the other (§3.3.1).

        Not before our handshake has ended, whatever the draft says: whoever has nothing to send yet looks the same.
        """
        if self._pending or acknowledgement is None:
            return
        if packet is None:
            self.give_up()
        elif not packet.value:
            self._is_sending = False


def exchanges(components: Sequence[int]) -> dict[tuple[int, int], Embedding]:
    """Returns a new exchange for each stream and component."""
    return {
        (number, component): Embedding()
        for number, count in enumerate(components, 1)
        for component in range(1, count + 1)
    }
