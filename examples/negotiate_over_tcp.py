"""Two programs find each other over any channel that carries texts: here one TCP connection, a text per line.

    python examples/negotiate_over_tcp.py listen 9000                     on one computer
    python examples/negotiate_over_tcp.py connect HOST 9000 stun:HOST     on the other

Both sides are the same: no role, no candidate, no ICE word. With a WebSocket it is shorter still:
`await link.negotiate(websocket.send, websocket)`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import icepath


class Channel:
    """Carries texts over a byte stream, each as one line of JSON."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, text: str) -> None:
        """Sends one text."""
        self._writer.write(json.dumps(text).encode() + b"\n")
        await self._writer.drain()

    async def __aiter__(self) -> AsyncIterator[str]:
        while line := await self._reader.readline():
            yield json.loads(line)


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, servers: list[str]) -> None:
    """Connects over the channel, then sends and receives one datagram."""
    channel = Channel(reader, writer)
    try:
        async with icepath.Connection(servers) as link:
            print("connected:", await link.negotiate(channel.send, channel), flush=True)
            await link.send(b"hello")
            print("received:", await link.receive(), flush=True)
            await asyncio.sleep(0.5)  # the other side may still be on its way here
    finally:
        writer.close()


async def main(how: str, *rest: str) -> None:
    """Listens or connects."""
    if how == "connect":
        host, port, *servers = rest
        await talk(*await asyncio.open_connection(host, int(port)), servers)
        return
    port, *servers = rest
    done = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer, servers)
        finally:
            done.set()

    server = await asyncio.start_server(accept, "127.0.0.1" if port == "0" else None, int(port))
    print("listening on port", server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await done.wait()


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except icepath.ConnectionFailure as failure:
        sys.exit(str(failure))
