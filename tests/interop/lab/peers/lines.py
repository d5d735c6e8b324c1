"""What every peer adapter in Python shares: the command line, the JSON lines, the ping-pong of test data.

An adapter is a child process. It is told `start`, `remote`, `candidate`, `end`, `send`, `restart` and `quit` on
standard input and says `ready`, `local`, `candidate`, `end`, `event`, `pair`, `data`, `received`, `error` and
`done` on standard output, one JSON object a line. `icepath agent` speaks the same, so any two can be paired. Only
the standard library is imported: adapters run under interpreters that have their own library and nothing else.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# The test's own retransmission: nothing below it repeats application data.
PING_INTERVAL = 0.3


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    controlling: bool
    ice_controlling: bool
    stun: tuple[str, int] | None
    turn: tuple[str, int] | None
    turn_tcp: tuple[str, int] | None
    turn_tls: tuple[str, int] | None
    user: str
    password: str
    messages: int
    relay_only: bool
    insecure: bool
    tcp_only: bool = False


def parse_options(arguments: list[str] | None = None) -> Options:
    """Reads the command line all agents share."""
    parser = argparse.ArgumentParser()
    roles = ("controlling", "controlled")
    parser.add_argument("--role", choices=roles, required=True)
    parser.add_argument("--ice-role", choices=roles)
    for name in ("stun", "turn", "turn-tcp", "turn-tls"):
        parser.add_argument(f"--{name}", type=parse_endpoint)
    parser.add_argument("--user", default="")
    parser.add_argument("--pass", dest="password", default="")
    parser.add_argument("--messages", type=int, default=0)
    parser.add_argument("--relay-only", action="store_true")
    parser.add_argument("--insecure", action="store_true")
    parser.add_argument("--tcp-only", action="store_true")
    values = parser.parse_args(arguments)
    return Options(
        controlling=values.role == "controlling",
        ice_controlling=(values.ice_role or values.role) == "controlling",
        stun=values.stun,
        turn=values.turn,
        turn_tcp=values.turn_tcp,
        turn_tls=values.turn_tls,
        user=values.user,
        password=values.password,
        messages=values.messages,
        relay_only=values.relay_only,
        insecure=values.insecure,
        tcp_only=values.tcp_only,
    )


def parse_endpoint(text: str) -> tuple[str, int]:
    """Reads `host:port`, IPv6 hosts in brackets."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def say(kind: str, **fields: object) -> None:
    """Writes one line."""
    print(json.dumps({"type": kind, **fields}), flush=True)


def say_event(event: str, **fields: object) -> None:
    """Writes an event with the time of this call."""
    say("event", event=event, t=time.monotonic(), **fields)


def text_of(message: Mapping[str, object], key: str) -> str:
    """A text field of a received line."""
    value = message.get(key)
    return value if isinstance(value, str) else ""


def candidate_value(message: Mapping[str, object]) -> str:
    """A candidate line without `a=` and `candidate:`."""
    return text_of(message, "candidate").removeprefix("a=").removeprefix("candidate:")


@dataclass(slots=True)
class PingPong:
    """The application above the connection: the controlling side pings until echoed, the controlled one echoes.

    `send` puts one payload on the connection. The adapter calls `begin` when data may be sent, `repeat` every
    PING_INTERVAL, and `received` for each payload.
    """

    controlling: bool
    messages: int
    send: Callable[[bytes], None]
    _index: int = 0
    _sent: int = 0
    _sent_at: float = 0.0
    _begun: bool = False
    _heard: bool = False
    _rtts: list[float] = field(default_factory=list)

    @property
    def _pinging(self) -> bool:
        return self._begun and self.controlling and self._index < self.messages

    def begin(self) -> None:
        """Data may be sent from now on."""
        if not self._begun:
            self._begun = True
            self._ping(first=True)

    def repeat(self) -> None:
        """Sends the unanswered ping again."""
        self._ping(first=False)

    def received(self, payload: bytes) -> None:
        """Takes a payload from the far side."""
        if not self._heard:
            self._heard = True
            say_event("first_data")
        if not payload.startswith(b"ping "):
            say("received", data=base64.b64encode(payload).decode())
        if not self.controlling:
            self.send(payload)
        elif self._pinging and payload == self._payload():
            self._echoed()

    def _payload(self) -> bytes:
        return b"ping %d" % self._index

    def _ping(self, *, first: bool) -> None:
        if not self._pinging:
            return
        if first:
            self._sent_at = time.monotonic()
        self._sent += 1
        self.send(self._payload())

    def _echoed(self) -> None:
        self._rtts.append(time.monotonic() - self._sent_at)
        if self._index == 0:
            say_event("first_echo")
        self._index += 1
        if self._index == self.messages:
            say("data", rtts=self._rtts, sent=self._sent)
        else:
            self._ping(first=True)


def flush_errors(text: str) -> None:
    """Notes something for people on standard error."""
    print(text, file=sys.stderr, flush=True)
