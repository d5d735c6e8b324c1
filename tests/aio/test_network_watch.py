"""Changes of this computer's addresses: heard, told once, and followed by connections; real sockets on loopback."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from icepath import Config, Connection, ConnectionClosed
from icepath.aio import network_watch, session
from icepath.aio.interfaces import HostAddress
from icepath.aio.network_watch import DEBOUNCE, Netlink, NetworkWatch, OnChange, Polling
from icepath.errors import Cause
from icepath.ice import events as ice
from icepath.ice.events import State

SOURCE = Path(__file__).resolve().parents[2] / "src"


class Fake:
    """Is a source that a test lets speak."""

    def __init__(self, *, is_there: bool = True) -> None:
        self.is_there = is_there
        self.on_change: OnChange | None = None
        self.stops = 0

    def start(self, on_change: OnChange) -> None:
        if not self.is_there:
            raise OSError("not here")
        self.on_change = on_change

    def stop(self) -> None:
        self.stops += 1

    def speak(self) -> None:
        assert self.on_change is not None
        self.on_change()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_watch, "DEBOUNCE", 0.02)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("quick")
class TestWatch:
    async def test_a_burst_is_told_once_to_everybody(self) -> None:
        fake = Fake()
        watch = NetworkWatch((lambda: fake,))
        told: list[str] = []
        watch.subscribe(lambda: told.append("one"))
        watch.subscribe(lambda: told.append("two"))
        for _ in range(5):
            fake.speak()
        assert told == []
        await until(lambda: len(told) >= 2)
        await asyncio.sleep(0.05)
        assert told == ["one", "two"]
        fake.speak()
        await until(lambda: len(told) == 4)

    async def test_it_runs_as_long_as_anybody_listens(self) -> None:
        fake = Fake()
        watch = NetworkWatch((lambda: fake,))
        assert not watch.is_running
        told: list[int] = []
        first = watch.subscribe(lambda: told.append(1))
        second = watch.subscribe(lambda: told.append(2))
        watch.unsubscribe(first)
        assert watch.is_running
        fake.speak()
        watch.unsubscribe(second)
        watch.unsubscribe(second)
        assert not watch.is_running
        assert fake.stops == 1
        await asyncio.sleep(0.05)
        assert told == []

    async def test_where_there_is_no_netlink_the_next_source_serves_and_without_any_nothing_is_told(self) -> None:
        absent, present = Fake(is_there=False), Fake()
        watch = NetworkWatch((lambda: absent, lambda: present))
        subscription = watch.subscribe(lambda: None)
        assert present.on_change is not None
        watch.unsubscribe(subscription)
        nothing = NetworkWatch((lambda: absent,))
        subscription = nothing.subscribe(lambda: None)
        assert not nothing.is_running
        nothing.unsubscribe(subscription)

    async def test_one_listeners_trouble_is_not_anothers(self, caplog: pytest.LogCaptureFixture) -> None:
        fake = Fake()
        watch = NetworkWatch((lambda: fake,))
        told: list[int] = []

        def fail() -> None:
            raise ValueError("oops")

        watch.subscribe(fail)
        watch.subscribe(lambda: told.append(1))
        fake.speak()
        await until(lambda: told == [1])
        assert "could not be taken in" in caplog.text

    async def test_there_is_one_per_loop(self) -> None:
        assert NetworkWatch.current() is NetworkWatch.current()


class TestSources:
    async def test_polling_tells_of_a_difference_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        addresses = ["192.0.2.1"]
        monkeypatch.setattr(network_watch, "_addresses", lambda: tuple(addresses))
        told: list[int] = []
        polling = Polling(0.01)
        polling.start(lambda: told.append(1))
        await asyncio.sleep(0.05)
        assert told == []
        addresses.append("192.0.2.2")
        await until(lambda: told == [1])
        await asyncio.sleep(0.05)
        assert told == [1]
        polling.stop()
        polling.stop()
        addresses.clear()
        await asyncio.sleep(0.03)
        assert told == [1]

    async def test_polling_asks_the_system(self) -> None:
        polling = Polling(0.01)
        polling.start(lambda: None)
        await asyncio.sleep(0.03)
        polling.stop()

    @pytest.mark.skipif(sys.platform != "linux", reason="Linux has netlink")
    async def test_netlink_opens_and_closes(self) -> None:
        netlink = Netlink()
        netlink.start(lambda: None)
        netlink.stop()
        netlink.stop()

    async def test_without_netlink_it_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(socket, "AF_NETLINK", raising=False)
        with pytest.raises(OSError, match="no netlink"):
            Netlink().start(lambda: None)

    async def test_a_netlink_that_may_not_be_joined_is_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(network_watch, "GROUPS", "none")
        with pytest.raises(TypeError):
            Netlink().start(lambda: None)

    @pytest.mark.net
    def test_the_kernel_tells_of_links_and_addresses(self) -> None:
        unshare = shutil.which("unshare")
        assert unshare is not None
        done = subprocess.run(
            [unshare, "--net", sys.executable, "-c", IN_A_NAMESPACE],
            env={"PYTHONPATH": str(SOURCE), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "link\naddress\ngone\n"), done.stderr


IN_A_NAMESPACE = """
import asyncio, subprocess
from icepath.aio.network_watch import NetworkWatch

async def main():
    changed = asyncio.Event()
    watch = NetworkWatch.current()
    subscription = watch.subscribe(changed.set)
    for name, commands in [
        ("link", ["ip link add d0 type veth peer name d1", "ip link set d0 up"]),
        ("address", ["ip addr add 10.9.9.1/24 dev d0"]),
        ("gone", ["ip link set d0 down"]),
    ]:
        changed.clear()
        for command in commands:
            subprocess.run(command.split(), check=True)
        await asyncio.wait_for(changed.wait(), 5.0)
        await asyncio.sleep(0.5)
        print(name)
    watch.unsubscribe(subscription)

asyncio.run(main())
"""


class Home:
    """Is this computer with addresses that a test chooses."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = hosts

    def usable(self, admit: object = None, *, loopback: bool = False) -> tuple[HostAddress, ...]:
        del admit, loopback
        return tuple(HostAddress(host, f"lo{host[-1]}") for host in self.hosts)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Home:
    made = Home("127.0.0.1")
    monkeypatch.setattr(session, "usable_addresses", made.usable)
    monkeypatch.setattr(network_watch, "DEBOUNCE", 0.02)
    return made


class Room:
    """Carries texts between two, and goes on."""

    def __init__(self) -> None:
        self.queues: dict[str, asyncio.Queue[str]] = {"a": asyncio.Queue(), "b": asyncio.Queue()}

    async def listen(self, name: str) -> AsyncIterator[str]:
        while True:
            yield await self.queues[name].get()

    def speak_to(self, name: str) -> Callable[[str], Awaitable[None]]:
        return self.queues[name].put


async def meet(config: Config) -> tuple[Connection, Connection]:
    a, b = Connection(config=config), Connection(config=config)
    room = Room()
    await asyncio.gather(
        a.negotiate(room.speak_to("b"), room.listen("a")),
        b.negotiate(room.speak_to("a"), room.listen("b")),
    )
    await until(lambda: a.state is b.state is State.COMPLETED)
    return a, b


def local_hosts(connection: Connection) -> set[str]:
    running = connection._session.running
    assert running is not None
    return {address.host for address in running.sockets}


def remote_host(connection: Connection) -> str | None:
    pair = connection.selected_pair
    return None if pair is None else pair.remote.host


def change(*connections: Connection) -> None:
    for connection in connections:
        connection._session.take_addresses()


class TestConnections:
    async def test_the_path_moves_to_a_new_address_and_the_old_one_goes(self, home: Home) -> None:
        a, b = await meet(Config(loopback=True))
        async with a, b:
            home.hosts = ("127.0.0.1", "127.0.0.2")
            change(a, b)
            assert local_hosts(a) == local_hosts(b) == {"127.0.0.1", "127.0.0.2"}
            await asyncio.sleep(0.3)  # the new pairs are checked
            home.hosts = ("127.0.0.2",)
            change(a, b)
            assert local_hosts(a) == local_hosts(b) == {"127.0.0.2"}
            await until(lambda: remote_host(a) == remote_host(b) == "127.0.0.2")
            await a.send(b"\x80over the new one")
            assert await asyncio.wait_for(b.receive(), 5.0) == b"\x80over the new one"
            assert a.selected_pair is not None
            assert a.selected_pair.local.host == "127.0.0.2"

    @pytest.mark.parametrize("renomination", [True, False])
    async def test_an_address_that_carries_the_only_path_stays(self, home: Home, renomination: bool) -> None:
        a, b = await meet(Config(loopback=True, renomination=renomination))
        async with a, b:
            home.hosts = () if renomination else ("127.0.0.2",)
            change(a)
            assert "127.0.0.1" in local_hosts(a)
            await a.send(b"\x80as before")
            assert await asyncio.wait_for(b.receive(), 5.0) == b"\x80as before"

    async def test_an_address_that_cannot_be_bound_is_left_out(self, home: Home) -> None:
        a, b = await meet(Config(loopback=True))
        async with a, b:
            home.hosts = ("127.0.0.1", "192.0.2.77")
            change(a)
            assert local_hosts(a) == {"127.0.0.1"}

    async def test_connections_listen_from_start_to_close(self, home: Home) -> None:
        watch = NetworkWatch.current()
        async with Connection(config=Config(loopback=True)) as one:
            assert watch.is_running
            home.hosts = ("127.0.0.1", "127.0.0.3")
            watch._on_change()
            await until(lambda: local_hosts(one) == {"127.0.0.1", "127.0.0.3"})
        assert not watch.is_running
        change(one)  # too late: nothing happens
        async with Connection(config=Config(loopback=True, watch_network=False)):
            assert not watch.is_running

    async def test_a_connection_may_rest(self, home: Home) -> None:
        del home
        a, b = await meet(Config(loopback=True))
        async with a, b:
            a.idle()
            await b.send(b"\x80wake up")
            assert await asyncio.wait_for(a.receive(), 5.0) == b"\x80wake up"
            a.wake()


def ufrags(*connections: Connection) -> list[str]:
    return [connection._session.local_description().ufrag for connection in connections]


def hear_nothing(connection: Connection) -> None:
    connection._on_event(ice.StateChanged(State.DISCONNECTED, Cause.NO_RECENT_ANSWER))


@pytest.mark.usefixtures("home")
class TestSilence:
    """`negotiate` begins anew when nothing is heard, on the controlling side."""

    async def test_the_controlling_side_restarts_and_the_other_follows(self) -> None:
        a, b = await meet(Config(loopback=True))
        async with a, b:
            before = ufrags(a, b)
            for connection in (a, b):
                hear_nothing(connection)
            await until(lambda: not set(ufrags(a, b)) & set(before))
            await until(lambda: a.state is b.state is State.COMPLETED)
            after = ufrags(a, b)
            await asyncio.sleep(0.1)
            assert ufrags(a, b) == after
            await a.send(b"\x80again")
            assert await asyncio.wait_for(b.receive(), 5.0) == b"\x80again"

    async def test_not_when_it_was_heard_again_meanwhile_nor_when_the_channel_is_gone(self) -> None:
        a, b = await meet(Config(loopback=True))
        async with a, b:
            before = ufrags(a, b)
            for connection in (a, b):
                hear_nothing(connection)
                connection._on_event(ice.StateChanged(State.COMPLETED))
            await asyncio.sleep(0.05)
            for connection in (a, b):
                assert connection._negotiation is not None
                await connection._negotiation.stop()
                hear_nothing(connection)
            await asyncio.sleep(0.05)
            assert ufrags(a, b) == before

    async def test_patience_ends_a_restart_that_nobody_answers_once_the_old_path_is_lost(self) -> None:
        a, b = await meet(Config(loopback=True, patience=0.05))
        async with a, b:
            a._on_event(ice.StateChanged(State.NEW))
            b._on_event(ice.StateChanged(State.NEW))
            b._on_event(ice.StateChanged(State.COMPLETED))
            await until(lambda: a.state is State.FAILED)
            with pytest.raises(ConnectionClosed):
                await a.send(b"x")
            assert b.state is State.COMPLETED


def test_a_burst_is_short() -> None:
    assert DEBOUNCE == 0.2
