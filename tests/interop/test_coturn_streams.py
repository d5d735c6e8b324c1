"""The Allocation machine against a real coturn on loopback: over TCP, moving (RFC 8016), and for TCP (RFC 6062).

Blocking sockets and one selector play the driver. Skips without `turnserver`; `make test-interop` runs it.
"""

from __future__ import annotations

import secrets
import selectors
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from icepath.entropy import Secret
from icepath.machine import (
    Bytes,
    Close,
    Closed,
    CloseReason,
    Connect,
    Datagram,
    Event,
    Handle,
    MachineClosed,
    Opened,
    Transport,
)
from icepath.net import Address
from icepath.stun.credentials import LongTermCredentials
from icepath.turn.client.allocation import Allocation
from icepath.turn.client.config import AllocationConfig
from icepath.turn.client.events import (
    Allocated,
    ChannelBound,
    Migrated,
    PeerBytesReceived,
    PeerConnected,
    PeerDataReceived,
    PermissionsInstalled,
    RouteChosen,
)
from icepath.turn.client.routes import Route

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("turnserver") is None, reason="coturn is not installed"),
]

HOST = "127.0.0.1"
EventT = TypeVar("EventT", bound=Event)
# Nothing on loopback takes longer, in seconds.
PATIENCE = 5.0


class Client:
    """An allocation, and the sockets it asks for."""

    def __init__(self, server: Address, *transports: Transport, mobility: bool = False, tcp: bool = False) -> None:
        self.selector = selectors.DefaultSelector()
        self.datagrams: dict[Address, socket.socket] = {}
        self.streams: dict[Handle, socket.socket] = {}
        self.events: list[Event] = []
        clients.append(self)
        self.local = self.bind()
        config = AllocationConfig(
            server,
            self.local,
            LongTermCredentials("u", Secret("p")),
            routes=tuple(Route(server, transport) for transport in transports),
            mobility=mobility,
            relay_transport=Transport.TCP if tcp else Transport.UDP,
        )
        self.allocation = Allocation(
            config, random_bytes=secrets.token_bytes, reserve_slot=lambda now: now, now=time.monotonic()
        )
        self.drain()

    def bind(self) -> Address:
        """Opens one more UDP socket."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((HOST, 0))
        local = Address(*sock.getsockname())
        self.datagrams[local] = sock
        self.selector.register(sock, selectors.EVENT_READ, local)
        return local

    def drain(self) -> None:
        while outputs := self.allocation.take_outputs():
            for item in outputs:
                match item:
                    case Datagram():
                        self.datagrams[item.local].sendto(item.payload, item.remote)
                    case Bytes():
                        self.streams[item.handle].sendall(item.payload)
                    case Connect():
                        self.connect(item)
                    case Close():
                        self.forget(item.handle)
                    case Event():
                        self.events.append(item)
                    case _:
                        raise AssertionError(item)

    def connect(self, command: Connect) -> None:
        assert command.local is not None
        sock = socket.create_connection(command.remote, PATIENCE, source_address=command.local)
        self.streams[command.handle] = sock
        self.selector.register(sock, selectors.EVENT_READ, command.handle)
        opened = Opened(command.handle, Address(*sock.getsockname()), command.remote)
        self.allocation.receive(opened, now=time.monotonic())

    def forget(self, handle: Handle) -> None:
        sock = self.streams.pop(handle, None)
        if sock is not None:
            self.selector.unregister(sock)
            sock.close()

    def step(self) -> None:
        for key, _ in self.selector.select(0.02):
            if isinstance(key.data, Address):
                payload, remote = self.datagrams[key.data].recvfrom(65536)
                self.allocation.receive(Datagram(key.data, Address(*remote), payload), now=time.monotonic())
            else:
                self.read(key.data)
        self.allocation.handle_timeout(now=time.monotonic())
        self.drain()

    def read(self, handle: Handle) -> None:
        reason = CloseReason.EOF
        try:
            data = self.streams[handle].recv(65536)
        except ConnectionResetError:
            data, reason = b"", CloseReason.RESET
        if data:
            self.allocation.receive(Bytes(handle, data), now=time.monotonic())
        else:
            self.forget(handle)
            self.allocation.receive(Closed(handle, reason), now=time.monotonic())

    def wait_for(self, kind: type[EventT], meanwhile: Callable[[], object] = lambda: None) -> EventT:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for event in self.events:
                if isinstance(event, kind):
                    self.events.remove(event)
                    return event
            meanwhile()
            self.step()
        raise AssertionError(f"no {kind.__name__} within {PATIENCE} s, but {self.events}")

    def close(self) -> None:
        self.allocation.close(now=time.monotonic())
        self.drain()
        self.wait_for(MachineClosed)

    def free(self) -> None:
        for sock in (*self.datagrams.values(), *self.streams.values()):
            sock.close()
        self.selector.close()


clients: list[Client] = []


@pytest.fixture(autouse=True)
def _free() -> Iterator[None]:
    """Closes the sockets of a test, however it went."""
    yield
    while clients:
        clients.pop().free()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Address]:
    """Returns the address of a coturn that gives tickets and relays to loopback."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        address = Address(HOST, probe.getsockname()[1])
    command = [
        "turnserver", "-n", "--listening-ip", HOST, "--relay-ip", HOST, "--listening-port", str(address.port),
        "--lt-cred-mech", "--user", "u:p", "--realm", "test", "--allow-loopback-peers", "--no-cli", "--mobility",
        "--no-tls", "--no-dtls", "--pidfile", str(tmp_path / "pid"), "--log-file", "stdout", "--simple-log",
        "--cli-password", secrets.token_hex(8),
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                socket.create_connection(address, 0.1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield address
        process.terminate()


def echo_through(client: Client, payload: bytes) -> bytes:
    """Sends a payload to a peer, has it sent back, and returns what arrives."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((HOST, 0))
        peer.settimeout(PATIENCE)
        address = Address(*peer.getsockname())
        client.allocation.permit([HOST], now=time.monotonic())
        client.allocation.send(address, payload, now=time.monotonic())
        client.drain()
        data, relayed = peer.recvfrom(65536)
        peer.sendto(data, relayed)
        return client.wait_for(PeerDataReceived).payload


def test_data_over_tcp(server: Address) -> None:
    client = Client(server, Transport.TCP)
    assert not client.wait_for(Allocated).is_reflexive
    client.allocation.permit([HOST], now=time.monotonic())
    client.wait_for(PermissionsInstalled)
    for size in (1, 2, 3, 1201):
        assert echo_through(client, bytes(size)) == bytes(size)
    client.close()


def test_channel_data_over_tcp(server: Address) -> None:
    client = Client(server, Transport.TCP)
    client.wait_for(Allocated)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((HOST, 0))
        peer.settimeout(PATIENCE)
        address = Address(*peer.getsockname())
        client.allocation.bind_channel(address, now=time.monotonic())
        client.drain()
        client.wait_for(ChannelBound)
        for payload in (b"1", b"12345"):
            client.allocation.send(address, payload, now=time.monotonic())
            client.drain()
            data, relayed = peer.recvfrom(65536)
            assert data == payload
            peer.sendto(data, relayed)
            assert client.wait_for(PeerDataReceived).payload == payload
    client.close()


def test_udp_wins_the_race(server: Address) -> None:
    client = Client(server, Transport.UDP, Transport.TCP)
    client.wait_for(Allocated)
    assert client.wait_for(RouteChosen).route.transport is Transport.UDP
    client.close()


@pytest.mark.rfc("8016", "3.2.2")
def test_an_allocation_moves(server: Address) -> None:
    """Over UDP: over TCP, coturn 4.6.1 resets the old connection and sends no message along the new one."""
    client = Client(server, Transport.UDP, mobility=True)
    relayed = client.wait_for(Allocated).relayed
    assert client.allocation.is_mobile
    client.allocation.permit([HOST], now=time.monotonic())
    client.wait_for(PermissionsInstalled)
    client.allocation.migrate(client.bind(), now=time.monotonic())
    client.drain()
    client.wait_for(Migrated)
    assert client.allocation.relayed == relayed
    assert echo_through(client, b"moved") == b"moved"
    client.close()


@pytest.mark.rfc("6062", "4.3")
def test_a_connection_to_a_peer(server: Address) -> None:
    client = Client(server, Transport.TCP, tcp=True)
    client.wait_for(Allocated)
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        listener.settimeout(PATIENCE)
        peer = Address(*listener.getsockname())
        client.allocation.permit([HOST], now=time.monotonic())
        client.wait_for(PermissionsInstalled)
        client.allocation.connect_peer(peer, now=time.monotonic())
        client.drain()
        connected = client.wait_for(PeerConnected)
        assert connected.peer == peer
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(PATIENCE)
            client.allocation.send_to_peer(connected.handle, b"hello", now=time.monotonic())
            client.drain()
            assert accepted.recv(100) == b"hello"
            accepted.sendall(b"and back")
            assert client.wait_for(PeerBytesReceived).payload == b"and back"
    client.close()


@pytest.mark.rfc("6062", "4.4")
def test_a_connection_from_a_peer(server: Address) -> None:
    client = Client(server, Transport.TCP, tcp=True)
    (relayed,) = client.wait_for(Allocated).relayed
    client.allocation.permit([HOST], now=time.monotonic())
    client.wait_for(PermissionsInstalled)
    with socket.create_connection(relayed, PATIENCE) as peer:
        connected = client.wait_for(PeerConnected)
        assert connected.is_incoming
        peer.sendall(b"hello")
        assert client.wait_for(PeerBytesReceived).payload == b"hello"
    client.close()
