"""One agent that hides its addresses: prints its description, reads the other's, connects, and says what it sees."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from icepath import Config, Connection


async def main() -> None:
    """Runs one connection; the lines are the protocol."""
    async with Connection(config=Config(mdns="--plain" not in sys.argv)) as connection:
        mine = await connection.gather()
        print(mine.token(), flush=True)
        print(json.dumps([str(candidate) for candidate in mine.candidates]), flush=True)
        theirs = await asyncio.to_thread(sys.stdin.readline)
        started = time.perf_counter()
        pair = await connection.connect(theirs.strip())
        await connection.send(b"hello")
        heard = await connection.receive()
        print(
            json.dumps(
                {
                    "seconds": time.perf_counter() - started,
                    "heard": heard.decode(),
                    "remote": str(pair.remote),
                }
            ),
            flush=True,
        )
        await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(main())
