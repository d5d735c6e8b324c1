"""The attributes of RFC 7635."""

from __future__ import annotations

import pytest

from icepath.wire.attributes import AccessToken, ThirdPartyAuthorization
from unit.wire.attributes.layouts import check_layout, check_malformed, check_refused


@pytest.mark.rfc("7635", "6")
def test_layouts() -> None:
    check_layout(AccessToken(b"\0\x0ctoken"), "000c746f6b656e")
    check_layout(ThirdPartyAuthorization("stun.example"), b"stun.example".hex())
    check_malformed(ThirdPartyAuthorization, "ff", "not UTF-8")
    check_refused(ThirdPartyAuthorization("x" * 256), "256 characters")


def test_a_token_is_not_shown() -> None:
    assert repr(AccessToken(b"token")) == "AccessToken(5 bytes)"
