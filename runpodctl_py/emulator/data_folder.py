"""The folder that holds one local RunPod: where it is, who may read it, the token in it."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER_VARIABLE = "RUNPODCTL_LOCAL_DIR"
"""The environment variable that names another data folder."""


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
