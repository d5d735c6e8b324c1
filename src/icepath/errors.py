"""Every exception icepath raises, in one tree, and `Cause`, the one list of why something failed.

    IcepathError
    ├── InvalidArgument (ValueError)         you called it wrong: the value is not allowed
    ├── InvalidState (RuntimeError)          you called it wrong: not now
    ├── DecodeError (ValueError)             input is malformed; raised by wire and sdp only
    └── ConnectionFailure (ConnectionError)  the network or the far side; raised by aio and above
        ├── ConnectFailed                    never got a path
        └── ConnectionClosed                 had one, and lost or closed it

OS errors stay OSError with their errno. A failed server is an event and a WARNING, never an exception.
"""

from __future__ import annotations

from enum import Enum, StrEnum, auto


class Cause(StrEnum):
    """Says why something failed; the same word in exceptions, events, JSON and the documentation."""

    NO_CANDIDATES = "no-candidates"
    NO_REMOTE_CANDIDATES = "no-remote-candidates"
    NO_COMMON_FAMILY = "no-common-family"
    NO_ANSWER = "no-answer"
    NO_CHECKS = "no-checks"
    UDP_BLOCKED = "udp-blocked"
    WRONG_PASSWORD = "wrong-password"
    ROLE_CONFLICT = "role-conflict"
    SERVER_UNREACHABLE = "server-unreachable"
    SERVER_NAME_NOT_FOUND = "server-name-not-found"
    SERVER_REFUSED = "server-refused"
    WRONG_CREDENTIALS = "wrong-credentials"
    ALLOCATION_QUOTA = "allocation-quota"
    UNSUPPORTED = "unsupported"
    CONSENT_EXPIRED = "consent-expired"
    CONNECTION_CLOSED = "connection-closed"
    NO_RECENT_ANSWER = "no-recent-answer"
    SIGNALLING_ENDED = "signalling-ended"
    CLOSED = "closed"


class DecodeReason(Enum):
    """Says what is wrong with malformed input."""

    NOT_STUN = auto()
    TRUNCATED = auto()
    TRAILING_BYTES = auto()
    TOO_LONG = auto()
    BAD_LENGTH = auto()
    BAD_ATTRIBUTE = auto()
    MISSING_INTEGRITY = auto()
    INTEGRITY_MISMATCH = auto()
    MISSING_FINGERPRINT = auto()
    FINGERPRINT_MISMATCH = auto()
    BAD_CHANNEL = auto()
    BAD_CANDIDATE_LINE = auto()
    BAD_FRAGMENT = auto()
    BAD_SDP = auto()
    BAD_TOKEN = auto()
    BAD_URI = auto()
    BAD_TEXT = auto()


class IcepathError(Exception):
    """Is the base of every exception icepath defines."""


class InvalidArgument(IcepathError, ValueError):
    """Reports a call with a value that is not allowed; nothing was changed."""


class InvalidState(IcepathError, RuntimeError):
    """Reports a call that is not allowed now; nothing was changed."""


class DecodeError(IcepathError, ValueError):
    """Reports malformed input: `reason` for programs, the text for people, `offset` in bytes or characters."""

    def __init__(self, reason: DecodeReason, detail: str, *, offset: int = 0) -> None:
        super().__init__(detail)
        self.reason = reason
        self.offset = offset


# What a person can do about each cause; the last clause of every ConnectionFailure's text.
ADVICE: dict[Cause, str] = {
    Cause.NO_CANDIDATES: "Check that a network interface is up and that the interface filter admits it.",
    Cause.NO_REMOTE_CANDIDATES: "The other side sent no candidate: check the signalling channel.",
    Cause.NO_COMMON_FAMILY: "One side has only IPv4, the other only IPv6: add a TURN server that has both.",
    Cause.NO_ANSWER: "Add a TURN server, or check that the other side is running and that UDP may pass.",
    Cause.UDP_BLOCKED: "This network drops UDP: add a TURN server that listens on TCP or TLS.",
    Cause.WRONG_PASSWORD: "The two descriptions do not belong together: exchange them anew.",
    Cause.ROLE_CONFLICT: "Both sides insist on the same role: give one of them the other role.",
    Cause.SERVER_UNREACHABLE: "Check the server's address and port.",
    Cause.SERVER_NAME_NOT_FOUND: "Check the server's name and the DNS.",
    Cause.SERVER_REFUSED: "See the server's error code.",
    Cause.WRONG_CREDENTIALS: "Check username and credential; time-limited ones may have expired.",
    Cause.ALLOCATION_QUOTA: "The server allows this user no further allocation: close some, or raise the quota.",
    Cause.UNSUPPORTED: "Neither side can do this.",
    Cause.CONSENT_EXPIRED: "The path died or the other side went away: connect again, or restart.",
    Cause.CONNECTION_CLOSED: "The TCP connection that was the path ended: connect again, or restart.",
    Cause.NO_CHECKS: "This side waits for the other's checks: see that the other side runs full ICE.",
    Cause.NO_RECENT_ANSWER: "The path may come back by itself; a restart looks for another one.",
    Cause.SIGNALLING_ENDED: "The signalling channel ended before both descriptions were exchanged.",
    Cause.CLOSED: "It was closed here.",
}


class ConnectionFailure(IcepathError, ConnectionError):
    """Reports that the network or the far side failed: a `cause`, its evidence, and what to do."""

    def __init__(self, cause: Cause, evidence: str = "") -> None:
        evidence = evidence.rstrip(".")
        head = f"{cause.value}: {evidence}." if evidence else f"{cause.value}."
        super().__init__(f"{head} {ADVICE[cause]}")
        self.cause = cause
        self.evidence = evidence


class ConnectFailed(ConnectionFailure):
    """Reports that no path was ever found."""


class ConnectionClosed(ConnectionFailure):
    """Reports that the path was lost, or closed here."""
