"""What the parts of one agent share: sockets and relays to send from, transactions, timers, role, streams.

The parts (gathering, outgoing, incoming, consent, nomination) each hold the same `Core` and never each
other; the agent calls them and passes results on. A relayed address is a local address whose socket is
an `Allocation`; after every call into one, and only then, it is drained and its deadline stored.
"""

from __future__ import annotations

from enum import IntEnum, auto
from math import inf
from typing import Final, NamedTuple, TypeAlias, final

from icepath.entropy import tie_breaker
from icepath.ice.candidate import Foundations, LocalPreferences
from icepath.ice.checklist import ChecklistSet
from icepath.ice.config import MIN_RTO, AgentConfig, Role, RtoView, rto_by_rfc
from icepath.ice.connection import Connection
from icepath.ice.embedding import HeldAnswer, exchanges
from icepath.ice.events import AgentEvent, EmbeddedReceived, PolicyFailed, RoleChanged
from icepath.ice.nat64 import Translators
from icepath.ice.pacer import Pacer, ReserveSlot
from icepath.ice.pair import CandidatePair, PairCounts, PairKey
from icepath.ice.stream import Generation, Stream
from icepath.machine import (
    Close,
    Connect,
    Datagram,
    DatagramDropped,
    DropReason,
    Event,
    FlowKey,
    Handle,
    LocalAddress,
    MachineClosed,
    SocketUse,
    Transport,
)
from icepath.net import Address, Instant, RandomBytes, Seconds, TcpAddress
from icepath.outbox import Outbox
from icepath.stun.transaction import TransactionTable
from icepath.timers import Timers
from icepath.turn.client.allocation import Allocation
from icepath.turn.client.events import AllocationEvent
from icepath.turn.client.routes import Route
from icepath.wire.framing import MAX_FRAME
from icepath.wire.message import Message, TransactionId

TRANSACTION_ID_LENGTH = 12


class TimerKind(IntEnum):
    """Names what a deadline is for; a number, because that hashes in no time."""

    TRANSACTIONS = auto()
    SLOT = auto()
    PATIENCE = auto()
    RECHECK = auto()
    NOMINATION = auto()
    CONSENT = auto()
    EXPIRY = auto()
    LIVENESS = auto()
    KEEPALIVE = auto()
    ALLOCATION = auto()
    PROBE = auto()
    EMBEDDED = auto()
    CONNECTION = auto()


class TimerKey(NamedTuple):
    """Names one deadline; `id` is that of the pair, stream or relay it belongs to, or 0."""

    kind: TimerKind
    id: int = 0


_TRANSACTIONS: Final = TimerKey(TimerKind.TRANSACTIONS)
_CONTROLLING: Final = Role.CONTROLLING
_TCP: Final = Transport.TCP


@final
class Relay:
    """Is one allocation and the host socket it works through."""

    __slots__ = ("allocation", "failed_routes", "host", "id", "is_over", "relayed", "routes", "url")

    def __init__(
        self, relay_id: int, allocation: Allocation, host: Socket, url: str, routes: tuple[Route, ...] = ()
    ) -> None:
        self.id = relay_id
        self.allocation = allocation
        self.host = host
        self.url = url
        self.routes = routes
        self.failed_routes: tuple[Route, ...] = ()
        self.relayed: tuple[Address, ...] = ()
        # The allocation failed or was lost: to be taken out of use.
        self.is_over = False

    @property
    def server(self) -> Address:
        """Returns where the server is, by the route in use."""
        return self.allocation.route.address


@final
class Socket:
    """Is one local address to send from: a host socket, a relayed address, or a TCP listener."""

    __slots__ = ("address", "component", "cost", "interface", "is_tcp", "preference", "relay", "stream", "use")

    def __init__(
        self, local: LocalAddress, *, stream: int, component: int, preference: int, relay: Relay | None = None
    ) -> None:
        self.is_tcp = local.transport is _TCP
        self.address: Address = TcpAddress(*local.address) if self.is_tcp else local.address
        self.interface = local.interface
        self.cost = local.cost
        self.use = local.use
        self.stream = stream
        self.component = component
        self.preference = preference
        self.relay = relay


# -- what a transaction was for (named tuples: made for each, and cheaper than frozen dataclasses) --------


class ServerQuery(NamedTuple):
    """Asks a STUN server for the reflexive address of a host socket."""

    url: str
    server: Address
    local: Address
    is_keepalive: bool = False


class Check(NamedTuple):
    """Is a connectivity check of a pair (RFC 8445 §7.2.4)."""

    pair: CandidatePair
    role: Role
    priority: int
    use_candidate: bool
    nomination: int = 0
    """The value that orders it among nominations, where renomination is agreed."""


class ConsentCheck(NamedTuple):
    """Is a consent check of a pair (RFC 7675 §5.1)."""

    pair: CandidatePair


Purpose: TypeAlias = ServerQuery | Check | ConsentCheck


@final
class Core:
    """Is the state that the parts of one agent share."""

    def __init__(self, config: AgentConfig, *, random_bytes: RandomBytes, reserve_slot: ReserveSlot) -> None:
        self.config = config
        self.random_bytes = random_bytes
        self.outbox: Outbox[AgentEvent] = Outbox()
        self.timers: Timers[TimerKey] = Timers()
        self.transactions: TransactionTable[Purpose] = TransactionTable()
        self.pacer = Pacer(config.pacing, reserve_slot)
        self.role = config.role
        self.tie_breaker = tie_breaker(random_bytes)
        self.streams = {
            number: Stream(number, count, config.credentials) for number, count in enumerate(config.components, 1)
        }
        self.checklists = ChecklistSet(config.max_pairs)
        for stream in self.streams.values():
            self.checklists.put(stream.id, stream.current.checklist)
        self.foundations = Foundations()
        self.preferences = LocalPreferences()
        self.sockets: dict[Address, Socket] = {}
        self.relays: dict[int, Relay] = {}
        self.relays_by_path: dict[tuple[Address, Address], Relay] = {}
        self.relays_by_handle: dict[Handle, Relay] = {}  # by the byte streams and associations that they opened
        self.connections: dict[PairKey, Connection] = {}  # TCP, by the pair that each is of, or would be
        self.connections_by_handle: dict[Handle, Connection] = {}
        # Remote hosts, by stream, that relays are to hear from: asked for behind the check that goes first.
        self.unpermitted: list[tuple[int, str]] = []
        # What allocations reported, until the agent has taken it in.
        self.relay_events: list[tuple[Relay, AllocationEvent]] = []
        # What datagrams were counted on no pair that is left, by stream and component.
        self.besides: dict[tuple[int, int], PairCounts] = {}
        self.embeddings = exchanges(config.components) if config.sped else {}
        self.held_answers: tuple[HeldAnswer, ...] = ()
        # `is_idle`: the application wants few packets rather than a quick change of path.
        self.is_closing = self.is_idle = False
        self.nat64 = Translators()
        # Something changed that nomination or states may depend on,
        self.has_changed = False
        # and that may have made an ordinary check possible; cleared when none was found.
        self.may_check = False
        self._armed: Instant | None = None  # when the transaction table was last found to want its turn
        self._last_id = 0

    def touch(self) -> None:
        """Notes that something changed: nomination, states and the next slot are looked at again."""
        self.has_changed = self.may_check = True

    @property
    def is_controlling(self) -> bool:
        """Says whether this agent is in the controlling role."""
        return self.role is _CONTROLLING

    def is_for_relays(self, socket: Socket) -> bool:
        """Says whether a host socket serves relays alone, so that nobody is told of it."""
        return self.config.relay_only or socket.use is SocketUse.RELAYS

    def generation_of(self, pair: CandidatePair) -> Generation | None:
        """Returns the generation the pair still belongs to, or None when it was discarded."""
        for generation in self.streams[pair.stream].generations():
            if generation.number == pair.generation:
                return generation if generation.checklist.pairs.get(pair.key) is pair else None
        return None

    def counts_besides(self, stream: int, component: int) -> PairCounts:
        """Returns where a component's datagrams are counted that no pair is left for."""
        counts = self.besides.get((stream, component))
        if counts is None:
            counts = self.besides[stream, component] = PairCounts()
        return counts

    def counts_of_flow(self, key: FlowKey) -> PairCounts:
        """Returns where to count what a flow carried, also when it has been dropped meanwhile."""
        for stream in self.streams.values():
            for generation in stream.generations():
                for pair in generation.checklist.pairs.values():
                    if pair.flow == key:
                        return pair.counts
        relay = self.relays_by_path.get((key.local, key.remote))
        socket = self.sockets.get(key.local) if relay is None else relay.host
        if socket is None:
            return self.counts_besides(1, 1)
        return self.counts_besides(socket.stream, socket.component)

    def take_embedded(self, stream: int, component: int, message: Message) -> bool:
        """Takes what an authentic message carried of an application's; says whether that is news."""
        embedding = self.embeddings.get((stream, component))
        packet = None if embedding is None else embedding.take(message)
        if packet is None:
            return False
        self.outbox.put(EmbeddedReceived(stream, component, packet))
        return True

    def send_unsent(self, *, now: Instant) -> None:
        """Sends an application's pending packets by themselves where data may flow by now (draft §3.3.5)."""
        for (number, component), embedding in self.embeddings.items():
            if not embedding.is_unsent:
                continue
            pair = self.streams[number].active.get(component)
            if pair is not None and pair.may_send_data(now):
                for packet in embedding.take_unsent():
                    pair.counts.datagrams_sent += 1
                    pair.counts.octets_sent += len(packet)
                    pair.counts.last_sent = now
                    self.transmit(pair.local.base, pair.remote_address, packet, now=now)

    def next_id(self) -> int:
        """Returns a number not used before in this agent."""
        self._last_id += 1
        return self._last_id

    def next_handle(self) -> Handle:
        """Returns a handle not used before in this agent."""
        return Handle(self.next_id())

    def transaction_id(self) -> TransactionId:
        """Draws a transaction identifier (RFC 8489 §5)."""
        return TransactionId(self.random_bytes(TRANSACTION_ID_LENGTH))

    def transmit(self, local: Address, remote: Address, payload: bytes, is_data: bool = False, *, now: Instant) -> None:
        """Sends from a host socket, through the relay whose address `local` is, or on the connection there is."""
        socket = self.sockets.get(local)
        if socket is None:
            return
        if socket.relay is None:
            if socket.is_tcp:
                self._transmit_framed(PairKey(local, remote), payload, is_data, now=now)
            else:
                self.outbox.put(Datagram(local, remote, payload))
            return
        allocation = socket.relay.allocation
        if allocation.relayed and allocation.is_permitted(remote.host):  # either may just have been lost
            allocation.send(remote, payload, now=now)
            self.settle(socket.relay, now=now)

    def _transmit_framed(self, key: PairKey, payload: bytes, is_data: bool, *, now: Instant) -> None:
        connection = self.connections.get(key)
        if len(payload) > MAX_FRAME:
            self.outbox.drop(DropReason.LIMIT, remote=key.remote, now=now)
        elif connection is not None and connection.is_open:
            self.outbox.put(connection.framed(payload, is_data=is_data))

    def settle(self, relay: Relay, *, now: Instant) -> None:
        """Drains an allocation and stores its deadline."""
        allocation = relay.allocation
        for output in allocation.take_outputs():
            if isinstance(output, DatagramDropped):
                self.outbox.drop(output.reason, remote=output.remote, count=output.count, now=now)
            elif not isinstance(output, Event):
                if isinstance(output, Connect):
                    self.relays_by_handle[output.handle] = relay
                elif isinstance(output, Close):
                    self.relays_by_handle.pop(output.handle, None)
                self.outbox.put(output)
            else:
                self.relay_events.append((relay, output))
                if isinstance(output, MachineClosed):
                    self.relays.pop(relay.id, None)
        self.timers.set(TimerKey(TimerKind.ALLOCATION, relay.id), allocation.next_deadline())

    def rto(self, view: RtoView) -> Seconds:
        """Asks the policy for a retransmission timeout; RFC 8445 §14.3's floor holds whatever it says."""
        try:
            rto = max(MIN_RTO, self.config.rto(view))
            if rto == inf:
                raise ValueError("an endless retransmission timeout")
            return rto
        except Exception as failure:  # a policy is the application's code: law 1 holds whatever it does
            self.outbox.put(PolicyFailed("rto", repr(failure)))
            return rto_by_rfc(view)

    def arm_transactions(self) -> None:
        """Stores the transaction table's deadline."""
        at = self.transactions.next_deadline()
        if at != self._armed:
            self._armed = at
            self.timers.set(_TRANSACTIONS, at)

    def change_role(self, role: Role, *, draw_tie_breaker: bool) -> None:
        """Takes the role and computes every pair's priority anew.

        RFC 8445 §7.2.5.1: after a 487 "the agent MUST change the tiebreaker value".
        """
        self.role = role
        if draw_tie_breaker:
            self.tie_breaker = tie_breaker(self.random_bytes)
        self.outbox.put(RoleChanged(role))
        for pair in self.checklists.pairs():
            pair.use_candidate = False  # what was chosen in the other role would keep the next choice waiting
            pair.reprioritize(self.is_controlling)
