"""Settings for experts."""

from __future__ import annotations

import pytest

from icepath.aio.config import Config
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
