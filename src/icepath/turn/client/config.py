"""What an allocation is given: one frozen value, checked when it is made.

Times are seconds. The defaults are RFC 8656's; the server has the last word on the lifetime.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from icepath.errors import InvalidArgument
from icepath.net import Address, Seconds, same_family
from icepath.stun.credentials import Challenge, LongTermCredentials
from icepath.stun.transaction import RetransmissionPolicy
from icepath.wire.attributes import AddressFamily, Software

# RFC 8656 §6: "resets this timer to the default lifetime value of 600 seconds (10 minutes)".
DEFAULT_LIFETIME: Final = 600
# LIFETIME is a 32-bit number of seconds (RFC 8656 §18.2).
MAX_LIFETIME: Final = 0xFFFFFFFF
# Below this a request could end in the instant it was sent, as clocks count.
MIN_RTO: Final[Seconds] = 0.001
# A close that takes longer is none; one whole transaction (39.5 s) fits in.
MAX_CLOSE_TIMEOUT: Final[Seconds] = 60.0


@dataclass(frozen=True, slots=True)
class AllocationConfig:
    """Says which allocation is wanted, from whom, and as whom.

    Raises: InvalidArgument when a value is not allowed.
    """

    server: Address
    local: Address
    """The host address of the socket; five-tuples belong to one allocation only (RFC 8656 §6)."""
    credentials: LongTermCredentials | None = None
    challenge: Challenge | None = None
    """Remembered from an earlier allocation of this server: saves the round trip of a 401."""
    families: tuple[AddressFamily, ...] = (AddressFamily.IPV4,)
    """Both ask for a dual allocation in one request (RFC 8656 §7.1)."""
    lifetime: int = DEFAULT_LIFETIME
    policy: RetransmissionPolicy = field(default_factory=RetransmissionPolicy)
    close_timeout: Seconds = 1.0
    software: str | None = None
    dont_fragment: bool = False
    """Asks in the Allocate whether the server can set DF (RFC 8656 §7.1); goes on without when it cannot."""

    def __post_init__(self) -> None:
        if not same_family(self.server, self.local):
            raise InvalidArgument(f"server {self.server} and local {self.local} are of different address families")
        if not self.families or len(set(self.families)) != len(self.families):
            raise InvalidArgument(f"families are {self.families}, allowed are one or both, each once")
        if not 0 < self.lifetime <= MAX_LIFETIME:
            raise InvalidArgument(f"lifetime is {self.lifetime}, allowed are 1 to {MAX_LIFETIME} s")
        if self.policy.rto < MIN_RTO:
            raise InvalidArgument(f"rto is {self.policy.rto}, allowed are {MIN_RTO} s or more")
        if not 0 <= self.close_timeout <= MAX_CLOSE_TIMEOUT:
            raise InvalidArgument(f"close_timeout is {self.close_timeout}, allowed are 0 to {MAX_CLOSE_TIMEOUT} s")
        if self.software is not None:
            Software(self.software).encode(b"")
