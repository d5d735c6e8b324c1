"""`icepath serve`, in its smallest form: a STUN server on every address of this computer."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence

from icepath.cli.outcome import Exit
from icepath.cli.report import Report
from icepath.net import Address, is_loopback
from icepath.server.stun_service import DEFAULT_LISTEN, StunService, parse_listen


async def serve(report: Report, listen: Sequence[str]) -> Exit:
    """Serves until SIGTERM or Ctrl-C."""
    started = time.monotonic()
    wanted = [parse_listen(text) for text in listen or DEFAULT_LISTEN]
    terminated = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    service = StunService()
    try:
        addresses = service.listen(wanted)
        _show(report, addresses, time.monotonic() - started)
        await terminated.wait()
    finally:
        await service.close()
    return Exit.YES


def _show(report: Report, addresses: Sequence[Address], elapsed: float) -> None:
    for address in addresses:
        report.line("listening", transport="udp", host=address.host, port=address.port)
    report.show(f"STUN         {', '.join(f'udp {address}' for address in addresses)}")
    shown = next((address for address in addresses if not is_loopback(address.host)), addresses[0])
    loopback = " --loopback" if is_loopback(shown.host) else ""
    report.show(f"try it       icepath gather --server stun:{shown}{loopback}")
    report.show(f"ready in {elapsed * 1000:.0f} ms, Ctrl-C ends")
