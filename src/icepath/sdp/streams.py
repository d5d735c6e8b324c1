"""What one side's session description says of each stream: a `Told` per m= section, not judged yet.

ICE's own lines are read by wire's one reader; here they are joined with what m=, c=, a=rtcp and a=rtcp-mux
say, and whatever contradicts itself is refused: a value told twice and differently, a ufrag without its
password, one ufrag with two passwords. What follows from it is negotiation.py's. RFC 8839 §§4.2, 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from icepath.errors import DecodeError, DecodeReason
from icepath.machine import Transport
from icepath.sdp.lines import (
    Destination,
    MediaLine,
    RemoteCandidate,
    bad_sdp,
    parse_connection,
    parse_media,
    parse_remote_candidates,
    parse_rtcp,
)
from icepath.sdp.session import Section, Session
from icepath.wire.candidate_line import Candidate
from icepath.wire.fragment import Description
from icepath.wire.ice_lines import MAX_OPTIONS, Body, read_lines
from icepath.wire.ice_lines import Section as IceLines

# RFC 8839 §5: told once in a section; several ice-options lines add up instead (session and media may each have one).
SINGLE: Final = frozenset({"ice-ufrag", "ice-pwd", "ice-pacing", "mid", "rtcp"})
# RFC 8839 §5.1: RTP is component 1, RTCP component 2.
RTP: Final = 1
RTCP: Final = 2
# RFC 3556 §2: what senders and receivers may use.
NO_RTCP: Final = frozenset({"RS:0", "RR:0"})
TRICKLE: Final = "trickle"


@dataclass(frozen=True, slots=True)
class Told:
    """Is what one side says of one stream."""

    index: int
    """Which m= section, from 0."""
    mid: str | None
    media: MediaLine
    description: Description | None
    """None where it does not use ICE."""
    destinations: tuple[Destination, ...]
    """Where data goes without ICE: RTP's (or whatever it is), and RTCP's where that is beside it."""
    rtcp_mux: bool
    tells_rtcp: bool
    """Whether a=rtcp says where RTCP goes."""
    uses_rtcp: bool
    """Whether there is RTCP: it carries RTP, and does not leave RTCP no bandwidth (RFC 8839 §4.2.2)."""
    is_bundle_only: bool
    has_mismatch: bool
    remote_candidates: tuple[RemoteCandidate, ...]

    @property
    def is_rejected(self) -> bool:
        """Says whether port 0 rejects it (RFC 3264 §6), rather than marks it as only ever bundled."""
        return self.media.port == 0 and not self.is_bundle_only

    @property
    def components(self) -> int:
        """Returns how many components it has, or may get as candidates trickle, when RTCP is not multiplexed."""
        if not self.uses_rtcp or self.description is None:
            return RTCP if self.uses_rtcp else self._told_components
        may_come = TRICKLE in self.description.options and not self.description.end_of_candidates
        return max(self._told_components, RTCP) if self.tells_rtcp or may_come else self._told_components

    @property
    def _told_components(self) -> int:
        candidates = () if self.description is None else self.description.candidates
        return max((one.component for one in candidates), default=RTP)

    def finds_defaults(self, components: int) -> bool:
        """Says whether each component's default destination is among its candidates, or is none.

        RFC 8839 §4.2.5: neither 0.0.0.0 or :: nor port 9 (nothing known yet) nor a name is an ICE mismatch.
        RTCP's counts where it is told, or has candidates.
        """
        candidates = () if self.description is None else self.description.candidates
        told = min(components, RTCP if self.tells_rtcp else self._told_components)
        destinations = enumerate(self.destinations[:told], RTP)
        return all(
            _is_default_among(candidates, component, one, self.media.transport) for component, one in destinations
        )


def read_streams(session: Session) -> tuple[Told, ...]:
    """Reads every m= section.

    Raises: DecodeError BAD_SDP for what is missing, malformed or contradicts itself; TOO_LONG.
    RFC: 8839 §5, 8866 §5.
    """
    body = _ice_lines(session)
    _check_single(session.head, 0)
    connection = _connection(session.head, 0)
    told: list[Told] = []
    offset = len(str(session.head))
    for index, (section, ice) in enumerate(zip(session.media, body.sections, strict=True)):
        _check_single(section, offset)
        told.append(_read(index, section, offset, ice, body.session, connection))
        offset += len(str(section))
    _check_mids(session, told)
    _check_passwords(session, told)
    return tuple(told)


def bundle_groups(head: Section) -> tuple[tuple[str, ...], ...]:
    """Returns the mids of each BUNDLE group (RFC 9143 §6)."""
    found = (value.split() for value in head.attributes("group"))
    return tuple(tuple(mids) for semantics, *mids in (group for group in found if group) if semantics == "BUNDLE")


def _is_default_among(
    candidates: Sequence[Candidate], component: int, destination: Destination, transport: Transport
) -> bool:
    """Says whether a destination is one of the candidates of its component, or none that could be."""
    if destination.is_unspecified or destination.is_name:
        return True
    return any(
        (one.component, one.transport, one.host, one.port) == (component, transport, destination.host, destination.port)
        for one in candidates
    )


def _ice_lines(session: Session) -> Body:
    try:
        return read_lines(str(session))
    except DecodeError as error:
        if error.reason is DecodeReason.TOO_LONG:
            raise
        raise bad_sdp(str(error), error.offset) from None


def _read(index: int, section: Section, offset: int, ice: IceLines, session: IceLines, connection: str | None) -> Told:
    media = parse_media(section.values("m")[0], offset)
    description = _description(index, offset, ice, session)
    is_bundle_only = media.port == 0 and ice.is_bundle_only
    destinations: tuple[Destination, ...] = ()
    if media.port or is_bundle_only:
        destinations = _destinations(index, section, offset, media, connection)
    return Told(
        index=index,
        mid=ice.mid,
        media=media,
        description=description,
        destinations=destinations,
        rtcp_mux=section.attribute("rtcp-mux") is not None or section.attribute("rtcp-mux-only") is not None,
        tells_rtcp=section.attribute("rtcp") is not None,
        uses_rtcp=media.is_rtp and not NO_RTCP.issubset(section.values("b")),
        is_bundle_only=is_bundle_only,
        has_mismatch=ice.has_mismatch,
        remote_candidates=_remote_candidates(section, offset),
    )


def _description(index: int, offset: int, ice: IceLines, session: IceLines) -> Description | None:
    """Returns the section's description, with what the session says as defaults (RFC 8839 §5.4)."""
    ufrag = session.ufrag if ice.ufrag is None else ice.ufrag
    password = session.password if ice.password is None else ice.password
    if ice.has_mismatch or (ufrag is None and password is None):
        return None
    if ufrag is None or password is None:
        missing = "a=ice-ufrag" if ufrag is None else "a=ice-pwd"
        raise bad_sdp(f"section {index} at character {offset}: {missing} is missing", offset)
    return Description(
        ufrag=ufrag,
        password=password,
        candidates=tuple(ice.candidates),
        options=tuple(dict.fromkeys([*session.options, *ice.options]))[:MAX_OPTIONS],
        end_of_candidates=ice.end_of_candidates or session.end_of_candidates,
        pacing=session.pacing if ice.pacing is None else ice.pacing,
        lite=ice.lite or session.lite,
        mid=ice.mid,
        ignored_candidates=ice.ignored,
    )


def _destinations(
    index: int, section: Section, offset: int, media: MediaLine, connection: str | None
) -> tuple[Destination, ...]:
    host = _connection(section, offset) or connection
    if host is None:
        raise bad_sdp(f"section {index} at character {offset}: no c= line, here or before the first m= line", offset)
    rtp = Destination(host, media.port)
    if not media.is_rtp:
        return (rtp,)
    told = section.attribute("rtcp")
    if told is not None:
        return (rtp, parse_rtcp(told, host, offset))
    # RFC 8839 §3: "its port is one greater than the port of the RTP component".
    return (rtp, Destination(host, media.port if rtp.is_unspecified else media.port + 1))


def _connection(section: Section, offset: int) -> str | None:
    """Returns the host of a section's c= line: the first, should it announce several multicast layers."""
    found = section.values("c")
    return parse_connection(found[0], offset) if found else None


def _remote_candidates(section: Section, offset: int) -> tuple[RemoteCandidate, ...]:
    found: dict[int, RemoteCandidate] = {}
    for value in section.attributes("remote-candidates"):
        for one in parse_remote_candidates(value, offset):
            if found.setdefault(one.component, one) != one:
                detail = f"component {one.component} is {one.address} and {found[one.component].address}"
                raise bad_sdp(f"a=remote-candidates at character {offset}: {detail}, expected one", offset)
    return tuple(found[component] for component in sorted(found))


def _check_single(section: Section, offset: int) -> None:
    """Raises DecodeError when a value is told twice and differently; a mere repetition harms nobody."""
    seen: dict[str, str] = {}
    for name, value, at in section.located_attributes():
        if name in SINGLE and seen.setdefault(name, value) != value:
            raise bad_sdp(f"a={name} at character {offset + at}: told before with another value", offset + at)


def _check_mids(session: Session, told: Sequence[Told]) -> None:
    """Raises DecodeError when two sections have one name (RFC 5888 §4)."""
    seen: dict[str, int] = {}
    for one in told:
        if one.mid is not None and seen.setdefault(one.mid, one.index) != one.index:
            detail = f"a=mid is {one.mid!r} in sections {seen[one.mid]} and {one.index}, expected names of their own"
            raise bad_sdp(detail, session.offset_of(one.index))


def _check_passwords(session: Session, told: Sequence[Told]) -> None:
    """Raises DecodeError when one ufrag has two passwords (RFC 8839 §5.4)."""
    seen: dict[str, Told] = {}
    for one in told:
        known = None if one.description is None else seen.setdefault(one.description.ufrag, one)
        if one.description is None or known is None or known.description is None:
            continue
        if known.description.password != one.description.password:
            detail = f"sections {known.index} and {one.index} have one a=ice-ufrag and two a=ice-pwd, expected one"
            raise bad_sdp(detail, session.offset_of(one.index))
