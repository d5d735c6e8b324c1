from __future__ import annotations

import pytest

from icepath.turn.server.permissions import PermissionTable

A, B, C, A6 = "192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::a"


@pytest.mark.rfc("8656", "9")
def test_a_permission_lives_five_minutes_from_its_last_request() -> None:
    table = PermissionTable(2)
    assert table.install((A,), 0.0)
    assert table.is_permitted(A, 299.9)
    assert not table.is_permitted(A, 300.0)
    assert not table.is_permitted(B, 0.0)
    table.install((A,), 250.0)
    assert table.is_permitted(A, 549.9)


def test_all_or_none_fit() -> None:
    table = PermissionTable(2)
    assert table.install((A,), 0.0)
    assert not table.install((B, C), 1.0)
    assert not table.is_permitted(B, 1.0)
    assert table.install((B, A, B), 1.0)
    assert not table.has_room((C,), 2.0)


def test_expired_ones_make_room() -> None:
    table = PermissionTable(2)
    table.install((A,), 0.0)
    table.install((B,), 100.0)
    assert not table.install((C,), 299.0)
    assert table.install((C,), 300.0)
    assert table.is_permitted(B, 300.0)


@pytest.mark.rfc("8656", "8.1")
@pytest.mark.parametrize("is_ipv6", [False, True])
def test_a_family_goes_alone(is_ipv6: bool) -> None:
    table = PermissionTable(5)
    table.install((A, A6), 0.0)
    table.remove_family(is_ipv6=is_ipv6)
    assert table.is_permitted(A, 1.0) is is_ipv6
    assert table.is_permitted(A6, 1.0) is not is_ipv6
