"""What the virtual network's resolver knows: a table, a delay, and whether it answers at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from icepath.machine import Failed, FailReason, Resolve, Resolved, ResolvedAddress, Security, Transport
from icepath.net import Address, Seconds

# What a resolver that gets no answer takes: three tries of five seconds, as resolv.conf(5) has it.
DEAD_AFTER: Final[Seconds] = 15.0


class Names:
    """Answers `Resolve` commands."""

    def __init__(self) -> None:
        self.delay: Seconds = 0.0
        self.is_alive = True
        self.dead_after: Seconds = DEAD_AFTER
        self._table: dict[str, tuple[ResolvedAddress, ...]] = {}

    def add(self, what: str, answers: Iterable[ResolvedAddress]) -> None:
        """Sets the answers for a name or URI, as the machines ask for it, best first."""
        self._table[what] = tuple(answers)

    def add_host(self, name: str, *hosts: str) -> None:
        """Sets the addresses of a host name, whose port nobody asks for."""
        self.add(name, (ResolvedAddress(Transport.UDP, Security.NONE, Address(host, 0)) for host in hosts))

    def answer(self, query: Resolve) -> tuple[Seconds, Resolved | Failed]:
        """Returns how long the answer takes, and the answer."""
        if not self.is_alive:
            return self.dead_after, Failed(query.handle, FailReason.RESOLVER, "no answer from the resolver")
        answers = self._table.get(query.what)
        if answers is None:
            return self.delay, Failed(query.handle, FailReason.NAME_NOT_FOUND, f"{query.what} does not exist")
        return self.delay, Resolved(query.handle, answers)
