"""The mDNS machine for the laws: two links, neighbours on them, and what they might say."""

from __future__ import annotations

import random
from typing import Final

from icepath.machine import Handle
from icepath.mdns.config import Link, MdnsConfig
from icepath.mdns.mdns import Mdns
from icepath.mdns.message import A, MdnsMessage, Question, Record, encode_message
from icepath.mdns.names import local_name
from icepath.net import Address, Instant, RandomBytes
from machines.laws import Peer, Subject

MDNS_LINK: Final = Link("192.168.1.10", ("192.168.1.0/24", "2b00:1::/64"))
MDNS_LINK_IPV6: Final = Link("2b00:1::10", ("192.168.1.0/24", "2b00:1::/64"))
MDNS_NAMES: Final = tuple(local_name(random.Random(seed).randbytes) for seed in range(12))
MDNS_LISTENING: Final = (Address(MDNS_LINK.host, 5353), Address(MDNS_LINK_IPV6.host, 5353))
MDNS_NEIGHBOURS: Final = (Address("192.168.1.20", 5353), Address("192.168.1.21", 40_000), Address("fe80::7", 5353))
MDNS_CORPUS: Final = tuple(
    encode_message(message)
    for name in MDNS_NAMES[:4]
    for message in (
        MdnsMessage(questions=(Question(name, A, wants_unicast=True),)),
        MdnsMessage(is_truncated=True, questions=(Question(name, A), Question(MDNS_NAMES[0], A))),
        MdnsMessage(questions=(Question(name, A),), proposed=(Record(name, A, 120, "192.168.1.20"),)),
        MdnsMessage(answers=(Record(name, A, 120, "192.168.1.10"),)),
        MdnsMessage(is_response=True, answers=(Record(name, A, 120, "192.168.1.20", is_unique=True),)),
        MdnsMessage(is_response=True, answers=(Record(name, A, 0, "192.168.1.10", is_unique=True),)),
    )
)


def _mdns(random_bytes: RandomBytes, now: Instant) -> Mdns:
    config = MdnsConfig(max_queries=4, max_names=4, max_cached=4, max_sent=20, max_read=50)
    mdns = Mdns(config, random_bytes=random_bytes, now=now)
    mdns.set_links((MDNS_LINK, MDNS_LINK_IPV6), now=now)
    mdns.register(MDNS_NAMES[0], MDNS_LINK.host, now=now)
    return mdns


def _set_links(machine: Mdns, rng: random.Random, now: Instant) -> None:
    links = ((MDNS_LINK, MDNS_LINK_IPV6), (MDNS_LINK, MDNS_LINK_IPV6), (MDNS_LINK,), ())
    machine.set_links(rng.choice(links), now=now)


def _resolve(machine: Mdns, rng: random.Random, now: Instant) -> None:
    name = rng.choice((*MDNS_NAMES, "printer.local"))
    machine.resolve(Handle(rng.randrange(1_000_000)), name, now=now)


def _cancel(machine: Mdns, rng: random.Random, now: Instant) -> None:
    machine.cancel(Handle(rng.randrange(8)), now=now)


def _register(machine: Mdns, rng: random.Random, now: Instant) -> None:
    machine.register(rng.choice(MDNS_NAMES), rng.choice((MDNS_LINK.host, MDNS_LINK_IPV6.host)), now=now)


def _unregister(machine: Mdns, rng: random.Random, now: Instant) -> None:
    machine.unregister(rng.choice(MDNS_NAMES), now=now)


def _neighbour(random_bytes: RandomBytes, now: Instant) -> Mdns:
    """Returns another such machine on the first link, with a name that is asked for, and one that asks."""
    mdns = Mdns(MdnsConfig(), random_bytes=random_bytes, now=now)
    mdns.set_links((Link(MDNS_NEIGHBOURS[0].host, MDNS_LINK.networks),), now=now)
    mdns.register(MDNS_NAMES[1], MDNS_NEIGHBOURS[0].host, now=now)
    mdns.resolve(Handle(1), MDNS_NAMES[0], now=now)
    return mdns


MDNS: Final = Subject(
    "mdns",
    _mdns,
    verbs=(_set_links, _resolve, _cancel, _register, _unregister),
    peers=(Peer(_neighbour, (MDNS_NEIGHBOURS[0], MDNS_LINK.group)),),
    corpus=MDNS_CORPUS,
    locals=MDNS_LISTENING,
    remotes=MDNS_NEIGHBOURS,
)
