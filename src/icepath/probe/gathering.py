"""What gathering found, one row for each candidate and each failed server, and the sum of it.

Rows come from a connection's events and the time each came; nothing here waits or prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from icepath.aio.events import CandidateGathered, Event, GatheringCompleted, ServerFailed
from icepath.errors import Cause
from icepath.ice.config import Server
from icepath.net import Seconds
from icepath.wire.candidate_line import Candidate

UNAUTHORIZED: Final = 401
# RFC 8489 §14.8, RFC 8656 §19: the codes that servers answer with, in words.
CODES: Final[Mapping[int, str]] = {
    300: "Try Alternate",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    437: "Allocation Mismatch",
    438: "Stale Nonce",
    440: "Address Family not Supported",
    441: "Wrong Credentials",
    442: "Unsupported Transport Protocol",
    486: "Allocation Quota Reached",
    500: "Server Error",
    508: "Insufficient Capacity",
}


@dataclass(frozen=True, slots=True)
class Row:
    """Is one thing that happened while gathering."""

    at: Seconds
    """Since the start."""
    kind: str
    """The candidate's type; "-" for a server that failed."""
    what: str
    """The address, or the server's URL."""
    where: str
    """The interface, the server, or the reason."""
    candidate: Candidate | None = None
    cause: Cause | None = None
    code: int | None = None


@final
class Gathered:
    """Keeps what was found."""

    def __init__(self, servers: Sequence[Server], interfaces: Mapping[str, str]) -> None:
        """Takes the servers that are asked, and each local address's interface."""
        self.rows: list[Row] = []
        self._users = {str(server.uri): server.username for server in servers}
        self._interfaces = interfaces
        self._answered: set[str] = set()
        self._failed: dict[str, None] = {}
        self._is_complete = False

    def take(self, event: Event, at: Seconds) -> Row | None:
        """Returns the event's row; None when it has none."""
        match event:
            case CandidateGathered(candidate=candidate):
                row = self._candidate(candidate, at)
            case ServerFailed():
                row = self._failure(event, at)
            case GatheringCompleted():
                self._is_complete = True
                return None
            case _:
                return None
        self.rows.append(row)
        return row

    def give_up(self, at: Seconds) -> list[Row]:
        """Returns a row for each server that gave nothing until now, if not all have answered or failed."""
        if self._is_complete:
            return []
        silent = [url for url in self._users if url not in self._answered and url not in self._failed]
        self._failed.update(dict.fromkeys(silent))
        cause = Cause.SERVER_UNREACHABLE
        rows = [Row(at, "-", url, f"no candidate in {at:.1f} s", cause=cause) for url in silent]
        self.rows += rows
        return rows

    @property
    def candidates(self) -> int:
        """Returns how many candidates there are."""
        return sum(row.candidate is not None for row in self.rows)

    @property
    def failed(self) -> list[str]:
        """Returns the URLs of the servers that failed and gave no candidate to any interface."""
        return [url for url in self._failed if url not in self._answered]

    def _candidate(self, candidate: Candidate, at: Seconds) -> Row:
        if candidate.url is not None:
            self._answered.add(candidate.url)
        where = candidate.url or self._interfaces.get(candidate.host, "")
        what = f"[{candidate.host}]:{candidate.port}" if ":" in candidate.host else f"{candidate.host}:{candidate.port}"
        return Row(at, candidate.type.value, what, where, candidate=candidate)

    def _failure(self, event: ServerFailed, at: Seconds) -> Row:
        self._failed[event.url] = None
        words = [event.reason.value]
        if event.code is not None:
            words = [str(event.code), CODES.get(event.code, event.reason.value)]
        if event.code == UNAUTHORIZED and self._users.get(event.url) is None:
            words[-1] += ": needs --username"
        elif event.local is not None:
            words.append(f"(from {event.local.host})")
        return Row(at, "-", event.url, " ".join(words), cause=event.reason, code=event.code)
