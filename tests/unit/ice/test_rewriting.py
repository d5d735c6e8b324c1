"""The table of addresses that our hosts are reached at: which rule holds, and which is none."""

from __future__ import annotations

import pytest

from icepath.errors import InvalidArgument
from icepath.ice.rewriting import RewriteMode, RewriteRule, find_rule

CLOUD = RewriteRule("10.0.0.0/8", "203.0.113.10")
DOCKER = RewriteRule("172.17.0.2", "203.0.113.11", RewriteMode.REPLACE)
SIX = RewriteRule("fd00::/8", "2001:db8::10")


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("10.1.2.3", CLOUD),
        ("172.17.0.2", DOCKER),
        ("172.17.0.3", None),
        ("fd00:1::2", SIX),
        ("2001:db8:1::2", None),
    ],
)
def test_a_rule_holds_for_a_host_or_for_all_of_a_network(host: str, rule: RewriteRule | None) -> None:
    assert find_rule((CLOUD, DOCKER, SIX), host) is rule


def test_of_the_rules_that_hold_the_first_counts() -> None:
    one = RewriteRule("10.0.0.5", "203.0.113.12")
    assert find_rule((one, CLOUD), "10.0.0.5") is one
    assert find_rule((CLOUD, one), "10.0.0.5") is CLOUD
    assert find_rule((), "10.0.0.5") is None


@pytest.mark.parametrize(
    ("local", "external", "what"),
    [
        ("10.0.0.1/8", "203.0.113.10", "host bits"),
        ("ten", "203.0.113.10", "local 'ten'"),
        ("10.0.0.0/8", "elsewhere", "elsewhere"),
        ("10.0.0.0/8", "2001:db8::1", "one family"),
        ("fd00::/8", "203.0.113.10", "one family"),
        ("10.0.0.0/8", "0.0.0.0", "nobody can send"),
        ("10.0.0.0/8", "224.0.0.1", "nobody can send"),
        ("fd00::/8", "2001:DB8::1", "canonical"),
    ],
)
def test_a_rule_that_can_mean_nothing_is_refused(local: str, external: str, what: str) -> None:
    with pytest.raises(InvalidArgument, match=what):
        RewriteRule(local, external)


def test_modes_may_be_written_as_text_but_only_those() -> None:
    assert RewriteRule("10.0.0.1", "203.0.113.1", mode="replace").mode == RewriteMode.REPLACE
    with pytest.raises(InvalidArgument, match="allowed are add, replace"):
        RewriteRule("10.0.0.1", "203.0.113.1", mode="swap")
