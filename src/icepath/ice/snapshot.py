"""Frozen pictures of an agent, for events, statistics and questions."""

from __future__ import annotations

from icepath.errors import Cause
from icepath.ice.core import Core
from icepath.ice.embedding import OPTION as SPED
from icepath.ice.events import AgentSnapshot, ComponentSnapshot, PairSnapshot, RelaySnapshot, State
from icepath.ice.local import is_told
from icepath.ice.pair import CandidatePair
from icepath.ice.renomination import OPTIONS
from icepath.ice.stream import Stream
from icepath.net import Address
from icepath.wire.fragment import Description

MILLISECONDS = 1000
# RFC 8839 §5.6: what this implementation can do.
ICE_OPTIONS = ("ice2", "trickle")


def pair_snapshot(core: Core, pair: CandidatePair) -> PairSnapshot:
    """Returns the pair as it stands."""
    return PairSnapshot(
        stream=pair.stream,
        component=pair.component,
        local=pair.reported_local.candidate,
        remote=pair.remote,
        local_base=Address(*pair.local.base) if pair.is_tcp else pair.local.base,
        remote_address=Address(*pair.remote_address) if pair.is_tcp else pair.remote_address,
        state=pair.state,
        priority=pair.priority,
        is_valid=pair.is_valid,
        is_nominated=pair.is_nominated,
        is_selected=core.streams[pair.stream].active.get(pair.component) is pair,
        rtt=pair.rtt,
        rtt_total=pair.counts.rtt_total,
        requests_sent=pair.counts.requests_sent,
        retransmissions_sent=pair.counts.retransmissions_sent,
        responses_received=pair.counts.responses_received,
        requests_received=pair.counts.requests_received,
        responses_sent=pair.counts.responses_sent,
        consent_until=pair.consent_until,
        id=pair.id,
        consent_requests_sent=pair.counts.consent_requests_sent,
        datagrams_sent=pair.counts.datagrams_sent,
        octets_sent=pair.counts.octets_sent,
        datagrams_received=pair.counts.datagrams_received,
        octets_received=pair.counts.octets_received,
        last_sent=pair.counts.last_sent,
        last_received=pair.counts.last_received,
    )


def _options(core: Core) -> tuple[str, ...]:
    offered = ICE_OPTIONS + OPTIONS if core.config.renomination else ICE_OPTIONS
    return (*offered, SPED) if core.config.sped else offered


def local_description(core: Core, stream: Stream, *, is_done: bool) -> Description:
    """Returns what the other side needs to know of a stream as it stands."""
    generation = stream.current
    announced = [
        local.candidate
        for local in generation.candidates.values()
        if local.candidate.type != "prflx" and is_told(core.config, local)
    ]
    return Description(
        ufrag=generation.credentials.ufrag,
        password=generation.credentials.password,
        candidates=tuple(announced),
        options=_options(core),
        end_of_candidates=is_done,
        # RFC 8839 §4.2.2: a lite implementation proposes none, as it paces nothing.
        pacing=None if core.config.lite else round(core.config.pacing * MILLISECONDS),
        lite=core.config.lite,
    )


def remote_description(stream: Stream) -> Description | None:
    """Returns what the other side told of a stream, or None."""
    generation = stream.current
    remote = generation.remote
    if remote is None:
        return None
    return Description(
        ufrag=remote.ufrag,
        password=remote.password,
        candidates=tuple(dict.fromkeys(generation.remote_candidates.values())),
        options=remote.options,
        end_of_candidates=generation.remote_ended,
        pacing=remote.pacing,
        lite=remote.is_lite,
    )


def _component_snapshot(core: Core, stream: Stream, component: int) -> ComponentSnapshot:
    besides = core.besides.get((stream.id, component))
    counts = [] if besides is None else [besides]
    for generation in stream.generations():
        counts += [pair.counts for pair in generation.checklist.pairs.values() if pair.component == component]
    return ComponentSnapshot(
        stream.id,
        component,
        datagrams_sent=sum(each.datagrams_sent for each in counts),
        octets_sent=sum(each.octets_sent for each in counts),
        datagrams_received=sum(each.datagrams_received for each in counts),
        octets_received=sum(each.octets_received for each in counts),
        changes=stream.changes.get(component, (0, 0))[1],
    )


def _relay_snapshots(core: Core) -> tuple[RelaySnapshot, ...]:
    found: list[RelaySnapshot] = []
    for relay in core.relays.values():
        route = relay.allocation.route
        found += [RelaySnapshot(each, relay.server, route.transport, route.security) for each in relay.relayed]
    return tuple(found)


def agent_snapshot(core: Core, *, state: State, cause: Cause | None, is_done: bool) -> AgentSnapshot:
    """Returns the whole agent as it stands."""
    streams = core.streams.values()
    components = tuple(
        _component_snapshot(core, stream, component) for stream in streams for component in stream.components
    )
    return AgentSnapshot(
        role=core.role,
        state=state,
        cause=cause,
        local=tuple(local_description(core, stream, is_done=is_done) for stream in streams),
        remote=tuple(remote_description(stream) for stream in streams),
        pairs=tuple(
            pair_snapshot(core, pair)
            for stream in streams
            for generation in stream.generations()
            for pair in generation.checklist.pairs.values()
        ),
        datagrams_received=sum(each.datagrams_received for each in components),
        octets_received=sum(each.octets_received for each in components),
        datagrams_sent=sum(each.datagrams_sent for each in components),
        octets_sent=sum(each.octets_sent for each in components),
        components=components,
        relays=_relay_snapshots(core),
    )
