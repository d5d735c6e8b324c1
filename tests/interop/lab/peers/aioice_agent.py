"""aioice as a peer. It gathers to the end before it checks, and says nothing of a valid pair before the nominated one.

Candidates are therefore handed over all at once when gathering ends, and `first_valid` comes with `connected`. One
STUN and one TURN server: the first TURN transport given is used. No restart.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import sys
import time

import aioice

from interop.lab.peers.lines import (
    PING_INTERVAL,
    Options,
    PingPong,
    candidate_value,
    flush_errors,
    parse_options,
    say,
    say_event,
    text_of,
)


class AioiceAgent:
    """One connection and its tasks."""

    def __init__(self, options: Options) -> None:
        self._options = options
        turn = options.turn or options.turn_tcp or options.turn_tls
        self._connection = aioice.Connection(
            ice_controlling=options.ice_controlling,
            stun_server=options.stun,
            turn_server=turn,
            turn_username=options.user,
            turn_password=options.password,
            turn_transport="udp" if options.turn else "tcp",
            turn_ssl=turn is not None and turn not in (options.turn, options.turn_tcp),
            transport_policy=aioice.TransportPolicy.RELAY if options.relay_only else aioice.TransportPolicy.ALL,
        )
        self._application = PingPong(options.controlling, options.messages, self._send)
        self._tasks: set[asyncio.Task[None]] = set()
        self._remote_known = asyncio.Event()
        self._connected = False

    async def run(self) -> None:
        """Obeys standard input until `quit` or its end."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        say("ready")
        while line := await reader.readline():
            message: dict[str, object] = json.loads(line)
            if message["type"] == "quit":
                break
            await self._obey(message)
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._connection.close(), 1)
        say("done", cpu=time.process_time())

    async def _obey(self, message: dict[str, object]) -> None:
        match message["type"]:
            case "start":
                say("local", ufrag=self._connection.local_username, pwd=self._connection.local_password)
                self._spawn(self._connect())
            case "remote":
                self._connection.remote_username = text_of(message, "ufrag")
                self._connection.remote_password = text_of(message, "pwd")
                self._remote_known.set()
            case "candidate":
                await self._add(candidate_value(message))
            case "end":
                await self._connection.add_remote_candidate(None)
            case "send":
                self._send(base64.b64decode(text_of(message, "data")))
            case kind:
                say("error", why=f"unsupported: {kind}")

    async def _add(self, line: str) -> None:
        try:
            await self._connection.add_remote_candidate(aioice.Candidate.from_sdp(line))
        except ValueError as error:
            flush_errors(f"aioice refuses {line}: {error}")

    async def _connect(self) -> None:
        await self._connection.gather_candidates()
        for candidate in self._connection.local_candidates:
            say("candidate", candidate=f"candidate:{candidate.to_sdp()}")
        say("end")
        say_event("gathered")
        await self._remote_known.wait()
        try:
            await self._connection.connect()
        except ConnectionError as error:
            say_event("failed", why=str(error))
            return
        say_event("first_valid")
        say_event("connected")
        self._connected = True
        pair = self._connection._nominated[1]  # no public name tells the selected pair
        say("pair", local=pair.local_candidate.type, remote=pair.remote_candidate.type)
        self._spawn(self._receive())
        self._spawn(self._ping())

    async def _receive(self) -> None:
        try:
            while True:
                self._application.received(await self._connection.recv())
        except ConnectionError:
            say_event("lost")

    async def _ping(self) -> None:
        self._application.begin()
        while True:
            await asyncio.sleep(PING_INTERVAL)
            self._application.repeat()

    def _send(self, payload: bytes) -> None:
        if self._connected:
            self._spawn(self._send_now(payload))

    async def _send_now(self, payload: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            await self._connection.send(payload)

    def _spawn(self, work: object) -> None:
        if not asyncio.iscoroutine(work):
            raise TypeError(work)
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


if __name__ == "__main__":
    asyncio.run(AioiceAgent(parse_options()).run())
