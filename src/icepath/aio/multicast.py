"""Opening sockets for multicast: one that hears a group on one interface, or one that only sends to it.

The one that hears is bound to the group itself, so what is sent to the host's own address never comes in there:
other programs may have the same port (mDNS daemons and browsers do, with 5353) and miss nothing. On Windows a
socket cannot be bound so, and is bound to the host's address.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time
from typing import Final

from icepath.aio.interfaces import system
from icepath.net import Address

# RFC 6762 §11: "SHOULD be sent with IP TTL set to 255"; what is of one link only stays there by its address.
MULTICAST_TTL: Final = 255
# linux/in.h, linux/in6.h: only what this socket has joined, not what any socket of the host has.
IP_MULTICAST_ALL: Final = 49
IPV6_MULTICAST_ALL: Final = 29


def open_group_socket(local: Address, group: Address) -> tuple[socket.socket, int]:
    """Opens a socket that hears the group, with its port, or only sends there when the group has none.

    Returns it with the interface's index, which is 0 in IPv4.

    Raises: OSError as the system gives it.
    """
    index = _index(local.host) if local.is_ipv6 else 0
    sock = socket.socket(socket.AF_INET6 if local.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if group.port:
            _share(sock)
        if local.is_ipv6:
            _open_ipv6(sock, local, group, index)
        else:
            _open_ipv4(sock, local, group)
    except BaseException:
        sock.close()
        raise
    return sock, index


def _share(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _open_ipv4(sock: socket.socket, local: Address, group: Address) -> None:
    host = socket.inet_aton(local.host)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, host)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, MULTICAST_TTL)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    if not group.port:
        sock.bind((local.host, local.port))
        return
    if sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
    sock.bind((local.host if sys.platform == "win32" else group.host, local.port))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group.host) + host)


def _open_ipv6(sock: socket.socket, local: Address, group: Address, index: int) -> None:
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, MULTICAST_TTL)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
    if not group.port:
        sock.bind((local.host, local.port, 0, 0))
        return
    if sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0)
    sock.bind((local.host if sys.platform == "win32" else group.host, local.port, 0, index))
    membership = socket.inet_pton(socket.AF_INET6, group.host) + struct.pack("@I", index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)


def _index(host: str) -> int:
    """Returns the index of the interface that has the address.

    Raises: OSError when none has it any more.
    """
    for address in system.view(time.monotonic()).addresses:
        if address.host == host:
            return socket.if_nametoindex(address.interface)
    raise OSError(f"no interface has {host}")
