"""A SIP phone without ears: it calls, or answers and echoes, with media over icepath.

    python examples/sip/phone.py --proxy HOST:PORT --user alice --password x                  waits for calls
    python examples/sip/phone.py --proxy HOST:PORT --user bob --password x --call alice       calls, talks, hangs up

`--server stun:HOST` or `--server turn:HOST --turn-user u --turn-password p` for NATs. SIP itself is in sip.py. What
icepath does is in `Call`: a Connection per call, and icepath.sdp between its descriptions and the SDP of SIP's bodies.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sip import Dialog, Endpoint, Message, SipError, authorization

import icepath
from icepath import sdp

TEMPLATE = sdp.parse_session(
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=icepath\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    "m=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)
# RFC 5768, RFC 8840 §4: this phone speaks ICE, and takes candidates that trickle.
CAPABILITIES = (("supported", "ice, trickle-ice"), ("allow", "INVITE, ACK, BYE, INFO"), ("recv-info", "trickle-ice"))
SDP_TYPE = ("content-type", "application/sdp")
FRAME = 0.020
# Some phones send nothing until all their checks have ended, also those that cannot succeed.
PATIENCE = 10.0
SILENCE = b"\xff" * 160


class Call:
    """Is one call's media: its ICE connection, and what offer and answer have settled."""

    def __init__(self, link: icepath.Connection, *, rtcp_mux: bool = True) -> None:
        self.link = link
        self.rtcp_mux = rtcp_mux
        # What is offered: with RTCP on RTP's port, or on a component of its own (RFC 5761).
        self.template = TEMPLATE.with_section(0, TEMPLATE.media[0].with_attributes(*["rtcp-mux"] * rtcp_mux))
        self.local = self.template
        self.remote: sdp.Negotiated | None = None
        self.completed = asyncio.Event()
        self.ended = asyncio.Event()
        self.received = 0
        self._watching = asyncio.create_task(self._watch())

    # -- offer and answer ------------------------------------------------------------------------------------------

    async def offer(self) -> str:
        """Returns our first offer, with every candidate."""
        self.local = sdp.make_offer(self.template, [await self.link.gather()])
        return str(self.local)

    def take_answer(self, text: str) -> None:
        """Gives the agent what the other side answered."""
        self.remote = sdp.read_answer(self.local, sdp.parse_session(text), previous=self.remote)
        self.follow(self.remote.streams[0])

    async def answer(self, text: str) -> str:
        """Answers an offer, the first or a later one."""
        self.remote = settled = sdp.read_offer(sdp.parse_session(text), previous=self.remote, rtcp_mux=self.rtcp_mux)
        stream = settled.streams[0]
        self.follow(stream)
        if stream.remote_candidates:
            # RFC 8839 §4.4.2: the offer may have overtaken the checks that it tells the outcome of.
            async with asyncio.timeout(5):
                await self.completed.wait()
        await self.link.gather()
        (ours,) = sdp.local_streams(self.link.snapshot())
        # One audio stream; whatever else is offered is rejected.
        others = [section.media for section in settled.session.media[1:]]
        rejected = "".join(f"m={media.media} 0 {media.protocol} {media.formats}\r\n" for media in others)
        template = sdp.parse_session(str(TEMPLATE) + rejected)
        self.local = sdp.make_answer(settled, template, [ours, *[None] * len(others)], previous=self.local)
        return str(self.local)

    def follow(self, stream: sdp.Stream) -> None:
        """Gives the agent the other side's description; when that is a restart, the agent restarts too."""
        if stream.remote is None:
            raise SipError(f"the other side does not use ICE: {stream.usage.name}")
        self.link.set_remote_description(stream.remote)

    def take_info(self, text: str) -> None:
        """Gives the agent candidates that trickle in."""
        if self.remote is None:
            return
        trickled = sdp.take_fragment(self.remote, sdp.parse_fragment(text))
        self.remote = trickled.negotiated
        for stream in trickled.streams:
            for candidate in stream.candidates:
                self.link.add_remote_candidate(candidate)
            if stream.end_of_candidates:
                self.link.add_remote_candidate(None)

    def update(self) -> str | None:
        """Returns the offer that a side which knows RFC 5245 only needs when the path is not the one first told."""
        (stream,) = sdp.local_streams(self.link.snapshot())
        if self.remote is None or not sdp.needs_update(self.local, self.remote, [stream]):
            return None
        self.local = sdp.make_offer(self.template, [stream], previous=self.local)
        return str(self.local)

    async def _watch(self) -> None:
        async for event in self.link.events():
            if isinstance(event, icepath.StateChanged) and event.state is icepath.State.COMPLETED:
                self.completed.set()
            elif isinstance(event, icepath.StateChanged) and event.state is icepath.State.CHECKING:
                self.completed.clear()

    async def close(self) -> None:
        """Ends it here."""
        self.ended.set()
        await self.link.close()
        await self._watching

    # -- media -------------------------------------------------------------------------------------------------------

    async def echo(self) -> None:
        """Sends every RTP packet back, until the call ends."""
        async for packet in self.link:
            if _is_rtp(packet):
                self.received += 1
                await self.link.send(packet)

    async def talk(self, seconds: float) -> None:
        """Sends silence, a packet every 20 ms, and counts what comes back, until `seconds` after the first."""
        counting = asyncio.create_task(self._count())
        source = secrets.randbits(32)
        number, last = 0, int(PATIENCE / FRAME)
        while number < last and not self.ended.is_set():
            await self.link.send(struct.pack("!BBHII", 0x80, 0, number, 160 * number, source) + SILENCE)
            await asyncio.sleep(FRAME)
            number += 1
            if self.received and last == int(PATIENCE / FRAME):
                last = number + int(seconds / FRAME)
        counting.cancel()

    async def _count(self) -> None:
        async for packet in self.link:
            self.received += _is_rtp(packet)


def _is_rtp(packet: bytes) -> bool:
    """RFC 5761 §4: with RTCP on the same port, its packet types are 192 to 223 in RTP's place of marker and type."""
    return len(packet) >= 12 and not 64 <= packet[1] & 0x7F <= 95


class Phone:
    """Registers, calls, and answers one call at a time."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.config = icepath.Config(loopback=options.loopback)
        self.calls: dict[str, Call] = {}
        self.tag = secrets.token_hex(4)
        self.sequence = 1
        self.served = asyncio.Event()

    def connection(self, components: int) -> icepath.Connection:
        """Returns a connection that uses the servers of the command line."""
        user, password = self.options.turn_user, self.options.turn_password
        servers = [
            icepath.IceServer(url, user, password) if url.startswith("turn") else icepath.IceServer(url)
            for url in self.options.server
        ]
        return icepath.Connection(servers, components=components, config=self.config)

    async def open(self) -> None:
        """Opens the socket for SIP."""
        host, _, port = self.options.proxy.rpartition(":")
        self.endpoint = await Endpoint.open(self.serve, (host, int(port)), self.options.port)

    @property
    def contact(self) -> str:
        """Returns where this phone is; `+sip.ice` is RFC 5768's."""
        return f"<sip:{self.options.user}@{self.endpoint.local[0]}:{self.endpoint.local[1]}>;+sip.ice"

    def address(self, user: str) -> str:
        """Returns a user's address of record."""
        return f"sip:{user}@{self.options.proxy}"

    # -- asking ------------------------------------------------------------------------------------------------------

    async def ask(
        self, method: str, uri: str, sender: str, to: str, call_id: str, *headers: tuple[str, str], body: str = ""
    ) -> Message:
        """Sends a request, and once more with a digest when it is asked for one."""
        proof: tuple[tuple[str, str], ...] = ()
        while True:
            self.sequence += 1
            same = (("max-forwards", "70"), ("from", sender), ("to", to), ("call-id", call_id))
            request = Message(
                f"{method} {uri} SIP/2.0",
                (
                    ("via", self.endpoint.via()),
                    *same,
                    ("cseq", f"{self.sequence} {method}"),
                    *CAPABILITIES,
                    *headers,
                    *proof,
                ),
                body,
            )
            response = await self.endpoint.ask(request)
            if response.status not in (401, 407) or proof:
                return response
            challenge, name = response.get("www-authenticate"), "authorization"
            if response.status == 407:
                challenge, name = response.get("proxy-authenticate"), "proxy-authorization"
            proof = ((name, authorization(challenge, method, uri, self.options.user, self.options.password)),)

    async def ask_within(self, dialog: Dialog, method: str, *headers: tuple[str, str], body: str = "") -> Message:
        """Sends a request of a dialog."""
        routes = tuple(("route", route) for route in dialog.routes)
        return await self.ask(
            method, dialog.target, dialog.ours, dialog.theirs, dialog.call_id, *routes, *headers, body=body
        )

    def confirm(self, dialog: Dialog, response: Message) -> None:
        """Sends the ACK of a 2xx."""
        number = response.get("cseq").split(" ")[0]
        routes = tuple(("route", route) for route in dialog.routes)
        same = (("from", dialog.ours), ("to", dialog.theirs), ("call-id", dialog.call_id), ("cseq", f"{number} ACK"))
        via = (("via", self.endpoint.via()), ("max-forwards", "70"))
        self.endpoint.send(Message(f"ACK {dialog.target} SIP/2.0", (*via, *routes, *same)))

    async def register(self) -> None:
        """Tells the registrar where this phone is."""
        ours = f"<{self.address(self.options.user)}>"
        contact = ("contact", self.contact)
        uri, call_id = f"sip:{self.options.proxy}", secrets.token_hex(8)
        response = await self.ask("REGISTER", uri, f"{ours};tag={self.tag}", ours, call_id, contact, ("expires", "300"))
        if response.status != 200:
            raise SipError(response.start)
        print("registered", flush=True)

    async def call(self, user: str, seconds: float) -> None:
        """Calls, talks, hangs up."""
        call = Call(self.connection(1 if self.options.rtcp_mux else 2), rtcp_mux=self.options.rtcp_mux)
        ours, call_id = f"<{self.address(self.options.user)}>;tag={secrets.token_hex(4)}", secrets.token_hex(8)
        media = (("contact", self.contact), SDP_TYPE)
        try:
            body = await call.offer()
            uri = self.address(user)
            response = await self.ask("INVITE", uri, ours, f"<{uri}>", call_id, *media, body=body)
            if response.status >= 300:
                raise SipError(response.start)
            dialog = Dialog.of_response(response)
            self.calls[call_id] = call
            self.confirm(dialog, response)
            call.take_answer(response.body)
            print("connected:", await call.link.connect(), flush=True)
            async with asyncio.timeout(PATIENCE):
                await call.completed.wait()
            await self.update(call, dialog)
            await call.talk(seconds)
            await self.ask_within(dialog, "BYE")
        except icepath.ConnectionClosed:
            if not call.ended.is_set():  # else the other side has hung up
                raise
        finally:
            await call.close()
        print(f"received {call.received} RTP packets", flush=True)

    async def update(self, call: Call, dialog: Dialog) -> None:
        """Tells the other side the path where it needs that (RFC 8839 §4.3.4)."""
        body = call.update()
        if body is None:
            return
        response = await self.ask_within(dialog, "INVITE", ("contact", self.contact), SDP_TYPE, body=body)
        if response.status < 300:
            self.confirm(dialog, response)
            call.take_answer(response.body)
        print("updated:", response.start, flush=True)

    # -- being asked -------------------------------------------------------------------------------------------------

    async def serve(self, request: Message) -> Message:
        """Answers a request."""
        call = self.calls.get(request.get("call-id"))
        match request.method:
            case "INVITE":
                return await self.on_invite(request, call)
            case "BYE" if call is not None:
                del self.calls[request.get("call-id")]
                await self.hang_up(call)
                return request.answer(200, "OK")
            case "INFO" if call is not None and sdp.CONTENT_TYPE in request.get("content-type"):
                call.take_info(request.body)
                return request.answer(200, "OK")
            case "OPTIONS":
                return request.answer(200, "OK", *CAPABILITIES)
            case _:
                return request.answer(481 if call is None else 501, "No")

    async def on_invite(self, request: Message, call: Call | None) -> Message:
        """Answers a call, or an offer within one."""
        try:
            if call is None:
                stream = sdp.read_offer(sdp.parse_session(request.body), rtcp_mux=self.options.rtcp_mux).streams[0]
                if stream.usage is not sdp.Usage.ICE:
                    # RFC 5768 §5.2: who calls here is required to support ICE.
                    return request.answer(421, "Extension Required", ("require", "ice"))
                call = Call(self.connection(stream.components), rtcp_mux=self.options.rtcp_mux)
                self.calls[request.get("call-id")] = call
                self.media = asyncio.create_task(self.talk_back(call))
            body = await call.answer(request.body)
        except (icepath.DecodeError, SipError, TimeoutError) as error:
            return request.answer(488, "Not Acceptable Here", ("warning", f'399 icepath "{error}"'))
        return request.answer(200, "OK", ("contact", self.contact), SDP_TYPE, *CAPABILITIES, body=body, tag=self.tag)

    async def talk_back(self, call: Call) -> None:
        """Echoes until the other side hangs up."""
        try:
            print("connected:", await call.link.connect(), flush=True)
            await call.echo()
        except icepath.ConnectionFailure as failure:
            print(failure, flush=True)

    async def hang_up(self, call: Call) -> None:
        """Ends a call that the other side ended."""
        await call.close()
        print(f"received {call.received} RTP packets", flush=True)
        self.served.set()


@asynccontextmanager
async def phone_of(options: argparse.Namespace) -> AsyncIterator[Phone]:
    """Opens a phone, and closes it."""
    phone = Phone(options)
    await phone.open()
    try:
        yield phone
    finally:
        for call in list(phone.calls.values()):
            await call.close()
        phone.endpoint.close()


async def main(options: argparse.Namespace) -> None:
    """Calls, or waits for one call (`--once`) or many."""
    async with phone_of(options) as phone:
        print("listening on port", phone.endpoint.local[1], flush=True)
        if options.password:
            await phone.register()
        if options.call:
            await phone.call(options.call, options.seconds)
            return
        await phone.served.wait()
        while not options.once:
            await asyncio.sleep(3600)


def parse_arguments() -> argparse.Namespace:
    """Returns what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", required=True, metavar="HOST:PORT")
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", default="", help="registers with it; without one nothing is registered")
    parser.add_argument("--call", metavar="USER")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long to talk once the other side is heard")
    parser.add_argument("--port", type=int, default=0, help="for SIP")
    parser.add_argument("--server", action="append", default=[], metavar="URI", help="stun: or turn:, any number")
    parser.add_argument("--turn-user")
    parser.add_argument("--turn-password")
    parser.add_argument("--no-rtcp-mux", dest="rtcp_mux", action="store_false", help="for phones that want two ports")
    parser.add_argument("--once", action="store_true", help="ends after the first call")
    parser.add_argument("--loopback", action="store_true", help="media over 127.0.0.1 too, for tests on one computer")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        asyncio.run(main(parse_arguments()))
    except (SipError, icepath.ConnectionFailure) as failure:
        raise SystemExit(str(failure)) from None
