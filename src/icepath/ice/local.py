"""Our own candidates: made and announced when an address is known, each once.

Which addresses there are, and when, is `gathering.py`'s; what an address becomes as a candidate is here:
foundation, priority, related address, what relay-only hides, and what is redundant. RFC 8445 §5.1.1 to §5.1.3.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, final

from icepath.ice.candidate import ACTIVE_PORT, LocalCandidate, candidate_priority, tcp_priority
from icepath.ice.config import AgentConfig
from icepath.ice.core import Core, Relay, Socket
from icepath.ice.events import AddressHidden, CandidateGathered
from icepath.ice.nat64 import CONTINUITY_HOSTS
from icepath.ice.rewriting import RewriteMode, find_rule
from icepath.ice.stream import Generation
from icepath.machine import LocalAddress, Transport
from icepath.mdns.names import local_name
from icepath.net import Address, TcpAddress, same_family
from icepath.wire.candidate_line import Candidate, CandidateType, TcpType

# RFC 8839 §9.1, draft-ietf-mmusic-mdns-ice-candidates §3.1.2.2: what a hidden related address has for a port.
DISCARD_PORT: Final = 9
# No component has it: the place of what is told beside the named candidate of the same address.
BESIDES: Final = 0


@final
class LocalSide:
    """Makes an agent's own candidates and announces them."""

    __slots__ = ("_core", "_names")

    def __init__(self, core: Core) -> None:
        self._core = core
        # Draft §3.1.1: each address has one name of its own, for as long as the agent lives.
        self._names: dict[str, str] = {}

    def add_listener(self, socket: Socket) -> None:
        """Adds the passive candidate of a TCP listener, and its host's active one (RFC 6544 §4.1)."""
        active = TcpAddress(socket.address.host, ACTIVE_PORT)
        rule = find_rule(self._core.config.rewrite, socket.address.host)
        generation = self._core.streams[socket.stream].current
        for tcp_type, address in ((TcpType.ACTIVE, active), (TcpType.PASSIVE, socket.address)):
            if generation.local_at(address, socket.component) is None:
                candidate = self._make_tcp(socket, tcp_type, address)
                if rule is not None and rule.mode == RewriteMode.REPLACE:
                    candidate = replace(candidate, host=rule.external)
                elif self._core.config.hide_host_addresses and self._core.config.tell_hosts:
                    candidate = replace(candidate, host=self._name_of(address.host))
                self._announce(socket, LocalCandidate(candidate, socket.address))

    def _make_tcp(self, socket: Socket, tcp_type: TcpType, address: Address) -> Candidate:
        kind = CandidateType.HOST
        return Candidate(
            foundation=self._core.foundations.of(kind, address.host, "", Transport.TCP),
            component=socket.component,
            transport=Transport.TCP,
            priority=tcp_priority(kind, tcp_type, socket.preference, socket.component),
            host=address.host,
            port=address.port,
            type=kind,
            tcp_type=tcp_type,
            ufrag=self._core.streams[socket.stream].current.credentials.ufrag,
        )

    def add_host(self, socket: Socket) -> None:
        """Adds the candidate of a host socket."""
        config = self._core.config
        candidate = self._make(socket, CandidateType.HOST, socket.address, socket.preference, None, None)
        if config.relay_only:
            return
        rule = find_rule(config.rewrite, socket.address.host)
        if rule is not None and rule.mode == RewriteMode.REPLACE:
            candidate = replace(candidate, host=rule.external)
            if self._is_told(socket, candidate.address):
                return  # two hosts behind one external address, with the same port: only one of them is reached
        elif config.hide_host_addresses and config.tell_hosts:
            candidate = replace(candidate, host=self._name_of(socket.address.host))
        self._announce(socket, LocalCandidate(candidate, socket.address))
        if rule is not None and rule.mode == RewriteMode.ADD:
            external = Address(rule.external, socket.address.port)
            self.add_reflexive(socket, external, external, None)

    def _is_told(self, socket: Socket, address: Address) -> bool:
        """Says whether a host of ours was told with this external address."""
        if not self._core.config.rewrite:
            return False
        generation = self._core.streams[socket.stream].current
        return any(
            local.candidate.component == socket.component and local.is_rewritten and local.is_at(address)
            for local in generation.candidates.values()
        )

    def _name_of(self, host: str) -> str:
        """Returns the name that hides an address."""
        name = self._names.get(host)
        if name is None:
            name = self._names[host] = local_name(self._core.random_bytes)
            self._core.outbox.put(AddressHidden(name, host))
        return name

    def add_reflexive(self, socket: Socket, mapped: Address, server: Address, url: str | None) -> None:
        """Adds the address that a server saw a host socket under, unless it is redundant (RFC 8445 §5.1.3)."""
        is_translated = bool(self._core.nat64.prefixes) and not mapped.is_ipv6
        if self._core.config.relay_only or not (same_family(mapped, socket.address) or is_translated):
            return
        generation = self._core.streams[socket.stream].current
        known = generation.local_at(mapped, socket.component)
        config = self._core.config
        if known is not None and not known.candidate.is_name and is_told(config, known):
            return  # RFC 8445 §5.1.3: same address and base, or a host candidate's: redundant
        if generation.local_at(mapped, BESIDES) is not None or self._is_told(socket, mapped):
            return
        kind = CandidateType.SERVER_REFLEXIVE
        preference = self._core.preferences.unique(kind, socket.preference, socket.component)
        related = socket.address
        if config.hide_host_addresses or not config.tell_hosts:
            related = Address(_unspecified(related).host, DISCARD_PORT)
        candidate = self._make(socket, kind, mapped, preference, related, server, url=url)
        # Draft §3.1.2.2: beside a name, the same address is not redundant, nor beside what is not told at all. The
        # host's is what checks are sent from.
        place = socket.component if known is None else BESIDES
        generation.candidates[mapped, place] = LocalCandidate(candidate, socket.address)
        self._core.outbox.put(CandidateGathered(socket.stream, candidate))

    def add_relayed(self, relay: Relay, mapped: Address | None, url: str) -> list[Socket]:
        """Adds the relayed addresses of an allocation; returns the sockets to send from."""
        host = relay.host
        sockets: list[Socket] = []
        for address in relay.relayed:
            if address in self._core.sockets:
                continue
            preference = self._core.preferences.unique(CandidateType.RELAYED, host.preference, host.component)
            local = LocalAddress(address, host.interface, cost=host.cost)
            socket = Socket(local, stream=host.stream, component=host.component, preference=preference, relay=relay)
            self._core.sockets[address] = socket
            # RFC 8839 §5.1 lets the related address be hidden; relay-only must not tell where we are.
            related = _unspecified(address) if self._core.config.relay_only or mapped is None else mapped
            kind = CandidateType.RELAYED
            candidate = self._make(socket, kind, address, preference, related, relay.server, url=url)
            self._announce(socket, LocalCandidate(candidate, address))
            sockets.append(socket)
        return sockets

    def _make(
        self,
        socket: Socket,
        kind: CandidateType,
        address: Address,
        preference: int,
        related: Address | None,
        server: Address | None,
        *,
        url: str | None = None,
    ) -> Candidate:
        core = self._core
        server_host = "" if server is None else server.host
        return Candidate(
            foundation=core.foundations.of(kind, socket.address.host, server_host, Transport.UDP),
            component=socket.component,
            transport=Transport.UDP,
            priority=candidate_priority(kind, preference, socket.component),
            host=address.host,
            port=address.port,
            type=kind,
            related_address=related,
            ufrag=core.streams[socket.stream].current.credentials.ufrag,
            url=url,
        )

    def _announce(self, socket: Socket, local: LocalCandidate) -> None:
        generation = self._core.streams[socket.stream].current
        generation.candidates[local.address, socket.component] = local
        if is_told(self._core.config, local):
            self._core.outbox.put(CandidateGathered(socket.stream, local.candidate))

    def announce_again(self, stream: int, old: Generation) -> None:
        """Announces the candidates of an old generation under the new one's ufrag (RFC 8445 §9)."""
        generation = self._core.streams[stream].current
        for (address, component), local in old.candidates.items():
            if local.candidate.type is CandidateType.PEER_REFLEXIVE or local.base not in self._core.sockets:
                continue
            candidate = replace(local.candidate, ufrag=generation.credentials.ufrag)
            generation.candidates[address, component] = LocalCandidate(candidate, local.base)
            if is_told(self._core.config, local):
                self._core.outbox.put(CandidateGathered(stream, candidate))


def is_told(config: AgentConfig, local: LocalCandidate) -> bool:
    """Says whether the other side may know the candidate: hosts may be for this agent alone (RFC 8828 §5.2)."""
    if local.candidate.type is not CandidateType.HOST or local.is_rewritten:
        return True
    return config.tell_hosts and local.base.host not in CONTINUITY_HOSTS


def _unspecified(address: Address) -> Address:
    return Address("::" if address.is_ipv6 else "0.0.0.0", 0)
