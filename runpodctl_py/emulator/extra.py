"""Whether the optional dependencies of the local RunPod are installed; knows nothing else."""

from __future__ import annotations

from importlib.util import find_spec

from runpodctl_py.errors import EmulatorError

_REQUIRED = ("starlette", "uvicorn", "jsonschema", "runpod", "PIL")


def require_local_extra() -> None:
    """Checks that everything the local RunPod needs can be imported, without importing it.

    Raises:
        EmulatorError: Something is missing; the hint says what to install.
    """
    missing = [name for name in _REQUIRED if find_spec(name) is None]
    if missing:
        raise EmulatorError(
            f"the local RunPod needs packages that are not installed: {', '.join(missing)}",
            hint="pip install 'runpodctl-py[local]'",
        )
