"""The life of an allocation: asked for, granted, refreshed, refused or lost (RFC 8656 §§6-8).

A part of `Allocation`, which routes and holds verbs; what is built on the lease (permissions, channels) is
told when it begins and ends.

    PENDING -> HELD -> ENDED (lost)
       +---------------> ENDED (refused)

Strategy: only the server's word ends a lease early: 437, or a refusal that will stay. When refreshes are not
answered, or the credentials are no longer taken, it lasts until its lifetime is over; a late answer or new
credentials save it.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, final

from icepath.machine import Unreachable
from icepath.net import Instant, Seconds
from icepath.outbox import Outbox
from icepath.timers import Timers
from icepath.turn.client.channels import Channels
from icepath.turn.client.config import AllocationConfig
from icepath.turn.client.events import (
    Allocated,
    AllocationEvent,
    AllocationFailed,
    AllocationFailure,
    AllocationLost,
    CredentialsRejected,
    MobilityRefused,
    PortReserved,
)
from icepath.turn.client.exchange import Answer, Outcome, Purpose, Request
from icepath.turn.client.grant import Grant, allocate_request, read_grant, refresh_request
from icepath.turn.client.permissions import ALLOCATION_MISMATCH, Permissions
from icepath.turn.client.requests import Requests
from icepath.wire.attributes import (
    AlternateDomain,
    AlternateServer,
    DontFragment,
    Lifetime,
    MobilityTicket,
    ThirdPartyAuthorization,
    UnknownAttributes,
)
from icepath.wire.message import Message

# RFC 8656 §8: "It is suggested that the client refresh the allocation roughly 1 minute before it expires".
REFRESH_MARGIN: Final[Seconds] = 60.0

UNKNOWN_ATTRIBUTE: Final = 420
# RFC 8016 §3.4: "Mobility request was valid but cannot be performed".
MOBILITY_FORBIDDEN: Final = 405

# RFC 1122 §3.2.2.1, §4.1.3.3 and RFC 4443 §3.1: (type, code) of ICMP errors that waiting does not mend:
# protocol and port unreachable.
_HARD_ICMP_IPV4: Final = frozenset({(3, 2), (3, 3)})
_HARD_ICMP_IPV6: Final = frozenset({(1, 4)})


class _State(Enum):
    PENDING = auto()
    HELD = auto()
    ENDED = auto()


class _Timer(Enum):
    REFRESH = auto()
    EXPIRY = auto()


@final
class Lease:
    """Keeps one allocation alive."""

    __slots__ = (
        "_channels",
        "_config",
        "_expiry",
        "_grant",
        "_has_evicted",
        "_lacking",
        "_outbox",
        "_permissions",
        "_requests",
        "_state",
        "_timers",
        "_trouble",
        "ticket",
    )

    def __init__(
        self,
        config: AllocationConfig,
        requests: Requests,
        permissions: Permissions,
        channels: Channels,
        outbox: Outbox[AllocationEvent],
    ) -> None:
        self._config = config
        self._requests = requests
        self._permissions = permissions
        self._channels = channels
        self._outbox = outbox
        self._state = _State.PENDING
        self._timers: Timers[_Timer] = Timers()
        self._grant: Grant | None = None
        self._expiry: Instant = 0.0
        self._has_evicted = False
        # Why the lease will be lost when its lifetime is over: the last refresh that came to nothing.
        self._trouble: Answer | None = None
        self.ticket: bytes | None = None
        """What moves the lease to another path, while it is held (RFC 8016)."""
        # The types of the attributes that the server does not do.
        self._lacking: frozenset[int] = frozenset()

    @property
    def grant(self) -> Grant | None:
        """Is what was granted, while the lease is held."""
        return self._grant

    @property
    def is_pending(self) -> bool:
        """Says whether the Allocate is not decided yet."""
        return self._state is _State.PENDING

    @property
    def has_ended(self) -> bool:
        """Says whether the lease was refused or lost."""
        return self._state is _State.ENDED

    @property
    def lacks_dont_fragment(self) -> bool:
        """Says whether the server said that it cannot set DF."""
        return DontFragment.TYPE in self._lacking

    def allocate(self, now: Instant) -> bool:
        """Asks for the lease, now (True) or when the slot comes."""
        return self.submit(allocate_request(self._config, lacking=self._lacking), now)

    def submit(self, request: Request, now: Instant) -> bool:
        """Sends one of the lease's own requests, now (True) or when its slot comes."""
        is_sent = self._requests.submit(request, now)
        if is_sent:
            self.on_sent(request, now)
        return is_sent

    def on_sent(self, request: Request, now: Instant) -> None:
        """Notes that a request has left: behind an Allocate, permissions may follow."""
        if request.purpose is Purpose.ALLOCATE and self._requests.is_final_try:
            self._permissions.begin(now)

    def on_answer(self, answer: Answer, now: Instant) -> None:
        """Takes the end of one of the lease's own requests."""
        if self._state is _State.ENDED:
            return
        if answer.request.purpose is Purpose.ALLOCATE:
            self._on_allocate_answer(answer, now)
        elif answer.request.purpose is Purpose.EVICT:
            self._on_evict_answer(answer, now)
        else:
            self._on_refresh_answer(answer, now)

    @property
    def is_rejected(self) -> bool:
        """Says whether the server no longer takes our credentials for a lease that is held."""
        return self._trouble is not None and self._trouble.failure is AllocationFailure.WRONG_CREDENTIALS

    def retry(self, now: Instant) -> None:
        """Refreshes at once what waits for new credentials: they are there."""
        if self.is_rejected:
            self._trouble = None
            self._refresh(now)

    def handle_timeout(self, now: Instant) -> None:
        """Refreshes the lease when it is time, and loses it when its lifetime is over."""
        while (timer := self._timers.pop_due(now)) is not None:
            if timer is _Timer.REFRESH:
                self._refresh(now)
            else:
                silence = Answer(refresh_request(self._config, Purpose.REFRESH), Outcome.TIMED_OUT, now)
                self.lose(self._trouble or silence)

    def next_deadline(self) -> Instant | None:
        """Returns when the lease needs something, or None."""
        return self._timers.next_deadline()

    def lose(self, answer: Answer) -> None:
        """Ends a lease that was held, for the reason in the answer."""
        self.end()
        self._outbox.put(AllocationLost(answer.failure, answer.code, answer.text))

    def abort(self, reason: AllocationFailure, text: str) -> None:
        """Ends a lease that was held: the way to the server is gone, and nothing can be asked any more."""
        if self._state is _State.HELD:
            self.end()
            self._outbox.put(AllocationLost(reason, None, text))

    def fail(self, event: AllocationFailed) -> None:
        """Ends the wait for a lease that will not come, and tells why."""
        self.end()
        self._outbox.put(event)

    def suspend(self) -> None:
        """Gives up what was asked along the path in use; `allocate` asks again along another."""
        self._requests.leave()
        self._permissions.restart()

    def end(self, *, keep: Purpose | None = None) -> None:
        """Ends the lease and all that was built on it; requests in flight for `keep` stay."""
        self._state = _State.ENDED
        self._grant = None
        self.ticket = None
        self._trouble = None
        self._timers.clear()
        self._requests.clear(keep=keep)
        self._permissions.clear()
        self._channels.clear()

    # -- Allocate --------------------------------------------------------------------------------------------

    def _on_allocate_answer(self, answer: Answer, now: Instant) -> None:
        message = answer.message
        if answer.outcome is Outcome.SUCCEEDED and message is not None:
            self._on_allocated(answer, message, now)
        elif answer.code == ALLOCATION_MISMATCH and not self._has_evicted:
            # The five-tuple is ours, so what is in the way is what an earlier run left behind: one try to
            # delete it. Another user's allocation answers 441. (RFC 8656 §7.4 would change the socket.)
            self._has_evicted = True
            self.submit(refresh_request(self._config, Purpose.EVICT), now)
        elif message is not None and self._is_dont_fragment_unknown(answer, message):
            self._lacking |= {DontFragment.TYPE}
            self.allocate(now)
        elif answer.code == MOBILITY_FORBIDDEN and self._config.mobility and MobilityTicket.TYPE not in self._lacking:
            self._lacking |= {MobilityTicket.TYPE}
            self._outbox.put(MobilityRefused(MOBILITY_FORBIDDEN, answer.text))
            self.allocate(now)
        else:
            self._refuse(answer)

    def _on_allocated(self, answer: Answer, message: Message, now: Instant) -> None:
        grant = read_grant(message, self._config)
        if grant is None:
            self.end()
            text = "the answer does not hold the addresses asked for"
            self._outbox.put(AllocationFailed(AllocationFailure.BAD_ANSWER, None, text))
            self._requests.submit(refresh_request(self._config, Purpose.RELEASE), now)
            return
        self._state = _State.HELD
        self._grant = grant
        self._keep_ticket(message)
        self._schedule(answer.sent_at, grant.lifetime)
        self._requests.use_patience()
        is_reflexive = self._requests.path.route.is_datagram
        self._outbox.put(Allocated(grant.relayed, grant.mapped, grant.lifetime, is_reflexive))
        if grant.refused is not None:
            self._outbox.put(grant.refused)
        if grant.reservation is not None:
            self._outbox.put(PortReserved(grant.reservation))
        self._permissions.open(grant.families, now)

    def _is_dont_fragment_unknown(self, answer: Answer, message: Message) -> bool:
        unknown = message.get(UnknownAttributes)
        is_listed = unknown is not None and DontFragment.TYPE in unknown.types
        return answer.code == UNKNOWN_ATTRIBUTE and is_listed and not self.lacks_dont_fragment

    def _on_evict_answer(self, answer: Answer, now: Instant) -> None:
        if answer.outcome is Outcome.SUCCEEDED or answer.code == ALLOCATION_MISMATCH:
            self.allocate(now)
            return
        self.end()
        text = "the five-tuple belongs to another allocation"
        self._outbox.put(AllocationFailed(AllocationFailure.MISMATCH, ALLOCATION_MISMATCH, text))

    def _refuse(self, answer: Answer) -> None:
        self.end()
        message = answer.message
        server = None if message is None else message.get(AlternateServer)
        domain = None if message is None else message.get(AlternateDomain)
        third_party = None if message is None else message.get(ThirdPartyAuthorization)
        reason = answer.failure
        if third_party is not None and reason is AllocationFailure.CREDENTIALS_NEEDED:
            reason = AllocationFailure.TOKEN_NEEDED
        self._outbox.put(
            AllocationFailed(
                reason,
                answer.code,
                answer.text,
                None if server is None else server.address,
                None if domain is None else domain.name,
                None if third_party is None else third_party.text,
            )
        )

    # -- Refresh ---------------------------------------------------------------------------------------------

    def _schedule(self, sent_at: Instant, lifetime: int) -> None:
        margin = min(REFRESH_MARGIN, lifetime / 2)
        self._timers.set(_Timer.REFRESH, sent_at + lifetime - margin)
        self._expiry = sent_at + lifetime
        self._timers.set(_Timer.EXPIRY, self._expiry)

    def _refresh(self, now: Instant) -> None:
        self.submit(refresh_request(self._config, Purpose.REFRESH), now)

    def _on_refresh_answer(self, answer: Answer, now: Instant) -> None:
        if answer.outcome is Outcome.SUCCEEDED and answer.message is not None:
            lifetime = answer.message.get(Lifetime)
            self._trouble = None
            if answer.request.purpose is Purpose.MIGRATE:
                # RFC 8016 §3.2.2: "it MUST use the new ticket".
                self.ticket = None
            self._keep_ticket(answer.message)
            self._schedule(answer.sent_at, self._config.lifetime if lifetime is None else lifetime.seconds)
        elif answer.outcome is Outcome.TIMED_OUT:
            self._trouble = answer
            self._refresh(now)
        elif answer.failure is AllocationFailure.WRONG_CREDENTIALS:
            self._trouble = answer
            self._outbox.put(CredentialsRejected(answer.code or 0, self._expiry))
        else:
            self.lose(answer)

    def _keep_ticket(self, message: Message) -> None:
        ticket = message.get(MobilityTicket) if self._config.mobility else None
        if ticket is not None and ticket.value:
            self.ticket = ticket.value


def is_hard_error(arrival: Unreachable) -> bool:
    """Says whether an ICMP error is one that waiting does not mend.

    RFC: 8489 §6.2.1 ("a STUN transaction over UDP is also considered failed if there has been a hard ICMP error").
    """
    hard = _HARD_ICMP_IPV6 if arrival.remote.is_ipv6 else _HARD_ICMP_IPV4
    return (arrival.icmp_type, arrival.icmp_code) in hard
