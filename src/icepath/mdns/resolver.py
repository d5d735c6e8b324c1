"""Asking for other agents' names, and what is remembered of their answers.

A name is asked for from the port that its answer comes back to alone: it comes at once, however recently the
name was multicast, and bothers nobody else (draft-ietf-mmusic-mdns-ice-candidates §3.2.1). Who stays silent is
asked once more by multicast a second later, for both families, and given up after three (RFC 6762 §5).
Each message has one question: several are answered late (RFC 6762 §6.3), or not at all by browsers.

What is announced is remembered before anybody asks, so that a name told after it costs no round trip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, final

from icepath.errors import InvalidArgument
from icepath.machine import Handle
from icepath.mdns.config import PORT, MdnsConfig
from icepath.mdns.events import MdnsEvent, NameNotFound, NameResolved, NotFound
from icepath.mdns.links import Links, Port
from icepath.mdns.message import AAAA, NSEC, A, MdnsMessage, Question, Record
from icepath.mdns.names import is_candidate_name
from icepath.net import Address, Instant, RandomBytes, Seconds, is_loopback, is_usable_destination
from icepath.outbox import Outbox
from icepath.timers import Timers

# RFC 6762 §5.2: "the interval between the first two queries MUST be at least one second".
RETRY_INTERVAL: Final[Seconds] = 1.0
MAX_TRANSMISSIONS: Final = 2
# RFC 6762 §10: the TTL of host names; what says more is believed that long.
MAX_TTL: Final[Seconds] = 120.0
# RFC 6762 §10.1 and §10.2: what is taken back, or replaced, is deleted a second later.
GRACE: Final[Seconds] = 1.0
# Two are as many as are needed to see that a name has several.
MAX_HOSTS: Final = 4


@final
class _Search:
    """Is one name under resolution, for everybody who asked."""

    __slots__ = ("deadline", "id", "name", "queries", "transmissions")

    def __init__(self, name: str, number: int, deadline: Instant) -> None:
        self.name = name
        self.id = number
        self.deadline = deadline
        self.queries: list[Handle] = []
        self.transmissions = 0


@final
class _Known:
    """Is an address that a name was said to have."""

    __slots__ = ("expires", "heard")

    def __init__(self, heard: Instant, expires: Instant) -> None:
        self.heard = heard
        self.expires = expires


@final
class Resolver:
    """Finds the addresses of names."""

    __slots__ = ("_cache", "_config", "_links", "_outbox", "_own", "_random_bytes", "_searches", "_timers")

    def __init__(
        self,
        config: MdnsConfig,
        links: Links,
        outbox: Outbox[MdnsEvent],
        *,
        own: Callable[[str], str | None],
        random_bytes: RandomBytes,
    ) -> None:
        """Takes, besides, what knows the addresses of our own names."""
        self._own = own
        self._config = config
        self._links = links
        self._outbox = outbox
        self._random_bytes = random_bytes
        self._searches: dict[str, _Search] = {}
        # name -> address -> what is known of it; the name heard of longest ago goes first
        self._cache: dict[str, dict[str, _Known]] = {}
        self._timers: Timers[str] = Timers()

    # -- verbs ----------------------------------------------------------------------------------------------------

    def resolve(self, query: Handle, name: str, *, now: Instant) -> None:
        """Answers at once, or begins to ask.

        Raises: InvalidArgument when the query's handle is in use.
        """
        if any(query in search.queries for search in self._searches.values()):
            raise InvalidArgument(f"query {query} is under way")
        name = name.lower().rstrip(".")
        known = self._own(name)
        hosts = self._live(name, now) if known is None else [known]
        if not is_candidate_name(name):
            self._outbox.put(NameNotFound(query, name, NotFound.BAD_NAME))
        elif hosts:
            self._answer(query, name, hosts)
        elif self._links.is_hopeless:
            self._outbox.put(NameNotFound(query, name, NotFound.NO_LINK))
        else:
            self._search(query, name, now)

    def _search(self, query: Handle, name: str, now: Instant) -> None:
        search = self._searches.get(name)
        if search is None:
            if len(self._searches) >= self._config.max_queries:
                self._outbox.put(NameNotFound(query, name, NotFound.LIMIT))
                return
            number = int.from_bytes(self._random_bytes(2), "big")
            search = self._searches[name] = _Search(name, number, now + self._config.timeout)
            self._timers.set(name, now)
        elif len(search.queries) >= self._config.max_queries:
            self._outbox.put(NameNotFound(query, name, NotFound.LIMIT))
            return
        search.queries.append(query)

    def cancel(self, query: Handle) -> None:
        """Forgets a query; the name is asked for no more when nobody else wants it."""
        for name, search in list(self._searches.items()):
            if query in search.queries:
                search.queries.remove(query)
                if not search.queries:
                    self._end(name)

    # -- asking ---------------------------------------------------------------------------------------------------

    def next_deadline(self) -> Instant | None:
        """Returns when `handle_timeout` is wanted."""
        return self._timers.next_deadline()

    def handle_timeout(self, now: Instant) -> None:
        """Asks, asks again, or gives up."""
        while (name := self._timers.pop_due(now)) is not None:
            search = self._searches[name]
            if now >= search.deadline:
                self._fail(name, NotFound.NO_ANSWER)
            elif search.transmissions >= MAX_TRANSMISSIONS:
                self._timers.set(name, search.deadline)
            else:
                self._ask(search, now)

    def on_opened(self, now: Instant) -> None:
        """Asks what could not be asked yet: a link has come."""
        for name, search in self._searches.items():
            if not search.transmissions:
                self._timers.set(name, now)

    def on_failed(self) -> None:
        """Gives up when no link is left."""
        if self._links.is_hopeless:
            for name in list(self._searches):
                self._fail(name, NotFound.NO_LINK)

    def _ask(self, search: _Search, now: Instant) -> None:
        again = search.transmissions > 0
        ports = self._links.asking(by_multicast=again)
        kinds = tuple(dict.fromkeys(_kind(port) for port in ports))
        sent = True
        for port in ports:
            for kind in kinds if again else (_kind(port),):
                sent = self._links.send(port, _question(search, port, kind), now=now) and sent
        if not ports:
            at = search.deadline
        elif not sent:
            at = self._links.again_at
        else:
            search.transmissions += 1
            at = now + RETRY_INTERVAL
        self._timers.set(search.name, min(at, search.deadline))

    # -- answers --------------------------------------------------------------------------------------------------

    def is_awaited(self, message: MdnsMessage) -> bool:
        """Says whether a unicast answer is one to a question under way, which it names (RFC 6762 §6, §6.7)."""
        return any(self._is_asked(record.name, message.id) for record in (*message.answers, *message.additional))

    def on_response(self, port: Port, message: MdnsMessage, *, now: Instant) -> None:
        """Takes an answer, asked for or not; a unicast one as far as it was asked for."""
        records = (*message.answers, *message.additional)
        if not port.is_listening:
            records = tuple(record for record in records if self._is_asked(record.name, message.id))
        # What is ours comes back to us by multicast, too.
        records = tuple(each for each in records if is_candidate_name(each.name) and self._own(each.name) is None)
        for record in records:
            if record.kind != NSEC and _is_credible(record.host, port):
                self._remember(record, now)
        for name in dict.fromkeys(record.name for record in records):
            if name in self._searches:
                self._conclude(name, [record for record in records if record.name == name], port)

    def _is_asked(self, name: str, number: int) -> bool:
        search = self._searches.get(name)
        return search is not None and search.id == number

    def _conclude(self, name: str, records: Iterable[Record], port: Port) -> None:
        hosts: list[str] = []
        has_none = False
        for record in records:
            if record.kind == NSEC:
                has_none = has_none or (A not in record.kinds and AAAA not in record.kinds and record.ttl > 0)
            elif record.ttl > 0 and _is_credible(record.host, port):
                hosts.append(record.host)
        if hosts:
            hosts = list(dict.fromkeys(hosts))
            for query in self._end(name):
                self._answer(query, name, hosts)
        elif has_none:
            self._fail(name, NotFound.NO_ADDRESS)

    def _answer(self, query: Handle, name: str, hosts: list[str]) -> None:
        if len(hosts) > 1:
            # Draft §3.2.2: "SHOULD ignore candidates where the hostname resolution returns more than one IP address".
            self._outbox.put(NameNotFound(query, name, NotFound.SEVERAL_ADDRESSES))
        else:
            self._outbox.put(NameResolved(query, name, tuple(hosts)))

    def _fail(self, name: str, reason: NotFound) -> None:
        for query in self._end(name):
            self._outbox.put(NameNotFound(query, name, reason))

    def _end(self, name: str) -> list[Handle]:
        self._timers.cancel(name)
        return self._searches.pop(name).queries

    def close(self) -> None:
        """Ends every query."""
        for name in list(self._searches):
            self._fail(name, NotFound.CLOSED)
        self._cache.clear()

    # -- the cache ------------------------------------------------------------------------------------------------

    def _remember(self, record: Record, now: Instant) -> None:
        known = self._cache.pop(record.name, {})
        if not record.ttl:
            mine = known.get(record.host)
            if mine is not None:
                mine.expires = min(mine.expires, now + GRACE)
        else:
            if record.is_unique:
                for other in known.values():
                    if other.heard < now - GRACE:
                        other.expires = min(other.expires, now + GRACE)
            known[record.host] = _Known(now, now + min(record.ttl, MAX_TTL))
        known = {host: each for host, each in known.items() if each.expires > now}
        while len(known) > MAX_HOSTS:
            del known[next(iter(known))]
        if known:
            self._cache[record.name] = known
        if len(self._cache) > self._config.max_cached:
            del self._cache[next(iter(self._cache))]

    def _live(self, name: str, now: Instant) -> list[str]:
        known = self._cache.get(name, {})
        return [host for host, each in known.items() if each.expires > now]


def _kind(port: Port) -> int:
    return AAAA if port.link.is_ipv6 else A


def _question(search: _Search, port: Port, kind: int) -> MdnsMessage:
    """Returns the question: from a port of its own with a number, from 5353 without (RFC 6762 §6.7, §18.1).

    The port of its own asks for a unicast answer; the bit for that is not set, as browsers ignore such questions.
    """
    return MdnsMessage(0 if port.is_listening else search.id, questions=(Question(search.name, kind),))


def _is_credible(host: str, port: Port) -> bool:
    """Says whether an answer may be acted upon: an address that is one host's, loopback only if heard there."""
    is_plain = is_usable_destination(Address(host, PORT))
    return is_plain and (not is_loopback(host) or is_loopback(port.link.host))
