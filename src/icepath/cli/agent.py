"""`icepath agent`: one ICE agent as a child process, driven by JSON lines on standard input and output."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence

from icepath.cli.servers import chosen_servers
from icepath.cli.streams import discard_stdout, lines
from icepath.compat.json_lines import LineAgent, LineOptions
from icepath.errors import IcepathError
from icepath.ice.config import Role

ROLES = tuple(role.value for role in Role)


def main(arguments: Sequence[str]) -> int:
    """Runs the agent until `quit` or the end of standard input."""
    parser = _parser()
    values = parser.parse_args(arguments)
    try:
        options = _options(values)
    except IcepathError as error:
        parser.error(str(error))
    try:
        asyncio.run(_run(options))
    except BrokenPipeError:
        discard_stdout()  # whoever started us is gone
    except KeyboardInterrupt:
        return 130
    return 0


async def _run(options: LineOptions) -> None:
    agent = LineAgent(options, _say)
    agent.begin()
    async for line in lines():
        if line.strip() and not agent.obey(line):
            break
    await agent.close()


def _say(line: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _options(values: argparse.Namespace) -> LineOptions:
    servers = [
        *(f"stun:{host}" for host in values.stun),
        *(f"turn:{host}?transport=udp" for host in values.turn),
        *(f"turn:{host}?transport=tcp" for host in values.turn_tcp),
        *(f"turns:{host}?transport=tcp" for host in values.turn_tls),
    ]
    return LineOptions(
        role=Role(values.ice_role or values.role),
        sends=values.role == Role.CONTROLLING,
        servers=chosen_servers(servers + values.server, values.username, password=values.password),
        messages=values.messages,
        relay_only=values.relay_only,
        loopback=values.loopback,
        insecure=values.insecure,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="icepath agent",
        description="One ICE agent as a child process: JSON lines on standard input and output, from any language.",
        epilog="The lines are described in docs/howto/drive-the-agent-from-any-language.md.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--role", choices=ROLES, required=True, help="the ICE role; with --messages, controlling sends")
    add("--ice-role", choices=ROLES, help="the ICE role, if it is not --role")
    add("--server", action="append", default=[], metavar="URI", help="stun:HOST[:PORT] or turn:HOST[:PORT]; repeat")
    add("--stun", action="append", default=[], metavar="HOST:PORT", help="a STUN server over UDP")
    add("--turn", action="append", default=[], metavar="HOST:PORT", help="a TURN server over UDP")
    add("--turn-tcp", action="append", default=[], metavar="HOST:PORT", help="a TURN server over TCP")
    add("--turn-tls", action="append", default=[], metavar="HOST:PORT", help="a TURN server over TLS")
    add("--username", "--user", help="of the TURN servers")
    add("--pass", dest="password", help="of the TURN servers; ICEPATH_PASSWORD hides it better")
    add("--messages", type=int, default=0, metavar="N", help="exchange N test messages as soon as data may flow")
    add("--relay-only", action="store_true", help="use relays only, and tell no other address")
    add("--loopback", action="store_true", help="also use loopback, for tests on one machine")
    add("--insecure", action="store_true", help="accept a TURN server's self-signed certificate")
    return parser
