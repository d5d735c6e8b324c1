"""As much SIP over UDP as a phone needs: messages, digest authentication, transactions. No ICE here: see phone.py.

RFC 3261 with RFC 3581 (`rport`). Everything is sent to one proxy. Left out: TCP, TLS, PRACK, forking, CANCEL.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

# RFC 3261 §17.1.1.1: the first retransmission, and the longest pause between two.
T1 = 0.5
T2 = 4.0
# How long a phone may ring.
RINGING = 60.0
REMEMBERED = 256
SHORT_NAMES = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "c": "content-type"}


class SipError(Exception):
    """Reports that a request was refused or not answered."""


@dataclass(frozen=True)
class Message:
    """Is a request or a response; header names are in lower case."""

    start: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""

    @classmethod
    def parse(cls, data: bytes) -> Message:
        """Parses a datagram; raises ValueError when it is not SIP."""
        head, _, body = data.decode().partition("\r\n\r\n")
        start, *lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
        if "SIP/2.0" not in start:
            raise ValueError("not SIP")
        headers: list[tuple[str, str]] = []
        for line in lines:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            name = SHORT_NAMES.get(name, name)
            # Routes may share a line; commas within <> do not count.
            values = re.findall(r"(?:[^,<]|<[^>]*>)+", value) if name in ("via", "route", "record-route") else [value]
            headers += [(name, each.strip()) for each in values]
        return cls(start, tuple(headers), body)

    def encode(self) -> bytes:
        """Returns the datagram."""
        body = self.body.encode()
        lines = [self.start, *(f"{name.title()}: {value}" for name, value in self.headers)]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body

    def all(self, name: str) -> list[str]:
        """Returns every value of a header."""
        return [value for found, value in self.headers if found == name]

    def get(self, name: str) -> str:
        """Returns the first value of a header, or nothing."""
        return next(iter(self.all(name)), "")

    @property
    def is_request(self) -> bool:
        """Says whether it asks."""
        return not self.start.startswith("SIP/2.0")

    @property
    def method(self) -> str:
        """Returns what is asked, or what was."""
        return self.start.split(" ")[0] if self.is_request else self.get("cseq").split(" ")[-1]

    @property
    def status(self) -> int:
        """Returns a response's code."""
        return int(self.start.split(" ")[1])

    def answer(self, code: int, reason: str, *headers: tuple[str, str], body: str = "", tag: str = "") -> Message:
        """Returns a response to this request."""
        to = self.get("to")
        if tag and "tag=" not in to:
            to = f"{to};tag={tag}"
        same = [
            (name, value) for name, value in self.headers if name in ("via", "from", "call-id", "cseq", "record-route")
        ]
        return Message(f"SIP/2.0 {code} {reason}", (*same, ("to", to), *headers), body)


def parameter(value: str, name: str) -> str:
    """Returns `;name=...` of a header's value."""
    match = re.search(rf";\s*{name}=([^;>\s]+)", value)
    return match[1] if match else ""


def uri_of(value: str) -> str:
    """Returns the URI inside `"Name" <uri>;tag=...`."""
    match = re.search(r"<([^>]+)>", value)
    return match[1] if match else value.split(";")[0].strip()


def authorization(challenge: str, method: str, uri: str, user: str, password: str) -> str:
    """Answers a digest challenge (RFC 2617, MD5)."""
    asked = {
        name.lower(): quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', challenge)
    }

    def digest(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()

    realm, nonce = asked.get("realm", ""), asked.get("nonce", "")
    told = {"username": user, "realm": realm, "nonce": nonce, "uri": uri}
    secret, what = digest(user, realm, password), digest(method, uri)
    if "auth" in asked.get("qop", "").split(","):
        count, own = "00000001", secrets.token_hex(8)
        told["response"] = digest(secret, nonce, count, own, "auth", what)
        extra = f', qop=auth, nc={count}, cnonce="{own}"'
    else:
        told["response"] = digest(secret, nonce, what)
        extra = ""
    if "opaque" in asked:
        told["opaque"] = asked["opaque"]
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in told.items()) + extra


@dataclass
class Dialog:
    """Is what two phones share during a call (RFC 3261 §12)."""

    call_id: str
    ours: str
    """Our From or To, with its tag."""
    theirs: str
    target: str
    """The other phone's URI."""
    routes: list[str] = field(default_factory=list)
    sequence: int = 0

    @classmethod
    def of_response(cls, response: Message) -> Dialog:
        """Returns the dialog that our INVITE began."""
        routes = list(reversed(response.all("record-route")))
        target, sequence = uri_of(response.get("contact")), int(response.get("cseq").split(" ")[0])
        return cls(response.get("call-id"), response.get("from"), response.get("to"), target, routes, sequence)


class Endpoint(asyncio.DatagramProtocol):
    """Sends requests to a proxy and serves its requests, each in a task."""

    transport: asyncio.DatagramTransport

    def __init__(self, serve: Callable[[Message], Awaitable[Message | None]]) -> None:
        self._serve = serve
        self._asked: dict[str, asyncio.Queue[Message]] = {}
        self._answered: dict[str, bytes] = {}
        self._unconfirmed: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.proxy = self.local = ("", 0)

    @classmethod
    async def open(
        cls, serve: Callable[[Message], Awaitable[Message | None]], proxy: tuple[str, int], port: int = 0
    ) -> Endpoint:
        """Opens a socket on the address that reaches the proxy."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(proxy)
            host = probe.getsockname()[0]
        endpoint = cls(serve)
        endpoint.proxy = proxy
        loop = asyncio.get_running_loop()
        endpoint.transport, _ = await loop.create_datagram_endpoint(lambda: endpoint, local_addr=(host, port))
        endpoint.local = endpoint.transport.get_extra_info("sockname")
        return endpoint

    def close(self) -> None:
        """Stops."""
        for task in self._tasks:
            task.cancel()
        self.transport.close()

    def via(self) -> str:
        """Returns a Via of a transaction of its own; the cookie in front of the branch is RFC 3261's."""
        return f"SIP/2.0/UDP {self.local[0]}:{self.local[1]};rport;branch=z9hG4bK{secrets.token_hex(8)}"

    def send(self, message: Message) -> None:
        """Sends what is not answered (an ACK), once."""
        self.transport.sendto(message.encode(), self.proxy)

    # -- asking ----------------------------------------------------------------------------------------------------

    async def ask(self, request: Message) -> Message:
        """Sends a request until it is answered; returns the final response. An INVITE's refusal is confirmed."""
        branch = parameter(request.get("via"), "branch")
        responses = self._asked[branch] = asyncio.Queue()
        try:
            response = await self._final(request, responses)
        finally:
            del self._asked[branch]
        if request.method == "INVITE" and response.status >= 300:
            kept = [
                (name, value)
                for name, value in request.headers
                if name in ("via", "from", "call-id", "route", "max-forwards")
            ]
            number = request.get("cseq").split(" ")[0]
            start = request.start.replace("INVITE", "ACK", 1)
            self.send(Message(start, (*kept, ("to", response.get("to")), ("cseq", f"{number} ACK"))))
        return response

    async def _final(self, request: Message, responses: asyncio.Queue[Message]) -> Message:
        pause, waited, is_ringing = T1, 0.0, False
        while waited < (RINGING if is_ringing else 64 * T1):
            if not is_ringing:
                self.send(request)
            try:
                async with asyncio.timeout(pause):
                    response = await responses.get()
            except TimeoutError:
                waited += pause
                pause = 2 * pause if request.method == "INVITE" else min(2 * pause, T2)
                continue
            if response.status >= 200:
                return response
            is_ringing = request.method == "INVITE"
            pause = RINGING if is_ringing else T2
        raise SipError(f"{request.method}: no answer")

    # -- being asked -----------------------------------------------------------------------------------------------

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Takes a datagram; what is not SIP, as keepalives, is ignored."""
        try:
            message = Message.parse(data)
            branch = parameter(message.get("via"), "branch")
            if not message.is_request:
                if message.status and branch in self._asked:
                    self._asked[branch].put_nowait(message)
                return
        except (ValueError, IndexError):
            return
        if message.method == "ACK":
            confirmed = self._unconfirmed.get(message.get("call-id"))
            if confirmed is not None:
                confirmed.set()
            return
        key = f"{branch} {message.method}"
        if key in self._answered:
            if self._answered[key]:
                self.transport.sendto(self._answered[key], addr)
            return
        self._answered[key] = b""
        while len(self._answered) > REMEMBERED:
            del self._answered[next(iter(self._answered))]
        task = asyncio.get_running_loop().create_task(self._answer(message, key, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Message, key: str, address: tuple[str, int]) -> None:
        if request.method == "INVITE":
            self._respond(request.answer(100, "Trying"), key, address)
        try:
            response = await self._serve(request)
        except Exception as error:
            print(f"{request.method} failed: {error!r}", flush=True)
            response = request.answer(500, "Server Internal Error")
        if response is None:
            return
        self._respond(response, key, address)
        if request.method == "INVITE" and response.status < 300:
            await self._until_confirmed(response, key, address)

    def _respond(self, response: Message, key: str, address: tuple[str, int]) -> None:
        headers = [
            (name, self._received(value, address) if name == "via" else value) for name, value in response.headers
        ]
        self._answered[key] = replace(response, headers=tuple(headers)).encode()
        self.transport.sendto(self._answered[key], address)

    @staticmethod
    def _received(via: str, address: tuple[str, int]) -> str:
        """RFC 3581 §4: fills in a `rport` that was asked for."""
        return re.sub(r";rport(?=;|$)", f";received={address[0]};rport={address[1]}", via)

    async def _until_confirmed(self, response: Message, key: str, address: tuple[str, int]) -> None:
        """RFC 3261 §13.3.1.4: a 2xx to INVITE is repeated until its ACK comes."""
        confirmed = self._unconfirmed[response.get("call-id")] = asyncio.Event()
        pause = T1
        for _ in range(7):
            try:
                async with asyncio.timeout(pause):
                    await confirmed.wait()
                return
            except TimeoutError:
                self._respond(response, key, address)
                pause = min(2 * pause, T2)
