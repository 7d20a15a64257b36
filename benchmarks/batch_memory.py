"""The memory of a batch, by the number of its rows.

Run it in an environment with the `local` extra:  python benchmarks/batch_memory.py [ROWS]

Files of 1 000 rows and of ROWS (100 000) are each judged in whole (`--dry-run`), then begun with
2 000 rows sent to a local RunPod with simulated workers, then taken up again for 100 more: the
second has to walk past what is done. ROWS -1 sends every row of the large file, too, which takes
a quarter of an hour. The aim: under 150 MB with 100 000 rows, and no growth with their number.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from emulator import local_runpod
from latency import make_endpoint

from runpodctl_py.emulator.config import Simulation

FEW = 1000
MANY = 100_000
SENT = 2000


def measured(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Return a command's seconds and its largest resident set in MB."""
    began_s = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **env})
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[2:5]} failed")
    return time.monotonic() - began_s, used.ru_maxrss / 1024


def main() -> None:
    """Measure a small and a large file."""
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else MANY
    with (
        tempfile.TemporaryDirectory() as name,
        local_runpod(Path(name, "data"), Simulation()) as it,
    ):
        endpoint_id = asyncio.run(make_endpoint(it.url, it.token, name="memory", workers_max=8))
        env = {
            "RUNPOD_ENDPOINT_BASE_URL": f"{it.url}/v2",
            "RUNPOD_API_BASE_URL": it.url,
            "RUNPOD_API_KEY": it.token,
            "RUNPODCTL_LEDGER": str(Path(name, "ledger.sqlite3")),
            "HOME": name,
        }
        for rows in (FEW, MANY if asked < 0 else asked):
            file = Path(name, f"{rows}.jsonl")
            with file.open("w") as lines:
                for each in range(rows):
                    lines.write(json.dumps({"id": f"r{each}", "input": {"row": each}}) + "\n")
            run = [sys.executable, "-m", "runpodctl_py", "batch", "run", str(file), "--json"]
            run += ["-e", endpoint_id, "-o", str(Path(name, str(rows))), "--rate", "100000"]
            steps = [("judged", ["--dry-run"]), ("begun", ["--limit", str(SENT)])]
            steps += [("taken up again", ["--limit", "100"])]
            steps += [("sent in whole", [])] if asked < 0 else []
            for step, options in steps:
                seconds, memory_mb = measured([*run, *options], env)
                print(
                    f"{rows:>7} rows  {step:<16} {memory_mb:5.0f} MB  {seconds:6.1f} s", flush=True
                )
    print("limit                          150 MB")


if __name__ == "__main__":
    main()
