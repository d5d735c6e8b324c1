"""The ICE lines of a text: an RFC 8840 fragment and a whole SDP, read by one reader, section by section.

Only RFC 8839 §5's attributes, mid and BUNDLE are read, all other lines are ignored. Values before the first
m= line are defaults for every section. In a whole SDP rejected sections and those bundled into another are
left out; in a fragment the m= lines are pseudo lines whose content means nothing (RFC 8840 §4.4). A candidate
line that cannot be used is skipped and counted. What must be there is fragment.py's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from icepath.entropy import MIN_PASSWORD_LENGTH, MIN_UFRAG_LENGTH, Secret, check_ice_text
from icepath.errors import DecodeError, DecodeReason, InvalidArgument
from icepath.wire.candidate_line import Candidate, parse_candidate

# An SDP of hundreds of sections has some 500,000 characters.
MAX_TEXT_LENGTH: Final = 1 << 20
MAX_CANDIDATES: Final = 1000
MAX_SECTIONS: Final = 1000
# RFC 8839 §10.2 recommends 20 characters for an option; no more than these are kept.
MAX_OPTIONS: Final = 32
MAX_TAG_LENGTH: Final = 256

_TAG: Final = re.compile(f"[!-~]{{1,{MAX_TAG_LENGTH}}}")


@dataclass(slots=True)
class Section:
    """Is what the lines of one section, or those before the first m= line, say."""

    offset: int
    is_rejected: bool = False
    has_mismatch: bool = False
    is_bundle_only: bool = False
    ufrag: str | None = None
    password: Secret | None = None
    candidates: list[Candidate] = field(default_factory=list[Candidate])
    ignored: int = 0
    options: list[str] = field(default_factory=list[str])
    end_of_candidates: bool = False
    pacing: int | None = None
    lite: bool = False
    mid: str | None = None
    bundles: list[list[str]] = field(default_factory=list[list[str]])


@dataclass(slots=True)
class Body:
    """Is a fragment or SDP, read but not judged."""

    session: Section
    sections: list[Section]
    is_sdp: bool = False


def read_lines(text: str) -> Body:
    """Reads every line once.

    Raises: DecodeError BAD_FRAGMENT or TOO_LONG.
    RFC: 8839 §5, 8840 §9.2.
    """
    if len(text) > MAX_TEXT_LENGTH:
        raise _too_long(f"{len(text)} characters, allowed are {MAX_TEXT_LENGTH}", MAX_TEXT_LENGTH)
    body = Body(Section(0), [])
    section = body.session
    offset = candidates = 0
    for raw in text.split("\n"):
        line = raw.strip()
        kind = line[:2]
        if kind == "m=":
            section = Section(offset, is_rejected=line.split(" ")[1:2] == ["0"])
            body.sections.append(section)
        elif kind == "v=":
            body.is_sdp = True
        else:
            # The a= may lack: browsers hand out candidates without it.
            candidates += _read_attribute(section, line[2:] if kind == "a=" else line, offset)
        if candidates > MAX_CANDIDATES or len(body.sections) > MAX_SECTIONS:
            limits = f"allowed are {MAX_CANDIDATES} candidates and {MAX_SECTIONS} sections"
            raise _too_long(f"one line too many at character {offset}: {limits}", offset)
        offset += len(raw) + 1
    return body


def streams(body: Body) -> list[Section]:
    """Returns the sections that are data streams of their own, with the session's defaults filled in."""
    session = body.session
    sections = body.sections
    if body.is_sdp:
        # RFC 3264 §6: port 0 rejects. RFC 8829 §4.1.1: or it marks a section that is only ever bundled.
        sections = [one for one in sections if not (one.is_rejected or one.is_bundle_only)]
    if session.bundles:
        bundled = _bundled_away(session.bundles, sections)
        sections = [one for one in sections if one.mid not in bundled]
    if not body.sections:
        sections = [session]
    for one in sections:
        _fill_in(one, session)
    return sections


def is_tag(text: str) -> bool:
    """Says whether a text can be an ice-option or a mid: printable ASCII without spaces, of bounded length."""
    return _TAG.fullmatch(text) is not None


def _read_attribute(section: Section, line: str, offset: int) -> bool:
    """Reads one line without its a= and says whether it was a candidate.

    RFC 8840 §9.2: names are read in any case.
    """
    name, _, value = line.partition(":")
    name = name.lower()
    _read_value(section, name, value.strip(), offset)
    return name == "candidate"


def _read_value(section: Section, name: str, value: str, offset: int) -> None:
    match name:
        case "candidate":
            _read_candidate(section, value)
        case "ice-ufrag":
            section.ufrag = _ice_text(name, value, MIN_UFRAG_LENGTH, offset)
        case "ice-pwd":
            section.password = Secret(_ice_text(name, value, MIN_PASSWORD_LENGTH, offset))
        case "ice-options":
            # Commas are none of the grammar, but a deployed peer (SIPSorcery) puts them there.
            section.options += [tag for tag in value.replace(",", " ").split(" ")[:MAX_OPTIONS] if is_tag(tag)]
        case "ice-pacing":
            section.pacing = _pacing(value, offset)
        case "mid":
            section.mid = _mid(value, offset)
        case "group":
            _read_group(section, value)
        case _:
            _read_flag(section, name)


def _read_flag(section: Section, name: str) -> None:
    match name:
        case "ice-lite":
            section.lite = True
        case "ice-mismatch":
            section.has_mismatch = True
        case "bundle-only":
            section.is_bundle_only = True
        case "end-of-candidates":
            section.end_of_candidates = True
        case _:
            pass


def _read_candidate(section: Section, value: str) -> None:
    """Reads a candidate; RFC 8839 §5.1: one that is not understood MUST be ignored."""
    try:
        section.candidates.append(parse_candidate(value))
    except DecodeError:
        section.ignored += 1


def _ice_text(name: str, value: str, minimum: int, offset: int) -> str:
    try:
        check_ice_text(name, value, minimum)
    except InvalidArgument as error:
        raise _error(f"a={name} at character {offset}: {error}", offset) from None
    return value


def _pacing(value: str, offset: int) -> int:
    """Returns milliseconds (RFC 8839 §5.5: 1*10DIGIT)."""
    if not (value.isascii() and value.isdecimal() and len(value) <= 10):
        raise _error(f"a=ice-pacing at character {offset}: {value[:32]!r}, expected 1 to 10 digits", offset)
    return int(value)


def _mid(value: str, offset: int) -> str:
    if not is_tag(value):
        detail = f"a=mid at character {offset}: expected 1 to {MAX_TAG_LENGTH} printable characters without spaces"
        raise _error(detail, offset)
    return value


def _read_group(section: Section, value: str) -> None:
    semantics, *mids = value.split(" ")
    if semantics.upper() == "BUNDLE":
        section.bundles.append(mids)


def _bundled_away(bundles: list[list[str]], sections: list[Section]) -> set[str | None]:
    """Returns the mids whose data goes with another section's: all of a group but the first that is there.

    RFC 8829 §4.1.1: the first mid of a group is the BUNDLE-tag, whose section carries the addresses.
    """
    present = {one.mid for one in sections}
    away: set[str | None] = set()
    for mids in bundles:
        away.update([mid for mid in mids if mid in present][1:])
    return away


def _fill_in(section: Section, session: Section) -> None:
    """Takes what the section does not say itself from the session level (RFC 8839 §5.4)."""
    if section.ufrag is None:
        section.ufrag = session.ufrag
    if section.password is None:
        section.password = session.password
    if section.pacing is None:
        section.pacing = session.pacing
    section.options = list(dict.fromkeys([*session.options, *section.options]))[:MAX_OPTIONS]
    section.end_of_candidates = section.end_of_candidates or session.end_of_candidates
    section.lite = section.lite or session.lite


def _error(detail: str, offset: int) -> DecodeError:
    return DecodeError(DecodeReason.BAD_FRAGMENT, detail, offset=offset)


def _too_long(detail: str, offset: int) -> DecodeError:
    return DecodeError(DecodeReason.TOO_LONG, detail, offset=offset)
