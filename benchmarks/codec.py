"""The cost of one authenticated connectivity check, icepath beside aioice: python benchmarks/codec.py.

A check of 92 bytes is decoded and verified, its answer of 64 bytes encoded and signed: what an agent does for
each check it receives. Both libraries run in one process, in blocks that take turns, so that both see the same
machine; each figure is the median of its blocks. Both must produce the same bytes before anything is timed.
Needs aioice (pip install icepath[interop]).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from icepath.entropy import Secret
from icepath.net import Address
from icepath.wire.attributes import IceControlling, Priority, Username, XorMappedAddress
from icepath.wire.integrity import short_term_key
from icepath.wire.message import MessageClass, Method, TransactionId, decode_message, encode_message, verify

PASSWORD = "VOkJxbRl1RmTxUk/WvJxBt"
TRANSACTION = TransactionId(bytes(range(12)))
MAPPED = Address("192.0.2.1", 32853)
KEY = short_term_key(Secret(PASSWORD))
CHECK = encode_message(
    Method.BINDING,
    MessageClass.REQUEST,
    TRANSACTION,
    (Username("evtj:h6vYabcd"), Priority(1845494271), IceControlling(0x932FF9B151263B36)),
    key=KEY,
    fingerprint=True,
)
BLOCKS = 25
ROUNDS = 2000


def main() -> int:
    """Prints microseconds per message for both, and how many times faster icepath is."""
    try:
        theirs_decode, theirs_encode = aioice_pair()
    except ImportError:
        print("this benchmark needs aioice: pip install 'icepath[interop]'", file=sys.stderr)
        return 1
    if len(CHECK) != 92 or our_encode() != theirs_encode() or len(our_encode()) != 64:
        print("the two libraries do not write the same answer", file=sys.stderr)
        return 1
    rows = measure([our_decode, our_encode, theirs_decode, theirs_encode])
    ours, theirs = rows[0] + rows[1], rows[2] + rows[3]
    print(f"us per message, median of {BLOCKS} blocks of {ROUNDS}; Python {sys.version.split()[0]}")
    print(f"{'':8} {'decode+verify':>14} {'encode+sign':>12} {'together':>9}")
    print(f"{'icepath':8} {rows[0]:14.2f} {rows[1]:12.2f} {ours:9.2f}")
    print(f"{'aioice':8} {rows[2]:14.2f} {rows[3]:12.2f} {theirs:9.2f}")
    print(f"{'ratio':8} {rows[2] / rows[0]:14.2f} {rows[3] / rows[1]:12.2f} {theirs / ours:9.2f}")
    return 0


def our_decode() -> object:
    """Decodes and verifies the check."""
    return verify(decode_message(CHECK), KEY)


def our_encode() -> bytes:
    """Encodes and signs the answer."""
    return encode_message(
        Method.BINDING, MessageClass.SUCCESS, TRANSACTION, (XorMappedAddress(MAPPED),), key=KEY, fingerprint=True
    )


def aioice_pair() -> tuple[Callable[[], object], Callable[[], bytes]]:
    """Returns aioice's way of doing the same two things."""
    from aioice import stun

    key = PASSWORD.encode()

    def decode() -> object:
        message = stun.parse_message(CHECK)
        if not message.check_message_integrity(key):
            raise ValueError("aioice does not accept the check")
        return message

    def encode() -> bytes:
        message = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, TRANSACTION)
        message.attributes["XOR-MAPPED-ADDRESS"] = (MAPPED.host, MAPPED.port)
        message.add_message_integrity(key)
        return bytes(message)

    return decode, encode


def measure(calls: list[Callable[[], object]]) -> list[float]:
    """Returns the median cost of each call in microseconds."""
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        block(call)
    for _ in range(BLOCKS):
        for call, found in zip(calls, times, strict=True):
            found.append(block(call))
    return [statistics.median(found) for found in times]


def block(call: Callable[[], object]) -> float:
    """Returns the cost of one call in microseconds, over one block."""
    start = time.perf_counter()
    for _ in range(ROUNDS):
        call()
    return (time.perf_counter() - start) / ROUNDS * 1e6


if __name__ == "__main__":
    sys.exit(main())
