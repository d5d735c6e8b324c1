"""How soon two agents can possibly connect under loss, when neither repeats a request earlier than RFCs allow.

    python benchmarks/lawful.py [--loss 0.2] [--draws 20000]

One packet in five lost is not only slower on average: it makes a share of runs wait for a repeat, however good the
agent. RFC 8445 §14.3: "Agents MUST NOT use an RTO value smaller than 500 ms", five round trips (5 R) here. Until then
only another side's packet may make an agent send again (a triggered check, §7.3.1.4; the nominating check, §8.1.1).

Between public addresses both first checks are lost in 0.2 * 0.2 = 4 % of runs. Nobody has received anything then, so
the direct path is silent until 5 R and valid at 6 R at the earliest: the 99th percentile cannot be lower by that path.
Relays are a second source, from 1 R on, but only if four packets more came through (Allocate twice, CreatePermission,
a check), so with them it is lower, and without a direct path it is far higher. There is no closed form of use, so the
bound is a quantile over draws of an agent that is better than any real one can be:

- it has no gap between its packets (Ta = 0), no processing time, and signalling takes none;
- it sends its first check on a path at the very instant the path opens on both sides, so no check is wasted on a NAT
  that drops it or on a missing permission; one path is open whatever happens on another, and all are used at once;
- it asks for its reflexive and its relayed address at 0; an Allocate takes two requests (401, then success), and
  tells the reflexive address too; one CreatePermission opens all paths through a relay, and since the round trip
  is known by then, RFC 8489 §6.2.1 (RFC 6298) lets it be repeated after 3 server round trips, 1.5 R;
- each check that arrives is answered, and makes who is not yet valid check again at once; a side that is valid
  on any path is usable; the controlling one nominates every path that is valid, at once.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
from collections.abc import Iterator, Mapping
from math import inf

# All times in R, the round trip between the two (100 ms): the server is half as far, as in the tables.
ONE_WAY = 0.5
SERVER_ROUND_TRIP = 0.5
RTO = 5.0
# RFC 6298 §2.2: after the first measurement, SRTT + 4 * RTTVAR, where RTTVAR is SRTT / 2.
PERMISSION_RTO = 3 * SERVER_ROUND_TRIP
# What opens the direct path of a row, where there is one: nothing to learn, or both reflexive addresses.
DIRECT: Mapping[str, str | None] = {"none:none": "host", "apdf:apdf": "reflexive", "sym:apdf": None, "sym:sym": None}
CONTROLLING = 0
CHECK, NOMINATING, ARRIVES, ANSWERED = range(4)


def bound(row: str, loss: float, *, share: float = 0.99, draws: int = 20_000) -> float:
    """Returns the time in R that at least 1 - `share` of all runs of a row need, whatever the agent."""
    rng = random.Random(f"{DIRECT[row]} {loss}")  # rows that differ in nothing counted here get the same bound
    times = [usable(DIRECT[row], loss, rng) for _ in range(draws)]
    return statistics.quantiles(times, n=1000)[round(1000 * share) - 1]


def usable(direct: str | None, loss: float, rng: random.Random) -> float:
    """Returns when the later side can send, in one draw."""
    first = [inf, inf]
    for opened in sorted(openings(direct, loss, rng)):
        if opened >= max(first):
            break
        first = [min(known, new) for known, new in zip(first, path(opened, loss, rng), strict=True)]
    return max(first)


def openings(direct: str | None, loss: float, rng: random.Random) -> Iterator[float]:
    """Yields when each path opens: the direct one, by either relay, by both."""
    relayed = [succeeds(succeeds(0.0, loss, rng), loss, rng) for _ in range(2)]
    if direct == "host":
        yield 0.0
    elif direct == "reflexive":
        yield max(min(succeeds(0.0, loss, rng), allocated) for allocated in relayed)
    permitted = [arrival(at, loss, rng, PERMISSION_RTO) for at in relayed]
    yield from permitted
    yield max(permitted)


def succeeds(start: float, loss: float, rng: random.Random) -> float:
    """Returns when a request to a server is answered: the way down loses nothing."""
    return arrival(start, loss, rng, RTO) + SERVER_ROUND_TRIP


def arrival(start: float, loss: float, rng: random.Random, rto: float) -> float:
    """Returns when the first copy of a request that is not lost was sent: at 0, RTO, 3 RTO, 7 RTO ..."""
    at = start
    while rng.random() < loss:
        at, rto = at + rto, 2 * rto
    return at


def path(opened: float, loss: float, rng: random.Random) -> list[float]:
    """Returns when a check of each side is answered, on one path from when it opens."""
    valid: list[float | None] = [None, None]
    current = [0, 0]  # the transaction of each side; a triggered check cancels the one before (RFC 8445 §7.3.1.4)
    # (time, what, side, its transaction, how often it was sent before)
    queue = [(opened, CHECK, side, 0, 0) for side in (0, 1)]
    while True:
        now, what, side, transaction, sent = heapq.heappop(queue)
        if what == ANSWERED and valid[side] is None:
            valid[side] = now
            if (other := valid[1 - side]) is not None:
                return [now, other] if side == 0 else [other, now]
            if side == CONTROLLING:
                heapq.heappush(queue, (now, NOMINATING, side, 0, 0))
        elif what == ARRIVES:
            if rng.random() >= loss:
                heapq.heappush(queue, (now + ONE_WAY, ANSWERED, 1 - side, 0, 0))
            if valid[side] is None:
                current[side] += 1
                heapq.heappush(queue, (now, CHECK, side, current[side], 0))
        elif what == NOMINATING or (what == CHECK and valid[side] is None and transaction == current[side]):
            if rng.random() >= loss:
                heapq.heappush(queue, (now + ONE_WAY, ARRIVES, 1 - side, 0, 0))
            heapq.heappush(queue, (now + RTO * 2**sent, what, side, transaction, sent + 1))


def main() -> None:
    """Prints the bounds of all rows."""
    parser = argparse.ArgumentParser(description="The least time to connect that lawful repeats allow, in R")
    parser.add_argument("--loss", type=float, default=0.2, help="share of packets lost on each client's uplink")
    parser.add_argument("--draws", type=int, default=20_000)
    options = parser.parse_args()
    shares = (0.5, 0.9, 0.99)
    print(f"{'NAT A : NAT B':16}" + "".join(f"{share:>7.0%}" for share in shares))
    for row in DIRECT:
        bounds = (bound(row, options.loss, share=share, draws=options.draws) for share in shares)
        print(f"{row:16}" + "".join(f"{each:7.1f}" for each in bounds))


if __name__ == "__main__":
    main()
