"""What requests do to allocations, and how they are answered (RFC 8656 §§5, 7.2, 8.2, 10.2, 12.2).

A part of `TurnServer`. Every request passes one gate: authentication, then unknown attributes (420), then
whose allocation it is about (437, 441); the methods themselves come after. Each returns an error code, or None
when it has answered, or will.
"""

from __future__ import annotations

from typing import Final, final

from icepath.machine import DropReason
from icepath.net import Instant, is_usable_destination
from icepath.outbox import Outbox
from icepath.stun.authenticator import Refused, unknown_attributes
from icepath.turn.server.allocations import AllocationTable, ServerAllocation
from icepath.turn.server.channels import BindVerdict
from icepath.turn.server.config import EndReason, TurnServerConfig, TurnServerEvent, family_of
from icepath.turn.server.exchange import Exchange, FiveTuple
from icepath.turn.server.policy import UNSUPPORTED, PeerPolicy, granted_lifetime, plan_allocation
from icepath.turn.server.ports import Ports
from icepath.wire.attributes import (
    MAX_CHANNEL,
    MIN_CHANNEL,
    ChannelNumber,
    Lifetime,
    RequestedAddressFamily,
    XorPeerAddress,
)
from icepath.wire.message import Message, Method

_METHODS: Final = frozenset({Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND})
_VERDICT_CODES: Final[dict[BindVerdict, int]] = {BindVerdict.CONFLICT: 400, BindVerdict.NO_ROOM: 508}


@final
class RequestHandler:
    """Answers the TURN requests of clients."""

    __slots__ = ("_config", "_outbox", "_policy", "_ports", "_table")

    def __init__(
        self,
        config: TurnServerConfig,
        table: AllocationTable,
        ports: Ports,
        policy: PeerPolicy,
        outbox: Outbox[TurnServerEvent],
    ) -> None:
        self._config = config
        self._table = table
        self._ports = ports
        self._policy = policy
        self._outbox = outbox

    def handle(self, message: Message, five_tuple: FiveTuple, now: Instant) -> DropReason | None:
        """Answers a request; returns why when it is dropped instead."""
        if message.method not in _METHODS:
            # RFC 8489 §6.3: a message of a method that is not supported is silently discarded.
            return DropReason.UNEXPECTED_MESSAGE
        if not is_usable_destination(five_tuple.client):
            # Nothing is answered to where nothing can have come from.
            return DropReason.WRONG_ADDRESS
        exchange = self._authenticate(message, five_tuple, now)
        if exchange is not None:
            code = self._dispatch(exchange, now)
            if code is not None:
                self._outbox.put(exchange.error(code))
        return None

    def _authenticate(self, message: Message, five_tuple: FiveTuple, now: Instant) -> Exchange | None:
        """Returns who asks what, or refuses."""
        software = self._config.software
        exchange = Exchange(message, five_tuple, software)
        if self._config.authenticator is not None:
            verdict = self._config.authenticator.judge(message, remote=five_tuple.client, now=now)
            if isinstance(verdict, Refused):
                self._refuse(exchange, verdict)
                return None
            exchange = Exchange(message, five_tuple, software, verdict.user.username, verdict.key, verdict.integrity)
        unknown = message.unknown_required
        unknown += tuple([kind.TYPE for kind in UNSUPPORTED if message.get(kind) is not None])
        if unknown:
            self._refuse(exchange, unknown_attributes(unknown, key=exchange.key, integrity=exchange.integrity))
            return None
        return exchange

    def _refuse(self, exchange: Exchange, refused: Refused) -> None:
        signer = Exchange(
            exchange.request, exchange.five_tuple, exchange.software, None, refused.key, refused.integrity
        )
        self._outbox.put(signer.refusal(refused.attributes))

    def _dispatch(self, exchange: Exchange, now: Instant) -> int | None:
        allocation = self._table.get(exchange.five_tuple)
        method = exchange.request.method
        if method == Method.ALLOCATE:
            return self._on_allocate(exchange, allocation, now)
        if allocation is None:
            return 437
        if exchange.username != allocation.exchange.username:
            return 441
        if method == Method.REFRESH:
            return self._on_refresh(exchange, allocation, now)
        if method == Method.CREATE_PERMISSION:
            return self._on_create_permission(exchange, allocation, now)
        return self._on_channel_bind(exchange, allocation, now)

    def _on_allocate(self, exchange: Exchange, allocation: ServerAllocation | None, now: Instant) -> int | None:
        request = exchange.request
        if allocation is not None:
            if allocation.exchange.request.transaction_id != request.transaction_id:
                return 437
            if not allocation.is_pending:
                self._ports.answer(allocation, now)
            return None
        plan = plan_allocation(request, self._config)
        if isinstance(plan, int):
            return plan
        if self._table.count_of(exchange.username) >= self._config.max_allocations_per_user:
            return 486
        if len(self._table) >= self._config.max_allocations:
            return 508
        lifetime = granted_lifetime(request.get(Lifetime), self._config)
        self._ports.open(ServerAllocation(exchange, self._config), plan, lifetime, now)
        return None

    def _on_refresh(self, exchange: Exchange, allocation: ServerAllocation, now: Instant) -> int | None:
        requested = exchange.request.get(RequestedAddressFamily)
        if requested is not None and not allocation.has_family(requested.family):
            return 443
        lifetime = exchange.request.get(Lifetime)
        if lifetime is not None and lifetime.seconds == 0:
            family = None if requested is None else requested.family
            self._ports.end(allocation, EndReason.RELEASED, family=family)
            self._outbox.put(exchange.success((Lifetime(0),)))
            return None
        seconds = granted_lifetime(lifetime, self._config)
        self._ports.refresh(allocation, seconds, now)
        self._outbox.put(exchange.success((Lifetime(seconds),)))
        return None

    def _on_create_permission(self, exchange: Exchange, allocation: ServerAllocation, now: Instant) -> int | None:
        hosts = tuple([attribute.address.host for attribute in exchange.request.get_all(XorPeerAddress)])
        if not hosts:
            return 400
        code = self._judge_peers(hosts, allocation)
        if code is not None:
            return code
        if not allocation.permissions.install(hosts, now):
            return 508
        self._outbox.put(exchange.success(()))
        return None

    def _on_channel_bind(self, exchange: Exchange, allocation: ServerAllocation, now: Instant) -> int | None:
        channel, peer = exchange.request.get(ChannelNumber), exchange.request.get(XorPeerAddress)
        if channel is None or peer is None or not peer.address.port:
            return 400
        if not MIN_CHANNEL <= channel.number <= MAX_CHANNEL:
            return 400
        hosts = (peer.address.host,)
        code = self._judge_peers(hosts, allocation)
        if code is not None:
            return code
        if not allocation.permissions.has_room(hosts, now):
            return 508
        verdict = allocation.channels.bind(channel.number, peer.address, now)
        if verdict is not BindVerdict.BOUND:
            return _VERDICT_CODES[verdict]
        allocation.permissions.install(hosts, now)
        self._outbox.put(exchange.success(()))
        return None

    def _judge_peers(self, hosts: tuple[str, ...], allocation: ServerAllocation) -> int | None:
        if not all(allocation.has_family(family_of(host)) for host in hosts):
            return 443
        if any(self._policy.is_denied(host) for host in hosts):
            return 403
        return None
