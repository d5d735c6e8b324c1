"""Agents on one port: whatever arrives is one member's or dropped, never two members' five-tuple, never kept for ever.

Each step is an operation byte (member, remote, what to do), two bytes of length, and so many bytes of a packet. For a
first request, the router's cheap look at USERNAME must agree with the codec's.
"""

from __future__ import annotations

import sys

from icepath.errors import DecodeError
from icepath.ice.router import NOBODY, Member, Router
from icepath.machine import Datagram, DropReason
from icepath.net import Address
from icepath.wire.attributes import Username
from icepath.wire.message import MessageClass, Method, decode_message, looks_like_stun

LOCAL = Address("192.0.2.1", 4000)
REMOTES = (Address("198.51.100.7", 5000), Address("198.51.100.8", 5000), LOCAL)
UFRAGS = ("AAAA", "BBBB", "CCCC")
STEP = 3
MAX_CLAIMS = 4


def one_input(data: bytes) -> None:
    """Checks one sequence of operations."""
    router = Router(max_claims=MAX_CLAIMS)
    members = [router.add(ufrag) for ufrag in UFRAGS]
    if data:
        check_look(data)
    now = 0.0
    at = 0
    while at + STEP <= len(data):
        operation = data[at]
        end = at + STEP + (data[at + 1] << 8 | data[at + 2])
        now += operation >> 6
        member = members[operation & 3] if operation & 3 < len(members) else NOBODY
        step(router, members, member, operation, data[at + STEP : end], now)
        at = end


def step(router: Router, members: list[Member], member: Member, operation: int, payload: bytes, now: float) -> None:
    """Does one operation and checks what it says."""
    remote = REMOTES[(operation >> 2) % len(REMOTES)]
    datagram = Datagram(LOCAL, remote, payload)
    if operation & 0x20 and member is not NOBODY:
        router.sent(member, datagram, now=now)
    elif operation & 0x30 == 0x10 and member is not NOBODY:
        router.confirm(member, LOCAL, remote, now + 30.0, now=now)
    else:
        owner = router.route(datagram, sender=member, now=now)
        assert isinstance(owner, DropReason) or owner in members
    concerned = router.concerned(LOCAL, remote, now=now)
    assert all(each in members for each in concerned)


def check_look(payload: bytes) -> None:
    """Checks that a router that knows nothing yet gives a request to whom its USERNAME names."""
    try:
        message = decode_message(payload)
    except DecodeError:
        return
    is_request = message.method == Method.BINDING and message.message_class is MessageClass.REQUEST
    username = message.get(Username)
    if not is_request or username is None or not looks_like_stun(payload):
        return  # a USERNAME behind the integrity is none, which its agent says as well
    router = Router()
    members = {ufrag: router.add(ufrag) for ufrag in UFRAGS}
    said = router.route(Datagram(LOCAL, REMOTES[0], payload), now=0.0)
    expected: Member | DropReason = members.get(username.text.partition(":")[0], DropReason.UNKNOWN_USERNAME)
    assert said == expected, f"{username}: {said}, not {expected}"


def main() -> None:
    """Fuzzes until stopped: python fuzz/target_router.py fuzz/corpus/router."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
