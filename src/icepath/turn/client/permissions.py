"""Permissions, the client's side: which hosts may reach us through the relay, asked for and kept.

A part of `Allocation` (RFC 8656 §§9, 10). Hosts are collected into as few CreatePermission requests as
possible: those that come while one waits for its slot join it, and renewals go together.

A server refuses a request as a whole, so a refused one that carried several hosts is taken apart once:
each host again, alone. One forbidden host (a private address, say) never takes the others with it, and a
host refused alone is not asked for again.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import Final, final

from icepath.net import Address, Instant, Seconds
from icepath.outbox import Outbox
from icepath.timers import Timers
from icepath.turn.client.events import (
    AllocationEvent,
    AllocationFailure,
    CredentialsRejected,
    PermissionFailed,
    PermissionsInstalled,
)
from icepath.turn.client.exchange import Answer, Outcome, Purpose, Request
from icepath.turn.client.grant import family_of
from icepath.turn.client.requests import Requests
from icepath.wire.attributes import AddressFamily, XorPeerAddress

# RFC 8656 §9: "The Permission Lifetime MUST be 300 seconds (= 5 minutes)".
PERMISSION_LIFETIME: Final[Seconds] = 300.0
# One minute is left for the answer: more than one whole transaction (39.5 s) fits in.
PERMISSION_RENEWAL: Final[Seconds] = 240.0
# RFC 8489 §6.1: without a known path MTU, a message stays within 576 bytes (IPv4); 16 IPv6 hosts take 384,
# header and credentials the rest.
MAX_HOSTS_PER_REQUEST: Final = 16

# RFC 8656 §19: Peer Address Family Mismatch; said here before a server has to.
FAMILY_MISMATCH: Final = 443
ALLOCATION_MISMATCH: Final = 437
# What a server says that saw the request before the Allocate it follows: it is asked once more after the
# Allocate's success. 437 by RFC 8656 §5; coturn says 400, and its threads change the order even on loopback.
_SEEN_TOO_EARLY: Final = frozenset({400, ALLOCATION_MISMATCH})


class _Status(Enum):
    WANTED = auto()
    """No request carries it."""
    WAITING = auto()
    """A request that waits for its slot carries it."""
    SENT = auto()
    INSTALLED = auto()


class _Stage(Enum):
    CLOSED = auto()
    """Nothing can be asked: no Allocate that the server may grant has been sent."""
    EARLY = auto()
    OPEN = auto()


class _Permission:
    __slots__ = ("is_renewing", "status", "until")

    def __init__(self) -> None:
        self.status = _Status.WANTED
        self.until: Instant | None = None
        self.is_renewing = False


@final
class Permissions:
    """Keeps the permissions of one allocation."""

    __slots__ = (
        "_begun_at",
        "_families",
        "_is_holding",
        "_outbox",
        "_permissions",
        "_rejection",
        "_renewals",
        "_requests",
        "_stage",
    )

    def __init__(
        self, requests: Requests, outbox: Outbox[AllocationEvent], families: tuple[AddressFamily, ...]
    ) -> None:
        self._requests = requests
        self._outbox = outbox
        self._families = families
        self._stage = _Stage.CLOSED
        # The hosts known when the Allocate was sent are not asked for yet.
        self._is_holding = False
        # When an Allocate that the server may grant was sent last.
        self._begun_at: Instant | None = None
        self._permissions: dict[str, _Permission] = {}
        # When to renew, or, after a rejection, when it ends.
        self._renewals: Timers[str] = Timers()
        # The code with which the server rejected our credentials for a renewal.
        self._rejection: int | None = None

    @property
    def is_rejected(self) -> bool:
        """Says whether installed permissions wait for new credentials."""
        return self._rejection is not None

    def is_permitted(self, host: str) -> bool:
        """Says whether a request that carries the host was sent, and not refused."""
        permission = self._permissions.get(host)
        return permission is not None and permission.status in (_Status.SENT, _Status.INSTALLED)

    @property
    def has_unsent(self) -> bool:
        """Says whether the request that goes right behind the Allocate still waits for its slot."""
        return self._is_holding

    def permit(self, hosts: Iterable[str], now: Instant) -> None:
        """Wants permissions; those wanted already change nothing."""
        for host in hosts:
            self._permissions.setdefault(host, _Permission())
        self._refuse_other_families()
        self._ask(now)
        if now == self._begun_at:
            # Wanted in the instant the Allocate left: known by then, so held for like those wanted before.
            self._is_holding = self._requests.waiting(Purpose.PERMISSION) is not None

    def release(self, hosts: Iterable[str]) -> None:
        """Stops renewing; the server's permission ends by itself (RFC 8656 §9 knows no other way)."""
        for host in hosts:
            self._permissions.pop(host, None)
            self._renewals.cancel(host)

    def begin(self, now: Instant) -> None:
        """Asks for all that is wanted, right behind an Allocate that is not answered yet."""
        self._stage = _Stage.EARLY
        self._begun_at = now
        self._ask(now)
        self._is_holding = self._requests.waiting(Purpose.PERMISSION) is not None

    def open(self, families: tuple[AddressFamily, ...], now: Instant) -> None:
        """Asks for all that is wanted, of the families that the allocation has got."""
        self._stage = _Stage.OPEN
        self._families = families
        self._refuse_other_families()
        self._ask(now)

    def clear(self) -> None:
        """Forgets everything."""
        self._is_holding = False
        self._permissions.clear()
        self._renewals.clear()
        self._rejection = None

    def restart(self) -> None:
        """Wants everything anew: what was asked went along with an Allocate that is given up."""
        self._stage = _Stage.CLOSED
        self._is_holding = False
        self._begun_at = None
        self._renewals.clear()
        for host in self._permissions:
            self._permissions[host] = _Permission()

    def on_sent(self, request: Request) -> None:
        """Notes that a request has left."""
        self._is_holding = False
        self._mark(request.hosts, _Status.SENT)

    def on_channel_sent(self, host: str) -> None:
        """Notes a ChannelBind: it asks for the host's permission too (RFC 8656 §12.1)."""
        permission = self._permissions.setdefault(host, _Permission())
        if permission.status is _Status.WANTED:
            permission.status = _Status.SENT

    def on_channel_bound(self, host: str, sent_at: Instant) -> None:
        """Notes a ChannelBind's success."""
        self._install(host, sent_at)

    def on_channel_failed(self, host: str, now: Instant) -> None:
        """Asks for the permission by itself, when it was the ChannelBind's to bring."""
        permission = self._permissions.get(host)
        if permission is not None and permission.status is _Status.SENT:
            permission.status = _Status.WANTED
            self._ask(now)

    def on_answer(self, answer: Answer, now: Instant) -> bool:
        """Takes the end of a CreatePermission; False when it says that there is no allocation."""
        request = answer.request
        if answer.outcome is Outcome.SUCCEEDED:
            fresh = tuple(host for host in request.hosts if self._install(host, answer.sent_at))
            if fresh:
                self._outbox.put(PermissionsInstalled(fresh))
        elif answer.outcome is Outcome.TIMED_OUT:
            self._on_timeout(request, now)
        elif request.is_early and answer.code in _SEEN_TOO_EARLY:
            self._mark(request.hosts, _Status.WANTED)
            if self._stage is _Stage.OPEN:
                self._ask(now)
        elif answer.code == ALLOCATION_MISMATCH:
            return False
        elif answer.failure is AllocationFailure.WRONG_CREDENTIALS:
            self._on_rejected(request, answer.code, now)
        elif len(request.hosts) > 1:
            self._take_apart(request, now)
        else:
            self._fail(request.hosts, answer.code)
        return True

    def retry(self, now: Instant) -> None:
        """Renews at once what waits for new credentials: they are there."""
        if self._rejection is not None:
            self._renew_all(now)

    def handle_timeout(self, now: Instant) -> None:
        """Renews what is due, and with it all the rest that is installed."""
        due: list[str] = []
        while (host := self._renewals.pop_due(now)) is not None:
            due.append(host)
        if self._rejection is not None:
            self._fail(tuple(host for host in due if not self._is_alive(host, now)), self._rejection)
        if due:
            self._renew_all(now)

    def next_deadline(self) -> Instant | None:
        """Returns when a renewal is due, or None."""
        return self._renewals.next_deadline()

    # -- asking ------------------------------------------------------------------------------------------

    def _ask(self, now: Instant) -> None:
        if self._stage is _Stage.CLOSED:
            return
        wanted = [host for host, permission in self._permissions.items() if permission.status is _Status.WANTED]
        waiting = self._requests.waiting(Purpose.PERMISSION)
        if wanted and waiting is not None:
            number, request = waiting
            room = MAX_HOSTS_PER_REQUEST - len(request.hosts)
            joining, wanted = wanted[:room], wanted[room:]
            self._requests.replace(number, self._request((*request.hosts, *joining)))
            self._mark(joining, _Status.WAITING)
        for start in range(0, len(wanted), MAX_HOSTS_PER_REQUEST):
            batch = tuple(wanted[start : start + MAX_HOSTS_PER_REQUEST])
            self._submit(self._request(batch), now)

    def _renew_all(self, now: Instant) -> None:
        self._rejection = None
        self._renewals.clear()
        self._renew(
            [
                host
                for host, permission in self._permissions.items()
                if permission.status is _Status.INSTALLED and not permission.is_renewing
            ],
            now,
        )

    def _renew(self, hosts: list[str], now: Instant) -> None:
        for start in range(0, len(hosts), MAX_HOSTS_PER_REQUEST):
            batch = tuple(hosts[start : start + MAX_HOSTS_PER_REQUEST])
            for host in batch:
                self._permissions[host].is_renewing = True
            self._requests.submit(self._request(batch, is_paced=False), now)

    def _submit(self, request: Request, now: Instant) -> None:
        is_sent = self._requests.submit(request, now)
        self._mark(request.hosts, _Status.SENT if is_sent else _Status.WAITING)

    def _request(self, hosts: tuple[str, ...], *, is_paced: bool = True, is_alone: bool = False) -> Request:
        # RFC 8656 §10.1: "The port portion of each XOR-PEER-ADDRESS attribute will be ignored".
        attributes = tuple(XorPeerAddress(Address(host, 0)) for host in hosts)
        is_early = self._stage is _Stage.EARLY
        return Request(Purpose.PERMISSION, attributes, is_paced, hosts, None, is_early, is_alone)

    def _mark(self, hosts: Iterable[str], status: _Status) -> None:
        for host in hosts:
            permission = self._permissions.get(host)
            if permission is not None and permission.status is not _Status.INSTALLED:
                permission.status = status

    # -- what became of it -------------------------------------------------------------------------------

    def _install(self, host: str, sent_at: Instant) -> bool:
        permission = self._permissions.get(host)
        if permission is None:
            return False
        is_fresh = permission.status is not _Status.INSTALLED
        permission.status = _Status.INSTALLED
        permission.is_renewing = False
        permission.until = sent_at + PERMISSION_LIFETIME
        self._renewals.set(host, sent_at + PERMISSION_RENEWAL)
        return is_fresh

    def _on_timeout(self, request: Request, now: Instant) -> None:
        self._fail(tuple(host for host in request.hosts if not self._is_alive(host, now)), None)
        self._renew([host for host in request.hosts if host in self._permissions], now)

    def _on_rejected(self, request: Request, code: int | None, now: Instant) -> None:
        """Keeps what is installed until its end: new credentials may come."""
        self._fail(tuple(host for host in request.hosts if not self._is_alive(host, now)), code)
        ends: list[Instant] = []
        for host in request.hosts:
            permission = self._permissions.get(host)
            if permission is not None and permission.until is not None:
                permission.is_renewing = False
                self._renewals.set(host, permission.until)
                ends.append(permission.until)
        if ends:
            self._rejection = code
            self._outbox.put(CredentialsRejected(code or 0, min(ends)))

    def _is_alive(self, host: str, now: Instant) -> bool:
        permission = self._permissions.get(host)
        return permission is not None and permission.until is not None and permission.until > now

    def _take_apart(self, request: Request, now: Instant) -> None:
        for host in request.hosts:
            permission = self._permissions.get(host)
            if permission is None:
                continue
            if family_of(host) not in self._families:
                self._fail((host,), FAMILY_MISMATCH)
            else:
                self._submit(self._request((host,), is_alone=True), now)

    def _refuse_other_families(self) -> None:
        self._fail(
            tuple(
                host
                for host, permission in self._permissions.items()
                if permission.status is _Status.WANTED and family_of(host) not in self._families
            ),
            FAMILY_MISMATCH,
        )

    def _fail(self, hosts: tuple[str, ...], code: int | None) -> None:
        known = tuple(host for host in hosts if host in self._permissions)
        if known:
            self.release(known)
            self._outbox.put(PermissionFailed(known, code))
