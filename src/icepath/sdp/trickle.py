"""Candidates on their way after the offer: RFC 8840's `application/trickle-ice-sdpfrag` bodies.

Each body repeats all candidates of its generation, so bodies may be lost and overtake each other: what is
known already is left out here, what belongs to another generation is discarded. wire/fragment.py reads the
same text for one stream without offer and answer; here streams are told apart by mid. RFC 8840 §§4.4, 6, 7, 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from icepath.entropy import Secret
from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.sdp.lines import bad_sdp
from icepath.sdp.session import LINE_END, Section, Session, split_sections
from icepath.sdp.settling import Negotiated, Stream, Usage
from icepath.sdp.streams import bundle_groups
from icepath.sdp.writing import LocalStream
from icepath.sdp.writing import Told as ToTell
from icepath.wire.candidate_line import Candidate, format_candidate
from icepath.wire.fragment import PSEUDO_MEDIA_LINE
from icepath.wire.ice_lines import Body, read_lines
from icepath.wire.ice_lines import Section as IceLines

CONTENT_TYPE: Final = "application/trickle-ice-sdpfrag"
INFO_PACKAGE: Final = "trickle-ice"


@dataclass(frozen=True, slots=True)
class FragmentStream:
    """Is what a fragment says of one stream."""

    mid: str | None
    ufrag: str
    password: Secret
    candidates: tuple[Candidate, ...] = ()
    end_of_candidates: bool = False
    rtcp_mux: bool = False
    """Whether RTCP is multiplexed: no candidates of component 2 are needed (RFC 8840 §6)."""
    media: str = PSEUDO_MEDIA_LINE
    """The pseudo m= line; its content means nothing."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """Is the body of one INFO request."""

    streams: tuple[FragmentStream, ...]
    bundles: tuple[tuple[str, ...], ...] = ()
    """BUNDLE groups that the answerer accepts (RFC 8840 §7)."""
    end_of_candidates: bool = False
    """Whether no stream will have any more."""
    session_level: bool = False
    """Whether ufrag and password stand before the first pseudo m= line, as they do in the offer or answer."""
    ufrag: str | None = None
    password: Secret | None = None
    ignored_candidates: int = 0
    """How many candidate lines could not be used."""

    def __str__(self) -> str:
        lines = [f"a=group:BUNDLE {' '.join(mids)}" for mids in self.bundles]
        if self.session_level and self.ufrag is not None and self.password is not None:
            lines += [f"a=ice-pwd:{self.password.reveal()}", f"a=ice-ufrag:{self.ufrag}"]
        if self.end_of_candidates:
            lines.append("a=end-of-candidates")
        for stream in self.streams:
            is_told = self.session_level and (stream.ufrag, stream.password) == (self.ufrag, self.password)
            lines += _stream_lines(stream, is_told=is_told)
        return "".join(f"{line}{LINE_END}" for line in lines)


@dataclass(frozen=True, slots=True)
class TrickledStream:
    """Is what is new of one stream: for the agent."""

    index: int
    candidates: tuple[Candidate, ...]
    end_of_candidates: bool


@dataclass(frozen=True, slots=True)
class Trickled:
    """Is what a fragment adds to what is known."""

    negotiated: Negotiated
    """What to keep, and to hand in with the next fragment."""
    streams: tuple[TrickledStream, ...]
    discarded: int = 0
    """How many streams of it were of another generation, or are none of ours."""


def make_fragment(local: Session, streams: Sequence[ToTell]) -> Fragment:
    """Returns the next INFO body: every candidate known by now; `local` is our offer or answer.

    Raises: InvalidArgument when the streams do not fit the session.
    RFC: 8840 §4.4.
    """
    if len(streams) != len(local.media):
        raise InvalidArgument(f"{len(streams)} streams for {len(local.media)} m= sections: one for each, or None")
    told: list[FragmentStream] = []
    for section, stream in zip(local.media, streams, strict=True):
        description = stream.description if isinstance(stream, LocalStream) else stream
        if description is None:
            continue
        told.append(
            FragmentStream(
                mid=section.attribute("mid"),
                ufrag=description.ufrag,
                password=description.password,
                candidates=description.candidates,
                end_of_candidates=description.end_of_candidates,
                rtcp_mux=section.attribute("rtcp-mux") is not None,
                media=section.lines[0].rstrip("\r\n"),
            )
        )
    first = told[0] if told else None
    return Fragment(
        streams=tuple(told),
        bundles=bundle_groups(local.head),
        session_level=local.head.attribute("ice-ufrag") is not None,
        ufrag=None if first is None else first.ufrag,
        password=None if first is None else first.password,
    )


def parse_fragment(text: str) -> Fragment:
    """Parses an INFO body.

    Raises: DecodeError BAD_SDP, also for one that does not say which generation it is of; TOO_LONG.
    RFC: 8840 §4.4, §9.2.
    """
    head, *sections = split_sections(text)
    body = _read(text)
    offset = len(str(head))
    streams: list[FragmentStream] = []
    for section, ice in zip(sections, body.sections, strict=True):
        streams.append(_fragment_stream(section, ice, body.session, offset))
        offset += len(str(section))
    session = body.session
    if not sections and (session.ufrag is None or session.password is None):
        raise bad_sdp("no pseudo m= line, and a=ice-ufrag or a=ice-pwd is missing", 0)
    return Fragment(
        streams=tuple(streams),
        bundles=bundle_groups(head),
        end_of_candidates=session.end_of_candidates,
        session_level=session.ufrag is not None,
        ufrag=session.ufrag,
        password=session.password,
        ignored_candidates=sum(ice.ignored for ice in body.sections),
    )


def take_fragment(negotiated: Negotiated, fragment: Fragment) -> Trickled:
    """Returns what a fragment adds: candidates not known yet, in order, and ends.

    RFC: 8840 §4.4.
    """
    current = [stream for stream in negotiated.streams if stream.usage is Usage.ICE]
    told: dict[int, FragmentStream] = {}
    discarded = 0
    for one in fragment.streams:
        stream = _stream_of(current, one)
        if stream is None or not _is_current(stream, one.ufrag, one.password):
            discarded += 1
        else:
            told[stream.index] = one
    news: list[TrickledStream] = []
    updated = list(negotiated.streams)
    for stream in current:
        ends = fragment.end_of_candidates and _ends(stream, fragment)
        new, after = _added(stream, told.get(stream.index), ends=ends)
        updated[stream.index] = after
        if new is not None:
            news.append(new)
    return Trickled(replace(negotiated, streams=tuple(updated)), tuple(news), discarded)


def _stream_lines(stream: FragmentStream, *, is_told: bool) -> list[str]:
    lines = [stream.media]
    if not is_told:
        lines += [f"a=ice-pwd:{stream.password.reveal()}", f"a=ice-ufrag:{stream.ufrag}"]
    if stream.rtcp_mux:
        lines.append("a=rtcp-mux")
    # RFC 8840 §4.4: "MUST immediately precede the list of candidates".
    lines += [] if stream.mid is None else [f"a=mid:{stream.mid}"]
    lines += [f"a={format_candidate(replace(one, ufrag=None))}" for one in stream.candidates]
    return [*lines, "a=end-of-candidates"] if stream.end_of_candidates else lines


def _read(text: str) -> Body:
    try:
        return read_lines(text)
    except DecodeError as error:
        if error.reason is DecodeReason.TOO_LONG:
            raise
        raise bad_sdp(str(error), error.offset) from None


def _fragment_stream(section: Section, ice: IceLines, session: IceLines, offset: int) -> FragmentStream:
    ufrag = session.ufrag if ice.ufrag is None else ice.ufrag
    password = session.password if ice.password is None else ice.password
    if ufrag is None or password is None:
        missing = "a=ice-ufrag" if ufrag is None else "a=ice-pwd"
        raise bad_sdp(f"section at character {offset}: {missing} is missing", offset)
    return FragmentStream(
        mid=ice.mid,
        ufrag=ufrag,
        password=password,
        candidates=tuple(ice.candidates),
        end_of_candidates=ice.end_of_candidates,
        rtcp_mux=section.attribute("rtcp-mux") is not None,
        media=section.lines[0].rstrip("\r\n"),
    )


def _stream_of(current: Sequence[Stream], told: FragmentStream) -> Stream | None:
    """Returns the stream that is meant; where there is only one, it needs no mid."""
    if told.mid is None or (len(current) == 1 and current[0].mid is None):
        return current[0] if len(current) == 1 else None
    return next((stream for stream in current if stream.mid == told.mid), None)


def _is_current(stream: Stream, ufrag: str | None, password: Secret | None) -> bool:
    remote = stream.remote
    return remote is not None and remote.ufrag == ufrag and remote.password == password


def _ends(stream: Stream, fragment: Fragment) -> bool:
    """Says whether the end of all candidates is meant for the stream's generation."""
    told = next((one for one in fragment.streams if one.mid == stream.mid), None)
    if told is not None:
        return _is_current(stream, told.ufrag, told.password)
    return fragment.ufrag is None or _is_current(stream, fragment.ufrag, fragment.password)


def _added(stream: Stream, told: FragmentStream | None, *, ends: bool) -> tuple[TrickledStream | None, Stream]:
    """Returns what is new of one stream, and the stream with it."""
    remote = stream.remote
    assert remote is not None  # as `usage` is ICE
    known = {_key(one) for one in remote.candidates}
    new: list[Candidate] = []
    for one in () if told is None else told.candidates:
        if _key(one) not in known and one.component <= stream.components:
            known.add(_key(one))
            new.append(one)
    has_ended = (ends or (told is not None and told.end_of_candidates)) and not remote.end_of_candidates
    if not new and not has_ended:
        return None, stream
    after = replace(
        remote,
        candidates=(*remote.candidates, *new),
        end_of_candidates=remote.end_of_candidates or has_ended,
    )
    return TrickledStream(stream.index, tuple(new), has_ended), replace(stream, remote=after)


def _key(candidate: Candidate) -> tuple[str, int, str, int]:
    """RFC 8840 §4.4: equal "if their IP address port, transport, and component ID are the same"."""
    return (candidate.host, candidate.port, candidate.transport.value, candidate.component)
