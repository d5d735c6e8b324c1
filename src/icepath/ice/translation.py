"""An agent that has IPv6 only, where a network translates to IPv4 (NAT64): it asks for the prefix when it needs one.

The question is a `Resolve` like any other, of the well-known name (RFC 7050 §3); the driver's resolver bounds and keeps
the answer. From then on servers and remote candidates of IPv4 are reached at translated addresses beside their own, and
what servers see is a reflexive candidate of IPv4 whose base is of IPv6 (RFC 8445 §5.1.1.2).
"""

from __future__ import annotations

from icepath.ice.core import Core
from icepath.ice.nat64 import WELL_KNOWN_NAME, find_prefixes
from icepath.machine import Failed, Resolve, Resolved
from icepath.net import is_loopback


def lacks_ipv4(core: Core) -> bool:
    """Says whether there is IPv6 to send from and no IPv4, and the prefix has not been asked for."""
    if core.nat64.has_asked:
        return False
    hosts = [socket.address for socket in core.sockets.values() if socket.relay is None]
    return all(address.is_ipv6 for address in hosts) and not all(is_loopback(address.host) for address in hosts)


def ask_for_prefixes(core: Core) -> None:
    """Asks, once (RFC 7050 §3: "only when needed")."""
    core.nat64.has_asked = True
    core.nat64.query = core.next_handle()
    core.outbox.put(Resolve(core.nat64.query, WELL_KNOWN_NAME))


def take_prefixes(core: Core, answer: Resolved | Failed) -> bool:
    """Takes the answer; False when it is to another question."""
    if answer.handle != core.nat64.query:
        return False
    core.nat64.query = None
    if isinstance(answer, Resolved):
        core.nat64.prefixes = find_prefixes(found.address.host for found in answer.answers)
    return True
