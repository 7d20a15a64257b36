"""How long `--help` takes, beside a bare interpreter, a bare Typer app and the official CLI.

Run it in an environment with the `local` extra:  python benchmarks/startup.py [RUNS]
The aims: under twice a bare Typer app's `--help`, and eight times faster than `runpod --help`.
"""

from __future__ import annotations

import compileall
import statistics
import subprocess
import sys
import sysconfig
import time
from importlib.util import find_spec
from pathlib import Path

SCRIPTS = Path(sysconfig.get_path("scripts"))
BARE_TYPER_APP = """
import typer
app = typer.Typer()
@app.command()
def hello(name: str = "you") -> None: print(name)
@app.command()
def bye(name: str = "you") -> None: print(name)
app()
"""
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import typer'": [sys.executable, "-c", "import typer"],
    "bare Typer app --help": [sys.executable, "-c", BARE_TYPER_APP, "--help"],
    "runpodctl-py --version": [str(SCRIPTS / "runpodctl-py"), "--version"],
    "runpodctl-py --help": [str(SCRIPTS / "runpodctl-py"), "--help"],
    "runpodctl-py submit --help": [str(SCRIPTS / "runpodctl-py"), "submit", "--help"],
    "runpod --help (official)": [str(SCRIPTS / "runpod"), "--help"],
}


def wall_time_s(command: list[str]) -> float:
    """Run a command once and return how long it took."""
    began_s = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began_s


def main() -> None:
    """Measure every command, interleaved, and print the medians."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    # Without byte code every import is about three times slower, and that is not what we measure.
    for package in ("runpodctl_py", "typer", "rich", "runpod"):
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            compileall.compile_dir(Path(spec.origin).parent, quiet=2)
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, command in COMMANDS.items():
            times[name].append(wall_time_s(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median_s in medians.items():
        print(f"{name:<28} {median_s * 1000:7.0f} ms   (best {min(times[name]) * 1000:.0f})")
    ours = medians["runpodctl-py --help"]
    bare = medians["bare Typer app --help"]
    official = medians["runpod --help (official)"]
    print(f"\nours / bare Typer app:  {ours / bare:.2f}   (aim: under 2)")
    print(f"official / ours:        {official / ours:.1f}   (aim: over 8)")


if __name__ == "__main__":
    main()
