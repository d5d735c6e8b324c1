"""What became of a connection, in words: the evidence in an exception, and the line in the log."""

from __future__ import annotations

import logging
from typing import Final

from icepath.aio.path import CandidatePair
from icepath.errors import Cause, ConnectFailed, ConnectionClosed, ConnectionFailure
from icepath.ice.events import AgentSnapshot, ServerFailed
from icepath.net import Seconds

logger: Final = logging.getLogger("icepath")

# Causes that the checks say nothing about.
WITHOUT_EVIDENCE: Final = frozenset({Cause.CLOSED, Cause.SIGNALLING_ENDED, Cause.NO_CANDIDATES})


def failure(cause: Cause, evidence: str, *, had_path: bool) -> ConnectionFailure:
    """Returns the exception: `ConnectFailed` when there never was a path, else `ConnectionClosed`."""
    return (ConnectionClosed if had_path else ConnectFailed)(cause, evidence)


def evidence_of(snapshot: AgentSnapshot, elapsed: Seconds) -> str:
    """Says what was tried: "12 checks on 6 pairs in 39.5 s, none answered"."""
    checks = sum(pair.requests_sent for pair in snapshot.pairs)
    answered = sum(pair.responses_received for pair in snapshot.pairs)
    pairs = len(snapshot.pairs)
    answers = f"{answered} answered" if answered else "none answered"
    return f"{_count(checks, 'check')} on {_count(pairs, 'pair')} in {elapsed:.1f} s, {answers}"


def log_connected(pair: CandidatePair | None, elapsed: Seconds) -> None:
    """Writes the one line of a connection that came about."""
    logger.info("connected in %.0f ms, %s", elapsed * 1000, "path unknown" if pair is None else pair.summary())


def log_failed(error: ConnectionFailure, elapsed: Seconds, *, had_path: bool) -> None:
    """Writes the one line of a connection that did not, or that was lost."""
    logger.info("%s after %.1f s, %s", "lost" if had_path else "failed", elapsed, error)


def log_server_failed(event: ServerFailed, *, is_first: bool) -> None:
    """Writes a server's failure: a warning once per server, the repetitions from other addresses as DEBUG."""
    code = "" if event.code is None else f"{event.code} "
    text = event.text or event.reason.value
    level = logging.WARNING if is_first else logging.DEBUG
    logger.log(level, "%s: %s%s (%s)", event.url, code, text, event.reason.value)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
