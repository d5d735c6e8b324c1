from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace

import pytest

from icepath.entropy import Secret
from icepath.errors import InvalidArgument
from icepath.ice.config import (
    MAX_CONSENT_INTERVAL,
    MIN_RTO,
    AgentConfig,
    Role,
    RtoView,
    Server,
    rto_by_rfc,
    rto_floor,
)
from icepath.ice.consent import CONSENT_LIFETIME, JITTER_HIGH, JITTER_LOW
from icepath.ice.nomination import nominate_first_good
from icepath.ice.rewriting import RewriteMode, RewriteRule
from icepath.stun.credentials import LongTermCredentials
from icepath.stun.transaction import RetransmissionPolicy
from icepath.wire.uri import parse_server_uri
from unit.ice.builders import OWN

URI = parse_server_uri("turn:203.0.113.5")


def make(**changes: object) -> AgentConfig:
    return replace(AgentConfig(OWN, Role.CONTROLLED), **changes)  # type: ignore[arg-type]  # names are checked by the dataclass


class TestRto:
    @pytest.mark.rfc("8445", "14.3")
    @pytest.mark.parametrize(
        ("pacing", "total", "active", "rto"),
        [(0.05, 1, 1, 0.5), (0.05, 10, 1, 0.5), (0.05, 10, 10, 5.0), (0.005, 100, 100, 50.0), (0.02, 30, 1, 0.6)],
    )
    def test_the_rfcs_formula(self, pacing: float, total: int, active: int, rto: float) -> None:
        assert rto_by_rfc(RtoView(pacing, total, active)) == pytest.approx(rto)

    @pytest.mark.rfc("8445", "14.3")
    def test_the_floor_is_half_a_second_however_many_checks_there_are(self) -> None:
        assert rto_floor(RtoView(0.05, 100, 100)) == MIN_RTO == 0.5


class TestDefaults:
    @pytest.mark.rfc("8445", "6.1.2.5")
    def test_at_most_100_pairs_and_that_is_configurable(self) -> None:
        assert make().max_pairs == 100
        assert make(max_pairs=7).max_pairs == 7

    @pytest.mark.rfc("8863", "4")
    def test_patience_is_a_whole_checks_time(self) -> None:
        assert make().patience == RetransmissionPolicy().duration == 39.5

    @pytest.mark.rfc("7675", "5.1")
    def test_consent_checks_are_4_to_6_seconds_apart(self) -> None:
        interval = make().consent_interval
        assert (JITTER_LOW * interval, JITTER_HIGH * interval) == (4.0, 6.0)

    def test_the_rest(self) -> None:
        settings = make()
        assert settings.components == (1,)
        assert settings.servers == ()
        assert not settings.relay_only
        assert settings.nomination is nominate_first_good
        assert settings.rto is rto_floor


class TestValidation:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("components", (1, 2, 256)),
            ("pacing", 0.005),
            ("pacing", 1.0),
            ("patience", 0.0),
            ("recheck_interval", 0.001),
            ("consent_interval", 5.0),
            ("consent_interval", MAX_CONSENT_INTERVAL),
            ("close_timeout", 0.0),
            ("close_timeout", 60.0),
            ("max_pairs", 1),
            ("max_remote_candidates", 1),
            ("max_early_checks", 1),
        ],
    )
    def test_admits_the_ends_of_each_range(self, field: str, value: object) -> None:
        assert getattr(make(**{field: value}), field) == value

    @pytest.mark.parametrize(
        ("field", "value", "text"),
        [
            ("components", (), "components"),
            ("components", (0,), "components"),
            ("components", (1, 257), "components"),
            ("pacing", 0.0049, "pacing"),
            ("pacing", 1.001, "pacing"),
            ("pacing", math.nan, "pacing"),
            ("patience", -0.1, "patience"),
            ("patience", math.inf, "patience"),
            ("patience", math.nan, "patience"),
            ("recheck_interval", 0.0, "recheck interval"),
            ("recheck_interval", math.nan, "recheck interval"),
            ("consent_interval", 4.999, "consent interval"),
            ("consent_interval", 24.001, "consent interval"),
            ("consent_interval", math.nan, "consent interval"),
            ("close_timeout", -1.0, "close timeout"),
            ("close_timeout", 60.1, "close timeout"),
            ("max_pairs", 0, "limits"),
            ("max_remote_candidates", 0, "limits"),
            ("max_early_checks", 0, "limits"),
        ],
    )
    def test_refuses_what_is_out_of_range_and_says_which(self, field: str, value: object, text: str) -> None:
        with pytest.raises(InvalidArgument, match=text):
            make(**{field: value})

    @pytest.mark.rfc("8445", "14.2")
    def test_no_agent_may_be_paced_below_5_ms(self) -> None:
        with pytest.raises(InvalidArgument, match=r"14\.2"):
            make(pacing=0.001)

    @pytest.mark.rfc("7675", "5.1")
    def test_consent_never_lapses_for_want_of_a_check(self) -> None:
        assert JITTER_HIGH * MAX_CONSENT_INTERVAL < CONSENT_LIFETIME

    @pytest.mark.rfc("7675", "5.1")
    def test_consent_checks_are_never_less_than_4_seconds_apart(self) -> None:
        with pytest.raises(InvalidArgument, match="7675"):
            make(consent_interval=4.9)

    def test_is_frozen(self) -> None:
        with pytest.raises(FrozenInstanceError):
            make().pacing = 0.1  # type: ignore[misc]  # the point of the test


def test_no_pair_need_be_kept_warm_and_not_fewer() -> None:
    assert make(warm_pairs=0).warm_pairs == 0
    with pytest.raises(InvalidArgument, match="warm pairs at least 0"):
        make(warm_pairs=-1)


class TestServer:
    def test_without_a_username_has_no_credentials(self) -> None:
        assert Server(URI).credentials() is None
        assert Server(URI, password=Secret("alone")).credentials() is None

    def test_with_both_has_long_term_credentials(self) -> None:
        known = Server(URI, "alice", Secret("wonderland"))
        assert known.credentials() == LongTermCredentials("alice", Secret("wonderland"))

    @pytest.mark.rfc("8489", "9.2")
    @pytest.mark.parametrize(
        ("username", "password"), [("alice", None), ("alice", Secret("")), ("", Secret("x")), ("a\x07b", Secret("x"))]
    )
    def test_refuses_credentials_that_no_server_could_take(self, username: str, password: Secret | None) -> None:
        with pytest.raises(InvalidArgument):
            Server(URI, username, password)

    def test_hides_the_password(self) -> None:
        assert "wonderland" not in repr(Server(URI, "alice", Secret("wonderland")))


def test_roles_are_the_words_of_the_rfc() -> None:
    assert [role.value for role in Role] == ["controlling", "controlled"]


@pytest.mark.rfc("8445", "5.2")
@pytest.mark.parametrize("wrong", [{"relay_only": True}, {"servers": (Server(parse_server_uri("stun:192.0.2.1")),)}])
def test_a_lite_agent_has_host_candidates_only(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument, match="host candidates only"):
        make(lite=True, **wrong)


def test_a_lite_agent_replaces_addresses_and_adds_none() -> None:
    replaced = (RewriteRule("10.0.0.0/8", "203.0.113.10", RewriteMode.REPLACE),)
    assert make(lite=True, rewrite=replaced).rewrite == replaced
    with pytest.raises(InvalidArgument, match="rewriting replaces"):
        make(lite=True, rewrite=(*replaced, RewriteRule("10.0.0.0/8", "203.0.113.10")))


def test_hosts_are_told_unless_an_agent_is_to_keep_them_which_a_lite_one_cannot() -> None:
    assert make().tell_hosts
    assert not make(tell_hosts=False).tell_hosts
    with pytest.raises(InvalidArgument, match="they are told"):
        make(lite=True, tell_hosts=False)


def test_streams_only_is_for_relays() -> None:
    assert make(relay_only=True, streams_only=True).streams_only
    with pytest.raises(InvalidArgument, match="relay_only"):
        make(streams_only=True)


@pytest.mark.parametrize("name", ["lite", "relay_only"])
def test_tcp_is_for_full_agents_that_tell_hosts(name: str) -> None:
    assert make(tcp=True).tcp
    with pytest.raises(InvalidArgument, match="tcp"):
        make(tcp=True, **{name: True})
