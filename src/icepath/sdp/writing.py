"""Puts agents' descriptions into a session description: ICE's lines, and the default destinations.

A template goes in with the codecs and all else the application says; out comes the same with its ICE lines
replaced. Before nomination the default destination is what a side without ICE most likely reaches; after it,
the selected pair's local candidate, alone. RFC 8839 §§4.2, 4.4.1, 5; RFC 8840 §4.1; RFC 9143 §§7, 10.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Final, TypeAlias

from icepath.errors import InvalidArgument
from icepath.ice.events import AgentSnapshot, PairSnapshot, State
from icepath.machine import Transport
from icepath.net import Address
from icepath.sdp.lines import (
    DISCARD_PORT,
    Destination,
    RemoteCandidate,
    format_connection,
    format_remote_candidates,
    format_rtcp,
)
from icepath.sdp.session import Section, Session
from icepath.sdp.streams import RTCP, RTP, TRICKLE, bundle_groups
from icepath.wire.candidate_line import Candidate, CandidateType, format_candidate
from icepath.wire.fragment import Description

# RFC 8839 §5.4: "the "ice-ufrag" attribute MUST NOT be longer than 32 characters when sending".
MAX_SENT_UFRAG: Final = 32
ICE2: Final = "ice2"
ICE_ATTRIBUTES: Final = (
    "candidate",
    "remote-candidates",
    "ice-lite",
    "ice-mismatch",
    "ice-ufrag",
    "ice-pwd",
    "ice-pacing",
    "ice-options",
    "end-of-candidates",
)
# RFC 8445 §5.1.1.1: what most likely works from anywhere comes first.
_MOST_REACHABLE: Final = (
    CandidateType.RELAYED,
    CandidateType.SERVER_REFLEXIVE,
    CandidateType.PEER_REFLEXIVE,
    CandidateType.HOST,
)


@dataclass(frozen=True, slots=True)
class SelectedPair:
    """Is what an agent settled on for one component."""

    component: int
    local: Candidate
    remote: Address


@dataclass(frozen=True, slots=True)
class LocalStream:
    """Is one of our streams, as it is to be told."""

    description: Description
    selected: tuple[SelectedPair, ...] = ()
    """One for each component, once ICE has completed for the stream."""
    is_controlling: bool = False


Told: TypeAlias = "LocalStream | Description | None"
"""What to write into a section; None: nothing of ICE, or, in a BUNDLE group, what its first section says."""


def local_streams(snapshot: AgentSnapshot) -> tuple[LocalStream, ...]:
    """Returns an agent's streams as they are to be told now, for `make_offer` and `make_answer`."""
    is_controlling = snapshot.role == "controlling"
    streams: list[LocalStream] = []
    for number, description in enumerate(snapshot.local, 1):
        chosen = [pair for pair in snapshot.pairs if pair.stream == number and pair.is_selected and pair.is_nominated]
        chosen.sort(key=_component)
        selected = tuple(SelectedPair(pair.component, pair.local, pair.remote_address) for pair in chosen)
        is_completed = snapshot.state is State.COMPLETED
        streams.append(LocalStream(description, selected if is_completed else (), is_controlling=is_controlling))
    return tuple(streams)


def with_ice(
    session: Session,
    streams: Sequence[Told],
    *,
    session_level: bool = False,
    prefer_ipv6: bool = False,
    shares_bundle: bool = False,
) -> Session:
    """Returns the session with these streams in its m= sections, in order.

    `session_level` puts one agent's credentials before the first m= line. `prefer_ipv6` is for the default
    destination alone. Without `shares_bundle` a bundled section is written as bundle-only, as in a first offer.
    Raises: InvalidArgument when the streams do not fit the session, or each other.
    RFC: 8839 §4.2, §5; 9143 §7.2.
    """
    told = [LocalStream(one) if isinstance(one, Description) else one for one in streams]
    _check(session, told)
    used = [one.description for one in told if one is not None]
    at_session = session_level and len({one.ufrag for one in used}) == 1
    names = _free_names(session)
    media = [
        section.without(*ICE_ATTRIBUTES)
        if stream is None
        else _stream_section(section, stream, next(names), at_session=at_session, prefer_ipv6=prefer_ipv6)
        for section, stream in zip(session.media, told, strict=True)
    ]
    carriers = _carriers(Session(session.head, tuple(media)), told)
    for index, carrier in carriers.items():
        media[index] = _bundled_section(media[index], media[carrier], shares=shares_bundle)
    head = session.head.without(*ICE_ATTRIBUTES).with_attributes(*_session_attributes(used, at_session=at_session))
    if len({one.options for one in used}) > 1:
        media = [
            section if stream is None else section.with_attributes(_options(stream.description))
            for section, stream in zip(media, told, strict=True)
        ]
    return Session(head, tuple(media))


def without_stream(session: Session, index: int) -> Session:
    """Returns the session with one stream removed, or rejected: port 0 and nothing of ICE.

    RFC: 3264 §8.2, 8839 §4.4.1.1.2.
    """
    section = session.media[index].without(*ICE_ATTRIBUTES, "bundle-only", "rtcp")
    return session.with_section(index, section.with_port(0))


def is_offered(section: Section) -> bool:
    """Says whether a section is neither removed nor rejected (RFC 3264 §6); bundle-only ones are not."""
    return section.media.port != 0 or section.attribute("bundle-only") is not None


def default_candidates(
    candidates: Sequence[Candidate], transport: Transport, *, prefer_ipv6: bool = False
) -> dict[int, Candidate]:
    """Returns the default candidate of each component that has one: relayed before reflexive before host.

    Names are no default; components share the first one's kind and host where they can.
    RFC: 8445 §5.1.1.1, 8839 §4.2.1.2.
    """
    usable = [one for one in candidates if one.transport is transport and not one.is_name]
    found: dict[int, Candidate] = {}
    for component in sorted({one.component for one in usable}):
        of_component = [one for one in usable if one.component == component]
        first = next(iter(found.values()), None)
        found[component] = min(of_component, key=lambda one: _reachability(one, first, prefer_ipv6=prefer_ipv6))
    return found


def _reachability(candidate: Candidate, first: Candidate | None, *, prefer_ipv6: bool) -> tuple[bool, int, bool, int]:
    is_beside = first is not None and (candidate.type, candidate.host) == (first.type, first.host)
    is_other_family = candidate.address.is_ipv6 is not prefer_ipv6
    return (not is_beside, _MOST_REACHABLE.index(candidate.type), is_other_family, -candidate.priority)


def _free_names(session: Session) -> Iterator[str]:
    """Yields mids that no section has yet."""
    taken = {section.attribute("mid") for section in session.media}
    return (name for name in map(str, count(1)) if name not in taken)


def _component(pair: PairSnapshot) -> int:
    return pair.component


def _check(session: Session, streams: Sequence[LocalStream | None]) -> None:
    if len(streams) != len(session.media):
        raise InvalidArgument(f"{len(streams)} streams for {len(session.media)} m= sections: one for each, or None")
    passwords: dict[str, Description] = {}
    for index, stream in enumerate(streams):
        if stream is None:
            continue
        description = stream.description
        if len(description.ufrag) > MAX_SENT_UFRAG:
            raise InvalidArgument(f"ufrag has {len(description.ufrag)} characters, allowed are {MAX_SENT_UFRAG}")
        known = passwords.setdefault(description.ufrag, description)
        if known.password != description.password:
            raise InvalidArgument(f"stream {index} has the ufrag of another and another password (RFC 8839 §5.4)")
        if description.lite is not next(iter(passwords.values())).lite:
            raise InvalidArgument("some streams are of a lite agent, some not: an agent is one or the other")
        components = [pair.component for pair in stream.selected]
        if components != list(range(1, len(components) + 1)):
            raise InvalidArgument(f"selected pairs are of components {components}, expected 1, 2, ... in order")


def _session_attributes(used: Sequence[Description], *, at_session: bool) -> list[str]:
    """Returns what stands before the first m= line.

    RFC 8839 §4.2.1.4, §4.3.1: a lite agent says that it is, and proposes no pacing, as it checks nothing.
    """
    if not used:
        return []
    attributes = ["ice-lite"] if used[0].lite else []
    if len({one.options for one in used}) == 1:
        attributes.append(_options(used[0]))
    pacings = [one.pacing for one in used if one.pacing is not None and not one.lite]
    if pacings:
        attributes.append(f"ice-pacing:{max(pacings)}")
    return [*attributes, *_credentials(used[0])] if at_session else attributes


def _options(description: Description) -> str:
    """RFC 8839 §4.2.1.5: "MUST include ... an "ice2" attribute value"."""
    options = description.options if ICE2 in description.options else (ICE2, *description.options)
    return f"ice-options:{' '.join(options)}"


def _credentials(description: Description) -> list[str]:
    return [f"ice-ufrag:{description.ufrag}", f"ice-pwd:{description.password.reveal()}"]


def _stream_section(
    section: Section, stream: LocalStream, name: str, *, at_session: bool, prefer_ipv6: bool
) -> Section:
    description = stream.description
    section = section.without(*ICE_ATTRIBUTES, "rtcp", "bundle-only")
    name = name if description.mid is None else description.mid
    if section.attribute("mid") is None and (description.mid is not None or TRICKLE in description.options):
        # RFC 8840 §4.1.1: so that what trickles can say where it belongs.
        section = section.with_attributes(f"mid:{name}")
    candidates = description.candidates
    if stream.selected:
        # RFC 8839 §4.4.1.2.2: those of the nominated pairs, and no other.
        candidates = tuple(pair.local for pair in stream.selected)
    attributes = [] if at_session else _credentials(description)
    attributes += [format_candidate(replace(one, ufrag=None)) for one in candidates]
    if stream.selected and stream.is_controlling:
        remote = (RemoteCandidate(pair.component, pair.remote) for pair in stream.selected)
        attributes.append(format_remote_candidates(remote))
    if description.end_of_candidates:
        attributes.append("end-of-candidates")
    section = _with_defaults(section, candidates, prefer_ipv6=prefer_ipv6)
    return section.with_attributes(*attributes)


def _with_defaults(section: Section, candidates: Sequence[Candidate], *, prefer_ipv6: bool) -> Section:
    """Returns the section with m=, c= and a=rtcp telling the default candidates."""
    media = section.media
    defaults = default_candidates(candidates, media.transport, prefer_ipv6=prefer_ipv6)
    if RTP not in defaults:
        # RFC 8839 §4.3.1: nothing is known yet, or nothing of the m= line's transport (§4.3.2).
        rtp = Destination("::" if prefer_ipv6 else "0.0.0.0", DISCARD_PORT)
    else:
        rtp = Destination(defaults[RTP].host, defaults[RTP].port)
    section = section.with_port(rtp.port).with_connection(format_connection(rtp.host))
    if RTP not in defaults or not media.is_rtp or all(one.component != RTCP for one in candidates):
        return section
    # Candidates that no default can be made of, as names: what the port above RTP's is would be a mismatch.
    rtcp = Destination("0.0.0.0", DISCARD_PORT)
    if RTCP in defaults:
        rtcp = Destination(defaults[RTCP].host, defaults[RTCP].port)
    told = format_rtcp(rtcp, rtp)
    return section if told is None else section.with_attributes(told)


def _carriers(session: Session, streams: Sequence[LocalStream | None]) -> dict[int, int]:
    """Returns which sections travel with which: those of a BUNDLE group that have no stream of their own."""
    index_of = {section.attribute("mid"): index for index, section in enumerate(session.media) if is_offered(section)}
    carriers: dict[int, int] = {}
    for mids in bundle_groups(session.head):
        members = [index_of[mid] for mid in mids if mid in index_of]
        carrier = next((index for index in members if streams[index] is not None), None)
        if carrier is not None:
            carriers.update({index: carrier for index in members if streams[index] is None})
    return carriers


def _bundled_section(section: Section, carrier: Section, *, shares: bool) -> Section:
    """Returns a section whose data goes with another's; ICE's lines are in that one alone (RFC 8859, TRANSPORT)."""
    section = section.without("rtcp", "bundle-only")
    if not shares:
        return section.with_port(0).with_connection(format_connection("0.0.0.0")).with_attributes("bundle-only")
    return section.with_port(carrier.media.port).with_connection(carrier.values("c")[0])
