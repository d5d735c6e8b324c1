"""Which servers to ask, and as whom: flag > ICEPATH_SERVERS > ~/.config/icepath/config.toml > none.

The password comes from ICEPATH_PASSWORD or from a prompt, never from a flag (`agent`, for test programs, has
one) and never from a file.

    servers = ["stun:ice.example.org", "turn:ice.example.org"]
    username = "demo"
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

from icepath.entropy import Secret
from icepath.errors import InvalidArgument
from icepath.ice.config import Server
from icepath.wire.uri import parse_server_uri

Prompt: TypeAlias = Callable[[str], str]
"""Asks a person for the password of a user."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Is what the settings file says."""

    servers: tuple[str, ...] = ()
    username: str | None = None


def chosen_servers(
    flags: Sequence[str], username: str | None, *, password: str | None = None, prompt: Prompt | None = None
) -> tuple[Server, ...]:
    """Returns the servers to ask, each TURN server with its credentials as far as they are known.

    Raises: InvalidArgument when a setting is not valid, DecodeError when a URI is not.
    """
    settings = Settings()
    texts = tuple(flags) or tuple(os.environ.get("ICEPATH_SERVERS", "").replace(",", " ").split())
    if not texts or username is None:
        settings = read_settings(config_file())
    uris = [parse_server_uri(text) for text in texts or settings.servers]
    user = username or settings.username
    password = password or os.environ.get("ICEPATH_PASSWORD")
    needs_password = user is not None and any(uri.scheme == "turn" for uri in uris)
    if needs_password and not password and prompt is not None:
        password = prompt(f"Password of {user}: ")
    if user is None or not password:
        return tuple(Server(uri) for uri in uris)
    secret = Secret(password)
    return tuple(Server(uri, user, secret) if uri.scheme == "turn" else Server(uri) for uri in uris)


def config_file() -> Path:
    """Returns where the settings are, if there are any."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "icepath" / "config.toml"


def read_settings(path: Path) -> Settings:
    """Reads the settings file; without one, there are none.

    Raises: InvalidArgument when it is not valid.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return Settings()
    import tomllib

    try:
        values: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidArgument(f"{path}: {error}") from None
    unknown = sorted(values.keys() - {"servers", "username"})
    if unknown:
        raise InvalidArgument(f'{path}: unknown setting "{unknown[0]}"; there are servers and username')
    servers, username = values.get("servers", []), values.get("username")
    if not isinstance(servers, list) or not all(isinstance(uri, str) for uri in cast("list[object]", servers)):
        raise InvalidArgument(f"{path}: servers is not a list of texts")
    if not isinstance(username, str | None):
        raise InvalidArgument(f"{path}: username is not a text")
    return Settings(tuple(cast("list[str]", servers)), username)
