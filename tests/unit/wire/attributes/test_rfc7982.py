"""The attribute of RFC 7982."""

from __future__ import annotations

import pytest

from icepath.wire.attributes import TransactionTransmitCounter
from unit.wire.attributes.layouts import check_layout, check_malformed, check_refused


@pytest.mark.rfc("7982", "3.1")
def test_layout() -> None:
    check_layout(TransactionTransmitCounter(2, 1), "00000201")
    check_layout(TransactionTransmitCounter(255), "0000ff00")
    check_malformed(TransactionTransmitCounter, "0201", "length 2, expected 4")
    check_refused(TransactionTransmitCounter(256), "request count 256")
    check_refused(TransactionTransmitCounter(1, -1), "response count -1")
    assert TransactionTransmitCounter.decode(b"\xff\xff\x01\x00", b"") == TransactionTransmitCounter(1)
