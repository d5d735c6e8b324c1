"""What arrives: each datagram, answer and error goes to the part it is for, and what that part found is passed on.

A datagram is a TURN server's (to its allocation), a STUN answer (to whatever asked), a check (answered at
once), or data. No part calls another; this one passes results on, and notes in the core what changed. What
follows from it (nomination, states, the next slot) is the agent's, after every input.

RFC 8445 §7.2.5, §7.3, §11, §12.2; RFC 7675 §5.
"""

from __future__ import annotations

from typing import Final, final

from icepath.errors import Cause, DecodeError
from icepath.ice import tcp
from icepath.ice.conclusion import Conclusion
from icepath.ice.connection import Connection
from icepath.ice.consent import Consent
from icepath.ice.core import Check, Core, Purpose, ServerQuery, Socket
from icepath.ice.events import DataReceived, State
from icepath.ice.gathering import Gatherer
from icepath.ice.incoming import Incoming, Learnt
from icepath.ice.lite import trust
from icepath.ice.outgoing import Judgement, Outgoing, Verdict
from icepath.ice.pair import CandidatePair, PairKey, PairState
from icepath.ice.pairing import discard_pair
from icepath.ice.remote import RemoteSide
from icepath.machine import (
    Accepted,
    Bytes,
    Closed,
    Datagram,
    DropReason,
    Failed,
    Handle,
    Opened,
    Resolved,
    SocketUse,
    Unreachable,
)
from icepath.net import Address, Instant
from icepath.stun.transaction import Match, drop_reason
from icepath.wire.attributes import ErrorCode
from icepath.wire.message import Message, MessageClass, Method, TransactionId, decode_message, looks_like_stun

FORBIDDEN: Final = 403
# RFC 7983 §7: a first byte of 0 to 3 is STUN.
LAST_STUN_BYTE: Final = 3
# ICMP destination unreachable: type 3 in IPv4, type 1 in IPv6 (RFC 8445 §7.2.5.2.2: "a hard ICMP error").
HARD_ICMP: Final = frozenset({(3, 0), (3, 1), (3, 2), (3, 3), (1, 0), (1, 3), (1, 4)})

_BINDING: Final = Method.BINDING
_REQUEST: Final = MessageClass.REQUEST
_INDICATION: Final = MessageClass.INDICATION
_SUCCESS: Final = MessageClass.SUCCESS


@final
class Arrivals:
    """Judges what arrives and tells the parts it concerns."""

    __slots__ = ("_conclusion", "_consent", "_core", "_gatherer", "_incoming", "_outgoing", "_remote")

    def __init__(
        self,
        core: Core,
        *,
        gatherer: Gatherer,
        outgoing: Outgoing,
        incoming: Incoming,
        consent: Consent,
        conclusion: Conclusion,
        remote: RemoteSide,
    ) -> None:
        self._core = core
        self._gatherer = gatherer
        self._outgoing = outgoing
        self._incoming = incoming
        self._consent = consent
        self._conclusion = conclusion
        self._remote = remote

    # -- datagrams ------------------------------------------------------------------------------------------------

    def on_datagram(self, datagram: Datagram, *, now: Instant) -> None:
        """Takes what arrived on a host socket; only relays, which take time to release, hear it while closing."""
        relay = self._core.relays_by_path.get((datagram.local, datagram.remote))
        if relay is not None and not self._is_own_answer(datagram.payload):
            relay.allocation.receive(datagram, now=now)
            self._core.settle(relay, now=now)
            self._core.may_check = True
            return
        if self._core.is_closing:
            return
        socket = self._core.sockets.get(datagram.local)
        if socket is None or socket.relay is not None:
            self._core.outbox.drop(DropReason.UNKNOWN_LOCAL_ADDRESS, remote=datagram.remote, now=now)
            return
        self.on_payload(socket, datagram.remote, datagram.payload, now=now)

    def _is_own_answer(self, payload: bytes) -> bool:
        """Says whether it answers a query of ours, where one address is STUN and TURN server both."""
        return looks_like_stun(payload) and self._core.transactions.get(TransactionId(payload[8:20])) is not None

    def on_payload(self, socket: Socket, remote: Address, payload: bytes, *, now: Instant) -> None:
        """Takes what arrived on a host socket or on a relayed address."""
        if not payload or payload[0] > LAST_STUN_BYTE or not looks_like_stun(payload):
            self._on_data(socket, remote, payload, now=now)
            return
        try:
            message = decode_message(payload)
        except DecodeError as failure:
            self._core.outbox.drop(drop_reason(failure), remote=remote, now=now)
            return
        if message.method != _BINDING:
            self._core.outbox.drop(DropReason.UNEXPECTED_MESSAGE, remote=remote, now=now)
        elif message.message_class is _REQUEST:
            self._on_request(socket, remote, message, now=now)
        elif message.message_class is not _INDICATION:  # RFC 8445 §11: keepalives want nothing
            self._on_response(socket, remote, message, now=now)

    def _on_data(self, socket: Socket, remote: Address, payload: bytes, *, now: Instant) -> None:
        """Delivers data of an address that has proved itself (RFC 8445 §12.2), before nomination too."""
        stream = self._core.streams[socket.stream]
        pair = stream.pair_at(socket.address, remote)
        if (pair is None or not pair.is_known_remote()) and not stream.has_proven(socket.address, remote):
            self._core.outbox.drop(DropReason.UNVALIDATED, remote=remote, now=now)
            return
        counts = self._core.counts_besides(stream.id, socket.component) if pair is None else pair.counts
        counts.datagrams_received += 1
        counts.octets_received += len(payload)
        counts.last_received = now
        self._core.outbox.put(DataReceived(stream.id, socket.component, payload))

    def _on_request(self, socket: Socket, remote: Address, message: Message, *, now: Instant) -> None:
        if (self._core.config.relay_only and socket.relay is None) or socket.use is SocketUse.RELAYS:
            # Relay-only tells nobody where we are, not even by an answer.
            self._core.outbox.drop(DropReason.UNKNOWN_LOCAL_ADDRESS, remote=remote, now=now)
            return
        role = self._core.role
        learnt = self._incoming.on_request(socket, remote, message, now=now)
        if learnt is not None:
            self.on_learnt(learnt, now=now)
        if self._core.role is not role:
            self._core.touch()

    def on_learnt(self, learnt: Learnt, *, now: Instant) -> None:
        """Takes in what a check of the other side told."""
        pair = learnt.pair
        if self._core.config.lite:
            trust(self._consent, pair, now=now)
        if learnt.is_nominated:
            stream = self._core.streams[pair.stream]
            generation = self._core.generation_of(pair)
            assert generation is not None  # the check has just found or made the pair there
            self._conclusion.on_nominated(stream, generation, pair, now=now)
        used = self._core.streams[pair.stream].active.get(pair.component)
        if used is not None and self._consent.is_warm(pair):
            self._consent.failover.on_request(pair, used, now=now)
        if pair.state is not PairState.SUCCEEDED or learnt.is_nominated or self._conclusion.state is State.DISCONNECTED:
            self._core.touch()

    def _on_response(self, socket: Socket, remote: Address, message: Message, *, now: Instant) -> None:
        core = self._core
        match = core.transactions.match(message, local=socket.address, remote=remote, now=now)
        if isinstance(match, DropReason):
            core.outbox.drop(match, remote=remote, now=now)
            transaction = core.transactions.get(message.transaction_id)
            if match is DropReason.WRONG_ADDRESS and transaction is not None and isinstance(transaction.context, Check):
                # RFC 8445 §7.2.5.2.1: an answer along another path fails the pair.
                core.transactions.cancel(transaction.transaction_id)
                self._on_judgement(self._outgoing.fail(transaction.context), now=now)
            return
        purpose = match.transaction.context
        if core.embeddings and not isinstance(purpose, ServerQuery) and message.message_class is _SUCCESS:
            self._take_embedded(purpose.pair, match)
        if isinstance(purpose, Check):
            self._on_check_answer(purpose, match, now=now)
        elif isinstance(purpose, ServerQuery):
            self._conclusion.heard_server = True
            self._gatherer.on_answer(purpose, match.message, now=now)
            self._core.touch()
        else:
            self._on_consent_answer(purpose.pair, match, now=now)

    def _take_embedded(self, pair: CandidatePair, match: Match[Purpose]) -> None:
        """Takes what an answer carried; that it came at all acknowledges what the check carried."""
        self._core.take_embedded(pair.stream, pair.component, match.message)
        request = decode_message(match.transaction.payload)
        self._core.embeddings[pair.stream, pair.component].take_answered(request)

    def _on_check_answer(self, check: Check, match: Match[Purpose], *, now: Instant) -> None:
        generation = self._core.generation_of(check.pair)
        if generation is not None:
            self._on_judgement(self._outgoing.on_response(generation, check, match, now=now), now=now)

    def _on_judgement(self, judgement: Judgement, *, now: Instant) -> None:
        pair = judgement.pair
        stream = self._core.streams[pair.stream]
        generation = self._core.generation_of(pair)
        if judgement.verdict is Verdict.IGNORED or generation is None:
            return
        self._core.touch()
        if judgement.verdict is not Verdict.SUCCEEDED:
            return
        self._consent.grant(pair, now=now)
        if judgement.is_newly_valid:
            self._conclusion.on_valid(pair)
        if judgement.is_nominated:
            self._conclusion.on_nominated(stream, generation, pair, now=now)

    def _on_consent_answer(self, pair: CandidatePair, match: Match[Purpose], *, now: Instant) -> None:
        message = match.message
        if message.message_class is MessageClass.SUCCESS:
            # Too late otherwise, though its deadline has not been seen to yet.
            if pair.may_send_data(now) or self._consent.is_late(pair):
                pair.counts.responses_received += 1
                assert match.rtt is not None  # a consent check is sent once
                pair.rtt = match.rtt
                pair.counts.rtt_total += match.rtt
                self._consent.grant(pair, now=now)
        else:
            error = message.get(ErrorCode)
            if error is not None and error.code == FORBIDDEN:  # RFC 7675 §5.2: revoked at once
                self.lose(pair)
        if self._conclusion.state is State.DISCONNECTED or pair.valid is None or self._consent.is_warm(pair):
            self._core.touch()

    def lose(self, pair: CandidatePair) -> None:
        """Takes a pair out of use whose consent has ended."""
        generation = self._core.generation_of(pair)
        assert generation is not None  # consent is asked for on pairs of a checklist only
        self._conclusion.on_lost(self._core.streams[pair.stream], generation, pair)
        self._core.touch()

    # -- TCP connections -------------------------------------------------------------------------------------------

    def on_accepted(self, arrival: Accepted, *, now: Instant) -> None:
        """Takes a connection that one of our listeners accepted."""
        tcp.accept(self._core, arrival, now=now)

    def _on_connection(
        self, connection: Connection, arrival: Bytes | Opened | Failed | Closed, *, now: Instant
    ) -> None:
        if isinstance(arrival, Bytes):
            self._on_bytes(connection, arrival.payload, now=now)
        elif isinstance(arrival, Opened):
            if not connection.is_open:
                tcp.on_opened(self._core, connection)
                self._check_at_last(connection, now=now)
        else:
            tcp.forget(self._core, connection)
            self._on_connection_over(connection)

    def _check_at_last(self, connection: Connection, *, now: Instant) -> None:
        """Sends the check that a connection was opened for (RFC 6544 §7.1)."""
        stream = self._core.streams[self._core.sockets[connection.local].stream]
        for generation in stream.generations():
            pair = generation.checklist.pairs.get(PairKey(connection.local, connection.remote))
            if pair is not None and pair.state is PairState.IN_PROGRESS:
                self._outgoing.send(generation, pair, now=now)
        self._core.touch()

    def _on_bytes(self, connection: Connection, data: bytes, *, now: Instant) -> None:
        core = self._core
        payloads = connection.cut(data) if connection.is_open else None
        if payloads is None:
            # RFC 6544 §7.1: "apparently was not one of the peer's addresses, and the agent SHOULD close".
            core.outbox.drop(DropReason.NOT_STUN, remote=connection.remote, now=now)
            self._give_up(connection)
            return
        socket = core.sockets[connection.local]
        for payload in payloads:
            self.on_payload(socket, connection.remote, payload, now=now)
            if core.connections_by_handle.get(connection.handle) is not connection:
                return  # what came closed it
        if not connection.is_proven:
            tcp.note_proof(core, socket, connection)

    def on_connection_due(self, handle: Handle, *, now: Instant) -> None:
        """Takes that a connection was not opened, or brought no check, in time."""
        connection = self._core.connections_by_handle[handle]
        if connection.is_accepted and tcp.is_early(self._core, connection):
            tcp.wait_on(self._core, connection, now=now)
        else:
            self._give_up(connection)

    def _give_up(self, connection: Connection) -> None:
        tcp.close(self._core, connection, abort=True)
        self._on_connection_over(connection)

    def _on_connection_over(self, connection: Connection) -> None:
        """Takes a connection's end for its pairs: a check has failed (RFC 6544 §7.1), or the path is gone."""
        core = self._core
        stream = core.streams[core.sockets[connection.local].stream]
        for generation in stream.generations():
            key = PairKey(connection.local, connection.remote)
            generation.early_checks = [check for check in generation.early_checks if (check.local, check.remote) != key]
            pair = generation.checklist.pairs.get(key)
            if pair is None:
                continue
            if pair.valid is not None:
                self._conclusion.on_lost(stream, generation, pair, Cause.CONNECTION_CLOSED)
            elif connection.is_accepted:
                discard_pair(core, generation, pair)  # the other side's port was for this connection only
            else:
                if pair.transaction_id is not None:
                    core.transactions.cancel(pair.transaction_id)
                    pair.transaction_id = None
                pair.state = PairState.FAILED
        core.touch()

    def on_resolution(self, answer: Resolved | Failed, *, now: Instant) -> None:
        """Takes the addresses of a server's or a candidate's name."""
        if self._core.is_closing:
            return
        is_of_translators = answer.handle == self._core.nat64.query
        if not self._gatherer.on_resolution(answer) and not self._remote.on_resolution(answer, now=now):
            self._core.outbox.drop(DropReason.UNKNOWN_HANDLE, now=now)
            return
        if is_of_translators:
            self._remote.translate(now=now)
        self._core.touch()

    def on_stream(self, arrival: Bytes | Opened | Failed | Closed, *, now: Instant) -> None:
        """Takes what a byte stream or association says: it is a relay's, a TCP candidate's, or nobody's."""
        relay = self._core.relays_by_handle.get(arrival.handle)
        if relay is None:
            connection = self._core.connections_by_handle.get(arrival.handle)
            if connection is not None:
                self._on_connection(connection, arrival, now=now)
            elif isinstance(arrival, Failed):
                self.on_resolution(arrival, now=now)
            elif not self._core.is_closing:
                self._core.outbox.drop(DropReason.UNKNOWN_HANDLE, now=now)
            return
        if isinstance(arrival, (Failed, Closed)):
            del self._core.relays_by_handle[arrival.handle]
        relay.allocation.receive(arrival, now=now)
        self._core.settle(relay, now=now)
        self._core.may_check = True

    def on_unreachable(self, arrival: Unreachable, *, now: Instant) -> None:
        """Takes an ICMP error: a hard one ends what waits for an answer from there (RFC 8445 §7.2.5.2.2)."""
        relay = self._core.relays_by_path.get((arrival.local, arrival.remote))
        if relay is not None:
            relay.allocation.receive(arrival, now=now)
            self._core.settle(relay, now=now)
        if (arrival.icmp_type, arrival.icmp_code) not in HARD_ICMP:
            return
        self._alarm(arrival.local, arrival.remote, now=now)
        for transaction in self._core.transactions:
            if (transaction.local, transaction.remote) != (arrival.local, arrival.remote):
                continue
            purpose = transaction.context
            if isinstance(purpose, ServerQuery):
                self._core.transactions.cancel(transaction.transaction_id)
                self._gatherer.on_unreachable(purpose)
            elif isinstance(purpose, Check) and purpose.pair.valid is None:
                self._core.transactions.cancel(transaction.transaction_id)
                self._on_judgement(self._outgoing.fail(purpose), now=now)
        self._core.touch()

    def _alarm(self, local: Address, remote: Address, *, now: Instant) -> None:
        """Takes a hard ICMP error on a pair in use for a missing answer, where another pair may take over."""
        for stream in self._core.streams.values():
            for pair in stream.active.values():
                generation = self._core.generation_of(pair)
                is_hit = pair.key == (local, remote) and self._consent.failover.alarmed_at(pair) is None
                if is_hit and generation is not None and generation.renomination is not None:
                    self._consent.failover.on_missed(pair, self._consent.warm_pairs(pair), now=now)
