"""The one mDNS machine of an event loop: made when the first name is wanted, ended when nobody wants one any more.

A name is wanted while it is asked for, and while it is our own. The machine hears every interface that
candidates are gathered from, one address of each family, and loopback when there is nothing else or a name of
our own is there. What the machine decides is mdns/'s.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import time
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, final

from icepath.aio.interfaces import HostAddress, system, usable_addresses
from icepath.aio.resolver import ResolveFailed
from icepath.machine import FailReason, Handle
from icepath.mdns.config import Link, MdnsConfig
from icepath.mdns.events import MdnsEvent, NameNotFound, NameResolved, NotFound
from icepath.mdns.mdns import Mdns
from icepath.net import Instant, Seconds, is_loopback

if TYPE_CHECKING:
    from icepath.aio.running import Running

DETAILS: Final = {
    NotFound.BAD_NAME: "only names of the form that agents make are asked for in .local",
    NotFound.NO_LINK: "no network here takes multicast",
    NotFound.NO_ANSWER: "nobody on the networks here answers for it",
    NotFound.NO_ADDRESS: "it has no address",
    NotFound.SEVERAL_ADDRESSES: "it has several addresses",
    NotFound.LIMIT: "too many names are being asked for",
    NotFound.CLOSED: "the search was ended",
}
# Other candidates may have the same name, and a machine that has ended hears no more of it: asked for again within
# a second, browsers keep silent until it is over (RFC 6762 §6).
REMEMBERED: Final[Seconds] = 10.0
RESOLVER_FAILURES: Final = (NotFound.NO_LINK, NotFound.LIMIT, NotFound.CLOSED)


@final
class LocalNames:
    """Finds names in `.local`, and has names of our own answered for."""

    def __init__(self, config: MdnsConfig | None = None) -> None:
        self._config = config or MdnsConfig()
        self._mdns: Mdns | None = None
        self._running: Running[MdnsEvent] | None = None
        self._queries: dict[Handle, asyncio.Future[str]] = {}
        self._last_query = 0
        self._own: dict[str, str] = {}
        self._found: dict[str, tuple[str, Instant]] = {}

    @staticmethod
    def current() -> LocalNames:
        """Returns the one of the running event loop."""
        loop = asyncio.get_running_loop()
        names = _names.get(loop)
        if names is None:
            names = _names[loop] = LocalNames()
        return names

    # -- verbs ----------------------------------------------------------------------------------------------------

    async def resolve(self, name: str) -> str:
        """Returns the address of a name, within the machine's time-out.

        Raises: ResolveFailed.
        """
        known = self._found.get(name)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        mdns, running = self._start()
        self._last_query += 1
        query = Handle(self._last_query)
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._queries[query] = answer
        try:
            mdns.resolve(query, name, now=time.monotonic())
            running.settle()
            host = await answer
            self._remember(name, host)
            return host
        finally:
            del self._queries[query]
            mdns.cancel(query, now=time.monotonic())
            running.settle()
            self._end_if_unused()

    def _remember(self, name: str, host: str) -> None:
        self._found.pop(name, None)
        self._found[name] = (host, time.monotonic() + REMEMBERED)
        if len(self._found) > self._config.max_cached:
            del self._found[next(iter(self._found))]

    def register(self, name: str, host: str) -> None:
        """Answers for a name of our own until `unregister`."""
        self._own[name] = host
        mdns, running = self._start()
        mdns.register(name, host, now=time.monotonic())
        running.settle()

    def unregister(self, names: Iterable[str]) -> None:
        """Takes names back; unknown ones are passed over."""
        for name in names:
            if self._own.pop(name, None) is not None and self._mdns is not None:
                self._mdns.unregister(name, now=time.monotonic())
        if self._running is not None:
            self._running.settle()
            self._end_if_unused()

    @property
    def is_running(self) -> bool:
        """Says whether there is a machine."""
        return self._running is not None

    # -- the machine ----------------------------------------------------------------------------------------------

    def _start(self) -> tuple[Mdns, Running[MdnsEvent]]:
        """Returns the machine, told of the networks there are now."""
        from icepath.aio.driver import Driver  # the driver's resolver leads here

        now = time.monotonic()
        if self._mdns is None or self._running is None:
            self._mdns = Mdns(self._config, random_bytes=secrets.token_bytes, now=now)
            self._running = Driver.current().run(self._mdns, self._on_event)
        self._mdns.set_links(current_links(set(self._own.values())), now=now)
        self._running.settle()
        return self._mdns, self._running

    def _end_if_unused(self) -> None:
        if self._running is not None and not self._queries and not self._own:
            running, self._running, self._mdns = self._running, None, None
            running.close()

    def _on_event(self, event: MdnsEvent) -> None:
        if isinstance(event, NameResolved | NameNotFound):
            answer = self._queries.get(event.query)
            if answer is None or answer.done():
                return
            if isinstance(event, NameResolved):
                answer.set_result(event.addresses[0])
            else:
                is_ours = event.reason in RESOLVER_FAILURES
                reason = FailReason.RESOLVER if is_ours else FailReason.NAME_NOT_FOUND
                answer.set_exception(ResolveFailed(reason, f"{event.name}: {DETAILS[event.reason]}"))


def current_links(own: set[str] | frozenset[str] = frozenset()) -> tuple[Link, ...]:
    """Returns the links of this host, one for each interface and family; `own` addresses are on one of them."""
    found = usable_addresses()
    everything = system.view(time.monotonic()).addresses
    extra = [each for each in everything if each.host in own and all(each.host != other.host for other in found)]
    if not found and not extra:
        extra = [each for each in everything if is_loopback(each.host)]
    return links_of((*found, *extra), everything)


def links_of(chosen: Iterable[HostAddress], everything: Iterable[HostAddress]) -> tuple[Link, ...]:
    """Returns a link for each interface and family among the chosen, with all networks of the interface."""
    networks: dict[str, list[str]] = {}
    for each in everything:
        network = ipaddress.ip_network((each.host, each.prefix), strict=False)
        networks.setdefault(each.interface, []).append(str(network))
    links: dict[tuple[str, bool], Link] = {}
    for each in chosen:
        on_link = tuple(sorted(set(networks.get(each.interface, ()))))
        links.setdefault((each.interface, ":" in each.host), Link(each.host, on_link))
    return tuple(links.values())


_names: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LocalNames] = weakref.WeakKeyDictionary()
