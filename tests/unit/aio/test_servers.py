"""Servers as users and providers write them, and the memory of their challenges."""

from __future__ import annotations

import pytest

from icepath.aio.servers import MAX_SERVERS, ChallengeMemory, IceServer, as_servers
from icepath.errors import InvalidArgument
from icepath.stun.credentials import Challenge

TURN = "turn:turn.example.org:3478?transport=udp"


def test_one_url_or_several_share_the_credentials() -> None:
    server = IceServer(["stun:a.example.org", TURN], "demo", "secret")
    assert server.urls == ("stun:a.example.org", TURN)
    assert [str(one.uri) for one in server.servers] == ["stun:a.example.org", TURN]
    assert {one.username for one in server.servers} == {"demo"}
    assert server.credential == "secret"
    assert IceServer(TURN).credential is None


def test_the_credential_is_never_shown() -> None:
    assert "secret" not in repr(IceServer(TURN, "demo", "secret"))
    assert "demo" in repr(IceServer(TURN, "demo", "secret"))
    assert repr(IceServer(TURN)) == f"IceServer(['{TURN}'])"


def test_servers_are_values() -> None:
    assert IceServer(TURN, "a", "b") == IceServer([TURN], "a", "b")
    assert hash(IceServer(TURN, "a", "b")) == hash(IceServer([TURN], "a", "b"))
    assert IceServer(TURN, "a", "b") != IceServer(TURN, "a", "c")
    assert IceServer(TURN) != TURN


@pytest.mark.parametrize(
    ("urls", "username", "credential", "said"),
    [
        ([], None, None, "at least one"),
        ("http://example.org", None, None, "scheme"),
        ("turn:user:secret@example.org", None, None, "beside it"),
        (TURN, None, "secret", "username"),
    ],
)
def test_what_cannot_work_is_refused_without_showing_secrets(
    urls: str | list[str], username: str | None, credential: str | None, said: str
) -> None:
    with pytest.raises(InvalidArgument, match=said) as caught:
        IceServer(urls, username, credential)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        '{"iceServers": [{"urls": "stun:a"}, {"urls": ["turn:b"], "username": "u", "credential": "c", "x": 1}]}',
        '{"ice_servers": [{"url": "stun:a"}, {"urls": "turn:b", "username": "u", "credential": "c"}]}',
        '[{"urls": "stun:a"}, {"urls": "turn:b", "username": "u", "credential": "c"}]',
        {"iceServers": [{"urls": "stun:a"}, {"urls": ["turn:b", 7], "username": "u", "credential": "c"}], "ttl": 9},
    ],
)
def test_the_json_of_providers_is_read(value: str | dict[str, object]) -> None:
    assert IceServer.from_json(value) == [IceServer("stun:a"), IceServer("turn:b", "u", "c")]


def test_a_single_server_is_read_too_and_empty_texts_are_none() -> None:
    value = {"urls": "stun:a", "username": "", "credential": ""}
    assert IceServer.from_json(value) == [IceServer("stun:a")]
    assert IceServer.from_json({"iceServers": {"urls": "stun:a"}}) == [IceServer("stun:a")]


@pytest.mark.parametrize(
    "value",
    ["no JSON", "7", "[7]", '{"iceServers": 7}', "[{}]", '[{"urls": 7}]', [{"urls": "stun:a"}] * (MAX_SERVERS + 1)],
)
def test_json_that_is_not_a_list_of_servers_is_refused(value: str | list[object]) -> None:
    with pytest.raises(InvalidArgument):
        IceServer.from_json(value)


def test_texts_and_servers_mix_and_each_url_counts_once() -> None:
    found = as_servers(["stun:a", IceServer(["stun:a", "turn:b"], "u", "c")])
    assert [(str(one.uri), one.username) for one in found] == [("stun:a", "u"), ("turn:b", "u")]


def test_too_many_servers_or_no_list_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="allowed are"):
        as_servers([f"stun:h{number}" for number in range(MAX_SERVERS + 1)])
    for alone in ("stun:a", IceServer("stun:a")):
        with pytest.raises(InvalidArgument, match="give a list"):
            as_servers(alone)  # type: ignore[arg-type]  # what a caller without a type-checker may write


def test_challenges_are_remembered_for_servers_in_use_and_the_oldest_goes() -> None:
    memory = ChallengeMemory(limit=2)
    first, second = Challenge("example.org", b"1"), Challenge("example.org", b"2")
    memory.remember("turn:a", first)
    memory.remember("turn:b", first)
    memory.remember("turn:a", second)
    memory.remember("turn:c", first)
    servers = as_servers(["turn:a", "turn:b", "turn:c", "turn:d"])
    assert dict(memory.of(servers)) == {"turn:a": second, "turn:c": first}
