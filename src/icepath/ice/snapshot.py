"""Frozen pictures of an agent, for events, statistics and questions."""

from __future__ import annotations

from icepath.errors import Cause
from icepath.ice.core import Core
from icepath.ice.events import AgentSnapshot, PairSnapshot, State
from icepath.ice.pair import CandidatePair
from icepath.ice.stream import Stream
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
        local_base=pair.local.base,
        remote_address=pair.remote_address,
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
    )


def local_description(core: Core, stream: Stream, *, is_done: bool) -> Description:
    """Returns what the other side needs to know of a stream as it stands."""
    generation = stream.current
    announced = [local.candidate for local in generation.candidates.values() if local.candidate.type != "prflx"]
    return Description(
        ufrag=generation.credentials.ufrag,
        password=generation.credentials.password,
        candidates=tuple(announced),
        options=ICE_OPTIONS,
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
        candidates=tuple(generation.remote_candidates.values()),
        options=remote.options,
        end_of_candidates=generation.remote_ended,
        pacing=remote.pacing,
        lite=remote.is_lite,
    )


def agent_snapshot(core: Core, *, state: State, cause: Cause | None, is_done: bool) -> AgentSnapshot:
    """Returns the whole agent as it stands."""
    streams = core.streams.values()
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
        datagrams_received=core.datagrams_received,
        octets_received=core.octets_received,
        datagrams_sent=core.datagrams_sent,
        octets_sent=core.octets_sent,
    )
