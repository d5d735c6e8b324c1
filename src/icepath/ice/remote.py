"""Taking in what the other side tells: its description, and candidates as they trickle in.

Candidates may come before the description, as names, twice, or useless; each that cannot be used is
counted and dropped, none harms. RFC 8445 §6.1, RFC 8838 §11 and §14; RFC 8863 §4 (when patience begins).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, final

from icepath.errors import InvalidState
from icepath.ice.candidate import is_learnt, transport_address
from icepath.ice.config import Role
from icepath.ice.core import Core, TimerKey, TimerKind
from icepath.ice.embedding import OPTION
from icepath.ice.incoming import Incoming, Learnt
from icepath.ice.nat64 import translated
from icepath.ice.pacer import DEFAULT_PACING, MAX_PACING
from icepath.ice.pairing import pair_remote
from icepath.ice.renomination import agree
from icepath.ice.snapshot import MILLISECONDS
from icepath.ice.stream import Generation, Remote, Stream
from icepath.machine import DropReason, Failed, Handle, Resolve, Resolved, Transport
from icepath.net import Address, Instant, Seconds, is_usable_destination
from icepath.wire.candidate_line import Candidate, CandidateType
from icepath.wire.fragment import Description

# Names under resolution at one time: enough for any description, no lever for a flood.
MAX_NAMES: Final = 32


@final
class RemoteSide:
    """Takes in descriptions and candidates of the other side."""

    __slots__ = ("_core", "_incoming", "_names")

    def __init__(self, core: Core, incoming: Incoming) -> None:
        self._core = core
        self._incoming = incoming
        self._names: dict[Handle, tuple[Stream, Generation, Candidate]] = {}

    def set_description(self, stream: Stream, description: Description, *, now: Instant) -> list[Learnt]:
        """Takes a description; returns what the checks that came before it told.

        Raises: InvalidState when it belongs to another ICE session than the current one.
        """
        if _is_stale(stream, description):
            return []
        generation = stream.current
        if generation.remote is None:
            self._begin(stream, generation, description, now=now)
            if generation.remote_candidates:
                known = [(candidate, address) for (address, _), candidate in generation.remote_candidates.items()]
                for candidate, address in sorted(known, key=lambda each: _forming_order(each[0])):
                    pair_remote(self._core, stream, candidate, address)
        elif not _is_same(generation, description):
            raise InvalidState("the other side restarted: call restart() before taking its new description")
        for candidate in sorted(description.candidates, key=_forming_order):
            self.add_candidate(stream, candidate, now=now)
        if description.end_of_candidates:
            generation.remote_ended = True
        early, generation.early_checks = generation.early_checks, []
        learnt = [self._incoming.follow_up(stream, generation, check, is_early=True, now=now) for check in early]
        return [each for each in learnt if each is not None]

    def _begin(self, stream: Stream, generation: Generation, description: Description, *, now: Instant) -> None:
        core = self._core
        generation.remote = Remote(
            description.ufrag,
            description.password,
            options=description.options,
            pacing=description.pacing,
            is_lite=description.lite,
        )
        if core.config.renomination:
            generation.renomination = agree(description.options)
            generation.checklist.stays_open = generation.renomination is not None
        if core.embeddings and OPTION not in description.options:
            for component in stream.components:
                core.embeddings[stream.id, component].give_up()
        generation.started = now
        core.timers.set(TimerKey(TimerKind.PATIENCE, stream.id), now + core.config.patience)
        # RFC 8445 §14.2: the higher proposal rules, of all streams, as they share one pace.
        remotes = [each.current.remote for each in core.streams.values() if each.current.remote is not None]
        core.pacer.agree(core.config.pacing, max(_proposal(remote) for remote in remotes))
        if description.lite is not core.config.lite:
            # RFC 8445 §6.1.1: of a lite agent and a full one, the full one takes the controlling role.
            role = Role.CONTROLLED if core.config.lite else Role.CONTROLLING
            if core.role is not role:
                core.change_role(role, draw_tie_breaker=False)
        for key, candidate in list(generation.remote_candidates.items()):
            if candidate.ufrag is not None and candidate.ufrag != description.ufrag:
                del generation.remote_candidates[key]

    def add_candidate(self, stream: Stream, candidate: Candidate, *, now: Instant) -> None:
        """Takes one candidate; a name is resolved first."""
        generation = stream.current
        if not self._is_wanted(stream, generation, candidate):
            self._core.outbox.drop(DropReason.BAD_CANDIDATE, now=now)
        elif not candidate.is_name:
            address = Address(candidate.host, candidate.port)
            for each in (address, *translated(self._core.nat64.prefixes, address)):
                self._add(stream, generation, candidate, transport_address(candidate, each.host), now=now)
        elif len(self._names) >= MAX_NAMES:
            self._core.outbox.drop(DropReason.LIMIT, now=now)
        else:
            handle = self._core.next_handle()
            self._names[handle] = (stream, generation, candidate)
            self._core.outbox.put(Resolve(handle, candidate.host))

    def _is_wanted(self, stream: Stream, generation: Generation, candidate: Candidate) -> bool:
        if candidate.component not in stream.components:
            return False
        if candidate.transport is Transport.TCP and not (self._core.config.tcp and candidate.tcp_type is not None):
            return False
        if generation.remote_ended and generation.renomination is None:
            # RFC 8838 §14: "it MUST ignore any newly received candidates". With renomination a side that joins another
            # network trickles candidates of it (draft-thatcher-tsvwg-renomination §1): DEVIATIONS.md.
            return False
        if candidate.is_name and self._core.config.relay_only:
            return False  # draft-ietf-mmusic-mdns-ice-candidates §3.2.1 step 2
        return _is_of_session(generation, candidate)

    def on_resolution(self, answer: Resolved | Failed, *, now: Instant) -> bool:
        """Takes the answer to a candidate's name; False when the handle is not of one."""
        waiting = self._names.pop(answer.handle, None)
        if waiting is None:
            return False
        stream, generation, candidate = waiting
        is_wanted = generation is stream.current and _is_of_session(generation, candidate)
        if isinstance(answer, Failed) or not answer.answers or not is_wanted:
            self._core.outbox.drop(DropReason.BAD_CANDIDATE, now=now)
            return True
        address = transport_address(candidate, self._best_host(stream, answer))
        self._add(stream, generation, candidate, address, now=now)
        return True

    def _best_host(self, stream: Stream, answer: Resolved) -> str:
        """Returns the resolver's best address of a family that the stream can send from, else its best at all."""
        ours = {socket.address.is_ipv6 for socket in self._core.sockets.values() if socket.stream == stream.id}
        usable = [found.address.host for found in answer.answers if found.address.is_ipv6 in ours]
        return usable[0] if usable else answer.answers[0].address.host

    @property
    def wants_ipv4(self) -> bool:
        """Says whether the other side has told an IPv4 address."""
        streams = self._core.streams.values()
        return any(not address.is_ipv6 for stream in streams for address, _ in stream.current.remote_candidates)

    def translate(self, *, now: Instant) -> None:
        """Adds what translators make of the IPv4 addresses that the other side told (RFC 7050)."""
        for stream in self._core.streams.values():
            generation = stream.current
            for (address, _), candidate in list(generation.remote_candidates.items()):
                if candidate.host == address.host and not is_learnt(candidate):
                    for each in translated(self._core.nat64.prefixes, address):
                        self._add(stream, generation, candidate, each, now=now)

    def cancel_resolutions(self) -> list[Handle]:
        """Forgets the names under resolution, and the question for translators; returns their handles."""
        handles = list(self._names)
        if self._core.nat64.query is not None:
            handles.append(self._core.nat64.query)
            self._core.nat64.query = None
        self._names.clear()
        return handles

    def _add(
        self, stream: Stream, generation: Generation, candidate: Candidate, address: Address, *, now: Instant
    ) -> None:
        core = self._core
        if not is_usable_destination(address):
            core.outbox.drop(DropReason.BAD_CANDIDATE, remote=address, now=now)
            return
        key = (address, candidate.component)
        known = generation.remote_candidates.get(key)
        if known is not None and known.type is not CandidateType.PEER_REFLEXIVE:
            return  # told twice: harmless
        if known is None and generation.count_announced() >= core.config.max_remote_candidates:
            core.outbox.drop(DropReason.LIMIT, remote=address, now=now)
            return
        generation.remote_candidates[key] = candidate
        if known is not None:
            generation.learnt -= {key}
            self._identify(generation, candidate, address)
        # See pairing.py: what is behind a name is no server's business.
        if candidate.transport is Transport.UDP and candidate.host == address.host:
            core.unpermitted.append((stream.id, address.host))
        if generation.remote is not None:
            pair_remote(core, stream, candidate, address)

    def _identify(self, generation: Generation, candidate: Candidate, address: Address) -> None:
        """Gives pairs of a learnt candidate what the other side says of it (RFC 8445 §7.3.1.3)."""
        for pair in generation.checklist.pairs.values():
            if pair.remote_address == address and pair.component == candidate.component:
                pair.remote = replace(candidate)
                pair.reprioritize(self._core.is_controlling)


def _forming_order(candidate: Candidate) -> tuple[int, int]:
    """Orders candidates that come together so that one pair of a foundation begins Waiting (RFC 8445 §6.1.2.6)."""
    return (candidate.component, -candidate.priority)


def _is_of_session(generation: Generation, candidate: Candidate) -> bool:
    """Says whether the candidate belongs to the description, as far as both are known."""
    remote = generation.remote
    return candidate.ufrag is None or remote is None or candidate.ufrag == remote.ufrag


def _proposal(remote: Remote) -> Seconds:
    """Returns the Ta that the other side proposed, within bounds; the default stands for none (RFC 8445 §14.2)."""
    return DEFAULT_PACING if remote.pacing is None else min(remote.pacing / MILLISECONDS, MAX_PACING)


def _is_same(generation: Generation, description: Description) -> bool:
    remote = generation.remote
    return remote is not None and remote.ufrag == description.ufrag and remote.password == description.password


def _is_stale(stream: Stream, description: Description) -> bool:
    """Says whether the description is that of the session before a restart, told once more."""
    return stream.previous is not None and _is_same(stream.previous, description)
