"""The Allocation machine against a real coturn on loopback, over plain blocking UDP sockets.

Two allocations, one per side, and data through both: what one sends from its relayed address arrives at the
other's relayed address. Skips without `turnserver`; `make test-interop` runs it.
"""

from __future__ import annotations

import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from icepath.entropy import Secret
from icepath.machine import Datagram, Event, MachineClosed
from icepath.net import Address, Instant
from icepath.stun.credentials import Challenge, LongTermCredentials
from icepath.turn.client.allocation import Allocation
from icepath.turn.client.config import AllocationConfig
from icepath.turn.client.events import (
    Allocated,
    AllocationFailed,
    AllocationFailure,
    AllocationLost,
    ChallengeRemembered,
    ChannelBound,
    PeerDataReceived,
    PermissionFailed,
    PermissionsInstalled,
)
from icepath.wire.attributes import AddressFamily
from icepath.wire.message import Method, decode_message

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("turnserver") is None, reason="coturn is not installed"),
]

HOST = "127.0.0.1"
USER, PASSWORD, REALM = "u", "p", "test"
EventT = TypeVar("EventT", bound=Event)

# Nothing on loopback takes longer, in seconds.
PATIENCE = 5.0


class Client:
    """An allocation and its socket."""

    def __init__(
        self,
        server: Address,
        *,
        password: str = PASSWORD,
        user: str = USER,
        sock: socket.socket | None = None,
        challenge: Challenge | None = None,
        families: tuple[AddressFamily, ...] = (AddressFamily.IPV4,),
        permit: tuple[str, ...] = (),
    ) -> None:
        if sock is None:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((HOST, 0))
            opened.append(sock)
        self.sock = sock
        self.local = Address(*self.sock.getsockname()[:2])
        self.server = server
        credentials = LongTermCredentials(user, Secret(password))
        config = AllocationConfig(
            server, self.local, credentials, challenge=challenge, families=families, software="icepath"
        )
        self.allocation = Allocation(
            config, random_bytes=secrets.token_bytes, reserve_slot=immediately, now=time.monotonic()
        )
        self.events: list[Event] = []
        self.sent: list[bytes] = []
        self.received: list[bytes] = []
        if permit:
            self.allocation.permit(permit, now=time.monotonic())
        self.drain()

    def drain(self) -> None:
        for item in self.allocation.take_outputs():
            if isinstance(item, Datagram):
                self.sent.append(item.payload)
                self.sock.sendto(item.payload, item.remote)
            else:
                assert isinstance(item, Event)
                self.events.append(item)

    def step(self, seconds: float) -> None:
        """Waits for one datagram or deadline."""
        deadline = self.allocation.next_deadline()
        now = time.monotonic()
        wait = seconds if deadline is None else min(seconds, deadline - now)
        self.sock.settimeout(max(wait, 0.001))
        try:
            payload, remote = self.sock.recvfrom(65536)
        except TimeoutError:
            pass
        else:
            self.received.append(payload)
            arrival = Datagram(self.local, Address(*remote[:2]), payload)
            self.allocation.receive(arrival, now=time.monotonic())
        self.allocation.handle_timeout(now=time.monotonic())
        self.drain()

    def wait_for(self, kind: type[EventT]) -> EventT:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for event in self.events:
                if isinstance(event, kind):
                    self.events.remove(event)
                    return event
            self.step(0.1)
        raise AssertionError(f"no {kind.__name__}, only {self.events}")

    def close(self) -> None:
        self.allocation.close(now=time.monotonic())
        self.drain()
        self.wait_for(MachineClosed)


opened: list[socket.socket] = []


def immediately(now: Instant) -> Instant:
    return now


class Coturn:
    """A running turnserver."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((HOST, 0))
            self.address = Address(HOST, probe.getsockname()[1])
        self.log = folder / "log"
        command = [
            *("turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--allow-loopback-peers", "--simple-log", "-v"),
            *("-L", HOST, "-E", HOST, "-p", str(self.address.port), "-a", "-r", REALM, "-u", f"{USER}:{PASSWORD}"),
            *("-u", "other:q", "--min-port=34000", "--max-port=34200", "--log-file=stdout"),
            *(f"--pidfile={folder / 'pid'}", f"--db={folder / 'db'}", *options),
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        end = time.monotonic() + PATIENCE
        while "IPv4. UDP listener opened on" not in self.text():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < end, self.text()
            time.sleep(0.05)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for_line(self, pattern: str) -> None:
        end = time.monotonic() + PATIENCE
        while re.search(pattern, self.text()) is None:
            assert time.monotonic() < end, f"no {pattern!r} in {self.text()}"
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Coturn]]:
    running: list[Coturn] = []

    def begin(*options: str) -> Coturn:
        running.append(Coturn(tmp_path, *options))
        return running[-1]

    yield begin
    while opened:
        opened.pop().close()
    for server in running:
        server.stop()


def test_data_goes_both_ways_through_two_allocations(start: Callable[..., Coturn]) -> None:
    server = start()
    a, b = Client(server.address, permit=(HOST,)), Client(server.address, permit=(HOST,))
    relayed_a, relayed_b = (client.wait_for(Allocated).relayed[0] for client in (a, b))
    for client in (a, b):
        assert client.wait_for(PermissionsInstalled).hosts == (HOST,)
    a.allocation.send(relayed_b, b"by indication", now=time.monotonic())
    a.drain()
    assert b.wait_for(PeerDataReceived) == PeerDataReceived(relayed_b, relayed_a, b"by indication")
    a.allocation.bind_channel(relayed_b, now=time.monotonic())
    a.drain()
    channel = a.wait_for(ChannelBound).channel
    assert a.allocation.channel_of(relayed_b) == channel
    for size in (0, 1, 1200):
        a.allocation.send(relayed_b, b"c" * size, now=time.monotonic())
        a.drain()
        assert a.sent[-1][:4] == channel.to_bytes(2, "big") + size.to_bytes(2, "big")
        assert b.wait_for(PeerDataReceived).payload == b"c" * size
        b.allocation.send(relayed_a, b"d" * size, now=time.monotonic())
        b.drain()
        assert a.wait_for(PeerDataReceived) == PeerDataReceived(relayed_a, relayed_b, b"d" * size)
        assert a.received[-1][:2] == channel.to_bytes(2, "big")
    a.close()
    b.close()
    server.wait_for_line(r"(?s)refreshed.*lifetime=0.*refreshed.*lifetime=0")


def test_permission_travels_right_behind_the_allocate(start: Callable[..., Coturn]) -> None:
    server = start()
    client = Client(server.address, permit=(HOST,))
    client.wait_for(Allocated)
    client.wait_for(PermissionsInstalled)
    # A fourth, when coturn's threads saw the CreatePermission first.
    methods = [decode_message(payload).method for payload in client.sent[:3]]
    assert methods == [Method.ALLOCATE, Method.ALLOCATE, Method.CREATE_PERMISSION]
    client.close()


def test_remembered_challenge_saves_a_round_trip_or_costs_one(start: Callable[..., Coturn]) -> None:
    server = start()
    first = Client(server.address)
    challenge = first.wait_for(ChallengeRemembered).challenge
    first.close()
    # coturn's nonce belongs to the five-tuple: from another socket it is stale, and replaced.
    second = Client(server.address, challenge=challenge)
    second.wait_for(Allocated)
    assert len(second.sent) == 2
    second.close()


def test_refresh_keeps_the_allocation(start: Callable[..., Coturn]) -> None:
    server = start()
    client = Client(server.address)
    allocated = client.wait_for(Allocated)
    # The machine's clock runs ahead of the server's: the refresh is due now.
    count = len(client.sent)
    client.allocation.handle_timeout(now=time.monotonic() + allocated.lifetime - 60)
    client.drain()
    assert len(client.sent) == count + 1
    server.wait_for_line(r"refreshed.*lifetime=600")
    client.close()


def test_wrong_password_is_told(start: Callable[..., Coturn]) -> None:
    server = start()
    client = Client(server.address, password="wrong")
    failed = client.wait_for(AllocationFailed)
    assert (failed.reason, failed.code) == (AllocationFailure.WRONG_CREDENTIALS, 401)


def test_quota_is_told(start: Callable[..., Coturn]) -> None:
    server = start("--user-quota=1")
    first = Client(server.address)
    first.wait_for(Allocated)
    second = Client(server.address)
    failed = second.wait_for(AllocationFailed)
    assert (failed.reason, failed.code) == (AllocationFailure.QUOTA, 486)
    first.close()


def test_forbidden_host_does_not_take_the_others_along(start: Callable[..., Coturn]) -> None:
    server = start("--denied-peer-ip=10.0.0.1")
    client = Client(server.address, permit=("10.0.0.1", HOST))
    client.wait_for(Allocated)
    assert client.wait_for(PermissionsInstalled).hosts == (HOST,)
    assert client.wait_for(PermissionFailed) == PermissionFailed(("10.0.0.1",), 403)
    client.close()


def test_what_an_earlier_run_left_behind_is_evicted(start: Callable[..., Coturn]) -> None:
    server = start()
    first = Client(server.address)
    first.wait_for(Allocated)
    # The process died without closing; the next one got the same port.
    second = Client(server.address, sock=first.sock)
    second.wait_for(Allocated)
    second.close()


def test_another_users_allocation_is_left_alone(start: Callable[..., Coturn]) -> None:
    server = start()
    first = Client(server.address)
    first.wait_for(Allocated)
    second = Client(server.address, user="other", password="q", sock=first.sock)
    second.step(0.2)
    second.step(0.2)
    second.step(0.2)
    assert not any(isinstance(event, Allocated) for event in second.events)


def test_replaced_credentials_save_the_path(start: Callable[..., Coturn]) -> None:
    server = start()
    a, b = Client(server.address, permit=(HOST,)), Client(server.address, permit=(HOST,))
    relayed_a, relayed_b = (client.wait_for(Allocated).relayed[0] for client in (a, b))
    for client in (a, b):
        client.wait_for(PermissionsInstalled)
    a.allocation.set_credentials(LongTermCredentials(USER, Secret(PASSWORD)), now=time.monotonic())
    a.allocation.handle_timeout(now=time.monotonic() + 540)
    a.drain()
    server.wait_for_line(r"refreshed.*lifetime=600")
    b.allocation.send(relayed_a, b"still here", now=time.monotonic())
    b.drain()
    assert a.wait_for(PeerDataReceived).peer == relayed_b
    assert not any(isinstance(event, AllocationLost) for event in a.events)
    a.close()
    b.close()


def test_ipv6_alone_is_refused_by_a_server_without_it(start: Callable[..., Coturn]) -> None:
    server = start()
    client = Client(server.address, families=(AddressFamily.IPV6,))
    failed = client.wait_for(AllocationFailed)
    assert (failed.reason, failed.code) == (AllocationFailure.UNSUPPORTED_FAMILY, 440)


def test_dual_allocation_takes_what_there_is(start: Callable[..., Coturn]) -> None:
    server = start()
    client = Client(server.address, families=(AddressFamily.IPV4, AddressFamily.IPV6), permit=(HOST, "::1"))
    allocated = client.wait_for(Allocated)
    # coturn 4.6.1 does not know ADDITIONAL-ADDRESS-FAMILY by its RFC number.
    assert [address.is_ipv6 for address in allocated.relayed] == [False]
    assert client.wait_for(PermissionFailed) == PermissionFailed(("::1",), 443)
    assert client.wait_for(PermissionsInstalled).hosts == (HOST,)
    client.close()
