"""Offer and answer: what to write, and what follows from what the other side wrote.

Four functions from values to values: `make_offer` and `read_answer` for who offers, `read_offer` and
`make_answer` for who answers. What is settled is a `Negotiated`; keep the latest and hand it back with the
next one, so that a restart can be told from a mere update. RFC 8839 §§4.2-4.4, RFC 3264.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from icepath.errors import InvalidArgument
from icepath.sdp.lines import Destination, bad_sdp
from icepath.sdp.session import Section, Session
from icepath.sdp.settling import (
    Negotiated,
    Stream,
    Usage,
    accepted_groups,
    carriers_of,
    check_change,
    negotiate,
    plain,
    settle,
)
from icepath.sdp.streams import Told, bundle_groups, read_streams
from icepath.sdp.writing import ICE_ATTRIBUTES, LocalStream, SelectedPair, is_offered, with_ice, without_stream
from icepath.sdp.writing import Told as ToTell
from icepath.wire.fragment import Description

# -- offering -------------------------------------------------------------------------------------------


def make_offer(
    template: Session,
    streams: Sequence[ToTell],
    *,
    previous: Session | None = None,
    session_level: bool = False,
    prefer_ipv6: bool = False,
) -> Session:
    """Returns the offer: the template with each stream's ICE lines; None leaves one without ICE, or bundled.

    `previous` is what was last sent in this session: the version in the o= line goes up from there.
    Raises: InvalidArgument when the streams do not fit, or change what only a restart may change.
    RFC: 8839 §4.3.1, §4.4.1.
    """
    offer = with_ice(
        template,
        streams,
        session_level=session_level,
        prefer_ipv6=prefer_ipv6,
        shares_bundle=previous is not None,
    )
    return offer if previous is None else _following(offer, previous)


def read_answer(offer: Session, answer: Session, *, previous: Negotiated | None = None) -> Negotiated:
    """Returns what the answer to our offer settles.

    Raises: DecodeError when the answer is malformed or does not fit the offer.
    RFC: 8839 §4.3.3, §4.4.3.
    """
    offered, told = read_streams(offer), read_streams(answer)
    if len(told) != len(offered):
        raise bad_sdp(f"answer has {len(told)} m= sections, expected {len(offered)} as in the offer", 0)
    for ours, theirs in zip(offered, told, strict=True):
        if not theirs.is_rejected and theirs.media.transport is not ours.media.transport:
            found, expected = theirs.media.protocol, ours.media.protocol
            detail = f"protocol of section {ours.index} is {found[:32]!r}, expected {expected!r} as in the offer"
            raise bad_sdp(detail, answer.offset_of(ours.index))
    mux = [ours.rtcp_mux and theirs.rtcp_mux for ours, theirs in zip(offered, told, strict=True)]
    carriers = carriers_of(told, accepted_groups(offer, answer))
    # A side that does not know mids answers without; what it trickles later has ours, should it trickle.
    named = [replace(one, mid=one.mid or offered[one.index].mid) for one in told]
    streams = [settle(one, carriers, rtcp_mux=mux[one.index]) for one in named]
    without = {ours.index for ours in offered if ours.description is None}
    streams = [plain(one) if one.usage is Usage.ICE and one.index in without else one for one in streams]
    if any(one.usage is Usage.MISMATCH and not told[one.index].has_mismatch for one in streams):
        # RFC 8839 §4.3.3: a mismatch that we find ends ICE for the entire session.
        streams = [plain(one) for one in streams]
    return negotiate(answer, streams, previous, is_offer=False)


def needs_update(local: Session, negotiated: Negotiated, streams: Sequence[LocalStream]) -> bool:
    """Says whether the controlling side must offer anew, as ICE has completed.

    It must when the other side knows RFC 5245 only and data does not go where `local`, told last, said.
    Streams that failed must be removed by an offer too (`without_stream`): that is for the caller to see.
    RFC: 8839 §4.3.4.
    """
    if negotiated.is_ice2:
        return False
    told = {one.description.ufrag: one for one in read_streams(local) if one.description is not None}
    for stream in streams:
        defaults = told.get(stream.description.ufrag)
        if not (stream.is_controlling and stream.selected) or defaults is None:
            continue
        if any(_differs(pair, defaults) for pair in stream.selected):
            return True
    return False


# -- answering ------------------------------------------------------------------------------------------


def read_offer(
    offer: Session,
    *,
    previous: Negotiated | None = None,
    rtcp_mux: bool = True,
    bundle: bool = True,
    tolerate_mismatch: bool = False,
) -> Negotiated:
    """Returns what an offer asks for, stream by stream, as the answer may settle it.

    `rtcp_mux` and `bundle` say whether we accept these where they are offered. `tolerate_mismatch` goes on with
    ICE where the default destination is none of the candidates, instead of telling that by a=ice-mismatch.
    Raises: DecodeError when it is malformed, or changes what only a restart may change: reject it (SIP: 488).
    RFC: 8839 §4.3.2, §4.4.2.
    """
    told = read_streams(offer)
    carriers = carriers_of(told, bundle_groups(offer.head)) if bundle else {}
    streams = [
        settle(one, carriers, rtcp_mux=one.rtcp_mux and rtcp_mux, tolerate_mismatch=tolerate_mismatch) for one in told
    ]
    if previous is not None:
        check_change(previous, offer, streams)
    return negotiate(offer, streams, previous, is_offer=True)


def make_answer(
    offer: Negotiated,
    template: Session,
    streams: Sequence[ToTell],
    *,
    previous: Session | None = None,
    session_level: bool = False,
    prefer_ipv6: bool = False,
) -> Session:
    """Returns the answer: the template with ICE's lines where the offer lets it use ICE, and none elsewhere.

    A section with port 0 in the template is rejected. `previous` is what was last sent in this session.
    Raises: InvalidArgument when the streams or the template do not fit the offer.
    RFC: 8839 §4.3.2, §4.4.2.
    """
    if len(template.media) != len(offer.streams) or len(streams) != len(offer.streams):
        found = f"{len(template.media)} m= sections and {len(streams)} streams"
        raise InvalidArgument(f"{found}, expected {len(offer.streams)} as in the offer")
    told: list[LocalStream | None] = []
    rejected: list[int] = []
    for asked, section, stream in zip(offer.streams, template.media, streams, strict=True):
        if asked.usage is Usage.REJECTED or not is_offered(section):
            rejected.append(asked.index)
        told.append(None if asked.index in rejected else _to_answer(asked, stream))
    answer = Session(
        _grouped(template, offer, rejected),
        tuple(_agreed(*pair) for pair in zip(template.media, offer.streams, strict=True)),
    )
    answer = with_ice(answer, told, session_level=session_level, prefer_ipv6=prefer_ipv6, shares_bundle=True)
    for asked in offer.streams:
        if asked.index in rejected:
            answer = without_stream(answer, asked.index)
        elif asked.usage is Usage.MISMATCH:
            section = answer.media[asked.index].with_attributes("ice-mismatch")
            answer = answer.with_section(asked.index, section)
    return answer if previous is None else _following(answer, previous)


# -- writing --------------------------------------------------------------------------------------------


def _to_answer(asked: Stream, stream: ToTell) -> LocalStream | None:
    """Returns what is told of a stream in an answer; remote-candidates never is (RFC 8839 §4.4.2)."""
    if asked.usage is not Usage.ICE or stream is None:
        return None
    local = LocalStream(stream) if isinstance(stream, Description) else replace(stream, is_controlling=False)
    kept = tuple(one for one in local.description.candidates if one.component <= asked.components)
    selected = tuple(pair for pair in local.selected if pair.component <= asked.components)
    return replace(local, description=replace(local.description, candidates=kept), selected=selected)


def _agreed(section: Section, asked: Stream) -> Section:
    """Returns a template's section with the offer's mid (RFC 5888 §9.1) and what is agreed on multiplexing."""
    section = section.without("rtcp-mux", "mid", *ICE_ATTRIBUTES)
    attributes = [] if asked.mid is None else [f"mid:{asked.mid}"]
    return section.with_attributes(*attributes, *(["rtcp-mux"] if asked.rtcp_mux else []))


def _grouped(template: Session, offer: Negotiated, rejected: Sequence[int]) -> Section:
    """Returns the session-level lines with the offer's BUNDLE groups as they are accepted (RFC 9143 §7.3)."""
    groups: list[str] = []
    for carrier in sorted({one.carrier for one in offer.streams if one.usage is Usage.BUNDLED}):
        members = [offer.streams[carrier], *(one for one in offer.streams if one.usage is Usage.BUNDLED)]
        mids = [one.mid for one in members if one.carrier == carrier and one.index not in rejected]
        groups.append(f"group:BUNDLE {' '.join(mid for mid in mids if mid is not None)}")
    others = [f"group:{value}" for value in template.head.attributes("group") if value.split()[:1] != ["BUNDLE"]]
    return template.head.without("group").with_attributes(*others, *groups)


def _following(session: Session, previous: Session) -> Session:
    """Returns a later offer or answer as RFC 3264 §8 wants it: same origin, version one higher when anything changed.

    Raises: InvalidArgument when it changes what only a restart may change (RFC 8839 §4.4.1.1.1, §4.4.2.1).
    """
    origin = next((line for line in previous.head.lines if line.startswith("o=")), None)
    if origin is not None:
        lines = tuple(origin if line.startswith("o=") else line for line in session.head.lines)
        session = Session(Section(lines), session.media)
    before = {one.description.ufrag: one.description for one in read_streams(previous) if one.description is not None}
    for told in read_streams(session):
        now = told.description
        old = None if now is None else before.get(now.ufrag)
        if now is None or old is None:
            continue
        if (set(old.options), old.pacing, old.lite) != (set(now.options), now.pacing, now.lite):
            what = "ice-options, ice-pacing and ice-lite"
            raise InvalidArgument(f"{what} of stream {told.index} change only in a restart (RFC 8839 §4.4.1.1.1)")
    return session if str(session) == str(previous) else session.with_next_version()


def _differs(pair: SelectedPair, told: Told) -> bool:
    """Says whether a component's default destination is another than the selected pair's local candidate."""
    at = pair.component - 1
    destination = told.destinations[at] if at < len(told.destinations) else None
    return destination != Destination(pair.local.host, pair.local.port)
