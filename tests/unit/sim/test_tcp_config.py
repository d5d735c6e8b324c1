"""icepath.sim.tcp_config: what may be set."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icepath.errors import InvalidArgument
from icepath.sim.tcp_config import TcpConfig


@pytest.mark.parametrize("name", ["max_segment", "read_size", "receive_buffer", "backlog"])
def test_sizes_are_one_or_more(name: str) -> None:
    config = TcpConfig()
    assert getattr(replace(config, **{name: 1}), name) == 1
    with pytest.raises(InvalidArgument, match="must be 1 or more"):
        replace(config, **{name: 0})


@pytest.mark.parametrize("high_water", [-1, 11])
def test_the_high_water_mark_is_within_the_limit(high_water: int) -> None:
    assert TcpConfig(high_water=10, limit=10).high_water == 10
    with pytest.raises(InvalidArgument, match=f"high_water is {high_water}, allowed are 0 to limit, 10"):
        TcpConfig(high_water=high_water, limit=10)


def test_patience_is_more_than_nothing() -> None:
    for wrong in ({"connect_timeout": 0.0}, {"handshake_timeout": 0.0}, {"stall_timeout": -1.0}):
        patience = {"connect_timeout": 1.0, "handshake_timeout": 1.0, "stall_timeout": 1.0} | wrong
        with pytest.raises(InvalidArgument, match="must be more than 0"):
            TcpConfig(
                connect_timeout=patience["connect_timeout"],
                handshake_timeout=patience["handshake_timeout"],
                stall_timeout=patience["stall_timeout"],
            )
