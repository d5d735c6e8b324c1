"""A session description as lines: kept byte for byte, cut into sections, edited line by line.

`str()` of what was parsed gives the same text back: lines nobody here knows, their order and their ends
included. An edit touches only the lines it is about. What lines mean for ICE is not here. RFC 8866 §5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from icepath.errors import DecodeError, DecodeReason
from icepath.sdp.lines import MediaLine, bad_sdp, parse_media
from icepath.wire.ice_lines import MAX_SECTIONS, MAX_TEXT_LENGTH

# A megabyte of two-character lines would cost hundreds of megabytes as Python objects.
MAX_LINES: Final = 20_000
LINE_END: Final = "\r\n"
# RFC 8866 §5: in a media description c= comes after m= and i=.
_BEFORE_CONNECTION: Final = ("m=", "i=")
_LINE: Final = re.compile(r"[A-Za-z]=[^\r\0]*")
# RFC 8866 §5.2: user, session id, version, IN, IP4 or IP6, address.
_ORIGIN: Final = re.compile(r"(o=\S+ \d+ )(\d{1,20})( .*)", re.DOTALL)


@dataclass(frozen=True, slots=True, repr=False)
class Section:
    """Is one m= line with what follows, or all before the first; its repr hides the passwords that may be in it."""

    lines: tuple[str, ...]
    """Whole lines, each with its end."""

    def __str__(self) -> str:
        return "".join(self.lines)

    def __repr__(self) -> str:
        first = self.lines[0].strip() if self.lines else ""
        return f"<Section {first!r}, {len(self.lines)} lines>"

    @property
    def media(self) -> MediaLine:
        """Returns the m= line.

        Raises: DecodeError where there is none, as before the first m= line.
        """
        return parse_media(self.lines[0].rstrip("\r\n").removeprefix("m=") if self.lines else "", 0)

    @property
    def line_end(self) -> str:
        """Returns how lines end here."""
        return "\n" if self.lines and not self.lines[0].endswith("\r\n") and self.lines[0].endswith("\n") else LINE_END

    def values(self, kind: str) -> tuple[str, ...]:
        """Returns what follows each `kind=`, in order."""
        prefix = f"{kind}="
        return tuple(line[2:].strip() for line in self.lines if line.startswith(prefix))

    def attributes(self, name: str) -> tuple[str, ...]:
        """Returns the value of each attribute of that name, in order; that of a flag is empty."""
        return tuple(value for found, value, _ in self.located_attributes() if found == name)

    def attribute(self, name: str) -> str | None:
        """Returns the value of the first attribute of that name, or None."""
        return next(iter(self.attributes(name)), None)

    def located_attributes(self) -> Iterator[tuple[str, str, int]]:
        """Yields each attribute's name in lower case, its value, and where its line begins in this section."""
        offset = 0
        for line in self.lines:
            if line.startswith("a="):
                name, _, value = line[2:].strip().partition(":")
                yield name.lower(), value.strip(), offset
            offset += len(line)

    def without(self, *names: str) -> Section:
        """Returns the section less all attributes of these names."""
        return Section(tuple(line for line in self.lines if _attribute_name(line) not in names))

    def with_attributes(self, *attributes: str) -> Section:
        """Returns the section with attributes (`name` or `name:value`) at its end."""
        if not attributes:
            return self
        return Section((*self._ended(), *(f"a={attribute}{self.line_end}" for attribute in attributes)))

    def with_connection(self, value: str) -> Section:
        """Returns the section with this as its only c= line."""
        lines = [line for line in self._ended() if not line.startswith("c=")]
        at = next((i for i, line in enumerate(lines) if not line.startswith(_BEFORE_CONNECTION)), len(lines))
        return Section((*lines[:at], f"c={value}{self.line_end}", *lines[at:]))

    def with_port(self, port: int) -> Section:
        """Returns the section with another port in its m= line; a number of ports is dropped."""
        media = replace(self.media, port=port, count=None)
        return Section((f"m={media}{self.line_end}", *self.lines[1:]))

    def _ended(self) -> tuple[str, ...]:
        """Returns the lines; a last one without an end, as of a text that lacks it, gets one."""
        if not self.lines or self.lines[-1].endswith("\n"):
            return self.lines
        return (*self.lines[:-1], self.lines[-1].removesuffix("\r") + self.line_end)


@dataclass(frozen=True, slots=True)
class Session:
    """Is a session description: what holds for all streams, and a section for each."""

    head: Section
    media: tuple[Section, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Session:
        """Parses a session description; see `parse_session`."""
        return parse_session(text)

    def __str__(self) -> str:
        return "".join(map(str, (self.head, *self.media)))

    def offset_of(self, index: int) -> int:
        """Returns where a section begins in the text, in characters."""
        return sum(len(str(section)) for section in (self.head, *self.media[:index]))

    def with_section(self, index: int, section: Section) -> Session:
        """Returns the session with one section replaced."""
        return Session(self.head, (*self.media[:index], section, *self.media[index + 1 :]))

    def with_next_version(self) -> Session:
        """Returns the session with the version in its o= line one higher, as whoever changes it must (RFC 3264 §5)."""
        return Session(Section(tuple(map(_next_version, self.head.lines))), self.media)


def parse_session(text: str) -> Session:
    """Parses a session description; `str()` of it is the text again.

    Raises: DecodeError BAD_SDP when it is none, TOO_LONG when it is beyond the bounds.
    RFC: 8866 §5.
    """
    head, *media = split_sections(text)
    if not head.lines or head.lines[0].rstrip("\r\n") != "v=0":
        raise bad_sdp("line at character 0: expected v=0", 0)
    offset = len(str(head))
    for section in media:
        parse_media(section.lines[0].rstrip("\r\n")[2:], offset)
        offset += len(str(section))
    return Session(head, tuple(media))


def split_sections(text: str) -> list[Section]:
    """Cuts lines at each m= line; the first section is what comes before, perhaps nothing.

    Raises: DecodeError BAD_SDP for a line that is not `x=...`, TOO_LONG.
    """
    if len(text) > MAX_TEXT_LENGTH:
        raise _too_long(f"{len(text)} characters, allowed are {MAX_TEXT_LENGTH}", MAX_TEXT_LENGTH)
    sections: list[list[str]] = [[]]
    offset = 0
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        raise _too_long(f"{len(lines)} lines, allowed are {MAX_LINES}", len(text))
    for number, bare in enumerate(lines):
        line = bare if number == len(lines) - 1 else bare + "\n"
        # Empty lines are none, but bodies end with them.
        if bare not in ("", "\r") and _LINE.fullmatch(bare.removesuffix("\r")) is None:
            raise bad_sdp(f"line at character {offset}: {bare.rstrip()[:32]!r}, expected x=value", offset)
        if bare.startswith("m="):
            sections.append([])
            if len(sections) > MAX_SECTIONS + 1:
                raise _too_long(f"m= line at character {offset}: allowed are {MAX_SECTIONS}", offset)
        if line:
            sections[-1].append(line)
        offset += len(line)
    return [Section(tuple(lines)) for lines in sections]


def _attribute_name(line: str) -> str:
    return line[2:].strip().partition(":")[0].lower() if line.startswith("a=") else ""


def _next_version(line: str) -> str:
    match = _ORIGIN.fullmatch(line)
    return line if match is None else f"{match[1]}{int(match[2]) + 1}{match[3]}"


def _too_long(detail: str, offset: int) -> DecodeError:
    return DecodeError(DecodeReason.TOO_LONG, detail, offset=offset)
