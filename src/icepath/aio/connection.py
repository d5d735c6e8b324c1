"""`Connection`: one data stream to one other side, over the best path there is.

The agent finds and keeps the path, the driver runs it, session.py starts it; here is what an application
meets: waiting, queues, exceptions, the log. Callbacks from the driver do the work, so nothing depends on a
task of ours being scheduled; only `negotiate` has tasks, because it reads somebody else's channel.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, final

from icepath.aio import outcome, statistics
from icepath.aio.config import DEFAULT_CONFIG, Config
from icepath.aio.endpoint import Endpoint
from icepath.aio.events import Event, EventLog, Restarted, Role, StateChanged, event_of
from icepath.aio.flows import Sink
from icepath.aio.inbox import Inbox
from icepath.aio.negotiation import Negotiation, Send
from icepath.aio.path import CandidatePair, pair_of
from icepath.aio.servers import ServerArgument, as_servers, challenges
from icepath.aio.session import Session, Settings
from icepath.errors import Cause, ConnectionFailure, InvalidArgument, InvalidState
from icepath.ice import events as ice
from icepath.ice.config import MAX_COMPONENT
from icepath.ice.config import Role as AgentRole
from icepath.ice.events import AgentEvent, AgentSnapshot, State
from icepath.net import Instant, Seconds
from icepath.wire.candidate_line import Candidate, parse_candidate
from icepath.wire.fragment import Description

USABLE: Final = frozenset({State.CONNECTED, State.COMPLETED})
END_OF_CANDIDATES: Final = frozenset({"", "end-of-candidates", "a=end-of-candidates"})
# How long `close` waits beyond the agent's own bound before it stops asking.
CLOSE_MARGIN: Final[Seconds] = 1.0


@final
class Connection:
    """Connects to one other side: gather, exchange descriptions, connect, send and receive datagrams.

    Gathering starts on `async with`, or at the first of gather, connect and negotiate.
    Raises: InvalidArgument when an argument is not allowed. The constructor does no I/O.
    """

    def __init__(
        self,
        servers: Sequence[ServerArgument] = (),
        *,
        role: Role | None = None,
        components: int = 1,
        relay_only: bool = False,
        endpoint: Endpoint | None = None,
        config: Config = DEFAULT_CONFIG,
        trace: object | None = None,
    ) -> None:
        if role not in (None, "controlling", "controlled"):
            raise InvalidArgument(f"role is {role!r}, allowed are 'controlling', 'controlled' and None")
        if not 1 <= components <= MAX_COMPONENT:
            raise InvalidArgument(f"components is {components}, allowed are 1 to {MAX_COMPONENT}")
        if endpoint is not None and components > 1:
            raise InvalidArgument(f"components is {components}: an endpoint has one port, so one component")
        if trace is not None:
            raise InvalidArgument("trace is not available yet: leave it out")
        agent_role = None if role is None else AgentRole(role)
        settings = Settings(as_servers(servers), agent_role, components, relay_only, config, endpoint)
        close = None if endpoint is None else self.close
        self._session = Session(settings, self._on_event, self._sink_of, close)
        self._state = State.NEW
        self._cause: Cause | None = None
        self._had_path = False
        self._since: Instant | None = None
        self._is_gathered = False
        self._is_closed = False
        self._failure: ConnectionFailure | None = None
        self._inboxes = tuple(Inbox(config.receive_queue) for _ in range(components))
        self._log: EventLog[Event] = EventLog()
        self._negotiation: Negotiation | None = None
        self._warned: tuple[str, ...] = ()

    # -- what it is ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Returns how far it has come, in W3C's words."""
        return self._state

    @property
    def role(self) -> Role | None:
        """Returns the role, once it is known."""
        role = self._session.chosen_role
        if role is None:
            return None
        return "controlling" if role is AgentRole.CONTROLLING else "controlled"

    @property
    def selected_pair(self) -> CandidatePair | None:
        """Returns the pair that carries the data of component 1 now, or None."""
        agent = self._session.agent
        pair = None if agent is None else agent.selected_pair()
        return None if pair is None else pair_of(pair)

    @property
    def local_description(self) -> Description:
        """Returns what to hand to the other side, as it stands; reading it is handing it out."""
        return self._session.hand_out()

    def stats(self) -> dict[str, dict[str, object]]:
        """Returns statistics under W3C's names, by id; empty before the start."""
        running = self._session.running
        if running is not None and not running.is_closed:
            running.report_flows()
        snapshot = self._session.snapshot()
        if snapshot is None or running is None:
            return {}
        return statistics.report(
            snapshot,
            statistics.Moment(time.monotonic(), time.time() * statistics.MILLISECONDS),
            has_role=self._session.chosen_role is not None,
            discarded_on_receive=[inbox.dropped for inbox in self._inboxes],
            discarded_on_send=running.dropped_on_send,
        )

    def snapshot(self) -> AgentSnapshot:
        """Returns everything the agent knows, as it stands: candidates of both sides, pairs, what is in use.

        Raises: InvalidState before the start.
        """
        agent, running = self._session.started()
        if not running.is_closed:
            running.report_flows()
        return agent.snapshot()

    def events(self) -> AsyncIterator[Event]:
        """Returns what happened and then what happens, until it is closed; any number may read."""
        return self._log.reader()

    def __repr__(self) -> str:
        return f"<Connection {self._state.value}, role {self.role}>"

    # -- start and end ---------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Connection:
        self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends it; any number of times. Relays are released, within a bound; cancelling ends it at once."""
        self._is_closed = True
        negotiation, self._negotiation = self._negotiation, None
        running = self._session.running
        try:
            if negotiation is not None:
                await negotiation.stop()
            if running is not None:
                running.close()
                if not running.is_ended:
                    async with asyncio.timeout(self._session.settings.config.close_timeout + CLOSE_MARGIN):
                        await running.wait_closed()
        except TimeoutError:
            pass
        finally:
            if running is not None:
                running.abort()
            self._session.take_names_back()
            self._session.stop_watching()
            self._on_closed()

    def _on_closed(self) -> None:
        if self._state is not State.CLOSED:
            self._set_state(State.CLOSED, Cause.CLOSED)
        self._log.close()

    def _start(self) -> None:
        if self._is_closed:
            raise InvalidState("the connection is closed")
        self._session.start()

    # -- connecting ------------------------------------------------------------------------------------------------

    async def gather(self, *, timeout: Seconds = 2.0) -> Description:
        """Returns the description to hand out once every server has answered or failed, else at the time-out."""
        self._start()
        if not self._is_gathered:
            # What is known at the time-out is good enough; the rest may trickle.
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._gathered()
        return self.local_description

    async def _gathered(self) -> None:
        while not (self._is_gathered or self._is_closed):
            await self._log.change()

    async def connect(self, remote: Description | str | None = None) -> CandidatePair:
        """Returns the first path as soon as data may be sent; cancelling stops only the waiting.

        Raises: ConnectFailed when there is no path, ConnectionClosed when it was lost or closed meanwhile.
        """
        self._start()
        if remote is not None:
            self.set_remote_description(remote)
        return await self._connected()

    async def negotiate(self, send: Send, receive: AsyncIterable[str | bytes]) -> CandidatePair:
        """Exchanges descriptions and candidates over a channel of yours; returns as `connect` does.

        `send` sends one text to the other side, `receive` yields its texts. Trickling goes on until `close`.
        Raises: as `connect`; ConnectFailed(signalling-ended), or what the channel raises, when it ends too early.
        """
        self._start()
        if self._negotiation is not None:
            await self._negotiation.stop()
        negotiation = self._negotiation = Negotiation(self._session, send, receive)
        negotiation.start()
        negotiation.failed.add_done_callback(self._log.wake)
        try:
            return await self._connected(negotiation.failed)
        except BaseException:
            await negotiation.stop()
            raise

    def set_remote_description(self, remote: Description | str) -> None:
        """Takes the other side's description. When it has restarted, so does this side: hand out ours again.

        Raises: DecodeError when the text is not one.
        """
        if self._is_closed:
            raise InvalidState("the connection is closed")
        description = Description.parse(remote) if isinstance(remote, str) else remote
        if self._session.chosen_role is None:
            # RFC 8445 §6.1.1: the other side handed out first, so it is the initiating agent.
            self._session.choose_role(AgentRole.CONTROLLED)
        self._session.take_description(description)

    def add_remote_candidate(self, candidate: Candidate | str | None) -> None:
        """Takes a candidate of the other side, or its line; None means that no more will come.

        Raises: DecodeError when the text is not one.
        """
        self._start()
        if candidate is None or (isinstance(candidate, str) and candidate.strip() in END_OF_CANDIDATES):
            self._session.end_of_candidates()
        else:
            parsed = parse_candidate(candidate) if isinstance(candidate, str) else candidate
            self._session.add_candidate(parsed)

    def restart(self) -> Description:
        """Begins anew with fresh credentials and returns the description to hand out; data flows meanwhile."""
        self._start()
        self._session.restart()
        return self.local_description

    def idle(self) -> None:
        """Sends as little as keeps the path: consent is asked for every 16 s or so, no other path is kept ready."""
        agent, running = self._session.started()
        agent.idle(now=time.monotonic())
        running.settle()

    def wake(self) -> None:
        """Ends `idle`: the path is checked at once, and others are kept ready again."""
        agent, running = self._session.started()
        agent.wake(now=time.monotonic())
        running.settle()

    def set_servers(self, servers: Sequence[ServerArgument]) -> None:
        """Replaces the servers: new ones are asked, known ones get fresh credentials."""
        self._session.set_servers(as_servers(servers))

    async def _connected(self, failed: asyncio.Future[None] | None = None) -> CandidatePair:
        while True:
            if self._state in USABLE and (pair := self.selected_pair) is not None:
                return pair
            if self._state is State.FAILED or self._is_closed:
                raise self._error()
            if failed is not None and failed.done():
                failed.result()
            await self._log.change()

    # -- data -----------------------------------------------------------------------------------------------------

    async def send(self, data: bytes | bytearray | memoryview, *, component: int = 1) -> None:
        """Sends one datagram; waits while the kernel's buffer is full.

        Raises: InvalidState before there is a path, ConnectionFailure when it was lost or closed.
        """
        session = self._session
        agent, running = session.agent, session.running
        if agent is None or running is None or self._state is State.FAILED or self._is_closed:
            raise self._not_usable()
        payload = data if isinstance(data, bytes) else bytes(data)
        now = time.monotonic()
        agent.send(payload, component=component, now=now)
        running.settle_at(now)
        if running.backlogs:
            await running.drain()

    async def receive(self, *, component: int = 1) -> bytes:
        """Returns the next datagram; cancelling it loses nothing.

        Raises: ConnectionFailure when nothing is left and nothing will come.
        """
        if not 1 <= component <= len(self._inboxes):
            raise InvalidArgument(f"component {component}: there are {len(self._inboxes)}")
        inbox = self._inboxes[component - 1]
        if inbox.items:
            return inbox.items.popleft()
        return await inbox.get()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return DatagramIterator(self._inboxes[0])

    def _sink_of(self, stream: int, component: int) -> Sink:  # noqa: ARG002 - a connection has one stream
        return self._inboxes[component - 1].put

    # -- what the agent reports -----------------------------------------------------------------------------------

    def _on_event(self, event: AgentEvent) -> None:
        match event:
            case ice.DataReceived(component=component, payload=payload):
                self._inboxes[component - 1].put(payload)
            case ice.StateChanged(state=state, cause=cause):
                self._set_state(state, cause)
            case ice.ChallengeRemembered(url=url, challenge=challenge):
                challenges.remember(url, challenge)
            case ice.Restarted():
                self._report(Restarted(self._session.local_description()))
            case _:
                self._note(event)
                known = event_of(event)
                if known is None:
                    outcome.logger.debug("%r", event)
                else:
                    self._report(known)

    def _note(self, event: AgentEvent) -> None:
        """Takes in what concerns the connection itself."""
        match event:
            case ice.GatheringCompleted():
                self._is_gathered = True
            case ice.RoleChanged(role=role):
                self._session.chosen_role = role
            case ice.ServerFailed(url=url):
                outcome.log_server_failed(event, is_first=url not in self._warned)
                self._warned = (*self._warned, url)
            case _:
                pass

    def _report(self, event: Event) -> None:
        self._log.append(event)
        if self._negotiation is not None:
            self._negotiation.changed()

    def _set_state(self, state: State, cause: Cause | None) -> None:
        self._state, self._cause = state, cause
        now = time.monotonic()
        if self._since is None:
            self._since = now
        elapsed = now - self._since
        if state in USABLE and not self._had_path:
            self._had_path = True
            if outcome.logger.isEnabledFor(logging.INFO):  # nothing is looked up for nobody
                outcome.log_connected(self.selected_pair, elapsed)
        if state is State.FAILED or state is State.CLOSED:
            self._end(cause or Cause.CLOSED, elapsed)
        else:
            for inbox in self._inboxes:
                inbox.resume()
        self._report(StateChanged(state, cause))
        if self._negotiation is not None:
            self._look_after_path(state)

    def _look_after_path(self, state: State) -> None:
        """Begins anew when nothing is heard, if this side controls: of two at once neither would know which counts.

        Data flows on the old path meanwhile, and stays there if it comes back. When it is lost and the other side never
        answers, patience ends it.
        """
        loop = asyncio.get_running_loop()
        if state is State.DISCONNECTED:
            loop.call_soon(self._begin_anew)  # not within the agent's report of it
        elif state is State.NEW:
            loop.call_later(self._session.settings.config.patience, self._give_up)

    def _begin_anew(self) -> None:
        negotiation = self._negotiation
        is_ours = self._session.chosen_role is AgentRole.CONTROLLING
        if negotiation is not None and negotiation.is_open and is_ours and self._state is State.DISCONNECTED:
            self._session.restart()
            negotiation.changed()

    def _give_up(self) -> None:
        if self._state is State.NEW and not self._is_closed:
            self._set_state(State.FAILED, Cause.CONSENT_EXPIRED)

    def _end(self, cause: Cause, elapsed: Seconds) -> None:
        snapshot = None if cause in outcome.WITHOUT_EVIDENCE else self._session.snapshot()
        evidence = "" if snapshot is None else outcome.evidence_of(snapshot, elapsed)
        self._failure = outcome.failure(cause, evidence, had_path=self._had_path)
        if cause is not Cause.CLOSED:
            outcome.log_failed(self._failure, elapsed, had_path=self._had_path)
        for inbox in self._inboxes:
            inbox.end(self._error)

    # -- waiting and failing -----------------------------------------------------------------------------------------

    def _error(self) -> ConnectionFailure:
        """Returns a fresh exception: one that was raised before would carry its traceback along."""
        known = self._failure
        if known is None:
            return outcome.failure(Cause.CLOSED, "", had_path=self._had_path)
        return type(known)(known.cause, known.evidence)

    def _not_usable(self) -> Exception:
        if self._state is State.FAILED or self._is_closed:
            return self._error()
        return InvalidState("not connected yet: await connect or negotiate first")


@final
class DatagramIterator:
    """Yields datagrams until the connection is closed here; raises when it is lost."""

    __slots__ = ("_inbox",)

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def __aiter__(self) -> DatagramIterator:
        return self

    async def __anext__(self) -> bytes:
        items = self._inbox.items
        if items:
            return items.popleft()
        try:
            return await self._inbox.get()
        except ConnectionFailure as error:
            if error.cause is Cause.CLOSED:
                raise StopAsyncIteration from None
            raise
