"""A small lawful machine, and the same with one flaw each: what the laws' test is itself tested with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias, assert_never

from icepath.errors import InvalidState
from icepath.machine import (
    Accepted,
    Arrival,
    Bind,
    Bytes,
    Close,
    Closed,
    Command,
    Datagram,
    DatagramDropped,
    DropReason,
    Event,
    Failed,
    FlowUsed,
    Handle,
    MachineClosed,
    Opened,
    Resolved,
    Unreachable,
)
from icepath.net import Address, Instant, RandomBytes, Seconds
from icepath.outbox import Outbox
from icepath.timers import Timers

MAX_GUESTS: Final = 16
MAX_HANDLES: Final = 4
GREETING_INTERVAL: Final[Seconds] = 0.5
FAREWELL: Final[Seconds] = 0.25


class Flaw(Enum):
    """Is what is wrong with a machine, and the law that it breaks."""

    RAISES_ON_AN_EMPTY_PAYLOAD = 1, "receive"
    RAISES_IN_A_TIMEOUT = 1, "timeout"
    RAISES_IN_A_VERB = 1, "verb"
    CHANGES_THOUGH_A_VERB_RAISED = 1, "verb state"
    ACTS_EARLY = 2, "early"
    ACTS_TWICE = 2, "twice"
    COUNTS_NEEDLESS_TIMEOUTS = 2, "needless"
    GOES_BACK_IN_TIME = 2, "backwards"
    STAYS_DUE = 3, "due"
    DRAWS_ITS_OWN_RANDOMNESS = 4, "random"
    DEPENDS_ON_DRAINS = 4, "drains"
    SPEAKS_TWICE = 5, "twice"
    NEVER_CLOSES = 6, "never"
    CLOSES_LATE = 6, "late"
    CLOSES_UNASKED = 6, "unasked"
    SPEAKS_AFTER_THE_END = 6, "speaks"
    SPEAKS_LATER_AFTER_THE_END = 6, "speaks later"
    KEEPS_A_DEADLINE = 6, "deadline"
    KEEPS_A_SOCKET = 6, "socket"
    GROWS = 7, "grows"
    HOARDS_BYTES = 7, "hoards"
    REPORTS_EVERY_DROP = 7, "drops"
    BURSTS = 7, "bursts"
    ANSWERS_NOBODY = 8, "answers"
    ARMS_FOR_NOBODY = 8, "arms"
    COUNTS_NOBODY = 8, "counts"
    REUSES_HANDLES = 8, "reuses"

    @property
    def law(self) -> int:
        """Returns the law's number."""
        return self.value[0]


@dataclass(frozen=True, slots=True)
class Greeted(Event):
    """Reports a guest, or a socket that opened."""

    address: Address


Key: TypeAlias = Address | str


class Innkeeper:
    """Greets whoever calls, a few times; opens a socket when told; with or without a flaw."""

    def __init__(self, flaw: Flaw | None, random_bytes: RandomBytes, now: Instant) -> None:
        self._flaw = flaw
        self._random_bytes = random_bytes
        self._now = now
        self._outbox: Outbox[Greeted | MachineClosed] = Outbox()
        self._timers: Timers[Key] = Timers()
        # guest -> greetings left
        self._guests: dict[Address, int] = {}
        self._locals: dict[Address, Address] = {}
        self._handles: dict[Handle, bool] = {}
        self._last_handle = 0
        self._is_closing = False
        self._is_closed = False
        self._spare: list[object] = []
        self._count = 0
        self._has_drained = False

    # -- the contract ------------------------------------------------------------------------------------------------

    def receive(self, arrival: Arrival, *, now: Instant) -> None:
        """Takes one arrival."""
        if self._is_closed:
            if self._flaw is Flaw.SPEAKS_LATER_AFTER_THE_END:
                self._outbox.put(Greeted(Address("0.0.0.0", 0)))
            return
        self._pass_time(now)
        match arrival:
            case Datagram():
                self._on_datagram(arrival)
            case Opened() | Failed() | Closed() | Resolved() | Bytes() | Accepted():
                self._on_handle(arrival)
            case Unreachable() | FlowUsed():
                pass
            case _:
                assert_never(arrival)

    def handle_timeout(self, *, now: Instant) -> None:
        """Greets whose time has come; says farewell."""
        self._pass_time(now)
        if self._flaw is Flaw.RAISES_IN_A_TIMEOUT and self._guests:
            raise KeyError("guest")
        if self._flaw is Flaw.ACTS_EARLY and self._guests and not self._is_closing:
            self._timers.set(next(iter(self._guests)), self._now)
        if self._flaw is Flaw.COUNTS_NEEDLESS_TIMEOUTS:
            self._count += 1
        if self._flaw is Flaw.STAYS_DUE and self._guests:
            return
        is_due = False
        while (key := self._timers.pop_due(self._now)) is not None:
            is_due = True
            if isinstance(key, str):
                self._finish()
            else:
                self._greet(key)
        if self._flaw is Flaw.ACTS_TWICE and not is_due and self._count < 50 and self._guests:
            self._count += 1
            self._outbox.put(Greeted(next(iter(self._guests))))

    def next_deadline(self) -> Instant | None:
        """Returns when somebody is to be greeted."""
        return self._timers.next_deadline()

    def close(self, *, now: Instant) -> None:
        """Frees the sockets and says farewell a little later."""
        if self._is_closing:
            return
        self._pass_time(now)
        self._is_closing = True
        self._guests.clear()
        self._timers.clear()
        if self._flaw is not Flaw.NEVER_CLOSES:
            self._timers.set("farewell", self._now + (30.0 if self._flaw is Flaw.CLOSES_LATE else FAREWELL))

    def take_outputs(self) -> Sequence[Datagram | Bytes | Command | Greeted | MachineClosed | DatagramDropped]:
        """Returns what was said since the last call."""
        outputs = self._outbox.take()
        self._has_drained = True
        if self._flaw is Flaw.SPEAKS_TWICE and len(outputs) > 1:
            self._outbox.put(outputs[-1])
            return outputs[:-1]
        return outputs

    # -- the verbs ---------------------------------------------------------------------------------------------------

    def open(self, local: Address, *, now: Instant) -> None:
        """Asks for a socket.

        Raises: InvalidState when there are too many, or the end has begun.
        """
        if self._is_closing or len(self._handles) >= MAX_HANDLES:
            if self._flaw is Flaw.CHANGES_THOUGH_A_VERB_RAISED and not self._is_closed:
                self._outbox.put(Greeted(local))
            raise InvalidState("no more sockets")
        if self._flaw is Flaw.RAISES_IN_A_VERB and self._handles:
            raise KeyError("verb")
        self._pass_time(now)
        if self._flaw is not Flaw.REUSES_HANDLES or self._last_handle < 3:
            self._last_handle += 1
        handle = Handle(self._last_handle)
        self._handles[handle] = False
        self._outbox.put(Bind(handle, Address(local.host, 0)))

    # -- the work ----------------------------------------------------------------------------------------------------

    def _pass_time(self, now: Instant) -> None:
        if now > self._now or self._flaw is Flaw.GOES_BACK_IN_TIME:
            self._now = now

    def _on_datagram(self, datagram: Datagram) -> None:
        payload, guest = datagram.payload, datagram.remote
        if self._flaw is Flaw.RAISES_ON_AN_EMPTY_PAYLOAD:
            payload = bytes([payload[0]]) + payload[1:]
        if self._flaw is Flaw.CLOSES_UNASKED and len(payload) > 100:
            self._outbox.put(MachineClosed())
        self._remember_too_much(datagram)
        if len(payload) < 4 or payload[0] % 2 or self._is_closing:
            self._drop(DropReason.NOT_STUN)
        elif guest not in self._guests and len(self._guests) >= MAX_GUESTS:
            self._drop(DropReason.LIMIT)
        else:
            self._guests[guest] = 3
            self._locals[guest] = datagram.local
            self._outbox.put(Greeted(guest))
            self._greet(guest)
            if self._flaw is Flaw.BURSTS:
                for _ in range(200):
                    self._outbox.put(Greeted(guest))

    def _remember_too_much(self, datagram: Datagram) -> None:
        if self._flaw is Flaw.GROWS:
            self._spare.append(datagram.remote)
        if self._flaw is Flaw.HOARDS_BYTES:
            self._spare[:] = [b"".join(part for part in self._spare if isinstance(part, bytes)) + datagram.payload]

    def _drop(self, reason: DropReason) -> None:
        if self._flaw is Flaw.REPORTS_EVERY_DROP:
            self._outbox.put(DatagramDropped(reason))
        else:
            self._outbox.drop(reason, now=self._now)

    def _greet(self, guest: Address) -> None:
        left = self._guests[guest] - 1
        payload = b"hello" + self._random_bytes(2) + bytes([self._count % 256])
        if self._flaw is Flaw.DRAWS_ITS_OWN_RANDOMNESS:
            payload += bytes([random.randrange(256)])
        if self._flaw is Flaw.DEPENDS_ON_DRAINS:
            payload += b"again" if self._has_drained else b"first"
            self._has_drained = False
        self._outbox.put(Datagram(self._locals[guest], guest, payload))
        if left:
            self._guests[guest] = left
            self._timers.set(guest, self._now + GREETING_INTERVAL)
        else:
            del self._guests[guest], self._locals[guest]

    def _on_handle(self, arrival: Opened | Failed | Closed | Resolved | Bytes | Accepted) -> None:
        if isinstance(arrival, Accepted):
            self._outbox.put(Close(arrival.handle))
        elif arrival.handle not in self._handles:
            self._drop(DropReason.UNKNOWN_HANDLE)
            self._mind_nobody()
        elif isinstance(arrival, Opened) and not self._handles[arrival.handle]:
            self._handles[arrival.handle] = True
            self._outbox.put(Greeted(arrival.local))
        elif isinstance(arrival, Failed | Closed):
            del self._handles[arrival.handle]

    def _mind_nobody(self) -> None:
        if self._flaw is Flaw.ANSWERS_NOBODY:
            self._outbox.put(Greeted(Address("0.0.0.0", 0)))
        if self._flaw is Flaw.ARMS_FOR_NOBODY:
            self._timers.set(Address("0.0.0.0", 0), self._now + 0.001)
            self._guests[Address("0.0.0.0", 0)] = 1
            self._locals[Address("0.0.0.0", 0)] = Address("0.0.0.0", 0)
        if self._flaw is Flaw.COUNTS_NOBODY:
            self._count += 1

    def _finish(self) -> None:
        self._is_closed = True
        self._timers.clear()
        if self._flaw is not Flaw.KEEPS_A_SOCKET:
            for handle in self._handles:
                self._outbox.put(Close(handle))
        self._outbox.put(MachineClosed())
        if self._flaw is Flaw.SPEAKS_AFTER_THE_END:
            self._outbox.put(Greeted(Address("0.0.0.0", 0)))
        if self._flaw is Flaw.KEEPS_A_DEADLINE:
            self._timers.set("farewell", self._now + 10.0)
