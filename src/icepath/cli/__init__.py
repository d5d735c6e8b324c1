"""The command line: `main` finds the subcommand, one file each; no logic.

`agent` and `--version` need the standard library only and start fast, because programs run them; everything
for people stands on typer and rich (extra `tool`), imported when asked for.
"""

from __future__ import annotations

import sys

MISSING = "icepath: the command line for people needs its extra: pip install 'icepath[tool]'   ({name} is missing)"


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit status.

    0 yes, 1 no, 2 wrong usage, 3 could not run, 4 refused by the far side, 130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["agent"]:
        from icepath.cli import agent

        return agent.main(arguments[1:])
    if arguments[:1] == ["--version"]:
        return _print_version()
    try:
        from icepath.cli import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(MISSING.format(name=error.name), file=sys.stderr)
        return 3
    return app.run(arguments)


def _print_version() -> int:
    from importlib.metadata import PackageNotFoundError, version

    try:
        print(f"icepath {version('icepath')}")
    except PackageNotFoundError:
        print("icepath (not installed: run from its source)")
    return 0
