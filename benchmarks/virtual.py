"""Time to connect on the virtual network, beside the derived minimum; and under loss, over many seeds.

    python benchmarks/virtual.py                    the table, in round trips (R = 100 ms between the two)
    python benchmarks/virtual.py --loss 0.2 --seeds 1000

The minimum is the time until both sides know each other's first useful candidates, plus one round trip for
the check. "usable" is the later side's first valid pair, counted from the start of both. Under loss, "lawful" beside
the 99th percentile is what it cannot be below while nobody repeats sooner than RFC 8445 §14.3 allows: lawful.py
derives and computes it for the loss that was asked for.
"""

from __future__ import annotations

import argparse
import statistics
import time

from icepath.lab.encounter import Encounter, Plan
from lawful import bound

R = 0.1
ROWS: list[tuple[str, str | None, float]] = [
    ("none", "none", 1.0),
    ("apdf", "none", 1.5),
    ("eif", "eif", 1.5),
    ("apdf", "apdf", 1.5),
    ("adf", "sym", 2.0),
    ("sym", "adf", 2.0),
    ("none", "sym", 1.5),
    ("sym", "none", 1.5),
    ("sym", "apdf", 2.0),
    ("apdf", "sym", 2.0),
    ("sym", "sym", 2.0),
    ("cgn-apdf", "apdf", 1.5),
    ("cgn-sym", "apdf", 2.0),
    ("same", None, 0.0),
    ("same-iso", None, 2.0),
    ("same-hp", None, 0.5),
    ("samecgn", None, 2.0),
    ("samecgn-hp", None, 1.5),
    ("v6", "v6", 1.0),
    ("ds", "ds", 1.0),
    ("ds-sym", "ds-sym", 1.0),
    ("ds", "apdf", 1.5),
    ("v6", "apdf", 2.0),
]
# The best peer's median under 20 % loss on each uplink, measured over real namespaces, 8 runs a row, in R.
LOSS_ROWS: list[tuple[str, str, float]] = [
    ("none", "none", 2.0),
    ("apdf", "apdf", 4.5),
    ("sym", "apdf", 6.0),
    ("sym", "sym", 8.3),
]


def usable_after(plan: Plan) -> float | None:
    """Returns the round trips until both sides may send, or None."""
    encounter = Encounter(plan)
    encounter.run(seconds=60.0)
    times = [side.usable_at for side in (encounter.a, encounter.b)]
    latest = max((at for at in times if at is not None), default=None)
    return None if None in times or latest is None else (latest - encounter.start) / R


def print_table() -> None:
    """Prints every row of NATs beside its minimum."""
    print(f"{'NAT A : NAT B':22} {'minimum':>8} {'ours':>6} {'over':>6}")
    for a, b, minimum in ROWS:
        ours = usable_after(Plan(a, b))
        name = a if b is None else f"{a}:{b}"
        shown, over = ("fails", "") if ours is None else (f"{ours:.2f}", f"{ours - minimum:+.2f}")
        print(f"{name:22} {minimum:8.1f} {shown:>6} {over:>6}")


def print_losses(loss: float, seeds: int) -> None:
    """Prints the distribution under loss of each row over many seeds."""
    print(f"{loss:.0%} loss on each client's uplink, {seeds} seeds, in R")
    heads = f"{'median':>7} {'90 %':>6} {'99 %':>6} {'lawful':>7} {'worst':>6} {'best peer':>10}"
    print(f"{'NAT A : NAT B':16} {'connected':>10} {heads}")
    for a, b, peer in LOSS_ROWS:
        found = [usable_after(Plan(a, b, seed=seed, uplink_loss=loss)) for seed in range(seeds)]
        times = sorted(time for time in found if time is not None)
        cuts = statistics.quantiles(times, n=100)
        print(
            f"{a + ':' + b:16} {len(times):>5}/{seeds:<4} {statistics.median(times):7.2f} {cuts[89]:6.1f} "
            f"{cuts[98]:6.1f} {bound(f'{a}:{b}', loss):7.1f} {times[-1]:6.1f} {peer:10.1f}"
        )


def main() -> None:
    """Parses the options and prints what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loss", type=float, help="share of packets lost on each client's uplink")
    parser.add_argument("--seeds", type=int, default=1000)
    options = parser.parse_args()
    begun = time.perf_counter()
    if options.loss is None:
        print_table()
    else:
        print_losses(options.loss, options.seeds)
    print(f"({time.perf_counter() - begun:.1f} s of computing)")


if __name__ == "__main__":
    main()
