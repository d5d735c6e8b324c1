"""STUN and TURN servers as users give them: W3C's RTCIceServer, and providers' JSON.

Here also lives what is remembered of servers between connections: the realm and nonce that a TURN server
gave, which save the next connection a round trip. It is kept per process and bounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias, cast, final

from icepath.entropy import Secret
from icepath.errors import DecodeError, InvalidArgument
from icepath.ice.config import Server
from icepath.stun.credentials import Challenge
from icepath.wire.uri import ServerUri, parse_server_uri

# More servers only slow a connection down; W3C leaves the limit to the implementation.
MAX_SERVERS: Final = 32
MAX_CHALLENGES: Final = 256


@final
class IceServer:
    """Is one provider's server: its URLs, and the credentials that hold for all of them.

    Raises: InvalidArgument when a URL is malformed or a credential comes without its username.
    """

    __slots__ = ("_secret", "servers", "urls", "username")

    def __init__(self, urls: str | Sequence[str], username: str | None = None, credential: str | None = None) -> None:
        self.urls: Final[tuple[str, ...]] = (urls,) if isinstance(urls, str) else tuple(urls)
        self.username: Final = username
        self._secret: Final = None if credential is None else Secret(credential)
        if not self.urls:
            raise InvalidArgument("a server needs at least one URL")
        if username is None and credential is not None:
            raise InvalidArgument(f"{self.urls[0]}: a credential without a username")
        self.servers: Final = tuple(Server(_parsed(url), username, self._secret) for url in self.urls)

    @property
    def credential(self) -> str | None:
        """Returns the password; it is never shown by repr."""
        return None if self._secret is None else self._secret.reveal()

    def __repr__(self) -> str:
        shown = "" if self.username is None else f", username={self.username!r}, credential=***"
        return f"IceServer({list(self.urls)!r}{shown})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IceServer) and self.servers == other.servers

    def __hash__(self) -> int:
        return hash((self.urls, self.username))

    @staticmethod
    def from_json(value: str | Mapping[str, object] | Sequence[object]) -> list[IceServer]:
        """Reads the "iceServers" JSON of a provider: an object that has it, the list, or one server.

        Unknown keys are ignored. Raises: InvalidArgument.
        """
        found = _unwrapped(_loaded(value) if isinstance(value, str) else value)
        if len(found) > MAX_SERVERS:
            raise InvalidArgument(f"{len(found)} servers, allowed are {MAX_SERVERS}")
        return [_from_mapping(entry) for entry in found]


ServerArgument: TypeAlias = str | IceServer


def as_servers(given: Sequence[ServerArgument]) -> tuple[Server, ...]:
    """Returns the agent's servers, one for each URL, each URL once.

    Raises: InvalidArgument.
    """
    if isinstance(given, (str, IceServer)):
        raise InvalidArgument(f"servers is {given!r}; give a list: [{given!r}]")
    found: dict[str, Server] = {}
    for each in given:
        server = IceServer(each) if isinstance(each, str) else each
        found.update({str(one.uri): one for one in server.servers})
    if len(found) > MAX_SERVERS:
        raise InvalidArgument(f"{len(found)} servers, allowed are {MAX_SERVERS}")
    return tuple(found.values())


@final
class ChallengeMemory:
    """Keeps the newest challenge of each server, of so many servers at most."""

    __slots__ = ("_challenges", "_limit")

    def __init__(self, limit: int = MAX_CHALLENGES) -> None:
        self._limit = limit
        self._challenges: dict[str, Challenge] = {}

    def remember(self, url: str, challenge: Challenge) -> None:
        """Keeps a challenge; the one not renewed for longest goes when there are too many."""
        self._challenges.pop(url, None)
        self._challenges[url] = challenge
        if len(self._challenges) > self._limit:
            del self._challenges[next(iter(self._challenges))]

    def of(self, servers: Iterable[Server]) -> tuple[tuple[str, Challenge], ...]:
        """Returns what is known of these servers."""
        urls = (str(server.uri) for server in servers)
        return tuple((url, self._challenges[url]) for url in urls if url in self._challenges)


challenges: Final = ChallengeMemory()
"""The one of this process."""


def _parsed(url: str) -> ServerUri:
    try:
        return parse_server_uri(url)
    except DecodeError as error:
        raise InvalidArgument(str(error)) from None


def _loaded(text: str) -> object:
    try:
        return cast("object", json.loads(text))
    except ValueError as error:
        raise InvalidArgument(f"not JSON: {error}") from None


def _unwrapped(value: object) -> list[object]:
    if isinstance(value, Mapping):
        mapping = cast("Mapping[object, object]", value)
        inner = mapping.get("iceServers", mapping.get("ice_servers"))
        return [mapping] if inner is None else _unwrapped(inner)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return list(cast("Sequence[object]", value))
    raise InvalidArgument('expected {"iceServers": [...]}, a list of servers, or one server')


def _from_mapping(value: object) -> IceServer:
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"a server is a {type(value).__name__}, expected an object with urls")
    entry = cast("Mapping[object, object]", value)
    urls = entry.get("urls", entry.get("url"))
    if isinstance(urls, Sequence) and not isinstance(urls, (str, bytes)):
        listed = [url for url in cast("Sequence[object]", urls) if isinstance(url, str)]
    else:
        listed = [urls] if isinstance(urls, str) else []
    return IceServer(listed, _text(entry, "username"), _text(entry, "credential"))


def _text(entry: Mapping[object, object], key: str) -> str | None:
    value = entry.get(key)
    return value if isinstance(value, str) and value else None
