"""One agent with a TCP listener, whose far side is played by hand."""

from __future__ import annotations

from dataclasses import replace

from icepath.ice.config import AgentConfig, Role
from icepath.machine import (
    Accepted,
    Bytes,
    Close,
    Closed,
    CloseReason,
    Connect,
    Handle,
    LocalAddress,
    Opened,
    Transport,
)
from icepath.net import Address, Instant
from icepath.wire.attributes import UseCandidate, XorMappedAddress
from icepath.wire.candidate_line import Candidate, TcpType
from icepath.wire.fragment import Description
from icepath.wire.framing import Rfc4571Framer, frame_rfc4571
from icepath.wire.message import Message, MessageClass, decode_message
from unit.ice.agent_table import TA, Table
from unit.ice.builders import HOST, OWN, REMOTE, THEIR_KEY, THEIRS, candidate, check_from_remote, reply

# The port that a connection of ours has, as the other side sees it, and one that it connects from.
OUR_PORT = Address(HOST.host, 50_000)
THEIR_PORT = Address(REMOTE.host, 51_000)


def tcp_candidate(address: Address = REMOTE, tcp_type: TcpType = TcpType.PASSIVE, **changes: object) -> Candidate:
    made = replace(candidate(address, foundation="9", priority=1_500_000_000), transport=Transport.TCP)
    return replace(made, tcp_type=tcp_type, **changes)  # type: ignore[arg-type]


def tcp_config(role: Role = Role.CONTROLLING) -> AgentConfig:
    return AgentConfig(OWN, role, tcp=True)


class TcpTable(Table):
    def __init__(self, settings: AgentConfig | None = None) -> None:
        super().__init__(settings or tcp_config())

    def listen(self, address: Address = HOST, *, now: Instant = 0.0) -> None:
        self.agent.add_local_address(LocalAddress(address, transport=Transport.TCP), now=now)

    def meet_over_tcp(self, *candidates: Candidate, now: Instant = 0.0) -> None:
        described = Description(THEIRS.ufrag, THEIRS.password, candidates or (tcp_candidate(),), pacing=5)
        self.agent.set_remote_description(described, now=now)

    def connects(self) -> list[Connect]:
        self.take()
        return [output for output in self.said if isinstance(output, Connect)]

    def closes(self) -> list[Close]:
        self.take()
        return [output for output in self.said if isinstance(output, Close)]

    def open(self, handle: Handle, *, now: Instant = 0.0) -> None:
        self.agent.receive(Opened(handle, OUR_PORT, REMOTE), now=now)

    def accept(self, handle: int = -1, *, remote: Address = THEIR_PORT, now: Instant = 0.0) -> Handle:
        self.agent.receive(Accepted(Handle(handle), HOST, HOST, remote), now=now)
        return Handle(handle)

    def hear(self, handle: Handle, *payloads: bytes, now: Instant = 0.0) -> None:
        data = b"".join(frame_rfc4571(payload) for payload in payloads)
        self.agent.receive(Bytes(handle, data), now=now)

    def hang_up(self, handle: Handle, *, now: Instant = 0.0) -> None:
        self.agent.receive(Closed(handle, CloseReason.EOF), now=now)

    def frames(self, handle: Handle) -> list[bytes]:
        """Returns every payload that was sent on a connection."""
        self.take()
        sent = [output for output in self.said if isinstance(output, Bytes) and output.handle == handle]
        return Rfc4571Framer().feed(b"".join(each.payload for each in sent))

    def last_request_on(self, handle: Handle) -> Message:
        found = [decode_message(each) for each in self.frames(handle) if each[0] < 2]
        return [message for message in found if message.message_class is MessageClass.REQUEST][-1]

    def answer_on(self, handle: Handle, *, mapped: Address = OUR_PORT, now: Instant = 0.0) -> None:
        request = self.last_request_on(handle)
        self.hear(handle, reply(request, [XorMappedAddress(mapped)], key=THEIR_KEY), now=now)

    def connect_over_tcp(self) -> Handle:
        """Brings the agent to a nominated pair on a connection that it opened; returns the connection's handle."""
        self.listen()
        self.agent.end_of_local_addresses(now=0.0)
        self.meet_over_tcp()
        (connect,) = self.connects()
        self.open(connect.handle)
        self.answer_on(connect.handle)
        self.agent.handle_timeout(now=TA)
        assert self.last_request_on(connect.handle).get(UseCandidate) is not None
        self.answer_on(connect.handle, now=TA)
        return connect.handle

    def connected_by_them(self) -> Handle:
        """Brings a controlled agent to a nominated pair on a connection that it accepted."""
        self.listen()
        self.meet_over_tcp(tcp_candidate(tcp_type=TcpType.ACTIVE))
        handle = self.accept()
        self.hear(handle, check_from_remote(role=Role.CONTROLLING).data)
        self.answer_on(handle, mapped=HOST)
        self.hear(handle, check_from_remote(role=Role.CONTROLLING, use_candidate=True, number=1).data)
        return handle
