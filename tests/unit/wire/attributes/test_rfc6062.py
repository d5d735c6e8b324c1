"""The attribute of RFC 6062."""

from __future__ import annotations

import pytest

from icepath.wire.attributes import ConnectionId
from unit.wire.attributes.layouts import check_layout, check_malformed, check_refused


@pytest.mark.rfc("6062", "6.2.1")
def test_layout() -> None:
    check_layout(ConnectionId(0xFFFFFFFF), "ffffffff")
    check_malformed(ConnectionId, "ff", "length 1, expected 4")
    check_refused(ConnectionId(1 << 32), "CONNECTION-ID 4294967296")
