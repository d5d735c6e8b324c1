"""What one offer or answer settles, stream by stream: the values, and the rules that lead to them.

A `Negotiated` follows from what the other side says, what we accept, and what was settled before: whether a
stream uses ICE, a mismatch, which section carries it, whether the other side restarts. RFC 8839 §§4.2.5, 4.3,
4.4; RFC 3264 §6; RFC 5761 §5.1.1; RFC 9143 §7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from icepath.sdp.lines import Destination, RemoteCandidate, bad_sdp
from icepath.sdp.session import Session
from icepath.sdp.streams import RTP, TRICKLE, Told, bundle_groups
from icepath.sdp.writing import ICE2
from icepath.wire.fragment import Description


class Usage(Enum):
    """Is how a stream's data travels."""

    ICE = auto()
    PLAIN = auto()
    """Without ICE, to `destinations` (RFC 3264)."""
    MISMATCH = auto()
    """As PLAIN, though both sides know ICE: something on the way has changed addresses (RFC 8839 §4.2.5)."""
    BUNDLED = auto()
    """With the section `carrier` says (RFC 9143)."""
    REJECTED = auto()
    """Not at all."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Is what is settled about one m= section."""

    index: int
    mid: str | None
    usage: Usage
    remote: Description | None
    """What to give to the agent: only where `usage` is ICE."""
    destinations: tuple[Destination, ...]
    """Where the other side wants data when ICE is not used, by component."""
    components: int
    rtcp_mux: bool
    carrier: int
    """Index of the section that carries its data: its own, unless it is BUNDLED."""
    remote_candidates: tuple[RemoteCandidate, ...] = ()
    """What a controlling side selected of our candidates: see `judge_race`."""
    is_restart: bool = False
    """Whether the other side began a new ICE session (RFC 8839 §4.4.1.1.1): the agent must restart too."""


@dataclass(frozen=True, slots=True)
class Negotiated:
    """Is what the other side's last offer or answer settled."""

    session: Session
    """The other side's."""
    streams: tuple[Stream, ...]
    is_offer: bool
    must_restart: bool = False
    """Whether ICE was in use and no longer is: our next offer must restart it (RFC 8839 §4.4.3.1)."""

    @property
    def uses_ice(self) -> bool:
        """Says whether any stream uses ICE."""
        return any(stream.usage is Usage.ICE for stream in self.streams)

    @property
    def is_ice2(self) -> bool:
        """Says whether the other side follows RFC 8445; else it is taken to follow RFC 5245 (RFC 8839 §4.2.1.5)."""
        return self._has_option(ICE2)

    @property
    def trickles(self) -> bool:
        """Says whether the other side takes candidates later (RFC 8838)."""
        return self._has_option(TRICKLE)

    @property
    def is_lite(self) -> bool:
        """Says whether the other side is a lite agent."""
        return any(stream.remote is not None and stream.remote.lite for stream in self.streams)

    @property
    def claims_control(self) -> bool:
        """Says whether whoever offered has concluded: a lite answerer gives up its own control (RFC 8839 §4.4.2.2)."""
        return self.is_offer and any(stream.remote_candidates for stream in self.streams)

    def _has_option(self, option: str) -> bool:
        return any(stream.remote is not None and option in stream.remote.options for stream in self.streams)


def settle(told: Told, carriers: dict[int, int], *, rtcp_mux: bool, tolerate_mismatch: bool = False) -> Stream:
    """Returns what holds for one section, from what the other side says of it alone."""
    components = RTP if rtcp_mux else told.components
    carrier = carriers.get(told.index, told.index)
    usage = Usage.ICE
    if told.is_rejected or (told.is_bundle_only and carrier == told.index):
        usage = Usage.REJECTED
    elif carrier != told.index:
        usage = Usage.BUNDLED
    elif told.has_mismatch:
        usage = Usage.MISMATCH
    elif told.description is None:
        usage = Usage.PLAIN
    elif not tolerate_mismatch and not told.finds_defaults(RTP if told.rtcp_mux else components):
        usage = Usage.MISMATCH
    remote = told.description if usage is Usage.ICE else None
    if remote is not None:
        kept = tuple(one for one in remote.candidates if one.component <= components)
        remote = replace(remote, candidates=kept)
    return Stream(
        index=told.index,
        mid=told.mid,
        usage=usage,
        remote=remote,
        destinations=told.destinations[:components],
        components=components,
        rtcp_mux=rtcp_mux,
        carrier=carrier,
        remote_candidates=told.remote_candidates if usage is Usage.ICE else (),
    )


def plain(stream: Stream) -> Stream:
    """Returns the stream without ICE."""
    if stream.usage is not Usage.ICE:
        return stream
    return replace(stream, usage=Usage.PLAIN, remote=None, remote_candidates=())


def carriers_of(told: Sequence[Told], groups: Sequence[Sequence[str]]) -> dict[int, int]:
    """Returns which section carries each bundled one: its group's first that is not rejected (RFC 9143 §7.3)."""
    sections = {one.mid: one for one in told if not one.is_rejected}
    carriers: dict[int, int] = {}
    for mids in groups:
        members = [sections[mid] for mid in mids if mid in sections]
        carrier = next((one.index for one in members if not one.is_bundle_only), None)
        if carrier is not None:
            carriers.update({one.index: carrier for one in members})
    return carriers


def accepted_groups(offer: Session, answer: Session) -> list[list[str]]:
    """Returns the answer's BUNDLE groups, as far as each is part of one that was offered (RFC 9143 §7.5)."""
    offered = [frozenset(group) for group in bundle_groups(offer.head)]
    groups: list[list[str]] = []
    for answered in bundle_groups(answer.head):
        whole = next((group for group in offered if group.intersection(answered)), frozenset[str]())
        groups.append([mid for mid in answered if mid in whole])
    return groups


def negotiate(
    session: Session, streams: Sequence[Stream], previous: Negotiated | None, *, is_offer: bool
) -> Negotiated:
    known = {} if previous is None else {stream.index: stream for stream in previous.streams}
    settled = tuple(replace(one, is_restart=_is_restart(session, known.get(one.index), one)) for one in streams)
    has_ended = previous is not None and previous.uses_ice
    is_active = any(one.usage is not Usage.REJECTED for one in settled)
    uses_ice = any(one.usage is Usage.ICE for one in settled)
    return Negotiated(session, settled, is_offer, must_restart=has_ended and is_active and not uses_ice)


def _is_restart(session: Session, before: Stream | None, now: Stream) -> bool:
    """Says whether ufrag and password both changed, wherever in the text they stand (RFC 8839 §4.4.1.1.1)."""
    if before is None or before.remote is None or now.remote is None:
        return False
    has_new_ufrag = before.remote.ufrag != now.remote.ufrag
    if has_new_ufrag != (before.remote.password != now.remote.password):
        changed, kept = ("a=ice-ufrag", "a=ice-pwd") if has_new_ufrag else ("a=ice-pwd", "a=ice-ufrag")
        detail = f"section {now.index}: {changed} changed, {kept} did not; expected both (a restart) or none"
        raise bad_sdp(detail, session.offset_of(now.index))
    return has_new_ufrag


def check_change(previous: Negotiated, offer: Session, streams: Sequence[Stream]) -> None:
    """Raises DecodeError when an offer changes without a restart what only a restart may (RFC 8839 §4.4.2.1).

    Sides that know RFC 5245 only never promised that.
    """
    if not previous.is_ice2:
        return
    for before, now in zip(previous.streams, streams, strict=False):
        if before.remote is None or now.remote is None or before.remote.ufrag != now.remote.ufrag:
            continue
        old, new = before.remote, now.remote
        for name, is_same in (
            ("ice-options", set(old.options) == set(new.options)),
            ("ice-pacing", old.pacing == new.pacing),
            ("ice-lite", old.lite == new.lite),
        ):
            if not is_same:
                detail = f"section {now.index}: a={name} changed without a restart, expected what was told before"
                raise bad_sdp(detail, offer.offset_of(now.index))
