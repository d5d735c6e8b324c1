"""What the command line asks for, as connections take it."""

from __future__ import annotations

import sys

import pytest

from icepath.cli.asked import Asked

URIS = ["stun:a.example", "turn:b.example"]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    for name in ("ICEPATH_SERVERS", "ICEPATH_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


class Terminal:
    def __init__(self, is_terminal: bool) -> None:
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def test_what_a_command_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getpass", lambda prompt: f"for {prompt}")
    asked = Asked(URIS, "demo", relay_only=False, loopback=True)
    for stdin, expected in ((None, None), (Terminal(False), None), (Terminal(True), "for Password of demo: ")):
        monkeypatch.setattr(sys, "stdin", stdin)
        turn = asked.ice_servers(asked.servers())[1]
        assert turn.credential == expected
    assert asked.config().loopback
    assert asked.config(300.0).patience == 300.0
    assert Asked(None, None, relay_only=False, loopback=False).servers() == ()
