"""The config: links know their group and their neighbours; bounds are checked."""

from __future__ import annotations

from typing import Any

import pytest

from icepath.errors import InvalidArgument
from icepath.mdns.config import Link, MdnsConfig
from icepath.net import Address


class TestLink:
    def test_each_family_has_its_group(self) -> None:
        assert Link("192.168.1.10").group == Address("224.0.0.251", 5353)
        assert Link("2b00::1").group == Address("ff02::fb", 5353)

    @pytest.mark.rfc("6762", "11")
    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("192.168.1.77", True),
            ("10.1.0.1", True),
            ("192.168.2.77", False),
            ("2b00:1::77", True),
            ("2b00:2::77", False),
            ("fe80::77", False),
        ],
    )
    def test_neighbours_are_those_in_its_networks(self, host: str, expected: bool) -> None:
        assert Link("192.168.1.10", ("192.168.1.10/24", "10.0.0.0/8", "2b00:1::/64")).has(host) is expected

    def test_link_local_neighbours_are_on_every_link_of_ipv6(self) -> None:
        link = Link("2b00:1::10", ("2b00:1::/64",))
        assert link.has("fe80::77")
        assert link.has("2b00:1::77")
        assert not link.has("2b00:2::77")
        assert not link.has("169.254.1.1")

    @pytest.mark.parametrize("host", ["2B00::1", "192.168.1.10%eth0", "printer.local"])
    def test_its_address_is_canonical(self, host: str) -> None:
        with pytest.raises(InvalidArgument):
            Link(host)

    @pytest.mark.parametrize("network", ["192.168.1.0/33", "here"])
    def test_networks_are_networks(self, network: str) -> None:
        with pytest.raises(InvalidArgument):
            Link("192.168.1.10", (network,))

    def test_equal_links_are_one_link(self) -> None:
        assert len({Link("192.168.1.10", ("192.168.1.0/24",)), Link("192.168.1.10", ("192.168.1.0/24",))}) == 1


class TestBounds:
    def test_the_default_is_three_seconds(self) -> None:
        assert MdnsConfig().timeout == 3.0

    @pytest.mark.parametrize("name", ["max_queries", "max_names", "max_cached", "max_sent", "max_read"])
    def test_are_1_at_least(self, name: str) -> None:
        bound: dict[str, Any] = {name: 0}
        with pytest.raises(InvalidArgument):
            MdnsConfig(**bound)

    @pytest.mark.parametrize("timeout", [0.0, -1.0, float("inf")])
    def test_the_time_out_is_above_0_and_finite(self, timeout: float) -> None:
        with pytest.raises(InvalidArgument):
            MdnsConfig(timeout=timeout)
