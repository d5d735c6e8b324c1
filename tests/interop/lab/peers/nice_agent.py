"""libnice as a peer, through its GObject introspection (the distribution's Python has it, a virtual environment does
not).

`nice_agent_attach_recv` and binary `nice_agent_send` are not introspectable and go through ctypes; without the
former no socket is ever read. CONNECTED means data may be sent (`first_valid`), READY that the pair is nominated
(`connected`).
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import sys
import time

import gi  # type: ignore[import-not-found, import-untyped, unused-ignore]  # only the system's Python has it

from interop.lab.peers.lines import (
    PING_INTERVAL,
    Options,
    PingPong,
    candidate_value,
    parse_options,
    say,
    say_event,
    text_of,
)

gi.require_version("Nice", "0.1")
from gi.repository import GLib, Nice  # type: ignore[import-not-found, unused-ignore]  # noqa: E402

_LIBNICE = ctypes.CDLL("libnice.so.10")
_RECEIVE = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    ctypes.c_uint,
    ctypes.c_uint,
    ctypes.c_uint,
    ctypes.POINTER(ctypes.c_char),
    ctypes.c_void_p,
)
_TYPES = {
    Nice.CandidateType.HOST: "host",
    Nice.CandidateType.SERVER_REFLEXIVE: "srflx",
    Nice.CandidateType.PEER_REFLEXIVE: "prflx",
    Nice.CandidateType.RELAYED: "relay",
}


class NiceAgent:
    """One agent with one stream of one component, in the default main loop."""

    def __init__(self, options: Options) -> None:
        self._loop = GLib.MainLoop.new(GLib.MainContext.default(), False)
        flags = Nice.AgentOption.ICE_TRICKLE | Nice.AgentOption.CONSENT_FRESHNESS
        self._agent = Nice.Agent.new_full(GLib.MainContext.default(), Nice.Compatibility.RFC5245, flags)
        self._pointer = ctypes.c_void_p(hash(self._agent))  # the hash of a GObject is its address
        self._application = PingPong(options.controlling, options.messages, self._send)
        self._input = b""
        self._pair: tuple[str, ...] = ()
        self._usable = self._connected = False
        self._configure(options)
        self._stream = self._agent.add_stream(1)
        self._agent.set_stream_name(self._stream, "application")
        self._set_relays(options)
        self._connect_signals()

    def run(self) -> None:
        """Obeys standard input until `quit` or its end."""
        os.set_blocking(sys.stdin.fileno(), False)
        GLib.unix_fd_add_full(
            GLib.PRIORITY_DEFAULT, sys.stdin.fileno(), GLib.IOCondition.IN | GLib.IOCondition.HUP, self._read, None
        )
        GLib.timeout_add(int(1000 * PING_INTERVAL), self._repeat)
        say("ready")
        self._loop.run()
        say("done", cpu=time.process_time())

    def _configure(self, options: Options) -> None:
        properties = self._agent.props
        properties.controlling_mode = options.ice_controlling
        properties.ice_tcp = options.tcp_only
        properties.ice_udp = not options.tcp_only
        properties.upnp = False
        properties.force_relay = options.relay_only
        if options.stun:
            properties.stun_server, properties.stun_server_port = options.stun

    def _set_relays(self, options: Options) -> None:
        relays = (
            (options.turn, Nice.RelayType.UDP),
            (options.turn_tcp, Nice.RelayType.TCP),
            (options.turn_tls, Nice.RelayType.TLS),
        )
        for server, kind in relays:
            if server is not None:
                host, port = server
                self._agent.set_relay_info(self._stream, 1, host, port, options.user, options.password, kind)

    def _connect_signals(self) -> None:
        self._agent.connect("new-candidate-full", self._on_candidate)
        self._agent.connect("candidate-gathering-done", self._on_gathered)
        self._agent.connect("component-state-changed", self._on_state)
        self._agent.connect("new-selected-pair-full", self._on_pair)
        self._callback = _RECEIVE(self._on_data)  # must outlive the agent
        context = ctypes.c_void_p(hash(GLib.MainContext.default()))
        _LIBNICE.nice_agent_attach_recv(self._pointer, self._stream, 1, context, self._callback, None)

    def _read(self, descriptor: int, *_: object) -> bool:
        try:
            chunk = os.read(descriptor, 65536)
        except BlockingIOError:
            return True
        *lines, self._input = (self._input + chunk).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        if not chunk:
            self._loop.quit()
        return bool(chunk)

    def _obey(self, message: dict[str, object]) -> None:
        match message["type"]:
            case "start":
                self._say_local()
                if not self._agent.gather_candidates(self._stream):
                    say("error", why="gather_candidates failed")
            case "remote":
                ufrag, password = text_of(message, "ufrag"), text_of(message, "pwd")
                self._agent.set_remote_credentials(self._stream, ufrag, password)
            case "candidate":
                self._add(candidate_value(message))
            case "end":
                self._agent.peer_candidate_gathering_done(self._stream)
            case "send":
                self._send(base64.b64decode(text_of(message, "data")))
            case "restart":
                self._agent.restart()
                self._usable = self._connected = False
                self._say_local()
            case "quit":
                self._loop.quit()
            case kind:
                say("error", why=f"unsupported: {kind}")

    def _say_local(self) -> None:
        _, ufrag, password = self._agent.get_local_credentials(self._stream)
        say("local", ufrag=ufrag, pwd=password)

    def _add(self, line: str) -> None:
        candidate = self._agent.parse_remote_candidate_sdp(self._stream, f"a=candidate:{line}")
        if candidate is not None:
            self._agent.set_remote_candidates(self._stream, 1, [candidate])

    def _on_candidate(self, _agent: object, candidate: object) -> None:
        line = self._agent.generate_local_candidate_sdp(candidate)
        say("candidate", candidate=line.removeprefix("a="))

    def _on_gathered(self, _agent: object, _stream: int) -> None:
        say("end")
        say_event("gathered")

    def _on_state(self, _agent: object, _stream: int, _component: int, state: int) -> None:
        if state in (Nice.ComponentState.CONNECTED, Nice.ComponentState.READY) and not self._usable:
            self._usable = True
            say_event("first_valid")
            self._application.begin()
        if state == Nice.ComponentState.READY and not self._connected:
            self._connected = True
            say_event("connected")
            self._say_pair()
        if state == Nice.ComponentState.FAILED:
            say_event("lost" if self._connected else "failed", why="libnice says FAILED")

    def _on_pair(self, _agent: object, _stream: int, _component: int, *candidates: object) -> None:
        # Only the type of an introspected candidate can be trusted, and only during this call.
        self._pair = tuple(_TYPES.get(getattr(candidate, "type", None), "?") for candidate in candidates)

    def _say_pair(self) -> None:
        if len(self._pair) == 2:
            say("pair", local=self._pair[0], remote=self._pair[1])

    def _on_data(
        self, _agent: int, _stream: int, _component: int, length: int, buffer: ctypes._Pointer[ctypes.c_char], _: int
    ) -> None:
        self._application.received(ctypes.string_at(buffer, length))

    def _repeat(self) -> bool:
        self._application.repeat()
        return True

    def _send(self, payload: bytes) -> None:
        _LIBNICE.nice_agent_send(self._pointer, self._stream, 1, len(payload), payload)


if __name__ == "__main__":
    NiceAgent(parse_options()).run()
