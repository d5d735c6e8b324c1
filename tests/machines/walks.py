"""Random walks: a machine is put through whatever the world may do, and each step is judged.

The walk plays driver: it answers commands or does not, fires deadlines early, on time, late or twice,
jumps and turns back the clock, and lets the subject's peer answer over a lossy line. It keeps the steps, so that
laws.py can play them again. Everything is drawn from one seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from icepath.errors import InvalidArgument, InvalidState
from icepath.machine import (
    Accepted,
    Arrival,
    Bind,
    Bytes,
    Closed,
    CloseReason,
    Connect,
    Datagram,
    DatagramDropped,
    Event,
    Failed,
    FailReason,
    FlowKey,
    FlowUsed,
    Handle,
    Machine,
    Opened,
    Resolve,
    Resolved,
    ResolvedAddress,
    Security,
    Transport,
    Unreachable,
)
from icepath.machine import Close as CloseCommand
from icepath.net import Address, Instant
from machines.laws import (
    START,
    Call,
    Close,
    DropReports,
    LawBroken,
    Output,
    Receive,
    Step,
    Subject,
    Timeout,
    apply,
    canonical,
    check_end,
    check_replays,
    check_size,
    make,
)

MachineT = TypeVar("MachineT", bound=Machine[Event])

# What is never given out by a machine (it counts up from 1) nor by the walk as a driver.
UNUSED_HANDLES = (Handle(999_999), Handle(-999_999), Handle(0))
# RFC 7983 §7: one of each kind of first byte.
FIRST_BYTES = (0x00, 0x01, 0x03, 0x10, 0x16, 0x40, 0x4F, 0x50, 0x80, 0xFF)
# Peers speak datagrams only: what goes along a byte stream comes to them from this host, the handle for a port; that
# of one that was accepted, below 0, counts from the last port down.
STREAM_HOST = "10.99.0.1"
PORTS = 65536


def check_schedule(subject: Subject[MachineT], seed: int) -> list[Output]:
    """Walks the subject through one schedule and its replays; raises LawBroken; returns what it said."""
    walk = Walk(subject, seed)
    walk.run()
    check_replays(subject, seed, walk.steps, walk.said)
    return walk.said


def check_bounds(subject: Subject[MachineT], seed: int) -> None:
    """Floods the subject in the middle of a walk; raises LawBroken when it grows without bound."""
    walk = Walk(subject, seed)
    for _ in range(subject.steps // 2):
        walk.wander()
    check_size(subject, walk.machine, walk.flood)


class Hoard:
    """Keeps what the machine has said, for hostile arrivals made of it."""

    def __init__(self, subject_corpus: Sequence[bytes]) -> None:
        self._payloads = list(subject_corpus)

    def keep(self, payload: bytes) -> None:
        """Adds a payload."""
        if len(self._payloads) < 200:
            self._payloads.append(payload)

    def draw(self, rng: random.Random) -> bytes:
        """Returns junk, a payload as it is, or a mutation."""
        kind = rng.random()
        if kind < 0.25 or not self._payloads:
            length = rng.choice((0, 1, 2, 3, 4, 19, 20, 24, 60, 200, 1300))
            return (bytes([rng.choice(FIRST_BYTES)]) + rng.randbytes(length))[:length]
        payload = rng.choice(self._payloads)
        return payload if kind < 0.5 else mutated(payload, rng)


def mutated(payload: bytes, rng: random.Random) -> bytes:
    """Returns a payload that is almost this one."""
    data = bytearray(payload)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        position = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0:
                del data[position:]
            case 1:
                data[position:position] = rng.randbytes(rng.randrange(1, 9))
            case 2:
                data += data[position:]
            case 3 if len(data) >= 20:
                data[8:20] = rng.randbytes(12)  # another transaction
            case 4 if len(data) >= 4:
                data[2:4] = max(0, len(data) - 20).to_bytes(2, "big")  # a length that fits
            case _ if position < len(data):
                data[position] ^= 1 << rng.randrange(8)
            case _:
                pass
    return bytes(data)


@dataclass
class Handles:
    """Keeps which handles are open, as a driver sees it."""

    asked: dict[Handle, Bind | Connect | Resolve]
    open: dict[Handle, Bind | Connect | Address]
    closed: list[Handle]

    def note(self, output: Output) -> None:
        """Follows a command; raises LawBroken when a handle is used twice."""
        if isinstance(output, Bind | Connect | Resolve):
            if output.handle in self.asked or output.handle in self.open or output.handle in self.closed:
                raise LawBroken(8, f"handle {output.handle} is used twice")
            self.asked[output.handle] = output
        elif isinstance(output, CloseCommand):
            known = self.asked.pop(output.handle, None) or self.open.pop(output.handle, None)
            if known is not None:
                self.closed.append(output.handle)

    def check_all_closed(self) -> None:
        """Raises LawBroken when a socket or stream outlives its machine."""
        left = [*self.open, *(handle for handle, asked in self.asked.items() if not isinstance(asked, Resolve))]
        if left:
            raise LawBroken(6, f"MachineClosed before Close of handles {left}")


class Company:
    """Is the machine's peers, and the lossy line between them and the machine."""

    def __init__(self, subject: Subject[MachineT], seed: int) -> None:
        self._at: dict[Address, Machine[Event]] = {}
        self._peers: list[Machine[Event]] = []
        self._own = frozenset(subject.locals)
        self._waiting: list[Datagram] = []
        self._next_port = 50_000
        for number, peer in enumerate(subject.peers):
            machine = peer.make(random.Random(f"{seed}/peer {number}").randbytes, START)
            self._peers.append(machine)
            self._at.update(dict.fromkeys(peer.addresses, machine))
        self._settle(START)

    def carry(self, datagram: Datagram, now: Instant) -> None:
        """Takes a datagram of the machine to the peer it is for."""
        self._bring(datagram, now)
        self._settle(now)

    def draw(self, rng: random.Random, now: Instant) -> Datagram | None:
        """Returns the next datagram for the machine, if any; sometimes out of order, lost or repeated."""
        for peer in self._peers:
            deadline = peer.next_deadline()
            if deadline is not None and deadline <= now:
                peer.handle_timeout(now=now)
        self._settle(now)
        if not self._waiting:
            return None
        index = 0 if rng.random() < 0.8 else rng.randrange(len(self._waiting))
        datagram = self._waiting[index] if rng.random() < 0.1 else self._waiting.pop(index)
        return None if rng.random() < 0.1 else datagram

    def _bring(self, datagram: Datagram, now: Instant) -> None:
        arriving = Datagram(datagram.remote, datagram.local, datagram.payload)
        peer = self._at.get(arriving.local)
        if peer is not None:
            peer.receive(arriving, now=now)
        elif (arriving.local in self._own or arriving.local.host == STREAM_HOST) and len(self._waiting) < 100:
            self._waiting.append(arriving)

    def _settle(self, now: Instant) -> None:
        """Takes what peers say until nobody says more; a few rounds, for two could go on for ever."""
        for _ in range(8):
            for peer in self._peers:
                for output in list(peer.take_outputs()):
                    if isinstance(output, Datagram):
                        self._bring(output, now)
                    elif isinstance(output, Bind):
                        self._next_port += 1
                        local = Address(output.local.host, output.local.port or self._next_port)
                        self._at[local] = peer
                        peer.receive(Opened(output.handle, local), now=now)


class Walk(Generic[MachineT]):
    """Is one machine on its way through one schedule."""

    def __init__(self, subject: Subject[MachineT], seed: int, rng: random.Random | None = None) -> None:
        """Takes its choices from the seed, or from `rng`; the machine's own random bytes are the seed's always."""
        self._subject = subject
        self._seed = seed
        self._rng = random.Random(f"{seed}/walk") if rng is None else rng
        self._now: Instant = START
        self._latest: Instant = START
        self._hoard = Hoard(subject.corpus)
        self._handles = Handles({}, {}, [])
        self._drops = DropReports()
        self._company = Company(subject, seed)
        self._closing_at: Instant | None = None
        self._is_closed = False
        self._next_accepted = -1
        self.machine = make(subject, seed)
        self.steps: list[Step] = []
        self.said: list[Output] = []
        self._judge_outputs()

    def run(self) -> None:
        """Goes through the schedule to the machine's end, and a little further."""
        rng = self._rng
        closes_at = rng.randrange(self._subject.steps) if rng.random() < 0.4 else self._subject.steps
        for index in range(self._subject.steps):
            if index == closes_at:
                self.close()
            self.wander()
        self.finish()

    def finish(self) -> None:
        """Closes the machine, sees it end in time, and goes a little further."""
        self.close()
        self._run_to_the_end()
        for _ in range(8):
            self.wander()
        self.close()

    def wander(self) -> None:
        """Takes one random step."""
        rng = self._rng
        if any(isinstance(asked, Connect) for asked in self._handles.asked.values()) and rng.random() < 0.4:
            # Sooner than time would pass to where a connection is given up.
            self._answer_a_command()
            return
        self._pass_time()
        kind = rng.random()
        if kind < 0.35:
            self._take_from_peer()
        elif kind < 0.5:
            self._do(Timeout(self._now))
        elif kind < 0.65 and self._subject.verbs:
            self._do(Call(rng.randrange(len(self._subject.verbs)), rng.getrandbits(32), self._now))
        elif kind < 0.85:
            self._do(Receive(self._hostile_datagram(), self._now))
        elif kind < 0.93:
            self._answer_a_command()
        else:
            self._do(Receive(self._for_nobody(), self._now, for_nobody=True))

    def close(self) -> None:
        """Closes the machine, once or again."""
        if self._closing_at is None:
            self._closing_at = self._latest = max(self._latest, self._now)
        self._do(Close(self._now))

    def flood(self, count: int) -> None:
        """Gives the machine that many hostile datagrams from ever new places, over some seconds."""
        rng = self._rng
        for _ in range(count):
            self._now += rng.choice((0.0, 0.001, 0.01))
            datagram = self._hostile_datagram()
            remote = Address(f"11.{rng.randrange(1, 255)}.{rng.randrange(256)}.7", rng.randrange(1, 65536))
            self._do(Receive(Datagram(datagram.local, remote, datagram.payload), self._now))
            deadline = self.machine.next_deadline()
            if deadline is not None and deadline <= self._now:
                self._do(Timeout(self._now))

    # -- time --------------------------------------------------------------------------------------------------------

    def _pass_time(self) -> None:
        rng = self._rng
        deadline = self.machine.next_deadline()
        kind = rng.random()
        if kind < 0.35:
            self._now += rng.choice((0.0, 0.0005, 0.005, 0.02, 0.3))
        elif kind < 0.75 and deadline is not None:
            # On time, just before, and late.
            self._now = max(self._now, deadline + rng.choice((0.0, 0.0, 0.0, -0.001, 0.004, 0.9)))
            if rng.random() < 0.8:
                self._do(Timeout(self._now))
        elif kind < 0.78:
            self._now += rng.choice((2.0, 60.0, 700.0, 100_000.0))
        elif kind < 0.82:
            self._now -= rng.choice((0.001, 1.0, 500.0))
        # else no time passes

    def _run_to_the_end(self) -> None:
        assert self._closing_at is not None
        limit = self._closing_at + self._subject.close_timeout
        for _ in range(1000):
            if self._is_closed:
                return
            deadline = self.machine.next_deadline()
            if deadline is None or deadline > limit + 1e-6:
                raise self._broken(
                    6, f"closed at {self._closing_at}, the next deadline is {deadline}, allowed is {limit}"
                )
            self._now = max(self._now, self._latest, deadline)
            self._do(Timeout(self._now))
        raise self._broken(6, "a thousand timeouts and no MachineClosed")

    # -- arrivals ------------------------------------------------------------------------------------------------------

    def _take_from_peer(self) -> None:
        datagram = self._company.draw(self._rng, self._latest)
        if datagram is None:
            return
        self._hoard.keep(datagram.payload)
        if datagram.local.host != STREAM_HOST:
            self._do(Receive(datagram, self._now))
            return
        for handle in (datagram.local.port, datagram.local.port - PORTS):
            if handle in self._handles.open:
                self._do(Receive(Bytes(Handle(handle), self._streamed(datagram.payload)), self._now))

    def _streamed(self, payload: bytes) -> bytes:
        """Returns a peer's message as it comes along a byte stream."""
        if self._subject.is_framed:
            return len(payload).to_bytes(2, "big") + payload
        return payload + bytes(-len(payload) & 3)

    def _hostile_bytes(self) -> bytes:
        payload = self._hoard.draw(self._rng)
        return self._streamed(payload) if self._subject.is_framed and self._rng.random() < 0.8 else payload

    def _hostile_datagram(self) -> Datagram:
        rng = self._rng
        local = rng.choice(self._subject.locals) if rng.random() < 0.95 else Address("10.9.9.9", 9)
        if rng.random() < 0.7:
            remote = rng.choice(self._subject.remotes)
        else:
            remote = Address(f"11.7.{rng.randrange(256)}.{rng.randrange(1, 255)}", rng.randrange(65536))
        return Datagram(local, remote, self._hoard.draw(rng))

    def _answer_a_command(self) -> None:
        """Answers a command that waits, or says something odd about a handle that is open."""
        rng, handles = self._rng, self._handles
        if handles.asked:
            handle = rng.choice(list(handles.asked))
            self._do(Receive(self._answer(handle, handles.asked.pop(handle)), self._now))
        elif handles.open and rng.random() < 0.7:
            handle = rng.choice(list(handles.open))
            odd: list[Callable[[], Arrival]] = [
                lambda: Bytes(handle, self._hostile_bytes()),
                lambda: Resolved(handle, ()),
                lambda: Closed(handle, rng.choice(list(CloseReason))),
            ]
            arrival = rng.choice(odd)()
            if isinstance(arrival, Closed):
                handles.open.pop(handle)
                handles.closed.append(handle)
            self._do(Receive(arrival, self._now))
        elif rng.random() < 0.5:
            self._do(Receive(self._unreachable(), self._now))
        else:
            self._do(Receive(self._accepted(), self._now))

    def _answer(self, handle: Handle, command: Bind | Connect | Resolve) -> Arrival:
        rng, handles = self._rng, self._handles
        if rng.random() < 0.3:
            handles.closed.append(handle)
            return Failed(handle, rng.choice(list(FailReason)), "no luck")
        if isinstance(command, Resolve):
            handles.closed.append(handle)
            addresses = rng.sample(self._subject.remotes, rng.randrange(len(self._subject.remotes) + 1))
            return Resolved(
                handle, tuple(ResolvedAddress(Transport.UDP, Security.NONE, address) for address in addresses)
            )
        handles.open[handle] = command
        wanted = command.local or self._subject.locals[0]
        local = Address(wanted.host, wanted.port or rng.randrange(49152, 65536))
        return Opened(handle, local, command.remote if isinstance(command, Connect) else None)

    def _accepted(self) -> Accepted:
        """Returns a byte stream that a listener accepted: one of the machine's, or none at all."""
        rng, handles = self._rng, self._handles
        self._next_accepted -= 1
        handle = Handle(self._next_accepted)
        local, remote = rng.choice(self._subject.locals), rng.choice(self._subject.remotes)
        listeners = [known for known, asked in handles.open.items() if isinstance(asked, Bind) and asked.listen]
        if self._subject.listeners:
            handles.open[handle] = remote
            local = rng.choice(self._subject.listeners)
            return Accepted(handle, local, local, remote)
        if not listeners:
            return Accepted(handle, local, local, remote)
        handles.open[handle] = remote
        return Accepted(handle, rng.choice(listeners), local, remote)

    def _unreachable(self) -> Unreachable:
        rng = self._rng
        icmp_type, icmp_code = rng.choice(((3, 3), (3, 4), (3, 13), (1, 4), (2, 0), (255, 255)))
        mtu = rng.choice((0, 1, 1280))
        return Unreachable(
            rng.choice(self._subject.locals), rng.choice(self._subject.remotes), icmp_type, icmp_code, mtu
        )

    def _for_nobody(self) -> Arrival:
        """Returns an arrival for a handle that was never given out, or is closed, or for an unknown flow."""
        rng = self._rng
        handle = rng.choice((*UNUSED_HANDLES, *self._handles.closed[-4:]))
        local, remote = rng.choice(self._subject.locals), rng.choice(self._subject.remotes)
        arrivals: list[Callable[[], Arrival]] = [
            lambda: Opened(handle, local, remote),
            lambda: Failed(handle, rng.choice(list(FailReason))),
            lambda: Closed(handle, rng.choice(list(CloseReason))),
            lambda: Bytes(handle, self._hoard.draw(rng)),
            lambda: Resolved(handle, (ResolvedAddress(Transport.UDP, Security.NONE, remote),)),
            lambda: FlowUsed(FlowKey(Address("10.9.9.9", 9), remote), 3, 300, self._now),
        ]
        return rng.choice(arrivals)()

    # -- judging -------------------------------------------------------------------------------------------------------

    def _do(self, step: Step) -> None:
        machine = self.machine
        before = machine.next_deadline()
        self.steps.append(step)
        rejected = self._apply(step)
        if isinstance(step, Call) and rejected:
            self.steps[-1] = replace(step, rejected=True)
        else:
            self._latest = max(self._latest, step.now)
        outputs = self._judge_outputs()
        after = machine.next_deadline()
        match step:
            case Timeout():
                if before is None or before > self._latest:
                    self._must_change_nothing(2, "an early handle_timeout", before, outputs)
                if after is not None and after <= self._latest:
                    raise self._broken(3, f"after handle_timeout at {self._latest} the next deadline is {after}")
                self.steps.append(step)
                self._apply(step)
                self._must_change_nothing(2, "a repeated handle_timeout", after, list(machine.take_outputs()))
            case Receive(for_nobody=True):
                said = [output for output in outputs if not isinstance(output, DatagramDropped)]
                self._must_change_nothing(8, f"{step.arrival} for nobody", before, said)
            case Call() if rejected:
                self._must_change_nothing(1, "a verb that raised", before, outputs)
            case _:
                pass

    def _apply(self, step: Step) -> bool:
        """Does the step; says whether a verb refused it."""
        try:
            apply(self._subject, self.machine, step)
        except (InvalidArgument, InvalidState) as error:
            if not isinstance(step, Call):
                raise self._broken(1, f"{step} raised {error!r}") from error
            return True
        except Exception as error:
            raise self._broken(1, f"{step} raised {error!r}") from error
        return False

    def _judge_outputs(self) -> list[Output]:
        machine = self.machine
        outputs: list[Output] = list(machine.take_outputs())
        again = machine.take_outputs()
        if again:
            raise self._broken(5, f"a second drain gives {canonical(again[0])}")
        if len(outputs) > self._subject.max_outputs:
            raise self._broken(7, f"{len(outputs)} outputs of one call, allowed are {self._subject.max_outputs}")
        if self._is_closed and (outputs or machine.next_deadline() is not None):
            what = canonical(outputs[0]) if outputs else f"a deadline at {machine.next_deadline()}"
            raise self._broken(6, f"{what} after MachineClosed")
        try:
            self._follow(outputs)
        except LawBroken as broken:
            raise self._broken(broken.law, broken.detail) from None
        return outputs

    def _follow(self, outputs: list[Output]) -> None:
        self._drops.check(outputs, self._latest)
        for output in outputs:
            self._handles.note(output)
            if isinstance(output, Datagram):
                self._hoard.keep(output.payload)
                self._company.carry(output, self._latest)
            elif isinstance(output, Bytes):
                payload = output.payload[2:] if self._subject.is_framed else output.payload
                self._hoard.keep(payload)
                known = self._handles.open.get(output.handle)
                if known is None or isinstance(known, Bind):
                    raise LawBroken(8, f"{canonical(output)} on what is no open byte stream")
                remote = known.remote if isinstance(known, Connect) else known
                stream = Address(STREAM_HOST, output.handle % PORTS)
                self._company.carry(Datagram(stream, remote, payload), self._latest)
        self.said.extend(outputs)
        if check_end(outputs):
            self._is_closed = True
            self._handles.check_all_closed()
            if self._closing_at is None:
                raise LawBroken(6, "MachineClosed without close")
            deadline = self.machine.next_deadline()
            if deadline is not None:
                raise LawBroken(6, f"a deadline at {deadline} after MachineClosed")

    def _must_change_nothing(self, law: int, what: str, before: Instant | None, outputs: list[Output]) -> None:
        after = self.machine.next_deadline()
        if outputs:
            raise self._broken(law, f"{what} made it say {canonical(outputs[0])}")
        if after != before:
            raise self._broken(law, f"{what} moved the next deadline from {before} to {after}")

    def _broken(self, law: int, detail: str) -> LawBroken:
        return LawBroken(law, f"{self._subject.name}, seed {self._seed}, step {len(self.steps)}: {detail}")
