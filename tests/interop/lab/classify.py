"""Measures what a NAT really does, with plain sockets and the few bytes of STUN that takes (RFC 5780 §4).

Two programs in one file. `serve FIRST SECOND` answers Binding requests on two addresses and two ports each and
honours CHANGE-REQUEST. `probe FIRST SECOND` runs behind the NAT and prints one JSON line: mapping, filtering,
hairpin, round-trip time. It shares no code with the agents under test, nor with coturn: it checks the laboratory
itself.
"""

from __future__ import annotations

import ipaddress
import json
import os
import select
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass

PORTS = (7000, 7001)
COOKIE = 0x2112A442
CHANGE_REQUEST = 0x0003
XOR_MAPPED_ADDRESS = 0x0020
CHANGE_PORT, CHANGE_ADDRESS = 2, 4
# Four times the laboratory's round trip to the server: an answer that has not come by then will not.
PATIENCE = 0.25
TRIES = 2

Endpoint = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was seen: `mapping` none, eim, adm or apdm; `filtering` eif, adf or apdf; both blocked without UDP."""

    mapping: str
    filtering: str
    hairpin: bool
    round_trip_ms: float


def serve(first: str, second: str) -> None:
    """Answers until killed."""
    sockets = {(host, port): _open(host, port) for host in (first, second) for port in PORTS}
    names = {sock: name for name, sock in sockets.items()}
    print("ready", flush=True)
    while True:
        for sock in select.select(list(names), (), ())[0]:
            request, source = sock.recvfrom(2048)
            if len(request) < 20:
                continue
            host, port = names[sock]
            change = int.from_bytes(request[24:28], "big") if request[20:22] == b"\0\3" else 0
            host = ({first, second} - {host}).pop() if change & CHANGE_ADDRESS else host
            port = sum(PORTS) - port if change & CHANGE_PORT else port
            sockets[host, port].sendto(_answer(request, source[:2]), source)


def probe(first: str, second: str) -> Verdict:
    """Classifies the NAT between here and the server; fresh sockets for each question, so none opens another's way."""
    sock = _open(_own_address(first), 0)
    started = time.monotonic()
    mapped = ask(sock, (first, PORTS[0]))
    round_trip = 1000 * (time.monotonic() - started)
    if mapped is None:
        return Verdict("blocked", "blocked", False, 0.0)
    return Verdict(_mapping(sock, mapped, first, second), _filtering(first), _hairpin(first), round(round_trip, 2))


def ask(sock: socket.socket, server: Endpoint, change: int = 0) -> Endpoint | None:
    """Asks for the mapped address; None when no answer comes."""
    for _ in range(TRIES):
        transaction = os.urandom(12)
        attribute = struct.pack("!HHI", CHANGE_REQUEST, 4, change) if change else b""
        sock.sendto(struct.pack("!HHI", 1, len(attribute), COOKIE) + transaction + attribute, server)
        deadline = time.monotonic() + PATIENCE
        while select.select((sock,), (), (), max(0.0, deadline - time.monotonic()))[0]:
            answer = sock.recv(2048)
            if answer[8:20] == transaction:
                return _decode(answer)
    return None


def _mapping(sock: socket.socket, mapped: Endpoint, first: str, second: str) -> str:
    if mapped == sock.getsockname()[:2]:
        return "none"
    if ask(sock, (second, PORTS[0])) == mapped and ask(sock, (second, PORTS[1])) == mapped:
        return "eim"
    return "adm" if ask(sock, (first, PORTS[1])) == mapped else "apdm"


def _filtering(first: str) -> str:
    for change, verdict in ((CHANGE_ADDRESS | CHANGE_PORT, "eif"), (CHANGE_PORT, "adf")):
        sock = _open(_own_address(first), 0)
        ask(sock, (first, PORTS[0]))
        if ask(sock, (first, PORTS[0]), change) is not None:
            return verdict
    return "apdf"


def _hairpin(first: str) -> bool:
    """Whether two sockets here reach each other by their mapped addresses, with the mapped address as source."""
    left, right = _open(_own_address(first), 0), _open(_own_address(first), 0)
    left_mapped, right_mapped = ask(left, (first, PORTS[0])), ask(right, (first, PORTS[0]))
    if left_mapped is None or right_mapped is None:
        return False
    # Both send, twice: a router between here and the hairpinning one lets in only answers.
    for _ in range(2):
        left.sendto(b"hairpin", right_mapped)
        right.sendto(b"hairpin", left_mapped)
        if select.select((right,), (), (), PATIENCE)[0]:
            payload, source = right.recvfrom(2048)
            return payload == b"hairpin" and source[:2] == left_mapped
    return False


def _answer(request: bytes, source: Endpoint) -> bytes:
    address = ipaddress.ip_address(source[0])
    mask = struct.pack("!I", COOKIE) + request[8:20]
    host = bytes(a ^ b for a, b in zip(address.packed, mask, strict=False))
    value = struct.pack("!BBH", 0, 1 if address.version == 4 else 2, source[1] ^ (COOKIE >> 16)) + host
    attribute = struct.pack("!HH", XOR_MAPPED_ADDRESS, len(value)) + value
    return struct.pack("!HH", 0x0101, len(attribute)) + request[4:20] + attribute


def _decode(answer: bytes) -> Endpoint:
    """Reads the one attribute that `_answer` writes."""
    length = int.from_bytes(answer[22:24], "big")
    port, host = int.from_bytes(answer[26:28], "big") ^ (COOKIE >> 16), answer[28 : 24 + length]
    return str(ipaddress.ip_address(bytes(a ^ b for a, b in zip(host, answer[4:20], strict=False)))), port


def _own_address(server: str) -> str:
    with socket.socket(_family(server), socket.SOCK_DGRAM) as sock:
        sock.connect((server, PORTS[0]))
        return str(sock.getsockname()[0])


def _open(host: str, port: int) -> socket.socket:
    sock = socket.socket(_family(host), socket.SOCK_DGRAM)
    sock.bind((host, port))
    return sock


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], sys.argv[3])
    else:
        print(json.dumps(asdict(probe(sys.argv[2], sys.argv[3]))))
