"""What the tests of the clients share: retries that do not wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import stamina

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """Retries happen at once, as often as the policy says."""
    with stamina.set_testing(True, attempts=6, cap=True):
        yield
