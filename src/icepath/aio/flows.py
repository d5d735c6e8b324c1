"""The flow table of one UDP socket: datagrams that the driver may answer without asking the machine.

A flow is a permission that a machine gave by `SetFlow`. Here live the lookup, the checks that guard it
(first byte, `until`, budget) and the counters that go back as `FlowUsed`; where the payload goes (an
application's queue, another socket) is a plain callable that the driver puts in. What a flow does to the
payload is `machine.apply_flow`, the same function as in the simulator.

Keys are what the operating system says: for IPv4 its own (host, port) tuple, which equals an `Address`.
A source whose text is not canonical misses here, and the machine, which is given the canonical address,
handles it: a missed flow costs time, never correctness.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeAlias, final

from icepath.machine import (
    FIRST_CHANNEL_BYTE,
    LAST_CHANNEL_BYTE,
    Budget,
    Deliver,
    FlowAction,
    FlowKey,
    FlowUsed,
    Relay,
    SetFlow,
    apply_flow,
    flow_channel,
)
from icepath.net import Instant

# RFC 7983 §7: a first byte of 0-3 is STUN and always the machine's.
LAST_STUN_BYTE: Final = 3

# (host, port) as the system gives it; only IPv6 sources that were not cut to two have more.
Source: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


class Sink(Protocol):
    """Takes a payload that a flow let through."""

    def __call__(self, payload: bytes, /) -> object: ...


@final
class Flow:
    """Is one permission and what was carried under it since the last report."""

    __slots__ = (
        "_window_end",
        "_window_octets",
        "action",
        "budget",
        "is_plain",
        "key",
        "last_sent",
        "octets",
        "packets",
        "sink",
        "until",
    )

    def __init__(self, command: SetFlow, sink: Sink) -> None:
        self.key: Final = command.key
        self.action: Final[FlowAction] = command.action
        self.until: Final = command.until
        self.budget: Final = command.budget
        self.sink: Final = sink
        self.is_plain: Final = (
            isinstance(command.action, Deliver) and not command.action.unwrap and command.budget is None
        )
        self.packets = 0
        self.octets = 0
        self.last_sent: Instant = 0.0
        self._window_end: Instant = 0.0
        self._window_octets = 0

    def admits(self, octets: int, budget: Budget, now: Instant) -> bool:
        """Counts the octets against the budget of the current window, unless they exceed it."""
        if now >= self._window_end:
            self._window_end = now + budget.window
            self._window_octets = 0
        if self._window_octets + octets > budget.octets:
            return False
        self._window_octets += octets
        return True

    def inherit(self, older: Flow) -> None:
        """Goes on with the window of the flow it replaces, so that renewing gives no fresh budget."""
        self._window_end = older._window_end
        self._window_octets = older._window_octets

    def used(self) -> FlowUsed | None:
        """Returns what was carried since the last call, or None."""
        if not self.packets:
            return None
        report = FlowUsed(self.key, self.packets, self.octets, self.last_sent)
        self.packets = self.octets = 0
        return report


@final
class FlowTable:
    """Keeps the flows whose local address is one socket's."""

    __slots__ = ("_channels", "_direct")

    def __init__(self) -> None:
        self._direct: dict[Source, Flow] = {}
        self._channels: dict[tuple[Source, int | None], Flow] = {}

    def __len__(self) -> int:
        return len(self._direct) + len(self._channels)

    def set(self, command: SetFlow, sink: Sink) -> FlowUsed | None:
        """Adds or renews a flow; returns what the one it replaces had carried."""
        flow = Flow(command, sink)
        key = command.key
        if key.channel is None:
            older = self._direct.get(key.remote)
            self._direct[key.remote] = flow
        else:
            older = self._channels.get((key.remote, key.channel))
            self._channels[key.remote, key.channel] = flow
        if older is None:
            return None
        flow.inherit(older)
        return older.used()

    def find(self, key: FlowKey) -> Flow | None:
        """Returns the flow of that key, whether or not it may still act."""
        if key.channel is None:
            return self._direct.get(key.remote)
        return self._channels.get((key.remote, key.channel))

    def drop(self, key: FlowKey) -> FlowUsed | None:
        """Removes a flow; returns what it had carried."""
        if key.channel is None:
            flow = self._direct.pop(key.remote, None)
        else:
            flow = self._channels.pop((key.remote, key.channel), None)
        return None if flow is None else flow.used()

    def take(self, source: Source, payload: bytes, now: Instant) -> bool:
        """Carries one datagram if a flow permits it; False means that the machine must see it.

        The caller has seen that the payload is not empty and its first byte above 3.
        """
        flow = None
        if self._channels and FIRST_CHANNEL_BYTE <= payload[0] <= LAST_CHANNEL_BYTE:
            flow = self._channels.get((source, flow_channel(payload)))
        if flow is None:
            # RFC 9443 §3: from a peer that is no TURN server these first bytes are QUIC's.
            flow = self._direct.get(source)
            if flow is None:
                return False
        if now >= flow.until:
            return False
        if not flow.is_plain:
            return _take_changed(flow, payload, now)
        flow.packets += 1
        flow.octets += len(payload)
        flow.sink(payload)
        return True

    def used(self) -> list[FlowUsed]:
        """Returns what every flow carried since its last report."""
        flows = [*self._direct.values(), *self._channels.values()]
        return [report for report in (flow.used() for flow in flows) if report is not None]


def _take_changed(flow: Flow, payload: bytes, now: Instant) -> bool:
    """Carries a datagram of a flow that has a budget, or changes the payload."""
    data = apply_flow(flow.action, payload)
    if data is None:
        return False
    if flow.budget is not None and not flow.admits(len(payload), flow.budget, now):
        return False
    flow.packets += 1
    flow.octets += len(data)
    if isinstance(flow.action, Relay):
        flow.last_sent = now
    flow.sink(data)
    return True
