"""ICMP errors of an unconnected UDP socket, from Linux's error queue (ip(7), IP_RECVERR).

Without it the kernel tells nothing; with it each error names the datagram's destination, type and code.
Other systems have no such queue: `enable` does nothing there and `drain` yields nothing.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

IP_RECVERR: Final = 11
IPV6_RECVERR: Final = 25
# struct sock_extended_err: errno (u32), origin, type, code, pad (u8 each), info, data (u32 each).
EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")
ORIGIN_LOCAL: Final = 1
ORIGIN_ICMP: Final = (2, 3)
# The quoted datagram is not used; only the control message is.
QUOTED: Final = 64
CONTROL: Final = 256
# Errors taken in one go: more wait for the next wake-up.
BATCH: Final = 64

# RFC 792, RFC 1812: destination unreachable and its codes. RFC 4443 §3: the same for ICMPv6.
ICMP_UNREACHABLE: Final = 3
ICMP6_UNREACHABLE: Final = 1
ICMP6_TOO_BIG: Final = 2
# errno -> (ICMP code, ICMPv6 code) of destination unreachable.
CODES: Final = {
    errno.ENETUNREACH: (0, 0),
    errno.EHOSTUNREACH: (1, 3),
    errno.ECONNREFUSED: (3, 4),
    errno.EMSGSIZE: (4, 0),
    errno.EPERM: (13, 1),
    errno.EACCES: (13, 1),
}

OsAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


class QueuedError(NamedTuple):
    """Is one error about a datagram sent from the socket."""

    destination: OsAddress
    icmp_type: int
    icmp_code: int
    mtu: int
    is_local: bool
    """True when the kernel itself refused the datagram being sent."""


def enable(sock: socket.socket, *, is_ipv6: bool) -> None:
    """Asks the kernel to keep ICMP errors for this socket."""
    if sys.platform != "linux":
        return
    if is_ipv6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)


def drain(sock: socket.socket) -> Iterator[QueuedError]:
    """Yields the errors that are queued."""
    if sys.platform != "linux":
        return
    for _ in range(BATCH):
        try:
            _, control, _, destination = sock.recvmsg(QUOTED, CONTROL, socket.MSG_ERRQUEUE)
        except OSError:
            return
        for _, _, value in control:
            if len(value) >= EXTENDED_ERROR.size and destination:
                yield decode(destination, value, sock.family == socket.AF_INET6)


def decode(destination: OsAddress, value: bytes, ipv6: bool) -> QueuedError:
    """Decodes one sock_extended_err."""
    number, origin, icmp_type, icmp_code, _, info, _ = EXTENDED_ERROR.unpack_from(value)
    if origin not in ORIGIN_ICMP:
        icmp_type, icmp_code = icmp_of(number, ipv6)
    return QueuedError(
        destination, icmp_type, icmp_code, info if number == errno.EMSGSIZE else 0, origin == ORIGIN_LOCAL
    )


def icmp_of(number: int, ipv6: bool) -> tuple[int, int]:
    """Returns the ICMP type and code that say what a local errno says."""
    if ipv6 and number == errno.EMSGSIZE:
        return ICMP6_TOO_BIG, 0
    code, code6 = CODES.get(number, (0, 0))
    return (ICMP6_UNREACHABLE, code6) if ipv6 else (ICMP_UNREACHABLE, code)
