"""Names and server URIs to addresses: the system's resolver, and SRV and NAPTR for stun: and turn: URIs.

RFC 8489 §8 (STUN), RFC 5928 (TURN), RFC 2782 (SRV), RFC 3958 (S-NAPTR), RFC 8305 (order of families). The
answer is an ordered tuple, the same for every caller; whoever asks decides how many to try.

Strategy: SRV and NAPTR records are asked for at the same time as the plain addresses, so that a resolver
that swallows unusual questions, as cheap routers do, costs a short grace and not the whole time-out. Every
answer comes within `timeout`. How the system and the DNS are asked is records.py's.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from itertools import zip_longest
from typing import Final, TypeAlias, TypeVar, final

from icepath.aio.records import (
    DnsRecords,
    HostLookup,
    NamingPointer,
    RecordSource,
    TooManyLookups,
    by_weight,
    in_thread,
    system_lookup,
)
from icepath.errors import DecodeError, InvalidArgument
from icepath.ice.nat64 import WELL_KNOWN_NAME
from icepath.machine import FailReason, ResolvedAddress, Security, Transport
from icepath.mdns.names import is_multicast_name
from icepath.net import Address, Instant, Seconds, canonical_host
from icepath.wire.uri import ServerUri, parse_server_uri

ResultT = TypeVar("ResultT")

TIMEOUT: Final[Seconds] = 5.0
# How long service records are waited for once the plain addresses are known. Answers of a working resolver
# come about together; RFC 8305 §3 waits 50 ms for the second family, distant resolvers need more.
SERVICE_GRACE: Final[Seconds] = 0.5
# How long it is believed what translators the network has, or that it has none: not for longer than a computer needs to
# change its network. The records' own lifetime, which the system's resolver keeps, is an hour (RFC 7050 §4).
REMEMBERED: Final[Seconds] = 60.0
# RFC 3958 §2.2.1 lets NAPTR records lead to NAPTR records; a chain longer than this is a loop.
MAX_NAPTR_DEPTH: Final = 4
# More answers than this are of no use to anybody who tries them one after the other.
MAX_ANSWERS: Final = 16

# Not every system tells a name without addresses from an unknown one.
UNKNOWN_NAME: Final = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))

# RFC 7065 §3.2, RFC 7064 §3.2 and RFC 8489 §8.1.
SCHEMES: Final = ("stun:", "stuns:", "turn:", "turns:")

ServerTransport: TypeAlias = tuple[Transport, Security]
UDP: Final[ServerTransport] = (Transport.UDP, Security.NONE)
TCP: Final[ServerTransport] = (Transport.TCP, Security.NONE)
TLS: Final[ServerTransport] = (Transport.TCP, Security.TLS)
DTLS: Final[ServerTransport] = (Transport.UDP, Security.DTLS)

# RFC 5928 §3 and §6: application protocol tags of the RELAY service. RFC 7350 §6: turn.dtls.
PROTOCOL_TAGS: Final = {"turn.udp": UDP, "turn.tcp": TCP, "turn.tls": TLS, "turn.dtls": DTLS}


LocalLookup: TypeAlias = Callable[[str], Awaitable[str]]
"""Finds the address of a name in .local; raises ResolveFailed."""


class ResolveFailed(Exception):
    """Reports that a name has no usable address, and why; the driver makes a `Failed` of it."""

    def __init__(self, reason: FailReason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Final = reason


@final
class Resolver:
    """Answers names and URIs; one serves any number of machines."""

    def __init__(
        self,
        *,
        transports: Sequence[ServerTransport] = (UDP,),
        lookup_host: HostLookup | None = None,
        records: RecordSource | None = None,
        lookup_local: LocalLookup | None = None,
        timeout: Seconds = TIMEOUT,
        grace: Seconds = SERVICE_GRACE,
    ) -> None:
        """Takes the transports that the driver can carry, preferred first (RFC 5928 §3)."""
        self._transports: Final = tuple(transports)
        self._lookup_host = lookup_host or system_lookup
        self._records: RecordSource = records or DnsRecords()
        self._lookup_local = lookup_local or multicast_lookup
        self._timeout = timeout
        self._grace = grace
        # What the well-known name of RFC 7050 has, and until when that is believed.
        self._made: tuple[ResolvedAddress, ...] | ResolveFailed | None = None
        self._made_until: Instant = 0.0

    def resolve_now(self, what: str) -> tuple[ResolvedAddress, ...] | None:
        """Returns the answer when it needs nobody's help: an IP address, or a URI with one; else None.

        Raises: ResolveFailed when it can have no answer.
        """
        if not what.lower().startswith(SCHEMES):
            host = ip_literal(what)
            return None if host is None else (plain(host),)
        uri = self._parse(what)
        host = ip_literal(uri.host)
        if host is None:
            return None
        if uri.scheme == "stun" and uri.secure:
            # RFC 8489 §8.1: a stuns URI with an IP address MUST be rejected.
            raise ResolveFailed(FailReason.UNSUPPORTED, f"{what}: a stuns: URI needs a name, not an IP address")
        return tuple(
            ResolvedAddress(*transport, Address(host, port_of(uri, transport))) for transport in self._allowed(uri)
        )

    async def resolve(self, what: str) -> tuple[ResolvedAddress, ...]:
        """Returns the addresses of a host name or of a stun:/turn: URI, best first, at least one.

        Raises: ResolveFailed, within the time-out at the latest.
        """
        at_once = self.resolve_now(what)
        if at_once is not None:
            return at_once
        if what == WELL_KNOWN_NAME:
            return await self._translators()
        return await self._ask(what)

    async def _translators(self) -> tuple[ResolvedAddress, ...]:
        """Asks at most once a minute what the network makes of IPv4 addresses (RFC 7050 §3: "SHALL cache")."""
        now = time.monotonic()
        if self._made is None or now >= self._made_until:
            try:
                self._made = await self._ask(WELL_KNOWN_NAME)
            except ResolveFailed as failure:
                self._made = failure
            self._made_until = now + REMEMBERED
        if isinstance(self._made, ResolveFailed):
            raise ResolveFailed(self._made.reason, str(self._made))
        return self._made

    async def _ask(self, what: str) -> tuple[ResolvedAddress, ...]:
        try:
            async with asyncio.timeout(self._timeout):
                if is_multicast_name(what):
                    return (plain(await self._lookup_local(what)),)
                if not what.lower().startswith(SCHEMES):
                    return tuple(plain(host) for host in await self._hosts(what))
                return await self._server(self._parse(what))
        except TimeoutError:
            detail = f"no answer about {what} in {self._timeout:g} s"
            raise ResolveFailed(FailReason.RESOLVER, detail) from None
        except TooManyLookups as error:
            raise ResolveFailed(FailReason.RESOLVER, str(error)) from None

    # -- what a URI means ------------------------------------------------------------------------------------

    def _parse(self, what: str) -> ServerUri:
        try:
            return parse_server_uri(what)
        except (DecodeError, InvalidArgument) as error:
            raise ResolveFailed(FailReason.NAME_NOT_FOUND, str(error)) from None

    def _allowed(self, uri: ServerUri) -> tuple[ServerTransport, ...]:
        """Returns the transports that both the URI and the driver admit (RFC 5928 §3, Table 1).

        Raises: ResolveFailed when there is none.
        """
        allowed = tuple(transport for transport in self._transports if admits(uri, transport))
        if not allowed:
            raise ResolveFailed(FailReason.UNSUPPORTED, f"{uri}: its transport is not supported")
        return allowed

    async def _server(self, uri: ServerUri) -> tuple[ResolvedAddress, ...]:
        allowed = self._allowed(uri)
        if uri.port is not None:
            return numbered(await self._hosts(uri.host), uri, allowed)
        hosts = asyncio.create_task(self._hosts(uri.host))
        services = asyncio.create_task(self._discover(uri, allowed))
        try:
            return await self._first_of(uri, allowed, hosts, services)
        finally:
            await cancelled(hosts, services)

    async def _first_of(
        self,
        uri: ServerUri,
        allowed: tuple[ServerTransport, ...],
        hosts: asyncio.Task[tuple[str, ...]],
        services: asyncio.Task[tuple[ResolvedAddress, ...]],
    ) -> tuple[ResolvedAddress, ...]:
        """Prefers service records; uses plain addresses if there are none, or none in time."""
        await asyncio.wait((hosts, services), return_when=asyncio.FIRST_COMPLETED)
        if not services.done():
            known = hosts.exception() is None
            await asyncio.wait((services,), timeout=self._grace if known else None)
        found = services.result() if services.done() else ()
        # RFC 8489 §8.1, RFC 5928 §3 steps 3 and 5: without SRV records, the addresses and the default port.
        return found or numbered(await hosts, uri, allowed)

    async def _discover(self, uri: ServerUri, allowed: tuple[ServerTransport, ...]) -> tuple[ResolvedAddress, ...]:
        """Returns what NAPTR and SRV records say; empty when there are none."""
        if uri.scheme == "turn" and uri.transport is None:
            # RFC 5928 §3: step 5 (SRV) holds when the first NAPTR query has no answer; both are asked at once.
            pointers = asyncio.create_task(self._follow(uri.host, allowed, MAX_NAPTR_DEPTH))
            services = asyncio.create_task(self._all_services(uri, allowed))
            try:
                return await pointers or await services
            finally:
                await cancelled(pointers, services)
        return await self._all_services(uri, allowed)

    async def _all_services(self, uri: ServerUri, allowed: Iterable[ServerTransport]) -> tuple[ResolvedAddress, ...]:
        name = uri.scheme + ("s" if uri.secure else "")
        answers = await every(
            self._services(f"_{name}._{transport[0].value}.{uri.host}", transport) for transport in allowed
        )
        return answers[:MAX_ANSWERS]

    # -- service records -------------------------------------------------------------------------------------

    async def _services(self, name: str, transport: ServerTransport) -> tuple[ResolvedAddress, ...]:
        """Returns the addresses behind a SRV name, in RFC 2782's order.

        Raises: ResolveFailed when the only record says that the service is not offered.
        """
        records = await in_thread(self._records.services, name, self._timeout)
        if len(records) == 1 and records[0].host in ("", "."):
            # RFC 2782: a target of "." means that the service is decidedly not available at this domain.
            raise ResolveFailed(FailReason.NAME_NOT_FOUND, f"{name} says that there is no such service")
        ordered = by_weight(records)[:MAX_ANSWERS]
        return (await every(self._at(record.host, record.port, transport) for record in ordered))[:MAX_ANSWERS]

    async def _follow(self, name: str, allowed: tuple[ServerTransport, ...], depth: int) -> tuple[ResolvedAddress, ...]:
        """Returns what the NAPTR records of a name lead to (RFC 3958 §2.2), in their order."""
        if not depth:
            return ()
        records = await in_thread(self._records.pointers, name, self._timeout)
        answers: list[ResolvedAddress] = []
        for record in sorted(records, key=lambda record: (record.order, record.preference)):
            wanted = tags(record, allowed)
            if wanted and len(answers) < MAX_ANSWERS:
                answers += await self._follow_one(record, wanted, depth)
        return tuple(answers[:MAX_ANSWERS])

    async def _follow_one(
        self, record: NamingPointer, wanted: tuple[ServerTransport, ...], depth: int
    ) -> tuple[ResolvedAddress, ...]:
        target = record.replacement.rstrip(".")
        match record.flags.upper():
            case "S":
                return await every(self._services(target, transport) for transport in wanted)
            case "A":
                return await every(self._at(target, default_port(transport), transport) for transport in wanted)
            case "":
                return await self._follow(target, wanted, depth - 1)
            case _:
                return ()

    # -- hosts -----------------------------------------------------------------------------------------------

    async def _hosts(self, name: str) -> tuple[str, ...]:
        literal = ip_literal(name)
        if literal is not None:
            return (literal,)
        try:
            found = await in_thread(self._lookup_host, name)
        except (OSError, UnicodeError) as error:
            raise ResolveFailed(reason_of(error), f"{name}: {error}") from None
        hosts = interleaved(found)
        if not hosts:
            raise ResolveFailed(FailReason.NAME_NOT_FOUND, f"{name} has no address")
        return hosts

    async def _at(self, name: str, port: int, transport: ServerTransport) -> tuple[ResolvedAddress, ...]:
        """Returns a record's target as addresses; one without an address is passed over."""
        try:
            hosts = await self._hosts(name.rstrip("."))
        except ResolveFailed:
            return ()
        return tuple(ResolvedAddress(*transport, Address(host, port)) for host in hosts)


async def every(calls: Iterable[Coroutine[object, object, tuple[ResultT, ...]]]) -> tuple[ResultT, ...]:
    """Runs all at once and returns their results in order; fails only when all that is left is a failure."""
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await cancelled(*tasks)
    results = tuple(result for task in tasks if task.exception() is None for result in task.result())
    failures = [failure for failure in (task.exception() for task in tasks) if failure is not None]
    if failures and not results:
        raise failures[0]
    return results


async def cancelled(*tasks: asyncio.Task[object]) -> None:
    """Cancels what still runs and takes what it raised, so that nothing is left behind."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def multicast_lookup(name: str) -> str:
    """Asks the networks here, by the loop's one mDNS machine."""
    from icepath.aio.mdns import LocalNames  # which runs on the driver, whose resolver this is

    return await LocalNames.current().resolve(name)


# -- small rules -----------------------------------------------------------------------------------------------------


def ip_literal(text: str) -> str | None:
    """Returns the canonical text when it is an IP address, else None."""
    try:
        return canonical_host(text)
    except InvalidArgument:
        return None


def plain(host: str) -> ResolvedAddress:
    """Returns the answer for a bare host name: an address without a port."""
    return ResolvedAddress(*UDP, Address(host, 0))


def admits(uri: ServerUri, transport: ServerTransport) -> bool:
    """Says whether the URI may be reached by this transport (RFC 5928 §3, RFC 7350 §6)."""
    carrier, security = transport
    if (security is not Security.NONE) != uri.secure:
        return False
    if uri.transport is not None:
        return carrier is uri.transport
    # RFC 7064 has no transport parameter: the usage decides, and ICE asks STUN servers over UDP. DTLS is for those who
    # say so: few servers have it, and not every installation of ours.
    return security is not Security.DTLS if uri.scheme == "turn" else carrier is Transport.UDP


def port_of(uri: ServerUri, transport: ServerTransport) -> int:
    """Returns the URI's port, or the default one."""
    return default_port(transport) if uri.port is None else uri.port


def default_port(transport: ServerTransport) -> int:
    """Returns 3478, or 5349 over TLS and DTLS (RFC 8489 §8.1, RFC 8656 §7)."""
    return 3478 if transport[1] is Security.NONE else 5349


def numbered(hosts: Iterable[str], uri: ServerUri, allowed: Iterable[ServerTransport]) -> tuple[ResolvedAddress, ...]:
    """Returns every host by every transport, the preferred transport first."""
    hosts = tuple(hosts)
    answers = [
        ResolvedAddress(*transport, Address(host, port_of(uri, transport))) for transport in allowed for host in hosts
    ]
    return tuple(answers[:MAX_ANSWERS])


def interleaved(hosts: Iterable[str]) -> tuple[str, ...]:
    """Alternates the families, beginning with the first host's (RFC 8305 §4); each host once."""
    canonical = list(dict.fromkeys(filter(None, map(ip_literal, hosts))))
    if not canonical:
        return ()
    first_is_ipv6 = ":" in canonical[0]
    same = [host for host in canonical if (":" in host) == first_is_ipv6]
    other = [host for host in canonical if (":" in host) != first_is_ipv6]
    return tuple(host for pair in zip_longest(same, other) for host in pair if host is not None)


def tags(record: NamingPointer, allowed: tuple[ServerTransport, ...]) -> tuple[ServerTransport, ...]:
    """Returns the allowed transports of a RELAY record, in the application's order (RFC 5928 §3 step 4)."""
    service, *protocols = record.services.split(":")
    if service.upper() != "RELAY":
        return ()
    offered = {PROTOCOL_TAGS[tag.lower()] for tag in protocols if tag.lower() in PROTOCOL_TAGS}
    return tuple(transport for transport in allowed if transport in offered)


def reason_of(error: Exception) -> FailReason:
    """Returns the reason for a failed look-up: no such name, or a resolver that does not work."""
    if isinstance(error, UnicodeError):
        return FailReason.NAME_NOT_FOUND
    is_unknown = isinstance(error, socket.gaierror) and error.errno in UNKNOWN_NAME
    return FailReason.NAME_NOT_FOUND if is_unknown else FailReason.RESOLVER
