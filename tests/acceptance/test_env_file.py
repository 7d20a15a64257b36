"""`.env` under several processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from runpodctl_py import env_file

if TYPE_CHECKING:
    from pathlib import Path


def test_concurrent_writers_lose_nothing(tmp_path: Path) -> None:
    """Four processes add ten keys each: all forty are there."""
    path = tmp_path / ".env"
    script = (
        "import sys; from pathlib import Path; from runpodctl_py import env_file\n"
        "for i in range(10): env_file.set_values(Path(sys.argv[1]), {f'K{sys.argv[2]}_{i}': '1'})"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), str(n)], env=dict(os.environ))
        for n in range(4)
    ]
    assert [w.wait(60) for w in writers] == [0, 0, 0, 0]
    assert set(env_file.read(path)) == {f"K{n}_{i}" for n in range(4) for i in range(10)}
