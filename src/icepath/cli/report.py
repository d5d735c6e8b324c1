"""What a command says: rows and results on standard output, progress on standard error; or JSON Lines.

Colours are rich's and vanish when nobody sees them: standard output that is a file or a pipe stays plain.
"""

from __future__ import annotations

import json
import sys
from typing import final

from rich.console import Console
from rich.text import Text


@final
class Report:
    """Says things to a person or, with `json`, to a program."""

    def __init__(self, *, json: bool) -> None:
        self.is_json = json
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(highlight=False, soft_wrap=True, stderr=True)

    def show(self, text: str, style: str = "") -> None:
        """Prints a line of the result, for people."""
        if not self.is_json:
            self._out.print(Text(text, style))

    def note(self, text: str, style: str = "") -> None:
        """Prints a line of progress on standard error."""
        self._err.print(Text(text, style))

    def line(self, kind: str, **fields: object) -> None:
        """Prints one JSON line, for programs."""
        if self.is_json:
            sys.stdout.write(json.dumps({"type": kind, **fields}) + "\n")
            sys.stdout.flush()

    def failed(self, text: str, cause: str) -> None:
        """Says that the answer is no, or that it could not run."""
        self.note(text, "red")
        self.line("result", ok=False, cause=cause, text=text)
