"""One TCP connection: frames, and what a stranger may cost."""

from __future__ import annotations

import pytest

from icepath.ice.connection import MAX_UNPROVEN_OCTETS, Connection
from icepath.machine import Bytes, Handle
from icepath.net import TcpAddress
from icepath.wire.framing import frame_rfc4571
from unit.ice.builders import HOST, REMOTE, check_from_remote

CHECK = check_from_remote().data
DATA = b"\x80data"


def connection(*, is_accepted: bool = True) -> Connection:
    return Connection(Handle(3), TcpAddress(*HOST), TcpAddress(*REMOTE), is_accepted=is_accepted)


@pytest.mark.rfc("6544", "7.2")
def test_frames_are_cut_wherever_the_bytes_were() -> None:
    opened = connection()
    stream = frame_rfc4571(CHECK) + frame_rfc4571(DATA)
    found = [opened.cut(stream[index : index + 1]) for index in range(len(stream))]
    assert [payloads for payloads in found if payloads] == [[CHECK], [DATA]]


@pytest.mark.rfc("6544", "7.1")
@pytest.mark.rfc("6544", "10.1")
def test_what_is_sent_is_framed_and_only_data_may_be_dropped() -> None:
    opened = connection()
    assert opened.framed(CHECK, is_data=False) == Bytes(Handle(3), frame_rfc4571(CHECK))
    assert opened.framed(DATA, is_data=True) == Bytes(Handle(3), frame_rfc4571(DATA), droppable=True)


@pytest.mark.rfc("6544", "7.1")
@pytest.mark.parametrize("is_accepted", [True, False])
def test_whoever_does_not_begin_with_stun_speaks_something_else(is_accepted: bool) -> None:
    assert connection(is_accepted=is_accepted).cut(frame_rfc4571(b"GET / HTTP/1.1")) is None


def test_a_stranger_says_no_more_than_a_check() -> None:
    stranger = connection()
    assert stranger.cut(frame_rfc4571(CHECK)) == [CHECK]
    assert stranger.cut(bytes(MAX_UNPROVEN_OCTETS - len(CHECK) - 2)) == []
    assert stranger.cut(b"\0") is None


def test_who_is_known_may_say_more() -> None:
    known = connection(is_accepted=False)
    assert not known.is_open
    assert known.cut(frame_rfc4571(CHECK) + frame_rfc4571(DATA * 10_000)) == [CHECK, DATA * 10_000]
