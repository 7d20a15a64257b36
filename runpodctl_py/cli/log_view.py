"""How the local RunPod's logs are read and printed: whole lines, each with where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from pathlib import Path

    from runpodctl_py.cli.output import Output

_NAME_WIDTH = 16


class LogView:
    """Prints what is new in the log files of one data folder.

    Args:
        output: Where to print it.
        folder: The local RunPod's data folder.
        endpoint_id: Only the workers of this endpoint, and not the emulator itself.
    """

    def __init__(self, output: Output, folder: Path, endpoint_id: str | None) -> None:
        self._output = output
        self._folder = folder
        self._endpoint_id = endpoint_id
        self._read_bytes: dict[Path, int] = {}

    def paths(self) -> list[Path]:
        """Return the log files that exist, the emulator's own first, then the oldest workers'."""
        workers = self._folder.glob(f"logs/{self._endpoint_id or '*'}/*.log")
        own = [] if self._endpoint_id else [self._folder / "emulator.log"]
        return [path for path in (*own, *sorted(workers, key=_changed_at)) if path.is_file()]

    def print_new(self, *, is_last: bool) -> None:
        """Print every line that was added; one that is not finished waits, unless it is the last.

        Raises:
            EmulatorError: A log cannot be read.
        """
        for path in self.paths():
            try:
                with path.open("rb") as file:
                    file.seek(self._read_bytes.get(path, 0))
                    content = file.read()
            except OSError as exc:
                raise EmulatorError(f"Cannot read {path}: {exc.strerror}") from exc
            whole = content if is_last else content[: content.rfind(b"\n") + 1]
            self._read_bytes[path] = self._read_bytes.get(path, 0) + len(whole)
            name = "local" if path.name == "emulator.log" else path.stem
            for line in whole.decode(errors="replace").splitlines():
                self._print(name, line)

    def _print(self, name: str, line: str) -> None:
        if self._output.as_json:
            self._output.event({"source": name, "line": line})
        else:
            self._output.result(f"{name:<{_NAME_WIDTH}} {line}")


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
