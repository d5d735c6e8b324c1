"""One agent at work for a `Connection`: its sockets, its credentials, and whose turn it is to restart.

Here lives what both `Connection` and `negotiate` need besides the agent itself: opening a socket per
address and component, choosing the role when the user did not (RFC 8445 §6.1.1), and telling a new session
of the other side (RFC 8445 §9) from a repetition of an old one. Nothing here waits.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, final

from icepath.aio.config import Config
from icepath.aio.driver import Driver
from icepath.aio.endpoint import Endpoint
from icepath.aio.interfaces import HostAddress, usable_addresses
from icepath.aio.ip_handling import admitted
from icepath.aio.mdns import LocalNames
from icepath.aio.network_watch import NetworkWatch
from icepath.aio.pacing import reserve_slot
from icepath.aio.running import Deliverer, Running
from icepath.aio.servers import challenges
from icepath.entropy import IceCredentials, ice_credentials
from icepath.errors import InvalidState
from icepath.ice.agent import Agent
from icepath.ice.config import AgentConfig, Role, Server
from icepath.ice.events import AddressHidden, AgentEvent, AgentSnapshot
from icepath.ice.renomination import OPTIONS
from icepath.ice.router import Member
from icepath.machine import LocalAddress, MachineClosed, SocketUse, Transport
from icepath.net import Address
from icepath.wire.candidate_line import Candidate, CandidateType
from icepath.wire.fragment import Description

logger: Final = logging.getLogger("icepath")

# Ufrags of earlier sessions of the other side, whose late repetitions must not look like a restart.
REMEMBERED_UFRAGS: Final = 64
_RENOMINATION: Final = frozenset(OPTIONS)


@dataclass(frozen=True, slots=True)
class Settings:
    """Is what a connection was constructed with."""

    servers: tuple[Server, ...]
    role: Role | None
    components: int
    relay_only: bool
    config: Config
    endpoint: Endpoint | None = None


@final
class Session:
    """Is a connection's agent, from before its start to its end."""

    def __init__(
        self,
        settings: Settings,
        on_event: Callable[[AgentEvent], None],
        deliver: Deliverer,
        close: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Takes with `close` what an endpoint that ends may end the connection by."""
        self.settings: Final = settings
        self.servers = settings.servers
        self.chosen_role = settings.role
        """The role, once it is known: given, chosen, or repaired."""
        self.remote_ufrag: str | None = None
        self.agent: Agent | None = None
        self.running: Running[AgentEvent] | None = None
        self._on_event = on_event
        self._deliver = deliver
        self._close = close
        # At an endpoint: who it is there, and whether it has sockets of its own for relays.
        self._member: Member | None = None
        self._has_relay_sockets = False
        self._credentials = ice_credentials(secrets.token_bytes)
        self._is_paired = False
        self._old_ufrags: tuple[str, ...] = ()
        # The subscription to changes of this computer's addresses, while it listens.
        self._watch: int | None = None
        self._listeners: tuple[Address, ...] = ()
        # What neighbours may ask for, while this session lives.
        self._names: tuple[str, ...] = ()

    # -- start and end -----------------------------------------------------------------------------------------

    def start(self) -> tuple[Agent, Running[AgentEvent]]:
        """Begins to gather, at the first call.

        Raises: OSError when no address can be bound.
        """
        if self.agent is not None and self.running is not None:
            return self.agent, self.running
        config = self.settings.config
        agent = Agent(
            self._agent_config(),
            random_bytes=secrets.token_bytes,
            reserve_slot=reserve_slot,
            now=Driver.now(),
        )
        deliver = self._deliver if config.flows else None
        on_event = self._on_hiding_event if config.mdns else self._on_event
        running: Running[AgentEvent] = Driver.current().run(agent, on_event, deliver=deliver, options=config.udp)
        self.agent, self.running = agent, running
        try:
            if self.settings.endpoint is None or self.settings.relay_only:
                self._open_sockets(agent, running)
            else:
                self._take_places(self.settings.endpoint, agent, running)
            if self._has_tcp:
                self._open_listeners(agent, running)
            agent.end_of_local_addresses(now=Driver.now())
        except BaseException:
            running.abort()
            self.agent = self.running = None
            self.take_names_back()
            raise
        running.settle()
        if config.watch_network and (self.settings.endpoint is None or self.settings.relay_only):
            self._watch = NetworkWatch.current().subscribe(self.take_addresses)
        return agent, running

    def _agent_config(self) -> AgentConfig:
        config = self.settings.config
        return AgentConfig(
            credentials=self._credentials,
            role=self.chosen_role or Role.CONTROLLING,
            components=(self.settings.components,),
            servers=self.servers,
            transports=config.transports,
            verify_certificates=config.verify_certificates,
            relay_only=self.settings.relay_only or config.ip_handling == "proxy-only",
            tell_hosts=config.ip_handling in ("all", "default-route"),
            streams_only=config.ip_handling == "proxy-only",
            hide_host_addresses=config.mdns,
            rewrite=config.rewrite,
            tcp=self._has_tcp,
            pacing=config.pacing,
            patience=config.patience,
            consent_interval=config.consent_interval,
            max_pairs=config.max_pairs,
            challenges=challenges.of(self.servers),
            close_timeout=config.close_timeout,
            nomination=config.nomination,
            renomination=config.renomination,
            selection=config.selection,
            rto=config.rto,
        )

    def started(self) -> tuple[Agent, Running[AgentEvent]]:
        """Returns the agent that runs.

        Raises: InvalidState when it has not been started.
        """
        if self.agent is None or self.running is None:
            raise InvalidState("not started: use `async with`, or await gather, connect or negotiate first")
        return self.agent, self.running

    def snapshot(self) -> AgentSnapshot | None:
        """Returns everything the agent knows, or None before the start."""
        return None if self.agent is None else self.agent.snapshot()

    # -- names ----------------------------------------------------------------------------------------------------

    def _on_hiding_event(self, event: AgentEvent) -> None:
        """Has the names answered for before anybody is told of them."""
        if isinstance(event, AddressHidden):
            self._names = (*self._names, event.name)
            LocalNames.current().register(event.name, event.host)
        elif isinstance(event, MachineClosed):
            self.take_names_back()
        self._on_event(event)

    def take_names_back(self) -> None:
        """Ends answering for this session's names; lawful at any time."""
        if self._names:
            names, self._names = self._names, ()
            LocalNames.current().unregister(names)

    # -- descriptions ---------------------------------------------------------------------------------------------

    def local_description(self) -> Description:
        """Returns what the other side needs to know, as it stands."""
        if self.agent is None:
            return Description(self._credentials.ufrag, self._credentials.password)
        return self.agent.local_description()

    def hand_out(self) -> Description:
        """Returns the local description; whoever does so before having the other's is controlling."""
        if self.chosen_role is None:
            # RFC 8445 §6.1.1: "the initiating agent ... takes the controlling role".
            self.choose_role(Role.CONTROLLING)
        return self.local_description()

    def choose_role(self, role: Role) -> None:
        """Takes a role that the user left open."""
        self.chosen_role = role
        if self.agent is not None and self.running is not None:
            self.agent.set_role(role, now=Driver.now())
            self.running.settle()

    def take_description(self, description: Description) -> bool:
        """Gives the agent what the other side sent; False when it is an echo, or of an earlier session.

        When the other side has restarted, so does this one (RFC 8445 §9).
        """
        agent, running = self.start()
        if description.ufrag == self._credentials.ufrag or description.ufrag in self._old_ufrags:
            return False
        if description.ufrag != self.remote_ufrag:
            if self._is_paired:
                self.restart()
            if self.remote_ufrag is not None:
                self._old_ufrags = (*self._old_ufrags, self.remote_ufrag)[-REMEMBERED_UFRAGS:]
            self.remote_ufrag = description.ufrag
            self._is_paired = True
        agent.set_remote_description(description, now=Driver.now())
        running.settle()
        return True

    def add_candidate(self, candidate: Candidate) -> None:
        """Gives the agent one candidate of the other side."""
        agent, running = self.start()
        agent.add_remote_candidate(candidate, now=Driver.now())
        running.settle()

    def end_of_candidates(self) -> None:
        """Tells the agent that the other side has no more candidates."""
        agent, running = self.start()
        agent.end_of_remote_candidates(now=Driver.now())
        running.settle()

    def restart(self) -> None:
        """Begins a new session with new credentials."""
        agent, running = self.started()
        credentials: IceCredentials = ice_credentials(secrets.token_bytes)
        if self.settings.endpoint is not None and self._member is not None:
            self.settings.endpoint.router.restart(self._member, credentials.ufrag)
        agent.restart(credentials, now=Driver.now())
        self._credentials = credentials
        self._is_paired = False
        running.settle()

    def set_servers(self, servers: tuple[Server, ...]) -> None:
        """Replaces the servers."""
        self.servers = servers
        if self.agent is not None and self.running is not None:
            if self._member is not None:
                self._open_for_relays(self.agent, self.running)
            self.agent.set_servers(servers, now=Driver.now())
            self.running.settle()

    # -- sockets -----------------------------------------------------------------------------------------------------

    def _open_sockets(self, agent: Agent, running: Running[AgentEvent], use: SocketUse = SocketUse.ALL) -> None:
        config = self.settings.config
        failure: OSError | None = None
        opened = 0
        for found in self._admitted(usable_addresses(config.interfaces, loopback=config.loopback)):
            try:
                self._open(agent, running, found, use)
            except OSError as error:
                # One address may have gone, or be tentative, while others are well.
                logger.debug("%s on %s: %s", found.host, found.interface, error)
                failure = error
            else:
                opened += 1
        if failure is not None and not opened:
            raise failure

    def _admitted(self, found: tuple[HostAddress, ...]) -> tuple[HostAddress, ...]:
        config = self.settings.config
        return admitted(found, handling=config.ip_handling, families=config.families)

    def _open(self, agent: Agent, running: Running[AgentEvent], found: HostAddress, use: SocketUse) -> None:
        for component in range(1, self.settings.components + 1):
            bound = running.open_udp(found.host, ports=self.settings.config.port_range, scope_id=found.scope_id)
            local = LocalAddress(bound, found.interface, cost=found.cost, use=use)
            agent.add_local_address(local, component=component, now=Driver.now())

    # -- changes of this computer's addresses -------------------------------------------------------------------------

    def take_addresses(self) -> None:
        """Opens sockets on addresses that are new, and gives up those whose address is gone.

        One that carries the only path stays: where the address comes back in time, so does the path.
        """
        agent, running = self.agent, self.running
        if agent is None or running is None or running.is_closed:
            return
        config = self.settings.config
        usable = usable_addresses(config.interfaces, loopback=config.loopback)
        found = admitted(usable, handling=config.ip_handling, families=config.families)
        known = {address.host for address in running.sockets}
        for each in found:
            if each.host not in known:
                try:
                    self._open(agent, running, each, SocketUse.ALL)
                except OSError as error:
                    logger.debug("%s on %s: %s", each.host, each.interface, error)
                if self._has_tcp:
                    self._listen(agent, running, each)
        hosts = {each.host for each in found}
        gone = [address for address in running.sockets if address.host not in hosts]
        for address in gone:
            if _may_go(agent.snapshot(), address, hosts):
                agent.remove_local_address(address, now=Driver.now())
                running.close_udp(address)
        self._drop_listeners(agent, running, {address.host for address in running.sockets} | hosts)
        running.settle()

    def _drop_listeners(self, agent: Agent, running: Running[AgentEvent], hosts: set[str]) -> None:
        """Gives up the listeners of addresses that are gone."""
        for address in [address for address in self._listeners if address.host not in hosts]:
            agent.remove_local_address(address, transport=Transport.TCP, now=Driver.now())
            running.byte_streams.close(address)
        self._listeners = tuple(address for address in self._listeners if address.host in hosts)

    def stop_watching(self) -> None:
        """Ends listening to changes; any number of times."""
        watch, self._watch = self._watch, None
        if watch is not None:
            NetworkWatch.current().unsubscribe(watch)

    @property
    def _has_tcp(self) -> bool:
        """Says whether there are TCP candidates; relays have none."""
        return self.settings.config.tcp and not self.settings.relay_only

    def _open_listeners(self, agent: Agent, running: Running[AgentEvent]) -> None:
        """Listens on every address."""
        config = self.settings.config
        for found in self._admitted(usable_addresses(config.interfaces, loopback=config.loopback)):
            self._listen(agent, running, found)

    def _listen(self, agent: Agent, running: Running[AgentEvent], found: HostAddress) -> None:
        """Listens on an address; where that fails there is UDP."""
        for component in range(1, self.settings.components + 1):
            try:
                bound = running.open_tcp(found.host, ports=self.settings.config.port_range, scope_id=found.scope_id)
            except OSError as error:
                logger.debug("no TCP on %s on %s: %s", found.host, found.interface, error)
                continue
            local = LocalAddress(bound, found.interface, Transport.TCP, found.cost)
            agent.add_local_address(local, component=component, now=Driver.now())
            self._listeners += (bound,)

    def _take_places(self, endpoint: Endpoint, agent: Agent, running: Running[AgentEvent]) -> None:
        for place in endpoint.admit(running, self._credentials.ufrag, self._close):
            self._member = place.member
            found = place.found
            if not self._admitted((found,)):
                continue
            local = LocalAddress(place.address, found.interface, cost=found.cost, use=SocketUse.SHARED)
            agent.add_local_address(local, now=Driver.now())
        self._open_for_relays(agent, running)

    def _open_for_relays(self, agent: Agent, running: Running[AgentEvent]) -> None:
        """Opens sockets to ask for relays from, beside shared ones, when there is a TURN server first."""
        if self._has_relay_sockets or all(server.uri.scheme != "turn" for server in self.servers):
            return
        self._has_relay_sockets = True
        self._open_sockets(agent, running, SocketUse.RELAYS)


def _may_go(snapshot: AgentSnapshot, address: Address, hosts: set[str]) -> bool:
    """Says whether the address can be given up without ending a path that nothing takes the place of.

    A relay may work through any address: its path counts as one of this address.
    """
    remote = snapshot.remote[0]
    can_move = remote is not None and not _RENOMINATION.isdisjoint(remote.options)
    can_move = can_move and not _RENOMINATION.isdisjoint(snapshot.local[0].options)
    for used in snapshot.pairs:
        if used.is_selected and (used.local_base == address or used.local.type is CandidateType.RELAYED):
            others = [pair for pair in snapshot.pairs if pair.is_valid and pair.component == used.component]
            return can_move and any(pair.local_base.host in hosts for pair in others)
    return True
