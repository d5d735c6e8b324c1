"""`icepath connect`: two terminals exchange one line each, then what is typed goes across."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from icepath.aio.connection import Connection
from icepath.cli import streams
from icepath.cli.asked import Asked
from icepath.cli.outcome import Exit
from icepath.cli.report import Report
from icepath.errors import Cause, ConnectFailed, DecodeError, InvalidArgument
from icepath.net import Seconds
from icepath.p2p.chat import talk
from icepath.p2p.paste import Paste, parse_pasted
from icepath.wire.fragment import Description

POLL_INTERVAL: Final[Seconds] = 0.1


@dataclass(frozen=True, slots=True)
class Exchange:
    """Says how the two tokens are exchanged: typed and pasted, or as files."""

    token: str | None
    out: str | None
    into: str | None
    patience: Seconds

    def __post_init__(self) -> None:
        if self.token is not None and self.into is not None:
            raise InvalidArgument("give TOKEN or --in FILE, not both")


async def connect(report: Report, asked: Asked, exchange: Exchange) -> Exit:
    """Connects, talks, and parts."""
    servers = asked.servers()
    lines = streams.lines()
    remote = _remote_at_start(exchange)
    config = asked.config(exchange.patience)
    async with Connection(asked.ice_servers(servers), relay_only=asked.relay_only, config=config) as link:
        if remote is not None:
            link.set_remote_description(remote)
        _hand_out(report, exchange, await link.gather(), is_answer=remote is not None)
        other = remote or await _patiently(report, exchange, lines)
        started = time.monotonic()
        pair = await link.connect(None if remote is not None else other)
        elapsed = time.monotonic() - started
        rtt = "" if pair.rtt is None else f", rtt {pair.rtt * 1000:.3g} ms"
        report.note(f"connected in {elapsed * 1000:.0f} ms, {pair.kind}{rtt}. Type to talk, Ctrl-D ends.", "green")
        report.line(
            "connected", t=elapsed, path=pair.kind, local=str(pair.local), remote=str(pair.remote), rtt=pair.rtt
        )
        if await talk(link, lines, lambda text: _received(report, text), leaves=_is_terminal()):
            report.note("the other side has left")
    report.line("result", ok=True)
    return Exit.YES


def _remote_at_start(exchange: Exchange) -> Description | None:
    """Returns the other side's description when it is here before ours is handed out: we answer."""
    if exchange.token is not None:
        return parse_pasted(exchange.token)
    text = "" if exchange.into is None else _read(Path(exchange.into))
    return parse_pasted(text) if text else None


def _hand_out(report: Report, exchange: Exchange, local: Description, *, is_answer: bool) -> None:
    token = local.token()
    report.line("token", token=token)
    if exchange.out is not None:
        # The other side must not see half of it.
        part = Path(f"{exchange.out}.part")
        part.write_text(token + "\n", encoding="ascii")
        part.replace(exchange.out)
        report.note(f"our token is in {exchange.out}")
    elif is_answer:
        report.note("Give the other side this answer:")
        report.show(token)
    else:
        report.note("Give the other side:")
        report.show(f"icepath connect {token}")


async def _patiently(report: Report, exchange: Exchange, lines: AsyncIterator[bytes]) -> Description:
    """Waits for the other side's token, as long as patience lasts."""
    try:
        async with asyncio.timeout(exchange.patience):
            return await _other_side(report, exchange, lines)
    except TimeoutError:
        evidence = f"the other side's token did not come in {exchange.patience:g} s"
        raise ConnectFailed(Cause.SIGNALLING_ENDED, evidence) from None


async def _other_side(report: Report, exchange: Exchange, lines: AsyncIterator[bytes]) -> Description:
    """Waits for the other side's token: a person's paste, or a file.

    Raises: ConnectFailed when standard input ends before one came.
    """
    if exchange.into is not None:
        report.note(f"waiting for {exchange.into}")
        while not (text := _read(Path(exchange.into))):
            await asyncio.sleep(POLL_INTERVAL)
        return parse_pasted(text)
    report.note("Their answer:")
    paste = Paste()
    async for line in lines:
        try:
            found = paste.take(line.decode("utf-8", "replace"))
        except DecodeError as error:
            report.note(f"{error}. Paste the rest, or all of it again:")
            continue
        if found is not None:
            return found
    raise ConnectFailed(Cause.SIGNALLING_ENDED, "standard input ended before the other side's token came")


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()  # pyright: ignore[reportUnnecessaryComparison] - None when closed


def _received(report: Report, text: str) -> None:
    report.show(text)
    report.line("received", text=text)


def _read(path: Path) -> str:
    """Returns the file's text; nothing while it is not there or not whole."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return text if text.endswith("\n") else ""
