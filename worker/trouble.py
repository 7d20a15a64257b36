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

# What torch raises when a card's memory ends, by whichever library asked for it.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "_ALLOC_FAILED")
_BROKEN_CARD = ("CUDA error", "CUDA driver error", "cuBLAS error", "cuDNN error", "NCCL error")
_BROKEN_LIBRARY = ("CUBLAS_STATUS_", "CUDNN_STATUS_", "CUSOLVER_STATUS_", "CUFFT_", "CUSPARSE_")

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
    # Not before: until here, the frames of the error's traceback held what filled the memory.
    free_memory()
    raise failure


def as_task_error(name: str, error: Exception) -> TaskError:
    """Return what an error in a step means for the job."""
    if isinstance(error, TaskError):
        return error
    if isinstance(error, SettingError):
        return ResourceError(str(error))
    if is_out_of_memory(error):
        # Python's own is raised for a job that asked for too much, and leaves nothing behind.
        is_torchs = not isinstance(error, MemoryError)
        return ResourceError(f"out of memory in step '{name}'", refresh_worker=is_torchs)
    if is_disk_full(error):
        return ResourceError(f"no space left on the worker's disk in step '{name}'")
    log.error("step %r failed", name, exc_info=error)
    is_broken = isinstance(error, RuntimeError) and any(
        words in str(error) for words in (*_BROKEN_CARD, *_BROKEN_LIBRARY)
    )
    return ProcessingError(
        f"step '{name}' failed: {type(error).__name__}", refresh_worker=is_broken
    )


def is_disk_full(error: Exception) -> bool:
    """Tell whether the disk ended, or what this user may have of it."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


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
