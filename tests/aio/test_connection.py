"""`Connection` with real agents over loopback: what an asyncio programmer may rely on."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from aio.echo_machine import LOOPS, LoopFactory, run
from aio.turn_server import PASSWORD, USERNAME, free_address, turn_server
from icepath.aio import connection as connection_module
from icepath.aio import session
from icepath.aio.config import Config
from icepath.aio.connection import Connection
from icepath.aio.driver import Driver
from icepath.aio.endpoint import Endpoint
from icepath.aio.events import (
    CandidateGathered,
    Event,
    GatheringCompleted,
    PairSelected,
    PairValidated,
    PolicyFailed,
    Restarted,
    RoleChanged,
    ServerFailed,
    StateChanged,
)
from icepath.aio.interfaces import HostAddress
from icepath.aio.servers import IceServer, as_servers, challenges
from icepath.aio.udp import UdpOptions
from icepath.errors import (
    Cause,
    ConnectFailed,
    ConnectionClosed,
    DecodeError,
    InvalidArgument,
    InvalidState,
)
from icepath.ice.config import Role
from icepath.ice.events import State
from icepath.ice.nomination import Nominate, NominationView, Wait
from icepath.net import Address
from icepath.wire.fragment import Description


def only_ipv4_loopback(name: str, host: str) -> bool:
    return host == "127.0.0.1"


LOCAL = Config(loopback=True, interfaces=only_ipv4_loopback)
SETTLED = {State.COMPLETED}


@asynccontextmanager
async def connected(config: Config = LOCAL, components: int = 1) -> AsyncIterator[tuple[Connection, Connection]]:
    """Yields a connected pair, settled on its path."""
    async with (
        Connection(config=config, components=components) as alice,
        Connection(config=config, components=components) as bob,
    ):
        await connect(alice, bob)
        await settled(alice, bob)
        yield alice, bob


async def connect(alice: Connection, bob: Connection) -> None:
    async with asyncio.timeout(10):
        offer = await alice.gather()
        bob.set_remote_description(offer)
        answer = await bob.gather()
        await asyncio.gather(alice.connect(answer), bob.connect())


async def settled(*links: Connection) -> None:
    for link in links:
        await until(link, State.COMPLETED)


async def until(link: Connection, state: State) -> None:
    async with asyncio.timeout(10):
        async for event in link.events():
            if isinstance(event, StateChanged) and event.state is state and link.state is state:
                return


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


# -- connecting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loop_factory", "config"),
    [
        pytest.param(LOOPS[0], LOCAL, id="asyncio"),
        pytest.param(LOOPS[1], LOCAL, id="uvloop"),
        pytest.param(
            LOOPS[0],
            Config(loopback=True, interfaces=only_ipv4_loopback, udp=UdpOptions(reader="task")),
            id="no add_reader",
        ),
        pytest.param(LOOPS[0], Config(loopback=True, interfaces=only_ipv4_loopback, flows=False), id="no flows"),
    ],
)
def test_two_connections_exchange_descriptions_and_data(loop_factory: LoopFactory, config: Config) -> None:
    async def main() -> None:
        async with Connection(config=config) as alice, Connection(config=config) as bob:
            offer, answer = await asyncio.gather(alice.gather(), bob.gather())
            pairs = await asyncio.gather(alice.connect(answer), bob.connect(offer))
            assert {str(pair).split("  ")[0] for pair in pairs} == {"direct"}
            await settled(alice, bob)
            assert {alice.role, bob.role} == {"controlling", "controlled"}
            for number in range(50):
                await alice.send(b"to bob %d" % number)
                await bob.send(bytearray(b"to alice"))
                assert await bob.receive() == b"to bob %d" % number
                assert await alice.receive() == b"to alice"
            ours, theirs = alice.selected_pair, bob.selected_pair
            assert ours is not None
            assert theirs is not None
            assert ours.local.address == theirs.remote.address
        assert alice.state is bob.state is State.CLOSED

    run(main(), loop_factory)


@pytest.mark.rfc("8445", "6.1.1")
async def test_who_hands_out_first_is_controlling() -> None:
    async with Connection(config=LOCAL) as alice, Connection(config=LOCAL) as bob:
        assert alice.role is None
        offer = await alice.gather()
        assert alice.role == "controlling"
        bob.set_remote_description(str(offer))
        assert bob.role == "controlled"
        assert bob.local_description.ufrag != offer.ufrag
        assert bob.role == "controlled"


@pytest.mark.rfc("8445", "6.1.1")
async def test_who_has_the_others_description_before_starting_is_controlled() -> None:
    async with Connection(config=LOCAL) as alice:
        bob = Connection(config=LOCAL)
        bob.set_remote_description(await alice.gather())
        async with bob:
            assert (alice.role, bob.role) == ("controlling", "controlled")
            assert bob.stats()["T1"]["iceRole"] == "controlled"
            await asyncio.gather(alice.connect(await bob.gather()), bob.connect())


class Casting:
    """Is an agent whose role may be set."""

    def __init__(self) -> None:
        self.role = Role.CONTROLLING

    def set_role(self, role: Role, *, now: float) -> None:
        self.role = role


async def test_a_role_that_was_given_holds() -> None:
    async with (
        Connection(config=LOCAL, role="controlled") as alice,
        Connection(config=LOCAL, role="controlling") as bob,
    ):
        await connect(alice, bob)
        assert (alice.role, bob.role) == ("controlled", "controlling")


async def test_a_role_conflict_is_repaired() -> None:
    alice, bob = Connection(config=LOCAL, role="controlled"), Connection(config=LOCAL, role="controlled")
    async with alice, bob:
        await connect(alice, bob)
        await settled(alice, bob)
        assert {alice.role, bob.role} == {"controlling", "controlled"}


async def test_own_signalling_by_events_and_candidate_lines() -> None:
    async with Connection(config=LOCAL) as alice, Connection(config=LOCAL) as bob:
        offer = alice.local_description
        bob.set_remote_description(Description(offer.ufrag, offer.password))
        answer = bob.local_description
        alice.set_remote_description(Description(answer.ufrag, answer.password))

        async def carry(source: Connection, target: Connection) -> None:
            async for event in source.events():
                if isinstance(event, CandidateGathered):
                    target.add_remote_candidate(str(event.candidate))
                elif isinstance(event, GatheringCompleted):
                    target.add_remote_candidate("a=end-of-candidates")
                    target.add_remote_candidate(None)

        carrying = [asyncio.ensure_future(carry(alice, bob)), asyncio.ensure_future(carry(bob, alice))]
        await asyncio.gather(alice.connect(), bob.connect())
        alice.add_remote_candidate(bob.local_description.candidates[0])
    await asyncio.gather(*carrying)


async def test_connect_cancelled_or_timed_out_only_stops_waiting() -> None:
    async with Connection(config=LOCAL) as alice, Connection(config=LOCAL) as bob:
        offer = await alice.gather()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await alice.connect()
        task = asyncio.ensure_future(alice.connect())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        bob.set_remote_description(offer)
        await asyncio.gather(alice.connect(await bob.gather()), bob.connect())
        assert await alice.connect() == alice.selected_pair


async def test_no_path_is_connect_failed_with_cause_and_evidence(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "icepath")
    config = Config(loopback=True, interfaces=only_ipv4_loopback, patience=0.05)
    nobody = free_address()
    async with Connection(config=config) as alice:
        other = Connection().local_description
        line = f"candidate:1 1 udp 2130706431 {nobody.host} {nobody.port} typ host"
        alice.set_remote_description(other)
        alice.add_remote_candidate(line)
        with pytest.raises(ConnectFailed) as caught:
            await alice.connect()
        assert caught.value.cause is Cause.NO_ANSWER
        assert "on 1 pair in 0." in caught.value.evidence
        assert alice.state is State.FAILED
        for attempt in (alice.receive(), anext(alice.__aiter__()), alice.send(b"x"), alice.connect()):
            with pytest.raises(ConnectFailed):
                await attempt
    assert [record.getMessage().split(",")[0].split(" after")[0] for record in caplog.records] == ["failed"]


async def test_a_description_that_is_none_is_refused_at_once() -> None:
    async with Connection(config=LOCAL) as alice:
        with pytest.raises(DecodeError):
            await alice.connect("no description")
        with pytest.raises(DecodeError):
            alice.add_remote_candidate("no candidate")
        assert alice.role is None


# -- before and after ---------------------------------------------------------------------------------


def test_the_constructor_does_nothing_but_check() -> None:
    link = Connection(["stun:stun.example.org"])
    assert (link.state, link.role, link.selected_pair, link.stats()) == (State.NEW, None, None, {})
    assert repr(link) == "<Connection new, role None>"
    assert link.local_description.candidates == ()
    assert link.role == "controlling"
    link.set_servers([IceServer("stun:other.example.org")])
    wrongs: list[Callable[[], Connection]] = [
        lambda: Connection(["http://example.org"]),
        lambda: Connection("stun:example.org"),
        lambda: Connection(role="both"),  # type: ignore[arg-type]  # what a caller without a type-checker may write
        lambda: Connection(components=0),
        lambda: Connection(endpoint=Endpoint(), components=2),
        lambda: Connection(trace="file"),
    ]
    for wrong in wrongs:
        with pytest.raises(InvalidArgument):
            wrong()


async def test_what_needs_a_start_says_so() -> None:
    link = Connection()
    with pytest.raises(InvalidState, match="not connected yet"):
        await link.send(b"x")
    with pytest.raises(InvalidArgument, match="component 2"):
        await link.receive(component=2)
    await link.close()
    with pytest.raises(InvalidState, match="closed"):
        await link.gather()
    with pytest.raises(InvalidState, match="closed"):
        link.restart()


async def test_sending_before_there_is_a_path_is_refused() -> None:
    async with Connection(config=LOCAL) as alice:
        with pytest.raises(InvalidState):
            await alice.send(b"x")


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_nothing_is_left_behind(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async with turn_server() as server, connected() as (alice, bob):
            alice.set_servers([IceServer(f"turn:{server}", USERNAME, PASSWORD)])
            waiting = [asyncio.ensure_future(each) for each in (alice.receive(), bob.receive(), alice.connect())]
            await asyncio.sleep(0)
        assert Driver.current()._timers.next_deadline() is None
        with pytest.raises(ConnectionClosed):
            await waiting[0]
        with pytest.raises(ConnectionClosed):
            await waiting[1]
        await waiting[2]
        for _ in range(3):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main(), loop_factory)
    gc.collect()


async def test_close_may_be_called_by_many_and_often() -> None:
    async with connected() as (alice, bob):
        await asyncio.gather(alice.close(), alice.close(), bob.close())
        await alice.close()
        assert alice.state is State.CLOSED
        with pytest.raises(ConnectionClosed) as caught:
            await alice.send(b"x")
        assert caught.value.cause is Cause.CLOSED


async def test_close_is_bounded_even_if_the_agent_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "CLOSE_MARGIN", 0.01)
    config = Config(loopback=True, interfaces=only_ipv4_loopback, close_timeout=0.0)
    alice = Connection(config=config)
    await alice.gather()
    running = alice._session.running
    assert running is not None
    monkeypatch.setattr(type(running), "close", lambda self: None)
    await alice.close()
    assert running.is_closed


async def test_cancelling_close_ends_it_at_once() -> None:
    async with turn_server() as server:
        alice = Connection([IceServer(f"turn:{server}", USERNAME, PASSWORD)], config=LOCAL)
        await alice.gather()
        closing = asyncio.ensure_future(alice.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        running = alice._session.running
        assert running is not None
        assert running.is_closed
        assert alice.state is State.CLOSED


async def test_leaving_the_block_by_cancellation_closes() -> None:
    links: list[Connection] = []

    async def work() -> None:
        async with connected() as (alice, bob):
            links.extend((alice, bob))
            await alice.receive()

    task = asyncio.ensure_future(work())
    await eventually(lambda: links or task.done())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert {link.state for link in links} == {State.CLOSED}


async def test_a_port_that_is_taken_is_an_os_error_and_leaves_nothing() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        link = Connection(config=Config(loopback=True, interfaces=only_ipv4_loopback, ports=range(port, port + 1)))
        with pytest.raises(OSError, match="in use"):
            await link.gather()
    await link.gather()
    assert {candidate.port for candidate in link.local_description.candidates} == {port}
    await link.close()


async def test_an_address_that_cannot_be_bound_does_not_matter_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    found = (HostAddress("192.0.2.99", "gone"), HostAddress("127.0.0.1", "lo"))
    monkeypatch.setattr(session, "usable_addresses", lambda admit, *, loopback: found)
    async with Connection(config=LOCAL) as link:
        assert [candidate.host for candidate in (await link.gather()).candidates] == ["127.0.0.1"]


async def test_a_filter_that_raises_is_the_callers_error() -> None:
    def admit(name: str, host: str) -> bool:
        raise ZeroDivisionError

    link = Connection(config=Config(interfaces=admit))
    with pytest.raises(ZeroDivisionError):
        await link.gather()
    await link.close()


# -- data ---------------------------------------------------------------------------------------------


async def test_cancelling_receive_loses_nothing() -> None:
    async with connected() as (alice, bob):
        for number in range(20):
            waiting = asyncio.ensure_future(bob.receive())
            await asyncio.sleep(0)
            await alice.send(b"%d" % number)
            if number % 2:
                await asyncio.sleep(0.001)
            waiting.cancel()
            done = await asyncio.gather(waiting, return_exceptions=True)
            got = done[0] if isinstance(done[0], bytes) else await bob.receive()
            assert got == b"%d" % number


async def test_iteration_yields_what_is_left_and_ends_when_closed_here() -> None:
    async with connected() as (alice, bob):
        for number in range(3):
            await alice.send(b"%d" % number)
        iterator = bob.__aiter__()
        assert aiter(iterator) is iterator
        assert await anext(iterator) == b"0"
        await asyncio.sleep(0.01)
        await bob.close()
        assert [datagram async for datagram in bob] == [b"1", b"2"]


async def test_iteration_raises_when_the_path_is_lost() -> None:
    async with connected() as (alice, _):
        reading = asyncio.ensure_future(anext(aiter(alice)))
        await asyncio.sleep(0)
        alice._set_state(State.FAILED, Cause.CONSENT_EXPIRED)
        with pytest.raises(ConnectionClosed) as caught:
            await reading
        assert caught.value.cause is Cause.CONSENT_EXPIRED


async def test_the_receive_queue_is_bounded_and_says_what_it_dropped() -> None:
    config = Config(loopback=True, interfaces=only_ipv4_loopback, receive_queue=2)
    async with connected(config) as (alice, bob):
        for number in range(5):
            await alice.send(b"%d" % number)
        await eventually(lambda: bob.stats()["T1"]["packetsReceived"] == 5)
        assert bob.stats()["T1"]["packetsDiscardedOnReceive"] == 3
        assert [await bob.receive(), await bob.receive()] == [b"0", b"1"]


async def test_send_waits_while_the_kernel_has_no_room() -> None:
    async with connected() as (alice, bob):
        running = alice._session.running
        assert running is not None
        running.on_backlog(True)
        sending = asyncio.ensure_future(alice.send(b"x"))
        assert await bob.receive() == b"x"
        assert not sending.done()
        running.on_backlog(False)
        await sending


async def test_components_have_their_own_paths_and_queues() -> None:
    async with connected(components=2) as (alice, bob):
        await alice.send(b"two", component=2)
        await alice.send(b"one")
        assert await bob.receive(component=2) == b"two"
        assert await bob.receive() == b"one"
        stats = alice.stats()
        assert stats["T1"]["selectedCandidatePairId"] != stats["T2"]["selectedCandidatePairId"]
        with pytest.raises(InvalidState):
            await alice.send(b"none", component=3)


# -- what is reported ---------------------------------------------------------------------------------


async def test_any_number_of_readers_get_every_event_until_close() -> None:
    async with connected() as (alice, _):
        late = asyncio.ensure_future(collect(alice))
        await asyncio.sleep(0)
    events = await late
    assert events == await collect(alice)
    kinds = [type(event) for event in events]
    assert kinds.index(CandidateGathered) < kinds.index(GatheringCompleted)
    assert PairSelected in kinds
    states = [event.state for event in events if isinstance(event, StateChanged)]
    assert states[0] is State.CHECKING
    assert states[-2:] == [State.COMPLETED, State.CLOSED]


async def collect(link: Connection) -> list[Event]:
    return [event async for event in link.events()]


async def test_the_log_has_one_line_per_outcome(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "icepath")
    async with connected():
        pass
    lines = [record.getMessage() for record in caplog.records if record.name == "icepath"]
    assert len(lines) == 2
    assert all(line.startswith("connected in ") and "host 127.0.0.1:" in line for line in lines)


async def test_a_failed_server_is_an_event_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    url = f"stun:{free_address()}"
    async with Connection([url], config=LOCAL) as alice:
        await alice.gather()
        failed = [event for event in await so_far(alice) if isinstance(event, ServerFailed)]
        assert [(event.url, event.reason) for event in failed] == [(url, Cause.SERVER_UNREACHABLE)]
    assert [record.levelname for record in caplog.records if url in record.getMessage()] == ["WARNING"]


async def so_far(link: Connection) -> list[Event]:
    events: list[Event] = []
    reader = link.events()
    while True:
        try:
            async with asyncio.timeout(0):
                events.append(await anext(reader))
        except TimeoutError:
            return events


async def test_gathering_does_not_wait_for_a_silent_server() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        async with Connection([f"stun:{Address(*silent.getsockname())}"], config=LOCAL) as alice:
            description = await alice.gather(timeout=0.02)
            assert len(description.candidates) == 1
            assert not description.end_of_candidates


async def test_what_went_otherwise_is_told() -> None:
    def raising(view: NominationView) -> Nominate | Wait:
        raise LookupError("a policy of ours")

    config = Config(loopback=True, interfaces=only_ipv4_loopback, nomination=raising)
    async with (
        Connection(config=config, role="controlling") as alice,
        Connection(config=config, role="controlling") as bob,
    ):
        await connect(alice, bob)
        await settled(alice, bob)
        events = {link: await so_far(link) for link in (alice, bob)}
        changed = {link: [event for event in events[link] if isinstance(event, RoleChanged)] for link in events}
        (loser,) = [link for link in changed if changed[link]]
        assert changed[loser] == [RoleChanged("controlled")]
        assert loser.role == "controlled"
        winner = bob if loser is alice else alice
        failed = [event for event in events[winner] if isinstance(event, PolicyFailed)]
        assert {event.policy for event in failed} == {"nomination"}
        assert "a policy of ours" in failed[0].text
        validated = [event.pair.remote.address for event in events[winner] if isinstance(event, PairValidated)]
        assert validated == [pair.remote_address for pair in winner.snapshot().pairs if pair.is_selected]


async def test_a_restart_of_either_side_asks_for_the_description_to_be_handed_out() -> None:
    async with connected() as (alice, bob):
        offer = alice.restart()
        bob.set_remote_description(offer)
        told = {link: [event for event in await so_far(link) if isinstance(event, Restarted)] for link in (alice, bob)}
        assert [[event.description.ufrag for event in told[link]] for link in (alice, bob)] == [
            [offer.ufrag],
            [bob.local_description.ufrag],
        ]
    assert alice.snapshot().state is State.CLOSED


async def test_statistics_have_w3cs_names() -> None:
    async with connected() as (alice, bob):
        await alice.send(b"12345")
        await bob.receive()
        stats = alice.stats()
        transport = stats["T1"]
        assert (transport["packetsSent"], transport["bytesSent"]) == (1, 5)
        pair = stats[str(transport["selectedCandidatePairId"])]
        assert (pair["type"], pair["state"], pair["nominated"]) == ("candidate-pair", "succeeded", True)
        assert stats[str(pair["localCandidateId"])]["type"] == "local-candidate"
        assert stats[str(pair["remoteCandidateId"])]["address"] == "127.0.0.1"
        assert all(entry["id"] == key and "timestamp" in entry for key, entry in stats.items())
        assert bob.stats()["T1"]["bytesReceived"] == 5


@pytest.mark.parametrize("flows", [True, False])
async def test_statistics_agree_with_what_was_sent(flows: bool) -> None:
    config = Config(loopback=True, interfaces=only_ipv4_loopback, flows=flows)
    async with connected(config, components=2) as (alice, bob):
        before = time.time() * 1000
        for component, count in ((1, 7), (2, 4)):
            for number in range(count):
                await alice.send(bytes([number + 32]) * 10, component=component)
            for _ in range(count):
                await bob.receive(component=component)
        for transport, count in (("T1", 7), ("T2", 4)):
            sent, received = alice.stats()[transport], bob.stats()[transport]
            for ours, theirs in ((sent, received), (chosen(alice, transport), chosen(bob, transport))):
                assert (ours["packetsSent"], ours["bytesSent"]) == (count, 10 * count)
                assert (theirs["packetsReceived"], theirs["bytesReceived"]) == (count, 10 * count)
                assert (ours["packetsReceived"], theirs["packetsSent"]) == (0, 0)
            when = chosen(alice, transport)["lastPacketSentTimestamp"]
            assert isinstance(when, float)
            assert before - 1 <= when <= time.time() * 1000 + 1
            assert ("lastPacketReceivedTimestamp" in chosen(bob, transport)) is not flows
            assert received["selectedCandidatePairChanges"] == 1
            assert (sent["iceRole"], received["iceRole"]) == ("controlling", "controlled")
    # Their pairs are gone, what they carried is not.
    assert [bob.stats()[transport]["packetsReceived"] for transport in ("T1", "T2")] == [7, 4]


async def test_statistics_of_checks_agree_on_both_sides() -> None:
    async with connected() as (alice, bob):
        await eventually(lambda: chosen(alice, "T1")["requestsSent"] == chosen(alice, "T1")["responsesReceived"])
        ours, theirs = chosen(alice, "T1"), chosen(bob, "T1")
        assert ours["responsesReceived"] == theirs["responsesSent"] == theirs["requestsReceived"]
        assert ours["consentRequestsSent"] == 0
        assert ours["retransmissionsSent"] == 0
        assert isinstance(ours["currentRoundTripTime"], float)
        assert isinstance(ours["totalRoundTripTime"], float)
        assert 0 < ours["currentRoundTripTime"] <= ours["totalRoundTripTime"]


def chosen(link: Connection, transport: str) -> dict[str, object]:
    """Returns the statistics of the pair that a component uses."""
    stats = link.stats()
    return stats[str(stats[transport]["selectedCandidatePairId"])]


# -- servers ------------------------------------------------------------------------------------------


async def test_a_relay_carries_the_data_and_its_challenge_is_remembered() -> None:
    async with turn_server() as server:
        url = f"turn:{server}"
        servers = [IceServer(url, USERNAME, PASSWORD)]
        async with Connection(servers, config=LOCAL, relay_only=True) as alice, Connection(config=LOCAL) as bob:
            await connect(alice, bob)
            await alice.send(b"through the relay")
            assert await bob.receive() == b"through the relay"
            for number in range(20):
                await bob.send(b"%d" % number)
                assert await alice.receive() == b"%d" % number
            assert str(alice.selected_pair).startswith("through a relay")
            relayed = alice.stats()[str(chosen(alice, "T1")["localCandidateId"])]
            assert (relayed["candidateType"], relayed["relayProtocol"], relayed["url"]) == ("relay", "udp", url)
            totals = alice.stats()["T1"]
            assert (totals["packetsSent"], totals["packetsReceived"]) == (1, 20)
        assert [known for known, _ in challenges.of(as_servers(servers))] == [url]


async def test_wrong_credentials_are_reported_and_fresh_ones_help() -> None:
    async with turn_server() as server:
        url = f"turn:{server}"
        async with Connection([IceServer(url, USERNAME, "wrong")], config=LOCAL) as alice:
            await alice.gather()
            failed = [event for event in await so_far(alice) if isinstance(event, ServerFailed)]
            assert [event.reason for event in failed] == [Cause.WRONG_CREDENTIALS]


# -- restarts -----------------------------------------------------------------------------------------


@pytest.mark.rfc("8445", "9")
async def test_a_restart_brings_new_credentials_and_data_flows_meanwhile() -> None:
    async with connected() as (alice, bob):
        before = alice.local_description
        begun = alice.snapshot()
        offer = alice.restart()
        assert alice.snapshot().local[0].ufrag == offer.ufrag != begun.local[0].ufrag
        assert offer.ufrag != before.ufrag
        await alice.send(b"meanwhile")
        assert await bob.receive() == b"meanwhile"
        old_answer = bob.local_description
        bob.set_remote_description(offer)  # the other side restarts by itself
        answer = bob.local_description
        assert answer.ufrag != old_answer.ufrag
        alice.set_remote_description(answer)
        await settled(alice, bob)
        bob.set_remote_description(before)  # a late repetition changes nothing
        assert bob.local_description.ufrag == answer.ufrag
        await bob.send(b"afterwards")
        assert await alice.receive() == b"afterwards"


# -- negotiate ----------------------------------------------------------------------------------------


class Room:
    """Carries texts between two, like a chat room: who is not there yet misses what was said."""

    def __init__(self) -> None:
        self._queues: dict[str, asyncio.Queue[str | None]] = {}
        self.said: list[tuple[str, str]] = []

    def enter(self, name: str) -> AsyncIterator[str]:
        self._queues[name] = asyncio.Queue()
        return self._listen(name)

    async def _listen(self, name: str) -> AsyncIterator[str]:
        while (text := await self._queues[name].get()) is not None:
            yield text

    def leave(self) -> None:
        for queue in self._queues.values():
            queue.put_nowait(None)

    def speaker(self, name: str, *, echo: bool = False) -> Speaker:
        return Speaker(self, name, echo)

    def say(self, name: str, text: str, *, echo: bool) -> None:
        self.said.append((name, text))
        for other, queue in self._queues.items():
            if other != name or echo:
                queue.put_nowait(text)


class Speaker:
    """Says one side's texts."""

    def __init__(self, room: Room, name: str, echo: bool) -> None:
        self._room, self._name, self._echo = room, name, echo

    async def __call__(self, text: str) -> None:
        self._room.say(self._name, text, echo=self._echo)


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_negotiate_over_any_channel(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        room = Room()
        async with Connection(config=LOCAL) as alice, Connection(config=LOCAL) as bob:
            heard = {name: room.enter(name) for name in ("alice", "bob")}
            await asyncio.gather(
                alice.negotiate(room.speaker("alice"), heard["alice"]),
                bob.negotiate(room.speaker("bob"), heard["bob"]),
            )
            await settled(alice, bob)
            assert {alice.role, bob.role} == {"controlling", "controlled"}
            await alice.send(b"hello")
            assert await bob.receive() == b"hello"
        assert all("a=ice-pwd:" in text for _, text in room.said)

    run(main(), loop_factory)


async def test_in_negotiate_the_lexically_greater_ufrag_is_controlling() -> None:
    for _ in range(4):
        room = Room()
        async with Connection(config=LOCAL) as alice, Connection(config=LOCAL) as bob:
            heard = {name: room.enter(name) for name in ("alice", "bob")}
            await asyncio.gather(
                alice.negotiate(room.speaker("alice"), heard["alice"]), bob.negotiate(room.speaker("bob"), heard["bob"])
            )
            greater = alice if alice.local_description.ufrag > bob.local_description.ufrag else bob
            assert greater.role == "controlling"


async def test_negotiate_with_somebody_who_comes_late() -> None:
    room = Room()
    async with Connection(config=LOCAL) as alice, Connection(config=LOCAL) as bob:
        first = asyncio.ensure_future(alice.negotiate(room.speaker("alice"), room.enter("alice")))
        await asyncio.sleep(0.02)
        assert room.said
        await asyncio.gather(first, bob.negotiate(room.speaker("bob"), room.enter("bob")))


async def test_negotiate_ignores_echoes_and_texts_it_does_not_know() -> None:
    room = Room()
    async with Connection(config=LOCAL) as alice, Connection(config=LOCAL) as bob:
        heard = {name: room.enter(name) for name in ("alice", "bob")}
        room.say("nobody", "hello everybody", echo=True)
        await asyncio.gather(
            alice.negotiate(room.speaker("alice", echo=True), heard["alice"]),
            bob.negotiate(room.speaker("bob", echo=True), heard["bob"]),
        )
        assert alice._negotiation is not None
        assert alice._negotiation.ignored >= 2
        await settled(alice, bob)
        assert alice.role != bob.role


async def test_negotiate_takes_bytes_and_bare_candidate_lines() -> None:
    async with Connection(config=LOCAL) as alice, Connection(config=LOCAL) as bob:
        answer = await bob.gather()
        bare = Description(answer.ufrag, answer.password)
        texts: list[str | bytes] = [
            str(bare).encode(),
            *(str(candidate) for candidate in answer.candidates),
            "a=end-of-candidates",
        ]
        said: list[str] = []

        async def channel() -> AsyncIterator[str | bytes]:
            for text in texts:
                yield text

        async def send(text: str) -> None:
            said.append(text)
            bob.set_remote_description(text)

        await asyncio.gather(alice.negotiate(send, channel()), bob.connect())


async def test_restart_during_negotiate_is_carried_to_the_other_side() -> None:
    room = Room()
    async with Connection(config=LOCAL) as alice, Connection(config=LOCAL) as bob:
        heard = {name: room.enter(name) for name in ("alice", "bob")}
        await asyncio.gather(
            alice.negotiate(room.speaker("alice"), heard["alice"]), bob.negotiate(room.speaker("bob"), heard["bob"])
        )
        await settled(alice, bob)
        old = {link.local_description.ufrag for link in (alice, bob)}
        alice.restart()
        await eventually(
            lambda: (
                not old & {link.local_description.ufrag for link in (alice, bob)}
                and {alice.state, bob.state} == SETTLED
            )
        )
        await alice.send(b"again")
        assert await bob.receive() == b"again"


async def test_a_channel_that_ends_too_early_is_told_from_one_that_ends_late() -> None:
    async def empty() -> AsyncIterator[str]:
        return
        yield ""

    async def ignore(text: str) -> None:
        pass

    async with Connection(config=LOCAL) as alice:
        with pytest.raises(ConnectFailed) as caught:
            await alice.negotiate(ignore, empty())
        assert caught.value.cause is Cause.SIGNALLING_ENDED
    room = Room()
    async with Connection(config=LOCAL) as alice, Connection(config=LOCAL) as bob:
        heard = {name: room.enter(name) for name in ("alice", "bob")}
        await asyncio.gather(
            alice.negotiate(room.speaker("alice"), heard["alice"]), bob.negotiate(room.speaker("bob"), heard["bob"])
        )
        room.leave()
        await asyncio.sleep(0.01)
        await alice.send(b"still here")
        assert await bob.receive() == b"still here"


async def test_a_channel_that_breaks_raises_what_it_raised_unless_both_know_each_other() -> None:
    async def broken(text: str) -> None:
        raise ConnectionResetError("websocket gone")

    async def silence() -> AsyncIterator[str]:
        await asyncio.Event().wait()
        yield ""

    async with Connection(config=LOCAL) as alice:
        with pytest.raises(ConnectionResetError, match="websocket"):
            await alice.negotiate(broken, silence())
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async with Connection(config=LOCAL) as alice, Connection(config=LOCAL) as bob:
        offer = await bob.gather()

        async def one_text() -> AsyncIterator[str]:
            yield str(offer)
            raise ConnectionResetError("websocket gone")

        async def send(text: str) -> None:
            bob.set_remote_description(text)

        await asyncio.gather(alice.negotiate(send, one_text()), bob.connect())


async def test_negotiate_cancelled_stops_its_tasks_and_may_be_called_again() -> None:
    room = Room()
    async with Connection(config=LOCAL) as alice, Connection(config=LOCAL) as bob:
        first = asyncio.ensure_future(alice.negotiate(room.speaker("alice"), room.enter("alice")))
        await asyncio.sleep(0.01)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert asyncio.all_tasks() == {asyncio.current_task()}
        heard = {name: room.enter(name) for name in ("alice", "bob")}
        await asyncio.gather(
            alice.negotiate(room.speaker("alice"), heard["alice"]), bob.negotiate(room.speaker("bob"), heard["bob"])
        )


async def test_a_second_negotiation_takes_the_place_of_the_first() -> None:
    room, later = Room(), Room()
    async with Connection(config=LOCAL) as alice, Connection(config=LOCAL) as bob:
        for each in (room, later):
            heard = {name: each.enter(name) for name in ("alice", "bob")}
            await asyncio.gather(
                alice.negotiate(each.speaker("alice"), heard["alice"]), bob.negotiate(each.speaker("bob"), heard["bob"])
            )
        assert len([task for task in asyncio.all_tasks() if "negotiate" in task.get_name()]) == 4


async def test_closed_before_it_ever_started() -> None:
    link = Connection()
    with pytest.raises(InvalidState, match="not started"):
        link._session.started()
    await link.close()
    with pytest.raises(InvalidState, match="closed"):
        link.set_remote_description(Connection().local_description)
    with pytest.raises(ConnectFailed) as caught:
        await link.receive()
    assert caught.value.cause is Cause.CLOSED
    assert [event async for event in link.events()] == [StateChanged(State.CLOSED, Cause.CLOSED)]


async def test_a_waiter_cancelled_as_something_happens_harms_nobody() -> None:
    async with Connection(config=LOCAL) as alice:
        waiting = [asyncio.ensure_future(alice.connect()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        alice._log.wake()
        alice._log.wake()
        await asyncio.wait({waiting[0]})
        assert not waiting[1].done()
    with pytest.raises(ConnectFailed):
        await waiting[1]
    assert waiting[0].cancelled()
