"""Flows of one machine: datagrams that a driver may answer without asking it.

The rules are the contract's (ARCHITECTURE.md): a flow never matches a first byte of 0-3, never acts at or
after its end or past its budget, and reports its use for counters only. `apply_flow` changes the payload.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from icepath.machine import (
    Datagram,
    Deliver,
    Event,
    FlowAction,
    FlowKey,
    FlowUsed,
    SetFlow,
    apply_flow,
    flow_channel,
)
from icepath.net import Instant

# RFC 7983 §7: first bytes 0-3 are STUN, which the machine always sees.
_LAST_STUN_BYTE: Final = 3


@dataclass(frozen=True, slots=True)
class DataDelivered(Event):
    """Is what a flow gave to the application, in the place where the machine would have said `DataReceived`."""

    stream: int
    component: int
    payload: bytes


class _Flow:
    __slots__ = ("command", "last_sent", "octets", "packets", "window_ends", "window_octets")

    def __init__(self, command: SetFlow) -> None:
        self.command = command
        self.packets = 0
        self.octets = 0
        self.last_sent: Instant = 0.0
        self.window_ends: Instant | None = None
        self.window_octets = 0


class Flows:
    """Keeps the flows of one machine, and answers datagrams by them."""

    __slots__ = ("_flows", "_honours")

    def __init__(self, honours: bool) -> None:
        self._honours = honours
        self._flows: dict[FlowKey, _Flow] = {}

    def set(self, command: SetFlow) -> None:
        """Adds a flow, or changes one, whose counts go on."""
        if not self._honours:
            return
        flow = self._flows.get(command.key)
        if flow is None:
            self._flows[command.key] = _Flow(command)
        else:
            flow.command = command

    def drop(self, key: FlowKey) -> FlowUsed | None:
        """Ends a flow and returns what it carried since the last report, if anything."""
        flow = self._flows.pop(key, None)
        return None if flow is None else _report(key, flow)

    def clear(self) -> None:
        """Ends every flow."""
        self._flows.clear()

    def take_used(self) -> list[FlowUsed]:
        """Returns what flows carried since the last report."""
        reports = [_report(key, flow) for key, flow in self._flows.items()]
        return [report for report in reports if report is not None]

    def answer(self, datagram: Datagram, now: Instant) -> Datagram | DataDelivered | None:
        """Returns what a flow makes of the datagram, or None when the machine must see it."""
        payload = datagram.payload
        if not self._flows or not payload or payload[0] <= _LAST_STUN_BYTE:
            return None
        flow = self._match(datagram, payload)
        if flow is None or now >= flow.command.until:
            return None
        action = flow.command.action
        out = apply_flow(action, payload)
        if out is None or _is_for_the_machine(action, out) or not _spend(flow, len(payload), now):
            return None
        flow.packets += 1
        flow.octets += len(out)
        return _act(flow, action, out, now)

    def _match(self, datagram: Datagram, payload: bytes) -> _Flow | None:
        channel = flow_channel(payload)
        if channel is not None:
            flow = self._flows.get(FlowKey(datagram.local, datagram.remote, channel))
            if flow is not None:
                return flow
        return self._flows.get(FlowKey(datagram.local, datagram.remote))


def _is_for_the_machine(action: FlowAction, out: bytes) -> bool:
    # A check or consent that came over a relay: STUN inside ChannelData, which no application is to see.
    return isinstance(action, Deliver) and action.unwrap and (not out or out[0] <= _LAST_STUN_BYTE)


def _spend(flow: _Flow, octets: int, now: Instant) -> bool:
    budget = flow.command.budget
    if budget is None:
        return True
    if flow.window_ends is None or now >= flow.window_ends:
        flow.window_ends = now + budget.window
        flow.window_octets = 0
    if flow.window_octets + octets > budget.octets:
        return False
    flow.window_octets += octets
    return True


def _act(flow: _Flow, action: FlowAction, out: bytes, now: Instant) -> Datagram | DataDelivered:
    if isinstance(action, Deliver):
        return DataDelivered(action.stream, action.component, out)
    flow.last_sent = now
    return Datagram(action.local, action.remote, out)


def _report(key: FlowKey, flow: _Flow) -> FlowUsed | None:
    if not flow.packets:
        return None
    report = FlowUsed(key, flow.packets, flow.octets, flow.last_sent)
    flow.packets = flow.octets = 0
    return report
