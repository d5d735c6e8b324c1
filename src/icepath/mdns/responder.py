"""Answering for the names of our own: announced when they come, answered for, taken back when they go.

A name belongs to the links that its address is on, and is not told on others. It is not probed for: it is
random, and probing would let anybody on the link take it away (draft §3.1.1 step 4 and §7.2). For the same
reason somebody else's answer under our name changes nothing.

Multicasts wait in `_due`, so that what becomes due together leaves in one message. Each says all there is: the
address, and by NSEC that there is no other. RFC 6762 §6 (answers), §8.3 (announcing), §10 (TTL, farewell).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, final

from icepath.entropy import jitter
from icepath.errors import InvalidArgument
from icepath.machine import DropReason
from icepath.mdns.config import PORT, Link, MdnsConfig
from icepath.mdns.events import MdnsEvent
from icepath.mdns.links import Links, Port
from icepath.mdns.message import ANY, NSEC, MdnsMessage, Question, Record, address_kind
from icepath.mdns.names import is_candidate_name
from icepath.net import Address, Instant, RandomBytes, Seconds, canonical_host
from icepath.outbox import Outbox
from icepath.timers import Timers

# RFC 6762 §10: "SHOULD be 120 seconds".
TTL: Final = 120
# RFC 6762 §6.7: in an answer to a simple resolver "SHOULD NOT be greater than ten seconds".
LEGACY_TTL: Final = 10
# RFC 6762 §8.3: "at least two unsolicited responses, one second apart".
ANNOUNCEMENTS: Final = 2
# RFC 6762 §6: no record is multicast again within a second, or 250 ms when somebody probes for its name.
MULTICAST_INTERVAL: Final[Seconds] = 1.0
PROBE_INTERVAL: Final[Seconds] = 0.25
# RFC 6762 §5.4: who has not multicast a record within a quarter of its TTL does so, though asked for a unicast.
RECENT: Final[Seconds] = TTL / 4
# RFC 6762 §6.3 and §7.2: others may answer as well, or more known answers may follow.
MIN_SHARED_DELAY: Final[Seconds] = 0.020
MAX_SHARED_DELAY: Final[Seconds] = 0.120
MIN_TRUNCATED_DELAY: Final[Seconds] = 0.400
MAX_TRUNCATED_DELAY: Final[Seconds] = 0.500
# Each takes 110 bytes: so many fit into any link's packet.
NAMES_PER_MESSAGE: Final = 8


class _Place(NamedTuple):
    """Is a name on a link."""

    link: Link
    name: str


@final
class Responder:
    """Announces names and answers for them."""

    __slots__ = ("_askers", "_config", "_due", "_links", "_names", "_outbox", "_random_bytes", "_repeats", "_spoken")

    def __init__(
        self, config: MdnsConfig, links: Links, outbox: Outbox[MdnsEvent], *, random_bytes: RandomBytes
    ) -> None:
        self._config = config
        self._links = links
        self._outbox = outbox
        self._random_bytes = random_bytes
        self._names: dict[str, str] = {}
        # What is to be multicast next, and how often again after that.
        self._due: Timers[_Place] = Timers()
        self._repeats: dict[_Place, int] = {}
        # Who alone is waited for, before a delayed answer: may still say that it knows (RFC 6762 §7.2).
        self._askers: dict[_Place, str] = {}
        self._spoken: dict[_Place, Instant] = {}

    # -- verbs ----------------------------------------------------------------------------------------------------

    def register(self, name: str, host: str, *, now: Instant) -> None:
        """Answers for a name from now on, and announces it.

        Raises: InvalidArgument when the name is not of the form that agents make, or has another address.
        """
        if not is_candidate_name(name) or name != name.lower():
            raise InvalidArgument(f"{name!r} is no version-4 UUID and .local, in lower case")
        if canonical_host(host) != host:
            raise InvalidArgument(f"{host} is not in canonical form")
        known = self._names.get(name)
        if known is not None and known != host:
            # Draft §3.1.1: "an mDNS name is used to replace only one IP address".
            raise InvalidArgument(f"{name} has an address already")
        if known is not None:
            return
        if len(self._names) >= self._config.max_names:
            self._outbox.drop(DropReason.LIMIT, now=now)
            return
        self._names[name] = host
        for port in self._links.listening:
            self._announce(port, name, now)

    def unregister(self, name: str) -> None:
        """Takes a name back (RFC 6762 §10.1)."""
        self._withdraw([name])

    def address_of(self, name: str) -> str | None:
        """Returns the address of a name of our own."""
        return self._names.get(name)

    def on_opened(self, port: Port, now: Instant) -> None:
        """Announces on a new link (RFC 6762 §8)."""
        if port.is_listening:
            for name in self._names:
                self._announce(port, name, now)

    def forget(self, links: tuple[Link, ...]) -> None:
        """Forgets what was said, and was to be said, on links that are gone."""
        for place in [place for place in self._spoken if place.link not in links]:
            del self._spoken[place]
        for place in [place for place in self._repeats if place.link not in links]:
            self._hush(place)

    def close(self) -> None:
        """Takes every name back."""
        self._withdraw(list(self._names))

    def _announce(self, port: Port, name: str, now: Instant) -> None:
        if port.link.has(self._names[name]):
            self._repeats[_Place(port.link, name)] = ANNOUNCEMENTS
            self._due.set(_Place(port.link, name), now)

    def _withdraw(self, names: list[str]) -> None:
        hosts = {name: self._names.pop(name) for name in names if name in self._names}
        for port in self._links.listening:
            said = [name for name in hosts if _Place(port.link, name) in self._spoken]
            for chunk in _chunks(said):
                goodbye = tuple(_address(name, hosts[name], ttl=0) for name in chunk)
                self._links.send_last(port, MdnsMessage(is_response=True, answers=goodbye))
        for place in [place for place in self._spoken if place.name in hosts]:
            del self._spoken[place]
        for place in [place for place in self._repeats if place.name in hosts]:
            self._hush(place)

    def _hush(self, place: _Place) -> None:
        self._due.cancel(place)
        self._repeats.pop(place, None)
        self._askers.pop(place, None)

    # -- multicasts -----------------------------------------------------------------------------------------------

    def next_deadline(self) -> Instant | None:
        """Returns when `handle_timeout` is wanted."""
        return self._due.next_deadline()

    def handle_timeout(self, now: Instant) -> None:
        """Multicasts what is due, link by link."""
        due: dict[Link, list[str]] = {}
        while (place := self._due.pop_due(now)) is not None:
            due.setdefault(place.link, []).append(place.name)
        ports = {port.link: port for port in self._links.listening}
        for link, names in due.items():
            port = ports.get(link)
            for chunk in _chunks(names):
                if port is not None:
                    self._multicast(port, chunk, now)

    def _multicast(self, port: Port, names: list[str], now: Instant) -> None:
        if not self._links.send(port, self._response(names), now=now):
            for name in names:
                self._due.set(_Place(port.link, name), self._links.again_at)
            return
        for name in names:
            place = _Place(port.link, name)
            self._spoken[place] = now
            self._askers.pop(place, None)
            left = self._repeats.get(place, 0) - 1
            if left > 0:
                self._repeats[place] = left
                self._due.set(place, now + MULTICAST_INTERVAL)
            else:
                self._repeats.pop(place, None)

    def _response(self, names: Iterable[str]) -> MdnsMessage:
        names = tuple(names)
        return MdnsMessage(
            is_response=True,
            answers=tuple(_address(name, self._names[name]) for name in names),
            additional=tuple(_only(name, self._names[name]) for name in names),
        )

    # -- what others say ------------------------------------------------------------------------------------------

    def on_question(self, port: Port, message: MdnsMessage, remote: Address, *, now: Instant) -> None:
        """Answers what is asked about names of ours."""
        asked = [each for each in message.questions if self._is_ours(each.name, port.link)]
        if remote.port != PORT:
            self._answer_legacy(port, message, asked, remote, now)
            return
        known = {record.name for record in message.answers if self._is_known(record)}
        for name in known:
            if self._askers.get(_Place(port.link, name)) == remote.host:
                # RFC 6762 §7.2: the rest of what the one who asked knows; a farewell of ours is not undone by it.
                self._hush(_Place(port.link, name))
        wanted = [each for each in asked if each.name not in known]
        if not wanted:
            return
        probed = {record.name for record in message.proposed}
        delay = self._delay(message, is_alone=len(asked) == len(message.questions))
        for name in dict.fromkeys(each.name for each in wanted):
            questions = [each for each in wanted if each.name == name]
            self._answer(port, name, questions, remote, probed=name in probed, delay=delay, now=now)

    def _is_ours(self, name: str, link: Link) -> bool:
        host = self._names.get(name)
        return host is not None and link.has(host)

    def _is_known(self, record: Record) -> bool:
        """Says whether the asker knows an address of ours well enough (RFC 6762 §7.1)."""
        return self._names.get(record.name) == record.host and record.ttl >= TTL / 2

    def _delay(self, message: MdnsMessage, *, is_alone: bool) -> Seconds:
        """Returns how long to wait: who alone can answer everything answers at once (RFC 6762 §6)."""
        if message.is_truncated:
            return jitter(MIN_TRUNCATED_DELAY, MAX_TRUNCATED_DELAY, self._random_bytes)
        return 0.0 if is_alone else jitter(MIN_SHARED_DELAY, MAX_SHARED_DELAY, self._random_bytes)

    def _answer(
        self,
        port: Port,
        name: str,
        questions: list[Question],
        remote: Address,
        *,
        probed: bool,
        delay: Seconds,
        now: Instant,
    ) -> None:
        place = _Place(port.link, name)
        spoken = self._spoken.get(place, float("-inf"))
        is_nearby = all(each.wants_unicast for each in questions) and port.link.has(remote.host)
        if is_nearby and (probed or now < spoken + RECENT):
            if not self._links.send(port, self._response([name]), remote, now=now):
                self._outbox.drop(DropReason.RATE, remote=remote, now=now)
            return
        at = now if probed else now + delay
        at = max(at, spoken + (PROBE_INTERVAL if probed else MULTICAST_INTERVAL))
        planned = self._due.deadline(place)
        if planned is None:
            self._askers[place] = remote.host
        elif self._askers.get(place) != remote.host:
            self._askers.pop(place, None)
        self._repeats.setdefault(place, 1)
        self._due.set(place, at if planned is None else min(at, planned))

    def _answer_legacy(
        self, port: Port, message: MdnsMessage, asked: list[Question], remote: Address, now: Instant
    ) -> None:
        """Answers a simple resolver as a plain DNS server does (RFC 6762 §6.7)."""
        if not asked:
            return
        if not port.link.has(remote.host):
            # RFC 6762 §11: it would ignore the answer, or never has asked.
            self._outbox.drop(DropReason.WRONG_ADDRESS, remote=remote, now=now)
            return
        answers: list[Record] = []
        besides: list[Record] = []
        for name in dict.fromkeys(each.name for each in asked):
            address = _address(name, self._names[name], ttl=LEGACY_TTL, is_unique=False)
            is_wanted = any(each.kind in (ANY, address.kind) for each in asked if each.name == name)
            (answers if is_wanted else besides).append(address)
        questions = tuple(Question(each.name, each.kind) for each in asked)
        answer = MdnsMessage(
            message.id, is_response=True, questions=questions, answers=tuple(answers), additional=tuple(besides)
        )
        if not self._links.send(port, answer, remote, now=now):
            self._outbox.drop(DropReason.RATE, remote=remote, now=now)

    def on_response(self, port: Port, message: MdnsMessage, *, now: Instant) -> None:
        """Repeats what somebody else takes back, or lets grow old, in our stead (RFC 6762 §6.6)."""
        for record in (*message.answers, *message.additional):
            place = _Place(port.link, record.name)
            is_old = self._names.get(record.name) == record.host and record.ttl < TTL / 2
            if is_old and place in self._spoken and self._due.deadline(place) is None:
                self._repeats.setdefault(place, 1)
                self._due.set(place, max(now, self._spoken[place] + MULTICAST_INTERVAL))


def _address(name: str, host: str, *, ttl: int = TTL, is_unique: bool = True) -> Record:
    return Record(name, address_kind(host), ttl, host, is_unique=is_unique)


def _only(name: str, host: str) -> Record:
    """Returns the record that says that there is no other (RFC 6762 §6.1)."""
    return Record(name, NSEC, TTL, kinds=(address_kind(host),), is_unique=True)


def _chunks(names: list[str]) -> list[list[str]]:
    return [names[start : start + NAMES_PER_MESSAGE] for start in range(0, len(names), NAMES_PER_MESSAGE)]
