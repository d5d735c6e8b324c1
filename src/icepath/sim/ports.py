"""Which port a host's system chooses when it is asked for any."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from icepath.net import MAX_PORT, Address
from icepath.sim.packet import Medium

# RFC 6335 §6: the ports a system draws from when asked for any.
EPHEMERAL_PORTS: Final = (49_152, MAX_PORT)


class FreePorts:
    """Draws free ports of one host and transport."""

    __slots__ = ("_medium", "_name", "_rng")

    def __init__(self, medium: Medium, name: str) -> None:
        self._medium = medium
        self._name = name
        self._rng: random.Random | None = None

    def choose(
        self,
        host: str,
        is_taken: Callable[[Address], bool],
        port_range: tuple[int, int] | None,
        *,
        even: bool = False,
    ) -> Address | None:
        """Returns a free port of the range, or of the system's; None when there is none."""
        if self._rng is None:
            self._rng = self._medium.rng(self._name)
        low, high = port_range or EPHEMERAL_PORTS
        count = high - low + 1
        start = self._rng.randrange(count)
        for offset in range(count):
            local = Address(host, low + (start + offset) % count)
            if not (even and local.port % 2) and not is_taken(local):
                return local
        return None
