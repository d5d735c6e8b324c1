"""A made-up certificate authority, and a server that has its certificate."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme

from icepath.aio.tcp import StreamOptions
from icepath.aio.tls import server_context

NAME = "turn.example"
ALPN = ("stun.turn", "stun.nat-discovery")


@dataclass(frozen=True)
class Authority:
    """Is a certificate authority, and a server that has its certificate."""

    options: StreamOptions
    """Trusts the authority."""
    certificate: str
    """A PEM file with the server's chain and its key."""

    def server(self, *, alpn: tuple[str, ...] = ALPN) -> ssl.SSLContext:
        return server_context(self.certificate, alpn=alpn)


def made_up(folder: Path, *hosts: str) -> Authority:
    """Issues a certificate for `NAME`, a wild card and these hosts, into a folder."""
    issuer = trustme.CA()
    issuer.cert_pem.write_to_path(str(folder / "authority.pem"))
    issued = issuer.issue_cert(NAME, "*.wild.example", *hosts)
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return Authority(StreamOptions(cafile=str(folder / "authority.pem")), str(folder / "server.pem"))
