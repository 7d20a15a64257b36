"""A worker that yields what its job's input says, each piece when the test says so.

It does not collect its pieces, as most do not.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import runpod

if TYPE_CHECKING:
    from collections.abc import Iterator


def handler(job: dict[str, Any]) -> Iterator[Any]:
    """Yield the pieces; the folder holds a file for each that may be made."""
    asked = job["input"]
    for number, piece in enumerate(asked["pieces"]):
        gate = Path(asked["folder"]) / str(number) if "folder" in asked else None
        while gate is not None and not gate.exists():
            time.sleep(0.02)
        yield piece
    if "fails" in asked:
        raise ValueError(asked["fails"])


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
