"""The ICE agent: one public machine that routes inputs to its parts and collects what they output.

Verbs and time come in here, what the network says goes to `arrivals.py`. Whatever happened, `_finish` then
does what follows from it, in one place and order: relays' reports, nomination, states, the next slot.

RFC 8445 (full agents), RFC 8838 (trickle), RFC 8863 (patience), RFC 7675 (consent).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from icepath.entropy import IceCredentials
from icepath.errors import Cause, InvalidArgument, InvalidState
from icepath.ice.arrivals import Arrivals
from icepath.ice.conclusion import Conclusion
from icepath.ice.config import AgentConfig, Role, Server
from icepath.ice.consent import Consent
from icepath.ice.core import Check, Core, Purpose, Relay, ServerQuery, Socket, TimerKey, TimerKind
from icepath.ice.events import AgentEvent, AgentSnapshot, PairSnapshot, Restarted, State, StateChanged
from icepath.ice.flights import Flights
from icepath.ice.gathering import Gatherer
from icepath.ice.incoming import Incoming
from icepath.ice.outgoing import Outgoing
from icepath.ice.pacer import ReserveSlot
from icepath.ice.pairing import discard_pair, pair_socket, permit_remotes
from icepath.ice.remote import RemoteSide
from icepath.ice.restart import check_fresh, remove_base, remove_relay, restart_stream
from icepath.ice.scheduler import Scheduler
from icepath.ice.snapshot import agent_snapshot, local_description, pair_snapshot
from icepath.ice.stream import Stream
from icepath.ice.tcp import close_all
from icepath.ice.translation import ask_for_prefixes, lacks_ipv4
from icepath.machine import (
    Accepted,
    Arrival,
    Bytes,
    Close,
    Closed,
    Command,
    Datagram,
    Failed,
    Handle,
    LocalAddress,
    MachineClosed,
    Opened,
    Resolved,
    Transport,
    Unreachable,
)
from icepath.net import Address, Instant, RandomBytes, TcpAddress
from icepath.stun.transaction import Retransmission, TimedOut
from icepath.turn.client.events import ChannelBound, PeerDataReceived
from icepath.wire.candidate_line import Candidate
from icepath.wire.fragment import Description

FORBIDDEN: Final = 403
# RFC 7983 §7: a first byte of 0 to 3 is STUN.
LAST_STUN_BYTE: Final = 3
# ICMP destination unreachable: type 3 in IPv4, type 1 in IPv6 (RFC 8445 §7.2.5.2.2: "a hard ICMP error").
HARD_ICMP: Final = frozenset({(3, 0), (3, 1), (3, 2), (3, 3), (1, 0), (1, 3), (1, 4)})


@final
class Agent:
    """Finds and keeps the best path to one other agent.

    Emits: the events of `AgentEvent`, Datagram, SetFlow, DropFlow, Resolve, Close.
    RFC: 8445, 8838, 8863, 7675.
    """

    def __init__(
        self, config: AgentConfig, *, random_bytes: RandomBytes, reserve_slot: ReserveSlot, now: Instant
    ) -> None:
        self._core = Core(config, random_bytes=random_bytes, reserve_slot=reserve_slot)
        self._gatherer = Gatherer(self._core)
        self._outgoing = Outgoing(self._core)
        self._incoming = Incoming(self._core)
        self._consent = Consent(self._core)
        self._conclusion = Conclusion(self._core, self._consent)
        self._remote = RemoteSide(self._core, self._incoming)
        self._scheduler = Scheduler(self._core, self._gatherer, self._outgoing)
        self._arrivals = Arrivals(
            self._core,
            gatherer=self._gatherer,
            outgoing=self._outgoing,
            incoming=self._incoming,
            consent=self._consent,
            conclusion=self._conclusion,
            remote=self._remote,
        )
        self._is_ended = False
        # Time never goes back (law 2): what an earlier call said holds.
        self._now = now
        self._gatherer.set_servers(config.servers, now=now)

    # -- verbs ------------------------------------------------------------------------------------------------

    def add_local_address(self, local: LocalAddress, *, stream: int = 1, component: int = 1, now: Instant) -> None:
        """Adds a bound host socket to gather and send from, or a TCP listener and with it its host (RFC 6544).

        Raises: InvalidArgument when it is TCP and the config has no `tcp`, when it is known already, or for a stream
        or component there is not.
        """
        now = self._begin_verb(now)
        is_tcp = local.transport is Transport.TCP
        if is_tcp and not self._core.config.tcp:
            raise InvalidArgument(f"{local.address} is a TCP listener, and the config says no tcp")
        if (TcpAddress(*local.address) if is_tcp else local.address) in self._core.sockets:
            raise InvalidArgument(f"{local.address} is known already: one socket per address")
        if component not in self._stream(stream).components:
            raise InvalidArgument(f"component {component}: stream {stream} has {len(self._stream(stream).components)}")
        preferences = self._core.preferences
        ordered = preferences.for_listener if is_tcp else preferences.for_address
        preference = ordered(local.address, local.cost, component)
        socket = Socket(local, stream=stream, component=component, preference=preference)
        self._core.sockets[socket.address] = socket
        self._gatherer.add_socket(socket)
        if not self._core.config.relay_only:
            pair_socket(self._core, socket)
        self._finish(now)

    def remove_local_address(self, address: Address, *, transport: Transport = Transport.UDP, now: Instant) -> None:
        """Gives up a host socket or listener, its candidates, pairs and relays; an unknown one changes nothing."""
        now = self._begin_verb(now)
        if transport is Transport.TCP:
            address = TcpAddress(*address)
        socket = self._core.sockets.get(address)
        if socket is not None and socket.relay is None:
            del self._core.sockets[address]
            self._gatherer.remove_socket(address)
            for relay in list(self._core.relays.values()):
                if relay.host is socket:
                    remove_relay(self._core, self._conclusion, relay, now=now)
            remove_base(self._core, self._conclusion, socket)
            close_all(self._core, address)
            self._core.touch()
        self._finish(now)

    def end_of_local_addresses(self, *, now: Instant) -> None:
        """Tells that no further local address is expected now; gathering completes when the servers have answered."""
        now = self._begin_verb(now)
        self._gatherer.end_of_local_addresses()
        self._core.nat64.has_asked = False  # other addresses, perhaps in another network
        self._look_for_translators()
        self._finish(now)

    def set_servers(self, servers: Sequence[Server], *, now: Instant) -> None:
        """Replaces the servers: new ones are asked, known ones get fresh credentials without losing the path.

        Raises: InvalidArgument for a lite agent, which has host candidates only (RFC 8445 §5.2).
        """
        now = self._begin_verb(now)
        if servers and self._core.config.lite:
            raise InvalidArgument("a lite agent has host candidates only: no servers (RFC 8445 §5.2)")
        self._gatherer.set_servers(tuple(servers), now=now)
        self._look_for_translators()
        self._finish(now)

    def set_role(self, role: Role, *, now: Instant) -> None:
        """Takes a role while neither side can have checked yet; later, conflicts are repaired by 487.

        Raises: InvalidState once a remote description is known.
        """
        now = self._begin_verb(now)
        if any(stream.current.started is not None for stream in self._core.streams.values()):
            raise InvalidState("checks have begun: the role is settled between the agents now (RFC 8445 §7.3.1.1)")
        self._core.role = role
        self._finish(now)

    def set_remote_description(self, description: Description, *, stream: int = 1, now: Instant) -> None:
        """Takes the other side's ufrag, password and candidates; checks begin.

        Raises: InvalidState when other credentials are known already: call `restart` first (RFC 8445 §9).
        """
        now = self._begin_verb(now)
        learnt = self._remote.set_description(self._stream(stream), description, now=now)
        for known in learnt:
            self._arrivals.on_learnt(known, now=now)
        self._look_for_translators()
        self._core.touch()
        self._finish(now)

    def add_remote_candidate(self, candidate: Candidate, *, stream: int = 1, now: Instant) -> None:
        """Takes one more candidate of the other side; one that cannot be used is counted and dropped."""
        now = self._begin_verb(now)
        self._remote.add_candidate(self._stream(stream), candidate, now=now)
        self._look_for_translators()
        self._core.touch()
        self._finish(now)

    def end_of_remote_candidates(self, *, stream: int = 1, now: Instant) -> None:
        """Notes that the other side has no further candidate; later ones are ignored (RFC 8838 §14)."""
        now = self._begin_verb(now)
        self._stream(stream).current.remote_ended = True
        self._core.touch()
        self._finish(now)

    def send(self, payload: bytes, *, stream: int = 1, component: int = 1, now: Instant) -> None:
        """Sends a datagram of the application on the best valid pair.

        Raises: InvalidState when there is no pair that may carry data now.
        """
        now = self._clamped(now)
        pair = self._stream(stream).active.get(component)
        if pair is None or not pair.may_send_data(now):
            raise InvalidState(f"stream {stream} component {component} has no path that data may use now")
        self._now = now
        counts = pair.counts
        counts.datagrams_sent += 1
        counts.octets_sent += len(payload)
        counts.last_sent = now
        self._core.transmit(pair.local.base, pair.remote_address, payload, True, now=now)
        if self._core.relays:
            self._finish(now)

    @property
    def flights(self) -> Flights:
        """Returns the verbs for a DTLS handshake that rides on checks (`AgentConfig.sped`)."""
        return Flights(self._core, self._begin_verb, self._finish)

    def restart(self, credentials: IceCredentials, *, stream: int | None = None, now: Instant) -> None:
        """Begins a new ICE session under new credentials, of one stream or all (RFC 8445 §9).

        The pairs in use carry data until the new session has selected its own.
        """
        now = self._begin_verb(now)
        streams = [self._stream(stream)] if stream is not None else list(self._core.streams.values())
        check_fresh(streams, credentials)
        for each in streams:
            self._core.outbox.put(Restarted(each.id))
            restart_stream(self._core, self._consent, self._gatherer, each, credentials, now=now)
        self._core.touch()
        self._finish(now)

    def idle(self, *, now: Instant) -> None:
        """Sends as little as keeps the path in use: consent every 16 s or so, and no other pair is kept ready."""
        now = self._begin_verb(now)
        self._core.is_idle = True
        self._core.touch()
        self._finish(now)

    def wake(self, *, now: Instant) -> None:
        """Ends `idle`: the path in use, and those beside it, are checked at once."""
        now = self._begin_verb(now)
        if self._core.is_idle:
            self._core.is_idle = False
            self._consent.hasten(now=now)
            self._conclusion.selection.wake()
            self._core.touch()
        self._finish(now)

    def close(self, *, now: Instant) -> None:
        """Stops at once, releases relays, and ends within `close_timeout`; `MachineClosed` is the last output."""
        self._now = now = self._clamped(now)
        if self._core.is_closing:
            return
        self._core.is_closing = True
        core = self._core
        core.transactions.clear()
        for stream in core.streams.values():
            for generation in stream.generations():
                for pair in list(generation.checklist.pairs.values()):
                    discard_pair(core, generation, pair)
            stream.active.clear()
        for handle in self._gatherer.cancel_resolutions() + self._remote.cancel_resolutions():
            core.outbox.put(Close(handle))
        core.held_answers = ()
        close_all(core)
        core.timers.clear()
        core.outbox.put(StateChanged(State.CLOSED, Cause.CLOSED))
        self._conclusion.state, self._conclusion.cause = State.CLOSED, Cause.CLOSED
        for relay in list(core.relays.values()):
            relay.allocation.close(now=now)
            core.settle(relay, now=now)
        self._end_if_released()

    def local_description(self, stream: int = 1) -> Description:
        """Returns what the other side needs to know of a stream, as it stands."""
        return local_description(self._core, self._stream(stream), is_done=self._gatherer.is_done)

    def selected_pair(self, stream: int = 1, component: int = 1) -> PairSnapshot | None:
        """Returns the pair that carries the component's data now, or None."""
        pair = self._stream(stream).active.get(component)
        return None if pair is None else pair_snapshot(self._core, pair)

    def snapshot(self) -> AgentSnapshot:
        """Returns everything there is to know, as it stands."""
        return agent_snapshot(
            self._core,
            state=self._conclusion.state,
            cause=self._conclusion.cause,
            is_done=self._gatherer.is_done,
        )

    # -- the machine --------------------------------------------------------------------------------------------

    def next_deadline(self) -> Instant | None:
        """Returns when `handle_timeout` is wanted next, or None."""
        return self._core.timers.next_deadline()

    def take_outputs(self) -> Sequence[Datagram | Bytes | Command | AgentEvent]:
        """Returns what was output since the last call, in causal order."""
        return self._core.outbox.take()

    def receive(self, arrival: Arrival, *, now: Instant) -> None:
        """Takes one thing the world said."""
        if self._is_ended:
            return
        now = self._clamped(now)
        if isinstance(arrival, Datagram):
            self._arrivals.on_datagram(arrival, now=now)
        elif isinstance(arrival, (Bytes, Opened, Failed, Closed)):
            self._arrivals.on_stream(arrival, now=now)
        elif isinstance(arrival, Accepted):
            self._arrivals.on_accepted(arrival, now=now)
        elif isinstance(arrival, Resolved):
            self._arrivals.on_resolution(arrival, now=now)
        elif isinstance(arrival, Unreachable):
            self._arrivals.on_unreachable(arrival, now=now)
        else:
            counts = self._core.counts_of_flow(arrival.key)
            counts.datagrams_received += arrival.packets
            counts.octets_received += arrival.octets
            counts.last_received = None
        self._finish(now)

    def handle_timeout(self, *, now: Instant) -> None:
        """Does all work due by `now`."""
        if self._is_ended:
            return
        now = self._clamped(now)
        while (key := self._core.timers.pop_due(now)) is not None:
            self._on_timer(key, now=now)
        self._finish(now)

    # -- timers ---------------------------------------------------------------------------------------------------

    def _on_timer(self, key: TimerKey, *, now: Instant) -> None:
        match key.kind:
            case TimerKind.TRANSACTIONS:
                self._on_transactions_due(now)
            case TimerKind.SLOT:
                self._scheduler.use_slot(now=now)
            case TimerKind.ALLOCATION:
                relay = self._core.relays[key.id]
                relay.allocation.handle_timeout(now=now)
                self._core.settle(relay, now=now)
                self._core.may_check = True
            case TimerKind.CONNECTION:
                self._arrivals.on_connection_due(Handle(key.id), now=now)
            case TimerKind.CONSENT | TimerKind.EXPIRY:
                self._on_consent_due(key, now=now)
            case TimerKind.PROBE:
                self._on_answer_missed(key, now=now)
            case TimerKind.EMBEDDED:
                self._incoming.release(now=now)
            case TimerKind.RECHECK:
                self._conclusion.recheck(self._stream(key.id))
                self._core.touch()
            case TimerKind.KEEPALIVE:
                streams = self._core.streams.values()
                is_concluded = all(stream.is_selected or stream.current.failure is not None for stream in streams)
                self._gatherer.keep_alive(is_concluded=is_concluded, now=now)
            case _:  # PATIENCE, NOMINATION, LIVENESS: time to look again
                self._core.touch()

    def _on_transactions_due(self, now: Instant) -> None:
        core = self._core
        for due in core.transactions.due(now):
            transaction = due.transaction
            purpose = transaction.context
            if isinstance(due, Retransmission):
                if isinstance(purpose, Check):
                    purpose.pair.counts.retransmissions_sent += 1
                core.transmit(transaction.local, transaction.remote, transaction.payload, now=now)
            elif isinstance(purpose, Check):
                self._on_check_timeout(purpose, due)
            elif isinstance(purpose, ServerQuery):
                self._gatherer.on_timeout(purpose)
                self._core.touch()

    def _on_check_timeout(self, check: Check, due: TimedOut[Purpose]) -> None:
        check.pair.was_refused = due.integrity_violated
        self._outgoing.fail(check)
        self._core.touch()

    def _on_consent_due(self, key: TimerKey, *, now: Instant) -> None:
        pair = self._consent.watched(key.id)
        assert pair is not None  # its deadlines go when it is unwatched,
        generation = self._core.generation_of(pair)
        assert generation is not None  # and it is unwatched before it is discarded
        if key.kind is TimerKind.EXPIRY:
            if generation.nominated.get(pair.component) is pair and self._consent.extend(generation, pair, now=now):
                self._core.touch()
            else:
                self._arrivals.lose(pair)
        else:
            self._consent.check(generation, pair, now=now)

    def _on_answer_missed(self, key: TimerKey, *, now: Instant) -> None:
        pair = self._consent.watched(key.id)
        assert pair is not None  # its deadlines go when it is unwatched
        self._consent.failover.on_missed(pair, self._consent.warm_pairs(pair), now=now)

    # -- what follows ---------------------------------------------------------------------------------------------

    def _look_for_translators(self) -> None:
        """Asks for the prefix of a network that translates, where IPv4 is to be reached and IPv6 is all there is."""
        if lacks_ipv4(self._core) and (self._gatherer.wants_ipv4 or self._remote.wants_ipv4):
            ask_for_prefixes(self._core)

    def _finish(self, now: Instant) -> None:
        """Does what follows from an input, in one order, until nothing more does: law 2 leaves no rest for later."""
        self._now = now
        while self._follow_up(now):
            pass
        self._core.arm_transactions()

    def _follow_up(self, now: Instant) -> bool:
        """Takes relays' reports, then settles nomination and states, then uses slots; False when all is settled."""
        if self._core.is_closing:
            self._core.relay_events.clear()
            self._end_if_released()
            return False
        core, gatherer = self._core, self._gatherer
        if core.relays or core.relay_events:
            self._take_relay_events(now)
        if not gatherer.is_done and gatherer.report_if_done():
            self._conclusion.is_gathered = True
            core.touch()
        if core.has_changed:
            core.has_changed = False
            self._conclusion.asked_server = gatherer.asked_any
            self._conclusion.nominate(now=now)
            self._conclusion.update(now=now)
            if core.relays:
                return True  # what relays say to that comes before the next slot
        if core.embeddings:
            core.send_unsent(now=now)
        if not core.held_answers:  # the next check may carry what the application answers as well
            self._scheduler.want_slot(now=now)
        if core.unpermitted:
            # Behind the check that goes first: at a slow Ta a permission in its slot would cost the check a whole Ta.
            permit_remotes(core, now=now)
            if core.relays:
                core.may_check = True
                return True
        has_news = bool(core.relay_events) or (bool(core.relays) and gatherer.can_announce)
        return has_news or (not gatherer.is_done and gatherer.is_reportable)

    def _take_relay_events(self, now: Instant) -> None:
        events = self._core.relay_events
        while events:
            relay, event = events.pop(0)
            if isinstance(event, PeerDataReceived):
                # An allocation gives nothing before a permission was sent, and nothing once it is closed.
                socket = self._core.sockets[event.relayed]
                self._arrivals.on_payload(socket, event.peer, event.payload, now=now)
                continue
            if isinstance(event, ChannelBound):
                self._refresh_flow(relay, event.peer, now=now)
                continue
            self._gatherer.on_relay_event(relay, event, now=now)
            if relay.is_over:
                remove_relay(self._core, self._conclusion, relay, now=now)
            self._core.touch()
        for socket in self._gatherer.announce_relays():
            self._conclusion.heard_server = True
            pair_socket(self._core, socket)
            self._core.touch()

    def _refresh_flow(self, relay: Relay, peer: Address, *, now: Instant) -> None:
        for address in relay.relayed:
            pair = self._core.streams[relay.host.stream].pair_at(address, peer)
            if pair is not None and pair.may_send_data(now):
                self._consent.permit_flow(pair)

    def _end_if_released(self) -> None:
        core = self._core
        if not core.relays and not self._is_ended:
            self._is_ended = True
            core.timers.clear()
            core.outbox.put(MachineClosed())

    # -- small questions --------------------------------------------------------------------------------------------

    def _stream(self, stream: int) -> Stream:
        found = self._core.streams.get(stream)
        if found is None:
            raise InvalidArgument(f"stream {stream}: there are 1 to {len(self._core.streams)}")
        return found

    def _begin_verb(self, now: Instant) -> Instant:
        if self._core.is_closing:
            raise InvalidState("the agent is closed")
        return self._clamped(now)

    def _clamped(self, now: Instant) -> Instant:
        """Returns the given time, or the latest so far if that is later; a call that raises leaves no trace."""
        return now if now > self._now else self._now
