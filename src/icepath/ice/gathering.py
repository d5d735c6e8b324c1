"""Gathering local candidates: host at once, reflexive and relayed from all servers in parallel.

Nothing waits for a server: each candidate is announced when it is known (RFC 8838 §9), a dead server ends
only its own asking. Asks wait for the agent's slots like checks do. A relayed candidate is announced once
the permissions for the remote addresses known by then are on their way, so that the remote's first check
is not lost. RFC 8445 §5.1.1 and §5.1.3; keepalives of §5.1.1.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from icepath.errors import Cause
from icepath.ice.cause import cause_of_name
from icepath.ice.config import RtoView, Server
from icepath.ice.core import Core, Relay, ServerQuery, Socket, TimerKey, TimerKind
from icepath.ice.events import GatheringCompleted, ServerFailed
from icepath.ice.local import LocalSide
from icepath.ice.relays import RelayOutcome, Relays
from icepath.ice.servers import ServerGroup, ServerUrl, group_servers
from icepath.ice.stream import Generation
from icepath.ice.translation import take_prefixes
from icepath.machine import (
    Failed,
    Handle,
    Resolve,
    Resolved,
    ResolvedAddress,
    SocketUse,
    Transport,
)
from icepath.net import Address, Instant, Seconds, is_usable_destination
from icepath.stun.transaction import RetransmissionPolicy
from icepath.turn.client.events import (
    AllocationEvent,
)
from icepath.wire.attributes import ErrorCode, MappedAddress, XorMappedAddress
from icepath.wire.message import Message, MessageClass, Method, encode_message

# RFC 8445 §5.1.1.4 and §11: Tr SHOULD be 15 s.
KEEPALIVE_INTERVAL: Final[Seconds] = 15.0
# A keepalive is sent once and its answer may come within one RTO's worth of waiting.
KEEPALIVE_POLICY: Final = RetransmissionPolicy(rto=0.5, rc=1, rm=16)
# RFC 8489 §6.2.1 lets Rc and Rm be configured. With 7 and 16 a silent server is given up after 39.5 s, and a peer that
# does not trickle waits for that; with these, five requests have had no answer after 9.5 s.
SERVER_RC: Final = 5
SERVER_RM: Final = 4


@dataclass(frozen=True, slots=True)
class _Ask:
    """Is one server to be asked from one host socket at the next slot."""

    group: ServerGroup
    socket: Socket
    is_allocation: bool
    address: Address
    """Where a Binding request goes; unused for an allocation, which has its routes."""


@final
class Gatherer:
    """Finds local candidates and keeps their bindings alive."""

    __slots__ = (
        "_answered",
        "_asked",
        "_asks",
        "_core",
        "_groups",
        "_in_flight",
        "_local",
        "_local_ended",
        "_relays",
        "is_done",
    )

    def __init__(self, core: Core) -> None:
        self._core = core
        self._local = LocalSide(core)
        self._relays = Relays(core, self._local)
        self._groups: list[ServerGroup] = []
        self._asks: list[_Ask] = []
        self._asked: set[tuple[str, Address]] = set()
        # Queries and allocations whose first answer is awaited, by local address and url.
        self._in_flight: set[tuple[str, Address]] = set()
        # Binding queries that were answered: their bindings are kept alive until checks end.
        self._answered: dict[tuple[Address, Address], str] = {}
        self._local_ended = False
        self.is_done = False
        """Every server has answered or failed."""

    # -- servers ------------------------------------------------------------------------------------------

    def set_servers(self, servers: tuple[Server, ...], *, now: Instant) -> None:
        """Asks new servers; gives fresh credentials to allocations of the known ones; drops the rest."""
        wanted = {group.identity: group for group in group_servers(servers)}
        self._groups = [group for group in self._groups if group.identity in wanted]
        known = {group.identity: group for group in self._groups}
        kept = {group.key for group in self._groups}
        for ask in [ask for ask in self._asks if ask.group.key not in kept]:
            self._asks.remove(ask)
            self._asked.discard((ask.group.key, ask.socket.address))
            self._in_flight.discard((ask.group.key, ask.socket.address))
        for identity, group in wanted.items():
            old = known.get(identity)
            if old is None:
                self._add_group(group)
            elif old.server != group.server:
                old.server = group.server
                self._renew_credentials(old, now=now)
                self._ask_again(old)

    def _add_group(self, group: ServerGroup) -> None:
        self._groups.append(group)
        self.is_done = False
        uri = group.server.uri
        if not group.is_turn and (uri.secure or uri.transport is Transport.TCP):
            self._fail(group, None, Cause.UNSUPPORTED, "a STUN server is asked over UDP, as candidates are")
            return
        for url in group.urls:
            literal = url.literal()
            if literal is not None:
                self._take(url, (literal,))
            else:
                url.handle = self._core.next_handle()
                self._core.outbox.put(Resolve(url.handle, url.text))
        if not group.is_resolving:
            self._ask_everywhere(group)

    def _renew_credentials(self, group: ServerGroup, *, now: Instant) -> None:
        credentials = group.server.credentials()
        for relay in list(self._core.relays.values()):
            if relay.url == group.key and credentials is not None:
                relay.allocation.set_credentials(credentials, now=now)
                self._core.settle(relay, now=now)

    def _ask_again(self, group: ServerGroup) -> None:
        """Asks from where nothing came of it: other credentials may get what these did not."""
        busy = {(relay.url, relay.host.address) for relay in self._core.relays.values()} | self._in_flight
        for socket in list(self._core.sockets.values()):
            key = (group.key, socket.address)
            if group.is_turn and key in self._asked - busy:
                self._asked.discard(key)
                self.is_done = False
                self._ask_from(socket, group)

    def on_resolution(self, answer: Resolved | Failed) -> bool:
        """Takes the answer to a server's name, or about translators; False when the handle is of neither."""
        if take_prefixes(self._core, answer):
            self._translate()
            return True
        for group in self._groups:
            for url in group.urls:
                if url.handle == answer.handle:
                    url.handle = None
                    self._on_resolved(group, url, answer)
                    return True
        return False

    def _on_resolved(self, group: ServerGroup, url: ServerUrl, answer: Resolved | Failed) -> None:
        if isinstance(answer, Failed):
            cause = cause_of_name(answer.reason)
            self._fail_url(group, url, cause, answer.detail)
        else:
            self._take(url, answer.answers)
        if not group.is_resolving and not group.has_failed:
            self._ask_everywhere(group)

    def _take(self, url: ServerUrl, answers: tuple[ResolvedAddress, ...]) -> None:
        url.take(answers, streams_only=self._core.config.streams_only, nat64=self._core.nat64.prefixes)

    @property
    def wants_ipv4(self) -> bool:
        """Says whether a server has IPv4 addresses only."""
        return any(group.is_ipv4_only for group in self._groups)

    def _translate(self) -> None:
        for group in self._groups:
            if group.translate(self._core.nat64.prefixes):
                self._ask_everywhere(group)

    def _ask_everywhere(self, group: ServerGroup) -> None:
        for url in group.urls:
            if url.has_failed or any(is_usable_destination(found.address) for found in url.found):
                continue
            if self._core.config.streams_only:
                self._fail_url(group, url, Cause.UNSUPPORTED, "only TCP and TLS are used, and the URL means neither")
            else:
                self._fail_url(group, url, Cause.SERVER_NAME_NOT_FOUND, "no usable address")
        for socket in list(self._core.sockets.values()):
            self._ask_from(socket, group)

    def _fail_url(self, group: ServerGroup, url: ServerUrl, cause: Cause, text: str) -> None:
        """Takes a URL out; its server has failed with the last one."""
        url.has_failed = True
        group.has_failed = all(each.has_failed for each in group.urls)
        self._report(url.text, None, None, cause, text)

    # -- local addresses ------------------------------------------------------------------------------------

    def add_socket(self, socket: Socket) -> None:
        """Announces the host candidate and puts the servers to be asked from there into the queue."""
        self.is_done = False
        if socket.is_tcp:
            self._local.add_listener(socket)
            return
        if socket.use is not SocketUse.RELAYS:
            self._local.add_host(socket)
        for group in self._groups:
            self._ask_from(socket, group)

    def remove_socket(self, address: Address) -> None:
        """Forgets what was asked from a host socket: nothing waits for its answers, and it may come back."""
        for transaction in self._core.transactions:
            if isinstance(transaction.context, ServerQuery) and transaction.context.local == address:
                self._core.transactions.cancel(transaction.transaction_id)
        self._asks = [ask for ask in self._asks if ask.socket.address != address]
        self._asked = {key for key in self._asked if key[1] != address}
        self._in_flight = {key for key in self._in_flight if key[1] != address}
        self._answered = {key: url for key, url in self._answered.items() if key[0] != address}

    def end_of_local_addresses(self) -> None:
        """Notes that no further local address is expected now."""
        self._local_ended = True

    def _ask_from(self, socket: Socket, group: ServerGroup) -> None:
        # A socket serves for relays, for all else, or for both; a TCP listener asks nobody.
        aside = SocketUse.SHARED if group.is_turn else SocketUse.RELAYS
        is_wanted = socket.use is not aside and (group.is_turn or not self._core.config.relay_only)
        if socket.relay is not None or socket.is_tcp or group.has_failed or group.is_resolving or not is_wanted:
            return
        routes = [route for route in group.routes(socket.address) if group.is_turn or route.is_datagram]
        if not routes:
            return
        group.was_asked = True
        key = (group.key, socket.address)
        if key in self._asked:
            return
        self._asked.add(key)
        self._in_flight.add(key)
        self._enqueue(_Ask(group, socket, group.is_turn, routes[0].address))

    def _enqueue(self, ask: _Ask) -> None:
        """Keeps the queue in the order: IPv4 first (a NAT is likely there), STUN before TURN on each socket."""
        rank = _ask_rank(ask)
        index = len(self._asks)
        while index > 0 and _ask_rank(self._asks[index - 1]) > rank:
            index -= 1
        self._asks.insert(index, ask)

    # -- asking ---------------------------------------------------------------------------------------------

    @property
    def has_asks(self) -> bool:
        """Says whether a server waits to be asked."""
        return bool(self._asks)

    def ask_next(self, *, now: Instant) -> None:
        """Asks one server; the agent calls this in a slot of its own."""
        ask = self._asks.pop(0)
        if ask.socket.address not in self._core.sockets:
            self._in_flight.discard((ask.group.key, ask.socket.address))
        elif ask.is_allocation:
            if not self._relays.open(ask.group, ask.socket, self._policy(), now=now):
                self._fail(ask.group, ask.socket.address, Cause.UNSUPPORTED, "one allocation per server and socket")
        else:
            self._query(ServerQuery(ask.group.key, ask.address, ask.socket.address), self._policy(), now=now)

    def _policy(self) -> RetransmissionPolicy:
        view = RtoView(self._core.pacer.interval, len(self._in_flight), 1)
        return RetransmissionPolicy(rto=self._core.rto(view), rc=SERVER_RC, rm=SERVER_RM)

    def _query(self, query: ServerQuery, policy: RetransmissionPolicy, *, now: Instant) -> None:
        transaction_id = self._core.transaction_id()
        payload = encode_message(Method.BINDING, MessageClass.REQUEST, transaction_id)
        self._core.transactions.start(
            transaction_id,
            local=query.local,
            remote=query.server,
            payload=payload,
            key=None,
            context=query,
            policy=policy,
            now=now,
        )
        self._core.transmit(query.local, query.server, payload, now=now)

    # -- answers ----------------------------------------------------------------------------------------------

    def on_answer(self, query: ServerQuery, message: Message, *, now: Instant) -> None:
        """Takes a STUN server's answer."""
        self._in_flight.discard((query.url, query.local))
        socket = self._core.sockets.get(query.local)
        if query.is_keepalive or socket is None:
            return
        # RFC 8445 §5.1.1.2 keeps the backwards compatibility: an old server sends MAPPED-ADDRESS.
        mapped = message.get(XorMappedAddress) or message.get(MappedAddress)
        if message.message_class is MessageClass.ERROR or mapped is None or message.unknown_required:
            error = message.get(ErrorCode)
            code, text = (error.code, error.reason) if error is not None else (None, "no mapped address")
            self._report(query.url, query.local, code, Cause.SERVER_REFUSED, text)
            return
        self._answered[query.local, query.server] = query.url
        self._local.add_reflexive(socket, mapped.address, query.server, query.url)
        self._arm_keepalive(now)

    def on_timeout(self, query: ServerQuery) -> None:
        """Takes a STUN server's silence."""
        self._in_flight.discard((query.url, query.local))
        if not query.is_keepalive:
            self._report(query.url, query.local, None, Cause.SERVER_UNREACHABLE, "no answer")

    def on_unreachable(self, query: ServerQuery) -> None:
        """Takes an ICMP error about a query as its end."""
        self._in_flight.discard((query.url, query.local))
        if not query.is_keepalive:
            self._report(query.url, query.local, None, Cause.SERVER_UNREACHABLE, "ICMP: destination unreachable")

    def on_relay_event(self, relay: Relay, event: AllocationEvent, *, now: Instant) -> None:
        """Takes what an allocation reports."""
        outcome = self._relays.on_event(relay, event)
        if outcome is not RelayOutcome.OPEN:
            self._in_flight.discard((relay.url, relay.host.address))
        if outcome is RelayOutcome.GRANTED:
            self._arm_keepalive(now)
        elif outcome is RelayOutcome.FULL:
            self._ask_for_binding(relay)

    def _ask_for_binding(self, relay: Relay) -> None:
        """Asks a server that is full for the reflexive address at least (RFC 8445 §5.1.1.2)."""
        group = next((group for group in self._groups if group.key == relay.url), None)
        is_wanted = relay.host.address in self._core.sockets and not self._core.is_for_relays(relay.host)
        if group is not None and is_wanted and relay.allocation.route.is_datagram:
            self._in_flight.add((relay.url, relay.host.address))
            self._enqueue(_Ask(group, relay.host, False, relay.server))

    @property
    def can_announce(self) -> bool:
        """Says whether a relayed candidate waits to be announced and nothing holds it back."""
        return self._relays.can_announce

    def announce_relays(self) -> list[Socket]:
        """Announces the relayed candidates whose permissions are on their way; returns their sockets."""
        return self._relays.announce()

    # -- failures and the end ---------------------------------------------------------------------------------

    def _fail(self, group: ServerGroup, local: Address | None, cause: Cause, text: str) -> None:
        group.has_failed = local is None
        if local is not None:
            self._in_flight.discard((group.key, local))
        self._report(group.key, local, None, cause, text)

    def _report(self, url: str, local: Address | None, code: int | None, cause: Cause, text: str) -> None:
        self._core.outbox.put(ServerFailed(url, local, code, cause, text))

    @property
    def is_reportable(self) -> bool:
        """Says whether everything has answered or failed since gathering was last reported complete."""
        if self.is_done or not self._local_ended or self._asks or self._in_flight or self._relays.has_unannounced:
            return False
        is_translating = self._core.nat64.query is not None and self.wants_ipv4
        return not is_translating and not any(group.is_resolving for group in self._groups)

    def report_if_done(self) -> bool:
        """Emits `GatheringCompleted` once everything has answered or failed; says whether it did."""
        if not self.is_reportable:
            return False
        for group in self._groups:
            is_left_aside = self._core.config.relay_only and not group.is_turn
            if not group.was_asked and not group.has_failed and not is_left_aside:
                group.has_failed = True
                self._report(group.key, None, None, Cause.NO_COMMON_FAMILY, "no local address of the server's family")
        self.is_done = True
        self._core.outbox.put(GatheringCompleted())
        return True

    def announce_again(self, stream: int, old: Generation, *, now: Instant) -> None:
        """Announces the candidates of an old generation under the new one's ufrag (RFC 8445 §9)."""
        self._local.announce_again(stream, old)
        self.is_done = False
        if self._answered:
            self._arm_keepalive(now)

    def cancel_resolutions(self) -> list[Handle]:
        """Forgets the server names under resolution; returns their handles."""
        waiting = [url for group in self._groups for url in group.urls if url.handle is not None]
        handles = [url.handle for url in waiting if url.handle is not None]
        for url in waiting:
            url.handle = None
        return handles

    @property
    def asked_any(self) -> bool:
        """Says whether any server was asked."""
        return bool(self._asked)

    # -- keepalives ---------------------------------------------------------------------------------------------

    def _arm_keepalive(self, now: Instant) -> None:
        key = TimerKey(TimerKind.KEEPALIVE)
        if self._core.timers.deadline(key) is None:
            self._core.timers.set(key, now + KEEPALIVE_INTERVAL)

    def keep_alive(self, *, is_concluded: bool, now: Instant) -> None:
        """Keeps the NAT bindings of candidates alive while they may still be used (RFC 8445 §5.1.1.4)."""
        if not is_concluded:
            for (local, server), url in self._answered.items():
                if local in self._core.sockets:
                    self._query(ServerQuery(url, server, local, is_keepalive=True), KEEPALIVE_POLICY, now=now)
        for relay in self._core.relays.values():
            if not relay.allocation.route.is_datagram:
                continue  # a connection keeps its binding for hours (RFC 5382 §5), and the refreshes use it
            indication = encode_message(Method.BINDING, MessageClass.INDICATION, self._core.transaction_id())
            self._core.transmit(relay.host.address, relay.server, indication, now=now)
        if self._core.relays or (self._answered and not is_concluded):
            self._arm_keepalive(now)


def _ask_rank(ask: _Ask) -> tuple[bool, int, int, Address, bool]:
    socket = ask.socket
    return (socket.address.is_ipv6, socket.stream, socket.component, socket.address, ask.is_allocation)
