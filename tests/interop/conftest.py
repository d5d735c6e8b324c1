"""What the tests over real networks share: they skip, with the reason, on a machine that cannot build one."""

from __future__ import annotations

import pytest

from interop.lab import coturn, namespaces


@pytest.fixture
def laboratory_possible() -> None:
    """Skips unless namespaces can be made and coturn started here."""
    reason = namespaces.missing() or coturn.missing()
    if reason is not None:
        pytest.skip(reason)
