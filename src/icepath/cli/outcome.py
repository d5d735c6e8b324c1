"""Runs a command's work and turns what became of it into an exit status.

0 yes, 1 it ran and the answer is no, 2 wrong usage or settings, 3 could not run, 130 interrupted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from enum import IntEnum

import typer

from icepath.cli.report import Report
from icepath.cli.streams import discard_stdout
from icepath.errors import ConnectionFailure, DecodeError, InvalidArgument


class Exit(IntEnum):
    """Is a command's exit status."""

    YES = 0
    NO = 1
    USAGE = 2
    COULD_NOT_RUN = 3
    INTERRUPTED = 130


def run_command(work: Callable[[Report], Coroutine[object, object, Exit]], report: Report, *, verbose: bool) -> None:
    """Runs it to its end and leaves with its exit status."""
    set_up_logging(verbose=verbose)
    raise typer.Exit(_status(work, report))


def _status(work: Callable[[Report], Coroutine[object, object, Exit]], report: Report) -> Exit:
    try:
        return asyncio.run(work(report))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except (InvalidArgument, DecodeError) as error:
        report.failed(str(error), "usage")
        return Exit.USAGE
    except ConnectionFailure as error:
        report.failed(str(error), error.cause)
        return Exit.NO
    except BrokenPipeError:
        discard_stdout()
        return Exit.COULD_NOT_RUN
    except OSError as error:
        report.failed(str(error), "system")
        return Exit.COULD_NOT_RUN


def set_up_logging(*, verbose: bool) -> None:
    """Writes the log of icepath to standard error when asked for; a command says itself what matters."""
    logger = logging.getLogger("icepath")
    handler: logging.Handler = logging.NullHandler()
    if verbose:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    logger.propagate = False
