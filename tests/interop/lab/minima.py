"""What each row allows: the derived minimum time to connect, in round trips, and whether a direct path exists.

The minimum is the time until both know each other's first useful candidates, plus one round trip for the check and
its answer. A host candidate is known at 0, a reflexive one after half a round trip (the server is half as far as
the other client), a relayed one after a whole one (401, then success), later by a half for each round trip that a
TCP or TLS connection needs first. Where address- and port-dependent mapping meets address- and port-dependent
filtering, no direct path exists (RFC 5128 §3.4), nor between isolated networks without hairpinning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Bound:
    """The best that a row allows."""

    round_trips: float
    relayed: bool = False


BOUNDS: Mapping[str, Bound] = MappingProxyType(
    {
        "none:none": Bound(1.0),
        "apdf:none": Bound(1.5),
        "eif:eif": Bound(1.5),
        "apdf:apdf": Bound(1.5),
        "adf:sym": Bound(2.0),
        "sym:adf": Bound(2.0),
        "none:sym": Bound(1.5),
        "sym:none": Bound(1.5),
        "sym:apdf": Bound(2.0, relayed=True),
        "apdf:sym": Bound(2.0, relayed=True),
        "sym:sym": Bound(2.0, relayed=True),
        "cgn-apdf:apdf": Bound(1.5),
        "cgn-sym:apdf": Bound(2.0, relayed=True),
        "udpblock:apdf": Bound(2.5, relayed=True),
        "tcp443:apdf": Bound(2.5, relayed=True),
        "udpblock:udpblock": Bound(2.5, relayed=True),
        "same": Bound(0.0),
        "same-iso": Bound(2.0, relayed=True),
        "same-hp": Bound(0.5),
        "samecgn": Bound(2.0, relayed=True),
        # Both checks meet in one NAT, which drops the first: docs/decisions/0012 derives it.
        "samecgn-hp": Bound(2.0),
        "v6:v6": Bound(1.0),
        "ds:ds": Bound(1.0),
        "ds-sym:ds-sym": Bound(1.0),
        "ds:apdf": Bound(1.5),
        "v6:apdf": Bound(2.0, relayed=True),
    }
)
