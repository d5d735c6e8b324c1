"""Time to connect on the virtual network, beside the derived minimum; and under loss, over many seeds.

    python benchmarks/virtual.py                    the table, in round trips (R = 100 ms between the two)
    python benchmarks/virtual.py --loss 0.2 --seeds 1000

The minimum is the time until both sides know each other's first useful candidates, plus one round trip for
the check. "usable" is the later side's first valid pair, counted from the start of both. Under loss, "lawful" beside
the 99th percentile is what it cannot be below while nobody repeats sooner than RFC 8445 §14.3 allows: lawful.py
derives and computes it for the loss that was asked for. Where a row needs notably more than its minimum, a line
below it says what the time went into, read from the packets of that run.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time

from icepath.errors import InvalidArgument
from icepath.lab.encounter import Encounter, Plan, Side
from icepath.sim.packet import PacketRecord, Verdict
from lawful import bound

R = 0.1
# What a row may need beyond its minimum before somebody wants to know why: six slots of 5 ms.
NOTABLE = 0.3
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
    ("samecgn-hp", None, 2.0),  # docs/decisions/0012
    ("v6", "v6", 1.0),
    ("ds", "ds", 1.0),
    ("ds-sym", "ds-sym", 1.0),
    ("ds", "apdf", 1.5),
    ("v6", "apdf", 2.0),
]
# Where UDP is dropped: all three URLs of the TURN server are listed; 50 ms (0.5 R here) of grace for UDP come on top.
BLOCKED_ROWS: list[tuple[str, str, float]] = [
    ("udpblock", "apdf", 2.5),
    ("udpblock", "udpblock", 2.5),
    ("tcp443", "apdf", 3.0),
    ("tcp443", "tcp443", 3.0),
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


# A Binding request, and its success, bare or inside a TURN message: type, length, magic cookie, transaction.
CHECK = re.compile(rb"\x00\x01..\x21\x12\xa4\x42(.{12})", re.DOTALL)
ANSWER = re.compile(rb"\x01\x01..\x21\x12\xa4\x42(.{12})", re.DOTALL)


def why(row: str, minimum: float) -> str:
    """Returns in one line what a row's time beyond its minimum goes into, as the packets in virtual time tell."""
    a, _, b = row.partition(":")
    records: list[PacketRecord] = []
    try:
        blocked = not {a, b}.isdisjoint({"udpblock", "tcp443"})
        encounter = Encounter(Plan(a, b or None, all_transports=blocked))
    except InvalidArgument as error:
        return f"not to be had in virtual time: {error}"
    encounter.world.on_packet(records.append)
    encounter.run(seconds=60.0)
    late = max((encounter.a, encounter.b), key=lambda side: side.usable_at or float("inf"))
    if late.usable_at is None:
        return f"{late.name} does not connect in virtual time either"
    took = (late.usable_at - encounter.start) / R
    if took - minimum <= NOTABLE:
        return f"{took:.2f} R in virtual time: the rest is not the agent's waiting but load, programs, real servers"
    return _history(late, late.usable_at, encounter.start, records)


def _history(late: Side, usable_at: float, start: float, records: list[PacketRecord]) -> str:
    """Returns when the late side's answered check left, and what became of those it sent there before."""
    mine = [record for record in records if record.where == late.name and record.at <= usable_at]
    came = [record.payload for record in mine if record.verdict is Verdict.DELIVERED]
    answers = [found[1] for payload in came if (found := ANSWER.search(payload))]
    went = [record for record in mine if record.verdict is Verdict.SENT]
    sent = [(record, found[1]) for record in went if (found := CHECK.search(record.payload))]
    winner, _ = next((each for each in sent if each[1] == answers[-1]), (None, b""))
    if winner is None:
        return f"{late.name} was answered, but its check is not in the capture"
    left = f"{late.name}'s check that was answered left at {(winner.at - start) / R:.2f} R"
    for earlier, transaction in sent:
        if earlier.at < winner.at and earlier.destination == winner.destination and transaction not in answers:
            drops = [each for each in records if each.verdict is Verdict.DROPPED and transaction in each.payload]
            fate = f"was dropped at {drops[0].where} ({drops[0].loss})" if drops else "got no answer in time"
            return f"{left}: the one of {(earlier.at - start) / R:.2f} R {fate}"
    return f"{left}: nothing was sent there before"


def print_table() -> None:
    """Prints every row of NATs beside its minimum."""
    print(f"{'NAT A : NAT B':22} {'minimum':>8} {'ours':>6} {'over':>6}")
    for a, b, minimum in ROWS:
        ours = usable_after(Plan(a, b))
        name = a if b is None else f"{a}:{b}"
        shown, over = ("fails", "") if ours is None else (f"{ours:.2f}", f"{ours - minimum:+.2f}")
        print(f"{name:22} {minimum:8.1f} {shown:>6} {over:>6}")
        if ours is None or ours - minimum > NOTABLE:
            print(f"    {why(name, minimum)}")
    for a, b, minimum in BLOCKED_ROWS:
        ours = usable_after(Plan(a, b, all_transports=True))
        shown, over = ("fails", "") if ours is None else (f"{ours:.2f}", f"{ours - minimum:+.2f}")
        print(f"{a + ':' + b:22} {minimum:8.1f} {shown:>6} {over:>6}   of it 0.50 R of grace for UDP")


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
