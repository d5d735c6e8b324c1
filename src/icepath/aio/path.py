"""A path as applications see it: which two addresses carry the data, and in words for people."""

from __future__ import annotations

from dataclasses import dataclass

from icepath.ice.events import PairSnapshot
from icepath.machine import Transport
from icepath.net import Seconds
from icepath.wire.candidate_line import Candidate, CandidateType


@dataclass(frozen=True, slots=True)
class CandidatePair:
    """Is the local and the remote candidate that carry the data, and the last round-trip time known."""

    local: Candidate
    remote: Candidate
    rtt: Seconds | None = None

    def __str__(self) -> str:
        return f"{self.kind}  {_where(self.local)} <-> {_where(self.remote)}"

    @property
    def kind(self) -> str:
        """Says in words how direct the path is, and whether it is a TCP connection."""
        return self._directness + (", over TCP" if self.local.transport is Transport.TCP else "")

    @property
    def _directness(self) -> str:
        if CandidateType.RELAYED in (self.local.type, self.remote.type):
            return "through a relay"
        ours, theirs = self.local.type is not CandidateType.HOST, self.remote.type is not CandidateType.HOST
        if ours and theirs:
            return "direct through both NATs"
        if ours:
            return "direct through our NAT"
        return "direct through their NAT" if theirs else "direct"

    def summary(self) -> str:
        """Returns types, addresses and round-trip time for a line of the log."""
        rtt = "" if self.rtt is None else f", rtt {self.rtt * 1000:.3g} ms"
        return f"{self.local.type} {_where(self.local)} <-> {self.remote.type} {_where(self.remote)}{rtt}"


def pair_of(snapshot: PairSnapshot) -> CandidatePair:
    """Returns the public view of an agent's pair."""
    return CandidatePair(snapshot.local, snapshot.remote, snapshot.rtt)


def _where(candidate: Candidate) -> str:
    host = f"[{candidate.host}]" if ":" in candidate.host else candidate.host
    return f"{host}:{candidate.port}"
