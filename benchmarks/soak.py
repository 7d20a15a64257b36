"""Whether the local RunPod stays as small as it was, job after job.

Run it in an environment with the `local` extra, on Linux:  python benchmarks/soak.py [JOBS]
Prints the server's memory, its open files and the size of its write-ahead log ten times on the
way; exits with 1 if one of them grows by more than its limit in the second half. Each part of the
way has new connections; jobs report progress, a few fail, all stay in the store.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import astuple, dataclass
from pathlib import Path

from emulator import Server, load, local_runpod

from runpodctl_py.emulator.config import Simulation

PARTS = 10
SIMULATION = Simulation(delay_s=0.01, jitter_s=0.005, fail=0.01, progress=2)


@dataclass(frozen=True)
class Size:
    """What must not grow, or how much of it may.

    Args:
        memory_mb: The resident set.
        open_files: Files, sockets and all else that has a descriptor.
        log_mb: The store's write-ahead log.
    """

    memory_mb: float
    open_files: float
    log_mb: float

    @classmethod
    def of(cls, server: Server, folder: Path) -> Size:
        """Measure a server and its data folder."""
        return cls(
            server.memory_mb,
            len(list(Path(f"/proc/{server.pid}/fd").iterdir())),
            (folder / "state.sqlite3-wal").stat().st_size / 1024**2,
        )

    def __str__(self) -> str:
        """Return one line of numbers."""
        return (
            f"{self.memory_mb:6.1f} MB   {self.open_files:3.0f} open files   "
            f"log {self.log_mb:4.1f} MB"
        )

    def growth(self, earlier: Size) -> Size:
        """Return by how much it is larger than earlier."""
        return Size(
            *(now - then for now, then in zip(astuple(self), astuple(earlier), strict=True))
        )

    def within(self, limit: Size) -> bool:
        """Tell whether nothing is above its limit."""
        return all(each <= most for each, most in zip(astuple(self), astuple(limit), strict=True))


LIMIT = Size(memory_mb=3.0, open_files=2, log_mb=1.0)


def sizes(jobs: int) -> list[Size]:
    """Send jobs through and return how large the server was after each part of them."""
    measured = []
    with tempfile.TemporaryDirectory() as name, local_runpod(Path(name), SIMULATION) as server:
        for part in range(1, PARTS + 1):
            load(server, "run", jobs // PARTS)
            measured.append(Size.of(server, Path(name)))
            print(f"{part * jobs // PARTS:6} jobs   {measured[-1]}", flush=True)
    return measured


def main() -> None:
    """Send jobs through and judge the second half."""
    measured = sizes(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
    growth = measured[-1].growth(measured[PARTS // 2 - 1])
    print(f"second half    {growth}   (limits: {LIMIT})")
    if not growth.within(LIMIT):
        sys.exit("the local RunPod grows with the jobs it has done")


if __name__ == "__main__":
    main()
