"""Which servers are asked: flag, environment, file, none; and where the password comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from icepath.cli.servers import Settings, chosen_servers, config_file, read_settings
from icepath.errors import DecodeError, InvalidArgument

URIS = ("stun:a.example", "turn:b.example")


@pytest.fixture(autouse=True)
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("ICEPATH_SERVERS", raising=False)
    monkeypatch.delenv("ICEPATH_PASSWORD", raising=False)
    (tmp_path / "icepath").mkdir()
    return tmp_path / "icepath" / "config.toml"


def uris(*flags: str) -> list[str]:
    return [str(server.uri) for server in chosen_servers(flags, None)]


def test_flag_before_environment_before_file_before_none(settings_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert uris() == []
    settings_file.write_text('servers = ["stun:file.example"]')
    assert uris() == ["stun:file.example"]
    monkeypatch.setenv("ICEPATH_SERVERS", "stun:env.example, turn:env.example")
    assert uris() == ["stun:env.example", "turn:env.example"]
    assert uris("stun:flag.example") == ["stun:flag.example"]


def test_only_turn_gets_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEPATH_PASSWORD", "secret")
    stun, turn = chosen_servers(URIS, "demo")
    assert (stun.username, stun.password) == (None, None)
    assert turn.username == "demo"
    assert turn.password is not None
    assert turn.password.reveal() == "secret"


def test_the_file_names_the_user(settings_file: Path) -> None:
    settings_file.write_text('servers = []\nusername = "filed"')
    assert chosen_servers(URIS, None, password="x")[1].username == "filed"
    assert chosen_servers(URIS, "flag", password="x")[1].username == "flag"


def test_a_password_is_asked_for_only_when_one_is_needed() -> None:
    asked: list[str] = []

    def prompt(text: str) -> str:
        asked.append(text)
        return "typed"

    assert chosen_servers(URIS[:1], "demo", prompt=prompt)[0].password is None
    assert chosen_servers(URIS, None, prompt=prompt)[1].username is None
    assert asked == []
    password = chosen_servers(URIS, "demo", prompt=prompt)[1].password
    assert password is not None
    assert password.reveal() == "typed"
    assert asked == ["Password of demo: "]


def test_bad_texts_are_refused(settings_file: Path) -> None:
    with pytest.raises(DecodeError):
        uris("http://a.example")
    for text in ("servers = ", 'server = ["stun:a"]', 'servers = "stun:a"', "servers = [1]", "username = 3"):
        settings_file.write_text(text)
        with pytest.raises(InvalidArgument, match=r"config\.toml"):
            uris()


def test_no_file_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings(tmp_path / "none") == Settings()
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert config_file() == Path.home() / ".config/icepath/config.toml"
