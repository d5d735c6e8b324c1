"""Two whole agents behind every pair of NATs: when both may send, on which path, what leaves, what follows."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

import pytest

from icepath.entropy import IceCredentials, ice_credentials
from icepath.errors import Cause, InvalidState
from icepath.ice.agent import Agent
from icepath.ice.config import Role
from icepath.ice.events import DataReceived, PairSelected, ServerFailed, State, StateChanged
from icepath.ice.pacer import DEFAULT_PACING
from icepath.lab.encounter import Encounter, Plan, Side
from icepath.net import Instant
from icepath.sim.flow_table import DataDelivered
from icepath.sim.packet import PacketRecord, Verdict
from icepath.turn.server.config import AllocationOpened
from icepath.wire.candidate_line import CandidateType

# One round trip between the two, in seconds; the unit of the table.
R = 0.1
# Two gaps of 5 ms are all that an agent's own transactions may cost; links of 10 µs inside carriers come on top.
SLACK = 0.1 * R + 1e-4

HOST, SRFLX, PRFLX, RELAY = (
    CandidateType.HOST,
    CandidateType.SERVER_REFLEXIVE,
    CandidateType.PEER_REFLEXIVE,
    CandidateType.RELAYED,
)

# Place of A, of B (None: both in one place), the derived minimum in R until both may send, whether it needs a relay.
ROWS: list[tuple[str, str | None, float, bool]] = [
    ("none", "none", 1.0, False),
    ("apdf", "none", 1.5, False),
    ("none", "apdf", 1.5, False),
    ("eif", "eif", 1.5, False),
    ("adf", "adf", 1.5, False),
    ("apdf", "apdf", 1.5, False),
    ("adf", "sym", 2.0, False),
    ("sym", "adf", 2.0, False),
    ("none", "sym", 1.5, False),
    ("sym", "none", 1.5, False),
    ("sym", "apdf", 2.0, True),
    ("apdf", "sym", 2.0, True),
    ("sym", "sym", 2.0, True),
    ("cgn-apdf", "apdf", 1.5, False),
    ("cgn-sym", "apdf", 2.0, True),
    ("same", None, 0.0, False),
    ("same-iso", None, 2.0, True),
    ("same-hp", None, 0.5, False),
    ("samecgn", None, 2.0, True),
    # Both checks meet in one NAT, which drops the first: the second wins one side 1.5 R, the other half an R later.
    ("samecgn-hp", None, 2.0, False),
    ("v6", "v6", 1.0, False),
    ("ds", "ds", 1.0, False),
    ("ds-sym", "ds-sym", 1.0, False),
    ("ds", "apdf", 1.5, False),
    ("v6", "apdf", 2.0, True),
]


def run(plan: Plan, *, settle: bool = True, seconds: float = 20.0) -> Encounter:
    encounter = Encounter(plan)
    encounter.run(seconds=seconds, settle=settle)
    return encounter


def since_start(encounter: Encounter, at: Instant | None) -> float:
    assert at is not None
    return at - encounter.start


def states(side: Side, since: Instant) -> list[tuple[float, State, Cause | None]]:
    assert side.runner is not None
    return [
        (at - since, event.state, event.cause)
        for at, event in side.runner.events
        if isinstance(event, StateChanged) and at > since
    ]


def received(side: Side) -> list[bytes]:
    assert side.runner is not None
    return [event.payload for _, event in side.runner.events if isinstance(event, (DataReceived, DataDelivered))]


def restart(agent: Agent, credentials: IceCredentials, now: Instant) -> None:
    agent.restart(credentials, now=now)


def send(side: Side, payload: bytes) -> None:
    assert side.runner is not None
    agent = side.agent
    side.runner.call(lambda now: agent.send(payload, now=now))


@pytest.mark.parametrize(("a", "b", "minimum", "needs_relay"), ROWS)
def test_both_may_send_at_the_derived_minimum(a: str, b: str | None, minimum: float, needs_relay: bool) -> None:
    encounter = run(Plan(a, b))
    usable = max(since_start(encounter, side.usable_at) for side in (encounter.a, encounter.b))
    assert minimum * R - 1e-4 <= usable <= minimum * R + SLACK
    for side in (encounter.a, encounter.b):
        assert side.pair is not None
        assert (RELAY in (side.pair.local.type, side.pair.remote.type)) is needs_relay


@pytest.mark.parametrize(("a", "b", "minimum", "needs_relay"), ROWS)
def test_both_ends_settle_on_the_same_path(a: str, b: str | None, minimum: float, needs_relay: bool) -> None:
    encounter = run(Plan(a, b, seed=3))
    ours, theirs = encounter.a.pair, encounter.b.pair
    assert ours is not None
    assert theirs is not None
    # What one side sends from is what the other sends to, and the other way round.
    assert ours.local.address == theirs.remote_address
    assert theirs.local.address == ours.remote_address


@pytest.mark.parametrize("roles", [(Role.CONTROLLING,) * 2, (Role.CONTROLLED,) * 2])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.rfc("8445", "7.3.1.1")
def test_role_conflicts_are_repaired(roles: tuple[Role, Role], seed: int) -> None:
    encounter = run(Plan("apdf", "apdf", roles=roles, seed=seed))
    assert {encounter.a.agent.snapshot().role, encounter.b.agent.snapshot().role} == {
        Role.CONTROLLING,
        Role.CONTROLLED,
    }
    assert encounter.a.state is State.COMPLETED
    assert encounter.b.state is State.COMPLETED


@pytest.mark.parametrize("place", ["apdf", "sym"])
def test_without_trickle_the_descriptions_are_exchanged_once_gathering_has_ended(place: str) -> None:
    encounter = run(Plan("apdf", place, trickles=False))
    assert encounter.a.state is State.COMPLETED
    assert encounter.b.state is State.COMPLETED


def test_dead_servers_delay_nothing() -> None:
    encounter = run(Plan("apdf", "apdf", dead_servers=3))
    usable = max(since_start(encounter, side.usable_at) for side in (encounter.a, encounter.b))
    # Each dead server costs its slots (a STUN and a TURN request, 5 ms each), never a time-out.
    assert usable <= 1.5 * R + 6 * 0.005 + SLACK


def test_signalling_delay_is_paid_once_each_way() -> None:
    delay = 0.3
    encounter = run(Plan("apdf", "apdf", signalling_delay=delay))
    # Both know each other's reflexive candidates one server round trip and one signal after the start.
    usable = max(since_start(encounter, side.usable_at) for side in (encounter.a, encounter.b))
    assert usable == pytest.approx(0.5 * R + delay + R, abs=SLACK)


# -- relay-only ------------------------------------------------------------------------------------------------


def test_relay_only_sends_nothing_to_the_remote_but_through_relays() -> None:
    encounter = Encounter(Plan("none", "none", relay_only=True))
    server = {host for interface in encounter.network.server.interfaces for host in interface.hosts}
    seen: set[str] = set()

    def note(record: PacketRecord) -> None:
        if record.source.host.startswith(("11.1.", "11.2.")) and record.verdict is Verdict.SENT:
            seen.add(record.destination.host)

    encounter.world.on_packet(note)
    encounter.run(settle=True)
    assert encounter.a.state is State.COMPLETED
    assert seen
    assert seen <= server


def test_relay_only_tells_nothing_but_relayed_candidates() -> None:
    encounter = run(Plan("apdf", "apdf", relay_only=True))
    for side in (encounter.a, encounter.b):
        candidates = side.agent.snapshot().local[0].candidates
        assert candidates
        assert {candidate.type for candidate in candidates} == {RELAY}
        assert all(candidate.related_address is not None for candidate in candidates)
        assert {candidate.related_address.port for candidate in candidates if candidate.related_address} == {0}


def test_relay_only_answers_no_check_on_its_host_sockets() -> None:
    encounter = run(Plan("none", "none", relay_only=True))
    assert encounter.a.pair is not None
    assert encounter.a.pair.local.type is RELAY
    assert encounter.b.pair is not None
    assert encounter.b.pair.local.type is RELAY


# -- data --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [("apdf", "apdf"), ("sym", "sym"), ("v6", "v6")])
@pytest.mark.rfc("8445", "12.1")
def test_data_flows_both_ways_before_nomination(a: str, b: str) -> None:
    encounter = run(Plan(a, b), settle=False)
    assert encounter.a.settled_at is None
    send(encounter.a, b"from a")
    send(encounter.b, b"from b")
    encounter.world.run(seconds=R)
    assert received(encounter.b) == [b"from a"]
    assert received(encounter.a) == [b"from b"]


def test_sending_without_a_path_is_refused() -> None:
    encounter = Encounter(Plan("apdf", "apdf"))
    with pytest.raises(InvalidState, match="no path"):
        encounter.a.agent.send(b"early", now=encounter.world.now)


@pytest.mark.parametrize(("a", "b"), [("apdf", "apdf"), ("sym", "sym")])
def test_flows_honoured_or_ignored_give_the_same(a: str, b: str) -> None:
    results = []
    for honours_flows in (True, False):
        encounter = run(Plan(a, b, honours_flows=honours_flows))
        for number in range(20):
            send(encounter.a, b"ping %d" % number)
            send(encounter.b, b"pong %d" % number)
            encounter.world.run(seconds=2.0)
        sent = encounter.network.world.medium.counts[Verdict.SENT]
        results.append((received(encounter.a), received(encounter.b), sent, encounter.a.state))
    assert results[0] == results[1]
    assert len(results[0][0]) == 20


# -- consent -------------------------------------------------------------------------------------------------------


@pytest.mark.rfc("7675", "5.1")
def test_consent_expires_thirty_seconds_after_the_last_answer() -> None:
    encounter = run(Plan("apdf", "apdf"))
    encounter.world.run(seconds=60.0)
    assert encounter.a.state is State.COMPLETED
    assert encounter.b.runner is not None
    allowed_until = encounter.a.agent.snapshot().pairs[0].consent_until
    assert allowed_until is not None
    encounter.b.runner.close()
    gone = encounter.world.now
    encounter.world.run(seconds=60.0)
    (quiet_at, quiet, why), (lost_at, lost, cause) = states(encounter.a, gone)
    assert (quiet, why) == (State.DISCONNECTED, Cause.NO_RECENT_ANSWER)
    assert (lost, cause) == (State.FAILED, Cause.CONSENT_EXPIRED)
    assert quiet_at < 12.0
    assert gone + lost_at == pytest.approx(allowed_until)
    assert 24.0 <= lost_at <= 30.0
    with pytest.raises(InvalidState):
        encounter.a.agent.send(b"late", now=encounter.world.now)


def test_an_idle_pair_costs_one_consent_check_every_five_seconds_and_nothing_else() -> None:
    encounter = run(Plan("none", "none", has_turn=False, has_stun=False))
    encounter.world.run(seconds=5.0)
    before = encounter.network.world.medium.counts[Verdict.SENT]
    encounter.world.run(seconds=600.0)
    sent = encounter.network.world.medium.counts[Verdict.SENT] - before
    # 120 intervals on each side, a request and an answer each, all jittered by a fifth.
    assert 4 * 120 * 0.9 < sent < 4 * 120 * 1.1


def test_a_pair_that_is_heard_again_is_connected_again() -> None:
    encounter = run(Plan("none", "none", has_turn=False))
    interface = encounter.b.host.interfaces[0]
    link = interface.link
    whole = link.up.config
    link.up.config = replace(whole, loss=1.0)
    cut = encounter.world.now
    encounter.world.run(seconds=15.0)
    assert encounter.a.state is State.DISCONNECTED
    link.up.config = whole
    encounter.world.run(seconds=10.0)
    assert [state for _, state, _ in states(encounter.a, cut)] == [State.DISCONNECTED, State.COMPLETED]


# -- restart -------------------------------------------------------------------------------------------------------


@pytest.mark.rfc("8445", "9")
def test_data_flows_on_the_old_pair_during_a_restart() -> None:
    encounter = run(Plan("apdf", "apdf"))
    rng = random.Random(5)
    for side in (encounter.a, encounter.b):
        agent, credentials = side.agent, ice_credentials(rng.randbytes)
        assert side.runner is not None
        side.runner.call(partial(restart, agent, credentials))
        send(side, b"on the old pair")
    encounter.world.run(seconds=R)
    assert received(encounter.a) == received(encounter.b) == [b"on the old pair"]
    restarted = encounter.world.now
    for side, other in ((encounter.a, encounter.b), (encounter.b, encounter.a)):
        encounter.tell(other, side.agent.snapshot().local[0])
    encounter.world.run(seconds=2.0)
    for side in (encounter.a, encounter.b):
        assert side.state is State.COMPLETED
        assert side.runner is not None
        selected = [at for at, event in side.runner.events if isinstance(event, PairSelected)]
        assert selected[-1] > restarted
    send(encounter.a, b"on the new pair")
    encounter.world.run(seconds=R)
    assert received(encounter.b)[-1] == b"on the new pair"


# -- failure ---------------------------------------------------------------------------------------------------------


@pytest.mark.rfc("8863", "4")
def test_failure_comes_when_patience_has_run_out_and_names_its_cause() -> None:
    encounter = run(Plan("sym", "sym", has_turn=False), seconds=100.0)
    for side in (encounter.a, encounter.b):
        assert side.state is State.FAILED
        assert side.agent.snapshot().cause is Cause.NO_ANSWER
    assert 39.5 <= encounter.world.now - encounter.start < 41.0


def test_a_network_that_drops_udp_is_told_from_a_silent_remote() -> None:
    encounter = run(Plan("udpblock", "apdf"), seconds=100.0)
    assert encounter.a.agent.snapshot().cause is Cause.UDP_BLOCKED
    assert encounter.b.agent.snapshot().cause is Cause.NO_ANSWER
    failed = [event for event in encounter.a.others if isinstance(event, ServerFailed)]
    assert {event.reason for event in failed} == {Cause.SERVER_UNREACHABLE}
    assert len(failed) == 2


# -- networks that drop UDP ------------------------------------------------------------------------------------------

# Place of A and of B, and the round trips until both may send. To the server one is R/2: TCP takes one to open, TLS
# another, then 401, then success; and UDP is waited for as long again, 50 ms at least, as it would be preferred.
BLOCKED: list[tuple[str, str, float]] = [
    ("udpblock", "apdf", 3.0),
    ("apdf", "udpblock", 3.0),
    ("udpblock", "udpblock", 3.0),
    ("tcp443", "apdf", 3.5),
    ("tcp443", "tcp443", 3.5),
]


@pytest.mark.parametrize(("a", "b", "minimum"), BLOCKED)
def test_a_relay_by_byte_stream_costs_its_set_up_and_a_grace_and_one_allocation(a: str, b: str, minimum: float) -> None:
    encounter = Encounter(Plan(a, b, all_transports=True))
    encounter.run(seconds=10.0, settle=True)
    usable = [side.usable_at for side in (encounter.a, encounter.b)]
    assert None not in usable
    assert max(at for at in usable if at is not None) - encounter.start <= (minimum + 0.1) * R + SLACK
    assert encounter.a.pair is not None
    assert RELAY in (encounter.a.pair.local.type, encounter.a.pair.remote.type)
    opened = [event for _, event in encounter.server.events if isinstance(event, AllocationOpened)]
    assert len(opened) == 2
    for sender, receiver in ((encounter.a, encounter.b), (encounter.b, encounter.a)):
        assert sender.runner is not None
        assert receiver.runner is not None
        agent = sender.agent
        sender.runner.call(lambda now, agent=agent: agent.send(b"\x80by byte stream", now=now))  # type: ignore[misc]
        encounter.world.run(seconds=0.5)
        assert any(isinstance(event, (DataReceived, DataDelivered)) for _, event in receiver.runner.events)


@pytest.mark.parametrize(("a", "b", "minimum"), [("none", "none", 1.0), ("apdf", "apdf", 1.5), ("sym", "sym", 2.0)])
def test_elsewhere_the_other_transports_cost_nothing(a: str, b: str, minimum: float) -> None:
    encounter = Encounter(Plan(a, b, all_transports=True))
    encounter.run(seconds=10.0)
    usable = [side.usable_at for side in (encounter.a, encounter.b)]
    assert max(at if at is not None else 99.0 for at in usable) - encounter.start <= minimum * R + SLACK
    encounter.world.run(seconds=5.0)
    opened = [event for _, event in encounter.server.events if isinstance(event, AllocationOpened)]
    assert len(opened) == 2
    for side in (encounter.a, encounter.b):
        assert not [event for event in side.others if isinstance(event, ServerFailed)]


# -- loss ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [("none", "none"), ("apdf", "apdf"), ("sym", "apdf"), ("sym", "sym")])
def test_a_fifth_of_the_packets_lost_on_both_uplinks_and_all_connect(a: str, b: str) -> None:
    for seed in range(25):
        encounter = Encounter(Plan(a, b, seed=seed, uplink_loss=0.2))
        encounter.run(seconds=30.0)
        assert encounter.a.usable_at is not None, f"seed {seed}"
        assert encounter.b.usable_at is not None, f"seed {seed}"


# -- the end -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("b", ["apdf", "sym"])
def test_closing_releases_relays_and_ends_within_its_time(b: str) -> None:
    encounter = run(Plan("sym", b))
    begun = encounter.world.now
    for side in (encounter.a, encounter.b):
        assert side.runner is not None
        side.runner.close()
    encounter.world.run(seconds=1.5)
    for side in (encounter.a, encounter.b):
        assert side.runner is not None
        assert side.runner.is_closed
        assert side.agent.next_deadline() is None
        assert side.runner.events[-1][0] - begun <= 1.0


def test_two_runs_of_one_seed_are_the_same() -> None:
    runs = []
    for _ in range(2):
        encounter = run(Plan("apdf", "sym", seed=11, uplink_loss=0.2))
        assert encounter.a.runner is not None
        runs.append([(at, repr(event)) for at, event in encounter.a.runner.events])
    assert runs[0] == runs[1]


@pytest.mark.rfc("8445", "8.2")
@pytest.mark.parametrize(
    ("place", "lite", "minimum"),
    [
        # A lite agent learns its pair from the nomination, 1.5 R after the first check; as it proposes no pacing, each
        # of the two waits for a slot of 50 ms (RFC 8445 §14.2).
        ("apdf", (False, True), 1.5 * R + 2 * DEFAULT_PACING),
        ("sym", (False, True), 1.5 * R + 2 * DEFAULT_PACING),
        ("none", (True, True), 0.0),
    ],
)
@pytest.mark.parametrize("roles", [(Role.CONTROLLING, Role.CONTROLLED), (Role.CONTROLLED, Role.CONTROLLING)])
def test_lite_agents_are_reached_by_full_ones_and_by_each_other(
    place: str, lite: tuple[bool, bool], minimum: float, roles: tuple[Role, Role]
) -> None:
    encounter = Encounter(Plan(place, "none", lite=lite, roles=roles))
    encounter.run(seconds=5.0, settle=True)
    assert encounter.a.pair is not None
    assert encounter.b.pair is not None
    assert encounter.a.pair.remote_address == encounter.b.pair.local.address
    usable = max(side.usable_at or 99.0 for side in (encounter.a, encounter.b)) - encounter.start
    assert usable <= minimum + SLACK
    for sender, receiver in ((encounter.a, encounter.b), (encounter.b, encounter.a)):
        assert sender.runner is not None
        assert receiver.runner is not None
        agent = sender.agent
        sender.runner.call(lambda now, agent=agent: agent.send(b"\x80over the lite path", now=now))  # type: ignore[misc]
        encounter.world.run(seconds=0.2)
        assert any(isinstance(event, (DataReceived, DataDelivered)) for _, event in receiver.runner.events)
    encounter.world.run(seconds=120.0)
    assert encounter.a.state is State.COMPLETED
    assert encounter.b.state is State.COMPLETED
