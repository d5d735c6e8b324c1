"""The README's program: two connections in one process, no server, no role."""

# ruff: noqa: I001, E401 - as short as a first program is
import asyncio, icepath


async def main() -> None:
    """Connects both ends and sends one datagram."""
    async with icepath.Connection() as alice, icepath.Connection() as bob:
        offer, answer = await asyncio.gather(alice.gather(), bob.gather())
        await asyncio.gather(alice.connect(answer), bob.connect(offer))
        await alice.send(b"hello")
        print(await bob.receive(), "over", bob.selected_pair)


asyncio.run(main())
