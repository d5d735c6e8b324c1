"""The machines that the laws are checked on: one entry each, with somebody to talk to."""

from __future__ import annotations

from typing import Any, Final

from icepath.entropy import Secret
from icepath.net import Address, Instant, RandomBytes
from icepath.stun.binding import BindingClient, BindingConfig
from icepath.stun.credentials import LongTermCredentials
from icepath.stun.responder import BindingResponder, ResponderConfig
from machines.laws import Subject

CLIENT: Final = Address("192.168.1.10", 5000)
SERVER: Final = Address("11.0.0.1", 3478)
ALICE: Final = LongTermCredentials("alice", Secret("wonderland"))


def _binding_client(random_bytes: RandomBytes, now: Instant) -> BindingClient:
    return BindingClient(BindingConfig(SERVER, CLIENT), random_bytes=random_bytes, now=now)


def _responder(random_bytes: RandomBytes, now: Instant) -> BindingResponder:
    return BindingResponder(ResponderConfig())


SUBJECTS: Final[tuple[Subject[Any], ...]] = (
    Subject(
        "binding client", _binding_client, peer=_responder, locals=(CLIENT,), remotes=(SERVER,), clock_goes_back=False
    ),
    Subject(
        "binding responder",
        _responder,
        peer=_binding_client,
        locals=(SERVER,),
        remotes=(CLIENT,),
        clock_goes_back=False,
    ),
)
