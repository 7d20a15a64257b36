"""A ledger in a temporary folder, and a clock that a test moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runpodctl_py.jobs.ledger import Ledger
from runpodctl_py.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def clock() -> FakeClock:
    """The time as the ledger sees it."""
    return FakeClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: FakeClock) -> Iterator[Ledger]:
    """An empty one; its file is made when it is first needed."""
    with Ledger(tmp_path / "data" / "ledger.sqlite3", clock.now) as it:
        yield it
