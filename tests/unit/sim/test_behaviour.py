"""icepath.sim.behaviour: what mappings and filters depend on."""

from __future__ import annotations

from icepath.net import Address
from icepath.sim.behaviour import Behaviour, remote_key


def test_remote_key_is_what_the_behaviour_depends_on() -> None:
    remote = Address("11.0.0.1", 100)
    assert [remote_key(behaviour, remote) for behaviour in Behaviour] == [None, "11.0.0.1", remote]
