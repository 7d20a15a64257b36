"""The folder that holds one local RunPod: where it is, who may read it, its token, its litter."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDER_VARIABLE = "RUNPODCTL_LOCAL_DIR"
"""The environment variable that names another data folder."""

_KEPT_LOGS = 50
_KEPT_LOG_S = 7 * 24 * 60 * 60


def data_folder(environment: Mapping[str, str]) -> Path:
    """Returns the folder that holds this user's local RunPod.

    Args:
        environment: The environment variables, of which one may name another folder.
    """
    if named := environment.get(FOLDER_VARIABLE):
        return Path(named).expanduser().absolute()
    import platformdirs

    return platformdirs.user_data_path("runpodctl-py") / "local"


def make_private(folder: Path) -> None:
    """Makes the folder if it is not there, and keeps other users out of it.

    Raises:
        EmulatorError: That is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise EmulatorError(
            f"the local RunPod's folder {folder} cannot be used: {error.strerror}"
        ) from error


def kept_token(folder: Path) -> str:
    """Returns the API key of this local RunPod, made the first time it is asked for."""
    path = folder / "token"
    with suppress(FileNotFoundError):
        if token := path.read_text("ascii").strip():
            return token
    token = f"rpa_local_{secrets.token_hex(20)}"
    write_private(path, token)
    return token


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner may read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def remove_leftovers(folder: Path, now: float) -> None:
    """Removes what former emulators left in the folder; none may run on it meanwhile.

    That is: the workers' home folders that a killed one could not remove, and old logs. Kept are
    the logs of each endpoint's last 50 workers, as far as they were written to within 7 days.
    What cannot be removed stays.

    Args:
        folder: The data folder.
        now: The time, in seconds since 1970.
    """
    shutil.rmtree(folder / "homes", ignore_errors=True)
    for logs in (folder / "logs").glob("*"):
        _remove_old(logs.glob("*.log"), now - _KEPT_LOG_S)
        # Of an endpoint that still has some, the folder stays.
        with suppress(OSError):
            logs.rmdir()


def _remove_old(logs: Iterable[Path], oldest: float) -> None:
    by_age = sorted(((_written_at(path), path) for path in logs), reverse=True)
    for place, (written_at, path) in enumerate(by_age):
        if place >= _KEPT_LOGS or written_at < oldest:
            with suppress(OSError):
                path.unlink()


def _written_at(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0
