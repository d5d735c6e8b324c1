"""The attribute of RFC 8016."""

from __future__ import annotations

import pytest

from icepath.wire.attributes import MobilityTicket
from unit.wire.attributes.layouts import check_layout, check_refused


@pytest.mark.rfc("8016", "3.1.1")
def test_layout() -> None:
    check_layout(MobilityTicket(b""), "")
    check_layout(MobilityTicket(b"ticket"), b"ticket".hex())
    check_refused(MobilityTicket(bytes(65536)), "MOBILITY-TICKET of 65536 bytes")
