"""Relays: allocations asked for through host sockets, what they report, and when their candidates are told.

Whom to ask, and when, is `gathering.py`'s; what an allocation is, `turn/client/allocation.py`'s. A relayed
candidate is announced once the permissions for the remote addresses known by then are on their way, so that the
remote's first check is not lost. RFC 8445 §5.1.1.2, §7.2.1; RFC 8656 §7.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, final

from icepath.errors import Cause
from icepath.ice.cause import cause_of_allocation
from icepath.ice.core import Core, Relay, Socket
from icepath.ice.events import ChallengeRemembered, ServerFailed
from icepath.ice.local import LocalSide
from icepath.ice.servers import ServerGroup
from icepath.ice.stream import Generation
from icepath.machine import MachineClosed
from icepath.net import Address, Instant, Seconds, same_family
from icepath.stun.transaction import RetransmissionPolicy
from icepath.turn.client.allocation import Allocation
from icepath.turn.client.config import AllocationConfig
from icepath.turn.client.events import (
    AddressFamilyRefused,
    Allocated,
    AllocationEvent,
    AllocationFailed,
    AllocationFailure,
    AllocationLost,
    CredentialsRejected,
    Redirected,
    RouteFailed,
)
from icepath.turn.client.events import ChallengeRemembered as AllocationChallengeRemembered
from icepath.turn.client.routes import Route
from icepath.wire.attributes import AddressFamily

# RFC 8489 §10 asks for protection against loops; a server that balances its load needs one hop.
MAX_REDIRECTS: Final = 3
# A CreatePermission lets more urgent transactions go first; it still is on its way before the Allocate's answer can be
# back from all but the nearest server, and before the candidate is announced in any case.
PERMISSION_DELAY: Final[Seconds] = 0.010

# RFC 8445 §5.1.1.2: "the server lacks resources to fulfill it" (486, 508).
_FULL: Final = (AllocationFailure.QUOTA, AllocationFailure.CAPACITY)


class RelayOutcome(Enum):
    """Says what has become of asking for a relay."""

    OPEN = auto()
    GRANTED = auto()
    OVER = auto()
    FULL = auto()
    """Over, as the server has no room: it may still tell the reflexive address."""


@final
class Relays:
    """Opens an agent's relays and announces their candidates."""

    __slots__ = ("_core", "_granted", "_groups", "_local", "_unannounced")

    def __init__(self, core: Core, local: LocalSide) -> None:
        self._core = core
        self._local = local
        # Whose relay each is, by its id.
        self._groups: dict[int, ServerGroup] = {}
        self._granted = False
        # Allocations whose candidates wait for permissions to be sent, with the mapped address.
        self._unannounced: dict[int, tuple[Relay, Address | None]] = {}

    def open(self, group: ServerGroup, socket: Socket, policy: RetransmissionPolicy, *, now: Instant) -> bool:
        """Asks a server for an allocation, through a host socket, by every route that is free; False when none is."""
        core, local = self._core, socket.address
        routes = self._free_routes(group, local)
        if not routes:
            return False
        is_plain = len(routes) == 1 and routes[0].is_datagram
        config = AllocationConfig(
            server=routes[0].address,
            local=local,
            credentials=group.server.credentials(),
            challenge=dict(core.config.challenges).get(group.key),
            families=self._relay_families(socket),
            policy=policy,
            close_timeout=core.config.close_timeout,
            routes=() if is_plain else routes,
            transports=core.config.transports,
            max_redirects=MAX_REDIRECTS,
        )
        # Byte streams take no slot; an Allocate on one asks for its own when the time has come.
        self._granted = routes[0].is_datagram
        allocation = Allocation(
            config,
            random_bytes=core.random_bytes,
            reserve_slot=self._reserve_slot,
            reserve_late_slot=self._reserve_late_slot,
            next_handle=core.next_handle,
            now=now,
        )
        relay = Relay(core.next_id(), allocation, socket, group.key, routes)
        core.relays[relay.id] = relay
        self._groups[relay.id] = group
        for route in routes:
            self._expect_datagrams(relay, route)
        generation = core.streams[socket.stream].current
        allocation.permit(_hosts(generation), now=now)
        core.settle(relay, now=now)
        return True

    def _free_routes(self, group: ServerGroup, local: Address) -> tuple[Route, ...]:
        """Returns the ways to a server that no other relay uses: a five-tuple is one allocation's (RFC 8656 §6)."""
        core = self._core
        return tuple(
            route
            for route in group.routes(local, verify=core.config.verify_certificates)
            if not (route.is_datagram and (local, route.address) in core.relays_by_path)
        )

    def _expect_datagrams(self, relay: Relay, route: Route) -> None:
        if route.is_datagram:
            self._core.relays_by_path.setdefault((relay.host.address, route.address), relay)

    def _reserve_slot(self, now: Instant) -> Instant:
        """Gives an allocation the slot it was made in, then slots like everybody's."""
        if self._granted:
            self._granted = False
            return now
        return self._core.pacer.reserve(now)

    def _reserve_late_slot(self, now: Instant) -> Instant:
        """Gives a CreatePermission a slot that leaves the next one, at any Ta, to a check."""
        pacer = self._core.pacer
        return pacer.reserve(now + max(PERMISSION_DELAY, pacer.interval))

    def _relay_families(self, socket: Socket) -> tuple[AddressFamily, ...]:
        """Asks for the socket's own family, and for the other one where no socket of ours is of it."""
        own = AddressFamily.IPV6 if socket.address.is_ipv6 else AddressFamily.IPV4
        for other in self._core.sockets.values():
            if other.relay is None and not other.is_tcp and not same_family(other.address, socket.address):
                return (own,)
        return (AddressFamily.IPV4, AddressFamily.IPV6)

    # -- what allocations report ----------------------------------------------------------------------------

    def on_event(self, relay: Relay, event: AllocationEvent) -> RelayOutcome:
        """Takes what an allocation reports; returns what has become of the asking."""
        match event:
            case Allocated(relayed=relayed, mapped=mapped, is_reflexive=is_reflexive):
                if mapped is not None and is_reflexive and not self._core.is_for_relays(relay.host):
                    self._local.add_reflexive(relay.host, mapped, relay.server, self._url_in_use(relay))
                relay.relayed = relayed
                self._unannounced[relay.id] = (relay, mapped)
                return RelayOutcome.GRANTED
            case AllocationFailed() | AllocationLost():
                return self._on_over(relay, event)
            case MachineClosed():
                self._forget(relay)
                return RelayOutcome.OVER
            case Redirected(route=route):
                self._expect_datagrams(relay, route)
            case RouteFailed() | AddressFamilyRefused() | CredentialsRejected() | AllocationChallengeRemembered():
                self._pass_on(relay, event)
            case _:
                pass
        return RelayOutcome.OPEN

    def _pass_on(
        self,
        relay: Relay,
        event: RouteFailed | AddressFamilyRefused | CredentialsRejected | AllocationChallengeRemembered,
    ) -> None:
        """Tells the application what the server said."""
        match event:
            case RouteFailed():
                self._on_route_failed(relay, event)
            case AddressFamilyRefused(code=code, text=text):
                self._report(relay.url, relay.host.address, code, Cause.UNSUPPORTED, text)
            case CredentialsRejected(code=code):
                self._report(relay.url, relay.host.address, code, Cause.WRONG_CREDENTIALS, "refresh refused")
            case _:
                self._core.outbox.put(ChallengeRemembered(relay.url, event.challenge))

    def _on_route_failed(self, relay: Relay, event: RouteFailed) -> None:
        """Reports a URL once none of its routes is left: for one that leads nowhere there are the others."""
        relay.failed_routes += (event.route,)
        url = self._url_of(relay, event.route)
        left = [route for route in relay.routes if route not in relay.failed_routes]
        if all(self._url_of(relay, route) != url for route in left):
            cause = cause_of_allocation(event.reason)
            self._report(url, relay.host.address, None, cause, event.text or event.reason.value)

    def _forget(self, relay: Relay) -> None:
        self._unannounced.pop(relay.id, None)
        self._groups.pop(relay.id, None)
        for path in [path for path, other in self._core.relays_by_path.items() if other is relay]:
            del self._core.relays_by_path[path]

    def _on_over(self, relay: Relay, event: AllocationFailed | AllocationLost) -> RelayOutcome:
        relay.is_over = True
        cause = cause_of_allocation(event.reason)
        self._report(self._url_in_use(relay), relay.host.address, event.code, cause, event.text or event.reason.value)
        is_full = isinstance(event, AllocationFailed) and event.reason in _FULL
        return RelayOutcome.FULL if is_full else RelayOutcome.OVER

    # -- candidates -------------------------------------------------------------------------------------------

    @property
    def has_unannounced(self) -> bool:
        """Says whether a relayed candidate waits to be announced."""
        return bool(self._unannounced)

    def _url_in_use(self, relay: Relay) -> str:
        return self._url_of(relay, relay.allocation.route)

    def _url_of(self, relay: Relay, route: Route) -> str:
        return self._groups[relay.id].url_of(route)

    @property
    def can_announce(self) -> bool:
        """Says whether a relayed candidate waits to be announced and nothing holds it back."""
        return any(not relay.allocation.has_unsent_permissions for relay, _ in self._unannounced.values())

    def announce(self) -> list[Socket]:
        """Announces the relayed candidates whose permissions are on their way; returns their sockets."""
        sockets: list[Socket] = []
        for relay, mapped in list(self._unannounced.values()):
            if not relay.allocation.has_unsent_permissions:
                del self._unannounced[relay.id]
                sockets += self._local.add_relayed(relay, mapped, self._url_in_use(relay))
        return sockets

    def _report(self, url: str, local: Address | None, code: int | None, cause: Cause, text: str) -> None:
        self._core.outbox.put(ServerFailed(url, local, code, cause, text))


def _hosts(generation: Generation) -> list[str]:
    return sorted({candidate.host for candidate in generation.remote_candidates.values() if not candidate.is_name})
