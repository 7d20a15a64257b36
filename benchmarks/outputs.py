"""How reading an output grows with its size: awkward shapes at one size and at twice that size.

Run it in any environment with the package:  python benchmarks/outputs.py
A ratio near 2 is linear; 4 would be quadratic.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runpodctl_py.jobs.outputs import read_output
from runpodctl_py.jobs.words import readable_text, worker_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from runpodctl_py.jsontypes import JsonValue

SIZE = 4_000_000
SHAPES: dict[str, Callable[[int], JsonValue]] = {
    "a large image": lambda n: {"image": "iVBORw0KGgo" + "A" * n},
    "base64, broken at the end": lambda n: {"image_base64": "QUJD" * (n // 4) + "!"},
    "spaces in base64": lambda n: {"image_base64": "QUJD" + " " * n + "!"},
    "padding only": lambda n: {"image_base64": "=" * n},
    "slashes": lambda n: "/" * n,
    "endless parameters": lambda n: "data:" + ";a" * (n // 2),
    "an endless link": lambda n: "http://" + "a" * n,
    "endless events": lambda n: "data: {" * (n // 7),
    "many words": lambda n: ["word"] * (n // 8),
    "endless keys": lambda n: {"a" * n: {"a" * n: "QUJD" * 99}},
}


def seconds(output: JsonValue) -> float:
    """Read an output in every way a job's end reads it, and return the processor time."""
    began_s = time.process_time()
    read_output(output)
    worker_error(output)
    readable_text(output)
    return time.process_time() - began_s


def main() -> None:
    """Print both times of each shape, and their ratio."""
    print(f"{'':<28} {SIZE / 1e6:6.0f} MB {2 * SIZE / 1e6:6.0f} MB   ratio")
    for name, make in SHAPES.items():
        once = min(seconds(make(SIZE)) for _ in range(3))
        twice = min(seconds(make(2 * SIZE)) for _ in range(3))
        print(f"{name:<28} {once * 1000:6.0f} ms {twice * 1000:6.0f} ms   {twice / once:5.1f}")


if __name__ == "__main__":
    main()
