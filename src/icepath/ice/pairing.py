"""Forming pairs: every base with every remote candidate that fits, as either becomes known.

A reflexive candidate sends from its base, so only bases (host and relayed sockets) are paired; that is
RFC 8445 §6.1.2.4's pruning done beforehand. RFC 8445 §6.1.2.2; RFC 8838 §10 and §11 for those that come later.
"""

from __future__ import annotations

from icepath.ice.candidate import ACTIVE_PORT, LocalCandidate, is_learnt
from icepath.ice.core import Core, Socket
from icepath.ice.pair import CandidatePair, PairKey, PairState, may_pair
from icepath.ice.stream import Generation, Stream
from icepath.ice.tcp import can_check, release
from icepath.machine import DropFlow, FlowKey, SocketUse
from icepath.net import Address, Instant, TcpAddress
from icepath.wire.candidate_line import Candidate


def base_candidate(generation: Generation, socket: Socket) -> LocalCandidate | None:
    """Returns the candidate whose base the socket is; None for a host socket that is not announced (relay-only)."""
    return generation.local_at(socket.address, socket.component)


def active_candidate(generation: Generation, socket: Socket) -> LocalCandidate | None:
    """Returns the active candidate of a listener's host: whom its connections are opened for (RFC 6544 §4.1)."""
    return generation.local_at(TcpAddress(socket.address.host, ACTIVE_PORT), socket.component)


def is_passive(core: Core, generation: Generation) -> bool:
    """Says whether this agent is lite and waits for the checks of a full one: it forms no pairs of its own."""
    return core.config.lite and not (generation.remote is not None and generation.remote.is_lite)


def pair_socket(core: Core, socket: Socket) -> None:
    """Pairs a new base with the remote candidates told so far; learnt ones have their pair (RFC 8445 §7.3.1.3)."""
    generation = core.streams[socket.stream].current
    if generation.remote is None or is_passive(core, generation):
        return
    for (address, component), candidate in list(generation.remote_candidates.items()):
        if component == socket.component and not is_learnt(candidate):
            _form(core, generation, socket, candidate, address)


def pair_remote(core: Core, stream: Stream, candidate: Candidate, address: Address) -> None:
    """Pairs a new remote candidate with the bases known so far."""
    if is_passive(core, stream.current):
        return
    for socket in list(core.sockets.values()):
        if socket.stream == stream.id:
            _form(core, stream.current, socket, candidate, address)


def permit_remotes(core: Core, *, now: Instant) -> None:
    """Lets relays receive from the remote hosts that have become known (RFC 8445 §7.2.1), in one request each."""
    unpermitted, core.unpermitted = core.unpermitted, []
    for relay in list(core.relays.values()):
        hosts = [host for stream, host in unpermitted if stream == relay.host.stream]
        if hosts:
            relay.allocation.permit(hosts, now=now)
            core.settle(relay, now=now)


def _form(core: Core, generation: Generation, socket: Socket, candidate: Candidate, address: Address) -> None:
    local = active_candidate(generation, socket) if socket.is_tcp else base_candidate(generation, socket)
    if local is None or not may_pair(local, candidate, address, is_shared=socket.use is SocketUse.SHARED):
        return
    if socket.relay is not None and candidate.host != address.host:
        # draft-ietf-mmusic-mdns-ice-candidates §3.3.2: the server would learn the address behind the name. And what
        # translators make of an address is good in our network only.
        return
    if socket.component in generation.concluded and generation.renomination is None:
        return  # RFC 8445 §8.1.2: a concluded component has no other pairs
    if PairKey(local.base, address) not in generation.checklist.pairs:
        make_pair(core, generation, socket.stream, local, candidate, address)


def make_pair(
    core: Core,
    generation: Generation,
    stream: int,
    local: LocalCandidate,
    remote: Candidate,
    address: Address,
) -> CandidatePair | None:
    """Puts a new pair on the checklist; None when the set is full of better ones, or consent was lost there."""
    if PairKey(local.base, address) in generation.lost:
        return None
    pair = CandidatePair(
        core.next_id(),
        local,
        remote,
        address,
        stream=stream,
        generation=generation.number,
        is_controlling=core.is_controlling,
    )
    removed = core.checklists.insert(pair)
    if removed is not None and removed.transaction_id is not None:
        core.transactions.stop_retransmitting(removed.transaction_id)
    if removed is not None and removed.is_tcp:
        release(core, removed)
    return None if removed is pair else pair


def discard_pair(core: Core, generation: Generation, pair: CandidatePair) -> None:
    """Takes a pair off its checklist for good and stops what it had under way."""
    generation.checklist.remove(pair)
    if pair.transaction_id is not None:
        core.transactions.stop_retransmitting(pair.transaction_id)
        pair.transaction_id = None
    pair.state = PairState.FAILED
    drop_flow(core, pair)
    pair.valid = None
    pair.counts.hand_over(core.counts_besides(pair.stream, pair.component))
    if pair.is_tcp:
        release(core, pair)


def drop_flow(core: Core, pair: CandidatePair) -> None:
    """Takes back the permission to deliver a pair's datagrams past the machine, if there is one."""
    flow, pair.flow = pair.flow, None
    if flow is None:
        return
    other = core.streams[pair.stream].pair_at(pair.local.base, pair.remote_address)
    if other is None or other.flow != flow:  # after a restart, the new session's pair may have the same one
        core.outbox.put(DropFlow(flow))


def flow_key(core: Core, pair: CandidatePair) -> FlowKey | None:
    """Returns the key of the datagrams that this pair receives; None without a socket or, on a relay, a channel."""
    socket = core.sockets.get(pair.local.base)
    if socket is None:
        return None
    relay = socket.relay
    if relay is None:
        return None if pair.is_tcp else FlowKey(pair.local.base, pair.remote_address)
    if not relay.allocation.route.is_datagram:
        return None  # what comes by a byte stream is cut into messages first
    channel = relay.allocation.channel_of(pair.remote_address)
    return None if channel is None else FlowKey(relay.host.address, relay.server, channel)


def can_send(core: Core, pair: CandidatePair) -> bool:
    """Says whether a check can be sent: through a relay only with its permission (RFC 8445 §7.2.1)."""
    socket = core.sockets.get(pair.local.base)
    if socket is None:
        return False
    if pair.is_tcp:
        return can_check(core, pair)
    return socket.relay is None or socket.relay.allocation.is_permitted(pair.remote_address.host)
