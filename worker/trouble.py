"""Turns whatever the work raised into one of the documented errors.

Owns the recognition of what a machine lacks: memory, a disk's space, a card that still answers.
torch is recognised, never imported: an image without it has no such errors.
"""

from __future__ import annotations

import errno
import gc
import logging
import sys
from typing import TYPE_CHECKING, TypeVar

from worker.errors import ProcessingError, ResourceError, SettingError, TaskError

if TYPE_CHECKING:
    from collections.abc import Callable

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# What torch raises when a card's memory ends, by whichever library asked for it.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
_BROKEN_CARD = ("CUDA error", "CUBLAS_STATUS", "CUDNN_STATUS", "cuDNN error", "NCCL error")

log = logging.getLogger(__name__)
T = TypeVar("T")


def attempt(name: str, work: Callable[[], T]) -> T:
    """Do a step's work and return its outcome.

    Raises:
        TaskError: Whatever the work raised, as one of the documented errors. A foreign error's text
            goes to the log only: it may quote what nobody should read.
    """
    try:
        return work()
    except Exception as error:
        failure = as_task_error(name, error)
        if not failure.refresh_worker:
            if failure is error:
                raise
            raise failure from error
        # Its frames hold what filled the memory, and must go before the memory is given back.
        error.__traceback__ = None
    free_memory()
    raise failure


def as_task_error(name: str, error: Exception) -> TaskError:
    """Return what an error in a step means for the job."""
    if isinstance(error, TaskError):
        return error
    if isinstance(error, SettingError):
        return ResourceError(str(error))
    if is_out_of_memory(error):
        return ResourceError(f"out of memory in step '{name}'", refresh_worker=_is_of_card(error))
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return ResourceError(f"no space left on the worker's disk in step '{name}'")
    log.error("step %r failed", name, exc_info=error)
    is_broken = isinstance(error, RuntimeError) and any(
        words in str(error) for words in _BROKEN_CARD
    )
    return ProcessingError(
        f"step '{name}' failed: {type(error).__name__}", refresh_worker=is_broken
    )


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether memory ended, the machine's or the card's."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)
    )


def free_memory() -> None:
    """Give back what nobody refers to any more, on the card, too."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _is_of_card(error: Exception) -> bool:
    # Python's own is raised for a job that asked for too much, and leaves nothing behind.
    return not isinstance(error, MemoryError)
