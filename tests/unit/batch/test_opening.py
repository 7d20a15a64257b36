"""Before a batch begins: its file is judged as a whole, and known again."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.batch.opening import (
    check_unchanged,
    digest_of,
    examine,
    identity_of,
    new_id,
    options_of,
)
from runpodctl_py.batch.recipe import Recipe
from runpodctl_py.batch.source import Source
from runpodctl_py.errors import ConflictError, UsageError
from tests.unit.batch.scene import batch_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of rows."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a lake"}\nnonsense\n{"prompt": "a hill"}\n')
    return path


def source_of(path: Path) -> Source:
    """Return a file as it is read."""
    return Source.of(path)
