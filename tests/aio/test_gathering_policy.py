"""What a connection tells of this computer: address rewriting, ways of handling addresses, families."""

from __future__ import annotations

from icepath.aio.config import Config
from icepath.aio.connection import Connection
from icepath.ice.rewriting import RewriteMode, RewriteRule
from icepath.wire.candidate_line import CandidateType


def only_ipv4_loopback(name: str, host: str) -> bool:
    return host == "127.0.0.1"


async def test_a_connection_tells_the_address_that_it_is_reached_at() -> None:
    rule = RewriteRule("127.0.0.0/8", "203.0.113.10", RewriteMode.REPLACE)
    async with Connection(config=Config(loopback=True, interfaces=only_ipv4_loopback, rewrite=(rule,))) as link:
        (told,) = (await link.gather()).candidates
    assert (told.type, told.host) == (CandidateType.HOST, "203.0.113.10")
