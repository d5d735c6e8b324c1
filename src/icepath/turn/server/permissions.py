"""Permissions, the server's side: which hosts may send to an allocation's client (RFC 8656 §9).

Expiry is looked at when a permission is used, so nothing wakes up for it; expired ones make room when room
is needed.
"""

from __future__ import annotations

from typing import Final, final

from icepath.net import Instant, Seconds

# RFC 8656 §9: "The Permission Lifetime MUST be 300 seconds (= 5 minutes)".
PERMISSION_LIFETIME: Final[Seconds] = 300.0


@final
class PermissionTable:
    """Keeps the permissions of one allocation."""

    __slots__ = ("_limit", "_until")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._until: dict[str, Instant] = {}

    def has_room(self, hosts: tuple[str, ...], now: Instant) -> bool:
        """Says whether these hosts fit in, now that expired ones have made room."""
        wanted = set(hosts)
        if len(wanted.union(self._until)) > self._limit:
            self._until = {host: until for host, until in self._until.items() if until > now}
        return len(wanted.union(self._until)) <= self._limit

    def install(self, hosts: tuple[str, ...], now: Instant) -> bool:
        """Installs or refreshes all of them, or none when there is no room for all."""
        if not self.has_room(hosts, now):
            return False
        for host in hosts:
            self._until[host] = now + PERMISSION_LIFETIME
        return True

    def is_permitted(self, host: str, now: Instant) -> bool:
        """Says whether a peer at this host may send."""
        until = self._until.get(host)
        return until is not None and until > now

    def remove_family(self, *, is_ipv6: bool) -> None:
        """Forgets the permissions of one family (RFC 8656 §8.1)."""
        self._until = {host: until for host, until in self._until.items() if (":" in host) != is_ipv6}
