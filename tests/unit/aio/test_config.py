"""Settings for experts."""

from __future__ import annotations

import pytest

from icepath.aio.config import Config
from icepath.aio.ip_handling import IP_HANDLINGS
from icepath.errors import InvalidArgument


def test_ports_are_a_range_of_real_ports() -> None:
    assert Config(ports=range(40000, 40010)).port_range == (40000, 40009)
    assert Config().port_range is None
    for ports in (range(5), range(5, 5), range(1, 9, 2), range(65_000, 70_000)):
        with pytest.raises(InvalidArgument, match="ports"):
            Config(ports=ports)


def test_a_queue_holds_something() -> None:
    with pytest.raises(InvalidArgument, match="receive_queue"):
        Config(receive_queue=0)


def test_families_are_one_or_both() -> None:
    assert Config().families == ("ipv4", "ipv6")
    assert Config(families=("ipv6",)).families == ("ipv6",)
    for families in ((), ("ipv5",)):
        with pytest.raises(InvalidArgument, match="families"):
            Config(families=families)  # type: ignore[arg-type]  # as untyped callers do


@pytest.mark.rfc("8828", "5.2")
def test_ways_of_handling_addresses_are_the_rfcs_four() -> None:
    assert Config().ip_handling == "all"
    for handling in IP_HANDLINGS:
        assert Config(ip_handling=handling).ip_handling == handling
    with pytest.raises(InvalidArgument, match="ip_handling"):
        Config(ip_handling="private")  # type: ignore[arg-type]  # as untyped callers do
