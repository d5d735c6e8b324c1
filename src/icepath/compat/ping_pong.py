"""The test application above a connection: one side sends `ping 0`, `ping 1`, ..., the other echoes.

Nothing below repeats data, so a ping goes again every 300 ms until its echo comes. Timers are the running
event loop's.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from typing import Final, final

REPEAT_INTERVAL: Final = 0.3
PREFIX: Final = b"ping "


@final
class PingPong:
    """Sends pings or echoes, and says when the first datagram and the first echo came and how long each took."""

    def __init__(
        self,
        sends: bool,
        messages: int,
        *,
        send: Callable[[bytes], bool],
        say: Callable[[Mapping[str, object]], None],
    ) -> None:
        self._sends = sends
        self._messages = messages
        self._send = send
        self._say = say
        self._index = 0
        self._transmissions = 0
        self._sent_at = 0.0
        self._rtts: list[float] = []
        self._has_heard = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Takes note that data may be sent; a second call changes nothing while pings are under way."""
        if self._sends and self._timer is None and self._index < self._messages:
            self._ping()

    def stop(self) -> None:
        """Sends no further ping."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def received(self, payload: bytes) -> None:
        """Takes a datagram of the other side."""
        if not self._has_heard:
            self._has_heard = True
            self._say({"type": "event", "event": "first_data", "t": time.monotonic()})
        if not payload.startswith(PREFIX):
            self._say({"type": "received", "data": base64.b64encode(payload).decode()})
        if not self._sends:
            self._send(payload)
        elif self._timer is not None and payload == self._payload():
            self._echoed()

    def _payload(self) -> bytes:
        return PREFIX + str(self._index).encode()

    def _ping(self) -> None:
        self._sent_at = time.monotonic()
        self._transmit()

    def _transmit(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(REPEAT_INTERVAL, self._transmit)
        self._transmissions += self._send(self._payload())

    def _echoed(self) -> None:
        self.stop()
        now = time.monotonic()
        self._rtts.append(now - self._sent_at)
        if self._index == 0:
            self._say({"type": "event", "event": "first_echo", "t": now})
        self._index += 1
        if self._index < self._messages:
            self._ping()
        else:
            self._say({"type": "data", "rtts": self._rtts, "sent": self._transmissions})
