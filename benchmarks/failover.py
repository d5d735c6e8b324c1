"""How long data stops when the path in use dies, in round trips, in virtual time: with renomination and without.

    python benchmarks/failover.py [--runs 5]

Both sides have two interfaces, every link is 25 ms, so R, a round trip between the two, is 100 ms. Live data flows both
ways, a datagram every 10 ms. Each case is run with the break at so many moments between two consent checks (4 to 6 s
apart). Told is the median and the longest pause of what A and B hear; "for good" is a path that did not come back
without a restart. What breaks is in icepath.lab.failover.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace
from math import inf

from icepath.ice.config import Role
from icepath.lab import failover
from icepath.lab.encounter import Plan

R = 0.1
TWO = Plan("two", "two")
HOMES = Plan("two-apdf", "two-apdf")
SWAPPED = (Role.CONTROLLED, Role.CONTROLLING)
CASES: list[tuple[str, Plan, failover.Break]] = [
    ("A's address is removed, A controls", TWO, failover.remove_address),
    ("B's address is removed, A controls", TWO, failover.remove_remote_address),
    ("A's uplink is cut silently", TWO, failover.cut),
    ("B's uplink is cut silently", TWO, failover.cut_remote),
    ("A's router is cut off silently, NATs", HOMES, failover.cut),
    ("A's NAT gives other ports", replace(HOMES, place_b="two"), failover.rebind),
    ("A's NAT gives other ports, B controls", replace(HOMES, place_b="two", roles=SWAPPED), failover.rebind),
    ("A's relay dies, relays only", replace(TWO, relay_only=True), failover.kill_relay),
]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    print(f"{'':40} {'with renomination':^31} {'without':^31}")
    print(f"{'pause in R, median (longest)':40} {'A -> B':>15} {'B -> A':>15} {'A -> B':>15} {'B -> A':>15}")
    for name, plan, what in CASES:
        cells: list[str] = []
        for offered in (True, False):
            outages = [
                failover.measure(replace(plan, seed=run, renomination=(offered, offered)), what, delay=run * 5.0 / runs)
                for run in range(runs)
            ]
            cells += [_cell([each.a_to_b for each in outages]), _cell([each.b_to_a for each in outages])]
        print(f"{name:40}", *[f"{cell:>15}" for cell in cells])


def _cell(pauses: list[float]) -> str:
    middle = statistics.median(pauses)
    if middle == inf:
        return "for good"
    longest = max(pauses)
    return f"{middle / R:.1f} (for good)" if longest == inf else f"{middle / R:.1f} ({longest / R:.1f})"


if __name__ == "__main__":
    main()
