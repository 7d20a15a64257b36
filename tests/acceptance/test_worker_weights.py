"""The stage of the Dockerfile that fetches weights, with what it has and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import worker

REPOSITORY = Path(worker.__file__).parents[1]


def test_weights_are_fetched_with_nothing_but_what_that_stage_copies(tmp_path: Path) -> None:
    """So that a changed line elsewhere does not fetch them again; here nothing may be fetched."""
    dockerfile = (REPOSITORY / "Dockerfile").read_text("utf-8")
    stage = dockerfile.partition(" AS chatterbox-weights")[2].partition("\nFROM ")[0]
    for sources, target in re.findall(r"^COPY (.+) (\S+)$", stage, re.MULTILINE):
        for source in sources.split():
            path = tmp_path / target
            path = path / Path(source).name if target.endswith("/") else path
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / source, path)
    done = subprocess.run(
        [sys.executable, "fetch.py", "english"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("ResembleAI/chatterbox is in none of")
    assert done.stderr.count("\n") == 1
