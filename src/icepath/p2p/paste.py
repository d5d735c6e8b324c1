"""Finds a token in what a person pastes: with the command around it, wrapped into lines, or in two attempts.

A token says by its first characters how long it is and by its last ones whether it is whole (wire), so
lines are joined until it fits. A terminal in line mode cuts a line at 4,095 bytes; a token is shorter.
"""

from __future__ import annotations

from typing import Final, final

from icepath.errors import DecodeError
from icepath.wire.fragment import Description
from icepath.wire.ice_token import TOKEN_PREFIX

# As many characters as two tokens have: more is no token in parts.
MAX_WAITING: Final = 8_192


@final
class Paste:
    """Takes lines until they make a token."""

    __slots__ = ("_text",)

    def __init__(self) -> None:
        self._text = ""

    def take(self, line: str) -> Description | None:
        """Returns the description when this line completes a token, None when the line was empty.

        Raises: DecodeError with what is wrong so far; the next line may complete it, or begin anew.
        """
        line = line.strip()
        if not line:
            return None
        start = line.lower().find(TOKEN_PREFIX)
        if start >= 0 or len(self._text) + len(line) > MAX_WAITING:
            self._text = ""
        self._text += line[max(start, 0) :].split()[0] if start >= 0 else "".join(line.split())
        try:
            return Description.parse(self._text)
        except DecodeError:
            if not self._text.lower().startswith(TOKEN_PREFIX):
                self._text = ""
            raise


def parse_pasted(text: str) -> Description:
    """Parses a whole text that holds a token: a command's argument, a file.

    Raises: DecodeError.
    """
    start = text.lower().find(TOKEN_PREFIX)
    return Description.parse(text[max(start, 0) :])
