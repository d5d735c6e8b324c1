"""One call between icepath and rtpengine, told by the `ng` protocol; run as a program where icepath's side lives.

    python -m interop.lab.sip_media HOST:PORT offer|answer PLAIN_HOST:PORT [KEY=VALUE]...

With `offer` icepath offers and rtpengine answers, with `answer` the other way round. The far side of rtpengine is plain
RTP at PLAIN, which echoes. Writes one JSON object: what was negotiated, the path, how many packets came back.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import sys
from typing import TypeAlias

import icepath
from icepath import sdp

Value: TypeAlias = "int | str | list[Value] | dict[str, Value]"

HEAD = (
    "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)
PACKETS = 50


def encode(value: Value) -> bytes:
    """Bencodes."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, list):
        return b"l" + b"".join(map(encode, value)) + b"e"
    if isinstance(value, dict):
        return b"d" + b"".join(encode(key) + encode(value[key]) for key in sorted(value)) + b"e"
    data = value.encode()
    return b"%d:%s" % (len(data), data)


def decode(data: bytes, at: int = 0) -> tuple[Value, int]:
    """Decodes one value; returns where the next begins."""
    kind = data[at : at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if kind in (b"l", b"d"):
        items: list[Value] = []
        at += 1
        while data[at : at + 1] != b"e":
            item, at = decode(data, at)
            items.append(item)
        return (items if kind == b"l" else dict(zip(map(str, items[::2]), items[1::2], strict=True))), at + 1
    colon = data.index(b":", at)
    length = int(data[at:colon])
    return data[colon + 1 : colon + 1 + length].decode(), colon + 1 + length


class Engine:
    """Asks rtpengine about one call."""

    def __init__(self, address: tuple[str, int], plain: tuple[str, int]) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(5)
        self._socket.connect(address)
        self._call = secrets.token_hex(8)
        self.plain = HEAD.format(host=plain[0], port=plain[1])

    def ask(self, command: str, text: str = "", **told: Value) -> str:
        """Sends a command; returns the SDP of the answer."""
        cookie = secrets.token_hex(4).encode()
        message: dict[str, Value] = {"command": command, "call-id": self._call, "from-tag": "a"}
        if text:
            message["sdp"] = text
        message.update({name.replace("_", "-"): value for name, value in told.items()})
        self._socket.send(cookie + b" " + encode(message))
        while True:
            found, _, body = self._socket.recv(65535).partition(b" ")
            if found == cookie:
                break
        answer, _ = decode(body)
        assert isinstance(answer, dict)
        if answer["result"] != "ok":
            raise SystemExit(f"{command}: {answer}")
        return str(answer.get("sdp", ""))


async def offering(engine: Engine, options: dict[str, Value]) -> tuple[icepath.Connection, sdp.Negotiated]:
    """Offers; rtpengine takes ICE away towards the plain side, and answers with ICE of its own."""
    link = icepath.Connection()
    template = sdp.parse_session(HEAD.format(host="0.0.0.0", port=9) + "a=rtcp-mux\r\n")
    offer = sdp.make_offer(template, [await link.gather()])
    engine.ask("offer", str(offer), ICE="remove", rtcp_mux=["demux"], **options)
    answer = engine.ask("answer", engine.plain, to_tag="b", ICE="force", **options)
    return link, sdp.read_answer(offer, sdp.parse_session(answer))


async def answering(engine: Engine, options: dict[str, Value]) -> tuple[icepath.Connection, sdp.Negotiated]:
    """Answers what rtpengine offers on the plain side's behalf."""
    offer = sdp.read_offer(
        sdp.parse_session(engine.ask("offer", engine.plain, ICE="force", rtcp_mux=["offer"], **options))
    )
    link = icepath.Connection(components=offer.streams[0].components)
    if offer.streams[0].remote is not None:
        link.set_remote_description(offer.streams[0].remote)
    template = sdp.parse_session(HEAD.format(host="0.0.0.0", port=9))
    answer = sdp.make_answer(offer, template, [await link.gather()])
    engine.ask("answer", str(answer), to_tag="b", ICE="remove", **options)
    return link, offer


async def main(engine: str, how: str, plain: str, *options: str) -> None:
    """Makes the call and reports it."""
    far = Engine(address(engine), address(plain))
    told: dict[str, Value] = {name: value for name, _, value in (option.partition("=") for option in options)}
    link, settled = await (offering if how == "offer" else answering)(far, told)
    stream = settled.streams[0]
    if how == "offer" and stream.remote is not None:
        link.set_remote_description(stream.remote)
    async with link:
        path = await link.connect()
        echoed = await talk(link)
        report = {
            "usage": stream.usage.name,
            "lite": settled.is_lite,
            "ice2": settled.is_ice2,
            "components": stream.components,
            "rtcp_mux": stream.rtcp_mux,
            "path": str(path),
            "role": link.role,
            "state": link.state.value,
            "echoed": echoed,
        }
    far.ask("delete", delete_delay=0)
    print(json.dumps(report), flush=True)


async def talk(link: icepath.Connection) -> int:
    """Sends RTP and counts what comes back."""
    echoed: set[bytes] = set()

    async def count() -> None:
        async for packet in link:
            if len(packet) == 172:
                echoed.add(packet[2:4])

    counting = asyncio.create_task(count())
    for number in range(PACKETS):
        await link.send(
            b"\x80\x00" + number.to_bytes(2, "big") + (160 * number).to_bytes(4, "big") + b"icep" + b"\xff" * 160
        )
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    counting.cancel()
    return len(echoed)


def address(text: str) -> tuple[str, int]:
    """Parses HOST:PORT."""
    host, _, port = text.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
