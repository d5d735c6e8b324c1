from __future__ import annotations

import pytest

from icepath.errors import InvalidArgument
from icepath.net import Address
from icepath.turn.server.config import TurnServerConfig, family_of
from icepath.wire.attributes import AddressFamily

LISTEN = (Address("198.51.100.1", 3478),)
V4, V6 = AddressFamily.IPV4, AddressFamily.IPV6


def test_finds_the_host_of_a_family() -> None:
    config = TurnServerConfig(LISTEN, ("2001:db8::1", "198.51.100.1"))
    assert (config.relay_host(V4), config.relay_host(V6), config.relay_host(3)) == ("198.51.100.1", "2001:db8::1", None)
    assert TurnServerConfig(LISTEN, ("198.51.100.1",)).relay_host(V6) is None


def test_everything_lawful_is_taken() -> None:
    TurnServerConfig(
        LISTEN, ("198.51.100.1",), port_range=(1, 1), denied=("10.0.0.0/8", "::1"), max_lifetime=600, software="x"
    )


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"relay_hosts": ()}, "relay_hosts"),
        ({"relay_hosts": ("192.0.2.1", "192.0.2.2")}, "relay_hosts"),
        ({"relay_hosts": ("relay.example",)}, "IP address"),
        ({"port_range": (0, 5)}, "port_range"),
        ({"port_range": (6, 5)}, "port_range"),
        ({"port_range": (6, 65536)}, "port_range"),
        ({"max_lifetime": 599}, "max_lifetime"),
        ({"denied": ("10.0.0.1/8",)}, "denied"),
        ({"denied": ("everybody",)}, "denied"),
        ({"software": "x" * 200}, "SOFTWARE"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, object], word: str) -> None:
    with pytest.raises(InvalidArgument, match=word):
        TurnServerConfig(**{"listen": LISTEN, "relay_hosts": ("198.51.100.1",), **settings})  # type: ignore[arg-type] # of all types


def test_family_of_a_host() -> None:
    assert (family_of("192.0.2.1"), family_of("2001:db8::1")) == (V4, V6)
