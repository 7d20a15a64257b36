"""Where a model runs: on the card, or on the processor when that is asked for.

Owns `WORKER_DEVICE` and what torch is asked about the card. A worker that was paid for its card
does not quietly take an hour on the processor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEVICE_VARIABLE = "WORKER_DEVICE"
DEVICES = ("cuda", "cpu")


def read_device(environ: Mapping[str, str]) -> str:
    """Return the device that `WORKER_DEVICE` names, `cuda` when it is not set.

    Raises:
        SettingError: It is none.
    """
    device = environ.get(DEVICE_VARIABLE) or "cuda"
    if device not in DEVICES:
        raise SettingError(f"{DEVICE_VARIABLE} must be one of {', '.join(DEVICES)}, not {device!r}")
    return device


def check_device(device: str) -> None:
    """Make sure that torch can use the device, by using it.

    Raises:
        SettingError: There is no card, or its driver does not suit this image's CUDA.
    """
    if device != "cuda":
        return
    import torch

    if not torch.cuda.is_available():
        raise SettingError(
            f"no GPU that torch {torch.__version__} can use; {DEVICE_VARIABLE}=cpu does without"
        )
    try:
        torch.ones(8, device=device).sum().item()
    except RuntimeError as error:
        # As on a Blackwell card with torch 2.6: "no kernel image is available".
        raise SettingError(f"{torch.cuda.get_device_name(0)} cannot run: {error}") from error


def memory_bytes(device: str) -> int | None:
    """Return the card's memory, or None on the processor."""
    if device != "cuda":
        return None
    import torch

    total: int = torch.cuda.get_device_properties(0).total_memory
    return total
