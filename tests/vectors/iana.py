"""IANA's "STUN Parameters": attributes, methods, error codes, password algorithms, as far as RFCs assign them.

Origin: the IANA considerations of RFC 3489, 5780, 6062, 6679, 7635, 7982, 8016, 8445, 8489 and 8656, which
the registry (https://www.iana.org/assignments/stun-parameters) collects; NOMINATION as its draft asks for.
"""

from __future__ import annotations

from typing import Final

# type -> name, as the registry spells it
ATTRIBUTES: Final = {
    0x0001: "MAPPED-ADDRESS",
    0x0003: "CHANGE-REQUEST",
    0x0006: "USERNAME",
    0x0008: "MESSAGE-INTEGRITY",
    0x0009: "ERROR-CODE",
    0x000A: "UNKNOWN-ATTRIBUTES",
    0x000C: "CHANNEL-NUMBER",
    0x000D: "LIFETIME",
    0x0012: "XOR-PEER-ADDRESS",
    0x0013: "DATA",
    0x0014: "REALM",
    0x0015: "NONCE",
    0x0016: "XOR-RELAYED-ADDRESS",
    0x0017: "REQUESTED-ADDRESS-FAMILY",
    0x0018: "EVEN-PORT",
    0x0019: "REQUESTED-TRANSPORT",
    0x001A: "DONT-FRAGMENT",
    0x001B: "ACCESS-TOKEN",
    0x001C: "MESSAGE-INTEGRITY-SHA256",
    0x001D: "PASSWORD-ALGORITHM",
    0x001E: "USERHASH",
    0x0020: "XOR-MAPPED-ADDRESS",
    0x0022: "RESERVATION-TOKEN",
    0x0024: "PRIORITY",
    0x0025: "USE-CANDIDATE",
    0x0026: "PADDING",
    0x0027: "RESPONSE-PORT",
    0x002A: "CONNECTION-ID",
    0x0030: "NOMINATION",
    0x8000: "ADDITIONAL-ADDRESS-FAMILY",
    0x8001: "ADDRESS-ERROR-CODE",
    0x8002: "PASSWORD-ALGORITHMS",
    0x8003: "ALTERNATE-DOMAIN",
    0x8004: "ICMP",
    0x8022: "SOFTWARE",
    0x8023: "ALTERNATE-SERVER",
    0x8025: "TRANSACTION_TRANSMIT_COUNTER",
    0x8027: "CACHE-TIMEOUT",
    0x8028: "FINGERPRINT",
    0x8029: "ICE-CONTROLLED",
    0x802A: "ICE-CONTROLLING",
    0x802B: "RESPONSE-ORIGIN",
    0x802C: "OTHER-ADDRESS",
    0x802E: "THIRD-PARTY-AUTHORIZATION",
    0x8030: "MOBILITY-TICKET",
    0xC001: "GOOG-NOMINATION",  # not registered by an RFC; deployed by browsers
    0xC070: "META-DTLS-IN-STUN",  # a draft; deployed by browsers
    0xC071: "META-DTLS-IN-STUN-ACKNOWLEDGEMENT",
}

# Reserved since RFC 5389 or RFC 8656, or assigned by an RFC that is not implemented: unknown to a decoder.
RESERVED: Final = {
    0x0000: "Reserved",
    0x0002: "RESPONSE-ADDRESS",
    0x0004: "SOURCE-ADDRESS",
    0x0005: "CHANGED-ADDRESS",
    0x0007: "PASSWORD",
    0x000B: "REFLECTED-FROM",
    0x0010: "BANDWIDTH",
    0x0021: "TIMER-VAL",
    0x802D: "ECN-CHECK STUN",  # RFC 6679
}

RFC3489_ATTRIBUTES: Final = {
    0x0001: "MAPPED-ADDRESS",
    0x0002: "RESPONSE-ADDRESS",
    0x0003: "CHANGE-REQUEST",
    0x0004: "SOURCE-ADDRESS",
    0x0005: "CHANGED-ADDRESS",
    0x0006: "USERNAME",
    0x0007: "PASSWORD",
    0x0008: "MESSAGE-INTEGRITY",
    0x0009: "ERROR-CODE",
    0x000A: "UNKNOWN-ATTRIBUTES",
    0x000B: "REFLECTED-FROM",
}

METHODS: Final = {
    0x001: "BINDING",
    0x002: "SHARED_SECRET",
    0x003: "ALLOCATE",
    0x004: "REFRESH",
    0x006: "SEND",
    0x007: "DATA",
    0x008: "CREATE_PERMISSION",
    0x009: "CHANNEL_BIND",
    0x00A: "CONNECT",
    0x00B: "CONNECTION_BIND",
    0x00C: "CONNECTION_ATTEMPT",
}

ERROR_CODES: Final = {
    300: "Try Alternate",
    400: "Bad Request",
    401: "Unauthenticated",
    403: "Forbidden",
    405: "Mobility Forbidden",
    420: "Unknown Attribute",
    437: "Allocation Mismatch",
    438: "Stale Nonce",
    440: "Address Family not Supported",
    441: "Wrong Credentials",
    442: "Unsupported Transport Protocol",
    443: "Peer Address Family Mismatch",
    446: "Connection Already Exists",
    447: "Connection Timeout or Failure",
    486: "Allocation Quota Reached",
    487: "Role Conflict",
    500: "Server Error",
    508: "Insufficient Capacity",
}

PASSWORD_ALGORITHMS: Final = {0x0001: "MD5", 0x0002: "SHA256"}
