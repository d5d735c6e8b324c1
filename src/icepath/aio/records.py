"""What the resolver asks: the system for addresses, the DNS for SRV and NAPTR records.

Blocking calls run in daemon threads of their own, not in the loop's executor: a stuck `getaddrinfo` cannot
be stopped, and asyncio.run would wait for it. dnspython is imported at the first question, in the thread.
RFC 2782 (SRV and its weights), RFC 3403 (NAPTR).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Protocol, TypeAlias, TypeVar, final

from icepath.net import Address, Seconds

ResultT = TypeVar("ResultT")

MAX_THREADS: Final = 32


class TooManyLookups(Exception):
    """Reports that as many look-ups as may wait at a time are waiting."""


@dataclass(frozen=True, slots=True)
class Service:
    """Is one SRV record."""

    host: str
    port: int
    priority: int = 0
    weight: int = 0


@dataclass(frozen=True, slots=True)
class NamingPointer:
    """Is one NAPTR record."""

    order: int
    preference: int
    flags: str
    services: str
    replacement: str


class RecordSource(Protocol):
    """Asks the DNS; blocking, called in a thread. No record and no such name is an empty list."""

    def services(self, name: str, timeout: Seconds) -> list[Service]:
        """Returns the SRV records."""
        ...

    def pointers(self, name: str, timeout: Seconds) -> list[NamingPointer]:
        """Returns the NAPTR records."""
        ...


HostLookup: TypeAlias = Callable[[str], Sequence[str]]
"""Returns the host's IP addresses, best first; blocking, called in a thread; raises OSError."""


def by_weight(records: Iterable[Service]) -> list[Service]:
    """Returns SRV records by priority and, within one, drawn by weight (RFC 2782)."""
    ordered: list[Service] = []
    for _, group in sorted(grouped(records).items()):
        # Records of weight 0 first, so that they have a small chance beside others.
        left = sorted(group, key=lambda record: record.weight)
        while left:
            draw = random.randint(0, sum(record.weight for record in left))
            sums = accumulate(record.weight for record in left)
            ordered.append(left.pop(next(index for index, total in enumerate(sums) if total >= draw)))
    return ordered


def grouped(records: Iterable[Service]) -> dict[int, list[Service]]:
    """Returns the records by priority."""
    groups: dict[int, list[Service]] = {}
    for record in records:
        groups.setdefault(record.priority, []).append(record)
    return groups


def system_lookup(name: str) -> Sequence[str]:
    """Asks the system's resolver, which also knows /etc/hosts; in RFC 6724's order."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)]


@final
class DnsRecords:
    """Asks the DNS for SRV and NAPTR records, with dnspython, which is imported at the first question."""

    def __init__(self, servers: Sequence[Address] = ()) -> None:
        """Takes the name servers; the system's own when there are none."""
        self._servers = tuple(servers)

    def services(self, name: str, timeout: Seconds) -> list[Service]:
        """Returns the SRV records of a name."""
        from dns.rdtypes.IN.SRV import SRV

        records = [record for record in self._ask(name, "SRV", timeout) if isinstance(record, SRV)]
        return [Service(str(r.target), int(r.port), int(r.priority), int(r.weight)) for r in records]

    def pointers(self, name: str, timeout: Seconds) -> list[NamingPointer]:
        """Returns the NAPTR records of a name."""
        from dns.rdtypes.IN.NAPTR import NAPTR

        records = [record for record in self._ask(name, "NAPTR", timeout) if isinstance(record, NAPTR)]
        return [
            NamingPointer(
                int(r.order),
                int(r.preference),
                r.flags.decode("ascii", "replace"),
                r.service.decode("ascii", "replace"),
                str(r.replacement),
            )
            for r in records
        ]

    def _ask(self, name: str, kind: str, timeout: Seconds) -> list[object]:
        import dns.exception
        import dns.nameserver
        import dns.resolver

        try:
            resolver = dns.resolver.Resolver(configure=not self._servers)
            if self._servers:
                resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in self._servers]
            answer = resolver.resolve(name, kind, lifetime=timeout, search=False, raise_on_no_answer=False)
        except (dns.exception.DNSException, OSError):
            # No such name, no answer, no resolver: all of them mean that there is no record to go by.
            return []
        return list(answer)


async def in_thread(call: Callable[..., ResultT], *args: object) -> ResultT:
    """Runs a blocking call in a daemon thread; cancelling stops the waiting, not the call."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[ResultT] = loop.create_future()

    def run() -> None:
        try:
            result = call(*args)
        except BaseException as error:
            post(_set_exception, error)
        else:
            post(_set_result, result)

    def post(setter: Callable[..., None], value: object) -> None:
        threads.release()
        # A loop closed meanwhile raises: nobody waits any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(setter, future, value)

    threads = _threads
    if not threads.acquire(blocking=False):
        raise TooManyLookups(f"{MAX_THREADS} look-ups are already waiting")
    threading.Thread(target=run, name="icepath resolver", daemon=True).start()
    return await future


# Look-ups that hang until the system gives up must not pile up without bound.
_threads: Final = threading.BoundedSemaphore(MAX_THREADS)


def _set_result(future: asyncio.Future[ResultT], result: ResultT) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: asyncio.Future[ResultT], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
