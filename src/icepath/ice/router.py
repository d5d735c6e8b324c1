"""Whose packet is this, when several agents share a local address?

The router is asked about every datagram that arrives on a shared address and told of every STUN message that leaves.
It keeps no socket and no agent: an agent is a number, a *member*. A request goes by the ufrag it is addressed to, a
response by its transaction identifier, data by its *five-tuple*: the local address, the remote one and, for agents
behind the same endpoint, which member sent it.

Data says nothing about whom it is for, so no two members may have one five-tuple. A member holds it once the other
side has proved that it is there: firmly by an answer to our check, and until somebody does better by a check that we
answered. Of two sessions between the same two addresses the one with the lower ufrags goes first; both sides know
them, so both decide alike and neither's data ever reaches the other's agent. The second is dropped, with its reason.

RFC 8445 §7.3 (the ufrag of a request), RFC 8489 §6.3.3 (responses), RFC 7675 §5.1 (how long a five-tuple is held).
"""

from __future__ import annotations

from typing import Final, Generic, NamedTuple, NewType, TypeAlias, TypeVar, final

from icepath.errors import InvalidArgument
from icepath.ice.consent import CONSENT_LIFETIME
from icepath.machine import Datagram, DropReason
from icepath.net import Address, Instant, Seconds
from icepath.wire.message import HEADER_LENGTH, looks_like_stun

Member = NewType("Member", int)
"""Names one agent at a router; never used again."""

NOBODY: Final = Member(0)
"""The sender of what came from the network."""

REQUEST: Final = b"\x00\x01"
SUCCESS: Final = b"\x01\x01"
ERROR: Final = b"\x01\x11"
USERNAME: Final = b"\x00\x06"
# RFC 8839 §5.4: a ufrag has at most 256 characters; here are two and a colon.
MAX_USERNAME: Final = 513
# RFC 8489 §6.2.1: 39.5 s after the first request nobody waits for its answer any more. What is noted about a
# transaction is kept for one to two such periods.
TRANSACTION_PERIOD: Final[Seconds] = 40.0
# At 5 ms for each transaction of a process (RFC 8445 §14.2) 8,000 are begun in a period.
MAX_TRANSACTIONS: Final = 16_384
# Requests are answered in the wake-up that brought them.
MAX_HEARD: Final = 1_024
# Stands for the two ufrags of a check where the five-tuple is the member's already; above all ufrags.
HELD: Final = "~"
# The session in use and the one that is to replace it (RFC 8445 §9).
MAX_UFRAGS: Final = 2
# More members than these need not be told of an ICMP error about one destination: their time-outs tell them.
MAX_CONCERNED: Final = 8


FiveTuple: TypeAlias = tuple[Address, Address, Member]
"""Is where a datagram comes from and goes to: local address, remote address, sender; the protocol is always UDP."""


@final
class Claim:
    """Is one member's hold on a five-tuple."""

    __slots__ = ("member", "rank", "until")

    def __init__(self, member: Member, until: Instant, rank: str) -> None:
        self.member = member
        self.until = until
        self.rank = rank
        """Both ufrags, while a lower one may still take it; empty once it is held firmly."""


@final
class Record:
    """Is what is known of a member."""

    __slots__ = ("claims", "ufrags")

    def __init__(self, ufrag: str) -> None:
        self.ufrags: tuple[str, ...] = (ufrag,)
        # In the order of the last proof; mostly one, and a dictionary takes 232 bytes.
        self.claims: tuple[FiveTuple, ...] = ()

    def hold(self, five_tuple: FiveTuple) -> None:
        """Puts a five-tuple last."""
        if self.claims[-1:] != (five_tuple,):
            self.lose(five_tuple)
            self.claims = (*self.claims, five_tuple)

    def lose(self, five_tuple: FiveTuple) -> None:
        """Takes a five-tuple out."""
        self.claims = tuple(claim for claim in self.claims if claim != five_tuple)


class SentCheck(NamedTuple):
    """Is a request of ours: a check, or without rank a question to a STUN server."""

    member: Member
    local: Address
    remote: Address
    rank: str


class HeardCheck(NamedTuple):
    """Is a request of the other side, until it is answered."""

    member: Member
    five_tuple: FiveTuple
    rank: str


KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


@final
class Recent(Generic[KeyT, ValueT]):
    """Forgets what is older than one to two periods, and before that when there is too much."""

    __slots__ = ("_limit", "_old", "_turns_at", "_young")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: dict[KeyT, ValueT] = {}
        self._old: dict[KeyT, ValueT] = {}
        self._turns_at: Instant = 0.0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def put(self, key: KeyT, value: ValueT, now: Instant) -> None:
        """Keeps a value, as the youngest."""
        self.age(now)
        if len(self._young) >= self._limit:
            self._turn(now)
        self._young[key] = value

    def get(self, key: KeyT) -> ValueT | None:
        """Returns the value, or None."""
        found = self._young.get(key)
        return self._old.get(key) if found is None else found

    def discard(self, key: KeyT) -> None:
        """Forgets one value now."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def age(self, now: Instant) -> None:
        """Forgets what has become too old."""
        if now >= self._turns_at:
            if now >= self._turns_at + TRANSACTION_PERIOD:
                self._young.clear()
            self._turn(now)

    def _turn(self, now: Instant) -> None:
        self._old = self._young
        self._young = {}
        self._turns_at = now + TRANSACTION_PERIOD


@final
class Router:
    """Tells whose a datagram is on local addresses that several agents share.

    RFC: 8445 §7.3, 8489 §6.3.3.
    """

    __slots__ = ("_asked", "_claims", "_heard", "_last", "_max_claims", "_members", "_sent", "_ufrags")

    def __init__(self, *, max_claims: int = 128) -> None:
        """Bounds by `max_claims` how many five-tuples one member may hold; the one proved least lately goes first."""
        self._max_claims = max_claims
        self._members: dict[Member, Record] = {}
        self._ufrags: dict[str, Member] = {}
        self._claims: dict[FiveTuple, Claim] = {}
        self._sent: Recent[bytes, SentCheck] = Recent(MAX_TRANSACTIONS)
        self._heard: Recent[bytes, HeardCheck] = Recent(MAX_HEARD)
        self._asked: Recent[FiveTuple, tuple[Member, ...]] = Recent(MAX_TRANSACTIONS)
        self._last = NOBODY

    # -- members ---------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._members)

    def add(self, ufrag: str) -> Member:
        """Takes in an agent, by its ufrag.

        Raises: InvalidArgument when another member has that ufrag: requests could not be told apart.
        """
        self._refuse_known(ufrag, NOBODY)
        member = self._last = Member(self._last + 1)
        self._members[member] = Record(ufrag)
        self._ufrags[ufrag] = member
        return member

    def restart(self, member: Member, ufrag: str) -> None:
        """Takes a member's new ufrag; the one before stays known, for the session that still carries data.

        Raises: InvalidArgument when another member has that ufrag.
        """
        self._refuse_known(ufrag, member)
        record = self._members[member]
        known = (*(old for old in record.ufrags if old != ufrag), ufrag)
        for old in known[:-MAX_UFRAGS]:
            del self._ufrags[old]
        record.ufrags = known[-MAX_UFRAGS:]
        self._ufrags[ufrag] = member

    def remove(self, member: Member) -> None:
        """Forgets a member and everything it holds; one that is not known changes nothing."""
        record = self._members.pop(member, None)
        if record is not None:
            for ufrag in record.ufrags:
                del self._ufrags[ufrag]
            for five_tuple in record.claims:
                del self._claims[five_tuple]

    def _refuse_known(self, ufrag: str, member: Member) -> None:
        known = self._ufrags.get(ufrag, member)
        if known != member:
            raise InvalidArgument(f'ufrag "{ufrag}" is that of another agent here: they could not be told apart')

    # -- what leaves -----------------------------------------------------------------------------------------------

    def sent(self, member: Member, datagram: Datagram, *, now: Instant) -> bool:
        """Notes what a member is about to send; False when it may not, because the five-tuple is another's.

        Only STUN tells something: data may go without being asked about.
        """
        payload = datagram.payload
        if not looks_like_stun(payload):
            return True
        kind = payload[:2]
        if kind == REQUEST:
            return self._on_request_sent(member, datagram, now)
        if kind in (SUCCESS, ERROR):
            heard = self._heard.get(payload[8:20])
            self._heard.discard(payload[8:20])
            if kind == SUCCESS and heard is not None and heard.member == member:
                return self._take(heard.five_tuple, member, heard.rank, now + CONSENT_LIFETIME, now, is_firm=False)
        return True

    def _on_request_sent(self, member: Member, datagram: Datagram, now: Instant) -> bool:
        five_tuple = (datagram.local, datagram.remote, NOBODY)
        if self._holder(five_tuple, now) == member:
            rank = HELD
        else:
            rank = _rank(_username(datagram.payload))
            # A server may be asked by everybody: its answers go by transaction.
            if rank and not self._is_free(five_tuple, member, rank, now):
                return False
            self._note_asked(five_tuple, member, now)
        self._sent.put(datagram.payload[8:20], SentCheck(member, datagram.local, datagram.remote, rank), now)
        return True

    def _note_asked(self, five_tuple: FiveTuple, member: Member, now: Instant) -> None:
        self._asked.age(now)
        asked = self._asked.get(five_tuple) or ()
        if member not in asked:
            self._asked.put(five_tuple, (*asked, member)[-MAX_CONCERNED:], now)

    # -- what arrives ----------------------------------------------------------------------------------------------

    def route(self, datagram: Datagram, *, sender: Member = NOBODY, now: Instant) -> Member | DropReason:
        """Returns whose a datagram is, or why it is nobody's."""
        payload = datagram.payload
        five_tuple = (datagram.local, datagram.remote, sender)
        if not looks_like_stun(payload):
            return self._holder(five_tuple, now) or DropReason.UNVALIDATED
        kind = payload[:2]
        if kind == REQUEST:
            return self._on_request(five_tuple, payload, now)
        if kind in (SUCCESS, ERROR):
            return self._on_response(five_tuple, payload, now)
        return self._holder(five_tuple, now) or DropReason.UNEXPECTED_MESSAGE

    def concerned(self, local: Address, remote: Address, *, now: Instant) -> tuple[Member, ...]:
        """Returns who should hear of an ICMP error about what was sent from here to there."""
        five_tuple = (local, remote, NOBODY)
        holder = self._holder(five_tuple, now)
        if holder is not None:
            return (holder,)
        return tuple(member for member in self._asked.get(five_tuple) or () if member in self._members)

    def _on_request(self, five_tuple: FiveTuple, payload: bytes, now: Instant) -> Member | DropReason:
        username = _username(payload)
        member = self._ufrags.get(username.partition(":")[0])
        if member is None:
            # The agent that the remote was last known to belong to says what is wrong with it, if there is one.
            return self._holder(five_tuple, now) or DropReason.UNKNOWN_USERNAME
        claim = self._claims.get(five_tuple)
        if claim is not None and claim.member == member and not claim.rank and now < claim.until:
            return member  # held firmly, which only answers to us renew
        rank = _rank(username)
        if not self._is_free(five_tuple, member, rank, now):
            return DropReason.FIVE_TUPLE_TAKEN
        self._heard.put(payload[8:20], HeardCheck(member, five_tuple, rank), now)
        return member

    def _on_response(self, five_tuple: FiveTuple, payload: bytes, now: Instant) -> Member | DropReason:
        self._sent.age(now)
        transaction_id = payload[8:20]
        sent = self._sent.get(transaction_id)
        if sent is None or sent.member not in self._members:
            return self._holder(five_tuple, now) or DropReason.UNKNOWN_TRANSACTION
        # RFC 8445 §7.2.5.2.1: an answer along another path proves nothing.
        is_symmetric = sent.local == five_tuple[0] and sent.remote == five_tuple[1]
        if sent.rank and is_symmetric and payload[:2] == SUCCESS:
            if not self._take(five_tuple, sent.member, sent.rank, now + CONSENT_LIFETIME, now, is_firm=True):
                return DropReason.FIVE_TUPLE_TAKEN
            self._sent.discard(transaction_id)  # should it come again, the five-tuple tells
        return sent.member

    # -- five-tuples -----------------------------------------------------------------------------------------------

    def confirm(self, member: Member, local: Address, remote: Address, until: Instant, *, now: Instant) -> bool:
        """Holds a five-tuple for a member whose agent has permitted a flow; False when it is another's."""
        five_tuple = (local, remote, NOBODY)
        if (self._holder(five_tuple, now) or member) != member:
            return False
        return self._take(five_tuple, member, "", until, now, is_firm=True)

    def release(self, member: Member, local: Address, remote: Address, *, now: Instant) -> None:
        """Takes a flow's permission back: late data is still the member's, for as long as consent would have held."""
        claim = self._claims.get((local, remote, NOBODY))
        if claim is not None and claim.member == member:
            claim.until = min(claim.until, now + CONSENT_LIFETIME)

    def _holder(self, five_tuple: FiveTuple, now: Instant) -> Member | None:
        claim = self._claims.get(five_tuple)
        return claim.member if claim is not None and now < claim.until else None

    def _is_free(self, five_tuple: FiveTuple, member: Member, rank: str, now: Instant) -> bool:
        claim = self._claims.get(five_tuple)
        return claim is None or now >= claim.until or claim.member == member or rank < claim.rank

    def _take(
        self, five_tuple: FiveTuple, member: Member, rank: str, until: Instant, now: Instant, *, is_firm: bool
    ) -> bool:
        """Holds a five-tuple for a member, if it may; the latest proof stands last."""
        record = self._members.get(member)
        if record is None:
            return False
        old = self._claims.get(five_tuple)
        if old is not None and old.member == member:
            if is_firm:
                old.rank = ""
            elif old.rank or now >= old.until:
                old.rank = rank
            old.until = max(until, old.until)
            record.hold(five_tuple)
            return True
        if not self._is_free(five_tuple, member, rank, now):
            return False
        if old is not None:
            self._members[old.member].lose(five_tuple)
        if len(record.claims) >= self._max_claims:
            eldest = record.claims[0]
            record.lose(eldest)
            del self._claims[eldest]
        self._claims[five_tuple] = Claim(member, until, "" if is_firm else rank)
        record.hold(five_tuple)
        return True


def _rank(username: str) -> str:
    """Returns both ufrags in an order that both sides agree on; empty when there are not two."""
    first, colon, second = username.partition(":")
    return f"{min(first, second)}:{max(first, second)}" if colon else ""


def _username(payload: bytes) -> str:
    """Looks for USERNAME without decoding the message, which its agent will do; empty when there is none.

     0                   2                   4
    | type              | length            | value, padded to four bytes ...
    """
    at = HEADER_LENGTH
    end = len(payload)
    while at + 4 <= end:
        length = payload[at + 2] << 8 | payload[at + 3]
        if payload[at : at + 2] == USERNAME:
            value = payload[at + 4 : at + 4 + length]
            return value.decode("ascii", "replace") if length <= MAX_USERNAME else ""
        at += 4 + (length + 3 & ~3)
    return ""
