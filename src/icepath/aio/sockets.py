"""Opening UDP sockets: one concrete address each, never wildcard, never dual-stack; and their options.

A port comes from the caller, from a range (in random order, so that a port just given up is not the next
one taken), or from the system. Options that are merely good to have may be refused by the system.
"""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import sys
from collections.abc import Iterator
from typing import Final

from icepath.aio import errorqueue
from icepath.net import Address

# Bytes asked of the kernel for each socket; it may give less (Linux: net.core.rmem_max).
RECEIVE_BUFFER: Final = 1 << 20

# Tries to get an even port from a system that chooses.
EVEN_PORT_TRIES: Final = 32

IP_MTU_DISCOVER: Final = 10
IPV6_MTU_DISCOVER: Final = 23
PMTUDISC_DONT: Final = 0
PMTUDISC_DO: Final = 2
# linux/udp.h.
UDP_GRO: Final = 104


def open_socket(
    local: Address,
    *,
    scope_id: int = 0,
    ports: tuple[int, int] | None = None,
    even_port: bool = False,
    receive_buffer: int = RECEIVE_BUFFER,
) -> socket.socket:
    """Opens and binds a non-blocking UDP socket.

    Raises: OSError as the system gives it; EADDRINUSE when the whole range is taken.
    """
    failure = OSError(errno.EADDRINUSE, f"no free port on {local.host}")
    for port in candidate_ports(local.port, ports, even_port):
        try:
            sock = _bound(Address(local.host, port), scope_id)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            failure = error
            continue
        if even_port and sock.getsockname()[1] % 2:
            sock.close()
            continue
        _prepare(sock, receive_buffer, is_ipv6=local.is_ipv6)
        return sock
    raise failure


def candidate_ports(port: int, ports: tuple[int, int] | None, even: bool) -> Iterator[int]:
    """Yields the ports to try: the one asked for, or the range from a random place on, or the system's choice."""
    if port:
        yield port
    elif ports is None:
        yield from (0,) * (EVEN_PORT_TRIES if even else 1)
    else:
        step = 2 if even else 1
        allowed = range(ports[0] + (ports[0] % 2 if even else 0), ports[1] + 1, step)
        start = random.randrange(len(allowed)) if allowed else 0
        yield from (allowed[(start + index) % len(allowed)] for index in range(len(allowed)))


def set_dont_fragment(sock: socket.socket, dont_fragment: bool, *, is_ipv6: bool) -> None:
    """Sets or clears DF for what is sent from now on, where the system can."""
    if sys.platform != "linux":
        return
    mode = PMTUDISC_DO if dont_fragment else PMTUDISC_DONT
    if is_ipv6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, mode)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, mode)


def join_datagrams(sock: socket.socket) -> bool:
    """Asks the kernel to join bursts of equal datagrams into one read; False where it cannot."""
    if sys.platform != "linux":
        return False
    try:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    except OSError:
        return False
    return True


def _bound(local: Address, scope_id: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if local.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if local.is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((local.host, local.port, 0, scope_id if local.host[:2] == "fe" else 0))
        else:
            sock.bind(local)
    except BaseException:
        sock.close()
        raise
    return sock


def _prepare(sock: socket.socket, receive_buffer: int, *, is_ipv6: bool) -> None:
    """Sets what is good to have; a system that refuses is no reason to fail."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    with contextlib.suppress(OSError):
        set_dont_fragment(sock, False, is_ipv6=is_ipv6)
    with contextlib.suppress(OSError):
        errorqueue.enable(sock, is_ipv6=is_ipv6)
