"""The commands for people, as typer sees them: what each takes, and its help.

A command's work is in its own file, imported when it is run.
"""

from __future__ import annotations

import sys
from typing import Annotated, TypeAlias

import typer

from icepath.cli.asked import Asked
from icepath.cli.outcome import run_command
from icepath.cli.report import Report

app = typer.Typer(
    name="icepath",
    help="Connects two computers behind NATs as directly as possible, and says why when it cannot.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Servers: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--server", metavar="URI", help="stun:HOST[:PORT] or turn:HOST[:PORT]; repeat. [env: ICEPATH_SERVERS]"
    ),
]
Username: TypeAlias = Annotated[
    str | None, typer.Option(help="Of the TURN servers. Their password: ICEPATH_PASSWORD, or a prompt.")
]
RelayOnly: TypeAlias = Annotated[bool, typer.Option("--relay-only", help="Use relays only, and tell no other address.")]
Loopback: TypeAlias = Annotated[bool, typer.Option("--loopback", help="Also use loopback, for tests on one computer.")]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="JSON Lines on standard output, progress on standard error.")
]
Verbose: TypeAlias = Annotated[bool, typer.Option("-v", "--verbose", help="Log what happens on standard error.")]


def run(arguments: list[str]) -> int:
    """Runs a command and returns its exit status."""
    try:
        app(arguments, prog_name="icepath")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


@app.callback()
def icepath(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Connects two computers behind NATs as directly as possible, and says why when it cannot."""
    del version  # read before typer is imported: icepath.cli


@app.command()
def gather(
    server: Servers = None,
    username: Username = None,
    relay_only: RelayOnly = False,
    loopback: Loopback = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for servers.")] = 10.0,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Shows this computer's candidates as they become known, and which servers failed.

    Exit status 1 when a server failed.
    """
    from icepath.cli.gather import gather as work

    asked = Asked(server, username, relay_only=relay_only, loopback=loopback)
    run_command(lambda report: work(report, asked, timeout), Report(json=json), verbose=verbose)


@app.command()
def connect(
    token: Annotated[str | None, typer.Argument(help="The other side's token; without it, you are the first.")] = None,
    server: Servers = None,
    username: Username = None,
    relay_only: RelayOnly = False,
    loopback: Loopback = False,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="Write our token there, for scripts.")] = None,
    into: Annotated[
        str | None, typer.Option("--in", metavar="FILE", help="Read the other side's token there, once it exists.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1.0, help="Seconds to keep trying; people paste slowly.")] = 300.0,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Connects two terminals: each prints one line for the other, then what you type goes across.

    Each line is one datagram, not encrypted; like any datagram it may be lost. Ctrl-D ends.
    """
    from icepath.cli.connect import Exchange
    from icepath.cli.connect import connect as work

    asked = Asked(server, username, relay_only=relay_only, loopback=loopback)
    run_command(
        lambda report: work(report, asked, Exchange(token, out=out, into=into, patience=timeout)),
        Report(json=json),
        verbose=verbose,
    )


@app.command()
def serve(
    listen: Annotated[
        list[str] | None, typer.Option(metavar="udp:[HOST:]PORT", help="Where to listen; repeat. Default udp:3478.")
    ] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Runs a STUN server: it tells whoever asks the address they were seen from."""
    from icepath.cli.serve import serve as work

    run_command(lambda report: work(report, listen or []), Report(json=json), verbose=verbose)


@app.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
def agent(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Runs one ICE agent as a child process: JSON lines on standard input and output, from any language."""
    from icepath.cli import agent as work

    sys.exit(work.main(arguments or []))
