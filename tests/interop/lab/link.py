"""A program that carries IP packets between two namespaces with a fixed delay and seeded loss.

Each line is a pair of TUN devices, one in each namespace. A packet read from one is written to the other `delay`
seconds later, unless the seeded generator of its direction loses it. One process carries all lines of a laboratory.

The kernel's own delay queue (netem) is not everywhere; this needs only /dev/net/tun and root. The loop is select()
and a heap: select's time-out is kept to the microsecond, epoll's only to the millisecond. How late each packet left
is measured, and reported with the counts as one JSON line when standard input ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import heapq
import json
import os
import random
import select
import struct
import sys
import time
from dataclasses import asdict, dataclass

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x0001 | 0x1000
CLONE_NEWNET = 0x40000000
PR_SET_TIMERSLACK = 29
# Larger than any packet a TUN device hands over (its MTU is 1500).
READ_SIZE = 2048
# Enough for ten minutes at several hundred packets a second; later packets are counted, not timed.
MEASURED_PACKETS = 200_000


@dataclass(frozen=True, slots=True)
class LineSpec:
    """One access line: `near` is the subscriber's side, so `up` is what it sends."""

    near_namespace: str
    near_device: str
    far_namespace: str
    far_device: str
    delay: float = 0.025
    loss_up: float = 0.0
    loss_down: float = 0.0
    seed: int = 1


@dataclass(slots=True)
class Direction:
    """What one direction of a line needs at run time."""

    output: int
    delay: float
    loss: float
    random: random.Random
    carried: int = 0
    lost: int = 0


class LinkLoop:
    """The delay queue of all lines."""

    def __init__(self, directions: dict[int, Direction], control: int) -> None:
        self._directions = directions
        self._control = control
        self._queue: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        self._lateness: list[float] = []
        self._watched = [control, *directions]

    def run(self) -> None:
        """Carries packets until the control descriptor says end of file."""
        while True:
            timeout = None
            if self._queue:
                timeout = max(0.0, self._queue[0][0] - time.monotonic())
            readable, _, _ = select.select(self._watched, (), (), timeout)
            self._write_due()
            for descriptor in readable:
                if descriptor != self._control:
                    self._read_all(descriptor)
                elif not os.read(descriptor, 4096):
                    return

    def report(self) -> dict[str, float | int]:
        """The counts, and how late packets left, in milliseconds."""
        late = sorted(self._lateness) or [0.0]
        return {
            "carried": sum(direction.carried for direction in self._directions.values()),
            "lost": sum(direction.lost for direction in self._directions.values()),
            "late_median_ms": round(1000 * late[len(late) // 2], 3),
            "late_p99_ms": round(1000 * late[len(late) * 99 // 100], 3),
            "late_max_ms": round(1000 * late[-1], 3),
        }

    def _read_all(self, descriptor: int) -> None:
        direction = self._directions[descriptor]
        now = time.monotonic()
        while True:
            try:
                packet = os.read(descriptor, READ_SIZE)
            except BlockingIOError:
                return
            if direction.loss and direction.random.random() < direction.loss:
                direction.lost += 1
                continue
            direction.carried += 1
            self._count += 1
            heapq.heappush(self._queue, (now + direction.delay, self._count, direction.output, packet))

    def _write_due(self) -> None:
        queue = self._queue
        while queue and queue[0][0] <= (now := time.monotonic()):
            due, _, output, packet = heapq.heappop(queue)
            if len(self._lateness) < MEASURED_PACKETS:
                self._lateness.append(now - due)
            # A device that is down or full loses the packet, as a line would.
            with contextlib.suppress(OSError):
                os.write(output, packet)


def open_tun(namespace: str, device: str) -> int:
    """Makes a TUN device in a namespace and gives its descriptor; the process stays in that namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}") as handle:
        if libc.setns(handle.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns to {namespace}")
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN_NO_PI))
    return descriptor


def open_lines(specs: list[LineSpec]) -> dict[int, Direction]:
    """Opens both devices of every line; the result is keyed by the descriptor packets are read from."""
    directions: dict[int, Direction] = {}
    for spec in specs:
        near = open_tun(spec.near_namespace, spec.near_device)
        far = open_tun(spec.far_namespace, spec.far_device)
        directions[near] = Direction(far, spec.delay, spec.loss_up, random.Random(2 * spec.seed))
        directions[far] = Direction(near, spec.delay, spec.loss_down, random.Random(2 * spec.seed + 1))
    return directions


def sharpen_timers() -> None:
    """Asks for exact timers and for the processor before ordinary programs; a refusal only costs precision."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def encode_specs(specs: list[LineSpec]) -> str:
    """The argument the program takes."""
    return json.dumps([asdict(spec) for spec in specs])


def main() -> None:
    specs = [LineSpec(**spec) for spec in json.loads(sys.argv[1])]
    loop = LinkLoop(open_lines(specs), sys.stdin.fileno())
    sharpen_timers()
    gc.disable()  # nothing here makes cycles, and a collection is a pause
    print(json.dumps({"type": "ready"}), flush=True)
    loop.run()
    print(json.dumps({"type": "report", **loop.report()}), flush=True)


if __name__ == "__main__":
    main()
