"""The command line: `main` finds the subcommand, one file each; no logic.

`agent` and `--version` need the standard library only and start fast, because programs run them; everything
for people stands on typer and rich (extra `tool`), imported when asked for.
"""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit status.

    0 yes, 1 no, 2 wrong usage, 3 could not run, 4 refused by the far side, 130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["agent"]:
        from icepath.cli import agent

        return agent.main(arguments[1:])
    return 2
