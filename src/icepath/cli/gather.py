"""`icepath gather`: this computer's candidates as they become known, and which servers failed."""

from __future__ import annotations

import asyncio
import time

from icepath.aio.connection import Connection
from icepath.aio.interfaces import usable_addresses
from icepath.cli.asked import Asked
from icepath.cli.outcome import Exit
from icepath.cli.report import Report
from icepath.errors import ADVICE, Cause
from icepath.net import Seconds
from icepath.probe.gathering import Gathered, Row


async def gather(report: Report, asked: Asked, timeout: Seconds) -> Exit:
    """Gathers once and shows what comes."""
    servers = asked.servers()
    interfaces = {found.host: found.interface for found in usable_addresses(loopback=asked.loopback)}
    gathered = Gathered(servers, interfaces)
    started = time.monotonic()
    async with Connection(asked.ice_servers(servers), relay_only=asked.relay_only, config=asked.config()) as link:
        watching = asyncio.create_task(_watch(link, report, gathered, started))
        try:
            await link.gather(timeout=timeout)
            elapsed = time.monotonic() - started
            await asyncio.sleep(0)  # what came last is read before the reader is stopped
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    for row in gathered.give_up(elapsed):
        _show(report, row)
    return _conclude(report, gathered, elapsed)


async def _watch(link: Connection, report: Report, gathered: Gathered, started: float) -> None:
    async for event in link.events():
        row = gathered.take(event, time.monotonic() - started)
        if row is not None:
            _show(report, row)


def _show(report: Report, row: Row) -> None:
    style = "red" if row.candidate is None else ""
    report.show(f"{row.at * 1000:5.0f} ms  {row.kind:<6} {row.what:<38} {row.where}".rstrip(), style)
    if row.candidate is None:
        report.line("server-failed", t=row.at, url=row.what, code=row.code, cause=row.cause, text=row.where)
    else:
        candidate = row.candidate
        report.line(
            "candidate",
            t=row.at,
            candidate_type=row.kind,
            host=candidate.host,
            port=candidate.port,
            candidate=str(candidate),
            url=candidate.url,
        )


def _conclude(report: Report, gathered: Gathered, elapsed: Seconds) -> Exit:
    failed = gathered.failed
    if not gathered.candidates and not failed:
        report.failed(f"{Cause.NO_CANDIDATES}: {ADVICE[Cause.NO_CANDIDATES]}", Cause.NO_CANDIDATES)
        return Exit.COULD_NOT_RUN
    words = [f"{_count(gathered.candidates, 'candidate')} in {elapsed * 1000:.0f} ms"]
    if failed:
        words.append(f"{_count(len(failed), 'server')} failed")
    report.show(", ".join(words), "bold")
    report.line("result", ok=not failed, candidates=gathered.candidates, failed=failed, t=elapsed)
    return Exit.NO if failed else Exit.YES


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
